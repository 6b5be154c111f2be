"""Recordings of cycles: to the bit, readable up to a cut, refused where damaged."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.actors.what_if import parameter
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.recording import CycleReader, CycleWriter, RecordedCycle, RecordedOrder, RunHeader
from scada.apps.agc_avc.rerun import _split, _with_units
from scada.core.errors import StoreError
from scada.model_cim.regulation import AgcUnit, ControlArea

HEADER = RunHeader("agc", "East", "abc", {"cycle_s": 4.0}, {"name": "East", "units": [{"maximum": math.inf}]}, 7, 0.5, [3, 5, 9])


def cycle(n, values, quality=(0, 0, 0), **more):
    fields = {"orders": (), "forbidden": {}, "extra": None, "outputs": ()} | more
    return RecordedCycle(n, n / 3, value=np.array(values, float), quality=np.array(quality, np.uint32), **fields)


def written(cycles, header=HEADER, *, close=True):
    chunks = []
    writer = CycleWriter(header, chunks.append)
    for one in cycles:
        writer.cycle(one)
    if close:
        writer.close()
    return b"".join(chunks)


def same(one, other):
    assert (one.now_ns, one.monotonic, one.orders, one.outputs) == (other.now_ns, other.monotonic, other.orders, other.outputs)
    assert dict(one.forbidden) == dict(other.forbidden)
    assert one.value.tobytes() == other.value.tobytes()
    assert one.quality.tolist() == other.quality.tolist()
    assert (one.extra is None) == (other.extra is None)
    for name, value in (one.extra or {}).items():
        if isinstance(value, np.ndarray):
            assert other.extra[name].tobytes() == value.tobytes()
            assert (other.extra[name].shape, other.extra[name].dtype) == (value.shape, value.dtype)
        else:
            assert other.extra[name] == value


floats = st.floats(width=64)


@given(
    st.lists(st.tuples(st.tuples(floats, floats, floats), st.tuples(*[st.integers(0, 2**32 - 1)] * 3)), min_size=1, max_size=8)
)
def test_every_bit_comes_back(rows):
    cycles = [cycle(n, values, quality, outputs=((n, values[0]),)) for n, (values, quality) in enumerate(rows)]
    read = list(CycleReader([written(cycles)]).cycles())
    assert len(read) == len(cycles)
    for one, other in zip(cycles, read, strict=True):
        assert one.value.tobytes() == other.value.tobytes()
        assert one.quality.tolist() == other.quality.tolist()


def test_orders_tags_and_sensitivities_come_back():
    order = RecordedOrder(5, 1.25, "set_unit_mode", ("u1", "BASE", "R", math.inf))
    numbers = np.array([[1.0, np.nan], [2.0, -3.0], [0.0, 5.0]])
    extra = {"sources": numbers, "dead": np.array([True, False]), "buses": None, "losses_mw": 1.5}
    cycles = [
        cycle(1, [1, 2, 3], orders=(order,), forbidden={4: "earth"}, extra=extra, outputs=((4, 80.0), (5, -0.0))),
        cycle(2, [1, 2, 4], extra={"sources": np.zeros((0, 2))}),
    ]
    reader = CycleReader([written(cycles)])
    assert reader.header == HEADER
    for one, other in zip(cycles, reader.cycles(), strict=True):
        same(one, other)
    assert not reader.cut


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
def test_what_was_cut_off_can_be_read_up_to_the_cut(piece):
    cycles = [cycle(n, [n, 0, 0]) for n in range(20)]
    whole = written(cycles, close=False)
    half = written(cycles[:10], close=False)
    for end in (len(whole), len(half), len(half) + 3):
        data = whole[:end]
        reader = CycleReader([data[at : at + piece] for at in range(0, len(data), piece)])
        read = list(reader.cycles())
        assert len(read) == (20 if end == len(whole) else 10)
        assert reader.cut
        same(read[9], cycles[9])


def test_an_unchanged_value_costs_next_to_nothing():
    many = RunHeader("agc", "East", "abc", {}, {}, 0, 0.0, list(range(1000)))
    values = np.arange(1000.0)
    one, hundred = (written([cycle(n, values, [0] * 1000) for n in range(count)], many) for count in (1, 101))
    assert (len(hundred) - len(one)) / 100 < 60


@pytest.mark.parametrize("data", [b"", b"hello", written([])[:20], b"\x00" * 100])
def test_what_is_no_recording_is_refused(data):
    with pytest.raises(StoreError, match="recording"):
        CycleReader([data], where="x.cycles")


def test_a_damaged_middle_is_said_after_what_was_good():
    noise = np.random.default_rng(1).normal(size=(600, 3))
    data = bytearray(written([cycle(n, values) for n, values in enumerate(noise)]))
    data[len(data) // 2] ^= 0xFF
    reader, read = CycleReader([bytes(data)]), []
    with pytest.raises(StoreError, match="damaged"):
        read.extend(one.now_ns for one in reader.cycles())
    assert read == list(range(len(read)))
    assert 150 < len(read) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"tuning": 5, "tuning.anything": 1},
        {"unit.T1.minimum": "low"},
        {"unit.T1.maximum": True},
        {"unit.T1.base_mode": 5},
        {"unit.T1.minimum": [1.0]},
        {"unit.T1.mrid": "T2"},
        {"unit.nobody.minimum": 1.0},
    ],
)
def test_what_cannot_be_a_parameter_is_refused_with_a_reason(changes):
    unit = AgcUnit("T1", "T1", "thermal", [10], 0, None, 80.0, 300.0, 9.0, 9.0, 1.0)
    area = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, [], [unit], controlled=True)
    with pytest.raises(RegulationError) as caught:
        _with_units(area, _split(changes)[1])
    assert caught.value.mend
    assert _with_units(area, _split({"unit.T1.minimum": 90, "unit.T1.share": "ramp"})[1]).units[0].minimum == 90


@pytest.mark.parametrize("text", ["9" * 5000, "[" * 50_000, "\n[a]\nb=1", "= ="])
def test_text_that_is_no_toml_stays_text(text):
    assert parameter(text) == text
