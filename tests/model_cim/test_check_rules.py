"""Each rule finds what it is for in a grid with that one fault, at the object that has it, and nothing in the good grid."""

from __future__ import annotations

import numpy as np
import pytest

from scada.model_cim.check import CheckSettings, check_model
from scada.model_cim.findings import Severity
from scada.model_cim.reader import ModelReader
from scada.model_cim.rules.catalogue import CHECKS, RULES
from scada.model_cim.rules.every import load_rules
from scada.model_cim.rules.islands import live_nodes
from scada.model_cim.rules.view import View
from scada.model_cim.schema import load_schema
from scada.model_cim.topology import Topology
from tests.model_cim.check_grid import as_xml, grid

load_rules()
RANK = [Severity.FATAL, Severity.ERROR, Severity.WARNING, Severity.INFO]

LINES = {
    f"x{n}": {"class": "ACLineSegment", "Conductor.length": 1, "ACLineSegment.x": 5, "ACLineSegment.r": 1} for n in range(25)
}
CURVE = {
    "rcc": {"class": "ReactiveCapabilityCurve"},
    "cd1": {"class": "CurveData", "CurveData.Curve": "#rcc", "CurveData.xvalue": 1},
}
CASES = [
    ("schema.class", {"odd": {"class": "Flux"}}, "odd"),
    ("schema.property-class", {"cb": {"ACLineSegment.r": 1}}, "cb"),
    ("schema.kind", {"l1": {"Equipment.EquipmentContainer": "ln"}}, "l1"),
    ("schema.kind", {"l1": {"ACLineSegment.gch": "#ln"}}, "l1"),
    ("schema.datatype", {"l1": {"ACLineSegment.gch": "much"}}, "l1"),
    ("schema.datatype", {"l1": {"ACLineSegment.gch": "1_0"}}, "l1"),
    ("schema.datatype", {"cb": {"Switch.retained": "maybe"}}, "cb"),
    ("schema.datatype", {"rtc": {"TapChanger.normalStep": "9.5"}}, "rtc"),
    ("schema.enum", {"g1": {"SynchronousMachine.type": "@SynchronousMachineKind.perpetuum"}}, "g1"),
    ("ref.class", {"l1-1": {"Terminal.ConnectivityNode": "#s1"}}, "l1-1"),
    ("ref.inverse", {"l1": {"ConductingEquipment.Terminals": "#l1-1"}}, "l1"),
    ("schema.required", {"l1": {"ACLineSegment.bch": None}}, "l1"),
    ("schema.repeated", {"l1": {"ACLineSegment.gch": [0, 0]}}, "l1"),
    ("schema.range", {"l1": {"Conductor.length": -3}}, "l1"),
    ("schema.pair", {"g1": {"SynchronousMachine.minQ": 90}}, "g1"),
    ("schema.length", {"bp": {"class": "BoundaryPoint", "BoundaryPoint.fromEndIsoCode": "CHN"}}, "bp"),
    ("schema.values", {"dt": {"class": "DayType", "IdentifiedObject.name": "Someday"}}, "dt"),
    (
        "schema.count",
        {"cb-3": {"class": "Terminal", "Terminal.ConductingEquipment": "#cb", "Terminal.ConnectivityNode": "#n1"}},
        "cb",
    ),
    ("schema.container", {"bb": {"Equipment.EquipmentContainer": "#s1"}}, "bb"),
    ("orphan.object", {"rtc": {"RatioTapChanger.TransformerEnd": None}}, "rtc"),
    ("orphan.object", {"p-s": {"RemoteSource.MeasurementValue": None}}, "p-s"),
    ("orphan.limits", {"ls3": {"class": "OperationalLimitSet", "OperationalLimitSet.Terminal": "#l1-2"}}, "ls3"),
    ("terminal.equipment", {"l1-1": {"Terminal.ConductingEquipment": None}}, "l1-1"),
    ("terminal.node", {"ld-1": {"Terminal.ConnectivityNode": None}}, "ld-1"),
    ("terminal.sequence", {"cb-2": {"ACDCTerminal.sequenceNumber": 4}}, "cb-2"),
    ("terminal.same-node", {"cb-2": {"Terminal.ConnectivityNode": "#n1"}}, "cb"),
    ("equipment.terminals", {"l1-2": None}, "l1"),
    ("node.unused", {"n9": {"class": "ConnectivityNode", "ConnectivityNode.ConnectivityNodeContainer": "#v1"}}, "n9"),
    ("node.container", {"n4": {"ConnectivityNode.ConnectivityNodeContainer": None}}, "n4"),
    ("level.base-voltage", {"v3": {"VoltageLevel.BaseVoltage": None}}, "v3"),
    ("measurement.terminal", {"pl": {"Measurement.Terminal": "#cb-1"}}, "pl"),
    ("switch.levels", {"cb-2": {"Terminal.ConnectivityNode": "#n4"}}, "cb"),
    ("switch.levels", {"cb-2": {"Terminal.ConnectivityNode": "#n3"}}, "cb"),
    ("station.count", {"v1": {"VoltageLevel.Substation": "#s2"}, "s1": None}, "s2"),
    ("region.count", {"gr2": {"class": "GeographicalRegion"}}, "gr2"),
    ("line.voltages", {"l1-2": {"Terminal.ConnectivityNode": "#n4"}}, "l1"),
    ("line.impedance-zero", {"l1": {"ACLineSegment.r": 0, "ACLineSegment.x": 0}}, "l1"),
    ("line.negative", {"l1": {"ACLineSegment.bch": -1e-5}}, "l1"),
    ("line.per-km", {"l1": {"Conductor.length": 2}}, "l1"),
    ("line.per-km", {"l1": {"Conductor.length": 20000}}, "l1"),
    ("line.placeholder-length", LINES, "x0"),
    ("line.ratio", {"l1": {"ACLineSegment.r": 12}}, "l1"),
    ("line.per-unit", {"l1": {"ACLineSegment.x": 40000}}, "l1"),
    ("voltage.nominal", {"bv20": {"BaseVoltage.nominalVoltage": 20000}}, "bv20"),
    ("voltage.nominal", {"bv20": {"BaseVoltage.nominalVoltage": 0}}, "bv20"),
    ("level.limits", {"v2": {"VoltageLevel.lowVoltageLimit": 130}}, "v2"),
    ("level.limits", {"v2": {"VoltageLevel.highVoltageLimit": 1210}}, "v2"),
    ("transformer.ends", {"e2": None}, "t1"),
    ("transformer.ends", {"e2": {"TransformerEnd.Terminal": "#t2-2"}}, "e2"),
    ("transformer.end-number", {"e2": {"TransformerEnd.endNumber": 1}}, "e2"),
    ("transformer.rated-order", {"e2": {"PowerTransformerEnd.ratedU": 115}}, "e2"),
    ("transformer.rated-power", {"e2": {"PowerTransformerEnd.ratedS": 63}}, "e2"),
    ("transformer.base-voltage", {"e1": {"PowerTransformerEnd.ratedU": 220}}, "e1"),
    ("transformer.end-base", {"e2": {"TransformerEnd.BaseVoltage": "#bv110"}}, "e2"),
    ("transformer.base-unused", {"t1": {"ConductingEquipment.BaseVoltage": "#bv110"}}, "t1"),
    ("transformer.reactance", {"e1": {"PowerTransformerEnd.x": 0}}, "t1"),
    ("transformer.reactance", {"e1": {"PowerTransformerEnd.x": -30}}, "t1"),
    ("transformer.resistance", {"e1": {"PowerTransformerEnd.r": -1}}, "e1"),
    ("transformer.second-winding", {"e2": {"PowerTransformerEnd.x": 1}}, "e2"),
    ("transformer.short-circuit", {"e1": {"PowerTransformerEnd.x": 3000}}, "e1"),
    ("tap.neutral-voltage", {"rtc": {"TapChanger.neutralU": 121}}, "rtc"),
    ("tap.step", {"rtc": {"TapChanger.step": 18}}, "rtc"),
    ("tap.range", {"rtc": {"RatioTapChanger.stepVoltageIncrement": 15}}, "rtc"),
    ("tap.control-flag", {"rtc": {"TapChanger.ltcFlag": "false"}}, "rtc"),
    ("tap.winding-angle", {"ptc": {"PhaseTapChangerAsymmetrical.windingConnectionAngle": 45}}, "ptc"),
    ("tap.phase-reactance", {"ptc": {"PhaseTapChangerNonLinear.xMax": 20}}, "ptc"),
    ("tap.phase-reactance", {"ptc": {"PhaseTapChangerNonLinear.xMin": 40}}, "ptc"),
    ("machine.no-reactive-range", {"g1": {"SynchronousMachine.minQ": 0, "SynchronousMachine.maxQ": 0}}, "g1"),
    ("machine.active-power", {"g1": {"RotatingMachine.p": -45}}, "g1"),
    ("machine.reactive-power", {"g1": {"RotatingMachine.q": -45}}, "g1"),
    ("machine.operating-mode", {"g1": {"SynchronousMachine.operatingMode": "@SynchronousMachineOperatingMode.motor"}}, "g1"),
    ("machine.unit", {"g1": {"RotatingMachine.GeneratingUnit": None}}, "g1"),
    ("unit.rated-power", {"u1": {"GeneratingUnit.maxOperatingP": 90}}, "u1"),
    ("unit.nominal-power", {"u1": {"GeneratingUnit.nominalP": 0}}, "u1"),
    ("unit.type", {"u1": {"GeneratingUnit.minOperatingP": -5}}, "g1"),
    (
        "unit.hydro-type",
        {"u1": {"HydroGeneratingUnit.energyConversionCapability": "@HydroEnergyConversionKind.pumpAndGenerator"}},
        "g1",
    ),
    (
        "area.unit-twice",
        {
            "cu2": {
                "class": "ControlAreaGeneratingUnit",
                "ControlAreaGeneratingUnit.ControlArea": "#ca",
                "ControlAreaGeneratingUnit.GeneratingUnit": "#u1",
            }
        },
        "cu2",
    ),
    ("curve.points", CURVE, "rcc"),
    ("curve.points", {**CURVE, "cd1": {**CURVE["cd1"], "CurveData.y1value": 5, "CurveData.y2value": 1}}, "cd1"),
    ("curve.points", {**CURVE, "cd2": CURVE["cd1"]}, "cd2"),
    ("shunt.sections", {"sh": {"ShuntCompensator.sections": 5}}, "sh"),
    ("shunt.nominal-voltage", {"sh": {"ShuntCompensator.nomU": 10}}, "sh"),
    ("shunt.susceptance", {"sh": {"LinearShuntCompensator.bPerSection": 0}}, "sh"),
    ("shunt.points", {"sh": {"class": "NonlinearShuntCompensator"}}, "sh"),
    (
        "injection.limits",
        {
            "x": {
                "class": "ExternalNetworkInjection",
                "ExternalNetworkInjection.p": -9,
                "ExternalNetworkInjection.minP": 0,
                "ExternalNetworkInjection.maxP": 5,
            }
        },
        "x",
    ),
    ("load.response", {"lr": {"LoadResponseCharacteristic.pConstantPower": 0.9}}, "lr"),
    ("regulation.mode", {"tcc": {"RegulatingControl.mode": "@RegulatingControlModeKind.activePower"}}, "rtc"),
    ("regulation.terminal", {"tcc": {"RegulatingControl.Terminal": None}}, "tcc"),
    ("regulation.target", {"tcc": {"RegulatingControl.targetValue": 110}}, "tcc"),
    ("regulation.target", {"rc": {"RegulatingControl.targetValue": -9999}}, "rc"),
    ("regulation.deadband", {"tcc": {"RegulatingControl.targetDeadband": 9}}, "tcc"),
    ("regulation.deadband", {"tcc": {"RegulatingControl.targetDeadband": 0}}, "tcc"),
    ("regulation.step", {"rtc": {"TapChanger.step": 8.5}}, "rtc"),
    ("regulation.idle", {"tcc": {"RegulatingControl.enabled": "false"}}, "rtc"),
    ("rating.zero", {"c1": {"CurrentLimit.normalValue": 0}}, "c1"),
    ("rating.permanent", {"c2": {"OperationalLimit.OperationalLimitType": "#patl"}}, "c2"),
    ("rating.order", {"c2": {"CurrentLimit.normalValue": 500}}, "c2"),
    ("rating.voltage", {"c4": {"VoltageLimit.normalValue": 24}}, "c4"),
    ("rating.duration", {"tatl": {"OperationalLimitType.acceptableDuration": None}}, "tatl"),
    ("rating.duration", {"patl": {"OperationalLimitType.acceptableDuration": 60}}, "patl"),
    ("rating.machine", {"c3": {"CurrentLimit.normalValue": 2200}}, "c3"),
    ("island.dead", {"cb": {"Switch.normalOpen": "true"}}, "ld"),
    ("earthing.closed", {"ge": {"Switch.normalOpen": "false"}}, "ge"),
    ("equipment.isolated", {"ld-1": {"Terminal.ConnectivityNode": "#n5"}, "ge-2": None, "gnd-1": None}, "ld"),
    ("grid.balance", {"g1": {"RotatingMachine.p": -35}}, "ld"),
    (
        "sv.voltage",
        {
            "tn": {"class": "TopologicalNode", "TopologicalNode.BaseVoltage": "#bv110"},
            "sv": {"class": "SvVoltage", "SvVoltage.TopologicalNode": "#tn", "SvVoltage.v": 20},
        },
        "sv",
    ),
    ("sv.tap", {"st": {"class": "SvTapStep", "SvTapStep.TapChanger": "#rtc", "SvTapStep.position": 30}}, "st"),
    ("sv.tap-differs", {"st": {"class": "SvTapStep", "SvTapStep.TapChanger": "#ptc", "SvTapStep.position": 4}}, "st"),
    (
        "sv.sections-differ",
        {
            "st": {
                "class": "SvShuntCompensatorSections",
                "SvShuntCompensatorSections.ShuntCompensator": "#sh",
                "SvShuntCompensatorSections.sections": 3,
            }
        },
        "st",
    ),
    ("point.type", {"pos-s": {"sc:RemotePoint.typeId": 30}, "pos": {"sc:Discrete.kind": "double"}}, "pos-v"),
    ("point.common-address", {"p-s": {"sc:RemotePoint.commonAddress": 65535}}, "p-v"),
    ("point.scale", {"p-s": {"sc:RemotePoint.scale": 0}}, "p-v"),
    ("point.deadband", {"p-s": {"RemoteSource.deadband": -1}}, "p-v"),
    ("point.deadband", {"p-s": {"RemoteSource.deadband": 40}}, "p-v"),
    ("point.range", {"p": {"Analog.minValue": 60}}, "p-v"),
    ("limit.range", {"al1": {"AnalogLimit.value": 180}}, "u-v"),
    ("point.no-normal-state", {"pos": {"sc:Measurement.normalState": None}}, "pos-v"),
    ("point.no-alarm-class", {"pos": {"sc:Measurement.alarmClass": None}}, "pos"),
    ("point.normal-state", {"pos": {"sc:Measurement.normalState": 7}}, "pos-v"),
    ("measurement.type", {"p": {"Measurement.measurementType": "Courage"}}, "p-v"),
    ("measurement.unit", {"u": {"Measurement.unitSymbol": "@UnitSymbol.W"}}, "u-v"),
    ("switch.point", {"posg": None, "posg-v": None, "posg-s": None}, "ge"),
    ("channel.empty", {"ch2": {"class": "RemoteUnit", "sc:RemoteUnit.protocol": "iec104", "sc:RemoteUnit.port": 2405}}, "ch2"),
    (
        "channel.same-link",
        {
            "ch2": {
                "class": "RemoteUnit",
                "sc:RemoteUnit.protocol": "iec104",
                "sc:RemoteUnit.host": "10.0.0.1",
                "sc:RemoteUnit.port": 2404,
            }
        },
        "ch2",
    ),
    ("control.type", {"cmd-r": {"sc:RemotePoint.typeId": 45}, "cmd": {"sc:Control.kind": "double"}}, "cmd"),
    ("control.range", {"set": {"AnalogControl.maxValue": None}}, "set"),
    ("control.range", {"set": {"AnalogControl.maxValue": 5}}, "set"),
    ("control.select", {"cmd": {"sc:Control.select": "false"}}, "cmd"),
    ("control.feedback-kind", {"set": {"AnalogControl.AnalogValue": None, "sc:Control.feedback": "#pos-v"}}, "set"),
    ("control.feedback-kind", {"cmd": {"Command.DiscreteValue": "#posg-v"}}, "cmd"),
    ("control.timeout", {"cmd": {"sc:Control.feedbackTimeout": 3600}}, "cmd"),
    ("unit.remote", {"remote": {"Measurement.measurementType": "LocalControl"}}, "u1"),
    ("unit.participation", {"u1": {"GeneratingUnit.normalPF": 0}}, "ca"),
    ("unit.participation", {"u1": {"GeneratingUnit.normalPF": -1}}, "u1"),
    ("unit.setpoint-range", {"set": {"AnalogControl.maxValue": 30}}, "u1"),
    ("unit.modes", {"u1": {"sc:GeneratingUnit.baseMode": "MANUAL"}}, "u1"),
    ("area.empty", {"cu": None, "au": None}, "ca"),
    ("avc.range", {"rc": {"sc:RegulatingControl.maximumValue": 100}}, "bb"),
    ("avc.remote", {"avcr": {"Measurement.measurementType": "LocalControl"}}, "g1"),
]


