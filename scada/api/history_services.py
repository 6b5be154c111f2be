"""The service History: samples, periods, late values and how the history stands."""

from __future__ import annotations

from collections.abc import Iterable

from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.faults import malformed
from scada.api.gate import Gate, Method
from scada.api.responsibility import check_points
from scada.control.records import Principal

LATE_VALUES = 20_000
"""Values of one backfill: the signed envelope is kept in the audit log."""


class HistoryServices:
    """Methods of the service History, in the order of the proto file.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def query(self, request: pb.HistoryRequest, principal: Principal) -> pb.HistoryReply:
        """Samples, min/max buckets, or aggregates by period."""
        del principal
        if not request.pids or request.to_ns <= request.from_ns:
            raise malformed("a history query needs points and a span that ends after it starts")
        if request.period_s % 60:
            raise malformed(f"a period of {request.period_s} s is no multiple of 60 s")
        if request.period_s and request.buckets:
            raise malformed("a history query asks for buckets or for a period, not for both")
        self._check_known(request.pids)
        return await self._backend.history(request)

    async def backfill(self, request: pb.BackfillRequest, principal: Principal, evidence: bytes) -> pb.BackfillReply:
        """Late values under their own time stamps."""
        if not request.source or not request.reason:
            raise malformed("a backfill says where its values come from (source) and why (reason)")
        if sum(len(one.time_ns) for one in request.points) > LATE_VALUES:
            raise malformed(f"a backfill takes at most {LATE_VALUES} values; send several")
        for one in request.points:
            if not len(one.time_ns) == len(one.value) == len(one.quality):
                raise malformed(f"the columns of point {one.pid} differ in length")
        pids = [one.pid for one in request.points]
        self._check_known(pids)
        check_points(pids, principal, self._backend.tables)
        return await self._backend.backfill(request, principal, evidence)

    async def status(self, request: pb.HistoryStatusRequest, principal: Principal) -> pb.HistoryStatus:
        """How the history stands."""
        del request, principal
        return await self._backend.history_status()

    def _check_known(self, pids: Iterable[int]) -> None:
        points = len(self._backend.tables.points)
        for pid in pids:
            if pid >= points:
                raise malformed(f"point {pid} is not in the model (it has {points})")

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers; late values come in bulk, so they must not crowd the control server."""
        return (
            gate.query("History/Query", pb.HistoryRequest, self.query),
            gate.order("History/Backfill", pb.BackfillRequest, self.backfill),
            gate.query("History/GetHistoryStatus", pb.HistoryStatusRequest, self.status),
        )
