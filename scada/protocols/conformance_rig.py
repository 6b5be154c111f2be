"""The bench of the conformance kit: the device that a test plays, a sink that remembers, and a driver between the two."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from scada.core.batch import PointBatch
from scada.core.clock import Clock, SystemClock
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import Driver, LinkState

PATIENCE_S = 20.0
"""Real seconds a check waits for what must come."""


class ConformanceError(AssertionError):
    """A driver broke a rule."""


class Device(ABC):
    """The other side of the wire: a station, meter or broker that a test plays. One instance serves one check.

    Attributes:
        analog: a measured value; good and 12.5 from the start.
        status: a point of kind STATUS; 0 from the start.
        setpoint: a control that the device obeys; without ``select`` unless the protocol knows it.
        forbidden: a control that the device refuses, or None if it cannot.
        lacks: check -> why the protocol (or the driver, a known fault) cannot pass it.
        stamps: True if the device sends source times.
        window: most values that may be delivered while the database is behind.
    """

    analog: Point
    status: Point
    setpoint: Control
    forbidden: Control | None = None
    lacks: ClassVar[Mapping[str, str]] = {}
    stamps: ClassVar[bool] = True
    window: ClassVar[int] = 100

    @property
    @abstractmethod
    def spec(self) -> ChannelSpec:
        """Where and how the driver connects. Valid before :meth:`start`; the port stays the same when started again."""

    @abstractmethod
    def make(self, sink: Recorder, clock: Clock) -> Driver:
        """The driver under test, for :attr:`spec`, :attr:`points` and :attr:`controls`."""

    @abstractmethod
    async def start(self) -> None:
        """Begin to listen; called again after :meth:`stop`."""

    @abstractmethod
    async def stop(self) -> None:
        """Vanish: every connection breaks and nobody listens any more. Called twice at worst."""

    @abstractmethod
    async def put(self, point: Point, value: float, time_ns: int) -> None:
        """Change a value and tell the driver, as this kind of device does, with a source time in ns UTC."""

    @abstractmethod
    async def obeyed(self) -> Sequence[tuple[int, float]]:
        """Commands carried out so far: (cid, value in engineering units), in order."""

    @abstractmethod
    async def mute(self) -> None:
        """From now on: take commands, carry them out, answer none of them. Ends with the next :meth:`start`."""

    @abstractmethod
    async def garbage(self) -> None:
        """Send the driver something that is no message of the protocol."""

    @abstractmethod
    async def stray(self) -> None:
        """Send a good value of an address that the model does not know."""

    @abstractmethod
    async def connections(self) -> int:
        """Connections of the driver that are open now."""

    @property
    def points(self) -> Sequence[Point]:
        """Points of the channel."""
        return (self.analog, self.status)

    @property
    def controls(self) -> Sequence[Control]:
        """Controls of the channel."""
        return (self.setpoint,) if self.forbidden is None else (self.setpoint, self.forbidden)


@dataclass(frozen=True, slots=True)
class Told:
    """One value that a driver delivered."""

    pid: int
    value: float
    quality: int
    source_time: int
    flags: int
    channel: int


class Recorder:
    """A sink that keeps everything and can play a database that is behind."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.states: list[tuple[LinkState, str]] = []
        self.notices: list[tuple[str, str]] = []
        self.keeps_up = asyncio.Event()
        """Clear it: the database is behind, :meth:`ready` waits."""
        self.keeps_up.set()
        self.task: asyncio.Task[None] | None = None
        """The running driver, so that nobody waits for one that has ended."""
        self._news = asyncio.Event()

    def deliver(self, batch: PointBatch) -> None:
        """Keep the values."""
        fields = zip(*(batch.records[name].tolist() for name in Told.__slots__), strict=True)
        self.told += [Told(*row) for row in fields]
        self._news.set()

    async def ready(self) -> None:
        """Wait until the database keeps up."""
        await self.keeps_up.wait()

    def state(self, state: LinkState, reason: str) -> None:
        """Keep the state."""
        self.states.append((state, reason))
        self._news.set()

    def notice(self, kind: str, text: str) -> None:
        """Keep the notice."""
        self.notices.append((kind, text))
        self._news.set()

    @property
    def up(self) -> bool:
        """The last state is UP."""
        return bool(self.states) and self.states[-1][0] is LinkState.UP

    def of(self, point: Point) -> list[Told]:
        """What was told of a point, in order."""
        return [one for one in self.told if one.pid == point.pid]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition.

        Raises:
            ConformanceError: it did not come true within :data:`PATIENCE_S`.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not condition():
                    must(self.task is None or not self.task.done(), f"{what}: run() ended by itself: {how_ended(self.task)}")
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):  # counters move without a word to the sink
                        await asyncio.wait_for(self._news.wait(), 0.1)
        except TimeoutError:
            last = self.states[-1] if self.states else "none"
            raise ConformanceError(f"{what}: not within {PATIENCE_S:g} s; last state {last}") from None


@dataclass(frozen=True, slots=True)
class Run:
    """A driver that runs against its device."""

    device: Device
    driver: Driver
    sink: Recorder
    task: asyncio.Task[None]

    async def all_known(self) -> None:
        """Wait until the link is up and every point has a value."""
        pids = {int(point.pid) for point in self.device.points}
        await self.sink.until(
            lambda: self.sink.up and pids <= {one.pid for one in self.sink.told}, "the link is up and every point has a value"
        )

    async def end(self) -> None:
        """Cancel the driver; it must end as cancelled.

        Raises:
            ConformanceError: it did not end, or ended otherwise.
        """
        self.task.cancel()
        done, _ = await asyncio.wait([self.task], timeout=PATIENCE_S)
        must(bool(done), f"run() had not ended {PATIENCE_S:g} s after it was cancelled")
        must(self.task.cancelled(), "run() swallowed its cancellation")


def must(true: bool, sentence: str) -> None:
    """Raise :class:`ConformanceError` with the sentence unless it is true."""
    if not true:
        raise ConformanceError(sentence)


@contextlib.asynccontextmanager
async def running(device: Device, *, started: bool = True, behind: bool = False) -> AsyncIterator[Run]:
    """Start device and driver; both are ended afterwards.

    Args:
        device: the other side.
        started: False leaves the device silent: nobody listens.
        behind: True starts with a database that is behind.
    """
    sink, clock = Recorder(), SystemClock()
    if behind:
        sink.keeps_up.clear()
    if started:
        await device.start()
    try:
        driver = device.make(sink, clock)
        sink.task = task = asyncio.create_task(driver.run())
        try:
            yield Run(device, driver, sink, task)
            must(not task.done() or task.cancelled(), f"run() ended by itself: {how_ended(task)}")
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE_S)
    finally:
        await device.stop()


def how_ended(task: asyncio.Task[None] | None) -> str:
    """The fault a driver ended with, for a sentence."""
    return repr(task.exception()) if task is not None and task.done() and not task.cancelled() else "no fault"
