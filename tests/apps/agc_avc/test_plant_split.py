"""Sharing the target of a plant: hand-worked splits and invariants."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.plant_split import Shareholder, keep_in_deadband, split


def holder(at, low, high, **more):
    given = {"reach_low": low, "reach_high": high, "capacity": max(high, 1.0), **more}
    return Shareholder(at=at, low=low, high=high, **given)


def test_equal_margin_downwards_by_hand():
    # D - sum P = 12 - 18 = -6; ways down 8, 4, 6 of 18 together: -6 * 8/18, ...
    found = split("margin", [holder(8, 0, 8), holder(4, 0, 9), holder(6, 0, 10)], 12.0)
    assert found.power == pytest.approx((8 - 48 / 18, 4 - 24 / 18, 6 - 36 / 18))
    assert found.unmet == 0


def test_equal_margin_upwards_by_hand():
    # ways up 0, 5, 4 of 9; 18 -> 21
    found = split("margin", [holder(8, 0, 8), holder(4, 0, 9), holder(6, 0, 10)], 21.0)
    assert found.power == pytest.approx((8, 4 + 3 * 5 / 9, 6 + 3 * 4 / 9))


def test_equal_output_fills_up_to_limits():
    assert split("average", [holder(0, 0, 2), holder(0, 0, 9), holder(0, 0, 9)], 12.0).power == pytest.approx((2, 5, 5))


def test_by_capacity():
    members = [holder(0, 0, 10), holder(0, 0, 20), holder(0, 0, 30)]
    assert split("capacity", members, 30.0).power == pytest.approx((5, 10, 15))


def test_more_than_there_is_is_said():
    found = split("margin", [holder(3, 0, 5), holder(2, 0, 4)], 12.0)
    assert found.power == pytest.approx((5, 4))
    assert found.unmet == pytest.approx(3)


def test_nobody_stops_while_all_can_run():
    found = split("margin", [holder(8, 2, 10), holder(8, 2, 10, may_stop=True)], 4.0)
    assert not found.stopped
    assert found.power == pytest.approx((2, 2))


def test_one_stop_is_enough_and_it_is_the_smallest_that_fits():
    # minima 2 + 3 + 2 = 7 > 5: without the second 4 <= 5; without the first or third 5 <= 5, and the first is smaller
    members = [holder(8, 2, 8, may_stop=True), holder(9, 3, 9, may_stop=True), holder(9, 2, 10, may_stop=True)]
    found = split("margin", members, 5.0)
    assert found.stopped == {0}
    assert sum(found.power) == pytest.approx(5)


def test_a_stop_leaves_a_set_that_can_meet_the_order():
    # stopping the larger would leave 4 at most
    found = split("margin", [holder(10, 8, 10, may_stop=True), holder(4, 3, 4, may_stop=True)], 9.0)
    assert found.stopped == {1}
    assert found.power == pytest.approx((9, 0))


def test_nobody_is_stopped_who_may_not():
    found = split("margin", [holder(8, 2, 10), holder(8, 2, 10)], 1.0)
    assert not found.stopped
    assert found.power == pytest.approx((2, 2))
    assert found.unmet == pytest.approx(-3)


def test_an_order_below_every_minimum_is_a_ceiling():
    found = split("margin", [holder(8, 2, 10, may_stop=True), holder(8, 2, 10, may_stop=True)], 1.0)
    assert found.stopped == {0, 1}
    assert found.power == (0, 0)


def test_what_was_stopped_stays_until_it_is_needed_and_may_start():
    running, stopped = holder(4, 2, 10, may_stop=True), holder(0, 2, 10, may_stop=True, stopped=True)
    assert split("margin", [running, stopped], 9.0).stopped == {1}
    assert not split("margin", [running, stopped], 12.0).stopped
    waiting = holder(0, 2, 10, may_stop=True, stopped=True, may_start=False)
    assert split("margin", [running, waiting], 12.0).stopped == {1}


def test_members_in_their_dead_band_stay_and_the_others_make_up_for_them():
    members = [holder(5, 0, 10), holder(5, 0, 10), holder(5, 0, 10)]
    first = split("average", members, 16.5)
    assert first.power == pytest.approx((5.5, 5.5, 5.5))
    kept = keep_in_deadband("average", members, 16.5, first, [5.0, math.nan, math.nan])
    assert kept.power == pytest.approx((5.0, 5.75, 5.75))


def test_a_dead_band_does_not_cost_the_order():
    members = [holder(9, 0, 10), holder(10, 0, 10)]
    first = split("margin", members, 20.0)
    assert keep_in_deadband("margin", members, 20.0, first, [9.0, math.nan]) is first


@st.composite
def plants(draw):
    members = []
    for _ in range(draw(st.integers(1, 8))):
        low = draw(st.sampled_from([0.0, 0.0, 0.5, 2.0]))
        high = low + draw(st.floats(0, 10))
        at = draw(st.floats(0, 12))
        step = draw(st.sampled_from([0.2, 3.0, math.inf]))
        reach_high = max(min(at + step, high), low)
        reach_low = min(max(at - step, low), reach_high)
        flags = {"may_stop": draw(st.booleans()), "stopped": False}
        members.append(Shareholder(at, low, high, reach_low, reach_high, 12.0, **flags))
    return members


@given(plants(), st.sampled_from(["margin", "average", "capacity"]), st.floats(-5, 100))
def test_invariants(members, rule, demand):
    found = split(rule, members, demand)
    running = [index for index in range(len(members)) if index not in found.stopped]
    for index in running:
        assert members[index].reach_low - 1e-9 <= found.power[index] <= members[index].reach_high + 1e-9
    assert all(found.power[index] == 0 and members[index].may_stop for index in found.stopped)
    least, most = (sum(getattr(members[index], edge) for index in running) for edge in ("reach_low", "reach_high"))
    if running and least <= demand <= most:
        assert sum(found.power) == pytest.approx(demand, abs=1e-6)
    # as few stops as bring the minima down to the order, the largest ones first being the quickest way
    lows = sorted((m.low for m in members if m.may_stop and m.low > 0), reverse=True)
    total, needed = sum(m.low for m in members), 0
    while total > demand + 1e-6 and needed < len(lows):
        total -= lows[needed]
        needed += 1
    assert len(found.stopped) == needed
