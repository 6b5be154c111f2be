"""AC power flow: Newton's method in polar form, island by island, with reactive limits and a distributed slack.

A bus is PV (a machine holds its voltage), PQ, or dead (its island has no machine that can hold a voltage). The active
power that the specification leaves open, the losses, is shared within each island by participation factors; a single
slack bus is the case of one factor. Where Newton does not converge the island's voltages are NaN and the solution
says so: there is no made-up state.

A :class:`PowerFlow` keeps what depends on the topology alone (order of elimination, layout of the factors) from one solve to the
next; :func:`solve` is for a single one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from scada.apps.network.busbranch import BASE_MVA, C16, BusBranch
from scada.apps.network.dc_flow import angles
from scada.apps.network.injections import Injections, IslandResult, Solution
from scada.apps.network.island import Island, Islands
from scada.apps.network.newton import COLLAPSED, DIVERGED, SINGULAR, SOLVED, newton
from scada.apps.network.sparse_lu import weak_blocks

__all__ = ["Injections", "IslandResult", "PowerFlow", "Solution", "solve"]

_ROUNDS, _ROUNDS_WITH_RELEASE = 12, 6
"""Rounds of reactive limits; after the first six a bus at its limit stays there, so that no two swap for ever."""
_BEYOND = 1e-6
"""Per unit; less beyond a limit or a set value does not count."""
_LEAST_WARM = 0.5
"""Per unit; a bus below starts flat."""


class PowerFlow:
    """Solves networks; what depends on the topology alone is kept, so that the next solve of the same topology is quick.

    Not for two threads at once.
    """

    def __init__(self) -> None:
        self.islands = Islands()

    def solve(
        self,
        network: BusBranch,
        injections: Injections,
        *,
        start: C16 | None = None,
        tolerance: float = 1e-6,
        max_iterations: int = 20,
    ) -> Solution:
        """Solve every island: from ``start``, if that fails from flat voltages, if that fails from the angles of a DC power flow.

        Args:
            network: buses and admittances.
            injections: specification by bus.
            start: voltages to start from (an earlier solution); flat where missing, low or NaN.
            tolerance: greatest mismatch accepted, per unit.
            max_iterations: Newton steps of one round of limits.
        """
        n = network.bus_count
        voltage = np.zeros(n, dtype=np.complex128)
        holding = ~np.isnan(injections.v_set)
        q_held = np.zeros(n)
        results = []
        for island in self.islands.of(network, np.unique(network.island[holding])):
            work = _Work(network, injections, island)
            result = work.run(start, tolerance, max_iterations)
            results.append(result)
            voltage[island.buses] = work.voltage if result.converged else np.nan
            q_held[island.buses] = work.q_held * BASE_MVA if result.converged else np.nan
            holding[island.buses] = work.holding
        live = np.abs(voltage) > 0
        return Solution(voltage, live, holding, q_held, tuple(results))


def solve(
    network: BusBranch,
    injections: Injections,
    *,
    start: C16 | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 20,
) -> Solution:
    """Solve every island once; see :meth:`PowerFlow.solve`."""
    return PowerFlow().solve(network, injections, start=start, tolerance=tolerance, max_iterations=max_iterations)


class _Work:
    """Newton's iteration on one island, in per unit and in the island's own bus numbers."""

    def __init__(self, network: BusBranch, injections: Injections, island: Island) -> None:
        buses = island.buses
        self.network, self.island = network, island
        self.p = injections.p[buses] / BASE_MVA
        self.q = injections.q[buses] / BASE_MVA
        self.v_set = injections.v_set[buses]
        self.q_min = injections.q_min[buses] / BASE_MVA
        self.q_max = injections.q_max[buses] / BASE_MVA
        self.controlled = ~np.isnan(self.v_set)
        self.holding = self.controlled.copy()
        self.unusable = injections.unusable(buses)
        share, self.reference = injections.shares(buses)
        self.equations = island.equations(network.y_bus, share, self.reference)
        if not self.unusable and not np.isfinite(self.equations.y).all():
            bad = island.of_row[~np.isfinite(self.equations.y)]
            self.unusable = f"an admittance is not a finite number at bus {buses[bad].min()}"
        self.limited_q = np.zeros(len(buses))
        self.q_held = np.zeros(len(buses))
        self.voltage = np.ones(len(buses), dtype=np.complex128)
        self.slack = 0.0
        self.iterations = 0
        self.mismatch = np.inf

    def run(self, start: C16 | None, tolerance: float, max_iterations: int) -> IslandResult:
        """Newton with rounds of reactive limits, from one start after the other."""
        number, reason = self.island.number, self.unusable
        if reason:
            return IslandResult(number, converged=False, iterations=0, mismatch=np.nan, slack_mw=0.0, reason=reason)
        used = ""
        for used, voltage in self._starts(start):
            self.holding = self.controlled.copy()
            self.limited_q[:] = 0.0
            self.slack = 0.0
            self.voltage = voltage
            why = self._rounds(tolerance, max_iterations)
            if not why:
                return IslandResult(number, True, self.iterations, self.mismatch * BASE_MVA, self.slack * BASE_MVA, start=used)
            reason = why
        return IslandResult(number, False, self.iterations, self.mismatch * BASE_MVA, self.slack * BASE_MVA, reason)

    def _starts(self, start: C16 | None) -> Iterator[tuple[str, C16]]:
        warm = None if start is None else self._warm(start[self.island.buses])
        if warm is not None:
            yield "warm", warm
        flat = np.where(self.controlled, self.v_set, 1.0).astype(np.complex128)
        yield "flat", flat.copy()
        turned = angles(self.network, self.island, self.p - self.equations.share * self.p.sum(), self.reference)
        if turned is not None:
            yield "dc", flat * np.exp(1j * turned)

    def _warm(self, start: C16) -> C16 | None:
        usable = np.isfinite(start) & (np.abs(start) > _LEAST_WARM)
        if not usable[self.reference]:
            return None
        turned = start * np.exp(-1j * np.angle(start[self.reference]))
        magnitude = np.where(self.controlled, self.v_set, np.where(usable, np.abs(turned), 1.0))
        return np.asarray(magnitude * np.exp(1j * np.where(usable, np.angle(turned), 0.0)))

    def _rounds(self, tolerance: float, max_iterations: int) -> str:
        for attempt in range(_ROUNDS):
            reason = self._newton(tolerance, max_iterations)
            if reason or not self._limits(release=attempt < _ROUNDS_WITH_RELEASE):
                return reason
        return "reactive limits did not settle"

    def _newton(self, tolerance: float, max_iterations: int) -> str:
        injected = np.empty_like(self.voltage)
        ended, steps, self.mismatch, self.slack = newton(
            self.island.layout,
            self.island.factors,
            self.equations,
            self.p,
            self.q + self.limited_q,
            self.holding,
            self.voltage,
            injected,
            self.slack,
            tolerance,
            max_iterations,
        )
        self.iterations += steps
        match ended:
            case int(code) if code == SOLVED:
                self.q_held = np.where(self.controlled, injected.imag - self.q, 0.0)
                return ""
            case int(code) if code == DIVERGED:
                return "Newton's iteration diverged"
            case int(code) if code == SINGULAR:
                return self._singular()
            case int(code) if code == COLLAPSED:
                return "a voltage collapsed"
        return f"no convergence in {max_iterations} steps, mismatch {self.mismatch * BASE_MVA:.3g} MVA"

    def _singular(self) -> str:
        weak = np.sort(self.island.buses[weak_blocks(self.island.layout, self.island.factors)])
        if not len(weak):
            return "the Jacobian is singular"
        named = ", ".join(map(str, weak[:5].tolist()))
        return f"the Jacobian is singular at bus {named}{' ...' if len(weak) > 5 else ''}"

    def _limits(self, *, release: bool) -> bool:
        """Move buses between PV and PQ; True if any moved. The reference bus, too, loses its voltage at a limit."""
        over = self.holding & (self.q_held > self.q_max + _BEYOND)
        under = self.holding & (self.q_held < self.q_min - _BEYOND)
        at_limit = self.controlled & ~self.holding
        if not (at_limit.any() or over.any() or under.any()):
            return False
        magnitude = np.abs(self.voltage)
        at_max, at_min = at_limit & (self.limited_q >= self.q_max), at_limit & (self.limited_q <= self.q_min)
        back = (at_max & (magnitude > self.v_set + _BEYOND)) | (at_min & (magnitude < self.v_set - _BEYOND))
        if not release:
            back[:] = False
        self.limited_q = np.where(over, self.q_max, np.where(under, self.q_min, np.where(back, 0.0, self.limited_q)))
        self.holding = (self.holding & ~over & ~under) | back
        self.voltage = np.where(back, self.v_set * np.exp(1j * np.angle(self.voltage)), self.voltage)
        return bool((over | under | back).any())


def smallest() -> tuple[BusBranch, Injections]:
    """A network of two buses and one line with nothing on it: what kernels are compiled with."""
    y = np.array([[[10.0, -10.0], [-10.0, 10.0]]]) * -1j
    row = np.zeros(1, np.int64)
    network = BusBranch(np.arange(2), np.ones(2), np.zeros(2, np.int64), row, row + 1, y, np.zeros(2, np.complex128))
    zero = np.zeros(2)
    return network, Injections(zero, zero, np.array([1.0, np.nan]), zero, zero, np.array([1.0, 0.0]))


def warm_up() -> None:
    """Compile the kernels or load them from numba's cache."""
    solve(*smallest())
