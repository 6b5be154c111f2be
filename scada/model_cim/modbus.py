"""Modbus addresses of the model: data types, what an address may say, and how RemotePoint attributes read.

The Modbus standard knows bits and 16-bit registers only (MODBUS Application Protocol Specification V1.1b3, 4.3); every wider type
is a habit of vendors, so types, orders and "not available" patterns are named point by point.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.cim import CimModel

TRANSPORTS: Final = ("modbus-tcp", "modbus-tls", "modbus-rtu", "modbus-rtu-tcp")
"""Protocols a RemoteUnit may name. ``modbus-rtu`` is a serial line: its ``host`` is the device file, and it has no port."""
BIT_TABLES: Final = ("coil", "discrete")
WORD_TABLES: Final = ("holding", "input")
WRITABLE: Final = ("coil", "holding")
UNIT_PARAMETERS: Final = frozenset(
    [
        "maxRegisters",
        "maxBits",
        "maxGap",
        "maxBitGap",
        "holes",
        "timeoutS",
        "readRetries",
        "gapMs",
        "maxRequestsS",
        "maskWrite",
        "readModifyWrite",
        "writeMultiple",
        "readWrite",
        "readBack",
    ]
)
"""What an ``sc:Device`` says of its unit; handed to the driver as ``unit.<id>.<name>``."""


class Family(StrEnum):
    """How the bits of a number are to be understood."""

    INTEGER = "integer"
    FLOAT = "float"
    """IEEE 754."""
    BCD = "bcd"
    """Four bits a decimal digit."""
    SIGN_MAGNITUDE = "sign-magnitude"
    """The highest bit is the sign, the others the amount."""


@dataclass(frozen=True, slots=True)
class DataType:
    """A type of number in registers.

    Attributes:
        words: registers it takes.
        family: how its bits are understood.
        signed: of integers, two's complement.
        width: bits of the value where it is narrower than its register, else 0.
    """

    words: int
    family: Family = Family.INTEGER
    signed: bool = False
    width: int = 0


DATA_TYPES: Final[dict[str, DataType]] = {
    "bit": DataType(1, width=1),
    "int8": DataType(1, signed=True, width=8),
    "uint8": DataType(1, width=8),
    "int16": DataType(1, signed=True),
    "uint16": DataType(1),
    "int32": DataType(2, signed=True),
    "uint32": DataType(2),
    "int64": DataType(4, signed=True),
    "uint64": DataType(4),
    "float32": DataType(2, Family.FLOAT),
    "float64": DataType(4, Family.FLOAT),
    "bcd16": DataType(1, Family.BCD),
    "bcd32": DataType(2, Family.BCD),
    "signmag16": DataType(1, Family.SIGN_MAGNITUDE),
    "signmag32": DataType(2, Family.SIGN_MAGNITUDE),
}
"""Types by their name in ``sc:RemotePoint.dataType``. Integers of 64 bits are exact up to 2**53: a value is a double."""


def is_bit(address: ModbusAddress) -> bool:
    """True where the value is one bit: coils, discrete inputs, one bit of a register."""
    if address.table in BIT_TABLES:
        return True
    return address.bits == 1 and (address.data_type == "bit" or (address.bit >= 0 and not DATA_TYPES[address.data_type].width))


def width(address: ModbusAddress) -> int:
    """Registers (or coils) the number takes, without the one of its exponent."""
    return 1 if address.table in BIT_TABLES else DATA_TYPES[address.data_type].words


def span(address: ModbusAddress) -> tuple[int, int]:
    """First register and the one after the last that a reading of the value needs."""
    start, end = address.register, address.register + width(address)
    if address.exponent_register < 0:
        return start, end
    return min(start, address.exponent_register), max(end, address.exponent_register + 1)


def field_of(address: ModbusAddress) -> tuple[int, int]:
    """(first bit, width) of the value within the whole number of its registers; of integers only.

    >>> field_of(ModbusAddress(1, "holding", 0, "uint8", bit=8))
    (8, 8)
    """
    if address.table in BIT_TABLES:
        return 0, 1
    data_type = DATA_TYPES[address.data_type]
    if data_type.width == 8:
        return max(address.bit, 0), 8
    if address.bit >= 0:
        return address.bit, address.bits
    return 0, 16 * data_type.words


def fault(address: ModbusAddress) -> str:
    """What is wrong with an address in one sentence that follows its owner's name; empty if nothing is."""
    return next(_faults(address), "")


def _faults(address: ModbusAddress) -> Iterator[str]:
    if address.table not in (*BIT_TABLES, *WORD_TABLES):
        yield f"has Modbus table {address.table!r}, not one of {', '.join((*BIT_TABLES, *WORD_TABLES))}"
    if address.data_type == "string":
        yield "has data type 'string': a text is no value of a point"
    if address.data_type not in DATA_TYPES:
        yield f"has data type {address.data_type!r}, not one of {', '.join(DATA_TYPES)}"
    for name, order in (("word", address.word_order), ("byte", address.byte_order)):
        if order not in ("big", "little"):
            yield f"has {name} order {order!r}, not big or little"
    if not 0 <= address.unit_id <= 255:
        yield f"has unit id {address.unit_id}, outside 0..255"
    start, end = span(address)
    if not 0 <= start < end <= 65536:
        yield f"has no register, or registers {start}..{end - 1} outside 0..65535"
    if address.scan_ms and not 20 <= address.scan_ms <= 86_400_000:
        yield f"has a scan period of {address.scan_ms} ms, outside 20..86400000"
    raws = [raw for raw, _ in address.values]
    if len(set(raws)) < len(raws):
        yield "has two values for one raw number"
    if address.table in WORD_TABLES:
        yield from _bit_faults(address)
    elif address.data_type not in ("bit", "uint16") or address.bit > 0 or address.mask or address.exponent_register >= 0:
        yield f"has a data type, bit, mask or exponent that a {address.table} cannot have: it is one bit"


