"""Sparse LU factors of matrices made of 2x2 blocks, for networks: a block a bus, joined as the network joins them.

The pattern (which blocks may be other than zero) is symmetric, the values need not be. Three steps, so that the costly one is
done once a topology: :func:`analyse` finds an order of elimination with little fill and lays the factors out; ``factor`` puts in
values, as often as wished; ``solve`` takes one or many right-hand sides. The Jacobian of a power flow, the gain matrix of a state
estimation and the matrices of outages all have this form.

Pivots are the diagonal blocks in the order of elimination, inverted as a whole; no rows change places. That is stable enough for
matrices of networks and keeps the structure. What it could not divide by is told with the blocks' numbers, never passed over.
The factorisation goes row by row with a dense working row (Doolittle).
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scada.apps.network.ordering import minimum_degree
from scada.apps.network.wide import COLUMNS, subtract_block, subtract_from_columns

F8 = npt.NDArray[np.float64]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]
U4 = npt.NDArray[np.uint32]
_U = np.uintp  # numba looks at the sign of every other index

WEAK_PIVOT = 1e-13
"""Part of its row's greatest value that a pivot block must keep, else the matrix counts as singular there."""


class SingularMatrixError(ArithmeticError):
    """A matrix cannot be factored. ``blocks``: the blocks (buses) at which it is singular, or nearly so, in ascending order."""

    def __init__(self, blocks: I8) -> None:
        shown = ", ".join(str(block) for block in blocks[:10].tolist())
        super().__init__(f"the matrix is singular at block {shown}{' ...' if len(blocks) > 10 else ''}")
        self.blocks = blocks


class Layout(NamedTuple):
    """Where everything stands, for one pattern; rows and columns are numbered in the order of elimination.

    Attributes:
        order: block (of the caller) that is eliminated first, second, ...
        ptr, col, place: rows of the matrix: column, and place of the value in the caller's array.
        upper_ptr, upper_col: rows of the upper factor, ascending, without the diagonal.
        lower_ptr, lower_col: rows of the lower factor, the same.
    """

    order: U4
    ptr: U4
    col: U4
    place: U4
    upper_ptr: U4
    upper_col: U4
    lower_ptr: U4
    lower_col: U4


class Factors(NamedTuple):
    """Values of the factors; a block is four numbers ``a00, a01, a10, a11``.

    Attributes:
        upper: as ``Layout.upper_col``.
        lower: as ``Layout.lower_col``; its diagonal is 1.
        inverse: of the pivot blocks.
        strength: of each pivot block, squared: its least singular value (estimated) by the greatest values of its rows.
        work: one block a column, all zero between calls.
    """

    upper: F8
    lower: F8
    inverse: F8
    strength: F8
    work: F8


@numba.njit(cache=True, nogil=True)
def _rows_from_columns(ptr: I8, col: I4, rank: I4) -> tuple[I4, I4]:
    """Transpose a triangular pattern whose columns are named by ``rank``: rows come out ascending."""
    n = len(ptr) - 1
    out_ptr = np.zeros(n + 1, np.int32)
    for entry in range(len(col)):
        out_ptr[rank[col[entry]] + 1] += 1
    for row in range(n):
        out_ptr[row + 1] += out_ptr[row]
    fill = out_ptr[:-1].copy()
    out = np.empty(len(col), np.int32)
    for row in range(n):
        for entry in range(ptr[row], ptr[row + 1]):
            target = rank[col[entry]]
            out[fill[target]] = row
            fill[target] += 1
    return out_ptr, out


@numba.njit(cache=True, nogil=True)
def _analyse(ptr: I4, col: I4, order: I4, row_ptr: I8, rows: I4) -> tuple[I4, I4, I4, I4, I4, I4, I4]:
    n = len(ptr) - 1
    rank = np.empty(n, np.int32)
    for place in range(n):
        rank[order[place]] = place
    lower_ptr, lower_col = _rows_from_columns(row_ptr, rows, rank)
    same = np.arange(n).astype(np.int32)
    upper_ptr, upper_col = _rows_from_columns(lower_ptr.astype(np.int64), lower_col, same)
    own_ptr = np.zeros(n + 1, np.int32)
    own_col, own_place = np.empty(len(col), np.int32), np.empty(len(col), np.int32)
    filled = 0
    for row in range(n):
        block = order[row]
        for entry in range(ptr[block], ptr[block + 1]):
            own_col[filled] = rank[col[entry]]
            own_place[filled] = entry
            filled += 1
        own_ptr[row + 1] = filled
    return own_ptr, own_col, own_place, upper_ptr, upper_col, lower_ptr, lower_col


