"""What a model version hands to the rest of the house: plain tables, no CIM object.

The builder in :mod:`scada.model_cim.points` fills them from CIM + SC profile; every other package reads only these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from scada.core.ids import PointId
from scada.expressions.language import Expression
from scada.model_cim.addresses import Address, Iec104Address, PlainAddress
from scada.model_cim.regulation import ControlArea, VoltageZone

F8 = npt.NDArray[np.float64]


class PointKind(IntEnum):
    """What a point's value means."""

    ANALOG = 1
    STATUS = 2
    """0 or 1."""
    DOUBLE = 3
    """IEC double-point: 0 intermediate, 1 off (open), 2 on (closed), 3 faulty."""
    STEP = 4
    COUNTER = 5
    BITS = 6
    TEXT_STATE = 7
    """An enumerated state made here (e.g. energised / dead / earthed)."""


class AlarmClass(IntEnum):
    """The five classes of dispatch practice, most severe first."""

    ACCIDENT = 1
    ABNORMAL = 2
    LIMIT = 3
    CHANGE = 4
    NOTICE = 5


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """One front-end channel (CIM RemoteUnit + SC communication attributes).

    ``params`` holds protocol parameters by their standard names (``k``, ``w``, ``t0`` .. ``t3``, ``time_zone_minutes``,
    ``scan_ms``, ``interrogation_s``, ``clock_sync_s`` ...), as numbers or text.
    """

    index: int
    mrid: str
    name: str
    protocol: str
    """A name of :class:`scada.protocols.registry.Drivers`: ``iec104``, ``modbus-tcp``, ``opcua``, ``mqtt`` ..."""
    host: str
    port: int
    station: str
    """Name of the substation or plant it serves."""
    params: dict[str, float | str] = field(default_factory=dict)
    removed: bool = False
    """A tombstone: the model no longer has the channel; its index is never used again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Alarm conditions of a point, in its engineering units; NaN = none. The delays are for the state alarm of a status too."""

    lolo: float = float("nan")
    lo: float = float("nan")
    hi: float = float("nan")
    hihi: float = float("nan")
    hysteresis: float = 0.0
    """An alarm returns when the value is back by so much; the same for the deviation and for the change in the rate's window."""
    delay_s: float = 0.0
    """On-delay: a condition must hold so long, without a break, before it is an alarm."""
    off_delay_s: float = 0.0
    """Off-delay: it must be over so long before the alarm returns."""
    deviation: float = float("nan")
    """Largest difference from the reference."""
    reference: str = ""
    """mRID of the point that ``deviation`` is measured from."""
    rate: float = float("nan")
    """Largest change, up or down, in units per minute, taken over ``rate_window_s``."""
    rate_window_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Cleaning:
    """What a source cannot truthfully send: flagged and counted at the front end, beside the range of the instrument."""

    rate_per_s: float = float("nan")
    """Fastest change of the process, up or down, units a second; NaN = not known."""
    frozen_s: float = 0.0
    """Longest time the value can stay exactly the same; 0 = for ever."""
    period_s: float = 0.0
    """The source sends at least so often; 0 = when it likes."""


@dataclass(frozen=True, slots=True)
class Point:
    """One measured, status or calculated point."""

    pid: PointId
    mrid: str
    path: str
    """``Station/VoltageLevel/Bay/Name`` - unique, shown to people, usable in expressions."""
    name: str
    kind: PointKind
    measurement_type: str
    """IEC 61970 measurementType (``ThreePhaseActivePower``, ``SwitchPosition`` ...)."""
    unit: str
    equipment: str
    """mRID of the power system resource."""
    terminal: str
    """mRID of the terminal or empty."""
    station: str
    """Name of the substation or plant."""
    bay: str
    channel: int
    """Index into ``ModelTables.channels``; -1 = calculated here."""
    address: Address | None
    scale: float = 1.0
    offset: float = 0.0
    deadband: float = 0.0
    """Engineering units; used by history and forwarding, never by the RTDB for status."""
    compression: str = "deadband"
    """How the history thins an analog: ``deadband`` or ``swinging-door``, both by ``deadband``."""
    sample_s: float = 0.0
    """The history samples an analog at this fixed period instead (1 s .. 3600 s); 0 = on change."""
    minimum: float = float("nan")
    maximum: float = float("nan")
    limits: Limits = Limits()
    cleaning: Cleaning = Cleaning()
    states: dict[int, str] = field(default_factory=dict)
    """Value -> label, for status, double, step and enumerated points."""
    alarm_class: AlarmClass = AlarmClass.NOTICE
    priority: int = 3
    """1 (highest) .. 4."""
    normal_value: float = float("nan")
    """A state other than this one is an alarm; NaN = no state alarm (a change is only an event)."""
    expression: str = ""
    """SC expression of a calculated point, else empty. ``topology`` is filled by the topology processor."""
    suppressed_by: str = ""
    """mRID of a status or calculated point; while it is 1 the alarms of this point are suppressed by design."""
    removed: bool = False
    """A tombstone: the model no longer has the point; its pid is never used again."""


