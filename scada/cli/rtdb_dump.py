"""What ``scada rtdb`` prints: points and journal records as lines, figures as text and JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import click
import numpy as np
import numpy.typing as npt

from scada.cli.rendering import quality_marks
from scada.core.clock import NS_PER_S
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.rtdb.changes import ChangeSet, Snapshot
from scada.rtdb.consumers import Consumer
from scada.rtdb.maintenance import HeldTransaction, Stats

_POINT_HEAD = ("pid", "path", "value", "quality", "marks", "source_time", "received_at")
_CHANGE_HEAD = ("seq", "committed_at", *_POINT_HEAD, "cause", "flags", "channel")


def time_ns(text: str | None, missing: int) -> int:
    """Nanoseconds UTC of an ISO 8601 text; UTC unless it has an offset.

    Raises:
        click.UsageError: it is none.

    >>> time_ns("1970-01-01T00:00:01", 0), time_ns(None, 7)
    (1000000000, 7)
    """
    if text is None:
        return missing
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no time: write 2026-03-01T08:00 or 2026-03-01T08:00:00.5+08:00") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * NS_PER_S + since.microseconds * 1000


def iso(stamp_ns: int) -> str:
    """ISO 8601 in UTC with nanoseconds; empty for 0 = none.

    >>> iso(1_000_000_001), iso(0)
    ('1970-01-01T00:00:01.000000001Z', '')
    """
    if not stamp_ns:
        return ""
    moment = datetime.fromtimestamp(stamp_ns // NS_PER_S, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp_ns % NS_PER_S:09d}Z"


class Names:
    """Paths of the points of a model, as far as one was given."""

    def __init__(self, paths: dict[int, str], where: str) -> None:
        self._paths = paths
        self._where = where

    @classmethod
    def of(cls, model: Path | None, folder: Path) -> Names:
        """The paths of a model, under the numbers its points have in the database of a folder; None = no paths.

        Raises:
            ModelError: the model or the kept numbers cannot be read.
        """
        if model is None:
            return cls({}, "")
        from scada.model_cim.numbers import kept_numbers
        from scada.model_cim.points import load_model

        _, tables, _ = load_model(model, kept_numbers(folder))
        return cls({int(point.pid): point.path for point in tables.points if not point.removed}, str(model))

    def path(self, pid: int) -> str:
        """Path of a point, empty if it is not known."""
        return self._paths.get(pid, "")

    def pids(self, wanted: Sequence[str]) -> npt.NDArray[np.uint32] | None:
        """Numbers of the points a person named; None = all.

        Raises:
            ConfigError: no such path in the model.
        """
        if not wanted:
            return None
        by_path = {path: pid for pid, path in self._paths.items()}
        found = []
        for name in wanted:
            if name not in by_path and not name.isdigit():
                mend = "see `scada model show --points`" if self._paths else "give --model FOLDER, or the number of the point"
                raise ConfigError(f"no point {name!r}", where=self._where, mend=mend)
            found.append(by_path[name] if name in by_path else int(name))
        return np.array(found, dtype=np.uint32)


class Lines:
    """Writes points and changes, one a line.

    Args:
        form: ``csv`` (with a head) or ``jsonl``.
        names: paths.
        pids: only these points; None = all.
        out: where to.
    """

    def __init__(self, form: str, names: Names, pids: npt.NDArray[np.uint32] | None, out: TextIO) -> None:
        self._form = form
        self._names = names
        self._pids = pids
        self._out = out
        self._csv = csv.writer(out, lineterminator="\n")
        self._head: Sequence[str] = ()

    def points(self, snapshot: Snapshot) -> None:
        """Every point of a snapshot that was ever received or was asked for."""
        if self._pids is None:
            chosen = np.flatnonzero(snapshot.quality & np.uint32(Quality.NEVER_RECEIVED) == 0)
        else:
            chosen = np.flatnonzero(np.isin(snapshot.pid, self._pids))
        self._begin(_POINT_HEAD)
        columns = (snapshot.pid, snapshot.value, snapshot.quality, snapshot.source_time, snapshot.received_at)
        for row in zip(*(column[chosen].tolist() for column in columns), strict=True):
            self._line(self._point(*row))

    def change(self, change: ChangeSet) -> None:
        """The records of a change set."""
        self._begin(_CHANGE_HEAD)
        records, at = change.records, change.received_at
        rows = np.arange(len(change)) if self._pids is None else np.flatnonzero(np.isin(records["pid"], self._pids))
        columns = [
            records[name][rows].tolist() for name in ("pid", "value", "quality", "source_time", "cause", "flags", "channel")
        ]
        for row, received_at, values in zip(rows.tolist(), at[rows].tolist(), zip(*columns, strict=True), strict=True):
            pid, value, quality, source_time, *rest = values
            point = self._point(pid, value, quality, source_time, received_at)
            self._line([change.first + row, iso(change.committed_at), *point, *rest])

    def _point(self, pid: int, value: float, quality: int, source_time: int, received_at: int) -> list[Any]:
        shown = value if math.isfinite(value) else None
        return [pid, self._names.path(pid), shown, quality, quality_marks(quality), iso(source_time), iso(received_at)]

    def _begin(self, head: Sequence[str]) -> None:
        if not self._head:
            self._head = head
            if self._form == "csv":
                self._csv.writerow(head)

    def _line(self, values: Sequence[Any]) -> None:
        if self._form == "csv":
            self._csv.writerow(values)
        else:
            self._out.write(json.dumps(dict(zip(self._head, values, strict=True)), ensure_ascii=False) + "\n")


def stats_json(found: Stats) -> dict[str, Any]:
    """Figures for scripts."""
    fields = {name: getattr(found, name) for name in Stats.__slots__}
    consumers = [
        {name: getattr(item, name) for name in Consumer.__slots__} | {"passed": item.passed(found.oldest)}
        for item in found.consumers
    ]
    readers = [
        {name: getattr(reader, name) for name in HeldTransaction.__slots__} | {"thread": f"{reader.thread:x}"}
        for reader in found.readers
    ]
    return fields | {"path": str(found.path), "consumers": consumers, "readers": readers}


def stats_text(found: Stats) -> str:
    """Figures for a person."""
    used = sum(found.table_bytes.values())
    tables = ", ".join(f"{name} {_mib(size)}" for name, size in sorted(found.table_bytes.items()))
    lines = [
        f"file       {found.path}, layout {found.layout}, {_mib(found.file_bytes)}",
        f"server     {f'process {found.writer}' if found.writer else 'none runs on it'}",
        f"map        {_mib(found.map_bytes)}: used {_share(used, found)}, extent {_share(found.extent_bytes, found)} ({tables})",
        f"points     {found.received} received, room for {found.points}; {found.held} held by an operator",
        f"journal    {_span(found)}, checkpoint {found.checkpoint}",
    ]
    if found.oldest_ns:
        lines.append(f"           {iso(found.oldest_ns)} to {iso(found.newest_ns)}")
    lines.append(f"readers    {len(found.readers) or 'none'} within a transaction")
    for reader in found.readers:
        since = f" since {iso(reader.since_ns)}" if reader.since_ns else ""
        who = f"process {reader.process} ({reader.program or 'ended'}), thread {reader.thread:x}"
        lines.append(f"  {who}{since}, {reader.behind} commits behind")
    lines.append(f"consumers  {len(found.consumers) or 'none'}")
    return "\n".join(lines)


def consumer_rows(consumers: Sequence[Consumer], damaged: Sequence[str], oldest: int, head: int, now_ns: int) -> list[str]:
    """One line a consumer, the worst news in capitals."""
    rows = []
    for consumer in consumers:
        state = "PASSED: the journal went on without it" if consumer.passed(oldest) else f"{max(0, head - consumer.seq)} behind"
        heard = f"heard of {iso(consumer.heard_at)}" + (", SILENT" if consumer.silent(now_ns) else "")
        rows.append(f"{consumer.name}: at {consumer.seq}, {state}, {heard}, process {consumer.process}")
    return rows + [f"{name}: UNREADABLE, nothing is kept for it" for name in damaged]


def _span(found: Stats) -> str:
    if not found.change_sets:
        return f"empty, head {found.head}"
    return f"{found.oldest} to {found.head} in {found.change_sets} commits"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def _share(size: int, found: Stats) -> str:
    return f"{100 * size / found.map_bytes:.0f} %"
