"""The controlled station (RTU side) as a machine without sockets: image, events, sessions of several masters.

:class:`Outstation` holds the point image and the event store; each connection is a :class:`~.session.Session` with its own link,
position in the events, running interrogations and dirty measured values. :mod:`scada.protocols.iec104.server` puts sockets to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.tables import Control, Iec104Address, Point
from scada.protocols.iec104.asdu import COMMAND_TYPES, MAX_OBJECTS, Cause, tagged, untagged
from scada.protocols.iec104.encode import capacity, chunks, encode_values
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.operate import Answers, CommandDesk, OnCommand
from scada.protocols.iec104.session import Session

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

_STATUS: Final = (1, 3, 5, 7)
"""Untagged types whose every change is an event."""
_COUNTER: Final = 15
_WRITABLE: Final = frozenset({1, 3, 5, 7, 9, 11, 13, 15, 21})


@dataclass(frozen=True, slots=True)
class OutstationParameters:
    """Behaviour of a controlled station.

    Attributes:
        link: windows and time-outs.
        zone_minutes: what the station's clock is ahead of UTC.
        event_capacity: status events kept for masters that are away or slow; the oldest give way, counted.
        select_timeout_s: life of a selection.
        command_age_s: largest difference of a time-tagged command to the station's clock.
        follow_clock: a clock synchronisation moves the station's clock (a simulator shares ours and only confirms).
    """

    link: LinkParameters = field(default_factory=LinkParameters)
    zone_minutes: int = 0
    event_capacity: int = 10_000
    select_timeout_s: float = 20.0
    command_age_s: float = 10.0
    follow_clock: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Ring of status events; number ``n`` stands in row ``n % capacity``."""

    index: npt.NDArray[np.int64]
    value: F8
    quality: npt.NDArray[np.uint32]
    time: I8
    detail: npt.NDArray[np.uint16]

    @classmethod
    def empty(cls, rows: int) -> Events:
        """Room for ``rows`` events."""
        return cls(
            np.zeros(rows, np.int64),
            np.zeros(rows),
            np.zeros(rows, np.uint32),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.uint16),
        )


