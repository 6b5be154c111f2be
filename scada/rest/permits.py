"""What a token may see of what its scopes open: stations, classes and fields. What is not said to be seen is not.

Stations and classes narrow the rows, fields the columns. A row that cannot be placed (an event of no point, for a token of
classes) is not shown. Names of persons, and what they wrote, go only to tokens that were issued for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.rest.shapes import fields
from scada.rest.tokens import Token

POINT_CLASSES: Final = {
    pb.POINT_KIND_ANALOG: "Analog",
    pb.POINT_KIND_COUNTER: "Accumulator",
    pb.POINT_KIND_STATUS: "Discrete",
    pb.POINT_KIND_DOUBLE: "Discrete",
    pb.POINT_KIND_STEP: "Discrete",
    pb.POINT_KIND_BITS: "Discrete",
    pb.POINT_KIND_STATE: "Discrete",
}
"""CIM class of a point's measurement, by its kind."""

CONTROL_KINDS: Final = {1: "single", 2: "double", 3: "step", 4: "setpoint"}
CONTROL_CLASSES: Final = {1: "Command", 2: "Command", 3: "RaiseLowerCommand", 4: "SetPoint"}
"""CIM class of a control, by its kind."""

TECHNICAL: Final = frozenset(
    (
        *(
            "ace",
            "applied",
            "at",
            "channel",
            "code",
            "count",
            "cycles",
            "deviation",
            "elapsed",
            "frequency",
            "hours",
            "limit",
            "loop",
        ),
        *(
            "measured",
            "minutes",
            "mode",
            "mw",
            "number",
            "object",
            "point",
            "points",
            "percent",
            "period",
            "pid",
            "quality",
            "rate",
        ),
        *(
            "reference",
            "said",
            "seconds",
            "state",
            "step",
            "tag_type",
            "target",
            "total",
            "unit",
            "value",
            "values",
            "version",
            "zone",
        ),
    )
)
"""Parameters of events that name no person and hold no free text; others go only to tokens of persons."""


def point_kind(info: pb.PointInfo) -> str:
    """Kind of a point in words, e.g. ``analog``."""
    return pb.PointKind.Name(info.kind).removeprefix("POINT_KIND_").lower()


def sees_all(token: Token) -> bool:
    """Whether nothing of the site is hidden by station or class: only then may sums over all be told."""
    return not token.stations and not token.classes


def sees_station(token: Token, station: str) -> bool:
    """Whether a station is within the token's area of responsibility."""
    return not token.stations or station in token.stations


def sees_point(token: Token, info: pb.PointInfo) -> bool:
    """Whether a point is within the token's stations and classes."""
    if not sees_station(token, info.station):
        return False
    return not token.classes or _is_any(token, POINT_CLASSES.get(info.kind, ""), point_kind(info), info.measurement_type)


def sees_control(token: Token, info: pb.ControlInfo) -> bool:
    """Whether a control is within the token's stations and classes."""
    if not sees_station(token, info.station):
        return False
    return not token.classes or _is_any(
        token, CONTROL_CLASSES.get(info.kind, ""), CONTROL_KINDS.get(info.kind, ""), info.control_type
    )


def sees_row(token: Token, row: pb.EventInfo | pb.AlarmInfo | pb.OperatorMark, points: Mapping[int, pb.PointInfo]) -> bool:
    """Whether an event, alarm or mark is; for a token of classes it must be of a point of these."""
    if not sees_station(token, row.station):
        return False
    point = points.get(row.pid)
    return not token.classes or (point is not None and point.mrid == row.mrid and sees_point(token, point))


def shown(token: Token, table: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a table without the fields that the token is not shown."""
    left_out = _hidden(token.hidden, token.persons, table)
    if "parameters" in row and not token.persons:
        row = {**row, "parameters": {key: text for key, text in row["parameters"].items() if key in TECHNICAL}}
    return {key: cell for key, cell in row.items() if key not in left_out} if left_out else row


def _is_any(token: Token, *names: str) -> bool:
    return any(name and name in token.classes for name in names)


@cache
def _hidden(hidden: tuple[str, ...], persons: bool, table: str) -> frozenset[str]:
    named = frozenset(name.partition(".")[2] for name in hidden if name.partition(".")[0] == table)
    return named if persons else named | fields(table, "personal")
