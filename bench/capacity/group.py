"""Group ``capacity``: a million points in one server, with alarms, history and calculation."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from workers import WorkerError, once

NAMES = ("capacity.start", "capacity.memory", "capacity.fill", "capacity.cpu")
PEER = "Geo SCADA Expert, published limit"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run the server and give its figures."""
    points, seconds = (100_000, 5) if quick else (1_000_000, 30)
    try:
        found = once("capacity.server", "--points", str(points), "--seconds", str(seconds), timeout_s=900.0)
    except WorkerError as error:
        yield Figure("capacity.start", None, "s", note=str(error))
        return
    doubt = "" if found["kept"] else "; NOT ALL WAS JOURNALED"
    yield Figure(
        "capacity.points", points, "points", 1e6, at_least=True, beside={PEER: 1e6}, note=f"each with four limits{doubt}"
    )
    yield Figure("capacity.start", found["started_s"], "s", note="empty databases; the model stands in memory already")
    yield Figure("capacity.stop", found["stopped_s"], "s")
    yield Figure("capacity.memory", found["own_memory_mb"], "MiB", note=f"of it the model: {found['model_mb']:.0f} MiB")
    yield Figure("capacity.fill", points / found["filled_s"], "1/s", note="every point once, until alarms and history have it")
    yield Figure("capacity.fill.cpu_us", found["filled_cpu_us"], "us")
    work = f"20 000 changes/s all over them for {seconds} s"
    yield Figure("capacity.cpu", found["paced_cpu"], "cores", note=f"{work}; done {found['late_s']:.1f} s after the last one")
    yield Figure("capacity.status", found["status_ms"], "ms", note="the overview as a reply")
