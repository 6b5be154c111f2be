"""CPS1, CPS2, Chinese CPS, BAAL, A1, A2, DCS and voltage figures: hand-worked tables and plain second implementations."""

import math
import random
import re

import numpy as np
import pytest

from scada.apps.agc_avc.performance.balancing import a1, a2, baal_limits, beyond_baal
from scada.apps.agc_avc.performance.cps import (
    PerformanceIndex,
    chinese_cps,
    control_factors,
    cps1,
    cps2,
    l10,
    period_means,
)
from scada.apps.agc_avc.performance.disturbance import Disturbance, DisturbanceWatch, recovery_percent
from scada.core.clock import NS_PER_S

NAN = math.nan


def column(*values):
    return np.array(values, dtype=float)


# ---------------------------------------------------------------- CPS1


def test_cps1_by_hand():
    # B = -50 MW/0.1 Hz, so -10 B = 500 MW/Hz; eps1 = 0.02 Hz, eps1² = 4e-4
    # minute 1: ACE -10 MW, dF -0.01 Hz: CF = (-10/500)(-0.01) = 2e-4   (hurts)
    # minute 2: ACE +20 MW, dF -0.02 Hz: CF = (20/500)(-0.02) = -8e-4   (helps)
    # minute 3: no data
    # minute 4: ACE 0: CF = 0
    # mean of three: (2 - 8 + 0)/3 e-4 = -2e-4; CPS1 = 100 (2 + 2e-4/4e-4) = 250
    factors = control_factors(column(-10, 20, NAN, 0), column(-0.01, -0.02, 0.01, 0.05), -50.0)
    assert factors == pytest.approx([2e-4, -8e-4, NAN, 0.0], nan_ok=True)
    assert cps1(factors, 0.02) == pytest.approx(250.0)


def test_cps1_says_nothing_without_data_or_target():
    assert math.isnan(cps1(column(NAN, NAN), 0.02))
    assert math.isnan(cps1(column(), 0.02))
    assert math.isnan(cps1(column(1e-4), 0.0))
    assert np.isnan(control_factors(column(1.0), column(0.01), 0.0)).all()


def plain_cps1(minutes, bias, eps1):
    """From raw samples, one after the other: (ace, deviation) lists by minute, None = invalid."""
    factors = []
    for samples in minutes:
        good = [sample for sample in samples if sample is not None]
        if samples and len(good) * 2 >= len(samples) and good:
            ace = sum(a for a, _ in good) / len(good)
            frequency = sum(f for _, f in good) / len(good)
            factors.append(ace / (-10 * bias) * frequency)
    return 100 * (2 - sum(factors) / len(factors) / eps1**2) if factors else NAN


@pytest.mark.parametrize("seed", range(5))
def test_the_running_hour_equals_the_plain_reckoning(seed):
    chance = random.Random(seed)
    minutes = [
        [None if chance.random() < 0.4 else (chance.gauss(0, 30), chance.gauss(0, 0.02)) for _ in range(15)] for _ in range(40)
    ]
    index = PerformanceIndex(-50.0, 0.018)
    for minute, samples in enumerate(minutes):
        for number, sample in enumerate(samples):
            index.sample(*(sample or (NAN, 0.0)), (minute * 60 + number * 4) * NS_PER_S)
    index.sample(0.0, 0.0, len(minutes) * 60 * NS_PER_S)
    assert index.cps1_percent == pytest.approx(plain_cps1(minutes, -50.0, 0.018), rel=1e-12)


def test_a_clock_that_goes_back_counts_no_minute_twice():
    index, once = PerformanceIndex(-50.0, 0.02), PerformanceIndex(-50.0, 0.02)

    def run(to, *minutes):
        for minute, ace in minutes:
            for second in range(0, 60, 4):
                to.sample(ace, 0.01, (minute * 60 + second) * NS_PER_S)

    run(index, (0, 10.0), (1, 20.0), (2, 30.0), (1, 20.0), (2, 30.0), (3, 0.0))
    run(once, (0, 10.0), (1, 20.0), (2, 30.0), (3, 0.0))
    assert index.cps1_percent == once.cps1_percent


def test_the_running_hour_goes_on_from_its_state():
    chance = random.Random(1)
    samples = [(chance.gauss(0, 30), chance.gauss(0, 0.02), int(4.03 * n * NS_PER_S)) for n in range(1500)]
    whole, first, second = (PerformanceIndex(-50.0, 0.018) for _ in range(3))
    for number, sample in enumerate(samples):
        whole.sample(*sample)
        if number < 700:
            first.sample(*sample)
        if number == 700:
            second.restore(first.state())
        if number >= 700:
            second.sample(*sample)
            assert second.cps1_percent == whole.cps1_percent or math.isnan(whole.cps1_percent)


