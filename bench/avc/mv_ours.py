"""``mv_ours.py FILE WAY HOURS``: a day of a medium-voltage net that a peer wrote, under AVC, nine zones alone, or nothing."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from avc.plant import NOISE, Tally

from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.records import AvcCommand, AvcSensitivity
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.network.busbranch import BusBranch
from scada.apps.network.powerflow import Injections, Solution, solve
from scada.apps.network.sensitivity import Sensitivity
from scada.core.avc_settings import AvcSettings
from scada.core.clock import NS_PER_S, VirtualClock
from scada.model_cim.regulation import DiscreteDevice, PilotNode, ReactiveSource, VoltageZone
from scada.rtdb.changes import Snapshot

START_NS = 1_790_000_000 // 86_400 * 86_400 * NS_PER_S
TARGET, DEADBAND, LOW, HIGH = 1.01, 0.005, 0.985, 1.035
"""Of the pilot nodes, per unit: a band of 5 % of the 20 % that EN 50160 leaves to medium and low voltage together."""
PILOTS, SOURCES = 8, 10
MOST_Q = 0.44
"""Reactive power of an inverter per rated power: power factor 0.9 at full output."""


class MvPlant:
    """The net over a day; point ids: pilots 0.., tap 100, sources 200.. (Mvar), 300.. (MW)."""

    def __init__(self, path: str, seed: int) -> None:
        with np.load(path) as archive:
            data = {name: archive[name] for name in archive.files}
        self._random = np.random.default_rng(seed)
        self.day = {name: data[name] for name in ("load_p", "load_q", "infeed")}
        self.by_tap, self.taps = data["by_tap"], data["taps"].tolist()
        self.data = data
        self.tap = 0
        n = len(data["bus_kv"])
        trafos = data["trafo"].tolist()
        self.busbar = int(data["ends"][trafos[0]][1])
        self.rated = data["rated"]
        self.sources = np.argsort(-self.rated, kind="stable")[:SOURCES]
        self.q = np.zeros(n)
        self.solve(0.0)
        spread = np.abs(self.solve(48.0).voltage)
        spread[data["bus_kv"] > 50] = np.nan  # the transformers' other side
        order = np.argsort(np.where(np.isnan(spread), np.inf, spread), kind="stable")[: int(np.isfinite(spread).sum())]
        ends = [*order[: PILOTS // 2].tolist(), *order[-PILOTS // 2 :].tolist()]
        self.pilots = list(dict.fromkeys([self.busbar, *ends]))
        self.trafos = trafos
        self.zones = [self._zone()]

    def _zone(self) -> VoltageZone:
        kv = self.data["bus_kv"]
        pilots = [
            PilotNode(f"P{bus}", f"p{bus}", [row], *(float(kv[bus] * part) for part in (TARGET, DEADBAND, LOW, HIGH)))
            for row, bus in enumerate(self.pilots)
        ]
        sources = []
        for row, bus in enumerate(self.sources):
            most = float(MOST_Q * self.rated[bus])
            sources.append(
                ReactiveSource(
                    f"S{bus}", f"s{bus}", 200 + row, 2000 + row, -most, most, max(most / 4, 0.05),
                    kind="inverter", active=300 + row, rated_mva=float(1.1 * self.rated[bus]),
                )
            )  # fmt: skip
        tap = DiscreteDevice(
            "T", "t", "tap", 100, 1000, f"p{self.busbar}", low_step=self.taps[0], high_step=self.taps[-1],
            raise_increases_voltage=self._raises(), daily_limit=20,
        )  # fmt: skip
        return VoltageZone("MV", pilots, sources, [tap])

    def _raises(self) -> bool:
        was = np.abs(self.solve(0.0).voltage)[self.busbar]
        self.tap += 1
        now = np.abs(self.solve(0.0).voltage)[self.busbar]
        self.tap -= 1
        return bool(now > was)

    def network(self, tap: int) -> BusBranch:
        """The net with its transformers at a tap position."""
        data = self.data
        return BusBranch(
            np.arange(len(data["bus_kv"])), data["bus_kv"], np.zeros(len(data["bus_kv"]), np.int64), data["ends"][:, 0],
            data["ends"][:, 1], self.by_tap[self.taps.index(tap)], data["shunt"],
        )  # fmt: skip

    def solve(self, quarter: float, noise: float = 10 * NOISE) -> Solution:
        """Power flow of a time of the day, loads with noise."""
        at = {
            name: np.array([np.interp(quarter, np.arange(96), column) for column in table.T]) for name, table in self.day.items()
        }
        factor = 1.0 + noise * self._random.standard_normal(len(self.q))
        self.p = at["infeed"]
        p, q = at["infeed"] - at["load_p"] * factor, self.q - at["load_q"] * factor
        v_set = np.full(len(p), np.nan)
        v_set[self.data["ref"]] = self.data["v_ref"]
        held = np.where(np.isfinite(v_set), 1.0, 0.0)
        self.injections = Injections(p, q, v_set, -1e4 * held, 1e4 * held, held)
        self.grid = self.network(self.tap)
        self.solution = solve(self.grid, self.injections)
        if not self.solution.converged:
            raise RuntimeError(f"the plant has no solution at quarter {quarter}")
        s_from, s_to = self.grid.branch_flow(self.solution.voltage)
        self.losses_mw = float((s_from + s_to).real.sum())
        return self.solution

    @property
    def pilot_kv(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Voltages of the pilot nodes."""
        return np.abs(self.solution.voltage)[self.pilots] * self.data["bus_kv"][self.pilots]

    def snapshot(self) -> Snapshot:
        """Everything that AVC reads, voltages with noise."""
        values = {row: kv * (1 + NOISE * self._random.standard_normal()) for row, kv in enumerate(self.pilot_kv)}
        values[100] = float(self.tap)
        for row, bus in enumerate(self.sources):
            values[200 + row], values[300 + row] = self.q[bus], self.p[bus]
        pids = np.array(sorted(values), dtype=np.uint32)
        zero = np.zeros(len(pids), np.int64)
        return Snapshot(1, pids, np.array([values[int(pid)] for pid in pids], float), np.zeros(len(pids), np.uint32), zero, zero)

    def sensitivity(self) -> AvcSensitivity:
        """How pilot nodes answer to sources and to a step of the tap changers."""
        answers = Sensitivity(self.grid, self.injections, self.solution)
        sources = answers.dv_dq(np.asarray(self.sources, np.int64))[self.pilots]
        device = self.zones[0].devices[0]
        step = self.tap + (1 if device.raise_increases_voltage else -1)
        effect = np.full((len(self.pilots), 1), np.nan)
        if step in self.taps:
            rows = np.array(self.trafos)
            change = self.network(step).branch_y[rows] - self.grid.branch_y[rows]
            effect[:, 0] = answers.dv_dadmittance(rows, change)[self.pilots].sum(axis=1)
        return AvcSensitivity(sources, effect)

    def carry_out(self, command: AvcCommand, tally: Tally) -> None:
        """A command of AVC reaches the plant."""
        if command.discrete:
            self.tap += 1 if command.value == 2 else -1
            tally.taps += 1
        else:
            self.q[self.sources[int(command.cid) - 2000]] = command.value
            tally.setpoints += 1


