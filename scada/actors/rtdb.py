"""RTDB actor: the one writer of the real-time database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pykka
import structlog

from scada.actors.base import Actor, Address
from scada.actors.housekeeping import Housekeeping
from scada.actors.messages import (
    Apply,
    ApplyDerived,
    Changed,
    Checkpoint,
    FellBehind,
    FollowChanges,
    Grow,
    Hold,
    MarkQuality,
    Release,
    Report,
    Tick,
    UnfollowChanges,
)
from scada.core.batch import POINT_DTYPE
from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.changes import ChangeSet
from scada.rtdb.store import Store

_log = structlog.get_logger("rtdb")

DRAIN = 64
"""Waiting messages that share one group commit."""
NO_RECORDS = np.zeros(0, dtype=POINT_DTYPE)
NO_TIMES = np.zeros(0, dtype=np.int64)
HOLD_S = 10.0
"""Seconds for which stations are not told that their events arrived while the journal cannot be written; below their usual t1."""


class RtdbActor(Actor):
    """Applies batches, commits once for all that wait, publishes each change set in order to every follower.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        store: the open database; it outlives this actor.
        readers: actors that get each :class:`~scada.actors.messages.Changed` before the followers, unless their mailbox is full:
            then they read the journal, and nobody waits for them.
        followers: actors that get every :class:`~scada.actors.messages.Changed`.
        listeners: callables that get every change set, shared with the next life.
        waiting: what is to be called at the next commit, and whether that must be on disk; shared with the next life, so that no
            driver waits for ever for a commit that a failure came before.
        events: told of a full disk, of slow readers and the like.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        store: Store,
        readers: Sequence[Address] = (),
        followers: Sequence[Address],
        listeners: list[Callable[[ChangeSet], None]],
        waiting: list[tuple[Callable[[], None], bool]],
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._store = store
        self._readers, self._followers = readers, followers
        self._listeners = listeners
        self._events = events
        self._clock = clock
        self._waiting = waiting
        self._housekeeping = Housekeeping(store, clock)
        self._fault = ""
        self._faulty_since: float | None = None
        self._let_go = False
        self._lost = self._unknown = 0

    def started(self) -> None:
        """Say if other processes cannot read the database."""
        if self._store.not_shared:
            _log.warning("other processes cannot read the database", cause=self._store.not_shared)
            self._tell("rtdb.not_shared", AlarmClass.ABNORMAL, 3, {"reason": self._store.not_shared})

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Apply() | ApplyDerived() | MarkQuality():
                self._apply(message)
                for _ in range(DRAIN):
                    # one at a time: what was taken from the mailbox when a batch makes us fail would be lost with it
                    more = self._mailbox.drain(Apply, 1)
                    if not more:
                        break
                    self._apply(more[0])
                self._commit()
            case Hold(pid, value):
                return self._hold(lambda: self._store.hold(pid, value))
            case Release(pid):
                return self._hold(lambda: self._store.release(pid))
            case Tick():
                self._commit()
                if events := self._housekeeping.look():
                    self._events.tell(Report(events))
            case Checkpoint():
                self._store.checkpoint()
                self._watch_disk()
            case Grow():
                return self._grow(message)
            case FollowChanges(listener):
                self._listeners.append(listener)
                return self._store.head
            case UnfollowChanges(listener):
                self._listeners[:] = [one for one in self._listeners if one != listener]
            case _:
                return super().receive(message)
        return None

    def stopped(self) -> None:
        """Commit what waits."""
        self._commit()

    def _apply(self, message: Apply | ApplyDerived | MarkQuality) -> None:
        match message:
            case Apply(batches, done, durable):
                if done is not None:
                    self._waiting.append((done, durable))
                for batch in batches:
                    self._store.apply(batch)
            case ApplyDerived(batch):
                self._store.apply(batch)
            case MarkQuality(pids, set_bits, clear_bits):
                self._store.set_quality(pids, set_bits=set_bits, clear_bits=clear_bits)

    def _hold(self, act: Callable[[], bool]) -> bool:
        """Commit an operator's hold or release before it is answered."""
        done = act()
        self._commit()
        return done

    def _grow(self, message: Grow) -> tuple[int, list[pykka.Future[Any]]]:
        """Between two commits: room for the points of another model version, which runs from the next one on."""
        self._commit()
        began = time.perf_counter_ns()
        generation = message.changed.generation
        points = len(generation.tables.points)
        self._store.grow(points, generation.event_pids, generation.identity, message.reserve)
        self._readers = message.take_over()
        self._commit()  # what the database forgot of pids that stood for something else
        answers = [follower.ask(message.changed) for follower in self._followers]
        stopped = time.perf_counter_ns() - began
        nothing = ChangeSet(self._store.head + 1, NO_RECORDS, NO_TIMES, self._clock.now_ns())
        self._call_listeners(nothing)  # viewers begin again with the new model, also while no value changes
        return stopped, answers

    def _commit(self) -> None:
        changes = self._store.commit()
        self._answer()
        if changes is not None:
            changed = Changed(changes)
            for reader in self._readers:
                if not reader.offer(changed):
                    reader.tell(FellBehind())
            for follower in self._followers:
                follower.tell(changed)
            self._call_listeners(changes)
        self._watch_disk()

    def _answer(self) -> None:
        """Tell who waits for the commit; of status changes not while they are only in memory, for a while.

        A station that is not told sends them again, so a short fault of the disk costs nothing even if the power fails in it. In
        a lasting one the present values of all stations are worth more than events that one more fault could take.
        """
        now = self._clock.monotonic()
        self._faulty_since = None if self._store.fault is None else now if self._faulty_since is None else self._faulty_since
        patient = self._faulty_since is not None and now - self._faulty_since < HOLD_S
        ready = [done for done, durable in self._waiting if not (durable and patient)]
        held = [item for item in self._waiting if item[1] and patient]
        if self._faulty_since is None or patient:
            self._let_go = False
        elif not self._let_go:
            self._let_go = True
            self._tell("rtdb.unwritten_acknowledged", AlarmClass.ACCIDENT, 1, {"reason": str(self._store.fault)})
        self._waiting[:] = held
        for done in ready:
            done()

    def _call_listeners(self, changes: ChangeSet) -> None:
        for listener in list(self._listeners):
            try:
                listener(changes)
            except Exception as error:  # noqa: BLE001 - a face's fault is not the database's
                _log.error("a listener of changes failed and is dropped", cause=f"{type(error).__name__}: {error}")
                self._listeners.remove(listener)

    def _watch_disk(self) -> None:
        """Tell once what keeps the journal from being written, and that it is written again.

        Meanwhile the store holds the changes in memory and tries at every commit; values go on to everyone.
        """
        store = self._store
        fault = "" if store.fault is None else str(store.fault)
        if fault and not self._fault:
            _log.error("the journal cannot be written; changes wait in memory", cause=fault)
            self._tell("rtdb.fault", AlarmClass.ACCIDENT, 1, {"reason": fault})
        elif self._fault and not fault:
            _log.info("the journal is written again", journaled=store.journaled)
            self._tell("rtdb.recovered", AlarmClass.NOTICE, 3, {"reason": self._fault})
        self._fault = fault
        if store.lost > self._lost:
            _log.error("changes were given up unwritten", count=store.lost - self._lost)
            self._tell("rtdb.lost", AlarmClass.ACCIDENT, 1, {"count": str(store.lost - self._lost)})
            self._lost = store.lost
        if store.unknown > self._unknown:
            _log.warning("values of unknown points were refused", count=store.unknown - self._unknown, pid=store.unknown_pid)
            self._tell("rtdb.unknown_point", AlarmClass.ABNORMAL, 2, {"pid": str(store.unknown_pid)})
            self._unknown = store.unknown

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))
