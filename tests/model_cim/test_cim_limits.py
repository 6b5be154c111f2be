"""Alarm conditions from the SC profile: what they become, and a finding with its place for each that cannot be."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.model_cim.findings import Severity
from scada.model_cim.limits import LimitReader
from scada.model_cim.points import load_model
from scada.model_cim.tables import Limits

BODY = """<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>S</cim:IdentifiedObject.name></cim:Substation>
<cim:Analog rdf:ID="_p"><cim:IdentifiedObject.name>P</cim:IdentifiedObject.name>
 <cim:Measurement.PowerSystemResource rdf:resource="#_s"/>{of_p}</cim:Analog>
<cim:AnalogValue rdf:ID="_p-value"><cim:AnalogValue.Analog rdf:resource="#_p"/>
 <sc:MeasurementValue.expression>1</sc:MeasurementValue.expression></cim:AnalogValue>
<cim:Analog rdf:ID="_q"><cim:IdentifiedObject.name>Q</cim:IdentifiedObject.name>
 <cim:Measurement.PowerSystemResource rdf:resource="#_s"/></cim:Analog>
<cim:AnalogValue rdf:ID="_q-value"><cim:AnalogValue.Analog rdf:resource="#_q"/></cim:AnalogValue>
<cim:Discrete rdf:ID="_d"><cim:IdentifiedObject.name>Earthed</cim:IdentifiedObject.name>
 <cim:Measurement.PowerSystemResource rdf:resource="#_s"/><sc:Discrete.kind>status</sc:Discrete.kind>{of_d}</cim:Discrete>
<cim:DiscreteValue rdf:ID="_d-value"><cim:DiscreteValue.Discrete rdf:resource="#_d"/></cim:DiscreteValue>
<cim:AnalogLimitSet rdf:ID="_set"><cim:AnalogLimitSet.Measurements rdf:resource="#_p"/>
{of_set}
</cim:AnalogLimitSet>
"""
SET_LINE = 16
"""Line of ``of_set`` in the file."""
LIMIT = """<cim:AnalogLimit rdf:ID="_{kind}"><cim:AnalogLimit.value>{value}</cim:AnalogLimit.value>
<cim:AnalogLimit.LimitSet rdf:resource="#_set"/><sc:AnalogLimit.kind>{kind}</sc:AnalogLimit.kind></cim:AnalogLimit>
"""
ASCENDING = {"lolo": 80, "lo": 90, "hi": 110, "hihi": 120}


def attributes(owner, values):
    """XML of SC attributes; a value that begins with # is a reference."""
    return "".join(
        f'<sc:{owner}.{name} rdf:resource="{value}"/>'
        if str(value).startswith("#")
        else f"<sc:{owner}.{name}>{value}</sc:{owner}.{name}>"
        for name, value in values.items()
    )


@pytest.fixture
def load(write):
    """Points by name, and the findings that are errors."""

    def load_body(limits=None, of_p=None, of_d=None, **of_set):
        parts = {"of_p": attributes("Measurement", of_p or {}), "of_d": attributes("Measurement", of_d or {})}
        body = BODY.format(of_set=attributes("AnalogLimitSet", of_set), **parts)
        body += "".join(LIMIT.format(kind=kind, value=value) for kind, value in (limits or {}).items())
        _, tables, findings = load_model(write(body))
        return {point.name: point for point in tables.points}, [one for one in findings if one.severity is Severity.ERROR]

    return load_body


def test_everything_arrives_as_written(load):
    points, findings = load(
        ASCENDING,
        hysteresis=2,
        delay=3,
        offDelay=4,
        rate=30,
        rateWindow=120,
        deviation=7,
        reference="S/Q",
        of_p={"suppressedBy": "#_d-value"},
        of_d={"normalState": 0, "alarmDelay": 1.5, "alarmOffDelay": 2.5},
    )
    assert findings == []
    assert points["P"].limits == Limits(80, 90, 110, 120, 2, 3, 4, 7, "q-value", 30, 120)
    assert points["P"].suppressed_by == "d-value"
    assert points["Earthed"].limits == Limits(delay_s=1.5, off_delay_s=2.5)
    assert points["Q"].limits == Limits()


@pytest.mark.parametrize("name", ["S/Q", "q-value", "#_q-value", "#_q"])
def test_a_point_is_named_by_path_by_mrid_or_by_its_measurement(load, name):
    points, findings = load(deviation=7, reference=name)
    assert (points["P"].limits.reference, findings) == ("q-value", [])


def plain(limits):
    """Fields as text, so that NaN is like NaN."""
    return {name: str(value if isinstance(value, str) else float(value)) for name, value in asdict(limits).items()}


