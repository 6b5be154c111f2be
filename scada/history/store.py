"""The embedded historian: one LMDB file of chunks, minutes, a log of inputs and the state they led to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.history.backfilling import Refusals, recompute
from scada.history.interface import MAX_AHEAD_NS, Aggregates, BackfillCounts, Before, HistorianStatus, LateColumns, Retention
from scada.history.minutes import check_periods
from scada.history.reading import RAW_LIMIT, Reader
from scada.history.room import Room
from scada.history.rotation import LOG, STATES, Rotation
from scada.history.rows import first_of_minutes
from scada.history.sampler import Sampler, late_columns
from scada.history.series import Series
from scada.history.shelf import DAY_NS, HOUR_NS, TABLES, MinuteShelf, SampleShelf
from scada.history.upgrade import from_layout_1
from scada.model_cim.tables import Point
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, quarantine

__all__ = ["RAW_LIMIT", "HistoryStore"]

_NAME: Final = "history"
_LAYOUT: Final = 2
_NAMES: Final = "names"
_META: Final = "meta"
_GAPS: Final = "gaps"
_SEQ: Final = b"seq"
_RECORDED_TO: Final = b"recorded_to"
_OLDEST: Final = (b"oldest", b"oldest_minute")
_MAX_ROWS: Final = 2_000_000
_IDLE_S: Final = 10.0
"""With nothing to write, the file is told this often that nothing was to be written."""
_LOOK_S: Final = 1.0
"""Two clocks read farther apart than this (a simulated day runs fast) tell nothing of each other."""


class HistoryStore:
    """See :class:`scada.history.interface.Historian`.

    With a full disk samples and minutes wait in memory (at most 2 000 000 each, then the oldest are given up, counted in ``lost``
    and shown as a gap) and are retried at each flush; ``fault`` says why. With 80 % of the map used, the oldest hours make room.

    Args:
        path: folder; made if absent.
        clock: time.
        points: indexed by pid.
        map_mb: fixed size of the file.
        retention: how long what is kept, if there is room.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(
        self, path: Path, clock: Clock, points: Sequence[Point], *, map_mb: int = 2048, retention: Retention | None = None
    ) -> None:
        self._clock = clock
        self.retention = retention or Retention()
        self.fault: StoreError | None = None
        self.lost = self.backfilled = 0
        self._opened_ns = clock.now_ns()
        self._file = LmdbFile(
            path,
            _NAME,
            layout=_LAYOUT,
            map_mb=map_mb,
            databases=(*TABLES, LOG, STATES, _GAPS, _NAMES, _META, *self._more_tables()),
            metasync=False,
            upgrades=MappingProxyType({1: from_layout_1}),
        )
        try:
            where = str(self._file.path)
            self._sampler = Sampler()
            self._samples, self._minutes = SampleShelf("chunks", HOUR_NS, where), MinuteShelf("minutes", DAY_NS, where)
            self._reader = Reader(self._samples, self._minutes, self._sampler)
            self._rotation = Rotation(self._sampler, self._samples, self._minutes, clock, where)
            with self._file.read() as txn:
                self._numbers = {name: int.from_bytes(number, "big") for name, number in txn.ascending(_NAMES)}
                self._gaps = [(int.from_bytes(start, "big"), int.from_bytes(end, "big")) for start, end in txn.ascending(_GAPS)]
                self.seq, recorded_to, samples, minutes = (_number(txn, key) for key in (_SEQ, _RECORDED_TO, *_OLDEST))
            self._gaps_written = len(self._gaps)
            self._sampler.gaps = np.array([start for start, _ in self._gaps], dtype=np.int64)
            self.set_points(points)
            with self._file.read() as txn:
                self._rotation.load(txn, self._recompute)
        except BaseException:
            self._file.close()
            raise
        self._room = Room(self._file.map_bytes, self.retention, (samples, minutes))
        self._reader.raw_from_ns = samples if samples > minutes else 0
        # a clock set back while nobody recorded: since when is not known
        set_back = recorded_to > self._opened_ns + MAX_AHEAD_NS
        self._heard_ns, self._stored_seq = self._opened_ns - 1 if set_back else recorded_to, self.seq
        self._catching_up = True
        self._marked = False
        self._resumed_ns = 0
        self._lost_from = np.empty(0, dtype=np.int64)
        self._written_at = clock.monotonic()
        self._looked: tuple[int, float] | None = None

    @classmethod
    def open_or_quarantine(
        cls, path: Path, clock: Clock, points: Sequence[Point], *, map_mb: int = 2048, retention: Retention | None = None
    ) -> tuple[HistoryStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, clock, points, map_mb=map_mb, retention=retention), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            store = cls(path, clock, points, map_mb=map_mb, retention=retention)
            return store, f"{error.what}; {error.where} was moved to {aside.name} and an empty history started"

    @property
    def stored_seq(self) -> int:
        """``seq`` as it stands on disk: where the next life goes on, also after a kill."""
        return self._stored_seq

    def set_points(self, points: Sequence[Point]) -> None:
        """Take the points of a (new) model version; new ones get a history number.

        Raises:
            StoreError: the numbers cannot be written.
        """
        new = list(dict.fromkeys(point.mrid.encode() for point in points if point.mrid.encode() not in self._numbers))
        added = {name: len(self._numbers) + i for i, name in enumerate(new)}
        if added:
            with self._file.write() as txn:
                for name, number in added.items():
                    txn.put(_NAMES, name, number.to_bytes(4, "big"))
            self._numbers.update(added)
        numbers = np.array([self._numbers[point.mrid.encode()] for point in points], dtype=np.uint32)
        self._sampler.configure(points, numbers, len(self._numbers))
        self._rotation.grow(len(self._numbers))

    # ------------------------------------------------------------------ writing

    def append(self, change: ChangeSet) -> int:
        """Take in changes; see the interface."""
        if 0 < self.seq < change.first - 1:
            raise GapError(self.seq + 1, change.first)
        skip = max(0, self.seq + 1 - change.first)
        if skip >= len(change):
            return 0
        self._watch_clock()
        if self._catching_up and change.is_restart:
            self._add_gap(self._heard_ns, int(change.received_at.min()))
            self._marked = True
        if change.committed_at <= self._clock.now_ns() + MAX_AHEAD_NS:
            self._heard_ns = max(self._heard_ns, change.committed_at)
        self.seq = change.last
        kept = self._take(self._sampler.inputs_of(change, skip))
        late = late_columns(change, skip)
        return kept + self.backfill(late).stored if late else kept

    def resync(self, snapshot: Snapshot) -> int:
        """Go on from a snapshot after a gap; see the interface."""
        now = self._clock.now_ns()
        self._add_gap(self._heard_ns, now)
        self._catching_up, self._heard_ns, self.seq = False, now, snapshot.seq
        kept = self._take(self._sampler.present(snapshot))
        return kept + self._take(self._sampler.present(snapshot, since=now, now_ns=now))

    def began(self, snapshot: Snapshot) -> int:
        """Say that recording goes on from now; see the interface."""
        if not self._catching_up:
            return 0
        self._catching_up = False
        if not self._marked:
            self._add_gap(self._heard_ns, self._opened_ns)
        since = self._resumed_ns or (self._gaps[-1][1] if self._gaps else 0)
        kept = self._take(self._sampler.present(snapshot, since=since, now_ns=self._clock.now_ns())) if since else 0
        self.flush()
        return kept

    def _watch_clock(self) -> None:
        """A clock that was set: every value in force is so from there on; the time left out forward is a gap."""
        ran, now = self._clock.monotonic(), self._clock.now_ns()
        if self._clock.monotonic() - ran > _LOOK_S:
            return
        (wall, before), self._looked = self._looked or (now, ran), (now, ran)
        expected = wall + round((ran - before) * NS_PER_S)
        if abs(now - expected) <= MAX_AHEAD_NS or self._catching_up:
            return
        if now > expected:
            self._add_gap(self._sampler.latest(expected), now)
        self._heard_ns = now
        self._take(self._sampler.in_force(now))

    def _take(self, inputs: npt.NDArray[np.void]) -> int:
        self._rotation.inputs.extend(inputs)
        return self._sampler.observe(inputs)

    def _add_gap(self, from_ns: int, to_ns: int) -> None:
        if 0 < from_ns < to_ns:
            self._resumed_ns = to_ns
            self._gaps.append((from_ns, to_ns))
            self._gaps.sort()
            self._gaps_written = 0
            self._sampler.gaps = np.array([start for start, _ in self._gaps], dtype=np.int64)

    def backfill(self, late: Sequence[LateColumns]) -> BackfillCounts:
        """Store late values; see the interface."""
        now = self._clock.now_ns()
        oldest = self._room.limits(now).samples_before
        refusals, stored, known = Refusals(len(self._sampler.number_of), oldest, now), 0, 0
        with self._reading() as txn:
            for columns in refusals.sift(late):
                inputs = self._sampler.late_inputs(columns)
                there = self._reader.known(txn, int(inputs["number"][0]), inputs)
                stored, known = stored + int((~there).sum()), known + int(there.sum())
                self._take(inputs[~there])
            self._recompute(txn)
        self.backfilled += stored
        return BackfillCounts(stored, known, refusals.count, refusals.reason)

    def _recompute(self, txn: Transaction) -> None:
        recompute(txn, self._reader, self._sampler)

    def flush(self) -> None:
        """Make everything appended so far durable; see the interface."""
        self._flush(0.0)

    def _flush(self, hurry: float) -> None:
        now = self._clock.now_ns()
        try:
            self._watch_clock()
            self._sampler.advance(now)
            if self._sampler.touched.count:
                with self._reading() as txn:
                    self._recompute(txn)
            if self._idle():
                return
            if self._sampler.kept.count:
                self._room.note(int(self._sampler.kept.rows["time"].min()))
            limits, lost = self._room.limits(now), [(start, start + 1) for start in self._lost_from.tolist()]
            with self._file.write() as txn:
                committed_along = self._write_along(txn)
                committed = self._rotation.write(txn, now, limits, hurry=max(hurry, self._room.hurry))
                for start, end in (*self._gaps[self._gaps_written :], *lost):
                    txn.put(_GAPS, start.to_bytes(8, "big"), end.to_bytes(8, "big"))
                numbers = (self.seq, max(now, 0), *self._room.oldest)
                for key, number in zip((_SEQ, _RECORDED_TO, *_OLDEST), numbers, strict=True):
                    txn.put(_META, key, number.to_bytes(8, "big"))
                used = (txn.size("chunks"), txn.size("minutes"), txn.size(LOG))
        except StoreError as error:
            self.fault = error
            self._give_up_oldest()
            return
        turns = self._rotation.turns
        committed()
        committed_along()
        for gap in lost:
            self._add_gap(*gap)
        if lost:
            self._take(self._sampler.in_force(now))  # the gap is one of all points, and some lost nothing
        self._gaps_written, self._stored_seq, self._lost_from, self.fault = len(self._gaps), self.seq, self._lost_from[:0], None
        self._written_at = self._clock.monotonic()
        self._room.settle(used, limits, now, turned=self._rotation.turns > turns)
        if limits.samples_before:
            self._reader.raw_from_ns = self._room.oldest[0]

    @classmethod
    def _more_tables(cls) -> Sequence[str]:
        """Tables in the file that a historian has which passes the history on."""
        return ()

    def _write_along(self, txn: Transaction) -> Callable[[], None]:
        """What such a historian writes in the transaction of a flush; the result is called once that is committed."""
        del txn
        return lambda: None

    def _idle(self) -> bool:
        """Nothing to write, and the file was told so not long ago."""
        waits = self._sampler.kept.count or self._sampler.minutes.count or self._gaps_written < len(self._gaps)
        same = self.seq == self._stored_seq and not self._rotation.waiting and not waits
        return same and self._clock.monotonic() - self._written_at < _IDLE_S

    def _give_up_oldest(self) -> None:
        """Bound what waits in memory while nothing can be written."""
        if self._rotation.inputs.count > _MAX_ROWS:
            self._rotation.drop_inputs()
        for tail in (self._sampler.kept, self._sampler.minutes):
            surplus = tail.count - _MAX_ROWS
            if surplus > 0:
                missing = first_of_minutes(tail.rows["time"][:surplus])
                self._lost_from = first_of_minutes(np.append(self._lost_from, missing))
                self.lost += surplus
                tail.keep(np.arange(tail.count) >= surplus)

    def close(self) -> None:
        """Flush and close; see the interface."""
        if self._file.closed:
            return
        self._written_at -= _IDLE_S
        self.flush()
        self._file.close()
        if self.fault is not None:
            raise self.fault

    # ------------------------------------------------------------------ reading

    @contextmanager
    def _reading(self) -> Iterator[Transaction]:
        """A read transaction; chunks found damaged in it are set aside afterwards."""
        with self._file.read() as txn:
            yield txn
        damaged = [(shelf, one) for shelf in (self._samples, self._minutes) for one in shelf.damaged]
        if damaged:
            with self._file.write() as txn:
                for shelf, one in damaged:
                    shelf.set_aside(txn, one)
            self._samples.damaged.clear()
            self._minutes.damaged.clear()

    def _ask(self, pid: int, from_ns: int, to_ns: int) -> None:
        if not 0 <= pid < len(self._sampler.number_of):
            raise StoreError(f"there is no point {pid}", where="history", mend="ask for points of the present model")
        if not 0 <= from_ns < to_ns:
            raise StoreError(f"the span {from_ns}..{to_ns} is empty", where="history", mend="give a start before the end")

    def _answer(self, ask: Callable[[Transaction], Series | Aggregates]) -> Series | Aggregates:
        """Ask, and once more if a chunk was damaged: the second answer shows where nothing is known."""
        lost = self.damaged
        with self._reading() as txn:
            self._recompute(txn)
            answer = ask(txn)
        if self.damaged == lost:
            return answer
        with self._reading() as txn:
            return ask(txn)

    @property
    def damaged(self) -> int:
        """Chunks found unreadable and set aside since the store was opened."""
        return self._samples.lost_chunks + self._minutes.lost_chunks

    def query(self, pid: int, from_ns: int, to_ns: int, buckets: int = 0) -> Series:
        """The samples of a point; see the interface."""
        self._ask(pid, from_ns, to_ns)
        answer = self._answer(lambda txn: self._reader.series(txn, pid, from_ns, to_ns, buckets))
        assert isinstance(answer, Series)
        return answer

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """:meth:`query` for several points."""
        return [self.query(pid, from_ns, to_ns, buckets) for pid in pids]

    def aggregates(self, pid: int, from_ns: int, to_ns: int, period_s: int) -> Aggregates:
        """Statistics by period; see the interface."""
        self._ask(pid, from_ns, to_ns)
        span, now = check_periods(from_ns, to_ns, period_s), self._clock.now_ns()
        answer = self._answer(lambda txn: self._reader.aggregates(txn, pid, span, period_s, now))
        assert isinstance(answer, Aggregates)
        return answer

    def before(self, pids: Sequence[int], at_ns: int) -> Before:
        """The samples in force just before a moment; see the interface."""
        for pid in pids:
            self._ask(pid, 0, max(1, at_ns))
        with self._reading() as txn:
            return self._reader.before_many(txn, pids, at_ns)

    def status(self) -> HistorianStatus:
        """How the history stands."""
        with self._file.read() as txn:
            stored = sum(txn.size(table) for table in (*TABLES, LOG, STATES, _GAPS, _NAMES, _META))
        return HistorianStatus(
            backend="embedded",
            oldest_ns=self._room.oldest[0],
            stored_bytes=stored,
            waiting=self._rotation.waiting,
            lost=self.lost,
            backfilled=self.backfilled,
            damaged=self.damaged,
            fault="" if self.fault is None else str(self.fault),
            retention=self.retention,
        )


def _number(txn: Transaction, key: bytes) -> int:
    return int.from_bytes(txn.get(_META, key) or b"", "big")
