"""One gRPC server: its port and credentials, the admission before each method, and health that tells the truth."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

from scada.actors.ports import check_port
from scada.api.admission import REFLECTION, Admission
from scada.api.services import Handlers
from scada.core.errors import PortInUseError
from scada.security.tls_trust import TlsMaterial, TlsTrust

SERVER_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # few, for a burst of them from each of many connections stands before everybody else's call; RFC 9113 6.5.2: not below 100
    ("grpc.max_concurrent_streams", 100),
    # grpc would refuse whoever calls while a burst waits
    ("grpc.server.max_pending_requests", 1 << 16),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 17),
    ("grpc.max_metadata_size", 8192),
    ("grpc.absolute_max_metadata_size", 8192),
    ("grpc.server_handshake_timeout_ms", 3000),
    ("grpc.keepalive_time_ms", 2000),
    ("grpc.keepalive_timeout_ms", 1500),
    # without it a dead peer is noticed only after a minute, whatever the keepalive says
    ("grpc.http2.ping_timeout_ms", 1500),
    ("grpc.http2.min_ping_interval_without_data_ms", 1000),
    ("grpc.max_connection_age_ms", 86_400_000),
    ("grpc.so_reuseport", 0),
)

_HEALTH: Final = "grpc.health.v1.Health"
_REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection"


class Listener:
    """One server object on one port; used on the event loop that starts it.

    Args:
        purpose: named in errors, ``views`` or ``controls``.
        handlers: what it offers, by full method name.
        admission: what every call passes first.
        calls: calls and streams served at a time, of all peers together.
        tls: certificates; None = without TLS.
        reflection: whether clients may ask what is offered.
    """

    def __init__(
        self, purpose: str, handlers: Handlers, admission: Admission, calls: int, tls: TlsTrust | None, *, reflection: bool
    ) -> None:
        self._purpose = purpose
        self._admission = admission
        self._tls = tls
        self._health = HealthServicer()
        self._server: Any = grpc.aio.server(options=SERVER_OPTIONS, maximum_concurrent_rpcs=calls)
        self._services = self._add(handlers, reflection=reflection)

    def bind(self, host: str, port: int) -> int:
        """Bind and return the port; 0 takes any free one.

        Raises:
            PortInUseError: it is taken or cannot be bound.
        """
        check_port(host, port, self._purpose)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._tls is None:
                bound = int(self._server.add_insecure_port(address))
            else:
                bound = int(self._server.add_secure_port(address, _credentials(self._tls)))
        except RuntimeError as error:
            raise PortInUseError(
                f"port {port} for {self._purpose} cannot be used", where=host, mend="choose another port"
            ) from error
        self._admission.port = bound
        return bound

    async def start(self) -> None:
        """Serve; every service says NOT_SERVING until :meth:`tell`."""
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.NOT_SERVING)
        await self._server.start()

    async def tell(self, down: frozenset[str] = frozenset()) -> None:
        """Say how the services are.

        Args:
            down: full names of those that do not work; the whole server does not either then.
        """
        for service in ("", *self._services):
            works = service not in down and (service or not down)
            state = health_pb2.HealthCheckResponse.SERVING if works else health_pb2.HealthCheckResponse.NOT_SERVING
            await self._health.set(service, state)

    async def stop(self, grace_s: float) -> None:
        """Say NOT_SERVING, let calls in progress finish within ``grace_s``, close."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace_s)

    def _add(self, handlers: Handlers, *, reflection: bool) -> list[str]:
        services: dict[str, Handlers] = {}
        offered = {**handlers, **self._health_handlers()}
        if reflection:
            offered |= _reflection_handlers(offered)
        for path, handler in offered.items():
            _, service, method = path.split("/")
            services.setdefault(service, {})[method] = self._admission.guard(path, handler)
        self._server.add_generic_rpc_handlers(
            tuple(grpc.method_handlers_generic_handler(service, methods) for service, methods in services.items())
        )
        return [service for service in services if service not in (_HEALTH, _REFLECTION)]

    def _health_handlers(self) -> Handlers:
        codec = (health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString)
        return {
            f"/{_HEALTH}/Check": grpc.unary_unary_rpc_method_handler(self._health.Check, *codec),
            f"/{_HEALTH}/Watch": grpc.unary_stream_rpc_method_handler(self._health.Watch, *codec),
        }


def _reflection_handlers(offered: Handlers) -> Handlers:
    """Of the services offered, and of itself."""
    services = {path.split("/")[1] for path in offered} | {_REFLECTION}
    servicer = ReflectionServicer(sorted(services))

    async def _info(requests: Any, context: Any) -> None:
        async for reply in servicer.ServerReflectionInfo(requests, context):
            await context.write(reply)

    codec = (reflection_pb2.ServerReflectionRequest.FromString, reflection_pb2.ServerReflectionResponse.SerializeToString)
    return {REFLECTION: grpc.stream_stream_rpc_method_handler(_info, *codec)}


def _credentials(tls: TlsTrust) -> grpc.ServerCredentials:
    """Asks for the files at every handshake, so that a renewed certificate needs no restart."""
    given = tls.material

    def configuration(material: TlsMaterial) -> Any:
        return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], material.authority)

    def fetch() -> Any:
        """None: as before."""
        nonlocal given
        material = tls.material
        if material is given:
            return None
        given = material
        return configuration(material)

    return grpc.dynamic_ssl_server_credentials(configuration(given), fetch, require_client_authentication=True)


class LoopThread:
    """An event loop in a thread of its own; what runs on it does not wait for the work of another loop.

    Args:
        name: of the thread.
        loop: runs until :meth:`stop`.
    """

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        share_poller(loop)
        self._thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Any) -> Any:
        """Do a coroutine on this loop and wait for it on the caller's."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    def stop(self) -> None:
        """End the thread; what still runs on the loop is left where it is."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


def share_poller(loop: asyncio.AbstractEventLoop) -> None:
    """Let a loop share grpc's poller with others.

    Every loop is woken for every event and the first one takes it; the others find nothing, which grpc reports as if it were an
    error.
    """

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), BlockingIOError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(handle)
