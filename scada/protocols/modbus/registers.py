"""Registers to numbers and back (MODBUS Application Protocol Specification V1.1b3, 4.2 and 4.3; types as vendors use them).

Decoding works on whole blocks: :class:`Codec` turns the registers of one answer into the numbers of all its points of one layout.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from scada.core.errors import ProtocolError
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.modbus import BIT_TABLES, DATA_TYPES, DataType, Family, fault, field_of, width

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint64]
Registers = npt.NDArray[np.uint16]

_BIT: Final = DataType(1, width=1)
_LARGEST_EXPONENT: Final = 10
"""SunSpec's scale factors go from -10 to 10; anything else is no scale factor."""


class RegisterError(ProtocolError):
    """An address or a value that Modbus cannot carry."""


def check_address(address: object) -> ModbusAddress:
    """The address, if it can be read.

    Raises:
        RegisterError: saying what is wrong.
    """
    if not isinstance(address, ModbusAddress):
        raise RegisterError("no Modbus address", mend="give it unit, table and register")
    wrong = fault(address)
    if wrong:
        raise RegisterError(f"the address {wrong}", mend="correct sc:RemotePoint")
    return address


def layout(address: ModbusAddress) -> tuple[DataType, str, str]:
    """What addresses must have in common to be decoded together: type, word order, byte order; signs and fields may differ."""
    if address.table in BIT_TABLES:
        return _BIT, "big", "big"
    data_type = DATA_TYPES[address.data_type]
    common = DataType(data_type.words, data_type.family)
    return common, address.word_order if data_type.words > 1 else "big", address.byte_order


@dataclass(frozen=True, slots=True)
class _Pairs:
    """(row, bit pattern or number, value) triples of all rows, flat."""

    row: I8
    key: U8
    value: F8


class Codec:
    """Decodes the values of one layout from a block of registers.

    Args:
        addresses: with the same :func:`layout`.
        start: first register of the block.

    >>> codec = Codec([ModbusAddress(1, "holding", 40, "float32", "little")], 40)
    >>> codec.decode(np.array([0x0000, 0x4120], dtype=np.uint16)).tolist()
    [10.0]
    """

    def __init__(self, addresses: Sequence[ModbusAddress], start: int) -> None:
        data_type, self._word_order, self._byte_order = layout(addresses[0])
        self._family, self._words = data_type.family, data_type.words
        self._offset = _ints([address.register - start for address in addresses])[:, None] + np.arange(data_type.words)
        fields = [field_of(address) if self._family is Family.INTEGER else (0, 16 * self._words) for address in addresses]
        self._shift = _patterns([first for first, _ in fields])
        self._field = _patterns([(1 << count) - 1 for _, count in fields])
        self._mask = _patterns([address.mask or (1 << 64) - 1 for address in addresses])
        self._sign = _patterns([_sign_bit(address, count) for address, (_, count) in zip(addresses, fields, strict=True)])
        absent = [(row, pattern, 0) for row, address in enumerate(addresses) for pattern in address.not_available]
        self._absent = _pairs(absent)
        named = [(row, raw & (1 << 64) - 1, value) for row, address in enumerate(addresses) for raw, value in address.values]
        self._named = _pairs(named)
        scaled = [row for row, address in enumerate(addresses) if address.exponent_register >= 0]
        self._scaled = _ints(scaled)
        self._exponent = _ints([addresses[row].exponent_register - start for row in scaled])

    def decode(self, registers: Registers) -> F8:
        """Numbers, one for each address, before the scale of the point; NaN where the device has none.

        Args:
            registers: the block, or its coils as 0 and 1.
        """
        octets = self._octets(registers)
        pattern = octets.view(f">u{2 * self._words}")[:, 0].astype(np.uint64)
        field = ((pattern & self._mask) >> self._shift) & self._field
        values = self._numbers(octets, field)
        if len(self._named.row):
            values = self._enumerated(values)
        if len(self._absent.row):
            values[self._absent.row[field[self._absent.row] == self._absent.key]] = math.nan
        if len(self._scaled):
            values[self._scaled] = _to_power(values[self._scaled], registers[self._exponent].view(np.int16))
        return values

    def _octets(self, registers: Registers) -> npt.NDArray[np.uint16]:
        words = registers[self._offset]
        if self._word_order == "little":
            words = words[:, ::-1]
        if self._byte_order == "little":
            words = words.byteswap()
        return np.ascontiguousarray(words, dtype=">u2")

    def _numbers(self, octets: npt.NDArray[np.uint16], field: U8) -> F8:
        if self._family is Family.FLOAT:
            with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN
                return octets.view(f">f{2 * self._words}")[:, 0].astype(np.float64)
        if self._family is Family.BCD:
            places = np.arange(4 * self._words, dtype=np.uint64)
            digits = (field[:, None] >> (np.uint64(4) * places)) & np.uint64(15)
            amount = (digits.astype(np.float64) * 10.0 ** places.astype(np.float64)).sum(axis=1)
            return np.where((digits > 9).any(axis=1), math.nan, amount)
        if self._family is Family.SIGN_MAGNITUDE:
            top = np.uint64(1 << (16 * self._words - 1))
            amount = (field & ~top).astype(np.float64)
            return np.where(field & top != 0, 0.0 - amount, amount)
        signed = ((field ^ self._sign) - self._sign).view(np.int64).astype(np.float64)
        return np.where(self._sign != 0, signed, field.astype(np.float64))

    def _enumerated(self, values: F8) -> F8:
        """Numbers by their enumeration; one that is not in it means nothing we know."""
        named = self._named
        found = values[named.row] == named.key.view(np.int64)
        meant = values.copy()
        meant[named.row] = math.nan
        meant[named.row[found]] = named.value[found]
        return meant


