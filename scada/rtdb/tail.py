"""What is on its way into the journal: written at once, or kept in memory while the disk is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.rtdb import journal
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction

_RETRY_S: Final = 1.0


class Tail:
    """The end of the journal, on disk and in memory.

    Args:
        file: the database.
        clock: for the time between two attempts.
        most_bytes: of what is kept in memory; beyond it the oldest is given up.
        head: last number in the journal.

    Attributes:
        journaled: last number on disk.
        fault: why the journal cannot be written at present, or None.
        lost: changes given up unwritten.
        gap: some were given up: the next write must bring a checkpoint, or the journal would not follow on it.
        bytes_written: since the last checkpoint.
    """

    def __init__(self, file: LmdbFile, clock: Clock, most_bytes: int, head: int) -> None:
        self._file, self._clock, self._most_bytes = file, clock, most_bytes
        self._encoder = journal.Encoder()
        self._unwritten: deque[ChangeSet] = deque()
        self._unwritten_bytes = 0
        self._retry_at = 0.0
        self.journaled = head
        self.fault: StoreError | None = None
        self.lost = self.bytes_written = 0
        self.gap = False

    def add(self, change: ChangeSet) -> None:
        """Take a change set that is to be written."""
        self._unwritten.append(change)
        self._unwritten_bytes += journal.size(change)

    def __bool__(self) -> bool:
        return bool(self._unwritten)

    @property
    def may_write(self) -> bool:
        """False for a second after a failure."""
        return self.fault is None or self._clock.monotonic() >= self._retry_at

    def write(self, checkpoint: Callable[[Transaction, int], None] | None) -> bool:
        """Write everything in one transaction; a failure is kept in ``fault``.

        Args:
            checkpoint: writes one as of the number given, in the same transaction; None = none is due.

        Returns:
            True if it was written.
        """
        last = self._unwritten[-1].last if self._unwritten else self.journaled
        try:
            with self._file.write() as txn:
                for change in self._unwritten:
                    journal.append(txn, change, self._encoder)
                if checkpoint is not None:
                    checkpoint(txn, last)
        except StoreError as error:
            self.fault = error
            self._retry_at = self._clock.monotonic() + _RETRY_S
            return False
        self.fault = None
        self.bytes_written += self._unwritten_bytes
        self._unwritten.clear()
        self._unwritten_bytes = 0
        self.journaled = last
        if checkpoint is not None:
            self.gap = False
            self.bytes_written = 0
        return True

    def give_up_oldest(self) -> None:
        """Forget what is too much to be kept in memory."""
        while self._unwritten_bytes > self._most_bytes and len(self._unwritten) > 1:
            change = self._unwritten.popleft()
            self._unwritten_bytes -= journal.size(change)
            self.lost += len(change)
            self.gap = True

    def follow(self, after: int, head: int) -> Iterator[ChangeSet]:
        """Change sets after a number, on disk and then in memory; from any thread.

        Raises:
            GapError: the next one is not there any more, or damaged; the numbers go on after ``head`` at the latest.
        """
        unwritten = tuple(self._unwritten)  # before the journal is read: what is written meanwhile is in both
        try:
            for change in journal.follow(self._file, after):
                after = change.last
                yield change
        except CorruptFileError as error:
            raise GapError(after + 1, head + 1) from error
        for change in unwritten:
            if change.last <= after:
                continue
            if change.first > after + 1:
                raise GapError(after + 1, change.first)
            skip = after + 1 - change.first
            yield ChangeSet(after + 1, change.records[skip:], change.received_at[skip:], change.committed_at)
            after = change.last
