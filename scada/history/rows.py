"""What goes through the history: values on their way in, samples, minutes, and what is carried from value to value of a point."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S

ROW_DTYPE: Final = np.dtype([("number", "<u4"), ("time", "<i8"), ("value", "<f8"), ("quality", "<u4")])
"""A sample with the history number of its point."""

INPUT_DTYPE: Final = np.dtype([("number", "<u4"), ("quality", "<u4"), ("time", "<i8"), ("value", "<f8"), ("kind", "u1")])
"""A value on its way in; ``kind`` is of ``EVENT``, ``RECEIPT``, ``LATE``."""
EVENT: Final = 1
"""Always kept."""
RECEIPT: Final = 2
"""Dated by its receipt: never stands before what was received earlier."""
LATE: Final = 4
"""A late value: kept as it is. In the history it is in force until the next sample, though it is not the present value."""

MINUTE_DTYPE: Final = np.dtype(
    [
        ("number", "<u4"),
        ("time", "<i8"),
        ("count", "<u4"),
        ("quality", "<u4"),
        ("state", "<u4"),
        ("minimum", "<f8"),
        ("maximum", "<f8"),
        ("total", "<f8"),
        ("area", "<f8"),
        ("good_s", "<f8"),
        ("last", "<f8"),
    ]
)
"""One minute of one point. ``time`` its start, ns UTC; ``count`` and ``total`` of the good values received; ``minimum``,
``maximum``, ``last``, ``area`` (unit x s) and ``good_s`` of the good value in force; ``quality`` union of the words in force,
``state`` the word at its end. A minute without a value is not made: the end of the one before goes on, up to a gap."""

STATE_DTYPE: Final = np.dtype(
    [
        ("kept_time", "<i8"),
        ("kept_value", "<f8"),
        ("held_time", "<i8"),
        ("held_value", "<f8"),
        ("low", "<f8"),
        ("high", "<f8"),
        ("tick", "<i8"),
        ("since", "<i8"),
        ("value", "<f8"),
        ("minute", "<i8"),
        ("minimum", "<f8"),
        ("maximum", "<f8"),
        ("total", "<f8"),
        ("area", "<f8"),
        ("good_s", "<f8"),
        ("last", "<f8"),
        ("kept_quality", "<u4"),
        ("quality", "<u4"),
        ("union", "<u4"),
        ("count", "<u4"),
        ("hour", "<u4"),
        ("day", "<u4"),
        ("flags", "u1"),
        ("late", "u1"),
    ],
    align=True,
)
"""What is carried from value to value of a point. ``since`` time of the value in force; ``minute`` start of the open minute (0 =
none); ``tick`` next fixed sample (0 = none); ``late`` the open minute must be computed anew because of late values;
``hour`` and ``day`` belong to the store: the oldest ones with parts not merged yet (0 = none)."""

CONFIG_DTYPE: Final = np.dtype([("band", "<f8"), ("period", "<i8"), ("mode", "u1")], align=True)
"""How a point is kept: dead-band in its unit, fixed period in ns, ``mode`` of the following."""
ON_CHANGE: Final = 0
DOOR: Final = 1
FIXED: Final = 2

TOUCHED_DTYPE: Final = np.dtype([("number", "<u4"), ("time", "<i8"), ("value", "<f8")])
"""A point and a time whose minute must be computed anew from the samples; ``value`` of a late good value that is in no
minute yet, else NaN."""

FIXED_WAIT_NS: Final = 2 * NS_PER_S
"""A fixed sample is taken so long after its time, for values still on their way."""
HELD_NS: Final = 10 * NS_PER_S
"""A sample that the swinging door holds back is kept at the latest so long after its time."""

_MINUTE_NS: Final = 60 * NS_PER_S


def first_of_minutes(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first of some times in each minute, ascending: where a gap begins in which just these are missing.

    A late value among them does not hide that newer ones are missing too.
    """
    times = np.sort(times)
    return times[np.unique(times // _MINUTE_NS, return_index=True)[1]]
