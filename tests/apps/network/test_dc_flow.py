"""DC power flow: Kirchhoff, phase shifters, dead islands; beside a dense solution."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.network import shadow_flow
from scada.apps.network.busbranch import BusBranch, components
from scada.apps.network.dc_flow import dc_flow
from scada.apps.network.powerflow import solve
from scada.apps.network.shadow import Side, shadow_run
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader


def network(count, one, two, x, shift=None):
    one, two = np.array(one, dtype=np.int64), np.array(two, dtype=np.int64)
    ys = 1 / (1j * np.array(x, dtype=float))
    turn = np.exp(1j * np.zeros(len(one)) if shift is None else 1j * np.array(shift))
    y = np.empty((len(one), 2, 2), dtype=complex)
    y[:, 0, 0], y[:, 1, 1] = ys, ys
    y[:, 0, 1], y[:, 1, 0] = -turn * ys, -np.conj(turn) * ys
    return BusBranch(np.arange(count), np.full(count, 110.0), components(count, one, two), one, two, y, np.zeros(count, complex))


def test_two_ways_share_by_their_reactances():
    found = dc_flow(network(3, [0, 0, 1], [2, 1, 2], [0.1, 0.1, 0.1]), np.array([90.0, 0, -90]), np.array([1.0, 0, 0]))
    assert found.branch_mw == pytest.approx([60, 30, 30], abs=1e-3)


def test_a_phase_shifter_drives_a_flow_round_the_ring():
    ring = network(3, [0, 0, 1], [2, 1, 2], [0.1, 0.1, 0.1], shift=[0.03, 0, 0])
    found = dc_flow(ring, np.zeros(3), np.array([1.0, 0, 0]))
    assert found.branch_mw == pytest.approx([-10, 10, 10], abs=1e-3)


def test_a_dead_island_has_no_flows_and_the_slack_is_told():
    found = dc_flow(network(4, [0, 2], [1, 3], [0.1, 0.1]), np.array([50.0, -70, 5, -5]), np.array([1.0, 0, 0, 0]))
    assert found.slack_mw == pytest.approx((20.0,))
    assert found.branch_mw[0] == pytest.approx(70)
    assert np.isnan(found.branch_mw[1])


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.data())
def test_equal_to_a_dense_solution(count, data):
    chance = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    more = data.draw(st.integers(0, 10))
    one = [*range(count - 1), *chance.integers(0, count, more)]
    two = [*range(1, count), *chance.integers(0, count, more)]
    x = chance.uniform(0.01, 1, len(one))
    p = chance.uniform(-100, 100, count)
    p[0] -= p.sum()
    found = dc_flow(network(count, one, two, x), p, np.ones(count))
    laplace = np.zeros((count, count))
    for a, b, reactance in zip(one, two, x, strict=True):
        laplace[a, a] += 1 / reactance
        laplace[b, b] += 1 / reactance
        laplace[a, b] -= 1 / reactance
        laplace[b, a] -= 1 / reactance
    angle = np.linalg.lstsq(laplace, p, rcond=None)[0]
    expected = np.array([(angle[a] - angle[b]) / reactance for a, b, reactance in zip(one, two, x, strict=True)])
    joins = np.array(one) != np.array(two)
    assert found.branch_mw[joins] == pytest.approx(expected[joins], abs=1e-3)


def test_a_grid_without_an_ac_solution_gets_dc_flows_and_is_told(monkeypatch):
    monkeypatch.setattr(shadow_flow, "solve", partial(solve, max_iterations=0))
    model = ModelReader(Path(__file__).parents[3] / "examples" / "demo-grid").read()
    side = Side(model, build_tables(model)[0])
    report = shadow_run(side, side, None)
    assert "no convergence in 0 steps" in report.running.flows_dc_because
    assert report.running.flows == ""
    assert {one.key for one in report.look} == {"flows_dc"}
    assert any(abs(change.before) > 10 for change in report.flows)
