"""What the performance of regulation is reckoned from: one small record a cycle of AGC."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class SampledUnit(Protocol):
    """What is taken of each unit; ``UnitDecision`` has it."""

    @property
    def power_mw(self) -> float:
        """Output, NaN = unknown."""
        ...

    @property
    def setpoint_mw(self) -> float:
        """Set-point sent last, NaN = none."""
        ...

    @property
    def available(self) -> bool:
        """Under AGC now."""
        ...


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

    @classmethod
    def of(
        cls,
        units: Sequence[SampledUnit],
        *,
        now_ns: int,
        ace_mw: float,
        deviation_hz: float,
        scheduled_hz: float,
        inadvertent_mw: float = math.nan,
        controlling: bool,
    ) -> RegulationSample:
        """From the units of a decision and what the area found."""
        count = len(units)
        return cls(
            now_ns,
            ace_mw,
            deviation_hz,
            scheduled_hz,
            inadvertent_mw,
            controlling,
            np.fromiter((unit.power_mw for unit in units), np.float64, count),
            np.fromiter((unit.setpoint_mw for unit in units), np.float64, count),
            np.fromiter((unit.available for unit in units), np.bool_, count),
        )
