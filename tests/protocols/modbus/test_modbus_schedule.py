"""The schedule on a clock that is driven: periods, rates, and a silent unit that must not slow the others."""

import itertools

import numpy as np
import pytest

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Point, PointKind
from scada.protocols.modbus.limits import ChannelLimits, UnitLimits
from scada.protocols.modbus.plan import plan
from scada.protocols.modbus.reading import Reading
from scada.protocols.modbus.schedule import Schedule

SPEC = ChannelSpec(0, "m", "GW", "modbus-tcp", "127.0.0.1", 502, "S")


def point(pid, unit, register, scan_ms=0):
    where = ModbusAddress(unit, "holding", register, scan_ms=scan_ms)
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), PointKind.ANALOG, "", "", "", "", "S", "", 0, where)


class Rig:
    """Drives a schedule: each request takes ``answer_s``, of a dead unit ``timeout_s``."""

    def __init__(self, points, limits=None, answer_s=0.01, timeout_s=1.0):
        limits = limits or ChannelLimits()
        blocks, _ = plan(points, limits)
        self.schedule = Schedule([Reading(block, SPEC) for block in blocks], limits)
        self.now, self.answer_s, self.timeout_s = 0.0, answer_s, timeout_s
        self.dead, self.dead_blocks = set(), set()
        self.reads, self.silences = [], []
        self.schedule.start(0.0)

    def until(self, end):
        while self.now < end:
            reading, at = self.schedule.next(self.now)
            if reading is None:
                self.now = min(at, end)
                continue
            began, block = self.now, reading.block
            self.reads.append((began, block.unit_id, block.start))
            dead = block.unit_id in self.dead or (block.unit_id, block.start) in self.dead_blocks
            self.now += self.timeout_s if dead else self.answer_s
            self.schedule.used(block.unit_id, began, self.now)
            if not dead:
                self.schedule.answered(reading, self.now)
            elif self.schedule.missed(reading, self.now - began, self.now):
                self.silences.append((self.now, block.unit_id))
        return self

    def times(self, unit, start=None):
        return [at for at, where, first in self.reads if where == unit and start in (None, first)]


def test_each_class_is_read_at_its_period():
    rig = Rig([point(0, 1, 0, 200), point(1, 1, 500, 1000), point(2, 1, 900, 5000)]).until(10)
    assert len(rig.times(1, 0)) == pytest.approx(50, abs=2)
    assert len(rig.times(1, 500)) == pytest.approx(10, abs=1)
    assert len(rig.times(1, 900)) == 2


def test_a_link_that_is_too_slow_reads_everything_a_little_later_and_starves_nothing():
    points = [point(0, 1, 0, 20), point(1, 1, 500, 20), point(2, 2, 0, 1000)]
    rig = Rig(points, answer_s=0.1).until(20)
    assert len(rig.times(2)) >= 17
    assert abs(len(rig.times(1, 0)) - len(rig.times(1, 500))) <= 1
    assert rig.schedule.late_s > 0


def test_a_dead_unit_costs_the_others_at_most_a_fifth():
    points = [point(pid, unit, 200 * block) for pid, (unit, block) in enumerate((u, b) for u in range(1, 11) for b in range(5))]
    alive = Rig(points).until(60)
    rig = Rig(points)
    rig.dead = {3, 4, 5, 6, 7, 8}
    rig.until(60)
    assert {unit for _, unit in rig.silences} == rig.dead
    wasted = sum(1.0 for _, unit, _ in rig.reads if unit in rig.dead)
    assert wasted <= 0.2 * 60 + 2 * 6 + 1, "two misses of each until it is known, then a fifth"
    assert len(rig.times(1)) >= 0.5 * len(alive.times(1))
    late = [b - a for a, b in zip(rig.times(1, 0)[20:], rig.times(1, 0)[21:], strict=False)]
    assert max(late) <= 2.5


