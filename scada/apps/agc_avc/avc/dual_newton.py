"""Kernel of the quadratic programme of secondary voltage control: a semismooth Newton method on its dual.

With the multipliers ``l`` of the rows ``y = C x`` everything else is a formula (``x(l)`` and ``y(l)`` are clipped straight
lines), so the dual is a concave, piecewise quadratic function of as many unknowns as there are rows. Newton's system on its
gradient ``C x(l) - y(l)`` has the matrix ``C_F diag(1/w) C_F' + D`` over the sources ``F`` between their bounds. A step that
would go too far ends where the dual stops rising: its slope along a line is piecewise linear and never rises, so that place is
found exactly.

Rows without error weight (only a band) have a kink at ``l = 0``. They take part while their band is broken or their multiplier
is not 0, on the side where they are, and a step ends at the kink (two-metric projection, Bertsekas 1982).

Method: X. Li, D. Sun, K.-C. Toh, SIAM J. Optimization 28 (2018), semismooth Newton on the dual; D. P. Bertsekas, SIAM J.
Control and Optimization 20 (1982), for the kinks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

SOLVED: Final = 0
STUCK: Final = 1
"""Too many steps, or none that helps."""
CROWDED: Final = 2
"""More band rows want to bind than this method is good for."""

_SMALL_PIVOT = 1e-11
"""Of the largest possible diagonal: below it a direction is flat, and the step along it long."""
_EXACT = 1e-13
"""Of the size of the voltages: a gradient this small is none."""
_NEAR = 1e-3
"""Of that size: close enough for a last step that is taken in the changes themselves."""
_NO_EFFECT = 1e-100
"""Effects whose squares are below this move nothing."""
_HELD = 1e12
"""Times the largest possible diagonal: keeps a row where it is."""
_REBUILD = 0.5
"""More changed sources than this part of all: the matrix is made afresh."""

_FAST = {"reassoc", "contract", "nsz"}
"""Sums in any order; nan and infinity keep their meaning."""


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _dot(a: F8, b: F8, count: int) -> float:
    total = 0.0
    for i in range(count):
        total += a[i] * b[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _row(at: float, side: float, p: float, t: float, lo: float, hi: float, price: float, stiff: float) -> tuple[float, float]:
    """``y(l)`` of a row and its slope; ``side`` says which side of the kink of a band row is meant."""
    if p > 0.0:
        above, below = p * (hi - t), p * (lo - t)
        if below <= at <= above:
            return t + at / p, 1.0 / p
    else:
        above = below = 0.0
    if at > above or (p == 0.0 and at >= 0.0 and side > 0.0):
        if at <= above + price:
            return hi, 0.0
        return hi + (at - above - price) / (p + stiff), 1.0 / (p + stiff)
    if at >= below - price:
        return lo, 0.0
    return lo + (at - below + price) / (p + stiff), 1.0 / (p + stiff)


@njit(cache=True, nogil=True, error_model="numpy")
def _slope(
    tau: float,
    w: F8,
    c: F8,
    lo: F8,
    hi: F8,
    u: F8,
    v: F8,
    rows: I8,
    at: F8,
    step: F8,
    side: F8,
    p: F8,
    t: F8,
    y_lo: F8,
    y_hi: F8,
    price: F8,
    stiff: F8,
) -> float:
    """Slope of the dual along a step."""
    total = 0.0
    for i in range(len(w)):
        total += v[i] * min(max(-(c[i] + u[i] + tau * v[i]) / w[i], lo[i]), hi[i])
    for a in range(len(rows)):
        if step[a] != 0.0:
            j = rows[a]
            y, _ = _row(at[a] + tau * step[a], side[a], p[j], t[j], y_lo[j], y_hi[j], price[j], stiff[j])
            total -= step[a] * y
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _note(at: float, step: float, kink: float, found: F8, count: int) -> int:
    """Keep where a line meets a kink, if that is within the step."""
    tau = (kink - at) / step
    if 0.0 < tau < 1.0:
        found[count] = tau
        return count + 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _furthest(
    w: F8,
    c: F8,
    lo: F8,
    hi: F8,
    u: F8,
    v: F8,
    rows: I8,
    at: F8,
    step: F8,
    side: F8,
    p: F8,
    t: F8,
    y_lo: F8,
    y_hi: F8,
    price: F8,
    stiff: F8,
    start: float,
) -> float:
    """Part of a step after which the dual no longer rises; ``start`` is its slope at the beginning, > 0."""
    end = _slope(1.0, w, c, lo, hi, u, v, rows, at, step, side, p, t, y_lo, y_hi, price, stiff)
    if end >= -1e-9 * start:
        return 1.0
    kinks = np.empty(2 * len(w) + 4 * len(rows) + 2)
    count = 0
    for i in range(len(w)):
        if v[i] != 0.0 and lo[i] < hi[i]:
            count = _note(c[i] + u[i], v[i], -w[i] * lo[i], kinks, count)
            count = _note(c[i] + u[i], v[i], -w[i] * hi[i], kinks, count)
    for a in range(len(rows)):
        if step[a] != 0.0:
            j = rows[a]
            above = p[j] * (y_hi[j] - t[j]) if p[j] > 0.0 else 0.0
            below = p[j] * (y_lo[j] - t[j]) if p[j] > 0.0 else 0.0
            for kink in (above, above + price[j], below, below - price[j]):
                count = _note(at[a], step[a], kink, kinks, count)
    kinks[count] = 1.0
    ordered = np.sort(kinks[: count + 1])
    left, right = 0.0, 1.0
    at_left, at_right = start, end
    first, last = 0, count  # the slope falls below 0 in one of the pieces that end at these kinks
    while first < last:
        middle = (first + last) // 2
        here = _slope(ordered[middle], w, c, lo, hi, u, v, rows, at, step, side, p, t, y_lo, y_hi, price, stiff)
        if here > 0.0:
            left, at_left, first = ordered[middle], here, middle + 1
        else:
            right, at_right, last = ordered[middle], here, middle
    if not at_left > at_right:
        return right
    return left + (right - left) * at_left / (at_left - at_right)


@njit(cache=True, nogil=True, error_model="numpy")
def _same_pieces(
    w: F8,
    c: F8,
    lo: F8,
    hi: F8,
    u: F8,
    v: F8,
    rows: I8,
    at: F8,
    step: F8,
    side: F8,
    p: F8,
    t: F8,
    y_lo: F8,
    y_hi: F8,
    price: F8,
) -> bool:
    """Whether a step crosses no kink: then it ends at the maximum."""
    for i in range(len(w)):
        now, then = -(c[i] + u[i]) / w[i], -(c[i] + u[i] + v[i]) / w[i]
        if lo[i] < hi[i] and (((now <= lo[i]) != (then <= lo[i])) or ((now >= hi[i]) != (then >= hi[i]))):
            return False
    for a in range(len(rows)):
        if step[a] != 0.0:
            j, end = rows[a], at[a] + step[a]
            if side[a] * end < 0.0:
                return False
            above = p[j] * (y_hi[j] - t[j]) if p[j] > 0.0 else 0.0
            below = p[j] * (y_lo[j] - t[j]) if p[j] > 0.0 else 0.0
            for kink in (above, above + price[j], below, below - price[j]):
                if (at[a] - kink) * (end - kink) < 0.0:
                    return False
    return True


@njit(cache=True, nogil=True, error_model="numpy")
def _bands_hold(by_source: F8, x: F8, p: F8, y_lo: F8, y_hi: F8, multiplier: F8, tolerance: float) -> bool:
    """Whether the bands that do not take part are kept."""
    n, m = by_source.shape
    for j in range(m):
        if p[j] == 0.0 and multiplier[j] == 0.0:
            y = 0.0
            for i in range(n):
                y += by_source[i, j] * x[i]
            if y > y_hi[j] + tolerance or y < y_lo[j] - tolerance:
                return False
    return True


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _add_sources(matrix: F8, columns: F8, factor: F8, chosen: I8, count: int) -> None:
    """Add ``factor c c'`` of the chosen sources to the lower triangle, four at once."""
    k = matrix.shape[0]
    done = 0
    while done + 4 <= count:
        s0, s1, s2, s3 = chosen[done], chosen[done + 1], chosen[done + 2], chosen[done + 3]
        c0, c1, c2, c3 = columns[s0], columns[s1], columns[s2], columns[s3]
        for a in range(k):
            f0, f1, f2, f3 = factor[s0] * c0[a], factor[s1] * c1[a], factor[s2] * c2[a], factor[s3] * c3[a]
            row = matrix[a]
            for b in range(a + 1):
                row[b] += f0 * c0[b] + f1 * c1[b] + f2 * c2[b] + f3 * c3[b]
        done += 4
    for s in range(done, count):
        c0 = columns[chosen[s]]
        for a in range(k):
            f0 = factor[chosen[s]] * c0[a]
            row = matrix[a]
            for b in range(a + 1):
                row[b] += f0 * c0[b]


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(matrix: F8, diagonal: F8, right: F8, smallest: float) -> F8:
    """Solve with the symmetric matrix (lower triangle) plus a diagonal; pivots that vanish are held at ``smallest``."""
    k = len(right)
    lower = np.empty((k, k))
    x = np.empty(k)
    for i in range(k):
        row = lower[i]
        for j in range(i):
            row[j] = (matrix[i, j] - _dot(row, lower[j], j)) / lower[j, j]
        pivot = matrix[i, i] + diagonal[i] - _dot(row, row, i)
        row[i] = np.sqrt(max(smallest, pivot))
        x[i] = (right[i] - _dot(row, x, i)) / row[i]
    for i in range(k - 1, -1, -1):
        x[i] /= lower[i, i]
        row, value = lower[i], x[i]
        for j in range(i):
            x[j] -= row[j] * value
    return x


