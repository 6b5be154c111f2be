"""Disturbance recall: everything around a time, put together from the journal or the history, and kept in a file.

A recall holds the values in force at its start, every change in it by the time of its source, and the events. What an operator
held is shown as it was shown; what its source sent meanwhile stands among the events (``status.behind_hold``).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt

from scada.core.batch import OPERATOR, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.events.codec import decode_event, encode
from scada.events.records import Event
from scada.events.soe import order_time
from scada.rtdb.changes import ChangeSet, Snapshot
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

CHANGE_DTYPE: Final = np.dtype([("time", "<i8"), ("pid", "<u4"), ("quality", "<u4"), ("value", "<f8"), ("received", "<i8")])
"""One change: ``time`` is that of its source, else of its receipt, ns UTC."""

START_DTYPE: Final = CHANGE_DTYPE
"""One value in force at the start: ``time`` is when its source gave it, 0 = not known."""

Rows = npt.NDArray[np.void]
Pids = npt.NDArray[np.uint32]

MOST_CHANGES: Final = 3_000_000
"""Changes at most in one recall (96 MB)."""
MOST_EVENTS: Final = 200_000
"""Status lines at most, and as many other events."""

_MAGIC: Final = b"SCADA recall 1\n"
_SIZES: Final = struct.Struct("<II")
_AHEAD_NS: Final = NS_PER_S
_SUFFIX: Final = ".recall"
_COMPACT: Final = 256
"""Change sets before the span after which their rows are reduced to the last ones."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What is known around a time.

    Attributes:
        at_ns: the time, ns UTC.
        from_ns: start of the span.
        to_ns: its end, excluded.
        source: ``journal``, ``capture`` or ``history``.
        complete: True if nothing of the span is missing.
        reason: what is missing, or empty.
        start: values in force at the start, by pid (:data:`START_DTYPE`); points that are not in it are not known then.
        changes: by time (:data:`CHANGE_DTYPE`).
        events: by time.
        event_id: the accident that had it captured, 0 = none.
    """

    at_ns: int
    from_ns: int
    to_ns: int
    source: str
    complete: bool
    reason: str
    start: Rows
    changes: Rows
    events: Sequence[Event] = ()
    event_id: int = 0

    def of(self, pids: Pids | None, station: str = "") -> Recall:
        """The same for some points only, and for the events of these points or of a station."""
        if pids is None:
            return self
        wanted = frozenset(pids.tolist())
        events = [event for event in self.events if event.pid in wanted or (station and event.station == station)]
        start, changes = (rows[np.isin(rows["pid"], pids)] for rows in (self.start, self.changes))
        return replace(self, start=start, changes=changes, events=events)

    def within(self, from_ns: int, to_ns: int) -> Recall:
        """A part of the span, with the values in force at its start."""
        earlier = self.changes[self.changes["time"] < from_ns]
        start = last_values(np.concatenate((self.start, earlier)))
        changes = self.changes[(self.changes["time"] >= from_ns) & (self.changes["time"] < to_ns)]
        events = [event for event in self.events if from_ns <= order_time(event) < to_ns]
        return replace(self, from_ns=from_ns, to_ns=to_ns, start=start, changes=changes, events=events)


def last_values(rows: Rows) -> Rows:
    """The last row of each pid, by pid."""
    order = np.argsort(rows["pid"], kind="stable")
    rows = rows[order]
    last = np.append(rows["pid"][1:] != rows["pid"][:-1], np.ones(min(len(rows), 1), dtype=np.bool_))
    return np.asarray(rows[last])


def from_journal(
    changes: Iterable[ChangeSet], image: Snapshot, from_ns: int, to_ns: int, pids: Pids | None = None, most: int = MOST_CHANGES
) -> tuple[Rows, Rows, Pids]:
    """Values in force at ``from_ns`` and changes up to ``to_ns``.

    Args:
        changes: all that the journal holds, from before ``from_ns`` to the present.
        image: the present values of all points, taken before the changes were read.
        from_ns: ns UTC.
        to_ns: ns UTC, excluded.
        pids: only of these points; None = all.
        most: changes at most; those that were committed later are left out.

    Returns:
        (start, changes, pids whose value at the start is not known, because they changed afterwards and not before in what
        the journal holds). Points that had never been received at the start stand in none of them.
    """
    size = int(image.pid[-1]) + 1 if len(image.pid) else 0
    wanted, moved, never, known = np.zeros((4, size + 1), dtype=np.bool_)
    wanted[image.pid if pids is None else pids[pids < size]] = True
    before: list[Rows] = []
    inside: list[Rows] = []
    room = most
    for change in changes:
        chosen = wanted[np.minimum(change.records["pid"], size)]
        flags, rows = change.records["flags"][chosen], _rows(change)[chosen]
        present = flags & RecordFlag.ASIDE == 0
        early = rows["time"] < from_ns
        if (early & present).any():
            before.append(last_values(rows[early & present]))
        moved[rows["pid"][~early & present]] = True
        never[rows["pid"][~early & present & (flags & RecordFlag.FIRST != 0)]] = True
        inside.append(rows[~early & (rows["time"] < to_ns) & (flags & RecordFlag.HELD == 0)][:room])
        room -= len(inside[-1])
        if not len(inside[-1]):
            inside.pop()
        if len(before) > _COMPACT:
            before = [last_values(_by_time(before))]
    start = last_values(_by_time(before))
    known[start["pid"]] = True
    never_received = image.quality & np.uint32(Quality.NEVER_RECEIVED) != 0
    start = np.concatenate((start, _of_image(image, (wanted & ~moved & ~known)[image.pid] & ~never_received)))
    unknown = np.flatnonzero(moved & ~known & ~never).astype(np.uint32)
    return start[np.argsort(start["pid"], kind="stable")], _by_time(inside), unknown


def _rows(change: ChangeSet) -> Rows:
    records, received = change.records, change.received_at
    stamp, flags = records["source_time"], records["flags"]
    valid = (stamp != 0) & (records["quality"] & np.uint32(Quality.TIME_INVALID) == 0) & (stamp <= received + _AHEAD_NS)
    rows = np.empty(len(records), dtype=CHANGE_DTYPE)
    by_source = valid & (flags & RecordFlag.QUALITY_SET == 0) & (records["channel"] != OPERATOR)
    rows["time"] = np.where(by_source, stamp, received)
    for column in ("pid", "quality", "value"):
        rows[column] = records[column]
    rows["received"] = received
    return rows


def _by_time(parts: Sequence[Rows]) -> Rows:
    rows = np.concatenate([np.empty(0, dtype=CHANGE_DTYPE), *parts])
    return rows[np.argsort(rows["time"], kind="stable")]


def _of_image(image: Snapshot, mask: npt.NDArray[np.bool_]) -> Rows:
    rows = np.empty(int(mask.sum()), dtype=START_DTYPE)
    rows["time"], rows["received"] = image.source_time[mask], image.received_at[mask]
    rows["pid"], rows["quality"], rows["value"] = image.pid[mask], image.quality[mask], image.value[mask]
    return rows


# ------------------------------------------------------------------ which spans are captured


@dataclass(frozen=True, slots=True)
class Span:
    """A disturbance to be captured.

    Attributes:
        at_ns: time of the accident that began it, ns UTC.
        from_ns: start.
        to_ns: end, later if further accidents followed.
        event_id: number of the accident's event.
        reason: what it was.
    """

    at_ns: int
    from_ns: int
    to_ns: int
    event_id: int
    reason: str


LONGEST: Final = 5
"""A span is prolonged by further accidents to at most so many times the time after the first."""


def extended(spans: Sequence[Span], accident: Event, before_ns: int, after_ns: int) -> list[Span]:
    """The spans with one more accident: it prolongs the last one if it falls into it, else it begins a new one."""
    at_ns = accident.time_ns
    if spans and spans[-1].from_ns <= at_ns < spans[-1].to_ns:
        last = spans[-1]
        to_ns = min(max(last.to_ns, at_ns + after_ns), last.at_ns + LONGEST * after_ns)
        return [*spans[:-1], replace(last, to_ns=to_ns)]
    reason = accident.path or accident.key
    return [*spans, Span(at_ns, at_ns - before_ns, at_ns + after_ns, accident.event_id, reason)]


# ------------------------------------------------------------------ files


@dataclass(frozen=True, slots=True)
class RecallInfo:
    """A captured disturbance as the list shows it; ``reason`` says what it was, or why the file cannot be read."""

    path: Path
    at_ns: int
    from_ns: int = 0
    to_ns: int = 0
    event_id: int = 0
    reason: str = ""
    complete: bool = False


class RecallFolder:
    """Captured disturbances, one compressed file with checksums each, written as a whole or not at all.

    Args:
        folder: made when the first one is written.
        keep: so many are kept, the newest.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def save(self, recall: Recall, reason: str) -> Path:
        """Write a recall, then remove the oldest beyond those to be kept.

        Raises:
            StoreError: it cannot be written.
        """
        head = msgpack.packb([recall.at_ns, recall.from_ns, recall.to_ns, recall.event_id, reason, recall.complete])
        events = [encode(event) for event in recall.events]
        rest = [recall.source, recall.reason, recall.start.tobytes(), recall.changes.tobytes(), events]
        body = zlib.compress(msgpack.packb(rest), 3)
        parts = (seal(head), seal(body))
        blob = b"".join((_MAGIC, _SIZES.pack(*map(len, parts)), *parts))
        path = self._folder / f"{recall.at_ns:020d}-{recall.event_id}{_SUFFIX}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_whole(path, blob)
            for old in sorted(self._folder.glob(f"*{_SUFFIX}"), reverse=True)[self._keep :]:
                old.unlink()
        except OSError as error:
            raise StoreError(
                f"a disturbance cannot be kept: {error.strerror}", where=str(path), mend="free disk space or change the folder"
            ) from error
        return path

    def listed(self) -> list[RecallInfo]:
        """What is kept, newest first; a damaged file says so in its line."""
        found = []
        for path in sorted(self._folder.glob(f"*{_SUFFIX}"), reverse=True):
            try:
                found.append(_info(path))
            except (StoreError, OSError) as error:
                found.append(RecallInfo(path, _time_in_name(path), reason=str(error)))
        return found

    def covering(self, from_ns: int, to_ns: int) -> RecallInfo | None:
        """The newest one that covers a span wholly and is sound as far as its head."""
        return next((info for info in self.listed() if 0 < info.from_ns <= from_ns and to_ns <= info.to_ns), None)

    def read(self, path: Path) -> Recall:
        """A captured disturbance.

        Raises:
            CorruptFileError: it is damaged.
            StoreError: it cannot be read.
        """
        try:
            info, (_, body) = _info(path), _parts(path.read_bytes(), path)
        except OSError as error:
            raise StoreError(f"cannot read a disturbance: {error.strerror}", where=str(path)) from error
        source, reason, start, changes, events = _unpacked(zlib.decompress(unseal(body, str(path))), path)
        return Recall(
            info.at_ns,
            info.from_ns,
            info.to_ns,
            "capture",
            info.complete,
            reason if source == "journal" else f"{source}: {reason}",
            np.frombuffer(start, START_DTYPE),
            np.frombuffer(changes, CHANGE_DTYPE),
            [decode_event(blob, str(path)) for blob in events],
            info.event_id,
        )


