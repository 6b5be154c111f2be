"""The file that other processes read: its layout, its life, and what stands in it when the writer dies at the worst moment."""

import errno
import gc
import os
import shutil

import numpy as np
import pytest

from scada.core.batch import POINT_DTYPE, PointBatch
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb import shared
from scada.rtdb.image import ROW_DTYPE
from scada.rtdb.reader import StoreReader
from scada.rtdb.shared import LINK, Slot
from scada.rtdb.store import Store

POINTS = 50
OLD = int(Quality.OLD_DATA)


@pytest.fixture
def clock():
    return VirtualClock(start_ns=1_000_000)


def make(path, clock, points=POINTS):
    return Store(path, points, clock, map_mb=16, journal_mb=1)


def put(store, pid, value, **more):
    store.apply(PointBatch.of(pid, value, received_at=store._clock.now_ns(), **more))
    store._clock.advance(0.001)
    return store.commit()


@pytest.fixture
def store(tmp_path, clock):
    store = make(tmp_path, clock)
    yield store
    store.close()


def test_the_layout_is_the_documented_one(store, tmp_path):
    put(store, 7, 2.5, source_time=11)
    raw = (tmp_path / LINK).read_bytes()
    header = np.frombuffer(raw, "<i8", 512)
    assert raw[:8] == b"SCADAIMG"
    assert header[[1, 3, 4, 16, 17, 18, 19]].tolist() == [1, POINTS, 4096, 1, 1, 1, 1]
    point = raw[4096 + 7 * 40 :][:40]
    assert np.frombuffer(point, "<f8", 1).tolist() == [2.5]
    assert np.frombuffer(point, "<i8", 3, 8).tolist() == [11, 1_000_000, 1]
    assert np.frombuffer(point, "<u4", 1, 32).tolist() == [0]
    ring = 4096 + POINTS * 40
    assert np.frombuffer(raw, POINT_DTYPE, 4096, ring)[1]["value"] == 2.5
    assert np.frombuffer(raw, "<i8", 4096, ring + 4096 * 32)[1] == 1_000_000
    assert np.frombuffer(raw, "<i8", 4096, ring + 4096 * 40)[1] == store._clock.now_ns()
    assert len(raw) == ring + 4096 * 48


@pytest.mark.parametrize("dtype", [ROW_DTYPE, POINT_DTYPE])
def test_no_column_can_be_read_torn(dtype):
    assert dtype.itemsize % 8 == 0
    for column, offset in dtype.fields.values():
        assert offset % column.itemsize == 0


def test_the_file_goes_with_the_writer(tmp_path, clock):
    store = make(tmp_path, clock)
    file = (tmp_path / LINK).readlink()
    assert file.parent == shared.MEMORY
    store.close()
    assert not file.exists()
    assert not (tmp_path / LINK).is_symlink()


def test_what_a_killed_writer_left_is_replaced(tmp_path, clock, monkeypatch):
    store = make(tmp_path, clock)
    put(store, 1, 1.0)
    left = (tmp_path / LINK).readlink()
    copy = left.read_bytes()
    orphan = left.with_name(left.name[:-4] + "beef")  # of a writer killed before it set the link
    store.close()
    left.write_bytes(copy)
    orphan.write_bytes(b"")
    (tmp_path / LINK).symlink_to(left)
    store = make(tmp_path, clock)
    assert not left.exists()
    assert not orphan.exists()
    assert (tmp_path / LINK).readlink().exists()
    store.close()


def test_what_is_left_of_a_database_that_is_gone_is_removed_by_the_next_one(tmp_path, clock):
    gone, other = tmp_path / "gone", tmp_path / "other"
    store = make(gone, clock)
    file = (gone / LINK).readlink()
    copy, killed = file.read_bytes(), file.with_name(file.name[:-4] + "dead")
    store.close()
    killed.write_bytes(copy)
    make(other, clock).close()
    assert killed.exists(), "its readers may still want the last state"
    shutil.rmtree(gone)
    make(other, clock).close()
    assert not killed.exists()


def test_the_file_of_a_living_writer_is_not_removed(tmp_path, clock):
    store = make(tmp_path, clock)
    with pytest.raises(StoreError, match="already has a writer"):
        make(tmp_path, clock)
    shared._remove_stale(tmp_path)
    assert (tmp_path / LINK).readlink().exists()
    store.close()


def test_a_forked_child_leaves_the_file_to_its_parent(store, tmp_path):
    file = (tmp_path / LINK).readlink()
    shared._forget(file, tmp_path / LINK, -1, os.getpid() + 1)
    assert file.exists()


def test_a_store_that_is_let_go_leaves_nothing(tmp_path, clock):
    store = make(tmp_path, clock)
    file = (tmp_path / LINK).readlink()
    store._file.close()
    del store
    gc.collect()
    assert not file.exists()