# ---------------------------------------------------------------- CPS2 and Chinese CPS


def test_l10_by_hand():
    # 1.65 * 0.0057 * sqrt(500 * 2000) = 0.009405 * 1000
    assert l10(0.0057, -50.0, -200.0) == pytest.approx(9.405)
    assert l10(0.0057, -50.0) == pytest.approx(0.009405 * 500)
    assert math.isnan(l10(0.0057, -50.0, 200.0))


def test_cps2_by_hand():
    # period 1: 5 MW for 10 minutes -> 5; period 2: half +30, half -10 -> mean 10; period 3: 4 of 10 known -> unavailable
    # period 4: 5 of 10 known at -12 -> -12; the 3 minutes behind are no period. L10 = 10: good 1 and 2 of the 3 counted
    minutes = [5.0] * 10 + [30.0] * 5 + [-10.0] * 5 + [50.0] * 4 + [NAN] * 6 + [-12.0] * 5 + [NAN] * 5 + [99.0] * 3
    means = period_means(column(*minutes), 10)
    assert means == pytest.approx([5.0, 10.0, NAN, -12.0], nan_ok=True)
    found = cps2(means, 10.0)
    assert (found.good, found.counted, found.unavailable) == (2, 3, 1)
    assert found.percent == pytest.approx(200 / 3)
    assert math.isnan(cps2(means, NAN).percent)


def test_chinese_cps_by_hand():
    # eps1 = 0.02: eps1² = 4e-4; 15 equal minutes each, L10 = 10 MW
    # A: CF -1e-4 -> KCPS 2.25: ok whatever the ACE (50 MW)
    # B: CF 2e-4 -> 1.5, |ACE| 8 <= 10: ok        C: CF 2e-4 -> 1.5, |ACE| 12 > 10: not
    # D: CF 5e-4 -> 0.75: not, although |ACE| 1    E: no data
    factors = np.repeat([-1e-4, 2e-4, 2e-4, 5e-4, NAN], 15)
    means = column(50.0, 8.0, -12.0, 1.0, NAN)
    found = chinese_cps(factors, means, 0.02, 10.0)
    assert found.kcps == pytest.approx([2.25, 1.5, 1.5, 0.75, NAN], nan_ok=True)
    assert (found.share.good, found.share.counted, found.share.unavailable) == (2, 4, 1)
    without_limit = chinese_cps(factors, means, 0.02, NAN)
    assert (without_limit.share.good, without_limit.share.counted) == (1, 2)  # only A and D can be judged


def plain_cps2(minutes, limit, length):
    good = counted = 0
    for begin in range(0, len(minutes) - length + 1, length):
        known = [m for m in minutes[begin : begin + length] if not math.isnan(m)]
        if 2 * len(known) >= length:
            counted += 1
            good += abs(math.fsum(known) / len(known)) <= limit
    return good, counted


@pytest.mark.parametrize("length", [10, 15])
def test_cps2_equals_the_plain_reckoning(length):
    chance = random.Random(length)
    minutes = [NAN if chance.random() < 0.4 else chance.gauss(0, 20) for _ in range(1440)]
    found = cps2(period_means(column(*minutes), length), 5.0)
    assert (found.good, found.counted) == plain_cps2(minutes, 5.0, length)
    assert found.unavailable > 0


def plain_kcps(ace, deviation, bias, eps1, limit, length):
    """Period by period from the minutes: (qualified, judged)."""
    good = judged = 0
    for begin in range(0, len(ace) - length + 1, length):
        minutes = [(a, f) for a, f in zip(ace[begin : begin + length], deviation[begin : begin + length], strict=True) if a == a]
        if 2 * len(minutes) < length:
            continue
        kcps = 2 - sum(a * f for a, f in minutes) / (-10 * bias * len(minutes) * eps1**2)
        judged += 1
        good += kcps >= 2 or (kcps >= 1 and abs(sum(a for a, _ in minutes) / len(minutes)) <= limit)
    return good, judged


@pytest.mark.parametrize("length", [10, 15])
def test_chinese_cps_equals_the_plain_reckoning(length):
    chance = random.Random(length)
    ace = [NAN if chance.random() < 0.3 else chance.gauss(0, 12) for _ in range(3000)]
    deviation = [chance.gauss(0, 0.03) for _ in ace]
    factors = control_factors(column(*ace), column(*deviation), -50.0)
    found = chinese_cps(factors, period_means(column(*ace), length), 0.02, 3.0, length)
    good, judged = plain_kcps(ace, deviation, -50.0, 0.02, 3.0, length)
    assert (found.share.good, found.share.counted) == (good, judged)
    assert 0 < good < judged


# ---------------------------------------------------------------- BAAL, A1, A2


