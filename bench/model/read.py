"""``model.read``: a large model read and checked, CPU and memory, beside pypowsybl and pandapower reading it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from figures import Figure
from model.data import REAL_GRID
from model.peer import READERS
from peers import PeerError, environment
from workers import WorkerError, once

NAMES = ("model.read", "model.read.memory")
"""Head figures; further parts: the steps of the work."""
_TIMEOUT_S = 300.0
_ABSENT = "no public CIM models beside the repository"


def measure(*, quick: bool) -> Iterator[Figure]:
    """Ours and the peers in turn, a process each; the best of three (quick: one)."""
    if not REAL_GRID.is_file():
        yield from (Figure(name, None, "s" if name == "model.read" else "MiB", note=_ABSENT) for name in NAMES)
        return
    runs = 1 if quick else 3
    ours = _best(runs, sys.executable, "model.ours")
    peers, notes = _peers(runs)
    work = f"RealGrid, {ours['objects']} objects, {ours['findings']} findings; peers read only"
    cpu, memory = ({name: answer and answer[key] for name, answer in peers.items()} for key in ("cpu_s", "peak_mb"))
    yield Figure(
        "model.read", ours["cpu_s"], "s", 4.0, beside=cpu, note="; ".join(["CPU of the process from import to end", work, *notes])
    )
    yield Figure("model.read.memory", ours["peak_mb"], "MiB", 250.0, beside=memory, note="largest resident memory of the process")
    yield Figure("model.read.parse", ours["read_s"], "s", note="CPU of reading alone")
    yield Figure("model.read.check", ours["check_s"], "s", note="CPU of every rule, tables not counted")
    yield Figure("model.read.edited", ours["edited_s"] * 1e3, "ms", note="CPU of making the model with 200 statements changed")


def _peers(runs: int) -> tuple[dict[str, dict[str, Any] | None], list[str]]:
    """What each peer answered, and why one was not measured."""
    answers: dict[str, dict[str, Any] | None] = {}
    notes = []
    for name in READERS:
        try:
            answers[name] = _best(runs, str(environment(name) / "python"), "model.peer", name)
        except (PeerError, WorkerError) as error:
            answers[name] = None
            notes.append(str(error))
    return answers, notes


def _best(runs: int, python: str, module: str, *who: str) -> dict[str, Any]:
    answers = [once(module, *who, str(REAL_GRID), timeout_s=_TIMEOUT_S, python=python) for _ in range(runs)]
    return min(answers, key=lambda answer: float(answer["cpu_s"]))
