"""Group ``opcua``: ten thousand items followed by subscription, beside the bare client of the library."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from workers import BENCH, Worker, once

NAMES = ("opcua.items", "opcua.items.up")
"""Head figures."""
ITEMS, RATE = 10_000, 2000.0


def measure(*, quick: bool) -> Iterator[Figure]:
    """Both clients in turn against the same server."""
    items = ITEMS // 10 if quick else ITEMS
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        command = [sys.executable, "-m", "opcua.items", "serve", "--items", str(items), "--rate", str(RATE)]
        with Worker("server", command, Path(folder) / "server.log", {"PYTHONPATH": str(BENCH)}) as server:
            there = server.answer(120)
            arguments = ["--items", str(items), "--port", str(there["port"]), "--namespace", str(there["namespace"])]
            arguments += ["--seconds", "3" if quick else "10"]
            ours, plain = (once("opcua.items", what, *arguments, timeout_s=180) for what in ("ours", "plain"))
    note = f"CPU a notified value, {items} items, {RATE:g} changes/s; ours {ours['values']:.0f}/s, peer {plain['values']:.0f}/s"
    yield Figure("opcua.items", ours["us"], "us", beside={"asyncua": plain["us"]}, note=note)
    yield Figure("opcua.items.up", ours["up_s"], "s", beside={"asyncua": plain["up_s"]}, note="until every item is subscribed")
