"""Fifty Modbus devices by pymodbus in one process; and the two clients that read them, each run once."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sink import CountingSink

from scada.core.clock import SystemClock
from scada.core.ids import PointId
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Point, PointKind
from scada.protocols.registry import make_driver

REGISTERS = 250
"""Of each device: two requests of 125."""


async def serve(devices: int) -> None:
    """Serve until the input ends."""
    servers = []
    for _ in range(devices):
        device = SimDevice(1, simdata=SimData(0, count=REGISTERS, values=7, datatype=DataType.REGISTERS))
        server = ModbusTcpServer(device, address=("127.0.0.1", 0))
        await server.serve_forever(background=True)
        servers.append(server)
    ports = [server.transport.sockets[0].getsockname()[1] for server in servers]
    print(json.dumps({"ports": ports}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def ours(ports: list[int], scan_s: float, seconds: float) -> dict[str, float]:
    """Our driver on every device: planned, decoded, delivered."""
    sinks, running = [CountingSink() for _ in ports], []
    for index, (port, sink) in enumerate(zip(ports, sinks, strict=True)):
        spec = ChannelSpec(index, f"c{index}", f"d{index}", "modbus-tcp", "127.0.0.1", port, "S", {"scan_ms": scan_s * 1000})
        points = [
            Point(PointId(one), f"p{one}", f"S/{one}", str(one), PointKind.ANALOG, "", "", "", "", "S", "", index,
                  ModbusAddress(1, "holding", one)) for one in range(REGISTERS)
        ]  # fmt: skip
        running.append(asyncio.create_task(make_driver(spec, points, [], sink, SystemClock()).run()))
    await asyncio.gather(*(asyncio.wait_for(sink.up.wait(), 30) for sink in sinks))
    before, used, began = sum(sink.values for sink in sinks), time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    values, used, took = sum(sink.values for sink in sinks) - before, time.process_time() - used, time.perf_counter() - began
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return {"requests": values / 125 / took, "us": used * 1e6 / (values / 125)}


async def plain(ports: list[int], scan_s: float, seconds: float) -> dict[str, float]:
    """The bare client at the same pace: registers are read, nothing is made of them."""
    requests = 0

    async def _scan(port: int) -> None:
        nonlocal requests
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        while True:
            began = time.perf_counter()
            for start in (0, 125):
                await client.read_holding_registers(start, count=125, device_id=1)
                requests += 1
            await asyncio.sleep(max(0.0, scan_s - (time.perf_counter() - began)))

    running = [asyncio.create_task(_scan(port)) for port in ports]
    await asyncio.sleep(1.0)
    before, used, began = requests, time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    done, used, took = requests - before, time.process_time() - used, time.perf_counter() - began
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    return {"requests": done / took, "us": used * 1e6 / done}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "ours", "plain"])
    parser.add_argument("--devices", type=int, default=50)
    parser.add_argument("--ports", default="")
    parser.add_argument("--scan", type=float, default=0.1)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "serve":
        asyncio.run(serve(given.devices))
    else:
        client = ours if given.what == "ours" else plain
        print(json.dumps(asyncio.run(client([int(port) for port in given.ports.split(",")], given.scan, given.seconds))))
