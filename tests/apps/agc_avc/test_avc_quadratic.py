"""The quadratic programme of voltage control: optimality, DAQP as judge, degenerate problems, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.avc import quadratic
from scada.apps.agc_avc.avc.dual_newton import SOLVED
from scada.apps.agc_avc.avc.quadratic import VoltageProgramme, kkt_residual, solve
from scada.apps.agc_avc.errors import RegulationError

EXACT = 1e-9


def programme(seed, pilots=None, bands=None, sources=None, width=(0.5, 6.0)):
    """A problem as a zone makes it: effects of one sign, bands around now, some already broken, some one-sided."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 9)) if pilots is None else pilots
    s = int(rng.integers(0, 6)) if bands is None else bands
    n = int(rng.integers(1, 16)) if sources is None else sources
    effect = rng.uniform(0, 1, (m + s, n)) * rng.uniform(0.05, 1, (m + s, 1))
    if rng.random() < 0.2 and m + s > 1:
        effect[-1] = effect[0]
    if rng.random() < 0.1:
        effect[:, 0] = 0.0
    half, loading, step = rng.uniform(0.5, 40, n), rng.uniform(-1, 1, n), rng.uniform(0.1, 5, (2, n))
    middle, reach = rng.normal(0, 1, m + s), rng.uniform(*width, m + s)
    sided = rng.random(m + s)
    price = np.concatenate([np.full(m, 1e2), np.full(s, 1e3)])
    return VoltageProgramme(
        weight=0.05 / half**2,
        linear=0.05 * loading / half,
        lower=-np.minimum(half * (1 + loading), step[0]),
        upper=np.minimum(half * (1 - loading), step[1]),
        effect=effect,
        row_weight=np.concatenate([rng.uniform(0.2, 3, m), np.zeros(s)]),
        target=np.concatenate([rng.normal(0, 3, m), np.zeros(s)]),
        row_lower=np.where(sided < 0.2, -np.inf, middle - reach),
        row_upper=np.where(sided > 0.8, np.inf, middle + reach),
        price=price,
        stiffness=price.copy(),
    )


def objective(problem, x):
    y = problem.effect @ x
    away = np.maximum(np.maximum(problem.row_lower - y, y - problem.row_upper), 0.0)
    rows = problem.row_weight * (y - problem.target) ** 2 / 2 + problem.price * away + problem.stiffness * away**2 / 2
    return float((problem.weight * x**2 / 2 + problem.linear * x).sum() + rows.sum())


@pytest.mark.parametrize("block", range(4))
def test_thousands_of_random_problems_as_daqp_solves_them(block):
    """Newton alone against DAQP on the same problem with hard bands or slacks: equal to 1e-9; what is not solved says so."""
    compared = unsolved = 0
    for seed in range(500 * block, 500 * block + 500):
        problem = programme(seed)
        found = quadratic._newton(problem, None)
        if found is None or found.residual > quadratic.KKT_TOLERANCE:
            unsolved += 1
            continue
        judge = quadratic._active_set(problem)
        if judge is not None and judge.residual <= quadratic.KKT_TOLERANCE:
            assert np.abs(found.change - judge.change).max() <= EXACT * max(1.0, np.abs(judge.change).max()), seed
            compared += 1
    assert compared > 460
    assert unsolved < 30


@pytest.mark.parametrize("width", [(0.5, 6.0), (0.05, 0.5), (0.0, 0.01)])
def test_there_is_always_an_answer(width):
    """However narrow and contradictory the bands."""
    methods = set()
    for seed in range(300):
        problem = programme(seed, width=width)
        found = solve(problem)
        methods.add(found.method)
        assert found.residual <= quadratic.KKT_TOLERANCE
        assert (found.change >= problem.lower).all()
        assert (found.change <= problem.upper).all()
    assert "newton" in methods


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_nothing_near_is_better(seed):
    """The answer against the objective itself, which neither method sees."""
    problem = programme(seed)
    x = solve(problem).change
    best, rng = objective(problem, x), np.random.default_rng(seed)
    for size in (1e-3, 1e-1, 1.0):
        for _ in range(20):
            other = np.clip(x + rng.normal(0, size, len(x)), problem.lower, problem.upper)
            assert objective(problem, other) >= best - 1e-9 * max(1.0, abs(best))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_a_warm_start_changes_the_way_and_not_the_answer(seed):
    problem, rng = programme(seed), np.random.default_rng(seed)
    cold = solve(problem)
    for start in (cold.multiplier, rng.normal(0, 50, len(problem.target)), np.full(len(problem.target), np.nan), np.zeros(1)):
        assert solve(problem, start).change == pytest.approx(cold.change, abs=1e-8)
    if cold.method == "newton":
        assert solve(problem, cold.multiplier).steps <= 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_the_order_of_sources_and_rows_does_not_matter(seed):
    problem, rng = programme(seed), np.random.default_rng(seed)
    m, n = problem.effect.shape
    rows, columns = rng.permutation(m), rng.permutation(n)
    other = VoltageProgramme(
        *(getattr(problem, name)[columns] for name in ("weight", "linear", "lower", "upper")),
        problem.effect[np.ix_(rows, columns)],
        *(getattr(problem, name)[rows] for name in ("row_weight", "target", "row_lower", "row_upper", "price", "stiffness")),
    )
    assert solve(other).change == pytest.approx(solve(problem).change[columns], abs=1e-8)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 3.0))
