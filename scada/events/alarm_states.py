"""The states of alarms (ANSI/ISA-18.2-2016, figure 4 and IEC 62682:2014: the state transition diagram of an alarm).

========================  ==================  ======================  =====================
phase                     condition begins    condition ends          acknowledged
========================  ==================  ======================  =====================
NORMAL (A)                UNACK_ACTIVE        -                       -
UNACK_ACTIVE (B)          -                   UNACK_RETURNED          ACK_ACTIVE
ACK_ACTIVE (C)            -                   NORMAL                  -
UNACK_RETURNED (D)        UNACK_ACTIVE        -                       NORMAL
========================  ==================  ======================  =====================

Shelved (G), suppressed by design (H) and out of service (I) are no phases of their own here: a suppressed alarm goes on through
the same table, hidden. When it is shown again it is UNACK_ACTIVE if its condition holds, whether or not it had been acknowledged
(the standard's transition from G, H or I to B). If it is over but was never acknowledged it is UNACK_RETURNED: the standard would
make it normal, but then nobody would learn that it came and went.

What an operator has not seen he cannot acknowledge: an alarm that was raised again (D to B) after the event he had seen last
stays unacknowledged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from scada.core.settings import AlarmSettings
from scada.events.alarm_list import ACTIVE, AlarmList
from scada.events.annunciation import ChatterFilter, FloodGroups
from scada.events.lines import Occasion, alarm_line
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, SuppressionKind

CHANNEL: Final = "channel.down"
_KINDS: Final = {
    "state.alarm": (EventKind.STATE_ALARM, EventKind.STATE_RETURNED),
    CHANNEL: (EventKind.CHANNEL_DOWN, EventKind.CHANNEL_UP),
}
_LIMIT_KINDS: Final = (EventKind.LIMIT_VIOLATED, EventKind.LIMIT_RETURNED)
_RETURNED: Final = {
    "limit.lolo": "limit.lolo.returned",
    "limit.lo": "limit.lo.returned",
    "limit.hi": "limit.hi.returned",
    "limit.hihi": "limit.hihi.returned",
    "limit.deviation": "limit.deviation.returned",
    "limit.rate": "limit.rate.returned",
    "state.alarm": "state.returned",
    CHANNEL: "channel.up",
}


_TELL_S: Final = 10.0
"""Shortest time between two lines of a chattering alarm."""


class AlarmStates:
    """All alarms in their phases.

    Args:
        next_id: reserves the number of the next event.
        kind_of: by what an alarm is suppressed at present.
        settings: chatter and floods.
    """

    def __init__(self, next_id: Callable[[], int], kind_of: Callable[[Alarm], SuppressionKind], settings: AlarmSettings) -> None:
        self._next_id = next_id
        self._kind_of = kind_of
        self._chatter = ChatterFilter(settings.chatter_count, settings.chatter_window_s)
        self._floods = FloodGroups(settings.flood_count, settings.flood_window_s)
        self._chattering: dict[tuple[str, str], tuple[Alarm, float]] = {}
        """Chattering alarms as they were told last, and when (monotonic s)."""
        self._unsaid: dict[tuple[str, str], tuple[dict[str, str], Occasion]] = {}
        self.list = AlarmList()

    def begin(self, fresh: Alarm, occasion: Occasion, now: float) -> list[Event]:
        """A condition began (after its on-delay).

        Args:
            fresh: the alarm as a new one.
            occasion: the value that did it.
            now: monotonic s.
        """
        name = (fresh.mrid, fresh.key)
        standing = self.list.get(name)
        kind = self._kind_of(fresh)
        if standing is not None:  # returned, not yet acknowledged: the same instance goes on
            fresh = replace(
                fresh,
                alarm_id=standing.alarm_id,
                raised_ns=standing.raised_ns,
                group=standing.group,
                event_id=standing.event_id,
                occurrences=standing.occurrences + 1,
                chattering=standing.chattering,
            )
        if kind:
            return self._begin_hidden(replace(fresh, suppressed=kind), occasion)
        chattering, from_now = self._chatter.raised(name, now) if fresh.pid >= 0 else (False, False)
        self._unsaid.pop(name, None)
        if chattering and not from_now and standing is not None:
            self.list.put(replace(fresh, chattering=True))
            return []
        number = self._next_id()
        group = self._group(fresh, number, now) if standing is None else fresh.group
        alarm = replace(fresh, alarm_id=fresh.alarm_id or number, event_id=number, chattering=chattering, group=group)
        self.list.put(alarm)
        kinds = _KINDS.get(alarm.key, _LIMIT_KINDS)
        events = [alarm_line(alarm, kinds[0], alarm.key, alarm.parameters, occasion, number)]
        if chattering:
            self._chattering[name] = alarm, now
        if from_now:
            events.append(self._quiet(replace(alarm, occurrences=self._chatter.count), "alarm.chattering", occasion))
        return events

    def _begin_hidden(self, alarm: Alarm, occasion: Occasion) -> list[Event]:
        if alarm.alarm_id:
            self.list.put(alarm)
            return []
        number = self._next_id()
        alarm = replace(alarm, alarm_id=number, event_id=number)
        self.list.put(alarm)
        return [self._quiet(alarm, "alarm.raised_suppressed", occasion, number)]

    def _group(self, fresh: Alarm, number: int, now: float) -> int:
        """The flood group of a new alarm, 0 = none; earlier alarms that belong to it learn it now."""
        if not fresh.bay:
            return 0
        group, earlier = self._floods.raised((fresh.station, fresh.bay), number, now)
        for alarm_id in earlier:
            alarm = self.list.shown_by_id(alarm_id)
            if alarm is not None:
                self.list.put(replace(alarm, group=group))
        return group

    def end(self, name: tuple[str, str], parameters: dict[str, str], occasion: Occasion, *, key: str = "") -> list[Event]:
        """A condition is over (after its off-delay).

        Args:
            name: of the alarm; one that is not active gives nothing.
            parameters: of the line.
            occasion: the value that did it.
            key: of the line, if it is not that of a normal return.
        """
        alarm = self.list.get(name)
        if alarm is None or alarm.phase not in ACTIVE:
            return []
        gone = alarm.phase == AlarmPhase.ACK_ACTIVE
        phase = AlarmPhase.NORMAL if gone else AlarmPhase.UNACK_RETURNED
        self.list.put(replace(alarm, phase=phase, returned_ns=occasion.time_ns))
        if alarm.suppressed:
            return [self._quiet(alarm, "alarm.returned_suppressed", occasion)] if gone else []
        if alarm.chattering and not gone:
            self._unsaid[name] = parameters, occasion
            return []
        return [self._return_line(alarm, parameters, occasion, key)]

    def _return_line(self, alarm: Alarm, parameters: dict[str, str], occasion: Occasion, key: str = "") -> Event:
        kind = _KINDS.get(alarm.key, _LIMIT_KINDS)[1]
        return alarm_line(alarm, kind, key or _RETURNED[alarm.key], parameters, occasion, self._next_id())

    def acknowledge(
        self, alarm_ids: Iterable[int], user: str, now_ns: int, seen: int
    ) -> tuple[list[Event], list[int], list[int]]:
        """See :meth:`scada.events.alarms.AlarmEngine.acknowledge`."""
        events: list[Event] = []
        acknowledged: list[int] = []
        unknown: list[int] = []
        for alarm_id in dict.fromkeys(alarm_ids):
            alarm = self.list.shown_by_id(alarm_id)
            if alarm is None or (seen and alarm.event_id > seen):
                unknown.append(alarm_id)
                continue
            acknowledged.append(alarm_id)
            if alarm.phase == AlarmPhase.ACK_ACTIVE:
                continue
            phase = AlarmPhase.ACK_ACTIVE if alarm.phase == AlarmPhase.UNACK_ACTIVE else AlarmPhase.NORMAL
            told = replace(alarm, phase=phase, acknowledged_ns=now_ns, acknowledged_by=user)
            self.list.put(told)
            if alarm.chattering and (name := (alarm.mrid, alarm.key)) in self._chattering:
                self._chattering[name] = told, self._chattering[name][1]
            parameters = {**alarm.parameters, "alarm": alarm.key}
            occasion = Occasion(now_ns, alarm.value)
            kind, key = EventKind.ACKNOWLEDGED, "alarm.acknowledged"
            events.append(alarm_line(alarm, kind, key, parameters, occasion, self._next_id(), actor=user))
        return events, acknowledged, unknown

    def review(self, alarms: Iterable[Alarm], now_ns: int) -> list[Event]:
        """Hide and show these alarms as their suppressions stand now."""
        events = []
        for alarm in alarms:
            kind = self._kind_of(alarm)
            if kind == alarm.suppressed:
                continue
            if kind:
                self.list.put(replace(alarm, suppressed=kind))
                continue
            number, occasion = self._next_id(), Occasion(now_ns, alarm.value)
            shown = replace(alarm, suppressed=SuppressionKind.NONE, event_id=number, acknowledged_ns=0, acknowledged_by="")
            if alarm.phase in ACTIVE:
                shown = replace(shown, phase=AlarmPhase.UNACK_ACTIVE)
                began = _KINDS.get(alarm.key, _LIMIT_KINDS)[0]
                events.append(alarm_line(shown, began, alarm.key, alarm.parameters, occasion, number))
            else:
                events.append(self._quiet(shown, "alarm.came_and_went", occasion, number))
            self.list.put(shown)
        return events

    def tick(self, now: float, now_ns: int) -> list[Event]:
        """End of chattering, with the last return that was not said, and of groups; now and then how chattering alarms stand."""
        self._floods.forget(now)
        events = self._tell_chattering(now, now_ns)
        for name, count in self._chatter.ended(now):
            told, _ = self._chattering.pop(name)
            alarm = self.list.get(name)
            if alarm is not None:
                self.list.put(replace(alarm, chattering=False))
            alarm = alarm or told
            if name in self._unsaid:
                events.append(self._return_line(alarm, *self._unsaid.pop(name)))
            occasion = Occasion(now_ns, alarm.value)
            events.append(self._quiet(replace(alarm, occurrences=count), "alarm.chattering_ended", occasion))
        return events

    def _tell_chattering(self, now: float, now_ns: int) -> list[Event]:
        """Lines of chattering alarms whose phase is another than was told last: who follows the events must not be misled."""
        events = []
        for name, (told, at) in self._chattering.items():
            alarm = self.list.get(name)
            if alarm is None or alarm.suppressed or alarm.phase == told.phase or now - at < _TELL_S:
                continue
            key = "alarm.chattering_active" if alarm.phase in ACTIVE else "alarm.chattering_returned"
            events.append(self._quiet(alarm, key, Occasion(now_ns, alarm.value)))
            alarm = replace(alarm, event_id=events[-1].event_id)
            self.list.put(alarm)
            self._chattering[name] = alarm, now
        return events

    def restore(self, alarm: Alarm, now: float) -> None:
        """Take over an alarm of the log."""
        self.list.load(alarm)
        if alarm.chattering:
            self._chattering[alarm.mrid, alarm.key] = alarm, now
            self._chatter.restore((alarm.mrid, alarm.key), now)

    def succeed(self, before: AlarmStates) -> None:
        """Take over everything from the states of another model version; those are not to be used any more."""
        self._chatter, self._floods = before._chatter, before._floods
        self._chattering, self._unsaid, self.list = before._chattering, before._unsaid, before.list

    def _quiet(self, alarm: Alarm, key: str, occasion: Occasion, number: int = 0) -> Event:
        parameters = {**alarm.parameters, "alarm": alarm.key, "count": str(alarm.occurrences)}
        return alarm_line(alarm, EventKind.SUPPRESSED, key, parameters, occasion, number or self._next_id())
