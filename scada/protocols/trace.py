"""Recorded traffic: capture files (pcap, pcapng) and the byte streams of the TCP connections in them.

Formats: libpcap file format 2.4 and PCAP Next Generation (draft-ietf-opsawg-pcapng). Frame numbers count from 1 over all packets,
as every protocol analyser shows them.
"""

from __future__ import annotations

import ipaddress
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Final

from scada.core.errors import ScadaError

_ETHERNET, _NULL, _RAW, _LINUX_COOKED, _LINUX_COOKED_2, _IPV4, _IPV6 = 1, 0, 101, 113, 276, 228, 229
_FIN, _SYN, _RST = 0x01, 0x02, 0x04
_HELD_SEGMENTS: Final = 64
"""Segments kept for a hole in front of them; then the hole is taken as lost."""
_HELD_NS: Final = 5_000_000_000
_RANGES: Final = 1024
"""Ranges of octets between holes that are told apart in one direction; what comes late for an older hole is left out."""
_LAST_NS: Final = (1 << 63) - 1
"""Latest time that ns UTC can say (year 2262)."""


class TraceError(ScadaError):
    """A capture file cannot be read, or ends in the middle of a packet."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One captured packet.

    Attributes:
        number: frame number, from 1.
        time_ns: ns UTC.
        link_type: LINKTYPE value of its interface.
        data: captured octets.
    """

    number: int
    time_ns: int
    link_type: int
    data: bytes


def read_packets(path: Path) -> Iterator[Packet]:
    """Packets of a capture file in file order.

    Raises:
        TraceError: the file cannot be opened, is no capture, or is cut short (after the whole packets have been given).
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TraceError(f"cannot read the trace: {error.strerror}", where=str(path)) from error
    magic = content[:4]
    if magic in _PCAP_MAGIC:
        yield from _pcap(content, path)
    elif magic == b"\x0a\x0d\x0d\x0a":
        yield from _pcapng(content, path)
    else:
        raise TraceError("is neither pcap nor pcapng", where=str(path), mend="give an uncompressed capture file")


_PCAP_MAGIC: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}


def _cut(path: Path, number: int) -> TraceError:
    return TraceError(f"the capture ends in the middle of packet {number}", where=str(path), mend="what was before it was read")


def _pcap(content: bytes, path: Path) -> Iterator[Packet]:
    order, unit_ns = _PCAP_MAGIC[content[:4]]
    if len(content) < 24:
        raise _cut(path, 1)
    link_type = struct.unpack_from(order + "I", content, 20)[0] & 0x0FFF_FFFF
    at, number = 24, 0
    while at < len(content):
        number += 1
        if at + 16 > len(content):
            raise _cut(path, number)
        seconds, fraction, captured, _ = struct.unpack_from(order + "IIII", content, at)
        at += 16
        if at + captured > len(content):
            raise _cut(path, number)
        yield Packet(number, seconds * 1_000_000_000 + fraction * unit_ns, link_type, content[at : at + captured])
        at += captured


@dataclass(slots=True)
class _Interface:
    link_type: int
    unit: int = 1_000_000
    """Ticks a second."""


def _pcapng(content: bytes, path: Path) -> Iterator[Packet]:
    order, at, number = "<", 0, 0
    interfaces: list[_Interface] = []
    while at < len(content):
        if at + 12 > len(content):
            raise _cut(path, number + 1)
        kind = struct.unpack_from(order + "I", content, at)[0]
        if kind == 0x0A0D0D0A:
            order = "<" if content[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        length = struct.unpack_from(order + "I", content, at + 4)[0]
        if length < 12 or length % 4 or at + length > len(content):
            raise _cut(path, number + 1)
        body = content[at + 8 : at + length - 4]
        at += length
        try:
            if kind == 1:
                interfaces.append(_interface(body, order))
            elif kind in {2, 3, 6}:
                number += 1
                yield _ng_packet(kind, body, order, interfaces, number)
        except (struct.error, IndexError) as error:
            raise TraceError(f"block of type {kind} is malformed", where=f"{path}: packet {number}") from error


def _interface(body: bytes, order: str) -> _Interface:
    interface = _Interface(struct.unpack_from(order + "H", body)[0])
    at = 8
    while at + 4 <= len(body):
        code, length = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            break
        if code == 9 and length == 1:  # if_tsresol
            resolution = body[at + 4]
            interface.unit = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        at += 4 + (length + 3) // 4 * 4
    return interface


def _ng_packet(kind: int, body: bytes, order: str, interfaces: list[_Interface], number: int) -> Packet:
    if kind == 3:  # simple packet: no time
        (original,) = struct.unpack_from(order + "I", body)
        return Packet(number, 0, interfaces[0].link_type, body[4 : 4 + min(original, len(body) - 4)])
    if kind == 2:
        index, _, high, low, captured = struct.unpack_from(order + "HHIII", body)
    else:
        index, high, low, captured = struct.unpack_from(order + "IIII", body)
    interface = interfaces[index]
    if 20 + captured > len(body):
        raise struct.error("captured length")
    time_ns = (high << 32 | low) * 1_000_000_000 // interface.unit
    if time_ns > _LAST_NS:
        raise struct.error("time")
    return Packet(number, time_ns, interface.link_type, body[20 : 20 + captured])


# ---------------------------------------------------------------------- IP and TCP


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment.

    Attributes:
        number: frame number.
        time_ns: ns UTC.
        source: ``host:port`` of the sender.
        destination: ``host:port`` of the receiver.
        seq: sequence number of the first octet.
        flags: TCP flags.
        data: payload.
    """

    number: int
    time_ns: int
    source: str
    destination: str
    seq: int
    flags: int
    data: bytes


