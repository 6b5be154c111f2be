"""The account of one control area: samples in, what ended with them out. It keeps only what is not yet closed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from scada.apps.agc_avc.performance.balancing import a2_limit
from scada.apps.agc_avc.performance.cps import l10
from scada.apps.agc_avc.performance.disturbance import Disturbance, DisturbanceWatch
from scada.apps.agc_avc.performance.following import CommandMeasure, CommandTracker
from scada.apps.agc_avc.performance.hours import HourScore, HourScores
from scada.apps.agc_avc.performance.minutes import AreaMinutes, AreaStandards, Rows, UnitMinutes
from scada.apps.agc_avc.performance.rules import RuleProfile
from scada.apps.agc_avc.performance.sample import RegulationSample
from scada.core.performance_settings import PerformanceSettings
from scada.model_cim.regulation import AgcUnit, ControlArea

_LAYOUT: Final = 1
"""Of the exported state; a higher one where its parts change."""


@dataclass(frozen=True, slots=True)
class Closed:
    """What came to its end with a sample.

    Attributes:
        area: the minute of the area, None = none ended.
        units: the minute of its units.
        commands: (number of the unit, its command).
        disturbances: those whose 15 minutes are over.
        scores: PJM scores of an hour.
    """

    area: Rows | None
    units: Rows | None
    commands: tuple[tuple[int, CommandMeasure], ...]
    disturbances: tuple[Disturbance, ...]
    scores: tuple[HourScore, ...]

    @property
    def anything(self) -> bool:
        """Whether there is something to keep."""
        return self.area is not None or bool(self.commands or self.disturbances or self.scores)


def standards_of(
    area: ControlArea, settings: PerformanceSettings, eps1_hz: float, eps10_hz: float, cycle_s: float
) -> AreaStandards:
    """By what an area is judged: the model's bias, the targets of the interconnection, the limits of the configuration."""
    ld = settings.a2_limit_mw
    if ld is None:
        ld = math.nan if settings.load_change_mw is None else a2_limit(settings.load_change_mw)
    return AreaStandards(area.bias, eps1_hz, l10(eps10_hz, area.bias, area.bias_sum), ld, cycle_s)


def rated_mw(unit: AgcUnit) -> float:
    """Rated power: the unit's maximum."""
    return unit.maximum


class PerformanceAccount:
    """Everything of one area that runs.

    Args:
        area: of the model.
        numbers: number of each of its units in the store.
        standards: by what it is judged.
        profile: how commands are measured.
        loss_mw: smallest sudden loss that is a disturbance; 0 = none is looked for.
    """

    def __init__(
        self, area: ControlArea, numbers: Sequence[int], standards: AreaStandards, profile: RuleProfile, loss_mw: float = 0.0
    ) -> None:
        units = area.units
        columns = np.array(numbers, dtype=np.uint32)
        self._numbers = tuple(numbers)
        self._area = AreaMinutes(standards)
        self._units = UnitMinutes(columns, standards.due)
        self._hours = HourScores(columns, np.array([unit.maximum - unit.minimum for unit in units], dtype=np.float64))
        self._trackers = [
            CommandTracker(profile.measure.of(rated_mw(unit)), [zone[:2] for zone in unit.forbidden]) for unit in units
        ]
        self.watch = DisturbanceWatch([unit.name for unit in units], loss_mw, standards.cycle_s)

    def sample(self, sample: RegulationSample) -> Closed:
        """Take one cycle."""
        commands = []
        power, setpoint, controlled = sample.power_mw.tolist(), sample.setpoint_mw.tolist(), sample.controlled.tolist()
        for index, tracker in enumerate(self._trackers):
            ended = tracker.sample(sample.now_ns, power[index], setpoint[index], controlled=controlled[index])
            if ended is not None:
                commands.append((self._numbers[index], ended))
        return Closed(
            self._area.sample(sample),
            self._units.sample(sample),
            tuple(commands),
            tuple(self.watch.sample(sample.now_ns, sample.ace_mw, sample.power_mw, sample.setpoint_mw)),
            tuple(self._hours.sample(sample)),
        )

    def state(self, *, hours: bool = True) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`.

        Args:
            hours: with the 10-s samples of the last 65 minutes, which are large.
        """
        trackers = {str(number): one.state() for number, one in zip(self._numbers, self._trackers, strict=True)}
        state = {
            "layout": _LAYOUT,
            "area": self._area.state(),
            "units": self._units.state(),
            "watch": self.watch.state(),
            "trackers": trackers,
        }
        return {**state, "hours": self._hours.state()} if hours else state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state; what belonged to units that are gone is left, and so is a state of another layout."""
        if state.get("layout") != _LAYOUT:
            return
        self._area.restore(state["area"])
        self._units.restore(state["units"])
        self.watch.restore(state["watch"])
        for number, tracker in zip(self._numbers, self._trackers, strict=True):
            if str(number) in state["trackers"]:
                tracker.restore(state["trackers"][str(number)])
        if "hours" in state:
            self._hours.restore(state["hours"])
