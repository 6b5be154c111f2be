"""Times of a discrete device: how long ago something was, and how many operations the time of the day allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scada.core.avc_settings import QuotaPeriod
from scada.core.clock import NS_PER_S, Clock

NEVER = math.inf


class Stopwatch:
    """Remembers when things happened, in whole nanoseconds of the monotonic clock; survives a restart by the wall clock.

    Args:
        clock: tells the time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started: dict[str, int] = {}

    def _now(self) -> int:
        return round(self._clock.monotonic() * NS_PER_S)

    def start(self, name: str) -> None:
        """It happens now."""
        self._started[name] = self._now()

    def started_before(self, name: str, age_ns: int) -> None:
        """It happened so long ago."""
        self._started[name] = self._now() - max(age_ns, 0)

    def since(self, name: str) -> float:
        """Seconds since it happened last, :data:`NEVER` if it did not."""
        started = self._started.get(name)
        return NEVER if started is None else (self._now() - started) / NS_PER_S

    def state(self) -> dict[str, Any]:
        """Ages, and the wall time they are ages at."""
        now = self._now()
        return {"at_ns": self._clock.now_ns(), "ages": {name: now - started for name, started in self._started.items()}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on; the time between counts."""
        between = max(self._clock.now_ns() - int(state.get("at_ns", self._clock.now_ns())), 0)
        now = self._now()
        self._started = {name: now - int(age) - between for name, age in state.get("ages", {}).items()}


class Quota:
    """How many of the day's operations may have been spent by a time of the day.

    >>> periods = [QuotaPeriod(begins="00:00", share=0.25), QuotaPeriod(begins="12:00", share=0.75)]
    >>> Quota(periods, 10).until(3600.0), Quota(periods, 10).until(50000.0), Quota([], 10).until(0.0)
    (3, 10, 10)

    Args:
        periods: shares by begin of period; empty = the whole day's at once.
        daily_limit: operations a day.
    """

    def __init__(self, periods: Sequence[QuotaPeriod], daily_limit: int) -> None:
        self._limit = daily_limit
        self._steps: list[tuple[int, int]] = []
        share = 0.0
        for period in periods:
            hour, minute = period.begins.split(":")
            share += period.share
            self._steps.append((int(hour) * 3600 + int(minute) * 60, min(math.ceil(share * daily_limit - 1e-9), daily_limit)))

    def until(self, second_of_day: float) -> int:
        """Operations allowed from midnight until the end of the period of this second."""
        allowed = self._limit if not self._steps else 0
        for begins, count in self._steps:
            if begins <= second_of_day:
                allowed = count
        return allowed
