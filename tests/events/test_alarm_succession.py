"""An alarm engine takes over from that of another model version: what stays goes on as if nothing had happened."""

from dataclasses import replace

import pytest
from events.alarm_bench import BAD, CHANGED, Bench, keys, point, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.settings import AlarmSettings
from scada.events.alarms import AlarmEngine
from scada.events.records import AlarmPhase
from scada.model_cim.tables import Limits, PointKind, removed_point

LIMITS = Limits(lolo=-20, lo=-10, hi=10, hihi=20, hysteresis=2)
STAY = [
    point(0, PointKind.ANALOG, limits=LIMITS),
    point(1, PointKind.ANALOG, limits=Limits(hi=10, hysteresis=2, delay_s=5, off_delay_s=3)),
    point(2, PointKind.STATUS, normal_value=0),
    point(3, PointKind.ANALOG, limits=Limits(hi=10), suppressed_by="m4"),
    point(4, PointKind.STATUS),
    point(5, PointKind.ANALOG, limits=Limits(rate=60, rate_window_s=16, deviation=5, reference="m0")),
]
CHATTER = AlarmSettings(chatter_count=3, chatter_window_s=20)


def succeed(bench, points, channels=frozenset()):
    """The bench goes on with another model; events of the takeover."""
    engine = AlarmEngine(points, bench.clock, bench.ids.__next__, bench.settings)
    events = engine.succeed(bench.engine, channels)
    bench.points, bench.engine = points, engine
    pids = [pid for pid in engine.unjudged().tolist() if pid in bench.present]
    if pids:
        values, words = zip(*(bench.present[pid] for pid in pids), strict=True)
        events += engine.resync(snapshot(values, words, pids, bench.seq))
    return events


def grown(step):
    """The points that stay among others, in another row of every table."""
    return [*STAY, *(point(6 + n, PointKind.ANALOG, limits=Limits(hi=n)) for n in range(step))]


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("value"), st.integers(0, 5), st.sampled_from([-25.0, 0.0, 1.0, 9.0, 11.0, 21.0]), st.sampled_from([0, BAD])
        ),
        st.tuples(st.just("time"), st.sampled_from([0.5, 2.0, 6.0, 30.0])),
        st.tuples(st.just("swap"), st.integers(0, 4)),
        st.tuples(st.just("shelve"), st.integers(0, 3)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(steps)
def test_swaps_change_nothing_of_points_that_stay(script):
    """Two engines get the same; one of them is replaced again and again."""
    plain, swapped = Bench(STAY, CHATTER), Bench(STAY, CHATTER)
    for what, *more in script:
        told = []
        for bench in (plain, swapped):
            match what:
                case "value":
                    pid, value, quality = more
                    told.append(bench.feed((pid, value, quality, CHANGED)))
                case "time":
                    told.append(bench.tick(*more))
                case "shelve":
                    told.append(bench.shelve(f"m{more[0]}", seconds=25.0)[0])
                case _:
                    told.append(succeed(bench, grown(*more)) if bench is swapped else [])
        assert told[0] == told[1], (what, more)
    assert plain.engine.alarms() == swapped.engine.alarms()
    assert plain.engine.suppressions() == swapped.engine.suppressions()


def test_an_alarm_of_a_point_that_goes_ends_and_says_why():
    bench = Bench(STAY)
    bench.feed((0, 15.0), (1, 0.0))
    events = succeed(bench, [removed_point("m0", 0), *STAY[1:5], replace(STAY[5], limits=Limits())])
    assert keys(events) == ["alarm.point_removed"]
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_RETURNED}
    assert bench.feed((0, 30.0)) == []


@pytest.mark.parametrize(("hi", "told"), [(20.0, ["limit.hi.returned"]), (10.0, []), (float("nan"), ["alarm.condition_removed"])])
def test_a_changed_limit_judges_the_present_value(hi, told):
    bench = Bench(STAY)
    bench.feed((0, 15.0))
    assert keys(succeed(bench, [replace(STAY[0], limits=replace(LIMITS, hi=hi, hihi=40)), *STAY[1:]])) == told


def test_a_new_limit_judges_a_value_that_came_before():
    bench = Bench(STAY)
    bench.feed((4, 1.0))
    assert keys(succeed(bench, [*STAY[:4], replace(STAY[4], normal_value=0.0), STAY[5]])) == ["state.alarm"]


def test_the_alarm_of_a_channel_that_goes_ends():
    bench = Bench(STAY)
    bench.engine.channel("RTU", "c-1", False, "cut", bench.clock.now_ns())
    assert succeed(bench, grown(1), {"c-1"}) == []
    assert keys(succeed(bench, grown(2), {"c-2"})) == ["alarm.channel_removed"]
