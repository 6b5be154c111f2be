"""How a unit follows its commands: speed, response and accuracy of each, measured while it happens.

``speed = |PE - PS| / (TE - TS)``: PS, TS where the unit first leaves its output by the dead band in the right sense, PE, TE
where it arrives at the target; time spent in a forbidden zone on the way (change of mills) is left out, up to what the rules
allow. ``delay = TS - T0``, T0 the command. ``error`` is the mean ``|P - target|`` in the window after arrival. [K: the measures
are those of the Chinese "two detailed rules"; regions differ in the details, so the parameters are data]

A set-point that goes on in the same direction before the target is reached moves the target of the running command: a regulator
that sends a ramp in small steps gives one command, not a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from scada.core.clock import NS_PER_S

_LONGEST_GAP_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Measure:
    """Parameters of measuring one unit.

    Attributes:
        deadband_mw: the unit responds once it left its output by more.
        arrival_mw: the target is reached within this.
        smallest_mw: commands that ask for less are not measured.
        hold_s: window after arrival.
        timeout_s: a command not reached by then ends.
        mill_switch_s: longest time in a forbidden zone that is left out, each crossing.
    """

    deadband_mw: float
    arrival_mw: float
    smallest_mw: float
    hold_s: float
    timeout_s: float
    mill_switch_s: float


@dataclass(frozen=True, slots=True)
class CommandMeasure:
    """One command as the unit followed it; NaN = not measured.

    Attributes:
        begin_ns: ns UTC of the command.
        end_ns: ns UTC at which the measurement ended.
        from_mw: output at the command.
        target_mw: last target.
        end_mw: output at the end.
        delay_s: until it responded; infinite = not at all.
        speed_mw_min: while it moved.
        error_mw: in the window after arrival; of one that never arrived, what was missing at the end.
        mill_s: time left out for changes of mills.
        valid: share of the cycles in which its output was known.
        complete: arrived and held, or timed out; False = superseded by another command, or taken off control.
    """

    begin_ns: int
    end_ns: int
    from_mw: float
    target_mw: float
    end_mw: float
    delay_s: float
    speed_mw_min: float
    error_mw: float
    mill_s: float
    valid: float
    complete: bool


@dataclass(slots=True)
class _Running:
    begin_ns: int
    from_mw: float
    target: float
    sign: float
    asked: int = 0
    valid: int = 0
    left_ns: int = 0
    left_mw: float = math.nan
    arrived_ns: int = 0
    arrived_mw: float = math.nan
    zone_s: float = 0.0
    mill_s: float = 0.0
    held: float = 0.0
    held_samples: int = 0
    last_mw: float = math.nan


class CommandTracker:
    """Watches one unit, cycle by cycle.

    Args:
        measure: parameters.
        zones: forbidden zones in MW, (low, high).
    """

    __slots__ = ("_last_ns", "_measure", "_running", "_setpoint", "_zones")

    def __init__(self, measure: Measure, zones: Sequence[tuple[float, float]] = ()) -> None:
        self._measure = measure
        self._zones = tuple(zones)
        self._setpoint = math.nan
        self._last_ns = 0
        self._running: _Running | None = None

    def sample(self, now_ns: int, power_mw: float, setpoint_mw: float, *, controlled: bool) -> CommandMeasure | None:
        """Take one cycle; returns the command that ended in it, if one did.

        After a jump of the clock the running command is dropped: it cannot be measured.

        Args:
            now_ns: ns UTC.
            power_mw: output, NaN = unknown.
            setpoint_mw: set-point sent last, NaN = none.
            controlled: the unit is under control.
        """
        elapsed = (now_ns - self._last_ns) / NS_PER_S
        if self._last_ns and not 0 < elapsed <= _LONGEST_GAP_S:
            self._running, self._setpoint = None, math.nan
        self._last_ns = now_ns
        ended, running = None, self._running
        if not controlled or math.isnan(setpoint_mw):
            self._setpoint = math.nan
            return None if running is None else self._end(now_ns, complete=False)
        if setpoint_mw != self._setpoint:
            first, self._setpoint = math.isnan(self._setpoint), setpoint_mw
            if running is not None and not self._goes_on(running, setpoint_mw):
                ended, running = self._end(now_ns, complete=bool(running.arrived_ns)), None
            if running is None and not first and abs(setpoint_mw - power_mw) >= self._measure.smallest_mw:
                sign = math.copysign(1.0, setpoint_mw - power_mw)
                self._running = running = _Running(now_ns, power_mw, setpoint_mw, sign, last_mw=power_mw)
        if running is not None:
            ended = self._follow(running, now_ns, power_mw, elapsed) or ended
        return ended

    def _goes_on(self, running: _Running, setpoint: float) -> bool:
        if running.arrived_ns or (setpoint - running.target) * running.sign < 0:
            return False
        running.target = setpoint
        return True

    def _follow(self, running: _Running, now_ns: int, power: float, elapsed: float) -> CommandMeasure | None:
        measure = self._measure
        running.asked += 1
        if not math.isnan(power):
            running.valid += 1
            running.last_mw = power
            if not running.left_ns and (power - running.from_mw) * running.sign > measure.deadband_mw:
                running.left_ns, running.left_mw = now_ns, power
            elif running.left_ns and not running.arrived_ns:
                self._mills(running, power, elapsed)
            reached = abs(power - running.target) <= measure.arrival_mw or (power - running.target) * running.sign > 0
            if not running.arrived_ns and reached:
                running.arrived_ns, running.arrived_mw = now_ns, power
                if not running.left_ns:
                    running.left_ns, running.left_mw = now_ns, power
            if running.arrived_ns:
                running.held += abs(power - running.target)
                running.held_samples += 1
        if running.arrived_ns and now_ns - running.arrived_ns >= measure.hold_s * NS_PER_S:
            return self._end(now_ns, complete=True)
        if not running.arrived_ns and now_ns - running.begin_ns >= measure.timeout_s * NS_PER_S:
            return self._end(now_ns, complete=True)
        return None

    def _mills(self, running: _Running, power: float, elapsed: float) -> None:
        if any(low < power < high for low, high in self._zones):
            allowed = max(0.0, self._measure.mill_switch_s - running.zone_s)
            running.zone_s += elapsed
            running.mill_s += min(elapsed, allowed)
        else:
            running.zone_s = 0.0

    def _end(self, now_ns: int, *, complete: bool) -> CommandMeasure:
        running = self._running
        assert running is not None
        self._running = None
        delay = (running.left_ns - running.begin_ns) / NS_PER_S if running.left_ns else math.inf
        return CommandMeasure(
            begin_ns=running.begin_ns,
            end_ns=now_ns,
            from_mw=running.from_mw,
            target_mw=running.target,
            end_mw=running.last_mw,
            delay_s=delay,
            speed_mw_min=_speed(running, now_ns),
            error_mw=running.held / running.held_samples if running.held_samples else abs(running.last_mw - running.target),
            mill_s=running.mill_s,
            valid=running.valid / running.asked if running.asked else 0.0,
            complete=complete,
        )

    def state(self) -> dict[str, Any]:
        """Everything that later results depend on, for :meth:`restore`."""
        return {
            "setpoint": self._setpoint,
            "last_ns": self._last_ns,
            "running": None if self._running is None else asdict(self._running),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from an exported state."""
        self._setpoint, self._last_ns = state["setpoint"], state["last_ns"]
        self._running = None if state["running"] is None else _Running(**state["running"])


def _speed(running: _Running, now_ns: int) -> float:
    """MW/min while it moved; 0 = it never did."""
    if not running.left_ns:
        return 0.0
    to_ns, to_mw = (running.arrived_ns, running.arrived_mw) if running.arrived_ns else (now_ns, running.last_mw)
    seconds = (to_ns - running.left_ns) / NS_PER_S - running.mill_s
    if seconds <= 0:  # within one cycle: from the command on, the slowest it can have been
        seconds = (to_ns - running.begin_ns) / NS_PER_S
        return 60.0 * abs(to_mw - running.from_mw) / seconds if seconds > 0 else math.nan
    return 60.0 * max(0.0, (to_mw - running.left_mw) * running.sign) / seconds
