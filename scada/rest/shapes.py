"""What goes out: every number of unknown value is null, every value has its quality beside it, every time stands twice.

The classes are the published schema; answers are built as plain dictionaries of the same shape, which a test compares.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S
from scada.core.quality import BAD_MASK, Quality
from scada.events.records import EventKind
from scada.model_cim.tables import AlarmClass

_FLAGS: Final = [(int(flag), str(flag.name).lower()) for flag in Quality if flag]
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_PHASES: Final = {1: "active_unacknowledged", 2: "active_acknowledged", 3: "returned_unacknowledged"}


class Shape(BaseModel):
    """Base of everything that goes out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Time(Shape):
    """A time: ISO 8601 in UTC, and ns since 1970 as text, because not every reader of JSON holds 64 bits."""

    iso: str
    ns: str


class QualityShape(Shape):
    """Quality of a value: ``good`` is whether it may be acted on; ``flags`` are the names of the bits of ``word``."""

    good: bool
    word: int
    flags: list[str]


class Value(Shape):
    """A point's present value; null = not known. ``seq`` of the answer says as of when."""

    pid: int
    mrid: str
    path: str
    unit: str
    value: float | None
    state: str | None
    quality: QualityShape
    source_time: Time | None
    received: Time | None


class Values(Shape):
    """A page of values, consistent as of ``seq``; ``next`` is the ``after`` of the next page, null on the last."""

    seq: int
    model_version: str
    time: Time
    values: list[Value]
    next: int | None


class Point(Shape):
    """A point of the model."""

    pid: int
    mrid: str
    path: str
    name: str
    kind: str
    measurement_type: str
    unit: str
    station: str
    bay: str
    equipment: str
    states: dict[str, str]


class Points(Shape):
    """A page of points."""

    model_version: str
    points: list[Point]
    next: int | None


class Station(Shape):
    """A station and its voltage levels in kV."""

    mrid: str
    name: str
    area: str
    voltage_levels_kv: list[float | None]


class Stations(Shape):
    """Stations of the model."""

    model_version: str
    stations: list[Station]


class Alarm(Shape):
    """A present alarm."""

    alarm_id: int
    phase: str
    alarm_class: str
    priority: int
    key: str
    parameters: dict[str, str]
    mrid: str
    station: str
    path: str
    value: float | None
    limit: float | None
    raised: Time | None
    returned: Time | None
    acknowledged: Time | None
    acknowledged_by: str
    occurrences: int


class Alarms(Shape):
    """Present alarms, suppressed ones not included but counted where the token sees all stations."""

    alarms: list[Alarm]
    last_event_id: int
    suppressed: int | None


class EventShape(Shape):
    """A stored event."""

    event_id: int
    time: Time
    source_time: Time | None
    kind: str
    alarm_class: str
    priority: int
    key: str
    parameters: dict[str, str]
    mrid: str
    station: str
    path: str
    value: float | None
    actor: str


class Events(Shape):
    """A page of events; ``next`` is the ``cursor`` of the next page, null on the last."""

    events: list[EventShape]
    next: int | None


class Sample(Shape):
    """A stored sample, or a bucket or period of them; what does not apply is null."""

    time: Time
    value: float | None
    quality: QualityShape | None
    minimum: float | None
    maximum: float | None
    mean: float | None
    time_weighted: float | None
    good_s: float | None


class Series(Shape):
    """Samples of one point in order; ``truncated`` says that there are more behind the last."""

    pid: int
    mrid: str
    path: str
    unit: str
    samples: list[Sample]
    truncated: bool


class History(Shape):
    """Samples of several points."""

    series: list[Series]


class Area(Shape):
    """A control area now; null = not known."""

    name: str
    controlled: bool
    frequency_hz: float | None
    ace_mw: float | None
    interchange_mw: float | None
    scheduled_interchange_mw: float | None
    generation_mw: float | None
    load_mw: float | None


