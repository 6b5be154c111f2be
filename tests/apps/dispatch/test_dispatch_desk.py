"""Orders of dispatch: accepted, clipped, refused, late, duplicate; what is in force when."""

import math

import pytest

from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.judging import Bounds
from scada.apps.dispatch.orders import EditOrder, ScheduleOrder, SetpointOrder, Verdict
from scada.core.clock import NS_PER_S

NOW = 1_700_000_000 * NS_PER_S
HOUR = 3600 * NS_PER_S


@pytest.fixture
def desk():
    return DispatchDesk({"East": (Bounds(-200, 200), 40.0)}, {"G1": Bounds(0, 100)})


def test_plan_then_schedule_then_setpoint_then_back(desk):
    assert desk.in_force(NOW).interchange == {"East": 40.0}
    plan = ScheduleOrder("s1", "dispatcher", "East", "", NOW, 900, [0.0, 90.0, 90.0])
    assert desk.schedule(plan, NOW).verdict is Verdict.ACCEPTED
    assert desk.in_force(NOW + 300 * NS_PER_S).interchange["East"] == pytest.approx(30.0)
    assert desk.stand(SetpointOrder("o1", "dispatcher", "East", -50.0, 0, NOW + 600 * NS_PER_S), NOW).verdict is Verdict.ACCEPTED
    assert desk.in_force(NOW + 599 * NS_PER_S).interchange["East"] == -50.0
    after = desk.in_force(NOW + 600 * NS_PER_S)
    assert after.interchange["East"] == pytest.approx(60.0)
    assert [order.order_id for order in after.expired] == ["o1"]
    assert desk.in_force(NOW + 601 * NS_PER_S).expired == ()
    assert desk.in_force(NOW + HOUR).interchange["East"] == 40.0


def test_clipped_and_said_so(desk):
    answer = desk.stand(SetpointOrder("o1", "d", "East", 500.0), NOW)
    assert (answer.verdict, answer.applied_mw) == (Verdict.CLIPPED, 200.0)
    assert "500" in answer.reason
    assert desk.in_force(NOW).interchange["East"] == 200.0


@pytest.mark.parametrize(
    ("order", "verdict"),
    [
        (SetpointOrder("a", "d", "West", 1.0), Verdict.REFUSED),
        (SetpointOrder("a", "d", "East", math.nan), Verdict.REFUSED),
        (SetpointOrder("a", "d", "East", math.inf), Verdict.REFUSED),
        (SetpointOrder("", "d", "East", 1.0), Verdict.REFUSED),
        (SetpointOrder("a", "d", "East", 1.0, 0, NOW - 1), Verdict.LATE),
        (SetpointOrder("a", "d", "East", 1.0, NOW + HOUR, NOW + 1), Verdict.REFUSED),
    ],
)
def test_refused_orders_change_nothing(desk, order, verdict):
    answer = desk.stand(order, NOW)
    assert answer.verdict is verdict
    assert answer.reason
    assert math.isnan(answer.applied_mw)
    assert desk.in_force(NOW).interchange == {"East": 40.0}


def test_a_duplicate_is_not_applied_again_even_after_a_restart(desk):
    assert desk.stand(SetpointOrder("o1", "d", "East", 10.0), NOW).verdict is Verdict.ACCEPTED
    assert desk.stand(SetpointOrder("o2", "d", "East", 20.0), NOW).verdict is Verdict.ACCEPTED
    assert desk.stand(SetpointOrder("o1", "d", "East", 10.0), NOW).verdict is Verdict.DUPLICATE
    assert desk.in_force(NOW).interchange["East"] == 20.0
    again = DispatchDesk({"East": (Bounds(-200, 200), 40.0)}, {})
    again.remember([("d", "o1")])
    assert again.stand(SetpointOrder("o1", "d", "East", 10.0), NOW).verdict is Verdict.DUPLICATE