def analyse(ptr: npt.ArrayLike, col: npt.ArrayLike) -> Layout:
    """Lay out the factors of a pattern given by rows: row ``i`` has the columns ``col[ptr[i]:ptr[i + 1]]``.

    Raises:
        ValueError: not the rows of a square matrix, a column twice in a row, or a pattern that is not symmetric.
    """
    rows, columns = np.asarray(ptr, np.int32), np.asarray(col, np.int32)
    n = len(rows) - 1
    if n < 0 or rows[0] != 0 or rows[-1] != len(columns) or (np.diff(rows) < 0).any():
        raise ValueError("not the rows of a sparse matrix")
    if len(columns) and not (columns.min() >= 0 and columns.max() < n):
        raise ValueError("a column outside the matrix")
    of_row = np.repeat(np.arange(n, dtype=np.int64), np.diff(rows))
    forth, back = of_row * n + columns, columns.astype(np.int64) * n + of_row
    forth.sort()
    back.sort()
    if len(forth) > 1 and (np.diff(forth) == 0).any():
        raise ValueError("a column stands twice in a row")
    if not np.array_equal(forth, back):
        raise ValueError("the pattern is not symmetric")
    return lay_out(rows, columns)


def lay_out(rows: I4, columns: I4) -> Layout:
    """:func:`analyse` without its checks, for a pattern that is symmetric because of how it was made."""
    order, row_ptr, joined = minimum_degree(rows, columns)
    if row_ptr[-1] > np.iinfo(np.int32).max:
        raise ValueError("the factors would have too many blocks")
    parts = _analyse(rows, columns, order, row_ptr, joined)
    return Layout(*(part.astype(np.uint32) for part in (order, *parts)))


def empty_factors(layout: Layout) -> Factors:
    """Room for the factors of a layout."""
    n, count = len(layout.order), len(layout.upper_col)
    return Factors(np.zeros((count, 4)), np.zeros((count, 4)), np.zeros((n, 4)), np.zeros(n), np.zeros((n, 4)))


@numba.njit(cache=True, nogil=True)
def factor_into(layout: Layout, factors: Factors, values: F8) -> float:
    """Factor ``values`` (one row of four numbers for each entry of the pattern, in the caller's order).

    Returns:
        The least pivot strength; 0 or NaN = singular.
    """
    order, ptr, col, place, upper_ptr, upper_col, lower_ptr, lower_col = layout
    upper, lower, inverse, strength, work = factors
    weakest = np.inf
    for number in range(len(order)):
        row, after = _U(number), _U(number + 1)
        first = second = 0.0
        for entry in range(_U(ptr[row]), _U(ptr[after])):
            at, of = _U(col[entry]), _U(place[entry])
            a, b, c, d = values[of, 0], values[of, 1], values[of, 2], values[of, 3]
            work[at, 0], work[at, 1], work[at, 2], work[at, 3] = a, b, c, d
            first = max(first, abs(a), abs(b))
            second = max(second, abs(c), abs(d))
        for entry in range(_U(lower_ptr[row]), _U(lower_ptr[after])):
            pivot = _U(lower_col[entry])
            w0, w1, w2, w3 = work[pivot, 0], work[pivot, 1], work[pivot, 2], work[pivot, 3]
            work[pivot, 0] = work[pivot, 1] = work[pivot, 2] = work[pivot, 3] = 0.0
            i0, i1, i2, i3 = inverse[pivot, 0], inverse[pivot, 1], inverse[pivot, 2], inverse[pivot, 3]
            a, b = w0 * i0 + w1 * i2, w0 * i1 + w1 * i3
            c, d = w2 * i0 + w3 * i2, w2 * i1 + w3 * i3
            lower[entry, 0], lower[entry, 1], lower[entry, 2], lower[entry, 3] = a, b, c, d
            for other in range(_U(upper_ptr[pivot]), _U(upper_ptr[pivot + _U(1)])):
                subtract_block(work, _U(upper_col[other]), a, b, c, d, upper, other)
        for entry in range(_U(upper_ptr[row]), _U(upper_ptr[after])):
            at = _U(upper_col[entry])
            upper[entry, 0], upper[entry, 1], upper[entry, 2], upper[entry, 3] = (
                work[at, 0],
                work[at, 1],
                work[at, 2],
                work[at, 3],
            )
            work[at, 0] = work[at, 1] = work[at, 2] = work[at, 3] = 0.0
        a, b, c, d = work[row, 0], work[row, 1], work[row, 2], work[row, 3]
        work[row, 0] = work[row, 1] = work[row, 2] = work[row, 3] = 0.0
        determinant = a * d - b * c
        if first > 0.0 and second > 0.0 and determinant != 0.0:
            part = 1.0 / determinant
            inverse[row, 0], inverse[row, 1], inverse[row, 2], inverse[row, 3] = d * part, -b * part, -c * part, a * part
            # determinant by size of the block with its rows scaled by the greatest values that they have in the matrix
            size = (a * a + b * b) * second * second + (c * c + d * d) * first * first
            strength[row] = determinant * determinant / size
        else:
            inverse[row, 0] = inverse[row, 1] = inverse[row, 2] = inverse[row, 3] = 0.0
            strength[row] = determinant * 0.0  # NaN stays
        if not strength[row] >= weakest and not np.isnan(weakest):
            weakest = strength[row]
    return float(np.sqrt(weakest))