class Channel(Shape):
    """A front-end channel."""

    name: str
    station: str
    state: str
    since: Time | None
    points_total: int
    points_good: int


class Status(Shape):
    """The overview; areas and loops only where the token sees all stations."""

    site: str
    version: str
    time: Time
    seq: int
    points_total: int | None
    points_good: int | None
    alarms_active: int | None
    alarms_unacknowledged: int | None
    agc_state: str | None
    avc_state: str | None
    areas: list[Area]
    channels: list[Channel]


class Order(Shape):
    """An order of upstream dispatch and what became of it."""

    order_id: str
    sender: str
    kind: str
    target: str
    name: str
    code: str
    reason: str
    mw: float | None
    applied_mw: float | None
    received: Time | None
    valid_until: Time | None


class Dispatch(Shape):
    """What dispatch asked."""

    interchange_setpoint_mw: float | None
    interchange_mw: float | None
    orders: list[Order]


class Health(Shape):
    """Whether answers can be had: ``ok``, or why not."""

    status: str
    reason: str


class Problem(Shape):
    """An error, RFC 9457; ``code`` is the machine-readable cause."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def time(time_ns: int) -> dict[str, str] | None:
    """A time; None for 0 = none.

    >>> time(1_790_000_000_000_000_001)["iso"]
    '2026-09-21T14:13:20.000000001Z'
    """
    if not time_ns:
        return None
    seconds, rest = divmod(time_ns, NS_PER_S)
    return {"iso": f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z", "ns": str(time_ns)}


def parse_time(text: str) -> int:
    """Ns UTC of ISO 8601 with an offset (``2026-11-22T03:00:00.5+08:00``, ``...Z``), or of a number of ns.

    Raises:
        ValueError: neither, or out of range.

    >>> parse_time("1970-01-01T00:00:01.5Z"), parse_time("1500000000")
    (1500000000, 1500000000)
    """
    if text.isascii() and text.isdigit() and len(text) < 20:
        number = int(text)
    elif found := _TIME.fullmatch(text):
        moment = datetime.fromisoformat(found[1] + ("+00:00" if found[3] == "Z" else found[3]))
        number = int(moment.timestamp()) * NS_PER_S + int((found[2] or "").ljust(9, "0"))
    else:
        raise ValueError("a time is ISO 8601 with an offset (2026-11-22T03:00:00+08:00, or Z), or ns since 1970")
    if not 0 <= number < 1 << 63:
        raise ValueError("a time lies between 1970 and 2262")
    return number


def known(value: float) -> float | None:
    """A number, None if it is not known."""
    return value if math.isfinite(value) else None


def quality(word: int) -> dict[str, Any]:
    """A quality word in words."""
    return {"good": not word & BAD_MASK, "word": word, "flags": [name for bit, name in _FLAGS if word & bit]}


def value(point: pb.PointInfo, number: float, word: int, source_ns: int, received_ns: int) -> dict[str, Any]:
    """A point's value; a point that never received one has none, whatever stands in the column."""
    shown = None if word & Quality.NEVER_RECEIVED else known(number)
    state = point.states.get(int(shown)) if shown is not None and shown.is_integer() and abs(shown) < 1 << 31 else None
    return {
        "pid": point.pid,
        "mrid": point.mrid,
        "path": point.path,
        "unit": point.unit,
        "value": shown,
        "state": state,
        "quality": quality(word),
        "source_time": time(source_ns),
        "received": time(received_ns),
    }


def point(info: pb.PointInfo) -> dict[str, Any]:
    """A point of the model."""
    names = ("pid", "mrid", "path", "name", "measurement_type", "unit", "station", "bay", "equipment")
    kind = pb.PointKind.Name(info.kind).removeprefix("POINT_KIND_").lower()
    states = {str(key): label for key, label in sorted(info.states.items())}
    return {**{name: getattr(info, name) for name in names}, "kind": kind, "states": states}


