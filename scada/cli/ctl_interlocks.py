"""``scada ctl interlocks``: what forbids a control now, and why, without selecting it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.ctl_orders import find_control
from scada.cli.link import Link, pass_link
from scada.cli.rendering import control_value_text

if TYPE_CHECKING:
    from scada.api.client import ScadaClient


@click.command()
@click.argument("control")
@click.argument("value")
@pass_link
def interlocks(link: Link, *, control: str, value: str) -> None:
    """Say what forbids CONTROL (path or mRID) to be operated to VALUE (label or number) now.

    Nothing is selected. Exit code 1 if something forbids it.
    """

    async def _work(client: ScadaClient) -> tuple[str, pb.InterlockReport]:
        found, wanted = await find_control(client, control, value)
        query = pb.InterlockQuery(control=found.mrid, value=wanted)
        return f"{found.path} {control_value_text(found, wanted)}", await client.call("Control/CheckInterlocks", query)

    what, report = link.run(_work)
    if not report.findings:
        click.echo(link.text("ctl.interlocks.none", control=what))
    for finding in report.findings:
        click.echo(f"{what}: {link.text(finding.key, **finding.parameters)}")
        if finding.bypassable:
            click.echo(f"  {link.text('ctl.interlocks.bypassable')}")
    if report.remark:
        click.echo(report.remark)
    sys.exit(int(bool(report.findings)))
