"""Points held by an operator, against a twin database that nobody holds anything in."""

import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from scada.core.batch import OPERATOR, HoldAct, PointBatch, RecordFlag
from scada.core.clock import VirtualClock
from scada.core.errors import StoreError
from scada.core.quality import Quality
from scada.rtdb.store import Store

NEVER, OLD = int(Quality.NEVER_RECEIVED), int(Quality.OLD_DATA)
SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)
BLOCKED, LOST = int(Quality.OPERATOR_BLOCKED), int(Quality.COMM_LOST)
POINTS = 6
ALL = np.arange(POINTS, dtype=np.uint32)
STATUS = np.array([True, False, True, False, False, False])


def make(path, clock, **more):
    return Store(path, POINTS, clock, map_mb=16, journal_mb=1, event_pids=STATUS, **more)


@pytest.fixture
def clock():
    return VirtualClock(start_ns=1_000_000)


@pytest.fixture
def store(tmp_path, clock):
    store = make(tmp_path, clock)
    yield store
    store._file.close()


def put(store, pid, value, **more):
    store.apply(PointBatch.of(pid, value, received_at=store._clock.now_ns(), **more))
    return store.commit()


def shown(store, pid):
    one = store.snapshot(np.array([pid], dtype=np.uint32))
    return float(one.value[0]), int(one.quality[0]), int(one.source_time[0])


def behind(store, pid):
    one = store.behind(np.array([pid], dtype=np.uint32))
    return float(one.value[0]), int(one.quality[0]), int(one.source_time[0])


def test_a_substituted_point_shows_what_the_operator_entered(store, clock):
    put(store, 1, 5.0, source_time=3)
    assert store.hold(1, 7.5)
    (change,) = [store.commit()]
    assert change.records["flags"].tolist() == [RecordFlag.VALUE_CHANGED]
    assert (change.records["channel"][0], change.records["detail"][0]) == (OPERATOR, HoldAct.SUBSTITUTE)
    assert shown(store, 1) == (7.5, SUBSTITUTED, 0)
    assert behind(store, 1) == (5.0, 0, 3)
    assert store.held.tolist() == [1]


def test_what_the_source_sends_is_numbered_and_journaled_and_not_shown(store, clock):
    put(store, 0, 1.0)
    store.hold(0, 0.0)
    store.commit()
    clock.advance(1)
    change = put(store, [0, 3, 0], [0.0, 4.0, 1.0], source_time=[8, 0, 9], flags=RecordFlag.EVENT)
    held = RecordFlag.HELD | RecordFlag.EVENT | RecordFlag.VALUE_CHANGED
    first = RecordFlag.EVENT | RecordFlag.VALUE_CHANGED | RecordFlag.FIRST
    assert change.records["flags"].tolist() == [held, first, held]
    assert change.records["value"].tolist() == [0.0, 4.0, 1.0]
    assert shown(store, 0) == (0.0, SUBSTITUTED, 0)
    assert behind(store, 0) == (1.0, 0, 9)
    (again,) = store.changes(change.first - 1)
    assert (again.records == change.records).all()
    records, received_at = change.shown()
    assert records["pid"].tolist() == [3]
    assert len(received_at) == 1


def test_a_blocked_point_keeps_its_value_and_says_so(store):
    put(store, 2, 1.0, quality=int(Quality.QUESTIONABLE), source_time=4)
    store.hold(2, None)
    change = store.commit()
    assert change.records["flags"].tolist() == [RecordFlag.QUALITY_SET]
    put(store, 2, 0.0)
    assert shown(store, 2) == (1.0, int(Quality.QUESTIONABLE) | BLOCKED, 4)
    assert behind(store, 2) == (0.0, 0, 0)


def test_a_release_shows_what_the_source_said_last(store, clock):
    put(store, 2, 1.0)
    store.hold(2, 0.0)
    put(store, 2, 1.0, source_time=11, quality=int(Quality.SUSPECT))
    clock.advance(5)
    assert store.release(2)
    change = store.commit()
    assert change.records["flags"].tolist() == [RecordFlag.REFRESH | RecordFlag.VALUE_CHANGED | RecordFlag.EVENT]
    assert change.received_at.tolist() == [clock.now_ns()]
    assert shown(store, 2) == behind(store, 2) == (1.0, int(Quality.SUSPECT), 11)
    assert store.held.tolist() == []
    assert not store.release(2)
    assert put(store, 2, 0.0).records["flags"][0] & RecordFlag.HELD == 0


def test_a_point_never_received_can_be_substituted_and_given_back(store):
    store.hold(3, 2.0)
    assert store.commit().records["flags"].tolist() == [RecordFlag.VALUE_CHANGED | RecordFlag.FIRST]
    store.release(3)
    assert store.commit().records["flags"].tolist() == [RecordFlag.REFRESH]
    value, quality, _ = shown(store, 3)
    assert math.isnan(value)
    assert quality == NEVER


