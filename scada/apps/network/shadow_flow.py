"""Flows of a model at measured injections, for a shadow run: solved, or said why not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from scada.apps.network.busbranch import F8, I8, BusBranch, Mask, reduce
from scada.apps.network.dc_flow import dc_flow
from scada.apps.network.equipment import Equipment, read_equipment
from scada.apps.network.powerflow import Injections, solve
from scada.apps.network.shadow_state import Sight
from scada.core.errors import ModelError

MOST_ASSUMED = 0.2
"""Part of the load that may be taken from the model's files for want of a live value; with more, no flows are computed."""
_P, _Q = "ThreePhaseActivePower", "ThreePhaseReactivePower"


@dataclass(frozen=True, slots=True)
class Flows:
    """What the power flow of one side says.

    Attributes:
        reason: why there are no flows; empty = solved.
        dc_because: why these are DC flows (no losses, no reactive power, all voltages nominal); empty = AC flows.
        buses: energised buses of the network.
        branch: MW into a branch at each of its terminals, by the terminal's mRID.
        measured: live MW at those terminals that have a good measurement.
        injections: number of loads and machines in service.
        injections_measured: those with good live P and Q (without a server: all, from the files).
        assumed: equipment (mRID) whose power was not measured: loads as in the files, machines 0.
        slack_mw: what measured generation lacks of load and losses, by island; shared among the machines.
    """

    reason: str
    dc_because: str = ""
    buses: int = 0
    branch: dict[str, float] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)
    injections: int = 0
    injections_measured: int = 0
    assumed: tuple[str, ...] = ()
    slack_mw: tuple[float, ...] = ()

    @property
    def misfit(self) -> tuple[float, float] | None:
        """Median and greatest difference between calculated and measured MW; None without both."""
        off = [abs(self.branch[terminal] - value) for terminal, value in self.measured.items() if terminal in self.branch]
        return (float(np.median(off)), float(np.max(off))) if off else None


def flows(sight: Sight) -> Flows:
    """Solve the network of a side at its readings; never raises for what a model lacks, the reason stands in the result."""
    try:
        equipment = read_equipment(sight.side.model)
    except ModelError as error:
        return Flows(str(error))
    return _Flow(sight, equipment).run()


