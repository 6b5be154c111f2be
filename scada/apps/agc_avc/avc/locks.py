"""Why a discrete device must not be operated now: each lock has a key, a sentence, and who may clear it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Clears = Literal["time", "plant", "operator"]

WHO_CLEARS: Final[dict[str, Clears]] = {
    "tagged": "operator",
    "position_substituted": "operator",
    "position_unknown": "plant",
    "position_invalid": "plant",
    "trip_unknown": "plant",
    "tripped": "operator",
    "block_unknown": "plant",
    "blocked": "plant",
    "remote_unknown": "plant",
    "not_remote": "plant",
    "refused": "operator",
    "no_response": "operator",
    "dead_bus": "plant",
    "islanded": "plant",
    "measurement_suspect": "plant",
    "parallel": "plant",
    "parallel_mismatch": "plant",
    "daily_limit": "time",
    "under_way": "time",
    "interval": "time",
    "discharge": "time",
    "reversal": "time",
    "hold": "time",
    "quota": "time",
    "at_end": "plant",
}
"""Every key: ``time`` = opens by itself, ``plant`` = when the cause is gone, ``operator`` = an operator's order."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One reason not to operate a device.

    Attributes:
        key: one of :data:`WHO_CLEARS`; the pages have words for each.
        text: one sentence with figures.
    """

    key: str
    text: str

    @property
    def clears(self) -> Clears:
        """Who may clear it."""
        return WHO_CLEARS[self.key]
