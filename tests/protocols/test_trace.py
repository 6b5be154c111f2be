"""Capture files and TCP reassembly."""

import contextlib
import ipaddress
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.protocols.trace import Packet, Segment, TcpReassembler, TraceError, read_packets, tcp_segment

A, B = "10.0.0.1:40000", "10.0.0.2:2404"


def pcap(packets, order="<", nanoseconds=False, link_type=1):
    magic = 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    content = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for seconds, fraction, data in packets:
        content += struct.pack(order + "IIII", seconds, fraction, len(data), len(data)) + data
    return content


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    length = 12 + len(body)
    return struct.pack(order + "II", kind, length) + body + struct.pack(order + "I", length)


def pcapng(packets, order="<", resolution=None):
    options = struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0) if resolution is not None else b""
    content = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    content += block(1, struct.pack(order + "HHI", 101, 0, 0) + options, order)
    for ticks, data in packets:
        content += block(5, bytes(20), order)  # statistics: no packet
        content += block(6, struct.pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data)) + data, order)
    return content


def ip_packet(source, destination, seq, data, flags=0x18):
    (host_a, port_a), (host_b, port_b) = source.rsplit(":", 1), destination.rsplit(":", 1)
    tcp = struct.pack(">HHIIBBHHH", int(port_a), int(port_b), seq, 0, 5 << 4, flags, 0, 0, 0) + data
    a, b = ipaddress.ip_address(host_a), ipaddress.ip_address(host_b)
    if a.version == 4:
        return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0) + a.packed + b.packed + tcp
    return struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64) + a.packed + b.packed + tcp


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nanoseconds", [False, True])
def test_pcap_of_both_byte_orders_and_resolutions(tmp_path, order, nanoseconds):
    path = tmp_path / "a.pcap"
    path.write_bytes(pcap([(5, 7, b"one"), (6, 0, b"")], order, nanoseconds))
    assert list(read_packets(path)) == [
        Packet(1, 5_000_000_007 if nanoseconds else 5_000_007_000, 1, b"one"),
        Packet(2, 6_000_000_000, 1, b""),
    ]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("resolution", "unit"), [(None, 10**3), (9, 1), (0x80 | 10, 10**9 / 1024)])
def test_pcapng_of_both_byte_orders_and_any_resolution(tmp_path, order, resolution, unit):
    path = tmp_path / "a.pcapng"
    path.write_bytes(pcapng([(1 << 33, b"abcde")], order, resolution))
    assert list(read_packets(path)) == [Packet(1, int((1 << 33) * unit), 101, b"abcde")]


def test_a_cut_capture_gives_what_is_whole_and_then_says_so(tmp_path):
    path = tmp_path / "a.pcap"
    for content in (pcap([(1, 0, b"one"), (2, 0, b"two")]), pcapng([(1, b"one!"), (2, b"two!")])):
        path.write_bytes(content[:-2])
        packets = read_packets(path)
        assert next(packets).data[:3] == b"one"
        with pytest.raises(TraceError, match="in the middle of packet 2"):
            next(packets)


@pytest.mark.parametrize("content", [b"", b"hello world, this is no capture"])
def test_what_is_no_capture_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(TraceError, match="neither pcap nor pcapng"):
        list(read_packets(path))
    with pytest.raises(TraceError, match="cannot read the trace"):
        list(read_packets(tmp_path / "absent"))


@given(st.binary(max_size=120), st.sampled_from([0, 1, 101, 113, 276, 228, 229, 999]))
@settings(max_examples=150)
def test_any_packet_is_survived(data, link_type):
    segment = tcp_segment(Packet(1, 0, link_type, data))
    assert segment is None or len(segment.data) <= len(data)


@given(st.binary(max_size=300), st.booleans())
@settings(max_examples=100)
def test_any_file_is_survived(tmp_path_factory, data, ng):
    path = tmp_path_factory.mktemp("t") / "f"
    path.write_bytes((b"\x0a\x0d\x0d\x0a" if ng else b"\xd4\xc3\xb2\xa1") + data)
    with contextlib.suppress(TraceError):
        list(read_packets(path))


@pytest.mark.parametrize(
    ("link_type", "header"),
    [(1, bytes(12) + b"\x08\x00"), (1, bytes(12) + b"\x81\x00\x00\x05\x08\x00"), (113, bytes(16)), (276, bytes(20)), (101, b"")],
    ids=["ethernet", "vlan", "sll", "sll2", "raw"],
)
def test_link_layers(link_type, header):
    data = header + ip_packet(A, B, 7, b"payload") + (b"\0\0\0" if link_type == 1 else b"")
    assert tcp_segment(Packet(3, 9, link_type, data)) == Segment(3, 9, A, B, 7, 0x18, b"payload")


