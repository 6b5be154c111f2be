"""What happens when something goes wrong between actors: three small scenes, each printing what it shows.

1. *Crash and restart*: a message that makes an actor fail is not delivered again; those before and behind it are handled once,
   in order, by the next life, because the mailbox belongs to the address and not to the actor.
2. *Overload*: a sender of data waits while the mailbox is full; nothing is dropped, and a control message overtakes what
   waits.
3. *Coalescing*: of many beats of a timer that an actor could not handle in time, it sees one.

Run it: ``python examples/actors/failure_modes.py``
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from scada.actors.base import Actor, Address, Supervisor
from scada.actors.mailbox import Message
from scada.actors.messages import Tick
from scada.actors.timers import Timers
from scada.core.clock import SystemClock
from scada.core.log import configure_logging


@dataclass(frozen=True, slots=True)
class Reading(Message):
    """A value; bulk data, so its senders wait while the mailbox is full."""

    data_lane: ClassVar[bool] = True
    value: float


@dataclass(frozen=True, slots=True)
class Stop(Message):
    """Something that must not wait behind bulk data."""


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
            case _:
                return super().receive(message)
        return None


class Stage:
    """One meter under a supervisor, for one scene."""

    def __init__(self, capacity: int = 1024) -> None:
        self.notes: list[object] = []
        self.gate = threading.Event()
        clock = SystemClock()
        self._timers = Timers(clock)
        self._timers.start()
        self._supervisor = Supervisor(clock, self._timers)
        self.meter = Address("meter", capacity)
        self._supervisor.start(self.meter, lambda a, f: Meter(a, f, notes=self.notes, gate=self.gate))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something the meter does."""
        pause = threading.Event()
        for _ in range(1000):
            if condition():
                return
            pause.wait(0.005)
        raise TimeoutError(f"it noted only {self.notes}")

    def close(self) -> None:
        """Stop the meter after it handled what it had."""
        self.gate.set()
        self._supervisor.stop_all()
        self._timers.stop()


def crash_and_restart() -> list[object]:
    """Five readings, the third of which makes the actor fail; returns what was noted."""
    stage = Stage()
    stage.gate.set()
    for value in (1.0, 2.0, -1.0, 3.0, 4.0):
        stage.meter.tell(Reading(value))
    stage.until(lambda: 4.0 in stage.notes)
    print(f"crash:      noted {stage.notes}; {stage.meter.health.restarts} restart ({stage.meter.health.reason})")
    stage.close()
    return stage.notes


def overload() -> list[object]:
    """Twenty readings into a mailbox for four, and a stop that overtakes them; returns what was noted."""
    stage = Stage(capacity=4)
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
    stage = Stage()
    stage.meter.tell(Reading(1.0))
    stage.until(stage.meter.mailbox.empty)
    for _ in range(1000):
        stage.meter.tell(Tick())
    print(f"coalescing: 1000 beats, {stage.meter.mailbox.qsize()} of them waits")
    stage.gate.set()
    stage.until(lambda: "tick" in stage.notes)
    stage.close()
    return stage.notes


if __name__ == "__main__":
    configure_logging("error")
    crash_and_restart()
    overload()
    coalescing()
