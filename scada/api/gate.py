"""The gate every call passes: session, right, envelope, and only then the body; and every error as one sentence with a code.

Requests arrive as bytes. Nothing of a message is parsed before its session has the right to call the method, and nothing of a
signed body before its envelope was verified over the exact bytes. A refused order never reaches the backend. Every reply leaves
with its seal; a refusal has none, TLS protects it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Final, NoReturn, Protocol, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CODE_KEY, CallError, malformed
from scada.api.peers import peer_of
from scada.api.refusals import SecurityReporter
from scada.api.session_streams import SessionStreams
from scada.control.records import Principal
from scada.core.errors import ScadaError, SecurityError
from scada.security.envelope import WrongPeerError
from scada.security.peer import Peer
from scada.security.seals import Sealer, request_digest
from scada.security.session import Session, SessionServer

PACKAGE = "scadapb.v1"

SESSION_KEY = "session"
"""Metadata entry that carries the session id in hex."""

REQUEST_MAXIMUM: Final = 1 << 20
"""Bytes of a request."""

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply")
Query = Callable[[Request, Principal], Coroutine[Any, Any, Message | bytes]]
Order = Callable[[Request, Principal, bytes], Coroutine[Any, Any, Message]]
Follow = Callable[[Request, Principal], AsyncGenerator[Message, None]]
Collect = Callable[[AsyncIterator[Request], Principal], Coroutine[Any, Any, Message]]
Exchange = Callable[[AsyncIterator[Request]], AsyncGenerator[bytes, None]]
Method = tuple[str, grpc.RpcMethodHandler]
"""Full method name and its handler."""

Context = Any
"""``grpc.aio.ServicerContext``: grpc carries no types."""

_log = structlog.get_logger("scada.api")


_STATUS = {
    "unauthorised": grpc.StatusCode.PERMISSION_DENIED,
    "replayed": grpc.StatusCode.ABORTED,
    "expired": grpc.StatusCode.ABORTED,
    "time_window": grpc.StatusCode.ABORTED,
    "malformed": grpc.StatusCode.INVALID_ARGUMENT,
    "wrong_method": grpc.StatusCode.INVALID_ARGUMENT,
    "wrong_recipient": grpc.StatusCode.INVALID_ARGUMENT,
    "wrong_algorithm": grpc.StatusCode.INVALID_ARGUMENT,
    "unknown_challenge": grpc.StatusCode.ABORTED,
    "idle_locked": grpc.StatusCode.PERMISSION_DENIED,
    "superseded": grpc.StatusCode.PERMISSION_DENIED,
    "revocations_stale": grpc.StatusCode.FAILED_PRECONDITION,
}
"""Status of a refusal by its machine code; every other one is UNAUTHENTICATED."""


_FORGED = frozenset({"bad_mac", "bad_signature", "malformed", "unsigned", "wrong_algorithm", "wrong_sender"})
"""Refusals that no honest client meets, whatever its clock, its rights and its connection."""


class Note(Protocol):
    """Hears of refused messages."""

    def __call__(self, peer: Peer, path: str, *, forged: bool) -> bool:
        """Of whom, by which method, and whether its proof failed; False: it need not be told by itself."""


class Gate:
    """Makes gRPC handlers out of functions over parsed messages.

    Args:
        sessions: who may do what.
        reporter: told of every refusal of consequence.
        note: hears of each refused message: its peer, method and whether it was forged; False: it is counted there, not told.
    """

    def __init__(self, sessions: SessionServer, reporter: SecurityReporter, note: Note) -> None:
        self._sessions = sessions
        self._reporter = reporter
        self._note = note
        self._streams = SessionStreams(sessions)
        self._running: set[asyncio.Task[Any]] = set()

    def query(self, name: str, kind: type[Request], answer: Query[Request]) -> Method:
        """A unary call without consequence: session and right are checked, the request is parsed."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                session = self._admit(path, context)
                reply = await self._to_the_end(path, answer(_parse(kind, raw), session.principal))
                return self._sealer(session, path, raw).seal(_encode(reply))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._fail(path, context, error)

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def order(self, name: str, kind: type[Request], act: Order[Request]) -> Method:
        """A signed unary call: the envelope is verified before its body is parsed; refusals are reported and stored.

        The reply is signed by the server. ``act`` gets the envelope, with its plain body, as evidence.
        """
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            sender = ""
            try:
                sender = self._admit(path, context).principal.name
                order = self._sessions.prove(raw, path, _session(context), peer_of(context))
                request = _parse(kind, order.body)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._refuse(path, context, error, sender)
            try:
                reply = await self._to_the_end(path, act(request, order.session.principal, order.evidence))
                return self._sealer(order.session, path, raw).seal(_encode(reply), self._sessions.signer(order.session))
            except CallError as error:
                return await self._refuse(path, context, error, sender)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await _abort(context, _fault(path, error))

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def follow(self, name: str, kind: type[Request], feed: Follow[Request]) -> Method:
        """One request, many replies; the stream ends with its session."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> None:
            try:
                session = self._admit(path, context)
                sealer = self._sealer(session, path, raw)
                with self._streams.standing(session):
                    async with aclosing(feed(_parse(kind, raw), session.principal)) as messages:
                        async for message in messages:
                            self._sessions.check_alive(session)
                            await context.write(sealer.seal(message.SerializeToString()))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                await self._fail(path, context, error)

        return path, grpc.unary_stream_rpc_method_handler(_behaviour)

    def exchange(self, name: str, kind: type[Request], feed: Exchange[Request]) -> Method:
        """Many requests, many replies (already encoded, the same object for many); the stream ends with its session."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raws: AsyncIterator[bytes], context: Context) -> None:
            try:
                session = self._admit(path, context)
                sealer = self._sealer(session, path, None)
                with self._streams.standing(session):
                    async with aclosing(feed(_parsed(kind, raws, sealer))) as frames:
                        async for frame in frames:
                            self._sessions.check_alive(session)
                            await context.write(sealer.seal(frame, shared=True))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                await self._fail(path, context, error)

        return path, grpc.stream_stream_rpc_method_handler(_behaviour)

    def collect(self, name: str, kind: type[Request], take: Collect[Request]) -> Method:
        """Many requests, one reply: a file on its way in. It has no consequence until an order names what arrived."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raws: AsyncIterator[bytes], context: Context) -> bytes:
            try:
                session = self._admit(path, context)
                sealer = self._sealer(session, path, None)
                with self._streams.standing(session):
                    return sealer.seal(_encode(await take(_parsed(kind, raws, sealer), session.principal)))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._fail(path, context, error)

        return path, grpc.stream_unary_rpc_method_handler(_behaviour)

    def login(self, name: str) -> Method:
        """The handshake: needs no session, it makes one."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                reply, principal = self._sessions.login(raw, peer_of(context))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._refuse(path, context, error, "")
            told = {"name": principal.name, "station": principal.station, "session": principal.session}
            elsewhere = self._sessions.superseded_by(principal.session)
            self._reporter.login(peer=context.peer(), evidence=raw, elsewhere=elsewhere, **told)
            return reply

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def rekey(self, name: str) -> Method:
        """Fresh keys for a session, by its owner."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            sender = ""
            try:
                sender = self._admit(path, context).principal.name
                return self._sessions.rekey(raw, _session(context), peer_of(context))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._refuse(path, context, error, sender)

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def challenge(self, name: str) -> Method:
        """A nonce for a caller whose clock is off; without a session it is good for a login."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                _parse(pb.ChallengeRequest, raw)
                if not _metadata(context):
                    return self._sessions.challenge().SerializeToString()
                session = self._admit(path, context)
                reply = self._sessions.challenge(session.identifier.hex())
                return self._sealer(session, path, raw).seal(reply.SerializeToString())
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._fail(path, context, error)

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def logout(self, name: str) -> Method:
        """End of a session, by its owner."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                session = self._admit(path, context)
                self._sessions.logout(session.identifier.hex())
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._fail(path, context, error)
            self._reporter.logout(name=session.principal.name, peer=context.peer(), session=session.principal.session)
            return self._sealer(session, path, raw).seal(pb.LogoutReply().SerializeToString())

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def _admit(self, path: str, context: Context) -> Session:
        """The session of a caller that may make the call."""
        return self._sessions.admit(_session(context), path, peer_of(context))

    def _sealer(self, session: Session, path: str, request: bytes | None) -> Sealer:
        sealer = self._sessions.sealer(session, path)
        sealer.request = request_digest(request)
        return sealer

    async def _to_the_end(self, path: str, work: Coroutine[Any, Any, Reply]) -> Reply:
        """Do the work to its end even if the caller goes away: what began to act must not be torn in the middle."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            _log.info("the caller went away, the call goes on", method=path)
            task.add_done_callback(lambda done: _log_end(path, done))
            raise

    async def _fail(self, path: str, context: Context, error: Exception) -> NoReturn:
        """Abort a call without consequence; that a session is used from elsewhere has one."""
        if isinstance(error, WrongPeerError):
            await self._refuse(path, context, error, error.where)
        await _abort(context, _fault(path, error))

    async def _refuse(self, path: str, context: Context, error: Exception, sender: str) -> NoReturn:
        """Report, then abort. A security error's place is the identity it concerns, proven or claimed."""
        if isinstance(error, SecurityError):
            sender = sender or error.where
        fault = _fault(path, error)
        forged = isinstance(error, SecurityError) and fault.code in _FORGED
        if self._note(peer_of(context), path, forged=forged):
            self._reporter.refused(method=path, code=fault.code, reason=fault.what, peer=context.peer(), sender=sender)
        await _abort(context, fault)


