"""What the faces ask of the running system: :class:`scada.actors.backend.Backend` over the actors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.actors.answers import answer_of, answer_once_up, heard_of
from scada.actors.audit_desk import AuditDesk
from scada.actors.channel_detail import channel_detail
from scada.actors.channel_orders import ORDER_S
from scada.actors.engineering import Engineering
from scada.actors.explaining import explanation
from scada.actors.kpi import kpi_reply
from scada.actors.messages import (
    Acknowledge,
    ChannelAction,
    FollowChanges,
    FollowEvents,
    Report,
    Suppress,
    UnfollowChanges,
    UnfollowEvents,
)
from scada.actors.mode_orders import mode_rights, mode_row, outcome_row
from scada.actors.operator import COMMIT_S, mark_readings
from scada.actors.order_messages import (
    DispatchAsked,
    DispatchHeard,
    DispatchRequest,
    ExplainAsked,
    HistoryAsked,
    InterlocksAsked,
    ModeChanged,
    OperatorAsked,
    PlansAsked,
    ProgrammeAsked,
    ProgrammesRead,
    ReplayAsked,
    SequencesAsked,
    SetState,
    StepAsked,
)
from scada.actors.performance import AreaPerformance
from scada.actors.performance_desk import PerformanceDesk
from scada.actors.recordings import recordings_in
from scada.actors.system import System
from scada.actors.tracing import NOT_HEARD, TraceQueue
from scada.actors.what_if import WhatIfProcess
from scada.control.interlocks import Finding
from scada.control.operator_data import MarkReading, MarkReply
from scada.control.records import ControlReply, ModeReply, Principal, SequenceView
from scada.core.control_settings import TwoPersonRule
from scada.core.errors import ScadaError
from scada.events.log_index import Order, Query
from scada.events.recall import Recall, RecallInfo
from scada.events.records import Alarm, Event, Suppression
from scada.model_cim.objects import PlantObjects
from scada.model_cim.tables import ModelTables
from scada.protocols.driver import CommandResult, Describer, Outcome
from scada.rtdb.changes import ChangeSet, Snapshot
from scada.security.audit import AuditRow
from scada.security.roles import Right

READERS = 2
"""Queries of the event log that run at a time, and as many figures and recalls, which take longer."""
MARK_S = 2 * COMMIT_S
"""Longest wait for the answer to an order on operator data, which waits for the database's commit."""
CHANNEL_S = ORDER_S + 5.0
"""Longest wait for the end of an order to a channel."""
_STEPS = {pb.ScheduleEdit: "edit", pb.WithdrawOrder: "withdraw", pb.OrderDecision: "decide"}
"""Step of the audit row of an order to dispatch; every other one is an order."""
T = TypeVar("T")
Step = pb.SelectRequest | pb.ConfirmRequest | pb.ExecuteRequest | pb.CancelRequest | pb.AdjustRequest
SuppressOrder = pb.ShelveRequest | pb.UnshelveRequest | pb.AlarmServiceRequest
ProgrammeOrder = pb.SaveProgrammeRequest | pb.StartProgrammeRequest | pb.ConfirmProgrammeRequest | pb.ProgrammeCommand
MarkOrder = pb.HoldRequest | pb.ReleaseRequest | pb.TagRequest | pb.NoteRequest | pb.RemoveRequest


