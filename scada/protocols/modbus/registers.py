"""Registers to values and back (MODBUS Application Protocol Specification V1.1b3, 4.2 and 4.3; types as vendors use them)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scada.core.errors import ProtocolError
from scada.model_cim.tables import ModbusAddress

F8 = npt.NDArray[np.float64]
Registers = npt.NDArray[np.uint16]

DATA_TYPES: Final[dict[str, np.dtype[Any]]] = {
    "int16": np.dtype(">i2"),
    "uint16": np.dtype(">u2"),
    "int32": np.dtype(">i4"),
    "uint32": np.dtype(">u4"),
    "float32": np.dtype(">f4"),
    "float64": np.dtype(">f8"),
}
"""Types of whole registers; ``bit`` is one coil, one discrete input or one bit of a register."""

BIT_TABLES: Final = ("coil", "discrete")
WORD_TABLES: Final = ("holding", "input")


class RegisterError(ProtocolError):
    """An address or a value that Modbus cannot carry."""


def width(address: ModbusAddress) -> int:
    """Registers (or coils) a value takes."""
    return 1 if is_bit(address) else DATA_TYPES[address.data_type].itemsize // 2


def is_bit(address: ModbusAddress) -> bool:
    """True for coils, discrete inputs and bits of registers."""
    return address.table in BIT_TABLES or address.bit >= 0 or address.data_type == "bit"


def check_address(address: object) -> ModbusAddress:
    """The address, if it can be read.

    Raises:
        RegisterError: saying what is wrong.
    """
    if not isinstance(address, ModbusAddress):
        raise RegisterError("no Modbus address", mend="give it unit, table and register")
    if address.table not in (*BIT_TABLES, *WORD_TABLES):
        raise RegisterError(f"no Modbus table {address.table!r}", mend="use coil, discrete, holding or input")
    if address.data_type != "bit" and address.data_type not in DATA_TYPES:
        raise RegisterError(f"no Modbus data type {address.data_type!r}", mend=f"use bit, {', '.join(DATA_TYPES)}")
    if address.word_order not in ("big", "little"):
        raise RegisterError(f"no word order {address.word_order!r}", mend="use big or little")
    if address.table in WORD_TABLES and is_bit(address) and not 0 <= address.bit <= 15:
        raise RegisterError(f"bit {address.bit} of a 16-bit register", mend="use 0..15")
    if not 0 <= address.register <= 65536 - width(address):
        raise RegisterError(f"register {address.register} is outside 0..65535", mend="registers are counted from 0")
    if not 0 <= address.unit_id <= 255:
        raise RegisterError(f"unit id {address.unit_id} is outside 0..255")
    return address


def decode_words(registers: Registers, offsets: npt.NDArray[np.int64], data_type: str, word_order: str) -> F8:
    """Numbers of one type from a block of registers.

    >>> registers = np.array([0x0000, 0x4120, 7], dtype=np.uint16)
    >>> decode_words(registers, np.array([0]), "float32", "little").tolist()
    [10.0]

    Args:
        registers: the block.
        offsets: first register of each number within the block.
        data_type: key of :data:`DATA_TYPES`.
        word_order: ``big`` (most significant register first) or ``little``.
    """
    dtype = DATA_TYPES[data_type]
    words = registers[offsets[:, None] + np.arange(dtype.itemsize // 2)]
    if word_order == "little":
        words = words[:, ::-1]
    return np.ascontiguousarray(words, dtype=">u2").view(dtype)[:, 0].astype(np.float64)


def encode_words(value: float, data_type: str, word_order: str) -> list[int]:
    """Registers of one number; integers are rounded to the nearest.

    Raises:
        RegisterError: not a number, or outside the type's range.
    """
    dtype = DATA_TYPES[data_type]
    if not math.isfinite(value):
        raise RegisterError(f"{value} cannot be written")
    if dtype.kind in "iu":
        value = round(value)
        limits = np.iinfo(dtype)
        if not limits.min <= value <= limits.max:
            raise RegisterError(f"{value} does not fit into {data_type} ({limits.min}..{limits.max})")
    elif abs(value) > float(np.finfo(dtype).max):
        raise RegisterError(f"{value} does not fit into {data_type}")
    words: Sequence[int] = np.array([value], dtype=dtype).view(">u2").tolist()
    return list(words if word_order == "big" else reversed(words))
