"""What is in force follows from the accepted orders and the time alone: priorities, validity, issue, withdrawal, restarts."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.dispatch.contracts import Contracts
from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.judging import Bounds
from scada.apps.dispatch.office import DispatchOffice
from scada.apps.dispatch.orders import ModeOrder, ScheduleOrder, SetpointOrder, Verdict
from scada.apps.dispatch.silence import DispatchSilence
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.dispatch_settings import DispatchContract, DispatchSettings

S = NS_PER_S

ALL = {"d": DispatchContract(), "e": DispatchContract()}
UNITS = {"g1": ("G1", "East"), "g2": ("G2", "East")}


class Office:
    """An office whose records are kept from life to life, as the store keeps them."""

    def __init__(self, contracts=None, clock=None, **more):
        self.settings = DispatchSettings(contracts=contracts or ALL, **more)
        self.clock = clock or VirtualClock()
        self.disk, self.orders = {}, {}
        self.live()

    def live(self):
        """A new life: all that is in memory is gone."""
        areas = {"East": (Bounds(-200, 200), 40.0), "West": (Bounds(-200, 200), 7.0)}
        self.desk = DispatchDesk(areas, {"g1": Bounds(0, 100), "g2": Bounds(10, 50)}, self.settings, UTC)
        contracts = Contracts(self.settings.contracts, UNITS, UTC)
        silence = DispatchSilence(self.settings, self.clock)
        self.office = DispatchOffice(self.desk, contracts, self.keep, silence)
        self.office.restore([(record, self.orders[key]) for key, record in self.disk.items()])

    def keep(self, record):
        self.disk[record.answer.key] = record

    @property
    def now(self):
        return self.clock.now_ns()

    def send(self, order):
        self.orders.setdefault(order.key, order)
        return self.office.receive(order, "SendSetpoint", repr(order).encode(), self.now)

    def east(self):
        return self.desk.in_force(self.now).interchange["East"]


def setpoint(name, mw, *, sender="d", area="East", start=0, until=0, unit="", priority=0, issued=0):
    return SetpointOrder(name, sender, area, mw, start, until, unit, priority, issued)


def limits(name, low=math.nan, high=math.nan, *, until=0, unit="g1", priority=0):
    return ModeOrder(name, "d", "East", unit, "limits", "", low, high, 0, until, priority)


# ---------------------------------------------------------------- the book


def test_a_higher_one_goes_before_and_at_its_end_what_was_before_is_in_force_again():
    one = Office()
    assert one.send(setpoint("low", 50)).verdict is Verdict.ACCEPTED
    assert one.send(setpoint("high", 80, priority=5, until=one.now + 60 * S)).verdict is Verdict.ACCEPTED
    assert one.east() == 80
    late = one.send(setpoint("low 2", 60))
    assert (late.verdict, late.code) == (Verdict.OUTRANKED, "outranked")
    assert "high" in late.reason
    one.clock.advance(60)
    assert one.east() == 50
    assert one.send(setpoint("low 3", 65)).verdict is Verdict.ACCEPTED
    assert one.east() == 65


def test_equal_ones_the_newest_by_issue_whatever_the_order_of_arrival():
    one = Office()
    first, second = setpoint("a", 10, issued=one.now - 2 * S), setpoint("b", 20, issued=one.now - S)
    assert one.send(second).verdict is Verdict.ACCEPTED
    late = one.send(first)
    assert (late.verdict, late.code) == (Verdict.OUT_OF_ORDER, "out_of_order")
    assert one.east() == 20
    other = Office(clock=one.clock)
    other.send(first)
    other.send(second)
    assert other.east() == 20


@pytest.mark.parametrize(
    ("order", "verdict", "code"),
    [
        (setpoint("x", 1.0, unit="g9"), Verdict.REFUSED, "no_area"),
        (setpoint("x", math.inf), Verdict.REFUSED, "not_finite"),
        (setpoint("x", 1.0, until=1), Verdict.LATE, "late"),
        (setpoint("x", 1.0, issued=1), Verdict.LATE, "late"),
        (setpoint("x", 1.0, issued=2**62), Verdict.REFUSED, "issued_ahead"),
        (setpoint("x", 1.0, priority=10), Verdict.REFUSED, "priority"),
        (setpoint("x", 1.0, sender="stranger"), Verdict.REFUSED, "not_in_contract"),
        (limits("x"), Verdict.REFUSED, "invalid"),
        (limits("x", 60, 40), Verdict.REFUSED, "invalid"),
        (limits("x", 150, 160), Verdict.REFUSED, "invalid"),
        (ModeOrder("x", "d", "East", "", "unit", "SCHE/O"), Verdict.REFUSED, "invalid"),
        (ModeOrder("x", "d", "East", "g1", "agc", "on"), Verdict.REFUSED, "invalid"),
        (ModeOrder("x", "d", "East", "", "agc", "full power"), Verdict.REFUSED, "invalid"),
        (ModeOrder("x", "d", "East", "", "reactor", "on"), Verdict.REFUSED, "invalid"),
    ],
)
def test_what_is_refused_has_a_code_and_changes_nothing(order, verdict, code):
    one = Office()
    before = one.desk.in_force(one.now)
    answer = one.send(order)
    assert (answer.verdict, answer.code) == (verdict, code)
    assert answer.reason
    assert one.desk.in_force(one.now) == before
    assert not one.disk


def test_limits_narrow_and_never_widen():
    one = Office()
    assert one.send(limits("a", 20, 60)).verdict is Verdict.ACCEPTED
    assert one.desk.in_force(one.now).limits == {"g1": (20, 60)}
    wide = one.send(limits("b", -50, 500))
    assert (wide.verdict, wide.words) == (Verdict.CLIPPED, "0 .. 100 MW")
    assert one.desk.in_force(one.now).limits == {"g1": (0, 100)}
    one.send(limits("c", high=30, until=one.now + S))
    assert one.desk.in_force(one.now).limits == {"g1": (0, 30)}
    one.clock.advance(1)
    assert one.desk.in_force(one.now).limits == {}


def test_a_unit_follows_its_set_point_then_its_plan():
    one = Office()
    one.office.receive(ScheduleOrder("p", "d", "East", "g2", one.now, 900, [20.0, 20.0, 20.0]), "SendSchedule", b"p", one.now)
    answer = one.send(setpoint("u", 70, unit="g2", until=one.now + 60 * S))
    assert (answer.verdict, answer.applied_mw, answer.target) == (Verdict.CLIPPED, 50.0, "g2")
    force = one.desk.in_force(one.now)
    assert (force.base_points, force.interchange["East"]) == ({"g2": 50.0}, 40.0)
    one.clock.advance(60)
    assert one.desk.in_force(one.now).base_points == {"g2": 20.0}


# ---------------------------------------------------------------- duplicates


def test_the_same_order_again_is_told_what_became_of_the_first_and_acts_once():
    one = Office()
    one.send(setpoint("a", 500))
    one.send(setpoint("b", 20))
    for _ in range(2):
        again = one.send(setpoint("a", 500))
        assert (again.verdict, again.first, again.applied_mw) == (Verdict.DUPLICATE, Verdict.CLIPPED, 200.0)
        assert one.east() == 20
        one.live()
    other = one.send(setpoint("a", 30))
    assert (other.verdict, other.code) == (Verdict.REFUSED, "order_id_reused")
    assert one.east() == 20
    assert one.office.answer("a").verdict is Verdict.CLIPPED, "what became of the first one is not lost"
    foreign = one.send(setpoint("a", 30, sender="e"))
    assert foreign.verdict is Verdict.ACCEPTED, "nobody can use up the ids of others"
    assert one.office.answer("a", "d").verdict is Verdict.CLIPPED
    one.live()
    assert one.send(setpoint("a", 500)).verdict is Verdict.DUPLICATE
    assert one.east() == 30


# ---------------------------------------------------------------- contracts


def test_a_contract_binds_targets_kinds_limits_steps_and_hours():
    contract = DispatchContract(
        areas=("East",),
        units=("G2",),
        kinds=("setpoint", "limits"),
        limits={"East": (-10, 60)},
        step_mw=30,
        hours=("06:00-22:00",),
    )
    one = Office({"d": contract})
    noon = one.now - one.now % (86_400 * S) + 43_200 * S
    one.clock.advance((noon - one.now) / S + 86_400)
    assert one.send(setpoint("a", 65)).applied_mw == 60
    assert one.send(setpoint("b", 20)).code == "step"
    assert one.send(setpoint("c", 1, area="West")).code == "not_in_contract"
    assert one.send(setpoint("d", 20, unit="g1")).code == "not_in_contract"
    assert one.send(setpoint("e", 20, unit="g2")).verdict is Verdict.ACCEPTED
    assert one.send(setpoint("f", 20, area="West", unit="g2")).verdict is Verdict.ACCEPTED, "a unit's area is that of the model"
    assert one.send(ModeOrder("g", "d", "East", "", "agc", "off")).code == "not_in_contract"
    one.clock.advance(11 * 3600)
    assert one.send(setpoint("h", 50)).code == "hours"
    assert one.east() == 60
    everywhere = Office({"d": DispatchContract(areas=("East",))})
    assert everywhere.send(ModeOrder("v", "d", "East", "", "avc", "off")).code == "not_in_contract", "AVC is of every zone"


def test_limits_of_a_contract_hold_over_a_restart_with_another_contract():
    one = Office({"d": DispatchContract(limits={"East": (-10, 60)})})
    one.send(setpoint("a", 100))
    one.settings = DispatchSettings(contracts=ALL)
    one.live()
    assert one.east() == 60


# ---------------------------------------------------------------- operators


def waiting(**more):
    return Office({"d": DispatchContract(decide="operator", decide_within_s=100, **more), "e": DispatchContract()})


def test_an_order_waits_for_an_operator_over_a_restart():
    one = waiting()
    answer = one.send(setpoint("a", 500))
    assert (answer.verdict, answer.decide_until_ns) == (Verdict.PENDING, one.now + 100 * S)
    assert one.send(setpoint("a", 500)).first is Verdict.PENDING
    one.live()
    assert one.east() == 40
    assert one.office.answer("a").verdict is Verdict.PENDING
    decided = one.office.decide(("d", "a"), "wang", accept=True, reason="", now_ns=one.now)
    assert (decided.verdict, decided.applied_mw, decided.decided_by) == (Verdict.CLIPPED, 200.0, "wang")
    one.live()
    assert (one.east(), one.office.answer("a").decided_by) == (200.0, "wang")
    assert one.office.decide(("d", "a"), "li", accept=False, reason="no", now_ns=one.now) is None, "decided is decided"
    assert one.east() == 200.0


def test_a_refused_and_a_forgotten_order_never_act():
    one = waiting()
    one.send(setpoint("a", 50))
    one.send(setpoint("b", 60))
    refused = one.office.decide(("d", "a"), "wang", accept=False, reason="line out", now_ns=one.now)
    assert (refused.verdict, refused.code, refused.decided_by) == (Verdict.REFUSED, "operator", "wang")
    assert "line out" in refused.reason
    one.clock.advance(80)
    assert [answer.order_id for answer in one.office.beat(one.now)[1]] == ["b"], "told before it expires"
    assert one.office.beat(one.now) == ([], []), "once"
    one.clock.advance(20)
    assert one.office.decide(("d", "b"), "wang", accept=True, reason="", now_ns=one.now).verdict is Verdict.EXPIRED, (
        "too late by a tick"
    )
    for _ in range(2):
        assert one.east() == 40
        assert [one.office.answer(name).verdict for name in "ab"] == [Verdict.REFUSED, Verdict.EXPIRED]
        one.live()


def test_an_order_that_waits_is_judged_when_it_is_decided():
    one = waiting()
    one.send(setpoint("a", 50, until=one.now + 10 * S))
    one.send(setpoint("b", 50))
    one.send(setpoint("c", 90, sender="e", priority=3))
    one.clock.advance(20)
    assert one.office.decide(("d", "a"), "wang", accept=True, reason="", now_ns=one.now).verdict is Verdict.LATE
    assert one.office.decide(("d", "b"), "wang", accept=True, reason="", now_ns=one.now).verdict is Verdict.OUTRANKED
    assert one.east() == 90
    one.live()
    assert one.east() == 90
    assert not one.office.pending


def test_only_its_sender_withdraws_an_order():
    one = waiting()
    one.send(setpoint("wait", 50))
    one.send(setpoint("now", 90, sender="e"))
    assert one.office.withdraw("now", "d", "", one.now) is None
    assert one.office.withdraw("nothing", "d", "", one.now) is None
    assert one.office.withdraw("wait", "d", "mistake", one.now).verdict is Verdict.WITHDRAWN
    assert one.office.decide(("d", "wait"), "wang", accept=True, reason="", now_ns=one.now) is None
    assert one.east() == 90
    assert one.office.withdraw("now", "e", "", one.now).verdict is Verdict.WITHDRAWN
    for _ in range(2):
        assert one.east() == 40
        assert one.office.withdraw("now", "e", "", one.now) is None
        one.live()


# ---------------------------------------------------------------- silence


def test_a_lost_dispatcher_holds_and_then_the_plan_is_in_force():
    one = Office(silence_s=100, hold_s=50)
    one.send(setpoint("lasting", 90))
    one.send(setpoint("timed", 20, area="West", until=one.now + 3600 * S))

    def beat(seconds):
        one.clock.advance(seconds)
        told = one.office.silence.beat(one.office.standing_senders(one.now))
        return told, [answer.order_id for answer in one.office.end_of_lost(one.now)]

    assert beat(99) == (([], []), [])
    assert beat(1) == ((["d"], []), [])
    assert beat(49) == (([], []), [])
    assert one.east() == 90
    assert beat(1) == (([], []), ["lasting"])
    for _ in range(2):
        assert (one.east(), one.desk.in_force(one.now).interchange["West"]) == (40, 20)
        assert one.office.answer("lasting").code == "dispatch_lost"
        one.live()


def test_a_dispatcher_that_comes_back_in_time_keeps_its_set_point():
    one = Office(silence_s=100, hold_s=50)
    one.send(setpoint("lasting", 90))
    one.clock.advance(120)
    assert one.office.silence.beat(["d"]) == (["d"], [])
    one.clock.advance(30)
    one.office.silence.heard("d")
    assert one.office.silence.beat(["d"]) == ([], ["d"])
    one.clock.advance(60)
    assert one.office.end_of_lost(one.now) == []
    assert one.east() == 90
    one.office.silence.gone("d")
    assert one.office.silence.beat(["d"]) == (["d"], []), "a link that is down is a loss at once"


def test_nothing_is_watched_where_the_site_says_so():
    one = Office(silence_s=0)
    one.send(setpoint("lasting", 90))
    one.clock.advance(10**6)
    assert one.office.silence.beat(["d"]) == ([], [])


# ---------------------------------------------------------------- property


STEP = st.one_of(
    st.tuples(
        st.just("send"),
        st.sampled_from(["East", "West"]),
        st.integers(-9, 9),
        st.integers(0, 2),
        st.sampled_from([0, 0, 3, 7]),
        st.sampled_from([0, 0, 5, 9]),
        st.sampled_from([0, 0, 1, 2, 4]),
    ),
    st.tuples(st.just("wait"), st.integers(1, 6)),
    st.tuples(st.just("again"), st.integers(0, 20)),
    st.tuples(st.just("withdraw"), st.integers(0, 20)),
    st.tuples(st.just("restart")),
)


def modelled(accepted, area, now):
    """What shall be in force, written the plain way: levels from the highest, in each the one that began last."""
    for level in (2, 1, 0):
        begun = [one for one in accepted if one["area"] == area and one["level"] == level and one["start"] <= now]
        begun = [one for one in begun if not (one["ended"] and one["ended"] <= one["start"])]
        if not begun:
            continue
        last = max(begun, key=lambda one: (one["start"], one["issued"], one["number"]))
        ends = [end for end in (last["until"], last["ended"]) if end]
        if not ends or min(ends) > now:
            return last["mw"]
    return {"East": 40.0, "West": 7.0}[area]


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, max_size=30))
def test_what_is_in_force_is_a_function_of_accepted_orders_and_time(steps):
    one = Office(silence_s=0)
    accepted, sent = [], []
    for step in steps:
        match step:
            case ("send", area, mw, level, start, until, age):
                begin = one.now + start * S if start else 0
                end = (begin or one.now) + until * S if until else 0
                issued = one.now - age * S if age else 0
                order = setpoint(f"o{len(sent)}", mw, area=area, start=begin, until=end, priority=level, issued=issued)
                sent.append(order)
                if one.send(order).verdict is Verdict.ACCEPTED:
                    row = {"id": order.order_id, "area": area, "mw": mw, "level": level, "start": begin or one.now, "until": end}
                    accepted.append(row | {"issued": issued, "number": len(accepted), "ended": 0})
            case ("wait", seconds):
                one.clock.advance(seconds)
            case ("again", place) if place < len(sent):
                known = any(row["id"] == sent[place].order_id for row in accepted)
                answer = one.send(sent[place])
                if known:
                    assert answer.verdict is Verdict.DUPLICATE
                elif answer.verdict is Verdict.ACCEPTED:  # refused then, possible now
                    order = sent[place]
                    row = {"id": order.order_id, "area": order.area, "mw": order.mw, "level": order.priority}
                    row |= {"start": max(order.valid_from_ns, one.now), "until": order.valid_until_ns, "issued": order.issued_ns}
                    accepted.append(row | {"number": len(accepted), "ended": 0})
            case ("withdraw", place) if place < len(sent):
                if one.office.withdraw(sent[place].order_id, "d", "", one.now) is not None:
                    (row,) = [row for row in accepted if row["id"] == sent[place].order_id]
                    row["ended"] = one.now
            case ("restart",):
                one.live()
        wanted = {area: modelled(accepted, area, one.now) for area in ("East", "West")}
        assert one.desk.in_force(one.now).interchange == wanted


def test_orders_of_a_target_leave_every_other_alone():
    one = Office()
    one.send(setpoint("e", 1))
    one.send(setpoint("u", 30, unit="g1"))
    one.send(limits("l", 10, 20, unit="g2"))
    force = one.desk.in_force(one.now)
    assert (force.interchange, force.base_points, force.limits) == ({"East": 1, "West": 7.0}, {"g1": 30}, {"g2": (10, 20)})
    assert replace(one.office.answer("e"), received_ns=0).target == "East"
