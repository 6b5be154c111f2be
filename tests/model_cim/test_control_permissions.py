"""Interlocks that the model writes as conditions: from the files to the tables, and what a wrong one means."""

from __future__ import annotations

import pytest

from scada.model_cim.effects import effects
from scada.model_cim.effects.kinds import EffectKind
from scada.model_cim.points import load_model
from scada.model_cim.tables import PointKind

LINE = "    <sc:Control.{prop}>{text}</sc:Control.{prop}>\n"


@pytest.fixture(scope="module")
def objects(demo):
    """A switch control of the demo grid, an analog point and the path of another switch of its station."""
    model, tables, _ = demo
    switches = [one for one in tables.controls if one.station == "Nanping" and one.control_type == "SwitchPosition"]
    analog = next(one for one in tables.points if one.station == "Nanping" and one.kind is PointKind.ANALOG)
    other = switches[1]
    return switches[0], analog, other, model.path(other.equipment)


def permitted(edited, control, prop, text):
    line = f'<cim:Command rdf:ID="_{control.mrid}">\n'
    text = text.replace("<", "&lt;")
    return load_model(edited("SC-Nanping.xml", line, line + LINE.format(prop=prop, text=text)))


@pytest.mark.parametrize(
    ("prop", "directions"),
    [("permittedWhen", (True, True)), ("openPermittedWhen", (True, False)), ("closePermittedWhen", (False, True))],
)
def test_a_condition_reaches_the_control_with_its_names_resolved(edited, objects, prop, directions):
    control, analog, other, path = objects
    text = f'"{analog.path}" < 5 and not closed("{path}")'
    _, tables, findings = permitted(edited, control, prop, text)
    (permission,) = tables.control_by_mrid[control.mrid].permitted_when
    assert (permission.text, permission.opens, permission.closes) == (text, *directions)
    assert permission.pids == (analog.pid,)
    assert permission.equipment == (other.equipment,)
    assert not [one for one in findings if one.rule == "control.permitted-when"]


@pytest.mark.parametrize(
    ("text", "said"),
    [('"nowhere" == 1', "nowhere"), ('closed("nowhere")', "nowhere"), ('"x" <', "column"), ("delay(1, 2)", "time")],
)
def test_a_condition_that_cannot_be_used_is_an_error_and_forbids(edited, objects, text, said):
    control = objects[0]
    _, tables, findings = permitted(edited, control, "permittedWhen", text)
    (permission,) = tables.control_by_mrid[control.mrid].permitted_when
    assert permission.expression is None
    (finding,) = [one for one in findings if one.rule == "control.permitted-when"]
    assert finding.mrid == control.mrid
    assert said in finding.text
    assert "never be operated" in finding.text


def test_a_condition_that_goes_is_dangerous(edited, objects, demo):
    control, analog, _, _ = objects
    text = f'"{analog.path}" < 5'
    model, tables, _ = permitted(edited, control, "closePermittedWhen", text)
    there = effects(demo[1], tables, demo[0], model)
    back = effects(tables, demo[1], model, demo[0])
    assert [one.kind for one in there.rows if one.mrid == control.mrid] == [EffectKind.INTERLOCK_ADDED]
    (gone,) = [one for one in back.rows if one.mrid == control.mrid]
    assert (gone.kind, gone.dangerous) == (EffectKind.INTERLOCK_REMOVED, True)
    assert text in gone.text("en")
