"""RTDB actor: the one writer of the real-time database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog

from scada.actors.base import Actor, Address
from scada.actors.messages import (
    Apply,
    ApplyDerived,
    Changed,
    Checkpoint,
    FollowChanges,
    MarkQuality,
    Report,
    Tick,
    UnfollowChanges,
)
from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.changes import ChangeSet
from scada.rtdb.store import Store

_log = structlog.get_logger("rtdb")

DRAIN = 64
"""Waiting messages that share one group commit."""


class RtdbActor(Actor):
    """Applies batches, commits once for all that wait, publishes each change set in order to every follower.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        store: the open database; it outlives this actor.
        followers: actors that get every :class:`~scada.actors.messages.Changed`.
        listeners: callables that get every change set, shared with the next life.
        events: told of a full disk and the like.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        store: Store,
        followers: Sequence[Address],
        listeners: list[Callable[[ChangeSet], None]],
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._store = store
        self._followers = followers
        self._listeners = listeners
        self._events = events
        self._clock = clock
        self._waiting: list[Callable[[], None]] = []
        self._fault = ""

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Apply() | ApplyDerived() | MarkQuality():
                self._apply(message)
                for more in self._mailbox.drain(Apply, DRAIN):
                    self._apply(more)
                self._commit()
            case Tick():
                self._commit()
            case Checkpoint():
                self._guard(self._store.checkpoint)
            case FollowChanges(listener):
                self._listeners.append(listener)
                return self._store.head
            case UnfollowChanges(listener):
                if listener in self._listeners:
                    self._listeners.remove(listener)
            case _:
                return super().receive(message)
        return None

    def stopped(self) -> None:
        """Commit what waits and leave a checkpoint."""
        self._commit()
        self._guard(self._store.checkpoint)

    def _apply(self, message: Apply | ApplyDerived | MarkQuality) -> None:
        match message:
            case Apply(batches, done):
                for batch in batches:
                    self._store.apply(batch)
                if done is not None:
                    self._waiting.append(done)
            case ApplyDerived(batch):
                self._store.apply(batch)
            case MarkQuality(pids, set_bits, clear_bits):
                self._store.set_quality(pids, set_bits=set_bits, clear_bits=clear_bits)

    def _commit(self) -> None:
        changes = self._guard(self._store.commit)
        if self._fault:
            return
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done()
        if changes is None:
            return
        for follower in self._followers:
            follower.tell(Changed(changes))
        for listener in list(self._listeners):
            listener(changes)

    def _guard(self, work: Callable[[], ChangeSet | None]) -> ChangeSet | None:
        """Run a disk operation. A failure is told once, what it held stays pending, and the next beat tries again."""
        try:
            result = work()
        except StoreError as error:
            if str(error) != self._fault:
                self._fault = str(error)
                _log.error("the database cannot write; values wait and reading pauses", cause=self._fault)
                self._tell("rtdb.fault", AlarmClass.ACCIDENT, 1, {"reason": self._fault})
            return None
        if self._fault:
            _log.info("the database writes again")
            self._tell("rtdb.recovered", AlarmClass.NOTICE, 3, {"reason": self._fault})
            self._fault = ""
        return result

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))
