"""``scada keys tls``: a small authority for the TLS of telecontrol links."""

from __future__ import annotations

from pathlib import Path

import click

from scada.core.clock import SystemClock

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group("tls")
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
