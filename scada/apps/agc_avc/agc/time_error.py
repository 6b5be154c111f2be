"""Time error: what synchronous clocks are wrong by, and the offset of the scheduled frequency that brings it back."""

from __future__ import annotations

import math
from typing import Any

from scada.core.agc_settings import AgcTuning


class TimeError:
    """``TE += (F - Fnom) / Fnom * dt``, seconds; positive = clocks are fast.

    The telemetered time error of the interconnection's time monitor is used where there is one; without it ours goes on from its
    last value. A correction begins at ``time_error_start_s`` and ends at ``time_error_stop_s``, by an offset of the scheduled
    frequency of ``time_error_offset_hz`` against the error. Source: NAESB manual time error correction, limits [K].

    Args:
        nominal_hz: nominal frequency.
        tuning: limits and offset.

    Attributes:
        error_s: time error.
        direction: +1 while slow clocks are speeded up, -1 while fast ones are slowed down, 0 = no correction asked for.
    """

    def __init__(self, nominal_hz: float, tuning: AgcTuning) -> None:
        self.error_s = 0.0
        self.direction = 0
        self._nominal = nominal_hz
        self._tuning = tuning

    def update(self, frequency_hz: float, dt: float, telemetered_s: float) -> None:
        """Take a cycle; NaN = unknown.

        Args:
            frequency_hz: actual frequency.
            dt: seconds since the last cycle.
            telemetered_s: time error as the time monitor says.
        """
        if math.isfinite(telemetered_s):
            self.error_s = telemetered_s
        elif math.isfinite(frequency_hz) and self._nominal > 0:
            self.error_s += (frequency_hz - self._nominal) / self._nominal * dt
        start, stop = self._tuning.time_error_start_s, self._tuning.time_error_stop_s
        if abs(self.error_s) >= start:
            self.direction = -1 if self.error_s > 0 else 1
        elif self.direction * self.error_s >= -stop:
            self.direction = 0

    @property
    def offset_hz(self) -> float:
        """Offset of the scheduled frequency that a correction asks for now."""
        return self.direction * self._tuning.time_error_offset_hz

    def state(self) -> dict[str, Any]:
        """What must survive a restart."""
        return {"error_s": self.error_s, "direction": self.direction}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        self.error_s, self.direction = float(state["error_s"]), int(state["direction"])
