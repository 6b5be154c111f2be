"""The image: the present state of every point in memory, and the kernels that change it.

A kernel touches only numpy arrays, holds no GIL and compares before it writes: what leaves is a list of differences in order. The
columns of an image are views into rows of 40 bytes, so that a change of one point touches one or two lines of the processor's
cache and not five.

A point held by an operator has a second state, its shadow: what it would show without the hold. What a source sends for it goes
to the shadow, by the same rules, and leaves with the flag ``HELD``.
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

ROW_DTYPE: Final = np.dtype(
    {
        "names": ["value", "source_time", "received_at", "seq", "quality"],
        "formats": ["<f8", "<i8", "<i8", "<u8", "<u4"],
        "offsets": [0, 8, 16, 24, 32],
        "itemsize": 40,
    }
)
"""One point in memory, every column aligned to its size."""

_EVENT: Final = RecordFlag.EVENT
_REFRESH: Final = RecordFlag.REFRESH
_HELD: Final = RecordFlag.HELD
_BACKFILL: Final = RecordFlag.BACKFILL
_ASIDE: Final = RecordFlag.ASIDE
_HOLD_BITS: Final = int(Quality.MANUAL | Quality.OPERATOR_BLOCKED)
_TOUCHED_ONLY: Final = 0x100
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
    def of(cls, rows: npt.NDArray[np.void]) -> Image:
        """The image whose columns are those of ``rows`` (:data:`ROW_DTYPE`)."""
        return cls(*(rows[name] for name in cls._fields))

    @classmethod
    def empty(cls, capacity: int) -> Image:
        """An image in which nothing was ever received."""
        image = cls.of(np.zeros(capacity, dtype=ROW_DTYPE))
        image.clear()
        return image

    def clear(self, start: int = 0) -> None:
        """Forget the points from ``start`` on: never received."""
        for column, nothing in zip(self.columns(), (np.nan, _NEVER, 0, 0, 0), strict=True):
            column[start:] = nothing

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
        larger.take(self)
        return larger

    def take(self, other: Image) -> None:
        """Copy all points of an image that is no larger."""
        for old, new in zip(other.columns(), self.columns(), strict=True):
            new[: len(old)] = old

    def picked(self, index: npt.NDArray[np.integer[Any]]) -> Image:
        """A copy of some points, in that order."""
        return Image(*(column[index] for column in self.columns()))

    def picked_known(self, pids: npt.NDArray[np.uint32]) -> Image:
        """A copy of some points, in that order; those that the image does not have as never received."""
        known = pids < self.capacity
        if known.all():
            return self.picked(pids)
        some = Image.empty(len(pids))
        for column, answer in zip(self.columns(), some.columns(), strict=True):
            answer[known] = column[pids[known]]
        return some

    def copied(self) -> Image:
        """A copy of all points, each column by itself in memory."""
        copy = Image(*(np.empty(self.capacity, dtype=column.dtype) for column in self.columns()))
        _copy_columns(self, copy)
        return copy

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


@numba.njit(nogil=True, cache=True)
def _copy_columns(image: Image, copy: Image) -> None:  # pragma: no cover - compiled
    for i in range(len(copy.value)):
        copy.value[i] = image.value[i]
        copy.quality[i] = image.quality[i]
        copy.source_time[i] = image.source_time[i]
        copy.received_at[i] = image.received_at[i]
        copy.seq[i] = image.seq[i]


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


class Holds(NamedTuple):
    """The points an operator holds; what their sources say is kept in the rows of ``shadow``."""

    pids: npt.NDArray[np.uint32]
    """Ascending."""
    shadow: Image
    """Row ``i`` belongs to ``pids[i]``; two more rows are unused."""

    @classmethod
    def of(cls, pids: npt.NDArray[np.uint32]) -> Holds:
        """These points, nothing known of them yet.

        Two rows are always there, because columns with fewer are contiguous by definition: another type to the kernels, which
        would be compiled for it in the middle of the service.
        """
        return cls(pids, Image.empty(len(pids) + 2))

    @classmethod
    def none(cls) -> Holds:
        """No point is held."""
        return cls.of(np.empty(0, dtype=np.uint32))


@numba.njit(nogil=True, cache=True)
def hold_row(holds: Holds, pid: int) -> int:  # pragma: no cover - compiled
    """Row of a held point, -1 if it is not held."""
    row: Any = np.searchsorted(holds.pids, np.uint32(pid))
    return row if row < holds.pids.size and holds.pids[row] == pid else -1


@numba.njit(nogil=True, cache=True)
def _write(
    state: Image, row: int, new: float, word: int, stamp: int, sent: int, received_at: int, seq: int, is_event: bool
) -> int:  # pragma: no cover - compiled
    """Write what arrived to a row; returns the flags of the change, or ``_TOUCHED_ONLY``."""
    old = state.value[row]
    old_word = state.quality[row]
    value_differs = new != old and not (np.isnan(new) and np.isnan(old))
    new_event = sent & _EVENT != 0 and stamp != 0 and stamp != state.source_time[row]
    state.received_at[row] = received_at
    if not (value_differs or word != old_word or new_event):
        if stamp != 0:
            state.source_time[row] = stamp
        return _TOUCHED_ONLY
    flags = sent & (_EVENT | _REFRESH)
    if value_differs and word & np.uint32(_NEVER) == 0:
        flags |= _VALUE_CHANGED
        if is_event:
            flags |= _EVENT
    if old_word & np.uint32(_NEVER) != 0:
        flags |= _FIRST
    state.value[row] = new
    state.quality[row] = word
    state.source_time[row] = stamp
    state.seq[row] = seq
    return flags


@numba.njit(nogil=True, cache=True)
def apply_records(
    image: Image,
    holds: Holds,
    records: Records,
    received_at: int,
    seq: int,
    event_pids: Bools,
    room: Room,
    touched: npt.NDArray[np.uint32],
) -> tuple[int, int, int, int, int]:  # pragma: no cover - compiled
    """Write records into an image and emit what differs, in order.

    A record differs if its value or quality does (NaN equals NaN), or, with the EVENT flag, its source time. A value that is no
    finite number becomes INVALID. Emitted records carry ``VALUE_CHANGED``, ``FIRST`` and, for ``event_pids``, ``EVENT``. One that
    differs not only moves the times of its point (a missing source time leaves the known one).

    A record of a held point is compared with and written to its shadow, and emitted with ``HELD``. One with ``BACKFILL`` is
    always emitted and written nowhere.

    Args:
        image: compared and written.
        holds: held points; their shadow is written.
        records: what arrived, in order.
        received_at: ns UTC.
        seq: number of the first change.
        event_pids: mask of the status points.
        room: takes the differing records; at least as long as ``records``.
        touched: takes the pids of the others; at least as long as ``records``.

    Returns:
        (changes, touches, records of held points, records of unknown pid, the last such pid).
    """
    changes = touches = held = unknown = 0
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
        number = seq + changes
        stamp = record.source_time
        sent = record.flags
        row = -1
        if sent & _BACKFILL:
            flags = sent & (_EVENT | _BACKFILL)
        else:
            if image.quality[pid] & np.uint32(_HOLD_BITS) != 0:
                row = hold_row(holds, pid)
            if row >= 0:
                flags = _HELD | _write(holds.shadow, row, new, word, stamp, sent, received_at, number, event_pids[pid])
                held += 1
            else:
                flags = _write(image, pid, new, word, stamp, sent, received_at, number, event_pids[pid])
        if flags & _TOUCHED_ONLY:
            if row < 0:
                touched[touches] = pid
                touches += 1
            continue
        room.records[changes] = record
        room.records[changes].quality = word
        room.records[changes].flags = flags
        room.received_at[changes] = received_at
        changes += 1
    return changes, touches, held, unknown, unknown_pid


@numba.njit(nogil=True, cache=True)
def apply_quality(
    image: Image,
    holds: Holds,
    pids: npt.NDArray[np.uint32],
    set_bits: int,
    clear_bits: int,
    received_at: int,
    seq: int,
    room: Room,
) -> tuple[int, int, int, int]:  # pragma: no cover - compiled
    """Set and clear quality bits; emit a ``QUALITY_SET`` record for every point whose word differs then.

    The value keeps its own times in the image; the receive time of the emitted record is the one given. Of a held point the
    shadow is written.

    Returns:
        (changes, changes of held points, unknown pids, the last of them).
    """
    changes = held = unknown = 0
    unknown_pid = 0
    for i in range(len(pids)):
        pid = pids[i]
        if pid >= image.value.size:
            unknown += 1
            unknown_pid = pid
            continue
        row = hold_row(holds, pid) if image.quality[pid] & np.uint32(_HOLD_BITS) != 0 else -1
        old = holds.shadow.quality[row] if row >= 0 else image.quality[pid]
        word = (old & ~np.uint32(clear_bits)) | np.uint32(set_bits)
        if word == old:
            continue
        record = room.records[changes]
        if row >= 0:
            holds.shadow.quality[row] = word
            holds.shadow.seq[row] = seq + changes
            record.value = holds.shadow.value[row]
            record.source_time = holds.shadow.source_time[row]
            record.flags = _QUALITY_SET | _HELD
            held += 1
        else:
            image.quality[pid] = word
            image.seq[pid] = seq + changes
            record.value = image.value[pid]
            record.source_time = image.source_time[pid]
            record.flags = _QUALITY_SET
        record.pid = pid
        record.channel = _NO_CHANNEL
        record.cause = 0
        record.time_quality = 0
        record.quality = word
        record.type_id = 0
        record.detail = 0
        room.received_at[changes] = received_at
        changes += 1
    return changes, held, unknown, unknown_pid


@numba.njit(nogil=True, cache=True)
def _show(state: Image, row: int, record: Any, received_at: int, seq: int) -> None:  # pragma: no cover - compiled
    state.value[row] = record.value
    state.quality[row] = record.quality
    state.source_time[row] = record.source_time
    if record.flags & _QUALITY_SET == 0:
        state.received_at[row] = received_at
    state.seq[row] = seq


@numba.njit(nogil=True, cache=True)
def replay_changes(
    image: Image, holds: Holds, records: Records, received_at: npt.NDArray[np.int64], first: int
) -> None:  # pragma: no cover - compiled
    """Bring an image from the state before ``first`` to the state after a change set, and the shadows of held points.

    ``HELD`` records of points that ``holds`` does not name are passed over, and so is ``BACKFILL``.
    """
    for i in range(len(records)):
        record = records[i]
        if record.flags & _ASIDE == 0:
            _show(image, record.pid, record, received_at[i], first + i)
        elif record.flags & _HELD:
            row = hold_row(holds, record.pid)
            if row >= 0:
                _show(holds.shadow, row, record, received_at[i], first + i)


def warm_up() -> None:
    """Compile the kernels for every kind of array they are given, or load them from numba's cache."""
    image, holds, room, touched = Image.empty(2), Holds.none(), Room.empty(0), np.empty(0, dtype=np.uint32)
    mapped = Image.of(np.frombuffer(bytes(2 * ROW_DTYPE.itemsize), ROW_DTYPE))
    frozen = room.after(0)
    for column in frozen:
        column.flags.writeable = False
    for records, received_at in (room, frozen):
        apply_records(image, holds, records, 0, 1, np.zeros(0, dtype=np.bool_), room, touched)
        for one in (image, image.copied(), mapped.copied()):
            replay_changes(one, holds, records, received_at, 1)
    apply_quality(image, holds, touched, 0, 0, 0, 1, room)
    hold_row(holds, 0)
