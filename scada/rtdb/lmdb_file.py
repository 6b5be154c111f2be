"""One LMDB file under one writer: opened only after it was checked, closed on request, moved aside when damaged.

The RTDB, the event log and the history each own one such file. Every fault of the file or the disk leaves here as a
:class:`~scada.core.errors.StoreError` that names the cause and what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import lmdb

from scada.core.errors import StoreError
from scada.rtdb.mapped import (
    LAYOUT_KEY,
    READ_ONLY,
    CorruptFileError,
    MappedFile,
    StoreFullError,
    Transaction,
    check_structure,
    open_environment,
    sync_path,
)

__all__ = [
    "CorruptFileError",
    "LmdbFile",
    "LmdbView",
    "StoreFullError",
    "StoreInUseError",
    "Transaction",
    "quarantine",
    "seal",
    "take_writer_lock",
    "unseal",
    "writer_of",
]

_LOCKS: Final = Path("/proc/locks")


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


Upgrades = Mapping[int, Callable[["Transaction"], None]]
"""Layout -> the step that brings a file from it to the next one."""


class LmdbFile(MappedFile):
    """An open LMDB file ``<folder>/<name>.lmdb`` with a fixed map and an exclusive writer.

    **Upgrade.** A file of an older layout is copied to ``<file>.before-<layout>`` (after the space for it was checked), then
    brought up step by step in one transaction: it is of the new layout as a whole, or as it was. A newer layout is refused.

    Args:
        folder: made if absent.
        name: stem of the file.
        layout: version of what we store in it.
        map_mb: fixed size of the map in MiB; the file never grows beyond it.
        databases: names of the tables in it.
        metasync: flush the meta page too at each commit. Without it a loss of power may undo the last commit, never damage
            the file.
        upgrades: how to bring a file of an older layout up; without the step from its layout it is refused.

    Raises:
        CorruptFileError: the file fails the check of its structure.
        StoreInUseError: it has a writer.
        StoreError: wrong version, read-only, or cannot be made or upgraded.

    Attributes:
        upgraded_from: the older layout the file had when it was opened, 0 = none.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        *,
        layout: int,
        map_mb: int,
        databases: Sequence[str],
        metasync: bool = True,
        upgrades: Upgrades = MappingProxyType({}),
    ) -> None:
        super().__init__(folder, name)
        self.map_bytes = map_mb << 20
        self.upgraded_from = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = take_writer_lock(folder, name)
        except OSError as error:
            raise self.explain(error) from error
        try:
            check_structure(self.path)
            self._env = open_environment(self.path, len(databases), map_size=self.map_bytes, metasync=metasync)
            self.closed = False
            self._fill_up()
            self._bring_to(layout, databases, upgrades)
        except (lmdb.Error, OSError) as error:
            self.close()
            raise self.explain(error) from error
        except StoreError:
            self.close()
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A write transaction: all of it or, at any exception, nothing.

        Raises:
            StoreFullError: disk or map full.
            StoreError: any other fault of the file.
        """
        with self._transaction(write=True) as txn:
            yield txn

    def close(self) -> None:
        """Close the file and give up the writer's place; may be called twice."""
        super().close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _fill_up(self) -> None:
        """Pages cut off at the end read as zeros, which a record's checksum sees; reading beyond the file ends the process."""
        whole = (self._env.info()["last_pgno"] + 1) * self._env.stat()["psize"]
        if self.path.stat().st_size < whole:
            os.truncate(self.path, whole)

    def _bring_to(self, layout: int, databases: Sequence[str], upgrades: Upgrades) -> None:
        found = self.found_layout() or layout  # a new file has none
        steps = range(found, layout)
        if found > layout or not all(step in upgrades for step in steps):
            raise self.wrong_layout(found, layout)
        if steps:
            self._copy_aside(layout)
            self.upgraded_from = found
        with self._env.begin(write=True) as txn:
            self._tables = {table: self._env.open_db(table.encode(), txn=txn) for table in databases}
            for step in steps:
                self._upgrade(step, upgrades[step], Transaction(txn, self._tables))
            txn.put(LAYOUT_KEY, str(layout).encode())

    def _upgrade(self, found: int, step: Callable[[Transaction], None], txn: Transaction) -> None:
        try:
            step(txn)
        except (StoreError, lmdb.Error, ValueError, LookupError, TypeError, struct.error) as error:
            reason = error.what if isinstance(error, StoreError) else str(self.explain(error).what)
            kind = CorruptFileError if isinstance(error, CorruptFileError) else StoreError
            raise kind(
                f"cannot bring the file from layout {found} to {found + 1}: {reason}",
                where=str(self.path),
                mend="it is as it was: run the program version that wrote it, or restore a backup",
            ) from error

    def _copy_aside(self, layout: int) -> None:
        """Keep the file as it is before an upgrade; a copy left by an upgrade that failed is replaced."""
        kept = self.path.with_name(f"{self.path.name}.before-{layout}")
        needed, free = 2 * self.extent(), shutil.disk_usage(self.path.parent).free
        if free < needed:
            raise StoreFullError(
                f"the upgrade to layout {layout} needs {(needed >> 20) + 1} MiB on the disk, {free >> 20} MiB are free",
                where=str(self.path),
                mend="free disk space",
            )
        fresh = kept.with_name(f"{kept.name}.new")
        fresh.unlink(missing_ok=True)
        self.copy_to(fresh)
        fresh.replace(kept)
        sync_path(kept.parent)


