"""Modbus addresses and channels as the model writes them."""

import pytest

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.findings import Severity
from scada.model_cim.points import load_model

PLACE = """
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:IdentifiedObject.name>10kV</cim:IdentifiedObject.name>
 <cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>
<cim:EnergyConsumer rdf:ID="_e"><cim:IdentifiedObject.name>F1</cim:IdentifiedObject.name>
 <cim:Equipment.EquipmentContainer rdf:resource="#_v"/></cim:EnergyConsumer>
"""


def channel(protocol="modbus-tcp", **attributes):
    given = {"port": "502"} | attributes
    lines = "".join(f"<sc:RemoteUnit.{name}>{value}</sc:RemoteUnit.{name}>" for name, value in given.items() if value)
    return (
        '<cim:RemoteUnit rdf:ID="_r"><cim:IdentifiedObject.name>GW</cim:IdentifiedObject.name>'
        f"<sc:RemoteUnit.protocol>{protocol}</sc:RemoteUnit.protocol>{lines}</cim:RemoteUnit>\n"
    )


def point(number, **attributes):
    lines = "".join(f"<sc:RemotePoint.{name}>{value}</sc:RemotePoint.{name}>" for name, value in attributes.items())
    return f"""<cim:Analog rdf:ID="_a{number}"><cim:IdentifiedObject.name>A{number}</cim:IdentifiedObject.name>
<cim:Measurement.PowerSystemResource rdf:resource="#_e"/></cim:Analog>
<cim:AnalogValue rdf:ID="_m{number}"><cim:AnalogValue.Analog rdf:resource="#_a{number}"/></cim:AnalogValue>
<cim:RemoteSource rdf:ID="_q{number}"><cim:RemoteSource.MeasurementValue rdf:resource="#_m{number}"/>
<cim:RemotePoint.RemoteUnit rdf:resource="#_r"/>{lines}</cim:RemoteSource>
"""


def test_every_attribute_is_read(write):
    body = point(
        1,
        table="holding",
        register="10",
        dataType="uint32",
        wordOrder="little",
        byteOrder="little",
        bit="4",
        bits="3",
        mask="0xF0",
        notAvailable="0x7 6",
        values="1=0 0x2=1 -3=4",
        scanMs="200",
        unitId="9",
    ) + point(2, table="input", register="3", dataType="int16", exponentRegister="7")
    _, tables, findings = load_model(write(PLACE + channel(unitId="5") + body))
    assert findings == []
    assert tables.points[0].address == ModbusAddress(
        9, "holding", 10, "uint32", "little", 4, 3, "little", 0xF0, (7, 6), ((1, 0), (2, 1), (-3, 4)), scan_ms=200
    )
    assert tables.points[1].address == ModbusAddress(5, "input", 3, "int16", exponent_register=7)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"table": "holding"}, "has no register"),
        ({"table": "holding", "register": "1", "dataType": "string"}, "a text is no value of a point"),
        ({"table": "holding", "register": "1", "mask": "F0"}, "mask or notAvailable that is no number"),
        ({"table": "holding", "register": "1", "notAvailable": "none"}, "mask or notAvailable that is no number"),
        ({"table": "holding", "register": "1", "values": "1:0"}, "'1:0' in its values"),
        ({"table": "holding", "register": "1", "bit": "12", "bits": "8"}, "8 bits from bit 12"),
        ({"table": "coil", "register": "1", "dataType": "float32"}, "it is one bit"),
    ],
)
def test_addresses_that_cannot_be_are_findings_at_their_line(write, attributes, words):
    _, tables, findings = load_model(write(PLACE + channel() + point(1, **attributes)))
    (found,) = [finding for finding in findings if finding.rule == "point.address"]
    assert words in found.text
    assert found.severity is Severity.ERROR
    assert found.where.endswith("EQ.xml:14")
    assert tables.points[0].address is None


def test_fields_of_one_register_and_a_number_beside_its_enumeration_are_no_duplicates(write):
    body = "".join(
        point(at, table="holding", register="1", **more)
        for at, more in enumerate([{}, {"bit": "0"}, {"bit": "1"}, {"mask": "0xF"}, {"values": "1=0 2=1"}])
    )
    assert load_model(write(PLACE + channel() + body))[2] == []
    twice = point(8, table="holding", register="2") + point(9, table="holding", register="2", dataType="int16")
    rules = [finding.rule for finding in load_model(write(PLACE + channel() + body + twice))[2]]
    assert rules == ["point.duplicate-address"]


@pytest.mark.parametrize(
    ("protocol", "port", "rule"),
    [
        ("modbus-tcp", "", "channel.port"),
        ("modbus-tls", "802", ""),
        ("modbus-rtu", "", ""),
        ("modbus-rtu-tcp", "4001", ""),
        ("modbus-ascii", "502", "channel.protocol"),
    ],
)
def test_transports(write, protocol, port, rule):
    _, tables, findings = load_model(write(PLACE + channel(protocol, port=port, host="/dev/ttyS0")))
    assert [finding.rule for finding in findings] == ([rule] if rule else [])
    assert [spec.protocol for spec in tables.channels] == ([] if rule else [protocol])


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"maxRegisters": "126"}, "max_registers"),
        ({"unit.3.timeoutS": "soon"}, "unit.3.timeout_s"),
        ({"holes": "coil:9-1"}, "holes"),
        ({"unit.3.timeout": "1"}, "there is no parameter unit.3.timeout"),
        ({"timeoutS": "0"}, "timeout_s"),
        ({"readBak": "0"}, "there is no parameter read_bak"),
        ({"unit.x.timeoutS": "1"}, "there is no parameter unit.x.timeout_s"),
    ],
)
def test_parameters_of_a_channel_are_checked(write, attributes, words):
    (found,) = load_model(write(PLACE + channel(**attributes)))[2]
    assert found.rule == "channel.parameter"
    assert words in found.text