@pytest.fixture
def findings(tmp_path):
    def check(changes=None, **more):
        (tmp_path / "EQ.xml").write_text(as_xml(grid(changes)), encoding="utf-8")
        return check_model(ModelReader(tmp_path).read(), settings=CheckSettings(**more))

    return check


def test_the_good_grid_breaks_no_rule(findings):
    assert [str(one) for one in findings()] == []


@pytest.mark.parametrize(("rule", "changes", "mrid"), CASES, ids=[f"{number}-{case[0]}" for number, case in enumerate(CASES)])
def test_a_fault_is_found_where_it_is(findings, tmp_path, rule, changes, mrid):
    found = findings(changes, shown=0)
    assert not [one for one in found if one.rule == "check.failed"]
    mine = [one for one in found if one.rule == rule and one.mrid == mrid]
    assert mine, [str(one) for one in found]
    assert all(RANK.index(one.severity) >= RANK.index(RULES[one.rule].severity) for one in found), "a title tells the worst"
    lines = (tmp_path / "EQ.xml").read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines, 1) if f'rdf:ID="_{mrid}"' in line)
    end = next(number for number in range(start, len(lines)) if lines[number].startswith("</"))
    assert all(start <= one.line <= end for one in mine), "the finding stands at the object or one of its properties"


