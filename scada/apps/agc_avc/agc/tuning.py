"""Parameters of AGC and AVC beyond the site's settings. The defaults suit the areas they are derived from."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scada.model_cim.regulation import ControlArea


@dataclass(frozen=True, slots=True)
class AgcTuning:
    """AGC parameters. NaN = derived from the area, as said at each method."""

    hold_cycles: int = 0
    """Cycles for which the last good value of a tie stands in; nothing is sent meanwhile."""
    frequency_spread_hz: float = 0.2
    """Frequency sources that differ by more suspend (two islands)."""
    max_deviation_hz: float = math.nan
    plausible_mw: float = math.nan
    implausible_cycles: int = 3
    """Cycles in a row above ``plausible_mw`` that suspend."""
    resume_cycles: int = 2
    """Good cycles in a row before control resumes after a suspension."""
    assist_mw: float = math.nan
    emergency_mw: float = math.nan
    permissive_mw: float = math.nan
    hysteresis: float = 0.6
    """A zone is left at this part of the edge at which it was entered."""
    washout_s: float = 60.0
    """How long the integral term counts in the requirement."""
    windup_s: float = 30.0
    """The demand may run ahead of the units by what they ramp in this time."""
    max_step_mw: float = math.inf
    """Largest change of one set-point in one cycle."""
    min_interval_s: float = 0.0
    """Shortest time between two set-points to one unit."""
    interchange_ramp_mw_per_min: float = math.nan
    response_cycles: int = 15
    """Cycles in a row without following that take a unit off control."""
    response_band: float = 0.02
    """Part of the unit's maximum by which its output may differ from the set-point and still count as following."""
    refusals: int = 3
    """Set-points refused in a row that take a unit off control."""
    soc_minimum: float = 10.0
    """Lowest state of charge used, %."""
    soc_maximum: float = 90.0
    """Highest state of charge used, %."""
    soc_horizon_h: float = 0.25
    """Time for which a storage must be able to keep its set-point."""
    efficiency: float = 0.95
    """One-way efficiency of storages."""
    reserve_minutes: float = 10.0
    """Ramp time in which reserve counts."""
    reserve_up_mw: float = 0.0
    """Reserve that should be available upwards; less is reported."""
    reserve_down_mw: float = 0.0
    """Reserve that should be available downwards; less is reported."""
    eps1_hz: float = 0.018
    """Target of the interconnection's 1-minute frequency deviation in CPS1 (0.018 Hz is the Eastern Interconnection's)."""

    def max_deviation(self, area: ControlArea) -> float:
        """Frequency deviation above which AGC is suspended, Hz (default 2 % of nominal)."""
        return 0.02 * area.nominal_hz if math.isnan(self.max_deviation_hz) else self.max_deviation_hz

    def plausible(self, area: ControlArea) -> float:
        """Largest ACE believed, MW (default: the sum of the units' maxima, at least 100 dead bands)."""
        if not math.isnan(self.plausible_mw):
            return self.plausible_mw
        return max(sum(unit.maximum for unit in area.units), 100 * area.deadband)

    def assist(self, area: ControlArea) -> float:
        """ACE at which assist units join if it stands alone, MW (default 4 dead bands)."""
        return 4 * area.deadband if math.isnan(self.assist_mw) else self.assist_mw

    def emergency(self, area: ControlArea) -> float:
        """ACE at which emergency units join if it stands alone, MW (default 12 dead bands)."""
        return 12 * area.deadband if math.isnan(self.emergency_mw) else self.emergency_mw

    def permissive(self, area: ControlArea) -> float:
        """ACE below which an error that helps the frequency is left alone, MW (default the dead band)."""
        return area.deadband if math.isnan(self.permissive_mw) else self.permissive_mw

    def interchange_ramp(self, area: ControlArea) -> float:
        """MW/min at which a new scheduled interchange is approached (default half of what the units ramp together)."""
        if not math.isnan(self.interchange_ramp_mw_per_min):
            return self.interchange_ramp_mw_per_min
        return 0.5 * sum(min(unit.ramp_up, unit.ramp_down) for unit in area.units)
