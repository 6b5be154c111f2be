"""The one interface of every front-end driver (IEC 104, Modbus, OPC UA, a user's own).

A driver is one file: it owns the connection of one channel, turns wire values into :class:`~scada.core.batch.PointBatch` and
commands into wire messages. It knows nothing of the database. Protocol logic that can be pure is pure and stands beside it; the
driver itself runs as one task on the wire loop (asyncio) and never blocks it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import ClassVar, Protocol

from scada.core.batch import PointBatch
from scada.core.clock import Clock
from scada.model_cim.tables import ChannelSpec, Control, Point


class LinkState(Enum):
    """State of a channel's connection."""

    DOWN = "down"
    CONNECTING = "connecting"
    STANDBY = "standby"
    """Connected, data transfer stopped (IEC 104 STOPDT)."""
    UP = "up"
    """Data flows."""
    QUARANTINED = "quarantined"
    """Taken out by an operator or after repeated faults."""


class Outcome(Enum):
    """How one step of a command ended on the wire."""

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    """The station answered no; ``reason`` says how."""
    TIMEOUT = "timeout"
    LINK_DOWN = "link_down"
    """Not sent: the channel was down. Nothing is repeated after reconnect."""
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """Answer to one step of a command."""

    outcome: Outcome
    reason: str = ""


@dataclass(slots=True)
class ChannelStatistics:
    """Counters a driver keeps; read by metrics and the links page. Plain integers, written by the driver only."""

    frames_in: int = 0
    frames_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    values_in: int = 0
    unknown_addresses: int = 0
    """Values whose address the model does not know (dropped, counted, first of each logged)."""
    malformed: int = 0
    connects: int = 0
    disconnects: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=10))
    """(time ns UTC, reason) of the last ten."""
    round_trip_s: float = float("nan")
    last_receive_ns: int = 0
    lost_frames: int = 0
    """Frames that were missing by their numbers, or requests that nobody answered."""
    duplicates: int = 0
    """Values that came once more after a switch of links, and were left out."""
    switches: int = 0
    """Times another link took over."""
    clock_skew_s: float = float("nan")
    """What the station's clock was ahead of ours when it last said; NaN = never."""
    tests: int = 0
    """Values under test that were left out."""
    refused: int = 0
    """Messages that are whole and say nothing we take: an unsupported type, a cause no value has, an answer to another master."""
    distrusted_times: int = 0
    """Time stamps that cannot be, in whose place the time of reception stands."""
    late_values: int = 0
    """Values that were older than the present one of their point: kept under their own time."""


@dataclass(frozen=True, slots=True)
class LinkReport:
    """One connection of a channel, as a status page shows it.

    Attributes:
        name: ``A``, ``B`` ...; empty where a channel has only one.
        endpoint: ``host:port``, or the serial port.
        state: of this connection.
        reason: one clear sentence.
        since_ns: ns UTC of the last change of state.
    """

    name: str
    endpoint: str
    state: LinkState
    reason: str
    since_ns: int


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame on the wire, decoded beside its octets.

    Attributes:
        data: the octets, from first to last.
        text: one line of what they say; empty = not decoded.
    """

    data: bytes
    text: str = ""


class Describer:
    """Turns what was read and written into decoded frames, for diagnosis; one a connection: each direction keeps its rest.

    A live trace splits on the wire loop (:meth:`split`, :meth:`only_values`: cheap) and decodes what a reader takes
    (:meth:`describe`) elsewhere, with another describer.
    """

    def split(self, data: bytes, *, received: bool) -> list[bytes]:
        """Whole frames of what was read or written so far, not decoded. Without a describer of its protocol: as they came."""
        del received
        return [data]

    def only_values(self, frame: bytes, *, received: bool) -> bool:
        """True if a whole frame carries nothing but values, which a reader may want left out."""
        del frame, received
        return False

    def feed(self, data: bytes, *, received: bool) -> list[Frame]:
        """Octets of one read or write; whole frames come out. Without a describer of its protocol: as they came."""
        del received
        return [Frame(data)]

    def describe(self, frame: bytes, *, received: bool) -> list[Frame]:
        """What :meth:`split` gave, decoded. Override it with ``split``: what is no frame must not wait here for its rest."""
        return self.feed(frame, received=received)


Tee = Callable[[str, bool, int, bytes], None]
"""Told of everything on the wire: (name of the link, True = received, ns UTC, octets). On the wire loop; must not block.

