"""The alarms that stand, those that are hidden among them; read by any thread, changed by one."""

from __future__ import annotations

from scada.events.records import Alarm, AlarmPhase

ACTIVE = frozenset({AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE})
"""Phases in which the cause persists."""


class AlarmList:
    """Alarms by name and by id. A change costs the same however many stand."""

    def __init__(self) -> None:
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._shown: dict[int, Alarm] = {}
        self._hidden: dict[int, Alarm] = {}
        self._changed: dict[int, Alarm] = {}
        self._highest = 0
        self._in_order = True
        self._list: tuple[int, list[Alarm]] = (0, [])
        self.revision = 0
        self.hidden_revision = 0

    def get(self, name: tuple[str, str]) -> Alarm | None:
        """The alarm of this object and key, shown or hidden; None if it is normal."""
        return self._alarms.get(name)

    def shown_by_id(self, alarm_id: int) -> Alarm | None:
        """A shown alarm; None if none of this id is shown."""
        return self._shown.get(alarm_id)

    def put(self, alarm: Alarm) -> None:
        """Take the new state of an alarm; ``NORMAL`` = gone."""
        self._changed[alarm.alarm_id] = alarm
        self.load(alarm)

    def load(self, alarm: Alarm) -> None:
        """Take an alarm as the log has it: no change to be stored."""
        name = (alarm.mrid, alarm.key)
        if alarm.phase == AlarmPhase.NORMAL:
            self._alarms.pop(name, None)
        else:
            self._alarms[name] = alarm
        stands = alarm.phase != AlarmPhase.NORMAL
        self._show(alarm, stands and not alarm.suppressed)
        if self._hidden.pop(alarm.alarm_id, None) is not None or alarm.suppressed:
            self.hidden_revision += 1
        if stands and alarm.suppressed:
            self._hidden[alarm.alarm_id] = alarm

    def _show(self, alarm: Alarm, shown: bool) -> None:
        if not shown:
            if self._shown.pop(alarm.alarm_id, None) is None:
                return
        else:
            if alarm.alarm_id not in self._shown:
                self._in_order = self._in_order and alarm.alarm_id > self._highest
                self._highest = max(self._highest, alarm.alarm_id)
            self._shown[alarm.alarm_id] = alarm
        self.revision += 1

    def shown(self) -> list[Alarm]:
        """Shown alarms, oldest first; the same list until one changes. Callable from any thread."""
        revision = self.revision  # read first: a change meanwhile makes this copy out of date, never the next one
        known, shown = self._list
        if known == revision:
            return shown
        shown = list(self._shown.values())
        if not self._in_order:
            shown.sort(key=lambda alarm: alarm.alarm_id)
        self._list = (revision, shown)
        return shown

    def hidden_active(self) -> list[Alarm]:
        """Suppressed alarms whose cause persists."""
        return [alarm for alarm in self._hidden.values() if alarm.phase in ACTIVE]

    def all(self) -> list[Alarm]:
        """Shown and hidden ones."""
        return list(self._alarms.values())

    def take_changed(self) -> list[Alarm]:
        """Alarms that changed since the last call, for the log; ``NORMAL`` = gone."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed
