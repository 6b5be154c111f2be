"""The binary COPY format: round trip, and what is not ours is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import StoreError
from scada.history.copy_format import TupleLayout, from_timestamps, to_timestamps

LAYOUT = TupleLayout(("point", "i4"), ("ns", "i2"), ("time", "i8"), ("value", "f8"))


@given(st.lists(st.tuples(st.integers(0, 2**31 - 1), st.integers(0, 999), st.integers(-(2**62), 2**62), st.floats())))
@settings(max_examples=30, deadline=None)
def test_what_goes_in_comes_out(rows):
    tuples = LAYOUT.empty(len(rows))
    for name, column in zip(LAYOUT.columns, zip(*rows, strict=True), strict=False):
        tuples[name] = column
    back = LAYOUT.decode(LAYOUT.encode(tuples))
    assert back.tobytes() == tuples.tobytes()


@given(st.integers(0, 2**62))
@settings(max_examples=50, deadline=None)
def test_a_time_keeps_its_nanoseconds(time):
    us, ns = to_timestamps(np.array([time]))
    assert 0 <= ns[0] < 1000
    assert from_timestamps(us, ns).tolist() == [time]


def test_a_null_or_a_cut_stream_is_refused():
    tuples = LAYOUT.empty(2)
    stream = LAYOUT.encode(tuples)
    with pytest.raises(StoreError, match="another shape"):
        LAYOUT.decode(stream[:-1])
    null = tuples.copy()
    null["_value"][1] = -1
    with pytest.raises(StoreError, match="another shape"):
        LAYOUT.decode(LAYOUT.encode(null))
