"""The controlling station's application machine over one :class:`Link`: sans-I/O, the same for live links, replay and tests.

Octets and times in, :data:`Effect` out. After the connection is up it starts data transfer, synchronises the clock and
interrogates, does so again after *end of initialisation* and periodically, and carries commands. Nothing is ever repeated by
itself: a command that was on its way when the link went is reported, not sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.core.batch import NO_PID, PointBatch
from scada.core.errors import ProtocolError
from scada.model_cim.tables import ChannelSpec, Control, Iec104Address, Point, PointKind
from scada.protocols.driver import ChannelStatistics, CommandResult, LinkState, Outcome
from scada.protocols.iec104 import cp56
from scada.protocols.iec104.asdu import (
    BROADCAST,
    COMMAND_TYPES,
    ELEMENT_SIZE,
    GENERAL_COUNTER_REQUEST,
    GENERAL_INTERROGATION,
    REFUSAL,
    Asdu,
    Cause,
    TypeId,
    single,
)
from scada.protocols.iec104.codec import AddressTable, Decoder, address_text
from scada.protocols.iec104.commanding import Pending, Step, judge, link_lost, prepare, timed_out
from scada.protocols.iec104.effects import (
    ChannelParameters,
    Disconnect,
    Done,
    Effect,
    Heard,
    Notice,
    Send,
    StateChange,
    Values,
)
from scada.protocols.iec104.link import Block, Closed, Fault, Link, LinkEvent, Phase, PhaseChanged, Role, Transmit

_REMEMBERED: Final = 10_000
"""Unknown addresses of which the first value is told; more are only counted."""

_PROCEDURES: Final[dict[int, str]] = {
    TypeId.C_IC_NA_1: "interrogation",
    TypeId.C_CI_NA_1: "counter_interrogation",
    TypeId.C_CS_NA_1: "clock_sync",
}
"""What we ask of a station by itself, and its name in notices."""

_CONFIRMED: Final = CommandResult(Outcome.CONFIRMED)


@dataclass(slots=True)
class _Procedure:
    """A station interrogation or clock synchronisation of one common address."""

    type_id: int
    deadline: float
    sent: float
    confirmed: bool = False


class Channel:
    """One controlled station, or several behind one link.

    Args:
        spec: name, index and parameters of the channel.
        points: what it feeds.
        controls: what it carries.
        statistics: counters to keep; None = own ones.
        observe: look on (replay): nothing is sent, every value (unknown addresses and test included) and every other ASDU comes
            out, sequence and frame errors are reported and passed over.

    Raises:
        ConfigError: two points share an address, or a parameter is wrong.
    """

    def __init__(
        self,
        spec: ChannelSpec,
        points: Sequence[Point],
        controls: Sequence[Control],
        *,
        statistics: ChannelStatistics | None = None,
        observe: bool = False,
    ) -> None:
        self.spec = spec
        self.parameters = ChannelParameters.of(spec)
        self.statistics = statistics or ChannelStatistics()
        self.clock_skew_s = float("nan")
        """What the station's clock was ahead of ours when it last confirmed a synchronisation."""
        self.tests = 0
        """Values under test that were left out."""
        self.link = Link(Role.CONTROLLING, self.parameters.link, release_by_owner=not observe, report_only=observe)
        self._observe = observe
        self._decoder = Decoder(
            AddressTable(points),
            spec.index,
            zone_minutes=self.parameters.time_zone_minutes,
            summer_minutes=self.parameters.summer_minutes,
            keep_tests=observe,
        )
        addresses = {point.address for point in points} | {control.address for control in controls}
        self.common_addresses = tuple(sorted({item.common_address for item in addresses if isinstance(item, Iec104Address)}))
        totals = {point.address for point in points if point.kind is PointKind.COUNTER}
        self._counter_addresses = tuple(sorted({item.common_address for item in totals if isinstance(item, Iec104Address)}))
        self._reported: set[int] = set()
        self._next_ticket = 1
        self._forget()

    def _forget(self) -> None:
        self._orders: deque[Pending] = deque()
        self._requests: deque[Callable[[int], bytes]] = deque()
        self._commands: dict[tuple[int, int], Pending] = {}
        self._procedures: dict[tuple[int, int], _Procedure] = {}
        self._waiting: dict[int, set[tuple[int, int]]] = {}
        self._next_interrogation = self._next_counters = self._next_synchronisation = float("inf")

    # ------------------------------------------------------------------ connection

    def connected(self, mono: float) -> list[Effect]:
        """The TCP connection is up."""
        self.link.open(mono)
        if self._observe:
            return []
        return [
            StateChange(LinkState.STANDBY, "connected, data transfer is being started"),
            *self._translate(self.link.start(mono), 0, mono),
        ]

    def adopt(self, link: Link, reason: str, mono: float) -> list[Effect]:
        """Speak over another connection from now on, and start data transfer on it.

        Steps and requests under way are reported as lost and forgotten: nothing is repeated on the new connection.

        Args:
            link: machine of a connection that is open with data transfer stopped (:class:`~.redundancy.Redundancy`).
            reason: why the one before was left; "" = there was none.
            mono: monotonic seconds.
        """
        effects = self._abandon(reason)
        self.link = link
        return [*effects, *self._translate(link.start(mono), 0, mono)]

    def lost(self, reason: str) -> list[Effect]:
        """The connection is gone: steps that wait are reported, requests forgotten."""
        self.link.close(reason)
        return [*self._abandon(reason), StateChange(LinkState.DOWN, reason)]

    def _abandon(self, reason: str) -> list[Effect]:
        effects: list[Effect] = [Done(pending.ticket, link_lost(pending)) for pending in self._commands.values()]
        effects += [
            Done(ticket, CommandResult(Outcome.LINK_DOWN, f"the connection was lost: {reason}")) for ticket in self._waiting
        ]
        self._forget()
        return effects

    def shutdown(self, mono: float) -> list[Effect]:
        """Ask the station to stop data transfer, before the connection is closed on purpose."""
        if self.link.phase is not Phase.STARTED:
            return []
        return self._translate(self.link.stop(mono), 0, mono)

    def feed(self, data: bytes, now_ns: int, mono: float) -> list[Effect]:
        """Octets of one read; the values in them come out as one batch."""
        self.statistics.bytes_in += len(data)
        self.statistics.last_receive_ns = now_ns
        before = self.link.frames_in
        effects = self._translate(self.link.feed(data, mono), now_ns, mono)
        self.statistics.frames_in += self.link.frames_in - before
        return effects + self._pump(now_ns, mono)

    def delivered(self, mono: float) -> list[Effect]:
        """Everything fed so far has been taken over; only now may it be acknowledged to the station."""
        return self._translate(self.link.release(mono), 0, mono)

    def tick(self, now_ns: int, mono: float) -> list[Effect]:
        """Timers; call it a few times a second."""
        effects = self._translate(self.link.tick(mono), now_ns, mono)
        for pending in [item for item in self._commands.values() if mono >= item.deadline]:
            effects.append(self._end(pending, timed_out(pending)))
        for key, procedure in [item for item in self._procedures.items() if mono >= item[1].deadline]:
            effects += self._fail(key, procedure)
        if self.link.phase is Phase.STARTED:
            if mono >= self._next_synchronisation:
                self._ask_time(self.common_addresses, mono)
            if mono >= self._next_interrogation:
                self._ask_values(self.common_addresses, mono)
            if mono >= self._next_counters:
                self._ask_counters(self._counter_addresses, mono)
        return effects + self._pump(now_ns, mono)

    # ------------------------------------------------------------------ what we may be asked for

    def command(self, control: Control, value: float, step: Step, now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Send one step of a command; its :class:`Done` carries the returned ticket.

        Args:
            control: what to operate; one step an object at a time.
            value: engineering units.
            step: select, execute or cancel.
            now_ns: ns UTC.
            mono: monotonic seconds.
        """
        ticket = self._ticket()
        if self.link.phase is not Phase.STARTED:
            return ticket, [Done(ticket, CommandResult(Outcome.LINK_DOWN, "not sent: the channel is down"))]
        parameters = self.parameters
        try:
            pending = prepare(ticket, control, value, step, parameters.command_qualifier, mono + parameters.command_timeout_s)
        except ValueError as error:
            return ticket, [Done(ticket, CommandResult(Outcome.UNSUPPORTED, f"not sent: {error}"))]
        if pending.key in self._commands:
            return ticket, [Done(ticket, CommandResult(Outcome.REFUSED, "not sent: another step of this object waits"))]
        self._commands[pending.key] = pending
        self._orders.append(pending)
        return ticket, self._pump(now_ns, mono)

    def interrogate(self, now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Ask every station of the link for all values; done at the last termination."""
        return self._request(self._ask_values, now_ns, mono)

    def synchronise_clock(self, now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Send every station of the link our time; done at the last confirmation."""
        return self._request(self._ask_time, now_ns, mono)

    def _request(
        self, ask: Callable[[Sequence[int], float], set[tuple[int, int]]], now_ns: int, mono: float
    ) -> tuple[int, list[Effect]]:
        ticket = self._ticket()
        if self.link.phase is not Phase.STARTED:
            return ticket, [Done(ticket, CommandResult(Outcome.LINK_DOWN, "not sent: the channel is down"))]
        if not self.common_addresses:
            return ticket, [Done(ticket, CommandResult(Outcome.UNSUPPORTED, "the channel has no station address"))]
        self._waiting[ticket] = ask(self.common_addresses, mono)
        return ticket, self._pump(now_ns, mono)

    def _ticket(self) -> int:
        self._next_ticket += 1
        return self._next_ticket - 1

    # ------------------------------------------------------------------ procedures

    def _ask_values(self, addresses: Sequence[int], mono: float) -> set[tuple[int, int]]:
        period = self.parameters.interrogation_s
        self._next_interrogation = mono + period if period else float("inf")
        return self._ask(TypeId.C_IC_NA_1, addresses, mono, lambda _: bytes([GENERAL_INTERROGATION]))

    def _ask_counters(self, addresses: Sequence[int], mono: float) -> set[tuple[int, int]]:
        """Read the integrated totals as they stand (general request, no freeze)."""
        period = self.parameters.counter_interrogation_s
        self._next_counters = mono + period if period and addresses else float("inf")
        return self._ask(TypeId.C_CI_NA_1, addresses, mono, lambda _: bytes([GENERAL_COUNTER_REQUEST]))

    def _ask_time(self, addresses: Sequence[int], mono: float) -> set[tuple[int, int]]:
        period = self.parameters.clock_sync_s
        self._next_synchronisation = mono + period if period else float("inf")
        return self._ask(
            TypeId.C_CS_NA_1, addresses, mono, lambda now_ns: cp56.to_octets(now_ns, self.parameters.time_zone_minutes)
        )

    def _ask(self, type_id: int, addresses: Sequence[int], mono: float, element: Callable[[int], bytes]) -> set[tuple[int, int]]:
        timeout = self.parameters.command_timeout_s
        for address in addresses:
            self._procedures[type_id, address] = _Procedure(type_id, mono + timeout, mono)
        everywhere = bool(self.parameters.broadcast) and tuple(addresses) == self.common_addresses

        def make(address: int) -> Callable[[int], bytes]:
            originator = self.parameters.originator
            return lambda now_ns: single(type_id, Cause.ACTIVATION, address, 0, element(now_ns), originator=originator).encode()

        self._requests.extend(make(address) for address in ((BROADCAST,) if everywhere else addresses))
        return {(type_id, address) for address in addresses}

    def _started(self, mono: float) -> None:
        if self.parameters.clock_sync_s:
            self._ask_time(self.common_addresses, mono)
        self._ask_values(self.common_addresses, mono)
        self._ask_counters(self._counter_addresses, mono)

    def _finish(self, key: tuple[int, int], result: CommandResult) -> list[Effect]:
        self._procedures.pop(key, None)
        effects: list[Effect] = []
        for ticket, keys in list(self._waiting.items()):
            if key not in keys:
                continue
            keys.discard(key)
            if not keys or result.outcome is not Outcome.CONFIRMED:
                del self._waiting[ticket]
                effects.append(Done(ticket, result))
        return effects

    def _fail(self, key: tuple[int, int], procedure: _Procedure) -> list[Effect]:
        name = _PROCEDURES[procedure.type_id]
        what = "was confirmed but not terminated" if procedure.confirmed else "was not confirmed"
        text = f"{name.replace('_', ' ')} of CA {key[1]} {what} in time"
        return [Notice(f"{name}_timeout", text), *self._finish(key, CommandResult(Outcome.TIMEOUT, text))]

    def _on_procedure(self, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        """Answers to interrogation and clock synchronisation."""
        if asdu.common_address == BROADCAST:
            keys = [key for key in self._procedures if key[0] == asdu.type_id]
        else:
            keys = [(asdu.type_id, asdu.common_address)]
        effects: list[Effect] = []
        for key in keys:
            procedure = self._procedures.get(key)
            if procedure is not None:
                effects += self._advance(key, procedure, asdu, now_ns, mono)
        return effects

    def _advance(self, key: tuple[int, int], procedure: _Procedure, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        interrogation = asdu.type_id != TypeId.C_CS_NA_1
        if asdu.cause in REFUSAL or asdu.negative:
            why = REFUSAL[Cause(asdu.cause)] if asdu.cause in REFUSAL else "negative confirmation"
            name = _PROCEDURES[asdu.type_id]
            text = f"CA {key[1]} refused the {name.replace('_', ' ')}: {why}"
            return [Notice(f"{name}_refused", text), *self._finish(key, CommandResult(Outcome.REFUSED, text))]
        if asdu.cause == Cause.ACTIVATION_CON:
            self.statistics.round_trip_s = mono - procedure.sent
            if not interrogation:
                zone, summer = self.parameters.time_zone_minutes, self.parameters.summer_minutes
                theirs, _ = cp56.from_octets(asdu.objects[0].element, now_ns, zone, summer)
                self.clock_skew_s = (theirs - now_ns) / 1e9 if theirs else float("nan")
                return self._finish(key, _CONFIRMED)
            procedure.confirmed = True
            procedure.deadline = mono + self.parameters.interrogation_timeout_s
        elif asdu.cause == Cause.ACTIVATION_TERM and interrogation:
            return self._finish(key, _CONFIRMED)
        return []

    # ------------------------------------------------------------------ commands

    def _end(self, pending: Pending, result: CommandResult) -> Effect:
        pending.done = True
        del self._commands[pending.key]
        return Done(pending.ticket, result)

    def _on_command(self, asdu: Asdu) -> list[Effect]:
        key = asdu.common_address, asdu.objects[0].ioa
        name = f"command type {asdu.type_id} to CA {key[0]} IOA {key[1]}"
        pending = self._commands.get(key)
        if pending is not None and pending.sent and _type_of(pending.control) == asdu.type_id and not asdu.test:
            result = judge(pending, asdu)
            if result is not None:
                return [self._end(pending, result)]
        if asdu.cause == Cause.ACTIVATION_TERM:
            return [Notice("command_terminated", f"{name} ended negatively")] if asdu.negative else []
        return [Notice("stray_confirmation", f"{name}: answer with cause {asdu.cause} that no step waits for")]

    # ------------------------------------------------------------------ inside

    def _translate(self, events: Sequence[LinkEvent], now_ns: int, mono: float) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            if isinstance(event, Transmit):
                self.statistics.frames_out += 1
                self.statistics.bytes_out += len(event.data)
                effects.append(Send(event.data))
            elif isinstance(event, Block):
                effects += self._on_block(event, now_ns, mono)
            elif isinstance(event, PhaseChanged):
                if event.phase is Phase.STARTED:
                    effects.append(StateChange(LinkState.UP, "data transfer started"))
                    self._started(mono)
            elif isinstance(event, Fault):
                self.statistics.malformed += event.kind == "malformed"
                effects.append(Notice(event.kind, event.text))
            elif isinstance(event, Closed):
                if event.peer_fault:
                    self.statistics.malformed += 1
                    effects.append(Notice("protocol_fault", event.reason))
                effects.append(Disconnect(event.reason))
        return effects

    def _on_block(self, block: Block, now_ns: int, mono: float) -> list[Effect]:
        decoded = self._decoder.decode(block.buf, block.spans, block.objects, now_ns)
        effects: list[Effect] = []
        self.tests += decoded.tests
        records, addresses = decoded.records, decoded.addresses
        if decoded.unknown and not self._observe:
            known = records["pid"] != NO_PID
            effects += self._on_unknown(addresses[~known], records["type_id"][~known])
            records, addresses = records[known], addresses[known]
        if len(records):
            self.statistics.values_in += len(records)
            effects.append(Values(PointBatch(records, now_ns, self.spec.name), addresses))
        for index in decoded.slow:
            try:
                asdu = Asdu.parse(block.asdu(index))
            except ProtocolError as error:
                self.statistics.malformed += 1
                effects.append(Notice("malformed", str(error)))
                continue
            effects += [Heard(asdu)] if self._observe else self._on_asdu(asdu, now_ns, mono)
        return effects

    def _on_unknown(self, addresses: npt.NDArray[np.int64], types: npt.NDArray[np.uint8]) -> list[Effect]:
        self.statistics.unknown_addresses += len(addresses)
        effects: list[Effect] = []
        for key, type_id in zip(addresses.tolist(), types.tolist(), strict=True):
            if key in self._reported or len(self._reported) >= _REMEMBERED:
                continue
            self._reported.add(key)
            point = self._decoder.table.addresses.get(key)
            if point is None:
                text = f"{address_text(key)} (type {type_id}) is not in the model; its values are left out"
                effects.append(Notice("unknown_address", text))
            else:
                assert isinstance(point.address, Iec104Address)
                text = f"{point.path}: type {type_id} came, the model has {point.address.type_id}; its values are left out"
                effects.append(Notice("type_mismatch", text))
        return effects

    def _on_asdu(self, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        if asdu.type_id in COMMAND_TYPES:
            return self._on_command(asdu)
        if asdu.type_id in _PROCEDURES:
            return self._on_procedure(asdu, now_ns, mono)
        if asdu.type_id == TypeId.M_EI_NA_1:
            known = tuple(address for address in (asdu.common_address,) if address in self.common_addresses)
            if self.parameters.clock_sync_s and known:
                self._ask_time(known, mono)
            if known:
                self._ask_values(known, mono)
                self._ask_counters(tuple(address for address in known if address in self._counter_addresses), mono)
            return [Notice("end_of_initialisation", f"CA {asdu.common_address} has started (cause {asdu.objects[0].element[0]})")]
        if asdu.type_id not in ELEMENT_SIZE and asdu.cause not in REFUSAL:
            # file transfer (120 .. 127) and private types: say so, and go on
            self._requests.append(lambda _: asdu.mirror(Cause.UNKNOWN_TYPE, negative=True).encode())
            return [Notice("unsupported_type", f"type {asdu.type_id} from CA {asdu.common_address} is not supported; refused")]
        return [Notice("unexpected_asdu", f"type {asdu.type_id} with cause {asdu.cause} from CA {asdu.common_address}")]

    def _pump(self, now_ns: int, mono: float) -> list[Effect]:
        """Fill the send window, commands first."""
        events: list[LinkEvent] = []
        while (self._orders or self._requests) and self.link.room > 0:
            if self._orders:
                pending = self._orders.popleft()
                if pending.done:
                    continue
                pending.sent = True
                data = pending.encode(now_ns, self.parameters.time_zone_minutes, self.parameters.originator)
            else:
                data = self._requests.popleft()(now_ns)
            events.append(self.link.send(data, mono))
        return self._translate(events, now_ns, mono) if events else []


def _type_of(control: Control) -> int:
    assert isinstance(control.address, Iec104Address)
    return control.address.type_id
