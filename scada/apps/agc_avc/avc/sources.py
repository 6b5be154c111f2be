"""Continuous sources of reactive power, with what bounds them and what forbids to move them."""

from __future__ import annotations

import math

from scada.apps.agc_avc.avc.records import SourceDecision
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcTuning
from scada.model_cim.regulation import ReactiveSource


class SourceControl:
    """State of one continuous source.

    Args:
        source: the source of the model.
        tuning: parameters.

    Attributes:
        reactive: measured Mvar, NaN = unknown.
        sent: last set-point, NaN = none.
        reason: why it cannot be moved; empty = it can.
        substituted: which of its measurements an operator entered or blocked.
    """

    def __init__(self, source: ReactiveSource, tuning: AvcTuning) -> None:
        self.source = source
        self.reactive = math.nan
        self.sent = math.nan
        self.reason = "not read yet"
        self.substituted = ""
        self._tuning = tuning
        self._refusals = 0

    def read(self, inputs: Measurements) -> None:
        """Take measurements and judge whether the source can be used."""
        source = self.source
        reactive, remote = inputs.read(source.power), 1.0 if source.remote is None else inputs.read(source.remote)
        self.reactive = math.nan if reactive is None else reactive
        self.reason = inputs.forbidden(source.setpoint)
        named = (("reactive power", source.power), ("remote status", source.remote))
        self.substituted = ", ".join(name for name, pid in named if inputs.is_held(pid))
        if self.reason:
            return
        if not (source.minimum <= source.maximum and source.step > 0):
            self.reason = "limits or step of the model make no sense"
        elif reactive is None:
            self.reason = "no good measurement of its reactive power"
        elif remote != 1:
            self.reason = "no good measurement of its remote status" if remote is None else "not in remote control"
        elif self._refusals >= self._tuning.refusals:
            self.reason = f"refused {self._refusals} times, waits for an operator"

    def bounds(self) -> tuple[float, float]:
        """Smallest and largest change of this cycle, Mvar. A source outside its limits may only come back, by steps."""
        source = self.source
        hi = max(min(source.maximum - self.reactive, source.step), -source.step)
        lo = min(max(source.minimum - self.reactive, -source.step), source.step)
        return min(lo, hi), hi

    def refused(self) -> None:
        """The control path did not bring the last set-point to the source."""
        self._refusals += 1
        self.sent = math.nan

    def confirmed(self) -> None:
        """The last set-point arrived."""
        self._refusals = 0

    def unlock(self) -> None:
        """An operator gives it another chance."""
        self._refusals = 0

    def decision(self) -> SourceDecision:
        """Its state for the status."""
        return SourceDecision(
            name=self.source.name,
            mrid=self.source.mrid,
            reactive_mvar=self.reactive,
            setpoint_mvar=self.sent,
            minimum_mvar=self.source.minimum,
            maximum_mvar=self.source.maximum,
            available=not self.reason,
            reason=self.reason or (f"substituted: {self.substituted}" if self.substituted else ""),
        )
