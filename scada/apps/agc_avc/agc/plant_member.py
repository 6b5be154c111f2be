"""One machine, inverter or string of a plant: whether it may be told a set-point, what it will give, whether it follows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scada.apps.agc_avc.agc.available_power import WEATHER_KINDS, Sample
from scada.apps.agc_avc.agc.plant_split import Shareholder
from scada.apps.agc_avc.agc.storage import StorageLimits, state_of_charge
from scada.apps.agc_avc.inputs import Measurements
from scada.core.plant_settings import PlantSettings
from scada.model_cim.regulation import PlantMember

_TOLERANCE = 0.05
"""Part of its rating by which an output may lie outside its limits (own use at night, overload, meter error) and be believed."""
_FOLLOW_BAND = 0.02
"""Part of its rating by which an output may differ from its set-point and still count as following."""
_STARVED_CYCLES = 3
"""Cycles in a row below its set-point without rising that show that a member has no more wind or sun."""
_FIGURES = ("power", "sent", "told", "stopped_s", "_previous", "_trend")
_COUNTS = ("_misses", "_refusals", "_short")


class MemberControl:
    """State of one member.

    Args:
        member: of the model.
        limits: how a storage is bounded; None for the others.
        settings: parameters.

    Attributes:
        power: measured MW; NaN = unknown; 0 for one that is known not to run.
        in_service: it can generate now.
        reason: why no set-point may be sent to it; empty = it may.
        low, high: what it can be told while it runs; of a PV or wind member before its available power is regarded.
        sent: last set-point, NaN = none since it came under control.
        told: the same, kept when the member goes off control, because the device may hold it.
        stopped: it was told 0 for want of another way.
        stopped_s: since when, s.
        notices: sentences for the event log.
    """

    def __init__(self, member: PlantMember, limits: StorageLimits | None, settings: PlantSettings) -> None:
        self.member = member
        self._limits = limits
        self._settings = settings
        self.power = math.nan
        self.in_service = False
        self.reason = "not read yet"
        self.low, self.high = member.minimum, member.maximum
        self.sent = self.told = math.nan
        self.stopped = False
        self.stopped_s = 0.0
        self.notices: list[str] = []
        self._previous = math.nan
        self._trend = 0.0
        self._misses = self._refusals = self._short = 0
        self._lock = ""

    @property
    def weather(self) -> bool:
        """True if its power is given by sun or wind."""
        return self.member.kind in WEATHER_KINDS

    @property
    def band(self) -> float:
        """MW within which an output counts as its set-point."""
        return max(2 * self.deadband, _FOLLOW_BAND * abs(self.member.maximum))

    @property
    def deadband(self) -> float:
        """Smallest change of its set-point, MW."""
        return self._settings.deadband_percent / 100.0 * abs(self.member.maximum)

    @property
    def uncurtailed(self) -> bool:
        """True if nothing that we sent holds it back."""
        return math.isnan(self.told) or self.told >= self.member.maximum - max(self.deadband, 1e-9)

    @property
    def at_its_best(self) -> bool:
        """True if it generates all it can: not held back, or short of what it was told."""
        return self.uncurtailed or self.power < self.told - self.band

    @property
    def short(self) -> bool:
        """True while it gives less than it was told and does not rise."""
        return self._short > 0

    @property
    def sample(self) -> Sample:
        """What the benchmarks want to know."""
        return Sample(self.power, self.in_service, self.uncurtailed)

    # ------------------------------------------------------------ each cycle

    def read(self, inputs: Measurements, dt: float) -> None:
        """Take the measurements and judge whether the member may be told a set-point."""
        member = self.member
        running = 1.0 if member.running is None else inputs.read(member.running)
        power = inputs.read(member.power)
        self._previous = self.power
        self.power = math.nan if power is None or not self._plausible(power) else power
        if math.isnan(self.power) and running == 0:
            self.power = 0.0
        self.in_service = running == 1
        self._learn_trend(dt)
        self.low, self.high = member.minimum, member.maximum
        reason = self._unusable(inputs, running)
        if reason and not self.reason:
            self.notices.append(f"{member.name} no longer takes set-points: {reason}")
        self.reason = reason
        if reason:
            self.let_go()
        elif self.stopped:
            self.stopped_s += dt

    def _plausible(self, power: float) -> bool:
        member = self.member
        if not (math.isfinite(member.minimum) and math.isfinite(member.maximum)):
            return True
        tolerance = _TOLERANCE * max(abs(member.maximum), abs(member.minimum))
        return min(0.0, member.minimum) - tolerance <= power <= member.maximum + tolerance

    def _unusable(self, inputs: Measurements, running: float | None) -> str:  # noqa: PLR0911 - one line for each cause
        member = self.member
        if member.setpoint < 0:
            return "has no set-point of its own"
        if not (math.isfinite(member.minimum) and math.isfinite(member.maximum) and member.minimum <= member.maximum):
            return "limits of the model make no sense"
        if running != 1:
            return "no good status of running" if running is None else "not running"
        remote = 1.0 if member.remote is None else inputs.read(member.remote)
        if remote != 1:
            return "no good measurement of its remote status" if remote is None else "not in remote control"
        if math.isnan(self.power):
            return "no good measurement of its power"
        if tag := inputs.forbidden(member.setpoint):
            return tag
        return self._lock or self._energy_limits(inputs)

    def _energy_limits(self, inputs: Measurements) -> str:
        if self.member.state_of_charge is None or self._limits is None:
            return ""
        charge = state_of_charge(inputs, self.member.state_of_charge)
        if math.isnan(charge):
            return "no good measurement of its state of charge"
        least, greatest = self._limits.usable(charge)
        self.high = max(min(self.high, greatest), min(self.low, 0.0))
        self.low = min(max(self.low, least), self.high)
        return ""

    def _learn_trend(self, dt: float) -> None:
        if dt <= 0 or math.isnan(self.power) or math.isnan(self._previous):
            self._trend = 0.0
            return
        weight = dt / (self._settings.prediction_s + dt)
        self._trend += weight * ((self.power - self._previous) / dt - self._trend)

    def predicted(self, dt: float) -> float:
        """What it will give in the next cycle if it is not controlled, MW: its output and its trend; NaN = unknown."""
        member = self.member
        if math.isnan(self.power) or not self.in_service:
            return self.power
        low, high = sorted((min(member.minimum, 0.0, self.power), max(member.maximum, self.power)))
        return min(max(self.power + self._trend * dt, low), high)

    def check_response(self, dt: float) -> None:
        """Count cycles in which it neither stands at its set-point nor moves towards it; too many put it off control.

        A PV or wind member below its set-point has no more to give; that is no disobedience, see :meth:`shareholder`.
        """
        if self.reason or math.isnan(self.sent) or math.isnan(self._previous) or dt <= 0:
            self._misses = self._short = 0
            return
        error, moved = self.sent - self.power, self.power - self._previous
        reach = self.member.ramp * dt / 60.0 if self.member.ramp > 0 else 0.0
        away = abs(error) > self.band + reach
        still = math.copysign(1.0, error) * moved < 0.25 * min(abs(error), max(reach, self.band))
        self._short = self._short + 1 if away and still and error > 0 else 0
        if not (away and still) or (self.weather and error > 0):
            self._misses = 0
            return
        self._misses += 1
        if self._misses >= self._settings.response_cycles:
            self._lock = f"does not follow: {self.power:.2f} MW at a set-point of {self.sent:.2f} MW"
            self.reason = self._lock
            self.notices.append(f"{self.member.name} no longer takes set-points: {self._lock}")
            self.let_go()

    def highest(self, available: float) -> float:
        """What it can reach, MW.

        Args:
            available: its available power; NaN = unknown, then it is not raised above where it stands.
        """
        if not self.weather:
            return self.high
        here = self.power if math.isnan(self.sent) else max(self.power, self.sent)
        if math.isnan(available):
            return min(here, self.member.maximum)
        # what it does not give although it was told to is not there
        if self._short >= _STARVED_CYCLES:
            available = min(available, self.power + self.band)
        return min(max(available, self.power), self.member.maximum)

    def shareholder(self, available: float, dt: float, headroom: float) -> Shareholder:
        """The member as the split sees it.

        Args:
            available: its available power, MW; NaN = unknown.
            dt: seconds of this cycle.
            headroom: part of its rating by which it may give more than is known, see
                :meth:`~scada.apps.agc_avc.agc.plant_order.PlantOrder.split`.
        """
        member = self.member
        high = self.highest(available)
        if self.weather and headroom > 0:
            high = member.maximum if math.isinf(headroom) else min(high + headroom * member.maximum, member.maximum)
        low = min(self.low, high)
        starved = self.weather and (self._short > 0 or self.uncurtailed)
        at = self.power if math.isnan(self.sent) or (starved and self.power < self.sent) else self.sent
        step = member.ramp * dt / 60.0 if member.ramp > 0 else math.inf
        reach_high = max(min(at + step, high), low)
        reach_low = min(max(at - step, low), reach_high)
        return Shareholder(
            at=at,
            low=low,
            high=high,
            reach_low=reach_low,
            reach_high=reach_high,
            capacity=member.maximum,
            may_stop=self.weather and self._settings.stops,
            stopped=self.stopped,
            may_start=self.stopped_s >= self._settings.restart_s,
        )

    # ------------------------------------------------------------ orders

    def tell(self, mw: float, *, stopped: bool) -> None:
        """It is told a set-point now."""
        if stopped and not self.stopped:
            self.stopped_s = 0.0
        self.sent = self.told = mw
        self.stopped = stopped

    def let_go(self) -> None:
        """Nothing is asked of it any more."""
        self.sent, self.stopped = math.nan, False
        self._misses = self._short = 0

    def confirmed(self) -> None:
        """The last set-point arrived."""
        self._refusals = 0

    def refused(self, why: str) -> None:
        """The last set-point did not arrive; it is sent again, and after several times the member is not used."""
        self.sent = math.nan
        self._refusals += 1
        if self._refusals >= self._settings.refusals:
            self._lock = f"set-point refused {self._refusals} times: {why}"

    def unlock(self) -> None:
        """Give a member that did not follow or refused another chance."""
        self._lock, self._misses, self._refusals = "", 0, 0

    def state(self) -> dict[str, Any]:
        """What a successor needs to go on."""
        kept: dict[str, Any] = {name: getattr(self, name) for name in (*_FIGURES, *_COUNTS)}
        return kept | {"stopped": self.stopped, "lock": self._lock, "reason": self.reason}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        for name in _FIGURES:
            setattr(self, name, float(state[name]))
        for name in _COUNTS:
            setattr(self, name, int(state[name]))
        self.stopped, self._lock, self.reason = bool(state["stopped"]), str(state["lock"]), str(state["reason"])
