"""``scada agc runs`` and ``rerun``: recorded cycles of AGC and AVC, run again, with other parameters beside."""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from google.protobuf.json_format import MessageToJson
from scadapb.v1 import scada_pb2 as pb

from scada.cli.history_client import moment, server_time
from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.clock import SystemClock
from scada.core.errors import ScadaError
from scada.core.settings import load_settings

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), default=None, help="The recordings of this configuration, no server."
)
_FOLDER = click.option(
    "--folder", type=click.Path(path_type=Path), default=None, help="The recordings of this folder, no server."
)
_COLUMNS = ("time_ns", "ace", "regulation", "regulation_other", "ordered", "ordered_other")


@click.command()
@_CONFIG
@_FOLDER
@pass_link
def runs(link: Link, *, config: Path | None, folder: Path | None) -> None:
    """List the recorded cycles of a folder ([cycles] path): one file an hour and controller."""
    from scada.actors.cycle_files import runs_in

    place = _place(config, folder)
    if place is None:
        raise ScadaError("the recordings of which folder?", mend="give --config scada.toml or --folder DIR")
    rows = [
        [run.application, run.name, time_text(run.begun_ns), number(run.octets / 1024, 5), run.path.name]
        for run in runs_in(place)
    ]
    click.echo(table(link.heads("application", "area", "since", "kb", "file"), rows))


@click.command()
@click.option("--application", type=click.Choice(["agc", "avc"]), default="agc", show_default=True)
@click.option("--area", default="", help="Control area, where several are recorded.")
@click.option("--from", "since", default="-1h", show_default=True, help="Start: ISO 8601, or a time ago such as -2h.")
@click.option("--to", "until", default="now", show_default=True, help="End, excluded; at most a day after the start.")
@click.option("--set", "changes", multiple=True, metavar="NAME=VALUE", help="A parameter that differs; repeat for more.")
@click.option("--json", "as_json", is_flag=True, help="Everything, as JSON.")
@click.option("--csv", "target", type=click.Path(path_type=Path, dir_okay=False), default=None, help="Write the series here.")
@_CONFIG
@_FOLDER
@pass_link
def rerun(
    link: Link,
    *,
    application: str,
    area: str,
    since: str,
    until: str,
    changes: Sequence[str],
    as_json: bool,
    target: Path | None,
    config: Path | None,
    folder: Path | None,
) -> None:
    """Run recorded cycles again: as they were, and with other parameters beside.

    Parameters are those of [agc] or [avc], and of a unit:

        scada agc rerun --from -1d --set proportional=0.3 --set "unit.Longtan G1.participation=2"

    The measurements are the recorded ones: it shows what would have been ordered, not how the plant would have answered.
    Exit code 1 if the parameters of then do not give exactly what was sent then.
    """
    pairs = dict(_pair(text) for text in changes)
    place = _place(config, folder)

    def request(now: int) -> pb.WhatIfRequest:
        span = {"from_ns": moment(since, now, "--from"), "to_ns": moment(until, now, "--to")}
        return pb.WhatIfRequest(application=application, area=area, changes=pairs, **span)

    if place is not None:
        from scada.actors.what_if import what_if

        reply = what_if(place, request(SystemClock().now_ns()))
    else:

        async def _ask(client: ScadaClient) -> pb.WhatIfReply:
            found: pb.WhatIfReply = await client.call("Regulation/WhatIf", request(await server_time(client)))
            return found

        reply = link.run(_ask)
    if target is not None:
        _write(target, reply)
    click.echo(MessageToJson(reply, preserving_proto_field_name=True) if as_json else _shown(link, reply, changed=bool(pairs)))
    sys.exit(int(reply.faithful != reply.cycles))


def _place(config: Path | None, folder: Path | None) -> Path | None:
    return folder if folder is not None else None if config is None else load_settings(config).cycles.path


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--set")
    return name.strip(), value.strip()


def _write(target: Path, reply: pb.WhatIfReply) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("time_ns", *(f"{name}_mw" for name in _COLUMNS[1:])))
        writer.writerows(zip(*(getattr(reply, name) for name in _COLUMNS), strict=True))


def _shown(link: Link, reply: pb.WhatIfReply, *, changed: bool) -> str:
    """The comparison for people."""
    lines = [
        link.text(
            "ctl.rerun_faithful" if reply.faithful == reply.cycles else "ctl.rerun_deviates",
            cycles=str(reply.cycles),
            faithful=str(reply.faithful),
            time=time_text(reply.first_deviation_ns),
        )
    ]
    sides = [(link.text("ctl.rerun_then"), reply.recorded), *([(link.text("ctl.rerun_other"), reply.other)] if changed else [])]
    rows = [
        [name, str(side.cycles_on), str(side.commands), number(side.mileage, 5), number(side.requirement_rms, 4)]
        for name, side in sides
    ]
    lines.append(table(link.heads("parameters", "on", "commands", "mileage", "requirement"), rows))
    controls = [
        [
            one.name,
            *(str(count) for count in ((one.commands, one.commands_other) if changed else (one.commands,))),
            *(number(mw, 5) for mw in ((one.mileage, one.mileage_other) if changed else (one.mileage,))),
            *("" if math.isnan(mw) else number(mw, 5) for mw in ((one.last, one.last_other) if changed else (one.last,))),
        ]
        for one in reply.controls
    ]
    other = ("other",) if changed else ()
    lines.append(table(link.heads("name", "commands", *other, "mileage", *other, "setpoint", *other), controls))
    return "\n".join(lines)
