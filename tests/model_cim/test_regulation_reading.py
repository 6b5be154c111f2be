"""What AGC and AVC regulate, read from CIM and the SC profile: the demo grid, and damage to one thing at a time."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from scada.apps.agc_avc.agc.modes import BASE_MODES
from scada.model_cim.points import load_model
from scada.model_cim.regulation import AgcUnit, ControlArea, DiscreteDevice, PilotNode, ReactiveSource
from scada.model_cim.sc_profile import sc_profile

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#"
 xmlns:sc="urn:scada-ems:sc:1#">
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Folder of a model with one area, three units and nothing else; a test adds to it and changes what it likes."""
    return tmp_path_factory.mktemp("small")


def analog(name, resource, kind="ThreePhaseActivePower"):
    return f"""<cim:Analog rdf:ID="_{name}"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
<cim:Measurement.measurementType>{kind}</cim:Measurement.measurementType>
<cim:Measurement.PowerSystemResource rdf:resource="#_{resource}"/></cim:Analog>
<cim:AnalogValue rdf:ID="_{name}V"><cim:AnalogValue.Analog rdf:resource="#_{name}"/>
<sc:MeasurementValue.expression>1</sc:MeasurementValue.expression></cim:AnalogValue>
"""


def control(name, resource, kind="SetPoint", type_id=50):
    return f"""<cim:{kind} rdf:ID="_{name}"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
<cim:Control.controlType>ActivePower</cim:Control.controlType>
<cim:Control.PowerSystemResource rdf:resource="#_{resource}"/></cim:{kind}>
<cim:RemoteControl rdf:ID="_{name}R"><cim:RemoteControl.Control rdf:resource="#_{name}"/>
<cim:RemotePoint.RemoteUnit rdf:resource="#_rtu"/><sc:RemotePoint.ioa>{100 + len(name) + ord(name[-1])}</sc:RemotePoint.ioa>
<sc:RemotePoint.typeId>{type_id}</sc:RemotePoint.typeId></cim:RemoteControl>
"""


def unit(name, *properties, order="SetPoint"):
    """A unit of area A with measured power and an order; ``properties`` are XML."""
    return f"""<cim:ThermalGeneratingUnit rdf:ID="_{name}"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
<cim:GeneratingUnit.minOperatingP>20</cim:GeneratingUnit.minOperatingP>
<cim:GeneratingUnit.maxOperatingP>100</cim:GeneratingUnit.maxOperatingP>
<cim:GeneratingUnit.raiseRampRate>5</cim:GeneratingUnit.raiseRampRate>
{"".join(properties)}</cim:ThermalGeneratingUnit>
<cim:ControlAreaGeneratingUnit rdf:ID="_m{name}"><cim:ControlAreaGeneratingUnit.ControlArea rdf:resource="#_A"/>
<cim:ControlAreaGeneratingUnit.GeneratingUnit rdf:resource="#_{name}"/></cim:ControlAreaGeneratingUnit>
<cim:AltGeneratingUnitMeas rdf:ID="_a{name}">
<cim:AltGeneratingUnitMeas.ControlAreaGeneratingUnit rdf:resource="#_m{name}"/>
<cim:AltGeneratingUnitMeas.AnalogValue rdf:resource="#_P{name}V"/></cim:AltGeneratingUnitMeas>
{analog(f"P{name}", name)}{control(f"S{name}", name, order, 47 if order == "RaiseLowerCommand" else 50) if order else ""}"""


def read(folder, *parts):
    area = """<cim:RemoteUnit rdf:ID="_rtu"><cim:IdentifiedObject.name>rtu</cim:IdentifiedObject.name>
<sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.port>2404</sc:RemoteUnit.port>
<sc:RemoteUnit.commonAddress>1</sc:RemoteUnit.commonAddress></cim:RemoteUnit>
<cim:ControlArea rdf:ID="_A"><cim:IdentifiedObject.name>A</cim:IdentifiedObject.name>
<sc:ControlArea.controlled>true</sc:ControlArea.controlled><sc:ControlArea.frequencyBias>-20</sc:ControlArea.frequencyBias>
</cim:ControlArea>"""
    (folder / "model.xml").write_text(HEAD + area + "".join(parts) + "</rdf:RDF>")
    _, tables, findings = load_model(folder)
    return tables, {finding.rule for finding in findings}


def group(name, parent="", low=0, high=50):
    above = f'<sc:RegulationGroup.Parent rdf:resource="#_{parent}"/>' if parent else ""
    return f"""<sc:RegulationGroup rdf:ID="_{name}"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
<sc:RegulationGroup.ControlArea rdf:resource="#_A"/>{above}<sc:RegulationGroup.minimumP>{low}</sc:RegulationGroup.minimumP>
<sc:RegulationGroup.maximumP>{high}</sc:RegulationGroup.maximumP></sc:RegulationGroup>"""


