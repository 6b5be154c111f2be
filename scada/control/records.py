"""What goes into and comes out of the control path."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class SequenceState(Enum):
    """State of one control sequence (preset -> check-back -> execute -> feedback)."""

    REFUSED = "refused"
    """By us, before anything was sent."""
    SELECTED = "selected"
    CHECK_FAILED = "check_failed"
    EXECUTING = "executing"
    SUCCESS = "success"
    EXEC_FAILED = "exec_failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts: a verified identity with its rights. Internal actors (AGC, AVC, schedules) have standing ones.

    Attributes:
        name: identity name (certificate common name) or ``system:agc`` and the like.
        roles: role names.
        rights: granted rights by name (see :mod:`scada.security.roles`).
        areas: areas of responsibility; ``"*"`` = all, else control area or station names.
        station: workstation.
        session: session id, hex; empty for internal actors.
        zone: zone of the workstation.
    """

    name: str
    roles: frozenset[str]
    rights: frozenset[str]
    areas: frozenset[str]
    station: str = ""
    session: str = ""
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ControlReply:
    """Where a sequence stands. ``code`` is machine-readable, ``reason`` one sentence."""

    sequence_id: str
    state: SequenceState
    code: str = ""
    reason: str = ""
    valid_until_ns: int = 0
    value: float = float("nan")
    present: float = float("nan")
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ModeReply:
    """Answer to a mode change."""

    accepted: bool
    code: str = ""
    reason: str = ""
