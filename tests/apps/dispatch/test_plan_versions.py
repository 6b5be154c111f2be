"""Versions of plans: interpolation over the borders of days, merging, edits, going back, what is missing."""

from __future__ import annotations

import math
from datetime import date
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.apps.dispatch.days import day_bounds, labels, point_times
from scada.apps.dispatch.desk import DispatchDesk
from scada.apps.dispatch.following import EnergyAccounts
from scada.apps.dispatch.judging import Bounds
from scada.apps.dispatch.orders import EditOrder, ScheduleOrder, Verdict
from scada.apps.dispatch.plans import Curve, PlanBook, PlanPoint, PlanVersion, changes
from scada.core.clock import NS_PER_S
from scada.core.dispatch_settings import DispatchSettings

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
DAY, NEXT = date(2026, 11, 22), date(2026, 11, 23)
MIDNIGHT = day_bounds(DAY, SHANGHAI)[0]
MINUTE = 60 * NS_PER_S
QUARTER = 15 * MINUTE
UNIT = Bounds(0.0, 100.0, ramp_up=2.0, ramp_down=4.0, forbidden=((40.0, 50.0),))


def make(**settings):
    return DispatchDesk({"East": (Bounds(-200, 200), 40.0)}, {"g1": UNIT}, DispatchSettings(**settings), SHANGHAI)


def plan(number, mw, start=MIDNIGHT + QUARTER, step=900, unit="", issued=0):
    return ScheduleOrder(f"s{number}", "dispatcher", "East", unit, start, step, mw, issued)


def edit(number, based_on, **what):
    fields = {"reason": "line out", **what}
    return EditOrder(f"e{number}", "li", "East", "", DAY, based_on, **fields)


def test_a_day_of_96_points_is_reached_at_their_times():
    desk = make()
    answer = desk.schedule(plan(1, [float(number) for number in range(1, 97)]), MIDNIGHT)
    assert (answer.verdict, answer.version, answer.day) == (Verdict.ACCEPTED, 1, "2026-11-22")
    curve = desk.plans.curve("East")
    assert curve.at(MIDNIGHT + QUARTER - 1) is None
    assert curve.at(MIDNIGHT + QUARTER) == 1.0
    assert curve.at(MIDNIGHT + 12 * 4 * QUARTER) == 48.0
    assert curve.at(MIDNIGHT + 12 * 4 * QUARTER + 5 * MINUTE) == pytest.approx(48 + 1 / 3)
    assert curve.at(MIDNIGHT + 96 * QUARTER) == 96.0
    assert curve.at(MIDNIGHT + 96 * QUARTER + 1) is None


@pytest.mark.parametrize("at_midnight", [True, False])
def test_the_border_between_two_days_is_ramped_in_both_ways_of_writing_a_day(at_midnight):
    desk = make()
    days = [point_times(day, SHANGHAI, 900, at_midnight=at_midnight) for day in (DAY, NEXT)]
    for number, (times, mw) in enumerate(zip(days, (60.0, 90.0), strict=True)):
        desk.schedule(plan(number, [mw] * 96, times[0]), MIDNIGHT)
    last, first = days[0][-1], days[1][0]
    assert first - last == QUARTER
    # 60 at the last point, 90 at the first: a third of the way after 5 of 15 minutes
    assert desk.plans.curve("East").at(last + 5 * MINUTE) == pytest.approx(70.0)
    assert desk.plans.curve("East").at(last + 10 * MINUTE) == pytest.approx(80.0)


def test_a_hole_longer_than_a_step_is_no_plan():
    desk = make()
    desk.schedule(plan(1, [10.0, 10.0], MIDNIGHT + QUARTER), MIDNIGHT)
    desk.schedule(plan(2, [90.0, 90.0], MIDNIGHT + 8 * QUARTER), MIDNIGHT)
    assert desk.plans.newest("East", DAY).number == 2
    assert [point.mw for point in desk.plans.newest("East", DAY).points] == [10.0, 10.0, 90.0, 90.0]
    assert desk.in_force(MIDNIGHT + 4 * QUARTER).interchange["East"] == 40.0