@pytest.mark.parametrize(
    ("step_s", "values", "start", "verdict"),
    [
        (900, [1.0], NOW, Verdict.REFUSED),
        (7, [1.0, 2.0], NOW, Verdict.REFUSED),
        (900, [1.0, math.nan], NOW, Verdict.REFUSED),
        (900, [1.0, 2.0], NOW - HOUR, Verdict.LATE),
        (900, [50.0, 120.0], NOW, Verdict.CLIPPED),
    ],
)
def test_unit_schedules(desk, step_s, values, start, verdict):
    answer = desk.schedule(ScheduleOrder("s", "d", "East", "G1", start, step_s, values), NOW)
    assert answer.verdict is verdict
    base = desk.in_force(NOW + 900 * NS_PER_S).base_points
    assert base == ({"G1": 100.0} if verdict is Verdict.CLIPPED else {})


@pytest.mark.parametrize("start", [2**63 - 1, NOW + 401 * 24 * HOUR, -(2**63)])
def test_a_plan_of_another_age_is_refused(desk, start):
    answer = desk.schedule(ScheduleOrder("s", "d", "East", "", start, 3600, [1.0, 2.0]), NOW)
    assert answer.verdict in {Verdict.REFUSED, Verdict.LATE}
    assert answer.reason
    assert not desk.plans.all()
    near = desk.schedule(ScheduleOrder("s", "d", "East", "", NOW + 399 * 24 * HOUR, 3600, [1.0, 2.0]), NOW)
    assert near.verdict is Verdict.ACCEPTED


def test_no_plan_leaves_the_numbers():
    desk = DispatchDesk({"East": (Bounds(math.nan, math.nan), 40.0)}, {})
    wild = desk.schedule(ScheduleOrder("s", "d", "East", "", NOW, 900, [1e308, -1e308]), NOW)
    assert wild.verdict is Verdict.REFUSED
    assert desk.stand(SetpointOrder("o", "d", "East", 1e300), NOW).verdict is Verdict.REFUSED
    desk.schedule(ScheduleOrder("s", "d", "East", "", NOW, 900, [9e6, 9e6, 9e6]), NOW)
    (version,) = desk.plans.all()[("East", next(iter(desk.plans.all()))[1])]
    more = EditOrder("e", "o", "East", "", version.day, 1, "more", range_ns=(NOW + 900 * NS_PER_S, NOW + HOUR), mw=9e6, add=True)
    assert desk.edit(more, NOW).verdict is Verdict.REFUSED
    assert desk.in_force(NOW + 600 * NS_PER_S).interchange == {"East": 9e6}


def test_a_set_point_for_later_leaves_the_one_in_force_until_its_time(desk):
    desk.stand(SetpointOrder("now", "d", "East", -50.0), NOW)
    assert desk.stand(SetpointOrder("later", "d", "East", 80.0, NOW + HOUR, NOW + 2 * HOUR), NOW).verdict is Verdict.ACCEPTED
    assert desk.stand(SetpointOrder("last", "d", "East", 90.0, NOW + 3 * HOUR), NOW).verdict is Verdict.ACCEPTED
    assert desk.in_force(NOW).interchange["East"] == -50.0
    assert desk.in_force(NOW + HOUR - 1).interchange["East"] == -50.0
    assert desk.in_force(NOW + HOUR).interchange["East"] == 80.0
    after = desk.in_force(NOW + 2 * HOUR)
    assert (after.interchange["East"], [one.order_id for one in after.expired]) == (40.0, ["later"])
    assert desk.in_force(NOW + 3 * HOUR).interchange["East"] == 90.0


def test_a_set_point_of_now_follows_one_that_has_begun_meanwhile(desk):
    desk.stand(SetpointOrder("later", "d", "East", 80.0, NOW + HOUR), NOW)
    desk.stand(SetpointOrder("newest", "d", "East", 10.0), NOW + 2 * HOUR)
    assert desk.in_force(NOW + 2 * HOUR).interchange["East"] == 10.0
    assert desk.in_force(NOW + 9 * HOUR).interchange["East"] == 10.0


def test_set_points_that_wait_are_bounded(desk):
    verdicts = [desk.stand(SetpointOrder(f"o{n}", "d", "East", 1.0, NOW + HOUR + n), NOW).verdict for n in range(101)]
    assert (verdicts.count(Verdict.ACCEPTED), verdicts[-1]) == (100, Verdict.REFUSED)
    assert desk.stand(SetpointOrder("now", "d", "East", 5.0), NOW).verdict is Verdict.ACCEPTED
