"""Orders that hold over a restart, read from the audit log: the last one counts, refused ones change nothing."""

import asyncio
import contextlib
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
from scadapb.v1 import scada_pb2 as pb

from scada.actors.dispatch_requests import PastOrder, accepted_orders, is_kept, past_orders
from scada.actors.facade import Facade
from scada.actors.mode_orders import mode_row, outcome_row
from scada.actors.standing import standing_orders
from scada.control.records import ModeReply, Principal
from scada.core.clock import NS_PER_S, VirtualClock
from scada.events.log import EventLog
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditLog, AuditRow
from scada.security.roles import Right

WHO = Principal("li", frozenset(), frozenset(), frozenset())
NOTHING = SimpleNamespace(areas=[], zones=[])


@pytest.fixture
def audit(tmp_path):
    with AuditLog(tmp_path, VirtualClock()) as log:
        yield log


def signed(body, method=""):
    header = pb.Header(method=f"/scadapb.v1.{method}").SerializeToString()
    return pb.Signed(header=header, body=body.SerializeToString()).SerializeToString()


def ordered(audit, user="operator", *, known=True, **target):
    evidence = signed(pb.SetModeRequest(**target), "Control/SetMode")
    row = AuditRow("mode", "x", user, evidence=evidence)
    audit.append(row)
    if known:
        audit.append(outcome_row(row, ModeReply(True)))


def test_the_last_order_of_each_kind_holds(audit):
    assert standing_orders(audit.records()) == standing_orders([])
    ordered(audit, agc="on")
    ordered(audit, avc="on")
    ordered(audit, agc="off")
    ordered(audit, unit=pb.UnitMode(unit="u1", base_mode="BASE", reg_mode="O", base_point_mw=50))
    ordered(audit, unit=pb.UnitMode(unit="u1", base_mode="AUTO", reg_mode="R"))
    ordered(audit, user="li", channel=pb.ChannelCommand(channel="A", action="quarantine"))
    ordered(audit, channel=pb.ChannelCommand(channel="B", action="quarantine"))
    ordered(audit, channel=pb.ChannelCommand(channel="B", action="release"))
    ordered(audit, channel=pb.ChannelCommand(channel="A", action="interrogate"))
    audit.append(AuditRow("control", "select", "operator", evidence=b"not a mode"))
    orders = standing_orders(audit.records())
    assert [one.WhichOneof("target") for one in orders.modes] == ["avc", "agc", "unit"]
    assert (orders.modes[1].agc, orders.modes[0].avc) == ("off", "on")
    assert orders.modes[2].unit.base_mode == "AUTO"
    assert orders.quarantined == {"A": "li"}


def test_areas_units_and_loops_stand_apart(audit):
    ordered(audit, agc="on", area="East")
    ordered(audit, agc="monitor", area="West")
    ordered(audit, control_mode="CFC", area="East")
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="closed"))
    ordered(audit, loop=pb.LoopOrder(mrid="u2", loop="open"))
    ordered(audit, agc="off", area="East")
    ordered(audit, unlock="u1")
    ordered(audit, benchmarks=pb.BenchmarkOrder(unit="p1", members=["m1"]))
    ordered(audit, benchmarks=pb.BenchmarkOrder(unit="p1", members=["m2"]))
    found = [(one.WhichOneof("target"), one.area, one.loop.mrid) for one in standing_orders(audit.records()).modes]
    loops = [("loop", "", "u1"), ("loop", "", "u2")]
    last = [("agc", "East", ""), ("benchmarks", "", "")]
    assert found == [("agc", "West", ""), ("control_mode", "East", ""), *loops, *last]
    assert standing_orders(audit.records()).modes[-1].benchmarks.members == ["m2"]


def test_an_order_that_was_refused_leaves_the_one_before_it(audit):
    ordered(audit, agc="off", area="East")
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="open"))
    for wrong in (
        pb.SetModeRequest(agc="of", area="East"),
        pb.SetModeRequest(loop=pb.LoopOrder(mrid="u1", loop="klosed")),
        pb.SetModeRequest(avc="maybe"),
    ):
        row = mode_row(wrong, WHO, NOTHING, signed(wrong, "Control/SetMode"))
        audit.append(row)
        audit.append(outcome_row(row, ModeReply(False, "invalid", "no such thing")))
    orders = standing_orders(audit.records()).modes
    assert [(one.agc, one.loop.loop) for one in orders] == [("off", ""), ("", "open")]


