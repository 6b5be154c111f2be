"""OPC UA client behind the driver interface: one session with one subscription for all points, writes for controls.

Parameters of a channel: :mod:`scada.protocols.opcua.parameters` and docs/protocols/opcua.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from scada.core.clock import Clock
from scada.core.errors import ProtocolError, SecurityError
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Describer, Driver, LinkState, Outcome, Sink
from scada.protocols.opcua.commands import Writer, text_of
from scada.protocols.opcua.connection import FAILURES, Connection
from scada.protocols.opcua.describe import OpcUaDescriber, value_text
from scada.protocols.opcua.nodes import NodeIdError, node_id
from scada.protocols.opcua.parameters import OpcUaParameters
from scada.protocols.opcua.readings import Item, Readings
from scada.protocols.opcua.subscription import ItemSubscription, SubscriptionEndedError, Told

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_RESUME_RETRY_S: Final = 0.5
_NAMED: Final = 5
"""Variables that one notice names."""
_REMEMBERED: Final = 100_000
"""Texts that are told once; a server can make up new ones for ever."""
_ENDED: Final = (SubscriptionEndedError, UaStatusCodeError)


class OpcUaDriver(Driver):
    """One OPC UA session with one subscription.

    After each new subscription every variable is told at once (``REFRESH``); later notifications of status and double points
    carry ``EVENT``. A variable that does not exist makes its points invalid while the rest works.

    When the connection goes, the session and what the server holds for it are taken up again on a new one: missed messages are
    republished in order, then every variable is read. Only where the server no longer has them are they lost; that is counted in
    ``lost_frames``, said, and every point is marked *not topical* until it is read again. A message is acknowledged only when the
    database has taken it over.

    Attributes:
        overflows: times that a server's queue lost values of a variable (said by its status code).
    """

    orders: ClassVar[tuple[str, ...]] = ("read",)

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self._parameters = OpcUaParameters.of(spec.params, f"channel {spec.name}")
        host = f"[{spec.host}]" if ":" in spec.host else spec.host
        path = self._parameters.path
        self._url = f"opc.tcp://{host}:{spec.port}{'/' if path and path[0] != '/' else ''}{path}"
        # a simulation that runs fast does not make the line faster
        self._timeout_s = max(clock.real_delay(self._parameters.timeout_s), min(self._parameters.timeout_s, 1.0))
        self._readings = Readings(points, spec.index, spec.name)
        self._connection: Connection | None = None
        self._writer: Writer | None = None
        self._told: set[str] = set()
        self.overflows = 0

    # ------------------------------------------------------------ connection

    async def run(self) -> None:
        """Connect, subscribe, hand on; reconnect with back-off; ends only by cancellation."""
        delay = _FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self._url}")
            connects = self.statistics.connects
            reason = await self._session()
            end_if_cancelled()
            self._down(reason)
            if self.statistics.connects > connects:
                delay = _FIRST_RETRY_S
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    def _down(self, reason: str) -> None:
        self._writer = None
        self.statistics.disconnects.append((self.clock.now_ns(), reason))
        self.sink.state(LinkState.DOWN, reason)

    async def _session(self) -> str:
        """One session, over as many connections as it lives; returns why it ended."""
        connection = self._connection = Connection(
            self._url,
            self._parameters.security,
            self.clock,
            timeout_s=self._timeout_s,
            session_timeout_s=self._parameters.session_timeout_s,
            max_requests=self._parameters.max_requests,
            on_wire=self._on_wire,
        )
        try:
            await connection.open()
        except (SecurityError, ProtocolError) as error:
            self._notice("security", str(error))
            return f"cannot connect to {self._url}: {error}"
        except FAILURES as error:
            return f"cannot connect to {self._url}: {text_of(error)}"
        try:
            self._readings.resolve(connection.namespaces)
            return await self._subscriptions(connection)
        except FAILURES as error:
            return f"subscribing failed: {text_of(error)}"
        finally:
            self._connection = self._writer = None
            await connection.close()

    async def _subscriptions(self, connection: Connection) -> str:
        """Subscribe, and again as long as the server only gave up the subscription; returns why the session ended."""
        while True:
            self._readings.refresh()
            subscription = ItemSubscription(connection, self._readings, self._parameters, self.clock.real_delay(1.0))
            self._refuse(await subscription.create())
            self._readings.refuse(point for point, _ in self._readings.unreadable)
            await self._deliver()
            end_if_cancelled()
            self._up(connection)
            try:
                return await self._receive(connection, subscription)
            except SubscriptionEndedError as error:
                self._down(str(error))
                await subscription.delete()

    def _refuse(self, failed: Sequence[tuple[Item, str]]) -> None:
        """Variables that cannot be monitored: their points are invalid, the rest works. Told in one: a second is held back."""
        self._readings.refuse(point for item, _ in failed for point in item.points)
        texts = [f"point {point.path}: {reason}" for point, reason in self._readings.unreadable]
        texts += [f"{item.node.to_string()} of {item.paths}: {reason}" for item, reason in failed]
        fresh = [text for text in texts if text not in self._told]
        self._told.update(fresh)
        if fresh:
            more = f"; and {len(fresh) - _NAMED} more" if len(fresh) > _NAMED else ""
            self.sink.notice("unknown_node", "; ".join(fresh[:_NAMED]) + more)

    def _up(self, connection: Connection) -> None:
        self.statistics.connects += 1
        self._connection = connection
        self._writer = Writer(connection, read_back=self._parameters.read_back, timeout_s=self._timeout_s)
        security = self._parameters.security
        self.sink.state(LinkState.UP, f"connected to {self._url}, {security.policy.value}/{security.mode}")

    # ------------------------------------------------------------ receiving

    async def _receive(self, connection: Connection, subscription: ItemSubscription) -> str:
        """Take notifications; returns why the session ended."""
        time = asyncio.get_running_loop().time
        retry_s = self.clock.real_delay(self._parameters.retry_s)
        again = time() + retry_s
        while True:
            try:
                async with asyncio.timeout(subscription.silence_s):
                    told = await subscription.publish()
                    if subscription.failed and time() >= again:
                        again = time() + retry_s
                        self._refuse(await subscription.monitor(list(subscription.failed)))
            except SubscriptionEndedError:
                raise
            except UaStatusCodeError as error:
                return f"the server ended the session: {text_of(error)}"
            except FAILURES as error:
                end_if_cancelled()
                silent = isinstance(error, TimeoutError)
                reason = (
                    f"no keep-alive within {subscription.silence_s:.3g} s" if silent else f"connection lost: {text_of(error)}"
                )
                self._down(reason)
                if not await self._resume(connection, subscription):
                    return f"{reason}; the server no longer has our session, or is no longer trusted"
                continue
            await self._account(connection, told)

    async def _resume(self, connection: Connection, subscription: ItemSubscription) -> bool:
        """Go on with the session on a new connection, while the server may still have it; False if it has not."""
        deadline = asyncio.get_running_loop().time() + self._parameters.session_timeout_s
        while asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(self.clock.real_delay(_RESUME_RETRY_S))
            end_if_cancelled()
            try:
                if not await connection.resume():
                    return False
                async with asyncio.timeout(self._timeout_s + subscription.silence_s):
                    told = await subscription.catch_up()
                await self._account(connection, told)
                await self._read_all(connection)
            except UaStatusCodeError:
                return False
            except FAILURES:
                continue
            self._up(connection)
            return True
        return False

    async def _account(self, connection: Connection, told: Told) -> None:
        """Hand on what came, say what is missing, and read again where something is."""
        for item in told.overflowed:
            self.overflows += 1
            text = f"the server lost values of {item.node.to_string()} of {item.paths}: its queue is too short"
            self.sink.notice("queue_overflow", text)
        if told.incomplete:
            self.statistics.lost_frames += told.lost
            text = f"{told.lost} messages are lost at the server" if told.lost else "sequence numbers do not follow"
            self.sink.notice("lost_notifications", f"{text}; every variable is read again")
            self._readings.mark_all(Quality.NOT_TOPICAL)
        await self._deliver()
        if told.incomplete:
            await self._read_all(connection)

    async def _deliver(self) -> None:
        """Hand on what has gathered; returns when the database has it."""
        now = self.clock.now_ns()
        for batch in self._readings.batches(now):
            self.statistics.values_in += len(batch.records)
            self.statistics.last_receive_ns = now
            self.sink.deliver(batch)
        await self.sink.ready()

    def _on_wire(self, received: bool, data: bytes) -> None:
        statistics = self.statistics
        if received:
            statistics.bytes_in += len(data)
            statistics.frames_in += 1
        else:
            statistics.bytes_out += len(data)
            statistics.frames_out += 1
        if self.tee is not None:
            self.tee("", received, self.clock.now_ns(), data)

    def _notice(self, kind: str, text: str) -> None:
        if text not in self._told and len(self._told) < _REMEMBERED:
            self._told.add(text)
            self.sink.notice(kind, text)

    # ------------------------------------------------------------ orders

    async def interrogate(self) -> CommandResult:
        """Read every variable now."""
        connection = self._connection
        if connection is None or self._writer is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        try:
            await self._read_all(connection)
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        except UaStatusCodeError as error:
            return CommandResult(Outcome.REFUSED, f"server: {text_of(error)}")
        except FAILURES as error:
            return CommandResult(Outcome.LINK_DOWN, text_of(error))
        return CommandResult(Outcome.CONFIRMED)

    async def _read_all(self, connection: Connection) -> None:
        items = self._readings.items
        for start in range(0, len(items), self._parameters.chunk):
            part = items[start : start + self._parameters.chunk]
            found = await connection.session.read_attributes([item.node for item in part], AttributeIds.Value)
            for item, data in zip(part, found, strict=True):
                self._readings.refresh_item(item)
                self._readings.take(item, data)
            await self._deliver()
        self._readings.refuse(point for point, _ in self._readings.unreadable)
        await self._deliver()

    async def order(self, name: str, arguments: Mapping[str, str]) -> CommandResult:
        """``read``: value, type, access and times of the variable ``node`` (a node id), for commissioning."""
        connection = self._connection
        if name != "read":
            return await super().order(name, arguments)
        if connection is None or self._writer is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        try:
            node = node_id(arguments.get("node", ""), connection.namespaces)
            attributes = (AttributeIds.Value, AttributeIds.DataType, AttributeIds.UserAccessLevel)
            found = [(await connection.session.read_attributes([node], each))[0] for each in attributes]
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s")
        except (UaError, NodeIdError) as error:
            return CommandResult(Outcome.REFUSED, f"node {arguments.get('node', '')!r}: {text_of(error)}")
        except FAILURES as error:
            return CommandResult(Outcome.LINK_DOWN, text_of(error))
        return CommandResult(Outcome.CONFIRMED, value_text(*found))

    def describer(self) -> Describer:
        """Message type, service and sequence; what is encrypted stays so."""
        return OpcUaDescriber(encrypted=self._parameters.security.mode == "SignAndEncrypt")

    # ------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """Check that the variable exists, may be written by us and can take the value; OPC UA itself knows no selection."""
        writer = self._writer
        return await writer.check(control, value) if writer is not None else _NOT_CONNECTED

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Write the variable; the server's status code is the confirmation."""
        writer = self._writer
        return await writer.write(control, value) if writer is not None else _NOT_CONNECTED

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was left at the server by :meth:`select`."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the server")


_NOT_CONNECTED: Final = CommandResult(Outcome.LINK_DOWN, "not connected")
