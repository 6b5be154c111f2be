"""Monitor direction, outgoing: values packed into ASDUs by a compiled kernel."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import ELEMENT_SIZE, HEADER, MAX_ASDU, MAX_OBJECTS, untagged

_ROOM: Final = MAX_ASDU - HEADER
_WORTH: Final = 4
"""Consecutive addresses from which a sequence (SQ = 1) is made."""
LOOK_AHEAD: Final = MAX_OBJECTS + _WORTH
"""Addresses that :func:`first_chunk` needs to see."""


def capacity(type_id: int, *, sequence: bool) -> int:
    """Objects of a type that one ASDU of 249 octets holds; never more than the 127 of the qualifier.

    >>> capacity(1, sequence=True), capacity(13, sequence=True), capacity(36, sequence=False)
    (127, 48, 16)
    """
    size = ELEMENT_SIZE[type_id]
    return min(MAX_OBJECTS, (_ROOM - 3) // size if sequence else _ROOM // (3 + size))


def first_chunk(type_id: int, ioas: npt.NDArray[np.int64]) -> tuple[int, bool]:
    """How many of ascending addresses go into the next ASDU, and whether as a sequence (SQ = 1).

    Args:
        type_id: what they are sent as.
        ioas: at least :data:`LOOK_AHEAD` of them, or all that are left.

    >>> first_chunk(13, np.array([1, 2, 3, 4, 5, 9, 11])), first_chunk(13, np.array([9, 11]))
    ((5, True), (2, False))
    """
    ends = np.append(np.flatnonzero(np.diff(ioas) != 1) + 1, len(ioas))
    runs = np.diff(ends, prepend=0)
    if runs[0] >= _WORTH:
        return min(int(runs[0]), capacity(type_id, sequence=True)), True
    worth = np.flatnonzero(runs >= _WORTH)
    single = int(ends[worth[0]] - runs[worth[0]]) if len(worth) else len(ioas)
    return min(single, capacity(type_id, sequence=False)), False


@njit(cache=True, nogil=True)
def _put(out: npt.NDArray[np.uint8], at: int, number: int, octets: int) -> None:
    for i in range(octets):
        out[at + i] = (number >> (8 * i)) & 0xFF


@njit(cache=True, nogil=True)
def _whole(value: float, low: int, high: int) -> tuple[int, int]:
    """(nearest whole number, quality bits to add): out of range is cut and marked OV, no number is 0 and marked IV."""
    if not np.isfinite(value):
        return 0, 0x80
    if value < low - 0.5:
        return low, 0x01
    if value > high + 0.5:
        return high, 0x01
    return min(high, max(low, int(np.rint(value)))), 0


@njit(cache=True, nogil=True)
def _state(value: float, highest: int) -> tuple[int, int]:
    """(state, quality bits to add); what is no state is 0 and marked IV."""
    if value >= 0 and value <= highest and value == np.floor(value):
        return int(value), 0
    return 0, 0x80


@njit(cache=True, nogil=True)
def fill(
    out: npt.NDArray[np.uint8],
    shape: npt.NDArray[np.int64],
    ioas: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    qualities: npt.NDArray[np.uint32],
    times: npt.NDArray[np.int64],
    details: npt.NDArray[np.uint16],
) -> int:
    """Write the objects of one ASDU.

    Args:
        out: octets behind the header, at least 243.
        shape: type, its untagged type, 1 = sequence, zone in ns, octets of an element.
        ioas: addresses.
        values: on the wire's own scale (normalized -1 .. 1).
        qualities: quality words; the low octet and ``TIME_INVALID`` count.
        times: ns UTC, used by tagged types.
        details: transient bit of a step; sequence, CY and CA of a counter.

    Returns:
        Octets written.
    """
    base, sequence, size = shape[1], shape[2], shape[4]
    real = np.empty(1, dtype=np.float32)
    at = 0
    for i in range(len(ioas)):
        if not sequence or i == 0:
            _put(out, at, ioas[i], 3)
            at += 3
        quality = np.int64(qualities[i] & 0xFF)
        value = values[i]
        if base in (1, 3):
            state, more = _state(value, 1 if base == 1 else 3)
            out[at] = state | (quality | more) & 0xF0
        elif base == 5:
            step, more = _whole(value, -64, 63)
            out[at] = (step & 0x7F) | (details[i] & 1) << 7
            out[at + 1] = (quality | more) & 0xF1
        elif base == 7:
            bits, more = _whole(value, 0, 0xFFFF_FFFF)
            _put(out, at, bits, 4)
            out[at + 4] = (quality | more) & 0xF1
        elif base in (9, 11, 21):
            raw, more = _whole(value if base == 11 else value * 32_768.0, -32_768, 32_767)
            _put(out, at, raw, 2)
            if base != 21:
                out[at + 2] = (quality | more) & 0xF1
        elif base == 13:
            real[0] = value
            _put(out, at, np.int64(real.view(np.uint32)[0]), 4)  # type: ignore[arg-type]
            out[at + 4] = (quality if np.isfinite(real[0]) else quality | 0x80) & 0xF1
        else:  # 15: the counter goes round
            count = np.int64(0) if not np.isfinite(value) else np.int64(np.rint(value % 4_294_967_296.0))
            _put(out, at, count, 4)  # type: ignore[arg-type]
            # of the descriptor a counter has IV only: what overflowed or is not topical is no reading either
            unknown = not np.isfinite(value) or quality & 0xC1 != 0
            out[at + 4] = (np.int64(details[i]) & 0x7F) | (0x80 if unknown else 0)
        if shape[0] >= 30:
            cp56.encode(out, at + size - 7, times[i], shape[3], times[i] == 0 or qualities[i] & (1 << 22) != 0)
        at += size
    return at


def encode_values(
    type_id: int,
    cause: int,
    common_address: int,
    ioas: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    qualities: npt.NDArray[np.uint32],
    times: npt.NDArray[np.int64],
    details: npt.NDArray[np.uint16],
    *,
    sequence: bool = False,
    originator: int = 0,
    zone_minutes: int = 0,
) -> bytes:
    """One ASDU of a monitored type (1 .. 15, 21, 30 .. 37), at most :func:`capacity` objects.

    The cause may carry the T bit (0x80). A number that the type cannot hold is cut to its range with OV set; NaN and infinity are
    sent with IV set.

    Raises:
        ValueError: no or too many objects, or not a type this kernel writes.
    """
    base = untagged(type_id)
    if base not in {1, 3, 5, 7, 9, 11, 13, 15, 21}:
        raise ValueError(f"type {type_id} is not written here")
    if not 1 <= len(ioas) <= capacity(type_id, sequence=sequence):
        raise ValueError(f"{len(ioas)} objects of type {type_id} do not fit one ASDU")
    out = np.empty(_ROOM, dtype=np.uint8)
    shape = np.array(
        [type_id, base, sequence, zone_minutes * cp56.NS_PER_MINUTE, ELEMENT_SIZE[type_id]],
        dtype=np.int64,
    )
    length = fill(out, shape, ioas, values, qualities, times, details)
    head = struct.pack("<BBBBH", type_id, len(ioas) | (0x80 if sequence else 0), cause, originator, common_address)
    return head + out[:length].tobytes()


def warm_up() -> None:
    """Compile the kernel or load it from numba's cache."""
    ioas, times = np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    qualities, details = np.zeros(1, dtype=np.uint32), np.zeros(1, dtype=np.uint16)
    encode_values(1, 3, 1, ioas, np.zeros(1), qualities, times, details)
