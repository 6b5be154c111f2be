"""The whole server with a million points: a process of its own that prints one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from chain.server import SITE, GeneratedSystem
from chain.tables import tables
from workers import own_memory_mb

from scada.actors.facade import Facade
from scada.actors.messages import Apply
from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.core.log import configure_logging
from scada.core.settings import parse_settings

BATCH: Final = 2_000
"""Values that the wire hands over at a time."""
RATE: Final = 20_000
"""Changes a second of the paced run."""


def settle(system: GeneratedSystem) -> None:
    """Until nobody has anything left to do."""
    while any(address.mailbox.qsize() for address in system.supervisor.addresses()):
        time.sleep(0.01)


def run(folder: Path, points: int, seconds: int) -> dict[str, Any]:
    """Start, receive every point once, go on at an ordinary rate, stop."""
    configure_logging("error", "console")
    sys.setswitchinterval(0.0005)  # as `scada serve` does
    base = {"site": {"name": SITE}, "rtdb": {"map_mb": 2048}, "history": {"map_mb": 4096}, "events": {"map_mb": 1024}}
    made = replace(tables([9] * (points // 1000), 1000, {}), channels=[])
    model_mb = own_memory_mb()
    began = time.perf_counter()
    system = GeneratedSystem(parse_settings(base, base=folder), SystemClock(), made)
    system.start()
    settle(system)
    started_s = time.perf_counter() - began
    facade = Facade(system)
    facade.status()
    began = time.perf_counter()
    facade.status()
    status_ms = (time.perf_counter() - began) * 1e3

    pids = np.arange(points, dtype=np.uint32)
    cpu, began = time.process_time(), time.perf_counter()
    for first in range(0, points, BATCH):
        _send(system, pids[first : first + BATCH], 1.0)
    settle(system)
    filled_s, filled_cpu = time.perf_counter() - began, time.process_time() - cpu

    rng = np.random.default_rng(1)
    cpu, began = time.process_time(), time.perf_counter()
    for number in range(10 * seconds):
        _send(system, rng.choice(points, RATE // 10, replace=False).astype(np.uint32), number + 2.0)
        time.sleep(max(0.0, began + (number + 1) / 10 - time.perf_counter()))
    settle(system)
    paced_s, paced_cpu = time.perf_counter() - began, time.process_time() - cpu
    kept = system.store.journaled == system.store.head
    began = time.perf_counter()
    system.stop()
    return {
        "model_mb": model_mb,
        "own_memory_mb": own_memory_mb(),
        "started_s": started_s,
        "status_ms": status_ms,
        "filled_s": filled_s,
        "filled_cpu_us": filled_cpu / points * 1e6,
        "late_s": paced_s - seconds,
        "paced_cpu": paced_cpu / seconds,
        "kept": kept,
        "stopped_s": time.perf_counter() - began,
    }


def _send(system: GeneratedSystem, pids: np.ndarray[Any, np.dtype[np.uint32]], value: float) -> None:
    now = system.clock.now_ns()
    system.rtdb.tell(Apply([PointBatch.of(pids, value, received_at=now, source_time=now)]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=30)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as name:
        print(json.dumps(run(Path(name), given.points, given.seconds)), flush=True)
