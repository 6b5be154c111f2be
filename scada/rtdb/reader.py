"""Reading the database from another process: snapshots and changes, without a lock and without the writer's knowledge."""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import Clock, SystemClock
from scada.core.errors import StoreError
from scada.rtdb import journal
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.image import Holds, Image
from scada.rtdb.kernels import fence, replay_changes
from scada.rtdb.lmdb_file import CorruptFileError, LmdbView
from scada.rtdb.shared import HEADER_BYTES, LAYOUT, LINK, MAGIC, Slot, arrays, file_bytes, is_locked
from scada.rtdb.upgrades import LAYOUT as FILE_LAYOUT

_NAME: Final = "rtdb"
_ATTEMPTS: Final = 5

Pids = npt.NDArray[np.uint32]


class StoreReader:
    """A reader of a database that another process writes. For one thread.

    What it gives is what :class:`scada.rtdb.store.Store` gives: snapshots as of one sequence number, and after them every change
    once, in order. It reads the shared image and the ring of the last changes in it, and what has left the ring from the journal,
    by short transactions. In a snapshot the times of values that were only confirmed may be of a moment sooner or later.

    When the writer has gone the last state stays readable and ``alive`` is False. When it has come back, or the model has grown,
    the next call goes on with the new image; sequence numbers go on too. If changes that were read here did not survive (the disk
    of a writer that was killed had been full), the next :meth:`changes` says so by :class:`GapError`: take a snapshot.

    Args:
        path: folder of the database.
        clock: for :attr:`silence_s`; its monotonic time must be the writer's.

    Raises:
        StoreError: nobody serves the database, or what serves it cannot be read.

    Attributes:
        capacity: number of points.
        boot: number of the writer's life; another one after a restart.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self._folder = path
        self._clock: Clock = clock or SystemClock()
        self._journal: LmdbView | None = None
        self._descriptor = -1
        self._told = 0
        """Last number given to the caller."""
        self._lost_after = -1
        """What was told after this number did not survive; -1 = nothing was lost."""
        self.capacity = self.boot = 0
        self._open()

    # ------------------------------------------------------------------ reading

    @property
    def head(self) -> int:
        """Sequence number of the last committed change."""
        self._attend()
        return self._at(Slot.STARTED)  # it is in the ring already, and a snapshot may stand for it

    @property
    def alive(self) -> bool:
        """True while a process writes the database; known from a lock, whatever way it ended."""
        self._attend()
        return self._at(Slot.STATE) == 1 and is_locked(self._descriptor)

    @property
    def silence_s(self) -> float:
        """Seconds since the writer's last commit, with or without changes: a long time means that it hangs, or is gone."""
        self._attend()
        return self._clock.monotonic() - self._at(Slot.BEAT) / 1e9

    def snapshot(self, pids: Pids | None = None) -> Snapshot:
        """All points or the asked ones, in that order, as of one sequence number; an unknown one as never received.

        Raises:
            StoreError: changes come faster than they can be read, again and again.
        """
        self._attend()
        for _ in range(_ATTEMPTS):
            try:
                found = self._snapshot(pids)
            except GapError:
                continue
            self._told, self._lost_after = found.seq, -1
            return found
        raise StoreError("changes come faster than they can be read", where=str(self._folder), mend="read fewer points at once")

    def changes(self, after: int, limit: int | None = None) -> Iterator[ChangeSet]:
        """Change sets after a sequence number, each exactly once, in order, up to the present head.

        Args:
            after: last number the caller has (of its snapshot or change set); 0 = from the beginning.
            limit: stop after the change set that reaches this many records.

        Raises:
            GapError: neither ring nor journal holds what follows ``after``, it was never written, or it was lost with a writer:
                take a snapshot.
            StoreError: the journal cannot be read.
        """
        head = self.head
        if after > head or -1 < self._lost_after < after:
            raise GapError(after + 1, head + 1)
        given = 0
        for change in self._between(after, head):
            if limit is not None and given >= limit:
                return
            given += len(change)
            self._told = max(self._told, change.last)
            yield change

    def close(self) -> None:
        """Stop reading; may be called twice. Arrays already given stay valid."""
        self._close_journal()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    # ------------------------------------------------------------------ snapshot

    def _snapshot(self, pids: Pids | None) -> Snapshot:
        done = self._at(Slot.FINISHED)
        fence()
        if pids is None:
            asked = places = self._pids
            copy = self._image.copied()
        else:
            asked = np.asarray(pids, dtype=np.uint32)
            places, inverse = np.unique(asked, return_inverse=True)
            copy = self._image.picked_known(places)
        fence()
        started = self._at(Slot.STARTED)
        for change in self._between(done, started):
            _replay(copy, places, change, everything=pids is None)
        if pids is not None:
            copy = copy.picked(inverse)
        return Snapshot(started, asked, copy.value, copy.quality, copy.source_time, copy.received_at)

    # ------------------------------------------------------------------ changes

    def _between(self, after: int, until: int) -> Iterator[ChangeSet]:
        """Change sets after one number up to another of the same life of the writer."""
        boot = self.boot
        while after < until:
            before = after
            if self.boot != boot:  # the caller's other calls went on to a new one, which may not have come so far
                raise GapError(after + 1, self._at(Slot.OLDEST))
            for change in self._from_ring(after, until) or self._from_journal(after, until):
                after = change.last
                yield change
            if after == before:
                raise GapError(after + 1, self._at(Slot.OLDEST))

    def _from_ring(self, after: int, until: int) -> list[ChangeSet]:
        """What the ring holds, if it holds the first of them."""
        if after + 1 < self._at(Slot.OLDEST):
            return []
        numbers = np.arange(after + 1, until + 1)
        places = numbers & (self._at(Slot.RING) - 1)
        records, received_at, committed_at = (column[places] for column in self._ring)
        fence()
        if after + 1 < self._at(Slot.OLDEST):  # overrun while we copied
            return []
        records.flags.writeable = received_at.flags.writeable = False
        edges = np.flatnonzero(np.diff(committed_at)) + 1
        bounds = [0, *edges.tolist(), len(numbers)]
        return [
            ChangeSet(after + 1 + start, records[start:stop], received_at[start:stop], int(committed_at[start]))
            for start, stop in pairwise(bounds)
        ]

    def _from_journal(self, after: int, until: int) -> Iterator[ChangeSet]:
        if self._journal is None:
            self._journal = LmdbView(self._folder, _NAME, layout=FILE_LAYOUT, databases=(journal.TABLE,))
        try:
            for change in journal.follow(self._journal, after):
                if change.first > until:
                    return
                after = change.last
                yield change
        except CorruptFileError as error:
            raise GapError(after + 1, until + 1) from error

    def _close_journal(self) -> None:
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # ------------------------------------------------------------------ the file

    def _at(self, slot: Slot) -> int:
        return int(self._header[slot])

    def _attend(self) -> None:
        """Go on with the image that is in use now, if there is another one."""
        try:
            present = (self._folder / LINK).stat()
        except OSError:
            return  # nobody writes; what we have mapped stays
        if (present.st_dev, present.st_ino) != self._place:
            self._open()

    def _open(self) -> None:
        where = str(self._folder / LINK)
        try:
            descriptor = os.open(self._folder / LINK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise StoreError(
                f"nobody serves this database ({error.strerror})", where=where, mend="start the server, or check the folder"
            ) from error
        try:
            found = os.fstat(descriptor)
            buffer = mmap.mmap(descriptor, found.st_size, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            os.close(descriptor)
            raise StoreError(f"the shared image cannot be read: {error}", where=where, mend="restart the server") from error
        header = np.frombuffer(buffer, np.int64, HEADER_BYTES // 8) if found.st_size >= HEADER_BYTES else np.zeros(512, np.int64)
        capacity, ring = int(header[Slot.CAPACITY]), int(header[Slot.RING])
        if header[Slot.MAGIC] != MAGIC or header[Slot.LAYOUT] != LAYOUT or found.st_size != file_bytes(capacity, ring):
            os.close(descriptor)
            raise StoreError("the shared image is not one this program reads", where=where, mend="use the server's version")
        self.close()
        self._descriptor, self._place = descriptor, (found.st_dev, found.st_ino)
        self._header, rows, self._ring = arrays(buffer, capacity, ring)
        self._image, self.capacity = Image.of(rows), capacity
        self._pids = np.arange(capacity, dtype=np.uint32)
        self._pids.flags.writeable = False  # every snapshot shares it
        boot, floor = self._at(Slot.BOOT), self._at(Slot.FLOOR)
        if boot != self.boot and self._told > floor:
            self._lost_after = floor
        self.boot = boot


_NO_HOLDS: Final = Holds.none()


def _replay(copy: Image, places: Pids, change: ChangeSet, *, everything: bool) -> None:
    """Bring the copied points (``places``, ascending) forward by a change set."""
    records, received_at = change.records, change.received_at
    if not everything:
        row = np.searchsorted(places, records["pid"])
        mine = np.flatnonzero(places[np.minimum(row, len(places) - 1)] == records["pid"]) if len(places) else row[:0]
        records, received_at = records[mine], received_at[mine]
        records["pid"] = row[mine]
    replay_changes(copy, _NO_HOLDS, records, received_at, change.first)