FAULTS = [
    ({"limits": {**ASCENDING, "lolo": 115}}, "limit.order", {"lo": 90, "hi": 110, "hihi": 120}),
    ({"limits": {**ASCENDING, "lolo": 95}}, "limit.order", {"hi": 110, "hihi": 120}),
    ({"limits": {**ASCENDING, "hihi": 100}}, "limit.order", {"lolo": 80, "lo": 90}),
    ({"limits": {"lo": 110, "hi": 110}}, "limit.order", {}),
    ({"limits": {"hi": 10, "hihi": "many"}}, "value.wrong", {"hi": 10}),
    ({"limits": {"hi": 10, "highest": 20}}, "limit.kind", {"hi": 10}),
    ({"limits": ASCENDING, "hysteresis": -1}, "limit.negative", {**ASCENDING, "hysteresis": 0}),
    ({"limits": ASCENDING, "hysteresis": 20}, "limit.hysteresis", {**ASCENDING, "hysteresis": 0}),
    ({"limits": {"lolo": 90, "hi": 110}, "hysteresis": 21}, "limit.hysteresis", {"lolo": 90, "hi": 110, "hysteresis": 0}),
    ({"rate": 30, "rateWindow": 60, "hysteresis": 30}, "limit.hysteresis", {"rate": 30, "hysteresis": 0}),
    ({"deviation": 5, "reference": "S/Q", "hysteresis": 6}, "limit.hysteresis", {"deviation": 5, "reference": "q-value"}),
    ({"limits": {"hi": 10}, "delay": -1}, "limit.negative", {"hi": 10, "delay_s": 0}),
    ({"limits": {"hi": 10}, "offDelay": -1}, "limit.negative", {"hi": 10, "off_delay_s": 0}),
    ({"limits": {"hi": 10}, "delay": 3601}, "limit.delay", {"hi": 10, "delay_s": 0}),
    ({"limits": {"hi": 10}, "offDelay": 30000}, "limit.delay", {"hi": 10, "off_delay_s": 0}),
    ({"limits": {"hi": 10}, "delay": "soon"}, "value.wrong", {"hi": 10, "delay_s": 0}),
    ({"limits": {"hi": 10}, "rate": -3}, "limit.negative", {"hi": 10}),
    ({"limits": {"hi": 10}, "rate": 0}, "limit.negative", {"hi": 10}),
    ({"rate": 3, "rateWindow": 0}, "limit.negative", {"rate": 3, "rate_window_s": 60}),
    ({"limits": {"hi": 10}, "deviation": 5}, "limit.deviation", {"hi": 10}),
    ({"limits": {"hi": 10}, "reference": "S/Q"}, "limit.deviation", {"hi": 10}),
    ({"limits": {"hi": 10}, "deviation": -5, "reference": "S/Q"}, "limit.negative", {"hi": 10}),
    ({"limits": {"hi": 10}, "deviation": 5, "reference": "S/Nobody"}, "limit.reference", {"hi": 10}),
    ({"limits": {"hi": 10}, "deviation": 5, "reference": "#_s"}, "limit.reference", {"hi": 10}),
    ({"limits": {"hi": 10}, "deviation": 5, "reference": "#_nobody"}, "ref.dangling", {"hi": 10}),
    ({"limits": {"hi": 10}, "deviation": 5, "reference": "S/P"}, "limit.reference", {"hi": 10}),
]


@pytest.mark.parametrize(("given_", "rule", "expected"), FAULTS, ids=[f"{n}-{fault[1]}" for n, fault in enumerate(FAULTS)])
def test_a_bad_condition_is_left_out_with_its_finding_and_the_rest_stands(load, given_, rule, expected):
    points, findings = load(**given_)
    found = next(one for one in findings if one.rule == rule)
    assert found.line > 0
    assert found.file.endswith("EQ.xml")
    assert plain(points["P"].limits) == plain(Limits(**expected))


@pytest.mark.parametrize(("name", "line"), [("S/Nobody", 6), ("S/P", 6), ("S/Q", 6), ("#_s", 5)])
def test_who_cannot_suppress_is_left_out_with_its_finding(load, name, line):
    points, findings = load({"hi": 10}, of_p={"suppressedBy": name})
    (finding,) = findings
    assert (finding.rule, finding.line, finding.mrid) == ("point.suppressed-by", line, "p")
    assert "S/P" in finding.text
    assert (points["P"].suppressed_by, points["P"].limits.hi) == ("", 10)


def test_a_finding_of_the_set_points_to_its_line(load):
    _, findings = load(ASCENDING, hysteresis=99)
    assert [(one.rule, one.line) for one in findings] == [("limit.hysteresis", SET_LINE)]


class NoModel:
    """Only findings are asked of it."""

    def finding(self, *args, **more):
        return args


@given(st.dictionaries(st.sampled_from(["lolo", "lo", "hi", "hihi"]), st.integers(0, 6).map(float)))
def test_the_limits_kept_are_in_order_and_none_is_lost_without_a_finding(value):
    findings = []
    kept = LimitReader(NoModel(), findings)._in_order("set", value)
    order = [kept[kind] for kind in ("lolo", "lo", "hi", "hihi") if kind in kept]
    assert order == sorted(set(order))
    assert kept.items() <= value.items()
    assert bool(findings) == (kept != value)
    assert not any(math.isnan(number) for number in order)
