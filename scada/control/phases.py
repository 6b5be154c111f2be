"""Where a control sequence can stand, and how long it may stand there."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from scada.core.control_settings import ControlSettings


class Phase(Enum):
    """Where a sequence stands between its replies."""

    NEW = "new"
    SELECTING = "selecting"
    """Preset sent, check-back awaited."""
    SELECTED = "selected"
    CONFIRMED = "confirmed"
    """By the guardian."""
    EXECUTING = "executing"
    """Sent, the station's confirmation awaited."""
    WATCHING = "watching"
    """Confirmed or not answered, the feedback awaited."""
    DONE = "done"


WITHDRAWABLE: Final = (Phase.SELECTING, Phase.SELECTED, Phase.CONFIRMED)
"""Until the execute is sent."""
UNDER_WAY: Final = (Phase.EXECUTING, Phase.WATCHING)
"""From the execute until the result."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Deadlines of a sequence, seconds."""

    check_back_s: float = 10.0
    selection_s: float = 30.0
    """How long a checked-back selection stays, for guardian and execute together."""
    confirm_s: float = 10.0

    @classmethod
    def of(cls, settings: ControlSettings) -> Timings:
        """As configured."""
        return cls(settings.check_back_s, settings.selection_s, settings.confirm_s)


DEFAULT_TIMINGS = Timings()
