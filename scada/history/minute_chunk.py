"""A chunk of minutes: those of one point in a day or a part of it, as compressed columns.

Blob (little-endian): CRC-32, ``layout u1, codec u1, count u4``, then the columns minute (u4, since 1970) and those of
``MINUTE_DTYPE``, byte-shuffled and through zlib.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.history.interface import MINUTE_NS
from scada.history.rows import MINUTE_DTYPE
from scada.rtdb.lmdb_file import CorruptFileError, seal, unseal

_HEADER: Final = struct.Struct("<BBI")
_LAYOUT: Final = 1
_ZLIB: Final = 1
_LEVEL: Final = 3
_NAMES: Final = tuple(name for name in MINUTE_DTYPE.names or () if name not in {"number", "time"})
_STORED_MINUTE: Final = np.dtype([("minute", "<u4"), *((name, MINUTE_DTYPE[name]) for name in _NAMES)])


class MinuteColumns:
    """Many chunks' minutes laid out once.

    Args:
        minutes: of all chunks one after the other (``MINUTE_DTYPE``).
    """

    def __init__(self, minutes: npt.NDArray[np.void]) -> None:
        stored = np.empty(len(minutes), _STORED_MINUTE)
        stored["minute"] = minutes["time"] // MINUTE_NS
        for name in _NAMES:
            stored[name] = minutes[name]
        self._bytes = stored.view(np.uint8).reshape(len(minutes), _STORED_MINUTE.itemsize)

    def encode(self, start: int, stop: int) -> bytes:
        """The chunk of minutes ``start`` to ``stop`` as a sealed blob."""
        columns = self._bytes[start:stop].T.tobytes()
        return seal(_HEADER.pack(_LAYOUT, _ZLIB, stop - start) + zlib.compress(columns, _LEVEL))


def decode_minutes(blob: bytes, number: int, where: str) -> npt.NDArray[np.void]:
    """The minutes in a blob, of the point ``number``.

    Raises:
        CorruptFileError: checksum, layout or length is wrong.
    """
    body = unseal(blob, where)
    layout, codec, count = _HEADER.unpack_from(body)
    if (layout, codec) != (_LAYOUT, _ZLIB):
        raise CorruptFileError(f"a chunk of minutes has layout {layout}, codec {codec}", where=where)
    planes = np.frombuffer(zlib.decompress(body[_HEADER.size :]), dtype=np.uint8).reshape(_STORED_MINUTE.itemsize, count)
    stored = np.ascontiguousarray(planes.T).view(_STORED_MINUTE).reshape(count)
    minutes = np.empty(count, MINUTE_DTYPE)
    minutes["number"], minutes["time"] = number, stored["minute"].astype(np.int64) * MINUTE_NS
    for name in _NAMES:
        minutes[name] = stored[name]
    return minutes
