"""The audit log: an append-only file in which every record carries the SM3 digest of its predecessor.

A file is ``magic | record*``; a record is ``u32le size | msgpack | digest`` with
``digest = SM3(0x01 | digest of the one before | size | msgpack)``; the first follows ``SM3(magic)``. A row is on disk when
:meth:`AuditLog.append` returns. A record that a crash cut short is reported and moved aside at the next start; whatever else
does not fit is tampering and is never repaired.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import BinaryIO, Final, Self

import msgpack

from scada.core.clock import Clock
from scada.core.errors import SecurityError, StoreError
from scada.security.sm3 import sm3

AUDIT_FILE: Final = "audit.log"
MAXIMUM_RECORD: Final = 1 << 20
"""Bytes of one record; a larger size field is not ours."""

_MAGIC = b"SCADA audit 1\n"
_DIGEST = 32
_SIZE = 4


class AuditError(SecurityError):
    """The audit chain is broken: a record was changed, removed or put in."""

    def __init__(self, path: Path, record: int, what: str) -> None:
        super().__init__(
            f"record {record} {what}", where=str(path), mend="keep the file as evidence: move it away, a new one is begun"
        )
        self.record = record


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What was done, by whom, to what.

    Attributes:
        kind: ``control``, ``mode``, ``dispatch``, ``acknowledge``, ``security`` or ``system``.
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
        folder: holds ``audit.log``; made with mode 0700.
        clock: stamps the rows.

    Attributes:
        repaired: what a crash had cut short and opening moved aside, one sentence; empty if nothing.

    Raises:
        StoreError: the folder cannot be written, or another process has the log open.
        AuditError: the chain is broken.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.path = folder / AUDIT_FILE
        self.repaired = ""
        self._clock = clock
        self._lock = Lock()
        self._failed = ""
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._file: BinaryIO = os.fdopen(descriptor, "r+b", buffering=0)
        except OSError as error:
            raise StoreError(f"cannot open the audit log: {error.strerror}", where=str(self.path)) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._number, self._digest = self._resume()
        except BlockingIOError as error:
            self._file.close()
            raise StoreError("another process writes the audit log", where=str(self.path), mend="stop it first") from error
        except BaseException:
            self._file.close()
            raise

    def append(self, row: AuditRow) -> int:
        """Store a row; it is on disk when this returns.

        Returns:
            Its number.

        Raises:
            StoreError: it could not be stored (disk full ...); nothing may act on it.
        """
        with self._lock:
            if self._failed:
                raise StoreError(f"the audit log is closed: {self._failed}", where=str(self.path), mend="restart the server")
            number = self._number + 1
            body = msgpack.packb([number, self._clock.now_ns(), *astuple(row)])
            size = len(body).to_bytes(_SIZE, "little")
            digest = _link(self._digest, size, body)
            self._write(size + body + digest)
            self._number, self._digest = number, digest
            return number

    def records(self) -> Iterator[AuditRecord]:
        """Every stored row in order, as of now."""
        return read_audit(self.path.parent)

    def close(self) -> None:
        """Let another writer have it."""
        with self._lock:
            self._failed = "closed"
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        before = os.fstat(self._file.fileno()).st_size
        try:
            _write_whole(self._file, data)
        except OSError as error:
            try:
                os.ftruncate(self._file.fileno(), before)
            except OSError:
                self._failed = f"a record could not be taken back: {error.strerror}"
            raise StoreError(
                f"cannot write the audit log: {error.strerror}", where=str(self.path), mend="free the disk"
            ) from error

    def _resume(self) -> tuple[int, bytes]:
        """Walk the chain; cut off what a crash left half-written."""
        if os.fstat(self._file.fileno()).st_size < len(_MAGIC):
            self._file.truncate(0)
            self._write(_MAGIC)
        number, digest, end = 0, sm3(_MAGIC), len(_MAGIC)
        for link in _walk(self.path):
            if isinstance(link, _Torn):
                aside = self.path.with_name(f"audit.torn-{number + 1}")
                aside.write_bytes(link.rest)
                self._file.truncate(end)
                os.fsync(self._file.fileno())
                self.repaired = f"record {number + 1} was cut short by a crash: {len(link.rest)} bytes moved to {aside.name}"
                break
            number, digest, end = link.number, link.digest, link.end
        return number, digest


def read_audit(folder: Path) -> Iterator[AuditRecord]:
    """Stored rows in order; a torn last record is left out.

    Raises:
        StoreError: the file cannot be read.
        AuditError: at the first record that does not follow from its predecessor.
    """
    for link in _walk(folder / AUDIT_FILE):
        if isinstance(link, _Link):
            yield AuditRecord(link.number, link.time_ns, link.row)


def verify(folder: Path) -> AuditError | None:
    """Check a whole log offline.

    Returns:
        None if the chain is whole, else the error that names the first bad record. A torn last record counts as bad.

    Raises:
        StoreError: the file cannot be read.
    """
    number = 0
    try:
        for link in _walk(folder / AUDIT_FILE):
            if isinstance(link, _Torn):
                return AuditError(folder / AUDIT_FILE, number + 1, "is cut short")
            number = link.number
    except AuditError as error:
        return error
    return None


@dataclass(frozen=True, slots=True)
class _Link:
    number: int
    time_ns: int
    row: AuditRow
    digest: bytes
    end: int


@dataclass(frozen=True, slots=True)
class _Torn:
    rest: bytes


def _write_whole(file: BinaryIO, data: bytes) -> None:
    if file.write(data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fdatasync(file.fileno())


def _link(before: bytes, size: bytes, body: bytes) -> bytes:
    return sm3(b"\x01", before, size, body)


def _walk(path: Path) -> Iterator[_Link | _Torn]:
    """Records of a file; a torn tail comes last as :class:`_Torn`."""
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            if file.read(len(_MAGIC)) != _MAGIC:
                raise AuditError(path, 0, "is not the beginning of an audit log")
            number, digest, at = 0, sm3(_MAGIC), len(_MAGIC)
            while at < total:
                size = file.read(_SIZE)
                length = int.from_bytes(size, "little")
                if total - at < _SIZE + length + _DIGEST or not 1 <= length <= MAXIMUM_RECORD:
                    yield _torn(path, number + 1, size + file.read())
                    return
                body, stored = file.read(length), file.read(_DIGEST)
                digest = _link(digest, size, body)
                if digest != stored:
                    raise AuditError(path, number + 1, "does not follow from its predecessor")
                number += 1
                at += _SIZE + length + _DIGEST
                yield _decode(path, number, body, digest, at)
    except OSError as error:
        raise StoreError(f"cannot read the audit log: {error.strerror}", where=str(path)) from error


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


def _decode(path: Path, number: int, body: bytes, digest: bytes, end: int) -> _Link:
    try:
        stored, time_ns, *fields = msgpack.unpackb(body)
        row = AuditRow(*fields)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise AuditError(path, number, "cannot be read") from error
    if stored != number:
        raise AuditError(path, number, f"bears the number {stored}")
    return _Link(number, time_ns, row, digest, end)
