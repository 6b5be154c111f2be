"""Kernels of water-filling: one multiplier for all units, found by a safeguarded Newton iteration; with a tree of groups.

The problem and its public face are in :mod:`scada.apps.agc_avc.agc.allocation`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

TOLERANCE_MW = 1e-9
"""Imbalance accepted, per unit of the demand or of 1 MW, whichever is larger."""
_STEPS = 200
_FAST = {"reassoc", "nsz", "contract", "arcp"}
"""Sums may be taken in vector order; NaN and infinity keep their meaning."""


class GroupLimits(NamedTuple):
    """A tree of groups whose sums are limited, as columns; empty = none.

    Groups are numbered so that a parent stands before its children and a subtree is a run ``g .. end[g] - 1``.

    Attributes:
        unit: group of each unit, -1 = the area itself.
        parent: group above each group, -1 = the area itself.
        end: one past the last group of each subtree.
        minimum: least sum of a group, MW.
        maximum: greatest.
    """

    unit: I8
    parent: I8
    end: I8
    minimum: F8
    maximum: F8


NO_GROUPS = GroupLimits(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))


@njit(cache=True, nogil=True, fastmath=_FAST)
def _sum_at(base: F8, alpha: F8, lo: F8, hi: F8, lam: float) -> tuple[float, float]:
    """Sum of all units at a multiplier, and its slope."""
    total, slope = 0.0, 0.0
    for i in range(len(base)):
        wanted = base[i] + alpha[i] * lam
        x = min(max(wanted, lo[i]), hi[i])
        total += x
        slope += alpha[i] if x == wanted else 0.0
    return total, slope


@njit(cache=True, nogil=True, fastmath=_FAST)
def _fill_at(base: F8, alpha: F8, lo: F8, hi: F8, lam: float, x: F8) -> None:
    for i in range(len(base)):
        x[i] = min(max(base[i] + alpha[i] * lam, lo[i]), hi[i])


@njit(cache=True, nogil=True, fastmath=_FAST)
def _reach(base: F8, alpha: F8, lo: F8, hi: F8) -> tuple[float, float, float, float]:
    """Least and greatest sum, sum of base points held to the windows, sum of participations."""
    low, high, middle, weight = 0.0, 0.0, 0.0, 0.0
    for i in range(len(base)):
        fixed = min(max(base[i], lo[i]), hi[i])
        low += lo[i] if alpha[i] > 0.0 else fixed
        high += hi[i] if alpha[i] > 0.0 else fixed
        middle += base[i] if alpha[i] > 0.0 else fixed
        weight += alpha[i]
    return low, high, middle, weight


@njit(cache=True, nogil=True)
def _bracket(base: F8, alpha: F8, lo: F8, hi: F8) -> tuple[float, float]:
    """Multipliers at which every unit stands at its lower and at its upper end."""
    left, right = np.inf, -np.inf
    for i in range(len(base)):
        if alpha[i] > 0.0:
            left = min(left, (lo[i] - base[i]) / alpha[i])
            right = max(right, (hi[i] - base[i]) / alpha[i])
    return left, right


@njit(cache=True, nogil=True)
def water_fill(base: F8, alpha: F8, lo: F8, hi: F8, demand: float, x: F8) -> tuple[float, float]:
    """Fill ``x`` so that it sums to ``demand``; returns (lam, unmet).

    Newton's method on a piecewise linear function ends at the exact multiplier; a step that leaves the bracket is replaced by
    bisection. The bracket itself costs a division a unit and is made only when it is needed.
    """
    low, high, middle, weight = _reach(base, alpha, lo, hi)
    tolerance = TOLERANCE_MW * max(1.0, abs(demand))
    if not weight > 0.0:
        _fill_at(base, alpha, lo, hi, 0.0, x)
        miss = demand - low
        return np.nan, miss if abs(miss) > tolerance else 0.0
    if demand <= low or demand >= high:
        left, right = _bracket(base, alpha, lo, hi)
        lam = left if demand <= low else right
        for i in range(len(base)):
            x[i] = min(max(base[i], lo[i]), hi[i]) if not alpha[i] > 0.0 else (lo[i] if demand <= low else hi[i])
        miss = demand - low if demand <= low else demand - high
        return lam, miss if abs(miss) > tolerance else 0.0
    lam, left, right = (demand - middle) / weight, -np.inf, np.inf
    miss = 0.0
    for _ in range(_STEPS):
        total, slope = _sum_at(base, alpha, lo, hi, lam)
        miss = demand - total
        if abs(miss) <= tolerance:
            break
        if miss > 0.0:
            left = lam
        else:
            right = lam
        step = lam + miss / slope if slope > 0.0 else np.nan
        if not left < step < right:
            if left == -np.inf or right == np.inf:
                least, greatest = _bracket(base, alpha, lo, hi)
                left, right = max(left, least), min(right, greatest)
            step = 0.5 * (left + right)
        lam = step
    _fill_at(base, alpha, lo, hi, lam, x)
    return lam, miss if abs(miss) > tolerance else 0.0


@njit(cache=True, nogil=True)
def _sums_at(
    base: F8, alpha: F8, lo: F8, hi: F8, groups: GroupLimits, low: F8, high: F8, root: int, lam: float, sums: F8, slopes: F8
) -> tuple[float, float]:
    """Sum and slope of a subtree at a multiplier, its inner groups held to their limits, the root's own not."""
    first = max(root, 0)
    last = len(groups.parent) if root < 0 else groups.end[root]
    total, slope = 0.0, 0.0
    sums[first:last] = 0.0
    slopes[first:last] = 0.0
    for i in range(len(base)):
        g = groups.unit[i]
        if root >= 0 and not root <= g < last:
            continue
        wanted = base[i] + alpha[i] * lam
        x = min(max(wanted, lo[i]), hi[i])
        rise = alpha[i] if x == wanted else 0.0
        if g < 0:
            total += x
            slope += rise
        else:
            sums[g] += x
            slopes[g] += rise
    for g in range(last - 1, root, -1):
        if sums[g] < low[g]:
            sums[g], slopes[g] = low[g], 0.0
        elif sums[g] > high[g]:
            sums[g], slopes[g] = high[g], 0.0
        above = groups.parent[g]
        if above < 0:
            total += sums[g]
            slope += slopes[g]
        else:
            sums[above] += sums[g]
            slopes[above] += slopes[g]
    return (total, slope) if root < 0 else (sums[root], slopes[root])


