import math
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scada.core.batch import NO_PID, RecordFlag
from scada.core.errors import ConfigError, ProtocolError
from scada.core.quality import Quality
from scada.protocols.iec104 import asdu as asdus
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import Asdu
from scada.protocols.iec104.codec import AddressTable, Decoder, address_key
from scada.protocols.iec104.encode import capacity, encode_values

NOW = 1_780_000_000_123_000_000
MONITORED = [1, 3, 5, 7, 9, 11, 13, 15, 20, 21, *range(30, 41)]


def decode(decoder, *data):
    buf = np.frombuffer(b"".join(data), dtype=np.uint8)
    spans, at = [], 0
    for item in data:
        spans.append((at, len(item), 0, 0))
        at += len(item)
    rows = np.array(spans, dtype=np.int64).reshape(-1, 4)
    return decoder.decode(buf, rows, 127 * len(data), NOW)


def one(type_id, element, cause=3, ioa=7, ca=1):
    return asdus.single(type_id, cause, ca, ioa, element).encode()


T = cp56.to_octets(NOW)
# type, element, value, QDS octet, detail - written down from IEC 60870-5-101 clause 7.2.6, not from the codec
ELEMENTS = [
    (1, b"\x91", 1, 0x90, 0),
    (3, b"\x42", 2, 0x40, 0),
    (5, b"\xff\x01", -1, 0x01, 1),
    (5, b"\x3f\x00", 63, 0, 0),
    (7, b"\x04\x03\x02\x81\x20", 0x81020304, 0x20, 0),
    (9, b"\x00\x80\x00", -1.0, 0, 0),
    (9, b"\xff\x7f\x80", 32767 / 32768, 0x80, 0),
    (11, b"\xfe\xff\x10", -2, 0x10, 0),
    (13, struct.pack("<f", 1.5) + b"\x00", 1.5, 0, 0),
    (15, struct.pack("<i", -5) + b"\xe3", -5, 0x180, 0x63),
    (20, b"\x01\x80\x03\x00\x40", 0x8001, 0x40, 3),
    (21, b"\x00\x40", 0.5, 0, 0),
    (30, b"\x11" + T, 1, 0x10, 0),
    (31, b"\x81" + T, 1, 0x80, 0),
    (32, b"\x40\x00" + T, -64, 0, 0),
    (33, b"\x01\x00\x00\x00\x00" + T, 1, 0, 0),
    (34, b"\x00\xc0\x00" + T, -0.5, 0, 0),
    (35, b"\x39\x30\x01" + T, 12345, 1, 0),
    (36, struct.pack("<f", -7.25) + b"\x40" + T, -7.25, 0x40, 0),
    (37, struct.pack("<i", 9) + b"\x20" + T, 9, 0, 0x20),
    (38, b"\x0a\x05\x00" + T, 2, 0, 65535),
    (38, b"\x12\x05\x00" + T, 2, 0x10, 5),
    (39, b"\xc5\x80\x2a\x01" + T, 5, 0x80, 298),
    (40, b"\xf3\x18\x05\x00" + T, 3, 0x10, 65535),
    (40, b"\x03\x00\xff\xff" + T, 3, 0, 65535),
]


@pytest.mark.parametrize(("type_id", "element", "value", "quality", "detail"), ELEMENTS, ids=str)
def test_every_monitored_type(build, type_id, element, value, quality, detail):
    decoded = decode(Decoder(AddressTable([build.point(9, 7, type_id)]), 5), one(type_id, element))
    (record,) = decoded.records
    assert record["pid"] == 9
    assert record["channel"] == 5
    assert record["type_id"] == type_id
    assert record["cause"] == 3
    assert (record["value"], record["quality"], record["detail"]) == (value, quality, detail)
    assert record["source_time"] == (NOW if type_id >= 30 else 0)
    assert decoded.slow == []
    assert decoded.unknown == 0


