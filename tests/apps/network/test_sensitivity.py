"""Sensitivities against finite differences of the power flow and against OpenLoadFlow's sensitivity analysis."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest

from scada.apps.network.busbranch import reduce
from scada.apps.network.powerflow import solve
from scada.apps.network.sensitivity import Sensitivity


@pytest.fixture(scope="module")
def ieee14(powsybl, to_tables):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid, spec, index = to_tables(powsybl.network.create_ieee14())
    far = np.full(len(spec.p), 1e9)
    share = np.zeros(len(spec.p))
    share[0] = 1.0
    return grid, dataclasses.replace(spec, q_min=-far, q_max=far, participation=share), index


def _solve(grid, spec, step, start=None):
    net = reduce(grid, np.zeros(0, bool), step, np.ones(len(grid.shunt_ids)))
    return net, solve(net, spec, tolerance=1e-11, start=start)


def _kv(net, solution):
    return np.abs(solution.voltage) * net.bus_kv


def test_dv_dq_dvset_dtap_against_differences(ieee14):
    grid, spec, _ = ieee14
    step = np.ones(len(grid.tap_ids))
    net, base = _solve(grid, spec, step)
    sensitivity = Sensitivity(net, spec, base)
    for bus in (4, 8, 13):
        moved = [_kv(*_solve(grid, dataclasses.replace(spec, q=spec.q + d * np.eye(14)[bus]), step)) for d in (0.2, -0.2)]
        assert np.allclose(sensitivity.dv_dq(np.array([bus]))[:, 0], (moved[0] - moved[1]) / 0.4, atol=1e-6)
    bus = 1
    moved = [_kv(*_solve(grid, dataclasses.replace(spec, v_set=spec.v_set + d * np.eye(14)[bus]), step)) for d in (1e-3, -1e-3)]
    difference = (moved[0] - moved[1]) / (2e-3 * net.bus_kv[bus])
    assert np.allclose(sensitivity.dv_dvset(np.array([bus]))[:, 0], difference, atol=1e-5)
    for tap in range(len(grid.tap_ids)):
        small = dataclasses.replace(
            grid, tap_increment=np.full(len(grid.tap_ids), 1e-4), tap_neutral=1 - grid.tap_increment / 1e-4
        )
        up, down = step.copy(), step.copy()
        up[tap] += 1
        down[tap] -= 1
        change = (small.admittance(up) - small.admittance(step))[[grid.tap_branch[tap]]]
        moved = [_kv(*_solve(small, spec, s)) for s in (up, down)]
        small_net, small_base = _solve(small, spec, step)
        found = Sensitivity(small_net, spec, small_base)
        got = found.dv_dadmittance(grid.tap_branch[[tap]], change)[:, 0]
        assert np.allclose(got, (moved[0] - moved[1]) / 2, atol=2e-5)
        assert np.abs(got).max() > 1e-4


@pytest.mark.interop
def test_dv_dvset_agrees_with_openloadflow(powsybl, ieee14):
    grid, spec, index = ieee14
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = powsybl.network.create_ieee14()
        analysis = powsybl.sensitivity.create_ac_analysis()
        analysis.set_bus_voltage_factor_matrix([*network.get_buses().index], ["B2-G", "B6-G"])
        parameters = powsybl.loadflow.Parameters(distributed_slack=False, use_reactive_limits=False)
        table = analysis.run(network, powsybl.sensitivity.Parameters(parameters)).get_bus_voltages_sensitivity_matrix()
    net, base = _solve(grid, spec, np.ones(len(grid.tap_ids)))
    ours = Sensitivity(net, spec, base).dv_dvset(grid.machine_node[[grid.machine_ids.index(u) for u in ("B2-G", "B6-G")]])
    for bus, row in index.items():
        assert np.allclose(ours[row], table[bus].to_numpy(), atol=1e-3), bus
