"""Decoding alone: octets in memory -> records, by the same machine that serves a link; run once, prints one JSON line."""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
from chain.blaster import FIRST_IOA, SHORT_FLOAT, cp56
from chain.tables import tables

from scada.protocols.iec104.apci import i_frame
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.effects import Values

NOW_NS = 1_700_000_000_000_000_000
READ = 65_536
"""Octets of one read of the socket, about."""


def stream(type_id: int, frames: int) -> list[bytes]:
    """Reads of I frames with consecutive numbers from 0; sequences of 48 short floats, or 16 of them with time."""
    reads, read = [], b""
    for number in range(frames):
        value = np.array([number + 1], dtype="<f4").tobytes() + b"\x00"
        if type_id == SHORT_FLOAT:
            first = (FIRST_IOA + number * 48 % 768).to_bytes(3, "little")
            asdu = bytes((13, 0x80 | 48, 3, 0, 1, 0)) + first + value * 48
        else:
            stamp = cp56(NOW_NS + number * 1_000_000)
            addresses = [(FIRST_IOA + (number * 16 + one) % 800).to_bytes(3, "little") for one in range(16)]
            asdu = bytes((36, 16, 3, 0, 1, 0)) + b"".join(address + value + stamp for address in addresses)
        read += i_frame(number % 32_768, 0, asdu)
        if len(read) >= READ:
            reads.append(read)
            read = b""
    return [*reads, read]


def measure(type_id: int, seconds: float) -> dict[str, float]:
    """CPU ns a value of this process over some seconds of feeding; the values counted as they come out."""
    made = tables([2404], 800, {"k": 12, "w": 8})
    channel = Channel(made.channels[0], made.points, [])
    reads = stream(type_id, 32_768)
    now, mono, values = NOW_NS + 40_000_000_000, 0.0, 0  # no tag is late, also when the stream begins anew
    _start(channel)
    used = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.process_time_ns()
        for read in reads:  # the numbers wrap at the end, so the stream can be fed again
            for effect in channel.feed(read, now, mono):
                if isinstance(effect, Values):
                    values += len(effect.batch)
            channel.delivered(mono)
        used += time.process_time_ns() - began
    return {"values": values, "ns": used / values}


def _start(channel: Channel) -> None:
    channel.connected(0.0)
    channel.feed(bytes((0x68, 4, 0x0B, 0, 0, 0)), 1, 0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--type", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    measure(given.type, 0.2)
    print(json.dumps(measure(given.type, given.seconds)))
