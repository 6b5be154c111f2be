# ruff: noqa: PLR0911, PLR0912 - the scan is one loop with one return a cause
"""APCI of IEC 60870-5-104 clause 5: the frames, and a kernel that walks through all APDUs of one read."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.protocols.iec104.octets import octet

START: Final = 0x68
MODULO: Final = 32_768
"""Sequence numbers are 15 bits."""

# indices of the scan's counters
V_R: Final = 0
"""Next N(S) expected."""
ACKED: Final = 1
"""Last N(R) received."""
V_S: Final = 2
"""Next N(S) to be sent."""


class UFunction(IntEnum):
    """First control octet of a U frame (5.1, figure 8)."""

    STARTDT_ACT = 0x07
    STARTDT_CON = 0x0B
    STOPDT_ACT = 0x13
    STOPDT_CON = 0x23
    TESTFR_ACT = 0x43
    TESTFR_CON = 0x83


class Stop(IntEnum):
    """Why a scan ended."""

    NEED_MORE = 0
    """Everything complete was taken; what is left is the beginning of an APDU, or nothing."""
    U_FRAME = 1
    """A U frame stands at the position."""
    ROWS_FULL = 2
    """More I frames follow than the caller has rows for."""
    BAD_START = 3
    BAD_LENGTH = 4
    """APDU length below 4 or above 253, an S or U frame that is not 4 long, or an I frame without a whole ASDU header."""
    BAD_CONTROL = 5
    """Bits that must be zero are not, or an unknown U function."""
    NOT_STARTED = 6
    """An I frame although data transfer is stopped."""
    SEND_NUMBER = 7
    """N(S) is not the next one."""
    RECEIVE_NUMBER = 8
    """N(R) acknowledges what was never sent, or goes back."""


@njit(cache=True, nogil=True)
def _is_u_function(octet: int) -> bool:
    return octet in (0x07, 0x0B, 0x13, 0x23, 0x43, 0x83)


@njit(cache=True, nogil=True)
def scan(
    buf: npt.NDArray[np.uint8],
    start: int,
    counters: npt.NDArray[np.int64],
    accept: bool,
    check: bool,
    rows: npt.NDArray[np.int64],
) -> tuple[int, int, int, int]:
    """Walk over APDUs from ``start`` until something needs a decision.

    Args:
        buf: octets.
        start: where the next APDU begins.
        counters: V(R), last N(R), V(S); V(R) and N(R) are moved on.
        accept: I frames are allowed.
        check: sequence numbers must be right; else they are taken as they come (the rows hold N(S), for the caller to judge).
        rows: filled with (offset of the ASDU, its length, N(S), N(R)) of I frames.

    Returns:
        (``Stop``, position, rows filled, objects in them at most). The position is that of the APDU which stopped the scan.
    """
    at, filled, objects = start, 0, 0
    end = len(buf)
    while end - at >= 2:
        if buf[at] != 0x68:
            return 3, at, filled, objects
        length = octet(buf, at + 1)
        if length < 4 or length > 253:
            return 4, at, filled, objects
        if end - at < 2 + length:
            break
        first, second = octet(buf, at + 2), octet(buf, at + 3)
        third, fourth = octet(buf, at + 4), octet(buf, at + 5)
        if first & 3 == 3:
            if length != 4:
                return 4, at, filled, objects
            if not _is_u_function(first) or second or third or fourth:
                return 5, at, filled, objects
            return 1, at, filled, objects
        if third & 1 or (first & 1 and (first != 1 or second)):
            return 5, at, filled, objects
        if (first & 1 and length != 4) or (not first & 1 and length < 10):
            return 4, at, filled, objects
        receive = third >> 1 | fourth << 7
        if check and (receive - counters[1]) % 32_768 > (counters[2] - counters[1]) % 32_768:
            return 8, at, filled, objects
        if not first & 1:
            send = first >> 1 | second << 7
            if not accept:
                return 6, at, filled, objects
            if check and send != counters[0]:
                return 7, at, filled, objects
            if filled == len(rows):
                return 2, at, filled, objects
            rows[filled, 0] = at + 6
            rows[filled, 1] = length - 4
            rows[filled, 2] = send
            rows[filled, 3] = receive
            objects += octet(buf, at + 7) & 0x7F
            filled += 1
            counters[0] = (send + 1) % 32_768
        counters[1] = receive
        at += 2 + length
    if end - at == 1 and buf[at] != 0x68:
        return 3, at, filled, objects
    return 0, at, filled, objects


def u_frame(function: UFunction) -> bytes:
    """Octets of a U frame.

    >>> u_frame(UFunction.TESTFR_ACT).hex()
    '680443000000'
    """
    return bytes([START, 4, function, 0, 0, 0])


def s_frame(receive: int) -> bytes:
    """Octets of an S frame with N(R)."""
    return bytes([START, 4, 1, 0, receive << 1 & 0xFE, receive >> 7])


def i_frame(send: int, receive: int, asdu: bytes) -> bytes:
    """Octets of an I frame with N(S), N(R) and an ASDU of 6 to 249 octets."""
    return bytes([START, 4 + len(asdu), send << 1 & 0xFE, send >> 7, receive << 1 & 0xFE, receive >> 7]) + asdu


def warm_up() -> None:
    """Compile the kernel or load it from numba's cache."""
    rows, counters = np.zeros((1, 4), dtype=np.int64), np.zeros(3, dtype=np.int64)
    scan(np.frombuffer(b"", dtype=np.uint8), 0, counters, False, True, rows)
