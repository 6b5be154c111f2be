"""``scada model``: check and show a CIM model, draw its diagrams."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from scada.cli.model_check import check, rules
from scada.cli.model_diff import diff, merge, patch
from scada.cli.model_format import format_
from scada.cli.model_instrument import instrument
from scada.cli.model_network import sv, topology
from scada.cli.model_profile import profile
from scada.cli.model_search import search
from scada.cli.model_sheets import export_sheets, import_sheets
from scada.cli.model_versions import COMMANDS as VERSIONS
from scada.core.errors import ModelError
from scada.model_cim.address_text import address_text
from scada.model_cim.cim import CimModel
from scada.model_cim.drawings import INDEX
from scada.model_cim.tables import ModelTables, Point
from scada.protocols.registry import Drivers

_with_config = click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="scada.toml, for the drivers named under [drivers]; they are imported to check the addresses of their points.",
)


@click.group(name="model")
def command() -> None:
    """Check and show a CIM model (a folder, an XML file or a zip); draw its diagrams."""


@command.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--points", is_flag=True, help="List every point.")
@click.option("--controls", is_flag=True, help="List every control.")
@click.option("--channels", is_flag=True, help="List every channel.")
@click.option("--templates", is_flag=True, help="List every device template and the devices made from it.")
@click.option("--upstream", is_flag=True, help="List what is forwarded to upstream control centres.")
@click.option("--station", help="Only this station.")
@_with_config
def show(
    path: Path,
    *,
    points: bool,
    controls: bool,
    channels: bool,
    templates: bool,
    upstream: bool,
    station: str | None,
    config: Path | None,
) -> None:
    """Show what a model holds: stations, areas and zones, or its points, controls, channels, templates, forwarding tables."""
    model, tables = _load(path, config)
    if station is not None and station not in {item.name for item in tables.stations}:
        known = ", ".join(item.name for item in tables.stations)
        raise ModelError(f"no station {station!r}", where=str(path), mend=f"one of {known}")
    if channels:
        _show_channels(tables)
    if points:
        _show_points(tables, [p for p in tables.points if station in (None, p.station) and not p.removed])
    if controls:
        for control in tables.controls:
            if station in (None, control.station):
                channel = tables.channels[control.channel].name
                address = address_text(control.address)
                click.echo(f"{control.cid}\t{control.path}\t{control.kind.name}\t{control.device_number}\t{channel}\t{address}")
    if templates:
        _show_templates(model)
    if upstream:
        _show_upstream(tables, station)
    if not (points or controls or channels or templates or upstream):
        _show_summary(tables, station)


@command.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the drawings; default: PATH/diagrams.")
@click.option("--all", "anew", is_flag=True, help="Draw every station and area anew.")
def diagrams(path: Path, *, out: Path | None, anew: bool) -> None:
    """Draw what changed: the single-line diagram of every station, and control areas and regions (needs the extra ``diagrams``).

    A drawing whose station did not change is kept; --all makes every one anew. What cannot be drawn keeps its last drawing and is
    named; the exit code is 1 then.
    """
    from scada.model_cim.diagrams import refresh_diagrams
    from scada.model_cim.reader import ModelReader

    if out is None and not path.is_dir():
        raise ModelError("the model is no folder to put diagrams in", where=str(path), mend="give --out FOLDER")
    folder = out or path / "diagrams"
    if anew:
        (folder / INDEX).unlink(missing_ok=True)
    done = refresh_diagrams(ModelReader(path).read(), folder)
    for name in done.drawn:
        click.echo(f"drawn\t{name}")
    for name in done.stale:
        click.secho(f"stale\t{name}", fg="yellow")
    click.echo(f"{len(done.drawn)} drawn, {len(done.kept)} kept, {len(done.stale)} stale: {folder}")
    if done.stale:
        click.secho(done.why, fg="red", err=True)
        sys.exit(1)


command.add_command(check)
command.add_command(rules)
command.add_command(profile)
command.add_command(format_)
command.add_command(instrument)
command.add_command(search)
command.add_command(export_sheets)
command.add_command(import_sheets)
command.add_command(sv)
command.add_command(topology)
command.add_command(diff)
command.add_command(patch)
command.add_command(merge)
for _command in VERSIONS:
    command.add_command(_command)


def _load(path: Path, config: Path | None) -> tuple[CimModel, ModelTables]:
    from scada.core.settings import load_settings
    from scada.model_cim.points import build_tables
    from scada.model_cim.reader import ModelReader

    model = ModelReader(path).read()
    drivers = Drivers(load_settings(config).drivers if config is not None else None)
    return model, build_tables(model, drivers=drivers)[0]


def _show_summary(tables: ModelTables, station: str | None) -> None:
    for item in tables.stations:
        if station in (None, item.name):
            levels = ", ".join(name for _, name, _ in item.voltage_levels)
            count = sum(point.station == item.name for point in tables.points)
            click.echo(f"{item.name} ({item.area or 'no area'}): {levels}; {count} points")
    if station is None:
        for area in tables.areas:
            role = "controlled" if area.controlled else "seen only"
            click.echo(f"area {area.name}: {role}, {len(area.ties)} ties, {len(area.units)} units under AGC")
        for zone in tables.zones:
            parts = f"{len(zone.pilots)} pilots, {len(zone.sources)} sources, {len(zone.devices)} devices"
            click.echo(f"AVC zone {zone.name}: {parts}")


def _show_templates(model: CimModel) -> None:
    for template in model.ids("sc:DeviceTemplate"):
        devices = model.refs_to(template, "sc:Device.Template")
        stem = model.text(template, "sc:DeviceTemplate.stem") or ""
        click.echo(f"{stem}\t{model.name(template)}\t{model.where(template)}\t{len(devices)} devices")
        for device in devices:
            unit = model.ref(device, "sc:Device.RemoteUnit") or ""
            equipment = model.path(model.ref(device, "sc:Device.PowerSystemResource") or "")
            number = model.text(device, "sc:Device.unitId") or model.text(device, "sc:Device.commonAddress") or ""
            click.echo(f"  {model.name(device)}\t{model.name(unit)}\t{number}\t{equipment}\t{model.where(device)}")


def _show_channels(tables: ModelTables) -> None:
    for channel in tables.channels:
        counts = f"{len(tables.points_of_channel(channel.index))} points"
        click.echo(f"{channel.name}\t{channel.protocol}\t{channel.host}:{channel.port}\t{channel.station}\t{counts}")


def _show_upstream(tables: ModelTables, station: str | None) -> None:
    """Rows by direction and address, as they are compared with the table of the other side."""
    for one in tables.upstream:
        groups = "; ".join(f"{group.name}: {', '.join(group.masters) or 'no masters'}" for group in one.groups) or "no groups"
        counts = f"{len(one.points)} points, {len(one.controls)} controls"
        click.echo(f"{one.name}\t{one.host}:{one.port}\tCA {one.common_address}\t{groups}\t{counts}")
        for row in sorted(one.points, key=lambda row: (row.address.common_address, row.address.ioa)):
            point = tables.points[row.pid]
            if station in (None, point.station):
                how = "event" if row.queued else f"newest {row.deadband:g}"
                click.echo(f"{address_text(row.address)}\t{point.path}\t{point.kind.name}\t{point.unit}\t{how}")
        for order in sorted(one.controls, key=lambda order: (order.address.common_address, order.address.ioa)):
            control = tables.controls[order.cid]
            if station in (None, control.station):
                how = "select" if order.select else "direct"
                click.echo(f"{address_text(order.address)}\t{control.path}\t{control.kind.name}\t{control.unit}\t{how}")


def _show_points(tables: ModelTables, points: Sequence[Point]) -> None:
    for point in points:
        channel = tables.channels[point.channel].name if point.channel >= 0 else "calculated"
        address = address_text(point.address) if point.address else point.expression
        click.echo(f"{point.pid}\t{point.path}\t{point.kind.name}\t{point.unit}\t{channel}\t{address}")
