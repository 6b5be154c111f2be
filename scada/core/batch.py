"""PointBatch: the one currency in which values travel.

A batch is a numpy structured array, one 32-byte record a value, plus the time at which it was received. Nothing on the way from a
wire to a subscriber makes a Python object per value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

POINT_DTYPE: Final = np.dtype(
    {
        "names": ["pid", "channel", "cause", "time_quality", "value", "source_time", "quality", "type_id", "flags", "detail"],
        "formats": ["<u4", "<u2", "u1", "u1", "<f8", "<i8", "<u4", "u1", "u1", "<u2"],
        "offsets": [0, 4, 6, 7, 8, 16, 24, 28, 29, 30],
        "itemsize": 32,
    }
)
"""One value.

``pid`` point id; ``channel`` index of the channel it came by (``NO_CHANNEL`` = made here); ``cause`` IEC cause of transmission
(6 bits, + 0x40 negative, + 0x80 test; 0 = not from IEC); ``time_quality`` bits of ``TimeQuality``; ``value`` in engineering units
(status 0/1, double 0..3, step position, counter reading, bit string as an exact integer); ``source_time`` ns UTC stamped by the
source, 0 = none; ``quality`` word of :class:`scada.core.quality.Quality`; ``type_id`` protocol type (IEC type identification; 0 =
none); ``flags`` bits of ``RecordFlag``; ``detail`` type-specific bits (BCR: sequence | CY<<5 | CA<<6; step: transient = 1).
"""

NO_PID: Final = 0xFFFF_FFFF
"""Marks an address that the model does not know."""

NO_CHANNEL: Final = 0xFFFF

RESTART: Final = 0xFFFD
"""Channel of the records with which a database marks, when it is opened, what it knew before as old."""

OPERATOR: Final = 0xFFFE
"""``channel`` of a record that an operator made, at ``received_at``: he held or released a point; ``detail`` is a ``HoldAct``."""


class TimeQuality:
    """Bits of ``time_quality``: the CP56Time2a flags (IEC 60870-5-4, 6.8)."""

    INVALID: Final = 0x01
    SUMMER: Final = 0x02
    SUBSTITUTED: Final = 0x04
    """GEN = 0 is genuine; set when the station substituted the time."""


class HoldAct:
    """``detail`` of a record whose ``channel`` is :data:`OPERATOR`."""

    SUBSTITUTE: Final = 1
    """The value is the operator's."""
    BLOCK: Final = 2
    """The present value is frozen."""
    RELEASE: Final = 3
    """The point shows again what its source says."""


class RecordFlag:
    """Bits of ``flags``."""

    EVENT: Final = 0x01
    """A status change or SOE: never conflated, never dropped."""
    REFRESH: Final = 0x02
    """Answer to an interrogation: it is journaled only if it differs from the image, and raises no SOE of its own."""
    BACKFILL: Final = 0x40
    """A late value under its own time stamp: journaled and kept by the history, but not the present value of its point."""
    # set by the RTDB on the records of a change set; ignored on the way in
    QUALITY_SET: Final = 0x04
    """Only the quality was set, by the server, at ``received_at``; value and source time are those of before."""
    VALUE_CHANGED: Final = 0x08
    """The value differs from the one before."""
    FIRST: Final = 0x10
    """No value was known before: not a change of state."""
    HELD: Final = 0x20
    """What the source of a point sent while an operator holds it (substituted or blocked): the point does not show it."""
    ASIDE: Final = HELD | BACKFILL
    """Records with one of these do not change the present value; who follows the image passes over them."""


Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Values that arrived together.

    Attributes:
        records: array of :data:`POINT_DTYPE`, in order of arrival; treated as read-only once sent.
        received_at: ns UTC when the last byte of it was read.
        source: name of the channel or actor that made it.
    """

    records: Records
    received_at: int
    source: str = ""

    def __post_init__(self) -> None:
        if self.records.dtype != POINT_DTYPE:
            raise TypeError(f"records must be POINT_DTYPE, not {self.records.dtype}")

    def __len__(self) -> int:
        return len(self.records)

    @classmethod
    def of(
        cls,
        pid: npt.ArrayLike,
        value: npt.ArrayLike,
        *,
        received_at: int,
        quality: npt.ArrayLike = 0,
        source_time: npt.ArrayLike = 0,
        channel: int = NO_CHANNEL,
        cause: int = 0,
        flags: int = 0,
        source: str = "",
    ) -> PointBatch:
        """Build a batch from columns (scalars are spread over all records).

        >>> batch = PointBatch.of([7, 8], [1.0, 2.5], received_at=1)
        >>> batch.records["value"].tolist()
        [1.0, 2.5]
        """
        pids = np.atleast_1d(np.asarray(pid, dtype="<u4"))
        records = np.zeros(len(pids), dtype=POINT_DTYPE)
        records["pid"] = pids
        records["value"] = value
        records["quality"] = quality
        records["source_time"] = source_time
        records["channel"] = channel
        records["cause"] = cause
        records["flags"] = flags
        return cls(records, received_at, source)