def test_baal_by_hand():
    # -10 B = 500; 3 eps1 = 0.06 Hz, squared 0.0036; at dF -0.03: 500*0.0036/-0.03 = -60 MW; at +0.06: 30 MW; at 0: none
    low, high = baal_limits(column(-0.03, 0.06, 0.0), -50.0, 0.02)
    assert low == pytest.approx([-60, -math.inf, -math.inf])
    assert high == pytest.approx([math.inf, 30, math.inf])


def test_thirty_minutes_beyond_are_allowed_and_thirty_one_are_one_violation():
    def runs(*lengths):
        ace, deviation = [], []
        for length, beyond in lengths:
            ace += [-61.0 if beyond else -59.0] * length
            deviation += [-0.03] * length
        return beyond_baal(column(*ace), column(*deviation), -50.0, 0.02)

    found = runs((30, True), (1, False), (45, True))
    assert found.low.sum() == 75
    assert not found.high.any()
    assert np.flatnonzero(found.violation).tolist() == [31 + 30]


def test_an_unknown_minute_is_no_recovery_and_the_other_side_is():
    ace, deviation = np.full(40, -61.0), np.full(40, -0.03)
    ace[20:25] = NAN
    assert np.flatnonzero(beyond_baal(ace, deviation, -50.0, 0.02).violation).tolist() == [35]  # the 31st known one
    ace, deviation = np.full(40, -61.0), np.full(40, -0.03)
    ace[20:], deviation[20:] = 61.0, 0.03
    assert not beyond_baal(ace, deviation, -50.0, 0.02).violation.any()


@pytest.mark.parametrize("seed", range(4))
def test_runs_beyond_baal_equal_those_found_in_a_string_of_letters(seed):
    chance = random.Random(seed)
    letters = "".join(chance.choice("LH..?") * chance.randint(1, 50) for _ in range(200))
    ace = column(*[{"L": -61.0, "H": 61.0, ".": 5.0, "?": NAN}[one] for one in letters])
    deviation = column(*[0.03 if one == "H" else -0.03 for one in letters])
    found = beyond_baal(ace, deviation, -50.0, 0.02)
    runs = [len(run) for run in re.findall(r"L+|H+", letters.replace("?", ""))]
    assert found.violation.sum() == sum(run > 30 for run in runs)
    assert (found.low.sum(), found.high.sum()) == (letters.count("L"), letters.count("H"))
    assert found.run.max() == max(runs)


def test_a1_and_a2_by_hand():
    # periods: crosses; touches zero; stays above; unknown
    assert a1(column(-5, 0, 1, NAN), column(5, 9, 9, NAN)).percent == pytest.approx(200 / 3)
    assert a2(column(15, -16, 0, NAN), 15.0).percent == pytest.approx(200 / 3)


# ---------------------------------------------------------------- DCS


def test_recovery_by_hand():
    assert recovery_percent(400, 20, 5) == 100  # came back above zero
    assert recovery_percent(400, 20, -100) == 75  # 100 of 400 MW missing
    assert recovery_percent(400, -50, -90) == 90  # 40 MW worse than before
    assert recovery_percent(400, -50, -10) == 100
    assert recovery_percent(400, 20, -900) == 0
    assert math.isnan(recovery_percent(0, 20, -100))


def watch_loss(after, *, loss=100.0):
    """300 MW unit trips at second 60; ``after(seconds since) -> ace``; returns what ended."""
    watch, ended = DisturbanceWatch(["A", "B"], loss, 4.0), []
    for second in range(0, 1100, 4):
        power = column(300.0 if second < 60 else 0.0, 200.0)
        ace = 10.0 if second < 60 else after(second - 60)
        ended += watch.sample(second * NS_PER_S, ace, power, column(300.0, NAN))
    return watch, ended


def test_a_trip_is_found_and_followed_for_fifteen_minutes():
    _, (found,) = watch_loss(lambda s: -290 + s * 0.5)
    assert (found.begin_ns, found.loss_mw, found.cause, found.ace_before_mw) == (60 * NS_PER_S, 300.0, "A", 10.0)
    assert found.recovered_s == 580  # -290 + 0.5 s >= 0
    assert found.percent == 100
    _, (slow,) = watch_loss(lambda s: -290 + s * 0.25)  # at 900 s: -65
    assert math.isinf(slow.recovered_s)
    assert slow.percent == pytest.approx(100 * (300 - 65) / 300)


def test_a_loss_without_ace_is_not_judged():
    _, (blind,) = watch_loss(lambda s: NAN)
    assert math.isnan(blind.percent)
    _, (half,) = watch_loss(lambda s: 0.0 if s < 300 else NAN)
    assert half.valid < 0.5
    assert math.isnan(half.percent)


