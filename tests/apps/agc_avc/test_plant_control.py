"""Plants under AGC: sharing among members, losses at the meter, loss of members, release, what is never done."""

import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.plant_status import plant_status
from scada.apps.agc_avc.agc.plants import PlantControl, is_plant, with_plant_defaults
from scada.apps.agc_avc.errors import RegulationError
from scada.core.plant_settings import PlantSettings
from tests.apps.agc_avc.plant_rig import AVAILABLE, IRRADIANCE, METER, Rig, member, plant, snapshot, tuning


def four(**more):
    """Four inverters of 10 MW that tell their available power together."""
    return plant([member(i) for i in range(4)], available=AVAILABLE, **more)


def rig(unit=None, *, available=32.0, **more):
    found = Rig(unit or four(), **more)
    found.extra[AVAILABLE] = available
    return found


def sent(orders):
    return {order.cid - 100: order.mw for order in orders}


# ---------------------------------------------------------------- sharing


def test_an_order_is_met_at_the_meter_at_the_plants_ramp():
    park = rig()
    park.step(32.0)
    assert park.orders == ()  # nothing to change, nothing is sent
    before = park.meter
    park.run(60, 20.0)
    assert before - park.meter <= 4.0 + 1e-6  # 10 % of 40 MW a minute
    park.run(240, 20.0)
    assert park.meter == pytest.approx(20.0, abs=0.1)
    assert all(0 <= mw <= 10 for mw in park.setpoint)


def test_equal_margin_of_the_first_cycle_by_hand():
    park = rig(lag_s=0.0, tuning=tuning(deadband_percent=0.1))
    park.power = [8.0, 4.0, 6.0, 6.0]  # 24 MW, down to 24 - 4 * 4/60 in this cycle
    orders = sent(park.step(20.0))
    down = 4.0 * 4 / 60
    expected = [8 - down * 8 / 24, 4 - down * 4 / 24, 6 - down * 6 / 24, 6 - down * 6 / 24]
    assert [orders[i] for i in range(4)] == pytest.approx(expected)


def test_a_single_set_point_goes_to_the_plants_own_controller():
    park = rig(four(setpoint=7))
    orders = park.step(20.0)
    assert [(order.cid, order.mrid, order.mw) for order in orders] == [(7, "p", 20.0)]
    assert not park.control.splits


def test_losses_are_made_up_for_slowly_and_without_windup():
    park = rig(available=40.0, losses=0.04)
    park.available = [10.0] * 4
    park.power = [5.0] * 4
    park.run(120, 24.0)
    park.run(600, 24.0)
    assert park.meter == pytest.approx(24.0, abs=0.05)
    assert park.control.order.correction.mw == pytest.approx(1.0, abs=0.1)
    # the sun goes: what is missing cannot be made up for, the correction must not grow on it
    park.available = [4.0] * 4
    park.extra[AVAILABLE] = 40.0  # and the plant does not even notice
    park.run(900, 24.0)
    assert park.control.order.correction.mw < 1.6
    park.available = [10.0] * 4
    peak = 0.0
    for _ in range(100):
        park.step(24.0)
        peak = max(peak, park.meter)
    assert peak < 24.0 + 2.5  # the headroom of a plant that stands at the end of what is there, no more


def test_losses_are_made_up_for_although_benchmarks_and_a_shaded_member_give_less_than_they_are_told():
    park = Rig(with_benchmarks(), losses=0.04)
    park.run(320, 36.0)
    park.available[3] = 3.0
    park.run(900, 26.0)
    assert park.meter == pytest.approx(26.0, abs=0.1)
    assert park.control.order.correction.mw == pytest.approx(26 * 0.04 / 0.96, abs=0.2)


@pytest.mark.parametrize("free", [False, True])
def test_a_plant_of_nothing(free):
    park = Rig(plant([member(0, maximum=0.0), member(1, maximum=0.0)], available=AVAILABLE))
    park.extra[AVAILABLE] = 0.0
    park.run(40, 5.0, free=free)
    assert all(not order.mw for order in park.orders)


