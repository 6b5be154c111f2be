"""Orders of dispatch and of operators to the dispatch desk, and what they are answered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
    PENDING = "pending"
    """Waits for an operator."""
    EXPIRED = "expired"
    """No operator decided in time, its validity ended, or its dispatcher was lost."""
    WITHDRAWN = "withdrawn"
    OUTRANKED = "outranked"
    """An order of higher priority is in force."""


ACCEPTED = frozenset({Verdict.ACCEPTED, Verdict.CLIPPED})


OrderKey = tuple[str, str]
"""Sender and id of an order."""
Slot = tuple[str, str]
"""What one order at a time rules: ``setpoint`` or ``limits`` and the target, or a mode (``agc``, ``unit`` ...) and its target."""


@dataclass(frozen=True, slots=True)
class SetpointOrder:
    """Net interchange of an area, or the power of a unit."""

    order_id: str
    sender: str
    area: str
    mw: float
    valid_from_ns: int = 0
    """0 = now."""
    valid_until_ns: int = 0
    """0 = until replaced."""
    unit: str = ""
    """mRID; empty = the area's interchange."""
    priority: int = 0
    issued_ns: int = 0
    """When dispatch made it; 0 = not said."""

    @property
    def key(self) -> OrderKey:
        """Sender and id: ids of different senders have nothing to do with each other."""
        return self.sender, self.order_id

    @property
    def target(self) -> str:
        """Area name, or mRID of the unit."""
        return self.unit or self.area

    @property
    def slot(self) -> Slot:
        """What it rules."""
        return "setpoint", self.target


@dataclass(frozen=True, slots=True)
class ModeOrder:
    """A mode of AGC, AVC or a unit, or the limits of a unit, for a time."""

    order_id: str
    sender: str
    area: str
    unit: str
    what: str
    """``agc``, ``avc``, ``control_mode``, ``unit`` or ``limits``."""
    mode: str = ""
    """Of a unit ``base/reg``."""
    minimum: float = math.nan
    """Of limits, MW; NaN = as before."""
    maximum: float = math.nan
    valid_from_ns: int = 0
    valid_until_ns: int = 0
    priority: int = 0
    issued_ns: int = 0

    @property
    def key(self) -> OrderKey:
        """Sender and id: ids of different senders have nothing to do with each other."""
        return self.sender, self.order_id

    @property
    def target(self) -> str:
        """Area name, mRID of the unit, or empty for AVC."""
        return "" if self.what == "avc" else self.unit or self.area

    @property
    def slot(self) -> Slot:
        """What it rules."""
        return self.what, self.target

    @property
    def words(self) -> str:
        """The mode, or the limits."""
        return f"{self.minimum:g} .. {self.maximum:g} MW" if self.what == "limits" else self.mode


StandingOrder = SetpointOrder | ModeOrder


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
    def key(self) -> OrderKey:
        """Sender and id: ids of different senders have nothing to do with each other."""
        return self.sender, self.order_id

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

    @property
    def key(self) -> OrderKey:
        """Sender and id: ids of different senders have nothing to do with each other."""
        return self.sender, self.order_id


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to one order."""

    order_id: str
    sender: str
    kind: str
    """``setpoint``, ``schedule``, ``mode``, ``limits``, ``edit`` or ``restore``."""
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
    code: str = ""
    """Machine-readable reason, e.g. ``limit``."""
    area: str = ""
    words: str = ""
    """The mode, or the limits."""
    priority: int = 0
    issued_ns: int = 0
    valid_from_ns: int = 0
    decide_until_ns: int = 0
    decided_by: str = ""
    first: Verdict | None = None
    """Of a duplicate: what became of the one that came first."""

    @property
    def key(self) -> OrderKey:
        """Sender and id: ids of different senders have nothing to do with each other."""
        return self.sender, self.order_id


@dataclass(frozen=True, slots=True)
class Held:
    """An accepted order that stands."""

    order: StandingOrder
    number: int
    """Orders are numbered as they were accepted."""
    start_ns: int
    low: float
    """Of a set-point both are the MW that are applied; of limits the narrowed ones."""
    high: float
    ended_ns: int = 0
    """When it was withdrawn, lost or overridden; 0 = it was not."""

    @property
    def until_ns(self) -> int:
        """When it ends or ended; 0 = when it is replaced."""
        times = [time for time in (self.order.valid_until_ns, self.ended_ns) if time]
        return min(times, default=0)

    @property
    def mw(self) -> float:
        """What a set-point applies."""
        return self.low


@dataclass(frozen=True, slots=True)
class InForce:
    """What AGC shall follow now."""

    interchange: Mapping[str, float]
    """Area -> MW, export positive."""
    base_points: Mapping[str, float]
    """Unit mRID -> MW; only units that a schedule covers."""
    expired: Sequence[StandingOrder] = ()
    """Orders whose validity ended since the last call: dispatch is silent, the plan is in force again."""
    ended: Sequence[str] = ()
    """Targets whose plan ended since the last call: nothing, or the model's plan, is in force."""
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Unit mRID -> MW between which dispatch keeps it."""
    orders: Mapping[Slot, Held] = field(default_factory=dict)
    """What stands, by what it rules."""
