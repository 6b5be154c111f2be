"""From what a message says of a point to the records that a driver delivers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scada.core.batch import POINT_DTYPE, PointBatch, RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import ControlKind, Point, PointKind

_STATUS_KINDS: Final = (PointKind.STATUS, PointKind.DOUBLE)
_COLUMNS: Final = ("pid", "value", "quality", "source_time", "flags")
GONE: Final = int(Quality.COMM_LOST | Quality.NOT_TOPICAL)
"""Of points whose edge node or device said, or had said for it, that it is gone."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one message says of one point.

    Attributes:
        point: the point.
        value: raw, before scaling; NaN = the message has none that can be read.
        quality: word of :class:`~scada.core.quality.Quality`.
        time_ns: of the source, ns UTC; 0 = none.
        flags: ``REFRESH`` or ``BACKFILL`` or 0; ``EVENT`` is added where it belongs.
    """

    point: Point
    value: float
    quality: int = 0
    time_ns: int = 0
    flags: int = 0


class LastValues:
    """Remembers the last value of each point: what cannot be read leaves it standing, marked."""

    def __init__(self, points: Iterable[Point]) -> None:
        self._last = {int(point.pid): math.nan for point in points}

    def known(self, point: Point) -> bool:
        """A value of the point was received."""
        return not math.isnan(self._last[int(point.pid)])

    def batch(self, readings: Sequence[Reading], now_ns: int, channel: int, source: str) -> PointBatch:
        """Records of readings, in their order, in engineering units."""
        rows = [self._row(reading) for reading in readings]
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        if rows:
            for name, column in zip(_COLUMNS, zip(*rows, strict=True), strict=True):
                records[name] = column
        records["channel"] = channel
        return PointBatch(records, now_ns, source)

    def _row(self, reading: Reading) -> tuple[int, float, int, int, int]:
        point, quality, flags = reading.point, reading.quality, reading.flags
        pid = int(point.pid)
        value = reading.value * point.scale + point.offset
        if not math.isfinite(value):
            value = math.nan if flags & RecordFlag.BACKFILL else self._last[pid]
            quality |= 0 if quality & Quality.NOT_TOPICAL else int(Quality.INVALID)
        elif not flags & RecordFlag.BACKFILL:
            self._last[pid] = value
        if math.isnan(value):
            quality |= int(Quality.INVALID)
        if point.kind in _STATUS_KINDS and not flags & RecordFlag.REFRESH and quality & GONE != GONE:
            flags |= RecordFlag.EVENT
        return pid, value, quality, reading.time_ns, flags


def number_of(point: Point, raw: Any) -> float:
    """Raw number of what a payload says; NaN if it is none.

    Truth is 1 and 0, of a double point 2 (on) and 1 (off). Text is a number, or the label of one of the point's states.
    """
    if isinstance(raw, bool):
        return float(raw) + 1.0 if point.kind is PointKind.DOUBLE else float(raw)
    if isinstance(raw, int | float):
        return as_float(raw)
    if isinstance(raw, str):
        label = raw.strip().casefold()
        for state, name in point.states.items():
            if name.casefold() == label:
                return float(state)
        try:
            return float(label)
        except ValueError:
            pass
    return math.nan


def as_float(number: float) -> float:
    """A number as double; a whole one beyond its range is none."""
    try:
        return float(number)
    except OverflowError:
        return math.nan


_CODES: Final = {192: 0, 0: int(Quality.INVALID), 500: int(Quality.NOT_TOPICAL)}
_LARGEST_CODE: Final = 1 << 32
_WORDS: Final = {"good": 192, "bad": 0, "stale": 500, "true": 192, "false": 0, "uncertain": 64}


def quality_of(raw: Any) -> int:
    """Quality word of what a payload says of quality: a Sparkplug or OPC code, a word, or truth; unknown ones are invalid.

    >>> quality_of(192), quality_of("stale") == Quality.NOT_TOPICAL, quality_of(68) == Quality.QUESTIONABLE
    (0, True, True)
    """
    if isinstance(raw, bool | str):
        raw = _WORDS.get(str(raw).strip().casefold())
    if not isinstance(raw, int | float) or not -_LARGEST_CODE < raw < _LARGEST_CODE:
        return int(Quality.INVALID)
    code = int(raw)
    if code in _CODES:
        return _CODES[code]
    top = code & 0xC0 if 0 <= code <= 0xFF else 0
    return {0xC0: 0, 0x40: int(Quality.QUESTIONABLE)}.get(top, int(Quality.INVALID))


def command_value(kind: ControlKind, value: float, *, scale: float, offset: float, truth: bool) -> float | bool:
    """What is sent for a control's value: raw units of a set-point; as truth where the device wants it so."""
    if kind is ControlKind.SETPOINT:
        return (value - offset) / scale
    if truth:
        return value == (2.0 if kind in {ControlKind.DOUBLE, ControlKind.STEP} else 1.0)
    return value
