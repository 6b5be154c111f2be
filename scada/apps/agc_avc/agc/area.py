"""One control area: its ACE, whether it may be regulated now, and what it asks of its units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from scada.apps.agc_avc.agc.ace import Ace, AceCalculator
from scada.apps.agc_avc.agc.requirement import RegulationRequirement
from scada.apps.agc_avc.agc.reserve import Reserve, ReserveMonitor, ReserveStatus
from scada.apps.agc_avc.agc.sources import Reading
from scada.apps.agc_avc.agc.suspension import SUSPENDING, Cause, Conditions, Fault
from scada.apps.agc_avc.agc.tuning import interchange_ramp, max_deviation, plausible
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.explanation import Term
from scada.apps.agc_avc.inputs import Measurements, and_substituted
from scada.apps.agc_avc.performance.cps import PerformanceIndex
from scada.core.agc_settings import AgcSettings
from scada.model_cim.regulation import ControlArea

AgcState = Literal["off", "on", "monitor", "suspended"]
Wanted = Literal["off", "on", "monitor"]


@dataclass(frozen=True, slots=True)
class AreaCycle:
    """What the area found in one cycle.

    Attributes:
        ace: area control error and its inputs.
        deviation_hz: actual less nominal frequency.
        controls: True while the units are computed (state ``on`` or ``monitor``).
        acts: True if the targets may move in this cycle; False while an input is held at its last good value or in doubt.
        sends: True if set-points are sent (state ``on``); False in ``monitor``: advice only.
        change_mw: change of the demand on the regulating units.
    """

    ace: Ace
    deviation_hz: float
    controls: bool
    acts: bool
    sends: bool
    change_mw: float


class AreaControl:
    """State of one control area.

    Args:
        area: the area.
        settings: mode, gains, filter, state at start, tuning.

    Attributes:
        wanted: what the operator ordered: ``on``, ``monitor`` or ``off``.
        regime: the same, or ``suspended``: wanted, but not possible now.
        requirement: filter, PI and zones.
        reserves: spinning and regulating reserve of the last cycle against its requirement.
        without_ace_s: seconds since the last usable ACE.
        interchange_target_mw: scheduled net interchange ordered last; it is approached at a ramp.
        notices: what changed, for the event log; the controller takes them each cycle.
    """

    def __init__(self, area: ControlArea, settings: AgcSettings) -> None:
        self.area = area
        self.wanted: Wanted = settings.start
        self.regime: AgcState = settings.start
        self.requirement = RegulationRequirement(area, settings)
        self.reserves: tuple[ReserveStatus, ...] = ()
        self.without_ace_s = 0.0
        self.interchange_target_mw = area.scheduled_interchange
        self.notices: list[str] = []
        tuning = self._tuning = settings.tuning
        self._ace = AceCalculator(area, settings.mode, tuning)
        if lack := self._ace.lacks(settings.mode):
            self.notices.append(f"{lack}: {self._ace.mode} instead")
        self._performance = PerformanceIndex(area.bias, tuning.eps1_hz, settings.cycle_s)
        self._conditions = Conditions()
        self._monitor = ReserveMonitor(tuning)
        self._pids = [int(pid) for pid in area.points]
        self._late_s = 10 * settings.cycle_s if tuning.late_s is None else tuning.late_s
        self._reason = "switched off" if self.regime == "off" else "not started yet"
        self._substituted_names = ""
        self._started = False
        self._good_cycles = tuning.resume_cycles
        self._implausible = 0
        self._last: AreaCycle | None = None

    # ------------------------------------------------------------ what is told

    @property
    def mode(self) -> str:
        """Control mode."""
        return self._ace.mode

    @property
    def cps1_percent(self) -> float:
        """CPS1 of the running hour, NaN before its first full minute."""
        return self._performance.cps1_percent

    @property
    def accounts(self) -> AceCalculator:
        """The ACE with its accounts of time error, inadvertent interchange and meter error."""
        return self._ace

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What suspends AGC or is an alarm, each with its count."""
        return self._conditions.all

    @property
    def reason(self) -> str:
        """Why it is not regulated, or what it waits for, and what it rests on that operators entered."""
        return and_substituted(self._reason, self._substituted_names)

    # ------------------------------------------------------------ orders

    def set_state(self, state: str) -> None:
        """Switch on, to monitor or off. On and monitor take effect at the next cycle, without a bump; off at once.

        While suspended it stays so until the cause has gone; then it goes on with what is wanted.

        Raises:
            RegulationError: not a state.
        """
        match state:
            case "off":
                self._release("switched off")
                self.wanted = self.regime = "off"
            case "on" | "monitor":
                if self.regime == "off":
                    self._good_cycles = self._tuning.resume_cycles
                if self.wanted != state:
                    self._started = False
                self.wanted = state
                if self.regime != "suspended":
                    self.regime = state
            case _:
                raise RegulationError(f"AGC has no state {state!r}", mend="use on, monitor or off")

    def set_control_mode(self, mode: str) -> None:
        """Form the ACE in another way from the next cycle on. The step that the ACE makes by it asks for no step of the units.

        Raises:
            RegulationError: no such mode, or the area lacks what it needs.
        """
        before = self._ace.mode
        self._ace.set_mode(mode)
        if mode != before:
            self.requirement.rebase()

    # ------------------------------------------------------------ the cycle

    def cycle(self, inputs: Measurements, dt: float, now_ns: int, elapsed: float | None = None) -> AreaCycle:
        """Judge the inputs of this cycle.

        Args:
            inputs: measurements.
            dt: seconds to count for it.
            now_ns: ns UTC.
            elapsed: seconds since the last cycle, however long; None = as ``dt``.
        """
        elapsed = dt if elapsed is None else elapsed
        self._ramp_interchange(dt)
        ace = self._ace.calculate(inputs, dt, now_ns)
        faults = self._faults(ace, inputs, elapsed)
        usable = not ace.faults
        self.without_ace_s = 0.0 if usable else self.without_ace_s + elapsed
        self._judge(faults)
        self._count(faults, ace, now_ns)
        self._substituted_names = ", ".join(one.name for one in ace.readings if one.state == "substituted")
        deviation = ace.frequency_hz - ace.scheduled_hz
        self._performance.sample(ace.ace_mw if usable else math.nan, deviation, now_ns)
        controls, acts, change = self.regime in {"on", "monitor"}, False, 0.0
        if controls and not self._started:
            self.requirement.reset()
            self._started = True
        elif ace.corrected:
            self.requirement.rebase()
        if controls and (doubt := self._doubt(ace)):
            self._reason = f"waiting: {doubt}"
        elif controls:
            self._reason = ""
            acts, change = True, self.requirement.update(ace.ace_mw, deviation, dt, now_ns)
        elif usable:
            self.requirement.watch(ace.ace_mw, deviation, dt)
        self._last = AreaCycle(ace, ace.frequency_hz - self.area.nominal_hz, controls, acts, self.regime == "on", change)
        return self._last

    def _ramp_interchange(self, dt: float) -> None:
        rate = interchange_ramp(self._tuning, self.area)
        step = rate * dt / 60.0 if math.isfinite(rate) else math.inf
        gap = self.interchange_target_mw - self._ace.scheduled_mw
        self._ace.scheduled_mw += math.copysign(min(abs(gap), step), gap)

    def _faults(self, ace: Ace, inputs: Measurements, elapsed: float) -> list[Fault]:
        """What makes control impossible in this cycle, the gravest first."""
        faults = list(ace.faults)
        if self._pids and all(inputs.read(pid) is None for pid in self._pids):
            faults.insert(0, Fault("front_end_lost", "no input of the area is good: its front end is lost"))
        if elapsed > self._late_s:
            faults.append(Fault("cycle_late", f"no cycle for {elapsed:.0f} s"))
        deviation, limit = ace.frequency_hz - self.area.nominal_hz, max_deviation(self._tuning, self.area)
        if abs(deviation) > limit:
            faults.append(
                Fault("frequency_deviation", f"frequency {ace.frequency_hz:.3f} Hz is more than {limit:g} Hz from nominal")
            )
        believed = plausible(self._tuning, self.area)
        self._implausible = self._implausible + 1 if abs(ace.ace_mw) > believed else 0
        if self._implausible >= self._tuning.implausible_cycles:
            faults.append(Fault("ace_implausible", f"ACE {ace.ace_mw:.0f} MW is larger than the plausible {believed:.0f} MW"))
        return sorted(faults, key=lambda fault: SUSPENDING.index(fault.key))

    def _doubt(self, ace: Ace) -> str:
        """Why nothing may move in this cycle although control goes on; empty = it may."""
        if ace.held:
            return f"last good value of {', '.join(ace.held)}"
        if self._implausible:
            return f"ACE {ace.ace_mw:.0f} MW is hardly plausible"
        return ace.doubt

    def _judge(self, faults: Sequence[Fault]) -> None:
        """Suspend, or resume after enough good cycles."""
        if self.wanted == "off":
            return
        if faults:
            text = "; ".join(fault.text for fault in faults)
            self._good_cycles = 0
            if self.regime != "suspended":
                self.notices.append(f"AGC suspended: {text}")
                self._release(text)
                self.regime = "suspended"
            self._reason = text
            return
        self._good_cycles += 1
        if self.regime == "suspended" and self._good_cycles >= self._tuning.resume_cycles:
            self.regime = self.wanted
            self.notices.append("AGC resumed")

    def _release(self, reason: str) -> None:
        self._started = False
        self._reason = reason

    def _count(self, faults: list[Fault], ace: Ace, now_ns: int) -> None:
        """Count what begins; say what begins or ends beside a suspension, which is said by itself."""
        present: dict[str, str] = {}
        for key, text in (*faults, *ace.notes):  # several ties may be missing
            present[key] = f"{present[key]}; {text}" if key in present else text
        minutes = self._tuning.no_ace_minutes
        if self.without_ace_s > 60.0 * minutes:
            present["ace_missing_long"] = f"no ACE for more than {minutes:g} min: notify the reliability coordinator (BAL-005)"
        for one in self.reserves:
            if one.short:
                known = f"{one.available_mw:.0f} MW" if math.isfinite(one.available_mw) else "unknown"
                present[f"{one.key}_short"] = f"{one.key.replace('_', ' ')} reserve short: {known} of {one.required_mw:.0f} MW"
        began, ended = self._conditions.update(present, now_ns)
        self.notices += [one.text for one in began if not one.suspends]
        self.notices += [f"gone: {one.text}" for one in ended if not one.suspends]

    def judge_reserve(self, reserve: Reserve) -> None:
        """Compare the reserve of this cycle with its requirement; a shortage is counted and told with the next cycle."""
        self.reserves = self._monitor.judge(reserve)

    # ------------------------------------------------------------ explanation

    def area_terms(self) -> tuple[Term, ...]:
        """From the measurements to the requirement, as of the last cycle; empty before the first."""
        if self._last is None:
            return ()
        ace, requirement = self._last.ace, self.requirement
        inputs = [_input_term(one) for one in ace.readings]
        filtered = "bypassed" if requirement.bypassed else ""
        return (
            *inputs,
            Term("scheduled_frequency", ace.scheduled_hz, "Hz"),
            Term("interchange", ace.interchange_mw, "MW"),
            Term("scheduled_interchange", ace.scheduled_mw, "MW"),
            Term("meter_error", ace.meter_error_mw, "MW"),
            Term("correction", ace.correction_mw, "MW", self.mode),
            Term("ace", ace.ace_mw, "MW", self.mode),
            Term("filtered_ace", requirement.filtered_mw, "MW", filtered),
            Term("proportional", requirement.proportional_mw, "MW"),
            Term("integral", requirement.integral_mw, "MW"),
            Term("cps", requirement.cps_mw, "MW"),
            Term("requirement", requirement.requirement_mw, "MW", requirement.quiet),
            Term("zone", float(requirement.zone), "", requirement.zone.label),
        )

    # ------------------------------------------------------------ record and take-over

    def state(self) -> dict[str, Any]:
        """What must survive a restart or a take-over."""
        return {
            "wanted": self.wanted,
            "regime": self.regime,
            "reason": self._reason,
            "started": self._started,
            "good_cycles": self._good_cycles,
            "implausible": self._implausible,
            "without_ace_s": self.without_ace_s,
            "interchange_target_mw": self.interchange_target_mw,
            "ace": self._ace.state(),
            "requirement": self.requirement.state(),
            "performance": self._performance.state(),
            "conditions": self._conditions.state(),
            "reserves": [one.available_mw for one in self.reserves],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up where :meth:`state` was asked."""
        self.wanted, self.regime = state["wanted"], state["regime"]
        self._reason, self._started = str(state["reason"]), bool(state["started"])
        self._good_cycles, self._implausible = int(state["good_cycles"]), int(state["implausible"])
        self.without_ace_s = float(state["without_ace_s"])
        self.interchange_target_mw = float(state["interchange_target_mw"])
        self._ace.restore(state["ace"])
        self.requirement.restore(state["requirement"])
        self._performance.restore(state["performance"])
        self._conditions.restore(state["conditions"])
        self.reserves = self._monitor.judge(Reserve(*map(float, state["reserves"]))) if state["reserves"] else ()

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the accounts of an earlier life (time error, interchange, performance, counts); control begins anew."""
        self._ace.resume(state["ace"])
        self._performance.restore(state["performance"])
        self._conditions.restore(state["conditions"])


def _input_term(one: Reading) -> Term:
    """An input and its source."""
    frequency = one.name == "frequency"
    source = f"source {one.source} of {one.sources}" if one.source else ""
    words = ("" if frequency else one.name, source, one.state, one.note)
    return Term("frequency" if frequency else "input", one.value, one.unit, ", ".join(word for word in words if word))
