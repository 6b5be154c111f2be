"""What a source can give: its limits, the capability curve of a machine, the circle of an inverter.

What is not known is not assumed: without its active power a machine has the range that holds at every active power of its curve,
and an inverter, whose range may then be nothing, is not used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scada.model_cim.regulation import ReactiveSource

Limit = tuple[str, float, float]
"""Key of what sets it, least and greatest Mvar."""


@dataclass(frozen=True, slots=True)
class Capability:
    """Range of a source now.

    Attributes:
        minimum: Mvar; NaN = not known.
        maximum: Mvar.
        limits: what it is made of.
        reason: why there is none; empty = there is.
    """

    minimum: float
    maximum: float
    limits: tuple[Limit, ...]
    reason: str = ""

    def at(self, value: float, tolerance: float) -> str:
        """The limit that a value stands at, as a key; empty = none."""
        if value >= self.maximum - tolerance:
            return max(self.limits, key=lambda limit: -limit[2])[0]
        if value <= self.minimum + tolerance:
            return max(self.limits, key=lambda limit: limit[1])[0]
        return ""


def capability(source: ReactiveSource, active: float | None) -> Capability:
    """Range of a source at its active power (MW; None = not known).

    Limits that make no sense, reversed or not a number, leave no range.
    """
    limits: list[Limit] = [("limits", source.minimum, source.maximum)]
    if source.capability:
        curve = _curve(source.capability, active)
        if curve is None:
            return _none("its capability curve makes no sense")
        limits.append(("capability_curve", *curve))
    if source.kind == "inverter" and not math.isnan(source.rated_mva):
        if active is None:
            return _none("no good measurement of its active power, which its range depends on")
        reach = math.sqrt(max(source.rated_mva**2 - active**2, 0.0))
        limits.append(("inverter_circle", -reach, reach))
    minimum, maximum = max(limit[1] for limit in limits), min(limit[2] for limit in limits)
    if not (math.isfinite(minimum) and math.isfinite(maximum) and minimum <= maximum):
        known = "" if active is not None or not source.capability else " without its active power"
        return _none(f"limits leave no range{known}")
    return Capability(minimum, maximum, tuple(limits))


def _none(reason: str) -> Capability:
    return Capability(math.nan, math.nan, (), reason)


def _curve(points: tuple[tuple[float, float, float], ...], active: float | None) -> tuple[float, float] | None:
    """Range by the curve, straight between its points and as at its end beyond them; None = no curve."""
    table = np.array(points, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != 3 or not np.isfinite(table).all():
        return None
    if (np.diff(table[:, 0]) < 0).any() or (table[:, 1] > table[:, 2]).any():
        return None
    if active is None:
        return float(table[:, 1].max()), float(table[:, 2].min())
    return float(np.interp(active, table[:, 0], table[:, 1])), float(np.interp(active, table[:, 0], table[:, 2]))
