"""When each block is read: periods, rates, and units that do not answer. Times are the clock's monotonic seconds.

The earliest due block goes first, so a slow link delays every block a little and starves none. A unit that misses two answers in
a row is silent: it is asked again after a pause that doubles, with one request, and all silent units of a channel together get at
most a fifth of the link's time; the units that do answer lose no more than that.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from scada.protocols.modbus.limits import ChannelLimits
from scada.protocols.modbus.reading import Reading

MISSES: Final = 2
"""Missing answers in a row after which a unit is silent."""
_FIRST_PAUSE_S, _LAST_PAUSE_S = 1.0, 60.0
_SHARE: Final = 4.0
"""A time-out of a silent unit is followed by so many times its length without another one."""


@dataclass(slots=True)
class _Pace:
    """Earliest time of the next request by a pause and a rate."""

    gap_s: float
    rate: float
    free_at: float = -math.inf

    def used(self, began: float, ended: float) -> None:
        self.free_at = max(ended + self.gap_s, began + 1 / self.rate if self.rate else -math.inf)


@dataclass(slots=True)
class _Unit:
    pace: _Pace
    due: list[tuple[float, int, Reading]] = field(default_factory=list)
    """Heap."""
    planned: list[Reading] = field(default_factory=list)
    """Blocks as planned; ``readings`` are these, or parts of them."""
    readings: list[Reading] = field(default_factory=list)
    misses: int = 0
    silent: bool = False
    retry_at: float = -math.inf

    @property
    def wanted_at(self) -> float:
        if not self.due:
            return math.inf
        return self.retry_at if self.silent else self.due[0][0]

    def next_at(self) -> float:
        return max(self.wanted_at, self.pace.free_at)


class Schedule:
    """The scan of one channel.

    Args:
        readings: every block.
        limits: periods and rates.
    """

    def __init__(self, readings: Iterable[Reading], limits: ChannelLimits) -> None:
        self._limits = limits
        self._pace = _Pace(limits.gap_s, limits.max_requests_s)
        self._units: dict[int, _Unit] = {}
        self._failures: dict[int, int] = {}
        self._order = itertools.count()
        self._due = 0.0
        self._probes_free_at = -math.inf
        self.misses = 0
        """Missing answers in a row, whatever the unit."""
        self.heard = False
        """Somebody answered on this connection."""
        self.late_s = 0.0
        """How long ago the block taken last was due."""
        for reading in readings:
            unit = self._unit(reading.block.unit_id)
            unit.planned.append(reading)
            unit.readings.append(reading)

    def __iter__(self) -> Iterator[Reading]:
        """Every block."""
        return (reading for unit in self._units.values() for reading in unit.readings)

    def start(self, now: float) -> None:
        """A new connection: everything is due, every unit is believed to answer, and every block to be whole."""
        self.misses, self.heard, self._probes_free_at = 0, False, -math.inf
        self._failures.clear()
        for unit in self._units.values():
            unit.misses, unit.silent = 0, False
            unit.due = []
            parts, unit.readings = unit.readings, list(unit.planned)
            for reading in unit.readings:
                if reading not in parts:
                    reading.join(parts)
                reading.start()
                self._plan(unit, reading, now)

    @property
    def empty(self) -> bool:
        """There is nothing to read."""
        return not self._units

    @property
    def all_silent(self) -> bool:
        """Nobody answers."""
        return bool(self._units) and all(unit.silent or unit.misses for unit in self._units.values())

    def is_silent(self, unit_id: int) -> bool:
        """This unit does not answer."""
        return unit_id in self._units and self._units[unit_id].silent

    def of_unit(self, unit_id: int) -> list[Reading]:
        """Blocks of one unit."""
        return list(self._units[unit_id].readings) if unit_id in self._units else []

    def next(self, now: float) -> tuple[Reading | None, float]:
        """The block to read now and ``now``; or None and when to ask again."""
        if not self._units:
            return None, now + 1.0
        probing_at = self._probes_free_at if any(not unit.silent for unit in self._units.values()) else -math.inf

        def rank(unit: _Unit) -> tuple[float, float]:
            """When it may be asked; of those that may be asked now, the one that is due longest."""
            return max(unit.next_at(), probing_at if unit.silent else -math.inf, now), unit.wanted_at

        unit = min(self._units.values(), key=rank)
        at = max(rank(unit)[0], self._pace.free_at)
        if at > now:
            return None, at
        self._due, _, reading = heapq.heappop(unit.due)
        self.late_s = 0.0 if unit.silent else now - self._due
        return reading, now

    def free_at(self, unit_id: int) -> float:
        """When a unit can bear another request."""
        pace = self._units[unit_id].pace.free_at if unit_id in self._units else -math.inf
        return max(pace, self._pace.free_at)

    def used(self, unit_id: int, began: float, ended: float) -> None:
        """A request was made, whatever became of it."""
        self._pace.used(began, ended)
        if unit_id in self._units:
            self._units[unit_id].pace.used(began, ended)

    def answered(self, reading: Reading, now: float) -> None:
        """Values came, or a reason that may pass soon."""
        unit = self._heard(reading)
        self._failures.pop(id(reading), None)
        self._plan(unit, reading, max(self._due + reading.block.period_s, now))

    def refused(self, reading: Reading, now: float) -> None:
        """The unit will not give this block; it is asked again and again, but ever more rarely."""
        self._plan(self._heard(reading), reading, now + self._pause(reading))

    def parted(self, reading: Reading, parts: Iterable[Reading], now: float) -> None:
        """A block is read in parts from now on."""
        unit = self._heard(reading)
        at = unit.readings.index(reading)
        self._failures.pop(id(reading), None)
        unit.readings[at : at + 1] = parts = list(parts)
        for part in parts:
            self._plan(unit, part, now)

    def missed(self, reading: Reading, cost_s: float, now: float) -> bool:
        """No answer; True if the unit has just become silent. Another block of it is asked before that is said."""
        unit = self._unit(reading.block.unit_id)
        unit.misses += 1
        self.misses += 1
        self._plan(unit, reading, now + self._pause(reading))
        if unit.silent:
            self._probes_free_at = now + _SHARE * cost_s
        became = not unit.silent and (unit.misses >= MISSES or len(unit.readings) == 1)
        unit.silent = unit.silent or became
        pause = min(_FIRST_PAUSE_S * 2 ** min(unit.misses - 1, 10), _LAST_PAUSE_S)
        if self.all_silent:  # nobody to make room for
            pause = min(pause, *(one.block.period_s for one in unit.readings))
        unit.retry_at = now + pause
        return became

    def hurry(self, unit_id: int | None, now: float) -> None:
        """Everything of one unit, or of all, is due."""
        for number, unit in self._units.items():
            if unit_id in (None, number):
                unit.due = [(min(due, now), order, reading) for due, order, reading in unit.due]
                heapq.heapify(unit.due)
                unit.retry_at = min(unit.retry_at, now)

    def _heard(self, reading: Reading) -> _Unit:
        unit = self._unit(reading.block.unit_id)
        unit.misses, unit.silent = 0, False
        self.misses, self.heard = 0, True
        return unit

    def _pause(self, reading: Reading) -> float:
        failures = self._failures[id(reading)] = self._failures.get(id(reading), 0) + 1
        period = reading.block.period_s
        longest = max(_LAST_PAUSE_S, period)
        return min(period * float(1 << min(failures - 1, 20)), longest)

    def _plan(self, unit: _Unit, reading: Reading, due: float) -> None:
        heapq.heappush(unit.due, (due, next(self._order), reading))

    def _unit(self, unit_id: int) -> _Unit:
        if unit_id not in self._units:
            limits = self._limits.of(unit_id)
            self._units[unit_id] = _Unit(_Pace(limits.gap_s, limits.max_requests_s))
        return self._units[unit_id]
