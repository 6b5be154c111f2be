"""The service Events: alarms, their suppression, the event log, alarm figures and disturbance recall."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api import messages
from scada.api.event_feed import EventFeed
from scada.api.faults import CallError, malformed
from scada.api.gate import Gate, Method
from scada.api.recall_parts import recall_parts
from scada.api.responsibility import check_acknowledge, check_alarms
from scada.control.records import Principal
from scada.core.errors import ScadaError
from scada.events.records import Alarm
from scada.security.audit import AuditRow
from scada.security.audit_statements import acknowledged

EVENTS_PER_CALL = 10_000
ALARMS_PER_ORDER = 1000
RECALL_S = 3600
"""Longest time before or after that one recall shows."""


class EventServices:
    """Methods of the service Events, in the order of the proto file.

    Args:
        backend: the running server.
        feed: source of the event stream.
    """

    def __init__(self, backend: Backend, feed: EventFeed) -> None:
        self._backend = backend
        self._feed = feed
        self._encoded: dict[int, tuple[Alarm, bytes]] = {}

    # ------------------------------------------------------------------ reading

    async def list_alarms(self, request: pb.ListAlarmsRequest, principal: Principal) -> bytes:
        """Present alarms and the event id from which to follow: an ``AlarmList``, of which only what is new is encoded anew."""
        del request, principal
        alarms, last = self._backend.alarms()
        kept, self._encoded = self._encoded, {}
        for alarm in alarms:
            known = kept.get(alarm.alarm_id)
            if known is None or known[0] is not alarm:
                # lists of one: protobuf messages are joined by joining their bytes
                known = alarm, pb.AlarmList(alarms=[messages.alarm_info(alarm)]).SerializeToString()
            self._encoded[alarm.alarm_id] = known
        suppressed = sum(one.active for one in self._backend.suppressions())
        rest = pb.AlarmList(last_event_id=last, suppressed=suppressed).SerializeToString()
        return b"".join([*(body for _, body in self._encoded.values()), rest])

    async def list_events(self, request: pb.ListEventsRequest, principal: Principal) -> pb.EventList:
        """Stored events."""
        del principal
        found = await self._backend.events_page(request, min(request.limit or 1000, EVENTS_PER_CALL))
        last = max((event.event_id for event in found), default=request.after_id)
        return pb.EventList(events=[messages.event_info(event) for event in found], last_event_id=last)

    async def list_suppressed(self, request: pb.ListSuppressedRequest, principal: Principal) -> pb.SuppressionList:
        """Alarms that are shelved, suppressed by design, out of service or inhibited by a tag."""
        del request, principal
        return pb.SuppressionList(suppressions=[messages.suppression_info(one) for one in self._backend.suppressions()])

    async def get_alarm_kpi(self, request: pb.AlarmKpiRequest, principal: Principal) -> pb.AlarmKpi:
        """Figures of a span; an end of 0 is now."""
        del principal
        if request.to_ns and request.to_ns <= request.from_ns:
            raise malformed("the span must end after it starts")
        return await self._backend.alarm_kpi(request)

    async def list_recalls(self, request: pb.ListRecallsRequest, principal: Principal) -> pb.RecallList:
        """Disturbances that were captured by themselves, newest first."""
        del request, principal
        return pb.RecallList(recalls=[messages.recall_info(info) for info in await self._backend.recalls()])

    async def recall(self, request: pb.RecallRequest, principal: Principal) -> AsyncGenerator[pb.RecallPart, None]:
        """Everything around a time."""
        del principal
        if not request.at_ns or not request.before_s + request.after_s:
            raise malformed("a recall needs a time and how much before or after it")
        if max(request.before_s, request.after_s) > RECALL_S:
            raise malformed(f"a recall shows at most {RECALL_S} s before and after")
        if any(pid >= len(self._backend.tables.points) for pid in request.pids):
            raise malformed("a recall names a point that is not in the model")
        if request.station and all(point.station != request.station for point in self._backend.tables.points):
            raise malformed("a recall names a station that has no point in the model")
        for part in recall_parts(await self._backend.recall(request)):
            yield part

    # ------------------------------------------------------------------ orders

    async def acknowledge(self, request: pb.AcknowledgeRequest, principal: Principal, evidence: bytes) -> pb.AcknowledgeReply:
        """Acknowledge exactly the ids sent; audited before it acts."""
        judged = check_acknowledge(request, principal, self._backend)
        if judged:
            try:
                await asyncio.to_thread(self._backend.record, _row(request, principal, evidence))
            except ScadaError as error:
                what = "the audit log cannot be written, so nothing was acknowledged"
                raise CallError(grpc.StatusCode.FAILED_PRECONDITION, "audit_failed", what) from error
        done, _ = await self._backend.acknowledge(judged, principal, seen=request.last_event_id)
        acknowledged = dict.fromkeys(done)
        unknown = [number for number in dict.fromkeys(request.alarm_ids) if number not in acknowledged]
        return pb.AcknowledgeReply(acknowledged=acknowledged, unknown=unknown)

    async def shelve(self, request: pb.ShelveRequest, principal: Principal, evidence: bytes) -> pb.AlarmReply:
        """Put alarms aside for a time."""
        self._check_named(request, principal)
        return await self._backend.suppress(request, principal, evidence)

    async def unshelve(self, request: pb.UnshelveRequest, principal: Principal, evidence: bytes) -> pb.AlarmReply:
        """Take shelved alarms back."""
        self._check_named(request, principal)
        return await self._backend.suppress(request, principal, evidence)

    async def set_alarm_service(self, request: pb.AlarmServiceRequest, principal: Principal, evidence: bytes) -> pb.AlarmReply:
        """Take alarms out of service, or back."""
        self._check_named(request, principal)
        return await self._backend.suppress(request, principal, evidence)

    def _check_named(self, request: pb.ShelveRequest | pb.UnshelveRequest | pb.AlarmServiceRequest, principal: Principal) -> None:
        if not request.alarms:
            raise malformed("no alarm is named")
        if len(request.alarms) > ALARMS_PER_ORDER:
            raise malformed(f"at most {ALARMS_PER_ORDER} alarms can be named at a time")
        check_alarms(request.alarms, principal, self._backend.tables)

    # ------------------------------------------------------------------ tables

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Events/ListAlarms", pb.ListAlarmsRequest, self.list_alarms),
            gate.query("Events/ListEvents", pb.ListEventsRequest, self.list_events),
            gate.follow("Events/Subscribe", pb.EventsSubscribeRequest, self._feed.follow),
            gate.query("Events/ListSuppressed", pb.ListSuppressedRequest, self.list_suppressed),
            gate.query("Events/GetAlarmKpi", pb.AlarmKpiRequest, self.get_alarm_kpi),
            gate.follow("Events/Recall", pb.RecallRequest, self.recall),
            gate.query("Events/ListRecalls", pb.ListRecallsRequest, self.list_recalls),
            *self.orders(gate),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """Signed methods, offered by both servers."""
        return (
            gate.order("Events/Acknowledge", pb.AcknowledgeRequest, self.acknowledge),
            gate.order("Events/Shelve", pb.ShelveRequest, self.shelve),
            gate.order("Events/Unshelve", pb.UnshelveRequest, self.unshelve),
            gate.order("Events/SetAlarmService", pb.AlarmServiceRequest, self.set_alarm_service),
        )


def _row(request: pb.AcknowledgeRequest, principal: Principal, evidence: bytes) -> AuditRow:
    return AuditRow(
        "acknowledge",
        "acknowledge",
        principal.name,
        principal.station,
        principal.session,
        path=acknowledged(request),
        value=float(len(request.alarm_ids)),
        evidence=evidence,
    )
