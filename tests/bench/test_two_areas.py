"""The plant of the closed-loop figures: published cases of Elgerd, Saadat and Kundur."""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench"))

from agc.plant import TwoAreas, UnitPlant  # noqa: E402 - the folder of benchmarks is no package of ours

GOLDEN = ROOT.parent / "shared" / "data" / "profiles" / "golden_cases.json"


@pytest.fixture
def golden():
    if not GOLDEN.exists():
        pytest.skip("the shared golden cases are not here")
    return json.loads(GOLDEN.read_text())


def run(areas, load, seconds):
    """Constant load of both areas; returns (df1, df2, Ptie) every 0.02 s."""
    track = []
    for _ in range(round(seconds / 0.02)):
        areas.advance(np.tile(np.array([load], float), (round(0.02 / areas.dt), 1)))
        track.append(areas.system.copy())
    return np.array(track)


def elgerd(case, **more):
    base, f0 = case["Pr_MW"], case["f0"]
    unit = UnitPlant(case["R_Hz_per_puMW"] / base, case["Tg"], case["Tt"], **more)
    inertia, damping = 2 * case["H"] * base / f0, case["D_puMW_per_Hz"] * base
    return TwoAreas((inertia,) * 2, (damping,) * 2, case["two_pi_T12"] * base, ((unit,), (unit,)), dt=0.002)


def test_elgerd_two_areas(golden):
    case = golden["elgerd_two_area"]
    areas = elgerd(case)
    track = run(areas, (case["dPL1"] * case["Pr_MW"], 0.0), 60.0)
    assert track[-1, 0] == pytest.approx(case["df_ss_uncontrolled"], abs=1e-6)
    assert track[-1, 1] == pytest.approx(case["df_ss_uncontrolled"], abs=1e-6)
    assert track[-1, 2] / case["Pr_MW"] == pytest.approx(case["dPtie12_ss_uncontrolled"], abs=1e-7)
    assert track[:, 0].min() == pytest.approx(-0.02235, abs=1e-4)
    assert track[:, 0].argmin() * 0.02 == pytest.approx(0.60, abs=0.03)


def test_elgerd_with_integral_control_returns_to_nothing(golden):
    case = golden["elgerd_two_area"]
    areas, base = elgerd(case), case["Pr_MW"]
    for _ in range(600):
        areas.advance(np.tile([[case["dPL1"] * base, 0.0]], (50, 1)))
        df, tie = areas.system[:2], areas.system[2]
        ace = np.array([tie, -tie]) + case["B"] * base * df
        areas.states[0] -= 0.6 * ace * 0.1
    assert np.abs(areas.system[:2]).max() < 1e-5
    assert abs(areas.system[2]) < 1e-3
    assert areas.powers == pytest.approx([case["dPL1"] * base, 0.0], abs=0.01)


def test_saadat_12_5(golden):
    case = golden["saadat_12_5"]
    base, f0 = case["base_MVA"], 60.0
    units = tuple((UnitPlant(r * f0 / base, tg, tt),) for r, tg, tt in zip(case["R_pu"], case["Tg"], case["Tt"], strict=True))
    inertia = tuple(2 * h * base / f0 for h in case["H"])
    damping = tuple(d * base / f0 for d in case["D_pu"])
    # Saadat integrates per-unit speed: Ps dw, not 2 pi f0 Ps dw
    areas = TwoAreas(inertia, damping, case["Ps_pu_per_rad"] * base / f0, units, dt=0.01)
    run(areas, (case["dPL1_MW"], 0.0), 60.0)
    assert f0 + areas.system[0] == pytest.approx(case["f_ss_Hz"], abs=1e-3)
    assert areas.powers == pytest.approx(case["dPm_MW"], abs=0.1)
    assert areas.system[2] == pytest.approx(case["dP12_MW"], abs=0.1)


def test_kundur_11_3(golden):
    """Loss of 1000 MW of load in area 1: only spinning capacity has droop, only the load that is left has damping."""
    case, f0 = golden["kundur_11_3"], 60.0
    units = tuple((UnitPlant(0.05 * f0 / mw, 0.2, 0.3),) for mw in (20_000.0, 42_000.0))
    damping = tuple(1.0 * mw / f0 for mw in (19_000.0, 40_000.0))
    areas = TwoAreas((3000.0, 6000.0), damping, 2000.0, units, dt=0.01)
    run(areas, (-1000.0, 0.0), 120.0)
    assert areas.system[0] == pytest.approx(case["df_Hz"], abs=2e-5)
    betas = [1 / (0.05 * f0 / mw) + d for mw, d in zip((20_000.0, 42_000.0), damping, strict=True)]
    assert betas == pytest.approx(case["beta_MW_per_Hz"], abs=0.05)


def test_reheat_slows_a_unit_but_not_where_it_ends(golden):
    case = golden["elgerd_two_area"]
    plain, reheat = elgerd(case), elgerd(case, reheat_s=10.0, reheat_share=0.5)
    load = (case["dPL1"] * case["Pr_MW"], 0.0)
    deep, deeper = run(plain, load, 120.0)[:, 0].min(), run(reheat, load, 120.0)[:, 0].min()
    assert deeper < deep - 0.003
    assert reheat.system[0] == pytest.approx(plain.system[0], abs=1e-5)


def test_a_dead_band_keeps_governors_still():
    unit = UnitPlant(0.0012, 0.08, 0.3)
    areas = TwoAreas((300.0,) * 2, (17.0,) * 2, 1000.0, ((unit,), (unit,)), dead_band_hz=0.02)
    run(areas, (0.2, 0.0), 60.0)
    assert 0.001 < -areas.system[0] < 0.02
    assert areas.powers.tolist() == [0.0, 0.0]


def test_the_rate_constraint_and_the_ramp_bound_how_fast_power_changes():
    unit = UnitPlant(math.inf, 0.08, 0.3, ramp=60.0, rate=30.0)
    areas = TwoAreas((300.0,) * 2, (17.0,) * 2, 1000.0, ((unit,), (unit,)))
    areas.states[0] = [10.0, 0.0]
    run(areas, (0.0, 0.0), 6.0)
    assert areas.states[1, 0] == pytest.approx(6.0, abs=0.03)
    assert areas.powers[0] == pytest.approx(0.5 * (6.0 - 0.3), abs=0.1)
