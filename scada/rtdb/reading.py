"""What a store gives and tells to any thread of its process."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from scada.core.errors import StoreError
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.consumers import Consumer
from scada.rtdb.published import Published
from scada.rtdb.retention import Retention
from scada.rtdb.tail import Tail

Pids = npt.NDArray[np.uint32]


class StoreReading:
    """The side of a :class:`~scada.rtdb.store.Store` that readers use; nothing here makes the writer wait.

    Attributes:
        head: sequence number of the last committed change.
    """

    head: int
    _published: Published
    _tail: Tail
    _retention: Retention

    @property
    def journaled(self) -> int:
        """Last sequence number that is on disk; equal to ``head`` unless there is a ``fault``."""
        return self._tail.journaled

    @property
    def fault(self) -> StoreError | None:
        """Why the journal cannot be written at present, or None."""
        return self._tail.fault

    @property
    def lost(self) -> int:
        """Changes given up unwritten since the store was opened."""
        return self._tail.lost

    def snapshot(self, pids: Pids | None = None) -> Snapshot:
        """All points or the asked ones, in that order, as of one sequence number.

        A pid that the store does not have is answered as never received.
        """
        return self._published.snapshot(pids)

    def behind(self, pids: Pids | None = None) -> Snapshot:
        """As :meth:`snapshot`, but of the points an operator holds what their sources say."""
        return self._published.behind(pids)

    @property
    def not_shared(self) -> str:
        """Why other processes cannot read the image (no room for it anywhere), empty if they can."""
        return self._published.not_shared

    @property
    def held(self) -> Pids:
        """Points an operator holds as of the last commit, ascending."""
        return self._published.held

    def changes(self, after: int, limit: int | None = None) -> Iterator[ChangeSet]:
        """Change sets after a sequence number, each exactly once, in order, up to the present head.

        Args:
            after: last number the reader has (of its snapshot or change set); 0 = from the beginning.
            limit: stop after the change set that reaches this many records.

        Raises:
            GapError: the journal does not hold what follows ``after`` any more, has never come so far, or is damaged there: take
                a snapshot.
        """
        head = self.head
        if after > head:
            raise GapError(after + 1, head + 1)
        given = 0
        for change in self._tail.follow(after, head):
            if change.first > head or (limit is not None and given >= limit):
                return
            given += len(change)
            after = change.last
            yield change
        if after < head and (limit is None or given < limit):
            raise GapError(after + 1, head + 1)

    # ------------------------------------------------------------------ consumers of the journal, from any thread

    @property
    def oldest(self) -> int:
        """First number in the journal; one more than the last one while it is empty."""
        return self._retention.oldest

    def consumers(self) -> list[Consumer]:
        """Everyone registered, of other processes too, by name."""
        return self._retention.consumers.all()

    @property
    def unreadable_consumers(self) -> list[str]:
        """Names of files that cannot be read as the place of a consumer."""
        return list(self._retention.consumers.damaged)

    def register(self, name: str, after: int) -> None:
        """Keep the changes after a number for a consumer of this process until it acknowledges them; survives a restart.

        If the map has no room for them in the end the journal goes on without it: it stands in :meth:`take_passed`, and its next
        read raises :class:`GapError`. Other processes use :class:`scada.rtdb.consumers.Registration`.

        Args:
            name: 1 to 63 of a-z, 0-9, ``-`` and ``_``.
            after: last number it has dealt with; sets its place anew if it was registered.

        Raises:
            StoreError: wrong name or number.
        """
        self._retention.consumers.register(name, after)

    def acknowledge(self, name: str, seq: int) -> None:
        """A registered consumer of this process has dealt with everything up to a number, so that a restart needs no more of it.

        Raises:
            StoreError: it is not registered, or the number is none.
        """
        self._retention.consumers.acknowledge(name, seq)

    def unregister(self, name: str) -> None:
        """Keep nothing for a consumer any more.

        Raises:
            StoreError: wrong name.
        """
        self._retention.consumers.withdraw(name)

    def take_passed(self) -> list[Consumer]:
        """Consumers whom the journal went on without since the last call; the writer's thread asks, and tells."""
        passed, self._retention.passed = self._retention.passed, []
        return passed
