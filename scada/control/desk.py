"""The control desk: every control of every operator and application passes here. Pure: events in, effects out."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Sequence

from scada.control.admission import adjustment, application_order, selection
from scada.control.answers import denied, refusal_reply, refused, unknown_control, unknown_sequence, waived
from scada.control.checks import NO_WAIVER, Checks, Refusal, Waiver, no_tags
from scada.control.effects import Effect, Reply
from scada.control.interlocks import FIVE_PREVENTION, Finding, Interlock
from scada.control.phases import DEFAULT_TIMINGS, Phase, Timings
from scada.control.plant import Plant, SwitchgearTopology
from scada.control.records import ControlReply, Principal, ProgrammeStep, SequenceState, SequenceView
from scada.control.recovery import interrupted
from scada.control.sequence import ControlSequence
from scada.control.sequence_table import SequenceTable
from scada.control.traces import Request
from scada.control.turns import may_not_guard, not_the_one
from scada.control.two_person import GuardianWord
from scada.core.clock import Clock
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.tables import Control, ModelTables
from scada.protocols.driver import CommandResult
from scada.security.audit import AuditRecord
from scada.security.roles import Right
from scada.security.sm3 import sm3

_CHANGING = "the model of this control is being changed: select it again"
_RECONNECTED = "the connection was lost or made anew, so the station no longer knows the selection: select it again"


class ControlDesk:
    """Table of running sequences, with all the checks before an act.

    Every method returns effects for its owner to carry out in order (see :mod:`scada.control.effects`).

    Args:
        tables: the model.
        clock: for deadlines and stamps.
        plant: present readings and links.
        topology: what the interlocks ask.
        interlocks: rules, evaluated at select and again at execute.
        tags: which tags forbid a control to a value, empty text if none does; asked at select and again at execute.
        timings: deadlines.
        two_person: who must be two.
        standing: what an identity may do now, None = nothing any more; asked for the guardian and the operator at execute.
        identifier: makes sequence ids, unique also over restarts.
    """

    def __init__(
        self,
        tables: ModelTables,
        clock: Clock,
        plant: Plant,
        topology: SwitchgearTopology,
        *,
        interlocks: Sequence[Interlock] = FIVE_PREVENTION,
        tags: Callable[[Control, float], str] = no_tags,
        timings: Timings = DEFAULT_TIMINGS,
        two_person: Sequence[TwoPersonRule] = (),
        standing: Callable[[Principal], Principal | None] = lambda principal: principal,
        identifier: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._tables = tables
        self._checks = Checks(tables, plant, topology, interlocks, tags, two_person, self._moving)
        self._clock = clock
        self._plant = plant
        self._timings = timings
        self._standing = standing
        self._identifier = identifier
        self._table = SequenceTable()
        self._changing: frozenset[int] = frozenset()

    # ------------------------------------------------------------------ calls

    def select(
        self,
        ticket: object,
        mrid: str,
        value: float,
        device_number: str | None,
        principal: Principal,
        evidence: bytes = b"",
        *,
        programme: ProgrammeStep | None = None,
        waiver: Waiver = NO_WAIVER,
    ) -> list[Effect]:
        """Preset a control; the reply comes at check-back.

        Args:
            ticket: the call to answer.
            mrid: the control.
            value: command value or set-point.
            device_number: what the operator typed; None for an order by telecontrol, in which no person names the object.
            principal: who acts.
            evidence: the signed envelope, or the octets of the order.
            programme: the step of a run that orders it; the run was confirmed as a whole, so no guardian is asked again.
            waiver: second person or interlocks to do without.
        """
        control = self._tables.control_by_mrid.get(mrid)
        if control is None:
            return unknown_control(ticket, mrid, value, principal, evidence)
        request, refusal = selection(
            self._checks, self._identifier(), control, value, device_number, principal, evidence, programme, waiver
        )
        refusal = refusal or self._taken(request) or self._checks.may_operate(request)
        if refusal:
            return self._refused(ticket, request, refusal, evidence)
        sequence = self._begin(request)
        code, reason = self._checks.remark(request, sequence.present)
        told = waived(request, sequence.present, self._clock.now_ns())
        return told + self._settle(sequence, sequence.start(ticket, evidence=evidence, code=code, reason=reason))

    def confirm(self, ticket: object, word: GuardianWord, principal: Principal, evidence: bytes = b"") -> list[Effect]:
        """The guardian's word on a selection: yes, or no, which withdraws it."""
        sequence = self._table.under_way(word.sequence_id)
        if sequence is None:
            return self._gone(ticket, word.sequence_id)
        request, digest = sequence.request, sm3(evidence)
        refusal = self._checks.lacks_right(request.control, principal, Right.GUARD)
        if not refusal and word.refuse and request.needs_guardian and sequence.withdrawable:
            done = sequence.cancel(ticket, principal, word.reason, code="guardian_refused", evidence=evidence)
            return self._settle(sequence, done)
        if not refusal and sequence.phase is Phase.CONFIRMED and sequence.confirm_digest == digest:
            return [Reply(ticket, sequence.reply())]  # the same envelope once more
        refusal = refusal or may_not_guard(sequence, word, principal)
        if refusal:
            return denied(ticket, sequence, "confirm", principal, refusal, evidence)
        if expired := self._check_connection(sequence):
            return [*expired, *self._gone(ticket, word.sequence_id)]
        return self._settle(sequence, sequence.guard(ticket, principal, digest, evidence=evidence))

    def execute(
        self, ticket: object, sequence_id: str, principal: Principal, evidence: bytes = b"", *, confirm_digest: bytes = b""
    ) -> list[Effect]:
        """Operate a selected sequence, by the operator who selected it; the reply is the result.

        One that executes already or has ended is not operated again: the caller is told where it stands.
        """
        sequence = self._table.find(sequence_id)
        if sequence is None:
            return self._gone(ticket, sequence_id)
        if sequence.phase is not Phase.DONE and (refusal := not_the_one(sequence, principal, evidence)):
            return denied(ticket, sequence, "execute", principal, refusal, evidence)
        if sequence.under_way or sequence.phase is Phase.DONE:
            again = Refusal("repeated", f"the sequence is {sequence.outcome.value}; it is not operated again")
            return denied(ticket, sequence, "execute", principal, again, evidence, sequence.reply())
        return self._execute(ticket, sequence, principal, evidence, confirm_digest)

    def cancel(self, ticket: object, sequence_id: str, reason: str, principal: Principal, evidence: bytes = b"") -> list[Effect]:
        """Withdraw a sequence; anyone who could have selected it may, and who did, whatever the rights are now."""
        sequence = self._table.under_way(sequence_id)
        if sequence is None:
            return self._gone(ticket, sequence_id)
        own = principal.name == sequence.request.principal.name
        if not own and (refusal := self._checks.lacks_right(sequence.request.control, principal)):
            return denied(ticket, sequence, "cancel", principal, refusal, evidence)
        return self._settle(sequence, sequence.cancel(ticket, principal, reason, evidence=evidence))

    def adjust(
        self,
        ticket: object,
        mrid: str,
        principal: Principal,
        evidence: bytes = b"",
        *,
        raised: bool,
        amount: float,
        device_number: str,
    ) -> list[Effect]:
        """Raise or lower in one call: one step, or a set-point by ``amount`` from its present good feedback."""
        control = self._tables.control_by_mrid.get(mrid)
        if control is None:
            return unknown_control(ticket, mrid, math.nan, principal, evidence)
        request, refusal = adjustment(
            self._checks, self._identifier(), control, device_number, principal, evidence, raised=raised, amount=amount
        )
        refusal = refusal or self._taken(request) or self._checks.may_operate(request)
        if refusal:
            return self._refused(ticket, request, refusal, evidence)
        sequence = self._begin(request)
        return self._settle(sequence, sequence.start(ticket, evidence=evidence))

    def direct(
        self, ticket: object, cid: int, value: float, principal: Principal, *, why: str = "", watch: bool = False
    ) -> list[Effect]:
        """Operate in one call, for the applications: the same checks, check-back where the wire has one, then execute.

        The rule of two persons is one of persons: an application acts by its standing grant, within what a person switched on.

        Args:
            ticket: the call to answer with the result.
            cid: the control.
            value: command value or set-point.
            principal: a standing one (``system:agc`` ...).
            why: for the audit log.
            watch: wait for the feedback too.
        """
        controls = self._tables.controls
        control = controls[cid] if 0 <= cid < len(controls) else None
        if control is None or control.removed:
            reason = "the model has no such control"
            return [Reply(ticket, ControlReply("", SequenceState.REFUSED, "unknown_control", reason, value=value))]
        request, refusal = application_order(self._checks, self._identifier(), control, value, principal, why=why, watch=watch)
        refusal = refusal or self._taken(request) or self._checks.may_operate(request) or self._checks.unproven(request)
        if refusal:
            return [Reply(ticket, refusal_reply(request, refusal))]
        sequence = self._begin(request)
        return self._settle(sequence, sequence.start(ticket))

    def check(self, mrid: str, value: float) -> tuple[list[Finding], str]:
        """Interlocks that forbid a control to a value now, and on which substituted positions that rests.

        Both empty too if the model has no such control.
        """
        control = self._tables.control_by_mrid.get(mrid)
        if control is None:
            return [], ""
        findings = self._checks.findings(control, value)
        return findings, self._checks.resting(control, value, findings)

    def sequences(self, station: str = "", *, ended: bool = False) -> list[SequenceView]:
        """Sequences under way, oldest first, and the last that ended if asked; of one station, or of all."""
        return self._table.views(station, ended=ended)

    # ------------------------------------------------------------------ what happens meanwhile

    def on_answer(self, sequence_id: str, step: str, result: CommandResult) -> list[Effect]:
        """The driver answered ``select``, ``execute`` or ``cancel``; an answer that is no longer awaited changes nothing."""
        sequence = self._table.under_way(sequence_id)
        if sequence is None or step == "cancel":
            return []
        return self._settle(sequence, sequence.check_back(result) if step == "select" else sequence.answered(result))

    def on_changes(self, pids: Iterable[int]) -> list[Effect]:
        """These points were written (a commit of the database)."""
        sequences = self._table.running()
        if not sequences:
            return []
        changed = set(pids)
        effects: list[Effect] = []
        for sequence in sequences:
            feedback = sequence.request.control.feedback
            if feedback is not None and int(feedback) in changed:
                effects += self._settle(sequence, sequence.feedback(self._plant.reading(int(feedback))))
        return effects

    def tick(self) -> list[Effect]:
        """Act on the deadlines that have passed, and on connections that were lost under a selection."""
        effects: list[Effect] = []
        for sequence in self._table.running():
            effects += self._settle(sequence, sequence.tick()) or self._check_connection(sequence)
        return effects

    def next_deadline(self) -> float:
        """Monotonic seconds of the next deadline, infinity if none."""
        return self._table.next_deadline()

    def audit_failed(self, sequence_id: str, reason: str) -> list[Effect]:
        """An :class:`~scada.control.effects.Audit` of this sequence could not be written, and what it precedes was not sent."""
        sequence = self._table.under_way(sequence_id)
        return [] if sequence is None else self._settle(sequence, sequence.audit_failed(reason))

    def stands(self, sequence_id: str) -> ControlReply:
        """Where a sequence stands."""
        return self._table.stands(sequence_id)

    def running(self) -> list[ControlSequence]:
        """Sequences under way."""
        return self._table.running()

    def recover(self, records: Iterable[AuditRecord]) -> list[Effect]:
        """After a restart: say which sequences the last run left unfinished. None of them is repeated."""
        return interrupted(records, self._tables, self._clock.now_ns())

    # ------------------------------------------------------------------ the model changes

    def reserve(self, cids: frozenset[int]) -> tuple[list[Effect], int, int]:
        """Refuse these controls until :meth:`adopt`, and withdraw what is selected on them.

        What the station was told to do is not withdrawn; it runs to its end.

        Returns:
            (effects, sequences withdrawn, sequences whose answer from the station is awaited).
        """
        self._changing = cids
        effects: list[Effect] = []
        concerned = [one for one in self._table.running() if one.request.control.cid in cids]
        selected = [one for one in concerned if one.withdrawable]
        for sequence in selected:
            effects += self._settle(sequence, sequence.withdraw("model_change", _CHANGING))
        return effects, len(selected), sum(one.phase is Phase.EXECUTING for one in concerned)

    def adopt(self, tables: ModelTables, topology: SwitchgearTopology) -> None:
        """Decide by another model version from now on; sequences under way go on with the controls they began with."""
        self._tables = tables
        self._checks.adopt(tables, topology)
        self._changing = frozenset()

    # ------------------------------------------------------------------ checks

    def _taken(self, request: Request) -> Refusal | None:
        """What else goes on with the object."""
        if request.control.cid in self._changing:
            return Refusal("model_change", _CHANGING)
        if other := self._table.holder(request):
            return Refusal("locked", f"{other.request.principal.name} is operating this object")
        return None

    def _moving(self) -> frozenset[str]:
        return self._table.moving(self._checks.has_arrived)

    def _check_connection(self, sequence: ControlSequence) -> list[Effect]:
        """A station that was lost and came back no longer knows what was selected by the old connection."""
        control = sequence.request.control
        if not (control.select and sequence.withdrawable) or self._plant.connection(control.channel) == sequence.connection:
            return []
        return self._settle(sequence, sequence.withdraw("connection_lost", _RECONNECTED))

    # ------------------------------------------------------------------ the table

    def _begin(self, request: Request) -> ControlSequence:
        control = request.control
        connection = self._plant.connection(control.channel)
        sequence = ControlSequence(request, self._clock, self._timings, self._checks.present(control), connection)
        self._table.add(sequence)
        return sequence

    def _execute(
        self, ticket: object, sequence: ControlSequence, principal: Principal, evidence: bytes, confirm_digest: bytes = b""
    ) -> list[Effect]:
        request = sequence.request
        if sequence.is_ready() and (lacking := sequence.lacks_guardian(confirm_digest)):
            if request.telecontrol:  # its master holds the order for ended
                return self._settle(sequence, sequence.refuse(ticket, *lacking, evidence=evidence))
            refusal = Refusal(*lacking)
            return denied(ticket, sequence, "execute", principal, refusal, evidence)
        if sequence.is_ready() and (lost := self._check_connection(sequence)):
            return lost if request.one_call else [*lost, Reply(ticket, sequence.reply())]
        forbidden = (
            self._checks.no_longer_may(request, principal, sequence.guardian, self._standing)
            or self._checks.has_become_guarded(request)
            or self._taken(request)
            or self._checks.may_operate(request)
        )
        if forbidden:
            return self._settle(sequence, sequence.refuse(ticket, forbidden.code, forbidden.reason, evidence=evidence))
        present = self._checks.present(request.control)
        expected = self._checks.expected(request, present)
        done = sequence.execute(ticket, expected, present, confirm_digest=confirm_digest, evidence=evidence)
        return self._settle(sequence, done)

    def _settle(self, sequence: ControlSequence, effects: list[Effect]) -> list[Effect]:
        """Go on with a one-call sequence that was checked back; put a finished one aside."""
        if sequence.request.one_call and sequence.phase is Phase.SELECTED:
            return effects + self._execute(sequence.ticket, sequence, sequence.request.principal, b"")
        self._table.put_aside(sequence)
        return effects

    # ------------------------------------------------------------------ answers

    def _gone(self, ticket: object, sequence_id: str) -> list[Effect]:
        finished = self._table.find(sequence_id)
        if finished:
            return [Reply(ticket, finished.reply("not_selected", f"the sequence is over: {finished.outcome.value}"))]
        return [Reply(ticket, unknown_sequence(sequence_id))]

    def _refused(self, ticket: object, request: Request, refusal: Refusal, evidence: bytes) -> list[Effect]:
        return refused(ticket, request, refusal, evidence, self._checks.present(request.control), self._clock.now_ns())
