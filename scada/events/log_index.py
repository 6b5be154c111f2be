"""Index of the event log: by time, by the time of the source, and by what an event is about.

Tables: ``times`` (time, number) of every event; ``sources`` (time by which it stands in the sequence of events, number) of every
status line; ``facets`` (number of a name, time, number of the event) for kind, station, path, text key and user; ``names`` the
number of each such name. Distinct names are few even where events are many, so that a text is looked for among the names and the
events are then found by their numbers.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import Final

from scada.events.records import Event, EventKind
from scada.events.soe import order_time
from scada.rtdb.lmdb_file import Transaction

TIMES: Final = "times"
SOURCES: Final = "sources"
FACETS: Final = "facets"
NAMES: Final = "names"
TABLES: Final = (TIMES, SOURCES, FACETS, NAMES)

_LONGEST: Final = 480
"""Bytes of a name in the index; LMDB's keys end at 511."""
_MERGED: Final = 64
"""Ranges that one query merges at most; with more names than this the events themselves are looked through."""
_KIND, _STATION, _PATH, _KEY, _ACTOR = b"k", b"s", b"p", b"t", b"a"
_SEARCHED: Final = (_PATH, _KEY, _ACTOR)


class Order(Enum):
    """In which order events are asked for."""

    NUMBER = "number"
    """Ascending, by the order in which they became durable and visible."""
    TIME = "time"
    """Oldest first, by the time at which we learned of them."""
    NEWEST = "newest"
    """Newest first, by that time."""
    SOURCE = "source"
    """Status lines alone, oldest first by the time of their source."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of the log.

    Attributes:
        order: in which order, and what ``from_ns`` and ``to_ns`` mean.
        after_id: only higher numbers (order by number).
        from_ns: earliest time, included.
        to_ns: latest time, excluded; 0 = no end.
        kinds: only these; empty = all.
        station: only of this station; empty = all.
        text: contained in path, text key or user, any case; empty = all.
        behind: go on behind this event in the order asked.
    """

    order: Order = Order.NEWEST
    after_id: int = 0
    from_ns: int = 0
    to_ns: int = 0
    kinds: frozenset[int] = frozenset()
    station: str = ""
    text: str = ""
    behind: int = 0

    def wants(self, event: Event) -> bool:
        """True if the event is one of those asked for; its place in the order is not looked at."""
        if (self.kinds and event.kind not in self.kinds) or self.station not in ("", event.station):
            return False
        time = self.time_of(event)
        if time < self.from_ns or (self.to_ns and time >= self.to_ns):
            return False
        if self.order is Order.SOURCE and event.kind is not EventKind.STATUS_CHANGE:
            return False
        text = self.text.casefold()
        return not text or any(text in name.casefold() for name in (event.path, event.key, event.actor))

    def time_of(self, event: Event) -> int:
        """The time by which the event stands in the order asked, ns UTC."""
        return order_time(event) if self.order is Order.SOURCE else event.time_ns


