"""Deviation, rate of change, delays: the table and its kernels against slow models written from their definitions."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from events.alarm_bench import ANALOG, BAD, Bench, keys, point
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.core.settings import AlarmSettings
from scada.events import conditions
from scada.events.condition_table import ConditionTable
from scada.events.records import AlarmPhase, EventKind
from scada.model_cim.tables import AlarmClass, Limits
from scada.rtdb.changes import ChangeSet

NO_CHATTER = AlarmSettings(chatter_count=10_000)

# ---------------------------------------------------------------- deviation

APART = [
    point(0, ANALOG, unit="Hz", limits=Limits(deviation=2.0, reference="m1", hysteresis=0.5)),
    point(1, ANALOG),
    point(2, ANALOG, limits=Limits(hi=10, deviation=5.0, reference="m1")),
]


def test_a_deviation_is_judged_when_either_point_changes():
    bench = Bench(APART)
    assert bench.feed((0, 50.0)) == [], "the reference is not known yet"
    assert bench.feed((1, 48.0)) == []
    (raised,) = bench.feed((1, 47.9))
    assert (raised.pid, raised.kind, raised.key, raised.alarm_class) == (
        0,
        EventKind.LIMIT_VIOLATED,
        "limit.deviation",
        AlarmClass.LIMIT,
    )
    assert raised.parameters == {
        "point": "S/V/B/0",
        "value": "50",
        "unit": "Hz",
        "limit": "2",
        "measured": "2.1",
        "reference": "S/V/B/1",
    }
    assert bench.feed((0, 49.5)) == [], "not yet back by the hysteresis"
    assert keys(bench.feed((0, 49.4))) == ["limit.deviation.returned"]
    (below,) = bench.feed((0, 45.0))
    assert below.parameters["measured"] == "-2.9"


def test_a_deviation_is_not_judged_while_one_of_the_two_is_bad():
    bench = Bench(APART)
    bench.feed((0, 50.0), (1, 50.0))
    assert bench.feed((1, 0.0, BAD)) == []
    assert bench.feed((0, 60.0)) == []
    assert keys(bench.feed((1, 50.0))) == ["limit.deviation"]
    assert bench.feed((1, 60.0, BAD), (0, 60.0)) == [], "neither begins nor ends"
    assert bench.phases == {(0, "limit.deviation"): AlarmPhase.UNACK_ACTIVE}


def test_points_that_share_a_reference_each_have_their_alarm():
    bench = Bench(APART)
    bench.feed((0, 50.0), (1, 50.0), (2, 50.0))
    raised = [(event.pid, event.key) for event in bench.feed((1, 40.0))]
    assert raised == [(0, "limit.deviation"), (2, "limit.deviation")]


def test_a_reference_the_model_does_not_have_gives_no_alarm():
    bench = Bench([point(0, ANALOG, limits=Limits(deviation=2.0, reference="gone"))])
    assert bench.feed((0, 1e6)) == []


# ---------------------------------------------------------------- rate of change

FAST = [point(0, ANALOG, unit="MW", limits=Limits(rate=60.0, rate_window_s=15.0, hysteresis=3.0))]


def test_a_ramp_is_an_alarm_after_a_whole_window_and_over_when_it_stops():
    bench = Bench(FAST, NO_CHATTER)
    events = []
    for second in range(30):
        events += bench.feed((0, 1.1 * second))
        bench.tick(1)
    (raised,) = events
    assert (raised.key, raised.parameters["measured"], raised.parameters["limit"]) == ("limit.rate", "66", "60")
    assert raised.time_ns == bench.clock.now_ns() - 15 * NS_PER_S, "fifteen seconds after the first value"
    over = [bench.tick(1) for _ in range(15)]
    assert [keys(events) for events in over if events] == [["limit.rate.returned"]], "without a further value"
    assert bench.phases == {(0, "limit.rate"): AlarmPhase.UNACK_RETURNED}


def test_no_rate_from_a_value_after_a_gap_or_a_restart():
    bench = Bench(FAST)
    bench.feed((0, 0.0))
    for _ in range(60):
        assert bench.tick(1) == []
    bench.feed((0, 0.0, int(Quality.COMM_LOST), RecordFlag.QUALITY_SET))
    assert bench.feed((0, 1e6)) == [], "what happened in the gap is not known"
    bench.clock.advance(60)
    assert keys(bench.feed((0, 0.0))) == ["limit.rate"], "a whole window later a step is one"
    bench.restart()
    assert bench.feed((0, 5e6)) == []
    assert bench.phases == {(0, "limit.rate"): AlarmPhase.UNACK_ACTIVE}, "what stood before the restart stands on"
    bench.clock.advance(60)
    assert keys(bench.feed((0, 5e6))) == ["limit.rate.returned"]


def test_changes_that_waited_are_not_a_steep_ramp():
    """The journal's tail after a restart arrives within a moment."""
    bench = Bench(FAST)
    for second in range(100):
        records = PointBatch.of([0], [float(second)], received_at=0).records
        at = bench.clock.now_ns() - (100 - second) * NS_PER_S
        assert bench.engine.process(ChangeSet(second + 1, records, np.array([at]), at)) == []


