"""Reading an audit log while it grows: newest first with limits, oldest first for an export, and certificates of logins.

Nothing is proven here; :mod:`scada.security.audit_checking` proves. A record that is being written is left out.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scada.core.errors import StoreError
from scada.security.audit_chain import (
    DIGEST_SIZE,
    HEADER_SIZE,
    LENGTH_SIZE,
    MAXIMUM_RECORD,
    AuditError,
    AuditRecord,
    decode,
    read_header,
    read_segment,
    read_start,
    segments,
)

COLUMNS: Final = (
    "number",
    "time_ns",
    "kind",
    "step",
    "actor",
    "station",
    "session",
    "sequence_id",
    "mrid",
    "path",
    "old",
    "value",
    "code",
    "reason",
    "evidence",
    "digest",
)
"""Names of what an export says of a record, in order."""


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record with its digest in the chain, hex in exports."""

    record: AuditRecord
    digest: bytes


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which records are wanted; empty fields take all.

    Attributes:
        from_ns, to_ns: ns UTC, the end excluded; 0 = open.
        kinds: of these kinds.
        actor: by this identity.
        object: of this mRID, or whose path contains it.
        code: with this result.
        text: that contain it anywhere in words, in any case of letters.
        sequence_id: of this control sequence or order.
        before: numbers below; 0 = all.
    """

    from_ns: int = 0
    to_ns: int = 0
    kinds: frozenset[str] = frozenset()
    actor: str = ""
    object: str = ""
    code: str = ""
    text: str = ""
    sequence_id: str = ""
    before: int = 0

    def needles(self) -> list[bytes]:
        """What the bytes of a wanted record contain."""
        return [each.encode() for each in (self.actor, self.code, self.sequence_id) if each]

    def takes(self, record: AuditRecord) -> bool:
        """True if a record is wanted."""
        row, text = record.row, self.text.casefold()
        return (
            (not self.kinds or row.kind in self.kinds)
            and self.from_ns <= record.time_ns < (self.to_ns or 1 << 64)
            and (not self.before or record.number < self.before)
            and self.actor in ("", row.actor)
            and self.code in ("", row.code)
            and self.sequence_id in ("", row.sequence_id)
            and (self.object in ("", row.mrid) or self.object.casefold() in row.path.casefold())
            and (not text or any(text in each.casefold() for each in (row.path, row.reason, row.step, row.actor, row.station)))
        )


class AuditReader:
    """Reads the files of a log. Safe to call from several threads.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._spans: dict[str, tuple[int, int]] = {}
        """Earliest and latest time of a segment that is no longer written, by name."""

    def size(self) -> tuple[int, int]:
        """Numbers of the first and the last record; (0, 0) = none.

        Raises:
            StoreError: there is no log, or it cannot be read.
        """
        paths = self._paths()
        last = read_start(paths[-1]).number + sum(1 for _ in _bodies(paths[-1], read_segment(paths[-1])))
        first = read_start(paths[0]).number + 1
        return (first, last) if last >= first else (0, 0)

    def newest(self, wanted: AuditFilter, limit: int) -> tuple[list[StoredRecord], bool]:
        """The newest wanted records, newest first, and whether there are more.

        Raises:
            StoreError: there is no log, or it cannot be read.
            AuditError: a record cannot be decoded.
        """
        found: list[StoredRecord] = []
        for path, last in self._wanted(wanted)[::-1]:
            for stored in self._records(path, wanted, whole=not last)[::-1]:
                if len(found) == limit:
                    return found, True
                found.append(stored)
        return found, False

    def oldest(self, wanted: AuditFilter) -> Iterator[list[StoredRecord]]:
        """All wanted records, oldest first, a list for each segment.

        Raises:
            StoreError: there is no log, or it cannot be read.
            AuditError: a record cannot be decoded.
        """
        for path, last in self._wanted(wanted):
            yield self._records(path, wanted, whole=not last)

    def logins(self, key_id: bytes) -> Iterator[AuditRecord]:
        """Rows of logins that name a key, newest first; for its certificate."""
        for path in self._paths()[::-1]:
            data = read_segment(path)
            if key_id in data:
                for number, body, _ in reversed([each for each in _bodies(path, data) if key_id in each[1]]):
                    record = decode(path, number, body)
                    if record.row.kind == "security":
                        yield record

    def stored(self, number: int) -> tuple[bytes, bytes]:
        """Digest of the record before, and size field and msgpack of a record as they are stored.

        Raises:
            StoreError: there is no such record here.
        """
        path = next((each for each in self._paths()[::-1] if read_start(each).number < number), None)
        if path is not None:
            data = read_segment(path)
            before = read_header(path, data).digest
            for each, body, digest in _bodies(path, data):
                if each == number:
                    return before, len(body).to_bytes(LENGTH_SIZE, "little") + body
                before = digest
        raise StoreError(f"record {number} is not in the log", where=str(self._folder))

    def _paths(self) -> list[Path]:
        """Segments that hold at least their header: one may just be begun."""
        paths = segments(self._folder, needed=True)
        if len(paths) > 1 and paths[-1].stat().st_size < HEADER_SIZE:
            paths.pop()
        return paths

    def _wanted(self, wanted: AuditFilter) -> list[tuple[Path, bool]]:
        """Segments that may hold wanted records, and whether one is the last."""
        paths, chosen = self._paths(), []
        for path in paths:
            earliest, latest = self._spans.get(path.name, (0, 1 << 64))
            if latest >= wanted.from_ns and (not wanted.to_ns or earliest < wanted.to_ns):
                chosen.append((path, path == paths[-1]))
        if wanted.before:
            chosen = [each for each in chosen if read_start(each[0]).number + 1 < wanted.before]
        return chosen

    def _records(self, path: Path, wanted: AuditFilter, *, whole: bool) -> list[StoredRecord]:
        needles, found = wanted.needles(), []
        timed = whole and path.name not in self._spans and bool(wanted.from_ns or wanted.to_ns)
        earliest, latest = 1 << 64, 0
        for number, body, digest in _bodies(path, read_segment(path)):
            if timed or all(needle in body for needle in needles):
                record = decode(path, number, body)
                earliest, latest = min(earliest, record.time_ns), max(latest, record.time_ns)
                if wanted.takes(record):
                    found.append(StoredRecord(record, digest))
        if timed:
            self._spans[path.name] = (earliest, latest)
        return found


