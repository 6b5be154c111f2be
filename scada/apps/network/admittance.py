"""Bus admittance matrix by rows: only what is joined is stored."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
C16 = npt.NDArray[np.complex128]
I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SparseAdmittance:
    """Bus admittance matrix per unit; row ``i`` is ``values[ptr[i]:ptr[i + 1]]`` in the columns ``col[...]``, ascending.

    The pattern is symmetric and has every diagonal entry.
    """

    ptr: I4
    col: I4
    values: C16

    def __matmul__(self, voltage: C16) -> C16:
        """Currents drawn from the buses at these voltages, per unit."""
        return times(self.ptr, self.col, self.values, np.ascontiguousarray(voltage, np.complex128))

    def same_pattern(self, other: SparseAdmittance) -> bool:
        """Whether the same buses are joined, whatever the values."""
        return np.array_equal(self.ptr, other.ptr) and np.array_equal(self.col, other.col)


@numba.njit(cache=True, nogil=True)
def times(ptr: I4, col: I4, values: C16, x: C16) -> C16:
    """Product with a vector."""
    out = np.zeros(len(ptr) - 1, np.complex128)
    for row in range(len(ptr) - 1):
        total = 0j
        for entry in range(ptr[row], ptr[row + 1]):
            total += values[entry] * x[col[entry]]
        out[row] = total
    return out


@numba.njit(cache=True, nogil=True)
def assemble(  # noqa: PLR0912, PLR0915 - one kernel: count, sort, add
    one: I8, two: I8, y: C16, shunt: C16
) -> tuple[I4, I4, C16]:
    """Rows of the matrix for branches ``one[k]-two[k]`` with two-ports ``y`` and a shunt at each bus."""
    n, branches = len(shunt), len(one)
    ptr = np.zeros(n + 1, np.int64)
    for branch in range(branches):
        if one[branch] != two[branch]:
            ptr[one[branch] + 1] += 1
            ptr[two[branch] + 1] += 1
    for bus in range(n):
        ptr[bus + 1] += ptr[bus]
    # neighbours of each bus, ascending: the branches by their ends are a pattern, which transposed twice is sorted
    near = np.empty(ptr[n], np.int32)
    by = np.empty(ptr[n], np.int64)
    fill = ptr[:-1].copy()
    for branch in range(branches):
        if one[branch] != two[branch]:
            near[fill[one[branch]]], by[fill[one[branch]]] = two[branch], branch
            near[fill[two[branch]]], by[fill[two[branch]]] = one[branch], branch
            fill[one[branch]] += 1
            fill[two[branch]] += 1
    from_bus, of_branch = np.empty(ptr[n], np.int32), np.empty(ptr[n], np.int64)
    fill = ptr[:-1].copy()
    for bus in range(n):
        for entry in range(ptr[bus], ptr[bus + 1]):
            at = fill[near[entry]]
            from_bus[at], of_branch[at] = bus, by[entry]
            fill[near[entry]] += 1
    out_ptr = np.zeros(n + 1, np.int32)
    col = np.empty(ptr[n] + n, np.int32)
    values = np.zeros(ptr[n] + n, np.complex128)
    filled = 0
    for bus in range(n):
        own = -1
        for entry in range(ptr[bus], ptr[bus + 1]):
            other = from_bus[entry]
            if own < 0 and other > bus:
                own = filled
                col[filled] = bus
                filled += 1
            if filled == out_ptr[bus] or col[filled - 1] != other:
                col[filled] = other
                filled += 1
            branch = of_branch[entry]
            values[filled - 1] += y[branch, 0, 1] if one[branch] == bus else y[branch, 1, 0]
        if own < 0:
            own = filled
            col[filled] = bus
            filled += 1
        values[own] = shunt[bus]
        out_ptr[bus + 1] = filled
    for branch in range(branches):
        for side in range(2):
            bus = one[branch] if side == 0 else two[branch]
            low, high = out_ptr[bus], out_ptr[bus + 1] - 1
            while low < high:
                middle = (low + high) // 2
                if col[middle] < bus:
                    low = middle + 1
                else:
                    high = middle
            values[low] += y[branch, side, side]
            if one[branch] == two[branch]:
                values[low] += y[branch, side, 1 - side]
    return out_ptr, col[:filled].copy(), values[:filled].copy()


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    row = np.zeros(1, np.int64)
    ptr, col, values = assemble(row, row + 1, np.ones((1, 2, 2), np.complex128), np.zeros(2, np.complex128))
    times(ptr, col, values, np.ones(2, np.complex128))
