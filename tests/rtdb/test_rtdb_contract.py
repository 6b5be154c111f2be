"""The five clauses of the RTDB's contract against a plain model of it.

Applied, held, committed, checkpointed, grown, killed, restarted, trimmed, followed and acknowledged in any order, while the wall
clock jumps and the disk is full at times.
"""

import contextlib
import math
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb.changes import GapError
from scada.rtdb.lmdb_file import StoreFullError
from scada.rtdb.store import Store

NEVER = int(Quality.NEVER_RECEIVED)
SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)
EVENT_PIDS = [0, 3, 4]
NAMES = ["first", "second"]
HOURS = 2.0

records = st.lists(
    st.tuples(
        st.integers(0, 9),
        st.sampled_from([0.0, -0.0, 1.0, 2.0, math.nan, math.inf]),
        st.sampled_from([0, int(Quality.INVALID), int(Quality.SUBSTITUTED), int(Quality.MANUAL)]),
        st.sampled_from([0, 5, 6]),
        st.sampled_from([0, 0, RecordFlag.EVENT, RecordFlag.REFRESH, RecordFlag.BACKFILL]),
    ),
    max_size=12,
)


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


class Model:
    """What the database must hold, written the slow way: (value, quality, source time) of each point."""

    def __init__(self, capacity):
        self.points = dict.fromkeys(range(capacity), (math.nan, NEVER, 0))
        self.shadows = {}
        self.journal = []

    def copy(self):
        twin = Model(0)
        twin.points, twin.shadows, twin.journal = dict(self.points), dict(self.shadows), list(self.journal)
        return twin

    def behind(self):
        return {**self.points, **self.shadows}

    def apply(self, pid, value, quality, source_time, flags):
        if pid not in self.points:
            return
        if not math.isfinite(value):
            quality |= Quality.INVALID
        if flags & RecordFlag.BACKFILL:
            self.journal.append((pid, value, quality, source_time, flags))
            return
        states, flags = (self.shadows, flags | RecordFlag.HELD) if pid in self.shadows else (self.points, flags)
        old_value, old_quality, old_time = states[pid]
        event = flags & RecordFlag.EVENT and source_time not in {0, old_time}
        if same(value, old_value) and quality == old_quality and not event:
            states[pid] = (old_value, old_quality, source_time or old_time)
            return
        if not same(value, old_value):
            flags |= RecordFlag.VALUE_CHANGED | (RecordFlag.EVENT if pid in EVENT_PIDS else 0)
        if old_quality & NEVER:
            flags |= RecordFlag.FIRST
        states[pid] = (value, quality, source_time)
        self.journal.append((pid, value, quality, source_time, flags))

    def set_quality(self, pid, set_bits, clear_bits):
        if pid not in self.points:
            return
        held = pid in self.shadows
        states = self.shadows if held else self.points
        value, quality, source_time = states[pid]
        word = quality & ~clear_bits | set_bits
        if word != quality:
            states[pid] = (value, word, source_time)
            self.journal.append((pid, value, word, source_time, RecordFlag.QUALITY_SET | (RecordFlag.HELD if held else 0)))

    def hold(self, pid, value):
        if pid not in self.points:
            return False
        shown = self.points[pid]
        self.shadows.setdefault(pid, shown)
        if value is None:
            self._show(pid, (shown[0], shown[1] | Quality.OPERATOR_BLOCKED, shown[2]), RecordFlag.QUALITY_SET)
        else:
            self._show(pid, (value, SUBSTITUTED, 0), self._flags(pid, value, SUBSTITUTED))
        return True

    def release(self, pid):
        if pid not in self.shadows:
            return False
        state = self.shadows.pop(pid)
        self._show(pid, state, self._flags(pid, state[0], state[1]) | RecordFlag.REFRESH)
        return True

    def _flags(self, pid, value, quality):
        shown = self.points[pid]
        flags = RecordFlag.FIRST if shown[1] & NEVER else 0
        if not same(value, shown[0]) and not quality & NEVER:
            flags |= RecordFlag.VALUE_CHANGED | (RecordFlag.EVENT if pid in EVENT_PIDS else 0)
        return flags

    def _show(self, pid, state, flags):
        self.points[pid] = state
        self.journal.append((pid, *state, flags))

    def mark_old(self):
        for pid, (_, quality, _) in sorted(self.behind().items()):
            if not quality & (NEVER | Quality.MANUAL | Quality.OLD_DATA):
                self.set_quality(pid, int(Quality.OLD_DATA), 0)
                self.journal[-1] = (*self.journal[-1][:3], None, self.journal[-1][4])  # see reopen()


