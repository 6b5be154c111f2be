"""Commands as the controlling station sees them: each step on its way, its deadline, and what each answer of the station means.

One step an object at a time. Nothing is ever repeated: a step that was on its way when the link went is reported. An execute of a
control that is selected before it is operated leaves only while its selection stands: same value, same connection.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Final

from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control
from scada.protocols.driver import ChannelStatistics, CommandResult, Outcome
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
from scada.protocols.iec104.effects import Done, Effect, Notice
from scada.protocols.iec104.parameters import ChannelParameters

_LATE_S: Final = 120.0
"""So long after a time-out an answer is still known as the late one of its step."""

Place = tuple[int, int]
"""Common address and information object address."""


class Step(Enum):
    """One step of a command."""

    SELECT = "select"
    EXECUTE = "execute"
    CANCEL = "cancel"


@dataclass(slots=True)
class Pending:
    """A step that waits for its answer.

    Attributes:
        ticket: number of the step.
        control: what is operated.
        step: which step.
        order: value and qualifier as they go on the wire, with the time once it was sent.
        deadline: monotonic time at which the wait ends.
        sent: monotonic time of sending, None = not yet.
        hint: an answer that came meanwhile and was not for this step.
        doubtful: an answer came that was taken for the late one of the same step before; it can have been this one's.
    """

    ticket: int
    control: Control
    step: Step
    order: CommandElement
    deadline: float
    sent: float | None = None
    hint: str = ""
    doubtful: bool = False

    @property
    def address(self) -> Iec104Address:
        """Where it goes."""
        assert isinstance(self.control.address, Iec104Address)
        return self.control.address

    @property
    def place(self) -> Place:
        """(common address, information object address)."""
        return self.address.common_address, self.address.ioa

    @property
    def was_sent(self) -> bool:
        """It has left for the station."""
        return self.sent is not None

    def since(self, mono: float) -> float:
        """Seconds since it was sent."""
        return mono - (mono if self.sent is None else self.sent)

    def encode(self, now_ns: int, zone_minutes: int, originator: int) -> bytes:
        """The ASDU to send now; a time-tagged type is stamped with ``now_ns``."""
        address = self.address
        time = cp56.to_octets(now_ns, zone_minutes) if address.type_id >= 58 else b""
        self.order = CommandElement(self.order.value, self.order.qualifier, self.order.select, time)
        cause = Cause.DEACTIVATION if self.step is Step.CANCEL else Cause.ACTIVATION
        element = encode_command(address.type_id, self.order)
        return single(address.type_id, cause, address.common_address, address.ioa, element, originator=originator).encode()


class Commander:
    """The command steps of one channel.

    Args:
        parameters: deadlines, qualifier, originator, zone.
        statistics: round trip and steps without an answer go here.
    """

    def __init__(self, parameters: ChannelParameters, statistics: ChannelStatistics) -> None:
        self._parameters = parameters
        self._statistics = statistics
        common = parameters.command_timeout_s
        self._timeouts = {
            Step.SELECT: parameters.select_timeout_s or common,
            Step.EXECUTE: parameters.execute_timeout_s or common,
            Step.CANCEL: parameters.cancel_timeout_s or common,
        }
        self.forget()

    def forget(self) -> None:
        """The connection is gone: selections and steps with it."""
        self._queue: deque[Pending] = deque()
        self._steps: dict[Place, Pending] = {}
        self._selected: dict[Place, CommandElement] = {}
        self._moving: dict[Place, Pending] = {}
        self._expired: dict[Place, Pending] = {}

    def order(self, ticket: int, control: Control, value: float, step: Step, mono: float) -> CommandResult | None:
        """Take a step; None = it will be sent, else why it is not."""
        try:
            pending = prepare(ticket, control, value, step, self._parameters.command_qualifier, mono + self._timeouts[step])
        except ValueError as error:
            return CommandResult(Outcome.UNSUPPORTED, f"not sent: {error}")
        place = pending.place
        if place in self._steps:
            return CommandResult(Outcome.REFUSED, "not sent: another step of this object waits")
        if place in self._moving and step is not Step.CANCEL:
            return CommandResult(Outcome.REFUSED, "not sent: the command before has not been terminated by the station")
        if step is Step.EXECUTE and control.select:
            selected = self._selected.get(place)
            if selected is None:
                return CommandResult(Outcome.REFUSED, "not sent: nothing is selected on this connection")
            if not selected.same_order(pending.order):
                return CommandResult(
                    Outcome.REFUSED, f"not sent: {selected.value:g} was selected, not {pending.order.value:g} (raw values)"
                )
        if step is not Step.CANCEL:
            self._selected.pop(place, None)
        self._steps[place] = pending
        self._queue.append(pending)
        return None

    def next(self, now_ns: int, mono: float) -> bytes | None:
        """The next step to send, None = none waits."""
        while self._queue:
            pending = self._queue.popleft()
            if self._steps.get(pending.place) is pending:
                pending.sent, pending.deadline = mono, mono + self._timeouts[pending.step]
                return pending.encode(now_ns, self._parameters.time_zone_minutes, self._parameters.originator)
        return None

    def tick(self, mono: float) -> list[Effect]:
        """Look at the deadlines."""
        effects: list[Effect] = []
        for pending in [item for item in self._steps.values() if mono >= item.deadline]:
            if pending.was_sent:
                self._statistics.lost_frames += 1
                if not pending.doubtful:
                    self._expired[pending.place] = pending
            effects.append(self._end(pending, timed_out(pending)))
        for place, pending in [item for item in self._moving.items() if mono >= item[1].deadline]:
            del self._moving[place]
            text = f"the station confirmed the execute and did not terminate it within {self._parameters.termination_s:g} s"
            effects.append(Notice("command_not_terminated", f"{_named(pending)}: {text}"))
            effects += self._settle(pending, CommandResult(Outcome.TIMEOUT, text))
        for place in [place for place, item in self._expired.items() if mono >= item.deadline + _LATE_S]:
            del self._expired[place]
        return effects

    def lost(self) -> list[Effect]:
        """The connection is gone: every step that waits is reported."""
        effects: list[Effect] = [Done(pending.ticket, link_lost(pending)) for pending in self._steps.values()]
        text = "the connection was lost before the execute was terminated; it may have been carried out"
        for pending in self._moving.values():
            effects += self._settle(pending, CommandResult(Outcome.TIMEOUT, text))
        self.forget()
        return effects

    # ------------------------------------------------------------------ answers

    def heard(self, asdu: Asdu, mono: float) -> list[Effect]:
        """An answer of a command type, under our originator address.

        A station answers in the order of the steps: what can be the late answer of a step that timed out is not that of the same
        step sent again.
        """
        item = asdu.objects[0]
        place = asdu.common_address, item.ioa
        pending, late = self._steps.get(place), self._expired.get(place)
        if late is not None and _answers(late, asdu) and _repeats(late, asdu):
            if pending is not None and pending.was_sent and _answers(pending, asdu):
                pending.doubtful = True
                pending.hint = f"an answer came that can be the late one of the {late.step.value} before"
            return self._late(late, asdu, mono)
        if pending is not None and pending.was_sent and pending.address.type_id == asdu.type_id:
            result = judge(pending, asdu)
            if result is not None:
                return self._answered(pending, result, mono)
        if asdu.cause == Cause.ACTIVATION_TERM:
            return self._terminated(place, asdu)
        return self._stray(place, asdu, mono)

    def _answered(self, pending: Pending, result: CommandResult, mono: float) -> list[Effect]:
        self._statistics.round_trip_s = pending.since(mono)
        good = result.outcome is Outcome.CONFIRMED
        if pending.step is Step.SELECT and good:
            self._selected[pending.place] = pending.order
        if pending.step is Step.CANCEL and good:
            self._selected.pop(pending.place, None)
        if pending.step is Step.EXECUTE and good and self._parameters.termination_s:
            pending.deadline = mono + self._parameters.termination_s
            self._moving[pending.place] = pending
            if pending.control.feedback is None:  # nothing else will tell whether it was carried out
                del self._steps[pending.place]
                return []
        return [self._end(pending, result)]

    def _terminated(self, place: Place, asdu: Asdu) -> list[Effect]:
        pending = self._moving.get(place)
        waits = self._steps.get(place)
        if pending is None and waits is not None and waits.address.type_id == asdu.type_id and _repeats(waits, asdu):
            waits.hint = f"it was terminated {'negatively' if asdu.negative else 'positively'} without one"
            return []
        if pending is None:
            name = f"command type {asdu.type_id} to CA {place[0]} IOA {place[1]}"
            return [Notice("command_terminated", f"{name} ended negatively")] if asdu.negative else []
        if pending.address.type_id != asdu.type_id or not _repeats(pending, asdu):
            text = f"{_named(pending)}: a termination came that does not repeat the order"
            return [Notice("stray_confirmation", text)]
        del self._moving[place]
        if asdu.negative:
            text = "the station confirmed the execute and terminated it negatively"
            return [
                Notice("command_terminated", f"{_named(pending)} ended negatively"),
                *self._settle(pending, CommandResult(Outcome.REFUSED, text)),
            ]
        return self._settle(pending, CommandResult(Outcome.CONFIRMED, "terminated by the station"))

    def _stray(self, place: Place, asdu: Asdu, mono: float) -> list[Effect]:
        name = f"command type {asdu.type_id} to CA {place[0]} IOA {place[1]}"
        late = self._expired.get(place)
        if late is not None and _answers(late, asdu):
            return self._late(late, asdu, mono)
        for pending in self._steps.values():
            if pending.was_sent and pending.address.type_id == asdu.type_id:
                pending.hint = f"an answer came for CA {place[0]} IOA {place[1]} instead"
        return [Notice("stray_confirmation", f"{name}: answer with cause {asdu.cause} that no step waits for")]

    def _late(self, late: Pending, asdu: Asdu, mono: float) -> list[Effect]:
        del self._expired[late.place]
        sign = "refused" if asdu.negative or asdu.cause in REFUSAL else "confirmed"
        text = f"{_named(late)}: the {late.step.value} was {sign} {late.since(mono):.1f} s after it was sent, too late"
        return [Notice("late_confirmation", text)]

    def _settle(self, pending: Pending, result: CommandResult) -> list[Effect]:
        """The end of a movement; who has no feedback still waits for it."""
        return [Done(pending.ticket, result)] if pending.control.feedback is None else []

    def _end(self, pending: Pending, result: CommandResult) -> Effect:
        del self._steps[pending.place]
        return Done(pending.ticket, result)


def _repeats(pending: Pending, asdu: Asdu) -> bool:
    """Value, qualifier and time are those of the order; stations differ in the S/E bit of a termination."""
    said = decode_command(asdu.type_id, asdu.objects[0].element)
    return said.same_order(pending.order) and said.time == pending.order.time


def _answers(pending: Pending, asdu: Asdu) -> bool:
    """The answer would end this step, if it is its own."""
    return pending.address.type_id == asdu.type_id and judge(pending, asdu) is not None


def _named(pending: Pending) -> str:
    return f"{pending.control.path} (CA {pending.place[0]} IOA {pending.place[1]})"


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


def judge(  # noqa: PLR0911 - one sentence a cause
    pending: Pending, asdu: Asdu
) -> CommandResult | None:
    """What an answer means for a waiting step; None if it does not end it."""
    said = decode_command(asdu.type_id, asdu.objects[0].element)
    if said.time != pending.order.time and asdu.cause not in REFUSAL:
        return None  # a time-tagged answer repeats the time of its order: this one is another's
    if asdu.cause in REFUSAL:
        return CommandResult(Outcome.REFUSED, f"station answered: {REFUSAL[Cause(asdu.cause)]} (cause {asdu.cause})")
    confirm = Cause.DEACTIVATION_CON if pending.step is Step.CANCEL else Cause.ACTIVATION_CON
    if asdu.cause != confirm:
        return None
    if said.select != pending.order.select and pending.step is not Step.CANCEL:
        return None  # answer to the other step
    if asdu.negative:
        return CommandResult(Outcome.REFUSED, f"station refused the {pending.step.value} (negative confirmation)")
    if not said.same_order(pending.order):
        text = (
            f"check-back differs: {pending.order.value:g} (qualifier {pending.order.qualifier}) was sent, the station confirmed"
            f" {said.value:g} (qualifier {said.qualifier})"
        )
        if pending.step is Step.EXECUTE:  # it said yes to something: only the feedback can tell to what
            return CommandResult(Outcome.TIMEOUT, f"{text}; what was carried out is not known")
        return CommandResult(Outcome.REFUSED, text)
    return CommandResult(Outcome.CONFIRMED)


def timed_out(pending: Pending) -> CommandResult:
    """The result of a step whose deadline has passed."""
    if not pending.was_sent:
        return CommandResult(Outcome.TIMEOUT, f"{pending.step.value} was not sent: the station acknowledges nothing")
    reason = f"no confirmation of the {pending.step.value}" + (f" ({pending.hint})" if pending.hint else "")
    return CommandResult(Outcome.TIMEOUT, reason + ("; it may have been carried out" if pending.step is Step.EXECUTE else ""))


def link_lost(pending: Pending) -> CommandResult:
    """The result of a step that waited when the connection went; it is never repeated."""
    if not pending.was_sent:
        return CommandResult(Outcome.LINK_DOWN, f"{pending.step.value} was not sent: the connection was lost")
    reason = f"the connection was lost before the {pending.step.value} was confirmed"
    return CommandResult(Outcome.TIMEOUT, reason + ("; it may have been carried out" if pending.step is Step.EXECUTE else ""))
