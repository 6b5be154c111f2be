"""Laying points over a network: complete, free of collisions, stable, and never a rating the model does not give."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from scada.cli.model import command
from scada.core.errors import ModelError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.findings import has_errors
from scada.model_cim.instrument import Options, instrument
from scada.model_cim.instrument_addresses import Channel
from scada.model_cim.instrument_files import write_files
from scada.model_cim.instrument_references import reference_of
from scada.model_cim.instrument_template import load_template
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.sc_profile import sc_findings
from scada.model_cim.tables import ControlKind, PointKind

CIM = "http://iec.ch/TC57/CIM100#"
MODELS = (
    "maple10_nodebreaker_cim100",
    "micro_bc_assembled_cim16",
    "micro_cgmes3",
    "mini_cgmes3",
    "mini_nb_cim16",
    "mini_nb_with_measurements_cim16",
    "svedala_relicap_cgmes3",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory, demo_path):
    """The demo grid as a network alone."""
    folder = tmp_path_factory.mktemp("bare")
    for name in ("EQ.xml", "SSH.xml"):
        shutil.copyfile(demo_path / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def laid(bare, tmp_path_factory):
    """(its model, what was made, folder with both, tables of it)."""
    model = ModelReader(bare).read()
    done = instrument(model)
    out = tmp_path_factory.mktemp("out") / "model"
    write_files(bare, out, done.additions.files, CIM, "2026-11-21T00:00:00Z")
    tables, findings = build_tables(ModelReader(out).read())
    assert not has_errors(findings), findings[:5]
    return model, done, out, tables


def _addresses(tables):
    return {
        one.mrid: (tables.channels[one.channel].mrid, one.address)
        for one in (*tables.points, *tables.controls)
        if one.channel >= 0
    }


def test_every_switch_has_a_position_and_what_may_be_commanded_a_control(laid):
    model, _, _, tables = laid
    positions = {point.equipment for point in tables.points if point.measurement_type == "SwitchPosition"}
    assert positions == set(model.ids("Switch"))
    commanded = {control.equipment for control in tables.controls if control.control_type == "SwitchPosition"}
    assert commanded == positions - set(model.ids("GroundDisconnector"))
    for control in tables.controls:
        assert control.feedback is not None, control.path
        assert tables.points[control.feedback].equipment == control.equipment, control.path
        if control.kind is ControlKind.DOUBLE:
            assert control.select, control.path


def test_every_point_of_the_field_has_an_address_of_its_own(laid):
    _, _, _, tables = laid
    stations = {point.station for point in tables.points}
    assert stations == {station.name for station in tables.stations}
    assert len({point.path for point in tables.points}) == len(tables.points)
    field = [point for point in tables.points if not point.expression]
    assert all(isinstance(point.address, Iec104Address) for point in field)
    assert len({(point.channel, point.address.ioa) for point in field}) == len(field)
    assert len({(spec.host, spec.port) for spec in tables.channels}) == len(tables.channels) == len(tables.stations)


def test_flows_are_positive_into_equipment_and_out_of_machines(laid):
    model, _, out, tables = laid
    written = ModelReader(out).read()
    machines = set(model.ids("RotatingMachine"))
    flows = [point for point in tables.points if point.measurement_type == "ThreePhaseActivePower"]
    assert flows
    for point in flows:
        measurement = written.ref(point.mrid, "AnalogValue.Analog")
        assert written.truth(measurement, "Analog.positiveFlowIn", default=True) is (point.equipment not in machines), point.path


def test_limits_are_the_ratings_of_the_model_or_none(laid):
    model, done, _, tables = laid
    rated = {}
    for limit in model.ids("CurrentLimit"):
        owner = model.ref(model.ref(limit, "OperationalLimit.OperationalLimitSet"), "OperationalLimitSet.Terminal")
        rated.setdefault(owner, set()).update(
            number for prop in ("value", "normalValue") if (number := model.number(limit, f"CurrentLimit.{prop}", 0)) > 0
        )
    currents = [point for point in tables.points if point.measurement_type == "LineCurrent"]
    for point in currents:
        for number in (point.limits.hi, point.limits.hihi):
            assert math.isnan(number) or number in rated[point.terminal], point.path
    unrated = [point for point in currents if math.isnan(point.limits.hi)]
    told = sum(count for (en, _), count, _ in done.left_out if "PATL" in en and " hi:" in en)
    assert told == len([point for point in unrated if point.terminal not in rated and point.name != "I"])
    bars = [point for point in tables.points if point.measurement_type == "LineToLineVoltage" and point.name == "Uab"]
    assert all(point.limits.lolo < point.limits.lo < point.limits.hi < point.limits.hihi for point in bars)


def _rated(kind, class_name, value, owner, number):
    """An operational limit of its own set at a terminal or equipment."""
    return f"""
