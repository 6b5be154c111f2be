"""The contract of the RTDB against a plain model: apply, quality, commit, checkpoint, grow, crash, reopen, snapshot, follow."""

import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.rtdb.changes import GapError
from scada.rtdb.store import Store

NEVER = int(Quality.NEVER_RECEIVED)
EVENT_PIDS = [0, 3, 4]

records = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan, math.inf]),
        st.sampled_from([0, int(Quality.INVALID), int(Quality.SUBSTITUTED), int(Quality.MANUAL)]),
        st.sampled_from([0, 5, 6]),
        st.sampled_from([0, RecordFlag.EVENT, RecordFlag.REFRESH]),
    ),
    max_size=12,
)


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


class Model:
    """What the database must hold, written the slow way."""

    def __init__(self, capacity):
        self.points = dict.fromkeys(range(capacity), (math.nan, NEVER, 0))
        self.journal = []

    def copy(self):
        twin = Model(0)
        twin.points, twin.journal = dict(self.points), list(self.journal)
        return twin

    def apply(self, pid, value, quality, source_time, flags):
        if pid not in self.points:
            return
        if not math.isfinite(value):
            quality |= Quality.INVALID
        old_value, old_quality, old_time = self.points[pid]
        event = flags & RecordFlag.EVENT and source_time not in {0, old_time}
        if same(value, old_value) and quality == old_quality and not event:
            self.points[pid] = (old_value, old_quality, source_time or old_time)
            return
        if not same(value, old_value):
            flags |= RecordFlag.VALUE_CHANGED | (RecordFlag.EVENT if pid in EVENT_PIDS else 0)
        if old_quality & NEVER:
            flags |= RecordFlag.FIRST
        self.points[pid] = (value, quality, source_time)
        self.journal.append((pid, value, quality, source_time, flags))

    def set_quality(self, pid, set_bits, clear_bits):
        if pid not in self.points:
            return
        value, quality, source_time = self.points[pid]
        word = quality & ~clear_bits | set_bits
        if word != quality:
            self.points[pid] = (value, word, source_time)
            self.journal.append((pid, value, word, source_time, RecordFlag.QUALITY_SET))

    def mark_old(self):
        for pid, (_, quality, _) in list(self.points.items()):
            if not quality & (NEVER | Quality.MANUAL | Quality.OLD_DATA):
                self.set_quality(pid, int(Quality.OLD_DATA), 0)
                self.journal[-1] = (*self.journal[-1][:3], None, RecordFlag.QUALITY_SET)  # see reopen()


