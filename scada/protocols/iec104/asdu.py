"""The application service data unit of IEC 60870-5-101/-104 as an object: for the slow path, for commands and for diagnosis.

Field sizes are those of 5-104: cause 2 octets, common address 2, information object address 3. Values in bulk never come this
way (see :mod:`scada.protocols.iec104.codec`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from scada.core.errors import ProtocolError
from scada.protocols.iec104 import cp56

HEADER: Final = 6
MAX_ASDU: Final = 249
MAX_OBJECTS: Final = 127
BROADCAST: Final = 0xFFFF
GENERAL_INTERROGATION: Final = 20
"""QOI of a station interrogation."""
GENERAL_COUNTER_REQUEST: Final = 5
"""QCC: read all integrated totals, no freeze (IEC 60870-5-101, 7.2.6.23)."""


class TypeId(IntEnum):
    """Type identifications used in 5-104 (5-101 table 8 to 13, 5-104 clause 8)."""

    M_SP_NA_1 = 1
    M_DP_NA_1 = 3
    M_ST_NA_1 = 5
    M_BO_NA_1 = 7
    M_ME_NA_1 = 9
    M_ME_NB_1 = 11
    M_ME_NC_1 = 13
    M_IT_NA_1 = 15
    M_PS_NA_1 = 20
    M_ME_ND_1 = 21
    M_SP_TB_1 = 30
    M_DP_TB_1 = 31
    M_ST_TB_1 = 32
    M_BO_TB_1 = 33
    M_ME_TD_1 = 34
    M_ME_TE_1 = 35
    M_ME_TF_1 = 36
    M_IT_TB_1 = 37
    M_EP_TD_1 = 38
    M_EP_TE_1 = 39
    M_EP_TF_1 = 40
    C_SC_NA_1 = 45
    C_DC_NA_1 = 46
    C_RC_NA_1 = 47
    C_SE_NA_1 = 48
    C_SE_NB_1 = 49
    C_SE_NC_1 = 50
    C_BO_NA_1 = 51
    C_SC_TA_1 = 58
    C_DC_TA_1 = 59
    C_RC_TA_1 = 60
    C_SE_TA_1 = 61
    C_SE_TB_1 = 62
    C_SE_TC_1 = 63
    C_BO_TA_1 = 64
    M_EI_NA_1 = 70
    C_IC_NA_1 = 100
    C_CI_NA_1 = 101
    C_RD_NA_1 = 102
    C_CS_NA_1 = 103
    C_TS_NA_1 = 104
    C_RP_NA_1 = 105
    C_CD_NA_1 = 106
    C_TS_TA_1 = 107
    P_ME_NA_1 = 110
    P_ME_NB_1 = 111
    P_ME_NC_1 = 112
    P_AC_NA_1 = 113


class Cause(IntEnum):
    """Causes of transmission (5-101, 7.2.3)."""

    PERIODIC = 1
    BACKGROUND = 2
    SPONTANEOUS = 3
    INITIALISED = 4
    REQUEST = 5
    ACTIVATION = 6
    ACTIVATION_CON = 7
    DEACTIVATION = 8
    DEACTIVATION_CON = 9
    ACTIVATION_TERM = 10
    RETURN_REMOTE = 11
    RETURN_LOCAL = 12
    INTERROGATED = 20
    COUNTER_INTERROGATED = 37
    UNKNOWN_TYPE = 44
    UNKNOWN_CAUSE = 45
    UNKNOWN_COMMON_ADDRESS = 46
    UNKNOWN_OBJECT_ADDRESS = 47


REFUSAL: Final = {
    Cause.UNKNOWN_TYPE: "unknown type identification",
    Cause.UNKNOWN_CAUSE: "unknown cause of transmission",
    Cause.UNKNOWN_COMMON_ADDRESS: "unknown common address",
    Cause.UNKNOWN_OBJECT_ADDRESS: "unknown information object address",
}
"""Negative mirror causes in words."""

ELEMENT_SIZE: Final[dict[int, int]] = {
    1: 1, 3: 1, 5: 2, 7: 5, 9: 3, 11: 3, 13: 5, 15: 5, 20: 5, 21: 2,
    30: 8, 31: 8, 32: 9, 33: 12, 34: 10, 35: 10, 36: 12, 37: 12, 38: 10, 39: 11, 40: 11,
    45: 1, 46: 1, 47: 1, 48: 3, 49: 3, 50: 5, 51: 4, 58: 8, 59: 8, 60: 8, 61: 10, 62: 10, 63: 12, 64: 11,
    70: 1, 100: 1, 101: 1, 102: 0, 103: 7, 104: 2, 105: 1, 106: 2, 107: 9, 110: 3, 111: 3, 112: 5, 113: 1,
}  # fmt: skip
"""Octets of one information element set without its address; a type that is not here is unknown."""

COMMAND_TYPES: Final = frozenset((*range(45, 52), *range(58, 65)))


def untagged(type_id: int) -> int:
    """The type without CP56Time2a that belongs to a type (30 -> 1, 58 -> 45); itself if it has no time.

    >>> untagged(36), untagged(63), untagged(13)
    (13, 50, 13)
    """
    if 30 <= type_id <= 37:
        return 2 * (type_id - 30) + 1
    return type_id - 13 if 58 <= type_id <= 64 else type_id


def tagged(type_id: int) -> int:
    """The type with CP56Time2a that belongs to a monitored type (1 -> 30); itself if there is none.

    >>> tagged(1), tagged(13), tagged(21)
    (30, 36, 21)
    """
    return 30 + (type_id - 1) // 2 if type_id in {1, 3, 5, 7, 9, 11, 13, 15} else type_id


@dataclass(frozen=True, slots=True)
class InformationObject:
    """An address and the octets of its element set."""

    ioa: int
    element: bytes


@dataclass(frozen=True, slots=True)
class Asdu:
    """One ASDU.

    Attributes:
        type_id: type identification, also one that is not in :class:`TypeId`.
        cause: cause of transmission, 0..63.
        common_address: station address.
        objects: its information objects; empty if the type is unknown (then ``body`` keeps the octets).
        negative: P/N bit.
        test: T bit.
        originator: originator address.
        sequence: SQ bit, consecutive addresses.
        body: everything behind the six header octets, as on the wire; empty when built by us.
        count: number of objects in the variable structure qualifier.
    """

    type_id: int
    cause: int
    common_address: int
    objects: tuple[InformationObject, ...]
    negative: bool = False
    test: bool = False
    originator: int = 0
    sequence: bool = False
    body: bytes = b""
    count: int = 0

    @classmethod
    def parse(cls, data: bytes) -> Asdu:
        """Read an ASDU, every length checked first.

        Raises:
            ProtocolError: it is shorter than its header, its length differs from what type and number of objects ask for, or its
                addresses go beyond the last one.
        """
        if len(data) < HEADER:
            raise ProtocolError(f"ASDU of {len(data)} octets is shorter than its header", mend="malformed frame, ignored")
        type_id, vsq, cause, originator, address = struct.unpack_from("<BBBBH", data)
        count, sequence = vsq & 0x7F, bool(vsq & 0x80)
        body = data[HEADER:]
        size = ELEMENT_SIZE.get(type_id)
        objects: tuple[InformationObject, ...] = ()
        if size is not None:
            need = 3 + count * size if sequence else count * (3 + size)
            if count == 0 or need != len(body):
                raise ProtocolError(
                    f"type {type_id} with {count} objects ({'sequence' if sequence else 'single addresses'}) needs {need} octets"
                    f" behind the header, {len(body)} came",
                    mend="malformed frame, ignored",
                )
            if sequence and int.from_bytes(body[:3], "little") + count > 1 << 24:
                raise ProtocolError(f"type {type_id}: {count} addresses go beyond 16777215", mend="malformed frame, ignored")
            objects = _split(body, count, size, sequence=sequence)
        return cls(
            type_id, cause & 0x3F, address, objects, bool(cause & 0x40), bool(cause & 0x80), originator, sequence, body, count
        )

    def encode(self) -> bytes:
        """Octets of the ASDU (objects with their own addresses; ``body`` as it is where there are no objects)."""
        cause = self.cause | (0x40 if self.negative else 0) | (0x80 if self.test else 0)
        if self.body:
            vsq, body = self.count | (0x80 if self.sequence else 0), self.body
        else:
            vsq = len(self.objects)
            body = b"".join(item.ioa.to_bytes(3, "little") + item.element for item in self.objects)
        return struct.pack("<BBBBH", self.type_id, vsq, cause, self.originator, self.common_address) + body

    def mirror(self, cause: int, *, negative: bool = False, common_address: int | None = None) -> Asdu:
        """The same ASDU sent back with another cause (5-101, 7.2.3.1)."""
        address = self.common_address if common_address is None else common_address
        return Asdu(
            self.type_id, cause, address, self.objects, negative, self.test, self.originator, self.sequence, self.body, self.count
        )


def _split(body: bytes, count: int, size: int, *, sequence: bool) -> tuple[InformationObject, ...]:
    if sequence:
        first = int.from_bytes(body[:3], "little")
        return tuple(InformationObject(first + i, body[3 + i * size : 3 + (i + 1) * size]) for i in range(count))
    step = 3 + size
    return tuple(
        InformationObject(int.from_bytes(body[at : at + 3], "little"), body[at + 3 : at + step])
        for at in range(0, count * step, step)
    )


def single(type_id: int, cause: int, common_address: int, ioa: int, element: bytes, *, originator: int = 0) -> Asdu:
    """An ASDU with one object.

    >>> single(100, 6, 1, 0, bytes([20])).encode().hex()
    '64010600010000000014'
    """
    return Asdu(type_id, cause, common_address, (InformationObject(ioa, element),), originator=originator, count=1)


@dataclass(frozen=True, slots=True)
class CommandElement:
    """What a command of types 45-51 and 58-64 says.

    Attributes:
        value: single 0/1, double and step 0..3, set-point on the wire's own scale (normalized -1 .. 1-2**-15), bit string.
        qualifier: QU (0..31) or QL (0..127).
        select: S/E bit; a bit string has none.
        time: seven octets of CP56Time2a, or empty.
    """

    value: float
    qualifier: int = 0
    select: bool = False
    time: bytes = b""

    def same_order(self, other: CommandElement) -> bool:
        """Same value and qualifier, whatever S/E and time say."""
        return self.value == other.value and self.qualifier == other.qualifier


def encode_command(type_id: int, command: CommandElement) -> bytes:
    """Octets of a command element.

    Raises:
        ValueError: the value does not fit the type, so nothing may be sent.
    """
    base = untagged(type_id)
    value = command.value
    mark = 0x80 if command.select else 0
    if base in {45, 46, 47}:
        if value not in ((0, 1) if base == 45 else (1, 2)):
            raise ValueError(f"{value:g} is not a value of a command of type {type_id}")
        element = bytes([int(value) | command.qualifier << 2 | mark])
    elif base == 48:
        element = struct.pack("<hB", _int16(value * 32768, type_id), command.qualifier | mark)
    elif base == 49:
        element = struct.pack("<hB", _int16(value, type_id), command.qualifier | mark)
    elif base == 50:
        element = struct.pack("<fB", _float32(value), command.qualifier | mark)
    elif base == 51:
        if command.select or not 0 <= value < 1 << 32 or value != int(value):
            raise ValueError("a bit string command takes a whole number of 32 bits and cannot be selected")
        element = struct.pack("<I", int(value))
    else:
        raise ValueError(f"type {type_id} is not a command")
    return element + command.time


def _int16(value: float, type_id: int) -> int:
    if not -32768.5 < value < 32767.5:  # false for NaN too
        raise ValueError(f"{value:g} is outside the 16 bits of type {type_id}")
    return round(value)


def _float32(value: float) -> float:
    try:
        (packed,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError as error:
        raise ValueError(f"{value:g} is outside a short float") from error
    if value - value != 0:
        raise ValueError("a set-point must be a finite number")
    return float(packed)


def decode_command(type_id: int, element: bytes) -> CommandElement:
    """Read a command element whose length :meth:`Asdu.parse` has checked.

    Raises:
        ValueError: the type is not a command.
    """
    base = untagged(type_id)
    time = element[-cp56.SIZE :] if type_id >= 58 else b""
    if base in {45, 46, 47}:
        octet = element[0]
        return CommandElement(octet & (1 if base == 45 else 3), octet >> 2 & 0x1F, bool(octet & 0x80), time)
    if base in {48, 49}:
        number, mark = struct.unpack_from("<hB", element)
        return CommandElement(number / 32768 if base == 48 else float(number), mark & 0x7F, bool(mark & 0x80), time)
    if base == 50:
        number, mark = struct.unpack_from("<fB", element)
        return CommandElement(number, mark & 0x7F, bool(mark & 0x80), time)
    if base == 51:
        return CommandElement(float(struct.unpack_from("<I", element)[0]), 0, False, time)
    raise ValueError(f"type {type_id} is not a command")
