"""Switched banks and tap changers, with what forbids to move them."""

from __future__ import annotations

import math

from scada.apps.agc_avc.avc.records import DeviceDecision
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcTuning
from scada.core.clock import NS_PER_S, Clock
from scada.model_cim.regulation import DiscreteDevice

OPEN, CLOSED = 1, 2
"""Positions and commands of a double-point switch."""
LOWER, HIGHER = 1, 2
"""Step commands."""
_DAY_NS = 86_400 * NS_PER_S


class DeviceControl:
    """State of one capacitor, reactor or tap changer.

    Args:
        device: the device of the model. With ``high_step > low_step`` it is stepped, otherwise it is one switched bank.
        clock: for intervals and the day of the count.
        tuning: parameters.

    Attributes:
        position: last good position, NaN = unknown.
        lock: why it must not be operated now; empty = it may.
        operations_today: changes of position seen today, whoever ordered them.
    """

    def __init__(self, device: DiscreteDevice, clock: Clock, tuning: AvcTuning) -> None:
        self.device = device
        self.position = math.nan
        self.lock = "position not read yet"
        self.operations_today = 0
        self.last_operation_ns = 0
        self._stepped = device.high_step > device.low_step
        self._clock = clock
        self._tuning = tuning
        self._operated_at = -math.inf
        self._locked_at = -math.inf
        self._day = -1
        self._refusals = 0
        self._held = False

    def restore(self, operations_today: int, last_operation_ns: int) -> None:
        """Take counts over from before a restart."""
        self._day = self._today()
        self.operations_today = operations_today
        self.last_operation_ns = last_operation_ns
        self._operated_at = self._clock.monotonic() - (self._clock.now_ns() - last_operation_ns) / NS_PER_S

    def read(self, inputs: Measurements) -> None:
        """Take the position, count changes, and judge whether the device may be operated."""
        if self._today() != self._day:
            self._day, self.operations_today = self._today(), 0
        position, held = inputs.read(self.device.position), inputs.is_held(self.device.position)
        entered = held or self._held  # what an operator enters or releases is no operation
        if position is not None and not entered and not math.isnan(self.position) and position != self.position:
            self.operations_today += 1
            self._stamp()
        self.position = math.nan if position is None else position
        self._held = held
        self.lock = inputs.forbidden(self.device.control) or self._why_locked()

    def commanded(self) -> None:
        """A command was sent: the interval starts now."""
        self._stamp()

    def refused(self) -> None:
        """The control path did not bring the last command to an end."""
        self._refusals += 1
        self._locked_at = self._clock.monotonic()

    def confirmed(self) -> None:
        """The device followed."""
        self._refusals = 0

    def unlock(self) -> None:
        """An operator opens the lock after refusals."""
        self._refusals = 0

    def command(self, *, raising: bool) -> int:
        """Command value that raises (or lowers) the voltage by one operation; 0 if there is none from this position."""
        if self._stepped:
            upwards = raising == self._more_is_higher_voltage()
            end = self.device.high_step if upwards else self.device.low_step
            return 0 if self.position == end else (HIGHER if upwards else LOWER)
        wanted = CLOSED if raising == self._more_is_higher_voltage() else OPEN
        return 0 if self.position == wanted else wanted

    def _more_is_higher_voltage(self) -> bool:
        """True if a higher position means a higher voltage."""
        if self.device.kind == "tap":
            return self.device.raise_increases_voltage
        return self.device.kind == "capacitor"

    def _why_locked(self) -> str:
        device, now = self.device, self._clock.monotonic()
        if self._held or math.isnan(self.position):
            return "its position is substituted by an operator" if self._held else "no good measurement of its position"
        allowed = device.low_step <= self.position <= device.high_step if self._stepped else self.position in (OPEN, CLOSED)
        if not allowed:
            return f"position {self.position:g} is not a valid one"
        if self._refusals >= self._tuning.refusals and now - self._locked_at < (self._tuning.unlock_s or math.inf):
            return f"refused {self._refusals} times, waits for an operator"
        if self.operations_today >= device.daily_limit:
            return f"daily limit of {device.daily_limit} operations reached"
        waited = now - self._operated_at
        if waited < device.min_interval_s:
            return f"last operation {waited:.0f} s ago, must wait {device.min_interval_s:.0f} s"
        return ""

    def _stamp(self) -> None:
        self._operated_at, self.last_operation_ns = self._clock.monotonic(), self._clock.now_ns()

    def _today(self) -> int:
        return (self._clock.now_ns() + round(self._tuning.day_offset_s * NS_PER_S)) // _DAY_NS

    def decision(self) -> DeviceDecision:
        """Its state for the status."""
        return DeviceDecision(
            name=self.device.name,
            mrid=self.device.mrid,
            kind=self.device.kind,
            position=self.position,
            operations_today=self.operations_today,
            daily_limit=self.device.daily_limit,
            lock=self.lock,
            last_operation_ns=self.last_operation_ns,
        )
