"""Losses between the members of a plant and the meter its order counts at: a slow integrator with anti-windup."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scada.core.plant_settings import PlantSettings


class MeterCorrection:
    """What the members must give more than is ordered at the meter.

    ``c += (expected - measured) dt / T`` with the order expected at the meter after a lag. It stands while the members are at the
    limit it would push them further into, and never exceeds a part of the capacity.

    Args:
        capacity: of the plant, MW.
        settings: integral time, limit, expected lag.

    Attributes:
        mw: the correction, positive = losses.
        expected: what the meter should show, MW; NaN before the first order.
    """

    def __init__(self, capacity: float, settings: PlantSettings) -> None:
        self.mw = 0.0
        self.expected = math.nan
        self._settings = settings
        self._limit = settings.correction_percent / 100.0 * abs(capacity)

    def start(self, members: float, meter: float) -> None:
        """Begin without a bump from what the members and the meter show now, MW; NaN = not known."""
        losses = members - meter
        self.mw = 0.0 if math.isnan(losses) else min(max(losses, -self._limit), self._limit)
        self.expected = meter

    def update(self, order: float, meter: float, unmet: float, dt: float) -> None:
        """Learn from one cycle.

        Args:
            order: at the meter, MW, in force since the last cycle.
            meter: measured there; NaN = nothing good, then nothing is learned.
            unmet: what the members could not take of the last demand.
            dt: seconds since the last cycle.
        """
        if dt <= 0:
            return
        lag = self._settings.response_s
        weight = 1.0 if lag <= 0 else -math.expm1(-dt / lag)
        self.expected = order if math.isnan(self.expected) else self.expected + weight * (order - self.expected)
        error = self.expected - meter
        if math.isnan(error) or error * unmet > 0:
            return
        # more than losses can be is something else, and answered elsewhere
        error = min(max(error, -self._limit), self._limit)
        self.mw = min(max(self.mw + error * dt / self._settings.correction_s, -self._limit), self._limit)

    def forget(self) -> None:
        """Nothing is ordered any more; the losses learned stay."""
        self.expected = math.nan

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        return {"mw": self.mw, "expected": self.expected}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.mw, self.expected = float(state["mw"]), float(state["expected"])
