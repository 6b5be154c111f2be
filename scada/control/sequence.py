"""One control sequence as a pure state machine: preset -> check-back -> (guardian) -> execute -> feedback -> result.

Events are methods, what is to be done comes back as effects. Who may do what, and whether the plant allows it, is asked by
:class:`scada.control.desk.ControlDesk` before it lets an event in; what no order of events can do is decided here: an execute
leaves only after a check-back (or our own checks, for a control that is not selected on the wire), after a guardian's word where
one is needed, once, and in time.
"""

from __future__ import annotations

import math

from scada.control.effects import Audit, Effect, Progress, Reply, Report, SendCancel, SendExecute, SendSelect
from scada.control.phases import UNDER_WAY, WITHDRAWABLE, Phase, Timings
from scada.control.plant import Reading, has_followed
from scada.control.proof import not_followed, refused_execute, refused_preset, succeeded
from scada.control.records import ControlReply, Principal, SequenceState, SequenceView
from scada.control.traces import Request, audit_row, control_event
from scada.core.clock import NS_PER_S, Clock
from scada.model_cim.tables import ControlKind
from scada.protocols.driver import CommandResult, Outcome


class ControlSequence:
    """One control from its preset to its result.

    Args:
        request: what to do.
        clock: for deadlines (monotonic) and stamps.
        timings: deadlines.
        present: the feedback's present reading (quality ``NEVER_RECEIVED`` if there is none).
        connection: number of the connection to the station by which it is selected.

    Attributes:
        phase: where it stands.
        guardian: who confirmed it, None if nobody did.
        confirm_digest: SM3 of the guardian's envelope.
        ticket: the call that waits for an answer, None if none does.
        outcome: state last reported to the caller.
        code: machine-readable remark or result.
        deadline: monotonic seconds at which :meth:`tick` acts, infinity when done.
    """

    def __init__(self, request: Request, clock: Clock, timings: Timings, present: Reading, connection: int = 0) -> None:
        self.request = request
        self.connection = connection
        self.guardian: Principal | None = None
        self.confirm_digest = b""
        self.started_ns = clock.now_ns()
        self.phase = Phase.NEW
        self.outcome = SequenceState.REFUSED
        self.code = ""
        self.reason = ""
        self.deadline = float("inf")
        self.present = present
        self._clock = clock
        self._timings = timings
        self.ticket: object = None
        self._started = self._ended = clock.monotonic()
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
            return self._selected("" if self.request.one_call and not evidence else "select", evidence)
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
        return self._finish(*refused_preset(result))

    def guard(self, ticket: object, guardian: Principal, digest: bytes, *, evidence: bytes = b"") -> list[Effect]:
        """The guardian confirms what is selected; the selection lasts no longer for that.

        Args:
            ticket: the call to answer.
            guardian: another person at another workstation, as the desk has seen to.
            digest: SM3 of the guardian's envelope; the execute must carry it.
            evidence: that envelope.
        """
        if self.phase is not Phase.SELECTED or not self.is_ready() or not self.request.needs_guardian:
            return self._not_selected(ticket)
        self.phase, self.outcome = Phase.CONFIRMED, SequenceState.CONFIRMED
        self.guardian, self.confirm_digest = guardian, digest
        return [self._audit("confirm", evidence, guardian), *self._report(), Reply(ticket, self.reply())]

    def lacks_guardian(self, digest: bytes) -> tuple[str, str] | None:
        """Why an execute with this digest of a guardian's word must not leave; None if it may."""
        if not self.request.needs_guardian:
            return None
        if self.phase is not Phase.CONFIRMED:
            return "guardian_missing", "a second person at another workstation must confirm it first"
        if not self.request.telecontrol and digest != self.confirm_digest:
            return "guardian_mismatch", "the execute does not carry the digest of the guardian's confirmation"
        return None

    def execute(
        self, ticket: object, expected: float, present: Reading, *, confirm_digest: bytes = b"", evidence: bytes = b""
    ) -> list[Effect]:
        """Operate the selected control.

        Args:
            ticket: the call to answer with the result.
            expected: what the feedback must reach, NaN if nothing tells.
            present: the feedback's present reading.
            confirm_digest: SM3 of the guardian's envelope, where one is needed.
            evidence: the signed envelope.
        """
        if not self.is_ready():
            return self._not_selected(ticket)
        if refusal := self.lacks_guardian(confirm_digest):
            return [Reply(ticket, self.reply(*refusal))]
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
        if not self.is_ready():
            return self._not_selected(ticket)
        self.ticket = ticket
        withdraw = self._withdraw()
        return self._finish(SequenceState.REFUSED, code, reason, evidence=evidence, more=withdraw)

    def answered(self, result: CommandResult) -> list[Effect]:
        """The station answered the execute."""
        if self.phase is not Phase.EXECUTING:
            return []
        if result.outcome is Outcome.CONFIRMED:
            self._confirmed = True
        elif result.outcome is not Outcome.TIMEOUT:
            return self._finish(*refused_execute(result))
        return self._watch()

    def feedback(self, present: Reading) -> list[Effect]:
        """The feedback point was written; only a good reading can prove anything."""
        if self.phase is Phase.DONE:
            return []
        self.present = present
        awaited = self._proves and self.under_way
        if not awaited or not has_followed(self.request.control, self._expected, present):
            return []
        self._followed = True
        return self._succeed() if self.phase is Phase.WATCHING else []

    def cancel(
        self, ticket: object, principal: Principal, reason: str, *, code: str = "cancelled", evidence: bytes = b""
    ) -> list[Effect]:
        """Withdraw the sequence; once it executes that is too late."""
        if self.phase not in WITHDRAWABLE:
            code = "already_done" if self.phase is Phase.DONE else "too_late"
            return [Reply(ticket, self.reply(code, f"the sequence is {self.outcome.value}"))]
        waiting, self.ticket = self.ticket, ticket
        text = f"withdrawn by {principal.name}" + (f": {reason}" if reason else "")
        effects = self._finish(SequenceState.CANCELLED, code, text, evidence=evidence, more=self._withdraw(), by=principal)
        return effects if waiting is None else [*effects, Reply(waiting, self.reply())]

    def withdraw(self, code: str, reason: str) -> list[Effect]:
        """Withdraw a sequence that is selected or being selected, by this server itself."""
        if not self.withdrawable:
            return []
        return self._finish(SequenceState.CANCELLED, code, reason, more=self._withdraw())

    def tick(self) -> list[Effect]:
        """Act on a deadline that has passed."""
        if self._clock.monotonic() < self.deadline:
            return []
        match self.phase:
            case Phase.SELECTING:
                return self._check_back_missed()
            case Phase.SELECTED | Phase.CONFIRMED:
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
            valid_until_ns=self._valid_until_ns if self.phase in (Phase.SELECTED, Phase.CONFIRMED) else 0,
            value=self.request.value,
            present=self.present.value if self.present.good else float("nan"),
            elapsed_s=(self._clock.monotonic() if self.phase is not Phase.DONE else self._ended) - self._started,
            needs_guardian=self.request.needs_guardian,
            guardian=self.guardian.name if self.guardian else "",
            select_digest=self.request.digest,
            confirm_digest=self.confirm_digest,
            findings=self.request.bypassed,
        )

    def view(self) -> SequenceView:
        """What everyone may see of it."""
        request = self.request
        return SequenceView(
            reply=self.reply(),
            control=request.control.mrid,
            path=request.control.path,
            station=request.control.station,
            equipment=request.control.equipment,
            kind=request.control.kind.name.lower(),
            operator=request.principal.name,
            workstation=request.principal.station,
            started_ns=self.started_ns,
            emergency=request.emergency,
            bypass=bool(request.bypassed),
            why=request.why,
            programme=request.programme.run if request.programme else "",
        )

    def is_ready(self) -> bool:
        """True if it stands selected, confirmed or not, and its time has not passed."""
        return self.phase in (Phase.SELECTED, Phase.CONFIRMED) and self._clock.monotonic() < self.deadline

    def ended_for(self) -> float:
        """Seconds since the result."""
        return self._clock.monotonic() - self._ended

    @property
    def withdrawable(self) -> bool:
        """True until the execute is sent."""
        return self.phase in WITHDRAWABLE

    @property
    def under_way(self) -> bool:
        """True from the execute until the result."""
        return self.phase in UNDER_WAY

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
        return self._finish(*succeeded(confirmed=self._confirmed, followed=self._followed, proves=self._proves))

    def _feedback_missed(self) -> list[Effect]:
        timeout_s = self.request.control.feedback_timeout_s
        return self._finish(*not_followed(self.present, timeout_s, confirmed=self._confirmed))

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
        self.phase, self.deadline, self._ended = Phase.DONE, float("inf"), self._clock.monotonic()
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
        silent = not self.request.principal.is_person and self.request.control.kind is ControlKind.SETPOINT
        if silent and self.outcome in (SequenceState.SELECTED, SequenceState.EXECUTING, SequenceState.SUCCESS):
            return []
        guardian = self.guardian.name if self.guardian else ""
        now_ns = self._clock.now_ns()
        return [Report(control_event(self.request, self.outcome, self.code, self.reason, now_ns, guardian=guardian))]
