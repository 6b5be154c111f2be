"""Conditions of alarms: the kernels that judge change sets.

A record that changes nothing costs one look into ``row_of`` and, where its point has a row, one row: no object and no temporary
array is made. What turns (begins or ends) leaves as a :data:`TURN_DTYPE` record, in the order of the change set. The table they
work on is made by :mod:`scada.events.condition_table`.

Definitions (alarm types, dead band, on-delay and off-delay of ANSI/ISA-18.2-2016 and IEC 62682:2014) with the point's value ``v``
and its ``hysteresis`` ``h``:

- **limit**: begins at ``v > hi``, is over at ``v <= hi - h``; ``hihi``, and with the signs changed ``lo`` and ``lolo``, alike.
- **state**: ``v`` is not the normal value.
- **deviation**: begins at ``|v - reference| > deviation``, is over at ``<= deviation - h``; judged when one of the two changes.
- **rate**: begins at ``|v - w| > rate * span``, is over at ``<= rate * span - h``, where ``w`` is the value that was in force
  ``span`` ago, and ``span`` is the window or up to a fifteenth of it less. Between two values the first one holds, as points that
  report by exception do; so the rate is a mean over the window however irregularly values come. It begins only when a value
  comes, and is over also when time passes without one. After a gap (bad quality, start of the server) there is no rate before
  a whole window of good values.

A value of bad quality (:data:`scada.core.quality.BAD_MASK`), or one that is no number, neither begins nor ends anything.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, RecordFlag, Records
from scada.core.quality import BAD_MASK

CONDITIONS: Final = (
    "limit.lolo",
    "limit.lo",
    "limit.hi",
    "limit.hihi",
    "state.alarm",
    "limit.deviation",
    "limit.rate",
)
"""Text keys of the alarms a point can have; the place of each is its column."""

STATE: Final = 4
DEVIATION: Final = 5
RATE: Final = 6
SUPPRESSES: Final = 7
"""Column of a point that suppresses others by design: it is 1. Bad quality ends it, for then nothing is known."""

_LOLO, _LO, _HI, _HIHI = (1 << column for column in range(STATE))
_LIMITS: Final = _LOLO | _LO | _HI | _HIHI
_STATE_BIT: Final = 1 << STATE
_DEVIATION_BIT: Final = 1 << DEVIATION
_RATE_BIT: Final = 1 << RATE
_SUPPRESSES_BIT: Final = 1 << SUPPRESSES
_SIMPLE: Final = _LIMITS | _STATE_BIT | _SUPPRESSES_BIT
NOTHING: Final = -1
STEPS: Final = 15
"""A rate's window in steps; its ring holds one more."""

_BAD: Final = BAD_MASK
_ASIDE: Final = RecordFlag.ASIDE

ROW_DTYPE: Final = np.dtype(
    [
        ("value", "<f8"),
        ("lolo", "<f8"),
        ("lo", "<f8"),
        ("hi", "<f8"),
        ("hihi", "<f8"),
        ("hysteresis", "<f8"),
        ("normal", "<f8"),
        ("deviation", "<f8"),
        ("pid", "<u4"),
        ("reference", "<i4"),
        ("rate", "<i4"),
        ("first_dependent", "<i4"),
        ("dependents", "<i4"),
        ("kinds", "u1"),
        ("held", "u1"),
        ("good", "u1"),
    ],
    align=True,
)
"""A point with conditions.

``value`` last good one; ``reference`` row the deviation is from, -1 = none; ``rate`` index into the rates, -1 = none;
``first_dependent`` and ``dependents`` its part of the list of rows whose deviation is from this one; ``kinds`` and ``held`` bit
n = column n exists, holds.
"""

RATE_DTYPE: Final = np.dtype([("limit", "<f8"), ("step", "<f8"), ("since", "<f8"), ("bucket", "<i8"), ("row", "<i8")])
"""``limit`` units per s; ``step`` s; ``since`` monotonic s of the first good value after a gap, inf = in a gap; ``bucket`` the
last step; ``row`` its point."""

TURN_DTYPE: Final = np.dtype(
    [("record", "<i4"), ("row", "<i4"), ("column", "u1"), ("began", "u1"), ("value", "<f8"), ("measured", "<f8")]
)
"""A condition that begins or ends.

``record`` index in the change set, -1 = none; ``row`` of the table; ``value`` of the point; ``measured`` the deviation, or the
rate in units per minute, else NaN.
"""


