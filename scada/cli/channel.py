"""``scada channel``: diagnosis of front-end channels, their live frames, orders to them, and recordings."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_HEX_OCTETS = 64


@click.group(name="channel")
@link_options("operator")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Front-end channels of a running server: how they stand, what passes on them, orders, recordings.

    \b
    Examples:
      scada channel list
      scada channel show "Beishan RTU"
      scada channel trace "Beishan RTU" --values --hex
      scada channel order "Beishan RTU" interrogate group=2
      scada channel order "Beishan RTU" switch link=B
      scada channel record "Beishan RTU" --minutes 10

    A trace needs the right CHANNEL, an order too; what acts on the device (reset_process, parameters ...) needs ENGINEER as well.
    """  # noqa: D301 - click's mark of lines that stay as they are
    make_link(ctx, given)


@command.command(name="list")
@pass_link
def list_channels(link: Link) -> None:
    """Every channel: state and since when, good points, frames, round trip, reason."""
    found: pb.SystemStatus = link.run(lambda client: client.call("Realtime/GetStatus", pb.GetStatusRequest()))
    rows = [
        [
            channel.name,
            channel.protocol,
            channel.endpoint,
            link.state("channel_state", channel.state),
            time_text(channel.since_ns),
            f"{channel.points_good}/{channel.points_total}",
            f"{channel.frames_in}/{channel.frames_out}",
            _milliseconds(channel.round_trip_s),
            channel.reason,
        ]
        for channel in found.channels
    ]
    names = ("channel", "protocol", "endpoint", "state", "since", "points", "frames", "round_trip", "reason")
    click.echo(table(link.heads(*names), rows))


@command.command()
@click.argument("name")
@pass_link
def show(link: Link, *, name: str) -> None:
    """Everything that is known of the channel NAME.

    State, links, availability since the server's start, counters, loss, round trip, clock skew, the last ten disconnects, what
    the cleaning of its values found, parameters, and the orders that its protocol knows.
    """
    found: pb.ChannelDetail = link.run(lambda client: client.call("Channels/GetChannel", pb.ChannelQuery(channel=name)))
    click.echo("\n".join(_detail_lines(link, found)))


def _detail_lines(link: Link, found: pb.ChannelDetail) -> Iterator[str]:
    status = found.status
    figures = {
        "state": f"{link.state('channel_state', status.state)}: {status.reason}",
        "since": time_text(status.since_ns),
        "endpoint": f"{status.protocol} {status.endpoint}",
        "availability": "-" if math.isnan(found.up_share) else f"{100 * found.up_share:.3f} %",
        "points": f"{status.points_good}/{status.points_total}",
        "frames": f"{status.frames_in}/{status.frames_out}",
        "octets": f"{found.bytes_in}/{found.bytes_out}",
        "values": str(status.values_in),
        "lost": str(found.lost_frames),
        "duplicates": str(found.duplicates),
        "malformed": str(status.malformed),
        "unknown": str(status.unknown_addresses),
        "connects": str(status.connects),
        "switches": str(found.switches),
        "round_trip": _milliseconds(status.round_trip_s),
        "clock_skew": _milliseconds(found.clock_skew_s),
        "last_receive": time_text(status.last_receive_ns) or "-",
        "recording": f"{found.recording} ({found.recording_bytes} B)" if found.recording else "-",
    }
    yield status.name
    yield table(["", ""], [[f"  {link.text(f'ctl.head.{key}')}", value] for key, value in figures.items()]).lstrip("\n")
    if found.links:
        rows = [
            [each.name, each.endpoint, link.state("channel_state", each.state), time_text(each.since_ns), each.reason]
            for each in found.links
        ]
        yield from ("", table(link.heads("link", "endpoint", "state", "since", "reason"), rows))
    if found.disconnects:
        rows = [[time_text(each.time_ns), each.reason] for each in found.disconnects]
        yield from ("", table(link.heads("disconnect", "reason"), rows))
    if cleaned := [each for each in found.cleaning if each.count]:
        rows = [[each.finding, str(each.count), str(each.points), time_text(each.last_ns), each.last_path] for each in cleaned]
        yield from ("", table(link.heads("cleaning", "count", "points_now", "last", "path"), rows))
    if found.parameters:
        yield from (
            "",
            table(link.heads("parameter", "value"), [[key, found.parameters[key]] for key in sorted(found.parameters)]),
        )
    if found.orders:
        yield from ("", f"{link.text('ctl.head.orders')}: {', '.join(found.orders)}")


def _milliseconds(seconds: float) -> str:
    return "-" if math.isnan(seconds) else f"{number(1000 * seconds, 4)} ms"


# ---------------------------------------------------------------------- trace


