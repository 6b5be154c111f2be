"""Where a point or control is found in the words of its protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Iec104Address:
    """Address of an information object."""

    common_address: int
    ioa: int
    type_id: int
    """Type identification expected (monitoring) or used (control)."""


@dataclass(frozen=True, slots=True)
class ModbusAddress:
    """Address of a Modbus value; what the fields may hold is checked by :func:`scada.model_cim.modbus.fault`."""

    unit_id: int
    table: str
    """``coil``, ``discrete``, ``holding`` or ``input``."""
    register: int
    """0-based."""
    data_type: str = "uint16"
    """Name in :data:`scada.model_cim.modbus.DATA_TYPES`."""
    word_order: str = "big"
    """Of several registers the most significant comes first (``big``) or last (``little``)."""
    bit: int = -1
    """First bit of a field, counted from the least significant one of the whole number; -1 = the whole number."""
    bits: int = 1
    """Width of the field."""
    byte_order: str = "big"
    """Order of the octets within each register."""
    mask: int = 0
    """Bits that count, before the field is taken; 0 = all."""
    not_available: tuple[int, ...] = ()
    """Bit patterns by which the device says that it has no value."""
    values: tuple[tuple[int, int], ...] = ()
    """(raw number, value) pairs of an enumeration; others are invalid. Empty = the number itself."""
    exponent_register: int = -1
    """Register of the same table with a power of ten (int16) that the number is to be multiplied by; -1 = none."""
    scan_ms: int = 0
    """Period of the scan; 0 = the channel's."""


@dataclass(frozen=True, slots=True)
class OpcUaAddress:
    """Address of an OPC UA variable."""

    node_id: str
    """As written in OPC UA, e.g. ``ns=2;s=PV1.P``."""
    index: int = -1
    """Element of an array, counted from 0; -1 = the variable itself."""


@dataclass(frozen=True, slots=True)
class PlainAddress:
    """Address in the words of a protocol that has no class of its own here; only its driver reads it."""

    text: str
    """As written in ``sc:RemotePoint.address``."""


Address = Iec104Address | ModbusAddress | OpcUaAddress | PlainAddress