def test_uncontrolled_members_are_predicted_and_subtracted():
    park = rig(available=40.0)
    park.available = [10.0] * 4
    park.power = [5.0] * 4
    park.remote[3], park.setpoint[3] = 0.0, 5.0
    park.run(120, 20.0)
    # number 3 is not ours: its output climbs by 0.05 MW each cycle, and the others give way
    for _ in range(60):
        park.setpoint[3] = park.power[3] = park.power[3] + 0.05
        park.step(20.0)
    assert park.power[3] == pytest.approx(8.0, abs=0.1)
    assert park.meter == pytest.approx(20.0, abs=0.3)
    assert 3 not in sent(park.orders)


def test_a_lost_members_share_is_taken_over_in_the_same_cycle():
    park = rig(available=40.0, lag_s=0.0)
    park.available = [10.0] * 4
    park.power, park.setpoint = [5.0] * 4, [5.0] * 4
    park.run(40, 20.0)
    park.running[1] = 0.0
    park.power[1] = 0.0
    orders = sent(park.step(20.0))
    assert 1 not in orders
    told = [orders.get(i, park.setpoint[i]) for i in (0, 2, 3)]
    assert sum(told) == pytest.approx(20.0, abs=0.2)
    assert any("M1 no longer takes set-points: not running" in notice for notice in park.control.notices)


def test_a_member_without_measurement_gets_nothing_and_the_meter_tells_what_it_gives():
    park = rig(available=40.0, lag_s=0.0)
    park.available = [10.0] * 4
    park.power = [5.0] * 4
    park.run(40, 20.0)
    park.bad = {12}
    for _ in range(10):
        orders = park.step(16.0)
        assert all(order.mrid != "m2" for order in orders)
    park.run(120, 16.0)
    assert park.meter == pytest.approx(16.0, abs=0.2)


def test_without_meter_the_members_stand_for_it_and_without_both_nothing_is_done():
    park = rig()
    park.step(20.0)
    park.bad = {METER}
    assert park.read().power == pytest.approx(sum(park.power))
    park.bad = {METER, 10}
    reading = park.read()
    assert reading.reason == "no good measurement of its power"
    assert park.control.split(10.0, 4.0) == ()


def test_all_members_bad():
    park = rig()
    park.remote = [0.0, 0.0, 0.0, 1.0]
    park.running[3] = 0.0
    assert park.read().reason == "no member takes set-points: 3 not in remote control, 1 not running"
    assert park.control.split(10.0, 4.0) == ()


def test_a_tagged_member_is_left_alone():
    park = rig()
    values = snapshot(park.values())
    values._forbidden = {101: "work in progress"}
    park.control.read(values, park.now_ns, 4.0)
    orders = park.control.split(10.0, 4.0)
    assert {order.mrid for order in orders} == {"m0", "m2", "m3"}


def test_refused_and_disobedient_members_are_put_aside_until_unlocked():
    park = rig(available=40.0)
    park.step(20.0)
    for _ in range(3):
        park.control.refused(100, "no answer")
    park.step(20.0)
    assert park.control.members[0].reason == "set-point refused 3 times: no answer"
    park.control.unlock()
    park.step(20.0)
    assert park.control.members[0].reason == ""
    # one that stays where it is although it is told to go down
    for _ in range(60):
        park.step(4.0)
        park.power[0] = 8.0
    assert park.control.members[0].reason.startswith("does not follow: 8.00 MW")
    park.control.confirmed(100)


# ---------------------------------------------------------------- weather


def test_more_than_available_is_not_promised():
    park = rig(available=24.0)
    reading = park.read()
    assert (reading.high, reading.limited_by) == (pytest.approx(32.0), "available power")  # it generates 32, so they are there
    park.power = [6.0] * 4
    assert park.read().high == pytest.approx(24.0)


