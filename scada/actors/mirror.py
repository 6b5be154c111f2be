"""Value and quality columns of every point, kept current by one follower of the database."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scada.core.quality import Quality
from scada.rtdb.changes import ChangeSet, Snapshot


class Mirror:
    """A private copy of the image for one actor.

    Attributes:
        seq: sequence number the columns stand at.
        value: float64 by pid, NaN where none came yet.
        quality: quality words by pid.
    """

    def __init__(self, size: int) -> None:
        self.seq = 0
        self.value = np.full(size, np.nan)
        self.quality = np.full(size, int(Quality.NEVER_RECEIVED), dtype=np.uint32)

    def load(self, snapshot: Snapshot) -> None:
        """Start from a snapshot."""
        self.seq = snapshot.seq
        self.value[snapshot.pid] = snapshot.value
        self.quality[snapshot.pid] = snapshot.quality

    def follow(self, changes: ChangeSet) -> npt.NDArray[np.uint32]:
        """Take a change set; returns the pids it changed (those already in the snapshot left out), repeats included.

        What a source sent for a point that an operator holds, and late values, change nothing here.
        """
        if changes.last <= self.seq:
            return np.empty(0, dtype=np.uint32)
        records, _ = changes.shown(after=self.seq)
        pids = records["pid"]
        self.value[pids] = records["value"]
        self.quality[pids] = records["quality"]
        self.seq = changes.last
        return np.asarray(pids, dtype=np.uint32)
