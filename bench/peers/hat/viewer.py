"""Subscriber of the event server: switches the gateway's devices on, counts what comes and how old it is on arrival.

Runs in the peer's own environment and speaks the measurement's line protocol over its input and output.
"""

import argparse
import asyncio
import json
import sys
import time

from hat import aio
from hat.drivers import tcp
import hat.event.common
import hat.event.eventer

FIRST_IOA = 1000


def now_ns():
    return time.time_ns()


class Tally:
    def __init__(self):
        self.rows = 0
        self.ages = []
        self.last = {}
        self.disordered = 0

    def take(self, client, events):
        now = now_ns()
        for event in events:
            if event.type[3:5] != ("gateway", "data"):
                continue
            self.rows += 1
            at = event.source_timestamp
            self.ages.append(now / 1e9 - at.s - at.us / 1e6)
            value = event.payload.data["data"]["value"]
            point = event.type[6:8]
            self.disordered += value != self.last.get(point, 0.0) + 1.0
            self.last[point] = value

    def report(self):
        ages, self.ages = sorted(self.ages), []
        shown = {"rows": self.rows, "disordered": self.disordered}
        if ages:
            shown["age"] = {name: ages[int(len(ages) * part)] * 1e3 for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999))}
        return shown


async def main(arguments):
    tally = Tally()
    address = tcp.Address("127.0.0.1", arguments.port)
    client = None
    for attempt in range(100):
        try:
            client = await hat.event.eventer.connect(
                address, "viewer", subscriptions=[("gateway", "iec104_master", "?", "gateway", "*")], events_cb=tally.take
            )
            break
        except ConnectionError:
            await asyncio.sleep(0.1)
    if client is None:
        raise SystemExit("the event server does not answer")
    await client.register(
        [
            hat.event.common.RegisterEvent(
                type=("gateway", "iec104_master", f"rtu{index + 1}", "system", "enable"),
                source_timestamp=None,
                payload=hat.event.common.EventPayloadJson(True),
            )
            for index in range(arguments.channels)
        ],
        with_response=True,
    )
    say({"ready": True})
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        say({"rows": tally.rows} if request["what"] == "peek" else tally.report())
    await client.async_close()


def say(answer):
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--channels", type=int, required=True)
    aio.init_asyncio()
    aio.run_asyncio(main(parser.parse_args()))
