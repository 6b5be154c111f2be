"""Event actor: on disk before anybody sees it; a restart loses and doubles nothing."""

import tempfile
from pathlib import Path

import pytest
from actors.harness import TABLES, Disk, make
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.actors.alarm_view import AlarmView
from scada.actors.events import EventActor
from scada.actors.messages import Acknowledge, Changed, ChannelState, FollowEvents, Report, Tick, UnfollowEvents
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.events.records import AlarmPhase, Event, EventKind
from scada.model_cim.tables import AlarmClass


def life(disk, listeners=None, view=None, **more):
    actor = make(
        EventActor,
        tables=TABLES,
        store=disk.store,
        log=disk.log,
        view=view or AlarmView(),
        listeners=[] if listeners is None else listeners,
        clock=disk.clock,
        **more,
    )
    actor.started()
    return actor


def events(disk, *kinds):
    return sorted(disk.log.query(kinds=kinds, limit=10_000), key=lambda event: event.event_id)


def note(disk, key="test.note"):
    return Event(disk.clock.now_ns(), EventKind.SYSTEM, AlarmClass.NOTICE, 4, key)


steps = st.lists(st.tuples(st.integers(0, 1), st.sampled_from([1.0, 2.0]), st.booleans(), st.booleans()), max_size=14)


@settings(max_examples=15, deadline=None)
@given(steps)
def test_each_change_of_state_is_one_event_wherever_the_actor_dies(script):
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder), clock=VirtualClock())
        actor, wanted, now = life(disk), [], {}
        for pid, value, delivered, dies in script:
            disk.clock.advance(1)
            change = disk.put([pid], [value])
            if now.get(pid, value) != value:
                wanted.append((pid, value))
            now[pid] = value
            if change is not None and delivered:
                actor.receive(Changed(change))
            if dies or (change is not None and not delivered):
                disk.die()
                disk.open()
                actor = life(disk)  # the values are marked old by the start; that is no change of state
        told = [(event.pid, event.value) for event in events(disk, EventKind.STATUS_CHANGE)]
        disk.die()
        assert told == wanted


def test_a_change_set_that_comes_twice_counts_once(disk):
    actor = life(disk)
    disk.put([0], [2.0])
    actor = life(disk)
    change = disk.put([0], [1.0])
    actor.receive(Changed(change))
    actor.receive(Changed(change))
    assert len(events(disk, EventKind.STATUS_CHANGE)) == 1


def test_a_journal_that_does_not_reach_back_is_said_and_present_values_are_judged(disk, monkeypatch):
    from scada.rtdb.changes import GapError

    disk.put([0, 2], [1.0, 99.0])

    def gap(after, limit=None):
        raise GapError(after + 1, 50)
        yield

    monkeypatch.setattr(disk.store, "changes", gap)
    view = AlarmView()
    life(disk, view=view)
    assert [event.key for event in events(disk) if event.key == "events.gap"] == ["events.gap"]
    assert {alarm.pid for alarm in view.alarms} == {0, 2}
    assert disk.log.seq == disk.store.head, "the next start goes on from here"


def test_listeners_see_what_is_on_disk_and_only_then(disk):
    seen = []

    def listener(told):
        stored = {event.event_id for event in events(disk)}
        assert {event.event_id for event in told} <= stored
        seen.extend(told)

    actor = life(disk)
    last = actor.receive(FollowEvents(listener))
    actor.receive(Report((note(disk), note(disk))))
    assert [event.event_id for event in seen] == [last + 1, last + 2]
    actor.receive(UnfollowEvents(listener))
    actor.receive(UnfollowEvents(listener))
    actor.receive(Report((note(disk),)))
    assert len(seen) == 2


def test_a_listener_that_fails_does_not_cost_the_log_an_event(disk):
    heard = []
    actor = life(disk, listeners=[lambda _: 1 / 0, heard.extend])
    actor.receive(Report((note(disk, "test.first"),)))
    actor.receive(Report((note(disk, "test.second"),)))
    assert [event.key for event in heard] == ["test.first", "test.second"]
    assert [event.key for event in events(disk)][-2:] == ["test.first", "test.second"]


