"""Device templates: what a device becomes, what stays the same when a template changes, and what is said of mistakes."""

import re
import shutil
import zipfile

import pytest
from click.testing import CliRunner

from scada.core.errors import ModelError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.findings import Severity
from scada.model_cim.numbers import Numbers
from scada.model_cim.points import load_model
from scada.model_cim.tables import ControlKind, PointKind
from scada.model_cim.templates import parse_template


@pytest.fixture
def plant(demo_path, tmp_path):
    """A copy of the example; ``plant(file, old, new)`` edits it and loads it again."""
    folder = tmp_path / "plant"
    shutil.copytree(demo_path.parents[0] / "devices", folder)

    def edit(name="", old="", new="", known=None):
        if name:
            path = folder / name
            text = path.read_text(encoding="utf-8")
            assert old in text
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return load_model(folder, known)

    edit.folder = folder
    return edit


INVERTER = "templates/sunspec-inverter.toml"
METER = "templates/energy-meter.toml"


def errors(findings):
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def test_the_example_has_no_findings(plant):
    model, tables, findings = plant()
    assert findings == []
    assert len(tables.points) == 50
    assert len(tables.controls) == 7
    assert model.where(tables.by_path["Roof/400V/INV1/f"].mrid).endswith(f"{INVERTER}:22")


def test_a_device_becomes_points_as_if_they_were_written_out(plant):
    _, tables, _ = plant()
    power = tables.by_path["Roof/400V/INV2/P"]
    assert (power.kind, power.unit, power.scale, power.measurement_type) == (
        PointKind.ANALOG,
        "kW",
        0.001,
        "ThreePhaseActivePower",
    )
    address = power.address
    assert (address.unit_id, address.table, address.register, address.exponent_register) == (2, "holding", 40114, 40115)
    assert address.not_available == (0x8000,)
    assert (power.limits.hi, power.limits.hihi, power.maximum) == (30.0, pytest.approx(33.0), pytest.approx(33.0))
    assert tables.by_path["Roof/400V/INV1/P"].limits.hi == 50.0
    state = tables.by_path["Roof/400V/INV1/State"]
    assert (state.kind, state.states[4]) == (PointKind.STEP, "MPPT")
    running = tables.by_path["Roof/400V/INV1/Running"]
    assert (running.kind, dict(running.address.values)[5]) == (PointKind.STATUS, 1)
    fault = tables.by_path["Roof/400V/INV1/Ground fault"]
    assert (fault.address.data_type, fault.address.bit, fault.normal_value, fault.priority) == ("uint32", 0, 0, 1)
    energy = tables.by_path["Roof/400V/Feed/Energy import"]
    assert (energy.kind, energy.unit, energy.address.scan_ms) == (PointKind.COUNTER, "kWh", 60000)
    temperature = tables.by_path["Roof/400V/BAT/Lowest cell temperature"]
    assert (temperature.unit, temperature.address.data_type, temperature.address.bit) == ("°C", "int8", 8)


def test_controls_have_limits_feedback_and_the_number_of_their_device(plant):
    _, tables, _ = plant()
    order = next(one for one in tables.controls if one.path == "Roof/400V/BAT/P set-point")
    assert (order.kind, order.minimum, order.maximum, order.scale) == (ControlKind.SETPOINT, -100.0, 100.0, 0.1)
    assert order.feedback == tables.by_path["Roof/400V/BAT/P set-point echo"].pid
    assert order.device_number == "21"
    start = next(one for one in tables.controls if one.path == "Roof/400V/BAT/Start/stop")
    assert (start.kind, start.address.bit) == (ControlKind.SINGLE, 0)


def test_a_device_overrides_items_and_leaves_some_out(plant):
    _, tables, _ = plant()
    assert tables.by_path["Roof/400V/INV1/Cabinet temperature"].limits.hihi == 80
    assert tables.by_path["Roof/400V/INV2/Cabinet temperature"].limits.hihi == 75
    assert "Roof/400V/INV1/DC voltage" in tables.by_path
    assert "Roof/400V/INV2/DC voltage" not in tables.by_path


def test_what_a_unit_bears_goes_to_its_channel(plant):
    _, tables, _ = plant()
    params = tables.channels[0].params
    assert params["unit.4.max_registers"] == 80.0
    assert params["unit.4.timeout_s"] == 0.5, "the device goes before its template"
    assert params["unit.1.timeout_s"] == 2.0
    assert params["unit.3.gap_ms"] == 20.0


