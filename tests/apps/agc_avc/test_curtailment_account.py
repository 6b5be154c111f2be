"""Curtailed energy against integrals by hand: gaps, causes, ends of periods, time zones, restart."""

import math
from zoneinfo import ZoneInfo

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.agc_avc.agc.curtailment import CurtailmentAccount

NS = 10**9
NOON = 1_749_988_800 * NS
"""2025-06-15 12:00 UTC."""


def fill(account, samples, start=NOON):
    for seconds, available, power, cause in samples:
        account.sample(start + int(seconds * NS), available, power, cause)
    return account


def test_constant_curtailment():
    account = fill(CurtailmentAccount(), [(4 * k, 30.0, 20.0, "agc") for k in range(226)])  # 900 s
    day = account.running["day"]
    assert day.curtailed_mwh == {"agc": pytest.approx(10 * 0.25)}
    assert day.available_mwh == pytest.approx(7.5)
    assert day.produced_mwh == pytest.approx(5.0)
    assert day.validity(NOON + 900 * NS) == pytest.approx(900 / (12 * 3600 + 900))
    quarter = account.finished["quarter"][-1]
    assert (quarter.start_ns, quarter.total_mwh) == (NOON, pytest.approx(2.5))
    assert quarter.validity(NOON + 900 * NS) == pytest.approx(1.0)


def test_a_ramp_is_integrated_by_trapezes():
    # 0 .. 10 MW in 100 s, then back at once: 500 MWs
    account = fill(CurtailmentAccount(), [(10 * k, 20.0, 20.0 - k, "agc") for k in range(11)])
    assert account.running["day"].total_mwh == pytest.approx(500 / 3600)


def test_a_gap_is_not_estimated():
    samples = [(0, 30, 20, "agc"), (10, 30, 20, "agc"), (110, 30, 20, "agc"), (120, 30, 20, "agc")]
    account = fill(CurtailmentAccount(longest_gap_s=30.0), samples)
    assert account.running["quarter"].total_mwh == pytest.approx(10 * 20 / 3600)
    assert account.running["quarter"].validity(NOON + 120 * NS) == pytest.approx(20 / 120)


@pytest.mark.parametrize("unknown", [(math.nan, 20.0), (30.0, math.nan)])
def test_the_unknown_counts_for_nothing(unknown):
    account = fill(CurtailmentAccount(), [(0, 30, 20, "agc"), (10, *unknown, "agc"), (20, 30, 20, "agc"), (30, 30, 20, "agc")])
    assert account.running["quarter"].total_mwh == pytest.approx(10 * 10 / 3600)
    assert account.running["quarter"].valid_s == pytest.approx(10)


def test_causes_stand_apart_and_no_cause_is_no_curtailment():
    samples = [(0, 30, 20, "agc"), (10, 30, 24, "operator"), (20, 30, 24, ""), (30, 30, 24, "agc")]
    account = fill(CurtailmentAccount(), samples)
    found = account.running["quarter"].curtailed_mwh
    assert found == {"agc": pytest.approx((10 + 6) / 2 * 10 / 3600), "operator": pytest.approx(60 / 3600)}


def test_output_above_the_available_earns_nothing_back():
    # from 6 below to 6 above in 20 s: only the first half counts, a triangle
    account = fill(CurtailmentAccount(), [(0, 30, 24, "agc"), (20, 30, 36, "agc"), (30, 30, 36, "agc")])
    assert account.running["quarter"].total_mwh == pytest.approx(6 * 10 / 2 / 3600)


def test_the_end_of_a_quarter_parts_a_sample():
    account = fill(CurtailmentAccount(), [(896, 30, 30, "agc"), (906, 30, 20, "agc")])
    # 0 .. 10 MW in 10 s; after 4 s at the end of the quarter: 4 MW
    assert account.finished["quarter"][-1].total_mwh == pytest.approx(4 * 4 / 2 / 3600)
    assert account.running["quarter"].total_mwh == pytest.approx((4 + 10) / 2 * 6 / 3600)
    assert account.running["hour"].total_mwh == pytest.approx(50 / 3600)


def test_the_day_begins_where_the_site_is():
    account = CurtailmentAccount(ZoneInfo("Asia/Shanghai"))
    fill(account, [(4 * 3600 - 10, 30, 20, "agc"), (4 * 3600, 30, 20, "agc"), (4 * 3600 + 10, 30, 20, "agc")])  # midnight there
    assert account.finished["day"][-1].total_mwh == pytest.approx(100 / 3600)
    assert account.running["day"].total_mwh == pytest.approx(100 / 3600)
    assert account.running["day"].start_ns == NOON + 4 * 3600 * NS


def test_a_clock_set_back_books_nothing_twice():
    account = fill(CurtailmentAccount(), [(100, 30, 20, "agc"), (110, 30, 20, "agc"), (105, 30, 20, "agc"), (110, 30, 20, "agc")])
    assert account.running["quarter"].total_mwh == pytest.approx(10 * 15 / 3600)


script = st.lists(
    st.tuples(
        st.floats(0.5, 50), st.floats(0, 50) | st.just(math.nan), st.floats(0, 50), st.sampled_from(["", "agc", "group", "plant"])
    ),
    min_size=2,
    max_size=60,
)


@settings(max_examples=50, deadline=None)
@given(script, st.integers(0, 60))
def test_energy_is_the_integral_and_a_restart_changes_nothing(script, at):
    account, other = CurtailmentAccount(), CurtailmentAccount()
    now, expected, last = NOON, 0.0, None
    for count, (step, available, power, cause) in enumerate(script):
        now += int(step * NS)
        if count == at:
            other = CurtailmentAccount()
            other.restore(msgpack.unpackb(msgpack.packb(account.state())))
        account.sample(now, available, power, cause)
        other.sample(now, available, power, cause)
        lost = available - power
        if last is not None and last[1] and step <= 30 and not math.isnan(last[0] + lost):
            expected += np.clip(np.linspace(last[0], lost, 20_001), 0, None).mean() * step / 3600
        last = (lost, cause)
    found = sum(period.total_mwh for period in (*account.finished["quarter"], account.running["quarter"]))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert repr(account.state()) == repr(other.state())
