"""Operator data as records: values an operator holds, tags and notes. Who placed what, where, why and when.

A mark outlives its user, a restart, and the object it was placed on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scada.model_cim.tables import Point, PointKind

_STATES = {PointKind.STATUS, PointKind.DOUBLE, PointKind.STEP, PointKind.BITS, PointKind.TEXT_STATE}
_PLAIN_RANGE = {
    PointKind.STATUS: (0, 1),
    PointKind.DOUBLE: (0, 3),
    PointKind.STEP: (-64, 63),
    PointKind.BITS: (0, 2**32 - 1),
}
"""Values of a kind whose point names no states (IEC 60870-5-101: SIQ, DIQ, VTI, BSI)."""


class MarkKind(IntEnum):
    """What a mark is; the numbers of the wire."""

    SUBSTITUTE = 1
    BLOCK = 2
    TAG = 3
    NOTE = 4


HOLDS: Final = frozenset({MarkKind.SUBSTITUTE, MarkKind.BLOCK})


@dataclass(frozen=True, slots=True)
class Mark:
    """Something an operator put on an object.

    Attributes:
        mark_id: number, never used twice.
        kind: what it is.
        mrid: the object.
        path: its readable name when the mark was placed.
        station: name of its station then, empty if it stands in none.
        value: substituted value, NaN for every other kind.
        tag_type: key of :data:`scada.control.tags.TAG_TYPES`, empty if it is no tag.
        reason: why; the text of a note.
        user: who placed it.
        workstation: where.
        placed_ns: when, ns UTC.
    """

    mark_id: int
    kind: MarkKind
    mrid: str
    path: str
    station: str
    value: float
    tag_type: str
    reason: str
    user: str
    workstation: str
    placed_ns: int


@dataclass(frozen=True, slots=True)
class MarkReading:
    """A mark as it is shown.

    Attributes:
        mark: the mark.
        pid: the present model's point, -1 if it is on no point or the model no longer has it.
        value: the value the point shows while it is held, NaN for a tag or a note.
        field_value: what its source says meanwhile, NaN = unknown or none.
        field_quality: with this quality.
    """

    mark: Mark
    pid: int = -1
    value: float = math.nan
    field_value: float = math.nan
    field_quality: int = 0


@dataclass(frozen=True, slots=True)
class MarkReply:
    """Answer to an order on operator data. ``code`` is machine-readable, ``reason`` one sentence."""

    accepted: bool
    code: str = ""
    reason: str = ""
    mark_id: int = 0


def value_wrong(point: Point, value: float) -> tuple[str, str] | None:
    """(code, reason) if a point cannot have a value: not finite, none of its states, outside its range; None if it can."""
    if not math.isfinite(value):
        return "bad_value", "the value is not a finite number"
    if point.kind in _STATES:
        if value != int(value):
            return "bad_value", f"{value:g} is no state: states are whole numbers"
        if point.states and int(value) not in point.states:
            shown = ", ".join(f"{number} {label}" for number, label in sorted(point.states.items()))
            return "bad_value", f"{value:g} is no state of the point; its states are {shown}"
        low, high = _PLAIN_RANGE.get(point.kind, (-math.inf, math.inf))
        if not point.states and not low <= value <= high:
            return "bad_value", f"{value:g} is no {point.kind.name.lower()} value ({low:g} .. {high:g})"
    if value < point.minimum or value > point.maximum:
        return "out_of_range", f"{value:g} {point.unit} is outside {point.minimum:g} .. {point.maximum:g}"
    return None


def value_text(point: Point, value: float) -> str:
    """A value as people read it: the label of a state, or the number with its unit."""
    label = point.states.get(int(value), "") if math.isfinite(value) and value == int(value) else ""
    return label or f"{value:g} {point.unit}".strip()
