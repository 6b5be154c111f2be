"""One process: an index over a large model, and many searches of every kind."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from model.large import write_large
from workers import own_memory_mb

from scada.model_cim.objects import PlantObjects
from scada.model_cim.points import load_model
from scada.model_cim.search import SearchIndex
from scada.model_cim.search_kernel import warm_up

QUERIES = (
    "a",
    "e i a",
    "1 0 2 3 4",
    "s t a i o n 2",
    "nowhere",
    "2030",
    "signal 31",
    "line value station",
    "station 0042 value 17",
    "protectiontrip line 7",
    "CA 42 IOA 16402",
    "ioa:4001",
    "Station 0017/220kV/Line 3/Value 12",
)
"""From one hit to all of them, one word to seven."""
ROUNDS = 40


def main(points: int) -> None:
    """Print what it took."""
    with tempfile.TemporaryDirectory() as name:
        write_large(Path(name), points)
        model, tables, _ = load_model(name)
    warm_up()
    objects = PlantObjects(tables, model)
    memory = own_memory_mb()
    before = time.process_time()
    index = SearchIndex(objects)
    built_s = time.process_time() - before
    memory = own_memory_mb() - memory
    queries = (*QUERIES, tables.points[points // 2].mrid[:8])
    took = {query: [_timed(index, query) for _ in range(ROUNDS)] for query in queries}
    every = np.array([ms for times in took.values() for ms in times])
    worst = max(took, key=lambda query: float(np.median(took[query])))
    print(
        json.dumps(
            {
                "entries": len(index),
                "build_s": built_s,
                "memory_mb": memory,
                "p50_ms": float(np.percentile(every, 50)),
                "p99_ms": float(np.percentile(every, 99)),
                "worst": worst,
                "worst_ms": float(np.median(took[worst])),
            }
        )
    )


def _timed(index: SearchIndex, query: str) -> float:
    before = time.perf_counter()
    index.search(query)
    return 1e3 * (time.perf_counter() - before)


if __name__ == "__main__":
    main(int(sys.argv[1]))
