"""Functions with memory: what they are called, what they take, and what one call of them is.

A call remembers something of the past in one cell (see :mod:`scada.apps.calc.cells`): an amount, an extreme, a window. Its
first argument is any expression, the others are written out (a number, a unit of time or a period), so that they are known when
the model is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Period(IntEnum):
    """When an amount starts anew; in the time zone of the site."""

    NONE = 0
    HOUR = 1
    DAY = 2
    MONTH = 3
    YEAR = 4


class Kind(IntEnum):
    """What a cell remembers."""

    TOTAL = 0
    """Time integral."""
    MEAN = 1
    """Time-weighted mean since the period began."""
    MOVING = 2
    """Time-weighted mean of the last minutes."""
    LOWEST = 3
    HIGHEST = 4
    DEMAND = 5
    """Highest mean power of an interval within the period."""
    COUNTER = 6
    """Increase of a meter reading."""
    HOURS = 7
    """Time a state stood, in hours."""
    CHANGES = 8
    GOOD_TIME = 9
    BAD_TIME = 10
    RAMP = 11
    DELAY = 12
    PULSE = 13


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function with memory is written: ``name(expression, literal, ...)``.

    Attributes:
        kind: what it remembers.
        takes: its literals in order, ``?`` marks those that may be left out: ``unit`` (s, min, h), ``period`` (hour, day, month,
            year), ``seconds``, ``minutes``, ``span`` (minutes or a period), ``interval`` (minutes that divide the hour),
            ``rollover`` and ``step`` (numbers >= 0).
        slots: parts the window is cut into; 0 = it has none.
    """

    kind: Kind
    takes: tuple[str, ...]
    slots: int = 0


WINDOW_SLOTS = 60
"""Parts of the window of ``average(x, minutes)`` and ``ramp``; the window moves on by one part at a time."""
SUBINTERVALS = 15
"""Parts of a sliding demand interval."""

SIGNATURES = {
    "total": Signature(Kind.TOTAL, ("unit", "period?")),
    "integral": Signature(Kind.TOTAL, ("unit", "period?")),
    "average": Signature(Kind.MEAN, ("span",)),
    "lowest": Signature(Kind.LOWEST, ("period",)),
    "highest": Signature(Kind.HIGHEST, ("period",)),
    "max_demand": Signature(Kind.DEMAND, ("interval", "period"), 1),
    "max_demand_sliding": Signature(Kind.DEMAND, ("interval", "period"), SUBINTERVALS),
    "counter": Signature(Kind.COUNTER, ("rollover", "period?", "step?")),
    "hours_run": Signature(Kind.HOURS, ("period?",)),
    "changes": Signature(Kind.CHANGES, ("period?",)),
    "good_s": Signature(Kind.GOOD_TIME, ("period?",)),
    "bad_s": Signature(Kind.BAD_TIME, ("period?",)),
    "ramp": Signature(Kind.RAMP, ("seconds",), WINDOW_SLOTS),
    "delay": Signature(Kind.DELAY, ("seconds",)),
    "pulse": Signature(Kind.PULSE, ("seconds",)),
}

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
PERIODS = {period.name.lower(): period for period in Period if period}
LONGEST_S = 86_400.0
"""Longest window in seconds."""


@dataclass(frozen=True, slots=True)
class MemoryCall:
    """One call of a function with memory within an expression.

    Attributes:
        kind: what it remembers.
        text: the call as written, spaces apart; with the point's mRID the name of its memory across restarts.
        period: when it starts anew.
        scale: divisor of the amount in seconds (unit of a total), seconds of a delay or pulse, or the rollover of a counter.
        most: largest believable step of a counter, 0 = a tenth of its range.
        slots: parts of its window.
        slot_s: length of one part in seconds.
    """

    kind: Kind
    text: str
    period: Period = Period.NONE
    scale: float = 1.0
    most: float = 0.0
    slots: int = 0
    slot_s: float = 0.0


def make_call(signature: Signature, text: str, given: dict[str, float]) -> MemoryCall:
    """A call with the literals that were given, by the names of :class:`Signature`.

    >>> make_call(SIGNATURES["total"], 'total("P", h, day)', {"unit": 3600.0, "period": 2}).period.name
    'DAY'
    """
    kind, slots, slot_s = signature.kind, signature.slots, 0.0
    if kind is Kind.MEAN and "minutes" in given:
        kind, slots = Kind.MOVING, WINDOW_SLOTS
    window_s = given.get("minutes", 0.0) * 60.0 + (given.get("seconds", 0.0) if kind is Kind.RAMP else 0.0)
    if slots:
        slot_s = window_s / slots
    scale = given.get("unit", given.get("seconds", given.get("rollover", 3600.0 if kind is Kind.HOURS else 1.0)))
    return MemoryCall(kind, text, Period(int(given.get("period", 0))), scale, given.get("step", 0.0), slots, slot_s)
