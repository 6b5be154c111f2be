"""The process that serves third parties: a client of the server with an identity of its own, and an HTTP server before it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import structlog
import uvicorn

from scada.actors.ports import check_port
from scada.api.client import ScadaClient
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.settings import RestSettings, Settings
from scada.rest.app import make_app
from scada.rest.connections import PLACES, Connection, ProxyConnection
from scada.rest.tokens import TokenStore
from scada.security.authorities import load_authorities
from scada.security.renewable_identity import RenewableIdentity
from scada.security.tls_trust import ClientTls

_log = structlog.get_logger("rest")

_LOOK_S: Final = 1.0
_IDLE_S: Final = 15
"""A connection without a request is closed after so long."""
STALLED_MS: Final = 20_000
"""A connection of which nothing was taken for so long is cut, ms."""


def run(settings: Settings, parent: int = 0) -> None:
    """Serve until SIGINT or SIGTERM, or until ``parent`` is no longer our parent.

    Raises:
        ScadaError: settings or keys cannot be used, or the port is taken.
    """
    asyncio.run(_run(settings, parent))


def description() -> dict[str, Any]:
    """The OpenAPI description, made without a server."""
    clock = SystemClock()
    return make_app(_Nobody(), TokenStore(Path("none"), clock), clock, follow=False).openapi()


def tls_files(given: RestSettings) -> tuple[Path, Path] | None:
    """Certificate and key of TLS; None without, which only this machine may be served.

    Raises:
        ConfigError: without TLS beyond this machine, or only one of the two is given.
    """
    if given.certificate is not None and given.key is not None:
        return given.certificate, given.key
    if given.certificate is not None or given.key is not None:
        raise ConfigError("TLS needs a certificate and its key", where="[rest]", mend="give both, or neither")
    if not _is_local(given.host):
        mend = "give certificate and key, or listen on 127.0.0.1"
        raise ConfigError(f"{given.host} is not this machine and needs TLS", where="[rest] host", mend=mend)
    return None


async def _run(settings: Settings, parent: int) -> None:
    given, clock = settings.rest, SystemClock()
    files = tls_files(given)
    check_port(given.host, given.port, "REST")
    client = ScadaClient(
        f"{settings.api.host}:{settings.api.port}",
        f"{settings.api.host}:{settings.api.control_port}",
        RenewableIdentity(settings.security.keys, given.identity, clock),
        load_authorities(settings.security.keys),
        clock,
        site=settings.site.name,
        station=platform.node(),
        tls=ClientTls(settings.security.keys, given.identity) if settings.api.tls else None,
    )
    app = make_app(client, TokenStore(given.tokens, clock), clock)
    server = _HttpServer(_config(app, given, files), app.state.streams.end)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.end)
    watch = asyncio.create_task(_watch_parent(server, parent))
    _log.info("rest up", host=given.host, port=given.port, tls=files is not None, identity=given.identity)
    try:
        await server.serve(sockets=[_listener(server.config)])
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await client.close()
        _log.info("rest stopped")


class _HttpServer(uvicorn.Server):
    """Leaves the signals to us.

    Args:
        config: of uvicorn.
        ending: ends what goes on without end.
    """

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ending = ending

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        """Nothing is captured."""
        yield

    def end(self) -> None:
        """Finish what was asked, then stop."""
        self._ending()
        self.should_exit = True


class _Nobody:
    """A server that is never asked."""

    async def call(self, method: str, request: object, *, timeout_s: float = 0.0) -> Any:
        """Not to be called."""
        raise NotImplementedError

    def watch(self, pids: object = (), *, period_ms: int = 0, credit: int = 2) -> Any:
        """Not to be called."""
        raise NotImplementedError


def _config(app: Any, given: RestSettings, files: tuple[Path, Path] | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        host=given.host,
        port=given.port,
        ssl_certfile=str(files[0]) if files else None,
        ssl_keyfile=str(files[1]) if files else None,
        log_config=None,
        access_log=False,
        server_header=False,
        http=ProxyConnection if given.behind_proxy else Connection,
        limit_concurrency=PLACES,
        timeout_keep_alive=_IDLE_S,
        # by default uvicorn believes whoever asks from this machine
        proxy_headers=bool(given.behind_proxy),
        forwarded_allow_ips=",".join(str(network) for network in given.behind_proxy),
        h11_max_incomplete_event_size=16 * 1024,
        timeout_graceful_shutdown=5,
        ws="none",
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_3
    return config


def _listener(config: uvicorn.Config) -> socket.socket:
    """A socket whose connections end when the other side takes nothing any more: it holds one of few places."""
    listener = config.bind_socket()
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    return listener


async def _watch_parent(server: _HttpServer, parent: int) -> None:
    while parent and os.getppid() == parent:  # noqa: ASYNC110 - a parent that goes away sets no event
        await asyncio.sleep(_LOOK_S)
    if parent:
        server.end()


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
