"""Upstream actor: this control centre as a controlled station towards one upstream control centre (IEC 60870-5-104).

It follows the database as a registered consumer and brings every change into the outstation, which lives on an event loop apart
from the front end's: its queue of events is synced to the disk there, and no field channel waits for that. The number of the last
change stands in the queue together with the events, so that after a crash the journal is read on from there: no change of state
is lost, and none comes twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.mailbox import Message
from scada.actors.messages import Changed, FellBehind, Report, Tick
from scada.actors.order_messages import DispatchHeard
from scada.actors.upstream_dispatch import DispatchReplied, UpstreamSetpoints, is_for_dispatch
from scada.actors.upstream_masters import CommandRate, Masters, MasterWatch, Refusals, Remarks, shown_group
from scada.actors.upstream_orders import OrderReplied, UpstreamOrders
from scada.actors.upstream_station import UpstreamLink, commands_per_minute, give, note, queue_name, show
from scada.actors.upstream_values import Forwarded, Sent, joined
from scada.actors.wire import Wire
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import ScadaError, StoreError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables, UpstreamStation
from scada.protocols.iec104.event_queue import EventQueue
from scada.protocols.iec104.groups import GroupReport
from scada.protocols.iec104.operate import CommandAsked, CommandRefused
from scada.protocols.iec104.outstation import Outstation
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.store import Store
from scada.security.audit import AuditLog

_log = structlog.get_logger("upstream")

CONSUMER: Final = "upstream-"
"""What the names under which the journal is kept for upstream stations begin with."""
DRAIN: Final = 64
"""Waiting change sets that share one write of the queue."""
STORE_S: Final = 5.0
"""How often the place in the journal is stored though no event came."""
STALE_S: Final = 10.0
"""A command that waited longer for this actor (its disk hung, it was down) is not carried out any more."""
LISTEN_S: Final = 5.0
"""Time between two tries to listen."""


@dataclass(slots=True)
class UpstreamView:
    """What an upstream actor publishes, and its link, which the next life closes."""

    station: UpstreamStation
    status: pb.UpstreamStation = field(default_factory=pb.UpstreamStation)
    link: UpstreamLink | None = None


@dataclass(frozen=True, slots=True)
class CommandCame(Message):
    """A master asks for a step of a command; ``at`` is the monotonic second at which it came."""

    asked: CommandAsked
    at: float


@dataclass(frozen=True, slots=True)
class CommandTurnedDown(Message):
    """The station refused a command by itself."""

    refused: CommandRefused


@dataclass(frozen=True, slots=True)
class Remarked(Message):
    """The station says what a master did that is odd; of those that wait the newest stands for all."""

    coalesce: ClassVar[bool] = True
    text: str


@dataclass(frozen=True, slots=True)
class DeskReplied(Message):
    """The control desk, or that of dispatch, says how an order stands."""

    replied: OrderReplied | DispatchReplied


class UpstreamActor(Actor):
    """One life of an upstream station.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        view: published state; outlives this actor.
        tables: the model.
        wire: event loop of the upstream stations.
        store: the database that is followed.
        queue: events that masters have not acknowledged; outlives this actor.
        masters: identities and rights by host or certificate name; who is not there has none.
        control: carries out commands.
        dispatch: takes set-points of interchange and units; None = nobody does.
        audit: keeps what is refused before the control desk was asked.
        events: told of masters that come and go, of a full disk and the like.
        clock: stamps and time-outs.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        view: UpstreamView,
        tables: ModelTables,
        wire: Wire,
        store: Store,
        queue: EventQueue,
        masters: Mapping[str, Principal],
        control: Address,
        audit: AuditLog,
        events: Address,
        clock: Clock,
        dispatch: Address | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._view, self._station = view, view.station
        self._store, self._queue, self._clock = store, queue, clock
        self._events = events
        self._values = Forwarded(self._station.points, len(tables.points))
        self._consumer = CONSUMER + queue_name(self._station)
        self._masters = Masters(self._station.name, masters)
        self._refusals = Refusals(self._masters, audit, self._tell, clock)
        self._remarks, self._watch = Remarks(self._station.name, self._tell, clock), MasterWatch(self._tell)
        self._tables, self._wire = tables, wire
        self._control, self._dispatch = control, dispatch
        self._audit, self._rate = audit, CommandRate(commands_per_minute(self._station), clock)
        self._heard: frozenset[str] = frozenset()
        self._seq = 0
        self._fault = self._reason = ""
        self._stored_at = self._tried_at = clock.monotonic()

    # ---------------------------------------------------------------- life

    def started(self) -> None:
        """Take in what happened since the last life, then let masters in."""
        self._close()
        self._link = self._view.link = UpstreamLink(
            self._wire,
            self._station,
            self._tables,
            self._queue,
            self._clock,
            on_command=lambda asked: self.address.tell(CommandCame(asked, self._clock.monotonic())),
            on_refused=lambda refused: self.address.tell(CommandTurnedDown(refused)),
            on_remark=lambda text: self.address.tell(Remarked(text)),
        )
        self._orders = UpstreamOrders(
            ask=self._control.tell,
            replied=lambda replied: self.address.tell(DeskReplied(replied)),
            principal=self._masters.principal,
            answer=self._link.answer,
            terminate=self._link.terminate,
        )
        self._setpoints = UpstreamSetpoints(
            tuple(self._station.setpoints),
            ask=self._tell_dispatch,
            replied=lambda replied: self.address.tell(DeskReplied(replied)),
            principal=self._masters.principal,
            refuse=self._refuse,
            answer=self._link.answer,
            terminate=self._link.terminate,
            audit=self._audit,
            clock=self._clock,
        )
        self._store.register(self._consumer, self._queue.stored_seq)
        self._catch_up()
        self._listen()
        self._publish()

    def stopped(self) -> None:
        """Let the masters go and store the place in the journal."""
        self._store_place()
        self._close()

    def _close(self) -> None:
        if self._view.link is not None:
            self._view.link.close()
            self._view.link = None

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Changed():
                self._follow(message)
            case FellBehind():
                self._catch_up()
            case CommandCame(asked, at):
                self._command(asked, at)
            case CommandTurnedDown(refused):
                if self._refusals.note(refused):
                    self._setpoints.turned_down(refused)
            case Remarked(text):
                self._remarks.note(text)
            case DeskReplied(DispatchReplied() as replied):
                self._setpoints.take(replied)
            case DeskReplied(OrderReplied() as replied):
                self._drain()  # return information goes before the termination
                self._orders.take(replied)
            case Tick():
                self._tick()
            case _:
                return super().receive(message)
        return None

    # ---------------------------------------------------------------- values

    def _drain(self) -> None:
        if waiting := self._mailbox.drain(Changed, DRAIN):
            self._follow(*waiting)

    def _follow(self, *changed: Changed) -> None:
        """Bring change sets into the station, those that wait with them."""
        sets = [message.changes for message in (*changed, *self._mailbox.drain(Changed, DRAIN))]
        if not self._follows_on(sets):
            self._catch_up()
            return
        sent = joined([self._values.of_changes(one, self._seq) for one in sets if one.last > self._seq])
        self._seq = max(self._seq, sets[-1].last)
        if not len(sent):
            return
        if not self._fault:
            try:
                self._link.run(lambda station: give(station, sent, self._seq))
            except StoreError as error:
                self._on_fault(error)
        if self._fault:
            self._link.run(lambda station: show(station, sent))

    def _follows_on(self, sets: Sequence[ChangeSet]) -> bool:
        """Nothing is missing before or between these: what found our mailbox full was left out."""
        seq = self._seq
        for one in sets:
            if one.first > seq + 1:
                return False
            seq = max(seq, one.last)
        return True

    def _catch_up(self) -> None:
        """Bring queue and image to the present: what happened since the number in the queue becomes events."""
        snapshot = self._store.snapshot(self._values.pids)
        present = self._values.of_snapshot(snapshot)
        missed, whole = self._missed(self._queue.source_seq, snapshot.seq)
        self._seq = snapshot.seq

        def take(station: Outstation) -> None:
            try:
                give(station, missed, snapshot.seq)
                note(station, snapshot.seq)
            finally:
                station.load(present.pid, present.value, present.quality, present.time_ns)
                if not whole:
                    station.renew()

        try:
            self._link.run(take)
        except StoreError as error:
            self._on_fault(error)
        else:
            self._on_recovery()

    def _missed(self, after: int, upto: int) -> tuple[Sent, bool]:
        """What the journal holds of these points after a number, and whether that is all; nothing for a queue just made."""
        missed, whole = [], True
        try:
            if after and upto:
                for change in self._store.changes(after):
                    if change.first > upto:
                        break
                    missed.append(self._values.of_changes(change, after))
        except GapError as gap:
            self._tell("upstream.gap", AlarmClass.ABNORMAL, 2, {"reason": str(gap)})
            whole = False
        return joined(missed), whole

    def _on_fault(self, error: StoreError) -> None:
        """The queue cannot be written: states are shown, and become events once it can."""
        if not self._fault:
            _log.error("the upstream queue cannot be written", station=self._station.name, cause=str(error))
            self._tell("upstream.fault", AlarmClass.ABNORMAL, 2, {"reason": str(error)})
        self._fault = str(error)

    def _on_recovery(self) -> None:
        fault, self._fault = self._fault, ""
        if fault:
            _log.info("the upstream queue is written again", station=self._station.name)
            self._tell("upstream.recovered", AlarmClass.NOTICE, 3, {"reason": fault})

    # ---------------------------------------------------------------- commands

    def _command(self, asked: CommandAsked, at: float) -> None:
        orders: UpstreamSetpoints | UpstreamOrders = self._orders
        if is_for_dispatch(asked.control):
            orders = self._setpoints
            self._heard |= {self._masters.principal(asked).name}
        if asked.step == "cancel":
            orders.step(asked)
        elif not self._rate.allows(asked.master):
            self._refuse(asked, f"{asked.master} sends more than {self._rate.per_minute:g} commands a minute")
        elif not self._masters.principal(asked).rights:
            self._refuse(asked, f"{asked.master} is granted no command")
        elif (waited := self._clock.monotonic() - at) > STALE_S:
            self._refuse(asked, f"it waited here for {waited:.0f} s, and who sent it may have given it up")
        else:
            orders.step(asked)

    def _refuse(self, asked: CommandAsked, why: str) -> None:
        self._link.answer(asked.ticket, False)
        self._refusals.step(asked, why)

    # ---------------------------------------------------------------- beats

    def _tick(self) -> None:
        now = self._clock.monotonic()
        if now - self._stored_at >= STORE_S:
            self._store_place()
        if not self._link.listening and now - self._tried_at >= LISTEN_S:
            self._listen()
        self._refusals.tick()
        self._setpoints.tick()
        self._publish()

    def _store_place(self) -> None:
        """Say to the journal how far we are; on our own disk first."""
        self._stored_at, seq = self._clock.monotonic(), self._seq
        if self._fault:
            self._catch_up()
            return

        try:
            self._link.run(lambda station: note(station, seq))
        except StoreError as error:
            self._on_fault(error)
        self._store.acknowledge(self._consumer, self._queue.stored_seq)

    def _listen(self) -> None:
        self._tried_at = self._clock.monotonic()
        reason = "" if any(group.masters for group in self._station.groups) else "no group names a master, so nobody may connect"
        try:
            if not reason:
                self._link.listen()
        except ScadaError as error:
            reason = str(error)
        if reason and reason != self._reason:
            _log.warning("an upstream station does not listen", station=self._station.name, cause=reason)
            self._tell("upstream.not_listening", AlarmClass.ABNORMAL, 2, {"reason": reason})
        self._reason = reason

    def _publish(self) -> None:
        groups, done, refused = self._link.run(lambda station: (station.report(), station.desk.done, station.desk.refused))
        self._watch.look(groups)
        self._say_heard(groups)
        self._view.status = pb.UpstreamStation(
            name=self._station.name,
            endpoint=self._link.endpoint,
            listening=self._link.listening,
            reason=self._fault or self._reason or next((group.fault for group in groups if group.fault), ""),
            points=len(self._station.points),
            controls=len(self._station.controls) + len(self._station.setpoints),
            capacity=self._queue.capacity,
            commands_done=done,
            commands_refused=refused,
            groups=[shown_group(group) for group in groups],
            tls=self._link.tls,
        )

    def _tell_dispatch(self, message: Any) -> None:
        if self._dispatch is not None:
            self._dispatch.tell(message)

    def _say_heard(self, groups: Sequence[GroupReport]) -> None:
        """A master with a started link is heard by dispatch; one whose last link went down is gone."""
        if not self._station.setpoints:
            return
        heard = self._masters.started(groups)
        for sender in sorted(heard | self._heard):
            self._tell_dispatch(DispatchHeard(sender, gone=sender not in heard))
        self._heard = heard

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: Mapping[str, str]) -> None:
        told = {"station": self._station.name, **parameters}
        event = Event(
            self._clock.now_ns(),
            EventKind.SYSTEM,
            alarm_class,
            priority,
            key,
            told,
            mrid=self._station.mrid,
            path=self._station.name,
        )
        self._events.tell(Report((event,)))
