"""Filter, PI, CPS component, permissive and zones: by hand, and what must hold for any series of ACE."""

import math

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.requirement import RegulationRequirement, Zone
from scada.apps.agc_avc.agc.tuning import permissive, plausible
from scada.core.agc_settings import AgcSettings, AgcTuning
from scada.core.clock import NS_PER_S
from scada.model_cim.regulation import ControlArea

AREA = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, (), (), True, deadband=5.0)
BEGIN = 480_000 * 3600 * NS_PER_S


def made(tuning=None, area=AREA, **more):
    return RegulationRequirement(area, AgcSettings(tuning=AgcTuning(**({"permissive_mw": 0.0} | (tuning or {}))), **more))


def test_filter_and_its_bypass_by_hand():
    """T = 8 s, cycle 4 s: a third of the way; an ACE of an emergency (12 dead bands = 60 MW) counts at once."""
    requirement = made(filter_s=8.0)
    seen = []
    for ace in (10.0, 40.0, 40.0, -61.0, 0.0):
        requirement.update(ace, 0.0, 4.0)
        seen.append((requirement.filtered_mw, requirement.bypassed))
    assert [bypassed for _, bypassed in seen] == [False, False, False, True, False]
    assert [value for value, _ in seen] == pytest.approx([10.0, 20.0, 80 / 3, -61.0, -122 / 3])


def test_the_change_of_demand_by_hand():
    """Kp 0.5, Ki 0.02: first only the integral, then Kp times the step of the filtered ACE as well."""
    requirement = made(filter_s=0.0, proportional=0.5, integral=0.02)
    assert requirement.update(-20.0, 0.0, 4.0) == pytest.approx(0.02 * 20 * 4)
    assert requirement.update(-30.0, 0.0, 4.0) == pytest.approx(0.5 * 10 + 0.02 * 30 * 4)
    assert requirement.requirement_mw == pytest.approx(15.0 + 1.6 * math.exp(-4 / 60) + 2.4)


def test_the_cps_component_acts_only_against_what_hurts_the_frequency():
    """Kcps 0.4, eps1 20 mHz: at -10 mHz half of it on ACE < 0, nothing on ACE > 0."""
    tuning = {"cps_gain": 0.4, "eps1_hz": 0.02}
    hurting, helping = (made(tuning, filter_s=0.0, proportional=0.5, integral=0.0) for _ in range(2))
    hurting.update(-20.0, -0.01, 4.0)
    helping.update(20.0, -0.01, 4.0)
    assert hurting.cps_mw == pytest.approx(0.4 * 20 * 0.5)
    assert hurting.requirement_mw == pytest.approx(10.0 + 4.0)
    assert (helping.cps_mw, helping.requirement_mw) == (0.0, pytest.approx(-10.0))
    assert hurting.update(-20.0, -0.02, 4.0) == pytest.approx(4.0), "the component grew by 4 MW"


def test_an_error_that_helps_is_not_chased_while_it_is_small():
    area = ControlArea("A", "a", [0], 50.0, -80.0, 0.0, (), (), True, deadband=2.0, bias_sum=-800.0)
    # L10 = 1.65 * 0.0057 * sqrt(800 * 8000) = 23.79 MW
    assert permissive(AgcTuning(), area) == pytest.approx(23.79, abs=0.01)
    requirement = made({"permissive_mw": None}, area, filter_s=0.0)
    assert requirement.update(20.0, -0.03, 4.0) == 0.0
    assert requirement.quiet == "permissive"
    assert requirement.update(20.0, 0.03, 4.0) < 0.0
    assert requirement.update(30.0, -0.03, 4.0) < 0.0


def test_gains_by_zone():
    plain, eager = made(filter_s=0.0), made({"zone_gains": (1.0, 2.0, 3.0)}, filter_s=0.0)
    for requirement in (plain, eager):
        requirement.update(-21.0, 0.0, 4.0)
    assert plain.zone is eager.zone is Zone.ASSIST
    assert eager.update(-21.0, 0.0, 4.0) == pytest.approx(2 * plain.update(-21.0, 0.0, 4.0))


def test_the_integral_term_is_bled_at_the_full_hour():
    kept, bled = made({"hourly_bleed": 0.0}, filter_s=0.0), made({"hourly_bleed": 1.0}, filter_s=0.0)
    for requirement in (kept, bled):
        for cycle in range(10):
            requirement.update(-20.0, 0.0, 4.0, BEGIN - (10 - cycle) * 4 * NS_PER_S)
        requirement.update(-20.0, 0.0, 4.0, BEGIN)
    assert bled.integral_mw == pytest.approx(0.03 * 20 * 4)
    assert kept.integral_mw > 3 * bled.integral_mw


