"""The embedded history at the work of group ``history``; prints one JSON object."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from history.load import BLOCK_S, DAY_S, POINTS, SECOND, T0, Watch, asked, blocks

from scada.core.batch import POINT_DTYPE
from scada.core.ids import PointId
from scada.history.sampling import warm_up
from scada.history.store import HistoryStore
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet


class DataClock:
    """The wall clock is that of the data; the monotonic one is the host's, so that flushes come as often as in a server."""

    def __init__(self) -> None:
        self.now = T0
        self.ahead_s = 0.0

    def now_ns(self) -> int:
        """Time of the data."""
        return self.now

    def monotonic(self) -> float:
        """The host's, plus what was skipped."""
        return time.monotonic() + self.ahead_s

    def real_delay(self, seconds: float) -> float:
        """The same seconds."""
        return seconds


PACED_POINTS = 20_000
PACED_S = 240


def paced(folder: Path) -> dict[str, float]:
    """20 000 points, each with a value a second, over the end of an hour: how long a flush takes that comes every second."""
    clock, watch = DataClock(), Watch()
    warm_up()
    store = HistoryStore(folder, clock, _points(PACED_POINTS, 0.0, ""), map_mb=2048)
    start = T0 + 3600 * SECOND - PACED_S // 2 * SECOND
    rng, pids, rows, took = np.random.default_rng(5), np.arange(PACED_POINTS, dtype=np.uint32), 0, []
    host = time.monotonic()
    for second in range(PACED_S):
        records = np.zeros(PACED_POINTS, POINT_DTYPE)
        clock.now = start + (second + 1) * SECOND
        records["pid"], records["source_time"] = pids, clock.now - rng.integers(0, SECOND // 1_000_000, PACED_POINTS) * 1_000_000
        records["value"] = np.round(rng.normal(100, 5, PACED_POINTS), 2)
        clock.ahead_s = second - (time.monotonic() - host)  # one second a round, however long it takes
        change = ChangeSet(rows + 1, records, np.full(PACED_POINTS, clock.now, np.int64), clock.now)
        rows += PACED_POINTS
        watch.run("append", lambda change=change: store.append(change))  # type: ignore[misc]
        began = time.perf_counter()
        store.flush()
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    answer = {
        "p50": took[len(took) // 2],
        "p99": took[-3],
        "max": took[-1],
        "rows": rows,
        "append_ms": watch.wall_s * 1e3 / PACED_S,
    }
    store.close()
    return answer


def _points(count: int, deadband: float, compression: str) -> list[Point]:
    more = {"deadband": deadband, "compression": compression}
    return [
        Point(PointId(pid), f"m{pid}", f"S/{pid}", str(pid), PointKind.ANALOG, "", "MW", "", "", "S", "", 0, None, **more)
        for pid in range(count)
    ]


def main() -> None:
    """Take the rows in, then ask for them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seconds", type=int, default=DAY_S)
    parser.add_argument("--deadband", type=float, default=0.0)
    parser.add_argument("--compression", default="deadband")
    parser.add_argument("--paced", action="store_true")
    given = parser.parse_args()
    if given.paced:
        print(json.dumps(paced(given.folder)), flush=True)
        return
    clock, watch = DataClock(), Watch()
    warm_up()
    points = _points(POINTS, given.deadband, given.compression)
    store = HistoryStore(given.folder, clock, points, map_mb=2048)
    rows = kept = 0
    flushed = time.monotonic()
    for number, block in enumerate(blocks(given.seconds)):
        records = np.zeros(len(block.pid), POINT_DTYPE)
        records["pid"], records["value"], records["source_time"] = block.pid, block.value, block.time
        clock.now = T0 + (number + 1) * BLOCK_S * SECOND
        change = ChangeSet(rows + 1, records, np.full(len(records), clock.now, np.int64), clock.now)
        rows += len(records)
        watch.run("append", lambda change=change: store.append(change))  # type: ignore[misc]
        if time.monotonic() - flushed >= 1.0:
            watch.run("flush", store.flush)
            flushed = time.monotonic()
    while_taking = watch.longest_s.get("flush", 0.0)
    for _ in range(2):  # a turn of all pages, then what remains
        clock.ahead_s += 601
        watch.run("end", store.flush)
    status = store.status()
    end = T0 + given.seconds * SECOND
    kept = sum(len(store.query(pid, T0, end)) for pid in range(POINTS))
    answer = {
        "rows": rows,
        "kept": kept,
        "rate": rows / watch.wall_s,
        "cpu_us": watch.cpu_s / rows * 1e6,
        "bytes_per_row": status.stored_bytes / rows,
        "flush_ms": while_taking * 1e3,
        "fault": status.fault,
    }
    if kept == rows:
        seconds = given.seconds
        answer["query_ms"] = asked(lambda pid: len(store.query(pid, T0, end)), seconds)
        answer["buckets_ms"] = asked(lambda pid: len(store.query(pid, T0, end, 1000)), min(1000, seconds))
        answer["minutes_ms"] = asked(lambda pid: len(store.aggregates(pid, T0, end, 60)), seconds // 60)
        answer["before_ms"] = asked(lambda pid: len(store.before([pid], end).pid), 1)
    store.close()
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
