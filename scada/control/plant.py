"""What the control path sees of the plant: readings, links, switchgear topology, and what a command should bring about."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from scada.core.quality import BAD_MASK, HELD_MASK
from scada.model_cim.tables import Control, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState


@dataclass(frozen=True, slots=True)
class Reading:
    """Present value of a point and its quality word."""

    value: float
    quality: int

    @property
    def good(self) -> bool:
        """True if it may be acted on."""
        return not self.quality & BAD_MASK and not math.isnan(self.value)

    @property
    def held(self) -> bool:
        """True if an operator substituted or blocked it: it may be acted on, but it proves nothing."""
        return bool(self.quality & HELD_MASK)


class Plant(Protocol):
    """The present state, as of the last commit."""

    def reading(self, pid: int) -> Reading:
        """Value and quality of a point."""
        ...

    def link_state(self, channel: int) -> LinkState:
        """State of a channel by its index."""
        ...

    def connection(self, channel: int) -> int:
        """A number that is another one after a channel's connection was lost, made anew or taken over by another link."""
        ...


class SwitchKind(Enum):
    """Switchgear by what it may do."""

    BREAKER = "breaker"
    LOAD_BREAK = "load break switch"
    DISCONNECTOR = "disconnector"
    EARTHING = "earthing switch"


class SwitchgearTopology(Protocol):
    """What the interlocks ask of the network; ``None`` answers mean *unknown* and forbid. Equipment is named by mRID."""

    def switch_kind(self, equipment: str) -> SwitchKind | None:
        """What kind of switch it is; None if it is no switch."""
        ...

    def is_closed(self, equipment: str) -> bool | None:
        """Position; None if not known for sure."""
        ...

    def bay_breakers(self, equipment: str) -> Sequence[str]:
        """Breakers of the bay it is in."""
        ...

    def is_bypassed(self, equipment: str) -> bool | None:
        """True if both its ends are joined by another closed path, so that it switches no load (bus transfer)."""
        ...

    def is_energised(self, equipment: str) -> bool | None:
        """True if any of its ends is connected to a source, leaving the switch itself out."""
        ...

    def is_earthed(self, equipment: str) -> bool | None:
        """True if any of its ends is connected to earth (earthing switch, portable earth), leaving the switch itself out."""
        ...

    def substituted(self) -> Sequence[str]:
        """Names of the switches whose position an operator entered or blocked."""
        ...

    def without_substituted(self) -> SwitchgearTopology:
        """The same network with those positions unknown."""
        ...

    def without(self, switches: Collection[str]) -> SwitchgearTopology:
        """The same network with the positions of these switches unknown."""
        ...


def asks_to_close(control: Control, value: float) -> bool:
    """True if a switch command closes (IEC 60870-5-101: double command 2, single command 1)."""
    return value == (2 if control.kind is ControlKind.DOUBLE else 1)


def expected_feedback(control: Control, value: float, point: Point, present: Reading) -> float:
    """Value the feedback point must reach.

    Switch commands: closed or open in the feedback's own coding; steps: one beside the present step; set-points: the set-point.

    Returns:
        The value, NaN if none can be told (a step from an unknown position, a feedback of another nature).
    """
    if control.kind is ControlKind.SETPOINT:
        return value
    if control.kind is ControlKind.STEP:
        return present.value + (1 if value == 2 else -1) if present.good else math.nan
    closed = asks_to_close(control, value)
    if point.kind is PointKind.DOUBLE:
        return 2.0 if closed else 1.0
    if point.kind is PointKind.STATUS:
        return 1.0 if closed else 0.0
    return math.nan


def is_watched(control: Control, points: Sequence[Point]) -> bool:
    """True if a feedback can show what the control does."""
    if control.feedback is None:
        return False
    by_value = control.kind in (ControlKind.SETPOINT, ControlKind.STEP)
    return by_value or points[int(control.feedback)].kind in (PointKind.DOUBLE, PointKind.STATUS)


def has_followed(control: Control, expected: float, present: Reading) -> bool:
    """True if a good feedback shows the expected value (set-points: within ``feedback_tolerance`` or float32 rounding).

    A feedback that an operator holds never shows anything.
    """
    if not present.good or present.held or math.isnan(expected):
        return False
    if control.kind is ControlKind.SETPOINT:
        return abs(present.value - expected) <= max(control.feedback_tolerance, 1e-6 * abs(expected))
    return present.value == expected
