"""An OPC UA server by asyncua whose variables change; and the two clients that follow them, each run once."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import time
from typing import Any

from asyncua import Client, Server, ua
from sink import CountingSink

from scada.core.clock import SystemClock
from scada.core.ids import PointId
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import ChannelSpec, Point, PointKind
from scada.protocols.registry import make_driver

PER_FOLDER = 100
PUBLISHING_MS = 200


async def serve(items: int, rate: float) -> None:
    """Serve until the input ends; ``rate`` variables change a second, in turn."""
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace("urn:scada-ems:bench")
    nodes = []
    for number in range(items):
        if number % PER_FOLDER == 0:
            folder = await server.nodes.objects.add_folder(ua.NodeId(f"F{number}", space), f"{space}:F{number}")
        nodes.append(await folder.add_variable(ua.NodeId(f"V{number}", space), f"{space}:V{number}", 0.0))
    async with server:
        port = server.bserver._server.sockets[0].getsockname()[1]  # noqa: SLF001 - no public way to the port it chose
        print(json.dumps({"port": port, "namespace": space}), flush=True)
        changing = asyncio.create_task(_change(server, nodes, rate))
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        changing.cancel()


async def _change(server: Server, nodes: list[Any], rate: float) -> None:
    began, done = time.perf_counter(), 0
    while True:
        await asyncio.sleep(0.02)
        for number in range(done, int((time.perf_counter() - began) * rate)):
            value = ua.DataValue(ua.Variant(float(number), ua.VariantType.Double))
            await server.write_attribute_value(nodes[number % len(nodes)].nodeid, value)
            done = number + 1


async def ours(port: int, space: int, items: int, seconds: float) -> dict[str, float]:
    """Our driver with a point for every variable."""
    parameters: dict[str, float | str] = {"publishing_ms": PUBLISHING_MS}
    spec = ChannelSpec(0, "c", "server", "opcua", "127.0.0.1", port, "S", parameters)
    points = [
        Point(PointId(one), f"p{one}", f"S/{one}", str(one), PointKind.ANALOG, "", "", "", "", "S", "", 0,
              OpcUaAddress(f"ns={space};s=V{one}")) for one in range(items)
    ]  # fmt: skip
    sink = CountingSink()
    began = time.perf_counter()
    running = asyncio.create_task(make_driver(spec, points, [], sink, SystemClock()).run())
    await asyncio.wait_for(sink.up.wait(), 120)
    up_s = time.perf_counter() - began
    await asyncio.sleep(3.0)
    before, used, began = sink.values, time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    values, used, took = sink.values - before, time.process_time() - used, time.perf_counter() - began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return {"values": values / took, "us": used * 1e6 / max(1, values), "up_s": up_s}


class _Counter:
    values = 0

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """Count."""
        del node, value, data
        self.values += 1


async def plain(port: int, space: int, items: int, seconds: float) -> dict[str, float]:
    """The bare client of the library with a handler that counts."""
    counter = _Counter()
    async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
        began = time.perf_counter()
        subscription = await client.create_subscription(PUBLISHING_MS, counter)
        nodes = [client.get_node(f"ns={space};s=V{one}") for one in range(items)]
        for start in range(0, items, 1000):
            await subscription.subscribe_data_change(nodes[start : start + 1000])
        up_s = time.perf_counter() - began
        await asyncio.sleep(3.0)
        before, used, began = counter.values, time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        values, used, took = counter.values - before, time.process_time() - used, time.perf_counter() - began
    return {"values": values / took, "us": used * 1e6 / max(1, values), "up_s": up_s}


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["serve", "ours", "plain"])
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--rate", type=float, default=2000.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--namespace", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.what == "serve":
        asyncio.run(serve(given.items, given.rate))
    else:
        follow = ours if given.what == "ours" else plain
        print(json.dumps(asyncio.run(follow(given.port, given.namespace, given.items, given.seconds))))
