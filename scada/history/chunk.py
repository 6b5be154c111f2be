"""A chunk: the samples of one point in an hour or a part of it, as compressed columns.

Layout 2 (little-endian): CRC-32, ``layout u1, codec u1, count u4, form u1, first i8, step i8, quality u4``, then what ``form``
leaves of the columns, byte-shuffled (all first bytes, all second bytes, ...) and through zlib. Times are differences in the
largest of s, ms, ns that fits, or nothing at all if they are equally spaced; a quality that never changes is in the header.
Values of at most three decimals are differences of integers, short floats take four bytes. Layout 1 had all columns at full
width.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

SAMPLE_DTYPE: Final = np.dtype([("time", "<i8"), ("value", "<f8"), ("quality", "<u4")])
"""One sample: ns UTC, value in the unit of the point, quality word."""

Samples = npt.NDArray[np.void]

_HEADER: Final = struct.Struct("<BBI")
_FORM: Final = struct.Struct("<BqqI")
_WIDE_LAYOUT: Final = 1
_LAYOUT: Final = 2
_ZLIB: Final = 1
_LEVEL: Final = 3
_REGULAR: Final = 1
_WIDE_TIME: Final = 2
_UNIT_SHIFT: Final = 2
_ONE_QUALITY: Final = 16
_SHORT_VALUE: Final = 32
_DECIMAL: Final = 64
_SCALE: Final = 1000.0
_LARGEST: Final = float(1 << 29)
_NOT_WHOLE: Final = 1 << 40
_UNITS: Final = np.array([1, 1_000_000, NS_PER_S], dtype=np.int64)
_MOST: Final = np.iinfo(np.uint32).max


class Columns:
    """Many chunks' samples laid out once, so that each chunk costs little more than its compression.

    Args:
        samples: of all chunks one after the other, each in order of time.
        starts: index of the first sample of each chunk, ascending, the first one 0.
    """

    def __init__(self, samples: Samples, starts: npt.NDArray[np.intp]) -> None:
        self._samples = samples
        self._index = {int(start): number for number, start in enumerate(starts)}
        if not len(samples):
            return
        times = np.ascontiguousarray(samples["time"])
        steps = np.diff(times, prepend=times[0])
        sizes = np.diff(np.append(starts, len(samples)))
        second = np.where(sizes > 1, np.minimum(starts + 1, len(samples) - 1), starts)
        steps[starts] = np.where(sizes > 1, steps[second], 0)
        low, high = np.minimum.reduceat(steps, starts), np.maximum.reduceat(steps, starts)
        unit = np.logical_and.reduceat(times % _UNITS[1] == 0, starts).astype(np.int8)
        unit += np.logical_and.reduceat(times % _UNITS[2] == 0, starts)
        steps[starts] = 0
        scaled = steps // np.repeat(_UNITS[unit], sizes)
        form = np.where(low == high, _REGULAR, 0) | (unit.astype(np.int64) << _UNIT_SHIFT)
        form |= np.where(np.maximum.reduceat(scaled, starts) > _MOST, _WIDE_TIME, 0)
        quality = np.ascontiguousarray(samples["quality"])
        same = np.minimum.reduceat(quality, starts) == np.maximum.reduceat(quality, starts)
        values = np.ascontiguousarray(samples["value"])
        with np.errstate(over="ignore", invalid="ignore"):
            short = values.astype("<f4")
        fits = np.logical_and.reduceat(short.astype("<f8").view(np.int64) == values.view(np.int64), starts)
        whole = _whole(values)
        decimal = np.logical_and.reduceat(whole != _NOT_WHOLE, starts)
        ahead = np.diff(whole, prepend=whole[:1])
        ahead[starts] = whole[starts]
        form |= np.where(same, _ONE_QUALITY, 0) | np.where(decimal, _DECIMAL, np.where(fits, _SHORT_VALUE, 0))
        self._form: list[int] = form.tolist()
        self._step: list[int] = low.tolist()
        self._narrow, self._wide = _bytes(scaled.astype("<u4")), _bytes(scaled)
        self._decimal = _bytes((ahead << 1 ^ ahead >> 63).astype("<u4"))
        self._short, self._long, self._quality = _bytes(short), _bytes(values), _bytes(quality)

    def encode(self, start: int, stop: int) -> bytes:
        """The chunk of samples ``start`` to ``stop`` as a sealed blob; a chunk starts at ``start``."""
        number = self._index[start]
        form, first = self._form[number], self._samples[start]
        parts = []
        if not form & _REGULAR:
            parts.append((self._wide if form & _WIDE_TIME else self._narrow)[start:stop].T.tobytes())
        values = self._decimal if form & _DECIMAL else self._short if form & _SHORT_VALUE else self._long
        parts.append(values[start:stop].T.tobytes())
        if not form & _ONE_QUALITY:
            parts.append(self._quality[start:stop].T.tobytes())
        head = _HEADER.pack(_LAYOUT, _ZLIB, stop - start)
        form_head = _FORM.pack(form, int(first["time"]), self._step[number], int(first["quality"]))
        return seal(head + form_head + zlib.compress(b"".join(parts), _LEVEL))


def encode(samples: Samples) -> bytes:
    """Samples, at least one, in order of time, as a sealed blob."""
    return Columns(samples, np.zeros(1, dtype=np.intp)).encode(0, len(samples))


def decode(blob: bytes, where: str) -> Samples:
    """The samples in a blob.

    Raises:
        CorruptFileError: checksum, layout or length is wrong.
    """
    body = unseal(blob, where)
    layout, codec, count = _HEADER.unpack_from(body)
    if layout not in {_WIDE_LAYOUT, _LAYOUT} or codec != _ZLIB:
        raise CorruptFileError(f"a history chunk has layout {layout}, codec {codec}", where=where)
    samples = np.empty(count, dtype=SAMPLE_DTYPE)
    if layout == _WIDE_LAYOUT:
        columns = zlib.decompress(body[_HEADER.size :])
        samples["time"] = np.cumsum(_unshuffled(columns, "<i8", count))
        samples["value"] = _unshuffled(columns[8 * count :], "<f8", count)
        samples["quality"] = _unshuffled(columns[16 * count :], "<u4", count)
        return samples
    form, first, step, quality = _FORM.unpack_from(body, _HEADER.size)
    columns = zlib.decompress(body[_HEADER.size + _FORM.size :])
    if form & _REGULAR:
        samples["time"] = first + step * np.arange(count, dtype=np.int64)
    else:
        width = "<i8" if form & _WIDE_TIME else "<u4"
        steps = _unshuffled(columns, width, count).astype(np.int64)
        samples["time"] = first + np.cumsum(steps) * _UNITS[form >> _UNIT_SHIFT & 3]
        columns = columns[count * np.dtype(width).itemsize :]
    width = "<u4" if form & _DECIMAL else "<f4" if form & _SHORT_VALUE else "<f8"
    values = _unshuffled(columns, width, count)
    if form & _DECIMAL:
        ahead = values.astype(np.int64)
        values = np.cumsum(ahead >> 1 ^ -(ahead & 1)) / _SCALE
    samples["value"] = values
    samples["quality"] = quality
    if not form & _ONE_QUALITY:
        samples["quality"] = _unshuffled(columns[count * np.dtype(width).itemsize :], "<u4", count)
    return samples


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Values in thousandths where these give the value back bit by bit, else ``_NOT_WHOLE``."""
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.rint(values * _SCALE)
        exact = (np.abs(scaled) < _LARGEST) & ((scaled / _SCALE).view(np.int64) == values.view(np.int64))
    return np.where(exact, scaled, _NOT_WHOLE).astype(np.int64)


def _bytes(column: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """A column as one row of octets a sample; transposed it is shuffled."""
    column = np.ascontiguousarray(column)
    return column.view(np.uint8).reshape(len(column), column.itemsize)


def _unshuffled(columns: bytes, width: str, count: int) -> npt.NDArray[np.generic]:
    dtype = np.dtype(width)
    planes = np.frombuffer(columns, dtype=np.uint8, count=dtype.itemsize * count).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
