"""The alarm engine: conditions with their delays, phases, suppression and annunciation, drawn from change sets.

Pure: no file, no thread; time comes from the clock. The parts:

- :mod:`scada.events.conditions`, :mod:`scada.events.condition_table`: which conditions hold (limits, states, deviation, rate);
- :mod:`scada.events.alarm_states`, :mod:`scada.events.alarm_list`: phases after ISA-18.2 / IEC 62682;
- :mod:`scada.events.suppression`: shelved, suppressed by design, out of service, tagged;
- :mod:`scada.events.annunciation`: chatter and flood groups.

Each condition of a point is an alarm of its own, so that crossing ``hi`` and then ``hihi`` gives two, with their own
acknowledgement and return.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE
from scada.core.clock import NS_PER_S, Clock
from scada.core.settings import AlarmSettings
from scada.events.alarm_list import ACTIVE
from scada.events.alarm_states import CHANNEL, AlarmStates
from scada.events.condition_table import ConditionTable, Turn
from scada.events.conditions import CONDITIONS, DEVIATION, RATE, STATE, SUPPRESSES
from scada.events.lines import Occasion, alarm_line, parameters_of
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.events.suppression import AlarmSuppression
from scada.model_cim.tables import AlarmClass, Point
from scada.rtdb.changes import ChangeSet, Snapshot

_WORST: Final = frozenset({"limit.lolo", "limit.hihi"})
_NAN: Final = float("nan")


class AlarmEngine:
    """States of all alarms.

    Use: ``events = engine.process(change)``, then ``log.append(events, alarms=engine.take_changed(),
    suppressions=engine.take_suppressions(), seq=change.last)``, then show them. After a restart: ``restore`` what the log holds,
    ``process`` the changes after ``log.seq``, then ``resync`` with a snapshot: it judges again what was waiting for its delay,
    and what happened where the journal has a gap.

    A value of bad quality (:data:`scada.core.quality.BAD_MASK`) neither begins nor ends a condition, and while it is bad no delay
    runs out. Delays run on the monotonic clock. A value an operator holds is judged as it is shown; what its source sends
    meanwhile is not. Lines of the sequence of events are the business of :mod:`scada.events.soe`.

    Args:
        points: indexed by pid.
        clock: see above.
        next_id: reserves the number of the next event (:meth:`scada.events.log.EventLog.next_id`).
        settings: section ``[alarms]``.
    """

    def __init__(
        self,
        points: Sequence[Point],
        clock: Clock,
        next_id: Callable[[], int],
        settings: AlarmSettings | None = None,
    ) -> None:
        settings = settings or AlarmSettings()
        self._points = points
        self._clock = clock
        self._next_id = next_id
        self._table = ConditionTable(points)
        self._suppression = AlarmSuppression(points, self._table, clock, next_id, settings)
        self._states = AlarmStates(next_id, self._suppression.kind_of, settings)
        self._waiting: dict[tuple[int, int], float] = {}
        self._due: list[tuple[float, int, int]] = []
        self._fast: set[int] = set()
        self._channels: dict[str, bool] = {}
        self._listed: tuple[tuple[int, int], list[Suppression]] = ((-1, -1), [])
        self._now = clock.monotonic()

    # ------------------------------------------------------------------ values

    def process(self, change: ChangeSet) -> list[Event]:
        """Events of a change set, in its order, numbered. Lines of the sequence of events are made elsewhere."""
        records, received_at = change.records, change.received_at
        # a change set that waited was not received now; one of before the start counts from the start on
        waited = max(0.0, (self._clock.now_ns() - change.committed_at) / NS_PER_S)
        self._now = max(self._now, self._clock.monotonic() - waited)
        events: list[Event] = []
        for turn in self._table.judge(records, self._now):
            record = records[turn.record]
            stamp, seq = int(record["source_time"]), change.first + turn.record
            occasion = Occasion(int(received_at[turn.record]), turn.value, stamp, seq, turn.measured)
            events += self._turned(turn, occasion)
        return events

    def resync(self, snapshot: Snapshot) -> list[Event]:
        """Judge all present values at once. To be called once after a restart."""
        records = np.zeros(len(snapshot), dtype=POINT_DTYPE)
        for column in ("pid", "value", "quality", "source_time"):
            records[column] = getattr(snapshot, column)
        now = self._clock.now_ns()
        events = self.process(ChangeSet(snapshot.seq, records, np.full(len(records), now, dtype=np.int64), now))
        return [replace(event, seq=snapshot.seq) for event in events]

    def tick(self, now_ns: int) -> list[Event]:
        """What time alone brings: delays that have passed, rates that are over, shelvings that expire, chattering that ends.

        Call a few times a second.

        Args:
            now_ns: UTC for the stamps.
        """
        self._now = now = max(self._now, self._clock.monotonic())
        events: list[Event] = []
        if self._fast:
            for turn in self._table.advance(sorted(self._fast), now):
                events += self._turned(turn, Occasion(now_ns, turn.value, measured=turn.measured))
        events += self._ripen(now, now_ns)
        ended, objects = self._suppression.expire(now_ns)
        events += ended + self._review(objects, now_ns)
        return events + self._states.tick(now, now_ns)

    def _turned(self, turn: Turn, occasion: Occasion) -> list[Event]:
        """A condition begins or is over: at once, or when its delay has passed without a break."""
        if turn.column == SUPPRESSES:
            events, objects = self._suppression.by_design(turn.row, bool(turn.began), occasion.time_ns)
            return events + self._review(objects, occasion.time_ns)
        if turn.column == RATE:
            (self._fast.add if turn.began else self._fast.discard)(turn.row)
        place = turn.row, turn.column
        if self._waiting.pop(place, None) is not None:
            return []  # back before its delay had passed
        limits = self._points[self._table.pid(turn.row)].limits
        delay = limits.delay_s if turn.began else limits.off_delay_s
        if delay <= 0:
            return self._settled(*place, occasion, began=bool(turn.began))
        self._waiting[place] = self._now + delay
        heappush(self._due, (self._now + delay, *place))
        return []

    def _ripen(self, now: float, now_ns: int) -> list[Event]:
        events: list[Event] = []
        doubtful = []
        while self._due and self._due[0][0] <= now:
            due, row, column = heappop(self._due)
            if self._waiting.get((row, column)) != due:
                continue  # it was over, and perhaps began anew
            if not self._table.good(row):
                doubtful.append((due, row, column))
                continue
            del self._waiting[row, column]
            occasion = Occasion(now_ns, self._table.value(row), measured=self._table.measured(row, column, now))
            events += self._settled(row, column, occasion, began=self._table.holds(row, column))
        for entry in doubtful:
            heappush(self._due, entry)
        return events

    def _settled(self, row: int, column: int, occasion: Occasion, *, began: bool) -> list[Event]:
        point = self._points[self._table.pid(row)]
        limit, key = self._table.limit(row, column), CONDITIONS[column]
        parameters = parameters_of(point, occasion.value, limit=limit, measured=occasion.measured)
        if column == DEVIATION:
            parameters["reference"] = self._points[self._table.reference(row)].path
        if not began:
            return self._states.end((point.mrid, key), parameters, occasion)
        alarm = Alarm(
            alarm_id=0,
            phase=AlarmPhase.UNACK_ACTIVE,
            alarm_class=point.alarm_class if column == STATE else AlarmClass.LIMIT,
            priority=max(1, point.priority - 1) if key in _WORST else point.priority,
            key=key,
            parameters=parameters,
            pid=int(point.pid),
            mrid=point.mrid,
            station=point.station,
            path=point.path,
            value=occasion.value,
            limit=limit,
            raised_ns=occasion.time_ns,
            bay=point.bay,
        )
        return self._states.begin(alarm, occasion, self._now)

    # ------------------------------------------------------------------ operators and channels

    def acknowledge(
        self, alarm_ids: Iterable[int], user: str, now_ns: int, *, seen: int = 0
    ) -> tuple[list[Event], list[int], list[int]]:
        """Acknowledge exactly these alarms.

        Args:
            alarm_ids: as shown to the user.
            user: who acknowledges.
            now_ns: UTC.
            seen: the last event the user had seen, 0 = not said. An alarm that was raised again after it stays unacknowledged and
                is returned as unknown: he has not seen that occurrence.

        Returns:
            (events, acknowledged ids, unknown ids). One already acknowledged counts as acknowledged, without a further event.
            A suppressed alarm is not shown, so it is unknown.
        """
        return self._states.acknowledge(alarm_ids, user, now_ns, seen)

    def shelve(
        self, names: Iterable[tuple[str, str]], duration_s: float, user: str, reason: str, now_ns: int
    ) -> tuple[list[Event], list[tuple[str, str]]]:
        """Shelve alarms for a time; one that is shelved already is so for the new time.

        Args:
            names: (mRID of a point, equipment or channel, key; empty = every alarm of the object).
            duration_s: above 0, at most the longest of the settings (8 h).
            user: who does it.
            reason: must be given.
            now_ns: UTC.

        Returns:
            (events, names that are no alarms).

        Raises:
            SuppressionError: no reason, or no such duration.
        """
        events, unknown, objects = self._suppression.shelve(names, duration_s, user, reason, now_ns)
        return events + self._review(objects, now_ns), unknown

    def unshelve(self, names: Iterable[tuple[str, str]], user: str, now_ns: int) -> tuple[list[Event], list[tuple[str, str]]]:
        """Take shelvings back; an empty key takes back all of the object.

        Returns:
            (events, names that are not shelved).
        """
        events, unknown, objects = self._suppression.end(names, SuppressionKind.SHELVED, "alarm.unshelved", user, "", now_ns)
        return events + self._review(objects, now_ns), unknown

    def set_service(
        self, names: Iterable[tuple[str, str]], out: bool, user: str, reason: str, now_ns: int
    ) -> tuple[list[Event], list[tuple[str, str]]]:
        """Take alarms out of service until they are taken back, or take them back.

        Args:
            names: as for :meth:`shelve`.
            out: True = out of service.
            user: who does it.
            reason: must be given to take out.
            now_ns: UTC.

        Returns:
            (events, names that are no alarms, or are not out of service).

        Raises:
            SuppressionError: no reason.
        """
        events, unknown, objects = self._suppression.set_service(names, out, user, reason, now_ns)
        return events + self._review(objects, now_ns), unknown

    def set_tagged(self, tagged: Mapping[str, str], now_ns: int) -> list[Event]:
        """Say which objects carry a tag that inhibits alarms.

        Args:
            tagged: mRID of a point or of equipment -> reason; all of them, each time. Those without an alarm are passed over.
            now_ns: UTC.
        """
        events, objects = self._suppression.set_tagged(tagged, now_ns)
        return events + self._review(objects, now_ns)

    def channel(self, name: str, mrid: str, up: bool, reason: str, now_ns: int) -> list[Event]:
        """A channel went up or down; a repeated report gives nothing.

        Args:
            name: name of the channel.
            mrid: its mRID.
            up: True if data flows.
            reason: one sentence.
            now_ns: UTC.
        """
        self._suppression.know_channel(mrid, name)
        if self._channels.get(mrid) is up:
            return []
        self._channels[mrid] = up
        parameters = {"channel": name, "reason": reason}
        occasion = Occasion(now_ns)
        standing = self._states.list.get((mrid, CHANNEL))
        active = standing is not None and standing.phase in ACTIVE
        fresh = Alarm(
            0, AlarmPhase.UNACK_ACTIVE, AlarmClass.ABNORMAL, 2, CHANNEL, parameters, -1, mrid, "", name, _NAN, _NAN, now_ns
        )
        if not up:
            return [] if active else self._states.begin(fresh, occasion, self._clock.monotonic())
        if active:
            return self._states.end((mrid, CHANNEL), parameters, occasion)
        first = replace(fresh, alarm_class=AlarmClass.NOTICE, priority=4)
        return [alarm_line(first, EventKind.CHANNEL_UP, "channel.up", parameters, occasion, self._next_id())]

    # ------------------------------------------------------------------ state

    def alarms(self) -> list[Alarm]:
        """Shown alarms, oldest first; the same list until one changes (do not change it). Callable from any thread."""
        return self._states.list.shown()

    @property
    def suppressed(self) -> int:
        """How many alarms are active and hidden."""
        return len(self._states.list.hidden_active())

    def suppressions(self) -> list[Suppression]:
        """All suppressions in force, oldest first, with ``active``; the same list until one changes (do not change it)."""
        revision = self._states.list.hidden_revision, self._suppression.revision
        if self._listed[0] != revision:
            self._listed = revision, self._suppression.entries(self._states.list.hidden_active())
        return self._listed[1]

    def take_changed(self) -> list[Alarm]:
        """Alarms that changed since the last call, hidden ones too, for the log; ``NORMAL`` = gone.

        They are also what changes in :meth:`alarms`: one that is ``NORMAL`` or ``suppressed`` leaves it.
        """
        return self._states.list.take_changed()

    def take_suppressions(self) -> list[Suppression]:
        """Suppressions that changed since the last call, for the log; kind ``NONE`` = remove the one of this ``name``."""
        return self._suppression.take_changed()

    def restore(
        self, alarms: Iterable[Alarm], suppressions: Iterable[Suppression] = (), channels: Container[str] | None = None
    ) -> list[Event]:
        """Take over alarms and suppressions of a log or of the engine before a model change; call before anything else.

        Args:
            alarms: as they stood.
            suppressions: those in force.
            channels: mRIDs of the channels of the model; None = not known, every alarm of a channel goes on.

        Returns:
            Events of the alarms that ended because the model no longer has their point, condition or channel, and of
            suppressions that it no longer has (store them).
        """
        now_ns = self._clock.now_ns()
        events = self._suppression.restore(suppressions, now_ns)
        pids = {point.mrid: int(point.pid) for point in self._points if not point.removed}
        for alarm in alarms:
            pid = pids.get(alarm.mrid, -1)
            bay = alarm.bay or (self._points[pid].bay if pid >= 0 else "")
            alarm = replace(alarm, pid=pid, bay=bay, event_id=alarm.event_id or alarm.alarm_id)  # noqa: PLW2901 - of this model
            self._states.restore(alarm, self._now)
            if alarm.key == CHANNEL:
                self._channels[alarm.mrid] = alarm.phase not in ACTIVE
                self._suppression.know_channel(alarm.mrid, alarm.path)
                if channels is not None and alarm.mrid not in channels:  # nobody would ever say that it is up again
                    removed = "alarm.channel_removed"
                    events += self._states.end((alarm.mrid, CHANNEL), alarm.parameters, Occasion(now_ns), key=removed)
                continue
            column = CONDITIONS.index(alarm.key) if alarm.key in CONDITIONS else -1
            row = self._table.row(pid, column) if pid >= 0 and column >= 0 else -1
            if row < 0:
                key = "alarm.point_removed" if pid < 0 else "alarm.condition_removed"
                events += self._states.end((alarm.mrid, alarm.key), alarm.parameters, Occasion(now_ns), key=key)
            elif alarm.phase in ACTIVE:
                self._table.hold(row, column)
                if column == RATE:
                    self._fast.add(row)
        return events + self._states.review(self._states.list.all(), now_ns)

    def succeed(self, before: AlarmEngine, channels: Container[str]) -> list[Event]:
        """Go on where the engine of another model version stands; call before anything else, and it not after this.

        Alarms, suppressions, chattering and floods go on, and so do the conditions and their delays where they are the same;
        the points of others are :meth:`unjudged`.

        Args:
            before: the engine that ran.
            channels: mRIDs of the channels of this model.

        Returns:
            As for :meth:`restore`.
        """
        now_ns, self._now = self._clock.now_ns(), before._now
        self._channels = {mrid: up for mrid, up in before._channels.items() if mrid in channels}
        events = self._suppression.succeed(before._suppression, now_ns)
        self._states.succeed(before._states)
        rows = self._table.succeed(before._table)
        for (row, column), due in before._waiting.items():
            here = rows.get(row, -1)
            if here >= 0 and self._table.row(self._table.pid(here), column) >= 0:
                self._waiting[here, column] = due
                heappush(self._due, (due, here, column))
        self._fast = {rows[row] for row in before._fast if row in rows}
        return events + self._end_removed(channels, now_ns)

    def unjudged(self) -> npt.NDArray[np.uint32]:
        """After :meth:`succeed`, pids of the points whose conditions are new or others: judge their present values."""
        return np.array(sorted(self._table.pid(row) for row in self._table.unknown), dtype=np.uint32)

    def _end_removed(self, channels: Container[str], now_ns: int) -> list[Event]:
        """End the alarms of points, conditions and channels that the model does not have."""
        events: list[Event] = []
        for alarm in self._states.list.all():
            if alarm.key == CHANNEL:
                key = "" if alarm.mrid in channels else "alarm.channel_removed"
            elif alarm.pid >= len(self._points) or self._points[alarm.pid].removed:
                key = "alarm.point_removed"
            else:
                column = CONDITIONS.index(alarm.key) if alarm.key in CONDITIONS else -1
                key = "" if column >= 0 and self._table.row(alarm.pid, column) >= 0 else "alarm.condition_removed"
            if key:
                events += self._states.end((alarm.mrid, alarm.key), alarm.parameters, Occasion(now_ns), key=key)
        return events

    def _review(self, objects: Iterable[str], now_ns: int) -> list[Event]:
        """Hide and show the alarms of these objects as their suppressions stand now."""
        touched = set(objects)
        if not touched:
            return []
        owners = self._suppression.objects_of
        found = [alarm for alarm in self._states.list.all() if not touched.isdisjoint(owners(alarm))]
        return self._states.review(found, now_ns)
