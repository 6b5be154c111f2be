"""The calendar against zoneinfo, and the share of time that each evaluation gets."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.calc.calendar import Calendar
from scada.apps.calc.elapsed import Elapsed
from scada.core.clock import VirtualClock
from scada.expressions.calls import Period

S = 1_000_000_000
ZONES = ["UTC", "Asia/Shanghai", "Asia/Kolkata", "Europe/Paris", "America/Havana", "Asia/Beirut", "Australia/Lord_Howe"]
MOMENTS = st.integers(1_600_000_000, 1_900_000_000)


@given(st.sampled_from(ZONES), MOMENTS)
@settings(max_examples=150, deadline=None)
def test_periods_begin_where_the_local_clock_says(zone, moment):
    starts, before = Calendar(ZoneInfo(zone)).around(moment * S)
    local = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone))
    begins = [datetime.fromtimestamp(int(start) / S, UTC).astimezone(ZoneInfo(zone)) for start in starts]
    assert begins[Period.DAY].date() == local.date()
    assert begins[Period.MONTH].date() == local.date().replace(day=1)
    assert begins[Period.YEAR].date() == local.date().replace(month=1, day=1)
    for period in (Period.HOUR, Period.DAY, Period.MONTH, Period.YEAR):
        assert before[period] < starts[period] <= moment * S
    assert moment * S - starts[Period.HOUR] < 5400 * S


@given(st.sampled_from(ZONES), MOMENTS, st.lists(st.integers(-9000, 9000), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_what_is_kept_between_looks_is_what_a_new_calendar_says(zone, moment, steps):
    kept = Calendar(ZoneInfo(zone))
    for step in steps:
        moment += step
        fresh = Calendar(ZoneInfo(zone)).around(moment * S)
        assert [column.tolist() for column in kept.around(moment * S)] == [column.tolist() for column in fresh]


@pytest.mark.parametrize(
    ("zone", "noon", "hours"),
    [
        ("Europe/Paris", datetime(2024, 3, 31, 12, tzinfo=ZoneInfo("Europe/Paris")), 23),
        ("Europe/Paris", datetime(2024, 10, 27, 12, tzinfo=ZoneInfo("Europe/Paris")), 25),
        ("America/Havana", datetime(2024, 3, 10, 12, tzinfo=ZoneInfo("America/Havana")), 23),
        ("America/Havana", datetime(2024, 11, 3, 12, tzinfo=ZoneInfo("America/Havana")), 25),
        ("Australia/Lord_Howe", datetime(2024, 10, 6, 12, tzinfo=ZoneInfo("Australia/Lord_Howe")), 23.5),
        ("Asia/Shanghai", datetime(2024, 3, 31, 12, tzinfo=ZoneInfo("Asia/Shanghai")), 24),
    ],
)
def test_days_have_the_hours_they_have(zone, noon, hours):
    today = Calendar(ZoneInfo(zone)).around(int(noon.timestamp()) * S)[0][Period.DAY]
    tomorrow = Calendar(ZoneInfo(zone)).around(int(noon.timestamp()) * S + 86_400 * S)[0][Period.DAY]
    assert (tomorrow - today) / 3600 / S == hours


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.floats(0, 20)),
        st.tuples(st.just("jump"), st.floats(-4000, 4000)),
        st.tuples(st.just("to"), st.floats(-30, 3)),
        st.tuples(st.just("now"), st.just(0.0)),
    ),
    max_size=40,
)


@given(STEPS)
@settings(max_examples=150, deadline=None)
def test_the_shares_never_exceed_what_passed_and_a_look_at_now_makes_them_equal(steps):
    clock = VirtualClock()
    elapsed, dealt = Elapsed(clock), 0
    for what, seconds in steps:
        if what == "advance":
            clock.advance(seconds)
        elif what == "jump":
            clock.jump(seconds)
        elif what == "to":
            share = elapsed.to(clock.now_ns() + round(seconds * S))
            assert share >= 0
            dealt += share
        else:
            dealt += elapsed.now()[1]
            assert dealt == pytest.approx(clock.monotonic() * S, abs=2)
        assert dealt <= clock.monotonic() * S + 2


def test_change_sets_get_the_time_to_their_own_stamp():
    clock = VirtualClock()
    elapsed, begin = Elapsed(clock), clock.now_ns()
    clock.advance(10)
    assert [elapsed.to(begin + 2 * S), elapsed.to(begin + 5 * S), elapsed.now()[1]] == [2 * S, 3 * S, 5 * S]


def test_a_set_clock_is_noticed():
    clock = VirtualClock()
    elapsed = Elapsed(clock)
    clock.advance(1)
    assert elapsed.now()[2] is False
    clock.jump(2)
    clock.advance(1)
    assert elapsed.now()[1:] == (S, True)
