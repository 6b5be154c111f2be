"""A client of the server: session, plain and signed calls, streams that survive a restart of the server.

Used by ``scada ctl``, ``scada dispatch``, the operator station and the tests. Every reply is proven to be the server's first. A
plain call is repeated after a new login when the server no longer knows the session. A signed call is repeated only when the
server refused it for its session, i.e. certainly did not act; after a broken connection it never is, because it may have acted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from scadapb.v1 import scada_pb2 as pb

from scada.api.calls import CALL_TIMEOUT_S, LOST_SESSION, SessionCalls
from scada.api.connections import CLIENT_OPTIONS as CLIENT_OPTIONS  # noqa: PLC0414
from scada.api.connections import Connections
from scada.api.faults import CallError
from scada.core.clock import Clock
from scada.security.authorities import Authorities
from scada.security.certificates import Certificate
from scada.security.client import SessionClient
from scada.security.envelope import BadSealError
from scada.security.identities import IdentityHolder
from scada.security.tls_trust import ClientTls

SIGNED_TIMEOUT_S = 60.0
"""An execute returns only with its feedback."""

RECONNECT_S = (0.5, 5.0)
"""First and longest pause between attempts of a stream that goes on."""

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
        identity: who we are and what signs for us; asked again at each login.
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
        identity: IdentityHolder,
        authority: Certificate | Authorities,
        clock: Clock,
        *,
        site: str = "demo",
        station: str = "",
        tls: ClientTls | None = None,
    ) -> None:
        self.server = server
        self.control = control
        self._connections = Connections(tls)
        self.session = SessionClient(identity, site, authority, clock, station=station, binding=lambda: self._calls.binding)
        self._calls = SessionCalls(control, self.session, self._connections, clock)

    @property
    def granted(self) -> pb.LoginReply:
        """Roles, rights and areas of the session, and when it expires."""
        return self._calls.granted

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
        await self._calls.login(self.session.session)

    async def login_again(self) -> None:
        """Log in anew and end the session before, e.g. since it only looks; its streams end.

        Raises:
            CallError: the server does not answer or refuses the login.
            SecurityError: the answer is not by a server that the authority certified.
        """
        before = self.session.session
        await self._calls.login(before)
        await self._logout(before)

    async def close(self) -> None:
        """Log out if the server still answers, and close the connections; safe to call twice."""
        await self._logout(self.session.session)
        self._calls.close()
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
        server = self.server if method in VIEW_ORDERS else self.control
        return REPLY_TYPES[method].FromString(await self._calls.signed(server, method, request, timeout_s))

    async def relay(self, method: str, request: bytes, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """A plain call with request and reply as bytes, for gateways."""
        return await self._calls.plain(self.server, method, request, timeout_s)

    # ------------------------------------------------------------------ streams

    async def relay_stream(self, method: str, requests: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
        """A streaming call with messages as bytes, for gateways; it ends when the server ends it.

        Raises:
            CallError: the stream ended with another status than OK.
        """
        async with aclosing(self._calls.stream(self.server, method, requests)) as messages:
            async for message in messages:
                yield message

    async def frames(
        self, pids: Iterable[int] = (), *, period_ms: int = 0, credit: int = 2
    ) -> AsyncGenerator[pb.PointFrame, None]:
        """Point frames of the points (none = all): a full one, then deltas; credit is given back by halves of ``credit``.

        Ends with :class:`CallError` when the stream breaks; :meth:`watch` goes on instead.
        """
        taken: asyncio.Queue[int] = asyncio.Queue()

        async def _requests() -> AsyncGenerator[bytes, None]:
            yield pb.SubscribeRequest(pids=pids, credit=credit, period_ms=period_ms).SerializeToString()
            while True:
                yield pb.SubscribeRequest(credit=await taken.get()).SerializeToString()

        owed = 0
        async with aclosing(self.relay_stream("Realtime/Subscribe", _requests())) as stream:
            async for message in stream:
                yield pb.PointFrame.FromString(message)
                owed += 1
                if 2 * owed >= credit:  # each message of credit costs the server as much as a third of a frame
                    taken.put_nowait(owed)
                    owed = 0

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

    async def _logout(self, session: str) -> None:
        if session:
            with contextlib.suppress(CallError):  # else the session dies by its time limit
                await self._calls.bare(self.control, "Session/Logout", b"", 1.0, session=session)

    async def _unary(self, target: str, method: str, request: bytes, timeout_s: float) -> bytes:
        return await self._calls.bare(target, method, request, timeout_s)

    async def _recover(self, error: CallError, pause: float) -> float:
        """Wait before a stream is opened again; returns the next pause."""
        if error.code in (*LOST_SESSION, BadSealError.code):
            try:
                await self._calls.login(self.session.session)
            except CallError as refused:
                if refused.status not in _PASSING:
                    raise
        elif error.status not in _PASSING:
            raise error
        await asyncio.sleep(pause)
        return min(2 * pause, RECONNECT_S[1])


async def _once(message: bytes) -> AsyncGenerator[bytes, None]:
    yield message
