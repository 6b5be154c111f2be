"""Events of a controlled station that masters have not acknowledged: one sequence of numbers, a position in it for each group.

:class:`EventQueue` keeps them in memory, :class:`StoredEventQueue` in an LMDB file too, so that they survive the process.
Both are bounded: the oldest give way, and a group that had not had them finds its position behind :attr:`EventQueue.oldest`.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.errors import ConfigError
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, seal, unseal

EVENT_DTYPE: Final = np.dtype(
    [
        ("pid", "<u4"),
        ("quality", "<u4"),
        ("value", "<f8"),
        ("time", "<i8"),
        ("detail", "<u2"),
        ("cause", "u1"),
        ("spare", "u1", (5,)),
    ]
)
"""Point id, quality word, value in engineering units, source time (ns UTC), detail and cause of transmission of an event.

The point id stands for the address, so that an event is sent under the address that its point has when it leaves."""

EventRecords = npt.NDArray[np.void]

_EVENTS: Final = "events"
_GROUPS: Final = "groups"
_STATE: Final = "state"
_LAYOUT: Final = 1
_NUMBER: Final = struct.Struct(">Q")
_TWO: Final = struct.Struct("<QQ")
_BLOCK: Final = 4096
"""Most events under one key of the file."""
_LEAST_MB: Final = 16


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group is.

    Attributes:
        position: number of the first event it has not acknowledged.
        lost: events that gave way before it had them.
    """

    position: int
    lost: int = 0


