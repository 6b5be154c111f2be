"""A recorded trace played as a controlled station, against any master: sans-I/O, carried by the same server as an outstation.

What the recorded station sent by itself (periodic, background, spontaneous, return information, end of initialisation) is sent
again at its time, octet for octet except the numbers of the frames and, if wanted, the time tags. What it answered is not played:
the master that is connected now asks its own questions, and gets its own answers from what was played so far.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from scada.core.clock import Clock
from scada.core.errors import ConfigError, ProtocolError
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import (
    BROADCAST,
    COMMAND_TYPES,
    ELEMENT_SIZE,
    GENERAL_COUNTER_REQUEST,
    GENERAL_INTERROGATION,
    HEADER,
    MAX_ASDU,
    MAX_OBJECTS,
    REFUSAL,
    Asdu,
    Cause,
    InformationObject,
    TypeId,
    untagged,
)
from scada.protocols.iec104.capture import Trace
from scada.protocols.iec104.link import Block, Closed, Link, LinkParameters, Phase, PhaseChanged, Role, Transmit
from scada.protocols.iec104.session import Remark, SessionEvent

_OWN: Final = frozenset({Cause.PERIODIC, Cause.BACKGROUND, Cause.SPONTANEOUS, Cause.RETURN_REMOTE, Cause.RETURN_LOCAL})
"""Causes of what a station sends by itself."""
_COUNTERS: Final = frozenset({15, 37})
_TRANSIENT: Final = frozenset({38, 39, 40})
"""Protection events: an occurrence, not a state; no interrogation tells them."""
_TIMED: Final = range(30, 41)
_QUALITY_AT: Final = {1: 0, 3: 0, 5: 1, 7: 4, 9: 2, 11: 2, 13: 4, 20: 4}
"""Octet of the element that carries NT, by untagged type."""
_NOT_TOPICAL: Final = 0x40
_AHEAD: Final = 64
"""ASDUs that wait for a master's window when the trace is played as fast as it goes."""
_ANSWERED: Final = frozenset({100, 101, 102, 103, 104, 107}) | COMMAND_TYPES


@dataclass(frozen=True, slots=True)
class PlayedAsdu:
    """An ASDU of the recorded station.

    Attributes:
        at_s: seconds after the first octets of the trace.
        asdu: what it said.
        own: it said so by itself; else it is an answer, and only what it says of values is used.
    """

    at_s: float
    asdu: Asdu
    own: bool


def recorded_asdus(trace: Trace, station: str = "") -> tuple[str, list[PlayedAsdu]]:
    """Everything that one recorded station said of its values, in order.

    Args:
        trace: the capture.
        station: its host; empty = the one that sent most octets.

    Raises:
        ConfigError: the trace has no such station, or it sent no values.
    """
    octets: dict[str, int] = {}
    for chunk in trace.chunks:
        if trace.from_station(chunk):
            octets[trace.station(chunk)] = octets.get(trace.station(chunk), 0) + len(chunk.data)
    if station not in octets and (station or not octets):
        known = ", ".join(sorted(octets)) or "none"
        raise ConfigError(f"the trace has no station {station!r}", where=str(trace.path), mend=f"there are: {known}")
    chosen = station or max(octets, key=lambda host: octets[host])
    played = [one for one in _read(trace, chosen) if one.asdu.objects]
    if not any(one.own for one in played):
        raise ConfigError(f"station {chosen} sent no values by itself", where=str(trace.path), mend="choose another --station")
    return chosen, played


def _read(trace: Trace, station: str) -> Iterator[PlayedAsdu]:
    links: dict[int, Link] = {}
    for chunk in trace.chunks:
        if not trace.from_station(chunk) or trace.station(chunk) != station:
            continue
        link = links.get(chunk.stream)
        if link is None:
            link = links[chunk.stream] = Link(Role.CONTROLLING, report_only=True)
            link.open(0.0)
        if not chunk.continues:
            link.gap(chunk.lost)
        at_s = max(0, chunk.time_ns - trace.start_ns) / 1e9
        for event in link.feed(chunk.data, at_s):
            if isinstance(event, Block):
                yield from _asdus(event, at_s)


