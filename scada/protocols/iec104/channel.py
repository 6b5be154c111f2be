"""The controlling station's application machine over one :class:`Link`: sans-I/O, the same for live links, replay and tests.

Octets and times in, :data:`Effect` out. After the connection is up it starts data transfer, synchronises the clock and
interrogates, does so again after *end of initialisation* and periodically, and carries commands. Nothing is ever repeated by
itself: a command that was on its way when the link went is reported, not sent again.

The channel itself only hands on: values to :class:`~scada.protocols.iec104.reception.Reception`, commands and their answers to
:class:`~scada.protocols.iec104.commanding.Commander`, every other request to
:class:`~scada.protocols.iec104.procedures.Procedures`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

from scada.core.errors import ProtocolError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, Point, PointKind
from scada.protocols.driver import ChannelStatistics, CommandResult, LinkState, Outcome
from scada.protocols.iec104 import orders, system_requests
from scada.protocols.iec104.asdu import COMMAND_TYPES, Asdu, Cause, TypeId
from scada.protocols.iec104.commanding import Commander, Step
from scada.protocols.iec104.effects import Disconnect, Done, Effect, Heard, Notice, Send, StateChange
from scada.protocols.iec104.link import Block, Closed, Fault, Link, LinkEvent, Phase, PhaseChanged, Role, Transmit
from scada.protocols.iec104.parameters import ChannelParameters
from scada.protocols.iec104.procedures import Procedures
from scada.protocols.iec104.reception import Reception
from scada.protocols.iec104.system_requests import REQUEST_TYPES, Request


class Channel:
    """One controlled station, or several behind one link.

    Args:
        spec: name, index and parameters of the channel.
        points: what it feeds.
        controls: what it carries.
        statistics: counters to keep; None = own ones.
        observe: look on (replay): nothing is sent, every value (unknown addresses and test included) and every other ASDU comes
            out, sequence and frame errors are reported and passed over.

    Attributes:
        common_addresses: the stations behind the link, in order.
        procedures: what has been asked and runs, for diagnosis.

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
        self.link = Link(Role.CONTROLLING, self.parameters.link, release_by_owner=not observe, report_only=observe)
        self.common_addresses, metered = _stations(points, controls)
        self.procedures = Procedures(self.parameters, self.common_addresses, metered, self.statistics)
        self._commander = Commander(self.parameters, self.statistics)
        self._reception = Reception(spec, self.parameters, points, self.statistics, observe=observe)
        self._observe = observe
        self._replies: deque[bytes] = deque()
        self._foreign: set[tuple[int, int]] = set()
        self._next_ticket = 1

    def rebind(self, points: Sequence[Point], controls: Sequence[Control], now_ns: int, mono: float) -> list[Effect]:
        """Take other points and controls, between two frames: the link, its numbers and commands under way go on.

        All values are asked for, behind an interrogation that has been answered in part already: what it brought before may be of
        points that were not known then.

        Raises:
            ConfigError: two points share an address; nothing has changed then.
        """
        self._reception.rebind(points)
        self.common_addresses, metered = _stations(points, controls)
        self.procedures.rebind(self.common_addresses, metered)
        if self.link.phase is not Phase.STARTED:
            return []  # everything is asked for when data transfer begins
        self._reception.clocks(known=self.procedures.clocks_within(self.parameters.late_s))
        self.procedures.ask_anew()
        return self._pump(now_ns, mono)

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

    def lost(self, reason: str) -> list[Effect]:
        """The connection is gone: steps that wait are reported, requests forgotten."""
        self.link.close(reason)
        return [*self._abandon(reason), StateChange(LinkState.DOWN, reason)]

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

    def _abandon(self, reason: str) -> list[Effect]:
        self._replies.clear()
        self._reception.clocks(known=False)
        return [*self._commander.lost(), *self.procedures.lost(reason)]

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
        effects += self._commander.tick(mono)
        if self.link.phase is Phase.STARTED:
            effects += self.procedures.tick(mono)
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
            return ticket, [Done(ticket, _DOWN)]
        refusal = self._commander.order(ticket, control, value, step, mono)
        if refusal is not None:
            return ticket, [Done(ticket, refusal)]
        return ticket, self._pump(now_ns, mono)

    def interrogate(self, now_ns: int, mono: float, group: int = 0) -> tuple[int, list[Effect]]:
        """Ask every station of the link for all values, or for those of a group 1 .. 16; done at the last termination."""
        return self.ask([system_requests.interrogation(address, group) for address in self.common_addresses], now_ns, mono)

    def synchronise_clock(self, now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Send every station of the link our time; done at the last confirmation."""
        return self.ask([system_requests.clock(address) for address in self.common_addresses], now_ns, mono)

    def order(self, name: str, arguments: Mapping[str, str], now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Carry out an order of :data:`~scada.protocols.iec104.orders.ORDERS`, given as text."""
        try:
            wanted = orders.parse(name, arguments, self.common_addresses, self.procedures)
        except orders.OrderError as error:
            ticket = self._ticket()
            return ticket, [Done(ticket, CommandResult(Outcome.UNSUPPORTED, f"not sent: {error.what}"))]
        return self.ask(wanted, now_ns, mono)

    def ask(self, wanted: Sequence[Request], now_ns: int, mono: float) -> tuple[int, list[Effect]]:
        """Send requests; their :class:`Done` comes when all have ended, or one has failed."""
        ticket = self._ticket()
        if self.link.phase is not Phase.STARTED:
            return ticket, [Done(ticket, _DOWN)]
        if not wanted:
            return ticket, [Done(ticket, CommandResult(Outcome.UNSUPPORTED, "the channel has no station address"))]
        self.procedures.ask(ticket, wanted)
        return ticket, self._pump(now_ns, mono)

    def _ticket(self) -> int:
        self._next_ticket += 1
        return self._next_ticket - 1

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
                    self.procedures.started(mono)
            elif isinstance(event, Fault):
                self.statistics.malformed += event.kind == "malformed"
                self.statistics.lost_frames += event.lost
                effects.append(Notice(event.kind, event.text))
            elif isinstance(event, Closed):
                self.statistics.lost_frames += event.lost
                if event.peer_fault:
                    self.statistics.malformed += 1
                    effects.append(Notice("protocol_fault", event.reason))
                effects.append(Disconnect(event.reason))
        return effects

    def _on_block(self, block: Block, now_ns: int, mono: float) -> list[Effect]:
        decoded = self._reception.decode(block, now_ns)
        effects = self._reception.deliver(decoded, now_ns)
        if decoded.answers:
            effects += self.procedures.received(decoded.records, decoded.addresses, mono)
        if decoded.late:
            effects += self.procedures.doubted(decoded.records, decoded.addresses, mono)
        for index in decoded.slow:
            try:
                asdu = Asdu.parse(block.asdu(index))
            except ProtocolError as error:
                self.statistics.malformed += 1
                effects.append(Notice("malformed", str(error)))
                continue
            effects += [Heard(asdu)] if self._observe else self._on_asdu(asdu, now_ns, mono)
        return effects

    def _on_asdu(self, asdu: Asdu, now_ns: int, mono: float) -> list[Effect]:
        if asdu.type_id in _ANSWERED and not asdu.test:
            if asdu.originator != self.parameters.originator and asdu.cause != Cause.SPONTANEOUS:
                return self._on_foreign(asdu)
            if asdu.type_id in COMMAND_TYPES:
                return self._commander.heard(asdu, mono)
            if asdu.cause in _ANSWERS:
                heard = self.procedures.heard(asdu, now_ns, mono)
                if asdu.type_id == TypeId.C_CS_NA_1:
                    limit = self.parameters.late_s
                    self._reception.clocks(
                        known=self.procedures.clocks_within(limit), changed=self.statistics.clock_skew_s > limit
                    )
                return heard
        if asdu.type_id == TypeId.M_EI_NA_1 and asdu.cause == Cause.INITIALISED and not asdu.test:
            self._reception.clocks(known=False, changed=True)
            return self.procedures.initialised(asdu)
        effects, reply = self._reception.refuse(asdu)
        if reply and len(self._replies) < _OWED:
            self._replies.append(reply)
        return effects

    def _on_foreign(self, asdu: Asdu) -> list[Effect]:
        """An answer to another master (its originator address): never taken for one to us."""
        self.statistics.refused += 1
        key = asdu.originator, asdu.type_id
        if key in self._foreign:
            return []
        self._foreign.add(key)
        ours = self.parameters.originator
        text = f"type {asdu.type_id} from CA {asdu.common_address} answers originator {asdu.originator}, we are {ours}; left out"
        return [Notice("foreign_answer", text)]

    def _pump(self, now_ns: int, mono: float) -> list[Effect]:
        """Fill the send window: commands, then answers we owe, then system_requests."""
        events: list[LinkEvent] = []
        while self.link.room > 0:
            data = self._commander.next(now_ns, mono)
            if data is None and self._replies:
                data = self._replies.popleft()
            if data is None:
                data = self.procedures.next(now_ns, mono)
            if data is None:
                break
            events.append(self.link.send(data, mono))
        return self._translate(events, now_ns, mono) if events else []


def _stations(points: Sequence[Point], controls: Sequence[Control]) -> tuple[tuple[int, ...], list[int]]:
    """Common addresses of what is behind the link, and those of them with integrated totals."""
    addresses = {point.address for point in points} | {control.address for control in controls}
    totals = {point.address for point in points if point.kind is PointKind.COUNTER}
    every, metered = (
        sorted({item.common_address for item in items if isinstance(item, Iec104Address)}) for items in (addresses, totals)
    )
    return tuple(every), metered


_OWED: Final = 1000
"""Refusals that wait for the send window at most; a station that sends more and acknowledges nothing gets no others."""
_ANSWERED: Final = COMMAND_TYPES | REQUEST_TYPES
_DOWN: Final = CommandResult(Outcome.LINK_DOWN, "not sent: the channel is down")
_ANSWERS: Final = frozenset(
    {
        Cause.SPONTANEOUS,
        Cause.ACTIVATION_CON,
        Cause.DEACTIVATION_CON,
        Cause.ACTIVATION_TERM,
        Cause.UNKNOWN_TYPE,
        Cause.UNKNOWN_CAUSE,
        Cause.UNKNOWN_COMMON_ADDRESS,
        Cause.UNKNOWN_OBJECT_ADDRESS,
    }
)
"""Causes of answers to a request; a parameter's value has others."""
