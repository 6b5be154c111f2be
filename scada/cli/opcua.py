"""``scada opcua``: browse a server and import its points, our certificate, the trust list, users, and our own server."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from scada.core.clock import SystemClock
from scada.core.errors import ConfigError, ModelError, SecurityError

if TYPE_CHECKING:
    from scada.protocols.opcua.browse import Walk
    from scada.protocols.opcua.security import SecurityWish

_TRUST = click.option(
    "--trust",
    type=click.Path(path_type=Path),
    default=Path("var/opcua/trust"),
    show_default=True,
    help="Folder of the trust list.",
)


@click.group(name="opcua")
def command() -> None:
    """OPC UA: import points of a server, certificates and trust, users, our own server."""


# ---------------------------------------------------------------- browse


@command.command()
@click.argument("endpoint")
@click.option(
    "--node", default="i=85", show_default=True, help="Where to begin: ns=2;s=Plant or nsu=URI;s=Plant; i=85 is Objects."
)
@click.option("--depth", type=click.IntRange(1, 100), default=20, show_default=True, help="Levels below it.")
@click.option("--maximum", type=click.IntRange(1), default=100_000, show_default=True, help="Nodes at most.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write a file of the SC profile.")
@click.option("--update", is_flag=True, help="--out is there: add only what is new, change nothing.")
@click.option("--channel", help="Name of the channel; default: the server's application URI.")
@click.option("--station", default="", help="mRID of the Substation the points belong to; default: a new one.")
@click.option("--policy", default="None", show_default=True, help="Security policy, e.g. Basic256Sha256.")
@click.option("--mode", help="Sign or SignAndEncrypt; default with a policy: SignAndEncrypt.")
@click.option("--certificate", type=click.Path(path_type=Path), default=Path("var/opcua/own.der"), help="Our certificate.")
@click.option("--key", type=click.Path(path_type=Path), default=Path("var/opcua/own-key.pem"), help="Its key.")
@_TRUST
@click.option("--credentials", default="", help="File with user and password, or env:NAME for NAME_USER and NAME_PASSWORD.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.1, 600), default=10.0, show_default=True, help="s, of one request."
)
def browse(
    *,
    endpoint: str,
    node: str,
    depth: int,
    maximum: int,
    out: Path | None,
    update: bool,
    channel: str | None,
    station: str,
    policy: str,
    mode: str | None,
    certificate: Path,
    key: Path,
    trust: Path,
    credentials: str,
    timeout_s: float,
) -> None:
    """List the variables of the server at ENDPOINT (opc.tcp://host:port/path), and make points of them.

    With --out, the variables that hold numbers become a channel with measurements and addresses that `scada model check` accepts;
    names, units and alarm classes are then edited by hand. The mRIDs come from the server's application URI and the node ids, so
    that --update later adds only what is new.
    """
    address = urlsplit(endpoint)
    if address.scheme != "opc.tcp" or not address.hostname:
        raise click.BadParameter(f"{endpoint!r} is not opc.tcp://host:port/path", param_hint="ENDPOINT")
    if out is not None and out.exists() != update:
        text, mend = (
            ("is there already", "give --update, or another name") if out.exists() else ("is not there", "leave out --update")
        )
        raise ModelError(f"the file {text}", where=str(out), mend=mend)
    wish = _wish(policy, mode, certificate, key, trust, credentials)
    found = asyncio.run(_walk(endpoint, wish, node, depth, maximum, timeout_s))
    if out is None:
        for variable in found.variables:
            kind = f"{variable.type_name or '?'}{f'[{variable.length}]' if variable.length >= 0 else ''}"
            span = f"{variable.low:g}..{variable.high:g}" if variable.low < variable.high else ""
            states = ",".join(f"{number}={name}" for number, name in variable.states)
            access = "read write" if variable.writable else "read"
            click.echo("\t".join((variable.node_id, ".".join(variable.path), kind, access, variable.unit, span or states)))
    else:
        _import(found, out, update, channel, station, address, wish)
    if found.cut:
        raise ModelError(f"only the first {maximum} nodes were seen", mend="give --node, or a larger --maximum")


def _wish(policy: str, mode: str | None, certificate: Path, key: Path, trust: Path, credentials: str) -> SecurityWish:
    from scada.protocols.opcua.parameters import OpcUaParameters

    params: dict[str, float | str] = {"security_policy": policy, "credentials": credentials}
    if mode:
        params["security_mode"] = mode
    if policy.lower() != "none":
        params |= {"certificate": str(certificate), "key": str(key), "trust": str(trust)}
    return OpcUaParameters.of(params, "browse").security


async def _walk(endpoint: str, wish: SecurityWish, node: str, depth: int, maximum: int, timeout_s: float) -> Walk:
    from scada.core.errors import ProtocolError
    from scada.protocols.opcua.browse import walk
    from scada.protocols.opcua.commands import text_of
    from scada.protocols.opcua.connection import FAILURES, Connection
    from scada.protocols.opcua.nodes import node_id

    connection = Connection(endpoint, wish, SystemClock(), timeout_s=timeout_s)
    try:
        await connection.open()
        start = node_id(node, connection.namespaces)
        return await walk(connection, start, depth=depth, maximum=maximum, progress=_progress)
    except FAILURES as error:
        raise ProtocolError(text_of(error), where=endpoint, mend="is the server there, does it allow us to browse?") from error
    finally:
        if sys.stderr.isatty():
            click.echo(err=True)
        await connection.close()


def _progress(nodes: int, variables: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r{nodes} nodes, {variables} variables", nl=False, err=True)


def _import(found: Walk, out: Path, update: bool, channel: str | None, station: str, address: Any, wish: SecurityWish) -> None:
    from scada.protocols.opcua.importing import ImportedChannel, import_file

    params = {"path": address.path} if address.path.strip("/") else {}
    if wish.mode != "None":
        params |= {"securityPolicy": wish.policy.value, "securityMode": wish.mode}
    name = channel or found.application_uri or address.hostname
    spec = ImportedChannel(name, address.hostname, address.port or 4840, station, params)
    imported = import_file(found, spec, out.read_text(encoding="utf-8") if update else None)
    aside = out.with_name(out.name + ".new")
    aside.write_text(imported.text, encoding="utf-8")
    aside.replace(out)
    click.echo(
        f"{out}: {imported.added} points added, {imported.kept} were there, {len(imported.skipped)} variables hold no number"
    )
    if wish.mode != "None":
        click.echo(f'certificate, key, trust and credentials go into scada.toml, [channels."{name}".params]')


# ---------------------------------------------------------------- certificates


@command.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("var/opcua"), show_default=True, help="Folder.")
@click.option("--uri", help="Application URI; default: urn:HOST:scada.")
@click.option("--name", default="scada", show_default=True, help="Common name.")
@click.option(
    "--host", "hosts", multiple=True, help="Name or address our server is reached by; may be repeated; default: this host."
)
@click.option("--days", type=click.IntRange(1, 7300), default=3650, show_default=True, help="Validity.")
@click.option("--bits", type=click.Choice(["2048", "3072", "4096"]), default="2048", show_default=True, help="RSA key.")
def certificate(*, out: Path, uri: str | None, name: str, hosts: tuple[str, ...], days: int, bits: str) -> None:
    """Make our application certificate own.der and its key own-key.pem, for client and server.

    Every OPC UA partner has to trust own.der; give it to its administrator.
    """
    from scada.protocols.opcua.application import CERTIFICATE_FILE, make_certificate
    from scada.protocols.opcua.trust import thumbprint

    host = platform.node() or "localhost"
    made = make_certificate(
        out,
        uri=uri or f"urn:{host}:scada",
        name=name,
        hosts=hosts or (host,),
        now_ns=SystemClock().now_ns(),
        days=days,
        bits=int(bits),
    )
    click.echo(f"{out / CERTIFICATE_FILE}: {uri or f'urn:{host}:scada'}, thumbprint {thumbprint(made)}")


@command.command()
@click.argument("what", required=False)
@_TRUST
def trust(*, what: str | None, trust: Path) -> None:
    """List the rejected and the trusted certificates, or trust WHAT.

    WHAT is the beginning of the thumbprint of a rejected certificate, or a file. Compare the whole thumbprint with the one that
    the other side shows before you trust.
    """
    from scada.protocols.opcua.trust import TrustList, application_uri, common_name, printable, read_certificate, thumbprint

    store = TrustList(trust)
    if what is None:
        for state, certificates in (("rejected", store.rejected()), ("trusted", store.trusted())):
            for each in certificates:
                until = f"until {each.not_valid_after_utc:%Y-%m-%d}"
                click.echo(f"{state}\t{thumbprint(each)}\t{common_name(each)}\t{printable(application_uri(each))}\t{until}")
        return
    if Path(what).is_file():
        accepted = read_certificate(Path(what))
        store.add(accepted)
    else:
        accepted = store.trust(what)
    click.echo(f"trusted: {common_name(accepted)} {printable(application_uri(accepted))} {thumbprint(accepted)}")


@command.command()
@click.argument("name")
@click.option(
    "--users", type=click.Path(path_type=Path), default=Path("var/opcua/users.toml"), show_default=True, help="File of users."
)
@click.option("--remove", is_flag=True, help="Take the user out.")
def user(*, name: str, users: Path, remove: bool) -> None:
    """Set the password of NAME, who may look at our server; asked for, or SCADA_OPCUA_PASSWORD."""
    from scada.protocols.opcua.viewers import hash_password, read_users

    known = read_users(users) if users.exists() else {}
    if not name or not name.isprintable() or any(sign in name for sign in "\"'\\"):
        raise SecurityError(f"{name!r} is no user name", mend="letters, digits, signs but quotes and backslashes")
    if remove and known.pop(name, None) is None:
        raise SecurityError(f"no user {name!r}", where=str(users))
    if not remove:
        given = os.environ.get("SCADA_OPCUA_PASSWORD") or click.prompt("Password", hide_input=True, confirmation_prompt=True)
        known[name] = hash_password(given)
    users.parent.mkdir(parents=True, exist_ok=True)
    aside = users.with_name(users.name + ".new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.writelines(f'"{each}" = "{known[each]}"\n' for each in sorted(known))
    aside.replace(users)
    click.echo(f"{users}: {len(known)} users")


# ---------------------------------------------------------------- server


@command.command()
@click.option(
    "--config", "-c", type=click.Path(path_type=Path), default=Path("scada.toml"), show_default=True, help="Configuration."
)
@click.option("--parent", type=int, default=0, hidden=True, help="End when this process is no longer our parent.")
def serve(*, config: Path, parent: int) -> None:
    """Publish model and values to third parties, by [opcua] of the configuration, for looking only.

    Reads the real-time database of a running `scada serve` on this host; waits for it, and goes on when it comes back. While it
    is away every value is marked as the last one known.
    """
    from scada.cli.opcua_service import run
    from scada.core.log import configure_logging
    from scada.core.settings import load_settings

    settings = load_settings(config)
    configure_logging(settings.log.level, settings.log.format)
    try:
        run(settings, parent)
    except OSError as error:
        raise ConfigError(f"cannot serve: {error}", where=settings.opcua.endpoint, mend="is the port free?") from error
