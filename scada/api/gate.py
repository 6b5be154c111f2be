"""The gate every call passes: session, right, envelope, and only then the body; and every error as one sentence with a code.

Requests arrive as bytes. Nothing of a message is parsed before its session has the right to call the method, and nothing of a
signed body before its envelope was verified over the exact bytes. A refused order never reaches the backend.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError, Message
from scadapb.v1 import scada_pb2 as pb

from scada.api.faults import CODE_KEY, CallError, malformed
from scada.api.refusals import SecurityReporter
from scada.control.records import Principal
from scada.core.errors import ScadaError, SecurityError
from scada.security.session import SessionServer

PACKAGE = "scadapb.v1"

SESSION_KEY = "session"
"""Metadata entry that carries the session id in hex."""

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
}
"""Status of a refusal by its machine code; every other one is UNAUTHENTICATED."""


class Gate:
    """Makes gRPC handlers out of functions over parsed messages.

    Args:
        sessions: who may do what.
        reporter: told of every refusal of consequence.
    """

    def __init__(self, sessions: SessionServer, reporter: SecurityReporter) -> None:
        self._sessions = sessions
        self._reporter = reporter
        self._running: set[asyncio.Task[Any]] = set()

    def query(self, name: str, kind: type[Request], answer: Query[Request]) -> Method:
        """A unary call without consequence: session and right are checked, the request is parsed."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                principal = self._sessions.authenticate(_session(context), path)
                return _encode(await self._to_the_end(path, answer(_parse(kind, raw), principal)))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await _abort(context, _fault(path, error))

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def order(self, name: str, kind: type[Request], act: Order[Request]) -> Method:
        """A signed unary call: the envelope is verified before its body is parsed; refusals are reported and stored."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            sender = ""
            try:
                session = _session(context)
                sender = self._sessions.authenticate(session, path).name
                principal, body = self._sessions.open(raw, path, session)
                request = _parse(kind, body)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._refuse(path, context, error, sender)
            try:
                return _encode(await self._to_the_end(path, act(request, principal, raw)))
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
                session = _session(context)
                principal = self._sessions.authenticate(session, path)
                async with aclosing(feed(_parse(kind, raw), principal)) as messages:
                    async for message in messages:
                        self._sessions.authenticate(session, path)
                        await context.write(message.SerializeToString())
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                await _abort(context, _fault(path, error))

        return path, grpc.unary_stream_rpc_method_handler(_behaviour)

    def exchange(self, name: str, kind: type[Request], feed: Exchange[Request]) -> Method:
        """Many requests, many replies (already encoded); the stream ends with its session."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raws: AsyncIterator[bytes], context: Context) -> None:
            async def _parsed() -> AsyncIterator[Request]:
                async for raw in raws:
                    yield _parse(kind, raw)

            try:
                session = _session(context)
                self._sessions.authenticate(session, path)
                async with aclosing(feed(_parsed())) as frames:
                    async for frame in frames:
                        self._sessions.authenticate(session, path)
                        await context.write(frame)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                await _abort(context, _fault(path, error))

        return path, grpc.stream_stream_rpc_method_handler(_behaviour)

    def collect(self, name: str, kind: type[Request], take: Collect[Request]) -> Method:
        """Many requests, one reply: a file on its way in. It has no consequence until an order names what arrived."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raws: AsyncIterator[bytes], context: Context) -> bytes:
            try:
                session = _session(context)
                principal = self._sessions.authenticate(session, path)

                async def _parsed() -> AsyncIterator[Request]:
                    async for raw in raws:
                        self._sessions.authenticate(session, path)
                        yield _parse(kind, raw)

                return _encode(await take(_parsed(), principal))
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await _abort(context, _fault(path, error))

        return path, grpc.stream_unary_rpc_method_handler(_behaviour)

    def login(self, name: str) -> Method:
        """The handshake: the only call without a session."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            try:
                reply, principal = self._sessions.login(raw)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await self._refuse(path, context, error, "")
            self._reporter.login(name=principal.name, peer=context.peer(), station=principal.station)
            return reply

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

    def logout(self, name: str) -> Method:
        """End of a session, by its owner."""
        path = f"/{PACKAGE}.{name}"

        async def _behaviour(raw: bytes, context: Context) -> bytes:
            del raw
            try:
                session = _session(context)
                principal = self._sessions.authenticate(session, path)
                self._sessions.logout(session)
            except Exception as error:  # noqa: BLE001 - any error becomes a status
                return await _abort(context, _fault(path, error))
            self._reporter.logout(name=principal.name, peer=context.peer())
            return pb.LogoutReply().SerializeToString()

        return path, grpc.unary_unary_rpc_method_handler(_behaviour)

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

    async def _refuse(self, path: str, context: Context, error: Exception, sender: str) -> NoReturn:
        """Report, then abort. A security error's place is the identity it concerns, proven or claimed."""
        if isinstance(error, SecurityError):
            sender = sender or error.where
        fault = _fault(path, error)
        self._reporter.refused(method=path, code=fault.code, reason=fault.what, peer=context.peer(), sender=sender)
        await _abort(context, fault)


def _log_end(path: str, task: asyncio.Task[Any]) -> None:
    """How a call ended that no one waits for any more."""
    if not task.cancelled():
        _log.info("call ended without its caller", method=path, error=str(task.exception() or ""))


def _session(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == SESSION_KEY and isinstance(value, str):
            return value
    raise CallError(
        grpc.StatusCode.UNAUTHENTICATED, "no_session", f"the call carries no metadata entry {SESSION_KEY!r}", mend="log in first"
    )


def _encode(reply: Message | bytes) -> bytes:
    return reply if isinstance(reply, bytes) else reply.SerializeToString()


def _parse(kind: type[Request], raw: bytes) -> Request:
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
            return CallError(grpc.StatusCode.FAILED_PRECONDITION, "failed", str(error))
        case _:
            _log.error("call failed", method=path, exc_info=error)
            return CallError(grpc.StatusCode.INTERNAL, "internal", "the server could not do this; its log says why")


async def _abort(context: Context, fault: CallError) -> NoReturn:
    await context.abort(fault.status, str(fault), trailing_metadata=((CODE_KEY, fault.code),))
    raise AssertionError("abort does not return")
