"""Mailbox of a supervised actor: two lanes, bounded, coalescing, and it outlives the actor that reads it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from pykka import ActorDeadError, Future


@dataclass(frozen=True, slots=True)
class Message:
    """Base of every message between actors: frozen, typed, never shared mutable state.

    Class attributes:
        data_lane: bulk data; waits behind control messages, and its senders wait when the lane is full.
        coalesce: only the newest pending message of this class (and :meth:`coalesce_key`) is kept, e.g. a timer's tick.
        read_anew: a new life of the actor reads elsewhere what this message says (a snapshot, the journal); while the actor is
            down it is not kept, so that one who fails again and again never makes the database wait.
    """

    data_lane: ClassVar[bool] = False
    coalesce: ClassVar[bool] = False
    read_anew: ClassVar[bool] = False

    def coalesce_key(self) -> object:
        """What tells two coalescing messages of one class apart."""
        return None


@dataclass(slots=True)
class Envelope:
    """A message on its way; the shape that pykka's receive loop reads."""

    message: Any
    reply_to: Future[Any] | None = None
    at: float = 0.0
    """Host monotonic seconds at which it was put; of coalesced messages, the first."""


class Mailbox:
    """Inbox with a control lane that is never refused and a bounded data lane.

    A sender of data blocks while the lane is full (back-pressure; nothing is dropped). The mailbox belongs to the actor's
    :class:`~scada.actors.base.Address`, so that messages sent while the actor is down wait for its next incarnation.

    Args:
        capacity: data messages held before senders wait.
        now: host monotonic seconds.

    Attributes:
        in_hand: the message taken last; kept when it made its actor fail.
    """

    def __init__(self, capacity: int = 1024, now: Callable[[], float] = time.monotonic) -> None:
        self.capacity = capacity
        self.now = now
        self.in_hand: Any = None
        self._control: deque[Envelope] = deque()
        self._data: deque[Envelope] = deque()
        self._pending: dict[object, Envelope] = {}
        self._lock = threading.Lock()
        self._filled = threading.Condition(self._lock)
        self._room = threading.Condition(self._lock)
        self._closed = self._resting = False

    def put(self, envelope: Any, *, wait: bool = True) -> bool:
        """Add a message; blocks a sender of data while its lane is full.

        After :meth:`close` an ask gets an error and a tell is dropped, since nobody will ever read it.

        Args:
            envelope: the message.
            wait: False does not block.

        Returns:
            False if the lane is full and the message was therefore not taken.
        """
        message = envelope.message
        is_message = isinstance(message, Message)
        with self._lock:
            if self.closed():
                _refuse(envelope)
                return True
            if not isinstance(envelope, Envelope):  # pykka's own, which asks an actor to stop
                envelope = Envelope(envelope.message, envelope.reply_to)
            envelope.at = self.now()
            if is_message and message.coalesce:
                key = (type(message), message.coalesce_key())
                waiting = self._pending.get(key)
                if waiting is not None:
                    waiting.message = message
                    return True
                self._pending[key] = envelope
            if is_message and message.data_lane:
                if not wait and len(self._data) >= self.capacity and not self._gone(message):
                    return False
                self._room.wait_for(lambda: len(self._data) < self.capacity or self._gone(message))
                if self._gone(message):
                    _refuse(envelope)
                    return True
                self._data.append(envelope)
            else:
                self._control.append(envelope)
            self._filled.notify()
        return True

    def get(self) -> Any:
        """Take the next message, control lane first; blocks while both are empty."""
        with self._lock:
            while not self._control and not self._data:
                self._filled.wait()
            return self._take(self._control or self._data)

    def drain(self, kind: type[Message], limit: int) -> list[Any]:
        """Take up to ``limit`` further data messages of one class from the head of the data lane, without waiting."""
        taken: list[Any] = []
        with self._lock:
            while self._data and len(taken) < limit and isinstance(self._data[0].message, kind):
                taken.append(self._take(self._data).message)
        return taken

    def take_told(self, kinds: tuple[type[Message], ...], limit: int) -> list[Any]:
        """Take up to ``limit`` further messages of these classes from the head of the control lane, without waiting.

        An ask ends it: its reply goes out by the actor's receive loop.
        """
        taken: list[Any] = []
        with self._lock:
            while self._control and len(taken) < limit:
                head = self._control[0]
                if head.reply_to is not None or not isinstance(head.message, kinds):
                    break
                taken.append(self._take(self._control).message)
        return taken

    def _take(self, lane: deque[Envelope]) -> Envelope:
        envelope = lane.popleft()
        self.in_hand = message = envelope.message
        if isinstance(message, Message) and message.coalesce:
            self._pending.pop((type(message), message.coalesce_key()), None)
        if lane is self._data:
            self._room.notify()
        return envelope

    def rest(self) -> None:
        """The actor is down: drop what its next life reads anew, until :meth:`wake`."""
        with self._lock:
            self._resting = True
            self._data = deque(one for one in self._data if not (isinstance(one.message, Message) and one.message.read_anew))
            self._room.notify_all()

    def wake(self) -> None:
        """A new life begins, and reads anew only after this."""
        with self._lock:
            self._resting = False

    def forget_stop(self) -> None:
        """The actor died before it came to the order to stop: whoever waits for that is told."""
        with self._lock:
            for envelope in [one for one in self._control if not isinstance(one.message, Message)]:
                self._control.remove(envelope)
                _refuse(envelope)

    def refuse_rest(self) -> int:
        """Nobody will read what is left: asks get an error. Returns how many messages there were."""
        with self._lock:
            left = [*self._control, *self._data]
            self._control.clear()
            self._data.clear()
            for envelope in left:
                _refuse(envelope)
        return len(left)

    def _gone(self, message: Message) -> bool:
        return self.closed() or (self._resting and message.read_anew)

    def closed(self) -> bool:
        """True once nothing more is accepted."""
        return self._closed

    def empty(self) -> bool:
        """True if nothing waits."""
        return not self._control and not self._data

    def close(self) -> None:
        """Refuse what comes and wake senders that wait for room."""
        with self._lock:
            self._closed = True
            self._room.notify_all()

    def oldest_s(self) -> float:
        """Real seconds the longest waiting message has waited, 0 if none waits."""
        with self._lock:
            heads = [lane[0].at for lane in (self._control, self._data) if lane]
        return self.now() - min(heads) if heads else 0.0

    def qsize(self) -> int:
        """Messages waiting in both lanes."""
        return len(self._control) + len(self._data)


def _refuse(envelope: Envelope) -> None:
    if envelope.reply_to is not None:
        envelope.reply_to.set_exception((StoppedError, StoppedError("the actor has been stopped"), None))


class StoppedError(ActorDeadError):
    """An ask went to an actor that has been stopped for good."""
