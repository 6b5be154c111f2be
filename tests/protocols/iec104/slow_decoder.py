"""A second reading of the monitor direction, written from the standard's tables alone: slow, plain, and sharing no code.

It judges what the machine makes of octets: which values are in them, and whether they must end the connection.
"""

import math
import struct
from datetime import UTC, datetime

SIZES = {
    1: 1, 3: 1, 5: 2, 7: 5, 9: 3, 11: 3, 13: 5, 15: 5, 20: 5, 21: 2,
    30: 8, 31: 8, 32: 9, 33: 12, 34: 10, 35: 10, 36: 12, 37: 12, 38: 10, 39: 11, 40: 11,
}  # fmt: skip
PLAIN = {30: 1, 31: 3, 32: 5, 33: 7, 34: 9, 35: 11, 36: 13, 37: 15}
LIVE = {1, 2, 3, 5, 11, 12, *range(20, 42)}
EVENT, REFRESH, LATE = 1, 2, 0x40
TIME_INVALID = 1 << 22


def family(type_id):
    plain = PLAIN.get(type_id, type_id)
    return 9 if plain == 21 else plain


def value_of(plain, octets):
    """(value, quality word, detail) of an element without its time."""
    if plain in (1, 3):
        return octets[0] & (1 if plain == 1 else 3), octets[0] & 0xF0, 0
    if plain == 5:
        step = octets[0] & 0x7F
        return step - 128 if step >= 64 else step, octets[1] & 0xF1, octets[0] >> 7
    if plain == 7:
        return int.from_bytes(octets[:4], "little"), octets[4] & 0xF1, 0
    if plain in (9, 11, 21):
        number = int.from_bytes(octets[:2], "little", signed=True)
        return number if plain == 11 else number / 2**15, octets[2] & 0xF1 if plain != 21 else 0, 0
    if plain == 13:
        number = struct.unpack("<f", octets[:4])[0]
        return number, octets[4] & 0xF1 | (0 if math.isfinite(number) else 0x80), 0
    if plain == 15:
        mark = octets[4]
        return int.from_bytes(octets[:4], "little", signed=True), mark & 0x80 | (0x100 if mark & 0x40 else 0), mark & 0x7F
    if plain == 20:
        return int.from_bytes(octets[:2], "little"), octets[4] & 0xF1, int.from_bytes(octets[2:4], "little")
    if plain == 38:
        return octets[0] & 3, octets[0] & 0xF0, 0xFFFF if octets[0] & 8 else int.from_bytes(octets[1:3], "little")
    elapsed = 0xFFFF if octets[1] & 8 else int.from_bytes(octets[2:4], "little")
    return octets[0] & (0x3F if plain == 39 else 0x0F), octets[1] & 0xF0, elapsed


