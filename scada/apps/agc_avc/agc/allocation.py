"""Sharing a demand among units: exact water-filling with limits, groups and forbidden zones; economic dispatch alike.

The problem, for units ``i`` with base ``b``, participation ``a > 0`` and window ``[lo, hi]``::

    minimise  sum (x_i - b_i)^2 / (2 a_i)   subject to  sum x_i = D,  lo_i <= x_i <= hi_i,  sums of groups within theirs

Its optimality conditions give ``x_i = clip(b_i + a_i * lam, lo_i, hi_i)``, one ``lam`` for all outside of binding groups. With
``b = -b_cost / (2 c)`` and ``a = 1 / (2 c)`` the same kernel is economic dispatch of quadratic costs and ``lam`` the system's
incremental cost (Wood and Wollenberg, Power Generation, Operation and Control, ch. 3).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scada.apps.agc_avc.agc.water_filling import F8, NO_GROUPS, GroupLimits
from scada.apps.agc_avc.agc.zones import ZoneTable, choose_sides

_FLAT = 1e-5
"""Least rise of the incremental cost over a piece of a curve, per unit of it or of 1: a flat piece has no answer to a price."""


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


def zone_table(zones: Sequence[Sequence[Sequence[float]]]) -> ZoneTable:
    """Columns from one list of ``(lo, hi)`` per unit."""
    rows = [(i, lo, hi) for i, unit in enumerate(zones) for lo, hi, *_ in unit]
    unit, lo, hi = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return ZoneTable(np.array(unit, np.int64), np.array(lo, np.float64), np.array(hi, np.float64))


NO_ZONES = zone_table([])


def allocate(
    base: F8,
    alpha: F8,
    lo: F8,
    hi: F8,
    demand: float,
    zones: ZoneTable = NO_ZONES,
    *,
    groups: GroupLimits = NO_GROUPS,
) -> Allocation:
    """Share ``demand`` (MW) among units; see the module for the problem solved.

    No unit ends up inside a forbidden zone unless its whole window lies in one: then it keeps its place there (the caller crosses
    zones). With up to 12 units inside zones at once and up to 512 units the choice of sides is the best one, and the balance is
    met whenever any choice meets it; beyond that the nearer sides are taken, and others searched if they miss the balance.

    Args:
        base: preferred MW of each unit.
        alpha: participation, >= 0; 0 keeps a unit at its base within its window.
        lo: lower end of each window.
        hi: upper end; ``lo <= hi``.
        demand: total MW wanted.
        zones: forbidden zones.
        groups: limits of sums.
    """
    power = np.empty(len(base))
    lam, unmet = choose_sides(base, alpha, lo.copy(), hi.copy(), demand, zones, groups, power)
    return Allocation(power, lam, unmet)


@dataclass(frozen=True, slots=True)
class CostCurves:
    """Incremental costs of units: ``b + 2 c P``, or a curve of (MW, currency/MWh) where given.

    Attributes:
        b: incremental cost at no load.
        c: half its slope, >= 0.
        curves: per unit, ascending in both columns; empty = b and c.
    """

    b: F8
    c: F8
    curves: Sequence[Sequence[tuple[float, float]]]


def economic_dispatch(costs: CostCurves, lo: F8, hi: F8, demand: float, zones: ZoneTable = NO_ZONES) -> Allocation:
    """Cheapest way to generate ``demand``; ``lam`` is the incremental cost.

    A curve is cut into its pieces, each a unit of the kernel; because the incremental cost rises, they fill in their order. A
    unit with several pieces and forbidden zones is first held to the cheaper side of its zones by its mean slope.
    A flat incremental cost counts as one that rises by 1e-5 over its piece.

    Args:
        costs: incremental costs.
        lo: lower end of each window, MW.
        hi: upper end.
        demand: total MW.
        zones: forbidden zones.
    """
    pieces = [_pieces(costs, i, float(lo[i]), float(hi[i])) for i in range(len(lo))]
    straight = all(len(found) == 1 for found in pieces)
    if straight or len(zones.unit):
        first, last = [found[0] for found in pieces], [found[-1] for found in pieces]
        slope = np.array([(z.mw + z.width - a.mw) / (z.end - a.start) for a, z in zip(first, last, strict=True)])
        base = np.array([a.mw for a in first]) - slope * np.array([a.start for a in first])
        found = allocate(base, slope, lo, hi, demand, zones)
        if straight:
            return found
        lo, hi = _sides(found.power, lo, hi, zones)
    rows = [(i, one.mw, one.width, one.start, one.width / (one.end - one.start)) for i, unit in enumerate(pieces) for one in unit]
    unit = np.array([row[0] for row in rows])
    offset, width, price, alpha = (np.array([row[k] for row in rows]) for k in (1, 2, 3, 4))
    least = np.clip(lo[unit] - offset, 0.0, width)
    most = np.clip(hi[unit] - offset, 0.0, width)
    floor = np.array([found[0].mw for found in pieces])
    shared = allocate(-alpha * price, alpha, least, most, demand - float(floor.sum()))
    return Allocation(floor + np.bincount(unit, shared.power, len(lo)), shared.lam, shared.unmet)


class _Piece(NamedTuple):
    """A piece of an incremental cost: from ``mw`` over ``width``, from a price to a higher one."""

    mw: float
    width: float
    start: float
    end: float


def _pieces(costs: CostCurves, i: int, lo: float, hi: float) -> list[_Piece]:
    """Incremental cost of a unit over its window, rising; a curve may jump, and its ends are drawn on."""
    given = sorted(costs.curves[i]) if i < len(costs.curves) else []
    hi = max(hi, lo + 1e-6)
    if not given:
        b, c = float(costs.b[i]), float(costs.c[i])
        given = [(lo, b + 2 * c * lo), (hi, b + 2 * c * hi)]
    first, last = given[0], given[-1]
    points = [(min(lo, first[0]), first[1]), *given, (max(hi, last[0]), last[1])]
    pieces: list[_Piece] = []
    price = -math.inf
    for (mw, start), (then, end) in itertools.pairwise(points):
        if then > mw:
            price = max(price, start)
            rise = max(end, price + _FLAT * max(1.0, abs(price)))
            pieces.append(_Piece(mw, then - mw, price, rise))
            price = rise
    return pieces


def _sides(power: F8, lo: F8, hi: F8, zones: ZoneTable) -> tuple[F8, F8]:
    """Windows narrowed to the side of each zone on which a unit stands."""
    lo, hi = lo.copy(), hi.copy()
    for i, below, above in zip(zones.unit.tolist(), zones.lo.tolist(), zones.hi.tolist(), strict=True):
        if power[i] <= below + 1e-9:
            hi[i] = min(hi[i], below)
        elif power[i] >= above - 1e-9:
            lo[i] = max(lo[i], above)
    return lo, hi


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    one = np.ones(1)
    allocate(one, one, one, one, 1.0)
