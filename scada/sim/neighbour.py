"""Who regulates in the simulated plant beside our control centre: the start in balance, and the neighbours' own control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scada.sim.plant import Plant

_CYCLE_S = 4.0
_RESET_S = 60.0


@dataclass(frozen=True, slots=True)
class AreaPlan:
    """A control area for the plant: who trades what, and who regulates.

    Attributes:
        name: name of the area.
        export_mw: scheduled interchange, export positive.
        controlled: its units wait for our control centre; else the plant's own neighbour control moves them.
    """

    name: str
    export_mw: float
    controlled: bool


class NeighbourControl:
    """Areas that another control centre runs keep the frequency: integral constant-frequency control, every 4 s.

    A neighbour with an interchange schedule of its own would have to be told each order that dispatch gives to the controlled
    area, or both would work against each other; one that keeps the frequency takes up whatever the controlled area trades.
    """

    def __init__(self) -> None:
        self._waited_s = 0.0

    def act(self, plant: Plant, seconds: float) -> None:
        """``seconds`` have passed; move the set-points of the neighbours' machines if a cycle is over."""
        self._waited_s += seconds
        if self._waited_s < _CYCLE_S:
            return
        span, self._waited_s = self._waited_s, 0.0
        for number, (_, area) in enumerate(plant.groups):
            if not plant.areas[area].controlled:
                _regulate(plant, number, span)


def _regulate(plant: Plant, number: int, span: float) -> None:
    dynamics = plant.dynamics
    units = dynamics.units
    mine = (dynamics.group == number) & plant.synchronous & dynamics.online
    gain = units.rated_mw / (units.droop * plant.nominal_hz)
    bias = float(gain[mine].sum()) + float(dynamics.damping[number])
    error = bias * float(dynamics.deviation_hz[number])
    rated = units.rated_mw * mine
    step = -error * span / _RESET_S * rated / max(float(rated.sum()), 1e-9)
    moved = np.clip(dynamics.target + step, plant.p_min, plant.p_max)
    dynamics.target = np.where(mine, moved, dynamics.target)


def balance(plant: Plant) -> None:
    """At the start: tie powers as scheduled, and each area's machines at what its load, losses and export need."""
    dynamics = plant.dynamics
    controlled = [plant.areas[area].controlled for _, area in plant.groups]
    others = [row for row, ours in enumerate(controlled) if not ours]
    for i, (_, area) in enumerate(plant.groups):
        for j in others:
            if controlled[i] and dynamics.stiffness[i, j] > 0:
                dynamics.tie_mw[i, j] = plant.areas[area].export_mw / len(others)
                dynamics.tie_mw[j, i] = -dynamics.tie_mw[i, j]
    for _ in range(5):
        plant.solve()
        missing = -dynamics.accelerating_mw()
        for number in range(len(plant.groups)):
            _spread(plant, number, float(missing[number]))
    plant.solve()


def _spread(plant: Plant, group: int, power: float) -> None:
    """Move the synchronous machines of a group by ``power`` MW together, at once, within their limits."""
    dynamics = plant.dynamics
    mine = (dynamics.group == group) & dynamics.online & plant.synchronous
    room = plant.p_max - dynamics.setpoint if power > 0 else dynamics.setpoint - plant.p_min
    room = np.where(mine, np.maximum(room, 0.0), 0.0)
    if room.sum() <= 0:
        return
    output = dynamics.setpoint + np.clip(power / room.sum(), -1.0, 1.0) * room
    for state in (dynamics.target, dynamics.setpoint, dynamics.gate, dynamics.turbine, dynamics.reheat):
        state[mine] = output[mine]
