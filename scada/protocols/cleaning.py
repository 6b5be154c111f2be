"""Data cleaning at the front end: what cannot be right is flagged and counted, never changed and never left out.

Three groups of findings, as dispatch practice names them: *integrity* (a value that is due does not come), *uniqueness* (a status
change comes twice) and *legitimacy* (out of the instrument's range, faster than the process can change, frozen). The value that
came is always kept; its quality says what was found. One :class:`Cleaner` looks at the values of all channels of a wire, before
they reach the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import isfinite
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from scada.core.batch import POINT_DTYPE, PointBatch, RecordFlag
from scada.core.quality import Quality
from scada.model_cim.tables import Point, PointKind

_EVENTS: Final = frozenset({PointKind.STATUS, PointKind.DOUBLE, PointKind.STEP, PointKind.BITS})


class CleaningFinding(IntEnum):
    """What can be found. The number is a row of the counters; its bit says that a point carries it now."""

    GAP = 0
    """Integrity: nothing came for one and a half of the period in which the point is due."""
    DUPLICATE = 1
    """Uniqueness: the status change before came once more, with the same time, value and quality."""
    RANGE = 2
    """Legitimacy: outside the range of the instrument."""
    RATE = 3
    """Legitimacy: changed faster than the process can."""
    FROZEN = 4
    """Legitimacy: exactly the same for longer than the process can stand still."""


MARKS: Final = {
    CleaningFinding.GAP: Quality.OLD_DATA,
    CleaningFinding.DUPLICATE: Quality.GOOD,
    CleaningFinding.RANGE: Quality.OUT_OF_RANGE | Quality.QUESTIONABLE,
    CleaningFinding.RATE: Quality.SUSPECT | Quality.QUESTIONABLE,
    CleaningFinding.FROZEN: Quality.OLD_DATA,
}
"""Quality bits of each finding (IEC 61970-301 ``Quality61850``). A repeated event is marked by ``RecordFlag.REFRESH`` instead."""

_MARK_BITS: Final = np.array([int(MARKS[one]) for one in CleaningFinding], dtype=np.uint32)
_NO_SLOT: Final = -1
_RULES: Final = ("low", "high", "rate", "frozen_s", "period_s", "channel")
_KNOWN: Final = ("value", "quality", "carried", "time", "seen", "changed")

_STATE: Final = np.dtype(
    [
        ("low", "<f8"),
        ("high", "<f8"),
        ("rate", "<f8"),  # units a second, infinite = not limited
        ("frozen_s", "<f8"),  # infinite = may stand still
        ("period_s", "<f8"),  # infinite = comes when it likes
        ("value", "<f8"),  # last usable one, NaN = none
        ("quality", "<u4"),
        ("carried", "<u4"),  # bits 1 << CleaningFinding
        ("time", "<i8"),  # source time of the last value, 0 = none
        ("seen", "<f8"),  # monotonic seconds of the last value, NaN = none since the channel is up
        ("changed", "<f8"),  # of the last one that differed
        ("pid", "<u4"),
        ("channel", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class CleaningCount:
    """How often one finding was made on one channel.

    Attributes:
        finding: which.
        count: times since the start.
        points: points that carry it now.
        last_pid: point of the last one, -1 = never.
        last_ns: ns UTC of the last one.
    """

    finding: CleaningFinding
    count: int
    points: int
    last_pid: int
    last_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """A finding that a point did not carry before.

    Attributes:
        finding: which.
        pid: the first such point.
        points: how many points are new with it.
    """

    finding: CleaningFinding
    pid: int
    points: int


@dataclass(frozen=True, slots=True, eq=False)
class Stale:
    """Points that went silent or stood still too long: their values are only the last ones.

    Attributes:
        channel: index.
        pids: the points.
        finding: ``GAP`` or ``FROZEN``.
    """

    channel: int
    pids: npt.NDArray[np.uint32]
    finding: CleaningFinding


class Cleaner:
    """Looks at every value of every channel. Used on one thread (the wire's).

    Args:
        points: all points of the model, by pid.
        channels: number of channels.
    """

    def __init__(self, points: Sequence[Point], channels: int) -> None:
        watched = [point for point in points if point.channel >= 0 and (point.kind in _EVENTS or _has_rules(point))]
        self._slots = np.full(max((point.pid for point in points), default=-1) + 1, _NO_SLOT, dtype=np.int32)
        self._state = np.zeros(len(watched), dtype=_STATE)
        for slot, point in enumerate(watched):
            self._slots[point.pid] = slot
            self._state[slot] = _first_state(point)
        self._timed = np.flatnonzero(np.isfinite(self._state["frozen_s"]) | np.isfinite(self._state["period_s"]))
        self._counts = np.zeros((channels, len(CleaningFinding)), dtype=np.int64)
        self._carried = np.zeros((channels, len(CleaningFinding)), dtype=np.int64)
        self._last = np.full((channels, len(CleaningFinding), 2), -1, dtype=np.int64)

    def succeed(self, other: Cleaner) -> None:
        """Go on with the counters of another model version's cleaner, and with what it knows of the points judged as before."""
        mine, theirs = self._state, other._state
        known = self._slots[: len(other._slots)] if len(self._slots) >= len(other._slots) else self._slots
        both = np.flatnonzero((known != _NO_SLOT) & (other._slots[: len(known)] != _NO_SLOT))
        here, there = self._slots[both], other._slots[both]
        same = np.ones(len(both), dtype=np.bool_)
        for name in _RULES:
            same &= mine[name][here] == theirs[name][there]
        for name in _KNOWN:
            mine[name][here[same]] = theirs[name][there[same]]
        channels = min(len(self._counts), len(other._counts))
        self._counts[:channels], self._last[:channels] = other._counts[:channels], other._last[:channels]
        self._count_carried()

    def forget(self, pids: npt.NDArray[np.uint32]) -> None:
        """These points have another source from now on: what comes of it has nothing before it."""
        slots = self._slots[pids]
        self._forget(slots[slots != _NO_SLOT])
        self._count_carried()

    def _forget(self, rows: npt.NDArray[np.integer[Any]]) -> None:
        for name in ("value", "seen", "changed"):
            self._state[name][rows] = np.nan
        self._state["carried"][rows] = 0

    def _count_carried(self) -> None:
        state = self._state
        for finding in CleaningFinding:
            carried = state["channel"][(state["carried"] & (1 << finding)) != 0]
            self._carried[:, finding] = np.bincount(carried, minlength=len(self._carried))

    def check(self, batch: PointBatch, mono: float) -> tuple[PointBatch, list[Found]]:
        """Flag what cannot be right; the batch itself where nothing was found.

        Args:
            batch: values of one channel, in order of arrival.
            mono: monotonic seconds of their arrival.

        Returns:
            The batch to hand on, and what points carry that they did not carry before.
        """
        if not len(self._state):
            return batch, []
        # of one layout: another one would have the kernel compiled anew, in the middle of traffic
        records = np.require(batch.records, requirements=("C", "W"))
        found = np.zeros(len(records), dtype=np.uint8)
        fresh = np.zeros(len(records), dtype=np.uint8)
        counters = self._counts, self._carried, self._last
        if not _check(records, self._slots, self._state, mono, batch.received_at, found, fresh, *counters):
            return batch, []
        flagged = records.copy()
        for finding in CleaningFinding:
            hit = (found & (1 << finding)) != 0
            if finding is CleaningFinding.DUPLICATE:
                flagged["flags"][hit] |= np.uint8(RecordFlag.REFRESH)
            elif hit.any():
                flagged["quality"][hit] |= _MARK_BITS[finding]
        return PointBatch(flagged, batch.received_at, batch.source), _news(records, fresh)

    def tick(self, mono: float, now_ns: int) -> list[Stale]:
        """Points for which it is too long that something came, or that something changed; each is told once.

        Args:
            mono: monotonic seconds.
            now_ns: ns UTC, for the counters.
        """
        late = np.empty(len(self._timed), dtype=np.int64)
        stale = []
        for finding in (CleaningFinding.GAP, CleaningFinding.FROZEN):
            rows = late[: _overdue(self._state, self._timed, mono, int(finding), late)]
            channels = self._state["channel"][rows]
            order = np.argsort(channels, kind="stable")
            for part in np.split(rows[order], np.flatnonzero(np.diff(channels[order])) + 1) if len(rows) else ():
                channel, pids = int(self._state["channel"][part[0]]), self._state["pid"][part]
                self._counts[channel, finding] += len(part)
                self._carried[channel, finding] += len(part)
                self._last[channel, finding] = int(pids[-1]), now_ns
                stale.append(Stale(channel, pids, finding))
        return stale

    def lost(self, channel: int) -> None:
        """The channel is down: nothing is due from it, and what comes later has nothing before it."""
        self._forget(np.flatnonzero(self._state["channel"] == channel))
        self._carried[channel] = 0

    def counts(self, channel: int) -> list[CleaningCount]:
        """Counters of a channel, those that ever counted; may be read by any thread."""
        return [
            CleaningCount(
                finding,
                int(self._counts[channel, finding]),
                int(self._carried[channel, finding]),
                int(self._last[channel, finding, 0]),
                int(self._last[channel, finding, 1]),
            )
            for finding in CleaningFinding
            if self._counts[channel, finding]
        ]


def _has_rules(point: Point) -> bool:
    rules = point.cleaning
    judged = bool(rules.frozen_s) or any(map(isfinite, (point.minimum, point.maximum, rules.rate_per_s)))
    return bool(rules.period_s) or (judged and point.kind is PointKind.ANALOG)


def _first_state(point: Point) -> tuple[float | int, ...]:
    analog, rules, nan, inf = point.kind is PointKind.ANALOG, point.cleaning, float("nan"), float("inf")
    return (
        point.minimum if analog and point.minimum == point.minimum else -inf,
        point.maximum if analog and point.maximum == point.maximum else inf,
        rules.rate_per_s if analog and rules.rate_per_s == rules.rate_per_s else inf,
        (analog and rules.frozen_s) or inf,
        rules.period_s or inf,
        nan, 0, 0, 0, nan, nan,
        point.pid,
        point.channel,
    )  # fmt: skip


def _news(records: npt.NDArray[np.void], fresh: npt.NDArray[np.uint8]) -> list[Found]:
    news = []
    for finding in CleaningFinding:
        hit = np.flatnonzero(fresh & (1 << finding))
        if len(hit):
            pids = records["pid"][hit]
            news.append(Found(finding, int(pids[0]), len(np.unique(pids))))
    return news


@njit(cache=True, nogil=True)
def _check(records, slots, states, mono, now_ns, found, fresh, counts, carried, last):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Judge each record against the state of its point, and keep the state; True if something was found."""
    any_found = False
    for i in range(len(records)):
        pid = records[i].pid
        slot = slots[pid] if pid < len(slots) else -1
        if slot < 0:
            continue
        state = states[slot]
        value, quality, flags, time = records[i].value, records[i].quality, records[i].flags, records[i].source_time
        if flags & 0x40:  # RecordFlag.BACKFILL: late, says nothing of now
            continue
        bits = 0
        again = time != 0 and time == state.time and value == state.value and quality == state.quality
        if (flags & 0x03) == 0x01 and again:  # RecordFlag.EVENT without REFRESH
            bits |= 1 << 1
        usable = (quality & 0xC0) == 0 and value - value == 0.0
        if usable:
            bits |= _judge(state, value, time, mono)
        elif state.carried & (1 << 4):
            bits |= 1 << 4
        state.seen = mono
        state.time, state.quality = time, quality
        if usable:
            if value != state.value or state.changed != state.changed:
                state.changed = mono
            state.value = value
        lasting = bits & ~(1 << 1)
        if bits or state.carried:
            fresh[i] = bits & ~state.carried
            _count(state, bits, lasting, now_ns, counts, carried, last)
        state.carried = lasting
        if bits:
            found[i] = bits
            any_found = True
    return any_found


@njit(cache=True, nogil=True)
def _overdue(states, timed, mono, finding, late):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Number of points for which it has become too long (their slots fill ``late``); they carry the finding from now on.

    One pass and no copies: it runs on the wire loop every second, and a model has a million points.
    """
    bit, count = 1 << finding, 0
    for slot in timed:
        state = states[slot]
        waited, limit = mono - state.seen, 1.5 * state.period_s
        if finding == 4:
            waited, limit = mono - state.changed, state.frozen_s
        if waited > limit and not state.carried & bit:
            state.carried |= bit
            late[count] = slot
            count += 1
    return count


@njit(cache=True, nogil=True)
def _count(state, bits, lasting, now_ns, counts, carried, last):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Count what was found now, and which points carry it; frozen is one finding, however often the same value comes again."""
    channel = state.channel
    for finding in range(5):
        bit = 1 << finding
        if lasting & bit and not state.carried & bit:
            carried[channel, finding] += 1
        elif not lasting & bit and state.carried & bit:
            carried[channel, finding] -= 1
        if bits & bit and (finding != 4 or not state.carried & bit):
            counts[channel, finding] += 1
            last[channel, finding, 0], last[channel, finding, 1] = state.pid, now_ns


@njit(cache=True, nogil=True)
def _judge(state, value, time, mono):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Bits of legitimacy of a usable value."""
    bits = 0
    if value < state.low or value > state.high:
        bits |= 1 << 2
    if state.value == state.value:  # there was one before
        if state.rate != np.inf:
            seconds = (time - state.time) / 1e9 if time != 0 and state.time != 0 else mono - state.seen
            if seconds >= 0 and abs(value - state.value) > state.rate * max(seconds, 0.001):
                bits |= 1 << 3
        if value == state.value and mono - state.changed > state.frozen_s:
            bits |= 1 << 4
    return bits


def warm_up() -> None:
    """Compile the kernel."""
    counts, octets = np.zeros((1, len(CleaningFinding)), dtype=np.int64), np.zeros(0, dtype=np.uint8)
    state, slots = np.zeros(0, dtype=_STATE), np.zeros(0, dtype=np.int32)
    last = np.zeros((1, len(CleaningFinding), 2), dtype=np.int64)
    _overdue(state, np.zeros(0, dtype=np.int64), 0.0, 0, np.zeros(0, dtype=np.int64))
    _check(np.zeros(0, dtype=POINT_DTYPE), slots, state, 0.0, 0, octets, octets, counts, counts, last)
