"""Data cleaning in service: between the drivers of a wire and the database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.actors.wire import Feed
from scada.core.batch import PointBatch
from scada.core.clock import Clock
from scada.protocols.cleaning import MARKS, Cleaner, CleaningCount, CleaningFinding

_TEXTS: Final = {
    CleaningFinding.GAP: "nothing came in time; the last value is marked old",
    CleaningFinding.DUPLICATE: "a status change came once more with the same time; it is no second event",
    CleaningFinding.RANGE: "beyond the range of the instrument; kept and marked",
    CleaningFinding.RATE: "changed faster than its rate limit allows; kept and marked",
    CleaningFinding.FROZEN: "stood still for too long; marked old until it moves",
}


class CleaningStage:
    """Runs the cleaner of a wire. Used on the wire loop.

    Args:
        cleaner: judges the values.
        feed: takes the marks of what went silent, behind the values that came before.
        clock: monotonic time of arrivals.
        path: names a point in a notice.
    """

    def __init__(self, cleaner: Cleaner, feed: Feed, clock: Clock, path: Callable[[int], str]) -> None:
        self._cleaner = cleaner
        self._feed = feed
        self._clock = clock
        self._path = path
        self._notices: dict[int, Callable[[str, str], None]] = {}

    def listen(self, channel: int, notice: Callable[[str, str], None]) -> None:
        """Tell (kind, text) of a channel's findings to its sink."""
        self._notices[channel] = notice

    def clean(self, channel: int, batch: PointBatch) -> PointBatch:
        """The batch with what cannot be right marked."""
        cleaned, found = self._cleaner.check(batch, self._clock.monotonic())
        for one in found:
            self._say(channel, one.finding, one.pid, one.points)
        return cleaned

    def counts(self, channel: int) -> list[CleaningCount]:
        """Counters of a channel; may be read by any thread."""
        return self._cleaner.counts(channel)

    def swap(self, cleaner: Cleaner) -> None:
        """Judge with the cleaner of another model version from now on; it goes on with what this one knows."""
        cleaner.succeed(self._cleaner)
        self._cleaner = cleaner

    def forget(self, pids: npt.NDArray[np.uint32]) -> None:
        """These points come from another source from now on."""
        self._cleaner.forget(pids)

    def lost(self, channel: int) -> None:
        """No data flows from a channel."""
        self._cleaner.lost(channel)

    def tick(self) -> None:
        """Mark what went silent or stood still."""
        for stale in self._cleaner.tick(self._clock.monotonic(), self._clock.now_ns()):
            self._feed.mark(stale.pids, int(MARKS[stale.finding]))
            self._say(stale.channel, stale.finding, int(stale.pids[0]), len(stale.pids))

    def _say(self, channel: int, finding: CleaningFinding, pid: int, points: int) -> None:
        more = f" and {points - 1} more points" if points > 1 else ""
        notice = self._notices.get(channel)
        if notice is not None:
            notice(f"cleaning_{finding.name.lower()}", f"{self._path(pid)}{more}: {_TEXTS[finding]}")
