"""Dispatch actor: owns the orders of upstream dispatch and tells AGC what is in force."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import DispatchAsked, Report, SetBasePoint, SetInterchange, Tick
from scada.apps.dispatch.desk import Answer, Bounds, DispatchDesk, ScheduleOrder, SetpointOrder, Verdict
from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.security.audit import AuditRecord

_CODES = {
    Verdict.ACCEPTED: pb.DISPATCH_CODE_ACCEPTED,
    Verdict.CLIPPED: pb.DISPATCH_CODE_CLIPPED,
    Verdict.REFUSED: pb.DISPATCH_CODE_REFUSED,
    Verdict.DUPLICATE: pb.DISPATCH_CODE_DUPLICATE,
    Verdict.LATE: pb.DISPATCH_CODE_LATE,
}


Order = pb.AreaSetpoint | pb.Schedule


@dataclass(frozen=True, slots=True)
class PastOrder:
    """An accepted order of an earlier run."""

    request: Order
    sender: str
    received_ns: int


@dataclass(slots=True)
class DispatchView:
    """Orders and what is in force; replaced as a whole, written by the dispatch actor alone."""

    status: pb.DispatchStatus = field(default_factory=pb.DispatchStatus)


class DispatchActor(Actor):
    """Judges orders, keeps them, follows schedules.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: areas, units and their limits.
        past: accepted orders of earlier runs with their senders and times of receipt, oldest first (:func:`past_orders`).
        seen: every order id of earlier runs.
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
        past: Sequence[PastOrder],
        seen: Sequence[str],
        agc: Address,
        events: Address,
        view: DispatchView,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._desk = make_desk(tables)
        for one in past:
            self._judge(one.request, one.sender, one.received_ns)
        self._desk.remember(seen)
        self._agc = agc
        self._events = events
        self._view = view
        self._clock = clock

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

    def _order(self, request: Order, sender: str) -> pb.DispatchReply:
        now = self._clock.now_ns()
        answer = self._judge(request, sender, now)
        self._report(answer)
        self._follow()
        return pb.DispatchReply(
            code=_CODES[answer.verdict],
            reason=answer.reason,
            applied_mw=answer.applied_mw,
            order_id=answer.order_id,
            time_ns=now,
        )

    def _judge(self, request: Order, sender: str, now: int) -> Answer:
        if isinstance(request, pb.AreaSetpoint):
            until = request.valid_until_ns
            order = SetpointOrder(request.order_id, sender, request.area, request.interchange_mw, request.valid_from_ns, until)
            return self._desk.setpoint(order, now)
        plan = (request.area, request.unit, request.start_ns, int(request.step_s), tuple(request.mw))
        return self._desk.schedule(ScheduleOrder(request.order_id, sender, *plan), now)

    def _follow(self) -> None:
        now = self._clock.now_ns()
        force = self._desk.in_force(now)
        # told at each beat, so that a new life of AGC knows too
        for area, mw in force.interchange.items():
            self._agc.tell(SetInterchange(area, mw))
        for unit, mw in force.base_points.items():
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


def make_desk(tables: ModelTables) -> DispatchDesk:
    """A desk for the areas and units we are responsible for; limits are those of the interchange point and of the units."""
    return DispatchDesk(*bounds_of(tables))


def bounds_of(tables: ModelTables) -> tuple[dict[str, tuple[Bounds, float]], dict[str, Bounds]]:
    """All that the dispatch desk knows of a model: of each area bounds and scheduled interchange, of each unit bounds."""
    own = [area for area in tables.areas if area.controlled]
    exchange = {point.equipment: point for point in tables.points if point.measurement_type == "AreaInterchange"}
    areas = {}
    for area in own:
        point = exchange.get(area.mrid)
        bounds = Bounds(point.minimum, point.maximum) if point is not None else Bounds(float("nan"), float("nan"))
        areas[area.name] = (bounds, area.scheduled_interchange)
    units = {unit.mrid: Bounds(unit.minimum, unit.maximum) for area in own for unit in area.units}
    return areas, units


def past_orders(records: Iterable[AuditRecord], accepted: Container[str]) -> list[PastOrder]:
    """The orders of the audit log that were answered with acceptance, oldest first.

    Args:
        records: the audit log; its evidence is the envelope as it was verified.
        accepted: order ids whose acceptance is in the event log.
    """
    found = []
    for record in records:
        row = record.row
        if row.kind != "dispatch" or row.sequence_id not in accepted or not row.evidence:
            continue
        signed = pb.Signed.FromString(row.evidence)
        method = pb.Header.FromString(signed.header).method
        request = (pb.AreaSetpoint if method.endswith("/SendSetpoint") else pb.Schedule).FromString(signed.body)
        found.append(PastOrder(request, row.actor, record.time_ns))
    return found


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
