"""``scada model try|propose|approve|withdraw|apply|rollback|versions|log|export``: versions of the model of a running server."""

from __future__ import annotations

import functools
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from scadapb.v1 import scada_pb2 as pb

from scada.api.texts import LANGUAGES
from scada.cli.link import Link, link_options, take_link
from scada.cli.model_session import SHOWN, accepted, answer, consent, detail_of, heads, send, settled, show, show_dangers, stops
from scada.cli.rendering import table, time_text
from scada.core.errors import ModelError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

REFUSED: Final = 1
WAITS: Final = 3
"""Exit code: a second engineer must approve first."""


def _on_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of a connection; the command gets a ``link``."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> Any:
        return command(link=take_link(given), **given)

    return link_options("engineer")(wrapped)


_message = click.option("--message", "-m", default="", help="What the version is for, in one sentence; it stays in the log.")
_reason = click.option("--message", "-m", "reason", default="", help="Why; it stays in the log.")
_base = click.option("--base", type=click.IntRange(1), default=None, help="Version the work started from; default: what runs.")
_yes = click.option("--yes", is_flag=True, help="Do not ask. Dangerous effects need --confirm-dangerous as well.")
_dangerous = click.option("--confirm-dangerous", is_flag=True, help="With --yes: I know the dangerous effects that are listed.")
_all = click.option("--all", "everything", is_flag=True, help=f"List every finding and effect, not only {SHOWN} of each.")
_path = click.argument("path", type=click.Path(path_type=Path, exists=True))


@click.command(name="try")
@_path
@click.argument("other", type=click.Path(path_type=Path, exists=True), required=False)
@_all
@_on_server
def try_(link: Link, path: Path, other: Path | None, *, everything: bool) -> None:
    """Shadow run: what a model makes of the values, beside what runs. Nothing is changed.

    With two paths the models are compared with each other, offline, on the positions and powers of their files (SSH). With one,
    it is compared on a running server with what runs there, on live values: it is proposed, checked, tried and withdrawn.
    Exit code 1 if the apply would be refused.

    \b
    Examples:
      scada model try examples/demo-grid edited-grid
      scada model try edited-grid --server scada1:50051
    """  # noqa: D301 - click's mark of lines that stay as they are
    if other is not None:
        sys.exit(_try_offline(path, other, link.language))
    detail: pb.VersionDetail = link.run(lambda client: _tried(link, client, path))
    show(link, detail, everything=everything)
    sys.exit(REFUSED if stops(detail) else 0)


async def _tried(link: Link, client: ScadaClient, path: Path) -> pb.VersionDetail:
    number = await send(client, path, link.text("versions.trial"), 0)
    try:
        return await settled(link, client, number)
    finally:
        await client.signed("Engineering/Withdraw", pb.WithdrawRequest(version=number))


@click.command()
@_path
@_message
@_base
@_all
@_on_server
def propose(link: Link, path: Path, message: str, base: int | None, *, everything: bool) -> None:
    """Propose a model folder, a zip of one, or a difference model (XML) as a new version; it is checked at once.

    \b
    Example:
      scada model propose edited-grid -m "new bay 2245 in Beishan"
    """  # noqa: D301 - click's mark of lines that stay as they are

    async def _work(client: ScadaClient) -> pb.VersionDetail:
        return await settled(link, client, await send(client, path, message or path.name, base or 0))

    detail: pb.VersionDetail = link.run(_work)
    show(link, detail, everything=everything)
    sys.exit(REFUSED if detail.version.state != "ready" else 0)


@click.command()
@click.argument("number", type=click.IntRange(1))
@_reason
@_yes
@_dangerous
@_all
@_on_server
def approve(link: Link, number: int, reason: str, *, yes: bool, confirm_dangerous: bool, everything: bool) -> None:
    """Approve another engineer's version, after a look at it: findings, effects, shadow run."""

    async def _work(client: ScadaClient) -> pb.EngineeringReply:
        detail = await detail_of(client, number)
        show(link, detail, everything=everything)
        consent(link, "versions.ask_approve", detail.version, yes=yes, dangerous=confirm_dangerous)
        request = pb.ApproveRequest(version=number, digest=detail.version.digest, reason=reason)
        return await client.signed("Engineering/Approve", request)  # type: ignore[no-any-return]

    answer(link, link.run(_work))


