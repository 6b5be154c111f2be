"""What the database's keeper tells of its file: consumers left behind or silent, readers that hold it up, a map that fills."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.rtdb.consumers import SILENT_S, Consumer
from scada.rtdb.store import Store
from scada.rtdb.watch import SlowReader

_CONSUMERS_EVERY_S = 60.0


class Housekeeping:
    """Looks after the file of the database once a second, in the thread of its writer.

    Args:
        store: the open database.
        clock: stamps and periods.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._filling = False
        self._silent: set[str] = set()
        self._unreadable: set[str] = set()
        self._consumers_at = clock.monotonic()
        self._upgraded_from = store.upgraded_from

    def look(self) -> tuple[Event, ...]:
        """Events of what is new since the last look."""
        return tuple(self._found())

    def _found(self) -> Iterator[Event]:
        if self._upgraded_from:
            parameters = {"layout": str(self._upgraded_from)}
            self._upgraded_from = 0
            yield self._event("rtdb.upgraded", AlarmClass.NOTICE, 4, parameters)
        for reader in self._store.watch.look():
            yield self._event("rtdb.slow_reader", AlarmClass.ABNORMAL, 2, _described(reader))
        for consumer in self._store.take_passed():
            first, last = str(consumer.seq + 1), str(self._store.oldest - 1)
            parameters = {"consumer": consumer.name, "first": first, "last": last}
            yield self._event("rtdb.consumer_passed", AlarmClass.ABNORMAL, 2, parameters)
        yield from self._map()
        if self._clock.monotonic() - self._consumers_at >= _CONSUMERS_EVERY_S:
            self._consumers_at = self._clock.monotonic()
            yield from self._newly_silent(self._store.consumers())
            yield from self._newly_unreadable(set(self._store.unreadable_consumers))

    def _map(self) -> Iterator[Event]:
        watch = self._store.watch
        if watch.filling == self._filling:
            return
        self._filling = watch.filling
        parameters = {"percent": str(round(100 * watch.taken))}
        if watch.filling:
            yield self._event("rtdb.map_filling", AlarmClass.ABNORMAL, 1, parameters)
        else:
            yield self._event("rtdb.map_eased", AlarmClass.NOTICE, 3, parameters)

    def _newly_silent(self, consumers: list[Consumer]) -> Iterator[Event]:
        now = self._clock.now_ns()
        silent = {consumer.name for consumer in consumers if consumer.silent(now)}
        for name in sorted(silent - self._silent):
            parameters = {"consumer": name, "hours": str(int(SILENT_S // 3600))}
            yield self._event("rtdb.consumer_silent", AlarmClass.ABNORMAL, 3, parameters)
        self._silent = silent

    def _newly_unreadable(self, names: set[str]) -> Iterator[Event]:
        for name in sorted(names - self._unreadable):
            yield self._event("rtdb.consumer_unreadable", AlarmClass.ABNORMAL, 2, {"consumer": name})
        self._unreadable = names

    def _event(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> Event:
        return Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)


def _described(reader: SlowReader) -> dict[str, str]:
    return {
        "process": f"{reader.program} {reader.process}".lstrip(),
        "thread": thread_name(reader),
        "seconds": str(round(reader.age_s)),
        "behind": str(reader.behind),
    }


def thread_name(reader: SlowReader) -> str:
    """Name of a reader's thread, if it is one of ours, else its number in hex."""
    own = threading.enumerate() if reader.process == os.getpid() else []
    return next((thread.name for thread in own if thread.ident == reader.thread), f"{reader.thread:x}")
