# ruff: noqa: TID251 - the one place that may ask the host
"""The one source of time. ``time.time()`` outside this module is a lint error.

Everything that waits, stamps or times out takes a :class:`Clock`, so that a test, a replay or a simulated day can drive it.
"""

from __future__ import annotations

import time
from typing import Protocol

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Wall time for stamps, monotonic time for time-outs; both may run at another rate than the real ones."""

    def now_ns(self) -> int:
        """UTC now in nanoseconds since 1970 (may jump when the host's clock is set)."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; the origin means nothing."""
        ...

    def real_delay(self, seconds: float) -> float:
        """How many real seconds pass while this clock moves by ``seconds`` (for handing to ``asyncio.sleep``)."""
        ...


class SystemClock:
    """The host's clocks."""

    def now_ns(self) -> int:
        """UTC now in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Host monotonic seconds."""
        return time.monotonic()

    def real_delay(self, seconds: float) -> float:
        """The same seconds."""
        return seconds


class ScaledClock:
    """Runs ``rate`` times as fast as the host from ``epoch_ns`` on.

    Two processes given the same epoch and rate agree on the time; the demo grid runs ten simulated minutes in one so.

    Args:
        rate: simulated seconds per real second, > 0.
        epoch_ns: the host's UTC time at which simulated and real time are equal.
    """

    def __init__(self, rate: float, epoch_ns: int) -> None:
        if rate <= 0:
            raise ValueError(f"clock rate must be > 0, got {rate}")
        self.rate = rate
        self.epoch_ns = epoch_ns

    def now_ns(self) -> int:
        """Simulated UTC in nanoseconds."""
        return self.epoch_ns + int((time.time_ns() - self.epoch_ns) * self.rate)

    def monotonic(self) -> float:
        """Simulated monotonic seconds."""
        return time.monotonic() * self.rate

    def real_delay(self, seconds: float) -> float:
        """Real seconds for ``seconds`` of simulated time."""
        return seconds / self.rate


class VirtualClock:
    """Stands still until told to move; for tests and replay.

    >>> clock = VirtualClock(start_ns=0)
    >>> clock.advance(1.5)
    >>> clock.now_ns(), clock.monotonic()
    (1500000000, 1.5)
    """

    def __init__(self, start_ns: int = 1_700_000_000 * NS_PER_S) -> None:
        self._now_ns = start_ns
        self._monotonic_ns = 0

    def now_ns(self) -> int:
        """Virtual UTC in nanoseconds."""
        return self._now_ns

    def monotonic(self) -> float:
        """Virtual monotonic seconds since construction."""
        return self._monotonic_ns / NS_PER_S

    def real_delay(self, seconds: float) -> float:
        """Virtual time needs no real time."""
        del seconds
        return 0.0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by ``seconds`` (>= 0)."""
        if seconds < 0:
            raise ValueError("a monotonic clock cannot go back; use jump() for the wall clock")
        step = round(seconds * NS_PER_S)
        self._now_ns += step
        self._monotonic_ns += step

    def jump(self, seconds: float) -> None:
        """Set the wall clock by ``seconds`` (either sign) and leave the monotonic one, as an operator or NTP does."""
        self._now_ns += round(seconds * NS_PER_S)


class HeldClock:
    """Shows the time of another clock as of the last :meth:`hold`, or a recorded one: what runs in between sees one moment.

    Args:
        clock: the running clock; None = only :meth:`set` moves it (replay).
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._now_ns, self._monotonic = 0, 0.0
        self.hold()

    def hold(self) -> None:
        """Take the present time of the running clock."""
        if self._clock is not None:
            self.set(self._clock.now_ns(), self._clock.monotonic())

    def set(self, now_ns: int, monotonic: float) -> None:
        """Show these times from now on."""
        self._now_ns, self._monotonic = now_ns, monotonic

    def now_ns(self) -> int:
        """UTC held."""
        return self._now_ns

    def monotonic(self) -> float:
        """Monotonic seconds held."""
        return self._monotonic

    def real_delay(self, seconds: float) -> float:
        """As the running clock says; without one no real time passes."""
        return 0.0 if self._clock is None else self._clock.real_delay(seconds)


def make_clock(rate: float = 1.0, epoch_ns: int = 0) -> Clock:
    """The clock a configuration asks for: the host's at rate 1, else a scaled one.

    Args:
        rate: simulated seconds per real second.
        epoch_ns: common start of scaled time; 0 takes the host's present time.
    """
    if rate == 1.0:
        return SystemClock()
    return ScaledClock(rate, epoch_ns or time.time_ns())
