"""Check, dump, stats, backup and restore: of a file at rest, of one that is written, of damaged ones."""

import json
import os
import resource
import shutil
import subprocess
import sys

import lmdb
import numpy as np
import pytest
from rtdb import workload

from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.rtdb import backup, consumers, lmdb_file, maintenance
from scada.rtdb.changes import GapError
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, LmdbView, StoreFullError, StoreInUseError
from scada.rtdb.store import Store

CLOCK = VirtualClock()


def filled(folder, steps=40, *, closed=True):
    """A database after so many steps; not closed as a killed server leaves it."""
    store = workload.make(folder)
    workload.write(store, lambda _: None, steps)
    head = store.head
    store.close() if closed else store._file.close()
    return head


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A folder and the process that writes it; it stops where it has filled the pipe, until somebody reads."""
    folder = tmp_path_factory.mktemp("live")
    path = os.pathsep.join(entry for entry in sys.path if entry)
    process = subprocess.Popen(
        [sys.executable, workload.__file__, str(folder), "0", str(1 << 40)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    )
    with process:
        lines = [process.stdout.readline() for _ in range(30)]
        assert lines[-1] == b"29\n"
        yield folder, process
        process.kill()


@pytest.fixture
def live(server):
    """The same, writing while the test runs: there is room in the pipe again."""
    server[1].stdout.read1(65536)
    return server


def edit(folder, change):
    """Write into the file as a fault of memory or of a program would: with a right structure."""
    file = LmdbFile(folder, "rtdb", layout=2, map_mb=16, databases=maintenance.TABLES)
    with file.write() as txn:
        change(txn)
    file.close()


# ---------------------------------------------------------------- check


def test_a_sound_file(tmp_path):
    head = filled(tmp_path, closed=False)
    seen = []
    report = maintenance.check(tmp_path, lambda *progress: seen.append(progress))
    assert report.findings == []
    assert (report.head, report.oldest, report.pages) == (head, 1, 1)
    assert 0 < report.checkpoint < head
    assert report.compared > workload.CAPACITY * 0.9
    assert seen[-1][1] == seen[-1][2] == report.pages + report.change_sets
    assert maintenance.check(tmp_path).head == head, "a check changes nothing"


def test_the_file_of_a_running_server(live):
    folder, process = live
    report = maintenance.check(folder)
    assert report.findings == []
    assert report.head > 29 * workload.BATCH * 0.8
    assert process.poll() is None


def test_a_trimmed_journal_and_a_held_point_are_sound(tmp_path):
    filled(tmp_path, steps=600)
    report = maintenance.check(tmp_path)
    assert report.findings == []
    assert report.jumps == []
    assert report.compared > 0


def test_the_first_bad_record_is_named(tmp_path):
    filled(tmp_path)
    path = tmp_path / "rtdb.lmdb"
    wrong = np.float64(17.0).tobytes()
    path.write_bytes(path.read_bytes().replace(wrong, np.float64(17.5).tobytes()))
    first, *_ = maintenance.check(tmp_path).findings
    assert first.where.startswith(("checkpoint page 0", "journal record "))
    assert "checksum" in first.what


def test_a_missing_record_of_the_journal(tmp_path):
    filled(tmp_path, closed=False)
    opened = []

    def cut(txn):
        keys = [key for key, _ in txn.ascending("journal")]
        opened.append(int.from_bytes(keys[-1], "big"))
        txn.delete("journal", keys[-2])

    edit(tmp_path, cut)
    report = maintenance.check(tmp_path)
    assert [finding.where for finding in report.findings] == [f"journal record {opened[0]}"]
    assert "it follows on change" in report.findings[0].what


def test_a_checkpoint_that_is_not_what_the_journal_makes(tmp_path):
    filled(tmp_path)

    def bend(txn):
        blob = txn.get("pages", bytes(4))
        body = bytearray(lmdb_file.unseal(blob, ""))
        body[5 * 36 : 5 * 36 + 8] = np.float64(123.0).tobytes()
        txn.put("pages", bytes(4), lmdb_file.seal(bytes(body)))

    edit(tmp_path, bend)
    (finding,) = maintenance.check(tmp_path).findings
    assert finding.where == "point 5"
    assert "the checkpoint has value 123" in finding.what


def test_a_journal_that_does_not_follow_on_the_checkpoint(tmp_path):
    filled(tmp_path)

    def shift(txn):
        state = {"seq": 3, "capacity": workload.CAPACITY}
        import msgpack

        txn.put("meta", b"state", lmdb_file.seal(msgpack.packb(state)))
        for key in [key for key, _ in txn.ascending("journal")][:3]:
            txn.delete("journal", key)

    edit(tmp_path, shift)
    report = maintenance.check(tmp_path)
    assert "does not follow on the checkpoint at 3" in report.findings[-1].what


@pytest.mark.parametrize("size", [100, 5000, 20_000])
def test_a_file_cut_short(tmp_path, size):
    filled(tmp_path)
    path = tmp_path / "rtdb.lmdb"
    path.write_bytes(path.read_bytes()[:size])
    assert maintenance.check(tmp_path).findings[0].where == "structure"
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=r"rtdb.lmdb: "):
        maintenance.check(tmp_path)


def test_there_is_no_file(tmp_path):
    for use in (maintenance.check, maintenance.stats, maintenance.points, lambda folder: next(maintenance.changes(folder))):
        with pytest.raises(StoreError, match=r"rtdb.lmdb: there is no such file \(give the folder"):
            use(tmp_path)


def test_no_room_for_the_copy_of_a_running_file(live, monkeypatch):
    usage = shutil.disk_usage(live[0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StoreError, match=r"a copy of the file needs.*TMPDIR"):
        maintenance.check(live[0])


def test_a_read_only_view_sees_and_changes_nothing(tmp_path):
    filled(tmp_path)
    before = (tmp_path / "rtdb.lmdb").read_bytes()
    with maintenance.view(tmp_path) as view:
        assert view.writer == 0
        with pytest.raises(StoreError, match="cannot be written"), view._transaction(write=True):
            pass
        assert view.readers() == []
    with pytest.raises(StoreError, match="cannot use the file"):
        LmdbView(tmp_path, "rtdb", layout=2, databases=("nothing",))
    with pytest.raises(StoreError, match="layout 2, this program reads layout 3"):
        LmdbView(tmp_path, "rtdb", layout=3, databases=())
    assert (tmp_path / "rtdb.lmdb").read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_read_only_disk(tmp_path):
    """Everything that reads works on it; a server is refused with the reason."""
    filled(tmp_path / "db")
    looks = """
