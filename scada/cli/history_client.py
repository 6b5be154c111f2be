"""The history of a server page by page: what the ``scada history`` commands share."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import click
import numpy as np
from scadapb.v1 import scada_pb2 as pb

from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError
from scada.history.exchange import PERIOD_VALUES, Page, parse_time

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

CALL_S: Final = 60.0
"""Longest wait for a page."""
PERIODS_A_PAGE: Final = 10_000
_AGO: Final = re.compile(r"-(\d+(?:\.\d+)?)([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class LocalZone(tzinfo):
    """The host's zone with its changes of summer time, which a fixed offset would lose."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Offset of a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _: datetime | None) -> None:
        """Not told."""

    def tzname(self, _: datetime | None) -> str:
        """Its name."""
        return "local"

    def fromutc(self, moment: datetime) -> datetime:
        """Local time of a UTC time that carries this zone."""
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


async def server_time(client: ScadaClient) -> int:
    """Present time of the server, ns UTC."""
    status: pb.SystemStatus = await client.call("Realtime/GetStatus", pb.GetStatusRequest())
    return int(status.time_ns)


def moment(text: str, now_ns: int, option: str) -> int:
    """A time that a person gave: ``now``, ``-2h`` (s, m, h, d, w ago), or ISO 8601; without an offset it is local time.

    Raises:
        click.BadParameter: it is none of these.

    >>> moment("-90m", 5_400_000_000_001, "--from")
    1
    """
    if text == "now":
        return now_ns
    if ago := _AGO.fullmatch(text):
        return max(1, now_ns - round(float(ago[1]) * _SECONDS[ago[2]] * NS_PER_S))
    try:
        return parse_time(text, LocalZone())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error


async def find_points(client: ScadaClient, wanted: Sequence[str]) -> list[pb.PointInfo]:
    """Points by path, mRID, or a pattern of paths with ``*`` and ``?``; each once, in the order asked for.

    Raises:
        ScadaError: one of them is not in the model.
    """
    found: dict[int, pb.PointInfo] = {}
    for text in wanted:
        # the longest part without a wild-card: what the server may search for
        query = max(re.split(r"[*?\[\]]", text), key=len)
        listed = await client.call("Model/ListPoints", pb.ListPointsRequest(query=query))
        exact = [point for point in listed.points if text in (point.path, point.mrid)]
        matching = exact or [point for point in listed.points if query != text and fnmatchcase(point.path, text)]
        if not matching:
            raise ScadaError(f"the model has no point {text!r}", mend="see `scada ctl points --query`")
        found.update({point.pid: point for point in matching})
    return list(found.values())


async def sample_pages(client: ScadaClient, point: pb.PointInfo, from_ns: int, to_ns: int) -> AsyncGenerator[Page, None]:
    """Every sample of a point in a span, however many there are."""
    start, given = from_ns, 0
    while True:
        request = pb.HistoryRequest(pids=[point.pid], from_ns=start, to_ns=to_ns)
        series = (await client.call("History/Query", request, timeout_s=CALL_S)).series[0]
        times = np.array(series.time_ns, dtype=np.int64)
        values = {"value": np.array(series.value, dtype=np.float64)[given:]}
        yield _page(point, times[given:], values, np.array(series.quality, dtype=np.uint32)[given:])
        if not series.truncated:
            return
        last = int(times[-1])
        if last == start:
            raise ScadaError(f"more than {len(times)} samples at one time", where=point.path)
        # the next page begins with those of the last time again
        start, given = last, int(np.count_nonzero(times == last))


async def period_pages(
    client: ScadaClient, point: pb.PointInfo, from_ns: int, to_ns: int, period_s: int
) -> AsyncGenerator[Page, None]:
    """The statistics of every period that starts in a span and of which something is known."""
    step = PERIODS_A_PAGE * period_s * NS_PER_S
    for start in range(from_ns, to_ns, step):
        request = pb.HistoryRequest(pids=[point.pid], from_ns=start, to_ns=min(start + step, to_ns), period_s=period_s)
        series = (await client.call("History/Query", request, timeout_s=CALL_S)).series[0]
        columns = {name: series.value if name == "last" else getattr(series, name) for name in PERIOD_VALUES}
        values = {name: np.array(columns[name], np.uint32 if name == "count" else np.float64) for name in columns}
        yield _page(point, np.array(series.time_ns, dtype=np.int64), values, np.array(series.quality, dtype=np.uint32))


def _page(point: pb.PointInfo, times: np.ndarray, values: dict[str, np.ndarray], quality: np.ndarray) -> Page:
    return Page(point.path, point.mrid, point.unit, times, values, quality)
