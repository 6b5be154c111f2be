"""What the faces may ask of the running server: the one seam between floor 5 and the actors.

The gRPC services are written against it; ``scada.actors.system.System`` implements it over the actors, tests over tables.
Methods without ``async`` never block and may be called from any thread; listeners are called from the owner's thread and must
only hand over (e.g. ``loop.call_soon_threadsafe``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.actors.audit_desk import AuditDesk
from scada.actors.engineering import Engineering
from scada.actors.performance_desk import PerformanceDesk
from scada.actors.tracing import TraceQueue
from scada.control.interlocks import Finding
from scada.control.operator_data import MarkReading, MarkReply
from scada.control.records import ControlReply, ModeReply, Principal, SequenceView
from scada.core.clock import Clock
from scada.core.control_settings import TwoPersonRule
from scada.events.recall import Recall, RecallInfo
from scada.events.records import Alarm, Event, Suppression
from scada.model_cim.objects import PlantObjects
from scada.model_cim.tables import ModelTables
from scada.rtdb.changes import ChangeSet, Snapshot
from scada.security.audit import AuditRow

Unsubscribe = Callable[[], None]


class Backend(Protocol):
    """A running server as its faces see it."""

    site: str
    clock: Clock
    engineering: Engineering
    performance: PerformanceDesk
    audit: AuditDesk

    @property
    def tables(self) -> ModelTables:
        """Of the model version that runs; another object after a swap."""
        ...

    @property
    def objects(self) -> PlantObjects:
        """Objects of the model version that runs."""
        ...

    # values
    def snapshot(self, pids: npt.NDArray[np.uint32] | None = None) -> Snapshot:
        """All points or the asked ones, consistent as of one number."""
        ...

    def on_changes(self, listener: Callable[[ChangeSet], None]) -> tuple[int, Unsubscribe]:
        """Call ``listener`` with every change set after the returned sequence number, in order, without a gap."""
        ...

    # events
    def alarms(self) -> tuple[Sequence[Alarm], int]:
        """Present alarms and the id of the last event they include."""
        ...

    def events(
        self, *, after_id: int = 0, from_ns: int = 0, to_ns: int = 0, kinds: Sequence[int] = (), limit: int = 1000
    ) -> Sequence[Event]:
        """Stored events: after an id in ascending order, or the newest ``limit`` of a span, newest first."""
        ...

    def on_events(self, listener: Callable[[Sequence[Event]], None]) -> tuple[int, Unsubscribe]:
        """Call ``listener`` with every event after the returned event id, once stored, in order."""
        ...

    def report(self, event: Event) -> None:
        """Store an event a face noticed (a refused message, a login)."""
        ...

    async def acknowledge(self, alarm_ids: Sequence[int], principal: Principal, *, seen: int = 0) -> tuple[list[int], list[int]]:
        """Acknowledge exactly these; returns (acknowledged, unknown).

        ``seen``: the last event the principal had seen, 0 = not said; an alarm raised again after it is unknown.
        """
        ...

    async def events_page(self, request: pb.ListEventsRequest, limit: int) -> Sequence[Event]:
        """Stored events by all that the request names, at most ``limit``."""
        ...

    def suppressions(self) -> Sequence[Suppression]:
        """Alarms shelved, suppressed by design, out of service or inhibited by a tag, oldest first."""
        ...

    async def suppress(
        self, request: pb.ShelveRequest | pb.UnshelveRequest | pb.AlarmServiceRequest, principal: Principal, evidence: bytes
    ) -> pb.AlarmReply:
        """Shelve alarms or take them back, take them out of service or back; audited before it acts."""
        ...

    async def alarm_kpi(self, request: pb.AlarmKpiRequest) -> pb.AlarmKpi:
        """Figures of EEMUA 191 over a span of the event log."""
        ...

    async def recall(self, request: pb.RecallRequest) -> Recall:
        """Everything around a time."""
        ...

    async def recalls(self) -> Sequence[RecallInfo]:
        """Disturbances captured by themselves, newest first."""
        ...

    # control; the envelope is stored in the audit log as evidence before anything acts
    async def select(self, request: pb.SelectRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Check rights, tags and interlocks, preset, and return at check-back."""
        ...

    async def confirm_control(self, request: pb.ConfirmRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """The guardian's word on a selection: yes, or no, which withdraws it."""
        ...

    async def execute(self, request: pb.ExecuteRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Operate a selected sequence; returns when the feedback followed or failed to."""
        ...

    async def cancel(self, request: pb.CancelRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Withdraw a sequence in any state before execution."""
        ...

    async def adjust(self, request: pb.AdjustRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Raise or lower; returns with the result."""
        ...

    async def sequences(self, station: str = "", *, ended: bool = False) -> Sequence[SequenceView]:
        """Sequences under way, oldest first, and the last that ended if asked; of one station, or of all."""
        ...

    async def check_interlocks(self, control: str, value: float) -> tuple[Sequence[Finding], str]:
        """What forbids a control (mRID) to a value now, and on which substituted positions that rests."""
        ...

    async def set_mode(self, request: pb.SetModeRequest, principal: Principal, evidence: bytes) -> ModeReply:
        """AGC and AVC on/off, unit modes, channel commands."""
        ...

    # programmes
    async def programmes(self, request: pb.ListProgrammesRequest | pb.GetProgrammeRequest | pb.ListRunsRequest) -> Any:
        """A ProgrammeList, a Programme (None if there is none) or a RunList."""
        ...

    async def programme_order(
        self,
        request: pb.SaveProgrammeRequest | pb.StartProgrammeRequest | pb.ConfirmProgrammeRequest | pb.ProgrammeCommand,
        principal: Principal,
        evidence: bytes,
    ) -> pb.ProgrammeReply:
        """Save a version, start, confirm or command a run; the envelope is in the audit log before anything acts."""
        ...

    # operator data; the envelope is stored in the audit log before anything is held, tagged or noted
    async def hold_point(self, request: pb.HoldRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Substitute a point's value or block the point."""
        ...

    async def release_point(self, request: pb.ReleaseRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Show what the point's source says again."""
        ...

    async def place_tag(self, request: pb.TagRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Hang a tag on an object."""
        ...

    async def add_note(self, request: pb.NoteRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Write a note to an object."""
        ...

    async def remove_mark(self, request: pb.RemoveRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Take down a tag or remove a note."""
        ...

    def operator_marks(self, station: str = "") -> Sequence[MarkReading]:
        """Marks of a station (empty = all), the oldest first."""
        ...

    # applications
    def status(self) -> pb.SystemStatus:
        """The overview."""
        ...

    def agc(self, area: str = "") -> pb.AgcStatus:
        """AGC of a controlled area (empty = the first), as of its last cycle."""
        ...

    def avc(self) -> pb.AvcStatus:
        """AVC, as of its last cycle."""
        ...

    async def what_if(self, request: pb.WhatIfRequest) -> pb.WhatIfReply:
        """Recorded cycles run again, with other parameters beside.

        Raises:
            ScadaError: nothing is recorded, a parameter that does not exist, or another one runs.
        """
        ...

    async def explain(self, mrid: str) -> pb.Explanation | None:
        """Why a unit, source or device was told what it was told; None = under neither AGC nor AVC."""
        ...

    async def dispatch_setpoint(self, request: pb.AreaSetpoint, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream set-point."""
        ...

    async def dispatch_schedule(self, request: pb.Schedule, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream schedule."""
        ...

    async def edit_schedule(self, request: pb.ScheduleEdit, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """A change of a plan by an operator."""
        ...

    async def dispatch_order(
        self,
        request: pb.ModeOrder | pb.WithdrawOrder | pb.OrderDecision | pb.GetOrderRequest,
        principal: Principal,
        evidence: bytes,
    ) -> pb.DispatchReply:
        """A mode, limits, a withdrawal, a decision, or the question what became of an order."""
        ...

    def dispatch_heard(self, principal: Principal) -> None:
        """A dispatcher asked something: it is there."""
        ...

    async def list_schedules(self, request: pb.ListSchedulesRequest) -> pb.ScheduleList:
        """Versions of plans and what may have one."""
        ...

    async def get_schedule(self, request: pb.GetScheduleRequest) -> pb.ScheduleVersion | None:
        """Points of a version; None = there is none."""
        ...

    def dispatch(self) -> pb.DispatchStatus:
        """What dispatch asked and what became of it."""
        ...

    # rights
    @property
    def two_person(self) -> Sequence[TwoPersonRule]:
        """Which controls need a guardian; the first rule that matches decides."""
        ...

    def record(self, row: AuditRow) -> None:
        """Write a row to the audit log; it is on disk on return. Waits for the disk: never call it on an event loop.

        Raises:
            ScadaError: it could not be written; what it precedes must not be done.
        """
        ...

    # history, replay, diagrams
    async def history(self, request: pb.HistoryRequest) -> pb.HistoryReply:
        """Samples, min/max buckets, or aggregates by period."""
        ...

    async def backfill(self, request: pb.BackfillRequest, principal: Principal, evidence: bytes) -> pb.BackfillReply:
        """Store late values; audited before."""
        ...

    async def history_status(self) -> pb.HistoryStatus:
        """How the history stands."""
        ...

    # channels
    def channel(self, name: str) -> pb.ChannelDetail:
        """Everything that is known of a channel of the model."""
        ...

    def trace(self, name: str, *, values: bool) -> tuple[TraceQueue, Unsubscribe]:
        """Frames of a channel of the model from now on; with or without those that carry only values."""
        ...

    async def recordings(self) -> pb.RecordingList:
        """Recordings on disk, newest first."""
        ...

    def upstream(self) -> pb.UpstreamStatus:
        """Stations towards upstream dispatch."""
        ...

    async def replay(self, action: str, request: pb.ReplayRequest | pb.ReplayCommand) -> pb.ReplayState:
        """``start``, or a command to a running replay."""
        ...

    def replay_values(self, replay_id: str) -> pb.ReplayValues:
        """Values of an isolated replay."""
        ...

    def diagram(self, stem: str) -> tuple[str, str]:
        """(svg, metadata JSON) of a drawing that the tables name by its stem."""
        ...
