"""Control actor: the one way to the plant. Carries out what the control desk decides, in order, audited before it acts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.channel import ChannelView
from scada.actors.messages import AdoptControls, Changed, ModelChanged, Operate, Report, ReserveControls, Tick
from scada.actors.mirror import Mirror
from scada.actors.order_messages import (
    DirectControl,
    FollowedReply,
    InterlocksAsked,
    ProgrammeSelect,
    SequencesAsked,
    StepAnswered,
    StepAsked,
    TelecontrolSelect,
)
from scada.control import effects as fx
from scada.control.checks import Waiver, no_tags
from scada.control.desk import ControlDesk
from scada.control.phases import Timings
from scada.control.plant import Reading, SwitchgearTopology
from scada.control.records import Principal, SequenceState
from scada.control.two_person import GuardianWord
from scada.core.clock import Clock
from scada.core.control_settings import ControlSettings
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.rtdb.changes import Snapshot
from scada.security.audit import AuditLog

_log = structlog.get_logger("control")

_BATCHED = (StepAsked, StepAnswered, TelecontrolSelect, DirectControl, ProgrammeSelect)
_BATCH = 256
"""Messages whose rows of the audit log are written together."""
_STANDS = (SequenceState.SELECTED, SequenceState.CONFIRMED)
"""Replies that hold only if their row could be written."""


class LivePlant:
    """The plant as of the last commit this actor followed, and the links as their actors publish them."""

    def __init__(self, mirror: Mirror, channels: Mapping[int, ChannelView]) -> None:
        self._mirror = mirror
        self._channels = channels

    def reading(self, pid: int) -> Reading:
        """Value and quality of a point."""
        if not 0 <= pid < len(self._mirror.value):
            return Reading(float("nan"), int(Quality.NEVER_RECEIVED))
        return Reading(float(self._mirror.value[pid]), int(self._mirror.quality[pid]))

    def link_state(self, channel: int) -> LinkState:
        """State of a channel."""
        view = self._channels.get(channel)
        return LinkState.DOWN if view is None else view.state

    def connection(self, channel: int) -> int:
        """When the channel came to its present state, and how often another link took over, in one number."""
        view = self._channels.get(channel)
        if view is None or view.state is not LinkState.UP:
            return -1
        switches = 0 if view.statistics is None else view.statistics.switches
        return (view.since_ns << 16) + (switches & 0xFFFF)


class ControlActor(Actor):
    """Owns the control desk.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        topology: what the interlocks ask; kept current by the topology actor.
        audit: open audit log; it outlives this actor.
        snapshot: reads the database once at start.
        views: published channel states, by channel index.
        channels: channel actors, by channel index.
        events: told of every result.
        clock: deadlines and stamps.
        settings: who must be two, and deadlines.
        tags: which tags forbid a control to a value, empty if none does.
        standing: what an identity may do now, None = nothing any more.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        topology: SwitchgearTopology,
        audit: AuditLog,
        snapshot: Callable[[], Snapshot],
        views: Mapping[int, ChannelView],
        channels: Mapping[int, Address],
        events: Address,
        clock: Clock,
        settings: ControlSettings,
        tags: Callable[[Control, float], str] = no_tags,
        standing: Callable[[Principal], Principal | None] = lambda principal: principal,
    ) -> None:
        super().__init__(address, failed)
        self._mirror = Mirror(len(tables.points))
        self._tables = tables
        self._desk = ControlDesk(
            tables,
            clock,
            LivePlant(self._mirror, views),
            topology,
            tags=tags,
            timings=Timings.of(settings),
            two_person=settings.two_person,
            standing=standing,
        )
        self._audit = audit
        self._snapshot = snapshot
        self._channels = channels
        self._events = events
        self._clock = clock

    def started(self) -> None:
        """Read the present state, and say what the last life left unfinished."""
        self._mirror.load(self._snapshot())
        self._carry_out(self._desk.recover(self._audit.records()))

    def receive(self, message: Any) -> Any:
        """Dispatch by message class; what else waits to act is decided with it, so that one write keeps the rows of all."""
        match message:
            case Changed(changes):
                self._carry_out(self._desk.on_changes(self._mirror.follow(changes).tolist()))
            case Tick():
                self._carry_out(self._desk.tick())
            case StepAsked() | StepAnswered() | TelecontrolSelect() | DirectControl() | ProgrammeSelect():
                waiting = self._mailbox.take_told(_BATCHED, _BATCH - 1)
                self._carry_out([effect for one in (message, *waiting) for effect in self._decide(one)])
            case SequencesAsked(station, ended):
                return self._desk.sequences(station, ended=ended)
            case InterlocksAsked(control, value):
                return self._desk.check(control, value)
            case ReserveControls() | AdoptControls() | ModelChanged():
                return self._change(message)
            case _:
                return super().receive(message)
        return None

    def _decide(self, message: StepAsked | StepAnswered | TelecontrolSelect | DirectControl | ProgrammeSelect) -> list[fx.Effect]:
        match message:
            case StepAnswered(sequence_id, step, result):
                return self._desk.on_answer(sequence_id, step, result)
            case TelecontrolSelect(cid, value, principal, evidence, reply):
                mrid = self._tables.controls[cid].mrid if cid < len(self._tables.controls) else ""
                return self._desk.select(reply, mrid, value, None, principal, evidence)
            case ProgrammeSelect(mrid, value, principal, step, emergency, reply):
                waiver = Waiver(emergency=bool(emergency), reason=emergency)
                return self._desk.select(reply, mrid, value, None, principal, programme=step, waiver=waiver)
            case DirectControl(cid, value, principal, why, reply):
                return self._desk.direct(reply, cid, value, principal, why=why)
            case StepAsked():
                return self._step(message)

    def _step(self, asked: StepAsked) -> list[fx.Effect]:
        desk, request, principal, evidence, reply = self._desk, asked.request, asked.principal, asked.evidence, asked.reply
        match request:
            case pb.SelectRequest():
                waiver = Waiver(request.emergency, request.bypass_interlocks, request.reason[:1000])
                number = request.device_number
                return desk.select(reply, request.control, request.value, number, principal, evidence, waiver=waiver)
            case pb.ConfirmRequest():
                word = GuardianWord(
                    request.sequence_id,
                    request.control,
                    request.value,
                    request.device_number,
                    request.select_digest,
                    request.refuse,
                    request.reason[:1000],
                )
                return desk.confirm(reply, word, principal, evidence)
            case pb.ExecuteRequest():
                return desk.execute(reply, request.sequence_id, principal, evidence, confirm_digest=request.confirm_digest)
            case pb.CancelRequest():
                return desk.cancel(reply, request.sequence_id, request.reason[:1000], principal, evidence)
            case pb.AdjustRequest():
                return desk.adjust(
                    reply,
                    request.control,
                    principal,
                    evidence,
                    raised=getattr(request, "raise"),
                    amount=request.amount,
                    device_number=request.device_number,
                )

    def _change(self, message: ReserveControls | AdoptControls | ModelChanged) -> tuple[int, int] | None:
        """A step of a change of the model; the controls follow when the channels carry them."""
        match message:
            case ReserveControls(cids):
                effects, withdrawn, executing = self._desk.reserve(cids)
                self._carry_out(effects)
                return withdrawn, executing
            case AdoptControls(generation):
                self._tables = generation.tables
                self._desk.adopt(generation.tables, generation.topology)
        return None

    def _carry_out(self, wanted: Sequence[fx.Effect]) -> None:
        """Write every row in one go, then do one thing after the other.

        If the rows cannot be written nothing that acts is sent, nobody is told that something stands, and the sequences end.
        """
        rows = [effect for effect in wanted if isinstance(effect, fx.Audit)]
        failed: dict[str, ScadaError] = {}
        try:
            self._audit.append_many([effect.row for effect in rows])
        except ScadaError as error:
            failed = {effect.sequence_id: error for effect in rows}
        unanswered = self._act(wanted, failed)
        if failed:
            self._no_audit(failed, unanswered)

    def _act(self, wanted: Iterable[fx.Effect], failed: Mapping[str, ScadaError]) -> list[fx.Reply]:
        """Do what is wanted, but nothing for the sequences whose rows are missing; returns the replies that do not hold."""
        held_back: list[fx.Reply] = []
        for effect in wanted:
            match effect:
                case fx.Reply(_, reply) if reply.sequence_id in failed and reply.state in _STANDS:
                    held_back.append(effect)
                case fx.Reply(ticket, reply):
                    assert callable(ticket)
                    ticket(reply)
                case fx.Progress(FollowedReply() as ticket, reply):
                    ticket.under_way(reply)
                case fx.Report(event):
                    self._events.tell(Report((event,)))
                case fx.SendCancel():
                    self._send(effect)
                case fx.SendSelect() | fx.SendExecute():
                    if not failed:
                        self._send(effect)
        return held_back

    def _send(self, send: fx.SendSelect | fx.SendExecute | fx.SendCancel) -> None:
        sequence_id, step = send.sequence_id, send.step

        def answered(result: CommandResult) -> None:
            self.address.tell(StepAnswered(sequence_id, step, result))

        channel = self._channels.get(send.control.channel)
        if channel is None:
            answered(CommandResult(Outcome.LINK_DOWN, "the model no longer has the channel"))
            return
        channel.tell(Operate(step, send.control, send.value, answered))

    def _no_audit(self, failed: Mapping[str, ScadaError], unanswered: Sequence[fx.Reply]) -> None:
        """End the sequences; what that wants to audit cannot be audited either, its replies and cancels are what matters."""
        cause = str(next(iter(failed.values())))
        _log.error("the audit log cannot be written; the controls end", cause=cause, sequences=len(failed))
        for sequence_id in failed:
            parameters = {"reason": cause, "sequence": sequence_id}
            event = Event(self._clock.now_ns(), EventKind.SYSTEM, AlarmClass.ACCIDENT, 1, "audit.fault", parameters)
            self._events.tell(Report((event,)))
            for effect in self._desk.audit_failed(sequence_id, cause):
                match effect:
                    case fx.Reply(ticket, reply):
                        assert callable(ticket)
                        ticket(reply)
                    case fx.SendCancel():
                        self._send(effect)
        for held in unanswered:
            assert callable(held.ticket)
            held.ticket(self._desk.stands(held.reply.sequence_id))