def no_room(monkeypatch, *places):
    """A file system without room at these places, by the device number of an open file."""
    full = {place.stat().st_dev for place in places}
    allocate = os.posix_fallocate

    def refuse(descriptor, offset, length):
        if os.fstat(descriptor).st_dev in full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        allocate(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", refuse)


def test_what_another_user_laid_in_our_way_does_not_hold_us_up(tmp_path, clock):
    pipe = shared.MEMORY / f"{shared._prefix(tmp_path)}pipe"  # opening it would wait for ever
    lure = shared.MEMORY / f"{shared._prefix(tmp_path)}lure"
    os.mkfifo(pipe)
    lure.symlink_to(tmp_path / "rtdb.lmdb")
    try:
        make(tmp_path, clock).close()
    finally:
        pipe.unlink()
        lure.unlink(missing_ok=True)


def test_without_room_in_memory_the_file_lies_beside_the_database(tmp_path, clock, monkeypatch):
    no_room(monkeypatch, shared.MEMORY)
    before = set(shared.MEMORY.iterdir())
    store = make(tmp_path, clock)
    put(store, 3, 4.0)
    file = (tmp_path / LINK).readlink()
    assert file.parent == tmp_path
    assert store.not_shared == ""
    reader = StoreReader(tmp_path)
    assert reader.snapshot().value[3] == 4.0
    reader.close()
    store.close()
    assert not file.exists()
    assert {path for path in set(shared.MEMORY.iterdir()) - before if path.name.startswith(shared._prefix(tmp_path))} == set()


def test_without_room_anywhere_the_server_goes_on_alone_and_says_so(tmp_path, clock, monkeypatch):
    no_room(monkeypatch, shared.MEMORY, tmp_path)
    store = make(tmp_path, clock)
    put(store, 3, 4.0)
    assert "No space left" in store.not_shared
    assert str(tmp_path) in store.not_shared
    assert store.snapshot().value[3] == 4.0
    with pytest.raises(StoreError, match=r"nobody serves this database.*start the server"):
        StoreReader(tmp_path)
    store.grow(POINTS + 5)
    put(store, POINTS + 1, 5.0)
    assert store.snapshot().value[[3, POINTS + 1]].tolist() == [4.0, 5.0]
    store.close()


@pytest.mark.parametrize(("mode", "readable"), [(0o700, 0o600), (0o750, 0o640), (0o755, 0o644)])
def test_who_may_read_the_folder_may_read_the_image(tmp_path, clock, mode, readable):
    folder = tmp_path / "db"
    folder.mkdir(mode=mode)
    old = os.umask(0o022)
    try:
        store = make(folder, clock)
        assert (folder / LINK).stat().st_mode & 0o777 == readable
        store.close()
    finally:
        os.umask(old)


def test_killed_between_the_ring_and_the_end_of_the_image(store, tmp_path):
    """The ring is written first; whatever part of the image was, a reader comes to the state after the commit."""
    put(store, [1, 2, 3], [1.0, 1.0, 1.0])
    last = put(store, [2, 3, 4], [2.0, 2.0, 2.0])
    reader = StoreReader(tmp_path)
    memory = store._published._shared._memory
    memory.header[Slot.FINISHED] = last.first - 1
    memory.rows["value"][[2, 4]] = 1.0, np.nan  # not written yet; 3 is
    memory.rows["quality"][4] = int(Quality.NEVER_RECEIVED)
    found = reader.snapshot()
    assert found.seq == last.last
    assert found.value[1:5].tolist() == [1.0, 2.0, 2.0, 2.0]
    assert found.quality[1:5].tolist() == [0, 0, 0, 0]
    assert reader.head == last.last
    assert [change.first for change in reader.changes(0)] == [1, 4]
    assert list(reader.changes(found.seq)) == [], "the number of a snapshot is never from the future"
    assert reader.snapshot(np.array([4, 2, 99, 4], dtype=np.uint32)).value[[0, 1, 3]].tolist() == [2.0, 2.0, 2.0]
    memory.header[Slot.FINISHED] = last.last
    reader.close()


def test_killed_before_the_commit_was_announced(store, tmp_path):
    """What is in the ring only does not count."""
    change = put(store, [1, 2], [1.0, 1.0])
    memory = store._published._shared._memory
    memory.ring.records[(change.last + 1) & 4095]["value"] = 9.0
    reader = StoreReader(tmp_path)
    assert reader.snapshot().seq == reader.head == change.last
    assert [len(one) for one in reader.changes(0)] == [2]
    reader.close()


def test_a_commit_longer_than_the_ring_leaves_its_end_there(tmp_path, clock):
    points = 10_000
    store = make(tmp_path, clock, points)
    reader = StoreReader(tmp_path)
    assert reader._at(Slot.RING) == 4096
    pids = np.arange(points, dtype=np.uint32)
    put(store, pids, pids.astype(float))
    assert reader._at(Slot.OLDEST) == points - 4095
    (tail,) = reader.changes(points - 100)
    assert tail.records["pid"].tolist() == pids[-100:].tolist()
    assert np.array_equal(reader.snapshot().value, pids)
    reader.close()
    store.close()


@pytest.mark.parametrize(
    ("points", "length"),
    [(1, 4096), (16_384, 4096), (16_388, 8192), (1_000_000, 262_144), (9_000_000, 262_144)],
)
def test_the_ring_grows_with_the_points_within_bounds(points, length):
    assert shared.ring_length(points) == length


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:100], lambda raw: b"\0" * len(raw), lambda raw: raw[:8] + b"\2" + raw[9:], lambda raw: raw[:-8]]
)
def test_a_file_that_is_none_of_ours_is_refused(tmp_path, clock, damage):
    store = make(tmp_path, clock)
    raw = (tmp_path / LINK).read_bytes()
    store.close()
    (tmp_path / LINK).write_bytes(damage(raw))
    with pytest.raises(StoreError, match=r"rtdb\.image: the shared image"):
        StoreReader(tmp_path)
