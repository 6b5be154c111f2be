"""Value and quality columns of every point, kept current by one follower of the database."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.rtdb.changes import ChangeSet, Snapshot

I8 = npt.NDArray[np.int64]


class Mirror:
    """A private copy of the image for one actor.

    Attributes:
        seq: sequence number the columns stand at.
        value: float64 by pid, NaN where none came yet.
        quality: quality words by pid.
        time: ns UTC of the value by pid: its source's, or when it was received if the source gave none that holds; 0 = none.
    """

    def __init__(self, size: int) -> None:
        self.seq = 0
        self.value = np.full(size, np.nan)
        self.quality = np.full(size, int(Quality.NEVER_RECEIVED), dtype=np.uint32)
        self.time = np.zeros(size, dtype=np.int64)

    def load(self, snapshot: Snapshot) -> None:
        """Start from a snapshot."""
        self.seq = snapshot.seq
        self._reach(snapshot.pid)
        self.value[snapshot.pid] = snapshot.value
        self.quality[snapshot.pid] = snapshot.quality
        self.time[snapshot.pid] = _times(snapshot.source_time, snapshot.received_at, snapshot.quality)

    def follow(self, changes: ChangeSet) -> npt.NDArray[np.uint32]:
        """Take a change set; returns the pids it changed (those already in the snapshot left out), repeats included.

        What a source sent for a point that an operator holds, and late values, change nothing here.
        """
        if changes.last <= self.seq:
            return np.empty(0, dtype=np.uint32)
        records, received_at = changes.shown(after=self.seq)
        pids = records["pid"]
        self._reach(pids)
        self.value[pids] = records["value"]
        self.quality[pids] = records["quality"]
        sent = records["flags"] & RecordFlag.QUALITY_SET == 0  # the others say nothing new of the value
        times = _times(records["source_time"], received_at, records["quality"])
        self.time[pids[sent]] = times[sent]
        self.seq = changes.last
        return np.asarray(pids, dtype=np.uint32)

    def _reach(self, pids: npt.NDArray[np.uint32]) -> None:
        """Have room for points that a changed model added."""
        size = int(pids.max(initial=0)) + 1
        if size > len(self.value):
            self.grow(size)

    def grow(self, size: int) -> None:
        """Have room for so many points."""
        more = max(size - len(self.value), 0)
        self.value = np.concatenate([self.value, np.full(more, np.nan)])
        self.quality = np.concatenate([self.quality, np.full(more, int(Quality.NEVER_RECEIVED), dtype=np.uint32)])
        self.time = np.concatenate([self.time, np.zeros(more, dtype=np.int64)])


def _times(source: I8, received: I8, quality: npt.NDArray[np.uint32]) -> I8:
    invalid = (source == 0) | (quality & np.uint32(Quality.TIME_INVALID) != 0)
    return np.where(invalid, received, source)
