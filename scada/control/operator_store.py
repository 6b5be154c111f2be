"""The durable store of operator data: every mark under its number, each change in one fully synced transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import msgpack

from scada.control.operator_data import Mark, MarkKind
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, quarantine, seal, unseal

_NAME: Final = "operator"
_LAYOUT: Final = 1
_MARKS: Final = "marks"
_META: Final = "meta"
_NEXT: Final = b"next_id"
_FIELDS: Final = tuple(field.name for field in fields(Mark))


class OperatorStore:
    """Marks on disk. One thread writes.

    Args:
        path: folder; made if absent.
        map_mb: fixed size of the file.

    Raises:
        CorruptFileError: the file or a record in it is damaged.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.

    Attributes:
        marks: every mark on disk, by number.
        next_id: number of the next mark, higher than any ever written.
        is_new: nothing was ever written to the file.
    """

    def __init__(self, path: Path, *, map_mb: int = 64) -> None:
        self._file = LmdbFile(path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_MARKS, _META))
        try:
            with self._file.read() as txn:
                kept = txn.get(_META, _NEXT)
                self.is_new, self.next_id = kept is None, int.from_bytes(kept or b"\1", "big")
                found = [decode_mark(blob, str(self._file.path)) for _, blob in txn.ascending(_MARKS)]
        except BaseException:
            self._file.close()
            raise
        self.marks = {mark.mark_id: mark for mark in found}

    @classmethod
    def open_or_quarantine(cls, path: Path, clock: Clock, *, map_mb: int = 64) -> tuple[OperatorStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Numbers then go on from the time in milliseconds, so that none is used twice.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, map_mb=map_mb), ""
        except CorruptFileError as error:
            now = clock.now_ns()
            aside = quarantine(path, _NAME, now)
            store = cls(path, map_mb=map_mb)
            store.next_id = now // 1_000_000
            return store, f"{error.what}; {error.where} was moved to {aside.name}"

    def write(self, placed: Iterable[Mark], removed: Iterable[Mark], next_id: int) -> None:
        """Keep and drop marks, all or nothing; on disk when this returns.

        Args:
            placed: marks to keep.
            removed: marks to drop.
            next_id: number of the next mark.

        Raises:
            StoreError: nothing was written.
        """
        placed, removed = tuple(placed), tuple(removed)
        with self._file.write() as txn:
            for mark in removed:
                txn.delete(_MARKS, _key(mark))
            for mark in placed:
                txn.put(_MARKS, _key(mark), encode_mark(mark))
            txn.put(_META, _NEXT, next_id.to_bytes(8, "big"))
        for mark in removed:
            self.marks.pop(mark.mark_id, None)
        self.marks.update((mark.mark_id, mark) for mark in placed)
        self.is_new, self.next_id = False, next_id

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def _key(mark: Mark) -> bytes:
    return mark.mark_id.to_bytes(8, "big")


def encode_mark(mark: Mark) -> bytes:
    """A mark with its checksum: msgpack of the layout and the fields in order."""
    packed: bytes = msgpack.packb([_LAYOUT, *(getattr(mark, name) for name in _FIELDS)])
    return seal(packed)


def decode_mark(blob: bytes, where: str) -> Mark:
    """The mark in a blob.

    Raises:
        CorruptFileError: checksum or layout is wrong.
    """
    values: list[Any]
    layout, *values = msgpack.unpackb(unseal(blob, where))
    if layout != _LAYOUT or len(values) != len(_FIELDS):
        raise CorruptFileError(f"a mark has layout {layout} and {len(values)} fields", where=where)
    found = dict(zip(_FIELDS, values, strict=True))
    return Mark(**found | {"kind": MarkKind(found["kind"])})
