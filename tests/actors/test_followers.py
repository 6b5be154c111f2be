"""History, calculation, topology: actors that follow the database."""

import math

import numpy as np
import pytest
from actors.harness import POINTS, Box, Disk, S, make, point
from scadapb.v1 import scada_pb2 as pb

from scada.actors.calc import CalcActor
from scada.actors.history import MAX_PENS, HistoryActor
from scada.actors.messages import ApplyDerived, Changed, Tick
from scada.actors.mirror import Mirror
from scada.actors.order_messages import HistoryAsked
from scada.actors.topology import CLOSED, OPEN, LiveTopology, TopologyActor
from scada.control.plant import SwitchKind
from scada.core.batch import RecordFlag
from scada.core.errors import ScadaError, StoreError
from scada.core.quality import Quality
from scada.model_cim.tables import ModelTables
from scada.rtdb.changes import GapError

# ---------------------------------------------------------------- history


def historian(disk, events=None):
    actor = make(HistoryActor, rtdb=disk.store, store=disk.samples, events=events or Box(), clock=disk.clock)
    actor.started()
    return actor


def series(actor, disk, *pids, buckets=0):
    answers = []
    end = disk.clock.now_ns() + S
    actor.receive(HistoryAsked(pb.HistoryRequest(pids=pids, from_ns=end - 3600 * S, to_ns=end, buckets=buckets), answers.append))
    [answer] = answers
    return answer


def test_samples_missed_while_the_actor_was_down_are_taken_from_the_journal(disk):
    actor = historian(disk)
    for value in (1.0, 2.0):
        disk.clock.advance(1)
        change = disk.put([3], [value])
        actor.receive(Changed(change))
        actor.receive(Changed(change))
    disk.clock.advance(1)
    disk.put([3], [3.0])  # nobody told the actor
    disk.die()
    disk.open()
    actor = historian(disk)
    [kept] = series(actor, disk, 3).series
    values = [value for value, quality in zip(kept.value, kept.quality, strict=True) if quality == 0]
    assert values == [1.0, 2.0, 3.0]


def test_a_gap_in_the_journal_is_resynchronised(disk, monkeypatch):
    disk.put([3], [4.0])

    def gap(after, limit=None):
        raise GapError(after + 1, 9)
        yield

    monkeypatch.setattr(disk.store, "changes", gap)
    actor = historian(disk)
    assert list(series(actor, disk, 3).series[0].value) == [4.0]


def test_a_query_that_asks_too_much_is_answered_by_an_error(disk):
    answer = series(historian(disk), disk, *range(MAX_PENS + 1))
    assert isinstance(answer, ScadaError)
    assert str(MAX_PENS) in str(answer)


def test_a_full_disk_is_told_once_and_samples_are_kept(disk, monkeypatch):
    events = Box()
    actor = historian(disk, events)
    whole = disk.samples._file.write

    def refuse():
        raise StoreError("no space left to write", where="history.lmdb", mend="free disk space")

    monkeypatch.setattr(disk.samples._file, "write", refuse)
    for n in range(3):
        disk.clock.advance(1)
        actor.receive(Changed(disk.put([3], [n + 1.0])))
        actor.receive(Tick())
    assert events.keys() == ["history.fault"]
    monkeypatch.setattr(disk.samples._file, "write", whole)
    disk.clock.advance(60)
    actor.receive(Tick())
    assert events.keys() == ["history.fault", "history.recovered"]
    actor.stopped()
    assert list(series(actor, disk, 3).series[0].value) == [1.0, 2.0, 3.0]


# ---------------------------------------------------------------- mirror and calculation


def test_a_mirror_takes_only_what_its_snapshot_has_not(disk):
    first = disk.put([2, 3], [1.0, 2.0])
    mirror = Mirror(len(POINTS))
    mirror.load(disk.store.snapshot())
    assert len(mirror.follow(first)) == 0
    second = disk.put([3], [9.0])
    assert mirror.follow(second).tolist() == [3]
    assert (mirror.value[2], mirror.value[3], mirror.seq) == (1.0, 9.0, second.last)


