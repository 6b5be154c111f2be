"""Our controlled station under measurement: a process that serves it, and says what an interrogation took of its memory."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tracemalloc

import numpy as np
import uvloop
from chain.tables import FIRST_IOA
from workers import own_memory_mb

from scada.core.clock import SystemClock
from scada.core.ids import PointId
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Control, ControlKind, Point, PointKind
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer

COMMAND_IOA = 500
PER_STATION = 65_000
"""Points of one common address at most."""


def points(count: int) -> list[Point]:
    """Half of them short floats, half single points."""
    return [
        Point(
            PointId(pid), f"p{pid}", f"S/{pid}", str(pid), PointKind.STATUS if pid % 2 else PointKind.ANALOG, "", "", "", "", "S",
            "", 0, Iec104Address(1 + pid // PER_STATION, FIRST_IOA + pid % PER_STATION, 30 if pid % 2 else 13),
        )
        for pid in range(count)
    ]  # fmt: skip


def control() -> Control:
    """A breaker."""
    address = Iec104Address(1, COMMAND_IOA, 46)
    return Control(0, "c0", "S/Q0", "Q0", ControlKind.DOUBLE, "SwitchPosition", "", "q0", "S", 0, address, None, "1", select=True)


async def _main(count: int) -> None:
    loop = asyncio.get_running_loop()
    station = Outstation(points(count), [control()], SystemClock(), on_command=lambda _: True)
    pids = np.arange(count)
    station.update(pids, (pids % 2).astype(float))
    server = OutstationServer(station, port=0, on_remark=lambda text: print(text, file=sys.stderr))
    await server.start()
    print(json.dumps({"port": server.port, "stations": list(station.common_addresses)}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        match json.loads(line)["what"]:
            case "watch":
                tracemalloc.start()
                tracemalloc.reset_peak()
                answer = {"memory_mb": own_memory_mb()}
            case "memory":
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                answer = {"peak_mb": peak / 2**20, "memory_mb": own_memory_mb()}
        print(json.dumps(answer), flush=True)
    await server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args().points))
