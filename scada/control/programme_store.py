"""The durable store of programmes: every version ever saved and the last runs, each change in one fully synced transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgpack

from scada.control.programme_records import RunRecord, run_from_plain, run_to_plain
from scada.control.programmes import Programme, programme_from_plain, programme_to_plain
from scada.core.clock import Clock
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, quarantine, seal, unseal

_NAME: Final = "programmes"
_LAYOUT: Final = 1
_VERSIONS: Final = "versions"
_RUNS: Final = "runs"
KEPT_RUNS: Final = 100
"""Runs on disk; more only while more are under way."""


class ProgrammeStore:
    """Versions and runs on disk. One thread writes.

    Args:
        path: folder; made if absent.
        map_mb: fixed size of the file.

    Raises:
        CorruptFileError: the file or a record in it is damaged.
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.
    """

    def __init__(self, path: Path, *, map_mb: int = 64) -> None:
        self._file = LmdbFile(path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_VERSIONS, _RUNS))
        try:
            self._ended = {_run_key(run): run.state.ended for run in self._read()[1]}
        except BaseException:
            self._file.close()
            raise

    @classmethod
    def open_or_quarantine(cls, path: Path, clock: Clock, *, map_mb: int = 64) -> tuple[ProgrammeStore, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty: no programme can be started then.

        Returns:
            The store and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, map_mb=map_mb), ""
        except CorruptFileError as error:
            aside = quarantine(path, _NAME, clock.now_ns())
            text = f"{error.what}; {error.where} was moved to {aside.name}: programmes must be saved again"
            return cls(path, map_mb=map_mb), text

    def keep_version(self, programme: Programme) -> None:
        """Store a version; on disk when this returns.

        Raises:
            StoreError: nothing was written.
        """
        with self._file.write() as txn:
            txn.put(_VERSIONS, _version_key(programme), _packed(programme_to_plain(programme)))

    def keep_run(self, run: RunRecord) -> None:
        """Store where a run stands; on disk when this returns. The oldest that ended go where there are too many.

        Raises:
            StoreError: nothing was written.
        """
        key = _run_key(run)
        ended = [one for one, over in sorted(self._ended.items()) if over and one != key]
        surplus = ended[: max(0, len(self._ended | {key: False}) - KEPT_RUNS)]
        with self._file.write() as txn:
            for old in surplus:
                txn.delete(_RUNS, old)
            txn.put(_RUNS, key, _packed(run_to_plain(run)))
        for old in surplus:
            del self._ended[old]
        self._ended[key] = run.state.ended

    def read_runs(self) -> list[RunRecord]:
        """Runs on disk, the oldest first."""
        return self._read()[1]

    def read_versions(self) -> list[Programme]:
        """Every version on disk, by name and number."""
        return self._read()[0]

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def _read(self) -> tuple[list[Programme], list[RunRecord]]:
        where = str(self._file.path)
        with self._file.read() as txn:
            versions = [programme_from_plain(_plain(blob, where)) for _, blob in txn.ascending(_VERSIONS)]
            runs = [run_from_plain(_plain(blob, where)) for _, blob in txn.ascending(_RUNS)]
        return versions, runs


def _version_key(programme: Programme) -> bytes:
    return programme.name.encode() + b"\0" + programme.version.to_bytes(4, "big")


def _run_key(run: RunRecord) -> bytes:
    return run.asked_ns.to_bytes(8, "big") + run.run.encode()


def _packed(plain: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb([_LAYOUT, plain])
    return seal(packed)


def _plain(blob: bytes, where: str) -> dict[str, Any]:
    layout: int
    plain: dict[str, Any]
    layout, plain = msgpack.unpackb(unseal(blob, where))
    if layout != _LAYOUT:
        raise CorruptFileError(f"a programme has layout {layout}", where=where)
    return plain
