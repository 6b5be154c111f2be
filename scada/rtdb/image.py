"""The image: the present state of every point in memory.

The columns of an image are views into rows of 40 bytes, so that a change of one point touches one or two lines of the processor's
cache and not five. A point held by an operator has a second state, its shadow: what it would show without the hold.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from scada.core.batch import POINT_DTYPE, Records
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

_NEVER: Final = int(Quality.NEVER_RECEIVED)


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
        _copy_columns(self, other)

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
        """A copy of all points, each column by itself in memory; the numbers of the last changes are left out."""
        shown = [np.empty(self.capacity, dtype=column.dtype) for column in self.columns()[:-1]]
        copy = Image(*[*shown, np.zeros(self.capacity, dtype=np.uint64)])
        _copy_shown(self, copy)
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
def _copy_columns(image: Image, other: Image) -> None:  # pragma: no cover - compiled
    for i in range(len(other.value)):
        image.value[i] = other.value[i]
        image.quality[i] = other.quality[i]
        image.source_time[i] = other.source_time[i]
        image.received_at[i] = other.received_at[i]
        image.seq[i] = other.seq[i]


@numba.njit(nogil=True, cache=True)
def _copy_shown(image: Image, copy: Image) -> None:  # pragma: no cover - compiled
    for i in range(len(copy.value)):
        copy.value[i] = image.value[i]
        copy.quality[i] = image.quality[i]
        copy.source_time[i] = image.source_time[i]
        copy.received_at[i] = image.received_at[i]


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


class Ring(NamedTuple):
    """The last changes: change ``n`` stands in place ``n`` modulo the length, a power of two."""

    records: Records
    received_at: npt.NDArray[np.int64]
    committed_at: npt.NDArray[np.int64]


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
