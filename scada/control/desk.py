"""The control desk: every control of every operator and application passes here. Pure: events in, effects out."""

from __future__ import annotations

import math
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from scada.control.effects import Audit, Effect, Reply, Report
from scada.control.interlocks import FIVE_PREVENTION, Finding, Interlock, check_interlocks, rests_on_substituted
from scada.control.plant import Plant, Reading, SwitchgearTopology, expected_feedback, has_followed
from scada.control.records import ControlReply, Principal, ProgrammeStep, SequenceState
from scada.control.recovery import interrupted
from scada.control.sequence import DEFAULT_TIMINGS, ControlSequence, Phase, Request, Timings, audit_row, control_event
from scada.core.clock import Clock
from scada.core.quality import Quality
from scada.model_cim.tables import Control, ControlKind, ModelTables
from scada.protocols.driver import CommandResult, LinkState
from scada.security.audit import AuditRecord, AuditRow
from scada.security.roles import Right, is_responsible

_NO_READING = Reading(math.nan, int(Quality.NEVER_RECEIVED))
_CHANGING = "the model of this control is being changed: select it again"
_REMEMBERED = 256
"""Finished sequences kept, to answer a late execute or cancel properly."""

Refusal = tuple[str, str]
"""(code, reason)."""


def no_tags(control: Control, value: float) -> str:
    """The tag hook where no tags are kept: nothing is forbidden."""
    del control, value
    return ""


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
        identifier: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        self._tables = tables
        self._topology = topology
        self._clock = clock
        self._plant = plant
        self._interlocks = interlocks
        self._tags = tags
        self._timings = timings
        self._identifier = identifier
        self._running: dict[str, ControlSequence] = {}
        self._finished: OrderedDict[str, ControlSequence] = OrderedDict()
        self._area_of = {station.name: station.area for station in tables.stations}
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
        """
        control = self._tables.control_by_mrid.get(mrid)
        if control is None:
            return self._unknown(ticket, mrid, value, principal, evidence)
        why = programme.why if programme else ""
        request = Request(self._identifier(), control, value, principal, why=why, programme=programme)
        refusal = (
            self._lacks_right(control, principal)
            or value_refusal(control, value)
            or (None if device_number is None else _number_wrong(control, device_number))
            or self._may_operate(request)
        )
        if refusal:
            return self._refused(ticket, request, refusal, evidence)
        sequence = self._begin(request)
        code, reason = self._remark(request, sequence.present)
        return self._settle(sequence, sequence.start(ticket, evidence=evidence, code=code, reason=reason))

    def execute(self, ticket: object, sequence_id: str, principal: Principal, evidence: bytes = b"") -> list[Effect]:
        """Operate a selected sequence, by the operator who selected it; the reply is the result."""
        sequence = self._running.get(sequence_id)
        if sequence is None:
            return self._gone(ticket, sequence_id)
        if principal.name != sequence.request.principal.name:
            code, reason = "not_owner", f"selected by {sequence.request.principal.name}, who alone may execute it"
            return [
                self._denied(sequence, "execute", principal, code, reason, evidence),
                self._stands(ticket, sequence, code, reason),
            ]
        return self._execute(ticket, sequence, principal, evidence)

    def cancel(self, ticket: object, sequence_id: str, reason: str, principal: Principal, evidence: bytes = b"") -> list[Effect]:
        """Withdraw a sequence; anyone who could have selected it may."""
        sequence = self._running.get(sequence_id)
        if sequence is None:
            return self._gone(ticket, sequence_id)
        refusal = self._lacks_right(sequence.request.control, principal)
        if refusal:
            return [self._denied(sequence, "cancel", principal, *refusal, evidence), self._stands(ticket, sequence, *refusal)]
        return self._settle(sequence, sequence.cancel(ticket, principal, reason, evidence=evidence))

    def direct(
        self, ticket: object, cid: int, value: float, principal: Principal, *, why: str = "", watch: bool = False
    ) -> list[Effect]:
        """Operate in one call, for the applications: the same checks, check-back where the wire has one, then execute.

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
        request = Request(self._identifier(), control, value, principal, watch=watch, one_call=True, why=why)
        refusal = (
            self._lacks_right(control, principal)
            or value_refusal(control, value)
            or self._may_operate(request)
            or self._unproven(request)
        )
        if refusal:
            return [Reply(ticket, _refusal_reply(request, refusal))]
        sequence = self._begin(request)
        return self._settle(sequence, sequence.start(ticket))

    # ------------------------------------------------------------------ what happens meanwhile

    def on_answer(self, sequence_id: str, step: str, result: CommandResult) -> list[Effect]:
        """The driver answered ``select``, ``execute`` or ``cancel``; an answer that is no longer awaited changes nothing."""
        sequence = self._running.get(sequence_id)
        if sequence is None or step == "cancel":
            return []
        return self._settle(sequence, sequence.check_back(result) if step == "select" else sequence.confirm(result))

    def on_changes(self, pids: Iterable[int]) -> list[Effect]:
        """These points were written (a commit of the database)."""
        if not self._running:
            return []
        changed = set(pids)
        effects: list[Effect] = []
        for sequence in list(self._running.values()):
            feedback = sequence.request.control.feedback
            if feedback is not None and int(feedback) in changed:
                effects += self._settle(sequence, sequence.feedback(self._plant.reading(int(feedback))))
        return effects

    def tick(self) -> list[Effect]:
        """Act on the deadlines that have passed."""
        return [effect for sequence in list(self._running.values()) for effect in self._settle(sequence, sequence.tick())]

    def next_deadline(self) -> float:
        """Monotonic seconds of the next deadline, infinity if none."""
        return min((sequence.deadline for sequence in self._running.values()), default=math.inf)

    def audit_failed(self, sequence_id: str, reason: str) -> list[Effect]:
        """An :class:`~scada.control.effects.Audit` of this sequence could not be written, and what it precedes was not sent."""
        sequence = self._running.get(sequence_id)
        return [] if sequence is None else self._settle(sequence, sequence.audit_failed(reason))

    def running(self) -> list[ControlSequence]:
        """Sequences under way."""
        return list(self._running.values())

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
        concerned = [one for one in self._running.values() if one.request.control.cid in cids]
        selected = [one for one in concerned if one.phase in (Phase.SELECTING, Phase.SELECTED)]
        for sequence in selected:
            effects += self._settle(sequence, sequence.withdraw("model_change", _CHANGING))
        return effects, len(selected), sum(one.phase is Phase.EXECUTING for one in concerned)

    def adopt(self, tables: ModelTables, topology: SwitchgearTopology) -> None:
        """Decide by another model version from now on; sequences under way go on with the controls they began with."""
        self._tables, self._topology = tables, topology
        self._area_of = {station.name: station.area for station in tables.stations}
        self._changing = frozenset()

    # ------------------------------------------------------------------ checks

    def _lacks_right(self, control: Control, principal: Principal) -> Refusal | None:
        right = Right.SETPOINT if control.kind is ControlKind.SETPOINT else Right.CONTROL
        if right not in principal.rights:
            return "no_right", f"{principal.name} does not have the right {right}"
        if not is_responsible(principal, control.station, self._area_of.get(control.station, "")):
            return "no_area", f"{control.station or control.path} is outside {principal.name}'s area of responsibility"
        return None

    def _may_operate(self, request: Request) -> Refusal | None:
        """What the plant and the other sequences say; asked again at execute."""
        control = request.control
        if refusal := self._taken(request) or self._marked(request):
            return refusal
        state = self._plant.link_state(control.channel)
        if state is not LinkState.UP:
            return "link_down", f"the channel of the station is {state.value}"
        findings = check_interlocks(self._interlocks, control, request.value, self._plant, self._topology)
        if findings:
            return "interlock", "; ".join(map(str, findings)) + self._resting(request, findings)
        if control.kind is ControlKind.STEP and control.feedback is not None and not self._present(control).good:
            return "feedback_bad", "the present position is not known, so one step from it is not known either"
        return None

    def _taken(self, request: Request) -> Refusal | None:
        """What else goes on with the object."""
        control = request.control
        if control.cid in self._changing:
            return "model_change", _CHANGING
        for other in self._running.values():
            if other.request.sequence_id != request.sequence_id and _lock(other.request.control) == _lock(control):
                return "locked", f"{other.request.principal.name} is operating this object"
        return None

    def _unproven(self, request: Request) -> Refusal | None:
        """An application must not switch what it cannot see."""
        control = request.control
        if control.kind is ControlKind.SETPOINT or control.feedback is None or self._present(control).good:
            return None
        return "feedback_bad", "the present state is not known"

    def _marked(self, request: Request) -> Refusal | None:
        """What operators put in the way: a tag, or a feedback that shows what they say instead of what happens."""
        control = request.control
        if forbidden := self._tags(control, request.value):
            return "tagged", forbidden
        watched = request.watch or control.kind is not ControlKind.SETPOINT
        if watched and self._present(control).held:
            return "held", "an operator holds the feedback's value, so nobody would see what happens: release it first"
        return None

    def _resting(self, request: Request, findings: Sequence[Finding]) -> str:
        return rests_on_substituted(self._interlocks, request.control, request.value, self._plant, self._topology, findings)

    def _remark(self, request: Request, present: Reading) -> Refusal:
        """What an operator must be told although the control is allowed."""
        code, reason = self._remark_on_feedback(request, present)
        if resting := self._resting(request, []):
            return code or "substituted", f"{reason or 'the interlocks allow it'}{resting}"
        return code, reason

    def _remark_on_feedback(self, request: Request, present: Reading) -> Refusal:
        control = request.control
        if control.feedback is None:
            return "no_feedback", "no feedback point watches this control"
        if not present.good:
            return "feedback_bad", "the present state is not known: the feedback is not valid"
        if has_followed(control, self._expected(request, present), present):
            return "already", "the feedback already shows this state"
        return "", ""

    def _present(self, control: Control) -> Reading:
        return _NO_READING if control.feedback is None else self._plant.reading(int(control.feedback))

    def _expected(self, request: Request, present: Reading) -> float:
        feedback = request.control.feedback
        if feedback is None:
            return math.nan
        return expected_feedback(request.control, request.value, self._tables.points[int(feedback)], present)

    # ------------------------------------------------------------------ the table

    def _begin(self, request: Request) -> ControlSequence:
        sequence = ControlSequence(request, self._clock, self._timings, self._present(request.control))
        self._running[request.sequence_id] = sequence
        return sequence

    def _execute(self, ticket: object, sequence: ControlSequence, principal: Principal, evidence: bytes) -> list[Effect]:
        request = sequence.request
        refusal = self._lacks_right(request.control, principal) or self._may_operate(request)
        if refusal:
            return self._settle(sequence, sequence.refuse(ticket, *refusal, evidence=evidence))
        present = self._present(request.control)
        return self._settle(sequence, sequence.execute(ticket, self._expected(request, present), present, evidence=evidence))

    def _settle(self, sequence: ControlSequence, effects: list[Effect]) -> list[Effect]:
        """Go on with a one-call sequence that was checked back; put a finished one aside."""
        sequence_id = sequence.request.sequence_id
        if sequence.request.one_call and sequence.phase is Phase.SELECTED:
            return effects + self._execute(sequence.ticket, sequence, sequence.request.principal, b"")
        if sequence.phase is Phase.DONE and sequence_id in self._running:
            del self._running[sequence_id]
            self._finished[sequence_id] = sequence
            while len(self._finished) > _REMEMBERED:
                self._finished.popitem(last=False)
        return effects

    def _gone(self, ticket: object, sequence_id: str) -> list[Effect]:
        finished = self._finished.get(sequence_id)
        if finished:
            return [Reply(ticket, finished.reply("not_selected", f"the sequence is over: {finished.outcome.value}"))]
        reason = "no such sequence: never selected here, or before the server started"
        return [Reply(ticket, ControlReply(sequence_id, SequenceState.REFUSED, "unknown_sequence", reason))]

    @staticmethod
    def _stands(ticket: object, sequence: ControlSequence, code: str, reason: str) -> Reply:
        """A refused call leaves the sequence as it is; its caller is told REFUSED, not the owner's state."""
        return Reply(ticket, _refusal_reply(sequence.request, (code, reason)))

    def _denied(
        self, sequence: ControlSequence, step: str, principal: Principal, code: str, reason: str, evidence: bytes
    ) -> Audit:
        row = audit_row(
            sequence.request,
            f"{step}_refused",
            state=SequenceState.REFUSED.value,
            code=code,
            reason=reason,
            old=sequence.present,
            evidence=evidence,
            by=principal,
        )
        return Audit("", row)  # the sequence itself goes on, whatever becomes of this row

    def _refused(self, ticket: object, request: Request, refusal: Refusal, evidence: bytes) -> list[Effect]:
        code, reason = refusal
        state = SequenceState.REFUSED
        row = audit_row(
            request, "refused", state=state.value, code=code, reason=reason, old=self._present(request.control), evidence=evidence
        )
        event = control_event(request, state, code, reason, self._clock.now_ns())
        return [Audit(request.sequence_id, row), Report(event), Reply(ticket, _refusal_reply(request, refusal))]

    def _unknown(self, ticket: object, mrid: str, value: float, principal: Principal, evidence: bytes) -> list[Effect]:
        row = AuditRow(
            kind="control",
            step="refused",
            actor=principal.name,
            station=principal.station,
            session=principal.session,
            mrid=mrid[:64],
            value=value,
            code="refused:unknown_control",
            evidence=evidence,
        )
        reply = ControlReply("", SequenceState.REFUSED, "unknown_control", "the model has no such control", value=value)
        return [Audit("", row), Reply(ticket, reply)]


