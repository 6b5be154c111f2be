"""Forbidden zones in an allocation: choice of the side of each zone on which a unit ends up.

With few units inside a zone the choice is exact, by branch and bound over the sides with water-filling as relaxation; with many
the nearer side is taken for all of them, which is close to the best because each is small against the rest. A balance that is
missed so is looked for by branch and bound again, within a budget of work.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from scada.apps.agc_avc.agc.water_filling import F8, I8, GroupLimits, fill_tree, water_fill

EXACT_UNITS = 12
"""Up to so many units inside zones the choice of sides is exact."""
_LARGE = 512
"""With more units than this the nearer side is good enough unless it misses the balance."""
_EDGE = 1e-9
_WORK = 4_000_000
"""Units times nodes that a search may cost; 16 384 nodes at 244 units."""


class ZoneTable(NamedTuple):
    """Forbidden zones of all units as columns; a unit may have several, they do not overlap.

    Attributes:
        unit: index of the unit of each zone.
        lo: lower edge, MW; the edges themselves are allowed.
        hi: upper edge, MW.
    """

    unit: I8
    lo: F8
    hi: F8


@njit(cache=True, nogil=True)
def _fill(base: F8, alpha: F8, lo: F8, hi: F8, demand: float, groups: GroupLimits, x: F8) -> tuple[float, float]:
    if len(groups.parent) == 0:
        return water_fill(base, alpha, lo, hi, demand, x)
    return fill_tree(base, alpha, lo, hi, demand, groups, x)


@njit(cache=True, nogil=True)
def _cost(base: F8, alpha: F8, x: F8) -> float:
    total = 0.0
    for i in range(len(base)):
        if alpha[i] > 0.0:
            total += (x[i] - base[i]) ** 2 / (2.0 * alpha[i])
    return total


@njit(cache=True, nogil=True)
def _trim(base: F8, alpha: F8, lo: F8, hi: F8, zones: ZoneTable) -> None:
    """Draw window ends that lie inside a zone back to its edge; put units that take no part on the nearer side."""
    for again in range(2):  # a second pass for a window that the first one drew into a neighbouring zone's reach
        for z in range(len(zones.unit)):
            i, below, above = zones.unit[z], zones.lo[z], zones.hi[z]
            if below <= lo[i] and hi[i] <= above and (below < lo[i] or hi[i] < above):
                continue  # the whole window lies inside: the caller crosses
            if below < hi[i] < above and lo[i] <= below:
                hi[i] = below
            if below < lo[i] < above and hi[i] >= above:
                lo[i] = above
            fixed = min(max(base[i], lo[i]), hi[i])
            if not alpha[i] > 0.0 and again and below < fixed < above and lo[i] <= below and hi[i] >= above:
                if fixed - below <= above - fixed:
                    hi[i] = below
                else:
                    lo[i] = above


@njit(cache=True, nogil=True)
def _inside(lo: F8, hi: F8, zones: ZoneTable, x: F8) -> tuple[int, int]:
    """The zone in which a unit lies deepest (-1 = none), and how many lie inside one that they can leave."""
    worst, depth, count = -1, _EDGE, 0
    for z in range(len(zones.unit)):
        i = zones.unit[z]
        if zones.lo[z] < x[i] < zones.hi[z] and zones.lo[z] >= lo[i] and zones.hi[z] <= hi[i]:
            deep = min(x[i] - zones.lo[z], zones.hi[z] - x[i])
            if deep > _EDGE:
                count += 1
            if deep > depth:
                worst, depth = z, deep
    return worst, count


@njit(cache=True, nogil=True)
def _snap(
    base: F8, alpha: F8, lo: F8, hi: F8, demand: float, zones: ZoneTable, groups: GroupLimits, x: F8
) -> tuple[float, float]:
    """Hold all units inside zones to the nearer side by narrowing ``lo`` or ``hi``, fill again until none is inside."""
    lam, unmet = _fill(base, alpha, lo, hi, demand, groups, x)
    for _ in range(len(zones.unit)):
        moved = False
        for z in range(len(zones.unit)):
            i = zones.unit[z]
            if zones.lo[z] < x[i] < zones.hi[z] and zones.lo[z] >= lo[i] and zones.hi[z] <= hi[i]:
                if x[i] - zones.lo[z] <= zones.hi[z] - x[i]:
                    hi[i] = zones.lo[z]
                else:
                    lo[i] = zones.hi[z]
                moved = True
        if not moved:
            break
        lam, unmet = _fill(base, alpha, lo, hi, demand, groups, x)
    return lam, unmet


@njit(cache=True, nogil=True)
def _search(
    base: F8,
    alpha: F8,
    lo: F8,
    hi: F8,
    demand: float,
    zones: ZoneTable,
    groups: GroupLimits,
    x: F8,
    lam: float,
    unmet: float,
    found: bool,
) -> tuple[float, float]:
    """Best choice of sides by branch and bound, nearer side first; ``x`` holds the best one so far if ``found``."""
    depth_limit = len(zones.unit) + 1
    unit = np.zeros(depth_limit, np.int64)
    saved_lo, saved_hi = np.zeros(depth_limit), np.zeros(depth_limit)
    other_lo, other_hi = np.zeros(depth_limit), np.zeros(depth_limit)
    tried = np.zeros(depth_limit, np.bool_)
    trial = np.empty_like(x)
    best_lam, best_unmet = lam, unmet
    best_cost = _cost(base, alpha, x) if found else np.inf
    nodes = max(64, _WORK // max(len(base), 1))
    depth = 0
    for _ in range(nodes):
        lam, unmet = _fill(base, alpha, lo, hi, demand, groups, trial)
        cost = _cost(base, alpha, trial)
        margin = 1e-12 * max(1.0, best_cost) if found else 0.0
        worse = found and (
            abs(unmet) > abs(best_unmet) + _EDGE or (abs(unmet) >= abs(best_unmet) - _EDGE and cost >= best_cost - margin)
        )
        worst, _inner = (-1, 0) if worse else _inside(lo, hi, zones, trial)
        if not worse and worst < 0:
            x[:] = trial
            best_lam, best_unmet, best_cost, found = lam, unmet, cost, True
        if worst >= 0:
            i, below, above = zones.unit[worst], zones.lo[worst], zones.hi[worst]
            unit[depth], saved_lo[depth], saved_hi[depth], tried[depth] = i, lo[i], hi[i], False
            if trial[i] - below <= above - trial[i]:
                other_lo[depth], other_hi[depth] = above, hi[i]
                hi[i] = below
            else:
                other_lo[depth], other_hi[depth] = lo[i], below
                lo[i] = above
            depth += 1
            continue
        while depth > 0:
            i = unit[depth - 1]
            if tried[depth - 1]:
                depth -= 1
                lo[i], hi[i] = saved_lo[depth], saved_hi[depth]
                continue
            tried[depth - 1] = True
            lo[i], hi[i] = other_lo[depth - 1], other_hi[depth - 1]
            break
        if depth == 0:
            break
    return best_lam, best_unmet


@njit(cache=True, nogil=True)
def choose_sides(
    base: F8, alpha: F8, lo: F8, hi: F8, demand: float, zones: ZoneTable, groups: GroupLimits, x: F8
) -> tuple[float, float]:
    """Fill ``x`` with nobody inside a zone; ``lo`` and ``hi`` are scratch. Returns (lam, unmet)."""
    if len(zones.unit) == 0:
        return _fill(base, alpha, lo, hi, demand, groups, x)
    _trim(base, alpha, lo, hi, zones)
    lam, unmet = _fill(base, alpha, lo, hi, demand, groups, x)
    worst, count = _inside(lo, hi, zones, x)
    if worst < 0:
        return lam, unmet
    if len(base) <= _LARGE and count <= EXACT_UNITS:
        return _search(base, alpha, lo, hi, demand, zones, groups, x, lam, unmet, False)
    window_lo, window_hi = lo.copy(), hi.copy()
    lam, unmet = _snap(base, alpha, lo, hi, demand, zones, groups, x)
    if unmet == 0.0:
        return lam, unmet
    return _search(base, alpha, window_lo, window_hi, demand, zones, groups, x, lam, unmet, True)


@njit(cache=True, nogil=True)
def no_zones() -> ZoneTable:
    """A table of nothing."""
    return ZoneTable(np.empty(0, np.int64), np.empty(0), np.empty(0))
