"""Sockets around a controlled station: a TCP or TLS server for several masters, on asyncio."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from scada.core.clock import Clock
from scada.core.errors import PortInUseError
from scada.protocols.iec104.groups import UnknownMasterError
from scada.protocols.iec104.link import Closed, Transmit
from scada.protocols.iec104.session import SessionEvent
from scada.security.tls import TlsContext

_TICK_S: Final = 0.2
_HANDSHAKE_S: Final = 10.0
_LINGER_S: Final = 2.0
"""How long a closed connection may take to send its last frames."""
_RECHECK_S: Final = 30.0
"""How often the certificates of standing connections are held against the revocation list."""


class CarriedSession(Protocol):
    """One master's connection, as the server carries it; what its methods return is to be done in order."""

    def feed(self, data: bytes) -> list[SessionEvent]:
        """Octets from the master."""
        ...

    def tick(self) -> list[SessionEvent]:
        """Timers."""
        ...

    def pump(self) -> list[SessionEvent]:
        """What can be sent now."""
        ...


class CarriedStation(Protocol):
    """A controlled station as the server carries it.

    That is an :class:`~scada.protocols.iec104.outstation.Outstation`, or a trace that is played
    (:class:`~scada.protocols.iec104.player.TracePlayer`).
    """

    clock: Clock
    wake: Callable[[], None] | None

    def connect(self, host: str, *, names: Sequence[str], peer: str) -> CarriedSession:
        """A master has connected."""
        ...

    def disconnect(self, session: Any) -> None:
        """It is gone."""
        ...


