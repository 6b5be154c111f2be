"""``scada model format``: a model written in its canonical form."""

from __future__ import annotations

from pathlib import Path

import click

from scada.core.errors import ModelError

_LOSSES = frozenset({"id.duplicate", "id.missing", "xml.lost", "zip.member"})
"""Findings of the reader that tell of something that is not in the model and would not be written."""


@click.command(
    name="format",
    epilog="Example: scada model format grid.zip --out grid, then put the folder grid under version control. "
    "Writing a model again gives the same octets, so that a comparison shows what was edited and nothing else.",
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write to; may be PATH.")
@click.option("--force", is_flag=True, help="Write even if something that was read would be lost.")
def format_(path: Path, *, out: Path, force: bool) -> None:
    """Write a model in canonical form: one file a profile as it came, objects by class and mRID, one property on a line.

    Device templates are copied. Nothing is written if a file could not be read to its end or if a statement would be lost; XML
    comments are not kept, which is told.
    """
    from scada.model_cim.findings import Severity
    from scada.model_cim.reader import ModelReader
    from scada.model_cim.sources import template_files
    from scada.model_cim.writer import write_model

    model = ModelReader(path).read()
    templates = dict(template_files(path, model.findings))
    broken = next((one for one in model.findings if one.severity is Severity.FATAL), None)
    if broken is not None:
        raise ModelError(broken.text, where=broken.where, mend=broken.hint or "fetch the file again")
    lost = [str(one) for one in model.findings if one.rule in _LOSSES]
    comments = [f"{file.label}: {file.comments} XML comments are not kept" for file in model.sources if file.comments]
    for line in lost + comments:
        click.secho(line, fg="yellow", err=True)
    if lost and not force:
        raise ModelError(f"{len(lost)} losses, nothing written", where=str(path), mend="correct them, or give --force")
    for written in write_model(model, out):
        click.echo(str(written))
    for label, data in templates.items():
        copy = out / "templates" / Path(label.rpartition("!")[2]).name
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(data)
        click.echo(str(copy))
