"""Event actor: owns the alarms and the event log; numbers, stores, then publishes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from scada.actors.base import Actor, Address
from scada.actors.messages import (
    Acknowledge,
    Changed,
    ChannelState,
    FollowEvents,
    Report,
    TagsChanged,
    Tick,
    UnfollowEvents,
)
from scada.core.clock import Clock
from scada.events.alarms import AlarmEngine
from scada.events.log import EventLog
from scada.events.records import Alarm, Event, EventKind
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.store import Store

_log = structlog.get_logger("events")

Listener = Callable[[Sequence[Event]], None]
CONSUMER = "events"
"""Name under which the journal is kept for the event log."""
CATCH_UP = 20_000
"""Records of the journal handled at a time after a restart."""


@dataclass(slots=True)
class AlarmView:
    """Present alarms as last published; replaced as a whole, written by the event actor alone."""

    alarms: Sequence[Alarm] = ()
    last_event_id: int = 0


class EventActor(Actor):
    """Turns changes into events and alarms.

    An event is on disk before anybody sees it. After a restart the changes that were committed but not yet judged are read from
    the journal, so that no status change is lost between the database and the event log.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        store: read for the changes since the last life.
        log: the open event log; it outlives this actor.
        view: where present alarms are published.
        listeners: called with each stored list of events; shared with the next life.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        tables: ModelTables,
        store: Store,
        log: EventLog,
        view: AlarmView,
        listeners: list[Listener],
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._tables = tables
        self._store = store
        self._log = log
        self._view = view
        self._listeners = listeners
        self._clock = clock
        self._engine = AlarmEngine(tables.points, clock, log.next_id)
        self._seq = 0
        self._fault = ""
        self._lost = log.lost

    def started(self) -> None:
        """Take the alarms over from the log and judge what happened since."""
        self._publish(self._engine.restore(self._log.alarms()))
        self._show()
        self._seq = self._log.seq
        self._store.register(CONSUMER, self._log.stored_seq)
        try:
            for change in self._store.changes(self._seq):
                self._judge_again(change)
        except GapError as gap:
            _log.warning("the journal does not reach back to the last event; all present values are judged", reason=str(gap))
            snapshot = self._store.snapshot()
            self._seq = snapshot.seq
            self._publish(self._engine.resync(snapshot), snapshot.seq)
            self._publish([self._system("events.gap", AlarmClass.ABNORMAL, 2, {"reason": str(gap)})])

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Changed(changes):
                self._judge(changes)
            case Tick():
                self._publish(self._engine.tick(self._clock.now_ns()))
                self._store.acknowledge(CONSUMER, self._log.stored_seq)
                self._watch_disk()
            case Report(events):
                self._publish(events)
            case ChannelState(name, mrid, _, up, reason):
                self._publish(self._engine.channel(name, mrid, up, reason, self._clock.now_ns()))
            case Acknowledge(alarm_ids, user):
                events, acknowledged, unknown = self._engine.acknowledge(alarm_ids, user, self._clock.now_ns())
                self._publish(events)
                return acknowledged, unknown
            case TagsChanged():
                pass  # the alarm engine does not set alarms aside by tags yet
            case FollowEvents(listener):
                self._listeners.append(listener)
                return self._log.last_id
            case UnfollowEvents(listener):
                if listener in self._listeners:
                    self._listeners.remove(listener)
            case _:
                return super().receive(message)
        return None

    def _judge(self, change: ChangeSet) -> None:
        if change.last <= self._seq:
            return
        self._publish(self._engine.process(change), change.last)
        self._seq = change.last

    def _judge_again(self, change: ChangeSet) -> None:
        """Judge what a forerunner may have failed at; what cannot be judged is said and passed over, so that others follow."""
        try:
            self._judge(change)
        except Exception as error:  # noqa: BLE001 - whatever it is, the alarms after it matter more
            reason = f"{type(error).__name__}: {error}"
            _log.error("changes could not be judged and are passed over", first=change.first, last=change.last, cause=reason)
            parameters = {"first": str(change.first), "last": str(change.last), "reason": reason}
            self._seq = change.last
            self._publish([self._system("events.unjudged", AlarmClass.ACCIDENT, 1, parameters)], change.last)

    def _publish(self, events: Sequence[Event], seq: int = 0) -> None:
        changed = self._engine.take_changed()
        if not events and not changed:
            self._log.append((), seq=seq)  # keeps our place in the journal, and retries what a full disk held up
            return
        stored = self._log.append(events, alarms=changed, seq=seq)
        self._show()
        if stored:
            self._call_listeners(stored)
        self._watch_disk()

    def _show(self) -> None:
        self._view.alarms = self._engine.alarms()
        self._view.last_event_id = self._log.last_id

    def _call_listeners(self, events: Sequence[Event]) -> None:
        for listener in list(self._listeners):
            try:
                listener(events)
            except Exception as error:  # noqa: BLE001 - a face's fault is not the event log's
                _log.error("a listener of events failed and is dropped", cause=f"{type(error).__name__}: {error}")
                self._listeners.remove(listener)

    def _watch_disk(self) -> None:
        fault = "" if self._log.fault is None else str(self._log.fault)
        if fault == self._fault:
            return
        self._fault, previous = fault, self._fault
        if fault:
            _log.error("the event log cannot be written; events wait in memory", cause=fault)
            self._publish([self._system("events.fault", AlarmClass.ACCIDENT, 1, {"reason": fault})])
        else:
            _log.info("the event log is written again")
            told = [self._system("events.recovered", AlarmClass.NOTICE, 3, {"reason": previous})]
            if lost := self._log.lost - self._lost:
                _log.error("events were given up unwritten", count=lost)
                told.append(self._system("events.lost", AlarmClass.ACCIDENT, 1, {"count": str(lost)}))
            self._lost = self._log.lost
            self._publish(told)

    def _system(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> Event:
        return Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
