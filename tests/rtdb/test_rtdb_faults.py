"""Bad files and full disks: a clear error or a told fault, never a traceback, never an invented value."""

import os
import resource
import shutil

import numpy as np
import pytest

from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb import consumers, lmdb_file
from scada.rtdb import store as store_module
from scada.rtdb.changes import GapError
from scada.rtdb.consumers import Consumer
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, StoreInUseError
from scada.rtdb.store import Store

CLOCK = VirtualClock()
PIDS = np.arange(2000, dtype=np.uint32)


def make(path, **more):
    return Store(path, 2000, CLOCK, map_mb=16, journal_mb=1, **more)


def put(store, value):
    store.apply(PointBatch.of(PIDS, value, received_at=1))
    return store.commit()


def filled(path, commits=5):
    store = make(path)
    for value in range(commits):
        put(store, float(value))
    store._file.close()
    return path / "rtdb.lmdb"


def test_a_second_writer_is_refused(tmp_path):
    store = make(tmp_path)
    with pytest.raises(StoreInUseError, match=r"rtdb.*already has a writer.*stop the other server"):
        make(tmp_path)
    put(store, 1.0)
    store.close()
    make(tmp_path).close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"\0" * len(data),
        lambda data: b"no database at all" * 1000,
        lambda data: data[: len(data) // 3],
        lambda data: data[:3000],
        lambda data: data[:8192] + b"\x5a" * (len(data) - 8192),
    ],
    ids=["zeroes", "text", "truncated", "short", "overwritten"],
)
def test_a_damaged_file_is_refused_or_moved_aside(tmp_path, damage):
    path = filled(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptFileError) as error:
        make(tmp_path)
    assert str(path) in str(error.value)
    assert "move it away" in str(error.value)
    store, reason = Store.open_or_quarantine(tmp_path, 2000, CLOCK, map_mb=16, journal_mb=1)
    (aside,) = tmp_path.glob("rtdb.lmdb.corrupt-*")
    assert aside.name in reason
    assert (store.snapshot().quality == int(Quality.NEVER_RECEIVED)).all()
    with pytest.raises(GapError):  # no number of before is used again
        list(store.changes(5 * 2000))
    assert put(store, 1.0).first > 1_000_000_000
    store._file.close()
    store, reason = Store.open_or_quarantine(tmp_path, 2000, CLOCK, map_mb=16, journal_mb=1)
    assert reason == ""
    assert store.snapshot().value[0] == 1.0
    store.close()


def test_with_a_clock_in_the_past_no_number_is_used_again_either(tmp_path):
    path = filled(tmp_path)
    consumers.keep(tmp_path, Consumer("gateway", 10**15, 0, 1))
    path.write_bytes(b"no database")
    dead_battery = VirtualClock(start_ns=86_400 * 10**9)
    store, _ = Store.open_or_quarantine(tmp_path, 2000, dead_battery, map_mb=16, journal_mb=1)
    assert put(store, 1.0).first > 10**15
    assert [consumer.name for consumer in store.take_passed()] == ["gateway"]
    store.close()


def test_a_flipped_bit_in_a_stored_value_is_found(tmp_path):
    path = filled(tmp_path)
    data = bytearray(path.read_bytes())
    place = data.find(np.float64(4.0).tobytes(), 8192)
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="checksum"):
        make(tmp_path)


def test_a_damaged_change_before_the_checkpoint_is_a_gap_for_followers(tmp_path):
    store = make(tmp_path)
    for value in (1.0, 2.0, 3.0):
        put(store, value)
    store.close()
    path = tmp_path / "rtdb.lmdb"
    data = bytearray(path.read_bytes())
    data[data.find(np.float64(2.0).tobytes(), 8192)] ^= 1
    path.write_bytes(data)
    store = make(tmp_path)
    assert store.snapshot().value[0] == 3.0
    followed = store.changes(0)
    with pytest.raises(GapError) as gap:
        list(followed)
    assert gap.value.oldest == store.head + 1
    assert next(store.changes(4000)).records["value"][0] == 3.0
    store.close()


def test_an_empty_file_is_a_fresh_database(tmp_path):
    (tmp_path / "rtdb.lmdb").touch()
    make(tmp_path).close()


def test_another_layout_is_refused_and_left_alone(tmp_path, monkeypatch):
    filled(tmp_path)
    monkeypatch.setattr(store_module, "LAYOUT", 9)
    with pytest.raises(StoreError, match=r"layout 2, this program reads layout 9") as error:
        Store.open_or_quarantine(tmp_path, 2000, CLOCK, map_mb=16, journal_mb=1)
    assert not isinstance(error.value, CorruptFileError)


