"""What happens when something goes wrong between actors: small scenes, each printing what it shows.

1. *Crash and restart*: a message that makes an actor fail is not delivered again; those before and behind it are handled once,
   in order, by the next life, because the mailbox belongs to the address and not to the actor.
2. *Poison*: the message that made it fail is kept with its traceback.
3. *Overload*: a sender of data waits while the mailbox is full; nothing is dropped, and a control message overtakes what
   waits.
4. *Coalescing*: of many beats of a timer that an actor could not handle in time, it sees one.
5. *Slow handler*: the age of the oldest message shows it while it lasts, the histogram of handling times afterwards.
6. *Deadlock*: actors that would wait for each other in a circle are refused at once, with the path.
7. *Escalation*: an actor that fails again and again is reported, and its restarts become rare.
8. *Stop with drain*: an ordered stop handles what waits first, even if the actor was down at that moment.

Run it: ``python examples/actors/failure_modes.py``
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scada.actors.asking import AskDeadlockError
from scada.actors.base import RESTARTS_BEFORE_ALARM, Actor, Address, Supervisor
from scada.actors.health import DeadLetter
from scada.actors.mailbox import Message
from scada.actors.messages import Tick
from scada.actors.timers import Timers
from scada.core.clock import VirtualClock
from scada.core.log import configure_logging

BACKOFF_S = 60.0
"""Longer than any back-off: the scenes move the clock by it instead of waiting."""


@dataclass(frozen=True, slots=True)
class Reading(Message):
    """A value; bulk data, so its senders wait while the mailbox is full."""

    data_lane: ClassVar[bool] = True
    value: float


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Something that must not wait behind bulk data."""


@dataclass(frozen=True, slots=True)
class AskOf(Message):
    """Ask another actor for its name, and it a further one, down the list."""

    others: tuple[Address, ...] = ()


class Meter(Actor):
    """Notes what it handles; a reading below zero makes it fail, and while ``gate`` is closed it is slow.

    Args:
        address, failed: see :class:`scada.actors.base.Actor`.
        notes: where it notes; shared by all its lives.
        gate: it waits for this before each message.
    """

    def __init__(
        self, address: Address, failed: Callable[[BaseException], None], *, notes: list[object], gate: threading.Event
    ) -> None:
        super().__init__(address, failed)
        self._notes = notes
        self._gate = gate

    def started(self) -> None:
        """Note the beginning of a life."""
        self._notes.append("life")

    def receive(self, message: Any) -> Any:
        """Handle one message."""
        self._gate.wait()
        match message:
            case Reading(value) if value < 0:
                raise ValueError(f"a meter cannot read {value}")
            case Reading(value):
                self._notes.append(value)
            case Tick():
                self._notes.append("tick")
            case Stop():
                self._notes.append("stop")
            case AskOf(()):
                return self.address.name
            case AskOf(others):
                return others[0].ask(AskOf(others[1:])).get(timeout=5)
            case _:
                return super().receive(message)
        return None