def test_an_order_that_a_crash_left_without_outcome_leaves_the_accepted_one_below_it(audit):
    """Ordered again in this turn, a refused one is refused again and changes nothing."""
    ordered(audit, agc="on", area="East")
    ordered(audit, agc="off", area="East")
    ordered(audit, agc="on", area="West")
    ordered(audit, agc="of", area="East", known=False)
    found = [(one.area, one.agc) for one in standing_orders(audit.records()).modes]
    assert found == [("East", "off"), ("West", "on"), ("East", "of")]
    ordered(audit, agc="monitor", area="East")
    found = [(one.area, one.agc) for one in standing_orders(audit.records()).modes]
    assert found == [("West", "on"), ("East", "monitor")], "the next one that is accepted ends what was not known"


def test_the_row_of_an_order_names_its_object():
    unit, device = SimpleNamespace(mrid="u1", name="G 1"), SimpleNamespace(mrid="c1", name="C 1")
    tables = SimpleNamespace(
        areas=[SimpleNamespace(units=[unit])], zones=[SimpleNamespace(sources=[], devices=[device], controls=())]
    )

    def row(**target):
        made = mode_row(pb.SetModeRequest(**target), WHO, tables, b"e")
        return made.step, made.mrid, made.path, made.reason, "" if math.isnan(made.value) else made.value

    assert row(loop=pb.LoopOrder(mrid="u1", loop="test", test_value=80)) == ("loop", "u1", "G 1", "test", 80.0)
    assert row(loop=pb.LoopOrder(mrid="u1", loop="open")) == ("loop", "u1", "G 1", "open", "")
    base = pb.UnitMode(unit="u1", base_mode="BASE", reg_mode="O", base_point_mw=50)
    assert row(unit=base) == ("unit", "u1", "G 1", "BASE O", 50.0)
    assert row(unit=pb.UnitMode(unit="u1", base_mode="AUTO", reg_mode="R")) == ("unit", "u1", "G 1", "AUTO R", "")
    assert row(unlock="c1") == ("unlock", "c1", "C 1", "", "")
    assert row(benchmarks=pb.BenchmarkOrder(unit="u1", members=["m1", "m2"])) == ("benchmarks", "u1", "G 1", "m1, m2", "")
    assert row(agc="off", area="East") == ("agc", "", "East", "off", "")
    assert row(avc="monitor") == ("avc", "", "", "monitor", "")
    assert row(control_mode="CFC", area="East") == ("control_mode", "", "East", "CFC", "")
    command = pb.ChannelCommand(channel="A", action="switch", arguments={"link": "2"})
    assert row(channel=command) == ("channel", "", "A", "switch link=2", "")
    step, mrid, path, words, _ = row(loop=pb.LoopOrder(mrid="x" * 10**5, loop="y" * 10**5))
    assert (step, len(mrid), path, len(words)) == ("loop", 64, "", 1000)


def test_the_facade_audits_before_the_act_and_says_what_was_refused(monkeypatch):
    rows, acts, told = [], [], []

    async def answer(application, message):
        acts.append((application, len(rows)))
        good = message.request.loop.loop == "open"
        return ModeReply(good, "" if good else "invalid", "" if good else "no such loop")

    monkeypatch.setattr("scada.actors.facade.answer_of", answer)
    facade = Facade.__new__(Facade)
    facade._system = SimpleNamespace(
        audit=SimpleNamespace(append=rows.append),
        tables=SimpleNamespace(areas=[], zones=[]),
        agc="agc",
        avc="avc",
        dispatch=SimpleNamespace(tell=told.append),
    )

    def order(loop, rights):
        who = Principal("li", frozenset(), frozenset(rights), frozenset({"*"}))
        return asyncio.run(facade.set_mode(pb.SetModeRequest(loop=pb.LoopOrder(mrid="d", loop=loop)), who, b"e"))

    assert order("open", {Right.MODE}).accepted
    assert not order("klosed", {Right.MODE}).accepted
    assert order("test", {Right.MODE}).code == "no_right"
    assert order("open", {Right.SETPOINT}).code == "no_right"
    assert [(one.user, one.request.loop.loop) for one in told] == [("li", "open")], "dispatch hears of what was accepted only"
    assert [(row.step, row.mrid, row.reason) for row in rows] == [
        ("loop", "d", "open"),
        ("loop accepted", "d", ""),
        ("loop", "d", "klosed"),
        ("loop refused", "d", "no such loop"),
    ]
    assert acts == [("avc", 1), ("avc", 3)]


