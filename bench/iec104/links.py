"""Outstations -> front end -> committed: one link flat out, a fleet at its everyday pace, an avalanche of events."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from chain.ours import outstations, until, worker
from workers import Worker

SETTLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Shape:
    """What the outstations have and send.

    Attributes:
        links: outstations, each with a link of its own.
        points: of each.
        values: of an APDU.
        status: single points instead of short floats.
    """

    links: int
    points: int
    values: int
    status: bool = False


@dataclass(frozen=True, slots=True)
class Committed:
    """One run.

    Attributes:
        values: sent.
        seconds: from the first one made until all were committed.
        cpu_s: CPU of the server process, by leg and ``total``.
        wait_ms: percentiles from the socket to the commit.
        lost: values that the journal does not hold once and in order, and points with a wrong last value.
        disordered: records that are not in the order in which their outstation sent them.
    """

    values: int
    seconds: float
    cpu_s: dict[str, float]
    wait_ms: dict[str, float]
    lost: int
    disordered: int


class Links:
    """The running processes.

    Args:
        shape: of the outstations.
        blaster, server: the processes.
    """

    def __init__(self, shape: Shape, blaster: Worker, server: Worker) -> None:
        self._shape = shape
        self._blaster = blaster
        self._server = server

    def run(self, rate: float, seconds: float, most_values: int = 0) -> Committed:
        """Load the links; ``rate`` in values/s over all, 0 = flat out, then at most ``most_values``."""
        shape = self._shape
        first = self._server.ask("mark")
        more = {"most": max(1, most_values // shape.values // shape.links)} if most_values else {}
        began = time.perf_counter()
        sent = self._blaster.ask("blast", seconds + SETTLE_S, rate=rate, seconds=seconds, **more)
        last = self._settled(first["head"] + sent["values"])
        elapsed = time.perf_counter() - began
        cpu = {leg: (ns - first["cpu"][leg]) / 1e9 for leg, ns in last["cpu"].items()}
        blocks = shape.points // shape.values
        frames = np.array(sent["made"])[:, None] - 1 - np.arange(blocks)[None, :]
        rounds = np.repeat((frames // blocks + 1).clip(0).ravel(), shape.values)
        found = self._server.ask("lost", SETTLE_S, after=first["head"], rounds=rounds.tolist())
        order = self._server.ask("disordered", SETTLE_S, after=first["head"], points=shape.points)
        lost = abs(sent["values"] - found["journaled"]) + found["wrong_steps"] + found["wrong_last"]
        return Committed(sent["values"], elapsed, cpu, last["waits"], lost, order["disordered"])

    def _settled(self, head: int) -> dict[str, Any]:
        """Wait until everything is committed; the marks then, also if something never comes."""
        deadline = time.monotonic() + SETTLE_S
        while self._server.ask("head")["head"] < head and time.monotonic() < deadline:
            time.sleep(0.005)
        return self._server.ask("mark")


@contextmanager
def links(shape: Shape, *, front_end: bool = True) -> Iterator[Links]:
    """Start the processes and wait until every link is up and interrogated.

    Args:
        shape: of the outstations.
        front_end: front end and database alone; else the whole server.

    Raises:
        WorkerError: one of them does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="scada-bench-") as made, ExitStack() as closing:
        folder = Path(made)
        blaster, ports = outstations(shape.links, folder, closing, points=shape.points, values=shape.values, status=shape.status)
        arguments: dict[str, Any] = {
            "folder": folder,
            "ports": ",".join(map(str, ports)),
            "points": shape.points,
            "status": int(shape.status),
            "front-end": int(front_end),
        }
        server = closing.enter_context(worker("server", folder, **arguments))
        server.answer(120)
        until(lambda: server.ask("up", 60.0)["up"] == shape.links, "links are not up", 120.0)
        until(lambda: blaster.ask("started")["started"] == shape.links, "the interrogation does not end", 60.0)
        time.sleep(2.0)  # what the interrogation brought is committed
        yield Links(shape, blaster, server)
