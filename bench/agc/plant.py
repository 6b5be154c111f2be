"""Two control areas on one tie line: the frequency dynamics that the AGC under test works against.

Per area, in MW and Hz (deviations from the balanced state)::

    df'   = f0 / (2 H S) (sum(Pm) - PL - Ptie - D df)          inertia H on the base S, damping D in MW/Hz
    u     = reference - dead_band(df) / R                       governor, R in Hz/MW; the reference ramps to the set-point
    Pv'   = (u - Pv) / Tg, |Pv'| <= GRC                         servo, generation rate constraint
    Pm    = Pt + Kr Tr Pt' of  Tr x' = Pt - x,  Tt Pt' = Pv - Pt    steam chest and, with Kr < 1, reheater
    Ptie' = Ts (df1 - df2)                                      synchronising coefficient in MW/(Hz s)

Elgerd, Saadat and Kundur use the same equations, so their published cases check this plant (tests/bench/test_two_areas.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from numba import njit

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class UnitPlant:
    """A unit; MW, seconds, Hz.

    Attributes:
        droop: R in Hz/MW; inf = no governor.
        servo_s, turbine_s: Tg, Tt.
        reheat_s: Tr; 0 = no reheater.
        reheat_share: Kr, part of the power before the reheater.
        ramp: MW/min of the reference.
        rate: generation rate constraint, MW/min.
    """

    droop: float
    servo_s: float
    turbine_s: float
    reheat_s: float = 0.0
    reheat_share: float = 1.0
    ramp: float = math.inf
    rate: float = math.inf


@dataclass(slots=True)
class TwoAreas:
    """State and parameters of both areas; deviations from the balanced state.

    Args:
        inertia: 2 H S / f0 of each area, MW s/Hz.
        damping: D of each area, MW/Hz.
        stiffness: Ts, MW/(Hz s).
        units: units of each area.
        dead_band_hz: half width of the governors' dead band.
        dt: step, s.
    """

    inertia: tuple[float, float]
    damping: tuple[float, float]
    stiffness: float
    units: tuple[tuple[UnitPlant, ...], tuple[UnitPlant, ...]]
    dead_band_hz: float = 0.0
    dt: float = 0.02
    system: Column = field(default_factory=lambda: np.zeros(3))
    """df1, df2, Ptie from area 1 to area 2."""
    parameters: Column = field(init=False)
    states: Column = field(init=False)
    """Rows: set-point, reference, valve, turbine, reheater, power; a column a unit."""

    def __post_init__(self) -> None:
        both = [(area, unit) for area in (0, 1) for unit in self.units[area]]
        rows = [
            (area, 1.0 / u.droop, u.servo_s, u.turbine_s, u.reheat_s, u.reheat_share, u.ramp / 60.0, u.rate / 60.0)
            for area, u in both
        ]
        self.parameters = np.array(rows).T.copy()
        self.states = np.zeros((6, len(both)))

    def advance(self, load: Column) -> None:
        """Go on by one step for each row of ``load`` (MW of both areas, deviations)."""
        system = np.array([*self.inertia, *self.damping, self.stiffness, self.dead_band_hz, self.dt])
        _advance(self.system, self.states, self.parameters, system, load)

    @property
    def powers(self) -> Column:
        """MW of each unit, as a deviation."""
        return self.states[5]


@njit(cache=True, nogil=True)
def _advance(system: Column, states: Column, units: Column, plant: Column, load: Column) -> None:  # pragma: no cover - compiled
    f1, f2, tie = system
    m1, m2, d1, d2, stiffness, dead_band, dt = plant
    count = states.shape[1]
    for step in range(load.shape[0]):
        p1 = p2 = 0.0
        for unit in range(count):
            f = f1 if units[0, unit] == 0.0 else f2
            seen = max(f - dead_band, 0.0) + min(f + dead_band, 0.0)
            ramp, rate = units[6, unit] * dt, units[7, unit]
            states[1, unit] += min(max(states[0, unit] - states[1, unit], -ramp), ramp)
            servo = (states[1, unit] - seen * units[1, unit] - states[2, unit]) / units[2, unit]
            states[2, unit] += dt * min(max(servo, -rate), rate)
            states[3, unit] += dt / units[3, unit] * (states[2, unit] - states[3, unit])
            if units[4, unit] > 0.0:
                states[4, unit] += dt / units[4, unit] * (states[3, unit] - states[4, unit])
                states[5, unit] = units[5, unit] * states[3, unit] + (1.0 - units[5, unit]) * states[4, unit]
            else:
                states[5, unit] = states[3, unit]
            if units[0, unit] == 0.0:
                p1 += states[5, unit]
            else:
                p2 += states[5, unit]
        g1 = f1 + dt / m1 * (p1 - load[step, 0] - tie - d1 * f1)
        g2 = f2 + dt / m2 * (p2 - load[step, 1] + tie - d2 * f2)
        f1, f2 = g1, g2
        tie += dt * stiffness * (f1 - f2)
    system[0], system[1], system[2] = f1, f2, tie
