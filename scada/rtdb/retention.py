"""How long the journal is kept: by size, by hours of service, and for a slow consumer as long as the map has room."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Final

import msgpack

from scada.core.clock import Clock
from scada.rtdb import journal
from scada.rtdb.checkpoint import META
from scada.rtdb.consumers import Consumer, Consumers, newly_passed
from scada.rtdb.lmdb_file import LmdbFile, Transaction, seal, unseal

_AGES: Final = b"ages"
_MARKS: Final = 64
"""The age of a change is known to this part of the time it is kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What may stay in the journal behind the checkpoint."""

    keep_bytes: int
    """What every consumer has acknowledged is trimmed beyond this size."""
    most_bytes: int
    """Beyond this size the oldest is trimmed, whoever needs it: the map has no more room."""
    keep_s: float
    """What every consumer has acknowledged is trimmed after so many seconds of service."""


class Ages:
    """When which number was reached, in seconds of service: the time the database was open, over all its lives.

    The host's wall clock plays no part: set forward by a year it would empty the journal, set back it would keep it for ever.
    """

    def __init__(self, clock: Clock, stored: bytes | None) -> None:
        self._clock = clock
        self._opened = clock.monotonic()
        self._before, self._marks = msgpack.unpackb(stored) if stored else (0.0, [])

    @property
    def service_s(self) -> float:
        """Seconds of service so far."""
        return float(self._before) + self._clock.monotonic() - self._opened

    def mark(self, seq: int, keep_s: float) -> None:
        """The journal has come to ``seq``."""
        if not self._marks or self.service_s - self._marks[-1][1] >= keep_s / _MARKS:
            self._marks.append((seq, self.service_s))

    def reached(self, keep_s: float) -> int:
        """Highest number known to be older than ``keep_s``; 0 = none."""
        old = [seq for seq, at in self._marks if self.service_s - at >= keep_s]
        self._marks = self._marks[max(0, len(old) - 1) :]
        return int(old[-1]) if old else 0

    def encode(self) -> bytes:
        """For the next life."""
        return bytes(msgpack.packb((self.service_s, self._marks)))


class Retention:
    """Trims the journal and keeps the list of its consumers.

    Args:
        file: the database.
        clock: monotonic time for ages, wall time for stamps of consumers.
        limits: see :class:`Limits`.
        head: last number of the database.

    Raises:
        CorruptFileError: the stored ages are damaged.
        StoreError: nobody can say who the consumers are.

    Attributes:
        oldest: first number in the journal; one more than the last one while it is empty.
        consumers: who needs what.
        passed: consumers whom the journal was trimmed past, not told yet; whoever tells them empties the list.
    """

    def __init__(self, file: LmdbFile, clock: Clock, limits: Limits, head: int) -> None:
        self.limits = limits
        with file.read() as txn:
            first = next((journal.number(stored) for stored in txn.keys(journal.TABLE)), head + 1)
            ages = txn.get(META, _AGES)
        self.oldest = self._trimmed_to = first
        self.consumers = Consumers(file.path.parent, clock)
        self.passed: list[Consumer] = []
        self._ages = Ages(clock, unseal(ages, str(file.path)) if ages else None)

    def trim(self, txn: Transaction, before: int) -> None:
        """Delete what need not be kept, within the transaction of a checkpoint; exchange with the consumers before it.

        Args:
            txn: nothing counts before it is committed and :meth:`settle` called.
            before: first number that is not in the checkpoint; what starts there or later stays.
        """
        self._ages.mark(before - 1, self.limits.keep_s)
        aged = self._ages.reached(self.limits.keep_s)
        acknowledged = self.consumers.acknowledged(self.oldest)
        done = before if acknowledged is None else acknowledged
        size = txn.size(journal.TABLE)
        doomed, self._trimmed_to = [], before
        # a commit ends where the next one begins: its octets need not be read (numbers that were given up count as its own)
        for stored, following in pairwise(chain(txn.keys(journal.TABLE), [journal.key(before)])):
            first, last = journal.number(stored), min(journal.number(following), before) - 1
            unneeded = last <= done and (size > self.limits.keep_bytes or last <= aged)
            if first >= before or not (unneeded or size > self.limits.most_bytes):
                self._trimmed_to = first
                break
            doomed.append(stored)
            size -= journal.bytes_of(last - first + 1)
        for stored in doomed:
            txn.delete(journal.TABLE, stored)
        txn.put(META, _AGES, seal(self._ages.encode()))

    def settle(self) -> None:
        """The transaction of :meth:`trim` is committed."""
        self.passed += newly_passed(self.consumers.all(), self.oldest, self._trimmed_to)
        self.oldest = self._trimmed_to