@command.command()
@click.argument("name")
@click.option("--values", is_flag=True, help="Also frames that carry only values.")
@click.option("--hex", "octets", is_flag=True, help="Octets of each frame beside its text.")
@click.option("--count", type=click.IntRange(min=1), default=None, help="End after so many frames.")
@pass_link
def trace(link: Link, *, name: str, values: bool, octets: bool, count: int | None) -> None:
    """Live frames of the channel NAME, decoded, until Ctrl-C.

    "<" was received, ">" was sent. A terminal that is too slow is told how many frames it missed.
    """

    async def _work(client: ScadaClient) -> None:
        left = count
        async with aclosing(client.trace(pb.ChannelTraceRequest(channel=name, values=values))) as messages:
            async for message in messages:
                if message.missed:
                    click.secho(link.text("ctl.trace_missed", count=str(message.missed)), fg="yellow", err=True)
                for frame in message.frames:
                    click.echo(frame_line(frame, octets=octets))
                    if left is not None:
                        left -= 1
                        if not left:
                            return

    link.run(_work)


def frame_line(frame: pb.ChannelFrame, *, octets: bool) -> str:
    """One frame as a line: time of day, link, direction, octets if asked, and what they say."""
    colour = "green" if frame.received else "cyan"
    direction = click.style("<" if frame.received else ">", fg=colour, bold=True)
    parts = [time_text(frame.time_ns).partition(" ")[2], *([frame.link] if frame.link else []), direction]
    if octets or not frame.text:
        cut = " ..." if len(frame.data) > _HEX_OCTETS else ""
        parts.append(frame.data[:_HEX_OCTETS].hex(" ") + cut)
    if frame.text:
        parts.append(click.style(frame.text, fg=colour))
    return "  ".join(parts)


# ---------------------------------------------------------------------- orders


@command.command()
@click.argument("name")
@click.argument("action")
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE]...")
@pass_link
def order(link: Link, *, name: str, action: str, arguments: tuple[str, ...]) -> None:
    """Give the channel NAME the order ACTION and wait for its end.

    \b
    Of every channel:
      interrogate, synchronise_clock, reconnect
      quarantine         close it until it is released, also over a restart
      release            connect again
      switch [link=B]    let another link take over
    Of one protocol: see `scada channel show NAME`, e.g. of IEC 104
      interrogate group=2, read_counters mode=freeze, read ioa=1201,
      test, reset_process kind=general

    Exit code 0: done; 1: refused, or it did not end well.
    """  # noqa: D301 - click's mark of lines that stay as they are
    sys.exit(_give(link, name, action, dict(_pairs(arguments))))


def _pairs(arguments: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for argument in arguments:
        key, separator, value = argument.partition("=")
        if not separator or not key:
            raise click.BadParameter(f"{argument!r} is not KEY=VALUE")
        yield key, value


@command.command()
@click.argument("name")
@click.option("--minutes", type=click.FloatRange(0), default=0.0, help="End after so long; 0 = as configured.")
@click.option("--mb", type=click.FloatRange(0), default=0.0, help="End at so many MiB; 0 = as configured.")
@pass_link
def record(link: Link, *, name: str, minutes: float, mb: float) -> None:
    """Record the channel NAME into a capture file (pcapng) on the server.

    The file holds plain process data, also of a channel with TLS. `scada channel recordings` lists it.
    """
    sys.exit(_give(link, name, "record", {"minutes": f"{minutes:g}", "mb": f"{mb:g}"}))


@command.command(name="stop-recording")
@click.argument("name")
@pass_link
def stop_recording(link: Link, *, name: str) -> None:
    """End the recording of the channel NAME."""
    sys.exit(_give(link, name, "stop_recording", {}))


def _give(link: Link, name: str, action: str, arguments: dict[str, str]) -> int:
    async def _work(client: ScadaClient) -> pb.ModeReply:
        model: pb.ModelInfo = await client.call("Model/GetModel", pb.GetModelRequest())
        names = [channel.name for channel in model.channels]
        if name not in names:
            raise ScadaError(f"no channel {name!r}", mend=f"channels are {', '.join(names) or 'none'}")
        asked = pb.ChannelCommand(channel=name, action=action, arguments=arguments)
        reply: pb.ModeReply = await client.signed("Control/SetMode", pb.SetModeRequest(channel=asked))
        return reply

    reply = link.run(_work)
    key = "ctl.channel_done" if reply.accepted else "ctl.mode_refused"
    click.echo(link.text(key, reason=reply.reason, code=reply.code))
    return int(not reply.accepted)


@command.command()
@pass_link
def recordings(link: Link) -> None:
    """Recordings on the server, newest first; replay one by its name with `scada ctl replay start`."""
    found: pb.RecordingList = link.run(lambda client: client.call("Channels/ListRecordings", pb.ListRecordingsRequest()))
    if not found.recordings:
        click.echo(link.text("ctl.no_recordings"))
        return
    rows = [
        [
            each.name,
            each.channel,
            time_text(each.from_ns),
            link.text("ctl.recording_runs") if each.running else time_text(each.to_ns),
            f"{each.bytes / (1 << 20):.1f}",
        ]
        for each in found.recordings
    ]
    click.echo(table(link.heads("file", "channel", "since", "until", "mb"), rows))