<cim:OperationalLimitType rdf:ID="_t{number}">
  <cim:OperationalLimitType.kind rdf:resource="http://iec.ch/TC57/CIM100-European#LimitKind.{kind}"/></cim:OperationalLimitType>
<cim:OperationalLimitSet rdf:ID="_s{number}"><cim:OperationalLimitSet.{owner}/></cim:OperationalLimitSet>
<cim:{class_name} rdf:ID="_l{number}"><cim:{class_name}.value>{value}</cim:{class_name}.value>
  <cim:OperationalLimit.OperationalLimitSet rdf:resource="#_s{number}"/>
  <cim:OperationalLimit.OperationalLimitType rdf:resource="#_t{number}"/></cim:{class_name}>"""


_RATED_GRID = """
<cim:BaseVoltage rdf:ID="_b1"><cim:BaseVoltage.nominalVoltage>220</cim:BaseVoltage.nominalVoltage></cim:BaseVoltage>
<cim:BaseVoltage rdf:ID="_b2"><cim:BaseVoltage.nominalVoltage>110</cim:BaseVoltage.nominalVoltage></cim:BaseVoltage>
<cim:Substation rdf:ID="_S"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:IdentifiedObject.name>220</cim:IdentifiedObject.name>
  <cim:VoltageLevel.Substation rdf:resource="#_S"/><cim:VoltageLevel.BaseVoltage rdf:resource="#_b1"/></cim:VoltageLevel>
<cim:BusbarSection rdf:ID="_bar"><cim:IdentifiedObject.name>I</cim:IdentifiedObject.name>
  <cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:BusbarSection>
<cim:Terminal rdf:ID="_tb"><cim:Terminal.ConductingEquipment rdf:resource="#_bar"/></cim:Terminal>
<cim:ACLineSegment rdf:ID="_line"><cim:IdentifiedObject.name>L</cim:IdentifiedObject.name>
  <cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:ACLineSegment>
<cim:Terminal rdf:ID="_tl"><cim:Terminal.ConductingEquipment rdf:resource="#_line"/></cim:Terminal>
<cim:PowerTransformer rdf:ID="_T"><cim:IdentifiedObject.name>T1</cim:IdentifiedObject.name>
  <cim:Equipment.EquipmentContainer rdf:resource="#_S"/></cim:PowerTransformer>
""" + "".join(
    f"""
