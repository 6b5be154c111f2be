"""``scada upstream``: how the stations towards upstream control centres stand, and rows for their forwarding tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToDict
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, link_options, make_link
from scada.cli.rendering import table, time_text
from scada.core.errors import ModelError
from scada.model_cim.tables import PointKind

_KINDS = [kind.name.lower() for kind in PointKind if kind is not PointKind.TEXT_STATE]


@click.group(name="upstream", invoke_without_command=True)
@link_options("operator")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with everything.")
@click.pass_context
def command(ctx: click.Context, /, *, as_json: bool, **given: Any) -> None:
    """Stations towards upstream control centres (IEC 60870-5-104): who is connected, what waits, what was commanded.

    Without a command: the state of a running server, a line a group and connection. ``rows`` works on a model, without a server.
    """
    make_link(ctx, given)
    if ctx.invoked_subcommand is None:
        _show(ctx.obj, as_json=as_json)


@command.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
@click.argument("name")
@click.option("--station", "stations", multiple=True, help="Only points and controls of this station; may be repeated.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(_KINDS), help="Only points of this kind; may be repeated.")
@click.option("--type", "types", multiple=True, help="Only this measurement type, e.g. SwitchPosition; may be repeated.")
@click.option("--controls", is_flag=True, help="The controls of these stations too.")
@click.option("--into", type=click.Path(path_type=Path, dir_okay=False), help="Append to this file of the model; default: print.")
def rows(
    model: Path,
    name: str,
    *,
    stations: tuple[str, ...],
    kinds: tuple[str, ...],
    types: tuple[str, ...],
    controls: bool,
    into: Path | None,
) -> None:
    """Write rows that forward points of MODEL to the upstream station NAME.

    What is forwarded already is left alone, so the command may be run again when the model has grown: addresses that were agreed
    never move, and new ones follow behind the highest of their range. Signals begin at 1, measured values at 16385 (4001 hex),
    controls at 24577 (6001), set-points at 25089 (6201), counters at 25601 (6401). Types, dead bands, groups and scales of the
    rows are then edited in the file, and ``scada model check`` says what is wrong.
    """
    from scada.model_cim.forwarding_rows import append_rows, chosen, new_rows, rows_xml
    from scada.model_cim.points import load_model

    tables = load_model(model)[1]
    station = next((one for one in tables.upstream if one.name == name), None)
    if station is None:
        known = ", ".join(one.name for one in tables.upstream) or "none"
        raise ModelError(f"no upstream station {name!r}", where=str(model), mend=f"the model has: {known}")
    points = chosen(tables, stations=stations, kinds=[PointKind[kind.upper()] for kind in kinds], types=types)
    asked = [one for one in tables.controls if not stations or one.station in stations] if controls else []
    found = new_rows(station, points, asked)
    text = rows_xml(station, found)
    if into is None:
        click.echo(text, nl=False)
    elif found:
        append_rows(into, text)
    left = len(points) + len(asked) - len(found)
    click.echo(f"{len(found)} rows written, {left} forwarded already or not forwardable", err=True)


def _show(link: Link, *, as_json: bool) -> None:
    found: pb.UpstreamStatus = link.run(lambda client: client.call("Channels/GetUpstream", pb.GetUpstreamRequest()))
    if as_json:
        click.echo(json.dumps(MessageToDict(found, preserving_proto_field_name=True), ensure_ascii=False, indent=1))
        return
    if not found.stations:
        click.echo(link.text("upstream.none"))
    for station in found.stations:
        state = link.text("upstream.listening" if station.listening else "upstream.silent")
        click.echo(
            link.text(
                "upstream.station",
                name=station.name,
                endpoint=station.endpoint + (" TLS" if station.tls else ""),
                state=state,
                reason=station.reason,
                points=str(station.points),
                controls=str(station.controls),
                done=str(station.commands_done),
                refused=str(station.commands_refused),
            )
        )
        lines = [line for group in station.groups for line in _lines(group)]
        if lines:
            click.echo(table(link.heads("group", "queued", "lost", "peer", "state", "time", "frames"), lines))


def _lines(group: pb.UpstreamGroup) -> list[list[str]]:
    """A line a connection, or one that says which masters are awaited."""
    head = [group.name, str(group.queued), str(group.lost)]
    if not group.links:
        return [[*head, f"({', '.join(group.masters)})", "-", "", ""]]
    return [
        [
            *(head if place == 0 else ["", "", ""]),
            f"{link.subject} {link.peer}".strip(),
            link.state,
            time_text(link.since_ns),
            f"{link.frames_in}/{link.frames_out}" + (f" ({link.unacknowledged})" if link.unacknowledged else ""),
        ]
        for place, link in enumerate(group.links)
    ]
