"""How bus voltages answer to small actions, from the power flow's Jacobian: what AVC needs to choose one.

At a solution ``f(x, u) = 0`` the state moves by ``dx = -J^-1 df/du``. One factorisation serves every action of an
island. Buses whose machines hold their voltage do not move; a machine at its reactive limit lets go, so sensitivities
hold for the present set of limits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from scada.apps.network.busbranch import BASE_MVA, C16, F8, I8, BusBranch
from scada.apps.network.powerflow import Factor, Injections, Solution, dense_factor, jacobian_blocks, reduced_jacobian


class Sensitivity:
    """Voltage sensitivities at one solution. Buses that are dead or without a state answer 0 to everything.

    Args:
        network: the network that was solved.
        injections: its specification (for the shares of the slack).
        solution: its state.
        factor: linear solver.
    """

    def __init__(self, network: BusBranch, injections: Injections, solution: Solution, factor: Factor = dense_factor) -> None:
        self.network = network
        self.solution = solution
        self._islands = [
            _LinearIsland(network, injections, solution, island.island, factor) for island in solution.islands if island.converged
        ]

    def dv_dq(self, buses: I8) -> F8:
        """dV/dQ in kV per Mvar injected, shape ``(all buses, len(buses))``."""
        n = self.network.bus_count
        dp, dq = np.zeros((n, len(buses))), np.zeros((n, len(buses)))
        dq[buses, np.arange(len(buses))] = 1.0 / BASE_MVA
        return self._kv(dp, dq)

    def dv_dvset(self, buses: I8) -> F8:
        """dV/dVset in kV per kV for buses whose voltage is held (0 for the others), shape ``(all buses, len(buses))``."""
        n = self.network.bus_count
        held = self.solution.holding[buses]
        by_magnitude = np.zeros((n, len(buses)), dtype=np.complex128)
        for island in self._islands:
            inside = np.flatnonzero(np.isin(buses, island.buses) & held)
            local = np.searchsorted(island.buses, buses[inside])
            by_magnitude[np.ix_(island.buses, inside)] = island.by_magnitude[:, local]
        per_unit = self._pu(-by_magnitude.real, -by_magnitude.imag)
        per_unit[buses[held], np.flatnonzero(held)] += 1.0
        return np.asarray(per_unit * self.network.bus_kv[:, None] / self.network.bus_kv[buses][None, :])

    def dv_dadmittance(self, branches: I8, change: C16) -> F8:
        """Voltage change in kV when the two-ports of ``branches`` change by ``change`` (``(len(branches), 2, 2)``, per unit).

        A tap's change of one step is ``grid.admittance(step + 1) - grid.admittance(step)`` at its branch: dV/dtap in kV per step.
        """
        n, columns = self.network.bus_count, np.arange(len(branches))
        v_from = np.nan_to_num(self.solution.voltage[self.network.branch_from[branches]])
        v_to = np.nan_to_num(self.solution.voltage[self.network.branch_to[branches]])
        drawn = np.zeros((n, len(branches)), dtype=np.complex128)
        s_from = v_from * np.conj(change[:, 0, 0] * v_from + change[:, 0, 1] * v_to)
        s_to = v_to * np.conj(change[:, 1, 0] * v_from + change[:, 1, 1] * v_to)
        np.add.at(drawn, (self.network.branch_from[branches], columns), s_from)
        np.add.at(drawn, (self.network.branch_to[branches], columns), s_to)
        return self._kv(-drawn.real, -drawn.imag)

    def _pu(self, dp: F8, dq: F8) -> F8:
        answer = np.zeros_like(dp)
        for island in self._islands:
            answer[island.buses] = island.voltage_change(dp[island.buses], dq[island.buses])
        return answer

    def _kv(self, dp: F8, dq: F8) -> F8:
        return np.asarray(self._pu(dp, dq) * self.network.bus_kv[:, None])


class _LinearIsland:
    """The linearised equations of one island."""

    def __init__(self, network: BusBranch, injections: Injections, solution: Solution, number: int, factor: Factor) -> None:
        self.buses: I8 = np.flatnonzero(network.island == number)
        self.pq: I8 = np.flatnonzero(~solution.holding[self.buses])
        voltage = solution.voltage[self.buses]
        by_angle, self.by_magnitude = jacobian_blocks(network.y_bus[np.ix_(self.buses, self.buses)], voltage)
        share = np.maximum(injections.participation[self.buses], 0.0)
        if not share.any():
            share = np.isfinite(injections.v_set[self.buses]).astype(float)
        matrix = reduced_jacobian(by_angle, self.by_magnitude, self.pq, int(np.argmax(share)), share / share.sum())
        self._solve: Callable[[F8], F8] = factor(matrix)

    def voltage_change(self, dp: F8, dq: F8) -> F8:
        """Change of the magnitudes, per unit, for changes of the injections, per unit; columns are cases."""
        step = self._solve(np.concatenate([dp, dq[self.pq]]))
        change = np.zeros_like(dp)
        change[self.pq] = step[len(self.buses) :]
        return change