@njit(cache=True, nogil=True)
def _solve_subtree(
    base: F8, alpha: F8, lo: F8, hi: F8, groups: GroupLimits, low: F8, high: F8, root: int, demand: float, sums: F8, slopes: F8
) -> tuple[float, float]:
    """Multiplier at which a subtree sums to ``demand``, and what is missing."""
    left, right = np.inf, -np.inf
    last = len(groups.parent) if root < 0 else groups.end[root]
    for i in range(len(base)):
        if alpha[i] > 0.0 and (root < 0 or root <= groups.unit[i] < last):
            left = min(left, (lo[i] - base[i]) / alpha[i])
            right = max(right, (hi[i] - base[i]) / alpha[i])
    tolerance = TOLERANCE_MW * max(1.0, abs(demand))
    if not left <= right:
        total, _ = _sums_at(base, alpha, lo, hi, groups, low, high, root, 0.0, sums, slopes)
        miss = demand - total
        return np.nan, miss if abs(miss) > tolerance else 0.0
    lam, miss = min(max(0.0, left), right), 0.0
    for _ in range(_STEPS):
        total, slope = _sums_at(base, alpha, lo, hi, groups, low, high, root, lam, sums, slopes)
        miss = demand - total
        if abs(miss) <= tolerance or left >= right:
            break
        if miss > 0.0:
            left = lam
        else:
            right = lam
        step = lam + miss / slope if slope > 0.0 else np.nan
        lam = step if left < step < right else 0.5 * (left + right)
    return lam, miss if abs(miss) > tolerance else 0.0


@njit(cache=True, nogil=True)
def fill_tree(base: F8, alpha: F8, lo: F8, hi: F8, demand: float, groups: GroupLimits, x: F8) -> tuple[float, float]:
    """As :func:`water_fill`, and every group's sum within its limits as far as the windows allow.

    Exact at any depth: the best answer of a subtree to a multiplier is the sum of its parts' answers, held to the subtree's
    limits, because the cost of a subtree is convex in its sum. A group at a limit gets a multiplier of its own.
    """
    count = len(groups.parent)
    low, high = np.zeros(count), np.zeros(count)
    sums, slopes, own = np.zeros(count), np.zeros(count), np.zeros(count)
    for i in range(len(base)):
        g = groups.unit[i]
        if g >= 0:
            fixed = min(max(base[i], lo[i]), hi[i])
            low[g] += lo[i] if alpha[i] > 0.0 else fixed
            high[g] += hi[i] if alpha[i] > 0.0 else fixed
    for g in range(count - 1, -1, -1):
        reach_low, reach_high = low[g], high[g]
        low[g] = min(max(groups.minimum[g], reach_low), reach_high)
        high[g] = max(min(groups.maximum[g], reach_high), low[g])
        if groups.parent[g] >= 0:
            low[groups.parent[g]] += low[g]
            high[groups.parent[g]] += high[g]
    lam, unmet = _solve_subtree(base, alpha, lo, hi, groups, low, high, -1, demand, sums, slopes)
    for g in range(count):
        above = lam if groups.parent[g] < 0 else own[groups.parent[g]]
        own[g] = above
        total, _ = _sums_at(base, alpha, lo, hi, groups, low, high, g, 0.0 if np.isnan(above) else above, sums, slopes)
        if not low[g] <= total <= high[g]:
            bound = low[g] if total < low[g] else high[g]
            own[g], _ = _solve_subtree(base, alpha, lo, hi, groups, low, high, g, bound, sums, slopes)
    for i in range(len(base)):
        mine = lam if groups.unit[i] < 0 else own[groups.unit[i]]
        x[i] = min(max(base[i] + alpha[i] * (0.0 if np.isnan(mine) else mine), lo[i]), hi[i])
    return lam, unmet
