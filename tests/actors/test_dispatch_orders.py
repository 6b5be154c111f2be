"""The dispatch actor and orders that stand: modes given and taken back, operators who decide, restarts, silence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from actors.harness import Box, make
from scadapb.v1 import scada_pb2 as pb

from scada.actors.agc import AgcView
from scada.actors.dispatch import DispatchActor, DispatchView
from scada.actors.messages import Tick
from scada.actors.order_messages import (
    DispatchAsked,
    DispatchHeard,
    ModeChanged,
    SetBasePoint,
    SetInterchange,
    SetState,
    SetUnitLimits,
)
from scada.apps.dispatch.order_store import OrderStore
from scada.control.records import ModeReply, Principal
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.dispatch_settings import DispatchContract, DispatchSettings
from scada.rtdb.lmdb_file import CorruptFileError

S = NS_PER_S
REFUSED = pb.DISPATCH_CODE_REFUSED
ACCEPTED = pb.DISPATCH_CODE_ACCEPTED
CONTRACTS = {
    "d": DispatchContract(),
    "asks": DispatchContract(decide="operator", decide_within_s=100),
    "upstream:province": DispatchContract(),
}


@dataclass
class FakeAgc(Box):
    """AGC as dispatch sees it: it takes modes at once and shows them in its next cycle."""

    area: str = "East"
    state: str = "on"
    control: str = "TLBC"
    units: dict = field(default_factory=dict)
    refuses: str = ""
    silent: bool = False

    def __post_init__(self):
        self.got, self.unanswered = [], []

    @property
    def mailbox(self):
        return self

    def put(self, envelope):
        """A question that does not wait; a silent one is answered by :meth:`speak`."""
        self.got.append(envelope.message)
        self.unanswered.append(envelope)
        if not self.silent:
            self.speak()

    def speak(self):
        waiting, self.unanswered = self.unanswered, []
        for envelope in waiting:
            envelope.reply_to.set(self.answer(envelope.message.request))

    def answer(self, request):
        if self.refuses:
            return ModeReply(False, "invalid", self.refuses)
        match request.WhichOneof("target"):
            case "agc":
                self.state = request.agc
            case "control_mode":
                self.control = request.control_mode
            case "unit":
                point = request.unit.base_point_mw
                self.units[request.unit.unit] = (request.unit.base_mode, request.unit.reg_mode, point)
        return ModeReply(True)

    def decision(self, now):
        rows = [
            SimpleNamespace(mrid=mrid, base_mode=base, reg_mode=reg, base_mw=point)
            for mrid, (base, reg, point) in self.units.items()
        ]
        units = type("Units", (list,), {"powers": {}})(rows)
        return SimpleNamespace(state=self.state, control_mode=self.control, units=units, cycle_ns=now, interchange_mw=math.nan)


class Dispatch:
    """An actor over a store that is kept from life to life."""

    def __init__(self, tables, folder, **settings):
        self.tables, self.folder, self.clock = tables, folder, VirtualClock()
        self.settings = DispatchSettings(**({"contracts": CONTRACTS} | settings))
        self.area = next(area for area in tables.areas if area.controlled)
        self.unit = self.area.units[0]
        self.agc, self.events, self.measured = FakeAgc(self.area.name), Box(), AgcView()
        self.agc.units = {unit.mrid: ("AUTO", "R", math.nan) for unit in self.area.units}
        self.store, self.past = None, []
        self.live()

    def live(self):
        if self.store is not None:
            self.store.close()
        self.store = OrderStore(self.folder, map_mb=16)
        self.view = DispatchView()
        self.measured.decisions = {self.area.name: self.agc.decision(self.clock.now_ns())}
        self.actor = make(
            DispatchActor,
            tables=self.tables,
            past=self.past,
            seen=[],
            agc=self.agc,
            events=self.events,
            view=self.view,
            clock=self.clock,
            settings=self.settings,
            measured=self.measured,
            store=self.store,
        )

    def ask(self, request, sender="d"):
        who = Principal(sender, frozenset(), frozenset(), frozenset({"*"}))
        replies = []
        self.actor.receive(DispatchAsked(request, who, replies.append))
        self.pump()
        reply = replies[0] if replies else None
        self.measured.decisions = {self.area.name: self.agc.decision(self.clock.now_ns())}
        return reply

    def pump(self):
        """What was told to the actor reaches it."""
        while not self.actor.address.mailbox.empty():
            self.actor.receive(self.actor.address.mailbox.get().message)

    def tick(self, seconds=0):
        self.clock.advance(seconds)
        self.measured.decisions = {self.area.name: self.agc.decision(self.clock.now_ns())}
        self.actor.receive(Tick())
        self.pump()
        self.measured.decisions = {self.area.name: self.agc.decision(self.clock.now_ns())}

    def mode(self, name, mode, target="agc", minutes=0, **more):
        until = self.clock.now_ns() + int(minutes * 60 * S) if minutes else 0
        named = {"area": self.area.name} if target in ("agc", "control_mode") else {}
        return pb.ModeOrder(order_id=name, target=target, mode=mode, valid_until_ns=until, **named, **more)

    def setpoint(self, name, mw, minutes=0, **more):
        until = self.clock.now_ns() + int(minutes * 60 * S) if minutes else 0
        return pb.AreaSetpoint(area=self.area.name, interchange_mw=mw, order_id=name, valid_until_ns=until, **more)

    def interchange(self):
        self.tick()
        return self.agc.take(SetInterchange)[-1].mw

    def became(self, name, sender="d"):
        return self.ask(pb.GetOrderRequest(order_id=name), sender)

    def changed(self, **target):
        """An operator orders a mode, as the facade does."""
        request = pb.SetModeRequest(**target)
        self.agc.answer(request)
        self.actor.receive(ModeChanged(request, "wang"))
        self.tick()


@pytest.fixture
def dispatch(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path)
    yield one
    one.store.close()


# ---------------------------------------------------------------- modes


@pytest.mark.parametrize("restart", [False, True])
def test_a_mode_is_given_and_what_was_before_is_restored(dispatch, restart):
    assert dispatch.ask(dispatch.mode("m", "monitor", minutes=5)).code == ACCEPTED
    assert dispatch.agc.state == "monitor"
    if restart:
        dispatch.live()
    dispatch.tick(299)
    assert dispatch.agc.state == "monitor"
    dispatch.tick(1)
    assert dispatch.agc.state == "on"
    dispatch.tick(1)
    keys = dispatch.events.keys()
    assert (keys.count("dispatch.mode_ordered"), keys.count("dispatch.mode_restored")) == (1, 1)
    assert keys.count("dispatch.order_ended") == 1
    assert dispatch.became("m").code == pb.DISPATCH_CODE_EXPIRED


def test_of_two_modes_the_base_is_what_was_before_the_first(dispatch):
    dispatch.ask(dispatch.mode("a", "monitor", minutes=5))
    dispatch.ask(dispatch.mode("b", "off", minutes=10, priority=3))
    assert dispatch.agc.state == "off"
    dispatch.tick(600)
    assert dispatch.agc.state == "on"


@pytest.mark.parametrize("restart", [False, True])
def test_what_an_operator_chose_meanwhile_stays(dispatch, restart):
    dispatch.ask(dispatch.mode("low", "on", minutes=9))
    dispatch.ask(dispatch.mode("m", "monitor", minutes=5, priority=2))
    dispatch.changed(agc="off")
    assert dispatch.agc.state == "off"
    if restart:
        dispatch.live()
    dispatch.tick(600)
    assert dispatch.agc.state == "off", "neither the order nor what was before it comes back"
    keys = dispatch.events.keys()
    assert keys.count("dispatch.overridden") == 2
    assert "dispatch.mode_restored" not in keys
    reply = dispatch.became("m")
    assert (reply.code, reply.reason_code) == (pb.DISPATCH_CODE_EXPIRED, "overridden")
    assert "wang" in reply.reason


def test_another_mode_of_an_operator_leaves_the_order_alone(dispatch):
    dispatch.ask(dispatch.mode("m", "monitor", minutes=5))
    dispatch.changed(control_mode="CFC")
    dispatch.changed(unlock=dispatch.unit.mrid)
    assert dispatch.agc.state == "monitor"
    assert dispatch.became("m").code == ACCEPTED


def test_a_mode_that_agc_lost_is_ordered_again(dispatch):
    dispatch.ask(dispatch.mode("m", "monitor"))
    dispatch.agc.state = "on"  # a new life of AGC: nobody chose that
    dispatch.tick(1)
    assert dispatch.agc.state == "on", "not at once, again and again"
    dispatch.tick(10)
    assert dispatch.agc.state == "monitor"


def test_a_mode_that_agc_does_not_take_is_refused_and_the_one_before_it_stays(dispatch):
    dispatch.ask(dispatch.mode("a", "SCHE/O", target="unit", unit=dispatch.unit.mrid))
    dispatch.agc.refuses = "no such mode"
    reply = dispatch.ask(dispatch.mode("b", "XXXX/O", target="unit", unit=dispatch.unit.mrid))
    assert (reply.code, reply.reason_code, reply.reason) == (REFUSED, "not_taken", "no such mode")
    dispatch.agc.refuses = ""
    dispatch.tick(1)
    assert dispatch.agc.units[dispatch.unit.mrid][:2] == ("SCHE", "O")
    assert [one.order_id for one in dispatch.view.status.targets if one.kind == "unit"] == ["a"]
    reply = dispatch.ask(dispatch.mode("c", "SCHE", target="unit", unit=dispatch.unit.mrid))
    assert (reply.code, reply.reason_code) == (REFUSED, "not_taken")


def test_nothing_is_ordered_of_what_is_not_known(dispatch):
    dispatch.measured.decisions = {}
    who = Principal("d", frozenset(), frozenset(), frozenset())
    dispatch.actor.receive(DispatchAsked(dispatch.mode("m", "monitor"), who))
    assert not dispatch.agc.take(SetState), "what was before could not be restored"
    dispatch.tick(1)
    assert dispatch.agc.state == "monitor"


# ---------------------------------------------------------------- units


def test_a_unit_gets_its_set_point_and_its_limits_with_their_order(dispatch):
    unit = dispatch.unit
    low, high = unit.minimum + 1, unit.maximum - 1
    dispatch.tick()
    first = dispatch.agc.take(SetUnitLimits)
    assert len(first) == len(dispatch.area.units), "what the life before limited is free again"
    reply = dispatch.ask(pb.AreaSetpoint(unit=unit.mrid, interchange_mw=low + 2, order_id="u"))
    assert (reply.code, reply.reason_code) == (ACCEPTED, "not_followed")
    assert "AUTO/R" in reply.reason
    order = pb.ModeOrder(order_id="l", target="limits", unit=unit.mrid, minimum_mw=low, maximum_mw=high)
    order.valid_until_ns = dispatch.clock.now_ns() + 60 * S
    assert dispatch.ask(order).code == ACCEPTED
    assert dispatch.agc.take(SetBasePoint)[-1] == SetBasePoint(unit.mrid, low + 2, "u (d)")
    assert dispatch.agc.take(SetUnitLimits) == [SetUnitLimits(unit.mrid, low, high, "l (d)")]
    dispatch.tick(60)
    assert dispatch.agc.take(SetUnitLimits) == [SetUnitLimits(unit.mrid, -math.inf, math.inf, "")]
    dispatch.tick(1)
    assert dispatch.agc.take(SetUnitLimits) == []


# ---------------------------------------------------------------- restarts


def test_a_set_point_until_replaced_outlives_any_number_of_restarts(dispatch):
    dispatch.ask(dispatch.setpoint("s", 30))
    for _ in range(3):
        dispatch.clock.advance(86_400 * 100)
        dispatch.live()
        assert dispatch.interchange() == 30
        assert dispatch.ask(dispatch.setpoint("s", 30)).code == pb.DISPATCH_CODE_DUPLICATE
        dispatch.actor.receive(DispatchHeard("d"))


def test_what_is_over_is_forgotten_after_the_days_that_are_kept(dispatch):
    dispatch.ask(dispatch.setpoint("old", 30, minutes=1))
    dispatch.ask(dispatch.setpoint("lasting", 31, priority=2))
    dispatch.tick(61 * 86_400)
    assert {record.answer.order_id for record in dispatch.store.records()} == {"lasting"}


def test_a_replayed_set_point_acts_exactly_once_over_a_restart(dispatch):
    request = dispatch.setpoint("a", 30)
    assert dispatch.ask(request).code == ACCEPTED
    dispatch.ask(dispatch.setpoint("b", 50))
    for _ in range(3):
        replayed = dispatch.ask(request)
        assert (replayed.code, replayed.first_code) == (pb.DISPATCH_CODE_DUPLICATE, ACCEPTED)
        assert dispatch.interchange() == 50
        dispatch.live()


def test_a_spoofed_dispatcher_changes_nothing(dispatch):
    before = dispatch.interchange()
    for request in (dispatch.setpoint("x", 99), dispatch.mode("y", "off"), dispatch.mode("z", "SCHE/O", target="unit")):
        reply = dispatch.ask(request, "stranger")
        assert (reply.code, reply.reason_code) == (REFUSED, "not_in_contract")
    dispatch.ask(dispatch.setpoint("mine", 60, minutes=5))
    assert dispatch.ask(pb.WithdrawOrder(order_id="mine"), "stranger").reason_code == "not_standing"
    assert dispatch.interchange() == 60
    assert dispatch.agc.state == "on"
    dispatch.tick(300)
    assert dispatch.interchange() == before


def test_a_damaged_store_is_moved_aside_and_never_read(tmp_path):
    OrderStore(tmp_path, map_mb=16).close()
    path = tmp_path / "dispatch.lmdb"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorruptFileError):
        OrderStore(tmp_path, map_mb=16)
    store, said = OrderStore.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert (said != "", store.is_new, list(store.records())) == (True, True, [])
    store.close()


# ---------------------------------------------------------------- operators


def test_an_operator_decides_and_get_order_says_so(dispatch):
    assert dispatch.ask(dispatch.setpoint("a", 30), "asks").code == pb.DISPATCH_CODE_PENDING
    assert dispatch.events.keys() == ["dispatch.pending"]
    assert dispatch.view.status.orders[0].decide_until_ns == dispatch.clock.now_ns() + 100 * S
    dispatch.live()
    assert dispatch.interchange() == dispatch.area.scheduled_interchange
    reply = dispatch.ask(pb.OrderDecision(order_id="a", accept=True), "wang")
    assert (reply.code, reply.decided_by, reply.applied_mw) == (ACCEPTED, "wang", 30)
    assert dispatch.interchange() == 30
    assert dispatch.became("a", "asks").decided_by == "wang"
    assert dispatch.ask(pb.OrderDecision(order_id="a", accept=False, reason="no"), "li").reason_code == "not_standing"
    assert dispatch.ask(pb.OrderDecision(order_id="b", accept=True), "li").reason_code == "unknown_order"
    assert dispatch.interchange() == 30


def test_an_order_nobody_decides_warns_and_expires(dispatch):
    dispatch.ask(dispatch.setpoint("a", 30), "asks")
    dispatch.tick(75)
    dispatch.tick(24)
    assert dispatch.events.keys() == ["dispatch.pending", "dispatch.decide_soon"]
    dispatch.tick(1)
    assert dispatch.events.keys()[2:] == ["dispatch.not_decided"]
    assert dispatch.became("a", "asks").code == pb.DISPATCH_CODE_EXPIRED
    assert dispatch.interchange() == dispatch.area.scheduled_interchange


# ---------------------------------------------------------------- silence


def test_a_link_that_is_down_is_a_loss_and_after_the_hold_time_the_plan_is_in_force(demo, tmp_path):
    one = Dispatch(demo[1], tmp_path, hold_s=30)
    one.ask(one.setpoint("s", 30), "upstream:province")
    one.tick(5)
    one.actor.receive(DispatchHeard("upstream:province", gone=True))
    one.tick(1)
    assert one.events.keys()[-1] == "dispatch.lost"
    assert one.interchange() == 30
    (target,) = [shown for shown in one.view.status.targets if shown.target == one.area.name]
    assert (target.source, target.silent) == ("order", True)
    one.tick(30)
    assert one.interchange() == one.area.scheduled_interchange
    assert one.events.keys()[-1] == "dispatch.fallback"
    one.actor.receive(DispatchHeard("upstream:province"))
    one.tick(1)
    assert one.events.keys()[-1] == "dispatch.back"
    assert one.interchange() == one.area.scheduled_interchange, "it orders anew; what it ordered then is over"
    one.store.close()


# ---------------------------------------------------------------- AGC that does not answer


def told(dispatch, request, sender="d"):
    """The replies to an order so far; more may come."""
    replies = []
    dispatch.actor.receive(DispatchAsked(request, Principal(sender, frozenset(), frozenset(), frozenset({"*"})), replies.append))
    dispatch.pump()
    return replies


def test_a_silent_agc_keeps_no_other_order_waiting(dispatch):
    dispatch.agc.silent = True
    mode = told(dispatch, dispatch.mode("m", "monitor", minutes=5))
    assert mode == [], "its sender hears when AGC has said whether it takes the mode"
    other = told(dispatch, dispatch.setpoint("s", 40.0))
    assert other[0].code == ACCEPTED
    asked = dispatch.became("m")
    assert (asked.code, asked.reason_code) == (ACCEPTED, "unanswered")
    dispatch.tick(1)
    assert len(dispatch.agc.unanswered) == 1, "it is asked once"
    dispatch.agc.speak()
    dispatch.pump()
    assert [(reply.code, reply.reason_code) for reply in mode] == [(ACCEPTED, "")]
    assert dispatch.events.keys().count("dispatch.mode_ordered") == 1


def test_a_silent_agc_that_refuses_in_time_has_the_order_refused(dispatch):
    dispatch.agc.silent, dispatch.agc.refuses = True, "locked"
    mode = told(dispatch, dispatch.mode("m", "monitor", minutes=5))
    dispatch.tick(2)
    dispatch.agc.speak()
    dispatch.pump()
    assert [(reply.code, reply.reason_code, reply.reason) for reply in mode] == [(REFUSED, "not_taken", "locked")]


def test_who_waited_long_enough_is_told_that_agc_has_not_answered_and_its_late_word_still_counts(dispatch):
    dispatch.agc.silent, dispatch.agc.refuses = True, "locked"
    mode = told(dispatch, dispatch.mode("m", "monitor", minutes=30))
    dispatch.tick(3)
    assert [(reply.code, reply.reason_code) for reply in mode] == [(ACCEPTED, "unanswered")]
    dispatch.tick(8)
    assert len(dispatch.agc.unanswered) == 2, "it is asked again when the first question is given up"
    dispatch.agc.speak()
    dispatch.pump()
    assert dispatch.became("m").code == REFUSED
    assert len(mode) == 1
    dispatch.agc.refuses, dispatch.agc.silent = "", False
    dispatch.tick(60)
    assert dispatch.agc.state == "on", "what was before is there"


def test_a_refusal_that_comes_after_the_order_was_withdrawn_changes_nothing_of_it(dispatch):
    dispatch.agc.silent, dispatch.agc.refuses = True, "locked"
    told(dispatch, dispatch.mode("m", "monitor", minutes=5))
    number = dispatch.agc.unanswered[0].reply_to
    assert told(dispatch, pb.WithdrawOrder(order_id="m"))[0].code == pb.DISPATCH_CODE_WITHDRAWN
    number.set(ModeReply(False, "invalid", "locked"))
    dispatch.pump()
    assert dispatch.became("m").code == pb.DISPATCH_CODE_WITHDRAWN


def test_agc_that_fails_over_a_mode_is_asked_again(dispatch):
    dispatch.agc.silent = True
    told(dispatch, dispatch.mode("m", "monitor", minutes=30))
    envelope = dispatch.agc.unanswered.pop()
    envelope.reply_to.set_exception((RuntimeError, RuntimeError("stopped"), None))
    dispatch.agc.silent = False
    dispatch.pump()
    dispatch.tick(1)
    assert dispatch.agc.state == "monitor"


def test_an_operators_choice_that_agc_took_before_the_question_of_dispatch_is_ordered_again(dispatch):
    """AGC hung with both in its mailbox: the operator's order first, then that of dispatch."""
    dispatch.agc.silent = True
    mode = told(dispatch, dispatch.mode("m", "monitor", minutes=30))
    dispatch.agc.state = "off"  # the operator's
    dispatch.agc.silent = False
    dispatch.agc.speak()  # that of dispatch
    dispatch.actor.receive(ModeChanged(pb.SetModeRequest(agc="off"), "wang"))
    assert dispatch.agc.state == "monitor"
    dispatch.tick(6)
    assert dispatch.agc.state == "off"
    dispatch.tick(600)
    assert dispatch.agc.state == "off"
    assert mode[-1].code == pb.DISPATCH_CODE_EXPIRED
