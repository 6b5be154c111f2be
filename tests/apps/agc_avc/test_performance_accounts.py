"""Minutes that are closed once, hours and days from them, over restarts and jumps of the clock; a real day of frequency."""

import csv
import gzip
import math
import random
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from apps.agc_avc.performance_rig import MIDNIGHT, PROFILE, account, area, enrol, sample

from scada.apps.agc_avc.performance import store as store_module
from scada.apps.agc_avc.performance.cps import control_factors, cps1
from scada.apps.agc_avc.performance.minutes import AreaMinutes, AreaStandards
from scada.apps.agc_avc.performance.periods import PeriodError, area_periods, bounds, unit_periods
from scada.apps.agc_avc.performance.store import PerformanceReader, PerformanceStore
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.errors import StoreError

NAN = math.nan
UTC = ZoneInfo("UTC")
DAY = Path(__file__).parents[3].parent / "shared" / "data" / "profiles" / "freq_1s_gmlc" / "Grid_Info_DATA_2.csv.gz"
MINUTE = MIDNIGHT // 60


class Kept:
    """An account over its store; ``crash`` loses what was not kept."""

    def __init__(self, folder, **arguments):
        self.folder, self.arguments, self.area = folder, arguments, area()
        self.store = None
        self.open()

    def open(self):
        self.store = PerformanceStore(self.folder, map_mb=16)
        self.number, numbers = enrol(self.store, self.area)
        self.account = account(self.area, numbers=numbers, **self.arguments)
        state = self.store.state(self.number)
        if state is not None:
            self.account.restore(state)

    def crash(self):
        self.store.close()
        self.open()

    def stop(self):
        self.store.keep(self.number, None, self.account.state())
        self.crash()

    def run(self, begin, end, step=4, **columns):
        for second in range(begin, end, step):
            given = {name: value(second) if callable(value) else value for name, value in columns.items()}
            closed = self.account.sample(sample(MIDNIGHT + second, **given))
            if closed.anything:
                self.store.keep(self.number, closed, self.account.state(hours=False))

    def rows(self):
        return self.store.minutes(self.number, MINUTE, MINUTE + 1440)

    def periods(self, period, begin_h=0, end_h=24, length=10):
        limits = bounds((MIDNIGHT + begin_h * 3600) * NS_PER_S, (MIDNIGHT + end_h * 3600) * NS_PER_S, period, UTC)
        return area_periods(self.rows(), limits, length, until_ns=limits[-1])


@pytest.fixture
def kept(tmp_path):
    opened = []

    def make(**arguments):
        opened.append(Kept(tmp_path / f"p{len(opened)}", **arguments))
        return opened[-1]

    yield make
    for one in opened:
        one.store.close()