def test_calculated_points_follow_and_carry_the_worst_quality(tmp_path):
    points = [point(0), point(1), point(2, expression='"S/0" + "S/1"')]
    tables = ModelTables("v", "calc", points, [], [], [], [], [])
    disk = Disk(tmp_path, points)
    rtdb = Box()
    actor = make(CalcActor, tables=tables, snapshot=disk.store.snapshot, rtdb=rtdb, events=Box(), clock=disk.clock)
    actor.started()
    rtdb.take(ApplyDerived)
    actor.receive(Changed(disk.put([0, 1], [2.0, 3.0])))
    [derived] = rtdb.take(ApplyDerived)
    row = derived.batch.records[0]
    assert (row["pid"], row["value"], row["quality"]) == (2, 5.0, int(Quality.CALCULATED))
    actor.receive(Changed(disk.put([1], [3.0], quality=int(Quality.INVALID))))
    row = rtdb.take(ApplyDerived)[0].batch.records[0]
    assert row["quality"] & Quality.INVALID
    actor.receive(Changed(disk.put([2], [5.0])))
    assert rtdb.got == [], "its own result is no reason to calculate again"
    disk.close()


def test_what_a_hold_hides_and_what_comes_late_changes_nothing_in_a_mirror(disk):
    disk.put([2, 3], [1.0, 2.0])
    disk.store.hold(3, 5.0)
    mirror = Mirror(len(POINTS))
    mirror.load(disk.store.snapshot())
    held = disk.store.commit()
    assert mirror.follow(held).tolist() == [3]
    hidden = disk.put([3], [9.0])
    assert mirror.follow(hidden).tolist() == []
    late = disk.batch([2], [7.0])
    late.records["flags"] = RecordFlag.BACKFILL
    disk.store.apply(late)
    assert mirror.follow(disk.store.commit()).tolist() == []
    assert (mirror.value[2], mirror.value[3]) == (1.0, 5.0)
    disk.store.release(3)
    assert mirror.follow(disk.store.commit()).tolist() == [3]
    assert mirror.value[3] == 9.0


def test_what_depends_on_a_held_point_follows_the_operator(tmp_path):
    points = [point(0), point(1), point(2, expression='"S/0" + "S/1"')]
    disk, rtdb = Disk(tmp_path, points), Box()
    tables = ModelTables("v", "calc", points, [], [], [], [], [])
    actor = make(CalcActor, tables=tables, snapshot=disk.store.snapshot, rtdb=rtdb, events=Box(), clock=disk.clock)
    actor.started()
    actor.receive(Changed(disk.put([0, 1], [2.0, 3.0])))
    rtdb.take(ApplyDerived)
    disk.store.hold(0, 10.0)
    actor.receive(Changed(disk.store.commit()))
    row = rtdb.take(ApplyDerived)[0].batch.records[0]
    assert (row["value"], row["quality"]) == (13.0, int(Quality.CALCULATED | Quality.SUBSTITUTED))
    actor.receive(Changed(disk.put([0], [4.0])))
    assert rtdb.got == []
    disk.close()


def test_a_result_held_by_the_operator_comes_back_at_the_release(tmp_path):
    points = [point(0), point(1), point(2, expression='"S/0" + "S/1"')]
    disk, rtdb = Disk(tmp_path, points), Box()
    tables = ModelTables("v", "calc", points, [], [], [], [], [])
    actor = make(CalcActor, tables=tables, snapshot=disk.store.snapshot, rtdb=rtdb, events=Box(), clock=disk.clock)
    actor.started()

    def settle(change):
        actor.receive(Changed(change))
        for derived in rtdb.take(ApplyDerived):
            disk.store.apply(derived.batch)
            settle(disk.store.commit() or change)

    settle(disk.put([0, 1], [2.0, 3.0]))
    disk.store.hold(2, 50.0)
    settle(disk.store.commit())
    settle(disk.put([0], [4.0]))
    assert disk.store.snapshot().value[2] == 50.0
    disk.store.release(2)
    settle(disk.store.commit())
    assert disk.store.snapshot().value[2] == 7.0
    disk.close()


# ---------------------------------------------------------------- topology


class Grid:
    """The demo grid with positions that a test sets."""

    def __init__(self, demo):
        self.model, self.tables = demo
        self.live = LiveTopology(self.model, self.tables)
        count = len(self.tables.points)
        self.value, self.quality = np.full(count, np.nan), np.full(count, int(Quality.NEVER_RECEIVED), np.uint32)
        self.positions = {p.equipment: p.pid for p in self.tables.points if p.measurement_type == "SwitchPosition"}
        for switch, pid in self.positions.items():
            earth = self.live.switch_kind(switch) is SwitchKind.EARTHING
            self.value[pid], self.quality[pid] = (OPEN if earth else CLOSED), 0
        self.update()

    def update(self):
        self.live.update(self.value, self.quality)

    def put(self, switch, value, quality=0):
        pid = self.positions[switch]
        self.value[pid], self.quality[pid] = value, quality
        self.update()

    def switch(self, path):
        return next(c.equipment for c in self.tables.controls if c.path == path)


