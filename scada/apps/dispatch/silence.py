"""Who is lost: dispatchers of whom nothing is heard, and what outlives that."""

from __future__ import annotations

from collections.abc import Iterable

from scada.core.clock import Clock
from scada.core.dispatch_settings import DispatchSettings


class DispatchSilence:
    """Watches dispatchers whose set-points hold until they are replaced.

    A dispatcher is heard by its orders and questions, a master of an upstream station by its link. A restart counts as hearing
    everyone: nobody could be heard before.

    Args:
        settings: silence and hold time.
        clock: the time that passes.
    """

    def __init__(self, settings: DispatchSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._began = clock.monotonic()
        self._heard: dict[str, float] = {}
        self._heard_ns: dict[str, int] = {}
        self._gone: set[str] = set()
        self._lost: dict[str, float] = {}
        """Dispatcher -> monotonic seconds at which it was lost."""

    def heard(self, sender: str) -> None:
        """Something came of a dispatcher."""
        self._heard[sender], self._heard_ns[sender] = self._clock.monotonic(), self._clock.now_ns()
        self._gone.discard(sender)

    def gone(self, sender: str) -> None:
        """The link to a dispatcher is down: it is lost at once."""
        self._gone.add(sender)

    def heard_ns(self, sender: str) -> int:
        """When it was heard last, ns UTC; 0 = not since the start."""
        return self._heard_ns.get(sender, 0)

    def beat(self, watched: Iterable[str]) -> tuple[list[str], list[str]]:
        """Who is lost and who is back since the last call.

        Args:
            watched: dispatchers on whom something depends now.
        """
        lost = [one for one in watched if one not in self._lost and self._is_silent(one)]
        back = [one for one in self._lost if not self._is_silent(one)]
        for one in lost:
            self._lost[one] = self._clock.monotonic()
        for one in back:
            del self._lost[one]
        return lost, back

    def is_lost(self, sender: str) -> bool:
        """Nothing is heard of it."""
        return sender in self._lost

    def left_s(self, sender: str) -> float:
        """Seconds for which set-points of a lost dispatcher still hold."""
        return max(self._settings.hold_s - (self._clock.monotonic() - self._lost[sender]), 0.0)

    def is_over(self, sender: str) -> bool:
        """It has been lost for longer than its set-points hold."""
        return sender in self._lost and self.left_s(sender) <= 0

    def _is_silent(self, sender: str) -> bool:
        limit = self._settings.silence_s
        if not limit:
            return False
        return sender in self._gone or self._clock.monotonic() - self._heard.get(sender, self._began) >= limit
