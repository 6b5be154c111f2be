"""What keeps the history: :class:`Historian`, the one face of the embedded store and of PostgreSQL.

Both take the same changes through the same :class:`~scada.history.sampler.Sampler`, which decides what is kept and computes the
minutes; they differ in where it is written. One conformance test (``tests/history/conformance.py``) holds both.

**Time and gaps.** What was not recorded is a gap, never the last value going on. A query shows a gap by a *marker*: a sample at
its start with NaN and the quality :data:`NOT_RECORDED`. After it nothing is known until the next sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.history.series import Series
from scada.model_cim.tables import Point
from scada.rtdb.changes import ChangeSet, Snapshot

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U4 = npt.NDArray[np.uint32]

NOT_RECORDED: Final[int] = int(Quality.NEVER_RECEIVED | Quality.NOT_TOPICAL | Quality.FAILURE)
"""Quality of a marker: from here to the next sample the history was not written (the server was down, samples were lost).

``NEVER_RECEIVED`` says that the value column means nothing, so every reader treats it as no value; ``FAILURE`` with it is set by
nothing else.
"""

MINUTE_NS: Final[int] = 60 * NS_PER_S
MAX_AHEAD_NS: Final[int] = 60 * NS_PER_S
"""A stamp so much later than its receipt is not believed: the sample is dated by its receipt and marked ``TIME_INVALID``."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long what is kept; 0 = as long as there is room."""

    raw_days: int = 0
    minute_days: int = 0


@dataclass(frozen=True, slots=True)
class LateColumns:
    """Late values of one point, in any order. Columns have equal length.

    Attributes:
        pid: which point of the present model.
        time_ns: their own time stamps, ns UTC.
        value: in the unit of the point.
        quality: quality words.
    """

    pid: int
    time_ns: I8
    value: F8
    quality: U4


@dataclass(frozen=True, slots=True)
class BackfillCounts:
    """What became of late values.

    Attributes:
        stored: new samples.
        known: samples that were there already with the same time, value and quality; nothing changed.
        refused: not stored, and why.
        reason: of the refusals, one sentence; empty if none.
    """

    stored: int = 0
    known: int = 0
    refused: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Aggregates:
    """Statistics of one point by period, in order of time. Columns have equal length.

    A period of which nothing is known (before the first sample, in a gap, in the future) is absent. They are made of every value
    received, not of the samples kept; bad values count in nothing but ``quality``.

    Attributes:
        time_ns: start of the period, a multiple of its length since 1970 UTC.
        last: last good value in force in the period; NaN = none.
        minimum, maximum: of the good values in force, the one carried in from before included; NaN = none.
        mean: arithmetic mean of the good values received; NaN = none.
        time_weighted: mean of the good value in force, weighted by time; NaN = none.
        count: good values received.
        good_s: seconds of the period with a good value in force.
        quality: union of the quality words in force.
    """

    pid: int
    time_ns: I8
    last: F8
    minimum: F8
    maximum: F8
    mean: F8
    time_weighted: F8
    count: U4
    good_s: F8
    quality: U4

    def __len__(self) -> int:
        return len(self.time_ns)


@dataclass(frozen=True, slots=True)
class Before:
    """The sample in force just before a moment, for many points. Columns have equal length.

    Attributes:
        pid: as asked.
        time_ns: of the sample; 0 = there is none.
        value: NaN where there is none, and at a marker.
        quality: ``NEVER_RECEIVED`` where there is none; :data:`NOT_RECORDED` where a gap follows the last sample.
    """

    pid: U4
    time_ns: I8
    value: F8
    quality: U4


@dataclass(frozen=True, slots=True)
class HistorianStatus:
    """How the history stands.

    Attributes:
        backend: ``embedded`` or ``postgresql``.
        oldest_ns: time of the oldest sample; 0 = empty.
        stored_bytes: on disk.
        waiting: samples not on disk yet.
        lost: samples and minutes given up unwritten since it was opened.
        backfilled: late values stored since then.
        damaged: chunks found unreadable and set aside since then.
        fault: why it cannot be written at present; empty if it can.
        retention: what was asked for.
    """

    backend: str
    oldest_ns: int = 0
    stored_bytes: int = 0
    waiting: int = 0
    lost: int = 0
    backfilled: int = 0
    damaged: int = 0
    fault: str = ""
    retention: Retention = field(default_factory=Retention)


