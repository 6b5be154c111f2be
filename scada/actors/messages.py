"""Messages between actors: frozen, typed, arrays read-only once sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.actors.mailbox import Message
from scada.actors.tracing import TraceHub
from scada.control.records import ControlReply, Principal, ProgrammeStep
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


# ------------------------------------------------------------------ control and applications


@dataclass(frozen=True, slots=True)
class StepAsked(Message):
    """One step of a control sequence from a face; ``reply`` is called with how it stands."""

    request: pb.SelectRequest | pb.ConfirmRequest | pb.ExecuteRequest | pb.CancelRequest | pb.AdjustRequest
    principal: Principal
    evidence: bytes
    reply: Callable[[ControlReply], None]


@dataclass(frozen=True, slots=True)
class SequencesAsked(Message):
    """Ask: sequences under way, and those that ended last (a list of :class:`~scada.control.records.SequenceView`)."""

    station: str
    """Empty = all."""
    ended: bool


@dataclass(frozen=True, slots=True)
class InterlocksAsked(Message):
    """Ask: what :meth:`scada.control.desk.ControlDesk.check` says of a control and a value now."""

    control: str
    value: float


@dataclass(frozen=True, slots=True)
class FollowedReply:
    """A ``reply`` whose owner also wants to know that the execute was sent and not refused, before its result.

    ``under_way`` is called, at most once and before the reply, if the station confirmed or, in time, said nothing.
    """

    result: Callable[[ControlReply], None]
    under_way: Callable[[ControlReply], None]

    def __call__(self, reply: ControlReply) -> None:
        """The result."""
        self.result(reply)


@dataclass(frozen=True, slots=True)
class TelecontrolSelect(Message):
    """A select by an upstream master, whom no device number was shown; ``reply`` is called at check-back.

    Its execute and cancel are :class:`StepAsked`.
    """

    cid: int
    value: float
    principal: Principal
    evidence: bytes
    reply: Callable[[ControlReply], None]


@dataclass(frozen=True, slots=True)
class ProgrammeSelect(Message):
    """A select by a run of a programme; ``reply`` is called at check-back. Its execute and cancel are :class:`StepAsked`."""

    control: str
    """mRID."""
    value: float
    principal: Principal
    step: ProgrammeStep
    emergency: str
    """Reason of a run without the second person, else empty."""
    reply: Callable[[ControlReply], None]


@dataclass(frozen=True, slots=True)
class ProgrammeAsked(Message):
    """Ask: an order on programmes; the reply is a ProgrammeReply."""

    request: pb.SaveProgrammeRequest | pb.StartProgrammeRequest | pb.ConfirmProgrammeRequest | pb.ProgrammeCommand
    principal: Principal
    evidence: bytes


@dataclass(frozen=True, slots=True)
class ProgrammesRead(Message):
    """Ask: programmes, one of them or None, or runs; the reply is a ProgrammeList, a Programme or a RunList."""

    request: pb.ListProgrammesRequest | pb.GetProgrammeRequest | pb.ListRunsRequest


@dataclass(frozen=True, slots=True)
class DirectControl(Message):
    """A control by an application with standing rights (AGC, AVC); ``reply`` is called with how it ended."""

    cid: int
    value: float
    principal: Principal
    why: str
    reply: Callable[[ControlReply], None]


@dataclass(frozen=True, slots=True)
class DirectDone(Message):
    """An application tells itself how one of its controls ended."""

    cid: int
    reply: ControlReply


@dataclass(frozen=True, slots=True)
class StepAnswered(Message):
    """The driver answered a step of a sequence."""

    sequence_id: str
    step: str
    result: CommandResult


@dataclass(frozen=True, slots=True)
class OperatorAsked(Message):
    """Ask: hold or release a point, place a tag or a note, remove one; the reply is a MarkReply."""

    request: pb.HoldRequest | pb.ReleaseRequest | pb.TagRequest | pb.NoteRequest | pb.RemoveRequest
    principal: Principal
    evidence: bytes


@dataclass(frozen=True, slots=True)
class TagsChanged(Message):
    """The points whose alarms are set aside by tags from now on, all of them: mRID of the point -> the tag in one sentence."""

    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SetState(Message):
    """Ask: switch an application on or off, or change a unit's mode; the reply is a ModeReply."""

    request: pb.SetModeRequest
    principal: Principal


@dataclass(frozen=True, slots=True)
class ExplainAsked(Message):
    """Ask AGC or AVC: why a unit, source or device was told what it was told; the reply is an Explanation, or None."""

    mrid: str


@dataclass(frozen=True, slots=True)
class SetInterchange(Message):
    """From dispatch to AGC: net scheduled interchange of an area in MW (export positive)."""

    coalesce: ClassVar[bool] = True
    area: str
    mw: float
    source: str = ""
    """Whose word it is: order and sender; empty = a plan."""

    def coalesce_key(self) -> object:
        """The newest for each area."""
        return self.area


@dataclass(frozen=True, slots=True)
class SetBasePoint(Message):
    """From a dispatch schedule to AGC: base point of a unit (mRID) in MW."""

    coalesce: ClassVar[bool] = True
    unit: str
    mw: float
    source: str = ""

    def coalesce_key(self) -> object:
        """The newest for each unit."""
        return self.unit


@dataclass(frozen=True, slots=True)
class SetUnitLimits(Message):
    """From dispatch to AGC: a unit (mRID) stays between these, MW; infinite = as the model says."""

    coalesce: ClassVar[bool] = True
    unit: str
    low: float
    high: float
    source: str = ""

    def coalesce_key(self) -> object:
        """The newest for each unit."""
        return self.unit


DispatchRequest = (
    pb.AreaSetpoint | pb.Schedule | pb.ScheduleEdit | pb.ModeOrder | pb.WithdrawOrder | pb.OrderDecision | pb.GetOrderRequest
)


@dataclass(frozen=True, slots=True)
class DispatchAsked(Message):
    """Ask: an order of dispatch, or of an operator about one; the reply is a DispatchReply.

    ``reply`` is called with it instead where the sender is an actor that must not wait.
    """

    request: DispatchRequest
    principal: Principal
    reply: Callable[[pb.DispatchReply], None] | None = None


@dataclass(frozen=True, slots=True)
class DispatchHeard(Message):
    """Something was heard of a dispatcher, or its link went down."""

    sender: str
    gone: bool = False


@dataclass(frozen=True, slots=True)
class ModeChanged(Message):
    """An operator changed a mode: what dispatch ordered of it is over."""

    request: pb.SetModeRequest
    user: str


@dataclass(frozen=True, slots=True)
class PlansAsked(Message):
    """Ask: versions of plans; the reply is a ScheduleList, or a ScheduleVersion or None."""

    request: pb.ListSchedulesRequest | pb.GetScheduleRequest


@dataclass(frozen=True, slots=True)
class HistoryAsked(Message):
    """A query, late values, or how the history stands; ``reply`` is called with the answer, or with the fault."""

    request: pb.HistoryRequest | pb.BackfillRequest | pb.HistoryStatusRequest
    reply: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class ReplayAsked(Message):
    """Ask: start or command a replay; the reply is a ReplayState."""

    action: str
    request: pb.ReplayRequest | pb.ReplayCommand
