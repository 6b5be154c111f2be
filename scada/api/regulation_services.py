"""AGC and AVC on the wire: their status, and why an output is what it is."""

from __future__ import annotations

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import malformed, not_found
from scada.api.gate import Gate, Method
from scada.control.records import Principal
from scada.core.clock import NS_PER_S

MOST_NS = 24 * 3600 * NS_PER_S
"""Longest span of a what-if."""


class RegulationServices:
    """Status of AGC and AVC.

    Args:
        backend: answers.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get_agc(self, request: pb.GetAgcRequest, principal: Principal) -> pb.AgcStatus:
        """AGC of an area as of its last cycle."""
        del principal
        if request.area and not any(area.controlled and area.name == request.area for area in self._backend.tables.areas):
            raise not_found(f"no controlled area {request.area!r}", "see `scada ctl agc` for their names")
        return self._backend.agc(request.area)

    async def get_avc(self, request: pb.GetAvcRequest, principal: Principal) -> pb.AvcStatus:
        """AVC as of its last cycle."""
        del request, principal
        return self._backend.avc()

    async def explain(self, request: pb.ExplainRequest, principal: Principal) -> pb.Explanation:
        """Why a unit, source or device was told what it was told."""
        del principal
        found = await self._backend.explain(request.mrid)
        if found is None:
            raise not_found(f"{request.mrid!r} is neither under AGC nor under AVC", "take the mRID from their status")
        return found

    async def what_if(self, request: pb.WhatIfRequest, principal: Principal) -> pb.WhatIfReply:
        """Recorded cycles run again, with other parameters beside."""
        del principal
        if request.application not in {"agc", "avc"}:
            raise malformed("the application is agc or avc")
        if not 0 < request.to_ns - request.from_ns <= MOST_NS:
            raise malformed("a what-if needs a span of at most 24 h that ends after it starts")
        return await self._backend.what_if(request)

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Regulation/GetAgc", pb.GetAgcRequest, self.get_agc),
            gate.query("Regulation/GetAvc", pb.GetAvcRequest, self.get_avc),
            gate.query("Regulation/Explain", pb.ExplainRequest, self.explain),
            gate.query("Regulation/WhatIf", pb.WhatIfRequest, self.what_if),
        )
