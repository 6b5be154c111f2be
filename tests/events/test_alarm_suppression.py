"""Shelved, suppressed by design, out of service, tagged: hidden, judged on, listed, told, and back unacknowledged."""

from dataclasses import replace

import pytest
from events.alarm_bench import ANALOG, BAD, STATUS, Bench, keys, point
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.core.settings import AlarmSettings
from scada.events.records import AlarmPhase, EventKind, SuppressionKind
from scada.events.suppression import SuppressionError
from scada.model_cim.tables import AlarmClass, Limits

HOUR = 3600.0
UNACK, ACK, RETURNED = AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE, AlarmPhase.UNACK_RETURNED
GRID = [
    point(0, ANALOG, limits=Limits(hi=10, hihi=20), equipment="line"),
    point(1, STATUS, normal_value=0, equipment="breaker", suppressed_by="m3", alarm_class=AlarmClass.ACCIDENT, priority=1),
    point(2, ANALOG, limits=Limits(lo=1), equipment="line", suppressed_by="m3"),
    point(3, STATUS),
    point(4, ANALOG, equipment="line"),
]


@pytest.fixture
def bench():
    return Bench(GRID)


def suppressions(bench):
    return {(one.mrid, one.key, one.kind): one for one in bench.engine.suppressions()}


# ---------------------------------------------------------------- shelving


def test_a_shelved_alarm_is_hidden_and_comes_back_unacknowledged(bench):
    bench.feed((0, 11.0))
    bench.acknowledge(1)
    events, unknown = bench.shelve("m0", "limit.hi", seconds=HOUR)
    assert (keys(events), unknown) == (["alarm.shelved"], [])
    assert (events[0].kind, events[0].actor, events[0].alarm_class) == (EventKind.SUPPRESSED, "li", AlarmClass.NOTICE)
    assert events[0].parameters == {
        "point": "S/V/B/0",
        "alarm": "limit.hi",
        "reason": "test of the breaker",
        "user": "li",
        "minutes": "60",
    }
    assert bench.phases == {}
    assert bench.engine.suppressed == 1
    (entry,) = bench.engine.suppressions()
    assert (entry.kind, entry.active, entry.path, entry.station, entry.user, entry.reason) == (
        SuppressionKind.SHELVED,
        True,
        "S/V/B/0",
        "S",
        "li",
        "test of the breaker",
    )
    assert entry.until_ns - entry.since_ns == HOUR * NS_PER_S
    assert bench.tick(HOUR - 1) == []
    over = bench.tick(1)
    assert keys(over) == ["alarm.shelving_expired", "limit.hi"]
    assert (over[1].kind, over[1].alarm_id) == (EventKind.LIMIT_VIOLATED, 1)
    assert bench.phases == {(0, "limit.hi"): UNACK}
    (alarm,) = bench.engine.alarms()
    assert (alarm.acknowledged_by, alarm.acknowledged_ns, alarm.event_id) == ("", 0, over[1].event_id)
    assert bench.engine.suppressions() == []


def test_only_the_named_alarm_is_shelved_or_all_of_the_object(bench):
    bench.shelve("m0", "limit.hi")
    assert keys(bench.feed((0, 25.0))) == ["alarm.raised_suppressed", "limit.hihi"]
    bench.shelve("m0")
    assert bench.phases == {}
    assert {(one.mrid, one.key): one.active for one in bench.engine.suppressions()} == {
        ("m0", "limit.hi"): True,
        ("m0", ""): True,
    }
    events, unknown = bench.unshelve("m0")
    assert (keys(events), unknown) == (["alarm.unshelved", "alarm.unshelved", "limit.hi", "limit.hihi"], [])
    assert bench.unshelve("m0") == ([], [("m0", "")])


def test_an_alarm_that_came_and_went_while_shelved_is_told_and_must_be_acknowledged(bench):
    bench.shelve("m0", "limit.hi")
    (raised,) = bench.feed((0, 11.0))
    assert (raised.kind, raised.key, raised.alarm_class, raised.priority) == (
        EventKind.SUPPRESSED,
        "alarm.raised_suppressed",
        AlarmClass.NOTICE,
        4,
    )
    for _ in range(5):
        assert bench.feed((0, 9.0)) == bench.feed((0, 11.0)) == [], "counted, not told"
    bench.feed((0, 9.0))
    assert bench.engine.suppressed == 0
    events, _ = bench.unshelve("m0", "limit.hi")
    assert keys(events) == ["alarm.unshelved", "alarm.came_and_went"]
    assert events[1].parameters["count"] == "6"
    assert bench.phases == {(0, "limit.hi"): RETURNED}
    assert keys(bench.acknowledge(raised.alarm_id)[0]) == ["alarm.acknowledged"]
    assert bench.phases == {}


