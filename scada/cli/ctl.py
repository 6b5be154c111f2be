"""``scada ctl``: what the page shows and does, from a terminal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.ctl_guard import GUARD
from scada.cli.ctl_interlocks import interlocks
from scada.cli.ctl_marks import MARKS
from scada.cli.ctl_modes import MODES
from scada.cli.ctl_orders import ORDERS
from scada.cli.ctl_programmes import programme
from scada.cli.ctl_regulation import REGULATION
from scada.cli.ctl_search import search
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import control_values, number, point_value, quality_marks, status_json, table, time_text
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

POINTS_SHOWN = 1000


@click.group(name="ctl")
@link_options("operator")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Operate a running server from a terminal.

    Every order is signed with the identity's SM2 key. A key password is taken from SCADA_KEY_PASSWORD.
    """
    make_link(ctx, given)


for _command in (*ORDERS, *GUARD, *MODES, *MARKS, *REGULATION, interlocks, programme, search):
    command.add_command(_command)


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object; unknown numbers are null.")
@pass_link
def status(link: Link, *, as_json: bool) -> None:
    """Overview: points, channels, areas, AGC, AVC, alarms."""
    found: pb.SystemStatus = link.run(lambda client: client.call("Realtime/GetStatus", pb.GetStatusRequest()))
    if as_json:
        click.echo(json.dumps(status_json(found), ensure_ascii=False))
        return
    click.echo(
        link.text(
            "ctl.site",
            site=found.site,
            good=str(found.points_good),
            total=str(found.points_total),
            up=str(found.channels_up),
            channels=str(found.channels_total),
            unack=str(found.alarms_unacknowledged),
        )
    )
    for area in found.areas:
        click.echo(
            link.text(
                "ctl.area",
                name=area.name,
                frequency=number(area.frequency_hz),
                ace=number(area.ace_mw, 4),
                interchange=number(area.interchange_mw, 5),
                generation=number(area.generation_mw, 5),
                load=number(area.load_mw, 5),
            )
        )
    modes = {"agc": link.state("mode", found.agc_state), "avc": link.state("mode", found.avc_state)}
    click.echo(link.text("ctl.modes", **modes, agc_reason=found.agc_reason, avc_reason=found.avc_reason))


@command.command()
@click.option("--station", default="", help="Only of this station.")
@click.option("--query", default="", help="Only whose path or name contains this.")
@click.option("--watch", is_flag=True, help="Go on with each change until Ctrl-C.")
@pass_link
def points(link: Link, *, station: str, query: str, watch: bool) -> None:
    """Points with present value, quality marks and time.

    Marks: - never received, ? invalid, M manual, S substituted, B blocked, * old, ~ questionable.
    """

    async def _work(client: ScadaClient) -> None:
        listed = await client.call("Model/ListPoints", pb.ListPointsRequest(station=station, query=query, limit=POINTS_SHOWN))
        if not listed.points:
            raise ScadaError("no point matches", mend="see --station and --query")
        infos = {point.pid: point for point in listed.points}
        frame = await client.call("Realtime/Read", pb.ReadRequest(pids=infos))
        click.echo(table(link.heads("path", "value", "quality", "time"), _rows(frame, infos)))
        if listed.truncated:
            click.echo(link.text("ctl.truncated"))
        if watch:
            async with aclosing(client.watch(infos)) as frames:
                await _print_changes(frames, infos)

    link.run(_work)


def _rows(frame: pb.PointFrame, infos: dict[int, pb.PointInfo]) -> list[list[str]]:
    columns = zip(frame.pid, frame.value, frame.quality, frame.source_time_ns, frame.received_ns, strict=True)
    return [
        [infos[pid].path, point_value(infos[pid], value, quality), quality_marks(quality), time_text(source or received)]
        for pid, value, quality, source, received in columns
    ]


async def _print_changes(frames: AsyncIterator[pb.PointFrame], infos: dict[int, pb.PointInfo]) -> None:
    async for frame in frames:
        if not frame.full:
            for path, value, quality, time in _rows(frame, infos):
                click.echo(f"{time}  {path}  {value}  {quality}".rstrip())


