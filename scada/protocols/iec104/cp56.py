"""CP56Time2a, the seven-octet time of IEC 60870-5-4 clause 6.8: pure functions, callable from kernels and from Python."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.protocols.iec104.octets import little16, octet

NS_PER_MINUTE: Final = 60_000_000_000
SIZE: Final = 7


@njit(cache=True, nogil=True)
def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a date of the proleptic Gregorian calendar.

    >>> int(days_from_civil(1970, 1, 1)), int(days_from_civil(2000, 3, 1))
    (0, 11017)
    """
    # the year is taken to begin in March, so that the leap day is its last day
    shifted = year - 1 if month <= 2 else year
    since_march = (month + 9) % 12
    day_of_year = (153 * since_march + 2) // 5 + day - 1
    return 365 * shifted + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year - 719_468


@njit(cache=True, nogil=True)
def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month and day of a day number; the inverse of :func:`days_from_civil`.

    >>> [int(part) for part in civil_from_days(11017)]
    [2000, 3, 1]
    """
    shifted = days + 719_468
    era = shifted // 146_097
    day_of_era = shifted - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    since_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * since_march + 2) // 5 + 1
    month = since_march + 3 if since_march < 10 else since_march - 9
    year = year_of_era + era * 400
    return (year + 1 if month <= 2 else year), month, day


@njit(cache=True, nogil=True)
def year_of(time_ns: int) -> int:
    """Calendar year (UTC) of a time in ns; the centre of the year window."""
    return civil_from_days(time_ns // (1440 * NS_PER_MINUTE))[0]


@njit(cache=True, nogil=True)
def minute_start(buf: npt.NDArray[np.uint8], at: int, centre_year: int) -> int:
    """Nanoseconds of the minute that octets 3..7 of the time at ``at`` name, as if they were UTC; -1 if they name none.

    The century of the seven-bit year is the one nearest to ``centre_year`` (stations that count from 1900 send 109 for 2009).
    The caller has checked that seven octets are there.
    """
    minute = octet(buf, at + 2) & 0x3F
    hour = octet(buf, at + 3) & 0x1F
    day = octet(buf, at + 4) & 0x1F
    month = octet(buf, at + 5) & 0x0F
    if minute > 59 or hour > 23 or day < 1 or month < 1 or month > 12:
        return -1
    year = 1900 + (octet(buf, at + 6) & 0x7F)
    while centre_year - year > 50:
        year += 100
    start = days_from_civil(year, month, day)
    back = civil_from_days(start)
    if back[1] != month:  # 31 April and the like
        return -1
    ns = ((start * 24 + hour) * 60 + minute) * NS_PER_MINUTE
    return ns if ns >= 0 else -1


@njit(cache=True, nogil=True)
def decode(buf: npt.NDArray[np.uint8], at: int, centre_year: int, zone_ns: int, summer_ns: int) -> tuple[int, int]:
    """Read a time.

    Args:
        buf: octets; seven from ``at`` on exist.
        at: position of the first octet.
        centre_year: year of reception.
        zone_ns: what the station's clock is ahead of UTC, ns.
        summer_ns: what it is further ahead when SU is set, ns.

    Returns:
        (ns UTC, bits of ``TimeQuality``); the time is 0 if the IV bit is set or the octets name no time.
    """
    start, bits = minute(buf, at, centre_year, zone_ns, summer_ns)
    milliseconds = little16(buf, at)
    if start < 0 or milliseconds > 59_999:
        return 0, bits | 1
    return start + milliseconds * 1_000_000, bits


@njit(cache=True, nogil=True)
def minute(buf: npt.NDArray[np.uint8], at: int, centre_year: int, zone_ns: int, summer_ns: int) -> tuple[int, int]:
    """What octets 3..7 say: (ns UTC of the minute or -1, bits of ``TimeQuality``); values that share them share the answer."""
    su = 2 if buf[at + 3] & 0x80 else 0
    bits = su | (4 if buf[at + 2] & 0x40 else 0)
    start = -1 if buf[at + 2] & 0x80 else minute_start(buf, at, centre_year)
    if start < 0:
        return -1, bits | 1
    return start - zone_ns - (summer_ns if su else 0), bits


@njit(cache=True, nogil=True)
def encode(out: npt.NDArray[np.uint8], at: int, time_ns: int, zone_ns: int, invalid: bool) -> None:
    """Write a time (day of week included) at ``at``; seven octets from there on must exist. SU is never set."""
    local = time_ns + zone_ns
    minutes = local // NS_PER_MINUTE
    milliseconds = (local - minutes * NS_PER_MINUTE) // 1_000_000
    days = minutes // 1440
    year, month, day = civil_from_days(days)
    in_day = minutes - days * 1440
    out[at] = milliseconds & 0xFF
    out[at + 1] = milliseconds >> 8
    out[at + 2] = (in_day % 60) | (0x80 if invalid else 0)
    out[at + 3] = in_day // 60
    out[at + 4] = day | ((days + 3) % 7 + 1) << 5  # 1970-01-01 was a Thursday; Monday is 1
    out[at + 5] = month
    out[at + 6] = year % 100


def to_octets(time_ns: int, zone_minutes: int = 0) -> bytes:
    """CP56Time2a of a UTC time.

    >>> to_octets(1_700_000_000_123_000_000).hex()
    '9b4e0d164e0b17'
    """
    out = np.zeros(SIZE, dtype=np.uint8)
    encode(out, 0, time_ns, zone_minutes * NS_PER_MINUTE, False)
    return out.tobytes()


def from_octets(octets: bytes, received_ns: int, zone_minutes: int = 0, summer_minutes: int = 0) -> tuple[int, int]:
    """(ns UTC or 0, bits of ``TimeQuality``) of seven octets.

    >>> from_octets(bytes.fromhex("9b4e0d164e0b17"), received_ns=1_700_000_000_000_000_000)
    (1700000000123000000, 0)
    """
    if len(octets) != SIZE:
        raise ValueError(f"CP56Time2a has 7 octets, not {len(octets)}")
    buf = np.frombuffer(octets, dtype=np.uint8)
    time_ns, bits = decode(buf, 0, year_of(received_ns), zone_minutes * NS_PER_MINUTE, summer_minutes * NS_PER_MINUTE)
    return int(time_ns), int(bits)


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    from_octets(to_octets(0), received_ns=0)
