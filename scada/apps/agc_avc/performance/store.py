"""The accounts on disk: every closed minute, command, score and disturbance once, with the state that leads on from them.

What ended with a sample and the state after it are one fully synced transaction: after a crash the account goes on from exactly
what is kept, and the samples since then are missing, not doubled. A minute that is there already is never replaced.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgpack
import numpy as np

from scada.apps.agc_avc.performance.account import Closed
from scada.apps.agc_avc.performance.disturbance import Disturbance
from scada.apps.agc_avc.performance.following import CommandMeasure
from scada.apps.agc_avc.performance.hours import HourScore
from scada.apps.agc_avc.performance.minutes import AREA_MINUTE, UNIT_MINUTE, Rows
from scada.apps.agc_avc.performance.pjm import Score
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, LmdbView, quarantine, seal, unseal
from scada.rtdb.mapped import MappedFile, Transaction

_NAME: Final = "performance"
_LAYOUT: Final = 1
_AREAS, _UNITS, _COMMANDS, _SCORES, _LOSSES, _META = "areas", "units", "commands", "scores", "disturbances", "meta"
_TABLES: Final = (_AREAS, _UNITS, _COMMANDS, _SCORES, _LOSSES, _META)
_ROOM: Final = 0.8
"""Share of the map above which the oldest records of units go before their time."""
_AT_ONCE: Final = 2000
"""Records removed with one minute, or read at once."""
_DAY_MINUTES: Final = 1440
_CHUNK: Final = 1 << 18
_MINUTE_NS: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class KeptUnit:
    """A unit that has records.

    Attributes:
        number: its number in the records; never given to another.
        mrid: of the model.
        name: as last seen.
        fuel: kind.
        rated_mw: as last seen.
        area: number of its area.
    """

    number: int
    mrid: str
    name: str
    fuel: str
    rated_mw: float
    area: int


@dataclass(frozen=True, slots=True)
class KeptArea:
    """An area that has records: its number, mRID, and name and rules as last seen."""

    number: int
    mrid: str
    name: str
    rules: str


class KeptCommand(NamedTuple):
    """A command of a unit, by the unit's number."""

    unit: int
    measured: CommandMeasure