@click.command()
@click.argument("number", type=click.IntRange(1))
@_reason
@_on_server
def withdraw(link: Link, number: int, reason: str) -> None:
    """Give up a version that has not run."""
    request = pb.WithdrawRequest(version=number, reason=reason)
    answer(link, link.run(lambda client: client.signed("Engineering/Withdraw", request)))


@click.command()
@click.argument("what")
@_message
@_base
@_yes
@_dangerous
@_all
@_on_server
def apply(link: Link, what: str, message: str, base: int | None, *, yes: bool, confirm_dangerous: bool, everything: bool) -> None:
    """Run another version of the model: WHAT is a version's number, or a folder, zip or difference model to propose first.

    Findings, effects by station and the shadow run are shown, and it asks. Points are bound before the swap; channels whose
    addresses did not change are not restarted; `scada model rollback` goes back at once.
    Exit code 3: a second engineer must approve it first (`scada model approve`).

    \b
    Examples:
      scada model apply edited-grid -m "new bay 2245 in Beishan"
      scada model apply 12 --yes --confirm-dangerous
    """  # noqa: D301 - click's mark of lines that stay as they are
    path = Path(what)
    known = int(what) if what.isdigit() and not path.exists() else 0
    if not (known or path.exists()):
        raise ModelError("no such folder, file or version", where=what, mend="see `scada model versions`")

    async def _work(client: ScadaClient) -> int:
        number = known or await send(client, path, message or path.name, base or 0)
        detail = await _upon_current(link, client, await settled(link, client, number), message)
        show(link, detail, everything=everything)
        return await _apply(link, client, detail.version, message, yes=yes, dangerous=confirm_dangerous)

    sys.exit(link.run(_work))


async def _upon_current(link: Link, client: ScadaClient, detail: pb.VersionDetail, message: str) -> pb.VersionDetail:
    """A version that was checked on another one than what runs is proposed anew."""
    version = detail.version
    listed = await client.call("Engineering/ListVersions", pb.ListVersionsRequest(limit=1))
    if version.state != "ready" or version.checked_on == listed.current:
        return detail
    click.echo(link.text("versions.anew", number=str(version.number), current=str(listed.current)), err=True)
    request = pb.ProposeRequest(version=version.number, description=message or version.description)
    reply = await client.signed("Engineering/Propose", request)
    return await settled(link, client, accepted(reply))


async def _apply(link: Link, client: ScadaClient, version: pb.ModelVersion, reason: str, *, yes: bool, dangerous: bool) -> int:
    if version.state != "ready":
        return REFUSED
    if version.needs_approval:
        click.echo(link.text("versions.waits", number=str(version.number)))
        return WAITS
    consent(link, "versions.ask_apply", version, yes=yes, dangerous=dangerous)
    confirm = [danger.key for danger in version.dangers]
    request = pb.ApplyRequest(version=version.number, digest=version.digest, confirm=confirm, reason=reason)
    reply = await client.signed("Engineering/Apply", request)
    if reply.code == "unconfirmed":  # what came up since it was checked
        show_dangers(link, reply.unconfirmed)
        more = pb.ModelVersion(number=version.number, dangers=reply.unconfirmed)
        consent(link, "versions.ask_apply", more, yes=yes, dangerous=dangerous)
        request.confirm.extend(danger.key for danger in reply.unconfirmed)
        reply = await client.signed("Engineering/Apply", request)
    accepted(reply)
    done = (await settled(link, client, version.number)).version
    return _ran(link, done)


