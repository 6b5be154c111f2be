"""Newton's iteration of one island as a kernel: mismatch, Jacobian, factors, step, all without leaving compiled code.

A bus is a block of two equations (P, Q) and two unknowns (angle, relative change of the magnitude). In these unknowns
``S = V_i conj(Y_ij V_j)`` is its own derivative: an entry of the admittances gives the block ``[[Im S, Re S], [-Re S, Im S]]``.
Where a machine holds the voltage the Q row says "the magnitude stays"; it keeps its place, so PV and PQ buses share one pattern.
The reference bus' P row says "the angle stays"; its own equation gives the island's slack by bordering, and the pattern stays
sparse however many buses share the slack.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scada.apps.network.sparse_lu import Factors, Layout, factor_into, solve_into

F8 = npt.NDArray[np.float64]
C16 = npt.NDArray[np.complex128]
U4 = npt.NDArray[np.uint32]
Mask = npt.NDArray[np.bool_]
_U = np.uintp  # numba looks at the sign of every other index

SOLVED, DIVERGED, SINGULAR, COLLAPSED, UNFINISHED = 0, 1, 2, 3, 4
"""How an iteration ended."""
LEAST_MAGNITUDE = 0.1
"""Per unit; a voltage below counts as collapsed."""
LEAST_STRENGTH = 1e-15
"""Of a pivot in the iteration: less is rounding alone."""


class Equations(NamedTuple):
    """Admittances of an island by rows, in its own bus numbers; ``share`` of each bus in the slack, sum 1; ``reference`` bus."""

    ptr: U4
    col: U4
    y: C16
    share: F8
    reference: int


@numba.njit(cache=True, nogil=True)
def fill_jacobian(equations: Equations, voltage: C16, holding: Mask, jacobian: F8, injected: C16, border: F8) -> None:
    """Write the blocks of the Jacobian, the injected powers, and the reference bus' own P row (``border``, one pair an entry)."""
    ptr, col, y, _, reference = equations
    for number in range(len(voltage)):
        bus = _U(number)
        v = voltage[bus]
        total = own = 0j
        at: Any = _U(ptr[bus])
        keeps = 0.0 if holding[bus] else 1.0
        for entry in range(_U(ptr[bus]), _U(ptr[bus + _U(1)])):
            other = _U(col[entry])
            w, g = voltage[other], y[entry]
            real, imag = g.real * w.real - g.imag * w.imag, g.real * w.imag + g.imag * w.real
            real, imag = v.real * real + v.imag * imag, v.imag * real - v.real * imag
            s = complex(real, imag)
            total += s
            jacobian[entry, 0], jacobian[entry, 1] = imag, real
            jacobian[entry, 2], jacobian[entry, 3] = -keeps * real, keeps * imag
            if other == bus:
                at, own = entry, s
        injected[bus] = total
        rest, both = total - own, total + own
        jacobian[at, 0], jacobian[at, 1] = -rest.imag, both.real
        if holding[bus]:
            jacobian[at, 2], jacobian[at, 3] = 0.0, 1.0
        else:
            jacobian[at, 2], jacobian[at, 3] = rest.real, both.imag
        if number == reference:
            begin = _U(ptr[bus])
            for entry in range(begin, _U(ptr[bus + _U(1)])):
                border[entry - begin, 0], border[entry - begin, 1] = jacobian[entry, 0], jacobian[entry, 1]
                jacobian[entry, 0] = jacobian[entry, 1] = 0.0
            jacobian[at, 0] = 1.0


@numba.njit(cache=True, nogil=True)
def along_border(equations: Equations, border: F8, x: F8) -> np.float64:
    """The reference bus' own P row times the unknowns."""
    begin = _U(equations.ptr[equations.reference])
    total = np.float64(0.0)
    for entry in range(begin, _U(equations.ptr[equations.reference + 1])):
        bus = _U(equations.col[entry])
        total += border[entry - begin, 0] * x[bus, 0] + border[entry - begin, 1] * x[bus, 1]
    return total


