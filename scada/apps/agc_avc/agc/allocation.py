"""Sharing a demand among units: exact water-filling with limits and forbidden zones.

The problem, for units ``i`` with base ``b``, participation ``a > 0`` and window ``[lo, hi]``::

    minimise  sum (x_i - b_i)^2 / (2 a_i)   subject to  sum x_i = D,  lo_i <= x_i <= hi_i

Its optimality conditions give ``x_i = clip(b_i + a_i * lam, lo_i, hi_i)`` with one ``lam`` for all, found here by a safeguarded
Newton iteration on the piecewise linear ``sum x_i(lam)``. With ``b = -b_cost / (2 c)`` and ``a = 1 / (2 c)`` the same kernel is
economic dispatch of quadratic costs and ``lam`` the system's incremental cost (Wood and Wollenberg, Power Generation, Operation
and Control, ch. 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

TOLERANCE_MW = 1e-9
"""Imbalance accepted, per unit of the demand or of 1 MW, whichever is larger."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Result of one allocation.

    Attributes:
        power: MW of each unit.
        lam: common multiplier (``$/MWh`` in economic dispatch), NaN if no unit could move.
        unmet: demand less the sum of ``power``; not 0 only if the windows and zones cannot meet it.
    """

    power: F8
    lam: float
    unmet: float


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """Forbidden zones of all units as columns; a unit may have several, they do not overlap.

    Attributes:
        unit: index of the unit of each zone.
        lo: lower edge, MW; the edges themselves are allowed.
        hi: upper edge, MW.
    """

    unit: I8
    lo: F8
    hi: F8

    @classmethod
    def of(cls, zones: Sequence[Sequence[Sequence[float]]]) -> ZoneTable:
        """Columns from one list of ``(lo, hi)`` per unit."""
        rows = [(i, lo, hi) for i, unit in enumerate(zones) for lo, hi, *_ in unit]
        unit, lo, hi = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
        return cls(np.array(unit, np.int64), np.array(lo, np.float64), np.array(hi, np.float64))


NO_ZONES = ZoneTable.of([])


def allocate(base: F8, alpha: F8, lo: F8, hi: F8, demand: float, zones: ZoneTable = NO_ZONES) -> Allocation:
    """Share ``demand`` (MW) among units; see the module for the problem solved.

    A unit that would land inside a forbidden zone is held to the side of the nearer edge that its window reaches, and the rest
    is shared again; if the demand is then missed, the other side of single zones is tried. The result need not be the cheapest
    choice of sides. A unit whose whole window lies inside a zone keeps its place there (the caller crosses zones).

    Args:
        base: preferred MW of each unit.
        alpha: participation, >= 0; 0 keeps a unit at its base within its window.
        lo: lower end of each window.
        hi: upper end; ``lo <= hi``.
        demand: total MW wanted.
        zones: forbidden zones.
    """
    power = np.empty(len(base))
    lam, unmet = _allocate(base, alpha, lo.copy(), hi.copy(), demand, zones.unit, zones.lo, zones.hi, power)
    return Allocation(power, lam, unmet)


@njit(cache=True, nogil=True)
def _water_fill(  # noqa: PLR0912 - one loop over the units, so that it compiles to one kernel
    base: F8, alpha: F8, lo: F8, hi: F8, demand: float, x: F8
) -> tuple[float, float]:
    """Fill ``x``; returns (lam, unmet)."""
    n = len(base)
    left, right = np.inf, -np.inf
    sum_lo, sum_hi, sum_base, sum_alpha = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        if alpha[i] > 0.0:
            left = min(left, (lo[i] - base[i]) / alpha[i])
            right = max(right, (hi[i] - base[i]) / alpha[i])
            sum_lo += lo[i]
            sum_hi += hi[i]
            sum_base += base[i]
            sum_alpha += alpha[i]
        else:
            fixed = min(max(base[i], lo[i]), hi[i])
            sum_lo += fixed
            sum_hi += fixed
            sum_base += fixed
    tolerance = TOLERANCE_MW * max(1.0, abs(demand))
    lam = np.nan
    if sum_alpha > 0.0:
        if demand <= sum_lo:
            lam = left
        elif demand >= sum_hi:
            lam = right
        else:
            lam = min(max((demand - sum_base) / sum_alpha, left), right)
    for _ in range(200):
        total, slope = 0.0, 0.0
        for i in range(n):
            wanted = base[i] + alpha[i] * lam if alpha[i] > 0.0 else base[i]
            x[i] = min(max(wanted, lo[i]), hi[i])
            total += x[i]
            if alpha[i] > 0.0 and lo[i] < wanted < hi[i]:
                slope += alpha[i]
        miss = demand - total
        if abs(miss) <= tolerance or demand <= sum_lo or demand >= sum_hi:
            break
        if miss > 0.0:
            left = lam
        else:
            right = lam
        step = lam + miss / slope if slope > 0.0 else np.inf
        lam = step if left < step < right else 0.5 * (left + right)
    return lam, miss if abs(miss) > tolerance else 0.0


@njit(cache=True, nogil=True)
def _settle(
    base: F8, alpha: F8, lo: F8, hi: F8, demand: float, zone_unit: I8, zone_lo: F8, zone_hi: F8, x: F8
) -> tuple[float, float]:
    """Fill, hold units inside zones to a side by narrowing ``lo``/``hi``, fill again until none is inside."""
    lam, unmet = _water_fill(base, alpha, lo, hi, demand, x)
    for _ in range(len(zone_unit)):
        moved = False
        for z in range(len(zone_unit)):
            i = zone_unit[z]
            if zone_lo[z] < x[i] < zone_hi[z]:
                down, up = zone_lo[z] >= lo[i], zone_hi[z] <= hi[i]
                if down and (not up or x[i] - zone_lo[z] <= zone_hi[z] - x[i]):
                    hi[i] = zone_lo[z]
                    moved = True
                elif up:
                    lo[i] = zone_hi[z]
                    moved = True
        if not moved:
            break
        lam, unmet = _water_fill(base, alpha, lo, hi, demand, x)
    return lam, unmet


@njit(cache=True, nogil=True)
def _allocate(
    base: F8, alpha: F8, lo: F8, hi: F8, demand: float, zone_unit: I8, zone_lo: F8, zone_hi: F8, x: F8
) -> tuple[float, float]:
    window_lo, window_hi = lo.copy(), hi.copy()
    lam, unmet = _settle(base, alpha, lo, hi, demand, zone_unit, zone_lo, zone_hi, x)
    if unmet == 0.0:
        return lam, unmet
    trial = np.empty_like(x)
    chosen_lo, chosen_hi = lo.copy(), hi.copy()
    for z in range(len(zone_unit)):
        i = zone_unit[z]
        other_lo, other_hi = chosen_lo.copy(), chosen_hi.copy()
        if chosen_hi[i] == zone_lo[z] and zone_hi[z] <= window_hi[i]:
            other_lo[i], other_hi[i] = zone_hi[z], window_hi[i]
        elif chosen_lo[i] == zone_hi[z] and zone_lo[z] >= window_lo[i]:
            other_lo[i], other_hi[i] = window_lo[i], zone_lo[z]
        else:
            continue
        trial_lam, trial_unmet = _settle(base, alpha, other_lo, other_hi, demand, zone_unit, zone_lo, zone_hi, trial)
        if abs(trial_unmet) < abs(unmet):
            x[:] = trial
            lam, unmet = trial_lam, trial_unmet
    return lam, unmet


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    one = np.ones(1)
    allocate(one, one, one, one, 1.0)
