"""The kernels that change an image.

A kernel touches only numpy arrays, holds no GIL and compares before it writes: what leaves is a list of differences in order.
What a source sends for a point that an operator holds goes to the shadow of the point, by the same rules, and leaves with the
flag ``HELD``.

All that call one another stand in this file: numba's cache knows of no other file's change.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
import numpy.typing as npt
from numba.extending import intrinsic

from scada.core.batch import NO_CHANNEL, RecordFlag, Records, TimeQuality
from scada.core.quality import HELD_MASK, Quality
from scada.rtdb.image import ROW_DTYPE, Holds, Image, Ring, Room

_EVENT: Final = RecordFlag.EVENT
_REFRESH: Final = RecordFlag.REFRESH
_HELD: Final = RecordFlag.HELD
_BACKFILL: Final = RecordFlag.BACKFILL
_ASIDE: Final = RecordFlag.ASIDE
_HOLD_BITS: Final = HELD_MASK
_TOUCHED_ONLY: Final = 0x100
_FIRST: Final = RecordFlag.FIRST
_VALUE_CHANGED: Final = RecordFlag.VALUE_CHANGED
_QUALITY_SET: Final = RecordFlag.QUALITY_SET
_NEVER: Final = int(Quality.NEVER_RECEIVED)
_INVALID: Final = int(Quality.INVALID)
_TIME_INVALID: Final = int(Quality.TIME_INVALID)
_TIME_INVALID_FLAG: Final = TimeQuality.INVALID

OLDEST, STARTED, FINISHED = 17, 18, 19
"""Places in the header of a shared image, see :class:`scada.rtdb.shared.Slot`."""

Bools = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.int64]


@numba.njit(nogil=True, cache=True)
def hold_row(holds: Holds, pid: int) -> int:  # pragma: no cover - compiled
    """Row of a held point, -1 if it is not held."""
    row: Any = np.searchsorted(holds.pids, np.uint32(pid))
    return row if row < holds.pids.size and holds.pids[row] == pid else -1


@numba.njit(nogil=True, cache=True)
def _compared(
    old: float, old_word: int, old_stamp: int, new: float, word: int, stamp: int, sent: int, is_event: bool
) -> int:  # pragma: no cover - compiled
    """Flags of the change from one state to another, ``_TOUCHED_ONLY`` if there is none."""
    value_differs = new != old and not (np.isnan(new) and np.isnan(old))
    new_event = sent & _EVENT != 0 and stamp != 0 and stamp != old_stamp  # noqa: PLR1714 - a kernel
    if not (value_differs or word != old_word or new_event):
        return _TOUCHED_ONLY
    flags = sent & (_EVENT | _REFRESH)
    if value_differs and word & np.uint32(_NEVER) == 0:
        flags |= _VALUE_CHANGED
        if is_event:
            flags |= _EVENT
    if old_word & np.uint32(_NEVER) != 0:
        flags |= _FIRST
    return flags


@numba.njit(nogil=True, cache=True)
def _write(
    state: Image, row: int, new: float, word: int, stamp: int, received_at: int, seq: int, flags: int
) -> None:  # pragma: no cover - compiled
    """Write a compared state to a row."""
    state.received_at[row] = received_at
    if flags & _TOUCHED_ONLY == 0:
        state.value[row] = new
        state.quality[row] = word
        state.source_time[row] = stamp
        state.seq[row] = seq
    elif stamp != 0:
        state.source_time[row] = stamp


@numba.njit(nogil=True, cache=True)
def _write_behind(
    holds: Holds, pid: int, new: float, word: int, stamp: int, sent: int, received_at: int, seq: int, is_event: bool
) -> int:  # pragma: no cover - compiled
    """Write to the shadow of a point; returns the flags of the change, 0 if the point is not held."""
    row = hold_row(holds, pid)
    if row < 0:
        return 0
    shadow = holds.shadow
    flags = _compared(shadow.value[row], shadow.quality[row], shadow.source_time[row], new, word, stamp, sent, is_event)
    _write(shadow, row, new, word, stamp, received_at, seq, flags)
    return flags | _HELD


@numba.njit(nogil=True, cache=True)
def apply_records(
    image: Image,
    holds: Holds,
    records: Records,
    received_at: int,
    seq: int,
    event_pids: Bools,
    room: Room,
    used: int,
    touched: npt.NDArray[np.uint32],
    touches: int,
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
        room: takes the differing records from place ``used`` on, if it must all of them.
        used: see ``room``.
        touched: takes the pids of the others from place ``touches`` on, if it must all of them.
        touches: see ``touched``.

    Returns:
        (changes, new number of touches, records of held points, records of unknown pid, the last such pid).
    """
    changes = held = unknown = 0
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
        stamp = record.source_time
        sent = record.flags
        flags = 0
        if sent & _BACKFILL:
            flags = sent & (_EVENT | _BACKFILL)
        elif image.quality[pid] & np.uint32(_HOLD_BITS) != 0:
            flags = _write_behind(holds, pid, new, word, stamp, sent, received_at, seq + changes, event_pids[pid])
            held += flags != 0
        if flags & _ASIDE == 0:  # not held: written here, for a call with all columns costs more than the rest
            flags = _compared(
                image.value[pid], image.quality[pid], image.source_time[pid], new, word, stamp, sent, event_pids[pid]
            )
            image.received_at[pid] = received_at
            if flags & _TOUCHED_ONLY == 0:
                image.value[pid] = new
                image.quality[pid] = word
                image.source_time[pid] = stamp
                image.seq[pid] = seq + changes
            else:
                if stamp != 0:
                    image.source_time[pid] = stamp
                touched[touches] = pid
                touches += 1
        if flags & _TOUCHED_ONLY:
            continue
        place = used + changes
        room.records[place] = record
        room.records[place].quality = word
        room.records[place].flags = flags
        room.received_at[place] = received_at
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
    channel: int,
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
        record.channel = channel
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


