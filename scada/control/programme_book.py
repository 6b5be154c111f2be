"""The book of programmes: every version of every one, checked against the model. Pure: an order in, answer and effects out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scada.control.checks import Checks, Refusal, no_tags
from scada.control.conditions import Condition, Verdict
from scada.control.effects import Audit, Report
from scada.control.plant import Plant, SwitchgearTopology
from scada.control.programme_effects import KeepProgramme, RunEffect
from scada.control.programme_trace import programme_row, saved_event
from scada.control.programmes import Findings, Programme, check_programme
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.control_settings import TwoPersonRule
from scada.model_cim.permissions import Names
from scada.model_cim.tables import Control, ModelTables
from scada.security.roles import Right


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to an order on programmes.

    Attributes:
        accepted: it was done.
        code: machine-readable remark or refusal.
        reason: one sentence.
        run: id of the run.
        version: of the programme.
        digest: of what is executed.
        findings: of a refused version, per step.
    """

    accepted: bool
    code: str = ""
    reason: str = ""
    run: str = ""
    version: int = 0
    digest: bytes = b""
    findings: tuple[str, ...] = ()


Result = tuple[Answer, list[RunEffect]]
"""What is answered, and what is to be done."""


class ProgrammeBook:
    """Versions of programmes, and what the model and the rights say of them.

    Args:
        tables: the model.
        clock: stamps.
        plant: for conditions.
        topology: for conditions, and for who must be two.
        two_person: who must be two.
        versions: every version ever saved, in any order.
        names: what conditions may name; None = points, and equipment by its mRID alone.

    Attributes:
        checks: rights, areas and the two-person rule by the model that runs.
    """

    def __init__(
        self,
        tables: ModelTables,
        clock: Clock,
        plant: Plant,
        topology: SwitchgearTopology,
        two_person: tuple[TwoPersonRule, ...],
        versions: Iterable[Programme] = (),
        names: Names | None = None,
    ) -> None:
        self._clock = clock
        self._plant = plant
        self.checks = Checks(tables, plant, topology, (), no_tags, two_person)
        self.adopt(tables, topology, names)
        self._programmes: dict[str, dict[int, Programme]] = {}
        for one in versions:
            self._programmes.setdefault(one.name, {})[one.version] = one

    def adopt(self, tables: ModelTables, topology: SwitchgearTopology, names: Names | None = None) -> None:
        """Decide by another model version from now on."""
        self.checks.adopt(tables, topology)
        self._tables, self._topology = tables, topology
        self._names = names or Names(tables.points, tables.controls, None)
        self._conditions: dict[str, Condition] = {}

    def programmes(self) -> list[Programme]:
        """The newest version of each programme that was not removed, by name."""
        newest = [versions[max(versions)] for _, versions in sorted(self._programmes.items())]
        return [one for one in newest if not one.removed]

    def programme(self, name: str, version: int = 0) -> Programme | None:
        """One version, 0 = the newest; None if there is none."""
        versions = self._programmes.get(name, {})
        return versions.get(version or max(versions, default=0))

    def findings(self, programme: Programme) -> Findings:
        """What is wrong with it now."""
        return check_programme(programme, self._tables, self.parse)

    def control(self, mrid: str) -> Control | None:
        """A control of the model that runs."""
        return self._tables.control_by_mrid.get(mrid)

    def unwatched(self, programme: Programme) -> list[int]:
        """Steps that no feedback can show, and that are not engineered to go without: a run waits for a person behind each."""
        found = [(index, step, self.control(step.control)) for index, step in enumerate(programme.steps)]
        return [
            index
            for index, step, control in found
            if control is not None and not step.accept_no_feedback and not self.checks.is_watched(control)
        ]

    def places(self, programme: Programme) -> list[str]:
        """Control areas and stations of its controls."""
        area_of = {station.name: station.area for station in self._tables.stations}
        found = (self.control(step.control) for step in programme.steps)
        return sorted({area_of.get(control.station, "") or control.station for control in found if control} - {""})

    def parse(self, text: str) -> Condition:
        """Read a condition against the model that runs.

        Raises:
            ConditionError: it cannot be read, or names what the model does not have.
        """
        found = self._conditions.get(text)
        if found is None:
            found = self._conditions[text] = Condition.parse(text, self._names)
        return found

    def judge(self, text: str) -> Verdict:
        """What a condition says now.

        Raises:
            ConditionError: as :meth:`parse`.
        """
        return self.parse(text).evaluate(self._plant, self._topology)

    # ---------------------------------------------------------------- versions

    def save(
        self, asked: Programme, based_on: int, principal: Principal, evidence: bytes = b"", *, remove: bool = False
    ) -> Result:
        """Keep another version, or remove the programme; what it was based on must still be the newest.

        Args:
            asked: name, title, kind and steps, and the reason.
            based_on: the version that its author saw; 0 = a new programme.
            principal: the author.
            evidence: the signed envelope.
            remove: the programme is to be no more; its steps stay those of the newest version.
        """
        newest = self.programme(asked.name)
        now = self._clock.now_ns()
        kept = replace(newest, reason=asked.reason) if newest and remove else asked
        number = (newest.version if newest else 0) + 1
        made = replace(kept, version=number, author=principal.name, saved_ns=now, removed=remove)
        refused = self._may_not_save(made, newest, based_on, principal, remove=remove)
        if isinstance(refused, Answer):
            return self.refused("save", made, principal, refused, evidence)
        self._programmes.setdefault(made.name, {})[made.version] = made
        row = programme_row(made, "remove" if remove else "save", principal, reason=made.reason, evidence=evidence)
        answer = Answer(True, version=made.version, digest=made.digest)
        return answer, [Audit("", row), KeepProgramme(made), Report(saved_event(made, now))]

    def _may_not_save(
        self, made: Programme, newest: Programme | None, based_on: int, principal: Principal, *, remove: bool
    ) -> Answer | None:
        seen = newest.version if newest else 0
        if remove and (newest is None or newest.removed):
            return Answer(False, "unknown_programme", f"there is no programme {made.name!r}")
        # a removed programme is as good as none: what takes its place is new
        if based_on != seen and not (newest and newest.removed and based_on == 0):
            return Answer(False, "stale", f"version {seen} is the newest, not {based_on}: look at it first", version=seen)
        for one in (made, newest):
            if one is not None and (refusal := self._no_area(one, principal)):
                return Answer(False, refusal.code, refusal.reason)
        if remove:
            return None
        findings = self.findings(made)
        return Answer(False, "findings", findings.first, findings=findings.steps) if findings.first else None

    def version_not_kept(self, programme: Programme) -> None:
        """A version could not be stored: there is none."""
        self._programmes.get(programme.name, {}).pop(programme.version, None)

    def may_not_operate(self, programme: Programme, principal: Principal, needed: Right | None = None) -> Refusal | None:
        """Every control's right, or the one that is ``needed``, and area; what the model no longer has is not judged."""
        controls = (self._tables.control_by_mrid.get(step.control) for step in programme.steps)
        refusals = (self.checks.lacks_right(control, principal, needed) for control in controls if control is not None)
        return next((refusal for refusal in refusals if refusal), None)

    def _no_area(self, programme: Programme, principal: Principal) -> Refusal | None:
        """Of an author, who need not be one who may operate, every control must be within the areas."""
        held = next((right for right in (Right.ENGINEER, Right.CONTROL, Right.SETPOINT) if right in principal.rights), None)
        if held is None:
            return Refusal("no_right", f"{principal.name} may not write programmes")
        return self.may_not_operate(programme, principal, held)

    @staticmethod
    def refused(step: str, programme: Programme, who: Principal, answer: Answer, evidence: bytes) -> Result:
        """A refusal with its trace."""
        row = programme_row(
            programme, f"{step}_refused", who, code=f"refused:{answer.code}", reason=answer.reason, evidence=evidence
        )
        return answer, [Audit("", row)]