<cim:Terminal rdf:ID="_tt{end}"><cim:Terminal.ConductingEquipment rdf:resource="#_T"/></cim:Terminal>
<cim:PowerTransformerEnd rdf:ID="_e{end}"><cim:TransformerEnd.endNumber>{end}</cim:TransformerEnd.endNumber>
  <cim:TransformerEnd.BaseVoltage rdf:resource="#_b{end}"/><cim:TransformerEnd.Terminal rdf:resource="#_tt{end}"/>
  <cim:PowerTransformerEnd.PowerTransformer rdf:resource="#_T"/></cim:PowerTransformerEnd>"""
    for end in (1, 2)
)


def _limits_by_path(write, *limits):
    model = ModelReader(write(_RATED_GRID + "".join(limits))).read()
    done = instrument(model)
    tables, _ = build_tables(model.edited(done.difference))
    return {point.path.rpartition("S/")[2]: point.limits for point in tables.points}, done


def test_a_rating_counts_for_its_own_quantity_only(write):
    """A voltage in kV that bears the type of a permanent rating is no current in A, and the other way round."""
    limits, _ = _limits_by_path(
        write,
        _rated("patl", "CurrentLimit", 900, 'Terminal rdf:resource="#_tl"', 1),
        _rated("patl", "VoltageLimit", 240, 'Terminal rdf:resource="#_tl"', 2),
        _rated("highVoltage", "CurrentLimit", 230, 'Terminal rdf:resource="#_tb"', 3),
    )
    assert limits["220/L/Ia"].hi == 900
    assert limits["220/I/Uab"].hi == pytest.approx(1.07 * 220)


def test_a_current_rating_of_a_whole_transformer_is_no_rating_of_either_winding(write):
    """500 A are the limit of one side only, and the model does not say of which."""
    limits, done = _limits_by_path(write, _rated("patl", "CurrentLimit", 500, 'Equipment rdf:resource="#_T"', 1))
    currents = {path: one.hi for path, one in limits.items() if path.endswith("Ia") and "T1" in path}
    assert len(currents) == 2
    assert all(math.isnan(hi) for hi in currents.values())
    assert any("transformerEnd" in en and "PATL" in en for (en, _), _, _ in done.left_out)


def test_a_second_run_adds_nothing(laid):
    _, _, out, _ = laid
    again = instrument(ModelReader(out).read())
    assert not again.difference
    assert again.additions.files == {}


def test_the_difference_is_what_was_written(laid):
    model, done, out, tables = laid
    edited, findings = build_tables(model.edited(done.difference))
    assert not has_errors(findings)
    assert {point.mrid: point.address for point in edited.points} == {point.mrid: point.address for point in tables.points}
    assert sc_findings(ModelReader(out).read()) == []


def test_a_network_that_grew_keeps_every_address(bare, laid, tmp_path):
    """Without one station first, then with it: what was there stays, and no new point takes an address of an old one."""
    _, _, _, whole = laid
    small = instrument(ModelReader(bare).read(), options=Options(stations=("Beishan", "Nanping")))
    write_files(bare, tmp_path, small.additions.files, CIM, "")
    before, _ = build_tables(ModelReader(tmp_path).read())
    assert {channel.station for channel in before.channels} == {"Beishan", "Nanping"}
    text = (
        (tmp_path / "SC-Beishan.xml")
        .read_text()
        .replace("<cim:IdentifiedObject.name>P</", "<cim:IdentifiedObject.name>Power</", 1)
    )
    (tmp_path / "SC-Beishan.xml").write_text(text)
    grown = instrument(ModelReader(tmp_path).read())
    write_files(tmp_path, tmp_path, grown.additions.files, CIM, "")
    assert (tmp_path / "SC-Beishan.xml").read_text() == text, "what an engineer changed stays as it is"
    after, findings = build_tables(ModelReader(tmp_path).read())
    assert not has_errors(findings)
    kept, now = _addresses(before), _addresses(after)
    assert kept.items() <= now.items()
    assert now.keys() == _addresses(whole).keys()
    ports = [spec.port for spec in after.channels]
    assert len(set(ports)) == len(ports)


def test_an_equipment_that_comes_later_gets_the_next_addresses(bare, laid, tmp_path):
    _, done, _, whole = laid
    shutil.copytree(bare, tmp_path / "m")
    files = {name: list(objects) for name, objects in done.additions.files.items()}
    breaker = next(point for point in whole.points if point.measurement_type == "SwitchPosition" and point.station == "Beishan")
    model = ModelReader(bare).read()
    gone = {one.mrid for one in files["SC-Beishan"] if any(value == breaker.equipment for _, value, _ in one.values)}
    while True:  # with everything that refers to it
        more = {one.mrid for one in files["SC-Beishan"] if any(value in gone for _, value, _ in one.values)} - gone
        if not more:
            break
        gone |= more
    files["SC-Beishan"] = [one for one in files["SC-Beishan"] if one.mrid not in gone]
    write_files(bare, tmp_path / "m", files, model.headers[0].cim_namespace, "")
    before, _ = build_tables(ModelReader(tmp_path / "m").read())
    assert breaker.mrid not in {point.mrid for point in before.points}
    again = instrument(ModelReader(tmp_path / "m").read())
    assert {one.mrid for one in again.additions.files["SC-Beishan"]} == gone
    write_files(tmp_path / "m", tmp_path / "m", again.additions.files, model.headers[0].cim_namespace, "")
    after, findings = build_tables(ModelReader(tmp_path / "m").read())
    assert not has_errors(findings)
    assert _addresses(before).items() <= _addresses(after).items()


@pytest.mark.parametrize("name", MODELS)
def test_public_models_become_complete_and_have_no_error_of_ours(public_models, tmp_path, name):
    model = ModelReader(public_models / f"{name}.zip").read()
    done = instrument(model)
    tables, findings = build_tables(model.edited(done.difference))
    errors = [one for one in findings if one.severity == "error" and not one.rule.startswith(("ref.", "value."))]
    assert errors == []
    switches = set(model.ids("Switch"))
    positions = {point.equipment for point in tables.points if point.measurement_type == "SwitchPosition"}
    told = sum(count for (en, _), count, _ in done.left_out if "stands in no substation" in en)
    assert len(switches - positions) <= told
    fed = [point for point in tables.points if point.channel >= 0 or point.expression]
    outside = sum(count for (en, _), count, _ in done.left_out if "belongs to no station" in en)
    assert len(tables.points) - len(fed) <= outside


def test_measurements_of_the_model_are_used_not_doubled(public_models):
    model = ModelReader(public_models / "mini_nb_with_measurements_cim16.zip").read()
    done = instrument(model)
    there = {*model.ids("Analog"), *model.ids("Discrete")}
    tables, _ = build_tables(model.edited(done.difference))
    by_measure = {}
    for point in tables.points:
        key = (point.equipment, point.terminal, point.measurement_type, point.name)
        by_measure.setdefault(key, []).append(point.mrid)
    assert all(len(mrids) == 1 for mrids in by_measure.values())
    assert not there & done.difference.added.keys()


def test_a_model_without_substations_says_so(public_models):
    with pytest.raises(ModelError, match="no Substation"):
        instrument(ModelReader(public_models / "IEEE118_BES_cim100.zip").read())


@pytest.mark.slow
def test_realgrid_gets_its_hundred_thousand_points(public_models):
    model = ModelReader(public_models / "real_bb_cim16.zip").read()
    done = instrument(model)
    assert done.counts["channels"] == 4875
    assert sum(done.counts.values()) > 100_000


@pytest.mark.parametrize("protocol", ["modbus-tcp", "opcua"])
def test_other_protocols_give_addresses_too(bare, protocol):
    model = ModelReader(bare).read()
    done = instrument(model, options=Options(protocol=protocol, stations=("Longtan",)))
    tables, findings = build_tables(model.edited(done.difference))
    assert not has_errors(findings), [str(one) for one in findings if one.severity == "error"][:3]
    assert {spec.protocol for spec in tables.channels} == {protocol}
    assert all(point.address is not None for point in tables.points if not point.expression)


def test_names_are_chinese_when_asked(bare):
    model = ModelReader(bare).read()
    done = instrument(model, options=Options(stations=("Longtan",), language="zh"))
    tables, _ = build_tables(model.edited(done.difference))
    assert "Longtan/直流系统故障" in {point.path for point in tables.points}
    assert tables.channels[0].name == "Longtan 远动"
    double = next(point for point in tables.points if point.kind is PointKind.DOUBLE)
    assert double.states[2] == "合"


def test_a_full_block_goes_on_where_nothing_is():
    blocks = {"status": {"first": 1, "type": 30}, "double": {"first": 4, "type": 31}, "analog": {"first": 6, "type": 36}}
    channel = Channel("c", "iec104", blocks)
    ioas = [int(channel.address("status", "p")["sc:RemotePoint.ioa"]) for _ in range(5)]
    assert ioas == [1, 2, 3, 65537, 65538]
    assert channel.address("double", "p")["sc:RemotePoint.ioa"] == "4"
    channel = Channel("c", "modbus-tcp", {"analog": {"table": "input", "first": 65532, "dataType": "float32", "words": 2}})
    made = [channel.address("analog", "p") for _ in range(3)]
    assert [(one["sc:RemotePoint.register"], one.get("sc:RemotePoint.unitId")) for one in made] == [
        ("65532", None),
        ("65534", None),
        ("65532", "2"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[points.braker]\n", "t.toml:1 there is no kind of equipment 'braker' (did you mean breaker?)"),
        ("[points.breaker]\nA = { kind = 'dubble' }\n", "t.toml:2 points.breaker.A: kind 'dubble' (did you mean double?)"),
        ("[points.breaker]\n\nA = { hihihi = 1 }\n", "t.toml:3 points.breaker.A has no 'hihihi' (did you mean hihi?)"),
        ("[points.lineEnd]\nA = { hi = '0.9 * PTAL' }\n", "t.toml:2 points.lineEnd.A: hi = '0.9 * PTAL' is no number"),
        ("[controls.tap]\nC = { kind = 'step', feedback = 'P' }\n", "t.toml:2 controls.tap.C: feedback 'P' is no point of tap"),
        ("[points.tap]\nA = { name = '{nme}' }\n", "t.toml:2 points.tap.A: name = '{nme}': braces name one of"),
        ("[channel]\nport = 0\n", "t.toml:2 port 0 is not 1 .. 65535"),
        ("[blocks.iec104]\nanalogue = { first = 1 }\n", "t.toml:2 there is no kind of address 'analogue' (did you mean analog?)"),
        ("[points.unit]\nA = { states = 'onof' }\n", "t.toml:2 points.unit.A: there are no states 'onof'"),
        ("[points.busbar]\nU = { phases = 'CA' }\n", "t.toml:2 points.busbar.U: phases 'CA' is no PhaseCode of CIM"),
        ("points = 3\n", "t.toml:1 points is no table"),
        ("[points\n", "the template is no TOML"),
    ],
)
def test_faults_of_a_template_name_their_line(tmp_path, text, said):
    (tmp_path / "t.toml").write_text(text)
    with pytest.raises(ModelError) as fault:
        load_template(tmp_path / "t.toml")
    assert said in str(fault.value)


def test_references_of_61850_in_aliases_are_understood(write):
    body = """
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>
<cim:Breaker rdf:ID="_b"><cim:IdentifiedObject.name>Q0</cim:IdentifiedObject.name>
  <cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:Breaker>
