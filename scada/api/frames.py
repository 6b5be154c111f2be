"""Columns to ``scadapb.v1.PointFrame`` bytes, written straight from numpy.

The wire is the one protobuf itself would write (proto3 canonical order, packed little-endian arrays, defaults left out), so any
language decodes it; no Python object is made per value. The columns are encoded once and shared by all subscribers of a view;
only the short head (sequence number, time, counts) may differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scadapb.v1 import scada_pb2 as pb

from scada.rtdb.changes import Snapshot


@dataclass(frozen=True, slots=True)
class Columns:
    """Values on their way to a frame; arrays of equal length, in the order in which a client applies them.

    ``source_time`` and ``received`` are ns UTC, ``source_time`` 0 = none.
    """

    pid: npt.NDArray[np.uint32]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    source_time: npt.NDArray[np.int64]
    received: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.pid)

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Columns:
        """The chosen rows (mask or indices), copied."""
        return Columns(
            self.pid[chosen], self.value[chosen], self.quality[chosen], self.source_time[chosen], self.received[chosen]
        )

    @classmethod
    def joined(cls, parts: list[Columns]) -> Columns:
        """All rows of the parts, in order."""
        return cls(
            np.concatenate([part.pid for part in parts]),
            np.concatenate([part.value for part in parts]),
            np.concatenate([part.quality for part in parts]),
            np.concatenate([part.source_time for part in parts]),
            np.concatenate([part.received for part in parts]),
        )

    @classmethod
    def of_snapshot(cls, snapshot: Snapshot) -> Columns:
        """The columns of a snapshot."""
        return cls(snapshot.pid, snapshot.value, snapshot.quality, snapshot.source_time, snapshot.received_at)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _packed(tag: int, data: bytes) -> bytes:
    return bytes((tag,)) + _varint(len(data)) + data


def encode_columns(columns: Columns) -> bytes:
    """Fields 5 to 9 of a ``PointFrame``: one length-delimited, packed field a column; nothing at all for no rows."""
    if not len(columns):
        return b""
    return b"".join(
        (
            _packed(0x2A, columns.pid.astype("<u4", copy=False).tobytes()),
            _packed(0x32, columns.value.astype("<f8", copy=False).tobytes()),
            _packed(0x3A, columns.quality.astype("<u4", copy=False).tobytes()),
            _packed(0x42, columns.source_time.astype("<i8", copy=False).tobytes()),
            _packed(0x4A, columns.received.astype("<i8", copy=False).tobytes()),
        )
    )


def encode_head(seq: int, time_ns: int, *, full: bool = False, conflated: int = 0) -> bytes:
    """Fields 1 to 4 of a ``PointFrame``; append :func:`encode_columns` to get the whole."""
    parts = []
    if seq:
        parts.append(b"\x09" + seq.to_bytes(8, "little"))
    if time_ns:
        parts.append(b"\x11" + time_ns.to_bytes(8, "little"))
    if full:
        parts.append(b"\x18\x01")
    if conflated:
        parts.append(b"\x20" + _varint(conflated))
    return b"".join(parts)


def encode_frame(seq: int, time_ns: int, columns: Columns, *, full: bool = False, conflated: int = 0) -> bytes:
    """A whole ``PointFrame``, byte-identical to what protobuf serialises.

    Args:
        seq: the frame is consistent as of this sequence number.
        time_ns: server clock, ns UTC.
        columns: the rows; none makes a heartbeat.
        full: every point of the view, not only what changed.
        conflated: analog changes merged away.
    """
    return encode_head(seq, time_ns, full=full, conflated=conflated) + encode_columns(columns)


def decode_frame(data: bytes) -> tuple[pb.PointFrame, Columns]:
    """A frame and its columns as arrays, for Python clients.

    Raises:
        google.protobuf.message.DecodeError: not a ``PointFrame``.
        ValueError: columns of unequal length.
    """
    frame = pb.PointFrame.FromString(data)
    columns = Columns(
        np.array(frame.pid, dtype=np.uint32),
        np.array(frame.value, dtype=np.float64),
        np.array(frame.quality, dtype=np.uint32),
        np.array(frame.source_time_ns, dtype=np.int64),
        np.array(frame.received_ns, dtype=np.int64),
    )
    lengths = {len(columns.pid), len(columns.value), len(columns.quality), len(columns.source_time), len(columns.received)}
    if len(lengths) != 1:
        raise ValueError(f"a frame's columns must have equal length, got {sorted(lengths)}")
    return frame, columns