def test_a_minute_by_hand(kept):
    one = kept()
    # 15 samples: ACE 10, 20 .. 150 -> mean 80, low 10, high 150; dF 0.01 -> 15 * 4 s * 0.01/50 = 0.012 s; 6 MW off schedule
    one.run(0, 64, ace=lambda s: 10.0 * (s // 4 + 1), deviation=0.01, inadvertent=6.0)
    (row,) = one.rows()
    assert (row["minute"], row["asked"], row["valid"], row["on"]) == (MINUTE, 15, 15, 15)
    assert (row["ace_mw"], row["ace_low_mw"], row["ace_high_mw"]) == (80.0, 10.0, 150.0)
    assert row["time_error_s"] == pytest.approx(0.012)
    assert row["inadvertent_mw"] == 6.0
    assert (row["bias"], row["eps1_hz"], row["l10_mw"], row["ld_mw"]) == (-50.0, 0.02, pytest.approx(9.405), 15.0)


def test_what_was_not_watched_is_missing_not_good(kept):
    one = kept()
    one.run(0, 28, ace=0.0)  # 7 of 15 samples, then nothing
    one.run(60, 92, ace=0.0)  # 8 of 15: counts
    one.run(120, 180, ace=NAN)
    one.run(600, 664, ace=0.0)  # minutes 3 .. 9 are not there at all
    rows = one.rows()
    assert [(int(row["minute"]) - MINUTE, int(row["valid"]), bool(np.isfinite(row["ace_mw"]))) for row in rows] == [
        (0, 7, False),
        (1, 8, True),
        (2, 0, False),
        (10, 15, True),
    ]
    (hour,) = one.periods("hour", 0, 1)
    assert (hour.minutes, hour.valid_minutes) == (60, 2)
    assert hour.cps1_percent == 200.0
    assert (hour.cps2.counted, hour.cps2.unavailable) == (0, 6)
    assert hour.time_error_s == 0.0


@pytest.mark.parametrize("end", ["crash", "stop"])
def test_restarts_double_nothing(kept, end):
    whole, cut = kept(), kept()
    columns = {"ace": lambda s: math.sin(s) * 40, "deviation": lambda s: math.cos(s) * 0.02}
    whole.run(0, 7300, **columns)
    cut.run(0, 1830, **columns)
    getattr(cut, end)()
    cut.run(1832, 4000, **columns)
    getattr(cut, end)()
    cut.run(4000, 7300, **columns)
    minutes = cut.rows()["minute"].tolist()
    assert minutes == sorted(set(minutes)) == whole.rows()["minute"].tolist()
    if end == "stop":  # nothing was lost: the open minutes went on
        assert cut.rows().tobytes() == whole.rows().tobytes()
    else:  # the minute of the crash has its first sample, which was kept with the minute before, and the seven after the crash
        broken = cut.rows()[30]
        assert (broken["asked"], broken["valid"]) == (15, 8)
        assert broken["ace_mw"] == pytest.approx(sum(math.sin(s) * 40 for s in (1800, *range(1832, 1860, 4))) / 8)


def test_a_clock_that_goes_back_counts_no_minute_twice(kept):
    one = kept()
    one.run(0, 630, ace=5.0)
    one.run(400, 900, ace=7.0)  # back by 230 s, in the middle of a minute
    rows = one.rows()
    assert rows["minute"].tolist() == [MINUTE + number for number in range(14)]
    assert rows["ace_mw"][:10].tolist() == [5.0] * 10  # as first closed
    assert rows["ace_mw"][10:].tolist() == [7.0] * 4  # the minute that ran was given up and seen whole later


def test_a_jump_ahead_leaves_a_gap_and_the_way_back_fills_it(kept):
    one = kept()
    one.run(0, 120, ace=1.0)
    one.run(36_000, 36_124, ace=9.0)
    one.run(124, 300, ace=1.0)
    rows = {int(row["minute"]) - MINUTE: float(row["ace_mw"]) for row in one.rows()}
    assert rows == {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0, 600: 9.0, 601: 9.0}


def test_periods_equal_the_plain_reckoning(kept):
    one, chance = kept(), random.Random(4)
    ace, deviation = {}, {}

    def at(table, spread):
        def value(second):
            minute = second // 60
            if minute not in table:
                table[minute] = NAN if chance.random() < 0.15 else chance.gauss(0, spread)
            return table[minute]

        return value

    one.run(0, 6 * 3600 + 4, step=12, ace=at(ace, 15.0), deviation=at(deviation, 0.02))
    # (with a sample every 12 s of a cycle of 4 s less than half are there)
    assert one.periods("day")[0].valid_minutes == 0
    other = kept(cycle_s=12.0)
    other.run(0, 6 * 3600 + 12, step=12, ace=at(ace, 15.0), deviation=at(deviation, 0.02))
    for number, hour in enumerate(other.periods("hour", 0, 6)):
        span = range(number * 60, number * 60 + 60)
        good = [minute for minute in span if not math.isnan(ace[minute]) and not math.isnan(deviation[minute])]
        factors = [ace[minute] / 500 * deviation[minute] for minute in good]
        assert hour.valid_minutes == len(good)
        assert hour.cps1_percent == pytest.approx(100 * (2 - math.fsum(factors) / len(factors) / 0.0004))
        within = counted = crossed = 0
        for begin in range(span.start, span.stop, 10):
            window = [ace[minute] for minute in range(begin, begin + 10) if minute in good]
            if len(window) >= 5:
                counted += 1
                within += abs(math.fsum(window) / len(window)) <= 1.65 * 0.0057 * 1000
                crossed += min(window) <= 0 <= max(window)
        assert (hour.cps2.good, hour.cps2.counted) == (within, counted)
        assert (hour.a1.good, hour.a1.counted) == (crossed, counted)
        assert hour.ace_rms_mw == pytest.approx(math.sqrt(math.fsum(ace[minute] ** 2 for minute in good) / len(good)))
        assert hour.time_error_s == pytest.approx(
            sum(60 * deviation[minute] / 50 for minute in span if not math.isnan(deviation[minute]))
        )


def test_the_time_error_is_right_with_a_cycle_that_does_not_divide_a_minute(kept):
    one = kept(cycle_s=8.0)
    one.run(0, 3600 + 8, step=8, deviation=0.01)
    assert set(one.rows()["valid"].tolist()) == {7, 8}
    assert one.rows()["time_error_s"].sum() == pytest.approx(3600 * 0.01 / 50)


def test_long_spans_are_read_piece_by_piece(kept, monkeypatch):
    one = kept(cycle_s=20.0)
    one.run(0, 3600, step=20, setpoint=lambda s: ([100.0, 130.0][s // 200 % 2], 100.0))
    minutes = [(minute, rows.tobytes()) for minute, rows in one.store.unit_minutes(0, MINUTE, MINUTE + 60)]
    commands = list(one.store.commands(0, 2**62))
    assert (len(minutes), len(commands)) == (59, 8)
    for size in (1, 2, 7, 59):
        monkeypatch.setattr(store_module, "_AT_ONCE", size)
        assert [(minute, rows.tobytes()) for minute, rows in one.store.unit_minutes(0, MINUTE, MINUTE + 60)] == minutes
        assert list(one.store.commands(0, 2**62)) == commands


def test_what_is_still_to_come_is_not_missing(kept):
    one = kept()
    one.run(0, 24 * 60 + 4, ace=1.0)
    limits = bounds(MIDNIGHT * NS_PER_S, (MIDNIGHT + 60) * NS_PER_S, "hour", UTC)
    (hour,) = area_periods(one.rows(), limits, 10, until_ns=(MIDNIGHT + 24 * 60 + 30) * NS_PER_S)
    assert (hour.minutes, hour.valid_minutes) == (24, 24)
    assert (hour.cps2.counted, hour.cps2.unavailable) == (2, 0)
    (late,) = area_periods(one.rows(), limits, 10, until_ns=(MIDNIGHT + 45 * 60) * NS_PER_S)
    assert (late.minutes, late.valid_minutes) == (45, 24)
    assert (late.cps2.counted, late.cps2.unavailable) == (2, 2)


def test_a_run_beyond_baal_is_counted_in_the_hour_in_which_it_becomes_too_long(kept):
    one = kept(cycle_s=20.0)
    one.run(0, 3 * 3600 + 20, step=20, ace=lambda s: -61.0 if 40 * 60 <= s < 80 * 60 else 0.0, deviation=-0.03)
    first, second, third = one.periods("hour", 0, 3)
    assert (first.baal_low, first.baal_violations, first.baal_longest) == (20, 0, 20)
    assert (second.baal_low, second.baal_violations, second.baal_longest) == (20, 1, 40)
    assert (third.baal_low, third.baal_violations) == (0, 0)
    (alone,) = one.periods("hour", 1, 2)  # asked alone, the run that began before is known
    assert alone.baal_violations == 1


def test_periods_begin_in_the_zone_of_the_site():
    shanghai, berlin = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
    day = bounds(MIDNIGHT * NS_PER_S, (MIDNIGHT + 3600) * NS_PER_S, "day", shanghai)
    assert [one // NS_PER_S - MIDNIGHT for one in day] == [-8 * 3600, 16 * 3600]
    spring = 1_743_289_200  # 2025-03-30 00:00 in Berlin, a day of 23 hours
    days = bounds(spring * NS_PER_S, (spring + 30 * 3600) * NS_PER_S, "day", berlin)
    assert [(b - a) // NS_PER_S // 3600 for a, b in pairwise(days)] == [23, 24]
    months = bounds(spring * NS_PER_S, (spring + 40 * 86400) * NS_PER_S, "month", berlin)
    assert [(b - a) // NS_PER_S // 3600 for a, b in pairwise(months)] == [31 * 24 - 1, 30 * 24, 31 * 24]
    for wrong in ((5, 5), (5, 4), (-1, 5)):
        with pytest.raises(PeriodError):
            bounds(*wrong, "hour", UTC)
    with pytest.raises(PeriodError, match="more than"):
        bounds(0, 10**18, "minute", UTC)


# ---------------------------------------------------------------- units


def test_what_units_did_and_how_they_are_judged(kept):
    one = kept()
    # unit 0 is told 130 MW at 100 s and ramps 0.1 MW/s from 110 s on, to 129.8; unit 1 has no measurement
    power = lambda s: (min(100.0 + max(0, s - 110) * 0.1, 129.8), NAN)  # noqa: E731
    one.run(0, 3700, power=power, setpoint=lambda s: (100.0 if s < 100 else 130.0, 50.0))
    limits = bounds(MIDNIGHT * NS_PER_S, (MIDNIGHT + 3600) * NS_PER_S, "hour", UTC)
    rows = unit_periods(
        one.store.units(),
        one.store.unit_minutes(one.number, MINUTE, MINUTE + 60),
        one.store.commands(limits[0], limits[1]),
        [],
        limits,
        PROFILE,
    )
    first, second = rows
    assert (first.unit.name, first.minutes, first.valid_minutes, first.on_minutes) == ("U0", 60, 60, 60)
    assert (first.commands, first.judged) == (1, 1)
    assert first.up_mw == pytest.approx(29.8)
    assert first.down_mw == 0.0
    # v = 6 MW/min of 4.5: k1 4/3; left 1.5 MW (0.5 % of 300) at 128 s: 28 s late, k2 = 1 - 28/60
    assert first.k[0] == pytest.approx(4 / 3, rel=1e-3)
    assert first.k[1] == pytest.approx(1 - 28 / 60)
    assert first.k[3] == pytest.approx(0.6 * first.k[0] + 0.2 * first.k[1] + 0.2 * first.k[2])
    assert (second.minutes, second.valid_minutes, second.commands, second.energy_mwh) == (60, 0, 0, 0.0)
    assert math.isnan(second.error_mw)


def test_an_hour_is_scored_five_minutes_after_its_end_and_once(kept):
    one, chance = kept(), random.Random(2)
    wander = {}

    def both(second):
        wander.setdefault(second // 40, chance.uniform(100, 200))
        return (wander[second // 40], 0.0)

    one.run(0, 2 * 3600 + 280, power=both, setpoint=both)
    assert [found.hour - MIDNIGHT // 3600 for found in one.store.scores(0, 2**31) if found.unit == 0] == [0]
    one.run(2 * 3600 + 280, 2 * 3600 + 400, power=both, setpoint=both)
    found = [found for found in one.store.scores(0, 2**31) if found.unit == 0]
    assert [score.hour - MIDNIGHT // 3600 for score in found] == [0, 1]
    assert found[0].score.score == pytest.approx(1.0)


def test_disturbances_are_kept(kept):
    one = kept(loss_mw=50.0)
    one.run(0, 1200, ace=lambda s: 0.0 if s < 100 or s > 400 else -90.0, power=lambda s: (200.0 if s < 100 else 0.0, 80.0))
    (found,) = one.store.disturbances(one.number, 0, 2**62)
    assert (found.loss_mw, found.cause, found.recovered_s, found.percent) == (200.0, "U0", 304.0, 100.0)


def test_the_account_goes_on_from_its_state():
    chance = random.Random(9)
    samples = [
        sample(
            MIDNIGHT + 4 * number,
            chance.gauss(0, 30),
            chance.choice([NAN, 0.01, -0.02]),
            power=[chance.uniform(0, 300), chance.choice([NAN, 100.0])],
            setpoint=[float(200 if number // 40 % 2 else 100), 100.0],
        )
        for number in range(2200)
    ]
    whole, first = account(loss_mw=80.0), account(loss_mw=80.0)
    expected = [whole.sample(one) for one in samples]
    [first.sample(one) for one in samples[:1111]]
    fresh = account(loss_mw=80.0)
    fresh.restore(first.state())
    found = [fresh.sample(one) for one in samples[1111:]]
    assert repr(found) == repr(expected[1111:])
    assert any(one.scores for one in found)
    assert any(one.commands for one in found)
    assert any(one.disturbances for one in found)


def test_a_state_is_restored_for_the_units_that_are_still_there():
    before, after = account(area(3), numbers=(0, 1, 2)), account(area(2), numbers=(2, 7))
    for second in range(0, 90, 4):
        before.sample(sample(MIDNIGHT + second, 5.0, power=[10.0, 20.0, 30.0], setpoint=[10.0, 20.0, 31.0]))
    after.restore(before.state())
    for second in range(92, 124, 4):
        closed = after.sample(sample(MIDNIGHT + second, 5.0, power=[30.0, 70.0], setpoint=[31.0, 70.0]))
        if closed.units is not None:
            rows = {int(row["unit"]): row for row in closed.units}
    assert set(rows) == {2, 7}
    assert (rows[2]["valid"], rows[2]["power_mw"], rows[2]["error_mw"]) == (15, 30.0, 1.0)
    assert rows[7]["valid"] == 7  # of the minute it has only what came after
    assert math.isnan(rows[7]["power_mw"])
    assert closed.area is None or closed.area["valid"][0] == 15


# ---------------------------------------------------------------- the store


def test_numbers_are_never_given_to_another(tmp_path):
    store = PerformanceStore(tmp_path, map_mb=16)
    assert store.enrol("_a", "A", "x", [("_1", "One", "hydro", 10.0), ("_2", "Two", "pv", 5.0)]) == (0, (0, 1))
    assert store.enrol("_b", "B", "x", [("_3", "Three", "pv", 5.0)]) == (1, (2,))
    assert store.enrol("_a", "A2", "y", [("_4", "Four", "pv", 5.0), ("_2", "Two again", "pv", 6.0)]) == (0, (3, 1))
    assert [(one.number, one.name, one.area) for one in store.units()] == [
        (0, "One", 0),
        (1, "Two again", 0),
        (2, "Three", 1),
        (3, "Four", 0),
    ]
    store.close()


def test_records_of_units_go_in_time_and_those_of_areas_stay(tmp_path):
    store = PerformanceStore(tmp_path, map_mb=16, unit_days=2)
    of = area()
    number, numbers = enrol(store, of)
    one = account(of, numbers=numbers, cycle_s=60.0)
    for minute in range(0, 4 * 1440, 10):
        closed = one.sample(sample(MIDNIGHT + minute * 60))
        if closed.anything:
            store.keep(number, closed, {})
    assert len(store.minutes(number, 0, 2**31)) == 575
    kept = [minute for minute, _ in store.unit_minutes(number, 0, 2**31)]
    assert len(kept) == 2 * 144 + 1
    assert kept[0] == kept[-1] - 2 * 1440
    store.close()


def test_the_accounts_are_read_beside_their_writer_and_damage_is_moved_aside(tmp_path):
    store = PerformanceStore(tmp_path, map_mb=16)
    enrol(store, area())
    store.close()
    reader = PerformanceReader.open(tmp_path)
    assert [one.name for one in reader.areas()] == ["North"]
    reader.close()
    file = next(tmp_path.glob("performance*.lmdb"))
    file.write_bytes(b"\0" * 4096 + file.read_bytes()[4096:])
    fresh, what = PerformanceStore.open_or_quarantine(tmp_path, VirtualClock(), map_mb=16)
    assert "begin anew" in what
    assert fresh.areas() == []
    fresh.close()
    with pytest.raises(StoreError):
        PerformanceReader.open(tmp_path / "none")


# ---------------------------------------------------------------- a real day


@pytest.mark.skipif(not DAY.is_file(), reason="no frequency day beside the repository")
def test_cps1_and_time_error_of_a_real_day_of_frequency():
    """Open loop: an area whose ACE is its frequency term alone; the figures are also reckoned straight from the samples."""
    with gzip.open(DAY, "rt") as text:
        rows = list(csv.reader(text))
    start = 0 if rows[0][1].replace(".", "").replace("-", "").isdigit() else 1
    hertz = np.array([float(row[1]) for row in rows[start:]]) * 60.0
    assert len(hertz) == 86_400
    deviation = hertz - 60.0
    minutes, one = [], AreaMinutes(AreaStandards(-50.0, 0.02, 10.0, NAN, cycle_s=1.0))
    for second, off in enumerate(deviation.tolist()):
        closed = one.sample(sample(MIDNIGHT + second, 500.0 * off, off))
        minutes += [] if closed is None else [closed]
    table = np.concatenate(minutes)
    means = deviation.reshape(-1, 60).mean(axis=1)[:-1]
    assert table["deviation_hz"] == pytest.approx(means, abs=1e-12)
    # 500 MW/Hz of 500 MW/Hz: CF = mean(dF)²; std of the minute means is 14.6 mHz: CPS1 about 200 - 100 (14.6/20)² = 147
    found = cps1(control_factors(table["ace_mw"], table["deviation_hz"], -50.0), 0.02)
    assert found == pytest.approx(100 * (2 - float((means**2).mean()) / 0.0004))
    assert 140 < found < 155
    # the account reckons for 50 Hz: 60 s of a minute's mean deviation over 50 Hz
    assert table["time_error_s"].sum() == pytest.approx(float(deviation[:-60].sum()) / 50.0, abs=1e-9)
