"""``scada keys``: make, show and look after identities."""

from __future__ import annotations

from pathlib import Path

import click

from scada.cli import keys_options as options
from scada.cli.keys_revocation import crl, revoke
from scada.cli.keys_secrets import secret
from scada.cli.keys_show import check, show
from scada.cli.keys_tls import tls
from scada.cli.keys_transfer import export, import_, request, sign
from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security.authorities import load_authorities
from scada.security.identities import init_identities
from scada.security.issuing import issue_identity, make_subordinate
from scada.security.key_files import AUTHORITY, authority_names, authority_path, certificate_path, key_path, load_certificate
from scada.security.roles import ROLES
from scada.security.signers import signer_path
from scada.security.tls_identities import FILES
from scada.security.users import ROLES_FILE
from scada.security.users_file import grant_identity


@click.group()
def command() -> None:
    """Make and look after identities: SM2 keys, certificates, and the authorities that issue them.

    \b
    scada keys init var/keys                       # a root authority and the identities of a first start
    scada keys issue var/keys wang --role OPERATOR --area North
    scada keys show var/keys                       # who, until when, issued by whom, revoked or not
    scada keys export var/keys wang wang.pem       # one sealed file, carried to the workstation of wang ...
    scada keys import keys wang.pem                # ... and put in place there
    scada keys renew var/keys wang                 # before the certificate expires
    scada keys revoke var/keys wang                # at once; open sessions end within a second
    scada keys crl var/keys                        # before the revocation list is overdue

    Where the key must not travel, it is made at the workstation and signed where the authority's key is:

    \b
    scada keys request keys li li.csr              # there: a key and a request
    scada keys sign var/keys li.csr li.cert.pem --role GUARDIAN   # here; the certificate goes back

    The root's key (ca.key.pem) is needed to issue, renew and revoke only. Keep it on a medium in a safe and work with an
    authority below it: `scada keys ca`. Everything that runs does without both. The guide: docs/security/keys.md.
    """  # noqa: D301 - click's mark of lines that stay as they are


@command.command()
@options.folder
@options.ask
def init(*, folder: Path, ask: bool) -> None:
    """Make an authority and the identities of a first start in FOLDER; what is there is never overwritten."""
    made = init_identities(folder, password=options.password(asked=ask))
    click.echo(f"made in {folder}: {', '.join(made)}" if made else f"{folder}: every identity is there, nothing made")


@command.command()
@options.folder
@click.argument("name")
@click.option("--years", type=click.FloatRange(0.01, 10), default=5.0, show_default=True, help="Validity.")
@options.ask
@options.ask_authority
def ca(*, folder: Path, name: str, years: float, ask: bool, ask_authority: bool) -> None:
    """Make an authority NAME below the root of FOLDER: it issues identities with --by NAME, and no further authorities.

    Afterwards the root's key can be taken away; it comes back when NAME is to be revoked or renewed.
    """
    password = options.password(asked=ask)
    root_password = options.authority_password(asked=ask_authority, otherwise=password)
    made = make_subordinate(folder, name, SystemClock(), years=years, password=password, authority_password=root_password)
    click.echo(f"{made.name}: {authority_path(folder, name)}; every workstation and server needs this file beside ca.cert.pem")


@command.command()
@options.folder
@click.argument("name")
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(sorted(ROLES)), help="May be given more than once."
)
@click.option("--area", "areas", multiple=True, default=["*"], help="Control area or station; default: all.")
@click.option(
    "--host", "hosts", multiple=True, help="DNS name or address under which a server is called, for its TLS certificate."
)
@options.years
@options.authority
@options.ask
@options.ask_authority
def issue(
    *,
    folder: Path,
    name: str,
    roles: tuple[str, ...],
    areas: tuple[str, ...],
    hosts: tuple[str, ...],
    years: float,
    authority: str,
    ask: bool,
    ask_authority: bool,
) -> None:
    """Issue an identity NAME; an existing key is kept and gets a new certificate.

    The server grants what both the certificate and its role table roles.toml allow; NAME is added to the table of FOLDER.
    """
    password = options.password(asked=ask)
    by_password = options.authority_password(asked=ask_authority, otherwise=password)
    certificate = issue_identity(
        folder, name, roles, SystemClock(),
        years=years, password=password, authority_password=by_password, authority=authority, hosts=hosts,
    )  # fmt: skip
    note = "no table of roles here"
    if (folder / ROLES_FILE).exists():
        added = grant_identity(folder, name, roles, areas)
        note = f"{'granted in' if added else 'kept as it was in'} {folder / ROLES_FILE}"
    click.echo(f"{certificate.name}: certificate for {', '.join(sorted(certificate.roles))}; {note}")


@command.command()
@options.folder
@click.argument("name")
@click.option(
    "--new-key", is_flag=True, help="Make a new key too; the old one is lost, its certificate stays valid until revoked."
)
@options.years
@options.ask
@options.ask_authority
def renew(*, folder: Path, name: str, new_key: bool, years: float, ask: bool, ask_authority: bool) -> None:
    """Give the identity NAME a new certificate of the same roles by the authority that issued the old one.

    A server that runs with FOLDER takes both certificates within a second, other programs at their next login. A key that is not
    in FOLDER is kept where it is: bring the new certificates there. If the old key may have been seen by others, revoke it
    afterwards: `scada keys revoke FOLDER NAME --old`.
    """
    if name in authority_names(folder):
        mend = "see docs/security/keys.md, exchange of the root" if name == AUTHORITY else f"scada keys ca {folder} {name}"
        raise SecurityError("an authority is not renewed so", where=name, mend=mend)
    if new_key and signer_path(folder, name).exists():
        raise SecurityError("a token or program signs for it", where=name, mend="make the new key there: scada keys sign")
    password = options.password(asked=ask)
    old = load_certificate(certificate_path(folder, name))
    issuer = load_authorities(folder).issuer(old)
    names = [each for each in authority_names(folder) if load_certificate(authority_path(folder, each)).encoded == issuer.encoded]
    by_password = options.authority_password(asked=ask_authority, otherwise=password)
    made = issue_identity(
        folder, name, sorted(old.roles), SystemClock(),
        years=years, password=password, authority_password=by_password, authority=names[0], new_key=new_key,
    )  # fmt: skip
    key = "a new key" if new_key else "the same key"
    click.echo(f"{name}: renewed with {key}, serial {made.serial:x}; before: {old.serial:x}")
    taken = "a server that runs with it within a second" if "SERVER" in made.roles else "programs that run at their next login"
    click.echo(f"it is taken by {taken}; revoke the old one, if at all, afterwards")
    if not key_path(folder, name).exists():
        click.echo(f"the key is not here: bring {certificate_path(folder, name)} and {FILES.certificate(folder, name)} to it")


for _command in (show, check, revoke, crl, request, sign, export, import_, secret, tls):
    command.add_command(_command)
