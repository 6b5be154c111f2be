"""Events and alarms as data. Texts are keys with parameters, so that each face can speak zh or en."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from scada.model_cim.tables import AlarmClass


class EventKind(IntEnum):
    """What happened."""

    STATUS_CHANGE = 1
    """SOE: a status or double point changed."""
    LIMIT_VIOLATED = 2
    LIMIT_RETURNED = 3
    STATE_ALARM = 4
    """A status point left its normal value."""
    STATE_RETURNED = 5
    CHANNEL_DOWN = 6
    CHANNEL_UP = 7
    QUALITY_BAD = 8
    QUALITY_RETURNED = 9
    ACKNOWLEDGED = 10
    CONTROL = 11
    """A step of a control sequence."""
    SECURITY = 12
    """A refused message, a login, a wrong key."""
    SYSTEM = 13
    """Start, stop, restart of an actor, disk full ..."""
    PROTOCOL = 14
    """Malformed frame, unknown type or address, sequence error."""
    AGC = 15
    AVC = 16
    DISPATCH = 17
    SUPPRESSED = 18
    """An alarm was shelved, suppressed by design or taken out of service, or came back from it."""
    OPERATOR = 19
    """A value was substituted, blocked or released; a tag or a note was placed or removed."""


class AlarmPhase(IntEnum):
    """ISA-18.2 / IEC 62682 alarm states used here."""

    NORMAL = 0
    UNACK_ACTIVE = 1
    ACK_ACTIVE = 2
    UNACK_RETURNED = 3


class SuppressionKind(IntEnum):
    """By what an alarm is hidden. Numbers as in the protocol."""

    NONE = 0
    SHELVED = 1
    """By an operator, for a time."""
    BY_DESIGN = 2
    """By the model: its suppressing point is 1."""
    OUT_OF_SERVICE = 3
    """By maintenance, until taken back."""
    TAGGED = 4
    """By a tag that inhibits alarms."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the event log. ``event_id`` grows by one, is durable when shown, and never reused.

    Attributes:
        event_id: number given by the event log; 0 = not stored yet.
        time_ns: ns UTC at which we learned it.
        source_time_ns: ns UTC stamped by the source, 0 = none.
        kind: what happened.
        alarm_class: one of the five classes.
        priority: 1 (highest) .. 4.
        key: text key, e.g. ``limit.hi``; catalogues of the faces hold ``{parameters}`` texts.
        parameters: values for the text (already formatted numbers and labels).
        pid: point concerned, -1 = none.
        mrid: object concerned (point, equipment, channel, area), empty = none.
        station: station name or empty.
        path: path of the point or name of the object.
        value: value at that moment, NaN = none.
        alarm_id: the alarm instance this belongs to, 0 = none.
        seq: RTDB sequence number, 0 = none.
        actor: user who acted, empty = none.
    """

    time_ns: int
    kind: EventKind
    alarm_class: AlarmClass
    priority: int
    key: str
    parameters: dict[str, str] = field(default_factory=dict)
    pid: int = -1
    mrid: str = ""
    station: str = ""
    path: str = ""
    value: float = float("nan")
    source_time_ns: int = 0
    alarm_id: int = 0
    seq: int = 0
    actor: str = ""
    event_id: int = 0


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm instance: from its first violation until it is both returned and acknowledged.

    ``alarm_id`` is the ``event_id`` of the event that raised it.

    Attributes:
        bay: bay of its point, or empty.
        group: ``alarm_id`` of the first alarm of its flood group, 0 = none.
        chattering: it came and went too often; further changes are counted, not announced.
        occurrences: times it was raised since it was last normal.
        event_id: the last event that announced it. An acknowledgement of who had not seen this event does not count.
        suppressed: by what it is hidden from the operators; ``NONE`` = it is shown.
    """

    alarm_id: int
    phase: AlarmPhase
    alarm_class: AlarmClass
    priority: int
    key: str
    parameters: dict[str, str]
    pid: int
    mrid: str
    station: str
    path: str
    value: float
    limit: float
    raised_ns: int
    returned_ns: int = 0
    acknowledged_ns: int = 0
    acknowledged_by: str = ""
    bay: str = ""
    group: int = 0
    chattering: bool = False
    occurrences: int = 1
    event_id: int = 0
    suppressed: SuppressionKind = SuppressionKind.NONE


@dataclass(frozen=True, slots=True)
class Suppression:
    """Alarms that go on being judged and are not announced (ISA-18.2 / IEC 62682: shelved, suppressed by design, out of service).

    Attributes:
        mrid: object of the alarms: a point, a piece of equipment or a channel.
        key: text key of the alarm; empty = every alarm of the object.
        kind: by whom; ``NONE`` = it is over (for the log: remove it).
        path: path of the point or name of the object.
        station: station name or empty.
        since_ns: ns UTC.
        until_ns: ns UTC by the present wall clock, 0 = until taken back.
        user: who did it, empty = nobody (by design, by a tag).
        reason: why; path of the suppressing point where it is by design.
        active: a condition of these alarms holds now.
        left_s: what is left of a shelving, as last measured on the monotonic clock; after a restart it lasts no longer.
        was: the kind it had, where it is over.
    """

    mrid: str
    key: str
    kind: SuppressionKind
    path: str = ""
    station: str = ""
    since_ns: int = 0
    until_ns: int = 0
    user: str = ""
    reason: str = ""
    active: bool = False
    left_s: float = 0.0
    was: SuppressionKind = SuppressionKind.NONE

    @property
    def name(self) -> tuple[str, str, SuppressionKind]:
        """What tells it from all others, also when it is over: several kinds may stand on one alarm."""
        return self.mrid, self.key, self.kind or self.was
