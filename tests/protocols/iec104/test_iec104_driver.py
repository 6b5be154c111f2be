"""Driver and server over loopback sockets."""

import asyncio
import contextlib

import pytest
import uvloop

from scada.core.clock import SystemClock, make_clock
from scada.core.errors import ConfigError, PortInUseError
from scada.model_cim.tables import ChannelSpec
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.iec104.apci import UFunction, i_frame, u_frame
from scada.protocols.iec104.driver import Iec104Driver
from scada.protocols.iec104.endpoints import Endpoint
from scada.protocols.iec104.link import LinkParameters
from scada.protocols.iec104.outstation import Outstation, OutstationParameters
from scada.protocols.iec104.server import OutstationServer
from scada.protocols.iec104.sockets import ConnectError, connect
from scada.protocols.registry import make_driver


class Collector:
    """A sink that remembers, and can be told to fall behind."""

    def __init__(self):
        self.values = {}
        self.count = 0
        self.states = []
        self.notices = []
        self.open = asyncio.Event()
        self.open.set()
        self.changed = asyncio.Event()

    def deliver(self, batch):
        self.count += len(batch)
        for record in batch.records:
            self.values[int(record["pid"])] = float(record["value"])
        self.changed.set()

    async def ready(self):
        await self.open.wait()

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))
        self.changed.set()

    async def until(self, condition, seconds=10.0):
        async with asyncio.timeout(seconds):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


