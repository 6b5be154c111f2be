"""The window over the numbers of one direction of a session: each passes once."""

from __future__ import annotations

from threading import Lock


class SequenceWindow:
    """Sliding window: late numbers pass within it, none passes twice. Safe from several threads.

    Args:
        size: numbers behind the highest that may still come.

    >>> window = SequenceWindow()
    >>> [window.admit(number) for number in (1, 3, 2, 3)]
    [True, True, True, False]
    """

    def __init__(self, size: int = 1024) -> None:
        self._size = size
        self._lock = Lock()
        self._highest = 0
        self._seen = 0
        """Bit i: ``_highest - i`` was admitted."""

    @property
    def highest(self) -> int:
        """The highest number admitted."""
        return self._highest

    def is_fresh(self, number: int) -> bool:
        """True if the number was not admitted yet and is not older than the window."""
        with self._lock:
            return self._is_fresh(number)

    def admit(self, number: int) -> bool:
        """Mark a number as used; False if it was not fresh."""
        with self._lock:
            if not self._is_fresh(number):
                return False
            ahead = number - self._highest
            if ahead > 0:
                self._seen = (self._seen << min(ahead, self._size) | 1) & ((1 << self._size) - 1)
                self._highest = number
            else:
                self._seen |= 1 << -ahead
            return True

    def _is_fresh(self, number: int) -> bool:
        age = self._highest - number
        return number > 0 and (age < 0 or (age < self._size and not self._seen >> age & 1))
