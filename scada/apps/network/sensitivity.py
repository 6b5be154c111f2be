"""How the state answers to small actions, from the power flow's Jacobian: what AVC needs to choose one.

At a solution ``f(x, u) = 0`` the state moves by ``dx = -J^-1 df/du``. One factorisation serves every action of an
island. Buses whose machines hold their voltage do not move; a machine at its reactive limit lets go, so sensitivities
hold for the present set of limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scada.apps.network.busbranch import BASE_MVA, C16, F8, I8, BusBranch
from scada.apps.network.injections import Injections, Solution
from scada.apps.network.island import Island, Islands
from scada.apps.network.newton import LEAST_STRENGTH, fill_jacobian, slack_column
from scada.apps.network.sparse_lu import empty_factors, factor_into, solve_many_into


@dataclass(frozen=True, eq=False)
class Response:
    """Small changes of the state; a column is an action.

    Attributes:
        angle: change of the angle of each bus in radians, shape ``(buses, actions)``.
        magnitude: change of the voltage magnitude per unit, the same shape.
        slack_mw: what the participating machines generate more, by action.
        losses_mw: change of the losses (branches and shunts), by action.
        held_q: change of the reactive power of the machines that hold a voltage, Mvar, ``(buses, actions)``; 0 elsewhere.
    """

    network: BusBranch
    voltage: C16
    angle: F8
    magnitude: F8
    slack_mw: F8
    losses_mw: F8
    held_q: F8
    changed: tuple[I8, C16] | None = None

    @property
    def kv(self) -> F8:
        """Change of the voltages, kV."""
        return np.asarray(self.magnitude * self.network.bus_kv[:, None])

    def flow(self, branches: I8) -> tuple[C16, C16]:
        """Change of the complex power in MVA into ``branches`` at their ``from`` and ``to`` sides, ``(branches, actions)``."""
        network, voltage = self.network, np.nan_to_num(self.voltage)
        ends = (network.branch_from[branches], network.branch_to[branches])
        relative = np.divide(
            self.magnitude, np.abs(voltage)[:, None], out=np.zeros_like(self.magnitude), where=voltage[:, None] != 0
        )
        moved = voltage[:, None] * (relative + 1j * self.angle)
        found = []
        for own, other in ((0, 1), (1, 0)):
            y = network.branch_y[branches][:, own]
            at, far = ends[own], ends[other]
            current = y[:, own] * voltage[at] + y[:, other] * voltage[far]
            more = y[:, own, None] * moved[at] + y[:, other, None] * moved[far]
            power = moved[at] * np.conj(current)[:, None] + voltage[at][:, None] * np.conj(more)
            if self.changed is not None:
                rows, drawn = self.changed
                power += np.where(rows[None, :] == branches[:, None], drawn[:, own][None, :], 0.0)
            found.append(power * BASE_MVA)
        return found[0], found[1]


class Sensitivity:
    """Sensitivities at one solution.

    Buses that are dead or without a state answer 0 to everything, those of an island at the very edge of stability NaN.

    Args:
        network: the network that was solved.
        injections: its specification (for the shares of the slack).
        solution: its state.
        islands: of the :class:`~scada.apps.network.powerflow.PowerFlow` that solved it, whose analysis is used again.
    """

    def __init__(self, network: BusBranch, injections: Injections, solution: Solution, islands: Islands | None = None) -> None:
        self.network = network
        self.solution = solution
        solved = [island.island for island in solution.islands if island.converged]
        self._islands = [
            _LinearIsland(network, injections, solution, island) for island in (islands or Islands()).of(network, solved)
        ]

    def dv_dq(self, buses: I8) -> F8:
        """dV/dQ in kV per Mvar injected, shape ``(all buses, len(buses))``."""
        return self.by_q(buses).kv

    def dv_dvset(self, buses: I8) -> F8:
        """dV/dVset in kV per kV for buses whose voltage is held (0 for the others), shape ``(all buses, len(buses))``."""
        return np.asarray(self.by_vset(buses).kv / self.network.bus_kv[buses][None, :])

    def dv_dadmittance(self, branches: I8, change: C16) -> F8:
        """Voltage change in kV when the two-ports of ``branches`` change by ``change``; see :meth:`by_admittance`."""
        return self.by_admittance(branches, change).kv

    def by_p(self, buses: I8) -> Response:
        """Answers to one MW more injected at each of ``buses``."""
        dp, dq, dv = self._actions(len(buses))
        dp[buses, np.arange(len(buses))] = 1.0 / BASE_MVA
        return self._answer(dp, dq, dv)

    def by_q(self, buses: I8) -> Response:
        """Answers to one Mvar more injected at each of ``buses``."""
        dp, dq, dv = self._actions(len(buses))
        dq[buses, np.arange(len(buses))] = 1.0 / BASE_MVA
        return self._answer(dp, dq, dv)

    def by_vset(self, buses: I8) -> Response:
        """Answers to one per unit more of the voltage held at each of ``buses``; none where it is not held."""
        dp, dq, dv = self._actions(len(buses))
        held = np.flatnonzero(self.solution.holding[buses])
        dv[buses[held], held] = 1.0
        return self._answer(dp, dq, dv)

    def by_admittance(self, branches: I8, change: C16) -> Response:
        """Answers to a change of the two-ports of ``branches`` by ``change`` (``(len(branches), 2, 2)``, per unit).

        A tap's change of one step is ``grid.admittance(step + 1) - grid.admittance(step)`` at its branch.
        """
        dp, dq, dv = self._actions(len(branches))
        columns, voltage = np.arange(len(branches)), np.nan_to_num(self.solution.voltage)
        ends = (self.network.branch_from[branches], self.network.branch_to[branches])
        drawn = np.empty((len(branches), 2), dtype=np.complex128)
        for side, at in enumerate(ends):
            drawn[:, side] = voltage[at] * np.conj(change[:, side, 0] * voltage[ends[0]] + change[:, side, 1] * voltage[ends[1]])
            np.subtract.at(dp, (at, columns), drawn[:, side].real)
            np.subtract.at(dq, (at, columns), drawn[:, side].imag)
        return self._answer(dp, dq, dv, (branches, drawn))

    def _actions(self, count: int) -> tuple[F8, F8, F8]:
        shape = (self.network.bus_count, count)
        return np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def _answer(self, dp: F8, dq: F8, dv: F8, changed: tuple[I8, C16] | None = None) -> Response:
        angle, magnitude, held_q = (np.zeros_like(dp) for _ in range(3))
        slack = np.zeros(dp.shape[1])
        given = np.zeros(dp.shape[1])
        for island in self._islands:
            at = island.buses
            angle[at], magnitude[at], held_q[at], more = island.change(dp[at], dq[at], dv[at])
            slack += more
            if changed is None:
                given += dp[at].sum(axis=0)
        return Response(
            network=self.network,
            voltage=self.solution.voltage,
            angle=angle,
            magnitude=magnitude,
            slack_mw=slack * BASE_MVA,
            losses_mw=(slack + given) * BASE_MVA,
            held_q=held_q * BASE_MVA,
            changed=changed,
        )


class _LinearIsland:
    """The linearised equations of one island, in its own bus numbers."""

    def __init__(self, network: BusBranch, injections: Injections, solution: Solution, island: Island) -> None:
        self.buses, self._layout, self._of_row = island.buses, island.layout, island.of_row
        share, self._reference = injections.shares(island.buses)
        equations = island.equations(network.y_bus, share, self._reference)
        voltage, self._holding = solution.voltage[island.buses], solution.holding[island.buses]
        self._size = np.abs(voltage)
        jacobian, injected = np.empty((len(island.take), 4)), np.empty(len(voltage), np.complex128)
        row = slice(*island.layout.ptr[self._reference : self._reference + 2].astype(int))
        self._near, border = island.layout.col[row], np.empty((row.stop - row.start, 2))
        fill_jacobian(equations, voltage, self._holding, jacobian, injected, border)
        self._factors = empty_factors(island.layout)
        strength = factor_into(island.layout, self._factors, jacobian)
        self._by_slack, self._border = np.empty((len(voltage), 2)), border
        self._unit = slack_column(island.layout, self._factors, equations, border, self._by_slack)
        self._known = strength >= LEAST_STRENGTH and self._unit != 0
        self._held_rows = self._holding[island.of_row]
        one, two = island.of_row[self._held_rows], island.layout.col[self._held_rows]
        power = voltage[one] * np.conj(equations.y[self._held_rows] * voltage[two])
        self._q_by = np.stack([-power.real, power.imag], axis=1)
        own = one == two
        self._q_by[own] += np.stack([injected.real, injected.imag], axis=1)[one[own]]

    def change(self, dp: F8, dq: F8, dv: F8) -> tuple[F8, F8, F8, F8]:
        """Angles, magnitudes, reactive power of the holding machines and slack, per unit, for changes of what is specified."""
        size, reference = self._size[:, None], self._reference
        if not self._known:
            unknown = np.full_like(dp, np.nan)
            return unknown, unknown, unknown, unknown[reference]
        x = np.empty((len(dp), 2, dp.shape[1]))
        x[:, 0], x[:, 1] = dp, np.where(self._holding[:, None], dv / size, dq)
        x[reference, 0] = 0.0
        solve_many_into(self._layout, self._factors, x, x)
        slack = (dp[reference] - np.einsum("ec,ecm->m", self._border, x[self._near])) / self._unit
        x += self._by_slack[:, :, None] * slack
        held_q = np.zeros_like(dp)
        along = np.einsum("ec,ecm->em", self._q_by, x[self._layout.col[self._held_rows]])
        np.add.at(held_q, self._of_row[self._held_rows], along)
        return x[:, 0], x[:, 1] * size, held_q - np.where(self._holding[:, None], dq, 0.0), slack
