"""Calls within a session that is kept open: login, renewal of keys, challenges where clocks differ, and proof of every reply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Final

import grpc
import structlog
from google.protobuf.message import Message
from scadapb.v1 import scada_pb2 as pb

from scada.api.connections import Connections
from scada.api.faults import CODE_KEY, CallError
from scada.api.gate import PACKAGE, SESSION_KEY
from scada.core.clock import Clock
from scada.core.errors import SecurityError
from scada.security.client import SessionClient
from scada.security.envelope import now_us, span_us
from scada.security.seals import SealReader, request_digest

CALL_TIMEOUT_S = 10.0

LOST_SESSION = ("unknown_session", "session_expired", "session_ended", "stale_key", "wrong_peer")
"""Refusals after which a new login helps; whatever was asked did not happen."""

CLOCKS_DIFFER_S: Final = 1.0
"""From this difference to the server's clock on, a signer asks for a challenge before each order."""

_RETRY_RENEWAL_S = 30.0

_log = structlog.get_logger("scada.api.client")


class SessionCalls:
    """One session with one server.

    Args:
        control: ``host:port`` of the server that logs in.
        session: our side of the session.
        connections: to the servers.
        clock: of the session.
    """

    def __init__(self, control: str, session: SessionClient, connections: Connections, clock: Clock) -> None:
        self._control = control
        self._session = session
        self._connections = connections
        self._clock = clock
        self.granted = pb.LoginReply()
        """Roles, rights and areas of the session, and when it expires."""
        self.binding = b""
        """SM3 of the server's TLS certificate, as seen at the last login."""
        self.clocks_differ = False
        """Orders carry a challenge in place of their time."""
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._renew_after = 0.0
        self._doubted = ""
        """Session whose keys the server may have renewed without our hearing of it."""

    async def login(self, lost: str) -> None:
        """Log in, unless another task has replaced the ``lost`` session meanwhile.

        Raises:
            CallError: the server does not answer or refuses.
            SecurityError: the answer is not by a server that the authority certified.
        """
        async with self._lock:
            if self._session.session not in (lost, ""):
                return
            try:
                reply = await self._ask_to_log_in()
            except CallError as error:
                if error.code != "time_window":
                    raise
                _log.warning("the clocks differ: logging in with a challenge", reason=str(error))
                asked = await self.bare(self._control, "Session/GetChallenge", b"", session="")
                challenge = pb.ChallengeReply.FromString(asked).challenge
                reply = await self.bare(self._control, "Session/Login", self._session.login_request(challenge))
                self.clocks_differ = True
            self.granted = self._session.accept(reply)

    async def _ask_to_log_in(self) -> bytes:
        """The server's answer to a login over a connection that bears the certificate which it has now."""
        self.binding = await self._connections.digest(self._control)
        try:
            return await self.bare(self._control, "Session/Login", self._session.login_request())
        except CallError as error:
            if error.code != "wrong_binding":
                raise
        self._connections.doubt_all()  # it was revoked since this connection was made, or somebody is between: look
        self.binding = await self._connections.digest(self._control)
        return await self.bare(self._control, "Session/Login", self._session.login_request())

    async def plain(self, target: str, method: str, request: bytes, timeout_s: float) -> bytes:
        """An unsigned call; the reply is proven and comes without its seal.

        Raises:
            CallError: it ended with another status than OK, or (``bad_seal``) the reply is not the server's.
        """
        return await self._in_session(lambda: self._proven(target, method, request, timeout_s))

    async def signed(self, target: str, method: str, request: Message, timeout_s: float) -> bytes:
        """A signed call. It is sent again only after a refusal, never after a broken connection: it may have acted.

        Raises:
            CallError: refused, no answer (it may have acted), or (``bad_seal``) the reply is not the server's.
        """
        path = f"/{PACKAGE}.{method}"

        async def _attempt() -> bytes:
            challenge = await self._challenge() if self.clocks_differ else b""
            try:
                envelope = self._session.seal(path, request, challenge=challenge)
                return await self._proven(target, method, envelope, timeout_s, signed=True)
            except CallError as error:
                if challenge or error.code not in ("time_window", "expired"):
                    raise
                challenge = await self._challenge()
                if error.code == "expired" and not self.clocks_differ:
                    raise  # it was slow, not misdated: whoever asked must ask again
            envelope = self._session.seal(path, request, challenge=challenge)
            return await self._proven(target, method, envelope, timeout_s, signed=True)

        return await self._in_session(_attempt)

    async def stream(self, target: str, method: str, requests: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """A streaming call; its messages are proven and come without their seals.

        Raises:
            CallError: it ended with another status than OK, or (``bad_seal``) a message is not the server's or out of order.
        """
        reader = self._reader(method)

        async def _requests() -> AsyncGenerator[bytes, None]:
            first = True
            async for request in requests:
                if first:
                    reader.request = request_digest(request)
                    first = False
                yield request

        channel = await self._connections.channel(target)
        call = channel.stream_stream(f"/{PACKAGE}.{method}")(_requests(), metadata=self._metadata(self._session.session))
        try:
            async for message in call:
                yield _open(reader, message)
                self._renew_beside()
        except grpc.aio.AioRpcError as error:
            raise self._error(target, error) from error
        finally:
            call.cancel()

    async def bare(
        self, target: str, method: str, request: bytes, timeout_s: float = CALL_TIMEOUT_S, *, session: str | None = None
    ) -> bytes:
        """A call whose reply is left as it came.

        Args:
            target: ``host:port``.
            method: ``Service/Method``.
            request: as it goes.
            timeout_s: real seconds to wait.
            session: hex; None = the present one.
        """
        call = (await self._connections.channel(target)).unary_unary(f"/{PACKAGE}.{method}")
        try:
            metadata = self._metadata(self._session.session if session is None else session)
            reply: bytes = await call(request, metadata=metadata, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(target, error) from error
        return reply

    async def renew(self) -> None:
        """Renew the keys if it is time; after a failure, which may have renewed the server's, the next call logs in."""
        async with self._lock:
            now = self._clock.monotonic()
            if not self._session.rekey_due or now < self._renew_after:
                return
            self._renew_after = now + _RETRY_RENEWAL_S
            try:
                try:
                    challenge = await self._challenge() if self.clocks_differ else b""
                    reply = await self.bare(self._control, "Session/Rekey", self._session.rekey_request(challenge))
                except CallError as error:
                    if error.code != "time_window":
                        raise
                    request = self._session.rekey_request(await self._challenge())
                    reply = await self.bare(self._control, "Session/Rekey", request)
                self._session.accept_rekey(reply)
                self._renew_after = 0.0
            except (CallError, SecurityError) as error:
                _log.warning("the keys of the session were not renewed", reason=str(error))
                if getattr(error, "code", "") != "rate_limited":
                    self._doubted = self._session.session

    def close(self) -> None:
        """Give up what runs beside."""
        if self._renewal is not None:
            self._renewal.cancel()

    # ------------------------------------------------------------------ inner parts

    async def _in_session(self, attempt: Callable[[], Awaitable[bytes]]) -> bytes:
        used = self._session.session
        if used and self._session.rekey_due:
            await self.renew()
        if used in ("", self._doubted):
            await self.login(used)
            return await attempt()
        try:
            return await attempt()
        except CallError as error:
            if error.code not in LOST_SESSION:
                raise
        await self.login(used)
        return await attempt()

    async def _proven(self, target: str, method: str, request: bytes, timeout_s: float, *, signed: bool = False) -> bytes:
        reader = self._reader(method, signed=signed)
        reader.request = request_digest(request)
        return _open(reader, await self.bare(target, method, request, timeout_s))

    async def _challenge(self) -> bytes:
        """A challenge of the server; notes whether the clocks differ."""
        reply = pb.ChallengeReply.FromString(await self._proven(self._control, "Session/GetChallenge", b"", CALL_TIMEOUT_S))
        difference_us = reply.time_us - now_us(self._clock)
        differ = abs(difference_us) > span_us(self._clock, CLOCKS_DIFFER_S)
        if differ and not self.clocks_differ:
            _log.warning("our clock is not the server's: orders carry a challenge", ahead_s=round(-difference_us / 1e6, 3))
        elif self.clocks_differ and not differ:
            _log.info("our clock is the server's again")
        if not differ:
            self._session.want_rekey()  # the server's clock was set since the keys were made
        self.clocks_differ = differ
        return reply.challenge

    def _renew_beside(self) -> None:
        """Renew the keys while a stream goes on."""
        if self._session.rekey_due and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self.renew())

    def _reader(self, method: str, *, signed: bool = False) -> SealReader:
        try:
            return self._session.reader(f"/{PACKAGE}.{method}", signed=signed)
        except SecurityError as error:
            raise CallError(grpc.StatusCode.UNAUTHENTICATED, "unknown_session", error.what) from error

    @staticmethod
    def _metadata(session: str) -> tuple[tuple[str, str], ...]:
        return ((SESSION_KEY, session),)

    def _error(self, target: str, error: grpc.aio.AioRpcError) -> CallError:
        status = error.code()
        for key, value in error.trailing_metadata() or ():
            if key == CODE_KEY:
                return CallError(status, str(value), error.details() or status.name)
        if status is grpc.StatusCode.UNAVAILABLE:
            self._connections.doubt(target)
            return CallError(status, "unavailable", f"the server {target} does not answer", mend="is it running?")
        if status is grpc.StatusCode.INTERNAL and error.details() == "Internal error from Core":
            # grpc: a request crossed with the end of the stream, whose status is lost by it
            return CallError(grpc.StatusCode.UNAVAILABLE, "broken", f"the server {target} ended the stream")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return CallError(status, "timeout", f"the server {target} did not answer in time")
        return CallError(status, status.name.lower(), error.details() or status.name)


def _open(reader: SealReader, message: bytes) -> bytes:
    try:
        return reader.open(message)
    except SecurityError as error:
        code = getattr(error, "code", "bad_seal")
        _log.error("a reply was refused", code=code, reason=error.what)
        raise CallError(grpc.StatusCode.DATA_LOSS, code, error.what, mend=error.mend) from error
