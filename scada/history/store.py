"""History of samples: a tail in memory, made durable in seconds and sealed into compressed chunks of one point and one hour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, Records
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.history import chunk
from scada.history.chunk import SAMPLE_DTYPE, Samples
from scada.history.sampling import ROW_DTYPE, select_samples
from scada.history.series import Buckets, Series, raw_series
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, quarantine, seal, unseal

_NAME: Final = "history"
_LAYOUT: Final = 1
_CHUNKS: Final = "chunks"
_TAIL: Final = "tail"
_NAMES: Final = "names"
_META: Final = "meta"
_DAMAGED: Final = "damaged"
"""Chunks that could not be read when they were to be merged; kept for an expert, not read again."""
_SEQ: Final = b"seq"
_HOUR: Final = 3600 * NS_PER_S
_SEAL_ROWS: Final = 200_000
_SEAL_ROWS_OF_A_POINT: Final = 32
"""The tail is sealed when it is so long on average, because a chunk of a few samples costs as much as one of many."""
_SEAL_S: Final = 600.0
_MAX_ROWS: Final = 2_000_000
_FULL_AT: Final = 0.8
RAW_LIMIT: Final = 100_000
"""Raw samples a query answers at most, for one point."""

_BANDED: Final = frozenset({PointKind.ANALOG, PointKind.COUNTER})


class HistoryStore:
    """Samples of all points. One thread uses it.

    A sample is queryable as soon as :meth:`append` returned and durable after the next :meth:`flush`. After a crash, feed the
    changes after ``seq`` from the journal of the RTDB again: nothing is lost or doubled; or :meth:`resync` where the journal has
    a gap. Samples are kept by the mRID of their point, so a renumbered model finds its own history.

    With a full disk samples wait in memory (at most 2 000 000, then the oldest are given up and counted in ``lost``) and are
    retried at each flush; ``fault`` says why. When 80 % of the map are used, the oldest hours make room.

    Args:
        path: folder; made if absent.
        clock: for the time between seals.
        points: indexed by pid.
        map_mb: fixed size of the file.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.

    Attributes:
        seq: RTDB sequence number of the last change taken in.
        fault: why the file cannot be written at present, or None.
        lost: samples given up unwritten since the store was opened.
        damaged: chunks found unreadable and set aside since then.
    """

    def __init__(self, path: Path, clock: Clock, points: Sequence[Point], *, map_mb: int = 2048) -> None:
        self._clock = clock
        self.fault: StoreError | None = None
        self.lost = self.damaged = 0
        self._file = LmdbFile(
            path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_CHUNKS, _TAIL, _NAMES, _META, _DAMAGED), metasync=False
        )
        try:
            with self._file.read() as txn:
                self.seq = self._stored_seq = int.from_bytes(txn.get(_META, _SEQ) or b"", "big")
                tail = [np.frombuffer(unseal(blob, self._where), ROW_DTYPE) for _, blob in txn.ascending(_TAIL)]
                self._numbers = {name: int.from_bytes(number, "big") for name, number in txn.ascending(_NAMES)}
            self._rows = np.concatenate([*tail, np.empty(1024, ROW_DTYPE)])
            self._count = self._flushed = len(self._rows) - 1024
            self._last_value = np.zeros(0)
            self._last_quality = np.zeros(0, dtype=np.int64)
            self.set_points(points)
        except BaseException:
            self._file.close()
            raise
        self._sealed_at = clock.monotonic()

    @classmethod
    def open_or_quarantine(
        cls, path: Path, clock: Clock, points: Sequence[Point], *, map_mb: int = 2048
    ) -> tuple[HistoryStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, clock, points, map_mb=map_mb), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            store = cls(path, clock, points, map_mb=map_mb)
            return store, f"{error.what}; {error.where} was moved to {aside.name} and an empty history started"

    @property
    def _where(self) -> str:
        return str(self._file.path)

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
        self._number_of = np.array([self._numbers[point.mrid.encode()] for point in points], dtype=np.uint32)
        self._deadband = np.array([point.deadband if point.kind in _BANDED else 0.0 for point in points], dtype=np.float64)
        self._seal_rows = min(max(_SEAL_ROWS, _SEAL_ROWS_OF_A_POINT * len(points)), _MAX_ROWS // 2)
        grown = len(self._numbers) - len(self._last_value)
        self._last_value = np.append(self._last_value, np.full(grown, np.nan))
        self._last_quality = np.append(self._last_quality, np.full(grown, -1, dtype=np.int64))

    # ------------------------------------------------------------------ writing

    def append(self, change: ChangeSet) -> int:
        """Take in changes; those up to ``seq`` were taken already and are passed over.

        Returns:
            Number of samples kept.

        Raises:
            GapError: changes between ``seq`` and these are missing; read them from the journal first.
        """
        if 0 < self.seq < change.first - 1:
            raise GapError(self.seq + 1, change.first)
        skip = max(0, self.seq + 1 - change.first)
        if skip >= len(change):
            return 0
        self.seq = change.last
        return self._keep(change.records[skip:], change.received_at[skip:])

    def resync(self, snapshot: Snapshot) -> int:
        """Take in the present values, where the changes in between are not known, and go on from their number.

        Returns:
            Number of samples kept.
        """
        present = np.flatnonzero(snapshot.quality & np.uint32(Quality.NEVER_RECEIVED) == 0)
        records = np.zeros(len(present), dtype=POINT_DTYPE)
        for column in ("pid", "value", "quality", "source_time"):
            records[column] = getattr(snapshot, column)[present]
        self.seq = snapshot.seq
        return self._keep(records, snapshot.received_at[present])

    def _keep(self, records: Records, received_at: npt.NDArray[np.int64]) -> int:
        needed = self._count + len(records)
        if needed > len(self._rows):
            rows = np.empty(2 * needed, dtype=ROW_DTYPE)
            rows[: self._count] = self._rows[: self._count]
            self._rows = rows
        kept = int(
            select_samples(
                records,
                received_at,
                self._number_of,
                self._deadband,
                self._last_value,
                self._last_quality,
                self._rows[self._count :],
            )
        )
        self._count += kept
        return kept

    def flush(self) -> None:
        """Make everything appended so far durable; seals the tail when it is long or old. Call every second or two."""
        if self.seq == self._stored_seq and self._count == 0:
            return
        due = self._count >= self._seal_rows or self._clock.monotonic() - self._sealed_at >= _SEAL_S
        try:
            with self._file.write() as txn:
                if due:
                    self._seal(txn)
                elif self._count > self._flushed:
                    rows = self._rows[self._flushed : self._count]
                    txn.put(_TAIL, self._flushed.to_bytes(8, "big"), seal(rows.tobytes()))
                txn.put(_META, _SEQ, self.seq.to_bytes(8, "big"))
        except StoreError as error:
            self.fault = error
            self._give_up_oldest()
            return
        self.fault = None
        self._stored_seq = self.seq
        if due:
            self._count = 0
            self._sealed_at = self._clock.monotonic()
        self._flushed = self._count

    def _seal(self, txn: Transaction) -> None:
        """Merge the tail into the chunks of its points and hours."""
        rows = self._rows[: self._count]
        hours = rows["time"] // _HOUR
        order = np.lexsort((rows["time"], hours, rows["number"]))
        rows, hours = rows[order], hours[order]
        starts = np.flatnonzero((np.diff(rows["number"], prepend=-1) != 0) | (np.diff(hours, prepend=-1) != 0))
        columns = chunk.Columns(_samples(rows), starts)
        places = zip(rows["number"][starts].tolist(), hours[starts].tolist(), strict=True)
        for (start, stop), (number, hour) in zip(pairwise([*starts.tolist(), len(rows)]), places, strict=True):
            key = _key(number, hour)
            stored = txn.get(_CHUNKS, key)
            if stored is None:
                blob = columns.encode(start, stop)
            else:
                blob = chunk.encode(self._merged(txn, key, stored, _samples(rows[start:stop])))
            txn.put(_CHUNKS, key, blob)
        for key in [key for key, _ in txn.ascending(_TAIL)]:
            txn.delete(_TAIL, key)
        while txn.size(_CHUNKS) > _FULL_AT * self._file.map_bytes:
            _drop_oldest_hour(txn)

    def _merged(self, txn: Transaction, key: bytes, stored: bytes, samples: Samples) -> Samples:
        try:
            return _in_order(np.concatenate((chunk.decode(stored, self._where), samples)))
        except CorruptFileError:
            txn.put(_DAMAGED, key, stored)
            self.damaged += 1
            return samples

    def _give_up_oldest(self) -> None:
        surplus = self._count - _MAX_ROWS
        if surplus > 0:
            self._rows[:_MAX_ROWS] = self._rows[surplus : self._count].copy()
            self._count = _MAX_ROWS
            self._flushed = max(0, self._flushed - surplus)
            self.lost += surplus

    def close(self) -> None:
        """Flush and close; may be called twice.

        Raises:
            StoreError: the last samples could not be written.
        """
        if self._file.closed:
            return
        self.flush()
        self._file.close()
        if self.fault is not None:
            raise self.fault

    # ------------------------------------------------------------------ reading

    def query(self, pid: int, from_ns: int, to_ns: int, buckets: int = 0) -> Series:
        """The samples of a point.

        Args:
            pid: which point.
            from_ns: start, ns UTC, included.
            to_ns: end, excluded.
            buckets: 0 = the samples as they were, at most :data:`RAW_LIMIT`; else at most so many buckets.

        Raises:
            StoreError: no such point, or the span is empty.
            CorruptFileError: a chunk is damaged.
        """
        if not 0 <= pid < len(self._number_of):
            raise StoreError(f"there is no point {pid}", where="history", mend="ask for points of the present model")
        if not 0 <= from_ns < to_ns:
            raise StoreError(f"the span {from_ns}..{to_ns} is empty", where="history", mend="give a start before the end")
        number = int(self._number_of[pid])
        tail = _samples(self._rows[: self._count][self._rows["number"][: self._count] == number])
        with self._file.read() as txn:
            before = self._before(txn, number, from_ns, tail)
            tail = _in_order(_within(tail, from_ns, to_ns))
            parts = self._chunks(txn, number, from_ns, to_ns)
            if not buckets:
                samples, truncated = _first(parts, tail, RAW_LIMIT)
                return raw_series(pid, samples, before, truncated=truncated)
            collected = Buckets(from_ns, to_ns, buckets)
            for part in parts:
                collected.add(part)
            collected.add(tail)
            return collected.series(pid, before)

    def query_many(self, pids: Sequence[int], from_ns: int, to_ns: int, buckets: int = 0) -> list[Series]:
        """:meth:`query` for several points."""
        return [self.query(pid, from_ns, to_ns, buckets) for pid in pids]

    def _chunks(self, txn: Transaction, number: int, from_ns: int, to_ns: int) -> Iterator[Samples]:
        for key, blob in txn.ascending(_CHUNKS, _key(number, from_ns // _HOUR)):
            if key > _key(number, (to_ns - 1) // _HOUR):
                return
            yield _within(chunk.decode(blob, self._where), from_ns, to_ns)

    def _before(self, txn: Transaction, number: int, from_ns: int, tail: Samples) -> Samples:
        earlier = [tail[tail["time"] < from_ns]]
        for key, blob in txn.descending(_CHUNKS, _key(number, from_ns // _HOUR)):
            if key[:4] != _key(number, 0)[:4]:
                break
            samples = chunk.decode(blob, self._where)
            samples = samples[samples["time"] < from_ns]
            if len(samples):
                earlier.insert(0, samples[-1:])
                break
        return _in_order(np.concatenate(earlier))[-1:]


def _first(parts: Iterator[Samples], tail: Samples, limit: int) -> tuple[Samples, bool]:
    """The first ``limit`` of all samples in order of time, and whether there are more; decodes no more chunks than needed."""
    taken: list[Samples] = []
    count = 0
    for part in parts:
        taken.append(part)
        count += len(part)
        if count > limit:
            break
    samples = _in_order(np.concatenate([*taken, tail]))
    return samples[:limit], len(samples) > limit


def _drop_oldest_hour(txn: Transaction) -> None:
    """Remove the chunks of the oldest hour of all points."""
    firsts: list[bytes] = []
    start = b""
    while (found := next(txn.ascending(_CHUNKS, start), None)) is not None:
        firsts.append(found[0])
        start = (int.from_bytes(found[0][:4], "big") + 1).to_bytes(4, "big")
    oldest = min(key[4:] for key in firsts)
    for key in firsts:
        if key[4:] == oldest:
            txn.delete(_CHUNKS, key)


def _samples(rows: npt.NDArray[np.void]) -> Samples:
    samples = np.empty(len(rows), dtype=SAMPLE_DTYPE)
    for column in ("time", "value", "quality"):
        samples[column] = rows[column]
    return samples


def _within(samples: Samples, from_ns: int, to_ns: int) -> Samples:
    return samples[(samples["time"] >= from_ns) & (samples["time"] < to_ns)]


def _in_order(samples: Samples) -> Samples:
    return samples[np.argsort(samples["time"], kind="stable")]


def _key(number: int, hour: int) -> bytes:
    return number.to_bytes(4, "big") + hour.to_bytes(4, "big")
