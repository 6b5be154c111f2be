"""The time at which a run is to begin, by a clock that people set and by one that nobody can."""

from __future__ import annotations

from typing import Final

from scada.core.clock import NS_PER_S, Clock

LATE_S: Final = 60.0
"""A run whose time has passed by more than this is not begun, and a clock that was set by more than this is not believed."""


class StartTime:
    """A time on the wall clock, watched by the monotonic one.

    Args:
        at_ns: ns UTC; 0 = at once.
        clock: both clocks.
    """

    def __init__(self, at_ns: int, clock: Clock) -> None:
        self._at_ns = at_ns
        self._clock = clock
        self.believe_the_clock()

    def believe_the_clock(self) -> None:
        """Go by the wall clock as it is now: a person has looked at it."""
        self._due = self._clock.monotonic() + self.left_s

    @property
    def left_s(self) -> float:
        """Seconds until then by the wall clock; 0 = its time has come."""
        return max(0.0, -self.late_s) if self._at_ns else 0.0

    @property
    def late_s(self) -> float:
        """Seconds since then by the wall clock; negative before."""
        return (self._clock.now_ns() - self._at_ns) / NS_PER_S

    @property
    def is_too_late(self) -> bool:
        """So long ago that it is no longer sure that it is meant, by a clock that is believed."""
        return bool(self._at_ns) and self.late_s > LATE_S and not self.clock_was_set

    @property
    def clock_was_set(self) -> bool:
        """The wall clock and the monotonic one disagree about the time that is left."""
        return bool(self._at_ns) and abs(-self.late_s - (self._due - self._clock.monotonic())) > LATE_S
