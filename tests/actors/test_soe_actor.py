"""Status lines through the event actor: held for their window, never lost, never doubled, in order; alarms do not wait."""

import tempfile
from pathlib import Path

import pytest
from actors.harness import TABLES, Disk, S, make
from hypothesis import given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.actors.alarm_view import AlarmView
from scada.actors.events import EventActor
from scada.actors.mailbox import Envelope
from scada.actors.messages import Acknowledge, Changed, Report, Suppress, Tick
from scada.actors.order_messages import TagsChanged
from scada.core.batch import RecordFlag
from scada.core.clock import VirtualClock
from scada.events.log_index import Order, Query
from scada.events.records import AlarmPhase, Event, EventKind, SuppressionKind
from scada.events.soe import order_time
from scada.model_cim.tables import AlarmClass
from scada.rtdb.changes import GapError

WINDOW_S = 0.5


def life(disk, listeners=None, view=None, **more):
    actor = make(
        EventActor,
        tables=TABLES,
        store=disk.store,
        log=disk.log,
        view=view or AlarmView(),
        listeners=[] if listeners is None else listeners,
        clock=disk.clock,
        soe_window_s=WINDOW_S,
        **more,
    )
    actor.started()
    return actor


def status(disk):
    return disk.log.find(Query(Order.NUMBER, after_id=-1, kinds=frozenset({EventKind.STATUS_CHANGE})), 10_000)


def alarms_raised(disk):
    kinds = frozenset({EventKind.STATE_ALARM, EventKind.LIMIT_VIOLATED})
    return disk.log.find(Query(Order.NUMBER, after_id=-1, kinds=kinds), 10_000)


def test_a_line_waits_and_its_alarm_does_not(disk):
    heard, view = [], AlarmView()
    actor = life(disk, [heard.extend], view)
    actor.receive(Changed(disk.put([0, 1], [2.0, 1.0])))
    change = disk.put([0], [1.0])
    heard.clear()
    actor.receive(Changed(change))
    assert [event.key for event in heard] == ["state.alarm"]
    assert [alarm.pid for alarm in view.alarms] == [0]
    assert status(disk) == []
    assert [line.seq for line in disk.log.held()] == [change.last]
    assert disk.log.stored_seq == change.last, "what is held is safe"
    disk.clock.advance(WINDOW_S)
    actor.receive(Tick())
    assert [event.key for event in heard] == ["state.alarm", "status.changed"]
    assert [event.event_id for event in heard] == [heard[0].event_id, heard[0].event_id + 1]
    assert disk.log.held() == []


def test_an_ordered_stop_numbers_what_is_held(disk):
    actor = life(disk)
    actor.receive(Changed(disk.put([1], [1.0])))
    actor.receive(Changed(disk.put([1], [2.0])))
    actor.stopped()
    assert [event.value for event in status(disk)] == [2.0]


steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 900),  # delay of the way here, ms
        st.integers(0, 400),  # time to the next one, ms
        st.sampled_from(["", "", "", "tick", "undelivered", "dies", "dies twice"]),
    ),
    max_size=20,
)


@settings(max_examples=25, deadline=None)
@given(steps)
def test_wherever_the_process_dies_each_change_is_one_line(script):
    """Independent check: the journal's own records are the truth."""
    with tempfile.TemporaryDirectory() as folder:
        disk = Disk(Path(folder), clock=VirtualClock())
        disk.put([0, 1], [1.0, 1.0])
        actor, value = life(disk), [1.0, 1.0]
        wanted, shown = [], []
        for pid, delay_ms, pause_ms, then in script:
            disk.clock.advance(pause_ms / 1000)
            value[pid] = 3.0 - value[pid]
            source = disk.clock.now_ns() - delay_ms * 1_000_000
            change = disk.put([pid], [value[pid]], event=True, source_time=source)
            wanted.append((change.last, pid, value[pid]))
            if then != "undelivered":
                actor.receive(Changed(change))
            if then == "tick":
                disk.clock.advance(0.1)
                actor.receive(Tick())
            for _ in range(["dies", "dies twice"].index(then) + 1 if then.startswith("dies") else then == "undelivered"):
                shown_now = [event.event_id for event in status(disk)]
                disk.die()
                disk.open()
                actor = life(disk)
                assert [event.event_id for event in status(disk)][: len(shown_now)] == shown_now
        disk.clock.advance(1)
        actor.receive(Tick())
        lines = status(disk)
        numbers = [event.event_id for event in disk.log.find(Query(Order.NUMBER, after_id=-1), 10_000)]
        shown = sorted((event.seq, event.pid, event.value) for event in lines)
        by_source = [order_time(event) for event in disk.log.find(Query(Order.SOURCE), 10_000)]
        disk.die()
        assert shown == wanted
        assert numbers == sorted(set(numbers))
        assert by_source == sorted(by_source)


