"""DC power flow: active powers alone, all voltages at their nominal value, no losses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scada.apps.network.admittance import assemble
from scada.apps.network.busbranch import BASE_MVA, F8, BusBranch
from scada.apps.network.island import Island, Islands
from scada.apps.network.sparse_lu import WEAK_PIVOT, factor_into, solve_into

_SMALLEST_X = 1e-6
"""Per unit; less makes a branch a closed switch as far as active power goes."""


@dataclass(frozen=True, eq=False)
class DcFlow:
    """Active powers of a DC power flow.

    Attributes:
        branch_mw: MW from the ``from`` to the ``to`` side of each branch; NaN where the island has no source.
        slack_mw: what injections lack, by island with a source; shared by participation.
    """

    branch_mw: F8
    slack_mw: tuple[float, ...]


def dc_flow(network: BusBranch, p: F8, participation: F8, *, islands: Islands | None = None) -> DcFlow | None:
    """Solve all islands.

    Args:
        network: buses and admittances.
        p: MW injected at each bus.
        participation: share of each bus in what its island lacks; an island without any is dead.
        islands: of an earlier solve, to be used again while the topology is the same.

    Returns:
        The flows, or None if an island has no solution: a number that is not finite, or reactances that cancel out.
    """
    share = np.bincount(network.island, participation)
    lacks = -np.bincount(network.island, p, len(share))
    live = share > 0
    angle = np.full(network.bus_count, np.nan)
    for island in (islands or Islands()).of(network, np.flatnonzero(live)):
        number, buses = island.number, island.buses
        balanced = p[buses] + participation[buses] * (lacks[number] / share[number])
        found = angles(network, island, balanced / BASE_MVA, int(np.argmax(participation[buses])))
        if found is None:
            return None
        angle[buses] = found
    susceptance, shift = _series(network)
    flow = susceptance * (angle[network.branch_from] - angle[network.branch_to] - shift) * BASE_MVA
    flow[network.branch_from == network.branch_to] = np.nan
    return DcFlow(flow, tuple(lacks[live].tolist()))


def angles(network: BusBranch, island: Island, p: F8, reference: int) -> F8 | None:
    """Voltage angles of an island in radians against its reference bus, both in its own bus numbers; None = no solution.

    Args:
        network: buses and admittances.
        island: which.
        p: injected power of each bus, per unit, sum 0.
        reference: the bus whose angle is 0.
    """
    susceptance, shift = _series(network)
    ports = susceptance[:, None, None] * np.array([[1.0, -1.0], [-1.0, 1.0]])
    none = np.zeros(network.bus_count, np.complex128)
    matrix = assemble(network.branch_from, network.branch_to, ports.astype(np.complex128), none)[2]
    turned = np.zeros(network.bus_count)
    joins = network.branch_from != network.branch_to
    np.add.at(turned, network.branch_from[joins], (susceptance * shift)[joins])
    np.subtract.at(turned, network.branch_to[joins], (susceptance * shift)[joins])
    blocks = np.zeros((len(island.take), 4))  # the second unknown of each block stays 0
    blocks[:, 0] = matrix.real[island.take]
    blocks[island.diagonal, 3] = 1.0
    blocks[island.of_row == reference, 0] = 0.0
    blocks[island.diagonal[reference], 0] = 1.0
    rhs = np.zeros((len(island.buses), 2))
    rhs[:, 0] = p + turned[island.buses]
    rhs[reference, 0] = 0.0
    if not (np.isfinite(blocks).all() and factor_into(island.layout, island.factors, blocks) >= WEAK_PIVOT):
        return None
    solve_into(island.layout, island.factors, rhs, rhs)
    return np.asarray(rhs[:, 0]) if np.isfinite(rhs).all() else None


def _series(network: BusBranch) -> tuple[F8, F8]:
    """Series susceptance and phase shift of each branch, out of its two-port."""
    forth, back = network.branch_y[:, 0, 1], network.branch_y[:, 1, 0]
    root = np.sqrt(forth * back)
    root = np.where((-forth * np.conj(root)).real < 0, -root, root)
    reactance = (1.0 / np.where(root == 0, np.inf, root)).imag
    small = np.abs(reactance) < _SMALLEST_X
    reactance = np.where(small, _SMALLEST_X, reactance)
    return np.asarray(1.0 / reactance), np.asarray(np.angle(-forth * np.conj(root)))
