"""Our database at the work of group ``rtdb``; each verb is a process of its own and prints one JSON object."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rtdb.load import BATCH, POINTS, addresses, drive

from scada.core.batch import PointBatch
from scada.core.clock import SystemClock
from scada.core.quality import Quality
from scada.rtdb.reader import StoreReader
from scada.rtdb.store import Store

PACE_S = 0.01
"""Time between the batches of the paced writer."""


def batches(*, scattered: bool) -> list[PointBatch]:
    """Two rounds over all points, the second with other values than the first."""
    now = SystemClock().now_ns()
    rows = addresses(scattered=scattered)
    return [PointBatch.of(pids, value, received_at=now, source_time=now) for value in (1.0, 2.0) for pids in rows]


def opened(folder: Path, *, durable: bool = False, journal_mb: int = 256) -> Store:
    """The database as ``scada serve`` opens it, with a larger map."""
    return Store(folder, POINTS, SystemClock(), durable=durable, map_mb=4096, journal_mb=journal_mb)


def apply(folder: Path, seconds: float, *, durable: bool, scattered: bool) -> dict[str, Any]:
    """Apply, journal and commit as fast as it goes."""
    store, prepared = opened(folder, durable=durable), batches(scattered=scattered)

    def one(number: int) -> None:
        store.apply(prepared[number % len(prepared)])

    def commit() -> None:
        store.commit()

    run = drive(one, commit, seconds)
    fault = "" if store.fault is None else str(store.fault)
    kept = store.journaled == store.head
    store.close()
    return run.shown() | {"fault": fault, "kept": kept}


def write(folder: Path, *, paced: bool) -> None:
    """A writer beside readers: says how it does about every second, until its input ends."""
    store, prepared = opened(folder), batches(scattered=True)
    _say({"ready": True})
    number = 0
    for line in sys.stdin:
        seconds = float(line)
        cpu, began, changes = time.process_time(), time.perf_counter(), 0
        while (now := time.perf_counter()) - began < seconds:
            changes += store.apply(prepared[number % len(prepared)])
            number += 1
            store.commit()
            if paced:
                time.sleep(max(0.0, PACE_S - (time.perf_counter() - now)))
        _say({"changes": changes, "seconds": now - began, "cpu_s": time.process_time() - cpu})
    store.close()


def read(folder: Path, seconds: float) -> dict[str, Any]:
    """Snapshots of all points from another process, ten a second."""
    reader = StoreReader(folder)
    reader.snapshot()  # not counted: first use of every part
    took: list[float] = []
    wrong = 0
    ended = time.perf_counter() + seconds
    while (began := time.perf_counter()) < ended:
        snapshot = reader.snapshot()
        took.append(time.perf_counter() - began)
        wrong += int(len(snapshot) != POINTS)
        time.sleep(max(0.0, 0.1 - took[-1]))
    reader.close()
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return {"p50_ms": float(p50), "p99_ms": float(p99), "snapshots": len(took), "wrong": wrong}


def fill(folder: Path, records: int) -> None:
    """Leave a journal of so many records behind the last checkpoint, and die."""
    store, prepared = opened(folder, journal_mb=1024), batches(scattered=True)
    head = store.head
    number = 0
    while store.head - head < records:
        store.apply(prepared[number % len(prepared)])
        number += 1
        if number % 10 == 0:
            store.commit()
    _say({"records": store.head - head, "journaled": store.journaled == store.head})
    os._exit(0)


def restart(folder: Path) -> dict[str, Any]:
    """Open what :func:`fill` left, until the first snapshot can be answered."""
    began = time.perf_counter()
    store = opened(folder, journal_mb=1024)
    snapshot = store.snapshot()
    took = time.perf_counter() - began
    known = int((snapshot.quality & np.uint32(Quality.NEVER_RECEIVED) == 0).sum())
    store.close()
    return {"seconds": took, "known": known}


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Run one verb."""
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["apply", "write", "read", "fill", "restart"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--records", type=int, default=BATCH)
    parser.add_argument("--durable", action="store_true")
    parser.add_argument("--scattered", action="store_true")
    parser.add_argument("--paced", action="store_true")
    given = parser.parse_args()
    match given.verb:
        case "apply":
            _say(apply(given.folder, given.seconds, durable=given.durable, scattered=given.scattered))
        case "write":
            write(given.folder, paced=given.paced)
        case "read":
            _say(read(given.folder, given.seconds))
        case "fill":
            fill(given.folder, given.records)
        case "restart":
            _say(restart(given.folder))


if __name__ == "__main__":
    main()