def _ints(values: Sequence[int]) -> I8:
    return np.array(values, dtype=np.int64)


def _patterns(values: Sequence[int]) -> U8:
    return np.array(values, dtype=np.uint64)


def _pairs(rows: Sequence[tuple[int, int, int]]) -> _Pairs:
    return _Pairs(_ints([r for r, _, _ in rows]), _patterns([k for _, k, _ in rows]), np.array([float(v) for *_, v in rows]))


def _sign_bit(address: ModbusAddress, count: int) -> int:
    """The bit of a field that is its sign; 0 for numbers without one."""
    if address.table in BIT_TABLES or not DATA_TYPES[address.data_type].signed or address.mask or count == 1:
        return 0
    return 1 << (count - 1)


def _to_power(values: F8, exponents: npt.NDArray[np.int16]) -> F8:
    exponent = exponents.astype(np.float64)
    known = np.abs(exponent) <= _LARGEST_EXPONENT
    power = 10.0 ** np.where(known, np.abs(exponent), 0.0)
    # 1234 / 10 is 123.4, 1234 * 0.1 is not
    return np.where(known, np.where(exponent < 0, values / power, values * power), math.nan)


# ------------------------------------------------------------ writing


@dataclass(frozen=True, slots=True)
class Written:
    """A number as it goes to the device.

    Attributes:
        words: registers from the first on; of a coil 0 or 1.
        masks: bits of each that belong to the number; the others are not its own to change.
    """

    words: tuple[int, ...]
    masks: tuple[int, ...]

    @property
    def whole(self) -> bool:
        """Every bit of every register is the number's."""
        return all(mask == 0xFFFF for mask in self.masks)


def encode(address: ModbusAddress, value: float) -> Written:
    """Registers of one number, before the scale; integers are rounded to the nearest.

    >>> encode(ModbusAddress(1, "holding", 0, "int32", "little"), -2)
    Written(words=(65534, 65535), masks=(65535, 65535))

    Raises:
        RegisterError: not a number, outside the type's range, not in the enumeration, or a pattern that means "not available".
    """
    if not math.isfinite(value):
        raise RegisterError(f"{value} cannot be written")
    if address.table in BIT_TABLES:
        if value not in (0, 1):
            raise RegisterError(f"{value:g} is no state of a coil", mend="use 0 or 1")
        return Written((int(value),), (1,))
    if address.values:
        value = _raw_of(address, value)
    data_type = DATA_TYPES[address.data_type]
    size = 16 * data_type.words
    if data_type.family is Family.INTEGER:
        pattern, own = _integer(address, value)
    else:
        pattern, own = _pattern(address.data_type, data_type, value), (1 << size) - 1
    return Written(_words(address, pattern, size), _words(address, own, size))


def _raw_of(address: ModbusAddress, value: float) -> int:
    for raw, meaning in address.values:
        if meaning == value:
            return raw
    known = ", ".join(str(meaning) for _, meaning in address.values)
    raise RegisterError(f"{value:g} is not in the enumeration of the register", mend=f"use {known}")


def _integer(address: ModbusAddress, value: float) -> tuple[int, int]:
    """Bit pattern of an integer or a field, and the bits it owns."""
    first, count = field_of(address)
    signed = _sign_bit(address, count) != 0
    low, high = (-(1 << (count - 1)), (1 << (count - 1)) - 1) if signed else (0, (1 << count) - 1)
    number = round(value)
    if not low <= number <= high:
        what = address.data_type if count == 16 * width(address) else f"{count} bits"
        raise RegisterError(f"{number} does not fit into {what} ({low}..{high})")
    field = number & ((1 << count) - 1)
    if field in address.not_available:
        raise RegisterError(f"{number} is the device's sign for not available")
    own = ((1 << count) - 1) << first
    if address.mask:
        own &= address.mask
    pattern = field << first
    if pattern & ~own:
        raise RegisterError(f"{number} has bits outside the mask {address.mask:#x}")
    return pattern, own


def _pattern(name: str, data_type: DataType, value: float) -> int:
    size = 16 * data_type.words
    if data_type.family is Family.FLOAT:
        with np.errstate(over="ignore"):
            number = np.array([value], dtype=f">f{size // 8}")
        if not np.isfinite(number[0]):
            raise RegisterError(f"{value} does not fit into {name}")
        return int.from_bytes(number.tobytes(), "big")
    amount = round(value)
    if data_type.family is Family.BCD:
        if not 0 <= amount < 10 ** (size // 4):
            raise RegisterError(f"{amount} does not fit into {name} (0..{10 ** (size // 4) - 1})")
        return int(str(amount), 16)
    top = 1 << (size - 1)
    if not -top < amount < top:
        raise RegisterError(f"{amount} does not fit into {name} ({1 - top}..{top - 1})")
    return -amount | top if amount < 0 else amount


def _words(address: ModbusAddress, pattern: int, size: int) -> tuple[int, ...]:
    octets = pattern.to_bytes(size // 8, "big")
    order: Literal["big", "little"] = "little" if address.byte_order == "little" else "big"
    words = [int.from_bytes(octets[at : at + 2], order) for at in range(0, len(octets), 2)]
    return tuple(words if address.word_order == "big" else reversed(words))
