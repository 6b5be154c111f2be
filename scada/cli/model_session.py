"""How the commands of ``scada model`` talk to a server about versions, and show what it says of one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from scadapb.v1 import scada_pb2 as pb

from scada.cli.link import Link
from scada.core.errors import ModelError

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

LOOK_S: Final = 0.3
SHOWN: Final = 20
"""Findings and effects listed; all of them are on the page Model and with ``--all``."""
_PIECE: Final = 256 << 10


async def send(client: ScadaClient, path: Path, description: str, base: int) -> int:
    """Upload and propose; returns the number of the new version.

    Raises:
        ScadaError: it cannot be read, is too large, or was refused.
    """
    difference, data = await asyncio.to_thread(_read, path)
    reply = await client.upload(_pieces(data))
    request = pb.ProposeRequest(sha256=reply.sha256, difference=difference, base=base, description=description)
    return accepted(await client.signed("Engineering/Propose", request))


def _read(path: Path) -> tuple[bool, bytes]:
    """Whether it is a difference model, and its bytes: of a file as it is, of a folder packed."""
    from scada.model_cim.version_files import pack_model

    if path.is_file():
        return path.suffix.lower() == ".xml", path.read_bytes()
    return False, pack_model(path)


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + _PIECE] for at in range(0, len(data), _PIECE))


def accepted(reply: pb.EngineeringReply) -> int:
    """Number of the version an order was about.

    Raises:
        ModelError: the order was refused.
    """
    if not reply.accepted:
        raise ModelError(reply.reason, mend=f"code {reply.code}")
    return int(reply.version)


def answer(link: Link, reply: pb.EngineeringReply) -> None:
    """Say that an order was carried out.

    Raises:
        ModelError: it was refused.
    """
    click.echo(link.text("versions.done", number=str(accepted(reply))))


async def detail_of(client: ScadaClient, number: int) -> pb.VersionDetail:
    """A version with its reports."""
    found: pb.VersionDetail = await client.call("Engineering/GetVersion", pb.GetVersionRequest(number=number, limit=2000))
    return found


async def settled(link: Link, client: ScadaClient, number: int) -> pb.VersionDetail:
    """The version once nothing is being done with it; progress goes to the terminal meanwhile."""
    said = ""
    while (detail := await detail_of(client, number)).version.state in {"checking", "applying"}:
        version = detail.version
        share = f" {version.progress:.0%}" if version.progress else ""
        line = f"{link.text(f'versions.state.{version.state}')} {number}: {link.state('versions.work', version.work)}{share}"
        if line != said and version.work:
            click.echo(f"\r{line:<60}" if sys.stderr.isatty() else line, nl=not sys.stderr.isatty(), err=True)
            said = line
        await asyncio.sleep(LOOK_S)
    if said and sys.stderr.isatty():
        click.echo("", err=True)
    return detail


def consent(link: Link, key: str, version: pb.ModelVersion, *, yes: bool, dangerous: bool) -> None:
    """Ask, unless it was said beforehand; what is dangerous takes two flags.

    Raises:
        ModelError: it is dangerous and was not confirmed, or nobody is there to be asked.
        click.Abort: the answer is no.
    """
    if yes and (dangerous or not version.dangers):
        return
    if yes:
        raise ModelError(link.text("versions.dangerous", count=str(len(version.dangers))), mend="--confirm-dangerous")
    if not sys.stdin.isatty():
        raise ModelError(link.text("versions.nobody"), mend="--yes")
    click.confirm(link.text(key, number=str(version.number), count=str(len(version.dangers))), abort=True)


def stops(detail: pb.VersionDetail) -> bool:
    """True if the version would not be applied as it is."""
    version = detail.version
    return version.state != "ready" or version.counts.get("new", 0) > 0 or detail.shadow.refuse


def heads(link: Link, *names: str) -> list[str]:
    """Column heads by name."""
    return [link.text(f"versions.head.{name}") for name in names]


def show(link: Link, detail: pb.VersionDetail, *, everything: bool) -> None:
    """Findings, effects by station, shadow run and dangers of a version."""
    version, zh = detail.version, link.language == "zh"
    state = link.text(f"versions.state.{version.state}")
    click.echo(link.text("versions.title", number=str(version.number), state=state, maker=version.maker, base=str(version.base)))
    if version.state == "refused":
        click.secho(version.result, fg="red")
    worth = [finding for finding in detail.findings if everything or (finding.severity != "info" and not finding.waived)]
    shown = worth if everything else worth[:SHOWN]
    for finding in shown:
        colour = {"fatal": "red", "error": "red", "warning": "yellow"}.get(finding.severity)
        path = f"{finding.path} " if finding.path else ""
        click.secho(f"  {finding.place} {finding.severity} {finding.rule} {path}{finding.text}", fg=colour)
    _more(link, detail.findings_total - len(shown))
    effects = detail.effects if everything else detail.effects[:SHOWN]
    station = None
    for effect in effects:
        if effect.station != station:
            station = effect.station
            click.secho(station or link.text("versions.no_station"), bold=True)
        click.secho(f"  {effect.text_zh if zh else effect.text}", fg="red" if effect.dangerous else None)
    _more(link, len(detail.effects) - len(effects))
    for line in detail.shadow.lines_zh if zh else detail.shadow.lines:
        click.echo(f"  {line}")
    if detail.shadow.reason:
        click.echo(f"  {detail.shadow.reason}")
    show_dangers(link, version.dangers)


def show_dangers(link: Link, dangers: Sequence[pb.Danger]) -> None:
    """What whoever applies the version must have seen."""
    if dangers:
        click.secho(link.text("versions.dangers", count=str(len(dangers))), fg="red", bold=True)
    for danger in dangers:
        click.secho(f"  {danger.text_zh if link.language == 'zh' else danger.text}", fg="red")


def _more(link: Link, count: int) -> None:
    if count > 0:
        click.echo(f"  {link.text('versions.more', count=str(count))}")
