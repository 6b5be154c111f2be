"""What operators, the model and tags do to suppress alarms: shelving, by design, out of service, tagged.

Each begin and end is an event of kind SUPPRESSED; of a suppressing point one for all its points. The words are those of
ANSI/ISA-18.2 and IEC 62682: *shelved* = by an operator for a limited time, *suppressed by design* = by logic of the system, *out
of service* = for maintenance, until taken back; a tag that inhibits alarms is ours. Which suppressions are in force, and their
time, is the business of :mod:`scada.events.suppression_register`; showing and hiding that of :mod:`scada.events.alarm_states`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import AlarmSettings
from scada.events.alarm_states import CHANNEL
from scada.events.condition_table import ConditionTable
from scada.events.conditions import CONDITIONS, SUPPRESSES
from scada.events.lines import suppression_line
from scada.events.records import Alarm, Event, Suppression, SuppressionKind
from scada.events.suppression_register import SuppressionRegister
from scada.model_cim.tables import Point

Name = tuple[str, str]
"""mRID of the object and text key; an empty key = every alarm of the object."""
Outcome = tuple[list[Event], list[Name], list[str]]
"""(events, unknown names, mRIDs of the objects whose alarms are to be reviewed)."""

_SHELVED: Final = SuppressionKind.SHELVED
_BY_DESIGN: Final = SuppressionKind.BY_DESIGN
_OUT: Final = SuppressionKind.OUT_OF_SERVICE
_TAGGED: Final = SuppressionKind.TAGGED


class SuppressionError(ScadaError):
    """A suppression was asked for without a reason or for a time that is not allowed."""


class AlarmSuppression:
    """Suppressions by name, and the alarms they are of.

    Args:
        points: indexed by pid.
        table: conditions of the points.
        clock: see :class:`SuppressionRegister`.
        next_id: reserves the number of the next event.
        settings: longest shelving.
    """

    def __init__(
        self,
        points: Sequence[Point],
        table: ConditionTable,
        clock: Clock,
        next_id: Callable[[], int],
        settings: AlarmSettings,
    ) -> None:
        self._points = points
        self._table = table
        self._next_id = next_id
        self._shelve_max_s = settings.shelve_max_s
        self._register = SuppressionRegister(clock, settings.shelve_max_s)
        self._channels: dict[str, str] = {}

    # ------------------------------------------------------------------ which alarms

    def kind_of(self, alarm: Alarm) -> SuppressionKind:
        """By what an alarm is suppressed now."""
        return self._register.kind_of(self.objects_of(alarm), alarm.key) if self._register else SuppressionKind.NONE

    def objects_of(self, alarm: Alarm) -> tuple[str, ...]:
        """MRIDs of an alarm's object and of its equipment."""
        return (alarm.mrid,) if alarm.pid < 0 else (alarm.mrid, self._points[alarm.pid].equipment)

    @property
    def revision(self) -> int:
        """Grows when a suppression begins, ends or changes."""
        return self._register.revision

    def know_channel(self, mrid: str, name: str) -> None:
        """Let the alarm of a channel be named."""
        self._channels[mrid] = name

    @cached_property
    def _objects(self) -> dict[str, tuple[str, str]]:
        """Path and station of every point with a condition and of its equipment; made when somebody first suppresses."""
        found: dict[str, tuple[str, str]] = {}
        for pid in self._table.pids():
            point = self._points[pid]
            found[point.mrid] = point.path, point.station
            if point.equipment:
                found.setdefault(point.equipment, (point.path.rpartition("/")[0], point.station))
        return found

    def _entry(self, name: Name, kind: SuppressionKind, now_ns: int, user: str, reason: str) -> Suppression | None:
        """A suppression of this name; None if it names no alarm."""
        mrid, key = name
        path, station = self._objects.get(mrid, (self._channels.get(mrid, ""), ""))
        pid = self._pids.get(mrid, -1)
        keys: Sequence[str] = CONDITIONS
        if pid >= 0:
            keys = self._table.keys(pid)
        elif mrid in self._channels:
            keys = (CHANNEL,)
        elif mrid not in self._objects:
            return None
        if not keys or key not in ("", *keys):
            return None
        return Suppression(mrid, key, kind, path, station, now_ns, user=user, reason=reason)

    @cached_property
    def _pids(self) -> dict[str, int]:
        return {self._points[pid].mrid: pid for pid in self._table.pids()}

    # ------------------------------------------------------------------ operators

    def shelve(self, names: Iterable[Name], duration_s: float, user: str, reason: str, now_ns: int) -> Outcome:
        """See :meth:`scada.events.alarms.AlarmEngine.shelve`."""
        if not 0 < duration_s <= self._shelve_max_s:
            mend = f"give more than 0 s and at most {self._shelve_max_s / 3600:g} h"
            raise SuppressionError(f"an alarm cannot be shelved for {duration_s:g} s", mend=mend)
        return self._begin(names, _SHELVED, "alarm.shelved", user, reason, now_ns, duration_s)

    def set_service(self, names: Iterable[Name], out: bool, user: str, reason: str, now_ns: int) -> Outcome:
        """See :meth:`scada.events.alarms.AlarmEngine.set_service`."""
        if not out:
            return self.end(names, _OUT, "alarm.in_service", user, reason, now_ns)
        return self._begin(names, _OUT, "alarm.out_of_service", user, reason, now_ns)

    def _begin(
        self, names: Iterable[Name], kind: SuppressionKind, key: str, user: str, reason: str, now_ns: int, duration_s: float = 0.0
    ) -> Outcome:
        if not reason.strip():
            raise SuppressionError("alarms are not suppressed without a reason", mend="say why")
        events: list[Event] = []
        unknown: list[Name] = []
        objects: list[str] = []
        more = {"minutes": f"{duration_s / 60:.4g}"} if duration_s else {}
        for name in dict.fromkeys(names):
            entry = self._entry(name, kind, now_ns, user, reason)
            if entry is None:
                unknown.append(name)
                continue
            self._register.add(entry, duration_s=duration_s)
            events.append(self._line(entry, key, now_ns, user, **more))
            objects.append(entry.mrid)
        return events, unknown, objects

    def end(self, names: Iterable[Name], kind: SuppressionKind, key: str, user: str, reason: str, now_ns: int) -> Outcome:
        """Take suppressions of a kind back; names that have none are unknown."""
        events: list[Event] = []
        unknown: list[Name] = []
        objects: list[str] = []
        for mrid, alarm_key in dict.fromkeys(names):
            found = self._register.named(mrid, alarm_key, kind)
            if not found:
                unknown.append((mrid, alarm_key))
            for place in found:
                entry = replace(self._register.remove(place), reason=reason)
                events.append(self._line(entry, key, now_ns, user))
                objects.append(mrid)
        return events, unknown, objects

    def set_tagged(self, tagged: Mapping[str, str], now_ns: int) -> tuple[list[Event], list[str]]:
        """See :meth:`scada.events.alarms.AlarmEngine.set_tagged`; (events, objects to be reviewed)."""
        before = {key[0]: key for key in self._register.of_kind(_TAGGED)}
        gone = [self._register.remove(key) for mrid, key in before.items() if mrid not in tagged]
        wanted = (self._entry((mrid, ""), _TAGGED, now_ns, "", reason) for mrid, reason in tagged.items())
        entries = [entry for entry in wanted if entry is not None]
        for entry in entries:
            if self._register.reason((entry.mrid, "", _TAGGED)) != entry.reason:  # the same tag goes on since when it was placed
                self._register.add(entry)
        new = [entry for entry in entries if entry.mrid not in before]
        events = self._by_reason(gone, "alarm.unsuppressed", now_ns) + self._by_reason(new, "alarm.suppressed_by_tag", now_ns)
        return events, [entry.mrid for entry in (*gone, *new)]

    def _by_reason(self, entries: Iterable[Suppression], key: str, now_ns: int) -> list[Event]:
        """One event for all objects of a tag: a station may have thousands of points."""
        groups: dict[str, list[Suppression]] = {}
        for entry in entries:
            groups.setdefault(entry.reason, []).append(entry)
        counts = {reason: str(len(group)) if len(group) > 1 else "" for reason, group in groups.items()}
        return [self._line(group[0], key, now_ns, count=counts[reason]) for reason, group in groups.items()]

    # ------------------------------------------------------------------ the model and time

    def by_design(self, row: int, began: bool, now_ns: int) -> tuple[list[Event], list[str]]:
        """A suppressing point became 1, or is no longer known to be 1; (events, objects to be reviewed)."""
        suppressor = self._points[self._table.pid(row)]
        objects = []
        for pid in self._table.suppressed[row]:
            point = self._points[pid]
            if began:
                self._register.add(_designed(point, suppressor, now_ns))
            elif (point.mrid, "", _BY_DESIGN) in self._register:
                self._register.remove((point.mrid, "", _BY_DESIGN))
            objects.append(point.mrid)
        key = "alarm.suppressed_by_design" if began else "alarm.unsuppressed"
        shown = Suppression(suppressor.mrid, "", _BY_DESIGN, suppressor.path, suppressor.station)
        return [self._line(shown, key, now_ns, count=str(len(objects)))], objects

    def expire(self, now_ns: int) -> tuple[list[Event], list[str]]:
        """Shelvings whose time has passed; (events, objects to be reviewed)."""
        over = [self._register.remove(key) for key in self._register.expired()]
        events = [self._line(entry, "alarm.shelving_expired", now_ns) for entry in over]
        return events, [entry.mrid for entry in over]

    # ------------------------------------------------------------------ state

    def entries(self, active: Iterable[Alarm]) -> list[Suppression]:
        """All in force, in the order in which they began.

        Args:
            active: suppressed alarms whose condition holds.
        """
        held = {(mrid, key) for alarm in active for mrid in self.objects_of(alarm) for key in ("", alarm.key)}
        return [replace(entry, active=(entry.mrid, entry.key) in held) for entry in self._register.entries()]

    def take_changed(self) -> list[Suppression]:
        """See :meth:`scada.events.alarms.AlarmEngine.take_suppressions`."""
        return self._register.take_changed()

    def restore(self, entries: Iterable[Suppression], now_ns: int) -> list[Event]:
        """Take over the suppressions of a log, those by design as far as the model still has them."""
        self._register.restore(entries)
        return self._fit(now_ns)

    def succeed(self, before: AlarmSuppression, now_ns: int) -> list[Event]:
        """Take over from the suppressions of another model version, those by design as far as this one has them."""
        self._register, self._channels = before._register, before._channels
        return self._fit(now_ns)

    def _fit(self, now_ns: int) -> list[Event]:
        """Those by design as the model has them."""
        by_design = self._register.of_kind(_BY_DESIGN)
        if not by_design:
            return []
        known = {key[0] for key in by_design}
        wanted: set[str] = set()
        for row, pids in self._table.suppressed.items():
            points = [self._points[pid] for pid in pids]
            if known.isdisjoint(point.mrid for point in points):
                continue
            self._table.hold(row, SUPPRESSES)  # until the suppressing point says otherwise
            wanted.update(point.mrid for point in points)
            for point in points:
                if point.mrid not in known:
                    self._register.add(_designed(point, self._points[self._table.pid(row)], now_ns))
        gone = [self._register.remove(key) for key in by_design if key[0] not in wanted]
        return [self._line(entry, "alarm.unsuppressed", now_ns) for entry in gone]

    def _line(self, entry: Suppression, key: str, now_ns: int, user: str = "", **parameters: str) -> Event:
        pid = self._pids.get(entry.mrid, -1)
        return suppression_line(entry, key, now_ns, self._next_id(), pid=pid, actor=user, **parameters)


def _designed(point: Point, suppressor: Point, now_ns: int) -> Suppression:
    return Suppression(point.mrid, "", _BY_DESIGN, point.path, point.station, now_ns, reason=suppressor.path)