class RtdbMachine(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock()
        self.capacity = 6
        self.model, self.committed = Model(6), Model(6)
        self.store = self.open()
        self.follower, self.follower_seq = dict(self.committed.points), 0

    def open(self):
        mask = np.isin(np.arange(self.capacity), EVENT_PIDS)
        return Store(Path(self.folder.name), self.capacity, self.clock, map_mb=16, journal_mb=1, event_pids=mask)

    @rule(batch=records)
    def apply(self, batch):
        self.clock.advance(0.001)
        before = len(self.model.journal)
        for record in batch:
            self.model.apply(*record)
        columns = [list(column) for column in zip(*batch, strict=True)] if batch else [[]] * 5
        pids, values, qualities, times, flags = columns
        made = PointBatch.of(pids, values, quality=qualities, source_time=times, received_at=self.clock.now_ns())
        made.records["flags"] = flags
        assert self.store.apply(made) == len(self.model.journal) - before

    @rule(pids=st.lists(st.integers(0, 9), max_size=5), bits=st.sampled_from([(1 << 20, 0), (0, 1 << 20), (1 << 20, 1 << 13)]))
    def set_quality(self, pids, bits):
        before = len(self.model.journal)
        for pid in pids:
            self.model.set_quality(pid, *bits)
        changes = self.store.set_quality(np.array(pids, dtype=np.uint32), *bits)
        assert changes == len(self.model.journal) - before

    @rule()
    def commit(self):
        pending = self.model.journal[len(self.committed.journal) :]
        change = self.store.commit()
        assert (change is None) == (not pending)
        if change is not None:
            assert change.first == len(self.committed.journal) + 1
            self.compare(change.records, pending)
        self.committed = self.model.copy()

    @rule()
    def checkpoint(self):
        self.store.checkpoint()

    @rule(more=st.integers(0, 2))
    def grow(self, more):
        self.capacity = min(self.capacity + more, 9)
        for model in (self.model, self.committed, self):
            points = model.follower if model is self else model.points
            for pid in range(len(points), self.capacity):
                points[pid] = (math.nan, NEVER, 0)
        self.store.grow(self.capacity, np.isin(np.arange(self.capacity), EVENT_PIDS))

    @rule()
    def crash(self):
        """A killed process: what was not committed is gone, nothing else is."""
        self.store._file.close()
        self.reopen(self.committed)

    @rule()
    def restart(self):
        """An orderly stop commits what is pending."""
        self.store.close()
        self.reopen(self.model)

    def reopen(self, survivor):
        times = {pid: point[2] for pid, point in survivor.points.items()}
        self.model = survivor.copy()
        self.model.mark_old()
        self.store = self.open()
        self.committed = self.model.copy()
        # source times of values that were only confirmed since the last checkpoint may be older after a crash, nothing else
        snapshot = self.store.snapshot()
        for model in (self.model, self.committed):
            for pid, (value, quality, _) in model.points.items():
                assert snapshot.source_time[pid] in {0, 5, 6, times[pid]}
                model.points[pid] = (value, quality, int(snapshot.source_time[pid]))

    @rule(data=st.data())
    def changes_from_anywhere(self, data):
        after = data.draw(st.integers(0, len(self.committed.journal)))
        limit = data.draw(st.sampled_from([None, 1, 3]))
        given = list(self.store.changes(after, limit))
        following = after + 1
        for change in given:
            assert change.first == following
            self.compare(change.records, self.committed.journal[change.first - 1 : change.last])
            following = change.last + 1
        if limit is None:
            assert following == len(self.committed.journal) + 1
        elif after < len(self.committed.journal):
            assert following > min(after + limit, len(self.committed.journal))

    @rule()
    def follow(self):
        """Snapshot once, then changes: the follower ends with the same values."""
        for change in self.store.changes(self.follower_seq):
            for record in change.records:
                self.follower[int(record["pid"])] = (float(record["value"]), int(record["quality"]), 0)
            self.follower_seq = change.last
        for pid, (value, quality, _) in self.committed.points.items():
            assert same(self.follower[pid][0], value)
            assert self.follower[pid][1] == quality

    @rule()
    @precondition(lambda self: self.store.head > 0)
    def from_the_future(self):
        try:
            list(self.store.changes(self.store.head + 1))
        except GapError:
            return
        raise AssertionError("a number that never was must be refused")

    @invariant()
    def snapshot_is_the_last_commit(self):
        if not hasattr(self, "store"):
            return
        snapshot = self.store.snapshot()
        assert snapshot.seq == self.store.head == self.store.journaled == len(self.committed.journal)
        for pid, (value, quality, _) in self.committed.points.items():
            assert same(float(snapshot.value[pid]), value)
            assert int(snapshot.quality[pid]) == quality

    @staticmethod
    def compare(found, expected):
        assert len(found) == len(expected)
        for record, (pid, value, quality, source_time, flags) in zip(found, expected, strict=True):
            assert int(record["pid"]) == pid
            assert same(float(record["value"]), value)
            assert int(record["quality"]) == quality
            assert source_time is None or int(record["source_time"]) == source_time
            assert int(record["flags"]) == flags

    def teardown(self):
        if hasattr(self, "store"):
            self.store._file.close()
            self.folder.cleanup()


RtdbMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestRtdb = RtdbMachine.TestCase
