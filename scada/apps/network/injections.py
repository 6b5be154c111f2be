"""What a power flow is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from scada.apps.network.busbranch import C16, F8, I8, Mask


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

    def shares(self, buses: I8) -> tuple[F8, int]:
        """Share of each bus of an island in its slack (sum 1), and its reference: of those that hold a voltage the greatest."""
        participation, controlled = self.participation[buses], ~np.isnan(self.v_set[buses])
        share = np.where((participation > 0) & np.isfinite(participation), participation, 0.0)
        if not share.any():
            share = controlled.astype(np.float64)
        share = share / share.sum()
        return share, int(np.argmax(np.where(controlled, share, -1.0)))

    def unusable(self, buses: I8) -> str:
        """What cannot be used of the specification of these buses, and where; empty = all can."""
        v_set, held = self.v_set[buses], ~np.isnan(self.v_set[buses])
        for what, bad in (
            ("the injected power is not a finite number", ~(np.isfinite(self.p[buses]) & np.isfinite(self.q[buses]))),
            ("the voltage to hold is not a positive number", held & ~(np.isfinite(v_set) & (v_set > 0))),
            ("the share in the slack is not finite", np.isinf(self.participation[buses])),
            ("the reactive limits are reversed or not numbers", held & ~(self.q_min[buses] <= self.q_max[buses])),
        ):
            if bad.any():
                return f"{what} at bus {buses[bad].min()}"
        return ""


@dataclass(frozen=True, slots=True)
class IslandResult:
    """How the solution of one island went.

    Attributes:
        island: its number in :class:`BusBranch`.
        converged: False = no state is given for its buses.
        iterations: Newton steps over all starts and rounds of limits.
        mismatch: greatest remaining power mismatch, MW or Mvar.
        slack_mw: what the participating buses generate beyond the specification.
        reason: why it did not converge, else empty.
        start: what it was solved from: ``warm``, ``flat`` or ``dc``; empty = not at all.
    """

    island: int
    converged: bool
    iterations: int
    mismatch: float
    slack_mw: float
    reason: str = ""
    start: str = ""


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
