"""What programmes ask their owner to do, in order.

The owner carries out the effects of one call one after the other. If one of :class:`KeepRun`, :class:`KeepProgramme` and
:class:`~scada.control.effects.Audit` fails, it drops every order after it, carries out the rest, and then calls
:meth:`scada.control.programme_desk.ProgrammeDesk.audit_failed`: nothing acts without its trace.
"""

from __future__ import annotations

from dataclasses import dataclass

from scada.control.effects import Effect
from scada.control.programme_records import RunRecord
from scada.control.programmes import Programme
from scada.control.records import Principal


@dataclass(frozen=True, slots=True)
class KeepRun:
    """Store the run; it must be on disk before the next effect."""

    record: RunRecord


@dataclass(frozen=True, slots=True)
class SelectStep:
    """Have the control desk select a step's control; its reply goes to ``ProgrammeRun.selected``."""

    run: str
    step: int
    control: str
    value: float
    principal: Principal
    guardian: str
    why: str
    emergency: str
    """Reason of a run without the second person, else empty."""


@dataclass(frozen=True, slots=True)
class ExecuteStep:
    """Have it executed; the reply goes to ``ProgrammeRun.executed``."""

    run: str
    step: int
    sequence_id: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class CancelStep:
    """Withdraw a selection; nobody waits for the reply."""

    sequence_id: str
    principal: Principal
    reason: str


@dataclass(frozen=True, slots=True)
class KeepProgramme:
    """Store a version; it must be on disk before the next effect."""

    programme: Programme


RunEffect = Effect | KeepProgramme | KeepRun | SelectStep | ExecuteStep | CancelStep