<cim:Discrete rdf:ID="_d"><cim:IdentifiedObject.name>Q0 Pos</cim:IdentifiedObject.name>
  <cim:IdentifiedObject.aliasName>CTRL/XCBR1.Pos.stVal[ST]</cim:IdentifiedObject.aliasName>
  <cim:Measurement.PowerSystemResource rdf:resource="#_b"/></cim:Discrete>
"""
    model = ModelReader(write(body)).read()
    done = instrument(model, options=Options(protocol="mqtt"))
    edited = model.edited(done.difference)
    (value,) = edited.refs_to("d", "DiscreteValue.Discrete")
    (source,) = edited.refs_to(value, "RemoteSource.MeasurementValue")
    assert edited.text(source, "sc:RemotePoint.address") == "CTRL/XCBR1.Pos.stVal[ST]"
    assert [edited.name(one) for one in edited.ids("Discrete") if "Position" in edited.name(one)] == [], "not doubled"
    assert reference_of("LD0/MMXU1.A.phsA.cVal.mag.f[MX]").measurement_type == "LineCurrent"
    assert reference_of("just a name") is None


def _cli(*words):
    return CliRunner().invoke(command, ["instrument", *map(str, words)])


def test_the_command_writes_says_and_keeps_off_what_is_not_its_own(bare, tmp_path):
    out = tmp_path / "out"
    dry = _cli(bare, "--out", out, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "10 channels" in dry.output
    assert not out.exists()
    made = _cli(bare, "--out", out, "--start-port", "31000")
    assert made.exit_code == 0, made.output
    assert "left out, never invented" in made.output
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    again = _cli(bare, "--out", out, "--start-port", "31000")
    assert "nothing to add" in again.output
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert "无需新增" in _cli(out, "--out", out, "--lang", "zh").output
    (out / "letter.txt").write_text("mine")
    refused = _cli(bare, "--out", out)
    assert isinstance(refused.exception, ModelError)
    assert "letter.txt" in str(refused.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--station", "Nowhere"), "no station 'Nowhere'"),
        (("--protocol", "iec61850"), "no protocol"),
        (("--host-template", "{nmae}.grid"), "cannot be filled in"),
        (("--start-port", "65530"), "more stations than ports"),
    ],
)
def test_wrong_options_are_refused_with_how_to_mend(bare, tmp_path, words, said):
    refused = _cli(bare, "--out", tmp_path / "o", *words)
    assert isinstance(refused.exception, ModelError)
    assert said in str(refused.exception)


def test_hosts_by_a_template_keep_one_port(bare, tmp_path):
    made = _cli(bare, "--out", tmp_path / "o", "--host-template", "rtu{number}.grid.example", "--start-port", "2404")
    assert made.exit_code == 0, made.output
    tables, _ = build_tables(ModelReader(tmp_path / "o").read())
    assert {spec.port for spec in tables.channels} == {2404}
    assert {spec.host for spec in tables.channels} == {f"rtu{number}.grid.example" for number in range(1, 11)}


def test_the_printed_template_is_a_template(tmp_path):
    printed = _cli("--print-template")
    (tmp_path / "mine.toml").write_text(printed.output)
    assert load_template(tmp_path / "mine.toml").points == load_template().points
    assert Path(load_template(tmp_path / "mine.toml").label).name == "mine.toml"
