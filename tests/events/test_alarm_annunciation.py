"""Chatter, floods, and what a list of many alarms costs."""

import pytest
from events.alarm_bench import ANALOG, Bench, keys, point
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scada.core.settings import AlarmSettings
from scada.events.annunciation import ChatterFilter, FloodGroups
from scada.events.records import AlarmPhase, EventKind
from scada.model_cim.tables import Limits

HI = Limits(hi=10)
UNACK, ACK, RETURNED = AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE, AlarmPhase.UNACK_RETURNED


@pytest.fixture
def bench():
    return Bench([point(0, ANALOG, limits=HI)])


def swing(bench, times, every=1.0):
    """The value goes beyond its limit and back; all events."""
    events = []
    for _ in range(times):
        events += bench.feed((0, 11.0))
        events += bench.tick(every / 2)
        events += bench.feed((0, 9.0))
        events += bench.tick(every / 2)
    return events


# ---------------------------------------------------------------- chatter


def test_the_third_raise_within_a_minute_is_chattering_and_further_ones_are_counted(bench):
    events = swing(bench, 8)
    assert keys(events) == ["limit.hi", "limit.hi.returned"] * 2 + ["limit.hi", "alarm.chattering"]
    assert (events[-1].kind, events[-1].parameters["alarm"], events[-1].alarm_id) == (EventKind.SUPPRESSED, "limit.hi", 1)
    assert keys(swing(bench, 12)) == ["alarm.chattering_returned"], "how it stands, at most every ten seconds"
    (alarm,) = bench.engine.alarms()
    assert (alarm.chattering, alarm.occurrences, alarm.phase, alarm.alarm_id) == (True, 20, RETURNED, 1)
    assert bench.tick(58) == []
    over = bench.tick(2)
    assert keys(over) == ["limit.hi.returned", "alarm.chattering_ended"], "the last return is told, so that pairs stay whole"
    assert over[1].parameters["count"] == "20"
    (alarm,) = bench.engine.alarms()
    assert (alarm.chattering, alarm.phase) == (False, RETURNED)
    assert keys(bench.feed((0, 11.0))) == ["limit.hi"]


def test_who_follows_events_learns_how_a_chattering_alarm_stands(bench):
    swing(bench, 5)
    (alarm,) = bench.engine.alarms()
    assert bench.feed((0, 11.0)) == []
    assert bench.tick(7.9) == [], "active, as was said last"
    bench.feed((0, 9.0))
    (line,) = bench.tick(0.1)
    assert (line.key, line.kind, line.alarm_id) == ("alarm.chattering_returned", EventKind.SUPPRESSED, alarm.alarm_id)
    assert bench.feed((0, 11.0)) == bench.tick(9.9) == []
    (line,) = bench.tick(0.1)
    assert line.key == "alarm.chattering_active"
    assert bench.acknowledge(1, seen=line.event_id - 1)[2] == [1], "he had not seen that it is active again"
    assert bench.acknowledge(1, seen=line.event_id)[1] == [1]
    assert bench.tick(40) == []


def test_chattering_hides_no_state(bench):
    swing(bench, 5)
    assert bench.feed((0, 11.0)) == []
    (alarm,) = bench.engine.alarms()
    assert (alarm.phase, alarm.occurrences) == (UNACK, 6)
    assert keys(bench.acknowledge(1)[0]) == ["alarm.acknowledged"]
    assert keys(bench.feed((0, 9.0))) == ["limit.hi.returned"], "an acknowledged one ends, chattering or not"
    assert bench.phases == {}
    again = bench.feed((0, 11.0))
    assert keys(again) == ["limit.hi"], "and after it a new one is announced"
    assert again[0].alarm_id == again[0].event_id
    assert bench.engine.alarms()[0].chattering
    assert keys(bench.tick(61)) == ["alarm.chattering_ended"]
    assert bench.phases == {(0, "limit.hi"): UNACK}


def test_slow_alarms_do_not_chatter(bench):
    assert keys(swing(bench, 10, every=31)) == ["limit.hi", "limit.hi.returned"] * 10


def test_chattering_over_a_restart(bench):
    swing(bench, 5)
    bench.feed((0, 11.0))
    assert bench.restart() == []
    assert bench.engine.alarms()[0].chattering
    assert swing(bench, 3) == []
    assert keys(bench.tick(30)) == ["alarm.chattering_returned"]
    assert keys(bench.tick(31)) == ["limit.hi.returned", "alarm.chattering_ended"]


def test_chattering_and_shelving_go_together(bench):
    swing(bench, 5)
    bench.shelve("m0")
    assert swing(bench, 5) == []
    assert keys(bench.tick(61)) == ["limit.hi.returned", "alarm.chattering_ended"]
    assert keys(bench.unshelve("m0")[0]) == ["alarm.unshelved", "alarm.came_and_went"]
    assert bench.engine.alarms()[0].occurrences == 10


