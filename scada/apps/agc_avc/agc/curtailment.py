"""The curtailment account: what a plant could have generated but was kept from, in energy, by cause.

``E = integral of (Pavail - P) dt`` while the plant is curtailed, by the trapezoidal rule between two samples, for quarters of an
hour, hours and days. Time without a known available power or without samples is not estimated: it lowers the validity share.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any

from scada.apps.calc.calendar import Calendar
from scada.core.clock import NS_PER_S
from scada.expressions.calls import Period

CAUSES = ("agc", "group", "operator", "plant")
"""Who keeps a plant from generating: an order of AGC, a limit of its group or section, an operator, the plant itself."""

_QUARTER_NS = 900 * NS_PER_S
_KEPT = {"quarter": 96, "hour": 48, "day": 31}
"""Finished periods kept of each length."""


@dataclass(slots=True)
class Curtailment:
    """Account of one period.

    Attributes:
        start_ns: ns UTC.
        valid_s: time of which all is known.
        available_mwh: energy available in that time.
        produced_mwh: energy generated in that time.
        curtailed_mwh: by cause.
    """

    start_ns: int
    valid_s: float = 0.0
    available_mwh: float = 0.0
    produced_mwh: float = 0.0
    curtailed_mwh: dict[str, float] = field(default_factory=dict)

    @property
    def total_mwh(self) -> float:
        """Curtailed energy of all causes."""
        return sum(self.curtailed_mwh.values())

    def validity(self, until_ns: int) -> float:
        """Share of the time from the start to ``until_ns`` of which all is known, 0..1."""
        elapsed = (until_ns - self.start_ns) / NS_PER_S
        return min(1.0, self.valid_s / elapsed) if elapsed > 0 else 0.0

    def state(self) -> list[Any]:
        """As a row."""
        return [self.start_ns, self.valid_s, self.available_mwh, self.produced_mwh, dict(self.curtailed_mwh)]

    @classmethod
    def of(cls, row: list[Any]) -> Curtailment:
        """From a row of :meth:`state`."""
        start_ns, valid_s, available, produced, curtailed = row
        causes = {str(cause): float(mwh) for cause, mwh in curtailed.items()}
        return cls(int(start_ns), float(valid_s), float(available), float(produced), causes)


@dataclass(frozen=True, slots=True)
class _Sample:
    at_ns: int
    available: float
    power: float
    cause: str


class CurtailmentAccount:
    """Accounts of one plant.

    Args:
        zone: time zone in which days begin.
        longest_gap_s: samples further apart have a gap between them, of which nothing is known.

    Attributes:
        running: the present quarter, hour and day.
        finished: those before, oldest first; as many as are kept.
    """

    def __init__(self, zone: tzinfo = UTC, longest_gap_s: float = 30.0) -> None:
        self.running: dict[str, Curtailment] = {}
        self.finished: dict[str, deque[Curtailment]] = {name: deque(maxlen=kept) for name, kept in _KEPT.items()}
        self._calendar = Calendar(zone)
        self._longest_gap_ns = int(longest_gap_s * NS_PER_S)
        self._last: _Sample | None = None
        self._ended: dict[str, Curtailment] = {}

    def sample(self, now_ns: int, available: float, power: float, cause: str) -> None:
        """Take what holds from now on.

        Args:
            now_ns: ns UTC; a clock that was set back makes a gap.
            available: MW, NaN = unknown.
            power: measured MW, NaN = unknown.
            cause: one of :data:`CAUSES`; empty = not curtailed.
        """
        new = _Sample(now_ns, available, power, cause)
        self._turn(now_ns)
        old, self._last = self._last, new
        if old is None or not 0 < now_ns - old.at_ns <= self._longest_gap_ns:
            return
        if math.isnan(old.available + old.power + available + power):
            return
        start = old.at_ns
        while start < now_ns:
            end = min(now_ns, start - start % _QUARTER_NS + _QUARTER_NS)
            self._book(old, new, start, end)
            start = end

    def _turn(self, now_ns: int) -> None:
        """Close the periods that are over."""
        starts, _ = self._calendar.around(now_ns)
        found = {
            "quarter": now_ns - now_ns % _QUARTER_NS,
            "hour": int(starts[Period.HOUR]),
            "day": int(starts[Period.DAY]),
        }
        self._ended = {}
        for name, start_ns in found.items():
            period = self.running.get(name)
            if period is not None and period.start_ns == start_ns:
                continue
            if period is not None:
                self.finished[name].append(period)
                self._ended[name] = period
            self.running[name] = Curtailment(start_ns)

    def _book(self, old: _Sample, new: _Sample, start: int, end: int) -> None:
        """Book one piece of the way between two samples, all of it in one quarter."""
        span = new.at_ns - old.at_ns
        middle = ((start + end) / 2 - old.at_ns) / span
        available = old.available + middle * (new.available - old.available)
        power = old.power + middle * (new.power - old.power)
        # a straight line may cross zero within the piece; the part below it is no curtailment
        first = _lost(old) + (start - old.at_ns) / span * (_lost(new) - _lost(old))
        last = _lost(old) + (end - old.at_ns) / span * (_lost(new) - _lost(old))
        seconds = (end - start) / NS_PER_S
        hours = seconds / 3600.0
        for name, period in self.running.items():
            booked = period if start >= period.start_ns else self._ended.get(name)
            if booked is None:
                continue
            booked.valid_s += seconds
            booked.available_mwh += available * hours
            booked.produced_mwh += power * hours
            if old.cause:
                booked.curtailed_mwh[old.cause] = booked.curtailed_mwh.get(old.cause, 0.0) + _above_zero(first, last) * hours

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        last = self._last
        return {
            "running": {name: period.state() for name, period in self.running.items()},
            "finished": {name: [period.state() for period in periods] for name, periods in self.finished.items()},
            "last": None if last is None else [last.at_ns, last.available, last.power, last.cause],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; the time between is a gap if it is longer than a few cycles."""
        self.running = {name: Curtailment.of(row) for name, row in state["running"].items()}
        for name, periods in self.finished.items():
            periods.clear()
            periods.extend(Curtailment.of(row) for row in state["finished"].get(name, []))
        row = state["last"]
        self._last = None if row is None else _Sample(int(row[0]), float(row[1]), float(row[2]), str(row[3]))


def _lost(sample: _Sample) -> float:
    return sample.available - sample.power


def _above_zero(first: float, last: float) -> float:
    """Mean of the part above zero of a straight line."""
    if first >= 0 and last >= 0:
        return (first + last) / 2
    if first <= 0 and last <= 0:
        return 0.0
    above = max(first, last)
    return above * above / (2 * (abs(first) + abs(last)))