class _Flow:
    """One power flow."""

    def __init__(self, sight: Sight, equipment: Equipment) -> None:
        self.sight = sight
        self.equipment = equipment
        self.assumed: list[str] = []

    def run(self) -> Flows:
        equipment, grid = self.equipment, self.equipment.grid
        network = reduce(grid, self._switch_open(), self._taps(), equipment.sections)
        load_p, load_q, load_share = self._loads()
        machine_p, machine_q = self._machines()
        count = len(grid.load_ids) + len(grid.machine_ids)
        told = Flows(
            "",
            measured=self._measured(),
            injections=count,
            injections_measured=count - len(self.assumed),
            assumed=tuple(self.assumed),
        )
        if load_share > MOST_ASSUMED:
            return replace(told, reason=f"{load_share:.0%} of the load has no live value")
        injections = self._injections(network, load_p, load_q, machine_p, machine_q)
        sizes = np.bincount(network.island)
        live = sizes[np.unique(network.island[np.isfinite(injections.v_set)])]
        told = replace(told, buses=int(live.sum()))
        if not len(live):
            return replace(told, reason="no running machine holds a voltage")
        solution = solve(network, injections)
        if not solution.converged:
            reasons = "; ".join(island.reason for island in solution.islands if not island.converged)
            return self._dc(network, injections, told, f"the AC power flow has no solution: {reasons}")
        ends = network.branch_flow(solution.voltage)
        branch = {terminal: float(ends[side][row].real) for terminal, (row, side) in equipment.branch_side.items()}
        return replace(told, branch=branch, slack_mw=tuple(island.slack_mw for island in solution.islands))

    def _dc(self, network: BusBranch, injections: Injections, told: Flows, why: str) -> Flows:
        told = replace(told, dc_because=why)
        found = dc_flow(network, injections.p, injections.participation)
        if found is None:
            return replace(told, reason=f"{why}; nor has the DC power flow a solution")
        sides = {
            terminal: float(found.branch_mw[row]) * (-1 if side else 1)
            for terminal, (row, side) in self.equipment.branch_side.items()
        }
        branch = {terminal: mw for terminal, mw in sides.items() if np.isfinite(mw)}
        return replace(told, branch=branch, slack_mw=found.slack_mw)

    def _switch_open(self) -> Mask:
        """Positions as the topology takes them, on the rows of the network."""
        topology = self.sight.topology
        open_ = dict(zip(topology.switches, self.sight.switch_open.tolist(), strict=True))
        stands = self.equipment.switch_open
        never = {mrid for mrid, usable in zip(topology.switches, topology.graph.usable.tolist(), strict=True) if not usable}
        rows = [
            bool(stands[row]) if mrid not in open_ else open_[mrid] or mrid in never
            for row, mrid in enumerate(self.equipment.grid.switch_ids)
        ]
        return np.array(rows, dtype=np.bool_)

    def _taps(self) -> F8:
        steps = [self._value(mrid, "TapPosition") for mrid in self.equipment.grid.tap_ids]
        return np.array([file if step is None else step for step, file in zip(steps, self.equipment.tap_step, strict=True)])

    def _value(self, mrid: str, what: str) -> float | None:
        return self.sight.readings.of(self.sight.point_of.get((mrid, what)))

    def _powers(self, mrid: str) -> tuple[float, float] | None:
        p, q = self._value(mrid, _P), self._value(mrid, _Q)
        return None if p is None or q is None else (p, q)

    def _loads(self) -> tuple[F8, F8, float]:
        """MW, Mvar, and the part that is assumed."""
        equipment = self.equipment
        p, q = equipment.load_p.copy(), equipment.load_q.copy()
        total, assumed = float(np.hypot(p, q).sum()), 0.0
        if self.sight.live:
            for row, mrid in enumerate(equipment.grid.load_ids):
                measured = self._powers(mrid)
                if measured is None:
                    self.assumed.append(mrid)
                    assumed += float(np.hypot(p[row], q[row]))
                else:
                    p[row], q[row] = measured
        return p, q, assumed / total if total else 0.0

    def _machines(self) -> tuple[F8, F8]:
        machines = self.equipment.machines
        if not self.sight.live:
            return np.array([machine.p for machine in machines]), np.array([machine.q for machine in machines])
        p, q = np.zeros(len(machines)), np.zeros(len(machines))
        for row, machine in enumerate(machines):
            measured = self._powers(machine.mrid)
            if measured is None:
                self.assumed.append(machine.mrid)
            else:
                p[row], q[row] = measured
        return p, q

    def _injections(self, network: BusBranch, load_p: F8, load_q: F8, machine_p: F8, machine_q: F8) -> Injections:
        equipment, grid, count = self.equipment, self.equipment.grid, network.bus_count
        at, load_at = network.bus_of_node[grid.machine_node], network.bus_of_node[grid.load_node]
        connected = np.array([not grid.node_ids[node].endswith("#disconnected") for node in grid.machine_node], dtype=np.bool_)
        machine_p, machine_q = np.where(connected, machine_p, 0.0), np.where(connected, machine_q, 0.0)
        target = np.array([machine.v_set for machine in equipment.machines]) / grid.node_kv[grid.machine_node]
        able = np.isfinite(target)
        low = np.array([machine.q_min for machine in equipment.machines])
        high = np.array([machine.q_max for machine in equipment.machines])
        ranged = high > low  # real models give 0..0 where they know no range: such a machine gives the power that is measured
        holds = able & ranged & (np.abs(machine_p) + np.abs(machine_q) > 0)
        island = network.island[at]
        for number in np.unique(island[machine_p > 0]):  # a power flow needs a reference: else the largest running machine
            inside = island == number
            if not (holds & inside).any():
                holds[np.argmax(np.where(inside, machine_p, -np.inf))] = True
        target = np.where(able, target, 1.0)
        low, high = np.where(ranged, low, -np.inf), np.where(ranged, high, np.inf)

        def total(where: I8, values: F8) -> F8:
            return np.asarray(np.bincount(where, values, count), dtype=np.float64)

        v_set = np.full(count, np.nan)
        v_set[at[holds]] = target[holds]
        return Injections(
            p=total(at, machine_p) - total(load_at, load_p),
            q=total(at, np.where(holds, 0.0, machine_q)) - total(load_at, load_q),
            v_set=v_set,
            q_min=total(at, np.where(holds, low, 0.0)),
            q_max=total(at, np.where(holds, high, 0.0)),
            participation=total(at, np.where(holds, np.maximum(machine_p, 1.0), 0.0)),
        )

    def _measured(self) -> dict[str, float]:
        found = {}
        for point in self.sight.side.tables.points:
            if point.removed or point.measurement_type != _P or point.terminal not in self.equipment.branch_side:
                continue
            value = self.sight.readings.of(point)
            if value is not None:
                found[point.terminal] = value
        return found
