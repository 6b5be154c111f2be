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


def encode(samples: Samples) -> bytes:
    """Samples, in order of time, as a sealed blob."""
    times = np.diff(samples["time"], prepend=0)
    columns = b"".join(_shuffled(column) for column in (times, samples["value"], samples["quality"]))
    return seal(_HEADER.pack(_LAYOUT, _ZLIB, len(samples)) + zlib.compress(columns, _LEVEL))


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


def _shuffled(column: npt.NDArray[np.generic]) -> bytes:
    column = np.ascontiguousarray(column)
    return column.view(np.uint8).reshape(len(column), column.itemsize).T.tobytes()


def _unshuffled(column: bytes, dtype: np.dtype[np.generic], count: int) -> npt.NDArray[np.generic]:
    planes = np.frombuffer(column, dtype=np.uint8).reshape(dtype.itemsize, count)
    return np.ascontiguousarray(planes.T).view(dtype).reshape(count)