def test_a_test_does_not_outlive_its_server(audit):
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="closed"))
    ordered(audit, loop=pb.LoopOrder(mrid="u1", loop="test", test_value=80.0))
    (order,) = standing_orders(audit.records()).modes
    assert (order.loop.mrid, order.loop.loop) == ("u1", "open")


def test_only_accepted_orders_of_dispatch_are_taken_up_again(audit):
    def order(body, method):
        audit.append(AuditRow("dispatch", "order", "dispatcher", "", "", body.order_id, evidence=signed(body, method)))

    order(pb.AreaSetpoint(area="East", interchange_mw=10, order_id="a"), "Dispatch/SendSetpoint")
    order(pb.AreaSetpoint(area="East", interchange_mw=1e9, order_id="refused"), "Dispatch/SendSetpoint")
    order(pb.Schedule(area="East", order_id="s", mw=[1, 2]), "Dispatch/SendSchedule")
    found = past_orders(audit.records(), {("dispatcher", "a"): 0, ("dispatcher", "s"): 0})
    assert [(type(one.request), one.request.order_id, one.sender) for one in found] == [
        (pb.AreaSetpoint, "a", "dispatcher"),
        (pb.Schedule, "s", "dispatcher"),
    ]


def test_what_was_refused_under_an_id_is_not_taken_for_what_was_accepted_under_it(audit):
    for mw, code in ((500, "refused"), (50, "accepted"), (700, "refused")):
        body = pb.AreaSetpoint(area="East", interchange_mw=mw, order_id="a")
        row = AuditRow("dispatch", "order", "dispatcher", "", "", "a", evidence=signed(body, "Dispatch/SendSetpoint"))
        audit.append(row)
        audit.append(replace(row, step="answer", evidence=b"", code=code))
    (found,) = past_orders(audit.records(), {("dispatcher", "a"): 0})
    assert found.request.interchange_mw == 50


def test_a_masters_order_in_the_audit_log_keeps_no_server_from_its_start(audit):
    audit.append(AuditRow("dispatch", "order", "upstream:province", "", "", "104-1", evidence=b'{"master": "10.0.0.1"}'))
    assert past_orders(audit.records(), {("upstream:province", "104-1"): 0}) == []


def test_orders_that_ended_before_their_time_are_known_as_ended(tmp_path):
    clock = VirtualClock()
    with contextlib.closing(EventLog(tmp_path, clock)) as log:
        for key, order in (("accepted", "a"), ("accepted", "b"), ("withdrawn", "a"), ("accepted", "c"), ("fallback", "c")):
            told = {"order": order, "sender": "d"}
            clock.advance(1)
            log.append([Event(clock.now_ns(), EventKind.DISPATCH, AlarmClass.NOTICE, 3, f"dispatch.{key}", told)])
        found = accepted_orders(log)
    start = clock.now_ns() - 5 * NS_PER_S
    assert found == {("d", "a"): start + 3 * NS_PER_S, ("d", "b"): 0, ("d", "c"): start + 5 * NS_PER_S}


def test_every_accepted_order_is_found_however_many_came_after_it(tmp_path):
    clock = VirtualClock()
    with contextlib.closing(EventLog(tmp_path, clock)) as log:
        keys = ["dispatch.accepted", "dispatch.clipped", *["dispatch.refused"] * 10_100]
        log.append(
            [
                Event(clock.now_ns(), EventKind.DISPATCH, AlarmClass.NOTICE, 3, key, {"order": f"o{number}", "sender": "d"})
                for number, key in enumerate(keys)
            ]
        )
        assert accepted_orders(log) == {("d", "o0"): 0, ("d", "o1"): 0}


def test_plans_of_days_that_are_not_kept_are_passed_over():
    day = 86_400 * NS_PER_S
    old, new = 20_000 * day, 20_100 * day
    oldest = 20_050 * day
    plans = [PastOrder(pb.Schedule(start_ns=start, step_s=900, mw=[1.0] * 96), "d", start) for start in (old, oldest - day, new)]
    assert [is_kept(one, oldest) for one in plans] == [False, True, True]
    edits = [PastOrder(pb.ScheduleEdit(day=name), "d", old) for name in ("2024-10-04", "2024-11-22", "2024-11-23", "2025-01-01")]
    assert [is_kept(one, oldest) for one in edits] == [False, False, True, True]
    assert is_kept(PastOrder(pb.AreaSetpoint(area="East"), "d", old), oldest)
