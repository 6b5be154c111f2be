"""IEC 104 outstation on c104: the one station of the demo that runs on an implementation we did not write.

c104 is under the GPL; nothing but this module imports it, and this module runs only in an outstation process of its own. What its
version 2.2.1 gets wrong is kept out of its way: all points are added before it starts; spontaneous values leave in
bursts of at most 60, for more than about 100 at once are lost although each is reported as sent; what it did not send
is offered again. It neither compares the value of an execute with that of its select nor honours a cancel: both are
known limits of this station.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import c104

from scada.actors.ports import check_port
from scada.core.batch import Records
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control
from scada.sim.outstation import Station
from scada.sim.wire import PlantLink, Setup

_BURST = 60
_PACE_S = 0.05
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEASURED = frozenset({9, 11, 13, 15, 34, 35, 36, 37})
_COUNTERS = frozenset({15, 37})
_MOST_POINTS = 3000
"""Its general interrogation is cut off above."""
_QUALITY = (
    (0x01, c104.Quality.Overflow),
    (0x10, c104.Quality.Blocked),
    (0x20, c104.Quality.Substituted),
    (0x40, c104.Quality.NonTopical),
    (0x80, c104.Quality.Invalid),
)


def quality_of(word: int) -> Any:
    """c104's flags of the low octet of a quality word."""
    flags: Any = c104.Quality()
    for bit, flag in _QUALITY:
        if word & bit:
            flags |= flag
    return flags


