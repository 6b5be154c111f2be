"""Frequency dynamics against published cases."""

from __future__ import annotations

import numpy as np
import pytest

from scada.sim.dynamics import FrequencyDynamics, UnitTable


def _units(n, **over):
    columns = {
        "rated_mw": 1000.0,
        "p_max": np.inf,
        "p_min": -np.inf,
        "inertia_mws": 5000.0,
        "droop": 0.05,
        "governor_s": 0.2,
        "turbine_s": 0.5,
        "reheat_share": 1.0,
        "reheat_s": 7.0,
        "ramp_mw_s": 10.0,
        "deadband_hz": 0.0,
    } | over
    return UnitTable(**{name: np.broadcast_to(np.asarray(value, float), n).copy() for name, value in columns.items()})


def test_elgerd_two_areas(golden):
    case = golden["elgerd_two_area"]
    base = case["Pr_MW"]
    units = _units(
        2,
        rated_mw=base,
        inertia_mws=case["H"] * base,
        droop=case["R_Hz_per_puMW"] / case["f0"],
        governor_s=case["Tg"],
        turbine_s=case["Tt"],
    )
    plant = FrequencyDynamics(units, np.array([1000.0, 1000.0]), np.array([0, 1]), 2, nominal_hz=case["f0"], step_s=0.01)
    plant.load_mw = np.array([1000.0 + case["dPL1"] * base, 1000.0])
    plant.damping[:] = case["D_puMW_per_Hz"] * base
    plant.stiffness[:] = case["two_pi_T12"] * base
    lowest = np.array([0.0, 0.0])
    lowest_at = 0.0
    for step in range(300):
        plant.advance(0.01)
        if plant.deviation_hz[0] < lowest[0]:
            lowest_at = (step + 1) * 0.01
        lowest = np.minimum(lowest, plant.deviation_hz)
    assert lowest == pytest.approx([-0.02235, -0.01793], abs=5e-5)
    assert lowest_at == pytest.approx(0.60, abs=0.03)
    plant.advance(60.0)
    assert plant.deviation_hz == pytest.approx([case["df_ss_uncontrolled"]] * 2, abs=1e-6)
    assert plant.tie_mw[0, 1] / base == pytest.approx(case["dPtie12_ss_uncontrolled"], abs=1e-6)
    assert plant.tie_mw[0, 1] == -plant.tie_mw[1, 0]


def test_saadat_12_5(golden):
    case = golden["saadat_12_5"]
    base, f0 = case["base_MVA"], 60.0
    units = _units(
        2,
        rated_mw=base,
        inertia_mws=np.array(case["H"]) * base,
        droop=case["R_pu"],
        governor_s=case["Tg"],
        turbine_s=case["Tt"],
    )
    plant = FrequencyDynamics(units, np.array([500.0, 500.0]), np.array([0, 1]), 2, nominal_hz=f0)
    plant.load_mw = np.array([500.0 + case["dPL1_MW"], 500.0])
    plant.damping = np.array(case["D_pu"]) * base / f0
    plant.stiffness[:] = case["Ps_pu_per_rad"] * base / f0  # the book integrates per-unit speed
    plant.advance(120.0)
    assert f0 + plant.deviation_hz == pytest.approx([case["f_ss_Hz"]] * 2, abs=1e-3)
    assert plant.power - 500.0 == pytest.approx(case["dPm_MW"], abs=0.01)
    assert plant.tie_mw[0, 1] == pytest.approx(case["dP12_MW"], abs=0.01)


def test_kundur_11_3(golden):
    case = golden["kundur_11_3"]
    units = _units(2, rated_mw=[20000.0, 42000.0], inertia_mws=[100000.0, 210000.0])
    plant = FrequencyDynamics(units, np.array([20000.0, 40000.0]), np.array([0, 1]), 2, nominal_hz=60.0)
    plant.load_mw = np.array([19000.0, 40000.0])
    plant.damping = np.array([19000.0, 40000.0]) / 60.0
    plant.stiffness[:] = 20000.0
    plant.damper[:] = 20000.0
    plant.advance(200.0)
    # the published case has 20 and 42 GW on line at 5 % droop and load damping of 1 % for 1 %
    assert plant.deviation_hz == pytest.approx([case["df_Hz"]] * 2, abs=1e-4)
    assert case["beta_MW_per_Hz"] == pytest.approx([20000 / 3 + 19000 / 60, 42000 / 3 + 40000 / 60], abs=0.1)


def test_reheat_steps_to_its_share_first():
    plant = FrequencyDynamics(
        _units(1, droop=np.inf, governor_s=0.05, turbine_s=0.05, reheat_share=0.3, reheat_s=10.0, ramp_mw_s=1e6),
        np.array([0.0]),
        np.array([0]),
        1,
    )
    plant.load_mw[:] = 50.0
    plant.target[:] = 100.0
    plant.advance(0.5)
    assert plant.power[0] == pytest.approx(100 * (1 - 0.7 * np.exp(-0.4 / 10)), abs=1.0)
    plant.advance(100.0)
    assert plant.power[0] == pytest.approx(100.0, abs=0.1)


def test_set_points_ramp_and_limits_hold():
    plant = FrequencyDynamics(_units(1, droop=np.inf, ramp_mw_s=0.5, p_max=120.0), np.array([100.0]), np.array([0]), 1)
    plant.load_mw[:] = 100.0
    plant.target[:] = 200.0
    plant.advance(20.0)
    assert plant.setpoint[0] == pytest.approx(110.0)
    plant.advance(400.0)
    assert plant.power[0] == pytest.approx(120.0, abs=1e-3)
    plant.available[:] = 60.0
    plant.advance(20.0)
    assert plant.power[0] == pytest.approx(60.0, abs=1e-3)


def test_dead_band_ignores_small_deviations_and_a_stopped_unit_gives_nothing():
    plant = FrequencyDynamics(_units(2, deadband_hz=0.02), np.array([50.0, 50.0]), np.array([0, 0]), 1)
    plant.load_mw[:] = 100.0
    plant.damping[:] = 20.0
    plant.load_mw += 0.2  # 0.01 Hz by damping alone
    plant.advance(300.0)
    assert plant.power == pytest.approx([50.0, 50.0])
    assert plant.deviation_hz[0] == pytest.approx(-0.01, abs=1e-4)
    plant.stop(1)
    assert plant.power[1] == 0.0
    plant.advance(30.0)
    assert plant.deviation_hz[0] < -0.03
    assert plant.power[0] > 75.0
    plant.start(1)
    plant.advance(60.0)
    assert plant.power[1] > 30.0
