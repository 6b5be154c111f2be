"""AGC of one control area: measurements in, set-points out, once a cycle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.ace import Ace, AceCalculator
from scada.apps.agc_avc.allocation import ZoneTable, allocate
from scada.apps.agc_avc.inputs import Measurements
from scada.apps.agc_avc.performance import PerformanceIndex
from scada.apps.agc_avc.requirement import RegulationRequirement, Zone
from scada.apps.agc_avc.tuning import AgcTuning
from scada.apps.agc_avc.units import UnitControl, UnitMode, UnitModeError
from scada.core.clock import Clock
from scada.core.settings import AgcSettings
from scada.model_cim.tables import ControlArea

AgcState = Literal["off", "on", "suspended"]


@dataclass(frozen=True, slots=True)
class SetPoint:
    """A set-point to send now.

    Attributes:
        cid: control of the unit's active power.
        mrid: unit.
        mw: value.
        why: one sentence for the audit log and the operator.
    """

    cid: int
    mrid: str
    mw: float
    why: str


@dataclass(frozen=True, slots=True)
class UnitDecision:
    """One unit after a cycle; NaN = none or unknown. Fields as in ``AgcUnitStatus``."""

    mrid: str
    name: str
    fuel: str
    base_mode: str
    reg_mode: str
    power_mw: float
    base_mw: float
    setpoint_mw: float
    """Last sent."""
    minimum_mw: float
    maximum_mw: float
    ramp_up: float
    ramp_down: float
    available: bool
    """Under AGC now."""
    reason: str
    """Why not, or what bounds it."""
    last_command_ns: int
    participation: float
    forbidden: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class AgcDecision:
    """Result of one cycle; NaN = unknown. Fields as in ``AgcStatus``, and what is to be done."""

    area: str
    state: AgcState
    reason: str
    control_mode: str
    frequency_hz: float
    ace_mw: float
    filtered_ace_mw: float
    interchange_mw: float
    scheduled_interchange_mw: float
    """In force (approached at a ramp), see also :attr:`interchange_target_mw`."""
    interchange_target_mw: float
    regulation_mw: float
    zone: str
    reserve_up_mw: float
    reserve_down_mw: float
    unmet_mw: float
    """What the regulating units cannot take of the demand within their limits."""
    cycle_ns: int
    cps1_percent: float
    units: tuple[UnitDecision, ...]
    setpoints: tuple[SetPoint, ...]
    """To be sent through the control path; empty unless ``on``."""
    notices: tuple[str, ...]
    """What changed since the last cycle, for the event log."""


class AgcController:
    """Automatic generation control of one area.

    Call :meth:`cycle` once a cycle with fresh inputs and send the set-points of the decision; tell the outcome of each by
    :meth:`confirmed` or :meth:`refused`. Nothing is sent while ``off`` or ``suspended``; the ACE is computed all the same.
    Every start of control, after ``on``, a suspension or for a single unit, is bumpless: targets begin at the measured outputs.

    Args:
        area: the area with its ties and units.
        settings: mode, gains, filter, cycle and state at start.
        clock: for the real time between cycles.
        tuning: further parameters.

    Attributes:
        state: ``off``, ``on`` or ``suspended`` (wanted, but not possible now).
        pids: points that :class:`~scada.apps.agc_avc.inputs.Measurements` needs.
    """

    def __init__(self, area: ControlArea, settings: AgcSettings, clock: Clock, tuning: AgcTuning | None = None) -> None:
        self.area = area
        self.state: AgcState = settings.start
        self.pids = _pids(area)
        self._settings = settings
        self._tuning = tuning or AgcTuning()
        self._clock = clock
        self._ace = AceCalculator(area, settings.mode, self._tuning.hold_cycles, self._tuning.frequency_spread_hz)
        self._requirement = RegulationRequirement(area, settings, self._tuning)
        self._performance = PerformanceIndex(area.bias, self._tuning.eps1_hz)
        self._units = [UnitControl(unit, self._tuning) for unit in area.units]
        self._by_mrid = {control.unit.mrid: control for control in self._units}
        self._by_cid = {control.unit.setpoint: control for control in self._units}
        self._interchange_target = area.scheduled_interchange
        self._members: set[str] = set()
        self._demand = math.nan
        self._unmet = 0.0
        self._reason = "switched off" if self.state == "off" else "not started yet"
        self._primed = False
        self._good_cycles = self._tuning.resume_cycles
        self._implausible = 0
        self._last_cycle = math.nan
        self._notices: list[str] = []
        self._short_of_reserve = False

    # ------------------------------------------------------------ orders

    def set_state(self, state: Literal["on", "off"]) -> None:
        """Switch on or off. On takes effect at the next cycle, without a bump; off at once.

        Raises:
            UnitModeError: not a state.
        """
        if state not in ("on", "off"):
            raise UnitModeError(f"AGC has no state {state!r}", mend="use on or off")
        if state == "off":
            self._release("switched off")
        elif self.state == "off":
            self._primed = False
            self._good_cycles = self._tuning.resume_cycles
        self.state = state

    def set_unit_mode(self, mrid: str, base: str, reg: str, base_point_mw: float = math.nan) -> None:
        """Change a unit's mode; also the way back for a unit that was put off control.

        ``base_point_mw`` counts for mode ``BASE`` only.

        Raises:
            UnitModeError: no such unit or mode, or a base point that is not allowed.
        """
        self._unit(mrid).set_mode(UnitMode(base, reg, base_point_mw))

    def set_base_point(self, mrid: str, mw: float) -> float:
        """Set the scheduled output of a unit, followed in mode ``SCHE``; returns it as brought into the allowed range.

        Raises:
            UnitModeError: no such unit, or not a number.
        """
        if not math.isfinite(mw):
            raise UnitModeError(f"a base point must be a number, not {mw}", where=mrid)
        return self._unit(mrid).set_schedule(mw)

    def set_interchange(self, mw: float) -> None:
        """Set the scheduled net interchange (dispatch set-point or the schedule's value now), MW, export positive.

        It is approached at :meth:`AgcTuning.interchange_ramp`.

        Raises:
            UnitModeError: not a number.
        """
        if not math.isfinite(mw):
            raise UnitModeError(f"a scheduled interchange must be a number, not {mw}", where=self.area.name)
        self._interchange_target = mw

    def confirmed(self, cid: int) -> None:
        """The set-point on this control arrived at the unit."""
        if cid in self._by_cid:
            self._by_cid[cid].confirmed()

    def refused(self, cid: int, why: str) -> None:
        """The set-point on this control did not arrive; it is sent again, and after several times the unit goes off control."""
        if cid in self._by_cid:
            self._by_cid[cid].refused(why)

    def prime(self, inputs: Measurements) -> None:
        """Make targets and demand equal to what the units generate now, and forget the controller's past."""
        self._requirement.reset()
        self._members.clear()
        self._demand = 0.0
        for control in self._units:
            control.read(inputs)
            control.let_go()
        self._primed = True

    def _unit(self, mrid: str) -> UnitControl:
        if mrid not in self._by_mrid:
            raise UnitModeError(f"no unit {mrid!r} in area {self.area.name}", mend="take the mRID from the AGC status")
        return self._by_mrid[mrid]

    # ------------------------------------------------------------ the cycle

    def cycle(self, inputs: Measurements) -> AgcDecision:
        """Run one cycle."""
        now = self._clock.monotonic()
        elapsed = self._settings.cycle_s if math.isnan(self._last_cycle) else now - self._last_cycle
        # a late cycle must not make up for lost time with one large step
        dt = min(max(elapsed, 0.0), 3 * self._settings.cycle_s)
        self._last_cycle = now
        self._ramp_interchange(dt)
        ace = self._ace.calculate(inputs)
        fault = self._fault(ace)
        deviation = ace.frequency_hz - self.area.nominal_hz
        usable = not ace.faults
        self._performance.sample(ace.ace_mw if usable else math.nan, deviation, self._clock.now_ns())
        self._judge(fault)
        if self.state == "on" and not self._primed:
            self.prime(inputs)
        else:
            for control in self._units:
                control.read(inputs)
        setpoints: list[SetPoint] = []
        if self.state == "on" and ace.held:
            self._reason = f"waiting: last good value of {', '.join(ace.held)}"
        elif self.state == "on":
            self._reason = ""
            change = self._requirement.update(ace.ace_mw, deviation, dt)
            self._regulate(change, deviation, dt)
            setpoints = self._setpoints(now)
        elif usable:
            self._requirement.update(ace.ace_mw, deviation, dt)
        return self._decision(ace, setpoints, self._substituted(inputs))

    def _substituted(self, inputs: Measurements) -> str:
        """Which of the values that the ACE rests on an operator entered or blocked."""
        sources = [("frequency", self.area.frequency), *((tie.name, tie.flow) for tie in self.area.ties)]
        return ", ".join(name for name, pids in sources if inputs.rests_on_held(pids))

    def _ramp_interchange(self, dt: float) -> None:
        step = self._tuning.interchange_ramp(self.area) * dt / 60.0 if self._units else math.inf
        gap = self._interchange_target - self._ace.scheduled_mw
        self._ace.scheduled_mw += math.copysign(min(abs(gap), step), gap)

    def _fault(self, ace: Ace) -> str:
        """Why control is not possible in this cycle; empty = it is."""
        if ace.faults:
            return "; ".join(ace.faults)
        deviation = ace.frequency_hz - self.area.nominal_hz
        limit = self._tuning.max_deviation(self.area)
        if abs(deviation) > limit:
            return f"frequency {ace.frequency_hz:.3f} Hz is more than {limit:g} Hz from nominal"
        plausible = self._tuning.plausible(self.area)
        self._implausible = self._implausible + 1 if not abs(ace.ace_mw) <= plausible else 0
        if self._implausible >= self._tuning.implausible_cycles or math.isnan(ace.ace_mw):
            return f"ACE {ace.ace_mw:.0f} MW is larger than the plausible {plausible:.0f} MW"
        return ""

    def _judge(self, fault: str) -> None:
        """Suspend at the first fault, resume after some good cycles."""
        if self.state == "off":
            return
        if fault:
            self._good_cycles = 0
            if self.state == "on":
                self._notices.append(f"AGC suspended: {fault}")
                self._release(fault)
                self.state = "suspended"
            self._reason = fault
            return
        self._good_cycles += 1
        if self.state == "suspended" and self._good_cycles >= self._tuning.resume_cycles:
            self.state = "on"
            self._notices.append("AGC resumed")

    def _release(self, reason: str) -> None:
        for control in self._units:
            control.let_go()
        self._members.clear()
        self._primed = False
        self._demand = math.nan
        self._unmet = 0.0
        self._reason = reason

    def _regulate(self, change: float, deviation: float, dt: float) -> None:
        """Move the targets: base points of units that do not regulate now, then the demand among those that do."""
        for control in self._units:
            control.check_response(
                control.ramp(min(control.unit.ramp_up, control.unit.ramp_down), dt), deviation, self.area.nominal_hz
            )
        active = self._enrol()
        self._follow_base_points(dt)
        if not active:
            self._unmet = self._requirement.requirement_mw
            return
        if self._requirement.zone is Zone.DEAD:
            self._demand = sum(control.target for control in active)
        self._demand += change
        self._share(active, dt)

    def _enrol(self) -> list[UnitControl]:
        """Who regulates in this zone; the demand gains and loses what they bring and leave, so that nobody else moves for it."""
        zone, active = self._requirement.zone, []
        for control in self._units:
            if control.reason:
                if control.unit.mrid in self._members:
                    self._members.discard(control.unit.mrid)
                    # what the unit still generates needs no replacement; what it failed to deliver does
                    self._demand -= control.target if math.isnan(control.power) else control.power
                control.let_go()
                continue
            if math.isnan(control.target):
                control.take_over()
            regulates = control.mode.regulates(zone) and control.unit.participation > 0
            if regulates and control.unit.mrid not in self._members:
                control.end_free_run()
                self._members.add(control.unit.mrid)
                self._demand += control.target
            elif not regulates and control.unit.mrid in self._members:
                self._members.discard(control.unit.mrid)
                self._demand -= control.target
            if regulates:
                active.append(control)
        return active

    def _follow_base_points(self, dt: float) -> None:
        for control in self._units:
            if control.reason or control.unit.mrid in self._members:
                continue
            if control.may_run_free():
                control.run_free(dt)
                continue
            window = control.window(control.base(), dt)
            control.target = min(max(control.base(), window.lo), window.hi)

    def _share(self, active: Sequence[UnitControl], dt: float) -> None:
        """First where each unit should end up, zones and limits in view but not ramps; then how far it gets in this cycle."""
        base = np.array([control.base() for control in active])
        alpha = np.array([control.unit.participation for control in active])
        low = np.array([control.low for control in active])
        high = np.array([control.high for control in active])
        self._bound_demand(active, low, high)
        zones = ZoneTable.of([control.unit.forbidden for control in active])
        wanted = allocate(base, alpha, low, high, self._demand, zones)
        windows = [control.window(float(mw), dt) for control, mw in zip(active, wanted.power, strict=True)]
        lo = np.array([window.lo for window in windows])
        hi = np.array([window.hi for window in windows])
        for control, mw in zip(active, allocate(base, alpha, lo, hi, self._demand).power, strict=True):
            control.target = float(mw)
        requirement = self._requirement.requirement_mw
        exhausted = self._demand >= high.sum() if requirement > 0 else self._demand <= low.sum()
        self._unmet = requirement if exhausted else wanted.unmet

    def _bound_demand(self, active: Sequence[UnitControl], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]) -> None:
        """Anti-windup: the demand stays within what the units can give, and not further ahead than they get in a while."""
        target, minutes = np.array([control.target for control in active]), self._tuning.windup_s / 60.0
        ramp_up = np.array([control.unit.ramp_up for control in active])
        ramp_down = np.array([control.unit.ramp_down for control in active])
        up = target + np.clip(high - target, 0.0, ramp_up * minutes)
        down = target - np.clip(target - low, 0.0, ramp_down * minutes)
        self._demand = min(max(self._demand, float(down.sum())), float(up.sum()))

    def _setpoints(self, now: float) -> list[SetPoint]:
        setpoints = []
        for control in self._units:
            if control.reason:
                continue
            mw = control.setpoint()
            if control.due(mw, now):
                control.sent, control.sent_at, control.sent_ns = mw, now, self._clock.now_ns()
                setpoints.append(SetPoint(control.unit.setpoint, control.unit.mrid, mw, self._why(control)))
        return setpoints

    def _why(self, control: UnitControl) -> str:
        requirement = self._requirement
        if control.free:
            return "released: generates what it can"
        if control.unit.mrid not in self._members:
            text = f"base point {control.base():.1f} MW of mode {control.mode.base} {control.mode.reg}"
        else:
            text = (
                f"share of a demand of {self._demand:.1f} MW, requirement {requirement.requirement_mw:+.1f} MW, "
                f"{requirement.zone.label} zone"
            )
        bound = self._bound(control)
        return f"{text}; bounded by {bound}" if bound else text

    def _bound(self, control: UnitControl) -> str:
        """What keeps the target from going further, for people."""
        if control.free:
            return "runs free"
        if control.setpoint() != control.target:
            return "forbidden zone, crossing"
        if control.target >= control.high - 1e-6:
            return control.limited_by or "maximum"
        if control.target <= control.low + 1e-6:
            return control.limited_by or "minimum"
        if any(abs(control.target - edge) < 1e-6 for zone in control.unit.forbidden for edge in zone):
            return "forbidden zone"
        return ""

    # ------------------------------------------------------------ what is told

    def _reserves(self) -> tuple[float, float]:
        minutes = self._tuning.reserve_minutes
        able = [control for control in self._units if not control.reason and control.mode.reg != "O"]
        up = sum(max(0.0, min(control.high - control.power, control.unit.ramp_up * minutes)) for control in able)
        down = sum(max(0.0, min(control.power - control.low, control.unit.ramp_down * minutes)) for control in able)
        short = up < self._tuning.reserve_up_mw or down < self._tuning.reserve_down_mw
        if short and not self._short_of_reserve:
            self._notices.append(f"reserve short: {up:.0f} MW up, {down:.0f} MW down")
        self._short_of_reserve = short
        return up, down

    def _decision(self, ace: Ace, setpoints: Sequence[SetPoint], substituted: str) -> AgcDecision:
        up, down = self._reserves()
        for control in self._units:
            self._notices += control.notices
            control.notices.clear()
        notices, self._notices = tuple(self._notices), []
        return AgcDecision(
            area=self.area.name,
            state=self.state,
            reason=_and_substituted(self._reason, substituted),
            control_mode=self._ace.mode,
            frequency_hz=ace.frequency_hz,
            ace_mw=ace.ace_mw,
            filtered_ace_mw=self._requirement.filtered_mw,
            interchange_mw=ace.interchange_mw,
            scheduled_interchange_mw=ace.scheduled_mw,
            interchange_target_mw=self._interchange_target,
            regulation_mw=self._requirement.requirement_mw,
            zone=self._requirement.zone.label,
            reserve_up_mw=up,
            reserve_down_mw=down,
            unmet_mw=self._unmet,
            cycle_ns=self._clock.now_ns(),
            cps1_percent=self._performance.cps1_percent,
            units=tuple(self._unit_decision(control) for control in self._units),
            setpoints=tuple(setpoints),
            notices=notices,
        )

    def _unit_decision(self, control: UnitControl) -> UnitDecision:
        unit, under_control = control.unit, self.state == "on" and not control.reason
        return UnitDecision(
            mrid=unit.mrid,
            name=unit.name,
            fuel=unit.fuel,
            base_mode=control.mode.base,
            reg_mode=control.mode.reg,
            power_mw=control.power,
            base_mw=control.base(),
            setpoint_mw=control.sent,
            minimum_mw=control.low,
            maximum_mw=control.high,
            ramp_up=unit.ramp_up,
            ramp_down=unit.ramp_down,
            available=under_control,
            reason=_and_substituted(
                control.reason or (self._bound(control) if under_control else f"AGC {self.state}"), control.substituted
            ),
            last_command_ns=control.sent_ns,
            participation=unit.participation,
            forbidden=unit.forbidden,
        )


def _and_substituted(reason: str, names: str) -> str:
    """A reason, and what it rests on that operators entered."""
    return "; ".join(text for text in (reason, f"substituted: {names}" if names else "") if text)


def _pids(area: ControlArea) -> npt.NDArray[np.uint32]:
    """Every point the controller reads, ascending."""
    pids = {int(pid) for pid in area.frequency}
    pids.update(int(pid) for tie in area.ties for pid in tie.flow)
    for unit in area.units:
        optional = (unit.power, unit.remote, unit.available, unit.state_of_charge)
        pids.update(int(pid) for pid in optional if pid is not None)
    return np.array(sorted(pids), dtype=np.uint32)