def test_an_alarm_is_announced_once_though_the_process_dies_inside_the_window(disk):
    actor = life(disk)
    actor.receive(Changed(disk.put([0, 2], [2.0, 5.0])))
    actor.receive(Changed(disk.put([0, 2], [1.0, 50.0])))
    actor.receive(Changed(disk.put([2], [5.0])))
    before = [event.event_id for event in alarms_raised(disk)]
    assert len(before) == 2
    for _ in range(3):
        disk.die()
        disk.open()
        actor = life(disk)
    disk.clock.advance(1)
    actor.receive(Tick())
    assert [event.event_id for event in alarms_raised(disk)] == before
    assert [event.pid for event in status(disk)] == [0]


def test_what_waits_in_the_mailbox_shares_one_write(disk, monkeypatch):
    heard = []
    actor = life(disk, [heard.append])
    actor.receive(Changed(disk.put([2], [5.0])))
    heard.clear()
    writes, whole = [], disk.log._file.write

    def counted():
        writes.append(1)
        return whole()

    monkeypatch.setattr(disk.log._file, "write", counted)
    changes = [disk.put([2], [float(value)]) for value in (50, 5, 60, 6, 70)]
    for change in changes[1:]:
        actor._mailbox.put(Envelope(Changed(change)))
    actor.receive(Changed(changes[0]))
    assert len(writes) == 1
    assert [event.kind for event in heard[0]].count(EventKind.LIMIT_VIOLATED) == 3
    assert disk.log.seq == changes[-1].last


def test_what_lies_beyond_a_gap_of_the_journal_is_still_told(disk, monkeypatch):
    life(disk)
    disk.put([0, 1], [2.0, 1.0])
    lost = disk.put([1], [2.0]).last
    disk.put([1], [1.0])
    whole = disk.store.changes

    def trimmed(after, limit=None):
        if after < lost:
            raise GapError(after + 1, lost + 1)
        yield from whole(after, limit)

    monkeypatch.setattr(disk.store, "changes", trimmed)
    actor = life(disk)
    disk.clock.advance(1)
    actor.receive(Tick())
    assert [event.value for event in status(disk)] == [1.0]
    assert [event.key for event in disk.log.query(kinds=[EventKind.SYSTEM])] == ["events.gap"]
    actor.receive(Changed(disk.put([1], [2.0])))
    assert disk.log.held()[0].value == 2.0


def test_a_log_that_is_ahead_of_a_restored_database_goes_on(disk):
    disk.put([0], [2.0])
    disk.log.append([], seq=60_000)
    actor = life(disk)
    assert [event.key for event in disk.log.query(kinds=[EventKind.SYSTEM])] == ["events.gap"]
    actor.receive(Changed(disk.put([0], [1.0])))
    assert disk.log.held()[0].pid == 0


def test_lines_are_told_though_the_alarms_cannot_be_judged(disk, monkeypatch):
    life(disk)
    disk.put([1], [1.0])
    disk.put([1], [2.0])

    def broken(engine, change):
        raise ZeroDivisionError("bug")

    monkeypatch.setattr("scada.actors.events.AlarmEngine.process", broken)
    monkeypatch.setattr("scada.actors.events.AlarmEngine.resync", lambda engine, snapshot: [])
    actor = life(disk)
    disk.clock.advance(1)
    actor.receive(Tick())
    assert [event.value for event in status(disk)] == [2.0]
    assert {event.key for event in disk.log.query(kinds=[EventKind.SYSTEM])} == {"events.unjudged"}


def test_backfilled_and_held_changes_are_lines(disk):
    actor = life(disk)
    actor.receive(Changed(disk.put([1], [1.0])))
    source = disk.clock.now_ns() - 3600 * S
    disk.store.apply(disk.batch([1], [2.0], source_time=source))
    late = disk.batch([1], [1.0], source_time=source - S)
    late.records["flags"] = RecordFlag.BACKFILL
    disk.store.apply(late)
    actor.receive(Changed(disk.store.commit()))
    assert [event.key for event in status(disk)] == ["status.backfilled"]
    disk.store.hold(1, 1.0)
    disk.store.commit()
    disk.clock.advance(1)
    actor.receive(Changed(disk.put([1], [1.0], event=True, source_time=disk.clock.now_ns())))
    actor.stopped()
    assert "status.behind_hold" in {event.key for event in status(disk)}


def suppress(actor, request):
    return actor.receive(Suppress(request, "ann"))


