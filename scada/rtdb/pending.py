"""Changes between two commits: already in the writer's image, not yet numbered for good, seen by nobody."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.batch import NO_CHANNEL, PointBatch, Records
from scada.rtdb.changes import ChangeSet
from scada.rtdb.holds import copied
from scada.rtdb.image import Holds, Image, Room
from scada.rtdb.kernels import apply_quality, apply_records, mark_pages, replay_changes

Pids = npt.NDArray[np.uint32]

_NO_HOLDS = Holds.none()
_NO_RECORDS = Room.empty(0).records
_SMALL = 1024
_KEPT = 1 << 20
"""Changes for which memory is kept, 40 bytes each."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a commit adds to the image that readers copy: changes, and new times of values that were only confirmed."""

    change: ChangeSet | None
    confirmed: Pids
    source_time: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]
    holds: Holds | None
    """The held points and their shadows, if anything about them is new."""

    def __bool__(self) -> bool:
        return self.change is not None or len(self.confirmed) > 0 or self.holds is not None

    def mark(self, dirty: npt.NDArray[np.bool_], page_points: int) -> None:
        """Mark the pages of the points concerned."""
        mark_pages(dirty, page_points, _NO_RECORDS if self.change is None else self.change.records, self.confirmed)

    def confirm(self, image: Image) -> None:
        """Write the new times of the confirmed values into an image that has the changes."""
        image.source_time[self.confirmed] = self.source_time
        image.received_at[self.confirmed] = self.received_at


class _Memory:
    """Memory of large change sets, used again when nobody holds them any more.

    Fresh memory is mapped page by page as it is first written, which costs more than all the rest of a commit.

    Why it is safe: an array is seen only through references to it, and whatever shows part of it (slice, column, view of a view,
    memory view, iterator) holds one. If ours are the only ones nobody sees it, and nobody can come to: a new reference is made
    from another. The counts are exact because one thread at a time runs Python (the GIL).
    """

    def __init__(self) -> None:
        self._rooms: list[Room] = []

    def copy(self, room: Room, count: int) -> Room:
        """A read-only copy of the first rows."""
        if count <= _SMALL:
            copy = Room(room.records[:count].copy(), room.received_at[:count].copy())
        else:
            into = self._room(count)
            copy = Room(into.records[:count], into.received_at[:count])
            copy.records.view(np.uint64)[:] = room.records[:count].view(np.uint64)  # numpy copies records field by field
            copy.received_at[:] = room.received_at[:count]
        for column in copy:
            column.flags.writeable = False
        return copy

    def _room(self, count: int) -> Room:
        length = 1 << (count - 1).bit_length()
        for room in self._rooms:
            # a view of an array counts as a reference to it: two are those of the room and of the question
            if len(room.records) == length and sys.getrefcount(room.records) == sys.getrefcount(room.received_at) == 2:
                return room
        room = Room.empty(length)
        self._rooms.append(room)
        while sum(len(kept.records) for kept in self._rooms) > _KEPT:
            self._rooms.pop(0)  # whoever still holds it keeps it
        return room


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
        self._memory = _Memory()
        self._touched = np.empty(1024, dtype=np.uint32)
        self._held = 0

    def apply(self, image: Image, holds: Holds, batch: PointBatch, head: int, event_pids: npt.NDArray[np.bool_]) -> int:
        """Write a batch into the image; returns the number of changes. ``head`` is the last committed number."""
        self._make_room(len(batch))
        changes, self._touches, held, unknown, pid = apply_records(
            image,
            holds,
            batch.records,
            batch.received_at,
            head + 1 + self.changes,
            event_pids,
            self._room,
            self.changes,
            self._touched,
            self._touches,
        )
        return self._collected(changes, held, unknown, pid)

    def set_quality(
        self,
        image: Image,
        holds: Holds,
        pids: Pids,
        set_bits: int,
        clear_bits: int,
        received_at: int,
        head: int,
        channel: int = NO_CHANNEL,
    ) -> int:
        """Set and clear quality bits in the image; returns the number of changes. ``channel`` is that of their records."""
        self._make_room(len(pids))
        room = self._room.after(self.changes)
        seq = head + 1 + self.changes
        return self._collected(*apply_quality(image, holds, pids, set_bits, clear_bits, received_at, seq, room, channel))

    def act(self, image: Image, record: Records, received_at: int, head: int) -> None:
        """Write what an operator did (one record of :mod:`scada.rtdb.holds`) into the image."""
        self._make_room(1)
        room = self._room.after(self.changes)
        room.records[:1], room.received_at[0] = record, received_at
        replay_changes(image, _NO_HOLDS, room.records[:1], room.received_at[:1], head + 1 + self.changes)
        self._collected(1, 1, 0, 0)

    def take(self, image: Image, holds: Holds, head: int, now_ns: int) -> Step:
        """Everything collected, as the step after ``head``; the collection is empty then."""
        change = None
        if self.changes:
            records, received_at = self._memory.copy(self._room, self.changes)
            change = ChangeSet(head + 1, records, received_at, now_ns)
        confirmed = self._touched[: self._touches].copy()
        moved = copied(holds) if self._held else None
        self.changes = self._touches = self._held = 0
        return Step(change, confirmed, image.source_time[confirmed], image.received_at[confirmed], moved)

    def _collected(self, changes: int, held: int, unknown: int, pid: int) -> int:
        self.changes += changes
        self._held += held
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
