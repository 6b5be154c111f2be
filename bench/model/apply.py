"""``model.apply``: a server with 100 000 points takes another version of its model again and again under 20 000 changes/s."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator

from figures import Figure
from workers import once

NAMES = ("model.apply", "model.apply.writer", "model.apply.rollback")
"""Head figures."""
_TIMEOUT_S = 600.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Swaps under load; no peer changes its model without a restart."""
    swaps, rate = (2, 5_000) if quick else (6, 20_000)
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        ours = once("model.apply_ours", folder, str(swaps), str(rate), timeout_s=_TIMEOUT_S, python=sys.executable)
    work = f"{ours['points']} points, {ours['rate']:.0f} changes/s from 20 stations, {swaps} swaps and as many rollbacks"
    if ours["late"]:
        work += "; THE LOAD ENDED BEFORE THE LAST SWAP"
    each = "each adds 100 points to one channel, gives 50 another address and removes 50"
    yield Figure("model.apply", ours["wrong"], "1", 0.0, note=f"values lost, doubled or out of order; {work}, {each}")
    yield Figure("model.apply.writer", ours["writer_ms"], "ms", 5.0, note="longest time in which no commit was possible")
    yield Figure(
        "model.apply.gap",
        ours["gap_ms"],
        "ms",
        note=f"longest time between two commits; without swaps {ours['gap_idle_ms']:.0f} ms",
    )
    yield Figure("model.apply.total", ours["total_s"], "s", note="of a swap, without preparation; longest")
    yield Figure("model.apply.prepare", ours["prepare_s"], "s", note="everything made aside, while values go on; longest")
    yield Figure("model.apply.rollback", ours["rollback_s"], "s", 1.0, note="back to the version kept in memory; longest")
    yield Figure("model.apply.reconnects", ours["reconnects"], "1", 0.0, note="connections that did not stay")
