"""Steps of a run that were ordered and have not ended, and until when each may stay so."""

from __future__ import annotations

from collections.abc import Sequence

from scada.control.programme_records import IN_FLIGHT, StepPhase, StepRecord
from scada.core.clock import NS_PER_S, Clock


class StepsUnderWay:
    """Deadlines of the control desk's answers and of the selections that stand.

    Args:
        steps: what became of each; their phases up to the execute are changed here.
        clock: both clocks; the waits go by the monotonic one.
    """

    def __init__(self, steps: Sequence[StepRecord], clock: Clock) -> None:
        self._steps = steps
        self._clock = clock
        self._answer_until: dict[int, float] = {}
        self._selected_until: dict[int, float] = {}

    def steps(self) -> list[int]:
        """Indices of the steps that were ordered and have not ended."""
        return [index for index, step in enumerate(self._steps) if step.phase in IN_FLIGHT]

    def awaited(self) -> bool:
        """True while the check-back of one of them is still to come."""
        return any(step.phase is StepPhase.SELECTING for step in self._steps)

    def select(self, index: int, answer_s: float) -> None:
        """Its select is given out, anew if it was withdrawn before; the check-back may take so long."""
        step = self._steps[index]
        step.phase, step.started_ns = StepPhase.SELECTING, self._clock.now_ns()
        step.sequence_id = step.code = step.reason = ""
        self._answer_until[index] = self._clock.monotonic() + answer_s

    def execute(self, index: int, answer_s: float) -> None:
        """Its execute is given out; the result may take so long."""
        self._steps[index].phase = StepPhase.EXECUTING
        self._answer_until[index] = self._clock.monotonic() + answer_s

    def answered(self, index: int) -> None:
        """The answer came, or the order was not given after all."""
        self._answer_until.pop(index, None)

    def checked_back(self, index: int, valid_until_ns: int) -> None:
        """The selection stands until then, ns UTC."""
        valid_s = (valid_until_ns - self._clock.now_ns()) / NS_PER_S
        self._selected_until[index] = self._clock.monotonic() + valid_s

    def give_up(self) -> list[str]:
        """Selections that stand are withdrawn, and their steps wait again; the sequences that this was."""
        stood = [(index, step) for index, step in enumerate(self._steps) if step.phase is StepPhase.SELECTED]
        for index, step in stood:
            step.phase = StepPhase.WAITING
            self._selected_until.pop(index, None)
        return [step.sequence_id for _, step in stood]

    def expired(self) -> int | None:
        """The first whose selection has expired; None if none has."""
        now = self._clock.monotonic()
        return next((index for index in self.steps() if now >= self._selected_until[index]), None)

    def silent(self) -> int | None:
        """One whose answer did not come at all; it is no longer awaited. None if there is none."""
        now = self._clock.monotonic()
        index = next((index for index, until in self._answer_until.items() if now >= until), None)
        if index is not None:
            self.answered(index)
        return index
