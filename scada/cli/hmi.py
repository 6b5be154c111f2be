"""``scada hmi``: the operator station."""

from __future__ import annotations

import asyncio
import platform
import webbrowser
from pathlib import Path

import click


@click.command(name="hmi")
@click.option("--server", default="127.0.0.1:50051", show_default=True, help="HOST:PORT of the views.")
@click.option("--control-port", type=click.IntRange(1, 65535), default=50052, show_default=True, help="Port of the controls.")
@click.option("--keys", type=click.Path(path_type=Path), default=Path("var/keys"), show_default=True, help="Identities.")
@click.option("--as", "name", default="operator", show_default=True, help="Identity that works at this station.")
@click.option("--site", default="demo", show_default=True, help="Name of the server's site; what is signed is good for no other.")
@click.option("--station", default=platform.node, show_default="the host's name", help="Name of this workstation.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port of the page; 0 = any.")
@click.option("--no-browser", is_flag=True, help="Print the address of the page, but open no browser.")
@click.option("--plain", is_flag=True, help="Without TLS; only to a server on this machine.")
@click.option("--lang", type=click.Choice(["zh", "en"]), default=None, help="First language; default: the browser's.")
def command(
    *,
    server: str,
    control_port: int,
    keys: Path,
    name: str,
    site: str,
    station: str,
    port: int,
    no_browser: bool,
    plain: bool,
    lang: str | None,
) -> None:
    """Serve the page on loopback and hold the operator's key.

    Every order the page gives is signed here; the key never enters the browser. The printed address works once, for one browser;
    when it was used the next one is printed. Ctrl-C ends the station.
    """
    from scada_hmi.serve import bind, serve
    from scada_hmi.upstream import ServerLink

    from scada.api.client import ScadaClient
    from scada.cli.unlock import ask_password
    from scada.core.clock import SystemClock
    from scada.security.authorities import load_authorities
    from scada.security.renewable_identity import RenewableIdentity
    from scada.security.tls_trust import ClientTls

    host, separator, number = server.rpartition(":")
    if not separator or not host or not number.isdigit():
        raise click.BadParameter(f"{server!r} is not HOST:PORT", param_hint="--server")
    clock = SystemClock()
    password = ask_password(keys, name)
    identity = RenewableIdentity(keys, name, clock, password=password)
    authority = load_authorities(keys)
    tls = None if plain else ClientTls(keys, name, password=password)
    listener = bind(port)
    first = True

    def launch(address: str) -> None:
        nonlocal first
        click.echo(f"operator station of {name}: {address}" if first else f"for another browser: {address}")
        if first and not no_browser:
            webbrowser.open(address)
        first = False

    async def run() -> None:
        """Serve until stopped."""
        control = f"{host}:{control_port}"
        client = ScadaClient(server, control, identity, authority, clock, site=site, station=station, tls=tls)
        await serve(ServerLink(client, server, name), listener, launch, language=lang or "")

    asyncio.run(run())
