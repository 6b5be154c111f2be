"""Priority among curtailed stations, through the allocation of the fleet."""

import math

import numpy as np
import pytest

from scada.apps.agc_avc.agc.allocation import allocate
from scada.apps.agc_avc.agc.station_shares import station_factors

CAPACITY = np.array([100.0, 50.0, 50.0])
AVAILABLE = np.array([80.0, 20.0, 50.0])


def order(rule, power, demand, ramp=math.inf):
    """Share a demand among stations that generate ``power`` and take part by capacity."""
    factor = np.array(station_factors(rule, demand - power.sum(), AVAILABLE / CAPACITY))
    low, high = np.maximum(power - ramp, 0.0), np.minimum(power + ramp, AVAILABLE)
    return allocate(power, CAPACITY * factor, low, high, demand).power


def test_equal_rate():
    found = order("equal", AVAILABLE, 120.0)  # 150 MW are there: all lose a fifth
    assert found == pytest.approx(0.8 * AVAILABLE)


def test_by_participation_the_large_one_loses_most():
    assert order("participation", AVAILABLE, 120.0) == pytest.approx(AVAILABLE - 30 * CAPACITY / 200)


def test_last_connected_first_curtailed_and_last_back():
    assert order("lifo", AVAILABLE, 120.0) == pytest.approx([80, 20, 20], abs=0.1)
    deep = order("lifo", AVAILABLE, 90.0)
    assert deep == pytest.approx([80, 10, 0], abs=0.1)
    assert order("lifo", deep, 105.0) == pytest.approx([80, 20, 5], abs=0.1)


def test_first_connected_first_curtailed():
    assert order("fifo", AVAILABLE, 120.0) == pytest.approx([50, 20, 50], abs=0.1)


def test_the_next_one_helps_while_the_ramp_holds_the_first_back():
    assert order("lifo", AVAILABLE, 120.0, ramp=18.0) == pytest.approx([80, 8, 32], abs=0.1)


def test_unknown_available_power_stays_a_plain_participant():
    assert station_factors("equal", -1.0, [math.nan, 0.5, 0.0]) == [1.0, 0.5, 1e-9]
