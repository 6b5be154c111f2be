"""Storage under AGC: usable power, headroom, pull, the split by frequency; a day in which its charge stays within its bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.allocation import allocate
from scada.apps.agc_avc.agc.storage import FrequencySplit, StorageLimits
from scada.core.agc_settings import AgcTuning
from tests.apps.agc_avc.plant_rig import plant

LIMITS = StorageLimits(energy_mwh=40.0, minimum=10.0, maximum=90.0, reference=60.0, efficiency=0.9, horizon_h=0.25)


def test_usable_power_by_hand():
    # 5 % of 40 MWh above the minimum for a quarter of an hour, 0.9 on the way out; 75 % below the maximum, 0.9 on the way in
    assert LIMITS.usable(15.0) == pytest.approx((-0.75 * 40 / 0.9 / 0.25, 0.05 * 40 * 0.9 / 0.25))
    assert LIMITS.usable(95.0)[0] == 0
    assert LIMITS.usable(5.0)[1] == 0


def test_headroom():
    assert LIMITS.headroom(70.0, 1.0) == 1.0
    assert LIMITS.headroom(35.0, 1.0) == pytest.approx(0.5)
    assert LIMITS.headroom(10.0, 1.0) == 0.0
    assert LIMITS.headroom(75.0, -1.0) == pytest.approx(0.5)
    assert LIMITS.headroom(20.0, -1.0) == 1.0


def test_pull():
    assert LIMITS.pull(70.0, 0.5, 100.0) == pytest.approx(2.0)  # 4 MWh too much, half of it in an hour
    assert LIMITS.pull(20.0, 0.5, 3.0) == -3.0


def test_figures_of_the_model_and_of_the_settings():
    tuning = AgcTuning()
    unit = plant([], fuel="storage", soc_minimum=20.0, soc_maximum=80.0, efficiency=0.9)
    found = StorageLimits.of(unit, 12.0, tuning)
    assert (found.minimum, found.maximum, found.reference, found.efficiency) == (20.0, 80.0, 50.0, 0.9)
    reversed_ = StorageLimits.of(plant([], fuel="storage", soc_minimum=80.0, soc_maximum=20.0, efficiency=7.0), 12.0, tuning)
    assert (reversed_.minimum, reversed_.maximum, reversed_.efficiency) == (10.0, 90.0, tuning.efficiency)
    assert StorageLimits.of(plant([], soc_reference=150.0), 1.0, tuning).reference == 90.0


def test_a_step_goes_to_the_storage_and_then_over_to_the_units():
    parts = FrequencySplit(60.0)
    assert parts.update(100.0, 4.0) == (100.0, 0.0)  # no past, no bump
    slow, fast = parts.update(110.0, 4.0)
    assert fast == pytest.approx(10 * math.exp(-4 / 60))
    for _ in range(15):
        slow, fast = parts.update(110.0, 4.0)
    assert fast == pytest.approx(10 * math.exp(-64 / 60))
    assert slow + fast == pytest.approx(110.0, abs=1e-12)


def test_who_joins_is_no_error_for_the_storage():
    parts = FrequencySplit(60.0)
    parts.update(100.0, 4.0)
    parts.shift(50.0)
    assert parts.update(150.0, 4.0) == (150.0, 0.0)


def test_without_time_constant_all_is_slow():
    parts = FrequencySplit(0.0)
    parts.update(0.0, 4.0)
    assert parts.update(70.0, 4.0) == (70.0, 0.0)


@given(
    st.lists(st.tuples(st.floats(-1e4, 1e4), st.floats(0, 100)), min_size=1, max_size=50),
    st.floats(0.1, 1000),
    st.integers(0, 49),
)
def test_the_parts_always_sum_to_the_whole(script, time_constant, at):
    parts, other = FrequencySplit(time_constant), FrequencySplit(time_constant)
    for count, (asked, dt) in enumerate(script):
        if count == at:
            other = FrequencySplit(time_constant)
            other.restore(parts.state())
        slow, fast = parts.update(asked, dt)
        assert slow + fast == pytest.approx(asked, rel=1e-12, abs=1e-9)
        assert other.update(asked, dt) == (slow, fast)


def test_a_day_of_regulation_never_drives_the_charge_beyond_its_bounds():
    """Requirement with a bias that would empty the storage: the split, the usable power and the pull keep it in its range."""
    random, dt = np.random.default_rng(6), 4.0
    limits = StorageLimits(energy_mwh=5.0, minimum=10.0, maximum=90.0, reference=50.0, efficiency=0.95, horizon_h=0.25)
    parts, charge, asked, seen, delivered = FrequencySplit(60.0), 50.0, 0.0, [], []
    for count in range(int(24 * 3600 / dt)):
        asked += dt / 300.0 * (20.0 - asked) + random.normal(0, 2.0)
        slow, fast = parts.update(asked, dt)
        quiet = count % 900 < 300  # the dead band holds for a third of the time
        base = limits.pull(charge, 0.5, 4.0) if quiet else fast
        low, high = limits.usable(charge)
        window = (max(-20.0, low), min(20.0, high))
        found = allocate(
            np.array([base, slow if not quiet else asked - base]),
            np.array([1e-6, 1.0]),
            np.array([window[0], -200.0]),
            np.array([window[1], 200.0]),
            asked,
        )
        mw = found.power[0]
        delivered.append(found.power.sum() - asked)
        charge -= (mw / limits.efficiency if mw > 0 else mw * limits.efficiency) * dt / 3600 / limits.energy_mwh * 100
        seen.append(charge)
    assert limits.minimum - 1e-9 <= min(seen)
    assert max(seen) <= limits.maximum + 1e-9
    assert max(seen) - min(seen) > 5  # it did work
    assert np.abs(delivered).max() < 1e-6
