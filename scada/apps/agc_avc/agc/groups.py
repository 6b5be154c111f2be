"""Groups of units with common limits, as the allocation takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scada.apps.agc_avc.agc.modes import CLOSED
from scada.apps.agc_avc.agc.unit_kernels import UNDER_CONTROL
from scada.apps.agc_avc.agc.unit_table import B1, UnitState, UnitTable
from scada.apps.agc_avc.agc.water_filling import F8, NO_GROUPS, GroupLimits
from scada.model_cim.regulation import AgcUnit, RegulationGroup

_EDGE = 1e-6


@dataclass(frozen=True, slots=True)
class GroupStatus:
    """One group after a cycle; fields as in ``AgcGroupStatus``. NaN = unknown.

    Attributes:
        mrid, name, parent: of the model; no parent = the area.
        power_mw: measured sum of the members.
        minimum_mw, maximum_mw: limits in force.
        unmet_mw: by how much the targets leave the limits: > 0 above the maximum, < 0 below the minimum.
        reason: what is wrong with it, or which members' outputs are unknown.
    """

    mrid: str
    name: str
    parent: str
    power_mw: float
    minimum_mw: float
    maximum_mw: float
    unmet_mw: float
    reason: str


class GroupTree:
    """The groups of an area.

    Args:
        groups: of the model; one whose limits are reversed or not numbers, or that is its own ancestor, limits nothing.
        units: of the area.
    """

    def __init__(self, groups: Sequence[RegulationGroup], units: Sequence[AgcUnit]) -> None:
        known = {group.mrid: group for group in groups}
        faults = {group.mrid: _fault(group, known) for group in groups}
        children: dict[str, list[RegulationGroup]] = {}
        for group in known.values():
            above = group.parent if group.parent in known and not _circular(group, known) else ""
            children.setdefault(above, []).append(group)
        self._groups: list[RegulationGroup] = []
        parent: list[int] = []
        end: list[int] = []

        def walk(above: str, index: int) -> None:
            for group in children.get(above, ()):
                here = len(self._groups)
                self._groups.append(group)
                parent.append(index)
                end.append(0)
                walk(group.mrid, here)
                end[here] = len(self._groups)

        walk("", -1)
        place = {group.mrid: g for g, group in enumerate(self._groups)}
        self._faults = [faults[group.mrid] for group in self._groups]
        fine = np.array([not fault for fault in self._faults], np.bool_)
        self._minimum = np.where(fine, [group.minimum for group in self._groups], -math.inf).reshape(len(fine))
        self._maximum = np.where(fine, [group.maximum for group in self._groups], math.inf).reshape(len(fine))
        self._unit = np.array([place.get(unit.group, -1) for unit in units], np.int64).reshape(len(units))
        self._parent, self._end = np.array(parent, np.int64), np.array(end, np.int64)
        self._names = [unit.name for unit in units]
        self.limits_anything = bool((np.isfinite(self._minimum) | np.isfinite(self._maximum)).any())

    def sums(self, values: F8) -> F8:
        """Sum of a column over each group, with all that stand below it."""
        found = np.zeros(len(self._groups))
        inside = self._unit >= 0
        np.add.at(found, self._unit[inside], values[inside])
        for g in range(len(found) - 1, -1, -1):
            if self._parent[g] >= 0:
                found[self._parent[g]] += found[g]
        return found

    def held(self, t: UnitTable, s: UnitState) -> tuple[B1, B1]:
        """Units whose group stands at its maximum, and at its minimum: a base point does not lead further."""
        up, down = np.zeros(len(self._unit), np.bool_), np.zeros(len(self._unit), np.bool_)
        if not self.limits_anything:
            return up, down
        high, low = self._given(t, s, members=True)
        full, empty = self.sums(high) >= self._maximum - _EDGE, self.sums(low) <= self._minimum + _EDGE
        for g in range(len(full)):
            if self._parent[g] >= 0:
                full[g] |= full[self._parent[g]]
                empty[g] |= empty[self._parent[g]]
        inside = self._unit >= 0
        up[inside], down[inside] = full[self._unit[inside]], empty[self._unit[inside]]
        return up, down

    def limits(self, t: UnitTable, s: UnitState) -> GroupLimits:
        """What is left of the limits for the units that regulate."""
        if not self.limits_anything:
            return NO_GROUPS
        high, low = self._given(t, s, members=False)
        return GroupLimits(self._unit, self._parent, self._end, self._minimum - self.sums(low), self._maximum - self.sums(high))

    def _given(self, t: UnitTable, s: UnitState, *, members: bool) -> tuple[F8, F8]:
        """What units count in a group's sum against its maximum and its minimum.

        Units under control count with their targets, others with their outputs; one whose output is unknown counts with its
        maximum against the maximum and with its minimum against the minimum.
        """
        follows = (s.reason == UNDER_CONTROL) & (s.loop == CLOSED) & ~np.isnan(s.target)
        given = np.where(follows, s.target, s.power)
        unknown = np.isnan(given)
        high = np.where(unknown, np.nan_to_num(np.maximum(t.maximum, 0.0)), given)
        low = np.where(unknown, np.nan_to_num(np.minimum(t.minimum, 0.0)), given)
        if not members:
            high, low = np.where(s.member, 0.0, high), np.where(s.member, 0.0, low)
        return high, low

    def statuses(self, t: UnitTable, s: UnitState) -> tuple[GroupStatus, ...]:
        """Every group after this cycle."""
        if not self._groups:
            return ()
        high, low = self._given(t, s, members=True)
        most, least, power = self.sums(high), self.sums(low), self.sums(s.power)
        above, below = np.maximum(most - self._maximum, 0.0), np.minimum(least - self._minimum, 0.0)
        found = []
        for g, group in enumerate(self._groups):
            unmet = float(above[g] if above[g] > _EDGE else below[g] if below[g] < -_EDGE else 0.0)
            reason = self._faults[g] or self._unknown(s, g)
            limits = (float(self._minimum[g]), float(self._maximum[g]))
            found.append(GroupStatus(group.mrid, group.name, group.parent, float(power[g]), *limits, unmet, reason))
        return tuple(found)

    def _unknown(self, s: UnitState, g: int) -> str:
        inside = (self._unit >= g) & (self._unit < self._end[g]) & np.isnan(s.power)
        names = [self._names[i] for i in np.flatnonzero(inside).tolist()]
        return f"output unknown: {', '.join(names)}" if names else ""

    def names(self, i: int) -> list[str]:
        """Names of the groups above a unit, nearest first."""
        found, g = [], int(self._unit[i])
        while g >= 0:
            found.append(self._groups[g].name)
            g = int(self._parent[g])
        return found

    def bounds(self, i: int, t: UnitTable, s: UnitState) -> list[tuple[str, float, float, float]]:
        """(name, minimum, maximum, present sum of targets) of the groups above a unit, nearest first."""
        sums = self.sums(self._given(t, s, members=True)[0])
        found, g = [], int(self._unit[i])
        while g >= 0:
            found.append((self._groups[g].name, float(self._minimum[g]), float(self._maximum[g]), float(sums[g])))
            g = int(self._parent[g])
        return found


def _circular(group: RegulationGroup, known: dict[str, RegulationGroup]) -> bool:
    seen, above = {group.mrid}, group.parent
    while above in known:
        if above == group.mrid:
            return True
        if above in seen:
            return False
        seen.add(above)
        above = known[above].parent
    return False


def _fault(group: RegulationGroup, known: dict[str, RegulationGroup]) -> str:
    if math.isnan(group.minimum) or math.isnan(group.maximum) or group.minimum > group.maximum:
        return f"limits {group.minimum:g}..{group.maximum:g} MW make no sense: the group limits nothing"
    return "the group is its own ancestor: it stands alone" if _circular(group, known) else ""
