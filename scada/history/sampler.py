"""From changes to samples and minutes: the half of every historian that does not know where they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, RecordFlag
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.history.dating import date_records
from scada.history.interface import MAX_AHEAD_NS, LateColumns
from scada.history.rows import (
    CONFIG_DTYPE,
    DOOR,
    FIXED,
    INPUT_DTYPE,
    LATE,
    MINUTE_DTYPE,
    ON_CHANGE,
    RECEIPT,
    ROW_DTYPE,
    STATE_DTYPE,
    TOUCHED_DTYPE,
)
from scada.history.sampling import ROOM, advance, fill_minutes, observe
from scada.model_cim.tables import Point, PointKind
from scada.rtdb.changes import ChangeSet, Snapshot

Rows = npt.NDArray[np.void]
U4 = npt.NDArray[np.uint32]

_BANDED: Final = frozenset({PointKind.ANALOG, PointKind.COUNTER})
SWINGING_DOOR: Final = "swinging-door"


class Tail:
    """Rows that grow at the end.

    Attributes:
        count: rows in it.
    """

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._data: Rows = np.empty(1024, dtype)
        self.count = 0

    @property
    def rows(self) -> Rows:
        """What is in it; a view, valid until it grows."""
        return self._data[: self.count]

    def room(self, rows: int) -> Rows:
        """All of it with room for so many more rows at the end."""
        needed = self.count + rows
        if needed > len(self._data):
            grown: Rows = np.empty(max(needed, 2 * len(self._data)), self._data.dtype)
            grown[: self.count] = self.rows
            self._data = grown
        return self._data

    def extend(self, rows: Rows) -> None:
        """Put rows at the end."""
        self.room(len(rows))[self.count : self.count + len(rows)] = rows
        self.count += len(rows)

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Remove all rows but the marked ones."""
        rows = self.rows[which]
        self._data[: len(rows)] = rows
        self.count = len(rows)

    def take(self) -> Rows:
        """Remove and return all rows."""
        rows: Rows = self.rows.copy()
        self.count = 0
        return rows


