"""Commands of upstream masters on their way through the one control path: which order stands where, and what its master is told.

A select goes to the control desk and is confirmed at check-back; an execute is confirmed once the field station did, or did not
refuse in time, and is terminated with the result. What its master need not select is selected here and executed at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from scadapb.v1 import scada_pb2 as pb

from scada.actors.order_messages import FollowedReply, StepAsked, TelecontrolSelect
from scada.control.records import ControlReply, Principal, SequenceState
from scada.protocols.iec104.operate import CommandAsked, CommandRefused

_CAUSE: Final = 2
"""Octet of an ASDU that holds the cause of transmission, in its low six bits."""
_DEACTIVATION: Final = 8
LINK_LOST: Final = "the link to the master was lost"


class Stage(Enum):
    """Where an order stands."""

    SELECTING = "selecting"
    """Check-back awaited."""
    SELECTED = "selected"
    EXECUTING = "executing"


@dataclass(slots=True, eq=False)
class Order:
    """One order of a master.

    Attributes:
        asked: the step that waits for its answer, or waited last.
        principal: the master, with its rights.
        stage: where it stands.
        sequence_id: at the control desk, empty until its check-back.
        direct: it is executed at its check-back: the master did not select.
        withdrawn: why it is cancelled as soon as its sequence is known; empty = it is not.
        confirmed: the master has been told that its execute was accepted.
    """

    asked: CommandAsked
    principal: Principal
    stage: Stage = Stage.SELECTING
    sequence_id: str = ""
    direct: bool = False
    withdrawn: str = ""
    confirmed: bool = False

    def is_selected_for(self, asked: CommandAsked) -> bool:
        """It stands selected, and an execute is of the same connection and says the same: only then is it what is meant."""
        mine = self.asked
        same = (mine.peer, mine.value, mine.qualifier) == (asked.peer, asked.value, asked.qualifier)
        return self.stage is Stage.SELECTED and same


@dataclass(frozen=True, slots=True)
class OrderReplied:
    """The control desk says how a step of an order stands; for the owner of the orders."""

    order: Order
    step: str
    """``select``, ``under_way``, ``execute`` or ``cancel``."""
    reply: ControlReply


class UpstreamOrders:
    """The orders of one upstream station. Used in its actor's thread only.

    Args:
        ask: sends to the control actor.
        replied: called from any thread with what :meth:`take` is to be given.
        principal: identity and rights of a master; one without a grant has none, and the desk refuses and audits what it asks.
        answer: tells the master of a ticket that its step was accepted or refused.
        terminate: tells the master of a ticket that its execute has ended, and whether well.
    """

    def __init__(
        self,
        *,
        ask: Callable[[Any], None],
        replied: Callable[[OrderReplied], None],
        principal: Callable[[CommandAsked], Principal],
        answer: Callable[[int, bool], None],
        terminate: Callable[[int, bool], None],
    ) -> None:
        self._ask = ask
        self._replied = replied
        self._principal = principal
        self._answer = answer
        self._terminate = terminate
        self._orders: dict[int, Order] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def step(self, asked: CommandAsked) -> None:
        """A master asks for a step."""
        order = self._orders.get(asked.control.cid)
        match asked.step:
            case "select":
                self._select(asked, order, direct=False)
            case "execute" if order is not None and order.is_selected_for(asked):
                order.asked = asked
                self._execute(order)
            case "execute" if asked.control.select:
                self._answer(asked.ticket, False)
            case "execute":
                self._select(asked, order, direct=True)
            case "cancel":
                self._cancel(asked, order)

    def take(self, replied: OrderReplied) -> None:
        """The control desk replied."""
        order, reply = replied.order, replied.reply
        match replied.step:
            case "select":
                self._selected(order, reply)
            case "under_way":
                self._confirm(order)
            case "execute":
                self._ended(order, reply)

    # ------------------------------------------------------------------ steps

    def _select(self, asked: CommandAsked, before: Order | None, *, direct: bool) -> None:
        if before is not None:
            self._withdraw(before, "its selection at the master has expired")
        order = Order(asked, self._principal(asked), direct=direct)
        self._orders[asked.control.cid] = order
        evidence = evidence_of(asked)
        self._ask(TelecontrolSelect(asked.control.cid, asked.value, order.principal, evidence, self._reply_to(order, "select")))

    def _selected(self, order: Order, reply: ControlReply) -> None:
        if reply.state is not SequenceState.SELECTED:
            self._forget(order)
            self._answer(order.asked.ticket, False)
            return
        order.sequence_id, order.stage = reply.sequence_id, Stage.SELECTED
        mine = self._orders.get(order.asked.control.cid) is order
        if order.withdrawn or not mine:  # one that is not in the table was asked for in an earlier life
            self._withdraw(order, order.withdrawn or LINK_LOST)
        elif order.direct:
            self._execute(order)
        else:
            self._answer(order.asked.ticket, True)

    def _execute(self, order: Order) -> None:
        order.stage = Stage.EXECUTING
        reply = FollowedReply(self._reply_to(order, "execute"), self._reply_to(order, "under_way"))
        request = pb.ExecuteRequest(sequence_id=order.sequence_id)
        self._ask(StepAsked(request, order.principal, evidence_of(order.asked), reply))

    def _confirm(self, order: Order) -> None:
        if not order.confirmed:
            order.confirmed = True
            self._answer(order.asked.ticket, True)

    def _ended(self, order: Order, reply: ControlReply) -> None:
        self._forget(order)
        well = reply.state is SequenceState.SUCCESS
        if well:
            self._confirm(order)
        if order.confirmed:
            self._terminate(order.asked.ticket, well)
        else:
            self._answer(order.asked.ticket, False)

    def _cancel(self, asked: CommandAsked, order: Order | None) -> None:
        """Withdraw a selection; what is executed already goes on, and the master is told that it does."""
        wished = asked.asdu[_CAUSE] & 0x3F == _DEACTIVATION
        if order is not None and order.stage is Stage.EXECUTING:
            self._answer(asked.ticket, False)
            return
        if order is not None:
            self._withdraw(order, "withdrawn by the master" if wished else LINK_LOST, evidence_of(asked) if wished else b"")
        self._answer(asked.ticket, True)

    def _withdraw(self, order: Order, why: str, evidence: bytes = b"") -> None:
        if order.stage is Stage.SELECTING:
            order.withdrawn = why
            return
        self._forget(order)
        if order.stage is Stage.SELECTED:
            request = pb.CancelRequest(sequence_id=order.sequence_id, reason=why)
            self._ask(StepAsked(request, order.principal, evidence, self._reply_to(order, "cancel")))

    def _forget(self, order: Order) -> None:
        if self._orders.get(order.asked.control.cid) is order:
            del self._orders[order.asked.control.cid]

    def _reply_to(self, order: Order, step: str) -> Callable[[ControlReply], None]:
        return lambda reply: self._replied(OrderReplied(order, step, reply))


def evidence_of(asked: CommandAsked | CommandRefused) -> bytes:
    """What the audit log keeps of a step: who sent which octets, as one line of JSON."""
    said = {"master": asked.master, "group": asked.group, "peer": asked.peer, "asdu": asked.asdu.hex()}
    return json.dumps(said, ensure_ascii=False).encode()
