"""How old what is kept may become: by the retention that was asked for, and by the room there is."""

from __future__ import annotations

from typing import Final

from scada.history.interface import Retention
from scada.history.rotation import Limits
from scada.history.shelf import DAY_NS, HOUR_NS

FULL_AT: Final = 0.8
"""Share of the map from which on the oldest goes."""
_SHARE: Final = 10
"""One part of so many of the time kept goes at once."""


class Room:
    """Keeps how far back samples and minutes reach, and decides what goes.

    Args:
        map_bytes: size of the map.
        retention: what was asked for.
        oldest: where samples and minutes begin, ns UTC; 0 = nothing is kept yet.

    Attributes:
        oldest: the same, at present.
    """

    def __init__(self, map_bytes: int, retention: Retention, oldest: tuple[int, int]) -> None:
        self._map_bytes, self._retention = map_bytes, retention
        self.oldest = oldest
        self._before = (0, 0)

    @property
    def hurry(self) -> float:
        """Least share of the pages that a flush should go through."""
        return 0.1 if any(self._before) else 0.0

    def limits(self, now_ns: int) -> Limits:
        """What is too old now."""
        asked = (self._retention.raw_days, self._retention.minute_days)
        samples, minutes = (max(0, now_ns - days * DAY_NS) if days else 0 for days in asked)
        return Limits(max(samples, self._before[0]), max(minutes, self._before[1]))

    def note(self, first_ns: int) -> None:
        """Take that something so old was stored."""
        samples, minutes = (min(one or first_ns, first_ns) for one in self.oldest)
        self.oldest = (samples, minutes)

    def settle(self, used: tuple[int, int, int], limits: Limits, now_ns: int, *, turned: bool) -> None:
        """After a flush: see what is left, and choose what the coming ones remove.

        Args:
            used: octets of samples, of minutes, and of the rest.
            limits: what the flush removed from the pages it sealed.
            now_ns: ns UTC.
            turned: every page was gone through under these limits.
        """
        if turned:
            samples = max(self.oldest[0], limits.samples_before // HOUR_NS * HOUR_NS)
            minutes = max(self.oldest[1], limits.minutes_before // DAY_NS * DAY_NS)
            self.oldest = (samples, minutes)
        if turned or not any(self._before):
            room = FULL_AT * self._map_bytes
            full = sum(used) > room
            self._before = (
                self._cut(self.oldest[0], HOUR_NS, now_ns) if full else 0,
                self._cut(self.oldest[1], DAY_NS, now_ns) if full and used[1] > room / 2 else 0,
            )

    @staticmethod
    def _cut(oldest_ns: int, slot_ns: int, now_ns: int) -> int:
        """A tenth of the time kept, at least a slot."""
        return min(oldest_ns + max(slot_ns, (now_ns - oldest_ns) // _SHARE), now_ns)
