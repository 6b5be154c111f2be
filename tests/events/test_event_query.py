"""Queries of the event log against a plain list; pages, retention, upgrade, held lines, suppressions."""

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.events import log as log_module
from scada.events.log import EventLog
from scada.events.log_index import Order, Query
from scada.events.records import Event, EventKind, Suppression, SuppressionKind
from scada.events.soe import order_time
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import LmdbFile

T0 = 1_700_000_000 * NS_PER_S
DAY_NS = 86_400 * NS_PER_S


def event(second=0.0, kind=EventKind.SYSTEM, key="system.started", **more):
    return Event(T0 + int(second * NS_PER_S), kind, AlarmClass.NOTICE, 4, key, value=0.0, **more)


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    yield log
    log._file.close()


rows = st.lists(
    st.builds(
        event,
        st.integers(0, 20),
        st.sampled_from([EventKind.STATUS_CHANGE, EventKind.LIMIT_VIOLATED, EventKind.ACKNOWLEDGED]),
        st.sampled_from(["status.changed", "limit.hi"]),
        station=st.sampled_from(["", "East", "West"]),
        path=st.sampled_from(["", "East/CB 2211", "West/cb 7", "线路"]),
        actor=st.sampled_from(["", "ann"]),
        source_time_ns=st.sampled_from([0, T0 + 5 * NS_PER_S, T0 + 9 * NS_PER_S]),
    ),
    max_size=40,
)
queries = st.builds(
    Query,
    st.sampled_from([Order.NEWEST, Order.TIME, Order.SOURCE]),
    from_ns=st.sampled_from([0, T0 + 3 * NS_PER_S]),
    to_ns=st.sampled_from([0, T0 + 3 * NS_PER_S, T0 + 15 * NS_PER_S]),
    kinds=st.sampled_from([frozenset(), frozenset({1}), frozenset({2, 10}), frozenset({17})]),
    station=st.sampled_from(["", "East", "Nowhere"]),
    text=st.sampled_from(["", "cb", "2211", "HI", "线", "ann", "nothing like it"]),
)


def expected(stored, query):
    """The same by looking through a list."""
    by_source = query.order is Order.SOURCE
    time = order_time if by_source else lambda one: one.time_ns
    found = [
        one
        for one in stored
        if query.from_ns <= time(one) < (query.to_ns or 2 * T0)
        and (not query.kinds or one.kind in query.kinds)
        and (not by_source or one.kind == EventKind.STATUS_CHANGE)
        and query.station in ("", one.station)
        and any(query.text.casefold() in name.casefold() for name in (one.path, one.key, one.actor))
    ]
    return sorted(found, key=lambda one: (time(one), one.event_id), reverse=query.order is Order.NEWEST)


@settings(max_examples=40, deadline=None)
@given(rows, st.lists(queries, min_size=1, max_size=6), st.booleans())
def test_any_query_gives_what_looking_through_all_events_gives(events, asked, disk_full):
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder), VirtualClock(), map_mb=16)
        cut = len(events) // 2 if disk_full else len(events)
        stored = log.append(events[:cut])
        if disk_full:
            write, log._file.write = log._file.write, _full
            stored += log.append(events[cut:])
            log._file.write = write
        for query in asked:
            found = [one.event_id for one in log.find(query, 1000)]
            wanted = [one.event_id for one in expected(stored, query)]
            if disk_full and query.order is not Order.NEWEST:
                assert sorted(found) == sorted(wanted)
            elif disk_full:
                assert found == [n for n in wanted if n > cut] + [n for n in wanted if n <= cut]
            else:
                assert found == wanted
        log._file.close()


def _full():
    raise StoreError("no space left to write")


@pytest.mark.parametrize("order", [Order.NEWEST, Order.TIME, Order.SOURCE])
def test_pages_put_together_are_the_whole(log, order):
    log.append([event(n % 7, EventKind.STATUS_CHANGE, station="East" if n % 3 else "West") for n in range(300)])
    whole = log.find(Query(order, station="East"), 1000)
    assert len(whole) == 200
    paged, behind = [], 0
    while page := log.find(Query(order, station="East", behind=behind), 23):
        paged += page
        behind = page[-1].event_id
    assert paged == whole
    assert log.find(Query(order, behind=999), 10) == [], "an event that is not in the log has nothing behind it"


def test_many_matching_names_are_found_too(log):
    log.append([event(n, path=f"East/{n}", key="limit.hi") for n in range(200)])
    assert len(log.find(Query(text="east/"), 1000)) == 200
    assert [one.path for one in log.find(Query(text="east/199"), 10)] == ["East/199"]
    log.append([event(500, path="x" * 600)])
    assert len(log.find(Query(text="x" * 600), 10)) == 1


def test_names_of_a_write_that_failed_are_written_with_the_next(log, tmp_path, monkeypatch):
    from contextlib import contextmanager

    whole = log._file.write

    @contextmanager
    def torn():
        with whole() as txn:
            yield txn
            raise StoreError("no space left to write")

    monkeypatch.setattr(log._file, "write", torn)
    log.append([event(station="East")])
    monkeypatch.setattr(log._file, "write", whole)
    log._clock.advance(2)
    log.append([event(station="West")])
    log._file.close()
    again = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert [one.event_id for one in again.find(Query(station="East"), 9)] == [1]
    assert [one.event_id for one in again.find(Query(station="West"), 9)] == [2]
    again._file.close()


