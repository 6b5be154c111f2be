"""Grids of implementations we did not write, as our tables."""

from __future__ import annotations

import numpy as np
import pytest


def from_powsybl(network):
    """Our tables of a pypowsybl network in bus-breaker or node-breaker form, merged by its own bus view."""
    from scada.apps.network.busbranch import Grid
    from scada.apps.network.powerflow import Injections

    buses = network.get_buses()
    levels = network.get_voltage_levels()
    kv = levels.loc[buses.voltage_level_id].nominal_v.to_numpy()
    index = {bus: row for row, bus in enumerate(buses.index)}
    lines = network.get_lines(all_attributes=True)
    twos = network.get_2_windings_transformers(all_attributes=True)
    ratio = (twos.rated_u1 / twos.rated_u2).to_numpy()
    # powsybl refers impedance and shunt to side 2 and puts the tap's ratio at side 1, as V2/V1
    rho = twos.rho.to_numpy() * ratio
    z2 = (twos.r_at_current_tap + 1j * twos.x_at_current_tap).to_numpy()
    y2 = (twos.g_at_current_tap + 1j * twos.b_at_current_tap).to_numpy()
    taps = np.arange(len(twos))
    shunts = network.get_shunt_compensators()
    loads, units = network.get_loads(), network.get_generators()
    grid = Grid(
        node_ids=tuple(buses.index),
        node_kv=kv,
        switch_ids=(),
        switch_from=np.zeros(0, np.int64),
        switch_to=np.zeros(0, np.int64),
        branch_ids=tuple(lines.index) + tuple(twos.index),
        branch_from=np.array([index[bus] for bus in [*lines.bus1_id, *twos.bus1_id]]),
        branch_to=np.array([index[bus] for bus in [*lines.bus2_id, *twos.bus2_id]]),
        branch_z=np.concatenate([(lines.r + 1j * lines.x).to_numpy(), z2 * ratio**2]),
        branch_y_from=np.concatenate([(lines.g1 + 1j * lines.b1).to_numpy(), y2 / ratio**2]),
        branch_y_to=np.concatenate([(lines.g2 + 1j * lines.b2).to_numpy(), 0 * y2]),
        branch_ratio=np.concatenate([np.ones(len(lines)), ratio]).astype(complex),
        tap_ids=tuple(twos.index),
        tap_branch=taps + len(lines),
        tap_side=np.zeros(len(twos), np.int64),
        tap_neutral=np.zeros(len(twos)),
        tap_increment=1 / rho - 1,
        shunt_ids=tuple(shunts.index),
        shunt_node=np.array([index[bus] for bus in shunts.bus_id], dtype=np.int64),
        shunt_y=(shunts.g + 1j * shunts.b).to_numpy(),
        load_ids=tuple(loads.index),
        load_node=np.array([index[bus] for bus in loads.bus_id]),
        machine_ids=tuple(units.index),
        machine_node=np.array([index[bus] for bus in units.bus_id]),
    )
    n = len(buses)
    p, q, v_set = np.zeros(n), np.zeros(n), np.full(n, np.nan)
    q_min, q_max, share = np.zeros(n), np.zeros(n), np.zeros(n)
    np.add.at(p, grid.load_node, -loads.p0.to_numpy())
    np.add.at(q, grid.load_node, -loads.q0.to_numpy())
    for unit in units.itertuples():
        bus = index[unit.bus_id]
        p[bus] += unit.target_p
        if unit.voltage_regulator_on:
            v_set[bus] = unit.target_v / kv[bus]
            q_min[bus] += unit.min_q
            q_max[bus] += unit.max_q
        else:
            q[bus] += unit.target_q
    return grid, Injections(p, q, v_set, q_min, q_max, share), index


@pytest.fixture(scope="session")
def powsybl():
    """pypowsybl, where it is installed."""
    return pytest.importorskip("pypowsybl")


@pytest.fixture(scope="session")
def to_tables():
    """Converter of a pypowsybl network."""
    return from_powsybl
