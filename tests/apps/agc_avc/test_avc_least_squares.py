"""Bounded least squares by its optimality conditions."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.avc.bounded_least_squares import solve_bounded


@given(st.integers(1, 7), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_optimality(n, m, seed):
    rng = np.random.default_rng(seed)
    a = np.vstack([rng.normal(size=(m, n)), 0.3 * np.eye(n)])
    b = rng.normal(size=m + n) * 5
    lo = -rng.uniform(0, 2, n)
    hi = rng.uniform(0, 2, n)
    x = solve_bounded(a, b, lo, hi)
    assert (x >= lo).all()
    assert (x <= hi).all()
    gradient = a.T @ (a @ x - b)
    free = (x > lo + 1e-9) & (x < hi - 1e-9)
    assert np.abs(gradient[free]).max(initial=0.0) < 1e-8
    assert (gradient[x <= lo + 1e-9] >= -1e-8).all()
    assert (gradient[x >= hi - 1e-9] <= 1e-8).all()


def test_without_bounds_it_is_the_pseudo_inverse():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(9, 4)), rng.normal(size=9)
    wide = np.full(4, 1e6)
    assert np.allclose(solve_bounded(a, b, -wide, wide), np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-9)


def test_a_column_without_effect_stays():
    assert solve_bounded(np.array([[1.0, 0.0]]), np.array([3.0]), np.full(2, -5.0), np.full(2, 5.0)).tolist() == [3.0, 0.0]
