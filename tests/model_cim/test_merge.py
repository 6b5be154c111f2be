"""Two engineers on one model: what does not meet is joined, what does is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_cim.differences import CONTAINER, NAME, NOMINAL, OBJECTS, build, models, same

from scada.model_cim.difference import apply_difference, diff_models
from scada.model_cim.merge import MergeKind, merge
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind


def ref(mrid, to, prop=CONTAINER):
    return Statement(mrid, prop, to, ValueKind.REF)


def said(model):
    return {mrid: (model.class_of(mrid), model.statements_of(mrid)) for mrid in model.mrids}


def joined(one, other):
    """Two models without common objects, in one."""
    both = {**said(one), **said(other)}
    return build({mrid: name for mrid, (name, _) in both.items()}, [line for _, lines in both.values() for line in lines])


HALVES = OBJECTS[:3], OBJECTS[3:]


@settings(max_examples=60)
@given(models(HALVES[0]), models(HALVES[1]), models(HALVES[0]), models(HALVES[1]))
def test_disjoint_edits_are_both_applied_in_any_order(left, right, other_left, other_right):
    base, mine, theirs = joined(left, right), joined(other_left, right), joined(left, other_right)
    merged, other_way = merge(base, mine, theirs), merge(base, theirs, mine)
    assert merged.conflicts == other_way.conflicts == ()
    assert merged.difference == other_way.difference
    both = apply_difference(base, merged.difference)
    assert not diff_models(both, joined(other_left, other_right))
    one_after_the_other = apply_difference(apply_difference(base, diff_models(base, mine)), diff_models(base, theirs))
    assert same(both, one_after_the_other)


@settings(max_examples=60)
@given(models(), models(), models())
def test_any_two_edits_are_joined_or_named_and_neither_side_is_preferred(base, mine, theirs):
    merged, other_way = merge(base, mine, theirs), merge(base, theirs, mine)
    assert merged.difference == other_way.difference
    assert {(one.kind, one.mrid, one.prop) for one in merged.conflicts} == {
        (one.kind, one.mrid, one.prop) for one in other_way.conflicts
    }
    if merged.conflicts:
        assert not merged.difference
        return
    result = apply_difference(base, merged.difference)
    for side in (mine, theirs):
        difference = diff_models(base, side)
        assert all(mrid in result for mrid in difference.added)
        assert not any(mrid in result for mrid in difference.removed if mrid not in difference.added)


@given(models(), models())
def test_the_same_work_twice_is_no_conflict(base, work):
    merged = merge(base, work, work)
    assert merged.conflicts == ()
    assert merged.difference == diff_models(base, work)
    assert merge(base, work, base).difference == diff_models(base, work)


BASE = build(
    {"a": "Breaker", "b": "Bay"}, [Statement("a", NAME, "Q1"), Statement("a", NOMINAL, "1.0"), Statement("b", NAME, "Bay 1")]
)


def edit(forward=(), reverse=(), added=None, removed=None):
    return BASE.edited(Difference(added or {}, removed or {}, tuple(forward), tuple(reverse)))


def kinds(mine, theirs):
    return [(one.kind, one.mrid, one.prop, one.mine, one.theirs) for one in merge(BASE, mine, theirs).conflicts]


def renamed(name):
    return edit([Statement("a", NAME, name)], [Statement("a", NAME, "Q1")])


def test_the_same_property_differently():
    assert kinds(renamed("Q2"), renamed("Q3")) == [(MergeKind.BOTH_CHANGED, "a", NAME, "'Q2'", "'Q3'")]
    assert kinds(renamed("Q2"), renamed("Q2")) == []
    unsaid = edit([], [Statement("a", NAME, "Q1")])
    assert kinds(renamed("Q2"), unsaid) == [(MergeKind.BOTH_CHANGED, "a", NAME, "'Q2'", "nothing")]


def test_the_same_number_written_differently_is_no_conflict():
    scaled = [edit([Statement("a", NOMINAL, text)], [Statement("a", NOMINAL, "1.0")]) for text in ("2.0", "2.00")]
    assert merge(BASE, *scaled).difference == merge(BASE, *reversed(scaled)).difference
    assert merge(BASE, *scaled).difference.forward == (Statement("a", NOMINAL, "2.0"),)


def test_one_removes_what_the_other_changes_or_refers_to():
    removed = edit(reverse=BASE.statements_of("a"), removed={"a": "Breaker"})
    assert kinds(renamed("Q2"), removed) == [
        (MergeKind.REMOVED_CHANGED, "a", "", f"changes {NAME}", "removes it"),
    ]
    without_bay = edit(reverse=BASE.statements_of("b"), removed={"b": "Bay"})
    referring = edit([ref("a", "b")])
    assert kinds(without_bay, referring) == [
        (MergeKind.REMOVED_REFERRED, "b", "", "removes it", f"refers to it: {CONTAINER} of Bay 1/Q1 [a]"),
    ]
    assert kinds(without_bay, without_bay) == []


def test_the_same_new_mrid():
    one = edit([Statement("n", NAME, "New")], added={"n": "Fuse"})
    other = edit([Statement("n", NAME, "New")], added={"n": "Breaker"})
    more = edit([Statement("n", NAME, "New"), Statement("n", NOMINAL, "2")], added={"n": "Fuse"})
    assert kinds(one, one) == []
    assert [kind[:2] for kind in kinds(one, other)] == [(MergeKind.BOTH_NEW, "n")]
    assert [kind[:2] for kind in kinds(one, more)] == [(MergeKind.BOTH_NEW, "n")]


def test_two_classes_for_one_object():
    mine = edit(added={"a": "Fuse"}, removed={"a": "Breaker"})
    theirs = edit(added={"a": "Disconnector"}, removed={"a": "Breaker"})
    assert kinds(mine, theirs) == [(MergeKind.CLASS, "a", "", "'Fuse'", "'Disconnector'")]


GRID = """<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>Nord</cim:IdentifiedObject.name></cim:Substation>
<cim:RemoteUnit rdf:ID="_u"><cim:IdentifiedObject.name>RTU</cim:IdentifiedObject.name>
<sc:RemoteUnit.protocol>iec104</sc:RemoteUnit.protocol><sc:RemoteUnit.commonAddress>1</sc:RemoteUnit.commonAddress>
<sc:RemoteUnit.port>2404</sc:RemoteUnit.port></cim:RemoteUnit>
"""
POINT = """<cim:Analog rdf:ID="_{0}"><cim:IdentifiedObject.name>{1}</cim:IdentifiedObject.name>
<cim:Measurement.PowerSystemResource rdf:resource="#_s"/></cim:Analog>
<cim:AnalogValue rdf:ID="_{0}v"><cim:AnalogValue.Analog rdf:resource="#_{0}"/></cim:AnalogValue>
<cim:RemoteSource rdf:ID="_{0}s"><cim:RemoteSource.MeasurementValue rdf:resource="#_{0}v"/>
<cim:RemotePoint.RemoteUnit rdf:resource="#_u"/><sc:RemotePoint.ioa>{2}</sc:RemotePoint.ioa>
<sc:RemotePoint.typeId>36</sc:RemotePoint.typeId></cim:RemoteSource>
"""


@pytest.fixture
def grid(write, tmp_path):
    def with_points(label, *points):
        folder = write(GRID + "".join(POINT.format(*point) for point in points), name=f"{label}.xml")
        return ModelReader(folder / f"{label}.xml").read()

    return with_points


def test_two_new_points_with_one_address_or_one_name_collide_with_both_places(grid):
    base = grid("base", ("p", "P", 100))
    mine, theirs = grid("mine", ("p", "P", 100), ("m", "Q", 200)), grid("theirs", ("p", "P", 100), ("t", "I", 200))
    assert len(build_tables(mine)[0].points) == 2
    (conflict,) = merge(base, mine, theirs).conflicts
    assert conflict.kind is MergeKind.SAME_ADDRESS
    assert conflict.prop == "RTU CA 1 IOA 200 type 36"
    assert (conflict.mine, conflict.theirs) == ("Nord/Q [mv]", "Nord/I [tv]")
    assert conflict.where_mine.endswith("mine.xml:17")
    assert conflict.where_theirs.endswith("theirs.xml:17")
    assert "mine Nord/Q [mv] at " in str(conflict)
    (named,) = merge(base, mine, grid("other", ("p", "P", 100), ("t", "Q", 300))).conflicts
    assert (named.kind, named.prop) == (MergeKind.SAME_PATH, "Nord/Q")


def test_an_address_that_one_gave_up_is_free_for_the_other(grid):
    base = grid("base", ("p", "P", 100))
    gone, moved = grid("mine", ("m", "Q", 100)), grid("theirs", ("p", "P", 100), ("t", "I", 200))
    merged = merge(base, gone, moved)
    assert merged.conflicts == ()
    tables, _ = build_tables(apply_difference(base, merged.difference))
    assert {(point.path, point.address.ioa) for point in tables.points} == {("Nord/Q", 100), ("Nord/I", 200)}


def test_a_point_moved_onto_the_address_that_a_colleague_gave_to_a_new_one(grid):
    base = grid("base", ("p", "P", 100))
    moved, new = grid("mine", ("p", "P", 200)), grid("theirs", ("p", "P", 100), ("t", "I", 200))
    assert [one.kind for one in merge(base, moved, new).conflicts] == [MergeKind.SAME_ADDRESS]


def test_two_stations_of_the_demo_grid_merge(demo):
    base, tables, _ = demo
    work = []
    for station in ("Beishan", "Donghu"):
        point = next(one for one in tables.points if one.station == station and one.channel >= 0)
        source = base.refs_to(point.mrid, "RemoteSource.MeasurementValue")[0]
        old = base.text(source, "sc:RemotePoint.ioa")
        statements = [Statement(source, "sc:RemotePoint.ioa", value) for value in ("29999", old)]
        work.append(base.edited(Difference(forward=(statements[0],), reverse=(statements[1],))))
    merged = merge(base, *work)
    assert merged.conflicts == ()
    assert len(merged.difference.forward) == 2


def test_conflicts_are_json(grid):
    base = grid("base")
    (conflict,) = merge(base, grid("mine", ("m", "Q", 200)), grid("theirs", ("t", "I", 200))).conflicts
    assert conflict.as_dict()["kind"] == "same-address"


@given(st.data())
def test_values_that_an_object_has_several_times_are_joined(data):
    nodes = [f"n{number}" for number in range(6)]
    objects = {"i": "TopologicalIsland", **dict.fromkeys(nodes, "TopologicalNode")}
    chosen = [data.draw(st.sets(st.sampled_from(nodes), min_size=2)) for _ in range(3)]
    base, mine, theirs = (
        build(objects, [ref("i", node, "TopologicalIsland.TopologicalNodes") for node in sorted(one)]) for one in chosen
    )
    merged = merge(base, mine, theirs)
    assert merged.conflicts == ()
    result = apply_difference(base, merged.difference).refs("i", "TopologicalIsland.TopologicalNodes")
    expected = (chosen[0] - (chosen[0] - chosen[1]) - (chosen[0] - chosen[2])) | (chosen[1] - chosen[0]) | (chosen[2] - chosen[0])
    assert set(result) == expected
