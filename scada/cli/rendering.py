"""Values, times and tables for the terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S
from scada.core.quality import Quality, marks

CONTROL_SETPOINT = 4


def number(value: float, digits: int = 6) -> str:
    """A number, or ``-`` where it is not known.

    >>> number(50.012345678), number(float("nan"))
    ('50.0123', '-')
    """
    return "-" if math.isnan(value) else f"{value:.{digits}g}"


def point_value(point: pb.PointInfo, value: float, quality: int) -> str:
    """A value as an operator reads it; ``-`` if none was ever received."""
    if quality & Quality.NEVER_RECEIVED or math.isnan(value):
        return "-"
    label = point.states.get(int(value)) if value.is_integer() else None
    return label or f"{number(value)} {point.unit}".rstrip()


def quality_marks(quality: int) -> str:
    """Marks of a quality word, see :func:`scada.core.quality.marks`."""
    return marks(quality)


def time_text(time_ns: int) -> str:
    """Local time with milliseconds; empty for 0 = none."""
    if not time_ns:
        return ""
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC).astimezone()
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns % NS_PER_S // 1_000_000:03d}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Left-aligned columns; wide (CJK) characters count double.

    >>> print(table(["a", "b"], [["遥控", "1"], ["x", "2"]]))
    a     b
    遥控  1
    x     2
    """
    lines = [[one_line(cell) for cell in line] for line in (head, *rows)]
    widths = [max(_width(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(_pad(cell, width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def one_line(text: str) -> str:
    r"""What somebody wrote, so that it neither begins another line nor steers the terminal, nor is read backwards.

    >>> one_line("gone\n1234  wang"), one_line("\x1b[2K"), one_line("投入 0 °C")
    ('gone\\n1234  wang', '\\x1b[2K', '投入 0 °C')
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def _width(cell: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in cell)


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def control_value(control: pb.ControlInfo, given: str) -> float | None:
    """The value a person gave for a control: a label of the control (any case) or a number; ``None`` if it is neither.

    A command's number must be one of its labels' too, so that a typing error cannot become a command.
    """
    for state, label in control.states.items():
        if label.casefold() == given.casefold():
            return float(state)
    try:
        value = float(given)
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    is_command = control.kind != CONTROL_SETPOINT and bool(control.states)
    return None if is_command and not (value.is_integer() and int(value) in control.states) else value


def control_values(control: pb.ControlInfo) -> str:
    """The values a control takes, for a person."""
    if control.states:
        return ", ".join(f"{value} {label}" for value, label in sorted(control.states.items()))
    return f"{number(control.minimum)} .. {number(control.maximum)} {control.unit}".rstrip()


def control_value_text(control: pb.ControlInfo, value: float) -> str:
    """A control's value as an operator reads it."""
    label = control.states.get(int(value)) if value.is_integer() else None
    return label or f"{number(value)} {control.unit}".rstrip()


def json_number(value: float) -> float | None:
    """A number for JSON, which has no NaN: unknown becomes null."""
    return value if math.isfinite(value) else None


def status_json(status: pb.SystemStatus) -> Mapping[str, Any]:
    """The overview for scripts; unknown numbers are null."""
    return {
        "site": status.site,
        "version": status.version,
        "time_ns": status.time_ns,
        "started_ns": status.started_ns,
        "seq": status.seq,
        "points_total": status.points_total,
        "points_good": status.points_good,
        "channels_total": status.channels_total,
        "channels_up": status.channels_up,
        "areas": [
            {
                "name": area.name,
                "controlled": area.controlled,
                "frequency_hz": json_number(area.frequency_hz),
                "ace_mw": json_number(area.ace_mw),
                "interchange_mw": json_number(area.interchange_mw),
                "scheduled_interchange_mw": json_number(area.scheduled_interchange_mw),
                "generation_mw": json_number(area.generation_mw),
                "load_mw": json_number(area.load_mw),
            }
            for area in status.areas
        ],
        "agc_state": status.agc_state,
        "agc_reason": status.agc_reason,
        "avc_state": status.avc_state,
        "avc_reason": status.avc_reason,
        "alarms_unacknowledged": status.alarms_unacknowledged,
        "alarms_active": status.alarms_active,
        "channels": [
            {
                "name": channel.name,
                "station": channel.station,
                "protocol": channel.protocol,
                "endpoint": channel.endpoint,
                "state": channel.state,
                "reason": channel.reason,
                "since_ns": channel.since_ns,
                "points_total": channel.points_total,
                "points_good": channel.points_good,
                "malformed": channel.malformed,
                "unknown_addresses": channel.unknown_addresses,
            }
            for channel in status.channels
        ],
        "actors": [
            {
                "name": actor.name,
                "state": actor.state,
                "mailbox": actor.mailbox,
                "restarts": actor.restarts,
                "reason": actor.reason,
            }
            for actor in status.actors
        ],
    }