def test_a_member_in_the_shade_gives_up_its_share():
    park = rig(available=32.0)
    park.run(200, 24.0)
    park.available[0] = 1.0
    park.run(200, 24.0)
    assert park.meter == pytest.approx(24.0, abs=0.3)
    assert park.power[0] == pytest.approx(1.0, abs=0.1)


def test_released_members_are_told_their_maximum_and_can_be_curtailed_at_once():
    park = rig(available=32.0)
    park.run(400, 20.0)
    park.run(800, 32.0)
    assert park.setpoint == pytest.approx([9.0] * 4)  # a tenth more than is known to be there, in case there is
    park.run(800, 32.0, free=True)
    assert park.setpoint == pytest.approx([10.0] * 4)
    assert park.meter == pytest.approx(32.0, abs=0.1)
    # the order that went up to the rating is no place to ramp down from
    before = park.meter
    park.run(60, 20.0)
    assert before - park.meter == pytest.approx(4.0, abs=0.9)


def test_unknown_available_power_is_no_licence_to_raise():
    park = Rig(four())
    park.bad = {AVAILABLE}
    park.run(400, 20.0)
    reading = park.read()
    assert math.isnan(reading.available.mw)
    assert reading.high <= 20.3
    park.run(400, 30.0)
    assert park.meter <= 20.5
    park.run(800, 30.0, free=True)  # but nobody may keep holding it
    assert park.meter == pytest.approx(32.0, abs=0.1)


def test_night():
    park = rig(available=0.0)
    park.available = [0.0] * 4
    park.power = [-0.02] * 4
    for target in (0.0, 5.0, -3.0):
        park.run(40, target)
        assert all(0 <= mw <= 10 for mw in park.setpoint if math.isfinite(mw))
    assert park.control.reading.available.mw == 0
    assert park.control.reading.reason == ""


def test_turbines_with_minimum_stop_only_when_needed_and_start_again_late():
    unit = plant([member(i, kind="wind", minimum=2.0, maximum=10.0) for i in range(4)], fuel="wind", available=AVAILABLE)
    park = Rig(unit)
    park.extra[AVAILABLE] = 32.0
    park.run(600, 9.0)
    assert park.setpoint.count(0.0) == 0
    park.run(600, 5.0)
    assert park.setpoint.count(0.0) == 2  # two at 2..10 give 5
    assert park.meter == pytest.approx(5.0, abs=0.2)
    stopped = {i for i, mw in enumerate(park.setpoint) if mw == 0}
    park.run(120, 9.0)
    assert {i for i, mw in enumerate(park.setpoint) if mw == 0} == stopped  # those that run can do it
    park.run(900, 30.0)
    assert park.setpoint.count(0.0) == 0
    assert park.meter == pytest.approx(30.0, abs=0.3)


def test_turbines_are_not_stopped_where_the_site_forbids_it():
    unit = plant([member(i, kind="wind", minimum=2.0) for i in range(4)], fuel="wind", available=AVAILABLE)
    park = Rig(unit, tuning(stops=False))
    park.extra[AVAILABLE] = 32.0
    park.run(900, 1.0)
    assert park.setpoint == pytest.approx([2.0] * 4)
    assert park.control.reading.low == pytest.approx(8.0, abs=0.3)


# ---------------------------------------------------------------- benchmarks


def with_benchmarks(**more):
    return plant([member(0, benchmark=True), member(1, benchmark=True), *(member(i) for i in range(2, 5))], **more)


def test_benchmarks_show_what_the_others_could_give():
    park = Rig(with_benchmarks())
    park.run(320, 30.0)
    park.run(320, 30.0)
    assert park.setpoint[:2] == [10.0, 10.0]
    assert park.power[:2] == pytest.approx([8.0, 8.0], abs=0.01)
    found = park.control.reading.available
    assert (found.source, found.mw) == ("benchmark", pytest.approx(40.0, abs=0.1))
    park.available = [5.0] * 5
    park.run(120, 30.0)
    assert park.control.reading.available.mw == pytest.approx(25.0, abs=0.2)
    assert not any("curtailed" in notice for notice in park.control.notices)


