# ruff: noqa: SLF001 - the plant is made of what the network of AVC reads
"""A grid that stands still between two cycles, as the plant of a closed loop of AVC: our power flow, profiles, noise.

A source holds the voltage target of its model until AVC sends it its first set-point; from then on it gives that reactive power.
Without AVC the grid is regulated by its machines alone.
"""

from __future__ import annotations

import csv
import gzip
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from scada.apps.agc_avc.avc.network import VoltageNetwork
from scada.apps.agc_avc.avc.records import AvcCommand, AvcSensitivity
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.network.busbranch import reduce
from scada.apps.network.powerflow import Injections, solve
from scada.model_cim.points import load_model
from scada.rtdb.changes import Snapshot

NOISE = 5e-4
"""Standard deviation of a voltage measurement, per unit; and, ten times it, of the loads from cycle to cycle."""


def profiles(folder: Path, day: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The day's 96 quarters of SimBench loads and renewable plants, per unit of their maxima."""
    return tuple(_columns(folder / name, day) for name in ("load_profiles_p_2016_15min.csv.gz", "res_profiles_2016_15min.csv.gz"))


def _columns(path: Path, day: int) -> dict[str, np.ndarray]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        text = lines.read()
    separator = ";" if ";" in text.splitlines()[0] else ","
    rows = csv.reader(text.splitlines(), delimiter=separator)
    names = next(rows)
    kept = [row for number, row in enumerate(rows) if day * 96 <= number < (day + 1) * 96]
    columns = {}
    for place, name in enumerate(names):
        try:
            columns[name] = np.array([float(row[place]) for row in kept])
        except ValueError:  # the time
            continue
    return columns


@dataclass
class Tally:
    """What a day gave."""

    in_band: float = 0.0
    """Samples of pilot nodes within their limits."""
    samples: float = 0.0
    losses_mwh: float = 0.0
    taps: int = 0
    banks: int = 0
    setpoints: int = 0
    worst: dict[str, int] = field(default_factory=dict)
    """Samples outside, by pilot node."""

    @property
    def percent(self) -> float:
        """Time within limits, all pilot nodes together."""
        return 100.0 * self.in_band / self.samples if self.samples else math.nan


class DemoPlant:
    """The demo grid over a day.

    Args:
        folder: its model.
        loads, renewables: profiles, 96 quarters each.
        seed: of the noise.
    """

    def __init__(self, folder: Path, loads: dict[str, np.ndarray], renewables: dict[str, np.ndarray], seed: int) -> None:
        model, self.tables, _ = load_model(folder)
        self.network = VoltageNetwork(model, self.tables, self.tables.zones)
        self.zones = self.tables.zones
        self.equipment = self.network._equipment
        self._random = np.random.default_rng(seed)
        grid, equipment = self.equipment.grid, self.equipment
        self.open = equipment.switch_open.copy()
        self.tap = equipment.tap_step.copy()
        usable = [column for column in loads.values() if column.mean() > 0]
        picked = [usable[i % len(usable)] for i in range(len(equipment.load_p))]
        # the model's loads are those of a heavy hour: profiles keep their shape and the day's mean is 70 % of them
        self._load = [0.7 * column / column.mean() * 0.6 + 0.7 * 0.4 for column in picked]
        kinds = {"pv": "PV", "wind": "WP"}
        self._share = [
            next((column for name, column in renewables.items() if name.startswith(kinds.get(machine.kind, "?"))), None)
            for machine in equipment.machines
        ]
        self.q = {}  # mRID of a source -> Mvar it was told
        self._sources = {source.mrid: source for zone in self.zones for source in zone.sources}
        self._devices = [device for zone in self.zones for device in zone.devices]
        self._pilots = [pilot for zone in self.zones for pilot in zone.pilots]
        self._switch_of = {mrid: row for row, mrid in enumerate(grid.switch_ids)}
        self._tap_of = {mrid: row for row, mrid in enumerate(grid.tap_ids)}
        self._machine_of = {mrid: row for row, mrid in enumerate(grid.machine_ids)}
        self._pilot_node = np.array([equipment.node_of[pilot.mrid] for pilot in self._pilots])

    def solve(self, quarter: float) -> None:
        """Power flow of a time of the day (in quarters of an hour); fills what is measured."""
        equipment, grid = self.equipment, self.equipment.grid
        at = [np.interp(quarter, np.arange(97), np.append(column, column[0])) for column in self._load]
        factor = np.array(at) * (1.0 + 10 * NOISE * self._random.standard_normal(len(at)))
        load = (equipment.load_p + 1j * equipment.load_q) * factor
        p = np.array([machine.p for machine in equipment.machines])
        for row, column in enumerate(self._share):
            if column is not None:
                p[row] = equipment.machines[row].p_max * np.interp(quarter, np.arange(97), np.append(column, column[0]))
        fixed = np.array(
            [
                column is not None or machine.kind == "storage"
                for column, machine in zip(self._share, equipment.machines, strict=True)
            ]
        )
        missing = load.real.sum() * 1.015 - p.sum()
        p += np.where(fixed, 0.0, missing * np.where(fixed, 0.0, p) / p[~fixed].sum())
        q = np.array([self.q.get(mrid, machine.q) for mrid, machine in zip(grid.machine_ids, equipment.machines, strict=True)])
        network = reduce(grid, self.open, self.tap, equipment.sections)
        n, place = network.bus_count, network.bus_of_node[grid.machine_node]
        target = np.array([machine.v_set for machine in equipment.machines]) / grid.node_kv[grid.machine_node]
        told = np.array([mrid in self.q for mrid in grid.machine_ids])
        holds = np.isfinite(target) & ~told
        low = np.array([machine.q_min for machine in equipment.machines])
        high = np.array([machine.q_max for machine in equipment.machines])
        bus_p, bus_q = np.bincount(place, p, n), np.bincount(place, np.where(holds, 0.0, np.clip(q, low, high)), n)
        at_load = network.bus_of_node[grid.load_node]
        bus_p -= np.bincount(at_load, load.real, n)
        bus_q -= np.bincount(at_load, load.imag, n)
        v_set = np.full(n, np.nan)
        v_set[place[holds]] = target[holds]
        weight = np.bincount(place, np.where(holds & ~fixed, np.maximum(p, 1.0), 0.0), n)
        limits = [np.bincount(place, np.where(holds, limit, 0.0), n) for limit in (low, high)]
        solution = solve(network, Injections(bus_p, bus_q, v_set, *limits, weight))
        if not solution.converged:
            raise RuntimeError(f"the plant has no solution at quarter {quarter}")
        s_from, s_to = network.branch_flow(solution.voltage)
        self.losses_mw = float((s_from + s_to).real.sum())
        self.load, self.p = load, p
        span = np.where(holds, high - low, 0.0)
        held = np.bincount(place, np.where(holds, low, 0.0), n)
        placed = (solution.q_held[place] - held[place]) / np.maximum(np.bincount(place, span, n)[place], 1e-9)
        self.reactive = np.where(holds, low + span * placed, np.clip(q, low, high))
        node = network.bus_of_node
        self.kv = np.abs(solution.voltage)[node] * network.bus_kv[node]
        self.pilot_kv = self.kv[self._pilot_node]

    def snapshot(self) -> Snapshot:
        """Everything that AVC reads, voltages with noise."""
        values, network = {}, self.network
        for pids, pair in (
            (network._load, zip(self.load.real, self.load.imag, strict=True)),
            (network._machine, zip(self.p, self.reactive, strict=True)),
        ):
            for (p_pid, q_pid), (p, q) in zip(pids, pair, strict=True):
                values[p_pid], values[q_pid] = p, q
        values |= dict(zip(network._switch, np.where(self.open, 1.0, 2.0), strict=True))
        values |= dict(zip(network._tap, self.tap, strict=True))
        for pilot, kv in zip(self._pilots, self.pilot_kv, strict=True):
            for pid in pilot.voltage:
                values[pid] = kv * (1.0 + NOISE * self._random.standard_normal())
        for source in self._sources.values():
            row = self._machine_of[source.mrid]
            values[source.power] = self.reactive[row]
            values[source.active] = self.p[row]
            values[source.remote] = 1.0
            for pid in source.voltage:
                values[pid] = self.kv[self.equipment.grid.machine_node[row]]
            values |= dict.fromkeys((source.raise_blocked, source.lower_blocked), 0.0)
        for device in self._devices:
            values[device.remote] = 1.0
            values |= dict.fromkeys((device.tripped, device.blocked), 0.0)
        values.pop(None, None)
        pids = np.array(sorted(values), dtype=np.uint32)
        zero = np.zeros(len(pids), dtype=np.int64)
        column = np.array([values[int(pid)] for pid in pids], dtype=np.float64)
        return Snapshot(1, pids, column, np.zeros(len(pids), dtype=np.uint32), zero, zero)

    def sensitivity(self, snapshot: Snapshot) -> AvcSensitivity | None:
        """As the actor computes it."""
        return self.network.sensitivity(Measurements(snapshot))[0]

    def carry_out(self, command: AvcCommand, tally: Tally) -> None:
        """A command of AVC reaches the plant."""
        if not command.discrete:
            self.q[command.mrid] = command.value
            tally.setpoints += 1
            return
        equipment = self.tables.controls[command.cid].equipment
        if equipment in self._switch_of:
            self.open[self._switch_of[equipment]] = command.value == 1
            tally.banks += 1
        else:
            self.tap[self._tap_of[command.mrid]] += 1 if command.value == 2 else -1
            tally.taps += 1
