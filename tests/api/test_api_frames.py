"""Frames written by hand are the bytes protobuf writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scadapb.v1 import scada_pb2 as pb

from scada.api.frames import Columns, decode_frame, encode_frame

U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
ROW = st.tuples(U32, st.floats(), U32, I64, I64)


def columns_of(rows):
    pid, value, quality, source, received = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 5
    return Columns(
        np.array(pid, dtype=np.uint32),
        np.array(value, dtype=np.float64),
        np.array(quality, dtype=np.uint32),
        np.array(source, dtype=np.int64),
        np.array(received, dtype=np.int64),
    )


@settings(max_examples=150, deadline=None)
@given(seq=U64, time_ns=U64, full=st.booleans(), conflated=U32, rows=st.lists(ROW, max_size=60))
def test_bytes_are_those_of_protobuf(seq, time_ns, full, conflated, rows):
    columns = columns_of(rows)
    expected = pb.PointFrame(
        seq=seq,
        time_ns=time_ns,
        full=full,
        conflated=conflated,
        pid=columns.pid.tolist(),
        value=columns.value.tolist(),
        quality=columns.quality.tolist(),
        source_time_ns=columns.source_time.tolist(),
        received_ns=columns.received.tolist(),
    ).SerializeToString(deterministic=True)
    data = encode_frame(seq, time_ns, columns, full=full, conflated=conflated)
    assert data == expected
    frame, back = decode_frame(data)
    assert frame.seq == seq
    np.testing.assert_array_equal(back.value, columns.value)
    np.testing.assert_array_equal(back.received, columns.received)


def test_a_frame_with_a_short_column_is_refused():
    data = pb.PointFrame(pid=[1, 2], value=[1.0]).SerializeToString()
    with pytest.raises(ValueError, match="equal length"):
        decode_frame(data)