def _log_end(path: str, task: asyncio.Task[Any]) -> None:
    """How a call ended that no one waits for any more."""
    if not task.cancelled():
        _log.info("call ended without its caller", method=path, error=str(task.exception() or ""))


def _metadata(context: Context) -> str:
    """What the call says of its session; empty if nothing."""
    for key, value in context.invocation_metadata() or ():
        if key == SESSION_KEY and isinstance(value, str):
            return value
    return ""


def _session(context: Context) -> str:
    if session := _metadata(context):
        return session
    raise CallError(
        grpc.StatusCode.UNAUTHENTICATED, "no_session", f"the call carries no metadata entry {SESSION_KEY!r}", mend="log in first"
    )


async def _parsed(kind: type[Request], raws: AsyncIterator[bytes], sealer: Sealer) -> AsyncGenerator[Request, None]:
    """The requests of a stream; the first one is what its replies are bound to."""
    first = True
    async for raw in raws:
        if first:
            sealer.request = request_digest(raw)
            first = False
        yield _parse(kind, raw)


def _encode(reply: Message | bytes) -> bytes:
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def _parse(kind: type[Request], raw: bytes) -> Request:
    if len(raw) > REQUEST_MAXIMUM:
        raise malformed(f"the request has more than {REQUEST_MAXIMUM} bytes")
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise malformed(f"the bytes are not a {kind.DESCRIPTOR.name}") from error


def _fault(path: str, error: Exception) -> CallError:
    match error:
        case CallError():
            return error
        case SecurityError():
            code = getattr(error, "code", "unauthenticated")
            return CallError(_STATUS.get(code, grpc.StatusCode.UNAUTHENTICATED), code, error.what, mend=error.mend)
        case ScadaError():
            where = "" if "/" in error.where else error.where  # paths of the server are not for callers
            return CallError(
                grpc.StatusCode.FAILED_PRECONDITION, "failed", f"{where}: {error.what}" if where else error.what, mend=error.mend
            )
        case _:
            _log.error("call failed", method=path, exc_info=error)
            return CallError(grpc.StatusCode.INTERNAL, "internal", "the server could not do this; its log says why")


async def _abort(context: Context, fault: CallError) -> NoReturn:
    await context.abort(fault.status, str(fault), trailing_metadata=((CODE_KEY, fault.code),))
    raise AssertionError("abort does not return")