def test_five_minutes_within_quarters_go_on_without_a_jump():
    desk = make()
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    desk.schedule(plan(2, [75.0, 80.0, 85.0, 90.0], MIDNIGHT + 8 * QUARTER, step=300), MIDNIGHT)
    curve = desk.plans.curve("East")
    assert curve.at(MIDNIGHT + 7 * QUARTER + QUARTER // 2) == pytest.approx(67.5)
    assert curve.at(MIDNIGHT + 8 * QUARTER + 5 * MINUTE) == 80.0
    assert curve.at(MIDNIGHT + 9 * QUARTER) == 90.0
    assert curve.at(MIDNIGHT + 9 * QUARTER + QUARTER // 3) == pytest.approx(80.0)
    assert len(desk.plans.newest("East", DAY).points) == 96 + 2


def test_an_older_issue_is_out_of_order_and_changes_nothing():
    desk = make()
    desk.schedule(plan(1, [60.0] * 96, issued=200), MIDNIGHT)
    answer = desk.schedule(plan(2, [10.0] * 96, issued=100), MIDNIGHT)
    assert answer.verdict is Verdict.OUT_OF_ORDER
    assert "version 1" in answer.reason
    assert desk.in_force(MIDNIGHT + 4 * QUARTER).interchange["East"] == 60.0
    assert desk.schedule(plan(3, [20.0] * 96, issued=300), MIDNIGHT).version == 2


def test_the_same_plan_again_makes_no_version():
    desk = make()
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    answer = desk.schedule(plan(2, [60.0] * 96), MIDNIGHT)
    assert (answer.verdict, answer.version) == (Verdict.ACCEPTED, 1)
    assert "the same" in answer.reason
    assert len(desk.plans.versions("East", DAY)) == 1


def test_each_point_beyond_limit_ramp_or_zone_is_told():
    desk = make()
    # 30 MW in 15 min is 2 MW/min: just possible; 31 is not; 120 is above 100; 45 is inside 40 .. 50
    answer = desk.schedule(plan(1, [0.0, 30.0, 61.0, 120.0, 45.0], unit="g1"), MIDNIGHT)
    assert answer.verdict is Verdict.CLIPPED
    told = [((one.time_ns - MIDNIGHT) // QUARTER, one.code, one.applied_mw) for one in answer.findings]
    assert told == [(3, "ramp", 61.0), (4, "limit", 100.0), (4, "ramp", 100.0), (5, "zone", 45.0)]
    assert desk.in_force(MIDNIGHT + 4 * QUARTER).base_points == {"g1": 100.0}


@pytest.mark.parametrize(
    ("settings", "mw"), [({"beyond_limits": "refuse"}, [0.0, 120.0]), ({"beyond_ramp": "refuse"}, [0.0, 31.0])]
)
def test_a_site_may_refuse_instead(settings, mw):
    desk = make(**settings)
    answer = desk.schedule(plan(1, mw, unit="g1"), MIDNIGHT)
    assert (answer.verdict, answer.version) == (Verdict.REFUSED, 0)
    assert answer.findings
    assert desk.in_force(MIDNIGHT + 2 * QUARTER).base_points == {}
    assert desk.schedule(plan(1, [0.0, 10.0], unit="g1"), MIDNIGHT).verdict is Verdict.ACCEPTED


def test_points_and_ranges_are_edited_and_an_earlier_version_comes_back():
    desk = make()
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    noon = MIDNIGHT + 48 * QUARTER
    one = desk.edit(edit(1, 1, points={noon: 80.0}), MIDNIGHT)
    assert (one.verdict, one.version, one.kind) == (Verdict.ACCEPTED, 2, "edit")
    two = desk.edit(edit(2, 2, range_ns=(noon, noon + QUARTER), mw=-5.0, add=True), MIDNIGHT)
    assert two.version == 3
    curve = desk.plans.curve("East")
    assert [curve.at(noon + place * QUARTER) for place in (-1, 0, 1, 2)] == [60.0, 75.0, 55.0, 60.0]
    versions = desk.plans.versions("East", DAY)
    assert [(one.time_ns, one.old, one.new) for one in changes(versions[0].points, versions[2].points)] == [
        (noon, 60.0, 75.0),
        (noon + QUARTER, 60.0, 55.0),
    ]
    back = desk.edit(edit(3, 3, restore=1), MIDNIGHT)
    assert (back.kind, back.version) == ("restore", 4)
    assert (versions[3].based_on, versions[3].digest, versions[3].sender) == (1, versions[0].digest, "li")
    assert desk.plans.curve("East").at(noon) == 60.0


@pytest.mark.parametrize(
    ("order", "now", "verdict", "word"),
    [
        (edit(1, 1, points={MIDNIGHT + QUARTER: 1.0}), MIDNIGHT + QUARTER, Verdict.LATE, "past"),
        (edit(1, 0, points={MIDNIGHT + QUARTER: 1.0}), MIDNIGHT, Verdict.REFUSED, "version 1 is in force"),
        (edit(1, 1, points={MIDNIGHT + 7: 1.0}), MIDNIGHT, Verdict.REFUSED, "no points"),
        (edit(1, 1, points={MIDNIGHT + QUARTER: math.nan}), MIDNIGHT, Verdict.REFUSED, "finite"),
        (edit(1, 1, points={MIDNIGHT + QUARTER: 1.0}, reason=" "), MIDNIGHT, Verdict.REFUSED, "reason"),
        (edit(1, 1, points={MIDNIGHT + QUARTER: 1.0}, restore=1), MIDNIGHT, Verdict.REFUSED, "one range"),
        (edit(1, 1, restore=1), MIDNIGHT, Verdict.REFUSED, "no earlier version 1"),
        (edit(1, 1, range_ns=(MIDNIGHT + QUARTER, MIDNIGHT)), MIDNIGHT, Verdict.REFUSED, "no point"),
        (edit(1, 1), MIDNIGHT, Verdict.REFUSED, "names"),
    ],
)
def test_an_edit_that_cannot_be_changes_nothing_and_says_why(order, now, verdict, word):
    desk = make()
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    answer = desk.edit(order, now)
    assert (answer.verdict, answer.version) == (verdict, 0)
    assert word in answer.reason
    assert len(desk.plans.versions("East", DAY)) == 1


def test_the_end_of_a_plan_is_told_once_and_the_model_is_in_force():
    desk = make()
    desk.schedule(plan(1, [60.0, 60.0]), MIDNIGHT)
    assert desk.in_force(MIDNIGHT + 2 * QUARTER).ended == ()
    after = desk.in_force(MIDNIGHT + 2 * QUARTER + 1)
    assert (after.ended, after.interchange) == (("East",), {"East": 40.0})
    assert desk.in_force(MIDNIGHT + 2 * QUARTER + 2).ended == ()


def test_a_missing_plan_of_tomorrow_is_told_at_its_time_and_once():
    desk = make(next_day_by="20:00")
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    eight = MIDNIGHT + 20 * 4 * QUARTER
    assert desk.missing(eight - MINUTE) == []
    assert desk.missing(eight) == [("East", NEXT)]
    assert desk.missing(eight + MINUTE) == []
    served = make(next_day_by="20:00")
    served.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    served.schedule(plan(2, [60.0] * 96, point_times(NEXT, SHANGHAI, 900)[0]), MIDNIGHT)
    assert served.missing(eight) == []
    silent = make(next_day_by="")
    silent.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    assert silent.missing(eight) == []


def test_old_days_go_and_young_ones_stay():
    desk = make(keep_days=2)
    desk.schedule(plan(1, [60.0] * 96), MIDNIGHT)
    desk.clean(MIDNIGHT + 2 * 96 * QUARTER)
    assert desk.plans.newest("East", DAY) is not None
    desk.clean(MIDNIGHT + 3 * 96 * QUARTER)
    assert desk.plans.newest("East", DAY) is None


# ---------------------------------------------------------------- days


@pytest.mark.parametrize(
    ("day", "count", "around"),
    [
        (date(2026, 3, 29), 92, ["01:45", "03:00", "03:15"]),
        (date(2026, 10, 25), 100, ["02:45", "02:00", "02:15"]),
        (date(2026, 11, 22), 96, ["02:45", "03:00", "03:15"]),
    ],
)
def test_days_have_23_24_or_25_hours(day, count, around):
    times = point_times(day, BERLIN, 900)
    shown = labels(times, BERLIN)
    assert len(times) == count
    assert (shown[0], shown[-1]) == ("00:15", "24:00")
    place = {92: 6, 100: 10, 96: 10}[count]
    assert shown[place : place + 3] == around
    assert {later - earlier for earlier, later in pairwise(times)} == {QUARTER}


# ---------------------------------------------------------------- energy


def test_energy_is_the_integral_of_the_plan():
    curve = Curve().over([PlanPoint(0, 0.0, 900), PlanPoint(QUARTER, 40.0, 900), PlanPoint(2 * QUARTER, 40.0, 900)])
    assert curve.energy_mwh(0, 2 * QUARTER) == pytest.approx(5.0 + 10.0)
    # from a third to the end of the ramp: 13.33 .. 40 MW over 10 minutes
    assert curve.energy_mwh(5 * MINUTE, QUARTER) == pytest.approx((40 / 3 + 40) / 2 / 6)


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=30), st.integers(0, 30 * 900), st.integers(0, 30 * 900))
def test_energy_of_two_parts_is_that_of_the_whole(values, one, other):
    curve = Curve().over([PlanPoint(place * QUARTER, mw, 900) for place, mw in enumerate(values)])
    first, last = sorted((one * NS_PER_S, other * NS_PER_S))
    middle = (first + last) // 2
    parts = curve.energy_mwh(first, middle) + curve.energy_mwh(middle, last)
    assert parts == pytest.approx(curve.energy_mwh(first, last), abs=1e-9)


def test_what_is_not_measured_is_counted_as_unknown():
    curve = Curve().over([PlanPoint(MIDNIGHT, 60.0, 900), PlanPoint(MIDNIGHT + QUARTER, 60.0, 900)])
    accounts = EnergyAccounts(SHANGHAI)
    for second in range(121):
        actual = math.nan if 30 < second <= 90 else 66.0
        seen = accounts.follow("East", curve, actual, MIDNIGHT + second * NS_PER_S)
    assert (seen.mw, seen.next_ns, seen.deviation_mw) == (60.0, MIDNIGHT + QUARTER, 6.0)
    assert seen.unknown_s == 60.0
    assert seen.executed_mwh == pytest.approx(66.0 / 60)
    assert seen.planned_mwh == pytest.approx(1.0)
    again = EnergyAccounts(SHANGHAI)
    again.restore(accounts.state())
    later = MIDNIGHT + 121 * NS_PER_S
    assert again.follow("East", curve, 66.0, later) == accounts.follow("East", curve, 66.0, later)
    assert accounts.follow("East", curve, 66.0, MIDNIGHT + 2 * QUARTER) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(2, 60), st.integers(0, 5), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_a_curve_that_grows_is_the_one_made_anew(rows):
    grown, anew = PlanBook(), PlanBook()
    for number, (day, first, count, received, whole) in enumerate(rows, 1):
        start = MIDNIGHT + (day * 96 + first) * QUARTER
        points = tuple(PlanPoint(start + place * QUARTER, float(number), 900) for place in range(count))
        kept = points if whole else grown.merged("East", date(2026, 11, 22 + day), points)
        version = PlanVersion("East", date(2026, 11, 22 + day), number, kept, f"o{number}", "d", received, "schedule")
        grown.add(version)
        anew.add(version)
        curve = grown.curve("East")
        anew._curves.clear()
        assert curve == anew.curve("East")
        assert list(curve.times) == sorted(set(curve.times))


def test_energy_looks_at_the_time_asked_only():
    curve = Curve().over([PlanPoint(place * QUARTER, float(place % 7), 900) for place in range(96)])
    whole = curve.energy_mwh(-QUARTER, 200 * QUARTER)
    parts = sum(curve.energy_mwh(start * QUARTER // 3, (start + 1) * QUARTER // 3) for start in range(-3, 300))
    assert parts == pytest.approx(whole)
    assert curve.energy_mwh(QUARTER, 2 * QUARTER) == pytest.approx(1.5 / 4)
    assert (curve.energy_mwh(95 * QUARTER, 99 * QUARTER), curve.energy_mwh(5 * MINUTE, 5 * MINUTE)) == (0.0, 0.0)


def test_a_desk_that_runs_for_long_keeps_only_its_days():
    desk = make(keep_days=5)
    for day in range(40):
        now = MIDNIGHT + day * 96 * QUARTER
        assert desk.schedule(plan(day, [1.0] * 96, start=now + QUARTER), now).verdict is Verdict.ACCEPTED
    assert len(desk.plans.all()) == 6
    assert len(desk.plans.curve("East").points) == 6 * 96
