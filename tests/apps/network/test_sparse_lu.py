"""Block-sparse LU against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.network.sparse_lu import BlockLU, SingularMatrixError, analyse

MANY = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def system(seed, *, most=30):
    """A random symmetric pattern with unsymmetric, well-conditioned values: ``(ptr, col, values, dense)``."""
    chance = np.random.default_rng(seed)
    n = int(chance.integers(1, most))
    joined = chance.random((n, n)) < chance.choice([0.0, 0.1, 0.3, 1.0])
    joined |= joined.T | np.eye(n, dtype=bool)
    ptr, col = np.concatenate([[0], np.cumsum(joined.sum(axis=1))]), np.nonzero(joined)[1]
    values = chance.normal(size=(len(col), 2, 2))
    row = np.repeat(np.arange(n), np.diff(ptr))
    values[row == col] += 4 * np.sqrt(n) * np.eye(2)
    dense = np.zeros((2 * n, 2 * n))
    for (i, j), block in zip(zip(row, col, strict=True), values, strict=True):
        dense[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = block
    return ptr, col, values, dense


@MANY
@given(SEEDS)
def test_one_and_many_right_hand_sides_are_solved(seed):
    ptr, col, values, dense = system(seed)
    lu = BlockLU(ptr, col)
    lu.factor(values)
    n = len(ptr) - 1
    rhs = np.random.default_rng(seed).normal(size=(n, 2, 19))
    expected = np.linalg.solve(dense, rhs.reshape(2 * n, 19)).reshape(n, 2, 19)
    assert np.allclose(lu.solve(rhs), expected, atol=1e-10)
    assert np.allclose(lu.solve(rhs[:, :, 3]), expected[:, :, 3], atol=1e-10)


@MANY
@given(SEEDS)
def test_factoring_again_is_the_same_as_factoring_afresh(seed):
    ptr, col, values, _ = system(seed)
    used, fresh = BlockLU(ptr, col), BlockLU(ptr, col)
    used.factor(values * -3.0 + 1e-3)
    used.solve(np.ones((len(ptr) - 1, 2)))
    used.factor(values)
    fresh.factor(values)
    rhs = np.random.default_rng(seed).normal(size=(len(ptr) - 1, 2))
    assert np.array_equal(used.solve(rhs), fresh.solve(rhs))


@MANY
@given(SEEDS)
def test_the_numbering_of_the_blocks_does_not_matter(seed):
    ptr, col, values, dense = system(seed)
    n = len(ptr) - 1
    turn = np.random.default_rng(seed + 1).permutation(n)
    blocks = dense.reshape(n, 2, n, 2)[turn][:, :, turn]
    joined = np.zeros((n, n), bool)
    joined[np.repeat(np.arange(n), np.diff(ptr)), col] = True
    joined = joined[np.ix_(turn, turn)]
    row, column = np.nonzero(joined)
    lu, other = BlockLU(ptr, col), BlockLU(np.concatenate([[0], np.cumsum(joined.sum(axis=1))]), column)
    lu.factor(values)
    other.factor(blocks[row, :, column, :])
    rhs = np.random.default_rng(seed).normal(size=(n, 2))
    assert np.allclose(lu.solve(rhs)[turn], other.solve(rhs[turn]), atol=1e-10)


@MANY
@given(SEEDS)
def test_the_order_names_every_block_once_and_covers_the_fill(seed):
    ptr, col, _, dense = system(seed)
    layout = analyse(ptr, col)
    n = len(ptr) - 1
    assert sorted(layout.order.tolist()) == list(range(n))
    joined = np.abs(dense).reshape(n, 2, n, 2).sum(axis=(1, 3)) > 0
    joined = joined[np.ix_(layout.order, layout.order)]
    for pivot in range(n):  # elimination by definition
        after = np.flatnonzero(joined[pivot, pivot + 1 :]) + pivot + 1
        assert layout.upper_col[layout.upper_ptr[pivot] : layout.upper_ptr[pivot + 1]].tolist() == after.tolist()
        joined[np.ix_(after, after)] = True


def path(n):
    """Pattern of a line of ``n`` blocks."""
    rows = [[j for j in (i - 1, i, i + 1) if 0 <= j < n] for i in range(n)]
    return np.cumsum([0, *map(len, rows)]), np.concatenate(rows)


def test_trees_have_no_fill_and_grids_little():
    n = 500
    assert BlockLU(*path(n)).fill == 3 * n - 2
    side = 40
    joined = [
        sorted(
            {
                (x + dx) * side + y + dy
                for dx, dy in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
                if 0 <= x + dx < side and 0 <= y + dy < side
            }
        )
        for x in range(side)
        for y in range(side)
    ]
    lu = BlockLU(np.cumsum([0, *map(len, joined)]), np.concatenate(joined))
    assert lu.fill < 2 * side**2 * side / 2  # a band would have side * side**2 of each factor


def test_a_singular_part_is_named_and_the_rest_stays_solvable():
    ptr, col = path(6)
    ptr, col = np.concatenate([ptr, ptr[1:] + ptr[-1]]), np.concatenate([col, col + 6])  # two islands
    row = np.repeat(np.arange(12), np.diff(ptr))
    values = np.where((row == col)[:, None, None], 2.0, -1.0) * np.eye(2)
    degree = np.diff(ptr) - 1
    grounded = row < 6
    values[(row == col) & ~grounded] = degree[6:, None, None] * np.eye(2)  # a Laplacian without a reference
    lu = BlockLU(ptr, col)
    with pytest.raises(SingularMatrixError, match="singular at block") as caught:
        lu.factor(values)
    assert len(caught.value.blocks) == 1
    assert caught.value.blocks[0] >= 6
    assert np.isfinite(lu.solve(np.ones((12, 2)))[:6]).all()


def test_rows_of_very_different_size_are_not_singular():
    ptr, col = path(3)
    row = np.repeat(np.arange(3), np.diff(ptr))
    values = np.where((row == col)[:, None, None], 2.0, -1.0) * np.eye(2)
    values[:, 0] *= 1e9  # one equation of each block in other units
    lu = BlockLU(ptr, col)
    lu.factor(values)
    dense = np.zeros((6, 6))
    for i, j, block in zip(row, col, values, strict=True):
        dense[2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = block
    assert np.allclose(lu.solve(np.ones((3, 2))).ravel(), np.linalg.solve(dense, np.ones(6)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_told_at_its_block(bad):
    ptr, col = path(4)
    row = np.repeat(np.arange(4), np.diff(ptr))
    values = np.where((row == col)[:, None, None], 4.0, -1.0) * np.eye(2)
    values[np.flatnonzero((row == 2) & (col == 2))[0], 0, 0] = bad
    lu = BlockLU(ptr, col)
    with pytest.raises(SingularMatrixError) as caught:
        lu.factor(values)
    assert 2 in caught.value.blocks
    values[np.flatnonzero((row == 2) & (col == 2))[0], 0, 0] = 4.0
    lu.factor(values)  # nothing of it is left
    assert np.isfinite(lu.solve(np.ones((4, 2)))).all()


@pytest.mark.parametrize(
    ("ptr", "col", "why"),
    [
        ([0, 2, 3], [0, 1, 1], "not symmetric"),
        ([0, 2, 4], [0, 0, 1, 1], "twice"),
        ([0, 1, 3], [0, 1, 2], "outside"),
        ([0, 2], [0], "not the rows"),
        ([1, 2], [0], "not the rows"),
    ],
)
def test_a_pattern_that_is_none_is_refused(ptr, col, why):
    with pytest.raises(ValueError, match=why):
        BlockLU(np.array(ptr), np.array(col))


def test_shapes_that_do_not_fit_are_refused():
    lu = BlockLU(*path(3))
    with pytest.raises(ValueError, match="pattern of 7"):
        lu.factor(np.ones((6, 4)))
    lu.factor(np.tile([4.0, 0.0, 0.0, 4.0], (7, 1)) * np.array([1, 0.1, 0.1, 1, 0.1, 0.1, 1])[:, None])
    with pytest.raises(ValueError, match="3 blocks"):
        lu.solve(np.ones((2, 2)))


def test_nothing_to_solve_is_solved():
    lu = BlockLU(np.array([0]), np.array([], int))
    lu.factor(np.zeros((0, 4)))
    assert lu.solve(np.zeros((0, 2))).shape == (0, 2)
