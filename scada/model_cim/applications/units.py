"""Controlled objects of AGC: CIM GeneratingUnit (CIM17 names) with SC attributes, forbidden zones, members of a plant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from scada.core.ids import PointId
from scada.model_cim.applications.curves import cost_curve
from scada.model_cim.applications.finder import Finder
from scada.model_cim.regulation import AgcUnit, ForbiddenZone, PlantMember
from scada.model_cim.tables import Control, ControlKind

FUELS: Final = {
    "ThermalGeneratingUnit": "thermal",
    "HydroGeneratingUnit": "hydro",
    "SolarGeneratingUnit": "pv",
    "WindGeneratingUnit": "wind",
    "NuclearGeneratingUnit": "thermal",
    "PhotoVoltaicUnit": "pv",
    "PowerElectronicsWindUnit": "wind",
    "BatteryUnit": "storage",
}
"""Kind of a unit by its class."""
SHARES: Final = ("factor", "economic", "ramp", "margin", "capacity")


def units_of(finder: Finder, area: str, *, controlled: bool) -> list[AgcUnit]:
    """Units of an area that AGC can see; of a controlled one it says why it cannot use one."""
    model = finder.model
    units: list[AgcUnit] = []
    for member in model.refs_to(area, "ControlAreaGeneratingUnit.ControlArea"):
        mrid = model.ref(member, "ControlAreaGeneratingUnit.GeneratingUnit")
        if mrid is None:
            finder.error("unit.missing", member, "ControlAreaGeneratingUnit names no generating unit")
            continue
        resources = finder.resources_of(mrid)
        power = finder.by_priority(
            model.refs_to(member, "AltGeneratingUnitMeas.ControlAreaGeneratingUnit"),
            "AltGeneratingUnitMeas.AnalogValue",
            "AltGeneratingUnitMeas.priority",
        )
        members = _members(finder, mrid)
        setpoint, raise_lower = _orders(finder, mrid, resources)
        if not power or (setpoint is None and raise_lower is None and not any(one.setpoint >= 0 for one in members)):
            if controlled:
                missing = "measured power" if not power else "active power set-point, pulse command or member with a set-point"
                finder.error("unit.incomplete", mrid, f"generating unit has no {missing}: AGC cannot use it")
            continue
        units.append(_unit(finder, mrid, resources, power, (setpoint, raise_lower), members))
    return units


def _orders(finder: Finder, unit: str, resources: Sequence[str]) -> tuple[Control | None, Control | None]:
    """(Set-point, raise/lower command), one of them None: what ``genControlMode`` says, or what the model has."""
    setpoint = finder.setpoint(resources, "ActivePower")
    raise_lower = finder.control(resources, "ActivePower", ControlKind.STEP)
    mode = finder.model.enum(unit, "GeneratingUnit.genControlMode")
    if mode == "pulse" and raise_lower is None:
        text = "genControlMode is pulse, and it has no raise/lower command of type ActivePower"
        finder.error("unit.pulse", unit, text, "add a RaiseLowerCommand, or set genControlMode to setpoint")
        return None, None
    if mode == "setpoint" or (mode is None and setpoint is not None):
        return setpoint, None
    return None, raise_lower


def _unit(
    finder: Finder,
    mrid: str,
    resources: list[str],
    power: Sequence[PointId],
    orders: tuple[Control | None, Control | None],
    members: tuple[PlantMember, ...],
) -> AgcUnit:
    model = finder.model
    low = model.number(mrid, "GeneratingUnit.minOperatingP")
    high = model.number(mrid, "GeneratingUnit.maxOperatingP")
    up = model.number(mrid, "GeneratingUnit.raiseRampRate")
    down = model.number(mrid, "GeneratingUnit.lowerRampRate", up)
    if not low < high:
        finder.error("unit.limits", mrid, "minOperatingP is not below maxOperatingP", "correct the values")
    if not (up > 0 and down > 0):
        finder.error("unit.ramp", mrid, "generating unit has no ramp rate", "set raiseRampRate and lowerRampRate, MW/min")
    setpoint, raise_lower = (-1 if order is None else order.cid for order in orders)
    economic = _economic(finder, mrid, low, high)
    soc = _state_of_charge(finder, mrid)
    return AgcUnit(
        name=model.name(mrid),
        mrid=mrid,
        fuel=model.text(mrid, "sc:GeneratingUnit.fuel") or FUELS.get(model.class_of(mrid), "thermal"),
        power=power,
        setpoint=setpoint,
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
        group=model.ref(mrid, "sc:GeneratingUnit.RegulationGroup") or "",
        share=_word(finder, mrid, "sc:GeneratingUnit.share", SHARES),
        cost_curve=cost_curve(finder, mrid),
        economic_minimum=economic[0],
        economic_maximum=economic[1],
        emergency_ramp=_positive(finder, mrid, "sc:GeneratingUnit.emergencyRampRate", math.nan),
        telemetered_base=finder.pid(resources, "ActivePowerBasePoint"),
        raise_blocked=finder.pid(resources, "AgcRaiseBlocked"),
        lower_blocked=finder.pid(resources, "AgcLowerBlocked"),
        raise_lower=raise_lower,
        pulse_mw=_pulse_mw(finder, mrid) if raise_lower >= 0 else math.nan,
        maximum_step=_positive(finder, mrid, "sc:GeneratingUnit.maximumStep", math.inf),
        minimum_interval_s=max(0.0, model.number(mrid, "sc:GeneratingUnit.minimumInterval", 0.0)),
        waits=model.truth(mrid, "sc:GeneratingUnit.waitsForUnit"),
        irradiance=finder.pid(resources, "Irradiance"),
        members=members,
        soc_minimum=soc[0],
        soc_maximum=soc[1],
        soc_reference=soc[2],
        efficiency=_efficiency(finder, mrid),
    )


def _pulse_mw(finder: Finder, unit: str) -> float:
    """What one pulse moves: ``sc:GeneratingUnit.pulseP``, or CIM's response to a pulse of 1 s times its shortest pulse."""
    model = finder.model
    given = model.number(unit, "sc:GeneratingUnit.pulseP")
    pulse = given
    if math.isnan(given):
        pulse = model.number(unit, "GeneratingUnit.controlResponseRate") * model.number(unit, "GeneratingUnit.controlPulseLow")
    if pulse > 0:
        return pulse
    text = "a unit moved by pulses, and what one pulse moves is not known: AGC cannot use it"
    finder.error("unit.pulse", unit, text, "set controlResponseRate and controlPulseLow, or sc:GeneratingUnit.pulseP, MW")
    return math.nan


