"""Recall over journal, captures and history; captures at accidents, also over a restart in the middle."""

import numpy as np
import pytest
from actors.harness import TABLES, Box, S, make
from scadapb.v1 import scada_pb2 as pb

from scada.actors.history import HistoryActor
from scada.actors.messages import AccidentsSeen, Report, Tick
from scada.actors.order_messages import HistoryAsked
from scada.actors.recall import LATE_S, RecallActor, Recaller, is_accident
from scada.core.errors import StoreError
from scada.core.settings import EventSettings
from scada.events import recall as recall_module
from scada.events.recall import RecallFolder
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass

SETTINGS = EventSettings(recall_before_s=10, recall_after_s=20, soe_window_ms=500)


class History:
    """The history actor, answering in the asker's thread; ``mute`` = it never answers."""

    def __init__(self, disk):
        self.actor = make(HistoryActor, rtdb=disk.store, store=disk.samples, events=None, clock=disk.clock)
        self.actor.started()
        self.asked = []

    def tell(self, message):
        assert isinstance(message, HistoryAsked)
        self.asked.append(message.request)
        self.actor.receive(message)


@pytest.fixture
def folder(tmp_path):
    return RecallFolder(tmp_path / "recalls", keep=5)


@pytest.fixture
def box():
    return Box()


def recaller(disk, folder):
    return Recaller(TABLES, disk.store, disk.log, folder, History(disk), disk.clock)


def life(disk, folder, events):
    actor = make(
        RecallActor,
        recaller=recaller(disk, folder),
        folder=folder,
        store=disk.store,
        log=disk.log,
        events=events,
        settings=SETTINGS,
        clock=disk.clock,
    )
    actor.started()
    return actor


def accident(disk, path="S/0"):
    event = Event(
        disk.clock.now_ns(), EventKind.STATE_ALARM, AlarmClass.ACCIDENT, 1, "state.alarm", path=path, station="S", value=1.0
    )
    number = disk.log.next_id()
    stored = disk.log.append(
        [Event(**{n: getattr(event, n) for n in event.__slots__} | {"event_id": number, "alarm_id": number})]
    )
    return stored[0]


def ask(at_ns, before_s=10, after_s=10, **more):
    return pb.RecallRequest(at_ns=at_ns, before_s=before_s, after_s=after_s, **more)


def pairs(rows):
    return [(int(row["pid"]), float(row["value"])) for row in rows]


def test_from_the_journal(disk, folder):
    disk.put([0, 3], [2.0, 5.0])
    disk.clock.advance(60)
    at = disk.clock.now_ns()
    disk.put([0], [1.0])
    accident(disk)
    disk.clock.advance(1)
    disk.put([3], [6.0])
    disk.clock.advance(60)
    found = recaller(disk, folder).find(ask(at))
    assert (found.source, found.complete, found.reason) == ("journal", True, "")
    assert (pairs(found.start), pairs(found.changes)) == ([(0, 2.0), (3, 5.0)], [(0, 1.0), (3, 6.0)])
    assert [event.key for event in found.events] == ["state.alarm"]
    only = recaller(disk, folder).find(ask(at, pids=[3]))
    assert (pairs(only.start), only.events) == ([(3, 5.0)], [])
    assert recaller(disk, folder).find(ask(at, station="Nowhere")).start.size == 0
    future = recaller(disk, folder).find(ask(disk.clock.now_ns()))
    assert (future.complete, future.reason) == (False, "the span has not ended yet")


def test_a_recall_of_too_much_says_what_it_leaves_out(disk, folder, monkeypatch):
    disk.put([0, 3], [2.0, 5.0])
    disk.clock.advance(60)
    at = disk.clock.now_ns()
    for value in (1.0, 2.0, 1.0):
        disk.put([0, 3], [value, value])
        accident(disk)
        disk.clock.advance(1)
    disk.clock.advance(60)
    monkeypatch.setattr(recall_module, "MOST_CHANGES", 4)
    monkeypatch.setattr(recall_module, "MOST_EVENTS", 2)
    found = recaller(disk, folder).find(ask(at))
    assert (found.complete, pairs(found.changes)) == (False, [(0, 1.0), (3, 1.0), (0, 2.0), (3, 2.0)])
    assert "only the first 4 changes are shown" in found.reason
    assert (len(found.events), "only the first 2 events are shown" in found.reason) == (2, True)
    of_one = recaller(disk, folder).find(ask(at, pids=[3]))
    assert pairs(of_one.changes) == [(3, 1.0), (3, 2.0), (3, 1.0)], "what is not asked for takes no room"
    assert "changes" not in of_one.reason