def station(info: pb.StationInfo) -> dict[str, Any]:
    """A station of the model."""
    levels = [known(level.nominal_kv) for level in info.voltage_levels]
    return {"mrid": info.mrid, "name": info.name, "area": info.area, "voltage_levels_kv": levels}


def alarm(info: pb.AlarmInfo) -> dict[str, Any]:
    """A present alarm."""
    return {
        "alarm_id": info.alarm_id,
        "phase": _PHASES.get(info.phase, str(info.phase)),
        "alarm_class": _name(AlarmClass, info.alarm_class),
        "priority": info.priority,
        "key": info.key,
        "parameters": dict(info.parameters),
        "mrid": info.mrid,
        "station": info.station,
        "path": info.path,
        "value": known(info.value),
        "limit": known(info.limit),
        "raised": time(info.raised_ns),
        "returned": time(info.returned_ns),
        "acknowledged": time(info.acknowledged_ns),
        "acknowledged_by": info.acknowledged_by,
        "occurrences": info.occurrences,
    }


def event(info: pb.EventInfo) -> dict[str, Any]:
    """A stored event."""
    return {
        "event_id": info.event_id,
        "time": time(info.time_ns),
        "source_time": time(info.source_time_ns),
        "kind": _name(EventKind, info.kind),
        "alarm_class": _name(AlarmClass, info.alarm_class),
        "priority": info.priority,
        "key": info.key,
        "parameters": dict(info.parameters),
        "mrid": info.mrid,
        "station": info.station,
        "path": info.path,
        "value": known(info.value),
        "actor": info.actor,
    }


def order(info: pb.DispatchOrder) -> dict[str, Any]:
    """An order of dispatch."""
    names = ("order_id", "sender", "kind", "target", "name", "reason")
    code = pb.DispatchCode.Name(info.code).removeprefix("DISPATCH_CODE_").lower()
    figures = {"mw": known(info.mw), "applied_mw": known(info.applied_mw)}
    times = {"received": time(info.received_ns), "valid_until": time(info.valid_until_ns)}
    return {**{name: getattr(info, name) for name in names}, "code": code, **figures, **times}


def area(info: pb.AreaStatus) -> dict[str, Any]:
    """A control area now."""
    names = ("frequency_hz", "ace_mw", "interchange_mw", "scheduled_interchange_mw", "generation_mw", "load_mw")
    return {"name": info.name, "controlled": info.controlled, **{name: known(getattr(info, name)) for name in names}}


def channel(info: pb.ChannelStatus) -> dict[str, Any]:
    """A front-end channel."""
    names = ("name", "station", "state", "points_total", "points_good")
    return {**{name: getattr(info, name) for name in names}, "since": time(info.since_ns)}


def series(info: pb.PointInfo, given: pb.HistorySeries) -> dict[str, Any]:
    """Samples, buckets or periods of a point, each with what it has."""

    def column(name: str) -> list[float | None]:
        cells: Iterable[float] = getattr(given, name)
        found = [known(cell) for cell in cells]
        return found if len(found) == len(given.time_ns) else [None] * len(given.time_ns)

    words = list(given.quality) if len(given.quality) == len(given.time_ns) else []
    columns = {name: column(name) for name in ("value", "minimum", "maximum", "mean", "time_weighted", "good_s")}
    samples = []
    for at, time_ns in enumerate(given.time_ns):
        sample: dict[str, Any] = {"time": time(time_ns), "quality": quality(words[at]) if words else None}
        sample.update({name: cells[at] for name, cells in columns.items()})
        if words and words[at] & Quality.NEVER_RECEIVED:
            sample["value"] = None
        samples.append(sample)
    head = {"pid": info.pid, "mrid": info.mrid, "path": info.path, "unit": info.unit}
    return {**head, "samples": samples, "truncated": given.truncated}


def _name(kind: type[EventKind | AlarmClass], number: int) -> str:
    try:
        return kind(number).name.lower()
    except ValueError:
        return str(number)