def main() -> int:
    """Run and print one line of JSON."""
    path, way, hours = sys.argv[1], sys.argv[2], float(sys.argv[3])
    plant, settings, clock = MvPlant(path, 7), AvcSettings(start="on"), VirtualClock(start_ns=START_NS)
    data = plant.data
    worst = 0.0
    for quarter, theirs in zip(data["checked_quarters"].tolist(), data["checked"], strict=True):
        found = plant.solve(float(quarter), noise=0.0).voltage
        worst = max(worst, float(np.abs(np.abs(found) - theirs).max()))
    zones = plant.zones if way == "avc" else [replace(plant.zones[0], sources=())]
    controller, tally = AvcController(zones, settings, clock), Tally()
    for number in range(round(hours * 3600 / settings.cycle_s)):
        plant.solve(number * settings.cycle_s / 900.0)
        for pilot, kv in zip(plant.zones[0].pilots, plant.pilot_kv, strict=True):
            tally.samples += 1
            tally.in_band += pilot.minimum <= kv <= pilot.maximum
            if not pilot.minimum <= kv <= pilot.maximum:
                tally.worst[pilot.name] = tally.worst.get(pilot.name, 0) + 1
        tally.losses_mwh += plant.losses_mw * settings.cycle_s / 3600.0
        if way != "none":
            snapshot = plant.snapshot()
            found = plant.sensitivity()
            if way == "nine":
                found = replace(found, sources=found.sources[:, :0])
            for command in controller.cycle(Measurements(snapshot), found).commands:
                plant.carry_out(command, tally)
                controller.confirmed(command.cid)
        clock.advance(settings.cycle_s)
    print(json.dumps({
        "percent": tally.percent, "losses_mwh": tally.losses_mwh, "taps": tally.taps, "banks": 0, "setpoints": tally.setpoints,
        "outside": tally.worst, "against_pandapower": worst,
    }))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
