"""Rules about controls and the data of AGC and AVC, as the tables have them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from scada.model_cim.addresses import Iec104Address
from scada.model_cim.findings import Severity
from scada.model_cim.rules.catalogue import Hits, rule
from scada.model_cim.rules.tabled import controls_of, listed, tables_of
from scada.model_cim.rules.view import View
from scada.model_cim.sc_profile import sc_profile
from scada.model_cim.tables import ControlKind, PointKind

_ORDERS: Final = {
    ControlKind.SINGLE: frozenset({45, 58}),
    ControlKind.DOUBLE: frozenset({46, 59}),
    ControlKind.STEP: frozenset({47, 60}),
    ControlKind.SETPOINT: frozenset({48, 49, 50, 61, 62, 63}),
}
_LONGEST_FEEDBACK_S: Final = 600.0


# ---------------------------------------------------------------- controls


@rule(
    "control.type",
    Severity.ERROR,
    "a type identification that cannot carry the control",
    "类型标识与控制类型不符",
    "IEC 60870-5-101 7.2.1.1",
)
def control_type(view: View) -> Iterator[Hits]:
    """A double command sent as a single one does something else."""
    found = (
        (control.mrid, f"is a {control.kind.name.lower()} control, its type is {control.address.type_id}")
        for control in controls_of(view)
        if isinstance(control.address, Iec104Address) and control.address.type_id not in _ORDERS[control.kind]
    )
    yield from listed(view, found, hint="correct sc:RemotePoint.typeId or sc:Control.kind")


@rule("control.range", Severity.ERROR, "a set-point without limits", "设定控制没有上下限", "IEC 61970-301 AnalogControl.minValue")
def control_range(view: View) -> Iterator[Hits]:
    """Anything could be sent; limits upside down let nothing through."""
    setpoints = [control for control in controls_of(view) if control.kind is ControlKind.SETPOINT]
    free = (
        (c.mrid, "has no minValue or no maxValue: anything may be sent") for c in setpoints if math.isnan(c.minimum + c.maximum)
    )
    yield from listed(view, free, hint="set AnalogControl.minValue and maxValue", severity=Severity.WARNING)
    empty = ((c.mrid, f"minValue {c.minimum:g} is not below maxValue {c.maximum:g}") for c in setpoints if c.minimum >= c.maximum)
    yield from listed(view, empty, hint="correct them")


@rule("control.select", Severity.WARNING, "a switch is operated without select", "开关控制未经选择直接执行", "IEC 60870-5-5 6.8")
def control_select(view: View) -> Iterator[Hits]:
    """Select before operate is the rule for switches; some equipment cannot."""
    found = (
        (control.mrid, "sc:Control.select is false: one damaged frame operates the switch")
        for control in controls_of(view)
        if not control.select and control.control_type == "SwitchPosition"
    )
    yield from listed(view, found, hint="set it to true if the outstation can select")


@rule("control.feedback-kind", Severity.WARNING, "a feedback that cannot show what the control does", "返校测点不能反映控制结果")
def feedback_kind(view: View) -> Iterator[Hits]:
    """A command wants a state, a set-point a number, both of the same equipment."""
    points = tables_of(view).points
    found = []
    for control in controls_of(view):
        point = None if control.feedback is None else points[control.feedback]
        if point is None:
            continue
        number = point.kind in (PointKind.ANALOG, PointKind.STEP, PointKind.COUNTER)
        if number != (control.kind in (ControlKind.SETPOINT, ControlKind.STEP)):
            found.append(
                (control.mrid, f"a {control.kind.name.lower()} control is watched by a point that is {point.kind.name.lower()}")
            )
        elif control.control_type == "SwitchPosition" and point.equipment != control.equipment:
            found.append((control.mrid, f"is watched by a point of other equipment, {point.path}"))
    yield from listed(view, found, hint="name the value that follows")


@rule("control.timeout", Severity.WARNING, "a feedback time that cannot be", "返校超时时间不合理")
def feedback_time(view: View) -> Iterator[Hits]:
    """0 fails every control, more than ten minutes hides a failed one."""
    found = (
        (control.mrid, f"feedbackTimeout is {control.feedback_timeout_s:g} s")
        for control in controls_of(view)
        if not 0 < control.feedback_timeout_s <= _LONGEST_FEEDBACK_S
    )
    yield from listed(view, found, hint=f"above 0, at most {_LONGEST_FEEDBACK_S:g} s")


# ---------------------------------------------------------------- AGC and AVC


@rule("unit.remote", Severity.WARNING, "an AGC unit without remote signal", "AGC 机组没有远方投入信号")
def unit_remote(view: View) -> Iterator[Hits]:
    """Whether the plant accepts AGC is not seen; the operator's word is all there is."""
    found = (
        (unit.mrid, "has no point of type AgcRemote: whether the plant accepts AGC is not seen")
        for area in tables_of(view).areas
        if area.controlled
        for unit in area.units
        if unit.remote is None
    )
    yield from listed(view, found, hint="add a Discrete of type AgcRemote at the unit")