def _info(path: Path) -> RecallInfo:
    with path.open("rb") as file:
        start = file.read(len(_MAGIC) + _SIZES.size)
        if start[: len(_MAGIC)] != _MAGIC or len(start) != len(_MAGIC) + _SIZES.size:
            raise CorruptFileError("not a recall file of this version", where=str(path), mend="move it away")
        head = file.read(_SIZES.unpack(start[len(_MAGIC) :])[0])
    return RecallInfo(path, *_unpacked(unseal(head, str(path)), path))


def _parts(blob: bytes, path: Path) -> Iterator[bytes]:
    at = len(_MAGIC) + _SIZES.size
    sizes = _SIZES.unpack(blob[len(_MAGIC) : at])
    if len(blob) != at + sum(sizes):
        raise CorruptFileError("the file is cut short", where=str(path), mend="restore a backup or move it away")
    for size in sizes:
        yield blob[at : at + size]
        at += size


def _unpacked(blob: bytes, path: Path) -> list[Any]:
    fields = msgpack.unpackb(blob)
    if not isinstance(fields, list):
        raise CorruptFileError("not a recall file of this version", where=str(path), mend="move it away")
    return fields


def _time_in_name(path: Path) -> int:
    digits = path.name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def _write_whole(path: Path, blob: bytes) -> None:
    """Write a file so that it is there as a whole or not at all, also after a loss of power."""
    aside = path.with_suffix(".new")
    try:
        with aside.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError:
        with suppress(OSError):
            aside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
