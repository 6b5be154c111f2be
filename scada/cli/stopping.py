"""The user's wish to stop, as signals bring it."""

from __future__ import annotations

import contextlib
import queue
import signal


class StopAsked:
    """Whether a signal asked us to stop.

    A ``threading.Event`` must not be set by a signal handler: a second signal in the middle of it waits for the event's own lock,
    for ever. ``SimpleQueue.put`` may be interrupted by itself.

    Args:
        signals: that ask for it; their handlers are installed.
    """

    def __init__(self, *signals: signal.Signals) -> None:
        self._asked = False
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        for number in signals:
            signal.signal(number, lambda *_: self.set())

    def set(self) -> None:
        """Stop, please."""
        self._asked = True
        self._wake.put(None)

    def is_set(self) -> bool:
        """Whether we were asked."""
        return self._asked

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until we are asked, or so long; whether we were."""
        if not self._asked:
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=seconds)
        return self._asked
