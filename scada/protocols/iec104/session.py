"""One master's connection to a controlled station: its link, what it is owed, and what it has acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scada.core.errors import ProtocolError
from scada.protocols.iec104.asdu import (
    BROADCAST,
    COMMAND_TYPES,
    REFUSAL,
    Asdu,
    Cause,
    TypeId,
    single,
)
from scada.protocols.iec104.image import Rows
from scada.protocols.iec104.link import Block, Closed, Link, Phase, PhaseChanged, Role, Transmit
from scada.protocols.iec104.operate import StationTime
from scada.protocols.iec104.requests import Piece, Requests

if TYPE_CHECKING:
    from scada.protocols.iec104.groups import Group
    from scada.protocols.iec104.outstation import Outstation

_SYSTEM: Final = frozenset({100, 101, 102, 103, 104, 107})
_BROADCAST_ALLOWED: Final = frozenset({100, 101, 103, 105})
_OBJECT_ZERO: Final = frozenset({100, 101, 103, 104, 105, 107})
"""Types whose information object address is 0."""
_MOST_REPLIES: Final = 4096
"""Answers that may wait for a master that asks and does not acknowledge."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something odd a master did; for the station's log."""

    text: str


SessionEvent = Transmit | Closed | Remark


@dataclass(frozen=True, slots=True)
class SessionReport:
    """A connection for a status page.

    Attributes:
        peer: host and port.
        subject: first name in its certificate, empty without TLS.
        state: ``stopped``, ``started``, ``stopping`` or ``closed``.
        since_ns: ns UTC when that state began.
        frames_in: APDUs received.
        frames_out: APDUs sent.
        unacknowledged: I frames sent and not acknowledged.
        malformed: ASDUs that could not be read.
    """

    peer: str
    subject: str
    state: str
    since_ns: int
    frames_in: int
    frames_out: int
    unacknowledged: int
    malformed: int


@dataclass(frozen=True, slots=True)
class _Reply:
    """An answer that waits.

    Attributes:
        data: its octets.
        after: number of the event before which it must not be sent.
        announces: it is the end of initialisation.
    """

    data: bytes
    after: int = 0
    announces: bool = False


@dataclass(frozen=True, slots=True)
class _Mark:
    """A sent I frame.

    Attributes:
        frame: its number.
        event: next event behind it.
        rows: rows whose newest value went with it.
        announces: it is the end of initialisation.
        renews: it is one of the states that are told anew.
    """

    frame: int
    event: int
    rows: Rows | None = None
    announces: bool = False
    renews: bool = False


