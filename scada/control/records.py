"""What goes into and comes out of the control path."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from scada.security.peer import NO_PEER, Peer

if TYPE_CHECKING:
    from scada.control.interlocks import Finding


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
    CONFIRMED = "confirmed"
    """By the guardian, to be executed."""


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
        certificate: DER of the certificate that proved it, empty for internal actors.
        peer: the connection it logged in by.
    """

    name: str
    roles: frozenset[str]
    rights: frozenset[str]
    areas: frozenset[str]
    station: str = ""
    session: str = ""
    zone: str = ""
    certificate: bytes = field(default=b"", repr=False)
    peer: Peer = field(default=NO_PEER, repr=False)

    @property
    def is_person(self) -> bool:
        """True if it acts in a session of its own; applications and masters of other control centres do not."""
        return bool(self.session)


@dataclass(frozen=True, slots=True)
class ProgrammeStep:
    """The step of a programme's run that orders a control.

    Attributes:
        run: id of the run.
        guardian: who confirmed the run as a whole, bound to its digest; empty where no step needs a second person.
        why: programme, version, run and step in one line, for the audit log.
    """

    run: str
    guardian: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ControlReply:
    """Where a sequence stands. ``code`` is machine-readable, ``reason`` one sentence.

    Attributes:
        needs_guardian: a second person must confirm it before it may be executed.
        guardian: who did.
        select_digest: SM3 of the envelope that selected it.
        confirm_digest: SM3 of the envelope by which the guardian confirmed it.
        findings: interlocks that forbid it, or that were bypassed.
    """

    sequence_id: str
    state: SequenceState
    code: str = ""
    reason: str = ""
    valid_until_ns: int = 0
    value: float = float("nan")
    present: float = float("nan")
    elapsed_s: float = 0.0
    needs_guardian: bool = False
    guardian: str = ""
    select_digest: bytes = b""
    confirm_digest: bytes = b""
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class SequenceView:
    """A sequence as everyone who may look sees it; the device number is not in it, because whoever acts must type it."""

    reply: ControlReply
    control: str
    path: str
    station: str
    equipment: str
    kind: str
    operator: str
    workstation: str
    started_ns: int
    emergency: bool
    bypass: bool
    why: str
    programme: str


@dataclass(frozen=True, slots=True)
class ModeReply:
    """Answer to a mode change."""

    accepted: bool
    code: str = ""
    reason: str = ""
