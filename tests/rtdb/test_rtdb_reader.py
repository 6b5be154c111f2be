"""Reading from another process: against the store in one process, and with real processes that write, read and die."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rtdb.rtdb_process import STEP, pids_of

from scada.core.batch import PointBatch
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb import journal, shared
from scada.rtdb import reader as reader_module
from scada.rtdb.changes import GapError
from scada.rtdb.image import Image
from scada.rtdb.reader import StoreReader
from scada.rtdb.store import Store

NEVER, OLD = int(Quality.NEVER_RECEIVED), int(Quality.OLD_DATA)
POINTS = 40
SCRIPT = Path(__file__).with_name("rtdb_process.py")


@pytest.fixture
def clock():
    return VirtualClock(start_ns=1_000_000)


@pytest.fixture
def store(tmp_path, clock):
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    yield store
    store._file.close()


@pytest.fixture
def reader(store, tmp_path, clock):
    reader = StoreReader(tmp_path, clock)
    yield reader
    reader.close()


def put(store, pid, value, **more):
    store.apply(PointBatch.of(pid, value, received_at=store._clock.now_ns(), **more))
    store._clock.advance(0.001)
    return store.commit()


def same(found, expected):
    assert found.seq == expected.seq
    for column in ("pid", "value", "quality", "source_time", "received_at"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))


def test_a_fresh_database_is_read_as_never_received(reader):
    found = reader.snapshot()
    assert (found.seq, len(found), reader.head) == (0, POINTS, 0)
    assert (found.quality == NEVER).all()
    assert list(reader.changes(0)) == []


steps = st.lists(
    st.lists(st.tuples(st.integers(0, POINTS), st.sampled_from([0.0, 1.0, 2.0]), st.integers(0, 3)), max_size=6), max_size=6
)
asked = st.lists(st.integers(0, POINTS + 2), max_size=8)


@settings(max_examples=25, deadline=None)
@given(steps=steps, asked=asked, held=st.integers(0, POINTS - 1))
def test_it_gives_what_the_store_gives(tmp_path_factory, steps, asked, held):
    folder, clock = tmp_path_factory.mktemp("db"), VirtualClock()
    store = Store(folder, POINTS, clock, map_mb=16, journal_mb=1)
    reader = StoreReader(folder, clock)
    store.hold(held, 9.0)
    for step in steps:
        for pid, value, source_time in step:
            put(store, pid, value, source_time=source_time)
        pids = np.array(asked, dtype=np.uint32)
        same(reader.snapshot(), store.snapshot())
        same(reader.snapshot(pids), store.snapshot(pids))
    for after in {0, store.head // 2, store.head}:
        pairs = list(zip(reader.changes(after), store.changes(after), strict=True))
        assert sum(len(ours) for ours, _ in pairs) == store.head - after
        for ours, theirs in pairs:
            assert (ours.first, ours.committed_at) == (theirs.first, theirs.committed_at)
            assert (ours.records == theirs.records).all()
            assert (ours.received_at == theirs.received_at).all()
    reader.close()
    store._file.close()


def test_a_limit_stops_after_the_change_set_that_reaches_it(store, reader):
    for value in range(1, 4):
        put(store, [1, 2], [float(value)] * 2)
    assert [len(change) for change in reader.changes(0, limit=3)] == [2, 2]
    (cut,) = reader.changes(3, limit=1)
    assert (cut.first, len(cut)) == (4, 1)
    assert not cut.records.flags.writeable


def test_a_number_that_never_was_is_a_gap(store, reader):
    put(store, 1, 1.0)
    with pytest.raises(GapError) as gap:
        list(reader.changes(2))
    assert (gap.value.asked, gap.value.oldest) == (3, 2)


@pytest.mark.parametrize("everything", [True, False])
def test_what_is_written_during_the_copy_is_brought_into_it(store, reader, monkeypatch, everything):
    """The writer commits while half of the image is copied: the copy stands for the later number."""
    put(store, np.arange(POINTS), 1.0)
    copy, pick = Image.copied, Image.picked_known

    def interrupted(image, pids=None):
        first = copy(image) if pids is None else pick(image, pids)
        put(store, np.arange(POINTS), 2.0, source_time=5)
        second = copy(image) if pids is None else pick(image, pids)
        for early, late in zip(first.columns(), second.columns(), strict=True):
            early[POINTS // 4 :: 2] = late[POINTS // 4 :: 2]
        monkeypatch.undo()
        return first

    monkeypatch.setattr(Image, "copied" if everything else "picked_known", interrupted)
    found = reader.snapshot(None if everything else np.arange(1, POINTS - 1, dtype=np.uint32))
    assert found.seq == 2 * POINTS == store.head
    assert set(found.value.tolist()) == {2.0}
    assert set(found.source_time.tolist()) == {5}


def test_a_snapshot_overrun_again_and_again_is_given_up(store, reader, monkeypatch):
    monkeypatch.setattr(StoreReader, "_between", lambda *_: (_ for _ in ()).throw(GapError(1, 2)))
    with pytest.raises(StoreError, match=r"faster than they can be read.*fewer points"):
        reader.snapshot()


def test_it_goes_on_when_the_model_grows(store, reader):
    put(store, 1, 1.0)
    assert reader.snapshot().seq == 1
    boot = reader.boot
    store.grow(POINTS + 10)
    put(store, POINTS + 9, 2.0)
    found = reader.snapshot()
    assert (found.seq, len(found), reader.capacity, reader.boot) == (2, POINTS + 10, POINTS + 10, boot)
    assert found.value[[1, POINTS + 9]].tolist() == [1.0, 2.0]
    assert [change.first for change in reader.changes(1)] == [2]


def test_it_sees_that_the_writer_hangs(store, reader, clock):
    store.commit()
    clock.advance(3)
    assert reader.silence_s == pytest.approx(3)
    assert reader.alive
    store.commit()
    assert reader.silence_s == pytest.approx(0)


def test_it_sees_that_the_writer_has_stopped_and_come_back(tmp_path, clock):
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    reader = StoreReader(tmp_path)
    put(store, 1, 1.0)
    boot = reader.boot
    store.close()
    assert not reader.alive
    assert reader.snapshot().value[1] == 1.0
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    assert reader.alive
    assert reader.boot != boot
    (marked,) = reader.changes(1)
    assert marked.records["quality"].tolist() == [OLD]
    reader.close()
    reader.close()
    store.close()


def test_what_a_dead_writer_could_not_keep_is_a_gap_for_who_has_read_it(tmp_path, clock, monkeypatch):
    """The disk was full: readers were shown changes that no journal has, and their numbers are used again."""
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    reader = StoreReader(tmp_path)
    put(store, [1, 2], [1.0, 1.0])

    def full():
        raise StoreError("no space left to write")

    monkeypatch.setattr(store._file, "write", full)
    put(store, [1, 2, 3], [2.0, 2.0, 2.0])
    assert [change.last for change in reader.changes(0)] == [2, 5]
    store._file.close()  # killed
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    put(store, [1, 2, 3, 4], 7.0)
    assert store.head > 5
    with pytest.raises(GapError) as gap:
        list(reader.changes(5))
    assert gap.value.asked == 6
    found = reader.snapshot()
    same(found, store.snapshot())
    assert list(reader.changes(found.seq)) == []
    reader.close()
    store.close()


def test_a_writer_that_comes_back_while_changes_are_read_ends_the_reading(tmp_path, clock, monkeypatch):
    """It has not come again to the number at which the reading was to end: its ring holds nothing there."""

    def full():
        raise StoreError("no space left to write")

    pids = np.arange(POINTS, dtype=np.uint32)
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    for value in range(130):  # more than the ring holds: the reading begins in the journal
        put(store, pids, float(value))
    kept = store.head
    monkeypatch.setattr(store._file, "write", full)
    for value in range(3):
        put(store, pids, 1000.0 + value)
    reader = StoreReader(tmp_path)
    following, file = reader.changes(0), store._file
    monkeypatch.setattr(reader, "_from_journal", lambda after, until: list(journal.follow(file, after)))  # not mapped twice
    read = [next(following)]
    file.close()  # killed
    store = Store(tmp_path, POINTS, clock, map_mb=16, journal_mb=1)
    assert reader.head == kept + POINTS  # whoever asks for it meanwhile maps the new image
    with pytest.raises(GapError) as gap:
        read.extend(following)
    assert (read[-1].last, gap.value.asked) == (kept, kept + 1)
    assert next(iter(reader.changes(kept))).is_restart
    reader.close()
    store.close()


def test_nobody_serves(tmp_path):
    with pytest.raises(StoreError, match=r"nobody serves this database.*start the server"):
        StoreReader(tmp_path)


# ---------------------------------------------------------------- real processes


class Process:
    """One of :mod:`rtdb.rtdb_process`."""

    def __init__(self, verb, folder, *numbers):
        command = [sys.executable, os.fspath(SCRIPT), verb, os.fspath(folder), *map(str, numbers)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait()}"
        return json.loads(line)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.communicate("stop\n", timeout=30)
        assert self.process.returncode == 0

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def processes():
    started = []

    def start(*arguments):
        started.append(Process(*arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.kill()
        one.process.stdin.close()
        one.process.stdout.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_snapshot_under_write_is_the_state_of_its_number(tmp_path, processes):
    writer = processes("write", tmp_path, 60_000)
    readers = [processes("check", tmp_path, 60_000, writer.first["start"], 30) for _ in range(2)]
    while any(one.process.poll() is None for one in readers):
        writer.ask("steps", 50)
    for one in readers:
        assert one.answer() == {"wrong": 0, "ordered": True, "alive": True}
    writer.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_follower_gets_every_change_in_order_from_journal_and_ring(tmp_path, processes):
    """It begins far behind the ring, while the writer goes on."""
    writer = processes("write", tmp_path, 5_000)
    start = writer.first["start"]
    writer.ask("steps", 100)  # 50 000 changes, the ring holds 4 096
    follower = processes("follow", tmp_path, start, start + 200 * STEP)
    writer.ask("steps", 100)
    assert follower.answer() == {"after": start + 200 * STEP, "wrong": 0}
    writer.end()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_outlives_its_writers(tmp_path, processes):
    """One is killed, one stops, the model grows; the reader has every change once, and says when nobody writes."""
    writer = processes("write", tmp_path, 2_000)
    reader, last = StoreReader(tmp_path), 0
    seen, boots = np.full(2_100, np.nan), set()

    def follow(until):
        nonlocal last
        while last < until:
            for change in reader.changes(last):
                assert change.first == last + 1
                records, _ = change.shown()
                seen[records["pid"]] = records["value"]
                last = change.last
        boots.add(reader.boot)

    follow(writer.ask("steps", 30)["head"])
    expected = np.full(2_100, np.nan)
    for step in range(1, 31):
        expected[pids_of(step, 2_000)] = step
    assert reader.alive
    writer.kill()
    assert not reader.alive
    np.testing.assert_array_equal(reader.snapshot().value, expected[:2_000])

    assert len(shared._files(tmp_path)) == 1, "nobody could remove it"
    writer = processes("write", tmp_path, 2_000)
    assert len(shared._files(tmp_path)) == 1, "the next writer did"
    assert reader.alive
    follow(writer.ask("grow", 2_100)["head"])
    follow(writer.ask("steps", 20)["head"])
    assert reader.capacity == 2_100
    np.testing.assert_array_equal(seen[:2_000], reader.snapshot().value[:2_000])
    writer.end()
    assert not reader.alive
    assert shared._files(tmp_path) == []
    writer = processes("write", tmp_path, 2_100)
    follow(writer.ask("steps", 5)["head"])
    np.testing.assert_array_equal(seen, reader.snapshot().value)
    assert len(boots) == 3
    writer.end()
    reader.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_reader_killed_at_work_leaves_no_trace(tmp_path, processes):
    writer = processes("write", tmp_path, 5_000)
    writer.ask("steps", 50)
    for _ in range(2):
        reader = processes("die", tmp_path)
        writer.ask("steps", 20)
        reader.kill()
    assert writer.ask("steps", 50)["step"] == 140
    checked = processes("check", tmp_path, 5_000, writer.first["start"], 1)
    assert checked.answer()["wrong"] == 0
    writer.end()
    store = Store(tmp_path, 5_000, VirtualClock(), map_mb=512, journal_mb=128)
    assert store.fault is None
    store.close()


@pytest.fixture
def views(store, monkeypatch):
    """Reads the journal through the writer's file (one process may not map it twice); lists what was opened and closed."""
    opened = []

    class View:
        def __init__(self, *_arguments, **_named):
            opened.append("opened")
            self.path = store._file.path

        def read(self):
            return store._file.read()

        def close(self):
            opened.append("closed")

    monkeypatch.setattr(reader_module, "LmdbView", View)
    return opened


def test_the_journal_is_opened_once_and_only_when_needed(store, reader, views):
    for value in range(1, 300):
        put(store, np.arange(POINTS), float(value))
    list(reader.changes(store.head - 100))
    assert views == []
    for _ in range(2):
        assert sum(len(change) for change in reader.changes(0)) == store.head
    assert views == ["opened"]
    reader.close()
    assert views == ["opened", "closed"]


def test_what_is_overrun_while_it_is_copied_from_the_ring_comes_from_the_journal(store, reader, views, monkeypatch):
    for value in range(1, 6):
        put(store, np.arange(POINTS), float(value))
    fence = reader_module.fence

    def overrun():
        monkeypatch.setattr(reader_module, "fence", fence)
        for value in range(6, 200):
            put(store, np.arange(POINTS), float(value))
        fence()

    monkeypatch.setattr(reader_module, "fence", overrun)
    given = list(reader.changes(0))
    assert views == ["opened"]
    assert [change.records["value"].tolist() for change in given] == [[float(value)] * POINTS for value in range(1, 6)]
