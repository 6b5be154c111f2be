"""AC power flow: Newton's method in polar form, island by island, with reactive limits and a distributed slack.

A bus is PV (a machine holds its voltage), PQ, or dead (its island has no machine that can hold a voltage). The active
power that the specification leaves open, the losses, is shared within each island by participation factors; a single
slack bus is the case of one factor. Where Newton does not converge the island's voltages are NaN and the solution
says so: there is no made-up state.

The linear solver is a function (:data:`Factor`), so that a sparse one can take its place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from scada.apps.network.busbranch import BASE_MVA, C16, F8, I8, BusBranch, Mask

Factor = Callable[[F8], Callable[[F8], F8]]
"""Factors a matrix once; the function it returns solves for one or many right-hand sides."""


def dense_factor(matrix: F8) -> Callable[[F8], F8]:
    """LAPACK solve of a dense matrix; raises ``numpy.linalg.LinAlgError`` if it is singular."""

    def solve(rhs: F8) -> F8:
        return np.asarray(np.linalg.solve(matrix, rhs))

    return solve


@dataclass(frozen=True, eq=False)
class Injections:
    """What is specified at each bus. Powers in MW and Mvar, generation positive.

    Attributes:
        p: active power, machines minus loads.
        q: reactive power of everything that does not hold the voltage (loads negative).
        v_set: voltage to hold, per unit of the bus' nominal kV; NaN where no machine holds it.
        q_min: least reactive power of the machines that hold the voltage.
        q_max: greatest.
        participation: share of each bus in what the island lacks, >= 0; need not be normalised.
    """

    p: F8
    q: F8
    v_set: F8
    q_min: F8
    q_max: F8
    participation: F8


@dataclass(frozen=True, slots=True)
class IslandResult:
    """How the solution of one island went.

    Attributes:
        island: its number in :class:`BusBranch`.
        converged: False = no state is given for its buses.
        iterations: Newton steps over all rounds of limits.
        mismatch: greatest remaining power mismatch, MW or Mvar.
        slack_mw: what the participating buses generate beyond the specification.
        reason: why it did not converge, else empty.
    """

    island: int
    converged: bool
    iterations: int
    mismatch: float
    slack_mw: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class Solution:
    """State of the network.

    Attributes:
        voltage: complex voltage of each bus, per unit; 0 where dead, NaN where the island did not converge.
        live: buses with a voltage.
        holding: buses whose voltage is held at its set value (False once a reactive limit binds).
        q_held: reactive power of the voltage-holding machines at each bus, Mvar.
        islands: one result for each island that has a source of voltage.
    """

    voltage: C16
    live: Mask
    holding: Mask
    q_held: F8
    islands: tuple[IslandResult, ...] = field(default_factory=tuple)

    @property
    def converged(self) -> bool:
        """True if every island with a source has a state."""
        return all(island.converged for island in self.islands)


def solve(
    network: BusBranch,
    injections: Injections,
    *,
    start: C16 | None = None,
    tolerance: float = 1e-6,
    max_iterations: int = 20,
    factor: Factor = dense_factor,
) -> Solution:
    """Solve every island.

    Args:
        network: buses and admittances.
        injections: specification by bus.
        start: voltages to start from (an earlier solution); flat where missing, zero or NaN.
        tolerance: greatest mismatch accepted, per unit.
        max_iterations: Newton steps of one round of limits.
        factor: linear solver.
    """
    n = network.bus_count
    voltage = np.zeros(n, dtype=np.complex128)
    holding = np.isfinite(injections.v_set)
    q_held = np.zeros(n)
    results = []
    for island in np.unique(network.island[holding]):
        buses = np.flatnonzero(network.island == island)
        work = _Island(network, injections, buses, factor)
        result = work.run(start, tolerance, max_iterations, int(island))
        results.append(result)
        voltage[buses] = work.voltage if result.converged else np.nan
        q_held[buses] = work.q_held * BASE_MVA if result.converged else np.nan
        holding[buses] &= work.holding
    live = np.abs(voltage) > 0
    return Solution(voltage, live, holding, q_held, tuple(results))


def jacobian_blocks(y: C16, voltage: C16) -> tuple[C16, C16]:
    """Derivatives of the complex bus injections by angle and by magnitude: ``(dS/dtheta, dS/d|V|)``, dense."""
    current = y @ voltage
    unit = voltage / np.abs(voltage)
    by_angle = -1j * voltage[:, None] * np.conj(y * voltage[None, :])
    by_angle[np.diag_indices(len(voltage))] += 1j * voltage * np.conj(current)
    by_magnitude = voltage[:, None] * np.conj(y * unit[None, :])
    by_magnitude[np.diag_indices(len(voltage))] += np.conj(current) * unit
    return by_angle, by_magnitude


def reduced_jacobian(by_angle: C16, by_magnitude: C16, pq: I8, reference: int, share: F8) -> F8:
    """Newton matrix: rows P of all buses and Q of the PQ buses; columns angles, slack, magnitudes of the PQ buses.

    The column of the reference bus' angle, which is fixed, holds the slack's participation instead.
    """
    p_angle = by_angle.real.copy()
    q_angle = by_angle.imag[pq].copy()
    p_angle[:, reference] = -share
    q_angle[:, reference] = 0.0
    return np.block([[p_angle, by_magnitude.real[:, pq]], [q_angle, by_magnitude.imag[np.ix_(pq, pq)]]])


class _Island:
    """Newton's iteration on one island, in per unit and in the island's own bus numbers."""

    def __init__(self, network: BusBranch, injections: Injections, buses: I8, factor: Factor) -> None:
        self.buses = buses
        self.factor = factor
        self.y = network.y_bus[np.ix_(buses, buses)]
        self.p = injections.p[buses] / BASE_MVA
        self.q = injections.q[buses] / BASE_MVA
        self.v_set = injections.v_set[buses]
        self.q_min = injections.q_min[buses] / BASE_MVA
        self.q_max = injections.q_max[buses] / BASE_MVA
        self.controlled = np.isfinite(self.v_set)
        self.holding = self.controlled.copy()
        share = np.where(injections.participation[buses] > 0, injections.participation[buses], 0.0)
        if not share.any():
            share = self.controlled.astype(float)
        self.share = share / share.sum()
        self.reference = int(np.argmax(np.where(self.controlled, self.share, -1.0)))
        self.limited_q = np.zeros(len(buses))
        self.q_held = np.zeros(len(buses))
        self.voltage = np.ones(len(buses), dtype=np.complex128)
        self.slack = 0.0
        self.iterations = 0
        self.mismatch = np.inf

    def run(self, start: C16 | None, tolerance: float, max_iterations: int, number: int) -> IslandResult:
        """Newton with rounds of reactive limits; a warm start that fails is tried again from a flat one."""
        reason = ""
        starts = [self._flat()] if start is None else [self._warm(start[self.buses]), self._flat()]
        for voltage in starts:
            self.holding = self.controlled.copy()
            self.limited_q[:] = 0.0
            self.slack = 0.0
            self.voltage = voltage
            reason = self._rounds(tolerance, max_iterations)
            if not reason:
                break
        return IslandResult(number, not reason, self.iterations, self.mismatch * BASE_MVA, self.slack * BASE_MVA, reason)

    def _flat(self) -> C16:
        return np.where(self.controlled, self.v_set, 1.0).astype(np.complex128)

    def _warm(self, start: C16) -> C16:
        usable = np.isfinite(start) & (np.abs(start) > 0.5)
        if not usable[self.reference]:
            return self._flat()
        turned = start * np.exp(-1j * np.angle(start[self.reference]))
        magnitude = np.where(self.controlled, self.v_set, np.where(usable, np.abs(turned), 1.0))
        return np.asarray(magnitude * np.exp(1j * np.where(usable, np.angle(turned), 0.0)))

    def _rounds(self, tolerance: float, max_iterations: int) -> str:
        for attempt in range(12):
            reason = self._newton(tolerance, max_iterations)
            if reason or not self._limits(release=attempt < 6):
                return reason
        return "reactive limits did not settle"

    def _newton(self, tolerance: float, max_iterations: int) -> str:
        pq = np.flatnonzero(~self.holding)
        n = len(self.voltage)
        for _ in range(max_iterations + 1):
            injected = self.voltage * np.conj(self.y @ self.voltage)
            dp = self.p + self.share * self.slack - injected.real
            dq = (self.q + self.limited_q - injected.imag)[pq]
            residual = np.concatenate([dp, dq])
            self.mismatch = float(np.abs(residual).max())
            if not np.isfinite(self.mismatch):
                return "Newton's iteration diverged"
            if self.mismatch < tolerance:
                self.q_held = np.where(self.controlled, injected.imag - self.q, 0.0)
                return ""
            matrix = reduced_jacobian(*jacobian_blocks(self.y, self.voltage), pq, self.reference, self.share)
            try:
                step = self.factor(matrix)(residual)
            except np.linalg.LinAlgError:
                return "the Jacobian is singular"
            self.iterations += 1
            self.slack += step[self.reference]
            step[self.reference] = 0.0
            magnitude = np.abs(self.voltage)
            magnitude[pq] += step[n:]
            if (magnitude < 0.1).any():
                return "a voltage collapsed"
            self.voltage = magnitude * np.exp(1j * (np.angle(self.voltage) + step[:n]))
        return f"no convergence in {max_iterations} steps, mismatch {self.mismatch * BASE_MVA:.3g} MVA"

    def _limits(self, *, release: bool) -> bool:
        """Move buses between PV and PQ; True if any moved. The reference bus, too, loses its voltage at a limit."""
        magnitude = np.abs(self.voltage)
        slackness = 1e-6
        over = self.holding & (self.q_held > self.q_max + slackness)
        under = self.holding & (self.q_held < self.q_min - slackness)
        at_max = self.controlled & ~self.holding & (self.limited_q >= self.q_max)
        at_min = self.controlled & ~self.holding & (self.limited_q <= self.q_min)
        back = (at_max & (magnitude > self.v_set + slackness)) | (at_min & (magnitude < self.v_set - slackness))
        if not release:
            back[:] = False
        self.limited_q = np.where(over, self.q_max, np.where(under, self.q_min, np.where(back, 0.0, self.limited_q)))
        self.holding = (self.holding & ~over & ~under) | back
        self.voltage = np.where(back, self.v_set * np.exp(1j * np.angle(self.voltage)), self.voltage)
        return bool((over | under | back).any())
