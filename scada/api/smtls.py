"""The SM transport in front of gRPC: a pair of relays whose way between them is TLS 1.3 over SM2, SM3 and SM4.

Client -> relay on the client's machine -> (SM TLS) -> relay on the server's machine -> gRPC server. The gRPC connection within
keeps its own mutual TLS, so that the server still sees who calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from scada.core.clock import Clock
from scada.core.errors import PortInUseError
from scada.security.identities import IdentityHolder
from scada.security.smtls import SmTls, SmTlsError, smtls_check
from scada.security.trust import Trust

HANDSHAKE_S: Final = 5.0
CHECK_S: Final = 0.5
"""Time between two looks at whether peers are still trusted."""

MOST: Final = 512
"""Connections of one relay; more are closed at once."""

_PIECE: Final = 1 << 16
_log = structlog.get_logger("scada.smtls")


@dataclass(frozen=True, slots=True)
class Way:
    """Where a relay listens and where it leads.

    Attributes:
        host: address to listen on.
        port: port to listen on; 0 = any free one.
        to_host: where it connects.
        to_port: its port.
    """

    host: str
    port: int
    to_host: str
    to_port: int


class Relay:
    """One end of the pair.

    Args:
        ways: where to listen and lead.
        identity: whom to ask for ours, for each connection.
        trust: whose certificates are trusted; read again when its files change.
        clock: for certificates.
        server: True: SM TLS comes in and plain octets go out; False: the other way round.
    """

    def __init__(self, ways: tuple[Way, ...], identity: IdentityHolder, trust: Trust, clock: Clock, *, server: bool) -> None:
        self._ways = ways
        self._identity = identity
        self._trust = trust
        self._clock = clock
        self._is_server = server
        self._open: dict[asyncio.Task[None], SmTls] = {}
        self._listeners: list[asyncio.Server] = []
        self._keeper: asyncio.Task[None] | None = None
        self.ports: list[int] = []
        """Bound ports, once started."""

    async def start(self) -> None:
        """Prove the library, then listen.

        Raises:
            SecurityError: the library does not do what it should.
            PortInUseError: a port cannot be bound.
        """
        _log.info("SM TLS", library=smtls_check(self._identity.current), identity=self._identity.current.name)
        for way in self._ways:
            try:
                listener = await asyncio.start_server(self._taking(way), way.host, way.port)
            except OSError as error:
                await self.stop()
                raise PortInUseError(f"cannot listen: {error.strerror}", where=f"{way.host}:{way.port}") from error
            self._listeners.append(listener)
            self.ports.append(listener.sockets[0].getsockname()[1])
        self._keeper = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Close everything."""
        if self._keeper is not None:
            self._keeper.cancel()
        for listener in self._listeners:
            listener.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def check(self) -> None:
        """Take what has changed in the trust and in our identity, and close the connections it no longer bears."""
        self._trust.refresh()
        self._identity.refresh()
        for task, tls in list(self._open.items()):
            try:
                tls.check()
            except SmTlsError as error:
                _log.warning("connection ended", peer=error.where, reason=error.what)
                task.cancel()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            self.check()

    def _taking(self, way: Way) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._open) >= MOST:
                _log.warning("too many connections", most=MOST)
                writer.transport.abort()
                return
            tls = SmTls(self._identity.current, self._trust, self._clock, server=self._is_server)
            task = asyncio.create_task(self._serve(way, tls, reader, writer))
            self._open[task] = tls
            task.add_done_callback(lambda done: self._open.pop(done, None) and None)

        return take

    async def _serve(self, way: Way, tls: SmTls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other: asyncio.StreamWriter | None = None
        try:
            if not self._is_server:
                far_reader, other = await asyncio.open_connection(way.to_host, way.to_port)
                async with asyncio.timeout(HANDSHAKE_S):
                    first = await _shake_hands(tls, far_reader, other)
                await _pump(tls, far_reader, other, reader, writer, first)
                return
            async with asyncio.timeout(HANDSHAKE_S):
                first = await _shake_hands(tls, reader, writer)
            near_reader, other = await asyncio.open_connection(way.to_host, way.to_port)
            await _pump(tls, reader, writer, near_reader, other, first)
        except SmTlsError as error:
            _log.warning("refused", reason=error.what, peer=error.where or _address(writer))
        except (OSError, TimeoutError, EOFError) as error:
            _log.info("connection ended", reason=str(error) or type(error).__name__, peer=_address(writer))
        finally:
            for each in (writer, other):
                if each is not None:
                    each.transport.abort()


async def _shake_hands(tls: SmTls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Returns what came for the user behind the handshake."""
    octets = b""
    while True:
        try:
            data = tls.receive(octets)
        finally:
            writer.write(tls.outgoing())  # also an alert, which says why
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        if tls.peer is not None:
            return data
        octets = await reader.read(_PIECE)
        if not octets:
            raise EOFError("the peer closed during the handshake")


async def _pump(
    tls: SmTls,
    far_reader: asyncio.StreamReader,
    far: asyncio.StreamWriter,
    near_reader: asyncio.StreamReader,
    near: asyncio.StreamWriter,
    first: bytes,
) -> None:
    """Both directions until one ends."""

    async def inwards() -> None:
        near.write(first)
        while octets := await far_reader.read(_PIECE):
            near.write(tls.receive(octets))
            far.write(tls.outgoing())
            await near.drain()
            if tls.closed:
                return

    async def outwards() -> None:
        while data := await near_reader.read(_PIECE):
            tls.send(data)
            far.write(tls.outgoing())
            await far.drain()

    tasks = [asyncio.create_task(inwards()), asyncio.create_task(outwards())]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _address(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else ""
