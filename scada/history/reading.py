"""Questions to the embedded history: what is on the shelves, in the tail, held back, and the gaps between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.history.chunk import SAMPLE_DTYPE, Samples
from scada.history.interface import I8, MINUTE_NS, NOT_RECORDED, Aggregates, Before
from scada.history.minutes import Minutes, Touched, compose, minutes_of, one_after_the_other, with_unkept
from scada.history.rows import TOUCHED_DTYPE
from scada.history.sampler import Sampler
from scada.history.series import Buckets, Series, raw_series
from scada.history.shelf import DAY_NS, Shelf, samples_of
from scada.rtdb.lmdb_file import Transaction

RAW_LIMIT: Final = 100_000
"""Raw samples a query answers at most, for one point."""
LONG_NS: Final = 2 * DAY_NS
"""Buckets over a longer span are made of the minutes, if they are as wide as :data:`WIDE_NS`."""
WIDE_NS: Final = 5 * MINUTE_NS
PART_NS: Final = 32 * DAY_NS
"""Minutes of a longer span are read in parts, so that memory stays bounded."""
_NEVER: Final = np.iinfo(np.int64).max


class Reader:
    """Answers from the file and from memory, within the caller's transaction.

    Args:
        samples, minutes: the shelves.
        sampler: holds what is not on them yet.

    Attributes:
        raw_from_ns: samples before it were removed; only minutes tell of that time.
    """

    def __init__(self, samples: Shelf, minutes: Shelf, sampler: Sampler) -> None:
        self._samples, self._minutes, self._sampler = samples, minutes, sampler
        self.raw_from_ns = 0

    # ------------------------------------------------------------------ samples

    def tail(self, number: int) -> Samples:
        """What is not on the shelf yet, in order of arrival, the sample held back at the end."""
        rows = self._sampler.kept.rows
        rows = rows[rows["number"] == number]
        held = self._sampler.held(number)
        return samples_of(np.concatenate([rows, held]) if len(held) else rows)

    def samples(self, txn: Transaction, number: int, from_ns: int, to_ns: int) -> Samples:
        """All samples of a span in order, without markers."""
        parts = [within(rows, from_ns, to_ns) for rows in self._samples.slots(txn, number, from_ns, to_ns)]
        return self._samples.in_order(np.concatenate([*parts, within(self.tail(number), from_ns, to_ns)]))

    def last_before(self, txn: Transaction, number: int, at_ns: int) -> Samples:
        """The last sample before a time, without markers; empty if there is none."""
        tail = self.tail(number)
        found = [tail[tail["time"] < at_ns]]
        for rows in self._samples.slots(txn, number, 0, at_ns, down=True):
            if len(earlier := rows[rows["time"] < at_ns]):
                found.insert(0, earlier[-1:])
                break
        return self._samples.in_order(np.concatenate(found))[-1:]

    def before(self, txn: Transaction, number: int, at_ns: int) -> Samples:
        """The sample in force just before a time, or the marker of the gap after it; empty if there was none ever."""
        found = self.last_before(txn, number, at_ns)
        if len(found):
            gap = self._gap_after(int(found["time"][0]))
            if gap < at_ns:
                return marker(gap)
        return found

    def before_many(self, txn: Transaction, pids: Sequence[int], at_ns: int) -> Before:
        """See :meth:`scada.history.interface.Historian.before`."""
        times, values = np.zeros(len(pids), dtype=np.int64), np.full(len(pids), np.nan)
        quality = np.full(len(pids), int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        for index, pid in enumerate(pids):
            found = self.before(txn, int(self._sampler.number_of[pid]), at_ns)
            if len(found):
                times[index], values[index], quality[index] = found[0].tolist()
        return Before(np.array(pids, dtype=np.uint32), times, values, quality)

    def next_time(self, txn: Transaction, number: int, after_ns: int) -> int:
        """Time of the first sample after a time; the largest number if there is none."""
        tail = self.tail(number)["time"]
        first = int(tail[tail > after_ns].min(initial=_NEVER))
        for rows in self._samples.slots(txn, number, after_ns, _NEVER):
            later = rows["time"][rows["time"] > after_ns]
            if len(later):
                return min(first, int(later[0]))
        return first

    def known(self, txn: Transaction, number: int, samples: Samples) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of some samples are there already or twice among them: same time, value (no number equals no number), quality."""
        stored = self.samples(txn, number, int(samples["time"].min()), int(samples["time"].max()) + 1)
        there, known = set(zip(*_comparable(stored), strict=True)), np.zeros(len(samples), dtype=np.bool_)
        for index, one in enumerate(zip(*_comparable(samples), strict=True)):
            known[index] = one in there
            there.add(one)
        return known

    def _gap_after(self, time_ns: int) -> int:
        """Start of the first gap at or after a time; the largest number if there is none."""
        gaps = self._sampler.gaps
        at = int(np.searchsorted(gaps, time_ns))
        return int(gaps[at]) if at < len(gaps) else _NEVER

    # ------------------------------------------------------------------ series

    def series(self, txn: Transaction, pid: int, from_ns: int, to_ns: int, buckets: int) -> Series:
        """See :meth:`scada.history.interface.Historian.query`."""
        number = int(self._sampler.number_of[pid])
        before = self.before(txn, number, from_ns)
        width = (to_ns - from_ns) // buckets if buckets else 0
        if (to_ns - from_ns > LONG_NS and width >= WIDE_NS) or (from_ns < self.raw_from_ns and width >= MINUTE_NS):
            return self._wide(txn, pid, number, (from_ns, to_ns), buckets, before)
        slots = (within(rows, from_ns, to_ns) for rows in self._samples.slots(txn, number, from_ns, to_ns))
        tail = self._samples.in_order(within(self.tail(number), from_ns, to_ns))
        gaps = self._gaps(from_ns, to_ns)
        if buckets:
            collected = Buckets(from_ns, to_ns, buckets)
            first = from_ns if len(before) else _NEVER
            for part in (*slots, tail):
                collected.add(part)
                first = min(first, int(part["time"].min(initial=_NEVER)))
            collected.add(markers(gaps[gaps >= first]))
            return collected.series(pid, before)
        samples, truncated = _first(slots, tail, RAW_LIMIT)
        if truncated:
            gaps = gaps[gaps < samples["time"][-1]]
        return raw_series(pid, with_markers(samples, before, gaps), before, truncated=truncated)

    def _wide(self, txn: Transaction, pid: int, number: int, span: tuple[int, int], buckets: int, before: Samples) -> Series:
        """Buckets made of minutes; a minute counts in the bucket in which it starts."""
        from_ns, to_ns = span
        collected = Buckets(from_ns, to_ns, buckets)
        first = from_ns if len(before) else _NEVER
        for start in range(from_ns // MINUTE_NS * MINUTE_NS, to_ns, PART_NS):
            minutes, ends = self.minutes(txn, number, start, min(start + PART_NS, to_ns), carried=False)
            collected.add_minutes(minutes, ends)
            first = min(first, int(minutes["time"].min(initial=_NEVER)))
        gaps = self._gaps(from_ns, to_ns)
        collected.add(markers(gaps[gaps >= first]))
        return collected.series(pid, before)

    def _gaps(self, from_ns: int, to_ns: int) -> I8:
        gaps = self._sampler.gaps
        return gaps[np.searchsorted(gaps, from_ns) : np.searchsorted(gaps, to_ns)]

    # ------------------------------------------------------------------ minutes

    def minutes(self, txn: Transaction, number: int, from_ns: int, to_ns: int, *, carried: bool) -> tuple[Minutes, I8]:
        """The minutes that start in a span, the open one included, and the times up to which they account.

        Args:
            txn: of the file.
            number: of the point.
            from_ns: start of the span.
            to_ns: its end, excluded.
            carried: the last minute before the span stands first.
        """
        parts = list(self._minutes.slots(txn, number, from_ns, to_ns))
        rows = self._sampler.minutes.rows
        tail = rows[rows["number"] == number]
        parts = [within(part, from_ns, to_ns) for part in (*parts, tail)]
        if carried:
            earlier = [tail[tail["time"] < from_ns]]
            for slot in self._minutes.slots(txn, number, 0, from_ns, down=True):
                if len(before := slot[slot["time"] < from_ns]):
                    earlier.insert(0, before[-1:])
                    break
            parts.insert(0, self._minutes.in_order(np.concatenate(earlier))[-1:])
        minutes = self._minutes.in_order(np.concatenate(parts))
        return self._with_open(txn, number, minutes, from_ns, to_ns, carried=carried)

    def _with_open(
        self, txn: Transaction, number: int, minutes: Minutes, from_ns: int, to_ns: int, *, carried: bool
    ) -> tuple[Minutes, I8]:
        ends = minutes["time"] + MINUTE_NS
        made, state = self._sampler.open_minute(number), self._sampler.state[number]
        start = int(state["minute"])
        if not start or start >= to_ns or (start < from_ns and not carried):
            return minutes, ends
        if state["late"]:
            made = self.made_anew(txn, number, start, start + MINUTE_NS, made, np.zeros(0, TOUCHED_DTYPE), is_open=True)
        end = int(state["since"])
        if (again := minutes["time"] == start).any():  # the clock was set back into it
            minutes, ends = minutes[~again], ends[~again]
        minutes, ends = np.concatenate([minutes, made]), np.append(ends, np.full(len(made), end))
        order = np.argsort(minutes["time"], kind="stable")
        minutes, ends = minutes[order], ends[order]
        if carried:
            later = max(0, int(np.searchsorted(minutes["time"], from_ns)) - 1)
            minutes, ends = minutes[later:], ends[later:]
        return minutes, ends

    def made_anew(
        self, txn: Transaction, number: int, from_ns: int, to_ns: int, old: Minutes, late: Touched, *, is_open: bool = False
    ) -> Minutes:
        """The minutes of a span as the samples make them.

        Args:
            txn: of the file.
            number: of the point.
            from_ns: start of the span, a whole minute.
            to_ns: its end, a whole minute.
            old: as they were; what they counted is not forgotten where not every value is a sample.
            late: late values that ``old`` did not count (``TOUCHED_DTYPE``).
            is_open: the last minute is not complete: it accounts to the last value.
        """
        samples = np.concatenate([self.last_before(txn, number, from_ns), self.samples(txn, number, from_ns, to_ns)])
        if is_open and not self._sampler.exact[number]:
            one = self._sampler.state[number]  # the last value need not be a sample
            samples = np.append(samples, np.array([(one["since"], one["value"], one["quality"])], dtype=samples.dtype))
        made = minutes_of(number, samples, self._sampler.gaps, (from_ns, to_ns), is_open=is_open)
        return made if self._sampler.exact[number] else with_unkept(made, old, late)

    def aggregates(self, txn: Transaction, pid: int, span: tuple[int, int], period_s: int, now_ns: int) -> Aggregates:
        """See :meth:`scada.history.interface.Historian.aggregates`; ``span`` of whole periods."""
        number, gaps = int(self._sampler.number_of[pid]), self._sampler.gaps
        first, end = span
        period = period_s * NS_PER_S
        step = max(period, PART_NS // period * period)
        parts = []
        for start in range(first, max(end, first + 1), step):
            part = (start, min(start + step, end))
            minutes, ends = self.minutes(txn, number, *part, carried=True)
            parts.append(compose(pid, minutes, ends, gaps, part, period_s, now_ns))
        return one_after_the_other(parts)


def marker(time_ns: int) -> Samples:
    """From here on the history was not written."""
    return markers(np.array([time_ns], dtype=np.int64))


def markers(times: I8) -> Samples:
    """One marker a time."""
    made = np.zeros(len(times), SAMPLE_DTYPE)
    made["time"], made["value"], made["quality"] = times, np.nan, NOT_RECORDED
    return made


def with_markers(samples: Samples, before: Samples, gaps: I8) -> Samples:
    """Samples in order with a marker where a gap begins of which anything was known before."""
    if not len(gaps):
        return samples
    merged = np.concatenate([samples, markers(gaps)])
    merged = merged[np.argsort(merged["time"], kind="stable")]
    lost = merged["quality"] == NOT_RECORDED
    known_before = np.append(len(before) > 0 and int(before["quality"][0]) != NOT_RECORDED, ~lost[:-1])
    kept: Samples = merged[~lost | known_before]
    return kept


def within(rows: Samples, from_ns: int, to_ns: int) -> Samples:
    """Rows of a span."""
    if not len(rows) or (rows["time"].min() >= from_ns and rows["time"].max() < to_ns):
        return rows
    kept: Samples = rows[(rows["time"] >= from_ns) & (rows["time"] < to_ns)]
    return kept


def _first(parts: Iterator[Samples], tail: Samples, limit: int) -> tuple[Samples, bool]:
    """The first ``limit`` of all samples in order of time, and whether there are more; decodes no more chunks than needed."""
    taken: list[Samples] = []
    count = 0
    for part in parts:
        taken.append(part)
        count += len(part)
        if count > limit:
            break
    samples = np.concatenate([*taken, tail]) if len(tail) or len(taken) != 1 else taken[0]
    if len(tail) and count:
        samples = samples[np.argsort(samples["time"], kind="stable")]
    return samples[:limit], len(samples) > limit


def _comparable(samples: Samples) -> tuple[list[int], list[int], list[int]]:
    """Columns that are equal where the samples are: one NaN, one zero."""
    value = np.where(np.isnan(samples["value"]), np.nan, samples["value"] + 0.0)
    return samples["time"].tolist(), value.view(np.int64).tolist(), samples["quality"].tolist()
