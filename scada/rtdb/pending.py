"""Changes between two commits: already in the writer's image, not yet numbered for good, seen by nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.batch import PointBatch
from scada.rtdb.changes import ChangeSet
from scada.rtdb.image import Image, Room, apply_quality, apply_records, replay_changes

Pids = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Step:
    """What a commit adds to the image that readers copy: changes, and new times of values that were only confirmed."""

    change: ChangeSet | None
    confirmed: Pids
    source_time: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]

    def __bool__(self) -> bool:
        return self.change is not None or len(self.confirmed) > 0

    @property
    def pids(self) -> Pids:
        """Points concerned."""
        return self.confirmed if self.change is None else np.append(self.confirmed, self.change.records["pid"])

    def replay(self, image: Image) -> None:
        """Bring an image from the commit before to this one."""
        if self.change is not None:
            replay_changes(image, self.change.records, self.change.received_at, self.change.first)
        image.source_time[self.confirmed] = self.source_time
        image.received_at[self.confirmed] = self.received_at


class Pending:
    """Collects what kernels find, in order, until it is taken.

    Attributes:
        changes: number of changes collected.
        unknown: records refused so far because their pid was not in the image; ``unknown_pid`` is the last such pid.
    """

    def __init__(self) -> None:
        self.changes = self.unknown = self.unknown_pid = 0
        self._touches = 0
        self._room = Room.empty(1024)
        self._touched = np.empty(1024, dtype=np.uint32)

    def apply(self, image: Image, batch: PointBatch, head: int, event_pids: npt.NDArray[np.bool_]) -> int:
        """Write a batch into the image; returns the number of changes. ``head`` is the last committed number."""
        self._make_room(len(batch))
        changes, touches, unknown, pid = apply_records(
            image,
            batch.records,
            batch.received_at,
            head + 1 + self.changes,
            event_pids,
            self._room.after(self.changes),
            self._touched[self._touches :],
        )
        self._touches += touches
        return self._collected(changes, unknown, pid)

    def set_quality(self, image: Image, pids: Pids, set_bits: int, clear_bits: int, received_at: int, head: int) -> int:
        """Set and clear quality bits in the image; returns the number of changes."""
        self._make_room(len(pids))
        room = self._room.after(self.changes)
        return self._collected(*apply_quality(image, pids, set_bits, clear_bits, received_at, head + 1 + self.changes, room))

    def take(self, image: Image, head: int, now_ns: int) -> Step:
        """Everything collected, as the step after ``head``; the collection is empty then."""
        change = None
        if self.changes:
            records, received_at = self._room.records[: self.changes].copy(), self._room.received_at[: self.changes].copy()
            records.flags.writeable = received_at.flags.writeable = False
            change = ChangeSet(head + 1, records, received_at, now_ns)
        confirmed = self._touched[: self._touches].copy()
        self.changes = self._touches = 0
        return Step(change, confirmed, image.source_time[confirmed], image.received_at[confirmed])

    def _collected(self, changes: int, unknown: int, pid: int) -> int:
        self.changes += changes
        if unknown:
            self.unknown += unknown
            self.unknown_pid = pid
        return int(changes)

    def _make_room(self, length: int) -> None:
        if self.changes + length > len(self._room.records):
            room = Room.empty(2 * (self.changes + length))
            room.records[: self.changes] = self._room.records[: self.changes]
            room.received_at[: self.changes] = self._room.received_at[: self.changes]
            self._room = room
        if self._touches + length > len(self._touched):
            touched = np.empty(2 * (self._touches + length), dtype=np.uint32)
            touched[: self._touches] = self._touched[: self._touches]
            self._touched = touched
