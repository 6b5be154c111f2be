"""A history as plain lists: what a historian must answer, written without any of its code."""

import math
from dataclasses import dataclass, field

from scada.core.quality import BAD_MASK
from scada.history.interface import NOT_RECORDED

MINUTE = 60 * 10**9


@dataclass
class PlainPoint:
    """Samples of one point, each (time, value, quality), in order of arrival."""

    arrived: list = field(default_factory=list)

    def ordered(self):
        return sorted(self.arrived, key=lambda sample: sample[0])

    def with_gaps(self, gaps):
        """Samples and markers in order; a marker only where something was known."""
        rows = [(time, 0, value, quality) for time, value, quality in self.ordered()]
        rows += [(start, 1, math.nan, NOT_RECORDED) for start, _ in gaps]
        rows.sort(key=lambda row: row[:2])
        shown = []
        for time, _, value, quality in rows:
            if quality != NOT_RECORDED or (shown and shown[-1][2] != NOT_RECORDED):
                shown.append((time, value, quality))
        return shown

    def raw(self, gaps, start, stop):
        return [row for row in self.with_gaps(gaps) if start <= row[0] < stop]

    def before(self, gaps, at):
        return [row for row in self.with_gaps(gaps) if row[0] < at][-1:]

    def periods(self, gaps, start, stop, period_s, now):
        """time -> (minimum, maximum, mean, time-weighted, last, count, good_s) of the periods of which anything is known."""
        period, rows, made = period_s * 10**9, self.with_gaps(gaps), {}
        for begin in range(-(-start // period) * period, stop, period):
            end = min(begin + period, now)
            values, area, good_s, last, known = [], 0.0, 0.0, math.nan, False
            received = [value for time, value, quality in rows if begin <= time < begin + period and good(value, quality)]
            for (time, value, quality), following in zip(rows, [*rows, None][1:], strict=True):
                until = end if following is None else min(following[0], end)
                held = max(0, until - max(time, begin)) if time < begin + period else 0
                inside = begin <= time < begin + period
                known |= (inside or held > 0) and quality != NOT_RECORDED
                if good(value, quality) and (held > 0 or inside):
                    values.append(value)
                    area += value * held / 1e9
                    good_s += held / 1e9
                    last = value
            if known:
                made[begin] = (
                    min(values, default=math.nan),
                    max(values, default=math.nan),
                    sum(received) / len(received) if received else math.nan,
                    area / good_s if good_s else math.nan,
                    last,
                    len(received),
                    good_s,
                )
        return made


def good(value, quality):
    return not quality & BAD_MASK and not math.isnan(value)