class Index:
    """Keeps the tables of the index and walks them. One thread writes; any thread walks.

    Args:
        txn: reads the names known so far.
    """

    def __init__(self, txn: Transaction) -> None:
        self._numbers = {name: int.from_bytes(number, "big") for name, number in txn.ascending(NAMES)}
        self._fresh: list[bytes] = []

    def add(self, txn: Transaction, event: Event) -> None:
        """Enter an event."""
        place = _place(event.time_ns, event.event_id)
        txn.put(TIMES, place, b"")
        if event.kind is EventKind.STATUS_CHANGE:
            txn.put(SOURCES, _place(order_time(event), event.event_id), b"")
        for name in _names(event):
            txn.put(FACETS, self._number(txn, name) + place, b"")

    def remove(self, txn: Transaction, event: Event) -> None:
        """Take an event out."""
        place = _place(event.time_ns, event.event_id)
        txn.delete(TIMES, place)
        if event.kind is EventKind.STATUS_CHANGE:
            txn.delete(SOURCES, _place(order_time(event), event.event_id))
        for name in _names(event):
            if name in self._numbers:
                txn.delete(FACETS, self._numbers[name].to_bytes(4, "big") + place)

    def keep(self) -> None:
        """The transaction of the last additions was committed."""
        self._fresh.clear()

    def undo(self) -> None:
        """It was not: the names it gave numbers to have none."""
        for name in self._fresh:
            del self._numbers[name]
        self._fresh.clear()

    def _number(self, txn: Transaction, name: bytes) -> bytes:
        known = self._numbers.get(name)
        if known is None:
            known = self._numbers[name] = len(self._numbers)
            self._fresh.append(name)
            txn.put(NAMES, name, known.to_bytes(4, "big"))
        return known.to_bytes(4, "big")

    # ------------------------------------------------------------------ walking

    def walk(self, txn: Transaction, query: Query, after: bytes = b"") -> Iterator[bytes]:
        """Places (time, number of the event: 16 bytes) that may be asked for, in the order asked.

        Args:
            txn: reads.
            query: any but by number; what comes out must still be looked at with :meth:`Query.wants`.
            after: go on behind this place.
        """
        if query.order is Order.SOURCE:
            return _upwards(txn, SOURCES, b"", query, after)
        walk = _downwards if query.order is Order.NEWEST else _upwards
        choices = self._choices(query)
        if not choices:
            return walk(txn, TIMES, b"", query, after)
        parts = [walk(txn, FACETS, number, query, after) for number in choices[0]]
        places = _single(heapq.merge(*parts, reverse=query.order is Order.NEWEST))
        others = choices[1:]
        return (place for place in places if all(_is_any(txn, numbers, place) for numbers in others))

    def _choices(self, query: Query) -> list[list[bytes]]:
        """For each thing asked for, the names of which one must be the event's; a choice of too many names is left out."""
        choices = []
        if query.text:
            choices.append(self._containing(query.text.casefold()))
        if query.station:
            choices.append(self._known(_facet(_STATION, query.station)))
        if query.kinds:
            choices.append([number for kind in sorted(query.kinds) for number in self._known(_KIND + bytes([kind]))])
        return [[number.to_bytes(4, "big") for number in numbers] for numbers in choices if len(numbers) <= _MERGED]

    def _known(self, name: bytes) -> list[int]:
        return [self._numbers[name]] if name in self._numbers else []

    def _containing(self, text: str) -> list[int]:
        names = list(self._numbers.items())
        return [
            number
            for name, number in names
            if name[:1] in _SEARCHED and (text in name[1:].decode(errors="ignore").casefold() or len(name) > _LONGEST)
        ]


def build_anew(txn: Transaction, events: Iterable[Event]) -> None:
    """Put the index of these events in place of whatever is there; one without a time has no place in it."""
    for table in TABLES:
        for key in [key for key, _ in txn.ascending(table)]:
            txn.delete(table, key)
    index = Index(txn)
    for event in events:
        if event.time_ns:
            index.add(txn, event)


def _names(event: Event) -> Iterator[bytes]:
    yield _KIND + bytes([event.kind])
    for group, name in ((_STATION, event.station), (_PATH, event.path), (_KEY, event.key), (_ACTOR, event.actor)):
        if name:
            yield _facet(group, name)


def _facet(group: bytes, name: str) -> bytes:
    return group + name.encode()[:_LONGEST]


def _upwards(txn: Transaction, table: str, prefix: bytes, query: Query, after: bytes) -> Iterator[bytes]:
    start = prefix + (after or number_key(query.from_ns))
    keys = (key for key, _ in txn.ascending(table, start))
    return _inside(keys, prefix, after, lambda place: not query.to_ns or place < number_key(query.to_ns))


def _downwards(txn: Transaction, table: str, prefix: bytes, query: Query, after: bytes) -> Iterator[bytes]:
    start = prefix + (after or number_key(query.to_ns or (1 << 64) - 1))
    keys = (key for key, _ in txn.descending(table, start))
    return _inside(keys, prefix, after, lambda place: place >= number_key(query.from_ns))


def _inside(keys: Iterator[bytes], prefix: bytes, after: bytes, in_span: Callable[[bytes], bool]) -> Iterator[bytes]:
    size = len(prefix)
    places = takewhile(in_span, (key[size:] for key in takewhile(lambda key: key[:size] == prefix, keys)))
    return (place for place in places if place != after)


def _is_any(txn: Transaction, numbers: Iterable[bytes], place: bytes) -> bool:
    """True if the event has one of these names."""
    return any(txn.get(FACETS, number + place) is not None for number in numbers)


def _single(places: Iterator[bytes]) -> Iterator[bytes]:
    """Without repetitions, which stand beside each other."""
    last = b""
    for place in places:
        if place != last:
            yield place
        last = place


def _place(time_ns: int, number: int) -> bytes:
    return number_key(time_ns) + number.to_bytes(8, "big")


def number_key(number: int) -> bytes:
    """A time or a number as a key that sorts like it."""
    return max(number, 0).to_bytes(8, "big")


def place_of(query: Query, event: Event) -> bytes:
    """Where an event stands in the order asked."""
    return _place(query.time_of(event), event.event_id)
