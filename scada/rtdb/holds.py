"""Points held by an operator: substituted (a value he entered) or blocked (the value of that moment, frozen).

Each hold and each release is one change record with channel ``OPERATOR``, dated by its ``received_at``, so that the journal alone
brings the holds back. What the source says meanwhile is written to the shadow row of the point, by the kernels of
:mod:`scada.rtdb.kernels`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import OPERATOR, POINT_DTYPE, HoldAct, RecordFlag, Records
from scada.core.quality import Quality
from scada.rtdb.changes import ChangeSet
from scada.rtdb.image import IMAGE_DTYPE, Holds, Image
from scada.rtdb.kernels import hold_row, replay_changes

STORED_DTYPE: Final = np.dtype([("pid", "<u4"), ("state", IMAGE_DTYPE)])
"""A held point of a checkpoint: its number and its shadow."""

_NEVER: Final = int(Quality.NEVER_RECEIVED)
_SUBSTITUTED: Final = int(Quality.MANUAL | Quality.SUBSTITUTED)
_BLOCKED: Final = int(Quality.OPERATOR_BLOCKED)


def placed(holds: Holds, image: Image, pid: int) -> Holds:
    """The holds with one more, whose shadow is the present state; the same ones if the point is held already."""
    if hold_row(holds, pid) >= 0:
        return holds
    at = int(np.searchsorted(holds.pids, pid))
    more = Holds.of(np.insert(holds.pids, at, np.uint32(pid)))
    for old, new, present in zip(holds.shadow.columns(), more.shadow.columns(), image.columns(), strict=True):
        new[:at], new[at], new[at + 1 :] = old[:at], present[pid], old[at:]
    return more


def removed(holds: Holds, pid: int) -> Holds:
    """The holds without one."""
    return _some(holds, np.flatnonzero(holds.pids != pid))


def copied(holds: Holds) -> Holds:
    """A copy that does not change any more."""
    return _some(holds, np.arange(len(holds.pids)))


def _some(holds: Holds, rows: npt.NDArray[np.intp]) -> Holds:
    some = Holds.of(holds.pids[rows])
    some.shadow.take(holds.shadow.picked(rows))
    return some


def behind(holds: Holds, image: Image, pids: npt.NDArray[np.uint32]) -> Image:
    """What the sources say: the shadows of the held points among ``pids``, the present states of the others.

    Args:
        holds: the held points.
        image: rows of ``pids``, in that order; changed and given back.
        pids: any points.
    """
    if len(holds.pids):
        row = np.searchsorted(holds.pids, pids)
        row[row == len(holds.pids)] = 0
        at = np.flatnonzero(holds.pids[row] == pids)
        for shown, shadow in zip(image.columns(), holds.shadow.columns(), strict=True):
            shown[at] = shadow[row[at]]
    return image


def act_of_hold(image: Image, pid: int, value: float | None, *, is_event: bool) -> Records:
    """The record (one row) of a substitution, or of a block where ``value`` is None."""
    word = int(image.quality[pid])
    if value is None:
        word, flags = word | _BLOCKED, RecordFlag.QUALITY_SET
        return _record(pid, float(image.value[pid]), word, int(image.source_time[pid]), flags, HoldAct.BLOCK)
    flags = _flags(image, pid, value, _SUBSTITUTED, is_event=is_event)
    return _record(pid, value, _SUBSTITUTED, 0, flags, HoldAct.SUBSTITUTE)


def act_of_release(image: Image, holds: Holds, pid: int, *, is_event: bool) -> Records:
    """The record (one row) that shows the shadow of a held point again; it is found, as by an interrogation, and no new event."""
    row = hold_row(holds, pid)
    value, word = float(holds.shadow.value[row]), int(holds.shadow.quality[row])
    flags = _flags(image, pid, value, word, is_event=is_event) | RecordFlag.REFRESH
    return _record(pid, value, word, int(holds.shadow.source_time[row]), flags, HoldAct.RELEASE)


def replay(image: Image, holds: Holds, change: ChangeSet) -> Holds:
    """Bring an image and its holds from the state before a change set to the state after it."""
    done = 0
    for at in np.flatnonzero(change.records["channel"] == OPERATOR).tolist():
        _replay(image, holds, change, done, at)
        pid = int(change.records["pid"][at])
        released = change.records["detail"][at] == HoldAct.RELEASE
        holds = removed(holds, pid) if released else placed(holds, image, pid)
        _replay(image, holds, change, at, at + 1)
        done = at + 1
    _replay(image, holds, change, done, len(change))
    return holds


def _replay(image: Image, holds: Holds, change: ChangeSet, start: int, stop: int) -> None:
    replay_changes(image, holds, change.records[start:stop], change.received_at[start:stop], change.first + start)


def stored(holds: Holds) -> bytes:
    """The holds as rows of :data:`STORED_DTYPE`."""
    rows = np.empty(len(holds.pids), dtype=STORED_DTYPE)
    rows["pid"] = holds.pids
    rows["state"] = holds.shadow.rows(0, len(rows))
    return rows.tobytes()


def restored(blob: bytes) -> Holds:
    """The holds of a checkpoint."""
    rows = np.frombuffer(blob, STORED_DTYPE)
    holds = Holds.of(rows["pid"].astype(np.uint32))
    holds.shadow.load(0, rows["state"])
    return holds


def _flags(image: Image, pid: int, value: float, word: int, *, is_event: bool) -> int:
    flags = RecordFlag.FIRST if int(image.quality[pid]) & _NEVER else 0
    if value != float(image.value[pid]) and not word & _NEVER and not (np.isnan(value) and np.isnan(image.value[pid])):
        flags |= RecordFlag.VALUE_CHANGED | (RecordFlag.EVENT if is_event else 0)
    return flags


def _record(pid: int, value: float, quality: int, source_time: int, flags: int, act: int) -> Records:
    record = np.zeros(1, dtype=POINT_DTYPE)
    record["pid"], record["channel"], record["detail"] = pid, OPERATOR, act
    record["value"], record["quality"], record["source_time"], record["flags"] = value, quality, source_time, flags
    return record
