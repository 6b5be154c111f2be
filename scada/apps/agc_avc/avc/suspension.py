"""Why a zone cannot be regulated now: one cause at a time, each counted; resumed after some good cycles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

CAUSES: Final[dict[str, str]] = {
    "front_end": "own front end is lost",
    "telemetry": "nothing of the zone is measured",
    "dead": "its buses are dead",
    "implausible": "no pilot node has a usable voltage: implausible",
    "no_pilot": "no pilot node has a usable voltage",
    "islanded": "islanded from the main grid",
    "unsolved": "no network solution",
    "late": "the cycle came late",
}
"""Every cause, the weightiest first."""

GRID_CAUSED: Final = frozenset({"dead", "islanded", "implausible"})
"""Causes that are not the control's own; their time does not count against its availability."""


class Suspension:
    """State of one zone's suspension.

    Args:
        resume_cycles: good cycles in a row after which it ends.

    Attributes:
        cause: key of :data:`CAUSES`; empty = not suspended.
        counts: how often each cause began.
    """

    def __init__(self, resume_cycles: int) -> None:
        self.cause = ""
        self.counts: dict[str, int] = {}
        self._resume_cycles = resume_cycles
        self._good = 0

    def judge(self, cause: str) -> str:
        """Take the cause of this cycle (empty = all is well); returns the cause in force."""
        if cause:
            self._good = 0
            if cause != self.cause:
                self.counts[cause] = self.counts.get(cause, 0) + 1
            self.cause = cause
        elif self.cause:
            self._good += 1
            if self._good >= self._resume_cycles:
                self.cause = ""
        return self.cause

    def state(self) -> dict[str, Any]:
        """Everything that a later life needs to go on from here."""
        return {"cause": self.cause, "counts": dict(self.counts), "good": self._good}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.cause, self.counts, self._good = str(state["cause"]), dict(state["counts"]), int(state["good"])
