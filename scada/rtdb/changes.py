"""What leaves the database: numbered change sets and snapshots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.core.batch import RESTART, RecordFlag, Records
from scada.core.errors import StoreError


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The changes of one commit, in order.

    Record ``i`` has sequence number ``first + i``; the next change set starts at ``last + 1``.

    Attributes:
        first: sequence number of the first record (numbers start at 1).
        records: array of ``POINT_DTYPE``, read-only.
        received_at: ns UTC, one per record.
        committed_at: ns UTC of the commit.
    """

    first: int
    records: Records
    received_at: npt.NDArray[np.int64]
    committed_at: int

    @property
    def last(self) -> int:
        """Sequence number of the last record."""
        return self.first + len(self.records) - 1

    def __len__(self) -> int:
        return len(self.records)

    @property
    def is_restart(self) -> bool:
        """True for what a database said when it was opened: nobody watched from the change set before until then."""
        return bool((self.records["channel"] == RESTART).any())

    def shown(self, after: int = 0) -> tuple[Records, npt.NDArray[np.int64]]:
        """Records that changed the present value of their point, and when they were received: all but ``RecordFlag.ASIDE``.

        Args:
            after: leave out the records up to this sequence number.
        """
        skip = max(0, after + 1 - self.first)
        records, received_at = self.records[skip:], self.received_at[skip:]
        aside = records["flags"] & RecordFlag.ASIDE != 0
        return (records[~aside], received_at[~aside]) if aside.any() else (records, received_at)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every point (or the asked ones) as of one sequence number. Columns have equal length.

    A point that never had a value carries ``Quality.NEVER_RECEIVED`` and NaN.
    """

    seq: int
    pid: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    source_time: npt.NDArray[np.int64]
    """ns UTC stamped by the source; 0 = none."""
    received_at: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pid)


class GapError(StoreError):
    """The journal no longer holds what was asked; resynchronise by snapshot.

    Attributes:
        asked: first sequence number wanted.
        oldest: oldest still held.
    """

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(
            f"the journal has changes from {oldest} on, not {asked}", mend="take a snapshot and go on from its number"
        )
        self.asked = asked
        self.oldest = oldest
