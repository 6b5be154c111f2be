"""Continuous sources: capability, blocks, response, loops, take-over; shares of a plant by hand-worked tables."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.avc.capability import capability
from scada.apps.agc_avc.avc.shares import RULES, Member, fill, share
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcTuning
from scada.core.quality import HELD_MASK, Quality
from scada.model_cim.regulation import ReactiveSource
from scada.rtdb.changes import Snapshot

CURVE = ((0.0, -60.0, 90.0), (100.0, -40.0, 80.0), (200.0, -20.0, 50.0))
MACHINE = ReactiveSource("G1", "g1", 1, 100, -70.0, 85.0, 10.0, active=2, capability=CURVE)
INVERTER = ReactiveSource("PV", "pv", 1, 100, -80.0, 80.0, 10.0, kind="inverter", active=2, rated_mva=100.0)
BLOCKED = ReactiveSource("G2", "g2", 1, 100, -50.0, 50.0, 10.0, raise_blocked=3, lower_blocked=4)


def inputs(values, quality=None, forbidden=None):
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in sorted(values)], float), words, zero, zero), forbidden)


def control(source=MACHINE, **tuning):
    return SourceControl(source, AvcTuning(**tuning))


# ---------------------------------------------------------------- capability


@pytest.mark.parametrize(
    ("active", "low", "high", "key_low", "key_high"),
    [
        (0.0, -60.0, 85.0, "capability_curve", "limits"),
        (50.0, -50.0, 85.0, "capability_curve", "limits"),
        (100.0, -40.0, 80.0, "capability_curve", "capability_curve"),
        (150.0, -30.0, 65.0, "capability_curve", "capability_curve"),
        (250.0, -20.0, 50.0, "capability_curve", "capability_curve"),
        (-10.0, -60.0, 85.0, "capability_curve", "limits"),
        (None, -20.0, 50.0, "capability_curve", "capability_curve"),
    ],
)
def test_the_curve_of_a_machine(active, low, high, key_low, key_high):
    """Straight between its points; without active power the range that holds at every one."""
    found = capability(MACHINE, active)
    assert (found.minimum, found.maximum) == (low, high)
    assert (found.at(low, 1e-6), found.at(high, 1e-6), found.at(0.0, 1e-6)) == (key_low, key_high, "")


@pytest.mark.parametrize(
    ("active", "reach"), [(0.0, 80.0), (60.0, 80.0), (80.0, 60.0), (-80.0, 60.0), (96.0, 28.0), (100.0, 0.0), (130.0, 0.0)]
)
def test_the_circle_of_an_inverter(active, reach):
    found = capability(INVERTER, active)
    assert (found.minimum, found.maximum) == pytest.approx((-reach, reach))
    assert active**2 + found.maximum**2 <= max(100.0**2, active**2) + 1e-6


def test_an_inverter_without_active_power_is_not_used():
    assert "active power" in capability(INVERTER, None).reason
    pv = control(INVERTER)
    pv.read(inputs({1: 5.0, 2: 30.0}, {2: int(Quality.INVALID)}))
    assert "active power" in pv.reason
    pv.read(inputs({1: 5.0, 2: 80.0}))
    assert (pv.reason, pv.minimum, pv.maximum) == ("", -60.0, 60.0)


@pytest.mark.parametrize(
    "source",
    [
        replace(MACHINE, minimum=90.0),
        replace(MACHINE, maximum=math.nan),
        replace(MACHINE, capability=((0.0, -1.0, math.nan),)),
        replace(MACHINE, capability=((10.0, -1.0, 1.0), (0.0, -1.0, 1.0))),
        replace(MACHINE, capability=((0.0, 5.0, -5.0),)),
        replace(MACHINE, capability=((0.0, -10.0, -5.0), (100.0, 5.0, 10.0)), active=None),
    ],
)
def test_a_range_that_makes_no_sense_is_none(source):
    known = None if source.active is None else 50.0
    assert capability(source, known).reason
    machine = control(source)
    machine.read(inputs({1: 0.0} if known is None else {1: 0.0, 2: known}))
    assert machine.reason


# ---------------------------------------------------------------- what it can be told


@pytest.mark.parametrize(
    ("reactive", "low", "high"),
    [(0.0, -10.0, 10.0), (78.0, -10.0, 2.0), (90.0, -10.0, -10.0), (-38.0, -2.0, 10.0), (-45.0, 5.0, 10.0), (99.0, -19.0, -19.0)],
)
def test_bounds_are_range_and_step(reactive, low, high):
    machine = control()
    machine.read(inputs({1: reactive, 2: 100.0}))
    assert machine.bounds() == (low, high)


@pytest.mark.parametrize(
    ("values", "bad", "bounds"),
    [
        ({3: 0.0, 4: 0.0}, (), (-10.0, 10.0)),
        ({3: 1.0, 4: 0.0}, (), (-10.0, 0.0)),
        ({3: 0.0, 4: 1.0}, (), (0.0, 10.0)),
        ({3: 1.0, 4: 1.0}, (), (0.0, 0.0)),
        ({3: 0.0, 4: 0.0}, (3,), (-10.0, 0.0)),
        ({4: 0.0}, (), (-10.0, 0.0)),
    ],
)
def test_a_block_stops_one_way_and_an_unknown_one_counts(values, bad, bounds):
    machine = control(BLOCKED)
    machine.read(inputs({1: 5.0} | values, dict.fromkeys(bad, int(Quality.INVALID))))
    assert machine.reason == ""
    assert machine.bounds() == bounds


def test_tags_remote_and_refusals():
    machine = control(replace(MACHINE, remote=5))
    machine.read(inputs({1: 0.0, 2: 0.0, 5: 1.0}, forbidden={100: "work"}))
    assert machine.reason == "tagged: work"
    machine.read(inputs({1: 0.0, 2: 0.0, 5: 0.0}))
    assert machine.reason == "not in remote control"
    for _ in range(2):
        machine.refused()
    machine.read(inputs({1: 0.0, 2: 0.0, 5: 1.0}))
    assert "refused 2 times" in machine.reason
    machine.unlock()
    machine.read(inputs({1: 0.0, 2: 0.0, 5: 1.0}))
    assert machine.reason == ""


def test_a_source_that_does_not_follow_goes_off_control_until_unlocked():
    machine = control(response_cycles=3)
    machine.read(inputs({1: 0.0, 2: 0.0}))
    for cycle in range(3):
        machine.commanded(30.0)
        machine.read(inputs({1: 0.1 * (cycle % 2), 2: 0.0}))
    assert "does not follow" in machine.reason
    assert math.isnan(machine.sent)
    machine.unlock()
    machine.read(inputs({1: 0.0, 2: 0.0}))
    assert machine.reason == ""


def test_a_slow_source_that_comes_nearer_follows_and_a_stray_one_does_not():
    slow, stray = control(response_cycles=3), control(response_cycles=3)
    q, away = 0.0, 0.0
    for _ in range(8):
        for machine, value in ((slow, q), (stray, away)):
            machine.commanded(40.0)
            machine.read(inputs({1: value, 2: 0.0}))
        q, away = q + 0.2 * (40.0 - q), away - 3.0
    assert slow.reason == ""
    assert "does not follow" in stray.reason


def test_no_measurement_is_no_proof_of_no_response():
    machine = control(response_cycles=2)
    machine.read(inputs({1: 0.0, 2: 0.0}))
    for _ in range(6):
        machine.commanded(30.0)
        machine.read(inputs({1: 0.0, 2: 0.0}, {1: HELD_MASK}))
    assert machine.follows


def test_its_own_error_at_the_set_point_is_not_fed_back():
    """Standing 1 Mvar below what it was told, changes start from what it was told."""
    machine = control()
    machine.read(inputs({1: 29.0, 2: 0.0}))
    assert machine.base == 29.0
    machine.commanded(30.0)
    for _ in range(2):
        machine.read(inputs({1: 29.0, 2: 0.0}))
    assert machine.base == 30.0
    machine.read(inputs({1: 12.0, 2: 0.0}))
    assert machine.base == 12.0


def test_take_over_starts_from_where_it_stands():
    machine = control(replace(MACHINE, remote=5))
    machine.read(inputs({1: 10.0, 2: 0.0, 5: 1.0}))
    machine.commanded(40.0)
    machine.read(inputs({1: 10.0, 2: 0.0, 5: 0.0}))
    machine.read(inputs({1: -25.0, 2: 0.0, 5: 1.0}))
    assert (machine.base, machine.bounds()) == (-25.0, (-10.0, 10.0))


def test_loops_and_test_values():
    machine = control()
    machine.read(inputs({1: 0.0, 2: 0.0}))
    machine.set_loop("test", 25.0)
    assert machine.reason == "test loop"
    sent = []
    q = 0.0
    for _ in range(5):
        machine.read(inputs({1: q, 2: 0.0}))
        value = machine.test_setpoint()
        if not math.isnan(value):
            machine.commanded(value)
            sent.append(value)
            q = value
    assert sent == [10.0, 20.0, 25.0]
    for loop, value in (("test", 500.0), ("test", math.nan), ("wild", 0.0)):
        with pytest.raises(RegulationError):
            machine.set_loop(loop, value)
    machine.set_loop("closed", math.nan)
    assert machine.reason == ""
    assert math.isnan(machine.test_setpoint())


def test_a_source_goes_on_from_its_state_to_the_bit():
    rng = np.random.default_rng(4)
    first, second = control(response_cycles=3), control(response_cycles=3)
    for cycle in range(60):
        values = inputs({1: float(rng.normal(0, 20)), 2: float(rng.uniform(0, 200))})
        for machine in (first, second) if cycle > 25 else (first,):
            machine.read(values)
            if not machine.reason and cycle % 3:
                machine.commanded(machine.base + machine.bounds()[1])
            if cycle % 7 == 0:
                machine.refused()
            elif cycle % 5 == 0:
                machine.unlock()
        if cycle == 25:
            second.restore(first.state())
        elif cycle > 25:
            assert second.bounds() == first.bounds()
            assert repr(second.decision()) == repr(first.decision())


# ---------------------------------------------------------------- shares


def member(now, low=-100.0, high=100.0, active=math.nan, capacity=math.nan, **more):
    """A source of +-100 Mvar whose window is its range unless said."""
    return Member(now, low, high, -100.0, 100.0, active, capacity, **more)


@pytest.mark.parametrize(
    ("rule", "total", "members", "expected"),
    [
        # margins up 90 and 60: 30 Mvar more falls 18 to 12
        ("margin", 80.0, [member(10.0), member(40.0)], (28.0, 52.0)),
        # margins down 110 and 140: 25 Mvar less falls 11 to 14
        ("margin", 25.0, [member(10.0), member(40.0)], (0.0, 25.0)),
        ("margin", 50.0, [member(10.0), member(40.0)], (10.0, 40.0)),
        # tan phi = 0.3
        ("power-factor", 90.0, [member(0.0, active=100.0), member(0.0, active=200.0)], (30.0, 60.0)),
        # the second stops at its window: the first takes the rest
        ("power-factor", 90.0, [member(0.0, active=100.0), member(0.0, high=50.0, active=200.0)], (40.0, 50.0)),
        ("power-factor", -60.0, [member(0.0, active=-50.0), member(0.0, active=100.0)], (-20.0, -40.0)),
        ("power-factor", 30.0, [member(0.0, active=0.0), member(0.0, active=50.0)], (0.0, 30.0)),
        ("capacity", 60.0, [member(0.0, capacity=50.0), member(0.0, capacity=100.0)], (20.0, 40.0)),
        # nobody works against the other: -20 comes to 0
        ("margin", 40.0, [member(-20.0), member(60.0)], (0.0, 40.0)),
        # by its step it cannot: -20 to -5 at most
        ("margin", 40.0, [member(-20.0, low=-35.0, high=-5.0), member(60.0)], (-5.0, 45.0)),
        # the compensator hands over to the machine
        ("margin", 50.0, [member(0.0), member(50.0, svg=True, keep=20.0)], (30.0, 20.0)),
        # and takes what the machine cannot
        ("margin", 50.0, [member(0.0, high=10.0), member(30.0, svg=True, keep=20.0)], (10.0, 40.0)),
        # within its part it stays
        ("margin", 50.0, [member(0.0), member(15.0, svg=True, keep=20.0)], (35.0, 15.0)),
    ],
)
def test_shares_by_hand(rule, total, members, expected):
    found = share(total, rule, members)
    assert found.setpoints == pytest.approx(expected, abs=1e-9)
    assert found.unmet == pytest.approx(0.0, abs=1e-9)
    assert found.note == ""


def test_what_is_not_known_falls_back_to_equal_margin_and_is_said():
    same = share(80.0, "margin", [member(10.0), member(40.0)]).setpoints
    for rule, word in (("power-factor", "active power"), ("capacity", "capacity"), ("dice", "dice")):
        found = share(80.0, rule, [member(10.0, active=5.0), member(40.0)])
        assert found.setpoints == same
        assert word in found.note


def test_a_total_that_cannot_be_met_says_by_how_much():
    found = share(90.0, "margin", [member(10.0, high=20.0), member(40.0, high=50.0)])
    assert found.setpoints == (20.0, 50.0)
    assert found.unmet == pytest.approx(20.0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(RULES), st.floats(-300, 300))
@settings(max_examples=200, deadline=None)
def test_shares_stay_in_windows_keep_one_sign_and_add_up(seed, rule, total):
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(int(rng.integers(1, 7))):
        now = float(rng.uniform(-40, 40))
        low, high = now - float(rng.uniform(0, 60)), now + float(rng.uniform(0, 60))
        members.append(
            member(now, low, high, float(rng.uniform(1, 90)), float(rng.uniform(1, 90)), svg=bool(rng.random() < 0.3), keep=10.0)
        )
    found = share(total, rule, members)
    for value, one in zip(found.setpoints, members, strict=True):
        assert one.low - 1e-9 <= value <= one.high + 1e-9
        if one.low <= 0.0 <= one.high:
            assert value * total >= -1e-9
    if not any(one.low > 0 or one.high < 0 for one in members):
        reach = sum(one.high for one in members) if total > 0 else sum(one.low for one in members)
        assert abs(found.unmet) <= max(abs(total) - abs(reach), 0.0) + 1e-7
    order = rng.permutation(len(members))
    again = share(total, rule, [members[i] for i in order])
    assert again.setpoints == pytest.approx([found.setpoints[i] for i in order], abs=1e-7)


def test_the_water_level():
    base, slope = np.zeros(3), np.array([1.0, 2.0, 0.0])
    low, high = np.full(3, -5.0), np.array([5.0, 3.0, 5.0])
    assert fill(base, slope, low, high, 6.0).tolist() == pytest.approx([3.0, 3.0, 0.0])
    assert fill(base, slope, low, high, 99.0).tolist() == [5.0, 3.0, 0.0]
    assert fill(base, slope, low, high, -99.0).tolist() == [-5.0, -5.0, 0.0]
    assert fill(base[:0], slope[:0], low[:0], high[:0], 1.0).tolist() == []