@numba.njit(cache=True, nogil=True)
def solve_into(layout: Layout, factors: Factors, rhs: F8, x: F8) -> None:
    """Solve for one right-hand side: ``rhs`` and ``x`` have two numbers a block, in the caller's order; may be the same array."""
    order, _, _, _, upper_ptr, upper_col, lower_ptr, lower_col = layout
    upper, lower, inverse, _, work = factors
    n = len(order)
    for number in range(n):
        row, of = _U(number), _U(order[number])
        first, second = rhs[of, 0], rhs[of, 1]
        for entry in range(_U(lower_ptr[row]), _U(lower_ptr[row + _U(1)])):
            at = _U(lower_col[entry])
            y0, y1 = work[at, 0], work[at, 1]
            first -= lower[entry, 0] * y0 + lower[entry, 1] * y1
            second -= lower[entry, 2] * y0 + lower[entry, 3] * y1
        work[row, 0], work[row, 1] = first, second
    for number in range(n - 1, -1, -1):
        row = _U(number)
        first, second = work[row, 0], work[row, 1]
        for entry in range(_U(upper_ptr[row]), _U(upper_ptr[row + _U(1)])):
            at = _U(upper_col[entry])
            y0, y1 = work[at, 0], work[at, 1]
            first -= upper[entry, 0] * y0 + upper[entry, 1] * y1
            second -= upper[entry, 2] * y0 + upper[entry, 3] * y1
        work[row, 0] = inverse[row, 0] * first + inverse[row, 1] * second
        work[row, 1] = inverse[row, 2] * first + inverse[row, 3] * second
    for number in range(n):
        row, of = _U(number), _U(order[number])
        x[of, 0], x[of, 1] = work[row, 0], work[row, 1]
        work[row, 0] = work[row, 1] = 0.0


