"""Interlocks: what the plant forbids although the operator has the right. Evaluated at select and again at execute.

The rules are those of the five preventions (anti-misoperation practice, DL/T 687) that topology can tell. What is not known for
sure forbids, and every finding explains itself. What a plant needs beyond them its model says: points that must be 1 before a
control is operated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from scada.control.plant import Plant, SwitchgearTopology, SwitchKind, asks_to_close
from scada.model_cim.tables import Control, ControlKind


class Interlock(Protocol):
    """One rule."""

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[str]:
        """Why the control must not be operated now; empty if the rule allows it."""
        ...


class NoLoadOnDisconnector:
    """A disconnector must not break or make load: its bay breakers are open, or another closed path joins its ends."""

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[str]:
        """Explain which breaker is in the way."""
        del value, plant
        if topology.switch_kind(control.equipment) is not SwitchKind.DISCONNECTOR or topology.is_bypassed(control.equipment):
            return []
        breakers = topology.bay_breakers(control.equipment)
        if not breakers:
            return ["the disconnector would switch load: its bay has no breaker that is known to be open"]
        positions = [topology.is_closed(breaker) for breaker in breakers]
        if True in positions:
            return ["the disconnector would switch load: the breaker of its bay is closed"]
        if None in positions:
            return ["the disconnector could switch load: the position of its bay's breaker is not known"]
        return []


class NoClosingOntoEarth:
    """A switch must not be closed onto an earthed part."""

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[str]:
        """Explain that one side is earthed, or may be."""
        del plant
        kind = topology.switch_kind(control.equipment)
        if kind is None or kind is SwitchKind.EARTHING or not asks_to_close(control, value):
            return []
        match topology.is_earthed(control.equipment):
            case True:
                return [f"the {kind.value} would close onto earth: one side is earthed by a closed switch or a portable earth"]
            case None:
                return ["it is not known whether it would close onto earth: the position of a switch beside it is not known"]
            case _:
                return []


class NoEarthingOfLiveParts:
    """An earthing switch must not be closed on an energised part."""

    def check(self, control: Control, value: float, plant: Plant, topology: SwitchgearTopology) -> list[str]:
        """Explain that the part is live, or may be."""
        del plant
        if topology.switch_kind(control.equipment) is not SwitchKind.EARTHING or not asks_to_close(control, value):
            return []
        match topology.is_energised(control.equipment):
            case True:
                return ["the earthing switch would be closed on an energised part"]
            case None:
                return ["it is not known whether the part to be earthed is energised"]
            case _:
                return []


FIVE_PREVENTION: Final[Sequence[Interlock]] = (NoLoadOnDisconnector(), NoClosingOntoEarth(), NoEarthingOfLiveParts())
"""The rules that hold at every site."""

_NAMED: Final = 3
"""Substituted switches that a reason names."""


def check_interlocks(
    rules: Sequence[Interlock], control: Control, value: float, plant: Plant, topology: SwitchgearTopology
) -> list[str]:
    """What the model's own interlocks forbid, and for a switch command what the rules do."""
    findings = _not_enabled(control, value, plant)
    if control.kind in (ControlKind.SINGLE, ControlKind.DOUBLE):
        findings += [finding for rule in rules for finding in rule.check(control, value, plant, topology)]
    return findings


def _not_enabled(control: Control, value: float, plant: Plant) -> list[str]:
    """Points that must be 1 before this order and are not, or of which that is not known.

    A value that an operator entered or blocked proves nothing.
    """
    findings: list[str] = []
    for enabling in control.enabled_by:
        up = asks_to_close(control, value) if control.kind is not ControlKind.STEP else value == 2
        if control.kind is not ControlKind.SETPOINT and not (enabling.closes if up else enabling.opens):
            continue
        if enabling.pid is None:
            findings.append(f"{enabling.path} must allow it, and the model does not have that point")
            continue
        reading = plant.reading(int(enabling.pid))
        if not reading.good or reading.held:
            why = "was entered by an operator" if reading.held else "is not known"
            findings.append(f"{enabling.path} must allow it, and its value {why}")
        elif reading.value != 1:
            findings.append(f"{enabling.path} does not allow it")
    return findings


def rests_on_substituted(
    rules: Sequence[Interlock],
    control: Control,
    value: float,
    plant: Plant,
    topology: SwitchgearTopology,
    findings: Sequence[str],
) -> str:
    """What to add to the rules' ``findings`` if they would be others without the positions that operators entered; else empty."""
    names = topology.substituted()
    if not names or check_interlocks(rules, control, value, plant, topology.without_substituted()) == findings:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" (this rests on substituted positions: {', '.join(names[:_NAMED])}{more})"