def test_a_second_hold_replaces_the_first_and_keeps_the_shadow(store):
    put(store, 1, 5.0)
    store.hold(1, 6.0)
    put(store, 1, 5.5)
    store.hold(1, 7.0)
    store.commit()
    assert shown(store, 1)[:2] == (7.0, SUBSTITUTED)
    store.hold(1, None)
    store.commit()
    assert shown(store, 1)[:2] == (7.0, SUBSTITUTED | BLOCKED), "what is shown is frozen"
    store.hold(1, 8.0)
    store.commit()
    assert shown(store, 1)[:2] == (8.0, SUBSTITUTED)
    assert behind(store, 1)[0] == 5.5


def test_quality_of_a_lost_channel_goes_behind_the_hold(store):
    put(store, [1, 3], [5.0, 6.0])
    store.hold(1, 7.0)
    assert store.set_quality(ALL[[1, 3]], set_bits=LOST) == 2
    change = store.commit()
    assert change.records["flags"].tolist()[1:] == [RecordFlag.QUALITY_SET | RecordFlag.HELD, RecordFlag.QUALITY_SET]
    assert shown(store, 1)[:2] == (7.0, SUBSTITUTED)
    assert behind(store, 1)[:2] == (5.0, LOST)


def test_a_value_marked_manual_by_its_source_is_no_hold(store):
    put(store, 1, 5.0, quality=int(Quality.MANUAL))
    put(store, 1, 6.0)
    assert shown(store, 1)[:2] == (6.0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_cannot_be_substituted(store, value):
    with pytest.raises(StoreError, match=r"cannot stand for a value.*finite number"):
        store.hold(1, value)
    assert store.commit() is None


def test_a_point_that_is_not_there_cannot_be_held(store):
    assert not store.hold(POINTS, 1.0)
    assert not store.hold(-1, None)
    assert not store.release(POINTS)
    assert store.commit() is None


@pytest.mark.parametrize("orderly", [True, False])
def test_holds_survive_a_restart_and_only_the_shadow_turns_old(tmp_path, clock, orderly):
    store = make(tmp_path, clock)
    put(store, [1, 2, 3], [1.0, 1.0, 1.0], source_time=5)
    store.hold(1, 7.0)
    store.checkpoint()
    store.hold(2, None)
    store.commit()
    put(store, [1, 2], [1.5, 0.0], source_time=6)
    if orderly:
        store.close()
    else:
        store._file.close()
    store = make(tmp_path, clock)
    assert store.held.tolist() == [1, 2]
    assert shown(store, 1) == (7.0, SUBSTITUTED, 0)
    assert shown(store, 2) == (1.0, BLOCKED, 5)
    assert shown(store, 3)[1] == OLD
    assert behind(store, 1) == (1.5, OLD, 6)
    assert behind(store, 2) == (0.0, OLD, 6)
    put(store, [1, 2], [2.5, 1.0])
    store.release(1)
    store.release(2)
    store.commit()
    assert shown(store, 1)[:2] == (2.5, 0)
    assert shown(store, 2)[:2] == (1.0, 0)
    store.close()


def test_a_pid_that_now_names_another_point_is_held_no_more(tmp_path, clock):
    store = make(tmp_path, clock, identity=np.array([11, 12], dtype=np.uint64))
    put(store, [0, 1], [1.0, 2.0])
    store.hold(1, 7.0)
    store.close()
    head = store.head
    store = make(tmp_path, clock, identity=np.array([11, 99], dtype=np.uint64))
    assert store.held.tolist() == []
    assert shown(store, 1)[1] == NEVER
    told = np.concatenate([change.shown()[0] for change in store.changes(head)])
    assert np.isnan(told["value"][told["pid"] == 1]).all(), "no value of the other point under this number, not for a moment"
    assert put(store, 1, 3.0).records["flags"][0] & RecordFlag.HELD == 0
    store.close()


def test_growth_keeps_holds(store):
    store.hold(1, 7.0)
    store.commit()
    store.grow(POINTS + 5)
    assert store.hold(POINTS + 4, 3.0)
    put(store, [1, POINTS + 4], [1.0, 1.0])
    assert store.held.tolist() == [1, POINTS + 4]
    assert shown(store, POINTS + 4)[:2] == (3.0, SUBSTITUTED)
    assert behind(store, 1)[0] == 1.0


def test_late_values_are_journaled_each_and_never_shown(store):
    put(store, 0, 1.0, source_time=50)
    before = shown(store, 0)
    late = int(RecordFlag.BACKFILL)
    change = put(store, [0, 0, 3], [0.0, 1.0, math.nan], source_time=[20, 50, 10], flags=late)
    assert change.records["flags"].tolist() == [late] * 3
    assert change.records["quality"].tolist() == [0, 0, int(Quality.INVALID)]
    assert shown(store, 0) == before
    assert shown(store, 3)[1] == NEVER
    store.hold(0, 0.0)
    assert put(store, 0, 1.0, source_time=21, flags=late | RecordFlag.EVENT).records["flags"][-1] == late | RecordFlag.EVENT
    assert behind(store, 0) == before
    store.checkpoint()
    assert shown(store, 3)[1] == NEVER


def test_late_values_do_not_come_back_as_present_ones_at_a_restart(tmp_path, clock):
    store = make(tmp_path, clock)
    put(store, 1, 1.0, source_time=50)
    put(store, 1, 9.0, source_time=20, flags=RecordFlag.BACKFILL)
    store._file.close()
    store = make(tmp_path, clock)
    assert shown(store, 1) == (1.0, OLD, 50)
    store.close()


columns = st.lists(
    st.tuples(
        st.integers(0, POINTS),
        st.sampled_from([0.0, 1.0, 2.0, math.nan]),
        st.sampled_from([0, int(Quality.INVALID), int(Quality.MANUAL), BLOCKED]),
        st.sampled_from([0, 5, 6]),
        st.sampled_from([0, RecordFlag.EVENT, RecordFlag.REFRESH, RecordFlag.BACKFILL]),
    ),
    max_size=8,
)


class HoldMachine(RuleBasedStateMachine):
    """The same traffic to two databases; in one of them points are held."""

    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = VirtualClock()
        self.holds = {}
        self.seen = 0
        self.reopen()

    def reopen(self):
        self.store, self.twin = (make(Path(self.folder.name) / name, self.clock) for name in ("held", "twin"))
        self.follow()

    @rule(batch=columns)
    def traffic(self, batch):
        self.clock.advance(0.001)
        pids, values, qualities, times, flags = zip(*batch, strict=True) if batch else ([], [], [], [], [])
        made = PointBatch.of(pids, values, quality=qualities, source_time=times, received_at=self.clock.now_ns())
        made.records["flags"] = flags
        assert self.store.apply(made) == self.twin.apply(made), "no change of a held point is lost"

    @rule(pids=st.lists(st.integers(0, POINTS), max_size=4), bits=st.sampled_from([(LOST, 0), (0, LOST), (BLOCKED, 0)]))
    def channel(self, pids, bits):
        for store in (self.store, self.twin):
            store.set_quality(np.array(pids, dtype=np.uint32), *bits)

    @rule(pid=st.integers(0, POINTS - 1), value=st.sampled_from([None, 0.0, 3.0]))
    def hold(self, pid, value):
        self.commit()
        old, word, _ = shown(self.store, pid)
        assert self.store.hold(pid, value)
        self.holds[pid] = (old, word | BLOCKED) if value is None else (value, SUBSTITUTED)
        self.commit()

    @rule(pid=st.integers(0, POINTS - 1))
    def release(self, pid):
        assert self.store.release(pid) == (self.holds.pop(pid, None) is not None)
        self.commit()

    @rule()
    def commit(self):
        for store in (self.store, self.twin):
            store.commit()
        self.follow()

    @rule()
    def checkpoint(self):
        for store in (self.store, self.twin):
            store.checkpoint()

    @rule(orderly=st.booleans())
    def restart(self, orderly):
        self.commit()
        for store in (self.store, self.twin):
            if orderly:
                store.close()
            else:
                store._file.close()
        self.reopen()

    def follow(self):
        """Who follows the change sets and passes over what is aside has the image."""
        if self.seen == 0:
            self.values, self.words = np.full(POINTS, np.nan), np.full(POINTS, NEVER, dtype=np.uint32)
        for change in self.store.changes(self.seen):
            records, _ = change.shown()
            self.values[records["pid"]], self.words[records["pid"]] = records["value"], records["quality"]
            self.seen = change.last

    @invariant()
    def behind_the_holds_is_the_twin(self):
        if not hasattr(self, "store"):
            return
        self.commit()
        present, behind, twin = self.store.snapshot(), self.store.behind(), self.twin.snapshot()
        np.testing.assert_array_equal(behind.value, twin.value)
        np.testing.assert_array_equal(behind.quality, twin.quality)
        assert self.store.held.tolist() == sorted(self.holds)
        for pid in ALL.tolist():
            value, word = self.holds.get(pid, (twin.value[pid], twin.quality[pid]))
            np.testing.assert_array_equal([present.value[pid], present.quality[pid]], [value, word])
        np.testing.assert_array_equal(self.values, present.value)
        np.testing.assert_array_equal(self.words, present.quality)

    def teardown(self):
        if hasattr(self, "store"):
            for store in (self.store, self.twin):
                store._file.close()
            self.folder.cleanup()


HoldMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestHolds = HoldMachine.TestCase