def test_a_value_before_the_journal_comes_from_the_history(disk, folder, monkeypatch):
    disk.samples.began(disk.store.snapshot())
    disk.samples.append(disk.put([0, 3], [2.0, 5.0]))
    disk.clock.advance(60)
    disk.samples.append(disk.put([1], [1.0]))
    held = disk.store.head
    disk.clock.advance(60)
    at = disk.clock.now_ns()
    disk.samples.append(disk.put([3, 2], [6.0, 1.0]))
    disk.clock.advance(60)
    monkeypatch.setattr(type(disk.store), "oldest", property(lambda _: held))
    one = recaller(disk, folder)
    found = one.find(ask(at))
    assert (found.source, found.complete) == ("journal", True)
    assert pairs(found.start) == [(0, 2.0), (1, 1.0), (3, 5.0)], "0 never changed since, 3 is asked, 2 was never received"
    monkeypatch.setattr("scada.actors.recall.HISTORY_S", 0.01)
    one._history = type("Mute", (), {"tell": lambda self, message: None})()
    found = one.find(ask(at))
    assert (found.complete, found.reason) == (False, "values at the start are not known of 1 points")
    assert pairs(found.start) == [(0, 2.0), (1, 1.0)]


def test_from_the_history_when_the_journal_has_gone_on(disk, folder, monkeypatch):
    disk.samples.began(disk.store.snapshot())
    disk.samples.append(disk.put([0, 3], [2.0, 5.0]))
    disk.clock.advance(60)
    at = disk.clock.now_ns()
    disk.samples.append(disk.put([3], [6.0]))
    disk.clock.advance(600)
    disk.put([0], [1.0])
    monkeypatch.setattr(type(disk.store), "oldest", property(lambda store: store.head))
    found = recaller(disk, folder).find(ask(at))
    assert (found.source, found.complete) == ("history", False)
    assert "dead-band" in found.reason
    assert (pairs(found.start), pairs(found.changes)) == ([(0, 2.0), (3, 5.0)], [(3, 6.0)])
    monkeypatch.setattr("scada.actors.recall.HISTORY_POINTS", 3)
    found = recaller(disk, folder).find(ask(at))
    assert "name a station" in found.reason
    assert found.start.size == 0


def test_an_accident_is_captured_once_its_span_has_ended(disk, folder, box):
    actor = life(disk, folder, box)
    disk.put([0, 3], [2.0, 5.0])
    disk.clock.advance(30)
    actor.receive(Tick())
    first = accident(disk)
    disk.put([0], [1.0])
    actor.receive(AccidentsSeen([first]))
    disk.clock.advance(15)
    second = accident(disk, "S/1")
    actor.receive(AccidentsSeen([first, second]))
    disk.put([3], [9.0])
    disk.clock.advance(20 + LATE_S)
    actor.receive(Tick())
    assert folder.listed() == [], "status lines may still come for as long as the window"
    disk.clock.advance(0.5)
    actor.receive(Tick())
    (info,) = folder.listed()
    assert (info.at_ns, info.event_id, info.reason, info.complete) == (first.time_ns, first.event_id, "S/0", True)
    assert (info.from_ns, info.to_ns) == (first.time_ns - 10 * S, second.time_ns + 20 * S)
    found = folder.read(info.path)
    assert (pairs(found.start), pairs(found.changes)) == ([(0, 2.0), (3, 5.0)], [(0, 1.0), (3, 9.0)])
    assert [event.event_id for event in found.events] == [first.event_id, second.event_id]
    assert box.keys() == ["events.captured"]
    actor.receive(Tick())
    assert len(folder.listed()) == 1


