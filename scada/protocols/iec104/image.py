"""The image of a controlled station: its points as columns, what of a new reading is a change, and ASDUs of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.core.errors import ConfigError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Point
from scada.protocols.iec104.asdu import Cause, tagged, untagged
from scada.protocols.iec104.encode import LOOK_AHEAD, encode_values, first_chunk

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U2 = npt.NDArray[np.uint16]
U4 = npt.NDArray[np.uint32]
Rows = npt.NDArray[np.int64]

Segments = list[tuple[int, Rows]]
"""(untagged type, rows by ascending address) of one common address."""

_STATUS: Final = (1, 3, 5, 7)
"""Untagged types whose every change is an event."""
_COUNTER: Final = 15
_SERVED: Final = frozenset({1, 3, 5, 7, 9, 11, 13, 15, 21})
_INTERROGATION_GROUPS: Final = 16
_COUNTER_GROUPS: Final = 4
NEVER_MEASURED: Final = 0xC0
"""Quality of a point before its first reading: invalid and not topical."""

UNCHANGED: Final = 0
CHANGED: Final = 1
LEARNT: Final = 2
"""The first state of a status: nothing has happened in the plant."""


@dataclass(frozen=True, slots=True)
class Serving:
    """How a point is served where its type does not say it.

    Attributes:
        queued: every change is an event of the queue; else only the newest value is sent. None = a status is queued, a measured
            value is not.
        group: interrogation group 1 .. 16 (QOI 21 .. 36), of a counter 1 .. 4 (QCC); 0 = none.
    """

    queued: bool | None = None
    group: int = 0


class StationImage:
    """Points of a station with their present values.

    Before its first reading a point is *invalid* and *not topical*. Rows are sorted by common address, type and object address.

    Args:
        points: those with an :class:`Iec104Address` are served.
        serving: by point id; what is not there is served as its type says.
        zone_minutes: what the station's clock is ahead of UTC.

    Raises:
        ConfigError: a type cannot be served, an address or a point id stands twice, or there is no such group.
    """

    def __init__(self, points: Sequence[Point], serving: Mapping[int, Serving], zone_minutes: int) -> None:
        mine = [(point.address, point) for point in points if isinstance(point.address, Iec104Address)]
        mine.sort(key=lambda item: (item[0].common_address, untagged(item[0].type_id), item[0].ioa))
        self.zone_minutes = zone_minutes
        self.points = tuple(point for _, point in mine)
        self.pids = np.array([point.pid for _, point in mine], dtype=np.int64)
        self._order = np.argsort(self.pids, kind="stable")
        self._sorted = self.pids[self._order]
        self._by_address = _by_address(mine)
        self._check_pids()
        self.ca = np.array([address.common_address for address, _ in mine], dtype=np.int64)
        self.ioa = np.array([address.ioa for address, _ in mine], dtype=np.int64)
        self.base_type = np.array([untagged(address.type_id) for address, _ in mine], dtype=np.int64)
        self.is_status = np.isin(self.base_type, _STATUS)
        self.is_counter = self.base_type == _COUNTER
        self._serve(mine, serving)
        self._scale = np.where(self.is_status, 1.0, [point.scale for _, point in mine])
        self._offset = np.where(self.is_status, 0.0, [point.offset for _, point in mine])
        self._deadband = np.array([point.deadband for _, point in mine], dtype=np.float64)
        self.value = np.zeros(len(mine))
        self.quality = np.full(len(mine), NEVER_MEASURED, dtype=np.uint32)
        self.time = np.zeros(len(mine), dtype=np.int64)
        self.detail = np.zeros(len(mine), dtype=np.uint16)
        self._reported = np.full(len(mine), np.nan)
        self._reported_quality = np.full(len(mine), 0xFFFF_FFFF, dtype=np.uint32)
        self._make_segments()
        self._warm_up()

    def _serve(self, mine: list[tuple[Iec104Address, Point]], serving: Mapping[int, Serving]) -> None:
        plain = Serving()
        asked = [serving.get(point.pid, plain) for _, point in mine]
        wanted = [
            bool(status) if how.queued is None else how.queued for how, status in zip(asked, self.is_status.tolist(), strict=True)
        ]
        self.is_queued = np.array(wanted, dtype=np.bool_) & ~self.is_counter
        # an event goes out with its time whatever the model says; what is sent newest only as the model says, a status with time
        spontaneous = [
            tagged(untagged(address.type_id)) if status or queued else address.type_id
            for (address, _), status, queued in zip(mine, self.is_status.tolist(), self.is_queued.tolist(), strict=True)
        ]
        self.event_type = np.array(spontaneous, dtype=np.int64)
        self.group = np.array([how.group for how in asked], dtype=np.int64)
        most = np.where(self.is_counter, _COUNTER_GROUPS, _INTERROGATION_GROUPS)
        for row in np.flatnonzero((self.group < 0) | (self.group > most)).tolist():
            raise ConfigError(f"{mine[row][1].path}: there is no group {self.group[row]}", mend=f"use 0 .. {most[row]}")

    def _make_segments(self) -> None:
        """Rows of each common address, type and group; views of one another where they can be."""
        every = np.arange(len(self.pids), dtype=np.int64)
        cuts = np.flatnonzero((np.diff(self.ca) != 0) | (np.diff(self.base_type) != 0)) + 1
        self._segments: dict[tuple[int, bool, int], Segments] = {}
        for rows in np.split(every, cuts) if len(every) else ():
            address, type_id = int(self.ca[rows[0]]), int(self.base_type[rows[0]])
            counters = type_id == _COUNTER
            self._segments.setdefault((address, counters, 0), []).append((type_id, rows))
            for group in np.unique(self.group[rows]).tolist():
                if group:
                    chosen = rows[self.group[rows] == group]
                    self._segments.setdefault((address, counters, group), []).append((type_id, chosen))

    def _check_pids(self) -> None:
        twice = np.flatnonzero(np.diff(self._sorted) == 0)
        if len(twice):
            raise ConfigError(f"{self.points[self._order[twice[0]]].path} is served under two addresses", mend="leave one")

    def _warm_up(self) -> None:
        """Load or compile the kernels now, not at the first interrogation."""
        if len(self.pids):
            self.asdu(int(self.event_type[0]), Cause.SPONTANEOUS, np.zeros(1, dtype=np.int64))
        none = np.zeros(0, dtype=np.int64)
        self.take(none, np.zeros(0), np.zeros(0, np.uint32), none, np.zeros(0, np.uint16), compare=True)

    # ------------------------------------------------------------------ rows

    def find(self, pids: npt.ArrayLike) -> Rows:
        """Rows of point ids, -1 for those that are not served."""
        wanted = np.atleast_1d(np.asarray(pids, dtype=np.int64))
        if not len(self.pids):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self.pids) - 1)
        return np.where(self._sorted[at] == wanted, self._order[at], -1)

    def row(self, common_address: int, ioa: int) -> int:
        """Row of an address, -1 if there is none."""
        return self._by_address.get((common_address, ioa), -1)

    def segments(self, common_address: int, *, counters: bool = False, group: int = 0) -> Segments:
        """What an interrogation of a station or of a group of it asks for; empty if there is nothing."""
        return self._segments.get((common_address, counters, group), [])

    def pieces(self, segments: Segments) -> Iterator[tuple[int, Rows, bool]]:
        """(type, rows, sequence) of the ASDUs that hold segments, made one by one."""
        for type_id, rows in segments:
            at = 0
            while at < len(rows):
                count, sequence = first_chunk(type_id, self.ioa[rows[at : at + LOOK_AHEAD]])
                yield type_id, rows[at : at + count], sequence
                at += count

    # ------------------------------------------------------------------ values

    def take(self, rows: Rows, value: F8, quality: U4, time: I8, detail: U2, *, compare: bool) -> npt.NDArray[np.uint8]:
        """Put readings in, in order, and say of each what it is: :data:`UNCHANGED`, :data:`CHANGED` or :data:`LEARNT`.

        A measured value is changed when it leaves its dead band or its quality changes; a counter never is, it waits to be asked.

        Args:
            rows: which points; one may come several times.
            value: engineering units; status 0/1, double 0..3.
            quality: quality words.
            time: ns UTC.
            detail: transient bit of a step position; CY and CA of a counter.
            compare: a status that says what it said is unchanged, a first one is learnt; else every status is changed.
        """
        marks = np.zeros(len(rows), dtype=np.uint8)
        present = (self.value, self.quality, self.time, self.detail)
        reported = (self._deadband, self._reported, self._reported_quality)
        # copies: views and constants of other layouts would each have the kernel compiled anew, in the middle of traffic
        readings = (np.array(value), np.array(quality), np.array(time), np.array(detail))
        _take(np.array(rows), readings, present, reported, self.is_status, self.is_counter, compare, marks)
        return marks

    def held(self, rows: Rows) -> tuple[npt.NDArray[np.generic], ...]:
        """What rows hold now, for :meth:`put_back`."""
        return tuple(column[rows] for column in self._columns())

    def put_back(self, rows: Rows, held: tuple[npt.NDArray[np.generic], ...]) -> None:
        """Undo what was taken since."""
        for column, old in zip(self._columns(), held, strict=True):
            column[rows] = old

    def _columns(self) -> tuple[npt.NDArray[np.generic], ...]:
        return self.value, self.quality, self.time, self.detail, self._reported, self._reported_quality

    # ------------------------------------------------------------------ ASDUs

    def asdu(self, type_id: int, cause: int, rows: Rows, *, sequence: bool = False, originator: int = 0) -> bytes:
        """An ASDU with the present values of rows of one station."""
        columns = (self.value[rows], self.quality[rows], self.time[rows], self.detail[rows])
        return self.encode(type_id, cause, rows, *columns, sequence=sequence, originator=originator)

    def encode(
        self,
        type_id: int,
        cause: int,
        rows: Rows,
        values: F8,
        quality: U4,
        time: I8,
        detail: U2,
        *,
        sequence: bool = False,
        originator: int = 0,
    ) -> bytes:
        """An ASDU with given values, in engineering units, under the addresses of rows of one station."""
        raw = (values - self._offset[rows]) / self._scale[rows]
        return encode_values(
            type_id,
            cause,
            int(self.ca[rows[0]]),
            self.ioa[rows],
            raw,
            quality,
            time,
            detail,
            sequence=sequence,
            originator=originator,
            zone_minutes=self.zone_minutes,
        )


def _by_address(mine: list[tuple[Iec104Address, Point]]) -> dict[tuple[int, int], int]:
    rows: dict[tuple[int, int], int] = {}
    for index, (address, point) in enumerate(mine):
        if untagged(address.type_id) not in _SERVED:
            raise ConfigError(f"{point.path}: type {address.type_id} is not served", mend="use 1 .. 15, 21 or 30 .. 37")
        if rows.setdefault((address.common_address, address.ioa), index) != index:
            raise ConfigError(f"{point.path}: address {address.common_address}/{address.ioa} is used twice")
    return rows


@njit(cache=True, nogil=True)
def _same(one: float, other: float) -> bool:
    return one == other or (np.isnan(one) and np.isnan(other))


@njit(cache=True, nogil=True)
def _take(
    rows: Rows,
    readings: tuple[F8, U4, I8, U2],
    present: tuple[F8, U4, I8, U2],
    reporting: tuple[F8, F8, U4],
    is_status: npt.NDArray[np.bool_],
    is_counter: npt.NDArray[np.bool_],
    compare: bool,
    marks: npt.NDArray[np.uint8],
) -> None:
    value, quality, time, detail = readings
    now_value, now_quality, now_time, now_detail = present
    deadband, reported, reported_quality = reporting
    for i in range(len(rows)):
        row = rows[i]
        if is_status[row]:
            same = _same(value[i], now_value[row]) and quality[i] == now_quality[row] and detail[i] == now_detail[row]
            if compare and same:
                continue  # also its time stays that of the change
            marks[i] = 2 if compare and now_time[row] == 0 else 1
        elif not is_counter[row]:
            inside = abs(value[i] - reported[row]) <= deadband[row] or _same(value[i], reported[row])
            if not inside or quality[i] != reported_quality[row]:
                marks[i] = 1
                reported[row], reported_quality[row] = value[i], quality[i]
        now_value[row], now_quality[row], now_time[row], now_detail[row] = value[i], quality[i], time[i], detail[i]


def warm_up() -> None:
    """Compile the kernel or load it from numba's cache."""
    f8, u4, i8, u2 = (np.zeros(0, dtype=dtype) for dtype in ("f8", "u4", "i8", "u2"))
    none = np.zeros(0, dtype=np.bool_)
    _take(i8, (f8, u4, i8, u2), (f8, u4, i8, u2), (f8, f8, u4), none, none, True, np.zeros(0, dtype=np.uint8))
