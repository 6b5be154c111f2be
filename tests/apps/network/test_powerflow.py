"""Power flow against pypowsybl's OpenLoadFlow, its bad inputs and its limits."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from scada.apps.network.busbranch import BASE_MVA, components, reduce
from scada.apps.network.powerflow import Injections, solve


def _reduced(grid):
    taps = np.ones(len(grid.tap_ids))
    return reduce(grid, np.zeros(0, bool), taps, np.ones(len(grid.shunt_ids)))


@pytest.mark.interop
@pytest.mark.parametrize("case", ["create_ieee9", "create_ieee14", "create_ieee30", "create_ieee57", "create_ieee118"])
@pytest.mark.parametrize("limits", [False, True])
def test_voltages_and_flows_agree_with_openloadflow(powsybl, to_tables, case, limits):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = getattr(powsybl.network, case)()
        parameters = powsybl.loadflow.Parameters(
            distributed_slack=False, use_reactive_limits=limits, provider_parameters={"newtonRaphsonConvEpsPerEq": "1e-8"}
        )
        result = powsybl.loadflow.run_ac(network, parameters)[0]
        assert result.status == powsybl.loadflow.ComponentStatus.CONVERGED
        grid, spec, index = to_tables(network)
        slack = index[result.slack_bus_results[0].id]
        buses = network.get_buses()
        lines, twos = network.get_lines(), network.get_2_windings_transformers()
    share = np.zeros(len(spec.p))
    share[slack] = 1.0
    far = np.full(len(spec.p), 1e9)
    q_min, q_max = (spec.q_min, spec.q_max) if limits else (-far, far)
    net = _reduced(grid)
    solution = solve(net, Injections(spec.p, spec.q, spec.v_set, q_min, q_max, share), tolerance=1e-9)
    assert solution.converged, solution.islands
    theirs = buses.v_mag.to_numpy() / net.bus_kv * np.exp(1j * np.radians(buses.v_angle.to_numpy()))
    turn = np.exp(1j * (np.angle(theirs[slack]) - np.angle(solution.voltage[slack])))
    assert np.abs(solution.voltage * turn - theirs).max() < 1e-5
    flow_from, flow_to = net.branch_flow(solution.voltage)
    assert np.abs(flow_from.real - np.concatenate([lines.p1, twos.p1])).max() < 1e-2
    assert np.abs(flow_to.imag - np.concatenate([lines.q2, twos.q2])).max() < 1e-2


@pytest.mark.interop
def test_a_distributed_slack_shares_as_asked(powsybl, to_tables):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        grid, spec, _ = to_tables(powsybl.network.create_ieee14())
    share = np.where(np.isfinite(spec.v_set), 1.0, 0.0)
    share[0] = 3.0
    far = np.full(len(spec.p), 1e9)
    net = _reduced(grid)
    solution = solve(net, Injections(spec.p, spec.q, spec.v_set, -far, far, share))
    injected = (solution.voltage * np.conj(net.y_bus @ solution.voltage)).real * BASE_MVA
    extra = injected - spec.p
    assert np.allclose(extra, solution.islands[0].slack_mw * share / share.sum(), atol=1e-3)


def _two_bus(load_mw, *, v_set=1.0):
    """A source, a reactance of 0.1 pu, a load; and a bus apart."""
    from scada.apps.network.busbranch import BusBranch

    y = 1 / 0.1j
    block = np.array([[[y, -y], [-y, y]]])
    net = BusBranch(
        bus_of_node=np.arange(3),
        bus_kv=np.full(3, 110.0),
        island=components(3, np.array([0]), np.array([1])),
        branch_from=np.array([0]),
        branch_to=np.array([1]),
        branch_y=block,
        shunt_y=np.zeros(3, complex),
    )
    v = np.array([v_set, np.nan, np.nan])
    far = np.full(3, 1e9)
    return net, Injections(np.array([0.0, -load_mw, 0.0]), np.zeros(3), v, -far, far, np.array([1.0, 0, 0]))


def test_two_buses_by_hand_and_a_dead_bus_has_no_voltage():
    solution = solve(*_two_bus(100.0))
    # P = V1 V2 sin(d)/X, V2 = V1 cos(d) for a load without reactive power
    d = 0.5 * np.arcsin(2 * 1.0 * 0.1)
    assert np.abs(solution.voltage[1]) == pytest.approx(np.cos(d), abs=1e-9)
    assert solution.voltage[2] == 0
    assert not solution.live[2]


def test_a_load_beyond_the_nose_is_told_and_no_state_is_made_up():
    solution = solve(*_two_bus(600.0))  # the nose is at 500 MW
    assert not solution.converged
    assert solution.islands[0].reason
    assert np.isnan(solution.voltage[:2]).all()
    assert not solution.live[:2].any()


def test_a_failed_warm_start_is_tried_again_from_flat():
    net, spec = _two_bus(100.0)
    start = np.array([1.0, 0.6 * np.exp(2.5j), 0.0])
    solution = solve(net, spec, start=start)
    assert solution.converged
    assert np.abs(solution.voltage[1]) > 0.9


def test_reactive_limits_release_the_voltage_and_hold_the_limit():
    net, spec = _two_bus(100.0, v_set=1.0)
    v_set = np.array([1.0, 1.02, np.nan])
    q_max = np.array([1e9, 5.0, 0.0])
    limited = solve(net, Injections(spec.p, spec.q, v_set, -q_max, q_max, spec.participation))
    assert limited.converged
    assert not limited.holding[1]
    assert limited.q_held[1] == pytest.approx(5.0)
    assert np.abs(limited.voltage[1]) < 1.02


def test_an_island_without_a_source_of_voltage_is_dead():
    net, spec = _two_bus(100.0)
    solution = solve(net, Injections(spec.p, spec.q, np.full(3, np.nan), spec.q_min, spec.q_max, spec.participation))
    assert solution.islands == ()
    assert not solution.live.any()
