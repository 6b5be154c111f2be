"""What is asked before a control may be selected, confirmed, executed or withdrawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from scada.control.interlocks import Finding, Interlock, check_interlocks, rests_on_substituted
from scada.control.plant import Plant, Reading, SwitchgearTopology, asks_to_close, expected_feedback, has_followed, is_watched
from scada.control.proof import UNWATCHED
from scada.control.records import Principal
from scada.control.traces import Request
from scada.control.two_person import needs_guardian
from scada.core.control_settings import TwoPersonRule
from scada.core.quality import Quality
from scada.model_cim.tables import Control, ControlKind, ModelTables
from scada.protocols.driver import LinkState
from scada.security.areas import AreaTree
from scada.security.roles import Right, is_responsible

_NO_READING = Reading(math.nan, int(Quality.NEVER_RECEIVED))


class Refusal(NamedTuple):
    """Why something is not done: machine code, one sentence, and the interlocks that forbid it."""

    code: str
    reason: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiver:
    """What an operator asks to do without.

    Attributes:
        emergency: the second person; needs the right EMERGENCY.
        bypass: interlocks that may be bypassed; needs the right BYPASS.
        reason: why; needed for either.
    """

    emergency: bool = False
    bypass: bool = False
    reason: str = ""

    def rights(self) -> list[Right]:
        """Rights that it takes."""
        return [Right.EMERGENCY] * self.emergency + [Right.BYPASS] * self.bypass


NO_WAIVER = Waiver()


def no_tags(control: Control, value: float) -> str:
    """The tag hook where no tags are kept: nothing is forbidden."""
    del control, value
    return ""


class Checks:
    """Rights, plant and interlocks, of one model version at a time. Nothing here changes anything.

    Args:
        tables: the model.
        plant: present readings and links.
        topology: what the interlocks ask.
        interlocks: rules, evaluated at select and again at execute.
        tags: which tags forbid a control to a value, empty text if none does.
        two_person: who must be two.
        moving: switches that are being operated now; what the interlocks would read of them may be over in a moment.
    """

    def __init__(
        self,
        tables: ModelTables,
        plant: Plant,
        topology: SwitchgearTopology,
        interlocks: Sequence[Interlock],
        tags: Callable[[Control, float], str],
        two_person: Sequence[TwoPersonRule],
        moving: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._plant = plant
        self._interlocks = interlocks
        self._tags = tags
        self._two_person = two_person
        self._moving = moving
        self.adopt(tables, topology)

    def adopt(self, tables: ModelTables, topology: SwitchgearTopology) -> None:
        """Decide by another model version from now on."""
        self._tables, self._topology = tables, topology
        self._area_of = {station.name: station.area for station in tables.stations}

    # ------------------------------------------------------------------ who

    def lacks_right(self, control: Control, principal: Principal, needed: Right | None = None) -> Refusal | None:
        """Right and area of responsibility; ``needed`` is else that of the control's kind."""
        right = needed or (Right.SETPOINT if control.kind is ControlKind.SETPOINT else Right.CONTROL)
        if right not in principal.rights:
            return Refusal("no_right", f"{principal.name} does not have the right {right}")
        if not is_responsible(principal, *AreaTree.of(self._tables).of_control(control)):
            return Refusal("no_area", f"{control.station or control.path} is outside {principal.name}'s area of responsibility")
        return None

    def lacks_waiver(self, principal: Principal, why: str, waived: Iterable[Right]) -> Refusal | None:
        """Who waives the second person or an interlock needs the right to, and says why."""
        for right in waived:
            if right not in principal.rights:
                return Refusal("no_right", f"{principal.name} does not have the right {right}")
            if not why.strip():
                return Refusal("no_reason", f"{right} needs a reason: it is kept, and others are told")
        return None

    def needs_guardian(self, control: Control, *, upstream: bool = False) -> bool:
        """True if a second person must confirm it."""
        area = self._area_of.get(control.station, "")
        return needs_guardian(self._two_person, control, area, self._topology, upstream=upstream)

    def guarded(self, request: Request) -> Refusal | None:
        """What happens in one call cannot wait for a second person."""
        if self.needs_guardian(request.control):
            return Refusal("guardian_needed", "a second person must confirm this control: select it first")
        return None

    def unguarded_run(self, request: Request) -> Refusal | None:
        """A run was confirmed as a whole, by another person, or it may not order what needs two."""
        run = request.programme
        if run is None or request.emergency or not self.needs_guardian(request.control):
            return None
        if run.guardian and run.guardian != request.principal.name:
            return None
        return Refusal("guardian_missing", "a second person must confirm this control, and the run was not confirmed by one")

    def has_become_guarded(self, request: Request) -> Refusal | None:
        """The model was changed since the selection, and by now it takes two persons; what was stricter then stays so."""
        if request.programme:
            return self.unguarded_run(request)
        exempt = request.one_call and not request.principal.is_person  # see ControlDesk.direct
        if request.needs_guardian or request.emergency or exempt:
            return None
        if not self.needs_guardian(request.control, upstream=request.telecontrol):
            return None
        return Refusal("guardian_missing", "since it was selected, it has come to need a second person: select it again")

    def no_longer_may(
        self,
        request: Request,
        operator: Principal,
        guardian: Principal | None,
        standing: Callable[[Principal], Principal | None],
    ) -> Refusal | None:
        """Rights as they are now: those of the operator, and of a guardian who has confirmed."""
        waived = Waiver(request.emergency, request.bypass).rights()
        for who, right in ((operator, None), (guardian, Right.GUARD)):
            if who is None:
                continue
            now = standing(who)
            if now is None:
                return Refusal("no_right", f"the identity of {who.name} is no longer valid")
            for one in (who, now):  # at this workstation, and by the table
                refusal = self.lacks_right(request.control, one, right)
                if not refusal and who is operator:
                    refusal = self.lacks_waiver(one, request.why, waived)
                if refusal:
                    return refusal
        return None

    # ------------------------------------------------------------------ the plant

    def may_operate(self, request: Request) -> Refusal | None:
        """Tags, link and interlocks; asked at select and again at execute."""
        control = request.control
        if forbidden := self._tags(control, request.value):
            return Refusal("tagged", forbidden)
        watched = request.watch or control.kind is not ControlKind.SETPOINT
        if watched and self.present(control).held:
            return Refusal("held", "an operator holds the feedback's value, so nobody would see what happens: release it first")
        state = self._plant.link_state(control.channel)
        if state is not LinkState.UP:
            return Refusal("link_down", f"the channel of the station is {state.value}")
        findings = self.not_bypassed(request)
        if findings:
            text, resting = "; ".join(map(str, findings)), self.resting(control, request.value, findings)
            return Refusal("interlock", f"{text} ({resting})" if resting else text, tuple(findings))
        if control.kind is ControlKind.STEP and control.feedback is not None and not self.present(control).good:
            return Refusal("feedback_bad", "the present position is not known, so one step from it is not known either")
        return None

    def bypassing(self, request: Request) -> Request:
        """The request with the interlocks that it bypasses; one that may not be bypassed goes on to forbid."""
        if not request.bypass:
            return request
        findings = self.findings(request.control, request.value)
        return replace(request, bypassed=tuple(finding for finding in findings if finding.bypassable))

    def findings(self, control: Control, value: float) -> list[Finding]:
        """Interlocks that forbid it now."""
        return check_interlocks(self._interlocks, control, value, self._plant, self._sight())

    def not_bypassed(self, request: Request) -> list[Finding]:
        """Interlocks that forbid it and are none of those that were bypassed when it was selected."""
        findings = self.findings(request.control, request.value)
        bypassed = {_naming(finding) for finding in request.bypassed}
        return [finding for finding in findings if _naming(finding) not in bypassed]

    def unproven(self, request: Request) -> Refusal | None:
        """An application must not switch what it cannot see."""
        control = request.control
        if control.kind is ControlKind.SETPOINT or control.feedback is None or self.present(control).good:
            return None
        return Refusal("feedback_bad", "the present state is not known")

    def remark(self, request: Request, present: Reading) -> tuple[str, str]:
        """What an operator must be told although the control is allowed."""
        code, reason = self._remark_on_feedback(request, present)
        if request.bypassed:
            told = "; ".join(str(finding) for finding in request.bypassed)
            return "bypassed", f"bypassed: {told}" + (f"; {reason}" if reason else "")
        if resting := self.resting(request.control, request.value, []):
            return code or "substituted", f"{reason or 'the interlocks allow it'} ({resting})"
        return code, reason

    def _remark_on_feedback(self, request: Request, present: Reading) -> tuple[str, str]:
        control = request.control
        if not self.is_watched(control):
            return UNWATCHED, "no feedback point watches this control"
        if not present.good:
            return "feedback_bad", "the present state is not known: the feedback is not valid"
        if has_followed(control, self.expected(request, present), present):
            return "already", "the feedback already shows this state"
        return "", ""

    def resting(self, control: Control, value: float, findings: Sequence[Finding]) -> str:
        """On which substituted positions it rests that the interlocks say just this; empty if on none."""
        return rests_on_substituted(self._interlocks, control, value, self._plant, self._sight(), findings)

    def _sight(self) -> SwitchgearTopology:
        """The network as the interlocks see it: where a switch that is being operated stands is not known."""
        moving = self._moving()
        return self._topology.without(moving) if moving else self._topology

    # ------------------------------------------------------------------ readings

    def present(self, control: Control) -> Reading:
        """The feedback's present reading."""
        return _NO_READING if control.feedback is None else self._plant.reading(int(control.feedback))

    def is_watched(self, control: Control) -> bool:
        """True if a feedback can show what the control does."""
        return is_watched(control, self._tables.points)

    def expected(self, request: Request, present: Reading) -> float:
        """What the feedback must reach, NaN if nothing tells."""
        feedback = request.control.feedback
        if feedback is None:
            return math.nan
        return expected_feedback(request.control, request.value, self._tables.points[int(feedback)], present)

    def has_arrived(self, request: Request) -> bool:
        """The interlocks see a switch where it was told to go."""
        return self._topology.is_closed(request.control.equipment) is asks_to_close(request.control, request.value)

    def adjusted(self, control: Control, *, raised: bool, amount: float) -> float | Refusal:
        """The value that raises or lowers a control: one step, or the present good feedback and ``amount`` more or less."""
        if control.kind is ControlKind.STEP:
            return (2.0 if raised else 1.0) if amount == 0 else Refusal("bad_value", "a step control moves one step at a time")
        if control.kind is not ControlKind.SETPOINT:
            return Refusal("bad_value", "a switch is not raised or lowered")
        if not (math.isfinite(amount) and amount > 0):
            return Refusal("bad_value", "by how much a set-point moves is a positive number")
        present = self.present(control)
        if not present.good or present.held:
            return Refusal("feedback_bad", "the present value is not known, so a little more or less than it is not known either")
        return present.value + (amount if raised else -amount)


def _naming(finding: Finding) -> tuple[object, ...]:
    return finding.rule, finding.key, tuple(sorted(finding.parameters.items()))


def number_refusal(control: Control, device_number: str) -> Refusal | None:
    """Why the number that was typed does not name the object; None if it does."""
    if device_number.strip() == control.device_number:
        return None
    return Refusal("device_number", "the device number that was typed is not this object's")


def value_refusal(control: Control, value: float) -> Refusal | None:
    """Why a control cannot be given a value: it is not finite, out of range or no command of this kind; None if it can."""
    if not math.isfinite(value):
        return Refusal("bad_value", "the value is not a finite number")
    if control.kind is ControlKind.SETPOINT:
        if value < control.minimum or value > control.maximum:
            return Refusal("out_of_range", f"{value:g} {control.unit} is outside {control.minimum:g} .. {control.maximum:g}")
        return None
    allowed = (0.0, 1.0) if control.kind is ControlKind.SINGLE else (1.0, 2.0)
    return None if value in allowed else Refusal("bad_value", f"{value:g} is no {control.kind.name.lower()} command")
