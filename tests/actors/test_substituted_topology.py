"""Positions that operators entered: used by topology and interlocks, and said."""

import numpy as np
import pytest
from actors.harness import Box, Disk, make

from scada.actors.messages import ApplyDerived
from scada.actors.topology import CLOSED, OPEN, LiveTopology, TopologyActor
from scada.control.interlocks import FIVE_PREVENTION, check_interlocks, rests_on_substituted
from scada.control.plant import SwitchKind
from scada.core.quality import Quality

SUBSTITUTED = int(Quality.MANUAL | Quality.SUBSTITUTED)
BREAKER, DISCONNECTOR = "Longtan/110kV/Beishan 1/1110", "Longtan/110kV/Beishan 1/1111"


class Grid:
    """The demo grid, every switch closed and every earthing switch open."""

    def __init__(self, demo):
        self.model, self.tables = demo
        self.earthed = []
        self.live = LiveTopology(self.model, self.tables, lambda: self.earthed)
        self.positions = {p.equipment: int(p.pid) for p in self.tables.points if p.measurement_type == "SwitchPosition"}
        count = len(self.tables.points)
        self.value, self.quality = np.full(count, np.nan), np.full(count, int(Quality.NEVER_RECEIVED), np.uint32)
        for switch, pid in self.positions.items():
            earth = self.live.switch_kind(switch) is SwitchKind.EARTHING
            self.value[pid], self.quality[pid] = (OPEN if earth else CLOSED), 0
        self.live.update(self.value, self.quality)

    def put(self, path, value, quality=0):
        pid = self.positions[self.control(path).equipment]
        self.value[pid], self.quality[pid] = value, quality
        self.live.update(self.value, self.quality)

    def control(self, path):
        return next(control for control in self.tables.controls if control.path == path)

    def verdict(self, path, value):
        control = self.control(path)
        findings = check_interlocks(FIVE_PREVENTION, control, value, None, self.live)
        return findings, rests_on_substituted(FIVE_PREVENTION, control, value, None, self.live, findings)


@pytest.fixture
def grid(demo):
    return Grid(demo)


def test_nothing_is_said_where_nothing_is_held(grid):
    assert grid.live.substituted() == []
    assert grid.verdict(DISCONNECTOR, 1)[1] == ""


@pytest.mark.parametrize("word", [SUBSTITUTED, int(Quality.OPERATOR_BLOCKED)])
def test_an_allowed_disconnector_rests_on_the_held_breaker_of_its_bay(grid, word):
    grid.put(BREAKER, OPEN)
    assert grid.verdict(DISCONNECTOR, 1) == ([], "")
    grid.put(BREAKER, OPEN, word)
    findings, said = grid.verdict(DISCONNECTOR, 1)
    assert findings == [], "the held position is used"
    assert said == "this rests on substituted positions: Longtan/110kV/Beishan 1/1110"
    grid.put(BREAKER, OPEN, int(Quality.SUBSTITUTED))
    assert grid.verdict(DISCONNECTOR, 1) == ([], ""), "what the station substituted is its own word"


def test_a_held_position_far_away_is_not_blamed(grid):
    far = next(c.path for c in grid.tables.controls if c.station == "Xicheng" and grid.live.switch_kind(c.equipment))
    grid.put(far, CLOSED, SUBSTITUTED)
    assert len(grid.live.substituted()) == 1
    grid.put(BREAKER, OPEN)
    assert grid.verdict(DISCONNECTOR, 1) == ([], "")


def test_doubting_leaves_the_topology_as_it_is(grid):
    grid.put(BREAKER, OPEN, SUBSTITUTED)
    breaker = grid.control(BREAKER).equipment
    assert grid.live.without_substituted().is_closed(breaker) is None
    assert grid.live.is_closed(breaker) is False


def test_a_moving_switch_is_doubted_and_no_other(grid):
    grid.put(BREAKER, OPEN)
    breaker, earthing = grid.control(BREAKER).equipment, grid.control(DISCONNECTOR).equipment
    moving = grid.live.without([breaker, "no switch"])
    assert (moving.is_closed(breaker), moving.is_closed(earthing)) == (None, grid.live.is_closed(earthing))
    assert grid.live.is_closed(breaker) is False


def test_states_that_rest_on_a_held_position_carry_substituted(demo, grid, tmp_path):
    _, tables = demo
    disk, rtdb = Disk(tmp_path, tables.points), Box()
    known = sorted(grid.positions.values())
    disk.put(known, grid.value[known])

    def states():
        live = LiveTopology(*demo)
        actor = make(TopologyActor, tables=tables, live=live, snapshot=disk.store.snapshot, rtdb=rtdb, clock=disk.clock)
        actor.started()
        return rtdb.take(ApplyDerived)[0].batch.records

    assert not (states()["quality"] & int(Quality.SUBSTITUTED)).any()
    line = [point for point in tables.points if point.expression == "topology"]
    for path in (BREAKER, *(c.path for c in tables.controls if c.station == "Longtan" and c.name.endswith("0"))):
        disk.store.hold(grid.positions[grid.control(path).equipment], OPEN)
    disk.store.commit()
    marked = states()["quality"] & int(Quality.SUBSTITUTED) != 0
    assert 0 < marked.sum() < len(line)
    disk.close()


def test_a_portable_earth_on_a_line_forbids_to_close_onto_it(grid):
    topology = grid.live._topology
    grid.put(BREAKER, OPEN)
    line = next(mrid for mrid in grid.model.ids("ACLineSegment"))
    ends = set(topology.ends(line))
    near = next(s for s in grid.positions if ends & set(topology.ends(s)) and grid.live.switch_kind(s) is SwitchKind.DISCONNECTOR)
    control = next(c for c in grid.tables.controls if c.equipment == near)
    assert not any("earth" in str(finding) for finding in grid.verdict(control.path, 2)[0])
    grid.earthed = [line]
    assert any("portable earth" in str(finding) for finding in grid.verdict(control.path, 2)[0])
    assert grid.live.is_earthed(near) is True
    grid.earthed = [near, grid.control(BREAKER).equipment, "not in the model"]
    assert grid.live.is_earthed(near) is False, "of a switch it is not known which side"
