"""Pages sealed in turn: parts instead of rewritten hours, crashes between any two flushes, merging, old files."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from history.conformance import Feeder, late, point, rows_of, same_periods
from history.plain_history import PlainPoint
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.history import reading, rotation
from scada.history import store as store_module
from scada.history.interface import NOT_RECORDED, LateColumns
from scada.history.rows import ROW_DTYPE
from scada.history.store import HistoryStore
from scada.rtdb.lmdb_file import LmdbFile, seal

COUNT = 40
POINTS = [point(pid) for pid in range(COUNT)]
NS = NS_PER_S


class Wide(Feeder):
    """A feeder for many points."""

    def __init__(self, clock):
        super().__init__(clock)
        self.value, self.quality = np.full(COUNT, np.nan), np.zeros(COUNT, np.uint32)


def opened(folder, clock):
    return HistoryStore(folder, clock, POINTS, map_mb=64)


def chunk_keys(history, table="chunks"):
    with history._file.read() as txn:
        return [key for key, _ in txn.ascending(table)]


@pytest.fixture
def clock():
    clock = VirtualClock()
    clock.advance(3600 - clock.now_ns() / NS % 3600)
    return clock


def test_a_flush_seals_its_share_of_the_pages_and_appends_parts(tmp_path, clock):
    history, feed = opened(tmp_path, clock), Wide(clock)
    for minute in range(30):
        history.append(feed.change(*((pid, float(minute)) for pid in range(COUNT))))
        clock.advance(200)  # a third of a turn: one page of three
        before = set(chunk_keys(history))
        history.flush()
        fresh = set(chunk_keys(history)) - before
        assert {int.from_bytes(key[:4], "big") // rotation.PAGE for key in fresh} <= {minute % 3}
    parts = [key for key in chunk_keys(history) if len(key) == 12]
    assert 0 < len(parts) <= 2 * COUNT * 7
    assert [len(history.query(pid, 0, clock.now_ns())) for pid in (0, 17, 39)] == [30, 30, 30]
    history.close()


def test_hours_that_are_over_are_one_chunk(tmp_path, clock):
    history, feed = opened(tmp_path, clock), Wide(clock)
    for second in range(0, 3 * 3600, 60):
        history.append(feed.change((0, float(second)), (39, float(second))))
        clock.advance(60)
        history.flush()
    for _ in range(4):
        clock.advance(601)
        history.append(feed.change((1, clock.now_ns() / NS)))
        history.flush()
    merged = [key for key in chunk_keys(history) if key[:4] == bytes(4)]
    assert [len(key) for key in merged] == [8, 8, 8]
    assert history.query(0, 0, clock.now_ns()).value.tolist() == [float(second) for second in range(0, 3 * 3600, 60)]
    history.close()


def test_the_log_is_removed_behind_the_pages(tmp_path, clock):
    history, feed = opened(tmp_path, clock), Wide(clock)
    longest = 0
    for index in range(60):
        history.append(feed.change((index % COUNT, float(index))))
        clock.advance(100)
        history.flush()
        longest = max(longest, len(chunk_keys(history, "tail")))
    assert longest <= 14
    history.close()


def test_much_in_memory_makes_it_hurry(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(rotation, "TAIL_ROWS", 100)
    history, feed = opened(tmp_path, clock), Wide(clock)
    for index in range(20):
        history.append(feed.change(*((pid, float(index)) for pid in range(COUNT))))
        clock.advance(1)
        history.flush()
    assert history._sampler.kept.count < 400
    history.close()


steps_of = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 9)), min_size=1, max_size=30)),
        st.tuples(st.just("flush"), st.sampled_from([1, 100, 250, 700, 4000])),
        st.tuples(st.just("late"), st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(1, 5000)), min_size=1, max_size=5)),
        st.tuples(st.just("crash"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=20, deadline=None)
@given(steps=steps_of)
def test_any_turn_and_any_crash_lose_and_double_nothing(tmp_path_factory, steps):
    folder, clock = tmp_path_factory.mktemp("history"), VirtualClock()
    start = clock.now_ns()
    history, feed, plain = opened(folder, clock), Wide(clock), [PlainPoint() for _ in POINTS]
    durable = [[] for _ in POINTS]
    for what, rows in steps:
        if what == "live":
            for pid, value in rows:
                clock.advance(0.25)
                if feed.value[pid] != value:
                    history.append(feed.change((pid, float(value))))
                    for kept in (plain[pid].arrived, durable[pid]):
                        kept.append((clock.now_ns(), float(value), 0))
        elif what == "late":
            for pid, ago in rows:
                time = clock.now_ns() - ago * NS - 7
                if start < time and all(time != row[0] for row in plain[pid].arrived):
                    assert history.backfill([late(pid, [time], [50.0])]).stored == 1
                    plain[pid].arrived.append((time, 50.0, 0))
        elif what == "flush":
            clock.advance(rows)
            history.flush()
            assert history.fault is None
            durable = [list(one.arrived) for one in plain]
        else:
            history._file.close()
            history = opened(folder, clock)
            for change in feed.journal:
                history.append(change)
            for one, rows_kept in zip(plain, durable, strict=True):
                one.arrived = list(rows_kept)  # late values by call are durable from the next flush on
    now = clock.now_ns() + 1
    for pid in range(0, COUNT, 3):
        assert rows_of(history.query(pid, start, now)) == plain[pid].raw([], start, now)
        begin = start - start % (60 * NS)
        expected = plain[pid].periods([], begin, now, 60, clock.now_ns())
        same_periods(history.aggregates(pid, begin, now, 60), expected)
    history._file.close()


def test_samples_given_up_are_a_gap(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_MAX_ROWS", 50)
    history, feed = opened(tmp_path, clock), Wide(clock)
    start = clock.now_ns()
    history.append(feed.change((0, -1.0)))
    clock.advance(601)
    history.flush()
    write = history._file.write

    def refuse():
        raise StoreError("no space left")

    monkeypatch.setattr(history._file, "write", refuse)
    for index in range(80):
        history.append(feed.change((0, float(index))))
        clock.advance(1)
        history.flush()
    assert history.lost == 30
    monkeypatch.setattr(history._file, "write", write)
    clock.advance(1)
    history.flush()
    assert history.fault is None
    found = history.query(0, start, clock.now_ns())
    assert found.quality.tolist() == [0, NOT_RECORDED, *[0] * 50]
    assert found.value[2:].tolist() == [float(index) for index in range(30, 80)]
    assert history.stored_seq == history.seq == 81
    history._file.close()
    history = opened(tmp_path, clock)
    assert history.query(0, start, clock.now_ns()).quality.tolist() == [0, NOT_RECORDED, *[0] * 50]
    history.close()


def test_clocks_that_cannot_be_read_together_are_not_taken_for_one_that_was_set(tmp_path, clock, monkeypatch):
    history, feed = opened(tmp_path, clock), Wide(clock)
    history.began(feed.snapshot())
    history.append(feed.change((0, 1.0)))
    history.flush()
    seconds = itertools.count(0, 100.0)
    monkeypatch.setattr(clock, "monotonic", lambda: next(seconds))
    for value in (2.0, 3.0):
        clock.advance(1)
        history.append(feed.change((0, value)))
        history.flush()
    assert history._gaps == []
    history._file.close()


def test_minutes_given_up_are_a_gap_and_a_point_that_rests_is_known_again(tmp_path, clock, monkeypatch):
    """Point 1 stays within its dead-band: it makes minutes and no samples."""
    monkeypatch.setattr(store_module, "_MAX_ROWS", 5)
    points = [point(0), point(1, deadband=100.0)]
    history, feed = HistoryStore(tmp_path, clock, points, map_mb=16), Wide(clock)
    clock.advance(60 - clock.now_ns() / NS_PER_S % 60)
    start = clock.now_ns()
    history.append(feed.change((0, 7.0), (1, 0.0)))
    clock.advance(601)
    history.flush()
    write = history._file.write

    def refuse():
        raise StoreError("no space left")

    monkeypatch.setattr(history._file, "write", refuse)
    for index in range(20):
        history.append(feed.change((1, float(index))))
        clock.advance(60)
        history.flush()
    assert history.lost
    monkeypatch.setattr(history._file, "write", write)
    history.flush()
    clock.advance(60)
    now = clock.now_ns()
    found = history.aggregates(1, start, now, 60)
    known = dict(zip(((found.time_ns - start) // (60 * NS_PER_S)).tolist(), found.time_weighted.tolist(), strict=True))
    for minute, value in known.items():
        assert minute <= 10 or math.isnan(value) or value >= min(minute, 29) - 11, "no lost minute shows the value before it"
    assert history.before([0], now).value.tolist() == [7.0]
    history._file.close()


def test_a_late_value_among_those_given_up_does_not_hide_that_newer_ones_are_missing(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(store_module, "_MAX_ROWS", 5)
    history, feed = opened(tmp_path, clock), Wide(clock)
    clock.advance(86_400)
    start = clock.now_ns()
    history.append(feed.change((0, -1.0)))
    history.flush()
    write = history._file.write

    def refuse():
        raise StoreError("no space left")

    monkeypatch.setattr(history._file, "write", refuse)
    clock.advance(60)
    history.backfill([LateColumns(0, np.array([start - 3600 * NS_PER_S]), np.array([-2.0]), np.zeros(1, np.uint32))])
    for index in range(20):
        history.append(feed.change((0, float(index))))
        clock.advance(10)
        history.flush()
    monkeypatch.setattr(history._file, "write", write)
    history.flush()
    assert math.isnan(history.before([0], start + 100 * NS_PER_S).value[0]), "not the value from before those lost"
    history._file.close()


@pytest.mark.parametrize("buckets", [0, 40])
def test_a_long_span_read_in_parts_says_the_same(tmp_path, clock, monkeypatch, buckets):
    history, feed = opened(tmp_path, clock), Wide(clock)
    start = clock.now_ns()
    for index in range(30):
        history.append(feed.change((0, float(index % 7))))
        clock.advance(9000)
        history.flush()
    end = clock.now_ns()

    def ask():
        if buckets:
            found = history.query(0, start + 7, end, buckets)
            return [found.time_ns, found.value, found.minimum, found.maximum, found.quality]
        found = history.aggregates(0, start, end + 86_400 * NS, 3600)
        return [getattr(found, one.name) for one in dataclasses.fields(found) if one.name != "pid"]

    whole = ask()
    monkeypatch.setattr(reading, "PART_NS", 7200 * NS_PER_S)
    for one, other in zip(ask(), whole, strict=True):
        np.testing.assert_array_equal(one, other)
    history._file.close()


def test_a_file_of_layout_1_is_brought_up(tmp_path, clock):
    start = clock.now_ns()
    names = ("chunks", "tail", "names", "meta", "damaged")
    old = LmdbFile(tmp_path, "history", layout=1, map_mb=64, databases=names)
    rows = np.array([(0, start + i * NS, i, 0) for i in range(5)], ROW_DTYPE)
    with old.write() as txn:
        txn.put("names", b"m3", bytes(4))
        txn.put("tail", bytes(8), seal(rows[:3].tobytes()))
        txn.put("tail", (3).to_bytes(8, "big"), seal(rows[3:].tobytes()))
        txn.put("meta", b"seq", (7).to_bytes(8, "big"))
    old.close()
    clock.advance(100)
    history = opened(tmp_path, clock)
    assert (history.seq, history.stored_seq) == (7, 7)
    assert history.query(3, start, clock.now_ns()).value.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    feed = Wide(clock)
    feed.seq = 7
    history.append(feed.change((3, 9.0)))
    clock.advance(8000)
    history.flush()
    assert history.query(3, start, clock.now_ns()).value.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 9.0]
    history.close()
