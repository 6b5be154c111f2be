"""Secondary voltage control of a zone: what it minimises, limits of buses, plants, compensators, loops; a closed loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.avc.secondary import SecondaryControl, ZoneVoltages
from scada.apps.agc_avc.avc.source_explanation import explain_source
from scada.apps.agc_avc.avc.sources import SourceControl
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcTuning
from scada.model_cim.regulation import PilotNode, ReactivePlant, ReactiveSource, VoltageZone
from scada.rtdb.changes import Snapshot
from tests.apps.agc_avc.avc_closed_loop import Loop, demo_zone

PILOT = PilotNode("Bus", "bus", [0], 110.0, 0.5, 105.0, 115.0)
SECOND = PilotNode("Far", "far", [1], 110.0, 0.5, 105.0, 115.0)


def source(number, low=-50.0, high=50.0, step=20.0, **more):
    """Source ``number``; its reactive power is point 10 + number, the voltage of its bus point 30 + number."""
    return ReactiveSource(f"G{number}", f"g{number}", 10 + number, 100 + number, low, high, step, **more)


class Rig:
    """One zone with measurements by point."""

    def __init__(self, sources, pilots=(PILOT,), plants=(), **tuning):
        self.tuning = AvcTuning(**tuning)
        self.controls = [SourceControl(one, self.tuning) for one in sources]
        self.pilots = pilots
        self.zone = SecondaryControl(VoltageZone("Z", pilots, sources, (), plants), self.controls, self.tuning)

    def act(self, kv, effect, q=None, buses=None, bus_kv=(), send=True, points=None):
        values = {one.source.power: 0.0 for one in self.controls} | dict(points or {})
        values |= {10 + number: value for number, value in (q or {}).items()}
        values |= {30 + number: value for number, value in dict(bus_kv).items()}
        pids = np.array(sorted(values), dtype=np.uint32)
        zero = np.zeros(len(pids), np.int64)
        inputs = Measurements(
            Snapshot(1, pids, np.array([values[p] for p in sorted(values)]), np.zeros(len(pids), np.uint32), zero, zero)
        )
        for one in self.controls:
            one.read(inputs)
        shape = (len(self.pilots), len(self.controls))
        target = np.array([pilot.target for pilot in self.pilots])
        deadband = np.array([pilot.deadband for pilot in self.pilots])
        voltages = ZoneVoltages(np.array(kv, float), target, deadband, np.array(effect, float).reshape(shape), buses)
        return self.zone.act(voltages, send=send)

    def value(self, moves, number):
        return next((one.value for one in moves.commands if one.mrid == f"g{number}"), math.nan)


# ---------------------------------------------------------------- objective


def test_a_single_source_corrects_the_gain_of_the_error():
    """1 kV low at 0.1 kV/Mvar: 0.7 of it is 7 Mvar, less what even loading costs (hand-worked normal equation)."""
    rig = Rig([source(0)])
    found = rig.value(rig.act([109.0], [[0.1]]), 0)
    normal = (0.1 / 0.5) ** 2 + 0.05 / 50.0**2
    assert found == pytest.approx((0.1 / 0.5) * (0.7 / 0.5) / normal, rel=1e-9)


def test_equal_sources_load_equally_and_a_loaded_one_gives_way():
    rig = Rig([source(0), source(1)])
    moves = rig.act([109.0], [[0.1, 0.1]])
    assert rig.value(moves, 0) == pytest.approx(rig.value(moves, 1), abs=1e-9)
    uneven = Rig([source(0), source(1)])
    moves = uneven.act([109.0], [[0.1, 0.1]], q={0: 30.0})
    assert moves.commands
    assert 30.0 - min(30.0, uneven.value(moves, 0)) > 0
    assert uneven.value(moves, 1) > 0


def test_inside_the_dead_band_nothing_moves():
    rig = Rig([source(0)])
    assert rig.act([109.51], [[0.1]]).commands == []
    assert rig.act([109.49], [[0.1]]).commands


@given(
    st.lists(st.floats(95, 125), min_size=2, max_size=2),
    st.lists(st.floats(-70, 70), min_size=3, max_size=3),
    st.lists(st.floats(-0.3, 0.5), min_size=6, max_size=6),
)
@settings(max_examples=150, deadline=None)
def test_no_set_point_outside_range_or_step(kv, q, effect):
    rig = Rig([source(0), source(1, -20.0, 30.0, 4.0), source(2)], (PILOT, SECOND))
    for one in rig.act(kv, effect, q=dict(enumerate(q))).commands:
        number = int(one.mrid[1:])
        own = rig.controls[number].source
        assert own.minimum <= one.value <= own.maximum
        if own.minimum <= q[number] <= own.maximum:
            assert abs(one.value - q[number]) <= own.step + 1e-9


@given(st.permutations(range(4)), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_order_of_sources_does_not_matter(order, seed):
    rng = np.random.default_rng(seed)
    effect, q = rng.uniform(0.01, 0.3, (2, 4)), rng.uniform(-40, 40, 4)
    first, second = Rig([source(i) for i in range(4)], (PILOT, SECOND)), Rig([source(i) for i in order], (PILOT, SECOND))
    kv = [108.0, 111.2]
    a = {one.mrid: one.value for one in first.act(kv, effect, q=dict(enumerate(q))).commands}
    b = {one.mrid: one.value for one in second.act(kv, effect[:, order], q=dict(enumerate(q))).commands}
    assert a == pytest.approx(b, abs=1e-7)


# ---------------------------------------------------------------- limits


def test_a_limit_is_said_with_the_source_and_what_cannot_be_met_with_by_how_much():
    rig = Rig([source(0, high=10.0)])
    moves = rig.act([103.0], [[0.1]], q={0: 5.0})
    assert rig.value(moves, 0) == 10.0
    assert moves.reasons == ["Bus stays 1.50 kV below its limit of 105 kV", "at its limit: G0 (limits)"]


def test_the_bus_of_a_source_stays_within_its_limits():
    """The pilot wants 14 Mvar; the source's own bus has room for 4."""
    own = source(0, voltage=(30,), voltage_minimum=10.0, voltage_maximum=11.0)
    free, held = Rig([source(0)]), Rig([own])
    buses = np.array([[0.05]])
    assert free.value(free.act([108.0], [[0.1]]), 0) > 13.0
    assert held.value(held.act([108.0], [[0.1]], buses=buses, bus_kv={0: 10.8}), 0) == pytest.approx(4.0, abs=1e-9)
    unknown = Rig([own])
    assert unknown.value(unknown.act([108.0], [[0.1]], buses=buses, bus_kv={0: 99.0}), 0) > 13.0


