"""``scada model export-sheets`` and ``import-sheets``: a model as spreadsheets, and spreadsheets back into a model."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scada.core.errors import ModelError

if TYPE_CHECKING:
    from scada.model_cim.cim import CimModel
    from scada.model_cim.sheets.importing import Import

_SHOWN = 50
_LANG = click.option(
    "--lang", type=click.Choice(["en", "zh"]), default="en", show_default=True, help="Language of headings or faults."
)


@click.command(
    name="export-sheets",
    epilog="Example: scada model export-sheets models/grid --out grid.xlsx --sheet points --sheet limits --lang zh",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A workbook (.xlsx), or a folder for one CSV file a sheet."
)
@click.option("--sheet", "chosen", multiple=True, metavar="NAME", help="Only this sheet; may be given several times.")
@_LANG
def export_sheets(path: Path, *, out: Path, chosen: Sequence[str], lang: str) -> None:
    """Write points, limits, controls, forwarding, AGC and AVC of a model as spreadsheets.

    The same model gives the same file. Columns in brackets only inform. Edit what you like, then: scada model import-sheets.
    """
    from scada.model_cim.sheets.control_sheets import SHEETS
    from scada.model_cim.sheets.importing import sheet_named
    from scada.model_cim.sheets.writing import views, write_csv_folder, write_workbook

    sheets = [sheet_named(name) for name in chosen] if chosen else SHEETS
    known = [sheet for sheet in sheets if sheet is not None]
    if len(known) < len(sheets):
        wrong = next(name for name in chosen if sheet_named(name) is None)
        raise ModelError(f"there is no sheet {wrong!r}", mend=f"one of {', '.join(sheet.name for sheet in SHEETS)}")
    shown = views(_model(path), known)
    (write_workbook if out.suffix.lower() == ".xlsx" else write_csv_folder)(out, shown, lang)
    click.echo(", ".join(f"{len(one.objects)} {one.sheet.name}" for one in shown))


@click.command(
    name="import-sheets",
    epilog="Example: scada model import-sheets models/grid points.xlsx --dry-run --errors wrong.xlsx",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("files", type=click.Path(path_type=Path, exists=True), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for the changed model; default: the model's own folder.")
@click.option("--dry-run", is_flag=True, help="Only tell what would change.")
@click.option("--partial", is_flag=True, help="Take the rows that are right though others are not.")
@click.option(
    "--prune",
    is_flag=True,
    help="The sheets given are complete: what has no row or an empty cell goes. Listed first.",
)
@click.option("--yes", is_flag=True, help="Do not ask before pruning.")
@click.option(
    "--errors",
    type=click.Path(path_type=Path),
    help="File for the rows with faults: .xlsx to mend and import, else CSV.",
)
@_LANG
def import_sheets(
    path: Path,
    files: Sequence[Path],
    *,
    out: Path | None,
    dry_run: bool,
    partial: bool,
    prune: bool,
    yes: bool,
    errors: Path | None,
    lang: str,
) -> None:
    """Change a model by spreadsheets: workbooks, CSV files or folders of them, with some rows and columns or all.

    A row is found by its mRID, without one by its path or name; a row that is neither is new. An empty cell leaves what is there,
    <clear> takes it away. Formulas are never calculated: a cell that holds one is a fault of its row. Nothing is written while
    any row has a fault, unless --partial. Exit code 1 if there are faults.
    """
    from scada.model_cim.sheets.importing import import_tables
    from scada.model_cim.sheets.reading import read_tables
    from scada.model_cim.sheets.writing import write_errors

    if partial and prune:
        raise ModelError("--partial and --prune exclude each other", mend="a row that cannot be read must not delete anything")
    if out is None and not path.is_dir():
        raise ModelError("the model is no folder to write to", where=str(path), mend="give --out FOLDER")
    model = _model(path)
    tables = [table for file in files for table in read_tables(file)]
    done = import_tables(model, tables, prune=prune)
    _tell(done, lang)
    if errors is not None and done.faults:
        write_errors(errors, tables, done.faults, lang)
        click.echo(f"faults: {errors}")
    if not dry_run:
        takes = (partial or not done.faults) and bool(done.difference)
        if takes and (not prune or yes or _confirmed(done)):
            _write(model, done, path, out or path)
            click.echo(f"written: {out or path}")
        else:
            click.echo("nothing was written")
    sys.exit(1 if done.faults else 0)


def _model(path: Path) -> CimModel:
    from scada.model_cim.findings import Severity
    from scada.model_cim.reader import ModelReader

    model = ModelReader(path).read()
    for finding in model.findings:
        if finding.severity is Severity.FATAL:
            raise ModelError(finding.text, where=finding.where, mend=finding.hint)
    return model


def _tell(done: Import, lang: str) -> None:
    for fault in done.faults[:_SHOWN]:
        click.secho(fault.line(lang), fg="red")
    if len(done.faults) > _SHOWN:
        click.secho(f"... and {len(done.faults) - _SHOWN} more faults", fg="red")
    for sheet, label in done.removed:
        click.secho(f"remove {sheet}: {label}", fg="yellow")
    difference = done.difference
    click.echo(
        f"{done.changed} rows changed, {done.new} new, {len(done.removed)} removed, {len(done.faults)} faults; "
        f"{len(difference.forward)} values set, {len(difference.reverse)} taken away"
    )


def _confirmed(done: Import) -> bool:
    cleared = len(
        {(one.mrid, one.prop) for one in done.difference.reverse} - {(one.mrid, one.prop) for one in done.difference.forward}
    )
    return click.confirm(f"Remove {len(done.removed)} rows; {cleared} values go in all?", default=False)


def _write(model: CimModel, done: Import, path: Path, folder: Path) -> None:
    """The model's XML and, in another folder, what belongs to it beside that: templates, waivers, drawings."""
    from scada.model_cim.difference import apply_difference
    from scada.model_cim.version_files import files_of
    from scada.model_cim.writer import write_model

    write_model(apply_difference(model, done.difference), folder)
    if path.is_dir() and folder.resolve() != path.resolve():
        for name, file in files_of(path).items():
            if file.suffix.lower() not in (".xml", ".zip"):
                (folder / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(file, folder / name)
