"""One master's connection to a controlled station: its link, its position in the events, its running interrogations."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from scada.core.errors import ProtocolError
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import (
    BROADCAST,
    COMMAND_TYPES,
    GENERAL_INTERROGATION,
    REFUSAL,
    Asdu,
    Cause,
    TypeId,
    single,
)
from scada.protocols.iec104.link import Block, Closed, Link, Phase, PhaseChanged, Role, Transmit
from scada.protocols.iec104.operate import StationTime

if TYPE_CHECKING:
    from scada.protocols.iec104.outstation import Outstation

_COUNTERS_GENERAL: Final = 5
_SERVED: Final = frozenset({100, 101, 102, 103, 104, 107}) | COMMAND_TYPES
_BROADCAST_ALLOWED: Final = frozenset({100, 101, 103})
_OBJECT_ZERO: Final = frozenset({100, 101, 103, 104, 107})
"""Types whose information object address is 0."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something odd a master did; for the station's log."""

    text: str


SessionEvent = Transmit | Closed | Remark


class Session:
    """A connection. Made by :meth:`Outstation.connect`; the server carries out what its methods return.

    Args:
        station: the station.
        master: who is connected.
        position: number of the first event it has not acknowledged.
    """

    def __init__(self, station: Outstation, master: str, position: int) -> None:
        self.master = master
        self.link = Link(Role.CONTROLLED, station.parameters.link)
        self.link.open(station.clock.monotonic())
        self.dirty = np.zeros(len(station.pids), dtype=np.bool_)
        self.acknowledged_event = position
        self._station = station
        self._event = position
        self._marks: deque[tuple[int, int]] = deque()
        self._frames = 0
        self._replies: deque[bytes] = deque()
        self._interrogations: dict[int, Iterator[bytes]] = {}

    @property
    def group(self) -> str:
        """Redundancy group of the master."""
        return self.master

    @property
    def pending(self) -> bool:
        """Something waits that could be sent now."""
        if self.link.room <= 0:
            return False
        return bool(self._replies or self._interrogations or self._event < self._station.next_event or self.dirty.any())

    def feed(self, data: bytes) -> list[SessionEvent]:
        """Octets from the master."""
        out: list[SessionEvent] = []
        for event in self.link.feed(data, self._station.clock.monotonic()):
            if isinstance(event, Block):
                for index in range(len(event.spans)):
                    out += self._on_asdu(event.asdu(index))
            elif isinstance(event, PhaseChanged):
                self._on_phase(event.phase)
            elif isinstance(event, Transmit | Closed):
                out.append(event)
        self._settle()
        return out + self.pump()

    def tick(self) -> list[SessionEvent]:
        """Timers; call it a few times a second."""
        events = self.link.tick(self._station.clock.monotonic())
        return [event for event in events if isinstance(event, Transmit | Closed)] + self.pump()

    def pump(self) -> list[SessionEvent]:
        """Fill the send window: answers first, then events, interrogation, measured values."""
        out: list[SessionEvent] = []
        now = self._station.clock.monotonic()
        while self.link.room > 0:
            data = self._next()
            if data is None:
                break
            out.append(self.link.send(data, now))
            self._frames += 1
            self._marks.append((self._frames, self._event))
        return out

    def _next(self) -> bytes | None:
        if self._replies:
            return self._replies.popleft()
        station = self._station
        if self._event < station.next_event:
            oldest = station.oldest_event()
            if self._event < oldest:
                station.events_lost += oldest - self._event
                self._event = oldest
            data, self._event = station.events_asdu(self._event)
            return data
        while self._interrogations:
            address, running = next(iter(self._interrogations.items()))
            data_or_end = next(running, None)
            if data_or_end is not None:
                return data_or_end
            self._interrogations.pop(address, None)
        return station.dirty_asdu(self.dirty) if self.dirty.any() else None

    def _settle(self) -> None:
        """Move the acknowledged position on."""
        done = self._frames - self.link.outstanding
        while self._marks and self._marks[0][0] <= done:
            self.acknowledged_event = self._marks.popleft()[1]
            self._station.note_delivered(self.master, self.acknowledged_event)

    def _on_phase(self, phase: Phase) -> None:
        if phase is not Phase.STARTED:
            self._interrogations.clear()
        elif self._station.needs_announcement(self.master):
            for address in self._station.common_addresses:
                self.reply(single(TypeId.M_EI_NA_1, Cause.INITIALISED, address, 0, b"\x00"))

    def reply(self, *answers: Asdu) -> None:
        """Send these before anything else."""
        self._replies.extend(answer.encode() for answer in answers)

    def _on_asdu(self, data: bytes) -> list[SessionEvent]:
        try:
            asdu = Asdu.parse(data)
        except ProtocolError as error:
            return [Remark(f"{self.master}: {error}")]
        if asdu.cause in REFUSAL:
            return [Remark(f"{self.master} refuses type {asdu.type_id}: {REFUSAL[Cause(asdu.cause)]}")]  # no answer to an answer
        if asdu.type_id not in _SERVED:
            self.reply(asdu.mirror(Cause.UNKNOWN_TYPE, negative=True))
            return []
        known = self._station.common_addresses
        addresses: tuple[int, ...] = (asdu.common_address,)
        if asdu.common_address == BROADCAST and asdu.type_id in _BROADCAST_ALLOWED:
            addresses = known
        elif asdu.common_address not in known:
            self.reply(asdu.mirror(Cause.UNKNOWN_COMMON_ADDRESS, negative=True))
            return []
        if asdu.type_id in _OBJECT_ZERO and asdu.objects[0].ioa != 0:
            self.reply(asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True))
            return []
        for address in addresses:
            self._serve(asdu.mirror(asdu.cause, common_address=address))
        return []

    def _serve(self, asdu: Asdu) -> None:
        if asdu.type_id == TypeId.C_IC_NA_1:
            self._interrogate(asdu)
        elif asdu.type_id == TypeId.C_CI_NA_1:
            self._counters(asdu)
        elif asdu.type_id == TypeId.C_RD_NA_1:
            self._read(asdu)
        elif asdu.type_id == TypeId.C_CS_NA_1:
            self._synchronise(asdu)
        elif asdu.type_id in {TypeId.C_TS_NA_1, TypeId.C_TS_TA_1}:
            right = asdu.cause == Cause.ACTIVATION
            self.reply(asdu.mirror(Cause.ACTIVATION_CON if right else Cause.UNKNOWN_CAUSE, negative=not right))
        else:
            parameters = self._station.parameters
            time = StationTime(
                self._station.now_ns(), self._station.clock.monotonic(), parameters.zone_minutes, parameters.command_age_s
            )
            self.reply(*(answer for _, answer in self._station.desk.answer(self, asdu, time)))

    def _interrogate(self, asdu: Asdu) -> None:
        station = asdu.objects[0].element[0] == GENERAL_INTERROGATION  # groups are not configured here
        if asdu.cause == Cause.DEACTIVATION:
            running = self._interrogations.pop(asdu.common_address, None) is not None
            self.reply(asdu.mirror(Cause.DEACTIVATION_CON, negative=not running))
        elif asdu.cause != Cause.ACTIVATION:
            self.reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
        elif not station:
            self.reply(asdu.mirror(Cause.ACTIVATION_CON, negative=True))
        else:
            self.reply(asdu.mirror(Cause.ACTIVATION_CON))
            self._interrogations[asdu.common_address] = self._answers(asdu)

    def _answers(self, asdu: Asdu) -> Iterator[bytes]:
        """Each ASDU is made when it is sent, so that an answer is never older than an event sent before it."""
        for type_id, rows, sequence in self._station.interrogation_plan(asdu.common_address):
            yield self._station.image_asdu(type_id, Cause.INTERROGATED, rows, sequence=sequence)
        yield asdu.mirror(Cause.ACTIVATION_TERM).encode()

    def _counters(self, asdu: Asdu) -> None:
        request, freeze = asdu.objects[0].element[0] & 0x3F, asdu.objects[0].element[0] >> 6
        if asdu.cause != Cause.ACTIVATION:
            self.reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
            return
        if request != _COUNTERS_GENERAL or not self._station.is_counter.any():
            self.reply(asdu.mirror(Cause.ACTIVATION_CON, negative=True))
            return
        self.reply(asdu.mirror(Cause.ACTIVATION_CON))
        if freeze == 0:
            self._replies.extend(self._station.counter_asdus(asdu.common_address))
        elif freeze == 3:
            self._station.reset_counters()
        else:
            self._station.freeze_counters(reset=freeze == 2)
        self.reply(asdu.mirror(Cause.ACTIVATION_TERM))

    def _read(self, asdu: Asdu) -> None:
        row = self._station.row(asdu.common_address, asdu.objects[0].ioa)
        if asdu.cause != Cause.REQUEST:
            self.reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
        elif row < 0:
            self.reply(asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True))
        else:
            type_id = int(self._station.base_type[row])
            self._replies.append(self._station.image_asdu(type_id, Cause.REQUEST, np.array([row])))

    def _synchronise(self, asdu: Asdu) -> None:
        """Confirm with the clock as it was before setting (5-101, 7.4.6.4)."""
        station = self._station
        zone = station.parameters.zone_minutes
        before = station.now_ns()
        sent_ns, _ = cp56.from_octets(asdu.objects[0].element, before, zone)
        if asdu.cause != Cause.ACTIVATION:
            self.reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
            return
        if not sent_ns:
            self.reply(asdu.mirror(Cause.ACTIVATION_CON, negative=True))
            return
        if station.parameters.follow_clock:
            station.clock_offset_ns += sent_ns - before
        octets = cp56.to_octets(before, zone)
        self.reply(single(asdu.type_id, Cause.ACTIVATION_CON, asdu.common_address, 0, octets, originator=asdu.originator))
