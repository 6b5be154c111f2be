"""Order of the notification messages of one subscription (OPC 10000-4, 5.14.1.1 and 7.26)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LAST: Final = 0xFFFF_FFFF
"""After it comes 1; a sequence number is never 0."""
_FORWARD: Final = 100_000
"""A number further ahead than this is one that went back."""


def following(number: int, by: int = 1) -> int:
    """The sequence number ``by`` places later.

    >>> following(41), following(0xFFFFFFFF)
    (42, 1)
    """
    return (number - 1 + by) % _LAST + 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a message's number says.

    Attributes:
        missing: numbers that should have come before it; to be asked for again.
        broken: the number is none that can follow: the server counts anew, or it is a repetition.
    """

    missing: Sequence[int] = ()
    broken: bool = False


class NotificationOrder:
    """Knows which number comes next.

    >>> order = NotificationOrder()
    >>> order.arrived(1, has_data=True), order.arrived(4, has_data=True).missing, order.expected
    (Arrival(missing=(), broken=False), [2, 3], 5)
    """

    def __init__(self) -> None:
        self.expected = 1
        """Number of the next message with data."""

    def arrived(self, number: int, *, has_data: bool) -> Arrival:
        """A message came. One without data, a keep-alive, carries the number that will come next and uses it not up."""
        ahead = (number - self.expected) % _LAST
        if ahead > _FORWARD or number == 0:
            self.expected = following(number) if has_data else max(number, 1)
            return Arrival(broken=True)
        missing = [following(self.expected, by) for by in range(ahead)]
        self.expected = following(number) if has_data else number
        return Arrival(missing=missing or ())

    def recovered(self, number: int) -> None:
        """The expected message came by republishing, before a later one showed that it was missing."""
        assert number == self.expected
        self.expected = following(number)
