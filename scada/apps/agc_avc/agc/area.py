"""One control area: its ACE, whether it may be regulated now, and what it asks of its units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scada.apps.agc_avc.agc.ace import Ace, AceCalculator
from scada.apps.agc_avc.agc.fleet import Reserve
from scada.apps.agc_avc.agc.requirement import RegulationRequirement
from scada.apps.agc_avc.agc.tuning import interchange_ramp, max_deviation, plausible
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements, and_substituted
from scada.apps.agc_avc.performance.cps import PerformanceIndex
from scada.core.agc_settings import AgcSettings
from scada.model_cim.regulation import ControlArea

AgcState = Literal["off", "on", "monitor", "suspended"]


@dataclass(frozen=True, slots=True)
class AreaCycle:
    """What the area found in one cycle.

    Attributes:
        ace: area control error and its inputs.
        deviation_hz: actual less nominal frequency.
        controls: True while the units are under control (state ``on``).
        acts: True if the targets may move in this cycle; False while the last good value of an input stands in.
        change_mw: change of the demand on the regulating units.
    """

    ace: Ace
    deviation_hz: float
    controls: bool
    acts: bool
    change_mw: float


class AreaControl:
    """State of one control area.

    Args:
        area: the area.
        settings: mode, gains, filter, state at start.

    Attributes:
        state: ``off``, ``on`` or ``suspended`` (wanted, but not possible now).
        requirement: filter, PI and zones.
        interchange_target_mw: scheduled net interchange ordered last; it is approached at a ramp.
        notices: what changed, for the event log; the controller takes them each cycle.
    """

    def __init__(self, area: ControlArea, settings: AgcSettings) -> None:
        self.area = area
        self.state: AgcState = settings.start
        self.requirement = RegulationRequirement(area, settings)
        self.interchange_target_mw = area.scheduled_interchange
        self.notices: list[str] = []
        tuning = self._tuning = settings.tuning
        self._ace = AceCalculator(area, settings.mode, tuning.hold_cycles, tuning.frequency_spread_hz)
        self._performance = PerformanceIndex(area.bias, tuning.eps1_hz)
        self._reason = "switched off" if self.state == "off" else "not started yet"
        self._substituted_names = ""
        self._started = False
        self._good_cycles = tuning.resume_cycles
        self._implausible = 0
        self._short_of_reserve = False

    @property
    def mode(self) -> str:
        """Control mode."""
        return self._ace.mode

    @property
    def cps1_percent(self) -> float:
        """CPS1 of the running hour, NaN before its first full minute."""
        return self._performance.cps1_percent

    @property
    def reason(self) -> str:
        """Why it is not regulated, or what it waits for, and what it rests on that operators entered."""
        return and_substituted(self._reason, self._substituted_names)

    def set_state(self, state: str) -> None:
        """Switch on or off. On takes effect at the next cycle, without a bump; off at once.

        Raises:
            RegulationError: not a state.
        """
        match state:
            case "off":
                self._release("switched off")
                self.state = "off"
            case "on":
                if self.state == "off":
                    self._started = False
                    self._good_cycles = self._tuning.resume_cycles
                self.state = "on"
            case _:
                raise RegulationError(f"AGC has no state {state!r}", mend="use on or off")

    def cycle(self, inputs: Measurements, dt: float, now_ns: int) -> AreaCycle:
        """Judge the inputs of this cycle.

        Args:
            inputs: measurements.
            dt: seconds since the last cycle.
            now_ns: ns UTC.
        """
        self._ramp_interchange(dt)
        ace = self._ace.calculate(inputs)
        fault = self._fault(ace)
        deviation = ace.frequency_hz - self.area.nominal_hz
        usable = not ace.faults
        self._performance.sample(ace.ace_mw if usable else math.nan, deviation, now_ns)
        self._judge(fault)
        self._substituted_names = self._substituted(inputs)
        if self.state == "on" and not self._started:
            self.requirement.reset()
            self._started = True
        acts, change = False, 0.0
        if self.state == "on" and ace.held:
            self._reason = f"waiting: last good value of {', '.join(ace.held)}"
        elif self.state == "on":
            self._reason = ""
            acts, change = True, self.requirement.update(ace.ace_mw, deviation, dt)
        elif usable:
            self.requirement.update(ace.ace_mw, deviation, dt)
        return AreaCycle(ace, deviation, self.state == "on", acts, change)

    def _substituted(self, inputs: Measurements) -> str:
        """Which of the values that the ACE rests on an operator entered or blocked."""
        sources = [("frequency", self.area.frequency), *((tie.name, tie.flow) for tie in self.area.ties)]
        return ", ".join(name for name, pids in sources if inputs.rests_on_held(pids))

    def _ramp_interchange(self, dt: float) -> None:
        step = interchange_ramp(self._tuning, self.area) * dt / 60.0 if self.area.units else math.inf
        gap = self.interchange_target_mw - self._ace.scheduled_mw
        self._ace.scheduled_mw += math.copysign(min(abs(gap), step), gap)

    def _fault(self, ace: Ace) -> str:
        """Why control is not possible in this cycle; empty = it is."""
        if ace.faults:
            return "; ".join(ace.faults)
        deviation = ace.frequency_hz - self.area.nominal_hz
        limit = max_deviation(self._tuning, self.area)
        if abs(deviation) > limit:
            return f"frequency {ace.frequency_hz:.3f} Hz is more than {limit:g} Hz from nominal"
        believed = plausible(self._tuning, self.area)
        self._implausible = self._implausible + 1 if not abs(ace.ace_mw) <= believed else 0
        if self._implausible >= self._tuning.implausible_cycles or math.isnan(ace.ace_mw):
            return f"ACE {ace.ace_mw:.0f} MW is larger than the plausible {believed:.0f} MW"
        return ""

    def _judge(self, fault: str) -> None:
        """Suspend at the first fault, resume after some good cycles."""
        if self.state == "off":
            return
        if fault:
            self._good_cycles = 0
            if self.state == "on":
                self.notices.append(f"AGC suspended: {fault}")
                self._release(fault)
                self.state = "suspended"
            self._reason = fault
            return
        self._good_cycles += 1
        if self.state == "suspended" and self._good_cycles >= self._tuning.resume_cycles:
            self.state = "on"
            self.notices.append("AGC resumed")

    def _release(self, reason: str) -> None:
        self._started = False
        self._reason = reason

    def judge_reserve(self, reserve: Reserve) -> None:
        """Say when the reserve falls below what is required."""
        short = reserve.up_mw < self._tuning.reserve_up_mw or reserve.down_mw < self._tuning.reserve_down_mw
        if short and not self._short_of_reserve:
            self.notices.append(f"reserve short: {reserve.up_mw:.0f} MW up, {reserve.down_mw:.0f} MW down")
        self._short_of_reserve = short
