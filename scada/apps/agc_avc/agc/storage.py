"""Storage under AGC: what it can give and take for how long, how much it takes part, how it comes back to its reference.

Powers are positive when the storage discharges; states of charge are in %.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.core.ids import PointId
from scada.model_cim.regulation import AgcUnit


@dataclass(frozen=True, slots=True)
class StorageLimits:
    """Bounds of one storage and how far ahead it looks.

    Attributes:
        energy_mwh: energy between 0 and 100 %.
        minimum, maximum: range of the state of charge that is used, %.
        reference: where it is brought back to, %.
        efficiency: one way, per unit.
        horizon_h: time for which it must be able to keep what it is told.
    """

    energy_mwh: float
    minimum: float
    maximum: float
    reference: float
    efficiency: float
    horizon_h: float

    @classmethod
    def of(cls, unit: AgcUnit, energy_mwh: float, tuning: AgcTuning) -> StorageLimits:
        """What the model gives for a unit, else what the settings say; the reference is the middle unless given.

        A range that the model gives reversed or outside 0..100 % is replaced by that of the settings.
        """
        low = unit.soc_minimum if math.isfinite(unit.soc_minimum) else tuning.soc_minimum
        high = unit.soc_maximum if math.isfinite(unit.soc_maximum) else tuning.soc_maximum
        if not 0.0 <= low < high <= 100.0:
            low, high = tuning.soc_minimum, tuning.soc_maximum
        reference = unit.soc_reference if math.isfinite(unit.soc_reference) else (low + high) / 2
        efficiency = unit.efficiency if 0.0 < unit.efficiency <= 1.0 else tuning.efficiency
        return cls(energy_mwh, low, high, min(max(reference, low), high), efficiency, tuning.soc_horizon_h)

    def usable(self, charge: float) -> tuple[float, float]:
        """(least, greatest) power that can be kept for the horizon ``h``.

        ``Pdis = (SOC - SOCmin) E eta / h``, ``Pch = (SOCmax - SOC) E / (eta h)``.

        >>> StorageLimits(energy_mwh=60, minimum=10, maximum=90, reference=50, efficiency=1.0, horizon_h=0.5).usable(30)
        (-72.0, 24.0)
        """
        mw_per_percent = self.energy_mwh / 100 / self.horizon_h
        discharge = max(0.0, charge - self.minimum) * mw_per_percent * self.efficiency
        take_up = max(0.0, self.maximum - charge) * mw_per_percent / self.efficiency
        return -take_up, discharge

    def headroom(self, charge: float, direction: float) -> float:
        """Part of its participation that a storage keeps, 0..1: full up to the reference, then less, nothing at the bound.

        Args:
            charge: state of charge, %.
            direction: > 0 if more generation is asked for.
        """
        if direction > 0:
            span, left = self.reference - self.minimum, charge - self.minimum
        else:
            span, left = self.maximum - self.reference, self.maximum - charge
        if span <= 0:
            return 1.0 if left > 0 else 0.0
        return min(max(left / span, 0.0), 1.0)

    def pull(self, charge: float, per_hour: float, greatest_mw: float) -> float:
        """Base point that brings the state of charge back: ``k E (SOC - SOCref)``, MW, within ``greatest_mw`` both ways.

        Used while regulation rests only: as a base point, so that the other units pay it and the sum stays.
        """
        wanted = per_hour * self.energy_mwh * (charge - self.reference) / 100
        return min(max(wanted, -greatest_mw), greatest_mw)


_FULL = 101.0
"""Largest state of charge believed, %: above it the measurement is wrong, not the storage."""


def state_of_charge(inputs: Measurements, point: PointId | None) -> float:
    """Measured state of charge, %; NaN = none, not good or not possible."""
    charge = inputs.read(point)
    return math.nan if charge is None or not 0.0 <= charge <= _FULL else charge


class FrequencySplit:
    """Parts what is asked into a slow share (conventional units) and a fast one (storage); their sum is what is asked, always.

    The slow share is the first-order low-pass of what is asked. As long as what is asked stands still the fast share decays to 0,
    so that a storage is not emptied by an error that lasts.

    Args:
        time_constant_s: of the low-pass; 0 or less = everything is slow.

    Attributes:
        slow: share of the conventional units, NaN before the first update.
        fast: share of the storage.
    """

    def __init__(self, time_constant_s: float) -> None:
        self._time_constant_s = time_constant_s
        self.reset()

    def reset(self) -> None:
        """Forget the past: what is asked first is all slow."""
        self.slow, self.fast = math.nan, 0.0

    def update(self, asked: float, dt: float) -> tuple[float, float]:
        """(slow, fast) share of ``asked``.

        Args:
            asked: MW, finite.
            dt: seconds since the last update.
        """
        if math.isnan(self.slow) or self._time_constant_s <= 0:
            self.slow = asked
        else:
            self.slow += -math.expm1(-max(dt, 0.0) / self._time_constant_s) * (asked - self.slow)
        self.fast = asked - self.slow
        return self.slow, self.fast

    def shift(self, mw: float) -> None:
        """Who joins or leaves brings or takes what it generates: no error, so nothing for the storage to answer."""
        self.slow += mw

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        return {"slow": self.slow, "fast": self.fast}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.slow, self.fast = float(state["slow"]), float(state["fast"])
