"""Group ``events``: a flood of alarms on top of ordinary traffic."""

from __future__ import annotations

from collections.abc import Iterator

from figures import Figure
from workers import WorkerError, once

NAMES = ("events.flood", "events.flood.missing", "events.flood.memory")
PEER = "Geo SCADA Expert, published burst"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run the flood and give its figures."""
    seconds, settle = (10, 5) if quick else (60, 180)
    try:
        found = once("events.flood", "--seconds", str(seconds), "--settle", str(settle), timeout_s=600.0)
    except WorkerError as error:
        yield Figure("events.flood", None, "ms", 1000.0, note=str(error))
        return
    kept_up = "" if found["late_s"] < 1.0 else f"; the load itself came {found['late_s']:.1f} s late"
    work = f"500 alarms/s for {seconds} s on top of 20 000 changes/s, each back after 2 s, acknowledged every second{kept_up}"
    yield Figure("events.flood", found["age_p99_ms"], "ms", 1000.0, note=f"change to alarm list, p99; {work}")
    yield Figure("events.flood.age_p50", found["age_p50_ms"], "ms", note="seen by asking five times a second")
    yield Figure("events.flood.rate", found["once"] / seconds, "1/s", 500.0, at_least=True, beside={PEER: 500.0})
    wrong = found["alarms"] - found["once"] + found["other"] + found["alarms"] - found["shown"]
    yield Figure(
        "events.flood.missing", wrong, "alarms", 0.0, note=f"of {found['alarms']}: not logged once, or never in the list"
    )
    yield Figure(
        "events.flood.answer_p99", found["answer_p99_ms"], "ms", note=f"the list as a reply, up to {found['longest']} long"
    )
    yield Figure("events.flood.cpu", found["cpu_share"], "cores")
    yield Figure(
        "events.flood.memory", found["grown_mb"], "MiB", 10.0, note=f"growth in the second half; {found['memory_mb']:.0f} MiB"
    )
