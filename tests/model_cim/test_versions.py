"""Store of model versions: what was written down is there after any crash, and nothing in it can be changed unseen."""

import errno
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import zipfile

import lmdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.clock import VirtualClock
from scada.core.errors import ModelError, StoreError
from scada.model_cim import version_files
from scada.model_cim.version_files import belongs, copy_model, digest_of, hashes_of, pack_model, unpack_model
from scada.model_cim.version_log import Entry, State, Step, decode_entries, encode_entry, entry_digest, folded
from scada.model_cim.versions import VersionStore, current_folder, read_store
from scada.rtdb.lmdb_file import CorruptFileError, StoreFullError

CLOCK = VirtualClock()
EQ = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'


@pytest.fixture
def folder(tmp_path):
    """A model folder with a template, a drawing, and a file that is none of the model's."""
    model = tmp_path / "grid"
    (model / "templates").mkdir(parents=True)
    (model / "diagrams").mkdir()
    (model / "EQ.xml").write_text(EQ)
    (model / "templates" / "bay.toml").write_text("a = 1\n")
    (model / "diagrams" / "A.svg").write_text("<svg/>")
    (model / "sim.toml").write_text("secret = 1\n")
    return model


@pytest.fixture
def store(tmp_path):
    opened = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    yield opened
    opened.close()


def begin(store, folder):
    store.note(Step.APPLIED, store.take_folder(folder, "first start").number)
    return store.version(store.current)


def propose(store, folder, content, base=None):
    (folder / "EQ.xml").write_text(content)
    number = store.begin(
        actor="ann", description="why", areas=("*",), base=store.current if base is None else base, origin="upload", source="ab"
    )
    staged = store.staging(number)
    copy_model(folder, staged)
    facts = {"checked_on": store.current, "counts": {"warning": 2}, "stations": ["A"], "dangers": {"point:x": ["x goes", "x"]}}
    return store.take(number, staged, facts, {"findings": b"[]", "difference": b"<xml/>"}, text="2 warnings")


def test_the_first_folder_becomes_version_one_and_only_what_is_the_models(store, folder):
    version = begin(store, folder)
    assert (version.number, store.current, store.previous, version.state) == (1, 1, 0, State.APPLIED)
    assert sorted(version.files) == ["EQ.xml", "diagrams/A.svg", "templates/bay.toml"]
    assert not (store.path(1) / "sim.toml").exists()
    (folder / "EQ.xml").write_text("changed later")
    assert (store.path(1) / "EQ.xml").read_text() == EQ
    store.check_files(1)


