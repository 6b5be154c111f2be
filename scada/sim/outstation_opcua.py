"""OPC UA plant on asyncua's server: one variable for each point and each control, by the node ids of the model."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.common.node import Node
from asyncua.server.server import Server
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadInvalidState, UaError

from scada.actors.ports import check_port
from scada.core.batch import Records
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.core.quality import BAD_MASK, Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import Control, ControlKind, Point, PointKind
from scada.sim.outstation import Station
from scada.sim.wire import PlantLink, Setup

_NAMESPACE = "urn:scada-ems:sim"
_PER_FOLDER = 200
"""The server's folders slow down with the square of their children."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES = {
    PointKind.ANALOG: ua.VariantType.Double,
    PointKind.STATUS: ua.VariantType.Boolean,
    PointKind.COUNTER: ua.VariantType.Int64,
    PointKind.BITS: ua.VariantType.UInt32,
}
_STATUS = (
    (int(Quality.COMM_LOST | Quality.NOT_TOPICAL | Quality.OLD_DATA), StatusCodes.UncertainLastUsableValue),
    (BAD_MASK, StatusCodes.BadSensorFailure),
    (int(Quality.SUBSTITUTED | Quality.BLOCKED), StatusCodes.GoodLocalOverride),
    (int(Quality.QUESTIONABLE | Quality.SUSPECT), StatusCodes.UncertainSensorNotAccurate),
)
"""Quality bits -> OPC UA status code, first match."""
_CONTROL_TYPES = {ControlKind.SETPOINT: ua.VariantType.Double, ControlKind.SINGLE: ua.VariantType.Boolean}


def variant(kind: ua.VariantType, raw: float) -> ua.Variant:
    """A value in its OPC UA type."""
    if kind is ua.VariantType.Double:
        return ua.Variant(float(raw), kind)
    if kind is ua.VariantType.Boolean:
        return ua.Variant(raw > 0, kind)
    return ua.Variant(round(raw), kind)


def status_code(quality: int) -> ua.StatusCode:
    """OPC UA status of a quality word."""
    code = next((code for bits, code in _STATUS if quality & bits), StatusCodes.Good)
    return ua.StatusCode(ua.UInt32(code))


def _moment(time_ns: int) -> Any:
    """A time as asyncua takes it; its stub wants a class of its own where a datetime is used."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


class OpcUaStation(Station):
    """An OPC UA server without security, for the loopback; variables in folders by the first parts of their node ids."""

    def __init__(self, setup: Setup, link: PlantLink, clock: Clock) -> None:
        super().__init__(setup, link, clock)
        self._last: dict[int, tuple[float, int, int]] = {}
        self._points = {int(point.pid): point for point in setup.points if isinstance(point.address, OpcUaAddress)}
        self._nodes: dict[int, Any] = {}
        self._server: Server | None = None
        self._pending: asyncio.Task[None] | None = None
        self._dirty: dict[int, None] = {}
        self.update(setup.values)

    async def start(self) -> None:
        """Build the address space and listen."""
        spec = self.setup.spec
        check_port(spec.host, spec.port, f"outstation {spec.name}")
        server = Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{spec.host}:{spec.port}/")
        server.set_server_name(spec.name)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        namespace = await server.register_namespace(_NAMESPACE)
        folders = _Folders(server, namespace)
        for pid, point in self._points.items():
            assert isinstance(point.address, OpcUaAddress)
            node_id = _node_id(point.address, point.path)
            kind = _TYPES.get(point.kind, ua.VariantType.Int32)
            node = await folders.add(node_id, variant(kind, 0.0))
            self._nodes[pid] = node.nodeid
        for control in self.setup.controls:
            if isinstance(control.address, OpcUaAddress):
                kind = _CONTROL_TYPES.get(control.kind, ua.VariantType.Int32)
                node = await folders.add(_node_id(control.address, control.path), variant(kind, 0.0))
                await node.set_writable()
                server.set_attribute_value_setter(node.nodeid, self._setter(control))
        self._server = server
        self._dirty = dict.fromkeys(self._nodes)
        await self._write()
        await server.start()

    def update(self, records: Records) -> None:
        """Remember the readings and write them in the next turn of the loop."""
        for pid, value, time, quality in zip(
            records["pid"].tolist(),
            records["value"].tolist(),
            records["source_time"].tolist(),
            records["quality"].tolist(),
            strict=True,
        ):
            if pid in self._points:
                self._last[pid] = (value, time, quality)
                self._dirty[pid] = None
        if self._server is not None and (self._pending is None or self._pending.done()):
            self._pending = asyncio.ensure_future(self._write())

    async def _write(self) -> None:
        while self._dirty and self._server is not None:
            dirty, self._dirty = list(self._dirty), {}
            for pid in dirty:
                if pid in self._last:
                    await self._server.write_attribute_value(
                        self._nodes[pid], self._data_value(self._points[pid], *self._last[pid])
                    )

    def _data_value(self, point: Point, value: float, time_ns: int, quality: int) -> ua.DataValue:
        kind = _TYPES.get(point.kind, ua.VariantType.Int32)
        raw = (value - point.offset) / point.scale
        return ua.DataValue(
            variant(kind, raw),
            StatusCode=status_code(quality),
            SourceTimestamp=_moment(time_ns),
            ServerTimestamp=_moment(self.clock.now_ns()),
        )

    def _setter(self, control: Control) -> Callable[[Any, Any, ua.DataValue], None]:
        """Put a client's write before the plant; the value stands only if the plant accepts."""

        def write(node: Any, attribute: Any, value: ua.DataValue) -> None:
            assert value.Value is not None
            order = float(value.Value.Value) * control.scale + control.offset
            if not self.link.command(control, order, select_only=False):
                raise BadInvalidState
            now = _moment(self.clock.now_ns())
            node.attributes[attribute].value = dataclasses.replace(value, SourceTimestamp=now, ServerTimestamp=now)

        return write

    async def stop(self) -> None:
        """Drop the clients and stop listening."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()


class _Folders:
    """Folders under *Objects*, from the parts of node ids between dots; a full one is continued in another."""

    def __init__(self, server: Server, namespace: int) -> None:
        self._server = server
        self._namespace = namespace
        self._known: dict[str, Node] = {}
        self._count: dict[str, int] = {}

    async def add(self, node_id: ua.NodeId, initial: ua.Variant) -> Node:
        """A variable in its folder."""
        path, _, name = str(node_id.Identifier).rpartition(".")
        folder = await self._folder(path)
        return await folder.add_variable(node_id, ua.QualifiedName(name, node_id.NamespaceIndex), initial)

    async def _folder(self, path: str) -> Node:
        if not path:
            return self._server.nodes.objects
        number = self._count[path] = self._count.get(path, 0) + 1
        key = path if number <= _PER_FOLDER else f"{path} ({number // _PER_FOLDER + 1})"
        if key not in self._known:
            above, _, name = path.rpartition(".")
            parent = await self._folder(above) if above else self._server.nodes.objects
            name = f"{name}{key[len(path) :]}"
            self._known[key] = await parent.add_folder(ua.NodeId(ua.String(f"{key} folder"), ua.Int16(self._namespace)), name)
        return self._known[key]


def _node_id(address: OpcUaAddress, path: str) -> ua.NodeId:
    try:
        return ua.NodeId.from_string(address.node_id)
    except (UaError, ValueError) as error:
        raise ConfigError(f"{path}: {address.node_id!r} is no node id", mend="write it as ns=2;s=Name") from error


logging.getLogger("asyncua").setLevel(logging.ERROR)
