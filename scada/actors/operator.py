"""Operator actor: values that operators hold, tags and notes. Audited before they act, durable before they count."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pykka
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.generation import Generation
from scada.actors.messages import ChannelAction, Hold, ModelChanged, Release, Report
from scada.actors.order_messages import OperatorAsked, TagsChanged
from scada.control.operator_data import HOLDS, Mark, MarkKind, MarkReading, MarkReply
from scada.control.operator_ledger import Decision, OperatorLedger
from scada.control.operator_store import OperatorStore
from scada.control.records import Principal
from scada.control.tags import TagBoard
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.quality import Quality
from scada.events.records import Event, EventKind
from scada.model_cim.objects import PlantObjects
from scada.model_cim.tables import AlarmClass, Control, ModelTables
from scada.rtdb.store import Store
from scada.security.audit import AuditLog, AuditRow

_log = structlog.get_logger("operator")

Order = pb.HoldRequest | pb.ReleaseRequest | pb.TagRequest | pb.NoteRequest | pb.RemoveRequest
COMMIT_S = 5.0
"""Longest wait for the database to show what was ordered."""


@dataclass(slots=True)
class OperatorView:
    """What the operator actor publishes; written by it alone, each field replaced as a whole, read by any thread."""

    board: TagBoard
    marks: tuple[Mark, ...] = ()

    def silenced(self) -> dict[str, str]:
        """Points whose alarms are set aside by tags at this moment; callable from any thread."""
        return self.board.silenced()

    def forbids(self, control: Control, value: float) -> str:
        """Which tags forbid a control to a value; empty if none does."""
        return self.board.forbids(control, value)


def mark_readings(marks: Sequence[Mark], objects: PlantObjects, database: Store, station: str = "") -> list[MarkReading]:
    """Marks as they are shown: those that hold a value with what the point shows and what its source says meanwhile.

    Args:
        marks: every mark.
        objects: the model's objects.
        database: gives the values.
        station: only marks that were placed in this station or stand in it now; empty = all.
    """
    placed = [(mark, objects.find(mark.mrid)) for mark in marks]
    placed = [(mark, each) for mark, each in placed if station in ("", mark.station, each.station if each else "")]
    marks, found = [mark for mark, _ in placed], [each for _, each in placed]
    pids = [-1 if each is None else each.pid for each in found]
    holding = [pid for mark, pid in zip(marks, pids, strict=True) if mark.kind in HOLDS and pid >= 0]
    asked = np.array(holding, dtype=np.uint32)
    shown, behind = database.snapshot(asked), database.behind(asked)
    columns = (shown.value.tolist(), behind.value.tolist(), behind.quality.tolist())
    values = dict(zip(holding, zip(*columns, strict=True), strict=True))
    return [
        MarkReading(mark, pid, *values.get(pid, ())) if mark.kind in HOLDS else MarkReading(mark, pid)
        for mark, pid in zip(marks, pids, strict=True)
    ]


def _shows(mark: Mark, shown: tuple[float, int] | None) -> bool:
    """True if the database holds a point as its mark says; ``shown`` is None if it does not hold it."""
    if shown is None:
        return False
    blocked = bool(shown[1] & Quality.OPERATOR_BLOCKED)
    return blocked if mark.kind is MarkKind.BLOCK else not blocked and shown[0] == mark.value


class OperatorActor(Actor):
    """Owns the operator data.

    An order is judged, written to the audit log, made durable, published to the control path, and only then told to the
    database and answered. If a crash comes between, the next life holds what the marks say and lets go of the rest.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        objects: its objects.
        store: open store of the marks; it outlives this actor.
        view: where marks and tags are published.
        database: read at the start of this life: what it holds and how.
        audit: open audit log; it outlives this actor.
        rtdb: holds and releases.
        events: told of every order, and of the points whose alarms are set aside.
        channels: channel actors by channel index; asked for a fresh value when a point is released.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        objects: PlantObjects,
        store: OperatorStore,
        view: OperatorView,
        database: Store,
        audit: AuditLog,
        rtdb: Address,
        events: Address,
        channels: Mapping[int, Address],
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._ledger = OperatorLedger(tables, objects, clock, store.marks.values(), store.next_id)
        self._tables = tables
        self._objects = objects
        self._store = store
        self._view = view
        self._database = database
        self._audit = audit
        self._rtdb = rtdb
        self._events = events
        self._channels = channels
        self._clock = clock

    def started(self) -> None:
        """Bring the database in line with the marks, say what the model no longer has, publish the tags."""
        self._enforce(frozenset())

    def _enforce(self, known: Container[int]) -> None:
        """See :meth:`started`; marks in ``known`` were told to be without an object before."""
        self._publish()
        self._events.tell(TagsChanged(self._view.board.silenced()))
        told = [
            self._event("operator.orphaned", mark, AlarmClass.ABNORMAL)
            for mark in self._ledger.orphans()
            if mark.mark_id not in known
        ]
        ordered, shown = self._ledger.holds(), self._shown()
        for pid, mark in sorted(ordered.items()):
            if _shows(mark, shown.get(pid)):
                continue
            self._ask_database(Hold(pid, mark.value if mark.kind is MarkKind.SUBSTITUTE else None))
            told.append(self._event("operator.reasserted", mark, AlarmClass.ABNORMAL, pid))
        for pid in sorted(shown.keys() - ordered.keys()):
            self._ask_database(Release(pid))
            told += self._let_go(pid)
            self._interrogate(pid, "system:operator")
        if told:
            self._events.tell(Report(tuple(told)))
        self._objects.prepare()

    def _adopt(self, generation: Generation) -> None:
        """Go on with another model version: its points and objects, and what the marks say of them."""
        known = {mark.mark_id for mark in self._ledger.orphans()}
        self._tables, self._objects = generation.tables, generation.objects
        marks, next_id = self._store.marks.values(), self._ledger.next_id
        self._ledger = OperatorLedger(self._tables, self._objects, self._clock, marks, next_id)
        self._enforce(known)

    def _shown(self) -> dict[int, tuple[float, int]]:
        """Value and quality of every point that the database holds."""
        held = self._database.held
        snapshot = self._database.snapshot(held)
        pairs = zip(snapshot.value.tolist(), snapshot.quality.tolist(), strict=True)
        return dict(zip(held.tolist(), pairs, strict=True))

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case ModelChanged(generation):
                return self._adopt(generation)
            case OperatorAsked(request, principal, evidence):
                return self._do(self._judged(request, principal, evidence))
            case _:
                return super().receive(message)

    def _judged(self, request: Order, principal: Principal, evidence: bytes) -> Decision:
        ledger = self._ledger
        match request:
            case pb.HoldRequest():
                value = None if request.block else request.value
                return ledger.hold(request.point, value, request.reason, principal, evidence)
            case pb.ReleaseRequest():
                return ledger.release(request.point, request.reason, principal, evidence)
            case pb.TagRequest():
                return ledger.place_tag(request.object, request.type, request.reason, principal, evidence)
            case pb.NoteRequest():
                return ledger.add_note(request.object, request.text, principal, evidence)
            case pb.RemoveRequest():
                return ledger.remove(request.mark_id, request.reason, principal, evidence)

    # ---------------------------------------------------------------- one order

    def _do(self, decision: Decision) -> MarkReply:
        """Carry out a decision: audit, keep, publish, hold or release, tell."""
        try:
            self._audit.append(decision.row)
        except ScadaError as error:
            return self._fault("audit.fault", "audit_failed", "the audit log cannot be written, nothing was done", error)
        reply = decision.reply
        if reply.accepted:
            placed = () if decision.placed is None else (decision.placed,)
            try:
                self._store.write(placed, decision.removed, self._ledger.next_id)
            except ScadaError as error:
                self._note_failure(decision.row, error)
                return self._fault("operator.fault", "store_failed", "operator data cannot be written, nothing was done", error)
            self._ledger.take(decision)
            self._publish()
            reply = self._act(decision)
        if decision.event is not None:
            self._events.tell(Report((decision.event,)))
        return reply

    def _act(self, decision: Decision) -> MarkReply:
        """What a kept decision means for the database, the channels and the alarms."""
        marks = [mark for mark in (decision.placed, *decision.removed) if mark is not None]
        if any(mark.tag_type for mark in marks):
            self._events.tell(TagsChanged(self._view.board.silenced()))
        holds = [mark for mark in marks if mark.kind in HOLDS]
        found = self._objects.find(holds[0].mrid) if holds else None
        if found is None or found.pid < 0:
            return decision.reply
        mark = decision.placed
        if mark is None:
            shown = self._ask_database(Release(found.pid))
            self._interrogate(found.pid, decision.row.actor)
        else:
            shown = self._ask_database(Hold(found.pid, mark.value if mark.kind is MarkKind.SUBSTITUTE else None))
        if shown:
            return decision.reply
        reason = "kept, but the database has not shown it yet"
        return MarkReply(True, "not_shown", reason, decision.reply.mark_id)

    def _ask_database(self, order: Hold | Release) -> bool:
        """True once the database has committed it; what it did not confirm in time waits in its mailbox."""
        try:
            self._rtdb.ask(order).get(timeout=COMMIT_S)
        except pykka.Timeout:
            _log.error("the database has not confirmed an order yet", order=str(order))
            return False
        return True

    def _interrogate(self, pid: int, user: str) -> None:
        """What came in while the point was held was kept behind it; ask the station for what holds now."""
        channel = self._channels.get(self._tables.points[pid].channel) if pid < len(self._tables.points) else None
        if channel is not None:
            channel.tell(ChannelAction("interrogate", user))

    def _publish(self) -> None:
        marks = tuple(self._ledger.marks())
        self._view.board = TagBoard(marks, self._objects)
        self._view.marks = marks

    # ---------------------------------------------------------------- what is told

    def _fault(self, key: str, code: str, what: str, error: ScadaError) -> MarkReply:
        _log.error(what, cause=str(error))
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, AlarmClass.ACCIDENT, 1, key, {"reason": str(error)})
        self._events.tell(Report((event,)))
        return MarkReply(False, code, f"{what}: {error}")

    def _note_failure(self, row: AuditRow, error: ScadaError) -> None:
        """The audit log has the order; say there too that nothing came of it."""
        failed = AuditRow(
            "operator", "failed", row.actor, row.station, row.session, row.sequence_id, row.mrid, row.path, reason=str(error)
        )
        try:
            self._audit.append(failed)
        except ScadaError as second:
            _log.error("the audit log cannot be written either", cause=str(second))

    def _event(self, key: str, mark: Mark, alarm_class: AlarmClass, pid: int = -1) -> Event:
        parameters = {
            "object": mark.path,
            "kind": mark.kind.name.lower(),
            "mark": str(mark.mark_id),
            "user": mark.user,
            "reason": mark.reason,
        }
        _log.warning("operator data", key=key, **parameters)
        return Event(
            self._clock.now_ns(),
            EventKind.OPERATOR,
            alarm_class,
            2,
            key,
            parameters,
            pid=pid,
            mrid=mark.mrid,
            station=mark.station,
            path=mark.path,
            value=mark.value,
        )

    def _let_go(self, pid: int) -> list[Event]:
        """Nothing of a point that the model no longer has: its mark is told as an orphan."""
        point = self._tables.points[pid] if pid < len(self._tables.points) else None
        if point is None or point.removed:
            return []
        _log.warning("a point is no longer held: no order stands behind it", point=point.path)
        return [
            Event(
                self._clock.now_ns(),
                EventKind.OPERATOR,
                AlarmClass.ABNORMAL,
                2,
                "operator.let_go",
                {"object": point.path},
                pid=pid,
                mrid=point.mrid,
                station=point.station,
                path=point.path,
            )
        ]
