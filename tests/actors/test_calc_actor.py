"""Totals over crashes, stops, set clocks and journals that end: what was measured is counted once, what was not is said."""

import random

import numpy as np
import pytest
from actors.harness import Box, Disk, S, make, point

from scada.actors.calc import CalcActor
from scada.actors.calc_keeper import CONSUMER, CalcKeeper
from scada.actors.mailbox import Envelope
from scada.actors.messages import ApplyDerived, Changed, Tick
from scada.apps.calc.state import CalcFile
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.model_cim.tables import ModelTables, PointKind

MIDNIGHT = 1_700_006_400 * S
POINTS = [
    point(0),
    point(1, PointKind.COUNTER),
    point(2, expression='total("S/0", s, day)'),
    point(3, expression='counter("S/1", 10000, day)'),
    point(4, expression='"S/2" + "S/3"'),
    point(5, expression='bad_s("S/0", day)'),
]
TABLES = ModelTables("v", "totals", POINTS, [], [], [], [], [])
CALC = int(Quality.CALCULATED)
DOUBT = CALC | int(Quality.QUESTIONABLE)


class Plant:
    """A server with totals that can be killed, stopped and started."""

    def __init__(self, folder, journal_mb=1):
        self.disk = Disk(folder, POINTS, VirtualClock(MIDNIGHT), journal_mb)
        self.clock, self.events = self.disk.clock, Box()
        self.start()

    def start(self):
        self.file = CalcFile(self.disk.folder / "rtdb", map_mb=16)
        self.keeper = CalcKeeper(self.file, self.disk.store)
        self.live()

    def live(self):
        """One life of the actor."""
        self.rtdb = Box()
        self.actor = make(
            CalcActor,
            tables=TABLES,
            snapshot=self.disk.store.snapshot,
            rtdb=self.rtdb,
            events=self.events,
            clock=self.clock,
            keeper=self.keeper,
        )
        self.actor.started()
        self.feed_back()

    def feed_back(self):
        """The database takes the results and tells the actor."""
        while derived := self.rtdb.take(ApplyDerived):
            for one in derived:
                self.disk.store.apply(one.batch)
            change = self.disk.store.commit()
            if change is not None:
                self.actor.receive(Changed(change))

    def send(self, power, reading, **more):
        self.actor.receive(Changed(self.disk.put([0, 1], [power, reading], **more)))
        self.feed_back()

    def wait(self, seconds):
        for _ in range(seconds):
            self.clock.advance(1)
            self.actor.receive(Tick())
            self.feed_back()

    def crash(self):
        self.file._file.close()
        self.disk.die()

    def stop(self):
        self.actor.stopped()
        self.feed_back()
        self.file.close()
        self.disk.close()

    def shown(self, pid):
        snapshot = self.disk.store.snapshot(np.array([pid], dtype=np.uint32))
        return float(snapshot.value[0]), int(snapshot.quality[0])


@pytest.fixture
def plant(tmp_path):
    plant = Plant(tmp_path)
    yield plant
    plant.stop()


def test_a_total_moves_with_time_alone_and_carries_the_time_it_is_of(plant):
    plant.send(2.0, 100.0)
    plant.wait(5)
    assert plant.shown(2) == (pytest.approx(10.0), CALC)
    row = plant.disk.store.snapshot(np.array([2], dtype=np.uint32))
    assert row.source_time[0] == plant.clock.now_ns()


def test_the_result_of_a_change_has_the_time_of_the_newest_input(tmp_path):
    points = [point(0), point(1), point(2, expression='"S/0" + "S/1"'), point(3, expression='age_s("S/0")')]
    disk, rtdb = Disk(tmp_path, points, VirtualClock(MIDNIGHT)), Box()
    tables = ModelTables("v", "times", points, [], [], [], [], [])
    actor = make(CalcActor, tables=tables, snapshot=disk.store.snapshot, rtdb=rtdb, events=Box(), clock=disk.clock)
    actor.started()
    now = disk.clock.now_ns()
    actor.receive(Changed(disk.put([0, 1], [1.0, 2.0], source_time=[now - 3 * S, now - 5 * S])))
    [row] = [r for one in rtdb.take(ApplyDerived) for r in one.batch.records if r["pid"] == 2 and r["value"] == 3.0]
    assert row["source_time"] == now - 3 * S
    actor.receive(Changed(disk.put([1], [9.0], source_time=now + 60 * S)))
    [row] = [r for one in rtdb.take(ApplyDerived) for r in one.batch.records if r["pid"] == 2]
    assert row["source_time"] == now, "a source whose clock is ahead does not date us into the future"
    disk.clock.advance(4)
    actor.receive(Tick())
    [row] = [r for one in rtdb.take(ApplyDerived) for r in one.batch.records]
    assert (row["pid"], row["value"]) == (3, 7.0)
    disk.close()


@pytest.mark.parametrize("seed", range(6))
def test_kill_at_any_moment_neither_loses_nor_doubles(tmp_path, seed):
    """Power 3.0 all the time it is known; the counter grows with it. What a crash hides is counted as missing."""
    chance = random.Random(seed)
    plant = Plant(tmp_path)
    began = plant.clock.now_ns()
    reading = 0.0
    plant.send(3.0, reading)
    for _ in range(chance.randint(3, 6)):
        for _ in range(chance.randint(1, 25)):
            plant.wait(1)
            if chance.random() < 0.7:
                reading += 3.0
                plant.send(3.0, reading)
        plant.crash()
        plant.clock.advance(chance.randint(0, 50))
        plant.disk.open()
        plant.start()
        plant.send(3.0, reading)
    plant.wait(3)
    total, counted, lost = plant.shown(2), plant.shown(3), plant.shown(5)
    spent = (plant.clock.now_ns() - began) / S
    assert total[1] == DOUBT
    assert counted == (pytest.approx(reading), CALC), "a meter needs nobody to watch it"
    assert total[0] / 3.0 + lost[0] == pytest.approx(spent), "every second is either integrated or counted as missing"
    plant.stop()


