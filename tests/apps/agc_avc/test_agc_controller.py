"""The AGC cycle: invariants of every set-point, suspension, take-over, response, and a closed loop."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.controller import AgcController
from scada.apps.agc_avc.agc.modes import UnitMode
from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.agc.unit_table import allowed_segments
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import AgcUnit, ControlArea, ForbiddenZone, TieLine
from scada.rtdb.changes import Snapshot

FREQUENCY, TIE = 0, 1


def snapshot(values, quality=None):
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in sorted(values)], float), words, zero, zero))


def unit(name, index, low, high, ramp, share=1.0, **more):
    columns = {"fuel": "thermal", "power": [10 + index], "setpoint": index, "remote": None, "minimum": low, "maximum": high}
    columns |= {"ramp_up": ramp, "ramp_down": ramp, "participation": share, "deadband": 0.5}
    return AgcUnit(name=name, mrid=name, **(columns | more))


UNITS = (
    unit("T1", 0, 80.0, 300.0, 9.0),
    unit("T2", 1, 80.0, 300.0, 9.0, remote=31),
    unit("H1", 2, 20.0, 150.0, 60.0, 1.5, forbidden=(ForbiddenZone(60.0, 85.0),)),
    unit("H2", 3, 5.0, 60.0, 30.0, forbidden=(ForbiddenZone(12.0, 20.0), ForbiddenZone(18.0, 30.0))),
    unit("B1", 4, -30.0, 30.0, 600.0, 0.5, fuel="storage", state_of_charge=34, energy_mwh=60.0, deadband=0.2),
    unit("PV", 5, 0.0, 60.0, 30.0, fuel="pv", available=35, reg_mode="E"),
)
POWER = (200.0, 180.0, 100.0, 40.0, 0.0, 30.0)


def area(units=UNITS, **more):
    given = {"name": "A", "mrid": "a", "frequency": [FREQUENCY], "nominal_hz": 50.0, "bias": -80.0, "scheduled_interchange": 0.0,
             "ties": [TieLine("tie", [TIE, 2], 1.0)], "controlled": True, "deadband": 5.0}  # fmt: skip
    return ControlArea(units=units, **(given | more))


def measured(power=POWER, frequency=50.0, tie=0.0, remote=1.0, charge=50.0, available=40.0):
    return {FREQUENCY: frequency, TIE: tie, 31: remote, 34: charge, 35: available} | {10 + i: mw for i, mw in enumerate(power)}


def controller(units=UNITS, start="on", clock=None, **settings_):
    return AgcController(area(units), AgcSettings(start=start, **settings_), clock or VirtualClock())


def run(agc, clock, values, quality=None):
    clock.advance(4.0)
    return agc.cycle(snapshot(values, quality))


# ---------------------------------------------------------------- invariants

steps = st.lists(
    st.tuples(
        st.floats(-400, 400),  # tie flow error
        st.floats(-0.3, 0.3),  # frequency deviation
        st.lists(st.floats(0, 1.2), min_size=6, max_size=6),  # how far each unit follows
        st.sampled_from([1.0, 1.0, 1.0, 0.0]),  # remote
        st.floats(0, 100),  # state of charge
        st.floats(0, 60),  # available power
        st.one_of(st.none(), st.sampled_from([10, 11, 12, 13, 14, 15, 31, 34, 35])),  # a lost measurement
    ),
    min_size=3,
    max_size=25,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_no_setpoint_outside_limits_inside_a_zone_above_the_ramp_or_off_control(script):
    clock = VirtualClock()
    agc = controller(clock=clock)
    power, orders, before = list(POWER), list(POWER), {}
    for tie, deviation, follow, remote, charge, available, lost in script:
        values = measured(power, 50.0 + deviation, tie, remote, charge, available)
        decision = run(agc, clock, values, {lost: int(Quality.NOT_TOPICAL)} if lost else None)
        on_control = {one.mrid for one in decision.units if one.available}
        for point in decision.setpoints:
            one = next(one for one in UNITS if one.mrid == point.mrid)
            i = UNITS.index(one)
            assert point.mrid in on_control
            assert math.isfinite(point.mw)
            assert one.minimum - 1e-9 <= point.mw <= one.maximum + 1e-9
            assert not any(lo + 1e-6 < point.mw < hi - 1e-6 for lo, hi, _ in one.forbidden)
            orders[i] = point.mw
        moving = {one.name: one.target_mw for one in decision.units if one.available and one.reason != "runs free"}
        for name, target in moving.items():
            if name in before:
                ramp = next(one.ramp_up for one in UNITS if one.name == name) * 4 / 60
                assert abs(target - before[name]) <= ramp + 1e-6
        before = moving
        assert not ({11} if remote != 1 else set()) & {10 + UNITS.index(u) for u in UNITS if u.mrid in on_control}
        if lost in (31, 11):
            assert "T2" not in on_control
        if lost in (34, 14):
            assert "B1" not in on_control
        for i in range(6):
            power[i] += follow[i] * max(-4.0, min(4.0, orders[i] - power[i]))


@given(st.floats(-120, 120), st.permutations(range(5)))
@settings(max_examples=40, deadline=None)
def test_the_order_of_units_does_not_matter(tie, order):
    plain, mixed = (controller(units=units) for units in (UNITS[:5], tuple(UNITS[i] for i in order)))
    for agc in (plain, mixed):
        agc.cycle(snapshot(measured()))
        agc.cycle(snapshot(measured(tie=tie)))
    assert mixed._fleet.targets == pytest.approx(plain._fleet.targets, abs=1e-6)


def test_the_targets_sum_to_the_demand():
    clock = VirtualClock()
    agc = controller(units=UNITS[:3], clock=clock, proportional=0.5, integral=0.02, filter_s=8.0)
    run(agc, clock, measured())
    for _ in range(20):
        decision = run(agc, clock, measured(tie=-10.0))
        regulating = [one.target_mw for one in decision.units if one.regulates]
        reach = sum(one.ramp_up for one in decision.units) * 4.0 / 60
        assert len(regulating) == 3
        assert sum(regulating) == pytest.approx(agc._fleet.demand_mw, abs=reach + 30 / 60 * 78)
        assert sum(regulating) <= agc._fleet.demand_mw + 1e-6


def test_a_unit_crosses_its_zone_at_full_ramp_and_is_never_told_to_stay_inside():
    clock = VirtualClock()
    units = (unit("H", 0, 20.0, 150.0, 60.0, forbidden=(ForbiddenZone(60.0, 85.0),)), unit("T", 1, 80.0, 300.0, 9.0))
    agc, power, told = controller(units=units, clock=clock), [58.0, 299.0], []
    for _ in range(40):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: -60.0, 10: power[0], 11: power[1]})
        told += [point.mw for point in decision.setpoints if point.mrid == "H"]
        inside = 60 < decision.units[0].target_mw < 85
        assert not inside or told[-1] == 85.0
        if told:
            power[0] += max(-4.0, min(4.0, told[-1] - power[0]))
    assert 85.0 in told
    assert told == sorted(told)


def test_allowed_segments_of_odd_models():
    base = unit("U", 0, 10.0, 100.0, 10.0)
    assert allowed_segments(base) == ((10.0, 100.0),)
    assert allowed_segments(replace(base, forbidden=(ForbiddenZone(0.0, 20.0), ForbiddenZone(90.0, 200.0)))) == ((20.0, 90.0),)
    assert allowed_segments(replace(base, forbidden=(ForbiddenZone(30.0, 50.0), ForbiddenZone(40.0, 60.0)))) == (
        (10.0, 30.0),
        (60.0, 100.0),
    )
    assert allowed_segments(replace(base, forbidden=(ForbiddenZone(0.0, 200.0),))) == ()
    assert allowed_segments(replace(base, minimum=math.nan)) == ()
    assert allowed_segments(replace(base, ramp_up=0.0)) == ()
    assert allowed_segments(replace(base, minimum=200.0)) == ()


def test_a_unit_without_any_allowed_range_stays_off_control():
    agc = controller(units=(unit("U", 0, 10.0, 100.0, math.nan),))
    decision = agc.cycle(snapshot({FREQUENCY: 49.9, TIE: -50.0, 10: 50.0}))
    assert decision.setpoints == ()
    assert "no range" in decision.units[0].reason


# ---------------------------------------------------------------- suspension


@pytest.mark.parametrize(
    ("change", "quality", "word"),
    [
        ({FREQUENCY: math.nan}, {}, "frequency"),
        ({}, {FREQUENCY: int(Quality.INVALID)}, "frequency"),
        ({}, {FREQUENCY: int(Quality.COMM_LOST)}, "frequency"),
        ({TIE: math.nan}, {}, "tie"),
        ({}, {TIE: int(Quality.NOT_TOPICAL)}, "tie"),
        ({FREQUENCY: 48.5}, {}, "from nominal"),
    ],
)
def test_suspended_within_one_cycle_and_resumed_without_a_bump(change, quality, word):
    clock = VirtualClock()
    agc = controller(clock=clock)
    for _ in range(3):
        run(agc, clock, measured(tie=-50.0))
    decision = run(agc, clock, measured(tie=-50.0) | change, quality)
    assert decision.state == "suspended"
    assert word in decision.reason
    assert decision.setpoints == ()
    assert any("suspended" in notice for notice in decision.notices)
    moved = (210.0, 170.0, 110.0, 45.0, 5.0, 30.0)
    assert run(agc, clock, measured(moved)).state == "suspended"
    decision = run(agc, clock, measured(moved))
    assert decision.state == "on"
    assert decision.setpoints == ()
    assert [one.target_mw for one in decision.units] == pytest.approx(moved)


def test_a_substitute_tie_measurement_keeps_control():
    clock = VirtualClock()
    agc = controller(clock=clock)
    values = measured() | {2: 3.0}
    decision = run(agc, clock, values, {TIE: int(Quality.INVALID)})
    assert decision.state == "on"
    assert decision.interchange_mw == 3.0


def test_while_a_tie_is_held_nothing_is_sent():
    clock = VirtualClock()
    agc = controller(clock=clock, tuning=AgcTuning(hold_cycles=2))
    for _ in range(3):
        run(agc, clock, measured(tie=-80.0))
    for _ in range(2):
        decision = run(agc, clock, measured(tie=-80.0), {TIE: int(Quality.INVALID)})
        assert decision.state == "on"
        assert "last good value of tie" in decision.reason
        assert decision.setpoints == ()
    assert run(agc, clock, measured(tie=-80.0), {TIE: int(Quality.INVALID)}).state == "suspended"


def test_an_implausible_error_suspends_after_some_scans():
    clock = VirtualClock()
    agc = controller(clock=clock)
    states = [run(agc, clock, measured(tie=-5000.0)).state for _ in range(3)]
    assert states == ["on", "on", "suspended"]


def test_off_computes_but_sends_nothing():
    clock = VirtualClock()
    agc = controller(clock=clock, start="off")
    for _ in range(5):
        decision = run(agc, clock, measured(tie=-50.0))
        assert decision.state == "off"
        assert decision.ace_mw == pytest.approx(-50.0)
        assert decision.setpoints == ()
    agc.set_state("on")
    run(agc, clock, measured(tie=-50.0))
    assert run(agc, clock, measured(tie=-50.0)).setpoints
    agc.set_state("off")
    assert run(agc, clock, measured(tie=-50.0)).setpoints == ()
    with pytest.raises(RegulationError):
        agc.set_state("maybe")


# ---------------------------------------------------------------- units


def test_take_over_is_bumpless():
    clock = VirtualClock()
    decision = run(controller(clock=clock), clock, measured())
    assert decision.setpoints == ()
    assert decision.ace_mw == 0


def test_a_unit_that_does_not_follow_is_put_off_and_the_others_take_its_share():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    power, notices = [200.0, 180.0], []
    for _ in range(40):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: -40.0, 31: 1.0, 10: power[0], 11: power[1]})
        notices += decision.notices
        sent = {point.mrid: point.mw for point in decision.setpoints}
        power[1] += max(-0.6, min(0.6, sent.get("T2", power[1]) - power[1]))
    first, second = decision.units
    assert "does not follow" in first.reason
    assert not first.available
    assert second.available
    assert second.setpoint_mw > 190
    assert any("T1 off control: does not follow" in notice for notice in notices)
    agc.set_unit_mode("T1", "AUTO", "R")
    assert run(agc, clock, {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 200.0, 11: power[1]}).units[0].available


def test_primary_response_is_not_disobedience():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    for _ in range(60):
        decision = run(agc, clock, {FREQUENCY: 49.8, TIE: 160.0, 31: 1.0, 10: 225.0, 11: 205.0})
    assert all(one.available for one in decision.units)


def test_modes_and_zones():
    assert UnitMode("AUTO", "R").regulates(Zone.DEAD)
    assert not UnitMode("AUTO", "O").regulates(Zone.EMERGENCY)
    assert [UnitMode("BASE", "A").regulates(zone) for zone in Zone] == [False, False, True, True]
    assert [UnitMode("SCHE", "E").regulates(zone) for zone in Zone] == [False, False, False, True]
    for wrong in (("X", "R"), ("AUTO", "Q")):
        with pytest.raises(RegulationError, match="use one of"):
            UnitMode(*wrong)


def test_orders_that_make_no_sense_are_refused():
    agc = controller()
    for order in (
        lambda: agc.set_unit_mode("nobody", "AUTO", "R"),
        lambda: agc.set_unit_mode("H1", "BASE", "O", 70.0),
        lambda: agc.set_unit_mode("T1", "BASE", "O", 1000.0),
        lambda: agc.set_interchange(math.nan),
        lambda: agc.set_base_point("T1", math.inf),
    ):
        with pytest.raises(RegulationError):
            order()
    assert agc.set_base_point("H1", 70.0) == 60.0
    assert agc.set_base_point("H1", 80.0) == 85.0
    assert agc.set_base_point("T1", 500.0) == 300.0


def test_base_point_is_approached_at_the_ramp():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    agc.set_unit_mode("T1", "BASE", "O", 203.0)
    sent = []
    for _ in range(10):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 200.0, 11: 180.0})
        sent += [point.mw for point in decision.setpoints]
    assert sent[0] == pytest.approx(200.6)
    assert sent == sorted(sent)
    assert sent[-1] >= 202.5
    assert decision.units[1].setpoint_mw != decision.units[1].setpoint_mw  # T2 was never told anything


def test_a_schedule_moves_only_units_in_schedule_mode():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    agc.set_unit_mode("T1", "BASE", "O", 200.0)
    agc.set_unit_mode("T2", "SCHE", "O", 0.0)
    for mrid in ("T1", "T2"):
        agc.set_base_point(mrid, 190.0)
    for _ in range(20):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 200.0, 11: 189.0})
    assert math.isnan(decision.units[0].setpoint_mw)
    assert decision.units[1].setpoint_mw == pytest.approx(190.0, abs=0.5)
    agc.set_unit_mode("T2", "AUTO", "R", 0.0)
    assert run(agc, clock, {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 200.0, 11: 189.0}).units[1].available


def test_available_power_and_state_of_charge_bound():
    clock = VirtualClock()
    agc = controller(clock=clock)
    for _ in range(15):
        decision = run(agc, clock, measured(tie=-300.0, charge=12.0, available=33.0))
    storage, sun = decision.units[4], decision.units[5]
    assert storage.maximum_mw == pytest.approx(2.0 * 60 / 100 / 0.25 * 0.95)
    assert storage.setpoint_mw <= storage.maximum_mw
    assert storage.reason == "state of charge"
    assert sun.maximum_mw == 33.0
    assert sun.reason == "available power"
    assert decision.zone == "emergency"


def test_a_wind_plant_that_does_not_regulate_is_never_held_back():
    """Falling wind must not ratchet its set-point down; after an emergency it is released at the ramp."""
    clock = VirtualClock()
    agc = controller(clock=clock)
    for wind in (40.0, 20.0, 30.0, 50.0):
        decision = run(agc, clock, measured((*POWER[:5], wind), available=wind))
        assert not [point for point in decision.setpoints if point.mrid == "PV"]
        assert decision.units[5].reason == "runs free"
    for _ in range(8):
        decision = run(agc, clock, measured((*POWER[:5], 50.0), tie=300.0, available=50.0))
    assert decision.zone == "emergency"
    told = decision.units[5].setpoint_mw
    assert told < 50.0
    sent = []
    for _ in range(60):
        decision = run(agc, clock, measured((*POWER[:5], min(told, 50.0)), available=50.0))
        sent += [point.mw for point in decision.setpoints if point.mrid == "PV"]
        told = decision.units[5].setpoint_mw
    released = sent[sent.index(min(sent)) :]
    assert released == sorted(released)
    assert released[-1] == pytest.approx(60.0, abs=0.5)
    assert max(b - a for a, b in itertools.pairwise(released)) <= 2.0 + 1e-6


def test_refused_setpoints_are_repeated_and_then_the_unit_is_off():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    values = {FREQUENCY: 50.0, TIE: -40.0, 31: 1.0, 10: 200.0, 11: 180.0}
    refusals = 0
    while refusals < 3:
        for point in run(agc, clock, values).setpoints:
            if point.mrid == "T1":
                agc.refused(point.cid, "interlock")
                refusals += 1
    decision = run(agc, clock, values)
    assert decision.units[0].reason == "set-point refused 3 times: interlock"


def test_a_demand_that_cannot_be_met_is_said_and_does_not_wind_up():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    for _ in range(75):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: -100.0, 31: 1.0, 10: 300.0, 11: 300.0})
    assert decision.unmet_mw > 50
    for _ in range(3):
        decision = run(agc, clock, {FREQUENCY: 50.0, TIE: 50.0, 31: 1.0, 10: 300.0, 11: 300.0})
    assert decision.unmet_mw == 0
    assert all(one.setpoint_mw < 300 for one in decision.units)


def test_a_new_interchange_is_approached_at_a_ramp():
    clock = VirtualClock()
    agc = controller(units=UNITS[:2], clock=clock)
    values = {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 200.0, 11: 180.0}
    run(agc, clock, values)
    agc.set_interchange(100.0)
    decision = run(agc, clock, values)
    assert decision.scheduled_interchange_mw == pytest.approx(9 * 4 / 60)
    assert decision.interchange_target_mw == 100.0


def test_reserve_counts_ramp_and_headroom():
    clock = VirtualClock()
    values = {FREQUENCY: 50.0, TIE: 0.0, 31: 1.0, 10: 290.0, 11: 180.0}
    decision = run(controller(units=UNITS[:2], clock=clock), clock, values)
    assert decision.reserve_up_mw == pytest.approx(10.0 + 90.0)
    assert decision.reserve_down_mw == pytest.approx(90.0 + 90.0)


def test_pids_name_everything_that_is_read():
    assert controller().pids.tolist() == [0, 1, 2, 10, 11, 12, 13, 14, 15, 31, 34, 35]


# ---------------------------------------------------------------- closed loop


def closed_loop(seconds, load_step, dt=0.05):
    """Two areas of 1 GW after the two-area model of the textbooks; area 1 under AGC. Yields (time, decision, powers)."""
    clock = VirtualClock()
    # a plant without noise stands still in its steady state, which would be a frozen frequency
    agc = controller(units=UNITS[:5], clock=clock, tuning=AgcTuning(frozen_s=0))
    units, count = UNITS[:5], round(4 / dt)
    order, reference, power = np.array(POWER[:5]), np.array(POWER[:5]), np.array(POWER[:5])
    low, high = np.array([u.minimum for u in units]), np.array([u.maximum for u in units])
    ramp = np.array([u.ramp_up for u in units]) / 60 * dt
    other, df1, df2, tie, load = 800.0, 0.0, 0.0, 0.0, power.sum()
    for k in range(round(seconds / dt)):
        if k * dt >= 20:
            load = sum(POWER[:5]) + load_step
        reference += np.clip(order - reference, -ramp, ramp)
        power += dt / 0.5 * (np.clip(reference - df1 / 50 / 0.05 * high, low - 5, high) - power)
        other += dt / 0.5 * (800 - df2 / 50 / 0.05 * 1000 - other)
        df1 += dt * 5.0 * (power.sum() - load - tie - df1 / 50 * 1000) / 1000
        df2 += dt * 5.0 * (other - 800 + tie - df2 / 50 * 1000) / 1000
        tie += dt * 2 * math.pi * 100 * (df1 - df2)
        if k % count == 0:
            decision = run(agc, clock, measured((*power, 0.0), 50 + df1, tie))
            for point in decision.setpoints:
                order[point.cid] = point.mw
            yield k * dt, decision, power


@pytest.mark.parametrize("load_step", [120.0, -150.0])
def test_the_error_returns_into_its_dead_band_and_stays(load_step):
    worst_late, seen = 0.0, set()
    for time, decision, generated in closed_loop(900, load_step):
        total = generated.sum()
        seen.add(decision.zone)
        assert decision.state == "on"
        assert all(one.available for one in decision.units[:4])
        if time > 500:
            worst_late = max(worst_late, abs(decision.ace_mw))
    assert "emergency" in seen
    assert decision.zone in ("dead", "normal")
    assert worst_late < 5.0
    assert total == pytest.approx(520 + load_step, abs=8)
    assert decision.frequency_hz == pytest.approx(50.0, abs=0.006)


@pytest.mark.parametrize("state", ["on", "monitor", "off"])
def test_an_area_without_units_reckons_its_ace_and_sends_nothing(state):
    clock = VirtualClock()
    agc = controller(units=(), start=state, clock=clock)
    decisions = [run(agc, clock, measured(tie=30.0)) for _ in range(3)]
    assert decisions[-1].ace_mw == pytest.approx(30.0)
    assert not any(list(one.setpoints) or list(one.units) for one in decisions)