def test_the_digest_is_what_sha256sum_says_and_drawings_do_not_count(folder):
    said = subprocess.run(
        "LC_ALL=C; sha256sum EQ.xml templates/bay.toml | sha256sum",
        shell=True,
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[0]
    assert digest_of(hashes_of(folder)) == said
    (folder / "diagrams" / "A.svg").write_text("<svg>other</svg>")
    assert digest_of(hashes_of(folder)) == said


def test_everything_is_there_after_the_next_opening(tmp_path, folder):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    propose(store, folder, EQ + "\n")
    store.note(Step.APPROVED, 2, actor="bob")
    store.note(Step.APPLYING, 2, actor="ann")
    store.note(Step.APPLIED, 2, actor="ann", text="0 points bound")
    before = dict(store.versions)
    store.close()
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    assert dict(store.versions) == before
    version = store.version(2)
    assert (version.maker, version.approver, version.applied_by, version.result) == ("ann", "bob", "ann", "0 points bound")
    assert (store.current, store.previous) == (2, 1)
    assert store.report(2, "difference") == b"<xml/>"
    assert store.report(2, "shadow") == b""
    assert [entry.step for entry in store.entries(2)] == ["proposed", "checked", "approved", "applying", "applied"]
    store.close()
    assert current_folder(tmp_path / "store", folder) == tmp_path / "store" / "files" / version.folder_name


def test_a_rollback_goes_back_and_back_again_never_forth(store, folder):
    begin(store, folder)
    for number in (2, 3):
        propose(store, folder, EQ + "\n" * number)
        store.note(Step.APPLIED, number)
    store.note(Step.ROLLED_BACK, 2)
    assert (store.current, store.previous) == (2, 1)
    store.note(Step.ROLLED_BACK, 1)
    assert (store.current, store.previous) == (1, 0)
    store.note(Step.ROLLED_BACK, 3)  # asked for by name
    assert (store.current, store.previous) == (3, 1)


@pytest.mark.parametrize("how", ["changed", "removed", "put in", "cut off", "pointer"])
def test_a_log_that_was_changed_is_not_opened(tmp_path, folder, how):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    propose(store, folder, EQ + "\n")
    store.note(Step.APPROVED, 2, actor="bob")
    last = store.entries()[-1]
    store.close()
    path = tmp_path / "store" / "versions.lmdb"
    env = lmdb.open(str(path), subdir=False, max_dbs=4)
    log, meta = env.open_db(b"log"), env.open_db(b"meta")
    with env.begin(write=True) as txn:
        key = (2).to_bytes(8, "big")
        blob = txn.get(key, db=log)
        match how:
            case "changed":
                txn.put(key, blob.replace(b"EQ.xml", b"QE.xml"), db=log)
            case "removed":
                txn.delete(key, db=log)
            case "put in":
                forged = Entry(last.seq + 1, 0, Step.APPROVED, 2, "eve", before=last.before)
                txn.put(forged.seq.to_bytes(8, "big"), encode_entry(forged), db=log)
            case "cut off":
                txn.delete(last.seq.to_bytes(8, "big"), db=log)
            case "pointer":
                txn.put(b"current", (2).to_bytes(8, "big"), db=meta)
    env.close()
    with pytest.raises(CorruptFileError, match=r"version log.*move the folder away"):
        VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    with pytest.raises(CorruptFileError):
        read_store(tmp_path / "store")


def test_a_changed_file_of_a_version_is_named(store, folder):
    begin(store, folder)
    (store.path(1) / "EQ.xml").write_text(EQ.replace("rdf", "xyz"))
    with pytest.raises(CorruptFileError, match=r"version 1 was changed: EQ.xml.*restore it from a backup"):
        store.check_files(1)


def test_a_changed_report_is_not_given_out(tmp_path, folder):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    digest = propose(store, folder, EQ + "\n").reports["difference"]
    store.close()
    env = lmdb.open(str(tmp_path / "store" / "versions.lmdb"), subdir=False, max_dbs=4)
    with env.begin(write=True) as txn:
        table = env.open_db(b"reports", txn=txn)
        other = next(value for key, value in txn.cursor(table) if key.hex() != digest)
        txn.put(bytes.fromhex(digest), other, db=table)
    env.close()
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    with pytest.raises(CorruptFileError, match="changed"):
        store.report(2, "difference")
    store.close()


def test_files_without_an_entry_are_swept_away_and_open_uploads_stay(tmp_path, folder):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    store.begin(actor="ann", description="", areas=("*",), base=1, origin="upload", source="aa")
    (store.uploads / "aa").write_bytes(b"zip")
    (store.uploads / "bb").write_bytes(b"zip")
    copy_model(folder, store.staging(2))
    copy_model(folder, tmp_path / "store" / "files" / "000002-0123456789ab")
    store.close()
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    assert [path.name for path in store.uploads.iterdir()] == ["aa"]
    assert [path.name for path in (tmp_path / "store" / "files").iterdir()] == [store.version(1).folder_name]
    store.check_files(1)
    store.close()


def test_what_a_crash_interrupted_is_said_and_ended(tmp_path, folder):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    propose(store, folder, EQ + "\n")
    store.note(Step.APPLYING, 2, actor="ann")
    store.begin(actor="system", description="", areas=("*",), base=1, origin="folder", source="")
    store.close()
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    assert [(entry.step, entry.version) for entry in store.mend()] == [("failed", 2), ("withdrawn", 3)]
    assert (store.current, store.version(2).state, store.version(3).state) == (1, State.READY, State.WITHDRAWN)
    assert store.mend() == []
    store.close()


def test_old_files_go_but_never_the_current_the_one_before_or_an_open_one(store, folder):
    begin(store, folder)
    for number in range(2, 8):
        propose(store, folder, EQ + "\n" * number)
        if number != 3:
            store.note(Step.APPLIED, number)
    assert store.prune(2) == [1, 4, 5]
    assert {number for number, version in store.versions.items() if version.kept} == {2, 3, 6, 7}
    assert len(list((store.folder / "files").iterdir())) == 4
    with pytest.raises(ModelError, match="were removed"):
        store.path(4)
    assert store.report(4, "difference") == b"<xml/>"
    assert store.prune(2) == []


def test_what_never_ran_does_not_push_out_what_did_and_goes_with_its_reports(store, folder):
    begin(store, folder)
    for number in range(2, 7):
        propose(store, folder, EQ + "\n" * number)
        store.note(Step.APPLIED if number < 4 else Step.WITHDRAWN, number)
    refused = store.begin(actor="ann", description="why", areas=("*",), base=3, origin="upload", source="ab")
    store.note(Step.REFUSED, refused, text="broken", reports={"findings": b"[1]"})
    assert store.prune(3) == [4], "what was given up does not push out what ran"
    again = store.begin(actor="ann", description="why", areas=("*",), base=3, origin="upload", source="ab")
    store.note(Step.REFUSED, again, text="too", reports={"findings": b"[1]"})
    assert store.prune(1) == [1, 5, 6, 7]
    assert (store.report(refused, "findings"), store.version(refused).result) == (b"", "broken")
    assert (store.report(4, "difference"), store.report(1, "difference")) == (b"", b"")
    assert store.report(again, "findings") == b"[1]"
    assert store.report(3, "findings") == b"[]", "the same report, of a version that is kept"
    store.close()
    again = VersionStore(store.folder, CLOCK, map_mb=16)
    assert again.report(3, "findings") == b"[]"
    again.close()


def test_proposals_without_end_do_not_fill_the_log(store, folder):
    begin(store, folder)
    for number in range(2, 60):
        version = store.begin(actor="ann", description="why", areas=("*",), base=1, origin="upload", source="ab")
        noise = hashlib.shake_256(bytes([number])).digest(1 << 20)
        store.note(Step.REFUSED, version, reports={"findings": noise})
        store.prune(2)
    assert [bool(version.reports) for version in store.versions.values()][-3:] == [False, True, True]


def test_a_store_cut_off_within_a_report_is_damaged_and_does_not_end_the_process(store, folder):
    begin(store, folder)
    for number in range(2, 14):
        version = store.begin(actor="ann", description="d" * 500, areas=("*",), base=1, origin="upload", source="ab")
        store.note(Step.REFUSED, version, reports={"findings": hashlib.shake_256(bytes([number])).digest(9000)})
    store.close()
    path = store.folder / "versions.lmdb"
    os.truncate(path, path.stat().st_size - 8192)
    code = (
        "import sys; from pathlib import Path; from scada.core.clock import VirtualClock\n"
        "from scada.core.errors import StoreError; from scada.model_cim.versions import VersionStore\n"
        "try:\n"
        "    store = VersionStore(Path(sys.argv[1]), VirtualClock(), map_mb=16)\n"
        "    print([store.report(number, 'findings') and number for number in store.versions])\n"
        "except StoreError as error: print(type(error).__name__)"
    )
    said = subprocess.run([sys.executable, "-c", code, str(store.folder)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout.strip()) == (0, "CorruptFileError")


def test_a_text_without_end_is_cut_off_in_the_log(store, folder):
    begin(store, folder)
    assert len(store.note(Step.FAILED, 1, text="x" * 1_000_000).text) < 10_000


def test_a_full_disk_refuses_the_version_and_the_old_one_stays(store, folder, monkeypatch):
    begin(store, folder)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(version_files.shutil, "copyfile", full)
    with pytest.raises(StoreFullError, match="free disk space"):
        propose(store, folder, EQ + "\n")
    assert not store.staging(2).exists()
    assert store.current == 1
    store.check_files(1)


def test_a_full_map_adds_no_entry(tmp_path, folder):
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=1)
    begin(store, folder)
    count = len(store.entries())
    with pytest.raises(StoreFullError):
        store.note(Step.APPROVED, 1, reports={"findings": os.urandom(3 << 20)})
    assert len(store.entries()) == count
    store.note(Step.APPROVED, 1, actor="bob")
    store.close()
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=1)
    assert store.version(1).approver == "bob"
    store.close()


