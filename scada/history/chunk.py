"""A chunk: the samples of one point in one hour, as compressed columns.

Blob (little-endian): CRC-32, ``layout u1, codec u1, count u4``, then the compressed columns time (i8 differences), value (f8) and
quality (u4). The bytes of each column are shuffled (all first bytes, all second bytes, ...) before zlib, which is what makes
slowly changing numbers small. The layout number leaves room for other codecs beside this one in one file.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

SAMPLE_DTYPE: Final = np.dtype([("time", "<i8"), ("value", "<f8"), ("quality", "<u4")])
"""One sample: ns UTC, value in the unit of the point, quality word."""

Samples = npt.NDArray[np.void]

_HEADER: Final = struct.Struct("<BBI")
_LAYOUT: Final = 1
_ZLIB: Final = 1
_LEVEL: Final = 3


class Columns:
    """Many chunks' samples laid out once, so that each chunk costs little more than its compression.

    Args:
        samples: of all chunks one after the other, each in order of time.
        starts: index of the first sample of each chunk.
    """

    def __init__(self, samples: Samples, starts: npt.NDArray[np.intp]) -> None:
        times = samples["time"].copy()
        times[1:] -= samples["time"][:-1]
        times[starts] = samples["time"][starts]  # the first one of a chunk is not a difference
        self._bytes = [_bytes(column) for column in (times, samples["value"], samples["quality"])]

    def encode(self, start: int, stop: int) -> bytes:
        """The chunk of samples ``start`` to ``stop`` as a sealed blob; a chunk starts at ``start``."""
        columns = b"".join([column[start:stop].T.tobytes() for column in self._bytes])
        return seal(_HEADER.pack(_LAYOUT, _ZLIB, stop - start) + zlib.compress(columns, _LEVEL))


def encode(samples: Samples) -> bytes:
    """Samples, in order of time, as a sealed blob."""
    return Columns(samples, np.zeros(min(1, len(samples)), dtype=np.intp)).encode(0, len(samples))


def decode(blob: bytes, where: str) -> Samples:
    """The samples in a blob.

    Raises:
        CorruptFileError: checksum, layout or length is wrong.
    """
    body = unseal(blob, where)
    layout, codec, count = _HEADER.unpack_from(body)
    if (layout, codec) != (_LAYOUT, _ZLIB):
        raise CorruptFileError(f"a history chunk has layout {layout}, codec {codec}", where=where)
    columns = zlib.decompress(body[_HEADER.size :])
    samples = np.empty(count, dtype=SAMPLE_DTYPE)
    samples["time"] = np.cumsum(_unshuffled(columns[: 8 * count], np.dtype("<i8"), count))
    samples["value"] = _unshuffled(columns[8 * count : 16 * count], np.dtype("<f8"), count)
    samples["quality"] = _unshuffled(columns[16 * count :], np.dtype("<u4"), count)
    return samples


def _bytes(column: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    """A column as one row of octets a sample; transposed it is shuffled."""
    column = np.ascontiguousarray(column)
    return column.view(np.uint8).reshape(len(column), column.itemsize)


def _unshuffled(column: bytes, dtype: np.dtype[np.generic], count: int) -> npt.NDArray[np.generic]:
    planes = np.frombuffer(column, dtype=np.uint8).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
