"""Masters of the measurement, run once: an interrogation of everything by a bare socket, or commands by our driver."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time

import numpy as np
import uvloop
from iec104.station import control
from sink import CountingSink

from scada.core.clock import SystemClock
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import Outcome
from scada.protocols.iec104.driver import Iec104Driver

ACTIVATION_TERMINATION, INTERROGATED = 10, 20
ACKNOWLEDGE_AFTER = 8


def interrogate(port: int, stations: int) -> dict[str, float]:
    """Interrogate each common address in turn; seconds and objects of all of them."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sendall(bytes((0x68, 4, 0x07, 0, 0, 0)))
        began, used = time.perf_counter(), time.process_time()
        rest, received, objects, sent, acknowledged = b"", 0, 0, 0, 0
        ended = -1  # the confirmation of STARTDT comes first
        while ended < stations:
            rest += line.recv(1 << 16)
            at = 0
            while len(rest) - at >= 6 and len(rest) - at >= 2 + rest[at + 1]:
                if rest[at + 2] & 3 == 3:
                    ended = 0
                    line.sendall(_interrogation(0, 0, 1))
                    sent = 1
                elif rest[at + 2] & 1 == 0:
                    received += 1
                    cause = rest[at + 8] & 0x3F
                    objects += rest[at + 7] & 0x7F if cause == INTERROGATED else 0
                    if rest[at + 6] == 100 and cause == ACTIVATION_TERMINATION:
                        ended += 1
                        if ended < stations:
                            line.sendall(_interrogation(sent, received, ended + 1))
                            sent += 1
                at += 2 + rest[at + 1]
            rest = rest[at:]
            if received - acknowledged >= ACKNOWLEDGE_AFTER:
                line.sendall(bytes((0x68, 4, 1, 0)) + (received << 1 & 0xFFFF).to_bytes(2, "little"))
                acknowledged = received
        return {
            "seconds": time.perf_counter() - began,
            "objects": objects,
            "frames": received,
            "cpu_s": time.process_time() - used,
        }


def _interrogation(sent: int, received: int, address: int) -> bytes:
    numbers = (sent << 1).to_bytes(2, "little") + (received << 1 & 0xFFFF).to_bytes(2, "little")
    return bytes((0x68, 14)) + numbers + bytes((100, 1, 6, 0)) + address.to_bytes(2, "little") + bytes((0, 0, 0, 20))


async def command(port: int, count: int) -> dict[str, float]:
    """Select and execute a breaker again and again; percentiles of the round trip of both steps, ms."""
    spec = ChannelSpec(0, "c", "bench", "iec104", "127.0.0.1", port, "S", {"interrogation_s": 0, "clock_sync_s": 0})
    sink, one = CountingSink(silent=True), control()
    driver = Iec104Driver(spec, [], [one], sink, SystemClock())
    running = asyncio.create_task(driver.run())
    await asyncio.wait_for(sink.up.wait(), 20)
    took = []
    for number in range(count):
        began = time.perf_counter()
        value = float(1 + number % 2)
        for step in (driver.select, driver.execute):
            result = await step(one, value)
            if result.outcome is not Outcome.CONFIRMED:
                raise RuntimeError(result.reason)
        took.append((time.perf_counter() - began) * 1e3)
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    p50, p99 = np.percentile(took[count // 10 :], [50, 99])
    return {"p50_ms": float(p50), "p99_ms": float(p99)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["interrogate", "command"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    given = parser.parse_args()
    if given.what == "interrogate":
        print(json.dumps(interrogate(given.port, given.count)))
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            print(json.dumps(runner.run(command(given.port, given.count))))
