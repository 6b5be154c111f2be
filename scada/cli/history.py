"""``scada history``: what was recorded, for people and for files."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.history_client import CALL_S, find_points, moment, server_time
from scada.cli.history_files import FILES
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import json_number, number, point_value, quality_marks, table, time_text
from scada.core.errors import ScadaError
from scada.core.quality import BAD_MASK

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 72
"""Buckets of a spark-line."""


@click.group(name="history")
@link_options("engineer")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Recorded samples: ask for them, export and import them.

    Times are ISO 8601 (2026-11-21T13:00:00+08:00; without an offset local time), "now", or a time ago: -90s, -15m, -2h, -7d, -4w.
    """
    make_link(ctx, given)


for _command in FILES:
    command.add_command(_command)


@command.command()
@click.argument("path")
@click.option("--from", "since", default="-1h", show_default=True, help="Start.")
@click.option("--to", "until", default="now", show_default=True, help="End, excluded.")
@click.option("--period", type=click.IntRange(60), default=None, help="Statistics by periods of so many seconds (times 60).")
@click.option("--table", "as_table", is_flag=True, help="Every sample instead of a spark-line.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; unknown numbers are null.")
@pass_link
def query(link: Link, *, path: str, since: str, until: str, period: int | None, as_table: bool, as_json: bool) -> None:
    """One point over a span: a spark-line, every sample, or statistics by period."""
    buckets = 0 if as_table or as_json or period else WIDTH

    async def _work(client: ScadaClient) -> tuple[pb.PointInfo, pb.HistoryRequest, pb.HistorySeries]:
        (point, *more) = await find_points(client, [path])
        if more:
            raise ScadaError(f"{path!r} is more than one point", mend="`scada history export` takes several")
        now = await server_time(client)
        span = {"from_ns": moment(since, now, "--from"), "to_ns": moment(until, now, "--to")}
        request = pb.HistoryRequest(pids=[point.pid], **span, buckets=buckets, period_s=period or 0)
        series = (await client.call("History/Query", request, timeout_s=CALL_S)).series[0]
        return point, request, series

    point, request, series = link.run(_work)
    if as_json:
        click.echo(json.dumps(_json(point, request, series), ensure_ascii=False))
    elif period:
        _print_periods(link, point, series)
    elif as_table:
        _print_samples(link, point, series)
    else:
        _print_spark_line(link, point, request, series)
    if series.truncated:
        click.echo(link.text("ctl.history_truncated"), err=True)


def _json(point: pb.PointInfo, request: pb.HistoryRequest, series: pb.HistorySeries) -> dict[str, Any]:
    names = ["value"]
    if request.period_s:
        names += ["minimum", "maximum", "mean", "time_weighted", "count", "good_s"]
    rows = [
        {
            "time_ns": time_ns,
            **{name: json_number(getattr(series, name)[index]) for name in names},
            "quality": series.quality[index],
            "marks": quality_marks(series.quality[index]),
        }
        for index, time_ns in enumerate(series.time_ns)
    ]
    known = {"path": point.path, "mrid": point.mrid, "unit": point.unit, "from_ns": request.from_ns, "to_ns": request.to_ns}
    if series.has_before:
        known["before"] = {"value": json_number(series.before_value), "quality": series.before_quality}
    return {**known, "period_s": request.period_s, "rows": rows, "truncated": series.truncated}


def _print_samples(link: Link, point: pb.PointInfo, series: pb.HistorySeries) -> None:
    columns = zip(series.time_ns, series.value, series.quality, strict=True)
    rows = [[time_text(time), point_value(point, value, word), quality_marks(word)] for time, value, word in columns]
    click.echo(table(link.heads("time", "value", "quality"), rows) if rows else link.text("ctl.no_samples"))


def _print_periods(link: Link, point: pb.PointInfo, series: pb.HistorySeries) -> None:
    names = ("time_weighted", "minimum", "maximum", "value")
    rows = [
        [
            time_text(time_ns),
            *(number(getattr(series, name)[index]) for name in names),
            str(series.count[index]),
            f"{series.good_s[index]:g}",
            quality_marks(series.quality[index]),
        ]
        for index, time_ns in enumerate(series.time_ns)
    ]
    if not rows:
        click.echo(link.text("ctl.no_samples"))
        return
    click.echo(f"{point.path}  {point.unit}".rstrip())
    click.echo(table(link.heads("time", "average", "minimum", "maximum", "last", "count", "good_seconds", "quality"), rows))


def _print_spark_line(link: Link, point: pb.PointInfo, request: pb.HistoryRequest, series: pb.HistorySeries) -> None:
    if not series.time_ns and not series.has_before:
        click.echo(link.text("ctl.no_samples"))
        return
    good = [i for i, word in enumerate(series.quality) if not word & BAD_MASK]
    low = min((series.minimum[i] for i in good), default=math.nan)
    high = max((series.maximum[i] for i in good), default=math.nan)
    click.echo(f"{point.path}  {point.unit}".rstrip())
    click.echo(spark_line(request, series, low, high))
    click.echo(f"{time_text(request.from_ns)} .. {time_text(request.to_ns)}  {number(low)} .. {number(high)}")


def spark_line(request: pb.HistoryRequest, series: pb.HistorySeries, low: float, high: float) -> str:
    """One character a bucket: the height of its last value between ``low`` and ``high``; ``?`` bad, blank where nothing is known.

    A bucket without a sample shows the value still in force.
    """
    width = max(1, -(-(request.to_ns - request.from_ns) // request.buckets))
    drawn = {(time_ns - request.from_ns) // width: index for index, time_ns in enumerate(series.time_ns)}
    shown, carried = [], " "
    if series.has_before:
        carried = _bar(series.before_value, series.before_quality, low, high)
    for bucket in range(request.buckets):
        index = drawn.get(bucket)
        if index is not None:
            carried = _bar(series.value[index], series.quality[index], low, high)
        shown.append(carried)
    return "".join(shown).rstrip()


def _bar(value: float, quality: int, low: float, high: float) -> str:
    if math.isnan(value):
        return " "
    if quality & BAD_MASK:
        return "?"
    if math.isnan(low) or high <= low:
        return BARS[0]
    return BARS[min(len(BARS) - 1, max(0, int((value - low) / (high - low) * len(BARS))))]


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_link
def status(link: Link, *, as_json: bool) -> None:
    """How the history stands: where it is kept, since when, what waits, what was lost."""

    async def _work(client: ScadaClient) -> pb.HistoryStatus:
        found: pb.HistoryStatus = await client.call("History/GetHistoryStatus", pb.HistoryStatusRequest(), timeout_s=CALL_S)
        return found

    found = link.run(_work)
    if as_json:
        click.echo(json.dumps({field.name: getattr(found, field.name) for field in found.DESCRIPTOR.fields}, ensure_ascii=False))
        return
    oldest = time_text(found.oldest_ns) or "-"
    counts = {name: str(getattr(found, name)) for name in ("waiting", "lost", "backfilled", "damaged")}
    click.echo(
        link.text("history.status", backend=found.backend, oldest=oldest, mib=f"{found.stored_bytes / 2**20:.1f}", **counts)
    )
    days = {name: str(getattr(found, name)) if getattr(found, name) else "-" for name in ("raw_days", "minute_days")}
    click.echo(link.text("history.retention", **days))
    if found.fault:
        click.echo(link.text("history.fault", reason=found.fault))
