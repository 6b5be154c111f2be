"""Units of a fleet that are plants: what their controllers say enters the columns, what they are told goes to their members."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from scada.apps.agc_avc.agc.modes import AUTO, BASE, OPEN, TEST
from scada.apps.agc_avc.agc.plant_order import MemberSetPoint
from scada.apps.agc_avc.agc.plant_status import PlantStatus, plant_status
from scada.apps.agc_avc.agc.plants import PlantControl, is_plant
from scada.apps.agc_avc.agc.station_shares import station_factors
from scada.apps.agc_avc.agc.unit_kernels import BY_PLANT, PLANT, UNDER_CONTROL
from scada.apps.agc_avc.agc.unit_table import UnitInputs, UnitState, UnitTable
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.model_cim.regulation import AgcUnit


class PlantUnits:
    """The plants among the units of an area.

    Args:
        units: of the model.
        table: the same as columns.
        tuning: parameters.

    Attributes:
        reasons: why a plant cannot be used, by index of the unit.
        limits: what narrows a plant's limits, by index.
        controls: the plants, by index.
    """

    def __init__(self, units: Sequence[AgcUnit], table: UnitTable, tuning: AgcTuning) -> None:
        self.reasons: dict[int, str] = {}
        self.limits: dict[int, str] = {}
        self.controls = {i: PlantControl(unit, tuning) for i, unit in enumerate(units) if is_plant(unit)}
        self._stations = [i for i, plant in self.controls.items() if plant.weather]
        self._rule = tuning.plants.stations
        self._splitting = [i for i in self.controls if table.splits[i]]
        self._by_cid = {member.setpoint: i for i in self.controls for member in units[i].members if member.setpoint >= 0}

    def read(self, inputs: Measurements, found: UnitInputs, s: UnitState, now_ns: int, dt: float) -> None:
        """Let each plant take its measurements; its power and ramps go into the columns."""
        for i, plant in self.controls.items():
            reading = plant.read(inputs, now_ns, dt)
            found.power[i] = reading.power
            s.ramp_up[i], s.ramp_down[i] = reading.ramp_up, reading.ramp_down

    def narrow(self, s: UnitState, held: dict[int, str], direction: float) -> None:
        """Bring the limits and reasons of the plants into the columns, after the units were judged.

        Args:
            s: units.
            held: which measurements of a unit an operator entered; those of plants are added.
            direction: > 0 if more generation is asked for.
        """
        self.reasons.clear()
        self.limits.clear()
        per_capacity = [self.controls[i].reading.available.per_capacity for i in self._stations]
        turns = dict(zip(self._stations, station_factors(self._rule, direction, per_capacity), strict=True))
        for i, plant in self.controls.items():
            reading = plant.reading
            if reading.substituted:
                names = [name for name in (held.get(i, ""), *reading.substituted) if name]
                held[i] = ", ".join(dict.fromkeys(", ".join(names).split(", ")))
            s.factor[i], s.pull[i] = plant.headroom(direction) * turns.get(i, 1.0), plant.pull()
            if s.reason[i] != UNDER_CONTROL:
                continue
            if reading.reason:
                s.reason[i], self.reasons[i] = PLANT, reading.reason
                continue
            low, high = max(s.low[i], reading.low), min(s.high[i], reading.high)
            if low > s.low[i] or high < s.high[i]:
                s.low[i], s.high[i], s.limited[i] = min(low, high), high, BY_PLANT
                self.limits[i] = reading.limited_by or "its plant"

    def told(self, i: int, mw: float, dt: float, *, free: bool) -> None:
        """A plant with a controller of its own was sent a set-point."""
        if i in self.controls:
            self.controls[i].split(mw, dt, free=free)

    def split(
        self, s: UnitState, dt: float, *, only_tests: bool, by_group: Callable[[int], bool]
    ) -> list[tuple[int, MemberSetPoint]]:
        """Set-points of members to send now.

        Args:
            s: units.
            dt: seconds since the last cycle.
            only_tests: nothing but the test values of operators.
            by_group: tells whether the limit of a group holds a unit.
        """
        orders = []
        for i in self._splitting:
            plant = self.controls[i]
            silent = s.reason[i] != UNDER_CONTROL or s.loop[i] == OPEN or np.isnan(s.target[i])
            if silent or (only_tests and s.loop[i] != TEST):
                continue
            free = bool(s.free[i]) and s.base_mode[i] == AUTO
            orders += [(i, order) for order in plant.split(float(s.target[i]), dt, free=free)]
        for i, plant in self.controls.items():
            if not np.isnan(plant.order.told):
                plant.order.cause = _cause(i, s, by_group)
        return orders

    def let_go(self, s: UnitState) -> None:
        """Plants that nobody controls any more."""
        for i, plant in self.controls.items():
            if np.isnan(s.target[i]):
                plant.let_go()

    def member_of(self, cid: int) -> PlantControl | None:
        """The plant that has a member with this control."""
        return self.controls[self._by_cid[cid]] if cid in self._by_cid else None

    def take_notices(self) -> list[str]:
        """What the plants have to say, for the event log."""
        found = []
        for plant in self.controls.values():
            found += plant.notices
            plant.notices.clear()
        return found

    def statuses(self, now_ns: int) -> dict[int, PlantStatus]:
        """What is shown of each plant, by index of the unit."""
        return {i: plant_status(plant, now_ns) for i, plant in self.controls.items()}

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on, by mRID."""
        return {plant.unit.mrid: plant.state() for plant in self.controls.values()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; plants the model no longer has are forgotten."""
        for plant in self.controls.values():
            if plant.unit.mrid in state:
                plant.restore(state[plant.unit.mrid])


def _cause(i: int, s: UnitState, by_group: Callable[[int], bool]) -> str:
    """Who holds a plant back by its order, for the curtailment account."""
    if s.loop[i] == TEST or (s.base_mode[i] == BASE and not s.member[i]):
        return "operator"
    return "group" if by_group(i) else "agc"
