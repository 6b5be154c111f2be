"""Operations of the postfix programs."""

from __future__ import annotations

from enum import IntEnum


class Op(IntEnum):
    """Operations of the postfix program."""

    CONST = 0
    POINT = 1
    """Push value and quality of a reference."""
    GOOD = 2
    """Push 1 if the reference's quality is good, else 0; the pushed quality is good."""
    ADD = 3
    SUB = 4
    MUL = 5
    DIV = 6
    NEG = 7
    NOT = 8
    LT = 9
    LE = 10
    GT = 11
    GE = 12
    EQ = 13
    NE = 14
    AND = 15
    OR = 16
    IF = 17
    MIN = 18
    MAX = 19
    ABS = 20
    SQRT = 21
    POW = 22
    EXP = 23
    LN = 24
    ROUND = 25
    """Half away from zero, to the digits of the argument."""
    BAD = 26
    MANUAL = 27
    """Push 1 if a person entered the reference's value, or substituted it at its source."""
    OLD = 28
    """Push 1 if the reference's value is not topical."""
    AGE = 29
    """Push the seconds since the reference's time."""
    FIRST_GOOD = 30
    """Of the topmost operands, as many as the argument, leave the first good one; without any, the first that is a number."""
    COUNT_GOOD = 31
    MEMORY = 32
    """Hand the top to the memory cell of the argument and push its answer."""
    PREVIOUS = 33
    """Replace the top by what the cell of the argument had at the end of its last period."""
    CLOSED = 34
    """Push 1 if the switch of the argument is closed, 0 if it is open; only in conditions, as the two that follow."""
    ENERGISED = 35
    EARTHED = 36


REFERRING = frozenset({Op.POINT, Op.GOOD, Op.BAD, Op.MANUAL, Op.OLD, Op.AGE})
"""Operations whose argument is a reference."""
SWITCHGEAR = frozenset({Op.CLOSED, Op.ENERGISED, Op.EARTHED})
"""Operations whose argument is an equipment."""
REMEMBERING = frozenset({Op.MEMORY, Op.PREVIOUS})
"""Operations whose argument is a memory cell."""
