"""The power flow on random networks: what may not matter does not, what is kept is right, what is wrong is told."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.apps.network.busbranch import BASE_MVA, BusBranch, Grid, components, reduce
from scada.apps.network.powerflow import Injections, PowerFlow, solve
from scada.apps.network.sensitivity import Sensitivity

MANY = settings(max_examples=30, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def network(seed, *, islands=1):
    """Random meshed islands of a few buses, phase shifters and parallel branches among them, with a moderate load."""
    chance = np.random.default_rng(seed)
    one, two, p, q, v_set, share = [], [], [], [], [], []
    for _ in range(islands):
        n, first = int(chance.integers(2, 15)), len(p)
        tree = [(first + int(chance.integers(0, k)), first + k) for k in range(1, n)]
        more = [tuple(first + chance.integers(0, n, 2)) for _ in range(int(chance.integers(0, n)))]
        for a, b in tree + more:
            one.append(a)
            two.append(b)
        p += chance.uniform(-20, 10, n).tolist()
        q += chance.uniform(-8, 4, n).tolist()
        held = chance.random(n) < 0.3
        held[0] = True
        v_set += np.where(held, chance.uniform(0.98, 1.05, n), np.nan).tolist()
        share += np.where(held, chance.uniform(0, 2, n), 0.0).tolist()
    count, n = len(one), len(p)
    z = chance.uniform(0.005, 0.02, count) + 1j * chance.uniform(0.02, 0.1, count)
    turn = np.where(
        chance.random(count) < 0.2, chance.uniform(0.95, 1.05, count) * np.exp(1j * chance.uniform(-0.1, 0.1, count)), 1.0
    )
    y = np.empty((count, 2, 2), complex)
    y[:, 0, 0], y[:, 1, 1] = (1 / z + 0.01j) / np.abs(turn) ** 2, 1 / z + 0.01j
    y[:, 0, 1], y[:, 1, 0] = -1 / z / np.conj(turn), -1 / z / turn
    one, two = np.array(one, np.int64), np.array(two, np.int64)
    shunt = 1j * chance.uniform(-0.05, 0.05, n)
    net = BusBranch(np.arange(n), chance.choice([110.0, 220.0], n), components(n, one, two), one, two, y, shunt)
    far = np.full(n, 1e9)
    return net, Injections(np.array(p), np.array(q), np.array(v_set), -far, far, np.array(share))


def balance(net, injections, solution):
    """Greatest mismatch of the specified powers by the solution, MVA, the slack accounted for, by the branches."""
    drawn = np.abs(solution.voltage) ** 2 * np.conj(net.shunt_y) * BASE_MVA
    ends = net.branch_flow(solution.voltage)
    np.add.at(drawn, net.branch_from, ends[0])
    np.add.at(drawn, net.branch_to, ends[1])
    given = injections.p + 1j * (injections.q + solution.q_held)
    for island in solution.islands:
        inside = net.island == island.island
        share = np.where(inside, injections.participation, 0.0)
        share = share if share.any() else (inside & np.isfinite(injections.v_set)).astype(float)
        given = given + share / share.sum() * island.slack_mw
    return np.abs(given - drawn)[solution.live].max()


@MANY
@given(SEEDS, st.integers(1, 4))
def test_power_balances_at_every_bus_and_held_voltages_are_held(seed, islands):
    net, spec = network(seed, islands=islands)
    solution = solve(net, spec, tolerance=1e-10)
    assert solution.converged
    assert len(solution.islands) == islands
    assert balance(net, spec, solution) < 1e-6
    held = np.isfinite(spec.v_set)
    assert np.allclose(np.abs(solution.voltage[held]), spec.v_set[held], atol=1e-12)
    assert (solution.q_held[~held] == 0).all()


@MANY
@given(SEEDS)
def test_the_numbering_of_the_buses_does_not_matter(seed):
    net, spec = network(seed, islands=2)
    turn = np.random.default_rng(seed + 1).permutation(net.bus_count)
    place = np.argsort(turn)
    one, two = place[net.branch_from], place[net.branch_to]
    other = BusBranch(
        np.arange(net.bus_count), net.bus_kv[turn], components(net.bus_count, one, two), one, two, net.branch_y, net.shunt_y[turn]
    )
    moved = Injections(*(getattr(spec, field.name)[turn] for field in dataclasses.fields(spec)))
    ours, theirs = solve(net, spec, tolerance=1e-11), solve(other, moved, tolerance=1e-11)
    assert ours.converged
    assert np.allclose(np.abs(ours.voltage[turn]), np.abs(theirs.voltage), atol=1e-9)


@MANY
@given(SEEDS)
def test_a_kept_solver_gives_what_a_new_one_gives(seed):
    """Whatever was solved before: other powers, other limits, another topology."""
    net, spec = network(seed, islands=2)
    flow = PowerFlow()
    flow.solve(net, dataclasses.replace(spec, p=spec.p * 0.5, v_set=np.where(np.isfinite(spec.v_set), 1.0, np.nan)))
    flow.solve(*network(seed + 1))
    flow.solve(net, dataclasses.replace(spec, q_max=np.full(net.bus_count, 1.0)))
    kept, fresh = flow.solve(net, spec), solve(net, spec)
    assert np.array_equal(kept.voltage, fresh.voltage)
    assert kept.islands == fresh.islands


def test_changing_between_pv_and_pq_and_moving_taps_analyses_nothing_anew():
    net, spec = network(5)
    flow = PowerFlow()
    tight = np.full(net.bus_count, 0.5)
    limited = flow.solve(net, dataclasses.replace(spec, q_min=-tight, q_max=tight))
    assert (np.isfinite(spec.v_set) & ~limited.holding).any()
    moved = dataclasses.replace(net, branch_y=net.branch_y * 1.01)
    flow.solve(moved, dataclasses.replace(spec, v_set=np.where(np.arange(net.bus_count) == 0, 1.0, np.nan)))
    assert flow.islands.analysed == 1
    fewer = dataclasses.replace(net, branch_from=net.branch_from.copy())
    fewer.branch_from[-1] = fewer.branch_to[-1]
    ends = {
        tuple(sorted(pair)) for pair in zip(net.branch_from.tolist(), net.branch_to.tolist(), strict=True) if pair[0] != pair[1]
    }
    left = {tuple(sorted(pair)) for pair in zip(fewer.branch_from.tolist(), fewer.branch_to.tolist(), strict=True)}
    flow.solve(fewer, spec)
    assert flow.islands.analysed == (1 if ends <= left else 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"p": np.nan}, "the injected power is not a finite number at bus 1"),
        ({"q": np.inf}, "the injected power is not a finite number at bus 1"),
        ({"v_set": np.inf}, "the voltage to hold is not a positive number at bus 1"),
        ({"v_set": -1.0}, "the voltage to hold is not a positive number at bus 1"),
        ({"participation": np.inf}, "the share in the slack is not finite at bus 1"),
        ({"v_set": 1.0, "q_min": 10.0, "q_max": -10.0}, "the reactive limits are reversed or not numbers at bus 1"),
        ({"v_set": 1.0, "q_max": np.nan}, "the reactive limits are reversed or not numbers at bus 1"),
    ],
)
def test_what_is_wrong_is_named_and_other_islands_are_solved(change, reason):
    net, spec = network(11, islands=2)
    for name, value in change.items():
        spec = dataclasses.replace(spec, **{name: np.where(np.arange(net.bus_count) == 1, value, getattr(spec, name))})
    solution = solve(net, spec)
    first, second = solution.islands
    assert (first.converged, first.reason) == (False, reason)
    assert np.isnan(solution.voltage[net.island == first.island]).all()
    assert second.converged
    assert solution.live.sum() == (net.island == second.island).sum()


def test_an_admittance_that_is_no_number_is_named():
    net, spec = network(11, islands=2)
    y = net.branch_y.copy()
    y[0, 0, 1] = np.nan
    solution = solve(dataclasses.replace(net, branch_y=y), spec)
    assert solution.islands[0].reason == f"an admittance is not a finite number at bus {net.branch_from[0]}"
    assert solution.islands[1].converged


def test_a_singular_jacobian_is_told_with_its_bus():
    """A bus hung on a branch that carries nothing: its equations do not depend on its voltage."""
    ys = np.array([[[-10j, 10j], [10j, -10j]], np.zeros((2, 2))])
    one, two = np.array([0, 1]), np.array([1, 2])
    net = BusBranch(np.arange(3), np.full(3, 110.0), np.zeros(3, np.int64), one, two, ys, np.zeros(3, complex))
    far = np.full(3, 1e9)
    p = np.array([0.0, -10.0, -1.0])
    solution = solve(net, Injections(p, np.zeros(3), np.array([1.0, np.nan, np.nan]), -far, far, np.array([1.0, 0, 0])))
    assert not solution.converged
    assert solution.islands[0].reason == "the Jacobian is singular at bus 2"
    assert np.isnan(solution.voltage).all()


def test_where_a_flat_start_fails_the_angles_of_a_dc_flow_help():
    """Behind phase shifters the angles are 85 degrees off, which a flat start does not know."""
    turn, ys = np.exp(1j * np.radians(85.0)), 1 / (0.01 + 0.1j)
    y = np.array([[[ys, -ys / np.conj(turn)], [-ys / turn, ys]]])
    none = np.zeros(2)
    net = BusBranch(np.arange(2), none + 110.0, none.astype(int), np.array([0]), np.array([1]), y, none.astype(complex))
    far = np.full(2, 1e9)
    p = np.array([0.0, -100.0])
    spec = Injections(p, np.array([0.0, -20.0]), np.array([1.0, np.nan]), -far, far, np.array([1.0, 0.0]))
    found = solve(net, spec)
    assert found.converged
    assert found.islands[0].start == "dc"
    assert abs(found.voltage[1]) > 0.8
    assert balance(net, spec, found) < 1e-3
    again = solve(net, spec, start=found.voltage)
    assert (again.islands[0].start, again.islands[0].iterations) == ("warm", 1)  # the slack is found anew


def test_a_line_between_different_nominal_voltages_and_one_without_impedance():
    """380/400 kV: the off-nominal ratio is in per unit. Without impedance: the reader makes a closed switch of it."""
    grid = Grid(
        node_ids=("a", "b", "c"),
        node_kv=np.array([400.0, 380.0, 380.0]),
        switch_ids=("bypass",),
        switch_from=np.array([1]),
        switch_to=np.array([2]),
        branch_ids=("line",),
        branch_from=np.array([0]),
        branch_to=np.array([1]),
        branch_z=np.array([2 + 20j]),
        branch_y_from=np.array([0j]),
        branch_y_to=np.array([0j]),
        branch_ratio=np.array([1 + 0j]),
        tap_ids=(),
        tap_branch=np.zeros(0, np.int64),
        tap_side=np.zeros(0, np.int64),
        tap_neutral=np.zeros(0),
        tap_increment=np.zeros(0),
        shunt_ids=(),
        shunt_node=np.zeros(0, np.int64),
        shunt_y=np.zeros(0, complex),
        load_ids=("load",),
        load_node=np.array([2]),
        machine_ids=("unit",),
        machine_node=np.array([0]),
    )
    net = reduce(grid, np.array([False]), np.zeros(0), np.zeros(0))
    assert net.bus_count == 2
    far = np.full(2, 1e9)
    at_a, at_c = net.bus_of_node[[0, 2]]
    p = np.zeros(2)
    p[at_c] = -100.0
    v_set = np.where(np.arange(2) == at_a, 1.0, np.nan)
    solution = solve(net, Injections(p, np.zeros(2), v_set, -far, far, np.isfinite(v_set).astype(float)), tolerance=1e-11)
    kv = solution.voltage * net.bus_kv
    current = (kv[at_a] - kv[at_c]) / (2 + 20j)  # physical units, line to line
    assert kv[at_c] * np.conj(current) == pytest.approx(100.0, abs=1e-6)
    assert abs(kv[at_a]) == pytest.approx(400.0)


# ------------------------------------------------------------ sensitivities


def moved(net, spec, base, change):
    """Change of everything by a small change of the specification, to second order: (V, angle, slack, held Q, flows)."""
    found = []
    for sign in (1, -1):
        other_net, other_spec = change(sign)
        solution = solve(other_net, other_spec, start=base.voltage, tolerance=1e-12)
        assert solution.converged
        flows = np.concatenate(other_net.branch_flow(solution.voltage))
        slack = sum(island.slack_mw for island in solution.islands)
        drawn = np.concatenate([[slack], np.abs(solution.voltage), np.unwrap(np.angle(solution.voltage)), solution.q_held])
        found.append(np.concatenate([drawn, flows.real, flows.imag]))
    return (found[0] - found[1]) / 2


def predicted(net, response, column):
    n = net.bus_count
    flows = np.concatenate(response.flow(np.arange(len(net.branch_from))))[:, column]
    drawn = np.concatenate(
        [response.slack_mw[[column]], response.magnitude[:, column], response.angle[:, column], response.held_q[:, column]]
    )
    assert len(drawn) == 3 * n + 1
    return np.concatenate([drawn, flows.real, flows.imag])


@MANY
@given(SEEDS)
def test_every_answer_equals_the_difference_of_two_power_flows(seed):
    net, spec = network(seed)
    base = solve(net, spec, tolerance=1e-12)
    answers = Sensitivity(net, spec, base)
    chance = np.random.default_rng(seed + 2)
    bus, h = np.array([int(chance.integers(0, net.bus_count))]), 1e-2
    unit = np.arange(net.bus_count) == bus[0]

    def close(change, response, size):
        difference = moved(net, spec, base, change) / size
        ours = predicted(net, response, 0)
        assert np.allclose(ours, difference, atol=2e-5 * max(1.0, np.abs(difference).max()))
        return ours

    close(lambda sign: (net, dataclasses.replace(spec, p=spec.p + sign * h * unit)), answers.by_p(bus), h)
    if not base.holding[bus[0]]:
        close(lambda sign: (net, dataclasses.replace(spec, q=spec.q + sign * h * unit)), answers.by_q(bus), h)
    held = np.flatnonzero(base.holding)[:1]
    at = np.arange(net.bus_count) == held[0]
    close(lambda sign: (net, dataclasses.replace(spec, v_set=spec.v_set + sign * 1e-4 * at)), answers.by_vset(held), 1e-4)
    branch = np.array([int(chance.integers(0, len(net.branch_from)))])
    change = net.branch_y[branch] * chance.uniform(-0.1, 0.1, (1, 2, 2))

    def by_branch(sign):
        y = net.branch_y.copy()
        y[branch] += sign * 1e-4 * change
        return dataclasses.replace(net, branch_y=y), spec

    response = answers.by_admittance(branch, change)
    if net.branch_from[branch[0]] != net.branch_to[branch[0]]:
        close(by_branch, response, 1e-4)


def test_losses_answer_as_what_is_generated_beyond_the_load():
    net, spec = network(3)
    net = dataclasses.replace(net, shunt_y=np.zeros(net.bus_count, complex))
    base = solve(net, spec, tolerance=1e-12)
    buses = np.arange(net.bus_count)
    ours = Sensitivity(net, spec, base).by_p(buses)
    flows = ours.flow(np.arange(len(net.branch_from)))
    assert np.allclose(ours.losses_mw, (flows[0] + flows[1]).real.sum(axis=0), atol=1e-9)
    assert np.abs(ours.losses_mw).max() > 1e-3


def test_the_answers_of_a_dead_and_of_an_unsolved_island_are_nothing():
    net, spec = network(11, islands=2)
    dead = net.island == 1
    spec = dataclasses.replace(spec, v_set=np.where(dead, np.nan, spec.v_set))
    answers = Sensitivity(net, spec, solve(net, spec))
    everywhere = answers.by_q(np.arange(net.bus_count))
    assert (everywhere.magnitude[dead] == 0).all()
    assert (everywhere.magnitude[:, dead] == 0).all()
    assert np.abs(everywhere.magnitude[~dead]).max() > 0
