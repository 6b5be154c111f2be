"""Recall from the journal against a plain replay; spans of accidents; files that are whole or say so."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError
from scada.events.recall import CHANGE_DTYPE, Recall, RecallFolder, Span, extended, from_journal, last_values
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError
from scada.rtdb.store import Store

T0 = 1_700_000_000 * NS_PER_S
POINTS = 4


def rows(*given_rows):
    table = np.zeros(len(given_rows), CHANGE_DTYPE)
    for row, (time, pid, value) in zip(table, given_rows, strict=True):
        row["time"], row["pid"], row["value"] = time, pid, value
    return table


steps = st.lists(
    st.tuples(st.integers(0, POINTS - 1), st.integers(1, 5), st.sampled_from([None, 0, 300, 900]), st.booleans()), max_size=30
)


@settings(max_examples=40, deadline=None)
@given(steps, st.integers(0, 30), st.integers(0, 10))
def test_start_and_changes_are_those_of_a_plain_replay(script, from_s, length_s):
    """The reference remembers what was sent, in a list, and sorts it."""
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock(T0)
        store = Store(Path(folder), POINTS, clock, map_mb=16, journal_mb=1)
        sent = []
        for number, (pid, value, delay_ms, late) in enumerate(script):
            clock.advance(1)
            now = clock.now_ns()
            source = 0 if delay_ms is None else now - delay_ms * 1_000_000 - 1_500_000_000 * late
            flags = RecordFlag.BACKFILL if late else 0
            store.apply(PointBatch.of([pid], [float(value)], received_at=now, source_time=source, flags=flags))
            change = store.commit()
            if change is not None:
                sent.append((source or now, number, pid, float(value), late))
        clock.advance(1)
        from_ns, to_ns = T0 + from_s * NS_PER_S, T0 + (from_s + length_s) * NS_PER_S
        start, changes, unknown = from_journal(store.changes(store.oldest - 1), store.snapshot(), from_ns, to_ns)
        store.close()
        sent.sort()
        wanted = {pid: value for time, _, pid, value, late in sent if time < from_ns and not late}
        assert {int(row["pid"]): float(row["value"]) for row in start} == wanted
        inside = [(time, pid, value) for time, _, pid, value, _ in sent if from_ns <= time < to_ns]
        assert [(int(r["time"]), int(r["pid"]), float(r["value"])) for r in changes] == inside
        assert set(unknown.tolist()) == set(), "the journal reaches back to the first value of every point"


def test_what_did_not_change_in_the_journal_is_the_present_value():
    clock = VirtualClock(T0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), POINTS, clock, map_mb=16, journal_mb=1)
        store.apply(PointBatch.of([0, 1], [5.0, 6.0], received_at=T0))
        store.commit()
        first = store.head
        clock.advance(10)
        store.apply(PointBatch.of([1], [7.0], received_at=clock.now_ns()))
        store.commit()
        start, changes, unknown = from_journal(store.changes(first), store.snapshot(), T0 + NS_PER_S, T0 + 60 * NS_PER_S)
        store.close()
    assert [(int(row["pid"]), float(row["value"])) for row in start] == [(0, 5.0)], "2 and 3 were never received"
    assert unknown.tolist() == [1], "of 1 the journal holds only what came later"
    assert changes["value"].tolist() == [7.0]


def test_what_is_behind_a_hold_is_not_shown():
    clock = VirtualClock(T0)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), POINTS, clock, map_mb=16, journal_mb=1)
        store.apply(PointBatch.of([0], [1.0], received_at=T0))
        store.hold(0, 9.0)
        store.commit()
        clock.advance(5)
        store.apply(PointBatch.of([0], [2.0], received_at=clock.now_ns()))
        store.commit()
        start, changes, _ = from_journal(store.changes(0), store.snapshot(), T0 + NS_PER_S, T0 + 60 * NS_PER_S)
        store.close()
    assert start["value"].tolist() == [9.0]
    assert len(changes) == 0


def test_last_values():
    assert last_values(rows((1, 5, 1.0), (2, 3, 2.0), (3, 5, 3.0)))["value"].tolist() == [2.0, 3.0]
    assert len(last_values(rows())) == 0


def event(second, event_id=1, **more):
    return Event(
        T0 + second * NS_PER_S, EventKind.STATE_ALARM, AlarmClass.ACCIDENT, 1, "state.alarm", event_id=event_id, value=0.0, **more
    )


RECALL = Recall(
    T0,
    T0 - 60 * NS_PER_S,
    T0 + 60 * NS_PER_S,
    "journal",
    False,
    "values at the start are not known of 2 points",
    rows((0, 1, 5.0), (0, 2, 6.0)),
    rows((T0 - NS_PER_S, 1, 7.0), (T0 + NS_PER_S, 2, 8.0)),
    [event(-1, pid=1, path="S/Q", station="S"), event(0, pid=-1, station="S"), event(2, pid=2)],
    4711,
)


def test_a_part_of_a_recall_starts_with_the_values_then_in_force():
    part = RECALL.within(T0, T0 + 2 * NS_PER_S)
    assert [(int(row["pid"]), float(row["value"])) for row in part.start] == [(1, 7.0), (2, 6.0)]
    assert part.changes["value"].tolist() == [8.0]
    assert [one.time_ns for one in part.events] == [T0]


def test_points_and_station():
    part = RECALL.of(np.array([1], np.uint32), "S")
    assert (part.start["pid"].tolist(), part.changes["pid"].tolist()) == ([1], [1])
    assert [one.pid for one in part.events] == [1, -1]
    assert RECALL.of(None) is RECALL


def test_accidents_make_spans():
    before, after = 10 * NS_PER_S, 20 * NS_PER_S
    spans: list[Span] = []
    for second in (0, 5, 15, 200):
        spans = extended(spans, event(second, second + 1), before, after)
    assert [(span.at_ns - T0, span.from_ns - T0, span.to_ns - T0, span.event_id) for span in spans] == [
        (0, -10 * NS_PER_S, 35 * NS_PER_S, 1),
        (200 * NS_PER_S, 190 * NS_PER_S, 220 * NS_PER_S, 201),
    ]
    for second in range(210, 400, 10):
        spans = extended(spans, event(second, second + 1), before, after)
    assert spans[1].to_ns == T0 + 300 * NS_PER_S, "at most five times the time after the first"
    assert spans[2].at_ns == T0 + 300 * NS_PER_S


def test_a_file_comes_back_as_it_was_and_the_oldest_go(tmp_path):
    folder = RecallFolder(tmp_path / "new", keep=2)
    assert folder.listed() == []
    for n in range(3):
        folder.save(replace(RECALL, at_ns=T0 + n, event_id=n), f"S/Q{n}")
    listed = folder.listed()
    assert [(info.at_ns, info.event_id, info.reason, info.complete) for info in listed] == [
        (T0 + 2, 2, "S/Q2", False),
        (T0 + 1, 1, "S/Q1", False),
    ]
    found = folder.read(listed[0].path)
    assert found.source == "capture"
    assert (found.from_ns, found.to_ns, found.reason, found.event_id) == (RECALL.from_ns, RECALL.to_ns, RECALL.reason, 2)
    assert np.array_equal(found.start, RECALL.start)
    assert np.array_equal(found.changes, RECALL.changes)
    assert found.events == RECALL.events
    assert folder.covering(RECALL.from_ns, RECALL.to_ns) == listed[0]
    assert folder.covering(RECALL.from_ns - 1, RECALL.to_ns) is None
    assert not list((tmp_path / "new").glob("*.new"))


@pytest.mark.parametrize("place", [0, 3, 20, 40, -1, -30])
@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_says_so_and_hides_no_other(tmp_path, place, cut):
    folder = RecallFolder(tmp_path, keep=9)
    good = folder.save(RECALL, "S/Q1")
    bad = folder.save(replace(RECALL, at_ns=T0 + 1), "S/Q2")
    blob = bytearray(bad.read_bytes())
    if cut:
        del blob[place:]
    else:
        blob[place] ^= 0xFF
    bad.write_bytes(blob)
    with pytest.raises(CorruptFileError):
        folder.read(bad)
    newest, other = folder.listed()
    assert (other.path, other.reason) == (good, "S/Q1")
    assert newest.at_ns == T0 + 1
    assert folder.covering(RECALL.from_ns, RECALL.to_ns) is not None


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be kept"):
        RecallFolder(tmp_path / "file", keep=1).save(RECALL, "x")
    with pytest.raises(StoreError, match="cannot read"):
        RecallFolder(tmp_path, keep=1).read(tmp_path / "none.recall")
