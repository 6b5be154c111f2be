"""Lines of the event list: from a point, an alarm or a suppression and what befell it to an :class:`Event` with its text key."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scada.events.records import Alarm, Event, EventKind, Suppression
from scada.model_cim.tables import AlarmClass, Point


@dataclass(frozen=True, slots=True)
class Occasion:
    """The value that made something begin or end.

    Attributes:
        time_ns: ns UTC at which we learned it.
        value: of the point.
        source_time_ns: ns UTC stamped by the source, 0 = none.
        seq: RTDB sequence number, 0 = none.
        measured: deviation, or rate in units per minute; NaN = none.
    """

    time_ns: int
    value: float = math.nan
    source_time_ns: int = 0
    seq: int = 0
    measured: float = math.nan


def parameters_of(point: Point, value: float, *, limit: float = math.nan, measured: float = math.nan) -> dict[str, str]:
    """What the texts of the faces may show of a point."""
    parameters = {"point": point.path, "value": f"{value:.6g}"}
    if point.unit:
        parameters["unit"] = point.unit
    if not math.isnan(limit):
        parameters["limit"] = f"{limit:.6g}"
    if not math.isnan(measured):
        parameters["measured"] = f"{measured:.4g}"
    label = point.states.get(int(value)) if float(value).is_integer() else None
    if label is not None:
        parameters["state"] = label
    return parameters


def alarm_line(
    alarm: Alarm, kind: EventKind, key: str, parameters: dict[str, str], occasion: Occasion, number: int, *, actor: str = ""
) -> Event:
    """What befell an alarm. Lines of kind SUPPRESSED are notices, whatever the alarm is: they announce nothing."""
    quiet = kind == EventKind.SUPPRESSED
    return Event(
        time_ns=occasion.time_ns,
        kind=kind,
        alarm_class=AlarmClass.NOTICE if quiet else alarm.alarm_class,
        priority=4 if quiet else alarm.priority,
        key=key,
        parameters=parameters,
        pid=alarm.pid,
        mrid=alarm.mrid,
        station=alarm.station,
        path=alarm.path,
        value=occasion.value,
        source_time_ns=occasion.source_time_ns,
        alarm_id=alarm.alarm_id,
        seq=occasion.seq,
        actor=actor,
        event_id=number,
    )


def suppression_line(
    entry: Suppression, key: str, now_ns: int, number: int, *, pid: int = -1, actor: str = "", **parameters: str
) -> Event:
    """The begin or end of a suppression."""
    shown = {"point": entry.path or entry.mrid, "alarm": entry.key, "reason": entry.reason, "user": actor, **parameters}
    return Event(
        time_ns=now_ns,
        kind=EventKind.SUPPRESSED,
        alarm_class=AlarmClass.NOTICE,
        priority=4,
        key=key,
        parameters={name: text for name, text in shown.items() if text},
        pid=pid,
        mrid=entry.mrid,
        station=entry.station,
        path=entry.path,
        actor=actor,
        event_id=number,
    )
