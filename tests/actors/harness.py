"""Actors driven directly: no thread, a virtual clock, addresses that collect what they are told."""

import numpy as np

from scada.actors.base import Address
from scada.control.records import Principal
from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.ids import PointId
from scada.events.log import EventLog
from scada.history.store import HistoryStore
from scada.model_cim.tables import AlarmClass, Limits, ModelTables, Point, PointKind
from scada.rtdb.store import Store
from scada.security.roles import Right

S = 1_000_000_000
OPERATOR = Principal("operator", frozenset({"operator"}), frozenset(Right), frozenset({"*"}), "desk-1")


class Box:
    """Stands for an address: collects messages, can be emptied by class."""

    def __init__(self):
        self.got = []

    def tell(self, message):
        self.got.append(message)

    def offer(self, message):
        self.tell(message)
        return True

    def take(self, kind):
        taken = [message for message in self.got if isinstance(message, kind)]
        self.got = [message for message in self.got if not isinstance(message, kind)]
        return taken

    def keys(self):
        """Keys of the events reported to this box."""
        return [event.key for message in self.got if hasattr(message, "events") for event in message.events]


def point(pid, kind=PointKind.ANALOG, **more):
    return Point(PointId(pid), f"m{pid}", f"S/{pid}", str(pid), kind, "", "MW", "", "", "S", "", 0, None, **more)


POINTS = [
    point(0, PointKind.DOUBLE, normal_value=2, alarm_class=AlarmClass.ACCIDENT),
    point(1, PointKind.DOUBLE),
    point(2, limits=Limits(hi=10)),
    point(3),
]
TABLES = ModelTables("v", "small", POINTS, [], [], [], [], [])
EVENT_PIDS = np.array([True, True, False, False])


class Disk:
    """The three stores of a server, opened again after :meth:`die`."""

    def __init__(self, folder, points=POINTS, clock=None, journal_mb=1):
        self.folder, self.points, self.journal_mb = folder, points, journal_mb
        self.clock = clock or VirtualClock()
        self.open()

    def open(self):
        status = np.array([p.kind in {PointKind.STATUS, PointKind.DOUBLE} for p in self.points])
        self.store = Store(
            self.folder / "rtdb", len(self.points), self.clock, map_mb=64, journal_mb=self.journal_mb, event_pids=status
        )
        self.log = EventLog(self.folder / "events", self.clock, map_mb=16)
        self.samples = HistoryStore(self.folder / "history", self.clock, self.points, map_mb=16)

    def die(self):
        """As kill -9 does: nothing more is written."""
        for one in (self.store, self.log, self.samples):
            one._file.close()

    def close(self):
        for one in (self.store, self.log, self.samples):
            one.close()

    def batch(self, pids, values, *, event=False, **more):
        return PointBatch.of(pids, values, received_at=self.clock.now_ns(), flags=RecordFlag.EVENT if event else 0, **more)

    def put(self, pids, values, **more):
        self.store.apply(self.batch(pids, values, **more))
        return self.store.commit()


def make(kind, name="actor", **arguments):
    """An actor that no thread runs; drive it by ``started`` and ``receive``."""

    def failed(error):
        raise error

    return kind(Address(name), failed, **arguments)