def test_acknowledge_exactly_these_and_remember_over_a_restart(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    actor.receive(Changed(disk.put([0, 2], [2.0, 5.0])))
    actor.receive(Changed(disk.put([0, 2], [1.0, 50.0])))
    raised = {alarm.pid: alarm for alarm in view.alarms}
    assert set(raised) == {0, 2}
    answer = actor.receive(Acknowledge((raised[0].alarm_id, 999_999), "ann"))
    assert answer == ([raised[0].alarm_id], [999_999])
    disk.die()
    disk.open()
    again = AlarmView()
    life(disk, view=again)
    assert {alarm.pid: alarm.phase for alarm in again.alarms} == {0: AlarmPhase.ACK_ACTIVE, 2: AlarmPhase.UNACK_ACTIVE}
    assert next(alarm for alarm in again.alarms if alarm.pid == 0).acknowledged_by == "ann"


def test_a_channel_down_is_one_alarm_and_returns(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    for _ in range(3):
        actor.receive(ChannelState("RTU", "c-1", "S", False, "cut"))
    actor.receive(Tick())
    assert [(alarm.key, alarm.path) for alarm in view.alarms] == [("channel.down", "RTU")]
    actor.receive(ChannelState("RTU", "c-1", "S", True, "back"))
    assert [alarm.phase for alarm in view.alarms] == [AlarmPhase.UNACK_RETURNED]
    actor.receive(ChannelState("RTU", "c-1", "S", False, "cut"))
    life(disk, view=view)
    assert [alarm.phase for alarm in view.alarms] == [AlarmPhase.UNACK_RETURNED], "the model has no such channel any more"


def test_a_full_disk_keeps_events_in_order_and_is_told_once(disk, monkeypatch):
    heard = []
    actor = life(disk, listeners=[heard.extend])
    whole = disk.log._file.write

    def refuse():
        raise StoreError("no space left to write", where="events.lmdb", mend="free disk space")

    monkeypatch.setattr(disk.log._file, "write", refuse)
    for n in range(3):
        actor.receive(Report((note(disk, f"test.{n}"),)))
        disk.clock.advance(1)
        actor.receive(Tick())
    assert [event.key for event in events(disk)].count("events.fault") == 1
    monkeypatch.setattr(disk.log._file, "write", whole)
    disk.clock.advance(30)
    actor.receive(Tick())
    keys = [event.key for event in events(disk)]
    assert keys.count("events.recovered") == 1
    disk.die()
    disk.open()
    assert [event.key for event in events(disk)] == keys
    assert [key for key in keys if key.startswith("test.")] == ["test.0", "test.1", "test.2"]


def test_an_unknown_message_is_a_bug_and_says_so(disk):
    with pytest.raises(NotImplementedError):
        life(disk).receive("what?")


def test_changes_that_cannot_be_judged_are_said_once_and_the_next_ones_are(disk, monkeypatch):
    life(disk)
    disk.put([0], [2.0])
    life(disk)
    poison = disk.put([0], [1.0])
    good = disk.put([1], [2.0])
    honest = EventActor.__init__.__globals__["AlarmEngine"].process

    def process(engine, change):
        if change.first == poison.first:
            raise ZeroDivisionError("bug")
        return honest(engine, change)

    monkeypatch.setattr("scada.actors.events.AlarmEngine.process", process)
    for _ in range(2):
        actor = life(disk)
    told = [event for event in events(disk, EventKind.SYSTEM) if event.key == "events.unjudged"]
    assert [(event.parameters["first"], event.parameters["last"]) for event in told] == [(str(poison.first), str(poison.last))]
    assert disk.log.seq == good.last
    actor.receive(Changed(disk.put([0], [2.0])))
    assert events(disk, EventKind.STATUS_CHANGE)[-1].value == 2.0
