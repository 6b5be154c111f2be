"""An LMDB file as both its writer and its readers see it: tables within a transaction, errors that say what to do, figures.

The file format of LMDB engine 0.9 is used (``lib_version=0``); the two engines of py-lmdb cannot read each other's files.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import lmdb
import lmdb.verify

from scada.core.errors import StoreError

_ENGINE: Final = 0
_PAGE: Final = 4096
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
READ_ONLY: Final = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
"""What the operating system says where nothing may be written."""
LAYOUT_KEY: Final = b"layout"
"""Where every file keeps the version of what is stored in it."""


class CorruptFileError(StoreError):
    """The file's structure or the checksum of a record in it is wrong."""


class StoreFullError(StoreError):
    """The disk or the fixed map of the file is full; nothing of the transaction was written."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A reader slot that holds a transaction."""

    process: int
    thread: int
    """As :func:`threading.get_ident` gives it in that process."""
    transaction: int
    """Number of the transaction whose pages it pins."""


class MappedFile:
    """What a writer and a reader of ``<folder>/<name>.lmdb`` have in common: read transactions, explained errors, figures."""

    _env: Any
    _tables: dict[str, Any]

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / f"{name}.lmdb"
        self.map_bytes = 0
        self.closed = True

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """A read transaction; keep it short, it pins old pages. Callable from any thread."""
        with self._transaction(write=False) as txn:
            yield txn

    @contextlib.contextmanager
    def _transaction(self, *, write: bool) -> Iterator[Transaction]:
        try:
            with self._env.begin(write=write) as txn:
                yield Transaction(txn, self._tables)
        except (lmdb.Error, OSError) as error:
            raise self.explain(error) from error

    def extent(self) -> int:
        """Bytes of the map that were ever used; free pages inside are used again before it grows."""
        return (int(self._env.info()["last_pgno"]) + 1) * _PAGE

    def live(self) -> int:
        """Bytes of the pages that hold present records."""
        with self.read() as txn:
            return sum(txn.size(table) for table in self._tables)

    def last_transaction(self) -> int:
        """Number of the last committed transaction."""
        return int(self._env.info()["last_txnid"])

    def readers(self) -> list[Reader]:
        """The slots that hold a transaction now, of every process."""
        lines = [line.split() for line in self._env.readers().splitlines()[1:]]
        return [Reader(int(pid), int(thread, 16), int(txn)) for pid, thread, txn in lines if txn != "-"]

    def forget_dead_readers(self) -> int:
        """Clear the reader slots of processes that died; left alone they pin old pages until the map is full.

        Returns:
            How many there were.
        """
        return int(self._env.reader_check())

    def copy_to(self, target: Path) -> None:
        """Write a compacted copy as of now, synced; the writer goes on meanwhile.

        Args:
            target: a file that does not exist.

        Raises:
            StoreError: it cannot be written; what was written of it is removed.
        """
        try:
            self._env.copy(os.fspath(target), compact=True)
            sync_path(target)
            sync_path(target.parent)
        except (lmdb.Error, OSError) as error:
            target.unlink(missing_ok=True)
            # the engine writes past the page cache: where a block does not fit as a whole, the system calls it a wrong argument
            cut = isinstance(error, lmdb.InvalidParameterError)
            fault = self.explain(OSError(errno.ENOSPC, "") if cut else error)
            raise type(fault)(fault.what, where=str(target), mend=fault.mend) from error

    def close(self) -> None:
        """Close the file; may be called twice."""
        if not self.closed:
            self._env.close()
            self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def explain(self, error: Exception) -> StoreError:
        """Our error for one of LMDB or the operating system."""
        where = str(self.path)
        code = error.errno if isinstance(error, OSError) else getattr(error, "code", 0)
        if isinstance(error, lmdb.MapFullError):
            size = self.map_bytes >> 20
            return StoreFullError(f"the map of {size} MiB is full", where=where, mend="raise map_mb and restart")
        if code in _NO_SPACE:
            return StoreFullError(f"no space left to write ({os.strerror(code)})", where=where, mend="free disk space")
        if code in READ_ONLY or isinstance(error, lmdb.ReadonlyError):
            return StoreError("the file cannot be written", where=where, mend="check owner, mode and mount of it")
        if isinstance(error, lmdb.InvalidError | lmdb.CorruptedError | lmdb.PageNotFoundError | lmdb.VersionMismatchError):
            return CorruptFileError(f"not a sound LMDB file: {error}", where=where, mend="restore a backup or move it away")
        return StoreError(f"cannot use the file: {error}", where=where, mend="check the disk, then restart")

    def found_layout(self) -> int:
        """Layout of the file; 0 = a new file."""
        with self._env.begin() as txn:
            found = txn.get(LAYOUT_KEY)
        if found is None:
            return 0
        if not found.isdigit():
            raise CorruptFileError(f"its layout is {found!r}", where=str(self.path), mend="restore a backup or move it away")
        return int(found)

    def wrong_layout(self, found: int, layout: int) -> StoreError:
        """The error for a layout that is not ours."""
        return StoreError(
            f"the file has layout {found}, this program reads layout {layout}",
            where=str(self.path),
            mend="run the program version that wrote it, or move the file away",
        )


class Transaction:
    """The tables of a file within one transaction. Keys sort by their bytes."""

    def __init__(self, txn: Any, tables: dict[str, Any]) -> None:
        self._txn = txn
        self._tables = tables

    def get(self, table: str, key: bytes) -> bytes | None:
        """Value of a key or None."""
        value: bytes | None = self._txn.get(key, db=self._tables[table])
        return value

    def put(self, table: str, key: bytes, value: bytes | memoryview) -> None:
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

    def keys(self, table: str) -> Iterator[bytes]:
        """All keys, upwards, without touching what stands under them."""
        yield from self._txn.cursor(self._tables[table]).iternext(values=False)

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


def check_structure(path: Path) -> None:
    """Walk the file before LMDB maps it: on a truncated or damaged file the engine itself would kill the process.

    Raises:
        CorruptFileError: naming the first fault.
    """
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        faults: list[str] = lmdb.verify.verify(path, subdir=False)  # type: ignore[no-untyped-call]
    except lmdb.verify.VerifyError as error:
        faults = [str(error)]
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise CorruptFileError(f"damaged LMDB file: {faults[0]}{more}", where=str(path), mend="restore a backup or move it away")


def sync_path(path: Path) -> None:
    """Make a file, or the names in a folder, survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_environment(path: Path, tables: int, *, map_size: int = 0, **options: Any) -> Any:
    """Open the environment; a map size of 0 takes the one its writer chose."""
    return lmdb.open(
        os.fspath(path),
        subdir=False,
        map_size=map_size,
        max_dbs=tables + 1,
        max_readers=512,
        lib_version=_ENGINE,
        **options,
    )


def _pages_of(stat: Mapping[str, Any]) -> int:
    return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])
