"""Functions with memory: against sums done by hand, over periods, gaps, set clocks and meters that start again."""

import math
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.calc.graph import CalcGraph
from scada.core.quality import Quality
from scada.model_cim.tables import Point, PointKind

S = 1_000_000_000
MIDNIGHT = 1_700_006_400 * S  # 2023-11-15 00:00 UTC
CALC = int(Quality.CALCULATED)
DOUBT = int(Quality.QUESTIONABLE) | CALC
BAD = int(Quality.COMM_LOST)


def point(pid, path, expression="", kind=PointKind.ANALOG):
    return Point(
        pid, f"m-{path}", path, path, kind, "", "", "", "", "S", "", -1 if expression else 0, None, expression=expression
    )


class World:
    """One input "x" and one calculated point, with a wall clock that can be set."""

    def __init__(self, text, x=math.nan, quality=0, wall=MIDNIGHT, zone="UTC"):
        self.graph = CalcGraph([point(0, "x"), point(1, "r", text)], ZoneInfo(zone))
        assert self.graph.findings == []
        self.value, self.quality = np.array([x, math.nan]), np.array([quality, 0], dtype=np.uint32)
        self.wall = wall
        self.graph.evaluate_all(self.value, self.quality, self.wall)

    def set(self, x, quality=0):
        self.value[0], self.quality[0] = x, quality
        self.graph.evaluate(np.array([0], dtype=np.uint32), self.value, self.quality, self.wall)

    def wait(self, seconds, step=1.0):
        left = seconds
        while left > 1e-9:
            part = min(step, left)
            self.graph.elapse(round(part * S))
            self.wall += round(part * S)
            self.graph.evaluate_timed(self.value, self.quality, self.wall)
            left -= part

    def down(self, seconds):
        self.graph.lose(round(seconds * S))
        self.wall += round(seconds * S)
        self.graph.evaluate_all(self.value, self.quality, self.wall)

    def jump(self, seconds):
        self.wall += round(seconds * S)

    @property
    def answer(self):
        results = self.graph._results
        return float(results.value[0]), int(results.quality[0])

    def shows(self, value, word=CALC):
        got, quality = self.answer
        assert got == pytest.approx(value, rel=1e-9, abs=1e-9, nan_ok=True)
        assert quality == word, Quality(quality)


# ---------------------------------------------------------------- totals


@pytest.mark.parametrize(("inner", "at_zero"), [('exp("x")', 1.0), ('10 ^ "x"', 1.0), ('"x" * 1e308', 0.0)])
def test_a_number_too_large_is_unknown_and_poisons_no_total(inner, at_zero):
    World(f"first_good({inner}, 7)", 1000.0).shows(7.0)
    world = World(f"total({inner}, s)", 1000.0)
    world.wait(10)
    world.set(0.0)
    world.wait(10)
    world.shows(10 * at_zero, DOUBT)


def test_a_total_holds_the_last_value_and_starts_anew_with_the_day():
    world = World('total("x", h, day)', 60.0)
    world.wait(1800)
    world.set(120.0)
    world.wait(1800)
    world.shows(30.0 + 60.0)
    world.wait(23 * 3600 - 10, step=10)
    before = world.answer[0]
    world.wait(20, step=20)  # over midnight in one step: divided at midnight, not at the tick
    assert before + 120 * 10 / 3600 == pytest.approx(90 + 120 * 23)
    world.shows(120 * 10 / 3600)
    kept = World('previous(total("x", h, day))', 60.0)
    kept.wait(86_400 - 5, step=600)
    assert math.isnan(kept.answer[0])
    kept.wait(10, step=10)
    kept.shows(60.0 * 24)


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(0, 500)), min_size=1, max_size=12), st.integers(1, 400))
@settings(max_examples=40, deadline=None)
def test_a_total_does_not_depend_on_how_often_it_is_looked_at(steps, tick):
    coarse, fine = World('total("x", s)', 0.0), World('total("x", s)', 0.0)
    exact = 0.0
    for x, seconds in steps:
        for world, step in ((coarse, 10_000), (fine, tick)):
            world.set(x)
            world.wait(seconds, step)
        exact += x * seconds
    coarse.shows(exact)
    assert fine.answer[0] == pytest.approx(exact, rel=1e-9, abs=1e-6)


def test_bad_time_is_counted_and_not_integrated():
    world = World('total("x", s, hour)', 10.0)
    lost = World('bad_s("x", hour)', 10.0)
    for one in (world, lost):
        one.wait(10)
        one.set(99.0, BAD)
        one.wait(7)
        one.set(10.0)
        one.wait(3)
    world.shows(130.0, DOUBT)
    lost.shows(7.0)
    world.wait(3600)
    world.shows(200.0)  # the next hour is whole again


def test_what_was_never_known_is_not_zero():
    world = World('total("x", s, day)')
    world.wait(10)
    assert math.isnan(world.answer[0])
    assert world.answer[1] & int(Quality.INVALID)


def test_a_period_that_had_begun_already_is_questionable_until_it_ends():
    world = World('total("x", s, hour)', 1.0, wall=MIDNIGHT + 600 * S)
    world.wait(10)
    world.shows(10.0, DOUBT)
    world.wait(3000)
    world.shows(10.0)


