"""The first AVC zone of the demo grid against a power flow: sources that lag, sensitivities that may be wrong."""

from functools import cache
from pathlib import Path

import numpy as np

from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.apps.agc_avc.avc.secondary import SecondaryControl, ZoneVoltages
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.network.busbranch import reduce
from scada.apps.network.powerflow import solve
from scada.core.avc_settings import AvcTuning
from scada.model_cim.points import load_model
from scada.rtdb.changes import Snapshot

GRID = Path(__file__).resolve().parents[3] / "examples" / "demo-grid"
LAG = 0.75
"""Part of the way to its set-point that a source makes in a cycle."""


@cache
def _demo():
    model, tables, _ = load_model(GRID)
    return tables, VoltageNetwork(model, tables, tables.zones)


def demo_zone():
    """The zone of the demo grid that has sources."""
    return next(zone for zone in _demo()[0].zones if zone.sources)


class Loop:
    """A zone in closed loop.

    Args:
        zone: the zone, of the demo grid or changed.
        load: all loads, times those of the model.
        wrong: part by which each sensitivity is wrong at most, each another way; negative: all by this much.
        seed: of that.

    Attributes:
        kv, bus_kv: voltages of pilots and of the sources' buses before each cycle.
        sent: commands of each cycle.
    """

    def __init__(self, zone, load, wrong, seed):
        self.zone, self.load, self.wrong, self.seed = zone, load, wrong, seed
        self.tables, self.network = _demo()
        tuning = AvcTuning()
        self.controls = [SourceControl(source, tuning) for source in zone.sources]
        self.secondary = SecondaryControl(zone, self.controls, tuning)
        self.target = np.array([pilot.target for pilot in zone.pilots])
        self.deadband = np.array([pilot.deadband for pilot in zone.pilots])
        grid = self.network._equipment.grid
        self._rows = [list(grid.machine_ids).index(source.mrid) for source in zone.sources]
        self.q = {row: self.network._equipment.machines[row].q for row in range(len(grid.machine_ids))}
        self._wanted = {}
        self.kv, self.bus_kv, self.sent = [], [], []

    def run(self, cycles):
        """Measure, decide, let the sources move."""
        for _ in range(cycles):
            inputs = self._inputs({})
            pilots, buses = self._voltages(inputs)
            self.kv.append(pilots)
            self.bus_kv.append(buses)
            inputs = self._inputs({source.voltage[0]: kv for source, kv in zip(self.zone.sources, buses, strict=True)})
            for control in self.controls:
                control.read(inputs)
            found, why = self.network.sensitivity(inputs)
            assert why == ""
            places = [i for i, pilot in enumerate(self.network._pilots) if pilot.mrid in {one.mrid for one in self.zone.pilots}]
            effect, own = self._distorted(found.sources[places]), self._distorted(found.buses)
            moves = self.secondary.act(ZoneVoltages(pilots, self.target, self.deadband, effect, own), send=True)
            self.sent.append(len(moves.commands))
            for command in moves.commands:
                row = self._rows[[source.mrid for source in self.zone.sources].index(command.mrid)]
                self._wanted[row] = command.value
            for row, wanted in self._wanted.items():
                self.q[row] += LAG * (wanted - self.q[row])

    def _distorted(self, effect):
        if self.wrong < 0:
            return effect * (1.0 + self.wrong)
        return effect * np.random.default_rng(self.seed).uniform(1.0 - self.wrong, 1.0 + self.wrong, effect.shape)

    def _inputs(self, more):
        network, values = self.network, {}
        equipment = network._equipment
        for row, (p, q) in enumerate(network._load):
            values[p], values[q] = equipment.load_p[row] * self.load, equipment.load_q[row] * self.load
        for row, (p, q) in enumerate(network._machine):
            values[p], values[q] = equipment.machines[row].p, self.q[row]
        values |= {
            pid: 1.0 if open_ else 2.0
            for pid, open_ in zip(network._switch, equipment.switch_open, strict=True)
            if pid is not None
        }
        values |= dict(zip(network._tap, equipment.tap_step, strict=True))
        values |= {pid: 0.0 for one in self.zone.sources for pid in (one.raise_blocked, one.lower_blocked) if pid is not None}
        values |= {one.remote: 1.0 for one in self.zone.sources if one.remote is not None}
        values |= more
        pids = np.array(sorted(pid for pid in values if pid is not None), dtype=np.uint32)
        zero = np.zeros(len(pids), dtype=np.int64)
        column = np.array([values[int(pid)] for pid in pids])
        return Measurements(Snapshot(1, pids, column, np.zeros(len(pids), dtype=np.uint32), zero, zero))

    def _voltages(self, inputs):
        network, grid = self.network, self.network._equipment.grid
        open_ = np.array(
            [
                initial if pid is None else inputs.read(pid) != 2.0
                for pid, initial in zip(network._switch, network._equipment.switch_open, strict=True)
            ]
        )
        buses = reduce(grid, open_, np.array([inputs.read(pid) for pid in network._tap]), network._equipment.sections)
        solution = solve(buses, network._injections(buses, network._loads(inputs)[0], *network._machines(inputs)))
        assert solution.converged
        kv = np.abs(solution.voltage) * buses.bus_kv
        node_of = network._equipment.node_of
        pilots = np.array([kv[buses.bus_of_node[node_of[pilot.mrid]]] for pilot in self.zone.pilots])
        return pilots, kv[buses.bus_of_node[grid.machine_node[self._rows]]]