No octets: the connection of this link has ended.
"""


class Sink(Protocol):
    """What a driver reports to. All calls come from the wire loop."""

    def deliver(self, batch: PointBatch) -> None:
        """Hand values on. May be called with SOE and analogs mixed, in wire order."""
        ...

    async def ready(self) -> None:
        """Return once more may be read: the database is not behind (back-pressure), and delivered status changes are committed.

        A driver whose protocol acknowledges (IEC 104 S-frames) acknowledges after this, so that no event is lost between the
        station's buffer and the database.
        """
        ...

    def state(self, state: LinkState, reason: str) -> None:
        """The connection changed state; ``reason`` is one clear sentence."""
        ...

    def notice(self, kind: str, text: str) -> None:
        """Something an operator or engineer should read once (malformed frame, unknown address, refused clock sync ...).

        ``kind`` is a short snake_case key for grouping and rate limiting.
        """
        ...


class Driver(ABC):
    """One channel's protocol.

    Args:
        spec: where and how to connect.
        points: the points this channel feeds.
        controls: the controls it carries.
        sink: where values and states go.
        clock: for stamps and time-outs (``real_delay`` before handing seconds to asyncio).
    """

    heard: ClassVar[bool] = True
    """What passes is handed to :attr:`tee`; False = this channel can be neither traced nor recorded."""

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        self.spec = spec
        self.points = points
        self.controls = controls
        self.sink = sink
        self.clock = clock
        self.statistics = ChannelStatistics()
        self.tee: Tee | None = None
        """Who listens on the wire; None = nobody. Set and taken away on the wire loop."""

    @classmethod
    def check_address(cls, address: str) -> str:
        """What is wrong with an ``sc:RemotePoint.address`` of this protocol, in one sentence without a subject; empty = nothing.

        Asked by the model check, for drivers whose points have a :class:`~scada.model_cim.addresses.PlainAddress`. Cheap, and
        without a connection: what only the station knows is found in operation (``unknown_addresses``).
        """
        del address
        return ""

    @abstractmethod
    async def run(self) -> None:
        """Connect, serve, reconnect with back-off, for ever; ends only by cancellation, closing its connection cleanly."""

    @abstractmethod
    async def select(self, control: Control, value: float) -> CommandResult:
        """Preset a control that has ``select``; returns when the station checked back, refused or timed out."""

    @abstractmethod
    async def execute(self, control: Control, value: float) -> CommandResult:
        """Operate; returns at the station's confirmation. The feedback is watched by the control path, not here."""

    @abstractmethod
    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Withdraw a selection."""

    def rebind(self, points: Sequence[Point], controls: Sequence[Control]) -> bool:
        """Feed other points and carry other controls from now on, over the connection that stands.

        Called on the wire loop, between two messages of the station. A driver that overrides it keeps its connection, its numbers
        and what is under way, and asks for the present values afterwards as after a start.

        Returns:
            False if it cannot: nothing has changed then, and a new driver is made instead.
        """
        del points, controls
        return False

    async def interrogate(self) -> CommandResult:
        """Ask for every value now (IEC 104 general interrogation; a full scan elsewhere)."""
        return CommandResult(Outcome.UNSUPPORTED)

    async def synchronise_clock(self) -> CommandResult:
        """Send the station our time, where the protocol can."""
        return CommandResult(Outcome.UNSUPPORTED)

    orders: ClassVar[tuple[str, ...]] = ()
    """Names that :meth:`order` knows, besides interrogation and clock synchronisation."""

    async def order(self, name: str, arguments: Mapping[str, str]) -> CommandResult:
        """Carry out what only this protocol knows (IEC 104: ``read_counters``, ``reset_process``, ``test`` ...).

        Args:
            name: one of :attr:`orders`.
            arguments: by name, as text; a missing one has its default, a wrong one is refused with the reason.
        """
        del arguments
        return CommandResult(Outcome.UNSUPPORTED, f"{self.spec.protocol} has no order {name!r}")

    def links(self) -> Sequence[LinkReport]:
        """The connections of a channel that has several; empty where the channel's own state says it all."""
        return ()

    async def switch(self, link: str = "") -> CommandResult:
        """Let another link take over; without a name the best one that stands by."""
        del link
        return CommandResult(Outcome.UNSUPPORTED, f"channel {self.spec.name} has only one link")

    def in_force(self) -> Mapping[str, float | str]:
        """Parameters in force by name: those of the channel, and the defaults where the driver tells them."""
        return self.spec.params

    def describer(self) -> Describer:
        """A decoder of this protocol's frames for a page or a terminal."""
        return Describer()
