"""Continuous sources of reactive power: what bounds them, what forbids to move them, whether they follow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from scada.apps.agc_avc.avc.capability import Capability, capability
from scada.apps.agc_avc.avc.records import SourceDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcTuning
from scada.model_cim.regulation import ReactiveSource

_LEAST_TOLERANCE = 0.5
"""Mvar; a smaller difference from a set-point is what measurements have."""
_APPROACH = 0.1
"""Part of the way to its set-point that a source must make in a cycle to be said to approach it."""
_AT_LIMIT = 1e-6
_KINDS = ("machine", "inverter", "svg")

Loop = Literal["closed", "open", "test"]


class SourceControl:
    """State of one continuous source. Its set-point is reactive power; a source that holds a voltage of its own is none of ours.

    Args:
        source: the source of the model.
        tuning: parameters.

    Attributes:
        reactive: measured Mvar, NaN = unknown.
        active: measured MW, NaN = unknown.
        bus_kv: voltage at its own bus, NaN = unknown or not believed.
        sent: last set-point, NaN = none.
        advice: set-point that would be sent if its loop were closed and AVC on; NaN = none.
        capability: what it can give now.
        fault: why it cannot be moved, whatever its loop; empty = it can.
        substituted: which of its measurements an operator entered or blocked.
        loop: ``closed``, ``open`` (advice only) or ``test`` (only the operator's test value).
        test_value: test set-point not reached yet, NaN = none.
    """

    def __init__(self, source: ReactiveSource, tuning: AvcTuning) -> None:
        self.source = source
        self.reactive = math.nan
        self.active = math.nan
        self.bus_kv = math.nan
        self.sent = math.nan
        self.advice = math.nan
        self.capability = Capability(math.nan, math.nan, ())
        self.fault = "not read yet"
        self.substituted = ""
        self.loop: Loop = "closed"
        self.test_value = math.nan
        self._tuning = tuning
        self._refusals = 0
        self._idle = 0
        self._before = math.nan
        self._settled = False
        self._blocks: tuple[str, str] = ("", "")

    @property
    def reason(self) -> str:
        """Why AVC does not move it; empty = it does."""
        return self.fault or ("" if self.loop == "closed" else f"{self.loop} loop")

    @property
    def minimum(self) -> float:
        """Least Mvar now, NaN = unknown."""
        return self.capability.minimum

    @property
    def maximum(self) -> float:
        """Greatest Mvar now, NaN = unknown."""
        return self.capability.maximum

    @property
    def follows(self) -> bool:
        """False after it did not approach its set-points, until :meth:`unlock`."""
        return self._idle < self._tuning.response_cycles

    # ------------------------------------------------------------ measurements

    def read(self, inputs: Measurements) -> None:
        """Take measurements and judge whether the source can be used and follows."""
        source = self.source
        reactive, active = inputs.read(source.power), inputs.read(source.active)
        remote = 1.0 if source.remote is None else inputs.read(source.remote)
        named = (
            ("reactive power", source.power),
            ("active power", source.active),
            ("remote status", source.remote),
            ("raise block", source.raise_blocked),
            ("lower block", source.lower_blocked),
        )
        self.substituted = ", ".join(name for name, pid in named if inputs.is_held(pid))
        self.active = math.nan if active is None else active
        self.bus_kv = self._bus_voltage(inputs.first_good(source.voltage))
        self.capability = capability(source, active)
        self._blocks = (self._block(inputs, source.raise_blocked, "raise"), self._block(inputs, source.lower_blocked, "lower"))
        self.advice = math.nan
        self._judge_response(reactive, held=inputs.is_held(source.power))
        self.reactive = math.nan if reactive is None else reactive
        self.fault = inputs.forbidden(source.setpoint) or self._fault(remote)
        if self.fault:
            self.sent = math.nan  # when it comes back it starts from where it stands

    def _fault(self, remote: float | None) -> str:
        if self.source.kind not in _KINDS or not (self.source.step > 0 and self.source.setpoint >= 0):
            return "kind, step or control of the model make no sense"
        if math.isnan(self.reactive):
            return "no good measurement of its reactive power"
        if self.capability.reason:
            return self.capability.reason
        if remote != 1:
            return "no good measurement of its remote status" if remote is None else "not in remote control"
        if self._refusals >= self._tuning.refusals:
            return f"refused {self._refusals} times, waits for an operator"
        return "" if self.follows else "does not follow its set-points, waits for an operator"

    def _bus_voltage(self, kv: float | None) -> float:
        """Voltage of its bus if that makes sense against its limits."""
        given = [limit for limit in (self.source.voltage_minimum, self.source.voltage_maximum) if math.isfinite(limit)]
        if kv is None or not given:
            return math.nan
        plausible = self._tuning.plausible_low * min(given) <= kv <= self._tuning.plausible_high * max(given)
        return kv if plausible else math.nan

    @staticmethod
    def _block(inputs: Measurements, pid: int | None, name: str) -> str:
        """Why it must not move one way; a block that is not known counts as one."""
        if pid is None:
            return ""
        value = inputs.read(pid)
        return "" if value == 0 else f"{name} block not known" if value is None else f"{name} blocked"

    def _judge_response(self, reactive: float | None, *, held: bool) -> None:
        """Count cycles in which it neither stands at its set-point nor comes nearer."""
        before, self._before = self._before, math.nan if reactive is None or held else reactive
        self._settled = False
        if reactive is None or held or math.isnan(self.sent):
            return
        missing, moved = self.sent - reactive, reactive - before
        if abs(missing) <= self.tolerance:
            self._idle = 0
            self._settled = abs(moved) <= _APPROACH * self.tolerance
        elif not math.isnan(before) and self.follows:
            way = self.sent - before
            self._idle = 0 if moved * math.copysign(1.0, way) >= _APPROACH * abs(way) else self._idle + 1

    @property
    def tolerance(self) -> float:
        """Difference from its set-point at which it has followed, Mvar."""
        span = self.source.maximum - self.source.minimum
        part = self._tuning.response_percent / 100.0 * span if math.isfinite(span) else 0.0
        return max(part, _LEAST_TOLERANCE, self._tuning.source_deadband_mvar)

    # ------------------------------------------------------------ what it can be told

    @property
    def base(self) -> float:
        """Where changes start from: its set-point if it stands there (its own error is none of ours), else where it is."""
        return self.sent if self._settled and not math.isnan(self.sent) else self.reactive

    def bounds(self) -> tuple[float, float]:
        """Smallest and largest change of this cycle from :attr:`base`, Mvar.

        A source outside its range may only come back, at once: no set-point lies outside. A block the one way leaves 0.
        """
        step, base = self.source.step, self.base
        hi, lo = min(self.maximum - base, step), max(self.minimum - base, -step)
        if base > self.maximum:
            lo = min(lo, hi)
        elif base < self.minimum:
            hi = max(lo, hi)
        if self._blocks[0]:
            hi = min(hi, 0.0)
        if self._blocks[1]:
            lo = max(lo, 0.0)
        return min(lo, hi), hi

    def limited(self, place: float | None = None) -> str:
        """What stops it there (default: at its set-point), as a key; empty = nothing."""
        if self.fault:
            return ""
        if place is None:
            place = self.base if math.isnan(self.sent) else self.sent
        lo, hi = self.bounds()
        blocked = (self._blocks[0] and hi <= 0) or (self._blocks[1] and lo >= 0)
        return self.capability.at(place, _AT_LIMIT) or ("blocked" if blocked else "")

    # ------------------------------------------------------------ commands

    def commanded(self, value: float) -> None:
        """A set-point is sent."""
        self.sent = value

    def refused(self) -> None:
        """The control path did not bring the last set-point to the source."""
        self._refusals += 1
        self.sent = math.nan

    def confirmed(self) -> None:
        """The last set-point arrived."""
        self._refusals = 0

    def unlock(self) -> None:
        """An operator gives it another chance."""
        self._refusals = self._idle = 0
        self.sent = math.nan

    def set_loop(self, loop: str, test_value: float) -> None:
        """Close or open its loop, or give it a test set-point, approached by steps.

        Raises:
            RegulationError: no such loop, or the test value is outside its limits.
        """
        if loop not in ("closed", "open", "test"):
            raise RegulationError(f"a source has no loop {loop!r}", mend="use closed, open or test")
        if loop == "test" and not self.source.minimum <= test_value <= self.source.maximum:
            raise RegulationError(f"{self.source.name} cannot give {test_value:g} Mvar", mend="stay inside its limits")
        self.loop, self.test_value = loop, test_value if loop == "test" else math.nan  # type: ignore[assignment]

    def test_setpoint(self) -> float:
        """Next set-point of a test, within range and step; NaN = nothing to send."""
        if self.loop != "test" or self.fault or math.isnan(self.test_value):
            return math.nan
        lo, hi = self.bounds()
        value = self.base + min(max(self.test_value - self.base, lo), hi)
        if value == self.test_value:
            self.test_value = math.nan
        return value

    # ------------------------------------------------------------ state

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {
            "sent": self.sent,
            "refusals": self._refusals,
            "loop": self.loop,
            "test_value": self.test_value,
            "idle": self._idle,
            "before": self._before,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.sent, self._refusals = float(state["sent"]), int(state["refusals"])
        self.loop, self.test_value = state["loop"], float(state["test_value"])
        self._idle, self._before = int(state["idle"]), float(state["before"])

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over the lock of an earlier life; its set-point, loop and test are ordered anew."""
        self._refusals, self._idle = int(state["refusals"]), int(state["idle"])

    def decision(self) -> SourceDecision:
        """Its state for the status."""
        blocked = "; ".join(text for text in self._blocks if text)
        return SourceDecision(
            name=self.source.name,
            mrid=self.source.mrid,
            reactive_mvar=self.reactive,
            setpoint_mvar=self.sent,
            minimum_mvar=self.minimum if math.isfinite(self.minimum) else self.source.minimum,
            maximum_mvar=self.maximum if math.isfinite(self.maximum) else self.source.maximum,
            available=not self.reason,
            reason=self.reason or blocked or (f"substituted: {self.substituted}" if self.substituted else ""),
            loop=self.loop,
            advice_mvar=self.advice,
            limited=self.limited(),
            plant=self.source.plant,
            kind=self.source.kind,
            active_mw=self.active,
            bus_kv=self.bus_kv,
        )
