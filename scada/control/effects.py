"""What the control path asks its owner to do, in order.

The owner carries out the effects of one call one after the other. If an :class:`Audit` fails, it drops every :class:`SendSelect`
and :class:`SendExecute` after it, carries out the rest, and then calls :meth:`scada.control.desk.ControlDesk.audit_failed`:
nothing acts without its trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from scada.control.records import ControlReply
from scada.events.records import Event
from scada.model_cim.tables import Control
from scada.security.audit import AuditRow


@dataclass(frozen=True, slots=True)
class Send:
    """One step of a command on the wire; its answer goes, with ``step``, to the desk's ``on_answer``."""

    step: ClassVar[str]

    sequence_id: str
    control: Control
    value: float


@dataclass(frozen=True, slots=True)
class SendSelect(Send):
    """Preset the control at its station."""

    step: ClassVar[str] = "select"


@dataclass(frozen=True, slots=True)
class SendExecute(Send):
    """Operate it."""

    step: ClassVar[str] = "execute"


@dataclass(frozen=True, slots=True)
class SendCancel(Send):
    """Withdraw the selection at the station."""

    step: ClassVar[str] = "cancel"


@dataclass(frozen=True, slots=True)
class Audit:
    """Store a row; it must be on disk before the next effect."""

    sequence_id: str
    row: AuditRow


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the call that came with ``ticket``."""

    ticket: object
    reply: ControlReply


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell the call that came with ``ticket`` that its execute was sent and not refused; its answer is still to come."""

    ticket: object
    reply: ControlReply


@dataclass(frozen=True, slots=True)
class Report:
    """Store an event."""

    event: Event


Effect = SendSelect | SendExecute | SendCancel | Audit | Reply | Progress | Report
