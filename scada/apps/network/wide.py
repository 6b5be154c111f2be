"""Products of 2x2 blocks on vector registers.

numba's compiler does not turn four scalar products into one of four numbers by itself. These two operations, in which the sparse
solvers spend their time, are therefore given to LLVM as vectors; every processor runs them, at the width it has.

An array argument is C-contiguous float64; what it is read as, is said with each operation.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

COLUMNS = 8
"""Right-hand sides that :func:`subtract_from_columns` takes together."""
_FUSED = ("contract",)


_array: Any = make_array


def _vector(width: int) -> ir.VectorType:
    return ir.VectorType(ir.DoubleType(), width)


def _at(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Any:
    """Pointer to the ``index``-th vector of ``width`` numbers of an array."""
    first = builder.mul(index, ir.Constant(index.type, width))
    return builder.bitcast(builder.gep(_array(kind)(context, builder, array).data, [first]), _vector(width).as_pointer())


def _of(builder: Any, numbers: list[Any]) -> Any:
    """Vector of scalars."""
    vector = ir.Constant(_vector(len(numbers)), ir.Undefined)
    for place, number in enumerate(numbers):
        vector = builder.insert_element(vector, number, ir.Constant(ir.IntType(32), place))
    return vector


def _chosen(builder: Any, vector: Any, *places: int) -> Any:
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places)))


def _less_products(builder: Any, value: Any, *pairs: tuple[Any, Any]) -> Any:
    for left, right in pairs:
        value = builder.fsub(value, builder.fmul(left, right, flags=_FUSED), flags=_FUSED)
    return value


def _subtract_block(_: Any, target: Any, at: Any, a: Any, b: Any, c: Any, d: Any, source: Any, of: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        target_, at_, a_, b_, c_, d_, source_, of_ = given
        place = _at(context, builder, signature.args[0], target_, at_, 4)
        value = builder.load(place, align=8)
        block = builder.load(_at(context, builder, signature.args[6], source_, of_, 4), align=8)
        upper, lower = _chosen(builder, block, 0, 1, 0, 1), _chosen(builder, block, 2, 3, 2, 3)
        left, right = _of(builder, [a_, a_, c_, c_]), _of(builder, [b_, b_, d_, d_])
        builder.store(_less_products(builder, value, (left, upper), (right, lower)), place, align=8)
        return context.get_dummy_value()

    return types.void(target, at, a, b, c, d, source, of), generate


def _subtract_from_columns(_: Any, y: Any, row: Any, a: Any, b: Any, c: Any, d: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        y_, row_, a_, b_, c_, d_, at_ = given
        both = 2 * COLUMNS
        into, of = (_at(context, builder, signature.args[0], y_, index, both) for index in (row_, at_))
        target, source = builder.load(into, align=8), builder.load(of, align=8)
        first = _chosen(builder, source, *(2 * list(range(COLUMNS))))
        second = _chosen(builder, source, *(2 * list(range(COLUMNS, both))))
        left = _of(builder, [a_] * COLUMNS + [c_] * COLUMNS)
        right = _of(builder, [b_] * COLUMNS + [d_] * COLUMNS)
        builder.store(_less_products(builder, target, (left, first), (right, second)), into, align=8)
        return context.get_dummy_value()

    return types.void(y, row, a, b, c, d, at), generate


subtract_block: Any = intrinsic(_subtract_block)
"""``(target, at, a, b, c, d, source, of)``: ``target[at] -= [[a, b], [c, d]] @ source[of]``; a block is a row of four numbers."""
subtract_from_columns: Any = intrinsic(_subtract_from_columns)
"""``(y, row, a, b, c, d, at)``: ``y[row] -= [[a, b], [c, d]] @ y[at]``, for ``y`` of shape ``(n, 2, COLUMNS)``."""
