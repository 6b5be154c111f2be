"""Phases against a slow model written from the state table of ISA-18.2; acknowledging only what was seen."""

import pytest
from events.alarm_bench import ANALOG, BAD, Bench, keys, point
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.settings import AlarmSettings
from scada.events.records import AlarmPhase
from scada.model_cim.tables import Limits

NO_CHATTER = AlarmSettings(chatter_count=10_000)
POINT = point(0, ANALOG, limits=Limits(hi=10, hysteresis=2, delay_s=3, off_delay_s=2))


BEGIN = {"A": "B", "B": "B", "C": "C", "D": "B"}
END = {"A": "A", "B": "D", "C": "A", "D": "D"}
ACKNOWLEDGE = {"A": "A", "B": "C", "C": "C", "D": "A"}
REVEAL = {"A": "A", "B": "B", "C": "B", "D": "D"}


class Standard:
    """One alarm by the letter of the standard: A normal, B unacknowledged, C acknowledged, D returned unacknowledged.

    It may be suppressed (G, H, I), and is judged on meanwhile. Condition: > 10 begins, <= 8 ends, on-delay 3 s, off-delay 2 s.
    """

    def __init__(self):
        self.state, self.suppressed = "A", False
        self.beyond, self.due, self.good, self.now, self.value = False, None, False, 0.0, None

    def judge(self, value, good):
        self.value, self.good = value, good
        if not good:
            return
        beyond = value > (8 if self.beyond else 10)
        if beyond != self.beyond:
            self.beyond = beyond
            self.due = None if self.due is not None else self.now + (3 if beyond else 2)

    def tick(self, seconds):
        self.now += seconds
        if self.due is not None and self.due <= self.now and self.good:
            self.due = None
            self.state = (BEGIN if self.beyond else END)[self.state]

    def acknowledge(self):
        if not self.suppressed:
            self.state = ACKNOWLEDGE[self.state]

    def suppress(self, on):
        if self.suppressed and not on:
            self.state = REVEAL[self.state]
        self.suppressed = on

    def restart(self):
        self.beyond, self.due = self.state in "BC", None
        if self.value is not None:
            self.judge(self.value, self.good)


LETTERS = {AlarmPhase.UNACK_ACTIVE: "B", AlarmPhase.ACK_ACTIVE: "C", AlarmPhase.UNACK_RETURNED: "D"}
steps = st.lists(
    st.one_of(
        st.tuples(st.just("value"), st.sampled_from([7.0, 8.0, 9.0, 10.0, 11.0, 12.0]), st.booleans()),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), st.just(True)),
        st.tuples(st.sampled_from(["acknowledge", "shelve", "unshelve", "out", "in", "restart"]), st.just(0), st.just(True)),
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_any_story_ends_in_the_states_of_the_standard(script):
    bench, standard = Bench([POINT], NO_CHATTER), Standard()
    shelved = out = False
    for what, number, good in script:
        match what:
            case "value":
                bench.feed((0, number, 0 if good else BAD))
                standard.judge(number, good)
            case "wait":
                bench.tick(number)
                standard.tick(number)
            case "acknowledge":
                bench.acknowledge(*[alarm.alarm_id for alarm in bench.engine.alarms()])
                standard.acknowledge()
            case "shelve" | "unshelve":
                shelved = what == "shelve"
                bench.shelve("m0", "limit.hi") if shelved else bench.unshelve("m0")
            case "out" | "in":
                out = what == "out"
                bench.service("m0", out=out)
            case "restart":
                bench.restart()
                standard.restart()
        standard.suppress(shelved or out)
        shown = [LETTERS[alarm.phase] for alarm in bench.engine.alarms()]
        assert shown == ([] if standard.suppressed or standard.state == "A" else [standard.state])
        assert bench.engine.suppressed == (standard.suppressed and standard.state in "BC")
        bench.keep()
        hidden = [LETTERS[alarm.phase] for alarm in bench.stored_alarms.values() if alarm.suppressed]
        assert hidden == ([standard.state] if standard.suppressed and standard.state != "A" else [])


@settings(max_examples=60, deadline=None)
@given(steps)
def test_events_tell_the_story_with_rising_numbers(script):
    """What is shown can be rebuilt from the events alone: who follows them needs no second look at the list."""
    bench = Bench([POINT], NO_CHATTER)
    told, last = set(), 0
    for what, number, good in script:
        events = []
        match what:
            case "value":
                events = bench.feed((0, number, 0 if good else BAD))
            case "wait":
                events = bench.tick(number)
            case "acknowledge":
                events = bench.acknowledge(*[alarm.alarm_id for alarm in bench.engine.alarms()])[0]
            case "shelve":
                events = bench.shelve("m0")[0]
            case "unshelve":
                events = bench.unshelve("m0")[0]
            case "restart":
                events = bench.restart()
        for event in events:
            assert event.event_id == last + 1
            last = event.event_id
            if event.key == "limit.hi":
                told = {"active", "unacknowledged"}
            elif event.key == "limit.hi.returned":
                told.discard("active")
            elif event.key == "alarm.acknowledged":
                told.discard("unacknowledged")
            elif event.key == "alarm.shelved":
                told = set()
            elif event.key == "alarm.came_and_went":
                told = {"unacknowledged"}
        shown = {"B": {"active", "unacknowledged"}, "C": {"active"}, "D": {"unacknowledged"}}
        assert told == next((shown[LETTERS[alarm.phase]] for alarm in bench.engine.alarms()), set())


# ---------------------------------------------------------------- acknowledging


def test_an_occurrence_he_had_not_seen_is_not_acknowledged():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10))])
    (first,) = bench.feed((0, 11.0))
    (returned,) = bench.feed((0, 9.0))
    seen = returned.event_id
    (again,) = bench.feed((0, 12.0))
    assert again.alarm_id == first.alarm_id
    assert bench.acknowledge(first.alarm_id, seen=seen) == ([], [], [first.alarm_id])
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_ACTIVE}
    events, acknowledged, unknown = bench.acknowledge(first.alarm_id, seen=again.event_id)
    assert (keys(events), acknowledged, unknown) == (["alarm.acknowledged"], [first.alarm_id], [])


@pytest.mark.parametrize("seen", [0, 1, 99])
def test_what_was_seen_is_acknowledged_and_who_does_not_say_acknowledges_the_instance(seen):
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10))])
    bench.feed((0, 11.0))
    bench.restart()
    assert bench.acknowledge(1, seen=seen)[1] == [1]


# ---------------------------------------------------------------- models that change


def test_a_condition_that_left_the_model_ends_its_alarm():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10, hihi=20))])
    bench.feed((0, 25.0))
    events = bench.restart([point(0, ANALOG, limits=Limits(hi=10))])
    assert keys(events) == ["alarm.condition_removed"]
    assert bench.phases == {(0, "limit.hi"): AlarmPhase.UNACK_ACTIVE, (0, "limit.hihi"): AlarmPhase.UNACK_RETURNED}


def test_a_limit_that_moved_is_judged_anew():
    bench = Bench([point(0, ANALOG, limits=Limits(hi=10))])
    bench.feed((0, 25.0))
    assert keys(bench.restart([point(0, ANALOG, limits=Limits(hi=30))])) == ["limit.hi.returned"]