def _asdus(block: Block, at_s: float) -> Iterator[PlayedAsdu]:
    for index in range(len(block.spans)):
        try:
            asdu = Asdu.parse(block.asdu(index))
        except ProtocolError:
            continue  # a malformed frame says nothing
        value = asdu.type_id <= 40 and not asdu.negative and not asdu.test
        if value or asdu.type_id == TypeId.M_EI_NA_1:
            yield PlayedAsdu(at_s, asdu, asdu.cause in _OWN or asdu.type_id == TypeId.M_EI_NA_1)


class TracePlayer:
    """A station that says what was recorded. The time line begins with the first master and stands while there is none.

    Args:
        trace: the capture.
        clock: paces it.
        station: host of the recorded station; empty = the one that sent most.
        speed: recorded seconds a second; infinite = as fast as the master takes it.
        loop: begin again at the end.
        retime: move the time tags, so that they are as old now as they were then; else they are sent as recorded.
        accept_commands: confirm commands (nothing moves); else they are refused.
        parameters: windows and time-outs.

    Raises:
        ConfigError: the trace has no such station, or it sent no values by itself.
    """

    def __init__(
        self,
        trace: Trace,
        clock: Clock,
        *,
        station: str = "",
        speed: float = 1.0,
        loop: bool = False,
        retime: bool = False,
        accept_commands: bool = False,
        parameters: LinkParameters | None = None,
    ) -> None:
        self.clock = clock
        self.station, self._played = recorded_asdus(trace, station)
        self.parameters = parameters or LinkParameters()
        self.accept_commands = accept_commands
        self.sessions: list[PlayerSession] = []
        self.wake: Callable[[], None] | None = None
        self.sent = self.rounds = 0
        """ASDUs played, and whole passes through the trace."""
        self._start_ns, self._speed, self._loop, self._retime = trace.start_ns, speed, loop, retime
        self._position_s = 0.0
        self._at = 0
        self._beat = clock.monotonic()
        self._image: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._learn_first()
        self.common_addresses = tuple(sorted({one.asdu.common_address for one in self._played}))

    @property
    def finished(self) -> bool:
        """Everything was played, and nothing waits to be sent."""
        return self._at >= len(self._played) and not self._loop and not any(session.waiting for session in self.sessions)

    @property
    def length(self) -> int:
        """ASDUs that the station sends by itself in one pass."""
        return sum(one.own for one in self._played)

    def connect(self, host: str, *, names: Sequence[str] = (), peer: str = "") -> PlayerSession:
        """A master has connected; every one is served."""
        del names
        session = PlayerSession(self, peer or host)
        self.sessions.append(session)
        return session

    def disconnect(self, session: PlayerSession) -> None:
        """A connection is gone."""
        if session in self.sessions:
            self.sessions.remove(session)

    def _learn_first(self) -> None:
        """Before an address was heard of in the trace it is not topical, with the first value that was heard."""
        for one in self._played:
            for item in one.asdu.objects:
                key = one.asdu.common_address, item.ioa
                if key not in self._image and one.asdu.type_id <= 40:
                    type_id, element = _untimed(one.asdu.type_id, item.element)
                    at = _QUALITY_AT.get(type_id)
                    if at is not None:
                        element = element[:at] + bytes([element[at] | _NOT_TOPICAL]) + element[at + 1 :]
                    self._image[key] = type_id, element

    # ------------------------------------------------------------------ the time line

    def advance(self) -> None:
        """Hand what is due to every master whose data transfer is started."""
        now = self.clock.monotonic()
        elapsed, self._beat = now - self._beat, now
        started = [session for session in self.sessions if session.link.phase is Phase.STARTED]
        if not started:
            return
        flat_out = math.isinf(self._speed)
        self._position_s += 0.0 if flat_out else elapsed * self._speed
        while self._at < len(self._played) or self._rewind():
            one = self._played[self._at]
            waiting = max(len(session.waiting) for session in started)
            if (one.at_s > self._position_s and not flat_out) or (flat_out and waiting >= _AHEAD):
                return
            self._at += 1
            self._play(one, started)

    def _rewind(self) -> bool:
        if self._at < len(self._played) or not self._loop:
            return False
        # what was recorded in one instant has no length: it begins again a second later, not at once and for ever
        self._at, self._position_s = 0, 0.0 if self._played[-1].at_s > 0 else -1.0
        self.rounds += 1
        return True

    def _play(self, one: PlayedAsdu, started: list[PlayerSession]) -> None:
        asdu = self._retimed(one) if self._retime and one.asdu.type_id in _TIMED else one.asdu
        for item in asdu.objects if asdu.type_id <= 40 else ():
            self._image[asdu.common_address, item.ioa] = _untimed(asdu.type_id, item.element)
        if one.own:
            self.sent += 1
            for session in started:
                session.waiting.append(asdu.encode())

    def _retimed(self, one: PlayedAsdu) -> Asdu:
        """The ASDU with time tags as far from now as they were from its recording."""
        moved = self.clock.now_ns() - (self._start_ns + round(one.at_s * 1e9))
        objects = tuple(InformationObject(item.ioa, _moved(item.element, moved, self._start_ns)) for item in one.asdu.objects)
        # single addresses: an ASDU of addresses in sequence has the same objects
        return replace(one.asdu, objects=objects, body=b"", sequence=False)

    # ------------------------------------------------------------------ what masters ask

    def interrogated(self, common_address: int, *, counters: bool) -> Iterator[bytes]:
        """The values of a station as far as they were played, as answers to an interrogation."""
        wanted = [
            (type_id, ioa, element)
            for (address, ioa), (type_id, element) in self._image.items()
            if address == common_address and type_id not in _TRANSIENT and (type_id in _COUNTERS) == counters
        ]
        cause = Cause.COUNTER_INTERROGATED if counters else Cause.INTERROGATED
        for type_id, rows in groupby(sorted(wanted), key=lambda row: row[0]):
            objects = [InformationObject(ioa, element) for _, ioa, element in rows]
            step = min(MAX_OBJECTS, (MAX_ASDU - HEADER) // (3 + ELEMENT_SIZE[type_id]))
            for at in range(0, len(objects), step):
                yield Asdu(type_id, cause, common_address, tuple(objects[at : at + step])).encode()

    def value(self, common_address: int, ioa: int) -> bytes | None:
        """The value of one object as an answer to a read; None if there is none."""
        held = self._image.get((common_address, ioa))
        if held is None:
            return None
        return Asdu(held[0], Cause.REQUEST, common_address, (InformationObject(ioa, held[1]),)).encode()


class PlayerSession:
    """One master's connection. Made by :meth:`TracePlayer.connect`."""

    def __init__(self, player: TracePlayer, master: str) -> None:
        self.master = master
        self.link = Link(Role.CONTROLLED, player.parameters)
        self.link.open(player.clock.monotonic())
        self.waiting: deque[bytes] = deque()
        """Played ASDUs that have not been sent."""
        self._player = player
        self._replies: deque[bytes] = deque()

    def feed(self, data: bytes) -> list[SessionEvent]:
        """Octets from the master."""
        out: list[SessionEvent] = []
        for event in self.link.feed(data, self._player.clock.monotonic()):
            if isinstance(event, Block):
                for index in range(len(event.spans)):
                    out += self._on_asdu(event.asdu(index))
            elif isinstance(event, PhaseChanged) and event.phase is not Phase.STARTED:
                self._replies.clear()
            elif isinstance(event, Transmit | Closed):
                out.append(event)
        return out + self.pump()

    def tick(self) -> list[SessionEvent]:
        """Timers, and what is due."""
        events = self.link.tick(self._player.clock.monotonic())
        return [event for event in events if isinstance(event, Transmit | Closed)] + self.pump()

    def pump(self) -> list[SessionEvent]:
        """Fill the send window, answers first."""
        out: list[SessionEvent] = []
        now = self._player.clock.monotonic()
        self._player.advance()
        while self.link.room > 0 and (self._replies or self.waiting):
            out.append(self.link.send((self._replies or self.waiting).popleft(), now))
            if not self.waiting:
                self._player.advance()
        return out

    def _on_asdu(self, data: bytes) -> list[SessionEvent]:
        try:
            asdu = Asdu.parse(data)
        except ProtocolError as error:
            return [Remark(f"{self.master}: {error}")]
        if asdu.cause in REFUSAL:
            return [Remark(f"{self.master} refuses type {asdu.type_id}: {REFUSAL[Cause(asdu.cause)]}")]
        known = self._player.common_addresses
        if asdu.type_id not in _ANSWERED:
            self._reply(asdu.mirror(Cause.UNKNOWN_TYPE, negative=True))
        elif asdu.common_address == BROADCAST and asdu.type_id in {100, 101, 103}:
            for address in known:
                self._serve(asdu.mirror(asdu.cause, common_address=address))
        elif asdu.common_address not in known:
            self._reply(asdu.mirror(Cause.UNKNOWN_COMMON_ADDRESS, negative=True))
        else:
            self._serve(asdu)
        return []

    def _reply(self, asdu: Asdu) -> None:
        self._replies.append(asdu.encode())

    def _serve(self, asdu: Asdu) -> None:
        if asdu.type_id == TypeId.C_RD_NA_1:
            value = self._player.value(asdu.common_address, asdu.objects[0].ioa)
            self._replies.append(value or asdu.mirror(Cause.UNKNOWN_OBJECT_ADDRESS, negative=True).encode())
        elif asdu.cause == Cause.DEACTIVATION:
            self._reply(asdu.mirror(Cause.DEACTIVATION_CON, negative=True))
        elif asdu.cause != Cause.ACTIVATION:
            self._reply(asdu.mirror(Cause.UNKNOWN_CAUSE, negative=True))
        elif asdu.type_id in {TypeId.C_IC_NA_1, TypeId.C_CI_NA_1}:
            self._interrogate(asdu)
        elif asdu.type_id in COMMAND_TYPES:
            accepted = self._player.accept_commands
            self._reply(asdu.mirror(Cause.ACTIVATION_CON, negative=not accepted))
            if accepted:
                self._reply(asdu.mirror(Cause.ACTIVATION_TERM))
        else:  # clock synchronisation and tests
            self._reply(asdu.mirror(Cause.ACTIVATION_CON))

    def _interrogate(self, asdu: Asdu) -> None:
        counters = asdu.type_id == TypeId.C_CI_NA_1
        asked = asdu.objects[0].element[0]
        end = asdu.mirror(Cause.ACTIVATION_TERM).encode()
        running = end in self._replies
        if running or asked != (GENERAL_COUNTER_REQUEST if counters else GENERAL_INTERROGATION):
            self._reply(asdu.mirror(Cause.ACTIVATION_CON, negative=True))
            return
        self._reply(asdu.mirror(Cause.ACTIVATION_CON))
        self._replies.extend(self._player.interrogated(asdu.common_address, counters=counters))
        self._replies.append(end)


def _untimed(type_id: int, element: bytes) -> tuple[int, bytes]:
    """Type and element without the time tag."""
    if type_id in range(30, 38):
        return untagged(type_id), element[: -cp56.SIZE]
    return type_id, element


def _moved(element: bytes, by_ns: int, near_ns: int) -> bytes:
    """An element with its time tag moved; one that is invalid stays as it is."""
    octets = element[-cp56.SIZE :]
    time_ns, _ = cp56.from_octets(octets, near_ns)
    if not time_ns:
        return element
    fresh = bytearray(cp56.to_octets(time_ns + by_ns))
    fresh[2] |= octets[2] & 0x40  # GEN: substituted time
    fresh[3] |= octets[3] & 0x80  # SU
    return element[: -cp56.SIZE] + bytes(fresh)
