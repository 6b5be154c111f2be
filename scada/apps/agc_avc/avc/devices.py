"""Switched banks and tap changers: position, count, and what forbids to move them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from scada.apps.agc_avc.avc.device_times import Quota, Stopwatch
from scada.apps.agc_avc.avc.locks import Lock
from scada.apps.agc_avc.avc.records import DeviceDecision
from scada.apps.agc_avc.errors import RegulationError
from scada.apps.agc_avc.inputs import Measurements
from scada.core.avc_settings import AvcDiscreteSettings, AvcTuning
from scada.core.clock import NS_PER_S, Clock
from scada.model_cim.regulation import DiscreteDevice

OPEN, CLOSED = 1, 2
"""Positions and commands of a double-point switch."""
LOWER, HIGHER = 1, 2
"""Step commands."""
DAY_NS = 86_400 * NS_PER_S

Loop = Literal["closed", "open", "test"]
LOOPS: tuple[Loop, ...] = ("closed", "open", "test")


class DeviceControl:
    """State of one capacitor, reactor or tap changer.

    Every change between two real positions is counted, whoever ordered it; what an operator enters as a position is none.
    A command is followed until the position answers it; what moves without our command was moved by others: it is counted, starts
    the interval, and is not undone within the hold time.

    Args:
        device: the device of the model. With ``high_step > low_step`` it is stepped, otherwise it is one switched bank.
        clock: for intervals and the day of the count.
        tuning: parameters.
        settings: intervals, quota and holds.

    Attributes:
        position: last good position, NaN = unknown.
        locked: why it must not be operated at all; None = it may.
        operations_today: operations seen today, whoever ordered them.
        others_today: those of them that were not ours.
        loop: ``closed``, ``open`` (advice only) or ``test`` (only the operator's test command).
        test_value: test command still to be sent, NaN = none.
        lock_counts: how often each lock closed since the start of the day.
    """

    def __init__(self, device: DiscreteDevice, clock: Clock, tuning: AvcTuning, settings: AvcDiscreteSettings) -> None:
        self.device = device
        self.stepped = device.high_step > device.low_step
        self.position = math.nan
        self.locked: Lock | None = Lock("position_unknown", "position not read yet")
        self.operations_today = 0
        self.others_today = 0
        self.last_operation_ns = 0
        self.loop: Loop = "closed"
        self.test_value = math.nan
        self.lock_counts: dict[str, int] = {}
        self._quota = Quota(settings.quota, device.daily_limit)
        self._clock = clock
        self._tuning = tuning
        self._settings = settings
        self._locked_before = ""
        self._last = math.nan  # last real position
        self._held = False
        self._day = -1
        self._expected = math.nan  # where our last command leads
        self._watch = Stopwatch(clock)
        self._under_way = False
        self._refusals = 0
        self._unanswered = 0
        self._tripped = False
        self._trip_shown = False
        self._acknowledged = False
        self._direction = 0  # of the last operation, +1 raised the voltage
        self._by_others = False

    # ------------------------------------------------------------ measurements

    def read(self, inputs: Measurements) -> None:
        """Take the position, count changes, and judge whether the device may be operated."""
        self._locked_before = self.locked.key if self.locked else ""
        if self._today() != self._day:
            self._day, self.operations_today, self.others_today, self.lock_counts = self._today(), 0, 0, {}
        position, held = inputs.read(self.device.position), inputs.is_held(self.device.position)
        if position is not None and not held and self._valid(position):
            if not math.isnan(self._last) and position != self._last:
                self._moved(position)
            self._last = position
        self.position, self._held = math.nan if position is None else position, held
        if self._under_way and self._watch.since("command") > self._settings.response_s:
            self._under_way = False
            self._unanswered += 1
            self._watch.start("failure")
        tripped = inputs.read(self.device.tripped)
        if tripped == 1 and not self._trip_shown:
            self._tripped, self._acknowledged = True, False
        elif tripped == 0 and self._acknowledged:
            self._tripped = self._acknowledged = False
        if tripped is not None:
            self._trip_shown = tripped == 1
        self._relock(self._find(inputs, tripped))

    def _valid(self, position: float) -> bool:
        if self.stepped:
            return position == round(position) and self.device.low_step <= position <= self.device.high_step
        return position in (OPEN, CLOSED)

    def _moved(self, position: float) -> None:
        """The device stands elsewhere than before."""
        steps = max(1, round(abs(position - self._last))) if self.stepped else 1
        ours = position == self._expected
        self.operations_today += steps
        self._direction = 1 if (position > self._last) == self._more_is_higher_voltage() else -1
        self._by_others = not ours
        self.last_operation_ns = self._clock.now_ns()
        self._watch.start("operation")
        if not ours:
            self.others_today += steps
            self._watch.start("others")
        if self.device.kind == "capacitor" and position < self._last:
            self._watch.start("opened")
        self._expected = math.nan
        self._under_way = False
        if ours:
            self._refusals = self._unanswered = 0

    @property
    def aim(self) -> float:
        """Position to which the last command leads; NaN = none is waited for."""
        return self._expected

    # ------------------------------------------------------------ locks

    @property
    def lock(self) -> str:
        """Why it must not be operated at all; empty = it may."""
        return self.locked.text if self.locked else ""

    def bar(self, lock: Lock) -> None:
        """Lock it for this cycle for a reason outside it (its bus, its parallel partners); one of its own comes first."""
        if self.locked is None:
            self._relock(lock)

    def _relock(self, lock: Lock | None) -> None:
        if lock is not None and lock.key != self._locked_before:
            self.lock_counts[lock.key] = self.lock_counts.get(lock.key, 0) + 1
        self.locked = lock

    def _find(self, inputs: Measurements, tripped: float | None) -> Lock | None:
        device = self.device
        tag = inputs.forbidden(device.control)
        if tag:
            return Lock("tagged", tag)
        return self._bad_position() or self._bad_plant(inputs, tripped) or self._by_count()

    def _bad_position(self) -> Lock | None:
        if self._held:
            return Lock("position_substituted", "its position is substituted by an operator")
        if math.isnan(self.position):
            return Lock("position_unknown", "no good measurement of its position")
        if not self._valid(self.position):
            return Lock("position_invalid", f"position {self.position:g} is not a valid one")
        return None

    def _bad_plant(self, inputs: Measurements, tripped: float | None) -> Lock | None:
        device = self.device
        if self._tripped:
            still = "the trip is still there" if tripped != 0 else "waits for an operator"
            return Lock("tripped", f"its protection tripped; {'acknowledged, but ' if self._acknowledged else ''}{still}")
        if device.tripped is not None and tripped is None:
            return Lock("trip_unknown", "no good measurement of its protection trip")
        for point, wanted, key, text in (
            (device.blocked, 0.0, "block", "blocked by voltage or current relays"),
            (device.remote, 1.0, "remote", "not in remote control"),
        ):
            value = inputs.read(point)
            if point is not None and value is None:
                return Lock(f"{key}_unknown", f"no good measurement of its {'block' if key == 'block' else 'remote status'}")
            if point is not None and value != wanted:
                return Lock("blocked" if key == "block" else "not_remote", text)
        return None

    def _by_count(self) -> Lock | None:
        device, failures = self.device, self._refusals + self._unanswered
        opens_after = self._tuning.unlock_s or math.inf
        if failures >= self._tuning.refusals and self._watch.since("failure") < opens_after:
            if self._unanswered:
                return Lock("no_response", f"position did not follow {self._unanswered} times, waits for an operator")
            return Lock("refused", f"refused {self._refusals} times, waits for an operator")
        if self._under_way:
            return Lock("under_way", f"command {self._watch.since('command'):.0f} s ago, position did not follow yet")
        if self.operations_today >= device.daily_limit:
            return Lock("daily_limit", f"daily limit of {device.daily_limit} operations reached")
        waited = min(self._watch.since("operation"), self._watch.since("command"))
        if waited < device.min_interval_s:
            return Lock("interval", f"last operation {waited:.0f} s ago, must wait {device.min_interval_s:.0f} s")
        return None

    def barred(self, *, raising: bool, urgent: bool = False) -> Lock | None:
        """Why it must not be moved in this direction; None = it may.

        Args:
            raising: towards a higher voltage.
            urgent: a pilot node is outside its limits: quota and the rule against hunting do not count then.
        """
        if self.locked:
            return self.locked
        if not self.command(raising=raising):
            return Lock("at_end", f"stands at its end, position {self.position:g}")
        return self._barred_way(raising=raising) or (None if urgent else self._unwise(raising=raising))

    def _barred_way(self, *, raising: bool) -> Lock | None:
        """What forbids this direction whatever the voltage: discharge of a capacitor, and what others just did."""
        opened, others = self._watch.since("opened"), self._watch.since("others")
        if self.device.kind == "capacitor" and raising and opened < self.device.discharge_s:
            return Lock("discharge", f"opened {opened:.0f} s ago, discharges for {self.device.discharge_s:.0f} s")
        if self._by_others and self._turns(raising=raising) and others < self._settings.hold_s:
            return Lock("hold", f"moved by others {others:.0f} s ago, is not undone for {self._settings.hold_s:.0f} s")
        return None

    def _unwise(self, *, raising: bool) -> Lock | None:
        """What forbids it while no limit is violated: hunting, and operations that later hours need."""
        operated = self._watch.since("operation")
        if self._turns(raising=raising) and operated < self._settings.reversal_s:
            return Lock("reversal", f"moved the other way {operated:.0f} s ago, not back for {self._settings.reversal_s:.0f} s")
        quota = self._quota.until(self._second_of_day())
        if self.operations_today >= quota:
            return Lock("quota", f"{self.operations_today} operations today, {quota} planned until now")
        return None

    def _turns(self, *, raising: bool) -> bool:
        """True if the last operation went the other way."""
        return self._direction == (-1 if raising else 1)

    # ------------------------------------------------------------ commands

    def command(self, *, raising: bool) -> int:
        """Command value that raises (or lowers) the voltage by one operation; 0 if there is none from this position."""
        if self.stepped:
            upwards = raising == self._more_is_higher_voltage()
            end = self.device.high_step if upwards else self.device.low_step
            return 0 if self.position == end else (HIGHER if upwards else LOWER)
        wanted = CLOSED if raising == self._more_is_higher_voltage() else OPEN
        return 0 if self.position == wanted else wanted

    def raises(self, value: int) -> bool:
        """Whether a command value raises the voltage."""
        return (value == HIGHER) == self._more_is_higher_voltage()

    def commanded(self, value: int) -> None:
        """A command was sent: interval and wait for the answer start now."""
        if self.stepped:
            self._expected = self.position + (1 if value == HIGHER else -1)
        else:
            self._expected = float(value)
        self._under_way = True
        self._watch.start("command")
        self.locked = Lock("under_way", "command sent, the position did not follow yet")

    def refused(self) -> None:
        """The control path did not bring the last command to an end."""
        self._under_way = False
        self._refusals += 1
        self._watch.start("failure")

    def confirmed(self) -> None:
        """The command arrived; the position says whether the device followed."""
        self._refusals = 0

    def unlock(self) -> None:
        """An operator opens the lock after refusals or no answer, and acknowledges a trip."""
        self._refusals = self._unanswered = 0
        self._acknowledged = self._tripped

    def set_loop(self, loop: str, test_value: float) -> None:
        """Close or open its loop, or give it a test command, sent once as soon as no lock forbids it.

        Raises:
            RegulationError: the test value is no command of this device.
        """
        if loop == "test" and test_value not in (LOWER, HIGHER):
            raise RegulationError(f"{self.device.name} has no command {test_value:g}", mend="1 = open, lower; 2 = close, higher")
        self.loop = loop  # type: ignore[assignment] # the controller checked it
        self.test_value = test_value if loop == "test" else math.nan

    def _more_is_higher_voltage(self) -> bool:
        """True if a higher position means a higher voltage."""
        if self.device.kind == "tap":
            return self.device.raise_increases_voltage
        return self.device.kind == "capacitor"

    # ------------------------------------------------------------ time and state

    def _day_ns(self) -> int:
        return self._clock.now_ns() + round(self._tuning.day_offset_s * NS_PER_S)

    def _today(self) -> int:
        return self._day_ns() // DAY_NS

    def _second_of_day(self) -> float:
        return self._day_ns() % DAY_NS / NS_PER_S

    def restore_count(self, operations_today: int, last_operation_ns: int) -> None:
        """Take the count and the last operation over from the history, where nothing better is known."""
        self._day = self._today()
        self.operations_today = operations_today
        self.last_operation_ns = last_operation_ns
        self._watch.started_before("operation", self._clock.now_ns() - last_operation_ns)
        if self.device.kind == "capacitor":  # whichever way it went: it may have been the opening
            self._watch.started_before("opened", self._clock.now_ns() - last_operation_ns)

    _KEPT = (
        "position", "operations_today", "others_today", "last_operation_ns", "loop", "test_value", "lock_counts", "_last",
        "_held", "_day", "_expected", "_under_way", "_refusals", "_unanswered", "_tripped", "_trip_shown", "_acknowledged",
        "_direction", "_by_others",
    )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        kept = {name: getattr(self, name) for name in self._KEPT}
        lock = [self.locked.key, self.locked.text] if self.locked else []
        return kept | {"lock_counts": dict(self.lock_counts), "lock": lock, "watch": self._watch.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; times go on by the wall clock."""
        for name in self._KEPT:
            if name in state:
                setattr(self, name, state[name])
        self.lock_counts = dict(self.lock_counts)
        self.locked = Lock(*state["lock"]) if state.get("lock") else None
        self._watch.restore(state.get("watch", {}))

    def resume(self, state: Mapping[str, Any]) -> None:
        """Take over counts, times and locks of an earlier life; loop and test are ordered anew, and no command is waited for.

        Where the history (:meth:`restore_count`) knows a later operation than the state, its count and times stand.
        """
        day, count, last = self._day, self.operations_today, self.last_operation_ns
        self.restore(state)
        self.loop, self.test_value = "closed", math.nan
        self._expected, self._under_way = math.nan, False
        if last > self.last_operation_ns:
            before = self.operations_today if self._day == day else 0
            self.restore_count(max(count, before), last)
            self._last = math.nan  # the state does not know how it moved: it is counted already

    def decision(self) -> DeviceDecision:
        """Its state for the status."""
        raising, lowering = self.barred(raising=True), self.barred(raising=False)
        return DeviceDecision(
            name=self.device.name,
            mrid=self.device.mrid,
            kind=self.device.kind,
            position=self.position,
            operations_today=self.operations_today,
            daily_limit=self.device.daily_limit,
            lock=self.lock,
            last_operation_ns=self.last_operation_ns,
            lock_key=self.locked.key if self.locked else "",
            lock_clears=self.locked.clears if self.locked else "",
            raise_barred=raising.key if raising else "",
            lower_barred=lowering.key if lowering else "",
            others_today=self.others_today,
            loop=self.loop,
            quota_now=self._quota.until(self._second_of_day()),
        )