def test_a_bus_outside_its_limits_is_brought_back_while_the_pilots_are_fine():
    own = source(0, voltage=(30,), voltage_minimum=10.0, voltage_maximum=11.0)
    rig = Rig([own, source(1)])
    moves = rig.act([110.0], [[0.1, 0.1]], q={0: 20.0}, buses=np.array([[0.05, 0.0], [0.0, 0.05]]), bus_kv={0: 11.2})
    assert rig.value(moves, 0) <= 16.0
    assert rig.value(moves, 0) + rig.value(moves, 1) == pytest.approx(20.0, abs=0.1)  # the pilot stays where it is
    assert "G0" in moves.commands[0].why


def test_equipment_comes_before_the_pilot_where_both_cannot_be_kept():
    """The pilot is below its limit, the bus at its upper one: the bus wins, and the pilot's miss is said."""
    own = source(0, voltage=(30,), voltage_maximum=11.0)
    rig = Rig([own])
    moves = rig.act([104.0], [[0.1]], buses=np.array([[0.05]]), bus_kv={0: 10.9})
    assert rig.value(moves, 0) == pytest.approx(2.0, abs=1e-9)
    assert "Bus stays 0.80 kV below its limit of 105 kV" in moves.reasons


# ---------------------------------------------------------------- who takes part


def test_unknown_effects_are_not_used():
    rig = Rig([source(0), source(1)], (PILOT, SECOND))
    moves = rig.act([108.0, 108.0], [[0.1, 0.1], [math.nan, 0.1]])
    assert [one.mrid for one in moves.commands] == ["g1"]
    assert Rig([source(0)]).act([108.0], [[math.nan]]).commands == []
    for effect in (0.0, 1e-160):
        assert Rig([source(0)]).act([108.0], [[effect]]).reasons == ["no continuous source can help"]


def test_a_source_whose_own_voltage_answers_the_wrong_way_is_left_alone_and_it_is_said():
    """It would be driven to its limit the wrong way, step by step."""
    rig = Rig([source(0), source(1)])
    moves = rig.act([109.0], [[-0.1, 0.1]], buses=np.array([[-0.05, 0.0], [0.0, 0.05]]))
    assert [one.mrid for one in moves.commands] == ["g1"]
    assert any("lower their own voltage: G0" in reason for reason in moves.reasons)
    assert not rig.act([109.0], [[-0.1, -0.1]], buses=-0.05 * np.eye(2)).commands


def test_a_zone_without_a_known_voltage_moves_nothing_even_for_a_reserve():
    rig = Rig([source(0, kind="svg")])
    moves = rig.act([math.nan], [[0.1]], q={0: 45.0})
    assert (moves.commands, moves.reasons) == ([], ["no continuous source can help"])


