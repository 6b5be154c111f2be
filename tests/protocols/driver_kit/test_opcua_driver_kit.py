"""The OPC UA driver under the conformance kit, against asyncua's server behind a proxy that can be cut and made deaf."""

import asyncio
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from asyncua import ua
from protocols.opcua.rig import Proxy, Station, control, point

from scada.model_cim.tables import ChannelSpec, PointKind
from scada.protocols.conformance import CHECKS
from scada.protocols.conformance_rig import Device
from scada.protocols.opcua.driver import OpcUaDriver

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


class OpcUaDevice(Device):
    lacks: ClassVar = {
        "an_unknown_address_is_counted_and_told_once": "only the variables of the model are subscribed: no other one ever comes",
        "garbage_is_survived": "the library answers octets that are no message by closing; there is nothing to count",
    }

    def __init__(self):
        self.analog, self.status = point(0, "P"), point(1, "Alarm", PointKind.STATUS)
        self.setpoint, self.forbidden = control(0, "Setpoint"), control(1, "P")
        self.station = self.proxy = None
        self.port = Proxy(0).port
        self.done = []

    @property
    def spec(self):
        params = {"publishing_ms": 20, "timeout_s": 1, "status_queue": 1000}
        return ChannelSpec(3, "m", "W", "opcua", "127.0.0.1", self.port, "S", params)

    def make(self, sink, clock):
        return OpcUaDriver(self.spec, self.points, self.controls, sink, clock)

    async def start(self):
        self.station = Station()
        await self.station.start()
        self.proxy = Proxy(self.station.port)
        self.proxy.port = self.port
        await self.proxy.start()

    async def stop(self):
        if self.station is not None:
            await self.note()
            await self.proxy.stop()
            await self.station.stop()
            self.station = None

    async def note(self):
        value = await self.station.nodes["Setpoint"].read_value()
        if value and (0, value) not in self.done:
            self.done.append((0, value))

    async def put(self, point, value, time_ns):
        kind, name = (ua.VariantType.Double, "P") if point is self.analog else (ua.VariantType.Boolean, "Alarm")
        stamp = datetime.fromtimestamp(time_ns / 1e9, UTC)
        await self.station.write(name, value if point is self.analog else bool(value), kind, stamp=stamp)
        # told at once if the driver asks, kept for it if it does not: a flood would otherwise be one message of any length
        for subscription in list(self.station.server.iserver.subscription_service.subscriptions.values()):
            await subscription.publish_results()
        await asyncio.sleep(0)  # a turn of the loop, in which what the driver asks can arrive

    async def obeyed(self):
        if self.station is not None:
            await self.note()
        return self.done

    async def mute(self):
        self.proxy.deaf = True

    async def garbage(self):
        raise NotImplementedError

    async def stray(self):
        raise NotImplementedError

    async def connections(self):
        return sum(not writer.is_closing() for writer in self.proxy._writers) // 2


def cases():
    for check in CHECKS:
        reason = OpcUaDevice.lacks.get(check.__name__)
        yield pytest.param(check, id=check.__name__, marks=[pytest.mark.skip(reason=reason)] if reason else [])


@pytest.mark.parametrize("check", list(cases()))
async def test_the_opcua_driver_conforms(check):
    await check(OpcUaDevice())
    await asyncio.sleep(0)
