"""The audit log: append-only files in which every record carries the SM3 digest of its predecessor.

A segment ``audit.NNNNNN.log`` is ``magic | u64le number before | digest before | record*``; a record is
``u32le size | msgpack | digest`` with ``digest = SM3(0x01 | digest before | size | msgpack)``; the very first follows
``SM3(magic)``. The chain runs through all segments; a start reads only the last one.

A row is on disk when :meth:`AuditLog.append` returns. A record that a crash cut short is reported and moved aside at the next
start; whatever else does not fit is tampering and is never repaired.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgpack

from scada.core.clock import Clock
from scada.core.errors import SecurityError, StoreError
from scada.security.sm3 import sm3

SEGMENT_BYTES: Final = 32 << 20
"""Size after which a new segment is begun."""
MAXIMUM_RECORD: Final = 1 << 20
"""Bytes of one record; a larger size field is not ours."""

_MAGIC = b"SCADA audit 1\n"
_NUMBER = 8
_DIGEST = 32
_HEADER = len(_MAGIC) + _NUMBER + _DIGEST
_SIZE = 4
_FIRST = "audit.000001.log"
_LOCK = "audit.lock"


class AuditError(SecurityError):
    """The audit chain is broken: a record was changed, removed or put in."""

    def __init__(self, path: Path, record: int, what: str) -> None:
        super().__init__(
            f"record {record} {what}", where=str(path), mend="keep the folder as evidence: move it away, a new log is begun"
        )
        self.record = record


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What was done, by whom, to what.

    Attributes:
        kind: ``control``, ``mode``, ``dispatch``, ``acknowledge``, ``alarm``, ``history``, ``operator``, ``security`` or
            ``system``.
        step: which step of it, e.g. ``select``, ``execute``, ``result``, ``refused``.
        actor: identity that acts.
        station: workstation.
        session: session id, hex.
        sequence_id: control sequence it belongs to, or order id.
        mrid: object acted on.
        path: its readable name.
        old: value before, NaN = unknown or none.
        value: value asked, NaN = none.
        code: machine-readable result.
        reason: one sentence.
        evidence: the signed envelope as it came, empty for internal acts.
    """

    kind: str
    step: str
    actor: str = ""
    station: str = ""
    session: str = ""
    sequence_id: str = ""
    mrid: str = ""
    path: str = ""
    old: float = float("nan")
    value: float = float("nan")
    code: str = ""
    reason: str = ""
    evidence: bytes = b""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A stored row: number in the chain (from 1) and time (ns UTC)."""

    number: int
    time_ns: int
    row: AuditRow


class AuditLog:
    """The single writer of one audit log. Safe to call from several threads.

    Args:
        folder: holds the segments; made with mode 0700.
        clock: stamps the rows.
        segment_bytes: size after which a new segment is begun.

    Attributes:
        repaired: what a crash had cut short and opening moved aside, one sentence; empty if nothing.

    Raises:
        StoreError: the folder cannot be written, or another process has the log open.
        AuditError: the chain of the last segment is broken.
    """

    def __init__(self, folder: Path, clock: Clock, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.repaired = ""
        self._clock = clock
        self._segment_bytes = segment_bytes
        self._mutex = Lock()
        self._failed = ""
        with ExitStack() as undo:
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock_file = undo.enter_context((folder / _LOCK).open("w"))
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._file, self._end = self._resume()
            except BlockingIOError as error:
                raise StoreError("another process writes the audit log", where=str(folder), mend="stop it first") from error
            except OSError as error:
                raise StoreError(f"cannot open the audit log: {error.strerror}", where=str(folder)) from error
            undo.pop_all()

    def append(self, row: AuditRow) -> int:
        """Store a row; it is on disk when this returns.

        Returns:
            Its number.

        Raises:
            StoreError: it could not be stored (disk full ...); nothing may act on it.
        """
        with self._mutex:
            if self._failed:
                raise StoreError(f"the audit log is closed: {self._failed}", where=str(self.folder), mend="restart the server")
            number = self._end.number + 1
            body = msgpack.packb([number, self._clock.now_ns(), *astuple(row)])
            size = len(body).to_bytes(_SIZE, "little")
            digest = _link(self._end.digest, size, body)
            try:
                if self._end.at >= self._segment_bytes:
                    self._begin_segment()
                self._write(size + body + digest)
            except OSError as error:
                raise StoreError(
                    f"cannot write the audit log: {error.strerror}", where=str(self.folder), mend="free the disk"
                ) from error
            self._end = _Mark(number, digest, self._end.at + _SIZE + len(body) + _DIGEST)
            return number

    def records(self) -> Iterator[AuditRecord]:
        """The recent rows in order, as of now: those of the last two segments."""
        return _rows(_segments(self.folder)[-2:])

    def close(self) -> None:
        """Let another writer have it."""
        with self._mutex:
            self._failed = "closed"
            self._file.close()
            self._lock_file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        try:
            _write_whole(self._file, data)
        except OSError as error:
            try:
                os.ftruncate(self._file.fileno(), self._end.at)
            except OSError:
                self._failed = f"a record could not be taken back: {error.strerror}"
            raise

    def _begin_segment(self) -> None:
        """Go on in a new file, whose header carries the chain over."""
        index = int(_segments(self.folder)[-1].name.split(".")[1]) + 1
        file = _create_segment(self.folder / f"audit.{index:06d}.log", self._end)
        self._file.close()
        self._file, self._end = file, _Mark(self._end.number, self._end.digest, _HEADER)

    def _resume(self) -> tuple[BinaryIO, _Mark]:
        """Open the last segment at its end, with what a crash left half-written moved aside."""
        paths = _segments(self.folder)
        begun = paths.pop() if paths and paths[-1].stat().st_size < _HEADER else None
        end = self._repair(paths[-1]) if paths else _Mark(0, sm3(_MAGIC), _HEADER)
        if begun:  # a crash while its header was written: it holds no record yet
            data = begun.read_bytes()
            if any(data) and not _header(end).startswith(data):
                raise AuditError(begun, end.number + 1, "cannot be in it: it is not the beginning of a segment")
            begun.unlink()
            self.repaired = f"{begun.name} was cut short by a crash before its first record: removed"
        if not paths:
            return _create_segment(self.folder / _FIRST, end), end
        return paths[-1].open("ab", buffering=0), end

    def _repair(self, path: Path) -> _Mark:
        """End of the last segment; a torn record is moved aside."""
        end = _Mark(0, b"", 0)
        for each in _walk(path):
            if isinstance(each, _Torn):
                aside = path.with_name(f"audit.torn-{end.number + 1}")
                aside.write_bytes(each.rest)
                os.truncate(path, end.at)
                self.repaired = f"record {end.number + 1} was cut short by a crash: {len(each.rest)} bytes moved to {aside.name}"
            else:
                end = each
        return end


def read_audit(folder: Path) -> Iterator[AuditRecord]:
    """Every stored row in order; a torn last record is left out.

    Raises:
        StoreError: there is no log, or it cannot be read.
        AuditError: at the first record that does not follow from its predecessor.
    """
    return _rows(_segments(folder, needed=True))


def verify(folder: Path) -> AuditError | None:
    """Check a whole log offline, from the oldest segment that is there.

    Returns:
        None if the chain is whole, else the error that names the first bad record. A torn last record counts as bad.

    Raises:
        StoreError: there is no log, or it cannot be read.
    """
    number, paths = 0, _segments(folder, needed=True)
    try:
        for each in _chain(paths):
            if isinstance(each, _Torn):
                return AuditError(paths[-1], number + 1, "is cut short")
            number = each.number
    except AuditError as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class _Mark:
    """A place between two records: number and digest of the one before, offset in its segment."""

    number: int
    digest: bytes
    at: int


@dataclass(frozen=True, slots=True)
class _Stored(_Mark):
    """The place after a record, with the record."""

    record: AuditRecord


@dataclass(frozen=True, slots=True)
class _Torn:
    rest: bytes


def _segments(folder: Path, *, needed: bool = False) -> list[Path]:
    paths = sorted(folder.glob("audit.??????.log"))
    if needed and not paths:
        raise StoreError("there is no audit log", where=str(folder))
    return paths


def _header(mark: _Mark) -> bytes:
    return _MAGIC + mark.number.to_bytes(_NUMBER, "little") + mark.digest


def _create_segment(path: Path, mark: _Mark) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    file: BinaryIO = os.fdopen(descriptor, "ab", buffering=0)
    try:
        _write_whole(file, _header(mark))
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


def _link(before: bytes, size: bytes, body: bytes) -> bytes:
    return sm3(b"\x01", before, size, body)


def _rows(paths: Sequence[Path]) -> Iterator[AuditRecord]:
    for each in _chain(paths):
        if isinstance(each, _Stored):
            yield each.record


def _chain(paths: Sequence[Path]) -> Iterator[_Mark | _Torn]:
    """Places and records of several segments; each must go on where the one before ended."""
    end: _Mark | None = None
    for path in paths:
        for position, each in enumerate(_walk(path)):
            if isinstance(each, _Torn) and path != paths[-1]:
                raise AuditError(path, end.number + 1 if end else 0, "is cut short")
            if position == 0 and end and isinstance(each, _Mark) and (each.number, each.digest) != (end.number, end.digest):
                raise AuditError(path, end.number + 1, "does not follow: a segment was removed or changed")
            if isinstance(each, _Mark):
                end = each
            yield each


def _walk(path: Path) -> Iterator[_Mark | _Torn]:
    """The start of a segment, then its records; a torn tail comes last."""
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            mark = _start(path, file.read(_HEADER))
            yield mark
            while mark.at < total:
                size = file.read(_SIZE)
                length = int.from_bytes(size, "little")
                if total - mark.at < _SIZE + length + _DIGEST or not 1 <= length <= MAXIMUM_RECORD:
                    yield _torn(path, mark.number + 1, size + file.read())
                    return
                body, stored = file.read(length), file.read(_DIGEST)
                digest = _link(mark.digest, size, body)
                if digest != stored:
                    raise AuditError(path, mark.number + 1, "does not follow from its predecessor")
                record = _decode(path, mark.number + 1, body)
                mark = _Stored(record.number, digest, mark.at + _SIZE + length + _DIGEST, record)
                yield mark
    except OSError as error:
        raise StoreError(f"cannot read the audit log: {error.strerror}", where=str(path)) from error


def _start(path: Path, header: bytes) -> _Mark:
    magic, number, digest = header[: len(_MAGIC)], header[len(_MAGIC) : -_DIGEST], header[-_DIGEST:]
    mark = _Mark(int.from_bytes(number, "little"), digest, _HEADER)
    first = path.name == _FIRST
    if len(header) < _HEADER or magic != _MAGIC or (first and (mark.number, digest) != (0, sm3(_MAGIC))):
        raise AuditError(path, 0, "is not the beginning of an audit log")
    return mark


def _torn(path: Path, number: int, rest: bytes) -> _Torn:
    """The end of a file as a crash leaves it: one record cut short, or a file system's zeros after a loss of power.

    Raises:
        AuditError: whole records follow, so that it was the size field that somebody changed; or the size is impossible.
    """
    length = int.from_bytes(rest[:_SIZE], "little")
    if any(rest) and len(rest) >= _SIZE and not 1 <= length <= MAXIMUM_RECORD:
        raise AuditError(path, number, "has no possible size")
    for at in range(_DIGEST, len(rest) - _SIZE - _DIGEST):
        end = at + _SIZE + int.from_bytes(rest[at : at + _SIZE], "little")
        if at + _SIZE < end <= len(rest) - _DIGEST:
            size, body = rest[at : at + _SIZE], rest[at + _SIZE : end]
            if _link(rest[at - _DIGEST : at], size, body) == rest[end : end + _DIGEST]:
                raise AuditError(path, number, "has a changed size")
    return _Torn(rest)


def _decode(path: Path, number: int, body: bytes) -> AuditRecord:
    try:
        stored, time_ns, *fields = msgpack.unpackb(body)
        row = AuditRow(*fields)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise AuditError(path, number, "cannot be read") from error
    if stored != number:
        raise AuditError(path, number, f"bears the number {stored}")
    return AuditRecord(number, time_ns, row)
