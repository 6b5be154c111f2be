"""``scada model search``: find anything a model folder has, without a server."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(epilog="Example: scada model search models/grid Beishan 220kV Ia; scada model search models/grid CA 1 IOA 4001")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Hits to show.")
def search(path: Path, words: tuple[str, ...], *, limit: int) -> None:
    """Find points, controls, equipment, channels and stations that have all the words.

    A word may stand in a path, an address, a device number, a measurement type or alias, or begin an mRID; best hits first.
    """
    from scada.model_cim.objects import PlantObjects
    from scada.model_cim.points import load_model
    from scada.model_cim.search import SearchIndex

    model, tables, _ = load_model(path)
    found = SearchIndex(PlantObjects(tables, model)).search(" ".join(words), limit)
    for hit in found.hits:
        click.echo(f"{hit.kind.name.lower()}\t{hit.path}\t{hit.device_number or hit.address}\t{hit.mrid}")
    click.echo(f"{len(found.hits)} of {found.total}")