def information(type_id: int, raw: float, quality: int, time_ns: int) -> Any:
    """c104's information object of a raw value; ``time_ns`` is used by types with a time tag."""
    tagged = type_id >= 30
    at = _EPOCH + timedelta(microseconds=time_ns // 1000) if tagged else None
    base = _UNTAGGED.get(type_id, type_id)
    return _MAKERS[base](raw, quality_of(quality) if base != 15 else quality, at)


def _counter(raw: float, quality: int, at: datetime | None) -> Any:
    mark = c104.BinaryCounterQuality.Invalid if quality & 0x80 else c104.BinaryCounterQuality()
    return c104.BinaryCounterInfo((int(raw) + 2**31) % 2**32 - 2**31, c104.UInt5(0), mark, at)


_DOUBLE = (c104.Double.INTERMEDIATE, c104.Double.OFF, c104.Double.ON, c104.Double.INDETERMINATE)
_MAKERS: dict[int, Callable[[float, Any, datetime | None], Any]] = {
    1: lambda raw, flags, at: c104.SingleInfo(raw > 0, flags, at),
    3: lambda raw, flags, at: c104.DoubleInfo(_DOUBLE[int(raw) & 3], flags, at),
    5: lambda raw, flags, at: c104.StepInfo(c104.Int7(int(raw)), False, flags, at),
    7: lambda raw, flags, at: c104.BinaryInfo(c104.Byte32(int(raw) & 0xFFFF_FFFF), flags, at),
    9: lambda raw, flags, at: c104.NormalizedInfo(c104.NormalizedFloat(min(max(raw, -1.0), 0.999969)), flags, at),
    11: lambda raw, flags, at: c104.ScaledInfo(c104.Int16(min(max(round(raw), -32768), 32767)), flags, at),
    13: lambda raw, flags, at: c104.ShortInfo(raw if math.isfinite(raw) else 0.0, flags, at),
    15: _counter,
}
"""Maker of the information object of an untagged type: (raw value, c104's flags; of a counter our quality word; time)."""
_UNTAGGED = {30: 1, 31: 3, 32: 5, 33: 7, 34: 9, 35: 11, 36: 13, 37: 15}


class C104Station(Station):
    """A c104 server; a dropped link takes the server down and builds another."""

    def __init__(self, setup: Setup, link: PlantLink, clock: Clock) -> None:
        super().__init__(setup, link, clock)
        if len(setup.points) > _MOST_POINTS:
            raise ConfigError(f"{len(setup.points)} points are too many for c104", where=setup.spec.name, mend="use iec104")
        self._loop = asyncio.get_running_loop()
        self._addresses = {int(p.pid): (p, p.address) for p in setup.points if isinstance(p.address, Iec104Address)}
        self._points: dict[int, Any] = {}
        self._events: deque[tuple[int, float, int, int]] = deque()
        self._newest: dict[int, tuple[float, int, int]] = {}
        self._unsent: dict[int, None] = {}
        self._known: dict[int, tuple[float, int, int]] = {}
        self._server: Any = None
        self._pump: asyncio.Task[None] | None = None
        self._callbacks: list[Any] = []
        self._selected: dict[int, float] = {}

    async def start(self) -> None:
        """Add every point, fill in the first values, listen."""
        spec = self.setup.spec
        check_port(spec.host, spec.port, f"outstation {spec.name}")
        self._server = c104.Server(ip=spec.host, port=spec.port, tick_rate_ms=100, select_timeout_ms=90_000)
        stations: dict[int, Any] = {}
        for address in (*[p.address for p in self.setup.points], *[c.address for c in self.setup.controls]):
            if isinstance(address, Iec104Address) and address.common_address not in stations:
                stations[address.common_address] = self._server.add_station(address.common_address)
        for pid, (point, address) in self._addresses.items():
            self._points[pid] = stations[address.common_address].add_point(address.ioa, _type(address, point.path))
        for control in self.setup.controls:
            if isinstance(control.address, Iec104Address):
                self._add_control(stations[control.address.common_address], control, control.address)
        for pid, value, time, quality in self._image():
            self._set(pid, value, quality, time)
        self._server.start()
        self._pump = asyncio.ensure_future(self._transmit())

    def _image(self) -> list[tuple[int, float, int, int]]:
        """Pid, value, time and quality of every point: the first reading, and over it what came while nobody listened."""
        first = self.setup.values
        image = {
            pid: (value, time, quality)
            for pid, value, time, quality in zip(
                first["pid"].tolist(),
                first["value"].tolist(),
                first["source_time"].tolist(),
                first["quality"].tolist(),
                strict=True,
            )
            if pid in self._addresses
        }
        image |= self._known
        return [(pid, *reading) for pid, reading in image.items()]

    def _add_control(self, station: Any, control: Control, address: Iec104Address) -> None:
        mode = c104.CommandMode.SELECT_AND_EXECUTE if control.select else c104.CommandMode.DIRECT
        point = station.add_point(address.ioa, _type(address, control.path), command_mode=mode)
        callback = self._on_command(control)
        self._callbacks.append(callback)  # c104 holds no reference
        point.on_receive(callback)

    def _on_command(self, control: Control) -> Callable[..., Any]:
        def on_receive(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
            """Called on one of c104's threads, which asks on the station's own loop."""
            del point, previous_info
            value: Any = message.info.value
            raw = float(getattr(value, "value", value))  # c104's enumerations hold their number
            asked = asyncio.run_coroutine_threadsafe(self._ask(control, raw, select=message.is_select_command), self._loop)
            try:
                accepted = asked.result(timeout=5.0)
            except TimeoutError:
                accepted = False
            return c104.ResponseState.SUCCESS if accepted else c104.ResponseState.FAILURE

        # c104 compares the annotations as written with its own, so that they must be classes, not text
        on_receive.__annotations__ = {
            "point": c104.Point,
            "previous_info": c104.Information,
            "message": c104.IncomingMessage,
            "return": c104.ResponseState,
        }
        return on_receive

    async def _ask(self, control: Control, raw: float, *, select: bool) -> bool:
        if select:
            self._selected[control.cid] = raw
        elif self._selected.pop(control.cid, raw) != raw:
            return False
        return self.link.command(control, raw * control.scale + control.offset, select)

    def update(self, records: Records) -> None:
        """Queue the readings; status changes keep their order, of a measured value only the newest is sent."""
        for pid, value, time, quality in zip(
            records["pid"].tolist(),
            records["value"].tolist(),
            records["source_time"].tolist(),
            records["quality"].tolist(),
            strict=True,
        ):
            if pid not in self._addresses:
                continue
            self._known[pid] = (value, time, quality)
            if self._addresses[pid][1].type_id in _MEASURED:
                self._newest[pid] = (value, quality, time)
            else:
                self._events.append((pid, value, quality, time))

    def _set(self, pid: int, value: float, quality: int, time_ns: int) -> None:
        point, address = self._addresses[pid]
        self._points[pid].info = information(address.type_id, (value - point.offset) / point.scale, quality, time_ns)

    async def _transmit(self) -> None:
        """What touches c104 runs beside the loop: it may wait for a lock of a callback that waits for the loop."""
        while True:
            await asyncio.sleep(_PACE_S)
            newest, self._newest = self._newest, {}
            await self._loop.run_in_executor(None, self._burst, newest)

    def _burst(self, newest: dict[int, tuple[float, int, int]]) -> None:
        for pid, (value, quality, time) in newest.items():
            self._set(pid, value, quality, time)
            if self._addresses[pid][1].type_id not in _COUNTERS:  # counters wait for their interrogation
                self._unsent[pid] = None
        room = _BURST
        while self._events and room:
            pid, value, quality, time = self._events[0]
            self._set(pid, value, quality, time)
            if not self._send(pid):
                return
            self._events.popleft()
            room -= 1
        for pid in list(self._unsent)[:room]:
            if not self._send(pid):
                return
            del self._unsent[pid]

    def _send(self, pid: int) -> bool:
        """Send a point; without a master there is nothing to send, the next general interrogation reads the image."""
        if not self._server.has_active_connections:
            return True
        return bool(self._points[pid].transmit(cause=c104.Cot.SPONTANEOUS))

    async def stop(self) -> None:
        """Stop listening."""
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None
        if self._server is not None:
            server, self._server = self._server, None
            await asyncio.get_running_loop().run_in_executor(None, server.stop)

    async def drop(self, seconds: float) -> None:
        """Stop for ``seconds``, then build the server anew."""
        await self.stop()
        await asyncio.sleep(self.clock.real_delay(seconds))
        self._points.clear()
        self._callbacks.clear()
        await self.start()


def _type(address: Iec104Address, path: str) -> Any:
    for kind in c104.Type.__members__.values():
        if kind.value == address.type_id:
            return kind
    raise ConfigError(f"{path}: c104 does not know type {address.type_id}")