class Tables(NamedTuple):
    """What the kernels work on; a named tuple, so that they take it as it is."""

    row_of: npt.NDArray[np.int32]
    """Row of each pid, -1 = none."""
    rows: npt.NDArray[np.void]
    dependents: npt.NDArray[np.int32]
    rates: npt.NDArray[np.void]
    rings: npt.NDArray[np.float64]
    """Value in force at the end of each of the last 16 steps, per rate."""

    @classmethod
    def empty(cls, points: int, rows: int, dependents: int, rates: int) -> Tables:
        """Tables of these lengths in which nothing is judged."""
        return cls(
            np.full(points, NOTHING, dtype=np.int32),
            np.zeros(rows, dtype=ROW_DTYPE),
            np.zeros(dependents, dtype=np.int32),
            np.zeros(rates, dtype=RATE_DTYPE),
            np.full((rates, STEPS + 1), np.nan),
        )


@numba.njit(nogil=True, cache=True)
def judge_records(
    tables: Tables, records: Records, start: int, now: float, turns: npt.NDArray[np.void]
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Judge records from ``start`` on until ``turns`` could overflow.

    Returns:
        (index of the next record, number of turns).
    """
    count = 0
    row_of, rows = tables.row_of, tables.rows  # names of their own: each look through the tuple would count references
    for i in range(start, len(records)):
        pid = records[i].pid
        if pid >= row_of.size:
            continue
        row = row_of[pid]
        if row == NOTHING:
            continue
        record = records[i]
        if record.flags & _ASIDE != 0:
            continue
        if count + rows[row].dependents + 8 > len(turns):
            return i, count
        good = record.quality & np.uint32(_BAD) == 0 and np.isfinite(record.value)
        entry = rows[row]
        entry.good = good
        if not good:
            count = _doubt(tables, row, i, turns, count)
            continue
        entry.value = record.value
        if entry.kinds & _SIMPLE != 0:
            before = np.int64(entry.held)
            held = _simple(entry, record.value) | int(before & ~_SIMPLE)
            if held != before:
                entry.held = held
                count = _tell(turns, count, i, row, held, int(before), record.value)
        if entry.rate >= 0:
            count = _judge_rate(tables, row, now, i, turns, count)
        if entry.kinds & _DEVIATION_BIT != 0:
            count = _judge_deviation(tables, row, i, turns, count)
        for place in range(entry.first_dependent, entry.first_dependent + entry.dependents):
            count = _judge_deviation(tables, tables.dependents[place], i, turns, count)
    return len(records), count


@numba.njit(nogil=True, cache=True)
def _simple(entry: Any, value: float) -> int:  # pragma: no cover - compiled
    """Which limits and states hold for a value, given which held before."""
    before, back = np.int64(entry.held), entry.hysteresis
    held = 0
    if entry.kinds & _LIMITS != 0:
        if value < (entry.lolo + back if before & _LOLO else entry.lolo):
            held |= _LOLO
        if value < (entry.lo + back if before & _LO else entry.lo):
            held |= _LO
        if value > (entry.hi - back if before & _HI else entry.hi):
            held |= _HI
        if value > (entry.hihi - back if before & _HIHI else entry.hihi):
            held |= _HIHI
    if entry.kinds & _STATE_BIT != 0 and value != entry.normal:
        held |= _STATE_BIT
    if entry.kinds & _SUPPRESSES_BIT != 0 and value == 1.0:
        held |= _SUPPRESSES_BIT
    return held


@numba.njit(nogil=True, cache=True)
def _tell(
    turns: npt.NDArray[np.void], count: int, i: int, row: int, held: int, before: int, value: float
) -> int:  # pragma: no cover - compiled
    for column in range(8):
        if (held ^ before) >> column & 1:
            count = _turn(turns, count, i, row, column, held >> column & 1, value, np.nan)
    return count


@numba.njit(nogil=True, cache=True)
def _doubt(tables: Tables, row: int, i: int, turns: npt.NDArray[np.void], count: int) -> int:  # pragma: no cover - compiled
    """A value of bad quality: the window of a rate starts anew, and nothing is suppressed by what is not known."""
    entry = tables.rows[row]
    if entry.rate >= 0:
        tables.rates[entry.rate].since = np.inf
    held = np.int64(entry.held)
    if held & _SUPPRESSES_BIT:
        entry.held = held & ~_SUPPRESSES_BIT
        return _turn(turns, count, i, row, SUPPRESSES, 0, entry.value, np.nan)
    return count


@numba.njit(nogil=True, cache=True)
def judge_rates(
    tables: Tables, rows: npt.NDArray[np.int64], now: float, turns: npt.NDArray[np.void]
) -> int:  # pragma: no cover - compiled
    """End the rates of these rows that are over as of ``now``; returns the number of turns, at most one a row."""
    count = 0
    for row in rows:
        if tables.rows[row].held & _RATE_BIT != 0 and tables.rows[row].good:
            count = _turn_of_rate(tables, row, now, -1, turns, count)
    return count


@numba.njit(nogil=True, cache=True)
def measure(tables: Tables, row: int, column: int, now: float) -> float:  # pragma: no cover - compiled
    """Deviation of a row, or its rate in units per minute; NaN where it is not known."""
    entry = tables.rows[row]
    if column == DEVIATION and entry.reference >= 0 and tables.rows[entry.reference].good:
        return float(entry.value - tables.rows[entry.reference].value)
    if column != RATE or entry.rate < 0:
        return np.nan
    rate = tables.rates[entry.rate]
    span, before = _window(tables, entry.rate, now)
    if not rate.since <= now - span:
        return np.nan
    return float((entry.value - before) / span * 60.0)


@numba.njit(nogil=True, cache=True)
def _window(tables: Tables, number: int, now: float) -> tuple[float, float]:  # pragma: no cover - compiled
    """Length of a rate's window at ``now`` and the value in force at its start; brings its ring up to ``now``."""
    rate = tables.rates[number]
    ring = tables.rings[number]
    bucket = np.int64(np.ceil(now / rate.step))
    last = ring[rate.bucket % (STEPS + 1)]
    for step in range(max(rate.bucket + 1, bucket - STEPS), bucket + 1):
        ring[step % (STEPS + 1)] = last
    if bucket > rate.bucket:
        tables.rates[number].bucket = bucket
    return now - (bucket - STEPS) * rate.step, ring[(bucket - STEPS) % (STEPS + 1)]


@numba.njit(nogil=True, cache=True)
def _turn_of_rate(
    tables: Tables, row: int, now: float, i: int, turns: npt.NDArray[np.void], count: int
) -> int:  # pragma: no cover - compiled
    entry = tables.rows[row]
    measured = measure(tables, row, RATE, now)
    if np.isnan(measured):
        return count
    span, _ = _window(tables, entry.rate, now)
    before = entry.held & _RATE_BIT != 0
    margin = entry.hysteresis if before else 0.0
    after = abs(measured) / 60.0 * span > tables.rates[entry.rate].limit * span - margin
    if after == before:
        return count
    entry.held = np.int64(entry.held) ^ _RATE_BIT
    return _turn(turns, count, i, row, RATE, after, entry.value, measured)


@numba.njit(nogil=True, cache=True)
def _judge_rate(
    tables: Tables, row: int, now: float, i: int, turns: npt.NDArray[np.void], count: int
) -> int:  # pragma: no cover - compiled
    """Put the value of a row into the ring of its rate and judge it."""
    entry = tables.rows[row]
    rate = tables.rates[entry.rate]
    if rate.since == np.inf:
        rate.since = now
        rate.bucket = np.int64(np.ceil(now / rate.step))
    else:
        _window(tables, entry.rate, now)
    tables.rings[entry.rate, rate.bucket % (STEPS + 1)] = entry.value
    return _turn_of_rate(tables, row, now, i, turns, count)


@numba.njit(nogil=True, cache=True)
def _judge_deviation(
    tables: Tables, row: int, i: int, turns: npt.NDArray[np.void], count: int
) -> int:  # pragma: no cover - compiled
    entry = tables.rows[row]
    if entry.kinds & _DEVIATION_BIT == 0 or not entry.good:
        return count
    deviation = measure(tables, row, DEVIATION, 0.0)
    if np.isnan(deviation):
        return count
    before = entry.held & _DEVIATION_BIT != 0
    after = abs(deviation) > entry.deviation - (entry.hysteresis if before else 0.0)
    if after == before:
        return count
    entry.held = np.int64(entry.held) ^ _DEVIATION_BIT
    return _turn(turns, count, i, row, DEVIATION, after, entry.value, deviation)


@numba.njit(nogil=True, cache=True)
def _turn(
    turns: npt.NDArray[np.void], count: int, record: int, row: int, column: int, began: int, value: float, measured: float
) -> int:  # pragma: no cover - compiled
    turn = turns[count]
    turn.record = record
    turn.row = row
    turn.column = column
    turn.began = began
    turn.value = value
    turn.measured = measured
    return count + 1


def warm_up() -> None:
    """Compile the kernels, for records that may be written and for read-only ones, or load them from numba's cache."""
    tables, turns = Tables.empty(0, 0, 0, 0), np.zeros(0, dtype=TURN_DTYPE)
    frozen = np.zeros(0, dtype=POINT_DTYPE)
    frozen.flags.writeable = False
    for records in (np.zeros(0, dtype=POINT_DTYPE), frozen):
        judge_records(tables, records, 0, 0.0, turns)
    judge_rates(tables, np.zeros(0, dtype=np.int64), 0.0, turns)
    measure(Tables.empty(0, 1, 0, 0), 0, STATE, 0.0)
