"""OPC UA data values to numbers and quality words, and numbers to variants (OPC 10000-4, 7.11 DataValue and 7.39 StatusCode)."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from scada.core.errors import ProtocolError
from scada.core.quality import Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import Control, ControlKind, Point, PointKind

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SEVERITY: Final = 0xC000_0000
_UNCERTAIN: Final = 0x4000_0000
_CODE: Final = 0xFFFF_0000
_DATA_VALUE: Final = 0x0400
"""Info type *DataValue*: the info bits below mean something (OPC 10000-4, 7.39.1)."""
_OVERFLOW: Final = 0x0080
"""The server's queue of this item lost values."""
_LIMITED: Final = {0x0100: Quality.OUT_OF_RANGE, 0x0200: Quality.OUT_OF_RANGE, 0x0300: Quality.BLOCKED}
"""Limit bits: at its low limit, at its high limit, constant."""
_EXACT: Final = 2**53
"""Whole numbers beyond cannot all be told apart in 64-bit floating point."""

_NOT_TOPICAL: Final = Quality.NOT_TOPICAL
_REFERENCE: Final = Quality.BAD_REFERENCE | Quality.INVALID
_FAILED: Final = Quality.FAILURE | Quality.INVALID
_SUBSTITUTED: Final = Quality.SUBSTITUTED | Quality.QUESTIONABLE

_SPECIAL: Final = {
    StatusCodes.GoodLocalOverride: Quality.SUBSTITUTED,
    StatusCodes.UncertainSubstituteValue: _SUBSTITUTED,
    StatusCodes.UncertainTransducerInManual: _SUBSTITUTED,
    StatusCodes.UncertainSimulatedValue: Quality.TEST | Quality.QUESTIONABLE,
    StatusCodes.UncertainLastUsableValue: Quality.OLD_DATA,
    StatusCodes.UncertainNoCommunicationLastUsableValue: Quality.OLD_DATA | _NOT_TOPICAL,
    StatusCodes.UncertainInitialValue: _NOT_TOPICAL | Quality.QUESTIONABLE,
    StatusCodes.UncertainEngineeringUnitsExceeded: Quality.OUT_OF_RANGE,
    **dict.fromkeys(
        (
            StatusCodes.BadNotConnected,
            StatusCodes.BadNoCommunication,
            StatusCodes.BadCommunicationError,
            StatusCodes.BadServerNotConnected,
            StatusCodes.BadServerHalted,
            StatusCodes.BadConnectionClosed,
            StatusCodes.BadShutdown,
            StatusCodes.BadTimeout,
            StatusCodes.BadRequestTimeout,
            StatusCodes.BadDisconnect,
        ),
        _NOT_TOPICAL,
    ),
    StatusCodes.BadWaitingForInitialData: _NOT_TOPICAL | Quality.INVALID,
    StatusCodes.BadNoData: _NOT_TOPICAL | Quality.INVALID,
    StatusCodes.BadNoDataAvailable: _NOT_TOPICAL | Quality.INVALID,
    StatusCodes.BadDataUnavailable: _NOT_TOPICAL | Quality.INVALID,
    StatusCodes.BadOutOfService: _NOT_TOPICAL | Quality.BLOCKED,
    StatusCodes.BadOutOfRange: Quality.OUT_OF_RANGE | Quality.INVALID,
    **dict.fromkeys((StatusCodes.BadSensorFailure, StatusCodes.BadDeviceFailure), _FAILED),
    **dict.fromkeys(
        (
            StatusCodes.BadNodeIdUnknown,
            StatusCodes.BadNodeIdInvalid,
            StatusCodes.BadAttributeIdInvalid,
            StatusCodes.BadConfigurationError,
            StatusCodes.BadIndexRangeInvalid,
            StatusCodes.BadIndexRangeNoData,
        ),
        _REFERENCE,
    ),
}
"""Codes that say more than their severity; docs/protocols/opcua.md shows the table."""

_STATES: Final = {PointKind.STATUS: (0.0, 1.0), PointKind.DOUBLE: (0.0, 1.0, 2.0, 3.0)}
_FLOAT_MAXIMUM: Final = 3.4028234663852886e38

