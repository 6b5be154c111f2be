"""Data cleaning: what is found, how it is marked, and that a value is never changed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import PointBatch, RecordFlag
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Cleaning, Point, PointKind
from scada.protocols.cleaning import Cleaner, CleaningFinding, Found, _check

S = 1_000_000_000
T0 = 1_700_000_000 * S
RANGE = int(Quality.OUT_OF_RANGE | Quality.QUESTIONABLE)
RATE = int(Quality.SUSPECT | Quality.QUESTIONABLE)
OLD = int(Quality.OLD_DATA)


def point(pid, kind=PointKind.ANALOG, channel=0, cleaning=None, **more):
    return Point(
        PointId(pid), f"m{pid}", f"S/P{pid}", f"P{pid}", kind, "", "MW", "", "", "S", "", channel, Iec104Address(1, pid + 1, 36),
        cleaning=cleaning or Cleaning(), **more,
    )  # fmt: skip


def batch(pid, value, at=0.0, *, quality=0, time=None, flags=0):
    source = T0 + int(at * S) if time is None else time
    return PointBatch.of(pid, value, received_at=T0 + int(at * S), quality=quality, source_time=source, channel=0, flags=flags)


def qualities(cleaner, *steps):
    """Quality of each of several values of point 0, given as (time, value) or (time, value, quality)."""
    out = []
    for at, value, *quality in steps:
        cleaned, _ = cleaner.check(batch(0, value, at, quality=quality[0] if quality else 0), at)
        assert cleaned.records["value"][0] == value
        out.append(int(cleaned.records["quality"][0]))
    return out


def test_what_went_silent_is_told_by_channel_and_what_stands_still_apart_from_it():
    rules = Cleaning(period_s=10.0, frozen_s=100.0)
    cleaner = Cleaner([point(pid, channel=pid % 2, cleaning=rules) for pid in range(5)], 2)
    for pid in range(5):
        cleaner.check(batch(pid, 1.0), 0.0)
    cleaner.check(batch(3, 1.0, 10.0), 10.0)
    told = [(one.channel, one.finding, one.pids.tolist()) for one in cleaner.tick(20.0, T0)]
    assert told == [(0, CleaningFinding.GAP, [0, 2, 4]), (1, CleaningFinding.GAP, [1])]
    told = [(one.channel, one.finding, one.pids.tolist()) for one in cleaner.tick(101.0, T0)]
    frozen = CleaningFinding.FROZEN
    assert told == [(1, CleaningFinding.GAP, [3]), (0, frozen, [0, 2, 4]), (1, frozen, [1, 3])]
    assert [(one.finding, one.count, one.points, one.last_pid) for one in cleaner.counts(1)] == [
        (CleaningFinding.GAP, 2, 2, 3),
        (frozen, 2, 2, 3),
    ]


def test_a_value_beyond_the_instrument_is_flagged_and_kept():
    cleaner = Cleaner([point(0, minimum=0.0, maximum=100.0)], 1)
    assert qualities(cleaner, (0, 100.0), (1, 100.5), (2, -1.0), (3, 50.0)) == [0, RANGE, RANGE, 0]
    (count,) = cleaner.counts(0)
    assert (count.finding, count.count, count.points, count.last_pid) == (CleaningFinding.RANGE, 2, 0, 0)
    assert count.last_ns == T0 + 2 * S


def test_a_jump_is_flagged_by_source_time_and_the_next_value_at_the_new_level_is_not():
    cleaner = Cleaner([point(0, cleaning=Cleaning(rate_per_s=10.0))], 1)
    assert qualities(cleaner, (0, 0.0), (1, 10.0), (2, 25.0), (3, 26.0)) == [0, 0, RATE, 0]
    # the same values arriving in one burst, a second apart by the station's clock
    cleaner = Cleaner([point(0, cleaning=Cleaning(rate_per_s=10.0))], 1)
    records = PointBatch.of([0, 0, 0], [0.0, 9.0, 30.0], received_at=T0, source_time=[T0, T0 + S, T0 + 2 * S], channel=0)
    cleaned, _ = cleaner.check(records, 5.0)
    assert cleaned.records["quality"].tolist() == [0, 0, RATE]


def test_a_value_of_another_source_is_no_jump_and_what_the_one_before_carried_is_over():
    rules = Cleaning(rate_per_s=10.0)
    cleaner = Cleaner([point(0, maximum=100.0, cleaning=rules), point(1, maximum=100.0, cleaning=rules)], 1)
    assert qualities(cleaner, (0, 101.0)) == [RANGE]
    cleaner.forget(np.array([0], dtype=np.uint32))
    assert [count.points for count in cleaner.counts(0)] == [0]
    assert qualities(cleaner, (1, 50.0), (2, 75.0)) == [0, RATE]


def test_the_rate_without_source_time_is_taken_by_arrival():
    cleaner = Cleaner([point(0, cleaning=Cleaning(rate_per_s=10.0))], 1)
    for at, value, expected in ((0.0, 0.0, 0), (1.0, 9.0, 0), (1.5, 20.0, RATE)):
        cleaned, _ = cleaner.check(batch(0, value, at, time=0), at)
        assert int(cleaned.records["quality"][0]) == expected


def test_an_invalid_value_is_not_judged_and_is_no_base_for_the_next():
    cleaner = Cleaner([point(0, maximum=100.0, cleaning=Cleaning(rate_per_s=1.0))], 1)
    invalid = int(Quality.INVALID)
    assert qualities(cleaner, (0, 5.0), (1, 1e9, invalid), (2, 6.0)) == [0, invalid, 0]
    cleaned, _ = cleaner.check(batch(0, float("nan"), 3.0), 3.0)
    assert int(cleaned.records["quality"][0]) == 0


def test_a_frozen_value_is_found_by_the_timer_and_stays_marked_until_it_moves():
    cleaner = Cleaner([point(0, cleaning=Cleaning(frozen_s=30.0)), point(1)], 1)
    assert qualities(cleaner, (0, 50.0), (10, 50.0), (30, 50.0)) == [0, 0, 0]
    assert cleaner.tick(30.0, T0) == []
    (stale,) = cleaner.tick(30.5, T0 + 30 * S)
    assert (stale.channel, stale.pids.tolist(), stale.finding) == (0, [0], CleaningFinding.FROZEN)
    assert cleaner.tick(31.0, T0) == []  # told once
    assert qualities(cleaner, (40, 50.0), (41, 50.0)) == [OLD, OLD]
    assert [(count.count, count.points) for count in cleaner.counts(0)] == [(1, 1)]
    assert qualities(cleaner, (42, 50.01)) == [0]
    assert [(count.count, count.points) for count in cleaner.counts(0)] == [(1, 0)]
    assert cleaner.tick(72.5, T0)  # and can freeze again


def test_a_point_that_is_due_and_does_not_come_is_stale_until_it_comes():
    cleaner = Cleaner([point(0, cleaning=Cleaning(period_s=10.0))], 1)
    assert cleaner.tick(1000.0, T0) == []  # nothing came yet: there is nothing old
    qualities(cleaner, (1000, 1.0))
    assert cleaner.tick(1015.0, T0) == []
    (stale,) = cleaner.tick(1015.1, T0)
    assert stale.finding is CleaningFinding.GAP
    assert qualities(cleaner, (1020, 1.0)) == [0]
    assert [(count.count, count.points) for count in cleaner.counts(0)] == [(1, 0)]


def test_a_lost_channel_owes_nothing():
    cleaner = Cleaner([point(0, cleaning=Cleaning(period_s=10.0, frozen_s=20.0, rate_per_s=1.0))], 1)
    qualities(cleaner, (0, 1.0))
    cleaner.lost(0)
    assert cleaner.tick(500.0, T0) == []
    assert qualities(cleaner, (501, 900.0)) == [0]  # the level of an hour ago says nothing of the rate


def test_a_repeated_event_is_marked_as_a_refresh_and_counted():
    cleaner = Cleaner([point(0, PointKind.DOUBLE)], 1)
    event = int(RecordFlag.EVENT)
    first, _ = cleaner.check(batch(0, 2.0, 1.0, flags=event), 1.0)
    again, news = cleaner.check(batch(0, 2.0, 1.0, flags=event), 2.0)
    other, _ = cleaner.check(batch(0, 1.0, 3.0, flags=event), 3.0)
    later, _ = cleaner.check(batch(0, 1.0, 3.001, flags=event), 3.0)
    flags = [int(one.records["flags"][0]) for one in (first, again, other, later)]
    assert flags == [event, event | RecordFlag.REFRESH, event, event]
    assert news == [Found(CleaningFinding.DUPLICATE, 0, 1)]
    assert [(one.finding, one.count, one.points) for one in cleaner.counts(0)] == [(CleaningFinding.DUPLICATE, 1, 0)]


def test_an_event_without_time_is_never_taken_for_a_repetition():
    cleaner = Cleaner([point(0, PointKind.STATUS)], 1)
    for _ in range(2):
        cleaned, news = cleaner.check(batch(0, 1.0, time=0, flags=RecordFlag.EVENT), 0.0)
        assert (int(cleaned.records["flags"][0]), news) == (RecordFlag.EVENT, [])


def test_news_are_told_when_a_point_gets_a_finding_not_with_each_value():
    cleaner = Cleaner([point(pid, maximum=10.0) for pid in range(3)], 1)
    _, news = cleaner.check(batch([0, 1, 2], [20.0, 5.0, 30.0]), 0.0)
    assert news == [Found(CleaningFinding.RANGE, 0, 2)]
    _, news = cleaner.check(batch([0, 1, 2], [21.0, 50.0, 3.0], 1.0), 1.0)
    assert news == [Found(CleaningFinding.RANGE, 1, 1)]
    assert [(count.count, count.points) for count in cleaner.counts(0)] == [(4, 2)]


def test_late_values_say_nothing_of_now():
    cleaner = Cleaner([point(0, maximum=10.0, cleaning=Cleaning(rate_per_s=1.0))], 1)
    late, news = cleaner.check(batch(0, 99.0, flags=RecordFlag.BACKFILL), 0.0)
    assert (int(late.records["quality"][0]), news) == (0, [])


def test_a_point_of_another_channel_or_beyond_the_model_passes():
    cleaner = Cleaner([point(0, channel=-1, maximum=1.0)], 1)
    same = batch([0, 7, 0xFFFF_FFFF], [5.0, 5.0, 5.0])
    assert cleaner.check(same, 0.0)[0] is same


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.floats(-200, 200) | st.just(float("inf")), st.sampled_from([0, 0, 0x80, 0x40])),
        max_size=60,
    )
)
def test_values_times_and_reported_quality_are_never_touched(rows):
    """Only bits are added, and the counters of what is carried agree with the last record of each point."""
    rules = Cleaning(rate_per_s=50.0, frozen_s=3.0)
    cleaner = Cleaner([point(0, minimum=-100.0), point(1, cleaning=rules), point(2, PointKind.STATUS), point(3, maximum=0.0)], 1)
    carried = {}
    for step, (pid, value, quality) in enumerate(rows):
        given_batch = batch(pid, value, step, quality=quality)
        before = given_batch.records.copy()
        cleaned, _ = cleaner.check(given_batch, float(step))
        assert given_batch.records.tobytes() == before.tobytes()
        after = cleaned.records
        for name in ("pid", "value", "source_time", "cause", "channel"):
            assert after[name].tobytes() == before[name].tobytes()
        assert int(after["quality"][0]) & quality == quality
        carried[pid] = int(after["quality"][0]) & RANGE == RANGE and after["quality"][0] & int(Quality.OUT_OF_RANGE)
    counts = {count.finding: count.points for count in cleaner.counts(0)}
    assert counts.get(CleaningFinding.RANGE, 0) == sum(bool(one) for one in carried.values())


@pytest.mark.parametrize("rules", [Cleaning(frozen_s=5.0), Cleaning(period_s=5.0)])
def test_a_clock_that_jumps_makes_nothing_stale(rules):
    cleaner = Cleaner([point(0, cleaning=rules)], 1)
    cleaner.check(batch(0, 1.0), 100.0)
    assert cleaner.tick(101.0, T0 + 10**6 * S) == []


def test_states_of_one_point_do_not_leak_to_another():
    cleaner = Cleaner([point(0, cleaning=Cleaning(rate_per_s=1.0)), point(1, cleaning=Cleaning(rate_per_s=1.0))], 1)
    cleaned, _ = cleaner.check(batch([0, 1, 0, 1], [0.0, 1000.0, 0.0, 1000.0]), 0.0)
    assert cleaned.records["quality"].tolist() == [0, 0, 0, 0]
    assert np.count_nonzero(cleaner.check(batch([0, 1], [0.5, 2000.0], 1.0), 1.0)[0].records["quality"]) == 1


def test_records_of_any_layout_are_judged_by_the_kernel_that_is_compiled():
    cleaner = Cleaner([point(0, maximum=10.0)], 1)
    plain = batch([0, 0, 0, 0], [20.0, 5.0, 20.0, 5.0]).records
    fixed = plain.copy()
    fixed.flags.writeable = False
    cleaner.check(PointBatch(plain, T0), 0.0)
    compiled = len(_check.signatures)
    for records in (plain, plain[::2], fixed):
        cleaned, _ = cleaner.check(PointBatch(records, T0), 0.0)
        assert int(cleaned.records["quality"][0]) == RANGE
        assert not records["quality"].any()
    assert len(_check.signatures) == compiled
