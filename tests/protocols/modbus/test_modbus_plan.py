"""Scan plan: every point once, within what each unit can bear."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import ConfigError
from scada.model_cim.addresses import ModbusAddress, OpcUaAddress
from scada.model_cim.modbus import DATA_TYPES, span, width
from scada.model_cim.tables import Point, PointKind
from scada.protocols.modbus.limits import MAX_BITS, MAX_GAP, MAX_REGISTERS, ChannelLimits, UnitLimits, read_limits
from scada.protocols.modbus.plan import plan


def point(pid, register, data_type="uint16", table="holding", kind=PointKind.ANALOG, **more):
    named = {
        name: more.pop(name) for name in ("unit_id", "word_order", "bit", "bits", "exponent_register", "scan_ms") if name in more
    }
    if data_type == "bit" and table in ("holding", "input"):
        named.setdefault("bit", 0)
    where = ModbusAddress(named.pop("unit_id", 1), table, register, data_type, **named)
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, where, **more)


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


def test_addresses_that_cannot_be_read_are_told_and_the_rest_is_planned():
    blocks, refused = plan([point(0, 0, "float80"), point(1, 10)])
    assert [block.pids.tolist() for block in blocks] == [[1]]
    assert "data type" in str(refused[0][1])


def test_unit_0_of_a_serial_line_is_nobody():
    limits = read_limits("modbus-rtu", "RTU", {})
    assert "broadcast" in str(plan([point(0, 0, unit_id=0)], limits)[1][0][1])
    assert plan([point(0, 0, unit_id=0)], read_limits("modbus-tcp", "PV", {}))[1] == []


LIMITS = st.builds(
    UnitLimits,
    max_registers=st.integers(4, 125),
    max_bits=st.integers(1, 200),
    max_gap=st.integers(0, 20),
    max_bit_gap=st.integers(0, 20),
    holes=st.lists(
        st.tuples(st.sampled_from(["coil", "holding"]), st.integers(0, 300), st.integers(0, 12)).map(
            lambda hole: (hole[0], hole[1], hole[1] + hole[2])
        ),
        max_size=6,
    ).map(tuple),
)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2]),
            st.sampled_from(["coil", "holding"]),
            st.integers(0, 300),
            st.sampled_from(list(DATA_TYPES)),
            st.sampled_from([-1, 0, 3]),
            st.sampled_from([0, 200]),
        ),
        max_size=60,
    ),
    LIMITS,
    LIMITS,
)
@settings(max_examples=150, deadline=None)
def test_every_point_once_no_forbidden_register_and_no_limit_passed(rows, common, second):
    limits = ChannelLimits(scan_ms=1000, common=common, units={2: second})
    points = [
        point(
            i,
            register,
            "bit" if table == "coil" else data_type,
            table,
            unit_id=unit,
            scan_ms=scan,
            exponent_register=-1 if table == "coil" or away < 0 else register + 4 + away,
        )
        for i, (unit, table, register, data_type, away, scan) in enumerate(rows)
    ]
    blocks, refused = plan(points, limits)
    read = [pid for block in blocks for pid in block.pids.tolist()]
    assert sorted(read + [one.pid for one, _ in refused]) == list(range(len(rows)))
    for block in blocks:
        unit = limits.of(block.unit_id)
        end = block.start + block.count
        assert 1 <= block.count <= (unit.max_bits if block.table == "coil" else unit.max_registers)
        assert not any(t == block.table and first < end and block.start <= last for t, first, last in unit.holes)
        covered = set()
        for one in block.points:
            assert (one.address.unit_id, one.address.table) == (block.unit_id, block.table)
            assert (one.address.scan_ms or 1000) / 1000 == block.period_s
            start, stop = span(one.address)
            assert block.start <= start < stop <= end
            covered.update(range(start, stop))
        idle = sorted(set(range(block.start, end)) - covered)
        gap = unit.max_bit_gap if block.table == "coil" else unit.max_gap
        runs = sum(1 for at in idle if at - 1 not in idle)
        assert len(idle) <= gap * runs
    for one, error in refused:
        unit = limits.of(one.address.unit_id)
        start, stop = span(one.address)
        forbidden = any(t == one.address.table and first < stop and start <= last for t, first, last in unit.holes)
        assert forbidden or stop - start > unit.max_registers, error


def test_a_request_does_not_reach_over_a_register_that_must_not_be_read():
    near = [point(0, 0), point(1, 3)]
    assert [(block.start, block.count) for block in plan(near)[0]] == [(0, 4)]
    for hole, blocks in (((1, 1), 2), ((2, 2), 2), ((4, 9), 1)):
        limits = ChannelLimits(common=UnitLimits(holes=(("holding", *hole),)))
        assert len(plan(near, limits)[0]) == blocks
    other = ChannelLimits(common=UnitLimits(holes=(("input", 1, 1),)))
    assert len(plan(near, other)[0]) == 1


def test_scan_classes_are_requests_of_their_own():
    blocks, _ = plan([point(0, 0), point(1, 1, scan_ms=200), point(2, 2)])
    assert {(block.period_s, tuple(block.pids.tolist())) for block in blocks} == {(1.0, (0, 2)), (0.2, (1,))}


def test_limits_are_read_from_parameters_of_channel_and_unit():
    limits = read_limits(
        "modbus-tcp",
        "GW",
        {
            "scan_ms": 500.0,
            "timeout_s": 2.0,
            "max_registers": 60.0,
            "holes": "holding:100-109, 300",
            "unit.7.timeout_s": 0.5,
            "unit.7.gap_ms": 50.0,
            "unit.7.holes": "5",
            "request_gap_ms": 10.0,
            "unit_gap_ms": 20.0,
        },
    )
    assert (limits.scan_ms, limits.gap_s) == (500, 0.01)
    assert (limits.of(1).timeout_s, limits.of(7).timeout_s) == (2.0, 0.5)
    assert (limits.of(1).max_registers, limits.of(7).max_registers) == (60, 60)
    assert (limits.of(1).gap_s, limits.of(7).gap_s) == (0.02, 0.05)
    assert limits.of(1).forbids("holding", 95, 101)
    assert not limits.of(1).forbids("input", 95, 101)
    assert limits.of(1).forbids("coil", 300, 301)
    assert not limits.of(7).forbids("holding", 100, 101)


def test_silence_between_frames_follows_the_baud_rate():
    assert read_limits("modbus-rtu", "L", {"baud": 9600.0}).gap_s == pytest.approx(3.5 * 11 / 9600)
    assert read_limits("modbus-rtu", "L", {"baud": 115200.0}).gap_s == 0.00175
    assert read_limits("modbus-rtu", "L", {"inter_frame_ms": 20.0}).gap_s == 0.02


@pytest.mark.parametrize(
    "params",
    [{"max_registers": 126.0}, {"holes": "holding:9-3"}, {"holes": "x"}, {"unit.3.timeout_s": "soon"}, {"max_gap": -1.0}],
)
def test_limits_that_cannot_be_are_refused_with_their_name(params):
    with pytest.raises(ConfigError, match=f"channel GW.*{next(iter(params))}"):
        read_limits("modbus-tcp", "GW", params)


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
