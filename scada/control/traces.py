"""What a step of a control leaves behind: its row of the audit log and its event."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scada.control.interlocks import Finding
from scada.control.plant import Reading
from scada.control.records import Principal, ProgrammeStep, SequenceState
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass, Control
from scada.security.audit import AuditRow

_FAILED = (SequenceState.CHECK_FAILED, SequenceState.EXEC_FAILED, SequenceState.TIMED_OUT)


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
        why: reason given by an application or a programme, or for an emergency or a bypass; else empty for people.
        needs_guardian: a second person must confirm it between check-back and execute.
        telecontrol: ordered by an upstream master, which cannot carry a guardian's word in its execute.
        emergency: without the second person.
        bypass: against interlocks.
        bypassed: the findings that were bypassed at select.
        digest: SM3 of the envelope that asked for it.
        programme: the step of a run that orders it, None for everything else.
    """

    sequence_id: str
    control: Control
    value: float
    principal: Principal
    watch: bool = True
    one_call: bool = False
    why: str = ""
    needs_guardian: bool = False
    telecontrol: bool = False
    emergency: bool = False
    bypass: bool = False
    bypassed: tuple[Finding, ...] = ()
    digest: bytes = b""
    programme: ProgrammeStep | None = None


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


def control_event(
    request: Request, state: SequenceState, code: str, reason: str, time_ns: int, *, key: str = "", guardian: str = ""
) -> Event:
    """Event ``control.<state>``, or of another key, with object, value, code, reason, operator and guardian.

    What failed, and every step of an emergency or a bypass, is abnormal.
    """
    control = request.control
    label = control.states.get(int(request.value), "") if math.isfinite(request.value) else ""
    abnormal = state in _FAILED or request.emergency or bool(request.bypassed)
    parameters = {
        "sequence": request.sequence_id,
        "object": control.path,
        "value": label or f"{request.value:g} {control.unit}".strip(),
        "code": code,
        "reason": reason,
        "operator": request.principal.name,
        "workstation": request.principal.station,
    }
    if guardian:
        parameters["guardian"] = guardian
    return Event(
        time_ns=time_ns,
        kind=EventKind.CONTROL,
        alarm_class=AlarmClass.ABNORMAL if abnormal else AlarmClass.NOTICE,
        priority=2 if abnormal else 4,
        key=key or f"control.{state.value}",
        parameters=parameters,
        pid=-1 if control.feedback is None else int(control.feedback),
        mrid=control.mrid,
        station=control.station,
        path=control.path,
        value=request.value,
        actor=request.principal.name,
    )
