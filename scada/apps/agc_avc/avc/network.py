"""How pilot voltages answer to AVC's actions at the present state of the network: the model, live positions and measured powers.

The sources that AVC moves are injections (they track a reactive set-point); every other machine with a voltage target holds it.
One power flow gives the state, its Jacobian all sensitivities.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.avc.devices import CLOSED, OPEN
from scada.apps.agc_avc.avc.records import AvcSensitivity
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.network.busbranch import BusBranch, reduce
from scada.apps.network.equipment import read_equipment
from scada.apps.network.powerflow import Injections, PowerFlow
from scada.apps.network.sensitivity import Sensitivity, warm_up
from scada.core.errors import ModelError
from scada.model_cim.cim import CimModel
from scada.model_cim.regulation import DiscreteDevice, VoltageZone
from scada.model_cim.tables import ModelTables

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MOST_ASSUMED = 0.2
"""Part of the loads that may be taken from the model for want of a measurement; with more, nothing is computed."""


class VoltageNetwork:
    """Sensitivities for one model version.

    Args:
        model: the CIM model.
        tables: its points.
        zones: in the order of the controller.

    Attributes:
        pids: points that :meth:`sensitivity` reads.

    Raises:
        ModelError: the model has equipment that the power flow does not know.
    """

    def __init__(self, model: CimModel, tables: ModelTables, zones: Sequence[VoltageZone]) -> None:
        warm_up()  # aside and now, not in the first cycle that needs it
        self._equipment = read_equipment(model)
        self._solver = PowerFlow()
        grid = self._equipment.grid
        points = {(point.equipment, point.measurement_type): int(point.pid) for point in tables.points if not point.removed}
        self._switch = [points.get((mrid, "SwitchPosition")) for mrid in grid.switch_ids]
        self._tap = [points.get((mrid, "TapPosition")) for mrid in grid.tap_ids]
        self._load = [self._powers(points, mrid) for mrid in grid.load_ids]
        self._machine = [self._powers(points, mrid) for mrid in grid.machine_ids]
        self._pilots = [pilot for zone in zones for pilot in zone.pilots]
        self._sources = [source for zone in zones for source in zone.sources]
        self._devices = [device for zone in zones for device in zone.devices]
        self._tap_range = [tuple(model.number(mrid, f"TapChanger.{end}Step") for end in ("low", "high")) for mrid in grid.tap_ids]
        self._banks = self._live_banks()
        self._open = self._equipment.switch_open.copy()
        places = {mrid: row for row, mrid in enumerate(grid.machine_ids)}
        missing = [source.name for source in self._sources if source.mrid not in places]
        missing += [pilot.name for pilot in self._pilots if pilot.mrid not in self._equipment.node_of]
        if missing:
            raise ModelError(f"not part of the network: {', '.join(missing)}", mend="check the AVC zones of the model")
        self._source_row = np.array([places[source.mrid] for source in self._sources], dtype=np.int64)
        self._pilot_node = np.array([self._equipment.node_of[pilot.mrid] for pilot in self._pilots], dtype=np.int64)
        wanted = [
            *self._switch,
            *self._tap,
            *(bank.position for _, bank in self._banks),
            *(pid for pair in (*self._load, *self._machine) for pid in pair),
        ]
        self.pids: npt.NDArray[np.uint32] = np.array(sorted({pid for pid in wanted if pid is not None}), dtype=np.uint32)

    @staticmethod
    def _powers(points: dict[tuple[str, str], int], mrid: str) -> tuple[int | None, int | None]:
        return points.get((mrid, "ThreePhaseActivePower")), points.get((mrid, "ThreePhaseReactivePower"))

    def sensitivity(self, inputs: Measurements) -> tuple[AvcSensitivity | None, str]:
        """Compute; None and the reason where the present state cannot be known."""
        grid = self._equipment.grid
        open_, tap = self._switches(inputs), self._taps(inputs)
        load, assumed = self._loads(inputs)
        if assumed > MOST_ASSUMED:
            return None, f"{assumed:.0%} of the loads are not measured"
        machine_p, machine_q = self._machines(inputs)
        network = reduce(grid, open_, tap, self._sections(inputs))
        injections = self._injections(network, load, machine_p, machine_q)
        solution = self._solver.solve(network, injections)
        if not solution.converged:
            reasons = "; ".join(island.reason for island in solution.islands if not island.converged)
            return None, f"the power flow of the present state has no solution: {reasons}"
        answers = Sensitivity(network, injections, solution, self._solver.islands)
        pilots = network.bus_of_node[self._pilot_node]
        own = network.bus_of_node[grid.machine_node[self._source_row]]
        by_source = answers.dv_dq(own)
        by_device = np.column_stack(
            [np.empty((network.bus_count, 0)), *(self._device(answers, network, tap, device) for device in self._devices)]
        )
        dead = ~solution.live
        by_source[dead], by_device[dead] = np.nan, np.nan
        sources, buses = by_source[pilots], by_source[own]
        devices, device_buses = by_device[pilots], by_device[own]
        main = np.bincount(network.island[solution.live]).argmax() if solution.live.any() else -1
        s_from, s_to = network.branch_flow(solution.voltage)
        return AvcSensitivity(
            sources,
            devices,
            buses,
            device_buses,
            dead=dead[pilots],
            islanded=(network.island[pilots] != main) & ~dead[pilots],
            losses_mw=float((s_from + s_to).real.sum()),
        ), ""

    def _live_banks(self) -> list[tuple[int, DiscreteDevice]]:
        """Banks whose position is their own (sections, or on and off), not that of a switch of the network, with their rows."""
        grid, switches = self._equipment.grid, {pid for pid in self._switch if pid is not None}
        rows = {mrid: row for row, mrid in enumerate(grid.shunt_ids)}
        return [
            (rows[device.mrid], device)
            for device in self._devices
            if device.kind != "tap" and device.mrid in rows and device.position not in switches
        ]

    def _sections(self, inputs: Measurements) -> F8:
        """Sections in service; those of the model where the position is not known or none of the bank's."""
        sections = self._equipment.sections.copy()
        for row, bank in self._banks:
            position = inputs.read(bank.position)
            if bank.high_step > bank.low_step:
                if position is not None and bank.low_step <= position <= bank.high_step:
                    sections[row] = position
            elif position in (OPEN, CLOSED):
                sections[row] = self._equipment.sections_max[row] if position == CLOSED else 0.0
        return sections

    def _switches(self, inputs: Measurements) -> npt.NDArray[np.bool_]:
        """Which switches are open; one with a bad or intermediate position is where it was last seen, at first as in the model.

        A lost signal does not open a switch: the buses behind it would count as dead.
        """
        for row, pid in enumerate(self._switch):
            position = inputs.read(pid)
            if position in (OPEN, CLOSED):
                self._open[row] = position == OPEN
        return self._open.copy()

    def _taps(self, inputs: Measurements) -> F8:
        """Steps; the model's where the position is not known or beyond the ends."""
        steps = self._equipment.tap_step.copy()
        for row, (pid, (low, high)) in enumerate(zip(self._tap, self._tap_range, strict=True)):
            step = inputs.read(pid)
            if step is not None and not (step < low or step > high):
                steps[row] = step
        return steps

    def _loads(self, inputs: Measurements) -> tuple[npt.NDArray[np.complex128], float]:
        """Loads in MVA, and the part of them taken from the model."""
        equipment = self._equipment
        model = equipment.load_p + 1j * equipment.load_q
        measured = [(inputs.read(p), inputs.read(q)) for p, q in self._load]
        known = np.array([p is not None and q is not None for p, q in measured], dtype=np.bool_)
        load = np.array([model[row] if not known[row] else complex(p or 0.0, q or 0.0) for row, (p, q) in enumerate(measured)])
        total = float(np.abs(model).sum())
        return load, float(np.abs(model[~known]).sum()) / total if total else 0.0

    def _machines(self, inputs: Measurements) -> tuple[F8, F8]:
        """Powers of the machines in MW and Mvar; an unmeasured one stands still as far as we know."""
        measured = [(inputs.read(p), inputs.read(q)) for p, q in self._machine]
        return np.array([p or 0.0 for p, _ in measured]), np.array([q or 0.0 for _, q in measured])

    def _injections(self, network: BusBranch, load: npt.NDArray[np.complex128], machine_p: F8, machine_q: F8) -> Injections:
        equipment, grid, n = self._equipment, self._equipment.grid, network.bus_count
        at = network.bus_of_node[grid.machine_node]
        target = np.array([machine.v_set for machine in equipment.machines]) / grid.node_kv[grid.machine_node]
        holds = np.isfinite(target) & (np.abs(machine_p) + np.abs(machine_q) > 0)
        holds[self._source_row] = False
        holds = self._anchor(network, at, holds, np.isfinite(target), machine_p)
        p = _sum(at, machine_p, n)
        q = _sum(at, np.where(holds, 0.0, machine_q), n)
        bus = network.bus_of_node[grid.load_node]
        np.subtract.at(p, bus, load.real)
        np.subtract.at(q, bus, load.imag)
        v_set = np.full(n, np.nan)
        v_set[at[holds]] = target[holds]
        low = np.array([machine.q_min for machine in equipment.machines])
        high = np.array([machine.q_max for machine in equipment.machines])
        weight = _sum(at, np.where(holds, np.maximum(machine_p, 1.0), 0.0), n)
        return Injections(p, q, v_set, _sum(at, np.where(holds, low, 0.0), n), _sum(at, np.where(holds, high, 0.0), n), weight)

    @staticmethod
    def _anchor(
        network: BusBranch,
        at: I8,
        holds: npt.NDArray[np.bool_],
        able: npt.NDArray[np.bool_],
        machine_p: F8,
    ) -> npt.NDArray[np.bool_]:
        """In an island where nobody else holds the voltage, the largest running source does: a power flow needs a reference."""
        holds = holds.copy()
        island = network.island[at]
        for number in np.unique(island):
            inside = island == number
            candidates = np.flatnonzero(inside & able & (np.abs(machine_p) > 0))
            if not (holds & inside).any() and len(candidates):
                holds[candidates[np.argmax(machine_p[candidates])]] = True
        return holds

    def _device(self, answers: Sensitivity, network: BusBranch, tap: F8, device: DiscreteDevice) -> F8:
        """Change in kV at every bus when a device raises the voltage it serves by one operation; NaN = not in the network."""
        grid = self._equipment.grid
        unknown = np.full(network.bus_count, np.nan)
        if device.kind != "tap":
            if device.mrid not in grid.shunt_ids:
                return unknown
            bank = grid.shunt_ids.index(device.mrid)
            bus = self._served(network, device, int(network.bus_of_node[grid.shunt_node[bank]]))
            return np.asarray(answers.dv_dq(np.array([bus]))[:, 0] * abs(device.mvar))
        if device.mrid not in grid.tap_ids:
            return unknown
        row = grid.tap_ids.index(device.mrid)
        branch = np.array([grid.tap_branch[row]])
        moved = tap.copy()
        moved[row] += 1.0 if device.raise_increases_voltage else -1.0
        change = grid.admittance(moved)[branch] - grid.admittance(tap)[branch]
        return np.asarray(answers.dv_dadmittance(branch, change)[:, 0])

    def _served(self, network: BusBranch, device: DiscreteDevice, bus: int) -> int:
        """Bus a bank acts on: that of its pilot while its breaker is open, since it then hangs on nothing."""
        node = self._equipment.node_of.get(device.pilot)
        return bus if node is None else int(network.bus_of_node[node])


def _sum(at: I8, values: F8, count: int) -> F8:
    """Sum of ``values`` at each of ``count`` buses."""
    return np.asarray(np.bincount(at, values, count), dtype=np.float64)
