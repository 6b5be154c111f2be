import calendar
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.protocols.iec104 import cp56

NOW = 1_780_000_000_000_000_000  # 2026


@given(st.integers(min_value=1_500_000_000_000, max_value=2_600_000_000_000), st.integers(min_value=-720, max_value=840))
@settings(max_examples=100)
def test_what_is_written_is_read(milliseconds, zone):
    time_ns = milliseconds * 1_000_000
    assert cp56.from_octets(cp56.to_octets(time_ns, zone), time_ns, zone) == (time_ns, 0)


@given(st.integers(315_532_800, 3_155_760_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
@settings(max_examples=100)
def test_fields_are_those_of_the_calendar(moment):
    octets = cp56.to_octets(calendar.timegm(moment.timetuple()) * 1_000_000_000)
    assert octets[2] & 0x3F == moment.minute
    assert octets[3] & 0x1F == moment.hour
    assert (octets[4] & 0x1F, octets[5], octets[6]) == (moment.day, moment.month, moment.year % 100)
    assert octets[4] >> 5 == moment.isoweekday()


def test_century_is_the_nearest_one_also_for_years_counted_from_1900():
    octets = bytearray(cp56.to_octets(int(datetime(2009, 8, 13, tzinfo=UTC).timestamp()) * 10**9))
    received = int(datetime(2009, 8, 13, 1, tzinfo=UTC).timestamp()) * 10**9
    expected = cp56.from_octets(bytes(octets), received)
    octets[6] = 109
    assert cp56.from_octets(bytes(octets), received) == expected
    octets[6] = 99  # seen in 2026 this is 1999, not 2099
    assert datetime.fromtimestamp(cp56.from_octets(bytes(octets), NOW)[0] / 1e9, UTC).year == 1999


def test_zone_and_summer_time():
    octets = bytearray(cp56.to_octets(NOW, 480))
    assert cp56.from_octets(bytes(octets), NOW, 480)[0] == NOW
    octets[3] |= 0x80
    assert cp56.from_octets(bytes(octets), NOW, 480, 60) == (NOW - 3600 * 10**9, 2)


@pytest.mark.parametrize(
    ("index", "value"),
    [(2, 0x80), (2, 60), (3, 24), (4, 0), (5, 0), (5, 13), (1, 0xFF)],
    ids=["IV", "minute 60", "hour 24", "day 0", "month 0", "month 13", "65 s"],
)
def test_what_is_no_time_is_invalid_and_gives_none(index, value):
    octets = bytearray(cp56.to_octets(NOW))
    octets[index] = value
    assert cp56.from_octets(bytes(octets), NOW)[0] == 0
    assert cp56.from_octets(bytes(octets), NOW)[1] & 1


def test_31_april_and_29_february_of_a_common_year_are_invalid():
    octets = bytearray(cp56.to_octets(NOW))
    octets[4:7] = bytes([31, 4, 26])
    assert cp56.from_octets(bytes(octets), NOW) == (0, 1)
    octets[4:7] = bytes([29, 2, 26])
    assert cp56.from_octets(bytes(octets), NOW) == (0, 1)
    octets[4:7] = bytes([29, 2, 24])
    assert cp56.from_octets(bytes(octets), NOW)[1] == 0


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="7 octets"):
        cp56.from_octets(b"\0" * 6, NOW)
