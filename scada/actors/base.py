"""Actors as we run them: pykka plus exactly what it lacks.

pykka gives the thread, the receive loop and futures. This module adds stable addresses whose mailbox survives a crash,
supervision with back-off and escalation, health and counters. A message that made an actor fail is not delivered again; those
behind it are.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pykka
import structlog

from scada.actors.asking import Answer, enter
from scada.actors.health import DeadLetter, Health
from scada.actors.mailbox import Envelope, Mailbox, Message
from scada.actors.timers import Timers
from scada.core.clock import Clock

_log = structlog.get_logger("actors")

BACKOFF_FIRST_S = 0.1
BACKOFF_MOST_S = 30.0
RESTARTS_BEFORE_ALARM = 5
"""Failures within ``WINDOW_S`` after which an actor is reported as failing again and again."""
WINDOW_S = 60.0
REPLACE_S = 10.0
"""Longest wait for an actor that is replaced to come to the end of what it does."""
LAST_LIVES = 5
"""Lives an actor may use up while it is stopped, for what its mailbox still holds."""


class Address:
    """Stable name of a supervised actor; valid before its start, between two lives and after its end.

    ``tell`` never fails: a message to an actor that is down waits for its next life.
    """

    def __init__(self, name: str, capacity: int = 1024) -> None:
        self.name = name
        self.mailbox = Mailbox(capacity)
        self.health = Health(name)

    def tell(self, message: Any) -> None:
        """Send and go on. A sender of data waits while the data lane is full."""
        self.mailbox.put(Envelope(message))

    def offer(self, message: Any) -> bool:
        """Send if there is room in the data lane, and never wait; whether it was sent."""
        return self.mailbox.put(Envelope(message), wait=False)

    def ask(self, message: Any) -> pykka.Future[Any]:
        """Send and get a future of the reply; always ``get`` it with a timeout.

        A ``get`` from inside an actor that would close a circle of waiting raises
        :class:`~scada.actors.asking.AskDeadlockError` at once.
        """
        future = Answer(self.name)
        self.mailbox.put(Envelope(message, future))
        return future

    def age_s(self) -> float:
        """Real seconds since the oldest message it has not dealt with was sent or, if none waits, taken in hand."""
        began = self.health.began
        in_hand = self.mailbox.now() - began if began else 0.0
        return max(self.mailbox.oldest_s(), in_hand)

    def __repr__(self) -> str:
        return f"Address({self.name})"


class Actor(pykka.ThreadingActor):
    """Base of our actors.

    Subclasses implement :meth:`receive` (``match`` over message classes) and may override :meth:`started` and :meth:`stopped`.
    An exception from ``receive`` of a told message, or from ``started``, ends this life; the supervisor begins the next.

    Args:
        address: mailbox and health of this actor.
        failed: called once with the exception when this life ends by one.
    """

    use_daemon_thread = True

    def __init__(self, address: Address, failed: Callable[[BaseException], None]) -> None:
        self._mailbox = address.mailbox
        self._failed = failed
        self._crashed = self._handed_on = False
        self.address = address
        super().__init__()

    def _create_actor_inbox(self) -> Mailbox:  # type: ignore[override]
        return self._mailbox

    def receive(self, message: Any) -> Any:
        """Handle one message; the returned value answers an ask."""
        raise NotImplementedError

    def started(self) -> None:
        """Run in the actor's thread before the first message."""

    def stopped(self) -> None:
        """Run in the actor's thread after the last message of an ordered stop, or before the next life of a replaced one."""

    def on_start(self) -> None:
        """Wrap :meth:`started`: pykka would let a failure here pass unseen."""
        enter(self.address.name)
        self._mailbox.in_hand = None
        self._mailbox.wake()
        try:
            self.started()
        except Exception as error:
            self._crash(error)
            raise
        self.address.health.state = "running"

    def on_stop(self) -> None:
        """Handle what still waits, then run :meth:`stopped`; a message that fails here costs none of those behind it."""
        if self._handed_on:
            return
        self._mailbox.close()
        while not self._mailbox.empty():
            envelope = self._mailbox.get()
            try:
                reply = self._handle_receive(envelope.message)
            except Exception as error:  # noqa: BLE001 - as in service, the others are delivered
                if envelope.reply_to is not None:
                    envelope.reply_to.set_exception()
                else:
                    self._failed(error)
            else:
                if envelope.reply_to is not None:
                    envelope.reply_to.set(reply)
        self.stopped()
        self.address.health.state = "stopped"

    def on_receive(self, message: Any) -> Any:
        """Count and time :meth:`receive`."""
        health = self.address.health
        begin = health.began = self._mailbox.now()
        try:
            return self._hand_on() if isinstance(message, HandOn) else self.receive(message)
        except (SystemExit, KeyboardInterrupt) as error:  # pykka would stop every actor of the process
            raise RuntimeError(f"a handler tried to end the process: {error!r}") from error
        finally:
            health.began = 0.0
            health.handled_one(self._mailbox.now() - begin)

    def _hand_on(self) -> None:
        """End this life; the mailbox waits, as it is, for the next one."""
        self.stopped()
        self._handed_on = True
        self._mailbox.rest()
        self.address.health.state = "replaced"
        self._stop()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Tell the supervisor."""
        del exception_type, traceback
        self._crash(exception_value or RuntimeError("unknown failure"))

    def _crash(self, error: BaseException) -> None:
        self._crashed = True
        self._mailbox.rest()
        self._failed(error)

    def _actor_loop_teardown(self) -> None:
        # The mailbox of one that crashed or is replaced waits for the next life, so pykka must not empty it.
        if not (self._crashed or self._handed_on):
            super()._actor_loop_teardown()


@dataclass(frozen=True, slots=True)
class HandOn(Message):
    """Ask: end this life and leave the mailbox to the next one."""


Factory = Callable[[Address, Callable[[BaseException], None]], Actor]


class Supervisor:
    """Starts actors, restarts those that fail (one for one, exponential back-off) and reports those that fail again and again.

    Args:
        clock: for back-off and the failure window.
        timers: run the restarts.
        escalate: called with (name, reason) when an actor has failed ``RESTARTS_BEFORE_ALARM`` times within ``WINDOW_S``;
            restarts go on at the longest back-off.
        failed: called with (name, reason) at each failure.
    """

    def __init__(
        self,
        clock: Clock,
        timers: Timers,
        *,
        escalate: Callable[[str, str], None] = lambda _name, _reason: None,
        failed: Callable[[str, str], None] = lambda _name, _reason: None,
    ) -> None:
        self._clock = clock
        self._timers = timers
        self._escalate = escalate
        self._report_failure = failed
        self._lock = threading.RLock()
        self._children: dict[str, tuple[Address, Factory]] = {}
        self._running: dict[str, pykka.ActorRef[Any]] = {}
        self._failures: dict[str, deque[float]] = {}
        self._draining: dict[str, tuple[Address, Factory]] = {}
        self._stopping = False

    def start(self, address: Address, factory: Factory) -> Address:
        """Start an actor under this supervisor.

        Args:
            address: its stable name.
            factory: makes one life: ``factory(address, failed)`` returns an unstarted actor; called anew for every restart.
        """
        with self._lock:
            self._children[address.name] = (address, factory)
            self._failures[address.name] = deque(maxlen=RESTARTS_BEFORE_ALARM)
        self._begin(address.name)
        return address

    def _begin(self, name: str) -> None:
        with self._lock:
            if self._stopping or name not in self._children:
                return
            address, factory = self._children[name]
            address.health.state = "starting"
            actor = factory(address, lambda error: self._on_failed(name, error))
            self._running[name] = _start(actor)

    def _begin_again(self, name: str) -> None:
        try:
            self._begin(name)
        except Exception as error:  # noqa: BLE001 - an actor that cannot even be made has failed like any other
            self._on_failed(name, error)

    def _on_failed(self, name: str, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {error}"
        with self._lock:
            child = self._children.get(name) or self._draining.get(name)
            if child is None:
                return
            address = child[0]
            self._bury(address, error, reason)
            if self._stopping or name in self._draining:
                _log.error("actor failed while it stopped", actor=name, reason=reason, at=_place(error))
                address.mailbox.forget_stop()
                return
            failures = self._failures[name]
            now = self._clock.monotonic()
            failures.append(now)
            recent = sum(1 for at in failures if now - at <= WINDOW_S)
            health = address.health
            health.restarts += 1
            health.reason = reason
            again = recent >= RESTARTS_BEFORE_ALARM
            health.state = "failing" if again else "waiting"
            delay = BACKOFF_MOST_S if again else min(BACKOFF_FIRST_S * 2 ** (recent - 1), BACKOFF_MOST_S)
        _log.error("actor failed", actor=name, reason=reason, at=_place(error), restart_in_s=delay)
        _log.debug("actor failed", actor=name, exc_info=error)
        self._report_failure(name, reason)
        if again:
            self._escalate(name, reason)
        self._timers.after(delay, lambda: self._begin_again(name))

    def _bury(self, address: Address, error: BaseException, reason: str) -> None:
        """Keep the message that made an actor fail, and where."""
        text = "".join(traceback.format_exception(error))
        message, address.mailbox.in_hand = address.mailbox.in_hand, None
        address.health.bury(DeadLetter(address.name, self._clock.now_ns(), message, reason, text))

    def retire(self, name: str, timeout_s: float = REPLACE_S) -> None:
        """End an actor whose work there is none for at present; its mailbox stays, and :meth:`start` begins the next life."""
        with self._lock:
            ref, child = self._running.pop(name, None), self._children.pop(name, None)
        if ref is not None and child is not None and ref.is_alive():
            child[0].ask(HandOn()).get(timeout=timeout_s)

    def replace(self, name: str, timeout_s: float = REPLACE_S) -> None:
        """Begin the next life of an actor at a message boundary; it counts as no failure, and no message is lost.

        Its factory is called when the present life has ended. One that is down, waiting for its restart, is left to it.

        Raises:
            Exception: the present life did not end in time or could not hand on, and goes on; or the next one cannot be made,
                and the restart that comes after a back-off tries again.
        """
        with self._lock:
            ref, child = self._running.get(name), self._children.get(name)
        if ref is None or child is None or not ref.is_alive():
            return
        child[0].ask(HandOn()).get(timeout=timeout_s)
        try:
            self._begin(name)
        except Exception as error:
            self._on_failed(name, error)
            raise

    def stop(self, names: list[str], timeout_s: float = 5.0) -> list[str]:
        """Stop actors in the given order, each after it handled what it had; returns those that did not stop in time.

        One that waits for its restart gets a last life for what its mailbox holds.
        """
        return [name for name in names if not self._stop_one(name, timeout_s)]

    def _stop_one(self, name: str, timeout_s: float) -> bool:
        with self._lock:
            child = self._children.pop(name, None)  # from here on no timer begins another life
            ref = self._running.pop(name, None)
            if child is None:
                return True
            self._draining[name] = child
        address, factory = child
        try:
            for _ in range(LAST_LIVES):
                if ref is not None and ref.stop(timeout=timeout_s):
                    break
                # it is down, or went down before it came to the order
                if address.mailbox.empty():
                    break
                ref = self._last_life(address, factory)
        except pykka.Timeout:
            address.mailbox.close()
            return False
        finally:
            with self._lock:
                del self._draining[name]
        address.mailbox.close()
        if left := address.mailbox.refuse_rest():
            _log.error("messages were left when an actor stopped", actor=name, count=left)
        return True

    def _last_life(self, address: Address, factory: Factory) -> pykka.ActorRef[Any] | None:
        try:
            return _start(factory(address, lambda error: self._on_failed(address.name, error)))
        except Exception as error:  # noqa: BLE001 - it cannot be made: what waits stays unread and is counted
            _log.error("actor cannot be made for its last messages", actor=address.name, reason=str(error))
            return None

    def stop_all(self, timeout_s: float = 5.0) -> list[str]:
        """Stop every actor, the latest started first."""
        with self._lock:
            self._stopping = True
            names = list(self._children)[::-1]
        return self.stop(names, timeout_s)

    def knows(self, name: str) -> bool:
        """Whether an actor of this name was started and not stopped."""
        with self._lock:
            return name in self._children

    def health(self) -> list[Health]:
        """Health of every actor, in order of start."""
        with self._lock:
            return [address.health for address, _ in self._children.values()]

    def dead_letters(self) -> list[DeadLetter]:
        """Messages that made an actor fail, those kept, the oldest first."""
        letters = [letter for health in self.health() for letter in list(health.dead_letters)]
        return sorted(letters, key=lambda letter: letter.time_ns)

    def addresses(self) -> list[Address]:
        """Addresses of every actor, in order of start."""
        with self._lock:
            return [address for address, _ in self._children.values()]


def _place(error: BaseException) -> str:
    """Where an exception arose, in a few words; the whole traceback is logged at level debug."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""


def _start(actor: Actor) -> pykka.ActorRef[Any]:
    """Start an actor instance, as ``pykka.Actor.start`` does with a class."""
    pykka.ActorRegistry.register(actor.actor_ref)
    actor._start_actor_loop()  # noqa: SLF001 - pykka offers no public start of an instance
    return actor.actor_ref
