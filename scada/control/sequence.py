"""One control sequence as a pure state machine: preset -> check-back -> execute -> feedback -> result.

Events are methods, what is to be done comes back as effects. Who may do what, and whether the plant allows it, is asked by
:class:`scada.control.desk.ControlDesk` before it lets an event in; what no order of events can do is decided here: an execute
leaves only after a check-back (or our own checks, for a control that is not selected on the wire), once, and in time.
The second person of a two-person rule belongs between ``SELECTED`` and ``execute``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from scada.control.effects import Audit, Effect, Progress, Reply, Report, SendCancel, SendExecute, SendSelect
from scada.control.plant import Reading, has_followed
from scada.control.records import ControlReply, Principal, ProgrammeStep, SequenceState
from scada.core.clock import NS_PER_S, Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Control, ControlKind
from scada.protocols.driver import CommandResult, Outcome
from scada.security.audit import AuditRow


class Phase(Enum):
    """Where a sequence stands between its replies."""

    NEW = "new"
    SELECTING = "selecting"
    """Preset sent, check-back awaited."""
    SELECTED = "selected"
    EXECUTING = "executing"
    """Sent, the station's confirmation awaited."""
    WATCHING = "watching"
    """Confirmed or not answered, the feedback awaited."""
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Timings:
    """Deadlines of a sequence, seconds."""

    check_back_s: float = 10.0
    selection_s: float = 30.0
    """How long a checked-back selection stays."""
    confirm_s: float = 10.0


DEFAULT_TIMINGS = Timings()


@dataclass(frozen=True, slots=True)
class Request:
    """What a sequence is to do, checked by the desk.

    Attributes:
        sequence_id: unique, also over restarts.
        control: the control.
        value: command value or set-point.
        principal: who acts.
        watch: wait for the feedback; False takes the station's confirmation for the result.
        one_call: execute follows check-back by itself; the caller is answered once, with the result.
        why: reason given by an application or a programme, empty for people.
        programme: the step of a run that orders it, None for everything else.
    """

    sequence_id: str
    control: Control
    value: float
    principal: Principal
    watch: bool = True
    one_call: bool = False
    why: str = ""
    programme: ProgrammeStep | None = None