def test_a_map_too_small_is_refused_with_the_needed_size(tmp_path):
    with pytest.raises(StoreError, match=r"map_mb = 16 is too small.*set map_mb to \d+"):
        Store(tmp_path, 2000, CLOCK, map_mb=16, journal_mb=16)


def test_a_path_that_is_a_file(tmp_path):
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(StoreError, match="file"):
        make(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot be written"):
        make(tmp_path / "db")


def test_errors_of_the_disk_are_named(tmp_path):
    file = LmdbFile(tmp_path, "x", layout=1, map_mb=16, databases=("a",))
    assert "cannot be written" in str(file.explain(OSError(30, "read-only")))
    assert "cannot use the file" in str(file.explain(OSError(5, "I/O error")))
    file.close()
    file.close()


def test_a_full_map_delays_the_journal_and_nothing_else(tmp_path):
    store = make(tmp_path)
    values = iter(range(10_000))
    with store._file.read():  # a reader that pins every page, so that the map fills up
        while store.fault is None:
            assert put(store, float(next(values))) is not None
        assert "map of 16 MiB is full" in str(store.fault)
        put(store, float(next(values)))
        assert store.journaled < store.head == store.snapshot().seq
        following = list(store.changes(store.journaled - 2000))
        assert following[0].first == store.journaled - 1999
        assert following[-1].last == store.head
        assert store.lost == 0
    last = next(values)
    put(store, float(last))
    assert store.fault is not None, "a full disk is not asked again at every tick"
    CLOCK.advance(1)
    store.commit()
    assert store.fault is None
    assert store.journaled == store.head
    store._file.close()
    store = make(tmp_path)
    assert (store.snapshot().value == float(last)).all()
    store.close()


@pytest.fixture
def full_disk():
    """Let files grow no further until called with None."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if size is None else size, hard))

    yield limit
    limit(None)


def test_a_full_disk_is_told_once_and_retried(tmp_path, full_disk):
    store = make(tmp_path)
    put(store, 0.0)
    full_disk((tmp_path / "rtdb.lmdb").stat().st_size)
    for value in range(1, 9):
        put(store, float(value))
    assert "no space left" in str(store.fault)
    assert store.snapshot().value[0] == 8.0
    assert [change.records["value"][0] for change in store.changes(0)] == [float(value) for value in range(9)]
    full_disk(None)
    CLOCK.advance(1)
    store.commit()
    assert store.fault is None
    store._file.close()
    store = make(tmp_path)
    assert store.snapshot().value[0] == 8.0
    assert len(list(store.changes(0))) == 10
    store.close()


def test_a_disk_full_for_long_gives_up_the_oldest_changes_and_says_so(tmp_path, full_disk):
    store = make(tmp_path)
    put(store, 0.0)
    full_disk((tmp_path / "rtdb.lmdb").stat().st_size)
    for value in range(1, 40):  # 3 MB against 1 MiB of patience
        put(store, float(value))
    assert store.lost > 0
    assert store.lost % 2000 == 0
    with pytest.raises(GapError) as gap:
        list(store.changes(0))
    assert gap.value.asked <= store.journaled + 1
    with pytest.raises(StoreError, match="no space"):
        store.close()


def test_after_a_gap_the_restart_goes_on_from_a_checkpoint(tmp_path, full_disk):
    store = make(tmp_path)
    put(store, 0.0)
    full_disk((tmp_path / "rtdb.lmdb").stat().st_size)
    for value in range(1, 40):
        put(store, float(value))
    full_disk(None)
    CLOCK.advance(1)
    put(store, 40.0)
    assert store.fault is None
    with pytest.raises(GapError):
        list(store.changes(0))
    store._file.close()
    store = make(tmp_path)
    assert (store.snapshot().value == 40.0).all()
    store.close()


def test_a_new_database_on_a_full_disk(tmp_path, full_disk):
    full_disk(4096)
    with pytest.raises(StoreError, match=r"no space left|cannot use"):
        make(tmp_path)


def test_a_copy_of_the_file_can_be_opened(tmp_path):
    path = filled(tmp_path / "a")
    (tmp_path / "b").mkdir()
    shutil.copy(path, tmp_path / "b" / path.name)
    store = make(tmp_path / "b")
    assert store.snapshot().value[0] == 4.0
    store.close()


def test_seal_finds_short_and_changed_blobs():
    assert lmdb_file.unseal(lmdb_file.seal(b""), "x") == b""
    for blob in (b"", b"abc", lmdb_file.seal(b"abc")[:-1]):
        with pytest.raises(CorruptFileError, match="checksum"):
            lmdb_file.unseal(blob, "x")
