"""The rule of two persons: which controls need a guardian, and who may be one.

The guardian is another person at another workstation, with the right GUARD where the control acts. A confirmation names exactly
what was selected: object, value and the digest of the operator's signed selection, so that both signatures stand for one act.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scada.control.plant import SwitchgearTopology, SwitchKind
from scada.control.records import Principal
from scada.control.traces import Request
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.tables import Control

_CLASSES: Final[Mapping[SwitchKind, str]] = {
    SwitchKind.BREAKER: "Breaker",
    SwitchKind.LOAD_BREAK: "LoadBreakSwitch",
    SwitchKind.DISCONNECTOR: "Disconnector",
    SwitchKind.EARTHING: "GroundDisconnector",
}


@dataclass(frozen=True, slots=True)
class GuardianWord:
    """What a guardian signed.

    Attributes:
        sequence_id: of the selection.
        control: mRID of the object.
        value: command value or set-point.
        device_number: as the guardian typed it.
        select_digest: SM3 of the operator's envelope.
        refuse: the guardian says no.
        reason: why, for the log.
    """

    sequence_id: str
    control: str
    value: float
    device_number: str
    select_digest: bytes
    refuse: bool = False
    reason: str = ""


def needs_guardian(
    rules: Sequence[TwoPersonRule], control: Control, area: str, topology: SwitchgearTopology, *, upstream: bool = False
) -> bool:
    """True if the first rule that matches the control says so; none that matches: one person is enough.

    Args:
        rules: in order.
        control: the control.
        area: control area of its station.
        topology: knows what kind of switch the equipment is.
        upstream: an upstream control centre orders it, which has a rule of its own; only a rule that says so asks for one here.
    """
    for rule in rules:
        if _matches(rule, control, area, topology):
            return rule.needed and (not upstream or rule.upstream == "guardian")
    return False


def _matches(rule: TwoPersonRule, control: Control, area: str, topology: SwitchgearTopology) -> bool:
    if rule.station not in ("", control.station, area) or rule.control_type not in ("", control.control_type):
        return False
    if rule.control not in ("", control.mrid):
        return False
    if not rule.equipment:
        return True
    kind = topology.switch_kind(control.equipment)
    return kind is not None and _CLASSES[kind] == rule.equipment


def not_another(operator: Principal, guardian: Principal) -> tuple[str, str] | None:
    """Why these two are not two persons at two workstations; None if they are.

    A workstation that is not named proves nothing.
    """
    if operator.name == guardian.name:
        return "guardian_same", f"{guardian.name} selected it: a second person must confirm it"
    if operator.session and operator.session == guardian.session:
        return "guardian_same", "the guardian acts in the operator's session"
    theirs, mine = _place(operator), _place(guardian)
    if not mine or (operator.is_person and not theirs):
        return "guardian_workstation", "a workstation has no name, so it is not known that there are two"
    if theirs == mine:
        return "guardian_workstation", f"it was selected at {operator.station}: confirm it at another workstation"
    if operator.peer.certificate and operator.peer.certificate == guardian.peer.certificate:
        return "guardian_workstation", "operator and guardian came by the same TLS certificate, so from one workstation"
    return None


def _place(principal: Principal) -> str:
    return principal.station.strip().casefold()


def not_what_was_selected(request: Request, word: GuardianWord) -> tuple[str, str] | None:
    """Why a confirmation is not one of this selection; None if it is."""
    if word.control != request.control.mrid:
        return "guardian_mismatch", "the guardian confirmed another object than the one that is selected"
    if not math.isfinite(word.value) or word.value != request.value:
        return "guardian_mismatch", "the guardian confirmed another value than the one that is selected"
    if not request.digest or word.select_digest != request.digest:
        return "guardian_mismatch", "the guardian's confirmation is not bound to this selection"
    if word.device_number.strip() != request.control.device_number:
        return "device_number", "the device number that the guardian typed is not this object's"
    return None
