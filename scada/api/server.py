"""The gRPC servers of a running system: views on one port, control on another.

Viewers have a server object, a port and limits of their own, so that a flood of them cannot starve an operator's control. Both
run on one event loop; :class:`ApiThread` gives them a thread of their own beside the actors.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from scada.actors.backend import Backend
from scada.actors.ports import check_port
from scada.api.event_feed import EventFeed
from scada.api.gate import Gate
from scada.api.hub import Hub
from scada.api.refusals import SecurityReporter
from scada.api.services import Handlers, Services
from scada.core.errors import PortInUseError
from scada.core.settings import ApiSettings
from scada.security.session import SessionServer

SERVER_OPTIONS = (
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    ("grpc.max_concurrent_streams", 64),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 8192),
    ("grpc.server_handshake_timeout_ms", 3000),
    ("grpc.keepalive_time_ms", 3000),
    ("grpc.keepalive_timeout_ms", 1500),
    # without it a dead peer is noticed only after a minute, whatever the keepalive says
    ("grpc.http2.ping_timeout_ms", 1500),
    ("grpc.http2.min_ping_interval_without_data_ms", 2000),
    ("grpc.max_connection_age_ms", 86_400_000),
    ("grpc.so_reuseport", 0),
)

VIEW_CALLS = 512
"""Calls and streams the view server serves at a time; more are refused with RESOURCE_EXHAUSTED."""

CONTROL_CALLS = 64

HOUSEKEEPING_S = 10.0
"""Time between removals of expired sessions."""

_log = structlog.get_logger("scada.api")


class ApiServer:
    """Both servers; lives on the event loop that starts it.

    Args:
        backend: the running system.
        sessions: who may do what.
        settings: address and ports; port 0 takes any free one.
    """

    def __init__(self, backend: Backend, sessions: SessionServer, settings: ApiSettings) -> None:
        self._backend = backend
        self._sessions = sessions
        self._settings = settings
        self._hub = Hub(backend)
        self._events = EventFeed(backend)
        self._reporter = SecurityReporter(backend)
        self._servers: list[Any] = []
        self._housekeeping: asyncio.Task[None] | None = None
        self.port = 0
        """Bound port of the views, once started."""
        self.control_port = 0
        """Bound port of the controls, once started."""

    async def start(self) -> None:
        """Bind both ports and serve.

        Raises:
            PortInUseError: a port is taken or cannot be bound.
        """
        self._hub.start()
        self._events.start()
        gate = Gate(self._sessions, self._reporter)
        services = Services(self._backend, self._hub, self._events)
        try:
            views, controls = services.view_handlers(gate), services.control_handlers(gate)
            self.port = await self._add(views, "views", self._settings.port, VIEW_CALLS)
            self.control_port = await self._add(controls, "controls", self._settings.control_port, CONTROL_CALLS)
        except PortInUseError:
            await self.stop()
            raise
        for server in self._servers:
            await server.start()
        self._housekeeping = asyncio.create_task(self._expire_sessions())
        _log.info("serving", host=self._settings.host, port=self.port, control_port=self.control_port)

    async def stop(self, grace_s: float = 0.5) -> None:
        """End every stream, let calls in progress finish within ``grace_s``, then close."""
        self._hub.stop()
        self._events.stop()
        if self._housekeeping is not None:
            self._housekeeping.cancel()
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))
        self._reporter.close()

    async def _expire_sessions(self) -> None:
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            for session in self._sessions.expire():
                _log.info("session expired", name=session.principal.name, station=session.principal.station)

    async def _add(self, handlers: Handlers, purpose: str, port: int, calls: int) -> int:
        server = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=calls)
        services: dict[str, Handlers] = {}
        for path, handler in handlers.items():
            _, service, method = path.split("/")
            services.setdefault(service, {})[method] = handler
        server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items())
        )
        health = HealthServicer()
        for service in ("", *services):
            await health.set(service, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        bound = _bind(server, self._settings.host, port, purpose)
        self._servers.append(server)
        return bound


class ApiThread:
    """An :class:`ApiServer` in a thread with an event loop of its own.

    Args:
        backend: the running system; its ``async`` methods are awaited on this thread's loop.
        sessions: who may do what; used only on this thread once started.
        settings: address and ports.
        new_loop: makes the loop, e.g. ``uvloop.new_event_loop``.
    """

    def __init__(
        self,
        backend: Backend,
        sessions: SessionServer,
        settings: ApiSettings,
        new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
    ) -> None:
        self.server = ApiServer(backend, sessions, settings)
        self._new_loop = new_loop
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)

    def start(self) -> None:
        """Start and return once both ports are bound.

        Raises:
            PortInUseError: a port is taken.
        """
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """End every stream and the thread; safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=self._new_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            await self.server.start()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = error
            return
        finally:
            self._ready.set()
        await self._stop.wait()
        await self.server.stop()


def _bind(server: Any, host: str, port: int, purpose: str) -> int:
    """Bind, with the cause in words if it fails (grpc itself says only that it failed)."""
    check_port(host, port, purpose)
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError as error:
        raise PortInUseError(f"port {port} for {purpose} cannot be used", where=host, mend="choose another port") from error