def test_every_rule_that_looks_at_a_model_has_a_case():
    looked_for = {id_ for id_, _ in CHECKS} | {id_ for id_ in RULES if id_.startswith("schema.")}
    assert looked_for - {case[0] for case in CASES} == {"schema.contradiction"}


def test_two_files_that_contradict_each_other(tmp_path):
    objects = grid()
    (tmp_path / "EQ.xml").write_text(as_xml(objects), encoding="utf-8")
    again = {"l1": {"class": "ACLineSegment", "ACLineSegment.r": 3}}
    text = as_xml(again).replace('rdf:ID="_l1"', 'rdf:about="#_l1"')
    (tmp_path / "SSH.xml").write_text(text, encoding="utf-8")
    (found,) = [one for one in check_model(ModelReader(tmp_path).read()) if one.rule == "schema.contradiction"]
    assert (found.mrid, found.standard) == ("l1", "eq:ACLineSegment.r-cardinality")
    assert "'2' in one file and '3' in another" in found.text


def test_the_same_value_in_two_files_is_how_profiles_are(tmp_path):
    (tmp_path / "EQ.xml").write_text(as_xml(grid()), encoding="utf-8")
    again = as_xml({"l1": {"class": "ACLineSegment"}}).replace('rdf:ID="_l1"', 'rdf:about="#_l1"')
    (tmp_path / "SSH.xml").write_text(again, encoding="utf-8")
    assert check_model(ModelReader(tmp_path).read()) == []