def tcp_segment(packet: Packet) -> Segment | None:
    """The TCP segment of a packet; None if it has none, is a fragment or is cut in its headers."""
    ip = _network_layer(packet)
    if len(ip) < 20:
        return None
    if ip[0] >> 4 == 4:
        header, total = (ip[0] & 15) * 4, int.from_bytes(ip[2:4])
        if ip[9] != 6 or int.from_bytes(ip[6:8]) & 0x3FFF:
            return None
        hosts = ip[12:16], ip[16:20]
        # offload leaves a zero length; Ethernet padding makes the frame longer than the datagram
        tcp = ip[header : total or len(ip)]
    elif ip[0] >> 4 == 6 and len(ip) >= 40:
        hosts = ip[8:24], ip[24:40]
        following, tcp = ip[6], ip[40 : 40 + int.from_bytes(ip[4:6])]
        while following in {0, 43, 60} and len(tcp) >= 8:
            following, tcp = tcp[0], tcp[8 + tcp[1] * 8 :]
        if following != 6:
            return None
    else:
        return None
    if len(tcp) < 20:
        return None
    source, destination, seq = struct.unpack_from(">HHI", tcp)
    payload = tcp[(tcp[12] >> 4) * 4 :]
    names = _endpoint(hosts[0], source), _endpoint(hosts[1], destination)
    return Segment(packet.number, packet.time_ns, *names, seq, tcp[13], payload)


@lru_cache(4096)
def _endpoint(host: bytes, port: int) -> str:
    """``host:port``; kept, because a capture has few of them and millions of packets."""
    return f"{ipaddress.ip_address(host)}:{port}"


def _network_layer(packet: Packet) -> bytes:
    data = packet.data
    if packet.link_type == _ETHERNET:
        at = 12
        while data[at : at + 2] in {b"\x81\x00", b"\x88\xa8"}:
            at += 4
        return data[at + 2 :]
    skip = {_NULL: 4, 108: 4, _RAW: 0, 12: 0, 14: 0, _IPV4: 0, _IPV6: 0, _LINUX_COOKED: 16, _LINUX_COOKED_2: 20}
    return data[skip[packet.link_type] :] if packet.link_type in skip else b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Octets of one direction of a connection, in the order in which they were sent.

    Attributes:
        stream: number of the connection, from 0 in order of appearance.
        number: frame that made them available.
        time_ns: its time, ns UTC.
        source: ``host:port`` of the sender.
        destination: ``host:port`` of the receiver.
        data: the octets.
        continues: they follow on the chunk before; else something is missing, or they are older than what came before.
        lost: octets between the two that the capture had not shown so far.
    """

    stream: int
    number: int
    time_ns: int
    source: str
    destination: str
    data: bytes
    continues: bool = True
    lost: int = 0


_start_of: Final = itemgetter(0)
_stop_of: Final = itemgetter(1)


@dataclass(slots=True)
class _Direction:
    """One direction; positions are sequence numbers unrolled past 2**32."""

    next: int | None = None
    """Position behind the highest octet given out."""
    cursor: int = 0
    """Position behind the octet given out last."""
    held: dict[int, Segment] = field(default_factory=dict)
    seen: list[tuple[int, int]] = field(default_factory=list)
    """Ranges given out, ascending, merged."""

    def position(self, seq: int) -> int:
        """Position of a sequence number, near the next one."""
        if self.next is None:
            self.next = self.cursor = seq + (1 << 32)  # so that what is older stays positive
        return self.next + ((seq - self.next + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000

    def unseen(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of a range that were not given out, and mark them given out."""
        first = bisect_left(self.seen, start, key=_stop_of)
        last = bisect_right(self.seen, stop, key=_start_of)
        near = self.seen[first:last]
        parts, at = [], start
        for low, high in near:
            if at < low:
                parts.append((at, low))
            at = max(at, high)
        if at < stop:
            parts.append((at, stop))
        self.seen[first:last] = [(min(start, near[0][0]), max(stop, near[-1][1])) if near else (start, stop)]
        if len(self.seen) > _RANGES:
            self.seen[:2] = [(self.seen[0][0], self.seen[1][1])]
        return parts


