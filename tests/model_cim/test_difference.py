"""Differences of models: exactly what changed, applied only where it fits, taken back without a trace."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cim.differences import CONTAINER, KIND, NAME, NODES, NOMINAL, build, models, same

from scada.core.errors import ModelError
from scada.model_cim.conflicts import ConflictKind
from scada.model_cim.difference import DifferenceError, apply_difference, diff_models
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind


def ref(mrid, to, prop=CONTAINER):
    return Statement(mrid, prop, to, ValueKind.REF)


def conflicts(model, difference):
    with pytest.raises(DifferenceError) as caught:
        apply_difference(model, difference)
    return {(one.kind, one.mrid) for one in caught.value.conflicts}, str(caught.value)


@given(models(), models())
def test_a_difference_leads_from_one_model_to_the_other_and_back(old, new):
    difference = diff_models(old, new, spelling=True)
    there = apply_difference(old, difference)
    assert same(there, new)
    assert same(apply_difference(there, difference.reversed()), old)


@given(models(), models())
def test_a_difference_without_spelling_leads_to_the_same_values(old, new):
    assert not diff_models(apply_difference(old, diff_models(old, new)), new)


@given(models(), st.data())
def test_order_is_no_content(model, data):
    statements = [statement for mrid in model.mrids for statement in model.statements_of(mrid)]
    objects = data.draw(st.permutations([(mrid, model.class_of(mrid)) for mrid in model.mrids]))
    assert not diff_models(model, build(dict(objects), data.draw(st.permutations(statements))), spelling=True)


@settings(max_examples=50)
@given(models(), models(), models())
def test_what_is_applied_to_another_model_is_refused_or_right(old, new, other):
    """An edit never overwrites silently what someone else wrote meanwhile."""
    difference = diff_models(old, new, spelling=True)
    try:
        result = apply_difference(other, difference)
    except DifferenceError:
        return
    unsaid, said = set(difference.reverse), set(difference.forward)
    before = {one for mrid in other.mrids for one in other.statements_of(mrid)}
    after = {one for mrid in result.mrids for one in result.statements_of(mrid)}
    assert said <= after
    assert not unsaid & after
    spelt_otherwise = {(one.mrid, one.prop) for one in unsaid}
    assert {one for one in before - after if (one.mrid, one.prop) not in spelt_otherwise} == set()


def test_exactly_the_edits():
    old = build({"a": "Breaker", "b": "Breaker"}, [Statement("a", NAME, "A"), Statement("b", NAME, "B"), ref("b", "a")])
    new = build(
        {"a": "Breaker", "c": "Disconnector"}, [Statement("a", NAME, "A1"), Statement("c", NAME, "C"), ref("c", "a")]
    )  # fmt: skip
    difference = diff_models(old, new)
    assert difference.added == {"c": "Disconnector"}
    assert difference.removed == {"b": "Breaker"}
    assert set(difference.forward) == {Statement("a", NAME, "A1"), Statement("c", NAME, "C"), ref("c", "a")}
    assert set(difference.reverse) == {Statement("a", NAME, "A"), Statement("b", NAME, "B"), ref("b", "a")}


def test_values_that_an_object_has_several_times_are_a_set():
    objects = {"i": "TopologicalIsland", **{f"n{number}": "TopologicalNode" for number in range(300)}}
    nodes = [ref("i", f"n{number}", NODES) for number in range(300)]
    old = build(objects, nodes)
    new = build(objects, [*reversed(nodes[1:]), nodes[7]])
    difference = diff_models(old, new)
    assert difference.reverse == (nodes[0],)
    assert difference.forward == ()


def test_a_value_beside_the_only_one_needs_that_one_to_be_there():
    objects = dict.fromkeys("abc", "Bay")
    old, new = build(objects, [ref("a", "b")]), build(objects, [ref("a", "b"), ref("a", "c")])
    difference = diff_models(old, new)
    assert (difference.forward, difference.reverse, difference.preconditions) == ((ref("a", "c"),), (), (ref("a", "b"),))
    assert same(apply_difference(old, difference), new)
    found, text = conflicts(build(objects, [ref("a", "a")]), difference)
    assert found == {(ConflictKind.OTHER_VALUE, "a")}
    assert "is a precondition; the model says 'a'" in text


def test_a_number_written_differently_is_listed_only_when_asked():
    old = build({"a": "A"}, [Statement("a", "ACLineSegment.r", "1"), Statement("a", NAME, "1.0")])
    new = build({"a": "A"}, [Statement("a", "ACLineSegment.r", "1.00"), Statement("a", NAME, "1.0")])
    assert not diff_models(old, new)
    assert diff_models(old, new, spelling=True).reverse == (Statement("a", "ACLineSegment.r", "1"),)
    renamed = build({"a": "A"}, [Statement("a", "ACLineSegment.r", "1"), Statement("a", NAME, "1.00")])
    assert diff_models(old, renamed).forward == (Statement("a", NAME, "1.00"),), "a name is no number"


def test_a_literal_that_becomes_a_reference_is_a_change():
    old, new = build({"a": "A"}, [Statement("a", CONTAINER, "a")]), build({"a": "A"}, [ref("a", "a")])
    difference = diff_models(old, new)
    assert (difference.reverse, difference.forward) == ((Statement("a", CONTAINER, "a"),), (ref("a", "a"),))
    assert same(apply_difference(old, difference), new)


def test_every_conflict_is_named_with_its_place(write):
    folder = write(
        '<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>Nord</cim:IdentifiedObject.name></cim:Substation>\n'
        '<cim:Breaker rdf:ID="_b">\n<cim:IdentifiedObject.name>Q1</cim:IdentifiedObject.name>\n'
        '<cim:Equipment.EquipmentContainer rdf:resource="#_s"/></cim:Breaker>\n'
    )
    model = ModelReader(folder).read()
    difference = Difference(
        added={"b": "Breaker"},
        removed={"s": "Substation", "x": "Bay"},
        forward=(Statement("nobody", NAME, "N"), Statement("b", KIND, "UnitSymbol.W", ValueKind.ENUM)),
        reverse=(Statement("b", NAME, "Q0"),),
        preconditions=(Statement("s", NAME, "Sued"),),
    )
    found, text = conflicts(model, difference)
    assert found == {
        (ConflictKind.EXISTS, "b"),
        (ConflictKind.MISSING, "x"),
        (ConflictKind.MISSING, "nobody"),
        (ConflictKind.OTHER_VALUE, "b"),
        (ConflictKind.OTHER_VALUE, "s"),
        (ConflictKind.UNLISTED, "s"),
        (ConflictKind.REFERRED, "b"),
    }
    assert "EQ.xml:6: Nord/Q1 [b] IdentifiedObject.name = 'Q0' goes; the model says 'Q1'" in text
    assert "EQ.xml:7: Nord/Q1 [b] Equipment.EquipmentContainer refers to Substation Nord [s], which goes" in text
    assert "7 conflicts" in text


def test_a_value_that_a_colleague_gave_meanwhile_is_not_overwritten():
    base = build({"a": "A"}, [])
    mine = diff_models(base, build({"a": "A"}, [Statement("a", NOMINAL, "2.5")]))
    found, text = conflicts(build({"a": "A"}, [Statement("a", NOMINAL, "1.5")]), mine)
    assert found == {(ConflictKind.OTHER_VALUE, "a")}
    assert "comes; the model says '1.5' already" in text
    conflicts(apply_difference(base, mine), mine)


def test_a_reverse_statement_may_spell_a_number_differently():
    model = build({"a": "A"}, [Statement("a", "ACLineSegment.x", "7.2409520")])
    difference = Difference(
        forward=(Statement("a", "ACLineSegment.x", "8"),), reverse=(Statement("a", "ACLineSegment.x", "7.240952"),)
    )
    assert apply_difference(model, difference).statements_of("a") == [Statement("a", "ACLineSegment.x", "8")]


def test_a_value_is_not_added_a_second_time_to_those_an_object_has():
    objects = {"i": "TopologicalIsland", "n": "TopologicalNode", "m": "TopologicalNode"}
    model = build(objects, [ref("i", "n", NODES)])
    difference = Difference(forward=(ref("i", "m", NODES),))
    there = apply_difference(model, difference)
    assert len(there.refs("i", NODES)) == 2
    found, _ = conflicts(there, difference)
    assert found == {(ConflictKind.OTHER_VALUE, "i")}


def test_unchecked_applies_what_can_be_applied():
    model = build({"a": "A"}, [Statement("a", NAME, "A")])
    difference = Difference(
        forward=(Statement("a", NOMINAL, "2"), Statement("x", NAME, "X")), reverse=(Statement("a", NAME, "B"),)
    )
    result = apply_difference(model, difference, check=False)
    assert set(result.statements_of("a")) == {Statement("a", NAME, "A"), Statement("a", NOMINAL, "2")}


def test_many_conflicts_are_all_in_the_error_and_the_first_in_its_text():
    model = build({f"o{number}": "A" for number in range(50)}, [])
    difference = Difference(removed={f"o{number}": "B" for number in range(50)})
    with pytest.raises(ModelError, match="and 30 more") as caught:
        apply_difference(model, difference)
    assert len(caught.value.conflicts) == 50


DEVICE = """<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>Nord</cim:IdentifiedObject.name></cim:Substation>
<cim:RemoteUnit rdf:ID="_u"><cim:IdentifiedObject.name>RTU</cim:IdentifiedObject.name>
<sc:RemoteUnit.protocol>modbus-tcp</sc:RemoteUnit.protocol></cim:RemoteUnit>
<sc:Device rdf:ID="_d"><cim:IdentifiedObject.name>Meter</cim:IdentifiedObject.name><sc:Device.template>meter</sc:Device.template>
<sc:Device.RemoteUnit rdf:resource="#_u"/><sc:Device.PowerSystemResource rdf:resource="#_s"/></sc:Device>
"""


@pytest.fixture
def templated(write):
    folder = write(DEVICE)
    (folder / "templates").mkdir()
    template = folder / "templates" / "meter.toml"
    template.write_text('name = "Meter"\nprotocol = "modbus"\n[points]\nP = { kind = "analog", table = "input", register = 1 }\n')
    return folder, template


def test_what_a_template_makes_stands_in_no_difference_and_is_not_edited(templated):
    folder, template = templated
    old = ModelReader(folder).read()
    template.write_text(template.read_text().replace("register = 1", "register = 2"))
    new = ModelReader(folder).read()
    made = next(mrid for mrid in old.ids("Analog"))
    assert old.is_made(made)
    assert not diff_models(old, new, spelling=True), "a changed template is a changed file"
    found, text = conflicts(old, Difference(forward=(Statement(made, KIND, "UnitSymbol.W", ValueKind.ENUM),)))
    assert found == {(ConflictKind.MADE, made)}
    assert "edit the template" in text
    found, _ = conflicts(old, Difference(removed={made: "Analog"}))
    assert found == {(ConflictKind.MADE, made)}


def test_a_device_that_goes_takes_no_statement_of_its_template_with_it(templated):
    folder, _ = templated
    old = ModelReader(folder).read()
    file = folder / "EQ.xml"
    file.write_text(file.read_text().partition("<sc:Device ")[0] + "</rdf:RDF>")
    difference = diff_models(old, ModelReader(folder).read())
    assert difference.removed == {"d": "sc:Device"}
    assert {one.prop for one in difference.reverse} == {
        NAME, "sc:Device.template", "sc:Device.RemoteUnit", "sc:Device.PowerSystemResource",
    }  # fmt: skip
    assert "d" not in apply_difference(old, difference)


@pytest.mark.slow
def test_a_big_official_model_with_edits(public_models):
    old = ModelReader(public_models / "real_bb_cim16.zip").read()
    column = old.column("ACLineSegment.r")
    reverse = [
        Statement(old.mrids[column.subjects[place]], "ACLineSegment.r", column.values[place]) for place in range(0, 1990, 10)
    ]
    forward = [Statement(one.mrid, one.prop, "9.875") for one in reverse]
    victim = old.ids("CurrentLimit")[7]
    edit = Difference(
        added={"new": "Breaker"},
        removed={victim: "CurrentLimit"},
        forward=tuple(sorted([*forward, Statement("new", NAME, "Q0")])),
        reverse=tuple(sorted([*reverse, *old.statements_of(victim)])),
    )
    assert diff_models(old, apply_difference(old, edit)) == edit
