"""The table of alarm conditions, made from the points of a model.

Only points that have a condition, or that a condition of another point depends on, have a row (88 bytes); any other point costs
four bytes. The meaning of the conditions stands in :mod:`scada.events.conditions`, whose kernels work on the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from scada.core.batch import Records
from scada.events.conditions import (
    CONDITIONS,
    DEVIATION,
    NOTHING,
    RATE,
    RATE_DTYPE,
    STATE,
    STEPS,
    SUPPRESSES,
    TURN_DTYPE,
    Tables,
    judge_rates,
    judge_records,
    measure,
)
from scada.model_cim.tables import Point

_ROOM: Final = 4096
_INF: Final = float("inf")
_NAN: Final = float("nan")
_FIELDS: Final = ("lolo", "lo", "hi", "hihi", "normal", "deviation")
"""Fields of the columns."""


class Turn(NamedTuple):
    """A record of :data:`~scada.events.conditions.TURN_DTYPE` as plain numbers."""

    record: int
    row: int
    column: int
    began: int
    value: float
    measured: float


class ConditionTable:
    """The conditions of all points, and which of them hold.

    Args:
        points: indexed by pid.

    Attributes:
        suppressed: row of each suppressing point -> pids of the points it suppresses.
        unknown: rows that :meth:`succeed` found to be new or other than before.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        chosen = _with_conditions(points)
        numbers = {points[pid].mrid: row for row, pid in enumerate(chosen)}
        reference = [numbers.get(points[pid].limits.reference, -1) for pid in chosen]
        kinds = [_kinds(points[pid], bool(place >= 0)) for pid, place in zip(chosen, reference, strict=True)]
        followers: dict[int, list[int]] = {}
        self.suppressed: dict[int, list[int]] = {}
        rates = []
        for row, pid in enumerate(chosen):
            if kinds[row] >> DEVIATION & 1:
                followers.setdefault(reference[row], []).append(row)
            if kinds[row] >> RATE & 1:
                limits = points[pid].limits
                rates.append((limits.rate / 60, limits.rate_window_s / STEPS, _INF, 0, row))
            if points[pid].suppressed_by in numbers:
                self.suppressed.setdefault(numbers[points[pid].suppressed_by], []).append(pid)
        for row in self.suppressed:
            kinds[row] |= 1 << SUPPRESSES
        longest = max(map(len, followers.values()), default=0)
        self._tables = Tables.empty(len(points), len(chosen), sum(map(len, followers.values())), len(rates))
        self._tables.rates[:] = np.array(rates, dtype=RATE_DTYPE)
        self._fill(points, chosen, reference, kinds)
        start = 0
        for row, following in followers.items():
            self._tables.rows["first_dependent"][row], self._tables.rows["dependents"][row] = start, len(following)
            self._tables.dependents[start : start + len(following)] = following
            start += len(following)
        self._turns = np.zeros(_ROOM + longest, dtype=TURN_DTYPE)
        self.unknown: set[int] = set()

    def _fill(self, points: Sequence[Point], chosen: Sequence[int], reference: Sequence[int], kinds: Sequence[int]) -> None:
        row_of, rows = self._tables.row_of, self._tables.rows
        row_of[chosen] = np.arange(len(chosen))
        rows["value"] = np.nan
        rows["pid"] = chosen
        rows["reference"] = reference
        rows["kinds"] = kinds
        for name in ("lolo", "lo", "hi", "hihi", "hysteresis", "deviation"):
            rows[name] = [getattr(points[pid].limits, name) for pid in chosen]
        rows["normal"] = [points[pid].normal_value for pid in chosen]
        rows["rate"] = NOTHING
        rows["rate"][self._tables.rates["row"]] = np.arange(len(self._tables.rates))

    def succeed(self, before: ConditionTable) -> dict[int, int]:
        """Go on with the values, and with the conditions that are the same, of another model version's table.

        Returns:
            Row here of each row there whose point has one in both.
        """
        mine, theirs = self._tables, before._tables
        known = theirs.row_of[mine.rows["pid"][mine.rows["pid"] < len(theirs.row_of)]]
        here = np.flatnonzero(known >= 0)  # rows are in order of their pids, so those beyond the other table come last
        there = known[here]
        for name in ("value", "good"):
            mine.rows[name][here] = theirs.rows[name][there]
        same = np.ones(len(here), dtype=np.bool_)
        for name in (*_FIELDS, "hysteresis", "kinds"):
            one, other = mine.rows[name][here], theirs.rows[name][there]
            same &= (one == other) | ((one != one) & (other != other))  # noqa: PLR0124 - NaN
        same &= _references(mine, here) == _references(theirs, there)
        for place in np.flatnonzero(same & (mine.rows["rate"][here] >= 0) & (theirs.rows["rate"][there] >= 0)).tolist():
            rate, was = int(mine.rows["rate"][here[place]]), int(theirs.rows["rate"][there[place]])
            if all(mine.rates[name][rate] == theirs.rates[name][was] for name in ("limit", "step")):
                mine.rings[rate] = theirs.rings[was]
                for name in ("since", "bucket"):
                    mine.rates[name][rate] = theirs.rates[name][was]
            else:
                same[place] = False
        held = theirs.rows["held"][there] & mine.rows["kinds"][here]  # a condition that is no more is not held
        mine.rows["held"][here] |= held
        self.unknown = set(range(len(mine.rows))) - set(here[same].tolist())
        return dict(zip(there.tolist(), here.tolist(), strict=True))

    def judge(self, records: Records, now: float) -> Iterator[Turn]:
        """What turns by the records, in their order; run the iterator to its end.

        Args:
            records: array of :data:`~scada.core.batch.POINT_DTYPE`.
            now: monotonic s.
        """
        start = 0
        while start < len(records):
            start, count = judge_records(self._tables, records, start, now, self._turns)
            yield from map(Turn._make, self._turns[:count].tolist())

    def advance(self, rows: Sequence[int], now: float) -> Iterator[Turn]:
        """Which rates of these rows are over because time has passed; run the iterator to its end."""
        for start in range(0, len(rows), _ROOM):
            part = np.array(rows[start : start + _ROOM], dtype=np.int64)
            count = judge_rates(self._tables, part, now, self._turns)
            yield from map(Turn._make, self._turns[:count].tolist())

    def measured(self, row: int, column: int, now: float) -> float:
        """The present deviation, or rate in units per minute; NaN for other conditions, and where it is not known."""
        return float(measure(self._tables, row, column, now))

    def value(self, row: int) -> float:
        """Last good value of a row, NaN = none yet."""
        return float(self._tables.rows["value"][row])

    def good(self, row: int) -> bool:
        """Whether the present value of a row is good."""
        return bool(self._tables.rows["good"][row])

    def holds(self, row: int, column: int) -> bool:
        """Whether a condition holds, whatever its delays."""
        return bool(self._tables.rows["held"][row] >> column & 1)

    def limit(self, row: int, column: int) -> float:
        """What the condition compares with: the limit, the deviation, the rate in units per minute; NaN for a state."""
        if column == RATE:
            return float(self._tables.rates["limit"][self._tables.rows["rate"][row]] * 60)
        return _NAN if column == STATE else float(self._tables.rows[_FIELDS[column]][row])

    def reference(self, row: int) -> int:
        """Point that the deviation of a row is from."""
        return self.pid(int(self._tables.rows["reference"][row]))

    def pid(self, row: int) -> int:
        """Point of a row."""
        return int(self._tables.rows["pid"][row])

    def row(self, pid: int, column: int) -> int:
        """Row of a point that has this condition, -1 = it has not."""
        row = int(self._tables.row_of[pid])
        return row if row >= 0 and self._tables.rows["kinds"][row] >> column & 1 else -1

    def hold(self, row: int, column: int) -> None:
        """Say that a condition held when the server stopped; the next good value judges it anew."""
        self._tables.rows["held"][row] |= 1 << column

    def pids(self) -> list[int]:
        """Points that can have an alarm."""
        rows = self._tables.rows
        listed: list[int] = rows["pid"][rows["kinds"] & (1 << SUPPRESSES) - 1 != 0].tolist()
        return listed

    def keys(self, pid: int) -> list[str]:
        """Keys of the alarms a point can have."""
        row = int(self._tables.row_of[pid])
        kinds = int(self._tables.rows["kinds"][row]) if row >= 0 else 0
        return [key for column, key in enumerate(CONDITIONS) if kinds >> column & 1]


