"""The dispatch desk: accepts, clips or refuses orders with a reason, and says at any moment what is in force.

In force for an area's net interchange is, in this order: the newest valid set-point, the newest schedule that covers the moment,
the plan of the model. Between the points of a schedule the value is ramped linearly, as dispatch plans are executed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from scada.core.clock import NS_PER_S

KEEP = 200
"""Orders kept for display."""
SCHEDULE_POINTS = 2000
STEPS_S = (60, 300, 900, 1800, 3600)


class Verdict(Enum):
    """What became of an order."""

    ACCEPTED = "accepted"
    CLIPPED = "clipped"
    REFUSED = "refused"
    DUPLICATE = "duplicate"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an order may ask, MW: the interchange limits of an area (export positive) or the power limits of a unit."""

    minimum: float
    maximum: float


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

    @property
    def end_ns(self) -> int:
        """Time of the last point."""
        return self.start_ns + (len(self.mw) - 1) * self.step_s * NS_PER_S

    def at(self, now_ns: int) -> float | None:
        """Value in force, linear between points; None outside the plan."""
        if not self.start_ns <= now_ns <= self.end_ns:
            return None
        position = (now_ns - self.start_ns) / (self.step_s * NS_PER_S)
        return float(np.interp(position, np.arange(len(self.mw)), self.mw))


@dataclass(frozen=True, slots=True)
class Answer:
    """Reply to one order."""

    order_id: str
    sender: str
    kind: str
    """``setpoint`` or ``schedule``."""
    target: str
    """Area name, or mRID of the unit."""
    verdict: Verdict
    reason: str
    mw: float
    applied_mw: float
    received_ns: int
    valid_until_ns: int = 0


@dataclass(frozen=True, slots=True)
class InForce:
    """What AGC shall follow now."""

    interchange: Mapping[str, float]
    """Area -> MW, export positive."""
    base_points: Mapping[str, float]
    """Unit mRID -> MW; only units that a schedule covers."""
    expired: Sequence[SetpointOrder] = ()
    """Set-points whose validity ended since the last call: dispatch is silent, the plan is in force again."""


@dataclass(slots=True)
class _Target:
    bounds: Bounds
    plan: float | None = None
    setpoint: SetpointOrder | None = None
    schedules: list[ScheduleOrder] = field(default_factory=list)


