"""Frames of a channel for whoever looks at them, while somebody does: nothing is split, kept or decoded otherwise."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from scada.protocols.driver import Describer, Driver, Frame, Tee

NOT_HEARD: Final = "the driver of this channel does not show its octets"
QUEUE_FRAMES: Final = 4000
QUEUE_OCTETS: Final = 1 << 20
"""What one reader may be behind; the oldest frames beyond it are left out and counted."""

_log = structlog.get_logger("channel")


class TraceHub:
    """Where one channel's octets pass: hands them to its listeners, over every life of its driver.

    Methods may be called from any thread; listeners are called on the wire loop and must not block.

    Args:
        loop: of the wire.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._driver: Driver | None = None
        self._listeners: tuple[Tee, ...] = ()
        self._spoken: dict[str, int] = {}
        self._connects = 0

    def attach(self, driver: Driver | None) -> None:
        """The driver that talks from now on; None = the channel is closed."""
        self._on_wire(lambda: self._take(driver))

    def listen(self, listener: Tee) -> Callable[[], None]:
        """Hand everything on the wire to ``listener`` until the returned function is called."""
        self._on_wire(lambda: self._set((*self._listeners, listener)))
        return lambda: self._on_wire(lambda: self._drop(listener))

    def after(self, work: Callable[[], None]) -> None:
        """Call ``work`` once what was asked before is in effect, on the wire loop; at once if that has ended."""
        try:
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            work()

    @property
    def deaf(self) -> bool:
        """The driver does not show what passes."""
        driver = self._driver
        return driver is not None and not driver.heard

    def endpoints(self) -> dict[str, str]:
        """``host:port`` of each link by its name; empty for a channel with one."""
        driver = self._driver
        return {} if driver is None else {link.name: link.endpoint for link in driver.links()}

    def _on_wire(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server stops
            self._loop.call_soon_threadsafe(work)

    def _take(self, driver: Driver | None) -> None:
        if self._driver is not None:
            self._driver.tee = None
        for link, time_ns in list(self._spoken.items()):
            self._tell(link, True, time_ns, b"")
        self._driver = driver
        self._set(self._listeners)

    def _drop(self, listener: Tee) -> None:
        self._set(tuple(one for one in self._listeners if one is not listener))

    def _set(self, listeners: tuple[Tee, ...]) -> None:
        self._listeners = listeners
        if self._driver is not None:
            self._driver.tee = self._hear if listeners else None
        if not listeners:
            self._spoken.clear()

    def _hear(self, link: str, received: bool, time_ns: int, data: bytes) -> None:
        """The driver's tee. Of a single link a new connection is also known by its number."""
        driver = self._driver
        if driver is not None and not link and driver.statistics.connects != self._connects:
            self._connects = driver.statistics.connects
            if link in self._spoken and data:
                self._tell(link, True, time_ns, b"")
        self._tell(link, received, time_ns, data)

    def _tell(self, link: str, received: bool, time_ns: int, data: bytes) -> None:
        if data:
            self._spoken[link] = time_ns
        else:
            self._spoken.pop(link, None)
        for listener in self._listeners:
            try:
                listener(link, received, time_ns, data)
            except Exception:  # noqa: BLE001 - one that looks on must never disturb the channel
                _log.exception("a listener on the wire failed and is left out")
                self._drop(listener)


@dataclass(frozen=True, slots=True)
class TracedFrame:
    """One frame as it passed.

    Attributes:
        link: name of the link, empty where there is only one.
        received: by us.
        time_ns: ns UTC of the read or write.
        frame: octets and what they say.
    """

    link: str
    received: bool
    time_ns: int
    frame: Frame


class TraceQueue:
    """What one reader has not yet taken of a trace.

    Args:
        describer: makes a describer of the channel's protocol.
        values: with frames that carry only values.
    """

    def __init__(self, describer: Callable[[], Describer], *, values: bool) -> None:
        self._values = values
        self._splitters = defaultdict[str, Describer](describer)
        self._describers = defaultdict[str, Describer](describer)
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, bool, int, bytes]] = deque()
        self._octets = 0
        self._missed = 0

    def put(self, link: str, received: bool, time_ns: int, data: bytes) -> None:
        """Take octets of the wire; on the wire loop."""
        if not data:
            self._splitters.pop(link, None)
            return
        splitter = self._splitters[link]
        for frame in splitter.split(data, received=received):
            if self._values or not splitter.only_values(frame, received=received):
                self._keep((link, received, time_ns, frame))

    def _keep(self, entry: tuple[str, bool, int, bytes]) -> None:
        with self._lock:
            self._waiting.append(entry)
            self._octets += len(entry[3])
            while len(self._waiting) > QUEUE_FRAMES or (self._octets > QUEUE_OCTETS and len(self._waiting) > 1):
                self._octets -= len(self._waiting.popleft()[3])
                self._missed += 1

    def take(self, most: int) -> tuple[list[TracedFrame], int]:
        """The oldest frames that wait, decoded, at most about ``most``, and how many before them are missing."""
        with self._lock:
            entries = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._octets -= sum(len(entry[3]) for entry in entries)
            missed, self._missed = self._missed, 0
        frames = [
            TracedFrame(link, received, time_ns, frame)
            for link, received, time_ns, data in entries
            for frame in self._described(link, data, received=received)
        ]
        return frames, missed

    def _described(self, link: str, data: bytes, *, received: bool) -> list[Frame]:
        try:
            return [_one_line(frame) for frame in self._describers[link].describe(data, received=received)]
        except Exception as error:  # noqa: BLE001 - the octets are what counts; a describer must not end the trace
            self._describers.pop(link, None)
            return [Frame(data, f"not decoded: {type(error).__name__}: {error}")]


def _one_line(frame: Frame) -> Frame:
    """Without what would end the line or order a terminal about: a device may say anything."""
    if frame.text.isprintable():
        return frame
    return Frame(frame.data, "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in frame.text))