class ControlKind(IntEnum):
    """What a control does."""

    SINGLE = 1
    DOUBLE = 2
    STEP = 3
    SETPOINT = 4


@dataclass(frozen=True, slots=True)
class Enabling:
    """A point that must be 1 for a control to be operated: an engineered interlock (IEC 61850-7-4: CILO.EnaOpn, CILO.EnaCls)."""

    mrid: str
    """Of the point."""
    pid: PointId | None
    """None = the model does not have the point: the control is never operated."""
    path: str
    """Of the point, for people."""
    opens: bool = True
    """Asked before a command that opens, switches off or lowers, and before a set-point."""
    closes: bool = True
    """Asked before a command that closes, switches on or raises, and before a set-point."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A condition that must be true for a control to be operated: an interlock that the model writes as an expression."""

    text: str
    """As the model has it."""
    opens: bool = True
    """Asked before a command that opens, switches off or lowers, and before a set-point."""
    closes: bool = True
    """Asked before a command that closes, switches on or raises, and before a set-point."""
    expression: Expression | None = None
    """None = it cannot be read: the control is never operated."""
    pids: tuple[PointId, ...] = ()
    """Points of ``expression.references``."""
    equipment: tuple[str, ...] = ()
    """mRIDs of ``expression.equipment``."""


@dataclass(frozen=True, slots=True)
class Control:
    """One command or set-point (CIM Command, RaiseLowerCommand, SetPoint + RemoteControl + SC)."""

    cid: int
    """Index in ``ModelTables.controls``."""
    mrid: str
    path: str
    name: str
    kind: ControlKind
    control_type: str
    """``SwitchPosition``, ``TapPosition``, ``ShuntSections``, ``ActivePower``, ``ReactivePower``, ``Voltage`` ..."""
    unit: str
    equipment: str
    station: str
    channel: int
    address: Address
    feedback: PointId | None
    """Point that must follow, or None."""
    device_number: str
    """What an operator types to confirm the object, e.g. ``2211``."""
    select: bool = True
    """Select before operate on the wire."""
    minimum: float = float("nan")
    maximum: float = float("nan")
    scale: float = 1.0
    offset: float = 0.0
    states: dict[int, str] = field(default_factory=dict)
    """Command value -> label (double: 1 open, 2 close; step: 1 lower, 2 higher)."""
    feedback_timeout_s: float = 10.0
    feedback_tolerance: float = 0.0
    enabled_by: tuple[Enabling, ...] = ()
    """All of them must be 1."""
    permitted_when: tuple[Permission, ...] = ()
    """All of them must be true."""
    removed: bool = False
    """A tombstone: the model no longer has the control; its cid is never used again."""


def removed_point(mrid: str, pid: int) -> Point:
    """The tombstone of a point."""
    return Point(PointId(pid), mrid, f"removed/{mrid}", "", PointKind.STATUS, "", "", "", "", "", "", -1, None, removed=True)


def removed_channel(mrid: str, index: int) -> ChannelSpec:
    """The tombstone of a channel."""
    return ChannelSpec(index, mrid, f"removed/{mrid}", "", "", 0, "", removed=True)


def removed_control(mrid: str, cid: int) -> Control:
    """The tombstone of a control."""
    kind, nowhere = ControlKind.SETPOINT, PlainAddress("")
    return Control(cid, mrid, f"removed/{mrid}", "", kind, "", "", "", "", -1, nowhere, None, "", removed=True)


@dataclass(frozen=True, slots=True)
class Station:
    """A substation or plant, for browsing and diagrams."""

    mrid: str
    name: str
    area: str
    """Name of the control area, or empty."""
    voltage_levels: Sequence[tuple[str, str, float]]
    """(mRID, name, nominal kV)."""
    diagram: str = ""
    """Stem of the files in the model's ``diagrams`` folder (``<stem>.svg`` and ``<stem>.json``), or empty."""
    diagram_stale: bool = False
    """The drawing shows the station as it was in an earlier version."""
    bays: Sequence[tuple[str, str]] = ()
    """(mRID, path ``Station/VoltageLevel/Bay``)."""
    regions: Sequence[tuple[str, str]] = ()
    """(mRID, name) of the sub-geographical region it stands in and of the geographical region around that."""


