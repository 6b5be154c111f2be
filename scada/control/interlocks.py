"""Interlocks: what the plant forbids although the operator has the right. Evaluated at select and again at execute.

The rules are those of the five preventions (anti-misoperation practice, DL/T 687) that topology can tell. What is not known for
sure forbids, and every finding explains itself. What a plant needs beyond them its model says: points that must be 1 before a
control is operated, and expressions that must be true (:mod:`scada.control.conditions`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from scada.control.conditions import Condition
from scada.control.plant import Plant, SwitchgearTopology, SwitchKind, asks_to_close
from scada.model_cim.tables import Control, ControlKind


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that forbids a control.

    Attributes:
        rule: which one, e.g. ``no-load-on-disconnector``, or the name of an interlock of the model.
        key: text key, ``interlock.`` and more.
        parameters: of the text.
        text: one English sentence.
        unknown: it forbids because something is not known, not because something is against it.
        bypassable: who has the right may operate against it.
        because: terms that are not fulfilled, each with the value that was found.
    """

    rule: str
    key: str
    text: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    unknown: bool = False
    bypassable: bool = True
    because: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text


class Interlock(Protocol):
    """One rule."""

    name: str

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[Finding]:
        """Why the control must not be operated now; empty if the rule allows it."""
        ...


class NoLoadOnDisconnector:
    """A disconnector must not break or make load: its bay breakers are open, or another closed path joins its ends."""

    name = "no-load-on-disconnector"

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[Finding]:
        """Explain which breaker is in the way."""
        del value, plant
        if topology.switch_kind(control.equipment) is not SwitchKind.DISCONNECTOR or topology.is_bypassed(control.equipment):
            return []
        breakers = topology.bay_breakers(control.equipment)
        if not breakers:
            text = "the disconnector would switch load: its bay has no breaker that is known to be open"
            return [Finding(self.name, "interlock.load.no_breaker", text, unknown=True)]
        positions = [topology.is_closed(breaker) for breaker in breakers]
        if True in positions:
            text = "the disconnector would switch load: the breaker of its bay is closed"
            return [Finding(self.name, "interlock.load.closed", text, bypassable=False)]
        if None in positions:
            text = "the disconnector could switch load: the position of its bay's breaker is not known"
            return [Finding(self.name, "interlock.load.unknown", text, unknown=True)]
        return []


class NoClosingOntoEarth:
    """A switch must not be closed onto an earthed part."""

    name = "no-closing-onto-earth"

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[Finding]:
        """Explain that one side is earthed, or may be."""
        del plant
        kind = topology.switch_kind(control.equipment)
        if kind is None or kind is SwitchKind.EARTHING or not asks_to_close(control, value):
            return []
        match topology.is_earthed(control.equipment):
            case True:
                text = f"the {kind.value} would close onto earth: one side is earthed by a closed switch or a portable earth"
                return [Finding(self.name, "interlock.earth.closed", text, {"kind": kind.name.lower()}, bypassable=False)]
            case None:
                text = "it is not known whether it would close onto earth: the position of a switch beside it is not known"
                return [Finding(self.name, "interlock.earth.unknown", text, unknown=True)]
            case _:
                return []


class NoEarthingOfLiveParts:
    """An earthing switch must not be closed on an energised part."""

    name = "no-earthing-of-live-parts"

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[Finding]:
        """Explain that the part is live, or may be."""
        del plant
        if topology.switch_kind(control.equipment) is not SwitchKind.EARTHING or not asks_to_close(control, value):
            return []
        match topology.is_energised(control.equipment):
            case True:
                text = "the earthing switch would be closed on an energised part"
                return [Finding(self.name, "interlock.live.energised", text, bypassable=False)]
            case None:
                text = "it is not known whether the part to be earthed is energised"
                return [Finding(self.name, "interlock.live.unknown", text, unknown=True)]
            case _:
                return []


