"""Sockets around an :class:`Outstation`: a TCP server for several masters, on asyncio."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from typing import Final, cast

from scada.core.errors import PortInUseError
from scada.protocols.iec104.link import Closed, Transmit
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.session import Session, SessionEvent

_TICK_S: Final = 0.2


class OutstationServer:
    """Listens for masters and carries octets to and fro.

    Args:
        outstation: the station; its methods are to be called from this server's event loop.
        host: address to listen on.
        port: port; 0 = any free one, see :attr:`port` after :meth:`start`.
        masters: hosts that may connect; empty = any.
        max_masters: connections at the same time.
        on_remark: told of odd frames, refused connections and closed links, in one sentence each.
    """

    def __init__(
        self,
        outstation: Outstation,
        host: str = "127.0.0.1",
        port: int = 2404,
        *,
        masters: Sequence[str] = (),
        max_masters: int = 8,
        on_remark: Callable[[str], None] | None = None,
    ) -> None:
        self.outstation = outstation
        self.host = host
        self.port = port
        self.muted = False
        """Fault hook: received octets vanish and nothing is sent, the connections stay."""
        self.listening = False
        self._masters = frozenset(masters)
        self._max_masters = max_masters
        self._on_remark = on_remark or (lambda _: None)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._ticker: asyncio.Task[None] | None = None
        self._woken = False

    async def start(self) -> None:
        """Begin to listen.

        Raises:
            PortInUseError: another process has the port.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port)
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
        if self._server is not None:
            self._server.close()
            self.drop_links()
            await self._server.wait_closed()
            self._server = None
        self.listening = False

    async def close(self) -> None:
        """Stop for good."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
            self._ticker = None
        await self.stop_listening()

    def drop_links(self) -> None:
        """Fault hook: break every connection; masters may connect again."""
        for connection in list(self._connections):
            connection.abort()

    def flush(self) -> None:
        """Send what waits."""
        self._woken = False
        for connection in list(self._connections):
            connection.carry_out(connection.pump())

    def remark(self, text: str) -> None:
        """Pass a remark on."""
        self._on_remark(text)

    def admits(self, host: str) -> str:
        """Why a host may not connect now; empty if it may."""
        if self._masters and host not in self._masters:
            return f"{host} is not a configured master"
        if len(self._connections) >= self._max_masters:
            return f"{host} refused: {self._max_masters} masters are connected"
        return ""

    def enter(self, connection: _Connection) -> None:
        """A connection is up."""
        self._connections.add(connection)

    def leave(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            asyncio.get_running_loop().call_soon(self.flush)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.outstation.clock.real_delay(_TICK_S))
            for connection in list(self._connections):
                connection.carry_out(connection.tick())


class _Connection(asyncio.Protocol):
    """One master's TCP connection."""

    def __init__(self, server: OutstationServer) -> None:
        self._server = server
        self._session: Session | None = None
        self._transport: asyncio.Transport | None = None
        self._writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        host = self._transport.get_extra_info("peername")[0]
        refusal = self._server.admits(host)
        if refusal:
            self._server.remark(refusal)
            self._transport.abort()
            return
        self._session = self._server.outstation.connect(host)
        self._server.enter(self)

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
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.carry_out(self.pump())

    def pump(self) -> list[SessionEvent]:
        """Fill the send window unless the socket is full."""
        ready = self._session is not None and self._writable and not self._server.muted
        return self._session.pump() if self._session is not None and ready else []

    def tick(self) -> list[SessionEvent]:
        """Timers of the session."""
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
                self._transport.close()
            elif not isinstance(event, Transmit):
                self._server.remark(event.text)