class Sampler:
    """Decides what is kept and computes the minutes, point by point under its *history number*.

    It is deterministic: the same state, inputs and times give the same samples and minutes. A historian persists ``state`` (or
    what it was made of) with the sequence number it belongs to, and goes on from there after a restart.

    Attributes:
        state: what is carried from value to value, by number (``STATE_DTYPE``).
        kept: samples made (``ROW_DTYPE``); the historian takes them out.
        minutes: complete minutes made (``MINUTE_DTYPE``); the same.
        touched: minutes to compute anew from the samples because of late values (``TOUCHED_DTYPE``); the same.
        gaps: starts of the gaps, ns UTC, ascending; the historian sets it.
        number_of: history number of each pid.
        exact: by number: every value is kept, so that a minute can be computed from the samples without loss.
    """

    def __init__(self) -> None:
        self.state: Rows = np.zeros(0, STATE_DTYPE)
        self.kept, self.minutes, self.touched = Tail(ROW_DTYPE), Tail(MINUTE_DTYPE), Tail(TOUCHED_DTYPE)
        self.gaps: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self.number_of: U4 = np.empty(0, dtype=np.uint32)
        self._config: Rows = np.zeros(0, CONFIG_DTYPE)
        self._timed: U4 = np.empty(0, dtype=np.uint32)

    def configure(self, points: Sequence[Point], numbers: U4, count: int) -> None:
        """Take how the points of a model are kept.

        Args:
            points: indexed by pid.
            numbers: history number of each.
            count: history numbers there are, those of former points included.
        """
        grown = np.zeros(count, STATE_DTYPE)
        grown[: len(self.state)] = self.state
        self.state = grown
        self.number_of = numbers
        self._config = np.zeros(count, CONFIG_DTYPE)
        columns = np.zeros(len(points), CONFIG_DTYPE)
        banded = [point.kind in _BANDED for point in points]
        columns["band"] = [point.deadband if analog else 0.0 for point, analog in zip(points, banded, strict=True)]
        columns["period"] = [
            round(point.sample_s * NS_PER_S) if analog else 0 for point, analog in zip(points, banded, strict=True)
        ]
        door = np.array([point.compression == SWINGING_DOOR for point in points], dtype=np.bool_) & (columns["band"] > 0)
        columns["mode"] = np.where(columns["period"] > 0, FIXED, np.where(door, DOOR, ON_CHANGE))
        self._config[numbers] = columns
        self._timed = np.flatnonzero(self._config["mode"] != ON_CHANGE).astype(np.uint32)
        self.exact = (self._config["mode"] == ON_CHANGE) & (self._config["band"] == 0)

    # ------------------------------------------------------------------ inputs

    def inputs_of(self, change: ChangeSet, skip: int = 0) -> Rows:
        """The values of a change set from its record ``skip`` on, without those held and the late ones."""
        records, received_at = change.records[skip:], change.received_at[skip:]
        inputs = np.empty(len(records), INPUT_DTYPE)
        return inputs[: date_records(records, received_at, self.number_of, inputs)]

    def present(self, snapshot: Snapshot, *, since: int = 0, now_ns: int = 0) -> Rows:
        """The present values as inputs; with ``since`` those of points without a (believable) value since that time, dated by it.

        Args:
            snapshot: of the database.
            since: ns UTC; 0 = all points, dated as they came.
            now_ns: a value later than this is of a clock that was set back since.
        """
        known = snapshot.quality & np.uint32(Quality.NEVER_RECEIVED) == 0
        known &= snapshot.pid < len(self.number_of)
        if since:
            last = self.state["since"][self.number_of[snapshot.pid[known]]]
            known[known] = (last < since) | (last > now_ns + MAX_AHEAD_NS)
        which = np.flatnonzero(known)
        records = np.zeros(len(which), POINT_DTYPE)
        for column in ("pid", "value", "quality"):
            records[column] = getattr(snapshot, column)[which]
        if since:
            received_at = np.full(len(which), since, dtype=np.int64)
        else:
            records["source_time"], received_at = snapshot.source_time[which], snapshot.received_at[which]
        inputs = np.empty(len(records), INPUT_DTYPE)
        return inputs[: date_records(records, received_at, self.number_of, inputs)]

    def in_force(self, at_ns: int) -> Rows:
        """The values in force as inputs received at ``at_ns``, of all points but those that already go on from about then."""
        since = self.state["since"]
        numbers = np.flatnonzero((self.state["minute"] > 0) & ((since < at_ns) | (since > at_ns + MAX_AHEAD_NS)))
        inputs = np.zeros(len(numbers), INPUT_DTYPE)
        inputs["number"], inputs["time"], inputs["kind"] = numbers, at_ns, RECEIPT
        inputs["value"], inputs["quality"] = self.state["value"][numbers], self.state["quality"][numbers]
        return inputs

    def latest(self, at_ns: int) -> int:
        """Time of the last value up to ``at_ns`` or believably after it, at least ``at_ns``."""
        since = self.state["since"]
        return max(at_ns, int(since[since <= at_ns + MAX_AHEAD_NS].max(initial=at_ns)))

    def late_inputs(self, late: LateColumns) -> Rows:
        """Late values as inputs, in order of time; the historian has checked that they are to be stored."""
        order = np.argsort(late.time_ns, kind="stable")
        inputs = np.empty(len(order), INPUT_DTYPE)
        inputs["number"], inputs["kind"] = self.number_of[late.pid], LATE
        inputs["time"], inputs["value"], inputs["quality"] = late.time_ns[order], late.value[order], late.quality[order]
        return inputs

    # ------------------------------------------------------------------ samples and minutes

    def observe(self, inputs: Rows) -> int:
        """Take values in; returns the number of samples made."""
        before, taken = self.kept.count, 0
        while taken < len(inputs):
            rest = len(inputs) - taken
            kept, minutes, touched = (tail.room(rest + 16 * ROOM) for tail in (self.kept, self.minutes, self.touched))
            counts = np.array([self.kept.count, self.minutes.count, self.touched.count], dtype=np.int64)
            taken = int(observe(inputs, taken, self.state, self._config, self.gaps, kept, minutes, touched, counts))
            self.kept.count, self.minutes.count, self.touched.count = counts.tolist()
        return self.kept.count - before

    def advance(self, now_ns: int, only: npt.NDArray[np.bool_] | None = None) -> int:
        """Let time pass: fixed samples that are due, and those the swinging door held back too long.

        Args:
            now_ns: ns UTC.
            only: mask by number of the points it concerns; None = all.

        Returns:
            Number of samples made.
        """
        numbers = self._timed if only is None else self._timed[only[self._timed]]
        before, done = self.kept.count, 0
        while done < len(numbers):
            kept = self.kept.room(2 * len(numbers) + 16 * ROOM)
            counts = np.array([self.kept.count, 0, 0], dtype=np.int64)
            done = int(advance(numbers, done, now_ns, self.state, self._config, self.gaps, kept, counts))
            self.kept.count = int(counts[0])
        return self.kept.count - before

    def open_minute(self, number: int) -> Rows:
        """The minute that is not complete yet, up to the last value (one ``MINUTE_DTYPE`` row), or none."""
        made = self.open_minutes(np.array([number], dtype=np.uint32))
        return made if made["time"][0] else made[:0]

    def open_minutes(self, numbers: U4) -> Rows:
        """The minutes of these points that are not complete yet, up to their last values (``MINUTE_DTYPE``, a row each)."""
        made = np.zeros(len(numbers), MINUTE_DTYPE)
        fill_minutes(made, numbers, self.state)
        return made

    def held(self, number: int) -> Rows:
        """The sample the swinging door holds back at present (one ``ROW_DTYPE`` row), or none: the end of the trend."""
        one = self.state[number]
        made = np.zeros(1, ROW_DTYPE)
        made["number"], made["time"], made["value"] = number, one["held_time"], one["held_value"]
        made["quality"] = one["kept_quality"]
        return made if one["flags"] & 2 else made[:0]


def late_columns(change: ChangeSet, skip: int = 0) -> list[LateColumns]:
    """The late values (``RecordFlag.BACKFILL``) of a change set from its record ``skip`` on, by point."""
    records = change.records[skip:]
    late = records[records["flags"] & RecordFlag.BACKFILL != 0]
    if not len(late):
        return []
    order = np.argsort(late["pid"], kind="stable")
    late = late[order]
    parts = np.split(late, np.flatnonzero(np.diff(late["pid"])) + 1)
    return [
        LateColumns(int(part["pid"][0]), part["source_time"].copy(), part["value"].copy(), part["quality"].copy())
        for part in parts
    ]
