"""Model actor: proposals of engineers, checked and tried beside the server, approved, applied, rolled back; each step in the log.

What takes long is done by one worker process at a time (:mod:`scada.actors.model_work`). An order is judged, written to the audit
log, and only then acted upon. What was proposed survives a restart of the server: it is checked again from the uploaded file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.messages import Report, Tick
from scada.actors.model_jobs import BuildJob, CheckJob, CheckResult, Job
from scada.actors.model_line import StartWork, Task, WorkEnded, WorkHeard, WorkLine
from scada.actors.model_process import Built
from scada.actors.model_rules import Ask, Verdict, base_of, judge, outside
from scada.actors.model_view import ModelView, dangers_of
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.core.settings import ModelSettings
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.model_cim.version_log import State, Step, Version
from scada.model_cim.versions import SYSTEM, VersionStore
from scada.rtdb.changes import Snapshot
from scada.security.audit import AuditLog, AuditRow

_log = structlog.get_logger("model")

Order = pb.ProposeRequest | pb.ApproveRequest | pb.WithdrawRequest | pb.ApplyRequest | pb.RollbackRequest
MOST_OPEN: Final = 32
"""Versions that may be open at a time."""
_STEPS: Final = {
    pb.ProposeRequest: "propose",
    pb.ApproveRequest: "approve",
    pb.WithdrawRequest: "withdraw",
    pb.ApplyRequest: "apply",
    pb.RollbackRequest: "rollback",
}


@dataclass(frozen=True, slots=True)
class EngineeringAsked:
    """An order of an engineer; ask it, the answer is an ``EngineeringReply``."""

    request: Order
    principal: Principal
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Live:
    """What the plant says at the moment."""

    snapshot: Snapshot | None
    alarmed: Mapping[int, str]
    """mRID of each point with an alarm standing, by pid."""


class Adopter(Protocol):
    """Makes a server run another version of its model; called on the model actor's thread, which may wait.

    What a version was built with stays in memory while it is one of the two last, so that the way back takes no building.
    """

    def adopt(self, built: Built, folder: Path, number: int) -> str:
        """Run this version from now on.

        Returns:
            What was done, in one sentence.

        Raises:
            ScadaError: it does not run; the one before goes on.
        """
        ...

    def readopt(self, number: int) -> str | None:
        """Run a version again that is still in memory; None if it is not.

        Raises:
            ScadaError: it does not run; the one before goes on.
        """
        ...


class ModelActor(Actor):
    """Owns the versions.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        store: of the versions; it outlives this actor.
        settings: of the model.
        numbers: folder with the kept numbers.
        drivers: drivers of one's own, by protocol.
        adopter: makes the server run a version.
        start_work: starts a worker process.
        live: present values and alarms.
        audit: open audit log; it outlives this actor.
        events: told of what happens.
        view: where progress is published.
        clock: stamps, and the time the worker may take.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        store: VersionStore,
        settings: ModelSettings,
        numbers: Path,
        drivers: Mapping[str, str],
        adopter: Adopter,
        start_work: StartWork,
        live: Callable[[], Live],
        audit: AuditLog,
        events: Address,
        view: ModelView,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._store, self._settings, self._view = store, settings, view
        self._numbers, self._drivers = numbers, drivers
        self._adopter, self._live = adopter, live
        self._audit, self._events, self._clock = audit, events, clock
        self._line = WorkLine(address, start_work, view, clock, begun=self._begun, ended=self._ended)

    def started(self) -> None:
        """Go on with what was proposed before; what an earlier life of this actor was applying has failed."""
        for entry in self._store.mend():
            self._tell("model.failed", entry.version, AlarmClass.ABNORMAL, reason=entry.text)
        self._view.progress = {}
        for version in self._store.versions.values():
            if version.state is State.CHECKING:
                self._check(version.number)
        self._line.go_on()

    def stopped(self) -> None:
        """Give the work at hand up; it is begun anew at the next start."""
        self._line.stop()

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case EngineeringAsked(request, principal, evidence):
                return self._order(request, principal, evidence)
            case WorkHeard(number, share, what):
                self._view.progress = {**self._view.progress, number: (share, what)}
            case WorkEnded(job, found):
                self._line.heard(job, found)
            case Tick():
                self._look()
            case _:
                return super().receive(message)
        return None

    # ---------------------------------------------------------------- orders

    def _order(self, request: Order, principal: Principal, evidence: bytes) -> pb.EngineeringReply:
        number = request.version or (self._store.previous if isinstance(request, pb.RollbackRequest) else 0)
        why = request.description if isinstance(request, pb.ProposeRequest) else request.reason
        row = self._row(_STEPS[type(request)], principal, number, why, evidence)
        try:
            self._audit.append(row)
        except ScadaError as error:
            _log.error("the audit log cannot be written, nothing was done", cause=str(error))
            self._tell("audit.fault", number, AlarmClass.ACCIDENT, reason=str(error))
            return _refused(number, "audit_failed", f"the audit log cannot be written, nothing was done: {error}")
        verdict = self._judged(request, principal, number)
        if verdict is None:
            try:
                number = self._act(request, principal, number)
            except ScadaError as error:
                verdict = Verdict("failed", str(error))
        if verdict is not None:
            self._note_refusal(row, verdict)
            return _refused(number, verdict.code, verdict.reason, verdict.unconfirmed)
        return pb.EngineeringReply(accepted=True, version=number)

    def _judged(self, request: Order, principal: Principal, number: int) -> Verdict | None:
        live = self._live() if isinstance(request, pb.ApplyRequest) else None
        alarmed = set(live.alarmed.values()) if live else set()
        applying = next((one.number for one in self._store.versions.values() if one.state is State.APPLYING), 0)
        more = Ask(self._store, self._settings, applying, alarmed, MOST_OPEN)
        return judge(request, principal, number, more)

    def _act(self, request: Order, principal: Principal, number: int) -> int:
        """Do what an order asks; returns the number of the version concerned."""
        match request:
            case pb.ProposeRequest():
                return self._propose(request, principal)
            case pb.ApproveRequest():
                self._store.note(Step.APPROVED, number, actor=principal.name, text=request.reason)
                self._tell("model.approved", number, user=principal.name)
            case pb.WithdrawRequest():
                self._withdraw(number, principal.name, request.reason)
            case pb.ApplyRequest():
                confirmed = {"confirmed": sorted(request.confirm)}
                self._store.note(Step.APPLYING, number, actor=principal.name, text=request.reason, data=confirmed)
                self._line.first(Task(self._build_job(number), principal.name, request.reason))
            case pb.RollbackRequest():
                self._roll_back(number, principal.name, request.reason)
        return number

    def _propose(self, request: pb.ProposeRequest, principal: Principal) -> int:
        origin = "version" if request.version else "difference" if request.difference else "upload"
        number = self._store.begin(
            actor=principal.name,
            description=request.description,
            areas=tuple(principal.areas),
            base=base_of(request, self._store),
            origin=origin,
            source=str(request.version) if request.version else request.sha256,
        )
        self._tell("model.proposed", number, user=principal.name, description=request.description)
        self._tidy()
        self._check(number)
        self._line.go_on()
        return number

    def _check(self, number: int) -> None:
        """Put a check in the line; what it started from may be gone since."""
        version = self._store.version(number)
        try:
            self._line.put(Task(self._check_job(version), version.maker))
        except ScadaError as error:
            self._refuse(number, str(error))

    def _withdraw(self, number: int, user: str, reason: str) -> None:
        applying = self._store.version(number).state is State.APPLYING
        if self._line.drop(number):
            self._store.staging(number)  # what the worker left there
        if applying:
            self._store.note(Step.FAILED, number, actor=user, text="withdrawn while it was built")
        self._store.note(Step.WITHDRAWN, number, actor=user, text=reason)
        self._tell("model.withdrawn", number, user=user)
        self._line.go_on()

    def _roll_back(self, number: int, user: str, reason: str) -> None:
        """At once if the version is still in memory, else it is built first."""
        done = self._adopter.readopt(number)
        if done is None:
            self._store.note(Step.APPLYING, number, actor=user, text=reason)
            self._line.first(Task(self._build_job(number), user, reason, rollback=True))
            return
        self._written(number, user, f"{reason}; {done}" if reason else done, rollback=True)
        self._line.interrupt()  # a check at hand was against the version that ran
        self._line.go_on()

    # ---------------------------------------------------------------- work

    def _check_job(self, version: Version) -> CheckJob:
        store = self._store
        source = store.path(int(version.source)) if version.origin == "version" else store.uploads / version.source
        return CheckJob(
            number=version.number,
            origin=version.origin,
            source=source,
            base=store.path(version.base),
            running=store.path(store.current),
            staging=store.staging(version.number),
            numbers=self._numbers,
            drivers=self._drivers,
            most_bytes=self._settings.upload_mb << 20,
            draw=self._settings.diagrams,
        )

    def _build_job(self, number: int) -> BuildJob:
        return BuildJob(number, self._store.path(number), self._numbers, self._drivers, self._store.version(number).files)

    def _begun(self, job: Job) -> Job:
        """A check is against what runs and what is measured when it begins, not when it was asked."""
        if isinstance(job, CheckJob):
            return _with_live(self._check_job(self._store.version(job.number)), self._live(), self._clock.now_ns())
        return job

    def _look(self) -> None:
        """End work that takes too long, and what could not be ended before."""
        if not self._line.busy:
            self._end_stuck()
        self._line.end_late(self._settings.work_minutes)

    def _end_stuck(self) -> None:
        """What ended and could not be written down: it has failed, and until that is written no other apply may begin."""
        text = "its end could not be written down"
        try:
            for version in self._store.versions.values():
                if version.state is State.APPLYING:
                    self._failed_to_run(version.number, f"{text}; the version before runs")
                elif version.state is State.CHECKING:
                    self._refuse(version.number, f"{text}; propose it anew")
        except ScadaError:
            return  # told when it happened; tried again at the next tick

    def _ended(self, task: Task, found: CheckResult | Built | ScadaError) -> None:
        try:
            if isinstance(task.job, CheckJob):
                self._checked(task, found)
            else:
                self._built(task, found)
        except ScadaError as error:
            _log.error("a step of a model version could not be done or written down", version=task.job.number, cause=str(error))
            self._tell("model.failed", task.job.number, AlarmClass.ABNORMAL, reason=str(error))
            self._give_up_version(task, str(error))

    def _give_up_version(self, task: Task, reason: str) -> None:
        """What could not be kept is refused; if not even that can be written, :meth:`_look` tries again."""
        if isinstance(task.job, CheckJob) and self._store.version(task.job.number).state is State.CHECKING:
            try:
                self._refuse(task.job.number, reason)
            except ScadaError as error:
                _log.error("a version stays in the check until it can be refused", version=task.job.number, cause=str(error))

    def _refuse(self, number: int, reason: str, found: CheckResult | None = None) -> None:
        self._store.staging(number)  # what the worker left there
        facts = {**(found.facts if found else {}), "checked_on": self._store.current}
        self._store.note(Step.REFUSED, number, text=reason, data=facts, reports=found.reports if found else None)
        self._tell("model.refused", number, AlarmClass.ABNORMAL, reason=reason)

    def _checked(self, task: Task, found: CheckResult | Built | ScadaError) -> None:
        number = task.job.number
        assert isinstance(task.job, CheckJob)
        result = found if isinstance(found, CheckResult) else CheckResult(refused=str(found))
        version = self._store.version(number)
        refused = result.refused or _outside(version, result.facts)
        if refused:
            self._refuse(number, refused, result)
        else:
            facts = {**result.facts, "checked_on": self._store.current}
            self._store.take(number, task.job.staging, facts, result.reports, result.text)
            self._tell("model.ready", number, user=version.maker, result=result.text)
        if version.origin in {"upload", "difference"}:
            waits = any(one.source == version.source and one.state is State.CHECKING for one in self._store.versions.values())
            if not waits:
                task.job.source.unlink(missing_ok=True)

    def _built(self, task: Task, found: CheckResult | Built | ScadaError) -> None:
        number = task.job.number
        if not isinstance(found, Built):
            self._failed_to_run(number, str(found))
            return
        try:
            done = self._adopter.adopt(found, self._store.path(number), number)
        except ScadaError as error:
            self._failed_to_run(number, str(error))
            return
        self._written(number, task.actor, done, rollback=task.rollback)

    def _written(self, number: int, user: str, done: str, *, rollback: bool) -> None:
        """Write down that a version runs now; if that cannot be, the one before runs again.

        Raises:
            ScadaError: it could not be written.
        """
        before = self._store.current
        try:
            self._runs(number, user, done, rollback=rollback)
        except ScadaError as error:  # what runs must be what the log says
            self._tell("model.failed", number, AlarmClass.ACCIDENT, reason=f"{error}; {self._back_to(before)}")
            raise

    def _back_to(self, number: int) -> str:
        """Run the version again that ran before; what came of it."""
        try:
            done = self._adopter.readopt(number)
            cause = "it is not in memory"
        except ScadaError as error:
            done, cause = None, str(error)
        if done is None:
            return f"version {number} cannot run again, {cause}: what runs is not what the log says; restart the server"
        return f"version {number} runs again: {done}"

    def _runs(self, number: int, user: str, done: str, *, rollback: bool) -> None:
        """Write down that a version runs now."""
        self._store.note(Step.ROLLED_BACK if rollback else Step.APPLIED, number, actor=user, text=done)
        self._append(AuditRow("model", "runs", user, sequence_id=str(number), code="done", reason=done[:1000]))
        key = "model.rolled_back" if rollback else "model.applied"
        self._tell(key, number, AlarmClass.ABNORMAL, user=user, result=done)
        self._tidy()

    def _tidy(self) -> None:
        """Remove what old versions hold; what cannot be removed stands in nobody's way."""
        try:
            self._store.prune(self._settings.keep_versions)
        except ScadaError as error:
            _log.warning("old versions could not be removed", cause=str(error))

    def _failed_to_run(self, number: int, reason: str) -> None:
        self._store.note(Step.FAILED, number, text=reason)
        self._append(AuditRow("model", "failed", SYSTEM, sequence_id=str(number), code="failed", reason=reason[:1000]))
        self._tell("model.failed", number, AlarmClass.ABNORMAL, reason=reason)

    # ---------------------------------------------------------------- what is told

    def _row(self, step: str, principal: Principal, number: int, reason: str, evidence: bytes) -> AuditRow:
        return AuditRow(
            "model",
            step,
            principal.name,
            principal.station,
            principal.session,
            sequence_id=str(number),
            reason=reason[:1000],
            evidence=evidence,
        )

    def _note_refusal(self, row: AuditRow, verdict: Verdict) -> None:
        self._append(
            AuditRow(
                "model",
                "refused",
                row.actor,
                row.station,
                row.session,
                row.sequence_id,
                code=verdict.code,
                reason=verdict.reason[:1000],
            )
        )

    def _append(self, row: AuditRow) -> None:
        """A row about what is done already."""
        try:
            self._audit.append(row)
        except ScadaError as error:
            _log.error("the audit log cannot be written", cause=str(error))

    def _tell(self, key: str, number: int, alarm_class: AlarmClass = AlarmClass.NOTICE, **parameters: str) -> None:
        words = {"version": str(number), **{name: text[:500] for name, text in parameters.items()}}
        _log.info("model", key=key, **words)
        priority = {AlarmClass.ACCIDENT: 1, AlarmClass.ABNORMAL: 2}.get(alarm_class, 4)
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, words, actor=parameters.get("user", ""))
        self._events.tell(Report((event,)))


def _with_live(job: CheckJob, live: Live, now_ns: int) -> CheckJob:
    return replace(job, snapshot=live.snapshot, alarmed=tuple(live.alarmed), now_ns=now_ns)


def _outside(version: Version, facts: Mapping[str, Any]) -> str:
    """Why the maker may not change this; empty if it is the maker's to change."""
    stations = outside(version.areas, facts.get("stations", ()), facts.get("areas_of", {}))
    return f"outside {version.maker}'s areas of responsibility: {', '.join(stations)}" if stations else ""


def _refused(number: int, code: str, reason: str, unconfirmed: Mapping[str, Any] | None = None) -> pb.EngineeringReply:
    return pb.EngineeringReply(code=code, reason=reason, version=number, unconfirmed=dangers_of(unconfirmed or {}))