class Facade:
    """Implements :class:`scada.actors.backend.Backend`; translates calls into messages and decides nothing.

    Args:
        system: the actors.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.site = system.site
        self.clock = system.clock
        self.engineering = Engineering(system.model, system.running.store, system.model_view, system.settings.model)
        self.what_if = WhatIfProcess(system.settings.cycles.path).run
        self.performance = PerformanceDesk(
            system.stores.performance, system.rules, system.zone, system.settings.performance.period_minutes, system.clock
        )
        self.audit = AuditDesk(system.audit, system.clock)
        self._readers = ThreadPoolExecutor(READERS, "reading")
        self._analysts = ThreadPoolExecutor(READERS, "analysis")

    @property
    def tables(self) -> ModelTables:
        """The model that runs; another object after it was changed."""
        return self._system.tables

    @property
    def objects(self) -> PlantObjects:
        """Objects of the model version that runs."""
        return self._system.objects

    # ---------------------------------------------------------------- values

    def snapshot(self, pids: npt.NDArray[np.uint32] | None = None) -> Snapshot:
        """All points or the asked ones."""
        return self._system.store.snapshot(pids)

    def on_changes(self, listener: Callable[[ChangeSet], None]) -> tuple[int, Callable[[], None]]:
        """Follow the change sets after the returned number."""
        seq = answer_once_up(self._system.rtdb, FollowChanges(listener))
        return seq, lambda: self._system.rtdb.tell(UnfollowChanges(listener))

    def status(self) -> pb.SystemStatus:
        """The overview."""
        system = self._system
        return system.generation.report.make(
            self.clock.now_ns(),
            system.store.snapshot(),
            system.channel_views,
            system.alarm_view,
            system.supervisor.addresses(),
            system.agc_view.head(),
            system.avc_view.status,
        )

    # ---------------------------------------------------------------- events

    def alarms(self) -> tuple[Sequence[Alarm], int]:
        """Present alarms."""
        return self._system.alarm_view.read()

    def events(
        self, *, after_id: int = 0, from_ns: int = 0, to_ns: int = 0, kinds: Sequence[int] = (), limit: int = 1000
    ) -> Sequence[Event]:
        """Stored events."""
        return self._system.log.query(after_id=after_id, from_ns=from_ns, to_ns=to_ns, kinds=kinds, limit=limit)

    def on_events(self, listener: Callable[[Sequence[Event]], None]) -> tuple[int, Callable[[], None]]:
        """Follow the events after the returned id."""
        last = answer_once_up(self._system.events, FollowEvents(listener))
        return last, lambda: self._system.events.tell(UnfollowEvents(listener))

    def report(self, event: Event) -> None:
        """Store an event a face noticed."""
        self._system.events.tell(Report((event,)))

    async def acknowledge(self, alarm_ids: Sequence[int], principal: Principal, *, seen: int = 0) -> tuple[list[int], list[int]]:
        """Acknowledge exactly these."""
        answer: tuple[list[int], list[int]] = await answer_of(
            self._system.events, Acknowledge(tuple(alarm_ids), principal.name, seen)
        )
        return answer

    async def events_page(self, request: pb.ListEventsRequest, limit: int) -> Sequence[Event]:
        """Stored events by all that the request names."""
        order = Order.TIME if request.oldest_first else Order.NEWEST
        if request.source_order or request.after_id:
            order = Order.SOURCE if request.source_order else Order.NUMBER
        query = Query(
            order,
            after_id=request.after_id,
            from_ns=request.from_ns,
            to_ns=request.to_ns,
            kinds=frozenset(request.kinds),
            station=request.station,
            text=request.text,
            behind=request.behind,
        )
        return await self._read(self._readers, self._system.log.find, query, limit)

    def suppressions(self) -> Sequence[Suppression]:
        """Suppressions in force."""
        return self._system.alarm_view.suppressions

    async def suppress(self, request: SuppressOrder, principal: Principal, evidence: bytes) -> pb.AlarmReply:
        """Shelve, unshelve, take out of service or back; audited before it acts."""
        reason = "" if isinstance(request, pb.UnshelveRequest) else request.reason
        named = [f"{name.mrid} {name.key}".rstrip() for name in request.alarms]
        row = AuditRow(
            "alarm",
            _suppression_step(request),
            principal.name,
            principal.station,
            principal.session,
            mrid=request.alarms[0].mrid[:64] if len(named) == 1 else "",
            path="; ".join(named)[:1000],
            reason=reason[:1000],
            evidence=evidence,
        )
        await asyncio.to_thread(self._system.audit.append, row)
        reply: pb.AlarmReply = await answer_of(self._system.events, Suppress(request, principal.name))
        return reply

    async def alarm_kpi(self, request: pb.AlarmKpiRequest) -> pb.AlarmKpi:
        """Figures of a span."""
        log, view = self._system.log, self._system.alarm_view
        return await self._read(self._analysts, kpi_reply, log, view, request, self.clock.now_ns())

    async def recall(self, request: pb.RecallRequest) -> Recall:
        """Everything around a time."""
        return await self._read(self._analysts, self._system.recaller.find, request)

    async def recalls(self) -> Sequence[RecallInfo]:
        """Captured disturbances, newest first."""
        return await self._read(self._readers, self._system.recalls.listed)

    @staticmethod
    async def _read(threads: ThreadPoolExecutor, read: Callable[..., T], *arguments: Any) -> T:
        """Read in threads of their own: no order waits behind a reading, and no list behind an analysis."""
        return await asyncio.get_running_loop().run_in_executor(threads, read, *arguments)

    # ---------------------------------------------------------------- control

    async def select(self, request: pb.SelectRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Preset; returns at check-back."""
        return await self._step(request, principal, evidence)

    async def confirm_control(self, request: pb.ConfirmRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """The guardian's word."""
        return await self._step(request, principal, evidence)

    async def execute(self, request: pb.ExecuteRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Operate; returns with the result."""
        return await self._step(request, principal, evidence)

    async def cancel(self, request: pb.CancelRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Withdraw."""
        return await self._step(request, principal, evidence)

    async def adjust(self, request: pb.AdjustRequest, principal: Principal, evidence: bytes) -> ControlReply:
        """Raise or lower; returns with the result."""
        return await self._step(request, principal, evidence)

    async def sequences(self, station: str = "", *, ended: bool = False) -> Sequence[SequenceView]:
        """Sequences under way, and the last that ended if asked."""
        found: list[SequenceView] = await answer_of(self._system.control, SequencesAsked(station, ended))
        return found

    async def check_interlocks(self, control: str, value: float) -> tuple[Sequence[Finding], str]:
        """What forbids a control to a value now, and on which substituted positions that rests."""
        found: tuple[list[Finding], str] = await answer_of(self._system.control, InterlocksAsked(control, value))
        return found

    async def _step(self, request: Step, principal: Principal, evidence: bytes) -> ControlReply:
        answer: Future[ControlReply] = Future()
        self._system.control.tell(StepAsked(request, principal, evidence, _settle(answer)))
        return await asyncio.wrap_future(answer)

    async def set_mode(self, request: pb.SetModeRequest, principal: Principal, evidence: bytes) -> ModeReply:
        """AGC, AVC, a unit or a channel; audited before it acts."""
        target = request.WhichOneof("target")
        if target is None:
            return ModeReply(False, "invalid", "nothing was asked")
        if missing := mode_rights(request, self.tables) - principal.rights:
            return ModeReply(False, "no_right", f"{principal.name} does not have the right {', '.join(sorted(missing))}")
        row = mode_row(request, principal, self.tables, evidence)
        await asyncio.to_thread(self._system.audit.append, row)
        if target == "channel":
            return await self._channel(request.channel, principal)
        mrid = request.loop.mrid or request.unlock
        application = self._system.avc if target == "avc" or (mrid and not self._is_unit(mrid)) else self._system.agc
        reply: ModeReply = await answer_of(application, SetState(request, principal))
        if reply.accepted:
            self._system.dispatch.tell(ModeChanged(request, principal.name))
        await asyncio.to_thread(self._system.audit.append, outcome_row(row, reply))
        return reply

    def _is_unit(self, mrid: str) -> bool:
        return any(unit.mrid == mrid for area in self._system.tables.areas for unit in area.units)

    async def _channel(self, request: pb.ChannelCommand, principal: Principal) -> ModeReply:
        spec = next((view.spec for view in self._system.channel_views if view.spec.name == request.channel), None)
        if spec is None:
            names = ", ".join(view.spec.name for view in self._system.channel_views)
            return ModeReply(False, "unknown_channel", f"no channel {request.channel!r}; channels are {names}")
        result = await self._channel_order(spec.index, request, principal)
        done = AuditRow(
            "mode",
            "channel result",
            principal.name,
            principal.station,
            principal.session,
            path=spec.name,
            code=result.outcome.value,
            reason=f"{request.action}: {result.reason}"[:1000],
        )
        await asyncio.to_thread(self._system.audit.append, done)
        accepted = result.outcome is Outcome.CONFIRMED
        return ModeReply(accepted, "" if accepted else result.outcome.value, result.reason)

    async def _channel_order(self, index: int, request: pb.ChannelCommand, principal: Principal) -> CommandResult:
        """How the order ended; the wait is bounded, because its channel's actor may be down."""
        answer: Future[CommandResult] = Future()
        asked = ChannelAction(request.action, principal.name, dict(request.arguments), _settle(answer))
        self._system.channels[index].tell(asked)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(answer), CHANNEL_S)
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, f"no answer within {CHANNEL_S:g} s; what was asked may still be done")

    # ---------------------------------------------------------------- programmes

    async def programmes(self, request: pb.ListProgrammesRequest | pb.GetProgrammeRequest | pb.ListRunsRequest) -> Any:
        """Programmes, a version or None, runs."""
        return await answer_of(self._system.programmes, ProgrammesRead(request))

    async def programme_order(self, request: ProgrammeOrder, principal: Principal, evidence: bytes) -> pb.ProgrammeReply:
        """Save, start, confirm, command."""
        reply: pb.ProgrammeReply = await answer_of(self._system.programmes, ProgrammeAsked(request, principal, evidence))
        return reply

    # ---------------------------------------------------------------- channels

    def channel(self, name: str) -> pb.ChannelDetail:
        """Everything that is known of a channel."""
        view = next(view for view in self._system.channel_views if view.spec.name == name)
        status = self._system.generation.report.channel(view, self._system.store.snapshot())
        return channel_detail(view, status, self._system.recorder_view, self._system.path)

    def trace(self, name: str, *, values: bool) -> tuple[TraceQueue, Callable[[], None]]:
        """Frames of a channel from now on.

        Raises:
            ScadaError: its driver does not show them.
        """
        hub = self._system.hubs[name]
        if hub.deaf:
            raise ScadaError(NOT_HEARD, where=f"channel {name}")
        view = next(view for view in self._system.channel_views if view.spec.name == name)
        queue = TraceQueue(lambda: view.driver.describer() if view.driver is not None else Describer(), values=values)
        return queue, hub.listen(queue.put)

    async def recordings(self) -> pb.RecordingList:
        """Recordings on disk, newest first."""
        return await self._read(
            self._readers, recordings_in, self._system.settings.recording.path, self._system.recorder_view.running()
        )

    def upstream(self) -> pb.UpstreamStatus:
        """Stations towards upstream dispatch."""
        return self._system.upstreams.status()

    # ---------------------------------------------------------------- operator data

    async def hold_point(self, request: pb.HoldRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Substitute or block."""
        return await self._mark(request, principal, evidence)

    async def release_point(self, request: pb.ReleaseRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Show the source's value again."""
        return await self._mark(request, principal, evidence)

    async def place_tag(self, request: pb.TagRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Hang a tag."""
        return await self._mark(request, principal, evidence)

    async def add_note(self, request: pb.NoteRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Write a note."""
        return await self._mark(request, principal, evidence)

    async def remove_mark(self, request: pb.RemoveRequest, principal: Principal, evidence: bytes) -> MarkReply:
        """Take down a tag or remove a note."""
        return await self._mark(request, principal, evidence)

    async def _mark(self, request: MarkOrder, principal: Principal, evidence: bytes) -> MarkReply:
        reply: MarkReply = await answer_of(self._system.operator, OperatorAsked(request, principal, evidence), MARK_S)
        return reply

    def operator_marks(self, station: str = "") -> Sequence[MarkReading]:
        """Marks of a station; those that hold a value with what the point shows and what its source says."""
        system = self._system
        return mark_readings(system.operator_view.marks, system.objects, system.store, station)

    # ---------------------------------------------------------------- applications

    def agc(self, area: str = "") -> pb.AgcStatus:
        """AGC of a controlled area, with what dispatch asked."""
        status = pb.AgcStatus()
        status.CopyFrom(self._system.agc_view.of(area))
        status.dispatch.CopyFrom(self.dispatch())
        shown = self._system.performance_view.areas.get(status.area, AreaPerformance())
        status.performance.extend(shown.periods)
        status.performance_rules = shown.rules
        status.disturbances.extend(shown.disturbances)
        return status

    def avc(self) -> pb.AvcStatus:
        """AVC."""
        return self._system.avc_view.status

    async def explain(self, mrid: str) -> pb.Explanation | None:
        """Why a unit, source or device was told what it was told."""
        application = "agc" if self._is_unit(mrid) else "avc"
        address = self._system.agc if application == "agc" else self._system.avc
        found = await answer_of(address, ExplainAsked(mrid))
        return None if found is None else explanation(application, found)

    async def dispatch_setpoint(self, request: pb.AreaSetpoint, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream set-point."""
        return await self._order(request, principal, evidence, request.unit or request.area, request.interchange_mw)

    async def dispatch_schedule(self, request: pb.Schedule, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """Upstream schedule."""
        return await self._order(request, principal, evidence, request.unit or request.area, float("nan"))

    async def edit_schedule(self, request: pb.ScheduleEdit, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """A change of a plan by an operator."""
        return await self._order(request, principal, evidence, request.unit or request.area, float("nan"))

    async def dispatch_order(self, request: DispatchRequest, principal: Principal, evidence: bytes) -> pb.DispatchReply:
        """A mode, limits, a withdrawal, a decision, or the question what became of an order."""
        if isinstance(request, pb.GetOrderRequest):
            reply: pb.DispatchReply = await answer_of(self._system.dispatch, DispatchAsked(request, principal))
            return reply
        target = request.unit or request.area if isinstance(request, pb.ModeOrder) else ""
        return await self._order(request, principal, evidence, target, float("nan"))

    def dispatch_heard(self, principal: Principal) -> None:
        """A dispatcher asked something: it is there."""
        if Right.DISPATCH in principal.rights:
            self._system.dispatch.tell(DispatchHeard(principal.name))

    async def list_schedules(self, request: pb.ListSchedulesRequest) -> pb.ScheduleList:
        """Versions of plans and what may have one."""
        found: pb.ScheduleList = await answer_of(self._system.dispatch, PlansAsked(request))
        return found

    async def get_schedule(self, request: pb.GetScheduleRequest) -> pb.ScheduleVersion | None:
        """Points of a version; None = there is none."""
        found: pb.ScheduleVersion | None = await answer_of(self._system.dispatch, PlansAsked(request))
        return found

    async def _order(
        self,
        request: DispatchRequest,
        principal: Principal,
        evidence: bytes,
        target: str,
        mw: float,
    ) -> pb.DispatchReply:
        row = AuditRow(
            "dispatch",
            _STEPS.get(type(request), "order"),
            principal.name,
            principal.station,
            principal.session,
            request.order_id[:64],
            mrid=target[:64],
            value=mw,
            evidence=evidence,
        )
        await asyncio.to_thread(self._system.audit.append, row)
        known: Future[pb.DispatchReply] = Future()
        await answer_of(self._system.dispatch, DispatchAsked(request, principal, _settle(known)))
        reply = await heard_of(self._system.dispatch, known)
        code = pb.DispatchCode.Name(reply.code).removeprefix("DISPATCH_CODE_").lower()
        applied = reply.applied_mw if reply.code in {pb.DISPATCH_CODE_ACCEPTED, pb.DISPATCH_CODE_CLIPPED} else float("nan")
        answered = replace(row, step="answer", value=applied, code=code, reason=reply.reason[:1000], evidence=b"")
        await asyncio.to_thread(self._system.audit.append, answered)
        return reply

    def dispatch(self) -> pb.DispatchStatus:
        """Orders and what is in force."""
        status = pb.DispatchStatus()
        status.CopyFrom(self._system.dispatch_view.status)
        status.interchange_mw = self._system.agc_view.head().interchange_mw
        return status

    # ---------------------------------------------------------------- rights

    @property
    def two_person(self) -> Sequence[TwoPersonRule]:
        """Which controls need a guardian."""
        return self._system.settings.control.two_person

    def record(self, row: AuditRow) -> None:
        """A row of the audit log, on disk on return."""
        self._system.audit.append(row)

    # ---------------------------------------------------------------- history, replay, diagrams

    async def history(self, request: pb.HistoryRequest) -> pb.HistoryReply:
        """Samples, buckets or periods."""
        reply: pb.HistoryReply = await self._ask_history(request)
        return reply

    async def backfill(self, request: pb.BackfillRequest, principal: Principal, evidence: bytes) -> pb.BackfillReply:
        """Late values; audited before they are stored."""
        row = AuditRow(
            "history",
            "backfill",
            principal.name,
            principal.station,
            principal.session,
            path=request.source[:1000],
            value=float(sum(len(one.time_ns) for one in request.points)),
            reason=request.reason[:1000],
            evidence=evidence,
        )
        await asyncio.to_thread(self._system.audit.append, row)
        reply: pb.BackfillReply = await self._ask_history(request)
        return reply

    async def history_status(self) -> pb.HistoryStatus:
        """How the history stands."""
        reply: pb.HistoryStatus = await self._ask_history(pb.HistoryStatusRequest())
        return reply

    async def _ask_history(self, request: pb.HistoryRequest | pb.BackfillRequest | pb.HistoryStatusRequest) -> Any:
        answer: Future[Any] = Future()
        self._system.history.tell(HistoryAsked(request, _settle(answer)))
        reply = await asyncio.wrap_future(answer)
        if isinstance(reply, ScadaError):
            raise reply
        return reply

    async def replay(self, action: str, request: pb.ReplayRequest | pb.ReplayCommand) -> pb.ReplayState:
        """Start or command an isolated replay."""
        state: pb.ReplayState = await answer_of(self._system.replay, ReplayAsked(action, request))
        return state

    def replay_values(self, replay_id: str) -> pb.ReplayValues:
        """Values of a replay."""
        return self._system.replay_view.values.get(replay_id, pb.ReplayValues())

    def diagram(self, stem: str) -> tuple[str, str]:
        """(svg, metadata) of a drawing."""
        folder = self._system.generation.folder / "diagrams"
        return (folder / f"{stem}.svg").read_text("utf-8"), (folder / f"{stem}.json").read_text("utf-8")


def _suppression_step(request: SuppressOrder) -> str:
    match request:
        case pb.ShelveRequest():
            return "shelve"
        case pb.UnshelveRequest():
            return "unshelve"
        case _:
            return "out_of_service" if request.out_of_service else "in_service"


def _settle(answer: Future[T]) -> Callable[[T], None]:
    """A callback for an actor that resolves ``answer``, unless its caller has gone."""

    def settle(value: T) -> None:
        if answer.set_running_or_notify_cancel():
            answer.set_result(value)

    return settle
