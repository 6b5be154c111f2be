"""``scada ctl programme``: sequences and groups of controls. Orders are signed; exit code 1 if refused or if a run failed."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link, pass_link
from scada.cli.programme_files import Controls, programme_of_file, read_programme
from scada.cli.rendering import control_value_text, number, table, time_text
from scada.core.clock import NS_PER_S
from scada.core.errors import ScadaError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from scada.api.client import ScadaClient

_ENDED: Final = ("done", "stopped", "failed", "interrupted")
_LOOK_S: Final = 0.3
_REASON = click.option("--reason", default="", help="Why; goes to the log.")


@click.group(name="programme")
def programme() -> None:
    """Sequences and groups of controls: written down, checked, confirmed as a whole, run step by step."""


@programme.command(name="list")
@click.option("--ended", is_flag=True, help="Runs that ended too.")
@pass_link
def list_(link: Link, *, ended: bool) -> None:
    """Programmes, and runs under way."""

    async def _work(client: ScadaClient) -> tuple[pb.ProgrammeList, pb.RunList]:
        return (
            await client.call("Programmes/ListProgrammes", pb.ListProgrammesRequest()),
            await client.call("Programmes/ListRuns", pb.ListRunsRequest(ended=ended)),
        )

    found, runs = link.run(_work)
    rows = [
        [
            one.name,
            str(one.version),
            link.state("programme_kind", one.kind),
            str(len(one.steps)),
            one.area,
            one.title,
            _finding(link, one),
        ]
        for one in found.programmes
    ]
    heads = link.heads("name", "version", "kind", "steps", "area", "title", "finding")
    click.echo(table(heads, rows) if rows else link.text("ctl.programme.none"))
    for run in runs.runs:
        _print_run(link, run)


@programme.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(0), default=0, help="0 = the newest.")
@pass_link
def show(link: Link, *, name: str, version: int) -> None:
    """The steps of a programme, what is wrong with them now, and the digest that a start names."""

    async def _work(client: ScadaClient) -> tuple[pb.Programme, Controls]:
        return await _get(client, name, version), await _controls(client)

    found, controls = link.run(_work)
    _print_programme(link, found, controls)


@programme.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--based-on", type=click.IntRange(0), default=None, help="Version you saw; default: the newest there is.")
@_REASON
@pass_link
def save(link: Link, *, file: Path, based_on: int | None, reason: str) -> None:
    """Save the programme in FILE (TOML) as the next version; every step is checked against the model.

    FILE has name, title and kind (sequence or group), and a [[step]] for each: control (path or mRID), value (label or number)
    and, if wanted, condition, timeout_s, pause_s, accept_no_feedback, note.
    """
    plain = read_programme(file)

    async def _work(client: ScadaClient) -> pb.ProgrammeReply:
        asked = programme_of_file(plain, await _controls(client), str(file))
        newest = based_on if based_on is not None else await _newest(client, asked.name)
        return await _order(client, "Save", pb.SaveProgrammeRequest(programme=asked, based_on=newest, reason=reason))

    sys.exit(_print_reply(link, link.run(_work)))


@programme.command()
@click.argument("name")
@_REASON
@pass_link
def remove(link: Link, *, name: str, reason: str) -> None:
    """Remove a programme; its versions stay in the store."""

    async def _work(client: ScadaClient) -> pb.ProgrammeReply:
        asked, newest = pb.Programme(name=name), await _newest(client, name)
        return await _order(client, "Save", pb.SaveProgrammeRequest(programme=asked, based_on=newest, remove=True, reason=reason))

    sys.exit(_print_reply(link, link.run(_work)))


@programme.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(0), default=0, help="Version you saw; 0 = the newest, shown before you are asked.")
@click.option("--at", default="", help="Local time to begin, e.g. 2026-11-22T22:30; default: at once.")
@click.option("--when", "condition", default="", help="Condition that begins it once it holds.")
@click.option("--wait", type=float, default=600.0, show_default=True, help="Longest wait for --when, s.")
@click.option("--single-step", is_flag=True, help="Wait for `step` before each step.")
@click.option("--emergency", is_flag=True, help="Without the second person; needs the right and a reason.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--watch", "follow", is_flag=True, help="Show the steps until it ends.")
@_REASON
@pass_link
def start(
    link: Link,
    *,
    name: str,
    version: int,
    at: str,
    condition: str,
    wait: float,
    single_step: bool,
    emergency: bool,
    yes: bool,
    follow: bool,
    reason: str,
) -> None:
    """Show the programme NAME, ask, and begin a run of exactly what was shown."""
    at_ns = _time(at)

    async def _work(client: ScadaClient) -> int:
        seen = await _get(client, name, version)
        _print_programme(link, seen, await _controls(client))
        if not (yes or await asyncio.to_thread(click.confirm, f"{name} v{seen.version}?")):
            return 1
        request = pb.StartProgrammeRequest(
            name=name,
            version=seen.version,
            digest=seen.digest,
            at_ns=at_ns,
            condition=condition,
            wait_s=wait if condition else 0.0,
            single_step=single_step,
            emergency=emergency,
            reason=reason,
        )
        reply = await _order(client, "Start", request)
        failed = _print_reply(link, reply)
        return await _watch(link, client, reply.run) if follow and not failed else failed

    sys.exit(link.run(_work))


@programme.command()
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--refuse", is_flag=True, help="Say no: the run ends.")
@_REASON
@pass_link
def confirm(link: Link, *, run: str, yes: bool, refuse: bool, reason: str) -> None:
    """As the second person, look at all steps of RUN and confirm them (--name and --station of the group say who and where)."""

    async def _work(client: ScadaClient) -> int:
        found = await _find(client, run)
        _print_steps(link, found, await _controls(client))
        click.echo(_beginning(link, found))
        words = {"run": run, "programme": found.programme, "version": str(found.version), "operator": found.operator}
        question = link.text("ctl.programme.confirm", count=str(len(found.planned)), **words)
        if not (yes or refuse or await asyncio.to_thread(click.confirm, question)):
            return 1
        digests = {"digest": found.digest, "start_digest": found.start_digest}
        request = pb.ConfirmProgrammeRequest(run=run, refuse=refuse, reason=reason, **digests)
        return _print_reply(link, await _order(client, "Confirm", request))

    sys.exit(link.run(_work))


def _commanding(action: str, text: str) -> click.Command:
    @click.command(name=action, help=text)
    @click.argument("run")
    @_REASON
    @pass_link
    def command(link: Link, *, run: str, reason: str) -> None:
        request = pb.ProgrammeCommand(run=run, action=action, reason=reason)
        sys.exit(_print_reply(link, link.run(lambda client: _order(client, "Command", request))))

    return command


for _action, _text in {
    "pause": "Begin no further step of RUN; what is being executed runs to its end.",
    "resume": "Go on with a paused RUN; who resumes it acts from now on.",
    "step": "Let a paused RUN do one step.",
    "stop": "End RUN for good.",
}.items():
    programme.add_command(_commanding(_action, _text))


@programme.command()
@click.argument("run")
@pass_link
def watch(link: Link, *, run: str) -> None:
    """Show each step of RUN as it goes, until the run ends; exit code 1 unless it was done."""
    sys.exit(link.run(lambda client: _watch(link, client, run)))


def _time(given: str) -> int:
    if not given:
        return 0
    try:
        return int(datetime.fromisoformat(given).astimezone().timestamp()) * NS_PER_S
    except ValueError as error:
        raise ScadaError(f"{given!r} is no time", mend="write it as 2026-11-22T22:30") from error


# ---------------------------------------------------------------- calls


async def _order(client: ScadaClient, method: str, request: Message) -> pb.ProgrammeReply:
    reply: pb.ProgrammeReply = await client.signed(f"Programmes/{method}", request)
    return reply


async def _get(client: ScadaClient, name: str, version: int = 0) -> pb.Programme:
    found: pb.Programme = await client.call("Programmes/GetProgramme", pb.GetProgrammeRequest(name=name, version=version))
    return found


async def _newest(client: ScadaClient, name: str) -> int:
    listed: pb.ProgrammeList = await client.call("Programmes/ListProgrammes", pb.ListProgrammesRequest())
    return next((one.version for one in listed.programmes if one.name == name), 0)


async def _controls(client: ScadaClient) -> Controls:
    listed: pb.ControlList = await client.call("Model/ListControls", pb.ListControlsRequest())
    return {name: control for control in listed.controls for name in (control.path, control.mrid)}


async def _find(client: ScadaClient, run: str) -> pb.RunInfo:
    listed: pb.RunList = await client.call("Programmes/ListRuns", pb.ListRunsRequest(ended=True))
    found = next((one for one in listed.runs if one.run == run), None)
    if found is None:
        raise ScadaError(f"there is no run {run!r}", mend="see `scada ctl programme list --ended`")
    return found


async def _watch(link: Link, client: ScadaClient, run: str) -> int:
    shown: dict[object, str] = {}
    controls = await _controls(client)
    while True:
        found = await _find(client, run)
        for at, (step, state) in enumerate(zip(found.planned, found.steps, strict=True)):
            text = f"{at + 1}/{len(found.steps)}  {_step_text(step, controls)}  {_state_text(link, state)}"
            if state.state != "waiting" and shown.get(at) != text:
                shown[at] = text
                click.echo(f"{time_text(state.ended_ns or state.started_ns or found.ended_ns)}  {text}")
        if shown.get("run") != found.state + found.code:
            shown["run"] = found.state + found.code
            _print_run(link, found)
        if found.state in _ENDED:
            return int(found.state != "done")
        await asyncio.sleep(_LOOK_S)


# ---------------------------------------------------------------- printing


def _print_programme(link: Link, found: pb.Programme, controls: Controls) -> None:
    words = {"name": found.name, "version": str(found.version), "kind": link.state("programme_kind", found.kind)}
    click.echo(link.text("ctl.programme.head", title=found.title, author=found.author, **words))
    rows = [
        [
            str(at),
            step.path or step.control,
            _value_text(step, controls),
            f"{step.condition} ({number(step.timeout_s)} s)" if step.condition else "",
            number(step.pause_s) if step.pause_s else "",
            _feedback(link, step),
            step.note,
            step.finding,
        ]
        for at, step in enumerate(found.steps, 1)
    ]
    click.echo(table(link.heads("step", "control", "value", "condition", "pause", "feedback", "note", "finding"), rows))
    click.echo(link.text("ctl.programme.digest", digest=found.digest.hex()))


def _print_steps(link: Link, run: pb.RunInfo, controls: Controls) -> None:
    shown = pb.Programme(name=run.programme, title=run.title, kind=run.kind, version=run.version, digest=run.digest)
    shown.steps.extend(run.planned)
    _print_run(link, run)
    _print_programme(link, shown, controls)


def _print_run(link: Link, run: pb.RunInfo) -> None:
    click.echo(
        link.text(
            "ctl.programme.run",
            run=run.run,
            programme=run.programme,
            version=str(run.version),
            state=link.state("programme_state", run.state),
            code=run.code,
            reason=run.reason,
            operator=run.operator,
            guardian=run.guardian,
            at=time_text(run.at_ns) if run.state in ("unconfirmed", "waiting") else "",
        )
    )


def _beginning(link: Link, run: pb.RunInfo) -> str:
    """When and how a run begins, which a guardian confirms with it."""
    return link.text(
        "ctl.programme.begins",
        at=time_text(run.at_ns) if run.at_ns else "",
        condition=run.condition,
        wait=f"{run.wait_s:g}" if run.condition else "",
        stepwise=link.text("ctl.programme.stepwise") if run.single_step else "",
        why=run.why,
    )


def _print_reply(link: Link, reply: pb.ProgrammeReply) -> int:
    key = "ctl.programme.accepted" if reply.accepted else "ctl.programme.refused"
    version = str(reply.version) if reply.version else ""
    click.echo(link.text(key, run=reply.run, version=version, code=reply.code, reason=reply.reason))
    for at, text in enumerate(reply.findings, 1):
        if text:
            click.echo(link.text("ctl.programme.finding", step=str(at), text=text))
    return int(not reply.accepted)


def _finding(link: Link, found: pb.Programme) -> str:
    return next(
        (
            link.text("ctl.programme.finding", step=str(at), text=one.finding)
            for at, one in enumerate(found.steps, 1)
            if one.finding
        ),
        "",
    )


def _feedback(link: Link, step: pb.ProgrammeStep) -> str:
    """What a step without a feedback means for the run; empty for the others."""
    if not step.no_feedback:
        return ""
    return link.text("ctl.programme.no_feedback" + "_accepted" * step.accept_no_feedback)


def _step_text(step: pb.ProgrammeStep, controls: Controls) -> str:
    return f"{step.path or step.control} -> {_value_text(step, controls)}"


def _value_text(step: pb.ProgrammeStep, controls: Controls) -> str:
    control = controls.get(step.control)
    return number(step.value) if control is None else control_value_text(control, step.value)


def _state_text(link: Link, state: pb.StepState) -> str:
    detail = " ".join(text for text in (state.reason, state.code and f"[{state.code}]") if text)
    return f"{link.state('programme_step', state.state)} {detail}".rstrip()
