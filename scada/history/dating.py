"""When values were: the kernel that turns the records of a change set into inputs of the sampler."""

from __future__ import annotations

from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import OPERATOR, RecordFlag, Records, TimeQuality
from scada.core.quality import Quality
from scada.history.interface import MAX_AHEAD_NS
from scada.history.rows import EVENT, RECEIPT

_AHEAD: Final = MAX_AHEAD_NS
_TIME_INVALID: Final = int(Quality.TIME_INVALID)
_FLAG_INVALID: Final = TimeQuality.INVALID
_EVENT_FLAG: Final = RecordFlag.EVENT
_QUALITY_SET: Final = RecordFlag.QUALITY_SET
_HELD_BY_OPERATOR: Final = RecordFlag.HELD
_BACKFILL: Final = RecordFlag.BACKFILL
_OPERATOR: Final = OPERATOR


@numba.njit(nogil=True, cache=True)
def date_records(
    records: Records, received_at: npt.NDArray[np.int64], number_of: npt.NDArray[np.uint32], inputs: npt.NDArray[np.void]
) -> int:  # pragma: no cover - compiled
    """Turn records into inputs; returns how many. Those of unknown or held points and late values are passed over.

    A value is dated by its source, or by its receipt where the source gave no valid time or one that lies in the future. What an
    operator did (hold, release) is dated by its receipt.
    """
    made = 0
    for i in range(len(records)):
        record = records[i]
        if record.pid >= number_of.size or record.flags & (_HELD_BY_OPERATOR | _BACKFILL):
            continue
        row = inputs[made]
        quality = np.int64(record.quality)
        time = record.source_time
        kind = EVENT if record.flags & _EVENT_FLAG else 0
        stamped = record.time_quality & _FLAG_INVALID == 0 and quality & _TIME_INVALID == 0 and record.flags & _QUALITY_SET == 0
        if time <= 0 or not stamped or record.channel == _OPERATOR:
            time = received_at[i]
            kind |= RECEIPT
        elif time > received_at[i] + _AHEAD:
            time = received_at[i]
            kind |= RECEIPT
            quality |= _TIME_INVALID
        row.number = number_of[record.pid]
        row.time = time
        row.value = record.value
        row.quality = quality
        row.kind = kind
        made += 1
    return made
