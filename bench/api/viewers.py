"""Viewers of every point, each with a session and a connection of its own: how old frames are on arrival.

``stalled`` ones take the first frame and never give credit again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from chain.server import SITE

from scada.api.client import ScadaClient
from scada.api.faults import CallError
from scada.core.clock import SystemClock
from scada.core.errors import SecurityError
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls

HOST = "127.0.0.1"
PERIOD_MS = 50
"""Half of the period of the changes, so that a frame never waits for the period of the one before."""

CREDIT = 8


class Tally:
    """What has come since the last report."""

    def __init__(self) -> None:
        self.first = self.frames = self.rows = self.broken = 0
        self.ages: list[int] = []

    def report(self) -> dict[str, Any]:
        """Counts and ages in ms."""
        p50, p99, worst = (np.percentile(self.ages, [50, 99, 100]) / 1e6).tolist() if self.ages else (0.0, 0.0, 0.0)
        shown = {"frames": self.frames, "rows": self.rows, "broken": self.broken, "p50": p50, "p99": p99, "worst": worst}
        self.frames = self.rows = 0
        self.ages.clear()
        return shown


async def _view(client: ScadaClient, tally: Tally, *, stalled: bool) -> None:
    try:
        async with aclosing(client.frames(period_ms=PERIOD_MS, credit=CREDIT)) as frames:
            await anext(frames)
            tally.first += 1
            if stalled:
                await asyncio.Event().wait()
            async for frame in frames:
                now = time.time_ns()  # noqa: TID251 - the viewer's own clock
                tally.frames += 1
                tally.rows += len(frame.pid)
                if frame.pid:
                    tally.ages.append(now - frame.source_time_ns[0])
    except (CallError, SecurityError) as error:
        tally.broken += 1
        print(error, file=sys.stderr, flush=True)


async def _main(given: argparse.Namespace) -> None:
    clock, tally = SystemClock(), Tally()
    names = given.names.split(",")
    authority = load_authority(given.keys)
    clients = [
        ScadaClient(
            f"{HOST}:{given.port}",
            f"{HOST}:{given.control_port}",
            load_identity(given.keys, names[number % len(names)], clock),
            authority,
            clock,
            site=SITE,
            station=f"bench-{number}",
            tls=ClientTls(given.keys, names[number % len(names)]),
        )
        for number in range(given.viewers)
    ]
    tasks = []
    for number, client in enumerate(clients, 1):
        await client.connect()
        tasks.append(asyncio.create_task(_view(client, tally, stalled=bool(given.stalled))))
        while tally.first + tally.broken < number:  # noqa: ASYNC110 - one after the other
            await asyncio.sleep(0.005)
    _say({"ready": tally.first})
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        _say(tally.report())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--names", required=True)
    parser.add_argument("--viewers", type=int, required=True)
    parser.add_argument("--stalled", type=int, default=0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))
