"""The sequence of events: every change of a status as a line, in order of the time its source gave it.

A line is made for each status record that left the database, never merged with another. Lines are held back for a short window
before they are numbered, so that stations whose messages take different times come out in the order in which things happened. One
that comes when the window has passed is logged at once and says by how much it is late. Alarms do not wait.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import OPERATOR, RecordFlag, TimeQuality
from scada.core.clock import NS_PER_S, Clock
from scada.core.quality import Quality, marks
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Point, PointKind
from scada.rtdb.changes import ChangeSet

STATUS_KINDS: Final = frozenset({PointKind.STATUS, PointKind.DOUBLE})
"""Points whose changes are lines of the sequence of events."""

_AHEAD_NS: Final = NS_PER_S
"""A source time later than its receipt by more than this is no time of the event: the clock of the source is wrong."""
_JUMP_NS: Final = NS_PER_S
"""A step of our wall clock by more than this: what was released before says nothing about the order any more."""


def order_time(event: Event) -> int:
    """The time by which a line stands in the sequence of events, ns UTC: that of its source, else of its receipt."""
    return event.source_time_ns or event.time_ns


class StatusLines:
    """Makes the lines of change sets.

    Args:
        points: indexed by pid.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        self._status = np.array([point.kind in STATUS_KINDS for point in points], dtype=np.bool_)

    def of(self, change: ChangeSet) -> list[Event]:
        """Lines of a change set, in its order, not yet numbered.

        ``status.changed``; ``status.found`` if an interrogation found it; ``status.reported`` if the source stamped a state that
        was known already; ``status.behind_hold`` if an operator holds the point, so that it does not show the change;
        ``status.backfilled`` if it comes afterwards under its own time. The first value of a point is not a change, nor is
        what an operator's hold or release shows: the plant did nothing, and his order is an event of its own.

        ``source_time_ns`` is 0 where the source gave no time or one that cannot be (marked invalid, or more than a second later
        than the receipt); the line then stands by its receipt, and parameter ``said`` holds what the source said.
        """
        records = change.records
        rows = np.flatnonzero(records["pid"] < len(self._points))
        rows = rows[self._status[records["pid"][rows]]]
        if not len(rows):
            return []
        rows = rows[_is_line(records[rows])]
        return [self._line(records[row], int(change.received_at[row]), change.first + row) for row in rows.tolist()]

    def _line(self, record: np.void, received_ns: int, seq: int) -> Event:
        point = self._points[record["pid"]]
        value, quality = float(record["value"]), int(record["quality"])
        parameters = {"point": point.path, "value": f"{value:.6g}"}
        label = point.states.get(int(value)) if value.is_integer() else None
        if label is not None:
            parameters["state"] = label
        if shown := marks(quality):
            parameters["quality"] = shown
        source_ns = int(record["source_time"])
        invalid = quality & Quality.TIME_INVALID or int(record["time_quality"]) & TimeQuality.INVALID
        if source_ns and (invalid or source_ns > received_ns + _AHEAD_NS):
            parameters["said"] = _utc(source_ns)
            source_ns = 0
        return Event(
            time_ns=received_ns,
            kind=EventKind.STATUS_CHANGE,
            alarm_class=AlarmClass.CHANGE,
            priority=point.priority,
            key=_key(int(record["flags"])),
            parameters=parameters,
            pid=int(record["pid"]),
            mrid=point.mrid,
            station=point.station,
            path=point.path,
            value=value,
            source_time_ns=source_ns,
            seq=seq,
        )


class SoeWindow:
    """Holds lines back and releases them in order of :func:`order_time`.

    A line is released once it has been held for the window, and with it all that stand before it. Two lines come out in the right
    order as long as their ways here took times that differ by no more than the window.

    Args:
        window_s: seconds; 0 = nothing is held back.
        clock: its monotonic time ends the window; its wall time tells jumps.
    """

    def __init__(self, window_s: float, clock: Clock) -> None:
        self._window_s = window_s
        self._clock = clock
        self._held: list[tuple[int, int, Event]] = []
        self._dues: deque[tuple[float, int, int]] = deque()
        self._released = 0
        self._offset = self._present_offset()

    def __len__(self) -> int:
        return len(self._held)

    def take(self, lines: Iterable[Event]) -> list[Event]:
        """Hold lines back.

        Returns:
            Those that are not held: what came too late (with parameter ``late``, in seconds) and what was backfilled.
        """
        self._forget_order_after_jump()
        due = self._clock.monotonic() + self._window_s
        at_once = []
        for line in lines:
            time = order_time(line)
            if line.key == "status.backfilled":
                at_once.append(line)
            elif time < self._released:
                late = f"{(self._released - time) / NS_PER_S:.3f}"
                at_once.append(replace(line, parameters={**line.parameters, "late": late}))
            else:
                heapq.heappush(self._held, (time, line.seq, line))
                self._dues.append((due, time, line.seq))
        return at_once

    def release(self, *, everything: bool = False) -> list[Event]:
        """Lines whose window has passed, in order; ``everything``: all that are held."""
        now = self._clock.monotonic()
        last = (-1, -1)
        while self._dues and (everything or self._dues[0][0] <= now):
            last = max(last, self._dues.popleft()[1:])
        lines = []
        while self._held and self._held[0][:2] <= last:
            lines.append(heapq.heappop(self._held)[2])
        self._released = max(self._released, last[0])
        return lines

    def _present_offset(self) -> int:
        return self._clock.now_ns() - int(self._clock.monotonic() * NS_PER_S)

    def _forget_order_after_jump(self) -> None:
        offset = self._present_offset()
        if abs(offset - self._offset) > _JUMP_NS:
            self._released = 0
        self._offset = offset


def _key(flags: int) -> str:
    if flags & RecordFlag.BACKFILL:
        return "status.backfilled"
    if flags & RecordFlag.HELD:
        return "status.behind_hold"
    if not flags & RecordFlag.VALUE_CHANGED:
        return "status.reported"
    return "status.found" if flags & RecordFlag.REFRESH else "status.changed"


def _is_line(records: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    """Which records of status points are lines of the sequence of events."""
    flags = records["flags"]
    of_the_plant = (records["quality"] & np.uint32(Quality.NEVER_RECEIVED) == 0) & (records["channel"] != OPERATOR)
    changed = flags & RecordFlag.VALUE_CHANGED != 0
    reported = (flags & RecordFlag.EVENT != 0) & (records["source_time"] != 0)
    of_a_state = (changed | reported) & (flags & (RecordFlag.FIRST | RecordFlag.QUALITY_SET) == 0)
    lines: npt.NDArray[np.bool_] = of_the_plant & (of_a_state | (flags & RecordFlag.BACKFILL != 0))
    return lines


def _utc(time_ns: int) -> str:
    moment = datetime.fromtimestamp(time_ns // NS_PER_S, tz=UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ns % NS_PER_S // 1_000_000:03d}Z"
