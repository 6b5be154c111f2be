"""Every type, order and field of a number in registers, against struct, pymodbus and vectors written out by hand."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.modbus import DATA_TYPES, Family, fault, field_of, is_bit, span
from scada.protocols.modbus.registers import Codec, RegisterError, check_address, encode

JUDGE = ModbusClientMixin.DATATYPE
TYPES = {
    "int16": JUDGE.INT16,
    "uint16": JUDGE.UINT16,
    "int32": JUDGE.INT32,
    "uint32": JUDGE.UINT32,
    "int64": JUDGE.INT64,
    "uint64": JUDGE.UINT64,
    "float32": JUDGE.FLOAT32,
    "float64": JUDGE.FLOAT64,
}
LETTERS = {("big", "big"): "ABCD", ("little", "big"): "CDAB", ("big", "little"): "BADC", ("little", "little"): "DCBA"}


def holding(data_type="uint16", word_order="big", **more):
    return ModbusAddress(1, "holding", 0, data_type, word_order, **more)


def decoded(address, words):
    return Codec([address], address.register).decode(np.array(words, dtype=np.uint16))[0]


@pytest.mark.parametrize("data_type", list(TYPES))
@pytest.mark.parametrize("word_order", ["big", "little"])
@given(value=st.floats(-1e6, 1e6, width=32))
@settings(max_examples=20, deadline=None)
def test_every_type_and_word_order_as_pymodbus_reads_and_writes_it(data_type, word_order, value):
    address = holding(data_type, word_order)
    if DATA_TYPES[data_type].family is Family.INTEGER:
        value = float(round(abs(value) % 30000)) * (-1 if DATA_TYPES[data_type].signed and value < 0 else 1)
    theirs = ModbusClientMixin.convert_to_registers(
        value if DATA_TYPES[data_type].family is Family.FLOAT else int(value), TYPES[data_type], word_order=word_order
    )
    assert list(encode(address, value).words) == theirs
    assert decoded(address, theirs) == value


@pytest.mark.parametrize(("orders", "letters"), LETTERS.items())
def test_the_four_orders_of_32_bits_by_their_letters(orders, letters):
    octets = dict(zip("ABCD", struct.pack(">f", -123.456), strict=True))
    words = struct.unpack(">2H", bytes(octets[letter] for letter in letters))
    address = holding("float32", orders[0], byte_order=orders[1])
    assert decoded(address, words) == pytest.approx(-123.456, rel=1e-7)
    assert encode(address, -123.456).words == words


@pytest.mark.parametrize(("orders", "letters"), LETTERS.items())
def test_the_four_orders_of_64_bits(orders, letters):
    octets = struct.pack(">q", -0x0123456789AB)
    words = [octets[at : at + 2] for at in range(0, 8, 2)]
    if orders[0] == "little":
        words.reverse()
    if orders[1] == "little":
        words = [word[::-1] for word in words]
    found = [int.from_bytes(word, "big") for word in words]
    address = holding("int64", orders[0], byte_order=orders[1])
    assert decoded(address, found) == -0x0123456789AB
    assert list(encode(address, -0x0123456789AB).words) == found
    del letters


@pytest.mark.parametrize(
    ("address", "words", "value"),
    [
        (holding("bcd16"), [0x1234], 1234),
        (holding("bcd16"), [0x12A4], math.nan),
        (holding("bcd32"), [0x0012, 0x3456], 123456),
        (holding("bcd32", "little"), [0x3456, 0x0012], 123456),
        (holding("signmag16"), [0x8005], -5),
        (holding("signmag16"), [0x8000], 0),
        (holding("signmag32"), [0x8000, 0x0007], -7),
        (holding("int8"), [0x12FF], -1),
        (holding("int8", bit=8), [0x80FF], -128),
        (holding("uint8"), [0x12FF], 255),
        (holding("uint8", bit=8), [0x12FF], 0x12),
        (holding("bit", bit=4, bits=3), [0b101_0000], 5),
        (holding("uint32", bit=17), [0b10, 0], 1),
        (holding("uint32", "little", bit=17), [0, 0b10], 1),
        (holding("int16", bit=0, bits=4), [0xF], -1),
        (holding("uint16", mask=0x0F0F), [0x1234], 0x0204),
        (holding("uint16", bit=8, bits=8, mask=0x0F00), [0x1234], 2),
        (holding("uint16", byte_order="little"), [0x3412], 0x1234),
        (holding("int16", not_available=(0x8000,)), [0x8000], math.nan),
        (holding("int16", not_available=(0x8000,)), [0x8001], -32767),
        (holding("uint16", not_available=(0xFFFF, 0xFFFE)), [0xFFFE], math.nan),
        (holding("uint32", "little", not_available=(0xFFFFFFFF,)), [0xFFFF, 0xFFFF], math.nan),
        (holding("uint64", not_available=(0xFFFFFFFFFFFFFFFF,)), [0xFFFF] * 4, math.nan),
        (holding("float32", not_available=(0x47C34F80,)), [0x47C3, 0x4F80], math.nan),
        (holding("float32"), [0x7FC0, 0], math.nan),
        (holding("float32"), [0x7F80, 0x0001], math.nan),
        (holding("uint16", values=((4, 1), (1, 0))), [4], 1),
        (holding("uint16", values=((4, 1), (1, 0))), [2], math.nan),
        (holding("int16", values=((-1, 3),)), [0xFFFF], 3),
        (holding("uint16", values=((4, 1), (1, 4))), [1], 4),
        (holding("int16", exponent_register=2), [1234, 0, 0xFFFF], 123.4),
        (holding("int16", exponent_register=1), [12, 2], 1200),
        (holding("int16", exponent_register=1), [12, 0x8000], math.nan),
        (holding("int16", exponent_register=1, not_available=(0x8000,)), [0x8000, 1], math.nan),
        (holding("uint64"), [0x001F, 0xFFFF, 0xFFFF, 0xFFFF], 2.0**53 - 1),
    ],
)
def test_known_vectors(address, words, value):
    assert fault(address) == ""
    found = decoded(address, words)
    assert found == value or (math.isnan(found) and math.isnan(value))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_and_touches_only_its_own_bits(data):
    name = data.draw(st.sampled_from(list(DATA_TYPES)))
    kind = DATA_TYPES[name]
    size = 16 * kind.words
    bit, bits = -1, 1
    if name == "bit" or (kind.family is Family.INTEGER and not kind.width and data.draw(st.booleans())):
        bit = data.draw(st.integers(0, size - 1))
        bits = data.draw(st.integers(1, min(size - bit, 52)))
    elif kind.width:
        bit = data.draw(st.sampled_from([-1, 0, 8]))
    orders = st.sampled_from(["big", "little"])
    address = holding(name, data.draw(orders), bit=bit, bits=bits, byte_order=data.draw(orders))
    assert fault(address) == ""
    if kind.family is Family.FLOAT:
        value = data.draw(st.floats(allow_nan=False, allow_infinity=False, width=32))
    elif kind.family is Family.BCD:
        value = data.draw(st.integers(0, 10 ** (size // 4) - 1))
    elif kind.family is Family.SIGN_MAGNITUDE:
        value = data.draw(st.integers(1 - (1 << (size - 1)), (1 << (size - 1)) - 1))
    else:
        count = min(field_of(address)[1], 52)
        signed = kind.signed and count > 1
        value = data.draw(st.integers(-(1 << (count - 1)) if signed else 0, (1 << (count - 1 if signed else count)) - 1))
    written = encode(address, value)
    before = data.draw(st.lists(st.integers(0, 0xFFFF), min_size=kind.words, max_size=kind.words))
    after = [old & ~mask & 0xFFFF | word for old, word, mask in zip(before, written.words, written.masks, strict=True)]
    assert all(word & ~mask == 0 for word, mask in zip(written.words, written.masks, strict=True))
    assert decoded(address, after) == value


@given(st.lists(st.tuples(st.sampled_from(list(DATA_TYPES)), st.integers(0, 40)), min_size=1, max_size=30), st.data())
@settings(max_examples=60, deadline=None)
def test_a_block_decodes_each_number_as_it_would_alone(rows, data):
    words = np.array(data.draw(st.lists(st.integers(0, 0xFFFF), min_size=44, max_size=44)), dtype=np.uint16)
    for name in {name for name, _ in rows}:
        addresses = [ModbusAddress(1, "input", at, name, bit=3 if name == "bit" else -1) for kind, at in rows if kind == name]
        together = Codec(addresses, 0).decode(words)
        alone = [Codec([address], 0).decode(words)[0] for address in addresses]
        assert np.array_equal(together, alone, equal_nan=True)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (70000, holding()),
        (-1, holding()),
        (40000, holding("int16")),
        (2**32, holding("uint32")),
        (1e39, holding("float32")),
        (math.nan, holding()),
        (math.inf, holding("float64")),
        (10000, holding("bcd16")),
        (-1, holding("bcd32")),
        (-32768, holding("signmag16")),
        (128, holding("int8")),
        (8, holding("bit", bit=0, bits=3)),
        (-32768, holding("int16", not_available=(0x8000,))),
        (3, holding(values=((4, 1), (1, 0)))),
        (0x1000, holding(mask=0x0F0F)),
        (2, ModbusAddress(1, "coil", 0, "bit")),
    ],
)
def test_what_does_not_fit_or_means_something_else_is_refused(value, address):
    with pytest.raises(RegisterError):
        encode(address, value)


@pytest.mark.parametrize(
    ("address", "word"),
    [
        (holding("float80"), "data type"),
        (holding("string"), "a text is no value"),
        (ModbusAddress(1, "coils", 0), "table"),
        (ModbusAddress(1, "holding", 65535, "float32"), "outside"),
        (ModbusAddress(1, "holding", -1), "outside"),
        (holding("bit", bit=16), "bit 16"),
        (holding("bit"), "bit -1"),
        (holding("uint8", bit=4), "low octet"),
        (holding("float32", bit=3), "bit or a mask"),
        (holding("uint16", bit=10, bits=8), "8 bits from bit 10"),
        (holding("uint16", mask=0x10000), "mask"),
        (holding("int16", not_available=(0x8000, 1 << 16)), "wider"),
        (holding(values=((1, 0), (1, 1))), "two values"),
        (holding(values=((1, 0),), exponent_register=4), "both"),
        (holding(word_order="middle"), "word order"),
        (holding(byte_order="middle"), "byte order"),
        (holding(scan_ms=5), "scan period"),
        (ModbusAddress(300, "holding", 0), "unit id"),
        (ModbusAddress(1, "coil", 0, "float32"), "one bit"),
    ],
)
def test_addresses_that_cannot_be_are_told(address, word):
    with pytest.raises(RegisterError, match=word):
        check_address(address)


def test_what_a_reading_needs_and_what_is_a_bit():
    assert span(holding("int32", exponent_register=9)) == (0, 10)
    assert is_bit(holding("bit", bit=2))
    assert is_bit(holding("uint32", bit=20))
    assert not is_bit(holding("bit", bit=2, bits=2))
    assert not is_bit(holding("uint8", bit=8))
