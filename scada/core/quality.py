"""Quality of a value: the protocol's descriptor bits, IEC 61970 ``Quality61850`` and our own, in one 32-bit word.

The low byte is the IEC 60870-5 quality descriptor (QDS, IEC 60870-5-4) as it stands on the wire, so that a decoder copies it.
A word of 0 is a good value. Several bits may stand together; a calculation's result carries the worst of its inputs.
"""

from __future__ import annotations

from enum import IntFlag

import numpy as np
import numpy.typing as npt


class Quality(IntFlag):
    """Bits of a quality word (``u4``)."""

    GOOD = 0
    # IEC 60870-5-4 QDS / SIQ / DIQ
    OVERFLOW = 0x01
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80
    # IEC 61970-301 Quality61850
    QUESTIONABLE = 1 << 8
    OUT_OF_RANGE = 1 << 9
    BAD_REFERENCE = 1 << 10
    OSCILLATORY = 1 << 11
    FAILURE = 1 << 12
    OLD_DATA = 1 << 13
    ESTIMATOR_REPLACED = 1 << 14
    OPERATOR_BLOCKED = 1 << 15
    SUSPECT = 1 << 16
    TEST = 1 << 17
    # our own
    COMM_LOST = 1 << 20
    """The channel that feeds the point is down; the value is the last one received."""
    NEVER_RECEIVED = 1 << 21
    """No value ever arrived; the value column means nothing."""
    TIME_INVALID = 1 << 22
    """The source's time stamp said it was invalid; the receive time stands in."""
    MANUAL = 1 << 23
    """An operator entered the value."""
    CALCULATED = 1 << 24
    """The value was calculated here."""


BAD_MASK = int(
    Quality.INVALID
    | Quality.NOT_TOPICAL
    | Quality.OVERFLOW
    | Quality.FAILURE
    | Quality.BAD_REFERENCE
    | Quality.OSCILLATORY
    | Quality.OLD_DATA
    | Quality.COMM_LOST
    | Quality.NEVER_RECEIVED
)
"""A value with any of these bits must not be acted on (AGC, AVC, interlocks)."""


HELD_MASK = int(Quality.MANUAL | Quality.OPERATOR_BLOCKED)
"""A value with one of these is what an operator says, substituted or blocked, not what its source says now."""


def is_good(quality: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    """Mask of the words that carry none of :data:`BAD_MASK`."""
    good: npt.NDArray[np.bool_] = (quality & np.uint32(BAD_MASK)) == 0
    return good


_MARKS = (
    (Quality.NEVER_RECEIVED, "-"),
    (Quality.INVALID | Quality.FAILURE | Quality.BAD_REFERENCE | Quality.OVERFLOW, "?"),
    (Quality.MANUAL, "M"),
    (Quality.SUBSTITUTED, "S"),
    (Quality.BLOCKED | Quality.OPERATOR_BLOCKED, "B"),
    (Quality.NOT_TOPICAL | Quality.OLD_DATA | Quality.COMM_LOST, "*"),
    (Quality.QUESTIONABLE | Quality.SUSPECT | Quality.OUT_OF_RANGE | Quality.OSCILLATORY, "~"),
)


def marks(quality: int) -> str:
    """Short marks an operator sees beside a value.

    >>> marks(int(Quality.NOT_TOPICAL | Quality.SUBSTITUTED))
    'S*'
    >>> marks(0)
    ''
    """
    return "".join(mark for bits, mark in _MARKS if quality & int(bits))
