"""The units of one control area under AGC: what is asked of them together becomes a target and a set-point for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scada.apps.agc_avc.agc.allocation import allocate, zone_table
from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.agc.reserve import Reserve
from scada.apps.agc_avc.agc.units import UnitControl, UnitMode
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements, and_substituted
from scada.core.agc_settings import AgcTuning
from scada.core.clock import Clock
from scada.model_cim.regulation import AgcUnit, ForbiddenZone


@dataclass(frozen=True, slots=True)
class Regulation:
    """What the area asks of its units in one cycle.

    Attributes:
        change_mw: change of the demand on the regulating units.
        requirement_mw: area regulation requirement, positive asks for more generation.
        zone: urgency.
        deviation_hz: actual less nominal frequency.
        nominal_hz: nominal frequency.
        dt: seconds since the last cycle.
        now: monotonic seconds.
        sends: False in monitor: everything is computed, nothing is sent.
    """

    change_mw: float
    requirement_mw: float
    zone: Zone
    deviation_hz: float
    nominal_hz: float
    dt: float
    now: float
    sends: bool = True


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
    forbidden: tuple[ForbiddenZone, ...]


class UnitFleet:
    """All units of an area.

    Args:
        units: of the model.
        tuning: parameters.
        clock: stamps of set-points.
        area: name of the area, for errors.

    Attributes:
        unmet_mw: what the regulating units cannot take of the demand within their limits.
        notices: what changed, for the event log; the controller takes them each cycle.
    """

    def __init__(self, units: Sequence[AgcUnit], tuning: AgcTuning, clock: Clock, area: str) -> None:
        self.unmet_mw = 0.0
        self.notices: list[str] = []
        self._area = area
        self._tuning = tuning
        self._clock = clock
        self._units = [UnitControl(unit, tuning) for unit in units]
        self._by_mrid = {control.unit.mrid: control for control in self._units}
        self._by_cid = {control.unit.setpoint: control for control in self._units}
        self._members: set[str] = set()
        self._demand = math.nan
        self._asked: Regulation | None = None

    # ------------------------------------------------------------ orders

    def set_mode(self, mrid: str, mode: UnitMode) -> None:
        """Change a unit's mode; also the way back for a unit that was put off control.

        Raises:
            RegulationError: no such unit, or a base point that is not allowed.
        """
        self._unit(mrid).set_mode(mode)

    def set_schedule(self, mrid: str, mw: float) -> float:
        """Take the schedule's value for mode ``SCHE``; returns it as brought into the allowed range.

        Raises:
            RegulationError: no such unit.
        """
        return self._unit(mrid).set_schedule(mw)

    def confirmed(self, cid: int) -> None:
        """The set-point on this control arrived at the unit."""
        if cid in self._by_cid:
            self._by_cid[cid].confirmed()

    def refused(self, cid: int, why: str) -> None:
        """The set-point on this control did not arrive; it is sent again, and after several times the unit goes off control."""
        if cid in self._by_cid:
            self._by_cid[cid].refused(why)

    def _unit(self, mrid: str) -> UnitControl:
        if mrid not in self._by_mrid:
            raise RegulationError(f"no unit {mrid!r} in area {self._area}", mend="take the mRID from the AGC status")
        return self._by_mrid[mrid]

    # ------------------------------------------------------------ the cycle

    def prime(self, inputs: Measurements) -> None:
        """Make targets and demand equal to what the units generate now, and forget the past."""
        self._members.clear()
        self._demand = 0.0
        self.read(inputs)
        for control in self._units:
            control.let_go()

    def read(self, inputs: Measurements) -> None:
        """Take the measurements of all units and judge whether each can be used."""
        for control in self._units:
            control.read(inputs)
            self.notices += control.notices
            control.notices.clear()

    def release(self) -> None:
        """Let every unit go: nothing is asked of it any more."""
        for control in self._units:
            control.let_go()
        self._members.clear()
        self._demand = math.nan
        self.unmet_mw = 0.0
        self._asked = None

    def regulate(self, asked: Regulation) -> list[SetPoint]:
        """Move the targets; returns the set-points to send now."""
        self._asked = asked
        self._regulate(asked.change_mw, asked.deviation_hz, asked.dt)
        for control in self._units:
            self.notices += control.notices
            control.notices.clear()
        return self._setpoints(asked.now)

    def _regulate(self, change: float, deviation: float, dt: float) -> None:
        """Move the targets: base points of units that do not regulate now, then the demand among those that do."""
        for control in self._units:
            control.check_response(
                control.ramp(min(control.unit.ramp_up, control.unit.ramp_down), dt), deviation, self._regulation.nominal_hz
            )
        active = self._enrol()
        self._follow_base_points(dt)
        if not active:
            self.unmet_mw = self._regulation.requirement_mw
            return
        if self._regulation.zone is Zone.DEAD:
            self._demand = sum(control.target for control in active)
        self._demand += change
        self._share(active, dt)

    def _enrol(self) -> list[UnitControl]:
        """Who regulates in this zone; the demand gains and loses what they bring and leave, so that nobody else moves for it."""
        zone, active = self._regulation.zone, []
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
        zones = zone_table([control.unit.forbidden for control in active])
        wanted = allocate(base, alpha, low, high, self._demand, zones)
        windows = [control.window(float(mw), dt) for control, mw in zip(active, wanted.power, strict=True)]
        lo = np.array([window.lo for window in windows])
        hi = np.array([window.hi for window in windows])
        for control, mw in zip(active, allocate(base, alpha, lo, hi, self._demand).power, strict=True):
            control.target = float(mw)
        requirement = self._regulation.requirement_mw
        exhausted = self._demand >= high.sum() if requirement > 0 else self._demand <= low.sum()
        self.unmet_mw = requirement if exhausted else wanted.unmet

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
        requirement = self._regulation
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
        if control.free or math.isnan(control.target):
            return "runs free" if control.free else ""
        if control.setpoint() != control.target:
            return "forbidden zone, crossing"
        if control.target >= control.high - 1e-6:
            return control.limited_by or "maximum"
        if control.target <= control.low + 1e-6:
            return control.limited_by or "minimum"
        if any(abs(control.target - edge) < 1e-6 for zone in control.unit.forbidden for edge in zone[:2]):
            return "forbidden zone"
        return ""

    @property
    def _regulation(self) -> Regulation:
        assert self._asked is not None
        return self._asked

    # ------------------------------------------------------------ what is told

    @property
    def reserve(self) -> Reserve:
        """What regulating units could still give."""
        able = [control for control in self._units if not control.reason and control.mode.reg != "O"]
        spinning = _reserve(able, self._tuning.reserve_minutes)
        regulating = _reserve([control for control in able if control.mode.reg == "R"], self._tuning.regulating_minutes)
        return Reserve(*spinning, *regulating)

    def decisions(self, state: str) -> tuple[UnitDecision, ...]:
        """Every unit after this cycle; ``state`` is the area's."""
        return tuple(self._unit_decision(control, state) for control in self._units)

    def _unit_decision(self, control: UnitControl, state: str) -> UnitDecision:
        unit, under_control = control.unit, state == "on" and not control.reason
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
            reason=and_substituted(
                control.reason or (self._bound(control) if under_control else f"AGC {state}"), control.substituted
            ),
            last_command_ns=control.sent_ns,
            participation=unit.participation,
            forbidden=unit.forbidden,
        )


def _reserve(units: Sequence[UnitControl], minutes: float) -> tuple[float, float]:
    """What units can give upwards and downwards in some minutes."""
    up = sum(max(0.0, min(control.high - control.power, control.unit.ramp_up * minutes)) for control in units)
    down = sum(max(0.0, min(control.power - control.low, control.unit.ramp_down * minutes)) for control in units)
    return up, down
