"""Scan plan and register codec; pymodbus' own conversion is the judge of every data type and word order."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from scada.model_cim.tables import ModbusAddress, OpcUaAddress, Point, PointKind
from scada.protocols.modbus.limits import MAX_BITS, MAX_GAP, MAX_REGISTERS
from scada.protocols.modbus.plan import plan
from scada.protocols.modbus.registers import DATA_TYPES, RegisterError, decode_words, encode_words, width

JUDGE = ModbusClientMixin.DATATYPE
TYPES = {
    "int16": JUDGE.INT16,
    "uint16": JUDGE.UINT16,
    "int32": JUDGE.INT32,
    "uint32": JUDGE.UINT32,
    "float32": JUDGE.FLOAT32,
    "float64": JUDGE.FLOAT64,
}


def point(pid, register, data_type="uint16", table="holding", kind=PointKind.ANALOG, **more):
    address = {"unit_id": 1, "word_order": "big", "bit": -1} | {
        k: more.pop(k) for k in ("unit_id", "word_order", "bit") if k in more
    }
    where = ModbusAddress(address["unit_id"], table, register, data_type, address["word_order"], address["bit"])
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, where, **more)


@pytest.mark.parametrize("data_type", list(DATA_TYPES))
@pytest.mark.parametrize("word_order", ["big", "little"])
@given(value=st.floats(-1e6, 1e6, width=32))
@settings(max_examples=20, deadline=None)
def test_every_type_and_order_as_pymodbus_reads_and_writes_it(data_type, word_order, value):
    if DATA_TYPES[data_type].kind in "iu":
        limits = np.iinfo(DATA_TYPES[data_type])
        value = float(min(max(round(value), limits.min), limits.max))
    theirs = ModbusClientMixin.convert_to_registers(
        value if DATA_TYPES[data_type].kind == "f" else int(value), TYPES[data_type], word_order=word_order
    )
    assert encode_words(value, data_type, word_order) == theirs
    assert decode_words(np.array(theirs, np.uint16), np.array([0]), data_type, word_order)[0] == value
    back = ModbusClientMixin.convert_from_registers(theirs, TYPES[data_type], word_order=word_order)
    assert back == value


@pytest.mark.parametrize(
    ("value", "data_type"),
    [
        (70000, "uint16"),
        (-1, "uint16"),
        (40000, "int16"),
        (2**32, "uint32"),
        (1e39, "float32"),
        (math.nan, "uint16"),
        (math.inf, "float64"),
    ],
)
def test_what_does_not_fit_is_refused(value, data_type):
    with pytest.raises(RegisterError):
        encode_words(value, data_type, "big")


def test_blocks_merge_over_small_gaps_and_respect_the_limit():
    blocks, refused = plan([point(0, 0), point(1, 2 + MAX_GAP - 1), point(2, 200), point(3, 209), point(4, 5, table="input")])
    assert refused == []
    assert [(b.table, b.start, b.count) for b in blocks] == [("holding", 0, 10), ("holding", 200, 10), ("input", 5, 1)]
    wide, _ = plan([point(i, i * 2, "float32") for i in range(200)])
    assert max(block.count for block in wide) <= MAX_REGISTERS
    assert sum(len(block.points) for block in wide) == 200


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2]),
            st.sampled_from(["coil", "discrete", "holding", "input"]),
            st.integers(0, 3000),
            st.sampled_from(list(DATA_TYPES)),
        ),
        max_size=60,
    )
)
@settings(max_examples=80, deadline=None)
def test_every_point_is_covered_once_by_a_legal_request(rows):
    points = [
        point(i, register, "bit" if table in ("coil", "discrete") else data_type, table, unit_id=unit)
        for i, (unit, table, register, data_type) in enumerate(rows)
    ]
    blocks, refused = plan(points)
    assert refused == []
    assert sorted(pid for block in blocks for pid in block.pids.tolist()) == list(range(len(rows)))
    for block in blocks:
        assert 1 <= block.count <= (MAX_BITS if block.table in ("coil", "discrete") else MAX_REGISTERS)
        for one in block.points:
            assert (one.address.unit_id, one.address.table) == (block.unit_id, block.table)
            assert block.start <= one.address.register
            assert one.address.register + width(one.address) <= block.start + block.count


def test_a_block_decodes_scale_bits_and_double_points():
    points = [
        point(0, 0, "int16", scale=0.1, offset=5.0),
        point(1, 1, "float32", word_order="little"),
        point(2, 3, "bit", bit=3, kind=PointKind.STATUS),
        point(3, 3, "bit", bit=4, kind=PointKind.DOUBLE),
        point(4, 4, "uint16", kind=PointKind.DOUBLE),
        point(5, 3, "uint16"),
    ]
    (block,), _ = plan(points)
    high, low = struct.unpack(">HH", struct.pack(">f", 2.5))
    values = dict(zip(block.pids.tolist(), block.decode([0xFFF6, low, high, 0b01000, 2]).tolist(), strict=True))
    assert values == {0: pytest.approx(4.0), 1: 2.5, 2: 1.0, 3: 1.0, 4: 2.0, 5: 8.0}
    assert dict(zip(block.pids.tolist(), block.is_event.tolist(), strict=True))[2]


def test_coils_are_states():
    (block,), _ = plan([point(0, 7, "bit", "coil", PointKind.STATUS), point(1, 9, "bit", "coil", PointKind.DOUBLE)])
    assert (block.start, block.count) == (7, 3)
    assert block.decode([True, False, True, False]).tolist() == [1.0, 2.0]


def test_nan_registers_stay_nan():
    (block,), _ = plan([point(0, 0, "float32")])
    assert math.isnan(block.decode([0x7FC0, 0])[0])


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        (point(0, 0, "float80"), "data type"),
        (point(0, 0, table="coils"), "table"),
        (point(0, 65535, "float32"), "outside"),
        (point(0, -1), "outside"),
        (point(0, 0, "bit", bit=16), "bit 16"),
        (point(0, 0, "bit"), "bit -1"),
        (point(0, 0, word_order="middle"), "word order"),
        (point(0, 0, unit_id=300), "unit id"),
    ],
)
def test_addresses_that_cannot_be_read_are_told_and_the_rest_is_planned(bad, word):
    blocks, refused = plan([bad, point(1, 10)])
    assert [block.pids.tolist() for block in blocks] == [[1]]
    assert word in str(refused[0][1])


def test_an_address_of_another_protocol_is_refused():
    stray = Point(0, "m", "S/0", "0", PointKind.ANALOG, "", "", "", "", "S", "", 0, OpcUaAddress("i=1"))
    assert "no Modbus address" in str(plan([stray])[1][0][1])


def test_halving_parts_registers_but_not_one_register():
    (block,), _ = plan([point(0, 0), point(1, 1), point(2, 2, "bit", bit=0), point(3, 2, "bit", bit=1)])
    left, right = block.halves()
    assert left.pids.tolist() + right.pids.tolist() == [0, 1, 2, 3]
    single = right.halves()[1]
    assert single.pids.tolist() == [2, 3]
    assert single.halves() is None
