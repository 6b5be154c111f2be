"""DC power flow of large grids: active power and angles only, all voltages at their nominal value, no losses.

Solved by conjugate gradients with a diagonal preconditioner: nothing is factored, memory grows with the branches alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from scada.apps.network.busbranch import BASE_MVA, F8, I8, BusBranch

_SMALLEST_X = 1e-6
"""Per unit; less makes a branch a closed switch as far as active power goes."""


@dataclass(frozen=True, eq=False)
class DcFlow:
    """Active powers of a DC power flow.

    Attributes:
        branch_mw: MW from the ``from`` to the ``to`` side of each branch; NaN where the island has no source.
        slack_mw: what injections lack, by island with a source; shared by participation.
        iterations: of the conjugate gradients.
    """

    branch_mw: F8
    slack_mw: tuple[float, ...]
    iterations: int


def dc_flow(network: BusBranch, p: F8, participation: F8, *, tolerance: float = 1e-4) -> DcFlow | None:
    """Solve all islands at once.

    Args:
        network: buses and admittances.
        p: MW injected at each bus.
        participation: share of each bus in what its island lacks; an island without any is dead.
        tolerance: greatest mismatch accepted, MW.

    Returns:
        The flows, or None if the iteration did not reach the tolerance.
    """
    share = np.bincount(network.island, participation)
    lacks = -np.bincount(network.island, p, len(share))
    live = share > 0
    per_share = np.divide(lacks, share, out=np.zeros_like(share), where=live)
    balanced = np.where(live[network.island], p + participation * per_share[network.island], 0.0) / BASE_MVA
    susceptance, shift = _series(network)
    used = live[network.island[network.branch_from]] & (network.branch_from != network.branch_to)
    one, two = network.branch_from[used], network.branch_to[used]
    b, turned = susceptance[used], shift[used]
    rhs = balanced.copy()
    np.add.at(rhs, one, b * turned)
    np.subtract.at(rhs, two, b * turned)
    angle, iterations, rest = _conjugate_gradients(network.bus_count, one, two, b, rhs, tolerance / BASE_MVA)
    if not rest <= tolerance / BASE_MVA:
        return None
    flow = np.full(len(susceptance), np.nan)
    flow[used] = b * (angle[one] - angle[two] - turned) * BASE_MVA
    return DcFlow(flow, tuple(lacks[live].tolist()), iterations)


def _series(network: BusBranch) -> tuple[F8, F8]:
    """Series susceptance and phase shift of each branch, out of its two-port."""
    forth, back = network.branch_y[:, 0, 1], network.branch_y[:, 1, 0]
    root = np.sqrt(forth * back)
    root = np.where((-forth * np.conj(root)).real < 0, -root, root)
    reactance = (1.0 / np.where(root == 0, np.inf, root)).imag
    small = np.abs(reactance) < _SMALLEST_X
    reactance = np.where(small, _SMALLEST_X, reactance)
    return np.asarray(1.0 / reactance), np.asarray(np.angle(-forth * np.conj(root)))


@numba.njit(cache=True, nogil=True)
def _times(one: I8, two: I8, b: F8, x: F8, out: F8) -> None:
    out[:] = 0.0
    for branch in range(len(b)):
        flow = b[branch] * (x[one[branch]] - x[two[branch]])
        out[one[branch]] += flow
        out[two[branch]] -= flow


@numba.njit(cache=True, nogil=True)
def _conjugate_gradients(count: int, one: I8, two: I8, b: F8, rhs: F8, tolerance: float) -> tuple[F8, int, float]:
    """Angles for the injections ``rhs``, whose sum is 0 in every island; rounds needed and greatest mismatch left."""
    diagonal = np.zeros(count)
    for branch in range(len(b)):
        diagonal[one[branch]] += b[branch]
        diagonal[two[branch]] += b[branch]
    scale = np.ones(count)
    for bus in range(count):
        if diagonal[bus] != 0.0:
            scale[bus] = 1.0 / abs(diagonal[bus])
    x, rest = np.zeros(count), rhs.copy()
    scaled = rest * scale
    direction, image = scaled.copy(), np.empty(count)
    size = np.sum(rest * scaled)
    worst = np.max(np.abs(rest))
    rounds = 0
    while worst > tolerance and rounds < 20 * count:
        _times(one, two, b, direction, image)
        bend = np.sum(direction * image)
        if bend == 0.0 or not np.isfinite(bend):
            break
        step = size / bend
        x += step * direction
        rest -= step * image
        scaled = rest * scale
        now = np.sum(rest * scaled)
        direction = scaled + (now / size) * direction
        size = now
        worst = np.max(np.abs(rest))
        rounds += 1
    return x, rounds, worst


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    rows = np.zeros(1, dtype=np.int64)
    _conjugate_gradients(2, rows, rows + 1, np.ones(1), np.array([1.0, -1.0]), 1e-6)
