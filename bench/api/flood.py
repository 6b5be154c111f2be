"""A peer that floods the control port with forged orders, by HTTP/2 frames of its own: cheap enough to offer 10 000 a second.

Every call bears a live session, a header in force and a tag that is wrong by one bit, so that it is refused by the last one of
the cheap checks. A connection that the server closes is opened again. ``cancel`` takes each call back as soon as it is sent, so
that no limit of open calls holds the sender up.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final, cast

import uvloop
from scadapb.v1 import scada_pb2 as pb

from scada.api.client import ScadaClient
from scada.core.clock import SystemClock
from scada.security.identities import load_authority, load_identity
from scada.security.tls_trust import ClientTls

HOST: Final = "127.0.0.1"
TICK_S: Final = 0.005
FORGE_S: Final = 1.0
"""An envelope is made anew so often: an old one is refused for its time, which is cheaper than for its tag."""

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM = ACK = 1
END_HEADERS = 4
CANCEL: Final = struct.pack(">I", 8)
WINDOW: Final = 65535
METHOD: Final = "/scadapb.v1.Control/Select"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame of HTTP/2 (RFC 9113 §4.1)."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: str, value: str) -> bytes:
    """A header field without indexing (RFC 7541 §6.2.2); shorter than 127 octets."""
    return bytes((0, len(name))) + name.encode() + bytes((len(value),)) + value.encode()


def header_block(session: str) -> bytes:
    """What a call of :data:`METHOD` begins with; ``0x83`` and ``0x87`` are POST and https."""
    path, host = METHOD.encode(), b"server"
    pseudo = b"\x83\x87\x04" + bytes((len(path),)) + path + b"\x01" + bytes((len(host),)) + host
    return pseudo + literal("te", "trailers") + literal("content-type", "application/grpc") + literal("session", session)


class Counts:
    """Since the last report, over all connections."""

    def __init__(self) -> None:
        self.due = self.offered = self.answered = self.closed = 0

    def report(self, seconds: float) -> dict[str, float]:
        """A second."""
        shown = {name: count / seconds for name, count in vars(self).items()}
        self.__init__()  # type: ignore[misc]
        return shown


class Line(asyncio.Protocol):
    """One connection: calls as many as the server lets it have open, and no answer read further than its end."""

    def __init__(self, counts: Counts, *, cancel: bool) -> None:
        self._counts = counts
        self._cancel = cancel
        self._held = bytearray()
        self._room = 0
        self._window = WINDOW
        self._stream = -1
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say the preface, and give the answers all the window there is."""
        self._transport = cast("asyncio.Transport", transport)
        credit = struct.pack(">I", (1 << 31) - 1 - WINDOW)
        self._transport.write(PREFACE + frame(SETTINGS, 0, 0) + frame(WINDOW_UPDATE, 0, 0, credit))

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed it, or we have."""
        del exc
        self.gone = True
        self._counts.closed += 1

    def offer(self, count: int, block: bytes, message: bytes) -> None:
        """Send as many calls as there is room for."""
        if not self._cancel:
            count = min(count, self._room)
            self._room -= count
        count = min(count, self._window // len(message)) if not self.gone else 0
        self._window -= count * len(message)
        out = bytearray()
        for _ in range(count):
            self._stream += 2
            out += frame(HEADERS, END_HEADERS, self._stream, block) + frame(DATA, END_STREAM, self._stream, message)
            if self._cancel:
                out += frame(RST_STREAM, 0, self._stream, CANCEL)
        self._transport.write(bytes(out))
        self._counts.offered += count

    def data_received(self, data: bytes) -> None:
        """Answers, window, settings and pings."""
        held = self._held
        held += data
        at = 0
        while len(held) - at >= 9 and len(held) - at >= 9 + (size := int.from_bytes(held[at : at + 3], "big")):
            payload = bytes(held[at + 9 : at + 9 + size])
            self._take(held[at + 3], held[at + 4], int.from_bytes(held[at + 5 : at + 9], "big"), payload)
            at += 9 + size
        del held[:at]

    def close(self) -> None:
        """At once."""
        self._transport.abort()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if (kind == HEADERS and flags & END_STREAM) or kind == RST_STREAM:
            self._room += 1
            self._counts.answered += 1
        elif kind == WINDOW_UPDATE and stream == 0:
            self._window += struct.unpack(">I", payload)[0]
        elif kind == PING and not flags & ACK:
            self._transport.write(frame(PING, ACK, 0, payload))
        elif kind == SETTINGS and not flags & ACK:
            values = dict(struct.iter_unpack(">HI", payload))
            self._room += values.get(3, 100)
            self._transport.write(frame(SETTINGS, ACK, 0))


class Flood:
    """Keeps so many connections open and offers so many calls a second over all of them, as evenly as they take them."""

    def __init__(self, port: int, client: ScadaClient, tls: ClientTls, *, connections: int, rate: float, cancel: bool) -> None:
        self._port, self._client, self._rate, self._cancel = port, client, rate, cancel
        self._wanted = connections
        self._ssl = tls.context()
        self._server_name = tls.server_name
        self._lines: list[Line] = []
        self.counts = Counts()

    async def run(self) -> None:
        """Until cancelled."""
        keeping = [asyncio.create_task(self._keep()) for _ in range(self._wanted)]
        try:
            await self._offer()
        finally:
            for task in keeping:
                task.cancel()
            for line in self._lines:
                line.close()

    async def _offer(self) -> None:
        block, message, forged, last, due = b"", b"", 0.0, time.perf_counter(), 0.0
        while True:
            now = time.perf_counter()
            if now - forged > FORGE_S:
                block, message, forged = header_block(self._client.session.session), self._forge(), now
            due, last = due + (now - last) * self._rate, now
            self._lines = [line for line in self._lines if not line.gone]
            self.counts.due += int(due)
            for number, line in enumerate(self._lines):
                line.offer(int(due) // len(self._lines) + (number < int(due) % len(self._lines)), block, message)
            due -= int(due)
            await asyncio.sleep(TICK_S)

    async def _keep(self) -> None:
        """One connection, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(OSError):
                _, line = await loop.create_connection(
                    lambda: Line(self.counts, cancel=self._cancel),
                    HOST,
                    self._port,
                    ssl=self._ssl,
                    server_hostname=self._server_name,
                )
                self._lines.append(line)
                while not line.gone:  # noqa: ASYNC110 - any of two hundred
                    await asyncio.sleep(TICK_S)
            await asyncio.sleep(TICK_S)

    def _forge(self) -> bytes:
        """A message of gRPC with an order whose tag is wrong."""
        request = pb.SelectRequest(control="setpoint", value=1.0, device_number="G1")
        signed = pb.Signed.FromString(self._client.session.seal(METHOD, request, valid_s=5.0))
        signed.mac = bytes((signed.mac[0] ^ 1,)) + signed.mac[1:]
        envelope = signed.SerializeToString()
        return b"\x00" + struct.pack(">I", len(envelope)) + envelope


def flooding_client(keys: Path, name: str, port: int, control_port: int, site: str) -> tuple[ScadaClient, ClientTls]:
    """Who floods: somebody with a certificate in force and a session."""
    clock, tls = SystemClock(), ClientTls(keys, name)
    servers = f"{HOST}:{port}", f"{HOST}:{control_port}"
    return ScadaClient(*servers, load_identity(keys, name, clock), load_authority(keys), clock, site=site, tls=tls), tls


async def _main(given: argparse.Namespace) -> None:
    client, tls = flooding_client(given.keys, given.name, given.port, given.control_port, given.site)
    async with client:
        options = {"connections": given.connections, "rate": given.rate, "cancel": bool(given.cancel)}
        flood = Flood(given.control_port, client, tls, **options)
        running = asyncio.create_task(flood.run())
        _say({"ready": True})
        loop, since = asyncio.get_running_loop(), time.perf_counter()
        while await loop.run_in_executor(None, sys.stdin.readline):
            now, used = time.perf_counter(), time.process_time()
            _say({**flood.counts.report(now - since), "cpu": used})
            since = now
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--control-port", type=int, required=True)
    parser.add_argument("--keys", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--site", required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--cancel", type=int, default=0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))