def test_line_between_380_and_400_kv_is_only_told(findings):
    found = findings(
        {"bv400": {"class": "BaseVoltage", "BaseVoltage.nominalVoltage": 115}, "v2": {"VoltageLevel.BaseVoltage": "#bv400"}}
    )
    (line,) = [one for one in found if one.rule == "line.voltages"]
    assert (line.severity, line.standard) == ("info", "C:600:EQ:ACLineSegment:BaseVoltageDiff")


def test_rules_without_a_declared_profile_ask_for_nothing_that_is_missing(tmp_path):
    objects = grid({"l1": {"ACLineSegment.bch": None}})
    (tmp_path / "EQ.xml").write_text(as_xml(objects, profile="urn:other"), encoding="utf-8")
    assert "schema.required" not in {one.rule for one in check_model(ModelReader(tmp_path).read())}


def test_a_rule_that_fails_is_a_finding_and_the_others_still_run(findings, monkeypatch):
    def broken(view):
        raise ZeroDivisionError("three")
        yield

    monkeypatch.setattr("scada.model_cim.check.CHECKS", [("line.negative", broken), *CHECKS])
    found = findings({"l1": {"ACLineSegment.r": -1}})
    assert {"check.failed", "line.negative"} <= {one.rule for one in found}


@pytest.mark.parametrize("name", ["mini_cgmes3.zip", "small_nb_cim16.zip", "svedala_relicap_cgmes3.zip", "micro_cgmes3.zip"])
def test_what_a_source_reaches_is_what_the_topology_says(public_models, name):
    model = ModelReader(public_models / name).read()
    view = View(model, None, load_schema("3.0"), frozenset())
    live = live_nodes(view)
    topology = Topology(model)
    rows = np.array([view.row(mrid) for mrid in topology.switches], np.int32)
    state = topology.process(view.truths(rows, "Switch.normalOpen", default=False), np.ones(len(topology.earthing), np.bool_))
    theirs = {mrid for mrid, bus in zip(topology.nodes, state.bus_of_node, strict=True) if state.energised[bus]}
    ours = {mrid for mrid in topology.nodes if live[view.row(mrid)]}
    assert ours == theirs
    assert theirs