_INTEGERS: Final = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}


class OpcUaValueError(ProtocolError):
    """A value that the variable cannot take."""


def quality_of(status: int) -> int:
    """Quality word of a status code.

    >>> quality_of(0), quality_of(0x808A0000) == Quality.NOT_TOPICAL
    (0, True)
    """
    limited = _LIMITED.get(status & 0x0300, Quality.GOOD) if status & _DATA_VALUE else Quality.GOOD
    code = status & _CODE
    if code in _SPECIAL:
        return int(_SPECIAL[code] | limited)
    severity = status & _SEVERITY
    if severity == 0:
        return int(limited)
    return int((Quality.QUESTIONABLE if severity == _UNCERTAIN else Quality.INVALID) | limited)


def lost_values(status: int) -> bool:
    """True if the server says that its queue for the item overflowed."""
    return bool(status & _DATA_VALUE and status & _OVERFLOW)


def nanoseconds(stamp: datetime | None) -> int:
    """UTC nanoseconds of a time stamp (aware, or naive in UTC); 0 = none.

    The first and the last moment that the wire can say, 1601 and 9999, mean that there is none (OPC 10000-6, 5.2.2.5). What is
    before 1970, or does not fit into 64 bits, cannot be kept and is none either.
    """
    if stamp is None:
        return 0
    since = (stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)) - _EPOCH
    found = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
    return found if 0 < found < 2**63 else 0


def number(point: Point, raw: Any) -> float:
    """Value in engineering units; NaN if the variable holds no number for this point.

    No number are text (a LocalizedText too), a structure, nothing, NaN and infinity, a missing element, a whole array, a status
    other than 0 and 1, a double point other than 0 to 3, and whole numbers that 64-bit floating point cannot tell apart.
    """
    if isinstance(point.address, OpcUaAddress) and point.address.index >= 0:
        is_array = isinstance(raw, (list, tuple)) and point.address.index < len(raw)
        raw = raw[point.address.index] if is_array else None
    if isinstance(raw, bool):
        # a double point told by a Boolean: false is off (1), true is on (2)
        return float(raw) + (1.0 if point.kind is PointKind.DOUBLE else 0.0)
    if not isinstance(raw, (int, float)) or not math.isfinite(raw) or (isinstance(raw, int) and abs(raw) > _EXACT):
        return math.nan
    value = float(raw) * point.scale + point.offset
    states = _STATES.get(point.kind)
    return value if math.isfinite(value) and (states is None or value in states) else math.nan


def variant(control: Control, value: float, variant_type: ua.VariantType) -> ua.Variant:
    """What to write for a command value.

    Raises:
        OpcUaValueError: the variable's type cannot take it.
    """
    if variant_type is ua.VariantType.Boolean:
        two = control.kind in (ControlKind.DOUBLE, ControlKind.STEP)
        states = {1.0: False, 2.0: True} if two else {0.0: False, 1.0: True}
        if value not in states:
            raise OpcUaValueError(f"{value:g} is no Boolean state", where=control.path, mend=f"use {sorted(states)}")
        return ua.Variant(states[value], variant_type)
    raw = (value - control.offset) / control.scale if control.scale else math.nan
    if not math.isfinite(raw):
        raise OpcUaValueError(f"{value} cannot be written", where=control.path)
    if variant_type in _INTEGERS:
        low, high = _INTEGERS[variant_type]
        if not low <= round(raw) <= high:
            raise OpcUaValueError(f"{raw:g} does not fit into {variant_type.name}", where=control.path)
        return ua.Variant(round(raw), variant_type)
    if variant_type is ua.VariantType.Float and abs(raw) > _FLOAT_MAXIMUM:
        raise OpcUaValueError(f"{raw:g} does not fit into Float", where=control.path)
    if variant_type in (ua.VariantType.Float, ua.VariantType.Double):
        return ua.Variant(raw, variant_type)
    raise OpcUaValueError(f"a variable of type {variant_type.name} cannot be commanded", where=control.path)
