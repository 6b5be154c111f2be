"""Our chain under load: outstations -> server -> viewer, each a process, and the proof that nothing was lost."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from workers import Worker, WorkerError

BENCH = Path(__file__).resolve().parent.parent
POINTS = 800
"""Measurands of a channel: 50 blocks of 16."""
SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run at one load.

    Attributes:
        values: sent, and all of them received.
        seconds: from the first one made to the last one shown to the viewer.
        sending_s: while the outstations made changes.
        cpu_us: CPU us a value of each leg, ``total`` and ``viewer`` (a process of its own, not in the total).
        age_ms: percentiles by name, from the outstation's stamp to the viewer.
        legs_ms: the same for ``wire`` (stamp to socket), ``rtdb`` (socket to commit), ``encoded`` (socket to frame) and
            ``served`` (socket to viewer).
        commits: commits a second.
        conflated: share of the changes that the viewer got merged into a later one.
        lost: sent changes that are not in the journal exactly once and in order, plus points that end with a wrong value.
    """

    values: int
    seconds: float
    sending_s: float
    cpu_us: dict[str, float]
    age_ms: dict[str, float]
    legs_ms: dict[str, dict[str, float]]
    commits: float
    conflated: float
    lost: int


class Chain:
    """The running processes.

    Args:
        folder: for databases and logs.
        channels: number of IEC 104 channels.
        blaster, server, viewer: the processes.
    """

    def __init__(self, channels: int, blaster: Worker, server: Worker, viewer: Worker, folder: Path) -> None:
        self._channels = channels
        self._blaster = blaster
        self._server = server
        self._viewer = viewer
        self._folder = folder

    def run(self, rate: float, seconds: float, most_values: int = 0) -> Run:
        """Load the chain.

        Args:
            rate: values/s over all channels; 0 = flat out.
            seconds: how long.
            most_values: end earlier after so many, flat out.
        """
        first, seen = self._server.ask("mark"), self._viewer.ask("report")
        viewer_cpu = self._viewer.cpu_s()
        most = {"most": max(1, most_values // 16 // self._channels)} if most_values else {}
        sent = self._blaster.ask("blast", seconds + SETTLE_S, rate=rate, seconds=seconds, **most)
        shown = self._settle(seen["rows"] + seen["conflated"] + sent["values"])
        last = self._server.ask("mark")
        viewer_cpu = self._viewer.cpu_s() - viewer_cpu
        values = sent["values"]
        cpu_us = {leg: (ns - first["cpu"][leg]) / 1e3 / values for leg, ns in last["cpu"].items()}
        cpu_us["viewer"] = viewer_cpu * 1e6 / values
        elapsed = last["at"] - first["at"]
        return Run(
            values=values,
            seconds=elapsed,
            sending_s=sent["seconds"],
            cpu_us=cpu_us,
            age_ms=shown["age"],
            legs_ms={"wire": shown["wire"], "rtdb": last["waits"], "encoded": shown["encoded"], "served": shown["served"]},
            commits=(last["commits"] - first["commits"]) / elapsed,
            conflated=(shown["conflated"] - seen["conflated"]) / values,
            lost=self._lost(values, first["head"], sent["made"]),
        )

    def _settle(self, expected: int) -> dict[str, Any]:
        """Wait until the viewer knows of every change; its report then."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            shown = self._viewer.ask("peek")
            if shown["rows"] + shown["conflated"] >= expected or time.monotonic() > deadline:
                return self._viewer.ask("report")
            time.sleep(0.01)

    def _lost(self, values: int, after: int, made: list[int]) -> int:
        blocks = POINTS // 16
        frames = np.array(made)[:, None] - 1 - np.arange(blocks)[None, :]
        rounds = np.repeat((frames // blocks + 1).clip(0).ravel(), 16)
        found = self._server.ask("lost", SETTLE_S, after=after, rounds=rounds.tolist())
        path = self._folder / "last.npy"
        self._viewer.ask("last", path=str(path))
        wrong_shown = int((np.load(path) != rounds).sum())
        missing = abs(values - found["journaled"])
        return int(missing + found["wrong_steps"] + found["wrong_last"] + wrong_shown)


@contextmanager
def chain(channels: int) -> Iterator[Chain]:
    """Start the three processes and wait until every channel is up and interrogated.

    Raises:
        WorkerError: one of them does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as made, ExitStack() as closing:
        folder = Path(made)
        blaster, ports = outstations(channels, folder, closing)
        joined = ",".join(str(port) for port in ports)
        server = closing.enter_context(worker("server", folder, folder=folder, ports=joined, points=POINTS))
        ready = server.answer(60)
        until(lambda: server.ask("up")["up"] == channels, "channels are not up")
        until(lambda: blaster.ask("started")["started"] == channels, "the interrogation does not end")
        time.sleep(0.5)  # what the interrogation brought is committed, filed and shown
        arguments = {"port": ready["port"], "control-port": ready["control_port"], "keys": ready["keys"]}
        viewer = closing.enter_context(worker("subscriber", folder, **arguments, points=POINTS * channels))
        viewer.answer(20)
        yield Chain(channels, blaster, server, viewer, folder)


def outstations(
    channels: int, folder: Path, closing: ExitStack, *, points: int = POINTS, values: int = 16, status: bool = False
) -> tuple[Worker, list[int]]:
    """Start the outstations; the process and the port of each."""
    made = worker("blaster", folder, channels=channels, points=points, k=12, values=values, status=int(status))
    blaster = closing.enter_context(made)
    ports: list[int] = blaster.answer(10)["ports"]
    return blaster, ports


def worker(module: str, logs: Path, **arguments: Any) -> Worker:
    """Start a module of this package as a process of its own."""
    command = [sys.executable, "-m", f"chain.{module}"]
    for name, value in arguments.items():
        command += [f"--{name}", str(value)]
    return Worker(module, command, logs / f"{module}.log", {"PYTHONPATH": str(BENCH)})


def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Wait for a condition.

    Raises:
        WorkerError: it does not come true in time.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise WorkerError(f"{what} within {timeout_s:g} s")
        time.sleep(0.05)
