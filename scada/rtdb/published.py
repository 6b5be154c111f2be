"""The image that readers see: brought from commit to commit by the writer, copied by readers in any thread."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt

from scada.core.clock import Clock
from scada.rtdb.changes import Snapshot
from scada.rtdb.holds import behind
from scada.rtdb.image import Holds, Image
from scada.rtdb.pending import Step
from scada.rtdb.shared import SharedImage

Pids = npt.NDArray[np.uint32]


class Published:
    """The state as of the last commit.

    The writer never waits: while a reader copies, steps collect in a backlog, which whoever comes next takes.

    Args:
        folder: of the database; other processes find the image from there.
        clock: says how long ago the writer was last heard of.
        image: the state to start from; copied.
        holds: its held points.
        seq: sequence number it stands for.
    """

    def __init__(self, folder: Path, clock: Clock, image: Image, holds: Holds, seq: int) -> None:
        self._shared = SharedImage(folder, image, seq, boot=SharedImage.new_boot(), floor=seq)
        self._holds, self._seq, self._clock = holds, seq, clock
        self._backlog: deque[Step] = deque()
        self._lock = Lock()

    def show(self, step: Step) -> None:
        """Take a step; it is seen at once, or by the next snapshot if one is being taken."""
        if step:
            self._backlog.append(step)
        self._shared.beat(self._clock.monotonic())
        if self._backlog and self._lock.acquire(blocking=False):
            try:
                self._drain()
            finally:
                self._lock.release()

    @property
    def held(self) -> Pids:
        """Points that are held."""
        with self._lock:
            self._drain()
            return self._holds.pids

    def reserved(self, capacity: int) -> SharedImage:
        """Memory for more points, for :meth:`grow`; from any thread."""
        return self._shared.reserved(capacity)

    def grow(self, larger: SharedImage) -> SharedImage:
        """Show the state in the larger memory from now on; returns the other one, which nobody uses any more."""
        with self._lock:
            self._drain()
            larger.succeed(self._shared)
            before, self._shared = self._shared, larger
        return before

    def number_from(self, seq: int) -> None:
        """Stand for another number, before anything was read."""
        self._seq = seq
        self._shared.number_from(seq)

    def close(self) -> None:
        """Let no other process take the image for that of a running server any more."""
        with self._lock:
            self._drain()
            self._shared.close()

    @property
    def not_shared(self) -> str:
        """Why other processes cannot read the image, empty if they can."""
        return self._shared.fault

    def snapshot(self, pids: Pids | None) -> Snapshot:
        """All points or the asked ones as of one sequence number; unknown ones as never received."""
        with self._lock:
            self._drain()
            pids, copy = self._copy(pids)
            return _snapshot(self._seq, pids, copy)

    def behind(self, pids: Pids | None) -> Snapshot:
        """The same, with what their sources say of the held points."""
        with self._lock:
            self._drain()
            pids, copy = self._copy(pids)
            return _snapshot(self._seq, pids, behind(self._holds, copy, pids))

    def _copy(self, pids: Pids | None) -> tuple[Pids, Image]:
        image = self._shared.image
        if pids is None:
            return np.arange(image.capacity, dtype=np.uint32), image.copied()
        pids = np.asarray(pids, dtype=np.uint32)
        return pids, image.picked_known(pids)

    def _drain(self) -> None:
        """Bring the image up to the last commit; the caller holds the lock."""
        while self._backlog:
            step = self._backlog.popleft()
            if step.change is not None:
                self._shared.publish(step.change)
                self._seq = step.change.last
            step.confirm(self._shared.image)
            if step.holds is not None:
                self._holds = step.holds


def _snapshot(seq: int, pids: Pids, copy: Image) -> Snapshot:
    return Snapshot(seq, pids, copy.value, copy.quality, copy.source_time, copy.received_at)
