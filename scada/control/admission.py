"""Orders at the door of the control desk: each becomes a request, with what its words and its sender's rights refuse.

Whether the object is free and the plant allows it is asked after that, of the request.
"""

from __future__ import annotations

import math

from scada.control.checks import Checks, Refusal, Waiver, number_refusal, value_refusal
from scada.control.records import Principal, ProgrammeStep
from scada.control.traces import Request
from scada.model_cim.tables import Control
from scada.security.sm3 import sm3

Admission = tuple[Request, Refusal | None]
"""What is asked, and why it is refused."""


def selection(
    checks: Checks,
    sequence_id: str,
    control: Control,
    value: float,
    device_number: str | None,
    principal: Principal,
    evidence: bytes,
    programme: ProgrammeStep | None,
    waiver: Waiver,
) -> Admission:
    """A preset; see :meth:`scada.control.desk.ControlDesk.select`."""
    telecontrol = device_number is None and programme is None
    two = checks.needs_guardian(control, upstream=telecontrol) and not waiver.emergency
    request = Request(
        sequence_id,
        control,
        value,
        principal,
        why=programme.why if programme else waiver.reason.strip(),
        needs_guardian=two and programme is None,
        telecontrol=telecontrol,
        emergency=waiver.emergency,
        bypass=waiver.bypass,
        digest=sm3(evidence) if evidence else b"",
        programme=programme,
    )
    refusal = (
        checks.lacks_right(control, principal)
        or value_refusal(control, value)
        or (None if device_number is None else number_refusal(control, device_number))
        or checks.lacks_waiver(principal, waiver.reason, waiver.rights())
        or checks.unguarded_run(request)
    )
    return request if refusal else checks.bypassing(request), refusal


def adjustment(
    checks: Checks,
    sequence_id: str,
    control: Control,
    device_number: str,
    principal: Principal,
    evidence: bytes,
    *,
    raised: bool,
    amount: float,
) -> Admission:
    """Raise or lower; see :meth:`scada.control.desk.ControlDesk.adjust`."""
    found = checks.adjusted(control, raised=raised, amount=amount)
    value, unknown = (math.nan, found) if isinstance(found, Refusal) else (found, None)
    request = Request(sequence_id, control, value, principal, one_call=True, digest=sm3(evidence))
    return request, (
        checks.lacks_right(control, principal)
        or number_refusal(control, device_number)
        or unknown
        or value_refusal(control, value)
        or checks.guarded(request)
    )


def application_order(
    checks: Checks, sequence_id: str, control: Control, value: float, principal: Principal, *, why: str, watch: bool
) -> Admission:
    """An order of an application; see :meth:`scada.control.desk.ControlDesk.direct`."""
    request = Request(sequence_id, control, value, principal, watch=watch, one_call=True, why=why)
    return request, (
        checks.lacks_right(control, principal)
        or value_refusal(control, value)
        or (checks.guarded(request) if principal.is_person else None)
    )
