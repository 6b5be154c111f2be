"""Recordings of channels as capture files: PCAP Next Generation (draft-ietf-opsawg-pcapng), pure.

What a driver reads and writes are octets without packets. A recording puts them into synthetic Ethernet, IPv4 and TCP headers
with consistent sequence numbers, so that a protocol analyser and :mod:`scada.protocols.trace` read them as captured traffic. Each
link of the channel is one interface; each packet says its direction (``epb_flags``) and its time to the nanosecond. A connection
that ends is closed by FIN, the next one opens by SYN from a new port. With TLS the octets above it are recorded: a recording then
holds plain process data.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field
from typing import Final

from scada import __version__

_ETHERNET: Final = 1
_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_SEGMENT: Final = 1460
"""Octets of one segment: what Ethernet carries."""
_OURS: Final = ipaddress.IPv4Address("192.0.2.1")
_FIRST_PORT: Final = 49152
_PORTS: Final = {"iec104": 2404, "iec104-c104": 2404, "modbus-tcp": 502, "modbus-tls": 502, "opcua": 4840, "mqtt": 1883}
"""Ports by which an analyser knows the protocol; the real end point stands in the interface's description. Frames of Modbus RTU
have no port: an analyser must be told."""
_OTHER_PORT: Final = 1
_MACS: Final = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))
"""Locally administered: ours, the station's."""


@dataclass(frozen=True, slots=True)
class RecordedChannel:
    """What a recording says of itself.

    Attributes:
        name: of the channel.
        protocol: of the channel.
        site: name of the site.
        model: version of the model.
        endpoints: ``host:port`` by name of the link; ``""`` for a channel with one link.
    """

    name: str
    protocol: str
    site: str
    model: str
    endpoints: dict[str, str]


def head_comment(channel: RecordedChannel) -> str:
    """The comment of a recording's section; :func:`channel_of` reads it."""
    lines = [f"channel: {channel.name}", f"protocol: {channel.protocol}", f"site: {channel.site}", f"model: {channel.model}"]
    return "\n".join(lines)


def channel_of(head: bytes) -> str:
    """Name of the channel by the first octets of a recording; empty if they are not of one.

    >>> channel = RecordedChannel("RTU-1", "iec104", "demo", "v1", {})
    >>> channel_of(RecordingEncoder(channel).head())
    'RTU-1'
    """
    if len(head) < 28 or head[:4] != b"\x0a\x0d\x0d\x0a" or head[8:12] != b"\x4d\x3c\x2b\x1a":
        return ""
    code, length = struct.unpack_from("<HH", head, 24)
    if code != _COMMENT:
        return ""
    first = head[28 : 28 + length].decode("utf-8", "replace").partition("\n")[0]
    return first.removeprefix("channel: ") if first.startswith("channel: ") else ""


@dataclass(slots=True)
class _Connection:
    """The TCP connection that the octets of one link are put into."""

    interface: int
    station: ipaddress.IPv4Address
    station_port: int
    port: int
    open: bool
    sent: int = 1000
    """Next sequence number of ours."""
    received: int = 5000
    """Next sequence number of the station."""
    identification: int = 0
    missed: dict[bool, int] = field(default_factory=dict)


