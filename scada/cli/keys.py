"""``scada keys``: make and show identities."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from scada.core.clock import NS_PER_S, SystemClock
from scada.security.certificates import Certificate, CertificateError, check_certificate
from scada.security.identities import (
    PASSWORD_VARIABLE,
    init_identities,
    issue_identity,
    list_identities,
    load_authority,
)
from scada.security.roles import ROLES
from scada.security.users import ROLES_FILE, grant_identity

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
_ASK = click.option("--password", "ask", is_flag=True, help=f"Ask for a password (else {PASSWORD_VARIABLE} is used if set).")


@click.group()
def command() -> None:
    """Make and show identities: SM2 keys, certificates, and the authority that issues them."""


@command.command()
@_FOLDER
@_ASK
def init(*, folder: Path, ask: bool) -> None:
    """Make an authority and the identities of a first start in FOLDER; what is there is never overwritten."""
    made = init_identities(folder, password=_password(ask=ask))
    click.echo(f"made in {folder}: {', '.join(made)}" if made else f"{folder}: every identity is there, nothing made")


@command.command()
@_FOLDER
def show(*, folder: Path) -> None:
    """Show the identities of FOLDER: roles, end of validity, key id."""
    now_ns = SystemClock().now_ns()
    authority = load_authority(folder)
    for certificate in list_identities(folder):
        fault = "" if certificate.is_authority else _fault(certificate, authority, now_ns)
        until = datetime.fromtimestamp(certificate.not_after_ns // NS_PER_S, tz=UTC)
        roles = ", ".join(sorted(certificate.roles)) or ("authority" if certificate.is_authority else "no role")
        click.echo(f"{certificate.name:24} {roles:24} until {until:%Y-%m-%d}  key {certificate.public_key.key_id().hex()}{fault}")


@command.command()
@_FOLDER
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(sorted(ROLES)), help="May be given more than once."
)
@click.option("--area", "areas", multiple=True, default=["*"], help="Control area or station; default: all.")
@click.option("--years", type=click.FloatRange(0.01, 10), default=2.0, show_default=True, help="Validity.")
@_ASK
def issue(*, folder: Path, name: str, roles: tuple[str, ...], areas: tuple[str, ...], years: float, ask: bool) -> None:
    """Issue an identity NAME by the authority of FOLDER; an existing key is kept and gets a new certificate.

    The server grants what both the certificate and its role table roles.toml allow; NAME is added to the table of FOLDER.
    """
    password = _password(ask=ask)
    certificate = issue_identity(folder, name, roles, SystemClock(), years=years, password=password, authority_password=password)
    added = grant_identity(folder, name, roles, areas)
    note = "granted in" if added else "kept as it was in"
    click.echo(f"{certificate.name}: certificate for {', '.join(sorted(certificate.roles))}; {note} {folder / ROLES_FILE}")


def _fault(certificate: Certificate, authority: Certificate, now_ns: int) -> str:
    try:
        check_certificate(certificate, authority, now_ns)
    except CertificateError as error:
        return f"  REFUSED: {error.what}"
    return ""


def _password(*, ask: bool) -> bytes | None:
    if ask:
        text: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return text.encode()
    given = os.environ.get(PASSWORD_VARIABLE)
    return given.encode() if given else None


@command.group("tls")
def tls() -> None:
    """Make certificates for the TLS of telecontrol links (IEC 62351-3), by a small authority of your own.

    For laboratories and first steps; a plant takes its certificates from its own authority. ECDSA keys on P-256.

    \b
    scada keys tls init tls                    # authority and an empty revocation list
    scada keys tls issue tls master            # ours
    scada keys tls issue tls north --host 10.1.1.5
    scada keys tls revoke tls north            # the list is read again at the next handshake
    """  # noqa: D301 - click's mark of lines that stay as they are


@tls.command("init")
@_FOLDER
def tls_init(*, folder: Path) -> None:
    """Make an authority and an empty revocation list in FOLDER; what is there stays."""
    from scada.security.tls_authority import make_authority

    make_authority(folder, SystemClock().now_ns())
    click.echo(f"{folder}: tls_ca = ca.pem, tls_crl = crl.pem; keep ca.key elsewhere afterwards")


@tls.command("issue")
@_FOLDER
@click.argument("name")
@click.option("--host", "hosts", multiple=True, help="DNS name or address under which it is called; may be given more than once.")
@click.option("--days", type=click.FloatRange(0.01, 3650), default=365.0, show_default=True, help="Validity.")
def tls_issue(*, folder: Path, name: str, hosts: tuple[str, ...], days: float) -> None:
    """Issue a certificate to NAME, good for a client and a server; an existing key is kept."""
    from scada.security.tls_authority import issue

    path = issue(folder, name, SystemClock().now_ns(), hosts=hosts, days=days)
    click.echo(f"tls_certificate = {path}, tls_key = {path.with_suffix('.key')}")


@tls.command("revoke")
@_FOLDER
@click.argument("names", nargs=-1)
@click.option("--days", type=click.FloatRange(0.01, 3650), default=30.0, show_default=True, help="Until the next list is due.")
def tls_revoke(*, folder: Path, names: tuple[str, ...], days: float) -> None:
    """Revoke the certificates of NAMES; without a name, renew the list before it expires."""
    from scada.security.tls_authority import revoke

    revoked = revoke(folder, names, SystemClock().now_ns(), days=days)
    click.echo(f"{folder / 'crl.pem'}: {len(revoked)} revoked, next list due in {days:g} days")
