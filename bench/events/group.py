"""Group ``events``: a flood of alarms on top of ordinary traffic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from figures import Figure

NAMES = ("events.flood", "events.flood.missing", "events.flood.memory")
BENCH = Path(__file__).resolve().parents[1]
PEER = "Geo SCADA Expert, published burst"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Run the flood and give its figures."""
    seconds = 10 if quick else 60
    done = subprocess.run(
        [sys.executable, "-m", "events.flood", "--seconds", str(seconds)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "PYTHONPATH": str(BENCH)},
    )
    if done.returncode:
        yield Figure("events.flood", None, "ms", 1000.0, note=(done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300])
        return
    found = json.loads(done.stdout.splitlines()[-1])
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
