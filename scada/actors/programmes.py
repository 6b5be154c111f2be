"""Programmes actor: owns the versions and runs of programmes; each step's order goes the one way, through the control actor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.channel import ChannelView
from scada.actors.control import LivePlant
from scada.actors.mailbox import Message
from scada.actors.messages import AdoptControls, Report, ReserveControls, Tick
from scada.actors.mirror import Mirror
from scada.actors.order_messages import ProgrammeAsked, ProgrammeSelect, ProgrammesRead, StepAsked
from scada.actors.programme_requests import programme_of, reply_of, shown_programme, shown_run, start_of, word_of
from scada.control import effects as fx
from scada.control.plant import Reading, SwitchgearTopology
from scada.control.programme_book import Answer, ProgrammeBook, Result
from scada.control.programme_desk import ProgrammeDesk
from scada.control.programme_effects import CancelStep, ExecuteStep, KeepProgramme, KeepRun, RunEffect, SelectStep
from scada.control.programme_records import RunRecord
from scada.control.programme_store import ProgrammeStore
from scada.control.records import ControlReply, Principal, ProgrammeStep, SequenceState
from scada.core.clock import Clock
from scada.core.control_settings import ControlSettings
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.cim import CimModel
from scada.model_cim.permissions import Names
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.store import Store
from scada.security.audit import AuditLog, AuditRow
from scada.security.sm3 import sm3

_log = structlog.get_logger("programmes")

TICK_S = 0.2
"""Time between two looks at what is due."""
_GONE = "the identity is no longer valid, or has no rights any more"


class StoredPlant(LivePlant):
    """The plant as the database has it at the moment of each reading."""

    def __init__(self, store: Store, channels: Mapping[int, ChannelView]) -> None:
        super().__init__(Mirror(0), channels)
        self._store = store

    def reading(self, pid: int) -> Reading:
        """Value and quality of a point."""
        found = self._store.snapshot(np.array([pid], dtype=np.uint32))
        if not len(found.value):
            return Reading(float("nan"), int(Quality.NEVER_RECEIVED))
        return Reading(float(found.value[0]), int(found.quality[0]))


@dataclass(frozen=True, slots=True)
class StepReplied(Message):
    """The control actor answered an order of a step."""

    run: str
    step: int
    order: Literal["select", "execute"]
    principal: Principal
    reply: ControlReply


class ProgrammesActor(Actor):
    """Owns the book and the desk of programmes.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        model: for the paths of equipment in conditions.
        topology: for conditions; kept current by the topology actor.
        database: for conditions.
        views: published channel states, by channel index.
        store: versions and runs; it outlives this actor.
        audit: open audit log; it outlives this actor.
        control: the way to the plant.
        events: told of every run.
        clock: deadlines and stamps.
        settings: two-person rules and deadlines of the control path.
        rights_now: what an identity may do now, None = nothing any more; asked before each order of a run.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        model: CimModel | None,
        topology: SwitchgearTopology,
        database: Store,
        views: Mapping[int, ChannelView],
        store: ProgrammeStore,
        audit: AuditLog,
        control: Address,
        events: Address,
        clock: Clock,
        settings: ControlSettings,
        rights_now: Callable[[Principal], Principal | None] = lambda principal: principal,
    ) -> None:
        super().__init__(address, failed)
        plant, names = StoredPlant(database, views), Names(tables.points, tables.controls, model)
        self._runs = store.read_runs()
        self._book = ProgrammeBook(tables, clock, plant, topology, settings.two_person, store.read_versions(), names)
        self._desk = ProgrammeDesk(self._book, clock, settings, still=self._still, runs=self._runs)
        self._store = store
        self._audit = audit
        self._control = control
        self._events = events
        self._clock = clock
        self._rights_now = rights_now

    def started(self) -> None:
        """Say what the last life left unfinished; nothing of it is repeated."""
        unfinished = [run for run in self._runs if not run.state.ended]
        self._runs = []
        if unfinished:
            self._carry_out(self._desk.recover(unfinished, self._traces(unfinished)))

    def _traces(self, unfinished: Sequence[RunRecord]) -> dict[str, list[AuditRow]]:
        wanted = {step.sequence_id for run in unfinished for step in run.steps if step.sequence_id}
        found: dict[str, list[AuditRow]] = defaultdict(list)
        for record in self._audit.records() if wanted else ():
            if record.row.kind == "control" and record.row.sequence_id in wanted:
                found[record.row.sequence_id].append(record.row)
        return found

    def _still(self, principal: Principal) -> Principal | str:
        return self._rights_now(principal) or f"{principal.name}: {_GONE}"

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case ProgrammeAsked():
                return reply_of(self._order(message))
            case ProgrammesRead(request):
                return self._read(request)
            case StepReplied():
                self._replied(message)
            case Tick():
                self._carry_out(self._desk.tick())
            case ReserveControls(cids):
                self._carry_out(self._desk.reserve(cids))
            case AdoptControls(generation):
                names = Names(generation.tables.points, generation.tables.controls, generation.model)
                self._book.adopt(generation.tables, generation.topology, names)
            case _:
                return super().receive(message)
        return None

    # ---------------------------------------------------------------- orders of people

    def _order(self, asked: ProgrammeAsked) -> Answer:
        answer, effects = self._decide(asked)
        faults = self._carry_out(effects)
        if fault := faults.get(answer.run) or faults.get(""):
            return Answer(False, "audit_failed", f"it could not be stored: {fault}", run=answer.run)
        return answer

    def _decide(self, asked: ProgrammeAsked) -> Result:
        request, principal, evidence = asked.request, asked.principal, asked.evidence
        match request:
            case pb.SaveProgrammeRequest():
                programme = programme_of(request)
                return self._book.save(programme, request.based_on, principal, evidence, remove=request.remove)
            case pb.StartProgrammeRequest():
                return self._desk.start(start_of(request), principal, sm3(evidence), evidence)
            case pb.ConfirmProgrammeRequest():
                return self._desk.confirm(word_of(request), principal, evidence)
            case pb.ProgrammeCommand():
                return self._desk.command(request.run, request.action, request.reason[:500], principal, evidence)

    def _read(
        self, request: pb.ListProgrammesRequest | pb.GetProgrammeRequest | pb.ListRunsRequest
    ) -> pb.ProgrammeList | pb.Programme | pb.RunList | None:
        match request:
            case pb.ListProgrammesRequest():
                return pb.ProgrammeList(programmes=[shown_programme(one, self._book) for one in self._book.programmes()])
            case pb.GetProgrammeRequest():
                found = self._book.programme(request.name, request.version)
                return None if found is None else shown_programme(found, self._book)
            case pb.ListRunsRequest():
                runs = [shown_run(one, self._book) for one in self._desk.runs(ended=request.ended)]
                return pb.RunList(runs=runs, time_ns=self._clock.now_ns())

    # ---------------------------------------------------------------- steps

    def _replied(self, message: StepReplied) -> None:
        run, step, reply = message.run, message.step, message.reply
        if not self._desk.knows(run):
            if message.order == "select" and reply.state is SequenceState.SELECTED:
                self._cancel(CancelStep(reply.sequence_id, message.principal, "the run is over"))
            return
        told = self._desk.selected if message.order == "select" else self._desk.executed
        self._carry_out(told(run, step, reply))

    def _select(self, order: SelectStep) -> None:
        step = ProgrammeStep(order.run, order.guardian, order.why)
        answer = partial(self._answered, order.run, order.step, "select", order.principal)
        self._control.tell(ProgrammeSelect(order.control, order.value, order.principal, step, order.emergency, answer))

    def _execute(self, order: ExecuteStep) -> None:
        answer = partial(self._answered, order.run, order.step, "execute", order.principal)
        self._control.tell(StepAsked(pb.ExecuteRequest(sequence_id=order.sequence_id), order.principal, b"", answer))

    def _cancel(self, order: CancelStep) -> None:
        request = pb.CancelRequest(sequence_id=order.sequence_id, reason=order.reason[:500])
        self._control.tell(StepAsked(request, order.principal, b"", lambda reply: None))  # noqa: ARG005 - nobody waits

    def _answered(
        self, run: str, step: int, order: Literal["select", "execute"], principal: Principal, reply: ControlReply
    ) -> None:
        """From the control actor's thread."""
        self.address.tell(StepReplied(run, step, order, principal, reply))

    # ---------------------------------------------------------------- effects

    def _carry_out(self, wanted: Sequence[RunEffect]) -> dict[str, str]:
        """Do one thing after the other; after what cannot be stored of a run, none of its orders is given.

        Returns:
            Faults by run, "" = of none.
        """
        faults: dict[str, str] = {}
        dropped: dict[str, list[SelectStep | ExecuteStep]] = defaultdict(list)
        for effect in wanted:
            match effect:
                case KeepRun(record):
                    self._stored(faults, record.run, partial(self._store.keep_run, record))
                case KeepProgramme(programme):
                    if "" in faults or not self._stored(faults, "", partial(self._store.keep_version, programme)):
                        self._book.version_not_kept(programme)
                case fx.Audit(run, row):
                    self._stored(faults, run, partial(self._audit.append, row))
                case fx.Report(event):
                    if "" not in faults:
                        self._events.tell(Report((event,)))
                case CancelStep():
                    self._cancel(effect)
                case SelectStep() | ExecuteStep() if effect.run in faults:
                    dropped[effect.run].append(effect)
                case SelectStep():
                    self._select(effect)
                case ExecuteStep():
                    self._execute(effect)
        for run, reason in faults.items():
            self._carry_out(self._desk.audit_failed(run, reason, dropped[run]))
        return faults

    def _stored(self, faults: dict[str, str], run: str, write: Callable[[], object]) -> bool:
        try:
            write()
        except ScadaError as error:
            if run not in faults:
                _log.error("a programme cannot be stored; nothing more of it is ordered", run=run, cause=str(error))
                parameters = {"reason": str(error), "sequence": run}
                event = Event(self._clock.now_ns(), EventKind.SYSTEM, AlarmClass.ACCIDENT, 1, "audit.fault", parameters)
                self._events.tell(Report((event,)))
            faults.setdefault(run, str(error))
            return False
        return True
