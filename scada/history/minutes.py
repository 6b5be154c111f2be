"""Minutes to longer periods, and minutes computed anew from samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.core.errors import StoreError
from scada.core.quality import is_good
from scada.history.chunk import Samples
from scada.history.interface import F8, I8, MINUTE_NS, NOT_RECORDED, Aggregates
from scada.history.rows import CONFIG_DTYPE, INPUT_DTYPE, MINUTE_DTYPE, ROW_DTYPE, STATE_DTYPE, TOUCHED_DTYPE
from scada.history.sampling import fill_minute, observe

MAX_PERIODS: Final = 100_000
"""Periods a query answers at most, for one point."""

Minutes = npt.NDArray[np.void]
Touched = npt.NDArray[np.void]


def check_periods(from_ns: int, to_ns: int, period_s: int) -> tuple[int, int]:
    """First start and end of the periods that start in a span; equal if there are none.

    Raises:
        StoreError: the period is no multiple of a minute, or there are too many.
    """
    if period_s <= 0 or period_s % 60:
        raise StoreError(f"a period of {period_s} s is no multiple of 60 s", where="history", mend="minutes are what is kept")
    period = period_s * NS_PER_S
    first, end = -(-from_ns // period) * period, -(-to_ns // period) * period
    if (end - first) // period > MAX_PERIODS:
        raise StoreError(f"more than {MAX_PERIODS} periods", where="history", mend="ask for a shorter span or a longer period")
    return first, max(first, end)


def in_order(minutes: Minutes) -> Minutes:
    """Minutes of one point by time; of several of the same minute the last one made stands."""
    minutes = minutes[np.argsort(minutes["time"], kind="stable")]
    return minutes[np.append(np.diff(minutes["time"]) != 0, True)] if len(minutes) else minutes


def compose(pid: int, minutes: Minutes, ends: I8, gaps: I8, span: tuple[int, int], period_s: int, now_ns: int) -> Aggregates:
    """Minutes of one point put together to periods; between them the last value goes on, up to a gap.

    Args:
        pid: goes into the result.
        minutes: in order of time; the first may lie before the span (what is carried in).
        ends: time up to which each minute accounts for the value in force.
        gaps: starts of the gaps, ascending.
        span: of :func:`check_periods`.
        period_s: length of a period.
        now_ns: nothing is known after it.
    """
    first, end = span
    period = period_s * NS_PER_S
    total = _Periods((end - first) // period, first, period)
    total.add_minutes(minutes[minutes["time"] >= first], ends[minutes["time"] >= first])
    stops = np.append(minutes["time"][1:], np.int64(min(end, now_ns)))
    stops = np.minimum(stops, min(end, now_ns))
    if len(gaps):
        at = np.searchsorted(gaps, ends)
        stops = np.minimum(stops, np.append(gaps, np.iinfo(np.int64).max)[at])
    starts = np.maximum(ends, first)
    carried = (minutes["state"] != NOT_RECORDED) & (starts < stops[: len(minutes)])
    total.add_carried(minutes[carried], starts[carried], stops[: len(minutes)][carried])
    return total.aggregates(pid)


def one_after_the_other(parts: Sequence[Aggregates]) -> Aggregates:
    """The periods of consecutive spans, at least one, of one point together."""
    names = [field.name for field in fields(Aggregates) if field.name != "pid"]
    return Aggregates(parts[0].pid, **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


class _Periods:
    """Equal periods that collect minutes and values that went on between them."""

    def __init__(self, count: int, first: int, period: int) -> None:
        self._first, self._period = first, period
        self._good_s, self._area, self._total = np.zeros(count), np.zeros(count), np.zeros(count)
        self._count = np.zeros(count, dtype=np.uint32)
        self._quality = np.zeros(count, dtype=np.uint32)
        self._known = np.zeros(count, dtype=np.bool_)
        self._minimum, self._maximum = np.full(count, np.nan), np.full(count, np.nan)
        self._lasts: list[tuple[I8, I8, F8]] = []

    def _extremes(self, index: I8, low: F8, high: F8) -> None:
        np.fmin.at(self._minimum, index, low)
        np.fmax.at(self._maximum, index, high)

    def add_minutes(self, minutes: Minutes, ends: I8) -> None:
        index = (minutes["time"] - self._first) // self._period
        np.add.at(self._good_s, index, minutes["good_s"])
        np.add.at(self._area, index, minutes["area"])
        np.add.at(self._total, index, minutes["total"])
        np.add.at(self._count, index, minutes["count"])
        np.bitwise_or.at(self._quality, index, minutes["quality"])
        self._known[index] = True
        self._extremes(index, minutes["minimum"], minutes["maximum"])
        self._lasts.append((ends, index, minutes["last"]))

    def add_carried(self, minutes: Minutes, starts: I8, stops: I8) -> None:
        """The value at the end of each minute goes on from ``starts`` to ``stops``."""
        begin, last = (starts - self._first) // self._period, (stops - 1 - self._first) // self._period
        pieces = last - begin + 1
        which = np.repeat(np.arange(len(minutes)), pieces)
        index = np.arange(len(which)) - np.repeat(np.cumsum(pieces) - pieces, pieces) + begin[which]
        left = self._first + index * self._period
        until = np.minimum(stops[which], left + self._period)
        seconds = (until - np.maximum(starts[which], left)) / NS_PER_S
        value = np.where(is_good(minutes["state"][which]), minutes["last"][which], np.nan)
        good = ~np.isnan(value)
        np.add.at(self._good_s, index[good], seconds[good])
        np.add.at(self._area, index[good], (value * seconds)[good])
        np.bitwise_or.at(self._quality, index, minutes["state"][which])
        self._known[index] = True
        self._extremes(index, value, value)
        self._lasts.append((until, index, value))

    def aggregates(self, pid: int) -> Aggregates:
        times, index, value = (np.concatenate(column) for column in zip(*self._lasts, strict=True))
        good = ~np.isnan(value)
        times, index, value = times[good], index[good], value[good]
        order = np.argsort(times, kind="stable")
        last = np.full(len(self._known), np.nan)
        last[index[order]] = value[order]
        some = np.flatnonzero(self._known)
        with np.errstate(invalid="ignore"):
            mean = (self._total / np.where(self._count > 0, self._count, np.nan))[some]
            weighted = (self._area / np.where(self._good_s > 0, self._good_s, np.nan))[some]
        return Aggregates(
            pid=pid,
            time_ns=self._first + some * self._period,
            last=last[some],
            minimum=self._minimum[some],
            maximum=self._maximum[some],
            mean=mean,
            time_weighted=weighted,
            count=self._count[some],
            good_s=np.round(self._good_s[some], 6),  # sums of parts of seconds: 60 s are 60 s
            quality=self._quality[some],
        )


def minutes_of(number: int, samples: Samples, gaps: I8, span: tuple[int, int], *, is_open: bool = False) -> Minutes:
    """The minutes of a span that samples make.

    Args:
        number: goes into the result.
        samples: of one point, in order of time, from the one in force at the start of the span on.
        gaps: starts of the gaps, ascending.
        span: start and end, whole minutes.
        is_open: the last minute is not complete: it accounts to the last sample.
    """
    inputs = np.zeros(len(samples) + 1, INPUT_DTYPE)
    for column in ("time", "value", "quality"):
        inputs[column][:-1] = samples[column]
    inputs[-1:]["time"], inputs[-1:]["value"], inputs[-1:]["quality"] = span[1], np.nan, NOT_RECORDED
    state, config = np.zeros(1, STATE_DTYPE), np.zeros(1, CONFIG_DTYPE)
    kept, touched = np.empty(2 * len(inputs) + 8, ROW_DTYPE), np.empty(8, TOUCHED_DTYPE)
    minutes, counts = np.empty(len(inputs) + 8, MINUTE_DTYPE), np.zeros(3, dtype=np.int64)
    observe(inputs[:-1] if is_open else inputs, 0, state, config, gaps, kept, minutes, touched, counts)
    if is_open and state[0]["minute"]:
        fill_minute(minutes[counts[1]], number, state[0])
        counts[1] += 1
    made = minutes[: counts[1]]
    made["number"] = number
    return made[(made["time"] >= span[0]) & (made["time"] < span[1])]


def with_unkept(made: Minutes, before: Minutes, late: Touched) -> Minutes:
    """Minutes made of the samples kept, and what they were before late values came: nothing that was counted is forgotten.

    Extremes, count and total take in both; the value in force is that of the samples, right within the dead-band.

    Args:
        made: of :func:`minutes_of`.
        before: the minutes as they were, in order of time.
        late: the late values among the samples (``TOUCHED_DTYPE``).
    """
    shared, new, old = np.intersect1d(made["time"], before["time"], assume_unique=True, return_indices=True)
    if not len(shared):
        return made
    late = late[~np.isnan(late["value"])]
    start = late["time"] // MINUTE_NS * MINUTE_NS
    index = np.minimum(np.searchsorted(shared, start), len(shared) - 1)
    inside = shared[index] == start
    made, index, value = made.copy(), index[inside], late["value"][inside]
    made["count"][new] = before["count"][old] + np.bincount(index, minlength=len(shared)).astype(np.uint32)
    made["total"][new] = before["total"][old] + np.bincount(index, value, minlength=len(shared))
    made["minimum"][new] = np.fmin(made["minimum"][new], before["minimum"][old])
    made["maximum"][new] = np.fmax(made["maximum"][new], before["maximum"][old])
    return made
