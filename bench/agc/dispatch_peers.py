"""One process in the solvers' environment: economic dispatch of quadratic costs with limits, to the same optimum."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import clarabel
import highspy
import numpy as np
import osqp
import piqp
import scipy.optimize
import scipy.sparse as sp
from agc.dispatch_problem import problem

LARGEST = {"highs": 1000, "clarabel": 10_000, "osqp": 10_000, "piqp": 10_000}
"""Above these sizes a solver takes too long to be asked again and again."""


def brentq(b: np.ndarray, c: np.ndarray, lo: np.ndarray, hi: np.ndarray, demand: float) -> np.ndarray:
    """What a user writes: the root of the balance."""

    def power(price: float) -> np.ndarray:
        return np.clip((price - b) / (2 * c), lo, hi)

    left, right = float((b + 2 * c * lo).min()), float((b + 2 * c * hi).max())
    return power(scipy.optimize.brentq(lambda price: power(price).sum() - demand, left, right, xtol=1e-13, rtol=1e-14))


def with_piqp(b: np.ndarray, c: np.ndarray, lo: np.ndarray, hi: np.ndarray, demand: float) -> np.ndarray:
    """Interior point and proximal method."""
    solver = piqp.SparseSolver()
    row = sp.csc_matrix(np.ones((1, len(b))))
    solver.setup(sp.diags(2 * c, format="csc"), b, row, np.array([demand]), None, None, None, lo, hi)
    solver.solve()
    return np.asarray(solver.result.x)


def with_osqp(b: np.ndarray, c: np.ndarray, lo: np.ndarray, hi: np.ndarray, demand: float) -> np.ndarray:
    """Operator splitting at 1e-6."""
    matrix = sp.vstack([sp.csc_matrix(np.ones((1, len(b)))), sp.eye(len(b))], format="csc")
    solver = osqp.OSQP()
    solver.setup(
        sp.diags(2 * c, format="csc"), b, matrix, np.r_[demand, lo], np.r_[demand, hi],
        verbose=False, eps_abs=1e-6, eps_rel=1e-6, max_iter=100_000,
    )  # fmt: skip
    return np.asarray(solver.solve().x)


def with_clarabel(b: np.ndarray, c: np.ndarray, lo: np.ndarray, hi: np.ndarray, demand: float) -> np.ndarray:
    """Interior point."""
    n = len(b)
    matrix = sp.vstack([sp.csc_matrix(np.ones((1, n))), sp.eye(n), -sp.eye(n)], format="csc")
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    cones = [clarabel.ZeroConeT(1), clarabel.NonnegativeConeT(2 * n)]
    problem = clarabel.DefaultSolver(sp.diags(2 * c, format="csc"), b, matrix, np.r_[demand, hi, -lo], cones, settings)
    return np.asarray(problem.solve().x)


def with_highs(b: np.ndarray, c: np.ndarray, lo: np.ndarray, hi: np.ndarray, demand: float) -> np.ndarray:
    """Active set for quadratic programmes."""
    n = len(b)
    solver = highspy.Highs()
    solver.silent()
    model = highspy.HighsModel()
    model.lp_.num_col_, model.lp_.num_row_ = n, 1
    model.lp_.col_cost_, model.lp_.col_lower_, model.lp_.col_upper_ = b, lo, hi
    model.lp_.row_lower_ = model.lp_.row_upper_ = np.array([demand])
    model.lp_.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.lp_.a_matrix_.start_, model.lp_.a_matrix_.index_ = np.array([0, n]), np.arange(n)
    model.lp_.a_matrix_.value_ = np.ones(n)
    model.hessian_.dim_, model.hessian_.format_ = n, highspy.HessianFormat.kTriangular
    model.hessian_.start_, model.hessian_.index_, model.hessian_.value_ = np.arange(n + 1), np.arange(n), 2 * c
    solver.passModel(model)
    solver.run()
    return np.asarray(solver.getSolution().col_value)


PEERS: dict[str, Callable[..., np.ndarray]] = {
    "numpy + scipy.brentq": brentq,
    "piqp": with_piqp,
    "osqp": with_osqp,
    "clarabel": with_clarabel,
    "highs": with_highs,
}


def main(count: int) -> None:
    """Print the least time of each and by how much its cost differs from the first one's."""
    b, c, lo, hi, demand = problem(count)
    least = 0.0
    took: dict[str, float | None] = {}
    dearer: dict[str, float] = {}
    for name, solve in PEERS.items():
        if count > LARGEST.get(name, count):
            took[name] = None
            continue
        best = np.inf
        for _ in range(max(2, min(30, 30_000 // count))):
            before = time.perf_counter()
            x = solve(b, c, lo, hi, demand)
            best = min(best, time.perf_counter() - before)
        cost = float((b * x + c * x**2).sum())
        least = least or cost
        took[name], dearer[name] = 1e6 * best, abs(cost / least - 1.0)
    print(json.dumps({"us": took, "dearer": dearer}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