def _economic(finder: Finder, unit: str, low: float, high: float) -> tuple[float, float]:
    """Economic limits within the operating limits; NaN where there is none."""
    model = finder.model
    least, most = model.number(unit, "GeneratingUnit.minEconomicP"), model.number(unit, "GeneratingUnit.maxEconomicP")
    if least > most or least > high or most < low:
        text = f"economic limits {least:g} .. {most:g} MW leave nothing of {low:g} .. {high:g}; not used"
        finder.error("unit.economic", unit, text, "minEconomicP, maxEconomicP")
        return math.nan, math.nan
    return least, most


def _state_of_charge(finder: Finder, unit: str) -> tuple[float, float, float]:
    """(Lowest, highest, reference) state of charge, %."""
    model = finder.model
    names = ("sc:GeneratingUnit.socMinimum", "sc:GeneratingUnit.socMaximum", "sc:GeneratingUnit.socReference")
    low, high, reference = (model.number(unit, name) for name in names)
    bounds = (0.0 if math.isnan(low) else low, 100.0 if math.isnan(high) else high)
    wanted = reference if not math.isnan(reference) else sum(bounds) / 2
    if 0.0 <= bounds[0] < bounds[1] <= 100.0 and bounds[0] <= wanted <= bounds[1]:
        return low, high, reference
    text = f"state of charge {bounds[0]:g} .. {bounds[1]:g} %, reference {wanted:g}: not used"
    finder.error("unit.state-of-charge", unit, text, "0 to 100 %, the reference between the two limits")
    return math.nan, math.nan, math.nan


def _efficiency(finder: Finder, unit: str) -> float:
    value = finder.model.number(unit, "sc:GeneratingUnit.efficiency")
    if math.isnan(value) or 0.0 < value <= 1.0:
        return value
    finder.error("unit.efficiency", unit, f"efficiency {value:g} is not above 0 and at most 1", "one way, per unit")
    return math.nan


