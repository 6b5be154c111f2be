"""Orders and plans of upstream dispatch."""

from __future__ import annotations

import math

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import check_texts, malformed, not_found
from scada.api.gate import Gate, Method
from scada.api.responsibility import check_dispatch, check_edit
from scada.control.records import Principal


class DispatchServices:
    """The methods of the service Dispatch.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def send_setpoint(self, request: pb.AreaSetpoint, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream set-point of an area's net interchange."""
        if not math.isfinite(request.interchange_mw):
            raise malformed("the set-point must be a finite number")
        check_texts(request.order_id, request.area, request.unit)
        check_dispatch(request, principal, self._backend.tables)
        return await self._backend.dispatch_setpoint(request, principal, evidence)

    async def send_schedule(self, request: pb.Schedule, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream schedule of an area or a unit."""
        if not request.mw or not all(map(math.isfinite, request.mw)):
            raise malformed("a schedule needs at least one value, all of them finite numbers")
        check_texts(request.order_id, request.area, request.unit)
        check_dispatch(request, principal, self._backend.tables)
        return await self._backend.dispatch_schedule(request, principal, evidence)

    async def edit_schedule(self, request: pb.ScheduleEdit, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """A change of a plan by an operator."""
        if not all(map(math.isfinite, [request.range.mw, *(point.mw for point in request.points)])):
            raise malformed("an edit has finite numbers only")
        check_texts(request.order_id, request.area, request.unit, request.day, request.reason)
        check_edit(request, principal, self._backend.tables)
        return await self._backend.edit_schedule(request, principal, evidence)

    async def send_mode(self, request: pb.ModeOrder, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """A mode of AGC, AVC or a unit, or limits of a unit, for a time."""
        if not all(math.isfinite(getattr(request, name)) for name in ("minimum_mw", "maximum_mw") if request.HasField(name)):
            raise malformed("limits are finite numbers")
        check_texts(request.order_id, request.area, request.unit, request.target, request.mode)
        check_dispatch(request, principal, self._backend.tables)
        return await self._backend.dispatch_order(request, principal, evidence)

    async def withdraw_order(self, request: pb.WithdrawOrder, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """The dispatcher who sent an order takes it back."""
        check_texts(request.order_id, request.reason)
        return await self._backend.dispatch_order(request, principal, evidence)

    async def decide(self, request: pb.OrderDecision, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """An operator accepts or refuses an order that waits; the dispatch desk, which has it, judges the operator's areas."""
        check_texts(request.order_id, request.sender, request.reason)
        return await self._backend.dispatch_order(request, principal, evidence)

    async def get_order(self, request: pb.GetOrderRequest, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """What became of an order."""
        check_texts(request.order_id)
        return await self._backend.dispatch_order(request, principal, evidence)

    async def get_dispatch(self, request: pb.GetDispatchRequest, principal: Principal) -> pb.DispatchStatus:
        """What dispatch asked and what became of it."""
        del request
        self._backend.dispatch_heard(principal)
        return self._backend.dispatch()

    async def list_schedules(self, request: pb.ListSchedulesRequest, principal: Principal) -> pb.ScheduleList:
        """Versions of plans and what may have one."""
        del principal
        return await self._backend.list_schedules(request)

    async def get_schedule(self, request: pb.GetScheduleRequest, principal: Principal) -> pb.ScheduleVersion:
        """Points of a version."""
        del principal
        found = await self._backend.get_schedule(request)
        if found is None:
            wanted = f"version {request.version} of the plan" if request.version else "plan"
            raise not_found(
                f"there is no {wanted} of {request.target!r} for {request.day!r}", "scada dispatch list shows what there is"
            )
        return found

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Dispatch/GetDispatch", pb.GetDispatchRequest, self.get_dispatch),
            gate.query("Dispatch/ListSchedules", pb.ListSchedulesRequest, self.list_schedules),
            gate.query("Dispatch/GetSchedule", pb.GetScheduleRequest, self.get_schedule),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """What the control server offers."""
        return (
            gate.order("Dispatch/SendSetpoint", pb.AreaSetpoint, self.send_setpoint),
            gate.order("Dispatch/SendSchedule", pb.Schedule, self.send_schedule),
            gate.order("Dispatch/SendMode", pb.ModeOrder, self.send_mode),
            gate.order("Dispatch/WithdrawOrder", pb.WithdrawOrder, self.withdraw_order),
            gate.order("Dispatch/Decide", pb.OrderDecision, self.decide),
            gate.order("Dispatch/GetOrder", pb.GetOrderRequest, self.get_order),
            gate.order("Dispatch/EditSchedule", pb.ScheduleEdit, self.edit_schedule),
            gate.query("Dispatch/GetDispatch", pb.GetDispatchRequest, self.get_dispatch),
        )
