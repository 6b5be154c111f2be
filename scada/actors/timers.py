"""One thread that turns time into messages, on the injected clock."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog

from scada.core.clock import Clock

_log = structlog.get_logger("timers")


@dataclass(order=True, slots=True)
class _Entry:
    due: float
    number: int
    action: Callable[[], None] = field(compare=False)
    period: float = field(compare=False, default=0.0)
    cancelled: bool = field(compare=False, default=False)


class Timers:
    """Heap of due actions. With a :class:`~scada.core.clock.VirtualClock` call :meth:`run_due` instead of :meth:`start`.

    Actions must only hand over (``address.tell``); one that raises is dropped and the others go on.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[_Entry] = []
        self._numbers = itertools.count()
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    def after(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run ``action`` once; returns a function that cancels it."""
        return self._add(seconds, action, 0.0)

    def every(self, seconds: float, action: Callable[[], None]) -> Callable[[], None]:
        """Run ``action`` each ``seconds``; a missed beat is not made up for. Returns a function that cancels it."""
        return self._add(seconds, action, seconds)

    def _add(self, seconds: float, action: Callable[[], None], period: float) -> Callable[[], None]:
        entry = _Entry(self._clock.monotonic() + seconds, next(self._numbers), action, period)
        with self._condition:
            heapq.heappush(self._heap, entry)
            self._condition.notify()

        def cancel() -> None:
            entry.cancelled = True

        return cancel

    def run_due(self) -> int:
        """Run what is due now; returns how many actions ran."""
        ran = 0
        while True:
            with self._condition:
                now = self._clock.monotonic()
                if not self._heap or self._heap[0].due > now:
                    return ran
                entry = heapq.heappop(self._heap)
                if entry.cancelled:
                    continue
                if entry.period:
                    entry.due = max(entry.due + entry.period, now)
                    heapq.heappush(self._heap, entry)
            try:
                entry.action()
            except Exception as error:  # noqa: BLE001 - one bad action must not stop the time of all others
                _log.error("a timer's action failed and is dropped", cause=f"{type(error).__name__}: {error}")
                entry.cancelled = True
            ran += 1

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="timers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; nothing more becomes due."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._stopping:
                    return
                wait = self._heap[0].due - self._clock.monotonic() if self._heap else 3600.0
                if wait > 0:
                    self._condition.wait(self._clock.real_delay(wait))
                    continue
            self.run_due()
