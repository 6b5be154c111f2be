"""How terminal commands reach a server: common options, login, and one event loop for the length of a command."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scada.api.texts import LANGUAGES, language_of, text

if TYPE_CHECKING:
    from scada.api.client import ScadaClient

Result = TypeVar("Result")
Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Link:
    """Where the server is, who we are there, and which language we speak."""

    server: str
    control_port: int
    keys: Path
    name: str
    site: str
    language: str
    plain: bool = False
    station: str = ""

    def run(self, work: Callable[[ScadaClient], Coroutine[Any, Any, Result]]) -> Result:
        """Log in, do the work, log out.

        Raises:
            ScadaError: keys cannot be used, the server does not answer or refuses.
        """
        return asyncio.run(self._session(work))

    async def _session(self, work: Callable[[ScadaClient], Coroutine[Any, Any, Result]]) -> Result:
        from scada.api.client import ScadaClient
        from scada.cli.unlock import ask_password
        from scada.core.clock import SystemClock
        from scada.security.authorities import load_authorities
        from scada.security.identities import load_identity
        from scada.security.tls_trust import ClientTls

        host, separator, port = self.server.rpartition(":")
        if not separator or not host or not port.isdigit():
            raise click.BadParameter(f"{self.server!r} is not HOST:PORT", param_hint="--server")
        clock = SystemClock()
        password = ask_password(self.keys, self.name)
        client = ScadaClient(
            self.server,
            f"{host}:{self.control_port}",
            load_identity(self.keys, self.name, clock, password),
            load_authorities(self.keys),
            clock,
            site=self.site,
            station=self.station,
            tls=None if self.plain else ClientTls(self.keys, self.name, password=password),
        )
        try:
            await client.connect()
            return await work(client)
        finally:
            await client.close()

    def text(self, key: str, **parameters: str) -> str:
        """A text in the language of the link."""
        return text(self.language, key, parameters)

    def heads(self, *names: str) -> list[str]:
        """Column heads by name."""
        return [self.text(f"ctl.head.{name}") for name in names]

    def state(self, group: str, name: str) -> str:
        """The text of one value of an enumeration; the value itself if the catalogue does not have it."""
        key = f"{group}.{name}"
        shown = self.text(key)
        return name if shown == key else shown


pass_link = click.make_pass_decorator(Link)
"""Hands the group's :class:`Link` to a command."""


def link_options(identity: str) -> Callable[[Command], Command]:
    """Options of a command group that talks to a server as ``identity``; the group gets a :class:`Link` as ``ctx.obj``."""

    def decorate(group: Command) -> Command:
        for option in reversed(_options(identity)):
            group = option(group)
        return group

    return decorate


def take_link(given: dict[str, Any]) -> Link:
    """Take the options of a connection out of what a command was given, as a link."""
    words = {part.name: given.pop(part.name) for part in fields(Link) if part.name != "language"}
    return Link(language=language_of(given.pop("lang") or ""), **words)


def make_link(ctx: click.Context, given: dict[str, Any]) -> None:
    """Put the link of the given options into the context."""
    ctx.obj = take_link(given)


def _options(identity: str) -> list[Callable[[Command], Command]]:
    def option(name: str, *names: str, text: str, **words: Any) -> Callable[[Command], Command]:
        variable = "SCADA_" + name.removeprefix("--").replace("-", "_").upper()
        return click.option(name, *names, envvar=variable, show_default=True, show_envvar=True, help=text, **words)

    return [
        option("--server", default="127.0.0.1:50051", text="HOST:PORT of the views."),
        option("--control-port", type=click.IntRange(1, 65535), default=50052, text="Port of the controls."),
        option("--keys", type=click.Path(path_type=Path), default=Path("var/keys"), text="Folder of identities."),
        option("--as", "name", default=identity, text="Identity that signs."),
        option("--site", default="demo", text="Name of the server's site; what is signed is good for no other."),
        option("--station", default=platform.node, text="Name of this workstation."),
        option("--plain", is_flag=True, text="Without TLS; only to a server on this machine."),
        option("--lang", type=click.Choice(LANGUAGES), default=None, text="Language; default from LANG."),
    ]
