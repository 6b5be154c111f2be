"""The controlled station served to the master of hat-drivers, which shares nothing with ours or with lib60870."""

import asyncio

import pytest

from scada.core.clock import SystemClock
from scada.protocols.iec104.image import Serving
from scada.protocols.iec104.outstation import Outstation
from scada.protocols.iec104.server import OutstationServer

iec104 = pytest.importorskip("hat.drivers.iec104")
tcp = pytest.importorskip("hat.drivers.tcp")
pytestmark = pytest.mark.interop

STAMP = 1_780_000_000_125_000_000
ACTIVATE = iec104.CommandReqCause.ACTIVATION
RESULT = iec104.CommandResCause
DATA = iec104.DataResCause


@pytest.fixture
async def rig(build):
    points = [build.point(pid, 100 + pid, (1, 3, 13, 30)[pid % 4]) for pid in range(400)]
    points += [build.point(400, 900, 15), build.point(401, 901, 15)]
    controls = [build.control(0, 5000, 46), build.control(1, 5001, 50, select=False)]
    asked = []
    station = Outstation(
        points,
        controls,
        SystemClock(),
        on_command=lambda one: asked.append((one.control.cid, one.step, one.value)) is None,
        serving={0: Serving(group=2), 401: Serving(group=3)},
    )
    station.update(range(402), 1, source_time=STAMP)
    server = OutstationServer(station, port=0)
    await server.start()
    connection = await iec104.connect(tcp.Address("127.0.0.1", server.port))
    yield Rig(station, connection, asked)
    await connection.async_close()
    await server.close()


class Rig:
    """A station and hat's connection to it."""

    def __init__(self, station, connection, asked):
        self.station, self.connection, self.asked = station, connection, asked

    async def until(self, kind, cause):
        """Messages up to one of a kind with a cause, that one included."""
        said = []
        async with asyncio.timeout(10):
            while not (said and isinstance(said[-1], kind) and said[-1].cause == cause):
                for message in await self.connection.receive():
                    said.append(message)
                    if isinstance(message, kind) and message.cause == cause:
                        break
        return said

    async def interrogate(self, request):
        await self.connection.send([iec104.InterrogationMsg(False, 0, 1, request, False, ACTIVATE)])
        return await self.until(iec104.InterrogationMsg, RESULT.ACTIVATION_TERMINATION)

    async def command(self, address, command, cause=ACTIVATE, answer=RESULT.ACTIVATION_CONFIRMATION):
        await self.connection.send([iec104.CommandMsg(False, 0, 1, address, command, False, None, cause)])
        return (await self.until(iec104.CommandMsg, answer))[-1]


def data(said, cause):
    return {message.io_address: message for message in said if isinstance(message, iec104.DataMsg) and message.cause == cause}


async def test_end_of_initialisation_interrogation_and_group(rig):
    said = await rig.interrogate(20)
    assert isinstance(said[0], iec104.InitializationMsg)
    got = data(said, DATA.INTERROGATED_STATION)
    assert sorted(got) == list(range(100, 500))
    assert got[102].data.value.value == 1.0
    assert got[101].data.value == iec104.DoubleValue.OFF
    assert list(data(await rig.interrogate(22), DATA.INTERROGATED_GROUP02)) == [100]


async def test_events_with_their_time(rig):
    await rig.interrogate(20)
    rig.station.update([1, 0], [2, 0], source_time=[STAMP, STAMP + 10**6])
    said = [*await rig.until(iec104.DataMsg, DATA.SPONTANEOUS), *await rig.until(iec104.DataMsg, DATA.SPONTANEOUS)]
    assert [(message.io_address, message.time.milliseconds % 1000) for message in said] == [(101, 125), (100, 126)]
    assert said[0].data.value == iec104.DoubleValue.ON


async def test_commands_with_their_answers(rig):
    await rig.interrogate(20)
    double = iec104.DoubleCommand(iec104.DoubleValue.ON, True, 0)
    assert not (await rig.command(5000, double)).is_negative_confirm
    cancelled = await rig.command(5000, double, iec104.CommandReqCause.DEACTIVATION, answer=RESULT.DEACTIVATION_CONFIRMATION)
    assert not cancelled.is_negative_confirm
    execute = double._replace(select=False)
    assert (await rig.command(5000, execute)).is_negative_confirm
    await rig.command(5000, double)
    ended = await rig.command(5000, execute, answer=RESULT.ACTIVATION_TERMINATION)
    assert not ended.is_negative_confirm
    await rig.command(5001, iec104.FloatingCommand(iec104.FloatingValue(2.5), False), answer=RESULT.ACTIVATION_TERMINATION)
    unknown = await rig.command(7777, double, answer=RESULT.UNKNOWN_IO_ADDRESS)
    assert unknown.is_negative_confirm
    assert [one for one in rig.asked if one[1] != "select"] == [
        (0, "cancel", 2.0),
        (0, "execute", 2.0),
        (1, "execute", 2.5),
    ]


async def test_counters_as_a_whole_and_by_group(rig):
    for request, cause, addresses in ((5, DATA.INTERROGATED_COUNTER, [900, 901]), (3, DATA.INTERROGATED_COUNTER03, [901])):
        await rig.connection.send([iec104.CounterInterrogationMsg(False, 0, 1, request, iec104.FreezeCode.READ, False, ACTIVATE)])
        said = await rig.until(iec104.CounterInterrogationMsg, RESULT.ACTIVATION_TERMINATION)
        assert list(data(said, cause)) == addresses
