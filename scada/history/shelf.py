"""Chunks in a table of the file: a *slot* (an hour of samples, a day of minutes) of a point in parts, merged when it is over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.history import chunk
from scada.history.interface import NOT_RECORDED
from scada.history.minute_chunk import MinuteColumns, decode_minutes
from scada.history.minutes import in_order
from scada.history.rows import MINUTE_DTYPE
from scada.rtdb.lmdb_file import CorruptFileError, Transaction

Rows = npt.NDArray[np.void]
HOUR_NS: Final = 3600 * NS_PER_S
DAY_NS: Final = 24 * HOUR_NS
DAMAGED: Final = "damaged"
"""Chunks that could not be read; kept for an expert, not read again."""
TABLES: Final = ("chunks", "minutes", DAMAGED)


class Encoder(Protocol):
    """Chunks laid out, to be encoded one by one."""

    def encode(self, start: int, stop: int) -> bytes:
        """The chunk of rows ``start`` to ``stop``."""
        ...


@dataclass(frozen=True, slots=True)
class DamagedChunk:
    """A chunk that could not be read."""

    table: str
    key: bytes


class Shelf:
    """The chunks of one kind. Keys are ``number u4, slot u4`` for a merged slot and ``... part u4`` for its parts, big-endian.

    Args:
        table: its name in the file.
        slot_ns: length of a slot.
        where: named in errors.

    Attributes:
        merged_rows: rows merged since it was last set to 0.
        damaged: chunks found unreadable by :meth:`slots`, to be set aside.
        lost_chunks: chunks set aside since the file was opened.
    """

    dtype: np.dtype[np.void]

    def __init__(self, table: str, slot_ns: int, where: str) -> None:
        self.table, self.slot_ns = table, slot_ns
        self.merged_rows = self.lost_chunks = 0
        self.damaged: list[DamagedChunk] = []
        self._where = where

    def _lay_out(self, rows: Rows, starts: npt.NDArray[np.intp]) -> Encoder:
        raise NotImplementedError

    def _decode(self, blob: bytes, number: int) -> Rows:
        raise NotImplementedError

    def in_order(self, rows: Rows) -> Rows:
        """Rows of one point by time, as they stand in a slot."""
        raise NotImplementedError

    def _unknown(self, number: int, slot: int) -> Rows:
        """What stands for a slot that cannot be read: nothing is known from its start on."""
        raise NotImplementedError

    # ------------------------------------------------------------------ reading

    def slots(self, txn: Transaction, number: int, from_ns: int, to_ns: int, *, down: bool = False) -> Iterator[Rows]:
        """The rows of each slot that meets a span, in order; unreadable chunks are noted in ``damaged`` and left out.

        Args:
            txn: of the file.
            number: of the point.
            from_ns: start of the span.
            to_ns: its end, excluded.
            down: the latest slot first.
        """
        first, last = key(number, max(0, from_ns) // self.slot_ns), key(number, max(0, to_ns - 1) // self.slot_ns)
        above = last + b"\xff" * 4
        keys = txn.descending(self.table, above) if down else txn.ascending(self.table, first)
        inside = itertools.takewhile(lambda entry: first <= entry[0] <= above, keys)
        for _, group in itertools.groupby(inside, lambda entry: entry[0][:8]):
            parts = [rows for name, blob in group if (rows := self._read(name, blob)) is not None]
            if parts:
                yield self.in_order(np.concatenate(parts[::-1] if down else parts) if len(parts) > 1 else parts[0])

    def first_ns(self, txn: Transaction) -> int:
        """Start of the oldest slot of all points, ns UTC; 0 = there is none. Looks at every point."""
        first, start = 0, b""
        while (found := next(txn.ascending(self.table, start), None)) is not None:
            slot = int.from_bytes(found[0][4:8], "big") * self.slot_ns
            first = min(first or slot, slot)
            start = (int.from_bytes(found[0][:4], "big") + 1).to_bytes(4, "big")
        return first

    def _read(self, name: bytes, blob: bytes) -> Rows | None:
        try:
            return self._decode(blob, int.from_bytes(name[:4], "big"))
        except (CorruptFileError, ValueError):
            self.damaged.append(DamagedChunk(self.table, name))
            return None

    # ------------------------------------------------------------------ writing

    def store(self, txn: Transaction, rows: Rows, open_slot: int, part: int, oldest: npt.NDArray[np.uint32]) -> None:
        """Put rows on the shelf: as a new part of a slot that is open, merged into one that is over.

        Args:
            txn: of the file.
            rows: of any points, in order of arrival.
            open_slot: the first slot that is not over.
            part: number of the part, later ones higher.
            oldest: by number: the oldest slot with parts, 0 = none; updated.
        """
        if not len(rows):
            return
        rows = rows[np.argsort(np.ascontiguousarray(rows["number"]), kind="stable")]
        if ((np.diff(rows["time"]) < 0) & (np.diff(rows["number"]) == 0)).any():
            rows = rows[np.lexsort((rows["time"], rows["number"]))]
        slots = rows["time"] // self.slot_ns
        starts = np.flatnonzero((np.diff(rows["number"], prepend=-1) != 0) | (np.diff(slots, prepend=-1) != 0))
        laid_out = self._lay_out(rows, starts)
        places = zip(rows["number"][starts].tolist(), slots[starts].tolist(), strict=True)
        for (start, stop), (number, slot) in zip(pairwise([*starts.tolist(), len(rows)]), places, strict=True):
            if slot >= open_slot:
                txn.put(self.table, key(number, slot) + part.to_bytes(4, "big"), laid_out.encode(start, stop))
                oldest[number] = min(int(oldest[number]) or slot, slot)
            else:
                self._merge(txn, number, slot, rows[start:stop], laid_out.encode(start, stop))

    def merge_over(self, txn: Transaction, number: int, open_slot: int, oldest: npt.NDArray[np.uint32]) -> None:
        """Merge the parts of the slots of a point that are over."""
        first = int(oldest[number])
        names = [
            name for name, _ in _until(txn.ascending(self.table, key(number, first)), key(number, open_slot)) if len(name) > 8
        ]
        for slot in sorted({int.from_bytes(name[4:8], "big") for name in names}):
            self._merge(txn, number, slot)
        rest = next(txn.ascending(self.table, key(number, open_slot)), (b"", b""))[0]
        oldest[number] = int.from_bytes(rest[4:8], "big") if rest[:4] == key(number, 0)[:4] else 0

    def _merge(self, txn: Transaction, number: int, slot: int, more: Rows | None = None, alone: bytes = b"") -> None:
        """One chunk of all parts of a slot and more rows; ``alone`` is the chunk of these if there is nothing else."""
        stored = list(_until(txn.ascending(self.table, key(number, slot)), key(number, slot + 1)))
        if not stored:
            txn.put(self.table, key(number, slot), alone)
            return
        parts = [] if more is None else [self._shelved(more)]
        for name, blob in reversed(stored):
            rows = self._read(name, blob)
            if rows is None:
                self.set_aside(txn, self.damaged.pop())
                rows = self._unknown(number, slot)
            parts.insert(0, rows)
            txn.delete(self.table, name)
        rows = self.in_order(np.concatenate(parts))
        self.merged_rows += len(rows)
        txn.put(self.table, key(number, slot), self._whole(rows))

    def _whole(self, rows: Rows) -> bytes:
        return self._lay_out(rows, np.zeros(1, dtype=np.intp)).encode(0, len(rows))

    def _shelved(self, rows: Rows) -> Rows:
        return rows

    def set_aside(self, txn: Transaction, chunk: DamagedChunk) -> None:
        """Take an unreadable chunk off the shelf; from the start of its slot nothing is known then."""
        blob = txn.get(self.table, chunk.key)
        if blob is None:
            return
        number, slot = int.from_bytes(chunk.key[:4], "big"), int.from_bytes(chunk.key[4:8], "big")
        txn.put(DAMAGED, self.table.encode() + b" " + chunk.key, blob)
        txn.put(self.table, chunk.key, self._whole(self._unknown(number, slot)))
        self.lost_chunks += 1

    def forget(self, txn: Transaction, number: int, before_ns: int) -> None:
        """Remove the slots of a point that are over before a time, but the last of them: its end is still in force."""
        end = key(number, before_ns // self.slot_ns)
        names = [name for name, _ in _until(txn.ascending(self.table, key(number, 0)), end)]
        for name in names:
            if name[:8] != names[-1][:8]:
                txn.delete(self.table, name)


class SampleShelf(Shelf):
    """Samples by the hour (``SAMPLE_DTYPE``; stored from ``ROW_DTYPE``)."""

    dtype = chunk.SAMPLE_DTYPE

    def _lay_out(self, rows: Rows, starts: npt.NDArray[np.intp]) -> Encoder:
        return chunk.Columns(rows, starts)

    def _decode(self, blob: bytes, number: int) -> Rows:
        del number
        return chunk.decode(blob, self._where)

    def in_order(self, rows: Rows) -> Rows:
        """By time; of the same time in order of arrival."""
        if len(rows) < 2 or (np.diff(rows["time"]) >= 0).all():
            return rows
        return rows[np.argsort(rows["time"], kind="stable")]

    def _shelved(self, rows: Rows) -> Rows:
        return samples_of(rows)

    def _unknown(self, number: int, slot: int) -> Rows:
        del number
        return np.array([(slot * HOUR_NS, np.nan, NOT_RECORDED)], dtype=chunk.SAMPLE_DTYPE)


class MinuteShelf(Shelf):
    """Minutes by the day (``MINUTE_DTYPE``)."""

    dtype = MINUTE_DTYPE

    def _lay_out(self, rows: Rows, starts: npt.NDArray[np.intp]) -> Encoder:
        del starts
        return MinuteColumns(rows)

    def _decode(self, blob: bytes, number: int) -> Rows:
        return decode_minutes(blob, number, self._where)

    def in_order(self, rows: Rows) -> Rows:
        """By time; of the same minute the last one made."""
        return in_order(rows)

    def _unknown(self, number: int, slot: int) -> Rows:
        rows = np.zeros(1, MINUTE_DTYPE)
        rows["number"], rows["time"] = number, slot * DAY_NS
        rows["quality"] = rows["state"] = NOT_RECORDED
        rows["minimum"] = rows["maximum"] = rows["last"] = np.nan
        return rows


def samples_of(rows: Rows) -> chunk.Samples:
    """Rows of one point (``ROW_DTYPE``) without its number."""
    samples = np.empty(len(rows), dtype=chunk.SAMPLE_DTYPE)
    for column in ("time", "value", "quality"):
        samples[column] = rows[column]
    return samples


def key(number: int, slot: int) -> bytes:
    """Key of a merged slot."""
    return number.to_bytes(4, "big") + slot.to_bytes(4, "big")


def _until(entries: Iterator[tuple[bytes, bytes]], end: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries below a key."""
    return itertools.takewhile(lambda entry: entry[0] < end, entries)