@njit(cache=True, nogil=True, error_model="numpy")
def _state(w: F8, c: F8, lo: F8, hi: F8, by_source: F8, multiplier: F8, u: F8, x: F8, y: F8) -> None:
    """Fill ``u = C'l``, ``x(l)`` and ``C x``."""
    m = len(multiplier)
    y[:] = 0.0
    for i in range(len(w)):
        u[i] = _dot(by_source[i], multiplier, m)
        x[i] = min(max(-(c[i] + u[i]) / w[i], lo[i]), hi[i])
        column, value = by_source[i], x[i]
        for j in range(m):
            y[j] += column[j] * value


@njit(cache=True, nogil=True, error_model="numpy")
def _forget_bounds(c: F8, inverse: F8, by_source: F8, p: F8, t: F8, smallest: float, multiplier: F8) -> None:
    """Start from the answer without any bound or band."""
    n = len(c)
    weighed = np.flatnonzero(p > 0.0)
    k = len(weighed)
    columns, everyone = np.empty((n, k)), np.arange(n)
    right, diagonal = np.empty(k), np.empty(k)
    for a in range(k):
        right[a], diagonal[a] = -t[weighed[a]], 1.0 / p[weighed[a]]
    for i in range(n):
        for a in range(k):
            columns[i, a] = by_source[i, weighed[a]]
            right[a] -= columns[i, a] * c[i] * inverse[i]
    matrix = np.zeros((k, k))
    _add_sources(matrix, columns, inverse, everyone, n)
    start = _solve(matrix, diagonal, right, smallest)
    for a in range(k):
        multiplier[weighed[a]] = start[a]


