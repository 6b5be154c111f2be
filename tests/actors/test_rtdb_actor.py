"""RTDB actor: one group commit for all that waits, followers in order, nobody waits for ever, faults told once."""

import numpy as np
import pytest
from actors.harness import Box, make

from scada.actors.base import Address
from scada.actors.mailbox import Envelope
from scada.actors.messages import (
    Apply,
    ApplyDerived,
    Changed,
    Checkpoint,
    FellBehind,
    FollowChanges,
    Hold,
    MarkQuality,
    Release,
    Report,
    Tick,
    UnfollowChanges,
)
from scada.actors.rtdb import DRAIN, HOLD_S, RtdbActor
from scada.core.errors import StoreError
from scada.core.quality import Quality


class World:
    def __init__(self, disk):
        self.disk = disk
        self.followers = [Box(), Box()]
        self.events = Box()
        self.listeners, self.waiting = [], []
        self.actor = self.life()

    def life(self):
        return make(
            RtdbActor,
            store=self.disk.store,
            followers=self.followers,
            listeners=self.listeners,
            waiting=self.waiting,
            events=self.events,
            clock=self.disk.clock,
        )

    def changed(self, follower=0):
        return [message.changes for message in self.followers[follower].take(Changed)]


@pytest.fixture
def world(disk):
    return World(disk)


def test_what_waits_shares_one_commit_and_every_done_is_called(world, disk):
    done = []
    batches = [Apply((disk.batch([2, 3], [n, -n]),), lambda n=n: done.append(n)) for n in range(1, 6)]
    for one in batches[1:]:
        world.actor.address.mailbox.put(Envelope(one))
    world.actor.receive(batches[0])
    assert done == [1, 2, 3, 4, 5]
    [changes] = world.changed()
    assert changes.records["value"].tolist() == [1, -1, 2, -2, 3, -3, 4, -4, 5, -5]
    assert world.changed(1)[0].first == changes.first
    assert world.actor.address.mailbox.empty()


def test_a_group_commit_has_an_end(world, disk):
    for n in range(DRAIN + 3):
        world.actor.address.mailbox.put(Envelope(Apply((disk.batch([2], [n]),))))
    world.actor.receive(world.actor.address.mailbox.get().message)
    assert world.actor.address.mailbox.qsize() == 2


def test_change_sets_reach_followers_and_listeners_without_a_gap(world, disk):
    heard = []
    head = world.actor.receive(FollowChanges(heard.append))
    for n in range(5):
        world.actor.receive(ApplyDerived(disk.batch([3], [n])))
    told = world.changed()
    assert [change.first for change in told] == [head + 1 + n for n in range(5)]
    assert heard == told
    world.actor.receive(UnfollowChanges(heard.append))
    world.actor.receive(UnfollowChanges(print))
    world.actor.receive(MarkQuality(np.array([3], np.uint32), set_bits=int(Quality.COMM_LOST)))
    assert len(heard) == 5
    assert world.changed()[0].records["quality"].tolist() == [int(Quality.COMM_LOST)]


def test_nothing_changed_is_not_published_but_done_is_called(world, disk):
    world.actor.receive(Apply((disk.batch([3], [7.0]),)))
    world.changed()
    done = []
    world.actor.receive(Apply((disk.batch([3], [7.0]),), lambda: done.append(1)))
    world.actor.receive(Tick())
    assert (done, world.changed()) == ([1], [])


def test_nobody_waits_for_a_reader_of_the_journal(world, disk):
    reader = Address("upstream", capacity=2)
    world.actor._readers = [reader]
    for n in range(4):
        world.actor.receive(ApplyDerived(disk.batch([3], [n])))
    assert len(world.changed()) == 4
    told = [reader.mailbox.get().message for _ in range(3)]
    assert [type(message) for message in told] == [FellBehind, Changed, Changed], "told once, and at once"
    world.actor.receive(ApplyDerived(disk.batch([3], [9.0])))
    assert reader.mailbox.get().message.changes.last == disk.store.head


def test_a_listener_that_fails_is_dropped_and_the_others_hear(world, disk):
    heard = []
    world.listeners[:] = [lambda _: 1 / 0, heard.append]
    for n in range(2):
        world.actor.receive(Apply((disk.batch([3], [n + 1.0]),)))
    assert len(heard) == 2
    assert len(world.listeners) == 1


def test_what_a_failing_life_took_is_committed_by_the_next(world, disk):
    """A batch that makes the actor fail costs itself alone: those before and behind it arrive, and no driver waits for ever."""
    done = []
    good = [Apply((disk.batch([3], [n]),), lambda n=n: done.append(n)) for n in (1.0, 2.0, 3.0)]
    poison = Apply((None,), lambda: done.append("poison"))
    for one in (poison, *good[1:]):
        world.actor.address.mailbox.put(Envelope(one))
    mailbox = world.actor.address.mailbox
    with pytest.raises(TypeError):
        world.actor.receive(good[0])
    assert done == []
    world.actor = world.life()
    world.actor._mailbox = mailbox
    world.actor.started()
    world.actor.receive(mailbox.get().message)
    assert done == [1.0, "poison", 2.0, 3.0]
    assert np.concatenate([change.records["value"] for change in world.changed()]).tolist() == [1.0, 2.0, 3.0]


