"""``scada keys revoke`` and ``crl``: take certificates out of use."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from scada.cli import keys_options as options
from scada.core.clock import NS_PER_S, SystemClock
from scada.core.errors import SecurityError
from scada.security import issuing
from scada.security.authorities import load_authorities
from scada.security.certificates import Certificate
from scada.security.key_files import (
    authority_names,
    authority_path,
    certificate_path,
    list_path,
    load_certificate,
)
from scada.security.revocation import REASONS, RevocationList
from scada.security.tls_identities import FILES, revoke_tls

_DAYS = click.option(
    "--days",
    type=click.FloatRange(0.01, 400),
    default=issuing.LIST_DAYS,
    show_default=True,
    help="Until the next list is due; once it is overdue nobody can control, so renew it in time.",
)


@click.command()
@options.folder
@click.argument("names", nargs=-1)
@click.option("--reason", type=click.Choice(sorted(REASONS)), default="unspecified", show_default=True, help="Why.")
@click.option("--serial", "serials", multiple=True, help="Serial number (hexadecimal) instead of a name.")
@click.option("--old", is_flag=True, help="Revoke the earlier certificates of NAMES, not the ones in use.")
@_DAYS
@options.ask_authority
def revoke(
    *, folder: Path, names: tuple[str, ...], reason: str, serials: tuple[str, ...], old: bool, days: float, ask_authority: bool
) -> None:
    """Revoke every certificate of the identities or authorities NAMES that is still valid, and write the revocation list.

    The list lies in FOLDER; a server that uses FOLDER takes it within a second, closes the sessions of the revoked and says so.
    Other servers get the file NAME.crl.pem, or the list by `scada users crl` from whoever looks after security.
    """
    if not names and not serials:
        raise click.UsageError("give NAMES or --serial")
    clock = SystemClock()
    known = [each for each in issuing.issued_certificates(folder) if each.not_after_ns > clock.now_ns()]
    wanted = [each for each in known if f"{each.serial:x}" in {serial.lower().lstrip("0") for serial in serials}]
    if len(wanted) < len(serials):
        raise SecurityError("a serial number is of no certificate that was issued here and is valid", where=str(folder))
    for name in names:
        current = _current(folder, name)
        its_name = current.name if current else name
        mine = [each for each in known if each.name == its_name]
        if not mine and current is None:
            raise SecurityError(
                f"no certificate of {name!r} was issued here", where=str(folder), mend=f"scada keys show {folder}"
            )
        if current and not old:
            mine.append(current)
        wanted += [each for each in mine if not old or current is None or each.encoded != current.encoded]
    if not wanted:
        click.echo("nothing to revoke")
        return
    trust = load_authorities(folder)
    password = options.authority_password(asked=ask_authority, otherwise=options.password(asked=False))
    faults: list[SecurityError] = []
    for authority, certificate in (
        (each, load_certificate(authority_path(folder, each))) for each in list(authority_names(folder))
    ):
        its = {each.encoded: each for each in wanted if not each.is_root and trust.issuer(each).encoded == certificate.encoded}
        if not its:
            continue
        listed = ", ".join(f"{each.name} ({each.serial:x})" for each in its.values())
        try:
            made = issuing.revoke(
                folder, its.values(), reason, clock, days=days, authority_password=password, authority=authority
            )
        except SecurityError as error:  # the others must fall all the same
            click.echo(f"NOT revoked {listed}", err=True)
            faults.append(error)
            continue
        click.echo(f"revoked {listed}: {reason}")
        click.echo(_told(folder, authority, made))
    fallen = {each.name for each in wanted if serials and _is_in_place(folder, each)}
    revoke_tls(folder, sorted({*names, *fallen}), clock.now_ns(), old=old, password=password)
    if faults:
        raise faults[0]


@click.command()
@options.folder
@options.authority
@_DAYS
@options.ask_authority
def crl(*, folder: Path, authority: str, days: float, ask_authority: bool) -> None:
    """Write the next revocation list of an authority with the same entries, before the one in use is overdue.

    The list of TLS is renewed with it, where the key of the TLS authority (tls-ca.key) is in FOLDER.
    """
    clock = SystemClock()
    password = options.authority_password(asked=ask_authority, otherwise=options.password(asked=False))
    made = issuing.revoke(folder, [], "unspecified", clock, days=days, authority_password=password, authority=authority)
    click.echo(_told(folder, authority, made))
    if revoke_tls(folder, (), clock.now_ns(), password=password) is not None:
        click.echo(f"{FILES.crl(folder)}: renewed too")


def _current(folder: Path, name: str) -> Certificate | None:
    """The certificate in use; None if its file has gone, which must not save it."""
    path = authority_path(folder, name) if name in authority_names(folder) else certificate_path(folder, name)
    return load_certificate(path) if path.exists() else None


def _is_in_place(folder: Path, certificate: Certificate) -> bool:
    path = certificate_path(folder, certificate.name)
    return path.exists() and load_certificate(path).encoded == certificate.encoded


def _told(folder: Path, authority: str, made: RevocationList) -> str:
    due = datetime.fromtimestamp(made.due_ns // NS_PER_S, tz=UTC)
    return f"{list_path(folder, authority)}: list {made.number}, {len(made.revoked)} revoked, next due {due:%Y-%m-%d %H:%M} UTC"