@dataclass(slots=True)
class _Connection:
    stream: int
    initial: dict[str, int] = field(default_factory=dict)
    directions: dict[str, _Direction] = field(default_factory=dict)


class TcpReassembler:
    """Puts the segments of all connections of a capture back in order.

    Octets that came before are dropped, also from overlapping segments; early segments are held until the hole before them is
    filled, or passed over after a while (:attr:`Chunk.lost`). Octets that come after they were passed over, or from before the
    first segment of the capture, are given out as they come. A SYN with another initial sequence number is a new connection.
    """

    def __init__(self) -> None:
        self._connections: dict[frozenset[str], _Connection] = {}
        self._streams = 0
        self.repeated = 0
        """Octets that came again."""

    def feed(self, segment: Segment) -> list[Chunk]:
        """The chunks that a segment makes available."""
        connection = self._connection(segment)
        direction = connection.directions.setdefault(segment.source, _Direction())
        at = direction.position(segment.seq)
        if segment.flags & _SYN:
            connection.initial[segment.source] = segment.seq
            at += 1
            if not direction.seen:
                direction.next = direction.cursor = at
        chunks: list[Chunk] = []
        if segment.data:
            assert direction.next is not None
            if at > direction.next:
                other = direction.held.get(at, segment)
                longer = segment if len(segment.data) >= len(other.data) else other
                self.repeated += 0 if other is segment else min(len(segment.data), len(other.data))
                direction.held[at] = longer
            else:
                chunks += self._give(connection, direction, segment, at, segment)
        if segment.flags & (_FIN | _RST):
            for side in connection.directions.values():
                chunks += self._release(connection, side, segment, final=True)
        else:
            chunks += self._release(connection, direction, segment, final=False)
        return chunks

    def finish(self) -> list[Chunk]:
        """What is still held when the capture ends."""
        return [
            chunk
            for connection in self._connections.values()
            for side in connection.directions.values()
            for chunk in self._release(connection, side, None, final=True)
        ]

    def _connection(self, segment: Segment) -> _Connection:
        key = frozenset((segment.source, segment.destination))
        connection = self._connections.get(key)
        fresh = connection is None
        if connection is not None and segment.flags & _SYN:
            initial = connection.initial.get(segment.source)
            fresh = (initial is not None and initial != segment.seq) or (
                initial is None and segment.source in connection.directions
            )
        if fresh or connection is None:
            connection = _Connection(self._streams)
            self._streams += 1
            self._connections[key] = connection
        return connection

    def _give(self, connection: _Connection, direction: _Direction, segment: Segment, at: int, cause: Segment) -> list[Chunk]:
        """What is new in a segment."""
        chunks = []
        fresh = 0
        for start, stop in direction.unseen(at, at + len(segment.data)):
            assert direction.next is not None
            lost = max(0, start - direction.next)
            chunks.append(
                Chunk(
                    connection.stream,
                    cause.number,
                    cause.time_ns,
                    segment.source,
                    segment.destination,
                    segment.data[start - at : stop - at],
                    start == direction.cursor,
                    lost,
                )
            )
            direction.cursor = stop
            direction.next = max(direction.next, stop)
            fresh += stop - start
        self.repeated += len(segment.data) - fresh
        return chunks

    def _release(self, connection: _Connection, direction: _Direction, cause: Segment | None, *, final: bool) -> list[Chunk]:
        """Held segments whose turn has come, or whose hole is given up."""
        chunks: list[Chunk] = []
        while direction.held:
            assert direction.next is not None
            first = min(direction.held)
            segment = direction.held[first]
            waited = 0 if cause is None else cause.time_ns - segment.time_ns
            if first > direction.next and not final and len(direction.held) <= _HELD_SEGMENTS and waited < _HELD_NS:
                break
            del direction.held[first]
            chunks += self._give(connection, direction, segment, first, cause or segment)
        return chunks
