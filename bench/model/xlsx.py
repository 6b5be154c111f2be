"""``model.xlsx``: a model of 100 000 points as a workbook and back."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from figures import Figure
from workers import once

NAMES = ("model.xlsx",)
"""Head figures; further parts: the steps."""
_TIMEOUT_S = 600.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Export, import of the untouched file, export again; a process of its own."""
    points = 10_000 if quick else 100_000
    done = once("model.sheets", str(points), timeout_s=_TIMEOUT_S, python=sys.executable)
    right = done["same"] and not done["changed"]
    said = "same octets, nothing changed" if right else "WRONG: the files differ or the import changed something"
    note = f"{points} points, {done['rows']} rows, {done['file_mb']:.1f} MB; wall time; {said}"
    yield Figure("model.xlsx", done["round_trip_s"] if right else None, "s", 30.0, note=note)
    for step, seconds in done["steps"].items():
        yield Figure(f"model.xlsx.{step}", seconds, "s")
    yield Figure("model.xlsx.cpu", done["round_trip_cpu_s"], "s", note="CPU of the round trip; one thread")
    yield Figure("model.xlsx.memory", done["peak_mb"], "MiB", note="largest resident memory of the process")
