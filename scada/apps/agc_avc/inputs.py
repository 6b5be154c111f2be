"""Measurements as AGC and AVC see them: only what may be acted on exists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from scada.core.quality import HELD_MASK, is_good
from scada.rtdb.changes import Snapshot


class Measurements:
    """Values of one cycle by point id. What is bad, missing or not a number reads as None and so can never become an output.

    A value that an operator substituted or blocked counts as good, and the controllers say that they rest on it.

    Args:
        snapshot: the points a controller names in its ``pids`` (or more), as of one sequence number.
        forbidden: controls that a tag forbids, cid -> which tag; the controllers leave these alone.
    """

    __slots__ = ("_forbidden", "_held", "_pid", "_usable", "_values")

    def __init__(self, snapshot: Snapshot, forbidden: Mapping[int, str] | None = None) -> None:
        self._forbidden = forbidden or {}
        order = None if (snapshot.pid[1:] > snapshot.pid[:-1]).all() else np.argsort(snapshot.pid, kind="stable")
        pid, value, quality = snapshot.pid, snapshot.value, snapshot.quality
        if order is not None:
            pid, value, quality = pid[order], value[order], quality[order]
        self._pid = pid
        self._held: npt.NDArray[np.bool_] = (quality & np.uint32(HELD_MASK)) != 0
        self._usable = np.where(np.isfinite(value) & is_good(quality), value, np.nan)
        self._values: dict[int, float] | None = None

    # ------------------------------------------------------------ many points at once

    @property
    def pids(self) -> npt.NDArray[np.uint32]:
        """The points that were read, ascending."""
        return self._pid

    def places(self, pids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where points stand in :attr:`pids`; -1 for a point that is not there. Good as long as :attr:`pids` is the same."""
        if not len(self._pid):
            return np.full(len(pids), -1, np.int64)
        found = np.minimum(np.searchsorted(self._pid, pids), len(self._pid) - 1)
        return np.where(self._pid[found] == pids, found, -1)

    def at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Values at places; NaN for what is absent or must not be acted on."""
        return np.where(places >= 0, self._usable[places], np.nan) if len(self._pid) else np.full(len(places), np.nan)

    def held_at(self, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which of the points at places an operator substituted or blocked."""
        return (places >= 0) & self._held[places] if len(self._pid) else np.zeros(len(places), np.bool_)

    @property
    def any_held(self) -> bool:
        """True if an operator holds any of the points."""
        return bool(self._held.any())

    @property
    def tags(self) -> Mapping[int, str]:
        """Controls that a tag forbids, cid -> which tag."""
        return self._forbidden

    # ------------------------------------------------------------ one point

    def read(self, pid: int | None) -> float | None:
        """Value of a point, or None if it is absent or must not be acted on."""
        if pid is None:
            return None
        if self._values is None:
            known = ~np.isnan(self._usable)
            self._values = dict(zip(self._pid[known].tolist(), self._usable[known].tolist(), strict=True))
        return self._values.get(int(pid))

    def first_good(self, pids: Iterable[int]) -> float | None:
        """Value of the first usable source, in order of priority."""
        return next((value for pid in pids if (value := self.read(pid)) is not None), None)

    def forbidden(self, cid: int) -> str:
        """Which tag forbids a control; empty if none does."""
        text = self._forbidden.get(cid, "")
        return f"tagged: {text}" if text else ""

    def is_held(self, pid: int | None) -> bool:
        """True if an operator substituted or blocked the point."""
        if pid is None:
            return False
        place = int(np.searchsorted(self._pid, int(pid)))
        return place < len(self._pid) and int(self._pid[place]) == int(pid) and bool(self._held[place])

    def rests_on_held(self, pids: Iterable[int]) -> bool:
        """True if the source that :meth:`first_good` takes is one that an operator holds."""
        return self.is_held(next((pid for pid in pids if self.read(pid) is not None), None))


def and_substituted(reason: str, names: str) -> str:
    """A reason, and what it rests on that operators entered."""
    return "; ".join(text for text in (reason, f"substituted: {names}" if names else "") if text)