def test_an_acknowledged_alarm_that_returns_while_shelved_is_over(bench):
    bench.feed((0, 11.0))
    bench.acknowledge(1)
    bench.shelve("m0")
    assert keys(bench.feed((0, 9.0))) == ["alarm.returned_suppressed"]
    assert keys(bench.unshelve("m0")[0]) == ["alarm.unshelved"]
    assert bench.phases == {}


def test_what_is_hidden_cannot_be_acknowledged(bench):
    bench.feed((0, 11.0))
    bench.shelve("m0")
    assert bench.acknowledge(1) == ([], [], [1])
    bench.unshelve("m0")
    assert bench.acknowledge(1)[1] == [1]


@pytest.mark.parametrize(
    ("seconds", "reason", "words"),
    [(0, "r", "for 0 s"), (-5, "r", "for -5 s"), (8 * HOUR + 1, "r", "at most 8 h"), (60, " ", "without a reason")],
)
def test_a_shelving_without_a_reason_or_for_too_long_is_refused(bench, seconds, reason, words):
    with pytest.raises(SuppressionError, match=words):
        bench.shelve("m0", seconds=seconds, reason=reason)
    assert bench.engine.suppressions() == []
    assert bench.engine.take_suppressions() == []


def test_the_longest_shelving_is_a_setting():
    bench = Bench(GRID, AlarmSettings(shelve_max_s=600))
    with pytest.raises(SuppressionError, match=r"at most 0\.16"):
        bench.shelve("m0", seconds=601)
    assert keys(bench.shelve("m0", seconds=600)[0]) == ["alarm.shelved"]


@pytest.mark.parametrize("name", [("nobody", ""), ("m0", "limit.lo"), ("m0", "channel.down"), ("m4", ""), ("m3", "state.alarm")])
def test_what_is_no_alarm_is_unknown(bench, name):
    assert bench.shelve(*name) == ([], [name])
    assert bench.service(*name) == ([], [name])
    assert bench.engine.suppressions() == []


def test_shelving_again_gives_the_new_time(bench):
    bench.shelve("m0", seconds=60)
    bench.tick(50)
    bench.shelve("m0", seconds=60, reason="longer")
    assert bench.tick(59) == []
    assert [one.reason for one in bench.engine.suppressions()] == ["longer"]
    assert keys(bench.tick(1)) == ["alarm.shelving_expired"]


def test_equipment_and_channels_are_shelved_as_a_whole(bench):
    bench.shelve("line")
    assert keys(bench.feed((0, 11.0), (1, 1.0), (2, 0.0))) == [
        "alarm.raised_suppressed",
        "state.alarm",
        "alarm.raised_suppressed",
    ]
    assert suppressions(bench)["line", "", SuppressionKind.SHELVED].path == "S/V/B"
    now = bench.clock.now_ns()
    bench.engine.channel("West RTU", "c1", True, "data flows", now)
    assert keys(bench.shelve("c1", "channel.down")[0]) == ["alarm.shelved"]
    assert keys(bench.engine.channel("West RTU", "c1", False, "gone", now)) == ["alarm.raised_suppressed"]
    assert bench.phases == {(1, "state.alarm"): UNACK}
    assert [event.kind for event in bench.unshelve("c1")[0]] == [EventKind.SUPPRESSED, EventKind.CHANNEL_DOWN]


# ---------------------------------------------------------------- clocks and restarts


@pytest.mark.parametrize("jump", [-10 * HOUR, 10 * HOUR])
def test_setting_the_wall_clock_neither_prolongs_nor_ends_a_shelving(bench, jump):
    bench.shelve("m0", seconds=8 * HOUR)
    bench.tick(HOUR)
    bench.clock.jump(jump)
    assert bench.tick(0) == []
    assert bench.tick(60) == []
    (entry,) = bench.engine.suppressions()
    assert entry.until_ns == bench.clock.now_ns() + round((7 * HOUR - 60) * NS_PER_S), "shown by the clock as it is now"
    assert bench.tick(7 * HOUR - 61) == []
    assert keys(bench.tick(1)) == ["alarm.shelving_expired"]


def test_a_shelving_goes_on_over_a_restart_and_the_time_down_counts(bench):
    bench.feed((0, 11.0))
    bench.shelve("m0", seconds=2 * HOUR)
    assert bench.restart(down_s=HOUR) == []
    assert (bench.phases, bench.engine.suppressed) == ({}, 1)
    assert bench.tick(HOUR - 1) == []
    assert keys(bench.tick(1)) == ["alarm.shelving_expired", "limit.hi"]
    bench.shelve("m0", seconds=HOUR)
    assert bench.restart() == []
    assert bench.tick(HOUR - 61) == []
    assert keys(bench.tick(1)) == ["alarm.shelving_expired", "limit.hi"], "up to a minute early"


