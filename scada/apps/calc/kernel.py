"""The compiled kernel that walks the postfix programs of calculated points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.apps.calc.cells import Memory, Now
from scada.apps.calc.memory import remember
from scada.core.quality import BAD_MASK, HELD_MASK, Quality
from scada.expressions.operations import Op

F8 = npt.NDArray[np.float64]
U4 = npt.NDArray[np.uint32]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Program(NamedTuple):
    """Programs of all points, laid end to end, in order of dependency."""

    ops: npt.NDArray[np.uint8]
    arguments: F8
    """Constant, pid, memory cell or count, as the operation wants it."""
    start: I8
    depth: int
    pids: U4
    """Point each program calculates."""
    calc_of: I8
    """Program of each pid, -1 = it is not calculated here."""
    dependent_start: I8
    dependents: I8
    """Programs that read a pid (CSR)."""


class Columns(NamedTuple):
    """The database, by pid."""

    value: F8
    quality: U4
    time: I8
    """ns UTC of each value, 0 = not known."""


class Results(NamedTuple):
    """What the programs gave last, and who is held, in order of the programs."""

    value: F8
    quality: U4
    time: I8
    held: Mask


@njit(cache=True, nogil=True)
def mark(pids: U4, start: I8, dependents: I8, dirty: Mask) -> None:
    """Set ``dirty`` for every program that reads one of ``pids``."""
    for pid in pids:
        for k in range(start[pid], start[pid + 1]):
            dirty[dependents[k]] = True


_BAD = np.uint32(BAD_MASK)
_INVALID = np.uint32(Quality.INVALID)
_CALCULATED = np.uint32(Quality.CALCULATED)
_SUBSTITUTED = np.uint32(Quality.SUBSTITUTED)
_ENTERED = np.uint32(Quality.MANUAL | Quality.SUBSTITUTED)
_STALE = np.uint32(Quality.NOT_TOPICAL | Quality.OLD_DATA | Quality.COMM_LOST | Quality.NEVER_RECEIVED)
_HELD_WORD = np.uint32(HELD_MASK)
_NOTHING = np.uint32(0)
_CONST, _POINT, _GOOD, _IS_BAD = int(Op.CONST), int(Op.POINT), int(Op.GOOD), int(Op.BAD)
_MANUAL, _OLD, _AGE = int(Op.MANUAL), int(Op.OLD), int(Op.AGE)
_ADD, _SUB, _MUL, _DIV, _POW = int(Op.ADD), int(Op.SUB), int(Op.MUL), int(Op.DIV), int(Op.POW)
_NEG, _NOT, _ABS, _SQRT, _EXP, _LN = int(Op.NEG), int(Op.NOT), int(Op.ABS), int(Op.SQRT), int(Op.EXP), int(Op.LN)
_LT, _LE, _GT, _GE, _EQ, _NE = int(Op.LT), int(Op.LE), int(Op.GT), int(Op.GE), int(Op.EQ), int(Op.NE)
_AND, _OR, _IF, _MIN, _MAX, _ROUND = int(Op.AND), int(Op.OR), int(Op.IF), int(Op.MIN), int(Op.MAX), int(Op.ROUND)
_FIRST_GOOD, _COUNT_GOOD, _MEMORY, _PREVIOUS = (
    int(Op.FIRST_GOOD),
    int(Op.COUNT_GOOD),
    int(Op.MEMORY),
    int(Op.PREVIOUS),
)


@njit(cache=True, nogil=True)
def _number(x: float) -> float:
    """The result of an operation; one too large to be a number is not known, so that no total adds it up."""
    return x if np.isfinite(x) else np.nan


@njit(cache=True, nogil=True)
def _unary(op: int, a: float) -> float:
    if op == _NEG:
        return -a
    if op == _ABS:
        return abs(a)
    if op == _NOT:
        return np.nan if np.isnan(a) else (1.0 if a == 0.0 else 0.0)
    if op == _EXP:
        return float(np.exp(a))
    if op == _LN:
        return np.nan if a <= 0.0 else float(np.log(a))
    return np.nan if a < 0.0 else float(np.sqrt(a))


@njit(cache=True, nogil=True)
def _power(a: float, b: float) -> float:
    if (a == 0.0 and b < 0.0) or (a < 0.0 and b != np.floor(b)):
        return np.nan
    return float(a**b)


@njit(cache=True, nogil=True)
def _rounded(a: float, digits: float) -> float:
    scale = 10.0**digits
    whole = np.floor(abs(a) * scale + 0.5)
    return float(np.copysign(whole / scale, a))


@njit(cache=True, nogil=True)
def _binary(op: int, a: float, b: float) -> float:  # noqa: PLR0911, PLR0912 - one line an operation
    if np.isnan(a) or np.isnan(b):
        return np.nan
    if op == _ADD:
        return a + b
    if op == _SUB:
        return a - b
    if op == _MUL:
        return a * b
    if op == _DIV:
        return np.nan if b == 0.0 else a / b
    if op == _POW:
        return _power(a, b)
    if op == _MIN:
        return min(a, b)
    if op == _MAX:
        return max(a, b)
    if op == _LT:
        return 1.0 * (a < b)
    if op == _LE:
        return 1.0 * (a <= b)
    if op == _GT:
        return 1.0 * (a > b)
    if op == _GE:
        return 1.0 * (a >= b)
    if op == _EQ:
        return 1.0 * (a == b)
    if op == _NE:
        return 1.0 * (a != b)
    if op == _AND:
        return 1.0 * (a != 0.0 and b != 0.0)
    return 1.0 * (a != 0.0 or b != 0.0)


@njit(cache=True, nogil=True)
def _test(op: int, value: float, word: int, age_s: float) -> float:
    """What a test of a point's quality or age says."""
    if op == _AGE:
        return age_s
    if op == _MANUAL:
        return 1.0 if word & _ENTERED else 0.0
    if op == _OLD:
        return 1.0 if word & _STALE else 0.0
    good = (word & _BAD) == 0 and not np.isnan(value)
    return 1.0 * (good if op == _GOOD else not good)