class Plant:
    """An outstation with a server, a driver for it, and a sink."""

    def __init__(self, build, count=100, parameters=None, clock=None, **params):
        self.clock = clock or SystemClock()
        self.points = [build.point(i, i, 13) for i in range(count)] + [build.point(count, 60_000, 3)]
        self.controls = [build.control(0, 5000, 46)]
        self.outstation = Outstation(self.points, self.controls, self.clock, on_command=lambda *_: True, parameters=parameters)
        self.outstation.update(range(count), [i * 0.25 for i in range(count)])
        self.outstation.update([count], 1)
        self.remarks = []
        self.server = OutstationServer(self.outstation, port=0, on_remark=self.remarks.append)
        self.sink = Collector()
        self.params = params
        self.driver = None
        self.task = None

    async def __aenter__(self):
        await self.server.start()
        spec = ChannelSpec(0, "m", "north", "iec104", "127.0.0.1", self.server.port, "S", self.params)
        self.driver = make_driver(spec, self.points, self.controls, self.sink, self.clock)
        self.task = asyncio.create_task(self.driver.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.server.close()

    async def settled(self):
        await self.sink.until(lambda sink: len(sink.values) == len(self.points))


def reached(state):
    return lambda sink: bool(sink.states) and sink.states[-1][0] is state


async def test_values_commands_and_events(build):
    async with Plant(build) as plant:
        await plant.settled()
        assert [plant.sink.values[i] for i in range(100)] == [i * 0.25 for i in range(100)]
        control = plant.controls[0]
        assert (await plant.driver.select(control, 2)).outcome is Outcome.CONFIRMED
        assert (await plant.driver.execute(control, 2)).outcome is Outcome.CONFIRMED
        assert (await plant.driver.execute(control, 2)).outcome is Outcome.REFUSED
        assert (await plant.driver.select(control, 1)).outcome is Outcome.CONFIRMED
        assert (await plant.driver.cancel(control, 1)).outcome is Outcome.CONFIRMED
        assert (await plant.driver.interrogate()).outcome is Outcome.CONFIRMED
        assert (await plant.driver.synchronise_clock()).outcome is Outcome.CONFIRMED
        plant.outstation.update([100], 2)
        await plant.sink.until(lambda sink: sink.values[100] == 2)
        statistics = plant.driver.statistics
        assert statistics.connects == 1
        assert statistics.values_in == plant.sink.count
        assert statistics.round_trip_s < 1


async def test_a_broken_link_is_told_and_mended_without_repeating(build):
    async with Plant(build, clock=make_clock(20.0)) as plant:
        await plant.settled()
        plant.server.drop_links()
        await plant.sink.until(reached(LinkState.DOWN))
        assert (await plant.driver.execute(plant.controls[0], 2)).outcome is Outcome.LINK_DOWN
        plant.outstation.update([100], 2)
        plant.outstation.update([100], 1)
        before = plant.sink.count
        await plant.sink.until(reached(LinkState.UP))
        await plant.sink.until(lambda sink: sink.count >= before + 2 + len(plant.points))
        assert plant.driver.statistics.connects == 2
        assert len(plant.driver.statistics.disconnects) == 1


async def test_a_station_without_power_is_tried_again_with_back_off(build):
    async with Plant(build, clock=make_clock(50.0)) as plant:
        await plant.settled()
        await plant.server.stop_listening()
        await plant.sink.until(lambda sink: sum("cannot connect" in reason for _, reason in sink.states) >= 2)
        await plant.server.start()
        await plant.sink.until(reached(LinkState.UP))


async def test_a_mute_station_is_noticed_by_t3_and_t1(build):
    quiet = {"t1": 1, "t2": 0.5, "t3": 2}
    async with Plant(build, clock=make_clock(10.0), **quiet) as plant:
        await plant.settled()
        plant.server.muted = True
        await plant.sink.until(reached(LinkState.DOWN))
        assert "TESTFR_ACT was not confirmed" in plant.sink.states[-1][1]


async def test_reading_stops_while_the_database_is_behind_and_nothing_is_lost(build):
    parameters = OutstationParameters(LinkParameters(t1=60))
    async with Plant(build, count=5000, parameters=parameters) as plant:
        plant.sink.open.clear()
        await plant.sink.until(reached(LinkState.UP))
        await asyncio.sleep(0.2)  # real sockets: give the station time to run against its closed window
        held = plant.sink.count
        assert held < 12 * 48 + 12 * 48  # at most two windows went through
        plant.sink.open.set()
        await plant.settled()
        assert [plant.sink.values[i] for i in range(5000)] == [i * 0.25 for i in range(5000)]


async def test_a_database_that_is_behind_for_long_does_not_look_like_a_dead_station(build):
    parameters = OutstationParameters(LinkParameters(t1=600, t3=600))
    async with Plant(build, count=5000, parameters=parameters, clock=make_clock(10.0), t1=4, t2=2, t3=4) as plant:
        await plant.sink.until(reached(LinkState.UP))
        plant.sink.open.clear()
        await asyncio.sleep(1.1)  # eleven seconds of the link: more than t3 and t1
        plant.sink.open.set()
        await plant.settled()
        assert plant.driver.statistics.connects == 1
        plant.server.muted = True  # the timers run again
        await plant.sink.until(reached(LinkState.DOWN))


async def test_a_large_station_is_interrogated_completely(build):
    async with Plant(build, count=20_000) as plant:
        await plant.settled()
        assert plant.sink.notices == [("end_of_initialisation", "CA 1 has started (power on)")]


async def test_the_tee_sees_both_directions(build):
    async with Plant(build) as plant:
        seen = []
        plant.driver.tee = lambda _link, received, _now_ns, data: seen.append((received, data))
        await plant.settled()
        assert (False, u_frame(UFunction.STARTDT_ACT)) in seen
        assert any(received and u_frame(UFunction.STARTDT_CON) in data for received, data in seen)


async def test_a_station_that_breaks_the_protocol_is_dropped_with_a_reason(build):
    async def misbehave(reader, writer):
        await reader.readexactly(6)
        writer.write(u_frame(UFunction.STARTDT_CON) + i_frame(3, 0, bytes.fromhex("01010300010007000001")))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(misbehave, "127.0.0.1", 0)
    sink = Collector()
    spec = ChannelSpec(0, "m", "north", "iec104", "127.0.0.1", server.sockets[0].getsockname()[1], "S")
    task = asyncio.create_task(Iec104Driver(spec, [build.point(0, 7, 1)], [], sink, SystemClock()).run())
    await sink.until(reached(LinkState.DOWN))
    assert sink.states[-1] == (LinkState.DOWN, "N(S) = 3 leaves out 3, expected 0")
    assert sink.notices == [("protocol_fault", "N(S) = 3 leaves out 3, expected 0")]
    assert sink.count == 0
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_a_station_that_takes_nothing_of_what_we_send_fills_no_memory(runner):
    """It may ask for test confirmations without end and read none of them; the send window does not bound those."""

    async def flooded():
        peers = []

        async def never_read(_reader, writer):
            writer.transport.pause_reading()
            peers.append(writer)

        server = await asyncio.start_server(never_read, "127.0.0.1", 0)
        connection = await connect(None, Endpoint("A", "127.0.0.1", server.sockets[0].getsockname()[1]), None, 5, 5)
        connection.write(u_frame(UFunction.TESTFR_CON) * 4_000_000)
        reason = await asyncio.wait_for(connection.ended, 10)
        server.close()
        for peer in peers:
            peer.transport.abort()
        await server.wait_closed()
        return reason

    assert runner(flooded()) == "the station does not take what we send"


@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("host", ["10..1.0.11", "x" * 70 + ".plant", "no\0host", "host with blanks"])
def test_a_host_that_cannot_be_one_is_a_reason_and_not_the_end_of_the_channel(host, runner):
    with pytest.raises(ConnectError, match="cannot connect: "):
        runner(connect(None, Endpoint("B", host, 2404), None, 5, 5))


async def test_a_busy_port_and_a_stranger_are_refused_clearly(build):
    async with Plant(build) as plant:
        other = OutstationServer(Outstation([], [], plant.clock), port=plant.server.port)
        with pytest.raises(PortInUseError, match="taken by another process"):
            await other.start()
        await other.close()
        strict = OutstationServer(plant.outstation, port=0, masters=["10.9.9.9"], on_remark=plant.remarks.append)
        await strict.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", strict.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        await strict.close()
        assert "127.0.0.1 is not a configured master" in plant.remarks


def test_the_same_on_uvloop(build):
    async def round_trip():
        async with Plant(build) as plant:
            await plant.settled()
            return await plant.driver.select(plant.controls[0], 2)

    assert uvloop.run(round_trip()).outcome is Outcome.CONFIRMED


def test_no_driver_for_an_unknown_protocol():
    with pytest.raises(ConfigError, match="channel x: no driver speaks 'dnp3'"):
        make_driver(ChannelSpec(0, "", "x", "dnp3", "", 0, ""), [], [], None, SystemClock())