@pytest.mark.parametrize("type_id", [type_id for type_id in MONITORED if type_id not in {20, 38, 39, 40}])
@given(data=st.data())
@settings(max_examples=15)
def test_what_the_encoder_writes_the_decoder_reads(build, type_id, data):
    base = asdus.untagged(type_id)
    sequence = data.draw(st.booleans())
    count = data.draw(st.integers(1, capacity(type_id, sequence=sequence)))
    ranges = {1: (0, 1), 3: (0, 3), 5: (-64, 63), 7: (0, 2**32 - 1), 11: (-32768, 32767), 15: (-(2**31), 2**31 - 1)}
    if base in ranges:
        numbers = st.integers(*ranges[base])
    elif base in {9, 21}:
        numbers = st.integers(-32768, 32767).map(lambda raw: raw / 32768)
    else:
        numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    values = np.array(data.draw(st.lists(numbers, min_size=count, max_size=count)), dtype=np.float64)
    start = data.draw(st.integers(0, 2**24 - count))
    ioas = np.arange(start, start + count)
    quality = np.full(count, {15: 0x100, 21: 0}.get(base, 0xD0), dtype=np.uint32)  # a counter that was adjusted
    detail = np.full(count, {5: 1, 15: 0x45}.get(base, 0), dtype=np.uint16)
    written = encode_values(type_id, 20, 65534, ioas, values, quality, np.full(count, NOW), detail, sequence=sequence)
    assert len(written) <= 249
    assert len(Asdu.parse(written).objects) == count
    decoded = decode(Decoder(AddressTable()), written)
    assert decoded.records["value"].tolist() == values.tolist()
    assert decoded.addresses.tolist() == [address_key(65534, ioa) for ioa in ioas]
    assert (decoded.records["quality"] == quality).all()
    assert (decoded.records["detail"] == detail).all()
    assert (decoded.records["source_time"] == (NOW if type_id >= 30 else 0)).all()


def test_the_encoder_marks_what_a_type_cannot_hold():
    values = np.array([2.0, -3.0, math.nan])
    zeros = np.zeros(3, dtype=np.uint32)
    data = encode_values(9, 3, 1, np.arange(3), values, zeros, np.zeros(3, np.int64), np.zeros(3, np.uint16))
    records = decode(Decoder(AddressTable()), data).records
    assert records["value"].tolist() == [32767 / 32768, -1.0, 0.0]
    assert records["quality"].tolist() == [Quality.OVERFLOW, Quality.OVERFLOW, Quality.INVALID]


@pytest.mark.parametrize("raw", [b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff"], ids=["nan", "inf", "-inf"])
def test_no_number_is_invalid_and_stays_no_number(build, raw):
    (record,) = decode(Decoder(AddressTable([build.point(0, 7, 13)])), one(13, raw + b"\x00")).records
    assert not math.isfinite(record["value"])
    assert record["quality"] == Quality.INVALID


def test_scale_and_offset_make_engineering_units_but_never_of_a_state(build):
    points = [build.point(0, 7, 11, scale=0.1, offset=-5.0), build.point(1, 8, 3, scale=9.0, offset=9.0)]
    records = decode(Decoder(AddressTable(points)), one(11, b"\x64\x00\x00"), one(3, b"\x02", ioa=8)).records
    assert records["value"].tolist() == [5.0, 2.0]


def test_unknown_address_and_wrong_family_have_no_point(build):
    table = AddressTable([build.point(4, 7, 9, scale=100.0), build.point(5, 8, 1)])
    decoded = decode(
        Decoder(table), one(13, struct.pack("<fB", 1, 0)), one(30, b"\x01" + T, ioa=8), one(21, b"\0\0"), one(1, b"\1", ioa=9)
    )
    assert decoded.records["pid"].tolist() == [NO_PID, 5, 4, NO_PID]
    assert decoded.unknown == 2
    assert decoded.addresses[3] == address_key(1, 9)


def test_event_and_refresh_flags():
    decoder = Decoder(AddressTable())
    said = [one(1, b"\1", cause=3), one(1, b"\1", cause=20), one(13, bytes(5), cause=3), one(13, bytes(5), cause=20)]
    flags = decode(decoder, *said).records["flags"].tolist()
    assert flags == [RecordFlag.EVENT, RecordFlag.REFRESH, 0, RecordFlag.REFRESH]


def test_values_under_test_are_counted_not_delivered():
    under_test = one(1, b"\1", cause=0x83)
    decoded = decode(Decoder(AddressTable()), under_test, one(1, b"\1"))
    assert decoded.tests == 1
    assert len(decoded.records) == 1
    seen = decode(Decoder(AddressTable(), everything=True), under_test).records
    assert seen["quality"][0] == Quality.TEST
    assert seen["cause"][0] == 0x83


def test_invalid_time_gives_none_and_says_so():
    octets = bytearray(T)
    octets[2] |= 0x80
    (record,) = decode(Decoder(AddressTable()), one(30, b"\x01" + bytes(octets))).records
    assert record["source_time"] == 0
    assert record["quality"] == Quality.TIME_INVALID
    assert record["time_quality"] == 1
    assert record["value"] == 1


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("0100030001000000000001"),  # no object, yet octets
        bytes.fromhex("0102030001000700000107000001")[:-1],  # one octet short
        bytes.fromhex("010103000100070000010f"),  # one octet too many
        bytes.fromhex("0182030001000700000101")[:-1],  # sequence of two, one there
        bytes.fromhex("018203000100ffffff0101"),  # sequence beyond the last address
        bytes.fromhex("0d7f03000100"),  # header only
    ],
)
def test_a_malformed_asdu_gives_no_value(data):
    decoded = decode(Decoder(AddressTable()), one(1, b"\1"), data, one(1, b"\0"))
    assert decoded.slow == [1]
    assert decoded.records["value"].tolist() == [1, 0]
    if data[1] != 0x82 or data[6:9] != b"\xff\xff\xff":
        with pytest.raises(ProtocolError, match="octets"):
            Asdu.parse(data)


