"""The file format of the audit log and the proof that its records follow from each other.

A segment ``audit.NNNNNN.log`` is ``magic | u64le number before | digest before | record*``; a record is
``u32le size | msgpack | digest`` with ``digest = SM3(0x01 | digest before | size | msgpack)``; the very first follows
``SM3(magic)``. The chain runs through all segments. Files are read whole, not mapped: a writer may cut off what it could not
finish, and a map of a file that shrinks kills the reader.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgpack
from cryptography.hazmat.primitives import hashes

from scada.core.errors import SecurityError, StoreError
from scada.security.sm3 import sm3

MAXIMUM_RECORD: Final = 1 << 20
"""Bytes of one record; a larger size field is not ours."""
MAGIC: Final = b"SCADA audit 1\n"
NUMBER_SIZE: Final = 8
DIGEST_SIZE: Final = 32
HEADER_SIZE: Final = len(MAGIC) + NUMBER_SIZE + DIGEST_SIZE
LENGTH_SIZE: Final = 4
FIRST_SEGMENT: Final = "audit.000001.log"

_RECORD = b"\x9f"
"""First byte of a record's msgpack: an array of 15."""
_LINK = hashes.Hash(hashes.SM3())
_LINK.update(b"\x01")
_pack = msgpack.Packer().pack
"""For any thread: it does not give up the interpreter in between, and a row that it refuses leaves nothing behind."""


