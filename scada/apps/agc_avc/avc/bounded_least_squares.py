"""Least squares with bounds on the unknowns: the continuous part of secondary voltage control."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]


def solve_bounded(a: F8, b: F8, lo: F8, hi: F8, tolerance: float = 1e-12, max_rounds: int = 10_000) -> F8:
    """Minimise ``|a x - b|^2`` subject to ``lo <= x <= hi`` by projected coordinate descent.

    Converges to a minimum for any ``a``; to *the* minimum if the columns are independent.

    Args:
        a: shape ``(m, n)``.
        b: shape ``(m,)``.
        lo: lower bounds, shape ``(n,)``.
        hi: upper bounds, ``lo <= hi``.
        tolerance: largest move in a round at which to stop, in units of ``x``.
        max_rounds: rounds at most.
    """
    hessian, gradient_at_0 = a.T @ a, a.T @ b
    x = np.clip(np.zeros(len(lo)), lo, hi)
    movable = np.flatnonzero((np.diag(hessian) > 0) & (hi > lo))
    for _ in range(max_rounds):
        largest = 0.0
        for i in movable:
            step = (gradient_at_0[i] - hessian[i] @ x) / hessian[i, i]
            new = min(max(x[i] + step, lo[i]), hi[i])
            largest = max(largest, abs(new - x[i]))
            x[i] = new
        if largest <= tolerance:
            break
    return x
