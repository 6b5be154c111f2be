"""What the performance of regulation is reckoned from: one small record a cycle of AGC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RegulationSample:
    """One cycle of an area; NaN = unknown or not to be used.

    Attributes:
        now_ns: ns UTC.
        ace_mw: area control error, sign of NERC.
        deviation_hz: actual less scheduled frequency.
        scheduled_hz: scheduled frequency.
        inadvertent_mw: net interchange actual less scheduled.
        controlling: AGC is on.
        power_mw: output of each unit, in the model's order.
        setpoint_mw: set-point sent last.
        controlled: True where the unit is under AGC.
    """

    now_ns: int
    ace_mw: float
    deviation_hz: float
    scheduled_hz: float
    inadvertent_mw: float
    controlling: bool
    power_mw: Floats
    setpoint_mw: Floats
    controlled: npt.NDArray[np.bool_]
