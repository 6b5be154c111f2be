"""``scada ctl search``: find anything the running model has."""

from __future__ import annotations

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import table


@click.command(epilog="Example: scada ctl search Beishan 220kV Ia; scada ctl search CA 1 IOA 4001")
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Hits to show.")
@pass_link
def search(link: Link, words: tuple[str, ...], *, limit: int) -> None:
    """Find points, controls, equipment, channels and stations that have all the words.

    A word may stand in a path, an address, a device number, a measurement type or alias, or begin an mRID; best hits first.
    """
    request = pb.SearchRequest(query=" ".join(words), limit=limit)
    found: pb.SearchReply = link.run(lambda client: client.call("Model/Search", request))
    rows = [
        [link.state("hit", pb.HitKind.Name(hit.kind).removeprefix("HIT_KIND_").lower()), hit.path, hit.device_number, hit.address]
        for hit in found.hits
    ]
    click.echo(table(link.heads("kind", "path", "number", "address"), rows))
    click.echo(link.text("ctl.found", shown=str(len(found.hits)), total=str(found.total)))
