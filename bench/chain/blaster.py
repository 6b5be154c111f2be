"""Outstations that send as fast as the window lets them, or at a given rate; one process for all of them.

Each APDU carries 16 short floats with CP56Time2a (type 36), or as many of them, or of single points (type 30), as asked. The
octets are made once; only sequence numbers, value and time are written in before they leave, so that this process is not the
limit. The stamp is the time at which the change *happened* here; what then waits for a closed window is late by its own fault,
and seen as such.

The APCI is obeyed: nothing before STARTDT, never more than ``k`` frames unacknowledged, received commands acknowledged. Point
``p`` takes the values 1, 2, 3, ... in order, so that a lost or doubled value shows at once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import uvloop

VALUES = 16
OBJECT = 15
"""Octets of one object of type 36: address 3, float 4, quality 1, time 7."""
STATUS_OBJECT = 11
"""Octets of one object of type 30: address 3, state and quality 1, time 7."""
FIRST_IOA = 1000
MODULO = 1 << 15
STARTDT_ACT, STARTDT_CON = 0x07, 0x0B
STOPDT_ACT, STOPDT_CON = 0x13, 0x23
TESTFR_ACT, TESTFR_CON = 0x43, 0x83
INTERROGATION, CLOCK_SYNC, SHORT_FLOAT, SINGLE_POINT, SETPOINT = 100, 103, 13, 1, 50
ACTIVATION, CONFIRMATION, TERMINATION, INTERROGATED = 6, 7, 10, 20
TICK_S = 0.002


def templates(points: int, common_address: int, values: int = VALUES, *, status: bool = False) -> npt.NDArray[np.uint8]:
    """One APDU a block of points, cause *spontaneous*, times and values zero; shape (blocks, octets of an APDU)."""
    blocks, size = points // values, STATUS_OBJECT if status else OBJECT
    frames = np.zeros((blocks, 12 + values * size), dtype=np.uint8)
    frames[:, 0:2] = 0x68, frames.shape[1] - 2
    frames[:, 6:12] = 30 if status else 36, values, 3, 0, common_address & 0xFF, common_address >> 8
    ioa = (FIRST_IOA + np.arange(blocks * values, dtype="<u4")).view(np.uint8).reshape(blocks, values, 4)
    frames[:, 12:].reshape(blocks, values, size)[:, :, :3] = ioa[:, :, :3]
    return frames


def cp56(now_ns: int) -> bytes:
    """UTC as CP56Time2a (5-101, 7.2.6.18); cut to milliseconds."""
    seconds, ns = divmod(now_ns, 1_000_000_000)
    at = datetime.fromtimestamp(seconds, tz=UTC)
    milliseconds = at.second * 1000 + ns // 1_000_000
    return milliseconds.to_bytes(2, "little") + bytes(
        (at.minute, at.hour, at.day | at.isoweekday() << 5, at.month, at.year - 2000)
    )


class Station(asyncio.Protocol):
    """One outstation with one master at a time.

    Args:
        number: common address, from 1.
        points: a multiple of ``values``.
        k: send window.
        values: of one APDU.
        status: single points with time (type 30) that go to and fro, instead of short floats.
    """

    def __init__(self, number: int, points: int, k: int, values: int = VALUES, *, status: bool = False) -> None:
        self.number = number
        self.k = k
        self.values = values
        self.status = status
        self.frames = templates(points, number, values, status=status)
        self.made = 0
        """APDUs made, i.e. changes that happened, since the process began."""
        self.quota = 0
        """Frames that may be made while blasting flat out."""
        self.most = 0
        """Most frames ever unacknowledged."""
        self.started = False
        self._transport: Any = None
        self._rest = b""
        self._forget()

    def _forget(self) -> None:
        self._send = self._acknowledged = self._receive = 0
        self._urgent: list[bytes] = []
        self._waiting: list[tuple[int, bytes]] = []

    @property
    def outstanding(self) -> int:
        """I frames sent and not acknowledged."""
        return (self._send - self._acknowledged) % MODULO

    @property
    def idle(self) -> bool:
        """True if nothing waits to be sent."""
        return not self._urgent and not self._waiting and not self.quota

    # ------------------------------------------------------------------ changes

    def change(self, count: int, now_ns: int) -> None:
        """``count`` further blocks of values change now."""
        stamp = cp56(now_ns)
        self._waiting += [(number, stamp) for number in range(self.made, self.made + count)]
        self.made += count
        self.pump()

    def pump(self) -> None:
        """Send what the window allows: answers first, then what has changed, then, flat out, what is made on the spot."""
        if not self.started:
            return
        room = self.k - self.outstanding
        while room and self._urgent:
            asdu = self._urgent.pop(0)
            head = (
                bytes((0x68, 4 + len(asdu)))
                + (self._send << 1).to_bytes(2, "little")
                + (self._receive << 1).to_bytes(2, "little")
            )
            self._transport.write(head + asdu)
            self._send = (self._send + 1) % MODULO
            room -= 1
        if room and self.quota:
            count = min(room, self.quota)
            self.quota -= count
            stamp = cp56(time.time_ns())  # noqa: TID251 - the outstation's own clock
            self._waiting += [(number, stamp) for number in range(self.made, self.made + count)]
            self.made += count
        if room and self._waiting:
            leaving, self._waiting = self._waiting[:room], self._waiting[room:]
            self._transport.write(self._stamped(leaving))
        self.most = max(self.most, self.outstanding)

    def _stamped(self, leaving: list[tuple[int, bytes]]) -> bytes:
        count, blocks = len(leaving), len(self.frames)
        numbers = np.array([number for number, _ in leaving], dtype=np.int64)
        rows = self.frames[numbers % blocks]
        sequence = (self._send + np.arange(count)) % MODULO
        rows[:, 2:4] = (sequence << 1).astype("<u2").view(np.uint8).reshape(count, 2)
        rows[:, 4:6] = np.frombuffer((self._receive << 1).to_bytes(2, "little"), np.uint8)
        objects = rows[:, 12:].reshape(count, self.values, -1)
        if self.status:
            objects[:, :, 3] = ((numbers // blocks + 1) % 2).reshape(count, 1)
        else:
            objects[:, :, 3:7] = (numbers // blocks + 1).astype("<f4").view(np.uint8).reshape(count, 1, 4)
        stamps = np.frombuffer(b"".join(stamp for _, stamp in leaving), np.uint8)
        objects[:, :, -7:] = stamps.reshape(count, 1, 7)
        self._send = (self._send + count) % MODULO
        return rows.tobytes()

    # ------------------------------------------------------------------ the master's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A master connects: counters to zero, data transfer stopped."""
        self._transport, self._rest, self.started = transport, b"", False
        self._forget()

    def connection_lost(self, exc: Exception | None) -> None:
        """The master is gone; what happens meanwhile is not kept."""
        del exc
        self.started = False

    def data_received(self, data: bytes) -> None:
        """Octets of the master."""
        data, at = self._rest + data, 0
        while len(data) - at >= 6 and len(data) - at >= 2 + data[at + 1]:
            if data[at] != 0x68:
                raise ValueError(f"start octet {data[at]:02x}")
            end = at + 2 + data[at + 1]
            self._apdu(data[at + 2 : end])
            at = end
        self._rest = data[at:]
        self.pump()

    def _apdu(self, apdu: bytes) -> None:
        if apdu[0] & 3 == 3:
            self._function(apdu[0])
            return
        acknowledged = (apdu[2] | apdu[3] << 8) >> 1
        if (acknowledged - self._acknowledged) % MODULO > self.outstanding:
            raise ValueError(f"N(R) = {acknowledged} acknowledges what was not sent")
        self._acknowledged = acknowledged
        if apdu[0] & 1 == 0:
            self._receive = (self._receive + 1) % MODULO
            self._command(apdu[4:])

    def _function(self, function: int) -> None:
        answers = {STARTDT_ACT: STARTDT_CON, STOPDT_ACT: STOPDT_CON, TESTFR_ACT: TESTFR_CON}
        if function in answers:
            self._transport.write(bytes((0x68, 4, answers[function], 0, 0, 0)))
            self.started = {STARTDT_ACT: True, STOPDT_ACT: False}.get(function, self.started)

    def _command(self, asdu: bytes) -> None:
        if asdu[0] not in {INTERROGATION, CLOCK_SYNC, SETPOINT}:
            raise ValueError(f"type {asdu[0]} is no command of this station")
        address = self.number.to_bytes(2, "little")

        def mirrored(cause: int) -> bytes:
            return asdu[:2] + bytes((cause, 0)) + address + asdu[6:]

        self._urgent.append(mirrored(CONFIRMATION if asdu[2] == ACTIVATION else asdu[2] + 1))
        if asdu[0] == INTERROGATION:
            self._urgent += [*self._present_values(), mirrored(TERMINATION)]

    def _present_values(self) -> list[bytes]:
        """All values as sequences without time (type 13, of status type 1)."""
        blocks = len(self.frames)
        answers = []
        for block in range(blocks):
            number = self.made - 1 - (self.made - 1 - block) % blocks
            rounds = number // blocks + 1 if number >= 0 else 0
            element = bytes([rounds % 2]) if self.status else np.array([rounds], dtype="<f4").tobytes() + b"\x00"
            first = (FIRST_IOA + block * self.values).to_bytes(3, "little")
            type_id = SINGLE_POINT if self.status else SHORT_FLOAT
            head = bytes((type_id, 0x80 | self.values, INTERROGATED, 0)) + self.number.to_bytes(2, "little")
            answers.append(head + first + element * self.values)
        return answers


