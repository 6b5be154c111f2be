"""What an upstream control centre is shown of a change or a snapshot: which points, quality, times, and what is an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import OPERATOR, RecordFlag, Records, TimeQuality
from scada.core.clock import NS_PER_S
from scada.core.quality import Quality
from scada.model_cim.tables import ForwardedPoint
from scada.rtdb.changes import ChangeSet, Snapshot

_QDS: Final = np.uint32(0xF1)
"""OV, BL, SB, NT and IV stand in our quality word as on the wire (IEC 60870-5-4)."""
_MEANINGS: Final = (
    (Quality.OUT_OF_RANGE, Quality.OVERFLOW),
    (Quality.OPERATOR_BLOCKED, Quality.BLOCKED),
    (Quality.MANUAL | Quality.ESTIMATOR_REPLACED, Quality.SUBSTITUTED),
    (Quality.COMM_LOST | Quality.OLD_DATA, Quality.NOT_TOPICAL),
    (Quality.FAILURE | Quality.BAD_REFERENCE | Quality.OSCILLATORY | Quality.TEST, Quality.INVALID),
    (Quality.NEVER_RECEIVED, Quality.INVALID | Quality.NOT_TOPICAL),
)
"""Our bits that the descriptor has no place for, and the ones that say the same or warn of as much."""
_AHEAD_NS: Final = NS_PER_S
"""A source time later than its receipt by more than this is no time of the event."""
_NO_EVENT: Final = RecordFlag.QUALITY_SET | RecordFlag.FIRST

U4 = npt.NDArray[np.uint32]


def sent_quality(word: U4) -> U4:
    """The quality words that go out: the descriptor's octet, and ``TIME_INVALID``, which becomes IV of the time tag.

    >>> sent_quality(np.array([Quality.COMM_LOST, Quality.NEVER_RECEIVED, Quality.MANUAL], dtype=np.uint32)).tolist() == [
    ...     Quality.NOT_TOPICAL, Quality.INVALID | Quality.NOT_TOPICAL, Quality.SUBSTITUTED]
    True
    """
    sent = word & (_QDS | np.uint32(Quality.TIME_INVALID))
    for ours, theirs in _MEANINGS:
        sent |= np.where(word & np.uint32(ours) != 0, np.uint32(theirs), np.uint32(0))
    return sent


@dataclass(frozen=True, slots=True, eq=False)
class Sent:
    """Values for an upstream station. Columns have equal length.

    Attributes:
        pid: point ids, in order; a point may stand several times.
        value: engineering units.
        quality: as of :func:`sent_quality`.
        time_ns: ns UTC of the time tag; 0 = never had a value.
        detail: transient bit of a step; sequence, CY and CA of a counter.
        event: True for what is queued; the others only change what is shown.
    """

    pid: U4
    value: npt.NDArray[np.float64]
    quality: U4
    time_ns: npt.NDArray[np.int64]
    detail: npt.NDArray[np.uint16]
    event: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pid)


def joined(parts: Sequence[Sent]) -> Sent:
    """Several, one after the other."""
    columns = ("pid", "value", "quality", "time_ns", "detail", "event")
    return Sent(*(np.concatenate([getattr(part, name) for part in (_NOTHING, *parts)]) for name in columns))


_NOTHING: Final = Sent(
    np.zeros(0, np.uint32),
    np.zeros(0),
    np.zeros(0, np.uint32),
    np.zeros(0, np.int64),
    np.zeros(0, np.uint16),
    np.zeros(0, np.bool_),
)


class Forwarded:
    """The points of one upstream station.

    Args:
        rows: the forwarding table.
        capacity: number of points of the model.
    """

    def __init__(self, rows: Sequence[ForwardedPoint], capacity: int) -> None:
        self._queued = np.zeros(capacity, dtype=np.bool_)
        self._is_mine = np.zeros(capacity, dtype=np.bool_)
        for row in rows:
            self._is_mine[row.pid] = True
            self._queued[row.pid] = row.queued
        self.pids = np.flatnonzero(self._is_mine).astype(np.uint32)

    def of_snapshot(self, snapshot: Snapshot) -> Sent:
        """The present values of these points (``snapshot`` is of :attr:`pids`); nothing of it is an event."""
        stamped = snapshot.source_time != 0
        return Sent(
            pid=snapshot.pid,
            value=snapshot.value,
            quality=sent_quality(snapshot.quality),
            time_ns=np.where(stamped, snapshot.source_time, snapshot.received_at),
            detail=np.zeros(len(snapshot), dtype=np.uint16),
            event=np.zeros(len(snapshot), dtype=np.bool_),
        )

    def of_changes(self, changes: ChangeSet, after: int = 0) -> Sent:
        """What a change set shows of these points.

        Left out is what their points do not show: values behind an operator's hold, and late ones (backfill). No event, though
        shown, is what nobody saw happen in the plant: a quality set by this server, the first value of a point, and what an
        operator's hold or release shows.

        Args:
            changes: the change set.
            after: leave out records up to this sequence number.
        """
        records, received_at = changes.shown(after)
        mine = records["pid"] < len(self._is_mine)
        mine[mine] = self._is_mine[records["pid"][mine]]
        records, received_at = records[mine], received_at[mine]
        happened = (records["flags"] & _NO_EVENT == 0) & (records["channel"] != OPERATOR)
        return Sent(
            pid=records["pid"].astype(np.uint32),
            value=records["value"].astype(np.float64),
            quality=sent_quality(records["quality"] | _time_doubt(records, received_at)),
            time_ns=_times(records, received_at),
            detail=records["detail"].astype(np.uint16),
            event=happened & self._queued[records["pid"]],
        )


def _times(records: Records, received_at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The source's time where it gave one; of a quality that was set here, the time of that."""
    stamped = (records["source_time"] != 0) & (records["flags"] & RecordFlag.QUALITY_SET == 0)
    times: npt.NDArray[np.int64] = np.where(stamped, records["source_time"], received_at)
    return times


def _time_doubt(records: Records, received_at: npt.NDArray[np.int64]) -> U4:
    """``TIME_INVALID`` where the time is not that of the change.

    The source says so, its time lies ahead of the receipt, or an interrogation found the change and the source gave no time.
    """
    source = records["source_time"]
    doubtful = records["time_quality"] & TimeQuality.INVALID != 0
    doubtful |= source > received_at + _AHEAD_NS
    doubtful |= (records["flags"] & RecordFlag.REFRESH != 0) & (source == 0)
    return np.where(doubtful, np.uint32(Quality.TIME_INVALID), np.uint32(0))