def test_benchmarks_give_way_only_when_nothing_else_can():
    park = Rig(with_benchmarks())
    park.run(600, 18.0)
    assert park.setpoint[:2] == [10.0, 10.0]
    assert not park.control.notices
    park.run(600, 10.0)
    assert park.meter == pytest.approx(10.0, abs=0.2)
    assert park.control.notices == ["P: benchmark members are curtailed, the order cannot be met otherwise"]
    assert park.control.reading.available.source != "benchmark"  # they no longer show anything


def test_an_operator_moves_the_benchmarks_and_the_old_ones_stay_until_the_new_ones_count():
    park = Rig(with_benchmarks())
    park.run(600, 36.0)
    park.control.choose_benchmarks(["m2", "m3"])
    sources = set()
    for _ in range(150):
        park.step(36.0)
        sources.add(park.control.reading.available.source)
    assert sources == {"benchmark"}
    assert park.setpoint[2:4] == [10.0, 10.0]
    assert park.setpoint[:2] == pytest.approx([8.0, 8.0], abs=0.1)  # held again, at what they gave
    with pytest.raises(RegulationError, match="no PV or wind member 'x'"):
        park.control.choose_benchmarks(["x"])
    with pytest.raises(RegulationError, match="twice"):
        park.control.choose_benchmarks(["m2", "m2"])


def test_benchmarks_rotate_by_the_clock():
    park = Rig(with_benchmarks(), tuning(rotation_hours=0.5))
    park.run(3600 * 0.5 + 320, 36.0)
    assert park.control._benchmarks["pv"].roles == {2, 3}
    park.run(3600 * 0.5, 36.0)
    assert park.control._benchmarks["pv"].roles == {0, 4}


# ---------------------------------------------------------------- mixed, defaults, state


def test_storage_in_a_plant_is_bounded_by_its_charge_and_stays_when_the_sun_is_let_go():
    battery = member(2, maximum=5.0, kind="storage", minimum=-5.0, state_of_charge=90, energy_mwh=10.0)
    unit = plant([member(0), member(1), battery], available=AVAILABLE, minimum=-5.0, maximum=25.0)
    park = Rig(unit)
    park.available, park.power = [8.0, 8.0, 5.0], [8.0, 8.0, 0.0]
    park.extra |= {AVAILABLE: 16.0, 90: 12.0}  # 2 % of 10 MWh above its minimum: 0.76 MW for a quarter of an hour
    park.run(600, 25.0)
    assert 0 <= park.power[2] <= 0.76 + 1e-6
    for nonsense in (math.nan, -5.0, 400.0):
        park.extra[90] = nonsense
        assert all(one.mrid != "m2" for one in park.step(25.0))
        assert park.control.members[2].reason == "no good measurement of its state of charge"
    park.extra[90] = 80.0
    before = park.power[2]
    park.run(600, 25.0, free=True)
    assert park.power[2] == pytest.approx(before, abs=0.1)


def test_defaults_for_what_the_model_leaves_out():
    unit = four(minimum=math.nan, maximum=math.nan)
    found = with_plant_defaults(unit, PlantSettings())
    assert (found.minimum, found.maximum, found.ramp_up, found.ramp_down) == (0.0, 40.0, 4.0, 4.0)
    thermal = plant([], fuel="thermal")
    assert not is_plant(thermal)
    assert with_plant_defaults(thermal, PlantSettings()) is thermal