def curve(kind, owner, *rows, link="GenUnitOpCostCurve.GeneratingUnit"):
    points = "".join(
        f'<cim:CurveData rdf:ID="_c{number}"><cim:CurveData.Curve rdf:resource="#_curve"/>'
        f"<cim:CurveData.xvalue>{x}</cim:CurveData.xvalue>"
        f"<cim:CurveData.y1value>{y}</cim:CurveData.y1value></cim:CurveData>"
        for number, (x, y) in enumerate(rows)
    )
    return f'<cim:{kind} rdf:ID="_curve"><cim:{link} rdf:resource="#_{owner}"/></cim:{kind}>{points}'


IN_GROUP = '<sc:GeneratingUnit.RegulationGroup rdf:resource="#_{}"/>'


def test_the_demo_grid_shows_what_regulation_knows(demo):
    _, tables, _ = demo
    east = tables.areas[0]
    by_name = {unit.name: unit for unit in east.units}
    [section] = east.groups
    assert (section.name, section.minimum, section.maximum) == ("Heishan section", 200.0, 440.0)
    assert [unit.name for unit in east.units if unit.group == section.mrid] == ["G1", "G2"]
    assert [tables.points[pid].path for pid in east.interchange_meter] == ["East/Interchange at the far ends"]
    blocks = by_name["PV1"].members
    assert [(one.name, one.kind, one.maximum, one.benchmark) for one in blocks] == [
        (f"Block {number}", "pv", 15.0, number == 1) for number in range(1, 5)
    ]
    assert all(tables.points[one.power].path == f"Qingyuan/35kV/PV1/{one.name} P" for one in blocks)
    assert {one.power for one in blocks} <= set(east.points)
    storage = by_name["B1"]
    assert (storage.soc_minimum, storage.soc_maximum, storage.soc_reference, storage.efficiency) == (10.0, 90.0, 50.0, 0.95)
    # a + b P + c P² over a piece has the slope b + c (low + high), at its middle b + 2 c P
    for name, b, c in (("G1", 29.0, 0.012), ("G2", 31.0, 0.02)):
        rows = by_name[name].cost_curve
        assert len(rows) == 4
        assert all(cost == pytest.approx(b + 2 * c * mw, abs=1e-3) for mw, cost in rows)
    sources = {source.name: source for zone in tables.zones for source in zone.sources}
    assert sources["G1"].capability == ((100.0, -80.0, 130.0), (180.0, -70.0, 120.0), (240.0, -50.0, 95.0))
    assert (sources["G1"].kind, sources["PV1"].kind, sources["B1"].kind) == ("machine", "inverter", "inverter")
    assert sources["PV1"].rated_mva > 60.0
    plants = {plant.mrid: (plant.name, plant.share) for zone in tables.zones for plant in zone.plants}
    assert plants[sources["G2"].plant] == ("Heishan", "margin")
    assert plants[sources["W1"].plant] == ("Fenghe", "capacity")
    taps = [device for zone in tables.zones for device in zone.devices if device.parallel]
    assert len(taps) == 2
    assert len({(device.pilot, device.parallel) for device in taps}) == 1


def test_every_field_can_be_told_by_a_model(demo):
    """A field that only its default ever fills is one the reader forgot."""
    import ast
    from pathlib import Path

    import scada.model_cim.applications as package

    named: set[str] = set()
    for path in Path(package.__file__).parent.glob("*.py"):
        named |= {node.arg for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.keyword) and node.arg}
    for table in (AgcUnit, ControlArea, DiscreteDevice, PilotNode, ReactiveSource):
        assert {field.name for field in fields(table)} <= named, table.__name__


def test_the_profile_has_the_modes_that_agc_has():
    assert set(BASE_MODES) <= set(sc_profile().enumerations["BaseMode"])


def test_groups_in_a_circle_are_cut_open_and_told(small):
    parts = (group("a", "b"), group("b", "c"), group("c", "a"), group("d", "a"), unit("u", IN_GROUP.format("d")))
    tables, rules = read(small, *parts)
    assert "group.cycle" in rules
    parents = {one.mrid: one.parent for one in tables.areas[0].groups}
    for start in parents:
        way, at = [], start
        while at:
            assert at not in way
            way.append(at)
            at = parents[at]
    assert parents["d"] == "a"


def test_a_group_with_reversed_limits_is_none_and_a_foreign_one_takes_its_units_along(small):
    other = '<cim:ControlArea rdf:ID="_B"/>' + group("x").replace('"#_A"', '"#_B"')
    units = unit("u", IN_GROUP.format("a")), unit("v", IN_GROUP.format("x"))
    tables, rules = read(small, group("a", low=60, high=50), other, *units)
    assert {"group.limits", "group.unit"} <= rules
    assert tables.areas[0].groups[0].maximum == math.inf
    assert [one.name for one in tables.areas[0].units] == ["u"]