class DispatchDesk:
    """Table of orders.

    Args:
        areas: controlled areas by name: bounds of the interchange and the plan in MW.
        units: units by mRID: bounds of the base point.
    """

    def __init__(self, areas: Mapping[str, tuple[Bounds, float]], units: Mapping[str, Bounds]) -> None:
        self._areas = {name: _Target(bounds, plan) for name, (bounds, plan) in areas.items()}
        self._units = {mrid: _Target(bounds) for mrid, bounds in units.items()}
        self._seen: set[str] = set()
        self.answers: list[Answer] = []

    def remember(self, order_ids: Iterable[str]) -> None:
        """Treat these order ids as received before."""
        self._seen.update(order_ids)

    def setpoint(self, order: SetpointOrder, now_ns: int) -> Answer:
        """Judge a set-point; an accepted one is in force from its start."""
        target = self._areas.get(order.area)
        verdict, reason = self._judge(order.order_id, [order.mw], target, f"area {order.area!r}")
        if verdict is None and order.valid_until_ns and order.valid_until_ns <= max(now_ns, order.valid_from_ns):
            late = order.valid_until_ns <= now_ns
            verdict = Verdict.LATE if late else Verdict.REFUSED
            reason = "its validity has already ended" if late else "it ends before it begins"
        applied = math.nan
        if verdict is None:
            assert target is not None
            applied, verdict, reason = _clip(order.mw, target.bounds)
            target.setpoint = SetpointOrder(
                order.order_id, order.sender, order.area, applied, order.valid_from_ns or now_ns, order.valid_until_ns
            )
        return self._answer(order, "setpoint", order.area, verdict, reason, order.mw, applied, now_ns, order.valid_until_ns)

    def schedule(self, order: ScheduleOrder, now_ns: int) -> Answer:
        """Judge a schedule; an accepted one replaces earlier ones where it covers them."""
        target = self._units.get(order.unit) if order.unit else self._areas.get(order.area)
        verdict, reason = self._judge(
            order.order_id, order.mw, target, f"unit {order.unit}" if order.unit else f"area {order.area!r}"
        )
        if verdict is None and (order.step_s not in {60, 300, 900, 1800, 3600} or not 2 <= len(order.mw) <= SCHEDULE_POINTS):
            verdict, reason = (
                Verdict.REFUSED,
                f"a schedule has 2 to {SCHEDULE_POINTS} points each 60, 300, 900, 1800 or 3600 s apart",
            )
        if verdict is None and order.end_ns <= now_ns:
            verdict, reason = Verdict.LATE, "its last point is in the past"
        applied = math.nan
        if verdict is None:
            assert target is not None
            clipped = [_clip(value, target.bounds) for value in order.mw]
            values = [value for value, _, _ in clipped]
            verdict, reason = next(((v, r) for _, v, r in clipped if v is Verdict.CLIPPED), (Verdict.ACCEPTED, ""))
            kept = ScheduleOrder(order.order_id, order.sender, order.area, order.unit, order.start_ns, order.step_s, values)
            target.schedules = [*[one for one in target.schedules if one.end_ns > now_ns][-7:], kept]
            present = kept.at(now_ns)
            applied = values[0] if present is None else present
        return self._answer(
            order,
            "schedule",
            order.unit or order.area,
            verdict,
            reason,
            order.mw[0] if order.mw else math.nan,
            applied,
            now_ns,
            0,
        )

    def in_force(self, now_ns: int) -> InForce:
        """What AGC shall follow at ``now_ns``."""
        expired = []
        interchange = {}
        for name, target in self._areas.items():
            order = target.setpoint
            if order is not None and order.valid_until_ns and order.valid_until_ns <= now_ns:
                expired.append(order)
                target.setpoint = order = None
            if order is not None and order.valid_from_ns <= now_ns:
                interchange[name] = order.mw
                continue
            scheduled = _scheduled(target, now_ns)
            value = scheduled if scheduled is not None else target.plan
            if value is not None:
                interchange[name] = value
        units = {mrid: value for mrid, target in self._units.items() if (value := _scheduled(target, now_ns)) is not None}
        return InForce(interchange, units, tuple(expired))

    def _judge(self, order_id: str, values: Sequence[float], target: _Target | None, what: str) -> tuple[Verdict | None, str]:
        if not order_id or len(order_id) > 64:
            return Verdict.REFUSED, "an order needs an order_id of 1 to 64 characters"
        if order_id in self._seen:
            return Verdict.DUPLICATE, f"order {order_id} was received before; it is not applied again"
        if target is None:
            return Verdict.REFUSED, f"{what} is not under our control"
        if not all(math.isfinite(value) for value in values):
            return Verdict.REFUSED, "a value is not a finite number"
        return None, ""

    def _answer(
        self,
        order: SetpointOrder | ScheduleOrder,
        kind: str,
        target: str,
        verdict: Verdict | None,
        reason: str,
        mw: float,
        applied: float,
        now_ns: int,
        until_ns: int,
    ) -> Answer:
        assert verdict is not None
        if verdict in {Verdict.ACCEPTED, Verdict.CLIPPED}:
            self._seen.add(order.order_id)
        answer = Answer(order.order_id, order.sender, kind, target, verdict, reason, mw, applied, now_ns, until_ns)
        self.answers = [*self.answers[-(KEEP - 1) :], answer]
        return answer


def _clip(value: float, bounds: Bounds) -> tuple[float, Verdict, str]:
    low = bounds.minimum if math.isfinite(bounds.minimum) else -math.inf
    high = bounds.maximum if math.isfinite(bounds.maximum) else math.inf
    applied = min(max(value, low), high)
    if applied == value:
        return value, Verdict.ACCEPTED, ""
    return applied, Verdict.CLIPPED, f"{value:g} MW is outside {low:g} .. {high:g} MW"


def _scheduled(target: _Target, now_ns: int) -> float | None:
    for order in reversed(target.schedules):
        value = order.at(now_ns)
        if value is not None:
            return value
    return None