class AuditError(SecurityError):
    """The audit chain is broken: a record was changed, removed or put in.

    Attributes:
        record: number of the first record that is not what it was.
    """

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


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two records: number and digest of the one before, offset in its segment."""

    number: int
    digest: bytes
    at: int


BEGINNING: Final = Mark(0, sm3(MAGIC), HEADER_SIZE)
"""Before the very first record."""


class Chain:
    """The records of several segments in order, each proven to follow from its predecessor while it is read.

    Args:
        paths: segments, oldest first.

    Attributes:
        end: behind the last record read; number 0 and no digest before the first segment was opened.
        path: segment being read.
        torn: bytes of a record that a crash cut short at the very end, empty if there is none.

    Raises:
        StoreError: a segment cannot be read.
        AuditError: at the first record that does not follow; see :func:`segments` for what is in a folder.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self.end = Mark(0, b"", 0)
        self.path = paths[0] if paths else Path()
        self.torn = b""

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Number, msgpack and digest of each record."""
        for path in self._paths:
            data = read_segment(path)
            start = read_header(path, data)
            if self.torn:
                raise AuditError(self.path, self.end.number + 1, "is cut short")
            if self.end.digest and (start.number, start.digest) != (self.end.number, self.end.digest):
                raise AuditError(path, self.end.number + 1, "does not follow: a segment was removed or changed")
            self.path, self.end = path, start
            yield from self._walk(data)

    def run(self) -> Mark:
        """Read on to the end."""
        for _ in self:
            pass
        return self.end

    def _walk(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        number, digest, at = self.end.number, self.end.digest, self.end.at
        total, pack, copy = len(data), _pack, _LINK.copy
        try:
            while at < total:
                body = at + LENGTH_SIZE
                length = int.from_bytes(data[at:body], "little")
                end = body + length
                if end + DIGEST_SIZE > total or not 1 <= length <= MAXIMUM_RECORD:
                    self.torn = _torn(self.path, number + 1, data[at:])
                    return
                # `link` written out: this loop is what verification costs
                hashed = copy()
                hashed.update(digest + data[at:end])
                digest = hashed.finalize()
                if not data.startswith(digest, end):
                    raise AuditError(self.path, number + 1, "does not follow from its predecessor")
                number += 1
                if not data.startswith(_RECORD + pack(number), body):
                    decode(self.path, number, data[body:end])
                at = end + DIGEST_SIZE
                yield number, data[body:end], digest
        finally:
            self.end = Mark(number, digest, at)


def segments(folder: Path, *, needed: bool = False) -> list[Path]:
    """Segments of a folder, oldest first.

    Raises:
        StoreError: there is none although it is ``needed``.
    """
    paths = sorted(folder.glob("audit.??????.log"))
    if needed and not paths:
        raise StoreError("there is no audit log", where=str(folder))
    return paths


def header(mark: Mark) -> bytes:
    """First bytes of a segment that goes on at a mark."""
    return MAGIC + mark.number.to_bytes(NUMBER_SIZE, "little") + mark.digest


def read_header(path: Path, data: bytes) -> Mark:
    """Where a segment begins, from its first bytes.

    Raises:
        AuditError: it is no segment.
    """
    number, digest = data[len(MAGIC) : len(MAGIC) + NUMBER_SIZE], data[len(MAGIC) + NUMBER_SIZE : HEADER_SIZE]
    mark = Mark(int.from_bytes(number, "little"), digest, HEADER_SIZE)
    first = path.name == FIRST_SEGMENT
    if len(data) < HEADER_SIZE or not data.startswith(MAGIC) or (first and mark != BEGINNING):
        raise AuditError(path, 0, "is not the beginning of an audit log")
    return mark


def read_start(path: Path) -> Mark:
    """Where a segment begins, from its file.

    Raises:
        StoreError: it cannot be read.
        AuditError: it is no segment.
    """
    try:
        with path.open("rb") as file:
            return read_header(path, file.read(HEADER_SIZE))
    except OSError as error:
        raise StoreError(f"cannot read the audit log: {error.strerror}", where=str(path)) from error


def stored_digests(path: Path, first: int, end: int) -> list[bytes]:
    """Digests of records ``first`` to before ``end`` as a segment stores them; nothing is proven.

    Raises:
        StoreError: the segment cannot be read.
        AuditError: it is no segment.
    """
    data = read_segment(path)
    start = read_header(path, data)
    number, at, found = start.number + 1, start.at, []
    while at + LENGTH_SIZE <= len(data) and number < end:
        after = at + LENGTH_SIZE + int.from_bytes(data[at : at + LENGTH_SIZE], "little") + DIGEST_SIZE
        if after > len(data):
            break
        if number >= first:
            found.append(data[after - DIGEST_SIZE : after])
        number, at = number + 1, after
    return found


def link(before: bytes, sized: bytes) -> bytes:
    """Digest of a record: ``sized`` is its size field and msgpack."""
    hashed = _LINK.copy()
    hashed.update(before + sized)
    return hashed.finalize()


def encode(number: int, time_ns: int, row: AuditRow) -> bytes:
    """Size field and msgpack of a record.

    Raises:
        StoreError: it is longer than :data:`MAXIMUM_RECORD`.
    """
    body: bytes = _pack(
        (
            number,
            time_ns,
            row.kind,
            row.step,
            row.actor,
            row.station,
            row.session,
            row.sequence_id,
            row.mrid,
            row.path,
            row.old,
            row.value,
            row.code,
            row.reason,
            row.evidence,
        )
    )
    if len(body) > MAXIMUM_RECORD:
        raise StoreError(f"a row of the audit log has {len(body)} bytes, {MAXIMUM_RECORD} are the most", where=row.kind)
    return len(body).to_bytes(LENGTH_SIZE, "little") + body


def decode(path: Path, number: int, body: bytes) -> AuditRecord:
    """The record of a msgpack.

    Raises:
        AuditError: it cannot be read, or bears another number.
    """
    try:
        stored, time_ns, *fields = msgpack.unpackb(body)
        row = AuditRow(*fields)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise AuditError(path, number, "cannot be read") from error
    if stored != number:
        raise AuditError(path, number, f"bears the number {stored}")
    return AuditRecord(number, time_ns, row)


def read_segment(path: Path) -> bytes:
    """All bytes of a segment.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"cannot read the audit log: {error.strerror}", where=str(path)) from error


def _torn(path: Path, number: int, rest: bytes) -> bytes:
    """The end of a file as a crash leaves it: one record cut short, or a file system's zeros after a loss of power.

    Raises:
        AuditError: whole records follow, so that it was the size field that somebody changed; or the size is impossible.
    """
    length = int.from_bytes(rest[:LENGTH_SIZE], "little")
    if any(rest) and len(rest) >= LENGTH_SIZE and not 1 <= length <= MAXIMUM_RECORD:
        raise AuditError(path, number, "has no possible size")
    for at in range(DIGEST_SIZE, len(rest) - LENGTH_SIZE - DIGEST_SIZE):
        end = at + LENGTH_SIZE + int.from_bytes(rest[at : at + LENGTH_SIZE], "little")
        if (
            at + LENGTH_SIZE < end <= len(rest) - DIGEST_SIZE
            and link(rest[at - DIGEST_SIZE : at], rest[at:end]) == rest[end : end + DIGEST_SIZE]
        ):
            raise AuditError(path, number, "has a changed size")
    return rest
