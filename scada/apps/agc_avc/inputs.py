"""Measurements as AGC and AVC see them: only what may be acted on exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from scada.core.quality import HELD_MASK, is_good
from scada.rtdb.changes import Snapshot


class Measurements:
    """Values of one cycle by point id. What is bad, missing or not a number reads as None and so can never become an output.

    A value that an operator substituted or blocked counts as good, and the controllers say that they rest on it.

    Args:
        snapshot: the points a controller names in its ``pids`` (or more), as of one sequence number.
        forbidden: controls that a tag forbids, cid -> which tag; the controllers leave these alone.
    """

    __slots__ = ("_forbidden", "_held", "_values")

    def __init__(self, snapshot: Snapshot, forbidden: Mapping[int, str] | None = None) -> None:
        self._forbidden = forbidden or {}
        self._held = frozenset(snapshot.pid[(snapshot.quality & np.uint32(HELD_MASK)) != 0].tolist())
        usable = np.isfinite(snapshot.value) & is_good(snapshot.quality)
        self._values: dict[int, float] = dict(zip(snapshot.pid[usable].tolist(), snapshot.value[usable].tolist(), strict=True))

    def read(self, pid: int | None) -> float | None:
        """Value of a point, or None if it is absent or must not be acted on."""
        return None if pid is None else self._values.get(int(pid))

    def first_good(self, pids: Iterable[int]) -> float | None:
        """Value of the first usable source, in order of priority."""
        return next((value for pid in pids if (value := self.read(pid)) is not None), None)

    def forbidden(self, cid: int) -> str:
        """Which tag forbids a control; empty if none does."""
        text = self._forbidden.get(cid, "")
        return f"tagged: {text}" if text else ""

    def is_held(self, pid: int | None) -> bool:
        """True if an operator substituted or blocked the point."""
        return pid is not None and int(pid) in self._held

    def rests_on_held(self, pids: Iterable[int]) -> bool:
        """True if the source that :meth:`first_good` takes is one that an operator holds."""
        return self.is_held(next((pid for pid in pids if self.read(pid) is not None), None))


def and_substituted(reason: str, names: str) -> str:
    """A reason, and what it rests on that operators entered."""
    return "; ".join(text for text in (reason, f"substituted: {names}" if names else "") if text)