class LmdbView(MappedFile):
    """The same file opened to be read, beside its writer or alone; it never makes the writer wait and changes nothing.

    Not for the process that writes the file: an LMDB file must not be mapped twice in one process.

    Args:
        folder: of the file.
        name: stem of the file.
        layout: version it must have.
        databases: names of the tables that are wanted.

    Raises:
        CorruptFileError: nobody writes the file and it fails the check of its structure.
        StoreError: there is none, it has another layout, or it cannot be read.

    Attributes:
        writer: process that writes the file, 0 = none. While there is one, the structure is not checked at opening: it did that.
    """

    def __init__(self, folder: Path, name: str, *, layout: int, databases: Sequence[str]) -> None:
        super().__init__(folder, name)
        if not self.path.is_file():
            raise StoreError("there is no such file", where=str(self.path), mend="give the folder of a database")
        self.writer = writer_of(folder, name)
        if not self.writer:
            check_structure(self.path)
        try:
            self._env = self._open(len(databases))
            self.closed = False
            self.map_bytes = int(self._env.info()["map_size"])
            found = self.found_layout()
            if found != layout:
                raise self.wrong_layout(found, layout)
            self._tables = {table: self._env.open_db(table.encode(), create=False) for table in databases}
        except (lmdb.Error, OSError) as error:
            self.close()
            raise self.explain(error) from error
        except StoreError:
            self.close()
            raise

    def _open(self, tables: int) -> Any:
        try:
            return open_environment(self.path, tables, readonly=True)
        except lmdb.Error as error:
            if self.writer or getattr(error, "code", 0) not in READ_ONLY:
                raise
            return open_environment(self.path, tables, readonly=True, lock=False)  # a read-only disk takes no table of readers


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


def take_writer_lock(folder: Path, name: str) -> int:
    """Become the one writer of a file; closing the returned descriptor gives the place up.

    Raises:
        StoreInUseError: it has one.
        OSError: the lock file cannot be made.
    """
    descriptor = os.open(folder / f"{name}.writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        holder = writer_of(folder, name)
        who = f" (process {holder})" if holder else ""
        raise StoreInUseError(
            f"the file already has a writer{who}", where=str(folder / f"{name}.lmdb"), mend="stop the other server first"
        ) from error
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def writer_of(folder: Path, name: str) -> int:
    """Process that writes a file, 0 = none. Only looks, so that a server that starts meanwhile is not refused."""
    try:
        found = (folder / f"{name}.writer").stat()
        locks = _LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    held = (line.split() for line in locks if " FLOCK " in line and " WRITE " in line and "->" not in line)
    return next((int(words[4]) for words in held if words[5] == place), 0)