def test_the_figures_of_chatter_are_settings():
    bench = Bench([point(0, ANALOG, limits=HI)], AlarmSettings(chatter_count=2, chatter_window_s=5))
    assert keys(swing(bench, 2)) == ["limit.hi", "limit.hi.returned", "limit.hi", "alarm.chattering"]
    assert keys(bench.tick(6)) == ["limit.hi.returned", "alarm.chattering_ended"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(2, 4))
@example([0, 30, 30, 31], 3)
def test_chatter_like_the_slow_rule(pauses, count):
    """Chattering from the n-th raise within 60 s on, until there was none for 60 s."""
    chatter, now, raises, chattering = ChatterFilter(count, 60.0), 0.0, [], False
    for pause in pauses:
        now += pause
        ended = chatter.ended(now)
        quiet = bool(raises) and now - raises[-1] > 60
        assert [name for name, _ in ended] == ([("m", "k")] if chattering and quiet else [])
        raises = [] if quiet else raises
        chattering = chattering and not quiet
        raises.append(now)
        began = not chattering and len([time for time in raises if now - time <= 60]) >= count
        chattering = chattering or began
        assert chatter.raised(("m", "k"), now) == (chattering, began)


# ---------------------------------------------------------------- floods


def flood_bench(bays):
    return Bench([point(pid, ANALOG, limits=HI, bay=bay) for pid, bay in enumerate(bays)])


def test_more_than_five_alarms_of_a_bay_within_ten_seconds_are_a_group():
    bench = flood_bench(["B1"] * 9 + ["B2"] * 3)
    for pid in range(5):
        bench.feed((pid, 11.0))
        bench.tick(1)
    bench.feed((9, 11.0), (10, 11.0))
    assert {alarm.group for alarm in bench.engine.alarms()} == {0}
    bench.feed((5, 11.0))
    assert {alarm.pid: alarm.group for alarm in bench.engine.alarms()} == {**dict.fromkeys(range(6), 1), 9: 0, 10: 0}
    bench.tick(9)
    bench.feed((6, 11.0))
    assert bench.engine.alarms()[-1].group == 1, "the group goes on while alarms come"
    bench.tick(11)
    bench.feed((7, 11.0))
    assert bench.engine.alarms()[-1].group == 0
    assert len(bench.engine.alarms()) == 10, "nothing is hidden"
    bench.feed((0, 9.0), (0, 11.0))
    assert bench.engine.alarms()[0].group == 1, "the same instance stays in its group"
    assert bench.engine.alarms()[0].bay == "B1"
    bench.restart()
    assert [alarm.group for alarm in bench.engine.alarms()].count(1) == 7


def test_points_without_a_bay_are_not_grouped():
    bench = flood_bench([""] * 9)
    bench.feed(*[(pid, 11.0) for pid in range(9)])
    assert {alarm.group for alarm in bench.engine.alarms()} == {0}


def test_groups_forget_what_is_long_past():
    floods, chatter = FloodGroups(2, 10.0), ChatterFilter(3, 60.0)
    for number in range(1000):
        floods.raised(("S", f"B{number}"), number, float(number))
        chatter.raised(("m", str(number)), float(number))
        floods.forget(float(number))
        chatter.ended(float(number))
    assert len(floods._bays) <= 11
    assert len(chatter._raises) <= 61


# ---------------------------------------------------------------- the list


def test_the_list_is_the_same_until_an_alarm_changes():
    bench = flood_bench(["B"] * 50)
    bench.feed(*[(pid, 11.0) for pid in range(50)])
    shown = bench.engine.alarms()
    bench.feed((0, 12.0))
    bench.tick(1)
    assert bench.engine.alarms() is shown, "nothing changed, nothing is built"
    bench.acknowledge(7)
    assert bench.engine.alarms() is not shown
    assert [alarm.alarm_id for alarm in bench.engine.alarms()] == list(range(1, 51))


def test_an_alarm_that_comes_back_stands_in_its_place():
    bench = flood_bench(["B"] * 5)
    bench.feed(*[(pid, 11.0) for pid in range(3)])
    bench.shelve("m0")
    bench.feed((3, 11.0))
    bench.unshelve("m0")
    bench.feed((4, 11.0))
    numbers = [alarm.alarm_id for alarm in bench.engine.alarms()]
    assert numbers == sorted(numbers)
    assert len(numbers) == 5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["up", "down", "ack", "shelve", "unshelve"])), max_size=40))
def test_who_follows_the_changes_has_the_list(script):
    bench = flood_bench(["B"] * 5)
    mirror = {}
    for pid, what in script:
        match what:
            case "up" | "down":
                bench.feed((pid, 11.0 if what == "up" else 9.0))
            case "ack":
                bench.acknowledge(*[alarm.alarm_id for alarm in bench.engine.alarms() if alarm.pid == pid])
            case "shelve":
                bench.shelve(f"m{pid}")
            case _:
                bench.unshelve(f"m{pid}")
        for alarm in bench.engine.take_changed():
            mirror[alarm.alarm_id] = alarm
            if alarm.phase == AlarmPhase.NORMAL or alarm.suppressed:
                del mirror[alarm.alarm_id]
        assert [mirror[number] for number in sorted(mirror)] == bench.engine.alarms()
