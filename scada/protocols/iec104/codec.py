# ruff: noqa: PLR0911, PLR0912, PLR0915 - a kernel is one loop over a table of types
"""Monitor direction in bulk: from the octets of many ASDUs straight into :data:`scada.core.batch.POINT_DTYPE`.

One call of the kernel decodes all ASDUs of one read. Every length is checked before the octets behind it are touched; an ASDU
that is malformed, unknown or not a monitored value is left to the slow path by its index.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.core.batch import NO_CHANNEL, NO_PID, POINT_DTYPE, Records
from scada.core.errors import ConfigError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Point
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import ELEMENT_SIZE, untagged
from scada.protocols.iec104.octets import little16, little24, little32, octet

_SIZE: Final = np.array([ELEMENT_SIZE.get(type_id, 0) if type_id <= 40 else 0 for type_id in range(256)], dtype=np.int64)
"""Element size of a monitored type, 0 = none."""

_BASE: Final = np.array([untagged(type_id) for type_id in range(256)], dtype=np.int64)

_SLOT: Final = np.dtype(
    [("key", "<u8"), ("scale", "<f8"), ("offset", "<f8"), ("pid", "<u4"), ("family", "u1"), ("pad", "u1", (3,))], align=True
)
_HASH: Final = np.uint64(0x9E37_79B9_7F4A_7C15)


def _family(type_id: int) -> int:
    """Types whose raw numbers mean the same; 21 is 9 without quality."""
    base = untagged(type_id)
    return 9 if base == 21 else base


_FAMILY: Final = np.array([_family(type_id) for type_id in range(256)], dtype=np.int64)

LIVE_CAUSES: Final = frozenset({1, 2, 3, 5, 11, 12, *range(20, 42)})
"""Causes of transmission that a monitored value can have: periodic, background, spontaneous, requested, return information,
interrogated. Under another one, or as a negative answer, it says nothing of the process."""

_LIVE: Final = np.array([(octets & 0x7F) in LIVE_CAUSES for octets in range(256)], dtype=np.bool_)
_SPONTANEOUS: Final = np.array([(octets & 0x3F) in (3, 11, 12) for octets in range(256)], dtype=np.bool_)
_ANSWER: Final = np.array([(octets & 0x3F) == 5 or 20 <= (octets & 0x3F) <= 41 for octets in range(256)], dtype=np.bool_)

# indices of the kernel's limits
_CHANNEL: Final = 0
_ZONE: Final = 1
_SUMMER: Final = 2
_RECEIVED: Final = 3
_EVERYTHING: Final = 4
_OLDEST: Final = 5
_NEWEST: Final = 6
_LATE: Final = 7
_CLOCK_KNOWN: Final = 8

# indices of the kernel's counts
_UNKNOWN: Final = 0
_TESTS: Final = 1
_DISTRUSTED: Final = 2
_BACKFILLED: Final = 3
_MARKED: Final = 4
_ANSWERS: Final = 5

_NO_END: Final = 2**63 - 1


class AddressTable:
    """(common address, information object address) -> point id, scale and offset; open addressing, for the kernel.

    A point also names the type it expects. A value of another family (say, a short float where the model has a normalized value)
    is treated as unknown, for its scale would make a wrong number of it.

    Args:
        points: those with an :class:`Iec104Address` are entered.

    Raises:
        ConfigError: two points have one address.
    """

    def __init__(self, points: Iterable[Point] = ()) -> None:
        entries: dict[int, Point] = {}
        for point in points:
            address = point.address
            if not isinstance(address, Iec104Address):
                continue
            key = address_key(address.common_address, address.ioa)
            other = entries.setdefault(key, point)
            if other is not point:
                raise ConfigError(
                    f"{point.path} and {other.path} have the same address {address_text(key)}", mend="correct the model"
                )
        self.addresses: dict[int, Point] = entries
        self.slots = np.zeros(1 << max(3, (2 * len(entries)).bit_length()), dtype=_SLOT)
        for key, point in entries.items():
            assert isinstance(point.address, Iec104Address)
            self._enter(key, point.pid, point.scale, point.offset, _family(point.address.type_id))
        self.present_tags = np.zeros(len(self.slots), dtype=np.int64)
        """Time tag of the present value of each slot's point, 0 = none."""

    def succeed(self, before: AddressTable) -> None:
        """Take over the time tags of the present values of points that are where they were."""
        for key, point in self.addresses.items():
            if key in before.addresses and before.addresses[key].pid == point.pid:
                self.present_tags[_find(self.slots, key)] = before.present_tags[_find(before.slots, key)]

    def _enter(self, key: int, pid: int, scale: float, offset: float, family: int) -> None:
        mask = len(self.slots) - 1
        at = int(_hash(key + 1)) & mask
        while self.slots[at]["key"]:
            at = (at + 1) & mask
        self.slots[at] = (key + 1, scale, offset, pid, family, (0, 0, 0))


