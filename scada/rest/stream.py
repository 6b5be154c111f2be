"""Values as server-sent events: what a reader does not have yet, never a queue of what it missed.

Of every point the mirror knows in which of its turns it changed last. A reader has a place: everything up to a turn. What it gets
next is what changed after its place, as it is now. A slow reader therefore gets fewer, newer values and costs no memory, and one
that comes back with its place goes on as if it had only been slow. Where the mirror itself cannot know what changed (it was cut
off, or another mirror gave the place) the reader is told so, by ``gap``, and gets everything anew.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import structlog
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from scadapb.v1 import scada_pb2 as pb
from starlette.types import Receive, Scope, Send

from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.rest import answers
from scada.rest.mirror import Mirror
from scada.rest.permits import shown
from scada.rest.problems import RestError
from scada.rest.times import time
from scada.rest.tokens import Token, TokenError, TokenStore

HEARTBEAT_S: Final = 2.0
"""Something is said at least so often, real s."""
LOOK_S: Final = 0.4
"""The token is looked at so often while nothing happens, real s."""
PART: Final = 500
"""Values in one event."""
STREAMS_PER_TOKEN: Final = 4
STREAMS: Final = 32
_LAST_WORD_S: Final = 0.3
"""Time in which a reader may still take the reason why its stream ends, real s."""

_log = structlog.get_logger("rest")


class ValueStream:
    """What one reader is told.

    Args:
        mirror: followed.
        clock: heartbeats and the shortest time between values.
        token: of the reader; which fields it is shown.
        points: those that the reader wants and may see now.
        mark: names the question; a place is good for the question that it was given for.
        place: ``Last-Event-ID`` of the request, empty = none.
        period_s: shortest time between two events with values.
    """

    def __init__(
        self,
        mirror: Mirror,
        clock: Clock,
        token: Token,
        points: Callable[[], Sequence[pb.PointInfo]],
        *,
        mark: str,
        place: str = "",
        period_s: float = 1.0,
    ) -> None:
        self._mirror = mirror
        self._clock = clock
        self._token = token
        self._points = points
        self._mark = mark
        self._period_s = period_s
        self._life, self._turn = self._resume(place)
        self._lacks = "the place is not known here (any more)" if place and not self._life else ""
        self._want(points() if self._life else ())
        self._said = self._told = float("-inf")

    def turn(self) -> Iterator[bytes]:
        """What is to be said now; nothing if all has been said."""
        now, mirror = self._clock.monotonic(), self._mirror
        if fault := mirror.fault:
            if now - self._said >= HEARTBEAT_S:
                self._said = now
                yield _event("stale", {"reason": fault})
        elif mirror.life != self._life:
            if self._life or self._lacks:
                reason = (
                    self._lacks or "what happened while the server was away, or before it changed its model, is not known here"
                )
                yield _event("gap", {"reason": reason})
            self._life, self._lacks = mirror.life, ""
            self._want(self._points())
            yield from self._tell("snapshot", self._wanted, now)
        elif now - self._told >= self._period_s and (changed := mirror.changed_after(self._turn, self._pids)):
            yield from self._tell("values", [self._wanted[at] for at in changed], now)
        elif now - self._said >= HEARTBEAT_S:
            self._said = now
            yield _event("heartbeat", {"seq": mirror.seq, "time": time(mirror.time_ns)}, self._place(self._turn))

    def _tell(self, name: str, points: Sequence[pb.PointInfo], now: float) -> Iterator[bytes]:
        """Points as they are now, in parts. The last moves the reader's place: one that leaves before it gets all again."""
        turn, life, mirror = self._mirror.turn, self._life, self._mirror
        for start in range(0, max(1, len(points)), PART):
            if mirror.life != life or mirror.fault:
                # the rest would be of another model or old: what follows is told from the beginning
                self._life, self._lacks = "", "the values before were cut short"
                return
            part, more = points[start : start + PART], start + PART < len(points)
            body = {
                "seq": mirror.seq,
                "model_version": mirror.model.version,
                "time": time(mirror.time_ns),
                "values": [shown(self._token, "values", answers.value(each, *mirror.row(each.pid))) for each in part],
                "more": more,
            }
            yield _event(name, body, "" if more else self._place(turn))
        self._turn, self._said, self._told = turn, now, now

    def _want(self, points: Sequence[pb.PointInfo]) -> None:
        self._wanted = points
        self._pids = np.array([each.pid for each in points], dtype=np.int64)

    def _place(self, turn: int) -> str:
        return f"{self._life}-{self._mark}-{turn}"

    def _resume(self, place: str) -> tuple[str, int]:
        life, _, rest = place.partition("-")
        mark, _, turn = rest.partition("-")
        known = turn.isascii() and turn.isdigit() and len(turn) < 16 and life == self._mirror.life and mark == self._mark
        return (life, int(turn)) if known and int(turn) <= self._mirror.turn else ("", 0)


