"""Messages between actors: frozen, typed, arrays read-only once sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.actors.mailbox import Message
from scada.actors.tracing import TraceHub
from scada.core.batch import PointBatch
from scada.events.records import Event
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import CommandResult, LinkState
from scada.rtdb.changes import ChangeSet

if TYPE_CHECKING:
    from scada.actors.base import Address
    from scada.actors.generation import Generation
    from scada.apps.calc.graph import CalcGraph
    from scada.events.alarms import AlarmEngine
    from scada.rtdb.store import Reserve

# ------------------------------------------------------------------ database


@dataclass(frozen=True, slots=True)
class Apply(Message):
    """Values for the database. ``done`` is called once they are committed (back-pressure of the wire).

    ``durable``: there are status changes among them, so ``done`` waits for the journal too: it lets a station forget them.
    """

    data_lane: ClassVar[bool] = True
    batches: Sequence[PointBatch]
    done: Callable[[], None] | None = None
    durable: bool = False


@dataclass(frozen=True, slots=True)
class ApplyDerived(Message):
    """Values made here (calculations, topology, AGC); in the control lane, so that a follower never waits to send it."""

    batch: PointBatch


@dataclass(frozen=True, slots=True)
class MarkQuality(Message):
    """Set and clear quality bits of many points in one vectorised update (a channel went down or came back).

    In the data lane: it must not overtake the values that were received before it.
    """

    data_lane: ClassVar[bool] = True
    pids: npt.NDArray[np.uint32]
    set_bits: int = 0
    clear_bits: int = 0


@dataclass(frozen=True, slots=True)
class Hold(Message):
    """Ask: an operator substitutes (``value``) or blocks (None) a point; the reply, after the commit, is False if there is none.

    In the control lane. What waits in the data lane goes to the shadow, like all that follows.
    """

    pid: int
    value: float | None


@dataclass(frozen=True, slots=True)
class Release(Message):
    """Ask: a held point shows again what its source says; the reply, after the commit, is False if nobody holds it."""

    pid: int


@dataclass(frozen=True, slots=True)
class Checkpoint(Message):
    """Time to checkpoint."""

    coalesce: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class Changed(Message):
    """A committed change set, to every follower, in order."""

    data_lane: ClassVar[bool] = True
    read_anew: ClassVar[bool] = True
    changes: ChangeSet


@dataclass(frozen=True, slots=True)
class ModelChanged(Message):
    """Ask: another version of the model runs. To followers of the database it comes between the change sets, in order.

    What was made of the version aside is handed over with it: the receiver alone uses it from then on.
    """

    data_lane: ClassVar[bool] = True
    generation: Generation
    alarms: AlarmEngine
    calculation: CalcGraph


@dataclass(frozen=True, slots=True)
class Grow(Message):
    """Ask: make room for the points of another model version, and let it take over between two commits.

    The reply is ``(ns in which no commit was possible, answers of the followers)``.
    """

    reserve: Reserve | None
    """Memory for the larger image; None = it need not grow."""
    changed: ModelChanged
    take_over: Callable[[], Sequence[Address]]
    """Lets the version be the one that runs; returns the actors that read along before the followers."""


@dataclass(frozen=True, slots=True)
class ReserveControls(Message):
    """Ask: from now on refuse these controls, because the model changes them, and withdraw what is selected on them.

    The reply is ``(how many were withdrawn, how many are still being executed)``; it may be asked again.
    """

    cids: frozenset[int]


@dataclass(frozen=True, slots=True)
class AdoptControls(Message):
    """Ask: the channels carry the controls of another model version: decide by it, and refuse nothing because of the change."""

    generation: Generation


@dataclass(frozen=True, slots=True)
class ShowAgain(Message):
    """Send the present results of these points once more, though they are the same: another source wrote over them."""

    pids: Sequence[int]


@dataclass(frozen=True, slots=True)
class FellBehind(Message):
    """Change sets found the mailbox full and were left out: read them from the journal."""

    coalesce: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class FollowChanges(Message):
    """Ask: call ``listener`` with every change set after the replied sequence number, from the database's thread."""

    listener: Callable[[ChangeSet], None]


