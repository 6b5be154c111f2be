"""A viewer of every point, over gRPC with a real session: counts what comes and how old it is on arrival."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import uvloop
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.core.clock import SystemClock
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls

PERIOD_MS = 10
CREDIT = 16


class Tally:
    """What has come so far.

    Args:
        points: number of points of the server.
    """

    def __init__(self, points: int) -> None:
        self.last = np.full(points, np.nan)
        self.frames = self.rows = self.conflated = 0
        self.fulls = 0
        self._ages: list[npt.NDArray[np.int64]] = []
        self._served: list[npt.NDArray[np.int64]] = []
        self._wire: list[npt.NDArray[np.int64]] = []
        self._encoded: list[npt.NDArray[np.int64]] = []

    def take(self, message: bytes) -> None:
        """Count one ``PointFrame``."""
        now = time.time_ns()  # noqa: TID251 - the viewer's own clock
        frame = pb.PointFrame.FromString(message)
        pid = np.fromiter(frame.pid, dtype=np.uint32, count=len(frame.pid))
        self.last[pid] = np.fromiter(frame.value, dtype=np.float64, count=len(pid))
        if frame.full:
            self.fulls += 1
            return
        self.frames += 1
        self.rows += len(pid)
        self.conflated += frame.conflated
        if len(pid):
            stamped = np.fromiter(frame.source_time_ns, dtype=np.int64, count=len(pid))
            received = np.fromiter(frame.received_ns, dtype=np.int64, count=len(pid))
            self._ages.append(now - stamped)
            self._served.append(now - received)
            self._wire.append(received - stamped)
            self._encoded.append(frame.time_ns - received)

    def counts(self) -> dict[str, Any]:
        """Counts since the start."""
        return {"frames": self.frames, "rows": self.rows, "conflated": self.conflated, "fulls": self.fulls}

    def report(self) -> dict[str, Any]:
        """Counts since the start, ages in ms since the last report."""
        shown = self.counts()
        for name, parts in (("age", self._ages), ("served", self._served), ("wire", self._wire), ("encoded", self._encoded)):
            if parts:
                p50, p99, p999 = np.percentile(np.concatenate(parts), [50, 99, 99.9]) / 1e6
                shown[name] = {"p50": float(p50), "p99": float(p99), "p999": float(p999)}
            parts.clear()
        return shown


async def _follow(client: ScadaClient, tally: Tally) -> None:
    taken: asyncio.Queue[int] = asyncio.Queue()

    async def requests() -> AsyncGenerator[bytes, None]:
        yield pb.SubscribeRequest(credit=CREDIT, period_ms=PERIOD_MS).SerializeToString()
        while True:
            yield pb.SubscribeRequest(credit=await taken.get()).SerializeToString()

    async for message in client.relay_stream("Realtime/Subscribe", requests()):
        tally.take(message)
        taken.put_nowait(1)


async def _main(arguments: argparse.Namespace) -> None:
    clock = SystemClock()
    host = "127.0.0.1"
    client = ScadaClient(
        f"{host}:{arguments.port}",
        f"{host}:{arguments.control_port}",
        load_identity(arguments.keys, "operator", clock),
        load_authority(arguments.keys),
        clock,
        site="bench",
        tls=ClientTls(arguments.keys, "operator"),
    )
    tally = Tally(arguments.points)
    async with client:
        following = asyncio.create_task(_follow(client, tally))
        while not tally.fulls:
            if following.done():
                following.result()
            await asyncio.sleep(0.01)
        _say({"ready": True})
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if following.done():
                following.result()
            request = json.loads(line)
            if request["what"] == "last":
                np.save(request["path"], tally.last)
                _say({})
            elif request["what"] == "peek":
                _say(tally.counts())
            else:
                _say(tally.report())
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--points", type=int, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))
