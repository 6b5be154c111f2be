"""The journal: every change in commit order, one sealed blob a commit, keyed by its first sequence number.

Blob (little-endian): CRC-32, then ``layout u2, count u4, committed_at i8``, then the records (``POINT_DTYPE``), then their
``received_at`` (i8).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.core.batch import POINT_DTYPE
from scada.core.errors import StoreError
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.lmdb_file import CorruptFileError, Transaction, unseal
from scada.rtdb.mapped import MappedFile

TABLE: Final = "journal"
_HEADER: Final = struct.Struct("<HIq")
_LAYOUT: Final = 1
_ROW_BYTES: Final = POINT_DTYPE.itemsize + 8
_BATCH_BYTES: Final = 4 << 20
"""What one read transaction of a follower fetches at most."""


def committed_at(blob: bytes) -> int:
    """Time of a stored commit, ns UTC; 0 if it is too short to say."""
    return int(_HEADER.unpack_from(blob, 4)[2]) if len(blob) >= 4 + _HEADER.size else 0


class Encoder:
    """Makes blobs, all in the same memory: fresh one costs more than what is written to it."""

    def __init__(self) -> None:
        self._memory = bytearray(1 << 16)

    def encode(self, change: ChangeSet) -> memoryview:
        """A change set as a sealed blob; the next call overwrites it."""
        if len(self._memory) < size(change):
            self._memory = bytearray(2 * size(change))
        blob = memoryview(self._memory)[: size(change)]
        records = 4 + _HEADER.size
        times = records + change.records.nbytes
        _HEADER.pack_into(blob, 4, _LAYOUT, len(change), change.committed_at)
        blob[records:times] = change.records.view(np.uint8).data
        blob[times:] = change.received_at.view(np.uint8).data
        blob[:4] = zlib.crc32(blob[4:]).to_bytes(4, "little")
        return blob


def decode(key: bytes, blob: bytes, where: str) -> ChangeSet:
    """The change set stored under a key.

    Raises:
        CorruptFileError: checksum, layout or length is wrong.
    """
    first = number(key)
    body = unseal(blob, f"{where}, change {first}")
    layout, count, committed_at = _HEADER.unpack_from(body)
    if layout != _LAYOUT or len(body) != _HEADER.size + count * _ROW_BYTES:
        raise CorruptFileError(f"journal record {first} has layout {layout} and {len(body)} bytes", where=where)
    records = np.frombuffer(body, POINT_DTYPE, count, _HEADER.size)
    received_at = np.frombuffer(body, np.int64, count, _HEADER.size + count * POINT_DTYPE.itemsize)
    return ChangeSet(first, records, received_at, committed_at)


def key(seq: int) -> bytes:
    """Key of the change set that starts at a sequence number."""
    return seq.to_bytes(8, "big")


def number(stored: bytes) -> int:
    """Sequence number of a key."""
    return int.from_bytes(stored, "big")


def size(change: ChangeSet) -> int:
    """Bytes a change set takes in the journal."""
    return bytes_of(len(change))


def bytes_of(changes: int) -> int:
    """Bytes that so many changes of one commit take."""
    return 4 + _HEADER.size + changes * _ROW_BYTES


def append(txn: Transaction, change: ChangeSet, encoder: Encoder) -> None:
    """Store a change set."""
    txn.put(TABLE, key(change.first), encoder.encode(change))


def within(txn: Transaction, after: int, where: str) -> Iterator[ChangeSet]:
    """Change sets after a sequence number, in order, as one transaction sees them.

    The first one is cut if ``after`` lies inside it.

    Raises:
        GapError: they start later than ``after + 1``, or a range inside is missing.
        CorruptFileError: a blob is damaged.
    """
    wanted = after + 1
    start = next((stored for stored, _ in txn.descending(TABLE, key(wanted))), key(wanted))
    for stored, blob in txn.ascending(TABLE, start):
        change = decode(stored, blob, where)
        if change.last < wanted:
            continue
        if change.first > wanted:
            raise GapError(wanted, change.first)
        skip = wanted - change.first
        yield ChangeSet(wanted, change.records[skip:], change.received_at[skip:], change.committed_at) if skip else change
        wanted = change.last + 1


def follow(file: MappedFile, after: int) -> Iterator[ChangeSet]:
    """As :func:`within`, by short transactions, so that the follower may take its time over each change set."""
    while batch := _fetch(file, after):
        yield from batch
        after = batch[-1].last


def _fetch(file: MappedFile, after: int) -> list[ChangeSet]:
    batch: list[ChangeSet] = []
    fetched = 0
    with file.read() as txn:
        try:
            for change in within(txn, after, str(file.path)):
                batch.append(change)
                fetched += size(change)
                if fetched > _BATCH_BYTES:
                    break
        except StoreError:
            if not batch:  # what stands before the fault is given first
                raise
    return batch
