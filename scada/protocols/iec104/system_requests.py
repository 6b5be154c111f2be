"""What a controlling station asks of a station besides commands: interrogations, read, time, test, reset and parameters.

A :class:`Request` is one ASDU to one common address and the rule by which it ends (5-101, 7.4). The machine that
sends requests and judges the answers is :mod:`scada.protocols.iec104.procedures`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum, IntEnum
from typing import Final

from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import (
    BROADCAST,
    GENERAL_COUNTER_REQUEST,
    GENERAL_INTERROGATION,
    REFUSAL,
    Asdu,
    Cause,
    CommandElement,
    TypeId,
    encode_command,
    single,
)

FIXED_TEST_PATTERN: Final = b"\xaa\x55"
"""FBP of a test command without time (5-101, 7.2.6.14)."""


class End(Enum):
    """What ends a request."""

    CONFIRMATION = "confirmed"
    TERMINATION = "terminated"
    VALUE = "answered"


class Freeze(IntEnum):
    """FRZ of a counter interrogation (5-101, 7.2.6.23)."""

    READ = 0
    FREEZE = 1
    FREEZE_RESET = 2
    RESET = 3


_FREEZE_WORDS: Final = {
    Freeze.READ: "",
    Freeze.FREEZE: " (freeze)",
    Freeze.FREEZE_RESET: " (freeze and reset)",
    Freeze.RESET: " (reset)",
}
_NAMES: Final[dict[int, str]] = {
    TypeId.C_IC_NA_1: "interrogation",
    TypeId.C_CI_NA_1: "counter_interrogation",
    TypeId.C_RD_NA_1: "read",
    TypeId.C_CS_NA_1: "clock_sync",
    TypeId.C_TS_NA_1: "test",
    TypeId.C_RP_NA_1: "reset_process",
    TypeId.C_TS_TA_1: "test",
    TypeId.P_ME_NA_1: "parameter",
    TypeId.P_ME_NB_1: "parameter",
    TypeId.P_ME_NC_1: "parameter",
    TypeId.P_AC_NA_1: "parameter_activation",
}
_WORDS: Final[dict[int, str]] = {
    TypeId.C_CS_NA_1: "clock synchronisation",
    TypeId.C_RP_NA_1: "reset of the process",
    TypeId.P_AC_NA_1: "activation of the parameter",
}
REQUEST_TYPES: Final = frozenset(_NAMES)
_QUALIFIED: Final = frozenset({TypeId.C_IC_NA_1, TypeId.C_CI_NA_1, TypeId.C_RP_NA_1, TypeId.P_AC_NA_1})
"""Types whose one octet says what is asked, so that answers of two requests to one station are told apart."""
_PARAMETERS: Final = frozenset({TypeId.P_ME_NA_1, TypeId.P_ME_NB_1, TypeId.P_ME_NC_1})
_BROADCAST_ALLOWED: Final = frozenset({TypeId.C_IC_NA_1, TypeId.C_CI_NA_1, TypeId.C_CS_NA_1, TypeId.C_RP_NA_1})

Key = tuple[int, int, int, int, bool]
"""Type, common address, object address, qualifier and "deactivates": what an answer has in common with its request."""


@dataclass(frozen=True, slots=True)
class Request:
    """One ASDU in control direction.

    Attributes:
        type_id: type identification.
        common_address: station.
        element: octets of the element, without a time.
        ioa: information object address; 0 where the type has none.
        stamped: the time of sending follows the element.
        cause: activation, request or deactivation.
        then: what is asked after this one was confirmed.
    """

    type_id: int
    common_address: int
    element: bytes = b""
    ioa: int = 0
    stamped: bool = False
    cause: int = Cause.ACTIVATION
    then: Request | None = None

    @property
    def name(self) -> str:
        """Kind of the request, as in the keys of notices."""
        return _NAMES[self.type_id]

    @property
    def words(self) -> str:
        """As people say it, with group and address."""
        words = _WORDS.get(self.type_id, self.name.replace("_", " ")) + (f" of group {self.group}" if self.group else "")
        if self.type_id == TypeId.C_CI_NA_1:
            words += _FREEZE_WORDS[Freeze(self.element[0] >> 6)]
        if self.cause == Cause.DEACTIVATION:
            words = f"cancel of the {words}"
        return f"{words} of CA {self.common_address}" + (f" IOA {self.ioa}" if self.ioa else "")

    @property
    def group(self) -> int:
        """Group of an interrogation, 0 = all."""
        if self.type_id == TypeId.C_IC_NA_1:
            return self.element[0] - GENERAL_INTERROGATION
        if self.type_id == TypeId.C_CI_NA_1:
            asked = self.element[0] & 0x3F
            return 0 if asked == GENERAL_COUNTER_REQUEST else asked
        return 0

    @property
    def is_general(self) -> bool:
        """A station interrogation: all values are asked for."""
        return self.type_id == TypeId.C_IC_NA_1 and not self.group and self.cause == Cause.ACTIVATION

    @property
    def data_cause(self) -> int:
        """Cause of the values that answer an interrogation (20 .. 36, 37 .. 41); 0 = no values answer."""
        if self.ends is not End.TERMINATION:
            return 0
        base = Cause.INTERROGATED if self.type_id == TypeId.C_IC_NA_1 else Cause.COUNTER_INTERROGATED
        return base + self.group

    @property
    def ends(self) -> End:
        """What ends it. A freeze or reset of totals is only confirmed, their reading is terminated."""
        if self.type_id == TypeId.C_RD_NA_1:
            return End.VALUE
        interrogates = self.type_id == TypeId.C_IC_NA_1 or (self.type_id == TypeId.C_CI_NA_1 and self.element[0] < 0x40)
        return End.TERMINATION if interrogates and self.cause == Cause.ACTIVATION else End.CONFIRMATION

    @property
    def confirming(self) -> int:
        """Cause that confirms it."""
        return Cause.DEACTIVATION_CON if self.cause == Cause.DEACTIVATION else Cause.ACTIVATION_CON

    @property
    def key(self) -> Key:
        """What its answers are found by."""
        return _key(self.type_id, self.common_address, self.ioa, self.element, deactivates=self.cause == Cause.DEACTIVATION)

    @property
    def broadcasts(self) -> bool:
        """It may be sent to all stations at once (CA 65535)."""
        return self.type_id in _BROADCAST_ALLOWED

    def encode(self, now_ns: int, zone_minutes: int, originator: int, *, everywhere: bool = False) -> bytes:
        """The ASDU to send now."""
        element = self.element + (cp56.to_octets(now_ns, zone_minutes) if self.stamped else b"")
        address = BROADCAST if everywhere else self.common_address
        return single(self.type_id, self.cause, address, self.ioa, element, originator=originator).encode()


def keys_of(asdu: Asdu, common_address: int) -> tuple[Key, ...]:
    """What an answer may be found by; a refusal (44 .. 47) does not say whether it was an activation."""
    item = asdu.objects[0]
    meanings = (False, True) if asdu.cause in REFUSAL else (asdu.cause == Cause.DEACTIVATION_CON,)
    return tuple(_key(asdu.type_id, common_address, item.ioa, item.element, deactivates=off) for off in meanings)


def _key(type_id: int, common_address: int, ioa: int, element: bytes, *, deactivates: bool) -> Key:
    qualifier = element[-1] if type_id in _PARAMETERS else element[0] if type_id in _QUALIFIED else 0
    return type_id, common_address, ioa, qualifier, deactivates


def interrogation(common_address: int, group: int = 0) -> Request:
    """Station interrogation (group 0) or that of group 1 .. 16.

    >>> interrogation(1, 3).encode(0, 0, 0).hex()
    '64010600010000000017'
    """
    if not 0 <= group <= 16:
        raise ValueError(f"an interrogation has the groups 1 .. 16 (0 = all), not {group}")
    return Request(TypeId.C_IC_NA_1, common_address, bytes([GENERAL_INTERROGATION + group]))


def cancel(request: Request) -> Request:
    """Stop a running interrogation (deactivation)."""
    return replace(request, cause=Cause.DEACTIVATION, then=None)


def counters(common_address: int, group: int = 0, freeze: Freeze = Freeze.READ) -> Request:
    """Counter interrogation: read, freeze, freeze with reset, or reset the totals of a group (0 = all).

    >>> counters(1, 2, Freeze.FREEZE_RESET).encode(0, 0, 0).hex()
    '65010600010000000082'
    """
    if not 0 <= group <= 4:
        raise ValueError(f"a counter interrogation has the groups 1 .. 4 (0 = all), not {group}")
    return Request(TypeId.C_CI_NA_1, common_address, bytes([(group or GENERAL_COUNTER_REQUEST) | freeze << 6]))


def frozen_counters(common_address: int, group: int, freeze: Freeze) -> Request:
    """Freeze the totals of a group, then read what was frozen."""
    return replace(counters(common_address, group, freeze), then=counters(common_address, group))


def read(common_address: int, ioa: int) -> Request:
    """Read one object; its value answers with cause 5, there is no confirmation."""
    if not 0 < ioa < 1 << 24:
        raise ValueError(f"an information object address is 1 .. 16777215, not {ioa}")
    return Request(TypeId.C_RD_NA_1, common_address, b"", ioa, cause=Cause.REQUEST)


def clock(common_address: int) -> Request:
    """Set the station's clock to the time of sending."""
    return Request(TypeId.C_CS_NA_1, common_address, stamped=True)