class ControlSequence:
    """One control from its preset to its result.

    Args:
        request: what to do.
        clock: for deadlines (monotonic) and stamps.
        timings: deadlines.
        present: the feedback's present reading (quality ``NEVER_RECEIVED`` if there is none).

    Attributes:
        phase: where it stands.
        ticket: the call that waits for an answer, None if none does.
        outcome: state last reported to the caller.
        code: machine-readable remark or result.
        deadline: monotonic seconds at which :meth:`tick` acts, infinity when done.
    """

    def __init__(self, request: Request, clock: Clock, timings: Timings, present: Reading) -> None:
        self.request = request
        self.phase = Phase.NEW
        self.outcome = SequenceState.REFUSED
        self.code = ""
        self.reason = ""
        self.deadline = float("inf")
        self.present = present
        self._clock = clock
        self._timings = timings
        self.ticket: object = None
        self._started = clock.monotonic()
        self._valid_until_ns = 0
        self._expected = float("nan")
        self._confirmed = False
        self._followed = False
        self._proves = True

    def start(self, ticket: object, *, evidence: bytes = b"", code: str = "", reason: str = "") -> list[Effect]:
        """Preset the control; ``code`` and ``reason`` are remarks of the checks that the operator must be told."""
        assert self.phase is Phase.NEW
        self.ticket, self.code, self.reason = ticket, code, reason
        if not self.request.control.select:
            return self._selected("" if self.request.one_call else "select", evidence)
        trace = self._audit("select", evidence)
        self._enter(Phase.SELECTING, self._timings.check_back_s)
        return [trace, SendSelect(self.request.sequence_id, self.request.control, self.request.value)]

    def check_back(self, result: CommandResult) -> list[Effect]:
        """The station answered the preset."""
        if self.phase is not Phase.SELECTING:
            return []
        if result.outcome is Outcome.CONFIRMED:
            return self._selected("check_back")
        if result.outcome is Outcome.TIMEOUT:
            return self._check_back_missed()
        code = {Outcome.REFUSED: "check_back_refused", Outcome.LINK_DOWN: "link_down"}.get(result.outcome, "unsupported")
        return self._finish(SequenceState.CHECK_FAILED, code, result.reason or "the station refused the preset")

    def execute(self, ticket: object, expected: float, present: Reading, *, evidence: bytes = b"") -> list[Effect]:
        """Operate the selected control.

        Args:
            ticket: the call to answer with the result.
            expected: what the feedback must reach, NaN if nothing tells.
            present: the feedback's present reading.
            evidence: the signed envelope.
        """
        if not self._is_selected():
            return self._not_selected(ticket)
        self.ticket, self._expected, self.present = ticket, expected, present
        self._proves = not has_followed(self.request.control, expected, present)
        self._followed = not self._proves
        self.outcome = SequenceState.EXECUTING
        self._enter(Phase.EXECUTING, self._timings.confirm_s)
        return [
            self._audit("execute", evidence),
            *self._report(),
            SendExecute(self.request.sequence_id, self.request.control, self.request.value),
        ]

    def refuse(self, ticket: object, code: str, reason: str, *, evidence: bytes = b"") -> list[Effect]:
        """The checks at execute forbid it: the selection is withdrawn."""
        if not self._is_selected():
            return self._not_selected(ticket)
        self.ticket = ticket
        withdraw = self._withdraw()
        return self._finish(SequenceState.REFUSED, code, reason, evidence=evidence, more=withdraw)

    def confirm(self, result: CommandResult) -> list[Effect]:
        """The station answered the execute."""
        if self.phase is not Phase.EXECUTING:
            return []
        if result.outcome is Outcome.CONFIRMED:
            self._confirmed = True
        elif result.outcome is not Outcome.TIMEOUT:
            code = {Outcome.REFUSED: "execute_refused", Outcome.LINK_DOWN: "link_down"}.get(result.outcome, "unsupported")
            return self._finish(SequenceState.EXEC_FAILED, code, result.reason or "the station refused to execute")
        return self._watch()

    def feedback(self, present: Reading) -> list[Effect]:
        """The feedback point was written; only a good reading can prove anything."""
        if self.phase is Phase.DONE:
            return []
        self.present = present
        awaited = self._proves and self.phase in (Phase.EXECUTING, Phase.WATCHING)
        if not awaited or not has_followed(self.request.control, self._expected, present):
            return []
        self._followed = True
        return self._succeed() if self.phase is Phase.WATCHING else []

    def cancel(self, ticket: object, principal: Principal, reason: str, *, evidence: bytes = b"") -> list[Effect]:
        """Withdraw the sequence; once it executes that is too late."""
        if self.phase not in (Phase.SELECTING, Phase.SELECTED):
            code = "already_done" if self.phase is Phase.DONE else "too_late"
            return [Reply(ticket, self.reply(code, f"the sequence is {self.outcome.value}"))]
        waiting, self.ticket = self.ticket, ticket
        text = f"withdrawn by {principal.name}" + (f": {reason}" if reason else "")
        effects = self._finish(SequenceState.CANCELLED, "cancelled", text, evidence=evidence, more=self._withdraw(), by=principal)
        return effects if waiting is None else [*effects, Reply(waiting, self.reply())]

    def withdraw(self, code: str, reason: str) -> list[Effect]:
        """Withdraw a sequence that is selected or being selected, by this server itself."""
        return self._finish(SequenceState.CANCELLED, code, reason, more=self._withdraw())

    def tick(self) -> list[Effect]:
        """Act on a deadline that has passed."""
        if self._clock.monotonic() < self.deadline:
            return []
        match self.phase:
            case Phase.SELECTING:
                return self._check_back_missed()
            case Phase.SELECTED:
                text = f"not executed within {self._timings.selection_s:g} s"
                return self._finish(SequenceState.TIMED_OUT, "selection_expired", text, more=self._withdraw())
            case Phase.EXECUTING:
                return self._watch()
            case Phase.WATCHING:
                return self._feedback_missed()
            case _:
                return []

    def audit_failed(self, reason: str) -> list[Effect]:
        """The trace of the last step could not be written, so the step was not sent: end, and withdraw what is selected."""
        if self.phase is Phase.DONE:
            return []
        text = f"the audit log cannot be written, nothing was operated: {reason}"
        effects = self._finish(SequenceState.REFUSED, "audit_failed", text, more=self._withdraw())
        return [effect for effect in effects if not isinstance(effect, Audit)]

    def reply(self, code: str | None = None, reason: str | None = None) -> ControlReply:
        """Where the sequence stands, with another code and reason if given."""
        return ControlReply(
            sequence_id=self.request.sequence_id,
            state=self.outcome,
            code=self.code if code is None else code,
            reason=self.reason if reason is None else reason,
            valid_until_ns=self._valid_until_ns if self.phase is Phase.SELECTED else 0,
            value=self.request.value,
            present=self.present.value if self.present.good else float("nan"),
            elapsed_s=self._clock.monotonic() - self._started,
        )

    def _is_selected(self) -> bool:
        return self.phase is Phase.SELECTED and self._clock.monotonic() < self.deadline

    def _not_selected(self, ticket: object) -> list[Effect]:
        """Too early, too late or again; a selection whose time has just passed ends here."""
        expired = self.tick()
        return [*expired, Reply(ticket, self.reply("not_selected", f"the sequence is {self.outcome.value}"))]

    def _enter(self, phase: Phase, seconds: float) -> None:
        self.phase = phase
        self.deadline = self._clock.monotonic() + seconds

    def _selected(self, step: str, evidence: bytes = b"") -> list[Effect]:
        """Stand selected; ``step`` names the audit row, empty for none (an execute follows at once)."""
        self._enter(Phase.SELECTED, self._timings.selection_s)
        self.outcome = SequenceState.SELECTED
        self._valid_until_ns = self._clock.now_ns() + round(self._timings.selection_s * NS_PER_S)
        trace: list[Effect] = [self._audit(step, evidence)] if step else []
        if self.request.one_call:
            return trace
        ticket, self.ticket = self.ticket, None
        return [*trace, *self._report(), Reply(ticket, self.reply())]

    def _check_back_missed(self) -> list[Effect]:
        text = "the station did not check back in time"
        return self._finish(SequenceState.TIMED_OUT, "check_back_timeout", text, more=self._withdraw())

    def _watch(self) -> list[Effect]:
        """Confirmed, or no answer: then only the feedback can tell."""
        under_way: list[Effect] = [] if self.ticket is None else [Progress(self.ticket, self.reply())]
        if self._followed and (self._confirmed or self._proves):
            return under_way + self._succeed()
        if self.request.watch and not math.isnan(self._expected):
            self._enter(Phase.WATCHING, self.request.control.feedback_timeout_s)
            return under_way
        return under_way + (self._succeed() if self._confirmed else self._feedback_missed())

    def _succeed(self) -> list[Effect]:
        code, reason = "", "the feedback followed"
        if not self._followed:
            code, reason = "no_feedback", "confirmed by the station; no feedback was watched"
        elif not self._proves:
            code, reason = "already", "confirmed by the station; the feedback showed this state before, so it proves nothing"
        elif not self._confirmed:
            code, reason = "unconfirmed", "the feedback followed, the station's confirmation did not come"
        return self._finish(SequenceState.SUCCESS, code, reason)

    def _feedback_missed(self) -> list[Effect]:
        if not self._confirmed:
            text = "neither confirmation nor feedback came: whether it operated is not known"
            return self._finish(SequenceState.TIMED_OUT, "confirmation_timeout", text)
        if self.present.held:
            text = "confirmed by the station, but an operator holds the feedback's value: whether it operated is not known"
            return self._finish(SequenceState.EXEC_FAILED, "held", text)
        if not self.present.good:
            text = "confirmed by the station, but the feedback is not valid: whether it operated is not known"
            return self._finish(SequenceState.EXEC_FAILED, "feedback_bad", text)
        text = f"confirmed by the station, but the feedback did not follow within {self.request.control.feedback_timeout_s:g} s"
        return self._finish(SequenceState.EXEC_FAILED, "feedback_timeout", text)

    def _withdraw(self) -> list[Effect]:
        if not self.request.control.select:
            return []
        return [SendCancel(self.request.sequence_id, self.request.control, self.request.value)]

    def _finish(
        self,
        state: SequenceState,
        code: str,
        reason: str,
        *,
        evidence: bytes = b"",
        more: list[Effect] | None = None,
        by: Principal | None = None,
    ) -> list[Effect]:
        self.phase, self.deadline = Phase.DONE, float("inf")
        self.outcome, self.code, self.reason = state, code, reason
        ticket, self.ticket = self.ticket, None
        answer = [] if ticket is None else [Reply(ticket, self.reply())]
        return [self._audit("result", evidence, by), *(more or []), *self._report(), *answer]

    def _audit(self, step: str, evidence: bytes = b"", by: Principal | None = None) -> Audit:
        return Audit(
            self.request.sequence_id,
            audit_row(
                self.request,
                step,
                state=self.outcome.value if self.phase is not Phase.NEW else "",
                code=self.code,
                reason=self.reason,
                old=self.present,
                evidence=evidence,
                by=by,
            ),
        )

    def _report(self) -> list[Effect]:
        """Every step of people; of the applications' set-points, which come every few seconds, only what failed."""
        silent = not self.request.principal.session and self.request.control.kind is ControlKind.SETPOINT
        if silent and self.outcome in (SequenceState.SELECTED, SequenceState.EXECUTING, SequenceState.SUCCESS):
            return []
        return [Report(control_event(self.request, self.outcome, self.code, self.reason, self._clock.now_ns()))]


