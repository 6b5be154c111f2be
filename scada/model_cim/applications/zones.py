"""AVC zones: CIM VoltageControlZone, RegulatingControl, machines and compensators with SC attributes; devices AVC switches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from scada.core.ids import PointId
from scada.model_cim.applications.curves import capability
from scada.model_cim.applications.finder import Finder
from scada.model_cim.applications.units import FUELS
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding
from scada.model_cim.locate import Locator
from scada.model_cim.regulation import DiscreteDevice, PilotNode, ReactivePlant, ReactiveSource, VoltageZone
from scada.model_cim.tables import Control, Point

KINDS: Final = ("machine", "inverter", "svg")
SHARES: Final = ("margin", "power-factor", "capacity")


def build_zones(
    model: CimModel, points: Sequence[Point], controls: Sequence[Control], findings: list[Finding]
) -> list[VoltageZone]:
    """AVC zones (CIM VoltageControlZone), in file order."""
    finder = Finder(model, points, controls, findings)
    zones = [_zone(finder, zone) for zone in model.ids("VoltageControlZone")]
    _check_parallel(finder, zones)
    return zones


def _zone(finder: Finder, zone: str) -> VoltageZone:
    model = finder.model
    pilots = [p for c in model.refs_to(zone, "sc:RegulatingControl.VoltageControlZone") if (p := _pilot(finder, c))]
    plants = tuple(_plant(finder, mrid) for mrid in model.refs_to(zone, "sc:ReactivePlant.VoltageControlZone"))
    known = {plant.mrid for plant in plants}
    machines = model.refs_to(zone, "sc:RegulatingCondEq.VoltageControlZone")
    sources = [s for machine in machines if (s := _source(finder, machine, known))]
    devices = [
        d for one in model.refs_to(zone, "sc:VoltageControlDevice.VoltageControlZone") if (d := _device(finder, one, pilots))
    ]
    return VoltageZone(model.name(zone), pilots, sources, devices, plants)


def _pilot(finder: Finder, control: str) -> PilotNode | None:
    model = finder.model
    terminal = model.ref(control, "RegulatingControl.Terminal") or ""
    busbar = model.ref(terminal, "Terminal.ConductingEquipment") or ""
    voltage = finder.points([busbar], "LineToLineVoltage")
    target = model.number(control, "RegulatingControl.targetValue")
    if not voltage or math.isnan(target):
        text = "pilot node has no measured line-to-line voltage on its busbar or no targetValue; left out"
        finder.error("avc.pilot", control, text, "RegulatingControl.Terminal is a busbar's terminal")
        return None
    weight = model.number(control, "sc:RegulatingControl.weight", 1.0)
    if not weight > 0:
        finder.error("avc.weight", control, f"weight {weight:g} is not above 0; 1 is used", prop="sc:RegulatingControl.weight")
        weight = 1.0
    return PilotNode(
        name=model.path(busbar),
        mrid=busbar,
        voltage=[point.pid for point in voltage],
        target=target,
        deadband=model.number(control, "RegulatingControl.targetDeadband", 0.005 * target),
        minimum=model.number(control, "sc:RegulatingControl.minimumValue", 0.95 * target),
        maximum=model.number(control, "sc:RegulatingControl.maximumValue", 1.05 * target),
        weight=weight,
    )


def _plant(finder: Finder, mrid: str) -> ReactivePlant:
    share = finder.model.text(mrid, "sc:ReactivePlant.share") or SHARES[0]
    return ReactivePlant(finder.model.name(mrid), mrid, share if share in SHARES else SHARES[0])


def _source(finder: Finder, machine: str, plants: set[str]) -> ReactiveSource | None:
    model = finder.model
    unit = model.ref(machine, "RotatingMachine.GeneratingUnit")
    units = [unit] if unit else model.refs_to(machine, "PowerElectronicsUnit.PowerElectronicsConnection")
    resources = [machine, *units]
    power = finder.pid(resources, "ThreePhaseReactivePower")
    setpoint = finder.setpoint(resources, "ReactivePower")
    if power is None or setpoint is None:
        finder.error("avc.source", machine, "reactive source has no measured Q or no reactive power set-point; left out")
        return None
    low, high = _limits(finder, machine, setpoint)
    plant = model.ref(machine, "sc:RegulatingCondEq.ReactivePlant") or ""
    if plant and plant not in plants:
        text = "its reactive plant is none of its zone: it stands for itself"
        finder.error("avc.plant", machine, text, "sc:RegulatingCondEq.ReactivePlant", prop="sc:RegulatingCondEq.ReactivePlant")
        plant = ""
    least = model.number(machine, "sc:RegulatingCondEq.minimumVoltage")
    most = model.number(machine, "sc:RegulatingCondEq.maximumVoltage")
    if least >= most:
        text = f"minimumVoltage {least:g} kV is not below maximumVoltage {most:g}; not limited"
        finder.error("avc.source-voltage", machine, text, "correct the values")
        least = most = math.nan
    return ReactiveSource(
        name=model.name(units[0] if units else machine),
        mrid=machine,
        power=power,
        setpoint=setpoint.cid,
        minimum=low,
        maximum=high,
        step=model.number(machine, "sc:RegulatingCondEq.reactiveStep", 0.1 * (high - low)),
        remote=finder.pid(resources, "AvcRemote"),
        kind=_kind(model, machine, units),
        active=finder.pid(resources, "ThreePhaseActivePower"),
        rated_mva=_rated_mva(model, machine),
        capability=capability(finder, machine),
        plant=plant,
        voltage=[point.pid for point in finder.points([machine], "LineToLineVoltage")],
        voltage_minimum=least,
        voltage_maximum=most,
        raise_blocked=finder.pid(resources, "AvcRaiseBlocked"),
        lower_blocked=finder.pid(resources, "AvcLowerBlocked"),
    )


def _limits(finder: Finder, machine: str, setpoint: Control) -> tuple[float, float]:
    """Mvar a source may give: its own limits, or what its set-point takes."""
    model = finder.model
    low = model.number(
        machine, "SynchronousMachine.minQ", model.number(machine, "PowerElectronicsConnection.minQ", setpoint.minimum)
    )
    high = model.number(
        machine, "SynchronousMachine.maxQ", model.number(machine, "PowerElectronicsConnection.maxQ", setpoint.maximum)
    )
    return low, high


def _kind(model: CimModel, machine: str, units: Sequence[str]) -> str:
    """What it is said to be, or what its class says."""
    said = model.text(machine, "sc:RegulatingCondEq.kind")
    if said in KINDS:
        return said
    if model.class_of(machine) == "StaticVarCompensator":
        return "svg"
    fuels = [model.text(unit, "sc:GeneratingUnit.fuel") or FUELS.get(model.class_of(unit), "") for unit in units]
    inverter = model.class_of(machine) == "PowerElectronicsConnection" or any(fuel in ("pv", "wind", "storage") for fuel in fuels)
    return "inverter" if inverter else "machine"


def _rated_mva(model: CimModel, machine: str) -> float:
    rated = model.number(machine, "RotatingMachine.ratedS", model.number(machine, "PowerElectronicsConnection.ratedS"))
    return rated if rated > 0 else math.nan


def _device(finder: Finder, device: str, pilots: Sequence[PilotNode]) -> DiscreteDevice | None:
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
        discharge_s=model.number(device, "sc:VoltageControlDevice.dischargeTime", 300.0),
        remote=_signal(finder, device, "sc:VoltageControlDevice.Remote", equipment, "AvcRemote"),
        tripped=_signal(finder, device, "sc:VoltageControlDevice.Tripped", equipment, "ProtectionTrip"),
        blocked=_signal(finder, device, "sc:VoltageControlDevice.Blocked", equipment, "AvcBlocked"),
        parallel=(model.text(device, "sc:VoltageControlDevice.parallelGroup") or "") if tap else "",
    )


def _signal(finder: Finder, device: str, prop: str, equipment: str, measurement_type: str) -> PointId | None:
    """A signal of a device: the point it names, or the one of a type at its equipment."""
    named = finder.named(device, prop)
    return named if named is not None else finder.pid([equipment], measurement_type)


def _rated_mvar(model: CimModel, shunt: str) -> float:
    """Rated Mvar of a linear shunt: U² * b * sections; capacitor positive."""
    if model.class_of(shunt) != "LinearShuntCompensator":
        return 0.0
    sections = model.number(shunt, "ShuntCompensator.maximumSections", 1.0)
    nominal_kv = model.number(shunt, "ShuntCompensator.nomU")
    return round(nominal_kv**2 * model.number(shunt, "LinearShuntCompensator.bPerSection") * sections, 3)


def _check_parallel(finder: Finder, zones: Sequence[VoltageZone]) -> None:
    """Transformers of one parallel group serve one pilot of one zone, move the same way and have the same steps."""
    groups: dict[str, list[tuple[str, DiscreteDevice]]] = {}
    for zone in zones:
        for device in zone.devices:
            if device.parallel:
                groups.setdefault(device.parallel, []).append((zone.name, device))
    for name, devices in groups.items():
        pilots = {(zone, device.pilot) for zone, device in devices}
        ways = {(device.low_step, device.high_step, device.raise_increases_voltage) for _, device in devices}
        mrid = devices[0][1].mrid
        if len(devices) == 1:
            finder.warn("avc.parallel", mrid, f"alone in parallel group {name!r}", "sc:VoltageControlDevice.parallelGroup")
        elif len(pilots) > 1:
            text = f"parallel group {name!r} serves {len(pilots)} pilot busbars: they cannot move together"
            finder.error("avc.parallel", mrid, text, "a group feeds one busbar")
        elif len(ways) > 1:
            text = f"transformers of parallel group {name!r} differ in steps or in direction: they cannot move together"
            finder.error("avc.parallel", mrid, text, "the same lowStep, highStep and raiseIncreasesVoltage")
