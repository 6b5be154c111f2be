"""Engineered interlocks: from the model to the tables, and what taking one away means."""

from __future__ import annotations

import pytest

from scada.model_cim.effects import effects
from scada.model_cim.effects.kinds import EffectKind
from scada.model_cim.points import load_model
from scada.model_cim.tables import PointKind

LINE = '    <sc:Control.{prop} rdf:resource="#_{mrid}"/>\n'


@pytest.fixture(scope="module")
def breaker(demo):
    """A control of the demo grid, and a status point of its station."""
    _, tables, _ = demo
    control = next(one for one in tables.controls if one.station == "Nanping" and one.control_type == "SwitchPosition")
    status = next(one for one in tables.points if one.station == "Nanping" and one.kind is PointKind.STATUS)
    return control, status


def interlocked(edited, control, prop, mrid):
    line = f'<cim:Command rdf:ID="_{control.mrid}">\n'
    return load_model(edited("SC-Nanping.xml", line, line + LINE.format(prop=prop, mrid=mrid)))


@pytest.mark.parametrize(
    ("prop", "directions"), [("enabledBy", (True, True)), ("openEnabledBy", (True, False)), ("closeEnabledBy", (False, True))]
)
def test_a_control_knows_the_point_that_must_allow_it(edited, breaker, prop, directions):
    control, status = breaker
    _, tables, findings = interlocked(edited, control, prop, status.mrid)
    (enabling,) = tables.control_by_mrid[control.mrid].enabled_by
    assert (enabling.pid, enabling.path, (enabling.opens, enabling.closes)) == (status.pid, status.path, directions)
    assert not [one for one in findings if one.rule == "control.enabled-by"]


@pytest.mark.parametrize("what", ["missing", "double"])
def test_a_point_that_cannot_allow_anything_forbids_and_is_a_finding(edited, breaker, demo, what):
    control = breaker[0]
    double = next(one for one in demo[1].points if one.kind is PointKind.DOUBLE)
    _, tables, findings = interlocked(edited, control, "enabledBy", double.mrid if what == "double" else "no-such-point")
    (enabling,) = tables.control_by_mrid[control.mrid].enabled_by
    assert enabling.pid is None
    assert [one.mrid for one in findings if one.rule == "control.enabled-by"] == [control.mrid]


def test_an_interlock_that_goes_is_dangerous_and_one_that_comes_is_not(edited, breaker, demo):
    control, status = breaker
    model, tables, _ = interlocked(edited, control, "closeEnabledBy", status.mrid)
    there = effects(demo[1], tables, demo[0], model)
    back = effects(tables, demo[1], model, demo[0])
    assert [one.kind for one in there.rows if one.mrid == control.mrid] == [EffectKind.INTERLOCK_ADDED]
    (gone,) = [one for one in back.rows if one.mrid == control.mrid]
    assert (gone.kind, gone.dangerous) == (EffectKind.INTERLOCK_REMOVED, True)
    assert status.path in gone.text("en")
    assert status.path in gone.text("zh")
