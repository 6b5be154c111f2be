"""Equipment from CIM: the traps of real models, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scada.apps.network.busbranch import BASE_MVA, reduce
from scada.apps.network.equipment import read_equipment
from scada.core.errors import ModelError
from scada.model_cim.reader import ModelReader

BASE = (Path(__file__).parent / "two_feeders.xml").read_text()
NODE = """  <cim:ConnectivityNode rdf:ID="_{0}">
    <cim:ConnectivityNode.ConnectivityNodeContainer rdf:resource="#_{1}"/>
  </cim:ConnectivityNode>
"""
TERMINAL = """  <cim:Terminal rdf:ID="_{0}">
    <cim:ACDCTerminal.sequenceNumber>{1}</cim:ACDCTerminal.sequenceNumber>
    <cim:Terminal.ConductingEquipment rdf:resource="#_{2}"/>
    <cim:Terminal.ConnectivityNode rdf:resource="#_{3}"/>
  </cim:Terminal>
"""
LINE = """  <cim:ACLineSegment rdf:ID="_l">
    <cim:IdentifiedObject.name>L</cim:IdentifiedObject.name>
    <cim:ACLineSegment.r>{r}</cim:ACLineSegment.r>
    <cim:ACLineSegment.x>{x}</cim:ACLineSegment.x>
    <cim:ACLineSegment.bch>{b}</cim:ACLineSegment.bch>
  </cim:ACLineSegment>
"""


def _model(tmp_path, *parts):
    (tmp_path / "grid.xml").write_text(BASE.replace("</rdf:RDF>", "".join(parts) + "</rdf:RDF>"))
    return ModelReader(tmp_path).read()


def _line(tmp_path, level="vl", **values):
    other = (
        '  <cim:BaseVoltage rdf:ID="_bv2"><cim:BaseVoltage.nominalVoltage>120</cim:BaseVoltage.nominalVoltage>'
        "</cim:BaseVoltage>\n"
        '  <cim:VoltageLevel rdf:ID="_vl2"><cim:VoltageLevel.Substation rdf:resource="#_s"/>'
        '<cim:VoltageLevel.BaseVoltage rdf:resource="#_bv2"/></cim:VoltageLevel>\n'
    )
    values = {"r": 1.0, "x": 10.0, "b": 1e-4} | values
    parts = [
        other,
        NODE.format("n3", level),
        LINE.format(**values),
        TERMINAL.format("t3", 1, "l", "n2"),
        TERMINAL.format("t4", 2, "l", "n3"),
    ]
    return _model(tmp_path, *parts)


def _reduced(found):
    return reduce(found.grid, found.switch_open, found.tap_step, found.sections)


def test_a_line_between_different_nominal_voltages_gets_its_off_nominal_ratio(tmp_path):
    found = read_equipment(_line(tmp_path, "vl2"))
    net = _reduced(found)
    # 100 kV at both ends: no current but the charging's, whatever the nominal voltages are
    v = np.zeros(net.bus_count, complex)
    v[net.branch_from[0]], v[net.branch_to[0]] = 100 / 110, 100 / 120
    s_from, s_to = net.branch_flow(v)
    assert s_from[0] == pytest.approx(-0.5j * 1e-4 * 100**2)
    assert s_to[0] == pytest.approx(-0.5j * 1e-4 * 100**2)
    v[net.branch_to[0]] = 95 / 120
    loss = sum(net.branch_flow(v))[0].real
    assert loss == pytest.approx(abs(5 / (1 + 10j)) ** 2 * 1.0)


def test_a_line_without_impedance_is_a_closed_switch(tmp_path):
    found = read_equipment(_line(tmp_path, r=0.0, x=0.0))
    assert found.grid.branch_ids == ()
    assert len(np.unique(_reduced(found).bus_of_node)) == 1


def test_a_line_out_of_service_carries_nothing(tmp_path):
    text = LINE.format(r=1, x=10, b=0).replace(
        "</cim:ACLineSegment>", "<cim:Equipment.inService>false</cim:Equipment.inService></cim:ACLineSegment>"
    )
    found = read_equipment(
        _model(tmp_path, NODE.format("n3", "vl"), text, TERMINAL.format("t3", 1, "l", "n2"), TERMINAL.format("t4", 2, "l", "n3"))
    )
    net = _reduced(found)
    bus = net.bus_of_node[found.node_of["n2"]], net.bus_of_node[found.node_of["n3"]]
    assert net.island[bus[0]] != net.island[bus[1]]


def test_per_unit_base(tmp_path):
    net = _reduced(read_equipment(_line(tmp_path)))
    assert -1 / net.branch_y[0, 0, 1] == pytest.approx((1 + 10j) / (110**2 / BASE_MVA))


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([LINE.format(r=1, x=10, b=0), TERMINAL.format("t3", 1, "l", "n2")], "has 1 terminals, not 2"),
        (['  <cim:StaticVarCompensator rdf:ID="_x"/>\n'], "StaticVarCompensator"),
        (['  <cim:PowerTransformer rdf:ID="_x"/>\n'], "0 windings"),
        (
            [
                '  <cim:Terminal rdf:ID="_t9"><cim:Terminal.ConductingEquipment rdf:resource="#_b"/></cim:Terminal>\n',
            ],
            "has no ConnectivityNode",
        ),
        (['  <cim:ConnectivityNode rdf:ID="_n9"/>\n'], "no voltage level"),
        (['  <cim:SynchronousMachine rdf:ID="_g"/>\n'], "SynchronousMachine .* has 0 terminals"),
        (
            ['  <cim:ConformLoad rdf:ID="_c"/>\n', TERMINAL.format("t3", 1, "c", "n2")],
            "has no EnergyConsumer.p",
        ),
    ],
)
def test_what_cannot_be_calculated_is_refused_with_its_place(tmp_path, parts, told):
    with pytest.raises(ModelError, match=told) as caught:
        read_equipment(_model(tmp_path, *parts))
    assert "grid.xml:" in str(caught.value)
    assert caught.value.mend
