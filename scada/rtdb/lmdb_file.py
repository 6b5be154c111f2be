"""One LMDB file under one writer: opened only after it was checked, closed on request, moved aside when damaged.

The RTDB, the event log and the history each own one such file. Every fault of the file or the disk leaves here as a
:class:`~scada.core.errors.StoreError` that names the cause and what to do.

The file format of LMDB engine 0.9 is used (``lib_version=0``); the two engines of py-lmdb cannot read each other's files.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import lmdb
import lmdb.verify

from scada.core.errors import StoreError

_ENGINE: Final = 0
_PAGE: Final = 4096
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
_LAYOUT_KEY: Final = b"layout"


class CorruptFileError(StoreError):
    """The file's structure or the checksum of a record in it is wrong."""


class StoreFullError(StoreError):
    """The disk or the fixed map of the file is full; nothing of the transaction was written."""


class StoreInUseError(StoreError):
    """Another process or object writes this file."""


def seal(blob: bytes) -> bytes:
    """Put a CRC-32 before a record.

    >>> unseal(seal(b"abc"), "here")
    b'abc'
    """
    return zlib.crc32(blob).to_bytes(4, "little") + blob


def unseal(blob: bytes, where: str) -> bytes:
    """The record without its CRC-32.

    Raises:
        CorruptFileError: the checksum is wrong.
    """
    body = blob[4:]
    if len(blob) < 4 or zlib.crc32(body) != int.from_bytes(blob[:4], "little"):
        raise CorruptFileError("the checksum of a stored record is wrong", where=where, mend="restore a backup or move it away")
    return body


class LmdbFile:
    """An open LMDB file ``<folder>/<name>.lmdb`` with a fixed map and an exclusive writer.

    Args:
        folder: made if absent.
        name: stem of the file.
        layout: version of what we store in it; another version is refused.
        map_mb: fixed size of the map in MiB; the file never grows beyond it.
        databases: names of the tables in it.
        metasync: flush the meta page too at each commit. Without it a loss of power may undo the last commit, never damage
            the file.

    Raises:
        CorruptFileError: the file fails the check of its structure.
        StoreInUseError: it has a writer.
        StoreError: wrong version, read-only, or cannot be made.
    """

    def __init__(
        self, folder: Path, name: str, *, layout: int, map_mb: int, databases: Sequence[str], metasync: bool = True
    ) -> None:
        self.path = folder / f"{name}.lmdb"
        self.map_bytes = map_mb << 20
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_writer_lock(folder / f"{name}.writer")
        except OSError as error:
            raise self.explain(error) from error
        try:
            _check_structure(self.path)
            self._env = lmdb.open(
                os.fspath(self.path),
                subdir=False,
                map_size=self.map_bytes,
                max_dbs=len(databases) + 1,
                max_readers=512,
                metasync=metasync,
                lib_version=_ENGINE,
            )
            self._tables: dict[str, Any] = {table: self._env.open_db(table.encode()) for table in databases}
            self._check_layout(layout)
        except (lmdb.Error, OSError) as error:
            os.close(self._lock)
            raise self.explain(error) from error
        except StoreError:
            os.close(self._lock)
            raise

    def _check_layout(self, layout: int) -> None:
        with self._env.begin(write=True) as txn:
            found = txn.get(_LAYOUT_KEY)
            if found is None:
                txn.put(_LAYOUT_KEY, str(layout).encode())
            elif found != str(layout).encode():
                raise StoreError(
                    f"the file has layout {found.decode(errors='replace')}, this program reads layout {layout}",
                    where=str(self.path),
                    mend="run the program version that wrote it, or move the file away",
                )

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """A read transaction; keep it short, it pins old pages. Callable from any thread."""
        with self._transaction(write=False) as txn:
            yield txn

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: all of it or, at any exception, nothing.

        Raises:
            StoreFullError: disk or map full.
            StoreError: any other fault of the file.
        """
        with self._transaction(write=True) as txn:
            yield txn

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Transaction]:
        try:
            with self._env.begin(write=write) as txn:
                yield Transaction(txn, self._tables)
        except (lmdb.Error, OSError) as error:
            raise self.explain(error) from error

    def forget_dead_readers(self) -> None:
        """Clear the reader slots of processes that died; left alone they pin old pages until the map is full."""
        self._env.reader_check()

    @property
    def closed(self) -> bool:
        """True after :meth:`close`."""
        return self._lock < 0

    def close(self) -> None:
        """Close the file and give up the writer's place; may be called twice."""
        if self._lock >= 0:
            self._env.close()
            os.close(self._lock)
            self._lock = -1

    def explain(self, error: Exception) -> StoreError:
        """Our error for one of LMDB or the operating system."""
        where = str(self.path)
        code = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
        if isinstance(error, BlockingIOError):
            return StoreInUseError("the file already has a writer", where=where, mend="stop the other server first")
        if isinstance(error, lmdb.MapFullError):
            size = self.map_bytes >> 20
            return StoreFullError(f"the map of {size} MiB is full", where=where, mend="raise map_mb and restart")
        if code in _NO_SPACE:
            return StoreFullError(f"no space left to write ({os.strerror(code)})", where=where, mend="free disk space")
        if code in _READ_ONLY or isinstance(error, lmdb.ReadonlyError):
            return StoreError("the file cannot be written", where=where, mend="check owner, mode and mount of it")
        if isinstance(error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.VersionMismatchError):
            return CorruptFileError(f"not a sound LMDB file: {error}", where=where, mend="restore a backup or move it away")
        return StoreError(f"cannot use the file: {error}", where=where, mend="check the disk, then restart")