def test_points_keep_their_ids_while_a_template_changes_and_every_device_changes_with_it(plant):
    before, first, _ = plant()
    known = Numbers.of(first)
    after, second, findings = plant(
        INVERTER,
        "[points]\n",
        '[points]\nNew = { base = "inverter", register = 31, dataType = "int16", name = "DC power", unit = "kW" }\n',
        known=known,
    )
    assert findings == []
    assert before.digest != after.digest
    for point in first.points:
        assert second.points[point.pid].mrid == point.mrid
        assert second.points[point.pid].path == point.path
    added = [point.path for point in second.points[len(first.points) :]]
    assert added == ["Roof/400V/INV1/DC power", "Roof/400V/INV2/DC power"]
    _, third, _ = plant(INVERTER, 'name = "DC power"', 'name = "P dc"', known=Numbers.of(second))
    assert [point.path for point in third.points[-2:]] == ["Roof/400V/INV1/P dc", "Roof/400V/INV2/P dc"]
    assert [point.mrid for point in third.points] == [point.mrid for point in second.points]


def test_ids_follow_from_the_device_and_the_item_alone(plant):
    _, tables, _ = plant()
    mrids = {point.path: point.mrid for point in tables.points}
    assert len(set(mrids.values())) == 50
    (plant.folder / INVERTER).rename(plant.folder / "templates" / "other.toml")
    for _ in range(2):
        _, tables, _ = plant("plant.xml", ">sunspec-inverter<", ">other<")
    assert {point.path: point.mrid for point in tables.points} == mrids


def test_a_zip_has_templates_too(plant, tmp_path):
    archive = tmp_path / "plant.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for file in plant.folder.rglob("*.*"):
            packed.write(file, file.relative_to(plant.folder))
    _, tables, findings = load_model(archive)
    assert findings == []
    assert len(tables.points) == 50


MISTAKES = [
    (
        INVERTER,
        "hihi = 80",
        'hihi = "80 * warm"',
        "template.value",
        f"{INVERTER}:26",
        "device INV1 .*points.T: '80 \\* warm'",
    ),
    (
        INVERTER,
        'notAvailable = "0xFFFF", type = "LineC',
        'missing = 1, type = "LineC',
        "template.key",
        f"{INVERTER}:19",
        "missing",
    ),
    (INVERTER, 'unit = "Hz"', 'unit = "rpm"', "template.value", f"{INVERTER}:22", "unit 'rpm'"),
    (INVERTER, 'kind = "counter"', 'kind = "meter"', "template.value", f"{INVERTER}:24", "kind is 'meter'"),
    (INVERTER, "bit = 7", "bit = 40", "point.address", f"{INVERTER}:30", "1 bits from bit 40"),
    (METER, "hi = 50.5", "hi = 49.0", "limit.order", f"{METER}:28", "lo"),
    ("plant.xml", ">sunspec-inverter<", ">none<", "device.template", "plant.xml:43", "no template 'none'"),
    (
        "plant.xml",
        "ratedPower>30</sc:Device.ratedPower",
        "ratedPowr>30</sc:Device.ratedPowr",
        "device.parameter",
        "plant.xml:58",
        "no 'ratedPowr'",
    ),
    ("plant.xml", ">modbus-tcp<", ">opcua<", "device.protocol", "plant.xml:43", "is for modbus, the channel speaks opcua"),
    ("plant.xml", ">T<", ">Tx<", "device.item", "plant.xml:61", "has no item 'Tx'"),
    (
        "plant.xml",
        "sc:DeviceItem.hihi>75</sc:DeviceItem.hihi",
        "sc:DeviceItem.top>75</sc:DeviceItem.top",
        "device.item",
        "plant.xml:64",
        "no 'top'",
    ),
    ("plant.xml", "sc:DeviceItem.hihi>75", "sc:DeviceItem.hihi>hot", "template.value", f"{INVERTER}:26", "device INV2"),
    (
        INVERTER,
        "[controls]\n",
        "[controls]\nP = { register = 1 }\n",
        "template.item",
        f"{INVERTER}:",
        "a point and a control",
    ),
    (INVERTER, "[points]\n", "[points]\nX = 4\n", "template.item", f"{INVERTER}:19", "no table"),
    (INVERTER, 'protocol = "modbus"', 'protocol = "modbus"\nvendor = "x"', "template.key", f"{INVERTER}:5", "no 'vendor'"),
    (METER, 'dataType = "float32"', 'datatype = "float32"', "template.key", f"{METER}:17", "defaults has no 'datatype'"),
    (METER, "maxRegisters = 80", "maxRegister = 80", "template.key", f"{METER}:12", "requests has no 'maxRegister'"),
    (METER, "timeoutS = 1", "timeoutS = [1]", "template.item", f"{METER}:13", "requests.timeoutS .*number"),
    (METER, "ratedVoltage = 400", "ratedVoltage = [400]", "template.item", f"{METER}:9", "parameters.ratedVoltage .*number"),
    (METER, "[points]", "[more]", "template.key", f"{METER}:19", "no 'more'"),
    (METER, "register = 2,", "register = 2.5,", "point.address", f"{METER}:21", "register 2.5"),
    (METER, "base = 0 ", "base = 0.5 ", "point.address", f"{METER}:20", "register 0.5"),
]


