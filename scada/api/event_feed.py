"""Events to subscribers: gap-free from any id, then live, never conflated.

A subscriber is only a cursor into the event log. The backend's listener says that there is something new; what is sent is read
from the newest events kept here or, further back, from the log itself. A slow reader therefore costs no memory and loses nothing.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import grpc
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.backend import Backend, Unsubscribe
from scada.api.faults import CallError
from scada.api.messages import event_info
from scada.control.records import Principal
from scada.events.records import Event

PAGE = 500
"""Events in one message."""

RECENT = 4096
"""Newest events kept in memory."""

HEARTBEAT_S = 0.9

_log = structlog.get_logger("scada.api.events")


class EventFeed:
    """Follows the event log and serves cursors into it; runs on the API's event loop."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._recent: deque[Event] = deque(maxlen=RECENT)
        self._last = 0
        self._news = asyncio.Event()
        self._stopping = False
        self._unsubscribe: Unsubscribe | None = None

    def start(self) -> None:
        """Follow the backend; must be called on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._last, self._unsubscribe = self._backend.on_events(self._hand_over)

    def stop(self) -> None:
        """Stop following and end every stream."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._stopping = True
        self._wake()

    async def follow(self, request: pb.EventsSubscribeRequest, principal: Principal) -> AsyncGenerator[pb.EventList, None]:
        """Every event after ``request.after_id`` in order, then live; an empty list is a heartbeat.

        Raises:
            CallError: the id is one that the log never gave, or the server stops.
        """
        del principal
        cursor = request.after_id
        if cursor > self._last:
            raise CallError(
                grpc.StatusCode.OUT_OF_RANGE,
                "unknown_event",
                f"event {cursor} does not exist, the last one is {self._last}",
                mend="list the alarms and start from their last_event_id",
            )
        kinds = frozenset(request.kinds)
        while not self._stopping:
            news = self._news
            page = self._read(cursor)
            if not page:
                try:
                    await asyncio.wait_for(news.wait(), HEARTBEAT_S)
                except TimeoutError:
                    yield pb.EventList(last_event_id=cursor)
                continue
            cursor = page[-1].event_id
            wanted = [event_info(event) for event in page if not kinds or event.kind in kinds]
            yield pb.EventList(events=wanted, last_event_id=cursor)
        raise CallError(grpc.StatusCode.UNAVAILABLE, "stopping", "the server is stopping")

    def _read(self, cursor: int) -> Sequence[Event]:
        if cursor >= self._last:
            return ()
        if self._recent and cursor >= self._recent[0].event_id - 1:
            start = bisect_right(self._recent, cursor, key=lambda event: event.event_id)
            return [self._recent[index] for index in range(start, min(start + PAGE, len(self._recent)))]
        # -1: from the oldest one on; 0 would ask for the newest
        return self._backend.events(after_id=cursor or -1, limit=PAGE)

    def _hand_over(self, events: Sequence[Event]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._feed, events)
        except RuntimeError:  # the loop has closed: the server is stopping
            _log.debug("events after stop", count=len(events))

    def _feed(self, events: Sequence[Event]) -> None:
        self._recent.extend(event for event in events if event.event_id > self._last)
        self._last = max(self._last, events[-1].event_id)
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
