"""Orders of ``scada ctl``: acknowledge and operate. Each is signed; exit code 1 if it was not done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.ctl_guard import typed_number, wait_for_guardian
from scada.cli.link import Link, pass_link
from scada.cli.rendering import control_value, control_value_text, control_values, number, point_value
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

_DEVICE = click.option("--number", "device", default=None, help="Device number of the object; asked for if not given.")


def _waivers(command: Callable[..., None]) -> Callable[..., None]:
    for name, text in (
        ("--reason", "Why; needed for the two above, kept and told to everyone."),
        ("--bypass", "Against interlocks that may be bypassed; takes the right BYPASS."),
        ("--emergency", "Without the second person; takes the right EMERGENCY."),
    ):
        command = click.option(name, help=text, **({"default": ""} if name == "--reason" else {"is_flag": True}))(command)
    return command


@click.command()
@click.argument("ids", type=click.IntRange(1), nargs=-1, required=True)
@click.option("--seen", type=click.IntRange(1), default=None, help="Event up to which the list you saw stood; default: now.")
@pass_link
def ack(link: Link, *, ids: Sequence[int], seen: int | None) -> None:
    """Acknowledge exactly the alarms with these ids; exit code 1 if one is not present.

    An alarm that was raised again after the event --seen stays unacknowledged and counts as not present.
    """

    async def _work(client: ScadaClient) -> pb.AcknowledgeReply:
        last = seen or (await client.call("Events/ListAlarms", pb.ListAlarmsRequest())).last_event_id
        reply: pb.AcknowledgeReply = await client.signed(
            "Events/Acknowledge", pb.AcknowledgeRequest(alarm_ids=ids, last_event_id=last)
        )
        return reply

    reply = link.run(_work)
    click.echo(link.text("ctl.acknowledged", count=str(len(reply.acknowledged))))
    if reply.unknown:
        click.echo(link.text("ctl.unknown_alarms", ids=" ".join(map(str, reply.unknown))))
        sys.exit(1)


# ---------------------------------------------------------------------- controls


@click.command()
@click.argument("control")
@click.argument("value")
@_DEVICE
@_waivers
@pass_link
def select(link: Link, /, *, control: str, value: str, device: str | None, **waiver: Any) -> None:
    """Preset CONTROL (path or mRID) to VALUE (label or number) and show the check-back; nothing operates yet."""

    async def _work(client: ScadaClient) -> pb.ControlReply:
        found, wanted = await find_control(client, control, value)
        return await _select(link, client, found, wanted, device, waiver)

    reply = link.run(_work)
    if reply.sequence_id:
        click.echo(reply.sequence_id)
    sys.exit(int(reply.state != pb.CONTROL_STATE_SELECTED))


@click.command()
@click.argument("sequence")
@pass_link
def execute(link: Link, *, sequence: str) -> None:
    """Execute a selected SEQUENCE and wait for the feedback; where a second person confirmed it, with that word."""

    async def _work(client: ScadaClient) -> pb.ControlReply:
        listed = await client.call("Control/ListSequences", pb.ListSequencesRequest())
        digest = next((one.reply.confirm_digest for one in listed.sequences if one.reply.sequence_id == sequence), b"")
        reply: pb.ControlReply = await client.signed(
            "Control/Execute", pb.ExecuteRequest(sequence_id=sequence, confirm_digest=digest)
        )
        return reply

    reply = link.run(_work)
    _print_reply(link, reply)
    sys.exit(int(reply.state != pb.CONTROL_STATE_SUCCESS))


@click.command()
@click.argument("sequence")
@click.option("--reason", default="", help="Why; goes to the log.")
@pass_link
def cancel(link: Link, *, sequence: str, reason: str) -> None:
    """Withdraw a selected SEQUENCE."""
    request = pb.CancelRequest(sequence_id=sequence, reason=reason)
    reply: pb.ControlReply = link.run(lambda client: client.signed("Control/Cancel", request))
    _print_reply(link, reply)
    sys.exit(int(reply.state != pb.CONTROL_STATE_CANCELLED))


@click.command()
@click.argument("control")
@click.argument("value")
@_DEVICE
@click.option("--yes", is_flag=True, help="Execute without asking once the check-back is right; takes --number.")
@_waivers
@pass_link
def operate(link: Link, /, *, control: str, value: str, device: str | None, yes: bool, **waiver: Any) -> None:
    """Select CONTROL (path or mRID) to VALUE (label or number), show the check-back, ask, execute, show the result.

    Where a second person must confirm it, this waits for that.
    """
    if yes and device is None:
        raise ScadaError("nobody is asked, so nobody names the object twice", mend="give its device number with --number")

    async def _work(client: ScadaClient) -> bool:
        found, wanted = await find_control(client, control, value)
        reply = await _select(link, client, found, wanted, device, waiver)
        if reply.state != pb.CONTROL_STATE_SELECTED:
            return False
        shown = control_value_text(found, wanted)
        if not (yes or await _asked(link.text("ctl.confirm", path=found.path, value=shown))):
            await client.signed("Control/Cancel", pb.CancelRequest(sequence_id=reply.sequence_id, reason="not confirmed"))
            click.echo(link.text("ctl.not_executed"))
            return False
        if reply.needs_guardian:
            reply = await wait_for_guardian(link, client, reply)
            if reply.state != pb.CONTROL_STATE_CONFIRMED:
                _print_reply(link, reply)
                return False
        word = pb.ExecuteRequest(sequence_id=reply.sequence_id, confirm_digest=reply.confirm_digest)
        done = await client.signed("Control/Execute", word)
        _print_reply(link, done, await _feedback(client, found))
        return bool(done.state == pb.CONTROL_STATE_SUCCESS)

    sys.exit(int(not link.run(_work)))


async def _asked(question: str) -> bool:
    import asyncio

    try:
        return await asyncio.to_thread(click.confirm, question)
    except click.Abort:
        return False


async def find_control(client: ScadaClient, name: str, given: str) -> tuple[pb.ControlInfo, float]:
    """A control by path or mRID, and the value that a label or number means for it."""
    control = await _named(client, name)
    value = control_value(control, given)
    if value is None:
        raise ScadaError(f"{given!r} is no value of {control.path}", mend=f"values: {control_values(control)}")
    return control, value


async def _named(client: ScadaClient, name: str) -> pb.ControlInfo:
    listed: pb.ControlList = await client.call("Model/ListControls", pb.ListControlsRequest())
    exact = [control for control in listed.controls if name in (control.path, control.mrid)]
    if len(exact) != 1:
        raise ScadaError(f"the model has no control {name!r}", mend="see `scada ctl controls`")
    return exact[0]


async def _select(
    link: Link, client: ScadaClient, control: pb.ControlInfo, value: float, device: str | None, waiver: Mapping[str, Any]
) -> pb.ControlReply:
    present = await _feedback(client, control)
    click.echo(link.text("ctl.selected", path=control.path, present=present, value=control_value_text(control, value)))
    request = pb.SelectRequest(
        control=control.mrid,
        value=value,
        device_number=await typed_number(link, control, device),
        emergency=waiver["emergency"],
        bypass_interlocks=waiver["bypass"],
        reason=waiver["reason"],
    )
    reply: pb.ControlReply = await client.signed("Control/Select", request)
    _print_reply(link, reply)
    return reply


async def _feedback(client: ScadaClient, control: pb.ControlInfo) -> str:
    """The value that follows the control, as an operator reads it."""
    if control.feedback_pid < 0:
        return "-"
    listed: pb.PointList = await client.call("Model/ListPoints", pb.ListPointsRequest(station=control.station))
    frame: pb.PointFrame = await client.call("Realtime/Read", pb.ReadRequest(pids=[control.feedback_pid]))
    point = next((point for point in listed.points if point.pid == control.feedback_pid), pb.PointInfo())
    return point_value(point, frame.value[0], frame.quality[0])


def _print_reply(link: Link, reply: pb.ControlReply, present: str = "") -> None:
    for finding in reply.findings:
        key = "ctl.guard.bypassed" if reply.code == "bypassed" else "ctl.forbids"
        click.echo("  " + link.text(key, finding=link.text(finding.key, **finding.parameters)))
    click.echo(
        link.text(
            "ctl.answer",
            state=link.text(f"control_state.{reply.state}"),
            reason=reply.reason,
            code=reply.code,
            present=present,
            elapsed=number(reply.elapsed_s, 3) if reply.elapsed_s else "",
        )
    )


def _adjusting(name: str, *, raised: bool) -> click.Command:
    word = "Raise" if raised else "Lower"

    @click.command(name=name, help=f"{word} CONTROL (path or mRID): one step, or a set-point by AMOUNT from its present value.")
    @click.argument("control")
    @click.argument("amount", type=click.FloatRange(0), default=0.0)
    @_DEVICE
    @pass_link
    def _command(link: Link, *, control: str, amount: float, device: str | None) -> None:
        async def _work(client: ScadaClient) -> bool:
            found = await _named(client, control)
            typed = await typed_number(link, found, device)
            request = pb.AdjustRequest(control=found.mrid, amount=amount, device_number=typed)
            setattr(request, "raise", raised)  # a keyword of the language
            done = await client.signed("Control/Adjust", request)
            _print_reply(link, done, await _feedback(client, found))
            return bool(done.state == pb.CONTROL_STATE_SUCCESS)

        sys.exit(int(not link.run(_work)))

    return _command


ORDERS = (ack, select, execute, cancel, operate, _adjusting("raise", raised=True), _adjusting("lower", raised=False))
