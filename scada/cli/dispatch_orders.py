"""``scada dispatch``: modes, limits, withdrawals and questions of a dispatcher, decisions of an operator."""

from __future__ import annotations

import secrets
import sys
from typing import TYPE_CHECKING

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import number, table, time_text
from scada.core.clock import NS_PER_S

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

DONE = (pb.DISPATCH_CODE_ACCEPTED, pb.DISPATCH_CODE_CLIPPED)
_MINUTES = click.option(
    "--minutes", type=click.FloatRange(0, min_open=True), default=None, help="Validity; default: until replaced."
)
_PRIORITY = click.option(
    "--priority", type=click.IntRange(0, 99), default=0, help="A higher one goes before a lower one in force."
)
_ORDER = click.option("--order", default="", help="Order id; default: a new one. The same id twice is a duplicate.")
_ID = click.argument("order_id")
_REASON = click.option("--reason", default="", help="Why, for the other side and the audit log.")


async def server_time(client: ScadaClient) -> int:
    """Ns UTC by the server's clock, which its validity times go by."""
    status: pb.SystemStatus = await client.call("Realtime/GetStatus", pb.GetStatusRequest())
    return int(status.time_ns)


def order_id(given: str) -> str:
    """The id that was given, or a new one."""
    return given or secrets.token_hex(8)


def print_reply(link: Link, reply: pb.DispatchReply) -> None:
    """Print the answer and leave with 0 only if the order is in force."""
    code = link.text(f"dispatch_code.{reply.code}")
    if reply.first_code:
        code = f"{code} ({link.text(f'dispatch_code.{reply.first_code}')})"
    applied = number(reply.applied_mw) if reply.code in DONE else "-"
    click.echo(link.text("dispatch.answer", code=code, reason=reply.reason, mw=applied, order=reply.order_id))
    sys.exit(0 if reply.code in DONE else 1)


def _mode(link: Link, request: pb.ModeOrder, minutes: float | None, *, given: bool) -> None:
    async def _work(client: ScadaClient) -> pb.DispatchReply:
        now = await server_time(client)
        if not given:  # the same id again must be the same order
            request.issued_ns = now
        if minutes is not None:
            request.valid_until_ns = now + int(minutes * 60 * NS_PER_S)
        reply: pb.DispatchReply = await client.signed("Dispatch/SendMode", request)
        return reply

    print_reply(link, link.run(_work))


@click.command("mode")
@click.argument("target", type=click.Choice(["agc", "avc", "control_mode", "unit"]))
@click.argument("mode")
@click.option("--area", default="", help="Control area.")
@click.option("--unit", default="", help="mRID of the unit.")
@_MINUTES
@_PRIORITY
@_ORDER
@pass_link
def send_mode(
    link: Link, *, target: str, mode: str, area: str, unit: str, minutes: float | None, priority: int, order: str
) -> None:
    """Order a mode for a time: on, monitor or off of agc and avc, a control mode, or of a unit such as SCHE/O.

    At its end what was before is restored, unless an operator changed it meanwhile.
    """
    request = pb.ModeOrder(target=target, mode=mode, area=area, unit=unit, priority=priority, order_id=order_id(order))
    _mode(link, request, minutes, given=bool(order))


@click.command("limits")
@click.option("--unit", required=True, help="mRID of the unit.")
@click.option("--area", default="", help="Its control area.")
@click.option("--min", "minimum", type=float, default=None, help="Least output, MW.")
@click.option("--max", "maximum", type=float, default=None, help="Greatest output, MW.")
@_MINUTES
@_PRIORITY
@_ORDER
@pass_link
def send_limits(
    link: Link,
    *,
    unit: str,
    area: str,
    minimum: float | None,
    maximum: float | None,
    minutes: float | None,
    priority: int,
    order: str,
) -> None:
    """Bind a unit to limits for a time, within those of its model."""
    request = pb.ModeOrder(target="limits", unit=unit, area=area, priority=priority, order_id=order_id(order))
    if minimum is not None:
        request.minimum_mw = minimum
    if maximum is not None:
        request.maximum_mw = maximum
    _mode(link, request, minutes, given=bool(order))


@click.command("order")
@_ID
@pass_link
def show_order(link: Link, *, order_id: str) -> None:
    """What became of an order; the answer is signed by the server."""
    question = pb.GetOrderRequest(order_id=order_id)
    print_reply(link, link.run(lambda client: client.signed("Dispatch/GetOrder", question)))


