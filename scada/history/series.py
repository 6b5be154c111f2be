"""What a history query answers: samples as they were, or at most N buckets of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.quality import Quality, is_good
from scada.history.chunk import SAMPLE_DTYPE, Samples

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
_NONE = np.uint32(Quality.NEVER_RECEIVED)


@dataclass(frozen=True, slots=True)
class Series:
    """The samples of one point in a span, in order of time. Columns have equal length.

    Raw samples have empty ``minimum`` and ``maximum``. A bucket carries the time at which it starts, its last sample as
    ``value``, the union of the quality bits of its samples, and the extremes of its good samples (of all, if none is good). A
    bucket without samples is absent: between its neighbours the last value was in force, or nothing is known if that was bad.

    Attributes:
        truncated: there are more raw samples than were asked for; go on from the last time.
        before: the sample in force at the start of the span (:data:`SAMPLE_DTYPE`, one row), or none.
    """

    pid: int
    time_ns: I8
    value: F8
    quality: npt.NDArray[np.uint32]
    minimum: F8
    maximum: F8
    truncated: bool
    before: Samples

    def __len__(self) -> int:
        return len(self.time_ns)


def raw_series(pid: int, samples: Samples, before: Samples, *, truncated: bool) -> Series:
    """Samples as they are."""
    none = np.zeros(0)
    return Series(pid, samples["time"], samples["value"], samples["quality"], none, none, truncated, before)


class Buckets:
    """Equal parts of a span that collect samples chunk by chunk, in any order.

    Args:
        from_ns: start of the span.
        to_ns: its end, excluded; later than ``from_ns``.
        count: number of parts.
    """

    def __init__(self, from_ns: int, to_ns: int, count: int) -> None:
        self._from_ns = from_ns
        self._width = max(1, -(-(to_ns - from_ns) // count))
        self._last = np.zeros(count, dtype=SAMPLE_DTYPE)
        self._last["time"] = np.iinfo(np.int64).min
        self._quality = np.zeros(count, dtype=np.uint32)
        self._filled = np.zeros(count, dtype=np.bool_)
        self._good = _Extremes(count)
        self._all = _Extremes(count)

    def add(self, samples: Samples) -> None:
        """Collect samples of the span, sorted by time."""
        if not len(samples):
            return
        index = (samples["time"] - self._from_ns) // self._width
        starts = np.flatnonzero(np.diff(index, prepend=-1))
        touched = index[starts]
        last = samples[np.append(starts[1:], len(samples)) - 1]
        newer = last["time"] >= self._last["time"][touched]
        self._last[touched[newer]] = last[newer]
        self._quality[touched] |= np.bitwise_or.reduceat(samples["quality"], starts)
        self._filled[touched] = True
        self._all.add(samples["value"], starts, touched)
        self._good.add(np.where(is_good(samples["quality"]), samples["value"], np.nan), starts, touched)

    def add_minutes(self, minutes: npt.NDArray[np.void], ends: I8) -> None:
        """Collect minutes of the span (``MINUTE_DTYPE``), in order of time; each counts where it starts.

        Args:
            minutes: of the span.
            ends: times up to which they account; what a minute ends with is in force just before.
        """
        if not len(minutes):
            return
        index = np.clip((minutes["time"] - self._from_ns) // self._width, 0, len(self._filled) - 1)
        self._filled[index] = True
        np.bitwise_or.at(self._quality, index, minutes["quality"])
        self._last["time"][index], self._last["quality"][index] = ends - 1, minutes["state"]
        self._last["value"][index] = np.where(minutes["state"] & _NONE, np.nan, minutes["last"])
        np.fmin.at(self._good.low, index, minutes["minimum"])
        np.fmax.at(self._good.high, index, minutes["maximum"])

    def series(self, pid: int, before: Samples) -> Series:
        """The buckets that hold samples."""
        where = np.flatnonzero(self._filled)
        minimum, maximum = self._good.low[where], self._good.high[where]
        bad = np.isnan(minimum)
        minimum[bad], maximum[bad] = self._all.low[where][bad], self._all.high[where][bad]
        times = self._from_ns + where.astype(np.int64) * self._width
        return Series(pid, times, self._last["value"][where], self._quality[where], minimum, maximum, False, before)


class _Extremes:
    """Running minimum and maximum a bucket; NaN = no number yet."""

    def __init__(self, count: int) -> None:
        self.low = np.full(count, np.nan)
        self.high = np.full(count, np.nan)

    def add(self, values: F8, starts: npt.NDArray[np.intp], touched: I8) -> None:
        self.low[touched] = np.fmin(self.low[touched], np.fmin.reduceat(values, starts))
        self.high[touched] = np.fmax(self.high[touched], np.fmax.reduceat(values, starts))
