"""What a client may hold before it has proven itself, and who takes up whose session.

The library keeps every session that CreateSession makes, also those that are never activated; reads as much as one message says
that it is long; and gives a session to a new connection before it has asked whose it is. Each is closed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import structlog
from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from scada.core.clock import Clock

_log = structlog.get_logger("opcua")

_CREATE: Final = ua.NodeId(ua.Int32(ObjectIds.CreateSessionRequest_Encoding_DefaultBinary))
_ACTIVATE: Final = ua.NodeId(ua.Int32(ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary))
_CHUNK: Final = 65_535
"""Octets of the longest chunk that is taken; the acknowledgement says so."""
_CHUNKS: Final = 128
CONNECTIONS: Final = 100
"""Connections at once, logged in or not."""
_AGAIN_S: Final = 60.0
_TOLD_MAXIMUM: Final = 20


class Refusals:
    """Logs who was refused and why: each reason once a minute, of a flood the beginning only.

    Args:
        clock: for the minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, float] = {}

    def add(self, reason: str) -> None:
        """Somebody was refused."""
        now = self._clock.monotonic()
        self._told = {text: when for text, when in self._told.items() if now - when < _AGAIN_S}
        if reason not in self._told and len(self._told) < _TOLD_MAXIMUM:
            self._told[reason] = now
            _log.warning("opcua client refused", reason=reason)


def limits() -> TransportLimits:
    """Longest request: enough to monitor tens of thousands of variables by one."""
    return TransportLimits(_CHUNK, _CHUNK, _CHUNKS, _CHUNK * _CHUNKS)


class AdmittingServer(BinaryServer):
    """Listens; makes connections that are narrowed."""

    def _make_protocol(self) -> OPCUAProtocol:
        return _Protocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)

    async def expel(self, fault: Callable[[bytes | None, str], str]) -> None:
        """Cut off who would not be let in any more.

        Args:
            fault: says what is wrong with a certificate and the name of a user; empty = nothing.
        """
        for client in list(self.clients):
            session: Any = client.processor.session if client.processor is not None else None
            if session is None or not session.is_activated() or not fault(session.peer, str(session.user.name)):
                continue
            await session.close_session()
            if client.transport is not None:
                client.transport.abort()


class _Protocol(OPCUAProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Someone connects."""
        super().connection_made(transport)
        if self.processor is not None:
            self.processor.__class__ = _Processor

    def data_received(self, data: bytes) -> None:
        """Take octets; what waits for more is less than one chunk, or nobody's."""
        super().data_received(data)
        if len(self._buffer) > _CHUNK:
            self._buffer = b""
            if self.transport is not None:
                self.transport.abort()


class _Processor(UaProcessor):
    """Serves one connection."""

    iserver: Any
    session: Any

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        resumes = typeid == _ACTIVATE and self.session is None
        if typeid == _CREATE:
            await self._before_create()
        if resumes:
            self._before_resume(requesthdr.AuthenticationToken)
        try:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]
        except BaseException:
            if resumes:
                self.session = None  # the library has it by now, with the rights of who logged in
            raise

    async def _before_create(self) -> None:
        """One session a connection; without security none, unless it is offered."""
        if self._peer is None and not self.iserver.allow_open:
            raise ServiceError(StatusCodes.BadSecurityPolicyRejected)
        if self.session is not None and self.session.is_activated():
            raise ServiceError(StatusCodes.BadTooManySessions)
        if self.session is not None:
            await self.session.close_session()
            if self._session_watchdog_task is not None:
                self._session_watchdog_task.cancel()

    def _before_resume(self, token: ua.NodeId) -> None:
        """A session goes to the application that has it, and to no other that knows its token."""
        session = self.iserver.lookup_external_session(token)
        if session is None or not session.is_activated() or session.peer != self._peer:
            raise ServiceError(StatusCodes.BadSessionIdInvalid)

    @property
    def _peer(self) -> bytes | None:
        return self._connection.security_policy.peer_certificate or None