@click.command()
@_ID
@_REASON
@pass_link
def withdraw(link: Link, *, order_id: str, reason: str) -> None:
    """Take back an order that you sent and that waits or stands."""
    request = pb.WithdrawOrder(order_id=order_id, reason=reason)
    reply: pb.DispatchReply = link.run(lambda client: client.signed("Dispatch/WithdrawOrder", request))
    code = link.text(f"dispatch_code.{reply.code}")
    click.echo(link.text("dispatch.answer", code=code, reason=reply.reason, mw="-", order=reply.order_id))
    sys.exit(0 if reply.code == pb.DISPATCH_CODE_WITHDRAWN else 1)


_SENDER = click.option("--sender", default="", help="Whose order, where several dispatchers use one id.")


@click.command()
@_ID
@_REASON
@_SENDER
@pass_link
def accept(link: Link, *, order_id: str, reason: str, sender: str) -> None:
    """Accept an order that waits, as an operator."""
    request = pb.OrderDecision(order_id=order_id, accept=True, reason=reason, sender=sender)
    print_reply(link, link.run(lambda client: client.signed("Dispatch/Decide", request)))


@click.command()
@_ID
@click.option("--reason", required=True, help="Why, for the dispatcher and the audit log.")
@_SENDER
@pass_link
def refuse(link: Link, *, order_id: str, reason: str, sender: str) -> None:
    """Refuse an order that waits, as an operator; exit code 0 if that was done."""
    request = pb.OrderDecision(order_id=order_id, accept=False, reason=reason, sender=sender)
    reply: pb.DispatchReply = link.run(lambda client: client.signed("Dispatch/Decide", request))
    code = link.text(f"dispatch_code.{reply.code}")
    click.echo(link.text("dispatch.answer", code=code, reason=reply.reason, mw="-", order=reply.order_id))
    sys.exit(0 if reply.reason_code == "operator" else 1)


@click.command()
@pass_link
def pending(link: Link) -> None:
    """Orders that wait for an operator, and how long still."""

    async def _work(client: ScadaClient) -> tuple[pb.DispatchStatus, int]:
        found: pb.DispatchStatus = await client.call("Dispatch/GetDispatch", pb.GetDispatchRequest())
        return found, await server_time(client)

    found, now = link.run(_work)
    rows = [
        [
            one.order_id,
            one.sender,
            one.kind,
            one.name,
            one.words or number(one.mw),
            f"{(one.decide_until_ns - now) / NS_PER_S:.0f}",
        ]
        for one in found.orders
        if one.code == pb.DISPATCH_CODE_PENDING
    ]
    click.echo(table(link.heads("order", "sender", "kind", "object", "asked", "left_s"), rows))


@click.command()
@pass_link
def force(link: Link) -> None:
    """What every target follows now, and by whose word."""
    found: pb.DispatchStatus = link.run(lambda client: client.call("Dispatch/GetDispatch", pb.GetDispatchRequest()))
    rows = [
        [
            one.name,
            one.kind,
            one.words or number(one.mw),
            one.source,
            one.order_id,
            one.sender,
            f"{one.priority}" if one.order_id else "",
            time_text(one.valid_until_ns) if one.valid_until_ns else "",
        ]
        for one in found.targets
    ]
    click.echo(table(link.heads("object", "kind", "applied", "source", "order", "sender", "priority", "until"), rows))


@click.command()
@pass_link
def contracts(link: Link) -> None:
    """What each dispatcher may order."""
    found: pb.DispatchStatus = link.run(lambda client: client.call("Dispatch/GetDispatch", pb.GetDispatchRequest()))
    rows = [
        [
            one.sender,
            ", ".join(one.kinds),
            ", ".join((*one.areas, *one.units)),
            one.decide if one.decide == "auto" else f"{one.decide}, {one.decide_within_s:g} s",
            f"{one.priority}",
            ", ".join(one.hours),
            time_text(one.heard_ns) if one.heard_ns else "",
        ]
        for one in found.contracts
    ]
    click.echo(table(link.heads("sender", "kind", "object", "decide", "priority", "time", "heard"), rows))


ORDERS = (send_mode, send_limits, show_order, withdraw, accept, refuse, pending, force, contracts)
