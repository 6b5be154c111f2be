"""The event log: every event under its number, the present alarms and suppressions beside it, each batch in one synced write."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeVar

from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import StoreError
from scada.events import log_index
from scada.events.codec import decode_alarm, decode_event, decode_suppression, encode, event_or_fault
from scada.events.log_index import Index, Order, Query, number_key, place_of
from scada.events.records import Alarm, AlarmPhase, Event, EventKind, Suppression, SuppressionKind
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, quarantine

_NAME: Final = "events"
_LAYOUT: Final = 2
_EVENTS: Final = "events"
_HELD: Final = "held"
_ALARMS: Final = "alarms"
_SUPPRESSIONS: Final = "suppressions"
_META: Final = "meta"
_TABLES: Final = (_EVENTS, _HELD, _ALARMS, _SUPPRESSIONS, _META, *log_index.TABLES)
_SEQ: Final = b"seq"
_LAST: Final = b"last_id"
_FULL_AT: Final = 0.8
_TRIM: Final = 2000
_PAGE: Final = 2000
_MAX_WAITING: Final = 100_000
_SEQ_STEP: Final = 50_000
_RETRY_S: Final = 1.0
_DAY_NS: Final = 86_400 * NS_PER_S
_LONGEST_KEY: Final = 500
Name = TypeVar("Name")
State = TypeVar("State", Alarm, Suppression)


class EventLog:
    """Numbered, durable events. One thread appends; any thread queries.

    An event is durable when :meth:`append` returned it, unless ``fault`` is set: with a full disk events go on being numbered,
    returned and readable, wait in memory and are retried every second; ``stored_id`` says how far the disk is. If more than
    100 000 wait, the oldest are given up and counted in ``lost``.

    When 80 % of the map are used, the oldest events make room (never a present alarm or suppression);
    :meth:`expire` removes those that are too old.

    Args:
        path: folder; made if absent.
        clock: for retries, and for naming a file that is moved aside.
        map_mb: fixed size of the file.
        keep_days: events older than this are removed by :meth:`expire`; 0 = only space counts.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.

    Attributes:
        last_id: number of the last event.
        stored_id: number of the last event on disk.
        seq: RTDB sequence number up to which changes were turned into events; after a restart go on with the changes after it.
        stored_seq: ``seq`` as it stands on disk: where the next life goes on, also after a kill.
        fault: why the log cannot be written at present, or None.
        lost: events given up unwritten since the log was opened.
    """

    def __init__(self, path: Path, clock: Clock, *, map_mb: int = 512, keep_days: int = 0) -> None:
        self._clock = clock
        self._keep_ns = keep_days * _DAY_NS
        self.fault: StoreError | None = None
        self.lost = 0
        self._retry_at = 0.0
        self._file = LmdbFile(
            path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=_TABLES, upgrades=MappingProxyType({1: _index_anew})
        )
        try:
            self._read_state()
        except BaseException:
            self._file.close()
            raise
        self.stored_id = self._reserved = self.last_id
        self.stored_seq = self.seq
        self._waiting: deque[Event] = deque()
        self._waiting_held: dict[int, Event] = {}
        self._waiting_alarms: dict[int, Alarm] = {}
        self._waiting_suppressions: dict[tuple[str, str, SuppressionKind], Suppression] = {}

    def _read_state(self) -> None:
        with self._file.read() as txn:
            self.last_id = _number(txn.get(_META, _LAST))
            self.seq = _number(txn.get(_META, _SEQ))
            self._alarms = {_number(key): decode_alarm(blob, self._where) for key, blob in txn.ascending(_ALARMS)}
            self._held = {_number(key): decode_event(blob, self._where) for key, blob in txn.ascending(_HELD)}
            suppressions = [decode_suppression(blob, self._where) for _, blob in txn.ascending(_SUPPRESSIONS)]
            self._suppressions = {one.name: one for one in suppressions}
            self._index = Index(txn)

    @classmethod
    def open_or_quarantine(cls, path: Path, clock: Clock, *, map_mb: int = 512, keep_days: int = 0) -> tuple[EventLog, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Numbers then go on from the time in milliseconds, so that none is used twice. Returns the log and what happened in one
        sentence, empty if nothing; any other fault is raised as :class:`~scada.core.errors.StoreError`.
        """
        try:
            return cls(path, clock, map_mb=map_mb, keep_days=keep_days), ""
        except CorruptFileError as error:
            now = clock.now_ns()
            aside = quarantine(path, _NAME, now)
            log = cls(path, clock, map_mb=map_mb, keep_days=keep_days)
            log.last_id = log.stored_id = log._reserved = now // 1_000_000
            return log, f"{error.what}; {error.where} was moved to {aside.name} and an empty event log started"

    @property
    def _where(self) -> str:
        return str(self._file.path)

    # ------------------------------------------------------------------ writing

    def next_id(self) -> int:
        """Reserve the number of an event to come (the alarm engine names alarms by it); append it before any other event."""
        self._reserved = max(self._reserved, self.last_id) + 1
        return self._reserved

    def forget_reserved(self) -> None:
        """Numbers reserved and not used are given again; call where whoever reserved them is gone."""
        self._reserved = self.last_id

    def append(
        self,
        events: Sequence[Event],
        *,
        alarms: Sequence[Alarm] = (),
        suppressions: Sequence[Suppression] = (),
        hold: Sequence[Event] = (),
        seq: int = 0,
    ) -> list[Event]:
        """Number and store events with the alarms and suppressions they changed, all or nothing, synced.

        Args:
            events: in order; those without a number get the next ones. Lines that were held are held no more.
            alarms: new states (:meth:`scada.events.alarms.AlarmEngine.take_changed`); ``NORMAL`` removes one.
            suppressions: new states; kind ``NONE`` removes one.
            hold: lines of the sequence of events to be kept safe until they are appended (:meth:`held` after a restart).
            seq: RTDB sequence number of the last change judged, also where it gave no event; 0 = none. Alone it is written
                every 50 000 numbers and at :meth:`close`, for it only saves work after a restart.

        Returns:
            The numbered events, to be shown.

        Raises:
            ValueError: a number is not higher than the last one.
        """
        numbered = []
        for event in events:
            number = event.event_id or self.next_id()
            if number <= self.last_id:
                raise ValueError(f"event {number} comes after event {self.last_id}")
            self.last_id = number
            numbered.append(event if event.event_id else replace(event, event_id=number))
        self.seq = seq or self.seq
        self._waiting.extend(numbered)
        self._waiting_alarms.update((alarm.alarm_id, alarm) for alarm in alarms)
        self._waiting_suppressions.update((one.name, one) for one in suppressions)
        self._waiting_held.update((line.seq, line) for line in hold)
        for event in numbered:  # what is released before it was ever written as held needs no place there
            if event.kind is EventKind.STATUS_CHANGE:
                self._waiting_held.pop(event.seq, None)
        if self._anything_waits() and (self.fault is None or self._clock.monotonic() >= self._retry_at):
            self._write()
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        return numbered

    def _anything_waits(self) -> bool:
        waiting = self._waiting or self._waiting_alarms or self._waiting_suppressions or self._waiting_held
        return bool(waiting) or self.seq - self.stored_seq >= _SEQ_STEP

    def _write(self) -> None:
        try:
            with self._file.write() as txn:
                self._write_events(txn)
                self._write_state(txn)
                if sum(txn.size(table) for table in _TABLES) > _FULL_AT * self._file.map_bytes:
                    self._remove_oldest(txn, max(_TRIM, 2 * len(self._waiting)), lambda _: True)
        except StoreError as error:
            self._index.undo()
            self.fault = error
            self._retry_at = self._clock.monotonic() + _RETRY_S
            return
        self._index.keep()
        self.fault = None
        self.stored_id = self.last_id
        self.stored_seq = self.seq
        self._held.update(self._waiting_held)
        for event in self._waiting:
            if event.kind is EventKind.STATUS_CHANGE:
                self._held.pop(event.seq, None)
        _merge(self._alarms, self._waiting_alarms)
        _merge(self._suppressions, self._waiting_suppressions)
        self._waiting_alarms, self._waiting_suppressions, self._waiting_held = {}, {}, {}
        self._waiting = deque()

    def _write_events(self, txn: Transaction) -> None:
        for line in self._waiting_held.values():
            txn.put(_HELD, number_key(line.seq), encode(line))
        for event in self._waiting:
            txn.put(_EVENTS, number_key(event.event_id), encode(event))
            self._index.add(txn, event)
            if event.kind is EventKind.STATUS_CHANGE and event.seq in self._held:
                txn.delete(_HELD, number_key(event.seq))

    def _write_state(self, txn: Transaction) -> None:
        for alarm in self._waiting_alarms.values():
            _put(txn, _ALARMS, number_key(alarm.alarm_id), alarm)
        for one in self._waiting_suppressions.values():
            _put(txn, _SUPPRESSIONS, _name_key(one), one)
        txn.put(_META, _LAST, number_key(self.last_id))
        txn.put(_META, _SEQ, number_key(self.seq))

    def expire(self) -> int:
        """Remove some of the events that are older than ``keep_days``.

        Returns:
            How many; call again until it is 0.
        """
        limit = self._clock.now_ns() - self._keep_ns
        if not self._keep_ns or self.fault is not None or not 0 < self.oldest_ns() < limit:
            return 0
        try:
            with self._file.write() as txn:
                return self._remove_oldest(txn, _TRIM, lambda event: event.time_ns < limit)
        except StoreError:  # what keeps the log from being written is told where events are lost by it
            return 0

    def _remove_oldest(self, txn: Transaction, count: int, may_go: Callable[[Event], bool]) -> int:
        """Remove the oldest events, in order, as long as they may go; the newest always stays."""
        doomed = [key for key, _ in islice(txn.ascending(_EVENTS), min(count, txn.count(_EVENTS) - 1))]
        for done, key in enumerate(doomed):
            event = event_or_fault(_number(key), txn.get(_EVENTS, key) or b"", 0, self._where)
            if not may_go(event):
                return done
            txn.delete(_EVENTS, key)
            self._index.remove(txn, event)
        return len(doomed)

    def close(self) -> None:
        """Write what waits and close; may be called twice.

        Raises:
            StoreError: the last events could not be written.
        """
        if self._file.closed:
            return
        self._write()
        self._file.close()
        if self.fault is not None:
            raise self.fault

    # ------------------------------------------------------------------ reading, from any thread

    def alarms(self) -> list[Alarm]:
        """The alarms as of :attr:`seq`, by number: what :meth:`AlarmEngine.restore` takes after a restart."""
        return sorted(_merge(dict(self._alarms), self._waiting_alarms).values(), key=lambda alarm: alarm.alarm_id)

    def suppressions(self) -> list[Suppression]:
        """The suppressions as of :attr:`seq`."""
        return list(_merge(dict(self._suppressions), self._waiting_suppressions).values())

    def held(self) -> list[Event]:
        """Lines of the sequence of events that are not yet numbered, by the number of their change."""
        known = self._held | self._waiting_held
        numbered = {event.seq for event in self._waiting if event.kind is EventKind.STATUS_CHANGE}
        return [known[seq] for seq in sorted(known.keys() - numbered)]

    def oldest_ns(self) -> int:
        """Time of the oldest event, ns UTC; 0 = there is none."""
        with self._file.read() as txn:
            return next((_number(place[:8]) for place, _ in txn.ascending(log_index.TIMES)), 0)

    def get(self, event_id: int) -> Event | None:
        """One event; None if the log does not have it."""
        waiting = tuple(self._waiting)  # before the file is read: what is written meanwhile is found there
        with self._file.read() as txn:
            blob = txn.get(_EVENTS, number_key(event_id))
        if blob is not None:
            return event_or_fault(event_id, blob, 0, self._where)
        return next((event for event in waiting if event.event_id == event_id), None)

    def query(
        self, *, after_id: int = 0, from_ns: int = 0, to_ns: int = 0, kinds: Iterable[int] = (), limit: int = 1000
    ) -> list[Event]:
        """Stored events.

        Args:
            after_id: events with a higher number, ascending; 0 = the newest, newest first.
            from_ns: earliest time (of :attr:`Event.time_ns`), included.
            to_ns: latest time, excluded; 0 = no end.
            kinds: only these :class:`EventKind`; empty = all.
            limit: at most so many, 0 = 1000.
        """
        order = Order.NUMBER if after_id else Order.NEWEST
        return self.find(Query(order, after_id, from_ns, to_ns, frozenset(int(kind) for kind in kinds)), limit or 1000)

    def find(self, query: Query, limit: int) -> list[Event]:
        """The first ``limit`` events of :meth:`walk`."""
        return list(islice(self.walk(query, limit), limit))

    def walk(self, query: Query, expected: int = _PAGE) -> Iterator[Event]:
        """All events of a query, in its order, read by short transactions. A damaged one is answered by an event that says so.

        Args:
            query: what is asked.
            expected: how many will be taken, about.
        """
        waiting = tuple(self._waiting)  # before the number is read: what is written meanwhile is found in the file
        with self._file.read() as txn:
            stored = _number(txn.get(_META, _LAST))
        newest_first = query.order is Order.NEWEST
        above = max(stored, query.after_id if query.order is Order.NUMBER else 0)
        unstored = [event for event in waiting if event.event_id > above and query.wants(event)]
        if query.order is not Order.NUMBER:
            unstored.sort(key=lambda event: place_of(query, event), reverse=newest_first)
        after = b""
        if query.behind:
            last = self.get(query.behind)
            if last is None:
                return
            after = place_of(query, last)
            unstored = [
                event
                for event in unstored
                if (place_of(query, event) < after) == newest_first and event.event_id != last.event_id
            ]
        if newest_first:
            yield from unstored
        yield from self._walk_stored(query, after, stored, min(max(2 * expected, 64), _PAGE))
        if not newest_first:
            yield from unstored

    def _walk_stored(self, query: Query, after: bytes, stored: int, page: int) -> Iterator[Event]:
        after_id = query.after_id
        found: list[tuple[int, int, bytes | None]]
        while True:
            with self._file.read() as txn:
                if query.order is Order.NUMBER:
                    rows = txn.ascending(_EVENTS, number_key(after_id + 1))
                    found = [(0, _number(key), blob) for key, blob in islice(rows, page)]
                else:
                    places = list(islice(self._index.walk(txn, query, after), page))
                    found = [(_number(place[:8]), _number(place[8:]), txn.get(_EVENTS, place[8:])) for place in places]
                    after = places[-1] if places else after
            if not found:
                return
            for time_ns, number, blob in found:
                after_id = number
                if blob is not None and number <= stored:
                    event = event_or_fault(number, blob, time_ns, self._where)
                    if query.wants(event):
                        yield event


def _index_anew(txn: Transaction) -> None:
    """Layout 1 had events and an index by time alone. A damaged event stays, and says so when it is asked for by number."""
    log_index.build_anew(txn, (event_or_fault(_number(key), blob, 0, _NAME) for key, blob in txn.ascending(_EVENTS)))


def _merge(kept: dict[Name, State], fresh: Mapping[Name, State]) -> dict[Name, State]:
    """Take new states over; what is over goes."""
    for name, one in fresh.items():
        if _is_over(one):
            kept.pop(name, None)
        else:
            kept[name] = one
    return kept


def _put(txn: Transaction, table: str, key: bytes, one: Alarm | Suppression) -> None:
    if _is_over(one):
        txn.delete(table, key)
    else:
        txn.put(table, key, encode(one))


def _is_over(one: Alarm | Suppression) -> bool:
    return one.phase == AlarmPhase.NORMAL if isinstance(one, Alarm) else one.kind is SuppressionKind.NONE


def _name_key(suppression: Suppression) -> bytes:
    mrid, key, kind = suppression.name
    return f"{mrid}\0{key}".encode()[:_LONGEST_KEY] + bytes([kind])


def _number(key: bytes | None) -> int:
    return int.from_bytes(key, "big") if key else 0
