"""What every historian must do. A test file of one subclasses :class:`Contract` and gives the fixture ``rig``.

A rig has a ``clock`` (virtual), ``open(points=POINTS, retention=None)`` and ``kill(historian)``: as kill -9, nothing is written.
"""

import math

import numpy as np
import pytest
from history.plain_history import PlainPoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scada.core.batch import OPERATOR, POINT_DTYPE, RESTART, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.errors import StoreError
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.history.interface import NOT_RECORDED, LateColumns, Retention
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet, GapError, Snapshot

UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""The fixture makes a fresh rig at each call, and each historian runs the tests in a class of its own."""
BAD = int(Quality.INVALID)
OLD = int(Quality.OLD_DATA)
DAY = 86_400


def point(pid, kind=PointKind.ANALOG, mrid=None, **more):
    return Point(PointId(pid), mrid or f"m{pid}", f"S/{pid}", str(pid), kind, "", "MW", "", "", "S", "", 0, None, **more)


POINTS = [
    point(0),
    point(1, deadband=1.0),
    point(2, PointKind.DOUBLE, deadband=5.0),
    point(3, deadband=0.5, compression="swinging-door"),
    point(4, sample_s=10.0),
]


class Feeder:
    """A database that changes: change sets with numbers that go on, and the present values."""

    def __init__(self, clock):
        self.clock, self.seq, self.journal = clock, 0, []
        points = len(POINTS)
        self.value, self.quality = np.full(points, np.nan), np.full(points, int(Quality.NEVER_RECEIVED), np.uint32)

    def change(self, *rows, flags=0, at=None, channel=0):
        """Rows of (pid, value[, quality[, source time]]), received now."""
        now = self.clock.now_ns() if at is None else at
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        for record, (pid, value, *rest) in zip(records, rows, strict=True):
            record["pid"], record["value"], record["flags"], record["channel"] = pid, value, flags, channel
            record["quality"], record["source_time"] = (*rest, 0, 0)[:2] if len(rest) < 2 else rest
            if not flags & RecordFlag.ASIDE:
                self.value[pid], self.quality[pid] = value, record["quality"]
        change = ChangeSet(self.seq + 1, records, np.full(len(rows), now, np.int64), now)
        self.seq = change.last
        self.journal.append(change)
        return change

    def snapshot(self):
        zeros = np.full(len(self.value), self.clock.now_ns(), np.int64)
        return Snapshot(
            self.seq, np.arange(len(self.value), dtype=np.uint32), self.value.copy(), self.quality.copy(), zeros, zeros
        )

    def restarted(self):
        """What a database does at its start: marks every value from before."""
        known = np.flatnonzero((self.quality & np.uint32(Quality.NEVER_RECEIVED | OLD)) == 0)
        if len(known):
            rows = [(pid, self.value[pid], int(self.quality[pid]) | OLD) for pid in known.tolist()]
            self.change(*rows, flags=RecordFlag.QUALITY_SET, channel=RESTART)

    def catch_up(self, historian):
        for change in self.journal:
            historian.append(change)
        historian.began(self.snapshot())


def late(pid, times, values, quality=0):
    times = np.array(times, dtype=np.int64)
    return LateColumns(pid, times, np.array(values, dtype=np.float64), np.full(len(times), quality, dtype=np.uint32))


def rows_of(series):
    return list(zip(series.time_ns.tolist(), series.value.tolist(), series.quality.tolist(), strict=True))


def same(found, expected):
    """Rows are equal, no number to no number."""
    assert len(found) == len(expected), (found, expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, nan_ok=True, rel=1e-9, abs=1e-9), (found, expected)


def statistics(found):
    columns = (found.minimum, found.maximum, found.mean, found.time_weighted, found.last, found.count, found.good_s)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return dict(zip(found.time_ns.tolist(), rows, strict=True))


class Contract:
    """The tests."""

    @pytest.fixture
    def feed(self, rig):
        return Feeder(rig.clock)

    @pytest.fixture
    def historian(self, rig, feed):
        historian = rig.open()
        feed.catch_up(historian)
        yield historian
        rig.kill(historian)

    @pytest.fixture
    def t0(self, rig):
        """A whole hour, to which the clock is set."""
        rig.clock.advance(3600 - rig.clock.now_ns() / NS_PER_S % 3600)
        return rig.clock.now_ns()

    # ---------------------------------------------------------------- what is kept

    def test_changes_are_seen_at_once_and_after_they_are_durable(self, rig, historian, feed):
        start = rig.clock.now_ns()
        for value in (1.0, 2.0, 3.0):
            historian.append(feed.change((0, value)))
            rig.clock.advance(1)
        expected = [(start + i * NS_PER_S, i + 1.0, 0) for i in range(3)]
        assert rows_of(historian.query(0, start, start + 10**10)) == expected
        historian.flush()
        assert rows_of(historian.query(0, start, start + 10**10)) == expected
        assert (historian.seq, historian.stored_seq) == (3, 3)
        rig.clock.advance(700)
        historian.flush()
        assert rows_of(historian.query(0, start, start + 10**10)) == expected
        assert historian.status().waiting == 0

    def test_dead_band_status_and_quality(self, rig, historian, feed):
        start = rig.clock.now_ns()
        for rows in ([(1, 5.0)], [(1, 5.9)], [(1, 6.1)], [(1, 6.2, BAD)], [(2, 1.0)], [(2, 2.0)]):
            historian.append(feed.change(*rows))
            rig.clock.advance(1)
        end = rig.clock.now_ns()
        assert historian.query(1, start, end).value.tolist() == [5.0, 6.1, 6.2]
        assert historian.query(1, start, end).quality.tolist() == [0, 0, BAD]
        assert historian.query(2, start, end).value.tolist() == [1.0, 2.0]

    def test_changes_known_or_missing(self, historian, feed):
        first, second, third = (feed.change((0, value)) for value in (1.0, 2.0, 3.0))
        historian.append(first)
        assert historian.append(first) == 0
        with pytest.raises(GapError):
            historian.append(third)
        historian.append(second)
        historian.append(third)
        assert historian.seq == 3

    def test_what_an_operator_holds_off_is_passed_over(self, rig, historian, feed):
        start = rig.clock.now_ns()
        historian.append(feed.change((0, 1.0)))
        historian.append(feed.change((0, 7.0), flags=RecordFlag.HELD))
        assert historian.query(0, start, start + 1).value.tolist() == [1.0]
        assert historian.seq == 2

    def test_a_release_is_dated_by_its_moment(self, rig, historian, feed):
        start = rig.clock.now_ns()
        historian.append(feed.change((0, 1.0, 0, start)))
        rig.clock.advance(5)
        historian.append(feed.change((0, 9.0), channel=OPERATOR))
        rig.clock.advance(5)
        historian.append(feed.change((0, 1.5, 0, start + NS_PER_S), channel=OPERATOR, flags=RecordFlag.REFRESH))
        found = historian.query(0, start, rig.clock.now_ns() + 1)
        assert [(time - start) // NS_PER_S for time in found.time_ns.tolist()] == [0, 5, 10]
        assert found.value.tolist() == [1.0, 9.0, 1.5]

    def test_a_stamp_in_the_future_is_not_believed(self, rig, historian, feed):
        now = rig.clock.now_ns()
        historian.append(feed.change((0, 1.0, 0, now + 3600 * NS_PER_S)))
        assert rows_of(historian.query(0, now, now + 1)) == [(now, 1.0, int(Quality.TIME_INVALID))]

    @pytest.mark.parametrize("pause", [0, 700])
    def test_a_swinging_door_keeps_within_the_dead_band(self, rig, historian, feed, pause):
        rng, start = np.random.default_rng(3), rig.clock.now_ns()
        values = np.cumsum(rng.normal(0, 0.3, 2000))
        times = start + np.cumsum(rng.integers(1, 3 * NS_PER_S, 2000))
        for index, (time, value) in enumerate(zip(times.tolist(), values.tolist(), strict=True)):
            historian.append(feed.change((3, value, 0, time), at=time))
            if index % 400 == 399:
                rig.clock.advance(pause)
                historian.flush()
        found = historian.query(3, start, int(times[-1]) + 1)
        assert found.time_ns[-1] == times[-1], "the end of the trend is there though it is held back"
        assert len(found) < 1000
        line = np.interp((times - start).astype(float), (found.time_ns - start).astype(float), found.value)
        assert np.abs(line - values).max() <= 0.5 + 1e-9

    def test_fixed_samples_come_at_their_times(self, rig, historian, feed, t0):
        for second in range(0, 62, 2):
            historian.append(feed.change((4, float(second))))
            rig.clock.advance(2)
        historian.flush()
        expected = [(t0 + 10 * i * NS_PER_S, 10.0 * i, 0) for i in range(7)]
        assert rows_of(historian.query(4, t0, t0 + 100 * NS_PER_S)) == expected
        rig.clock.advance(25)
        historian.flush()
        assert rows_of(historian.query(4, t0, t0 + 100 * NS_PER_S))[7:] == [(t0 + i * NS_PER_S, 60.0, 0) for i in (70, 80)]
        historian.append(feed.change((4, 60.0, BAD)))
        rig.clock.advance(60)
        historian.flush()
        found = rows_of(historian.query(4, t0, t0 + 1000 * NS_PER_S))
        assert found[-1] == (t0 + 87 * NS_PER_S, 60.0, BAD), "a change of quality is kept exactly, bad values are not sampled"

    # ---------------------------------------------------------------- aggregates

    def test_minutes_are_of_every_value_not_of_the_samples_kept(self, rig, historian, feed, t0):
        for index in range(120):
            historian.append(feed.change((1, 5.0 + 0.4 * (index % 2))))
            rig.clock.advance(1)
        assert len(historian.query(1, t0, rig.clock.now_ns())) == 1
        found = historian.aggregates(1, t0, rig.clock.now_ns(), 60)
        assert found.count.tolist() == [60, 60]
        assert found.maximum.tolist() == [5.4, 5.4]
        assert found.time_weighted.tolist() == pytest.approx([5.2, 5.2])
        assert found.good_s.tolist() == [60, 60]

    def test_bad_values_count_in_nothing_and_the_value_goes_on_over_the_border(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 10.0)))
        rig.clock.advance(90)
        historian.append(feed.change((0, 99.0, BAD)))
        rig.clock.advance(60)
        historian.append(feed.change((0, 20.0)))
        rig.clock.advance(30)
        found = statistics(historian.aggregates(0, t0, rig.clock.now_ns(), 60))
        same(
            [found[t0 + i * 60 * NS_PER_S] for i in range(3)],
            [
                (10, 10, 10, 10, 10, 1, 60),
                (10, 10, math.nan, 10, 10, 0, 30),
                (20, 20, 20, 20, 20, 1, 30),
            ],
        )
        quarter = statistics(historian.aggregates(0, t0, rig.clock.now_ns(), 900))
        same([quarter[t0]], [(10, 20, 15, (10 * 90 + 20 * 30) / 120, 20, 2, 120)])

    def test_a_value_that_does_not_change_makes_full_minutes(self, rig, historian, feed, t0):
        historian.append(feed.change((2, 2.0)))
        for _ in range(3):
            rig.clock.advance(1300)
            historian.flush()
        found = historian.aggregates(2, t0, rig.clock.now_ns(), 60)
        assert found.good_s.tolist() == [60.0] * 65
        assert found.count.tolist() == [1] + [0] * 64

    def test_a_number_that_is_none_ends_what_goes_on_even_if_its_quality_is_good(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 10.0)))
        rig.clock.advance(30)
        historian.append(feed.change((0, math.nan)))
        rig.clock.advance(210)
        found = historian.aggregates(0, t0, rig.clock.now_ns(), 60)
        assert found.good_s.tolist()[0] == 30
        assert not found.good_s[1:].any(), "the number before is not in force any more"
        assert np.isnan(found.last[1:]).all()
        assert (found.quality[1:] & BAD).all()

    # ---------------------------------------------------------------- a clock that is set

    def test_a_clock_set_back_goes_on_where_it_stands(self, rig, historian, feed, t0):
        rig.clock.jump(3600)
        historian.append(feed.change((0, 1.0), (1, 5.0), (4, 7.0)))
        rig.clock.advance(30)
        historian.flush()
        rig.clock.jump(-3600)
        historian.append(feed.change((0, 2.0)))
        rig.clock.advance(60)
        historian.append(feed.change((0, 3.0)))
        historian.append(feed.change((1, 8.0, 0, rig.clock.now_ns())))
        rig.clock.advance(30)
        historian.flush()
        now = rig.clock.now_ns()
        at = [t0 + s * NS_PER_S for s in (30, 90)]
        assert [row for row in rows_of(historian.query(0, t0, now)) if row[1] != 1.0] == [(at[0], 2.0, 0), (at[1], 3.0, 0)]
        assert rows_of(historian.query(1, t0, now)) == [(at[0], 5.0, 0), (at[1], 8.0, 0)]
        assert historian.before([0, 1, 4], now).value.tolist() == [3.0, 8.0, 7.0]
        found = historian.aggregates(0, t0, t0 + 180 * NS_PER_S, 60)
        assert found.last.tolist() == [2.0, 3.0]
        assert found.good_s.tolist() == [30.0, 60.0]

    def test_a_clock_set_back_while_the_server_was_down_leaves_a_gap_all_the_same(self, rig, feed, t0):
        rig.clock.jump(7200)
        historian = rig.open()
        feed.catch_up(historian)
        historian.append(feed.change((0, 1.0), (1, 5.0)))
        rig.clock.advance(30)
        historian.close()
        rig.clock.jump(-3600)
        opened = rig.clock.now_ns()
        historian = rig.open()
        historian.began(feed.snapshot())
        rig.clock.advance(120)
        historian.append(feed.change((0, 2.0)))
        now = rig.clock.now_ns()
        assert rows_of(historian.query(0, opened, now + 1)) == [(opened, 1.0, 0), (now, 2.0, 0)]
        assert historian.before([0, 1], opened).quality.tolist() != [0, 0]
        assert historian.before([0, 1], now).value.tolist() == [1.0, 5.0]
        rig.kill(historian)

    def test_a_start_that_takes_minutes_is_no_clock_set_back(self, rig, feed, t0):
        historian = rig.open()
        feed.catch_up(historian)
        historian.close()
        historian = rig.open()
        rig.clock.advance(300)
        historian.append(feed.change((0, 1.0)))
        at = rig.clock.now_ns()
        historian.began(feed.snapshot())
        assert rows_of(historian.query(0, t0, at + 1)) == [(at, 1.0, 0)]
        rig.kill(historian)

    def test_a_clock_set_forward_leaves_a_gap_and_no_samples_in_it(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0), (4, 7.0)))
        rig.clock.advance(10)
        historian.flush()
        rig.clock.jump(30 * DAY)
        historian.append(feed.change((2, 1.0)))
        for _ in range(3):
            rig.clock.advance(10)
            historian.flush()
        now = rig.clock.now_ns()
        set_to = t0 + 30 * DAY * NS_PER_S + 10 * NS_PER_S
        for pid, value in ((0, 1.0), (4, 7.0)):
            found = rows_of(historian.query(pid, t0, now))
            assert [row[2] for row in found[:3] if row[0] > t0 + 10 * NS_PER_S - 1] == [NOT_RECORDED, 0], found[:4]
            assert len(found) <= 7, "the samples of a time that was not"
            assert found[-1][1] == value
            assert not len(historian.aggregates(pid, t0 + DAY * NS_PER_S, set_to - DAY * NS_PER_S, 3600))

    @pytest.mark.parametrize("flushes", [(), (10,), (10, 25, 70)])
    def test_a_crash_within_a_minute_neither_loses_nor_doubles(self, rig, feed, t0, flushes):
        historian = rig.open()
        feed.catch_up(historian)
        plain = PlainPoint()
        for second in range(100):
            plain.arrived.append((rig.clock.now_ns(), second * 1.5, 0))
            historian.append(feed.change((0, second * 1.5)))
            rig.clock.advance(1)
            if second in flushes:
                historian.flush()
        rig.kill(historian)
        historian = rig.open()
        for change in feed.journal:
            historian.append(change)
        now = rig.clock.now_ns()
        same_periods(historian.aggregates(0, t0, now, 60), plain.periods([], t0, now, 60, now))
        rig.kill(historian)

    @pytest.mark.parametrize("period", [0, 30, 90, -60])
    def test_a_period_is_a_number_of_minutes(self, historian, period):
        with pytest.raises(StoreError, match="60"):
            historian.aggregates(0, 0, 10**12, period)

    def test_long_buckets_keep_every_extreme(self, rig, historian, feed, t0):
        for index in range(6 * 24):
            historian.append(feed.change((1, 5.0)))
            rig.clock.advance(5)
            historian.append(feed.change((1, 5.0 + (0.9 if index == 50 else 0.1))))
            rig.clock.advance(1795)
            historian.flush()
        end = rig.clock.now_ns()
        found = historian.query(1, t0, end, 36)
        assert found.maximum.max() == 5.9, "the peak within the dead-band was never a sample"
        assert found.minimum.min() == 5.0
        assert len(found) == 36

    # ---------------------------------------------------------------- gaps

    def test_long_buckets_show_what_is_known_again_after_a_gap_in_the_same_minute(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0)))
        rig.clock.advance(4 * DAY + 10)
        historian.resync(feed.snapshot())
        historian.append(feed.change((0, 2.0)))
        rig.clock.advance(4 * DAY)
        found = historian.query(0, t0, rig.clock.now_ns(), 200)
        assert found.value[-1] == 2.0

    @pytest.mark.parametrize("how", ["stop", "crash"])
    def test_the_time_without_a_server_is_a_gap(self, rig, feed, t0, how):
        historian = rig.open()
        feed.catch_up(historian)
        historian.append(feed.change((0, 5.0), (1, 7.0)))
        rig.clock.advance(11)
        historian.flush()
        stopped = rig.clock.now_ns()
        if how == "stop":
            historian.close()
        else:
            rig.kill(historian)
        rig.clock.advance(109)
        begun = rig.clock.now_ns()
        feed.restarted()
        historian = rig.open()
        feed.catch_up(historian)
        rig.clock.advance(10)
        historian.append(feed.change((0, 5.0)))
        back = rig.clock.now_ns()
        rig.clock.advance(50)
        expected = [(t0, 5.0, 0), (stopped, math.nan, NOT_RECORDED), (begun, 5.0, OLD), (back, 5.0, 0)]
        same(rows_of(historian.query(0, t0, rig.clock.now_ns())), expected)
        inside = historian.before([0, 1, 2], begun - 1)
        assert inside.time_ns.tolist() == [stopped, stopped, 0]
        assert inside.quality.tolist() == [NOT_RECORDED, NOT_RECORDED, int(Quality.NEVER_RECEIVED)]
        assert np.isnan(inside.value).all()
        found = historian.aggregates(0, t0, rig.clock.now_ns(), 60)
        assert found.good_s.tolist() == pytest.approx([11, 50])
        assert found.time_ns.tolist() == [t0, t0 + 120 * NS_PER_S], "of the minute in the gap nothing is known"
        buckets = historian.query(0, t0, t0 + 180 * NS_PER_S, 3)
        assert buckets.time_ns.tolist() == [t0, t0 + 120 * NS_PER_S]
        assert buckets.quality.tolist() == [NOT_RECORDED, OLD]
        rig.kill(historian)

    def test_values_that_a_restart_does_not_touch_go_on_after_the_gap(self, rig, feed, t0):
        historian = rig.open()
        feed.catch_up(historian)
        manual = int(Quality.MANUAL)
        historian.append(feed.change((0, 5.0, manual)))
        rig.clock.advance(20)
        historian.close()
        rig.clock.advance(40)
        begun = rig.clock.now_ns()
        historian = rig.open()
        feed.catch_up(historian)
        assert rows_of(historian.query(0, t0, begun + 1))[-1] == (begun, 5.0, manual)
        rig.kill(historian)

    def test_resync_leaves_a_gap(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0), (1, 1.0)))
        rig.clock.advance(30)
        feed.change((0, 2.0))
        historian.resync(feed.snapshot())
        now = rig.clock.now_ns()
        assert historian.seq == 3
        same(rows_of(historian.query(0, t0, now + 1)), [(t0, 1.0, 0), (t0, math.nan, NOT_RECORDED), (now, 2.0, 0)])
        same(rows_of(historian.query(1, t0, now + 1)), [(t0, 1.0, 0), (t0, math.nan, NOT_RECORDED), (now, 1.0, 0)])

    def test_points_without_a_value_have_no_gap(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0)))
        rig.clock.advance(30)
        historian.resync(feed.snapshot())
        assert len(historian.query(1, t0, rig.clock.now_ns() + 1)) == 0
        assert len(historian.query(1, t0, rig.clock.now_ns() + 1, 5)) == 0

    # ---------------------------------------------------------------- late values

    def test_late_values_stand_under_their_own_time_once(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0)))
        rig.clock.advance(600)
        historian.append(feed.change((0, 9.0)))
        for _ in range(2):
            counts = historian.backfill([late(0, [t0 + 300 * NS_PER_S, t0 + 200 * NS_PER_S], [3.0, 2.0])])
            historian.flush()
            rig.clock.advance(700)
        assert (counts.stored, counts.known, counts.refused) == (0, 2, 0)
        assert historian.query(0, t0, rig.clock.now_ns()).value.tolist() == [1.0, 2.0, 3.0, 9.0]
        assert historian.status().backfilled == 2
        found = historian.aggregates(0, t0, t0 + 600 * NS_PER_S, 600)
        assert (found.count.tolist(), found.time_weighted.tolist()) == ([3], pytest.approx([(200 + 2 * 100 + 3 * 300) / 600]))

    def test_late_values_fill_an_outage(self, rig, historian, feed, t0):
        plain = PlainPoint([(t0, 1.0, 0)])
        historian.append(feed.change((0, 1.0)))
        rig.clock.advance(100)
        plain.arrived.append((rig.clock.now_ns(), 1.0, int(Quality.COMM_LOST)))
        historian.append(feed.change((0, 1.0, int(Quality.COMM_LOST))))
        rig.clock.advance(500)
        times, values = [t0 + second * NS_PER_S for second in (110, 150, 400, 590)], [2.0, 3.0, 4.0, 5.0]
        assert historian.backfill([late(0, times, values)]).stored == 4
        plain.arrived += zip(times, values, [0] * 4, strict=True)
        check(historian, plain, t0, rig.clock.now_ns())
        plain.arrived.append((rig.clock.now_ns(), 6.0, 0))
        historian.append(feed.change((0, 6.0)))
        for _ in range(3):
            rig.clock.advance(61)
            check(historian, plain, t0, rig.clock.now_ns())
            plain.arrived.append((rig.clock.now_ns(), plain.arrived[-1][1] + 1, 0))
            historian.append(feed.change((0, plain.arrived[-1][1])))
            historian.flush()

    def test_late_records_of_a_change_set(self, rig, historian, feed, t0):
        historian.append(feed.change((0, 1.0)))
        rig.clock.advance(100)
        change = feed.change((0, 3.0, 0, t0 + 50 * NS_PER_S), flags=RecordFlag.BACKFILL)
        assert historian.append(change) == 1
        assert rows_of(historian.query(0, t0, rig.clock.now_ns())) == [(t0, 1.0, 0), (t0 + 50 * NS_PER_S, 3.0, 0)]
        assert historian.before([0], rig.clock.now_ns()).value.tolist() == [3.0]

    def test_late_values_that_cannot_be_are_refused(self, rig):
        historian = rig.open(retention=Retention(raw_days=2))
        now = rig.clock.now_ns()
        counts = historian.backfill(
            [
                late(0, [now + 3600 * NS_PER_S], [1.0]),
                late(0, [now - 3 * DAY * NS_PER_S, now], [1.0, 2.0]),
                late(77, [now], [1.0]),
            ]
        )
        assert (counts.stored, counts.known, counts.refused) == (1, 0, 3)
        assert "future" in counts.reason
        assert "older" in historian.backfill([late(0, [now - 3 * DAY * NS_PER_S], [1.0])]).reason
        assert "77" in historian.backfill([late(77, [now], [1.0])]).reason
        endless = historian.backfill([late(0, [now - 1, now - 2], [math.inf, 3.0])])
        assert (endless.stored, endless.refused) == (1, 1)
        assert "infinite" in endless.reason
        assert historian.backfill([]).stored == 0
        rig.kill(historian)

    def test_of_a_dead_banded_minute_nothing_counted_is_forgotten(self, rig, historian, feed, t0):
        for index in range(130):
            historian.append(feed.change((1, 5.0 + 0.5 * (index % 2))))
            rig.clock.advance(1)
        historian.backfill([late(1, [t0 + 30 * NS_PER_S + 1], [8.0])])
        found = statistics(historian.aggregates(1, t0, t0 + 60 * NS_PER_S, 60))[t0]
        assert found[:2] == (5.0, 8.0)
        assert found[2] == pytest.approx((30 * 5.0 + 30 * 5.5 + 8.0) / 61)
        assert found[5] == 61

    # ---------------------------------------------------------------- points, retention, questions

    def test_history_follows_the_point_not_its_number(self, rig, feed):
        start = rig.clock.now_ns()
        historian = rig.open()
        historian.append(feed.change((0, 1.0), (3, 3.0)))
        historian.flush()
        rig.kill(historian)
        historian = rig.open([point(0, mrid="m3"), point(1, mrid="m0"), point(2, mrid="new")])
        assert [historian.query(pid, start, start + 1).value.tolist() for pid in range(3)] == [[3.0], [1.0], []]
        historian.set_points(POINTS)
        assert historian.query(0, start, start + 1).value.tolist() == [1.0]
        rig.kill(historian)

    def test_what_is_too_old_goes_but_what_is_in_force_stays(self, rig, feed, t0):
        historian = rig.open(retention=Retention(raw_days=2, minute_days=4))
        historian.append(feed.change((2, 1.0)))
        rig.clock.advance(100)
        historian.append(feed.change((2, 2.0)))
        for index in range(8 * 24):
            historian.append(feed.change((0, float(index))))
            rig.clock.advance(3600)
            historian.flush()
        now = rig.clock.now_ns()
        assert historian.query(0, t0, now).time_ns[0] >= t0 + 5 * DAY * NS_PER_S
        assert historian.query(0, now - 2 * DAY * NS_PER_S, now).value.tolist() == [float(index) for index in range(144, 192)]
        assert len(historian.aggregates(0, t0, now - 6 * DAY * NS_PER_S, 3600)) == 0
        assert len(historian.aggregates(0, now - 3 * DAY * NS_PER_S, now, 3600)) == 72
        assert historian.before([2], now).value.tolist() == [2.0]
        status = historian.status()
        assert status.retention == Retention(2, 4)
        assert t0 < status.oldest_ns <= now - 2 * DAY * NS_PER_S
        rig.kill(historian)

    @pytest.mark.parametrize(("pid", "start", "stop"), [(len(POINTS), 0, 1), (-1, 0, 1), (0, 1, 1), (0, 2, 1)])
    def test_questions_without_an_answer(self, historian, pid, start, stop):
        with pytest.raises(StoreError, match=r"there is no point|the span"):
            historian.query(pid, start, stop)
        with pytest.raises(StoreError, match=r"there is no point|the span"):
            historian.aggregates(pid, start, stop, 60)

    # ---------------------------------------------------------------- against plain lists

    live = st.lists(st.tuples(st.floats(0.1, 50), st.integers(-3, 3), st.booleans()), max_size=8)
    lates = st.lists(st.tuples(st.integers(-400, 0), st.integers(-3, 3)), min_size=1, max_size=4)

    @settings(
        max_examples=25,
        deadline=None,
        suppress_health_check=UNCHECKED,
    )
    @given(
        steps=st.lists(
            st.one_of(
                st.tuples(st.just("live"), live),
                st.tuples(st.just("late"), lates),
                st.tuples(st.sampled_from(["flush", "seal", "stop", "crash"]), st.none()),
            ),
            max_size=12,
        )
    )
    def test_any_history_answers_like_plain_lists(self, fresh_rig, steps):
        rig = fresh_rig()
        clock = rig.clock
        clock.advance(3600 - clock.now_ns() / NS_PER_S % 3600)
        start, feed, plain, gaps = clock.now_ns(), Feeder(clock), PlainPoint(), []
        historian = rig.open()
        feed.catch_up(historian)
        durable, recorded = [], 0
        for what, rows in steps:
            if what == "live":
                for seconds, value, is_bad in rows:
                    clock.advance(round(seconds, 3))
                    row = (clock.now_ns(), float(value), BAD if is_bad else 0)
                    if (feed.value[0], feed.quality[0]) != row[1:]:
                        historian.append(feed.change((0, *row[1:])))
                        plain.arrived.append(row)
                        durable.append(row)
                        recorded = clock.now_ns()
            elif what == "late":
                times = sorted({max(start, clock.now_ns() + NS_PER_S * offset) - 7 for offset, _ in rows})
                times = [time for time in times if all(time != one[0] for one in plain.arrived)]
                values = [float(value) for _, value in rows][: len(times)]
                historian.backfill([late(0, times, values)])
                plain.arrived += [(time, value, 0) for time, value in zip(times, values, strict=True)]
            elif what in {"flush", "seal"}:
                clock.advance(11 if what == "flush" else 601)
                historian.flush()
                durable, recorded = list(plain.arrived), clock.now_ns()
            else:
                if what == "stop":
                    historian.close()
                    durable, recorded = list(plain.arrived), clock.now_ns()
                else:
                    rig.kill(historian)
                    plain.arrived = list(durable)  # late values by call are kept from the next flush on
                clock.advance(5)
                feed.restarted()
                historian = rig.open()
                feed.catch_up(historian)
                if recorded:
                    gaps.append((recorded, clock.now_ns()))
                if feed.seq:
                    plain.arrived.append((clock.now_ns(), float(feed.value[0]), int(feed.quality[0])))
                    durable.append(plain.arrived[-1])
                    recorded = clock.now_ns()
            check(historian, plain, start, clock.now_ns(), gaps)
        rig.kill(historian)


def check(historian, plain, start, now, gaps=()):
    """Samples, values before and periods of point 0 are those of the plain lists."""
    if now <= start:
        return
    same(rows_of(historian.query(0, start, now)), plain.raw(gaps, start, now))
    middle = (start + now) // 2
    before = historian.before([0], middle)
    expected = plain.before(gaps, middle) or [(0, math.nan, int(Quality.NEVER_RECEIVED))]
    same(list(zip(before.time_ns.tolist(), before.value.tolist(), before.quality.tolist(), strict=True)), expected)
    for period in (60, 300):
        same_periods(historian.aggregates(0, start, now, period), plain.periods(gaps, start, now, period, now))


def same_periods(found, expected):
    found = statistics(found)
    assert found.keys() == expected.keys()
    for time, row in expected.items():
        assert found[time] == pytest.approx(row, nan_ok=True, rel=1e-9, abs=1e-6), (time, found[time], row)