def test_a_restart_in_the_middle_of_a_capture_captures_once(disk, folder, box):
    actor = life(disk, folder, box)
    disk.put([0], [2.0])
    disk.clock.advance(30)
    first = accident(disk)
    disk.put([0], [1.0])
    actor.receive(AccidentsSeen([first]))
    disk.clock.advance(5)
    disk.die()
    disk.open()
    actor = life(disk, folder, box)
    disk.clock.advance(30)
    actor.receive(Tick())
    (info,) = folder.listed()
    assert info.event_id == first.event_id
    found = folder.read(info.path)
    assert (0, 1.0) in pairs(found.changes)
    actor = life(disk, folder, box)
    disk.clock.advance(60)
    actor.receive(Tick())
    assert len(folder.listed()) == 1


def test_the_journal_is_kept_from_the_start_of_the_span(disk, folder, box):
    actor = life(disk, folder, box)
    for _ in range(60):
        disk.put([3], [float(disk.clock.now_ns() % 1000 + _)])
        disk.clock.advance(1)
        actor.receive(Tick())
    kept = {consumer.name: consumer.seq for consumer in disk.store.consumers()}["recall"]
    assert 60 - 16 <= kept <= 60 - 12, "10 s before, and what may come late"
    actor.receive(AccidentsSeen([accident(disk)]))
    begin = {consumer.name: consumer.seq for consumer in disk.store.consumers()}["recall"]
    for _ in range(15):
        disk.put([3], [float(_)])
        disk.clock.advance(1)
        actor.receive(Tick())
    assert {consumer.name: consumer.seq for consumer in disk.store.consumers()}["recall"] == begin


def test_a_clock_that_is_set_back_neither_holds_the_journal_nor_a_capture(disk, folder, box):
    actor = life(disk, folder, box)
    actor.receive(AccidentsSeen([accident(disk)]))
    for second in range(40):
        if second == 5:
            disk.clock.jump(-86_400)
        disk.put([3], [float(second)])
        disk.clock.advance(1)
        actor.receive(Tick())
    kept = {consumer.name: consumer.seq for consumer in disk.store.consumers()}["recall"]
    assert kept >= 40 - 16
    (info,) = folder.listed()
    assert not info.complete, "the span as it was asked for is still to come by the new time"


def test_a_folder_that_cannot_be_written_is_told_once_and_tried_again(disk, folder, box, monkeypatch):
    actor = life(disk, folder, box)
    disk.put([0], [2.0])
    disk.clock.advance(20)
    actor.receive(AccidentsSeen([accident(disk)]))
    disk.clock.advance(30)
    whole = recall_module._write_whole

    def full(path, blob):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recall_module, "_write_whole", full)
    for _ in range(3):
        actor.receive(Tick())
        disk.clock.advance(11)
    assert box.keys() == ["events.capture_failed"]
    box.take(Report)
    monkeypatch.setattr(recall_module, "_write_whole", whole)
    actor.receive(Tick())
    assert box.keys() == ["events.captured"]


def test_a_capture_answers_when_the_journal_has_gone_on_and_a_damaged_one_does_not(disk, folder, box, monkeypatch):
    actor = life(disk, folder, box)
    disk.put([0], [2.0])
    disk.clock.advance(30)
    first = accident(disk)
    actor.receive(AccidentsSeen([first]))
    disk.put([0], [1.0])
    disk.clock.advance(40)
    actor.receive(Tick())
    disk.put([1], [1.0])
    monkeypatch.setattr(type(disk.store), "oldest", property(lambda store: store.head))
    found = recaller(disk, folder).find(ask(first.time_ns, 5, 5))
    assert (found.source, pairs(found.changes)) == ("capture", [(0, 1.0)])
    path = folder.listed()[0].path
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert recaller(disk, folder).find(ask(first.time_ns, 5, 5)).source == "history"


def test_a_history_that_does_not_answer(disk, folder, monkeypatch):
    disk.put([0], [2.0])
    monkeypatch.setattr("scada.actors.recall.HISTORY_S", 0.01)
    one = recaller(disk, folder)
    one._history = type("Mute", (), {"tell": lambda self, message: None})()
    with pytest.raises(StoreError, match="did not answer"):
        one._ask_history(np.array([0], np.uint32), 1, 2)


def test_what_is_an_accident(disk):
    event = accident(disk)
    assert is_accident(event)
    changed = {name: getattr(event, name) for name in event.__slots__}
    assert not is_accident(Event(**changed | {"alarm_id": 0}))
    assert not is_accident(Event(**changed | {"kind": EventKind.STATE_RETURNED}))
    assert not is_accident(Event(**changed | {"alarm_class": AlarmClass.LIMIT}))
