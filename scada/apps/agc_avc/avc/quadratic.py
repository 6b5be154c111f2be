"""The quadratic programme of secondary voltage control; it always has exactly one answer.

For changes ``x`` of the sources and voltages ``y = C x`` (both relative to now)::

    minimise  1/2 sum w x² + c'x  +  sum_rows [ 1/2 p (y - t)² + price * d + 1/2 stiffness * d² ]
    subject to  lower <= x <= upper,      d = distance of y from [row_lower, row_upper]

The distance is priced, not forbidden: a band that cannot be kept is left by as little as the prices say. The linear price is
exact: as long as a band can be kept at a multiplier below the price, it is kept to the last digit (Fletcher, Practical Methods
of Optimization, 12.3). Rows with ``p = 0`` are bands alone, such as the limits of the buses of the sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import daqp
import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.avc.dual_newton import SOLVED, maximise
from scada.apps.agc_avc.errors import RegulationError

F8 = npt.NDArray[np.float64]

MOST_STEPS = 60
MOST_BANDS = 50
"""Band rows that may bind before the active-set solver takes over."""
KKT_TOLERANCE = 1e-9
"""Greatest residual of the optimality conditions of an answer that is used, of the size of the voltages and changes."""
_UNLIMITED = 1e30


@dataclass(frozen=True, slots=True)
class VoltageProgramme:
    """One problem of ``n`` sources and ``m`` rows.

    Attributes:
        weight: ``w > 0``, shape ``(n,)``.
        linear: ``c``, shape ``(n,)``.
        lower, upper: bounds of the changes, finite, ``lower <= upper``.
        effect: ``C``, shape ``(m, n)``.
        row_weight: ``p >= 0``, shape ``(m,)``.
        target: ``t``; of no meaning where ``p = 0``.
        row_lower, row_upper: the bands; infinite = none.
        price: of leaving a band, > 0.
        stiffness: further, quadratic price, > 0.
    """

    weight: F8
    linear: F8
    lower: F8
    upper: F8
    effect: F8
    row_weight: F8
    target: F8
    row_lower: F8
    row_upper: F8
    price: F8
    stiffness: F8

    def check(self) -> None:
        """Raise what makes it no problem at all.

        Raises:
            RegulationError: shapes differ, something is not a number, bounds are reversed or a weight is not positive.
        """
        m, n = self.effect.shape
        by_source = (self.weight, self.linear, self.lower, self.upper)
        by_row = (self.row_weight, self.target, self.row_lower, self.row_upper, self.price, self.stiffness)
        if any(len(column) != n for column in by_source) or any(len(column) != m for column in by_row):
            raise RegulationError("the parts of the voltage problem differ in size")
        finite = (*by_source, self.effect, self.row_weight, self.target, self.price, self.stiffness)
        if not all(np.isfinite(column).all() for column in finite) or np.isnan([self.row_lower, self.row_upper]).any():
            raise RegulationError("the voltage problem holds a value that is not a number")
        if (self.lower > self.upper).any() or (self.row_lower > self.row_upper).any():
            raise RegulationError("the voltage problem has a lower limit above an upper one")
        if (self.row_lower == np.inf).any() or (self.row_upper == -np.inf).any():
            raise RegulationError("the voltage problem has a band that nothing can reach")
        if (self.weight <= 0).any() or (self.row_weight < 0).any() or (self.price <= 0).any() or (self.stiffness <= 0).any():
            raise RegulationError("the voltage problem has a weight that is not positive")


@dataclass(frozen=True, slots=True)
class VoltageSolution:
    """The answer.

    Attributes:
        change: ``x``, within its bounds to the last digit.
        voltage: ``C x``.
        multiplier: of the rows, the start of the next solution; > 0 = the row presses downwards.
        method: ``newton`` or ``active set``.
        steps: of that method.
        residual: of the optimality conditions.
    """

    change: F8
    voltage: F8
    multiplier: F8
    method: Literal["newton", "active set"]
    steps: int
    residual: float


def solve(problem: VoltageProgramme, start: F8 | None = None) -> VoltageSolution:
    """Solve, starting from the multipliers of the cycle before if they are given and fit.

    Raises:
        RegulationError: the problem makes no sense, or no method reached the optimality conditions: nothing must be sent then.
    """
    problem.check()
    if not problem.effect.size:
        change = np.clip(-problem.linear / problem.weight, problem.lower, problem.upper)
        return VoltageSolution(change, problem.effect @ change, np.zeros(len(problem.target)), "newton", 0, 0.0)
    found = _newton(problem, start)
    if found is not None and found.residual <= KKT_TOLERANCE:
        return found
    found = _active_set(problem)
    if found is not None and found.residual <= KKT_TOLERANCE:
        return found
    how = "no solution" if found is None else f"a residual of {found.residual:.1e}"
    raise RegulationError(f"the voltage problem was not solved ({how})", mend="report it with the recording of the cycle")


def _newton(problem: VoltageProgramme, start: F8 | None) -> VoltageSolution | None:
    m, n = problem.effect.shape
    usable = start is not None and start.shape == (m,) and bool(np.isfinite(start).all())
    multiplier = start.astype(np.float64) if usable and start is not None else np.zeros(m)
    change = np.empty(n)
    outcome, steps = maximise(
        problem.weight,
        problem.linear,
        problem.lower,
        problem.upper,
        np.ascontiguousarray(problem.effect.T),
        problem.row_weight,
        problem.target,
        problem.row_lower,
        problem.row_upper,
        problem.price,
        problem.stiffness,
        multiplier,
        change,
        _size(problem),
        MOST_STEPS,
        MOST_BANDS,
    )
    if outcome != SOLVED and not np.isfinite(change).all():
        return None
    return _solution(problem, change, multiplier, "newton", steps)


def _size(problem: VoltageProgramme) -> float:
    """What the voltages of the rows are measured by: 1, or the largest target or change in sight."""
    reach = np.abs(problem.effect) @ np.maximum(np.abs(problem.lower), np.abs(problem.upper))
    return max(1.0, float(np.abs(problem.target).max()), float(reach.max()))


def _solution(
    problem: VoltageProgramme, change: F8, multiplier: F8, method: Literal["newton", "active set"], steps: int
) -> VoltageSolution:
    residual = kkt_residual(problem, change, multiplier)
    return VoltageSolution(change, problem.effect @ change, multiplier, method, steps, residual)


def kkt_residual(problem: VoltageProgramme, change: F8, multiplier: F8) -> float:
    """How far an answer is from the optimality conditions; each part relative to the size of what it is made of, at least 1.

    The largest of: a gradient that is not 0 and does not press onto a bound (or the way to that bound, if less); a change outside
    its bounds; a voltage that does not belong to its multiplier.
    """
    if not (np.isfinite(change).all() and np.isfinite(multiplier).all()):
        return np.inf
    pull = problem.effect.T @ multiplier
    gradient = problem.weight * change + problem.linear + pull
    scale = max(1.0, float((np.abs(problem.linear) + np.abs(pull)).max()))
    uphill = np.minimum(np.maximum(gradient, 0.0) / scale, change - problem.lower)
    downhill = np.minimum(np.maximum(-gradient, 0.0) / scale, problem.upper - change)
    outside = max(0.0, float((problem.lower - change).max()), float((change - problem.upper).max()))
    y = problem.effect @ change
    low, high = _voltage(problem, multiplier)
    miss = float(np.maximum(np.maximum(low - y, y - high), 0.0).max())
    return max(float(uphill.max()), float(downhill.max()), outside, miss / _size(problem))


def _voltage(problem: VoltageProgramme, multiplier: F8) -> tuple[F8, F8]:
    """Voltages that belong to multipliers: a point for each row, the whole band for a band row with multiplier 0."""
    p, price, stiff = problem.row_weight, problem.price, problem.stiffness
    weighed = p > 0
    above = np.where(weighed, p * (np.where(weighed, problem.row_upper, 0.0) - problem.target), 0.0)
    below = np.where(weighed, p * (np.where(weighed, problem.row_lower, 0.0) - problem.target), 0.0)
    inner = problem.target + multiplier / np.where(weighed, p, 1.0)
    upper = problem.row_upper + np.maximum(multiplier - above - price, 0.0) / (p + stiff)
    lower = problem.row_lower - np.maximum(below - price - multiplier, 0.0) / (p + stiff)
    point = np.where(multiplier > above, upper, np.where(multiplier < below, lower, inner))
    free = ~weighed & (multiplier == 0.0)
    return np.where(free, problem.row_lower, point), np.where(free, problem.row_upper, point)


# ---------------------------------------------------------------- active set, when many bands bind


def _active_set(problem: VoltageProgramme) -> VoltageSolution | None:
    """Hard bands first: if they can be kept below their prices, that is the answer. Otherwise with slacks."""
    found = _hard(problem)
    if found is not None and found.residual <= KKT_TOLERANCE:
        return found
    return _soft(problem)


def _daqp(hessian: F8, linear: F8, rows: F8, lower: F8, upper: F8) -> tuple[F8, F8, int] | None:
    """Solve; (x, multipliers of bounds and rows, iterations), None if DAQP says there is no solution."""
    low = np.where(np.isfinite(lower), lower, -_UNLIMITED)
    high = np.where(np.isfinite(upper), upper, _UNLIMITED)
    sense = np.zeros(len(low), dtype=np.intc)
    sense[low == high] = 5
    answer: tuple[Any, float, int, dict[str, Any]] = daqp.solve(
        hessian, linear, rows, high, low, sense, primal_tol=1e-11, dual_tol=1e-12, eps_prox=0.0
    )
    x, _, flag, info = answer
    return (np.asarray(x), np.asarray(info["lam"]), int(info["iterations"])) if flag == 1 else None


def _hard(problem: VoltageProgramme) -> VoltageSolution | None:
    n, p = len(problem.weight), problem.row_weight
    hessian = np.diag(problem.weight) + problem.effect.T @ (p[:, None] * problem.effect)
    linear = problem.linear - problem.effect.T @ (p * problem.target)
    lower, upper = np.concatenate([problem.lower, problem.row_lower]), np.concatenate([problem.upper, problem.row_upper])
    found = _daqp(hessian, linear, np.ascontiguousarray(problem.effect), lower, upper)
    if found is None:
        return None
    change, lam, steps = np.clip(found[0], problem.lower, problem.upper), found[1], found[2]
    return _solution(problem, change, p * (problem.effect @ change - problem.target) + lam[n:], "active set", steps)


def _soft(problem: VoltageProgramme) -> VoltageSolution | None:
    """With two slacks for each band; ``s`` in units that make its own curvature 1."""
    (m, n), p = problem.effect.shape, problem.row_weight
    curved = 1.0 / np.sqrt(problem.stiffness)
    hessian = np.zeros((n + 2 * m, n + 2 * m))
    hessian[:n, :n] = np.diag(problem.weight) + problem.effect.T @ (p[:, None] * problem.effect)
    hessian[n:, n:] = np.eye(2 * m)
    price = problem.price * curved
    linear = np.concatenate([problem.linear - problem.effect.T @ (p * problem.target), price, price])
    unlimited = np.full(m, np.inf)
    rows = np.block([[problem.effect, -np.diag(curved), np.zeros((m, m))], [problem.effect, np.zeros((m, m)), np.diag(curved)]])
    lower = np.concatenate([problem.lower, np.zeros(2 * m), -unlimited, problem.row_lower])
    upper = np.concatenate([problem.upper, np.full(2 * m, np.inf), problem.row_upper, unlimited])
    found = _daqp(hessian, linear, rows, lower, upper)
    if found is None:
        return None
    change, lam, steps = np.clip(found[0][:n], problem.lower, problem.upper), found[1][n + 2 * m :], found[2]
    multiplier = p * (problem.effect @ change - problem.target) + lam[:m] + lam[m:]
    return _solution(problem, change, multiplier, "active set", steps)


def warm_up() -> None:
    """Compile the kernel."""
    one, none = np.ones(1), np.zeros(1)
    solve(VoltageProgramme(one, none, -one, one, np.ones((1, 1)), one, one, -one, one, one, one), none)
