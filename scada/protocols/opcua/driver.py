"""OPC UA client behind the driver interface: one subscription for all points, writes for controls.

Channel parameters: ``publishing_ms`` (100) publishing and sampling interval, ``timeout_s`` (4), ``path`` appended to the address.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Sequence
from typing import Any, Final

import numpy as np
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeEvent, OverflowPolicy, StatusChangeEvent, Subscription
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from scada.core.batch import POINT_DTYPE, PointBatch, RecordFlag
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec, Control, OpcUaAddress, Point, PointKind
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Driver, LinkState, Outcome, Sink
from scada.protocols.opcua.values import OpcUaValueError, lost_values, nanoseconds, number, quality_of, variant

# The library logs every lost connection with a traceback; what an operator needs of it goes through the sink.
logging.getLogger("asyncua").setLevel(logging.CRITICAL)

FLUSH_S: Final = 0.02
FLUSH_RECORDS: Final = 2000
QUEUE: Final = 200_000
"""Notifications that may wait for us. If they ever overflow, the connection is made anew, so that nothing is lost in silence."""
STATUS_QUEUE: Final = 100
"""Changes of one status variable that the server keeps between two publishings."""
_SUBSCRIBE_CHUNK: Final = 1000
_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_STATUS_KINDS: Final = (PointKind.STATUS, PointKind.DOUBLE)

_Failures = (OSError, TimeoutError, UaError)
"""What the library raises when a server is not there, does not answer, or answers no."""


class OpcUaDriver(Driver):
    """One OPC UA session with one subscription.

    After each connect every variable is subscribed again and told at once (``REFRESH``); later notifications of status and double
    points carry ``EVENT``. A variable that does not exist makes its points invalid while the rest works.

    Attributes:
        overflows: times that values were lost in a queue, here or at the server (said by its status code).
    """

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self._publishing_ms = self._parameter("publishing_ms", 100.0, 10.0, 3_600_000.0)
        self._timeout_s = self._parameter("timeout_s", 4.0, 0.05, 300.0)
        self._url = f"opc.tcp://{spec.host}:{spec.port}{spec.params.get('path', '')}"
        self.overflows = 0
        self._by_node: dict[ua.NodeId, list[Point]] = {}
        self._last = {point.pid: math.nan for point in points}
        self._fresh: set[int] = set()
        self._client: Client | None = None
        self._types: dict[str, ua.VariantType] = {}
        self._waiting: list[tuple[int, float, int, int, int]] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Future[str] | None = None
        self._told: set[str] = set()

    def _parameter(self, name: str, default: float, low: float, high: float) -> float:
        raw = self.spec.params.get(name, default)
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            where = f"channel {self.spec.name}"
            raise ConfigError(f"parameter {name} = {raw!r} is not a number in {low:g}..{high:g}", where=where, mend="correct it")
        return value

    # ------------------------------------------------------------ connection

    async def run(self) -> None:
        """Connect, subscribe, hand on; reconnect with back-off; ends only by cancellation."""
        self._read_addresses()
        delay = _FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self._url}")
            connects = self.statistics.connects
            reason = await self._session()
            end_if_cancelled()
            self.statistics.disconnects.append((self.clock.now_ns(), reason))
            self.sink.state(LinkState.DOWN, reason)
            if self.statistics.connects > connects:
                delay = _FIRST_RETRY_S
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    async def _session(self) -> str:
        """One session from connect to loss; returns why it ended."""
        # a simulation that runs fast does not make the line faster
        client = Client(self._url, timeout=max(self.clock.real_delay(self._timeout_s), min(self._timeout_s, 1.0)))
        self._lost = asyncio.get_running_loop().create_future()
        client.connection_lost_callback = self._on_lost
        try:
            await client.connect()
        except _Failures as error:
            return f"cannot connect to {self._url}: {_text(error)}"
        self._client = client
        self.statistics.connects += 1
        self._fresh = set(self._last)
        self._types.clear()
        pump: asyncio.Task[None] | None = None
        try:
            subscription = await self._subscribe(client)
            end_if_cancelled()
            self.sink.state(LinkState.UP, f"connected to {self._url}")
            pump = asyncio.create_task(self._pump(subscription))
            await asyncio.wait((self._lost, pump), return_when=asyncio.FIRST_COMPLETED)
            return self._lost.result() if self._lost.done() else "the server ended the subscription"
        except _Failures as error:
            return f"subscribing failed: {_text(error)}"
        finally:
            self._client = None
            if pump is not None:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
            self._flush()
            with contextlib.suppress(*_Failures):
                await client.disconnect()

    async def _on_lost(self, error: Exception) -> None:
        self._lose(f"connection lost: {_text(error)}")

    def _lose(self, reason: str) -> None:
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(reason)

    # ------------------------------------------------------------ subscription

    def _read_addresses(self) -> None:
        for point in self.points:
            try:
                if not isinstance(point.address, OpcUaAddress):
                    raise OpcUaValueError("no OPC UA address")  # noqa: TRY301 - told with the others
                self._by_node.setdefault(ua.NodeId.from_string(point.address.node_id), []).append(point)
            except (UaError, ValueError, OpcUaValueError) as error:
                self._refuse([point], f"point {point.path}: node id cannot be read: {error}")

    def _refuse(self, points: Sequence[Point], text: str) -> None:
        """Points that cannot be had are invalid."""
        for point in points:
            self._put(point, math.nan, int(Quality.INVALID | Quality.BAD_REFERENCE), 0)
        self._notice("unknown_node", text)

    async def _subscribe(self, client: Client) -> Subscription:
        subscription = await client.create_subscription(
            self.clock.real_delay(self._publishing_ms), queue_maxsize=QUEUE, overflow=OverflowPolicy.DISCONNECT
        )
        subscription.set_overflow_disconnect_handler(self._on_overflow)
        status = [node for node, points in self._by_node.items() if any(point.kind in _STATUS_KINDS for point in points)]
        analog = [node for node in self._by_node if node not in set(status)]
        for nodes, queue in ((status, STATUS_QUEUE), (analog, 1)):
            for start in range(0, len(nodes), _SUBSCRIBE_CHUNK):
                chunk = nodes[start : start + _SUBSCRIBE_CHUNK]
                handles = await subscription.subscribe_data_change(
                    [client.get_node(node) for node in chunk],
                    queuesize=queue,
                    sampling_interval=ua.Duration(self.clock.real_delay(self._publishing_ms)),
                )
                for node, handle in zip(chunk, handles, strict=True):
                    if isinstance(handle, ua.StatusCode):
                        points = self._by_node[node]
                        paths = ", ".join(point.path for point in points)
                        self._refuse(points, f"{node.to_string()} of {paths}: {handle.name}")
        return subscription

    def _on_overflow(self) -> None:
        self.overflows += 1
        self.sink.notice("queue_overflow", f"more than {QUEUE} notifications waited; the connection is made anew")
        self._lose("notifications overflowed")

    async def _pump(self, subscription: Subscription) -> None:
        """Collect notifications; they leave in batches."""
        loop = asyncio.get_running_loop()
        async for event in subscription:
            if isinstance(event, DataChangeEvent):
                self._take(event.node.nodeid, event.data.monitored_item.Value)
            elif isinstance(event, StatusChangeEvent):
                self._lose(f"the server ended the subscription: {event.notification.Status.name}")
            if len(self._waiting) >= FLUSH_RECORDS:
                self._flush()
                await self.sink.ready()
            elif self._flush_timer is None and self._waiting:
                self._flush_timer = loop.call_later(FLUSH_S, self._flush)

    def _take(self, node: ua.NodeId, data: ua.DataValue) -> None:
        status = int(data.StatusCode.value) if data.StatusCode is not None else 0
        raw = data.Value.Value if data.Value is not None else None
        if lost_values(status):
            self.overflows += 1
            self.sink.notice("queue_overflow", f"the server lost values of {node.to_string()}: its queue is too short")
        for point in self._by_node.get(node, ()):
            self._put(point, number(point, raw), quality_of(status), nanoseconds(data.SourceTimestamp))

    def _put(self, point: Point, value: float, quality: int, source_time: int) -> None:
        pid = point.pid
        if math.isnan(value):  # nothing readable: the last value stays, marked
            value = self._last[pid]
            quality = quality or int(Quality.INVALID)
            if math.isnan(value):
                quality |= int(Quality.INVALID)
        if pid in self._fresh or point.kind not in _STATUS_KINDS:
            flags = RecordFlag.REFRESH if pid in self._fresh else 0
            self._fresh.discard(pid)
        else:
            flags = RecordFlag.EVENT
        self._last[pid] = value
        self._waiting.append((pid, value, quality, source_time, flags))

    def _flush(self) -> None:
        """Hand on what waits."""
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._waiting:
            return
        rows, self._waiting = self._waiting, []
        records = np.zeros(len(rows), dtype=POINT_DTYPE)
        for name, column in zip(("pid", "value", "quality", "source_time", "flags"), zip(*rows, strict=True), strict=True):
            records[name] = column
        records["channel"] = self.spec.index
        now = self.clock.now_ns()
        self.statistics.values_in += len(rows)
        self.statistics.frames_in += 1
        self.statistics.last_receive_ns = now
        self.sink.deliver(PointBatch(records, now, self.spec.name))

    def _notice(self, kind: str, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.sink.notice(kind, text)

    # ------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """Check that the variable exists, may be written by us and can take the value; OPC UA itself knows no selection."""
        return await self._guarded(self._check(control, value))

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Write the variable; the server's status code is the confirmation."""
        return await self._guarded(self._write(control, value))

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was left at the server by :meth:`select`."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the server")

    async def interrogate(self) -> CommandResult:
        """Read every variable now."""
        client = self._client
        if client is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        return await self._guarded(self._read_all(client))

    async def _read_all(self, client: Client) -> CommandResult:
        nodes = list(self._by_node)
        for start in range(0, len(nodes), _SUBSCRIBE_CHUNK):
            chunk = nodes[start : start + _SUBSCRIBE_CHUNK]
            values = await client.read_attributes([client.get_node(node) for node in chunk])
            for node, data in zip(chunk, values, strict=True):
                self._fresh.update(point.pid for point in self._by_node[node])
                self._take(node, data)
        self._flush()
        return CommandResult(Outcome.CONFIRMED)

    async def _guarded(self, step: Awaitable[CommandResult]) -> CommandResult:
        try:
            return await step
        except OpcUaValueError as error:
            return CommandResult(Outcome.REFUSED, str(error))
        except TimeoutError:
            return CommandResult(
                Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s; it is not known whether the server acted"
            )
        except UaStatusCodeError as error:
            return CommandResult(Outcome.REFUSED, f"server: {_text(error)}")
        except (OSError, UaError) as error:
            return CommandResult(Outcome.LINK_DOWN, _text(error))

    async def _prepare(self, control: Control, value: float) -> tuple[Node, ua.Variant]:
        """The variable and what to write to it."""
        if self._client is None:
            raise ConnectionError("not connected")
        if not isinstance(control.address, OpcUaAddress):
            raise OpcUaValueError("the control has no OPC UA address", where=control.path)
        try:
            node = self._client.get_node(control.address.node_id)
        except (UaError, ValueError) as error:
            raise OpcUaValueError(f"node id cannot be read: {error}", where=control.path) from error
        name = control.address.node_id
        if name not in self._types:
            self._types[name] = await node.read_data_type_as_variant_type()
        return node, variant(control, value, self._types[name])

    async def _check(self, control: Control, value: float) -> CommandResult:
        node, _ = await self._prepare(control, value)
        access = await node.get_user_access_level()
        if ua.AccessLevel.CurrentWrite not in access:
            return CommandResult(Outcome.REFUSED, "the server does not let us write this variable")
        return CommandResult(Outcome.CONFIRMED)

    async def _write(self, control: Control, value: float) -> CommandResult:
        node, content = await self._prepare(control, value)
        self.statistics.frames_out += 1
        await node.write_value(ua.DataValue(content))
        return CommandResult(Outcome.CONFIRMED)


def _text(error: Any) -> str:
    return str(error).split("\n", maxsplit=1)[0] or type(error).__name__
