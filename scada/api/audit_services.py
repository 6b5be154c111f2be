"""The audit log on the wire: pages, exports, the newest signed checkpoint and proofs. Reading it is a right of its own."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.audit_desk import LONGEST_PAGE
from scada.actors.backend import Backend
from scada.api.engineering_services import CHUNK
from scada.api.faults import CallError, check_texts, malformed, not_found
from scada.api.gate import Gate, Method
from scada.control.records import Principal
from scada.core.errors import ScadaError
from scada.security.audit_chain import AuditRow

FORMATS = ("jsonl", "csv")
_MOST_KINDS = 32


class AuditServices:
    """The methods of the service Audit.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def query(self, request: pb.AuditQuery, principal: Principal) -> pb.AuditPage:
        """The newest wanted records."""
        del principal
        _check(request)
        if request.limit > LONGEST_PAGE:
            raise malformed(f"a page has at most {LONGEST_PAGE} records")
        return await self._backend.audit.query(request)

    async def export(self, request: pb.AuditExportRequest, principal: Principal) -> AsyncGenerator[pb.FileChunk, None]:
        """All wanted records as a file; who took it is audited."""
        _check(request.query)
        form = request.format or FORMATS[0]
        if form not in FORMATS:
            raise malformed(f"an export is one of {', '.join(FORMATS)}")
        row = AuditRow("security", "audit_export", principal.name, principal.station, principal.session, code=form)
        await self._backend.audit.store(row)
        async for part in self._backend.audit.export(request.query, form):
            for at in range(0, len(part), CHUNK):
                yield pb.FileChunk(data=part[at : at + CHUNK])

    async def get_checkpoint(self, request: pb.CheckpointRequest, principal: Principal) -> pb.AuditCheckpoint:
        """The newest checkpoint, for a witness."""
        del principal
        try:
            found = await self._backend.audit.checkpoint(request.since)
        except ScadaError as error:
            raise CallError(grpc.StatusCode.FAILED_PRECONDITION, "inconsistent", str(error)) from error
        if found is None:
            raise not_found("there is no signed checkpoint yet", mend="one is made with the first records and every hour")
        return found

    async def prove(self, request: pb.AuditProofRequest, principal: Principal) -> pb.AuditProof:
        """That a record is under the newest checkpoint."""
        del principal
        try:
            return await self._backend.audit.prove(request.record)
        except ScadaError as error:
            raise CallError(grpc.StatusCode.FAILED_PRECONDITION, "not_proven", str(error)) from error

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Audit/Query", pb.AuditQuery, self.query),
            gate.follow("Audit/Export", pb.AuditExportRequest, self.export),
            gate.query("Audit/GetCheckpoint", pb.CheckpointRequest, self.get_checkpoint),
            gate.query("Audit/Prove", pb.AuditProofRequest, self.prove),
        )


def _check(request: pb.AuditQuery) -> None:
    check_texts(request.actor, request.object, request.code, request.text, request.sequence_id, *request.kinds)
    if len(request.kinds) > _MOST_KINDS:
        raise malformed(f"a query names at most {_MOST_KINDS} kinds")
