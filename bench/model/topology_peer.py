"""pypowsybl at a node-breaker model: one switch moved and the buses asked for; one JSON object, times in microseconds."""

from __future__ import annotations

import json
import random
import sys
import time

import pypowsybl.network as pn


def main(path: str, runs: int) -> None:
    """Print the figures."""
    network = pn.load(path)
    switches = network.get_switches(attributes=["open"])
    names = list(switches.index)
    chance, took = random.Random(3), []
    for _ in range(runs):
        name = chance.choice(names)
        is_open = not bool(switches.at[name, "open"])
        switches.at[name, "open"] = is_open
        began = time.perf_counter()
        network.update_switches(id=name, open=is_open)
        network.get_buses(attributes=["connected_component"])
        took.append((time.perf_counter() - began) * 1e6)
    took.sort()
    print(json.dumps({"switches": len(names), "switch": took[len(took) // 2]}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