@dataclass(frozen=True, slots=True)
class UnfollowChanges(Message):
    """Stop calling ``listener``."""

    listener: Callable[[ChangeSet], None]


# ------------------------------------------------------------------ events


@dataclass(frozen=True, slots=True)
class FollowEvents(Message):
    """Ask: call ``listener`` with every stored event after the replied id, from the event actor's thread."""

    listener: Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class UnfollowEvents(Message):
    """Stop calling ``listener``."""

    listener: Callable[[Sequence[Event]], None]


@dataclass(frozen=True, slots=True)
class Report(Message):
    """Events somebody noticed; the event actor numbers, stores and publishes them."""

    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class ChannelState(Message):
    """A channel's connection changed; raises or returns its alarm."""

    name: str
    mrid: str
    station: str
    up: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Acknowledge(Message):
    """Ask: acknowledge exactly these alarms; the reply is (acknowledged, unknown)."""

    alarm_ids: Sequence[int]
    user: str
    seen: int = 0
    """Last event the user had seen, 0 = not said; an alarm raised again after it stays unacknowledged."""


@dataclass(frozen=True, slots=True)
class AccidentsSeen(Message):
    """Stored events among which there are alarms of the class accident: what stands around them is to be captured."""

    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Suppress(Message):
    """Ask: shelve alarms or take them back, take them out of service or back; the reply is an ``AlarmReply``."""

    request: pb.ShelveRequest | pb.UnshelveRequest | pb.AlarmServiceRequest
    user: str


@dataclass(frozen=True, slots=True)
class Tick(Message):
    """A timer's beat; missed ones coalesce."""

    coalesce: ClassVar[bool] = True
    name: str = ""

    def coalesce_key(self) -> object:
        """Beats of different timers stay apart."""
        return self.name


# ------------------------------------------------------------------ channels


@dataclass(frozen=True, slots=True)
class LinkChanged(Message):
    """The driver reports its connection's state."""

    state: LinkState
    reason: str


@dataclass(frozen=True, slots=True)
class DriverEnded(Message):
    """The driver's task ended though nobody stopped it."""

    reason: str


def no_reply(result: CommandResult) -> None:
    """For who does not wait for the end of an order."""
    del result


@dataclass(frozen=True, slots=True)
class ChannelAction(Message):
    """An action of ``pb.ChannelCommand``; ``reply`` is called, from any thread, with how it ended."""

    action: str
    user: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    reply: Callable[[CommandResult], None] = no_reply


@dataclass(frozen=True, slots=True)
class Record(Message):
    """Record a channel from now on, at most so long and so much (0 = as configured)."""

    spec: ChannelSpec
    hub: TraceHub
    connected: bool
    """The channel runs: there is something to record."""
    minutes: float
    mb: float
    user: str
    reply: Callable[[CommandResult], None] = no_reply


@dataclass(frozen=True, slots=True)
class Rebind(Message):
    """Ask: the channel feeds other points or carries other controls, or is elsewhere.

    The reply is True if its connection stays.
    """

    spec: ChannelSpec
    points: Sequence[Point]
    controls: Sequence[Control]
    moved: npt.NDArray[np.uint32]
    """Points whose last value is not of their source as it is now: not topical until it sends."""
    elsewhere: bool
    """True: the connection is to be made anew, whatever the driver can do."""


@dataclass(frozen=True, slots=True)
class RecordedChannels(Message):
    """The channels that are always recorded, and the version of the model, from now on; others that are gone end."""

    always: Sequence[tuple[ChannelSpec, TraceHub]]
    model: str
    gone: Sequence[str]


@dataclass(frozen=True, slots=True)
class StopRecording(Message):
    """End the recording of a channel."""

    channel: str
    user: str
    reply: Callable[[CommandResult], None] = no_reply


@dataclass(frozen=True, slots=True)
class Operate(Message):
    """One step of a command for a channel's driver; ``reply`` is called (from the wire loop) with the result."""

    step: str
    """``select``, ``execute`` or ``cancel``."""
    control: Control
    """As whoever decided knows it: a driver that reaches it otherwise, by another version of the model, does nothing."""
    value: float
    reply: Callable[[CommandResult], None]
