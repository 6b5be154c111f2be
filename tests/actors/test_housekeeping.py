"""What the database's keeper tells of its file."""

import subprocess
import sys

import numpy as np
import pytest

from scada.actors.housekeeping import Housekeeping
from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.rtdb.store import Store

PIDS = np.arange(2000, dtype=np.uint32)
HOLDER = """
import sys, lmdb
env = lmdb.open(sys.argv[1], subdir=False, readonly=True, max_dbs=4, max_readers=512, map_size=0, lib_version=0)
with env.begin():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def store(tmp_path, clock):
    store = Store(tmp_path, 2000, clock, map_mb=16, journal_mb=1, journal_hours=1)
    yield store
    store._file.close()


def write(store, commits, start=0.0):
    for value in range(commits):
        store.apply(PointBatch.of(PIDS, start + value, received_at=1))
        store.commit()


def keys(events):
    return [event.key for event in events]


def test_nothing_new_is_nothing_told(store, clock):
    house = Housekeeping(store, clock)
    for _ in range(100):
        write(store, 1, start=clock.monotonic())
        clock.advance(1)
        assert house.look() == ()


def test_a_consumer_that_the_journal_went_on_without_is_told_once(store, clock):
    house = Housekeeping(store, clock)
    store.register("slow", 0)
    store.register("quick", 0)
    for value in range(200):  # 19 MB against a map of 16
        write(store, 1, start=float(value))
        store.acknowledge("quick", store.head)
    assert store.fault is None
    (event,) = (event for event in house.look() if event.key == "rtdb.consumer_passed")
    assert event.parameters == {"consumer": "slow", "first": "1", "last": str(store.oldest - 1)}
    assert "rtdb.consumer_passed" not in keys(house.look())


def test_a_silent_consumer_is_told_once_and_again_after_it_came_back(store, clock):
    house = Housekeeping(store, clock)
    store.register("quiet", 0)
    clock.advance(25 * 3600)
    (event,) = house.look()
    assert (event.key, event.parameters["consumer"]) == ("rtdb.consumer_silent", "quiet")
    clock.advance(61)
    assert house.look() == ()
    store.acknowledge("quiet", 0)
    clock.advance(61)
    assert house.look() == ()
    clock.advance(25 * 3600)
    assert keys(house.look()) == ["rtdb.consumer_silent"]


def test_a_consumer_whose_place_cannot_be_read_is_told_once(store, clock, tmp_path):
    house = Housekeeping(store, clock)
    (tmp_path / "consumers").mkdir()
    (tmp_path / "consumers" / "gateway").write_text("half")
    store.checkpoint()
    clock.advance(61)
    (event,) = house.look()
    assert (event.key, event.parameters) == ("rtdb.consumer_unreadable", {"consumer": "gateway"})
    clock.advance(61)
    assert house.look() == ()


def test_a_reader_that_holds_up_the_file_is_named_and_the_filling_map_told(store, clock, tmp_path):
    write(store, 1)
    house = Housekeeping(store, clock)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "rtdb.lmdb")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout.readline() == b"held\n"
        told = []
        for second in range(8):
            write(store, 2, start=10.0 * second + 100)
            clock.advance(1)
            told += house.look()
        (slow,) = (event for event in told if event.key == "rtdb.slow_reader")
        assert slow.parameters["process"].endswith(f" {holder.pid}")
        assert int(slow.parameters["seconds"]) >= 5
        assert int(slow.parameters["behind"]) > 0
        while "rtdb.map_filling" not in keys(told) and store.fault is None:
            write(store, 2, start=1000.0 + len(told))
            clock.advance(0.5)
            told += house.look()
        assert store.fault is None, "the alarm comes before the map is full"
        (filling,) = (event for event in told if event.key == "rtdb.map_filling")
        assert int(filling.parameters["percent"]) >= 80
        holder.kill()  # kill -9: its slot stays
        holder.wait()
    extent = store.watch.dead
    house.look()
    assert store.watch.dead == extent + 1
    told = []
    for second in range(100):
        write(store, 1, start=5000.0 + second)
        clock.advance(1)
        told += house.look()
    assert keys(told) == ["rtdb.map_eased"]


def test_an_upgraded_file_is_told(store, clock):
    store.upgraded_from = 1
    house = Housekeeping(store, clock)
    assert [(event.key, event.parameters) for event in house.look()] == [("rtdb.upgraded", {"layout": "1"})]
    assert house.look() == ()
