"""What calculated points must keep to go on after a restart, and the file it is kept in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from scada.apps.calc.cells import CELL_DTYPE
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, quarantine, seal, unseal

_NAME: Final = "calc"
_LAYOUT: Final = 1
_TABLE: Final = "state"
_CHUNK: Final = 1 << 18
"""Bytes of one record: a large array is cut, so that the file needs no long run of free pages."""

_ARRAYS: Final[dict[str, Any]] = {
    "keys": "V16",
    "slots": "<i4",
    "cells": CELL_DTYPE,
    "ring": "<f8",
    "pids": "<u4",
    "value": "<f8",
    "quality": "<u4",
    "time": "<i8",
}


@dataclass(frozen=True, slots=True)
class CalcState:
    """The memory of all calculated points as of one change of the database.

    Attributes:
        seq: last change that is in it.
        wall_ns: ns UTC of the last evaluation.
        elapsed_ns: ns the server has run, over all its lives.
        keys: names of the cells (:func:`scada.apps.calc.cells.cell_key`).
        slots: parts of each cell's window.
        cells, ring: see :class:`scada.apps.calc.cells.Memory`.
        pids: points that the programs with memory read,
        value, quality, time: and what these had then.
    """

    seq: int
    wall_ns: int
    elapsed_ns: int
    keys: npt.NDArray[np.void]
    slots: npt.NDArray[np.int32]
    cells: npt.NDArray[np.void]
    ring: npt.NDArray[np.float64]
    pids: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    time: npt.NDArray[np.int64]

    @property
    def size(self) -> int:
        """Bytes it takes."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)


class CalcFile:
    """The last state, in an LMDB file beside the database's; each save replaces it whole or not at all.

    The commit is not flushed with LMDB's meta page: a loss of power may bring back the state before, from which the journal leads
    on just as well.

    Args:
        folder: made if absent.
        map_mb: fixed size of the file in MiB.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(self, folder: Path, *, map_mb: int = 256) -> None:
        self._file = LmdbFile(folder, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_TABLE,), metasync=False)
        self._chunks: dict[str, int] = {}

    @classmethod
    def open_or_quarantine(cls, folder: Path, clock: Clock, *, map_mb: int = 256) -> tuple[CalcFile, str]:
        """Open; if the file is damaged, move it aside and start empty.

        Returns:
            The file and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            file = cls(folder, map_mb=map_mb)
            try:
                file.load()
            except CorruptFileError:
                file.close()
                raise
        except CorruptFileError as error:
            aside = quarantine(folder, _NAME, clock.now_ns())
            return cls(folder, map_mb=map_mb), f"{error.what}; {error.where} was moved to {aside.name} and all totals begin anew"
        return file, ""

    def save(self, state: CalcState) -> None:
        """Keep a state in place of the one before.

        Raises:
            StoreError: it cannot be written; the one before stands.
        """
        head: dict[str, int] = {"seq": state.seq, "wall_ns": state.wall_ns, "elapsed_ns": state.elapsed_ns}
        with self._file.write() as txn:
            for name in _ARRAYS:
                blob = getattr(state, name).tobytes()
                head[name] = len(blob)
                count = -(-len(blob) // _CHUNK)
                for index in range(count):
                    txn.put(_TABLE, _key(name, index), seal(blob[index * _CHUNK : (index + 1) * _CHUNK]))
                for index in range(count, self._chunks.get(name, 0)):
                    txn.delete(_TABLE, _key(name, index))
                self._chunks[name] = count
            txn.put(_TABLE, b"head", seal(msgpack.packb(head)))

    def load(self) -> CalcState | None:
        """The last state, None if there is none.

        Raises:
            CorruptFileError: a checksum or a length is wrong.
        """
        where = str(self._file.path)
        with self._file.read() as txn:
            blob = txn.get(_TABLE, b"head")
            if blob is None:
                return None
            head = msgpack.unpackb(unseal(blob, where))
            arrays = {}
            for name, dtype in _ARRAYS.items():
                count = -(-head[name] // _CHUNK)
                pieces = [txn.get(_TABLE, _key(name, index)) for index in range(count)]
                whole = b"".join(unseal(piece or b"", where) for piece in pieces)
                if len(whole) != head[name]:
                    raise CorruptFileError(f"{name} has {len(whole)} bytes, not {head[name]}", where=where)
                arrays[name] = np.frombuffer(whole, dtype=dtype)
                self._chunks[name] = count
        return CalcState(head["seq"], head["wall_ns"], head["elapsed_ns"], **arrays)

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()


def _key(name: str, index: int) -> bytes:
    return f"{name}/{index:06d}".encode()