class Streams:
    """The streams that are open, and how many may be.

    Args:
        tokens: what a stream's token must go on being among.
        clock: of the streams.
    """

    def __init__(self, tokens: TokenStore, clock: Clock) -> None:
        self.tokens = tokens
        self.clock = clock
        self.ending = False
        self._open: dict[str, int] = {}

    def end(self) -> None:
        """End them all; the process stops."""
        self.ending = True

    def take(self, token: Token) -> None:
        """Count one more of a token.

        Raises:
            RestError: 429, there are enough of this token, or of all.
        """
        if self._open.get(token.id, 0) >= STREAMS_PER_TOKEN or sum(self._open.values()) >= STREAMS:
            _log.warning("too many streams", token=token.id, name=token.name)
            what = f"a token may have {STREAMS_PER_TOKEN} streams, all together {STREAMS}"
            raise RestError(429, "streams", what, {"Retry-After": "30"})
        self._open[token.id] = self._open.get(token.id, 0) + 1

    def give_back(self, token: Token) -> None:
        """One of a token has ended."""
        self._open[token.id] -= 1
        if not self._open[token.id]:
            del self._open[token.id]

    def ended(self, token: Token) -> str:
        """Why a token's streams end, empty while they need not; tokens that cannot be read end them too."""
        if self.ending:
            return "stopping"
        try:
            self.tokens.check_again(token.id)
        except TokenError as error:
            return error.code
        except StoreError:
            return "unavailable"
        return ""


class StreamResponse(StreamingResponse):
    """An answer that goes on until the reader leaves, its token ends or the process does.

    Args:
        stream: what is said.
        streams: counted there; one must have been taken.
        token: of the reader.
        wait: returns with something new in the mirror, or after a time.
    """

    def __init__(self, stream: ValueStream, streams: Streams, token: Token, wait: Callable[[float], Any]) -> None:
        self._streams = streams
        self._token = token
        self._stream = stream
        self._wait = wait
        super().__init__(
            self._say(), headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, media_type="text/event-stream"
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; a reader that takes nothing does not keep a stream open whose token has ended."""
        saying = asyncio.ensure_future(super().__call__(scope, receive, send))
        watching = asyncio.ensure_future(self._watch())
        try:
            await asyncio.wait((saying, watching), return_when=asyncio.FIRST_COMPLETED)
            if saying.done():
                saying.result()
        finally:
            self._streams.give_back(self._token)
            for task in (saying, watching):
                task.cancel()
            await asyncio.gather(saying, watching, return_exceptions=True)

    async def _say(self) -> AsyncGenerator[bytes, None]:
        while not (code := self._streams.ended(self._token)):
            for event in self._stream.turn():
                yield event
                if code := self._streams.ended(self._token):
                    break
            else:
                await self._wait(LOOK_S)
        _log.info("stream ended", token=self._token.id, name=self._token.name, code=code)
        yield _event("end", {"code": code})

    async def _watch(self) -> None:
        while not self._streams.ended(self._token):  # noqa: ASYNC110 - a file that changes sets no event
            await asyncio.sleep(LOOK_S)
        await asyncio.sleep(LOOK_S + _LAST_WORD_S)


def _event(name: str, data: dict[str, Any], place: str = "") -> bytes:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return format_sse_event(event=name, data_str=text, id=place or None)