def test_one_that_does_not_follow_is_left_out_and_the_rest_is_solved_in_the_same_cycle():
    rig = Rig([source(0), source(1)], response_cycles=2)
    both = rig.act([107.0], [[0.1, 0.1]])
    assert {one.mrid for one in both.commands} == {"g0", "g1"}
    rig.act([107.0], [[0.1, 0.1]], q={1: 5.0})
    moves = rig.act([107.0], [[0.1, 0.1]], q={1: 10.0})
    assert "does not follow" in rig.controls[0].reason
    assert [one.mrid for one in moves.commands] == ["g1"]
    alone = Rig([source(1)])
    assert rig.value(moves, 1) == pytest.approx(alone.value(alone.act([107.0], [[0.1]], q={1: 10.0}), 1), abs=1e-6)


def test_open_loops_and_monitor_only_advise():
    rig = Rig([source(0), source(1)])
    rig.controls[1].set_loop("open", math.nan)
    moves = rig.act([108.0], [[0.1, 0.1]])
    assert [one.mrid for one in moves.commands] == ["g0"]
    assert [one.mrid for one in moves.advice] == ["g1"]
    assert rig.controls[1].decision().advice_mvar == moves.advice[0].value
    assert math.isnan(rig.controls[1].sent)
    monitor = Rig([source(0)])
    moves = monitor.act([108.0], [[0.1]], send=False)
    assert moves.commands == []
    assert moves.advice[0].value > 0
    assert math.isnan(monitor.controls[0].sent)


# ---------------------------------------------------------------- plants and compensators


def test_a_plant_moves_as_one_and_shares_by_its_rule():
    """Equal margin: 40 and 20 Mvar of room share what the zone decides 2 to 1."""
    plant = ReactivePlant("P", "p", "margin")
    rig = Rig([source(0, high=50.0, plant="p"), source(1, high=30.0, plant="p")], plants=(plant,))
    moves = rig.act([109.0], [[0.1, 0.1]], q={0: 10.0, 1: 10.0})
    up = [rig.value(moves, number) - 10.0 for number in (0, 1)]
    assert up[0] > 1.0
    assert up[0] == pytest.approx(2.0 * up[1], rel=1e-9)
    assert rig.zone.accounts["g0"].plant_total == pytest.approx(20.0 + sum(up))


def test_sources_of_a_plant_do_not_work_against_each_other():
    plant = ReactivePlant("P", "p", "capacity")
    rig = Rig([source(0, plant="p", step=40.0), source(1, plant="p", step=40.0)], plants=(plant,))
    moves = rig.act([110.0], [[0.1, 0.1]], q={0: 30.0, 1: -20.0})
    values = [rig.value(moves, number) for number in (0, 1)]
    assert all(value >= 0 for value in values)
    assert sum(values) == pytest.approx(10.0, abs=1.0)
    assert "against each other" in moves.commands[0].why


def test_a_compensator_hands_its_duty_to_the_machine_and_the_voltage_stays():
    rig = Rig([source(0), source(1, kind="svg")])
    q = {0: 0.0, 1: 40.0}
    for _ in range(12):
        for one in rig.act([110.0], [[0.1, 0.1]], q=q).commands:
            q[int(one.mrid[1:])] = one.value
        assert q[0] + q[1] == pytest.approx(40.0, abs=0.5)
    assert q[1] <= 25.0 + rig.controls[1].tolerance
    assert q[0] >= 40.0 - 25.0 - rig.controls[1].tolerance - 0.5


def test_a_compensator_uses_its_reserve_only_for_a_limit():
    """Off target it keeps half its range; outside a limit it gives all."""
    rig = Rig([source(0, kind="svg", step=60.0)])
    assert rig.value(rig.act([107.0], [[0.1]], q={0: 20.0}), 0) == pytest.approx(25.0)
    rig = Rig([source(0, kind="svg", step=60.0)])
    assert rig.value(rig.act([102.0], [[0.1]], q={0: 20.0}), 0) == 50.0


# ---------------------------------------------------------------- why


class Seen:
    """What an explanation sees of the zone."""

    def __init__(self, rig, kv):
        self.zone = VoltageZone("Z", rig.pilots, [one.source for one in rig.controls], ())
        self.voltage, self.target = np.array(kv, float), np.array([pilot.target for pilot in rig.pilots])
        self.secondary = rig.zone