def test_a_unit_moved_by_pulses_has_the_command_and_its_effect(small):
    mode = '<cim:GeneratingUnit.genControlMode rdf:resource="http://iec.ch/TC57/CIM100#GeneratorControlMode.pulse"/>'
    rate = "<cim:GeneratingUnit.controlResponseRate>0.5</cim:GeneratingUnit.controlResponseRate>"
    shortest = "<cim:GeneratingUnit.controlPulseLow>0.8</cim:GeneratingUnit.controlPulseLow>"
    tables, rules = read(small, unit("u", mode, rate, shortest, order="RaiseLowerCommand"))
    [one] = tables.areas[0].units
    assert (one.setpoint, one.pulse_mw) == (-1, pytest.approx(0.4))
    assert tables.controls[one.raise_lower].name == "Su"
    assert one.controls == (one.raise_lower,)
    assert "unit.pulse" not in rules
    tables, rules = read(small, unit("u", mode, rate, order="RaiseLowerCommand"))
    assert "unit.pulse" in rules
    assert math.isnan(tables.areas[0].units[0].pulse_mw)
    tables, rules = read(small, unit("u", mode))
    assert "unit.pulse" in rules
    assert tables.areas[0].units == []


@pytest.mark.parametrize(
    ("parts", "curve_is", "rule"),
    [
        ((curve("GenUnitOpCostCurve", "u", (20, 500), (60, 1700), (100, 3300)),), ((40.0, 30.0), (80.0, 40.0)), None),
        ((curve("GenUnitOpCostCurve", "u", (20, 500), (60, 2100), (100, 3300)),), (), "unit.cost-curve"),
        ((curve("GenUnitOpCostCurve", "u", (20, 500), (20, 600)),), (), "curve.unusable"),
        ((curve("GenUnitOpCostCurve", "u", (20, 500)),), (), "curve.unusable"),
    ],
)
def test_the_cost_curve_is_its_slopes_or_nothing(small, parts, curve_is, rule):
    tables, rules = read(small, unit("u"), *parts)
    assert tables.areas[0].units[0].cost_curve == curve_is
    assert {found for found in rules if found.startswith(("unit.cost", "curve"))} == ({rule} if rule else set())


def test_a_heat_rate_counts_times_the_cheapest_fuel(small):
    rows = ((20, 9.0), (100, 10.0))
    heat = curve("IncrementalHeatRateCurve", "u", *rows, link="IncrementalHeatRateCurve.ThermalGeneratingUnit")
    fuels = "".join(
        f'<cim:FossilFuel rdf:ID="_f{price}"><cim:FossilFuel.ThermalGeneratingUnit rdf:resource="#_u"/>'
        f"<cim:FossilFuel.fuelCost>{price}</cim:FossilFuel.fuelCost></cim:FossilFuel>"
        for price in (3.5, 3.0)
    )
    assert read(small, unit("u"), heat, fuels)[0].areas[0].units[0].cost_curve == ((20.0, 27.0), (100.0, 30.0))
    tables, rules = read(small, unit("u"), heat)
    assert tables.areas[0].units[0].cost_curve == ()
    assert "unit.cost" in rules


def test_a_member_of_two_plants_is_in_neither(small):
    def member(name, plant, resource):
        return f"""<sc:PlantMember rdf:ID="_{name}"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>
<sc:PlantMember.Plant rdf:resource="#_{plant}"/><sc:PlantMember.Resource rdf:resource="#_{resource}"/>
<sc:PlantMember.maximumP>10</sc:PlantMember.maximumP></sc:PlantMember>"""

    inverters = "".join(f'<cim:PhotoVoltaicUnit rdf:ID="_{name}"/>{analog(f"P{name}", name)}' for name in ("i1", "i2"))
    parts = (unit("u"), unit("v"), inverters, member("a", "u", "i1"), member("b", "v", "i1"), member("c", "u", "i2"))
    tables, rules = read(small, *parts)
    assert "member.twice" in rules
    assert [[one.mrid for one in unit.members] for unit in tables.areas[0].units] == [["i2"], []]


@pytest.mark.parametrize(
    ("prop", "value", "rule"),
    [
        ("GeneratingUnit.minEconomicP", "120", "unit.economic"),
        ("sc:GeneratingUnit.socMinimum", "110", "unit.state-of-charge"),
        ("sc:GeneratingUnit.efficiency", "95", "unit.efficiency"),
        ("sc:GeneratingUnit.maximumStep", "-3", "unit.positive"),
    ],
)
def test_a_figure_that_cannot_be_is_told_and_not_used(small, prop, value, rule):
    tag = prop if prop.startswith("sc:") else f"cim:{prop}"
    tables, rules = read(small, unit("u", f"<{tag}>{value}</{tag}>"))
    assert rule in rules
    plain = read(small, unit("u"))[0].areas[0].units[0]
    shown = tables.areas[0].units[0]
    assert repr(shown) == repr(plain)


def test_a_bias_of_the_interconnection_is_at_least_that_of_the_area(small):
    weak = '<cim:ControlArea rdf:about="#_A"><sc:ControlArea.biasSum>-10</sc:ControlArea.biasSum></cim:ControlArea>'
    tables, rules = read(small, unit("u"), weak)
    assert "area.bias-sum" in rules
    assert math.isnan(tables.areas[0].bias_sum)
    tables, _ = read(small, unit("u"), weak.replace("-10", "-80"))
    assert tables.areas[0].bias_sum == -80.0