def test_a_second_server_is_refused(store):
    with pytest.raises(StoreError, match="stop the other server"):
        VersionStore(store.folder, CLOCK)


STEPS = ("fsync", "rename", "put")
KILLED = """
import os, signal, sys
from pathlib import Path
from scada.core.clock import VirtualClock
from scada.model_cim import version_files, versions
from scada.model_cim.versions import Step, VersionStore

count = int(sys.argv[3])
def kill_at():
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)

def wrapped(call):
    def one(*args, **more):
        kill_at()
        return call(*args, **more)
    return one

store = VersionStore(Path(sys.argv[1]), VirtualClock(), map_mb=16)
version_files.sync_path = wrapped(version_files.sync_path)
version_files.shutil.copyfile = wrapped(version_files.shutil.copyfile)
versions.sync_folder = wrapped(versions.sync_folder)
versions.hashes_of = wrapped(versions.hashes_of)
Path.rename = wrapped(Path.rename)
versions.encode_entry = wrapped(versions.encode_entry)
versions.Transaction.put = wrapped(versions.Transaction.put)
store.note(Step.APPLIED, store.take_folder(Path(sys.argv[2]), "again").number)
print("done")
"""


@pytest.mark.e2e
def test_killed_at_any_step_the_old_or_the_new_version_is_there(tmp_path, folder):
    """kill -9 before every sync, copy, rename and write of taking a folder as a version."""
    store = VersionStore(tmp_path / "store", CLOCK, map_mb=16)
    begin(store, folder)
    old = store.version(1).digest
    store.close()
    (folder / "EQ.xml").write_text(EQ + "\n")
    new = digest_of(hashes_of(folder))
    seen = set()
    for count in range(200):
        place = tmp_path / f"store-{count}"
        shutil.copytree(tmp_path / "store", place)
        line = [sys.executable, "-c", KILLED, str(place), str(folder), str(count)]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        opened = VersionStore(place, CLOCK, map_mb=16)
        opened.mend()
        opened.check_files(opened.current)
        seen.add(opened.version(opened.current).digest)
        assert opened.version(opened.current).digest in (old, new)
        named = {version.folder_name for version in opened.versions.values() if version.digest}
        assert {path.name for path in (place / "files").iterdir()} == named
        opened.close()
        if done.returncode == 0:
            break
    assert count > 20
    assert seen == {old, new}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["../EQ.xml"], "leaves the folder"),
        (["/EQ.xml"], "leaves the folder"),
        (["EQ.xml", "x\\y.xml"], "leaves the folder"),
        (["readme.txt"], "no CIM XML"),
        ([], "no CIM XML"),
    ],
)
def test_a_zip_that_is_no_model_is_refused(tmp_path, names, said):
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for name in names:
            archive.writestr(name, EQ)
    with pytest.raises(ModelError, match=said):
        unpack_model(tmp_path / "m.zip", tmp_path / "out", 1 << 20)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "EQ.xml").exists()