async def blast(stations: list[Station], rate: float, seconds: float, most: int) -> dict[str, Any]:
    """Make changes for some seconds and see them leave.

    Args:
        stations: all with a master.
        rate: values/s over all stations; 0 = as fast as the windows allow.
        seconds: how long.
        most: frames a station makes at most, flat out.
    """
    before = [station.made for station in stations]
    began = time.perf_counter()
    if rate:
        await _paced(stations, rate, seconds)
    else:
        for station in stations:
            station.quota = most
            station.pump()
        await _idle(stations, began + seconds)
        for station in stations:
            station.quota = 0
    made = sum(station.made for station in stations) - sum(before)
    elapsed = time.perf_counter() - began
    await _idle(stations, float("inf"))
    return {
        "values": made * stations[0].values,
        "seconds": elapsed,
        "late_s": time.perf_counter() - began - elapsed,
        "made": [station.made for station in stations],
        "most": max(station.most for station in stations),
    }


async def _idle(stations: list[Station], until: float) -> None:
    """Wait until nothing waits to be sent, or a moment of the performance counter."""
    # an event of each station would cost more than looking
    while time.perf_counter() < until and not all(station.idle for station in stations):  # noqa: ASYNC110
        await asyncio.sleep(TICK_S)


async def _paced(stations: list[Station], rate: float, seconds: float) -> None:
    """Changes spread evenly over the stations and over time."""
    values = stations[0].values
    began, total, done = time.perf_counter(), int(rate * seconds / values), 0
    while done < total:
        due = min(total, int((time.perf_counter() - began) * rate / values))
        now = time.time_ns()  # noqa: TID251 - the outstation's own clock
        for index, station in enumerate(stations):
            count = len(range(done + (index - done) % len(stations), due, len(stations)))
            if count:
                station.change(count, now)
        done = due
        await asyncio.sleep(TICK_S)


async def _main(arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    made = range(1, 1 + arguments.channels)
    stations = [Station(one, arguments.points, arguments.k, arguments.values, status=bool(arguments.status)) for one in made]
    servers = [await loop.create_server(lambda one=station: one, "127.0.0.1", 0) for station in stations]  # type: ignore[misc]
    _say({"ports": [server.sockets[0].getsockname()[1] for server in servers]})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        if request["what"] == "started":
            _say({"started": sum(station.started and station.idle for station in stations)})
        else:
            _say(await blast(stations, request["rate"], request["seconds"], request.get("most", 1 << 30)))


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, required=True)
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--k", type=int, default=12)
    parser.add_argument("--values", type=int, default=VALUES)
    parser.add_argument("--status", type=int, default=0)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(parser.parse_args()))