def export_row(stored: StoredRecord) -> dict[str, Any]:
    """A record by :data:`COLUMNS`: unknown numbers are None, evidence is base64, the digest hex."""
    record, row = stored.record, stored.record.row
    return {
        "number": record.number,
        "time_ns": record.time_ns,
        "kind": row.kind,
        "step": row.step,
        "actor": row.actor,
        "station": row.station,
        "session": row.session,
        "sequence_id": row.sequence_id,
        "mrid": row.mrid,
        "path": row.path,
        "old": row.old if math.isfinite(row.old) else None,
        "value": row.value if math.isfinite(row.value) else None,
        "code": row.code,
        "reason": row.reason,
        "evidence": base64.b64encode(row.evidence).decode(),
        "digest": stored.digest.hex(),
    }


def json_line(stored: StoredRecord) -> str:
    """A record as one line of JSON."""
    return json.dumps(export_row(stored), ensure_ascii=False) + "\n"


def _bodies(path: Path, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, msgpack and digest of the records of a segment; one cut short at the end is left out.

    Raises:
        AuditError: a size is impossible.
    """
    number, at = read_header(path, data).number, HEADER_SIZE
    while at < len(data):
        body = at + LENGTH_SIZE
        length = int.from_bytes(data[at:body], "little")
        end = body + length
        if end + DIGEST_SIZE > len(data):
            return
        number += 1
        if not 1 <= length <= MAXIMUM_RECORD:
            if any(data[at:]):
                raise AuditError(path, number, "has no possible size")
            return
        at = end + DIGEST_SIZE
        yield number, data[body:end], data[end:at]
