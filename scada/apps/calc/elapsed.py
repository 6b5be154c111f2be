"""How much time passed between two evaluations, whatever was done to the wall clock meanwhile."""

from __future__ import annotations

from typing import Final

from scada.core.clock import NS_PER_S, Clock

SET_NS: Final = NS_PER_S // 2
"""A difference of wall and monotonic time between two looks from which the clock was set, not slewed."""


class Elapsed:
    """Deals monotonic time out to evaluations.

    Change sets are evaluated in order but later than they were committed; each gets the time to its own stamp, yet all together
    never more than really passed. A look at now, when nothing waits, gets the rest. So a clock set forward or back moves no
    more than the share of one step, and the sum is always that of the monotonic clock.

    Args:
        clock: time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origin = clock.monotonic()
        self._dealt = 0
        self._wall = clock.now_ns()

    def to(self, stamp_ns: int) -> int:
        """Nanoseconds from the last evaluation to a change set committed at ``stamp_ns``."""
        ns = min(max(stamp_ns - self._wall, 0), self._rest())
        self._wall = stamp_ns
        self._dealt += ns
        return ns

    def now(self) -> tuple[int, int, bool]:
        """(ns UTC now, ns from the last evaluation to now, whether the wall clock was set in between)."""
        wall, ns = self._clock.now_ns(), self._rest()
        was_set = abs(wall - self._wall - ns) > SET_NS
        self._wall = wall
        self._dealt += ns
        return wall, ns, was_set

    def _rest(self) -> int:
        return max(round((self._clock.monotonic() - self._origin) * NS_PER_S) - self._dealt, 0)
