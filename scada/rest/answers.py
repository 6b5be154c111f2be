"""The server's messages as plain dictionaries of the published shapes: what is not known is null, every value has its quality."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.core.quality import BAD_MASK, Quality
from scada.events.records import EventKind
from scada.model_cim.tables import AlarmClass
from scada.rest.permits import CONTROL_CLASSES, CONTROL_KINDS, POINT_CLASSES, point_kind
from scada.rest.times import time

_FLAGS: Final = [(int(flag), str(flag.name).lower()) for flag in Quality if flag]
_PHASES: Final = {1: "active_unacknowledged", 2: "active_acknowledged", 3: "returned_unacknowledged"}


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
    classes = {"cim_class": POINT_CLASSES.get(info.kind, ""), "kind": point_kind(info)}
    return {**{name: getattr(info, name) for name in names}, **classes, "states": _states(info.states)}


def control(info: pb.ControlInfo, feedback: str | None) -> dict[str, Any]:
    """A control of the model; ``feedback`` is the mRID of the point that follows it, None where none may be shown."""
    names = ("cid", "mrid", "path", "name", "control_type", "station", "equipment", "device_number", "unit", "select")
    classes = {"cim_class": CONTROL_CLASSES.get(info.kind, ""), "kind": CONTROL_KINDS.get(info.kind, str(info.kind))}
    limits = {"minimum": known(info.minimum), "maximum": known(info.maximum)}
    more = {**limits, "states": _states(info.states), "feedback": feedback}
    return {**{name: getattr(info, name) for name in names}, **classes, **more}


def tag(info: pb.OperatorMark, kinds: Mapping[str, pb.TagType]) -> dict[str, Any]:
    """What an operator set; ``kinds`` are the types of tags by key, of which an unknown one inhibits nothing that we know."""
    names = ("mark_id", "mrid", "path", "station", "tag_type", "user", "workstation", "reason")
    sort = kinds.get(info.tag_type, pb.TagType())
    return {
        **{name: getattr(info, name) for name in names},
        "kind": pb.MarkKind.Name(info.kind).removeprefix("MARK_KIND_").lower(),
        "inhibits_control": sort.inhibits_control,
        "inhibits_alarms": sort.inhibits_alarms,
        "placed": time(info.placed_ns),
        "value": known(info.value),
        "field_value": known(info.field_value),
    }


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


def _states(labels: Mapping[int, str]) -> dict[str, str]:
    return {str(key): label for key, label in sorted(labels.items())}


def _name(kind: type[EventKind | AlarmClass], number: int) -> str:
    try:
        return kind(number).name.lower()
    except ValueError:
        return str(number)