def probe(common_address: int, counter: int | None = None) -> Request:
    """Test the way to the application: with a counter and the time (107), or with the fixed pattern (104, older stations)."""
    if counter is None:
        return Request(TypeId.C_TS_NA_1, common_address, FIXED_TEST_PATTERN)
    return Request(TypeId.C_TS_TA_1, common_address, struct.pack("<H", counter & 0xFFFF), stamped=True)


def reset_process(common_address: int, qualifier: int = 1) -> Request:
    """Restart the station's process (1) or throw its buffered time-tagged events away (2)."""
    if not 1 <= qualifier <= 2:
        raise ValueError(f"reset process has the qualifiers 1 (general) and 2 (event buffer), not {qualifier}")
    return Request(TypeId.C_RP_NA_1, common_address, bytes([qualifier]))


def parameter(common_address: int, ioa: int, type_id: int, value: float, kind: int) -> Request:
    """Load a parameter of a measured value (110 normalized, 111 scaled, 112 short float), on the wire's own scale.

    Args:
        common_address: station.
        ioa: address of the parameter.
        type_id: 110, 111 or 112.
        value: what to load.
        kind: KPA: 1 threshold, 2 smoothing factor, 3 low limit, 4 high limit of transmission.

    Raises:
        ValueError: something is out of its range.
    """
    if type_id not in _PARAMETERS:
        raise ValueError(f"type {type_id} is no parameter of a measured value")
    if not 0 < ioa < 1 << 24 or not 1 <= kind <= 63:
        raise ValueError(f"parameter at IOA {ioa} of kind {kind}: addresses are 1 .. 16777215, kinds 1 .. 63")
    octets = encode_command(type_id - 62, CommandElement(value))[:-1]  # NVA, SVA and R32 are those of set-points 48 .. 50
    return Request(type_id, common_address, octets + bytes([kind]), ioa)


def activation(common_address: int, ioa: int, qualifier: int = 3, *, activate: bool = True) -> Request:
    """Activate or deactivate a parameter (113): 1 all loaded ones, 2 those of the object, 3 cyclic transmission of the object."""
    if not 0 <= ioa < 1 << 24 or not 1 <= qualifier <= 3:
        raise ValueError(f"parameter activation at IOA {ioa} with qualifier {qualifier}: qualifiers are 1 .. 3")
    cause = Cause.ACTIVATION if activate else Cause.DEACTIVATION
    return Request(TypeId.P_AC_NA_1, common_address, bytes([qualifier]), ioa, cause=cause)
