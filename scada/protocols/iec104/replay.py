"""A recorded trace through the live decoder, isolated from everything that is live.

Each direction of each TCP connection has its own observing :class:`~scada.protocols.iec104.channel.Channel`; time is a
:class:`~scada.core.clock.VirtualClock` that follows the capture. Values go into a database of the session's own, under point ids
given in order of first appearance.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from scada.core.batch import PointBatch, Records
from scada.core.clock import Clock, VirtualClock
from scada.model_cim.tables import ChannelSpec
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import COMMAND_TYPES, Asdu, TypeId, decode_command
from scada.protocols.iec104.capture import PORT, Finding, Trace, load_trace
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.codec import address_text
from scada.protocols.iec104.effects import Effect, Heard, Notice, Values
from scada.protocols.trace import Chunk
from scada.rtdb.changes import ChangeSet, Snapshot

PIECE_OCTETS: Final = 200
"""What a piece of a trace costs beside its octets, in octets."""
_FIRST_CAPACITY: Final = 1024
_COMMIT_RECORDS: Final = 10_000
"""Values after which a long step commits in between."""


class Database(Protocol):
    """What a session needs of its database; :class:`scada.rtdb.store.Store` is one."""

    def apply(self, batch: PointBatch) -> int:
        """Write values."""
        ...

    def commit(self) -> ChangeSet | None:
        """Number and keep what was written; the changes."""
        ...

    def grow(self, capacity: int) -> None:
        """Make room for more points."""
        ...

    def snapshot(self) -> Snapshot:
        """All values."""
        ...


@dataclass(frozen=True, slots=True)
class ReplayedObject:
    """One information object as the live decoder read it.

    ``value`` is in raw units, None where the type has none; ``quality`` the QDS octet (commands: the qualifier); ``detail`` the
    transient bit, sequence/CY/CA of a counter, or S/E of a command; ``time_ns`` 0 = none or invalid; ``time_bits`` those of
    ``TimeQuality``.
    """

    frame: int
    received_ns: int
    stream: int
    source: str
    type_id: int
    cause: int
    negative: bool
    test: bool
    common_address: int
    ioa: int
    value: float | None
    quality: int
    detail: int
    time_ns: int
    time_bits: int


@dataclass(slots=True)
class ReplayStatistics:
    """Counters of a session."""

    packets: int = 0
    apdus: int = 0
    objects: int = 0
    sequence_errors: int = 0
    malformed: int = 0
    lost_octets: int = 0
    repeated_octets: int = 0
    position_s: float = 0.0
    length_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplayedValue:
    """Last value of an address.

    Attributes:
        address: ``host CA n IOA n``.
        time_ns: when it was received, by the capture.
    """

    address: str
    type_id: int
    cause: int
    value: float
    quality: int
    source_time_ns: int
    time_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    chunk: Chunk
    records: Records | None
    addresses: npt.NDArray[np.int64] | None
    asdu: Asdu | None


class ReplaySession:
    """Replays one capture file. Step it, or :meth:`run` it to the end; to go back, make a new one of the same trace.

    Args:
        trace: a capture, or its file.
        make_database: makes the session's own empty database, on the session's clock.
        port: TCP port of the controlled stations, where a file is given.
        keep_objects: keep every object for :meth:`objects` (comparison, export); else only the last values are there.

    Raises:
        TraceError: the file cannot be read or holds no IEC 104 connection.
    """

    def __init__(
        self, trace: Path | Trace, make_database: Callable[[Clock], Database], *, port: int = PORT, keep_objects: bool = False
    ) -> None:
        self.trace = trace if isinstance(trace, Trace) else load_trace(trace, port)
        self.statistics = ReplayStatistics(
            packets=self.trace.packets, repeated_octets=self.trace.repeated, length_s=self.trace.length_s
        )
        self.findings: list[Finding] = list(self.trace.findings)
        self.clock = VirtualClock(self.trace.start_ns)
        self.database = make_database(self.clock)
        self.database.grow(_FIRST_CAPACITY)
        self._capacity = _FIRST_CAPACITY
        self._at = self._uncommitted = 0
        self._channels: dict[tuple[int, str], Channel] = {}
        self._pids: dict[tuple[str, int], int] = {}
        self._last = np.zeros((_FIRST_CAPACITY, 2), dtype=np.uint8)
        self._kept: list[_Kept] | None = [] if keep_objects else None
        self._journal = hashlib.sha256()

    @property
    def finished(self) -> bool:
        """The whole trace has been replayed."""
        return self._at >= len(self.trace.chunks)

    @property
    def addresses(self) -> int:
        """Addresses found so far."""
        return len(self._pids)

    def step(self, max_virtual_seconds: float, most_octets: float = math.inf) -> bool:
        """Replay the next stretch of the trace.

        Args:
            max_virtual_seconds: how far the session's clock may move.
            most_octets: stop earlier after so much, :data:`PIECE_OCTETS` counted for each piece beside its own.

        Returns:
            True while there is more.
        """
        until = self.clock.now_ns() + round(min(max_virtual_seconds, 1e9) * 1e9)
        chunks = self.trace.chunks
        while not self.finished and chunks[self._at].time_ns <= until and most_octets > 0:
            most_octets -= len(chunks[self._at].data) + PIECE_OCTETS
            self._next()
        if not self.finished and chunks[self._at].time_ns > until:
            self._move_clock(until)
        return self._settle()

    def step_frames(self, frames: int) -> bool:
        """Replay the next pieces of the trace, however long they are apart; True while there is more."""
        for _ in range(frames):
            if self.finished:
                break
            self._next()
        return self._settle()

    @property
    def digest(self) -> str:
        """SHA-256 of the journal so far: the same trace gives the same one every time, at every speed and in every step."""
        return self._journal.hexdigest()

    def run(self) -> None:
        """Replay to the end."""
        while self.step(1e9):
            pass

    def values(self) -> list[ReplayedValue]:
        """Last value of every address, in order of first appearance."""
        snapshot = self.database.snapshot()
        values = []
        for (station, key), pid in self._pids.items():
            type_id, cause = self._last[pid].tolist()
            values.append(
                ReplayedValue(
                    f"{station} {address_text(key)}",
                    type_id,
                    cause,
                    float(snapshot.value[pid]),
                    int(snapshot.quality[pid]),
                    int(snapshot.source_time[pid]),
                    int(snapshot.received_at[pid]),
                )
            )
        return values

    def objects(self) -> Iterator[ReplayedObject]:
        """Every object so far, in order; needs ``keep_objects``."""
        for kept in self._kept or ():
            if kept.records is not None and kept.addresses is not None:
                yield from _values_of(kept.chunk, kept.records, kept.addresses)
            elif kept.asdu is not None:
                yield from _objects_of(kept.chunk, kept.asdu)

    # ------------------------------------------------------------------ inside

    def _move_clock(self, until_ns: int) -> None:
        self.clock.advance(max(0, until_ns - self.clock.now_ns()) / 1e9)

    def _next(self) -> None:
        self._replay(self.trace.chunks[self._at])
        self._at += 1

    def _settle(self) -> bool:
        self._commit()
        position = (self.clock.now_ns() - self.trace.start_ns) / 1e9
        self.statistics.position_s = self.statistics.length_s if self.finished else min(position, self.statistics.length_s)
        return not self.finished

    def _commit(self) -> None:
        changes = self.database.commit()
        if changes is not None:
            # record by record, so that it does not matter where the commits were
            self._journal.update(np.rec.fromarrays([changes.records, changes.received_at]).tobytes())
        self._uncommitted = 0

    def _replay(self, chunk: Chunk) -> None:
        self._move_clock(chunk.time_ns)
        channel = self._channel(chunk)
        if not chunk.continues:
            channel.link.gap(chunk.lost)
        if chunk.lost:
            self.statistics.lost_octets += chunk.lost
            self._find(chunk, "lost", f"{chunk.lost} octets before this frame are not in the capture so far")
        before = channel.statistics.frames_in
        for effect in channel.feed(chunk.data, self.clock.now_ns(), self.clock.monotonic()):
            self._take(chunk, effect)
        self.statistics.apdus += channel.statistics.frames_in - before

    def _channel(self, chunk: Chunk) -> Channel:
        key = chunk.stream, chunk.source
        channel = self._channels.get(key)
        if channel is None:
            spec = ChannelSpec(
                chunk.stream & 0x7FFF, "", f"{chunk.source} > {chunk.destination}", "iec104", "", 0, "", {"summer_minutes": 0}
            )
            channel = self._channels[key] = Channel(spec, (), (), observe=True)
            channel.connected(self.clock.monotonic())
        return channel

    def _take(self, chunk: Chunk, effect: Effect) -> None:
        if isinstance(effect, Values):
            self.statistics.objects += len(effect.batch)
            self._store(chunk, effect)
        elif isinstance(effect, Heard):
            self.statistics.objects += max(1, len(effect.asdu.objects))
            if effect.asdu.objects or effect.asdu.type_id in TypeId.__members__.values():
                self._keep(_Kept(chunk, None, None, effect.asdu))
            else:
                self.statistics.malformed += 1
                self._find(chunk, "malformed", f"type {effect.asdu.type_id} is reserved or not supported")
        elif isinstance(effect, Notice):
            if effect.kind == "sequence":
                self.statistics.sequence_errors += 1
            else:
                self.statistics.malformed += 1
            self._find(chunk, effect.kind, effect.text)

    def _find(self, chunk: Chunk, kind: str, text: str) -> None:
        self.findings.append(Finding(chunk.number, chunk.stream, chunk.source, kind, text))

    def _keep(self, kept: _Kept) -> None:
        if self._kept is not None:
            self._kept.append(kept)

    def _store(self, chunk: Chunk, effect: Values) -> None:
        station = self.trace.station(chunk)
        records = effect.batch.records
        pids = [self._pids.setdefault((station, key), len(self._pids)) for key in effect.addresses.tolist()]
        if len(self._pids) > self._capacity:
            self._capacity = 2 * len(self._pids)
            self.database.grow(self._capacity)
            self._last = np.concatenate([self._last, np.zeros((self._capacity - len(self._last), 2), dtype=np.uint8)])
        records["pid"] = pids
        self._last[pids, 0], self._last[pids, 1] = records["type_id"], records["cause"]
        self.database.apply(effect.batch)
        self._uncommitted += len(records)
        if self._uncommitted >= _COMMIT_RECORDS:
            self._commit()
        self._keep(_Kept(chunk, records, effect.addresses, None))


def _values_of(chunk: Chunk, records: Records, addresses: npt.NDArray[np.int64]) -> Iterator[ReplayedObject]:
    for record, key in zip(records.tolist(), addresses.tolist(), strict=True):
        _, _, cause, time_bits, value, time_ns, quality, type_id, _, detail = record
        yield ReplayedObject(
            chunk.number,
            chunk.time_ns,
            chunk.stream,
            chunk.source,
            type_id,
            cause & 0x3F,
            bool(cause & 0x40),
            bool(cause & 0x80),
            key >> 24,
            key & 0xFF_FFFF,
            value,
            quality & 0xFF,
            detail,
            time_ns,
            time_bits,
        )


def _objects_of(chunk: Chunk, asdu: Asdu) -> Iterator[ReplayedObject]:
    """Commands and system ASDUs."""
    for item in asdu.objects:
        value: float | None = None
        qualifier = detail = time_ns = time_bits = 0
        if asdu.type_id in COMMAND_TYPES:
            order = decode_command(asdu.type_id, item.element)
            value, qualifier, detail = order.value, order.qualifier, int(order.select)
        elif asdu.type_id in {TypeId.M_EI_NA_1, TypeId.C_IC_NA_1, TypeId.C_CI_NA_1, TypeId.C_RP_NA_1}:
            value = float(item.element[0])
        if asdu.type_id in {TypeId.C_CS_NA_1, TypeId.C_TS_TA_1} or 58 <= asdu.type_id <= 64:
            time_ns, time_bits = cp56.from_octets(item.element[-cp56.SIZE :], chunk.time_ns)
        yield ReplayedObject(
            chunk.number,
            chunk.time_ns,
            chunk.stream,
            chunk.source,
            asdu.type_id,
            asdu.cause,
            asdu.negative,
            asdu.test,
            asdu.common_address,
            item.ioa,
            value,
            qualifier,
            detail,
            time_ns,
            time_bits,
        )