def test_a_zone_holds_for_its_dwell_and_a_graver_one_comes_at_once():
    requirement = made({"dwell_s": 12.0}, filter_s=0.0, integral=0.0)
    seen = []
    for ace in (10.0, 0.0, 0.0, 0.0, 70.0, 0.0, 0.0, 0.0):
        requirement.update(ace, 0.01, 4.0)
        seen.append(requirement.zone)
    assert seen[:4] == [Zone.NORMAL, Zone.NORMAL, Zone.NORMAL, Zone.DEAD]
    assert seen[4:] == [Zone.EMERGENCY, Zone.EMERGENCY, Zone.EMERGENCY, Zone.DEAD]


series = st.lists(
    st.tuples(
        st.floats(-1e5, 1e5) | st.floats(-100, 100),
        st.floats(-0.5, 0.5),
        st.sampled_from([1.0, 2.0, 4.0, 12.0]),
        st.sampled_from(["update", "update", "update", "watch", "rebase", "reset"]),
    ),
    min_size=1,
    max_size=60,
)
GAINS = st.tuples(st.floats(0, 2), st.floats(0, 0.1), st.floats(0, 30), st.floats(0, 2))


@given(series, GAINS)
@settings(max_examples=150, deadline=None)
def test_the_requirement_is_bounded_and_its_zones_obey_edges_hysteresis_and_dwell(script, gains):
    kp, ki, filter_s, cps = gains
    requirement = made({"cps_gain": cps, "dwell_s": 8.0}, proportional=kp, integral=ki, filter_s=filter_s)
    limit = plausible(AgcTuning(), AREA)
    edges = [(kp or 1.0) * mw for mw in (5.0, 20.0, 60.0)]
    before, in_zone = Zone.DEAD, math.inf
    for ace, deviation, dt, call in script:
        if call in {"rebase", "reset"}:
            getattr(requirement, call)()
            if call == "reset":
                before, in_zone = Zone.DEAD, math.inf
            continue
        change = requirement.update(ace, deviation, dt) if call == "update" else requirement.watch(ace, deviation, dt)
        size = abs(requirement.requirement_mw)
        in_zone += dt
        assert size <= limit
        assert math.isfinite(requirement.requirement_mw)
        assert abs(requirement.integral_mw) <= abs(requirement.proportional_mw) + 1e-9
        if call == "update":
            assert math.isfinite(change)
            assert change == 0.0 or requirement.zone is not Zone.DEAD
        entered = Zone(sum(size > edge for edge in edges))
        if requirement.zone > before:
            assert requirement.zone == entered
        elif requirement.zone < before:
            assert in_zone >= 8.0
            assert size <= 0.6 * edges[requirement.zone]
        else:
            assert entered <= before
            left = before > entered and size <= 0.6 * edges[before - 1]
            assert not left or in_zone < 8.0
        if requirement.zone is not before:
            before, in_zone = requirement.zone, 0.0


@given(series)
@settings(max_examples=60, deadline=None)
def test_watching_never_moves_the_integral_up_and_a_rebase_asks_for_no_step(script):
    requirement = made(filter_s=0.0, integral=0.05)
    for ace, deviation, dt, call in script:
        before = abs(requirement.state()["recent_integral"])
        if call == "watch":
            requirement.watch(ace, deviation, dt)
            assert abs(requirement.state()["recent_integral"]) <= before
        elif call == "rebase":
            requirement.rebase()
            change = requirement.update(ace, deviation, dt)
            assert abs(change) <= 0.05 * abs(ace) * dt + 1e-9
        else:
            requirement.update(ace, deviation, dt)


@given(series, st.integers(0, 59))
@settings(max_examples=60, deadline=None)
def test_restored_in_the_middle_it_goes_on_to_the_bit(script, cut):
    whole = made({"cps_gain": 0.3})
    taken = None
    for index, (ace, deviation, dt, call) in enumerate(script):
        if index == min(cut, len(script) - 1):
            taken = made({"cps_gain": 0.3})
            taken.restore(msgpack.unpackb(msgpack.packb(whole.state())))
        results = []
        for one in (whole, taken) if taken else (whole,):
            arguments = () if call in {"rebase", "reset"} else (ace, deviation, dt)
            results.append(repr(getattr(one, call)(*arguments)))
        assert len(set(results)) == 1
        assert taken is None or repr(taken.state()) == repr(whole.state())