@pytest.mark.parametrize(("file", "old", "new", "rule", "where", "words"), MISTAKES)
def test_mistakes_name_the_line_of_the_template_and_the_device(plant, file, old, new, rule, where, words):
    _, _, findings = plant(file, old, new)
    found = [finding for finding in errors(findings) if finding.rule == rule]
    assert found, findings
    assert where in found[0].where
    assert re.search(words, f"{found[0].text} {found[0].path}")


@pytest.mark.parametrize("section", ["parameters", "requests", "defaults", "points", "controls"])
def test_a_section_that_is_no_table_is_told_and_left_out(section):
    findings = []
    template = parse_template("x", "x.toml", f"{section} = 5\n".encode(), findings)
    assert template is not None
    assert [(finding.rule, finding.line) for finding in findings] == [("template.item", 1)]


def test_a_template_that_is_nested_beyond_all_measure_is_no_toml():
    findings = []
    assert parse_template("x", "x.toml", b"x = " + 5000 * b"[", findings) is None
    assert findings[0].rule == "template.syntax"


def test_a_template_that_is_no_toml_stops_the_load_at_its_line(plant):
    with pytest.raises(ModelError, match="no TOML") as told:
        plant(METER, "[requests]", "[requests")
    assert f"{METER}:11" in str(told.value)


def test_a_device_without_channel_or_equipment_has_no_points(plant):
    for prop, rule in (("RemoteUnit", "device.channel"), ("PowerSystemResource", "device.resource")):
        text = (plant.folder / "plant.xml").read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if f"sc:Device.{prop} " in line)
        _, tables, findings = plant("plant.xml", line, "")
        assert rule in {finding.rule for finding in errors(findings)}
        assert not any(point.path.startswith("Roof/400V/INV1/") for point in tables.points)
        (plant.folder / "plant.xml").write_text(text, encoding="utf-8")


def test_other_protocols_have_templates_too(write):
    (write("").joinpath("templates")).mkdir()
    folder = write(
        """
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:IdentifiedObject.name>10kV</cim:IdentifiedObject.name>
 <cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>
<cim:EnergyConsumer rdf:ID="_e"><cim:IdentifiedObject.name>F1</cim:IdentifiedObject.name>
 <cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:EnergyConsumer>
<cim:RemoteUnit rdf:ID="_r"><cim:IdentifiedObject.name>RTU</cim:IdentifiedObject.name>
 <sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.port>2404</sc:RemoteUnit.port></cim:RemoteUnit>
<sc:Device rdf:ID="_d"><cim:IdentifiedObject.name>Relay 7</cim:IdentifiedObject.name>
 <sc:Device.template>relay</sc:Device.template><sc:Device.RemoteUnit rdf:resource="#_r"/>
 <sc:Device.PowerSystemResource rdf:resource="#_e"/><sc:Device.commonAddress>7</sc:Device.commonAddress>
 <sc:Device.prefix>R7 </sc:Device.prefix><sc:Device.base>1000</sc:Device.base></sc:Device>
"""
    )
    (folder / "templates" / "relay.toml").write_text(
        'protocol = "iec104"\n[points]\nTrip = { kind = "status", ioa = 5, typeId = 30, name = "Trip of {device}" }\n'
        'I = { ioa = 100, typeId = 36, unit = "A" }\n'
    )
    _, tables, findings = load_model(folder)
    assert errors(findings) == []
    assert {point.path: point.address for point in tables.points} == {
        "S/10kV/F1/R7 Trip of Relay 7": Iec104Address(7, 1005, 30),
        "S/10kV/F1/R7 I": Iec104Address(7, 1100, 36),
    }


def test_the_cli_lists_templates_and_their_devices(plant):
    from scada.cli.model import command

    plant()
    result = CliRunner().invoke(command, ["show", str(plant.folder), "--templates"])
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert any(line.startswith("sunspec-inverter\tPV inverter") and line.endswith("2 devices") for line in lines)
    assert any(re.match(r"  INV2\tRoof gateway\t2\tRoof/400V/INV2\t.*plant.xml:51", line) for line in lines)
