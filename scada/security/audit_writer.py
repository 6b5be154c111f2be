"""Writing the segments of an audit log: opened at their end, what a crash cut short moved aside, nothing written twice."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from scada.core.errors import StoreError
from scada.security.audit_chain import BEGINNING, FIRST_SEGMENT, HEADER_SIZE, AuditError, Chain, Mark, header, segments


class SegmentWriter:
    """The end of a log. For one thread at a time.

    Args:
        folder: holds the segments.

    Attributes:
        end: behind the last record.
        repaired: what a crash had cut short and opening moved aside, one sentence; empty if nothing.
        broken: why nothing can be written any more, empty if it can.

    Raises:
        OSError: the folder cannot be written.
        AuditError: the chain of the last segment is broken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.repaired = self.broken = ""
        self._path, self._file, self.end = self._resume()

    def write(self, data: bytes, end: Mark) -> None:
        """Put records on disk, all or none.

        Args:
            data: whole records.
            end: the mark behind them.

        Raises:
            OSError: they are not stored.
            StoreError: the file is not as it was left: somebody else writes, cuts, moves or removes it.
        """
        self._check_untouched()
        try:
            _write_whole(self._file, data)
        except OSError as error:
            try:
                os.ftruncate(self._file.fileno(), self.end.at)
            except OSError:
                self.broken = f"a record could not be taken back: {error.strerror}"
            raise
        self.end = end

    def begin(self) -> None:
        """Go on in a new segment, whose header carries the chain over.

        Raises:
            OSError: it cannot be made; the one before goes on.
            StoreError: as :meth:`write`.
        """
        self._check_untouched()
        index = int(self._path.name.split(".")[1]) + 1
        path = self._folder / f"audit.{index:06d}.log"
        file = _create_segment(path, self.end)
        self._file.close()
        self._path, self._file, self.end = path, file, Mark(self.end.number, self.end.digest, HEADER_SIZE)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _check_untouched(self) -> None:
        """Rows in a file that was removed, or behind something else, would be lost or prove nothing."""
        ours = os.fstat(self._file.fileno())
        try:
            there = self._path.stat()
        except FileNotFoundError:
            self.broken = f"{self._path.name} was moved or removed"
        else:
            if (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
                self.broken = f"{self._path.name} was exchanged"
            elif ours.st_size != self.end.at:
                self.broken = f"{self._path.name} has {ours.st_size} bytes, {self.end.at} were written: it was changed"
        if self.broken:
            mend = "keep the folder as evidence, find who did it, restart the server"
            raise StoreError(f"the audit log is closed: {self.broken}", where=str(self._folder), mend=mend)

    def _resume(self) -> tuple[Path, BinaryIO, Mark]:
        """Open the last segment at its end, with what a crash left half-written moved aside."""
        paths = segments(self._folder)
        begun = paths.pop() if paths and paths[-1].stat().st_size < HEADER_SIZE else None
        end = self._repair(paths[-1]) if paths else BEGINNING
        if begun:  # a crash while its header was written: it holds no record yet
            data = begun.read_bytes()
            if any(data) and not header(end).startswith(data):
                raise AuditError(begun, end.number + 1, "cannot be in it: it is not the beginning of a segment")
            begun.unlink()
            self.repaired = f"{begun.name} was cut short by a crash before its first record: removed"
        if not paths:
            first = self._folder / FIRST_SEGMENT
            return first, _create_segment(first, end), end
        return paths[-1], paths[-1].open("ab", buffering=0), end

    def _repair(self, path: Path) -> Mark:
        """End of the last segment; a torn record is moved aside."""
        chain = Chain([path])
        end = chain.run()
        if chain.torn:
            aside = path.with_name(f"audit.torn-{end.number + 1}")
            aside.write_bytes(chain.torn)
            os.truncate(path, end.at)
            self.repaired = f"record {end.number + 1} was cut short by a crash: {len(chain.torn)} bytes moved to {aside.name}"
        return end


def _create_segment(path: Path, mark: Mark) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)
    try:
        _write_whole(file, header(mark))
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        file.close()
        path.unlink()
        raise
    return file


def _write_whole(file: BinaryIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fdatasync(file.fileno())
