"""Tap changers as curves: angle, ratio and reactance by step; their place in the two-port."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from scada.apps.network.busbranch import reduce
from scada.apps.network.equipment import read_equipment
from scada.apps.network.powerflow import Injections, solve
from scada.apps.network.tap_changers import tap_curve
from scada.core.errors import ModelError
from scada.model_cim.reader import ModelReader

HEAD = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#">\n'
STEPS = {"TapChanger.lowStep": -10, "TapChanger.highStep": 10, "TapChanger.neutralStep": 0, "TapChanger.step": 0}


def element(kind, mrid, values=(), **refs):
    told = [f"<cim:{prop}>{value}</cim:{prop}>" for prop, value in dict(values).items()]
    told += [f'<cim:{prop.replace("__", ".")} rdf:resource="#_{target}"/>' for prop, target in refs.items()]
    return f'<cim:{kind} rdf:ID="_{mrid}">{"".join(told)}</cim:{kind}>\n'


def model(tmp_path, *parts):
    (tmp_path / "grid.xml").write_text(HEAD + "".join(parts) + "</rdf:RDF>")
    return ModelReader(tmp_path).read()


def changer(tmp_path, kind, values, *more):
    return model(tmp_path, element(kind, "tap", {**STEPS, **values}), *more)


def test_a_symmetrical_phase_shifter_turns_and_keeps_the_size(tmp_path):
    found = tap_curve(
        changer(tmp_path, "PhaseTapChangerSymmetrical", {"PhaseTapChangerNonLinear.voltageStepIncrement": 2}), "tap"
    )
    ratio = found.at(10)[0]
    assert abs(ratio) == pytest.approx(1)
    assert cmath.phase(ratio) == pytest.approx(2 * math.atan(0.1))


def test_an_asymmetrical_one_adds_a_voltage_at_its_angle(tmp_path):
    values = {
        "PhaseTapChangerNonLinear.voltageStepIncrement": 2,
        "PhaseTapChangerAsymmetrical.windingConnectionAngle": 60,
    }
    found = tap_curve(changer(tmp_path, "PhaseTapChangerAsymmetrical", values), "tap")
    assert found.at(-5)[0] == pytest.approx(1 - 0.1 * cmath.rect(1, math.radians(60)))


@pytest.mark.parametrize("kind", ["PhaseTapChangerSymmetrical", "PhaseTapChangerAsymmetrical", "PhaseTapChangerLinear"])
def test_the_reactance_runs_from_its_least_in_the_middle_to_its_greatest_at_the_ends(tmp_path, kind):
    owner = "PhaseTapChangerLinear" if kind.endswith("Linear") else "PhaseTapChangerNonLinear"
    values = {
        "PhaseTapChangerLinear.stepPhaseShiftIncrement": 1.5,
        "PhaseTapChangerNonLinear.voltageStepIncrement": 2,
        "PhaseTapChangerAsymmetrical.windingConnectionAngle": 90,
        f"{owner}.xMin": 4,
        f"{owner}.xMax": 9,
    }
    found = tap_curve(changer(tmp_path, kind, values), "tap")
    assert [found.at(step)[5] for step in (-10, 0, 10)] == pytest.approx([9, 4, 9])
    assert 4 < found.at(5)[5] < 9


def test_a_range_of_reactance_that_makes_no_sense_is_not_used(tmp_path):
    values = {
        "PhaseTapChangerNonLinear.voltageStepIncrement": 2,
        "PhaseTapChangerNonLinear.xMin": 9,
        "PhaseTapChangerNonLinear.xMax": 4,
    }
    found = tap_curve(changer(tmp_path, "PhaseTapChangerSymmetrical", values), "tap")
    assert math.isnan(found.at(3)[5])


def test_a_table_gives_ratio_angle_and_impedances_by_step(tmp_path):
    points = [
        element(
            "PhaseTapChangerTablePoint",
            f"p{step}",
            {
                "TapChangerTablePoint.step": step,
                "TapChangerTablePoint.ratio": 1 + step / 100,
                "TapChangerTablePoint.x": 10 * step,
                "PhaseTapChangerTablePoint.angle": 3 * step,
            },
            PhaseTapChangerTablePoint__PhaseTapChangerTable="table",
        )
        for step in (2, 0, 1)
    ]
    tap = element("PhaseTapChangerTabular", "tap", STEPS, PhaseTapChangerTabular__PhaseTapChangerTable="table")
    found = tap_curve(model(tmp_path, tap, element("PhaseTapChangerTable", "table"), *points), "tap")
    ratio, r, x, *_ = found.at(2)
    assert ratio == pytest.approx(1.02 * cmath.rect(1, math.radians(6)))
    assert (r, x) == pytest.approx((1.0, 1.2))
    assert found.at(99)[0] == pytest.approx(ratio), "beyond the table its end holds"


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("PhaseTapChangerTabular", {}, "no table"),
        ("PhaseTapChangerLinear", {"TapChanger.lowStep": 9, "TapChanger.highStep": 1}, "lowStep"),
        ("PhaseTapChangerLinear", {"TapChanger.highStep": 1e9}, "lowStep"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(tmp_path, kind, values, told):
    with pytest.raises(ModelError, match=told) as caught:
        tap_curve(changer(tmp_path, kind, values), "tap")
    assert "grid.xml:2" in str(caught.value)


def test_a_ratio_tap_changer_without_a_table_is_no_curve(tmp_path):
    assert tap_curve(changer(tmp_path, "RatioTapChanger", {}), "tap") is None


def transformer(tmp_path, *more, clock=0):
    """110/20 kV with a source at 110 kV and a load of 10 MW at 20 kV."""
    parts = [element("Substation", "s")]
    for kv, node in ((110, "n1"), (20, "n2")):
        parts += [
            element("BaseVoltage", f"b{kv}", {"BaseVoltage.nominalVoltage": kv}),
            element("VoltageLevel", f"v{kv}", VoltageLevel__BaseVoltage=f"b{kv}", VoltageLevel__Substation="s"),
            element("ConnectivityNode", node, ConnectivityNode__ConnectivityNodeContainer=f"v{kv}"),
        ]

    def end(mrid, number, rated, x, clock=0):
        values = {
            "PowerTransformerEnd.r": 0.5 if x else 0,
            "PowerTransformerEnd.x": x,
            "PowerTransformerEnd.ratedU": rated,
            "PowerTransformerEnd.phaseAngleClock": clock,
            "TransformerEnd.endNumber": number,
        }
        refs = {"PowerTransformerEnd__PowerTransformer": "t", "TransformerEnd__Terminal": f"t{number}"}
        return element("PowerTransformerEnd", mrid, values, **refs)

    def terminal(mrid, of, node):
        return element("Terminal", mrid, Terminal__ConductingEquipment=of, Terminal__ConnectivityNode=node)

    parts += [
        element("PowerTransformer", "t"),
        end("e1", 1, 110, 40),
        end("e2", 2, 21, 0, clock),
        terminal("t1", "t", "n1"),
        terminal("t2", "t", "n2"),
        element("EnergyConsumer", "l", {"EnergyConsumer.p": 10, "EnergyConsumer.q": 2}),
        terminal("tl", "l", "n2"),
        *more,
    ]
    return model(tmp_path, *parts)


def solved(found, turned=0.0):
    net = reduce(found.grid, found.switch_open, found.tap_step, found.sections)
    n = net.bus_count
    p, q, v = np.zeros(n), np.zeros(n), np.full(n, np.nan)
    low, high = (int(net.bus_of_node[found.node_of[node]]) for node in ("n2", "n1"))
    p[low], q[low], v[high] = -10, -2, 1.0
    big = np.full(n, 1e3)
    start = np.ones(n, complex)
    start[low] = cmath.rect(1, math.radians(turned))
    solution = solve(net, Injections(p, q, v, -big, big, np.isfinite(v).astype(float)), start=start)
    assert solution.converged
    return solution.voltage[high], solution.voltage[low], net.branch_flow(solution.voltage)


def test_a_phase_tap_changer_turns_the_far_side_back_and_carries_the_same_load(tmp_path):
    plain = solved(read_equipment(transformer(tmp_path)))
    tap = element(
        "PhaseTapChangerLinear",
        "tap",
        {**STEPS, "TapChanger.step": 5, "PhaseTapChangerLinear.stepPhaseShiftIncrement": 2},
        PhaseTapChanger__TransformerEnd="e1",
    )
    turned = solved(read_equipment(transformer(tmp_path, tap)))
    assert math.degrees(cmath.phase(turned[1] / plain[1])) == pytest.approx(-10)
    assert turned[2][0] == pytest.approx(plain[2][0])


def test_a_tap_on_the_second_winding_turns_the_other_way(tmp_path):
    tap = element(
        "PhaseTapChangerLinear",
        "tap",
        {**STEPS, "TapChanger.step": 5, "PhaseTapChangerLinear.stepPhaseShiftIncrement": 2},
        PhaseTapChanger__TransformerEnd="e2",
    )
    plain, turned = solved(read_equipment(transformer(tmp_path))), solved(read_equipment(transformer(tmp_path, tap)))
    assert math.degrees(cmath.phase(turned[1] / plain[1])) == pytest.approx(10)


def test_the_vector_group_turns_voltages_only_when_asked(tmp_path):
    found = transformer(tmp_path, clock=5)
    plain, turned = solved(read_equipment(found)), solved(read_equipment(found, vector_groups=True), turned=-150)
    assert math.degrees(cmath.phase(turned[1] / plain[1])) == pytest.approx(-150)
    assert turned[2][0] == pytest.approx(plain[2][0])


def test_a_nonlinear_bank_adds_the_admittance_of_each_section(tmp_path):
    values = {"ShuntCompensator.sections": 2, "ShuntCompensator.maximumSections": 3, "ShuntCompensator.normalSections": 1}
    bank = element("NonlinearShuntCompensator", "c", values)
    points = [
        element(
            "NonlinearShuntCompensatorPoint",
            f"c{number}",
            {"NonlinearShuntCompensatorPoint.sectionNumber": number, "NonlinearShuntCompensatorPoint.b": b},
            NonlinearShuntCompensatorPoint__NonlinearShuntCompensator="c",
        )
        for number, b in ((3, 0.04), (1, 0.01), (2, 0.02))
    ]
    at = element("Terminal", "tc", Terminal__ConductingEquipment="c", Terminal__ConnectivityNode="n2")
    found = read_equipment(transformer(tmp_path, bank, at, *points))
    assert found.grid.shunt_admittance(found.sections) == pytest.approx([0.03j])
    assert found.grid.shunt_admittance(np.array([0.0])) == pytest.approx([0])


def test_what_is_given_as_power_is_taken_with_its_sign(tmp_path):
    given = [
        element("EquivalentInjection", "e", {"EquivalentInjection.p": -30, "EquivalentInjection.q": 4}),
        element("ExternalNetworkInjection", "x", {"ExternalNetworkInjection.p": 7, "ExternalNetworkInjection.q": 1}),
        element("AsynchronousMachine", "a", {"RotatingMachine.p": 3, "RotatingMachine.q": 2}),
        element("StaticVarCompensator", "v", {"StaticVarCompensator.q": -9}),
        element("VsConverter", "h", {"ACDCConverter.p": 50, "ACDCConverter.q": 5}),
    ]
    terminals = [
        element("Terminal", f"t{name}", Terminal__ConductingEquipment=name, Terminal__ConnectivityNode="n1") for name in "exavh"
    ]
    found = read_equipment(transformer(tmp_path, *given, *terminals))
    taken = dict(zip(found.grid.load_ids, zip(found.load_p.tolist(), found.load_q.tolist(), strict=True), strict=True))
    assert taken == {"l": (10, 2), "e": (-30, 4), "x": (7, 1), "a": (3, 2), "v": (0, -9), "h": (50, 5)}


def test_an_open_end_leaves_the_other_end_its_charging(tmp_path):
    line = element("ACLineSegment", "li", {"ACLineSegment.r": 1, "ACLineSegment.x": 5, "ACLineSegment.bch": 1e-4})
    far = element("ConnectivityNode", "n3", ConnectivityNode__ConnectivityNodeContainer="v110")
    near = element("Terminal", "a", Terminal__ConductingEquipment="li", Terminal__ConnectivityNode="n1")
    end = element(
        "Terminal",
        "b",
        {"ACDCTerminal.connected": "false"},
        Terminal__ConductingEquipment="li",
        Terminal__ConnectivityNode="n3",
    )
    found = read_equipment(transformer(tmp_path, line, far, near, end))
    voltage = solved(found)
    row, side = found.branch_side["a"]
    charging = voltage[2][side][row]
    assert charging.imag == pytest.approx(-1e-4 * 110**2, rel=1e-2)