class OutstationServer:
    """Listens for masters and carries octets to and fro.

    Args:
        outstation: the station; its methods are to be called from this server's event loop.
        host: address to listen on.
        port: port; 0 = any free one, see :attr:`port` after :meth:`start`.
        masters: hosts that may connect; empty = any that the station's groups know.
        tls: context of :func:`scada.security.tls.server_context`; None = plain TCP.
        max_masters: connections at the same time. Beyond that the newest of a host that has several gives way to a host that has
            none.
        on_remark: told of odd frames, refused connections and closed links, in one sentence each.
    """

    def __init__(
        self,
        outstation: CarriedStation,
        host: str = "127.0.0.1",
        port: int = 2404,
        *,
        masters: Sequence[str] = (),
        tls: TlsContext | None = None,
        max_masters: int = 8,
        on_remark: Callable[[str], None] | None = None,
    ) -> None:
        self.outstation = outstation
        self.host = host
        self.port = port
        self.muted = False
        """Fault hook: received octets vanish and nothing is sent, the connections stay."""
        self.listening = False
        self.tls = tls
        if tls is not None:
            tls.refused = lambda text: self.remark(f"a connection was refused: {text}")
        self._rechecked = 0.0
        self._masters = frozenset(masters)
        self._max_masters = max_masters
        self._on_remark = on_remark or (lambda _: None)
        self._connections: dict[_Connection, str] = {}  # in order of coming, with their hosts
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()  # a start that is under way is over before a stop begins
        self._woken = False

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            PortInUseError: another process has the port.
        """
        async with self._changing:
            await self._start()

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        limit = None if self.tls is None else _HANDSHAKE_S
        try:
            self._server = await loop.create_server(
                lambda: _Connection(self),
                self.host,
                self.port,
                ssl=self.tls,
                ssl_handshake_timeout=limit,
                ssl_shutdown_timeout=limit,
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortInUseError(
                "the port is taken by another process", where=f"{self.host}:{self.port}", mend="choose another port"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self.listening = True
        self.outstation.wake = self._wake
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick())

    async def stop_listening(self) -> None:
        """Fault hook: refuse new connections and drop the present ones, as a station without power; :meth:`start` again."""
        async with self._changing:
            if self._server is not None:
                self._server.close()
                self.drop_links()
                await self._server.wait_closed()
                self._server = None
            self.listening = False

    async def close(self) -> None:
        """Stop for good."""
        await self.stop_listening()
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None

    def drop_links(self) -> None:
        """Fault hook: break every connection; masters may connect again."""
        for connection in list(self._connections):
            connection.abort()

    def flush(self) -> None:
        """Send what waits."""
        self._woken = False
        self._each(lambda connection: connection.carry_out(connection.pump()))

    def remark(self, text: str) -> None:
        """Pass a remark on."""
        self._on_remark(text)

    def admits(self, host: str) -> str:
        """Why a host may not connect now; empty if it may."""
        if self._masters and host not in self._masters:
            return f"{host} is not a configured master"
        if len(self._connections) >= self._max_masters and not self._crowd(host):
            return f"{host} refused: {self._max_masters} masters are connected"
        return ""

    def _crowd(self, host: str) -> list[_Connection]:
        """Connections of the host that has most of them, if it has several and this one has none."""
        hosts = Counter(self._connections.values())
        most = max(hosts, key=hosts.__getitem__)
        if host in hosts or hosts[most] < 2:
            return []
        return [connection for connection, of in self._connections.items() if of == most]

    def enter(self, connection: _Connection, host: str) -> None:
        """A connection is up."""
        if len(self._connections) >= self._max_masters and (crowd := self._crowd(host)):
            crowd[-1].refuse(f"{self._connections[crowd[-1]]}: a connection gave way to {host}, which had none")
        self._connections[connection] = host

    def leave(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._connections.pop(connection, None)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self.flush)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.outstation.clock.real_delay(_TICK_S))
            self.beat()

    def beat(self) -> None:
        """Timers of every connection."""
        self._recheck()
        self._each(lambda connection: connection.carry_out(connection.tick()))

    def _each(self, act: Callable[[_Connection], None]) -> None:
        """A fault in one connection ends that one only."""
        for connection in list(self._connections):
            try:
                act(connection)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
                connection.refuse(f"link closed by a fault here: {type(error).__name__}: {error}")

    def _recheck(self) -> None:
        """A certificate may be revoked or expire while its connection stands."""
        now = self.outstation.clock.monotonic()
        if self.tls is not None and now - self._rechecked >= _RECHECK_S:
            self._rechecked = now
            for connection in list(self._connections):
                connection.recheck(self.tls, self.outstation.clock.now_ns())


class _Connection(asyncio.Protocol):
    """One master's TCP connection."""

    def __init__(self, server: OutstationServer) -> None:
        self._server = server
        self._session: CarriedSession | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True
        self._give_up = float("inf")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        peer = self._transport.get_extra_info("peername")
        if peer is None:  # it is gone already
            self._transport.abort()
            return
        host, port = peer[:2]
        refusal = self._server.admits(host)
        if refusal:
            self.refuse(refusal)
            return
        certificate = self._transport.get_extra_info("peercert")
        names = _names(certificate or {})
        if certificate and not names:
            self.refuse(f"{host}:{port} refused: its certificate names nobody")
            return
        try:
            self._session = self._server.outstation.connect(host, names=names, peer=f"{host}:{port}")
        except UnknownMasterError as error:
            self.refuse(f"{host}:{port} refused: {error}")
            return
        self._server.enter(self, host)

    def refuse(self, why: str) -> None:
        """Say why and break the connection."""
        assert self._transport is not None
        self._server.remark(why)
        self._transport.abort()

    def recheck(self, tls: TlsContext, now_ns: int) -> None:
        """End the connection if its peer is not to be trusted any more."""
        secured = self._transport.get_extra_info("ssl_object") if self._transport is not None and self._session else None
        refusal = tls.refusal(secured.getpeercert(True), now_ns) if secured is not None else ""
        if refusal:
            self.refuse(f"link closed: {refusal}")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._server.leave(self)
        if self._session is not None:
            self._server.outstation.disconnect(self._session)
            self._session = None

    def data_received(self, data: bytes) -> None:
        if self._session is not None and not self._server.muted:
            self.carry_out(self._session.feed(data))

    def pause_writing(self) -> None:
        """Who does not read is not heard: each of its frames might want an answer."""
        assert self._transport is not None
        self._writable = False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        assert self._transport is not None
        self._writable = True
        self._transport.resume_reading()
        self.carry_out(self.pump())

    def pump(self) -> list[SessionEvent]:
        """Fill the send window unless the socket is full."""
        ready = self._session is not None and self._writable and not self._server.muted
        return self._session.pump() if self._session is not None and ready else []

    def tick(self) -> list[SessionEvent]:
        """Timers of the session, and of a closed connection whose peer does not read."""
        if self._server.outstation.clock.monotonic() >= self._give_up:
            self.abort()
        return self._session.tick() if self._session is not None and not self._server.muted else []

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    def carry_out(self, events: list[SessionEvent]) -> None:
        """Write, remark or close as the session says."""
        assert self._transport is not None
        data = b"".join(event.data for event in events if isinstance(event, Transmit))
        if data:
            self._transport.write(data)
        for event in events:
            if isinstance(event, Closed):
                self._server.remark(f"link closed: {event.reason}")
                self._give_up = self._server.outstation.clock.monotonic() + _LINGER_S
                self._transport.close()
            elif not isinstance(event, Transmit):
                self._server.remark(event.text)


def _names(certificate: Mapping[str, Any]) -> list[str]:
    """Names in a certificate as ``getpeercert()`` gives it: the common name, then DNS names and addresses."""
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    return common + [value for _, value in certificate.get("subjectAltName", ()) if value not in common]
