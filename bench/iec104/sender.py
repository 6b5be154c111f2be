"""A station that sends one kind of APDU as fast as the window opens, to whichever master connects; for the peers' decoders.

It says on its output how many values left once its input ends a run. One master at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

import uvloop
from iec104.decode import stream

MODULO = 1 << 15
K = 12


class Sender(asyncio.Protocol):
    """One connection.

    Args:
        frames: the I frames to send, numbered from 0; sent over and over.
        most: frames that are sent at most.
    """

    def __init__(self, frames: list[bytes], most: int) -> None:
        self._frames, self._most = frames, most
        self._sent = self._acknowledged = 0
        self._transport: Any = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master is there; it gets nothing before STARTDT."""
        self._transport, self._sent, self._acknowledged, self._rest = transport, 0, 0, b""

    def data_received(self, data: bytes) -> None:
        """U and S frames, and I frames that are only acknowledged by number."""
        data, at = self._rest + data, 0
        while len(data) - at >= 6 and len(data) - at >= 2 + data[at + 1]:
            control = data[at + 2 : at + 6]
            if control[0] & 3 == 3:
                if control[0] in {0x07, 0x43}:
                    self._transport.write(bytes((0x68, 4, {0x07: 0x0B, 0x43: 0x83}[control[0]], 0, 0, 0)))
            else:
                number = (control[2] | control[3] << 8) >> 1
                self._acknowledged += (number - self._acknowledged) % MODULO
            at += 2 + data[at + 1]
        self._rest = data[at:]
        room = min(K - (self._sent - self._acknowledged), self._most - self._sent)
        if room > 0:
            self._transport.write(b"".join(self._frames[(self._sent + one) % MODULO] for one in range(room)))
            self._sent += room


def split(reads: list[bytes]) -> list[bytes]:
    """Single frames of joined ones."""
    frames = []
    for read in reads:
        at = 0
        while at < len(read):
            end = at + 2 + read[at + 1]
            frames.append(read[at:end])
            at = end
    return frames


async def _main(type_id: int, most: int) -> None:
    loop = asyncio.get_running_loop()
    frames = split(stream(type_id, MODULO))
    server = await loop.create_server(lambda: Sender(frames, most), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", type=int, required=True)
    parser.add_argument("--most", type=int, required=True)
    given = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(given.type, given.most))