def test_a_shelving_that_ran_out_while_the_server_was_down_ends_at_the_start(bench):
    bench.feed((0, 11.0))
    bench.shelve("m0", seconds=HOUR)
    assert bench.restart(down_s=2 * HOUR) == []
    assert keys(bench.tick()) == ["alarm.shelving_expired", "limit.hi"]
    assert bench.phases == {(0, "limit.hi"): UNACK}


def test_a_wall_clock_set_forward_while_the_server_is_down_brings_the_alarm_back(bench):
    bench.shelve("m0", seconds=HOUR)
    bench.restart(jump_s=10 * HOUR)
    assert keys(bench.tick()) == ["alarm.shelving_expired"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(30, int(8 * HOUR)),
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 90), st.integers(0, 9000)),
            st.one_of(st.integers(-90, 0), st.integers(-100_000, 0)),
            st.booleans(),
            st.one_of(st.integers(0, 60), st.integers(0, 3000)),
        ),
        max_size=12,
    ),
)
def test_no_shelving_ever_runs_longer_than_granted(granted, script):
    """However often the server restarts and the wall clock is set back: it is in force no longer than granted while it runs."""
    bench = Bench(GRID)
    bench.shelve("m0", seconds=granted)
    ran = 0.0
    for runs, jump, restarts, down in [*script, (granted, 0, False, 0)]:
        for _ in range(0, runs, 15):
            if bench.engine.suppressions():
                bench.tick(15)
                ran += 15
        if restarts:
            bench.restart(down_s=down, jump_s=jump)
        else:
            bench.clock.jump(jump)
    assert bench.engine.suppressions() == []
    assert ran <= granted + 15, "the step of this test"


def test_suppressions_survive_a_restart_in_every_phase(bench):
    bench.feed((0, 25.0), (1, 1.0))
    bench.acknowledge(1)
    bench.service("m0")
    bench.shelve("m0", "limit.hi")
    bench.engine.set_tagged({"breaker": "work on the breaker"}, bench.clock.now_ns())
    kinds = [(one.name, one.active) for one in bench.engine.suppressions()]
    assert bench.restart() == []
    assert [(one.name, one.active) for one in bench.engine.suppressions()] == kinds
    assert [active for _, active in kinds] == [True, True, True]
    assert bench.phases == {}
    assert keys(bench.service("m0", out=False)[0]) == ["alarm.in_service", "limit.hihi"], "hi is still shelved"
    bench.keep()
    assert [name for name, _ in kinds if name not in bench.stored_suppressions] == [("m0", "", SuppressionKind.OUT_OF_SERVICE)]


def test_what_the_log_has_hidden_without_a_suppression_is_shown(bench):
    bench.feed((0, 11.0))
    bench.shelve("m0")
    bench.keep()
    bench.stored_suppressions.clear()
    assert keys(bench.restart()) == ["limit.hi"]
    assert bench.phases == {(0, "limit.hi"): UNACK}


# ---------------------------------------------------------------- out of service, tags


def test_out_of_service_lasts_until_it_is_taken_back(bench):
    events, unknown = bench.service("m0")
    assert (keys(events), unknown, events[0].parameters["reason"]) == (["alarm.out_of_service"], [], "relay taken away")
    bench.feed((0, 11.0))
    assert bench.tick(100 * HOUR) == []
    assert suppressions(bench)["m0", "", SuppressionKind.OUT_OF_SERVICE].until_ns == 0
    assert bench.unshelve("m0") == ([], [("m0", "")]), "it is not shelved"
    assert keys(bench.service("m0", out=False, reason="")[0]) == ["alarm.in_service", "limit.hi"]
    assert bench.service("m0", out=False) == ([], [("m0", "")])
    with pytest.raises(SuppressionError, match="without a reason"):
        bench.service("m0", reason="")


def test_tags_hide_alarms_of_their_object_and_of_what_belongs_to_it(bench):
    now = bench.clock.now_ns()
    bench.feed((0, 11.0), (1, 1.0))
    assert keys(bench.engine.set_tagged({"line": "grounded", "m1": "relay test"}, now)) == ["alarm.suppressed_by_tag"] * 2
    assert bench.phases == {}
    assert bench.engine.set_tagged({"line": "grounded", "m1": "relay test"}, now + 5) == [], "the same tags again"
    assert {one.since_ns for one in bench.engine.suppressions()} == {now}, "they go on since when they were placed"
    assert keys(bench.engine.set_tagged({"m1": "relay test"}, now)) == ["alarm.unsuppressed", "limit.hi"]
    assert keys(bench.engine.set_tagged({}, now)) == ["alarm.unsuppressed", "state.alarm"]
    assert bench.phases == {(0, "limit.hi"): UNACK, (1, "state.alarm"): UNACK}