@njit(cache=True, nogil=True)
def _first_good(stack: F8, words: U4, begin: int, count: int) -> int:
    """Index of the first good operand; without any of the first that is a number, else of the first."""
    number = -1
    for k in range(begin, begin + count):
        if np.isnan(stack[k]):
            continue
        if (words[k] & _BAD) == 0:
            return k
        if number < 0:
            number = k
    return max(number, begin)


@njit(cache=True, nogil=True)
def evaluate(  # noqa: PLR0912, PLR0915 - one loop, so that it compiles to one kernel
    program: Program, columns: Columns, results: Results, memory: Memory, now: Now, dirty: Mask, altered: Mask
) -> None:
    """Run the dirty programs in order; a result that moved makes its dependents dirty.

    A result carries the worst quality of what it used (the bits together) and the newest of its times, never later than now and
    never earlier than the time of the result before; none if nothing it used has one.

    Args:
        program: what to run.
        columns: the database.
        results: compared and written.
        memory: cells of the functions with memory.
        now: the moment.
        dirty: programs to run; more are marked on the way.
        altered: set for the programs whose result moved.
    """
    # locals: an array taken out of a tuple in the loop costs a reference count each time
    ops, arguments, start, calc_of, pids = program.ops, program.arguments, program.start, program.calc_of, program.pids
    values, quality, stamps = columns.value, columns.quality, columns.time
    own_value, own_quality, own_time, held = results.value, results.quality, results.time, results.held
    wall, cells = now.wall, memory.cells
    stack, words, times = np.empty(program.depth), np.empty(program.depth, np.uint32), np.empty(program.depth, np.int64)
    for i in range(len(pids)):
        if not dirty[i]:
            continue
        top = -1
        for k in range(start[i], start[i + 1]):
            op, argument = int(ops[k]), arguments[k]
            if op == _CONST:
                top += 1
                stack[top], words[top], times[top] = argument, _NOTHING, 0
            elif op in (_POINT, _GOOD, _IS_BAD, _MANUAL, _OLD, _AGE):
                top += 1
                pid = int(argument)
                j = calc_of[pid]
                ours = j >= 0 and not held[j]
                value = own_value[j] if ours else values[pid]
                word = own_quality[j] if ours else quality[pid]
                time = own_time[j] if ours else stamps[pid]
                stack[top], words[top], times[top] = value, word, time
                if op != _POINT:
                    age_s = max(wall - time, 0) / 1e9 if time > 0 else np.nan
                    stack[top], words[top] = _test(op, value, word, age_s), _NOTHING
                if op == _AGE:
                    times[top] = wall
            elif op in (_NEG, _NOT, _ABS, _SQRT, _EXP, _LN):
                stack[top] = _number(_unary(op, stack[top]))
            elif op == _ROUND:
                stack[top] = _number(_rounded(stack[top], argument))
            elif op == _IF:
                top -= 2
                chosen = top + 1 if stack[top] != 0.0 else top + 2
                words[top] |= words[chosen]
                times[top] = max(times[top], times[chosen])
                stack[top] = np.nan if np.isnan(stack[top]) else stack[chosen]
            elif op == _FIRST_GOOD:
                top -= int(argument) - 1
                chosen = _first_good(stack, words, top, int(argument))
                stack[top], words[top], times[top] = stack[chosen], words[chosen], times[chosen]
            elif op == _COUNT_GOOD:
                top -= int(argument) - 1
                count = 0.0
                for m in range(top, top + int(argument)):
                    count += 1.0 * ((words[m] & _BAD) == 0 and not np.isnan(stack[m]))
                    times[top] = max(times[top], times[m])
                stack[top], words[top] = count, _NOTHING
            elif op == _MEMORY:
                stack[top], words[top] = remember(memory, int(argument), now, stack[top], words[top])
                times[top] = wall
            elif op == _PREVIOUS:
                cell = cells[int(argument)]
                stack[top], words[top], times[top] = cell.previous, cell.previous_word, cell.period
            else:
                top -= 1
                stack[top] = _number(_binary(op, stack[top], stack[top + 1]))
                words[top] |= words[top + 1]
                times[top] = max(times[top], times[top + 1])
        value, word = stack[0], words[0] | _CALCULATED
        if word & _HELD_WORD:  # that a person holds an input makes the result a substituted one, not a held one
            word = (word & ~_HELD_WORD) | _SUBSTITUTED
        if not np.isfinite(value):
            value, word = np.nan, word | _INVALID
        same = word == own_quality[i] and (value == own_value[i] or (np.isnan(value) and np.isnan(own_value[i])))
        if same:
            continue
        own_time[i] = min(max(times[0], own_time[i]), wall)
        own_value[i], own_quality[i], altered[i] = value, word, True
        pid = pids[i]
        if not held[i]:
            for k in range(program.dependent_start[pid], program.dependent_start[pid + 1]):
                dirty[program.dependents[k]] = True
