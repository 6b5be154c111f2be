"""A controlled station that is there to be killed: ``station_process.py FOLDER``; its port goes to standard output.

Event number ``n`` is a change of point ``n % 100`` at ``BEGIN_NS`` + n ms, and the number of its source is ``n + 1``: after a
restart it goes on behind what the queue says that it holds.
"""

import asyncio
import sys
from pathlib import Path

import numpy as np

from scada.core.clock import SystemClock
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import Point, PointKind, RedundancyGroup
from scada.protocols.iec104.event_queue import StoredEventQueue
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer

BEGIN_NS = 1_780_000_000_000_000_000
POINTS = 100
BURST = 20


def point(pid):
    name = f"P{pid}"
    return Point(pid, name, f"S/{name}", name, PointKind.STATUS, "", "", "", "", "S", "", 0, Iec104Address(1, 1000 + pid, 1))


async def main(folder):
    queue = StoredEventQueue(folder, "upstream", 200_000)
    groups = [RedundancyGroup("centre", ("127.0.0.1",))]
    station = Outstation([point(pid) for pid in range(POINTS)], [], SystemClock(), groups=groups, queue=queue)
    server = OutstationServer(station, port=0)
    await server.start()
    print(server.port, flush=True)
    number = queue.source_seq
    while True:
        burst = np.arange(number, number + BURST)
        station.update(
            burst % POINTS,
            burst // POINTS % 2,
            source_time=BEGIN_NS + burst * 10**6,
            compare=False,
            source_seq=number + BURST,
        )
        number += BURST
        await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
