"""Set-points of an upstream master for the dispatch desk: who may, what it hears, what is kept, how often, and who is heard."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from actors.harness import Box, make
from actors.test_upstream_actor import GRANTS, MASTER, STATION, Rig
from protocols.iec104.raw_master import causes, order
from scadapb.v1 import scada_pb2 as pb

from scada.actors.dispatch import DispatchActor, DispatchView
from scada.actors.messages import Tick
from scada.actors.order_messages import DispatchAsked, DispatchHeard, SetInterchange, SetpointTurnedDown
from scada.core.dispatch_settings import DispatchContract, DispatchSettings
from scada.core.settings import MasterSettings
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ForwardedSetPoint
from scada.protocols.iec104 import cp56

AREA, UNIT = 26001, 26002
ROWS = (
    ForwardedSetPoint("s0", "East", "", "East", Iec104Address(7, AREA, 50), select=True),
    ForwardedSetPoint("s1", "East", "g1", "G1", Iec104Address(7, UNIT, 63), scale=2.0),
)
DISPATCHER = {MASTER: MasterSettings(name="province", roles=["DISPATCHER"], areas=["East"])}


class DispatchRig(Rig):
    """An upstream actor with a dispatch desk that the test answers, or a real one (:meth:`answer_by`)."""

    def __init__(self, folder, grants=DISPATCHER, **params):
        super().__init__(folder, replace(STATION, setpoints=ROWS, params=params), grants)

    def asked(self):
        self.deliver()
        return self.dispatch.take(DispatchAsked)

    def replies(self, master, code, **more):
        """Answer the one order that was asked; what the master hears."""
        [asked] = self.asked()
        asked.reply(pb.DispatchReply(code=code, order_id=asked.request.order_id, **more))
        self.deliver()
        return asked, causes(master.pump())


@pytest.fixture
def rig(tmp_path):
    rig = DispatchRig(tmp_path)
    yield rig
    rig.close()


def selected(rig, master, mw):
    master.ask(order(50, AREA, mw, ca=7, select=True))
    rig.deliver()
    assert causes(master.pump()) == [(50, 7, False)]
    master.ask(order(50, AREA, mw, ca=7))


def test_a_selected_set_point_is_ordered_audited_and_terminated(rig):
    master = rig.master()
    selected(rig, master, 55.0)
    asked, heard = rig.replies(master, pb.DISPATCH_CODE_ACCEPTED)
    assert heard == [(50, 7, False), (50, 10, False)]
    assert (asked.request.area, asked.request.unit, asked.request.interchange_mw) == ("East", "", 55.0)
    assert asked.principal.name == "upstream:province"
    row, answer = [record.row for record in rig.audit.records() if record.row.kind == "dispatch"]
    assert (row.sequence_id, row.actor, row.value) == (asked.request.order_id, "upstream:province", 55.0)
    assert (answer.step, answer.sequence_id, answer.code) == ("answer", asked.request.order_id, "accepted")
    assert bytes.fromhex(json.loads(row.evidence)["asdu"])[0] == 50


def test_an_execute_without_its_select_is_refused(rig):
    master = rig.master()
    assert causes(master.ask(order(50, AREA, 55.0, ca=7))) == [(50, 7, True)]
    assert rig.asked() == []


@pytest.mark.parametrize("code", [pb.DISPATCH_CODE_REFUSED, pb.DISPATCH_CODE_OUTRANKED, pb.DISPATCH_CODE_LATE])
def test_what_the_desk_refuses_is_confirmed_negatively(rig, code):
    master = rig.master()
    selected(rig, master, 55.0)
    assert rig.replies(master, code)[1] == [(50, 7, True)]


def test_what_waits_for_an_operator_is_terminated_when_that_is_decided(rig):
    master = rig.master()
    for decided, negative in ((pb.DISPATCH_CODE_CLIPPED, False), (pb.DISPATCH_CODE_EXPIRED, True)):
        selected(rig, master, 55.0)
        asked, heard = rig.replies(master, pb.DISPATCH_CODE_PENDING)
        assert heard == [(50, 7, False)]
        rig.beat()
        question, heard = rig.asked()[0], causes(master.pump())
        assert (question.request.order_id, heard) == (asked.request.order_id, [])
        question.reply(pb.DispatchReply(code=decided, order_id=asked.request.order_id))
        rig.deliver()
        assert causes(master.pump()) == [(50, 10, negative)]
        rig.beat()
        assert rig.asked() == []
    answers = [record.row.code for record in rig.audit.records() if record.row.step == "answer"]
    assert answers == ["pending", "clipped", "pending", "expired"]


def tag(rig, age_s, **more):
    return cp56.to_octets(rig.clock.now_ns() - int(age_s * 10**9), **more)


@pytest.mark.parametrize(
    ("age_s", "code", "words"),
    [(30, "late", "30 s ago"), (-30, "issued_ahead", "30 s ahead"), (None, "time_invalid", "clock is not set")],
)
def test_a_time_tag_that_is_old_ahead_or_invalid_never_reaches_the_desk_and_is_told_with_its_code(rig, age_s, code, words):
    master = rig.master()
    octets = bytearray(tag(rig, age_s or 0))
    octets[2] |= 0x80 if age_s is None else 0  # IV: the master's clock is not set
    assert causes(master.ask(order(63, UNIT, 20.0, ca=7, time=bytes(octets)))) == [(63, 7, True)]
    assert rig.asked() == []
    [row] = [record.row for record in rig.audit.records()]
    assert (row.kind, row.step, row.code, row.value) == ("dispatch", "refused", f"refused:{code}", 40.0)
    assert words in row.reason
    [told] = rig.dispatch.take(SetpointTurnedDown)
    assert (told.sender, told.code, told.request.unit, told.request.interchange_mw) == ("upstream:province", code, "g1", 40.0)
    assert bool(told.request.issued_ns) is (age_s is not None)


def test_the_time_tag_is_when_the_order_was_issued_and_without_one_nobody_knows(rig):
    master = rig.master()
    octets = tag(rig, 3)
    master.ask(order(63, UNIT, 20.0, ca=7, time=octets))
    [asked] = rig.asked()
    assert (asked.request.unit, asked.request.interchange_mw) == ("g1", 40.0), "scaled"
    assert asked.request.issued_ns == rig.clock.now_ns() - 3 * 10**9
    selected(rig, master, 55.0)
    [asked] = rig.asked()
    assert asked.request.issued_ns == 0


def test_a_time_tag_of_who_may_order_nothing_is_not_shown_among_the_orders(tmp_path):
    rig = DispatchRig(tmp_path, GRANTS)
    rig.master().ask(order(63, UNIT, 20.0, ca=7, time=tag(rig, 30)))
    rig.deliver()
    assert rig.dispatch.take(SetpointTurnedDown) == []
    rig.close()


@pytest.mark.parametrize(
    "grants",
    [GRANTS, {MASTER: MasterSettings(name="p", roles=["DISPATCHER"], areas=["West"])}, {}],
    ids=["an operator", "another area", "nobody"],
)
def test_who_has_no_right_or_area_is_refused_and_audited(tmp_path, grants):
    rig = DispatchRig(tmp_path, grants)
    master = rig.master()
    master.ask(order(50, AREA, 55.0, ca=7, select=True))
    rig.deliver()
    assert causes(master.pump()) == [(50, 7, True)]
    assert rig.asked() == []
    assert [record.row.step for record in rig.audit.records()] == ["refused"]
    rig.close()


def test_a_master_that_sends_too_much_is_refused_until_time_has_passed(tmp_path):
    rig = DispatchRig(tmp_path, commands_per_minute=3)
    master = rig.master()
    heard = []
    for _ in range(5):
        master.ask(order(50, AREA, 55.0, ca=7, select=True))
        rig.deliver()
        heard += [negative for _, _, negative in causes(master.pump())]
        master.ask(order(50, AREA, 55.0, ca=7, select=True, cause=8))
        rig.deliver()
        master.pump()
    assert heard == [False, False, False, True, True]
    rig.beat(20)
    master.ask(order(50, AREA, 55.0, ca=7, select=True))
    rig.deliver()
    assert causes(master.pump()) == [(50, 7, False)]
    rig.close()


def test_a_started_link_is_heard_and_one_that_is_down_is_gone(rig):
    master = rig.master(peer=f"{MASTER}:40112")
    rig.beat()
    assert rig.dispatch.take(DispatchHeard) == [DispatchHeard("upstream:province")]
    master.leave()
    rig.beat()
    rig.beat()
    assert rig.dispatch.take(DispatchHeard) == [DispatchHeard("upstream:province", gone=True)]


def whole_way(demo, tmp_path, rows, **contract):
    """Master, station, a real dispatch desk; AGC and events are boxes."""
    tables = demo[1]
    area = next(one for one in tables.areas if one.controlled)
    rig = DispatchRig(tmp_path)
    rig.die()
    rig.station = replace(rig.station, setpoints=tuple(replace(row, area=area.name) for row in rows))
    rig.masters = {MASTER: replace(rig.masters[MASTER], areas=frozenset({area.name}))}
    rig.disk.open()
    rig.open()
    agc, events, view = Box(), Box(), DispatchView()
    contracts = {"upstream:province": DispatchContract(**contract)}
    desk = make(
        DispatchActor,
        tables=tables,
        past=[],
        seen=[],
        agc=agc,
        events=events,
        view=view,
        clock=rig.clock,
        settings=DispatchSettings(contracts=contracts, hold_s=20),
    )
    rig.dispatch.tell = desk.receive
    return rig, area, desk, agc, events, view


TIMED = ForwardedSetPoint("s2", "East", "", "East", Iec104Address(7, AREA, 63))


def test_a_set_point_that_was_issued_before_the_one_in_force_is_out_of_order(demo, tmp_path):
    """Two links of a centre: what was sent first comes last. Without time tags the one that comes last counts."""
    rig, _, desk, agc, events, view = whole_way(demo, tmp_path, (TIMED,))
    master = rig.master()
    for mw, age_s, negative in ((40.0, 1, False), (30.0, 5, True), (20.0, 0, False)):
        master.ask(order(63, AREA, mw, ca=7, time=tag(rig, age_s)))
        rig.deliver()
        assert causes(master.pump())[0] == (63, 7, negative)
        rig.clock.advance(0.1)
    desk.receive(Tick())
    assert agc.take(SetInterchange)[-1].mw == 20.0
    assert events.keys() == ["dispatch.accepted", "dispatch.out_of_order", "dispatch.accepted"]
    master.ask(order(63, AREA, 10.0, ca=7, time=tag(rig, 60)))
    rig.deliver()
    desk.receive(Tick())
    late = view.status.orders[0]
    assert (late.code, late.reason_code, late.mw, late.sender) == (pb.DISPATCH_CODE_LATE, "late", 10.0, "upstream:province")
    assert events.keys()[-1] == "dispatch.late"
    assert agc.take(SetInterchange)[-1].mw == 20.0
    rig.close()


def test_a_contract_can_demand_the_time_of_issue(demo, tmp_path):
    rig, _, desk, _, _, view = whole_way(demo, tmp_path, (replace(ROWS[0], select=False),), needs_issue_time=True)
    master = rig.master()
    for given, negative in (({}, True), ({"time": True}, False)):
        type_id, more = (63, {"time": tag(rig, 1)}) if given else (50, {})
        master.ask(order(type_id, AREA, 25.0, ca=7, **more))
        rig.deliver()
        assert causes(master.pump())[0] == (type_id, 7, negative)
        desk.receive(Tick())
    taken, refused = view.status.orders
    assert (refused.reason_code, refused.issued_ns) == ("issued_unknown", 0)
    assert (taken.code, taken.issued_ns) == (pb.DISPATCH_CODE_ACCEPTED, rig.clock.now_ns() - 10**9)
    rig.close()


def test_the_desk_and_agc_follow_and_fall_back_when_the_link_is_lost(demo, tmp_path):
    """The whole way of an order: master, station, dispatch desk, what AGC is told."""
    rows = (replace(ROWS[0], select=False), ROWS[1])
    area = next(one for one in demo[1].areas if one.controlled)
    rig, area, desk, agc, events, _ = whole_way(demo, tmp_path, rows, limits={area.name: (-30, 30)})
    master = rig.master(peer=f"{MASTER}:40112")
    master.ask(order(50, AREA, 44.0, ca=7))
    rig.deliver()
    assert causes(master.pump()) == [(50, 7, False), (50, 10, False)]
    assert agc.take(SetInterchange)[-1].mw == 30.0
    assert events.keys() == ["dispatch.clipped"]
    master.leave()
    for seconds, mw in ((1, 30.0), (10, 30.0), (11, area.scheduled_interchange)):
        rig.beat(seconds)
        rig.beat(0)
        desk.receive(Tick())
        assert agc.take(SetInterchange)[-1].mw == mw
    assert events.keys()[1:] == ["dispatch.lost", "dispatch.fallback"]
    rig.close()