@command.command()
@click.option("--station", default="", help="Only of this station.")
@pass_link
def controls(link: Link, *, station: str) -> None:
    """Commands and set-points: path, device number, possible values."""
    request = pb.ListControlsRequest(station=station)
    found: pb.ControlList = link.run(lambda client: client.call("Model/ListControls", request))
    rows = [[control.path, control.device_number, control_values(control)] for control in found.controls]
    click.echo(table(link.heads("control", "number", "range"), rows))


@command.command()
@pass_link
def alarms(link: Link) -> None:
    """Present alarms, most severe first."""
    found: pb.AlarmList = link.run(lambda client: client.call("Events/ListAlarms", pb.ListAlarmsRequest()))
    if not found.alarms:
        click.echo(link.text("ctl.no_alarms"))
        return
    rows = [
        [
            str(alarm.alarm_id),
            time_text(alarm.raised_ns),
            link.text(f"alarm_class.{alarm.alarm_class}"),
            link.text(f"alarm_phase.{alarm.phase}"),
            link.text(alarm.key, **alarm.parameters),
        ]
        for alarm in sorted(found.alarms, key=lambda alarm: (alarm.alarm_class, alarm.priority, -alarm.raised_ns))
    ]
    click.echo(table(link.heads("id", "time", "class", "state", "text"), rows))
    click.echo(link.text("alarms.as_of", event=str(found.last_event_id)))


@command.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Newest events shown.")
@click.option("--follow", is_flag=True, help="Go on with each event until Ctrl-C.")
@pass_link
def events(link: Link, *, limit: int, follow: bool) -> None:
    """The event log, oldest of the shown first."""

    async def _work(client: ScadaClient) -> None:
        found = await client.call("Events/ListEvents", pb.ListEventsRequest(limit=limit))
        for event in reversed(found.events):
            _print_event(link, event)
        if follow:
            async with aclosing(client.follow(found.last_event_id)) as pages:
                async for page in pages:
                    for event in page.events:
                        _print_event(link, event)

    link.run(_work)


def _print_event(link: Link, event: pb.EventInfo) -> None:
    time = time_text(event.source_time_ns or event.time_ns)
    severity = link.text(f"alarm_class.{event.alarm_class}")
    click.echo(f"{event.event_id}  {time}  {severity}  {link.text(event.key, **event.parameters)}")


@command.command()
@click.argument("path")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=60.0, show_default=True, help="Length of the span.")
@click.option("--buckets", type=click.IntRange(0, 100_000), default=0, help="At most so many buckets; 0 = every sample.")
@pass_link
def history(link: Link, *, path: str, minutes: float, buckets: int) -> None:
    """Recorded samples of the point PATH (or mRID) up to now."""

    async def _work(client: ScadaClient) -> None:
        point = await _find_point(client, path)
        now = (await client.call("Realtime/GetStatus", pb.GetStatusRequest())).time_ns
        request = pb.HistoryRequest(pids=[point.pid], from_ns=now - int(minutes * 60 * NS_PER_S), to_ns=now, buckets=buckets)
        series = (await client.call("History/Query", request)).series[0]
        _print_series(link, point, series)

    link.run(_work)


def _print_series(link: Link, point: pb.PointInfo, series: pb.HistorySeries) -> None:
    if not series.time_ns:
        click.echo(link.text("ctl.no_samples"))
    for index, time_ns in enumerate(series.time_ns):
        quality = series.quality[index] if index < len(series.quality) else 0
        spread = f"  {number(series.minimum[index])} .. {number(series.maximum[index])}" if series.minimum else ""
        value = point_value(point, series.value[index], quality)
        click.echo(f"{time_text(time_ns)}  {value}{spread}  {quality_marks(quality)}".rstrip())
    if series.truncated:
        click.echo(link.text("ctl.history_truncated"))


async def _find_point(client: ScadaClient, path: str) -> pb.PointInfo:
    listed = await client.call("Model/ListPoints", pb.ListPointsRequest(query=path))
    exact = [point for point in listed.points if path in (point.path, point.mrid)]
    if len(exact) != 1:
        raise ScadaError(f"the model has no point {path!r}", mend="see `scada ctl points --query`")
    return exact[0]  # type: ignore[no-any-return]