@rule("unit.participation", Severity.ERROR, "participation factors that cannot be", "机组参与因子无效")
def participation(view: View) -> Iterator[Hits]:
    """Negative, or none in an area that regulates."""
    for area in tables_of(view).areas:
        negative = ((unit.mrid, f"normalPF is {unit.participation:g}") for unit in area.units if unit.participation < 0)
        yield from listed(view, negative, hint="0 or more")
        if area.controlled and area.units and not any(unit.participation > 0 for unit in area.units):
            text = "no unit of this controlled area has a participation factor above 0: AGC has nobody to regulate"
            yield from listed(view, [(area.mrid, text)], hint="set GeneratingUnit.normalPF")


@rule("unit.setpoint-range", Severity.WARNING, "a unit that AGC cannot move over its whole range", "机组设定范围小于运行范围")
def unit_setpoint_range(view: View) -> Iterator[Hits]:
    """The set-point's limits are narrower than the unit's."""
    controls = tables_of(view).controls
    found = []
    for area in tables_of(view).areas:
        for unit in area.units:
            if unit.setpoint < 0:
                continue
            order = controls[unit.setpoint]
            if order.minimum > unit.minimum or order.maximum < unit.maximum:
                told = f"{order.minimum:g} .. {order.maximum:g} MW"
                text = f"its set-point takes {told}, the unit {unit.minimum:g} .. {unit.maximum:g}"
                found.append((unit.mrid, text))
    yield from listed(view, found, hint="make minValue and maxValue of the SetPoint those of the unit")


@rule("unit.modes", Severity.ERROR, "a mode of AGC that does not exist", "AGC 机组模式无效")
def unit_modes(view: View) -> Iterator[Hits]:
    """BaseMode and regulationMode are words of the profile."""
    base, regulation = (
        tuple(word for word in sc_profile().enumerations[name] if word) for name in ("BaseMode", "RegulationMode")
    )
    found = (
        (unit.mrid, f"baseMode {unit.base_mode!r}, regulationMode {unit.reg_mode!r}")
        for area in tables_of(view).areas
        for unit in area.units
        if unit.base_mode not in base or unit.reg_mode not in regulation
    )
    yield from listed(view, found, hint=f"{', '.join(base)}; {', '.join(regulation)}")


@rule("area.empty", Severity.WARNING, "a controlled area without units or ties", "受控区域没有机组或联络线")
def empty_area(view: View) -> Iterator[Hits]:
    """AGC computes and cannot act, or its interchange is always 0."""
    for area in tables_of(view).areas:
        if area.controlled and not area.units:
            yield from listed(
                view, [(area.mrid, "no generating unit is under AGC in this area")], hint="ControlAreaGeneratingUnit"
            )
        if area.controlled and not area.ties:
            text = "no tie line: its interchange counts as 0"
            yield from listed(view, [(area.mrid, text)], hint="TieFlow", severity=Severity.INFO)


@rule("avc.range", Severity.ERROR, "a range of AVC that is empty", "AVC 调节范围无效")
def avc_range(view: View) -> Iterator[Hits]:
    """Pilot nodes, reactive sources and tap changers need room to move."""
    found: list[tuple[str, str]] = []
    for zone in tables_of(view).zones:
        found += [
            (pilot.mrid, f"target {pilot.target:g} kV is outside {pilot.minimum:g} .. {pilot.maximum:g}")
            for pilot in zone.pilots
            if not pilot.minimum <= pilot.target <= pilot.maximum
        ]
        found += [
            (source.mrid, f"may give {source.minimum:g} .. {source.maximum:g} Mvar")
            for source in zone.sources
            if not source.minimum < source.maximum
        ]
        found += [
            (device.mrid, f"has steps {device.low_step} .. {device.high_step}")
            for device in zone.devices
            if device.kind == "tap" and not device.low_step < device.high_step
        ]
    yield from listed(view, found, hint="correct the limits")


@rule("avc.remote", Severity.WARNING, "a reactive source without remote signal", "无功源没有远方投入信号")
def source_remote(view: View) -> Iterator[Hits]:
    """Whether the plant accepts AVC is not seen."""
    found = (
        (source.mrid, "has no point of type AvcRemote: whether the plant accepts AVC is not seen")
        for zone in tables_of(view).zones
        for source in zone.sources
        if source.remote is None
    )
    yield from listed(view, found, hint="add a Discrete of type AvcRemote at the unit")
