"""How the state answers to small actions, from the power flow's Jacobian: what AVC needs to choose one.

At a solution ``f(x, u) = 0`` the state moves by ``dx = -J^-1 df/du``. One factorisation serves every action of an
island. Buses whose machines hold their voltage do not move; a machine at its reactive limit lets go, so sensitivities
hold for the present set of limits.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scada.apps.network.busbranch import BASE_MVA, C16, F8, I8, BusBranch
from scada.apps.network.injections import Injections, Solution
from scada.apps.network.island import Island, Islands
from scada.apps.network.newton import LEAST_STRENGTH, fill_jacobian, slack_column
from scada.apps.network.powerflow import smallest, solve
from scada.apps.network.sparse_lu import empty_factors, factor_into, solve_many_into


@dataclass(frozen=True, eq=False)
class _Actions:
    """What is done: ``p``, ``q`` injected and ``v`` held more, per unit, at ``bus`` by the action ``column``."""

    count: int
    bus: I8
    column: I8
    p: F8
    q: F8
    v: F8


@dataclass(frozen=True, eq=False)
class _Part:
    """Answers of an island in its own numbers: angle and relative change of magnitude, ``(buses, 2, actions)``; slack."""

    island: _LinearIsland
    x: F8
    slack: F8


class Response:
    """Small changes of the state, made when asked for; a column is an action.

    Attributes:
        slack_mw: what the participating machines generate more, by action.
        losses_mw: change of the losses (branches and shunts), by action.
    """

    def __init__(
        self, network: BusBranch, voltage: C16, actions: _Actions, parts: list[_Part], changed: tuple[I8, C16] | None
    ) -> None:
        self._network, self._voltage = network, voltage
        self._actions, self._parts, self._changed = actions, parts, changed
        self.slack_mw = np.zeros(actions.count)
        self.losses_mw = np.zeros(actions.count)
        for part in parts:
            self.slack_mw += part.slack * BASE_MVA
            inside = np.isin(actions.bus, part.island.buses)
            if changed is None:
                self.losses_mw += np.bincount(actions.column[inside], actions.p[inside], actions.count) * BASE_MVA
        self.losses_mw += self.slack_mw

    def _spread(self) -> F8:
        return np.zeros((self._network.bus_count, self._actions.count))

    @cached_property
    def angle(self) -> F8:
        """Change of the angle of each bus in radians, shape ``(buses, actions)``."""
        found = self._spread()
        for part in self._parts:
            found[part.island.buses] = part.x[:, 0]
        return found

    @cached_property
    def magnitude(self) -> F8:
        """Change of the voltage magnitude of each bus per unit, the same shape."""
        found = self._spread()
        for part in self._parts:
            found[part.island.buses] = part.x[:, 1] * part.island.size[:, None]
        return found

    @property
    def kv(self) -> F8:
        """Change of the voltages, kV."""
        return np.asarray(self.magnitude * self._network.bus_kv[:, None])

    @cached_property
    def held_q(self) -> F8:
        """Change of the reactive power of the machines that hold a voltage, Mvar, the same shape; 0 elsewhere."""
        found = self._spread()
        for part in self._parts:
            rows, along = part.island.held_q(part.x)
            np.add.at(found, part.island.buses[rows], along * BASE_MVA)
            held = np.isin(self._actions.bus, part.island.buses[part.island.holding])
            given = self._actions.q[held] * BASE_MVA
            np.subtract.at(found, (self._actions.bus[held], self._actions.column[held]), given)
        return found

    def flow(self, branches: I8) -> tuple[C16, C16]:
        """Change of the complex power in MVA into ``branches`` at their ``from`` and ``to`` sides, ``(branches, actions)``."""
        network, voltage = self._network, np.nan_to_num(self._voltage)
        ends = (network.branch_from[branches], network.branch_to[branches])
        size = np.where(voltage == 0, 1.0, np.abs(voltage))
        moved = [voltage[end][:, None] * (self.magnitude[end] / size[end][:, None] + 1j * self.angle[end]) for end in ends]
        found = []
        for own, other in ((0, 1), (1, 0)):
            y, at, far = network.branch_y[branches][:, own], voltage[ends[own]], voltage[ends[other]]
            current = y[:, own] * at + y[:, other] * far
            more = y[:, own, None] * moved[own] + y[:, other, None] * moved[other]
            power = moved[own] * np.conj(current)[:, None] + at[:, None] * np.conj(more)
            if self._changed is not None:
                rows, drawn = self._changed
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
        none, one = np.zeros(len(buses)), np.full(len(buses), 1.0 / BASE_MVA)
        return self._answer(_Actions(len(buses), buses, np.arange(len(buses)), one, none, none))

    def by_q(self, buses: I8) -> Response:
        """Answers to one Mvar more injected at each of ``buses``."""
        none, one = np.zeros(len(buses)), np.full(len(buses), 1.0 / BASE_MVA)
        return self._answer(_Actions(len(buses), buses, np.arange(len(buses)), none, one, none))

    def by_vset(self, buses: I8) -> Response:
        """Answers to one per unit more of the voltage held at each of ``buses``; none where it is not held."""
        none, one = np.zeros(len(buses)), np.ones(len(buses))
        return self._answer(_Actions(len(buses), buses, np.arange(len(buses)), none, none, one))

    def by_admittance(self, branches: I8, change: C16) -> Response:
        """Answers to a change of the two-ports of ``branches`` by ``change`` (``(len(branches), 2, 2)``, per unit).

        A tap's change of one step is ``grid.admittance(step + 1) - grid.admittance(step)`` at its branch.
        """
        voltage, count = np.nan_to_num(self.solution.voltage), len(branches)
        ends = np.stack([self.network.branch_from[branches], self.network.branch_to[branches]], axis=1)
        drawn = voltage[ends] * np.conj(np.einsum("bij,bj->bi", change, voltage[ends]))
        taken = -drawn.ravel()
        actions = _Actions(
            count, ends.ravel(), np.repeat(np.arange(count), 2), taken.real.copy(), taken.imag.copy(), np.zeros(2 * count)
        )
        return self._answer(actions, (branches, drawn))

    def _answer(self, actions: _Actions, changed: tuple[I8, C16] | None = None) -> Response:
        parts = [island.answer(actions, self.network.bus_count) for island in self._islands]
        return Response(self.network, self.solution.voltage, actions, parts, changed)


class _LinearIsland:
    """The linearised equations of one island, in its own bus numbers."""

    def __init__(self, network: BusBranch, injections: Injections, solution: Solution, island: Island) -> None:
        self.buses, self._layout, self._of_row = island.buses, island.layout, island.of_row
        share, self._reference = injections.shares(island.buses)
        self._equations = island.equations(network.y_bus, share, self._reference)
        self._voltage, self.holding = solution.voltage[island.buses], solution.holding[island.buses]
        self.size = np.abs(self._voltage)
        jacobian, injected = np.empty((len(island.take), 4)), np.empty(len(self.buses), np.complex128)
        row = slice(*island.layout.ptr[self._reference : self._reference + 2].astype(int))
        self._near, self._border = island.layout.col[row], np.empty((row.stop - row.start, 2))
        fill_jacobian(self._equations, self._voltage, self.holding, jacobian, injected, self._border)
        self._injected = injected
        self._factors, self._by_slack = empty_factors(island.layout), np.empty((len(self.buses), 2))
        strength = factor_into(island.layout, self._factors, jacobian)
        self._unit = slack_column(island.layout, self._factors, self._equations, self._border, self._by_slack)
        self._known = strength >= LEAST_STRENGTH and self._unit != 0

    def answer(self, actions: _Actions, bus_count: int) -> _Part:
        """Answers to what is done here; nothing else moves this island."""
        x = np.zeros((len(self.buses), 2, actions.count))
        if not self._known:
            return _Part(self, np.full_like(x, np.nan), np.full(actions.count, np.nan))
        place = np.full(bus_count, -1)
        place[self.buses] = np.arange(len(self.buses))
        row = place[actions.bus]
        inside = row >= 0
        row, column = row[inside], actions.column[inside]
        np.add.at(x[:, 0], (row, column), actions.p[inside])
        np.add.at(x[:, 1], (row, column), np.where(self.holding[row], actions.v[inside] / self.size[row], actions.q[inside]))
        given = x[self._reference, 0].copy()
        x[self._reference, 0] = 0.0
        solve_many_into(self._layout, self._factors, x, x)
        slack = (given - np.einsum("ec,ecm->m", self._border, x[self._near])) / self._unit
        if self._by_slack.any():
            x += self._by_slack[:, :, None] * slack
        return _Part(self, x, slack)

    def held_q(self, x: F8) -> tuple[I8, F8]:
        """Entries in the rows of the buses that hold their voltage: row, and what it adds to the reactive power, per unit."""
        held = np.flatnonzero(self.holding[self._of_row])
        one, two = self._of_row[held], self._layout.col[held]
        power = self._voltage[one] * np.conj(self._equations.y[held] * self._voltage[two])
        by = np.stack([-power.real, power.imag], axis=1)
        own = one == two
        by[own] += np.stack([self._injected.real, self._injected.imag], axis=1)[one[own]]
        return one, np.einsum("ec,ecm->em", by, x[two])


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache, those of the power flow included."""
    network, injections = smallest()
    Sensitivity(network, injections, solve(network, injections)).dv_dq(np.array([1]))
