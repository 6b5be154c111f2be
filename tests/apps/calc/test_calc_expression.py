"""Expressions against Python's own evaluator as the judge, and every way to write a wrong one."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.calc.graph import CalcGraph
from scada.core.quality import Quality
from scada.expressions.language import MAX_DEPTH, MAX_LENGTH, ExpressionError, parse
from scada.expressions.operations import Op
from scada.model_cim.tables import Point, PointKind


def point(pid, path, expression="", kind=PointKind.ANALOG):
    return Point(
        pid, f"m-{path}", path, path, kind, "", "", "", "", "S", "", -1 if expression else 0, None, expression=expression
    )


def columns(values, quality=None):
    return np.array(values, dtype=np.float64), np.array(quality or [0] * len(values), dtype=np.uint32)


NUMBERS = st.floats(min_value=-50, max_value=50, allow_nan=False).map(lambda x: round(x, 3))


def combine(children):
    two = st.tuples(children, children)
    return st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*"]), two).map(
            lambda t: (f"({t[1][0][0]} {t[0]} {t[1][1][0]})", f"({t[1][0][1]} {t[0]} {t[1][1][1]})")
        ),
        st.tuples(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), two).map(
            lambda t: (f"({t[1][0][0]} {t[0]} {t[1][1][0]})", f"float({t[1][0][1]} {t[0]} {t[1][1][1]})")
        ),
        st.tuples(st.sampled_from(["min", "max"]), two).map(
            lambda t: (f"{t[0]}({t[1][0][0]}, {t[1][1][0]})", f"{t[0]}({t[1][0][1]}, {t[1][1][1]})")
        ),
        children.map(lambda c: (f"abs({c[0]})", f"abs({c[1]})")),
        children.map(lambda c: (f"-{c[0]}", f"-{c[1]}")),
        st.tuples(children, children, children).map(
            lambda t: (f"if({t[0][0]}, {t[1][0]}, {t[2][0]})", f"({t[1][1]} if {t[0][1]} else {t[2][1]})")
        ),
    )


LEAVES = st.one_of(NUMBERS.map(lambda x: (f"({x!r})", f"({x!r})")), st.sampled_from([('"a"', "A"), ('"b"', "B")]))


@given(st.recursive(LEAVES, combine, max_leaves=12), NUMBERS, NUMBERS)
@settings(max_examples=120, deadline=None)
def test_value_equals_pythons(pair, a, b):
    ours, theirs = pair
    expected = eval(theirs, {"A": a, "B": b})
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "r", ours)])
    assert graph.findings == []
    batch = graph.evaluate_all(*columns([a, b, math.nan]), 5)
    assert batch.records["value"][0] == pytest.approx(float(expected), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 / 4 / 2", 1),
        ("2 - 3 - 4", -5),
        ("--2", 2),
        ("not 0 and 1", 1),
        ("not (1 and 0) or 0", 1),
        ("1 < 2 and 2 < 3", 1),
        ("sum(1, 2, 3) - avg(2, 4)", 3),
        ("min(3) + max(1, 5, 2)", 8),
        ("sqrt(9) + abs(-1.5e1) + .5", 18.5),
        ("if(1 > 2, 10, if(1, 20, 30))", 20),
    ],
)
def test_precedence_and_functions(text, value):
    graph = CalcGraph([point(0, "r", text)])
    assert graph.evaluate_all(*columns([math.nan]), 1).records["value"].tolist() == [value]


def test_program_is_postfix_with_each_reference_once():
    expression = parse('"a" + "b" * "a"')
    assert expression.references == ("a", "b")
    assert [op for op, _ in expression.code] == [Op.POINT, Op.POINT, Op.POINT, Op.MUL, Op.ADD]
    assert expression.depth == 3


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("", 1, "the end"),
        ("1 +", 4, "the end"),
        ("(1", 3, "')'"),
        ("1 2", 3, "'2'"),
        ("foo(1)", 1, "'foo'"),
        ("sum()", 5, "')'"),
        ("if(1, 2)", 8, "','"),
        ("good(1)", 6, "a quoted point"),
        ('"a', 1, "does not end"),
        ("1 ; 2", 3, "stray ';'"),
        ('""', 1, "a quoted point"),
        ("1 < 2 < 3", 7, "chained"),
        ("__import__('os')", 12, "stray"),
        ("a.b", 2, "stray '.'"),
        ('"and" "a"', 7, "an operator"),
        ('total("a")', 10, "','"),
        ('total("a", 5)', 12, "unit of time (s, min, h)"),
        ('total("a", h, week)', 15, "a period (hour, day, month, year)"),
        ('total("a", h, day, 3)', 18, "')'"),
        ('max_demand("a", 7, day)', 17, "divide the hour"),
        ('max_demand("a", 15)', 19, "','"),
        ('average("a", 0)', 14, "minutes"),
        ('ramp("a", 1e9)', 11, "seconds"),
        ('counter("a", "b")', 14, "rollover"),
        ('previous("a")', 10, "starts anew"),
        ('previous(total("a", h))', 10, "no period"),
        ("round(1, 1.5)", 10, "a whole number"),
        ("limit(1, 2)", 11, "','"),
        ('age_s("a" + 1)', 11, "')'"),
    ],
)
def test_wrong_text_names_the_column(text, column, word):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.where == f"column {column}"
    assert word in str(caught.value)


def test_hostile_sizes_are_refused():
    with pytest.raises(ExpressionError, match="nested deeper"):
        parse("(" * (MAX_DEPTH + 1) + "1")
    with pytest.raises(ExpressionError, match="longer"):
        parse("1" * (MAX_LENGTH + 1))
    assert parse("-" * 5000 + "1").depth == 1


@given(st.text(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_parses_or_is_refused(text):
    with contextlib.suppress(ExpressionError):
        assert parse(text).depth >= 1


def test_quality_words_are_not_lost_in_a_refusal_of_the_branch():
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "r", 'if(good("a"), "a", "b")')])
    values, quality = columns([1.0, 2.0, math.nan], [int(Quality.NOT_TOPICAL), 0, 0])
    record = graph.evaluate_all(values, quality, 1).records[0]
    assert record["value"] == 2.0
    assert record["quality"] == Quality.CALCULATED
