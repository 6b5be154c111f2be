"""Who still needs the journal: retention by size and hours of service, never past a consumer without telling it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.rtdb import consumers, retention
from scada.rtdb.changes import GapError
from scada.rtdb.consumers import Consumer, Registration
from scada.rtdb.store import Store

PIDS = np.arange(1000, dtype=np.uint32)
COMMIT_BYTES = 40 * 1000


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def store(tmp_path, clock):
    store = make(tmp_path, clock)
    yield store
    store._file.close()


def make(path, clock, hours=2.0):
    return Store(path, 1000, clock, map_mb=16, journal_mb=1, journal_hours=hours)


def put(store, commits=1, start=0.0):
    for value in range(commits):
        store.apply(PointBatch.of(PIDS, start + value, received_at=1))
        store.commit()
    store.checkpoint()


def size(store):
    with store._file.read() as txn:
        return txn.size("journal")


# ---------------------------------------------------------------- size


def test_without_consumers_the_size_is_the_limit(store):
    put(store, 100)
    assert (1 << 20) * 0.8 < size(store) <= 1 << 20
    assert store.oldest == next(store.changes(store.oldest - 1)).first > 1
    assert store.take_passed() == []


def test_a_slow_consumer_keeps_the_journal_beyond_its_size(store):
    store.register("slow", 0)
    put(store, 100)
    assert size(store) > 3 << 20
    assert len(list(store.changes(0))) == 100
    store.acknowledge("slow", 50_000)
    store.checkpoint()
    assert store.oldest == 50_001
    store.unregister("slow")
    store.checkpoint()
    assert size(store) <= 1 << 20
    assert store.consumers() == []


def test_the_map_has_the_last_word_and_the_consumer_is_told(store):
    store.register("slow", 0)
    store.register("slower", 0)
    store.acknowledge("slow", 1000)
    most, passed = 0, []
    for start in range(60):
        put(store, 5, start=100.0 * start)  # 12 MB in all
        passed += [consumer.name for consumer in store.take_passed()]
        most = most if passed else size(store)
    assert store.fault is None
    assert passed == ["slow", "slower"]
    assert most > 6 << 20, "they were passed when the map asked for it, no sooner"
    assert store.take_passed() == []
    assert all(consumer.passed(store.oldest) for consumer in store.consumers())
    with pytest.raises(GapError) as gap:
        list(store.changes(1000))
    assert gap.value.oldest == store.oldest
    assert size(store) <= 1 << 20, "nothing is kept for a consumer that lost its place anyhow"
    store.acknowledge("slow", store.head)  # it took a snapshot
    assert [consumer.passed(store.oldest) for consumer in store.consumers()] == [False, True]


@pytest.mark.parametrize("blob", [b"", b"short", bytes([255]) * 100], ids=["empty", "short", "length of 4 thousand million"])
def test_a_damaged_record_does_not_hold_up_the_trimming(store, blob):
    put(store, 5)
    with store._file.write() as txn:
        first = next(key for key, _ in txn.ascending("journal"))
        txn.put("journal", first, blob)
    store.register("slow", store.head)
    put(store, 100, start=50.0)
    store.acknowledge("slow", store.head)
    store.checkpoint()
    assert store.fault is None
    assert size(store) <= 1 << 20
    assert store.oldest > 5000


# ---------------------------------------------------------------- age


def test_what_is_old_goes_but_not_before_it_is_acknowledged(store, clock):
    store.register("slow", 0)
    put(store, 1)
    clock.advance(120)
    store.checkpoint()
    clock.advance(2.5 * 3600)
    put(store, 1, start=5.0)
    assert store.oldest == 1
    store.acknowledge("slow", store.head)
    store.checkpoint()
    assert store.oldest == 1001
    clock.advance(2.5 * 3600)
    store.checkpoint()
    assert store.oldest == store.head + 1, "the journal is empty"
    assert list(store.changes(store.head)) == []
    with pytest.raises(GapError):
        list(store.changes(store.head - 1))
    put(store, 1, start=9.0)
    assert store.oldest == 2001


def test_hours_of_service_count_over_restarts(tmp_path, clock):
    for life in range(4):
        store = make(tmp_path, clock)
        put(store, 1, start=life * 10.0)
        clock.advance(3600)
        store.close()
        clock.jump(30 * 86_400)  # a month in the cupboard is no service
    store = make(tmp_path, clock)
    first = next(store.changes(store.oldest - 1)).first
    assert 1 < store.oldest == first
    values = [change.records["value"][0] for change in store.changes(store.oldest - 1) if change.records["flags"][0] & 8]
    assert values == [20.0, 30.0]
    store.close()


@pytest.mark.parametrize("jump", [400 * 86_400.0, -400 * 86_400.0, -1.0, 3600.0, -3600.0])
def test_a_jump_of_the_wall_clock_breaks_neither_order_nor_retention(tmp_path, clock, jump):
    """A year by mistake, a leap second repeated, an hour as if the host ran on local time with DST."""
    store = make(tmp_path, clock)
    for number in range(8):
        put(store, 1, start=float(number))
        clock.advance(600)
        if number == 3:
            clock.jump(jump)
    assert store.oldest == 1, "80 minutes of service are less than two hours, whatever the wall clock says"
    stamps = [change.committed_at for change in store.changes(0)]
    assert [change.records["value"][0] for change in store.changes(0)] == list(range(8))
    assert (np.diff(stamps) < 0).any() == (jump < -600), "stamps say what the clock said"
    store._file.close()
    store = make(tmp_path, clock)
    assert store.snapshot().value[0] == 7.0
    clock.advance(7200)
    store.checkpoint()
    assert store.oldest > 8000
    store.close()


@given(steps=st.lists(st.tuples(st.integers(1, 50), st.floats(0, 4000)), max_size=60), keep=st.floats(1, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_age_of_a_number_is_never_overrated(steps, keep):
    clock = VirtualClock()
    ages, seq, reached_at = retention.Ages(clock, None), 0, {}
    for more, seconds in steps:
        seq += more
        reached_at[seq] = ages.service_s
        ages.mark(seq, keep)
        clock.advance(seconds)
        found = ages.reached(keep)
        assert all(ages.service_s - at >= keep * 0.999999 for number, at in reached_at.items() if number <= found)
        late = [number for number, at in reached_at.items() if ages.service_s - at > keep * (1 + 2 / 64) + 1]
        assert not late or found >= late[0], "and not forgotten either"
        ages = retention.Ages(clock, ages.encode())


# ---------------------------------------------------------------- files


def test_a_registration_outlives_the_database(tmp_path, clock):
    store = make(tmp_path, clock)
    store.register("history", 0)
    put(store, 100)
    store._file.close()  # killed
    store = make(tmp_path, clock)
    assert [(one.name, one.seq) for one in store.consumers()] == [("history", 0)]
    store.checkpoint()
    assert store.oldest == 1
    store.register("history", 99_000)
    store.checkpoint()
    assert store.oldest > 1
    store.close()


def test_a_consumer_of_another_process(store, tmp_path, clock):
    other = Registration(tmp_path, "gateway", 0, clock)
    put(store, 100)
    assert store.oldest == 1
    (seen,) = store.consumers()
    assert (seen.name, seen.seq, seen.process) == ("gateway", 0, os.getpid())
    other.acknowledge(60_000)
    assert other.seq == 60_000
    put(store, 1, start=1e6)
    assert store.oldest == 60_001
    other.withdraw()
    put(store, 1, start=2e6)
    assert store.consumers() == []
    assert store.oldest > 60_001


def test_an_unchanged_place_is_told_again_after_a_minute(tmp_path, clock):
    other = Registration(tmp_path, "gateway", 5, clock)
    begun = clock.now_ns()
    clock.advance(59)
    other.acknowledge(5)
    assert consumers.listed(tmp_path)[0][0].heard_at == begun
    clock.advance(2)
    other.acknowledge(5)
    (seen,), _ = consumers.listed(tmp_path)
    assert seen.heard_at == clock.now_ns()
    assert not seen.silent(clock.now_ns())
    assert seen.silent(clock.now_ns() + 25 * 3600 * 10**9)


def test_a_damaged_file_is_reported_and_keeps_nothing(store, tmp_path):
    folder = tmp_path / "consumers"
    folder.mkdir()
    for name, text in {
        "a": "",
        "b": "[]",
        "c": '{"seq": -1, "heard_at": 0, "process": 0}',
        "d": "\xff",
        "E": '{"seq": 1, "heard_at": 0, "process": 0}',
        "f": '{"seq": "1", "heard_at": 0, "process": 0}',
    }.items():
        (folder / name).write_text(text, encoding="latin-1")
    (folder / "g").mkdir()
    (folder / "h.new").write_text("half")
    found, damaged = consumers.listed(tmp_path)
    assert (found, damaged) == ([], ["E", "a", "b", "c", "d", "f", "g"])
    put(store, 100)
    assert size(store) <= 1 << 20
    assert consumers.remove(tmp_path, "E")
    assert not consumers.remove(tmp_path, "E")


@pytest.mark.parametrize("fault", ["file", "folder"])
def test_what_cannot_be_read_any_more_keeps_its_place(store, tmp_path, clock, fault, monkeypatch):
    Registration(tmp_path, "gateway", 0, clock)
    put(store, 1)
    store.checkpoint()
    if fault == "file":
        (tmp_path / "consumers" / "gateway").write_text("half")
    else:
        monkeypatch.setattr(Path, "iterdir", unreadable)
    put(store, 100)
    assert [consumer.name for consumer in store.consumers()] == ["gateway"]
    assert store.oldest == 1, "its part of the journal is kept"


def test_a_list_that_cannot_be_read_is_no_empty_list(tmp_path, clock, monkeypatch):
    Registration(tmp_path, "gateway", 0, clock)
    monkeypatch.setattr(Path, "iterdir", unreadable)
    with pytest.raises(StoreError, match=r"cannot be listed: Permission denied.*check owner"):
        make(tmp_path, clock)
    monkeypatch.undo()
    make(tmp_path, clock).close()


def unreadable(_folder):
    raise PermissionError(13, "Permission denied")


@pytest.mark.parametrize("name", ["", "A", "a b", "../x", ".", "a/b", "-a", "a" * 64, "a.new"])
def test_a_name_that_cannot_be_one(store, tmp_path, clock, name):
    for use in (lambda: store.register(name, 0), lambda: Registration(tmp_path, name, 0, clock)):
        with pytest.raises(StoreError, match=r"cannot be the name of a consumer.*use 1 to 63"):
            use()
    if "/" in name or name in {"", "."}:
        with pytest.raises(StoreError, match="cannot be the name"):
            consumers.remove(tmp_path, name)


@pytest.mark.parametrize("seq", [-1, 1 << 62, 1 << 64])
def test_a_number_that_cannot_be_one(store, seq):
    store.register("a", 0)
    for use in (lambda: store.register("b", seq), lambda: store.acknowledge("a", seq)):
        with pytest.raises(StoreError, match="is no sequence number"):
            use()


def test_who_is_not_registered_cannot_acknowledge(store):
    with pytest.raises(StoreError, match=r"no consumer 'x'.*register it first"):
        store.acknowledge("x", 1)


def test_a_place_that_cannot_be_kept_is_kept_in_memory_and_tried_again(store, tmp_path, clock, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    store.register("a", 0)
    monkeypatch.setattr(consumers, "sync_path", full)
    put(store, 100)
    assert store.fault is None
    assert store.oldest == 1
    with pytest.raises(StoreError, match=r"place of consumer b cannot be kept: No space.*check the disk"):
        Registration(tmp_path, "b", 0, clock)
    monkeypatch.undo()
    store.checkpoint()
    assert consumers.listed(tmp_path)[0][0].name == "a"


def test_the_file_is_replaced_at_once(tmp_path, clock):
    consumers.keep(tmp_path, Consumer("a", 1, 2, 3))
    path = tmp_path / "consumers" / "a"
    assert json.loads(path.read_text()) == {"seq": 1, "heard_at": 2, "process": 3}
    before = path.stat().st_ino
    consumers.keep(tmp_path, Consumer("a", 2, 2, 3))
    assert path.stat().st_ino != before
    assert [file.name for file in path.parent.iterdir()] == ["a"]
