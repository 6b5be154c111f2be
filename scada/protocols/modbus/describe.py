"""Modbus frames in words, for a page or a terminal: unit, function, address, count, values or exception, in one line."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pymodbus.framer import FramerRTU

from scada.protocols.driver import Describer, Frame
from scada.protocols.modbus.exchange import exception_text

_FUNCTIONS: Final = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding registers",
    4: "read input registers",
    5: "write coil",
    6: "write register",
    15: "write coils",
    16: "write registers",
    22: "mask write register",
    23: "read/write registers",
}
_READS: Final = (1, 2, 3, 4)
_SHOWN: Final = 16
"""Values in a line; the octets stand beside it."""


class ModbusDescriber(Describer):
    """Frames of one connection, seen from the master.

    An answer does not say which registers it brings; that is taken from the request before it.

    Args:
        rtu: frames with unit and CRC; else with the Modbus/TCP header.
    """

    def __init__(self, *, rtu: bool) -> None:
        self._rtu = rtu
        self._rest = {True: b"", False: b""}
        self._asked: dict[tuple[int, int], bytes] = {}
        """Last request by (transaction, unit)."""

    def split(self, data: bytes, *, received: bool) -> list[bytes]:
        """Whole frames; octets that can be none come out as they are."""
        rest = self._rest[received] + data
        frames = []
        size_of = self._rtu_size if self._rtu else self._mbap_size
        while rest:
            size = size_of(rest, received)
            if size < 0:  # no frame: all of it, so that nothing is hidden
                size = len(rest)
            if not 0 < size <= len(rest):
                break
            frames.append(rest[:size])
            rest = rest[size:]
        self._rest[received] = rest
        return frames

    def only_values(self, frame: bytes, *, received: bool) -> bool:
        """The scan: reads, and answers to them that bring values."""
        del received
        at = 1 if self._rtu else 7
        return len(frame) > at and frame[at] in _READS

    def feed(self, data: bytes, *, received: bool) -> list[Frame]:
        """Whole frames with their line."""
        return [Frame(frame, self._line(frame, received)) for frame in self.split(data, received=received)]

    def describe(self, frame: bytes, *, received: bool) -> list[Frame]:
        """One frame, or octets that are none, with their line."""
        return [Frame(frame, self._line(frame, received))]

    # ------------------------------------------------------------ frames

    @staticmethod
    def _mbap_size(data: bytes, received: bool) -> int:
        """Octets of the frame at the beginning; 0 = not known yet, -1 = this is none."""
        del received
        if len(data) < 6:
            return 0
        _, protocol, length = struct.unpack_from(">HHH", data)
        return 6 + length if not protocol and 3 <= length <= 254 else -1

    @staticmethod
    def _rtu_size(data: bytes, received: bool) -> int:
        if len(data) < 4:
            return 0
        function = data[1]
        counted = {True: {1: 2, 2: 2, 3: 2, 4: 2, 23: 2}, False: {15: 6, 16: 6, 23: 10}}[received]
        if received and function & 0x80:
            size = 5
        elif function in counted:
            at = counted[function]
            if len(data) <= at:
                return 0
            size = at + 1 + data[at] + 2
        elif function in _FUNCTIONS:
            size = 10 if function == 22 else 8
        else:
            return -1
        if len(data) >= size and not _crc_fits(data[:size]):
            return -1
        return size

    def _line(self, frame: bytes, received: bool) -> str:
        if self._rtu:
            if len(frame) < 4 or not _crc_fits(frame):
                return "no Modbus frame (CRC)"
            transaction, unit, pdu = 0, frame[0], frame[1:-2]
        else:
            if len(frame) < 8 or self._mbap_size(frame, received) != len(frame):
                return "no Modbus/TCP frame"
            transaction, unit, pdu = struct.unpack_from(">H", frame)[0], frame[6], frame[7:]
        head = f"unit {unit}" if self._rtu else f"[{transaction}] unit {unit}"
        name = _FUNCTIONS.get(pdu[0] & 0x7F, f"function {pdu[0] & 0x7F}")
        try:
            if not received:
                self._asked = {(transaction, unit): pdu}
                return f"{head} {name}{_request(pdu)}"
            asked = self._asked.pop((transaction, unit), b"")
            if pdu[0] & 0x80:
                return f"{head} {name}{_where(asked, pdu[0] & 0x7F)}: {exception_text(pdu[1])}"
            return f"{head} {name}{_answer(pdu, asked)}"
        except (struct.error, IndexError):
            return f"{head} {name}: malformed"


def _crc_fits(frame: bytes) -> bool:
    return FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big")


def _request(pdu: bytes) -> str:
    writers: dict[int, Callable[[bytes], str]] = {
        5: lambda p: f": {'on' if p[3] else 'off'}",
        6: lambda p: _registers(p[3:5]),
        15: lambda p: _coils(p[6:], struct.unpack_from(">H", p, 3)[0]),
        16: lambda p: _registers(p[6:]),
        22: lambda p: ": and 0x{:04x} or 0x{:04x}".format(*struct.unpack_from(">HH", p, 3)),
        23: lambda p: _registers(p[10:]),
    }
    values = writers.get(pdu[0])
    return _where(pdu, pdu[0]) + (values(pdu) if values else "")


def _where(pdu: bytes, function: int) -> str:
    """Registers of a request; of no request, or one of another function, nothing is known."""
    if not pdu or pdu[0] != function or function not in _FUNCTIONS:
        return ""
    start, count = struct.unpack_from(">HH", pdu, 5 if function == 23 else 1)
    if function in (5, 6, 22):
        return f" {start}"
    return f" {start}..{start + count - 1} ({count})"


def _answer(pdu: bytes, asked: bytes) -> str:
    function = pdu[0]
    if function not in (*_READS, 23):
        return f"{_where(asked or pdu, function)}: done" if function in _FUNCTIONS else ""
    if pdu[1] != len(pdu) - 2:
        return ": malformed"
    where = _where(asked, function)
    if function in (1, 2):
        count = struct.unpack_from(">H", asked, 3)[0] if where else 8 * pdu[1]
        return where + _coils(pdu[2:], count)
    return where + _registers(pdu[2:])


def _registers(data: bytes) -> str:
    words = [f"{word:04x}" for (word,) in struct.iter_unpack(">H", data)]
    return ": " + " ".join(words[:_SHOWN]) + (f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else "")


def _coils(data: bytes, count: int) -> str:
    states = [str(data[at // 8] >> at % 8 & 1) for at in range(min(count, 8 * len(data)))]
    return ": " + "".join(states[: 4 * _SHOWN]) + (f" and {len(states) - 4 * _SHOWN} more" if len(states) > 4 * _SHOWN else "")
