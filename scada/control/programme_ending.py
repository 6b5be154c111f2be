"""Where a run goes once nothing of it is under way, and which of two such decisions counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scada.control.programme_records import RunState
from scada.control.proof import UNWATCHED

_RANK: Final = {RunState.PAUSED: 0, RunState.STOPPED: 1, RunState.FAILED: 2}

_WEIGHT: Final = {"model_change": 1, UNWATCHED: 2}
"""What must be looked at before a run is resumed, over a mere wish to pause."""


@dataclass(frozen=True, slots=True)
class Ending:
    """A state that is decided, and why."""

    state: RunState
    code: str
    reason: str

    def after(self, before: Ending | None) -> Ending:
        """What counts if another was decided before: a failure outranks a stop, a stop a pause, and else the first stays.

        Of two pauses both reasons are told: who resumes the run must know of them.
        """
        if before is None:
            return self
        if before.state is self.state is RunState.PAUSED:
            if self.reason in before.reason:
                return before
            code = max(before.code, self.code, key=lambda code: _WEIGHT.get(code, 0))
            return Ending(self.state, code, f"{before.reason}; {self.reason}")
        return self if _RANK.get(self.state, 0) > _RANK.get(before.state, 0) else before