class PerformanceReader:
    """Reads the accounts, beside their writer or alone; callable from any thread.

    Args:
        file: open file of the accounts.
    """

    def __init__(self, file: MappedFile) -> None:
        self._file = file
        self._where = str(file.path)

    @classmethod
    def open(cls, path: Path) -> PerformanceReader:
        """Open the accounts of a folder to be read only; not in the process that writes them.

        Raises:
            StoreError: there are none, or they cannot be read.
        """
        return cls(LmdbView(path, _NAME, layout=_LAYOUT, databases=_TABLES))

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def areas(self) -> list[KeptArea]:
        """Areas with records, by number."""
        return [KeptArea(**one) for one in self._list(b"areas")]

    def units(self) -> list[KeptUnit]:
        """Units with records, by number."""
        return [KeptUnit(**one) for one in self._list(b"units")]

    def minutes(self, area: int, begin: int, end: int) -> Rows:
        """Minutes of an area from ``begin`` to before ``end`` (minutes since 1970 UTC), ascending; what is missing is missing."""
        found = []
        with self._file.read() as txn:
            last = _area_key(area, end)
            for key, blob in txn.ascending(_AREAS, _area_key(area, begin)):
                if key >= last:
                    break
                found.append(unseal(blob, self._where))
        return np.frombuffer(b"".join(found), dtype=AREA_MINUTE)

    def unit_minutes(self, area: int, begin: int, end: int) -> Iterator[tuple[int, Rows]]:
        """(minute, rows of the area's units), ascending."""
        for key, blob in self._pieces(_UNITS, struct.pack(">IH", begin, 0), struct.pack(">IH", end, 0)):
            minute, whose = struct.unpack(">IH", key)
            if whose == area:
                yield minute, np.frombuffer(unseal(blob, self._where), dtype=UNIT_MINUTE)

    def commands(self, begin_ns: int, end_ns: int) -> Iterator[KeptCommand]:
        """Commands that began in a span, ascending."""
        for key, blob in self._pieces(_COMMANDS, struct.pack(">QI", begin_ns, 0), struct.pack(">QI", end_ns, 0)):
            yield KeptCommand(struct.unpack(">QI", key)[1], CommandMeasure(*msgpack.unpackb(unseal(blob, self._where))))

    def _pieces(self, table: str, begin: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Records of a long span, some at a time: no transaction stays open, and they need not fit in memory together."""
        start = begin
        while True:
            piece: list[tuple[bytes, bytes]] = []
            with self._file.read() as txn:
                for key, blob in txn.ascending(table, start):
                    if key >= end or len(piece) >= _AT_ONCE:
                        break
                    piece.append((key, blob))
            yield from piece
            if len(piece) < _AT_ONCE:
                return
            start = piece[-1][0] + b"\0"

    def scores(self, begin_hour: int, end_hour: int) -> list[HourScore]:
        """PJM scores of the hours (since 1970 UTC) of a span, ascending."""
        found = []
        with self._file.read() as txn:
            for key, blob in txn.ascending(_SCORES, struct.pack(">II", begin_hour, 0)):
                hour, unit = struct.unpack(">II", key)
                if hour >= end_hour:
                    break
                found.append(HourScore(hour, unit, Score(*msgpack.unpackb(unseal(blob, self._where)))))
        return found

    def disturbances(self, area: int, begin_ns: int, end_ns: int) -> list[Disturbance]:
        """Disturbances of an area that began in a span, ascending."""
        found = []
        with self._file.read() as txn:
            last = struct.pack(">HQ", area, end_ns)
            for key, blob in txn.ascending(_LOSSES, struct.pack(">HQ", area, begin_ns)):
                if key >= last:
                    break
                found.append(Disturbance(**msgpack.unpackb(unseal(blob, self._where))))
        return found

    def _list(self, key: bytes) -> list[dict[str, Any]]:
        with self._file.read() as txn:
            blob = txn.get(_META, key)
        found: list[dict[str, Any]] = [] if blob is None else msgpack.unpackb(unseal(blob, self._where))
        return found


class PerformanceStore(PerformanceReader):
    """The writer of the accounts.

    Args:
        path: folder; made if absent.
        map_mb: fixed size of the file.
        unit_days: how long records of units are kept.

    Raises:
        CorruptFileError: the file is damaged.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(self, path: Path, *, map_mb: int = 512, unit_days: int = 92) -> None:
        self._writer = LmdbFile(path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=_TABLES)
        super().__init__(self._writer)
        self._keep = unit_days * _DAY_MINUTES
        try:
            self.areas()
            self.units()
        except BaseException:
            self._writer.close()
            raise

    @classmethod
    def open_or_quarantine(
        cls, path: Path, clock: Clock, *, map_mb: int = 512, unit_days: int = 92
    ) -> tuple[PerformanceStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, map_mb=map_mb, unit_days=unit_days), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            store = cls(path, map_mb=map_mb, unit_days=unit_days)
            return store, f"{error.what}; {error.where} was moved to {aside.name} and the accounts begin anew"

    def enrol(
        self, mrid: str, name: str, rules: str, units: Sequence[tuple[str, str, str, float]]
    ) -> tuple[int, tuple[int, ...]]:
        """Give an area and its units their numbers; who has one keeps it.

        Args:
            mrid: of the area.
            name: of the area.
            rules: profile it is judged by.
            units: (mRID, name, fuel, rated MW) of each.

        Returns:
            Number of the area, numbers of the units.

        Raises:
            StoreError: it cannot be written.
        """
        areas, known = self.areas(), self.units()
        place = next((one.number for one in areas if one.mrid == mrid), len(areas))
        areas[place : place + 1] = [KeptArea(place, mrid, name, rules)]
        numbers = {one.mrid: one.number for one in known}
        for unit, title, fuel, rated in units:
            number = numbers.setdefault(unit, len(known))
            known[number : number + 1] = [KeptUnit(number, unit, title, fuel, rated, place)]
        with self._writer.write() as txn:
            txn.put(_META, b"areas", _sealed([asdict(one) for one in areas]))
            txn.put(_META, b"units", _sealed([asdict(one) for one in known]))
        return place, tuple(numbers[unit] for unit, *_ in units)

    def keep(self, area: int, closed: Closed | None, state: dict[str, Any]) -> bool:
        """Keep what ended and the state that goes on from it, all or nothing; on disk when this returns.

        Args:
            area: number of the area.
            closed: None = the state alone.
            state: of the account.

        Returns:
            False if the minute was there already: it stays as it was.

        Raises:
            StoreError: nothing was written.
        """
        fresh = True
        with self._writer.write() as txn:
            if closed is not None:
                fresh = self._put(txn, area, closed)
            self._put_state(txn, area, msgpack.packb(state))
        return fresh

    def _put(self, txn: Transaction, area: int, closed: Closed) -> bool:
        fresh = True
        if closed.area is not None:
            minute = int(closed.area["minute"][0])
            key = _area_key(area, minute)
            fresh = txn.get(_AREAS, key) is None
            if fresh:
                txn.put(_AREAS, key, seal(closed.area.tobytes()))
                if closed.units is not None and len(closed.units):
                    txn.put(_UNITS, struct.pack(">IH", minute, area), seal(closed.units.tobytes()))
            self._trim(txn, minute)
        for unit, measured in closed.commands:
            txn.put(_COMMANDS, struct.pack(">QI", measured.begin_ns, unit), _sealed(astuple(measured)))
        for one in closed.scores:
            key = struct.pack(">II", one.hour, one.unit)
            if txn.get(_SCORES, key) is None:
                txn.put(_SCORES, key, _sealed(list(one.score)))
        for loss in closed.disturbances:
            txn.put(_LOSSES, struct.pack(">HQ", area, loss.begin_ns), _sealed(asdict(loss)))
        return fresh

    def _trim(self, txn: Transaction, minute: int) -> None:
        """Remove what is too old, or the oldest there is while room is short; never of areas."""
        oldest = max(minute - self._keep, 0)
        used = sum(txn.size(table) for table in _TABLES)
        short = used > _ROOM * self._writer.map_bytes
        bounds = {
            _UNITS: struct.pack(">IH", oldest, 0),
            _COMMANDS: struct.pack(">QI", oldest * _MINUTE_NS, 0),
            _SCORES: struct.pack(">II", oldest // 60, 0),
        }
        for table, bound in bounds.items():
            limit = b"\xff" * len(bound) if short else bound
            _remove(txn, table, limit, _AT_ONCE if not short else max(2, txn.count(table) // 100))

    def state(self, area: int) -> dict[str, Any] | None:
        """The state kept last, None if there is none.

        Raises:
            CorruptFileError: it is damaged.
        """
        pieces: list[bytes] = []
        with self._writer.read() as txn:
            while (blob := txn.get(_META, _state_key(area, len(pieces)))) is not None:
                pieces.append(unseal(blob, self._where))
        found: dict[str, Any] | None = msgpack.unpackb(b"".join(pieces), strict_map_key=False) if pieces else None
        return found

    def _put_state(self, txn: Transaction, area: int, whole: bytes) -> None:
        count = -(-len(whole) // _CHUNK)
        for index in range(count):
            txn.put(_META, _state_key(area, index), seal(whole[index * _CHUNK : (index + 1) * _CHUNK]))
        while txn.delete(_META, _state_key(area, count)):
            count += 1


def _remove(txn: Transaction, table: str, before: bytes, most: int) -> None:
    found: list[bytes] = []
    for key in txn.keys(table):
        if key >= before or len(found) >= most:
            break
        found.append(key)
    for key in found:
        txn.delete(table, key)


def _sealed(value: Iterable[Any]) -> bytes:
    packed: bytes = msgpack.packb(value)
    return seal(packed)


def _area_key(area: int, minute: int) -> bytes:
    return struct.pack(">HI", area, minute)


def _state_key(area: int, index: int) -> bytes:
    return f"state/{area}/{index:06d}".encode()