def test_the_quality_of_what_went_in_stays_until_the_period_ends():
    world = World('total("x", s, hour)', 1.0)
    world.set(2.0, int(Quality.SUBSTITUTED))
    world.wait(1)
    world.set(1.0)
    world.wait(1)
    world.shows(3.0, int(Quality.SUBSTITUTED) | CALC)
    world.wait(3600)
    world.shows(2.0)


def test_down_time_is_missing_and_said_until_the_period_ends():
    world = World('total("x", s, hour)', 5.0)
    world.wait(60)
    world.down(120)
    world.shows(300.0, DOUBT)
    world.wait(10)
    world.shows(350.0, DOUBT)
    world.wait(3600 - 190)
    world.shows(0.0)
    world.wait(5)
    world.shows(25.0)


def test_down_over_the_end_of_a_period_belongs_to_both():
    world = World('previous(total("x", s, hour))', 5.0, wall=MIDNIGHT + 3540 * S)
    lost = World('bad_s("x", hour)', 5.0, wall=MIDNIGHT + 3540 * S)
    for one in (world, lost):
        one.wait(30)
        one.down(60)
    world.shows(150.0, DOUBT)
    lost.shows(30.0)
    world.down(3 * 3600)
    assert math.isnan(world.answer[0])  # of the hour before this one nothing is known


@pytest.mark.parametrize("jump", [3600, -3600, 86_400, -7 * 86_400, 0.4, -0.4])
def test_a_clock_that_is_set_adds_nothing(jump):
    world = World('total("x", s)', 5.0)
    world.wait(10)
    world.jump(jump)
    world.wait(10)
    assert world.answer[0] == pytest.approx(100.0)


def test_a_clock_set_back_over_midnight_does_not_end_the_day_twice():
    world = World('total("x", s, day)', 1.0, wall=MIDNIGHT - 10 * S)
    world.wait(12)
    world.shows(2.0)
    world.jump(-4)
    world.wait(10)
    world.shows(12.0)


def test_a_clock_set_back_by_days_goes_on_in_doubt():
    world = World('total("x", s, day)', 1.0)
    world.jump(3 * 86_400)
    world.wait(5)
    world.jump(-3 * 86_400)
    world.wait(5)
    assert world.answer[1] == DOUBT
    world.wait(86_400, step=600)
    assert world.answer[1] == CALC, "the next midnight ends it"


def test_daylight_saving_makes_long_and_short_days():
    paris = ZoneInfo("Europe/Paris")
    from datetime import datetime

    for day, hours in ((datetime(2024, 3, 31, tzinfo=paris), 23), (datetime(2024, 10, 27, tzinfo=paris), 25)):
        start = int(day.timestamp()) * S
        world = World('previous(hours_run("x", day))', 1.0, wall=start, zone="Europe/Paris")
        world.wait(hours * 3600 + 1, step=900)
        world.shows(float(hours))


# ---------------------------------------------------------------- means, extremes, demand


def test_means_of_a_period_and_of_the_last_minutes():
    whole, last = World('average("x", hour)', 10.0), World('average("x", 2)', 10.0)
    for one in (whole, last):
        one.wait(600)
        one.set(40.0)
        one.wait(300)
    whole.shows(20.0)
    last.shows(40.0)


def test_a_moving_mean_is_in_doubt_until_its_window_is_full():
    world = World('average("x", 1)', 10.0)
    world.wait(30)
    world.shows(10.0, DOUBT)
    world.wait(31)
    world.shows(10.0)
    world.set(0.0, BAD)
    world.wait(30)
    world.shows(10.0, DOUBT)
    world.wait(90)
    assert math.isnan(world.answer[0])


def test_extremes_of_a_period():
    low, high = World('lowest("x", hour)', 3.0), World('highest("x", hour)', 3.0)
    for one in (low, high):
        for x in (5.0, 1.0, 2.0):
            one.wait(1)
            one.set(x)
    low.shows(1.0)
    high.shows(5.0)
    for one in (low, high):
        one.wait(3600)
        one.shows(2.0)


def test_block_demand_is_the_highest_quarter_hour():
    world = World('max_demand("x", 15, day)', 100.0)
    world.wait(600, step=10)
    assert math.isnan(world.answer[0]), "no interval is over"
    world.wait(300, step=10)
    world.shows(100.0)
    world.wait(600, step=10)
    world.set(400.0)
    world.wait(300, step=10)
    world.shows(200.0)
    world.set(0.0)
    world.wait(3600, step=10)
    world.shows(200.0)


def test_sliding_demand_finds_the_peak_between_blocks():
    block, sliding = World('max_demand("x", 15, day)', 0.0), World('max_demand_sliding("x", 15, day)', 0.0)
    for one in (block, sliding):
        one.wait(600, step=10)
        one.set(90.0)
        one.wait(900, step=10)
        one.set(0.0)
        one.wait(1800, step=10)
    assert block.answer[0] == pytest.approx(60.0)
    assert sliding.answer[0] == pytest.approx(90.0)


