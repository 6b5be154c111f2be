"""PostgreSQL's binary COPY format as numpy records: rows go in and come out in blocks, no Python object a value.

A stream is a signature of 19 octets, tuples (number of fields, then of each field its length and octets in network order) and the
number -1. Where no field is null, every tuple has one length, so that the tuples of a table are one structured array.
Timestamps are microseconds since 2000-01-01 (PostgreSQL documentation, "COPY", binary format).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import NS_PER_S
from scada.core.errors import StoreError

_SIGNATURE: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = b"\xff\xff"
_NS_PER_US: Final = 1000
EPOCH_US: Final = 946_684_800 * NS_PER_S // _NS_PER_US
"""2000-01-01 in microseconds since 1970."""

Tuples = npt.NDArray[np.void]


class TupleLayout:
    """The columns of a table as they stand in a COPY stream.

    >>> layout = TupleLayout(("point", "i4"), ("value", "f8"))
    >>> tuples = layout.empty(1)
    >>> tuples["point"], tuples["value"] = 7, 1.5
    >>> layout.decode(layout.encode(tuples))["value"].tolist()
    [1.5]

    Args:
        columns: name and numpy type (``i2``, ``i4``, ``i8``, ``f4`` or ``f8``) of each column, none of which holds a null.
    """

    def __init__(self, *columns: tuple[str, str]) -> None:
        self.columns: Sequence[str] = [name for name, _ in columns]
        fields: list[tuple[str, str]] = [("_fields", ">i2")]
        for name, kind in columns:
            fields += [(f"_{name}", ">i4"), (name, f">{kind}")]
        self.dtype = np.dtype(fields)
        self._frame = np.zeros(1, dtype=self.dtype)
        self._frame["_fields"] = len(columns)
        for name in self.columns:
            self._frame[f"_{name}"] = self.dtype[name].itemsize

    def empty(self, count: int) -> Tuples:
        """Tuples whose values are still to be set."""
        return np.repeat(self._frame, count)

    @staticmethod
    def encode(tuples: Tuples) -> bytes:
        """A whole stream."""
        return b"".join((_SIGNATURE, tuples.tobytes(), _TRAILER))

    def decode(self, stream: bytes) -> Tuples:
        """The tuples of a whole stream, read-only.

        Raises:
            StoreError: it is cut short, or a tuple has another shape (a null, another type).
        """
        body = stream[len(_SIGNATURE) : -len(_TRAILER)]
        whole = stream.startswith(_SIGNATURE[:11]) and stream.endswith(_TRAILER) and len(body) % self.dtype.itemsize == 0
        tuples = np.frombuffer(body, dtype=self.dtype) if whole else self._frame[:0]
        framed = ["_fields", *(f"_{name}" for name in self.columns)]
        if not whole or not all((tuples[name] == self._frame[name]).all() for name in framed):
            raise StoreError("PostgreSQL answered with rows of another shape", where="history archive")
        return tuples


def to_timestamps(times: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Times in ns UTC as a ``timestamptz`` (us since 2000) and the 0..999 ns that it has no room for.

    >>> to_timestamps(np.array([946684800000001002]))
    (array([1]), array([2]))
    """
    us, ns = np.divmod(times, _NS_PER_US)
    return us - EPOCH_US, ns


def from_timestamps(us: npt.NDArray[np.int64], ns: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The reverse of :func:`to_timestamps`."""
    return (us.astype(np.int64) + EPOCH_US) * _NS_PER_US + ns.astype(np.int64)