@njit(cache=True, nogil=True, error_model="numpy")
def maximise(  # noqa: PLR0912, PLR0915 - one kernel; its arguments are the problem
    w: F8,
    c: F8,
    lo: F8,
    hi: F8,
    by_source: F8,
    p: F8,
    t: F8,
    y_lo: F8,
    y_hi: F8,
    price: F8,
    stiff: F8,
    multiplier: F8,
    x: F8,
    size: float,
    most_steps: int,
    most_bands: int,
) -> tuple[int, int]:
    """Fill ``multiplier`` (which holds the start) and ``x``; returns (outcome, steps). The arguments: see :mod:`.quadratic`."""
    n, m = by_source.shape
    u, y = np.empty(n), np.empty(m)
    residual, side = np.zeros(m), np.zeros(m)
    active, was_active = np.empty(m, np.int64), np.empty(m, np.int64)
    was_count = -1
    inside = np.zeros(n, np.bool_)
    inverse, changes = np.empty(n), np.empty(n)
    chosen = np.empty(n, np.int64)
    columns = np.empty((n, 0))
    matrix = np.empty((0, 0))
    spread = 0.0
    reach = np.zeros(m)
    for i in range(n):
        inverse[i] = 1.0 / w[i]
        for j in range(m):
            reach[j] += by_source[i, j] ** 2 * inverse[i]
    for j in range(m):
        spread = max(spread, reach[j])
        if p[j] == 0.0:
            if np.isinf(y_hi[j]):
                multiplier[j] = min(multiplier[j], 0.0)
            if np.isinf(y_lo[j]):
                multiplier[j] = max(multiplier[j], 0.0)
    tolerance = _EXACT * size
    smallest = _SMALL_PIVOT * spread if spread > _NO_EFFECT else _SMALL_PIVOT

    cold = not multiplier.any()
    with_bands = not cold or (p > 0.0).all()
    if cold:
        _forget_bounds(c, inverse, by_source, p, t, smallest, multiplier)

    for taken in range(most_steps):
        _state(w, c, lo, hi, by_source, multiplier, u, x, y)
        worst, count, bands = 0.0, 0, 0
        for j in range(m):
            if p[j] > 0.0:
                side[j] = 0.0
            elif multiplier[j] != 0.0:
                side[j] = np.sign(multiplier[j])
            elif not with_bands:
                residual[j] = 0.0
                continue
            elif y[j] > y_hi[j] + tolerance:
                side[j] = 1.0
            elif y[j] < y_lo[j] - tolerance:
                side[j] = -1.0
            else:
                residual[j] = 0.0
                continue
            shown, _ = _row(multiplier[j], side[j], p[j], t[j], y_lo[j], y_hi[j], price[j], stiff[j])
            residual[j] = y[j] - shown
            worst = max(worst, abs(residual[j]))
            active[count] = j
            count += 1
            if p[j] == 0.0:
                bands += 1
        if worst <= tolerance and with_bands:
            return SOLVED, taken
        if worst <= _NEAR * size and not with_bands:  # bands take part once the errors are settled: few are broken then
            with_bands = True
            continue
        if bands > most_bands:
            return CROWDED, taken

        # the matrix over the rows that take part and the sources between their bounds
        same = count == was_count
        for a in range(count):
            same = same and active[a] == was_active[a]
        changed = 0
        if same:
            for i in range(n):
                free = lo[i] < x[i] < hi[i]
                if free != inside[i]:
                    chosen[changed], changes[i] = i, (inverse[i] if free else -inverse[i])
                    changed += 1
        if not same or changed > _REBUILD * n:
            if not same:
                columns = np.empty((n, count))
                for i in range(n):
                    for a in range(count):
                        columns[i, a] = by_source[i, active[a]]
                was_active[:count] = active[:count]
                was_count = count
            matrix = np.zeros((count, count))
            changed = 0
            for i in range(n):
                inside[i] = False
                if lo[i] < x[i] < hi[i]:
                    chosen[changed], changes[i] = i, inverse[i]
                    changed += 1
        _add_sources(matrix, columns, changes, chosen, changed)
        for a in range(changed):
            inside[chosen[a]] = not inside[chosen[a]]

        rows = active[:count].copy()
        at, right, diagonal, sides = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
        for a in range(count):
            j = rows[a]
            at[a], right[a], sides[a] = multiplier[j], residual[j], side[j]
            _, diagonal[a] = _row(at[a], side[j], p[j], t[j], y_lo[j], y_hi[j], price[j], stiff[j])

        # Newton's step; a row that would pass its kink ends there, and the others answer to that
        step = np.zeros(count)
        ended = np.zeros(count, np.bool_)
        more = True
        while more:
            step = _solve(matrix, diagonal, right, smallest)
            more = False
            for a in range(count):
                if not ended[a] and sides[a] != 0.0 and (at[a] + step[a]) * sides[a] < 0.0:
                    ended[a] = more = True
                    for b in range(count):
                        right[b] += at[a] * (matrix[a, b] if b < a else matrix[b, a])
            for a in range(count):
                if ended[a]:
                    diagonal[a], right[a] = _HELD * spread, 0.0
        start = 0.0
        for a in range(count):
            if ended[a]:
                step[a] = -at[a]
            start += step[a] * residual[rows[a]]
        if not start > 0.0:  # the gradient always rises
            start = 0.0
            for a in range(count):
                step[a] = residual[rows[a]] / spread
                if sides[a] != 0.0 and (at[a] + step[a]) * sides[a] < 0.0:
                    step[a] = -at[a]
                start += step[a] * residual[rows[a]]
        if not start > 0.0:
            return STUCK, taken
        v = np.empty(n)
        for i in range(n):
            v[i] = _dot(columns[i], step, count)
        if worst <= _NEAR * size and _same_pieces(w, c, lo, hi, u, v, rows, at, step, sides, p, t, y_lo, y_hi, price):
            for i in range(n):  # exact here, and without the rounding of large multipliers
                if lo[i] < x[i] < hi[i]:
                    x[i] -= v[i] * inverse[i]
            for a in range(count):
                multiplier[rows[a]] += step[a]
            if _bands_hold(by_source, x, p, y_lo, y_hi, multiplier, tolerance):
                return SOLVED, taken + 1
            continue
        part = _furthest(w, c, lo, hi, u, v, rows, at, step, sides, p, t, y_lo, y_hi, price, stiff, start)
        for a in range(count):
            moved = at[a] + part * step[a]
            if part == 1.0 and step[a] == -at[a]:
                moved = 0.0
            multiplier[rows[a]] = moved
    _state(w, c, lo, hi, by_source, multiplier, u, x, y)
    return STUCK, most_steps
