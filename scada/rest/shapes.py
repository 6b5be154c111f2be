"""The published schema: what goes out, and which of it a token may not show.

A field of :data:`Open` may be hidden from a token, one of :data:`Personal` (persons, and what they wrote) is shown only to tokens
for which that was said; either is then absent. Every other field always stands there: it names the thing, or says how good it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from scada.core.errors import SecurityError

T = TypeVar("T")
RIGHT: Final = "x-field-right"
"""Key in the schema of a field that not every token is shown: ``open`` or ``personal``."""


def _may_be_absent(right: str) -> Any:
    def _mark(schema: dict[str, Any]) -> None:
        schema.pop("default", None)
        schema[RIGHT] = right

    return Field(default=None, json_schema_extra=_mark)


Open = Annotated[T, _may_be_absent("open")]
"""A field that `scada rest token issue --hide` can leave out."""
Personal = Annotated[T, _may_be_absent("personal")]
"""A field that only tokens of `--persons` are shown."""


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
    unit: Open[str]
    value: float | None
    state: Open[str | None]
    quality: QualityShape
    source_time: Open[Time | None]
    received: Open[Time | None]


class Values(Shape):
    """A page of values, consistent as of ``seq``; ``next`` is the ``after`` of the next page, null on the last."""

    seq: int
    model_version: str
    time: Time
    values: list[Value]
    next: int | None


class Point(Shape):
    """A point of the model; ``cim_class`` is Analog, Accumulator or Discrete."""

    pid: int
    mrid: str
    path: str
    name: str
    cim_class: str
    kind: str
    measurement_type: str
    unit: Open[str]
    station: str
    bay: Open[str]
    equipment: Open[str]
    states: Open[dict[str, str]]


class Points(Shape):
    """A page of points."""

    model_version: str
    points: list[Point]
    next: int | None


class Station(Shape):
    """A station and its voltage levels in kV."""

    mrid: str
    name: str
    area: Open[str]
    voltage_levels_kv: Open[list[float | None]]


class Stations(Shape):
    """Stations of the model."""

    model_version: str
    stations: list[Station]


class Control(Shape):
    """What can be operated, not from here; ``feedback`` is the mRID of the point that follows, null = none shown."""

    cid: int
    mrid: str
    path: str
    name: str
    cim_class: str
    kind: str
    control_type: str
    station: str
    equipment: Open[str]
    device_number: Open[str]
    unit: Open[str]
    select: Open[bool]
    minimum: Open[float | None]
    maximum: Open[float | None]
    states: Open[dict[str, str]]
    feedback: str | None


class Controls(Shape):
    """A page of controls; ``next`` is the ``after`` of the next page, null on the last."""

    model_version: str
    controls: list[Control]
    next: int | None


class Tag(Shape):
    """What an operator set over the telemetry: a ``substitute`` or ``block`` of a point, a ``tag`` or a ``note``."""

    mark_id: int
    kind: str
    mrid: str
    path: str
    station: str
    tag_type: str
    inhibits_control: str
    inhibits_alarms: bool
    placed: Time | None
    value: Open[float | None]
    field_value: Open[float | None]
    user: Personal[str]
    workstation: Personal[str]
    reason: Personal[str]


class Tags(Shape):
    """All that operators set."""

    tags: list[Tag]


class Alarm(Shape):
    """A present alarm; ``parameters`` have persons and their words only where the token is shown them."""

    alarm_id: int
    phase: str
    alarm_class: Open[str]
    priority: Open[int]
    key: Open[str]
    parameters: Open[dict[str, str]]
    mrid: str
    station: str
    path: str
    value: Open[float | None]
    limit: Open[float | None]
    raised: Time | None
    returned: Open[Time | None]
    acknowledged: Open[Time | None]
    acknowledged_by: Personal[str]
    occurrences: Open[int]


class Alarms(Shape):
    """Present alarms, suppressed ones not included but counted where the token sees everything."""

    alarms: list[Alarm]
    last_event_id: int
    suppressed: int | None


class EventShape(Shape):
    """A stored event; ``parameters`` have persons and their words only where the token is shown them."""

    event_id: int
    time: Time
    source_time: Open[Time | None]
    kind: str
    alarm_class: Open[str]
    priority: Open[int]
    key: Open[str]
    parameters: Open[dict[str, str]]
    mrid: str
    station: str
    path: str
    value: Open[float | None]
    actor: Personal[str]


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
    unit: Open[str]
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
    """The overview; areas and loops only where the token sees everything."""

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
    sender: Personal[str]
    kind: str
    target: str
    name: Open[str]
    code: str
    reason: Personal[str]
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


TABLES: Final[dict[str, type[Shape]]] = {
    "values": Value,
    "points": Point,
    "stations": Station,
    "controls": Control,
    "tags": Tag,
    "alarms": Alarm,
    "events": EventShape,
    "history": Series,
    "dispatch": Order,
}
"""Rows of which fields can be hidden, by the name of their list."""


def fields(table: str, right: str) -> frozenset[str]:
    """Fields of a table that need a right: ``open`` or ``personal``."""
    found = TABLES[table].model_json_schema()["properties"]
    return frozenset(name for name, schema in found.items() if schema.get(RIGHT) == right)


def check_hidden(hidden: Iterable[str]) -> None:
    """Make sure that each is ``TABLE.FIELD`` of a field that can be hidden.

    Raises:
        SecurityError: one is not.
    """
    for name in hidden:
        table, _, field = name.partition(".")
        if table not in TABLES:
            raise SecurityError(f"{name!r}: there is no table {table!r}", mend=f"tables: {', '.join(TABLES)}")
        if field not in fields(table, "open"):
            mend = f"of {table} can be hidden: {', '.join(sorted(fields(table, 'open')))}"
            raise SecurityError(f"{name!r} cannot be hidden", mend=mend)