FIVE_PREVENTION: Final[Sequence[Interlock]] = (NoLoadOnDisconnector(), NoClosingOntoEarth(), NoEarthingOfLiveParts())
"""The rules that hold at every site."""

ENABLED_BY: Final = "enabled-by"
PERMITTED_WHEN: Final = "permitted-when"

_NAMED: Final = 3
"""Substituted switches that a reason names."""


def check_interlocks(
    rules: Sequence[Interlock], control: Control, value: float, plant: Plant, topology: SwitchgearTopology
) -> list[Finding]:
    """What the model's own interlocks forbid, and for a switch command what the rules do."""
    findings = [*_not_enabled(control, value, plant), *_not_permitted(control, value, plant, topology)]
    if control.kind in (ControlKind.SINGLE, ControlKind.DOUBLE):
        findings += [finding for rule in rules for finding in rule.check(control, value, plant, topology)]
    return findings


def _not_enabled(control: Control, value: float, plant: Plant) -> list[Finding]:
    """Points that must be 1 before this order and are not, or of which that is not known.

    A value that an operator entered or blocked proves nothing.
    """
    findings: list[Finding] = []
    for enabling in control.enabled_by:
        if not _concerns(control, value, opens=enabling.opens, closes=enabling.closes):
            continue
        key, what, unknown = "", "", True
        if enabling.pid is None:
            key, what = "missing", "must allow it, and the model does not have that point"
        else:
            reading = plant.reading(int(enabling.pid))
            if reading.held:
                key, what = "held", "must allow it, and its value was entered by an operator"
            elif not reading.good:
                key, what = "unknown", "must allow it, and its value is not known"
            elif reading.value != 1:
                key, what, unknown = "not", "does not allow it", False
        if key:
            text = f"{enabling.path} {what}"
            findings.append(Finding(ENABLED_BY, f"interlock.enabled.{key}", text, {"point": enabling.path}, unknown=unknown))
    return findings


def _not_permitted(control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[Finding]:
    """Conditions of the model that must be true before this order and are not, or of which that is not known."""
    findings: list[Finding] = []
    for permission in control.permitted_when:
        if not _concerns(control, value, opens=permission.opens, closes=permission.closes):
            continue
        said = {"condition": permission.text}
        if permission.expression is None:
            text = f"the condition {permission.text!r} must allow it, and it cannot be read"
            findings.append(Finding(PERMITTED_WHEN, "interlock.condition.unreadable", text, said, unknown=True))
            continue
        pids = tuple(int(pid) for pid in permission.pids)
        verdict = Condition(permission.expression, pids, permission.equipment).evaluate(plant, topology)
        if verdict.truth:
            continue
        because = "; ".join(verdict.because)
        key, what = ("unknown", "is not known to hold") if verdict.truth is None else ("false", "does not hold")
        text = f"the condition {permission.text!r} {what}: {because}"
        said |= {"because": because}
        unknown = verdict.truth is None
        findings.append(
            Finding(PERMITTED_WHEN, f"interlock.condition.{key}", text, said, unknown=unknown, because=verdict.because)
        )
    return findings


def _concerns(control: Control, value: float, *, opens: bool, closes: bool) -> bool:
    """Whether a rule for opening (lowering) or closing (raising) is asked before this order; set-points ask both."""
    if control.kind is ControlKind.SETPOINT:
        return True
    up = asks_to_close(control, value) if control.kind is not ControlKind.STEP else value == 2
    return closes if up else opens


def rests_on_substituted(
    rules: Sequence[Interlock],
    control: Control,
    value: float,
    plant: Plant,
    topology: SwitchgearTopology,
    findings: Sequence[Finding],
) -> str:
    """What to tell if the rules' ``findings`` would be others without the positions that operators entered; else empty."""
    names = topology.substituted()
    if not names or check_interlocks(rules, control, value, plant, topology.without_substituted()) == list(findings):
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"this rests on substituted positions: {', '.join(names[:_NAMED])}{more}"
