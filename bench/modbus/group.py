"""Group ``modbus``: fifty devices scanned ten times a second, beside the bare client of the library at the same pace."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from figures import Figure
from workers import BENCH, Worker, once

NAMES = ("modbus.scan", "modbus.scan.requests")
"""Head figures."""
DEVICES, SCAN_S = 50, 0.1


def measure(*, quick: bool) -> Iterator[Figure]:
    """Both clients in turn against the same devices."""
    seconds = 2.0 if quick else 10.0
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as folder:
        command = [sys.executable, "-m", "modbus.devices", "serve", "--devices", str(DEVICES)]
        with Worker("devices", command, Path(folder) / "devices.log", {"PYTHONPATH": str(BENCH)}) as devices:
            ports = ",".join(map(str, devices.answer(30)["ports"]))
            arguments = ("--ports", ports, "--scan", str(SCAN_S), "--seconds", str(seconds))
            ours, plain = (once("modbus.devices", what, *arguments, timeout_s=120) for what in ("ours", "plain"))
    work = f"{DEVICES} devices of 250 registers, two requests each every {SCAN_S:g} s"
    yield Figure(
        "modbus.scan",
        ours["us"],
        "us",
        beside={"pymodbus": plain["us"]},
        note=f"CPU a request of 125 registers; {work}; ours: planned, decoded and delivered; the peer throws them away",
    )
    yield Figure("modbus.scan.requests", ours["requests"], "1/s", at_least=True, beside={"pymodbus": plain["requests"]})
