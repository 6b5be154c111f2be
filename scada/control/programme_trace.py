"""Audit rows and events of programmes and their runs."""

from __future__ import annotations

from typing import Final

from scada.control.effects import Audit, Report
from scada.control.programme_effects import KeepRun, RunEffect
from scada.control.programme_records import RunRecord, StepPhase
from scada.control.programmes import Programme
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.events.records import Event, EventKind
from scada.model_cim.tables import AlarmClass
from scada.security.audit import AuditRow

_BAD: Final = ("failed", "interrupted")
_STEP_KEYS: Final = {StepPhase.DONE: "programme.step", StepPhase.UNPROVEN: "programme.step_unproven"}


def title_of(programme: Programme) -> str:
    """Name and version in one word, e.g. ``transfer v3``."""
    return f"{programme.name} v{programme.version}"


def why_of(record: RunRecord, index: int) -> str:
    """What the control desk writes to the audit log for a step of a run."""
    guard = f", confirmed by {record.guardian}" if record.guardian else ", emergency" if record.emergency else ""
    return f"programme {title_of(record.programme)}, run {record.run}, step {index + 1} of {len(record.steps)}{guard}"


def programme_row(
    programme: Programme, step: str, who: Principal, *, code: str = "", reason: str = "", evidence: bytes = b""
) -> AuditRow:
    """The trace of an act on a programme itself, or of a refused one."""
    return AuditRow(
        "programme",
        step,
        who.name,
        who.station,
        who.session,
        path=title_of(programme)[:200],
        code=code,
        reason=reason[:1000],
        evidence=evidence,
    )


def run_row(record: RunRecord, step: str, who: Principal, *, why: str = "", evidence: bytes = b"") -> AuditRow:
    """The trace of an act on a run."""
    return AuditRow(
        "programme",
        step,
        who.name,
        who.station,
        who.session,
        record.run,
        path=title_of(record.programme),
        code=f"{record.state.value}:{record.code}" if record.code else record.state.value,
        reason=why or record.reason or record.why,
        evidence=evidence,
    )


def step_row(record: RunRecord, index: int, step: str, who: Principal) -> AuditRow:
    """The trace of one step of a run; the control desk writes its own beside it."""
    planned, done = record.programme.steps[index], record.steps[index]
    return AuditRow(
        "programme",
        f"step_{step}",
        who.name,
        who.station,
        who.session,
        record.run,
        mrid=planned.control,
        path=f"{title_of(record.programme)}, step {index + 1}",
        value=planned.value,
        code=f"{done.phase.value}:{done.code}" if done.code else done.phase.value,
        reason=done.reason or done.sequence_id,
    )


def run_event(record: RunRecord, what: str, who: str, time_ns: int) -> Event:
    """``programme.<what>``."""
    bad = what in _BAD or (what == "paused" and record.code not in ("paused", "single_step"))
    parameters = {
        "programme": title_of(record.programme),
        "run": record.run,
        "by": who,
        "guardian": record.guardian,
        "code": record.code,
        "reason": record.reason or record.why,
        "steps": f"{sum(step.phase is StepPhase.DONE for step in record.steps)}/{len(record.steps)}",
    }
    alarm_class = AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE
    return Event(time_ns, EventKind.CONTROL, alarm_class, 2 if bad else 3, f"programme.{what}", parameters, actor=who)


def step_event(record: RunRecord, index: int, who: str, time_ns: int, key: str = "") -> Event:
    """``programme.step``, ``.step_unproven`` or ``.step_failed``: how a step ended; or another key."""
    planned, done = record.programme.steps[index], record.steps[index]
    bad = done.phase is not StepPhase.DONE
    parameters = {
        "programme": title_of(record.programme),
        "run": record.run,
        "by": who,
        "step": f"{index + 1}/{len(record.steps)}",
        "state": done.phase.value,
        "code": done.code,
        "reason": done.reason,
        "value": f"{planned.value:g}",
    }
    alarm_class = AlarmClass.ABNORMAL if bad else AlarmClass.NOTICE
    key = key or _STEP_KEYS.get(done.phase, "programme.step_failed")
    return Event(time_ns, EventKind.CONTROL, alarm_class, 3, key, parameters, mrid=planned.control, actor=who)


def saved_event(programme: Programme, time_ns: int) -> Event:
    """``programme.saved`` or ``programme.removed``."""
    what = "removed" if programme.removed else "saved"
    parameters = {"programme": title_of(programme), "by": programme.author, "reason": programme.reason}
    return Event(time_ns, EventKind.CONTROL, AlarmClass.NOTICE, 4, f"programme.{what}", parameters, actor=programme.author)


class RunTrace:
    """What a run leaves behind as it goes: each step of it kept, traced and told in this order.

    Args:
        record: the run.
        clock: stamps of the events.
    """

    def __init__(self, record: RunRecord, clock: Clock) -> None:
        self._record = record
        self._clock = clock

    def told(self, step: str, event: str, who: Principal, *, why: str = "", evidence: bytes = b"") -> list[RunEffect]:
        """Something became of the run as a whole."""
        row = run_row(self._record, step, who, why=why, evidence=evidence)
        told = run_event(self._record, event, who.name, self._clock.now_ns())
        return [KeepRun(self._record), Audit(self._record.run, row), Report(told)]

    def order(self, step: str, by: Principal, why: str, evidence: bytes) -> Audit:
        """The row of an order to the run; what becomes of it follows."""
        return Audit(self._record.run, run_row(self._record, step, by, why=why, evidence=evidence))

    def step(self, index: int, step: str, who: Principal) -> Audit:
        """The row of a step of the run."""
        return Audit(self._record.run, step_row(self._record, index, step, who))

    def step_accepted(self, index: int, who: Principal) -> list[RunEffect]:
        """A person takes an unproven step for done; the run is kept with the order that says so."""
        told = step_event(self._record, index, who.name, self._clock.now_ns(), "programme.step_accepted")
        return [self.step(index, "accept", who), Report(told)]

    def step_ended(self, index: int, who: Principal) -> list[RunEffect]:
        """A step ended."""
        told = step_event(self._record, index, who.name, self._clock.now_ns())
        return [KeepRun(self._record), self.step(index, "end", who), Report(told)]
