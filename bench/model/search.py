"""``model.search``: searches over 100 000 points and what belongs to them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from figures import Figure
from workers import once

NAMES = ("model.search",)
"""Head figures; further parts: quantiles, the index."""
_TIMEOUT_S = 300.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Build the index and search, in a process of its own."""
    points = 10_000 if quick else 100_000
    done = once("model.searches", str(points), timeout_s=_TIMEOUT_S, python=sys.executable)
    note = f"{done['entries']} entries; p99 over queries of one to seven words with no hit to all; wall time in the process"
    yield Figure("model.search", done["p99_ms"], "ms", 100.0, note=note)
    yield Figure("model.search.p50", done["p50_ms"], "ms")
    yield Figure("model.search.worst", done["worst_ms"], "ms", note=f"median of the slowest query: {done['worst']}")
    yield Figure("model.search.build", done["build_s"], "s", note="CPU; once a model version, at the first search")
    yield Figure("model.search.memory", done["memory_mb"], "MiB", note="of the index")
