"""Orders of dispatch and plans between the wire and the dispatch desk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date

from google.protobuf.message import Message
from scadapb.v1 import scada_pb2 as pb

from scada.apps.dispatch.days import day_of
from scada.apps.dispatch.judging import Bounds, PointFinding
from scada.apps.dispatch.office import Order, OrderRecord
from scada.apps.dispatch.orders import Answer, EditOrder, ModeOrder, OrderKey, ScheduleOrder, SetpointOrder, Verdict
from scada.apps.dispatch.plans import PlanVersion
from scada.core.clock import NS_PER_S
from scada.events.log import EventLog
from scada.events.log_index import Query
from scada.events.records import EventKind
from scada.model_cim.tables import ModelTables
from scada.security.areas import AreaTree, Places
from scada.security.audit import AuditRecord

CODES = {
    Verdict.ACCEPTED: pb.DISPATCH_CODE_ACCEPTED,
    Verdict.CLIPPED: pb.DISPATCH_CODE_CLIPPED,
    Verdict.REFUSED: pb.DISPATCH_CODE_REFUSED,
    Verdict.DUPLICATE: pb.DISPATCH_CODE_DUPLICATE,
    Verdict.LATE: pb.DISPATCH_CODE_LATE,
    Verdict.OUT_OF_ORDER: pb.DISPATCH_CODE_OUT_OF_ORDER,
    Verdict.PENDING: pb.DISPATCH_CODE_PENDING,
    Verdict.EXPIRED: pb.DISPATCH_CODE_EXPIRED,
    Verdict.WITHDRAWN: pb.DISPATCH_CODE_WITHDRAWN,
    Verdict.OUTRANKED: pb.DISPATCH_CODE_OUTRANKED,
}
UNSIGNED = "upstream:"
"""What the name of a master of an upstream station begins with: it is known by its link, its orders carry no signature."""
_ENDED = frozenset({"dispatch.withdrawn", "dispatch.overridden", "dispatch.fallback", "dispatch.mode_refused"})
_NOT_TAKEN = frozenset({"refused", "late", "out_of_order", "outranked"})
OrderRequest = pb.AreaSetpoint | pb.Schedule | pb.ScheduleEdit | pb.ModeOrder
_METHODS: Mapping[str, type[Message]] = {
    "SendSetpoint": pb.AreaSetpoint,
    "SendSchedule": pb.Schedule,
    "EditSchedule": pb.ScheduleEdit,
    "SendMode": pb.ModeOrder,
}


@dataclass(frozen=True, slots=True)
class PastOrder:
    """An accepted order of an earlier run."""

    request: OrderRequest
    sender: str
    received_ns: int
    ended_ns: int = 0
    """When it was withdrawn, lost or overridden; 0 = it was not."""


def past_orders(records: Iterable[AuditRecord], accepted: Mapping[OrderKey, int]) -> list[PastOrder]:
    """The signed orders of the audit log that were answered with acceptance, oldest first.

    A set-point of a master of an upstream station carries no signature: the master orders it anew.

    Args:
        records: the audit log; its evidence is the envelope as it was verified.
        accepted: as of :func:`accepted_orders`.
    """
    found: list[PastOrder] = []
    last: dict[OrderKey, PastOrder] = {}
    for record in records:
        row, key = record.row, (record.row.actor, record.row.sequence_id)
        if row.kind == "dispatch" and row.step == "answer" and row.code in _NOT_TAKEN and key in last:
            found.remove(last.pop(key))  # it was sent anew under the same id
        if row.kind != "dispatch" or key not in accepted or not row.evidence or row.actor.startswith(UNSIGNED):
            continue
        signed = pb.Signed.FromString(row.evidence)
        method = pb.Header.FromString(signed.header).method.rpartition("/")[2]
        if method in _METHODS:
            request: OrderRequest = _METHODS[method].FromString(signed.body)  # type: ignore[assignment]
            last[key] = PastOrder(request, row.actor, record.time_ns, accepted[key])
            found.append(last[key])
    return found


def accepted_orders(log: EventLog) -> dict[OrderKey, int]:
    """All orders whose acceptance is in the event log, and when each ended before its time; 0 = it did not."""
    found: dict[OrderKey, int] = {}
    ended: dict[OrderKey, int] = {}
    for event in log.walk(Query(kinds=frozenset({int(EventKind.DISPATCH)}))):
        key = event.parameters.get("sender", ""), event.parameters.get("order", "")
        if event.key in {"dispatch.accepted", "dispatch.clipped"}:
            found[key] = 0
        elif event.key in _ENDED:
            ended[key] = event.time_ns
    return {key: ended.get(key, 0) for key in found}


def is_kept(order: PastOrder, oldest_ns: int) -> bool:
    """False for a plan, or an edit of one, that ended before the days of which versions are kept.

    Args:
        order: the order.
        oldest_ns: begin of the oldest of these days.
    """
    request = order.request
    if isinstance(request, pb.Schedule):
        return request.start_ns + len(request.mw) * request.step_s * NS_PER_S >= oldest_ns
    if isinstance(request, pb.ScheduleEdit):
        return order.received_ns >= oldest_ns or request.day >= f"{day_of(oldest_ns, UTC)}"
    return True


def method_of(request: OrderRequest) -> str:
    """The call that an order came by."""
    return next(name for name, kind in _METHODS.items() if isinstance(request, kind))


def order_of(request: OrderRequest, sender: str) -> Order:
    """An order as the dispatch office takes it."""
    if isinstance(request, pb.AreaSetpoint):
        return setpoint_of(request, sender)
    if isinstance(request, pb.Schedule):
        plan = (request.area, request.unit, request.start_ns, int(request.step_s), tuple(request.mw), request.issued_ns)
        return ScheduleOrder(request.order_id, sender, *plan)
    if isinstance(request, pb.ModeOrder):
        return ModeOrder(
            request.order_id,
            sender,
            request.area,
            request.unit,
            request.target,
            request.mode,
            request.minimum_mw if request.HasField("minimum_mw") else float("nan"),
            request.maximum_mw if request.HasField("maximum_mw") else float("nan"),
            request.valid_from_ns,
            request.valid_until_ns,
            int(request.priority),
            request.issued_ns,
        )
    return _edit(request, sender)


def setpoint_of(request: pb.AreaSetpoint, sender: str) -> SetpointOrder:
    """A set-point as the dispatch office takes it."""
    return SetpointOrder(
        request.order_id,
        sender,
        request.area,
        request.interchange_mw,
        request.valid_from_ns,
        request.valid_until_ns,
        request.unit,
        int(request.priority),
        request.issued_ns,
    )


def kept_order(record: OrderRecord) -> Order:
    """The order of a record."""
    request: OrderRequest = _METHODS[record.method].FromString(record.content)  # type: ignore[assignment]
    return order_of(request, record.answer.sender)


def _edit(request: pb.ScheduleEdit, sender: str) -> EditOrder:
    try:
        day = date.fromisoformat(request.day)
    except ValueError:
        day = date.min
    span = request.range
    return EditOrder(
        request.order_id,
        sender,
        request.area,
        request.unit,
        day,
        int(request.based_on),
        request.reason,
        {point.time_ns: point.mw for point in request.points} or None,
        (span.from_ns, span.to_ns) if request.HasField("range") else None,
        span.mw,
        span.add,
        int(request.restore),
    )


def places_of(order: Order | OrderRequest, tables: ModelTables) -> tuple[Places, ...]:
    """Places that whoever orders or decides this must be responsible for, all of them.

    A unit that is not under AGC is judged by the area that the order names; AVC is one for all zones, whatever area it names.
    """
    tree = AreaTree.of(tables)
    what = order.what if isinstance(order, ModeOrder) else order.target if isinstance(order, pb.ModeOrder) else ""
    if what == "avc":
        return places_of_avc(tables)
    return tree.of_unit(order.unit) or (tree.of_area(order.area) or (order.area,),)


def places_of_avc(tables: ModelTables) -> tuple[Places, ...]:
    """Everything that AVC sends; the controlled areas where it sends nothing."""
    tree = AreaTree.of(tables)
    sent = tuple(tree.of_control(tables.controls[cid]) for zone in tables.zones for cid in zone.controls if cid >= 0)
    return sent or tuple(tree.of_area(area.name) for area in tables.areas if area.controlled)


def bounds_of(tables: ModelTables) -> tuple[dict[str, tuple[Bounds, float]], dict[str, Bounds]]:
    """All that the dispatch desk knows of a model: of each area bounds and scheduled interchange, of each unit bounds."""
    own = [area for area in tables.areas if area.controlled]
    exchange = {point.equipment: point for point in tables.points if point.measurement_type == "AreaInterchange"}
    areas = {}
    for area in own:
        point = exchange.get(area.mrid)
        bounds = Bounds(point.minimum, point.maximum) if point is not None else Bounds(float("nan"), float("nan"))
        areas[area.name] = (bounds, area.scheduled_interchange)
    units = {
        unit.mrid: Bounds(
            unit.minimum, unit.maximum, unit.ramp_up, unit.ramp_down, tuple((zone.low, zone.high) for zone in unit.forbidden)
        )
        for area in own
        for unit in area.units
    }
    return areas, units


# ---------------------------------------------------------------- replies


def shown_order(answer: Answer, names: Mapping[str, str]) -> pb.DispatchOrder:
    """An answered order as the list of orders has it.

    Args:
        answer: what became of it.
        names: of units, by mRID.
    """
    return pb.DispatchOrder(
        order_id=answer.order_id,
        sender=answer.sender,
        received_ns=answer.received_ns,
        code=CODES[answer.verdict],
        reason=answer.reason,
        kind=answer.kind,
        mw=answer.mw,
        applied_mw=answer.applied_mw,
        valid_until_ns=answer.valid_until_ns,
        target=answer.target,
        signature_ok=not answer.sender.startswith(UNSIGNED),
        reason_code=answer.code,
        area=answer.area,
        name=names.get(answer.target, answer.target),
        words=answer.words,
        priority=answer.priority,
        issued_ns=answer.issued_ns,
        valid_from_ns=answer.valid_from_ns,
        decide_until_ns=answer.decide_until_ns,
        decided_by=answer.decided_by,
    )


def reply_of(answer: Answer) -> pb.DispatchReply:
    """The reply to the sender of an order."""
    return pb.DispatchReply(
        code=CODES[answer.verdict],
        reason=answer.reason,
        applied_mw=answer.applied_mw,
        order_id=answer.order_id,
        time_ns=answer.received_ns,
        version=answer.version,
        day=answer.day,
        findings=[shown_finding(one) for one in answer.findings],
        reason_code=answer.code,
        decided_by=answer.decided_by,
        first_code=CODES[answer.first] if answer.first is not None else pb.DISPATCH_CODE_UNSPECIFIED,
    )


def shown_finding(finding: PointFinding) -> pb.PointFinding:
    """What is said of a point."""
    return pb.PointFinding(
        time_ns=finding.time_ns,
        code=finding.code,
        asked_mw=finding.asked_mw,
        applied_mw=finding.applied_mw,
        reason=finding.reason,
    )


def schedule_info(version: PlanVersion, name: str, versions: int) -> pb.ScheduleInfo:
    """A version without its points.

    Args:
        version: the version.
        name: of its target, for people.
        versions: how many the day has.
    """
    return pb.ScheduleInfo(
        target=version.target,
        name=name,
        day=f"{version.day}",
        version=version.number,
        versions=versions,
        kind=version.kind,
        sender=version.sender,
        received_ns=version.received_ns,
        reason=version.reason,
        based_on=version.based_on,
        digest=version.digest,
        order_id=version.order_id,
        points=len(version.points),
        first_ns=version.points[0].time_ns,
        last_ns=version.points[-1].time_ns,
        issued_ns=version.issued_ns,
    )
