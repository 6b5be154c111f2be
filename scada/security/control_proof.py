"""Offline proof of one control: that selection, confirmation and execute belong together, and who the two persons were.

Each envelope is bound to the one before it by its SM3: the guardian's names the operator's selection, the execute names the
guardian's word. Only the rows of the audit log are asked, and certificates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError
from scadapb.v1 import scada_pb2 as pb

from scada.security.audit_chain import AuditRecord, AuditRow
from scada.security.audit_evidence import EvidenceChecker, Proof
from scada.security.sm3 import sm3

_STEPS: Final = ("select", "confirm", "execute")
"""Steps that somebody signs."""


@dataclass(frozen=True, slots=True)
class ControlStep:
    """A row of the control and what its envelope is worth; ``why`` it is false or untrusted, empty if it is neither."""

    record: AuditRecord
    proof: Proof
    why: str = ""


@dataclass(frozen=True, slots=True)
class ControlProof:
    """What the audit log proves of one control.

    Attributes:
        steps: all its rows, in their order; empty if the log has none.
        operator: who selected it, with a proven signature; else empty.
        guardian: who confirmed it, with a proven signature and bound to that selection; else empty.
        faults: what does not belong together, one sentence each.
    """

    steps: tuple[ControlStep, ...]
    operator: str
    guardian: str
    faults: tuple[str, ...]

    @property
    def two_persons(self) -> bool:
        """Two different persons signed for one act, and nothing contradicts it."""
        return bool(self.operator and self.guardian) and not self.faults


def prove_control(records: Iterable[AuditRecord], sequence: str, checker: EvidenceChecker) -> ControlProof:
    """Look at one control again.

    Args:
        records: the audit log from its beginning: the certificates come with its logins.
        sequence: id of the control's sequence.
        checker: of the envelopes.
    """
    steps: list[ControlStep] = []
    for record in records:
        checker.learn(record.row)
        if record.row.kind == "control" and record.row.sequence_id == sequence:
            evidence = checker.check(record.row)
            steps.append(ControlStep(record, evidence.proof, evidence.why))
    found = {step.record.row.step: step for step in steps if step.record.row.step in _STEPS}
    faults = [fault for step in found.values() for fault in _false(step)]
    select, confirm, execute = (found.get(name) for name in _STEPS)
    if confirm and not faults:
        faults += _unbound(select, confirm, execute)
    proven = {name for name, step in found.items() if step.proof is Proof.PROVEN} if not faults else set()
    operator = select.record.row.actor if select and "select" in proven else ""
    guardian = confirm.record.row.actor if confirm and "confirm" in proven else ""
    return ControlProof(tuple(steps), operator, guardian, tuple(faults))


def _false(step: ControlStep) -> Iterable[str]:
    if step.proof in (Proof.FALSE, Proof.UNTRUSTED, Proof.UNKNOWN):
        yield f"the envelope of {step.record.row.step} is {step.proof.value}: {step.why}"


def _unbound(select: ControlStep | None, confirm: ControlStep, execute: ControlStep | None) -> list[str]:
    """What is wrong between the signatures of a control that a second person confirmed."""
    if select is None:
        return ["it was confirmed, and the log has no selection"]
    try:
        word = pb.ConfirmRequest.FromString(pb.Signed.FromString(confirm.record.row.evidence).body)
        asked = _asked(select.record.row)
        told = pb.ExecuteRequest.FromString(pb.Signed.FromString(execute.record.row.evidence).body) if execute and asked else None
    except DecodeError:
        return ["an envelope cannot be read"]
    row = confirm.record.row
    wrong = {
        "the guardian confirmed another selection": word.select_digest != sm3(select.record.row.evidence),
        "operator and guardian are one person": select.record.row.actor == row.actor,
        "operator and guardian were at one workstation": _place(select.record.row) == _place(row),
        "the confirmation does not follow the selection": confirm.record.number < select.record.number,
    }
    if asked is not None:
        same = (asked.control, asked.value, asked.device_number.strip())
        wrong["the operator selected another object or value"] = same != (word.control, word.value, word.device_number.strip())
    if execute is not None:
        wrong["it was executed before it was confirmed"] = execute.record.number < confirm.record.number
        wrong["somebody else executed it"] = execute.record.row.actor != select.record.row.actor
    if told is not None:
        wrong["the execute names another confirmation"] = told.confirm_digest != sm3(row.evidence)
    return [fault for fault, is_so in wrong.items() if is_so]


def _asked(row: AuditRow) -> pb.SelectRequest | None:
    """What the operator signed; None for the telegram of another control centre, which is not signed."""
    try:
        signed = pb.Signed.FromString(row.evidence)
    except DecodeError:
        return None
    return pb.SelectRequest.FromString(signed.body) if signed.sig else None


def _place(row: AuditRow) -> str:
    return row.station.strip().casefold()
