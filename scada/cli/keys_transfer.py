"""``scada keys request``, ``sign``, ``export`` and ``import``: identities between workstations."""

from __future__ import annotations

from pathlib import Path

import click

from scada.cli import keys_options as options
from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security import tls_authority
from scada.security.bundles import export_identity, import_identity, is_shared
from scada.security.issuing import sign_request
from scada.security.key_files import check_name, key_path, load_or_make_key, read, write_new
from scada.security.requests import make_request, parse_request, split_requests
from scada.security.roles import ROLES
from scada.security.tls_identities import FILES
from scada.security.users import ROLES_FILE
from scada.security.users_file import grant_identity

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@options.folder
@click.argument("name")
@click.argument("file", type=_FILE)
@options.ask
def request(*, folder: Path, name: str, file: Path, ask: bool) -> None:
    """Make keys for NAME in FOLDER (those that are there are kept) and write certificate requests (PKCS#10) to FILE.

    There are two keys: SM2 signs, P-256 is for TLS. Neither leaves FOLDER. `scada keys sign` says what to bring back.
    """
    check_name(name)
    password = options.password(asked=ask)
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = load_or_make_key(folder, name, password)
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(error.filename or folder)) from error
    _write(file, make_request(name, key).pem() + tls_authority.make_request(folder, name, layout=FILES, password=password), 0o644)
    click.echo(f"{file}: request of {name}, key {key.key_id().hex()[:16]}; have it signed by `scada keys sign`")
    click.echo(f"the keys stay in {key_path(folder, name)} and {FILES.key(folder, name)}")


@click.command()
@options.folder
@click.argument("request_file", type=_FILE)
@click.argument("certificate_file", type=_FILE)
@click.option(
    "--role", "roles", multiple=True, required=True, type=click.Choice(sorted(ROLES)), help="May be given more than once."
)
@click.option("--area", "areas", multiple=True, default=["*"], help="Control area or station; default: all.")
@options.years
@options.authority
@options.ask_authority
def sign(
    *,
    folder: Path,
    request_file: Path,
    certificate_file: Path,
    roles: tuple[str, ...],
    areas: tuple[str, ...],
    years: float,
    authority: str,
    ask_authority: bool,
) -> None:
    """Issue the certificate that REQUEST_FILE asks for, by an authority of FOLDER, into CERTIFICATE_FILE.

    A request by `scada keys request` asks for a TLS certificate too; it is written beside, as NAME.tls.pem.

    Make sure by another way (telephone, in person) that the request is from whom it names: compare the key id.
    """
    first, tls_request = split_requests(read(request_file))
    asked = parse_request(first)
    tls_file = FILES.certificate(certificate_file.parent, asked.name) if tls_request else None
    for path in (certificate_file, tls_file):
        if path is not None and path.exists():
            raise _there(path)
    password = options.authority_password(asked=ask_authority, otherwise=options.password(asked=False))
    made = sign_request(
        folder, asked, roles, SystemClock(),
        years=years, authority_password=password, authority=authority, tls_request=tls_request,
    )  # fmt: skip
    _write(certificate_file, made.pem(), 0o644)
    in_place = FILES.certificate(folder, made.name)
    if tls_file is not None and in_place.exists() and not tls_file.exists():
        _write(tls_file, read(in_place), 0o644)
    added = (folder / ROLES_FILE).exists() and grant_identity(folder, made.name, roles, areas)
    note = f"; granted in {folder / ROLES_FILE}" if added else ""
    click.echo(
        f"{certificate_file}: {made.name}, {', '.join(sorted(made.roles))}, key {made.public_key.key_id().hex()[:16]}{note}"
    )
    to_bring = [str(certificate_file), *([str(tls_file)] if tls_file is not None and tls_file.exists() else [])]
    shared = sorted(str(path) for path in folder.iterdir() if is_shared(path.name))
    click.echo(f"bring to the key, under these names: {' '.join([*to_bring, *shared])}")


@click.command()
@options.folder
@click.argument("name")
@click.argument("file", type=_FILE)
@click.option("--plain", is_flag=True, help="Leave the keys in the bundle unencrypted. Whoever gets hold of it is NAME.")
@options.ask
def export(*, folder: Path, name: str, file: Path, plain: bool, ask: bool) -> None:
    """Write the identity NAME - key, certificate, chain, revocation lists, TLS certificate - to FILE, sealed with a password.

    The password of the bundle is asked for; --password asks for that of the key here first.
    """
    password = options.password(asked=ask, confirm=False)
    seal: bytes | None = None
    if not plain:
        text: str = click.prompt("Password of the bundle", hide_input=True, confirmation_prompt=True, err=True)
        if len(text) < 8:
            raise click.BadParameter("a bundle travels: give it a password of at least 8 characters", param_hint="password")
        seal = text.encode()
    _write(file, export_identity(folder, name, SystemClock(), password=password, seal=seal), 0o600)
    click.echo(f"{file}: {name}" + (" UNENCRYPTED; delete it as soon as it is in place" if plain else ", sealed"))


@click.command("import")
@options.folder
@click.argument("file", type=_FILE)
@click.option("--replace", "overwrite", is_flag=True, help="Another key or certificate of the same name in FOLDER may go.")
def import_(*, folder: Path, file: Path, overwrite: bool) -> None:
    """Put the identity of the bundle FILE into FOLDER. Its keys keep the password of the bundle."""
    data = read(file)
    password: bytes | None = None
    if b"ENCRYPTED" in data:
        text: str = click.prompt("Password of the bundle", hide_input=True, err=True)
        password = text.encode()
    name = import_identity(folder, data, SystemClock(), password=password, overwrite=overwrite)
    click.echo(f"{folder}: {name} is in place" + ("; set SCADA_KEY_PASSWORD for the programs that use it" if password else ""))


def _write(path: Path, data: bytes, mode: int) -> None:
    try:
        write_new(path, data, mode)
    except FileExistsError as error:
        raise _there(path) from error
    except OSError as error:
        raise SecurityError(f"cannot write: {error.strerror}", where=str(path)) from error


def _there(path: Path) -> SecurityError:
    return SecurityError("the file is there already", where=str(path), mend="remove it, or name another")