def test_old_events_go_after_their_days(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_TRIM", 4)
    clock = VirtualClock(start_ns=T0)
    log = EventLog(tmp_path, clock, map_mb=16, keep_days=2)
    assert (log.expire(), log.oldest_ns()) == (0, 0)
    log.append([event(n, station="East") for n in range(6)])
    assert log.expire() == 0
    clock.advance(2 * 86_400 + 5)
    log.append([event(2 * 86_400 + 5)])
    assert [log.expire(), log.expire(), log.expire()] == [4, 1, 0]
    assert [one.event_id for one in log.query()] == [7, 6]
    assert [one.event_id for one in log.find(Query(station="East"), 9)] == [6]
    assert log.oldest_ns() == T0 + 5 * NS_PER_S
    log.close()


def test_held_lines_are_safe_until_they_are_numbered(log, tmp_path):
    lines = [event(n, EventKind.STATUS_CHANGE, seq=10 + n) for n in range(3)]
    log.append([], hold=lines, seq=12)
    assert log.query() == []
    log._file.close()
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert (log.held(), log.seq) == (lines, 12)
    log.append([lines[1]])
    log._file.close()
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert log.held() == [lines[0], lines[2]]
    log.append([lines[0]], hold=[event(5, EventKind.STATUS_CHANGE, seq=20)])
    assert [line.seq for line in log.held()] == [12, 20]
    log.close()


def test_a_line_held_and_released_while_the_disk_was_full_is_one_line(log, tmp_path, monkeypatch):
    whole = log._file.write
    monkeypatch.setattr(log._file, "write", _full)
    line = event(1, EventKind.STATUS_CHANGE, seq=10)
    log.append([], hold=[line], seq=10)
    log.append([line])
    monkeypatch.setattr(log._file, "write", whole)
    log._clock.advance(2)
    log.append([])
    log._file.close()
    again = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert (again.held(), len(again.query())) == ([], 1)
    again.close()


def test_suppressions_survive(log, tmp_path):
    shelved = Suppression("m1", "limit.hi", SuppressionKind.SHELVED, until_ns=5, user="ann", reason="why", left_s=60.0)
    whole = Suppression("m2", "", SuppressionKind.OUT_OF_SERVICE)
    log.append([], suppressions=[shelved, whole])
    log._file.close()
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert log.suppressions() == [shelved, whole]
    log.append([], suppressions=[Suppression("m1", "limit.hi", SuppressionKind.NONE, was=SuppressionKind.SHELVED)])
    assert log.suppressions() == [whole]
    log._file.close()
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert log.suppressions() == [whole]
    log.close()


def test_a_log_of_layout_1_is_brought_up(log, tmp_path):
    log.append([event(n, EventKind.STATUS_CHANGE, station="East", source_time_ns=T0 - n) for n in range(5)])
    log._file.close()
    _as_layout_1(tmp_path)
    log = EventLog(tmp_path, VirtualClock(), map_mb=32)
    assert [one.event_id for one in log.query()] == [5, 4, 3, 2, 1]
    assert [one.event_id for one in log.find(Query(Order.SOURCE, station="East"), 9)] == [5, 4, 3, 2, 1]
    assert log.append([event(9)])[0].event_id == 6
    log.close()
    assert list(tmp_path.glob("events.lmdb.before-*"))


def _as_layout_1(folder):
    """Bring a file back to what an older version wrote: events, and an index by time with the kind."""
    file = LmdbFile(folder, "events", layout=2, map_mb=32, databases=log_module._TABLES)
    with file.write() as txn:
        for table in ("sources", "facets", "names"):
            for key in [key for key, _ in txn.ascending(table)]:
                txn.delete(table, key)
        for key in [key for key, _ in txn.ascending("times")]:
            txn.put("times", key, b"\x01")
    with file._env.begin(write=True) as txn:
        txn.put(b"layout", b"1")
    file.close()


def test_who_follows_by_number_gets_what_waits_for_the_disk_once(log, monkeypatch):
    log.append([event()])
    monkeypatch.setattr(log._file, "write", _full)
    log.append([event(n) for n in range(5)])
    assert log.fault is not None
    assert [one.event_id for one in log.query(after_id=3, limit=100)] == [4, 5, 6]


def test_no_event_is_skipped_by_who_reads_while_it_is_written(log, monkeypatch):
    """The reader is held up after it has learned how far the file is; meanwhile events are written, and more come."""
    log.append([event()])
    write, read = log._file.write, log._file.read
    monkeypatch.setattr(log._file, "write", _full)
    log.append([event(1), event(2)])

    @contextmanager
    def held_up():
        with read() as txn:
            yield txn
        monkeypatch.setattr(log._file, "read", read)
        monkeypatch.setattr(log._file, "write", write)
        log._clock.advance(2)
        log.append([])
        monkeypatch.setattr(log._file, "write", _full)
        log.append([event(3)])

    monkeypatch.setattr(log._file, "read", held_up)
    assert [one.event_id for one in log.query(after_id=1)] == [2, 3]


def test_the_state_of_a_log_that_cannot_be_written_goes_with_its_number(log, monkeypatch):
    """An actor that is restarted meanwhile goes on after ``seq``: what it takes over must be of that number too."""
    first, second = (event(n, EventKind.STATUS_CHANGE, seq=10 + n) for n in range(2))
    shelved = Suppression("m1", "limit.hi", SuppressionKind.SHELVED)
    log.append([], hold=[first], suppressions=[shelved], seq=10)
    monkeypatch.setattr(log._file, "write", _full)
    gone = replace(shelved, kind=SuppressionKind.NONE, was=SuppressionKind.SHELVED)
    log.append([], hold=[second], suppressions=[gone], seq=11)
    assert log.fault is not None
    assert (log.held(), log.suppressions(), log.seq) == ([first, second], [], 11)
    log.append([first])
    assert log.held() == [second], "the first has its number"
    log.append([second])
    assert (log.held(), len(log._waiting_held)) == ([], 0), "nothing is kept for lines that are numbered"
