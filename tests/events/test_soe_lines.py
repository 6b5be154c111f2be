"""Which records become lines of the sequence of events, and in which order the window lets them out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import OPERATOR, POINT_DTYPE, HoldAct, RecordFlag, TimeQuality
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.events.soe import SoeWindow, StatusLines, order_time
from scada.model_cim.tables import AlarmClass, Point, PointKind
from scada.rtdb.changes import ChangeSet

T0 = 1_700_000_000 * NS_PER_S
MS = 1_000_000


def point(pid, kind):
    states = {1: "open", 2: "closed"} if kind is PointKind.DOUBLE else {}
    return Point(PointId(pid), f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, None, states=states)


LINES = StatusLines([point(0, PointKind.DOUBLE), point(1, PointKind.STATUS), point(2, PointKind.ANALOG)])


def change(*rows, first=100, received=T0):
    """Rows of (pid, value, flags, more columns)."""
    records = np.zeros(len(rows), POINT_DTYPE)
    for record, (pid, value, flags, *more) in zip(records, rows, strict=True):
        record["pid"], record["value"], record["flags"] = pid, value, flags
        for name, column in (more[0] if more else {}).items():
            record[name] = column
    return ChangeSet(first, records, np.full(len(rows), received, np.int64), received)


CHANGED = RecordFlag.VALUE_CHANGED | RecordFlag.EVENT
STAMP = {"source_time": T0 - 5 * MS}


@pytest.mark.parametrize(
    ("flags", "more", "key"),
    [
        (CHANGED, STAMP, "status.changed"),
        (CHANGED, {}, "status.changed"),
        (CHANGED | RecordFlag.REFRESH, STAMP, "status.found"),
        (RecordFlag.EVENT, STAMP, "status.reported"),
        (RecordFlag.EVENT, {}, None),
        (CHANGED | RecordFlag.FIRST, STAMP, None),
        (RecordFlag.QUALITY_SET, STAMP, None),
        (CHANGED | RecordFlag.HELD, STAMP, "status.behind_hold"),
        (RecordFlag.HELD | RecordFlag.EVENT, STAMP, "status.behind_hold"),
        (RecordFlag.HELD | RecordFlag.QUALITY_SET, STAMP, None),
        (RecordFlag.BACKFILL, STAMP, "status.backfilled"),
        (RecordFlag.BACKFILL | RecordFlag.EVENT, STAMP, "status.backfilled"),
        (CHANGED, STAMP | {"quality": int(Quality.NEVER_RECEIVED)}, None),
        (RecordFlag.BACKFILL, STAMP | {"quality": int(Quality.NEVER_RECEIVED)}, None),
        (CHANGED, {"channel": OPERATOR, "detail": HoldAct.SUBSTITUTE}, None),
        (CHANGED | RecordFlag.REFRESH, STAMP | {"channel": OPERATOR, "detail": HoldAct.RELEASE}, None),
        (RecordFlag.EVENT, STAMP | {"channel": OPERATOR, "detail": HoldAct.RELEASE}, None),
    ],
)
def test_which_records_are_lines(flags, more, key):
    found = LINES.of(change((0, 2.0, flags, more)))
    assert [line.key for line in found] == ([key] if key else [])


def test_no_line_is_merged_and_analogs_give_none():
    found = LINES.of(change((0, 1.0, CHANGED), (2, 5.0, CHANGED), (0, 2.0, CHANGED), (0, 1.0, CHANGED), (9, 1.0, CHANGED)))
    assert [(line.pid, line.value, line.seq, line.event_id) for line in found] == [
        (0, 1.0, 100, 0),
        (0, 2.0, 102, 0),
        (0, 1.0, 103, 0),
    ]
    assert [line.parameters["state"] for line in found] == ["open", "closed", "open"]
    assert LINES.of(change((2, 1.0, CHANGED))) == []


@pytest.mark.parametrize(
    ("more", "source", "said"),
    [
        ({"source_time": T0 - 5 * MS}, T0 - 5 * MS, None),
        ({}, 0, None),
        ({"source_time": T0 - 5 * MS, "quality": int(Quality.TIME_INVALID)}, 0, "2023-11-14T22:13:19.995Z"),
        ({"source_time": T0 - 5 * MS, "time_quality": TimeQuality.INVALID}, 0, "2023-11-14T22:13:19.995Z"),
        ({"source_time": T0 + 900 * MS}, T0 + 900 * MS, None),
        ({"source_time": T0 + 3600 * NS_PER_S}, 0, "2023-11-14T23:13:20.000Z"),
    ],
)
def test_a_time_that_cannot_be_is_not_taken_and_what_was_said_is_shown(more, source, said):
    (line,) = LINES.of(change((1, 1.0, CHANGED, more)))
    assert (line.source_time_ns, line.parameters.get("said")) == (source, said)
    assert order_time(line) == (source or T0)


def line(source_ms, seq=1, key="status.changed", received_ms=0):
    source = T0 + source_ms * MS if source_ms is not None else 0
    received = T0 + received_ms * MS
    return Event(received, EventKind.STATUS_CHANGE, AlarmClass.CHANGE, 4, key, source_time_ns=source, seq=seq, value=0.0)


def test_lines_wait_for_the_window_and_come_out_in_order():
    clock = VirtualClock(T0)
    window = SoeWindow(0.5, clock)
    assert window.take([line(50, 1), line(20, 2)]) == []
    clock.advance(0.3)
    assert window.take([line(30, 3), line(90, 4)]) == []
    assert window.release() == []
    clock.advance(0.2)
    assert [each.seq for each in window.release()] == [2, 3, 1], "what stands before a line that is due goes with it"
    assert len(window) == 1
    clock.advance(0.3)
    assert [each.seq for each in window.release()] == [4]
    assert window.release(everything=True) == []


def test_a_late_line_is_let_out_at_once_and_says_so():
    clock = VirtualClock(T0)
    window = SoeWindow(0.5, clock)
    window.take([line(1000, 1)])
    clock.advance(0.5)
    window.release()
    (late,) = window.take([line(250, 2), line(1000, 3)])
    assert (late.seq, late.parameters["late"]) == (2, "0.750")
    assert len(window) == 1


def test_backfilled_lines_do_not_wait_and_make_nothing_late():
    window = SoeWindow(0.5, VirtualClock(T0))
    (old,) = window.take([line(-10_000, 1, "status.backfilled")])
    assert "late" not in old.parameters
    assert window.take([line(-20_000, 2)]) == []


def test_without_a_window_nothing_waits():
    window = SoeWindow(0.0, VirtualClock(T0))
    assert window.take([line(5, 1), line(3, 2)]) == []
    assert [each.seq for each in window.release()] == [2, 1]


def test_a_clock_that_is_set_back_makes_no_line_late():
    clock = VirtualClock(T0)
    window = SoeWindow(0.5, clock)
    window.take([line(None, 1)])
    clock.advance(1)
    window.release()
    clock.jump(-3600)
    assert window.take([line(None, 2, received_ms=-3_599_000)]) == []
    clock.advance(1)
    assert [each.seq for each in window.release()] == [2]


channels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3000)), min_size=1, max_size=40)
delays = st.lists(st.integers(0, 700), min_size=4, max_size=4)


@settings(max_examples=150, deadline=None)
@given(channels, delays)
def test_any_channels_with_skewed_delays_come_out_in_order_or_marked_late(happened, delay):
    """Independent check: what came out is sorted but for the marked lines, and every line came out once."""
    clock = VirtualClock(T0)
    window = SoeWindow(0.5, clock)
    arriving = sorted((at + delay[channel], channel, at) for channel, at in happened)
    out, now = [], 0
    for seq, (arrival, _, at) in enumerate(arriving, 1):
        while now < arrival:
            step = min(100, arrival - now)
            clock.advance(step / 1000)
            now += step
            out += window.release()
        out += window.take([line(at, seq, received_ms=arrival)])
    out += window.release(everything=True)
    assert sorted(each.seq for each in out) == list(range(1, len(arriving) + 1))
    on_time = [order_time(each) for each in out if "late" not in each.parameters]
    assert on_time == sorted(on_time)
    late = [each for each in out if "late" in each.parameters]
    if max(delay) - min(delay) <= 500:
        assert not late, "a skew within the window must not make a line late"
    for each in late:
        before = out[: [one.seq for one in out].index(each.seq)]
        assert any(order_time(one) > order_time(each) for one in before)


def test_equal_times_keep_the_order_of_the_database():
    clock = VirtualClock(T0)
    window = SoeWindow(0.1, clock)
    window.take([line(5, 3), line(5, 2), replace(line(5, 1), parameters={"late": ""})])
    clock.advance(1)
    assert [each.seq for each in window.release()] == [1, 2, 3]
