"""IEC 60870-5-104 frames in one line each, for people: pure, for live traces and logs.

Values are on the wire's own scale (normalized -1 .. 1-2**-15), times as the station wrote them, without a time zone. Quality is
the letters of the standard: IV invalid, NT not topical, SB substituted, BL blocked, OV overflow, EI elapsed time invalid.

>>> describe(bytes.fromhex("680e0000000064010600010000000014"))
'I N(S)=0 N(R)=0 C_IC_NA_1 activation CA 1: 0=station'
>>> describe(bytes.fromhex("680407000000"))
'U STARTDT act'
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from scada.core.errors import ProtocolError
from scada.protocols.driver import Describer, Frame
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import Asdu, Cause, TypeId, decode_command, untagged

OBJECTS: Final = 6
"""Information objects shown of one ASDU."""
_START, _LEAST, _MOST = 0x68, 4, 253
_U: Final = {
    0x07: "STARTDT act",
    0x0B: "STARTDT con",
    0x13: "STOPDT act",
    0x23: "STOPDT con",
    0x43: "TESTFR act",
    0x83: "TESTFR con",
}
_FILE_TYPES: Final = {
    120: "F_FR_NA_1",
    121: "F_SR_NA_1",
    122: "F_SC_NA_1",
    123: "F_LS_NA_1",
    124: "F_AF_NA_1",
    125: "F_SG_NA_1",
    126: "F_DR_TA_1",
    127: "F_SC_NB_1",
}
_CAUSES: Final = {
    Cause.PERIODIC: "periodic",
    Cause.BACKGROUND: "background",
    Cause.SPONTANEOUS: "spontaneous",
    Cause.INITIALISED: "initialised",
    Cause.REQUEST: "request",
    Cause.ACTIVATION: "activation",
    Cause.ACTIVATION_CON: "activation con",
    Cause.DEACTIVATION: "deactivation",
    Cause.DEACTIVATION_CON: "deactivation con",
    Cause.ACTIVATION_TERM: "activation term",
    Cause.RETURN_REMOTE: "return by remote command",
    Cause.RETURN_LOCAL: "return by local command",
    13: "file transfer",
    Cause.INTERROGATED: "interrogated",
    Cause.COUNTER_INTERROGATED: "counters interrogated",
    Cause.UNKNOWN_TYPE: "unknown type",
    Cause.UNKNOWN_CAUSE: "unknown cause",
    Cause.UNKNOWN_COMMON_ADDRESS: "unknown common address",
    Cause.UNKNOWN_OBJECT_ADDRESS: "unknown object address",
}
_QUALITY: Final = ((0x80, "IV"), (0x40, "NT"), (0x20, "SB"), (0x10, "BL"))
_DOUBLE: Final = ("intermediate", "off", "on", "indeterminate")
_STEP: Final = ("not permitted (0)", "lower", "higher", "not permitted (3)")


class Iec104Describer(Describer):
    """Splits both directions of one connection into APDUs and describes each."""

    def __init__(self) -> None:
        self._rests = {True: b"", False: b""}
        self._aligned = {True: False, False: False}

    def split(self, data: bytes, *, received: bool) -> list[bytes]:
        """Whole APDUs; octets between them that belong to none come out together as they are."""
        buffer = self._rests[received] + data
        frames: list[bytes] = []
        at = start = 0
        while at < len(buffer):
            if buffer[at] == _START and at + 1 == len(buffer):
                break  # its length has not come yet
            length = self._length(buffer, at, aligned=self._aligned[received])
            if not length:
                at += 1
                continue
            if at + length > len(buffer):
                break
            if start < at:
                frames.append(buffer[start:at])
            frames.append(buffer[at : at + length])
            self._aligned[received] = True
            at += length
            start = at
        if start < at:
            frames.append(buffer[start:at])
            self._aligned[received] = False
        self._rests[received] = buffer[at:]
        return frames

    @staticmethod
    def _length(buffer: bytes, at: int, *, aligned: bool) -> int:
        """Octets of the APDU that begins here; 0 = none does."""
        if buffer[at] != _START or not _LEAST <= buffer[at + 1] <= _MOST:
            return 0
        length = 2 + buffer[at + 1]
        if not aligned and at + length < len(buffer) and buffer[at + length] != _START:
            return 0  # in the middle of an APDU any octet may look like a beginning
        return length

    def only_values(self, frame: bytes, *, received: bool) -> bool:
        """True for an I frame of a monitored type."""
        del received
        return len(frame) > 6 and frame[0] == _START and not frame[2] & 1 and 1 <= frame[6] <= 40

    def feed(self, data: bytes, *, received: bool) -> list[Frame]:
        """Whole APDUs, each with its line."""
        return [Frame(each, describe(each)) for each in self.split(data, received=received)]

    def describe(self, frame: bytes, *, received: bool) -> list[Frame]:
        """One APDU, or octets that are none, with their line."""
        del received
        return [Frame(frame, describe(frame))]


def describe(apdu: bytes) -> str:
    """One line of what an APDU says; anything else is described as what it is."""
    if len(apdu) < 6 or apdu[0] != _START or len(apdu) != 2 + apdu[1]:
        return f"no APDU: {len(apdu)} octets"
    first, second, third, fourth = apdu[2:6]
    receive = (third >> 1) | fourth << 7
    if first & 3 == 3:
        name = _U.get(first, f"of unknown function {first:02x}")
        return f"U {name}" if len(apdu) == 6 else f"U {name}, malformed: {len(apdu) - 6} octets too many"
    if first & 1:
        return f"S N(R)={receive}" if len(apdu) == 6 else f"S N(R)={receive}, malformed: {len(apdu) - 6} octets too many"
    return f"I N(S)={first >> 1 | second << 7} N(R)={receive} {describe_asdu(apdu[6:])}"


def describe_asdu(data: bytes) -> str:
    """What an ASDU says: type, cause, P/N, T, originator, common address, number of objects, and the first of them."""
    try:
        asdu = Asdu.parse(data)
    except ProtocolError as error:
        return f"malformed: {error.what}"
    parts = [type_name(asdu.type_id), cause_name(asdu.cause)]
    parts += ["negative"] * asdu.negative + ["test"] * asdu.test
    parts += [f"OA {asdu.originator}"] * bool(asdu.originator) + [f"CA {asdu.common_address}"]
    if asdu.count > 1:
        parts.append(f"{asdu.count} objects")
    head = " ".join(parts)
    if not asdu.objects:
        return f"{head}: {len(asdu.body)} octets not decoded"
    shown = [f"{item.ioa}={_element(asdu.type_id, item.element)}".rstrip("=") for item in asdu.objects[:OBJECTS]]
    more = f", {asdu.count - OBJECTS} more" if asdu.count > OBJECTS else ""
    return f"{head}: {', '.join(shown)}{more}"


def type_name(type_id: int) -> str:
    """Name of a type identification in the standard.

    >>> type_name(36), type_name(200)
    ('M_ME_TF_1', 'type 200')
    """
    try:
        return TypeId(type_id).name
    except ValueError:
        return _FILE_TYPES.get(type_id, f"type {type_id}")


def cause_name(cause: int) -> str:
    """A cause of transmission in words.

    >>> cause_name(3), cause_name(22), cause_name(39), cause_name(60)
    ('spontaneous', 'interrogated group 2', 'counters interrogated group 2', 'cause 60')
    """
    if Cause.INTERROGATED < cause <= Cause.INTERROGATED + 16:
        return f"interrogated group {cause - Cause.INTERROGATED}"
    if Cause.COUNTER_INTERROGATED < cause <= Cause.COUNTER_INTERROGATED + 4:
        return f"counters interrogated group {cause - Cause.COUNTER_INTERROGATED}"
    return _CAUSES.get(cause, f"cause {cause}")


# ---------------------------------------------------------------------- information elements


def _element(type_id: int, element: bytes) -> str:
    """The octets of one information element set in words; their number has been checked."""
    if 45 <= type_id <= 51 or 58 <= type_id <= 64:
        return _command(type_id, element)
    if 38 <= type_id <= 40:
        return f"{_PROTECTION[type_id](element)} {_time(element[-cp56.SIZE :])}"
    if 30 <= type_id <= 37:
        return f"{_MONITORED[untagged(type_id)](element)} {_time(element[-cp56.SIZE :])}"
    reader = _MONITORED.get(type_id) or _SYSTEM.get(type_id)
    return reader(element) if reader else element.hex()


def _qualified(text: str, quality: int, low: str = "") -> str:
    """With the letters of a quality octet; ``low`` is its own bit, OV or EI, where there is one."""
    letters = [name for bit, name in _QUALITY if quality & bit]
    letters += [low] * bool(low and quality & (8 if low == "EI" else 1))
    return f"{text} [{' '.join(letters)}]" if letters else text


def _counter(element: bytes) -> str:
    number, flags = struct.unpack_from("<iB", element)
    told = [f"sequence {flags & 31}"]
    told += [name for bit, name in ((0x20, "CY"), (0x40, "CA"), (0x80, "IV")) if flags & bit]
    return f"{number} [{' '.join(told)}]"


def _transformer_step(element: bytes) -> str:
    position = (element[0] & 0x7F) - (0x80 if element[0] & 0x40 else 0)
    return _qualified(f"{position}{' in transition' if element[0] & 0x80 else ''}", element[1], "OV")


def _float(octets: bytes) -> str:
    """The shortest decimal that gives the short float again."""
    (number,) = struct.unpack("<f", octets)
    for digits in range(6, 10):
        text = f"{number:.{digits}g}"
        try:
            if struct.pack("<f", float(text)) == octets:
                return text
        except OverflowError:
            continue
    return f"{number:.9g}"


def _normalized(octets: bytes) -> str:
    return f"{struct.unpack('<h', octets)[0] / 32768:.6g}"


_MONITORED: Final[dict[int, Callable[[bytes], str]]] = {
    1: lambda e: _qualified("on" if e[0] & 1 else "off", e[0] & 0xF0),
    3: lambda e: _qualified(_DOUBLE[e[0] & 3], e[0] & 0xF0),
    5: _transformer_step,
    7: lambda e: _qualified(f"0x{struct.unpack_from('<I', e)[0]:08x}", e[4], "OV"),
    9: lambda e: _qualified(_normalized(e[:2]), e[2], "OV"),
    11: lambda e: _qualified(str(struct.unpack_from("<h", e)[0]), e[2], "OV"),
    13: lambda e: _qualified(_float(e[:4]), e[4], "OV"),
    15: _counter,
    20: lambda e: _qualified(f"states {e[0] | e[1] << 8:016b} changes {e[2] | e[3] << 8:016b}", e[4], "OV"),
    21: lambda e: _normalized(e[:2]),
}


def _time(octets: bytes) -> str:
    """CP56Time2a as it was sent: date and time of day, and what the station says of it."""
    milliseconds = octets[0] | octets[1] << 8
    minute, hour, day, month, year = octets[2] & 0x3F, octets[3] & 0x1F, octets[4] & 0x1F, octets[5] & 0x0F, octets[6] & 0x7F
    clock = f"{hour:02}:{minute:02}:{milliseconds // 1000:02}.{milliseconds % 1000:03}"
    flags = [
        name for set_, name in ((octets[2] & 0x80, "IV"), (octets[2] & 0x40, "substituted"), (octets[3] & 0x80, "SU")) if set_
    ]
    return " ".join((f"@{year:02}-{month:02}-{day:02} {clock}", *flags))


def _elapsed(octets: bytes) -> str:
    return f"{octets[0] | octets[1] << 8} ms"


_PROTECTION: Final[dict[int, Callable[[bytes], str]]] = {
    38: lambda e: _qualified(f"{_DOUBLE[e[0] & 3]} after {_elapsed(e[1:3])}", e[0], "EI"),
    39: lambda e: _qualified(f"start {e[0] & 0x3F:06b} for {_elapsed(e[2:4])}", e[1], "EI"),
    40: lambda e: _qualified(f"output {e[0] & 0x0F:04b} after {_elapsed(e[2:4])}", e[1], "EI"),
}


def _interrogation(octet: int) -> str:
    if octet == 20:
        return "station"
    return f"group {octet - 20}" if 21 <= octet <= 36 else f"qualifier {octet}"


def _counter_interrogation(octet: int) -> str:
    request, freeze = octet & 0x3F, octet >> 6
    which = "all" if request == 5 else f"group {request}" if 1 <= request <= 4 else f"request {request}"
    return f"{which}, {('read', 'freeze', 'freeze and reset', 'reset')[freeze]}"


def _initialised(octet: int) -> str:
    what = {0: "power on", 1: "local manual reset", 2: "remote reset"}.get(octet & 0x7F, f"cause {octet & 0x7F}")
    return f"{what}{', parameters changed' if octet & 0x80 else ''}"


def _parameter(text: str, qualifier: int) -> str:
    kind = {1: "threshold", 2: "smoothing", 3: "low limit", 4: "high limit"}.get(qualifier & 0x3F, f"kind {qualifier & 0x3F}")
    flags = [name for bit, name in ((0x40, "changed"), (0x80, "not in operation")) if qualifier & bit]
    return " ".join((f"{text} {kind}", *flags))


_SYSTEM: Final[dict[int, Callable[[bytes], str]]] = {
    70: lambda e: _initialised(e[0]),
    100: lambda e: _interrogation(e[0]),
    101: lambda e: _counter_interrogation(e[0]),
    102: lambda _: "",
    103: _time,
    104: lambda e: f"pattern {e[1]:02x}{e[0]:02x}",
    105: lambda e: {1: "general reset", 2: "reset of waiting events"}.get(e[0], f"qualifier {e[0]}"),
    106: _elapsed,
    107: lambda e: f"counter {e[0] | e[1] << 8} {_time(e[2:])}",
    110: lambda e: _parameter(_normalized(e[:2]), e[2]),
    111: lambda e: _parameter(str(struct.unpack_from("<h", e)[0]), e[2]),
    112: lambda e: _parameter(_float(e[:4]), e[4]),
    113: lambda e: f"qualifier {e[0]}",
}


def _command(type_id: int, element: bytes) -> str:
    command, base = decode_command(type_id, element), untagged(type_id)
    match base:
        case 45:
            text = "on" if command.value else "off"
        case 46:
            text = ("not permitted (0)", "off", "on", "not permitted (3)")[int(command.value)]
        case 47:
            text = _STEP[int(command.value)]
        case 50:
            text = _float(element[:4])
        case 51:
            text = f"0x{int(command.value):08x}"
        case _:
            text = f"{command.value:.6g}"
    if base != 51:
        text += " select" if command.select else " execute"
    if command.qualifier:
        text += f" qualifier {command.qualifier}"
    return f"{text} {_time(command.time)}" if command.time else text
