"""Dispatch actor: owns the orders of upstream dispatch and tells AGC what is in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import DispatchAsked, Report, SetBasePoint, SetInterchange, Tick
from scada.apps.dispatch.desk import Answer, Bounds, DispatchDesk, ScheduleOrder, SetpointOrder, Verdict
from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables

_CODES = {
    Verdict.ACCEPTED: pb.DISPATCH_CODE_ACCEPTED,
    Verdict.CLIPPED: pb.DISPATCH_CODE_CLIPPED,
    Verdict.REFUSED: pb.DISPATCH_CODE_REFUSED,
    Verdict.DUPLICATE: pb.DISPATCH_CODE_DUPLICATE,
    Verdict.LATE: pb.DISPATCH_CODE_LATE,
}


@dataclass(slots=True)
class DispatchView:
    """Orders and what is in force; replaced as a whole, written by the dispatch actor alone."""

    status: pb.DispatchStatus = field(default_factory=pb.DispatchStatus)


class DispatchActor(Actor):
    """Judges orders, keeps them, follows schedules.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: areas, units and their limits.
        seen: order ids of earlier runs.
        agc: follows what is in force.
        events: told of every order and of each one that expires.
        view: where orders are published.
        clock: stamps and validity.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        seen: Sequence[str],
        agc: Address,
        events: Address,
        view: DispatchView,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._desk = make_desk(tables, seen)
        self._agc = agc
        self._events = events
        self._view = view
        self._clock = clock
        self._told: dict[str, float] = {}

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case DispatchAsked(request, principal):
                return self._order(request, principal.name)
            case Tick():
                self._follow()
            case _:
                return super().receive(message)
        return None

    def _order(self, request: pb.AreaSetpoint | pb.Schedule, sender: str) -> pb.DispatchReply:
        now = self._clock.now_ns()
        if isinstance(request, pb.AreaSetpoint):
            until = request.valid_until_ns
            order = SetpointOrder(request.order_id, sender, request.area, request.interchange_mw, request.valid_from_ns, until)
            answer = self._desk.setpoint(order, now)
        else:
            plan = (request.area, request.unit, request.start_ns, int(request.step_s), tuple(request.mw))
            answer = self._desk.schedule(ScheduleOrder(request.order_id, sender, *plan), now)
        self._report(answer)
        self._follow()
        return pb.DispatchReply(
            code=_CODES[answer.verdict],
            reason=answer.reason,
            applied_mw=answer.applied_mw,
            order_id=answer.order_id,
            time_ns=now,
        )

    def _follow(self) -> None:
        now = self._clock.now_ns()
        force = self._desk.in_force(now)
        for area, mw in force.interchange.items():
            if self._told.get(area) != mw:
                self._told[area] = mw
                self._agc.tell(SetInterchange(area, mw))
        for unit, mw in force.base_points.items():
            if self._told.get(unit) != mw:
                self._told[unit] = mw
                self._agc.tell(SetBasePoint(unit, mw))
        for order in force.expired:
            parameters = {"order": order.order_id, "area": order.area, "mw": f"{order.mw:g}", "sender": order.sender}
            self._tell("dispatch.expired", AlarmClass.ABNORMAL, 2, parameters, order.sender)
        self._view.status = pb.DispatchStatus(
            interchange_setpoint_mw=next(iter(force.interchange.values()), float("nan")),
            orders=[_shown(answer) for answer in reversed(self._desk.answers)],
        )

    def _report(self, answer: Answer) -> None:
        bad = answer.verdict not in {Verdict.ACCEPTED, Verdict.CLIPPED}
        parameters = {
            "order": answer.order_id,
            "sender": answer.sender,
            "target": answer.target,
            "mw": f"{answer.mw:g}",
            "applied": f"{answer.applied_mw:g}",
            "verdict": answer.verdict.value,
            "reason": answer.reason,
        }
        alarm_class = AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE
        self._tell(f"dispatch.{answer.verdict.value}", alarm_class, 2 if bad else 3, parameters, answer.sender)

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str], actor: str) -> None:
        event = Event(self._clock.now_ns(), EventKind.DISPATCH, alarm_class, priority, key, parameters, actor=actor)
        self._events.tell(Report((event,)))


def make_desk(tables: ModelTables, seen: Sequence[str]) -> DispatchDesk:
    """A desk for the areas and units we are responsible for; limits are those of the interchange point and of the units."""
    own = [area for area in tables.areas if area.controlled]
    exchange = {point.equipment: point for point in tables.points if point.measurement_type == "AreaInterchange"}
    areas = {}
    for area in own:
        point = exchange.get(area.mrid)
        bounds = Bounds(point.minimum, point.maximum) if point is not None else Bounds(float("nan"), float("nan"))
        areas[area.name] = (bounds, area.scheduled_interchange)
    units = {unit.mrid: Bounds(unit.minimum, unit.maximum) for area in own for unit in area.units}
    return DispatchDesk(areas, units, seen)


def _shown(answer: Answer) -> pb.DispatchOrder:
    return pb.DispatchOrder(
        order_id=answer.order_id,
        sender=answer.sender,
        received_ns=answer.received_ns,
        code=_CODES[answer.verdict],
        reason=answer.reason,
        kind=answer.kind,
        mw=answer.mw,
        applied_mw=answer.applied_mw,
        valid_until_ns=answer.valid_until_ns,
        target=answer.target,
        signature_ok=True,
    )
