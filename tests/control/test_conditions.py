"""Conditions: three-valued truth, and an explanation that names exactly what hinders."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.control.conditions import Condition, ConditionError
from scada.control.plant import Reading
from scada.core.quality import Quality

POINTS = {"P": 0, "Q": 1, "S": 2, "T": 3}
MRIDS = {"North/1101": "cb-1", "North/bus": "bus-1"}


class Known:
    def point(self, name):
        return POINTS.get(name)

    def equipment(self, name):
        return MRIDS.get(name)


class Values:
    """A plant and its topology, both as tables."""

    def __init__(self, closed=None, live=None, earthed=None, **values):
        self._values = {POINTS[name]: value for name, value in values.items()}
        self._closed, self._live, self._earthed = closed, live, earthed

    def reading(self, pid):
        given = self._values.get(pid, (math.nan, int(Quality.NEVER_RECEIVED)))
        return Reading(*given) if isinstance(given, tuple) else Reading(float(given), 0)

    def is_closed(self, mrid):
        assert mrid == "cb-1"
        return self._closed

    def is_energised(self, mrid):
        return self._live

    def is_earthed(self, mrid):
        return self._earthed


def judge(text, **state):
    plant = Values(**state)
    return Condition.parse(text, Known()).evaluate(plant, plant)


@pytest.mark.parametrize(
    ("text", "state", "truth"),
    [
        ('"P" < 5', {"P": 4}, True),
        ('"P" < 5', {"P": 5}, False),
        ('"P" < 5', {"P": (4, int(Quality.INVALID))}, None),
        ('"P" < 5', {}, None),
        ('"P" < 5', {"P": (4, int(Quality.MANUAL))}, None),
        ('"P" < 5 and "S" == 1', {"P": 9}, False),
        ('"P" < 5 and "S" == 1', {"P": 4}, None),
        ('"P" < 5 or "S" == 1', {"P": 4}, True),
        ('"P" < 5 or "S" == 1', {"P": 9}, None),
        ('not "S"', {"S": 0}, True),
        ('not "S"', {"S": 1}, False),
        ('not ("S" == 1)', {}, None),
        ('if("S", "P" < 5, "Q" < 5)', {"S": 0, "Q": 1}, True),
        ('if("S", "P" < 5, "Q" < 5)', {"P": 1, "Q": 1}, None),
        ('count_good("P", "Q", "T") >= 2', {"P": 1, "T": 2}, True),
        ('first_good("P", "Q") > 1', {"Q": 2}, True),
        ('good("P")', {"P": (4, int(Quality.INVALID))}, False),
        ('bad("P")', {}, True),
        ('manual("P")', {"P": (4, int(Quality.MANUAL))}, True),
        ('old("P")', {"P": (4, int(Quality.NOT_TOPICAL))}, True),
        ('"P" / "Q" < 1', {"P": 1, "Q": 0}, None),
        ('sqrt("P") < 3', {"P": -1}, None),
        ('limit("P", 0, 10) == 10 and round("Q", 1) == 2.3', {"P": 11, "Q": 2.26}, True),
        ('-"P" ^ 2 == -4 and min("P", 7, "Q") == 2', {"P": 2, "Q": 3}, True),
        ('closed("North/1101")', {"closed": True}, True),
        ('closed("North/1101")', {"closed": None}, None),
        ('not closed("North/1101") and not energised("North/bus")', {"closed": False, "live": False}, True),
        ('earthed("North/bus")', {"earthed": False}, False),
    ],
)
def test_truth_of_a_condition(text, state, truth):
    verdict = judge(text, **state)
    assert verdict.truth is truth
    assert bool(verdict.because) is (truth is not True), "what is not true says why, what is true says nothing"


def test_only_what_hinders_is_named():
    said = judge('"P" < 5 and "Q" < 5 and "S" == 1', P=9, S=0).because
    assert said == ('"P" < 5 ("P" = 9)', '"S" == 1 ("S" = 0)'), "what is unknown hinders nothing here"
    assert judge('"P" < 5 and "Q" < 5', P=1).because == ('"Q" = ?',)
    assert judge('"P" < 5 and "Q" < 5', P=1, Q=(1, int(Quality.MANUAL))).because == ('"Q" = ? M',)
    assert judge('not closed("North/1101")', closed=True).because == ('closed("North/1101") = 1',)
    assert judge('closed("North/1101") or "S"', closed=False, S=0).because == ('closed("North/1101") = 0', '"S" = 0')


def test_without_a_topology_nothing_of_equipment_is_known():
    plant = Values(closed=True)
    assert Condition.parse('closed("North/1101")', Known()).evaluate(plant).truth is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('"P" <', "expected"),
        ('"nowhere" == 1', '"nowhere"'),
        ('closed("nowhere")', '"nowhere"'),
        ('delay("P", 5) == 1', "functions of time"),
        ('age_s("P") < 5', "functions of time"),
        ("closed(1)", "a quoted equipment"),
        ("__import__('os')", "stray"),
    ],
)
def test_what_cannot_be_read_is_refused_and_says_where(text, said):
    with pytest.raises(ConditionError, match=said):
        Condition.parse(text, Known())


TRUTHS = st.sampled_from([True, False, None])


@given(TRUTHS, TRUTHS, TRUTHS)
def test_joined_truths_follow_kleene(a, b, c):
    """Whatever the unknown ones turn out to be, a verdict that was given stays: it never says more than is known."""
    text = '("P" == 1 and "Q" == 1) or not ("S" == 1)'
    state = {name: float(truth) for name, truth in zip("PQS", (a, b, c), strict=True) if truth is not None}
    verdict = judge(text, **state).truth
    possible = {
        (p and q) or not s
        for p in ((a,) if a is not None else (True, False))
        for q in ((b,) if b is not None else (True, False))
        for s in ((c,) if c is not None else (True, False))
    }
    assert verdict in (possible if len(possible) == 1 else {None})


def test_points_are_those_it_depends_on():
    assert Condition.parse('"P" < 5 and closed("North/1101") and "T" + "P" > 1', Known()).points == {0, 3}