def test_a_full_disk_is_told_once_and_its_end_too(world, disk, monkeypatch):
    whole = disk.store._file.write

    def refuse():
        raise StoreError("no space left to write", where="rtdb.lmdb", mend="free disk space")

    monkeypatch.setattr(disk.store._file, "write", refuse)
    for n in range(4):
        world.actor.receive(Apply((disk.batch([0], [n % 3]),)))
        disk.clock.advance(2)
    assert world.events.keys() == ["rtdb.fault"]
    assert "free disk space" in world.events.got[0].events[0].parameters["reason"]
    assert len(world.changed()) == 4, "values go on to everyone"
    monkeypatch.setattr(disk.store._file, "write", whole)
    world.actor.receive(Tick())
    world.actor.receive(Checkpoint())
    assert world.events.keys() == ["rtdb.fault", "rtdb.recovered"]
    disk.die()
    disk.open()
    assert disk.store.snapshot().value[0] == 0.0


def test_a_point_beyond_the_model_is_refused_and_told(world, disk):
    world.actor.receive(Apply((disk.batch([3, 99], [1.0, 2.0]),)))
    world.actor.receive(Tick())
    [report] = world.events.take(Report)
    assert [(event.key, event.parameters) for event in report.events] == [("rtdb.unknown_point", {"pid": "99"})]
    assert world.changed()[0].records["pid"].tolist() == [3]


def test_stop_commits_what_waits(world, disk):
    disk.store.apply(disk.batch([3], [5.0]))
    world.actor.stopped()
    assert world.changed()[0].records["value"].tolist() == [5.0]


def test_a_hold_is_committed_before_it_is_answered(world, disk):
    world.actor.receive(Apply((disk.batch([3], [1.0]),)))
    assert world.actor.receive(Hold(3, 5.0)) is True
    assert disk.store.journaled == disk.store.head == 2
    assert [change.records["value"].tolist() for change in world.changed()] == [[1.0], [5.0]]
    world.actor.receive(Apply((disk.batch([3], [2.0]),)))
    assert disk.store.snapshot().value[3] == 5.0
    assert world.actor.receive(Release(3)) is True
    assert disk.store.snapshot().value[3] == 2.0
    assert [len(change) for change in world.changed(1)] == [1, 1, 1, 1]


def test_what_cannot_be_held_is_answered_so(world):
    assert world.actor.receive(Hold(99, None)) is False
    assert world.actor.receive(Release(3)) is False
    with pytest.raises(StoreError, match="cannot stand for a value"):
        world.actor.receive(Hold(3, float("nan")))
    assert world.changed() == []


def test_a_server_whose_database_others_cannot_read_says_so(world, disk):
    world.actor.started()
    assert world.events.keys() == []
    disk.store._published._shared.fault = "no room for 5 MiB"
    world.actor.started()
    assert world.events.keys() == ["rtdb.not_shared"]


def test_stations_are_not_told_of_changes_that_a_faulty_journal_does_not_hold(world, disk, monkeypatch):
    told, faults = [], faulty(disk, monkeypatch)
    world.actor.receive(Apply((disk.batch([3], [7.0]),), lambda: told.append("changes"), durable=True))
    world.actor.receive(Apply((disk.batch([3], [8.0]),), lambda: told.append("analogs")))
    assert told == ["analogs"]
    disk.clock.advance(HOLD_S / 2)
    world.actor = world.life()
    world.actor.receive(Tick())
    assert told == ["analogs"]
    faults.clear()
    world.actor.receive(Tick())
    assert told == ["analogs", "changes"]


def faulty(disk, monkeypatch):
    """Let the journal fail until the returned list is empty."""
    faults = [StoreError("the disk is full")]
    monkeypatch.setattr(type(disk.store), "fault", property(lambda _store: faults[0] if faults else None))
    monkeypatch.setattr(type(disk.store), "commit", lambda _store: None)
    return faults


def test_a_lasting_fault_of_the_journal_does_not_silence_the_stations_and_is_told(world, disk, monkeypatch):
    told = []
    faulty(disk, monkeypatch)
    world.actor.receive(Apply((disk.batch([3], [7.0]),), lambda: told.append(1), durable=True))
    disk.clock.advance(HOLD_S - 1)
    world.actor.receive(Tick())
    assert told == []
    disk.clock.advance(1)
    world.actor.receive(Tick())
    world.actor.receive(Apply((disk.batch([3], [8.0]),), lambda: told.append(2), durable=True))
    assert told == [1, 2]
    keys = [event.key for report in world.events.take(Report) for event in report.events]
    assert keys.count("rtdb.unwritten_acknowledged") == 1