def audit_row(
    request: Request,
    step: str,
    *,
    state: str,
    code: str,
    reason: str,
    old: Reading,
    evidence: bytes = b"",
    by: Principal | None = None,
) -> AuditRow:
    """The trace of one step of a control; ``code`` is ``state`` or ``state:remark``."""
    actor = by or request.principal
    return AuditRow(
        kind="control",
        step=step,
        actor=actor.name,
        station=actor.station,
        session=actor.session,
        sequence_id=request.sequence_id,
        mrid=request.control.mrid,
        path=request.control.path,
        old=old.value if old.good else float("nan"),
        value=request.value,
        code=f"{state}:{code}" if code else state,
        reason=reason or request.why,
        evidence=evidence,
    )


_FAILED = (SequenceState.CHECK_FAILED, SequenceState.EXEC_FAILED, SequenceState.TIMED_OUT)


def control_event(request: Request, state: SequenceState, code: str, reason: str, time_ns: int) -> Event:
    """Event ``control.<state>`` with object, value, code, reason and operator."""
    control = request.control
    label = control.states.get(int(request.value), "") if math.isfinite(request.value) else ""
    failed = state in _FAILED
    return Event(
        time_ns=time_ns,
        kind=EventKind.CONTROL,
        alarm_class=AlarmClass.ABNORMAL if failed else AlarmClass.NOTICE,
        priority=2 if failed else 4,
        key=f"control.{state.value}",
        parameters={
            "sequence": request.sequence_id,
            "object": control.path,
            "value": label or f"{request.value:g} {control.unit}".strip(),
            "code": code,
            "reason": reason,
            "operator": request.principal.name,
            "workstation": request.principal.station,
        },
        pid=-1 if control.feedback is None else int(control.feedback),
        mrid=control.mrid,
        station=control.station,
        path=control.path,
        value=request.value,
        actor=request.principal.name,
    )
