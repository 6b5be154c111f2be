"""Memory of change sets is used again only when nobody can see it any more."""

import random

import numpy as np
import pytest

from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.rtdb.lmdb_file import StoreFullError
from scada.rtdb.pending import _KEPT
from scada.rtdb.store import Store

POINTS = 5000
PIDS = np.arange(POINTS, dtype=np.uint32)
WAYS = {
    "its records": lambda change: change.records,
    "its times": lambda change: change.received_at,
    "one column": lambda change: change.records["value"],
    "part of it": lambda change: change.records[100:200],
    "a view of a view": lambda change: change.records[1:].view(np.uint8)[32:],
    "a memory view": lambda change: memoryview(change.received_at),
}


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path, POINTS, VirtualClock(), map_mb=64, journal_mb=4)
    yield store
    store._file.close()


def put(store, value, count=POINTS):
    store.apply(PointBatch.of(PIDS[:count], value, received_at=int(value)))
    return store.commit()


def place(change):
    return change.records.__array_interface__["data"][0]


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_held_in_any_way_stays_as_it_was(store, way):
    held = way(put(store, 1.0))
    before = np.array(held).tobytes()
    for value in range(2, 9):
        put(store, float(value))
    assert np.array(held).tobytes() == before


def test_an_iterator_holds_too(store):
    held = iter(put(store, 1.0).records)
    for value in range(2, 9):
        put(store, float(value))
    assert {float(row["value"]) for row in held} == {1.0}


def test_what_nobody_holds_is_used_again(store):
    places = {place(put(store, float(value))) for value in range(10)}
    assert len(places) <= 2


def test_followers_that_come_and_go_see_what_was_told(store):
    draw, held = random.Random(7), []
    for value in range(1, 300):
        count = draw.choice([10, 1500, 3000, POINTS])
        held.append((put(store, float(value), count), value, count))
        draw.shuffle(held)
        del held[draw.randrange(0, 12) :]
        for change, told, length in held:
            assert len(change) == length
            assert (change.records["value"] == told).all()
            assert (change.received_at == told).all()
    assert sum(len(room.records) for room in store._pending._memory._rooms) <= _KEPT


def test_a_full_disk_keeps_what_waits_for_the_journal(store, monkeypatch):
    def refuse():
        raise StoreFullError("no space left")

    monkeypatch.setattr(store._file, "write", refuse)
    for value in range(1, 6):
        put(store, float(value))
    assert store.fault is not None
    monkeypatch.undo()
    store._clock.advance(2)
    put(store, 6.0)
    assert [set(change.records["value"].tolist()) for change in store.changes(0)] == [{float(value)} for value in range(1, 7)]
