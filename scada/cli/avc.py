"""``scada avc``: what voltage control needs beside the model."""

from __future__ import annotations

from pathlib import Path

import click

from scada.apps.agc_avc.avc.reference_plan import PlanError, read_plan
from scada.cli.rendering import table
from scada.core.clock import NS_PER_S
from scada.core.settings import load_settings
from scada.model_cim.points import load_model


@click.group(name="avc")
def command() -> None:
    """Voltage control: plans of targets."""


@command.group()
def references() -> None:
    """Plans of voltage targets of the pilot nodes."""


@references.command(
    epilog="Example: scada avc references check plan.csv --config scada.toml. Lines are pilot,time,kv; see docs/regulation/."
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--model", type=click.Path(path_type=Path), help="Folder of the model; default that of the configuration.")
@click.option("--config", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="scada.toml.")
def check(file: Path, model: Path | None, config: Path | None) -> None:
    """Read FILE as the server would: exit code 1 and every faulty line, or its digest and what it gives each pilot node."""
    settings = load_settings(config) if config else None
    folder = model or (settings.model.path if settings else Path("examples/demo-grid"))
    _, tables, _ = load_model(folder)
    pilots = [pilot for zone in tables.zones for pilot in zone.pilots]
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{file.name} cannot be read: {error}", mend="give a text file in UTF-8") from error
    plan = read_plan(text, file.name, pilots, settings.avc.tuning.day_offset_s if settings else 0.0)
    click.echo(f"{file.name}: ok, digest {plan.digest[:16]}")
    rows = []
    for pilot in pilots:
        targets = plan.targets_of(pilot.mrid)
        span = f"{min(targets):g} .. {max(targets):g}" if targets else "-"
        rows.append([pilot.name, str(len(targets)), span, f"{pilot.minimum:g} .. {pilot.maximum:g}"])
    click.echo(table(["pilot node", "targets", "kV", "limits"], rows))
    for name, moment in zip(("valid from", "valid until"), plan.valid_ns, strict=True):
        if moment is not None:
            click.echo(f"{name} {moment // NS_PER_S} s UTC")