class RecordingEncoder:
    """Encodes one recording; every method returns whole blocks to append to the file.

    Args:
        channel: whose recording it is.
        connected: the channel's connections are already open, so that their first octets are no beginning.
    """

    def __init__(self, channel: RecordedChannel, *, connected: bool = False) -> None:
        self._channel = channel
        self._connected = connected
        self._connections: dict[str, _Connection] = {}
        self._opened = 0

    @property
    def connected(self) -> bool:
        """A connection is open."""
        return self._connected or any(each.open for each in self._connections.values())

    def head(self) -> bytes:
        """The section header; the interfaces follow when their links first speak."""
        options = _option(_COMMENT, head_comment(self._channel).encode()) + _option(4, f"scada {__version__}".encode())
        return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1) + options + _option(0, b""))

    def octets(self, link: str, received: bool, time_ns: int, data: bytes) -> bytes:
        """What was read or written at once; none = the connection of the link has ended."""
        if not data:
            return self._closed(link, time_ns)
        head, connection = self._connection(link, time_ns)
        blocks = [head]
        if missed := connection.missed.pop(received, 0):
            comment = f"{missed} octets before this packet were not recorded"
        else:
            comment = ""
        for at in range(0, len(data), _SEGMENT):
            part = data[at : at + _SEGMENT]
            blocks.append(self._packet(connection, time_ns, part, _PSH | _ACK, received=received, comment=comment))
            comment = ""
        return b"".join(blocks)

    def missed(self, link: str, received: bool, time_ns: int, octets: int) -> bytes:
        """Octets that could not be recorded: the sequence numbers leave a hole, and the next packet says so."""
        head, connection = self._connection(link, time_ns)
        connection.missed[received] = connection.missed.get(received, 0) + octets
        if received:
            connection.received = (connection.received + octets) & 0xFFFF_FFFF
        else:
            connection.sent = (connection.sent + octets) & 0xFFFF_FFFF
        return head

    def close(self, time_ns: int) -> bytes:
        """The end of the recording. Connections go on, so nothing closes them here."""
        time = _ticks(time_ns)
        return b"".join(
            _block(5, struct.pack("<III", each.interface, *time) + _option(0, b"")) for each in self._connections.values()
        )

    # ------------------------------------------------------------------ inside

    def _connection(self, link: str, time_ns: int) -> tuple[bytes, _Connection]:
        connection = self._connections.get(link)
        blocks = b""
        if connection is None:
            connection = self._new(link)
            self._connections[link] = connection
            blocks = self._interface(link)
        if not connection.open:
            blocks += self._open(connection, time_ns)
        return blocks, connection

    def _new(self, link: str) -> _Connection:
        index = len(self._connections)
        host = self._channel.endpoints.get(link, "").rpartition(":")[0]
        try:
            station = ipaddress.IPv4Address(host)
        except ValueError:
            station = ipaddress.IPv4Address("198.51.100.1") + index
        port = _PORTS.get(self._channel.protocol, _OTHER_PORT)
        return _Connection(index, station, port, self._next_port(), self._connected)

    def _next_port(self) -> int:
        self._opened += 1
        return _FIRST_PORT + (self._opened - 1) % (65536 - _FIRST_PORT)

    def _interface(self, link: str) -> bytes:
        name = f"{self._channel.name} {link}".rstrip()
        options = (
            _option(2, name.encode())
            + _option(3, f"{self._channel.protocol} {self._channel.endpoints.get(link, '')}".rstrip().encode())
            + _option(9, b"\x09")
            + _option(0, b"")
        )
        return _block(1, struct.pack("<HHI", _ETHERNET, 0, 0) + options)

    def _open(self, connection: _Connection, time_ns: int) -> bytes:
        connection.open = True
        connection.missed.clear()
        return b"".join(
            (
                self._packet(connection, time_ns, b"", _SYN, received=False),
                self._packet(connection, time_ns, b"", _SYN | _ACK, received=True),
                self._packet(connection, time_ns, b"", _ACK, received=False),
            )
        )

    def _closed(self, link: str, time_ns: int) -> bytes:
        connection = self._connections.get(link)
        if connection is None:
            self._connected = False  # what was open has said nothing
            return b""
        if not connection.open:
            return b""
        blocks = b"".join(
            (
                self._packet(connection, time_ns, b"", _FIN | _ACK, received=True),
                self._packet(connection, time_ns, b"", _FIN | _ACK, received=False),
            )
        )
        connection.open = False
        connection.port = self._next_port()
        return blocks

    def _packet(
        self, connection: _Connection, time_ns: int, data: bytes, flags: int, *, received: bool, comment: str = ""
    ) -> bytes:
        frame = _frame(connection, data, flags, received=received)
        taken = len(data) + bool(flags & (_SYN | _FIN))
        if received:
            connection.received = (connection.received + taken) & 0xFFFF_FFFF
        else:
            connection.sent = (connection.sent + taken) & 0xFFFF_FFFF
        options = _option(_COMMENT, comment.encode()) if comment else b""
        options += _option(2, struct.pack("<I", 1 if received else 2)) + _option(0, b"")
        head = struct.pack("<IIIII", connection.interface, *_ticks(time_ns), len(frame), len(frame))
        return _block(6, head + _padded(frame) + options)


_COMMENT: Final = 1


def _frame(connection: _Connection, data: bytes, flags: int, *, received: bool) -> bytes:
    """Ethernet, IPv4 and TCP around some octets, with right checksums."""
    ours, station = (_OURS.packed, connection.port), (connection.station.packed, connection.station_port)
    (source, source_port), (destination, destination_port) = (station, ours) if received else (ours, station)
    seq, acknowledged = (connection.received, connection.sent) if received else (connection.sent, connection.received)
    if not flags & _ACK:
        acknowledged = 0
    tcp = struct.pack(">HHIIBBHHH", source_port, destination_port, seq, acknowledged, 0x50, flags, 65535, 0, 0)
    pseudo = source + destination + struct.pack(">BBH", 0, 6, len(tcp) + len(data))
    tcp = tcp[:16] + _checksum(pseudo + tcp + data).to_bytes(2) + tcp[18:]
    connection.identification = (connection.identification + 1) & 0xFFFF
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(data), connection.identification, 0x4000, 64, 6, 0)
    ip += source + destination
    ip = ip[:10] + _checksum(ip).to_bytes(2) + ip[12:]
    macs = _MACS[0] + _MACS[1] if received else _MACS[1] + _MACS[0]
    return macs + b"\x08\x00" + ip + tcp + data


def _checksum(data: bytes) -> int:
    """Internet checksum (RFC 1071): a sum of 16-bit words with end-around carry is the number modulo 65535."""
    total = int.from_bytes(data + b"\0" * (len(data) % 2)) % 0xFFFF
    return 0xFFFF - total if total else 0


def _ticks(time_ns: int) -> tuple[int, int]:
    return time_ns >> 32 & 0xFFFF_FFFF, time_ns & 0xFFFF_FFFF


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length
