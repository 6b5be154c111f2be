"""Messages of control and of the applications: what faces, dispatch and operators ask, and what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from scadapb.v1 import scada_pb2 as pb

from scada.actors.mailbox import Message
from scada.control.records import ControlReply, ModeReply, Principal, ProgrammeStep
from scada.protocols.driver import CommandResult

if TYPE_CHECKING:
    pass


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
class ModeAnswered(Message):
    """AGC or AVC says what became of a mode that dispatch ordered; ``reply`` is None where it failed over it."""

    number: int
    """Of the question."""
    reply: ModeReply | None


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

    ``reply`` is called with it instead, once it is known: of a mode when AGC or AVC has said whether it takes it.
    """

    request: DispatchRequest
    principal: Principal
    reply: Callable[[pb.DispatchReply], None] | None = None


@dataclass(frozen=True, slots=True)
class SetpointTurnedDown(Message):
    """An upstream station refused a set-point for its time tag; it is shown among the orders and acts nowhere."""

    request: pb.AreaSetpoint
    sender: str
    code: str
    reason: str


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
