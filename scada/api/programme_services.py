"""The service Programmes: versions of programmes, their runs, and the orders to them."""

from __future__ import annotations

import math

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import check_texts, malformed, not_found
from scada.api.gate import Gate, Method
from scada.control.programmes import MOST_STEPS, Kind
from scada.control.records import Principal

_KINDS = tuple(kind.value for kind in Kind)


class ProgrammeServices:
    """The methods of the service, in the order of the proto file.

    Rights and areas are judged by the desk of programmes, which knows every control; a guardian's too.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def list_programmes(self, request: pb.ListProgrammesRequest, principal: Principal) -> pb.ProgrammeList:
        """The newest version of each."""
        del principal
        found: pb.ProgrammeList = await self._backend.programmes(request)
        return found

    async def get_programme(self, request: pb.GetProgrammeRequest, principal: Principal) -> pb.Programme:
        """One version, with what is wrong with each step now."""
        del principal
        found: pb.Programme | None = await self._backend.programmes(request)
        if found is None:
            wanted = f"version {request.version} of the programme" if request.version else "programme"
            raise not_found(f"there is no {wanted} {request.name!r}", "scada ctl programme list shows what there is")
        return found

    async def list_runs(self, request: pb.ListRunsRequest, principal: Principal) -> pb.RunList:
        """Runs under way, and those that ended."""
        del principal
        found: pb.RunList = await self._backend.programmes(request)
        return found

    async def save(self, request: pb.SaveProgrammeRequest, principal: Principal, evidence: bytes) -> pb.ProgrammeReply:
        """Keep another version, or remove the programme."""
        asked = request.programme
        if not request.remove and asked.kind not in _KINDS:
            raise malformed(f"the kind of a programme is {' or '.join(_KINDS)}")
        if len(asked.steps) > MOST_STEPS:
            raise malformed(f"a programme has at most {MOST_STEPS} steps")
        if not all(math.isfinite(each) for step in asked.steps for each in (step.value, step.timeout_s, step.pause_s)):
            raise malformed("a programme has finite numbers only")
        check_texts(asked.name, asked.title, request.reason, *(text for one in asked.steps for text in (one.control, one.note)))
        return await self._backend.programme_order(request, principal, evidence)

    async def start(self, request: pb.StartProgrammeRequest, principal: Principal, evidence: bytes) -> pb.ProgrammeReply:
        """Begin a run of the version that was seen."""
        if not math.isfinite(request.wait_s):
            raise malformed("the wait for a condition must be a finite number")
        check_texts(request.name, request.reason)
        return await self._backend.programme_order(request, principal, evidence)

    async def confirm(self, request: pb.ConfirmProgrammeRequest, principal: Principal, evidence: bytes) -> pb.ProgrammeReply:
        """The second person's word on a whole run."""
        check_texts(request.run, request.reason)
        return await self._backend.programme_order(request, principal, evidence)

    async def command(self, request: pb.ProgrammeCommand, principal: Principal, evidence: bytes) -> pb.ProgrammeReply:
        """Pause, resume, step, stop."""
        check_texts(request.run, request.action, request.reason)
        return await self._backend.programme_order(request, principal, evidence)

    def queries(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers, and the control server too: who confirms looks where he signs."""
        return (
            gate.query("Programmes/ListProgrammes", pb.ListProgrammesRequest, self.list_programmes),
            gate.query("Programmes/GetProgramme", pb.GetProgrammeRequest, self.get_programme),
            gate.query("Programmes/ListRuns", pb.ListRunsRequest, self.list_runs),
        )

    def orders(self, gate: Gate) -> tuple[Method, ...]:
        """What the control server offers."""
        return (
            gate.order("Programmes/Save", pb.SaveProgrammeRequest, self.save),
            gate.order("Programmes/Start", pb.StartProgrammeRequest, self.start),
            gate.order("Programmes/Confirm", pb.ConfirmProgrammeRequest, self.confirm),
            gate.order("Programmes/Command", pb.ProgrammeCommand, self.command),
            *self.queries(gate),
        )
