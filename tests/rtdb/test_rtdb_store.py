"""The store: what becomes a change, what a reader sees, who may call when."""

import threading

import numpy as np
import pytest

from scada.core.batch import NO_PID, PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.rtdb import kernels
from scada.rtdb.changes import GapError
from scada.rtdb.store import Store

NEVER = int(Quality.NEVER_RECEIVED)
OLD = int(Quality.OLD_DATA)


@pytest.fixture
def clock():
    return VirtualClock(start_ns=1_000_000)


def make(path, clock, capacity=8, **more):
    return Store(path, capacity, clock, map_mb=16, journal_mb=1, **more)


@pytest.fixture
def store(tmp_path, clock):
    store = make(tmp_path, clock, event_pids=np.array([False, True]))
    yield store
    store._file.close()


def put(store, pid, value, **more):
    store.apply(PointBatch.of(pid, value, received_at=store._clock.now_ns(), **more))
    return store.commit()


def test_a_fresh_store_knows_nothing(store):
    snapshot = store.snapshot()
    assert (snapshot.seq, len(snapshot)) == (0, 8)
    assert np.isnan(snapshot.value).all()
    assert (snapshot.quality == NEVER).all()
    assert store.commit() is None
    assert list(store.changes(0)) == []


def test_what_is_applied_is_seen_at_the_commit(store, clock):
    assert store.apply(PointBatch.of([2, 3], [1.5, 2.5], received_at=7, source_time=[5, 0])) == 2
    assert store.snapshot().seq == 0
    change = store.commit()
    assert (change.first, change.last, change.committed_at) == (1, 2, clock.now_ns())
    assert change.received_at.tolist() == [7, 7]
    assert not change.records.flags.writeable
    snapshot = store.snapshot(np.array([3, 2], dtype=np.uint32))
    assert snapshot.seq == store.head == 2
    assert snapshot.value.tolist() == [2.5, 1.5]
    assert snapshot.source_time.tolist() == [0, 5]
    assert snapshot.received_at.tolist() == [7, 7]


def test_every_status_change_of_one_batch_is_kept_in_order(store):
    store.apply(PointBatch.of([1, 1, 1, 1], [0, 1, 0, 1], received_at=1))
    change = store.commit()
    assert change.records["value"].tolist() == [0, 1, 0, 1]
    changed = RecordFlag.VALUE_CHANGED | RecordFlag.EVENT
    assert change.records["flags"].tolist() == [changed | RecordFlag.FIRST, changed, changed, changed]


def test_flags_that_only_the_store_sets_are_ignored_on_the_way_in(store):
    put(store, 0, 1.0)
    change = put(store, 0, 1.0, quality=int(Quality.BLOCKED), flags=0xFF ^ RecordFlag.BACKFILL)
    assert change.records["flags"].tolist() == [RecordFlag.EVENT | RecordFlag.REFRESH]


def test_a_confirmed_value_moves_its_times_but_makes_no_change(store, clock):
    put(store, 0, 1.0, source_time=5)
    clock.advance(1)
    assert put(store, 0, 1.0, flags=RecordFlag.REFRESH) is None
    snapshot = store.snapshot()
    assert snapshot.source_time[0] == 5, "a confirmation without time leaves the source's time"
    assert snapshot.received_at[0] == clock.now_ns()
    assert put(store, 0, 1.0, source_time=6) is None
    assert store.snapshot().source_time[0] == 6


def test_a_touch_and_a_change_in_one_commit_end_with_the_later_one(store):
    put(store, [0, 1], [1.0, 1.0], source_time=5)
    put(store, [0, 0, 1, 1], [1.0, 2.0, 2.0, 2.0], source_time=[6, 7, 6, 7])
    assert store.snapshot().source_time[:2].tolist() == [7, 7]


def test_an_event_with_a_new_time_is_a_change_a_repeated_one_is_not(store):
    put(store, 1, 1.0, source_time=5, flags=RecordFlag.EVENT)
    assert put(store, 1, 1.0, source_time=5, flags=RecordFlag.EVENT) is None
    again = put(store, 1, 1.0, source_time=9, flags=RecordFlag.EVENT)
    assert again.records["flags"].tolist() == [RecordFlag.EVENT]
    assert put(store, 1, 1.0, flags=RecordFlag.EVENT) is None, "no time, nothing new"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_invalid(store, value):
    change = put(store, 0, value)
    assert change.records["quality"].tolist() == [int(Quality.INVALID)]
    assert put(store, 0, value) is None


def test_an_invalid_source_time_is_marked(store):
    batch = PointBatch.of(0, 1.0, received_at=1, source_time=5)
    batch.records["time_quality"] = 1
    store.apply(batch)
    assert store.commit().records["quality"].tolist() == [int(Quality.TIME_INVALID)]


def test_unknown_pids_are_counted_and_never_written(store):
    assert store.apply(PointBatch.of([8, 0, NO_PID], [1.0, 2.0, 3.0], received_at=1)) == 1
    assert store.set_quality(np.array([99], dtype=np.uint32), set_bits=1) == 0
    assert (store.unknown, store.unknown_pid) == (3, 99)
    store.commit()
    assert store.snapshot(np.array([0, 8], dtype=np.uint32)).quality.tolist() == [0, NEVER]


def test_a_read_only_batch_is_taken(store):
    batch = PointBatch.of(0, 1.0, received_at=1)
    frozen = np.frombuffer(batch.records.tobytes(), batch.records.dtype)
    assert store.apply(PointBatch(frozen, 1)) == 1