def test_the_tag_of_a_station_is_one_event(bench):
    now = bench.clock.now_ns()
    tagged = dict.fromkeys(["m0", "m1", "m2", "m4", "gone"], "station is being rebuilt")
    (told,) = bench.engine.set_tagged(tagged, now)
    assert (told.key, told.parameters["count"], told.mrid) == ("alarm.suppressed_by_tag", "3", "m0")
    assert {one.mrid for one in bench.engine.suppressions()} == {"m0", "m1", "m2"}, "only what can alarm"
    assert bench.engine.set_tagged({**tagged, "m0": "other words"}, now) == []
    assert bench.engine.suppressions()[0].reason == "other words"


def test_an_alarm_is_hidden_until_the_last_suppression_is_gone(bench):
    bench.feed((0, 11.0))
    bench.shelve("m0", "limit.hi", seconds=60)
    bench.service("m0")
    bench.engine.set_tagged({"line": "grounded"}, bench.clock.now_ns())
    assert keys(bench.tick(60)) == ["alarm.shelving_expired"]
    assert keys(bench.service("m0", out=False)[0]) == ["alarm.in_service"]
    assert bench.phases == {}
    assert keys(bench.engine.set_tagged({}, bench.clock.now_ns())) == ["alarm.unsuppressed", "limit.hi"]


# ---------------------------------------------------------------- by design


def test_a_suppressing_point_hides_the_alarms_of_its_points(bench):
    bench.feed((1, 1.0), (2, 5.0), (0, 11.0))
    (told,) = bench.feed((3, 1.0))
    assert (told.key, told.kind, told.path, told.parameters["count"]) == (
        "alarm.suppressed_by_design",
        EventKind.SUPPRESSED,
        "S/V/B/3",
        "2",
    )
    assert bench.phases == {(0, "limit.hi"): UNACK}
    assert keys(bench.feed((2, 0.0))) == ["alarm.raised_suppressed"]
    found = suppressions(bench)
    assert {key[0]: one.active for key, one in found.items()} == {"m1": True, "m2": True}
    assert {one.reason for one in found.values()} == {"S/V/B/3"}
    assert keys(bench.feed((3, 0.0))) == ["alarm.unsuppressed", "state.alarm", "limit.lo"]
    assert bench.engine.suppressions() == []


@pytest.mark.parametrize("doubt", [Quality.INVALID, Quality.COMM_LOST, Quality.OLD_DATA])
def test_nothing_is_suppressed_by_what_is_not_known(bench, doubt):
    assert bench.feed((3, 1.0, int(doubt)), (1, 1.0))[0].key == "state.alarm"
    assert keys(bench.feed((3, 1.0))) == ["alarm.suppressed_by_design"]
    assert keys(bench.feed((3, 1.0, int(doubt)))) == ["alarm.unsuppressed", "state.alarm"]


def test_by_design_over_a_restart(bench):
    bench.feed((1, 1.0), (3, 1.0))
    assert bench.restart() == [], "still 1: nothing begins or ends"
    assert (bench.phases, len(bench.engine.suppressions())) == ({}, 2)
    bench.present[3] = (1.0, BAD)
    assert keys(bench.restart()) == ["alarm.unsuppressed", "state.alarm"]
    bench.feed((3, 1.0))
    bench.present[3] = (0.0, 0)
    assert keys(bench.restart()) == ["alarm.unsuppressed", "state.alarm"]


def test_by_design_follows_a_changed_model(bench):
    bench.feed((1, 1.0), (2, 0.0), (0, 11.0), (3, 1.0))
    changed = [replace(GRID[0], suppressed_by="m3"), replace(GRID[1], suppressed_by=""), *GRID[2:]]
    assert keys(bench.restart(changed)) == ["alarm.unsuppressed", "state.alarm"]
    assert {one.mrid for one in bench.engine.suppressions()} == {"m0", "m2"}
    assert bench.phases == {(1, "state.alarm"): UNACK}
    assert keys(bench.restart([replace(one, suppressed_by="") for one in GRID])) == [
        "alarm.unsuppressed",
        "alarm.unsuppressed",
        "limit.lo",
        "limit.hi",
    ]
