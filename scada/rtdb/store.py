"""The real-time database of one server: image, journal and checkpoint under one writer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import RESTART, PointBatch, Records
from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb import checkpoint, journal
from scada.rtdb import holds as held
from scada.rtdb.changes import ChangeSet
from scada.rtdb.image import Image
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, quarantine
from scada.rtdb.pending import Pending
from scada.rtdb.published import Published
from scada.rtdb.reading import StoreReading
from scada.rtdb.retention import Limits, Retention
from scada.rtdb.shared import SharedImage
from scada.rtdb.tail import Tail
from scada.rtdb.upgrades import LAYOUT, UPGRADES
from scada.rtdb.watch import FileWatch

_NAME: Final = "rtdb"
_NOT_FROM_A_SOURCE: Final = np.uint32(Quality.NEVER_RECEIVED | Quality.MANUAL)

Bools = npt.NDArray[np.bool_]
Pids = npt.NDArray[np.uint32]
Identities = npt.NDArray[np.uint64]


@dataclass(slots=True)
class Reserve:
    """Memory for a larger image, the writer's and the readers', and then the smaller one: to give it back takes long too."""

    image: Image
    shared: SharedImage


class Store(StoreReading):
    """Image + journal + checkpoint in one LMDB file.

    One thread writes (``apply``, ``set_quality``, ``commit``, ``checkpoint``, ``grow``, ``close``). ``snapshot`` and
    ``changes`` may be called from any thread and never make it wait. What is applied becomes visible at once, at the next
    commit.

    **Restart.** The image is the last checkpoint plus the journal after it. Every value from before is then marked ``OLD_DATA``
    (in one journaled change set, so that every follower sees it) until its source sends it again; values entered by an operator
    (``MANUAL``) and points an operator holds are not.

    **A full disk** does not stop the server: the change set is published, kept in memory and retried every second; meanwhile
    ``fault`` says what is wrong and ``journaled`` stays behind ``head``. What must be durable first (an acknowledgement
    of SOE to a station) waits until ``journaled`` has passed it. If more than ``journal_mb`` wait, the oldest are given up and
    counted in ``lost``; a follower that needs them is told by :class:`GapError`.

    **Another process** reads with :class:`scada.rtdb.reader.StoreReader`, and never makes the writer wait either.

    Args:
        path: folder; made if absent.
        capacity: number of points, pid 0 .. capacity - 1. A file that holds more keeps more.
        clock: for stamps.
        durable: the commit is flushed with LMDB's meta page; otherwise a loss of power may undo the last commit (never more).
        map_mb: fixed size of the file.
        journal_mb: journal kept for followers behind the checkpoint; what a registered consumer has not acknowledged is kept
            beyond it as long as the map has room.
        journal_hours: hours of service after which a change leaves the journal, if every consumer has acknowledged it.
        event_pids: mask of the status points, whose changes carry the EVENT flag.
        identity: one number a pid that names the point it stands for (a hash of its mRID). A pid that stood for another point
            when the file was written starts as never received instead of with that point's value.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`; or ``map_mb`` is too small for the rest.

    Attributes:
        capacity: number of points.
        head: sequence number of the last committed change.
        watch: looks after the room in the file and after readers that hold it up.
        upgraded_from: the older layout the file had when it was opened, 0 = none.
    """

    def __init__(
        self,
        path: Path,
        capacity: int,
        clock: Clock,
        *,
        durable: bool = False,
        map_mb: int = 1024,
        journal_mb: int = 256,
        journal_hours: float = 24.0,
        event_pids: Bools | None = None,
        identity: Identities | None = None,
    ) -> None:
        self._clock = clock
        self._journal_bytes = journal_mb << 20
        self._file = LmdbFile(
            path,
            _NAME,
            layout=LAYOUT,
            map_mb=map_mb,
            databases=(journal.TABLE, checkpoint.PAGES, checkpoint.META),
            metasync=durable,
            upgrades=UPGRADES,
        )
        try:
            self._image, self.head, self._identity, self._holds = checkpoint.restore(self._file, capacity)
            self.capacity = self._image.capacity
            self._check_room(map_mb, self.capacity)
            limits = Limits(self._journal_bytes, self._most_journal(), journal_hours * 3600.0)
            self._retention = Retention(self._file, clock, limits, self.head)
        except BaseException:
            self._file.close()
            raise
        self.watch, self.upgraded_from = FileWatch(self._file, clock), self._file.upgraded_from
        self._tail = Tail(self._file, clock, self._journal_bytes, self.head)
        self._pending = Pending()
        self._dirty = np.ones(checkpoint.page_count(self.capacity), dtype=np.bool_)
        self._checkpoint_due = False
        self._published = Published(path, clock, self._image, held.copied(self._holds), self.head)
        self.event_pids = _sized(event_pids, self.capacity)
        self._forget_renumbered(identity)
        self._mark_old()
        self.commit()
        self.checkpoint()

    @classmethod
    def open_or_quarantine(
        cls,
        path: Path,
        capacity: int,
        clock: Clock,
        *,
        durable: bool = False,
        map_mb: int = 1024,
        journal_mb: int = 256,
        journal_hours: float = 24.0,
        event_pids: Bools | None = None,
        identity: Identities | None = None,
    ) -> tuple[Store, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what happened in one sentence, empty if nothing: raise an event from it. All points are
            ``NEVER_RECEIVED`` then, and sequence numbers go on from the time in microseconds, or above what a consumer has had
            if the clock is wrong, so that none is used twice.

        Raises:
            StoreError: any other fault.
        """

        def make() -> Store:
            return cls(
                path,
                capacity,
                clock,
                durable=durable,
                map_mb=map_mb,
                journal_mb=journal_mb,
                journal_hours=journal_hours,
                event_pids=event_pids,
                identity=identity,
            )

        try:
            return make(), ""
        except CorruptFileError as error:
            now = clock.now_ns()
            aside = quarantine(path, _NAME, now)
            store = make()
            acknowledged = max((consumer.seq for consumer in store.consumers()), default=0)
            store._number_from(max(now // 1000, acknowledged + 1))  # noqa: SLF001 - our own
            return store, f"{error.what}; {error.where} was moved to {aside.name} and an empty database started"

    @property
    def unknown(self) -> int:
        """Records refused since the store was opened because their pid is not below ``capacity``."""
        return self._pending.unknown

    @property
    def unknown_pid(self) -> int:
        """The last such pid."""
        return self._pending.unknown_pid

    # ------------------------------------------------------------------ writing

    def apply(self, batch: PointBatch) -> int:
        """Write values into the image; what differs waits for :meth:`commit`.

        Returns:
            Number of changes. Records of unknown pids are counted in ``unknown`` and not written.
        """
        return self._pending.apply(self._image, self._holds, batch, self.head, self.event_pids)

    def set_quality(self, pids: Pids, set_bits: int = 0, clear_bits: int = 0, received_at: int | None = None) -> int:
        """Set and clear quality bits of many points at once (a channel went down or came up).

        The values keep their own times; the emitted records carry ``RecordFlag.QUALITY_SET``.

        Args:
            pids: which points.
            set_bits: bits of :class:`Quality` to set.
            clear_bits: bits to clear first.
            received_at: ns UTC of the cause; None = now.

        Returns:
            Number of points whose quality changed.
        """
        received_at = self._clock.now_ns() if received_at is None else received_at
        pids = np.ascontiguousarray(pids, dtype=np.uint32)
        return self._pending.set_quality(self._image, self._holds, pids, int(set_bits), int(clear_bits), received_at, self.head)

    def hold(self, pid: int, value: float | None, received_at: int | None = None) -> bool:
        """Let a point show what an operator says, whatever its source sends; instead of an earlier hold, if there is one.

        What the source sends meanwhile leaves as change records with ``RecordFlag.HELD`` and is kept for :meth:`behind` and
        :meth:`release`. Holds survive a restart.

        Args:
            pid: which point.
            value: its value from now on (quality ``MANUAL | SUBSTITUTED``); None = block: the present value is frozen and
                ``OPERATOR_BLOCKED`` added to its quality.
            received_at: ns UTC of the entry; None = now.

        Returns:
            False if there is no such point.

        Raises:
            StoreError: the value is no finite number.
        """
        if not 0 <= pid < self.capacity:
            return False
        if value is not None and not math.isfinite(value):
            raise StoreError(f"{value} cannot stand for a value", where=f"point {pid}", mend="enter a finite number")
        act = held.act_of_hold(self._image, pid, value, is_event=bool(self.event_pids[pid]))
        self._holds = held.placed(self._holds, self._image, pid)
        self._act(act, received_at)
        return True

    def release(self, pid: int, received_at: int | None = None) -> bool:
        """Let a held point show again what its source says (``received_at`` is then that of the release).

        Returns:
            False if the point is not held.
        """
        if pid not in self._holds.pids:
            return False
        act = held.act_of_release(self._image, self._holds, pid, is_event=bool(self.event_pids[pid]))
        self._holds = held.removed(self._holds, pid)
        self._act(act, received_at)
        return True

    def _act(self, record: Records, received_at: int | None) -> None:
        self._pending.act(self._image, record, self._clock.now_ns() if received_at is None else received_at, self.head)

    def commit(self) -> ChangeSet | None:
        """Write what is pending to the journal in one transaction, then show it to readers.

        Returns:
            The changes, or None if there were none. With a full disk they are returned (and readable) too, but ``fault`` is set.
        """
        step = self._pending.take(self._image, self._holds, self.head, self._clock.now_ns())
        step.mark(self._dirty, checkpoint.PAGE_POINTS)
        if step.change is not None:
            self._tail.add(step.change)
            self._checkpoint_due |= self._tail.bytes_written > self._journal_bytes
        if (self._tail or self._checkpoint_due) and self._tail.may_write:
            self._write()
        self._tail.give_up_oldest()
        if step.change is not None:
            self.head = step.change.last
        self._published.show(step)
        return step.change

    def checkpoint(self) -> None:
        """Write the changed pages of the image as of ``head``, and trim the journal; if any are pending, at the next commit."""
        self._checkpoint_due = True
        if not self._pending.changes:
            self._write()

    def reserve(self, capacity: int) -> Reserve:
        """Memory for more points, for :meth:`grow`. From any thread: it takes long, and the writer must not.

        Raises:
            StoreError: the map is too small for the checkpoint of so many points, or other processes, which can read the image
                now, could not any more.
        """
        self._check_room(self._file.map_bytes >> 20, capacity)
        shared = self._published.reserved(capacity)
        if shared.fault and not self.not_shared:
            raise StoreError(shared.fault, where=str(self._file.path.parent), mend="make room in the shared memory of the host")
        return Reserve(Image.empty(capacity), shared)

    def grow(
        self,
        capacity: int,
        event_pids: Bools | None = None,
        identity: Identities | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        """Make room for more points (a new model version); numbers and values of the present ones stay.

        Args:
            capacity: new number of points; a smaller one changes nothing.
            event_pids: new mask of the status points; None keeps the present one.
            identity: as at opening; None keeps the present one.
            reserve: memory for so many points; None = it is made now, which takes longer.

        Raises:
            StoreError: see :meth:`reserve`; nothing has changed then.
        """
        if capacity > self.capacity:
            larger = reserve or self.reserve(capacity)
            larger.image.take(self._image)
            self._image, larger.image = larger.image, self._image
            larger.shared = self._published.grow(larger.shared)
            self._dirty = np.ones(checkpoint.page_count(capacity), dtype=np.bool_)
            self.capacity = capacity
            self._retention.limits = replace(self._retention.limits, most_bytes=self._most_journal())
        self.event_pids = _sized(self.event_pids if event_pids is None else event_pids, self.capacity)
        self._forget_renumbered(identity)

    def close(self) -> None:
        """Commit, checkpoint and close; may be called twice.

        Raises:
            StoreError: the last changes could not be written.
        """
        if self._file.closed:
            return
        self.commit()
        self.checkpoint()
        self._published.close()
        self._file.close()
        if self.fault is not None:
            raise self.fault

    # ------------------------------------------------------------------ inside

    def _write(self) -> None:
        """One transaction with everything unwritten, and a checkpoint if one is due."""
        due = self._checkpoint_due or self._tail.gap
        if due:
            self._retention.consumers.exchange()
        if self._tail.write(self._write_checkpoint if due else None) and due:
            self._retention.settle()
            self._dirty[:] = False
            self._checkpoint_due = False

    def _write_checkpoint(self, txn: Transaction, seq: int) -> None:
        checkpoint.write(txn, self._image, self._dirty, seq, self._identity, self._holds)
        self._retention.trim(txn, seq + 1)

    def _check_room(self, map_mb: int, capacity: int) -> None:
        """Both images of a checkpoint and twice the journal must fit, or the map would fill up in service."""
        needed = 4 + ((checkpoint.bytes_needed(capacity) + 2 * self._journal_bytes) >> 20)
        if needed > map_mb:
            raise StoreError(
                f"map_mb = {map_mb} is too small for {capacity} points and journal_mb = {self._journal_bytes >> 20}",
                where=str(self._file.path),
                mend=f"set map_mb to {needed} or more",
            )

    def _most_journal(self) -> int:
        """Size of the journal at which no consumer is waited for any more: the rest of the map is for checkpoint and tail."""
        free = self._file.map_bytes * 7 // 10 - checkpoint.bytes_needed(self.capacity) - self._journal_bytes
        return max(self._journal_bytes, free)

    def _number_from(self, head: int) -> None:
        self.head = self._tail.journaled = head
        self._published.number_from(head)
        self.checkpoint()

    def _forget_renumbered(self, identity: Identities | None) -> None:
        if identity is None:
            return
        known = min(len(identity), len(self._identity))
        differs = (self._identity[:known] != identity[:known]) & (self._identity[:known] != 0)
        pids = np.flatnonzero(differs)
        if len(pids):
            self.apply(
                PointBatch.of(pids, np.nan, quality=int(Quality.NEVER_RECEIVED), received_at=self._clock.now_ns(), source="rtdb")
            )
        for pid in pids.tolist():  # a release shows what is behind the hold: nothing any more
            self.release(pid)
        merged = self._identity.copy() if len(self._identity) > len(identity) else np.zeros(len(identity), np.uint64)
        merged[: len(identity)] = identity
        self._identity = merged

    def _mark_old(self) -> None:
        word = self._image.quality.copy()
        word[self._holds.pids] = self._holds.shadow.quality[: len(self._holds.pids)]
        restored = np.flatnonzero(word & _NOT_FROM_A_SOURCE == 0)
        pids, now = restored.astype(np.uint32), self._clock.now_ns()
        self._pending.set_quality(self._image, self._holds, pids, int(Quality.OLD_DATA), 0, now, self.head, RESTART)


def _sized(mask: Bools | None, capacity: int) -> Bools:
    sized = np.zeros(capacity, dtype=np.bool_)
    if mask is not None:
        sized[: len(mask)] = mask[:capacity]
    return sized
