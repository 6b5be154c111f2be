"""One unit under AGC: its mode, whether it can be used now and why not, its windows, and how it crosses forbidden zones."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scada.apps.agc_avc.agc.requirement import Zone
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.agc_settings import AgcTuning
from scada.model_cim.regulation import AgcUnit

BASE_MODES = ("AUTO", "SCHE", "BASE")
REG_MODES = ("O", "R", "A", "E")

_JOINS = {"R": Zone.NORMAL, "A": Zone.ASSIST, "E": Zone.EMERGENCY}
_EDGE = 1e-6
"""MW within which a target counts as standing on the edge of a zone."""
_TOLERANCE = 0.05
"""Part of its maximum by which a unit may run outside its limits (primary response, meter error) and stay under control."""
_DROOP = 0.04
"""Droop assumed when judging whether a unit follows: its primary response is not disobedience."""


@dataclass(frozen=True, slots=True)
class UnitMode:
    """A pair: where the base point comes from, and when the unit regulates around it.

    Attributes:
        base: ``AUTO`` (where it stands), ``SCHE`` (schedule) or ``BASE`` (operator's).
        reg: ``O`` never, ``R`` always, ``A`` in the assist zone and above, ``E`` in the emergency zone only.
        base_point_mw: base point of ``BASE``; NaN = none, then the unit stands where it is.

    Raises:
        RegulationError: a mode that does not exist.
    """

    base: str = "AUTO"
    reg: str = "R"
    base_point_mw: float = math.nan

    def __post_init__(self) -> None:
        if self.base not in BASE_MODES:
            raise RegulationError(f"no base mode {self.base!r}", mend=f"use one of {', '.join(BASE_MODES)}")
        if self.reg not in REG_MODES:
            raise RegulationError(f"no regulation mode {self.reg!r}", mend=f"use one of {', '.join(REG_MODES)}")

    def regulates(self, zone: Zone) -> bool:
        """True if the unit takes part in a zone. In the dead zone those of mode R stand by."""
        return self.reg == "R" or (self.reg in _JOINS and zone >= _JOINS[self.reg])


@dataclass(frozen=True, slots=True)
class Window:
    """What a target may be this cycle, MW; ``lo <= hi``."""

    lo: float
    hi: float


class UnitControl:
    """State of one unit under AGC.

    The *target* moves at most at the ramp rate and is what the unit should generate now. The *set-point* is the target, except
    while the target crosses a forbidden zone: then it is the edge beyond, so that the unit is never told to stay inside.

    Args:
        unit: the unit of the model.
        tuning: parameters.

    Attributes:
        mode: its mode.
        schedule_mw: base point of mode ``SCHE``; NaN = none yet, then the unit stands where it is.
        power: measured MW, NaN = unknown.
        low, high: present limits of the target, MW.
        target: MW it should generate now; NaN while off control.
        sent: last set-point sent, NaN = none since it came under control.
        free: a PV or wind plant that generates what it can (see :meth:`run_free`).
        reason: why it is off control; empty = it is on.
        substituted: which of its measurements an operator entered or blocked.
        notices: sentences for the event log, taken by the controller each cycle.
    """

    def __init__(self, unit: AgcUnit, tuning: AgcTuning) -> None:
        self.unit = unit
        self.mode = UnitMode(unit.base_mode, unit.reg_mode)
        self.schedule_mw = math.nan
        self._tuning = tuning
        self.segments = allowed_segments(unit)
        self.power = math.nan
        self.low, self.high = unit.minimum, unit.maximum
        self.limited_by = ""
        self.target = math.nan
        self.sent = math.nan
        self.sent_at = -math.inf
        self.sent_ns = 0
        self.free = False
        self.reason = "not read yet"
        self.substituted = ""
        self.notices: list[str] = []
        self._lock = ""
        self._crossing = 0
        self._misses = 0
        self._refusals = 0
        self._previous_power = math.nan

    # ------------------------------------------------------------ orders

    def set_mode(self, mode: UnitMode) -> None:
        """Take a new mode; a unit that was put off for not following or refusing gets another chance.

        Raises:
            RegulationError: the base point is outside the limits or inside a forbidden zone.
        """
        point = mode.base_point_mw
        if mode.base == "BASE" and not math.isnan(point) and not any(lo <= point <= hi for lo, hi in self.segments):
            allowed = ", ".join(f"{lo:g}..{hi:g}" for lo, hi in self.segments)
            raise RegulationError(f"base point {point:g} MW is not allowed", where=self.unit.name, mend=f"allowed: {allowed} MW")
        self.mode = mode
        self._lock, self._misses, self._refusals = "", 0, 0

    def set_schedule(self, mw: float) -> float:
        """Take the schedule's value for mode ``SCHE``; returns it after bringing it into the allowed range."""
        allowed = [min(max(mw, lo), hi) for lo, hi in self.segments] or [mw]
        self.schedule_mw = min(allowed, key=lambda candidate: abs(candidate - mw))
        return self.schedule_mw

    def refused(self, why: str) -> None:
        """The control path did not bring the last set-point to the unit."""
        self.sent = math.nan
        self._refusals += 1
        if self._refusals >= self._tuning.refusals:
            self._lock = f"set-point refused {self._refusals} times: {why}"

    def confirmed(self) -> None:
        """The last set-point arrived."""
        self._refusals = 0

    # ------------------------------------------------------------ each cycle

    def read(self, inputs: Measurements) -> None:
        """Take measurements and judge whether the unit can be used."""
        self._previous_power = self.power
        power = inputs.first_good(self.unit.power)
        self.power = math.nan if power is None else power
        self.low, self.high = self.model_range
        self.limited_by = ""
        self.substituted = self._held_measurements(inputs)
        reason = self._lock or inputs.forbidden(self.unit.setpoint) or self._unusable(inputs) or self._energy_limits(inputs)
        if reason and not self.reason and reason != "mode AUTO O":
            self.notices.append(f"unit {self.unit.name} off control: {reason}")
        elif self.reason and not reason and not math.isnan(self._previous_power):
            self.notices.append(f"unit {self.unit.name} under control")
        self.reason = reason

    def _held_measurements(self, inputs: Measurements) -> str:
        unit = self.unit
        named = (
            ("remote status", unit.remote),
            ("available power", unit.available),
            ("state of charge", unit.state_of_charge),
        )
        names = ["output"] if inputs.rests_on_held(unit.power) else []
        return ", ".join([*names, *(name for name, pid in named if inputs.is_held(pid))])

    @property
    def model_range(self) -> tuple[float, float]:
        """Lowest and highest output the model allows."""
        return (self.segments[0][0], self.segments[-1][1]) if self.segments else (self.unit.minimum, self.unit.maximum)

    def _unusable(self, inputs: Measurements) -> str:
        unit, tolerance = self.unit, max(self.unit.deadband, _TOLERANCE * abs(self.unit.maximum))
        remote = 1.0 if unit.remote is None else inputs.read(unit.remote)
        if not self.segments:
            return "limits, ramp or forbidden zones of the model leave no range"
        if math.isnan(self.power):
            return "no good measurement of its power"
        if remote != 1:
            return "no good measurement of its remote status" if remote is None else "not in remote control"
        if not self.low - tolerance <= self.power <= self.high + tolerance:
            return f"output {self.power:.1f} MW outside {self.low:g}..{self.high:g} MW"
        if self.mode.base == "AUTO" and self.mode.reg == "O":
            return "mode AUTO O"
        return ""

    def _energy_limits(self, inputs: Measurements) -> str:
        """Narrow the limits by available power and stored energy."""
        unit, tuning = self.unit, self._tuning
        if unit.available is not None:
            available = inputs.read(unit.available)
            if available is None:
                return "no good measurement of its available power"
            if available < self.high:
                self.high, self.limited_by = max(available, self.low), "available power"
        if unit.state_of_charge is not None:
            charge = inputs.read(unit.state_of_charge)
            if charge is None:
                return "no good measurement of its state of charge"
            mw_per_percent = unit.energy_mwh / 100 / tuning.soc_horizon_h
            discharge = max(0.0, charge - tuning.soc_minimum) * mw_per_percent * tuning.efficiency
            take_up = max(0.0, tuning.soc_maximum - charge) * mw_per_percent / tuning.efficiency
            if discharge < self.high or -take_up > self.low:
                self.limited_by = "state of charge"
            self.high = min(self.high, discharge)
            self.low = min(max(self.low, -take_up), self.high)
        return ""

    def check_response(self, ramp_mw: float, deviation_hz: float, nominal_hz: float) -> None:
        """Count cycles in which the unit neither stands at its target nor moves towards it; too many put it off control.

        Args:
            ramp_mw: what it may move in one cycle.
            deviation_hz: frequency deviation, for the primary response that is allowed on top.
            nominal_hz: nominal frequency.
        """
        if math.isnan(self.sent) or self.reason or math.isnan(self._previous_power):
            self._misses = 0
            return
        if self.free:
            return
        if self._crossing:  # the set-point is already beyond the zone, the target follows at the ramp
            return
        unit, tuning = self.unit, self._tuning
        primary = abs(unit.maximum * deviation_hz / (_DROOP * nominal_hz))
        error = self.target - self._previous_power
        moved = math.copysign(1.0, error) * (self.power - self._previous_power)
        band = max(2 * unit.deadband, tuning.response_band * abs(unit.maximum)) + primary + ramp_mw
        if abs(self.target - self.power) <= band or moved >= 0.25 * min(ramp_mw, abs(error)):
            self._misses = 0
            return
        self._misses += 1
        if self._misses >= tuning.response_cycles:
            self._lock = f"does not follow: {self.power:.1f} MW at a set-point of {self.sent:.1f} MW"
            self.reason = self._lock
            self.notices.append(f"unit {unit.name} off control: {self.reason}")

    def run_free(self, dt: float) -> None:
        """Let a plant whose power depends on sun or wind generate what it can while it neither regulates nor has a base point.

        Following its available power down would hold it there when that rises again. A set-point that held it back is raised to
        its maximum, at the ramp; one that was never sent is not sent.
        """
        self.free = True
        lowest, highest = self.model_range
        if math.isnan(self.sent):
            self.target = min(max(self.power, lowest), highest)
        else:
            self.target = min(self.target + self.ramp(self.unit.ramp_up, dt), highest)

    def may_run_free(self) -> bool:
        """True for a plant of changing available power without a base point."""
        return self.unit.available is not None and self.mode.base == "AUTO"

    def end_free_run(self) -> None:
        """Regulate from what the plant generates, not from the maximum it was allowed."""
        if self.free:
            self.free = False
            self.target = min(max(self.power, self.low), self.high)

    def take_over(self) -> None:
        """Come under control without a bump: the target is what the unit generates."""
        self.free = False
        self.target = min(max(self.power, self.low), self.high)
        self.sent = math.nan
        self._crossing = 0

    def let_go(self) -> None:
        """Go off control."""
        self.free = False
        self.target = self.sent = math.nan
        self._crossing = self._misses = 0

    def base(self) -> float:
        """Base point for this cycle, MW: where the target stands unless a schedule or an operator says otherwise."""
        point = {"SCHE": self.schedule_mw, "BASE": self.mode.base_point_mw}.get(self.mode.base, math.nan)
        return self.target if math.isnan(point) else min(max(point, self.low), self.high)

    def ramp(self, rate_mw_per_min: float, dt: float) -> float:
        """MW the target may move in ``dt`` seconds at a rate."""
        return min(rate_mw_per_min * dt / 60.0, self._tuning.max_step_mw)

    def window(self, wanted: float, dt: float) -> Window:
        """Where the target may go this cycle, on the way to where it is ``wanted`` without regard to the ramp.

        If a forbidden zone lies between, the window is one value: the unit crosses at full ramp, and once inside goes through.
        """
        down, up = self.ramp(self.unit.ramp_down, dt), self.ramp(self.unit.ramp_up, dt)
        here = self._segment(self.target)
        if here is None:
            zone_lo, zone_hi = self._zone(self.target)
            if not self._crossing:
                self._crossing = 1 if zone_hi - self.target <= self.target - zone_lo else -1
            through = min(self.target + up, zone_hi) if self._crossing > 0 else max(self.target - down, zone_lo)
            return Window(through, through)
        self._crossing = 0
        segment_lo, segment_hi = here
        if wanted > segment_hi + _EDGE:
            return self._cross(min(self.target + up, self._zone(segment_hi + _EDGE)[1]), 1)
        if wanted < segment_lo - _EDGE:
            return self._cross(max(self.target - down, self._zone(segment_lo - _EDGE)[0]), -1)
        # limits that tightened under the unit (sun gone, storage empty) are approached at full ramp, not jumped to
        hi = min(self.target + up, max(min(segment_hi, self.high), self.target - down))
        lo = max(self.target - down, min(max(segment_lo, self.low), self.target + up))
        return Window(min(lo, hi), hi)

    def _cross(self, target: float, direction: int) -> Window:
        self._crossing = direction
        return Window(target, target)

    def _segment(self, mw: float) -> tuple[float, float] | None:
        """The allowed range that holds ``mw``, None inside a forbidden zone."""
        return next(((lo, hi) for lo, hi in self.segments if lo - _EDGE <= mw <= hi + _EDGE), None)

    def _zone(self, mw: float) -> tuple[float, float]:
        """The edges between which a forbidden output lies."""
        below = max(hi for _, hi in self.segments if hi <= mw)
        above = min(lo for lo, _ in self.segments if lo >= mw)
        return below, above

    def setpoint(self) -> float:
        """The set-point for the present target: never inside a forbidden zone."""
        if self._segment(self.target) is not None:
            return self.target
        zone_lo, zone_hi = self._zone(self.target)
        return zone_hi if self._crossing > 0 else zone_lo

    def due(self, setpoint: float, now: float) -> bool:
        """True if a set-point differs enough from the last one and the last one is old enough."""
        if math.isnan(self.sent):
            return abs(setpoint - self.power) >= self.unit.deadband
        far = abs(setpoint - self.sent) >= max(self.unit.deadband, _EDGE)
        return far and now - self.sent_at >= self._tuning.min_interval_s


def allowed_segments(unit: AgcUnit) -> tuple[tuple[float, float], ...]:
    """Ranges of output a unit may be told, in ascending order: its limits less its forbidden zones.

    Empty if the model makes no sense (limits or ramps missing or reversed, or the zones cover everything); the unit then never
    comes under control.
    """
    figures = (unit.minimum, unit.maximum, unit.ramp_up, unit.ramp_down)
    if not all(map(math.isfinite, figures)) or unit.minimum > unit.maximum or min(unit.ramp_up, unit.ramp_down) <= 0:
        return ()
    segments = []
    floor = unit.minimum
    for lo, hi, _ in sorted(unit.forbidden):
        if lo >= unit.maximum or lo >= hi:
            continue
        if lo > floor:
            segments.append((floor, lo))
        floor = max(floor, hi)
    if floor < unit.maximum or floor == unit.minimum:
        segments.append((floor, unit.maximum))
    return tuple(segments)
