"""How an upstream station follows the database: changes become events in its queue, and none is lost or comes twice.

The number of the last change stands in the queue together with the events: after a crash the journal is read on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from scada.actors.mailbox import Mailbox
from scada.actors.messages import Changed
from scada.actors.upstream_masters import Tell
from scada.actors.upstream_station import UpstreamLink, give, note, queue_name, show
from scada.actors.upstream_values import Forwarded, Sent, joined
from scada.core.errors import StoreError
from scada.model_cim.tables import AlarmClass, UpstreamStation
from scada.protocols.iec104.event_queue import EventQueue
from scada.protocols.iec104.outstation import Outstation
from scada.rtdb.changes import ChangeSet, GapError
from scada.rtdb.store import Store

_log = structlog.get_logger("upstream")

CONSUMER: Final = "upstream-"
"""What the names under which the journal is kept for upstream stations begin with."""
DRAIN: Final = 64
"""Waiting change sets that share one write of the queue."""


class UpstreamFollower:
    """Brings what changes into the outstation. Used in its actor's thread only.

    Args:
        station: as configured.
        capacity: number of points of the model.
        store: the database that is followed.
        queue: events that masters have not acknowledged.
        link: to the outstation on its loop.
        mailbox: of the actor: change sets that wait there go along.
        tell: stores events.

    Attributes:
        fault: why the queue cannot be written, empty if it can.
    """

    def __init__(
        self,
        station: UpstreamStation,
        capacity: int,
        store: Store,
        queue: EventQueue,
        link: UpstreamLink,
        mailbox: Mailbox,
        tell: Tell,
    ) -> None:
        self._station = station
        self._store, self._queue, self._link = store, queue, link
        self._mailbox, self._tell = mailbox, tell
        self._values = Forwarded(station.points, capacity)
        self._consumer = CONSUMER + queue_name(station)
        self._seq = 0
        self.fault = ""
        store.register(self._consumer, queue.stored_seq)
        self.catch_up()

    def drain(self) -> None:
        """Bring in what waits."""
        if waiting := self._mailbox.drain(Changed, DRAIN):
            self.follow(*waiting)

    def follow(self, *changed: Changed) -> None:
        """Bring change sets into the station, those that wait with them."""
        sets = [message.changes for message in (*changed, *self._mailbox.drain(Changed, DRAIN))]
        if not self._follows_on(sets):
            self.catch_up()
            return
        sent = joined([self._values.of_changes(one, self._seq) for one in sets if one.last > self._seq])
        self._seq = max(self._seq, sets[-1].last)
        if not len(sent):
            return
        if not self.fault:
            try:
                self._link.run(lambda station: give(station, sent, self._seq))
            except StoreError as error:
                self._on_fault(error)
        if self.fault:
            self._link.run(lambda station: show(station, sent))

    def _follows_on(self, sets: Sequence[ChangeSet]) -> bool:
        """Nothing is missing before or between these: what found our mailbox full was left out."""
        seq = self._seq
        for one in sets:
            if one.first > seq + 1:
                return False
            seq = max(seq, one.last)
        return True

    def catch_up(self) -> None:
        """Bring queue and image to the present: what happened since the number in the queue becomes events."""
        snapshot = self._store.snapshot(self._values.pids)
        present = self._values.of_snapshot(snapshot)
        missed, whole = self._missed(self._queue.source_seq, snapshot.seq)
        self._seq = snapshot.seq

        def _take(station: Outstation) -> None:
            try:
                give(station, missed, snapshot.seq)
                note(station, snapshot.seq)
            finally:
                station.load(present.pid, present.value, present.quality, present.time_ns)
                if not whole:
                    station.renew()

        try:
            self._link.run(_take)
        except StoreError as error:
            self._on_fault(error)
        else:
            self._on_recovery()

    def _missed(self, after: int, upto: int) -> tuple[Sent, bool]:
        """What the journal holds of these points after a number, and whether that is all; nothing for a queue just made."""
        missed, whole = [], True
        try:
            if after and upto:
                for change in self._store.changes(after):
                    if change.first > upto:
                        break
                    missed.append(self._values.of_changes(change, after))
        except GapError as gap:
            self._tell("upstream.gap", AlarmClass.ABNORMAL, 2, {"reason": str(gap)})
            whole = False
        return joined(missed), whole

    def _on_fault(self, error: StoreError) -> None:
        """The queue cannot be written: states are shown, and become events once it can."""
        if not self.fault:
            _log.error("the upstream queue cannot be written", station=self._station.name, cause=str(error))
            self._tell("upstream.fault", AlarmClass.ABNORMAL, 2, {"reason": str(error)})
        self.fault = str(error)

    def _on_recovery(self) -> None:
        fault, self.fault = self.fault, ""
        if fault:
            _log.info("the upstream queue is written again", station=self._station.name)
            self._tell("upstream.recovered", AlarmClass.NOTICE, 3, {"reason": fault})

    def store_place(self) -> None:
        """Say to the journal how far we are; on our own disk first."""
        seq = self._seq
        if self.fault:
            self.catch_up()
            return
        try:
            self._link.run(lambda station: note(station, seq))
        except StoreError as error:
            self._on_fault(error)
        self._store.acknowledge(self._consumer, self._queue.stored_seq)
