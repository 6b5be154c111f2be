"""A master and a station of ours with two networks between them: what both sides saw, and cables that can be pulled.

Run as a script it is one side in a process of its own (``station`` or ``master``), or the ways between them (``ways``): commands
come in lines, facts go out as JSON lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import random
import struct
import sys

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Point, PointKind, RedundancyGroup
from scada.protocols.iec104.driver import Iec104Driver
from scada.protocols.iec104.outstation import Outstation, OutstationParameters
from scada.protocols.iec104.server import OutstationServer

POINTS = 10
PORT = 2404


def points():
    return [
        Point(i, f"m{i}", f"S/P{i}", f"P{i}", PointKind.STATUS, "", "", "", "", "S", "", 0, Iec104Address(1, 100 + i, 30))
        for i in range(POINTS)
    ]


class Station:
    """A controlled station whose points change again and again, and what it said of them."""

    def __init__(self, clock, host="127.0.0.1", port=0):
        self.clock = clock
        parameters = OutstationParameters(event_capacity=100_000)
        self.outstation = Outstation(points(), [], clock, parameters=parameters, groups=[RedundancyGroup("centre", ())])
        self.outstation.update(range(POINTS), 0)
        self.remarks = []
        self.server = OutstationServer(self.outstation, host, port, on_remark=self.remarks.append)
        self.sent = []
        self._states = [0] * POINTS

    async def change(self, count, each_s):
        """Change points in turn, each with a time of its own."""
        for turn in range(count):
            pid = turn % POINTS
            self._states[pid] ^= 1
            time_ns = 1_000_000 * (self.clock.now_ns() // 1_000_000)
            if self.sent and time_ns <= self.sent[-1][1]:
                time_ns = self.sent[-1][1] + 1_000_000
            self.sent.append((pid, time_ns, self._states[pid]))
            self.outstation.update([pid], [self._states[pid]], source_time=[time_ns], compare=False)
            await asyncio.sleep(self.clock.real_delay(each_s))


class Centre:
    """A sink that remembers the events, and a database that takes a while for them."""

    def __init__(self, clock, commit_s=0.01):
        self.clock = clock
        self.commit_s = commit_s
        self.got, self.states, self.notices = [], [], []
        self.changed = asyncio.Event()

    def deliver(self, batch):
        for record in batch.records:
            if record["source_time"] and not record["flags"] & RecordFlag.REFRESH:
                self.got.append((int(record["pid"]), int(record["source_time"]), int(record["value"])))
        self.changed.set()

    async def ready(self):
        await asyncio.sleep(self.clock.real_delay(self.commit_s))

    def state(self, state, reason):
        self.states.append((state.value, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))
        self.changed.set()

    async def until(self, condition, seconds=30.0):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), 0.2)


def driver(sink, clock, host_a, port_a, host_b, port_b, **params):
    more = {"t1": 2, "t2": 1, "t3": 1, "clock_sync_s": 0, **params}
    spec = ChannelSpec(0, "m", "north", "iec104", host_a, port_a, "S", {"host_b": host_b, "port_b": port_b, **more})
    return Iec104Driver(spec, points(), [], sink, clock)


class Cable:
    """A network between master and station: a proxy with a delay, that can be pulled without anyone being told."""

    def __init__(self, port_of_station, delay_s=0.0):
        self.pulled = False
        self.port = 0
        self._port_of_station = port_of_station
        self._delay_s = delay_s
        self._tasks, self._writers = set(), set()

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._joined, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _joined(self, reader, writer):
        self._writers.add(writer)
        if self.pulled:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port_of_station)
        self._writers.add(there_writer)
        whole = [True]  # a connection that has lost octets carries nothing any more, in neither direction
        for source, target in ((reader, there_writer), (there_reader, writer)):
            task = asyncio.ensure_future(self._carry(source, target, whole))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _carry(self, source, target, whole):
        """Octets arrive after the delay; while the cable is pulled they are lost, and so is the end of a connection."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                loop.call_later(self._delay_s, self._arrive, target, whole, data)
        loop.call_later(self._delay_s, self._arrive, target, whole, b"")

    def _arrive(self, target, whole, data):
        whole[0] = whole[0] and not self.pulled
        if whole[0] and not target.is_closing():
            target.write(data) if data else target.close()


def say(**facts):
    print(json.dumps(facts), flush=True)


async def commands():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


async def be_station():
    station = Station(SystemClock(), "0.0.0.0", PORT)
    await station.server.start()
    say(ready=True)
    changing = None
    async for command in commands():
        match command:
            case ["change", count, each_s]:
                changing = asyncio.ensure_future(station.change(int(count), float(each_s)))
            case ["sent"]:
                await changing
                say(sent=station.sent, remarks=station.remarks)
    await station.server.close()


async def be_master(host_a, host_b):
    clock = SystemClock()
    sink = Centre(clock)
    master = driver(sink, clock, host_a, PORT, host_b, PORT)
    running = asyncio.ensure_future(master.run())
    async for command in commands():
        match command:
            case ["links"]:
                say(links={report.name: report.state.value for report in master.links()})
            case ["switch", name]:
                say(outcome=(await master.switch(name)).outcome.value)
            case ["got"]:
                statistics = master.statistics
                say(
                    got=sink.got,
                    states=sink.states,
                    notices=sink.notices,
                    duplicates=statistics.duplicates,
                    switches=statistics.switches,
                )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Way:
    """A wide area network between two TUN devices: packets are late, overtake each other, get lost and come twice."""

    def __init__(self, ends, seed):
        self.pulled = False
        self.lost = 0
        self._random = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        first, second = (self._device(name) for name in ends)
        self._loop.add_reader(first, self._take, first, second)
        self._loop.add_reader(second, self._take, second, first)

    @staticmethod
    def _device(name):
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x0001 | 0x1000))  # TUNSETIFF, IFF_TUN | IFF_NO_PI
        return device

    def _take(self, source, target):
        packet = os.read(source, 65536)
        if self.pulled or self._random.random() < 0.02:
            self.lost += 1
            return
        for _ in range(2 if self._random.random() < 0.01 else 1):
            self._loop.call_later(self._random.uniform(0.01, 0.03), self._put, target, packet)

    def _put(self, target, packet):
        if not self.pulled:
            with contextlib.suppress(OSError):  # a device that is down
                os.write(target, packet)


async def be_ways(*devices):
    ways = {"A": Way(devices[:2], 1), "B": Way(devices[2:], 2)}
    say(ready=True)
    async for command in commands():
        match command:
            case ["pull", name]:
                ways[name].pulled = True
            case ["plug", name]:
                ways[name].pulled = False
            case ["lost"]:
                say(lost=[way.lost for way in ways.values()])


if __name__ == "__main__":
    asyncio.run({"station": be_station, "master": be_master, "ways": be_ways}[sys.argv[1]](*sys.argv[2:]))
