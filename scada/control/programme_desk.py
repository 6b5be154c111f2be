"""The desk of programmes: every run, and all the checks before one begins or goes on. Pure.

Every call returns its answer and the effects for its owner to carry out in order (see :mod:`scada.control.programme_effects`).
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from scada.control.checks import Refusal
from scada.control.effects import Audit, Report
from scada.control.programme_book import Answer, ProgrammeBook, Result
from scada.control.programme_effects import ExecuteStep, KeepRun, RunEffect, SelectStep
from scada.control.programme_machine import ProgrammeRun, Still
from scada.control.programme_records import RunRecord, RunState, StepPhase, interrupt
from scada.control.programme_trace import run_event, run_row
from scada.control.programmes import LONGEST_WAIT_S, Kind, Programme, Step, condition_finding
from scada.control.records import ControlReply, Principal
from scada.control.two_person import not_another
from scada.core.clock import NS_PER_S, Clock
from scada.core.control_settings import ControlSettings
from scada.security.audit import AuditRow
from scada.security.roles import Right

AHEAD_S: Final = 7 * 86_400.0
"""A timed start is at most so far ahead."""
MOST_RUNS: Final = 32
"""Runs under way at a time."""
ENDED_RUNS: Final = 100
"""Ended runs that are remembered."""
MARGIN_S: Final = 10.0
"""What the control desk's answer may take beyond its own deadlines."""


@dataclass(frozen=True, slots=True)
class StartOrder:
    """What a start names; see ``pb.StartProgrammeRequest``."""

    name: str
    version: int
    digest: bytes
    at_ns: int = 0
    condition: str = ""
    wait_s: float = 0.0
    single_step: bool = False
    emergency: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunWord:
    """What a guardian signed of a run; see ``pb.ConfirmProgrammeRequest``."""

    run: str
    digest: bytes
    start_digest: bytes
    refuse: bool = False
    reason: str = ""


