"""Points of a plan against what its target can do: limits, ramps, forbidden zones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scada.apps.dispatch.plans import PlanPoint
from scada.core.clock import NS_PER_S


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an order may ask, MW: the interchange limits of an area (export positive) or the power limits of a unit."""

    minimum: float
    maximum: float
    ramp_up: float = math.nan
    """MW/min; NaN = as fast as wanted."""
    ramp_down: float = math.nan
    forbidden: tuple[tuple[float, float], ...] = ()
    """Ranges in which a unit must not stay; their edges are allowed."""

    def within(self, low: float, high: float) -> Bounds:
        """Narrowed by further limits, never widened."""
        lowest = self.minimum if math.isfinite(self.minimum) else -math.inf
        highest = self.maximum if math.isfinite(self.maximum) else math.inf
        least = min(max(lowest, low), highest)
        return replace(self, minimum=least, maximum=max(min(highest, high), least))

    def clip(self, value: float) -> tuple[float, str]:
        """The value within the limits, and what was wrong with it."""
        low = self.minimum if math.isfinite(self.minimum) else -math.inf
        high = self.maximum if math.isfinite(self.maximum) else math.inf
        applied = min(max(value, low), high)
        return applied, "" if applied == value else f"{value:g} MW is outside {low:g} .. {high:g} MW"


@dataclass(frozen=True, slots=True)
class PointFinding:
    """What is to be said of one point."""

    time_ns: int
    code: str
    """``limit``, ``ramp`` or ``zone``."""
    asked_mw: float
    applied_mw: float
    reason: str


def judge_points(points: Sequence[PlanPoint], bounds: Bounds) -> tuple[list[PlanPoint], list[PointFinding]]:
    """Points within the limits, and findings by point. A ramp or a zone changes no value: the unit ramps as it can."""
    kept, findings = [], []
    before: PlanPoint | None = None
    for point in points:
        applied, why = bounds.clip(point.mw)
        if why:
            findings.append(PointFinding(point.time_ns, "limit", point.mw, applied, why))
        now = point._replace(mw=applied)
        if before is not None and (why := _too_fast(before, now, bounds)):
            findings.append(PointFinding(point.time_ns, "ramp", point.mw, applied, why))
        inside = next((zone for zone in bounds.forbidden if zone[0] < applied < zone[1]), None)
        if inside is not None:
            why = f"{applied:g} MW is inside the forbidden zone {inside[0]:g} .. {inside[1]:g} MW"
            findings.append(PointFinding(point.time_ns, "zone", point.mw, applied, why))
        kept.append(now)
        before = now
    return kept, findings


def _too_fast(before: PlanPoint, now: PlanPoint, bounds: Bounds) -> str:
    minutes = (now.time_ns - before.time_ns) / NS_PER_S / 60.0
    wanted = (now.mw - before.mw) / minutes
    ramp = bounds.ramp_up if wanted > 0 else bounds.ramp_down
    if not abs(wanted) > ramp * (1.0 + 1e-9):
        return ""
    return f"{now.mw - before.mw:+g} MW in {minutes:g} min is more than {ramp:g} MW/min"
