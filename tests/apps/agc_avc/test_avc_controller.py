"""AVC: nine zones, locks, prediction, continuous sources, states, closed loop."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.avc.controller import AvcController
from scada.apps.agc_avc.avc.nine_zone import NINE_ZONES, ReactiveBalance, VoltageBand, reactive_balance, voltage_band
from scada.apps.agc_avc.avc.records import AvcSensitivity
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcDiscreteSettings, AvcSettings, AvcSuspendSettings, AvcTuning
from scada.core.clock import NS_PER_S, VirtualClock
from scada.core.quality import Quality
from scada.model_cim.regulation import DiscreteDevice, PilotNode, ReactiveSource, VoltageZone
from scada.rtdb.changes import Snapshot

PILOT = PilotNode("Bus", "bus", [0, 1], 110.0, 1.0, 105.0, 115.0)
CAP = DiscreteDevice("C1", "c1", "capacitor", 10, 100, "bus", mvar=10.0, min_interval_s=300.0, daily_limit=3)
REACTOR = DiscreteDevice("R1", "r1", "reactor", 11, 101, "bus", mvar=-10.0, min_interval_s=300.0, daily_limit=3)
TAP = DiscreteDevice("T1", "t1", "tap", 12, 102, "bus", low_step=-8, high_step=8, min_interval_s=60.0, daily_limit=20)
INVERTED = DiscreteDevice("T2", "t2", "tap", 12, 102, "bus", low_step=-8, high_step=8, raise_increases_voltage=False)
SOURCE = ReactiveSource("G1", "g1", 20, 200, -40.0, 60.0, 5.0, remote=21)
OTHER = ReactiveSource("G2", "g2", 22, 201, -20.0, 30.0, 3.0)
OPEN, CLOSED = 1.0, 2.0
EAGER = AvcSettings(
    discrete=AvcDiscreteSettings(reversal_s=0.0, hold_s=0.0, quota=[]), suspend=AvcSuspendSettings(late_cycles=1e9)
)
"""Nothing but what the model of each device says bars it; time may leap."""


def measured(kv=110.0, cap=OPEN, reactor=OPEN, tap=0.0, q1=0.0, q2=0.0, remote=1.0):
    return {0: kv, 10: cap, 11: reactor, 12: tap, 20: q1, 21: remote, 22: q2}


def inputs(values, quality=None):
    pids = np.array(sorted(values), dtype=np.uint32)
    words = np.array([(quality or {}).get(pid, 0) for pid in pids.tolist()], dtype=np.uint32)
    zero = np.zeros(len(pids), np.int64)
    return Measurements(Snapshot(1, pids, np.array([values[pid] for pid in sorted(values)], float), words, zero, zero))


def controller(devices=(), sources=(), clock=None, start="on", tuning=None, pilots=(PILOT,)):
    zone = VoltageZone("Z", pilots, sources, devices)
    return AvcController([zone], EAGER.model_copy(update={"start": start}), clock or VirtualClock(), tuning)


def effects(devices=(1.2,), sources=()):
    return AvcSensitivity(np.array([list(sources)], float).reshape(1, -1), np.array([list(devices)], float).reshape(1, -1))


# ---------------------------------------------------------------- nine zones


def test_the_table_never_lets_an_action_worsen_the_voltage():
    assert len(NINE_ZONES) == 9
    for (band, balance), actions in NINE_ZONES.items():
        for kind, raising in actions:
            if band is not VoltageBand.OK:
                assert raising == (band is VoltageBand.LOW)
            else:
                assert kind == "bank"
                assert raising == (balance is ReactiveBalance.LACK)


def test_bands_and_balance():
    assert [voltage_band(kv, 110, 1) for kv in (108.9, 109, 110, 111, 111.1)] == [-1, 0, 0, 0, 1]
    assert [reactive_balance(q, -40, 60, 0.6) for q in (-25, -20, 10, 40, 45)] == [-1, 0, 0, 0, 1]
    assert reactive_balance(0, 0, 0, 0.6) is ReactiveBalance.OK


@pytest.mark.parametrize(
    ("device", "values", "command"),
    [
        (CAP, {"kv": 108.0, "cap": OPEN}, (100, CLOSED)),
        (CAP, {"kv": 112.0, "cap": CLOSED}, (100, OPEN)),
        (CAP, {"kv": 108.0, "cap": CLOSED}, None),
        (CAP, {"kv": 112.0, "cap": OPEN}, None),
        (REACTOR, {"kv": 108.0, "reactor": CLOSED}, (101, OPEN)),
        (REACTOR, {"kv": 112.0, "reactor": OPEN}, (101, CLOSED)),
        (TAP, {"kv": 108.0}, (102, 2)),
        (TAP, {"kv": 112.0}, (102, 1)),
        (TAP, {"kv": 108.0, "tap": 8.0}, None),
        (TAP, {"kv": 112.0, "tap": -8.0}, None),
        (INVERTED, {"kv": 108.0}, (102, 1)),
        (INVERTED, {"kv": 108.0, "tap": -8.0}, None),
        (INVERTED, {"kv": 112.0}, (102, 2)),
        (TAP, {"kv": 110.9}, None),
    ],
)
def test_one_device_moves_the_voltage_the_right_way(device, values, command):
    decision = controller([device]).cycle(inputs(measured(**values)), effects())
    assert [(one.cid, one.value) for one in decision.commands] == ([command] if command else [])


def test_taps_first_then_banks_and_one_operation_a_cycle():
    agc = controller([CAP, TAP])
    decision = agc.cycle(inputs(measured(kv=108.0)), effects((1.2, 1.5)))
    assert [one.mrid for one in decision.commands] == ["t1"]
    assert "expected 109.50 kV by computed effect" in decision.commands[0].why
    assert [
        one.mrid for one in controller([CAP, TAP]).cycle(inputs(measured(kv=108.0, tap=8.0)), effects((1.2, 1.5))).commands
    ] == ["c1"]


def test_banks_relieve_loaded_sources_while_the_voltage_is_good():
    avc = controller([CAP, TAP], [SOURCE])
    decision = avc.cycle(inputs(measured(kv=110.0, q1=50.0)), effects((1.2, 1.5), (0.1,)))
    assert decision.commands[0].mrid == "c1"
    assert decision.commands[0].value == CLOSED
    surplus = controller([CAP, TAP], [SOURCE]).cycle(
        inputs(measured(kv=110.0, q1=-35.0, cap=CLOSED)), effects((1.2, 1.5), (0.1,))
    )
    assert (surplus.commands[0].mrid, surplus.commands[0].value) == ("c1", OPEN)


def test_an_action_that_overshoots_or_leaves_a_limit_is_not_done():
    assert controller([CAP]).cycle(inputs(measured(kv=108.5)), effects((4.0,))).commands == ()
    assert controller([CAP]).cycle(inputs(measured(kv=108.5)), effects((0.0,))).commands == ()
    second = PilotNode("Other", "other", [2], 110.0, 1.0, 105.0, 112.0)
    zone = controller([CAP], pilots=(PILOT, second))
    both = AvcSensitivity(np.zeros((2, 0)), np.array([[1.2], [3.0]]))
    assert zone.cycle(inputs(measured(kv=108.0) | {2: 110.5}), both).commands == ()
    assert zone.cycle(inputs(measured(kv=108.0) | {2: 108.5}), both).commands


def test_an_unknown_effect_is_assumed_and_said():
    decision = controller([CAP]).cycle(inputs(measured(kv=108.0)), None)
    assert "assumed effect" in decision.commands[0].why
    tuning = AvcTuning(assumed_effect=0.05)
    assert controller([CAP], tuning=tuning).cycle(inputs(measured(kv=108.0)), None).commands == ()


# ---------------------------------------------------------------- locks


def test_interval_and_daily_count():
    clock = VirtualClock(start_ns=86_400 * NS_PER_S * 20_000)
    avc = controller([CAP], clock=clock)
    assert avc.cycle(inputs(measured(kv=108.0)), effects()).commands
    clock.advance(30)
    decision = avc.cycle(inputs(measured(kv=112.0, cap=CLOSED)), effects())
    assert decision.commands == ()
    device = decision.zones[0].devices[0]
    assert device.operations_today == 1
    assert "must wait 300 s" in device.lock
    for position, kv in ((OPEN, 108.0), (CLOSED, 112.0)):
        clock.advance(301)
        decision = avc.cycle(inputs(measured(kv=kv, cap=position)), effects())
    clock.advance(301)
    decision = avc.cycle(inputs(measured(kv=112.0, cap=CLOSED)), effects())
    assert decision.zones[0].devices[0].lock == "daily limit of 3 operations reached"
    clock.advance(86_400)
    assert avc.cycle(inputs(measured(kv=112.0, cap=CLOSED)), effects()).commands


def test_counts_survive_a_restart():
    clock = VirtualClock()
    avc = controller([CAP], clock=clock)
    avc.restore_operations("c1", 2, clock.now_ns() - 100 * NS_PER_S)
    avc.restore_operations("gone from the model", 2, 0)
    device = avc.cycle(inputs(measured(kv=108.0)), effects()).zones[0].devices[0]
    assert device.operations_today == 2
    assert "100 s ago" in device.lock


@pytest.mark.parametrize("position", [0.0, 3.0, 7.0, math.nan])
def test_a_position_that_is_not_known_locks(position):
    decision = controller([CAP]).cycle(inputs(measured(kv=108.0, cap=position)), effects())
    assert decision.commands == ()
    assert decision.zones[0].devices[0].lock
    lost = controller([CAP]).cycle(inputs(measured(kv=108.0), {10: int(Quality.COMM_LOST)}), effects())
    assert lost.commands == ()


def test_refused_twice_locks_until_an_operator_opens_it():
    clock = VirtualClock()
    avc = controller([TAP], clock=clock)
    for _ in range(2):
        assert avc.cycle(inputs(measured(kv=108.0)), effects()).commands
        avc.refused(102)
        clock.advance(100)
    decision = avc.cycle(inputs(measured(kv=108.0)), effects())
    assert decision.commands == ()
    assert "operator" in decision.zones[0].devices[0].lock
    avc.unlock("t1")
    assert avc.cycle(inputs(measured(kv=108.0)), effects()).commands
    with pytest.raises(RegulationError):
        avc.unlock("nobody")


# ---------------------------------------------------------------- continuous


def test_sources_share_the_correction_within_steps():
    avc = controller((), [SOURCE, OTHER])
    decision = avc.cycle(inputs(measured(kv=108.0)), effects((), (0.2, 0.1)))
    moves = {one.mrid: one.value for one in decision.commands}
    assert 0 < moves["g1"] <= 5.0
    assert 0 < moves["g2"] <= 3.0


def test_inside_the_dead_band_nothing_moves():
    assert controller((), [SOURCE]).cycle(inputs(measured(kv=110.9)), effects((), (0.2,))).commands == ()


@pytest.mark.parametrize("sensitivity", [None, AvcSensitivity(np.zeros((3, 1)), np.zeros((3, 0)))])
def test_without_sensitivities_sources_stay_and_it_is_said(sensitivity):
    decision = controller((), [SOURCE]).cycle(inputs(measured(kv=107.0)), sensitivity)
    assert decision.commands == ()
    assert "no sensitivities" in decision.reason


@pytest.mark.parametrize(
    ("values", "quality"),
    [({"remote": 0.0}, {}), ({}, {20: int(Quality.INVALID)}), ({}, {21: int(Quality.OLD_DATA)}), ({"q1": math.nan}, {})],
)
def test_a_source_off_control_is_not_moved(values, quality):
    decision = controller((), [SOURCE]).cycle(inputs(measured(kv=107.0, **values), quality), effects((), (0.2,)))
    assert decision.commands == ()
    assert decision.zones[0].sources[0].reason
    assert "no continuous source can help" in decision.reason


def test_unknown_or_no_effect_is_not_used():
    for effect in (math.nan, 0.0):
        assert controller((), [SOURCE]).cycle(inputs(measured(kv=107.0)), effects((), (effect,))).commands == ()


def test_discrete_first_continuous_refines():
    """The tap is expected to bring the voltage into its band: the source then has nothing to do."""
    decision = controller([TAP], [SOURCE]).cycle(inputs(measured(kv=108.0)), effects((1.5,), (0.2,)))
    assert [one.mrid for one in decision.commands] == ["t1"]
    decision = controller([TAP], [SOURCE]).cycle(inputs(measured(kv=106.5)), effects((1.5,), (0.2,)))
    assert [one.mrid for one in decision.commands] == ["t1", "g1"]


def test_limits_of_other_pilots_are_soft_but_heavy():
    second = PilotNode("Other", "other", [2], 110.0, 5.0, 105.0, 111.0)
    matrix = AvcSensitivity(np.array([[0.1], [0.2]]), np.zeros((2, 0)))
    values = inputs(measured(kv=108.0) | {2: 110.9})
    limited = controller((), [SOURCE], pilots=(PILOT, second)).cycle(values, matrix).commands
    free = controller((), [SOURCE]).cycle(inputs(measured(kv=108.0)), effects((), (0.1,))).commands
    assert free[0].value > 3.0
    assert sum(one.value for one in limited) < 0.4 * free[0].value


@given(
    st.floats(90, 130),
    st.floats(-80, 90),
    st.floats(-50, 50),
    st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
)
@settings(max_examples=80, deadline=None)
def test_no_setpoint_outside_limits_or_beyond_the_step(kv, q1, q2, columns):
    decision = controller((), [SOURCE, OTHER]).cycle(inputs(measured(kv=kv, q1=q1, q2=q2)), effects((), columns))
    for one in decision.commands:
        source, q = (SOURCE, q1) if one.mrid == "g1" else (OTHER, q2)
        assert source.minimum <= one.value <= source.maximum
        if source.minimum <= q <= source.maximum:
            assert abs(one.value - q) <= source.step + 1e-9


# ---------------------------------------------------------------- states


def test_suspended_without_a_usable_voltage_and_back():
    avc = controller([TAP])
    for kv, quality in ((108.0, {0: int(Quality.INVALID)}), (math.nan, {}), (20.0, {}), (200.0, {})):
        decision = avc.cycle(inputs(measured(kv=kv), quality), effects())
        assert decision.state == "suspended"
        assert decision.commands == ()
        assert not decision.zones[0].pilots[0].valid
    decision = avc.cycle(inputs(measured(kv=108.0)), effects())
    assert decision.state == "on"
    assert decision.commands
    assert "AVC resumed" in decision.notices


def test_the_second_source_of_a_voltage_is_used():
    decision = controller([TAP]).cycle(inputs(measured(kv=math.nan) | {1: 108.0}), effects())
    assert decision.zones[0].pilots[0].voltage_kv == 108.0
    assert decision.commands


def test_off_sends_nothing_and_orders_are_checked():
    avc = controller([TAP], start="off")
    assert avc.cycle(inputs(measured(kv=108.0)), effects()).commands == ()
    avc.set_state("on")
    assert avc.cycle(inputs(measured(kv=108.0)), effects()).commands
    avc.set_state("off")
    assert avc.cycle(inputs(measured(kv=108.0)), effects()).state == "off"
    with pytest.raises(RegulationError):
        avc.set_state("suspended")


def test_pids_and_orders_of_rows_and_columns():
    avc = controller([CAP, TAP], [SOURCE, OTHER])
    assert avc.pids.tolist() == [0, 1, 10, 12, 20, 21, 22]
    assert (avc.pilots, avc.sources, avc.devices) == (["bus"], ["g1", "g2"], ["c1", "t1"])


@pytest.mark.parametrize("start", [104.0, 107.0, 113.0, 116.0])
def test_a_disturbed_voltage_is_brought_back_with_few_operations(start):
    clock = VirtualClock()
    avc = controller([CAP, TAP], [SOURCE, OTHER], clock=clock)
    true_sources, true_devices = np.array([0.16, 0.09]), {"cap": 1.1, "tap": 1.3}
    cap, tap, q = OPEN, 0.0, np.zeros(2)
    operations = 0
    for _ in range(30):
        kv = start + true_devices["cap"] * (cap - 1) + true_devices["tap"] * tap + true_sources @ q
        decision = avc.cycle(inputs(measured(kv, cap, OPEN, tap, *q)), effects((1.3, 1.1), (0.2, 0.08)))
        for one in decision.commands:
            operations += one.discrete
            if one.mrid == "c1":
                cap = one.value
            elif one.mrid == "t1":
                tap += 1 if one.value == 2 else -1
            else:
                q[int(one.mrid == "g2")] = one.value
            avc.confirmed(one.cid)
        clock.advance(30)
    assert abs(kv - 110.0) <= 1.0
    assert operations <= 8
    assert decision.commands == ()


@pytest.mark.parametrize("field", ["minimum", "maximum"])
@pytest.mark.parametrize("value", [-1e300, 1e300, math.nan, math.inf])
def test_a_source_with_absurd_limits_ends_no_cycle(field, value):
    clock = VirtualClock()
    avc = controller(sources=[replace(SOURCE, **{field: value}), OTHER], clock=clock)
    for kv in (110.0, 104.0, 118.0):
        clock.advance(60.0)
        commands = avc.cycle(inputs(measured(kv=kv)), effects((), (0.05, 0.05))).commands
        assert all(abs(command.value) <= 1e3 for command in commands)
