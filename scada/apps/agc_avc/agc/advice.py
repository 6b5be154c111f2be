"""What units would be told that AGC does not control now: open loops, and every unit while the area is in monitor."""

from __future__ import annotations

import numpy as np

from scada.apps.agc_avc.agc.allocation import allocate
from scada.apps.agc_avc.agc.modes import ALWAYS, ASSIST, AUTO, BASE, CLOSED, EMERGENCY, OPEN, SCHE, TEST, YCBASE
from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.agc.unit_kernels import UNDER_CONTROL
from scada.apps.agc_avc.agc.unit_table import B1, UnitState, UnitTable
from scada.apps.agc_avc.agc.water_filling import F8, GroupLimits
from scada.apps.agc_avc.agc.zones import ZoneTable


def _joins(s: UnitState, zone: Zone) -> B1:
    assist = (s.reg_mode == ASSIST) & (zone >= Zone.ASSIST)
    emergency = (s.reg_mode == EMERGENCY) & (zone >= Zone.EMERGENCY)
    found: B1 = (s.reg_mode == ALWAYS) | assist | emergency
    return found


def _base_points(s: UnitState) -> F8:
    """Base point of each unit, NaN where it is where the unit stands."""
    point = s.shared_base.copy()
    for mode, column in ((SCHE, s.schedule), (BASE, s.base_point), (YCBASE, s.telemetered)):
        point = np.where(s.base_mode == mode, column, point)
    return np.where(s.base_mode == AUTO, np.nan, np.clip(point, s.low, s.high))


def advise(
    t: UnitTable, s: UnitState, zones: ZoneTable, groups: GroupLimits, requirement_mw: float, zone: Zone, *, everyone: bool
) -> None:
    """Fill ``advised``; NaN where there is nothing to advise.

    The advice is where a unit should go without regard to ramps, reckoned from what is generated now: it does not run away from
    a unit that nobody moves. Units in closed loop take their part of the requirement, so that the advice is the rest.

    Args:
        t: what the model says of the units.
        s: what changes.
        zones: forbidden zones.
        groups: limits of groups; in monitor, where no unit is a member, of everything that is generated.
        requirement_mw: area regulation requirement.
        zone: urgency.
        everyone: the area is in monitor.
    """
    s.advised[:] = np.nan
    usable = (s.reason == UNDER_CONTROL) & (s.loop != TEST)
    asked = usable if everyone else usable & (s.loop == OPEN)
    if not asked.any():
        return
    regulates = usable & _joins(s, zone) & (t.participation > 0)
    pool = regulates & (asked | s.member) if zone > Zone.DEAD else np.zeros(len(asked), np.bool_)
    points = _base_points(s)
    stand = np.clip(s.power, s.low, s.high)
    base = np.where(np.isnan(points), stand, points)
    if pool.any():
        closed = pool & (s.loop == CLOSED) & s.member
        demand = float(s.power[pool].sum()) + requirement_mw
        zero = np.zeros(len(base))
        base, alpha = np.where(pool, base, zero), np.where(pool, t.participation, zero)
        low, high = np.where(pool, s.low, zero), np.where(pool, s.high, zero)
        found = allocate(base, alpha, low, high, demand, zones, groups=_of_pool(groups, s, pool & ~closed))
        s.advised[asked & pool] = found.power[asked & pool]
    rest = asked & ~pool & ~np.isnan(points)
    s.advised[rest] = points[rest]
    for z in np.flatnonzero(asked[zones.unit]).tolist():  # a measured base point may lie in a zone
        i = zones.unit[z]
        if zones.lo[z] < s.advised[i] < zones.hi[z]:
            lower = s.advised[i] - zones.lo[z] <= zones.hi[z] - s.advised[i]
            s.advised[i] = zones.lo[z] if lower else zones.hi[z]


def _of_pool(groups: GroupLimits, s: UnitState, added: B1) -> GroupLimits:
    """Group limits, with the outputs of advised units given back: they are shared anew here."""
    if not len(groups.parent):
        return groups
    given = np.zeros(len(groups.parent))
    inside = added & (groups.unit >= 0) & ~np.isnan(s.power)
    np.add.at(given, groups.unit[inside], s.power[inside])
    for g in range(len(given) - 1, -1, -1):
        if groups.parent[g] >= 0:
            given[groups.parent[g]] += given[g]
    return groups._replace(minimum=groups.minimum + given, maximum=groups.maximum + given)
