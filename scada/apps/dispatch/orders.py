"""Orders of dispatch and of operators to the dispatch desk, and what they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import Enum

from scada.apps.dispatch.judging import PointFinding
from scada.core.clock import NS_PER_S


class Verdict(Enum):
    """What became of an order."""

    ACCEPTED = "accepted"
    CLIPPED = "clipped"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    LATE = "late"
    OUT_OF_ORDER = "out_of_order"


ACCEPTED = frozenset({Verdict.ACCEPTED, Verdict.CLIPPED})


@dataclass(frozen=True, slots=True)
class SetpointOrder:
    """Net interchange of an area."""

    order_id: str
    sender: str
    area: str
    mw: float
    valid_from_ns: int = 0
    """0 = now."""
    valid_until_ns: int = 0
    """0 = until replaced."""


@dataclass(frozen=True, slots=True)
class ScheduleOrder:
    """Day plan of an area's interchange (``unit`` empty) or of a unit's base point (its mRID)."""

    order_id: str
    sender: str
    area: str
    unit: str
    start_ns: int
    step_s: int
    mw: Sequence[float]
    issued_ns: int = 0
    """When dispatch made it: one older than the plan in force is out of order; 0 = not said."""

    @property
    def end_ns(self) -> int:
        """Time of the last point."""
        return self.start_ns + (len(self.mw) - 1) * self.step_s * NS_PER_S


@dataclass(frozen=True, slots=True)
class EditOrder:
    """A change of a plan by an operator: single points, a range, or back to an earlier version."""

    order_id: str
    sender: str
    area: str
    unit: str
    day: date
    based_on: int
    """Version the operator saw; another one in force meanwhile refuses the edit."""
    reason: str
    points: Mapping[int, float] | None = None
    """MW by time of a point of the plan, ns."""
    range_ns: tuple[int, int] | None = None
    """First and last time of a range of points, both included."""
    mw: float = 0.0
    """Of the range: the new value, or what is added (:attr:`add`)."""
    add: bool = False
    restore: int = 0
    """Version that is taken again, as a new one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to one order."""

    order_id: str
    sender: str
    kind: str
    """``setpoint``, ``schedule``, ``edit`` or ``restore``."""
    target: str
    """Area name, or mRID of the unit."""
    verdict: Verdict
    reason: str
    mw: float
    applied_mw: float
    received_ns: int
    valid_until_ns: int = 0
    version: int = 0
    """Number of the version it made; 0 = none."""
    day: str = ""
    findings: tuple[PointFinding, ...] = ()


@dataclass(frozen=True, slots=True)
class InForce:
    """What AGC shall follow now."""

    interchange: Mapping[str, float]
    """Area -> MW, export positive."""
    base_points: Mapping[str, float]
    """Unit mRID -> MW; only units that a schedule covers."""
    expired: Sequence[SetpointOrder] = ()
    """Set-points whose validity ended since the last call: dispatch is silent, the plan is in force again."""
    ended: Sequence[str] = ()
    """Targets whose plan ended since the last call: nothing, or the model's plan, is in force."""