def test_pauses_double_and_end_at_a_minute_and_a_unit_that_is_back_is_read_whole_at_once():
    points = [point(0, 1, 0), point(1, 2, 0), point(2, 2, 500)]
    rig = Rig(points)
    rig.dead = {2}
    rig.until(400)
    tries = rig.times(2)
    pauses = [b - a for a, b in itertools.pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(61, abs=1.5)
    rig.dead = set()
    rig.until(470)
    back = [at for at in rig.times(2) if at > 400]
    assert {start for at, unit, start in rig.reads if unit == 2 and at <= back[0] + 0.1 and at > 400} == {0, 500}
    assert len(back) > 5
    assert not rig.schedule.is_silent(2)


def test_a_block_that_is_never_answered_does_not_make_its_unit_silent():
    rig = Rig([point(0, 1, 0), point(1, 1, 500), point(2, 2, 0)])
    rig.dead_blocks = {(1, 500)}
    rig.until(120)
    assert rig.silences == []
    assert len(rig.times(1, 0)) > 90
    assert len(rig.times(1, 500)) < 15


def test_a_silent_channel_is_tried_at_its_period():
    rig = Rig([point(0, 1, 0), point(1, 2, 0)], timeout_s=0.2)
    rig.dead = {1, 2}
    rig.until(10)
    assert rig.schedule.all_silent
    assert rig.schedule.misses >= 10
    assert not rig.schedule.heard


def test_pauses_and_rates_of_units_and_of_the_channel():
    unit = {2: UnitLimits(gap_s=0.5), 3: UnitLimits(max_requests_s=1.0)}
    points = [point(0, 1, 0, 20), point(1, 2, 0, 20), point(2, 3, 0, 20)]
    rig = Rig(points, ChannelLimits(units=unit)).until(10)
    assert min(b - a for a, b in zip(rig.times(2), rig.times(2)[1:], strict=False)) >= 0.5
    assert min(b - a for a, b in zip(rig.times(3), rig.times(3)[1:], strict=False)) >= 1.0
    assert len(rig.times(1)) > 300
    slow = Rig(points, ChannelLimits(max_requests_s=10.0)).until(10)
    assert len(slow.reads) <= 101
    paused = Rig(points, ChannelLimits(gap_s=0.09)).until(10)
    assert all(b - a >= 0.1 - 1e-9 for (a, *_), (b, *_) in zip(paused.reads, paused.reads[1:], strict=False))
    assert paused.schedule.free_at(1) >= paused.reads[-1][0] + 0.1 - 1e-9


def test_a_refused_block_is_asked_ever_more_rarely_and_hurry_asks_at_once():
    rig = Rig([point(0, 1, 0)])
    asked = []
    while rig.now < 600:
        reading, at = rig.schedule.next(rig.now)
        if reading is None:
            rig.now = at
            continue
        asked.append(rig.now)
        rig.schedule.refused(reading, rig.now)
    assert len(asked) < 20
    rig.schedule.hurry(1, rig.now)
    assert rig.schedule.next(rig.now)[0] is not None


def test_a_parted_block_is_read_in_parts_from_then_on():
    rig = Rig([point(0, 1, 0), point(1, 1, 1)])
    reading, _ = rig.schedule.next(0.0)
    rig.schedule.parted(reading, reading.halves(), 0.0)
    assert [one.block.start for one in rig.schedule] == [0, 1]
    rig.until(1.5)
    assert {start for *_, start in rig.reads} == {0, 1}


def test_a_new_connection_reads_parted_blocks_whole_again():
    """A device that refused everything while it started must not be read register by register for ever."""
    rig = Rig([point(0, 1, 0), point(1, 1, 1), point(2, 1, 2)])
    whole, _ = rig.schedule.next(0.0)
    rig.schedule.parted(whole, whole.halves(), 0.0)
    low, _ = rig.schedule.next(0.0)
    low.take(np.array([7], dtype=np.uint16), 1)
    rig.schedule.answered(low, 0.0)
    high, _ = rig.schedule.next(0.0)
    rig.schedule.parted(high, high.halves(), 0.0)
    rig.schedule.start(1.0)
    assert list(rig.schedule) == [whole]
    assert rig.schedule.next(1.0)[0] is whole
    assert whole.values.tolist()[0] == 7.0, "what its parts told is still the last value"
    assert np.isnan(whole.values[1:]).all()


def test_nothing_to_read():
    assert Schedule([], ChannelLimits()).next(5.0) == (None, 6.0)