def _references(tables: Tables, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Pids of the points that deviations of these rows are from, -1 = none."""
    reference = tables.rows["reference"][rows]
    return np.where(reference >= 0, tables.rows["pid"][reference].astype(np.int64), -1)


def _with_conditions(points: Sequence[Point]) -> list[int]:
    """Pids that need a row: those with conditions, and those that conditions refer to."""
    chosen: set[int] = set()
    wanted: set[str] = set()
    for point in points:
        if point.removed:
            continue
        if _kinds(point, bool(point.limits.reference)):
            chosen.add(int(point.pid))
        wanted.update((point.suppressed_by, point.limits.reference))
    wanted.discard("")
    if wanted:
        chosen.update(int(point.pid) for point in points if point.mrid in wanted and not point.removed)
    return sorted(chosen)


def _kinds(point: Point, referred: bool) -> int:
    """Columns a point has, as bits (NaN is no limit, and fails every comparison)."""
    limits = point.limits
    four = (limits.lolo, limits.lo, limits.hi, limits.hihi)
    kinds = sum(1 << column for column, limit in enumerate(four) if abs(limit) >= 0)
    kinds |= (abs(point.normal_value) >= 0) << STATE
    kinds |= (limits.deviation > 0 and referred) << DEVIATION
    return kinds | (limits.rate > 0) << RATE