def test_shelve_hide_show_again_and_restart(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    actor.receive(Changed(disk.put([2], [5.0])))
    actor.receive(Changed(disk.put([2], [50.0])))
    assert len(view.alarms) == 1
    names = [pb.AlarmName(mrid="m2", key="limit.hi"), pb.AlarmName(mrid="nobody")]
    reply = suppress(actor, pb.ShelveRequest(alarms=names, duration_s=600, reason="sensor"))
    assert (reply.accepted, [name.mrid for name in reply.unknown]) == (True, ["nobody"])
    assert view.read()[0] == ()
    assert [(one.mrid, one.kind, one.user, one.active) for one in view.suppressions] == [
        ("m2", SuppressionKind.SHELVED, "ann", True)
    ]
    disk.die()
    disk.open()
    view = AlarmView()
    actor = life(disk, view=view)
    assert (view.read()[0], len(view.suppressions)) == ((), 1)
    disk.clock.advance(601)
    actor.receive(Tick())
    assert [alarm.phase for alarm in view.alarms] == [AlarmPhase.UNACK_ACTIVE], "expiry returns it unacknowledged"
    assert view.suppressions == ()


@pytest.mark.parametrize(
    "request_",
    [
        pb.ShelveRequest(alarms=[pb.AlarmName(mrid="m2")], duration_s=600),
        pb.ShelveRequest(alarms=[pb.AlarmName(mrid="m2")], reason="x"),
        pb.ShelveRequest(alarms=[pb.AlarmName(mrid="m2")], duration_s=28_801, reason="x"),
        pb.AlarmServiceRequest(alarms=[pb.AlarmName(mrid="m2")], out_of_service=True),
    ],
)
def test_what_must_not_be_suppressed_so_is_refused(disk, request_):
    actor = life(disk)
    reply = suppress(actor, request_)
    assert (reply.accepted, reply.code) == (False, "invalid")
    assert reply.reason


def test_service_and_unshelve(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    named = [pb.AlarmName(mrid="m2")]
    assert suppress(actor, pb.AlarmServiceRequest(alarms=named, out_of_service=True, reason="rebuilt")).accepted
    assert [one.kind for one in view.suppressions] == [SuppressionKind.OUT_OF_SERVICE]
    assert suppress(actor, pb.AlarmServiceRequest(alarms=named, out_of_service=False)).accepted
    reply = suppress(actor, pb.UnshelveRequest(alarms=named))
    assert (reply.accepted, reply.code) == (False, "unknown_alarm")
    actor.receive(TagsChanged({"m2": "no alarms: ann"}))
    assert [one.kind for one in view.suppressions] == [SuppressionKind.TAGGED]
    actor.receive(TagsChanged({}))
    assert view.suppressions == ()


def test_a_new_life_asks_for_the_tags(disk):
    """The message that told of them may be the one at which the life before ended."""
    view, tags = AlarmView(), {"m2": "no alarms: ann"}
    life(disk, view=view, tagged=lambda: tags).receive(Changed(disk.put([2], [50.0])))
    assert [one.kind for one in view.suppressions] == [SuppressionKind.TAGGED]
    assert view.alarms == ()
    tags.clear()
    life(disk, view=view, tagged=lambda: tags)
    assert view.suppressions == ()
    assert [(alarm.pid, alarm.event_id <= view.last_event_id) for alarm in view.alarms] == [(2, True)]


def test_an_alarm_raised_again_after_what_the_user_saw_stays_unacknowledged(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    actor.receive(Changed(disk.put([2], [5.0])))
    actor.receive(Changed(disk.put([2], [50.0])))
    shown, seen = view.read()
    for value in (5.0, 60.0):
        actor.receive(Changed(disk.put([2], [value])))
    number = shown[0].alarm_id
    assert actor.receive(Acknowledge((number,), "ann", seen)) == ([], [number])
    assert actor.receive(Acknowledge((number,), "ann", view.last_event_id)) == ([number], [])


def test_the_view_is_ordered_and_as_of_the_last_event(disk):
    view = AlarmView()
    actor = life(disk, view=view)
    actor.receive(Changed(disk.put([0, 2], [2.0, 5.0])))
    actor.receive(Changed(disk.put([0, 2], [1.0, 50.0])))
    shown, last = view.read()
    assert [alarm.alarm_id for alarm in shown] == sorted(alarm.alarm_id for alarm in shown)
    assert last == disk.log.last_id == view.last_event_id
    assert view.read()[0] is shown, "nothing is built anew while nothing changes"
    actor.receive(Acknowledge((shown[0].alarm_id,), "ann"))
    actor.receive(Report((Event(1, EventKind.SYSTEM, AlarmClass.NOTICE, 4, "test.note"),)))
    assert [alarm.phase for alarm in view.read()[0]] == [AlarmPhase.ACK_ACTIVE, AlarmPhase.UNACK_ACTIVE]
    assert view.last_event_id == last + 2
