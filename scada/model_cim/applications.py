"""Tables of AGC and AVC: CIM ControlArea, TieFlow, GeneratingUnit, VoltageControlZone, RegulatingControl with SC attributes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from scada.core.ids import PointId
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.locate import Locator
from scada.model_cim.regulation import (
    AgcUnit,
    ControlArea,
    DiscreteDevice,
    ForbiddenZone,
    PilotNode,
    ReactiveSource,
    TieLine,
    VoltageZone,
)
from scada.model_cim.tables import Control, Point

_FUELS = {
    "ThermalGeneratingUnit": "thermal",
    "HydroGeneratingUnit": "hydro",
    "SolarGeneratingUnit": "pv",
    "WindGeneratingUnit": "wind",
    "NuclearGeneratingUnit": "thermal",
}


class _Finder:
    """Points and controls by what they measure or move; several of one kind by path, whatever the order of the files."""

    def __init__(self, model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]) -> None:
        self.model = model
        self.findings = findings
        self.point_by_mrid = {point.mrid: point for point in points if not point.removed}
        self.control_by_mrid = {control.mrid: control for control in controls}
        self._points: dict[tuple[str, str], list[Point]] = {}
        for point in sorted(self.point_by_mrid.values(), key=lambda point: point.path):
            self._points.setdefault((point.equipment, point.measurement_type), []).append(point)
        self._controls = {(control.equipment, control.control_type): control for control in controls}

    def points(self, resources: Iterable[str], measurement_type: str) -> list[Point]:
        return [point for resource in resources for point in self._points.get((resource, measurement_type), ())]

    def pid(self, resources: Iterable[str], measurement_type: str) -> PointId | None:
        found = self.points(resources, measurement_type)
        return found[0].pid if found else None

    def control(self, resources: Iterable[str], control_type: str) -> Control | None:
        return next((c for r in resources if (c := self._controls.get((r, control_type)))), None)

    def by_priority(self, sources: Iterable[str], value_prop: str, priority_prop: str) -> list[PointId]:
        """Points that alternative sources name, best (lowest number) first."""
        ranked = sorted(sources, key=lambda source: self.model.number(source, priority_prop, 99.0))
        values = [self.model.ref(source, value_prop) or "" for source in ranked]
        return [self.point_by_mrid[value].pid for value in values if value in self.point_by_mrid]

    def error(self, rule: str, mrid: str, text: str, hint: str = "") -> None:
        self.findings.append(self.model.finding(Severity.ERROR, rule, mrid, text, hint))


def build_areas(
    model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]
) -> list[ControlArea]:
    """Control areas of type AGC, in file order."""
    finder = _Finder(model, points, controls, findings)
    areas: list[ControlArea] = []
    for mrid in model.ids("ControlArea"):
        if model.enum(mrid, "ControlArea.type") not in (None, "AGC"):
            continue
        sources = model.refs_to(mrid, "sc:AltFrequencyMeas.ControlArea")
        frequency = finder.by_priority(sources, "sc:AltFrequencyMeas.AnalogValue", "sc:AltFrequencyMeas.priority")
        controlled = model.truth(mrid, "sc:ControlArea.controlled")
        bias = model.number(mrid, "sc:ControlArea.frequencyBias")
        if controlled and not frequency:
            finder.error("area.frequency", mrid, "controlled area has no frequency source", "add sc:AltFrequencyMeas")
        if controlled and not bias < 0:
            finder.error("area.bias", mrid, "controlled area has no negative frequency bias", "sc:ControlArea.frequencyBias")
        areas.append(
            ControlArea(
                name=model.name(mrid),
                mrid=mrid,
                frequency=frequency,
                nominal_hz=model.number(mrid, "sc:ControlArea.nominalFrequency", 50.0),
                bias=bias,
                # CIM counts the net interchange into the area as positive, dispatch the export
                scheduled_interchange=0.0 - model.number(mrid, "ControlArea.netInterchange", 0.0),
                ties=_ties(finder, mrid),
                units=_units(finder, mrid),
                controlled=controlled,
                deadband=model.number(mrid, "ControlArea.pTolerance", 5.0),
            )
        )
    return areas


def _ties(finder: _Finder, area: str) -> list[TieLine]:
    """Tie lines. A flow is positive into the equipment at its terminal; at the area's own end that is export."""
    model = finder.model
    ties: list[TieLine] = []
    for tie in model.refs_to(area, "TieFlow.ControlArea"):
        flow = finder.by_priority(model.refs_to(tie, "AltTieMeas.TieFlow"), "AltTieMeas.AnalogValue", "AltTieMeas.priority")
        if not flow:
            finder.error("area.tie", tie, "tie flow has no measurement", "add AltTieMeas")
            continue
        # CIM: positiveFlowIn true = the measured positive flow goes into the control area
        sign = -1.0 if model.truth(tie, "TieFlow.positiveFlowIn") else 1.0
        ties.append(TieLine(model.name(tie), flow, sign))
    return ties