def test_a_plant_without_members_goes_down_the_ladder():
    unit = plant([], setpoint=3, available=AVAILABLE, irradiance=IRRADIANCE, maximum=50.0)
    control = PlantControl(unit, tuning())

    def read(bad=(), **more):
        return control.read(snapshot({METER: 20.0, AVAILABLE: 30.0, IRRADIANCE: 800.0} | more, bad), 0, 4.0)

    assert (read().available.source, read().high) == ("telemetered", 30.0)
    assert read({AVAILABLE}).available.mw == pytest.approx(50 * 0.85 * 0.8)
    assert read({AVAILABLE}).available.source == "irradiance"
    assert (read({AVAILABLE, IRRADIANCE}).available.source, control.reading.high) == ("output", 20.0)
    control.split(15.0, 4.0)  # an order in force: the output proves no longer what there is
    assert (read({AVAILABLE, IRRADIANCE}).available.source, control.reading.limited_by) == ("", "available power unknown")


steps = st.lists(
    st.tuples(
        st.floats(-5, 60),  # target
        st.lists(st.floats(0, 10), min_size=5, max_size=5),  # what sun or wind give
        st.integers(0, 4),  # a member ...
        st.sampled_from(["", "", "remote", "running", "power", "meter"]),  # ... and what fails
        st.booleans(),  # free
    ),
    min_size=12,
    max_size=40,
)


def disturbed(park, step):
    target, available, index, fault, free = step
    park.available = list(available)
    park.remote = [0.0 if fault == "remote" and i == index else 1.0 for i in range(5)]
    park.running = [0.0 if fault == "running" and i == index else 1.0 for i in range(5)]
    park.bad = {10 + index} if fault == "power" else {METER} if fault == "meter" else set()
    return park.step(target, free=free)


def turbines():
    members = [member(i, kind="wind", minimum=(0.0, 2.0)[i % 2], ramp=(math.nan, 20.0)[i % 2], benchmark=i < 2) for i in range(5)]
    return plant(members, fuel="wind")


@settings(max_examples=40, deadline=None)
@given(steps, st.sampled_from(["margin", "average", "capacity"]))
def test_nobody_is_told_what_it_must_not_be_told(script, share):
    park = Rig(turbines(), tuning(share=share, benchmark_settle_s=8.0, restart_s=20.0))
    for step in script:
        for order in disturbed(park, step):
            index = order.cid - 100
            m = park.unit.members[index]
            assert order.mw == 0 or m.minimum <= order.mw <= m.maximum
            assert park.remote[index] == park.running[index] == 1
            assert 10 + index not in park.bad
        reading = park.control.reading
        assert reading.low <= reading.high
        assert math.isnan(reading.available.mw) or 0 <= reading.available.mw <= 50


@settings(max_examples=25, deadline=None)
@given(steps, st.integers(0, 39))
def test_a_successor_goes_on_to_the_bit(script, at):
    unit, tuned = turbines(), tuning(benchmark_settle_s=8.0, restart_s=20.0, rotation_hours=0.01)
    park, other = Rig(unit, tuned), Rig(unit, tuned)
    for count, step in enumerate(script):
        if count == min(at, len(script) - 1):
            other.control = PlantControl(unit, tuned)
            other.control.restore(msgpack.unpackb(msgpack.packb(park.control.state()), strict_map_key=False))
        assert disturbed(park, step) == disturbed(other, step)
        if count >= at:
            assert repr(park.control.reading) == repr(other.control.reading)
            assert repr(park.control.state()) == repr(other.control.state())


def test_what_is_shown():
    park = Rig(with_benchmarks())
    park.remote[4] = 0.0
    park.run(400, 30.0)
    status = plant_status(park.control, park.now_ns)
    assert (status.available_source, status.curtailed_by) == ("benchmark", "agc")
    assert status.curtailed_mw == pytest.approx(10.0, abs=0.3)
    assert status.uncontrolled_mw == pytest.approx(8.0, abs=0.1)
    # the benchmarks count after 300 s; till then the output was all that was known, and nothing was known once curtailed
    assert status.curtailed_mwh_today == pytest.approx(status.curtailed_mw * 92 / 3600, rel=0.1)
    assert 0.2 < status.curtailment_validity < 0.4
    assert [one.benchmark for one in status.members] == [True, True, False, False, False]
    assert status.members[4].reason == "not in remote control"
    assert math.isnan(status.state_of_charge)
