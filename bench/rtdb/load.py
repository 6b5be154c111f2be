"""The work that every store of group ``rtdb`` is given: a million points, each change a new value, in batches of a thousand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

POINTS = 1_000_000
BATCH = 1_000
TICK_S = 0.02
MOST = 64
"""A commit comes after so long or so many batches, as the server does it (see :data:`scada.actors.rtdb.DRAIN`)."""

Pids = npt.NDArray[np.uint32]


def addresses(*, scattered: bool) -> Pids:
    """Points of each batch, one row a batch: runs of neighbours as one station sends them, or drawn from everywhere.

    Every point comes once in ``POINTS / BATCH`` rows, so that the values of one round differ from those of the round before.
    """
    pids = np.arange(POINTS, dtype=np.uint32)
    if scattered:
        np.random.default_rng(1).shuffle(pids)
    return pids.reshape(-1, BATCH)


@dataclass(frozen=True, slots=True)
class Run:
    """What one store did.

    Attributes:
        changes: number of changes made.
        seconds: wall time.
        cpu_s: CPU of all processes that took part.
        commits: number of commits.
        commit_p50_ms, commit_p99_ms: time a commit took.
    """

    changes: int
    seconds: float
    cpu_s: float
    commits: int
    commit_p50_ms: float
    commit_p99_ms: float

    @property
    def rate(self) -> float:
        """Changes a second."""
        return self.changes / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU a change, us."""
        return self.cpu_s / self.changes * 1e6

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def drive(
    apply: Callable[[int], None],
    commit: Callable[[], None],
    seconds: float,
    cpu: Callable[[], float] = time.process_time,
) -> Run:
    """Apply batches one after the other as fast as they go, with a commit for all that came within a tick.

    Args:
        apply: makes the changes of the batch with this number.
        commit: makes what was applied lasting.
        seconds: how long.
        cpu: CPU seconds used so far.
    """
    for number in range(3):  # not counted: first use of every part
        apply(number)
    commit()
    took: list[float] = []
    number, waiting = 3, 0
    cpu_began, began = cpu(), time.perf_counter()
    committed = began
    while committed - began < seconds:
        apply(number)
        number, waiting = number + 1, waiting + 1
        now = time.perf_counter()
        if waiting == MOST or now - committed >= TICK_S:
            commit()
            waiting = 0
            committed = time.perf_counter()
            took.append(committed - now)
    p50, p99 = np.percentile(took, [50, 99]) * 1e3
    return Run((number - 3) * BATCH, committed - began, cpu() - cpu_began, len(took), float(p50), float(p99))
