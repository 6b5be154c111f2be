"""``scada ctl``: sequences under way, and the second person's part in them."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.rendering import control_value_text, table
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_POLL_S = 0.5
_STANDS = (pb.CONTROL_STATE_SELECTED, pb.CONTROL_STATE_CONFIRMED)


@click.command()
@click.option("--station", default="", help="Only of this station.")
@click.option("--ended", is_flag=True, help="The last that ended too.")
@pass_link
def sequences(link: Link, *, station: str, ended: bool) -> None:
    """Controls under way: who selected what where, and how long it still stands."""

    async def _work(client: ScadaClient) -> list[list[str]]:
        controls = await _controls(client)
        found = await client.call("Control/ListSequences", pb.ListSequencesRequest(station=station, ended=ended))
        return [_row(link, one, controls, found.time_ns) for one in found.sequences]

    rows = link.run(_work)
    if rows:
        click.echo(table(link.heads("sequence", "control", "value", "operator", "workstation", "state", "left"), rows))
    else:
        click.echo(link.text("ctl.sequences.none"))


@click.command()
@click.argument("sequence", default="")
@click.option("--number", default=None, help="Device number of the object; asked for if not given.")
@click.option("--refuse", is_flag=True, help="Say no: the selection is withdrawn.")
@click.option("--reason", default="", help="Why; goes to the log.")
@pass_link
def guard(link: Link, *, sequence: str, number: str | None, refuse: bool, reason: str) -> None:
    """Confirm SEQUENCE as the second person, or refuse it; without a SEQUENCE: what waits for one.

    What is signed names the object, the value and the operator's signed selection. It takes the right GUARD, and another
    person at another workstation (--station) than the operator.
    """

    async def _work(client: ScadaClient) -> bool:
        controls = await _controls(client)
        found = await client.call("Control/ListSequences", pb.ListSequencesRequest())
        waiting = [one for one in found.sequences if one.reply.needs_guardian and one.reply.state in _STANDS]
        if not sequence:
            rows = [_row(link, one, controls, found.time_ns) for one in waiting]
            heads = link.heads("sequence", "control", "value", "operator", "workstation", "state", "left")
            click.echo(table(heads, rows) if rows else link.text("ctl.guard.none"))
            return True
        chosen = next((one for one in waiting if one.reply.sequence_id == sequence), None)
        if chosen is None:
            raise ScadaError(f"no sequence {sequence!r} waits for a guardian", mend="see `scada ctl guard`")
        return await _decide(link, client, chosen, controls, number, refuse=refuse, reason=reason)

    sys.exit(int(not link.run(_work)))


async def _decide(
    link: Link,
    client: ScadaClient,
    chosen: pb.SequenceInfo,
    controls: dict[str, pb.ControlInfo],
    number: str | None,
    *,
    refuse: bool,
    reason: str,
) -> bool:
    value = _value(chosen, controls)
    named = {"path": chosen.path, "value": value, "operator": chosen.operator, "workstation": chosen.workstation}
    click.echo(link.text("ctl.guard.shown", **named, why=chosen.why))
    for finding in chosen.reply.findings:
        click.echo("  " + link.text("ctl.guard.bypassed", finding=link.text(finding.key, **finding.parameters)))
    if not refuse and chosen.control in controls:
        number = await typed_number(link, controls[chosen.control], number)
    request = pb.ConfirmRequest(
        sequence_id=chosen.reply.sequence_id,
        control=chosen.control,
        value=chosen.reply.value,
        device_number=number or "",
        select_digest=chosen.reply.select_digest,
        refuse=refuse,
        reason=reason,
    )
    reply: pb.ControlReply = await client.signed("Control/Confirm", request)
    state = link.text(f"control_state.{reply.state}")
    click.echo(link.text("ctl.answer", state=state, reason=reply.reason, code=reply.code, present="", elapsed=""))
    return reply.state == (pb.CONTROL_STATE_CANCELLED if refuse else pb.CONTROL_STATE_CONFIRMED)


async def typed_number(link: Link, control: pb.ControlInfo, given: str | None) -> str:
    """The device number as a person types it; it is not filled in, because it guards against the wrong object."""
    if given is not None or not control.device_number:
        return given or ""
    typed: str = await asyncio.to_thread(click.prompt, link.text("ctl.number"), default="", show_default=False)
    return typed


async def wait_for_guardian(link: Link, client: ScadaClient, reply: pb.ControlReply) -> pb.ControlReply:
    """Wait until a second person has confirmed or refused a selection, or its time has passed; counts down on a terminal."""
    told, live = -1, sys.stdout.isatty()
    while True:
        found = await client.call("Control/ListSequences", pb.ListSequencesRequest(ended=True))
        now = next((one.reply for one in found.sequences if one.reply.sequence_id == reply.sequence_id), None)
        if now is None or now.state != pb.CONTROL_STATE_SELECTED:
            if live:
                click.echo()
            if now is not None and now.state == pb.CONTROL_STATE_CONFIRMED:
                click.echo(link.text("ctl.guardian.confirmed", guardian=now.guardian))
            return reply if now is None else now
        left = max(0, round((now.valid_until_ns - found.time_ns) / NS_PER_S))
        if live and left != told:
            click.echo("\r" + link.text("ctl.guardian.waiting", left=str(left)) + " ", nl=False)
        elif told < 0:
            click.echo(link.text("ctl.guardian.waiting", left=str(left)))
        told = left
        await asyncio.sleep(_POLL_S)


async def _controls(client: ScadaClient) -> dict[str, pb.ControlInfo]:
    listed: pb.ControlList = await client.call("Model/ListControls", pb.ListControlsRequest())
    return {control.mrid: control for control in listed.controls}


def _value(one: pb.SequenceInfo, controls: dict[str, pb.ControlInfo]) -> str:
    control = controls.get(one.control)
    return f"{one.reply.value:g}" if control is None else control_value_text(control, one.reply.value)


def _row(link: Link, one: pb.SequenceInfo, controls: dict[str, pb.ControlInfo], now_ns: int) -> list[str]:
    left = f"{max(0, round((one.reply.valid_until_ns - now_ns) / NS_PER_S))} s" if one.reply.valid_until_ns else ""
    state = link.text(f"control_state.{one.reply.state}")
    if one.reply.needs_guardian and one.reply.state == pb.CONTROL_STATE_SELECTED:
        state = link.text("ctl.sequences.unguarded")
    marks = [link.text(f"ctl.sequences.{name}") for name in ("emergency", "bypass") if getattr(one, name)]
    shown = " ".join([state, *marks])
    return [one.reply.sequence_id, one.path, _value(one, controls), one.operator, one.workstation, shown, left]


GUARD = (sequences, guard)