def test_an_explanation_names_the_voltages_that_pulled_the_plant_and_the_limits():
    plant = ReactivePlant("P", "p", "margin")
    rig = Rig([source(0, high=12.0, plant="p"), source(1, plant="p")], (PILOT, SECOND), (plant,))
    kv = [106.0, 110.0]
    moves = rig.act(kv, [[0.1, 0.1], [0.01, 0.01]], q={0: 11.0})
    why = explain_source(rig.controls[0], Seen(rig, kv), moves.commands[0], 7, sent=True)
    assert (why.output, why.unit, why.sent, why.reason) == (12.0, "Mvar", True, moves.commands[0].why)
    assert why.steps[0].note == "Bus raises"
    steps = {one.key: one.value for one in why.steps}
    assert (steps["change"], why.objective) == (pytest.approx(1.0), "voltage_targets")
    assert steps["plant_total"] == pytest.approx(sum(one.value for one in moves.commands))
    assert {(one.key, one.binding) for one in why.limits} == {("limits", True), ("step", False)}
    fresh = Rig([source(0)])
    idle = explain_source(fresh.controls[0], Seen(fresh, [106.0]), None, 0, sent=False)
    assert (idle.steps, idle.reason) == ((), "not read yet")
    assert math.isnan(idle.output)


# ---------------------------------------------------------------- state


def test_a_zone_goes_on_from_its_state_to_the_bit():
    rng = np.random.default_rng(8)
    sources = [source(i, voltage=(30 + i,), voltage_minimum=10.0, voltage_maximum=11.0) for i in range(4)]
    first, second = Rig(sources, (PILOT, SECOND)), Rig(sources, (PILOT, SECOND))
    effect, buses = rng.uniform(0.02, 0.2, (2, 4)), rng.uniform(0.01, 0.05, (4, 4))
    q, seen = np.zeros(4), 0
    for cycle in range(40):
        kv = list(rng.uniform(104, 114, 2))
        arguments = (kv, effect, dict(enumerate(q)), buses, dict(enumerate(rng.uniform(10.2, 11.1, 4))))
        moves = first.act(*arguments)
        if cycle > 20:
            again = second.act(*arguments)
            assert [(one.mrid, one.value, one.why) for one in again.commands] == [
                (one.mrid, one.value, one.why) for one in moves.commands
            ]
            assert again.reasons == moves.reasons
            seen += len(moves.commands)
        for one in moves.commands:
            q[int(one.mrid[1:])] += 0.8 * (one.value - q[int(one.mrid[1:])])
        if cycle == 20:
            second.zone.restore(first.zone.state() | {"start": first.zone.state()["start"] | {"gone": 1.0}})
            for own, other in zip(second.controls, first.controls, strict=True):
                own.restore(other.state())
    assert seen > 10


# ---------------------------------------------------------------- closed on the power flow of the demo grid


@pytest.mark.parametrize("wrong", [0.0, 0.3, -0.3])
@pytest.mark.parametrize("load", [0.85, 1.0, 1.1])
def test_the_demo_grid_comes_to_its_targets_and_rests(load, wrong):
    """Voltages end in their dead bands and stay; sources that lag, sensitivities wrong by up to 30 % each."""
    loop = Loop(demo_zone(), load=load, wrong=wrong, seed=1)
    loop.run(25)
    errors = np.abs(loop.kv[-1] - loop.target) / loop.deadband
    assert (errors <= 1.0).all()
    assert not any(loop.sent[-8:])
    start = np.abs(loop.kv[0] - loop.target)
    overshoot = np.abs(np.array(loop.kv) - loop.target).max(axis=0)
    assert (overshoot <= np.maximum(start, 1.5 * loop.deadband)).all()


def test_a_step_of_load_is_answered_without_leaving_limits():
    loop = Loop(demo_zone(), load=0.9, wrong=0.2, seed=3)
    loop.run(15)
    loop.load = 1.08
    loop.run(25)
    assert (np.abs(loop.kv[-1] - loop.target) <= loop.deadband).all()
    assert not any(loop.sent[-8:])
    low, high = np.array(loop.kv[2:]).min(axis=0), np.array(loop.kv[2:]).max(axis=0)
    limits = np.array([(pilot.minimum, pilot.maximum) for pilot in loop.zone.pilots])
    assert (low >= limits[:, 0]).all()
    assert (high <= limits[:, 1]).all()


def test_limits_of_generator_buses_hold_in_the_closed_loop():
    """The bus of the first source may not rise: the others take its part."""
    zone = demo_zone()
    free = Loop(zone, load=1.0, wrong=0.0, seed=1)
    free.run(20)
    ceiling = float(free.bus_kv[0][0]) + 0.3
    held = Loop(
        replace(zone, sources=[replace(zone.sources[0], voltage_maximum=ceiling), *zone.sources[1:]]), load=1.0, wrong=0.0, seed=1
    )
    held.run(25)
    assert free.bus_kv[-1][0] > ceiling + 0.1
    assert held.bus_kv[-1][0] <= ceiling + 0.01
    assert (np.abs(held.kv[-1] - held.target) <= held.deadband).all()
