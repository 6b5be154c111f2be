"""Functions without memory, tests of quality, and the times of results."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.calc.graph import CalcGraph
from scada.core.quality import Quality
from scada.model_cim.tables import Point, PointKind

S = 1_000_000_000
NOW = 1_700_000_000 * S
CALC = int(Quality.CALCULATED)
LOST, QUESTIONABLE = int(Quality.COMM_LOST), int(Quality.QUESTIONABLE)


def point(pid, path, expression=""):
    kind, channel = PointKind.ANALOG, -1 if expression else 0
    return Point(pid, f"m-{path}", path, path, kind, "", "", "", "", "S", "", channel, None, expression=expression)


def result(text, values=(), qualities=(), times=()):
    """(value, quality, source time) of an expression over "a", "b", "c"."""
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "c"), point(3, "r", text)])
    assert graph.findings == []
    columns = np.full(4, np.nan), np.zeros(4, dtype=np.uint32), np.zeros(4, dtype=np.int64)
    for column, given_ in zip(columns, (values, qualities, times), strict=True):
        column[: len(given_)] = given_
    value, quality, time = columns
    row = graph.evaluate_all(value, quality, NOW, time).records[0]
    return float(row["value"]), int(row["quality"]), int(row["source_time"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 ^ 10", 1024),
        ("-2 ^ 2", -4),
        ("2 ^ 3 ^ 2", 512),
        ("2 ^ -1", 0.5),
        ("(-8) ^ 3", -512),
        ("round(2.5)", 3),
        ("round(-2.5)", -3),
        ("round(1.2345, 2)", 1.23),
        ("limit(7, 0, 5)", 5),
        ("limit(-7, 0, 5)", 0),
        ("limit(3, 0, 5)", 3),
        ("exp(0) + ln(1)", 1),
        ("count_good(1, 2 / 0, 3)", 2),
        ("first_good(1 / 0, 5)", 5),
    ],
)
def test_values(text, value):
    assert result(text) == (pytest.approx(value), CALC, 0)


@pytest.mark.parametrize("text", ["0 ^ -1", "(-1) ^ 0.5", "ln(0)", "ln(-1)", "1 / 0", "10 ^ 400", "exp(1000)", 'age_s("a")'])
def test_what_has_no_value_is_unknown(text):
    value, quality, _ = result(text)
    assert math.isnan(value)
    assert quality & int(Quality.INVALID)


@given(st.floats(-50, 50), st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_rounding_is_to_the_nearest(x, digits):
    value, _, _ = result(f'round("a", {digits})', [x])
    assert abs(value - x) <= 0.5 * 10**-digits * (1 + 1e-9)
    assert value == pytest.approx(round(value, digits), abs=1e-12)


# ---------------------------------------------------------------- quality


def test_alternate_sources_by_priority():
    text = 'first_good("a", "b", "c")'
    assert result(text, [1, 2, 3])[:2] == (1.0, CALC)
    assert result(text, [1, 2, 3], [LOST, 0, 0])[:2] == (2.0, CALC)
    assert result(text, [1, 2, 3], [LOST, QUESTIONABLE, 0])[:2] == (2.0, QUESTIONABLE | CALC), "questionable is usable"
    assert result(text, [1, math.nan, 3], [LOST, 0, 0])[:2] == (3.0, CALC), "no number, no value"
    assert result(text, [math.nan, 2, 3], [0, LOST, LOST])[:2] == (2.0, LOST | CALC), "none is good: the first number, as it is"
    value, quality, _ = result(text, [math.nan] * 3)
    assert math.isnan(value)
    assert quality & int(Quality.INVALID)


@pytest.mark.parametrize(
    ("test", "word", "says"),
    [
        ("good", 0, 1),
        ("good", LOST, 0),
        ("bad", 0, 0),
        ("bad", int(Quality.INVALID), 1),
        ("manual", int(Quality.MANUAL), 1),
        ("manual", int(Quality.SUBSTITUTED), 1),
        ("manual", LOST, 0),
        ("old", int(Quality.NOT_TOPICAL), 1),
        ("old", int(Quality.OLD_DATA), 1),
        ("old", LOST, 1),
        ("old", int(Quality.INVALID), 0),
    ],
)
def test_tests_of_quality_are_themselves_good(test, word, says):
    assert result(f'{test}("a")', [5.0], [word])[:2] == (says, CALC)


def test_a_point_without_a_number_is_bad_whatever_its_bits_say():
    assert result('bad("a")', [math.nan])[0] == 1.0


def test_a_branch_not_taken_taints_nothing():
    assert result('if("a" > 0, "b", "c")', [1, 2, 3], [0, 0, LOST])[:2] == (2.0, CALC)
    assert result('if("a" > 0, "b", "c")', [1, 2, 3], [QUESTIONABLE, 0, LOST])[:2] == (2.0, QUESTIONABLE | CALC)


# ---------------------------------------------------------------- time


def test_a_result_has_the_newest_time_of_what_it_used():
    times = [NOW - 30 * S, NOW - 10 * S, NOW - 20 * S]
    assert result('"a" + "b" * "c"', [1, 2, 3], times=times)[2] == times[1]
    assert result('if("a", "c", "b")', [1, 2, 3], times=times)[2] == times[2]
    assert result('first_good("a", "b")', [1, 2], times=times)[2] == times[0]
    assert result('good("c")', [1, 2, 3], times=times)[2] == times[2]
    assert result('age_s("a")', [1], times=times) == (30.0, CALC, NOW)


def test_a_source_ahead_of_us_makes_no_result_of_tomorrow():
    assert result('"a" + 1', [1], times=[NOW + 3600 * S])[2] == NOW
    assert result('age_s("a")', [1], times=[NOW + 3600 * S])[0] == 0.0


def test_the_time_of_a_result_never_goes_back():
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "r", 'first_good("a", "b")')])
    value, quality = np.array([1.0, 2.0, math.nan]), np.zeros(3, dtype=np.uint32)
    time = np.array([NOW - 5 * S, NOW - 50 * S, 0])
    assert graph.evaluate_all(value, quality, NOW, time).records["source_time"].tolist() == [NOW - 5 * S]
    quality[0] = LOST
    batch = graph.evaluate(np.array([0], dtype=np.uint32), value, quality, NOW + S, time)
    assert batch.records["value"].tolist() == [2.0]
    assert batch.records["source_time"].tolist() == [NOW - 5 * S]