import sys, pathlib
from rtdb import workload
from scada.rtdb import maintenance
folder = pathlib.Path(sys.argv[1])
print(maintenance.check(folder).findings, maintenance.stats(folder).writer)
workload.make(folder)
"""
    mounts = "mount --bind $0 $0 && mount -o remount,ro,bind $0 || exit 77"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    command = ["unshare", "-m", "sh", "-c", f'{mounts}; exec {sys.executable} -c "$1" $0', str(tmp_path / "db"), looks]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounts are not permitted here")
    assert done.stdout == "[] 0\n", done.stderr
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "the file cannot be written (check owner, mode and mount of it)" in done.stderr


# ---------------------------------------------------------------- dump and stats


def test_points_and_changes_are_what_the_store_has(tmp_path):
    head = filled(tmp_path, closed=False)
    snapshot = maintenance.points(tmp_path)
    assert snapshot.seq == head
    expected = workload.Expected()
    expected.advance(40)
    values = expected.source.copy()
    if expected.substitute is not None:
        values[workload.HELD] = expected.substitute
    np.testing.assert_array_equal(snapshot.value, values)
    everything = list(maintenance.changes(tmp_path))
    assert (everything[0].first, everything[-1].last) == (1, head)
    part = list(maintenance.changes(tmp_path, 100, 150))
    assert (part[0].first, part[-1].last) == (100, 150)
    assert sum(len(change) for change in part) == sum(len(change.received_at) for change in part) == 51


def test_a_span_that_is_not_there_any_more(tmp_path):
    filled(tmp_path, steps=700)
    found = maintenance.stats(tmp_path)
    assert found.oldest > 1
    with pytest.raises(GapError) as gap:
        list(maintenance.changes(tmp_path, 1, 10))
    assert gap.value.oldest == found.oldest


def test_the_journal_of_an_empty_database(tmp_path):
    workload.make(tmp_path).close()
    assert list(maintenance.changes(tmp_path)) == []
    with pytest.raises(GapError):
        list(maintenance.changes(tmp_path, 5))
    found = maintenance.stats(tmp_path)
    assert (found.oldest, found.head, found.change_sets, found.oldest_ns, found.received) == (1, 0, 0, 0, 0)


def test_figures_of_a_running_server(live):
    folder, process = live
    found = maintenance.stats(folder)
    assert (found.writer, found.layout, found.points) == (process.pid, 2, workload.CAPACITY)
    assert found.map_bytes == 16 << 20
    assert found.extent_bytes <= found.file_bytes <= found.map_bytes
    assert 0 < sum(found.table_bytes.values()) < found.extent_bytes
    assert found.checkpoint <= found.head
    assert os.getpid() in {reader.process for reader in found.readers}, "our own transaction is one of the readers"
    assert found.held in {0, 1}


def test_a_reader_that_holds_an_old_transaction_is_shown_with_its_age(tmp_path):
    clock = VirtualClock()
    store = Store(tmp_path, workload.CAPACITY, clock, map_mb=16, journal_mb=1)
    store.register("twin", 0)
    holds = "import sys, lmdb; env = lmdb.open(sys.argv[1], subdir=False, readonly=True, map_size=0, max_dbs=4, lib_version=0)\n"
    holds += "with env.begin(): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holds, str(tmp_path / "rtdb.lmdb")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        begun = clock.now_ns()
        for step in range(1, 6):
            clock.advance(10)
            workload.run_step(store, step)
        store._file.close()
        (reader,) = (one for one in maintenance.stats(tmp_path).readers if one.process == holder.pid)
        assert (reader.behind, reader.since_ns) == (5, begun + 10 * 10**9)
        assert "python" in reader.program
        holder.kill()


# ---------------------------------------------------------------- backup and restore


def test_a_backup_comes_back(tmp_path):
    head = filled(tmp_path / "db")
    (tmp_path / "db" / "points.json").write_text('{"m": 0}')
    manifest = backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    assert (manifest.head, manifest.points, manifest.map_mb, sorted(manifest.files)) == (
        head,
        workload.CAPACITY,
        16,
        ["points.json", "rtdb.lmdb"],
    )
    assert sorted(file.name for file in (tmp_path / "b").iterdir()) == ["manifest.json", "points.json", "rtdb.lmdb"]
    assert backup.verify(tmp_path / "b") == manifest
    filled(tmp_path / "db", steps=20)
    later = (tmp_path / "db" / "rtdb.lmdb").read_bytes()
    (tmp_path / "db" / "points.json").write_text('{"m": 0, "n": 1}')
    done = backup.restore(tmp_path / "b", tmp_path / "db", CLOCK)
    assert done.kept.read_bytes() == later
    assert (tmp_path / "db" / "points.json").read_text() == '{"m": 0}'
    assert maintenance.check(tmp_path / "db").findings == []
    store = workload.make(tmp_path / "db")
    expected = workload.Expected()
    expected.advance(40)
    expected.check(store)
    assert store.head >= done.head > CLOCK.now_ns() // 1000 - 1
    for after in (head + 700, head, head - 5):  # a follower of the lost hours, one that was up to date, one that was behind
        with pytest.raises(GapError):
            list(store.changes(after))
    store.register("twin", store.head)
    workload.run_step(store, 41)
    expected.advance(41)
    seq = store.head
    store._file.close()
    store = workload.make(tmp_path / "db")
    assert store.head >= seq
    expected.check(store)
    store.close()


def test_numbers_go_on_above_those_of_the_replaced_file(tmp_path):
    filled(tmp_path / "db")
    backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    store = workload.make(tmp_path / "db")
    store._number_from(1 << 60)
    store.close()
    assert backup.restore(tmp_path / "b", tmp_path / "db", CLOCK).head == (1 << 60) + 1


def test_a_backup_of_a_running_server(live, tmp_path):
    folder, process = live
    manifest = backup.backup(folder, tmp_path / "b", CLOCK)
    assert process.poll() is None
    with pytest.raises(StoreInUseError, match=rf"already has a writer \(process {process.pid}\).*stop the other server"):
        backup.restore(tmp_path / "b", folder, CLOCK)
    backup.restore(tmp_path / "b", tmp_path / "other", CLOCK)
    store = workload.make(tmp_path / "other")
    last = workload.last_step(store)
    assert last >= 29
    assert store.head > manifest.head
    expected = workload.Expected()
    expected.advance(last)
    expected.check(store)
    store.close()


def test_over_a_damaged_file(tmp_path):
    filled(tmp_path / "db")
    backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    (tmp_path / "db" / "rtdb.lmdb").write_bytes(b"gone")
    done = backup.restore(tmp_path / "b", tmp_path / "db", CLOCK)
    assert done.kept.read_bytes() == b"gone"
    workload.make(tmp_path / "db").close()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda b: (b / "manifest.json").unlink(), "there is no backup"),
        (lambda b: (b / "manifest.json").write_text("{"), "the manifest cannot be read"),
        (lambda b: (b / "manifest.json").write_text("[]"), "the manifest cannot be read"),
        (lambda b: (b / "manifest.json").write_text('{"format": 9}'), "has format 9, this program reads format 1"),
        (lambda b: (b / "manifest.json").write_text('{"format": 1}'), "the manifest cannot be read"),
        (lambda b: (b / "rtdb.lmdb").unlink(), "a file of the backup is missing"),
        (lambda b: (b / "rtdb.lmdb").write_bytes(bytes(8192)), "not what it was when the backup was made"),
        (lambda b: rename_in_manifest(b, "../x"), "the manifest names"),
    ],
    ids=["no manifest", "half", "list", "newer", "empty", "no file", "other file", "path"],
)
def test_what_is_no_backup_is_refused_and_nothing_touched(tmp_path, spoil, message):
    filled(tmp_path / "db")
    backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    before = (tmp_path / "db" / "rtdb.lmdb").read_bytes()
    spoil(tmp_path / "b")
    with pytest.raises(StoreError, match=message):
        backup.restore(tmp_path / "b", tmp_path / "db", CLOCK)
    assert (tmp_path / "db" / "rtdb.lmdb").read_bytes() == before


def rename_in_manifest(folder, name):
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    fields["files"][name] = fields["files"]["rtdb.lmdb"]
    path.write_text(json.dumps(fields))


def test_a_damaged_database_gives_no_backup(tmp_path):
    filled(tmp_path / "db")
    path = tmp_path / "db" / "rtdb.lmdb"
    path.write_bytes(path.read_bytes().replace(np.float64(17.0).tobytes(), np.float64(17.5).tobytes()))
    with pytest.raises(CorruptFileError, match="not sound"):
        backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    assert list((tmp_path / "b").iterdir()) == []


def test_a_folder_with_something_in_it_is_no_target(tmp_path):
    filled(tmp_path / "db")
    with pytest.raises(StoreError, match="there is something in the folder"):
        backup.backup(tmp_path / "db", tmp_path / "db", CLOCK)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file: cannot be made"):
        backup.backup(tmp_path / "db", tmp_path / "file", CLOCK)


def test_a_full_disk_leaves_no_half_backup(tmp_path):
    filled(tmp_path / "db")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(StoreFullError, match="no space left"):
            backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "b").iterdir()) == []


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    filled(tmp_path / "db")
    backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    before = (tmp_path / "db" / "rtdb.lmdb").read_bytes()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10))
    for use in (
        lambda: backup.backup(tmp_path / "db", tmp_path / "c", CLOCK),
        lambda: backup.restore(tmp_path / "b", tmp_path / "db", CLOCK),
    ):
        with pytest.raises(StoreFullError, match=r"MiB are needed, 0 MiB are free \(free disk space\)"):
            use()
    assert (tmp_path / "db" / "rtdb.lmdb").read_bytes() == before
    assert not list((tmp_path / "db").glob("restoring-*"))


def test_a_consumer_removed_by_hand(tmp_path):
    filled(tmp_path)
    assert [one.name for one in consumers.listed(tmp_path)[0]] == ["twin"]
    assert consumers.remove(tmp_path, "twin")
    assert maintenance.stats(tmp_path).consumers == []


def test_the_copy_of_a_compacted_file_opens_with_its_map(tmp_path):
    filled(tmp_path / "db")
    backup.backup(tmp_path / "db", tmp_path / "b", CLOCK)
    with lmdb.open(str(tmp_path / "b" / "rtdb.lmdb"), subdir=False, readonly=True, lock=False, map_size=0) as env:
        assert env.info()["map_size"] == 16 << 20
    with pytest.raises(StoreError, match="map_mb = 16 is too small"):
        Store(tmp_path / "db", workload.CAPACITY, CLOCK, map_mb=16, journal_mb=16)
