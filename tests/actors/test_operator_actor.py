"""Operator data: order of things, crashes at every step, models that change, and a plain model beside it."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.actors.messages import ChannelAction, Report
from scada.actors.operator import mark_readings
from scada.actors.order_messages import TagsChanged
from scada.control.operator_data import MarkKind
from scada.control.operator_ledger import marks_from_audit
from scada.control.operator_store import OperatorStore
from scada.control.records import Principal
from scada.core.quality import Quality
from scada.events.records import EventKind
from scada.model_cim.tables import ModelTables, PointKind, Station
from scada.security.roles import Right
from tests.actors.harness import OPERATOR, POINTS, point
from tests.actors.operator_rig import FULL, DiedError, Rig

SUBSTITUTED, BLOCKED = int(Quality.MANUAL | Quality.SUBSTITUTED), int(Quality.OPERATOR_BLOCKED)
STATIONS = [Station("st", "S", "North", ())]
TABLES = ModelTables("v", "small", POINTS, [], [], STATIONS, [], [])


def hold(pid=3, value=12.5, reason="meter faulty"):
    return pb.HoldRequest(point=f"m{pid}", value=value, reason=reason)


def block(pid=3):
    return pb.HoldRequest(point=f"m{pid}", block=True, reason="meter jumps")


def release(pid=3):
    return pb.ReleaseRequest(point=f"m{pid}", reason="repaired")


def tag(target="st", kind="do_not_operate"):
    return pb.TagRequest(object=target, type=kind, reason="crew at work")


@pytest.fixture
def rig(tmp_path):
    rig = Rig(tmp_path, TABLES)
    rig.disk.put([0, 1, 2, 3], [2.0, 1.0, 5.0, 7.0])
    yield rig
    rig.close()


def test_a_hold_is_audited_then_kept_then_shown(rig):
    reply = rig.ask_actor(hold())
    assert (reply.accepted, reply.mark_id) == (True, 1)
    assert rig.steps == ["audit", "store", "database"]
    assert rig.shown(3) == (12.5, SUBSTITUTED)
    (row,) = rig.rows()
    assert (row.kind, row.step, row.actor, row.station, row.sequence_id) == ("operator", "substitute", "operator", "desk-1", "1")
    assert (row.mrid, row.path, row.value, row.code, row.reason) == ("m3", "S/3", 12.5, "accepted", "meter faulty")
    assert row.evidence == b"envelope"
    ((event,),) = [message.events for message in rig.events.take(Report)]
    assert (event.kind, event.key, event.pid, event.actor) == (EventKind.OPERATOR, "operator.substituted", 3, "operator")
    assert event.parameters["value"] == "12.5 MW"
    rig.disk.put([3], [8.0])
    (reading,) = rig.readings()
    assert (reading.value, reading.field_value, reading.field_quality, reading.pid) == (12.5, 8.0, 0, 3)


def test_a_block_freezes_and_a_release_asks_the_station(rig):
    rig.ask_actor(block())
    rig.disk.put([3], [9.0])
    assert rig.shown(3) == (7.0, BLOCKED)
    assert rig.readings()[0].value == 7.0
    assert math.isnan(rig.view.marks[0].value)
    assert rig.channel.got == []
    assert rig.ask_actor(release()).accepted
    assert rig.shown(3)[0] == 9.0
    assert rig.channel.take(ChannelAction) == [ChannelAction("interrogate", "operator")]
    assert rig.view.marks == ()
    assert [row.step for row in rig.rows()] == ["block", "release"]


def test_a_new_hold_replaces_the_old_one_and_says_whose(rig):
    rig.ask_actor(hold(value=1.0))
    li = replace(OPERATOR, name="li")
    reply = rig.ask_actor(hold(value=2.0), who=li)
    assert (reply.accepted, reply.code, reply.mark_id) == (True, "replaced", 2)
    assert "operator" in reply.reason
    assert [(mark.mark_id, mark.value, mark.user) for mark in rig.view.marks] == [(2, 2.0, "li")]
    assert rig.shown(3) == (2.0, SUBSTITUTED)
    assert (rig.rows()[1].old, rig.rows()[1].code) == (1.0, "replaced")
    assert rig.ask_actor(release()).mark_id == 2
    assert rig.shown(3) == (7.0, 0)


@pytest.mark.parametrize(
    ("rights", "areas", "request_", "code"),
    [
        ({Right.TAG}, {"*"}, hold(), "no_right"),
        ({Right.TAG}, {"*"}, release(), "no_right"),
        ({Right.SUBSTITUTE}, {"*"}, tag(), "no_right"),
        ({Right.SUBSTITUTE}, {"*"}, pb.NoteRequest(object="st", text="x"), "no_right"),
        ({Right.SUBSTITUTE}, {"*"}, pb.RemoveRequest(mark_id=1, reason="x"), "no_right"),
        (set(Right), {"T"}, hold(), "no_area"),
        (set(Right), {"South"}, tag(), "no_area"),
        (set(Right), set(), pb.NoteRequest(object="m1", text="x"), "no_area"),
    ],
)
def test_right_and_area_come_first(rig, rights, areas, request_, code):
    who = Principal("wang", frozenset(), frozenset(rights), frozenset(areas), "desk-2")
    reply = rig.ask_actor(request_, who)
    assert (reply.accepted, reply.code) == (False, code)
    assert rig.steps == ["audit"]
    assert rig.rows()[0].code == f"refused:{code}"
    assert rig.view.marks == ()


def test_area_counts_for_taking_down_too(rig):
    number = rig.ask_actor(tag()).mark_id
    rig.ask_actor(hold())
    stranger = Principal("wang", frozenset(), frozenset(Right), frozenset({"South"}), "desk-2")
    assert rig.ask_actor(pb.RemoveRequest(mark_id=number, reason="x"), stranger).code == "no_area"
    assert rig.ask_actor(release(), stranger).code == "no_area"
    north = Principal("zhao", frozenset(), frozenset(Right), frozenset({"North"}), "desk-2")
    assert rig.ask_actor(pb.RemoveRequest(mark_id=number, reason="x"), north).accepted
    assert rig.ask_actor(release(), north).accepted


def test_a_session_without_a_workstation_places_nothing(rig):
    assert rig.ask_actor(tag(), replace(OPERATOR, station="")).code == "no_workstation"
    assert rig.view.marks == ()


def test_a_hold_is_not_removed_as_a_tag(rig):
    number = rig.ask_actor(hold()).mark_id
    reply = rig.ask_actor(pb.RemoveRequest(mark_id=number, reason="x"))
    assert (reply.code, "release" in reply.reason) == ("unknown_mark", True)
    assert rig.shown(3) == (12.5, SUBSTITUTED)


# ---------------------------------------------------------------- what fails


def test_nothing_happens_without_its_trace(rig):
    rig.fail["audit"] = FULL
    reply = rig.ask_actor(hold())
    assert (reply.accepted, reply.code) == (False, "audit_failed")
    assert rig.view.marks == ()
    assert rig.shown(3) == (7.0, 0)
    assert rig.events.keys() == ["audit.fault"]


def test_nothing_is_held_that_cannot_be_kept(rig):
    rig.ask_actor(tag())
    rig.fail["store"] = FULL
    assert rig.ask_actor(hold()).code == "store_failed"
    assert rig.ask_actor(pb.RemoveRequest(mark_id=1, reason="x")).code == "store_failed"
    assert [mark.mark_id for mark in rig.view.marks] == [1]
    assert rig.shown(3) == (7.0, 0)
    assert [row.step for row in rig.rows()] == ["tag", "substitute", "failed", "remove", "failed"]
    assert rig.events.keys().count("operator.fault") == 2
    assert repr(marks_from_audit(rig.audit.records(), rig.objects)) == repr(list(rig.view.marks))
    rig.restart()
    assert [mark.mark_id for mark in rig.view.marks] == [1]
    assert rig.ask_actor(hold()).mark_id > 1


@pytest.mark.parametrize("step", ["audit", "store", "database"])
@pytest.mark.parametrize("order", [hold(), block(), release(0), hold(0, 1.0), hold(0, 2.0), block(0), hold(2, 3.0)])
def test_after_a_crash_at_any_step_marks_and_database_agree(rig, step, order):
    rig.ask_actor(hold(0, 1.0))
    rig.ask_actor(block(2))
    rig.fail[step] = DiedError()
    with pytest.raises(DiedError):
        rig.ask_actor(order)
    rig.restart()
    ordered = {reading.pid: reading for reading in rig.readings()}
    assert sorted(ordered) == rig.disk.store.held.tolist()
    for pid, reading in ordered.items():
        word = SUBSTITUTED if reading.mark.kind is MarkKind.SUBSTITUTE else BLOCKED
        assert rig.shown(pid)[1] & (word | BLOCKED) == word
        assert reading.mark.kind is MarkKind.BLOCK or rig.shown(pid)[0] == reading.mark.value
    marks = {mark.mrid: (mark.kind, mark.value) for mark in rig.view.marks}
    before = {"m0": (MarkKind.SUBSTITUTE, 1.0), "m2": (MarkKind.BLOCK, math.nan)}
    if step == "database":
        before[order.point] = (MarkKind.SUBSTITUTE, getattr(order, "value", 0.0))
        if isinstance(order, pb.ReleaseRequest):
            del before[order.point]
        elif order.block:
            before[order.point] = (MarkKind.BLOCK, math.nan)
    assert repr(sorted(marks.items())) == repr(sorted(before.items())), "durable is what reached the store, no more, no less"
    assert set(rig.events.keys()) <= {"operator.reasserted", "operator.let_go"}


def test_a_database_that_lost_its_holds_is_told_again(rig):
    rig.ask_actor(hold())
    rig.disk.store.release(3)
    rig.disk.store.commit()
    rig.restart()
    assert rig.shown(3) == (12.5, SUBSTITUTED)
    ((event,),) = [message.events for message in rig.events.take(Report)]
    assert (event.key, event.parameters["user"], event.pid) == ("operator.reasserted", "operator", 3)


def test_a_hold_that_nobody_ordered_is_let_go_and_said(rig):
    rig.disk.store.hold(2, 99.0)
    rig.disk.store.commit()
    rig.restart()
    assert rig.disk.store.held.tolist() == []
    assert rig.events.keys() == ["operator.let_go"]
    assert rig.channel.take(ChannelAction)


# ---------------------------------------------------------------- restarts and models


def test_everything_survives_a_restart(rig):
    rig.ask_actor(hold())
    rig.ask_actor(tag())
    rig.ask_actor(tag())
    rig.ask_actor(pb.NoteRequest(object="m1", text="two\nlines"))
    before = rig.view.marks
    rig.restart()
    assert repr(rig.view.marks) == repr(before)
    assert rig.shown(3) == (12.5, SUBSTITUTED)
    assert rig.events.keys() == []
    assert rig.ask_actor(tag()).mark_id == 5


def test_numbers_are_never_used_twice(rig):
    rig.ask_actor(tag())
    rig.ask_actor(pb.RemoveRequest(mark_id=1, reason="done"))
    rig.restart()
    assert rig.ask_actor(tag()).mark_id == 2


def test_a_mark_on_a_removed_point_is_kept_said_and_comes_back_with_it(rig):
    rig.ask_actor(hold())
    rig.ask_actor(pb.NoteRequest(object="m3", text="look"))
    removed = [*POINTS[:3], replace(POINTS[3], removed=True, station="", path="removed/m3")]
    rig.restart(replace_points(removed))
    assert rig.events.keys() == ["operator.orphaned"] * 2
    assert [(reading.pid, reading.mark.path, reading.mark.station) for reading in rig.readings()] == [(-1, "S/3", "S")] * 2
    assert rig.disk.store.held.tolist() == []
    rig.restart(TABLES)
    assert rig.events.keys() == ["operator.reasserted"]
    assert rig.shown(3) == (12.5, SUBSTITUTED)
    rig.restart(replace_points(removed))
    assert rig.ask_actor(release()).accepted, "what is no longer in the model can be taken down"
    assert rig.ask_actor(pb.RemoveRequest(mark_id=2, reason="gone")).accepted
    assert rig.view.marks == ()


def test_a_station_that_got_another_name_keeps_its_marks(rig):
    rig.ask_actor(tag("m1", "defect"))
    renamed = [replace(each, station="T", path=each.path.replace("S/", "T/")) for each in POINTS]
    rig.restart(ModelTables("w", "small", renamed, [], [], [Station("st", "T", "South", ())], [], []))
    shown = [mark_readings(rig.view.marks, rig.objects, rig.disk.store, name) for name in ("S", "T", "U")]
    assert [len(found) for found in shown] == [1, 1, 0]
    before = Principal("wang", frozenset(), frozenset(Right), frozenset({"S", "North"}), "desk-2")
    order = pb.RemoveRequest(mark_id=1, reason="repaired")
    assert rig.ask_actor(order, before).code == "no_area"
    assert rig.ask_actor(order, replace(before, areas=frozenset({"South"}))).accepted


def replace_points(points):
    return ModelTables("w", "small", points, [], [], STATIONS, [], [])


def test_the_lost_store_is_rebuilt_from_the_audit_log(rig):
    rig.ask_actor(hold())
    rig.ask_actor(hold(value=3.0))
    rig.ask_actor(block(2))
    rig.ask_actor(tag("m1", "maintenance"))
    rig.ask_actor(tag("nowhere"))
    rig.ask_actor(pb.NoteRequest(object="st", text="call first"))
    rig.ask_actor(release(2))
    assert repr(marks_from_audit(rig.audit.records(), rig.objects)) == repr(list(rig.view.marks))


def test_a_damaged_store_is_moved_aside(rig, tmp_path):
    rig.ask_actor(hold())
    rig.kept.close()
    path = tmp_path / "operator" / "operator.lmdb"
    path.write_bytes(path.read_bytes()[:5000])
    store, what = OperatorStore.open_or_quarantine(tmp_path / "operator", rig.clock)
    assert "was moved to operator.lmdb.corrupt-" in what
    assert store.marks == {}
    assert store.next_id == rig.clock.now_ns() // 1_000_000
    store.close()


# ---------------------------------------------------------------- tags


def test_alarms_of_tagged_points_are_set_aside_as_a_whole(rig):
    assert rig.events.take(TagsChanged) == [TagsChanged({})]
    rig.ask_actor(tag("st", "maintenance"))
    rig.ask_actor(tag("m1", "alarms_off"))
    rig.ask_actor(tag("m2", "do_not_close"))
    told = rig.events.take(TagsChanged)[-1].reasons
    assert told.keys() == {"m0", "m1", "m2", "m3"}
    assert told["m1"] == "maintenance on S by operator: crew at work"
    rig.restart()
    assert rig.events.take(TagsChanged)[-1].reasons == told
    rig.ask_actor(pb.RemoveRequest(mark_id=1, reason="done"))
    assert rig.events.take(TagsChanged)[-1].reasons.keys() == {"m1"}


# ---------------------------------------------------------------- beside a plain model

ORDERS = st.one_of(
    st.builds(hold, st.integers(0, 4), st.sampled_from([0.0, 1.0, 2.0, 2.5, math.nan])),
    st.builds(block, st.integers(0, 4)),
    st.builds(release, st.integers(0, 4)),
    st.builds(tag, st.sampled_from(["st", "m0", "m9"]), st.sampled_from(["maintenance", "nonsense"])),
    st.builds(pb.NoteRequest, object=st.sampled_from(["st", "m1"]), text=st.sampled_from(["", "note", "x" * 501])),
    st.builds(pb.RemoveRequest, mark_id=st.integers(1, 9), reason=st.sampled_from(["", "done"])),
    st.sampled_from(["restart", "restart", "again"]),
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0, 2.0])),
)
SMALL = [point(0, PointKind.DOUBLE), point(1, PointKind.DOUBLE), point(2), point(3)]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ORDERS, max_size=14))
def test_any_orders_and_restarts_leave_what_a_plain_model_says(tmp_path_factory, orders):
    with closing(Rig(tmp_path_factory.mktemp("rig"), ModelTables("v", "small", SMALL, [], [], STATIONS, [], []))) as rig:
        _run_beside_a_plain_model(rig, orders)


def _run_beside_a_plain_model(rig, orders):
    marks: dict[int, tuple] = {}
    held: dict[int, float] = {}
    field = dict.fromkeys(range(4), 1.0)
    rig.disk.put(list(field), list(field.values()))
    number = 1
    for order in orders:
        match order:
            case "restart":
                rig.restart()
                rig.disk.put(list(field), list(field.values()))
            case "again":
                rig.begin()
            case (pid, value):
                field[pid] = value
                rig.disk.put([pid], [value])
            case pb.HoldRequest(point=name, block=blocks, value=value):
                pid = int(name[1:])
                good = pid < 4 and (blocks or (math.isfinite(value) and (pid > 1 or value in (0, 1, 2, 3))))
                assert rig.ask_actor(order).accepted is good
                if good:
                    marks = {n: mark for n, mark in marks.items() if mark[:2] != ("hold", name)}
                    marks[number] = ("hold", name)
                    held[pid] = held.get(pid, field[pid]) if blocks else value
                    number += 1
            case pb.ReleaseRequest(point=name):
                good = ("hold", name) in marks.values()
                assert rig.ask_actor(order).accepted is good
                if good:
                    marks = {n: mark for n, mark in marks.items() if mark != ("hold", name)}
                    held.pop(int(name[1:]))
            case pb.TagRequest(object=target, type=kind):
                good = target != "m9" and kind == "maintenance"
                assert rig.ask_actor(order).accepted is good
                if good:
                    marks[number] = ("tag", target)
                    number += 1
            case pb.NoteRequest(object=target, text=text):
                assert rig.ask_actor(order).accepted is (text == "note")
                if text == "note":
                    marks[number] = ("note", target)
                    number += 1
            case pb.RemoveRequest(mark_id=n, reason=reason):
                good = bool(reason) and marks.get(n, ("hold",))[0] != "hold"
                assert rig.ask_actor(order).accepted is good
                if good:
                    del marks[n]
        kinds = {MarkKind.SUBSTITUTE: "hold", MarkKind.BLOCK: "hold", MarkKind.TAG: "tag", MarkKind.NOTE: "note"}
        assert {mark.mark_id: (kinds[mark.kind], mark.mrid) for mark in rig.view.marks} == marks
        assert rig.disk.store.held.tolist() == sorted(held)
        shown = {pid: rig.shown(pid)[0] for pid in range(4)}
        assert shown == field | held
