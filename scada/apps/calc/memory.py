"""What functions with memory remember: the compiled kernel that advances their cells.

Time has two faces here. *Elapsed* time (:class:`Now` ``.elapsed``) runs only while the server does and is what amounts are
integrated over, so that a clock set forward or back adds nothing. *Wall* time says only in which period a moment lies.

Between two evaluations an input holds its last value (hold-last): a point sends when it changes, so that a straight line between
two values sent would invent a slope where there was a step. Time in which the input was bad, or the server down, is counted as
missing and not integrated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from scada.apps.calc.cells import F8, Memory, Now
from scada.core.clock import NS_PER_S
from scada.core.quality import BAD_MASK, Quality
from scada.expressions.calls import Kind, Period

Record = Any
"""One row of an array of records, as a kernel sees it: its fields are attributes."""
Word = Any
"""A quality word (u4)."""

SET_BACK_NS = 3600 * NS_PER_S
"""A clock set back by less than this to before the begin of a period does not begin the old one again."""

_BAD: Word = np.uint32(BAD_MASK)
_GOOD: Word = np.uint32(0)
_QUESTIONABLE: Word = np.uint32(Quality.QUESTIONABLE)
_HOUR, _NO_PERIOD = int(Period.HOUR), int(Period.NONE)
_TOTAL, _MEAN, _MOVING, _LOWEST, _HIGHEST = (int(k) for k in (Kind.TOTAL, Kind.MEAN, Kind.MOVING, Kind.LOWEST, Kind.HIGHEST))
_DEMAND, _COUNTER, _HOURS, _CHANGES = (int(k) for k in (Kind.DEMAND, Kind.COUNTER, Kind.HOURS, Kind.CHANGES))
_GOOD_TIME, _BAD_TIME, _RAMP = (int(k) for k in (Kind.GOOD_TIME, Kind.BAD_TIME, Kind.RAMP))
_DELAY, _PULSE = int(Kind.DELAY), int(Kind.PULSE)
_SECOND = 1e9
_COMPLETE = 0.98
"""Share of a demand interval that must have been measured; less than 1 because a clock may be slewed within it."""


@njit(cache=True, nogil=True)
def _known(x: float, word: Word) -> bool:
    return not np.isnan(x) and (word & _BAD) == 0


@njit(cache=True, nogil=True)
def _hold(spec: Record, cell: Record, ns: int) -> None:
    """The held input stood for ``ns``."""
    if ns <= 0:
        return
    if not _known(cell.x, cell.word):
        cell.missing += ns
        cell.slot_missing += ns
        return
    cell.good += ns
    cell.slot_good += ns
    cell.slot_amount += cell.x * (ns / _SECOND)
    cell.seen |= cell.word
    if spec.kind in (_TOTAL, _MEAN):
        cell.amount += cell.x * (ns / _SECOND)
    elif spec.kind == _HOURS and cell.x != 0.0:
        cell.amount += ns / _SECOND


@njit(cache=True, nogil=True)
def _end_slot(spec: Record, cell: Record, ring: F8) -> None:
    """A part of the window is over."""
    at = spec.ring + 2 * cell.head
    if spec.kind == _RAMP:
        ring[at] = cell.x if _known(cell.x, cell.word) else np.nan
    else:
        whole = cell.slot_missing == 0 and cell.slot_good >= _COMPLETE * spec.slot
        ring[at] = cell.slot_amount
        ring[at + 1] = float(cell.slot_good) if whole or spec.kind == _MOVING else 0.0
    cell.head = (cell.head + 1) % spec.slots
    cell.filled = min(cell.filled + 1, spec.slots)
    cell.slot_amount, cell.slot_good, cell.slot_missing = 0.0, 0, 0
    if spec.kind == _DEMAND:
        _note_demand(spec, cell, ring)


@njit(cache=True, nogil=True)
def _note_demand(spec: Record, cell: Record, ring: F8) -> None:
    amount = good = 0.0
    whole = cell.filled == spec.slots
    for k in range(spec.slots):
        amount += ring[spec.ring + 2 * k]
        good += ring[spec.ring + 2 * k + 1]
        whole = whole and ring[spec.ring + 2 * k + 1] > 0.0
    if not whole:
        cell.doubt |= _QUESTIONABLE  # an interval that was not measured whole may have been the highest
        return
    demand = amount * _SECOND / good
    if np.isnan(cell.mark) or demand > cell.mark:
        cell.mark = demand


@njit(cache=True, nogil=True)
def _settle(spec: Record, cell: Record, ring: F8, ns: int, clock: int) -> None:
    """The held input stood for ``ns`` up to ``clock`` (wall time for a demand, else elapsed time)."""
    if spec.slots == 0:
        _hold(spec, cell, ns)
        return
    if clock < cell.slot_from or clock - cell.slot_from > ns + 2 * spec.slot:  # the clock was set, or we were down
        _hold(spec, cell, ns)
        cell.slot_amount, cell.slot_good, cell.slot_missing = 0.0, 0, 1
        cell.filled = 0
        cell.slot_from = clock - (clock - cell.slot_from) % spec.slot
        if spec.kind == _DEMAND:
            cell.doubt |= _QUESTIONABLE
        return
    left = ns
    while cell.slot_from + spec.slot <= clock:
        part = min(left, max(cell.slot_from + spec.slot - (clock - left), 0))
        _hold(spec, cell, part)
        left -= part
        _end_slot(spec, cell, ring)
        cell.slot_from += spec.slot
    _hold(spec, cell, left)


@njit(cache=True, nogil=True)
def _begin(spec: Record, cell: Record, now: Now) -> None:
    """First evaluation: what of the period is over already is missing."""
    cell.at = now.elapsed
    cell.x = cell.mark = cell.previous = np.nan
    cell.since = -1
    cell.period = now.starts[spec.period]
    if spec.period != _NO_PERIOD:
        cell.missing = now.wall - cell.period
        cell.doubt = _QUESTIONABLE if cell.missing > 0 else _GOOD
    cell.slot_from = now.elapsed
    if spec.kind == _DEMAND:
        hour = now.starts[_HOUR]
        cell.slot_from = hour + (now.wall - hour) // spec.slot * spec.slot
        cell.slot_missing = now.wall - cell.slot_from


@njit(cache=True, nogil=True)
def _pass_time(spec: Record, cell: Record, ring: F8, now: Now) -> None:
    """Bring a cell up to now; a period that ended meanwhile is closed at its end, not at now."""
    ns = max(now.elapsed - cell.at, 0)
    cell.at = now.elapsed
    demand = spec.kind == _DEMAND
    clock = now.wall if demand else now.elapsed
    start = now.starts[spec.period]
    if spec.period != _NO_PERIOD and cell.period - now.wall > SET_BACK_NS:
        cell.period = start
        cell.doubt |= _QUESTIONABLE
    if spec.period == _NO_PERIOD or start <= cell.period:
        cell.missing += cell.gap
        cell.gap = 0
        _settle(spec, cell, ring, ns, clock)
        return
    fresh = min(ns, now.wall - start)
    lost = min(cell.gap, now.wall - start - fresh)
    cell.missing += cell.gap - lost
    cell.gap = 0
    _settle(spec, cell, ring, ns - fresh, start if demand else now.elapsed - fresh)
    _close(spec, cell, ring, now, start)
    cell.missing = lost
    _settle(spec, cell, ring, fresh, clock)


@njit(cache=True, nogil=True)
def _close(spec: Record, cell: Record, ring: F8, now: Now, start: int) -> None:
    cell.previous, cell.previous_word = _answer(spec, cell, ring, now, cell.word)
    if cell.period < now.before[spec.period]:  # the whole period before this one passed unseen
        cell.previous = np.nan
    cell.period = start
    cell.amount, cell.good, cell.seen, cell.doubt = 0.0, 0, _GOOD, _GOOD
    if spec.kind in (_LOWEST, _HIGHEST):
        cell.mark = cell.x if _known(cell.x, cell.word) else np.nan
    elif spec.kind == _DEMAND:
        cell.mark = np.nan


@njit(cache=True, nogil=True)
def _read_meter(spec: Record, cell: Record, x: float) -> None:
    """A good reading of a counter: its increase, over a rollover too; a reset or another meter adds nothing."""
    if not np.isnan(cell.mark):
        step = x - cell.mark
        if step < 0.0 and spec.scale > 0.0:
            step += spec.scale
        most = spec.most if spec.most > 0.0 else spec.scale / 10.0
        if step < 0.0 or (most > 0.0 and step > most):
            cell.doubt |= _QUESTIONABLE
        else:
            cell.amount += step
        if cell.missing > 0 and cell.since != cell.period:  # which period it belongs to is not known
            cell.doubt |= _QUESTIONABLE
    cell.missing = 0
    cell.mark = x
    cell.since = cell.period


@njit(cache=True, nogil=True)
def _take(spec: Record, cell: Record, now: Now, x: float, word: Word) -> None:
    """A new input, possibly the same."""
    if _known(x, word):
        cell.seen |= word
        if spec.kind == _COUNTER:
            _read_meter(spec, cell, x)
        elif spec.kind == _LOWEST:
            cell.mark = x if np.isnan(cell.mark) else min(x, cell.mark)
        elif spec.kind == _HIGHEST:
            cell.mark = x if np.isnan(cell.mark) else max(x, cell.mark)
        elif spec.kind == _CHANGES:
            cell.amount += 1.0 * (not np.isnan(cell.mark) and x != cell.mark)
            cell.mark = x
        elif spec.kind == _DELAY:
            if x == 0.0:
                cell.since = -1
            elif cell.since < 0:
                cell.since = now.elapsed
        elif spec.kind == _PULSE:
            if x != 0.0 and cell.mark == 0.0:
                cell.since = now.elapsed
            cell.mark = x
    elif spec.kind == _DELAY:
        cell.since = -1
    cell.x, cell.word = x, word


@njit(cache=True, nogil=True)
def _moving(spec: Record, cell: Record, ring: F8) -> tuple[float, float]:
    """(mean, ns measured) of the window with the present part."""
    amount, good = cell.slot_amount, float(cell.slot_good)
    for k in range(cell.filled):
        at = spec.ring + 2 * ((cell.head - 1 - k) % spec.slots)
        amount += ring[at]
        good += ring[at + 1]
    if good > 0.0:
        return amount * _SECOND / good, good
    return cell.x if _known(cell.x, cell.word) else np.nan, good


@njit(cache=True, nogil=True)
def _ramp(spec: Record, cell: Record, ring: F8, now: Now) -> float:
    """Change per second against the oldest value of a full window."""
    if cell.filled < spec.slots:
        return np.nan
    span = now.elapsed - cell.slot_from + (spec.slots - 1) * spec.slot
    return (cell.x - ring[spec.ring + 2 * cell.head]) * _SECOND / span if span > 0 else np.nan


@njit(cache=True, nogil=True)
def _answer(spec: Record, cell: Record, ring: F8, now: Now, word: Word) -> tuple[float, Word]:  # noqa: PLR0911 - one a kind
    """Result and its quality."""
    if spec.kind == _GOOD_TIME:
        return cell.good / _SECOND, _GOOD
    if spec.kind == _BAD_TIME:
        return cell.missing / _SECOND, _GOOD
    if spec.kind == _RAMP:
        return _ramp(spec, cell, ring, now), word
    if spec.kind in (_DELAY, _PULSE):
        if not _known(cell.x, cell.word):
            return np.nan, word
        stood = now.elapsed - cell.since if cell.since >= 0 else -1
        span = spec.scale * _SECOND
        return 1.0 * (stood >= span if spec.kind == _DELAY else 0 <= stood < span), word
    doubt = cell.missing > 0 or not _known(cell.x, cell.word)
    if spec.kind == _MOVING:
        value, good = _moving(spec, cell, ring)
        whole = good >= _COMPLETE * spec.slots * spec.slot and _known(cell.x, cell.word)
        return value, (word & ~_BAD) | (_GOOD if whole else _QUESTIONABLE)
    summary = (cell.seen & ~_BAD) | cell.doubt | (_QUESTIONABLE if doubt else _GOOD)
    if spec.kind in (_LOWEST, _HIGHEST, _DEMAND):
        return cell.mark, summary
    if spec.kind == _COUNTER:
        return np.nan if np.isnan(cell.mark) else cell.amount, summary
    if cell.good == 0 and doubt:
        return np.nan, summary
    if spec.kind == _MEAN:
        return cell.amount * _SECOND / cell.good if cell.good else cell.x, summary
    return cell.amount / spec.scale if spec.kind != _CHANGES else cell.amount, summary


@njit(cache=True, nogil=True)
def remember(memory: Memory, index: int, now: Now, x: float, word: Word) -> tuple[float, Word]:
    """Hand an input to a cell.

    Args:
        memory: the cells.
        index: which.
        now: the moment.
        x: the input from now on, NaN = not known.
        word: its quality.

    Returns:
        The function's value and quality; NaN where it is not known.
    """
    spec, cell = memory.specs[index], memory.cells[index]
    if cell.at < 0:
        _begin(spec, cell, now)
    _pass_time(spec, cell, memory.ring, now)
    _take(spec, cell, now, x, word)
    return _answer(spec, cell, memory.ring, now, word)