class ProgrammeDesk:
    """Runs of programmes.

    Args:
        book: the versions.
        clock: stamps and waits.
        settings: deadlines of the control path.
        still: asked before each order of a run.
        runs: those remembered, the oldest first; none of them under way.
        identifier: makes run ids, unique also over restarts.
    """

    def __init__(
        self,
        book: ProgrammeBook,
        clock: Clock,
        settings: ControlSettings,
        *,
        still: Still = lambda principal: principal,
        runs: Iterable[RunRecord] = (),
        identifier: Callable[[], str] = lambda: secrets.token_hex(6),
    ) -> None:
        self._book = book
        self._clock = clock
        self._settings = settings
        self._still = still
        self._identifier = identifier
        self._ended: list[RunRecord] = [one for one in runs if one.state.ended][-ENDED_RUNS:]
        self._runs: dict[str, ProgrammeRun] = {}
        self._people: dict[str, Principal] = {}
        """Who started each run under way, whoever resumes it later."""

    def runs(self, *, ended: bool = False) -> list[RunRecord]:
        """Runs under way, the newest first; with ``ended`` those that ended too."""
        under_way = [run.record for run in self._runs.values()]
        return [*reversed(under_way), *(reversed(self._ended) if ended else ())]

    # ---------------------------------------------------------------- starts

    def start(self, order: StartOrder, principal: Principal, envelope_digest: bytes, evidence: bytes = b"") -> Result:
        """Begin a run of the version that was seen, or have it wait for its guardian, time or condition."""
        found = self._book.programme(order.name, order.version) if order.version else None
        if found is None:
            named = Programme(order.name[:64], "", Kind.SEQUENCE, (), version=order.version)
            answer = Answer(False, "unknown_programme", f"there is no version {order.version} of {order.name!r}")
            return self._book.refused("start", named, principal, answer, evidence)
        refusal = self._may_not_start(found, order, principal)
        if refusal:
            answer = Answer(False, refusal.code, refusal.reason, version=found.version)
            return self._book.refused("start", found, principal, answer, evidence)
        controls = [self._book.control(step.control) for step in found.steps]
        two = any(control is None or self._book.checks.needs_guardian(control) for control in controls)
        record = RunRecord(
            run=self._identifier(),
            programme=found,
            operator=principal.name,
            workstation=principal.station,
            session=principal.session,
            start_digest=envelope_digest,
            needs_guardian=two and not order.emergency,
            asked_ns=self._clock.now_ns(),
            at_ns=order.at_ns,
            condition=order.condition,
            wait_s=order.wait_s,
            single_step=order.single_step,
            emergency=order.emergency,
            why=order.reason,
        )
        guards = partial(self._no_longer_guards, found)
        run = ProgrammeRun(record, principal, self._clock, self._book.judge, self._still, guards, self._answer_s)
        self._runs[record.run], self._people[record.run] = run, principal
        answer, effects = self._answered(run, run.begin(evidence), "needs_guardian" if record.needs_guardian else "")
        return replace(answer, reason=answer.reason or self._waits(found)), effects

    def _waits(self, found: Programme) -> str:
        """Behind which steps the run will wait for a person."""
        unwatched = self._book.unwatched(found)
        steps = f"step{'s' * (len(unwatched) > 1)} {', '.join(str(index + 1) for index in unwatched)}"
        return f"it will pause behind {steps}: no feedback shows what becomes of it" if unwatched else ""

    def _may_not_start(self, found: Programme, order: StartOrder, principal: Principal) -> Refusal | None:
        newest = self._book.programme(order.name)
        ahead_s = (order.at_ns - self._clock.now_ns()) / NS_PER_S
        wrong = {
            "removed": "the programme was removed" if newest and newest.removed else "",
            "stale": f"version {newest.version} is the newest" if newest and newest.version != found.version else "",
            "digest": "the digest is not that of this version: look at it again" if order.digest != found.digest else "",
            "late": "the time of the start has passed" if order.at_ns and ahead_s < 0 else "",
            "too_far": f"a start is at most {AHEAD_S / 86_400:g} days ahead" if order.at_ns and ahead_s > AHEAD_S else "",
            "group": "a group has no single steps" if order.single_step and found.kind is Kind.GROUP else "",
            "condition": condition_finding(order.condition, self._book.parse),
            "wait": self._wait_finding(order),
            "findings": self._book.findings(found).first,
            "running": self._runs_already(found),
        }
        for code, text in wrong.items():
            if text:
                return Refusal(code, text)
        waived = [Right.EMERGENCY] * order.emergency
        return self._book.may_not_operate(found, principal) or self._book.checks.lacks_waiver(principal, order.reason, waived)

    @staticmethod
    def _wait_finding(order: StartOrder) -> str:
        if not math.isfinite(order.wait_s) or not 0 <= order.wait_s <= LONGEST_WAIT_S:
            return f"the longest wait for a condition is 0 to {LONGEST_WAIT_S:g} s"
        return ""

    def _runs_already(self, found: Programme) -> str:
        if any(run.record.programme.name == found.name for run in self._runs.values()):
            return "a run of this programme is under way"
        return f"{MOST_RUNS} runs are under way" if len(self._runs) >= MOST_RUNS else ""

    def confirm(self, word: RunWord, guardian: Principal, evidence: bytes = b"") -> Result:
        """The second person's word on a whole run: yes, or no."""
        run = self._runs.get(word.run)
        if run is None:
            return self._gone(word.run)
        record = run.record
        refusal = self._may_not_guard(run, word, guardian)
        if refusal:
            answer = Answer(False, refusal.code, refusal.reason, run=record.run, version=record.programme.version)
            return answer, [Audit("", run_row(record, "confirm_refused", guardian, why=refusal.reason, evidence=evidence))]
        if word.refuse:
            return self._answered(run, run.refuse(guardian, word.reason, evidence), "guardian_refused")
        return self._answered(run, run.confirm(guardian, evidence))

    def _may_not_guard(self, run: ProgrammeRun, word: RunWord, guardian: Principal) -> Refusal | None:
        record = run.record
        if record.state is not RunState.UNCONFIRMED:
            return Refusal("not_unconfirmed", f"the run is {record.state.value}")
        if refusal := self._book.may_not_operate(record.programme, guardian, Right.GUARD):
            return refusal
        if word.digest != record.programme.digest or word.start_digest != record.start_digest:
            return Refusal("guardian_mismatch", "the confirmation is not bound to this run: look at it again")
        another = not_another(self._people[record.run], guardian)
        return Refusal(*another) if another else None

    def _no_longer_guards(self, programme: Programme, guardian: Principal) -> str:
        """Rights of a guardian as they are now; a start may be days after its confirmation."""
        now = self._still(guardian)
        if isinstance(now, str):
            return now
        refusal = self._book.may_not_operate(programme, now, Right.GUARD)
        return refusal.reason if refusal else ""

    # ---------------------------------------------------------------- orders to a run

    def command(self, run_id: str, action: str, reason: str, principal: Principal, evidence: bytes = b"") -> Result:
        """``pause``, ``resume``, ``step`` or ``stop``, by anyone who may operate all of it."""
        run = self._runs.get(run_id)
        if run is None:
            return self._gone(run_id)
        refusal = self._may_not_command(run, action, principal)
        if refusal:
            answer = Answer(False, refusal.code, refusal.reason, run=run_id, version=run.record.programme.version)
            return answer, [
                Audit("", run_row(run.record, "command_refused", principal, why=f"{action}: {refusal.reason}", evidence=evidence))
            ]
        match action:
            case "pause":
                return self._answered(run, run.pause(principal, reason, evidence))
            case "stop":
                return self._answered(run, run.stop(principal, reason, evidence))
            case _:
                return self._answered(run, run.resume(principal, reason, evidence, once=action == "step"))

    def _may_not_command(self, run: ProgrammeRun, action: str, principal: Principal) -> Refusal | None:
        record = run.record
        if action not in ("pause", "resume", "step", "stop"):
            return Refusal("invalid", "an order to a run is pause, resume, step or stop")
        if refusal := self._book.may_not_operate(record.programme, principal):
            return refusal
        if action == "stop":
            return None
        wanted = (RunState.WAITING, RunState.RUNNING) if action == "pause" else (RunState.PAUSED,)
        if record.state not in wanted:
            return Refusal("not_paused" if action != "pause" else "not_running", f"the run is {record.state.value}")
        if action == "step" and (record.programme.kind is Kind.GROUP or not record.began):
            return Refusal("no_steps", "a group has no single steps, and a run that has not begun has none yet")
        return self._may_not_take_over(run, principal) if action in ("resume", "step") else None

    def _may_not_take_over(self, run: ProgrammeRun, principal: Principal) -> Refusal | None:
        """Who resumes a run acts for it: not its guardian, nor from the guardian's workstation."""
        record = run.record
        if run.guardian and run.outdated:
            reason = f"its controls were changed since {record.guardian} confirmed it: stop it, and start it anew"
            return Refusal("guardian_missing", reason)
        if run.guardian and (same := not_another(principal, run.guardian)):
            return Refusal(same[0], f"{record.guardian} confirmed this run: another person must resume it at another workstation")
        if record.emergency:
            return self._book.checks.lacks_waiver(principal, record.why, [Right.EMERGENCY])
        return None

    # ---------------------------------------------------------------- what happens meanwhile

    def selected(self, run_id: str, index: int, reply: ControlReply) -> list[RunEffect]:
        """The control desk answered the selection of a step; of a run that is no more, its owner withdraws it."""
        run = self._runs.get(run_id)
        return [] if run is None else self._settle(run, run.selected(index, reply))

    def executed(self, run_id: str, index: int, reply: ControlReply) -> list[RunEffect]:
        """The control desk told how a step ended."""
        run = self._runs.get(run_id)
        return [] if run is None else self._settle(run, run.executed(index, reply))

    def knows(self, run_id: str) -> bool:
        """Whether the run is under way."""
        return run_id in self._runs

    def tick(self) -> list[RunEffect]:
        """Act on what is due."""
        return [effect for run in list(self._runs.values()) for effect in self._settle(run, run.tick())]

    def audit_failed(self, run_id: str, reason: str, dropped: Sequence[SelectStep | ExecuteStep]) -> list[RunEffect]:
        """Something of a run could not be stored, and these orders were not given."""
        run = self._runs.get(run_id)
        return [] if run is None else self._settle(run, run.audit_failed(reason, dropped))

    def recover(self, unfinished: Iterable[RunRecord], rows: Mapping[str, Sequence[AuditRow]]) -> list[RunEffect]:
        """After a restart: runs that were under way are interrupted, with what is known of each step; nothing is repeated.

        Args:
            unfinished: runs as they were on disk.
            rows: the control desk's audit rows, by sequence id.
        """
        effects: list[RunEffect] = []
        for record in unfinished:
            now = self._clock.now_ns()
            interrupt(record, (row for step in record.steps for row in rows.get(step.sequence_id, ())), now)
            who = Principal(record.operator, frozenset(), frozenset(), frozenset(), record.workstation, record.session)
            row = run_row(record, "interrupted", who)
            effects += [KeepRun(record), Audit("", row), Report(run_event(record, "interrupted", record.operator, now))]
            self._ended.append(record)
        return effects

    # ---------------------------------------------------------------- the model changes

    def reserve(self, cids: frozenset[int]) -> list[RunEffect]:
        """The model is about to change these controls: pause the runs that still have to do with them.

        By which model they decide next, the book is told.
        """
        effects: list[RunEffect] = []
        for run in list(self._runs.values()):
            left = [
                self._book.control(planned.control)
                for planned, step in zip(run.record.programme.steps, run.record.steps, strict=True)
                if step.phase is not StepPhase.DONE
            ]
            if any(control is None or control.cid in cids for control in left):
                effects += self._settle(run, run.model_changes())
        return effects

    # ---------------------------------------------------------------- parts

    def _answer_s(self, step: Step) -> float:
        control = self._book.control(step.control)
        feedback_s = control.feedback_timeout_s if control else 0.0
        return self._settings.check_back_s + self._settings.confirm_s + feedback_s + MARGIN_S

    def _answered(self, run: ProgrammeRun, effects: list[RunEffect], code: str = "") -> Result:
        record = run.record
        answer = Answer(True, code or record.code, record.reason, record.run, record.programme.version, record.programme.digest)
        return answer, self._settle(run, effects)

    def _settle(self, run: ProgrammeRun, effects: list[RunEffect]) -> list[RunEffect]:
        record = run.record
        if record.state.ended and self._runs.pop(record.run, None) is not None:
            self._people.pop(record.run, None)
            self._ended = [*self._ended, record][-ENDED_RUNS:]
        return effects

    def _gone(self, run_id: str) -> Result:
        ended = next((one for one in self._ended if one.run == run_id), None)
        if ended is not None:
            return Answer(False, "ended", f"the run is over: {ended.state.value}", run=run_id), []
        return Answer(False, "unknown_run", "no such run"), []
