"""Present alarms and suppressions for the faces: written by the event actor after each write of its log, read by any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from threading import Lock

from scada.events.records import Alarm, AlarmPhase, Suppression, SuppressionKind


class AlarmView:
    """What stands, as of the last event on disk. Publishing costs what changed, not what stands."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shown: dict[int, Alarm] = {}
        self._in_order: tuple[Alarm, ...] | None = ()
        self._last_event_id = 0
        self._suppressions: tuple[Suppression, ...] = ()

    def load(self, alarms: Iterable[Alarm], suppressions: Iterable[Suppression], last_event_id: int) -> None:
        """Start anew from the whole state."""
        with self._lock:
            self._shown.clear()
            self._take(alarms)
            self._suppressions = tuple(suppressions)
            self._last_event_id = last_event_id

    def update(self, changed: Iterable[Alarm], suppressions: Iterable[Suppression] | None, last_event_id: int) -> None:
        """Take over what changed.

        Args:
            changed: new states; ``NORMAL`` and suppressed ones are not shown any more.
            suppressions: all in force, None = as before.
            last_event_id: number of the last event they include.
        """
        with self._lock:
            self._take(changed)
            if suppressions is not None:
                self._suppressions = tuple(suppressions)
            self._last_event_id = last_event_id

    def _take(self, alarms: Iterable[Alarm]) -> None:
        for alarm in alarms:
            self._in_order = None
            if alarm.phase == AlarmPhase.NORMAL or alarm.suppressed is not SuppressionKind.NONE:
                self._shown.pop(alarm.alarm_id, None)
            else:
                self._shown[alarm.alarm_id] = alarm

    def read(self) -> tuple[Sequence[Alarm], int]:
        """Alarms that are shown, oldest first, and the number of the last event they include."""
        with self._lock:
            if self._in_order is None:
                self._in_order = tuple(sorted(self._shown.values(), key=lambda alarm: alarm.alarm_id))
            return self._in_order, self._last_event_id

    @property
    def alarms(self) -> Sequence[Alarm]:
        """Alarms that are shown, oldest first."""
        return self.read()[0]

    @property
    def last_event_id(self) -> int:
        """Number of the last event that the alarms include."""
        return self.read()[1]

    @property
    def suppressions(self) -> Sequence[Suppression]:
        """Suppressions in force."""
        return self._suppressions
