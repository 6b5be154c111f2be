"""Alarm phases, limits with hysteresis and delays, states, channels, restart."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from events.alarm_bench import BAD, CHANGED, EVENT, FIRST, POINTS, Bench, keys, point, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.core.settings import AlarmSettings
from scada.events.alarms import AlarmEngine
from scada.events.records import AlarmPhase, EventKind
from scada.model_cim.tables import AlarmClass, Limits, PointKind


@pytest.fixture
def bench():
    return Bench()


# ---------------------------------------------------------------- phases (ISA-18.2)


def test_normal_active_returned_acknowledged(bench):
    (raised,) = bench.feed((0, 11.0, 0, CHANGED, 77))
    assert (raised.kind, raised.key, raised.alarm_class, raised.priority) == (
        EventKind.LIMIT_VIOLATED,
        "limit.hi",
        AlarmClass.LIMIT,
        2,
    )
    assert (raised.alarm_id, raised.event_id, raised.seq, raised.source_time_ns) == (1, 1, 1, 77)
    assert raised.parameters == {"point": "S/V/B/0", "value": "11", "unit": "MW", "limit": "10"}
    assert raised.station == "S"
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_ACTIVE}
    (returned,) = bench.feed((0, 7.9))
    assert (returned.kind, returned.key, returned.alarm_id) == (EventKind.LIMIT_RETURNED, "limit.hi.returned", 1)
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_RETURNED}
    (alarm,) = bench.engine.alarms()
    assert alarm.returned_ns == bench.clock.now_ns()
    events, acknowledged, unknown = bench.acknowledge(1)
    assert (keys(events), acknowledged, unknown) == (["alarm.acknowledged"], [1], [])
    assert (events[0].actor, events[0].alarm_id, events[0].kind) == ("li", 1, EventKind.ACKNOWLEDGED)
    assert bench.phases == {}
    assert [alarm.phase for alarm in bench.engine.take_changed()] == [AlarmPhase.NORMAL]
    assert bench.engine.take_changed() == []


def test_normal_active_acknowledged_returned(bench):
    bench.feed((0, 11.0))
    bench.acknowledge(1)
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.ACK_ACTIVE}
    (alarm,) = bench.engine.alarms()
    assert (alarm.acknowledged_by, alarm.acknowledged_ns, alarm.limit) == ("li", bench.clock.now_ns(), 10.0)
    bench.feed((0, 0.0))
    assert bench.phases == {}


def test_returned_and_violated_again_is_the_same_alarm(bench):
    bench.feed((0, 11.0))
    raised = bench.engine.alarms()[0].raised_ns
    bench.feed((0, 0.0))
    bench.clock.advance(9)
    (again,) = bench.feed((0, 12.0))
    assert (again.alarm_id, again.event_id) == (1, 3)
    (alarm,) = bench.engine.alarms()
    assert (alarm.phase, alarm.raised_ns, alarm.returned_ns, alarm.value) == (AlarmPhase.UNACK_ACTIVE, raised, 0, 12.0)


def test_a_new_violation_after_the_end_is_a_new_alarm(bench):
    bench.feed((0, 11.0))
    bench.acknowledge(1)
    bench.feed((0, 0.0))
    (again,) = bench.feed((0, 12.0))
    assert again.alarm_id == again.event_id == 4


def test_acknowledge_takes_what_it_knows_and_names_the_rest(bench):
    bench.feed((0, 11.0), (3, 1.0))
    first, second = [alarm.alarm_id for alarm in bench.engine.alarms()]
    events, acknowledged, unknown = bench.acknowledge(99, first, first, 0)
    assert (len(events), acknowledged, unknown) == (1, [first], [99, 0])
    assert bench.acknowledge(first) == ([], [first], []), "already acknowledged: no second event"
    assert bench.phases[3, "state.alarm"] == AlarmPhase.UNACK_ACTIVE
    assert bench.acknowledge(second)[1] == [second]


# ---------------------------------------------------------------- limits


def test_each_limit_is_an_alarm_of_its_own(bench):
    assert keys(bench.feed((0, 25.0))) == ["limit.hi", "limit.hihi"]
    assert {alarm.key: alarm.priority for alarm in bench.engine.alarms()} == {"limit.hi": 2, "limit.hihi": 1}
    assert keys(bench.feed((0, 17.0))) == ["limit.hihi.returned"]
    assert keys(bench.feed((0, -25.0))) == ["limit.lolo", "limit.lo", "limit.hi.returned"]
    assert keys(bench.feed((0, -17.9))) == ["limit.lolo.returned"]


def test_hysteresis(bench):
    assert keys(bench.feed((0, 10.0))) == [], "at the limit is not beyond it"
    assert keys(bench.feed((0, 10.1))) == ["limit.hi"]
    assert keys(bench.feed((0, 9.0))) == []
    assert keys(bench.feed((0, 8.1))) == []
    assert keys(bench.feed((0, 8.0))) == ["limit.hi.returned"]
    assert keys(bench.feed((0, 9.9))) == []
    assert keys(bench.feed((0, -10.1))) == ["limit.lo"]
    assert keys(bench.feed((0, -8.1))) == []
    assert keys(bench.feed((0, -8.0))) == ["limit.lo.returned"]


def test_violation_and_return_in_one_change_set_are_both_seen(bench):
    assert keys(bench.feed((0, 11.0), (4, 1.0), (0, 0.0), (0, 12.0))) == ["limit.hi", "limit.hi.returned", "limit.hi"]


def test_a_limit_must_be_violated_for_its_delay(bench):
    assert bench.feed((1, 11.0)) == []
    assert bench.tick(4.9) == []
    bench.feed((1, 12.0))
    (event,) = bench.tick(0.1)
    assert (event.key, event.value, event.time_ns) == ("limit.hi", 12.0, bench.clock.now_ns())
    assert bench.tick(100) == []
    assert keys(bench.feed((1, 0.0))) == ["limit.hi.returned"]


def test_a_break_starts_the_delay_anew(bench):
    bench.feed((1, 11.0))
    bench.tick(3)
    assert bench.feed((1, 0.0)) == []
    bench.feed((1, 11.0))
    assert bench.tick(3) == []
    assert keys(bench.tick(2)) == ["limit.hi"]


def test_a_jump_of_the_wall_clock_does_not_shorten_the_delay(bench):
    bench.feed((1, 11.0))
    bench.clock.jump(3600)
    assert bench.tick(1) == []
    bench.clock.jump(-7200)
    assert keys(bench.tick(4)) == ["limit.hi"]


def test_no_alarm_ripens_while_the_value_is_bad(bench):
    bench.feed((1, 11.0))
    bench.feed((1, 11.0, int(Quality.COMM_LOST), RecordFlag.QUALITY_SET))
    assert bench.tick(10) == []
    assert bench.feed((1, 11.5)) == []
    assert keys(bench.tick(0)) == ["limit.hi"]


@pytest.mark.parametrize(
    "bad", [Quality.INVALID, Quality.NOT_TOPICAL, Quality.COMM_LOST, Quality.OLD_DATA, Quality.NEVER_RECEIVED]
)
def test_a_bad_value_neither_raises_nor_clears(bench, bad):
    assert bench.feed((0, 11.0, int(bad))) == []
    assert keys(bench.feed((0, 11.0))) == ["limit.hi"]
    assert bench.feed((0, 0.0, int(bad))) == []
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_ACTIVE}
    assert keys(bench.feed((0, 0.0, int(Quality.SUBSTITUTED)))) == ["limit.hi.returned"], "a substituted value counts"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_changes_nothing(bench, value):
    bench.feed((0, 11.0))
    assert bench.feed((0, value, BAD)) == []
    assert bench.feed((3, value, BAD)) == bench.feed((0, value)) == []
    assert len(bench.phases) == 1


def test_points_without_limits_and_unknown_points_are_passed_over(bench):
    assert bench.feed((4, 1e9), (77, 1.0)) == []


# ---------------------------------------------------------------- states


def test_a_state_alarm_has_the_class_and_priority_of_its_point(bench):
    (alarm,) = bench.feed((3, 1.0, 0, CHANGED | EVENT, 5 * NS_PER_S + 7))
    assert (alarm.kind, alarm.key, alarm.alarm_class, alarm.priority, alarm.source_time_ns) == (
        EventKind.STATE_ALARM,
        "state.alarm",
        AlarmClass.ACCIDENT,
        1,
        5 * NS_PER_S + 7,
    )
    assert alarm.parameters == {"point": "S/V/B/3", "value": "1", "state": "trip"}
    assert keys(bench.feed((3, 0.0))) == ["state.returned"]
    assert bench.feed((2, 2.0), (2, 0.0)) == [], "no normal value, no alarm"


def test_the_first_value_may_be_an_alarm(bench):
    assert keys(bench.feed((3, 1.0, 0, CHANGED | FIRST | EVENT))) == ["state.alarm"]


@pytest.mark.parametrize("aside", [RecordFlag.HELD, RecordFlag.BACKFILL])
def test_what_is_not_the_present_value_is_not_judged(bench, aside):
    assert bench.feed((0, 99.0, 0, CHANGED | aside), (3, 1.0, 0, CHANGED | EVENT | aside)) == []
    assert keys(bench.feed((0, 99.0, int(Quality.SUBSTITUTED | Quality.MANUAL)))) == ["limit.hi", "limit.hihi"]
    assert bench.feed((0, 0.0, 0, CHANGED | aside)) == [], "a held value is judged as it is shown"
    assert len(bench.phases) == 2


def test_an_enumerated_state_alarms(bench):
    assert keys(bench.feed((5, 2.0))) == ["state.alarm"]


# ---------------------------------------------------------------- channels


def test_a_channel_that_fails_and_comes_back(bench):
    now = bench.clock.now_ns()
    up = bench.engine.channel("West RTU", "c1", True, "data flows", now)
    assert [(event.kind, event.alarm_id) for event in up] == [(EventKind.CHANNEL_UP, 0)]
    (down,) = bench.engine.channel("West RTU", "c1", False, "no answer to TESTFR within t1", now)
    assert (down.kind, down.alarm_class, down.alarm_id) == (EventKind.CHANNEL_DOWN, AlarmClass.ABNORMAL, down.event_id)
    assert down.parameters == {"channel": "West RTU", "reason": "no answer to TESTFR within t1"}
    assert bench.engine.channel("West RTU", "c1", False, "refused", now) == [], "repeated reports say nothing new"
    (back,) = bench.engine.channel("West RTU", "c1", True, "data flows", now)
    assert (back.kind, back.alarm_id) == (EventKind.CHANNEL_UP, down.alarm_id)
    assert [alarm.phase for alarm in bench.engine.alarms()] == [AlarmPhase.UNACK_RETURNED]


# ---------------------------------------------------------------- restart and model change


def test_restored_alarms_go_on(bench):
    bench.feed((0, 25.0), (3, 1.0))
    bench.engine.channel("West RTU", "c1", False, "gone", 0)
    bench.feed((0, 15.0))
    kept = bench.engine.alarms()
    after = Bench()
    after.ids = count(100)
    after.engine = AlarmEngine(POINTS, after.clock, after.ids.__next__)
    assert after.engine.restore(kept) == []
    assert after.engine.alarms() == kept
    assert after.feed((0, 15.0)) == [], "still beyond hi: no second alarm"
    assert after.engine.channel("West RTU", "c1", False, "gone", 0) == []
    assert keys(after.feed((0, 0.0))) == ["limit.hi.returned"]
    (again,) = after.feed((0, 21.0))[1:]
    assert (again.key, again.alarm_id) == ("limit.hihi", next(one.alarm_id for one in kept if one.key == "limit.hihi"))


def test_a_point_that_left_the_model_ends_its_alarm(bench):
    bench.feed((0, 11.0), (3, 1.0))
    bench.acknowledge(1)
    points = [replace(POINTS[0], removed=True), *POINTS[1:3], replace(POINTS[3], mrid="another"), *POINTS[4:]]
    after = Bench(points)
    events = after.engine.restore(bench.engine.alarms())
    assert keys(events) == ["alarm.point_removed", "alarm.point_removed"]
    assert [(alarm.mrid, alarm.phase) for alarm in after.engine.alarms()] == [("m3", AlarmPhase.UNACK_RETURNED)]


def test_a_channel_that_left_the_model_ends_its_alarm(bench):
    bench.engine.channel("West RTU", "c1", False, "gone", 0)
    bench.engine.channel("East RTU", "c2", False, "gone", 0)
    after = Bench()
    (event,) = after.engine.restore(bench.engine.alarms(), channels={"c2"})
    assert (event.key, event.mrid, event.parameters["channel"]) == ("alarm.channel_removed", "c1", "West RTU")
    assert {alarm.mrid: alarm.phase for alarm in after.engine.alarms()} == {
        "c1": AlarmPhase.UNACK_RETURNED,
        "c2": AlarmPhase.UNACK_ACTIVE,
    }


def test_resync_judges_present_values_without_inventing_changes(bench):
    events = bench.engine.resync(snapshot([11.0, 0.0, 1.0, 1.0]))
    assert [(event.key, event.seq) for event in events] == [("limit.hi", 50), ("state.alarm", 50)]
    assert bench.engine.resync(snapshot([0.0, 0.0, 1.0, 0.0], BAD)) == []
    assert keys(bench.engine.resync(snapshot([0.0, 0.0, 2.0, 0.0]))) == ["limit.hi.returned", "state.returned"]


# ---------------------------------------------------------------- against a plain model

values = st.lists(
    st.tuples(st.integers(0, 1), st.integers(5, 12).map(float), st.sampled_from([0, 0, 0, BAD])), min_size=1, max_size=8
)


@settings(max_examples=150, deadline=None)
@given(st.lists(values, max_size=6))
def test_any_sequence_alarms_like_the_plain_rule(sets):
    """However changes are cut into sets, each point alternates by the rule: > 10 begins, <= 8 ends, bad does nothing."""
    points = [point(pid, PointKind.ANALOG, limits=Limits(hi=10, hysteresis=2)) for pid in range(2)]
    bench = Bench(points, AlarmSettings(chatter_count=1000))
    active = {0: False, 1: False}
    for rows in sets:
        expected = []
        for pid, value, quality in rows:
            if quality:
                continue
            if not active[pid] and value > 10:
                active[pid] = True
                expected.append((pid, "limit.hi"))
            elif active[pid] and value <= 8:
                active[pid] = False
                expected.append((pid, "limit.hi.returned"))
        assert [(event.pid, event.key) for event in bench.feed(*rows)] == expected
