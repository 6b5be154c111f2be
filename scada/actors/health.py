"""What is known of one actor: how it is, how long it takes, and what made it fail."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

HANDLING_S: Final = (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0)
"""Upper bounds of the histogram of handling times; one more class stands above the last."""
DEAD_LETTERS: Final = 16
"""Messages kept of those that made an actor fail."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that made an actor fail; it is not delivered again.

    Attributes:
        actor: name of the actor.
        time_ns: ns UTC.
        message: as it was sent; None if the actor failed without one (at its start).
        reason: class and text of the exception.
        traceback: where it arose, as Python prints it.
    """

    actor: str
    time_ns: int
    message: Any
    reason: str
    traceback: str


@dataclass(slots=True)
class Health:
    """What the supervisor knows of one actor.

    Attributes:
        name: its name.
        state: ``starting``, ``running``, ``waiting`` (for its restart), ``failing`` or ``stopped``.
        restarts: failures after which it was started again.
        reason: of the last failure.
        handled: messages handled.
        busy_s: real seconds spent in handlers.
        classes: messages by handling time, one count for each bound of :data:`HANDLING_S` and one above.
        began: host monotonic seconds at which the message in hand was taken, 0 = none is.
        dead: messages that made it fail since the start of the server.
        dead_letters: the last of them.
    """

    name: str
    state: str = "starting"
    restarts: int = 0
    reason: str = ""
    handled: int = 0
    busy_s: float = 0.0
    classes: list[int] = field(default_factory=lambda: [0] * (len(HANDLING_S) + 1))
    began: float = 0.0
    dead: int = 0
    dead_letters: deque[DeadLetter] = field(default_factory=lambda: deque(maxlen=DEAD_LETTERS))

    def handled_one(self, seconds: float) -> None:
        """Count one message."""
        self.handled += 1
        self.busy_s += seconds
        self.classes[bisect_left(HANDLING_S, seconds)] += 1

    def bury(self, letter: DeadLetter) -> None:
        """Keep a message that made it fail."""
        self.dead += 1
        self.dead_letters.append(letter)
