"""Our own station or master in a process of its own, for the interop matrix; JSON lines on stdin and stdout.

usage: ours_peer.py station PORT | master PORT
"""

import asyncio
import json
import sys

from scada.core.clock import SystemClock
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.iec104.driver import Iec104Driver
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer

NAMES = {"single": 0, "double": 1, "short": 2}


def say(**what):
    print(json.dumps(what), flush=True)


async def orders():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield json.loads(line)


def point(pid, ioa, type_id, kind):
    return Point(pid, f"m{pid}", f"S/{ioa}", str(ioa), kind, "", "", "", "", "S", "", 0, Iec104Address(1, ioa, type_id))


def control(cid, ioa, type_id, kind, *, select):
    address = Iec104Address(1, ioa, type_id)
    return Control(cid, f"c{cid}", f"S/{ioa}", str(ioa), kind, "", "", "", "S", 0, address, None, "", select=select)


POINTS = (
    point(0, 100, 30, PointKind.STATUS),
    point(1, 200, 31, PointKind.DOUBLE),
    point(2, 300, 36, PointKind.ANALOG),
    point(3, 800, 15, PointKind.COUNTER),
)
CONTROLS = (
    control(0, 5000, 46, ControlKind.DOUBLE, select=True),
    control(1, 5001, 45, ControlKind.SINGLE, select=False),
)


async def station(port):
    def asked(one):
        say(command=one.control.address.ioa, step=str(one.step), value=one.value)
        return True

    one = Outstation(POINTS, CONTROLS, SystemClock(), on_command=asked)
    one.update(range(4), [0, 1, 12.5, 4711], source_time=SystemClock().now_ns())
    server = OutstationServer(one, port=port)
    await server.start()
    say(ready=True)
    async for order in orders():
        one.update([NAMES[order["set"]]], order["value"], source_time=order["time_ms"] * 1_000_000)
    await server.close()


class Sink:
    def deliver(self, batch):
        for row in batch.records:
            time = int(row["source_time"]) // 1_000_000 or None
            ioa = POINTS[row["pid"]].address.ioa
            say(told=ioa, value=float(row["value"]), time_ms=time, cause=int(row["cause"]) & 0x3F)

    async def ready(self):
        pass

    def state(self, state, reason):
        if state in {LinkState.UP, LinkState.DOWN}:
            say(up=state is LinkState.UP)

    def notice(self, kind, text):
        say(notice=kind, text=text)


async def master(port):
    # nothing is asked but by the test
    params = {"interrogation_s": 0, "counter_interrogation_s": 0, "clock_sync_s": 0, "command_timeout_s": 3}
    spec = ChannelSpec(0, "m", "peer", "iec104", "127.0.0.1", port, "S", params)
    driver = Iec104Driver(spec, POINTS, CONTROLS, Sink(), SystemClock())
    double, single = CONTROLS
    task = asyncio.create_task(driver.run())

    async def confirmed(*steps):
        return all([(await step()).outcome is Outcome.CONFIRMED for step in steps])

    async for order in orders():
        steps = {
            "interrogate": [driver.interrogate],
            "clock": [driver.synchronise_clock],
            "counters": [lambda: driver.order("read_counters", {})],
            "direct": [lambda: driver.execute(single, 1)],
            "sbo": [lambda: driver.select(double, 2), lambda: driver.execute(double, 2)],
            "cancel": [lambda: driver.select(double, 2), lambda: driver.cancel(double, 2)],
        }[order["do"]]
        say(done=order["do"], ok=await confirmed(*steps))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run({"station": station, "master": master}[sys.argv[1]](int(sys.argv[2])))