def _units(finder: _Finder, area: str) -> list[AgcUnit]:
    model = finder.model
    units: list[AgcUnit] = []
    for member in model.refs_to(area, "ControlAreaGeneratingUnit.ControlArea"):
        mrid = model.ref(member, "ControlAreaGeneratingUnit.GeneratingUnit")
        if mrid is None:
            finder.error("unit.missing", member, "ControlAreaGeneratingUnit names no generating unit")
            continue
        resources = [mrid, *model.refs_to(mrid, "RotatingMachine.GeneratingUnit")]
        power = finder.by_priority(
            model.refs_to(member, "AltGeneratingUnitMeas.ControlAreaGeneratingUnit"),
            "AltGeneratingUnitMeas.AnalogValue",
            "AltGeneratingUnitMeas.priority",
        )
        setpoint = finder.control(resources, "ActivePower")
        if not power or setpoint is None:
            if model.truth(area, "sc:ControlArea.controlled"):
                missing = "measured power" if not power else "active power set-point"
                finder.error("unit.incomplete", mrid, f"generating unit has no {missing}: AGC cannot use it")
            continue
        units.append(_unit(finder, mrid, resources, power, setpoint))
    return units


def _unit(finder: _Finder, mrid: str, resources: list[str], power: Sequence[PointId], setpoint: Control) -> AgcUnit:
    model = finder.model
    low = model.number(mrid, "GeneratingUnit.minOperatingP")
    high = model.number(mrid, "GeneratingUnit.maxOperatingP")
    up = model.number(mrid, "GeneratingUnit.raiseRampRate")
    down = model.number(mrid, "GeneratingUnit.lowerRampRate", up)
    if not low < high:
        finder.error("unit.limits", mrid, "minOperatingP is not below maxOperatingP", "correct the values")
    if not (up > 0 and down > 0):
        finder.error("unit.ramp", mrid, "generating unit has no ramp rate", "set raiseRampRate and lowerRampRate, MW/min")
    return AgcUnit(
        name=model.name(mrid),
        mrid=mrid,
        fuel=model.text(mrid, "sc:GeneratingUnit.fuel") or _FUELS.get(model.class_of(mrid), "thermal"),
        power=power,
        setpoint=setpoint.cid,
        remote=finder.pid(resources, "AgcRemote"),
        minimum=low,
        maximum=high,
        ramp_up=up,
        ramp_down=down,
        participation=model.number(mrid, "GeneratingUnit.normalPF", 0.0),
        base_mode=model.text(mrid, "sc:GeneratingUnit.baseMode") or "AUTO",
        reg_mode=model.text(mrid, "sc:GeneratingUnit.regulationMode") or "O",
        forbidden=_forbidden(finder, mrid),
        deadband=model.number(mrid, "GeneratingUnit.controlDeadband", 0.5),
        cost_b=model.number(mrid, "sc:GeneratingUnit.costB", 0.0),
        cost_c=model.number(mrid, "sc:GeneratingUnit.costC", 0.0),
        available=finder.pid(resources, "AvailableActivePower"),
        state_of_charge=finder.pid(resources, "StateOfCharge"),
        energy_mwh=model.number(mrid, "sc:GeneratingUnit.energyCapacity", 0.0),
    )


def _forbidden(finder: _Finder, unit: str) -> tuple[ForbiddenZone, ...]:
    zones: list[ForbiddenZone] = []
    for zone in finder.model.refs_to(unit, "sc:ForbiddenZone.GeneratingUnit"):
        low = finder.model.number(zone, "sc:ForbiddenZone.lowP")
        high = finder.model.number(zone, "sc:ForbiddenZone.highP")
        if low < high:
            zones.append(ForbiddenZone(low, high))
        else:
            finder.error("unit.forbidden-zone", zone, "forbidden zone: lowP is not below highP", "correct the values")
    return tuple(sorted(zones))


def build_zones(
    model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]
) -> list[VoltageZone]:
    """AVC zones (CIM VoltageControlZone), in file order."""
    finder = _Finder(model, points, controls, findings)
    zones: list[VoltageZone] = []
    for zone in model.ids("VoltageControlZone"):
        pilots = [p for c in model.refs_to(zone, "sc:RegulatingControl.VoltageControlZone") if (p := _pilot(finder, c))]
        machines = model.refs_to(zone, "sc:RegulatingCondEq.VoltageControlZone")
        sources = [s for machine in machines if (s := _reactive_source(finder, machine))]
        devices = [
            d
            for device in model.refs_to(zone, "sc:VoltageControlDevice.VoltageControlZone")
            if (d := _device(finder, device, pilots))
        ]
        zones.append(VoltageZone(model.name(zone), pilots, sources, devices))
    return zones


