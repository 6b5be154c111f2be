"""Versions of plans: every plan or edit that was accepted is the next version of (target, day), and none is ever changed.

A version is the whole picture of its day: a plan for part of a day, or an edit, takes over what it does not cover from the
version before. Between two points the value goes linearly, so a point is reached at its time; where two points stand further
apart than the step of the longer one there is a gap, and no plan.
"""

from __future__ import annotations

import hashlib
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from scada.core.clock import NS_PER_S

_MWH = 1.0 / 3600.0 / NS_PER_S


class PlanPoint(NamedTuple):
    """A value to be reached at a time."""

    time_ns: int
    mw: float
    step_s: int
    """How far the point before may be."""


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """One version of the plan of a target for a day."""

    target: str
    """Area name, or mRID of the unit."""
    day: date
    number: int
    points: tuple[PlanPoint, ...]
    order_id: str
    sender: str
    received_ns: int
    kind: str
    """``schedule`` (from dispatch), ``edit`` or ``restore`` (by an operator)."""
    reason: str = ""
    based_on: int = 0
    """Version it was made from; 0 = of itself."""
    issued_ns: int = 0
    """When dispatch made the plan, as it says; 0 = it does not."""

    @property
    def digest(self) -> str:
        """SHA-256 of times and values: equal plans have equal digests, whoever sent them."""
        return hashlib.sha256(b"".join(struct.pack("<qd", point.time_ns, point.mw) for point in self.points)).hexdigest()


class Change(NamedTuple):
    """A point in which two versions differ; NaN where one has none."""

    time_ns: int
    old: float
    new: float


def changes(old: Sequence[PlanPoint], new: Sequence[PlanPoint]) -> list[Change]:
    """Points that differ between two versions, by time."""
    before, after = ({point.time_ns: point.mw for point in points} for points in (old, new))
    nothing = float("nan")
    times = sorted(before.keys() | after.keys())
    pairs = [Change(time, before.get(time, nothing), after.get(time, nothing)) for time in times]
    return [pair for pair in pairs if pair.old != pair.new]


@dataclass(frozen=True, slots=True)
class Curve:
    """The plan of a target as it is followed: points of all its days."""

    points: tuple[PlanPoint, ...] = ()
    times: tuple[int, ...] = ()

    def over(self, points: Sequence[PlanPoint]) -> Curve:
        """With these points, ascending, from the first to the last of them."""
        start, end = bisect_left(self.times, points[0].time_ns), bisect_right(self.times, points[-1].time_ns)
        times = (point.time_ns for point in points)
        return Curve((*self.points[:start], *points, *self.points[end:]), (*self.times[:start], *times, *self.times[end:]))

    def at(self, now_ns: int) -> float | None:
        """Value at a moment, linear between points; None where there is no plan."""
        place = bisect_right(self.times, now_ns) - 1
        if place < 0:
            return None
        low = self.points[place]
        if low.time_ns == now_ns:
            return low.mw
        high = self._next_of(place)
        if high is None:
            return None
        return low.mw + (high.mw - low.mw) * (now_ns - low.time_ns) / (high.time_ns - low.time_ns)

    def next_point(self, now_ns: int) -> PlanPoint | None:
        """The point it goes to; None where there is no plan or it ends."""
        place = bisect_right(self.times, now_ns) - 1
        return self._next_of(place) if place >= 0 else None

    def energy_mwh(self, from_ns: int, to_ns: int) -> float:
        """Integral of the plan over a time; gaps count as nothing."""
        total = 0.0
        for place in range(max(bisect_right(self.times, from_ns) - 1, 0), bisect_left(self.times, to_ns)):
            low, high = self.points[place], self._next_of(place)
            if high is None or high.time_ns <= from_ns:
                continue
            start, end = max(low.time_ns, from_ns), min(high.time_ns, to_ns)
            slope = (high.mw - low.mw) / (high.time_ns - low.time_ns)
            mean = low.mw + slope * ((start + end) / 2 - low.time_ns)
            total += mean * (end - start) * _MWH
        return total

    def has_within(self, from_ns: int, to_ns: int) -> bool:
        """True if a point stands in a time, its start not counted."""
        return bisect_right(self.times, to_ns) > bisect_right(self.times, from_ns)

    def _next_of(self, place: int) -> PlanPoint | None:
        if place + 1 >= len(self.points):
            return None
        low, high = self.points[place], self.points[place + 1]
        return high if high.time_ns - low.time_ns <= max(low.step_s, high.step_s) * NS_PER_S else None


@dataclass(slots=True)
class PlanBook:
    """All versions, by target and day, and what is followed of them."""

    _versions: dict[tuple[str, date], list[PlanVersion]] = field(default_factory=dict)
    _curves: dict[str, Curve] = field(default_factory=dict)
    _received: dict[str, int] = field(default_factory=dict)

    def versions(self, target: str, day: date) -> Sequence[PlanVersion]:
        """Versions of a target's day, the first one first."""
        return self._versions.get((target, day), ())

    def all(self) -> Mapping[tuple[str, date], Sequence[PlanVersion]]:
        """Every version there is."""
        return self._versions

    def newest(self, target: str, day: date) -> PlanVersion | None:
        """The version in force."""
        found = self._versions.get((target, day))
        return found[-1] if found else None

    def add(self, version: PlanVersion) -> None:
        """Keep a version; from now on it is followed."""
        target, before = version.target, self.newest(version.target, version.day)
        self._versions.setdefault((target, version.day), []).append(version)
        curve = self._curves.pop(target, None)
        last, self._received[target] = self._received.get(target, version.received_ns), version.received_ns
        covers = before is None or not (
            before.points[0].time_ns < version.points[0].time_ns or before.points[-1].time_ns > version.points[-1].time_ns
        )
        # the newest one covers all that it replaces: the curve need not be made anew from all days
        if curve is not None and covers and last <= version.received_ns:
            self._curves[target] = curve.over(version.points)

    def merged(self, target: str, day: date, points: Sequence[PlanPoint]) -> tuple[PlanPoint, ...]:
        """Points of a plan, and those of the newest version before its first and after its last point."""
        newest = self.newest(target, day)
        kept = newest.points if newest is not None else ()
        first, last = points[0].time_ns, points[-1].time_ns
        return tuple(sorted([*(one for one in kept if not first <= one.time_ns <= last), *points]))

    def curve(self, target: str) -> Curve:
        """What is followed of a target; where two days overlap, what was received later."""
        found = self._curves.get(target)
        if found is None:
            newest = [versions[-1] for (name, _), versions in self._versions.items() if name == target]
            for version in sorted(newest, key=lambda one: one.received_ns):
                found = (found or Curve()).over(version.points)
            self._curves[target] = found = found or Curve()
        return found

    def forget_before(self, day: date) -> None:
        """Drop the versions of days before ``day``."""
        for target, old in [key for key in self._versions if key[1] < day]:
            del self._versions[target, old]
            self._curves.pop(target, None)
