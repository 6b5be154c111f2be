"""Control actor: the one way to the plant. Carries out what the control desk decides, in order, audited before it acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.channel import ChannelView
from scada.actors.messages import (
    AdoptControls,
    Changed,
    DirectControl,
    FollowedReply,
    ModelChanged,
    Operate,
    Report,
    ReserveControls,
    StepAnswered,
    StepAsked,
    TelecontrolSelect,
    Tick,
)
from scada.actors.mirror import Mirror
from scada.control import effects as fx
from scada.control.desk import ControlDesk, no_tags
from scada.control.plant import Reading, SwitchgearTopology
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.protocols.driver import CommandResult, LinkState, Outcome
from scada.rtdb.changes import Snapshot
from scada.security.audit import AuditLog

_log = structlog.get_logger("control")


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
        tags: which tags forbid a control to a value, empty if none does.
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
        tags: Callable[[Control, float], str] = no_tags,
    ) -> None:
        super().__init__(address, failed)
        self._mirror = Mirror(len(tables.points))
        self._tables = tables
        self._desk = ControlDesk(tables, clock, LivePlant(self._mirror, views), topology, tags=tags)
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
        """Dispatch by message class."""
        match message:
            case Changed(changes):
                self._carry_out(self._desk.on_changes(self._mirror.follow(changes).tolist()))
            case Tick():
                self._carry_out(self._desk.tick())
            case StepAnswered(sequence_id, step, result):
                self._carry_out(self._desk.on_answer(sequence_id, step, result))
            case StepAsked(request, principal, evidence, reply):
                match request:
                    case pb.SelectRequest():
                        control, number = request.control, request.device_number
                        wanted = self._desk.select(reply, control, request.value, number, principal, evidence)
                    case pb.ExecuteRequest():
                        wanted = self._desk.execute(reply, request.sequence_id, principal, evidence)
                    case pb.CancelRequest():
                        wanted = self._desk.cancel(reply, request.sequence_id, request.reason, principal, evidence)
                self._carry_out(wanted)
            case ReserveControls() | AdoptControls() | ModelChanged():
                return self._change(message)
            case TelecontrolSelect(cid, value, principal, evidence, reply):
                mrid = self._tables.controls[cid].mrid if cid < len(self._tables.controls) else ""
                self._carry_out(self._desk.select(reply, mrid, value, None, principal, evidence))
            case DirectControl(cid, value, principal, why, reply):
                self._carry_out(self._desk.direct(reply, cid, value, principal, why=why))
            case _:
                return super().receive(message)
        return None

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
        """Do one thing after the other; if a row cannot be audited, nothing that acts is sent after it."""
        fault: tuple[str, ScadaError] | None = None
        for effect in wanted:
            match effect:
                case fx.Audit(sequence_id, row):
                    try:
                        self._audit.append(row)
                    except ScadaError as error:
                        fault = (sequence_id, error)
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
                    if fault is None:
                        self._send(effect)
        if fault is not None:
            self._no_audit(*fault)

    def _send(self, send: fx.SendSelect | fx.SendExecute | fx.SendCancel) -> None:
        sequence_id, step = send.sequence_id, send.step

        def answered(result: CommandResult) -> None:
            self.address.tell(StepAnswered(sequence_id, step, result))

        channel = self._channels.get(send.control.channel)
        if channel is None:
            answered(CommandResult(Outcome.LINK_DOWN, "the model no longer has the channel"))
            return
        channel.tell(Operate(step, send.control, send.value, answered))

    def _no_audit(self, sequence_id: str, error: ScadaError) -> None:
        _log.error("the audit log cannot be written; the control ends", cause=str(error), sequence=sequence_id)
        parameters = {"reason": str(error), "sequence": sequence_id}
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, AlarmClass.ACCIDENT, 1, "audit.fault", parameters)
        self._events.tell(Report((event,)))
        # what this wants to audit cannot be audited either; its replies and cancels are what matters
        for effect in self._desk.audit_failed(sequence_id, str(error)):
            match effect:
                case fx.Reply(ticket, reply):
                    assert callable(ticket)
                    ticket(reply)
                case fx.SendCancel():
                    self._send(effect)
