"""One WebSocket carries every gRPC call of a page, as opaque bytes.

A WebSocket message is ``kind u8 | call u32le | rest``. From the page: ``OPEN`` (rest: the path of the method), ``MESSAGE``
(rest: one protobuf message), ``HALF_CLOSE``, ``CANCEL``, and ``UNLOCK`` (a call of its own: the station logs in anew). To the
page: ``MESSAGE``, ``END`` (rest: gRPC status u8 and a UTF-8 reason) and, with call 0, ``STATE`` (rest: JSON, see
:class:`scada_hmi.upstream.UpstreamState`).

The queue towards the browser is bounded. A reply or an event waits for room, which stops the reading of its own call only; a live
frame that finds no room ends its stream with RESOURCE_EXHAUSTED and takes its queued frames along: the page subscribes again and
starts with a full frame, so that no change is lost behind a dropped delta.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import IntEnum

import grpc
import structlog

from scada.api.faults import CallError
from scada.core.errors import ScadaError
from scada_hmi.methods import Method
from scada_hmi.upstream import Upstream

QUEUE = 256
"""Messages that may wait for a slow browser."""

MAX_CALLS = 64
"""Calls one page may have open."""

MAX_MESSAGE = 1 << 20
"""Bytes of one message from the page; the server accepts no more."""

_UNLOCK = Method(path="unlock", body=None, streaming=False, conflated=False)
"""Of the station itself, no call of the contract."""

_log = structlog.get_logger("scada.hmi")


class Kind(IntEnum):
    """First byte of a WebSocket message."""

    OPEN = 1
    MESSAGE = 2
    HALF_CLOSE = 3
    CANCEL = 4
    END = 5
    STATE = 6
    UNLOCK = 7


def pack(kind: Kind, call: int, rest: bytes = b"") -> bytes:
    """One WebSocket message.

    >>> pack(Kind.CANCEL, 7).hex()
    '0407000000'
    """
    return bytes((kind,)) + call.to_bytes(4, "little") + rest


def end(call: int, code: grpc.StatusCode, reason: str = "") -> bytes:
    """The last message of a call."""
    return pack(Kind.END, call, bytes((code.value[0],)) + reason.encode())


class Outbox:
    """Bounded queue towards one browser."""

    def __init__(self, limit: int = QUEUE) -> None:
        self._limit = limit
        self._queue: deque[tuple[int, bytes]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    async def put(self, call: int, message: bytes) -> None:
        """Queue a reply or an event; waits while the queue is full."""
        while len(self._queue) >= self._limit:
            self._room.clear()
            await self._room.wait()
        self._append(call, message)

    def put_live(self, call: int, message: bytes) -> bool:
        """Queue a live frame; False if there is no room: then nothing of this call is queued any more."""
        if len(self._queue) < self._limit:
            self._append(call, message)
            return True
        self._queue = deque(item for item in self._queue if item[0] != call)
        self._room.set()
        return False

    def put_end(self, call: int, message: bytes) -> None:
        """Queue the end of a call or a state, at any length: there is one a call, and it must arrive."""
        self._append(call, message)

    def _append(self, call: int, message: bytes) -> None:
        self._queue.append((call, message))
        self._changed.set()

    async def get(self) -> bytes:
        """Next message for the browser."""
        while not self._queue:
            self._changed.clear()
            await self._changed.wait()
        _, message = self._queue.popleft()
        self._room.set()
        return message


class Call:
    """One call of the page: its task and the messages the page sent for it (None = half-closed)."""

    def __init__(self, method: Method) -> None:
        self.method = method
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=QUEUE)
        self.task: asyncio.Task[None] | None = None

    async def messages(self) -> AsyncIterator[bytes]:
        """What the page sends, until it half-closes."""
        while (message := await self.inbox.get()) is not None:
            yield message


class Tunnel:
    """All calls of one WebSocket.

    Args:
        upstream: the station's connection to the server.
        methods: what may be called.
        send: sends one WebSocket message.
    """

    def __init__(self, upstream: Upstream, methods: Mapping[str, Method], send: Callable[[bytes], Awaitable[None]]) -> None:
        self._upstream = upstream
        self._methods = methods
        self._send = send
        self._calls: dict[int, Call] = {}
        self.outbox = Outbox()

    async def pump(self) -> None:
        """Send what is queued, for ever."""
        while True:
            await self._send(await self.outbox.get())

    def close(self) -> None:
        """Cancel every open call."""
        for call in list(self._calls.values()):
            if call.task is not None:
                call.task.cancel()

    def receive(self, data: bytes) -> None:
        """Take one WebSocket message of the page.

        Raises:
            ValueError: it breaks the framing; the connection is to be closed.
        """
        if len(data) < 5:
            raise ValueError("a message is shorter than its head")
        if len(data) > MAX_MESSAGE:
            raise ValueError("a message is too long")
        kind, number, rest = data[0], int.from_bytes(data[1:5], "little"), data[5:]
        if kind == Kind.OPEN:
            self._open(number, rest.decode("ascii", "replace"))
            return
        if kind == Kind.UNLOCK:
            self._start(number, _UNLOCK)
            return
        call = self._calls.get(number)
        if call is None:
            return  # crossed with the end of the call
        if kind == Kind.CANCEL:
            if call.task is not None:
                call.task.cancel()
        elif kind in {Kind.MESSAGE, Kind.HALF_CLOSE}:
            try:
                call.inbox.put_nowait(rest if kind == Kind.MESSAGE else None)
            except asyncio.QueueFull:
                raise ValueError("the page sends faster than the server takes") from None
        else:
            raise ValueError(f"unknown kind of message {kind}")

    def _open(self, number: int, path: str) -> None:
        method = self._methods.get(path)
        if method is None:
            self.outbox.put_end(number, end(number, grpc.StatusCode.PERMISSION_DENIED, "the page may not call this method"))
            return
        self._start(number, method)

    def _start(self, number: int, method: Method) -> None:
        if number == 0 or number in self._calls:
            raise ValueError(f"call number {number} is in use")
        if len(self._calls) >= MAX_CALLS:
            self.outbox.put_end(number, end(number, grpc.StatusCode.RESOURCE_EXHAUSTED, "too many open calls"))
            return
        call = self._calls[number] = Call(method)
        call.task = asyncio.create_task(self._run(number, call))

    async def _run(self, number: int, call: Call) -> None:
        """Relay one call to its end."""
        # OK is said last: whatever else happens, an order without a reply must not look done
        code, reason = grpc.StatusCode.INTERNAL, "the station could not do this; its log says why"
        try:
            if call.method is _UNLOCK:
                await self._upstream.unlock()
                code, reason = grpc.StatusCode.OK, ""
                return
            async for reply in self._upstream.call(call.method, call.messages()):
                message = pack(Kind.MESSAGE, number, reply)
                if not call.method.conflated:
                    await self.outbox.put(number, message)
                elif not self.outbox.put_live(number, message):
                    code, reason = grpc.StatusCode.RESOURCE_EXHAUSTED, "the page fell behind; subscribe again"
                    break
            else:
                code, reason = grpc.StatusCode.OK, ""
        except asyncio.CancelledError:
            code, reason = grpc.StatusCode.CANCELLED, "cancelled"
        except CallError as error:
            code, reason = error.status, str(error)
        except ScadaError as error:
            reason = str(error)
        except Exception:  # noqa: BLE001 - the page hears of it
            _log.exception("call of the page failed", method=call.method.path)
        finally:
            self._calls.pop(number, None)
            self.outbox.put_end(number, end(number, code, reason))