@dataclass(frozen=True, slots=True)
class AreaDiagram:
    """A drawing of the network of a control area, a region or the whole."""

    key: str
    """mRID of the control area or region; ``whole``."""
    name: str
    """For people; of the whole network the model's."""
    diagram: str
    """Stem of its files in the model's ``diagrams`` folder."""
    diagram_stale: bool = False


@dataclass(frozen=True, slots=True)
class RedundancyGroup:
    """Connections of one upstream control centre that share one queue of events (IEC 60870-5-104, clause 10)."""

    name: str
    """Unique in its station; its position in the events is stored under it."""
    masters: tuple[str, ...]
    """Hosts, or names in certificates (common name, DNS name or address), of its connections."""


@dataclass(frozen=True, slots=True)
class ForwardedPoint:
    """A point as an upstream control centre sees it; ``value = sent * scale + offset``, as for a channel."""

    mrid: str
    """Of the row in the model."""
    pid: PointId
    address: Iec104Address
    deadband: float
    """Engineering units; a measured value is sent when it has moved by more."""
    queued: bool
    """True: every change is an event that is kept while the master is away; False: only the newest value is sent."""
    group: int = 0
    """Interrogation group 1 .. 16 besides the general one, 0 = none."""
    counter_group: int = 0
    """Counter group 1 .. 4 besides the general one, 0 = none."""
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardedControl:
    """A control that an upstream control centre may ask for, if its master has the right."""

    mrid: str
    cid: int
    address: Iec104Address
    select: bool = True
    """The master must select before it executes."""
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class ForwardedSetPoint:
    """A set-point of an upstream control centre that goes to the dispatch desk: an area's interchange or a unit's power, MW."""

    mrid: str
    area: str
    """Name of the control area."""
    unit: str
    """mRID; empty = the area's interchange."""
    name: str
    """Of the area or the unit."""
    address: Iec104Address
    select: bool = False
    scale: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True)
class UpstreamStation:
    """This control centre as an IEC 60870-5-104 controlled station towards one upstream control centre.

    ``params`` holds what is not named here (``k``, ``w``, ``t0`` .. ``t3``, ``time_zone_minutes``, ``event_capacity``,
    ``select_timeout_s``, ``command_age_s``, ``tls`` ...), as numbers or text, by the names that channels use.
    """

    mrid: str
    name: str
    host: str
    """Address to listen on."""
    port: int
    common_address: int
    groups: Sequence[RedundancyGroup]
    points: Sequence[ForwardedPoint]
    controls: Sequence[ForwardedControl]
    params: dict[str, float | str] = field(default_factory=dict)
    setpoints: Sequence[ForwardedSetPoint] = ()


@dataclass(frozen=True)
class ModelTables:
    """One model version, ready to run. Immutable; apply builds the next one aside."""

    version: str
    """Digest of the files."""
    name: str
    points: Sequence[Point]
    """Indexed by pid, tombstones included."""
    controls: Sequence[Control]
    """Indexed by cid, tombstones included."""
    channels: Sequence[ChannelSpec]
    """Indexed by channel index, tombstones included."""
    stations: Sequence[Station]
    areas: Sequence[ControlArea]
    zones: Sequence[VoltageZone]
    upstream: Sequence[UpstreamStation] = ()
    """What is forwarded to upstream control centres."""
    area_diagrams: Sequence[AreaDiagram] = ()

    @cached_property
    def by_mrid(self) -> dict[str, Point]:
        """Points by mRID."""
        return {point.mrid: point for point in self.points}

    @cached_property
    def by_path(self) -> dict[str, Point]:
        """Points by path."""
        return {point.path: point for point in self.points}

    @cached_property
    def live_controls(self) -> list[Control]:
        """Controls that the model has, in order of their numbers."""
        return [control for control in self.controls if not control.removed]

    @cached_property
    def live_channels(self) -> list[ChannelSpec]:
        """Channels that the model has, in order of their numbers."""
        return [channel for channel in self.channels if not channel.removed]

    @cached_property
    def control_by_mrid(self) -> dict[str, Control]:
        """Controls by mRID, those removed left out."""
        return {control.mrid: control for control in self.live_controls}

    @cached_property
    def channel_of(self) -> npt.NDArray[np.int32]:
        """Channel index of each pid, -1 = calculated."""
        return np.array([point.channel for point in self.points], dtype=np.int32)

    def points_of_channel(self, index: int) -> list[Point]:
        """Points a channel feeds."""
        return self._points_by_channel.get(index, [])

    @cached_property
    def _points_by_channel(self) -> dict[int, list[Point]]:
        found: dict[int, list[Point]] = {}
        for point in self.points:
            found.setdefault(point.channel, []).append(point)
        return found

    def controls_of_channel(self, index: int) -> list[Control]:
        """Controls a channel carries."""
        return [control for control in self.controls if control.channel == index]
