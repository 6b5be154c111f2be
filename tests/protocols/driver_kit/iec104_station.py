"""A controlled station on a raw socket, for the conformance kit: what it says is written here, octet by octet."""

import asyncio
import contextlib
import socket
import struct

from scada.core.clock import SystemClock
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.conformance_rig import Device
from scada.protocols.iec104.cp56 import to_octets
from scada.protocols.registry import make_driver

STARTDT, STOPDT, TESTFR = 0x07, 0x13, 0x43


def asdu(type_id, cause, ioa, element):
    return bytes([type_id, 1, cause, 0, 1, 0]) + ioa.to_bytes(3, "little") + element


class Station(Device):
    """Type 36 at 100, type 30 at 200, type 50 at 5000 (obeyed) and 5001 (refused). GI answers with the same types."""

    protocol = "iec104"
    window = 60

    def __init__(self):
        self.analog = Point(0, "m0", "S/P", "P", PointKind.ANALOG, "", "", "", "", "S", "", 0, Iec104Address(1, 100, 36))
        self.status = Point(1, "m1", "S/S", "S", PointKind.STATUS, "", "", "", "", "S", "", 0, Iec104Address(1, 200, 30))
        self.setpoint, self.forbidden = self.control(0, 5000), self.control(1, 5001)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server, self.links, self.done, self.silent = None, set(), [], False
        now = SystemClock().now_ns()
        self.values = {100: (12.5, now), 200: (0.0, now)}

    @staticmethod
    def control(cid, ioa):
        address = Iec104Address(1, ioa, 50)
        return Control(
            cid, f"c{cid}", f"S/C{cid}", f"C{cid}", ControlKind.SETPOINT, "", "", "", "S", 0, address, None, "", select=False
        )

    @property
    def spec(self):
        params = {"command_timeout_s": 1, "t0": 2, "t1": 5, "t2": 1, "t3": 20, "k": 12, "w": 8}
        return ChannelSpec(3, "m", "station", self.protocol, "127.0.0.1", self.port, "S", params)

    def make(self, sink, clock):
        return make_driver(self.spec, self.points, self.controls, sink, clock)

    async def start(self):
        self.silent = False
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)

    async def stop(self):
        if self.server is not None:
            self.server.close()
            for link in self.links:
                link.writer.transport.abort()
            await self.server.wait_closed()
            self.server = None

    async def serve(self, reader, writer):
        link = Link(self, writer)
        self.links.add(link)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(2)
                link.take(await reader.readexactly(head[1]))
        self.links.discard(link)
        writer.close()

    def value(self, ioa, cause):
        value, time_ns = self.values[ioa]
        stamp = to_octets(time_ns)
        if ioa == 100:
            return asdu(36, cause, 100, struct.pack("<f", value) + b"\0" + stamp)
        return asdu(30, cause, 200, bytes([int(value)]) + stamp)

    async def tell(self, data):
        for link in list(self.links):
            await link.send(data)

    async def put(self, point, value, time_ns):
        ioa = point.address.ioa
        self.values[ioa] = (value, time_ns)
        await self.tell(self.value(ioa, 3))

    async def obeyed(self):
        return self.done

    async def mute(self):
        self.silent = True

    async def garbage(self):
        """Two floats said, one sent."""
        await self.tell(bytes([13, 2, 3, 0, 1, 0]) + (100).to_bytes(3, "little") + struct.pack("<f", 66.0) + b"\0")

    async def stray(self):
        await self.tell(asdu(13, 3, 999, struct.pack("<f", 1.0) + b"\0"))

    async def connections(self):
        return len(self.links)


class Link:
    """One connection: numbers, the master's acknowledgements, answers."""

    def __init__(self, station, writer):
        self.station, self.writer = station, writer
        self.sent = self.received = self.acknowledged = 0
        self.moved = asyncio.Event()

    def take(self, body):
        control = body[0]
        if control & 3 == 3:
            if control in {STARTDT, STOPDT, TESTFR}:
                self.writer.write(bytes([0x68, 4, control << 1 & 0xFC | 3 if control != STARTDT else 0x0B, 0, 0, 0]))
            return
        self.acknowledged = struct.unpack_from("<H", body, 2)[0] >> 1
        self.moved.set()
        if not control & 1:
            self.received += 1
            self.answer(body[4:])

    def answer(self, asked):
        type_id, ioa = asked[0], int.from_bytes(asked[6:9], "little")
        station = self.station
        if type_id == 100:
            for cause, data in ((7, None), (20, 100), (20, 200), (10, None)):
                self.write(station.value(data, cause) if data else asked[:2] + bytes([cause]) + asked[3:])
        elif type_id == 103:
            self.write(asked[:2] + bytes([7]) + asked[3:])
        elif type_id == 50:
            if ioa == 5000:
                station.done.append((0, struct.unpack_from("<f", asked, 9)[0]))
            if not station.silent:
                self.write(asked[:2] + bytes([7 if ioa == 5000 else 0x47]) + asked[3:])

    def write(self, data):
        self.writer.write(bytes([0x68, len(data) + 4]) + struct.pack("<HH", self.sent << 1, self.received << 1) + data)
        self.sent += 1

    async def send(self, data):
        """Respects k = 12, so that a master that reads no more is not written to."""
        while self.sent - self.acknowledged >= 12:
            self.moved.clear()
            await self.moved.wait()
        self.write(data)
