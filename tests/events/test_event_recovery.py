"""Database, event log and history together: wherever the process dies, each status change becomes one event and one sample."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.ids import PointId
from scada.events.alarms import AlarmEngine
from scada.events.log import EventLog
from scada.events.records import AlarmPhase, EventKind
from scada.events.soe import StatusLines
from scada.history.store import HistoryStore
from scada.model_cim.tables import Limits, Point, PointKind
from scada.rtdb.store import Store


def point(pid, kind, **more):
    return Point(PointId(pid), f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, None, **more)


POINTS = [
    point(0, PointKind.DOUBLE, normal_value=2),
    point(1, PointKind.DOUBLE),
    point(2, PointKind.ANALOG, limits=Limits(hi=10)),
]
EVENT_PIDS = np.array([True, True, False])


class Life:
    """One run of a server, as the actors would conduct it."""

    def __init__(self, path, clock):
        self.clock = clock
        self.store = Store(path / "rtdb", 3, clock, map_mb=16, journal_mb=1, event_pids=EVENT_PIDS)
        self.log = EventLog(path / "events", clock, map_mb=16)
        self.history = HistoryStore(path / "history", clock, POINTS, map_mb=16)
        self.engine = AlarmEngine(POINTS, clock, self.log.next_id)
        self.engine.restore(self.log.alarms())
        for change in self.store.changes(self.log.seq):
            self.judge(change)
        for change in self.store.changes(self.history.seq):
            self.history.append(change)

    def judge(self, change):
        events = [*self.engine.process(change), *StatusLines(POINTS).of(change)]
        self.log.append(events, alarms=self.engine.take_changed(), seq=change.last)

    def die(self):
        for file in (self.store._file, self.log._file, self.history._file):
            file.close()


steps = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1.0, 2.0, 50.0])), min_size=1, max_size=4),
        st.sampled_from(["", "", "before events", "before samples", "after", "flush", "checkpoint"]),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_no_status_change_is_lost_or_doubled(script):
    with tempfile.TemporaryDirectory() as folder:
        clock = VirtualClock()
        life = Life(Path(folder), clock)
        for rows, then in script:
            clock.advance(1)
            pids, values = zip(*rows, strict=True)
            life.store.apply(PointBatch.of(pids, values, received_at=clock.now_ns()))
            change = life.store.commit()
            if change is not None and then != "before events":
                life.judge(change)
                if then != "before samples":
                    life.history.append(change)
            if then == "flush":
                life.history.flush()
            elif then == "checkpoint":
                life.store.checkpoint()
            elif then:
                life.die()
                life = Life(Path(folder), clock)
        check_events(life)
        check_alarms(life)
        check_samples(life)
        life.die()


def status_changes(life):
    """(number, pid, value) of every change of a status in the journal."""
    for change in life.store.changes(0):
        for number, record in enumerate(change.records, change.first):
            flags = int(record["flags"])
            if EVENT_PIDS[record["pid"]] and flags & RecordFlag.VALUE_CHANGED and not flags & RecordFlag.FIRST:
                yield number, int(record["pid"]), float(record["value"])


def check_events(life):
    told = life.log.query(kinds=[EventKind.STATUS_CHANGE], limit=10_000)[::-1]
    assert [(event.seq, event.pid, event.value) for event in told] == list(status_changes(life))


def check_alarms(life):
    """Active alarms are the violations of the last good values; none is acknowledged here."""
    assert life.log.alarms() == life.engine.alarms()
    active = {alarm.pid for alarm in life.engine.alarms() if alarm.phase == AlarmPhase.UNACK_ACTIVE}
    value = life.store.snapshot().value
    expected = {0} if value[0] != 2.0 and not np.isnan(value[0]) else set()
    assert active == expected | ({2} if value[2] > 10 else set())


def check_samples(life):
    """All samples are changes, and each change of a value is a sample; a time in which nobody was there is a gap (NaN)."""
    for pid in (0, 1):
        samples = life.history.query(pid, 0, life.clock.now_ns() + 1)
        records = np.concatenate([np.zeros(0), *(c.records["value"][c.records["pid"] == pid] for c in life.store.changes(0))])
        assert samples.value[~np.isnan(samples.value)].tolist() == records.tolist()
