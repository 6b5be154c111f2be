"""Counts the values that hat-drivers' IEC 104 master hands over; prints one JSON line with its CPU a value."""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from hat.drivers import iec104, tcp


async def _main(port: int, values: int) -> None:
    connection = await iec104.connect(tcp.Address("127.0.0.1", port))
    began, used, seen = time.perf_counter(), time.process_time_ns(), 0
    while seen < values:
        seen += len(await connection.receive())
    used = time.process_time_ns() - used
    print(json.dumps({"values": seen, "ns": used / seen, "rate": seen / (time.perf_counter() - began)}), flush=True)
    await connection.async_close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--values", type=int, required=True)
    given = parser.parse_args()
    asyncio.run(_main(given.port, given.values))