class Answers(Protocol):
    """The part of a historian that answers; see :class:`Historian`."""

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """Samples or buckets of several points."""
        ...

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """Statistics of a point by period."""
        ...

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """The sample in force just before a moment, for many points."""
        ...


class Historian(Protocol):
    """Keeps the samples and the minutes of all points. One thread uses it.

    What was appended is seen by the next query and durable after the next :meth:`flush`. After a crash, feed the changes after
    ``seq`` from the journal of the database again, then call :meth:`began`: nothing is lost or doubled. Everything is kept by the
    mRID of its point, so a renumbered model finds its own history.

    Attributes:
        seq: RTDB sequence number of the last change taken in; 0 = none.
        fault: why nothing can be written at present, or None. What was appended then waits in memory, bounded.
        lost: samples and minutes given up unwritten since it was opened.
        backfilled: late values stored since then.
        retention: how long what is kept.
    """

    seq: int
    fault: StoreError | None
    lost: int
    backfilled: int
    retention: Retention

    @property
    def damaged(self) -> int:
        """Chunks found unreadable and set aside since it was opened."""
        ...

    @property
    def stored_seq(self) -> int:
        """``seq`` as it stands on disk: where the next life goes on, also after a kill; the journal may forget what is before."""
        ...

    def set_points(self, points: Sequence[Point]) -> None:
        """Take the points of a (new) model version, indexed by pid.

        Raises:
            StoreError: new points cannot be written.
        """
        ...

    def append(self, change: ChangeSet) -> int:
        """Take in changes; those up to ``seq`` were taken already and are passed over.

        Records with ``RecordFlag.HELD`` are passed over; those with ``BACKFILL`` go the way of :meth:`backfill`.

        Returns:
            Number of samples kept.

        Raises:
            GapError: changes between ``seq`` and these are missing; read them from the journal first.
        """
        ...

    def resync(self, snapshot: Snapshot) -> int:
        """Take in the present values where the changes in between are not known, and go on from their number.

        The time since the last change taken in becomes a gap.

        Returns:
            Number of samples kept.
        """
        ...

    def began(self, snapshot: Snapshot) -> int:
        """Say that recording goes on from now, after the changes since the last life were appended.

        The time from the last life's end to the opening of this one becomes a gap, and points without a change since get a
        sample of their present value; that is durable at once. Only the first call after opening does anything.

        Args:
            snapshot: of the database, at or after ``seq``.

        Returns:
            Number of samples kept.
        """
        ...

    def backfill(self, late: Sequence[LateColumns]) -> BackfillCounts:
        """Store late values under their own time stamps, exactly (no dead-band); the same ones again change nothing.

        Values older than the retention of samples, or later than now, or of unknown points, are refused. The minutes they touch
        are computed again.
        """
        ...

    def flush(self) -> None:
        """Make everything appended so far durable and apply the retention. Call every second; the time it takes is bounded."""
        ...

    def query(self, pid: int, from_ns: int, to_ns: int, buckets: int = 0) -> Series:
        """The samples of a point from ``from_ns`` (included) to ``to_ns`` (excluded), gap markers among them.

        Args:
            pid: which point.
            from_ns: start, ns UTC.
            to_ns: end.
            buckets: 0 = the samples as they are kept, at most ``RAW_LIMIT``; else at most so many buckets, minimum and maximum
                kept. Buckets of a minute or more may be made from the minutes.

        Raises:
            StoreError: no such point, or the span is empty.
        """
        ...

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """:meth:`query` for several points."""
        ...

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """Statistics of the periods that start in the span.

        Args:
            pid: which point.
            from_ns: start, ns UTC.
            to_ns: end.
            period_s: a multiple of 60.

        Raises:
            StoreError: no such point, the span is empty, or the period is no multiple of 60 s.
        """
        ...

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """The sample in force just before a moment, for many points; a gap in between is told by its marker.

        Raises:
            StoreError: no such point.
        """
        ...

    def status(self) -> HistorianStatus:
        """How the history stands."""
        ...

    def close(self) -> None:
        """Flush and close; may be called twice.

        Raises:
            StoreError: the last samples could not be written.
        """
        ...
