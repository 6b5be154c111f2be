"""Status codes, time stamps and values."""

import math
from datetime import UTC, datetime

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from scada.core.quality import BAD_MASK, Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import Control, ControlKind, Point, PointKind
from scada.protocols.opcua.readings import Readings
from scada.protocols.opcua.values import OpcUaValueError, lost_values, nanoseconds, number, quality_of, variant

CODES = ua.StatusCodes


def point(kind=PointKind.ANALOG, **more):
    return Point(0, "m", "S/0", "0", kind, "", "", "", "", "S", "", 0, OpcUaAddress("i=1"), **more)


def control(kind=ControlKind.SETPOINT, **more):
    return Control(0, "c", "S/c", "c", kind, "", "", "", "S", 0, OpcUaAddress("i=1"), None, "", **more)


def all_codes():
    return [value for name, value in vars(CODES).items() if isinstance(value, int) and name[0].isupper()]


def test_every_bad_code_of_the_standard_is_not_acted_on_and_every_good_one_is():
    codes = all_codes()
    assert len(codes) > 200
    for code in codes:
        severity = code >> 30
        word = quality_of(code)
        if severity == 2:
            assert word & BAD_MASK, hex(code)
        elif severity == 0:
            assert not word & BAD_MASK, hex(code)
        else:
            assert word, hex(code)


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (CODES.Good, 0),
        (CODES.GoodLocalOverride, Quality.SUBSTITUTED),
        (CODES.UncertainLastUsableValue, Quality.OLD_DATA),
        (CODES.UncertainSensorNotAccurate, Quality.QUESTIONABLE),
        (CODES.BadNoCommunication, Quality.NOT_TOPICAL),
        (CODES.BadNodeIdUnknown, Quality.BAD_REFERENCE | Quality.INVALID),
        (CODES.BadInternalError, Quality.INVALID),
        (CODES.BadTimeout, Quality.NOT_TOPICAL),
        (CODES.BadOutOfRange, Quality.OUT_OF_RANGE | Quality.INVALID),
        (CODES.UncertainSimulatedValue, Quality.TEST | Quality.QUESTIONABLE),
        (CODES.BadIndexRangeNoData, Quality.BAD_REFERENCE | Quality.INVALID),
    ],
)
def test_codes(code, word):
    assert quality_of(code) == word
    assert quality_of(code | 0x0480) == word
    assert lost_values(code | 0x0480)
    assert not lost_values(code)


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - naive is the case
def test_time_stamps_are_exact_to_the_microsecond(stamp):
    expected = nanoseconds(stamp.replace(tzinfo=UTC))
    assert nanoseconds(stamp) == expected
    assert expected // 1000 % 1_000_000 == stamp.microsecond
    assert datetime.fromtimestamp(expected // 10**9, UTC).replace(tzinfo=None) == stamp.replace(microsecond=0)
    assert nanoseconds(None) == 0


def test_numbers():
    assert number(point(scale=2.0, offset=1.0), 3) == 7.0
    assert number(point(PointKind.STATUS), True) == 1.0
    assert [number(point(PointKind.DOUBLE), flag) for flag in (False, True)] == [1.0, 2.0]
    assert number(point(PointKind.DOUBLE), 2) == 2.0
    for nothing in (None, "text", [1.0], math.nan, math.inf, 2**53 + 1, ua.LocalizedText("5"), b"5"):
        assert math.isnan(number(point(), nothing))
    for kind, impossible in ((PointKind.STATUS, 2), (PointKind.STATUS, 0.5), (PointKind.DOUBLE, 4), (PointKind.DOUBLE, -1)):
        assert math.isnan(number(point(kind), impossible))
    assert number(point(PointKind.STEP), 17) == 17.0


def test_limit_bits_count_only_with_the_info_type_that_gives_them_a_meaning():
    assert quality_of(0x0400 | 0x0200) == Quality.OUT_OF_RANGE
    assert quality_of(0x0400 | 0x0300) == Quality.BLOCKED
    assert quality_of(0x0300) == 0
    assert not lost_values(0x0080)


def test_variants():
    double = ua.VariantType.Double
    assert variant(control(scale=0.5, offset=1.0), 3.0, double) == ua.Variant(4.0, double)
    assert variant(control(ControlKind.DOUBLE), 2.0, ua.VariantType.Boolean).Value is True
    assert variant(control(ControlKind.SINGLE), 0.0, ua.VariantType.Boolean).Value is False
    assert variant(control(), 2.6, ua.VariantType.Int16).Value == 3
    for wrong in (
        (control(ControlKind.DOUBLE), 0.0, ua.VariantType.Boolean),
        (control(), 40_000.0, ua.VariantType.Int16),
        (control(), math.nan, double),
        (control(), 1e300, ua.VariantType.Float),
        (control(scale=0.0), 1.0, double),
        (control(), 1.0, ua.VariantType.String),
    ):
        with pytest.raises(OpcUaValueError):
            variant(*wrong)


def test_a_time_stamp_that_is_none_or_cannot_be_kept_is_none():
    """1601 and 9999 are how OPC UA says that there is none (OPC 10000-6, 5.2.2.5); ns since 1970 end in 2262."""
    readings = Readings((point(),), 3, "W")
    readings.resolve(())
    for stamp in (
        datetime(1601, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
        datetime(2300, 1, 1, tzinfo=UTC),
    ):
        assert nanoseconds(stamp) == 0
        readings.take(readings.items[0], ua.DataValue(ua.Variant(1.5), SourceTimestamp=stamp))
        (batch,) = readings.batches(1)
        assert batch.records["source_time"].tolist() == [0]


def test_a_number_that_scaling_makes_infinite_is_none():
    assert math.isnan(number(point(scale=1e300), 1e300))
    assert math.isnan(number(point(scale=1e300), 10**15))