@given(st.binary(min_size=6, max_size=249), st.sampled_from([*MONITORED, 0, 2, 45, 100, 255]), st.booleans())
@example(b"\x00" * 6, 1, False)
@settings(max_examples=300)
def test_whatever_comes_is_decoded_as_the_slow_path_does_or_left_to_it(data, type_id, fit):
    data = bytes([type_id]) + data[1:]
    size = asdus.ELEMENT_SIZE.get(type_id)
    if fit and size is not None:  # make the length right, so that the contents matter
        count = max(1, (data[1] & 0x7F) % 5)
        data = bytes([type_id, data[1] & 0x80 | count]) + data[2:6]
        data += bytes(range(3 + count * size if data[1] & 0x80 else count * (3 + size)))
    decoded = decode(Decoder(AddressTable(), everything=True), data)
    if decoded.slow:
        assert len(decoded.records) == 0
    else:
        parsed = Asdu.parse(data)
        assert [item.ioa | parsed.common_address << 24 for item in parsed.objects] == decoded.addresses.tolist()


def test_two_points_with_one_address_are_refused(build):
    with pytest.raises(ConfigError, match="same address CA 1 IOA 7"):
        AddressTable([build.point(0, 7, 1), build.point(1, 7, 3)])


@given(st.sets(st.tuples(st.integers(0, 65535), st.integers(0, 2**24 - 1)), min_size=1, max_size=60))
@settings(max_examples=30)
def test_every_address_is_found_and_no_other(build, addresses):
    listed = sorted(addresses)
    table = AddressTable([build.point(pid, ioa, 1, ca=ca) for pid, (ca, ioa) in enumerate(listed)])
    decoder = Decoder(table)
    records = decode(decoder, *[one(1, b"\1", ca=ca, ioa=ioa) for ca, ioa in listed]).records
    assert records["pid"].tolist() == list(range(len(listed)))
    ca, ioa = listed[0]
    if (ca, ioa ^ 1) not in addresses:
        assert decode(decoder, one(1, b"\1", ca=ca, ioa=ioa ^ 1)).records["pid"][0] == NO_PID


def test_commands_are_encoded_exactly_or_not_at_all():
    for type_id, value in [(45, 1), (46, 2), (47, 1), (48, -0.5), (49, -12), (50, 2.5), (51, 4_000_000_000)]:
        order = asdus.CommandElement(value, 3 if type_id != 51 else 0, select=type_id != 51)
        assert asdus.decode_command(type_id, asdus.encode_command(type_id, order)) == order
        timed = asdus.CommandElement(order.value, order.qualifier, order.select, T)
        assert asdus.decode_command(type_id + 13, asdus.encode_command(type_id + 13, timed)) == timed
    for type_id, value in [
        (45, 2),
        (46, 0),
        (46, 3),
        (47, 0),
        (48, 1.0),
        (48, math.nan),
        (49, 40_000),
        (50, math.nan),
        (50, 1e39),
    ]:
        with pytest.raises(ValueError, match=r"."):
            asdus.encode_command(type_id, asdus.CommandElement(value))
