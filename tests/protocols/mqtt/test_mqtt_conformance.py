"""The MQTT driver under the conformance kit: Sparkplug B and plain topics, through a real broker."""

import asyncio
import json
from pathlib import Path
from typing import ClassVar

import pytest

from scada.model_cim.tables import ChannelSpec, PointKind
from scada.protocols.conformance import CHECKS
from scada.protocols.conformance_rig import Device
from scada.protocols.mqtt.driver import MqttDriver

pytestmark = pytest.mark.interop


class Brokered(Device):
    """Broker and device live and die together."""

    window = 40

    def __init__(self, mqtt, broker):
        self.mqtt, self.broker, self.peer, self.done = mqtt, broker, None, []

    @property
    def spec(self):
        return ChannelSpec(3, "m", "mqtt", "mqtt", "127.0.0.1", self.broker.port, "S", dict(self.params))

    def make(self, sink, clock):
        return MqttDriver(self.spec, self.points, self.controls, sink, clock)

    async def start(self):
        await asyncio.to_thread(self.broker.start)
        self.peer = await asyncio.to_thread(self.make_peer)

    async def stop(self):
        if self.peer is not None:
            self.done += self.peer.obeyed
            await asyncio.to_thread(self.peer.close)
            self.peer = None
        await asyncio.to_thread(self.broker.stop)

    async def obeyed(self):
        return self.done + (self.peer.obeyed if self.peer is not None else [])

    async def connections(self):
        """Counted by the broker itself, less ours."""
        table = Path(f"/proc/{self.broker.process.pid}/net/tcp")
        rows = [line.split() for line in (await asyncio.to_thread(table.read_text)).splitlines()[1:]]
        mine = f":{self.broker.port:04X}"
        open_now = [row for row in rows if row[1].endswith(mine) and row[3] == "01"]
        return len(open_now) - 1


class SparkplugDevice(Brokered):
    lacks: ClassVar = {"a_refusal_has_a_reason": "Sparkplug B has no negative answer: what is refused is never told back"}
    params: ClassVar = {"command_timeout_s": 1, "timeout_s": 5, "host_id": "main"}

    def __init__(self, mqtt, broker):
        super().__init__(mqtt, broker)
        self.analog = mqtt.point(0, "P", "spBv1.0/G/N/D#P")
        self.status = mqtt.point(1, "S", "spBv1.0/G/N/D#S", PointKind.STATUS)
        self.setpoint = mqtt.control(0, "SP", "spBv1.0/G/N/D#SP")

    def make_peer(self):
        return self.mqtt.Edge(self.broker.port)

    async def put(self, point, value, time_ns):
        alias, kind, said = (1, "float", value) if point is self.analog else (2, "bool", value == 1)
        with self.peer.lock:
            self.peer.values[point.name] = said
            one = self.mqtt.metric("", said, kind, alias=alias, timestamp=time_ns // 1_000_000)
            await asyncio.to_thread(self.peer.say, "DDATA", one, device="D", qos=1)

    async def mute(self):
        self.peer.obeys = False

    async def garbage(self):
        await asyncio.to_thread(self.peer.peer.say, "spBv1.0/G/DDATA/N/D", b"\xff\x01nothing")

    async def stray(self):
        one = self.mqtt.metric("", 2.0, "double", alias=4)
        await asyncio.to_thread(self.peer.say, "DDATA", one, device="D")


class PlainTopicDevice(Brokered):
    lacks: ClassVar = {
        "an_unknown_address_is_counted_and_told_once": "only the topics of the model are subscribed: no other one ever comes"
    }
    params: ClassVar = {"command_timeout_s": 1, "timeout_s": 5, "time_path": "t", "mqtt_version": "3.1.1"}

    def __init__(self, mqtt, broker):
        super().__init__(mqtt, broker)
        self.analog = mqtt.point(0, "P", "m/P#v")
        self.status = mqtt.point(1, "S", "m/S#v", PointKind.STATUS)
        self.setpoint, self.forbidden = mqtt.control(0, "SP", "m/SP#v"), mqtt.control(1, "NO", "m/NO#v")
        self.values = {"P": 12.5, "S": 0}

    def make_peer(self):
        return self.mqtt.PlainDevice(self.broker.port, self.values)

    async def put(self, point, value, time_ns):
        self.values[point.name] = value
        said = json.dumps({"v": value, "t": time_ns // 1_000_000})
        await asyncio.to_thread(self.peer.peer.say, f"m/{point.name}", said, retain=True)

    async def mute(self):
        self.peer.silent = True

    async def garbage(self):
        await asyncio.to_thread(self.peer.peer.say, "m/P", b"{half")

    async def stray(self):
        await asyncio.to_thread(self.peer.peer.say, "m/elsewhere", b"1")


def cases():
    for kind in (SparkplugDevice, PlainTopicDevice):
        for check in CHECKS:
            reason = kind.lacks.get(check.__name__)
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            yield pytest.param(kind, check, id=f"{kind.__name__}-{check.__name__}", marks=marks)


@pytest.mark.parametrize(("kind", "check"), list(cases()))
async def test_the_mqtt_driver_conforms(mqtt, make_broker, kind, check):
    await check(kind(mqtt, make_broker()))
