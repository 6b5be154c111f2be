"""hat-event's LMDB backend at the work of group ``history``, in the peer's environment, without its server; one JSON object."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

from hat.event import common
from hat.event.backends import lmdb

POINTS = 116
T0_S = 1_799_971_200
ASKED = 5


async def run(folder: Path, seconds: int) -> dict[str, Any]:
    """Register the rows of so many seconds by the thousand, one event type a point; ask for whole points."""
    every = [["*"]]
    conf = {
        "db_path": str(folder / "event.db"),
        "identifier": None,
        "flush_period": 1,
        "cleanup_period": 60,
        "conditions": [],
        "latest": {"subscriptions": every},
        "timeseries": [{"order_by": "TIMESTAMP", "subscriptions": every}],
        "timeseries_max_results": 10_000_000,
    }
    backend = await lmdb.info.create(conf, None, None)
    rows, wall_s, cpu_s, chance = 0, 0.0, 0.0, random.Random(7)
    for start in range(0, seconds, 10):
        events = [
            common.Event(
                id=common.EventId(1, start + 1, index + 1),
                type=("point", str(index % POINTS)),
                timestamp=common.Timestamp(T0_S + start + index // POINTS, index % POINTS * 1000),
                source_timestamp=None,
                payload=common.EventPayloadJson({"value": round(chance.gauss(100, 5), 2), "quality": 0}),
            )
            for index in range(10 * POINTS)
        ]
        wall, used = time.perf_counter(), time.process_time()
        await backend.register(events)
        wall_s += time.perf_counter() - wall
        cpu_s += time.process_time() - used
        rows += len(events)
    wall, used = time.perf_counter(), time.process_time()
    await backend.flush()
    wall_s += time.perf_counter() - wall
    cpu_s += time.process_time() - used
    size = (folder / "event.db").stat().st_size
    took = []
    for pid in range(ASKED):
        began = time.perf_counter()
        found = await backend.query(common.QueryTimeseriesParams(event_types=[("point", str(pid))]))
        took.append((time.perf_counter() - began) * 1e3)
        if len(found.events) != seconds:
            raise RuntimeError(f"point {pid} has {len(found.events)} events instead of {seconds}")
    await backend.async_close()
    took.sort()
    query = {"p50": took[ASKED // 2], "max": took[-1]}
    return {"rows": rows, "rate": rows / wall_s, "cpu_us": cpu_s / rows * 1e6, "bytes_per_row": size / rows, "query_ms": query}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store", choices=["hat"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, required=True)
    given = parser.parse_args()
    print(json.dumps(asyncio.run(run(given.folder, given.seconds))), flush=True)


if __name__ == "__main__":
    main()
