"""Elimination order of a sparse matrix with symmetric pattern: minimum degree on the elimination graph (Tinney's scheme 2).

The structure of the factors falls out of the same pass: what a block is joined to when it is eliminated is its row of the upper
factor. Networks are nearly planar and their degrees small, so the explicit graph is both exact and quick.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

I4 = npt.NDArray[np.int32]
I8 = npt.NDArray[np.int64]


@numba.njit(cache=True, nogil=True)
def _unlink(node: int, degree: int, head: I4, after: I4, before: I4) -> None:
    if before[node] >= 0:
        after[before[node]] = after[node]
    else:
        head[degree] = after[node]
    if after[node] >= 0:
        before[after[node]] = before[node]


@numba.njit(cache=True, nogil=True)
def _link(node: int, degree: int, head: I4, after: I4, before: I4) -> None:
    before[node] = -1
    after[node] = head[degree]
    if head[degree] >= 0:
        before[head[degree]] = node
    head[degree] = node


@numba.njit(cache=True, nogil=True)
def minimum_degree(ptr: I4, col: I4) -> tuple[I4, I8, I4]:  # noqa: PLR0912, PLR0915 - one kernel on one graph
    """Order the blocks of a matrix whose rows are ``col[ptr[i]:ptr[i + 1]]``; the pattern must be symmetric.

    Returns:
        The blocks in the order of elimination; then, as rows of ``ptr`` and ``col`` in that order, the blocks that were still
        there and joined to each when its turn came.
    """
    n = len(ptr) - 1
    start, room, degree = np.empty(n, np.int64), np.empty(n, np.int64), np.zeros(n, np.int32)
    pool = np.empty(4 * len(col) + 16, np.int32)
    free = 0
    for node in range(n):
        start[node] = free
        for entry in range(ptr[node], ptr[node + 1]):
            if col[entry] != node:
                pool[free] = col[entry]
                free += 1
        degree[node] = free - start[node]
        room[node] = degree[node]
    head, after, before = np.full(n + 1, -1, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    for node in range(n - 1, -1, -1):
        _link(node, degree[node], head, after, before)
    order = np.empty(n, np.int32)
    row_ptr = np.zeros(n + 1, np.int64)
    rows = np.empty(2 * len(col) + 16, np.int32)
    mark = np.full(n, -1, np.int64)
    stamp = 0
    least = 0
    done = 0
    while done < n:
        while head[least] < 0:
            least += 1
        pivot = head[least]
        count = degree[pivot]
        filled = row_ptr[done]
        if filled + count * (count + 1) > len(rows):
            grown = np.empty(2 * len(rows) + count * (count + 1), np.int32)
            grown[:filled] = rows[:filled]
            rows = grown
        here = start[pivot]
        rows[filled : filled + count] = pool[here : here + count]
        _unlink(pivot, least, head, after, before)
        order[done] = pivot
        done += 1
        row_ptr[done] = filled + count
        if count == n - done:  # what is left is all joined to all: every order is the same
            for place in range(count):
                order[done] = rows[filled + place]
                begin = row_ptr[done]
                for later in range(place + 1, count):
                    rows[begin + later - place - 1] = rows[filled + later]
                done += 1
                row_ptr[done] = begin + count - place - 1
            break
        for place in range(count):
            node = rows[filled + place]
            stamp += 1
            mark[node] = stamp
            base, kept = start[node], 0
            for entry in range(base, base + degree[node]):
                other = pool[entry]
                if other != pivot:
                    pool[base + kept] = other
                    mark[other] = stamp
                    kept += 1
            missing = 0
            for entry in range(filled, filled + count):
                if mark[rows[entry]] != stamp:
                    missing += 1
            if kept + missing > room[node]:
                size = 2 * (kept + missing)
                if free + size > len(pool):
                    larger = np.empty(2 * len(pool) + size, np.int32)
                    larger[:free] = pool[:free]
                    pool = larger
                pool[free : free + kept] = pool[base : base + kept]
                start[node], room[node] = free, size
                base = free
                free += size
            if missing:
                for entry in range(filled, filled + count):
                    if mark[rows[entry]] != stamp:
                        pool[base + kept] = rows[entry]
                        kept += 1
            if kept != degree[node]:
                _unlink(node, degree[node], head, after, before)
                _link(node, kept, head, after, before)
                degree[node] = kept
                least = min(least, kept)
    return order, row_ptr, rows[: row_ptr[n]]