@numba.njit(cache=True, nogil=True)
def solve_many_into(layout: Layout, factors: Factors, rhs: F8, x: F8) -> None:
    """Solve for many right-hand sides, shape ``(blocks, 2, cases)``; ``rhs`` and ``x`` may be the same array."""
    order, _, _, _, upper_ptr, upper_col, lower_ptr, lower_col = layout
    upper, lower, inverse, _, _ = factors
    n, cases = len(order), rhs.shape[2]
    y = np.zeros((n, 2, COLUMNS))
    for begin in range(0, cases, COLUMNS):
        width = min(COLUMNS, cases - begin)
        for number in range(n):
            row, of = _U(number), _U(order[number])
            for case in range(width):
                y[row, 0, case], y[row, 1, case] = rhs[of, 0, begin + case], rhs[of, 1, begin + case]
            for entry in range(_U(lower_ptr[row]), _U(lower_ptr[row + _U(1)])):
                at, block = _U(lower_col[entry]), lower[entry]
                subtract_from_columns(y, row, block[0], block[1], block[2], block[3], at)
        for number in range(n - 1, -1, -1):
            row = _U(number)
            for entry in range(_U(upper_ptr[row]), _U(upper_ptr[row + _U(1)])):
                at, block = _U(upper_col[entry]), upper[entry]
                subtract_from_columns(y, row, block[0], block[1], block[2], block[3], at)
            a, b, c, d = inverse[row, 0], inverse[row, 1], inverse[row, 2], inverse[row, 3]
            for case in range(COLUMNS):
                first, second = y[row, 0, case], y[row, 1, case]
                y[row, 0, case] = a * first + b * second
                y[row, 1, case] = c * first + d * second
        for number in range(n):
            row, of = _U(number), _U(order[number])
            for case in range(width):
                x[of, 0, begin + case], x[of, 1, begin + case] = y[row, 0, case], y[row, 1, case]


def weak_blocks(layout: Layout, factors: Factors, weak: float = WEAK_PIVOT) -> I8:
    """Blocks whose pivot was weaker than ``weak``, in the caller's numbers, ascending."""
    return np.sort(layout.order[~(factors.strength >= weak**2)].astype(np.int64))


class BlockLU:
    """Factors of matrices of one pattern.

    >>> lu = BlockLU(np.array([0, 2, 4]), np.array([0, 1, 0, 1]))
    >>> one = np.eye(2).ravel()
    >>> lu.factor(np.array([2 * one, one, one, 2 * one]))
    >>> lu.solve(np.array([[3.0, 0.0], [3.0, 0.0]])).tolist()
    [[1.0, 0.0], [1.0, 0.0]]

    Args:
        ptr: rows of the pattern, as for :func:`analyse`.
        col: their columns.

    Raises:
        ValueError: see :func:`analyse`.
    """

    def __init__(self, ptr: npt.ArrayLike, col: npt.ArrayLike) -> None:
        self.layout = analyse(ptr, col)
        self.factors = empty_factors(self.layout)

    @property
    def fill(self) -> int:
        """Blocks of both factors, the diagonal counted once."""
        return 2 * len(self.layout.upper_col) + len(self.layout.order)

    def factor(self, values: F8, *, weak: float = WEAK_PIVOT) -> None:
        """Factor a matrix; ``values`` has one row ``a00, a01, a10, a11`` (or one 2x2 block) for each entry of the pattern.

        Raises:
            SingularMatrixError: pivots weaker than ``weak``, or a value that is not finite.
        """
        given = np.ascontiguousarray(values, np.float64).reshape(-1, 4)
        if len(given) != len(self.layout.col):
            raise ValueError(f"{len(given)} blocks of values for a pattern of {len(self.layout.col)}")
        if not factor_into(self.layout, self.factors, given) >= weak:
            raise SingularMatrixError(self.weak_blocks(weak))

    def weak_blocks(self, weak: float = WEAK_PIVOT) -> I8:
        """Blocks (buses) whose pivot was weaker than ``weak`` in the last factorisation, ascending."""
        return weak_blocks(self.layout, self.factors, weak)

    def solve(self, rhs: F8) -> F8:
        """Solve with the last factors; ``rhs`` of shape ``(blocks, 2)``, or ``(blocks, 2, cases)`` for many right-hand sides."""
        given = np.ascontiguousarray(rhs, np.float64)
        x = np.empty(given.shape)
        if given.shape[:2] != (len(self.layout.order), 2):
            raise ValueError(f"right-hand side of shape {given.shape} for {len(self.layout.order)} blocks")
        if given.ndim == 2:
            solve_into(self.layout, self.factors, given, x)
        else:
            solve_many_into(self.layout, self.factors, given, x)
        return x


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    lu = BlockLU(np.array([0, 2, 4]), np.array([0, 1, 0, 1]))
    one = np.array([1.0, 0.0, 0.0, 1.0])
    lu.factor(np.array([2 * one, one, one, 2 * one]))
    lu.solve(np.ones((2, 2)))
    lu.solve(np.ones((2, 2, 1)))
