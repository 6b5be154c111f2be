"""Questions to the archive: the embedded history's own reader over shelves whose chunks come from PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np

from scada.core.clock import Clock
from scada.history.archive import DAY_NS, Archive
from scada.history.interface import Aggregates, Before
from scada.history.minutes import check_periods
from scada.history.reading import Reader
from scada.history.rows import STATE_DTYPE
from scada.history.sampler import Sampler
from scada.history.series import Series
from scada.history.shelf import HOUR_NS, MinuteShelf, SampleShelf
from scada.model_cim.tables import Point

_MOST_ROWS: Final = 5_000_000
"""Samples of one point and day; a station that sends more is broken."""


class ArchiveReader:
    """Answers as :class:`~scada.history.interface.Historian` does, from what PostgreSQL has taken over.

    Args:
        archive: connected when first asked.
        clock: nothing is known after now.
        points: indexed by pid.
        known_to: time up to which PostgreSQL has everything, ns UTC.
    """

    def __init__(self, archive: Archive, clock: Clock, points: Sequence[Point], known_to: Callable[[], int]) -> None:
        self._archive, self._clock = archive, clock
        self._points = points
        self._known_to = known_to

    def query(self, pid: int, from_ns: int, to_ns: int, buckets: int = 0) -> Series:
        """See :meth:`scada.history.interface.Historian.query`.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        return self._reader([pid]).series(_NO_TRANSACTION, pid, from_ns, to_ns, buckets)

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """:meth:`query` for several points."""
        return [self.query(pid, from_ns, to_ns, buckets) for pid in pids]

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """See :meth:`scada.history.interface.Historian.before`.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        return self._reader(pids).before_many(_NO_TRANSACTION, pids, at_ns)

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """See :meth:`scada.history.interface.Historian.aggregates`.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        span, known_to = check_periods(from_ns, to_ns, period_s), min(self._clock.now_ns(), self._known_to())
        return self._reader([pid]).aggregates(_NO_TRANSACTION, pid, span, period_s, known_to)

    def _reader(self, pids: Sequence[int]) -> Reader:
        """A reader with nothing in memory, that knows the archive's numbers of these points."""
        still = Sampler()
        still.gaps = self._archive.gaps()
        still.number_of = np.zeros(max(pids, default=0) + 1, dtype=np.uint32)
        for pid in pids:
            still.number_of[pid] = self._archive.id_of(self._points[pid].mrid)
        still.state = np.zeros(int(still.number_of.max()) + 1, STATE_DTYPE)
        now, retention = self._clock.now_ns(), self._archive.retention
        raw_ns, minute_ns = (max(0, now - days * DAY_NS) if days else 0 for days in (retention.raw_days, retention.minute_days))
        return Reader(_Samples(self._archive, raw_ns), _Minutes(self._archive, minute_ns), still)


_NO_TRANSACTION: Any = None


class _Samples(SampleShelf):
    """Samples of PostgreSQL by the day."""

    def __init__(self, archive: Archive, oldest_ns: int) -> None:
        super().__init__("sample", HOUR_NS, "PostgreSQL")
        self._archive, self._oldest_ns = archive, oldest_ns

    def slots(self, txn: Any, number: int, from_ns: int, to_ns: int, *, down: bool = False) -> Iterator[Any]:
        """The samples of each day that meets a span; downwards only the last one before its end."""
        del txn
        if down:
            yield self._archive.last_before(number, to_ns)
            return
        from_ns = max(from_ns, self._oldest_ns)
        for day in self._archive.days(number, from_ns, to_ns):
            yield self._archive.samples(number, max(day, from_ns), min(day + DAY_NS, to_ns), _MOST_ROWS)


class _Minutes(MinuteShelf):
    """Minutes of PostgreSQL."""

    def __init__(self, archive: Archive, oldest_ns: int) -> None:
        super().__init__("minute", DAY_NS, "PostgreSQL")
        self._archive, self._oldest_ns = archive, oldest_ns

    def slots(self, txn: Any, number: int, from_ns: int, to_ns: int, *, down: bool = False) -> Iterator[Any]:
        """The minutes of a span; downwards only the last one before its end."""
        del txn
        from_ns = max(from_ns, self._oldest_ns)
        yield self._archive.minute_before(number, to_ns) if down else self._archive.minutes(number, from_ns, max(from_ns, to_ns))