def time_of(octets, now_ns):
    """(ns UTC or None, time quality) of CP56Time2a, zone UTC, summer one hour ahead."""
    bits = (1 if octets[2] & 0x80 else 0) | (2 if octets[3] & 0x80 else 0) | (4 if octets[2] & 0x40 else 0)
    milliseconds = octets[0] | octets[1] << 8
    this_year = datetime.fromtimestamp(now_ns // 10**9, UTC).year
    year = 1900 + (octets[6] & 0x7F)
    while this_year - year > 50:
        year += 100
    try:
        start = datetime(year, octets[5] & 0xF, octets[4] & 0x1F, octets[3] & 0x1F, octets[2] & 0x3F, tzinfo=UTC)
    except ValueError:
        return None, bits | 1
    if bits & 1 or milliseconds > 59_999 or year < 1970:
        return None, bits | 1
    return (int(start.timestamp()) - (3600 if bits & 2 else 0)) * 10**9 + milliseconds * 10**6, bits


def objects_of(asdu):
    """(type, cause octet, common address, [(ioa, element)]); None if it is no whole ASDU of monitored values."""
    type_id, vsq, cause = asdu[0], asdu[1], asdu[2]
    size, count = SIZES.get(type_id), vsq & 0x7F
    if size is None or count == 0:
        return None
    body = asdu[6:]
    if vsq & 0x80:
        first = int.from_bytes(body[:3], "little")
        if len(body) != 3 + count * size or first + count > 2**24:
            return None
        found = [(first + n, body[3 + n * size : 3 + (n + 1) * size]) for n in range(count)]
    else:
        step = 3 + size
        if len(body) != count * step:
            return None
        found = [(int.from_bytes(body[at : at + 3], "little"), body[at + 3 : at + step]) for at in range(0, len(body), step)]
    return type_id, cause, asdu[4] | asdu[5] << 8, found


class SlowDecoder:
    """One connection, from the confirmation of data transfer on.

    Args:
        points: (common address, ioa) -> (pid, type).
        past_s, future_s, late_s: as the channel has them.
    """

    def __init__(self, points, past_s, future_s, late_s):
        self.points = points
        self.past, self.future, self.late = (round(span * 1e9) for span in (past_s, future_s, late_s))
        self.tags = {}
        self.reset()

    def reset(self):
        self.rest = b""
        self.expected = self.acknowledged = self.sent = 0
        self.asdus = []

    def feed(self, data, now_ns):
        """(values, True if the connection must end) of the octets of one read."""
        self.rest += data
        self.asdus = []
        values = []
        while self.rest:
            verdict = self.frame()
            if verdict == "more":
                break
            if verdict == "end":
                return values, True
            if verdict is not None:
                self.asdus.append(verdict)
                values += self.values(verdict, now_ns)
        return values, False

    def frame(self):
        """What the next frame says: ``more``, ``end``, None (S and U), or its ASDU."""
        data = self.rest
        if data[0] != 0x68:
            return "end"
        if len(data) < 2:
            return "more"
        length = data[1]
        if not 4 <= length <= 253:
            return "end"
        if len(data) < 2 + length:
            return "more"
        frame, self.rest = data[: 2 + length], data[2 + length :]
        one, two, three, four = frame[2:6]
        if one & 3 == 3:
            known = frame[2:] in (b"\x43\0\0\0", b"\x83\0\0\0")
            return None if known else "end"
        if three & 1 or (one & 1 and (one != 1 or two or length != 4)) or (not one & 1 and length < 10):
            return "end"
        received = three >> 1 | four << 7
        if (received - self.acknowledged) % 32768 > (self.sent - self.acknowledged) % 32768:
            return "end"
        if one & 1:
            self.acknowledged = received
            return None
        if one >> 1 | two << 7 != self.expected:
            return "end"
        self.acknowledged = received
        self.expected = (self.expected + 1) % 32768
        return frame[6:]

    def values(self, asdu, now_ns):
        """(pid, cause octet, time quality, value, time, quality, type, flags, detail) of every live value of a known point."""
        parsed = objects_of(asdu)
        if parsed is None:
            return []
        type_id, cause, station, objects = parsed
        if cause & 0xC0 or cause not in LIVE:
            return []
        plain = PLAIN.get(type_id, type_id)
        values = []
        for ioa, element in objects:
            pid, modelled = self.points.get((station, ioa), (None, None))
            if pid is None or family(modelled) != family(type_id):
                continue
            value, quality, detail = value_of(plain, element)
            time, bits = (None, 0) if type_id < 30 else time_of(element[-7:], now_ns)
            if type_id >= 30 and (time is None or not self.believed(time, cause, now_ns)):
                time, quality = None, quality | TIME_INVALID
            flags = REFRESH if 20 <= cause <= 41 else EVENT if plain in (1, 3, 5, 7, 20, 38, 39, 40) else 0
            if time is not None:
                if cause in (3, 11, 12) and now_ns - time > self.late and time < self.tags.get(pid, 0):
                    flags |= LATE
                else:
                    self.tags[pid] = time
            values.append((pid, cause, bits, float(value), time or 0, quality, type_id, flags, detail))
        return values

    def believed(self, time, cause, now_ns):
        answers = cause == 5 or 20 <= cause <= 41
        return time <= now_ns + self.future and (answers or time >= now_ns - self.past)
