"""The history for many users: kept in the embedded store, and passed on to PostgreSQL, where anyone may read it by SQL.

The embedded store is what the server writes and asks first, so that neither a slow PostgreSQL nor none at all holds it up. Each
flush puts what it made into the outbox in the same transaction; the :class:`Shipper` carries the outbox to the archive, from a
thread of its own if one wants. What the embedded store no longer has is asked of the archive.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S, Clock
from scada.core.quality import is_good
from scada.history.archive import Archive, PointName
from scada.history.archive_reading import ArchiveReader
from scada.history.connection import ArchiveError
from scada.history.interface import MINUTE_NS, NOT_RECORDED, Aggregates, Before, HistorianStatus, Retention
from scada.history.outbox import TABLES, Outbox, together
from scada.history.rows import TOUCHED_DTYPE
from scada.history.series import Series
from scada.history.store import HistoryStore
from scada.model_cim.tables import Point
from scada.rtdb.lmdb_file import CorruptFileError, Transaction, quarantine

OUTBOX_SHARE: Final = 0.4
"""Largest part of the file that waiting parcels may take."""
SHIP_ROWS: Final = 50_000
"""Rows of one transaction in PostgreSQL, about."""
TIDY_S: Final = 3600.0
HUNG_S: Final = 45.0
"""After so long without an answer PostgreSQL hangs: longer than it lets a statement run."""
_EMPTY_ARCHIVE: Final = 2**63 - 1


@dataclass(slots=True)
class Shipper:
    """Carries the outbox to the archive, in order, each parcel once.

    Attributes:
        shipped: samples and minutes carried since it was made.
        oldest_ns: time of the oldest sample in the archive; 0 = not known yet, the largest number = the archive is empty.
        stored_bytes: of the archive, when it was last tidied.
        complete_ns: time of the flush up to which the archive has everything; 0 = not known yet.
    """

    outbox: Outbox
    archive: Archive
    clock: Clock
    names: Sequence[PointName] = ()
    shipped: int = 0
    oldest_ns: int = 0
    stored_bytes: int = 0
    complete_ns: int = 0
    _tidied_at: float = -TIDY_S
    _carried_from: str = ""
    _through: int = 0

    def ship(self, most_parcels: int = 1_000_000) -> bool:
        """Carry what waits; does nothing while the archive pauses after a fault.

        Returns:
            Whether more waits, because of ``most_parcels`` (a parcel here is several of the outbox, together
            :data:`SHIP_ROWS` rows).

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses; everything not taken waits on.
        """
        if not self.archive.due:
            return False
        try:
            self._prepare()
            for _ in range(most_parcels):
                flushed_ns = self.outbox.time_ns
                waiting = self.outbox.parcels(self._through, SHIP_ROWS)
                if not waiting:
                    self.complete_ns = flushed_ns
                    return False
                parcel = together(waiting)
                self.archive.take(self.outbox.identity, parcel, self._name_of, doubt_ns=self.outbox.doubt_ns)
                self._through = parcel.block
                self.shipped += len(parcel.samples) + len(parcel.minutes)
                self.outbox.remove(parcel.block)
        except ArchiveError:
            # what was under way may have been taken: ask before the next one
            self._carried_from = ""
            raise
        return True

    def _prepare(self) -> None:
        """Find out where to go on, once for each connection; keep the partitions in order."""
        if self._carried_from != self.outbox.identity:
            self._agree()
            self._carried_from = self.outbox.identity
        if self.clock.monotonic() - self._tidied_at >= TIDY_S:
            self.archive.tidy()
            oldest, self.stored_bytes = self.archive.extent()
            self.oldest_ns = oldest or _EMPTY_ARCHIVE
            self._tidied_at = self.clock.monotonic()

    def _agree(self) -> None:
        """Compare the numbers on both sides; those of a file that went back in time are not trusted."""
        block, digest = self.archive.taken(self.outbox.identity)
        same = self.outbox.parcels(block - 1, 1) if block else []
        went_back = block > self.outbox.last or any(one.block == block and one.digest != digest for one in same)
        if went_back:
            self.outbox.renew(self.clock.now_ns())
            block = 0
        self.outbox.remove(block)
        self._through = block

    def _name_of(self, number: int) -> PointName:
        return self.names[number]


class Beside:
    """Answers from the file beside the server alone: it never touches the connection, which another thread may use.

    Args:
        historian: whose file it is.
    """

    def __init__(self, historian: PostgresHistorian) -> None:
        self._historian = historian

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """Samples or buckets of several points."""
        return [HistoryStore.query(self._historian, pid, from_ns, to_ns, buckets) for pid in pids]

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """Statistics of a point by period."""
        return HistoryStore.aggregates(self._historian, pid, from_ns, to_ns, period_s)

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """The sample in force just before a moment, for many points; not known where only minutes reach so far back."""
        return HistoryStore.before(self._historian, pids, at_ns)


class PostgresHistorian(HistoryStore):
    """The embedded store with an outbox. Its own methods are for one thread; ``shipper`` may be used by another.

    Args:
        path, clock, points, map_mb, retention: see :class:`~scada.history.store.HistoryStore`.
        archive: not connected yet.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        points: Sequence[Point],
        *,
        archive: Archive,
        map_mb: int = 2048,
        retention: Retention | None = None,
    ) -> None:
        self._archive = archive
        self._names: Sequence[PointName] = ()
        self._told = np.zeros(0, dtype=np.int64)
        super().__init__(path, clock, points, map_mb=map_mb, retention=retention)
        self.outbox = Outbox(self._file, int(OUTBOX_SHARE * self._file.map_bytes), clock.now_ns())
        self.shipper = Shipper(self.outbox, archive, clock, self._names)
        self.archived = ArchiveReader(archive, clock, points, self._known_to)
        if 0 < self.outbox.seq != self.seq:  # the file was written by a historian without an outbox
            self.outbox.report_gap(self.outbox.time_ns)
        # what the last life flushed is in the outbox or in PostgreSQL
        self._passed_samples, self._passed_minutes = self._sampler.kept.count, self._sampler.minutes.count
        self._passed_gaps = {start for start, _ in self._gaps}

    @classmethod
    def open_with(
        cls, archive: Archive, path: Path, clock: Clock, points: Sequence[Point], *, map_mb: int, retention: Retention
    ) -> tuple[PostgresHistorian, str]:
        """As :meth:`open_or_quarantine` of the embedded store; what waited for PostgreSQL in a damaged file is lost with it.

        Raises:
            StoreError: any other fault of the file.
        """
        make = partial(cls, path, clock, points, archive=archive, map_mb=map_mb, retention=retention)
        try:
            return make(), ""
        except CorruptFileError as error:
            aside = quarantine(path, "history", clock.now_ns())
            return make(), f"{error.what}; {error.where} was moved to {aside.name} and an empty history started"

    @classmethod
    def _more_tables(cls) -> Sequence[str]:
        return TABLES

    def set_points(self, points: Sequence[Point]) -> None:
        """Take the points of a (new) model version; see the interface."""
        super().set_points(points)
        names = [PointName("")] * len(self._numbers)
        for mrid, number in self._numbers.items():
            names[number] = PointName(mrid.decode())
        for point in points:
            kind = point.kind.name.lower()
            names[self._numbers[point.mrid.encode()]] = PointName(
                point.mrid, point.path, point.name, point.station, point.unit, kind
            )
        self._names = names
        if hasattr(self, "shipper"):
            self.shipper.names = names
            self.archived = ArchiveReader(self._archive, self._clock, points, self._known_to)

    # ------------------------------------------------------------------ passing on

    def _write_along(self, txn: Transaction) -> Callable[[], None]:
        """Put into the outbox what is new since the last flush."""
        gaps = [start for start, _ in self._gaps if start not in self._passed_gaps]
        shipment = self.outbox.put(
            txn,
            self._sampler.kept.rows[self._passed_samples :],
            np.concatenate([self._sampler.minutes.rows[self._passed_minutes :], over := self._minutes_over(txn)]),
            np.array(gaps, dtype=np.int64),
            (self.seq, self._clock.now_ns()),
        )

        def committed() -> None:
            self._passed_samples, self._passed_minutes = self._sampler.kept.count, self._sampler.minutes.count
            self._passed_gaps.update(gaps)
            self._told[over["number"]] = over["time"]
            shipment.committed()

        return committed

    def _minutes_over(self, txn: Transaction) -> npt.NDArray[np.void]:
        """The last minute of each point that rests, once it is over: the embedded store makes it when the next value comes."""
        if len(self._told) < len(self._sampler.state):
            self._told = np.append(self._told, np.zeros(len(self._sampler.state) - len(self._told), dtype=np.int64))
        state, now = self._sampler.state, self._clock.now_ns()
        rests = (state["minute"] > 0) & (state["minute"] + MINUTE_NS <= now) & (state["minute"] != self._told)
        numbers = np.flatnonzero(rests).astype(np.uint32)
        one = state[numbers]
        over = self._sampler.open_minutes(numbers)
        for index in np.flatnonzero(one["late"]).tolist():
            number, start = int(numbers[index]), int(over["time"][index])
            none, old = np.zeros(0, TOUCHED_DTYPE), over[index : index + 1]
            over[index] = self._reader.made_anew(txn, number, start, start + MINUTE_NS, old, none, is_open=True)[-1]
        self._go_on(over, one)
        return over

    def _go_on(self, over: npt.NDArray[np.void], state: npt.NDArray[np.void]) -> None:
        """Let the values in force go on to the ends of their minutes, or to the gaps in them."""
        end = over["time"] + MINUTE_NS
        gaps = np.append(self._sampler.gaps, np.iinfo(np.int64).max)
        gap = gaps[np.searchsorted(gaps, state["since"])]
        seconds = np.maximum(np.minimum(end, gap) - state["since"], 0) / NS_PER_S
        good = is_good(state["quality"]) & ~np.isnan(state["value"])
        over["good_s"] += np.where(good, seconds, 0.0)
        over["area"] += np.where(good, seconds * state["value"], 0.0)
        lost = gap < end
        over["state"][lost] = NOT_RECORDED
        over["quality"][lost] |= np.uint32(NOT_RECORDED)

    def _give_up_oldest(self) -> None:
        kept, minutes = self._sampler.kept.count, self._sampler.minutes.count
        super()._give_up_oldest()
        self._passed_samples = max(0, self._passed_samples - (kept - self._sampler.kept.count))
        self._passed_minutes = max(0, self._passed_minutes - (minutes - self._sampler.minutes.count))

    # ------------------------------------------------------------------ reading

    def answers(self, from_ns: int, *, periods: bool = False) -> bool:
        """Whether the embedded store has everything from a time on that PostgreSQL has.

        Args:
            from_ns: ns UTC.
            periods: statistics are asked for, which are kept longer than samples.
        """
        first = max(self._room.oldest[1 if periods else 0], self.outbox.began_ns)
        return from_ns >= first or self.shipper.oldest_ns >= first

    def query(self, pid: int, from_ns: int, to_ns: int, buckets: int = 0) -> Series:
        """The samples of a point; what is not here any more is asked of PostgreSQL.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        self._ask(pid, from_ns, to_ns)
        if self.answers(from_ns):
            return super().query(pid, from_ns, to_ns, buckets)
        self._carry()
        return self.archived.query(pid, from_ns, to_ns, buckets)

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """Statistics by period; what is not here any more is asked of PostgreSQL.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        self._ask(pid, from_ns, to_ns)
        if self.answers(from_ns, periods=True):
            return super().aggregates(pid, from_ns, to_ns, period_s)
        self._carry()
        return self.archived.aggregates(pid, from_ns, to_ns, period_s)

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """The samples in force just before a moment; what is not here any more is asked of PostgreSQL.

        Raises:
            ArchiveError: PostgreSQL does not answer or refuses.
        """
        if self.answers(at_ns):
            return super().before(pids, at_ns)
        for pid in pids:
            self._ask(pid, 0, max(1, at_ns))
        self._carry()
        return self.archived.before(pids, at_ns)

    def _known_to(self) -> int:
        """Time up to which PostgreSQL has the minutes of all points."""
        return self.shipper.complete_ns - 2 * MINUTE_NS

    def _carry(self) -> None:
        self.flush()
        self.shipper.ship()

    def status(self) -> HistorianStatus:
        """How the history stands; ``waiting`` counts what PostgreSQL has not taken yet."""
        here, shipper, fault = super().status(), self.shipper, self._archive.fault
        archived = 0 if shipper.oldest_ns == _EMPTY_ARCHIVE else shipper.oldest_ns
        return dataclasses.replace(
            here,
            backend="postgresql",
            oldest_ns=min(time for time in (here.oldest_ns, archived) if time) if here.oldest_ns or archived else 0,
            stored_bytes=here.stored_bytes + shipper.stored_bytes,
            waiting=here.waiting + self.outbox.rows,
            lost=here.lost + self.outbox.given_up,
            fault=here.fault or ("" if fault is None else str(fault)),
        )

    def flush(self) -> None:
        """Make everything appended so far durable; PostgreSQL that hangs meanwhile is given up."""
        super().flush()
        self._archive.break_off(HUNG_S)

    def close(self) -> None:
        """Flush and close; what PostgreSQL has not taken waits in the file."""
        self._archive.break_off(0.0)
        try:
            super().close()
        finally:
            self._archive.close()
