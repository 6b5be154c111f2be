"""One TCP or TLS connection of a controlling station, on asyncio."""

from __future__ import annotations

import asyncio
import ssl
from typing import Protocol, cast

from scada.core.errors import ScadaError
from scada.protocols.iec104.endpoints import Endpoint
from scada.security.tls import TlsContext, handshake_fault


class ConnectError(ScadaError):
    """A connection could not be made."""


class Owner(Protocol):
    """Who deals with what is read."""

    @property
    def in_use(self) -> bool:
        """Data may come over this connection; while what was read is not taken over, no more is read."""
        ...

    def received(self, data: bytes) -> None:
        """Octets of one read."""
        ...

    def paused(self, reading_stopped: bool) -> None:
        """Reading has stopped, or goes on."""
        ...

    async def taken_over(self) -> None:
        """Return when what was received has been taken over, and may be acknowledged."""
        ...


class Connection(asyncio.Protocol):
    """The connection; stops reading while what was read is not taken over.

    Attributes:
        ended: the reason of its end.
    """

    def __init__(self, owner: Owner) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._arrived = asyncio.Event()
        self._settling = False
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up; for asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; for asyncio."""
        fault = handshake_fault(exc) if isinstance(exc, ssl.SSLError) else f"connection broken: {exc}"
        self._finish(fault if exc else "the station closed the connection")

    def data_received(self, data: bytes) -> None:
        """Octets came; for asyncio."""
        if self.ended.done():
            return
        self._owner.received(data)
        self._arrived.set()
        if self._settling and not self._paused and self._owner.in_use and self._open():
            self._pause(True)

    def pause_writing(self) -> None:
        """What we send piles up; for asyncio. The send window is far smaller: a peer asks for answers that it does not read."""
        self._finish("the station does not take what we send")
        self._transport_of().abort()

    def write(self, data: bytes) -> None:
        """Send octets; the send window bounds what can wait here."""
        if self._open():
            self._transport_of().write(data)

    async def settle(self) -> None:
        """One round for all that arrived meanwhile: hand over, acknowledge, read on. Runs as long as the connection."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._settling = True
            await self._owner.taken_over()
            self._settling = False
            if self._paused and self._open():
                self._pause(False)

    def distrusted(self, tls: TlsContext, now_ns: int) -> str:
        """Why the peer's certificate is not to be trusted any more; empty if it is."""
        proof = self._transport_of().get_extra_info("ssl_object")
        return tls.refusal(proof.getpeercert(True), now_ns) if self._open() else ""

    def end(self, reason: str) -> None:
        """Drop the connection; the reason is ours."""
        self._finish(reason)
        self.close()

    def close(self) -> None:
        """Flush what was written and close."""
        if self._transport is not None:
            self._transport.close()

    def _pause(self, reading_stopped: bool) -> None:
        self._paused = reading_stopped
        transport = self._transport_of()
        (transport.pause_reading if reading_stopped else transport.resume_reading)()
        self._owner.paused(reading_stopped)

    def _open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _transport_of(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def _finish(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


async def connect(owner: Owner, endpoint: Endpoint, tls: TlsContext | None, t0: float, delay: float) -> Connection:
    """Connect, and shake hands if there is TLS.

    Args:
        owner: deals with what is read.
        endpoint: where to.
        tls: proves us and checks the station; None = plain TCP.
        t0: longest time for it, in seconds of the channel.
        delay: the same in real seconds.

    Raises:
        ConnectError: it could not be made; one sentence why.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(delay):
            _, connection = await loop.create_connection(
                lambda: Connection(owner), endpoint.host, endpoint.port, ssl=tls, server_hostname=endpoint.host if tls else None
            )
    except TimeoutError as error:
        raise ConnectError(f"no connection within t0 = {t0:g} s") from error
    except (OSError, ValueError) as error:  # ValueError: what stands for the host can be none
        raise ConnectError(f"cannot connect: {handshake_fault(error)}") from error
    return connection