@pytest.fixture
def grid(demo):
    return Grid(demo)


BREAKER, DISCONNECTOR = "Longtan/110kV/Beishan 1/1110", "Longtan/110kV/Beishan 1/1111"


@pytest.mark.parametrize(
    ("value", "quality", "closed"),
    [
        (CLOSED, 0, True),
        (OPEN, 0, False),
        (0.0, 0, None),
        (3.0, 0, None),
        (math.nan, 0, None),
        (CLOSED, int(Quality.COMM_LOST), None),
        (OPEN, int(Quality.INVALID), None),
    ],
)
def test_a_position_is_known_only_if_it_is_good_and_final(grid, value, quality, closed):
    breaker = grid.switch(BREAKER)
    grid.put(breaker, value, quality)
    assert grid.live.is_closed(breaker) is closed
    assert breaker in grid.live.bay_breakers(grid.switch(DISCONNECTOR))


def test_what_an_unknown_position_could_change_is_answered_as_unknown(grid):
    breaker, disconnector = grid.switch(BREAKER), grid.switch(DISCONNECTOR)
    assert grid.live.switch_kind(breaker) is SwitchKind.BREAKER
    assert grid.live.is_energised(disconnector) is True
    for switch in grid.positions:
        grid.put(switch, 0.0)
    assert grid.live.is_energised(disconnector) is None
    assert grid.live.is_earthed(disconnector) is None
    assert grid.live.is_closed("no such switch") is None
    assert grid.live.switch_kind("no such switch") is None


def test_an_earthing_switch_in_an_unknown_position_forbids(grid):
    earthing = next(switch for switch in grid.positions if grid.live.switch_kind(switch) is SwitchKind.EARTHING)
    ends = [s for s in grid.positions if s != earthing]
    near = next((s for s in ends if grid.live.is_earthed(s) is False), None)
    assert near is not None
    grid.put(earthing, CLOSED)
    earthed = {s for s in ends if grid.live.is_earthed(s) is True}
    assert earthed, "a closed earthing switch earths what it is joined to"
    grid.put(earthing, 0.0)
    assert {s for s in ends if grid.live.is_earthed(s) is None} >= earthed


def test_the_actor_writes_states_and_says_where_they_are_uncertain(demo, grid, tmp_path):
    _, tables = demo
    disk = Disk(tmp_path, tables.points)
    rtdb = Box()
    actor = make(TopologyActor, tables=tables, live=grid.live, snapshot=disk.store.snapshot, rtdb=rtdb, clock=disk.clock)
    actor.started()
    first = rtdb.take(ApplyDerived)[0].batch.records
    topology = {p.pid for p in tables.points if p.expression == "topology"}
    assert set(first["pid"].tolist()) == topology
    assert (first["quality"] & int(Quality.QUESTIONABLE)).any(), "nothing was received yet"
    known = sorted(grid.positions.values())
    actor.receive(Changed(disk.put(known, grid.value[known])))
    second = rtdb.take(ApplyDerived)[0].batch.records
    doubtful = (first["quality"] & int(Quality.QUESTIONABLE) != 0).sum()
    assert (second["quality"] & int(Quality.QUESTIONABLE) != 0).sum() < doubtful
    analog = next(p.pid for p in tables.points if p.measurement_type == "ThreePhaseActivePower")
    actor.receive(Changed(disk.put([analog], [1.0])))
    assert rtdb.got == [], "no switch moved"
    disk.close()


def test_a_switch_that_moves_behind_a_hold_moves_nothing(demo, grid, tmp_path):
    _, tables = demo
    disk, rtdb = Disk(tmp_path, tables.points), Box()
    known = sorted(grid.positions.values())
    disk.put(known, [CLOSED] * len(known))
    breaker = grid.switch(BREAKER)
    disk.store.hold(grid.positions[breaker], CLOSED)
    disk.store.commit()
    actor = make(TopologyActor, tables=tables, live=grid.live, snapshot=disk.store.snapshot, rtdb=rtdb, clock=disk.clock)
    actor.started()
    rtdb.take(ApplyDerived)
    actor.receive(Changed(disk.put([grid.positions[breaker]], [OPEN], event=True)))
    assert rtdb.got == []
    assert grid.live.is_closed(breaker) is True
    disk.store.release(grid.positions[breaker])
    actor.receive(Changed(disk.store.commit()))
    assert len(rtdb.take(ApplyDerived)) == 1
    assert grid.live.is_closed(breaker) is False
    disk.close()
