"""``scada dispatch``: an example of an upstream dispatch centre. It signs as the ``dispatcher`` identity.

What it does over the wire is written out, byte by byte, in ``docs/dispatch-api.md``.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.dispatch_orders import ORDERS, order_id, print_reply, server_time
from scada.cli.dispatch_plans import COMMANDS
from scada.cli.link import Link, link_options, make_link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

STEPS = (60, 300, 900, 1800, 3600)


@click.group(name="dispatch")
@link_options("dispatcher")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Upstream dispatch: send signed orders and print what came back; as an operator, decide about those that wait."""
    make_link(ctx, given)


for _one in (*COMMANDS, *ORDERS):
    command.add_command(_one)


@command.command()
@click.option("--area", default="", help="Control area.")
@click.option("--unit", default="", help="mRID of a unit, whose power this is; default: the area's net interchange.")
@click.option("--mw", type=float, required=True, help="Net interchange that the area shall export, or power of the unit, MW.")
@click.option("--priority", type=click.IntRange(0, 99), default=0, help="A higher one goes before a lower one in force.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Validity; default: until replaced.")
@click.option("--order", default="", help="Order id; default: a new one. The same id twice is a duplicate.")
@pass_link
def setpoint(link: Link, *, area: str, unit: str, mw: float, priority: int, minutes: float | None, order: str) -> None:
    """Send a set-point of an area's interchange or of a unit; exit code 1 unless it was accepted."""
    if not area and not unit:
        raise ScadaError("a set-point is of an area or of a unit", mend="give --area or --unit")
    request = pb.AreaSetpoint(area=area, unit=unit, interchange_mw=mw, priority=priority, order_id=order_id(order))

    async def _work(client: ScadaClient) -> pb.DispatchReply:
        now = await server_time(client)
        if not order:  # the same id again must be the same order
            request.issued_ns = now
        if minutes is not None:
            request.valid_until_ns = now + int(minutes * 60 * NS_PER_S)
        reply: pb.DispatchReply = await client.signed("Dispatch/SendSetpoint", request)
        return reply

    print_reply(link, link.run(_work))


@command.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--area", required=True, help="Control area.")
@click.option("--unit", default="", help="mRID of a unit, whose base points these are; default: the area's net interchange.")
@click.option("--mw", default="", help="Values, separated by commas, instead of FILE.")
@click.option("--step", type=click.Choice([str(step) for step in STEPS]), default="900", show_default=True, help="Seconds.")
@click.option("--start-in", type=float, default=0.0, help="Seconds from now to the first value.")
@click.option("--order", default="", help="Order id; default: a new one.")
@pass_link
def schedule(link: Link, *, file: Path | None, area: str, unit: str, mw: str, step: str, start_in: float, order: str) -> None:
    """Send a schedule: one value a line in FILE (the last column counts, a head line is skipped), or --mw a,b,c.

    The first value holds at the start, the others --step seconds apart; between them it goes linearly.
    """
    values = read_values(file) if file else parse_values(mw.split(","), "--mw") if mw else []
    if not values:
        raise ScadaError("the schedule has no values", mend="give FILE or --mw a,b,c")
    request = pb.Schedule(area=area, unit=unit, step_s=int(step), mw=values, order_id=order_id(order))

    async def _work(client: ScadaClient) -> pb.DispatchReply:
        request.start_ns = await server_time(client) + int(start_in * NS_PER_S)
        reply: pb.DispatchReply = await client.signed("Dispatch/SendSchedule", request)
        return reply

    print_reply(link, link.run(_work))


@command.command()
@pass_link
def status(link: Link) -> None:
    """Set-point in force and the orders of late, newest first."""
    found: pb.DispatchStatus = link.run(lambda client: client.call("Dispatch/GetDispatch", pb.GetDispatchRequest()))
    setpoint_mw, present_mw = number(found.interchange_setpoint_mw), number(found.interchange_mw)
    click.echo(link.text("dispatch.status", setpoint=setpoint_mw, present=present_mw))
    rows = [
        [
            time_text(order.received_ns),
            time_text(order.issued_ns) if order.issued_ns else link.text("dispatch.issued_unknown"),
            order.order_id,
            order.sender,
            order.kind,
            order.name or order.target,
            order.words or number(order.mw),
            number(order.applied_mw),
            link.text(f"dispatch_code.{order.code}"),
            order.reason,
        ]
        for order in found.orders
    ]
    if found.followed:
        click.echo(
            table(
                link.heads("object", "day", "version", "plan", "next", "actual", "deviation", "planned_mwh", "executed_mwh"),
                [
                    [
                        one.name,
                        one.day,
                        f"{one.version}",
                        number(one.mw),
                        number(one.next_mw),
                        number(one.actual_mw),
                        number(one.deviation_mw),
                        number(one.planned_mwh),
                        number(one.executed_mwh),
                    ]
                    for one in found.followed
                ],
            )
        )
    heads = link.heads("time", "issued", "order", "sender", "kind", "object", "asked", "applied", "state", "reason")
    click.echo(table(heads, rows))


@command.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--audit", type=click.Path(path_type=Path), required=True, help="Folder of the audit log of that server.")
@pass_link
def check(link: Link, *, folder: Path, audit: Path) -> None:
    """Prove the store of orders in FOLDER (`[dispatch] path`), beside a server that runs or without it; needs the server's key.

    Exit code 0: every record is the server's, none is missing, none is older than the audit log says; 3: something is wrong.
    Whether the audit log itself is whole says `scada audit verify`.
    """
    from scada.actors.store_anchor import known_head
    from scada.apps.dispatch.order_store import OrderStore
    from scada.cli.audit import TAMPERED
    from scada.core.clock import SystemClock
    from scada.rtdb.lmdb_file import CorruptFileError
    from scada.security.audit_query import AuditReader
    from scada.security.identities import load_identity, seal_key

    key = seal_key(link.keys, load_identity(link.keys, "server", SystemClock()))
    known = known_head(AuditReader(audit))  # before the store: what is changed meanwhile is newer
    try:
        count, head = OrderStore.check(folder, key=key, known=known)
    except CorruptFileError as error:
        click.echo(f"WRONG        {error}")
        raise click.exceptions.Exit(TAMPERED) from error
    click.echo(f"{count} orders after {head.changes} changes; the audit log knows change {known.changes}: none is missing")


def read_values(file: Path) -> list[float]:
    """MW values of a CSV file, last column of each line; a first line that is no number is a head.

    Raises:
        ScadaError: the file cannot be read, or a line has no finite number (named by its number).
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            lines = [(f"{file}:{index}", row[-1]) for index, row in enumerate(csv.reader(stream), 1) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ScadaError(f"cannot read the schedule: {error}", where=str(file)) from error
    if lines and not _is_number(lines[0][1]):
        lines = lines[1:]
    return [value for where, cell in lines for value in parse_values([cell], where)]


def parse_values(cells: list[str], where: str) -> list[float]:
    """Finite MW values.

    Raises:
        ScadaError: a cell is not a finite number.
    """
    for cell in cells:
        if not _is_number(cell):
            raise ScadaError(f"{cell.strip()!r} is not a number of MW", where=where)
    return [float(cell) for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        value = float(cell)
    except ValueError:
        return False
    return abs(value) < float("inf")