def _lock(control: Control) -> str:
    """What one sequence holds: the equipment, but each set-point of a unit (P, Q, V) for itself."""
    if control.kind is ControlKind.SETPOINT or not control.equipment:
        return control.mrid
    return control.equipment


def _number_wrong(control: Control, device_number: str) -> Refusal | None:
    if device_number.strip() == control.device_number:
        return None
    return "device_number", "the device number that was typed is not this object's"


def value_refusal(control: Control, value: float) -> Refusal | None:
    """Why a control cannot be given a value: it is not finite, out of range or no command of this kind; None if it can."""
    if not math.isfinite(value):
        return "bad_value", "the value is not a finite number"
    if control.kind is ControlKind.SETPOINT:
        if value < control.minimum or value > control.maximum:
            return "out_of_range", f"{value:g} {control.unit} is outside {control.minimum:g} .. {control.maximum:g}"
        return None
    allowed = (0.0, 1.0) if control.kind is ControlKind.SINGLE else (1.0, 2.0)
    return None if value in allowed else ("bad_value", f"{value:g} is no {control.kind.name.lower()} command")


def _refusal_reply(request: Request, refusal: Refusal) -> ControlReply:
    return ControlReply(request.sequence_id, SequenceState.REFUSED, refusal[0], refusal[1], value=request.value)