def _positive(finder: Finder, mrid: str, prop: str, default: float) -> float:
    value = finder.model.number(mrid, prop, default)
    if math.isnan(value) or value > 0:
        return value
    finder.error("unit.positive", mrid, f"{prop} is {value:g}; not used", "above 0", prop=prop)
    return default


def _word(finder: Finder, mrid: str, prop: str, words: Sequence[str]) -> str:
    """One of some words; the first where none is given. A wrong one is told by the profile's own rule, sc.value."""
    text = finder.model.text(mrid, prop) or words[0]
    return text if text in words else words[0]


def _forbidden(finder: Finder, unit: str) -> tuple[ForbiddenZone, ...]:
    zones: list[ForbiddenZone] = []
    for zone in finder.model.refs_to(unit, "sc:ForbiddenZone.GeneratingUnit"):
        low = finder.model.number(zone, "sc:ForbiddenZone.lowP")
        high = finder.model.number(zone, "sc:ForbiddenZone.highP")
        permitted = _positive(finder, zone, "sc:ForbiddenZone.permittedTime", math.inf)
        if low < high:
            zones.append(ForbiddenZone(low, high, permitted))
        else:
            finder.error("unit.forbidden-zone", zone, "forbidden zone: lowP is not below highP", "correct the values")
    return tuple(sorted(zones))


# ---------------------------------------------------------------- members of a plant


def _members(finder: Finder, plant: str) -> tuple[PlantMember, ...]:
    model = finder.model
    found = []
    for member in model.refs_to(plant, "sc:PlantMember.Plant"):
        resource = model.ref(member, "sc:PlantMember.Resource")
        plants = {model.ref(other, "sc:PlantMember.Plant") for other in model.refs_to(resource or "", "sc:PlantMember.Resource")}
        if resource and len(plants) > 1:
            text = f"{model.name(resource)} is a member of {len(plants)} plants: left out of each"
            finder.error("member.twice", member, text, "a machine stands behind one plant controller")
            continue
        one = _member(finder, member, resource)
        if one is not None:
            found.append(one)
    if found and all(one.benchmark for one in found):
        finder.warn("member.benchmark", plant, "every member of the plant is a benchmark: nothing is left to curtail")
    return tuple(found)


def _member(finder: Finder, member: str, resource: str | None) -> PlantMember | None:
    model = finder.model
    own = resource or member
    resources = [member, *(finder.resources_of(resource) if resource else [])]
    power = finder.pid(resources, "ThreePhaseActivePower")
    low = _first(
        finder, (member, "sc:PlantMember.minimumP"), (own, "GeneratingUnit.minOperatingP"), (own, "PowerElectronicsUnit.minP")
    )
    high = _first(
        finder, (member, "sc:PlantMember.maximumP"), (own, "GeneratingUnit.maxOperatingP"), (own, "PowerElectronicsUnit.maxP")
    )
    low = 0.0 if math.isnan(low) else low
    if power is None or not low < high:
        missing = "measured power" if power is None else f"range of power ({low:g} .. {high:g} MW)"
        finder.error("member.incomplete", member, f"member of a plant has no {missing}; left out", "sc:PlantMember")
        return None
    setpoint = finder.setpoint(resources, "ActivePower")
    return PlantMember(
        name=model.name(member) or model.name(own),
        mrid=own,
        kind=model.text(member, "sc:PlantMember.kind") or FUELS.get(model.class_of(own), "pv"),
        power=power,
        minimum=low,
        maximum=high,
        ramp=_positive(finder, member, "sc:PlantMember.rampRate", math.nan),
        setpoint=-1 if setpoint is None else setpoint.cid,
        running=finder.pid(resources, "UnitRunning"),
        remote=finder.pid(resources, "AgcRemote"),
        benchmark=model.truth(member, "sc:PlantMember.benchmark"),
        state_of_charge=finder.pid(resources, "StateOfCharge"),
        energy_mwh=_first(finder, (member, "sc:PlantMember.energyCapacity"), (own, "BatteryUnit.ratedE"), default=0.0),
    )


def _first(finder: Finder, *places: tuple[str, str], default: float = math.nan) -> float:
    """The first of these properties that is given."""
    given = (finder.model.number(mrid, prop) for mrid, prop in places)
    return next((value for value in given if not math.isnan(value)), default)
