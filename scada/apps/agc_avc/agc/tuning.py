"""What the AGC parameters derive from the control area where the configuration leaves them out."""

from __future__ import annotations

import math

from scada.core.agc_settings import AgcTuning
from scada.model_cim.regulation import ControlArea


def max_deviation(tuning: AgcTuning, area: ControlArea) -> float:
    """Frequency deviation above which AGC is suspended, Hz (default 2 % of nominal)."""
    return 0.02 * area.nominal_hz if tuning.max_deviation_hz is None else tuning.max_deviation_hz


def plausible(tuning: AgcTuning, area: ControlArea) -> float:
    """Largest ACE and requirement believed, MW (default: the sum of the units' maxima, at least 100 dead bands)."""
    if tuning.plausible_mw is not None:
        return tuning.plausible_mw
    return max(math.fsum(unit.maximum for unit in area.units if math.isfinite(unit.maximum)), 100 * area.deadband)


def mismatch(tuning: AgcTuning, area: ControlArea) -> float:
    """Largest difference of the sum of ties and the independent meter, MW (default 3 dead bands)."""
    return 3 * area.deadband if tuning.mismatch_mw is None else tuning.mismatch_mw


def meter_error_limit(tuning: AgcTuning, area: ControlArea) -> float:
    """Largest meter error that is estimated, MW (default 2 dead bands)."""
    return 2 * area.deadband if tuning.meter_error_limit_mw is None else tuning.meter_error_limit_mw


def payback_limit(tuning: AgcTuning, area: ControlArea) -> float:
    """Largest payback of inadvertent interchange, MW (default 0.2 |B| with B in MW/0.1 Hz: BAL-004-WECC, Lmax [K])."""
    return 0.2 * abs(area.bias) if tuning.payback_limit_mw is None else tuning.payback_limit_mw


def assist(tuning: AgcTuning, area: ControlArea) -> float:
    """ACE at which assist units join if it stands alone, MW (default 4 dead bands)."""
    return 4 * area.deadband if tuning.assist_mw is None else tuning.assist_mw


def emergency(tuning: AgcTuning, area: ControlArea) -> float:
    """ACE at which emergency units join if it stands alone, MW (default 12 dead bands)."""
    return 12 * area.deadband if tuning.emergency_mw is None else tuning.emergency_mw


def permissive(tuning: AgcTuning, area: ControlArea) -> float:
    """ACE below which an error that helps the frequency is not chased, MW.

    Default ``L10 = 1.65 eps10 sqrt((10 B)(10 Bs))`` [K] where the model knows the interconnection's bias, else the dead band.
    """
    if tuning.permissive_mw is not None:
        return tuning.permissive_mw
    product = 100.0 * area.bias * area.bias_sum
    return 1.65 * tuning.eps10_hz * math.sqrt(product) if product > 0 else area.deadband


def interchange_ramp(tuning: AgcTuning, area: ControlArea) -> float:
    """MW/min at which a new scheduled interchange is approached (default half of what the units ramp together)."""
    if tuning.interchange_ramp_mw_per_min is not None:
        return tuning.interchange_ramp_mw_per_min
    rates = (min(unit.ramp_up, unit.ramp_down) for unit in area.units)
    together = 0.5 * math.fsum(rate for rate in rates if math.isfinite(rate) and rate > 0)
    return together if together > 0 else math.inf
