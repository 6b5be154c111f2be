"""An alarm engine with a driven clock, change sets made by hand, and a log kept as the event log keeps it."""

from itertools import count

import numpy as np

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.ids import PointId
from scada.core.quality import Quality
from scada.events.alarms import AlarmEngine
from scada.events.records import AlarmPhase, SuppressionKind
from scada.model_cim.tables import AlarmClass, Limits, Point, PointKind
from scada.rtdb.changes import ChangeSet, Snapshot

CHANGED, FIRST, EVENT = RecordFlag.VALUE_CHANGED, RecordFlag.FIRST, RecordFlag.EVENT
BAD = int(Quality.INVALID)
ANALOG, STATUS = PointKind.ANALOG, PointKind.STATUS


def keys(events):
    """Text keys of events."""
    return [event.key for event in events]


def point(pid, kind, **more):
    return Point(
        PointId(pid),
        f"m{pid}",
        f"S/V/B/{pid}",
        str(pid),
        kind,
        "",
        more.pop("unit", ""),
        more.pop("equipment", ""),
        "",
        "S",
        more.pop("bay", "B"),
        0,
        None,
        **more,
    )


LIMITS = Limits(lolo=-20, lo=-10, hi=10, hihi=20, hysteresis=2)
POINTS = [
    point(0, PointKind.ANALOG, unit="MW", limits=LIMITS, priority=2),
    point(1, PointKind.ANALOG, limits=Limits(hi=10, hysteresis=2, delay_s=5)),
    point(2, PointKind.DOUBLE, states={0: "moving", 1: "open", 2: "closed"}),
    point(3, PointKind.STATUS, states={0: "normal", 1: "trip"}, normal_value=0, alarm_class=AlarmClass.ACCIDENT, priority=1),
    point(4, PointKind.ANALOG),
    point(5, PointKind.TEXT_STATE, normal_value=1),
]


class Bench:
    """An engine, its clock and its log."""

    def __init__(self, points=POINTS, settings=None):
        self.clock = VirtualClock()
        self.ids = count(1)
        self.points, self.settings = points, settings
        self.engine = self._engine()
        self.seq = 0
        self.stored_alarms, self.stored_suppressions = {}, {}
        self.present = {}

    def _engine(self):
        return AlarmEngine(self.points, self.clock, self.ids.__next__, self.settings)

    def feed(self, *rows):
        """Rows of (pid, value[, quality[, flags[, source_time]]]) in one change set."""
        filled = [(*row, *(0, CHANGED, 0)[len(row) - 2 :]) for row in rows]
        columns = list(zip(*filled, strict=True))
        batch = PointBatch.of(columns[0], columns[1], quality=columns[2], source_time=columns[4], received_at=0)
        batch.records["flags"] = columns[3]
        self.present.update((row[0], row[1:3]) for row in filled)
        change = ChangeSet(self.seq + 1, batch.records, np.full(len(rows), self.clock.now_ns()), self.clock.now_ns())
        self.seq = change.last
        return self.engine.process(change)

    def tick(self, seconds=0.0):
        self.clock.advance(seconds)
        return self.engine.tick(self.clock.now_ns())

    def acknowledge(self, *ids, **more):
        return self.engine.acknowledge(ids, "li", self.clock.now_ns(), **more)

    def shelve(self, mrid, key="", seconds=3600.0, reason="test of the breaker"):
        return self.engine.shelve([(mrid, key)], seconds, "li", reason, self.clock.now_ns())

    def unshelve(self, mrid, key=""):
        return self.engine.unshelve([(mrid, key)], "li", self.clock.now_ns())

    def service(self, mrid, key="", *, out=True, reason="relay taken away"):
        return self.engine.set_service([(mrid, key)], out, "li", reason, self.clock.now_ns())

    def keep(self):
        """Store what changed, as the event log does."""
        for alarm in self.engine.take_changed():
            self.stored_alarms[alarm.alarm_id] = alarm
            if alarm.phase == AlarmPhase.NORMAL:
                del self.stored_alarms[alarm.alarm_id]
        for one in self.engine.take_suppressions():
            self.stored_suppressions[one.name] = one
            if one.kind == SuppressionKind.NONE:
                del self.stored_suppressions[one.name]

    def restart(self, points=None, *, down_s=0.0, jump_s=0.0):
        """Another engine takes over from the log and judges the present values; its events."""
        self.keep()
        self.points = points or self.points
        self.clock.advance(down_s)
        self.clock.jump(jump_s)
        self.engine = self._engine()
        events = self.engine.restore(list(self.stored_alarms.values()), list(self.stored_suppressions.values()))
        pids = sorted(self.present)
        values = [self.present[pid] for pid in pids]
        return events + self.engine.resync(snapshot([v for v, _ in values], [q for _, q in values], pids, self.seq))

    @property
    def phases(self):
        """Shown alarms."""
        return {(alarm.pid, alarm.key): alarm.phase for alarm in self.engine.alarms()}


def snapshot(values, quality=0, pids=None, seq=50):
    """A snapshot of points (all from 0 on, if none are named)."""
    pids = np.arange(len(values)) if pids is None else pids
    zeros = np.zeros(len(values), dtype=np.int64)
    words = np.broadcast_to(np.array(quality, dtype=np.uint32), len(values))
    return Snapshot(seq, np.array(pids, dtype=np.uint32), np.array(values, dtype=float), words, zeros, zeros)