def test_a_zip_bomb_ends_at_the_bound(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("a.xml", "b.xml"):
            archive.writestr(name, b"\0" * (40 << 20))
    with pytest.raises(ModelError, match="upload_mb"):
        unpack_model(tmp_path / "m.zip", tmp_path / "out", 60 << 20)
    assert not (tmp_path / "out").exists()


def _zip_of(*names, how=zipfile.ZIP_STORED):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", how) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"<a/>" * 2000, how)
    return whole.getvalue()


def _spoiled(data):
    """The packed bytes of the first file changed."""
    return data[:55] + bytes(byte ^ 0xFF for byte in data[55:70]) + data[70:]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (_zip_of("EQ.xml", "."), "leaves the folder"),
        (_zip_of("./EQ.xml", "EQ.xml"), "'EQ.xml' twice"),
        (_zip_of("EQ.xml", "templates//a.toml", "templates/a.toml"), "'templates/a.toml' twice"),
        (_zip_of("EQ.xml", "Q.x").replace(b"Q.x", b"\0.x"), "not a readable zip"),
        (_zip_of("\u00c9Q.xml").replace("\u00c9".encode(), b"\xff\xfe"), "not a readable zip"),
        (_spoiled(_zip_of("EQ.xml", how=zipfile.ZIP_LZMA)), "not a readable zip"),
        (_spoiled(_zip_of("EQ.xml", how=zipfile.ZIP_BZIP2)), "not a readable zip"),
    ],
)
def test_whatever_is_wrong_with_a_zip_is_said_and_nothing_is_left(tmp_path, data, said):
    (tmp_path / "m.zip").write_bytes(data)
    with pytest.raises(ModelError, match=said):
        unpack_model(tmp_path / "m.zip", tmp_path / "out", 1 << 20)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("cut", [0, 1, 30, 200])