def late(bench, value, seconds):
    """A change set that was committed some seconds ago by the wall clock."""
    at = bench.clock.now_ns() - round(seconds * NS_PER_S)
    records = PointBatch.of([0], [value], received_at=0).records
    return bench.engine.process(ChangeSet(1, records, np.array([at]), at))


def test_a_delay_counts_from_the_commit_where_changes_waited():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, delay_s=5))])
    bench.clock.advance(100)
    assert late(bench, 11.0, 3) == []
    assert bench.tick(1.9) == []
    assert keys(bench.tick(0.1)) == ["limit.hi"]


@pytest.mark.parametrize("waited", [-3600, 3600])
def test_a_wall_clock_that_was_set_meanwhile_neither_prolongs_a_delay_nor_makes_it_run_out(waited):
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, delay_s=5))])
    bench.tick(100)
    assert late(bench, 11.0, waited) == []
    assert bench.tick(4.9) == []
    assert keys(bench.tick(0.1)) == ["limit.hi"]


def slow_rate(samples, now, window, since_gap):
    """Mean change per minute over the window by its definition; None = not known."""
    step = window / 15
    start = (math.ceil(now / step) - 15) * step
    if since_gap is None or since_gap > start:
        return None, 0.0
    before = [value for time, value in samples if time <= start][-1]
    return (samples[-1][1] - before) / (now - start) * 60, now - start


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.25, 0.5, 1, 1, 2, 7, 30]), st.sampled_from([None, 0.0, 5.0, 20.0, 40.0, "bad", "bad"])),
        max_size=40,
    )
)
def test_rates_like_the_slow_model(script):
    bench = Bench(FAST, NO_CHATTER)
    samples, since, held, good = [], None, False, False
    for pause, value in script:
        bench.clock.advance(pause)
        now = bench.clock.monotonic()
        if value == "bad":
            events = bench.feed((0, 0.0, BAD))
            samples, since, good = [], None, False
            assert events == []
            continue
        if value is None:
            events = bench.tick()
        else:
            events = bench.feed((0, value))
            since = now if since is None else since
            samples.append((now, value))
            good = True
        rate, span = slow_rate(samples, now, 15.0, since) if good else (None, 0.0)
        expected = held
        if rate is not None and (held or value is not None):
            expected = abs(rate) / 60 * span > span - (3.0 if held else 0.0) + 1e-12
        told = [key for key in keys(events) if key.startswith("limit.rate")]
        assert told == ([] if expected == held else ["limit.rate" if expected else "limit.rate.returned"])
        held = expected


# ---------------------------------------------------------------- delays


def test_a_return_must_last_for_its_off_delay():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, off_delay_s=5))], NO_CHATTER)
    assert keys(bench.feed((0, 11.0))) == ["limit.hi"]
    assert bench.feed((0, 9.0)) == []
    assert bench.tick(4.9) == []
    assert bench.feed((0, 11.0)) == [], "it never returned"
    assert bench.tick(10) == []
    bench.feed((0, 9.0))
    assert keys(bench.tick(5)) == ["limit.hi.returned"]