class Stage:
    """Meters under a supervisor, for one scene; the clock stands still until the scene moves it.

    Args:
        names: of the meters.
        capacity: of their mailboxes.
        is_open: whether they work from the start.
    """

    def __init__(self, *names: str, capacity: int = 1024, is_open: bool = True) -> None:
        self.notes: list[object] = []
        self.alarms: list[tuple[str, str]] = []
        self.gate = threading.Event()
        if is_open:
            self.gate.set()
        self.clock = VirtualClock()
        self.timers = Timers(self.clock)
        self.supervisor = Supervisor(self.clock, self.timers, escalate=lambda name, why: self.alarms.append((name, why)))
        self.meters = [Address(name, capacity) for name in names or ("meter",)]
        for address in self.meters:
            self.supervisor.start(address, lambda a, f: Meter(a, f, notes=self.notes, gate=self.gate))
        self.meter = self.meters[0]

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something the meter does."""
        pause = threading.Event()
        for _ in range(1000):
            if condition():
                return
            pause.wait(0.005)
        raise TimeoutError(f"it noted only {self.notes}")

    def restart(self) -> None:
        """Let the back-off pass."""
        self.until(lambda: self.meter.health.state in ("waiting", "failing"))
        self.clock.advance(BACKOFF_S)
        self.until(lambda: self.timers.run_due() > 0)

    def close(self) -> None:
        """Stop the meters after they handled what they had."""
        self.gate.set()
        self.supervisor.stop_all()


def crash_and_restart() -> list[object]:
    """Five readings, the third of which makes the actor fail; returns what was noted."""
    stage = Stage()
    for value in (1.0, 2.0, -1.0, 3.0, 4.0):
        stage.meter.tell(Reading(value))
    stage.restart()
    stage.until(lambda: 4.0 in stage.notes)
    print(f"crash:      noted {stage.notes}; {stage.meter.health.restarts} restart ({stage.meter.health.reason})")
    stage.close()
    return stage.notes


def poison() -> DeadLetter:
    """A reading that makes the actor fail; returns what is kept of it."""
    stage = Stage()
    stage.meter.tell(Reading(-1.0))
    stage.until(lambda: stage.meter.health.dead == 1)
    [letter] = stage.supervisor.dead_letters()
    print(f"poison:     {letter.message} is kept: {letter.traceback.splitlines()[-1]}")
    stage.close()
    return letter


def overload() -> list[object]:
    """Twenty readings into a mailbox for four, and a stop that overtakes them; returns what was noted."""
    stage = Stage(capacity=4, is_open=False)
    sent: list[float] = []

    def send() -> None:
        for number in range(20):
            stage.meter.tell(Reading(float(number)))
            sent.append(float(number))

    sender = threading.Thread(target=send)
    sender.start()
    stage.until(lambda: stage.meter.mailbox.qsize() == 4 and len(sent) == 5)  # one in the actor's hands, four waiting
    stage.meter.tell(Stop())
    print(f"overload:   the sender waits after {len(sent)} of 20 readings")
    stage.gate.set()
    sender.join()
    stage.until(lambda: 19.0 in stage.notes)
    print(f"overload:   nothing was lost, and the stop came as number {stage.notes.index('stop')}")
    stage.close()
    return stage.notes


def coalescing() -> list[object]:
    """A thousand beats while the actor is busy; returns what was noted."""
    stage = Stage(is_open=False)
    stage.meter.tell(Reading(1.0))
    stage.until(stage.meter.mailbox.empty)
    for _ in range(1000):
        stage.meter.tell(Tick())
    print(f"coalescing: 1000 beats, {stage.meter.mailbox.qsize()} of them waits")
    stage.gate.set()
    stage.until(lambda: "tick" in stage.notes)
    stage.close()
    return stage.notes


def slow_handler() -> tuple[float, int]:
    """A handler that takes its time; returns the age that was seen meanwhile and how many messages took longer than 10 ms."""
    stage = Stage(is_open=False)
    stage.meter.tell(Reading(1.0))
    stage.until(lambda: stage.meter.age_s() > 0.05)
    age = stage.meter.age_s()
    stage.gate.set()
    stage.until(lambda: stage.meter.health.handled == 1)
    slow = sum(stage.meter.health.classes[3:])
    print(f"slow:       the oldest message was {age * 1000:.0f} ms old; {slow} message took longer than 10 ms")
    stage.close()
    return age, slow


def deadlock_refused() -> str:
    """An actor asks another, which asks the first; returns what the asker is told."""
    stage = Stage("a", "b")
    a, b = stage.meters
    try:
        a.ask(AskOf((b, a))).get(timeout=5)
        said = ""
    except AskDeadlockError as error:
        said = error.what
    print(f"deadlock:   {said}")
    stage.close()
    return said


def escalation() -> list[tuple[str, str]]:
    """An actor that fails on every message; returns what was reported."""
    stage = Stage()
    for number in range(1, RESTARTS_BEFORE_ALARM + 1):
        stage.meter.tell(Reading(-1.0))
        stage.until(lambda count=number: stage.meter.health.restarts == count)  # type: ignore[misc]
        if number < RESTARTS_BEFORE_ALARM:
            stage.clock.advance(5.0)
            stage.until(lambda: stage.timers.run_due() > 0)
    print(f"escalation: reported {stage.alarms} after {RESTARTS_BEFORE_ALARM} failures")
    stage.close()
    return stage.alarms


def stop_with_drain() -> list[object]:
    """A stop while the actor is down and three readings wait; returns what was noted."""
    stage = Stage()
    stage.meter.tell(Reading(-1.0))
    stage.until(lambda: stage.meter.health.state == "waiting")
    for value in (1.0, 2.0, 3.0):
        stage.meter.tell(Reading(value))
    stage.close()
    print(f"stop:       noted {stage.notes} before the end")
    return stage.notes


if __name__ == "__main__":
    configure_logging("error")
    crash_and_restart()
    poison()
    overload()
    coalescing()
    slow_handler()
    deadlock_refused()
    escalation()
    stop_with_drain()