def address_key(common_address: int, ioa: int) -> int:
    """One number for an address: common address * 2**24 + information object address."""
    return common_address << 24 | ioa


def address_text(key: int) -> str:
    """An address as people write it.

    >>> address_text(address_key(1, 16385))
    'CA 1 IOA 16385'
    """
    return f"CA {key >> 24} IOA {key & 0xFF_FFFF}"


@njit(cache=True, nogil=True)
def _hash(key: int) -> int:
    return np.int64((np.uint64(key) * _HASH) >> np.uint64(40))  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def _find(slots: Records, key: int) -> int:
    """Slot of a key, -1 if it is not there."""
    mask = len(slots) - 1
    at = _hash(key + 1) & mask
    while slots[at].key != 0:
        if slots[at].key == np.uint64(key + 1):
            return int(at)
        at = (at + 1) & mask
    return -1


@njit(cache=True, nogil=True)
def _element(buf: npt.NDArray[np.uint8], at: int, base: int) -> tuple[float, int, int]:
    """(value, QDS octet, detail) of the element set at ``at`` of one of the less frequent types; its length has been checked."""
    if base == 5:  # VTI: seven bits signed, one bit transient
        step = octet(buf, at) & 0x7F
        return float(step - 128 if step > 63 else step), octet(buf, at + 1) & 0xF1, octet(buf, at) >> 7
    if base == 7:
        return float(little32(buf, at)), octet(buf, at + 4) & 0xF1, 0
    if base == 21:
        raw = little16(buf, at)
        return (raw - 65_536 if raw > 32_767 else raw) / 32_768.0, 0, 0
    if base == 15:  # CA: set by hand since the last reading, so the difference to it is no amount
        raw = little32(buf, at)
        mark = octet(buf, at + 4)
        adjusted = 0x100 if mark & 0x40 else 0  # Quality.QUESTIONABLE
        return float(raw - 4_294_967_296 if raw > 2_147_483_647 else raw), mark & 0x80 | adjusted, mark & 0x7F
    if base == 20:  # sixteen states, and in detail which of them changed
        return float(little16(buf, at)), octet(buf, at + 4) & 0xF1, little16(buf, at + 2)
    # protection: detail is the elapsed time in ms, 65535 where the station says that it is not valid (EI)
    if base == 38:  # SEP: event state and quality in one octet
        elapsed = 0xFFFF if buf[at] & 8 else little16(buf, at + 1)
        return float(buf[at] & 3), octet(buf, at) & 0xF0, elapsed
    elapsed = 0xFFFF if buf[at + 1] & 8 else little16(buf, at + 2)
    return float(buf[at] & (0x3F if base == 39 else 0x0F)), octet(buf, at + 1) & 0xF0, elapsed  # SPE, OCI


@njit(cache=True, nogil=True)
def _count_is_right(type_size: int, vsq: int, length: int, first_ioa: int) -> bool:
    count = vsq & 0x7F
    if type_size == 0 or count == 0:
        return False
    if vsq & 0x80:
        return length == 9 + count * type_size and first_ioa + count <= 0x100_0000
    return length == 6 + count * (3 + type_size)


