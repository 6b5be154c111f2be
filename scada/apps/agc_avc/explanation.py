"""Why an output is what it is: inputs, the way from the error to the share, limits, objective.

Every part is a key with figures, so that each surface says it in its own language; keys are words of the page's language files.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Term:
    """One figure of an explanation.

    Attributes:
        key: what it is, such as ``ace`` or ``demand``.
        value: NaN = unknown.
        unit: ``MW``, ``Hz``, ``kV``, ``Mvar``, ``%`` or empty.
        note: further words: a name, a mode, "substituted".
    """

    key: str
    value: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit that was in force.

    Attributes:
        key: what sets it, such as ``ramp`` or ``state_of_charge``.
        low: -inf = none.
        high: inf = none.
        binding: the output stands at it.
    """

    key: str
    low: float
    high: float
    binding: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a unit, source or device was told what it was told; fields as in the message ``Explanation``."""

    mrid: str
    name: str
    output: float
    """Last command or, with an open loop, advice; NaN = none."""
    unit: str
    output_ns: int
    sent: bool
    reason: str
    inputs: tuple[Term, ...]
    steps: tuple[Term, ...]
    limits: tuple[Bound, ...]
    objective: str
