"""Set-points of upstream masters for the dispatch desk: an area's interchange or a unit's power, as orders of ``upstream:NAME``.

They go the way of every order of dispatch: contract, judgement, store, answer. A master is confirmed when its set-point was taken
(whole or clipped) or waits for an operator, and hears of the end when it is in force or refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.order_messages import DispatchAsked, SetpointTurnedDown
from scada.actors.upstream_orders import evidence_of
from scada.control.records import Principal
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.model_cim.tables import Control, ControlKind, ForwardedSetPoint
from scada.protocols.iec104.operate import CommandAsked, CommandRefused
from scada.security.audit import AuditLog, AuditRow
from scada.security.roles import Right, is_responsible

_log = structlog.get_logger("upstream")

TAKEN: Final = frozenset({pb.DISPATCH_CODE_ACCEPTED, pb.DISPATCH_CODE_CLIPPED})
_FIRST: Final = -1
"""Numbers of these controls go down from here: they are none of the model's."""


def dispatch_control(place: int, row: ForwardedSetPoint) -> Control:
    """A set-point for dispatch as the station's command desk takes it.

    Args:
        place: of the row.
        row: of the forwarding table.
    """
    return Control(
        cid=_FIRST - place,
        mrid=row.mrid,
        path=row.name,
        name=row.name,
        kind=ControlKind.SETPOINT,
        control_type="ActivePower",
        unit="MW",
        equipment=row.unit,
        station=row.area,
        channel=-1,
        address=row.address,
        feedback=None,
        device_number="",
        select=row.select,
        scale=row.scale,
        offset=row.offset,
    )


def is_for_dispatch(control: Control) -> bool:
    """It is a set-point for the dispatch desk, not a control of the model."""
    return control.cid <= _FIRST


@dataclass(frozen=True, slots=True)
class DispatchReplied:
    """The dispatch desk answered; for the owner of the orders."""

    asked: CommandAsked
    reply: pb.DispatchReply


class UpstreamSetpoints:
    """The set-points of one upstream station. Used in its actor's thread only.

    Args:
        rows: of the forwarding table, in the order of :func:`dispatch_control`.
        ask: sends to the dispatch actor.
        replied: called from any thread with what :meth:`take` is to be given.
        principal: identity and rights of a master.
        refuse: answers a step negatively, audits and tells why.
        answer: tells the master of a ticket that its step was accepted or refused.
        terminate: tells it that its execute has ended, and whether well.
        audit: keeps what was ordered before it acts.
        clock: numbers the orders.
    """

    def __init__(
        self,
        rows: tuple[ForwardedSetPoint, ...],
        *,
        ask: Callable[[Any], None],
        replied: Callable[[DispatchReplied], None],
        principal: Callable[[CommandAsked | CommandRefused], Principal],
        refuse: Callable[[CommandAsked, str], None],
        answer: Callable[[int, bool], None],
        terminate: Callable[[int, bool], None],
        audit: AuditLog,
        clock: Clock,
    ) -> None:
        self._rows = rows
        self._ask = ask
        self._replied = replied
        self._principal = principal
        self._refuse = refuse
        self._answer = answer
        self._terminate = terminate
        self._audit = audit
        self._clock = clock
        self._waiting: dict[str, CommandAsked] = {}
        """Confirmed ones that wait for an operator, by order id."""

    def step(self, asked: CommandAsked) -> None:
        """A master selects, executes or withdraws a set-point."""
        if asked.step == "cancel":
            self._answer(asked.ticket, True)
            return
        row, principal = self._rows[_FIRST - asked.control.cid], self._principal(asked)
        if Right.DISPATCH not in principal.rights:
            self._refuse(asked, f"{asked.master} has no right {Right.DISPATCH}")
        elif not is_responsible(principal, row.area):
            self._refuse(asked, f"{row.name} is outside the areas of {principal.name}")
        elif asked.step == "select":
            self._answer(asked.ticket, True)
        else:
            self._order(asked, row, principal)

    def _order(self, asked: CommandAsked, row: ForwardedSetPoint, principal: Principal) -> None:
        order_id = f"104-{row.address.ioa}-{self._clock.now_ns():x}-{asked.ticket:x}"
        request = pb.AreaSetpoint(
            area=row.area, unit=row.unit, interchange_mw=asked.value, order_id=order_id, issued_ns=asked.issued_ns
        )
        kept = AuditRow(
            "dispatch",
            "order",
            principal.name,
            principal.station,
            sequence_id=order_id,
            mrid=(row.unit or row.area)[:64],
            path=row.name,
            value=asked.value,
            evidence=evidence_of(asked),
        )
        try:
            self._audit.append(kept)
        except ScadaError as error:
            self._refuse(asked, f"it cannot be audited: {error}")
            return
        self._ask(DispatchAsked(request, principal, lambda reply: self._replied(DispatchReplied(asked, reply))))

    def take(self, replied: DispatchReplied) -> None:
        """The dispatch desk answered an order, or said how one stands that waits."""
        asked, reply = replied.asked, replied.reply
        pending, known = reply.code == pb.DISPATCH_CODE_PENDING, reply.order_id in self._waiting
        if not (pending and known):
            self._keep_answer(asked, reply)
        if pending:
            if not known:
                self._waiting[reply.order_id] = asked
                self._answer(asked.ticket, True)
            return
        if known:
            del self._waiting[reply.order_id]
            self._terminate(asked.ticket, reply.code in TAKEN)
        elif reply.code in TAKEN:
            self._answer(asked.ticket, True)
            self._terminate(asked.ticket, True)
        else:
            self._answer(asked.ticket, False)

    def _keep_answer(self, asked: CommandAsked, reply: pb.DispatchReply) -> None:
        """The answer to an order has its row too, like that of one that was signed; it acted already."""
        row, principal = self._rows[_FIRST - asked.control.cid], self._principal(asked)
        kept = AuditRow(
            "dispatch",
            "answer",
            principal.name,
            principal.station,
            sequence_id=reply.order_id,
            mrid=(row.unit or row.area)[:64],
            path=row.name,
            value=reply.applied_mw if reply.code in TAKEN else math.nan,
            code=pb.DispatchCode.Name(reply.code).removeprefix("DISPATCH_CODE_").lower(),
            reason=reply.reason[:1000],
        )
        try:
            self._audit.append(kept)
        except ScadaError as error:
            _log.error("the answer to an order cannot be audited", cause=str(error), order=reply.order_id)

    def turned_down(self, refused: CommandRefused) -> None:
        """The station refused a set-point for its time tag: dispatch shows it among the orders of who may order."""
        control = refused.control
        if control is None or not is_for_dispatch(control) or not refused.code:
            return
        row, principal = self._rows[_FIRST - control.cid], self._principal(refused)
        if Right.DISPATCH in principal.rights and is_responsible(principal, row.area):
            request = pb.AreaSetpoint(
                area=row.area,
                unit=row.unit,
                interchange_mw=refused.value,
                order_id=f"104-{row.address.ioa}-{self._clock.now_ns():x}",
                issued_ns=refused.issued_ns,
            )
            self._ask(SetpointTurnedDown(request, principal.name, refused.code, refused.reason))

    def tick(self) -> None:
        """Ask how those stand that wait for an operator."""
        for order_id, asked in self._waiting.items():
            question = pb.GetOrderRequest(order_id=order_id)
            reply: Callable[[pb.DispatchReply], None] = lambda found, asked=asked: self._replied(  # type: ignore[misc]  # noqa: E731
                DispatchReplied(asked, found)
            )
            self._ask(DispatchAsked(question, self._principal(asked), reply))