class EventQueue:
    """The newest ``capacity`` events, numbered from 0 on without a gap.

    Raises:
        ConfigError: the capacity is not positive.

    Attributes:
        next: number that the next event will have.
        source_seq: the caller's number that came with the newest events: up to there its source is in the queue.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ConfigError(f"an event queue of {capacity} events", mend="give it room for at least one")
        self.capacity = capacity
        self.next = 0
        self.source_seq = 0
        self._ring = np.zeros(capacity, dtype=EVENT_DTYPE)
        self._floor = 0
        self._standings: dict[str, Standing] = {}

    @property
    def oldest(self) -> int:
        """Number of the oldest event still held."""
        return max(self._floor, self.next - self.capacity)

    def append(self, events: EventRecords, source_seq: int | None = None) -> None:
        """Take events behind the others, all of them or, at an error, none.

        Args:
            events: of :data:`EVENT_DTYPE`, oldest first; may be empty.
            source_seq: the caller's number after these; it is stored together with the events, alone it is only noted.

        Raises:
            StoreError: they cannot be stored; the queue is as it was.
        """
        if source_seq is not None:
            self.source_seq = source_seq
        kept = events[-self.capacity :]
        slots = np.arange(self.next + len(events) - len(kept), self.next + len(events)) % self.capacity
        self._ring[slots] = kept
        self.next += len(events)

    @property
    def stored_seq(self) -> int:
        """``source_seq`` as it would be after a crash."""
        return self.source_seq

    def store_seq(self) -> None:
        """Store ``source_seq`` if it was only noted.

        Raises:
            StoreError: it cannot be stored.
        """

    def read(self, first: int, most: int) -> EventRecords:
        """At most ``most`` events from number ``first`` on, which must be held."""
        return self._ring[np.arange(first, min(self.next, first + most)) % self.capacity]

    def join(self, group: str) -> Standing:
        """Where a group is; a new one is where the foremost other is, or at the beginning."""
        if group not in self._standings:
            self.stand(group, Standing(max((item.position for item in self._standings.values()), default=0)))
        return self._standings[group]

    def stand(self, group: str, standing: Standing) -> None:
        """A group has got on.

        Raises:
            StoreError: it cannot be stored.
        """
        self._standings[group] = standing

    def keep_only(self, groups: Collection[str]) -> None:
        """Forget groups that are no more."""
        self._standings = {name: item for name, item in self._standings.items() if name in groups}

    def close(self) -> None:
        """Let go of what the queue holds outside memory; may be called twice."""


class StoredEventQueue(EventQueue):
    """An event queue in the file ``<folder>/<name>.lmdb``; the memory holds a copy of it, to send from.

    Every change is on the disk when the call returns: an event before it can be sent, together with ``source_seq``, and a
    position before the next event follows it.

    Args:
        folder: made if absent.
        name: stem of the file.
        capacity: events held; a smaller one than before lets the oldest go.

    Raises:
        CorruptFileError: the file is damaged.
        StoreError: it cannot be opened.
    """

    def __init__(self, folder: Path, name: str, capacity: int) -> None:
        super().__init__(capacity)
        map_mb = max(_LEAST_MB, capacity * EVENT_DTYPE.itemsize * 8 >> 20)  # room for blocks of one event and for old pages
        tables = (_EVENTS, _GROUPS, _STATE)
        self._blocks: deque[tuple[int, int]] = deque()  # numbers [first, behind the last) of what stands in the file
        self._stored_seq = 0
        self._file = LmdbFile(folder, name, layout=_LAYOUT, map_mb=map_mb, databases=tables)
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise

    def append(self, events: EventRecords, source_seq: int | None = None) -> None:
        """See :meth:`EventQueue.append`."""
        if len(events):
            seq = self.source_seq if source_seq is None else source_seq
            behind = self.next + len(events)
            first = max(self.next, behind - self.capacity)
            added = [(at, min(at + _BLOCK, behind)) for at in range(first, behind, _BLOCK)]
            with self._file.write() as txn:
                for start, stop in added:
                    block = np.ascontiguousarray(events[start - self.next : stop - self.next], dtype=EVENT_DTYPE)
                    txn.put(_EVENTS, _NUMBER.pack(start), seal(block.tobytes()))
                txn.put(_STATE, b"state", seal(_TWO.pack(behind, seq)))
                gone = self._drop(txn, max(self.oldest, behind - self.capacity, self._all_have()))
            self._forget(gone)
            self._blocks.extend(added)
            self._stored_seq = seq
        super().append(events, source_seq)

    @property
    def stored_seq(self) -> int:
        """See :attr:`EventQueue.stored_seq`."""
        return self._stored_seq

    def store_seq(self) -> None:
        """See :meth:`EventQueue.store_seq`."""
        if self.source_seq != self._stored_seq:
            with self._file.write() as txn:
                txn.put(_STATE, b"state", seal(_TWO.pack(self.next, self.source_seq)))
            self._stored_seq = self.source_seq

    def stand(self, group: str, standing: Standing) -> None:
        """See :meth:`EventQueue.stand`."""
        with self._file.write() as txn:
            txn.put(_GROUPS, group.encode(), seal(_TWO.pack(standing.position, standing.lost)))
            others = [item.position for name, item in self._standings.items() if name != group]
            gone = self._drop(txn, min([standing.position, *others]))
        self._forget(gone)
        super().stand(group, standing)

    def keep_only(self, groups: Collection[str]) -> None:
        """See :meth:`EventQueue.keep_only`."""
        with self._file.write() as txn:
            for name in self._standings.keys() - set(groups):
                txn.delete(_GROUPS, name.encode())
        super().keep_only(groups)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _all_have(self) -> int:
        """Number up to which every group has acknowledged."""
        return min((item.position for item in self._standings.values()), default=0)

    def _drop(self, txn: Transaction, floor: int) -> int:
        """Remove the blocks that end at ``floor`` or before it; how many."""
        gone = 0
        for start, stop in self._blocks:
            if stop > floor:
                break
            txn.delete(_EVENTS, _NUMBER.pack(start))
            gone += 1
        return gone

    def _forget(self, gone: int) -> None:
        """What a transaction removed is gone once it is through."""
        for _ in range(gone):
            self._blocks.popleft()

    def _load(self) -> None:
        where = str(self._file.path)
        with self._file.read() as txn:
            state = txn.get(_STATE, b"state")
            head, self.source_seq = _TWO.unpack(unseal(state, where)) if state is not None else (0, 0)
            self._stored_seq = self.source_seq
            for name, record in txn.ascending(_GROUPS):
                self._standings[name.decode()] = Standing(*_TWO.unpack(unseal(record, where)))
            found = [(_NUMBER.unpack(key)[0], unseal(record, where)) for key, record in txn.ascending(_EVENTS)]
        self.next = self._floor = found[0][0] if found else head
        for start, octets in found:
            events = np.frombuffer(octets, dtype=EVENT_DTYPE)
            if start != self.next:
                raise CorruptFileError(
                    f"event {self.next} is followed by {start}", where=where, mend="restore a backup or move it away"
                )
            super().append(events)
            self._blocks.append((start, self.next))
        if self.next != head:
            raise CorruptFileError(
                f"events end at {self.next} instead of {head}", where=where, mend="restore a backup or move it away"
            )
