"""The controlled station (RTU side) as a machine without sockets: image, events, groups, sessions of several masters.

:class:`Outstation` holds the point image and the event queue; each connection is a :class:`~.session.Session` with its own link
and running interrogations, and each redundancy group a position in the events. :mod:`scada.protocols.iec104.server` puts sockets
to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control, Point, RedundancyGroup
from scada.protocols.iec104.asdu import COMMAND_TYPES, MAX_OBJECTS, Cause
from scada.protocols.iec104.encode import capacity
from scada.protocols.iec104.event_queue import EVENT_DTYPE, EventQueue, EventRecords
from scada.protocols.iec104.groups import GroupReport, Groups
from scada.protocols.iec104.image import CHANGED, UNCHANGED, Rows, Serving, StationImage
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.operate import Answers, CommandDesk, OnCommand, OnRefused
from scada.protocols.iec104.requests import Piece
from scada.protocols.iec104.session import Session


@dataclass(frozen=True, slots=True)
class OutstationParameters:
    """Behaviour of a controlled station.

    Attributes:
        link: windows and time-outs.
        zone_minutes: what the station's clock is ahead of UTC.
        summer_minutes: what a time is further ahead that comes with SU set; the station itself never sets it.
        event_capacity: events kept for masters that are away or slow, unless a queue is given; the oldest give way, counted.
        select_timeout_s: life of a selection.
        command_age_s: largest difference of a time-tagged command to the station's clock.
        follow_clock: a clock synchronisation moves the station's clock; else it is only confirmed and noted.
    """

    link: LinkParameters = field(default_factory=LinkParameters)
    zone_minutes: int = 0
    summer_minutes: int = 60
    event_capacity: int = 10_000
    select_timeout_s: float = 20.0
    command_age_s: float = 10.0
    follow_clock: bool = False


class Outstation:
    """A controlled station. It is used from one thread: that of its server's event loop.

    Args:
        points: its points (those with an :class:`Iec104Address`); scale and offset turn engineering units into raw ones.
            Before the first :meth:`update` a point is sent *invalid* and *not topical*: the station has measured nothing yet.
        controls: its commands and set-points.
        clock: stamps and time-outs.
        on_command: asked before a select, an execute or a cancel is confirmed; ``None`` = :meth:`answer` comes later. Without it
            every command is refused.
        on_refused: told of commands that are refused without asking: unknown, not selected, too old ...
        on_reset: asked whether a reset of the process (105) with this QRP is accepted; without it the type is unknown here.
        parameters: behaviour.
        groups: redundancy groups; without any the station is open, and every host is a group of its own.
        serving: how points are served, by point id, where their type does not say it.
        queue: where events wait; without one they wait in memory.

    Raises:
        ConfigError: a point's or control's type cannot be served, an address is used twice, or the groups are ambiguous.
        StoreError: the queue cannot be written.
    """

    def __init__(
        self,
        points: Sequence[Point],
        controls: Sequence[Control],
        clock: Clock,
        *,
        on_command: OnCommand | None = None,
        on_refused: OnRefused | None = None,
        on_reset: Callable[[int], bool] | None = None,
        parameters: OutstationParameters | None = None,
        groups: Sequence[RedundancyGroup] = (),
        serving: Mapping[int, Serving] = MappingProxyType({}),
        queue: EventQueue | None = None,
    ) -> None:
        self.clock = clock
        self.parameters = parameters or OutstationParameters()
        self.clock_offset_ns = 0
        """What the station's clock was moved by."""
        self.clock_difference_ns = 0
        """What the last clock synchronisation was ahead of the station's clock."""
        self.wake: Callable[[], None] | None = None
        """Called when something was left to send; the server pumps its sessions then."""
        self.sessions: list[Session] = []
        self.image = StationImage(points, serving, self.parameters.zone_minutes)
        commands = _commands(controls)
        self.common_addresses: tuple[int, ...] = tuple(
            sorted({int(ca) for ca in self.image.ca} | {control.address.common_address for control in commands})  # type: ignore[union-attr]
        )
        self.desk = CommandDesk(commands, on_command, self.parameters.select_timeout_s, on_refused)
        self._on_reset = on_reset
        self.queue = queue or EventQueue(self.parameters.event_capacity)
        self._groups = Groups(groups, self.queue, self.image)

    # ------------------------------------------------------------------ the process side

    def now_ns(self) -> int:
        """The station's own clock, ns UTC."""
        return self.clock.now_ns() + self.clock_offset_ns

    def update(
        self,
        pids: npt.ArrayLike,
        values: npt.ArrayLike,
        quality: npt.ArrayLike = 0,
        source_time: npt.ArrayLike | None = None,
        *,
        detail: npt.ArrayLike = 0,
        cause: int = Cause.SPONTANEOUS,
        compare: bool = True,
        silent: npt.ArrayLike = False,
        source_seq: int | None = None,
    ) -> None:
        """New process values, in engineering units (scalars are spread), in order.

        A change of a queued point becomes an event with its time; of the others the newest value is sent, of a measured one when
        it leaves its dead band. A point may come twice in one call: both changes are events.

        Args:
            pids: point ids.
            values: engineering units; status 0/1, double 0..3.
            quality: quality words (low octet = QDS).
            source_time: ns UTC; None or 0 = now by the station's clock.
            detail: transient bit of a step position; CY and CA of a counter.
            cause: of transmission, of the events in it: spontaneous, or return information (11, 12).
            compare: only what differs from the image is a change, and the first state of a status is none. A source that gives
                every change once, and nothing but changes, says False: then each status is an event whatever the image holds.
            silent: readings of which no event is made, only the newest value is sent: nothing happened in the plant.
            source_seq: number of the source up to which it has been given here; stored in one transaction with the events.

        Raises:
            KeyError: a point is not of this station.
            StoreError: the events cannot be stored; nothing of the call has been taken, give it again.
        """
        rows = self.image.find(pids)
        if (rows < 0).any():
            raise KeyError(f"points {np.atleast_1d(np.asarray(pids))[rows < 0].tolist()} are not of this station")
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape)
        word = np.broadcast_to(np.asarray(quality, dtype=np.uint32), rows.shape)
        stamp = np.asarray(0 if source_time is None else source_time, dtype=np.int64)
        time = np.broadcast_to(np.where(stamp == 0, self.now_ns(), stamp), rows.shape)
        more = np.broadcast_to(np.asarray(detail, dtype=np.uint16), rows.shape)
        held = self.image.held(rows)
        marks = self.image.take(rows, value, word, time, more, compare=compare)
        queued = (
            (marks == CHANGED) & self.image.is_queued[rows] & ~np.broadcast_to(np.asarray(silent, dtype=np.bool_), rows.shape)
        )
        events = np.zeros(int(queued.sum()), dtype=EVENT_DTYPE)
        events["pid"], events["cause"] = self.image.pids[rows[queued]], cause
        for name, column in (("value", value), ("quality", word), ("time", time), ("detail", more)):
            events[name] = column[queued]
        try:
            if len(events) or source_seq is not None:
                self.queue.append(events, source_seq)
        except BaseException:
            self.image.put_back(rows, held)
            raise
        changed = marks != UNCHANGED
        for group in self._groups:
            if group.served:  # of a point that comes twice the last counts; an event carries the newest value already
                group.dirty[rows[changed]] = ~queued[changed]
        self._wake()

    def load(self, pids: npt.ArrayLike, values: npt.ArrayLike, quality: npt.ArrayLike, source_time: npt.ArrayLike) -> None:
        """Put a snapshot into the image before masters are served: no event comes of it, and nothing is sent by itself.

        Raises:
            KeyError: a point is not of this station.
        """
        rows = self.image.find(pids)
        if (rows < 0).any():
            raise KeyError(f"points {np.atleast_1d(np.asarray(pids))[rows < 0].tolist()} are not of this station")
        value, word = np.asarray(values, dtype=np.float64), np.asarray(quality, dtype=np.uint32)
        none = np.zeros(len(rows), dtype=np.uint16)
        self.image.take(rows, value, word, np.asarray(source_time, dtype=np.int64), none, compare=False)

    def renew(self) -> None:
        """Changes may be missing here: tell every group the states once more, and the newest values."""
        for group in self._groups:
            group.overflowed = True
            if group.served:
                group.dirty[~self.image.is_queued & ~self.image.is_counter] = True
        self._wake()

    def _wake(self) -> None:
        if self.wake is not None and any(session.pending for session in self.sessions):
            self.wake()

    # ------------------------------------------------------------------ connections

    def connect(self, host: str, *, names: Sequence[str] = (), peer: str = "") -> Session:
        """A master has connected.

        Args:
            host: where it calls from.
            names: in its certificate, the common name first; empty without TLS.
            peer: host and port, for reports.

        Raises:
            UnknownMasterError: it belongs to no configured group.
        """
        group = self._groups.of(host, names)
        subject = names[0] if names else ""
        session = Session(self, group, subject or host, peer=peer, subject=subject)
        group.sessions.append(session)
        self.sessions.append(session)
        return session

    def disconnect(self, session: Session) -> None:
        """A connection is gone: its selections fall, its group goes on from the last acknowledgement."""
        if session in self.sessions:
            session.leave()
            self.sessions.remove(session)
            next(group for group in self._groups if session in group.sessions).sessions.remove(session)

    @property
    def events_lost(self) -> int:
        """Events that gave way to newer ones before a group had them, of all groups."""
        return sum(group.lost for group in self.report())

    def report(self) -> tuple[GroupReport, ...]:
        """Groups and connections, for a status page."""
        return tuple(group.report() for group in self._groups)

    # ------------------------------------------------------------------ what masters ask

    def answer(self, ticket: int, accepted: bool) -> None:
        """The owner's answer to a :class:`~.operate.CommandAsked` it did not answer at once; swallowed if the link is gone."""
        self._hand_out(self.desk.resolve(ticket, accepted, self.clock.monotonic()))

    def terminate(self, ticket: int, well: bool = True) -> None:
        """An execute that was accepted by :meth:`answer` has ended: its master is told (cause 10), behind the events so far.

        Args:
            ticket: of the execute.
            well: False sets P/N: it did not end as it was meant to.

        Raises:
            CommandUseError: it has not been answered.
        """
        self._hand_out(self.desk.terminate(ticket, well))

    def _hand_out(self, answers: Answers) -> None:
        for owner, asdu in answers:
            next(session for session in self.sessions if session is owner).reply(asdu)
        if answers:
            self._wake()

    @property
    def resets(self) -> bool:
        """A reset of the process can be asked for."""
        return self._on_reset is not None

    def reset_asked(self, qualifier: int) -> bool:
        """A reset of the process is asked for; whether the owner accepts."""
        return self._on_reset is not None and self._on_reset(qualifier)

    def clock_asked(self, ahead_ns: int) -> None:
        """A clock synchronisation says that the station's clock should be set forward by so much."""
        self.clock_difference_ns = ahead_ns
        if self.parameters.follow_clock:
            self.clock_offset_ns += ahead_ns

    # ------------------------------------------------------------------ what sessions send

    def events_asdu(self, first: int) -> tuple[bytes, int]:
        """An ASDU with the events from number ``first`` on that share type, station and cause; (octets, next number).

        No octets: the events up to the next number are of points that are not served any more.
        """
        image, events = self.image, self.queue.read(first, MAX_OBJECTS)
        rows = image.find(events["pid"])
        if rows[0] < 0:
            return b"", first + _alike(rows < 0)
        type_id, cause = int(image.event_type[rows[0]]), int(events["cause"][0])
        alike = (image.event_type[rows] == type_id) & (image.ca[rows] == image.ca[rows[0]]) & (events["cause"] == cause)
        count = min(_alike(alike & (rows >= 0)), capacity(type_id, sequence=False))
        return self._events(type_id, cause, rows[:count], events[:count]), first + count

    def _events(self, type_id: int, cause: int, rows: Rows, events: EventRecords) -> bytes:
        columns = (events["value"], events["quality"], events["time"], events["detail"])
        return self.image.encode(type_id, cause, rows, *(np.ascontiguousarray(column) for column in columns))

    def newest(self, dirty: npt.NDArray[np.bool_]) -> Piece:
        """An ASDU with the newest values of marked rows of one type and station."""
        image, rows = self.image, np.flatnonzero(dirty)
        type_id = int(image.event_type[rows[0]])
        same = rows[(image.event_type[rows] == type_id) & (image.ca[rows] == image.ca[rows[0]])]
        same = same[: capacity(type_id, sequence=False)]
        return Piece(image.asdu(type_id, Cause.SPONTANEOUS, same), same)

    def states(self) -> Iterator[Piece]:
        """The states of every queued point as a background scan, for a group that has lost events of them."""
        image = self.image
        for address in self.common_addresses:
            for type_id, rows, sequence in image.pieces(image.segments(address)):
                if image.is_queued[rows].any():
                    yield Piece(image.asdu(type_id, Cause.BACKGROUND, rows, sequence=sequence), rows, renews=True)


def _alike(mask: npt.NDArray[np.bool_]) -> int:
    """How many are true from the beginning on."""
    return len(mask) if mask.all() else int(np.argmin(mask))


def _commands(controls: Sequence[Control]) -> list[Control]:
    """Those with an IEC 104 address; their type must be a command."""
    mine = [control for control in controls if isinstance(control.address, Iec104Address)]
    for control in mine:
        assert isinstance(control.address, Iec104Address)
        if control.address.type_id not in COMMAND_TYPES:
            raise ConfigError(f"{control.path}: type {control.address.type_id} is not a command", mend="use 45 .. 51 or 58 .. 64")
    return mine