class Outstation:
    """A controlled station.

    Args:
        points: its points (those with an :class:`Iec104Address`); scale and offset turn engineering units into raw ones.
            Before the first :meth:`update` a point is sent *invalid* and *not topical*: the station has measured nothing yet.
        controls: its commands and set-points.
        clock: stamps and time-outs.
        on_command: asked before a select, an execute or a cancel is confirmed; ``None`` = :meth:`answer` comes later. Without it
            every command is refused.
        parameters: behaviour.

    Raises:
        ConfigError: a point's or control's type cannot be served, or an address is used twice.
    """

    def __init__(
        self,
        points: Sequence[Point],
        controls: Sequence[Control],
        clock: Clock,
        *,
        on_command: OnCommand | None = None,
        parameters: OutstationParameters | None = None,
    ) -> None:
        self.clock = clock
        self.parameters = parameters or OutstationParameters()
        self.clock_offset_ns = 0
        """What a clock synchronisation found our clock to be behind."""
        self.events_lost = 0
        """Events that gave way to newer ones before every master had them."""
        self.wake: Callable[[], None] | None = None
        """Called after an update that left something to send; the server pumps its sessions then."""
        self.sessions: list[Session] = []
        self._load(points)
        self.common_addresses: tuple[int, ...] = tuple(
            sorted({int(ca) for ca in self.ca} | {control.address.common_address for control in _commands(controls)})  # type: ignore[union-attr]
        )
        self.desk = CommandDesk(_commands(controls), on_command, self.parameters.select_timeout_s)
        self._ring = Events.empty(self.parameters.event_capacity)
        self._next_event = 0
        self._positions: dict[str, int] = {}
        self._delivered = 0
        self._announced: set[str] = set()
        self._frozen: tuple[F8, int] | None = None
        self._counter_base = np.zeros(len(self.pids))

    def _load(self, points: Sequence[Point]) -> None:
        mine = [(point.address, point) for point in points if isinstance(point.address, Iec104Address)]
        mine.sort(key=lambda item: (item[0].common_address, untagged(item[0].type_id), item[0].ioa))
        self._by_address: dict[tuple[int, int], int] = {}
        for index, (address, point) in enumerate(mine):
            if untagged(address.type_id) not in _WRITABLE:
                raise ConfigError(f"{point.path}: type {address.type_id} is not served", mend="use 1 .. 15, 21 or 30 .. 37")
            if self._by_address.setdefault((address.common_address, address.ioa), index) != index:
                raise ConfigError(f"{point.path}: address {address.common_address}/{address.ioa} is used twice")
        self.points = tuple(point for _, point in mine)
        self.pids = np.array([point.pid for _, point in mine], dtype=np.int64)
        self.ca = np.array([address.common_address for address, _ in mine], dtype=np.int64)
        self.ioa = np.array([address.ioa for address, _ in mine], dtype=np.int64)
        self.base_type = np.array([untagged(address.type_id) for address, _ in mine], dtype=np.int64)
        # a status goes out with its time whatever the model says; a measured value as the model says
        spontaneous = [
            tagged(untagged(address.type_id)) if untagged(address.type_id) in _STATUS else address.type_id for address, _ in mine
        ]
        self.event_type = np.array(spontaneous, dtype=np.int64)
        self.is_status = np.isin(self.base_type, _STATUS)
        self.is_counter = self.base_type == _COUNTER
        self._scale = np.where(self.is_status, 1.0, [point.scale for _, point in mine])
        self._offset = np.where(self.is_status, 0.0, [point.offset for _, point in mine])
        self._deadband = np.array([point.deadband for _, point in mine])
        self.value = np.zeros(len(mine))
        self.quality = np.full(len(mine), 0xC0, dtype=np.uint32)
        self.time = np.zeros(len(mine), dtype=np.int64)
        self.detail = np.zeros(len(mine), dtype=np.uint16)
        self._reported = np.full(len(mine), np.nan)
        self._reported_quality = np.full(len(mine), 0xFFFF_FFFF, dtype=np.uint32)
        self._order = np.argsort(self.pids, kind="stable")

        if mine:  # loads or compiles the kernel now, not at the first interrogation
            self.image_asdu(int(self.event_type[0]), Cause.SPONTANEOUS, np.zeros(1, dtype=np.int64))

    # ------------------------------------------------------------------ the process side

    def index_of(self, pids: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Rows of the image that belong to point ids.

        Raises:
            KeyError: a point is not of this station.
        """
        wanted = np.atleast_1d(np.asarray(pids, dtype=np.int64))
        at = np.searchsorted(self.pids, wanted, sorter=self._order)
        rows = self._order[np.minimum(at, len(self.pids) - 1)] if len(self.pids) else at
        if len(wanted) and (not len(self.pids) or (self.pids[rows] != wanted).any()):
            raise KeyError(f"points {wanted.tolist()} are not all of this station")
        return rows

    def row(self, common_address: int, ioa: int) -> int:
        """Row of the image of an address, -1 if there is none."""
        return self._by_address.get((common_address, ioa), -1)

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
    ) -> None:
        """New process values, in engineering units (scalars are spread).

        A change of a status, step or bit string becomes an event with its time; a measured value is sent when it leaves its dead
        band (newest only). A point may come twice in one call: both changes are events.

        Args:
            pids: point ids.
            values: engineering units; status 0/1, double 0..3.
            quality: quality words (low octet = QDS).
            source_time: ns UTC; None or 0 = now by the station's clock.
            detail: transient bit of a step position; CY and CA of a counter.

        Raises:
            KeyError: a point is not of this station.
        """
        rows = self.index_of(pids)
        self.update_rows(rows, values, quality, source_time, detail=detail)

    def update_rows(
        self,
        rows: npt.NDArray[np.int64],
        values: npt.ArrayLike,
        quality: npt.ArrayLike = 0,
        source_time: npt.ArrayLike | None = None,
        *,
        detail: npt.ArrayLike = 0,
    ) -> None:
        """As :meth:`update`, by rows of the image."""
        value = np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape)
        word = np.broadcast_to(np.asarray(quality, dtype=np.uint32), rows.shape)
        stamp = np.asarray(0 if source_time is None else source_time, dtype=np.int64)
        time = np.broadcast_to(np.where(stamp == 0, self.now_ns(), stamp), rows.shape)
        more = np.broadcast_to(np.asarray(detail, dtype=np.uint16), rows.shape)
        for i in np.flatnonzero(self.is_status[rows]):
            self._status(int(rows[i]), float(value[i]), int(word[i]), int(time[i]), int(more[i]))
        rest = ~self.is_status[rows]
        measured = rows[rest]
        self.value[measured], self.quality[measured] = value[rest], word[rest]
        self.time[measured], self.detail[measured] = time[rest], more[rest]
        self._mark_dirty(measured[~self.is_counter[measured]])
        if self.wake is not None and any(session.pending for session in self.sessions):
            self.wake()

    def _status(self, row: int, value: float, quality: int, time: int, detail: int) -> None:
        if self.value[row] == value and self.quality[row] == quality and self.detail[row] == detail:
            return
        first = self.time[row] == 0
        self.value[row], self.quality[row], self.time[row], self.detail[row] = value, quality, time, detail
        if first:  # the station has just learnt the state; nothing happened in the plant
            for session in self.sessions:
                session.dirty[row] = True
            return
        ring, slot = self._ring, self._next_event % self.parameters.event_capacity
        ring.index[slot], ring.value[slot], ring.quality[slot] = row, value, quality
        ring.time[slot], ring.detail[slot] = time, detail
        self._next_event += 1

    def _mark_dirty(self, rows: npt.NDArray[np.int64]) -> None:
        value, reported = self.value[rows], self._reported[rows]
        with np.errstate(invalid="ignore"):
            inside = np.abs(value - reported) <= self._deadband[rows]
        same = (inside | (np.isnan(value) & np.isnan(reported))) & (self.quality[rows] == self._reported_quality[rows])
        changed = rows[~same]
        self._reported[changed], self._reported_quality[changed] = self.value[changed], self.quality[changed]
        for session in self.sessions:
            session.dirty[changed] = True

    # ------------------------------------------------------------------ connections

    def connect(self, master: str) -> Session:
        """A master has connected.

        Args:
            master: who it is (its host); the position in the events is kept under this name between connections.
        """
        position = self._positions.get(master, self._delivered)
        session = Session(self, master, position)
        self.sessions.append(session)
        return session

    def disconnect(self, session: Session) -> None:
        """A connection is gone: its selections fall, its position in the events is kept from the last acknowledgement on."""
        if session in self.sessions:
            self.sessions.remove(session)
            self.desk.drop(session)
            self.note_delivered(session.master, session.acknowledged_event)

    def note_delivered(self, master: str, event: int) -> None:
        """A master has acknowledged all events before number ``event``."""
        self._positions[master] = max(self._positions.get(master, 0), event)
        self._delivered = max(self._delivered, event)

    def needs_announcement(self, master: str) -> bool:
        """True once for each master after the station's start: end of initialisation is due."""
        if master in self._announced:
            return False
        self._announced.add(master)
        return True

    # ------------------------------------------------------------------ commands

    def answer(self, ticket: int, accepted: bool) -> None:
        """The owner's answer to a :class:`~.operate.CommandAsked` it did not answer at once; swallowed if the link is gone."""
        self._hand_out(self.desk.resolve(ticket, accepted, self.clock.monotonic()))

    def terminate(self, ticket: int) -> None:
        """An execute that was accepted by :meth:`answer` has ended: its master is told (cause 10).

        Raises:
            CommandUseError: it has not been answered.
        """
        self._hand_out(self.desk.terminate(ticket))

    def _hand_out(self, answers: Answers) -> None:
        for owner, asdu in answers:
            next(session for session in self.sessions if session is owner).reply(asdu)
        if answers and self.wake is not None:
            self.wake()

    # ------------------------------------------------------------------ what sessions send

    @property
    def next_event(self) -> int:
        """Number that the next event will have."""
        return self._next_event

    def oldest_event(self) -> int:
        """Number of the oldest event still held."""
        return max(0, self._next_event - self.parameters.event_capacity)

    def events_asdu(self, first: int) -> tuple[bytes, int]:
        """An ASDU with the events from number ``first`` on that share type and station; (octets, next number)."""
        ring, rows = self._ring, self.parameters.event_capacity
        numbers = np.arange(first, min(self._next_event, first + MAX_OBJECTS))
        slots = numbers % rows
        index = ring.index[slots]
        type_id, common_address = int(self.event_type[index[0]]), int(self.ca[index[0]])
        differs = np.flatnonzero((self.event_type[index] != type_id) | (self.ca[index] != common_address))
        count = min(int(differs[0]) if len(differs) else len(index), capacity(type_id, sequence=False))
        slots, index = slots[:count], index[:count]
        data = self._encode(
            type_id, Cause.SPONTANEOUS, index, ring.value[slots], ring.quality[slots], ring.time[slots], ring.detail[slots]
        )
        return data, first + count

    def dirty_asdu(self, dirty: npt.NDArray[np.bool_]) -> bytes:
        """An ASDU with changed measured values of one type and station; their marks are cleared."""
        rows = np.flatnonzero(dirty)
        same = rows[(self.event_type[rows] == self.event_type[rows[0]]) & (self.ca[rows] == self.ca[rows[0]])]
        type_id = int(self.event_type[rows[0]])
        same = same[: capacity(type_id, sequence=False)]
        dirty[same] = False
        return self.image_asdu(type_id, Cause.SPONTANEOUS, same)

    def image_asdu(self, type_id: int, cause: int, rows: npt.NDArray[np.int64], *, sequence: bool = False) -> bytes:
        """An ASDU with the present values of rows of one station."""
        return self._encode(
            type_id, cause, rows, self.value[rows], self.quality[rows], self.time[rows], self.detail[rows], sequence=sequence
        )

    def interrogation_plan(self, common_address: int) -> list[tuple[int, npt.NDArray[np.int64], bool]]:
        """(type, rows, sequence) of the ASDUs that answer a station interrogation; untagged types, counters excluded."""
        return self._plan((self.ca == common_address) & ~self.is_counter)

    def _plan(self, mask: npt.NDArray[np.bool_]) -> list[tuple[int, npt.NDArray[np.int64], bool]]:
        plan = []
        for type_id in np.unique(self.base_type[mask]).tolist():
            rows = np.flatnonzero(mask & (self.base_type == type_id))  # ascending addresses, see _load
            plan += [(type_id, rows[start:stop], sequence) for start, stop, sequence in chunks(type_id, self.ioa[rows])]
        return plan

    def freeze_counters(self, *, reset: bool) -> None:
        """Keep the counters' present readings for the next counter interrogation, and start them anew if ``reset``."""
        number = (self._frozen[1] + 1) % 32 if self._frozen else 1
        self._frozen = (self.value - self._counter_base, number)
        if reset:
            self.reset_counters()

    def reset_counters(self) -> None:
        """Let the counters count from zero."""
        self._counter_base = np.where(self.is_counter, self.value, 0.0)

    def counter_asdus(self, common_address: int) -> list[bytes]:
        """Counter readings: the frozen ones if there are, with their sequence number, else the present ones."""
        readings, number = self._frozen or (self.value - self._counter_base, 0)
        asdus = []
        for type_id, rows, sequence in self._plan((self.ca == common_address) & self.is_counter):
            detail = (self.detail[rows] & 0x60) | number
            asdus.append(
                self._encode(
                    type_id,
                    Cause.COUNTER_INTERROGATED,
                    rows,
                    readings[rows],
                    self.quality[rows],
                    self.time[rows],
                    detail.astype(np.uint16),
                    sequence=sequence,
                )
            )
        return asdus

    def _encode(
        self,
        type_id: int,
        cause: int,
        rows: npt.NDArray[np.int64],
        values: F8,
        quality: npt.NDArray[np.uint32],
        time: I8,
        detail: npt.NDArray[np.uint16],
        *,
        sequence: bool = False,
    ) -> bytes:
        raw = (values - self._offset[rows]) / self._scale[rows]
        return encode_values(
            type_id,
            cause,
            int(self.ca[rows[0]]),
            self.ioa[rows],
            raw,
            quality,
            time,
            detail,
            sequence=sequence,
            zone_minutes=self.parameters.zone_minutes,
        )


def _commands(controls: Sequence[Control]) -> list[Control]:
    """Those with an IEC 104 address; their type must be a command."""
    mine = [control for control in controls if isinstance(control.address, Iec104Address)]
    for control in mine:
        assert isinstance(control.address, Iec104Address)
        if control.address.type_id not in COMMAND_TYPES:
            raise ConfigError(f"{control.path}: type {control.address.type_id} is not a command", mend="use 45 .. 51 or 58 .. 64")
    return mine