def _pilot(finder: _Finder, control: str) -> PilotNode | None:
    model = finder.model
    terminal = model.ref(control, "RegulatingControl.Terminal") or ""
    busbar = model.ref(terminal, "Terminal.ConductingEquipment") or ""
    voltage = finder.points([busbar], "LineToLineVoltage")
    target = model.number(control, "RegulatingControl.targetValue")
    if not voltage or math.isnan(target):
        text = "pilot node has no measured line-to-line voltage on its busbar or no targetValue; left out"
        finder.error("avc.pilot", control, text, "RegulatingControl.Terminal is a busbar's terminal")
        return None
    return PilotNode(
        name=model.path(busbar),
        mrid=busbar,
        voltage=[point.pid for point in voltage],
        target=target,
        deadband=model.number(control, "RegulatingControl.targetDeadband", 0.005 * target),
        minimum=model.number(control, "sc:RegulatingControl.minimumValue", 0.95 * target),
        maximum=model.number(control, "sc:RegulatingControl.maximumValue", 1.05 * target),
    )


def _reactive_source(finder: _Finder, machine: str) -> ReactiveSource | None:
    model = finder.model
    unit = model.ref(machine, "RotatingMachine.GeneratingUnit")
    resources = [machine, unit] if unit else [machine]
    power = finder.pid(resources, "ThreePhaseReactivePower")
    setpoint = finder.control(resources, "ReactivePower")
    if power is None or setpoint is None:
        finder.error("avc.source", machine, "reactive source has no measured Q or no reactive power set-point; left out")
        return None
    low = model.number(machine, "SynchronousMachine.minQ", setpoint.minimum)
    high = model.number(machine, "SynchronousMachine.maxQ", setpoint.maximum)
    return ReactiveSource(
        name=model.name(unit or machine),
        mrid=machine,
        power=power,
        setpoint=setpoint.cid,
        minimum=low,
        maximum=high,
        step=model.number(machine, "sc:RegulatingCondEq.reactiveStep", 0.1 * (high - low)),
        remote=finder.pid(resources, "AvcRemote"),
    )


def _device(finder: _Finder, device: str, pilots: Sequence[PilotNode]) -> DiscreteDevice | None:
    model = finder.model
    equipment = model.ref(device, "sc:VoltageControlDevice.Equipment") or ""
    control = finder.control_by_mrid.get(model.ref(device, "sc:VoltageControlDevice.Control") or "")
    pilot = model.ref(device, "sc:VoltageControlDevice.BusbarSection") or ""
    if control is None or control.feedback is None or not any(pilot == node.mrid for node in pilots):
        text = "voltage control device needs a control with feedback and a pilot busbar of its zone; left out"
        finder.error("avc.device", device, text)
        return None
    tap = model.class_of(equipment).endswith("TapChanger") or model.class_of(equipment).startswith("PhaseTapChanger")
    mvar = _rated_mvar(model, equipment)
    return DiscreteDevice(
        name="/".join(Locator(model).place(equipment).names),
        mrid=equipment,
        kind="tap" if tap else "capacitor" if mvar > 0 else "reactor",
        position=control.feedback,
        control=control.cid,
        pilot=pilot,
        mvar=mvar,
        low_step=int(model.number(equipment, "TapChanger.lowStep", 0.0)),
        high_step=int(model.number(equipment, "TapChanger.highStep", 0.0)),
        raise_increases_voltage=model.truth(device, "sc:VoltageControlDevice.raiseIncreasesVoltage", default=True),
        min_interval_s=model.number(device, "sc:VoltageControlDevice.minInterval", 120.0),
        daily_limit=int(model.number(device, "sc:VoltageControlDevice.dailyLimit", 20.0)),
    )


def _rated_mvar(model: CimModel, shunt: str) -> float:
    """Rated Mvar of a linear shunt: U² * b * sections; capacitor positive."""
    if model.class_of(shunt) != "LinearShuntCompensator":
        return 0.0
    sections = model.number(shunt, "ShuntCompensator.maximumSections", 1.0)
    nominal_kv = model.number(shunt, "ShuntCompensator.nomU")
    return round(nominal_kv**2 * model.number(shunt, "LinearShuntCompensator.bPerSection") * sections, 3)
