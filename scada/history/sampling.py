"""Which changes become samples, and when they were."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, RecordFlag, Records, TimeQuality
from scada.core.quality import Quality

ROW_DTYPE: Final = np.dtype([("number", "<u4"), ("time", "<i8"), ("value", "<f8"), ("quality", "<u4")])
"""A sample with the history number of its point."""

_TIME_INVALID: Final = int(Quality.TIME_INVALID)
_FLAG_INVALID: Final = TimeQuality.INVALID
_EVENT: Final = RecordFlag.EVENT
_QUALITY_SET: Final = RecordFlag.QUALITY_SET


@numba.njit(nogil=True, cache=True)
def select_samples(
    records: Records,
    received_at: npt.NDArray[np.int64],
    number_of: npt.NDArray[np.uint32],
    deadband: npt.NDArray[np.float64],
    last_value: npt.NDArray[np.float64],
    last_quality: npt.NDArray[np.int64],
    rows: npt.NDArray[np.void],
) -> int:  # pragma: no cover - compiled
    """Copy the changes worth keeping to ``rows`` and return how many.

    A change is kept if its quality differs from that of the last kept sample of its point, or its value by more than the dead
    band, or if it is an event. It is dated by its source, or by its receipt where the source gave no valid time.

    Args:
        records: changes, in order.
        received_at: ns UTC, one a record.
        number_of: history number of each pid.
        deadband: of each pid, in the unit of the point.
        last_value: last kept value of each history number, NaN = none; updated.
        last_quality: its quality, -1 = none; updated.
        rows: room for as many rows as there are records.
    """
    kept = 0
    for i in range(len(records)):
        record = records[i]
        pid = record.pid
        if pid >= number_of.size:
            continue
        number = number_of[pid]
        value = record.value
        quality = np.int64(record.quality)
        step = abs(value - last_value[number])
        near = step <= deadband[pid] or (np.isnan(value) and np.isnan(last_value[number]))
        if near and quality == last_quality[number] and record.flags & _EVENT == 0:
            continue
        last_value[number] = value
        last_quality[number] = quality
        time = record.source_time
        stamped = record.time_quality & _FLAG_INVALID == 0 and quality & _TIME_INVALID == 0 and record.flags & _QUALITY_SET == 0
        if time <= 0 or not stamped:
            time = received_at[i]
        rows[kept].number = number
        rows[kept].time = time
        rows[kept].value = value
        rows[kept].quality = record.quality
        kept += 1
    return kept


def warm_up() -> None:
    """Compile the kernel or load it from numba's cache."""
    records, times = np.empty(0, dtype=POINT_DTYPE), np.empty(0, dtype=np.int64)
    frozen, frozen_times = records[:], times[:]
    frozen.flags.writeable = frozen_times.flags.writeable = False
    numbers, numbers_f8 = np.empty(0, dtype=np.uint32), np.empty(0)
    rows = np.empty(0, dtype=ROW_DTYPE)
    for some, received_at in ((records, times), (frozen, frozen_times)):
        select_samples(some, received_at, numbers, numbers_f8, numbers_f8, times, rows)