def test_no_alarm_returns_while_the_value_is_bad():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, off_delay_s=5))])
    bench.feed((0, 11.0))
    bench.feed((0, 9.0))
    bench.feed((0, 9.0, BAD))
    assert bench.tick(60) == []
    assert bench.feed((0, 9.0)) == []
    assert keys(bench.tick()) == ["limit.hi.returned"]


def test_the_state_of_a_status_has_delays_too():
    bench = Bench([point(0, ANALOG, normal_value=0, limits=Limits(delay_s=2, off_delay_s=3))])
    assert bench.feed((0, 1.0)) == []
    assert keys(bench.tick(2)) == ["state.alarm"]
    assert bench.feed((0, 0.0)) == []
    assert keys(bench.tick(3)) == ["state.returned"]


def test_a_delay_that_runs_at_a_restart_begins_again_and_is_not_lost():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, delay_s=5, off_delay_s=5))])
    bench.feed((0, 11.0))
    bench.tick(4)
    assert bench.restart() == []
    assert bench.tick(4.9) == []
    assert keys(bench.tick(0.1)) == ["limit.hi"]
    bench.feed((0, 9.0))
    bench.tick(4)
    assert bench.restart() == []
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_ACTIVE}
    assert keys(bench.tick(5)) == ["limit.hi.returned"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
def test_setting_the_wall_clock_moves_no_delay(jump):
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, delay_s=5))])
    bench.feed((0, 11.0))
    bench.clock.jump(jump)
    bench.feed((0, 12.0))
    assert bench.tick(4.9) == []
    assert keys(bench.tick(0.1)) == ["limit.hi"]


# ---------------------------------------------------------------- the table


def random_points(rng, count):
    def number(low, high):
        return float(rng.integers(low, high)) if rng.random() < 0.5 else math.nan

    for pid in range(count):
        limits = Limits(number(-9, -6), number(-6, -3), number(3, 6), number(6, 9), hysteresis=float(rng.integers(0, 3)))
        yield point(pid, ANALOG, limits=limits, normal_value=float(rng.choice([0.0, math.nan])))


def slow_conditions(point_, value, held):
    limits, h = point_.limits, point_.limits.hysteresis
    return [
        value < limits.lolo + (h if held[0] else 0),
        value < limits.lo + (h if held[1] else 0),
        value > limits.hi - (h if held[2] else 0),
        value > limits.hihi - (h if held[3] else 0),
        value != point_.normal_value and not math.isnan(point_.normal_value),
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
def test_limits_and_states_like_the_slow_model_however_records_come(seed, length):
    rng = np.random.default_rng(seed)
    points = list(random_points(rng, 12))
    table = ConditionTable(points)
    held = {pid: [False] * 5 for pid in range(12)}
    records = PointBatch.of(rng.integers(0, 14, length), rng.integers(-10, 10, length), received_at=0).records
    records["quality"] = rng.choice([0, 0, 0, BAD], length)
    records["flags"] = rng.choice([0, 0, 0, RecordFlag.HELD, RecordFlag.BACKFILL], length)
    expected = []
    for i, record in enumerate(records):
        pid = int(record["pid"])
        if pid >= 12 or record["quality"] or record["flags"]:
            continue
        now = slow_conditions(points[pid], float(record["value"]), held[pid])
        expected += [(i, pid, column, now[column]) for column in range(5) if now[column] != held[pid][column]]
        held[pid] = now
    turns = [(turn.record, table.pid(turn.row), turn.column, bool(turn.began)) for turn in table.judge(records, 0.0)]
    assert turns == expected, "also where more turns than the room of one call takes"


def test_only_points_with_conditions_take_room():
    points = [point(pid, ANALOG) for pid in range(20_000)]
    points[7] = replace(points[7], limits=Limits(hi=1))
    tracemalloc.start()
    table = ConditionTable(points)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert table.pids() == [7]
    assert table.keys(7) == ["limit.hi"]
    assert table.keys(8) == []
    assert held < 20_000 * 4 + 300_000
    assert conditions.ROW_DTYPE.itemsize <= 96
