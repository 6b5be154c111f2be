"""The conformance kit of drivers, with a Modbus device played on a plain socket."""

import asyncio
import contextlib
import struct
from typing import ClassVar

import pytest

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.conformance import CHECKS
from scada.protocols.conformance_rig import ConformanceError, Device
from scada.protocols.driver import Outcome
from scada.protocols.modbus.driver import ModbusDriver


def point(pid, register, kind, data_type):
    where = ModbusAddress(1, "holding", register, data_type)
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, where)


def command(cid, register):
    where = ModbusAddress(1, "holding", register, "float32")
    return Control(cid, f"c{cid}", f"S/c{cid}", "c", ControlKind.SETPOINT, "", "", "", "S", 0, where, None, "", select=False)


class ModbusDevice(Device):
    """A device is asked, it does not tell: the scan is slow, and every change of a value is followed by one scan by order."""

    analog = point(0, 0, PointKind.ANALOG, "float32")
    status = point(1, 2, PointKind.STATUS, "uint16")
    setpoint = command(0, 10)
    forbidden = command(1, 20)
    stamps = False
    lacks: ClassVar = {"an_unknown_address_is_counted_and_told_once": "Modbus brings nothing that was not asked for"}

    def __init__(self):
        self.registers = dict.fromkeys(range(12), 0) | dict(enumerate(struct.unpack(">2H", struct.pack(">f", 12.5))))
        self.done, self.muted, self.port = [], False, 0
        self.server, self.driver, self.writers = None, None, set()
        self.served = asyncio.Event()

    @property
    def spec(self):
        return ChannelSpec(3, "m", "DEV", "modbus-tcp", "127.0.0.1", self.port, "S", {"scan_ms": 60_000.0, "timeout_s": 0.3})

    def make(self, sink, clock):
        if not self.port:  # a port at which nobody listens
            import socket

            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        self.driver = ModbusDriver(self.spec, self.points, self.controls, sink, clock)
        return self.driver

    async def start(self):
        self.muted = False
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def stop(self):
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()

    async def serve(self, reader, writer):
        self.writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                answer = self.answer(pdu)
                if answer:
                    writer.write(head[:4] + struct.pack(">HB", len(answer) + 1, head[6]) + answer)
        self.writers.discard(writer)
        writer.close()

    def answer(self, pdu):
        start, count = struct.unpack(">HH", pdu[1:5])
        if any(at not in self.registers for at in range(start, start + count)):
            return bytes([pdu[0] | 0x80, 2])
        if pdu[0] == 3:
            if start == 0:
                self.served.set()
            return struct.pack(f">BB{count}H", 3, 2 * count, *(self.registers[at] for at in range(start, start + count)))
        self.registers.update(zip(range(start, start + count), struct.unpack(f">{count}H", pdu[6:]), strict=True))
        self.done.append((0, struct.unpack(">f", pdu[6:10])[0]))
        return b"" if self.muted else pdu[:5]

    async def put(self, point, value, time_ns):
        del time_ns
        words = struct.unpack(">2H", struct.pack(">f", value)) if point is self.analog else (int(value),)
        self.registers.update(enumerate(words, start=point.address.register))
        self.served.clear()
        while (await self.driver.interrogate()).outcome is not Outcome.CONFIRMED:  # noqa: ASYNC110 - until it has reconnected
            await asyncio.sleep(0.02)
        await self.served.wait()
        await asyncio.sleep(0.005)  # the answer is on its way

    async def obeyed(self):
        return self.done

    async def mute(self):
        self.muted = True

    async def garbage(self):
        for writer in self.writers:
            writer.write(b"\xff" * 30)

    async def stray(self):
        for writer in self.writers:
            writer.write(struct.pack(">HHHB", 9, 0, 5, 1) + b"\x03\x02\x00\x01")

    async def connections(self):
        return len(self.writers)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conformance(check, request, monkeypatch):
    if check.__name__ in ModbusDevice.lacks:
        request.applymarker(pytest.mark.xfail(raises=ConformanceError, reason=ModbusDevice.lacks[check.__name__], strict=True))
        monkeypatch.setattr("scada.protocols.conformance_rig.PATIENCE_S", 0.5)
    await check(ModbusDevice())
