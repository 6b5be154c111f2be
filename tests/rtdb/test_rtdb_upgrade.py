"""Files of older and newer layouts: brought up with a copy kept, or refused and left alone."""

import gzip
import shutil
from pathlib import Path

import lmdb
import numpy as np
import pytest

from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb import upgrades
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, StoreFullError
from scada.rtdb.mapped import MappedFile
from scada.rtdb.store import Store

OLD = Path(__file__).parent / "layout1.lmdb.gz"
"""40 points after 30 commits, as a server of layout 1 left it when it was killed: a checkpoint and a tail behind it."""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "rtdb.lmdb").write_bytes(gzip.decompress(OLD.read_bytes()))
    return tmp_path


def make(folder):
    return Store(folder, 40, VirtualClock(), map_mb=16, journal_mb=1)


def layout_of(path):
    with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as env, env.begin() as txn:
        return txn.get(b"layout")


def check_contents(store):
    """What the old program had written: point p gets p + step / 10 at every fifth step."""
    snapshot = store.snapshot()
    written = np.arange(35)
    last_step = 30 - (30 - written) % 5
    np.testing.assert_allclose(snapshot.value[:35], written + last_step / 10, rtol=0, atol=1e-12)
    assert (snapshot.quality[:35] & int(Quality.OLD_DATA) != 0).all()
    assert (snapshot.source_time[:35] == 1_700_000_000_000_000_000 + last_step * 1_000_000_000 - 5_000_000).all()
    assert (snapshot.value[36], snapshot.quality[36]) == (7.5, int(Quality.MANUAL))
    assert (snapshot.quality[[35, 37, 38, 39]] == int(Quality.NEVER_RECEIVED)).all()
    assert sum(len(change) for change in store.changes(0, 213)) == 213


def test_a_file_of_layout_1_is_brought_up_and_kept(folder):
    store = make(folder)
    assert store.upgraded_from == 1
    check_contents(store)
    store.close()
    kept = folder / "rtdb.lmdb.before-2"
    assert (layout_of(kept), layout_of(folder / "rtdb.lmdb")) == (b"1", b"2")
    store = make(folder)
    assert store.upgraded_from == 0
    check_contents(store)
    store.close()


def test_the_kept_copy_is_the_database_as_it_was(folder, tmp_path):
    make(folder).close()
    again = tmp_path / "again"
    again.mkdir()
    shutil.copy(folder / "rtdb.lmdb.before-2", again / "rtdb.lmdb")
    store = make(again)
    assert store.upgraded_from == 1
    check_contents(store)
    store.close()


def test_a_damaged_record_is_found_by_the_upgrade_which_changes_nothing(folder):
    path = folder / "rtdb.lmdb"
    data = path.read_bytes().replace(np.float64(3 + 28 / 10).tobytes(), np.float64(3.14).tobytes())
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match=r"from layout 1 to 2: the checksum.*it is as it was"):
        make(folder)
    assert path.read_bytes() == data


def test_no_room_for_the_copy(folder, monkeypatch):
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    before = (folder / "rtdb.lmdb").read_bytes()
    with pytest.raises(StoreFullError, match=r"upgrade to layout 2 needs 1 MiB on the disk, 0 MiB are free.*free disk space"):
        make(folder)
    assert (folder / "rtdb.lmdb").read_bytes() == before


def test_a_copy_that_fails_changes_nothing(folder, monkeypatch):
    def copy_to(_, target):
        raise StoreFullError("no space left to write", where=str(target), mend="free disk space")

    monkeypatch.setattr(MappedFile, "copy_to", copy_to)
    with pytest.raises(StoreFullError, match="no space left"):
        make(folder)
    assert layout_of(folder / "rtdb.lmdb") == b"1"
    monkeypatch.undo()
    store = make(folder)
    check_contents(store)
    store.close()


def small(folder, layout, steps=None):
    return LmdbFile(folder, "x", layout=layout, map_mb=1, databases=("a",), upgrades=steps or {})


def test_steps_follow_each_other_in_one_transaction(tmp_path):
    file = small(tmp_path, 1)
    with file.write() as txn:
        txn.put("a", b"k", b"1")
    file.close()

    def step(number):
        def bring_up(txn):
            txn.put("a", b"k", txn.get("a", b"k") + str(number).encode())

        return bring_up

    def fails(txn):
        txn.put("a", b"k", b"half done")
        raise ValueError("a record nobody thought of")

    with pytest.raises(
        StoreError, match=r"x.lmdb: cannot bring the file from layout 3 to 4: .*nobody thought of.*as it was"
    ) as error:
        small(tmp_path, 5, {1: step(2), 2: step(3), 3: fails, 4: step(5)})
    assert not isinstance(error.value, CorruptFileError), "an error of the program is no damage of the file"
    assert layout_of(tmp_path / "x.lmdb") == b"1"
    file = small(tmp_path, 5, {1: step(2), 2: step(3), 3: step(4), 4: step(5)})
    with file.read() as txn:
        assert txn.get("a", b"k") == b"12345"
    file.close()
    assert layout_of(tmp_path / "x.lmdb.before-5") == b"1"


@pytest.mark.parametrize(
    ("written", "steps"), [(2, {}), (3, {3: print}), (1, {2: print})], ids=["no steps", "newer", "a step short"]
)
def test_what_cannot_be_brought_up_is_refused_and_left_alone(tmp_path, written, steps):
    small(tmp_path, written).close()
    before = (tmp_path / "x.lmdb").read_bytes()
    wanted = 3 if written < 3 else 2
    with pytest.raises(StoreError, match=rf"has layout {written}, this program reads layout {wanted} \(run the program version"):
        small(tmp_path, wanted, steps)
    assert (tmp_path / "x.lmdb").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.lmdb", "x.lmdb-lock", "x.writer"]


def test_a_layout_that_is_no_number(tmp_path):
    small(tmp_path, 1).close()
    with lmdb.open(str(tmp_path / "x.lmdb"), subdir=False, max_dbs=2) as env, env.begin(write=True) as txn:
        txn.put(b"layout", b"\xffx")
    with pytest.raises(CorruptFileError, match="its layout is"):
        small(tmp_path, 1)


def test_every_layout_since_the_first_has_a_step():
    assert set(upgrades.UPGRADES) == set(range(1, upgrades.LAYOUT))