class Transaction:
    """The tables of a file within one transaction. Keys sort by their bytes."""

    def __init__(self, txn: Any, tables: dict[str, Any]) -> None:
        self._txn = txn
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value of a key or None."""
        value: bytes | None = self._txn.get(key, db=self._tables[table])
        return value

    def put(self, table: str, key: bytes, value: bytes) -> None:
        """Set a value."""
        self._txn.put(key, value, db=self._tables[table])

    def delete(self, table: str, key: bytes) -> bool:
        """Remove a key; False if it was absent."""
        return bool(self._txn.delete(key, db=self._tables[table]))

    def count(self, table: str) -> int:
        """Number of keys."""
        return int(self._txn.stat(self._tables[table])["entries"])

    def size(self, table: str) -> int:
        """Bytes of the pages a table takes."""
        return _pages_of(self._txn.stat(self._tables[table])) * _PAGE

    def ascending(self, table: str, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Keys from ``start`` on (included), upwards."""
        cursor = self._txn.cursor(self._tables[table])
        if cursor.set_range(start):
            yield from cursor.iternext()

    def descending(self, table: str, start: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys from ``start`` on (included; None = the last), downwards."""
        cursor = self._txn.cursor(self._tables[table])
        above = start is not None and cursor.set_range(start)  # at the first key >= start
        found = (cursor.key() == start or cursor.prev()) if above else cursor.last()
        if found:
            yield from cursor.iterprev()


def quarantine(folder: Path, name: str, now_ns: int) -> Path:
    """Move a damaged file aside as ``<name>.lmdb.corrupt-<ns>`` and return that path; nothing is deleted.

    Raises:
        StoreError: it cannot be moved.
    """
    path = folder / f"{name}.lmdb"
    aside = path.with_name(f"{path.name}.corrupt-{now_ns}")
    try:
        path.rename(aside)
        path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot move the damaged file aside: {error.strerror}", where=str(path), mend="move it by hand"
        ) from error
    return aside


def _take_writer_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _check_structure(path: Path) -> None:
    """Walk the file before LMDB maps it: on a truncated or damaged file the engine itself would kill the process."""
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        faults: list[str] = lmdb.verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        faults = [str(error)]
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise CorruptFileError(f"damaged LMDB file: {faults[0]}{more}", where=str(path), mend="restore a backup or move it away")


def _pages_of(stat: Mapping[str, Any]) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
