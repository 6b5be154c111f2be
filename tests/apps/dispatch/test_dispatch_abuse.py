"""Dispatchers who abuse what they may: waiting lists, limits, steps, ages; records that outlive what they replaced."""

from __future__ import annotations

import math

import pytest
from apps.dispatch.test_order_book import Office, limits, setpoint

from scada.apps.dispatch.office import PENDING
from scada.apps.dispatch.orders import Verdict
from scada.core.clock import NS_PER_S
from scada.core.dispatch_settings import DispatchContract

S = NS_PER_S
ASKS = {"d": DispatchContract(decide="operator", decide_within_s=900), "e": DispatchContract(decide="operator")}


def test_waiting_for_an_operator_does_not_make_an_order_old():
    one = Office(ASKS, order_age_s=300)
    one.send(setpoint("a", 50, issued=one.now))
    one.clock.advance(600)
    assert one.office.decide(("d", "a"), "wang", accept=True, reason="", now_ns=one.now).verdict is Verdict.ACCEPTED
    assert one.east() == 50
    stale = setpoint("b", 60, issued=one.now - 301 * S)
    assert one.send(stale).verdict is Verdict.LATE


def test_one_dispatcher_cannot_fill_the_operators_list_for_another():
    one = Office(ASKS)
    codes = [one.send(setpoint(f"o{number}", 1)).code for number in range(PENDING + 1)]
    assert (codes.count("operator"), codes[-1]) == (PENDING, "too_many")
    assert one.send(setpoint("mine", 50, sender="e")).verdict is Verdict.PENDING


def test_one_dispatcher_cannot_fill_the_future_for_another():
    one = Office()
    for number in range(101):
        last = one.send(setpoint(f"o{number}", 1, start=one.now + (1 + number) * S))
    assert last.code == "too_many"
    assert one.send(setpoint("mine", 50, sender="e", start=one.now + 500 * S)).verdict is Verdict.ACCEPTED
    far = one.send(setpoint("far", 50, sender="e", start=2**64 - 1))
    assert (far.verdict, far.code) == (Verdict.REFUSED, "validity")


def test_an_order_that_waits_is_shown_however_many_were_refused_after_it():
    one = Office(ASKS)
    one.send(setpoint("a", 50))
    for number in range(300):
        one.send(setpoint(f"x{number}", math.nan, sender="e"))
    assert [answer.order_id for answer in one.office.shown if answer.verdict is Verdict.PENDING] == ["a"]


def test_limits_wholly_outside_the_contract_are_no_set_point():
    one = Office({"d": DispatchContract(limits={"G1": (10, 50)})})
    outside = one.send(limits("l", 60, 80))
    assert (outside.verdict, outside.code) == (Verdict.REFUSED, "limit")
    assert one.desk.in_force(one.now).limits == {}
    assert one.send(limits("m", 40, 80)).verdict is Verdict.CLIPPED
    assert one.desk.in_force(one.now).limits == {"g1": (40, 50)}


def test_a_step_is_judged_where_the_order_begins():
    one = Office({"d": DispatchContract(step_mw=30)})
    assert one.send(setpoint("a", 60, start=one.now + 10 * S)).verdict is Verdict.ACCEPTED
    jump = one.send(setpoint("b", 20, start=one.now + 20 * S))
    assert (jump.verdict, jump.code) == (Verdict.REFUSED, "step"), "20 MW are 20 from the plan now, and 40 from what stands then"


@pytest.mark.parametrize(("most", "left"), [(1, ["later"]), (20_000, ["later", "lasting"])])
def test_what_was_replaced_never_comes_back_when_its_successor_is_forgotten(most, left):
    one = Office()
    one.send(setpoint("later", 80, start=one.now + 100 * S, until=one.now + 200 * S))
    one.clock.advance(10)
    one.send(setpoint("lasting", 50))
    one.clock.advance(300)
    assert one.east() == 40, "it was replaced for good by one that has ended"
    one.clock.advance(100)
    one.east()
    for key in one.office.forget(one.now - 405 * S, most):
        del one.disk[key]
    assert [name for _, name in one.disk] == left
    one.live()
    assert one.east() == 40


def test_orders_that_are_over_are_bounded_and_those_that_stand_stay():
    one = Office()
    one.send(setpoint("stands", 77, priority=3))
    for number in range(30):
        one.clock.advance(4)
        one.send(setpoint(f"o{number}", number, priority=4, until=one.now + S))
        one.east()
    one.clock.advance(120)
    assert one.east() == 77
    assert len(one.office.forget(0, 10)) == 20
    assert one.office.answer("stands").verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("back_s", [1, 3600])
def test_a_clock_that_is_set_back_changes_nothing_that_is_in_force(back_s):
    one = Office()
    one.send(setpoint("first", 50))
    one.clock.advance(100)
    one.send(setpoint("second", 60))
    assert one.east() == 60
    one.clock.jump(-back_s)
    assert one.east() == 60
    one.live()
    assert one.east() == 60
    assert one.send(setpoint("third", 70)).verdict is Verdict.ACCEPTED
    for _ in range(2):
        assert one.east() == 70
        one.clock.advance(2 * back_s)
        assert one.east() == 70
        one.live()


def test_an_order_for_later_waits_for_its_time_again_when_the_clock_is_set_back():
    one = Office()
    one.send(setpoint("now", 50))
    one.send(setpoint("later", 80, start=one.now + 10 * S))
    one.clock.advance(11)
    assert one.east() == 80
    one.clock.jump(-5)
    assert one.east() == 50
