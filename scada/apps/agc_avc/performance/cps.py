"""CPS1 and CPS2 (NERC BAL-001), their Chinese form, and CPS1 of the running hour.

Signs as in NERC: bias ``B`` in MW/0.1 Hz, negative; ACE < 0 means that the area generates too little. A minute without data is
NaN in every column and is left out of both sides of every ratio: missing time is never counted as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S

Column = npt.NDArray[np.float64]

MINUTE_NS: Final = 60 * NS_PER_S
_HOUR_NS: Final = 3600 * NS_PER_S
VALID_SHARE: Final = 0.5
"""A minute, or a period of CPS2, with less of its samples valid does not count (NERC, Performance Standards Reference)."""


def control_factors(ace_mw: Column, deviation_hz: Column, bias: float | Column) -> Column:
    """Control factor of each clock-minute, Hz²: ``[mean(ACE) / (-10 B)] * mean(dF)`` (NERC BAL-001).

    Args:
        ace_mw: minute means.
        deviation_hz: minute means of actual less scheduled frequency.
        bias: B.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        factors: Column = ace_mw / (-10.0 * np.asarray(bias, dtype=np.float64)) * deviation_hz
    factors[~np.isfinite(factors)] = math.nan
    return factors


def cps1(factors: Column, eps1_hz: float) -> float:
    """CPS1 in %: ``100 (2 - mean(CF) / eps1²)`` over the minutes that count; NaN without one.

    Each valid minute weighs the same, so that an hour, day or month of hours is weighted by its valid minutes.

    >>> cps1(np.array([0.0, math.nan]), 0.018)
    200.0
    """
    known = factors[np.isfinite(factors)]
    if not known.size or not eps1_hz > 0:
        return math.nan
    return float(100.0 * (2.0 - known.mean() / eps1_hz**2))


def l10(eps10_hz: float, bias: float, bias_sum: float = math.nan) -> float:
    """``L10 = 1.65 eps10 sqrt((-10 B)(-10 Bs))``, MW.

    [K: general knowledge; used by the Chinese CPS as well]

    Args:
        eps10_hz: target of the interconnection's 10-minute frequency deviation.
        bias: B of the area.
        bias_sum: Bs of the interconnection; NaN = the area is alone.

    >>> round(l10(0.0057, -50.0, -200.0), 3)
    9.405
    """
    other = bias if math.isnan(bias_sum) else bias_sum
    return 1.65 * eps10_hz * math.sqrt((-10.0 * bias) * (-10.0 * other)) if bias * other >= 0 else math.nan


def period_means(minutes: Column, length: int) -> Column:
    """Means of consecutive periods of ``length`` minutes; NaN where fewer than half of them are known.

    Args:
        minutes: minute means; the first belongs to the beginning of a period, a last period that is not full is left out.
        length: minutes of a period, 10 (NERC) or 15 (China).
    """
    table = minutes[: len(minutes) // length * length].reshape(-1, length)
    known = np.isfinite(table)
    count = known.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: Column = np.where(known, table, 0.0).sum(axis=1) / count
    means[count < VALID_SHARE * length] = math.nan
    return means


@dataclass(frozen=True, slots=True)
class Share:
    """How many of the periods that could be judged were good.

    Attributes:
        good: periods that met the rule.
        counted: periods with enough data.
        unavailable: periods without.
    """

    good: int
    counted: int
    unavailable: int

    @property
    def percent(self) -> float:
        """Of those counted; NaN without one."""
        return 100.0 * self.good / self.counted if self.counted else math.nan


def share_of(good: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_]) -> Share:
    """Count the good among the known."""
    counted = int(known.sum())
    return Share(int((good & known).sum()), counted, len(known) - counted)


def cps2(means_mw: Column, limit_mw: float | Column) -> Share:
    """CPS2: ``[1 - violations / (total - unavailable)] 100`` of the periods with ``|mean ACE| <= L10`` (NERC BAL-001-0).

    Args:
        means_mw: mean ACE of each period, NaN = unavailable (:func:`period_means`).
        limit_mw: L10; NaN = not known, then no period counts.
    """
    known = np.isfinite(means_mw) & np.isfinite(limit_mw)
    return share_of(np.abs(means_mw) <= limit_mw, known)