@numba.njit(nogil=True, cache=True)
def mark_pages(
    dirty: Bools, page_points: int, records: Records, confirmed: npt.NDArray[np.uint32]
) -> None:  # pragma: no cover - compiled
    """Mark the pages of the checkpoint that a commit changed."""
    for record in records:
        dirty[record.pid // page_points] = True
    for pid in confirmed:
        dirty[pid // page_points] = True


def _emit_fence(typing_context: Any) -> Any:  # noqa: ARG001 - numba calls it so
    def generate(context: Any, builder: Any, _signature: Any, _arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return numba.types.void(), generate


_full_fence: Any = intrinsic(_emit_fence)


@numba.njit(nogil=True, cache=True)
def fence() -> None:  # pragma: no cover - compiled
    """What was written or read before this is done before what follows, for other processors too."""
    _full_fence()


@numba.njit(nogil=True, cache=True)
def publish_changes(
    header: Numbers,
    image: Image,
    holds: Holds,
    ring: Ring,
    records: Records,
    received_at: Numbers,
    first: int,
    committed_at: int,
) -> None:  # pragma: no cover - compiled
    """Show the changes of a commit in a shared image, by the protocol of :mod:`scada.rtdb.shared`."""
    count, length = len(records), len(ring.records)
    last = first + count - 1
    header[OLDEST] = max(header[OLDEST], last - length + 1)
    _full_fence()
    for i in range(max(0, count - length), count):
        place = (first + i) & (length - 1)
        ring.records[place] = records[i]
        ring.received_at[place] = received_at[i]
        ring.committed_at[place] = committed_at
    _full_fence()
    header[STARTED] = last
    _full_fence()
    replay_changes(image, holds, records, received_at, first)
    _full_fence()
    header[FINISHED] = last


def warm_up() -> None:
    """Compile the kernels for every kind of array they are given, or load them from numba's cache."""
    image, holds, room, touched = Image.empty(2), Holds.none(), Room.empty(0), np.empty(0, dtype=np.uint32)
    mapped = Image.of(np.frombuffer(bytes(2 * ROW_DTYPE.itemsize), ROW_DTYPE))
    slot = Image.of(np.frombuffer(bytearray(2 * ROW_DTYPE.itemsize), ROW_DTYPE))
    for one in (image, slot):
        one.take(image)
        one.take(mapped)
    frozen = room.after(0)
    for column in frozen:
        column.flags.writeable = False
    for records, received_at in (room, frozen):
        apply_records(image, holds, records, 0, 1, np.zeros(0, dtype=np.bool_), room, 0, touched, 0)
        for one in (image, image.copied(), mapped.copied()):
            replay_changes(one, holds, records, received_at, 1)
    apply_quality(image, holds, touched, 0, 0, 0, 1, room, NO_CHANNEL)
    hold_row(holds, 0)
    header, ring = np.zeros(64, dtype=np.int64), Ring(room.records[:0], touched.astype(np.int64), touched.astype(np.int64))
    for records, received_at in (room, frozen):
        publish_changes(header, image, holds, ring, records, received_at, 1, 0)
        mark_pages(np.zeros(0, dtype=np.bool_), 1, records, touched)
    fence()
