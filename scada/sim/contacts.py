"""What goes through switches: flows by Kirchhoff's law, and what closing one would connect to earth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scada.apps.network.busbranch import F8, I8, Grid, Mask, components


def contact_matrix(grid: Grid, switch_open: Mask, switches: I8) -> F8:
    """Share of every node's injection that flows through ``switches``, shape ``(len(switches), nodes)``; 0 through open ones.

    Kirchhoff's current law alone leaves the flows open where closed switches form a ring; there all contacts are taken as equally
    resistive. A flow is positive from a switch's first to its second terminal.
    """
    n = len(grid.node_ids)
    a, b = grid.switch_from[~switch_open], grid.switch_to[~switch_open]
    laplace = np.eye(n) * 1e-9  # each connected part has one free potential; its injections sum to 0
    for i, j, sign in ((a, a, 1.0), (b, b, 1.0), (a, b, -1.0), (b, a, -1.0)):
        np.add.at(laplace, (i, j), sign)
    ends = np.zeros((n, len(switches)))
    columns = np.arange(len(switches))
    np.add.at(ends, (grid.switch_from[switches], columns), 1.0)
    np.add.at(ends, (grid.switch_to[switches], columns), -1.0)
    return np.asarray(np.linalg.solve(laplace, ends).T * ~switch_open[switches][:, None])


def would_earth(grid: Grid, switch_open: Mask, earthing: Mapping[int, int], live_node: Mask, switch: int) -> bool:
    """Whether closing ``switch`` would connect a live part to earth, be it through a line or a transformer.

    Args:
        grid: equipment.
        switch_open: present state.
        earthing: node of each earthing switch, by its row among the switches.
        live_node: nodes with a voltage.
        switch: row of the switch to be closed.
    """
    closed = ~switch_open
    closed[switch] = True
    earthed = np.array([node for row, node in earthing.items() if closed[row]], dtype=np.int64)
    if not len(earthed):
        return False
    bus = components(len(grid.node_ids), grid.switch_from[closed], grid.switch_to[closed])
    part = components(int(bus.max()) + 1, bus[grid.branch_from], bus[grid.branch_to])
    return bool(np.isin(part[bus[earthed]], part[bus[live_node]]).any())
