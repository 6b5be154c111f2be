"""Whose turn a selection is: who may confirm what stands selected, and who may execute it."""

from __future__ import annotations

from scada.control.checks import Refusal
from scada.control.phases import Phase
from scada.control.records import Principal
from scada.control.sequence import ControlSequence
from scada.control.two_person import GuardianWord, not_another, not_what_was_selected


def may_not_guard(sequence: ControlSequence, word: GuardianWord, principal: Principal) -> Refusal | None:
    """Why this is not the word of a second person on just what is selected; None if it is."""
    request = sequence.request
    if not request.needs_guardian:
        return Refusal("guardian_not_needed", "this control needs no second person")
    if sequence.phase is Phase.CONFIRMED and sequence.guardian is not None:
        return Refusal("already_confirmed", f"{sequence.guardian.name} has confirmed it")
    if not sequence.is_ready():
        return Refusal("not_selected", f"the sequence is {sequence.outcome.value}, or its time has passed")
    refusal = not_another(request.principal, principal) or not_what_was_selected(request, word)
    return None if refusal is None else Refusal(*refusal)


def not_the_one(sequence: ControlSequence, principal: Principal, evidence: bytes) -> Refusal | None:
    """Who selected it executes it, and not where the guardian confirmed; what a run selected, nobody does by hand."""
    request, guardian = sequence.request, sequence.guardian
    if principal.name != request.principal.name:
        return Refusal("not_owner", f"selected by {request.principal.name}, who alone may execute it")
    if request.programme and evidence:
        return Refusal("not_owner", f"selected by the programme's run {request.programme.run}, which alone executes it")
    if guardian and sequence.withdrawable and (same := not_another(principal, guardian)):
        return Refusal(same[0], f"{guardian.name} confirmed it there: execute it at another workstation")
    return None