def test_a_truncated_zip_is_refused(tmp_path, folder, cut):
    whole = pack_model(folder)
    (tmp_path / "m.zip").write_bytes(whole[:cut] if cut < 200 else whole[:-40])
    with pytest.raises(ModelError, match="not a readable zip"):
        unpack_model(tmp_path / "m.zip", tmp_path / "out", 1 << 20)


def test_packing_and_unpacking_give_the_same_files(tmp_path, folder):
    (tmp_path / "m.zip").write_bytes(pack_model(folder))
    unpack_model(tmp_path / "m.zip", tmp_path / "out", 1 << 20)
    assert hashes_of(tmp_path / "out") == hashes_of(folder)
    assert pack_model(tmp_path / "out") == pack_model(folder)
    assert all(belongs(name) for name in hashes_of(folder))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Step.APPLIED, Step.ROLLED_BACK, Step.APPROVED, Step.FAILED, Step.APPLYING]), st.integers(1, 4)
        ),
        max_size=30,
    )
)
@settings(max_examples=100, deadline=None)
def test_any_log_reads_back_and_its_current_version_is_the_last_made_so(steps):
    entries = [Entry(number, 0, Step.PROPOSED, number, "ann") for number in range(1, 5)]
    entries += [Entry(5 + at, at, step, number, "ann") for at, (step, number) in enumerate(steps)]
    blobs, before = [], entries[0].before
    for entry in entries:
        one = Entry(entry.seq, entry.time_ns, entry.step, entry.version, entry.actor, before=before)
        blobs.append(encode_entry(one))
        before = entry_digest(blobs[-1])
    history = folded(decode_entries(blobs, "here"))
    made = [number for step, number in steps if step in (Step.APPLIED, Step.ROLLED_BACK)]
    assert history.current == (made[-1] if made else 0)
    assert history.previous == 0 or history.previous != history.current
    assert len(set(history.ran)) == len(history.ran)
