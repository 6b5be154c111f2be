"""The image: the present state of every point as columns in memory, and the kernels that change it.

A kernel touches only numpy arrays, holds no GIL and compares before it writes: what leaves is a list of differences in order.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import NO_CHANNEL, POINT_DTYPE, RecordFlag, Records, TimeQuality
from scada.core.quality import Quality

IMAGE_DTYPE: Final = np.dtype(
    [("value", "<f8"), ("quality", "<u4"), ("source_time", "<i8"), ("received_at", "<i8"), ("seq", "<u8")], align=False
)
"""One point of a checkpoint, in the order of the columns of :class:`Image`."""

_EVENT: Final = RecordFlag.EVENT
_FROM_SOURCE: Final = RecordFlag.EVENT | RecordFlag.REFRESH
_FIRST: Final = RecordFlag.FIRST
_VALUE_CHANGED: Final = RecordFlag.VALUE_CHANGED
_QUALITY_SET: Final = RecordFlag.QUALITY_SET
_NEVER: Final = int(Quality.NEVER_RECEIVED)
_INVALID: Final = int(Quality.INVALID)
_TIME_INVALID: Final = int(Quality.TIME_INVALID)
_TIME_INVALID_FLAG: Final = TimeQuality.INVALID
_NO_CHANNEL: Final = NO_CHANNEL

Bools = npt.NDArray[np.bool_]


class Image(NamedTuple):
    """Columns indexed by pid; a named tuple, so that the kernels take it as it is.

    A point starts as NaN with ``NEVER_RECEIVED``.
    """

    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    source_time: npt.NDArray[np.int64]
    """ns UTC, 0 = none."""
    received_at: npt.NDArray[np.int64]
    """ns UTC."""
    seq: npt.NDArray[np.uint64]
    """Number of the last change."""

    @classmethod
    def empty(cls, capacity: int) -> Image:
        """An image in which nothing was ever received."""
        return cls(
            np.full(capacity, np.nan),
            np.full(capacity, _NEVER, dtype=np.uint32),
            np.zeros(capacity, dtype=np.int64),
            np.zeros(capacity, dtype=np.int64),
            np.zeros(capacity, dtype=np.uint64),
        )

    @property
    def capacity(self) -> int:
        """Number of points."""
        return len(self.value)

    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        """The five columns."""
        return tuple(self)

    def grown(self, capacity: int) -> Image:
        """A larger copy; the new points were never received."""
        larger = Image.empty(capacity)
        for old, new in zip(self.columns(), larger.columns(), strict=True):
            new[: len(old)] = old
        return larger

    def rows(self, start: int, stop: int) -> npt.NDArray[np.void]:
        """Points ``start`` to ``stop`` as :data:`IMAGE_DTYPE` rows."""
        rows = np.empty(stop - start, dtype=IMAGE_DTYPE)
        for name, column in zip(self._fields, self.columns(), strict=True):
            rows[name] = column[start:stop]
        return rows

    def load(self, start: int, rows: npt.NDArray[np.void]) -> None:
        """Write :data:`IMAGE_DTYPE` rows from point ``start`` on."""
        for name, column in zip(self._fields, self.columns(), strict=True):
            column[start : start + len(rows)] = rows[name]


class Room(NamedTuple):
    """Where a kernel writes the changes it finds."""

    records: Records
    received_at: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, length: int) -> Room:
        """Room for ``length`` changes."""
        return cls(np.empty(length, dtype=POINT_DTYPE), np.empty(length, dtype=np.int64))

    def after(self, used: int) -> Room:
        """The part behind the first ``used`` rows."""
        return Room(self.records[used:], self.received_at[used:])


@numba.njit(nogil=True, cache=True)
def apply_records(
    image: Image,
    records: Records,
    received_at: int,
    seq: int,
    event_pids: Bools,
    room: Room,
    touched: npt.NDArray[np.uint32],
) -> tuple[int, int, int, int]:  # pragma: no cover - compiled
    """Write records into an image and emit what differs, in order.

    A record differs if its value or quality does (NaN equals NaN), or, with the EVENT flag, its source time. A value that is no
    finite number becomes INVALID. Emitted records carry ``VALUE_CHANGED``, ``FIRST`` and, for ``event_pids``, ``EVENT``. One that
    differs not only moves the times of its point (a missing source time leaves the known one).

    Args:
        image: compared and written.
        records: what arrived, in order.
        received_at: ns UTC.
        seq: number of the first change.
        event_pids: mask of the status points.
        room: takes the differing records; at least as long as ``records``.
        touched: takes the pids of the others; at least as long as ``records``.

    Returns:
        (changes, touches, records of unknown pid, the last such pid).
    """
    changes = touches = unknown = 0
    unknown_pid = 0
    capacity = image.value.size
    for i in range(len(records)):
        record = records[i]
        pid = record.pid
        if pid >= capacity:
            unknown += 1
            unknown_pid = pid
            continue
        new = record.value
        word = record.quality
        if not np.isfinite(new) and word & np.uint32(_NEVER) == 0:
            word |= np.uint32(_INVALID)
        if record.time_quality & _TIME_INVALID_FLAG:
            word |= np.uint32(_TIME_INVALID)
        old = image.value[pid]
        value_differs = new != old and not (np.isnan(new) and np.isnan(old))
        stamp = record.source_time
        new_event = record.flags & _EVENT != 0 and stamp != 0 and stamp != image.source_time[pid]
        image.received_at[pid] = received_at
        if not (value_differs or word != image.quality[pid] or new_event):
            if stamp != 0:
                image.source_time[pid] = stamp
            touched[touches] = pid
            touches += 1
            continue
        flags = record.flags & _FROM_SOURCE
        if value_differs and word & np.uint32(_NEVER) == 0:
            flags |= _VALUE_CHANGED
            if event_pids[pid]:
                flags |= _EVENT
        if image.quality[pid] & np.uint32(_NEVER) != 0:
            flags |= _FIRST
        room.records[changes] = record
        room.records[changes].quality = word
        room.records[changes].flags = flags
        room.received_at[changes] = received_at
        image.value[pid] = new
        image.quality[pid] = word
        image.source_time[pid] = stamp
        image.seq[pid] = seq + changes
        changes += 1
    return changes, touches, unknown, unknown_pid


@numba.njit(nogil=True, cache=True)
def apply_quality(
    image: Image, pids: npt.NDArray[np.uint32], set_bits: int, clear_bits: int, received_at: int, seq: int, room: Room
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """Set and clear quality bits; emit a ``QUALITY_SET`` record for every point whose word differs then.

    The value keeps its own times in the image; the receive time of the emitted record is the one given.

    Returns:
        (changes, unknown pids, the last of them).
    """
    changes = unknown = 0
    unknown_pid = 0
    for i in range(len(pids)):
        pid = pids[i]
        if pid >= image.value.size:
            unknown += 1
            unknown_pid = pid
            continue
        word = (image.quality[pid] & ~np.uint32(clear_bits)) | np.uint32(set_bits)
        if word == image.quality[pid]:
            continue
        image.quality[pid] = word
        image.seq[pid] = seq + changes
        room.records[changes].pid = pid
        room.records[changes].channel = _NO_CHANNEL
        room.records[changes].cause = 0
        room.records[changes].time_quality = 0
        room.records[changes].value = image.value[pid]
        room.records[changes].source_time = image.source_time[pid]
        room.records[changes].quality = word
        room.records[changes].type_id = 0
        room.records[changes].flags = _QUALITY_SET
        room.records[changes].detail = 0
        room.received_at[changes] = received_at
        changes += 1
    return changes, unknown, unknown_pid


@numba.njit(nogil=True, cache=True)
def replay_changes(
    image: Image, records: Records, received_at: npt.NDArray[np.int64], first: int
) -> None:  # pragma: no cover - compiled
    """Bring an image from the state before ``first`` to the state after a change set."""
    for i in range(len(records)):
        record = records[i]
        pid = record.pid
        image.value[pid] = record.value
        image.quality[pid] = record.quality
        image.source_time[pid] = record.source_time
        if record.flags & _QUALITY_SET == 0:
            image.received_at[pid] = received_at[i]
        image.seq[pid] = first + i


def warm_up() -> None:
    """Compile the kernels, for batches that may be written and for read-only ones, or load them from numba's cache."""
    image, room, touched = Image.empty(0), Room.empty(0), np.empty(0, dtype=np.uint32)
    frozen = room.after(0)
    for column in frozen:
        column.flags.writeable = False
    for records, received_at in (room, frozen):
        apply_records(image, records, 0, 1, np.zeros(0, dtype=np.bool_), room, touched)
        replay_changes(image, records, received_at, 1)
    apply_quality(image, touched, 0, 0, 0, 1, room)
