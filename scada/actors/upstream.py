"""Upstream actor: this control centre as a controlled station towards one upstream control centre (IEC 60870-5-104).

It follows the database as a registered consumer (:mod:`scada.actors.upstream_following`) and brings every change into the
outstation, which lives on an event loop apart from the front end's: its queue of events is synced to the disk there, and no field
channel waits for that.
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
from scada.actors.upstream_following import UpstreamFollower
from scada.actors.upstream_masters import CommandRate, Masters, MasterWatch, Refusals, Remarks, shown_group
from scada.actors.upstream_orders import OrderReplied, UpstreamOrders
from scada.actors.upstream_station import UpstreamLink, commands_per_minute
from scada.actors.wire import Wire
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables, UpstreamStation
from scada.protocols.iec104.event_queue import EventQueue
from scada.protocols.iec104.groups import GroupReport
from scada.protocols.iec104.operate import CommandAsked, CommandRefused
from scada.rtdb.store import Store
from scada.security.audit import AuditLog

_log = structlog.get_logger("upstream")

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
        self._masters = Masters(self._station.name, masters)
        self._refusals = Refusals(self._masters, audit, self._tell, clock)
        self._remarks, self._watch = Remarks(self._station.name, self._tell, clock), MasterWatch(self._tell)
        self._tables, self._wire = tables, wire
        self._control, self._dispatch = control, dispatch
        self._audit, self._rate = audit, CommandRate(commands_per_minute(self._station), clock)
        self._heard: frozenset[str] = frozenset()
        self._reason = ""
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
        self._follower = UpstreamFollower(
            self._station, len(self._tables.points), self._store, self._queue, self._link, self._mailbox, self._tell
        )
        self._listen()
        self._publish()

    def stopped(self) -> None:
        """Let the masters go and store the place in the journal."""
        self._follower.store_place()
        self._close()

    def _close(self) -> None:
        if self._view.link is not None:
            self._view.link.close()
            self._view.link = None

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Changed():
                self._follower.follow(message)
            case FellBehind():
                self._follower.catch_up()
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
                self._follower.drain()  # return information goes before the termination
                self._orders.take(replied)
            case Tick():
                self._tick()
            case _:
                return super().receive(message)
        return None

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
            self._stored_at = now
            self._follower.store_place()
        if not self._link.listening and now - self._tried_at >= LISTEN_S:
            self._listen()
        self._refusals.tick()
        self._setpoints.tick()
        self._publish()

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
            reason=self._follower.fault or self._reason or next((group.fault for group in groups if group.fault), ""),
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
