"""Our power flow and sensitivities at the dumped cases, RealGrid and the demo grid; one JSON object, CPU times in ms."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scada.apps.network import powerflow, sparse_lu
from scada.apps.network.busbranch import BusBranch, components, reduce
from scada.apps.network.equipment import Equipment, read_equipment
from scada.apps.network.powerflow import Injections, PowerFlow, Solution
from scada.apps.network.sensitivity import Sensitivity
from scada.model_cim.reader import ModelReader

TOLERANCE = 1e-8
COLUMNS = 100
_DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo-grid"


def best_ms(work: Callable[[], object], runs: int) -> float:
    """Least CPU time of several runs."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - began))
    return min(found)


def dumped(path: Path) -> tuple[BusBranch, Injections, dict[str, np.ndarray]]:
    """A case of ``peers/network/cases.py``: no reactive limits, one slack."""
    case = dict(np.load(path))
    n, (one, two) = len(case["bus_kv"]), case["ends"].astype(np.int64).T.copy()
    net = BusBranch(np.arange(n), case["bus_kv"], components(n, one, two), one, two, case["y"], case["shunt"])
    far, share = np.full(n, 1e9), np.zeros(n)
    share[case["ref"]] = 1.0
    return net, Injections(case["p"], case["q"], case["v_set"], -far, far, share), case


def as_filed(equipment: Equipment, net: BusBranch) -> Injections:
    """Powers as in the files; each running machine with a target holds its voltage, without limits of reactive power.

    The slack is shared by output: with a single slack a flat start of RealGrid fails.
    """
    grid, n = equipment.grid, net.bus_count
    at, load = net.bus_of_node[grid.machine_node], net.bus_of_node[grid.load_node]
    p, q = (np.array([getattr(machine, name) for machine in equipment.machines]) for name in "pq")
    target = np.array([machine.v_set for machine in equipment.machines]) / grid.node_kv[grid.machine_node]
    holds = np.isfinite(target) & (np.abs(p) + np.abs(q) > 0)
    v_set = np.full(n, np.nan)
    v_set[at[holds]] = target[holds]
    far = np.full(n, 1e9)
    return Injections(
        p=np.bincount(at, p, n) - np.bincount(load, equipment.load_p, n),
        q=np.bincount(at, np.where(holds, 0.0, q), n) - np.bincount(load, equipment.load_q, n),
        v_set=v_set,
        q_min=-far,
        q_max=far,
        participation=np.bincount(at, np.where(holds, np.maximum(p, 0.0), 0.0), n),
    )


def solved(net: BusBranch, spec: Injections, runs: int) -> tuple[dict[str, object], PowerFlow, Solution]:
    """Times of one network."""
    flow = PowerFlow()
    solution = flow.solve(net, spec, tolerance=TOLERANCE)
    found: dict[str, object] = {
        "buses": int(solution.live.sum()),
        "converged": solution.converged,
        "iterations": max(island.iterations for island in solution.islands),
        "start": solution.islands[0].start,
        "kept": best_ms(lambda: flow.solve(net, spec, tolerance=TOLERANCE), runs),
        "new": best_ms(lambda: PowerFlow().solve(net, spec, tolerance=TOLERANCE), max(3, runs // 3)),
        "warm": best_ms(lambda: flow.solve(net, spec, start=solution.voltage, tolerance=TOLERANCE), runs),
    }
    return found, flow, solution


def answers(net: BusBranch, spec: Injections, flow: PowerFlow, solution: Solution, runs: int) -> float:
    """Time of the answers of every voltage to :data:`COLUMNS` reactive injections, Jacobian and factors included."""
    buses = np.flatnonzero(solution.live & ~solution.holding)
    chosen = buses[np.linspace(0, len(buses) - 1, COLUMNS).astype(int)]
    return best_ms(lambda: Sensitivity(net, spec, solution, flow.islands).dv_dq(chosen), runs)


def main(folder: Path, runs: int, real: str) -> None:
    """Print the figures."""
    powerflow.warm_up()
    sparse_lu.warm_up()
    found: dict[str, dict[str, object]] = {}
    for path in sorted(folder.glob("*.npz")):
        net, spec, case = dumped(path)
        found[path.stem], flow, solution = solved(net, spec, runs)
        turn = np.exp(1j * np.angle(solution.voltage[case["ref"][0]] / case["pandapower"][case["ref"][0]]))
        found[path.stem]["off"] = float(np.abs(solution.voltage - turn * case["pandapower"]).max())
        found[path.stem]["peers"] = dict(zip(case["time_names"].tolist(), case["times"].tolist(), strict=True))
        if solution.live.sum() > COLUMNS:
            found[path.stem]["sensitivity"] = answers(net, spec, flow, solution, max(3, runs // 3))
    for name, place in (("demo", str(_DEMO)), ("realgrid", real)):
        if not place:
            continue
        equipment = read_equipment(ModelReader(Path(place)).read(), solved=True)
        state = (equipment.grid, equipment.switch_open, equipment.tap_step, equipment.sections)
        net = reduce(*state)
        found[name], flow, solution = solved(net, as_filed(equipment, net), runs)
        found[name]["reduce"] = best_ms(lambda state=state: reduce(*state).y_bus, runs)  # type: ignore[misc]
        if solution.live.sum() > COLUMNS:
            found[name]["sensitivity"] = answers(net, as_filed(equipment, net), flow, solution, max(3, runs // 3))
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