def test_an_interval_that_was_not_measured_whole_is_no_peak_but_a_doubt():
    world = World('max_demand("x", 15, day)', 10.0)
    world.wait(900, step=10)
    world.set(500.0)
    world.wait(60, step=10)
    world.set(500.0, BAD)
    world.wait(60, step=10)
    world.set(10.0)
    world.wait(780, step=10)
    world.shows(10.0, DOUBT)


# ---------------------------------------------------------------- counters and states


def test_a_counter_adds_its_increases_over_a_rollover():
    world = World('counter("x", 1000)', 980.0)
    for reading in (990.0, 5.0, 25.0):
        world.set(reading)
    world.shows(45.0)


@pytest.mark.parametrize(("before", "after"), [(500.0, 0.0), (500.0, 3.0), (10.0, 900.0)])
def test_a_meter_reset_or_replaced_adds_nothing(before, after):
    world = World('counter("x", 1000, day)', before)
    world.set(after)
    world.shows(0.0, DOUBT)
    world.set(after + 2)
    world.shows(2.0, DOUBT)


def test_a_counter_catches_up_after_a_bad_time_within_one_period():
    world = World('counter("x", 1e6, day)', 100.0)
    world.wait(10)
    world.set(100.0, BAD)
    world.wait(10)
    world.shows(0.0, DOUBT)
    world.set(150.0)
    world.shows(50.0)
    world.down(10)
    world.set(160.0)
    world.shows(60.0)


def test_an_increase_over_a_gap_at_midnight_is_of_no_known_day():
    world = World('counter("x", 1e6, hour)', 100.0)
    world.wait(3590, step=10)
    world.set(100.0, BAD)
    world.wait(20)
    world.set(150.0)
    world.shows(50.0, DOUBT)


@given(st.lists(st.floats(0, 90), min_size=1, max_size=40))
@settings(max_examples=40, deadline=None)
def test_a_counter_never_adds_more_than_was_used(uses):
    world = World('counter("x", 1000)', 0.0)
    for used in np.cumsum(uses):
        world.set(float(used) % 1000)
    assert world.answer[0] == pytest.approx(sum(uses), rel=1e-9, abs=1e-6)


def test_hours_and_changes_of_a_state():
    hours, changes = World('hours_run("x" == 2, day)', 2.0), World('changes("x", day)', 2.0)
    for one in (hours, changes):
        one.wait(1800, step=30)
        one.set(1.0)
        one.wait(600, step=30)
        one.set(1.0)
        one.set(2.0)
        one.wait(1800, step=30)
    hours.shows(1.0)
    changes.shows(2.0)


def test_delay_and_pulse():
    delay, pulse = World('delay("x", 5)', 0.0), World('pulse("x", 5)', 0.0)
    for one in (delay, pulse):
        one.wait(3)
        one.set(1.0)
    for seconds, late, short in ((0, 0.0, 1.0), (4, 0.0, 1.0), (1, 1.0, 0.0), (9, 1.0, 0.0)):
        for one in (delay, pulse):
            one.wait(seconds)
        delay.shows(late)
        pulse.shows(short)
    assert World('pulse("x", 5)', 1.0).answer[0] == 0.0, "a state that stood already is no edge"


def test_ramp_is_the_slope_over_its_window():
    world = World('60 * ramp("x", 60)', 0.0)
    assert math.isnan(world.answer[0])
    for n in range(1, 121):
        world.wait(1)
        world.set(0.5 * n)
    assert world.answer[0] == pytest.approx(30.0, rel=0.02)
    world.down(5)
    assert math.isnan(world.answer[0])


# ---------------------------------------------------------------- kept over a restart


def test_every_kind_goes_on_from_its_kept_state():
    texts = [
        'total("x", h, day)',
        'average("x", 5)',
        'max_demand_sliding("x", 15, day)',
        'counter("x", 1000, day)',
        'changes("x", day) + changes("x", day)',
        'ramp("x", 60)',
        'previous(highest("x", hour))',
        'delay("x" > 3, 90)',
    ]
    for text in texts:
        straight, broken = World(text, 1.0), World(text, 1.0)
        for step in range(60):
            for one in (straight, broken):
                one.wait(59 + step, step=17)
                one.set(float(step % 7))
            if step in (20, 41):
                state = broken.graph.state(1, broken.wall, broken.value, broken.quality, np.zeros(2, dtype=np.int64))
                fresh = CalcGraph([point(0, "x"), point(1, "r", text)])
                assert not fresh.restore(state).any()
                broken.graph = fresh
                fresh.evaluate_all(broken.value, broken.quality, broken.wall)
        assert broken.answer == pytest.approx(straight.answer, nan_ok=True), text


def test_only_calls_that_are_still_there_are_restored():
    old = World('total("x", h, day) + total("x", s, day)', 1.0)
    old.wait(10)
    state = old.graph.state(1, old.wall, old.value, old.quality, np.zeros(2, dtype=np.int64))
    graph = CalcGraph([point(0, "x"), point(1, "r", 'total("x", s, day) + total("x", min, day)')])
    assert graph.restore(state).tolist() == [False, True]