@dataclass(frozen=True, slots=True)
class ChineseCps:
    """Chinese CPS of consecutive periods.

    Attributes:
        kcps: ``2 - sum(ACE dF) / (-10 B n eps1²)`` of each period, NaN = no data.
        share: periods that qualify.
    """

    kcps: Column
    share: Share


def chinese_cps(factors: Column, means_mw: Column, eps1_hz: float, limit_mw: float | Column, length: int = 15) -> ChineseCps:
    """Judge each period: KCPS >= 2 qualifies; 1 <= KCPS < 2 qualifies if ``|mean ACE| <= L10``; below 1 fails.

    [K: general knowledge of the CPS assessment of Chinese grids; the length of a period differs by grid]

    Args:
        factors: control factors of the minutes.
        means_mw: mean ACE of each period (:func:`period_means` with the same ``length``).
        eps1_hz: target of the 1-minute deviation.
        limit_mw: L10.
        length: minutes of a period.
    """
    kcps: Column = 2.0 - period_means(factors, length) / eps1_hz**2 if eps1_hz > 0 else np.full(len(means_mw), math.nan)
    known = np.isfinite(kcps) & np.isfinite(means_mw)
    within = np.abs(means_mw) <= limit_mw
    good = (kcps >= 2.0) | ((kcps >= 1.0) & within)
    # between 1 and 2 the limit decides; without one there is no verdict
    known &= (kcps >= 2.0) | (kcps < 1.0) | np.isfinite(limit_mw)
    return ChineseCps(kcps, share_of(good, known))


class PerformanceIndex:
    """CPS1 of the running clock hour (UTC), in the controller: control never depends on a store.

    A minute with less than half of its samples valid does not count. When the clock goes back, the minutes since are begun anew.

    Args:
        bias: NERC B, MW/0.1 Hz, negative.
        eps1_hz: target of the interconnection's 1-minute frequency deviation.
        cycle_s: how often a sample should come; of a minute that nobody watched as a whole, what is missing is not valid.
    """

    def __init__(self, bias: float, eps1_hz: float, cycle_s: float = 60.0) -> None:
        self._due = 60.0 / cycle_s
        self._bias_mw_per_hz = -10.0 * bias
        self._eps1 = eps1_hz
        self._hour = self._minute = -1
        self._factors: dict[int, float] = {}
        self._ace = self._deviation = 0.0
        self._valid = self._asked = 0

    def sample(self, ace_mw: float, deviation_hz: float, now_ns: int) -> None:
        """Take one cycle; NaN marks an invalid one.

        Args:
            ace_mw: unfiltered ACE.
            deviation_hz: actual less scheduled frequency.
            now_ns: ns UTC.
        """
        minute = now_ns // MINUTE_NS
        if minute != self._minute:
            self._close_minute(minute)
            self._minute = minute
        if now_ns // _HOUR_NS != self._hour:
            self._hour = now_ns // _HOUR_NS
            self._factors.clear()
        self._asked += 1
        if math.isfinite(ace_mw) and math.isfinite(deviation_hz):
            self._ace += ace_mw
            self._deviation += deviation_hz
            self._valid += 1

    def _close_minute(self, following: int) -> None:
        count = self._valid
        if following < self._minute:
            self._factors = {minute: factor for minute, factor in self._factors.items() if minute < following}
        elif count and count >= VALID_SHARE * max(self._asked, self._due) and self._bias_mw_per_hz:
            self._factors[self._minute] = self._ace / count / self._bias_mw_per_hz * (self._deviation / count)
        self._ace = self._deviation = 0.0
        self._valid = self._asked = 0

    @property
    def cps1_percent(self) -> float:
        """CPS1 of the full minutes of the running hour, NaN before the first."""
        return cps1(np.fromiter(self._factors.values(), np.float64, len(self._factors)), self._eps1)

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        running = [self._ace, self._deviation, self._valid, self._asked]
        return {"hour": self._hour, "minute": self._minute, "factors": list(map(list, self._factors.items())), "running": running}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state."""
        self._hour, self._minute = state["hour"], state["minute"]
        self._factors = {int(minute): factor for minute, factor in state["factors"]}
        self._ace, self._deviation, self._valid, self._asked = state["running"]
