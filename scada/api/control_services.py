"""Controls: sequences with a guardian, raise and lower, modes; and what is under way."""

from __future__ import annotations

import math

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api import messages
from scada.api.faults import check_texts, malformed, not_found
from scada.api.gate import Gate, Method
from scada.api.responsibility import check_mode
from scada.control.records import Principal

DIGEST_BYTES = 32
"""Of SM3."""


class ControlServices:
    """The methods of the service Control.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def select(self, request: pb.SelectRequest, principal: Principal, evidence: bytes) -> pb.ControlReply:
        """Preset and return at check-back."""
        if not (request.HasField("value") and math.isfinite(request.value)):
            raise malformed("the value of a control must be a finite number")
        check_texts(request.control, request.device_number, request.reason)
        return messages.control_reply(await self._backend.select(request, principal, evidence))

    async def confirm(self, request: pb.ConfirmRequest, principal: Principal, evidence: bytes) -> pb.ControlReply:
        """The guardian's word on a selection."""
        if not request.refuse and len(request.select_digest) != DIGEST_BYTES:
            raise malformed("a confirmation names the selection by the SM3 of its envelope, 32 bytes")
        if not math.isfinite(request.value):
            raise malformed("the value of a control must be a finite number")
        check_texts(request.sequence_id, request.control, request.device_number, request.reason)
        return messages.control_reply(await self._backend.confirm_control(request, principal, evidence))

    async def execute(self, request: pb.ExecuteRequest, principal: Principal, evidence: bytes) -> pb.ControlReply:
        """Operate and return with the feedback."""
        check_texts(request.sequence_id)
        return messages.control_reply(await self._backend.execute(request, principal, evidence))

    async def cancel(self, request: pb.CancelRequest, principal: Principal, evidence: bytes) -> pb.ControlReply:
        """Withdraw a sequence."""
        check_texts(request.sequence_id, request.reason)
        return messages.control_reply(await self._backend.cancel(request, principal, evidence))

    async def adjust(self, request: pb.AdjustRequest, principal: Principal, evidence: bytes) -> pb.ControlReply:
        """Raise or lower, and return with the result."""
        if not (math.isfinite(request.amount) and request.amount >= 0):
            raise malformed("by how much a set-point moves is a finite number, not below 0")
        check_texts(request.control, request.device_number)
        return messages.control_reply(await self._backend.adjust(request, principal, evidence))

    async def set_mode(self, request: pb.SetModeRequest, principal: Principal, evidence: bytes) -> pb.ModeReply:
        """AGC, AVC, unit and channel modes."""
        if request.WhichOneof("target") is None:
            raise malformed("the mode change names no target")
        if not (math.isfinite(request.loop.test_value) and math.isfinite(request.unit.base_point_mw)):
            raise malformed("a test value and a base point are finite numbers")
        unit, loop = request.unit, request.loop
        texts = (request.agc, request.avc, request.control_mode, request.area, request.unlock, request.benchmarks.unit)
        check_texts(*texts, unit.unit, unit.base_mode, unit.reg_mode, loop.mrid, loop.loop, *request.benchmarks.members)
        check_mode(request, principal, self._backend.tables)
        return messages.mode_reply(await self._backend.set_mode(request, principal, evidence))

    async def list_sequences(self, request: pb.ListSequencesRequest, principal: Principal) -> pb.SequenceList:
        """Sequences under way, and the last that ended if asked."""
        del principal
        found = await self._backend.sequences(request.station, ended=request.ended)
        return pb.SequenceList(sequences=[messages.sequence_info(view) for view in found], time_ns=self._backend.clock.now_ns())

    async def check_interlocks(self, request: pb.InterlockQuery, principal: Principal) -> pb.InterlockReport:
        """What forbids a control now and why, without selecting it."""
        del principal
        if not (request.HasField("value") and math.isfinite(request.value)):
            raise malformed("the value of a control must be a finite number")
        if request.control not in self._backend.tables.control_by_mrid:
            raise not_found(f"the model has no control {request.control!r}", mend="see Model/ListControls")
        found, remark = await self._backend.check_interlocks(request.control, request.value)
        return pb.InterlockReport(findings=[messages.interlock_finding(finding) for finding in found], remark=remark)

    def queries(self, gate: Gate) -> tuple[Method, ...]:
        """What both servers offer."""
        return (
            gate.query("Control/ListSequences", pb.ListSequencesRequest, self.list_sequences),
            gate.query("Control/CheckInterlocks", pb.InterlockQuery, self.check_interlocks),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """What the control server offers."""
        return (
            gate.order("Control/Select", pb.SelectRequest, self.select),
            gate.order("Control/Confirm", pb.ConfirmRequest, self.confirm),
            gate.order("Control/Execute", pb.ExecuteRequest, self.execute),
            gate.order("Control/Cancel", pb.CancelRequest, self.cancel),
            gate.order("Control/Adjust", pb.AdjustRequest, self.adjust),
            gate.order("Control/SetMode", pb.SetModeRequest, self.set_mode),
            *self.queries(gate),
        )
