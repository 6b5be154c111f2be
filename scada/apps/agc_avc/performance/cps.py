"""Control performance of the running hour: CPS1 (NERC BAL-001)."""

from __future__ import annotations

import math

from scada.core.clock import NS_PER_S

_MINUTE_NS = 60 * NS_PER_S
_HOUR_NS = 3600 * NS_PER_S


class PerformanceIndex:
    """CPS1 of the running clock hour.

    Per clock-minute ``CF = [mean(ACE) / (-10 B)] * mean(dF)``; ``CPS1 = 100 (2 - mean(CF) / eps1^2)`` over the minutes of the
    hour. A minute with less than half of its samples valid does not count.

    Args:
        bias: NERC B, MW/0.1 Hz, negative.
        eps1_hz: target of the interconnection's 1-minute frequency deviation.
    """

    def __init__(self, bias: float, eps1_hz: float) -> None:
        self._bias_mw_per_hz = -10.0 * bias
        self._eps1 = eps1_hz
        self._hour = self._minute = -1
        self._minute_factors: list[float] = []
        self._samples: list[tuple[float, float]] = []
        self._asked = 0

    def sample(self, ace_mw: float, deviation_hz: float, now_ns: int) -> None:
        """Take one cycle; NaN marks an invalid one.

        Args:
            ace_mw: unfiltered ACE.
            deviation_hz: actual less scheduled frequency.
            now_ns: ns UTC.
        """
        minute = now_ns // _MINUTE_NS
        if minute != self._minute:
            self._close_minute()
            self._minute = minute
        if now_ns // _HOUR_NS != self._hour:
            self._hour = now_ns // _HOUR_NS
            self._minute_factors.clear()
        self._asked += 1
        if math.isfinite(ace_mw) and math.isfinite(deviation_hz):
            self._samples.append((ace_mw, deviation_hz))

    def _close_minute(self) -> None:
        count = len(self._samples)
        if count and 2 * count >= self._asked and self._bias_mw_per_hz:
            ace = sum(ace for ace, _ in self._samples) / count
            deviation = sum(deviation for _, deviation in self._samples) / count
            self._minute_factors.append(ace / self._bias_mw_per_hz * deviation)
        self._samples.clear()
        self._asked = 0

    @property
    def cps1_percent(self) -> float:
        """CPS1 of the full minutes of the running hour, NaN before the first."""
        if not self._minute_factors:
            return math.nan
        return 100.0 * (2.0 - sum(self._minute_factors) / len(self._minute_factors) / self._eps1**2)
