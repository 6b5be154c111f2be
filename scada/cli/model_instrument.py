"""``scada model instrument``: points, addresses, limits and controls over a network model."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scada.model_cim.cim import CimModel
    from scada.model_cim.instrument import Instrumented

_TEXTS = {
    "en": ("made", "left out, never invented", "first", "nothing to add: the model is complete by this template", "written to"),
    "zh": ("新增", "未生成 (不臆造)", "首例", "无需新增: 模型已符合此模板", "已写入"),
}


def _print_template(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """To start one's own from."""
    if asked:
        from importlib import resources

        text = resources.files("scada.model_cim").joinpath("data", "instrument.toml").read_text(encoding="utf-8")
        click.echo(text, nl=False)
        context.exit()


@click.command(
    epilog="Example: scada model instrument grid.zip --out model --protocol iec104 --start-port 20001. "
    "Run it again after the network changed: what is there keeps its address, only what is new is added.",
)
@click.argument("path", metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write to; may be MODEL itself."
)
@click.option("--template", type=click.Path(path_type=Path, dir_okay=False), help="Instrument template (TOML); default: ours.")
@click.option("--protocol", default="iec104", show_default=True, help="Of new channels: iec104, modbus-tcp, opcua ...")
@click.option(
    "--station", "stations", multiple=True, metavar="NAME", help="Only this station; may be repeated, or a list with commas."
)
@click.option(
    "--host-template", default="", metavar="HOST", help="Host of new channels, with {station} or {number}; default 127.0.0.1."
)
@click.option(
    "--start-port", type=click.IntRange(1, 65535), default=None, help="Port of the first new channel; the next ones follow."
)
@click.option("--dry-run", is_flag=True, help="Say what would be made; write nothing.")
@click.option(
    "--print-template", is_flag=True, is_eager=True, expose_value=False, callback=_print_template, help="Print our template."
)
@click.option(
    "--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of names and of this report."
)
def instrument(
    path: Path,
    *,
    out: Path,
    template: Path | None,
    protocol: str,
    stations: tuple[str, ...],
    host_template: str,
    start_port: int | None,
    dry_run: bool,
    lang: str,
) -> None:
    """Give every substation of a CGMES model a channel and a complete, addressed list of points and controls, by a template.

    Points the model has are used, not doubled. Ratings are never invented: a limit or set-point the model gives no value for is
    left out and told.
    """
    from scada.cli.event_files import iso_time
    from scada.core.clock import SystemClock
    from scada.core.errors import ModelError
    from scada.model_cim.instrument import Options, station_list
    from scada.model_cim.instrument import instrument as lay
    from scada.model_cim.instrument_files import cim_namespace, present_files, write_files
    from scada.model_cim.instrument_template import load_template
    from scada.protocols.registry import Drivers

    if protocol not in (names := Drivers().names):
        raise ModelError(f"no protocol {protocol!r}", where="--protocol", mend=f"one of {', '.join(sorted(names))}")
    options = Options(protocol, station_list(stations), host_template, start_port or 0, lang)
    laid_out = load_template(template)
    model = _read(path, present_files(path, out))
    done = lay(model, laid_out, options)
    _report(done, lang)
    if not dry_run:
        namespace = cim_namespace([header.cim_namespace for header in model.headers])
        written = write_files(path, out, done.additions.files, namespace, iso_time(SystemClock().now_ns()))
        click.echo(f"{_TEXTS[lang][4]} {out}: {len(written)}")


def _read(path: Path, own: list[Path]) -> CimModel:
    """The model with the points an earlier run wrote elsewhere."""
    from scada.core.errors import ModelError
    from scada.model_cim.findings import Severity
    from scada.model_cim.instrument_files import model_files
    from scada.model_cim.reader import ModelReader

    if own:
        with tempfile.TemporaryDirectory() as folder:
            for file in (*model_files(path), *own):
                (Path(folder) / file.name).symlink_to(file.resolve())
            model = ModelReader(folder).read()
    else:
        model = ModelReader(path).read()
    for finding in model.findings:
        if finding.severity is Severity.FATAL:
            raise ModelError(finding.text, where=finding.where, mend=finding.hint)
    return model


def _report(done: Instrumented, lang: str) -> None:
    made, left_out, first, nothing, _ = _TEXTS[lang]
    counts = {name: count for name, count in done.counts.items() if count}
    click.echo(f"{made}: " + ", ".join(f"{count} {name}" for name, count in counts.items()) if counts else nothing)
    if done.left_out:
        click.echo(f"{left_out}:")
    for (en, zh), count, where in done.left_out:
        click.echo(f"  {count}\t{zh if lang == 'zh' else en}\t({first}: {where})")