class RtdbMachine(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock()
        self.capacity = 6
        self.model, self.committed, self.disk = Model(6), Model(6), Model(6)
        self.acknowledged = {}
        self.full = False
        self.store = self.open()
        self.follower, self.follower_seq = dict(self.committed.points), 0

    def open(self):
        mask = np.isin(np.arange(self.capacity), EVENT_PIDS)
        folder = Path(self.folder.name)
        return Store(folder, self.capacity, self.clock, map_mb=16, journal_mb=1, journal_hours=HOURS, event_pids=mask)

    # ---------------------------------------------------------------- the writer

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

    @rule(pid=st.integers(0, 9), value=st.sampled_from([None, 1.0, 7.0]))
    def hold(self, pid, value):
        assert self.store.hold(pid, value) == self.model.hold(pid, value)

    @rule(pid=st.integers(0, 9))
    def release(self, pid):
        assert self.store.release(pid) == self.model.release(pid)

    @rule()
    def commit(self):
        pending = self.model.journal[len(self.committed.journal) :]
        change = self.store.commit()
        assert (change is None) == (not pending)
        if change is not None:
            assert change.first == len(self.committed.journal) + 1
            self.compare(change.records, pending)
        self.committed = self.model.copy()
        self.note_disk()

    @rule()
    def checkpoint(self):
        self.store.checkpoint()
        self.note_disk()

    def note_disk(self):
        if self.store.journaled == self.store.head:
            self.disk = self.committed.copy()
        assert (self.store.fault is not None) >= (self.store.journaled < self.store.head)

    @rule(more=st.integers(0, 2))
    def grow(self, more):
        self.capacity = min(self.capacity + more, 9)
        for points in (self.model.points, self.committed.points, self.disk.points, self.follower):
            for pid in range(len(points), self.capacity):
                points[pid] = (math.nan, NEVER, 0)
        self.store.grow(self.capacity, np.isin(np.arange(self.capacity), EVENT_PIDS))

    # ---------------------------------------------------------------- the world

    @rule(hours=st.sampled_from([0.01, 0.5, HOURS + 0.1]))
    def time_passes(self, hours):
        self.clock.advance(hours * 3600)

    @rule(seconds=st.sampled_from([-1.0, 3600.0, -3600.0, 1e7, -1e7]))
    def wall_clock_jumps(self, seconds):
        self.clock.jump(seconds)

    @precondition(lambda self: not self.full)
    @rule()
    def disk_fills(self):
        @contextlib.contextmanager
        def write():
            raise StoreFullError("no space left to write", where="here", mend="free disk space")
            yield

        self.full, self.store._file.write = True, write

    @precondition(lambda self: self.full)
    @rule()
    def disk_is_freed(self):
        del self.store._file.write
        self.full = False
        self.clock.advance(1)
        self.commit()
        assert self.store.fault is None
        assert self.store.journaled == self.store.head

    @rule()
    def crash(self):
        """A killed process: what was not committed to the disk is gone, nothing else is."""
        self.store._file.close()
        self.reopen(self.disk)

    @rule()
    def restart(self):
        """An orderly stop commits what is pending, or says that it cannot."""
        try:
            self.store.close()
        except StoreError:
            assert self.full
            self.reopen(self.disk)
        else:
            self.reopen(self.model)

    def reopen(self, survivor):
        self.full = False
        before = survivor.copy()
        self.model = survivor.copy()
        self.model.mark_old()
        self.store = self.open()
        self.committed = self.model.copy()
        # source times of values that were only confirmed since the last checkpoint may be older after a crash, nothing else
        found = {"points": self.store.snapshot(), "shadows": self.store.behind()}
        for model in (self.model, self.committed):
            for name, snapshot in found.items():
                for pid, (value, quality, _) in getattr(model, name).items():
                    assert snapshot.source_time[pid] in {0, 5, 6, getattr(before, name)[pid][2]}
                    getattr(model, name)[pid] = (value, quality, int(snapshot.source_time[pid]))
        self.disk = self.committed.copy()
        if self.follower_seq > len(self.committed.journal):  # it had seen what the full disk never got
            self.resynchronise()
        self.acknowledged = {one.name: one.seq for one in self.store.consumers()}

    # ---------------------------------------------------------------- who reads

    @rule(name=st.sampled_from(NAMES), data=st.data())
    def acknowledge(self, name, data):
        seq = data.draw(st.integers(self.acknowledged.get(name, 0), max(self.store.head, self.acknowledged.get(name, 0))))
        if name not in self.acknowledged or data.draw(st.booleans()):
            self.store.register(name, seq)
        elif name in self.store._retention.consumers._own:
            self.store.acknowledge(name, seq)
        else:
            return
        self.acknowledged[name] = seq

    @rule(name=st.sampled_from(NAMES))
    def unregister(self, name):
        self.store.unregister(name)
        self.acknowledged.pop(name, None)

    @invariant()
    def consumers_have_what_they_need(self):
        """Nothing is trimmed that somebody waits for: these journals never come near the size of the map."""
        if not hasattr(self, "store"):
            return
        assert {one.name: one.seq for one in self.store.consumers()} == self.acknowledged
        assert self.store.take_passed() == []
        for seq in self.acknowledged.values():
            # one that came too late is told; one that was there in time lost nothing
            if not self.store.oldest > seq + 1:
                assert sum(map(len, self.store.changes(min(seq, self.store.head)))) == max(0, self.store.head - seq)

    @rule(data=st.data())
    def changes_from_anywhere(self, data):
        after = data.draw(st.integers(0, len(self.committed.journal)))
        limit = data.draw(st.sampled_from([None, 1, 3]))
        given, gap = [], None
        try:
            given.extend(self.store.changes(after, limit))
        except GapError as error:
            gap = error
        if after + 1 < self.store.oldest:
            assert not given
            assert gap is not None
            assert (gap.asked, gap.oldest) == (after + 1, self.store.oldest)
            return
        assert gap is None
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
        trimmed = self.follower_seq + 1 < self.store.oldest
        try:
            for change in self.store.changes(self.follower_seq):
                for record in change.records:
                    if not int(record["flags"]) & RecordFlag.ASIDE:
                        self.follower[int(record["pid"])] = (float(record["value"]), int(record["quality"]), 0)
                self.follower_seq = change.last
        except GapError:
            assert trimmed, "a gap that is none"
            self.resynchronise()
        for pid, (value, quality, _) in self.committed.points.items():
            assert same(self.follower[pid][0], value)
            assert self.follower[pid][1] == quality

    def resynchronise(self):
        snapshot = self.store.snapshot()
        self.follower_seq = snapshot.seq
        for pid in range(self.capacity):
            self.follower[pid] = (float(snapshot.value[pid]), int(snapshot.quality[pid]), 0)

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
        assert self.store.head == len(self.committed.journal)
        assert self.store.journaled == len(self.disk.journal)
        assert self.full or self.store.journaled == self.store.head
        for snapshot, states in ((self.store.snapshot(), self.committed.points), (self.store.behind(), self.committed.behind())):
            assert snapshot.seq == self.store.head
            for pid, (value, quality, _) in states.items():
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


RtdbMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestRtdb = RtdbMachine.TestCase
