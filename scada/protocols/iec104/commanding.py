"""Commands as the controlling station sees them: what is on its way, and what each answer of the station means."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from scada.model_cim.tables import Control, Iec104Address
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import (
    REFUSAL,
    Asdu,
    Cause,
    CommandElement,
    decode_command,
    encode_command,
    single,
)


class Step(Enum):
    """One step of a command."""

    SELECT = "select"
    EXECUTE = "execute"
    CANCEL = "cancel"


@dataclass(slots=True)
class Pending:
    """A step that waits for its confirmation.

    Attributes:
        ticket: number of the step.
        control: what is operated.
        step: which step.
        order: value and qualifier as they go on the wire.
        deadline: monotonic time at which the wait ends.
        sent: it has left for the station.
        done: it has ended; one that was not sent is not sent any more.
    """

    ticket: int
    control: Control
    step: Step
    order: CommandElement
    deadline: float
    sent: bool = False
    done: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """(common address, information object address)."""
        address = self.control.address
        assert isinstance(address, Iec104Address)
        return address.common_address, address.ioa

    def encode(self, now_ns: int, zone_minutes: int, originator: int) -> bytes:
        """The ASDU to send now; a time-tagged type is stamped with ``now_ns``."""
        address = self.control.address
        assert isinstance(address, Iec104Address)
        time = cp56.to_octets(now_ns, zone_minutes) if address.type_id >= 58 else b""
        order = CommandElement(self.order.value, self.order.qualifier, self.order.select, time)
        cause = Cause.DEACTIVATION if self.step is Step.CANCEL else Cause.ACTIVATION
        element = encode_command(address.type_id, order)
        return single(address.type_id, cause, address.common_address, address.ioa, element, originator=originator).encode()


def prepare(ticket: int, control: Control, value: float, step: Step, qualifier: int, deadline: float) -> Pending:
    """A step ready to be sent.

    Raises:
        ValueError: the control has no IEC 104 address, or the value cannot be said in its type; nothing may be sent.
    """
    address = control.address
    if not isinstance(address, Iec104Address):
        raise ValueError(f"{control.path} has no IEC 104 address")  # noqa: TRY004 - one kind of "cannot be said"
    if control.scale == 0:
        raise ValueError(f"{control.path} has scale 0")
    raw = (value - control.offset) / control.scale
    order = CommandElement(raw, qualifier, select=step is not Step.EXECUTE)
    if step is Step.CANCEL and not control.select:
        raise ValueError(f"{control.path} is operated directly, there is no selection to cancel")
    element = encode_command(address.type_id, order)
    said = decode_command(address.type_id, element + bytes(cp56.SIZE if address.type_id >= 58 else 0))
    wire = CommandElement(said.value, said.qualifier, said.select)
    return Pending(ticket, control, step, wire, deadline)


def judge(pending: Pending, asdu: Asdu) -> CommandResult | None:
    """What an answer means for a waiting step; None if it does not end it."""
    if asdu.cause in REFUSAL:
        return CommandResult(Outcome.REFUSED, f"station answered: {REFUSAL[Cause(asdu.cause)]} (cause {asdu.cause})")
    confirm = Cause.DEACTIVATION_CON if pending.step is Step.CANCEL else Cause.ACTIVATION_CON
    if asdu.cause != confirm:
        return None
    said = decode_command(asdu.type_id, asdu.objects[0].element)
    if said.select != pending.order.select and pending.step is not Step.CANCEL:
        return None  # answer to the other step
    if asdu.negative:
        return CommandResult(Outcome.REFUSED, f"station refused the {pending.step.value} (negative confirmation)")
    if not said.same_order(pending.order):
        return CommandResult(
            Outcome.REFUSED,
            f"check-back differs: {pending.order.value:g} (qualifier {pending.order.qualifier}) was sent, the station confirmed"
            f" {said.value:g} (qualifier {said.qualifier})",
        )
    return CommandResult(Outcome.CONFIRMED)


def timed_out(pending: Pending) -> CommandResult:
    """The result of a step whose deadline has passed."""
    if not pending.sent:
        return CommandResult(Outcome.TIMEOUT, f"{pending.step.value} was not sent: the station acknowledges nothing")
    reason = f"no confirmation of the {pending.step.value}"
    return CommandResult(Outcome.TIMEOUT, reason + ("; it may have been carried out" if pending.step is Step.EXECUTE else ""))


def link_lost(pending: Pending) -> CommandResult:
    """The result of a step that waited when the connection went; it is never repeated."""
    if not pending.sent:
        return CommandResult(Outcome.LINK_DOWN, f"{pending.step.value} was not sent: the connection was lost")
    reason = f"the connection was lost before the {pending.step.value} was confirmed"
    return CommandResult(Outcome.TIMEOUT, reason + ("; it may have been carried out" if pending.step is Step.EXECUTE else ""))
