"""Connections of HTTP: one that asks nothing does not keep its place, and one address does not take all places."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

ASK_S: Final = 10.0
"""Time in which a connection must have sent the head of a request, and of the next one after an answer, real s."""
PLACES: Final = 64
"""Connections and requests at once; more get 503."""
PLACES_OF_ONE: Final = 32
"""Connections of one address."""

_log = structlog.get_logger("rest")


class Connection(H11Protocol):
    """A connection that may be held by whoever asks, and by nobody else.

    Attributes:
        places_of_one: connections of one address, 0 = as many as there are, for a proxy that asks for many.
    """

    places_of_one: ClassVar[int] = PLACES_OF_ONE

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._look: asyncio.TimerHandle | None = None
        self._seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and begin to look."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        ours = sum(1 for each in self.connections if isinstance(each, Connection) and each.client and each.client[0] == peer)
        if self.places_of_one and ours > self.places_of_one:
            transport.abort()
            return
        self._look = self.loop.call_later(ASK_S, self._expect)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to look."""
        if self._look is not None:
            self._look.cancel()
        super().connection_lost(exc)

    def _expect(self) -> None:
        waiting = self.cycle is None or self.cycle.response_complete
        if waiting and self.cycle is self._seen:
            _log.debug("a connection asked nothing", peer=self.client[0] if self.client else "")
            self.transport.abort()
            return
        self._seen = self.cycle
        self._look = self.loop.call_later(ASK_S, self._expect)


class ProxyConnection(Connection):
    """A connection of a service that stands behind a proxy, from which all of them come."""

    places_of_one: ClassVar[int] = 0
