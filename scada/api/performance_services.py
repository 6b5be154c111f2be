"""Performance of regulation on the wire: rows for a page, and reports as files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import grpc
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend
from scada.api.engineering_services import CHUNK
from scada.api.faults import CallError, malformed
from scada.api.gate import Gate, Method
from scada.api.performance_csv import report_csv
from scada.api.performance_html import report_html
from scada.api.texts import LANGUAGES
from scada.apps.agc_avc.performance.periods import PeriodError
from scada.control.records import Principal
from scada.core.errors import ConfigError

FORMATS = {"html": report_html, "csv": report_csv}
"""How a report is written."""


class PerformanceServices:
    """Two methods of the service Regulation.

    Args:
        backend: the running server.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get_performance(self, request: pb.PerformanceRequest, principal: Principal) -> pb.PerformanceReply:
        """Indices by minute, hour, day or month; with the units where asked for."""
        del principal
        try:
            return await self._backend.performance.reply(request)
        except (PeriodError, ConfigError) as error:
            raise _refused(error) from error

    async def get_report(self, request: pb.PerformanceReportRequest, principal: Principal) -> AsyncGenerator[pb.FileChunk, None]:
        """A report as a file."""
        del principal
        write, language = FORMATS.get(request.format), request.language or "en"
        if write is None or language not in LANGUAGES:
            raise malformed(f"a report is one of {', '.join(FORMATS)} in one of {', '.join(LANGUAGES)}")
        try:
            report = await self._backend.performance.report(request.what)
        except (PeriodError, ConfigError) as error:
            raise _refused(error) from error
        data = await asyncio.to_thread(write, report, language)
        for at in range(0, len(data), CHUNK):
            yield pb.FileChunk(data=data[at : at + CHUNK])

    def view_methods(self, gate: Gate) -> tuple[Method, ...]:
        """What the view server offers."""
        return (
            gate.query("Regulation/GetPerformance", pb.PerformanceRequest, self.get_performance),
            gate.follow("Regulation/GetReport", pb.PerformanceReportRequest, self.get_report),
        )


def _refused(error: PeriodError | ConfigError) -> CallError:
    return CallError(grpc.StatusCode.INVALID_ARGUMENT, "malformed", error.what, mend=error.mend)
