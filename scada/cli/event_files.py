"""Events and recalls as files: CSV for spreadsheets, JSON lines for programs; a file is there as a whole or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link
from scada.cli.rendering import json_number, quality_marks
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.events.records import EventKind

EVENT_COLUMNS: Final = (
    "event_id",
    "time",
    "time_by",
    "received",
    "late_s",
    "kind",
    "class",
    "priority",
    "station",
    "path",
    "text",
    "value",
    "alarm_id",
    "user",
    "key",
    "mrid",
    "seq",
)
CHANGE_COLUMNS: Final = (
    "time",
    "offset_s",
    "what",
    "station",
    "path",
    "value",
    "state",
    "quality",
    "received",
    "text",
    "event_id",
)


def iso_time(time_ns: int) -> str:
    """UTC with microseconds, ISO 8601; empty for none.

    >>> iso_time(1_700_000_000_123_000_000)
    '2023-11-14T22:13:20.123000Z'
    """
    if not time_ns:
        return ""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % NS_PER_S // 1000:06d}Z"


def event_row(link: Link, event: pb.EventInfo) -> dict[str, Any]:
    """One event as a row; unknown numbers are None."""
    return {
        "event_id": event.event_id,
        "time": iso_time(event.source_time_ns or event.time_ns),
        "time_by": "source" if event.source_time_ns else "receipt",
        "received": iso_time(event.time_ns),
        "late_s": event.parameters.get("late"),
        "kind": kind_name(event.kind),
        "class": event.alarm_class,
        "priority": event.priority,
        "station": event.station,
        "path": event.path,
        "text": link.text(event.key, **event.parameters),
        "value": json_number(event.value),
        "alarm_id": event.alarm_id or None,
        "user": event.actor,
        "key": event.key,
        "mrid": event.mrid,
        "seq": event.seq or None,
    }


def kind_name(kind: int) -> str:
    """Name of a kind of event; its number if this program does not know it.

    >>> kind_name(1), kind_name(999)
    ('status_change', '999')
    """
    with suppress(ValueError):
        return EventKind(kind).name.lower()
    return str(kind)


async def write_events(link: Link, path: Path, events: AsyncIterator[pb.EventInfo]) -> int:
    """Write events; ``.jsonl`` or ``.json``: one JSON object a line, anything else: CSV. Returns how many.

    Raises:
        ScadaError: the file cannot be written.
    """
    written = 0
    with whole_file(path) as file:
        as_json = path.suffix in {".jsonl", ".json"}
        table = csv.DictWriter(file, EVENT_COLUMNS)
        if not as_json:
            table.writeheader()
        async for event in events:
            row = event_row(link, event)
            if as_json:
                row["parameters"] = dict(event.parameters)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                table.writerow(row)
            written += 1
    return written


def write_recall(path: Path, rows: Iterator[Mapping[str, Any]]) -> int:
    """Write the rows of a recall as CSV. Returns how many.

    Raises:
        ScadaError: the file cannot be written.
    """
    written = 0
    with whole_file(path) as file:
        table = csv.DictWriter(file, CHANGE_COLUMNS)
        table.writeheader()
        for row in rows:
            table.writerow(row)
            written += 1
    return written


def value_row(
    info: pb.PointInfo | None, pid: int, value: float, quality: int, time_ns: int, received_ns: int, at_ns: int, what: str
) -> dict[str, Any]:
    """A value of a recall as a row."""
    label = info.states.get(int(value)) if info is not None and value.is_integer() else None
    return {
        "time": iso_time(time_ns),
        "offset_s": f"{(time_ns - at_ns) / NS_PER_S:.3f}" if time_ns and what == "change" else "",
        "what": what,
        "station": "" if info is None else info.station,
        "path": f"point {pid}" if info is None else info.path,
        "value": json_number(value),
        "state": label or "",
        "quality": quality_marks(quality),
        "received": iso_time(received_ns),
    }


def recall_event_row(link: Link, event: pb.EventInfo, at_ns: int) -> dict[str, Any]:
    """An event of a recall as a row."""
    time_ns = event.source_time_ns or event.time_ns
    return {
        "time": iso_time(time_ns),
        "offset_s": f"{(time_ns - at_ns) / NS_PER_S:.3f}",
        "what": "event",
        "station": event.station,
        "path": event.path,
        "value": json_number(event.value),
        "received": iso_time(event.time_ns),
        "text": link.text(event.key, **event.parameters),
        "event_id": event.event_id,
    }


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only when everything is written.

    Raises:
        ScadaError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            yield file
        part.replace(path)
    except OSError as error:
        raise ScadaError(f"cannot write: {error.strerror}", where=str(path), mend="choose another file") from error
    finally:
        with suppress(OSError):
            part.unlink()
