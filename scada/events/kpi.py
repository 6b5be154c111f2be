"""Figures of the alarm system over a span (EEMUA 191, 3rd edition, appendix 11; IEC 62682:2014 / ANSI/ISA-18.2, clause 16).

An alarm counts each time it is announced. What is suppressed, or goes on while it chatters, is not announced. Periods are ten
minutes long and follow each other from the start of the span; a last one that is shorter counts as a period.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from scada.core.clock import NS_PER_S
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind

PERIOD_NS: Final = 600 * NS_PER_S
FLOOD_BEGINS: Final = 10
"""More alarms than this in a period: a flood (IEC 62682, 16.5.3)."""
FLOOD_ENDS: Final = 5
"""Fewer than this in a later period: it is over."""
STALE_NS: Final = 86_400 * NS_PER_S
_CHATTER_NS: Final = 60 * NS_PER_S
_CHATTER_COUNT: Final = 3
_SHOWN_SOURCES: Final = 10

RAISED: Final = frozenset({EventKind.LIMIT_VIOLATED, EventKind.STATE_ALARM, EventKind.CHANNEL_DOWN, EventKind.QUALITY_BAD})
RETURNED: Final = frozenset(
    {EventKind.LIMIT_RETURNED, EventKind.STATE_RETURNED, EventKind.CHANNEL_UP, EventKind.QUALITY_RETURNED}
)
KINDS: Final = RAISED | RETURNED | {EventKind.ACKNOWLEDGED, EventKind.SUPPRESSED}
"""Kinds of events that the figures are made of."""

_ACTIVE: Final = frozenset({AlarmPhase.UNACK_ACTIVE, AlarmPhase.ACK_ACTIVE})
_SUPPRESSION_ENDS: Final = {
    "alarm.unshelved": SuppressionKind.SHELVED,
    "alarm.shelving_expired": SuppressionKind.SHELVED,
    "alarm.in_service": SuppressionKind.OUT_OF_SERVICE,
}
_SUPPRESSION_BEGINS: Final = {
    "alarm.shelved": SuppressionKind.SHELVED,
    "alarm.out_of_service": SuppressionKind.OUT_OF_SERVICE,
}


@dataclass(frozen=True, slots=True)
class AlarmSource:
    """One alarm (object and text key) and how often it was announced."""

    mrid: str
    path: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class AlarmKpi:
    """The figures; names as in the message ``AlarmKpi`` of the contract."""

    from_ns: int
    to_ns: int
    alarms: int = 0
    per_10_min_mean: float = math.nan
    per_10_min_peak: int = 0
    peak_ns: int = 0
    flood_share: float = math.nan
    floods: int = 0
    standing: int = 0
    stale: int = 0
    chattering: int = 0
    most_frequent: Sequence[AlarmSource] = ()
    most_frequent_share: float = math.nan
    by_priority: Sequence[int] = (0, 0, 0, 0)
    by_class: Sequence[int] = (0, 0, 0, 0, 0)
    acknowledge_median_s: float = math.nan
    acknowledge_p95_s: float = math.nan
    unacknowledged: int = 0
    shelved: int = 0
    by_design: int = 0
    out_of_service: int = 0


@dataclass(frozen=True, slots=True)
class Present:
    """How things stand now, and what happened between the end of the span and now.

    Attributes:
        alarms: present alarms that are shown.
        suppressions: those in force.
        later: events of :data:`KINDS` after the end of the span, in order; gone through once.
        raised_ns: time of an alarm's first event by its ``alarm_id``; 0 = the log does not have it any more.
    """

    alarms: Sequence[Alarm] = ()
    suppressions: Sequence[Suppression] = ()
    later: Iterable[Event] = ()
    raised_ns: Callable[[int], int] = field(default=lambda _: 0)


def alarm_kpi(events: Iterable[Event], from_ns: int, to_ns: int, present: Present, station: str = "") -> AlarmKpi:
    """The figures of a span.

    Args:
        events: of the span, in order of time; others than of :data:`KINDS` are passed over.
        from_ns: start, ns UTC.
        to_ns: end, excluded.
        present: to tell how things stood at the end. What stood then is what stands now, taken back by what happened since;
            what was hidden or shown anew since is told only roughly so, and suppressions by design that ended since not at all.
        station: only of this station; empty = all.
    """
    if to_ns <= from_ns:
        return AlarmKpi(from_ns, max(from_ns, to_ns))
    tally = _Tally(from_ns, to_ns, present.raised_ns)
    for event in events:
        if station in ("", event.station):
            tally.take(event)
    return AlarmKpi(from_ns, to_ns, **tally.figures(), **_at_the_end(to_ns, present, station))  # type: ignore[arg-type]


class _Tally:
    """Counts the events of the span."""

    def __init__(self, from_ns: int, to_ns: int, raised_ns: Callable[[int], int]) -> None:
        self._from_ns = from_ns
        self._span_ns = to_ns - from_ns
        self._raised_ns = raised_ns
        self._periods = np.zeros(-(-self._span_ns // PERIOD_NS), dtype=np.int64)
        self._sources: Counter[tuple[str, str]] = Counter()
        self._paths: dict[tuple[str, str], str] = {}
        self._recent: dict[tuple[str, str], deque[int]] = {}
        self._chattering: set[tuple[str, str]] = set()
        self._priorities: Counter[int] = Counter()
        self._classes: Counter[int] = Counter()
        self._announced: dict[int, int] = {}
        self._acknowledged_s: list[float] = []

    def take(self, event: Event) -> None:
        """Count one event."""
        if event.kind in RAISED and event.alarm_id:
            self._take_raised(event)
        elif event.kind is EventKind.ACKNOWLEDGED:
            began = self._announced.get(event.alarm_id) or self._raised_ns(event.alarm_id)
            if began:
                self._acknowledged_s.append(max(0, event.time_ns - began) / NS_PER_S)
        elif event.key == "alarm.chattering":
            self._chattering.add((event.mrid, event.parameters.get("alarm", "")))

    def _take_raised(self, event: Event) -> None:
        source = event.mrid, event.key
        self._periods[(event.time_ns - self._from_ns) // PERIOD_NS] += 1
        self._sources[source] += 1
        self._paths[source] = event.path
        self._priorities[event.priority] += 1
        self._classes[event.alarm_class] += 1
        self._announced.setdefault(event.alarm_id, event.time_ns)
        recent = self._recent.setdefault(source, deque(maxlen=_CHATTER_COUNT))
        recent.append(event.time_ns)
        if len(recent) == _CHATTER_COUNT and recent[-1] - recent[0] <= _CHATTER_NS:
            self._chattering.add(source)

    def figures(self) -> dict[str, object]:
        """What the events alone tell."""
        total = sum(self._sources.values())
        busiest = int(self._periods.argmax())
        frequent = sorted(self._sources.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN_SOURCES]
        waits = np.array(self._acknowledged_s)
        return {
            "alarms": total,
            "per_10_min_mean": total * PERIOD_NS / self._span_ns,
            "per_10_min_peak": int(self._periods[busiest]),
            "peak_ns": self._from_ns + busiest * PERIOD_NS if total else 0,
            "flood_share": float((self._periods > FLOOD_BEGINS).mean()),
            "floods": _floods(self._periods.tolist()),
            "chattering": len(self._chattering),
            "most_frequent": [AlarmSource(mrid, self._paths[mrid, key], key, count) for (mrid, key), count in frequent],
            "most_frequent_share": sum(count for _, count in frequent) / total if total else math.nan,
            "by_priority": [self._priorities[priority] for priority in range(1, 5)],
            "by_class": [self._classes[each] for each in range(1, 6)],
            "acknowledge_median_s": float(np.median(waits)) if len(waits) else math.nan,
            "acknowledge_p95_s": float(np.percentile(waits, 95)) if len(waits) else math.nan,
        }


def _floods(periods: Iterable[int]) -> int:
    """A flood begins in a period of more than 10 alarms and is over before the next one of fewer than 5."""
    floods, flooded = 0, False
    for count in periods:
        if not flooded and count > FLOOD_BEGINS:
            floods += 1
            flooded = True
        elif count < FLOOD_ENDS:
            flooded = False
    return floods


def _at_the_end(to_ns: int, present: Present, station: str) -> dict[str, int]:
    """How many alarms stood, and were suppressed, when the span ended."""
    raised: set[int] = set()
    turned: dict[int, bool] = {}
    acknowledged: dict[int, bool] = {}
    ended: dict[tuple[str, str, SuppressionKind], bool] = {}
    for event in present.later:
        if station not in ("", event.station):
            continue
        kind = _SUPPRESSION_ENDS.get(event.key) or _SUPPRESSION_BEGINS.get(event.key)
        if kind:
            ended.setdefault((event.mrid, event.parameters.get("alarm", ""), kind), event.key in _SUPPRESSION_ENDS)
        number = event.alarm_id
        if not number:
            continue
        if event.event_id == number:
            raised.add(number)
        if event.kind in RETURNED or event.key == "alarm.returned_suppressed":
            turned.setdefault(number, True)
        elif event.kind in RAISED:
            turned.setdefault(number, False)
        elif event.kind is EventKind.ACKNOWLEDGED:
            acknowledged.setdefault(number, True)
    standing = {alarm.alarm_id: alarm for alarm in present.alarms if station in ("", alarm.station)}
    known = (standing.keys() | turned.keys() | acknowledged.keys()) - raised
    active = {n for n in known if turned.get(n, n in standing and standing[n].phase in _ACTIVE)}
    unseen = {n for n in known if acknowledged.get(n, n in standing and standing[n].phase != AlarmPhase.ACK_ACTIVE)}
    began = {n: standing[n].raised_ns if n in standing else present.raised_ns(n) for n in active}
    return {
        "standing": len(active),
        "stale": sum(0 < to_ns - time_ns > STALE_NS for time_ns in began.values() if time_ns),
        "unacknowledged": len(unseen),
        **_suppressed(to_ns, present, station, ended),
    }


def _suppressed(
    to_ns: int, present: Present, station: str, ended: dict[tuple[str, str, SuppressionKind], bool]
) -> dict[str, int]:
    """How many suppressions were in force; ``ended``: of those that turned later, whether the first turn was an end."""
    in_force = {one.name for one in present.suppressions if station in ("", one.station) and one.since_ns < to_ns}
    in_force |= {name for name, ends in ended.items() if ends}
    kinds = Counter(kind for _, _, kind in in_force)
    return {
        "shelved": kinds[SuppressionKind.SHELVED],
        "by_design": kinds[SuppressionKind.BY_DESIGN],
        "out_of_service": kinds[SuppressionKind.OUT_OF_SERVICE],
    }
