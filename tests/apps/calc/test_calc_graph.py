"""The graph: order, change only, quality, circles, holds."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.calc.graph import SOURCE, CalcGraph, is_reserved
from scada.core.batch import RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import Point, PointKind


def point(pid, path, expression="", kind=PointKind.ANALOG):
    return Point(
        pid, f"m-{path}", path, path, kind, "", "", "", "", "S", "", -1 if expression else 0, None, expression=expression
    )


def columns(values, quality=None):
    return np.array(values, dtype=np.float64), np.array(quality or [0] * len(values), dtype=np.uint32)


CALC = int(Quality.CALCULATED)


def results(batch):
    return {int(r["pid"]): (float(r["value"]), int(r["quality"])) for r in batch.records}


def changed(*pids):
    return np.array(pids, dtype=np.uint32)


def test_order_follows_dependency_not_position():
    graph = CalcGraph([point(0, "top", '"mid" * 2'), point(1, "mid", '"raw" + 1'), point(2, "raw")])
    batch = graph.evaluate_all(*columns([math.nan, math.nan, 4.0]), 77)
    assert results(batch) == {1: (5.0, CALC), 0: (10.0, CALC)}
    assert batch.source == SOURCE
    assert batch.received_at == 77
    assert set(batch.records["source_time"].tolist()) == {0}, "nothing it used has a time"


def test_only_what_changed_is_evaluated_and_only_what_differs_is_sent():
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "x", '"a" > 5'), point(3, "y", '"x" + "b"'), point(4, "z", '"b"')])
    values, quality = columns([1.0, 1.0, 0, 0, 0])
    graph.evaluate_all(values, quality, 1)
    values[0] = 2.0
    assert len(graph.evaluate(changed(0), values, quality, 2)) == 0  # x is recalculated and stays 0
    values[0] = 9.0
    assert results(graph.evaluate(changed(0), values, quality, 3)) == {2: (1.0, CALC), 3: (2.0, CALC)}
    assert len(graph.evaluate(changed(2, 3), values, quality, 4)) == 0  # the echo of our own results


def test_worst_quality_propagates_through_chains():
    graph = CalcGraph([point(0, "a"), point(1, "b"), point(2, "s", 'sum("a", "b")'), point(3, "t", '"s" * 2')])
    values, quality = columns([1.0, 2.0, 0, 0], [int(Quality.COMM_LOST), int(Quality.QUESTIONABLE), 0, 0])
    word = int(Quality.COMM_LOST | Quality.QUESTIONABLE | Quality.CALCULATED)
    assert results(graph.evaluate_all(values, quality, 1)) == {2: (3.0, word), 3: (6.0, word)}


def test_a_missing_number_is_invalid_never_invented():
    texts = [
        '"a" / "zero"',
        'sqrt("minus")',
        '"nan" > 1',
        '"never" + 1',
        "1e308 * 10",
        'if("nan", 1, 2)',
        'not "nan"',
        '"nan" or 1',
    ]
    names = ["a", "zero", "minus", "nan", "never"]
    points = [point(i, name) for i, name in enumerate(names)] + [point(5 + i, f"r{i}", text) for i, text in enumerate(texts)]
    values, quality = columns([1.0, 0.0, -1.0, math.nan, math.nan] + [0.0] * len(texts))
    quality[4] = int(Quality.NEVER_RECEIVED)
    batch = CalcGraph(points).evaluate_all(values, quality, 1)
    assert len(batch) == len(texts)
    assert np.isnan(batch.records["value"]).all()
    assert ((batch.records["quality"] & int(Quality.INVALID)) != 0).all()


def test_unknown_point_and_syntax_are_found_while_the_rest_loads():
    graph = CalcGraph(
        [
            point(0, "a"),
            point(1, "bad", '"nowhere" + "a"'),
            point(2, "worse", "1 +"),
            point(3, "ok", '"a"'),
            point(4, "u", '"bad"'),
        ]
    )
    assert [(f.rule, f.path) for f in graph.findings] == [("calc.unknown_point", "bad"), ("calc.syntax", "worse")]
    assert '"nowhere"' in graph.findings[0].text
    assert "column 4" in graph.findings[1].text
    assert all(f.hint and f.mrid for f in graph.findings)
    values, quality = columns([3.0, math.nan, math.nan, math.nan, math.nan])
    quality[1] = int(Quality.NEVER_RECEIVED)
    answer = results(graph.evaluate_all(values, quality, 1))
    assert answer[3] == (3.0, CALC)
    assert math.isnan(answer[4][0])
    assert set(answer) == {3, 4}


def test_a_circle_is_refused_with_its_path():
    graph = CalcGraph(
        [
            point(0, "a", '"b" + 1'),
            point(1, "b", '"c" + 1'),
            point(2, "c", '"a" + 1'),
            point(3, "d", '"a"'),
            point(4, "self", '"self"'),
        ]
    )
    assert {f.path for f in graph.findings} == {"a", "b", "c", "self"}
    assert all(f.rule == "calc.circle" for f in graph.findings)
    assert "a -> b -> c -> a" in graph.findings[0].text
    assert graph.pids.tolist() == [3]


def test_references_by_mrid_in_any_spelling():
    graph = CalcGraph([point(0, "a"), point(1, "r", '"urn:uuid:m-a" + "_m-a" + "m-a"')])
    assert graph.findings == []
    assert results(graph.evaluate_all(*columns([2.0, 0.0]), 1)) == {1: (6.0, CALC)}


def test_reserved_expressions_are_left_to_their_applications():
    assert is_reserved("topology")
    assert is_reserved("agc.ace(East)")
    graph = CalcGraph([point(0, "t", "topology"), point(1, "g", "agc.ace"), point(2, "r", '"t" + 1')])
    assert graph.findings == []
    assert results(graph.evaluate_all(*columns([1.0, 0.0, 0.0]), 1)) == {2: (2.0, CALC)}


def test_states_are_events_and_analogs_are_not():
    graph = CalcGraph([point(0, "a"), point(1, "s", '"a" > 1', PointKind.STATUS), point(2, "v", '"a"')])
    batch = graph.evaluate_all(*columns([2.0, 0, 0]), 1)
    flags = dict(zip(batch.records["pid"].tolist(), batch.records["flags"].tolist(), strict=True))
    assert flags == {1: RecordFlag.EVENT, 2: 0}


def test_a_held_result_is_followed_and_given_back():
    graph = CalcGraph([point(0, "a"), point(1, "s", '"a" + 1'), point(2, "t", '"s" * 10')])
    values, quality = columns([1.0, 2.0, 20.0])
    graph.evaluate_all(values, quality, 1)
    values[1], quality[1] = 7.0, int(Quality.MANUAL)
    held = graph.evaluate(changed(1), values, quality, 2)
    assert results(held) == {2: (70.0, int(Quality.SUBSTITUTED) | CALC)}
    values[0] = 4.0
    assert len(graph.evaluate(changed(0), values, quality, 3)) == 0
    quality[1] = 0
    assert results(graph.evaluate(changed(1), values, quality, 4)) == {1: (5.0, CALC), 2: (50.0, CALC)}


def test_no_calculated_points_and_unknown_pids_are_quiet():
    graph = CalcGraph([point(0, "a")])
    assert len(graph.evaluate_all(*columns([1.0]), 1)) == 0
    assert len(graph.evaluate(changed(0, 99), *columns([1.0]), 1)) == 0


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=40),
    st.lists(st.tuples(st.integers(0, 9), st.floats(-9, 9)), min_size=1, max_size=12),
)
@settings(max_examples=60, deadline=None)
def test_change_by_change_equals_all_at_once(edges, steps):
    """Whatever the graph, following changes one by one ends where a fresh evaluation ends."""
    refs = {i: {j for a, j in edges if a == i and j < i} for i in range(10, 20)}
    points = [
        point(i, f"p{i}", "" if i < 10 else "1 + " + " + ".join(["0", *(f'"p{j}"' for j in sorted(refs[i]))])) for i in range(20)
    ]
    graph, fresh = CalcGraph(points), CalcGraph(points)
    values, quality = columns([0.0] * 20)
    seen = results(graph.evaluate_all(values, quality, 1))
    for pid, value in steps:
        values[pid] = value
        seen.update(results(graph.evaluate(changed(pid), values, quality, 2)))
    assert seen == results(fresh.evaluate_all(values, quality, 3))
