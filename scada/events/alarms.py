"""Limit, state and channel alarms, and the sequence of events, drawn from change sets. Pure: no file, no thread.

Phases follow ISA-18.2 / IEC 62682 (normal, unacknowledged, acknowledged, returned unacknowledged). Each limit of a point is an
alarm of its own, so that crossing ``hi`` and then ``hihi`` gives two, with their own acknowledgement and return.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, RecordFlag
from scada.core.clock import Clock
from scada.core.quality import Quality, is_good, marks
from scada.events.records import Alarm, AlarmPhase, Event, EventKind
from scada.model_cim.tables import AlarmClass, Point, PointKind
from scada.rtdb.changes import ChangeSet, Snapshot

CONDITIONS: Final = ("limit.lolo", "limit.lo", "limit.hi", "limit.hihi", "state.alarm")
"""Text keys of the alarms a point can have; the columns of the condition tables."""

_RETURNED: Final = ("limit.lolo.returned", "limit.lo.returned", "limit.hi.returned", "limit.hihi.returned", "state.returned")
_STATE: Final = 4
_SOE_KINDS: Final = frozenset({PointKind.STATUS, PointKind.DOUBLE})
_ACTIVE: Final = frozenset({AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE})
_CHANNEL: Final = "channel.down"

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Occasion:
    """The value that made a condition begin or end."""

    time_ns: int
    value: float
    source_time_ns: int = 0
    seq: int = 0


class AlarmEngine:
    """States of all alarms.

    Use: ``events = engine.process(change)``, then ``log.append(events, alarms=engine.take_changed(), seq=change.last)``, then
    show them. After a restart: ``restore`` what the log holds, then ``process`` the changes after ``log.seq``, or ``resync`` with
    a snapshot where the journal has a gap.

    A value of bad quality (:data:`scada.core.quality.BAD_MASK`) neither begins nor ends a condition. A limit is violated beyond
    it and returns when the value is back by ``hysteresis``; with ``delay_s`` it must have been violated so long, without a
    break, before it becomes an alarm (a state alarm too).

    Args:
        points: indexed by pid.
        clock: its monotonic time drives the delays.
        next_id: reserves the number of the next event (:meth:`scada.events.log.EventLog.next_id`).
    """

    def __init__(self, points: Sequence[Point], clock: Clock, next_id: Callable[[], int]) -> None:
        self._points = points
        self._clock = clock
        self._next_id = next_id
        limits = [point.limits for point in points]
        self._low = np.array([(limit.lolo, limit.lo) for limit in limits], dtype=np.float64).reshape(-1, 2)
        self._high = np.array([(limit.hi, limit.hihi) for limit in limits], dtype=np.float64).reshape(-1, 2)
        self._hysteresis = np.array([limit.hysteresis for limit in limits], dtype=np.float64)
        self._normal = np.array([point.normal_value for point in points], dtype=np.float64)
        self._soe = np.array([point.kind in _SOE_KINDS for point in points], dtype=np.bool_)
        self._held = np.zeros((len(points), len(CONDITIONS)), dtype=np.bool_)
        self._value = np.full(len(points), np.nan)
        self._good = np.zeros(len(points), dtype=np.bool_)
        self._waiting: dict[tuple[int, int], float] = {}
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._channels: dict[str, bool] = {}
        self._changed: dict[int, Alarm] = {}

    # ------------------------------------------------------------------ values

    def process(self, change: ChangeSet) -> list[Event]:
        """Events of a change set, in its order, numbered.

        ``STATUS_CHANGE`` for status and double points: ``status.changed``; ``status.found`` if an interrogation found it;
        ``status.reported`` if the source stamped a state that was known already. The first value of a point is not a change.
        """
        records = change.records
        index = np.flatnonzero(records["pid"] < len(self._points))
        pids = records["pid"][index].astype(np.intp)
        flags = records["flags"][index]
        good = is_good(records["quality"][index])
        values = records["value"][index]
        status = self._soe[pids] & _is_soe(flags, records["source_time"][index], records["quality"][index])
        moved = good & (self._conditions(pids, values) != self._held[pids]).any(axis=1)
        # a point that moves at one record is followed through all its records of this change set
        followed = np.isin(pids, pids[moved]) & good
        self._value[pids[good]] = values[good]
        self._good[pids] = good
        events: list[Event] = []
        for i in np.flatnonzero(status | followed).tolist():
            row = int(index[i])
            occasion = _Occasion(
                int(change.received_at[row]), float(values[i]), int(records["source_time"][row]), change.first + row
            )
            if status[i]:
                events.append(self._status_event(int(pids[i]), int(flags[i]), int(records["quality"][row]), occasion))
            if followed[i]:
                events += self._follow(int(pids[i]), occasion)
        return events

    def resync(self, snapshot: Snapshot) -> list[Event]:
        """Judge all present values at once, where the changes in between are not known: alarms, but no status changes."""
        records = np.zeros(len(snapshot), dtype=POINT_DTYPE)
        for column in ("pid", "value", "quality", "source_time"):
            records[column] = getattr(snapshot, column)
        now = self._clock.now_ns()
        events = self.process(ChangeSet(snapshot.seq, records, np.full(len(records), now, dtype=np.int64), now))
        return [replace(event, seq=snapshot.seq) for event in events]

    def tick(self, now_ns: int) -> list[Event]:
        """Alarms whose delay has passed. Call a few times a second.

        Args:
            now_ns: UTC for their stamps.
        """
        if not self._waiting:
            return []
        now = self._clock.monotonic()
        events: list[Event] = []
        for (pid, column), due in sorted(self._waiting.items(), key=lambda item: item[1]):
            if due <= now and self._good[pid]:
                del self._waiting[pid, column]
                events.append(self._raise_point(pid, column, _Occasion(now_ns, float(self._value[pid]))))
        return events

    def _conditions(self, pids: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> Bools:
        """Which conditions hold for these values, given which held before."""
        value = values[:, None]
        held = self._held[pids]
        margin = np.where(held[:, :_STATE], self._hysteresis[pids][:, None], 0.0)
        low = value < self._low[pids] + margin[:, :2]
        high = value > self._high[pids] - margin[:, 2:]
        normal = self._normal[pids][:, None]
        return np.concatenate((low, high, (value != normal) & ~np.isnan(normal)), axis=1)

    def _follow(self, pid: int, occasion: _Occasion) -> list[Event]:
        conditions = self._conditions(np.array([pid]), np.array([occasion.value]))[0]
        events = []
        for column in np.flatnonzero(conditions != self._held[pid]).tolist():
            began = bool(conditions[column])
            self._held[pid, column] = began
            delay = self._points[pid].limits.delay_s
            if began and delay > 0:
                self._waiting[pid, column] = self._clock.monotonic() + delay
            elif began:
                events.append(self._raise_point(pid, column, occasion))
            elif self._waiting.pop((pid, column), None) is None:
                events.append(self._return_point(pid, column, occasion))
        return events

    # ------------------------------------------------------------------ operators and channels

    def acknowledge(self, alarm_ids: Iterable[int], user: str, now_ns: int) -> tuple[list[Event], list[int], list[int]]:
        """Acknowledge exactly these alarms.

        Args:
            alarm_ids: as shown to the user.
            user: who acknowledges.
            now_ns: UTC.

        Returns:
            (events, acknowledged ids, unknown ids). One already acknowledged counts as acknowledged, without a further event.
        """
        by_id = {alarm.alarm_id: alarm for alarm in self._alarms.values()}
        events: list[Event] = []
        acknowledged: list[int] = []
        unknown: list[int] = []
        for alarm_id in dict.fromkeys(alarm_ids):
            alarm = by_id.get(alarm_id)
            if alarm is None:
                unknown.append(alarm_id)
                continue
            acknowledged.append(alarm_id)
            if alarm.phase == AlarmPhase.ACK_ACTIVE:
                continue
            phase = AlarmPhase.ACK_ACTIVE if alarm.phase == AlarmPhase.UNACK_ACTIVE else AlarmPhase.NORMAL
            self._set(replace(alarm, phase=phase, acknowledged_ns=now_ns, acknowledged_by=user))
            parameters = {**alarm.parameters, "alarm": alarm.key}
            occasion = _Occasion(now_ns, alarm.value)
            events.append(
                self._alarm_event(alarm, EventKind.ACKNOWLEDGED, "alarm.acknowledged", parameters, occasion, actor=user)
            )
        return events, acknowledged, unknown

    def channel(self, name: str, mrid: str, up: bool, reason: str, now_ns: int) -> list[Event]:
        """A channel went up or down; a repeated report gives nothing.

        Args:
            name: name of the channel.
            mrid: its mRID.
            up: True if data flows.
            reason: one sentence.
            now_ns: UTC.
        """
        if self._channels.get(mrid) is up:
            return []
        self._channels[mrid] = up
        parameters = {"channel": name, "reason": reason}
        occasion = _Occasion(now_ns, float("nan"))
        alarm = self._alarms.get((mrid, _CHANNEL))
        if not up:
            if alarm is not None and alarm.phase in _ACTIVE:
                return []
            fresh = Alarm(
                0, AlarmPhase.UNACK_ACTIVE, AlarmClass.ABNORMAL, 2, _CHANNEL, parameters, -1, mrid, "", name, np.nan, np.nan, 0
            )
            return [self._raise(fresh, EventKind.CHANNEL_DOWN, occasion)]
        if alarm is not None and alarm.phase in _ACTIVE:
            return [self._return(alarm, EventKind.CHANNEL_UP, "channel.up", parameters, occasion)]
        return [
            Event(
                now_ns,
                EventKind.CHANNEL_UP,
                AlarmClass.NOTICE,
                4,
                "channel.up",
                parameters,
                mrid=mrid,
                path=name,
                event_id=self._next_id(),
            )
        ]

    # ------------------------------------------------------------------ state

    def alarms(self) -> list[Alarm]:
        """Present alarms, oldest first. Callable from any thread."""
        return sorted(self._alarms.values(), key=lambda alarm: alarm.alarm_id)

    def take_changed(self) -> list[Alarm]:
        """Alarms that changed since the last call, for the log; ``NORMAL`` = gone."""
        changed = list(self._changed.values())
        self._changed.clear()
        return changed

    def restore(self, alarms: Iterable[Alarm]) -> list[Event]:
        """Take over the alarms of a log or of the engine before a model change; call before anything else.

        Returns:
            Events of the alarms that ended because the model no longer has their point (store them).
        """
        pids = {point.mrid: int(point.pid) for point in self._points if not point.removed}
        events = []
        for alarm in alarms:
            pid = pids.get(alarm.mrid, -1)
            self._alarms[alarm.mrid, alarm.key] = replace(alarm, pid=pid)
            if alarm.key == _CHANNEL:
                self._channels[alarm.mrid] = alarm.phase not in _ACTIVE
                continue
            column = CONDITIONS.index(alarm.key)
            if pid >= 0:
                self._held[pid, column] = alarm.phase in _ACTIVE
            elif alarm.phase in _ACTIVE:
                kind = EventKind.STATE_RETURNED if column == _STATE else EventKind.LIMIT_RETURNED
                occasion = _Occasion(self._clock.now_ns(), float("nan"))
                events.append(self._return(replace(alarm, pid=-1), kind, "alarm.point_removed", alarm.parameters, occasion))
        return events

    def _set(self, alarm: Alarm) -> None:
        key = (alarm.mrid, alarm.key)
        if alarm.phase == AlarmPhase.NORMAL:
            self._alarms.pop(key, None)
        else:
            self._alarms[key] = alarm
        self._changed[alarm.alarm_id] = alarm

    def _raise_point(self, pid: int, column: int, occasion: _Occasion) -> Event:
        point = self._points[pid]
        is_state = column == _STATE
        limit = float("nan") if is_state else float((*self._low[pid], *self._high[pid])[column])
        worst = CONDITIONS[column] in {"limit.lolo", "limit.hihi"}
        fresh = Alarm(
            alarm_id=0,
            phase=AlarmPhase.UNACK_ACTIVE,
            alarm_class=point.alarm_class if is_state else AlarmClass.LIMIT,
            priority=max(1, point.priority - 1) if worst else point.priority,
            key=CONDITIONS[column],
            parameters=_parameters(point, occasion.value, limit),
            pid=pid,
            mrid=point.mrid,
            station=point.station,
            path=point.path,
            value=occasion.value,
            limit=limit,
            raised_ns=occasion.time_ns,
        )
        return self._raise(fresh, EventKind.STATE_ALARM if is_state else EventKind.LIMIT_VIOLATED, occasion)

    def _raise(self, fresh: Alarm, kind: EventKind, occasion: _Occasion) -> Event:
        number = self._next_id()
        standing = self._alarms.get((fresh.mrid, fresh.key))  # returned, not yet acknowledged: the same instance goes on
        if standing is None:
            alarm = replace(fresh, alarm_id=number, raised_ns=occasion.time_ns)
        else:
            alarm = replace(fresh, alarm_id=standing.alarm_id, raised_ns=standing.raised_ns)
        self._set(alarm)
        return self._alarm_event(alarm, kind, alarm.key, alarm.parameters, occasion, number=number)

    def _return_point(self, pid: int, column: int, occasion: _Occasion) -> Event:
        point = self._points[pid]
        alarm = self._alarms[point.mrid, CONDITIONS[column]]
        kind = EventKind.STATE_RETURNED if column == _STATE else EventKind.LIMIT_RETURNED
        return self._return(alarm, kind, _RETURNED[column], _parameters(point, occasion.value, alarm.limit), occasion)

    def _return(self, alarm: Alarm, kind: EventKind, key: str, parameters: dict[str, str], occasion: _Occasion) -> Event:
        phase = AlarmPhase.NORMAL if alarm.phase == AlarmPhase.ACK_ACTIVE else AlarmPhase.UNACK_RETURNED
        self._set(replace(alarm, phase=phase, returned_ns=occasion.time_ns))
        return self._alarm_event(alarm, kind, key, parameters, occasion)

    def _alarm_event(
        self,
        alarm: Alarm,
        kind: EventKind,
        key: str,
        parameters: dict[str, str],
        occasion: _Occasion,
        *,
        actor: str = "",
        number: int = 0,
    ) -> Event:
        return Event(
            time_ns=occasion.time_ns,
            kind=kind,
            alarm_class=alarm.alarm_class,
            priority=alarm.priority,
            key=key,
            parameters=parameters,
            pid=alarm.pid,
            mrid=alarm.mrid,
            station=alarm.station,
            path=alarm.path,
            value=occasion.value,
            source_time_ns=occasion.source_time_ns,
            alarm_id=alarm.alarm_id,
            seq=occasion.seq,
            actor=actor,
            event_id=number or self._next_id(),
        )

    def _status_event(self, pid: int, flags: int, quality: int, occasion: _Occasion) -> Event:
        point = self._points[pid]
        if not flags & RecordFlag.VALUE_CHANGED:
            key = "status.reported"
        elif flags & RecordFlag.REFRESH:
            key = "status.found"
        else:
            key = "status.changed"
        parameters = _parameters(point, occasion.value, float("nan"))
        if quality:
            parameters["quality"] = marks(quality)
        return Event(
            time_ns=occasion.time_ns,
            kind=EventKind.STATUS_CHANGE,
            alarm_class=AlarmClass.CHANGE,
            priority=point.priority,
            key=key,
            parameters=parameters,
            pid=pid,
            mrid=point.mrid,
            station=point.station,
            path=point.path,
            value=occasion.value,
            source_time_ns=occasion.source_time_ns,
            seq=occasion.seq,
            event_id=self._next_id(),
        )


def _is_soe(flags: npt.NDArray[np.uint8], source_time: npt.NDArray[np.int64], quality: npt.NDArray[np.uint32]) -> Bools:
    """Records of a status that are lines of the sequence of events."""
    changed = flags & RecordFlag.VALUE_CHANGED != 0
    reported = (flags & RecordFlag.EVENT != 0) & (source_time != 0)
    excluded = (flags & (RecordFlag.FIRST | RecordFlag.QUALITY_SET) != 0) | (quality & int(Quality.NEVER_RECEIVED) != 0)
    lines: Bools = (changed | reported) & ~excluded
    return lines


def _parameters(point: Point, value: float, limit: float) -> dict[str, str]:
    """What the texts of the faces may show."""
    parameters = {"point": point.path, "value": f"{value:.6g}"}
    if point.unit:
        parameters["unit"] = point.unit
    if not np.isnan(limit):
        parameters["limit"] = f"{limit:.6g}"
    label = point.states.get(int(value)) if float(value).is_integer() else None
    if label is not None:
        parameters["state"] = label
    return parameters
