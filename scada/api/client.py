"""A client of the server: session, plain and signed calls, streams that survive a restart of the server.

Used by ``scada ctl``, ``scada dispatch``, the operator station and the tests. A plain call is repeated after a new login when the
server no longer knows the session. A signed call is repeated only when the server refused it for its session, i.e. certainly did
not act; after a broken connection it never is, because it may have acted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from scadapb.v1 import scada_pb2 as pb

from scada.api.connections import CLIENT_OPTIONS as CLIENT_OPTIONS  # noqa: PLC0414
from scada.api.connections import Connections
from scada.api.faults import CODE_KEY, CallError
from scada.api.gate import PACKAGE, SESSION_KEY
from scada.core.clock import Clock
from scada.security.certificates import Certificate
from scada.security.client import SessionClient
from scada.security.identities import Identity
from scada.security.tls_identities import ClientTls

CALL_TIMEOUT_S = 10.0
SIGNED_TIMEOUT_S = 60.0
"""An execute returns only with its feedback."""

RECONNECT_S = (0.5, 5.0)
"""First and longest pause between attempts of a stream that goes on."""

_LOST_SESSION = ("unknown_session", "session_expired")
_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)


def _reply_types() -> Mapping[str, type[Message]]:
    return {
        f"{service.name}/{method.name}": GetMessageClass(method.output_type)
        for service in pb.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


REPLY_TYPES = _reply_types()
"""Reply class of each method, ``Service/Method``."""


VIEW_ORDERS = frozenset({"History/Backfill"})
"""Signed methods that only the server of the views offers."""


class ScadaClient:
    """One identity's session with one server.

    Args:
        server: ``host:port`` of the views.
        control: ``host:port`` of the controls.
        identity: who we are and what signs for us.
        authority: root certificate that the server's certificate must come from.
        clock: time of the signatures; must agree with the server's.
        site: name of the server's site; what we sign is good for no other.
        station: name of this workstation.
        tls: our TLS certificate and how to prove the server's; None = without TLS, to this machine only.
    """

    def __init__(
        self,
        server: str,
        control: str,
        identity: Identity,
        authority: Certificate,
        clock: Clock,
        *,
        site: str = "demo",
        station: str = "",
        tls: ClientTls | None = None,
    ) -> None:
        self.server = server
        self.control = control
        self._binding = b""
        self.session = SessionClient(identity, site, authority, clock, station=station, binding=lambda: self._binding)
        self.granted = pb.LoginReply()
        """Roles, rights and areas of the session, and when it expires."""
        self._connections = Connections(tls)
        self._login_lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def connect(self) -> None:
        """Log in.

        Raises:
            CallError: the server does not answer or refuses the login.
            SecurityError: the answer is not by a server that the authority certified.
        """
        await self._login(self.session.session)

    async def close(self) -> None:
        """Log out if the server still answers, and close the connections; safe to call twice."""
        if self.session.session:
            with contextlib.suppress(CallError):  # else the session dies by its time limit
                await self._unary(self.control, "Session/Logout", b"", 1.0)
        await self._connections.close()

    # ------------------------------------------------------------------ calls

    async def call(self, method: str, request: Message, *, timeout_s: float = CALL_TIMEOUT_S) -> Any:
        """A plain call.

        Args:
            method: ``Service/Method``, e.g. ``Realtime/GetStatus``.
            request: its request.
            timeout_s: real seconds to wait.

        Returns:
            The method's reply message.

        Raises:
            CallError: the call ended with another status than OK; ``code`` says why.
        """
        return REPLY_TYPES[method].FromString(await self.relay(method, request.SerializeToString(), timeout_s=timeout_s))

    async def signed(self, method: str, request: Message, *, timeout_s: float = SIGNED_TIMEOUT_S) -> Any:
        """A signed call: on the control server, or on that of the views for :data:`VIEW_ORDERS`.

        Args:
            method: ``Service/Method``, e.g. ``Control/Select``.
            request: what is signed, e.g. ``SelectRequest``.
            timeout_s: real seconds to wait.

        Returns:
            The method's reply message.

        Raises:
            CallError: refused, or the server does not answer; in the latter case it may have acted.
        """

        async def _attempt() -> bytes:
            envelope = self.session.seal(f"/{PACKAGE}.{method}", request)
            server = self.server if method in VIEW_ORDERS else self.control
            return await self._unary(server, method, envelope, timeout_s)

        return REPLY_TYPES[method].FromString(await self._with_session(_attempt))

    async def relay(self, method: str, request: bytes, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """A plain call with request and reply as bytes, for gateways."""
        return await self._with_session(lambda: self._unary(self.server, method, request, timeout_s))

    # ------------------------------------------------------------------ streams

    async def relay_stream(self, method: str, requests: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """A streaming call with messages as bytes, for gateways; it ends when the server ends it.

        Raises:
            CallError: the stream ended with another status than OK.
        """
        channel = await self._connections.channel(self.server)
        call = channel.stream_stream(f"/{PACKAGE}.{method}")(requests, metadata=self._metadata())
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            raise self._error(self.server, error) from error
        finally:
            call.cancel()

    async def frames(
        self, pids: Iterable[int] = (), *, period_ms: int = 0, credit: int = 2
    ) -> AsyncGenerator[pb.PointFrame, None]:
        """Point frames of the points (none = all): a full one, then deltas, one credit returned for each one taken.

        Ends with :class:`CallError` when the stream breaks; :meth:`watch` goes on instead.
        """
        taken: asyncio.Queue[int] = asyncio.Queue()

        async def _requests() -> AsyncGenerator[bytes, None]:
            yield pb.SubscribeRequest(pids=pids, credit=credit, period_ms=period_ms).SerializeToString()
            while True:
                yield pb.SubscribeRequest(credit=await taken.get()).SerializeToString()

        async with aclosing(self.relay_stream("Realtime/Subscribe", _requests())) as stream:
            async for message in stream:
                yield pb.PointFrame.FromString(message)
                taken.put_nowait(1)

    async def watch(
        self, pids: Iterable[int] = (), *, period_ms: int = 0, credit: int = 2
    ) -> AsyncGenerator[pb.PointFrame, None]:
        """Like :meth:`frames`, but goes on after a break with a full frame.

        Raises:
            CallError: the server refuses for good (no right, unknown point).
        """
        wanted = tuple(pids)
        pause = RECONNECT_S[0]
        while True:
            try:
                async with aclosing(self.frames(wanted, period_ms=period_ms, credit=credit)) as stream:
                    async for frame in stream:
                        pause = RECONNECT_S[0]
                        yield frame
            except CallError as error:
                pause = await self._recover(error, pause)

    async def follow(self, after_id: int = 0, kinds: Iterable[int] = ()) -> AsyncGenerator[pb.EventList, None]:
        """Every event after an id, gap-free, also over breaks of the connection; empty lists are heartbeats.

        Raises:
            CallError: the server refuses for good.
        """
        wanted = tuple(kinds)
        pause = RECONNECT_S[0]
        while True:
            request = pb.EventsSubscribeRequest(after_id=after_id, kinds=wanted).SerializeToString()
            try:
                async with aclosing(self.relay_stream("Events/Subscribe", _once(request))) as stream:
                    async for message in stream:
                        pause = RECONNECT_S[0]
                        events = pb.EventList.FromString(message)
                        after_id = events.last_event_id
                        yield events
            except CallError as error:
                pause = await self._recover(error, pause)

    async def recall(self, request: pb.RecallRequest) -> AsyncGenerator[pb.RecallPart, None]:
        """Everything around a time: head, values in force at the start, then events and changes by slices of time.

        Raises:
            CallError: refused, or the connection broke; what came before is not all then.
        """
        async with aclosing(self.relay_stream("Events/Recall", _once(request.SerializeToString()))) as stream:
            async for message in stream:
                yield pb.RecallPart.FromString(message)

    async def trace(self, request: pb.ChannelTraceRequest) -> AsyncGenerator[pb.ChannelTrace, None]:
        """Frames of a channel as they pass; messages without frames are heartbeats.

        Raises:
            CallError: refused, or the connection broke.
        """
        async with aclosing(self.relay_stream("Channels/Trace", _once(request.SerializeToString()))) as stream:
            async for message in stream:
                yield pb.ChannelTrace.FromString(message)

    # ------------------------------------------------------------------ files

    async def upload(self, pieces: Iterable[bytes]) -> pb.UploadReply:
        """Send a file for a proposal: the zip of a model folder, or a difference model.

        Raises:
            CallError: refused (too large, no right), or the connection broke; nothing is kept then.
        """

        async def _requests() -> AsyncGenerator[bytes, None]:
            for piece in pieces:
                yield pb.FileChunk(data=piece).SerializeToString()

        await self.call("Engineering/ListVersions", pb.ListVersionsRequest(limit=1))  # a lost session is found here
        async with aclosing(self.relay_stream("Engineering/Upload", _requests())) as stream:
            return pb.UploadReply.FromString(await anext(stream))

    async def download(self, number: int) -> bytes:
        """The files of a model version as a zip.

        Raises:
            CallError: there is none, no right, or the connection broke.
        """
        return await self.file("Engineering/Download", pb.DownloadRequest(number=number))

    async def file(self, method: str, request: Message) -> bytes:
        """A file that a method sends in pieces (``FileChunk``).

        Raises:
            CallError: it is refused, no right, or the connection broke.
        """
        async with aclosing(self.relay_stream(method, _once(request.SerializeToString()))) as stream:
            return b"".join([pb.FileChunk.FromString(message).data async for message in stream])

    # ------------------------------------------------------------------ inner parts

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return ((SESSION_KEY, self.session.session),)

    async def _unary(self, target: str, method: str, request: bytes, timeout_s: float) -> bytes:
        call = (await self._connections.channel(target)).unary_unary(f"/{PACKAGE}.{method}")
        try:
            reply: bytes = await call(request, metadata=self._metadata(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(target, error) from error
        return reply

    async def _with_session(self, attempt: Callable[[], Awaitable[bytes]]) -> bytes:
        used = self.session.session
        if not used:
            await self._login(used)
            return await attempt()
        try:
            return await attempt()
        except CallError as error:
            if error.code not in _LOST_SESSION:
                raise
        await self._login(used)
        return await attempt()

    async def _login(self, lost: str) -> None:
        """Log in, unless another task has replaced the ``lost`` session meanwhile."""
        async with self._login_lock:
            if self.session.session in (lost, ""):
                self._binding = await self._connections.digest(self.control)
                reply = await self._unary(self.control, "Session/Login", self.session.login_request(), CALL_TIMEOUT_S)
                self.granted = self.session.accept(reply)

    async def _recover(self, error: CallError, pause: float) -> float:
        """Wait before a stream is opened again; returns the next pause."""
        if error.code in _LOST_SESSION:
            try:
                await self._login(self.session.session)
            except CallError as refused:
                if refused.status not in _PASSING:
                    raise
        elif error.status not in _PASSING:
            raise error
        await asyncio.sleep(pause)
        return min(2 * pause, RECONNECT_S[1])

    def _error(self, target: str, error: grpc.aio.AioRpcError) -> CallError:
        status = error.code()
        for key, value in error.trailing_metadata() or ():
            if key == CODE_KEY:
                return CallError(status, str(value), error.details() or status.name)
        if status is grpc.StatusCode.UNAVAILABLE:
            self._connections.doubt(target)
            return CallError(status, "unavailable", f"the server {target} does not answer", mend="is it running?")
        if status is grpc.StatusCode.DEADLINE_EXCEEDED:
            return CallError(status, "timeout", f"the server {target} did not answer in time")
        return CallError(status, status.name.lower(), error.details() or status.name)


async def _once(message: bytes) -> AsyncGenerator[bytes, None]:
    yield message
