"""An operator: select and cancel over gRPC, each answered when the outstation has confirmed it."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvloop
from chain.server import SITE
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.core.clock import SystemClock
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls

HOST = "127.0.0.1"
PAUSE_S = 0.02


async def _round(client: ScadaClient, control: str, value: float) -> float:
    """Seconds of one select, preset on the wire and checked back."""
    began = time.perf_counter()
    request = pb.SelectRequest(control=control, value=value, device_number="G1")
    reply = await client.signed("Control/Select", request)
    took = time.perf_counter() - began
    if reply.state != pb.CONTROL_STATE_SELECTED:
        raise RuntimeError(f"{reply.code}: {reply.reason}")
    await client.signed("Control/Cancel", pb.CancelRequest(sequence_id=reply.sequence_id))
    return took


async def _main(given: argparse.Namespace) -> None:
    clock = SystemClock()
    client = ScadaClient(
        f"{HOST}:{given.port}",
        f"{HOST}:{given.control_port}",
        load_identity(given.keys, "operator", clock),
        load_authority(given.keys),
        clock,
        site=SITE,
        station="bench",
        tls=ClientTls(given.keys, "operator"),
    )
    async with client:
        await _round(client, given.control, 1.0)
        _say({"ready": True})
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            until = time.perf_counter() + json.loads(line)["seconds"]
            took = []
            while time.perf_counter() < until:
                took.append(await _round(client, given.control, 1.0 + len(took) % 9))
                await asyncio.sleep(PAUSE_S)
            p50, p99, worst = (np.percentile(took, [50, 99, 100]) * 1e3).tolist()
            _say({"rounds": len(took), "p50": p50, "p99": p99, "worst": worst})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--control", required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))
