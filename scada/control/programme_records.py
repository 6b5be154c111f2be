"""What is known of a programme's run, step by step; kept on disk before anything acts, and read after a restart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any, Final

from scada.control.programmes import Programme, Step, programme_from_plain, programme_to_plain
from scada.control.proof import UNWATCHED, is_known
from scada.control.records import SequenceState
from scada.security.audit import AuditRow


class RunState(Enum):
    """Where a run stands."""

    UNCONFIRMED = "unconfirmed"
    """A second person must confirm it."""
    WAITING = "waiting"
    """For its time, or for the condition that starts it."""
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The server stopped meanwhile; nothing of it is repeated."""

    @property
    def ended(self) -> bool:
        """Nothing more follows."""
        return self in (RunState.DONE, RunState.STOPPED, RunState.FAILED, RunState.INTERRUPTED)


class StepPhase(Enum):
    """Where a step stands."""

    WAITING = "waiting"
    SELECTING = "selecting"
    SELECTED = "selected"
    EXECUTING = "executing"
    """Its execute was given to the control desk, or was about to be."""
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Nothing was operated."""
    UNKNOWN = "unknown"
    """Whether it operated is not known."""
    UNPROVEN = "unproven"
    """The station says that it operated, and nothing shows it; until a person takes it for done."""


IN_FLIGHT = (StepPhase.SELECTING, StepPhase.SELECTED, StepPhase.EXECUTING)


@dataclass(slots=True)
class StepRecord:
    """What became of one step."""

    phase: StepPhase = StepPhase.WAITING
    code: str = ""
    reason: str = ""
    sequence_id: str = ""
    started_ns: int = 0
    ended_ns: int = 0


@dataclass(slots=True)
class RunRecord:
    """A run.

    Attributes:
        run: id, unique also over restarts.
        programme: the version that runs.
        operator, workstation, session: who acts: who started it, or resumed it last.
        start_digest: SM3 of the envelope that started it.
        needs_guardian: a second person must confirm it before anything is operated.
        guardian, guardian_station: who did.
        at_ns: when it begins, ns UTC; 0 = at once.
        condition, wait_s: what must hold for it to begin, and the longest wait for that.
        single_step: it waits before each step.
        emergency: started without the second person, by right and with a reason.
        why: reason given at the start.
        state, code, reason: where it stands and why.
        began: its first step was due.
        asked_ns, ended_ns: ns UTC.
        next: index of the step that is next.
        steps: what became of each.
    """

    run: str
    programme: Programme
    operator: str
    workstation: str
    session: str
    start_digest: bytes
    needs_guardian: bool
    asked_ns: int
    guardian: str = ""
    guardian_station: str = ""
    at_ns: int = 0
    condition: str = ""
    wait_s: float = 0.0
    single_step: bool = False
    emergency: bool = False
    why: str = ""
    state: RunState = RunState.WAITING
    code: str = ""
    reason: str = ""
    began: bool = False
    ended_ns: int = 0
    next: int = 0
    steps: list[StepRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.steps:
            self.steps = [StepRecord() for _ in self.programme.steps]


def run_to_plain(record: RunRecord) -> dict[str, Any]:
    """For a store: names and plain values."""
    plain = {name: getattr(record, name) for name in RunRecord.__dataclass_fields__}
    steps = [{**asdict(step), "phase": step.phase.value} for step in record.steps]
    return {**plain, "programme": programme_to_plain(record.programme), "state": record.state.value, "steps": steps}


def run_from_plain(plain: Mapping[str, Any]) -> RunRecord:
    """What :func:`run_to_plain` made."""
    steps = [StepRecord(**{**step, "phase": StepPhase(step["phase"])}) for step in plain["steps"]]
    programme = programme_from_plain(plain["programme"])
    return RunRecord(**{**plain, "programme": programme, "state": RunState(plain["state"]), "steps": steps})


def phase_after(planned: Step, state: SequenceState, code: str) -> StepPhase:
    """Where a step stands whose control ended so."""
    if state is not SequenceState.SUCCESS:
        return StepPhase.FAILED if is_known(state, code) else StepPhase.UNKNOWN
    return StepPhase.UNPROVEN if code == UNWATCHED and not planned.accept_no_feedback else StepPhase.DONE


def take_for_done(record: RunRecord, who: str, reason: str) -> list[int]:
    """Who resumes a run answers for its steps that the station confirmed and nothing shows; their indices."""
    unproven = [index for index, step in enumerate(record.steps) if step.phase is StepPhase.UNPROVEN]
    for index in unproven:
        step = record.steps[index]
        step.phase = StepPhase.DONE
        step.reason = f"no feedback shows it; taken for done by {who}" + (f": {reason}" if reason else "")
    return unproven


def interrupt(record: RunRecord, rows: Iterable[AuditRow], now_ns: int) -> None:
    """Say of a run that a restart cut off exactly what is known; nothing of it is repeated.

    Args:
        record: as it was on disk; ends interrupted.
        rows: audit rows of the kind ``control``, in their order: the control desk's own trace of each step's sequence.
        now_ns: when it was found.
    """
    last: dict[str, AuditRow] = {}
    for row in rows:
        if row.step in _TELLING or row.sequence_id not in last:
            last[row.sequence_id] = row
    for planned, step in zip(record.programme.steps, record.steps, strict=True):
        if step.phase is StepPhase.WAITING:
            step.phase = StepPhase.SKIPPED
        elif step.phase in IN_FLIGHT:
            step.ended_ns = now_ns
            _interrupt_step(planned, step, last.get(step.sequence_id) if step.sequence_id else None)
    record.state, record.code, record.ended_ns = RunState.INTERRUPTED, "interrupted", now_ns
    record.reason = "the server stopped while it was under way; nothing is repeated"


_TELLING: Final = ("execute", "result")
"""Steps of the control desk's trace after which it is no longer sure that nothing was operated."""


def _interrupt_step(planned: Step, step: StepRecord, last: AuditRow | None) -> None:
    """From how far the control desk's trace of its sequence goes."""
    if step.phase is not StepPhase.EXECUTING or (last is not None and last.step not in _TELLING):
        step.phase, step.code = StepPhase.SKIPPED, "interrupted"
        step.reason = "the server stopped before it was executed: nothing was operated"
    elif last is None or last.step == "execute":
        step.phase, step.code = StepPhase.UNKNOWN, "interrupted"
        step.reason = "the server stopped after the execute was given out: whether it operated is not known"
    else:
        state, _, code = last.code.partition(":")
        step.phase = phase_after(planned, SequenceState(state), code)
        step.code, step.reason = code or state, last.reason
