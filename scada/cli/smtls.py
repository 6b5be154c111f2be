"""``scada smtls``: the way between client and server over SM2, SM3 and SM4."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from scada.api.smtls import Way

_KEYS = click.option("--keys", type=click.Path(path_type=Path), default=Path("var/keys"), show_default=True, help="Identities.")
_WAY = click.option(
    "--way",
    "ways",
    multiple=True,
    required=True,
    metavar="HOST:PORT=HOST:PORT",
    help="Where to listen = where it leads; may be given more than once.",
)


@click.group()
def command() -> None:
    """TLS 1.3 over SM2, SM3 and SM4 (RFC 8998) in front of gRPC; needs the extra smtls.

    \b
    scada smtls serve   --way 0.0.0.0:51051=127.0.0.1:50051 --way 0.0.0.0:51052=127.0.0.1:50052
    scada smtls connect --way 127.0.0.1:50051=10.1.1.5:51051 --way 127.0.0.1:50052=10.1.1.5:51052 --as operator
    """  # noqa: D301 - click's mark of lines that stay as they are


def _both(function: Callable[..., Any]) -> Callable[..., Any]:
    return _WAY(_KEYS(function))


@command.command()
@_both
@click.option("--as", "name", default="server", show_default=True, help="Our identity.")
def serve(*, ways: tuple[str, ...], keys: Path, name: str) -> None:
    """On the server's machine: SM TLS comes in, gRPC goes on."""
    _run(ways, keys, name, server=True)


@command.command()
@_both
@click.option("--as", "name", default="operator", show_default=True, help="Our identity.")
def connect(*, ways: tuple[str, ...], keys: Path, name: str) -> None:
    """On the client's machine: gRPC comes in, SM TLS goes on."""
    _run(ways, keys, name, server=False)


def _run(ways: tuple[str, ...], keys: Path, name: str, *, server: bool) -> None:
    from scada.api.smtls import Relay
    from scada.core.clock import SystemClock
    from scada.core.log import configure_logging
    from scada.security.renewable_identity import RenewableIdentity
    from scada.security.trust import Trust

    configure_logging("info", "console")
    clock = SystemClock()
    parsed = tuple(_way(text) for text in ways)
    trust = Trust(keys)
    relay = Relay(parsed, RenewableIdentity(keys, name, clock, trust=trust), trust, clock, server=server)

    async def run() -> None:
        """Until stopped."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await relay.start()
        for way, port in zip(parsed, relay.ports, strict=True):
            click.echo(f"{way.host}:{port} leads to {way.to_host}:{way.to_port}")
        await stop.wait()
        await relay.stop()

    asyncio.run(run())


def _way(text: str) -> Way:
    from scada.api.smtls import Way

    ends = [end.rpartition(":") for end in text.split("=")]
    if len(ends) != 2 or not all(host and port.isdigit() for host, _, port in ends):
        raise click.BadParameter(f"{text!r} is not HOST:PORT=HOST:PORT", param_hint="--way")
    (host, _, port), (to_host, _, to_port) = ends
    return Way(host.strip("[]"), int(port), to_host.strip("[]"), int(to_port))
