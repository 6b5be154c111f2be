"""Measurements as AGC and AVC see them: only what may be acted on exists."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from scada.core.quality import is_good
from scada.rtdb.changes import Snapshot


class Measurements:
    """Values of one cycle by point id. What is bad, missing or not a number reads as None and so can never become an output.

    Args:
        snapshot: the points a controller names in its ``pids`` (or more), as of one sequence number.
    """

    __slots__ = ("_values",)

    def __init__(self, snapshot: Snapshot) -> None:
        usable = np.isfinite(snapshot.value) & is_good(snapshot.quality)
        self._values: dict[int, float] = dict(zip(snapshot.pid[usable].tolist(), snapshot.value[usable].tolist(), strict=True))

    def read(self, pid: int | None) -> float | None:
        """Value of a point, or None if it is absent or must not be acted on."""
        return None if pid is None else self._values.get(int(pid))

    def first_good(self, pids: Iterable[int]) -> float | None:
        """Value of the first usable source, in order of priority."""
        return next((value for pid in pids if (value := self.read(pid)) is not None), None)
