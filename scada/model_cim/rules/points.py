"""Rules about points and channels, as the tables have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np

from scada.model_cim.addresses import Iec104Address
from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, rule
from scada.model_cim.rules.tabled import addressed, controls_of, listed, points_of, tables_of
from scada.model_cim.rules.view import View
from scada.model_cim.tables import AlarmClass, PointKind

_ANALOG_TYPES: Final = frozenset({9, 10, 11, 12, 13, 14, 21, 34, 35, 36})
_TYPES: Final = {
    PointKind.STATUS: frozenset({1, 2, 30}),
    PointKind.DOUBLE: frozenset({3, 4, 31}),
    PointKind.STEP: frozenset({5, 6, 32}) | _ANALOG_TYPES,
    PointKind.BITS: frozenset({7, 8, 33}),
    PointKind.COUNTER: frozenset({15, 16, 37}) | _ANALOG_TYPES,
    PointKind.ANALOG: _ANALOG_TYPES,
    PointKind.TEXT_STATE: frozenset(range(1, 41)),
}
"""Types of IEC 60870-5-101 in which a kind of point can arrive."""
_UNITS: Final = {
    "ThreePhaseActivePower": ("W",),
    "ThreePhaseReactivePower": ("var", "VAr"),
    "ThreePhasePower": ("VA",),
    "ActivePowerSetpoint": ("W",),
    "ReactivePowerSetpoint": ("var", "VAr"),
    "AvailableActivePower": ("W",),
    "LineCurrent": ("A",),
    "LineToLineVoltage": ("V",),
    "PhaseVoltage": ("V",),
    "Frequency": ("Hz",),
    "OilTemperature": ("°C",),
    "ActiveEnergyExport": ("Wh",),
    "ActiveEnergyImport": ("Wh",),
    "AreaGeneration": ("W",),
    "AreaLoad": ("W",),
    "AreaInterchange": ("W",),
    "AreaInterchangeMeter": ("W",),
    "ActivePowerBasePoint": ("W",),
    "TimeError": ("s",),
    "AreaControlError": ("W",),
    "AreaRegulation": ("W",),
    "StateOfCharge": ("%",),
    "WindSpeed": ("m/s", "mPers"),
    "Irradiance": ("W", "W/m²", "WPerm2"),
}
"""measurementType -> unit, its multiplier taken off."""
_WITHOUT_UNIT: Final = frozenset(
    [
        "SwitchPosition",
        "TapPosition",
        "UnitRunning",
        "AgcRemote",
        "AvcRemote",
        "AgcRaiseBlocked",
        "AgcLowerBlocked",
        "AvcRaiseBlocked",
        "AvcLowerBlocked",
        "AvcBlocked",
        "LocalControl",
        "EnergisedState",
        "ProtectionTrip",
        "SF6Low",
        "SF6Lockout",
        "SpringNotCharged",
        "ControlCircuitBroken",
        "CommunicationLost",
        "ProtectionFault",
        "ProtectionChannelFault",
        "Reclosing",
        "VoltageCircuitBroken",
        "EarthFault",
        "UnbalanceTrip",
        "GasRelayTrip",
        "GasRelayAlarm",
        "CoolerFault",
        "OilLevelLow",
        "TapChangerFault",
        "DcFault",
        "StationSupplyFault",
        "FireAlarm",
        "ClockFault",
        "ShuntSections",
        "EnergyGenerated",
        "EnergyExported",
        "EnergyImported",
        "HighestLoad",
        "Angle",
    ]
)
"""Other measurement types that the house knows; their units are not checked."""
_BROADCAST: Final = 65535
_STATE_KINDS: Final = frozenset({PointKind.STATUS, PointKind.DOUBLE})


# ---------------------------------------------------------------- points


@rule(
    "point.type",
    Severity.ERROR,
    "a type identification that cannot carry the point",
    "类型标识与测点类型不符",
    "IEC 60870-5-101 7.2.1.1",
)
def point_type(view: View) -> Iterator[Hits]:
    """A double point on a single-point type loses its intermediate and faulty states."""
    found = (
        (point.mrid, f"is {point.kind.name.lower()}, its type is {point.address.type_id}")
        for point in points_of(view)
        if isinstance(point.address, Iec104Address) and point.address.type_id not in _TYPES[point.kind]
    )
    yield from listed(view, found, hint="correct sc:RemotePoint.typeId or the kind of the point")


@rule(
    "point.common-address", Severity.ERROR, "a point of the broadcast address", "测点使用了广播公共地址", "IEC 60870-5-101 7.2.4"
)
def broadcast_address(view: View) -> Iterator[Hits]:
    """65535 addresses every station; no point has it."""
    found = (
        (point.mrid, "its common address is 65535, the broadcast address")
        for point in addressed(view)
        if isinstance(point.address, Iec104Address) and point.address.common_address == _BROADCAST
    )
    yield from listed(view, found, hint="give it the address of its station")


@rule("point.scale", Severity.ERROR, "a scale that makes every value the same", "系数为零或无效")
def point_scale(view: View) -> Iterator[Hits]:
    """Scale 0 turns every value into the offset."""
    found = (
        (one.mrid, f"scale is {one.scale:g}: every value would be {one.offset:g}")
        for one in addressed(view)
        if one.scale == 0 or not math.isfinite(one.scale)
    )
    yield from listed(view, found, hint="sc:RemotePoint.scale is not 0")


@rule("point.deadband", Severity.ERROR, "a deadband that is negative or as wide as the range", "死区为负或与量程同宽")
def point_deadband(view: View) -> Iterator[Hits]:
    """Nothing would be stored, or everything."""
    negative = ((point.mrid, f"deadband is {point.deadband:g}") for point in points_of(view) if point.deadband < 0)
    yield from listed(view, negative, hint="give 0 or more")
    wide = (
        (point.mrid, f"deadband {point.deadband:g} over a range of {point.maximum - point.minimum:g}")
        for point in points_of(view)
        if point.deadband > 0.5 * (point.maximum - point.minimum) > 0
    )
    yield from listed(view, wide, hint="a percent of the range or less", severity=Severity.WARNING)


@rule("point.range", Severity.ERROR, "a range that is empty", "量程上下限颠倒", "IEC 61970-301 Analog.minValue")
def point_range(view: View) -> Iterator[Hits]:
    """Every value would be out of range."""
    found = (
        (point.mrid, f"minValue {point.minimum:g} is not below maxValue {point.maximum:g}")
        for point in points_of(view)
        if point.minimum >= point.maximum
    )
    yield from listed(view, found, hint="correct minValue and maxValue")


@rule("limit.range", Severity.WARNING, "an alarm limit that the instrument never reaches", "告警限值超出量程")
def limit_in_range(view: View) -> Iterator[Hits]:
    """Beyond minValue .. maxValue a value is marked, the alarm never comes."""
    found = []
    for point in points_of(view):
        high, low = np.fmax(point.limits.hihi, point.limits.hi), np.fmin(point.limits.lolo, point.limits.lo)
        if high > point.maximum or low < point.minimum:
            found.append((point.mrid, f"limits {low:g} .. {high:g}, range {point.minimum:g} .. {point.maximum:g}"))
    yield from listed(view, found, hint="widen the range or correct the limit")


@rule("point.no-normal-state", Severity.WARNING, "an alarm without normal state", "告警点没有正常状态")
def alarm_without_normal_state(view: View) -> Iterator[Hits]:
    """Of class ACCIDENT or ABNORMAL, but no state of it is ever an alarm."""
    found = (
        (point.mrid, f"is of class {point.alarm_class.name} and has no normalState: it never raises an alarm")
        for point in points_of(view)
        if point.kind in _STATE_KINDS
        and point.alarm_class in (AlarmClass.ACCIDENT, AlarmClass.ABNORMAL)
        and math.isnan(point.normal_value)
    )
    yield from listed(view, found, hint="set sc:Measurement.normalState")


@rule("point.no-alarm-class", Severity.INFO, "a state alarm without alarm class", "状态告警没有告警类别")
def alarm_without_class(view: View) -> Iterator[Hits]:
    """It has a normalState and is only a notice."""
    rows = view.rows("Measurement")
    given = set(rows[view.has(rows, "sc:Measurement.alarmClass")].tolist())
    normal = rows[view.has(rows, "sc:Measurement.normalState")]
    text = "has a normalState and no alarmClass: its alarms are notices"
    yield from listed(
        view, ((view.model.mrids[row], text) for row in normal if int(row) not in given), hint="set sc:Measurement.alarmClass"
    )


@rule("point.normal-state", Severity.ERROR, "a normal state the point cannot have", "正常状态取值无效")
def normal_state_value(view: View) -> Iterator[Hits]:
    """0 or 1 of a status, 0 .. 3 of a double point."""
    found = (
        (point.mrid, f"normalState is {point.normal_value:g}")
        for point in points_of(view)
        if point.normal_value
        not in {PointKind.STATUS: (0, 1), PointKind.DOUBLE: (0, 1, 2, 3)}.get(point.kind, (point.normal_value,))
        and not math.isnan(point.normal_value)
    )
    yield from listed(view, found, hint="0 or 1; of a double point 1 = open, 2 = closed")


@rule("measurement.type", Severity.INFO, "a measurement type we do not know", "量测类型未知", "IEC 61970-452")
def measurement_type(view: View) -> Iterator[Hits]:
    """Shown and alarmed like any other; applications do not find it."""
    found = (
        (point.mrid, f"measurementType {point.measurement_type!r}" if point.measurement_type else "has no measurementType")
        for point in points_of(view)
        if point.measurement_type not in _UNITS and point.measurement_type not in _WITHOUT_UNIT
    )
    yield from listed(view, found, hint="see docs/model/sc-profile.md, measurement types")


@rule(
    "measurement.unit",
    Severity.WARNING,
    "a unit that does not fit what is measured",
    "单位与量测类型不符",
    "C:452:OP:Measurement.unitSymbol:analogValues",
)
def measurement_unit(view: View) -> Iterator[Hits]:
    """A voltage in MW."""
    found = (
        (point.mrid, f"{point.measurement_type} in {point.unit or 'no unit'}")
        for point in points_of(view)
        if point.kind is PointKind.ANALOG and not _fits(point.measurement_type, point.unit)
    )
    yield from listed(view, found, hint="correct Measurement.unitSymbol or measurementType")


def _fits(measurement_type: str, unit: str) -> bool:
    symbols = _UNITS.get(measurement_type)
    return symbols is None or not unit or any(unit.endswith(symbol) and len(unit) <= len(symbol) + 1 for symbol in symbols)


@rule("switch.point", Severity.INFO, "a switch without measured position", "开关没有位置量测")
def switch_without_position(view: View) -> Iterator[Hits]:
    """In a station that has points: its position stays as the files say until somebody enters it."""
    measured = {point.equipment for point in points_of(view) if point.measurement_type == "SwitchPosition"}
    if not measured:
        return
    rows = view.rows("Switch")
    levels = view.level_of[rows]
    known = {int(view.level_of[row]) for mrid in measured if (row := view.row(mrid)) >= 0}
    found = (
        (view.model.mrids[row], "has no measured position: it stays as in the files until it is entered by hand")
        for row, level in zip(rows, levels, strict=True)
        if view.model.mrids[row] not in measured and int(level) in known
    )
    yield from listed(view, found, hint="add a Discrete of type SwitchPosition")


# ---------------------------------------------------------------- channels


@rule("channel.empty", Severity.INFO, "a channel without points and controls", "通道没有测点和控制")
def empty_channel(view: View) -> Iterator[Hits]:
    """It would connect and have nothing to say."""
    used = {point.channel for point in points_of(view)} | {control.channel for control in controls_of(view)}
    found = (
        (channel.mrid, "no point and no control uses it")
        for channel in tables_of(view).channels
        if not channel.removed and channel.index not in used
    )
    yield from listed(view, found, hint="add points, or remove it")


@rule("channel.same-link", Severity.WARNING, "two channels to one address", "两个通道指向同一地址")
def same_link(view: View) -> Iterator[Hits]:
    """An outstation mostly accepts one connection; the second would be refused or take over."""
    first: dict[tuple[str, int], str] = {}
    found = []
    for channel in tables_of(view).channels:
        if channel.removed or not channel.port or not channel.protocol.startswith("iec104"):
            continue
        name = first.setdefault((channel.host, channel.port), channel.name)
        if name != channel.name:
            found.append((channel.mrid, f"{channel.host}:{channel.port} is also that of channel {name}"))
    yield from listed(view, found, hint="one channel, or another port")
