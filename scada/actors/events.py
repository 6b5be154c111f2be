"""Event actor: owns the alarms and the event log; numbers, stores, then publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import takewhile
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.alarm_view import AlarmView
from scada.actors.base import Actor, Address
from scada.actors.messages import (
    Acknowledge,
    Changed,
    ChannelState,
    FollowEvents,
    ModelChanged,
    Report,
    Suppress,
    Tick,
    UnfollowEvents,
)
from scada.actors.order_messages import TagsChanged
from scada.core.clock import Clock
from scada.core.settings import AlarmSettings
from scada.events.alarms import AlarmEngine
from scada.events.log import EventLog
from scada.events.records import Event, EventKind
from scada.events.soe import SoeWindow, StatusLines
from scada.events.suppression import SuppressionError
from scada.model_cim.tables import AlarmClass, ModelTables
from scada.rtdb.changes import ChangeSet, GapError, Snapshot
from scada.rtdb.store import Store

_log = structlog.get_logger("events")

Listener = Callable[[Sequence[Event]], None]
CONSUMER = "events"
"""Name under which the journal is kept for the event log."""
NO_PIDS = np.zeros(0, dtype=np.uint32)
CATCH_UP = 20_000
"""Records of the journal that share one write of the log after a restart."""
DRAIN = 256
"""Waiting change sets that share one write of the log."""
EXPIRE_S = 60.0
"""Time between looks for events that are too old."""


class EventActor(Actor):
    """Turns changes into events and alarms.

    An event is on disk before anybody sees it. What waits in the mailbox shares one write. Lines of the sequence of events are
    held back for a window, on disk too, and numbered in order of their source times; alarms are not held back. After a restart
    the changes that were committed but not yet judged are read from the journal, and the held lines from the log, so that no
    status change is lost between the database and the event log, nor told twice.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        tables: the model.
        store: read for the changes since the last life.
        log: the open event log; it outlives this actor.
        view: where present alarms are published.
        listeners: called with each stored list of events; shared with the next life.
        clock: stamps.
        tagged: what :class:`~scada.actors.order_messages.TagsChanged` says, asked at the start of each life; None = it is only
            told.
        soe_window_s: how long lines of the sequence of events are held back.
        settings: section ``[alarms]``.
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
        tagged: Callable[[], Mapping[str, str]] | None = None,
        soe_window_s: float = 0.0,
        settings: AlarmSettings | None = None,
    ) -> None:
        super().__init__(address, failed)
        self._store = store
        self._log = log
        self._view = view
        self._listeners = listeners
        self._clock = clock
        self._tagged = tagged
        self._know_channels(tables)
        self._engine = AlarmEngine(tables.points, clock, log.next_id, settings)
        self._lines = StatusLines(tables.points)
        self._window = SoeWindow(soe_window_s, clock)
        self._events: list[Event] = []
        """Judged and not yet stored: numbered events of the engine."""
        self._unheld: list[Event] = []
        """Lines that do not wait in the window."""
        self._held: list[Event] = []
        """Lines that wait in the window and are not yet safe in the log."""
        self._seq = 0
        self._fault = ""
        self._lost = log.lost
        self._expire_at = 0.0

    def started(self) -> None:
        """Take alarms and held lines over from the log and judge what happened since."""
        self._log.forget_reserved()
        self._unheld += self._window.take(self._log.held())
        self._events += self._engine.restore(self._log.alarms(), self._log.suppressions(), self._channels)
        if self._tagged is not None:  # the message that told it may be the one at which the last life ended
            self._events += self._engine.set_tagged(self._tagged(), self._clock.now_ns())
        self._seq = self._log.seq
        self._flush()
        self._view.load(self._engine.alarms(), self._engine.suppressions(), self._log.last_id)
        self._store.register(CONSUMER, self._log.stored_seq)
        self._catch_up_over_gaps()
        self._events += self._engine.resync(self._store.snapshot())
        self._flush()

    def _catch_up_over_gaps(self) -> None:
        """Judge what the journal holds after the last event; what it does not hold any more is said."""
        while True:
            try:
                return self._catch_up()
            except GapError as gap:
                beyond = min(gap.oldest - 1, self._store.head)
                if beyond == self._seq:
                    return None
                _log.warning("the journal does not hold all changes since the last event", reason=str(gap))
                self._seq = beyond
                self._flush([self._system("events.gap", AlarmClass.ABNORMAL, 2, {"reason": str(gap)})])

    def _catch_up(self) -> None:
        unwritten = 0
        try:
            for change in self._store.changes(self._seq):
                self._judge_again(change)
                unwritten += len(change)
                if unwritten >= CATCH_UP:
                    self._flush()
                    unwritten = 0
        finally:
            self._flush()

    def stopped(self) -> None:
        """Number what is still held."""
        self._flush(everything=True)

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Changed(changes):
                self._judge(changes)
                for waiting in self._mailbox.drain(Changed, DRAIN):  # if one makes us fail, all are read from the journal again
                    self._judge(waiting.changes)
                self._flush()
            case ModelChanged(generation, alarms):
                self._adopt(generation.tables, alarms)
            case Tick():
                self._events += self._engine.tick(self._clock.now_ns())
                self._flush()
                self._store.acknowledge(CONSUMER, self._log.stored_seq)
                self._expire()
                self._watch_disk()
            case Report(events):
                self._flush(events)
            case ChannelState():
                self._on_channel(message)
            case Acknowledge(alarm_ids, user, seen):
                events, acknowledged, unknown = self._engine.acknowledge(alarm_ids, user, self._clock.now_ns(), seen=seen)
                self._events += events
                self._flush()
                return acknowledged, unknown
            case Suppress(request, user):
                return self._suppress(request, user)
            case TagsChanged(reasons):
                self._events += self._engine.set_tagged(reasons, self._clock.now_ns())
                self._flush()
            case FollowEvents(listener):
                self._listeners.append(listener)
                return self._log.last_id
            case UnfollowEvents(listener):
                self._listeners[:] = [one for one in self._listeners if one != listener]
            case _:
                return super().receive(message)
        return None

    def _adopt(self, tables: ModelTables, engine: AlarmEngine) -> None:
        """Go on with the alarms of another model version; delays, chattering and suppressions of what stays go on."""
        self._know_channels(tables)
        fresh = engine.succeed(self._engine, self._channels)
        self._engine, self._lines = engine, StatusLines(tables.points)
        self._events += fresh
        if self._tagged is not None:
            self._events += engine.set_tagged(self._tagged(), self._clock.now_ns())
        self._judge_present(engine.unjudged())
        self._flush()
        self._view.load(engine.alarms(), engine.suppressions(), self._log.last_id)

    def _know_channels(self, tables: ModelTables) -> None:
        self._channels = frozenset(channel.mrid for channel in tables.live_channels)
        self._gone = frozenset(channel.mrid for channel in tables.channels if channel.removed)

    def _on_channel(self, told: ChannelState) -> None:
        """Nobody would ever end the alarm of a channel that the model no longer has."""
        if told.mrid not in self._gone:
            self._events += self._engine.channel(told.name, told.mrid, told.up, told.reason, self._clock.now_ns())
            self._flush()

    # ------------------------------------------------------------------ judging

    def _judge(self, change: ChangeSet) -> None:
        if change.last > self._seq:
            self._take_lines(change)
            self._take_alarms(change)
            self._seq = change.last

    def _judge_again(self, change: ChangeSet) -> None:
        """Judge what a forerunner may have failed at; what cannot be judged is said and passed over, so that others follow."""
        for take in (self._take_lines, self._take_alarms):
            try:
                take(change)
            except Exception as error:  # noqa: BLE001 - whatever it is, the lines and alarms after it matter more
                reason = f"{type(error).__name__}: {error}"
                _log.error("changes could not be judged and are passed over", first=change.first, last=change.last, cause=reason)
                parameters = {"first": str(change.first), "last": str(change.last), "reason": reason}
                self._unheld.append(self._system("events.unjudged", AlarmClass.ACCIDENT, 1, parameters))
        self._seq = change.last

    def _judge_present(self, pids: npt.NDArray[np.uint32]) -> None:
        """Judge the values that points have where we stand; those that changed since are judged by their changes, in order."""
        if not len(pids):
            return
        present = self._store.snapshot(pids)
        try:
            waiting = takewhile(lambda change: change.first <= present.seq, self._store.changes(self._seq))
            later = [change.records["pid"] for change in waiting]
        except GapError as gap:
            _log.warning("the journal does not hold all changes since the last event", reason=str(gap))
            later = []
        stays = ~np.isin(pids, np.concatenate([NO_PIDS, *later]))
        stand = {each.name: getattr(present, each.name)[stays] for each in fields(Snapshot) if each.name != "seq"}
        self._events += self._engine.resync(Snapshot(present.seq, **stand))

    def _take_lines(self, change: ChangeSet) -> None:
        lines = self._lines.of(change)
        if lines:
            at_once = self._window.take(lines)
            self._unheld += at_once
            passed = {line.seq for line in at_once}
            self._held += [line for line in lines if line.seq not in passed]

    def _take_alarms(self, change: ChangeSet) -> None:
        self._events += self._engine.process(change)

    def _suppress(self, request: pb.ShelveRequest | pb.UnshelveRequest | pb.AlarmServiceRequest, user: str) -> pb.AlarmReply:
        names, now_ns = [(name.mrid, name.key) for name in request.alarms], self._clock.now_ns()
        try:
            match request:
                case pb.ShelveRequest():
                    events, unknown = self._engine.shelve(names, request.duration_s, user, request.reason, now_ns)
                case pb.UnshelveRequest():
                    events, unknown = self._engine.unshelve(names, user, now_ns)
                case _:
                    events, unknown = self._engine.set_service(names, request.out_of_service, user, request.reason, now_ns)
        except SuppressionError as error:
            return pb.AlarmReply(code="invalid", reason=str(error))
        self._events += events
        self._flush()
        accepted = len(unknown) < len(names)
        missing = [pb.AlarmName(mrid=mrid, key=key) for mrid, key in unknown]
        return pb.AlarmReply(accepted=accepted, code="" if accepted else "unknown_alarm", unknown=missing)

    # ------------------------------------------------------------------ storing and telling

    def _flush(self, reported: Iterable[Event] = (), *, everything: bool = False) -> None:
        """Store what was judged and reported, and the lines whose window has passed; then show it."""
        released = self._window.release(everything=everything)
        passed = {line.seq for line in released}
        hold = [line for line in self._held if line.seq not in passed]
        events = [*self._events, *reported, *self._unheld, *released]  # numbered ones first
        self._events, self._unheld, self._held = [], [], []
        changed, suppressions = self._engine.take_changed(), self._engine.take_suppressions()
        stored = self._log.append(events, alarms=changed, suppressions=suppressions, hold=hold, seq=self._seq)
        if changed or suppressions or stored:
            # a hidden alarm that begins or ends changes what is active under its suppression
            concerned = suppressions or any(alarm.suppressed for alarm in changed)
            self._view.update(changed, self._engine.suppressions() if concerned else None, self._log.last_id)
        if stored:
            self._call_listeners(stored)
            self._watch_disk()

    def _call_listeners(self, events: Sequence[Event]) -> None:
        for listener in list(self._listeners):
            try:
                listener(events)
            except Exception as error:  # noqa: BLE001 - a face's fault is not the event log's
                _log.error("a listener of events failed and is dropped", cause=f"{type(error).__name__}: {error}")
                self._listeners.remove(listener)

    def _expire(self) -> None:
        if self._clock.monotonic() >= self._expire_at and not self._log.expire():
            self._expire_at = self._clock.monotonic() + EXPIRE_S

    def _watch_disk(self) -> None:
        fault = "" if self._log.fault is None else str(self._log.fault)
        if fault == self._fault:
            return
        self._fault, previous = fault, self._fault
        if fault:
            _log.error("the event log cannot be written; events wait in memory", cause=fault)
            self._flush([self._system("events.fault", AlarmClass.ACCIDENT, 1, {"reason": fault})])
        else:
            _log.info("the event log is written again")
            told = [self._system("events.recovered", AlarmClass.NOTICE, 3, {"reason": previous})]
            if lost := self._log.lost - self._lost:
                _log.error("events were given up unwritten", count=lost)
                told.append(self._system("events.lost", AlarmClass.ACCIDENT, 1, {"count": str(lost)}))
            self._lost = self._log.lost
            self._flush(told)

    def _system(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> Event:
        return Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
