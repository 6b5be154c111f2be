"""One run of a programme as a pure state machine: events in, effects out.

What no order of events can do is decided here: a step's order leaves only when it is its turn, once, after every step before it
succeeded and after the confirmation where one is needed, and none leaves after a stop or a failure. Whether the plant and the
rights allow a step is asked by the control desk, for each step anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from scada.control.conditions import Judge, holds
from scada.control.programme_effects import CancelStep, ExecuteStep, KeepRun, RunEffect, SelectStep
from scada.control.programme_ending import Ending
from scada.control.programme_flight import StepsUnderWay
from scada.control.programme_records import RunRecord, RunState, StepPhase, phase_after, take_for_done
from scada.control.programme_trace import RunTrace, why_of
from scada.control.programmes import Kind, Step
from scada.control.proof import UNWATCHED
from scada.control.records import ControlReply, Principal, SequenceState
from scada.control.start_time import LATE_S, StartTime
from scada.core.clock import Clock

CONFIRM_S: Final = 600.0
"""A run that nobody confirmed within this time, or until it is late, ends."""
PAUSE_S: Final = 3600.0
"""Longest pause: what was confirmed before it is no longer sure after it."""

_LOOK: Final = "the station confirmed it and no feedback shows it; look at the plant: who resumes the run takes it for done"

Still = Callable[[Principal], Principal | str]
"""Who acts with the rights that he has now, or why he may not act any more."""


class ProgrammeRun:
    """One run from its start to its end.

    Args:
        record: what is known of it; changed here.
        principal: who acts.
        clock: stamps, the time of a timed start (wall), and every other wait (monotonic).
        judge: of conditions.
        still: asked before each order.
        guards: why a guardian may no longer be one of this run, empty if he may; asked before each order too.
        answer_s: longest wait for the control desk's answer to a step; it must outlast the desk's own deadlines.

    Attributes:
        record: as above.
        principal: who acts.
        guardian: who confirmed it, None if nobody did.
        outdated: what it has still to do was changed in the model, so a guardian's word is not of it any more.
    """

    def __init__(
        self,
        record: RunRecord,
        principal: Principal,
        clock: Clock,
        judge: Judge,
        still: Still,
        guards: Callable[[Principal], str],
        answer_s: Callable[[Step], float],
    ) -> None:
        self.record = record
        self.principal = principal
        self.guardian: Principal | None = None
        self.outdated = False
        self._clock = clock
        self._judge = judge
        self._still = still
        self._guards = guards
        self._answer_s = answer_s
        now = clock.monotonic()
        self._time = StartTime(record.at_ns, clock)
        self._until = now + max(CONFIRM_S, self._time.left_s + LATE_S)
        """Of the confirmation, then of the condition that starts it, or of a pause."""
        self._since = math.inf
        """Since when a condition is awaited."""
        self._not_before = now
        self._flight = StepsUnderWay(record.steps, clock)
        self._trace = RunTrace(record, clock)
        self._once = False
        self._ending: Ending | None = None

    # ---------------------------------------------------------------- people

    def begin(self, evidence: bytes) -> list[RunEffect]:
        """Started: wait for the confirmation, the time or the condition, or go on at once."""
        record = self.record
        record.state = RunState.UNCONFIRMED if record.needs_guardian else RunState.WAITING
        started = self._trace.told("start", "asked", self.principal, evidence=evidence)
        return started + self.tick()

    def confirm(self, guardian: Principal, evidence: bytes) -> list[RunEffect]:
        """The second person agrees."""
        if self.record.state is not RunState.UNCONFIRMED:
            return []
        self.guardian = guardian
        self.record.guardian, self.record.guardian_station = guardian.name, guardian.station
        self.record.state = RunState.WAITING
        return self._trace.told("confirm", "confirmed", guardian, evidence=evidence) + self.tick()

    def refuse(self, guardian: Principal, reason: str, evidence: bytes) -> list[RunEffect]:
        """The second person does not."""
        if self.record.state is not RunState.UNCONFIRMED:
            return []
        text = f"{guardian.name} did not confirm it" + (f": {reason}" if reason else "")
        return self._wind_down(RunState.STOPPED, "guardian_refused", text, guardian, evidence)

    def pause(self, by: Principal, reason: str, evidence: bytes) -> list[RunEffect]:
        """Begin nothing more until it is resumed; what is selected is withdrawn, what is being executed runs to its end."""
        text = f"paused by {by.name}" + (f": {reason}" if reason else "")
        return [self._trace.order("pause", by, reason, evidence), *self._wind_down(RunState.PAUSED, "paused", text, by)]

    def stop(self, by: Principal, reason: str, evidence: bytes) -> list[RunEffect]:
        """End it for good, as :meth:`pause` does for a time."""
        text = f"stopped by {by.name}" + (f": {reason}" if reason else "")
        return [self._trace.order("stop", by, reason, evidence), *self._wind_down(RunState.STOPPED, "stopped", text, by)]

    def resume(self, by: Principal, reason: str, evidence: bytes, *, once: bool = False) -> list[RunEffect]:
        """Go on with a paused run, ``once`` for one step alone; who resumes it acts, and answers for it, from now on."""
        record = self.record
        self.principal = by
        record.operator, record.workstation, record.session = by.name, by.station, by.session
        record.state = RunState.RUNNING if record.began else RunState.WAITING
        record.code = record.reason = ""
        taken = [effect for index in take_for_done(record, by.name, reason) for effect in self._trace.step_accepted(index, by)]
        self._once = once
        if not once:
            record.single_step = False
        self._until = self._since = math.inf
        if not record.began:
            self._time.believe_the_clock()  # who resumes it has looked at it
        told = self._trace.told("step" if once else "resume", "resumed", by, why=reason, evidence=evidence)
        return told + taken + self.tick()

    # ---------------------------------------------------------------- what happens meanwhile

    def model_changes(self) -> list[RunEffect]:
        """The model of what it has still to do is about to change."""
        self.outdated = True
        return self.hold("model_change", "the model of its controls is being changed: look at it, then resume or stop it")

    def hold(self, code: str, reason: str) -> list[RunEffect]:
        """Pause it by this server itself; one that is paused says why else it would be."""
        match self.record.state:
            case RunState.UNCONFIRMED:
                return self._wind_down(RunState.STOPPED, code, reason)
            case RunState.WAITING | RunState.RUNNING:
                return self._wind_down(RunState.PAUSED, code, reason)
            case RunState.PAUSED:
                return self._paused_too(code, reason)
            case _:
                return []

    def _paused_too(self, code: str, reason: str) -> list[RunEffect]:
        record = self.record
        both = Ending(RunState.PAUSED, code, reason).after(Ending(RunState.PAUSED, record.code, record.reason))
        if both.reason == record.reason:
            return []
        record.code, record.reason = both.code, both.reason
        return self._trace.told("paused", "paused", self.principal)

    def selected(self, index: int, reply: ControlReply) -> list[RunEffect]:
        """The control desk answered a selection."""
        step = self.record.steps[index]
        good = reply.state is SequenceState.SELECTED
        if step.phase is not StepPhase.SELECTING:  # nobody waits for it any more
            return [CancelStep(reply.sequence_id, self.principal, "the run no longer waits for it")] if good else []
        self._flight.answered(index)
        step.sequence_id = reply.sequence_id
        if good and reply.code == "feedback_bad":
            cancel = CancelStep(reply.sequence_id, self.principal, reply.reason)
            return [cancel, *self._step_failed(index, reply.code, reply.reason)]
        if not good:
            return self._step_failed(index, reply.code, reply.reason)
        step.phase, step.code, step.reason = StepPhase.SELECTED, reply.code, reply.reason
        self._flight.checked_back(index, reply.valid_until_ns)
        if self._ending is not None:
            return self._withdrawn() + self._quiet()
        return self._execute_all()

    def executed(self, index: int, reply: ControlReply) -> list[RunEffect]:
        """The control desk told how a step ended."""
        step = self.record.steps[index]
        if step.phase is not StepPhase.EXECUTING:
            return []
        self._flight.answered(index)
        phase = phase_after(self.record.programme.steps[index], reply.state, reply.code)
        if phase in (StepPhase.FAILED, StepPhase.UNKNOWN):
            return self._step_failed(index, reply.code, reply.reason, unknown=phase is StepPhase.UNKNOWN)
        step.phase, step.code, step.reason, step.ended_ns = phase, reply.code, reply.reason, self._clock.now_ns()
        done = self._trace.step_ended(index, self.principal)
        if self.record.programme.kind is Kind.SEQUENCE:
            self.record.next = index + 1
            self._not_before = self._clock.monotonic() + self.record.programme.steps[index].pause_s
            self._since = math.inf
        if phase is StepPhase.UNPROVEN:
            return done + self._wind_down(RunState.PAUSED, UNWATCHED, f"step {index + 1}: {_LOOK}")
        waits = self._ending is None and self.record.programme.kind is Kind.SEQUENCE and self._waits_for_step()
        if waits and self.record.next < len(self.record.steps):
            self._ending = Ending(RunState.PAUSED, "single_step", "it waits for the next step to be ordered")
        return done + (self._quiet() if self._ending is not None else self.tick())

    def tick(self) -> list[RunEffect]:
        """Act on what is due by now."""
        over = self._clock.monotonic() >= self._until
        match self.record.state:
            case RunState.UNCONFIRMED if over:
                return self._wind_down(RunState.STOPPED, "not_confirmed", "nobody confirmed it in time")
            case RunState.UNCONFIRMED:
                return self._too_late()
            case RunState.PAUSED if over:
                return self._wind_down(RunState.STOPPED, "pause_expired", f"it was paused for {PAUSE_S:g} s")
            case RunState.WAITING | RunState.RUNNING:
                return self._lost() or self._advance()
            case _:
                return []

    def _acting(self) -> Principal | str:
        """Who acts, with the rights of now, or why the run may not go on: who acts or who confirmed it may not any more."""
        now = self._still(self.principal)
        lost = self._guards(self.guardian) if self.guardian and not isinstance(now, str) else ""
        return lost or now

    def _advance(self) -> list[RunEffect]:
        if isinstance(now := self._acting(), str):
            return self.hold("no_right", now)
        self.principal = now
        return self._wait() if self.record.state is RunState.WAITING else self._go_on()

    def audit_failed(self, reason: str, dropped: Sequence[SelectStep | ExecuteStep]) -> list[RunEffect]:
        """What was to be stored could not be, and so these orders behind it were not given: end, withdraw what is selected."""
        for order in dropped:
            self.record.steps[order.step].phase = StepPhase.WAITING if isinstance(order, SelectStep) else StepPhase.SELECTED
            self._flight.answered(order.step)
        return self._wind_down(RunState.FAILED, "audit_failed", f"the run cannot be traced, nothing more is operated: {reason}")

    # ---------------------------------------------------------------- waiting to begin

    def _too_late(self) -> list[RunEffect]:
        if not self._time.is_too_late:
            return []
        return self._wind_down(RunState.FAILED, "late", f"its time passed {self._time.late_s:.0f} s ago: it was not begun")

    def _wait(self) -> list[RunEffect]:
        record = self.record
        if self._since == math.inf:
            if self._time.clock_was_set:
                return self.hold("clock_jump", "the clock was set while it waited: resume it if its time is still meant")
            if self._time.left_s > 0:
                return []
            if late := self._too_late():
                return late
            self._since = self._clock.monotonic()
        true, because = holds(self._judge, record.condition)
        if not true and self._clock.monotonic() >= self._since + record.wait_s:
            text = f"its condition did not hold within {record.wait_s:g} s: {because}"
            return self._wind_down(RunState.FAILED, "condition_timeout", text)
        return self._begun() if true else []

    def _begun(self) -> list[RunEffect]:
        record = self.record
        record.began, record.state = True, RunState.RUNNING
        self._since = math.inf
        told = self._trace.told("begin", "started", self.principal)
        if record.single_step:
            return told + self._wind_down(RunState.PAUSED, "single_step", "it waits for its first step")
        return told + self._go_on()

    # ---------------------------------------------------------------- running

    def _due_steps(self) -> list[int]:
        """Steps whose turn it is."""
        if self.record.programme.kind is Kind.GROUP:
            return [index for index, step in enumerate(self.record.steps) if step.phase is StepPhase.WAITING]
        return [self.record.next] if self.record.next < len(self.record.steps) else []

    def _waits_for_step(self) -> bool:
        once, self._once = self._once, False
        return once or self.record.single_step

    def _go_on(self) -> list[RunEffect]:
        if self._flight.steps() or self._ending is not None:
            return []
        due = self._due_steps()
        if not due:
            return self._wind_down(RunState.DONE, "", "")
        if self._clock.monotonic() < self._not_before:
            return []
        self._since = min(self._since, self._clock.monotonic())
        awaited = False
        for index in due:
            step = self.record.programme.steps[index]
            true, because = holds(self._judge, step.condition)
            if not true and self._clock.monotonic() >= self._since + step.timeout_s:
                waited = f" within {step.timeout_s:g} s" if step.timeout_s else ""
                return self._step_failed(index, "condition", f"its condition did not hold{waited}: {because}")
            awaited = awaited or not true
        return [] if awaited else self._select(due)

    def _select(self, due: list[int]) -> list[RunEffect]:
        now = self._acting()
        if isinstance(now, str):
            return self.hold("no_right", now)
        self.principal = now
        record = self.record
        for index in due:
            self._flight.select(index, self._answer_s(record.programme.steps[index]))
        rows: list[RunEffect] = [self._trace.step(index, "select", self.principal) for index in due]
        orders = [self._order(index, now) for index in due]
        return [KeepRun(record), *rows, *orders]

    def _order(self, index: int, principal: Principal) -> SelectStep:
        record, step = self.record, self.record.programme.steps[index]
        emergency = record.why if record.emergency else ""
        why = why_of(record, index)
        return SelectStep(record.run, index, step.control, step.value, principal, record.guardian, why, emergency)

    def _execute_all(self) -> list[RunEffect]:
        """Once all that were selected together are checked back."""
        if self._flight.awaited():
            return []
        now = self._acting()
        if isinstance(now, str):
            return self.hold("no_right", now)
        self.principal = now
        expired = self._flight.expired()
        if expired is not None:
            return self._step_failed(expired, "selection_expired", "its selection expired while the others were selected")
        flying = self._flight.steps()
        for index in flying:
            self._flight.execute(index, self._answer_s(self.record.programme.steps[index]))
        rows: list[RunEffect] = [self._trace.step(index, "execute", self.principal) for index in flying]
        orders = [ExecuteStep(self.record.run, index, self.record.steps[index].sequence_id, now) for index in flying]
        return [KeepRun(self.record), *rows, *orders]

    def _lost(self) -> list[RunEffect]:
        """Steps whose answer did not come at all."""
        index = self._flight.silent()
        if index is None:
            return []
        executing = self.record.steps[index].phase is StepPhase.EXECUTING
        text = "whether it operated is not known" if executing else "nothing was operated"
        return self._step_failed(index, "no_answer", f"the control path did not answer: {text}", unknown=executing)

    # ---------------------------------------------------------------- ending

    def _step_failed(self, index: int, code: str, reason: str, *, unknown: bool = False) -> list[RunEffect]:
        step = self.record.steps[index]
        step.phase = StepPhase.UNKNOWN if unknown else StepPhase.FAILED
        step.code, step.reason, step.ended_ns = code, reason, self._clock.now_ns()
        self._flight.answered(index)
        ended = self._trace.step_ended(index, self.principal)
        return ended + self._wind_down(RunState.FAILED, code, f"step {index + 1}: {reason}")

    def _wind_down(
        self, state: RunState, code: str, reason: str, by: Principal | None = None, evidence: bytes = b""
    ) -> list[RunEffect]:
        """Begin nothing more, withdraw what is selected, and end there once nothing is under way; a failure outranks a pause."""
        self._ending = Ending(state, code, reason).after(self._ending)
        self.record.code, self.record.reason = self._ending.code, self._ending.reason
        return self._withdrawn() + self._quiet(by, evidence)

    def _withdrawn(self) -> list[RunEffect]:
        why = self._ending.reason if self._ending else ""
        return [CancelStep(sequence_id, self.principal, why) for sequence_id in self._flight.give_up()]

    def _quiet(self, by: Principal | None = None, evidence: bytes = b"") -> list[RunEffect]:
        """Take the end that was decided, if nothing is under way any more."""
        ending, record = self._ending, self.record
        if ending is None or self._flight.steps():
            return []
        self._ending = None
        state = ending.state
        if state is RunState.PAUSED and all(step.phase is StepPhase.DONE for step in record.steps):
            state, ending = RunState.DONE, Ending(RunState.DONE, "", "")
        record.state, record.code, record.reason = state, ending.code, ending.reason
        if state is RunState.PAUSED:
            self._until = self._clock.monotonic() + PAUSE_S
        else:
            record.ended_ns = self._clock.now_ns()
            for step in record.steps:
                if step.phase is StepPhase.WAITING:
                    step.phase = StepPhase.SKIPPED
        return self._trace.told("result" if state.ended else "paused", state.value, by or self.principal, evidence=evidence)
