"""pypowsybl (OpenLoadFlow) at RealGrid: power flow from a flat start and sensitivities; one JSON object, times in ms."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import pypowsybl as pp


def best_ms(work: Callable[[], object], runs: int) -> float:
    """Least CPU time of several runs, of all threads."""
    found = []
    for _ in range(runs):
        began = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - began))
    return min(found)


def main(path: str, runs: int) -> None:
    """Print the figures."""
    network = pp.network.load(path)
    # its machines have no reactive range in the files, with which OpenLoadFlow would control no voltage
    units = network.get_generators()
    network.update_generators(id=list(units.index), min_q=[-1e4] * len(units), max_q=[1e4] * len(units))
    settings = pp.loadflow.Parameters(
        distributed_slack=True, use_reactive_limits=False, voltage_init_mode=pp.loadflow.VoltageInitMode.UNIFORM_VALUES
    )
    result = pp.loadflow.run_ac(network, settings)[0]
    power_flow = best_ms(lambda: pp.loadflow.run_ac(network, settings), runs)
    buses, units = list(network.get_buses().index), list(network.get_generators().index)
    analysis = pp.sensitivity.create_ac_analysis()
    analysis.set_bus_voltage_factor_matrix(buses, units[:100])
    took = best_ms(lambda: analysis.run(network, pp.sensitivity.Parameters(settings)), max(1, runs // 3))
    print(
        json.dumps(
            {"status": result.status.name, "iterations": result.iteration_count, "powerflow": power_flow, "sensitivity": took}
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
