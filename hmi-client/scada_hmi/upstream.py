"""The station's connection to the server: the operator's session, and calls relayed as bytes.

The session is kept alive for ever: while the server is away, a task tries to log in again, and every page is told how it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self

import grpc
import structlog
from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.api.faults import CallError, malformed
from scada.core.errors import ScadaError
from scada_hmi.methods import Method

CHECK_S = 1.0
"""Time between two looks at the connection."""

CHECK_TIMEOUT_S = 2.0

LOCKS = frozenset({"idle_locked", "superseded"})
"""Refusals that a new login lifts, which the operator asks for: the station never does so by itself."""

_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED})

_log = structlog.get_logger("scada.hmi")


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """How the connection to the server stands.

    Attributes:
        state: ``connecting`` (the server does not answer), ``up`` or ``refused`` (it does not let us in).
        reason: one sentence, empty when up.
        server: ``host:port``.
        operator: name of the identity that signs.
        site: name of the server's site.
        roles: granted at login.
        rights: granted at login.
        areas: areas of responsibility.
        lock: why the session only looks, as the server said to the last order: ``idle_locked``, ``superseded``, or empty.
    """

    state: str
    reason: str = ""
    server: str = ""
    operator: str = ""
    site: str = ""
    roles: tuple[str, ...] = ()
    rights: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    lock: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Upstream(Protocol):
    """What the tunnel needs of a connection to the server."""

    def call(self, method: Method, messages: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Relay one call; ends with :class:`CallError` if its status is not OK."""
        ...

    async def unlock(self) -> None:
        """Act from here again; ends with :class:`CallError` if the server refuses."""
        ...

    def on_state(self, listener: Callable[[UpstreamState], None]) -> Callable[[], None]:
        """Tell the state now and whenever it changes; returns the function that ends it."""
        ...


@dataclass(slots=True)
class ServerLink:
    """An :class:`Upstream` over one :class:`~scada.api.client.ScadaClient`; used as ``async with``.

    Args:
        client: not yet connected.
        server: address shown to the operator.
        operator: name of the identity.
    """

    client: ScadaClient
    server: str
    operator: str
    _listeners: set[Callable[[UpstreamState], None]] = field(default_factory=set)
    _state: UpstreamState = field(default_factory=lambda: UpstreamState("connecting"))
    _watch: asyncio.Task[None] | None = None
    _locked: tuple[str, str] = ("", "")
    """Session that only looks, and why."""

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self.client.close()

    def on_state(self, listener: Callable[[UpstreamState], None]) -> Callable[[], None]:
        """Tell the state now and whenever it changes."""
        self._listeners.add(listener)
        listener(self._state)
        return lambda: self._listeners.discard(listener)

    async def call(self, method: Method, messages: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Relay one call of the page.

        Raises:
            CallError: its status is not OK.
        """
        if method.streaming:
            async with contextlib.aclosing(self.client.relay_stream(method.name, messages)) as replies:
                async for reply in replies:
                    yield reply
            return
        request = await anext(messages, None)
        if request is None:
            raise malformed("the call carries no request")
        if method.body is None:
            yield await self.client.relay(method.name, request)
        else:
            try:
                body = method.body.FromString(pb.Signed.FromString(request).body)
            except DecodeError:
                raise malformed("the body is not what the method takes") from None
            try:
                reply = await self.client.signed(method.name, body)
            except CallError as error:
                self._note(error)
                raise
            yield reply.SerializeToString()

    async def unlock(self) -> None:
        """Log in anew, because the operator asked to: the session before only looks and is ended.

        Raises:
            CallError: the server does not answer or refuses.
        """
        await self.client.login_again()
        self._tell(replace(self._state, lock=self._lock()))

    def _note(self, refusal: CallError) -> None:
        if refusal.code in LOCKS:
            self._locked = self.client.session.session, refusal.code
            self._tell(replace(self._state, lock=refusal.code))

    def _lock(self) -> str:
        session, why = self._locked
        return why if session == self.client.session.session else ""

    async def _keep(self) -> None:
        """Look at the server once a second; log in when it is back. Goes on whatever happens: nobody else tells the page."""
        while True:
            try:
                self._tell(await self._look())
            except Exception as error:  # noqa: BLE001 - the next look must come
                _log.exception("looking at the server")
                self._tell(UpstreamState("refused", str(error), self.server, self.operator))
            await asyncio.sleep(CHECK_S)

    async def _look(self) -> UpstreamState:
        try:
            await self.client.call("Realtime/GetStatus", pb.GetStatusRequest(), timeout_s=CHECK_TIMEOUT_S)
        except CallError as error:
            state = "connecting" if error.status in _AWAY else "refused"
            return UpstreamState(state, str(error), self.server, self.operator)
        except ScadaError as error:
            return UpstreamState("refused", str(error), self.server, self.operator)
        granted = self.client.granted
        return UpstreamState(
            "up",
            "",
            self.server,
            self.operator,
            granted.site,
            tuple(granted.roles),
            tuple(granted.rights),
            tuple(granted.areas),
            self._lock(),
        )

    def _tell(self, state: UpstreamState) -> None:
        if state != self._state:
            self._state = state
            for listener in list(self._listeners):
                listener(state)
