"""Rows of a file on their way into the history of a server: checked, sent in pages, each refused one named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from scadapb.v1 import scada_pb2 as pb

from scada.cli.history_client import CALL_S, sample_pages, server_time
from scada.core.clock import NS_PER_S
from scada.history.exchange import BadRow, Row, is_parquet, read_csv
from scada.history.interface import MAX_AHEAD_NS, NOT_RECORDED

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

PAGE: Final = 10_000
"""Rows sent at once; a page is well below the largest message of a server."""
KEPT: Final = 1000
"""Refusals kept to be named."""
DAY_NS: Final = 86_400 * NS_PER_S


def read_file(path: Path) -> Iterator[Row | BadRow]:
    """The rows of a file of samples, CSV or Parquet.

    Raises:
        FileError: it cannot be read.
        ConfigError: it is Parquet and pyarrow is not installed.
    """
    if not is_parquet(path):
        return read_csv(path)
    from scada.history.parquet import read_parquet

    return read_parquet(path)


@dataclass(slots=True)
class Import:
    """One import and how far it is.

    Attributes:
        source, reason: go to the server with each page.
        dry_run: ask the server what it has instead of sending.
        stored, known, refused: rows.
        gaps: rows at which a gap begins; there is nothing to store of them.
        refusals: line and reason of the first refused rows.
    """

    client: ScadaClient
    source: str
    reason: str
    dry_run: bool
    stored: int = 0
    known: int = 0
    refused: int = 0
    gaps: int = 0
    refusals: list[tuple[int, str]] = field(default_factory=list)
    _pids: dict[str, int] = field(default_factory=dict)
    _latest_ns: int = 0
    _oldest_ns: int = 0

    async def run(self, rows: Iterator[Row | BadRow]) -> None:
        """Take all rows in.

        Raises:
            CallError: the server does not answer or refuses us; what was sent before is stored, and the same file may be sent
                again.
            FileError: the file cannot be read further.
        """
        await self._limits()
        page: list[Row] = []
        for row in rows:
            if isinstance(row, BadRow):
                self._refuse([row.line], row.reason)
            elif row.quality == NOT_RECORDED and math.isnan(row.value):
                self.gaps += 1
            elif reason := await self._fault(row):
                self._refuse([row.line], reason)
            else:
                page.append(row)
                if len(page) == PAGE:
                    await self._take(page)
                    page = []
        if page:
            await self._take(page)

    async def _limits(self) -> None:
        now = await server_time(self.client)
        status: pb.HistoryStatus = await self.client.call("History/GetHistoryStatus", pb.HistoryStatusRequest(), timeout_s=CALL_S)
        self._latest_ns = now + MAX_AHEAD_NS
        self._oldest_ns = now - status.raw_days * DAY_NS if status.raw_days else 0

    async def _fault(self, row: Row) -> str:
        """Why the server would refuse a row, as far as is known here; empty if it would not."""
        pid = await self._pid(row.point)
        if pid < 0:
            return f"the model has no point {row.point!r}"
        if row.time_ns > self._latest_ns:
            return "its time is in the future"
        return "it is older than samples are kept" if row.time_ns < self._oldest_ns else ""

    async def _pid(self, name: str) -> int:
        if name not in self._pids:
            listed: pb.PointList = await self.client.call("Model/ListPoints", pb.ListPointsRequest(query=name))
            exact = [point.pid for point in listed.points if name in (point.mrid, point.path)]
            self._pids[name] = exact[0] if len(exact) == 1 else -1
        return self._pids[name]

    def _refuse(self, lines: Sequence[int], reason: str) -> None:
        self.refused += len(lines)
        room = max(0, KEPT - len(self.refusals))
        self.refusals += [(line, reason) for line in lines[:room]]

    async def _take(self, page: Sequence[Row]) -> None:
        if self.dry_run:
            await self._compare(page)
            return
        reply = await self._send(page)
        self.stored += reply.stored
        self.known += reply.known
        if reply.refused:
            await self._name_refused(page, reply)

    async def _send(self, page: Sequence[Row]) -> pb.BackfillReply:
        columns: dict[int, pb.BackfillColumns] = {}
        for row in page:
            pid = self._pids[row.point]
            one = columns.setdefault(pid, pb.BackfillColumns(pid=pid))
            one.time_ns.append(row.time_ns)
            one.value.append(row.value)
            one.quality.append(row.quality)
        request = pb.BackfillRequest(points=columns.values(), source=self.source, reason=self.reason)
        reply: pb.BackfillReply = await self.client.signed("History/Backfill", request)
        return reply

    async def _name_refused(self, page: Sequence[Row], reply: pb.BackfillReply) -> None:
        """Find the refused rows of a page by halving it: what was stored meanwhile is known when it is sent again."""
        if reply.refused == len(page):
            self._refuse([row.line for row in page], reply.reason)
            return
        for part in (page[: len(page) // 2], page[len(page) // 2 :]):
            again = await self._send(part)
            if again.refused:
                await self._name_refused(part, again)

    async def _compare(self, page: Sequence[Row]) -> None:
        """Count what the server would store and what it has."""
        by_point: dict[str, list[Row]] = {}
        for row in page:
            by_point.setdefault(row.point, []).append(row)
        for name, rows in by_point.items():
            point = pb.PointInfo(pid=self._pids[name], path=name)
            first, last = min(row.time_ns for row in rows), max(row.time_ns for row in rows)
            wanted = {_identity(row.time_ns, row.value, row.quality) for row in rows}
            found: set[tuple[int, str, int]] = set()
            async for have in sample_pages(self.client, point, first, last + 1):
                columns = zip(have.time_ns.tolist(), have.values["value"].tolist(), have.quality.tolist(), strict=True)
                found |= wanted.intersection(_identity(*columns_of) for columns_of in columns)
            self.stored += len(wanted - found)
            self.known += len(rows) - len(wanted - found)


def _identity(time_ns: int, value: float, quality: int) -> tuple[int, str, int]:
    """What makes two samples of a point the same; a value that is not known equals another such."""
    return time_ns, repr(value), quality
