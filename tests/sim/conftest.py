"""Shared data, where it is present, and a running simulator."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
GRID = REPO / "examples" / "demo-grid"
CHANNELS = 8


@pytest.fixture(scope="session")
def golden():
    """Published cases with their answers."""
    path = REPO.parent / "shared" / "data" / "profiles" / "golden_cases.json"
    if not path.exists():
        pytest.skip("golden_cases.json is not here")
    return json.loads(path.read_text())


@pytest.fixture(scope="session")
def demo_model():
    """Model and tables of the demo grid."""
    from scada.model_cim.points import load_model

    return load_model(GRID)[:2]


def free_ports(count: int) -> int:
    """First of ``count`` neighbouring free ports."""
    for base in range(21000 + os.getpid() % 500 * 16, 60000, 16):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(base, base + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return base
    raise RuntimeError("no free ports")


class RunningSim:
    """A ``scada sim`` of its own."""

    def __init__(self, *options: str) -> None:
        self.base = free_ports(CHANNELS + 1)
        self.admin = self.base + CHANNELS
        command = [sys.executable, "-m", "scada", "sim", "--model", str(GRID), "--base-port", str(self.base)]
        self.process = subprocess.Popen(
            [*command, "--admin", str(self.admin), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=REPO,
        )
        self.lines: list[str] = []
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if "plant is running" in line:
                return
        self.process.wait()

    def client(self):
        """An admin client."""
        from scada.sim.admin import SimClient

        return SimClient(self.admin)

    def child_pids(self) -> list[int]:
        """Process ids of the outstations."""
        with self.client() as client:
            return [channel["pid"] for channel in client.status()["channels"].values()]

    def stop(self) -> str:
        """End it; returns what it said."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=10)[0]
        return "\n".join(self.lines) + (rest or "")


@pytest.fixture(scope="module")
def sim():
    """A simulator on the demo grid that runs five times as fast as time."""
    running = RunningSim("--rate", "5")
    assert running.process.poll() is None, running.lines
    yield running
    running.stop()


def until(condition, seconds: float = 10.0):
    """Wait for a condition of other processes; returns its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


@pytest.fixture(scope="session")
def wait_until():
    """Wait for a condition."""
    return until


@pytest.fixture(scope="session")
def start_sim():
    """Starts simulators."""
    return RunningSim
