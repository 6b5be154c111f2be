"""Which values become samples, and the minutes they make: the kernels behind the sampler.

Swinging door after Bristol (ISA 1990), but a value may end a line only if the *chord* to it passes every value between within the
dead-band; the classic form tests the slopes of the doors alone and errs by up to twice as much.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE
from scada.core.clock import NS_PER_S
from scada.core.quality import BAD_MASK, Quality
from scada.history.dating import date_records
from scada.history.interface import MAX_AHEAD_NS, MINUTE_NS, NOT_RECORDED
from scada.history.rows import (
    CONFIG_DTYPE,
    EVENT,
    FIXED,
    FIXED_WAIT_NS,
    HELD_NS,
    INPUT_DTYPE,
    LATE,
    MINUTE_DTYPE,
    ON_CHANGE,
    RECEIPT,
    ROW_DTYPE,
    STATE_DTYPE,
    TOUCHED_DTYPE,
)

_KNOWN: Final = 1
_HELD: Final = 2
_RESTATED: Final = 4
_BAD: Final = BAD_MASK
_LOST: Final = NOT_RECORDED
_MINUTE: Final = MINUTE_NS
_SECOND: Final = float(NS_PER_S)
_AHEAD: Final = MAX_AHEAD_NS
_INVALID: Final = int(Quality.INVALID)
_NONE: Final = np.iinfo(np.int64).max
ROOM: Final = 4
"""Rows that one value may make, fixed samples apart."""


@numba.njit(nogil=True, cache=True)
def observe(  # noqa: PLR0912 - one pass, one loop
    inputs: npt.NDArray[np.void],
    start: int,
    state: npt.NDArray[np.void],
    config: npt.NDArray[np.void],
    gaps: npt.NDArray[np.int64],
    kept: npt.NDArray[np.void],
    minutes: npt.NDArray[np.void],
    touched: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> int:  # pragma: no cover - compiled
    """Take inputs in; returns the index of the first one not taken, because a room is full (else their number).

    Args:
        inputs: values, in order of arrival.
        start: the first to take.
        state: by number; updated.
        config: by number.
        gaps: starts of the gaps, ascending.
        kept: room for samples (``ROW_DTYPE``).
        minutes: room for complete minutes.
        touched: room for minutes to compute anew.
        counts: rows used of the three rooms; updated.
    """
    for i in range(start, len(inputs)):
        if counts[0] + ROOM > len(kept) or counts[1] + ROOM > len(minutes) or counts[2] + ROOM > len(touched):
            return i
        row = inputs[i]
        one, how = state[row.number], config[row.number]
        time, value, quality = row.time, row.value, int(row.quality)
        if row.kind & RECEIPT and time < one.since:
            if time < one.since - _AHEAD:  # no source runs so far ahead: our clock did, and was set back
                _go_back(row.number, one, time, minutes, touched, kept, counts)
            else:
                time = one.since
        if time < one.since:
            _keep(kept, counts, row.number, time, value, quality)
            good = quality & _BAD == 0 and not np.isnan(value)
            if good and one.minute <= time < one.minute + _MINUTE:
                _count(one, value)
                good = False
            _touch(touched, counts, row.number, time, value if good else np.nan)
            if one.flags & _KNOWN and how.band > 0 and one.kept_time <= time < one.since and one.flags & _RESTATED == 0:
                # what came after it was passed over as close to the sample before it: say what is in force
                _keep(kept, counts, row.number, one.since, one.value, one.quality)
                one.flags |= _RESTATED
            one.late = 1
            continue
        end = time
        if gaps.size:
            at = np.searchsorted(gaps, one.since)
            if at < gaps.size and gaps[at] < time:
                end = int(gaps[at])
        if how.mode == FIXED and not _ticks(row.number, one, how.period, end, kept, counts):
            return i
        if one.minute:
            _close(row.number, one, time, end, minutes, touched, counts)
        else:
            one.minute = time // _MINUTE * _MINUTE
            _clear(one)
        if end < time:
            if one.flags & _HELD:
                _keep(kept, counts, row.number, one.held_time, one.held_value, one.kept_quality)
            one.flags = 0
        if row.kind & LATE:  # kept as it is; so is the next value, for what the dead-band knows is not in force now
            _turn(row.number, one, how, time, value, quality, kept, counts)
            one.flags = one.tick = 0
        else:
            one.flags &= ~_RESTATED
            _sample(row, one, how, time, value, quality, kept, counts)
        one.since, one.value, one.quality = time, value, quality
        one.union |= quality
        if quality & _BAD == 0 and not np.isnan(value):
            _count(one, value)
            one.last = value
    return len(inputs)


@numba.njit(nogil=True, cache=True)
def _count(one: Any, value: float) -> None:  # pragma: no cover - compiled
    """Take a good value into the open minute."""
    one.count += 1
    one.total += value
    if not one.minimum <= value:
        one.minimum = value
    if not one.maximum >= value:
        one.maximum = value


@numba.njit(nogil=True, cache=True)
def _keep(
    kept: npt.NDArray[np.void], counts: npt.NDArray[np.int64], number: int, time: int, value: float, quality: int
) -> None:  # pragma: no cover - compiled
    row = kept[counts[0]]
    row.number, row.time, row.value, row.quality = number, time, value, quality
    counts[0] += 1


@numba.njit(nogil=True, cache=True)
def _touch(
    touched: npt.NDArray[np.void], counts: npt.NDArray[np.int64], number: int, time: int, value: float
) -> None:  # pragma: no cover - compiled
    row = touched[counts[2]]
    row.number, row.time, row.value = number, time, value
    counts[2] += 1


@numba.njit(nogil=True, cache=True)
def _sample(
    row: Any,
    one: Any,
    how: Any,
    time: int,
    value: float,
    quality: int,
    kept: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """Keep the value, hold it back, or pass it over."""
    changed = one.flags & _KNOWN == 0 or quality != one.kept_quality or row.kind & EVENT != 0
    if changed or np.isnan(value) != np.isnan(one.kept_value):
        _turn(row.number, one, how, time, value, quality, kept, counts)
        return
    if np.isnan(value) or how.mode == FIXED:
        return
    if how.mode == ON_CHANGE:
        if not abs(value - one.kept_value) <= how.band:
            _turn(row.number, one, how, time, value, quality, kept, counts)
        return
    span = time - one.kept_time
    chord = (value - one.kept_value) / span if span > 0 else np.nan
    if one.flags & _HELD and not (one.low <= chord <= one.high):
        _keep(kept, counts, row.number, one.held_time, one.held_value, one.kept_quality)
        one.kept_time, one.kept_value = one.held_time, one.held_value
        one.flags &= ~_HELD
        span = time - one.kept_time
    if span <= 0:
        if value != one.kept_value:
            _turn(row.number, one, how, time, value, quality, kept, counts)
        return
    low, high = (value - how.band - one.kept_value) / span, (value + how.band - one.kept_value) / span
    if one.flags & _HELD:
        low, high = max(low, one.low), min(high, one.high)
    one.low, one.high = low, high
    one.held_time, one.held_value = time, value
    one.flags |= _HELD


@numba.njit(nogil=True, cache=True)
def _turn(
    number: int,
    one: Any,
    how: Any,
    time: int,
    value: float,
    quality: int,
    kept: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """Keep the value exactly, after the one that was held back."""
    if one.flags & _HELD:
        _keep(kept, counts, number, one.held_time, one.held_value, one.kept_quality)
    _keep(kept, counts, number, time, value, quality)
    one.kept_time, one.kept_value, one.kept_quality = time, value, quality
    one.flags = _KNOWN
    if how.mode == FIXED:
        one.tick = (time // how.period + 1) * how.period


@numba.njit(nogil=True, cache=True)
def _ticks(
    number: int, one: Any, period: int, end: int, kept: npt.NDArray[np.void], counts: npt.NDArray[np.int64]
) -> bool:  # pragma: no cover - compiled
    """Take the fixed samples before ``end``; False if the room is full (go on with the same call)."""
    if one.tick == 0 or one.flags & _KNOWN == 0:
        return True
    if one.quality & _BAD or np.isnan(one.value):
        one.tick = max(one.tick, (end + period - 1) // period * period)
        return True
    while one.tick < end:
        if counts[0] + ROOM > len(kept):
            return False
        _keep(kept, counts, number, one.tick, one.value, one.quality)
        one.kept_time, one.kept_value = one.tick, one.value
        one.tick += period
    return True


@numba.njit(nogil=True, cache=True)
def _clear(one: Any) -> None:  # pragma: no cover - compiled
    """Begin a minute of which nothing is known."""
    one.minimum = one.maximum = one.last = np.nan
    one.total = one.area = one.good_s = 0.0
    one.count = one.union = 0


@numba.njit(nogil=True, cache=True)
def _add_time(one: Any, until: int) -> None:  # pragma: no cover - compiled
    """Let the value in force go on to ``until``."""
    if until > one.since and one.quality & _BAD == 0 and not np.isnan(one.value):
        seconds = (until - one.since) / _SECOND
        one.good_s += seconds
        one.area += one.value * seconds


@numba.njit(nogil=True, cache=True)
def _close(
    number: int,
    one: Any,
    time: int,
    end: int,
    minutes: npt.NDArray[np.void],
    touched: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """Let the value in force go on to ``end`` (``time``, or the gap before it), and begin the minute of ``time``."""
    over = one.minute + _MINUTE
    _add_time(one, min(end, over))
    if end < min(time, over):
        one.quality, one.value = _LOST, np.nan
        one.union |= _LOST
    if time < over:
        return
    fill_minute(minutes[counts[1]], number, one)
    counts[1] += 1
    if one.late:
        _touch(touched, counts, number, one.minute, np.nan)
        one.late = 0
    one.minute = one.since = time // _MINUTE * _MINUTE
    _clear(one)
    if end > one.minute and one.quality != _LOST:
        one.union = one.quality
        if one.quality & _BAD == 0 and not np.isnan(one.value):
            one.minimum = one.maximum = one.last = one.value
        _add_time(one, end)
    if end < time:
        one.quality, one.value = _LOST, np.nan
        if end >= one.minute:
            one.union |= _LOST


@numba.njit(nogil=True, cache=True)
def _go_back(
    number: int,
    one: Any,
    time: int,
    minutes: npt.NDArray[np.void],
    touched: npt.NDArray[np.void],
    kept: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> None:  # pragma: no cover - compiled
    """End the minute as far as it has come, and begin that of an earlier ``time``, of which nothing is known."""
    if one.flags & _HELD:
        _keep(kept, counts, number, one.held_time, one.held_value, one.kept_quality)
    fill_minute(minutes[counts[1]], number, one)
    counts[1] += 1
    if one.late:
        _touch(touched, counts, number, one.minute, np.nan)
        one.late = 0
    one.minute, one.since = time // _MINUTE * _MINUTE, time
    one.flags = one.tick = 0
    _clear(one)


@numba.njit(nogil=True, cache=True)
def fill_minute(row: Any, number: int, one: Any) -> None:  # pragma: no cover - compiled
    """Write the open minute of a point, as far as it has come, to a row."""
    row.number, row.time = number, one.minute
    row.count, row.quality, row.state = one.count, one.union, one.quality
    row.minimum, row.maximum, row.total = one.minimum, one.maximum, one.total
    row.area, row.good_s, row.last = one.area, one.good_s, one.last
    if np.isnan(one.value) and one.quality & _BAD == 0:
        row.state |= _INVALID  # no number goes on to the next minute, whatever the source says of it


@numba.njit(nogil=True, cache=True)
def fill_minutes(
    rows: npt.NDArray[np.void], numbers: npt.NDArray[np.uint32], state: npt.NDArray[np.void]
) -> None:  # pragma: no cover - compiled
    """:func:`fill_minute` for several points, a row each."""
    for i in range(len(numbers)):
        fill_minute(rows[i], numbers[i], state[numbers[i]])


@numba.njit(nogil=True, cache=True)
def advance(
    numbers: npt.NDArray[np.uint32],
    start: int,
    now: int,
    state: npt.NDArray[np.void],
    config: npt.NDArray[np.void],
    gaps: npt.NDArray[np.int64],
    kept: npt.NDArray[np.void],
    counts: npt.NDArray[np.int64],
) -> int:  # pragma: no cover - compiled
    """Take the fixed samples that are due and those held back too long, of some points; returns as :func:`observe` does."""
    for i in range(start, len(numbers)):
        number = numbers[i]
        one, how = state[number], config[number]
        if counts[0] + ROOM > len(kept):
            return i
        if how.mode == FIXED:
            end = now - FIXED_WAIT_NS + 1
            if gaps.size:
                at = np.searchsorted(gaps, one.since)
                if at < gaps.size:
                    end = min(end, gaps[at])
            if not _ticks(number, one, how.period, end, kept, counts):
                return i
        elif one.flags & _HELD and one.held_time < now - HELD_NS:
            _keep(kept, counts, number, one.held_time, one.held_value, one.kept_quality)
            one.kept_time, one.kept_value = one.held_time, one.held_value
            one.flags &= ~_HELD
    return len(numbers)


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    records, times = np.zeros(1, dtype=POINT_DTYPE), np.zeros(1, dtype=np.int64)
    frozen, frozen_times = records[:], times[:]
    frozen.flags.writeable = frozen_times.flags.writeable = False
    inputs, numbers = np.zeros(1, dtype=INPUT_DTYPE), np.zeros(1, dtype=np.uint32)
    for some, received_at in ((records, times), (frozen, frozen_times)):
        date_records(some, received_at, numbers, inputs)
    state, config = np.zeros(1, dtype=STATE_DTYPE), np.zeros(1, dtype=CONFIG_DTYPE)
    kept, minutes, touched = np.empty(9, ROW_DTYPE), np.empty(9, MINUTE_DTYPE), np.empty(9, TOUCHED_DTYPE)
    gaps, counts = np.empty(0, dtype=np.int64), np.zeros(3, dtype=np.int64)
    locked = inputs[:]
    locked.flags.writeable = False
    for some in (inputs, locked):
        observe(some, 0, state, config, gaps, kept, minutes, touched, counts)
    advance(numbers, 0, 0, state, config, gaps, kept, counts)
    fill_minute(minutes[0], 0, state[0])
    fill_minutes(minutes, numbers, state)