def test_an_ordered_stop_loses_only_the_time_it_was_down(plant):
    plant.send(2.0, 0.0)
    plant.wait(37)
    plant.stop()
    plant.clock.advance(600)
    plant.disk.open()
    plant.start()
    plant.send(2.0, 0.0)
    plant.wait(3)
    assert plant.shown(2) == (pytest.approx(80.0), DOUBT)
    assert plant.shown(5)[0] == pytest.approx(600.0)


def test_a_new_life_of_the_actor_alone_misses_nothing(plant):
    plant.send(2.0, 0.0)
    plant.wait(17)
    plant.live()
    plant.wait(3)
    assert plant.shown(2) == (pytest.approx(40.0), CALC)


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 5.0, -5.0])
def test_a_set_clock_adds_nothing_even_over_a_crash(plant, jump):
    plant.send(2.0, 0.0)
    plant.wait(13)
    plant.clock.jump(jump)
    plant.send(2.0, 1.0)
    plant.wait(7)
    assert plant.shown(2)[0] == pytest.approx(40.0)
    plant.crash()
    plant.disk.open()
    plant.start()
    plant.send(2.0, 1.0)
    plant.wait(5)
    assert plant.shown(2)[0] == pytest.approx(50.0, abs=2.0)
    assert plant.shown(2)[0] <= 50.0 + 1e-6


def test_a_frozen_process_did_not_watch(plant):
    plant.send(2.0, 0.0)
    plant.wait(10)
    plant.clock.advance(300)
    plant.actor.receive(Tick())
    plant.feed_back()
    assert plant.shown(2) == (pytest.approx(20.0), DOUBT)
    assert plant.shown(5)[0] == pytest.approx(300.0)


def test_a_journal_that_does_not_reach_back_is_said_and_the_time_is_missing(plant, monkeypatch):
    from scada.rtdb.changes import GapError

    plant.send(2.0, 0.0)
    plant.wait(15)
    plant.crash()
    plant.disk.open()

    def gap(after, limit=None):
        raise GapError(after + 1, after + 500)
        yield

    monkeypatch.setattr(plant.disk.store, "changes", gap)
    plant.start()
    plant.send(2.0, 0.0)
    assert plant.events.keys() == ["calc.gap"]
    value, quality = plant.shown(2)
    assert value <= 30.0
    assert quality == DOUBT
    assert value / 2.0 + plant.shown(5)[0] == pytest.approx(15.0)


def test_what_is_kept_is_acknowledged_so_that_the_journal_may_go(plant):
    plant.send(2.0, 0.0)
    plant.wait(25)
    [ours] = [one for one in plant.disk.store.consumers() if one.name == CONSUMER]
    assert 0 <= plant.disk.store.head - ours.seq < 40


def test_a_disk_that_refuses_is_told_once(plant, monkeypatch):
    plant.send(2.0, 0.0)

    def refuse(_state):
        raise StoreError("no space left to write", where="calc.lmdb", mend="free disk space")

    whole = plant.file.save
    monkeypatch.setattr(plant.file, "save", refuse)
    plant.wait(35)
    assert plant.events.keys() == ["calc.fault"]
    monkeypatch.setattr(plant.file, "save", whole)
    plant.wait(11)
    assert plant.events.keys() == ["calc.fault", "calc.recovered"]


def test_a_damaged_file_is_moved_aside_and_totals_begin_anew(tmp_path):
    plant = Plant(tmp_path)
    plant.send(2.0, 0.0)
    plant.wait(15)
    plant.stop()
    path = tmp_path / "rtdb" / "calc.lmdb"
    blob = bytearray(path.read_bytes())
    at = blob.rindex(b"wall_ns")
    blob[at] ^= 0x55
    path.write_bytes(bytes(blob))
    file, said = CalcFile.open_or_quarantine(tmp_path / "rtdb", plant.clock, map_mb=16)
    assert "begin anew" in said
    assert file.load() is None
    assert list((tmp_path / "rtdb").glob("calc.lmdb.corrupt-*"))
    file.close()


def test_change_sets_that_wait_get_their_own_time_though_a_beat_overtakes_them(plant):
    """Power 1.0 for 10 s, then 3.0; the actor is busy and sees both late."""
    plant.send(1.0, 0.0)
    plant.clock.advance(10)
    change = plant.disk.put([0], [3.0])
    plant.clock.advance(5)
    plant.actor._mailbox.put(Envelope(Changed(change)))
    plant.actor.receive(Tick())  # overtakes; must not hold 1.0 for 15 s
    plant.actor.receive(plant.actor._mailbox.get().message)
    plant.feed_back()
    plant.wait(1)
    assert plant.shown(2)[0] == pytest.approx(10 * 1.0 + 6 * 3.0)


def test_totals_move_under_steady_load_in_which_a_beat_never_finds_the_mailbox_empty(plant):
    plant.send(2.0, 0.0)
    for n in range(30):
        plant.clock.advance(0.5)
        plant.send(2.0, float(n + 1))
    assert plant.shown(2)[0] == pytest.approx(30.0, abs=2.0)
