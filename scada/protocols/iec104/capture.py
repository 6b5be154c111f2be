"""What a capture file holds of IEC 104: the octets of its connections in order, with the faults of the file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scada.protocols.trace import Chunk, TcpReassembler, TraceError, read_packets, tcp_segment

PORT: Final = 2404
_PART_PACKETS: Final = 4000


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of the trace.

    Attributes:
        frame: frame number, 0 = the file as a whole.
        stream: TCP connection, -1 = none.
        source: ``host:port`` of the sender.
        kind: ``sequence``, ``malformed``, ``lost`` or ``file``.
        text: what is wrong.
    """

    frame: int
    stream: int
    source: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A capture file that has been read.

    Attributes:
        path: the file.
        port: TCP port of the controlled stations.
        chunks: octets of the connections, in order; at least one.
        packets: packets of the file.
        repeated: octets that came again, and were left out.
        findings: faults of the file as a whole.
    """

    path: Path
    port: int
    chunks: tuple[Chunk, ...]
    packets: int
    repeated: int
    findings: tuple[Finding, ...]

    @property
    def start_ns(self) -> int:
        """Time of the first octets, ns UTC."""
        return self.chunks[0].time_ns

    @property
    def length_s(self) -> float:
        """Time from the first octets to the last."""
        return (max(chunk.time_ns for chunk in self.chunks) - self.start_ns) / 1e9

    def from_station(self, chunk: Chunk) -> bool:
        """The octets were sent by a controlled station."""
        return chunk.source.endswith(f":{self.port}")

    def station(self, chunk: Chunk) -> str:
        """Host of the controlled station of a connection."""
        return (chunk.source if self.from_station(chunk) else chunk.destination).rsplit(":", 1)[0]


def load_trace(path: Path, port: int = PORT) -> Trace:
    """Read a pcap or pcapng file and put its TCP connections in order.

    Args:
        path: the file.
        port: TCP port of the controlled stations.

    Raises:
        TraceError: the file cannot be read or holds no IEC 104 connection.
    """
    for trace in loading(path, port):
        if trace is not None:
            return trace
    raise AssertionError("loading ends with the trace")


def loading(path: Path, port: int = PORT) -> Iterator[Trace | None]:
    """:func:`load_trace` in parts, for one that must not be away for long: None after so many packets, at last the trace."""
    reassembler, chunks, findings = TcpReassembler(), [], []
    other = packets = 0
    suffix = f":{port}"
    try:
        for packet in read_packets(path):
            packets += 1
            if packets % _PART_PACKETS == 0:
                yield None
            segment = tcp_segment(packet)
            if segment is None:
                continue
            found = reassembler.feed(segment)
            chunks += [chunk for chunk in found if _concerns(chunk, suffix)]
            other += len(found)
    except TraceError as error:
        if not packets:
            raise
        findings.append(Finding(0, -1, "", "file", error.what))
    chunks += [chunk for chunk in reassembler.finish() if _concerns(chunk, suffix)]
    if not chunks:
        raise TraceError(
            f"no IEC 104 data: no TCP payload on port {port}" + (f" ({other} pieces on others)" if other else ""),
            where=str(path),
            mend="name the stations' port",
        )
    yield Trace(path, port, tuple(chunks), packets, reassembler.repeated, tuple(findings))


def _concerns(chunk: Chunk, suffix: str) -> bool:
    return chunk.source.endswith(suffix) or chunk.destination.endswith(suffix)
