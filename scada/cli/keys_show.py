"""``scada keys show`` and ``check``: what a folder of identities holds, and whether it can be used."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from scada.cli import keys_options as options
from scada.cli.rendering import table
from scada.core.clock import NS_PER_S, SystemClock
from scada.core.errors import ScadaError, SecurityError
from scada.security.authorities import Authorities, load_authorities
from scada.security.certificates import Certificate
from scada.security.identities import load_identity
from scada.security.key_files import AUTHORITY, authority_names, authority_path, certificate_path, key_path, load_certificate
from scada.security.signers import signer_path

_DAY_NS = 24 * 3600 * NS_PER_S
_SOON_DAYS = 30


@click.command()
@options.folder
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def show(*, folder: Path, as_json: bool) -> None:
    """Show the authorities and identities of FOLDER: roles, chain, days left, key, and whether they would be refused."""
    now_ns = SystemClock().now_ns()
    trust = load_authorities(folder)
    rows = [_row(folder, trust, now_ns, name, authority=True) for name in authority_names(folder)]
    names = sorted(path.name.removesuffix(".cert.pem") for path in folder.glob("*.cert.pem"))
    rows += [_row(folder, trust, now_ns, name, authority=False) for name in names if name != AUTHORITY]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False, indent=1))
        return
    head = ("name", "roles", "by", "until", "days", "key", "key id", "")
    click.echo(table(head, [[str(row[column]) for column in _COLUMNS] for row in rows]))
    for authority in trust:
        known = trust.list_of(authority)
        if known:
            click.echo(
                f"revocation list {known.number} of {authority.name}: {len(known.revoked)} revoked, next due {_day(known.due_ns)}"
            )
    if fault := trust.stale(now_ns):
        click.echo(f"OVERDUE: {fault}; nothing that acts is allowed until it is renewed: scada keys crl {folder}")


_COLUMNS = ("name", "roles", "issuer", "until", "days", "key", "key_id", "fault")


@click.command()
@options.folder
@click.argument("names", nargs=-1)
@options.ask
def check(*, folder: Path, names: tuple[str, ...], ask: bool) -> None:
    """Load the identities NAMES of FOLDER (all whose keys are here) as a program would; exit code 1 if one cannot be used."""
    password = options.password(asked=ask, confirm=False)
    clock = SystemClock()
    found = sorted(path.name.removesuffix(".cert.pem") for path in folder.glob("*.cert.pem"))
    good = bad = 0
    for name in names or found:
        here = key_path(folder, name).exists() or signer_path(folder, name).exists()
        if not names and (name == AUTHORITY or not here):
            continue
        try:
            identity = load_identity(folder, name, clock, password)
        except SecurityError as error:
            bad += 1
            click.echo(f"{error}" if error.where.startswith(name) else f"{name}: {error}")
            continue
        good += 1
        days = (identity.certificate.not_after_ns - clock.now_ns()) // _DAY_NS
        click.echo(f"{name}: ok, {days} days left" + (", renew it soon" if days < _SOON_DAYS else ""))
    if not good and not bad:
        click.echo(f"{folder}: no identity whose key is here")
    if bad or not good:
        raise click.exceptions.Exit(1)


def _row(folder: Path, trust: Authorities, now_ns: int, name: str, *, authority: bool) -> dict[str, Any]:
    certificate = load_certificate(authority_path(folder, name) if authority else certificate_path(folder, name))
    return {
        "name": name,
        "roles": ", ".join(sorted(certificate.roles)) or ("authority" if certificate.is_authority else "no role"),
        "issuer": _issuer(trust, certificate),
        "until": _day(certificate.not_after_ns),
        "days": max(0, (certificate.not_after_ns - now_ns) // _DAY_NS),
        "key": _key(folder, name),
        "key_id": certificate.public_key.key_id().hex()[:16],
        "serial": f"{certificate.serial:x}",
        "fault": _fault(trust, certificate, now_ns),
    }


def _issuer(trust: Authorities, certificate: Certificate) -> str:
    try:
        return " < ".join(each.name for each in trust.chain(certificate)[1:]) or "itself"
    except ScadaError:
        return "?"


def _key(folder: Path, name: str) -> str:
    if signer_path(folder, name).exists():
        return "signer"
    try:
        return "sealed" if b"ENCRYPTED" in key_path(folder, name).read_bytes() else "plain"
    except FileNotFoundError:
        return "not here"
    except OSError:
        return "unreadable"


def _fault(trust: Authorities, certificate: Certificate, now_ns: int) -> str:
    if certificate.is_authority:
        revoked = trust.revoked(certificate)
        return f"REVOKED: {revoked.reason}" if revoked else ""
    try:
        trust.check(certificate, now_ns)
    except SecurityError as error:
        return f"REFUSED: {error.what}"
    return ""


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC).strftime("%Y-%m-%d")