def _bit_faults(address: ModbusAddress) -> Iterator[str]:
    data_type = DATA_TYPES[address.data_type]
    size = 16 * data_type.words
    if address.data_type == "bit" and not 0 <= address.bit <= 15:
        yield f"has bit {address.bit} of a 16-bit register, not 0..15"
    if data_type.width == 8 and address.bit not in (-1, 0, 8):
        yield f"has bit {address.bit}: {address.data_type} is the low octet (bit 0) or the high one (bit 8) of a register"
    if data_type.family is not Family.INTEGER and (address.bit >= 0 or address.mask):
        yield f"has a bit or a mask in a {address.data_type}"
    first, count = field_of(address) if data_type.family is Family.INTEGER else (0, size)
    if not (0 <= first < size and 1 <= count <= size - first):
        yield f"has {count} bits from bit {first} in a number of {size} bits"
    if not 0 <= address.mask < 1 << size:
        yield f"has mask {address.mask:#x}, wider than its {size} bits"
    if any(not 0 <= pattern < 1 << count for pattern in address.not_available):
        yield f"has a pattern for not available that is wider than its {count} bits"
    if address.values and address.exponent_register >= 0:
        yield "has both an enumeration and an exponent"


def modbus_text(address: ModbusAddress) -> str:
    """An address as a person reads it.

    >>> modbus_text(ModbusAddress(3, "holding", 14, "int32", "little", exponent_register=16))
    'unit 3 holding 14 int32 CDAB x10^[16]'
    >>> modbus_text(ModbusAddress(3, "holding", 5, "bit", bit=4, bits=3))
    'unit 3 holding 5 bit 4..6 bit'
    """
    words = [f"unit {address.unit_id} {address.table} {address.register}"]
    if address.bit >= 0:
        words.append(f"bit {address.bit}" + (f"..{address.bit + address.bits - 1}" if address.bits > 1 else ""))
    words.append(address.data_type)
    letters = _LETTERS[address.word_order == "big", address.byte_order == "big"]
    if letters != "ABCD":
        words.append(letters)
    if address.exponent_register >= 0:
        words.append(f"x10^[{address.exponent_register}]")
    return " ".join(words)


_LETTERS: Final = {(True, True): "ABCD", (False, True): "CDAB", (True, False): "BADC", (False, False): "DCBA"}


# ------------------------------------------------------------ reading the model


def read_address(model: CimModel, point: str, unit: str) -> ModbusAddress | str:
    """Address of a RemoteSource or RemoteControl, or what is wrong with it."""
    fractions: list[str] = []

    def number(name: str, default: float = -1.0) -> int:
        value = model.number(point, f"sc:RemotePoint.{name}", default)
        if value != int(value):
            fractions.append(f"has {name} {value:g}, which is no whole number")
        return int(value)

    def text(name: str, default: str = "") -> str:
        return model.text(point, f"sc:RemotePoint.{name}") or default

    try:
        mask = int(text("mask", "0"), 0)
        not_available = tuple(int(word, 0) for word in text("notAvailable").replace(",", " ").split())
    except ValueError as error:
        return f"has a mask or notAvailable that is no number ({error})"
    values = _enumeration(text("values"))
    if isinstance(values, str):
        return values
    address = ModbusAddress(
        unit_id=number("unitId", model.number(unit, "sc:RemoteUnit.unitId", 1.0)),
        table=text("table"),
        register=number("register"),
        data_type=text("dataType", "uint16"),
        word_order=text("wordOrder", "big"),
        bit=number("bit"),
        bits=number("bits", 1.0),
        byte_order=text("byteOrder", "big"),
        mask=mask,
        not_available=not_available,
        values=values,
        exponent_register=number("exponentRegister"),
        scan_ms=number("scanMs", 0.0),
    )
    return next(iter(fractions), "") or fault(address) or address


def unit_parameters(model: CimModel, unit: str) -> dict[str, str]:
    """What the devices of a channel say of their units, named as if the channel said it: ``unit.7.timeoutS``."""
    found: dict[str, str] = {}
    for device in model.refs_to(unit, "sc:Device.RemoteUnit"):
        number = int(model.number(device, "sc:Device.unitId", model.number(unit, "sc:RemoteUnit.unitId", 1.0)))
        for name in sorted(UNIT_PARAMETERS):
            text = model.text(device, f"sc:Device.{name}")
            if text is not None:
                found.setdefault(f"unit.{number}.{name}", text)
    return found


def _enumeration(text: str) -> tuple[tuple[int, int], ...] | str:
    """``1=0 4=1`` as pairs.

    >>> _enumeration("1=0, 4=1")
    ((1, 0), (4, 1))
    """
    pairs = []
    for word in text.replace(",", " ").split():
        found = re.fullmatch(r"(-?(?:0[xX][0-9a-fA-F]+|\d+))=(-?\d+)", word)
        if found is None:
            return f"has {word!r} in its values, which is not raw=value"
        raw = found[1].lstrip("-")
        number = int(raw, 16) if raw[:2].lower() == "0x" else int(raw)
        pairs.append((-number if found[1].startswith("-") else number, int(found[2])))
    return tuple(pairs)