@njit(cache=True, nogil=True)
def decode_spans(
    buf: npt.NDArray[np.uint8],
    spans: npt.NDArray[np.int64],
    slots: Records,
    present_tags: npt.NDArray[np.int64],
    limits: npt.NDArray[np.int64],
    out: Records,
    addresses: npt.NDArray[np.int64],
    slow: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Decode the ASDUs that ``spans`` names.

    Args:
        buf: octets of a read.
        spans: rows (offset, length, ...) of ASDUs inside ``buf``, as the link's scan made them.
        slots: table of an :class:`AddressTable`.
        present_tags: that of the table.
        limits: channel index, zone in ns, summer shift in ns, time of reception in ns, 1 = look on (keep what is under test or
            has an impossible cause), oldest and newest time tag that is believed, newest one that can be late, 1 = the stations'
            clocks are known to be right within that.
        out: records to fill, room for every object of the spans.
        addresses: address key of each record.
        slow: indices of the spans left to the slow path.
        counts: records without a point, values under test left out, time tags not believed, late values, values whose detail says
            more than the value (changes within packed status, carry or adjustment of a counter), and answers to a request.

    Returns:
        (records, slow spans).
    """
    zone_ns, summer_ns, year = limits[_ZONE], limits[_SUMMER], cp56.year_of(limits[_RECEIVED])
    channel, everything = limits[_CHANNEL], limits[_EVERYTHING] != 0
    oldest_ns, newest_ns, late_ns = limits[_OLDEST], limits[_NEWEST], limits[_LATE]
    words = np.empty(1, dtype=np.uint32)
    reals = words.view(np.float32)
    known_ns = late_ns if limits[_CLOCK_KNOWN] else 0
    counts[:] = 0
    filled = slow_count = unknown = marked = 0
    last_minute, start_ns, bits = -1, -1, 0
    for index in range(len(spans)):
        start, length = spans[index, 0], spans[index, 1]
        type_id, vsq = octet(buf, start), octet(buf, start + 1)
        size = _SIZE[type_id]
        first = 0
        if length >= 9:
            first = little24(buf, start + 6)
        cause = octet(buf, start + 2)
        if not _count_is_right(size, vsq, length, first) or not (everything or _LIVE[cause]):
            slow[slow_count] = index
            slow_count += 1
            continue
        count = vsq & 0x7F
        if cause & 0x80 and not everything:
            counts[_TESTS] += count
            continue
        spontaneous, answer = _SPONTANEOUS[cause], _ANSWER[cause]
        earliest_ns = 0 if answer else oldest_ns  # an interrogation may repeat the time of a change of long ago
        if answer:
            counts[_ANSWERS] += count
        base, family = _BASE[type_id], _FAMILY[type_id]
        station = little16(buf, start + 4) << 24
        at = start + 9 if vsq & 0x80 else start + 6
        for number in range(count):
            ioa = first + number
            if not vsq & 0x80:
                ioa = little24(buf, at)
                at += 3
            # the frequent types here: a call with an array for each value would cost more than all the rest
            if base == 13:
                words[0] = np.uint32(little32(buf, at))
                value, quality, detail = float(reals[0]), octet(buf, at + 4) & 0xF1, 0
                if not np.isfinite(value):
                    quality |= 0x80
            elif base in (1, 3):  # SIQ, DIQ
                value, quality, detail = float(buf[at] & base), octet(buf, at) & 0xF0, 0
            elif base in (9, 11):
                raw = little16(buf, at)
                signed = raw - 65_536 if raw > 32_767 else raw
                value, quality, detail = signed / 32_768.0 if base == 9 else float(signed), octet(buf, at + 2) & 0xF1, 0
            else:
                value, quality, detail = _element(buf, at, base)
            time_ns = time_bits = 0
            if type_id >= 30:
                stamp = at + size - 7
                this_minute = little32(buf, stamp + 2) | octet(buf, stamp + 6) << 32
                if this_minute != last_minute:  # values of one read mostly share it
                    last_minute = this_minute
                    start_ns, bits = cp56.minute(buf, stamp, year, zone_ns, summer_ns)
                milliseconds = little16(buf, stamp)
                time_bits = bits
                if start_ns < 0 or milliseconds > 59_999:
                    time_bits |= 1
                    quality |= 1 << 22  # Quality.TIME_INVALID
                else:
                    time_ns = start_ns + milliseconds * 1_000_000
                    if time_ns < earliest_ns or time_ns > newest_ns:
                        time_ns = 0
                        quality |= 1 << 22
                        counts[_DISTRUSTED] += 1
            if cause & 0x80:
                quality |= 1 << 17  # Quality.TEST
            at += size
            found = _find(slots, station | ioa)
            if found >= 0 and slots[found].family not in (family, 0):
                found = -1
            record = out[filled]
            if found < 0:
                record.pid = NO_PID
                unknown += 1
            else:
                record.pid = slots[found].pid
                if base not in (1, 3, 5, 7, 20) and base < 38:
                    if slots[found].scale != 1.0:
                        value *= slots[found].scale
                    if slots[found].offset != 0.0:
                        value += slots[found].offset
            record.channel = channel
            record.cause = cause
            record.time_quality = time_bits
            record.value = value
            record.source_time = time_ns
            record.quality = quality
            record.type_id = type_id
            record.detail = detail
            flags = 0
            if 20 <= cause & 0x3F <= 41:
                flags = 2  # RecordFlag.REFRESH
            elif base in (1, 3, 5, 7, 20) or base >= 38:
                flags = 1  # RecordFlag.EVENT
            if time_ns != 0 and found >= 0:
                if spontaneous and time_ns < late_ns and time_ns < present_tags[found]:
                    flags |= 0x40  # RecordFlag.BACKFILL
                    counts[_BACKFILLED] += 1
                else:
                    present_tags[found] = time_ns
            if answer and known_ns > 0 and found >= 0 and present_tags[found] < known_ns:
                present_tags[found] = known_ns  # it is the state of now, at least of a clock's error ago
            record.flags = flags
            if base == 20 or (base == 15 and detail & 0x60):
                marked += 1
            addresses[filled] = station | ioa
            filled += 1
    counts[_UNKNOWN], counts[_MARKED] = unknown, marked
    return filled, slow_count


class Decoded(NamedTuple):
    """What one read held; made for each read, so of the kind that is made fastest.

    Attributes:
        records: ``POINT_DTYPE``; ``pid`` is ``NO_PID`` where the address (or its type) is unknown.
        addresses: address key of each record (see :func:`address_key`).
        slow: indices into the spans of ASDUs for the slow path, in order.
        unknown: number of records without a point.
        tests: values under test (T = 1) that were left out.
        distrusted: records whose time tag was not believed.
        late: records with ``RecordFlag.BACKFILL``.
        marked: records whose ``detail`` says more than the value: packed status, carry or adjustment of a counter.
        answers: records that answer a request (cause 5, 20 .. 41).
    """

    records: Records
    addresses: npt.NDArray[np.int64]
    slow: list[int]
    unknown: int
    tests: int
    distrusted: int
    late: int
    marked: int
    answers: int


class Decoder:
    """The kernel with its table and the channel's view of time.

    Args:
        table: addresses of the channel's points.
        channel: channel index written to every record.
        zone_minutes: what the station's clock is ahead of UTC.
        summer_minutes: what it is further ahead when it sets SU.
        window_s: time tags older than the first (not in answers to a request), or further ahead than the second, at reception
            are not believed: the record has no source time then, and ``Quality.TIME_INVALID`` although ``time_quality`` does not
            say so; 0 = no bound.
        late_s: age from which a spontaneous value with a tag before that of its point's present value is ``RecordFlag.BACKFILL``;
            0 = never.
        everything: decode values under test too, marked ``Quality.TEST``, and those of an impossible cause (diagnosis).
    """

    def __init__(
        self,
        table: AddressTable,
        channel: int = NO_CHANNEL,
        *,
        zone_minutes: float = 0,
        summer_minutes: float = 60,
        window_s: tuple[float, float] = (0, 0),
        late_s: float = 0,
        everything: bool = False,
    ) -> None:
        self.table = table
        minute = cp56.NS_PER_MINUTE
        limits = [channel, round(zone_minutes * minute), round(summer_minutes * minute), 0, int(everything), 0, 0, 0, 0]
        self._limits = np.array(limits, dtype=np.int64)
        self._counts = np.zeros(6, dtype=np.int64)
        self._past_ns, self._future_ns, self._late_ns = (round(min(span, 1e9) * 1e9) for span in (*window_s, late_s))
        # loads or compiles the kernel now, not at the first value
        self.decode(np.frombuffer(b"", dtype=np.uint8), np.zeros((0, 4), dtype=np.int64), 0, 0)

    def trust_clocks(self, *, known: bool) -> None:
        """Whether the stations' clocks are known to be right within ``late_s``.

        Then an answer to a request, which is the state of now, makes later what was stamped so long before it.
        """
        self._limits[_CLOCK_KNOWN] = known

    def decode(self, buf: npt.NDArray[np.uint8], spans: npt.NDArray[np.int64], objects: int, received_at: int) -> Decoded:
        """Decode all ASDUs of a read.

        Args:
            buf: octets of the read.
            spans: rows (offset, length, sequence number) of ASDUs in it.
            objects: upper bound of their objects.
            received_at: ns UTC; centre of the year window.
        """
        out = np.empty(objects, dtype=POINT_DTYPE)
        addresses = np.empty(objects, dtype=np.int64)
        slow = np.empty(len(spans), dtype=np.int64)
        self._limits[_RECEIVED] = received_at
        self._limits[_OLDEST] = received_at - self._past_ns if self._past_ns else 0
        self._limits[_NEWEST] = received_at + self._future_ns if self._future_ns else _NO_END
        self._limits[_LATE] = received_at - self._late_ns if self._late_ns else 0
        table = self.table
        filled, slow_count = decode_spans(
            buf, spans, table.slots, table.present_tags, self._limits, out, addresses, slow, self._counts
        )
        return Decoded(out[:filled], addresses[:filled], slow[:slow_count].tolist(), *self._counts.tolist())


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    _hash(1)
    Decoder(AddressTable())
