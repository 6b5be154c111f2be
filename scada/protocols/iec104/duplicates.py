"""Events that a station sends again because their acknowledgement was lost with a connection: they count once.

A station keeps what was not acknowledged and sends it again, in its order, on the next connection. What we had received of it is
found here again by point, source time, value and quality. Values without a time are left alone: they are measured values and
states, where once more is no harm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import RecordFlag, Records

WINDOW_S: Final = 5.0
"""So long after the first event on another connection, events may be repeated ones; a station sends those first."""

_NOT_YET: Final = float("inf")

_Event = tuple[int, int, int]
"""Source time, value (its bits, so that no-number equals itself) and quality."""


class DuplicateFilter:
    """Remembers the last events, and compares with them for a while after a switch.

    Args:
        limit: events remembered; more than a station may have on its way unacknowledged (k APDUs).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._memory: deque[Records] = deque()
        self._size = 0
        self._before: dict[int, list[_Event]] = {}
        self._until = _NOT_YET

    def switched(self) -> None:
        """Data transfer has begun on another connection: compare from now on."""
        self._until = _NOT_YET
        self._before = {}
        for records in self._memory:
            for pid, event in _events(records[_tagged(records)]):
                self._before.setdefault(pid, []).append(event)

    def fresh(self, records: Records, mono: float) -> npt.NDArray[np.bool_] | None:
        """Which of some records are not repeated ones, None = all of them; those are remembered.

        The repetition of a point's events keeps their order, so each remembered event is used up once, and with it those before
        it: a chattering contact that comes back to the same state in the same millisecond is no duplicate.
        """
        if not self._before:
            self._remember(records)  # as it came: nearly all reads pass here
            return None
        tagged = _tagged(records)
        if tagged.any():
            self._until = min(self._until, mono + WINDOW_S)
        if mono >= self._until:
            self._before = {}
            self._remember(records)
            return None
        fresh = np.ones(len(records), dtype=np.bool_)
        rows = np.flatnonzero(tagged)
        for row, (pid, event) in zip(rows.tolist(), _events(records[rows]), strict=True):
            known = self._before.get(pid, ())
            if event in known:
                del self._before[pid][: known.index(event) + 1]
                fresh[row] = False
        self._remember(records[fresh])
        return fresh

    def _remember(self, records: Records) -> None:
        self._memory.append(records[-self._limit :])
        self._size += len(self._memory[-1])
        while self._size - len(self._memory[0]) >= self._limit:
            self._size -= len(self._memory.popleft())


def _tagged(records: Records) -> npt.NDArray[np.bool_]:
    """Those with a time of their own that answer nothing: events, and measured values with time."""
    tagged: npt.NDArray[np.bool_] = (records["source_time"] != 0) & ((records["flags"] & RecordFlag.REFRESH) == 0)
    return tagged


def _events(records: Records) -> Iterator[tuple[int, _Event]]:
    values = np.ascontiguousarray(records["value"]).view(np.int64)
    columns = (records["source_time"].tolist(), values.tolist(), records["quality"].tolist())
    return zip(records["pid"].tolist(), zip(*columns, strict=True), strict=True)
