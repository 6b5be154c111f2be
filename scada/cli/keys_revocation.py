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
from scada.security.tls_identities import FILES, is_tls, issued_serial, revoke_tls

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
@click.option(
    "--certificate",
    "files",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A certificate itself, SM2 or TLS (PEM), e.g. one of which no record was kept.",
)
@click.option("--tls-serial", "tls_serials", multiple=True, help="Serial number (hexadecimal) of a TLS certificate.")
@click.option("--old", is_flag=True, help="Revoke the earlier certificates of NAMES, not the ones in use.")
@_DAYS
@options.ask_authority
def revoke(
    *,
    folder: Path,
    names: tuple[str, ...],
    reason: str,
    serials: tuple[str, ...],
    files: tuple[Path, ...],
    tls_serials: tuple[str, ...],
    old: bool,
    days: float,
    ask_authority: bool,
) -> None:
    """Revoke every certificate of the identities or authorities NAMES that is still valid, and write the revocation list.

    The list lies in FOLDER; a server that uses FOLDER takes it within a second, closes the sessions of the revoked and says so.
    Other servers get the file NAME.crl.pem, or the list by `scada users crl` from whoever looks after security.
    """
    if not names and not serials and not files and not tls_serials:
        raise click.UsageError("give NAMES, --serial, --certificate or --tls-serial")
    clock = SystemClock()
    known = [each for each in issuing.issued_certificates(folder) if each.not_after_ns > clock.now_ns()]
    numbered = _by_serial(folder, known, serials)
    given, tls = _by_file(folder, files, {_number(text) for text in tls_serials})
    wanted = [*numbered, *given, *(each for name in names for each in _by_name(folder, known, name, old=old))]
    if not wanted and not tls:
        click.echo("nothing to revoke")
        return
    password = options.authority_password(asked=ask_authority, otherwise=options.password(asked=False))
    faults = _revoke(folder, wanted, reason, days, password)
    fallen = {each.name for each in (*numbered, *given) if _is_in_place(folder, each)}
    revoke_tls(folder, sorted({*names, *fallen}), clock.now_ns(), old=old, serials=tls, password=password)
    if tls:
        click.echo(f"revoked TLS {', '.join(f'{serial:x}' for serial in sorted(tls))}; {FILES.crl(folder)}")
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


def _by_name(folder: Path, known: list[Certificate], name: str, *, old: bool) -> list[Certificate]:
    """Every certificate of a name, of ``old`` all but the one in use."""
    current = _current(folder, name)
    its_name = current.name if current else name
    mine = [each for each in known if each.name == its_name]
    if not mine and current is None:
        raise SecurityError(f"no certificate of {name!r} was issued here", where=str(folder), mend=f"scada keys show {folder}")
    if current and not old:
        mine.append(current)
    return [each for each in mine if not old or current is None or each.encoded != current.encoded]


def _by_serial(folder: Path, known: list[Certificate], serials: tuple[str, ...]) -> list[Certificate]:
    found = [each for each in known if f"{each.serial:x}" in {serial.lower().lstrip("0") for serial in serials}]
    if len(found) < len(serials):
        raise SecurityError(
            "a serial number is of no certificate that was issued here and is valid",
            where=str(folder),
            mend="of a TLS certificate: --tls-serial",
        )
    return found


def _by_file(folder: Path, files: tuple[Path, ...], tls: set[int]) -> tuple[list[Certificate], set[int]]:
    """The SM2 certificates of files, and the serial numbers of the TLS ones with those that are given."""
    found, numbers = [], set(tls)
    for file in files:
        if b"BEGIN CERTIFICATE" not in file.read_bytes():
            raise SecurityError("not a certificate in PEM", where=str(file))
        if is_tls(file):
            numbers.add(issued_serial(folder, file))
        else:
            found.append(load_certificate(file))
    key = FILES.authority_key(folder)
    if numbers and not key.exists():
        raise SecurityError("the key of the TLS authority is not here", where=str(key), mend="bring it back for this")
    return found, numbers


def _number(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not hexadecimal", param_hint="--tls-serial") from error


def _revoke(folder: Path, wanted: list[Certificate], reason: str, days: float, password: bytes | None) -> list[SecurityError]:
    """Revoke SM2 certificates, each by its authority; returns why some could not be: the others must fall all the same."""
    trust, faults = load_authorities(folder), []
    for authority, certificate in [(each, load_certificate(authority_path(folder, each))) for each in authority_names(folder)]:
        its = {each.encoded: each for each in wanted if not each.is_root and trust.issuer(each).encoded == certificate.encoded}
        if not its:
            continue
        listed = ", ".join(f"{each.name} ({each.serial:x})" for each in its.values())
        try:
            made = issuing.revoke(
                folder, its.values(), reason, SystemClock(), days=days, authority_password=password, authority=authority
            )
        except SecurityError as error:
            click.echo(f"NOT revoked {listed}", err=True)
            faults.append(error)
            continue
        click.echo(f"revoked {listed}: {reason}")
        click.echo(_told(folder, authority, made))
    return faults


def _is_in_place(folder: Path, certificate: Certificate) -> bool:
    path = certificate_path(folder, certificate.name)
    return path.exists() and load_certificate(path).encoded == certificate.encoded


def _told(folder: Path, authority: str, made: RevocationList) -> str:
    due = datetime.fromtimestamp(made.due_ns // NS_PER_S, tz=UTC)
    return f"{list_path(folder, authority)}: list {made.number}, {len(made.revoked)} revoked, next due {due:%Y-%m-%d %H:%M} UTC"
