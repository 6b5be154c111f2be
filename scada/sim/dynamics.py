"""Frequency dynamics of interconnected areas: swing equation, governors, turbines, tie power (Elgerd; Kundur, chapter 11).

For each synchronous group ``i`` (an area, or a part of one that was split off), in MW, Hz and seconds::

    df_i'  = f0 / (2 W_i) (sum Pm - PL_i - sum_j F_ij - D_i df_i)       W = sum of H S of the machines on line, MWs
    P_ij'  = T_ij (df_i - df_j)                                         T in MW/(Hz s), 2 pi times MW/rad
    F_ij   = P_ij + K_ij (df_i - df_j)                                  tie flow; K the damper windings' torque, MW/Hz
    gate'  = (u - deadband(df) P_r / (R f0) - gate) / Tg                u the set-point after its ramp, within limits
    pt'    = (gate - pt) / Tt
    pr'    = (pt - pr) / Tr,  Pm = Kr pt + (1 - Kr) pr                  reheat (1 + Kr Tr s)/(1 + Tr s); Kr = 1 without

Inverter plants have no inertia and no droop and follow their set-point with the same two lags, within the power available. The
equations are integrated by the classical Runge-Kutta rule at a fixed step, so that a run with the same inputs repeats to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class UnitTable:
    """Parameters of the units, one entry each.

    Attributes:
        rated_mw: base of the droop.
        p_max: greatest output, MW.
        p_min: least output the governor lets through, MW (negative for storage).
        inertia_mws: H times rated MVA; 0 for inverters.
        droop: per unit frequency for per unit power; ``inf`` = none.
        governor_s: Tg.
        turbine_s: Tt.
        reheat_share: Kr, 1 = no reheater.
        reheat_s: Tr.
        ramp_mw_s: rate of the set-point, MW/s.
        deadband_hz: half width of the governor's dead band.
    """

    rated_mw: F8
    p_max: F8
    p_min: F8
    inertia_mws: F8
    droop: F8
    governor_s: F8
    turbine_s: F8
    reheat_share: F8
    reheat_s: F8
    ramp_mw_s: F8
    deadband_hz: F8


class FrequencyDynamics:
    """State and equations of all groups and units; the plant sets the inputs, :meth:`advance` moves time.

    Inputs: ``target`` (set-point each unit heads for, MW), ``available`` and ``floor`` (bounds by weather or stored energy),
    ``online``, ``group`` (of each unit), ``load_mw`` (load and losses of each group at nominal frequency), ``damping``
    (MW/Hz), ``stiffness`` (T, symmetric), ``damper`` (K, symmetric; 0 in the published cases). State: ``deviation_hz``,
    ``tie_mw`` (P, antisymmetric, export of row to column positive), ``setpoint``, ``gate``, ``turbine``, ``reheat``.

    Args:
        units: parameters.
        output: initial output of each unit, MW; every unit starts in equilibrium.
        group: group of each unit.
        groups: number of groups.
        nominal_hz: f0.
        step_s: integration step.
    """

    def __init__(
        self, units: UnitTable, output: F8, group: I8, groups: int, *, nominal_hz: float = 50.0, step_s: float = 0.05
    ) -> None:
        self.units = units
        self.nominal_hz = nominal_hz
        self.step_s = step_s
        self.target = output.copy()
        self.setpoint = output.copy()
        self.gate, self.turbine, self.reheat = output.copy(), output.copy(), output.copy()
        self.available = np.full(len(output), np.inf)
        self.floor = units.p_min.copy()
        self.online = np.ones(len(output), dtype=bool)
        self._gain = units.rated_mw / (units.droop * nominal_hz)
        self.regroup(group, groups, np.zeros(groups))

    def regroup(self, group: I8, groups: int, deviation_hz: F8) -> None:
        """Change the groups, when switching split or joined islands; loads, damping, stiffness and tie powers start at 0."""
        self.group = group
        self.deviation_hz = deviation_hz
        self.tie_mw = np.zeros((groups, groups))
        self.load_mw = np.zeros(groups)
        self.damping = np.zeros(groups)
        self.stiffness = np.zeros((groups, groups))
        self.damper = np.zeros((groups, groups))
        self._member = (np.arange(groups)[:, None] == group[None, :]).astype(float)

    @property
    def power(self) -> F8:
        """Mechanical power of each unit, MW; 0 off line."""
        share = self.units.reheat_share
        return np.asarray(np.where(self.online, share * self.turbine + (1.0 - share) * self.reheat, 0.0))

    @property
    def stored_mws(self) -> F8:
        """W of each group: kinetic energy of its machines on line at nominal frequency, MWs."""
        return np.asarray(self._member @ (self.units.inertia_mws * self.online))

    @property
    def flow_mw(self) -> F8:
        """Tie flow from row to column, MW."""
        return self._flow(self.deviation_hz, self.tie_mw)

    def accelerating_mw(self) -> F8:
        """Power that speeds each group up: mechanical minus load, damping and export."""
        balance = self._member @ self.power - self.load_mw - self.flow_mw.sum(axis=1)
        return np.asarray(balance - self.damping * self.deviation_hz)

    def stop(self, unit: int) -> None:
        """Take a unit off line: its output is 0 at once and stays there until :meth:`start`."""
        self.online[unit] = False
        for state in (self.setpoint, self.gate, self.turbine, self.reheat):
            state[unit] = 0.0

    def start(self, unit: int) -> None:
        """Synchronise a unit at no load; it takes up its target by its ramp."""
        self.online[unit] = True

    def advance(self, seconds: float) -> None:
        """Integrate over ``seconds`` (rounded to whole steps)."""
        stored = self.stored_mws
        spinning = stored > 0
        swing = np.where(spinning, self.nominal_hz / (2.0 * np.where(spinning, stored, 1.0)), 0.0)
        for _ in range(round(seconds / self.step_s)):
            self._follow_target()
            self._runge_kutta(swing)

    def _follow_target(self) -> None:
        most = self.units.ramp_mw_s * self.step_s
        step = np.clip(self.target - self.setpoint, -most, most)
        self.setpoint = np.where(self.online, self.setpoint + step, 0.0)

    def _runge_kutta(self, swing: F8) -> None:
        h = self.step_s
        state = (self.deviation_hz, self.tie_mw, self.gate, self.turbine, self.reheat)
        k1 = self._rates(state, swing)
        k2 = self._rates(_moved(state, k1, h / 2), swing)
        k3 = self._rates(_moved(state, k2, h / 2), swing)
        k4 = self._rates(_moved(state, k3, h), swing)
        self.deviation_hz, self.tie_mw, self.gate, self.turbine, self.reheat = (
            x + h / 6 * (a + 2 * b + 2 * c + d) for x, a, b, c, d in zip(state, k1, k2, k3, k4, strict=True)
        )

    def _flow(self, deviation: F8, tie: F8) -> F8:
        return np.asarray(tie + self.damper * (deviation[:, None] - deviation[None, :]))

    def _rates(self, state: tuple[F8, ...], swing: F8) -> tuple[F8, ...]:
        deviation, tie, gate, turbine, reheat = state
        units = self.units
        own = deviation[self.group]
        felt = own - np.clip(own, -units.deadband_hz, units.deadband_hz)
        upper = np.minimum(units.p_max, self.available)
        wanted = np.minimum(np.maximum(self.setpoint - felt * self._gain, self.floor), upper)
        mechanical = np.where(self.online, units.reheat_share * turbine + (1.0 - units.reheat_share) * reheat, 0.0)
        balance = self._member @ mechanical - self.load_mw - self._flow(deviation, tie).sum(axis=1) - self.damping * deviation
        return (
            swing * balance,
            self.stiffness * (deviation[:, None] - deviation[None, :]),
            np.where(self.online, (wanted - gate) / units.governor_s, 0.0),
            np.where(self.online, (gate - turbine) / units.turbine_s, 0.0),
            np.where(self.online, (turbine - reheat) / units.reheat_s, 0.0),
        )


def _moved(state: tuple[F8, ...], rates: tuple[F8, ...], h: float) -> tuple[F8, ...]:
    return tuple(x + h * rate for x, rate in zip(state, rates, strict=True))
