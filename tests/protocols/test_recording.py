"""Recordings as capture files: our own reader and tshark get back every octet, time, direction and connection."""

import contextlib
import shutil
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.protocols.recording import RecordedChannel, RecordingEncoder, channel_of
from scada.protocols.trace import TcpReassembler, TraceError, read_packets, tcp_segment

CHANNEL = RecordedChannel(
    "变电站 1/RTU", "iec104", "demo", "v7", {"": "10.1.2.3:12404", "A": "10.1.2.3:2404", "B": "rtu-b.example:2404"}
)
T0 = 1_795_000_000_123_456_789
GI = bytes.fromhex("680e0000000064010600010000000014")
STARTDT = bytes.fromhex("680407000000")


def record(entries, path, *, connected=False, encoder=None):
    encoder = encoder or RecordingEncoder(CHANNEL, connected=connected)
    path.write_bytes(encoder.head() + b"".join(encoder.octets(*entry) for entry in entries) + encoder.close(T0 + 10**9))
    return path


def chunks_of(path):
    tcp = TcpReassembler()
    found = [chunk for packet in read_packets(path) if (part := tcp_segment(packet)) for chunk in tcp.feed(part)]
    assert tcp.repeated == 0
    return found + tcp.finish()


def tshark(path, *fields, options=()):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is not at hand")
    columns = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", str(path), *options, "-T", "fields", "-E", "separator=|", *columns],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("|") for line in done.stdout.splitlines()], done.stderr


def test_head_says_whose_recording_it_is():
    head = RecordingEncoder(CHANNEL).head()
    assert channel_of(head) == "变电站 1/RTU"
    assert channel_of(head[:20]) == channel_of(b"\x0a\x0d\x0d\x0a" + bytes(40)) == channel_of(b"") == ""


entries = st.lists(st.tuples(st.sampled_from(["A", "B"]), st.booleans(), st.binary(max_size=4000)), min_size=1, max_size=25)


@given(entries, st.booleans())
@settings(max_examples=60)
def test_every_octet_comes_back_from_its_own_connection(tmp_path_factory, entries, connected):
    timed = [(link, received, T0 + 1000 * n, data) for n, (link, received, data) in enumerate(entries)]
    path = record(timed, tmp_path_factory.mktemp("r") / "r.pcapng", connected=connected)
    lives, open_, expected = {}, {}, {}
    for link, received, time_ns, data in timed:
        if data:
            life = open_.setdefault(link, lives.setdefault(link, 0))
            got = expected.setdefault((link, life, received), [])
            got.append((time_ns, data))
        elif link in open_:
            lives[link] = open_.pop(link) + 1
    told = {}
    for chunk in chunks_of(path):
        assert chunk.continues
        assert chunk.lost == 0
        told.setdefault((chunk.stream, chunk.source.startswith("192.0.2.1:")), []).append(chunk)
    plain = sorted(b"".join(data for _, data in each) for each in expected.values())
    assert sorted(b"".join(chunk.data for chunk in each) for each in told.values()) == plain
    times = {time_ns for each in expected.values() for time_ns, _ in each}
    assert {chunk.time_ns for each in told.values() for chunk in each} == times
    assert len({stream for stream, _ in told}) == len({(link, life) for link, life, _ in expected})


def test_tshark_dissects_it_without_a_complaint(tmp_path):
    value = bytes.fromhex("6819000000002401030b0b00b104000000454181392b1e0c150b1a")
    wire = [
        ("A", False, T0, STARTDT),
        ("A", True, T0 + 1000, bytes.fromhex("68040b000000")),
        ("A", False, T0 + 2000, GI),
        ("A", True, T0 + 3001, value * 100),  # longer than one segment
        ("A", True, T0 + 4000, b""),
        ("B", False, T0 + 5000, STARTDT),
    ]
    path = record(wire, tmp_path / "r.pcapng")
    strict = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    fields = ("frame.time_epoch", "frame.interface_name", "frame.packet_flags_direction", "tcp.stream", "_ws.expert.message")
    rows, complaints = tshark(path, *fields, "iec60870_asdu.typeid", "iec60870_asdu.ioa", "iec60870_104.utype", options=strict)
    assert "cut short" not in complaints
    data = [row for row in rows if row[5] or row[7]]
    assert [row[0] for row in data][:3] == [f"{T0 // 10**9}.{T0 % 10**9 + n:09}" for n in (0, 1000, 2000)]
    assert [row[1] for row in rows][-1] == "变电站 1/RTU B"
    assert [row[2].replace("0x", "").lstrip("0") for row in data][:3] == ["2", "1", "2"]
    assert sum(row[5].split(",").count("36") for row in rows) == 100
    assert {ioa for row in rows for ioa in row[6].split(",") if ioa} == {"0", "1201"}
    assert {row[3] for row in rows} == {"0", "1"}
    known = ("Connection establish", "Connection finish", "")
    assert [row[4] for row in rows if not row[4].startswith(known[:2]) and row[4]] == []


def test_modbus_is_known_by_its_port(tmp_path):
    channel = RecordedChannel("Plant", "modbus-tls", "demo", "v7", {"": "10.1.2.3:802"})
    wire = [
        ("", False, T0, bytes.fromhex("000100000006010300000002")),
        ("", True, T0 + 1, bytes.fromhex("00010000000701030400010002")),
    ]
    rows, _ = tshark(
        record(wire, tmp_path / "r.pcapng", encoder=RecordingEncoder(channel)), "modbus.func_code", "modbus.regval_uint16"
    )
    assert [row for row in rows if row[0]] == [["3", ""], ["3", "1,2"]]


def test_what_could_not_be_recorded_is_a_hole_and_said(tmp_path):
    encoder = RecordingEncoder(CHANNEL)
    path = tmp_path / "r.pcapng"
    blocks = [
        encoder.head(),
        encoder.octets("", True, T0, b"before"),
        encoder.missed("", True, T0 + 1, 700),
        encoder.octets("", True, T0 + 2, b"after"),
        encoder.octets("", True, T0 + 3, b"on"),
    ]
    path.write_bytes(b"".join(blocks))
    assert [(chunk.data, chunk.lost) for chunk in chunks_of(path)] == [(b"before", 0), (b"after", 700), (b"on", 0)]
    comments, _ = tshark(path, "frame.comment")
    assert [row[0] for row in comments if row[0]] == ["700 octets before this packet were not recorded"]


def test_a_recording_that_begins_in_the_middle_invents_no_beginning(tmp_path):
    path = record([("", True, T0, GI)], tmp_path / "r.pcapng", connected=True)
    packets = list(read_packets(path))
    assert len(packets) == 1
    assert not tcp_segment(packets[0]).flags & 2


@given(st.data())
@settings(max_examples=40)
def test_it_is_readable_up_to_its_last_whole_block(tmp_path_factory, data):
    path = record([("", True, T0 + n, GI) for n in range(4)], tmp_path_factory.mktemp("r") / "r.pcapng")
    whole = path.read_bytes()
    cut = data.draw(st.integers(200, len(whole)))
    path.write_bytes(whole[:cut])
    found = []
    with contextlib.suppress(TraceError):
        found.extend(read_packets(path))
    blocks, at = 0, 0
    while at + 12 <= cut and at + struct.unpack_from("<I", whole, at + 4)[0] <= cut:
        blocks += whole[at : at + 4] == b"\x06\0\0\0"
        at += struct.unpack_from("<I", whole, at + 4)[0]
    assert len(found) == blocks
