"""PJM score: the GMLC reading of Manual 12 re-written in plain Python, and its six cases."""

import math
import random
import statistics

import numpy as np
import pytest

from scada.apps.agc_avc.performance.pjm import SAMPLES, performance_score


def pearson(x, y):
    mx, my = math.fsum(x) / len(x), math.fsum(y) / len(y)
    top = math.fsum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / math.sqrt(math.fsum((a - mx) ** 2 for a in x) * math.fsum((b - my) ** 2 for b in y))


def regression_slope(y):
    n = len(y)
    xs = range(n)
    return (n * sum(x * v for x, v in zip(xs, y, strict=True)) - sum(xs) * sum(y)) / (n * sum(x * x for x in xs) - sum(xs) ** 2)


def plain_score(signal, response):
    """The GMLC definition, list by list."""
    delays, correlations, precisions = [], [], []
    for block in range(12):
        x, y = signal[30 * block : 30 * block + 30], response[30 * block : 30 * block + 30]
        if statistics.pstdev(x) < 0.01:
            best, r = 0, max(0.0, 1 - abs(regression_slope(x) - regression_slope(y)))
        else:
            found = []
            for shift in range(31):
                late = response[30 * block + shift : 30 * block + 30 + shift]
                found.append(0.0 if statistics.pstdev(late) < 1e-5 else pearson(x, late))
            best = 30 if not any(found) else found.index(max(found))
            r = found[best]
        delays.append(abs((10 * best - 300) / 300))
        correlations.append(r)
        size = sum(map(abs, x)) / 30
        precisions.append(max(0.0, 1 - sum(abs(b - a) for a, b in zip(x, y, strict=True)) / 30 / size))
    return sum(statistics.fmean(part) for part in (delays, correlations, precisions)) / 3


def wander(seed, tau_s=120.0, mean=0.0):
    """An Ornstein-Uhlenbeck signal, 10-s samples, like a regulation signal."""
    chance, value, keep = random.Random(seed), 0.0, math.exp(-10 / tau_s)
    out = []
    for _ in range(SAMPLES + 40):
        value = keep * value + math.sqrt(1 - keep**2) * chance.gauss(0, 0.4)
        out.append(mean + value)
    return out


def late(signal, samples):
    return [signal[max(0, index - samples)] for index in range(len(signal))]


CASES = {
    "perfect": lambda s, c: s,
    "10 s late": lambda s, c: late(s, 1),
    "30 s late": lambda s, c: late(s, 3),
    "60 s lag": lambda s, c: lagged(s, 60.0),
    "90 % gain": lambda s, c: [0.9 * v for v in s],
    "5 % noise": lambda s, c: [v + c.gauss(0, 0.05) for v in s],
}


def lagged(signal, tau_s):
    out, value = [], signal[0]
    for one in signal:
        value += (one - value) * (1 - math.exp(-10 / tau_s))
        out.append(value)
    return out


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_plain_definition(case, seed):
    signal = wander(seed)
    response = CASES[case](signal, random.Random(seed + 100))
    signal, response = signal[:SAMPLES], response[:SAMPLES]
    assert performance_score(np.array(signal), np.array(response)).score == pytest.approx(plain_score(signal, response), abs=1e-9)


def test_what_the_cases_are_whatever_the_signal():
    signal = wander(7)

    def score(case):
        found = CASES[case](signal, random.Random(1))
        return performance_score(np.array(signal[:SAMPLES]), np.array(found[:SAMPLES]))

    assert score("perfect").score == pytest.approx(1.0)
    # 90 %: correlation 1, no delay, precision 0.9: (1 + 1 + 0.9)/3 = 0.9667
    assert score("90 % gain").score == pytest.approx(0.96667, abs=1e-5)
    # 10 s late: correlation 1 (but for the first sample), delay 290/300; 30 s: 270/300
    assert score("10 s late").delay == pytest.approx(290 / 300)
    assert score("30 s late").delay == pytest.approx(270 / 300)
    assert score("10 s late").correlation > 0.99
    # the published figures of the last four rest on a signal that is not published; the order and the size are the definition's
    figures = [score(case).score for case in ("perfect", "90 % gain", "5 % noise", "10 s late", "30 s late", "60 s lag")]
    published = [1.0, 0.9667, 0.9434, 0.8591, 0.7468, 0.7304]
    assert figures == pytest.approx(published, abs=0.1)
    assert figures[2] > figures[3] > figures[4]


def test_a_constant_signal_is_judged_by_its_slope():
    signal = np.full(SAMPLES, 0.5)
    assert performance_score(signal, signal).score == pytest.approx(1.0)
    rising = 0.5 + 0.001 * np.arange(SAMPLES)
    found = performance_score(signal, rising)
    assert found.correlation == pytest.approx(1 - 0.001)
    assert found.delay == 1.0


def test_a_unit_that_does_nothing_scores_nothing():
    found = performance_score(np.array(wander(1)[:SAMPLES]), np.zeros(SAMPLES))
    assert (found.correlation, found.delay, found.precision, found.score) == (0.0, 0.0, 0.0, 0.0)


def test_missing_samples_are_left_out_and_half_of_the_blocks_must_be_there():
    signal = np.array(wander(2)[:SAMPLES])
    response = signal.copy()
    response[30 * 6 : 30 * 12] = math.nan
    found = performance_score(signal, response)
    assert (found.blocks, found.score) == (6, pytest.approx(1.0))
    response[3] = math.nan
    found = performance_score(signal, response)
    assert found.blocks == 5
    assert math.isnan(found.score)
    assert math.isnan(performance_score(np.full(SAMPLES, math.nan), response).score)


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="390"):
        performance_score(np.zeros(360), np.zeros(360))
