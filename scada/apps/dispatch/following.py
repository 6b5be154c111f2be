"""How a plan is followed: planned and executed energy of the day, deviation of the moment."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from scada.apps.dispatch.days import day_bounds, day_of
from scada.apps.dispatch.plans import Curve
from scada.core.clock import NS_PER_S

LONGEST_STEP_S = 30.0
"""A measurement counts no longer than this: what is not known is counted as unknown, not as the last value."""


@dataclass(slots=True)
class _Count:
    since_ns: int
    last_ns: int
    executed_mwh: float = 0.0
    planned_mwh: float = 0.0
    unknown_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Followed:
    """A plan beside what is measured; NaN = unknown."""

    mw: float
    next_mw: float
    next_ns: int
    """0 = the plan ends."""
    actual_mw: float
    planned_mwh: float
    """Of the time in which the actual value was known, so that both can be compared."""
    executed_mwh: float
    since_ns: int
    unknown_s: float

    @property
    def deviation_mw(self) -> float:
        """Actual minus plan."""
        return self.actual_mw - self.mw


class EnergyAccounts:
    """Energy of each target since the day began, or since this counting began.

    Args:
        zone: time zone in which the day begins.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._counts: dict[str, _Count] = {}

    def follow(self, target: str, curve: Curve, actual_mw: float, now_ns: int) -> Followed | None:
        """Count up to a moment; None while there is no plan.

        Args:
            target: whose plan it is.
            curve: the plan.
            actual_mw: measured now; NaN where it is not known.
            now_ns: the moment.
        """
        planned = curve.at(now_ns)
        if planned is None:
            self._counts.pop(target, None)
            return None
        count = self._counts.get(target)
        midnight = day_bounds(day_of(now_ns, self._zone), self._zone)[0]
        if count is None or count.since_ns < midnight or now_ns < count.last_ns:
            count = self._counts[target] = _Count(now_ns, now_ns)
        seconds = (now_ns - count.last_ns) / NS_PER_S
        if math.isfinite(actual_mw) and seconds <= LONGEST_STEP_S:
            count.executed_mwh += actual_mw * seconds / 3600.0
            count.planned_mwh += curve.energy_mwh(count.last_ns, now_ns)
        else:
            count.unknown_s += seconds
        count.last_ns = now_ns
        following = curve.next_point(now_ns)
        return Followed(
            planned,
            following.mw if following else math.nan,
            following.time_ns if following else 0,
            actual_mw,
            count.planned_mwh,
            count.executed_mwh,
            count.since_ns,
            count.unknown_s,
        )

    def state(self) -> dict[str, Any]:
        """What has been counted, to be taken over by the next life."""
        names = ("since_ns", "last_ns", "executed_mwh", "planned_mwh", "unknown_s")
        return {target: [getattr(count, name) for name in names] for target, count in self._counts.items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`."""
        self._counts = {target: _Count(*values) for target, values in state.items()}
