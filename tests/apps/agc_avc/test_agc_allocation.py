"""Water-filling against published dispatch cases, the optimality conditions, and exhaustive choice of zone sides."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.allocation import allocate, zone_table

GOLDEN = Path(__file__).parents[4] / "shared" / "data" / "profiles" / "golden_cases.json"


@pytest.mark.parametrize("name", ["wood_wollenberg_3A", "wood_wollenberg_3D"])
def test_economic_dispatch_of_the_textbook(name):
    if not GOLDEN.exists():
        pytest.skip("the shared golden cases are not here")
    case = json.loads(GOLDEN.read_text())[name]
    a, b = np.array(case["a"]), np.array(case["b"])
    result = allocate(-b / (2 * a), 1 / (2 * a), np.array(case["pmin"], float), np.array(case["pmax"], float), case["D"])
    assert result.power == pytest.approx(case["P"], abs=0.06)
    assert result.lam == pytest.approx(case["lambda"], abs=6e-4)
    assert result.unmet == 0


def test_the_same_case_from_the_book_without_the_file():
    a, b = np.array([0.001562, 0.00194, 0.00482]), np.array([7.92, 7.85, 7.97])
    result = allocate(-b / (2 * a), 1 / (2 * a), np.array([150.0, 100, 50]), np.array([600.0, 400, 200]), 850.0)
    assert result.power == pytest.approx([393.2, 334.6, 122.2], abs=0.06)


columns = st.integers(1, 9).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-50, 150), min_size=n, max_size=n),
        st.lists(st.one_of(st.just(0.0), st.floats(0.01, 10)), min_size=n, max_size=n),
        st.lists(st.floats(-50, 100), min_size=n, max_size=n),
        st.lists(st.floats(0, 100), min_size=n, max_size=n),
        st.floats(0, 1),
    )
)


@given(columns)
@settings(max_examples=150, deadline=None)
def test_limits_sum_and_optimality(case):
    base, alpha, lo, span, share = case
    base, alpha, lo = np.array(base), np.array(alpha), np.array(lo)
    hi = lo + np.array(span)
    fixed = np.clip(base, lo, hi)
    low, high = np.where(alpha > 0, lo, fixed).sum(), np.where(alpha > 0, hi, fixed).sum()
    demand = low + share * (high - low)
    result = allocate(base, alpha, lo, hi, demand)
    assert (result.power >= lo - 1e-9).all()
    assert (result.power <= hi + 1e-9).all()
    assert result.power.sum() + result.unmet == pytest.approx(demand, abs=1e-6)
    assert abs(result.unmet) < 1e-6 * max(1, abs(demand))
    assert result.power[alpha == 0] == pytest.approx(fixed[alpha == 0])
    # KKT: free units share one lam, units at a limit would go beyond it
    lam = np.divide(result.power - base, alpha, out=np.zeros_like(base), where=alpha > 0)
    free = (alpha > 0) & (result.power > lo + 1e-6) & (result.power < hi - 1e-6)
    if free.any():
        common = lam[free][0]
        assert lam[free] == pytest.approx(common, abs=1e-4 / alpha[free].min())
        at_hi = (alpha > 0) & (result.power >= hi - 1e-6) & (hi > lo + 1e-5)
        assert (base[at_hi] + alpha[at_hi] * common >= hi[at_hi] - 1e-4).all()


def test_unreachable_demand_is_reported_not_hidden():
    base, alpha, lo, hi = np.zeros(2), np.ones(2), np.zeros(2), np.array([10.0, 20.0])
    over, under = allocate(base, alpha, lo, hi, 45.0), allocate(base, alpha, lo, hi, -5.0)
    assert over.power.tolist() == [10, 20]
    assert over.unmet == 15
    assert under.power.tolist() == [0, 0]
    assert under.unmet == -5
    assert allocate(*(np.zeros(0) for _ in range(4)), 3.0).unmet == 3


@given(st.permutations(range(6)), st.floats(60, 400))
@settings(max_examples=60, deadline=None)
def test_the_order_of_units_does_not_matter(order, demand):
    base, alpha = np.array([30.0, 60, 20, 80, 10, 50]), np.array([1.0, 2, 0.5, 3, 1, 0])
    lo, hi = np.array([10.0, 20, 0, 40, -10, 50]), np.array([80.0, 100, 40, 120, 30, 50])
    zones = [((40.0, 55.0),), (), ((5.0, 15.0), (25.0, 30.0)), (), (), ()]
    plain = allocate(base, alpha, lo, hi, demand, zone_table(zones))
    index = np.array(order)
    mixed = allocate(base[index], alpha[index], lo[index], hi[index], demand, zone_table([zones[i] for i in order]))
    assert mixed.power == pytest.approx(plain.power[index], abs=1e-6)


zone_case = st.tuples(
    st.lists(st.tuples(st.floats(5, 95), st.floats(0.5, 4), st.floats(20, 40), st.floats(5, 30)), min_size=2, max_size=5),
    st.floats(0.02, 0.98),
)


@given(zone_case)
@settings(max_examples=150, deadline=None)
def test_never_inside_a_zone_and_met_when_single_sides_allow(case):
    rows, share = case
    base, alpha = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    lo, hi = np.zeros(len(rows)), np.full(len(rows), 100.0)
    zones = [((start, start + length),) for _, _, start, length in rows]
    demand = share * 100 * len(rows)
    result = allocate(base, alpha, lo, hi, demand, zone_table(zones))
    for power, ((start, end),) in zip(result.power, zones, strict=True):
        assert not start + 1e-9 < power < end - 1e-9
    assert result.power.sum() + result.unmet == pytest.approx(demand, abs=1e-6)
    best = min(
        abs(demand - np.clip(demand, sum(a for a, _ in sides), sum(b for _, b in sides)))
        for sides in itertools.product(*(((0.0, start), (end, 100.0)) for ((start, end),) in zones))
    )
    assume(best < 1e-9)
    assert abs(result.unmet) <= max(end - start for ((start, end),) in zones) + 1e-6


def test_single_flip_repairs_the_balance():
    """Snapping to the nearer edge misses the demand; the other side of one unit meets it."""
    base, alpha = np.array([22.0, 60.0]), np.array([1.0, 1.0])
    lo, hi = np.array([0.0, 30.0]), np.array([50.0, 60.0])
    zones = zone_table([[(20.0, 40.0)], []])
    result = allocate(base, alpha, lo, hi, 85.0, zones)
    assert result.unmet == 0
    assert result.power == pytest.approx([40.0, 45.0])