@settings(max_examples=60, deadline=None)
def test_a_higher_target_never_lowers_its_own_voltage(seed, more):
    problem = programme(seed)
    higher = problem.target.copy()
    higher[0] += more
    assert solve(replace(problem, target=higher)).voltage[0] >= solve(problem).voltage[0] - 1e-8


def test_a_band_that_can_be_kept_is_kept_and_one_that_cannot_is_left_by_least():
    one, none = np.ones(1), np.zeros(1)
    pulled = VoltageProgramme(0.01 * one, none, -5 * one, 5 * one, np.ones((1, 1)), one, 4 * one, -one, one, 100 * one, 100 * one)
    assert solve(pulled).change.tolist() == pytest.approx([1.0], abs=1e-12)
    beyond = replace(pulled, row_lower=7 * one, row_upper=9 * one)
    assert solve(beyond).change.tolist() == [5.0]
    assert solve(beyond).residual <= EXACT


def test_two_bands_that_contradict_each_other_follow_their_prices():
    """One source, two buses: one wants it up, the other down; the dearer wins."""
    one = np.ones(1)
    problem = VoltageProgramme(
        0.01 * one, 0 * one, -5 * one, 5 * one, np.ones((2, 1)), np.zeros(2), np.zeros(2),
        np.array([2.0, -np.inf]), np.array([np.inf, -2.0]), np.array([1000.0, 10.0]), np.array([1.0, 1.0]),
    )  # fmt: skip
    assert solve(problem).change[0] == pytest.approx(2.0, abs=1e-9)
    swapped = replace(problem, price=np.array([10.0, 1000.0]))
    assert solve(swapped).change[0] == pytest.approx(-2.0, abs=1e-9)


def test_many_binding_bands_go_to_the_active_set():
    rng = np.random.default_rng(3)
    m, n = 60, 80
    effect = np.abs(rng.normal(0, 0.2, (m + 4, n))) + np.pad(np.eye(m), ((0, 4), (0, n - m)))
    problem = VoltageProgramme(
        np.full(n, 0.02), np.zeros(n), np.full(n, -3.0), np.full(n, 3.0), effect,
        np.concatenate([np.zeros(m), np.ones(4)]), np.concatenate([np.zeros(m), np.full(4, 40.0)]),
        np.full(m + 4, -1.0), np.concatenate([rng.uniform(0.4, 0.6, m), np.full(4, 50.0)]),
        np.full(m + 4, 1e4), np.full(m + 4, 1e4),
    )  # fmt: skip
    found = solve(problem)
    assert found.method == "active set"
    assert found.residual <= quadratic.KKT_TOLERANCE
    assert (found.voltage <= problem.row_upper + 1e-9).all()


def test_nothing_to_move_and_nobody_to_hold():
    empty = programme(1, pilots=2, bands=1, sources=1)
    fixed = replace(empty, lower=np.zeros(1), upper=np.zeros(1))
    assert solve(fixed).change.tolist() == [0.0]
    none = np.zeros(0)
    alone = VoltageProgramme(
        np.ones(1), -np.ones(1), -np.ones(1), np.ones(1), np.zeros((0, 1)), none, none, none, none, none, none
    )
    assert solve(alone).change.tolist() == [1.0]
    for effect in (0.0, 1e-160, 1e-310):  # nothing to speak of, down to what underflows
        assert solve(replace(empty, effect=np.full((3, 1), effect))).residual <= EXACT


@pytest.mark.parametrize(
    "wrong",
    [
        {"weight": np.zeros(3)},
        {"linear": np.array([0.0, np.nan, 0.0])},
        {"lower": np.full(3, -np.inf)},
        {"lower": np.full(3, 9.0)},
        {"effect": np.full((2, 3), np.inf)},
        {"row_weight": np.array([-1.0, 1.0])},
        {"target": np.array([np.nan, 0.0])},
        {"row_lower": np.array([np.nan, 0.0])},
        {"row_lower": np.array([1.0, 1.0]), "row_upper": np.zeros(2)},
        {"row_lower": np.array([np.inf, 0.0]), "row_upper": np.full(2, np.inf)},
        {"price": np.zeros(2)},
        {"stiffness": np.zeros(2)},
        {"target": np.zeros(5)},
    ],
)
def test_what_is_no_problem_is_refused(wrong):
    problem = programme(5, pilots=2, bands=0, sources=3)
    with pytest.raises(RegulationError):
        solve(replace(problem, **wrong))


def test_a_method_that_fails_never_gives_an_answer(monkeypatch):
    """A kernel that lies is found out by the optimality conditions; if the other lies too, there is no answer."""
    problem = programme(5)
    exact = solve(problem)

    def lies(*arguments):
        arguments[12][:] = problem.upper
        return SOLVED, 1

    monkeypatch.setattr(quadratic, "maximise", lies)
    assert solve(problem).method == "active set"
    assert solve(problem).change == pytest.approx(exact.change, abs=1e-8)
    monkeypatch.setattr(quadratic, "_daqp", lambda *_: None)
    with pytest.raises(RegulationError, match="not solved"):
        solve(problem)


def test_the_residual_sees_each_condition():
    problem = programme(11, pilots=3, bands=2, sources=6)
    found = solve(problem)
    assert kkt_residual(problem, found.change, found.multiplier) <= 1e-12
    assert kkt_residual(problem, found.change + 1e-3, found.multiplier) > 1e-6
    assert kkt_residual(problem, found.change, found.multiplier + 1e-3) > 1e-6
    assert kkt_residual(problem, problem.upper + 1.0, found.multiplier) > 1e-3
