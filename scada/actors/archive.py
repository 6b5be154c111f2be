"""Archive actor: carries the outbox of the history to PostgreSQL and asks it what the server itself has no more.

It has a thread of its own, so that a PostgreSQL that is slow, hangs or is not there holds nothing up but itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from scadapb.v1 import scada_pb2 as pb

from scada.actors.base import Actor, Address
from scada.actors.history import answer_query
from scada.actors.messages import Report, Tick
from scada.actors.order_messages import HistoryAsked
from scada.core.clock import Clock
from scada.core.errors import ScadaError
from scada.events.records import Event, EventKind
from scada.history.postgres import PostgresHistorian
from scada.model_cim.tables import AlarmClass

_log = structlog.get_logger("archive")

PARCELS = 4
"""Transactions in a row before other messages have their turn."""


class ArchiveActor(Actor):
    """Owns the connection to PostgreSQL.

    Args:
        address, failed: see :class:`~scada.actors.base.Actor`.
        historian: whose outbox and archive it works on; its other parts belong to the history's actor.
        events: told when PostgreSQL cannot be reached, and when it can again.
        clock: stamps.
    """

    def __init__(
        self,
        address: Address,
        failed: Callable[[BaseException], None],
        *,
        historian: PostgresHistorian,
        events: Address,
        clock: Clock,
    ) -> None:
        super().__init__(address, failed)
        self._shipper, self._archived = historian.shipper, historian.archived
        self._events = events
        self._clock = clock
        self._fault = ""
        self._given_up = 0

    def stopped(self) -> None:
        """Carry what waits, if PostgreSQL is there."""
        with contextlib.suppress(ScadaError):
            self._shipper.ship(PARCELS)

    def receive(self, message: Any) -> Any:
        """Dispatch by message class."""
        match message:
            case Tick():
                if self._ship():
                    self.address.tell(Tick())
            case HistoryAsked(pb.HistoryRequest() as request, reply):
                self._ship()
                try:
                    reply(answer_query(self._archived, request))
                except ScadaError as error:
                    reply(error)
            case _:
                return super().receive(message)
        return None

    def _ship(self) -> bool:
        more = False
        try:
            more = self._shipper.ship(PARCELS)
        except ScadaError as error:
            self._tell_fault(str(error))
        else:
            if self._fault and self._shipper.archive.fault is None:
                self._tell_recovered()
        if lost := self._shipper.outbox.given_up - self._given_up:
            _log.error("too much waits for PostgreSQL; the oldest was given up", count=lost)
            self._tell("history.archive_lost", AlarmClass.ABNORMAL, 2, {"count": str(lost)})
            self._given_up += lost
        return more

    def _tell_fault(self, reason: str) -> None:
        if not self._fault:
            waiting = str(self._shipper.outbox.rows)
            _log.error("PostgreSQL does not take the history; it waits here", cause=reason, waiting=waiting)
            self._tell("history.archive_fault", AlarmClass.ABNORMAL, 2, {"reason": reason, "count": waiting})
        self._fault = reason

    def _tell_recovered(self) -> None:
        _log.info("PostgreSQL takes the history again")
        self._tell("history.archive_recovered", AlarmClass.NOTICE, 3, {"reason": self._fault})
        self._fault = ""

    def _tell(self, key: str, alarm_class: AlarmClass, priority: int, parameters: dict[str, str]) -> None:
        event = Event(self._clock.now_ns(), EventKind.SYSTEM, alarm_class, priority, key, parameters)
        self._events.tell(Report((event,)))