def test_quality_of_a_lost_channel(store, clock):
    put(store, [0, 1], [1.0, 1.0], source_time=5)
    before = store.snapshot()
    clock.advance(1)
    lost = int(Quality.COMM_LOST)
    assert store.set_quality(np.array([0, 1, 2], dtype=np.uint32), set_bits=lost) == 3
    change = store.commit()
    assert change.records["flags"].tolist() == [RecordFlag.QUALITY_SET] * 3
    assert change.records["value"][:2].tolist() == [1.0, 1.0]
    assert change.received_at.tolist() == [clock.now_ns()] * 3
    after = store.snapshot()
    assert after.quality[:4].tolist() == [lost, lost, lost | NEVER, NEVER]
    assert after.received_at[0] == before.received_at[0], "the value was not received again"
    assert store.set_quality(np.array([0], dtype=np.uint32), set_bits=lost) == 0
    assert store.set_quality(np.array([0], dtype=np.uint32), clear_bits=lost, received_at=3) == 1


def test_restart_marks_what_was_received_before(tmp_path, clock):
    store = make(tmp_path, clock)
    put(store, [0, 1], [1.0, 2.0], quality=[0, int(Quality.MANUAL)], source_time=5)
    store.close()
    store.close()
    store = make(tmp_path, clock)
    snapshot = store.snapshot()
    assert snapshot.quality[:3].tolist() == [OLD, int(Quality.MANUAL), NEVER]
    assert (snapshot.value[0], snapshot.source_time[0]) == (1.0, 5)
    (mark,) = store.changes(2)
    assert mark.records["flags"].tolist() == [RecordFlag.QUALITY_SET]
    assert put(store, 0, 1.0, flags=RecordFlag.REFRESH).records["flags"].tolist() == [RecordFlag.REFRESH]
    store.close()


def test_growth_keeps_values_and_a_smaller_model_keeps_the_points(tmp_path, clock):
    store = make(tmp_path, clock)
    put(store, 7, 1.0)
    store.grow(3000)
    put(store, 2999, 2.0)
    store._file.close()  # killed before a checkpoint knew of the growth
    store = make(tmp_path, clock, capacity=4)
    assert store.capacity == 3000
    assert store.snapshot(np.array([7, 2999], dtype=np.uint32)).value.tolist() == [1.0, 2.0]
    store.close()


def test_a_pid_that_now_names_another_point_does_not_inherit_its_value(tmp_path, clock):
    mrids = np.array([11, 12, 13], dtype=np.uint64)
    store = make(tmp_path, clock, identity=mrids, event_pids=np.ones(3, dtype=np.bool_))
    put(store, [0, 1, 2], [1.0, 2.0, 3.0])
    store.close()
    store = make(tmp_path, clock, identity=np.array([11, 99, 13, 14], dtype=np.uint64))
    snapshot = store.snapshot()
    assert snapshot.quality[:3].tolist() == [OLD, NEVER, OLD]
    assert np.isnan(snapshot.value[1])
    (change,) = store.changes(3)
    assert change.records["flags"][0] & RecordFlag.VALUE_CHANGED == 0
    store.close()


def test_readers_see_whole_commits_only_while_the_writer_goes_on(tmp_path, clock):
    store = make(tmp_path, clock, capacity=5000)
    pids = np.arange(5000, dtype=np.uint32)
    seen, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            snapshot = store.snapshot()
            seen.append((snapshot.seq, set(snapshot.value.tolist()) if snapshot.seq else {float(snapshot.seq)}))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for value in range(1, 60):
            store.apply(PointBatch.of(pids[:2500], float(value), received_at=1))
            store.apply(PointBatch.of(pids[2500:], float(value), received_at=1))
            store.commit()
    finally:
        stop.set()
        reader.join()
    assert seen
    assert all(values == {seq / 5000} for seq, values in seen)
    assert [seq for seq, _ in seen] == sorted(seq for seq, _ in seen)
    store.close()


def test_a_reader_that_holds_the_image_does_not_stop_the_writer(store):
    with store._published._lock:
        assert put(store, 0, 1.0) is not None
        assert store.head == 1
    assert store.snapshot().seq == 1


def test_followers_are_told_when_the_journal_was_trimmed(tmp_path, clock):
    store = make(tmp_path, clock, capacity=4000)
    pids = np.arange(4000, dtype=np.uint32)
    for value in range(20):  # 160 kB a commit, 1 MiB kept
        put(store, pids, float(value))
        store.checkpoint()
    with pytest.raises(GapError) as gap:
        next(store.changes(0))
    assert gap.value.asked == 1
    oldest = gap.value.oldest
    assert 20 * 4000 - oldest > 4 * 4000
    (first, *_) = store.changes(oldest - 1)
    assert first.first == oldest
    store._file.close()
    store = make(tmp_path, clock, capacity=4000)
    assert (store.snapshot().value == 19.0).all()
    store.close()


def test_a_journal_without_checkpoints_stays_bounded(tmp_path, clock):
    store = make(tmp_path, clock, capacity=4000)
    pids = np.arange(4000, dtype=np.uint32)
    for value in range(200):  # 32 MB through a map of 16 MiB
        put(store, pids, float(value))
        assert store.fault is None
    assert store.snapshot().value[0] == 199.0
    store.close()


def test_warm_up_compiles_what_the_store_calls():
    kernels.warm_up()
    assert len(kernels.apply_records.signatures) >= 2