@pytest.mark.parametrize("seed", range(8))
def test_recovery_equals_the_plain_reckoning(seed):
    chance = random.Random(seed)
    before, start, slope = chance.gauss(0, 40), -chance.uniform(100, 290), chance.uniform(0.05, 0.6)
    noise = [chance.gauss(0, 5) for _ in range(400)]
    watch, ended, series = DisturbanceWatch(["A"], 100.0, 4.0), [], []
    for number, second in enumerate(range(0, 1100, 4)):
        ace = (before if second < 60 else start + slope * (second - 60)) + noise[number]
        series.append((second, ace))
        ended += watch.sample(second * NS_PER_S, ace, column(300.0 if second < 60 else 0.0), column(300.0))
    (found,) = ended
    ace_a = sum(ace for second, ace in series if 44 <= second < 60) / 4
    after = [(second - 60, ace) for second, ace in series if 60 <= second <= 960]
    missing = max(0, min(0, ace_a) - max(ace for _, ace in after))
    assert found.percent == pytest.approx(100 * (300 - missing) / 300)
    back = [second for second, ace in after if ace >= min(0, ace_a) and second > 0]
    assert found.recovered_s == (back[0] if back else math.inf)


def test_a_time_that_nobody_watched_is_not_judged():
    watch = DisturbanceWatch(["A"], 100.0, 4.0)
    watch.sample(-4 * NS_PER_S, 5.0, column(300.0), column(300.0))
    for second in range(0, 400, 4):  # then the server is down until the 15 minutes are over
        watch.sample(second * NS_PER_S, 5.0, column(1.0), column(300.0))
    (ended,) = watch.sample(1000 * NS_PER_S, 5.0, column(1.0), column(300.0))
    assert ended.valid == pytest.approx(100 / 225)
    assert math.isnan(ended.percent)


def test_what_agc_asked_for_and_what_is_small_is_no_loss():
    for power, setpoint in (((300, 0), (300, 0)), ((300, 201), (300, 300)), ((NAN, 0), (NAN, NAN)), ((300, NAN), (300, 300))):
        watch = DisturbanceWatch(["A"], 100.0, 4.0)
        for second in range(0, 200, 4):
            now = second >= 60
            watch.sample(second * NS_PER_S, 0.0, column(power[now]), column(setpoint[now]))
        assert watch.open == ()


def test_losses_within_a_minute_are_one():
    watch = DisturbanceWatch(["A", "B", "C"], 20.0, 4.0)
    lost = {0: 2, 1: 30, 2: 90}  # unit -> second
    for second in range(0, 100, 2):
        powers = [0.0 if second >= lost[unit] else mw for unit, mw in enumerate((50.0, 20.0, 30.0))]
        watch.sample(second * NS_PER_S, 5.0, column(*powers), column(50.0, 20.0, 30.0))
    assert [(one.loss_mw, one.cause) for one in watch.open] == [(70.0, "A, B"), (30.0, "C")]


def test_a_clock_that_goes_back_ends_what_it_cannot_follow():
    watch = DisturbanceWatch(["A"], 50.0, 4.0)
    watch.sample(996 * NS_PER_S, 0.0, column(51.0), column(51.0))
    watch.sample(1000 * NS_PER_S, 0.0, column(1.0), column(51.0))
    assert len(watch.open) == 1
    (ended,) = watch.sample(500 * NS_PER_S, 0.0, column(1.0), column(1.0))
    assert math.isnan(ended.percent)


def test_the_watch_goes_on_from_its_state():
    def run(cut):
        watch, ended = DisturbanceWatch(["A", "B"], 50.0, 4.0), []
        chance = random.Random(3)
        for second in range(0, 4000, 4):
            power = column(chance.choice([300.0, 100.0, NAN]), chance.gauss(200, 30))
            ended += watch.sample(second * NS_PER_S, chance.gauss(-20, 40), power, column(300.0, NAN))
            if second == cut:
                fresh = DisturbanceWatch(["A", "B"], 50.0, 4.0)
                fresh.restore(watch.state())
                watch = fresh
        return ended, watch.state()

    whole, cut = run(-1), run(2000)
    assert len(whole[0]) >= 2
    assert repr(whole) == repr(cut)  # NaN included


def test_a_disturbance_not_watched_has_no_figure():
    assert math.isnan(Disturbance(0, 100.0, "x", 0.0).percent)


def test_of_a_minute_that_began_late_only_what_was_seen_counts():
    watched, late = PerformanceIndex(-50.0, 0.018, 4.0), PerformanceIndex(-50.0, 0.018, 4.0)
    for second in range(0, 64, 4):
        watched.sample(10.0, 0.0, second * NS_PER_S)
        if second >= 36:
            late.sample(10.0, 0.0, second * NS_PER_S)
    assert watched.cps1_percent == 200.0
    assert math.isnan(late.cps1_percent), "6 of 15 samples are no minute"
