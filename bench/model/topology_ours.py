"""Our topology at the synthetic grid; one JSON object. Times in microseconds but ``read_s`` and ``columns_s``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from model.topology_grid import LEVELS, write_grid

from scada.model_cim.reader import ModelReader
from scada.model_cim.topology import Topology, TopologyState
from scada.model_cim.topology_graph import warm_up


def _median_us(calls: list[Callable[[], object]]) -> tuple[float, float]:
    took = []
    for call in calls:
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1e6)
    return float(np.median(took)), float(np.percentile(took, 99))


def _same(one: TopologyState, two: TopologyState) -> bool:
    columns = ("bus_of_node", "island_of_bus", "energised", "earthed", "equipment")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in columns)


def main(folder: Path, runs: int, levels: int) -> None:
    """Print the figures."""
    path = folder / "grid.xml"
    write_grid(path, levels)
    warm_up()
    began = time.process_time()
    model = ModelReader(path).read()
    read = time.process_time()
    topology = Topology(model)
    columns = time.process_time()
    state = topology.process()
    full, full_p99 = _median_us([topology.process] * runs)
    live, position = topology.live(), topology.initial_open.copy()
    chance = np.random.default_rng(3)
    rows = chance.integers(0, len(position), runs * 20)
    moves = []
    for row in rows.tolist():
        position[row] = not position[row]
        moves.append(lambda row=row, to=bool(position[row]): live.switch(row, to))
    switch, switch_p99 = _median_us(moves)
    equal = _same(live.state(), topology.process(position))
    bursts = []
    for _ in range(runs):
        position = position.copy()
        burst = chance.integers(0, len(position), 100)
        position[burst] = ~position[burst]

        def move(to: np.ndarray = position) -> None:
            live.move(to, topology.initial_earthing_open, np.ones(len(topology.sources), np.bool_))
            live.state()

        bursts.append(move)
    burst, burst_p99 = _median_us(bursts)
    equal = equal and _same(live.state(), topology.process(position))
    print(
        json.dumps(
            {
                "nodes": len(topology.nodes),
                "switches": len(topology.switches),
                "buses": state.buses,
                "live_islands": len(np.unique(state.island_of_bus[state.energised])),
                "read_s": read - began,
                "columns_s": columns - read,
                "full": full,
                "full_p99": full_p99,
                "switch": switch,
                "switch_p99": switch_p99,
                "burst": burst,
                "burst_p99": burst_p99,
                "equal": equal,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else LEVELS)
