"""What the control desk writes, tells and answers where an order is refused, or goes without what is usual."""

from __future__ import annotations

from scada.control.checks import Refusal
from scada.control.effects import Audit, Effect, Reply, Report
from scada.control.plant import Reading
from scada.control.records import ControlReply, Principal, SequenceState
from scada.control.sequence import ControlSequence
from scada.control.traces import Request, audit_row, control_event
from scada.security.audit import AuditRow


def refusal_reply(request: Request, refusal: Refusal) -> ControlReply:
    """To whom something is refused; of a sequence that stands, not the state that its owner sees."""
    code, reason, findings = refusal
    return ControlReply(request.sequence_id, SequenceState.REFUSED, code, reason, value=request.value, findings=findings)


def unknown_sequence(sequence_id: str) -> ControlReply:
    """There is no such sequence."""
    reason = "no such sequence: never selected here, or before the server started"
    return ControlReply(sequence_id, SequenceState.REFUSED, "unknown_sequence", reason)


def unknown_control(ticket: object, mrid: str, value: float, principal: Principal, evidence: bytes) -> list[Effect]:
    """An order for a control that the model does not have."""
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


def refused(ticket: object, request: Request, refusal: Refusal, evidence: bytes, present: Reading, now_ns: int) -> list[Effect]:
    """An order that does not become a sequence."""
    code, reason, _ = refusal
    state = SequenceState.REFUSED
    row = audit_row(request, "refused", state=state.value, code=code, reason=reason, old=present, evidence=evidence)
    event = control_event(request, state, code, reason, now_ns)
    return [Audit(request.sequence_id, row), Report(event), Reply(ticket, refusal_reply(request, refusal))]


def denied(
    ticket: object,
    sequence: ControlSequence,
    step: str,
    principal: Principal,
    refusal: Refusal,
    evidence: bytes,
    reply: ControlReply | None = None,
) -> list[Effect]:
    """A step that is refused and leaves its sequence as it is; ``reply`` if there is more to tell than the refusal."""
    row = audit_row(
        sequence.request,
        f"{step}_refused",
        state=SequenceState.REFUSED.value,
        code=refusal.code,
        reason=refusal.reason,
        old=sequence.present,
        evidence=evidence,
        by=principal,
    )
    # the sequence itself goes on, whatever becomes of this row
    return [Audit("", row), Reply(ticket, reply or refusal_reply(sequence.request, refusal))]


def waived(request: Request, present: Reading, now_ns: int) -> list[Effect]:
    """Everyone is told, and it is kept, that a control does without its second person or against an interlock."""
    told = "; ".join(str(finding) for finding in request.bypassed)
    effects: list[Effect] = []
    for step, done, reason in (
        ("emergency", request.emergency, request.why),
        ("bypass", bool(request.bypassed), f"{request.why} (bypassed: {told})"),
    ):
        if done:
            row = audit_row(request, step, state="", code="", reason=reason, old=present)
            event = control_event(request, SequenceState.SELECTED, step, reason, now_ns, key=f"control.{step}")
            effects += [Audit(request.sequence_id, row), Report(event)]
    return effects
