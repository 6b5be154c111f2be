"""The event log: every event under its number, and the present alarms beside it, each batch in one fully synced transaction."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import StoreError
from scada.events.codec import decode_alarm, decode_event, encode
from scada.events.records import Alarm, AlarmPhase, Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.lmdb_file import CorruptFileError, LmdbFile, Transaction, quarantine

_NAME: Final = "events"
_LAYOUT: Final = 1
_EVENTS: Final = "events"
_TIMES: Final = "times"
_ALARMS: Final = "alarms"
_META: Final = "meta"
_SEQ: Final = b"seq"
_LAST: Final = b"last_id"
_FULL_AT: Final = 0.8
_TRIM: Final = 2000
_MAX_WAITING: Final = 100_000
_SEQ_STEP: Final = 50_000
_RETRY_S: Final = 1.0


class EventLog:
    """Numbered, durable events. One thread appends; any thread queries.

    An event is durable when :meth:`append` returned it, unless ``fault`` is set: with a full disk events go on being numbered,
    returned and readable, wait in memory and are retried every second; ``stored_id`` says how far the disk is. If more than
    100 000 wait, the oldest are given up and counted in ``lost``.

    When 80 % of the map are used, the oldest events make room (never a present alarm).

    Args:
        path: folder; made if absent.
        clock: for retries, and for naming a file that is moved aside.
        map_mb: fixed size of the file.

    Raises:
        StoreError: see :class:`scada.rtdb.lmdb_file.LmdbFile`.

    Attributes:
        last_id: number of the last event.
        stored_id: number of the last event on disk.
        seq: RTDB sequence number up to which changes were turned into events; after a restart go on with the changes after it.
        fault: why the log cannot be written at present, or None.
        lost: events given up unwritten since the log was opened.
    """

    def __init__(self, path: Path, clock: Clock, *, map_mb: int = 512) -> None:
        self._clock = clock
        self.fault: StoreError | None = None
        self.lost = 0
        self._retry_at = 0.0
        self._file = LmdbFile(path, _NAME, layout=_LAYOUT, map_mb=map_mb, databases=(_EVENTS, _TIMES, _ALARMS, _META))
        try:
            with self._file.read() as txn:
                self.last_id = _number(txn.get(_META, _LAST))
                self.seq = _number(txn.get(_META, _SEQ))
                self._alarms = {_number(key): decode_alarm(blob, self._where) for key, blob in txn.ascending(_ALARMS)}
        except BaseException:
            self._file.close()
            raise
        self.stored_id = self._reserved = self.last_id
        self._stored_seq = self.seq
        self._waiting: deque[Event] = deque()
        self._waiting_alarms: dict[int, Alarm] = {}

    @classmethod
    def open_or_quarantine(cls, path: Path, clock: Clock, *, map_mb: int = 512) -> tuple[EventLog, str]:
        """Open; if the file is damaged, move it aside (``*.corrupt-<ns>``) and start empty.

        Numbers then go on from the time in milliseconds, so that none is used twice.

        Returns:
            The log and what happened in one sentence, empty if nothing.

        Raises:
            StoreError: any other fault.
        """
        try:
            return cls(path, clock, map_mb=map_mb), ""
        except CorruptFileError as error:
            now = clock.now_ns()
            aside = quarantine(path, _NAME, now)
            log = cls(path, clock, map_mb=map_mb)
            log.last_id = log.stored_id = log._reserved = now // 1_000_000
            return log, f"{error.what}; {error.where} was moved to {aside.name} and an empty event log started"

    @property
    def _where(self) -> str:
        return str(self._file.path)

    @property
    def stored_seq(self) -> int:
        """``seq`` as it stands on disk: where the next life goes on, also after a kill."""
        return self._stored_seq

    # ------------------------------------------------------------------ writing

    def next_id(self) -> int:
        """Reserve the number of an event to come (the alarm engine names alarms by it); append it before any other event."""
        self._reserved = max(self._reserved, self.last_id) + 1
        return self._reserved

    def append(self, events: Sequence[Event], *, alarms: Sequence[Alarm] = (), seq: int = 0) -> list[Event]:
        """Number and store events and the alarms they changed, all or nothing, synced.

        Args:
            events: in order; those without a number get the next ones.
            alarms: new states (:meth:`scada.events.alarms.AlarmEngine.take_changed`); ``NORMAL`` removes one.
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
        new = self._waiting or self._waiting_alarms or self.seq - self._stored_seq >= _SEQ_STEP
        if new and (self.fault is None or self._clock.monotonic() >= self._retry_at):
            self._write()
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self.lost += 1
        return numbered

    def _write(self) -> None:
        try:
            with self._file.write() as txn:
                for event in self._waiting:
                    key = _key(event.event_id)
                    txn.put(_EVENTS, key, encode(event))
                    txn.put(_TIMES, _key(event.time_ns) + key, bytes([event.kind]))
                for alarm in self._waiting_alarms.values():
                    if alarm.phase == AlarmPhase.NORMAL:
                        txn.delete(_ALARMS, _key(alarm.alarm_id))
                    else:
                        txn.put(_ALARMS, _key(alarm.alarm_id), encode(alarm))
                txn.put(_META, _LAST, _key(self.last_id))
                txn.put(_META, _SEQ, _key(self.seq))
                if txn.size(_EVENTS) + txn.size(_TIMES) > _FULL_AT * self._file.map_bytes:
                    _trim(txn)
        except StoreError as error:
            self.fault = error
            self._retry_at = self._clock.monotonic() + _RETRY_S
            return
        self.fault = None
        self.stored_id = self.last_id
        self._stored_seq = self.seq
        self._alarms.update(self._waiting_alarms)
        self._alarms = {number: alarm for number, alarm in self._alarms.items() if alarm.phase != AlarmPhase.NORMAL}
        self._waiting_alarms = {}
        self._waiting = deque()

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
        """The alarms as they stand on disk, by number: what :meth:`AlarmEngine.restore` takes after a restart."""
        return sorted(self._alarms.values(), key=lambda alarm: alarm.alarm_id)

    def query(
        self, *, after_id: int = 0, from_ns: int = 0, to_ns: int = 0, kinds: Sequence[int] = (), limit: int = 1000
    ) -> list[Event]:
        """Stored events.

        Args:
            after_id: events with a higher number, ascending; 0 = the newest, newest first.
            from_ns: earliest time (of :attr:`Event.time_ns`), included.
            to_ns: latest time, excluded; 0 = no end.
            kinds: only these :class:`EventKind`; empty = all.
            limit: at most so many, 0 = 1000.

        A damaged record is answered by an event that says so, under its number.
        """
        waiting = tuple(self._waiting)
        with self._file.read() as txn:
            found = self._after(txn, after_id, waiting) if after_id else self._newest(txn, from_ns, to_ns, kinds, waiting)
            wanted = (
                event
                for event in found
                if event.time_ns >= from_ns and (not to_ns or event.time_ns < to_ns) and (not kinds or event.kind in kinds)
            )
            return list(islice(wanted, limit or 1000))

    def _after(self, txn: Transaction, after_id: int, waiting: tuple[Event, ...]) -> Iterator[Event]:
        for key, blob in txn.ascending(_EVENTS, _key(after_id + 1)):
            after_id = _number(key)
            yield self._decoded(after_id, blob, 0)
        yield from (event for event in waiting if event.event_id > after_id)

    def _newest(
        self, txn: Transaction, from_ns: int, to_ns: int, kinds: Sequence[int], waiting: tuple[Event, ...]
    ) -> Iterator[Event]:
        stored = _number(txn.get(_META, _LAST))
        yield from (event for event in reversed(waiting) if event.event_id > stored)
        for key, kind in txn.descending(_TIMES, _key(to_ns) if to_ns else None):
            if _number(key[:8]) < from_ns:
                return
            if kinds and kind[0] not in kinds:
                continue
            blob = txn.get(_EVENTS, key[8:])
            if blob is not None:
                yield self._decoded(_number(key[8:]), blob, _number(key[:8]))

    def _decoded(self, number: int, blob: bytes, time_ns: int) -> Event:
        try:
            return decode_event(blob, self._where)
        except CorruptFileError as error:
            reason = {"reason": f"{error.what}, event {number}"}
            return Event(time_ns, EventKind.SYSTEM, AlarmClass.ABNORMAL, 2, "events.gap", reason, event_id=number)


def _trim(txn: Transaction) -> None:
    """Remove the oldest events; the newest always stays. Index entries without an event are passed over by queries."""
    doomed = [key for key, _ in islice(txn.ascending(_EVENTS), min(_TRIM, txn.count(_EVENTS) - 1))]
    if not doomed:
        return
    for key in doomed:
        txn.delete(_EVENTS, key)
    for entry in [key for key, _ in islice(txn.ascending(_TIMES), 2 * _TRIM) if key[8:] <= doomed[-1]]:
        txn.delete(_TIMES, entry)


def _key(number: int) -> bytes:
    return max(number, 0).to_bytes(8, "big")


def _number(key: bytes | None) -> int:
    return int.from_bytes(key, "big") if key else 0