def test_ipv6_and_what_is_not_tcp():
    six = ip_packet("fe80::1:5", "fe80::2:2404", 1, b"x")
    segment = tcp_segment(Packet(1, 0, 101, six))
    assert segment is not None
    assert segment.source == "fe80::1:5"
    assert segment.data == b"x"
    udp = bytearray(ip_packet(A, B, 1, b"x"))
    udp[9] = 17
    assert tcp_segment(Packet(1, 0, 101, bytes(udp))) is None


def segment(seq, data, source=A, flags=0x18, number=1, time_ns=0):
    return Segment(number, time_ns, source, B if source == A else A, seq & 0xFFFFFFFF, flags, data)


def reassemble(segments):
    tcp = TcpReassembler()
    chunks = [chunk for item in segments for chunk in tcp.feed(item)] + tcp.finish()
    return tcp, chunks


@given(st.data())
@settings(max_examples=150)
def test_order_repetition_and_overlap_do_not_matter(data):
    content = data.draw(st.binary(min_size=1, max_size=200))
    start = data.draw(st.sampled_from([0, 1000, 0xFFFFFFF0]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(content)), max_size=8)) | {0, len(content)})
    pieces = [(a, b) for a, b in itertools.pairwise(cuts)]
    overlaps = data.draw(st.lists(st.tuples(st.integers(0, len(content)), st.integers(0, len(content))), max_size=6))
    pieces += [(min(pair), max(pair)) for pair in overlaps]
    shuffled = data.draw(st.permutations(pieces))
    segments = [segment(start - 1, b"", flags=2), *[segment(start + a, content[a:b]) for a, b in shuffled]]
    tcp, chunks = reassemble(segments)
    assert b"".join(chunk.data for chunk in chunks) == content
    assert all(chunk.continues and not chunk.lost for chunk in chunks)
    assert tcp.repeated == sum(b - a for a, b in pieces) - len(content)


def test_a_hole_is_waited_for_and_then_told():
    second = 10**9
    tcp = TcpReassembler()
    assert [chunk.data for chunk in tcp.feed(segment(0, b"ab"))] == [b"ab"]
    assert tcp.feed(segment(5, b"fg")) == []
    assert tcp.feed(segment(7, b"h", time_ns=4 * second)) == []
    given_up = tcp.feed(segment(8, b"i", time_ns=6 * second, number=9))
    assert [(chunk.data, chunk.lost, chunk.continues, chunk.number) for chunk in given_up] == [
        (b"fg", 3, False, 9),
        (b"h", 0, True, 9),
        (b"i", 0, True, 9),
    ]
    (late,) = tcp.feed(segment(2, b"cde"))
    assert (late.data, late.continues, late.lost) == (b"cde", False, 0)
    assert tcp.feed(segment(2, b"cdefg")) == []
    assert tcp.repeated == 5


def test_octets_from_before_the_capture_began_are_given_out_late():
    _, chunks = reassemble([segment(100, b"later"), segment(95, b"early"), segment(105, b"!")])
    assert [(chunk.data, chunk.continues) for chunk in chunks] == [(b"later", True), (b"early", False), (b"!", False)]


def test_a_new_connection_on_the_same_ports_is_a_new_stream():
    syn, fin = 0x02, 0x01
    _, chunks = reassemble(
        [
            segment(10, b"", flags=syn),
            segment(11, b"one"),
            segment(14, b"", flags=fin),
            segment(5000, b"", flags=syn),
            segment(5001, b"two"),
            segment(5000, b"", flags=syn),  # the same SYN again
            segment(5004, b"three"),
        ]
    )
    assert [(chunk.stream, chunk.data) for chunk in chunks] == [(0, b"one"), (1, b"two"), (1, b"three")]


def test_a_reset_gives_out_what_was_held():
    _, chunks = reassemble([segment(0, b"a"), segment(3, b"d"), segment(1, b"", source=B, flags=0x04)])
    assert [(chunk.data, chunk.lost) for chunk in chunks] == [(b"a", 0), (b"d", 2)]


def test_directions_are_kept_apart():
    _, chunks = reassemble([segment(0, b"ask"), segment(0, b"answer", source=B)])
    assert [(chunk.source, chunk.destination, chunk.data) for chunk in chunks] == [(A, B, b"ask"), (B, A, b"answer")]


def test_a_capture_full_of_holes_is_no_endless_work():
    tcp = TcpReassembler()
    chunks = [chunk for n in range(30_000) for chunk in tcp.feed(segment(3 * n, b"x"))] + tcp.finish()
    assert len(chunks) == 30_000
    (connection,) = tcp._connections.values()
    assert len(connection.directions[A].seen) <= 1024
    (late,) = tcp.feed(segment(3 * 29_990 + 1, b"y"))
    assert (late.data, late.continues) == (b"y", False)
    assert tcp.feed(segment(1, b"y")) == [], "for a hole as old as that it comes too late"


def test_a_time_that_nothing_can_hold_is_a_malformed_block(tmp_path):
    path = tmp_path / "t"
    path.write_bytes(pcapng([(2**63, b"x")], resolution=0))
    with pytest.raises(TraceError, match="malformed"):
        list(read_packets(path))