@numba.njit(cache=True, nogil=True)
def slack_column(layout: Layout, factors: Factors, equations: Equations, border: F8, by_slack: F8) -> np.float64:
    """How the unknowns answer to the slack (into ``by_slack``); what a unit of it leaves at the reference bus (0: singular)."""
    share, reference = equations.share, equations.reference
    alone = True
    for bus in range(len(share)):
        by_slack[bus, 0], by_slack[bus, 1] = share[bus], 0.0
        alone = alone and (bus == reference or share[bus] == 0.0)
    by_slack[reference, 0] = 0.0
    if alone:
        return np.float64(-share[reference])
    solve_into(layout, factors, by_slack, by_slack)
    return np.float64(along_border(equations, border, by_slack) - share[reference])


@numba.njit(cache=True, nogil=True)
def _turn(angle: float) -> complex:
    """``exp(j angle)``: by its series where that is exact to the last digit, as it is for all but the first steps."""
    if not abs(angle) < 0.25:  # there the terms left out come to 4e-20
        return complex(np.cos(angle), np.sin(angle))
    s = angle * angle
    sine = angle * (
        1.0
        - s
        * (1 / 6)
        * (1.0 - s * (1 / 20) * (1.0 - s * (1 / 42) * (1.0 - s * (1 / 72) * (1.0 - s * (1 / 110) * (1.0 - s * (1 / 156))))))
    )
    cosine = 1.0 - s * (1 / 2) * (
        1.0 - s * (1 / 12) * (1.0 - s * (1 / 30) * (1.0 - s * (1 / 56) * (1.0 - s * (1 / 90) * (1.0 - s * (1 / 132)))))
    )
    return complex(cosine, sine)


@numba.njit(cache=True, nogil=True)
def newton(
    layout: Layout,
    factors: Factors,
    equations: Equations,
    p: F8,
    q: F8,
    holding: Mask,
    voltage: C16,
    injected: C16,
    slack: float,
    tolerance: float,
    max_iterations: int,
) -> tuple[int, int, float, float]:
    """Iterate from ``voltage`` and ``slack``; writes the last voltages and the powers injected at them.

    Returns:
        How it ended, steps made, greatest mismatch per unit, slack per unit.
    """
    _, _, y, share, reference = equations
    n = len(p)
    jacobian = np.empty((len(y), 4))
    border = np.empty((int(equations.ptr[reference + 1]) - int(equations.ptr[reference]), 2))
    rhs, by_slack = np.empty((n, 2)), np.empty((n, 2))
    mismatch = np.inf
    for iteration in range(max_iterations + 1):
        fill_jacobian(equations, voltage, holding, jacobian, injected, border)
        mismatch = 0.0
        for bus in range(n):
            rhs[bus, 0] = p[bus] + share[bus] * slack - injected[bus].real
            rhs[bus, 1] = 0.0 if holding[bus] else q[bus] - injected[bus].imag
            size = max(abs(rhs[bus, 0]), abs(rhs[bus, 1]))
            if not size <= mismatch and not np.isnan(mismatch):
                mismatch = size
        if not np.isfinite(mismatch):
            return DIVERGED, iteration, mismatch, slack
        if mismatch < tolerance:
            return SOLVED, iteration, mismatch, slack
        if iteration == max_iterations:
            break
        if not factor_into(layout, factors, jacobian) >= LEAST_STRENGTH:
            return SINGULAR, iteration, mismatch, slack
        left = rhs[reference, 0]
        rhs[reference, 0] = 0.0
        solve_into(layout, factors, rhs, rhs)
        unit = slack_column(layout, factors, equations, border, by_slack)
        if not abs(unit) > 1e-14:
            return SINGULAR, iteration, mismatch, slack
        more = (left - along_border(equations, border, rhs)) / unit
        slack += more
        for bus in range(n):
            angle, growth = rhs[bus, 0] + more * by_slack[bus, 0], rhs[bus, 1] + more * by_slack[bus, 1]
            factor = 1.0 + growth
            v = voltage[bus]
            if factor <= 0.0 or (v.real * v.real + v.imag * v.imag) * factor * factor < LEAST_MAGNITUDE**2:
                return COLLAPSED, iteration + 1, mismatch, slack
            voltage[bus] = v * (factor * _turn(angle))
    return UNFINISHED, max_iterations, mismatch, slack
