"""The dispatch that ours and the peers solve: quadratic costs, limits, 60 % of the range."""

from __future__ import annotations

import numpy as np


def problem(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """(b, c, lower, upper limit of each unit, demand): cost = b P + c P²."""
    rng = np.random.default_rng(1)
    lo, span = rng.uniform(0, 100, count), rng.uniform(100, 500, count)
    b, c = rng.uniform(6, 12, count), rng.uniform(0.001, 0.02, count)
    return b, c, lo, lo + span, 0.6 * float((2 * lo + span).sum())