class Session:
    """A connection. Made by :meth:`Outstation.connect`; the server carries out what its methods return.

    Args:
        station: the station.
        group: redundancy group of the master.
        master: who is connected: first name in its certificate, or its host.
        peer: host and port.
        subject: first name in its certificate, empty without TLS.
    """

    def __init__(self, station: Outstation, group: Group, master: str, *, peer: str = "", subject: str = "") -> None:
        self.master = master
        self.peer = peer or master
        self.subject = subject
        self.link = Link(Role.CONTROLLED, station.parameters.link)
        self.link.open(station.clock.monotonic())
        self.malformed = 0
        self.since_ns = station.clock.now_ns()
        self.next_event = group.position
        """Number of the next event it is sent."""
        self._station = station
        self._group = group
        self._marks: deque[_Mark] = deque()
        self._frames = 0
        self._replies: deque[_Reply] = deque()
        self._requests = Requests(station, group.counters)
        self._states: Iterator[Piece] | None = None
        self._remarks: list[SessionEvent] = []

    @property
    def group(self) -> str:
        """Name of the redundancy group."""
        return self._group.spec.name

    @property
    def pending(self) -> bool:
        """Something waits that could be sent now."""
        if self.link.room <= 0:
            return False
        events = self.next_event < self._station.queue.next
        states = self._states is not None or self._group.overflowed
        return bool(events or self._replies or self._requests.running or states or self._group.dirty.any())

    def report(self) -> SessionReport:
        """As it is now."""
        link = self.link
        return SessionReport(
            self.peer,
            self.subject,
            link.phase.value,
            self.since_ns,
            link.frames_in,
            link.frames_out,
            link.outstanding,
            self.malformed,
        )

    # ------------------------------------------------------------------ the server's side

    def feed(self, data: bytes) -> list[SessionEvent]:
        """Octets from the master."""
        out: list[SessionEvent] = []
        for event in self.link.feed(data, self._station.clock.monotonic()):
            if isinstance(event, Block):
                for index in range(len(event.spans)):
                    self._on_asdu(event.asdu(index))
            elif isinstance(event, PhaseChanged):
                self._settle()
                self._on_phase(event.phase)
            elif isinstance(event, Transmit | Closed):
                out.append(event)
        self._settle()
        if len(self._replies) > _MOST_REPLIES and self.link.phase is not Phase.CLOSED:
            why = f"{len(self._replies)} answers wait, the master asks and does not acknowledge"
            out.append(self.link.close(why, peer_fault=True))
        if self.link.phase is Phase.CLOSED:
            self.leave()
        return out + self._told() + self.pump()

    def tick(self) -> list[SessionEvent]:
        """Timers; call it a few times a second."""
        events = self.link.tick(self._station.clock.monotonic())
        if self.link.phase is Phase.CLOSED:
            self.leave()
        return [event for event in events if isinstance(event, Transmit | Closed)] + self._told() + self.pump()

    def pump(self) -> list[SessionEvent]:
        """Fill the send window: answers first, then events, interrogation, measured values."""
        out: list[SessionEvent] = []
        now = self._station.clock.monotonic()
        while self.link.room > 0:
            piece, announces = self._next()
            if piece is None:
                break
            out.append(self.link.send(piece.data, now))
            self._frames += 1
            self._marks.append(_Mark(self._frames, self.next_event, self._cleared(piece.rows), announces, piece.renews))
        return out

    def leave(self) -> None:
        """No data goes over this connection any more: selections fall, what was not acknowledged is owed to the group again."""
        self._stop()
        for mark in self._marks:
            if mark.rows is not None:
                self._group.dirty[mark.rows] = True
            if mark.announces:
                self._group.announced = False
            if mark.renews:
                self._group.overflowed = True
        # a stopped connection may still acknowledge what it was sent
        self._marks = deque(_Mark(mark.frame, mark.event) for mark in self._marks)
        if self._group.active is self:
            self._group.active = None

    # ------------------------------------------------------------------ the station's side

    def reply(self, *answers: Asdu | bytes) -> None:
        """Send these before anything else; a termination only behind the events that were there before it."""
        for answer in answers:
            if isinstance(answer, bytes):
                self._replies.append(_Reply(answer))
                continue
            ends = answer.cause == Cause.ACTIVATION_TERM and answer.type_id in COMMAND_TYPES
            self._replies.append(_Reply(answer.encode(), self._station.queue.next if ends else 0))

    def displace(self, by: str) -> None:
        """Another connection of the group was started: this one is stopped, as if its master had said so."""
        self.leave()
        self.link.phase = Phase.STOPPED
        self.since_ns = self._station.clock.now_ns()
        self._remarks.append(Remark(f"{self.peer}: stopped, data transfer of group {self.group} was started by {by}"))

    # ------------------------------------------------------------------ what is sent

    def _next(self) -> tuple[Piece | None, bool]:
        self._pass_over()
        while True:
            waiting = self.next_event < self._station.queue.next
            if self._replies and not (waiting and self._replies[0].after > self.next_event):
                reply = self._replies.popleft()
                return Piece(reply.data), reply.announces
            if not waiting:
                break
            data, self.next_event = self._station.events_asdu(self.next_event)
            if data:  # else events of points that are served no more
                return Piece(data), False
        piece = self._requests.next() or self._next_state()
        if piece is None and self._group.dirty.any():
            piece = self._station.newest(self._group.dirty)
        return piece, False

    def _next_state(self) -> Piece | None:
        """States for a group that has lost events."""
        if self._group.overflowed:
            self._group.overflowed, self._states = False, self._station.states()
        piece = next(self._states, None) if self._states is not None else None
        if piece is None:
            self._states = None
        return piece

    def _pass_over(self) -> None:
        """Leave out what a stopped connection of the group has acknowledged meanwhile, and what gave way."""
        self.next_event = max(self.next_event, self._group.position)
        oldest = self._station.queue.oldest
        if self.next_event < oldest:
            lost = oldest - self.next_event
            self._group.lose(self.next_event, oldest)
            self.next_event = oldest
            self._remarks.append(Remark(f"group {self.group}: {lost} events gave way to newer ones; their states are sent"))

    def _cleared(self, rows: Rows | None) -> Rows | None:
        """Take the marks of rows away whose newest value is sent; which they were."""
        if rows is None:
            return None
        dirty = rows[self._group.dirty[rows]]
        self._group.dirty[dirty] = False
        return dirty

    def _settle(self) -> None:
        """Move the acknowledged position on."""
        done = self._frames - self.link.outstanding
        event = 0
        while self._marks and self._marks[0].frame <= done:
            event = self._marks.popleft().event
        before = self._group.fault
        self._group.acknowledge(event)
        if self._group.fault and not before:
            self._remarks.append(Remark(f"group {self.group}: its position is not stored: {self._group.fault}"))

    def _told(self) -> list[SessionEvent]:
        remarks, self._remarks = self._remarks, []
        return remarks

    # ------------------------------------------------------------------ start and stop

    def _on_phase(self, phase: Phase) -> None:
        self.since_ns = self._station.clock.now_ns()
        if phase is Phase.STARTED:
            self._start()
        elif phase is Phase.STOPPED:
            self.leave()
        else:
            self._stop()

    def _start(self) -> None:
        """Go on where the group is; of its connections only this one is started now (clause 10)."""
        group = self._group
        if group.active is not None and group.active is not self:
            group.active.displace(self.peer)
        group.active, group.served = self, True
        self.next_event = group.position
        if not group.announced:
            group.announced = True
            for address in self._station.common_addresses:
                end = single(TypeId.M_EI_NA_1, Cause.INITIALISED, address, 0, b"\x00")
                self._replies.append(_Reply(end.encode(), announces=True))

    def _stop(self) -> None:
        """Nothing more is sent; frames on their way may still be acknowledged."""
        if any(reply.announces for reply in self._replies):
            self._group.announced = False
        self._replies.clear()
        self._requests.clear()
        if self._states is not None:
            self._states, self._group.overflowed = None, True
        self._station.desk.drop(self)

    # ------------------------------------------------------------------ what is received

    def _on_asdu(self, data: bytes) -> None:
        try:
            asdu = Asdu.parse(data)
        except ProtocolError as error:
            self.malformed += 1
            self._remarks.append(Remark(f"{self.peer}: {error}"))
            return
        if asdu.cause in REFUSAL:  # no answer to an answer
            self._remarks.append(Remark(f"{self.peer} refuses type {asdu.type_id}: {REFUSAL[Cause(asdu.cause)]}"))
            return
        served = asdu.type_id in _SYSTEM or asdu.type_id in COMMAND_TYPES
        if not served and not (asdu.type_id == TypeId.C_RP_NA_1 and self._station.resets):
            self.reply(asdu.mirror(Cause.UNKNOWN_TYPE, negative=True))
            return
        known = self._station.common_addresses
        addresses: tuple[int, ...] = (asdu.common_address,)
        if asdu.common_address == BROADCAST and asdu.type_id in _BROADCAST_ALLOWED:
            addresses = known
        elif asdu.common_address not in known:
            self.reply(asdu.mirror(Cause.UNKNOWN_COMMON_ADDRESS, negative=True))
            return
        alone = len(asdu.objects) == 1 or asdu.type_id in COMMAND_TYPES  # the command desk judges its own
        if not alone or (asdu.type_id in _OBJECT_ZERO and asdu.objects[0].ioa != 0):
            self.reply(asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True))
            return
        if asdu.negative:  # nobody asks with P/N set: it is no request, whatever else it is
            self.reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
            return
        for address in addresses:
            self._serve(asdu.mirror(asdu.cause, common_address=address))

    def _serve(self, asdu: Asdu) -> None:
        if asdu.type_id not in COMMAND_TYPES:
            self.reply(*self._requests.answer(asdu))
            return
        parameters = self._station.parameters
        time = StationTime(
            self._station.now_ns(),
            self._station.clock.monotonic(),
            parameters.zone_minutes,
            parameters.summer_minutes,
            parameters.command_age_s,
        )
        for owner, answer in self._station.desk.answer(self, asdu, time):
            assert owner is self
            self.reply(answer)
