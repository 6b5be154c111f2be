"""The rows of group ``history``: noisy measurements of a day, the same ones for every store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

POINTS = 116
DAY_S = 86_400
T0 = 1_799_971_200_000_000_000
"""ns UTC, the beginning of a day."""
SECOND = 1_000_000_000
BLOCK_S = 10
"""Rows come in blocks of so many seconds, one row a point and second."""
ASKED = 20
"""Points asked for."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows in order of time; columns of equal length."""

    pid: npt.NDArray[np.uint32]
    time: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]


def blocks(seconds: int) -> Iterator[Block]:
    """The rows of so many seconds: four of five points walk in steps of hundredths, one of five is a float of 32 bits."""
    rng = np.random.default_rng(7)
    level = rng.uniform(50, 500, POINTS)
    for start in range(0, seconds, BLOCK_S):
        walk = level + np.cumsum(rng.normal(0, 0.2, (BLOCK_S, POINTS)), axis=0)
        level = walk[-1]
        odd = (np.arange(BLOCK_S) % 2)[:, None]  # every row is a change
        value = (np.rint(walk * 50) * 2 + odd) / 100
        frequency = np.rint(rng.normal(0, 40, (BLOCK_S, len(range(0, POINTS, 5))))) * 2 + odd
        value[:, ::5] = 50 + frequency / 8192  # exact in 32 bits
        stamp = T0 + (start + np.arange(BLOCK_S))[:, None] * SECOND + rng.integers(0, 200, (BLOCK_S, POINTS)) * 1_000_000
        stamp = np.sort(stamp, axis=1)  # in order of arrival
        pid = np.tile(np.arange(POINTS, dtype=np.uint32), BLOCK_S)
        yield Block(pid, stamp.ravel(), value.ravel())


@dataclass(slots=True)
class Watch:
    """Adds up the time of the store alone, without that of making the rows."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    longest_s: dict[str, float] = field(default_factory=dict)

    def run(self, what: str, work: Callable[[], object], cpu: Callable[[], float] = time.process_time) -> None:
        """Do some of the work."""
        wall, used = time.perf_counter(), cpu()
        work()
        took = time.perf_counter() - wall
        self.wall_s += took
        self.cpu_s += cpu() - used
        self.longest_s[what] = max(self.longest_s.get(what, 0.0), took)


def asked(query: Callable[[int], int], expected: int) -> dict[str, float]:
    """Milliseconds of a query for one point, of several points: median and longest, the first one not counted.

    Raises:
        RuntimeError: an answer has not the rows it should have.
    """
    took = []
    for pid in np.random.default_rng(3).choice(POINTS, ASKED + 1, replace=False).tolist():
        began = time.perf_counter()
        rows = query(pid)
        took.append((time.perf_counter() - began) * 1e3)
        if rows != expected:
            raise RuntimeError(f"point {pid} has {rows} rows instead of {expected}")
    took = sorted(took[1:])
    return {"p50": took[len(took) // 2], "max": took[-1]}