def _ran(link: Link, version: pb.ModelVersion) -> int:
    key = "versions.runs" if version.current else "versions.failed"
    click.echo(link.text(key, number=str(version.number), result=version.result))
    return 0 if version.current else REFUSED


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@_reason
@_yes
@_on_server
def rollback(link: Link, number: int | None, reason: str, *, yes: bool) -> None:
    """Run the version before again (at once), or an earlier one by its number."""

    async def _work(client: ScadaClient) -> int:
        listed = await client.call("Engineering/ListVersions", pb.ListVersionsRequest())
        wanted = number or next((one.number for one in listed.versions if one.previous), 0)
        version = next((one for one in listed.versions if one.number == wanted), None)
        if version is None:
            what = link.text("versions.unknown", number=str(number)) if number else link.text("versions.no_earlier")
            raise ModelError(what, mend="see `scada model versions`")
        consent(link, "versions.ask_rollback", pb.ModelVersion(number=wanted), yes=yes, dangerous=False)
        accepted(await client.signed("Engineering/Rollback", pb.RollbackRequest(version=wanted, reason=reason)))
        return _ran(link, (await settled(link, client, wanted)).version)

    sys.exit(link.run(_work))


@click.command()
@click.option("--limit", type=click.IntRange(0), default=30, show_default=True, help="Newest shown; 0 = all.")
@_on_server
def versions(link: Link, limit: int) -> None:
    """Versions of the model, the newest first; * = runs, < = what a rollback goes to."""
    listed: pb.VersionList = link.run(lambda client: client.call("Engineering/ListVersions", pb.ListVersionsRequest(limit=limit)))
    rows = [
        [
            ("*" if one.current else "<" if one.previous else " ") + str(one.number),
            link.text(f"versions.state.{one.state}"),
            one.maker,
            time_text(one.made_ns),
            one.approver,
            time_text(one.applied_ns) if one.applied_ns else "",
            one.digest[:12],
            one.description,
        ]
        for one in listed.versions
    ]
    click.echo(table(heads(link, "version", "state", "maker", "made", "approver", "applied", "digest", "description"), rows))


@click.command()
@click.argument("number", type=click.IntRange(1), required=False)
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="Newest shown; 0 = all.")
@_on_server
def log(link: Link, number: int | None, limit: int) -> None:
    """What was done to the versions of the model, the newest first, or to one of them: who, when, what came of it, hashes."""
    request = pb.VersionLogRequest(number=number or 0, limit=limit)
    found: pb.VersionLog = link.run(lambda client: client.call("Engineering/GetLog", request))
    rows = [
        [
            str(one.seq),
            time_text(one.time_ns),
            str(one.version),
            link.text(f"versions.step.{one.step}"),
            one.actor,
            one.hash[:12],
            one.text,
        ]
        for one in found.entries
    ]
    click.echo(table(heads(link, "entry", "time", "version", "step", "actor", "hash", "text"), rows))


@click.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to make, or a file that ends with .zip.")
@_on_server
def export(link: Link, number: int, out: Path) -> None:
    """Get the files of a version."""
    if out.exists():
        raise ModelError("it is there already", where=str(out), mend="give another name")
    data: bytes = link.run(lambda client: client.download(number))
    try:
        if out.suffix.lower() == ".zip":
            out.write_bytes(data)
            count = len(zipfile.ZipFile(io.BytesIO(data)).namelist())
        else:
            count = _unpack(data, out)
    except OSError as error:
        raise ModelError(f"cannot be written: {error.strerror}", where=str(out), mend="check the folder") from error
    click.echo(link.text("versions.exported", number=str(number), count=str(count), out=str(out)))


def _unpack(data: bytes, out: Path) -> int:
    from scada.model_cim.version_files import files_of, unpack_model

    with tempfile.NamedTemporaryFile(suffix=".zip") as archive:
        archive.write(data)
        archive.flush()
        unpack_model(Path(archive.name), out, 4 << 30)
    return len(files_of(out))


COMMANDS: Final[Sequence[click.Command]] = (try_, propose, approve, withdraw, apply, rollback, versions, log, export)


def _try_offline(path: Path, other: Path, language: str) -> int:
    from scada.apps.network.shadow import Side, shadow_run
    from scada.model_cim.points import load_model

    running, candidate = (Side(*load_model(one)[:2]) for one in (path, other))
    report = shadow_run(running, candidate, None)
    for line in report.lines(language if language in LANGUAGES else "en"):
        click.echo(line)
    return 0 if report.ok else REFUSED
