"""Answers what the faces ask of the accounts of regulation, in threads of its own: a month takes longer than a look."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

from scadapb.v1 import scada_pb2 as pb

from scada.actors.performance import reply_message
from scada.apps.agc_avc.performance.periods import PERIODS, PeriodError
from scada.apps.agc_avc.performance.report import Context, PerformanceReport, Wanted, gather
from scada.apps.agc_avc.performance.rules import RuleProfile
from scada.apps.agc_avc.performance.store import PerformanceReader
from scada.core.clock import Clock


class PerformanceDesk:
    """Reads the accounts.

    Args:
        reader: the accounts.
        profiles: rules by name.
        zone: of hours, days and months.
        length: minutes of a period of CPS2.
        clock: until when minutes may be missing.
    """

    def __init__(
        self, reader: PerformanceReader, profiles: Mapping[str, RuleProfile], zone: ZoneInfo, length: int, clock: Clock
    ) -> None:
        self._reader = reader
        self._profiles = profiles
        self._zone = zone
        self._length = length
        self._clock = clock
        self._threads = ThreadPoolExecutor(2, "performance")

    async def reply(self, request: pb.PerformanceRequest) -> pb.PerformanceReply:
        """Rows for a page.

        Raises:
            ScadaError: see :func:`~scada.apps.agc_avc.performance.report.gather`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._reply, request)

    async def report(self, request: pb.PerformanceRequest) -> PerformanceReport:
        """Everything of a report.

        Raises:
            ScadaError: see :func:`~scada.apps.agc_avc.performance.report.gather`.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._report, request)

    def _reply(self, request: pb.PerformanceRequest) -> pb.PerformanceReply:
        areas = [one.name for one in self._reader.areas()]
        return reply_message(self._report(request), areas, self._context())

    def _report(self, request: pb.PerformanceRequest) -> PerformanceReport:
        return gather(self._reader, wanted_of(request), self._context())

    def _context(self) -> Context:
        return Context(self._profiles, self._zone, self._length, self._clock.now_ns())


def wanted_of(request: pb.PerformanceRequest) -> Wanted:
    """What a request asks for.

    Raises:
        PeriodError: it names no known period.
    """
    period = next((one for one in PERIODS if one == request.period), None)
    if period is None:
        raise PeriodError(f"no period {request.period!r}", mend=f"one of {', '.join(PERIODS)}")
    return Wanted(request.area, request.from_ns, request.to_ns, period, request.profile, request.units)
