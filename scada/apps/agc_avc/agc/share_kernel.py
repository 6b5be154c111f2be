"""The kernel that shares the demand among the units that regulate: participation, windows, zones, groups."""

from __future__ import annotations

import math

import numpy as np

from scada.apps.agc_avc.agc.compiling import njit
from scada.apps.agc_avc.agc.modes import AUTO, CAPACITY, ECONOMIC, MARGIN, RAMP
from scada.apps.agc_avc.agc.unit_kernels import Rules
from scada.apps.agc_avc.agc.unit_motion import base_of, window
from scada.apps.agc_avc.agc.unit_table import UnitState, UnitTable
from scada.apps.agc_avc.agc.water_filling import F8, GroupLimits
from scada.apps.agc_avc.agc.zones import ZoneTable, choose_sides, no_zones

_RULES = 5
_STANDS_BACK = 1e-6
"""Participation of a storage in what is slow, per unit: nothing, unless the other units are at their ends."""


@njit(cache=True, nogil=True, _nrt=False)
def _participation(t: UnitTable, s: UnitState, direction: float, emergency: bool, alpha: F8, factors: F8, measures: F8) -> None:
    """Weight of each member by its rule.

    The members of one rule together weigh what their participation factors sum to; the rule says how they split it. In the
    emergency zone economy does not count: those units take part by their factor.
    """
    for i in range(len(alpha)):
        rule = t.share[i]
        alpha[i] = 0.0
        if not s.member[i]:
            continue
        if rule == ECONOMIC:
            alpha[i] = t.participation[i] if emergency else t.economic_weight[i]
        elif rule == RAMP:
            alpha[i] = s.ramp_up[i] if direction >= 0.0 else s.ramp_down[i]
        elif rule == MARGIN:
            alpha[i] = max(s.high[i] - s.base[i] if direction >= 0.0 else s.base[i] - s.low[i], 0.0)
        elif rule == CAPACITY:
            alpha[i] = t.rated[i]
        else:
            alpha[i] = t.participation[i]
        factors[rule] += t.participation[i]
        measures[rule] += alpha[i]
    for i in range(len(alpha)):
        rule = t.share[i]
        if measures[rule] > 0.0:
            # what a plant gives up of its part for its stored energy or its turn, the others do not give to their rule
            alpha[i] *= factors[rule] / measures[rule] * s.factor[i]


@njit(cache=True, nogil=True, _nrt=False)
def _give_fast(t: UnitTable, s: UnitState, fast: float, low: F8, high: F8, base: F8, alpha: F8) -> None:
    """Put the storages at their parts of the fast share, so that the others take what remains, and all together the demand.

    A storage under ``AUTO`` has nothing else to do; one with a base point of its own swings around it. What the others cannot
    take in their windows the storages do, and the other way round.
    """
    storage, others = 0.0, 0.0
    for i in range(len(alpha)):
        if s.member[i]:
            if t.charge[i] and not t.weather[i]:
                storage += alpha[i]
            else:
                others += alpha[i]
    if storage <= 0.0 or others <= 0.0:
        return
    for i in range(len(alpha)):
        if s.member[i] and t.charge[i] and not t.weather[i]:
            around = 0.0 if s.base_mode[i] == AUTO else base[i]
            s.base[i] = base[i] = min(max(around + fast * alpha[i] / storage, low[i]), high[i])
            alpha[i] *= _STANDS_BACK


@njit(cache=True, nogil=True, _nrt=False)
def _take_members(
    s: UnitState,
    r: Rules,
    demand: float,
    change: float,
    windup_minutes: float,
    dead: bool,
    low: F8,
    high: F8,
    base: F8,
) -> tuple[float, int, float, float, float]:
    """Base points and limits of the members; returns (demand, members, sums of low, high and base)."""
    members, sum_low, sum_high, sum_base, sum_target, reach_up, reach_down = 0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(len(low)):
        if not s.member[i]:
            continue
        members += 1
        s.base[i] = base_of(s, i, r.emergency)
        # a storage drifts back only once it was under control for a cycle: taking over asks nothing of anybody
        if dead and s.base_mode[i] == AUTO and not (math.isnan(s.pull[i]) or math.isnan(s.setpoint[i])):
            s.base[i] = min(max(s.pull[i], s.low[i]), s.high[i])
        low[i], high[i], base[i] = s.low[i], s.high[i], s.base[i]
        sum_low += low[i]
        sum_high += high[i]
        sum_base += base[i]
        sum_target += s.target[i]
        reach_up += s.target[i] + min(max(high[i] - s.target[i], 0.0), s.ramp_up[i] * windup_minutes)
        reach_down += s.target[i] - min(max(s.target[i] - low[i], 0.0), s.ramp_down[i] * windup_minutes)
    if dead:
        demand = sum_target
    return min(max(demand + change, reach_down), reach_up), members, sum_low, sum_high, sum_base


@njit(cache=True, nogil=True, _nrt=False)
def _windows(t: UnitTable, s: UnitState, r: Rules, alpha: F8, x: F8, low: F8, high: F8) -> None:
    """Where each member may go in this cycle on the way to its share ``x``."""
    for i in range(len(x)):
        s.alpha[i] = alpha[i]
        if s.member[i]:
            s.wanted[i] = x[i]
            low[i], high[i] = window(t, s, r, i, x[i])
            s.window_lo[i], s.window_hi[i] = low[i], high[i]


@njit(cache=True, nogil=True, _nrt=False)
def _move(s: UnitState, x: F8) -> None:
    for i in range(len(x)):
        if s.member[i]:
            s.target[i] = x[i]


@njit(cache=True, nogil=True)
def share(
    t: UnitTable,
    s: UnitState,
    r: Rules,
    zones: ZoneTable,
    groups: GroupLimits,
    demand: float,
    change: float,
    windup_minutes: float,
    dead: bool,
    fast: float,
) -> tuple[float, float, float, int, float, float]:
    """Move the targets of the members.

    First where each should end up, zones and groups in view but not ramps; then how far it gets in this cycle.

    Args:
        t: what the model says.
        s: what changes.
        r: parameters of the cycle.
        zones: forbidden zones.
        groups: limits of groups, less what their other units generate.
        demand: on the members so far, MW.
        change: of the demand in this cycle.
        windup_minutes: the demand runs ahead of the targets by no more than what they ramp in this time.
        dead: the dead zone is in force: the demand is what the members stand at.
        fast: part of the demand that is for storage, MW; NaN = storage takes part like any unit.

    Returns:
        (demand, lam, unmet, members, least, greatest sum the members can give).
    """
    n = len(s.power)
    low, high, base, alpha, x = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n)
    asked, members, least, greatest, middle = _take_members(s, r, demand, change, windup_minutes, dead, low, high, base)
    if members == 0:
        return demand, math.nan, 0.0, 0, 0.0, 0.0
    _participation(t, s, asked - middle, r.emergency, alpha, np.zeros(_RULES), np.zeros(_RULES))
    if not math.isnan(fast):
        _give_fast(t, s, fast, low, high, base, alpha)
    lam, unmet = choose_sides(base, alpha, low, high, asked, zones, groups, x)
    _windows(t, s, r, alpha, x, low, high)
    choose_sides(base, alpha, low, high, asked, no_zones(), groups, x)
    _move(s, x)
    return asked, lam, unmet, members, least, greatest
