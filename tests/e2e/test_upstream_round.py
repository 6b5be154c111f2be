"""A provincial dispatch that we did not write (hat-drivers) as master of the demo's server: values, commands, kill -9."""

import asyncio
import math
from contextlib import asynccontextmanager

import pytest
from e2e.rig import HOST, Rig
from hat.drivers import iec104, net
from scadapb.v1 import scada_pb2 as pb

from scada.core.quality import BAD_MASK

pytestmark = [pytest.mark.e2e, pytest.mark.interop]
NAME, OTHER = "Provincial dispatch", "127.0.0.2"
BREAKER = "Beishan/220kV/Coupler/2100"
CONFIG = f"""
[upstream.stations."{NAME}".groups]
A = ["{HOST}"]
B = ["{OTHER}"]

[upstream.stations."{NAME}".masters."{HOST}"]
name = "dispatch"
roles = ["OPERATOR"]
areas = ["East"]
"""
OPEN, CLOSED = iec104.DoubleValue.OFF, iec104.DoubleValue.ON
ACT, DEACT = iec104.CommandReqCause.ACTIVATION, iec104.CommandReqCause.DEACTIVATION
CON, TERM = iec104.CommandResCause.ACTIVATION_CONFIRMATION, iec104.CommandResCause.ACTIVATION_TERMINATION


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("upstream"), automatic=False, more=CONFIG) as running:
        rig = running
        breaker = rig.point(f"{BREAKER} Position")
        rig.until(lambda: rig.good(breaker.pid) == 2.0, 90, "the coupler is seen closed")
        yield rig


class Master:
    """One connection of the dispatch; everything it hears is kept."""

    def __init__(self, link):
        self.link = link
        self.heard, self.asked = [], 0
        self.reader = asyncio.ensure_future(self._read())

    async def _read(self):
        while True:
            self.heard += await self.link.receive()

    async def until(self, found, seconds=30):
        """The first message since the last thing that was asked for which ``found`` is true; it may have come before others."""
        async with asyncio.timeout(seconds):
            while True:
                for message in self.heard[self.asked :]:
                    if found(message):
                        return message
                await asyncio.sleep(0.02)

    async def command(self, ioa, value, *, select=False, cause=ACT):
        self.asked = len(self.heard)
        command = iec104.DoubleCommand(value=value, select=select, qualifier=0)
        await self.link.send([iec104.CommandMsg(False, 0, 1, ioa, command, False, None, cause)])

    async def answered(self, cause=CON, seconds=30):
        """The next answer to a command: True = positive."""
        found = await self.until(lambda m: isinstance(m, iec104.CommandMsg) and m.cause is cause, seconds)
        return not found.is_negative_confirm

    async def interrogate(self):
        """Values of a general interrogation by address."""
        self.asked = len(self.heard)
        request = iec104.InterrogationMsg(False, 0, 1, 20, False, iec104.CommandReqCause.ACTIVATION)
        await self.link.send([request])
        seen = {}

        def over(message):
            if isinstance(message, iec104.DataMsg) and message.cause is iec104.DataResCause.INTERROGATED_STATION:
                seen[message.io_address] = message.data
            return isinstance(message, iec104.InterrogationMsg) and message.cause is TERM

        await self.until(over)
        return seen


@asynccontextmanager
async def connected(rig, host=HOST):
    address = net.TcpAddress(HOST, rig.demo.ports.upstream(0))
    async with asyncio.timeout(60):
        while True:
            try:
                link = await iec104.connect(address, local_addr=(host, 0))
                break
            except (ConnectionError, OSError):
                await asyncio.sleep(0.2)
    master = Master(link)
    try:
        yield master
    finally:
        master.reader.cancel()
        await link.async_close()


def row(rig, path):
    station = rig.tables.upstream[0]
    pid = rig.point(path).pid
    return next(one for one in station.points if one.pid == pid)


def control_row(rig):
    station = rig.tables.upstream[0]
    control = next(control for control in rig.tables.controls if control.path == BREAKER)
    return next(one for one in station.controls if one.cid == control.cid), control


def test_an_interrogation_shows_what_the_server_shows(rig):
    async def run():
        async with connected(rig) as master:
            return await master.interrogate()

    seen = asyncio.run(run())
    rows = rig.tables.upstream[0].points
    values, quality = rig.read_many([one.pid for one in rows])
    assert len(seen) == sum(one.address.type_id != 37 for one in rows)
    compared = 0
    for one, value, word in zip(rows, values, quality, strict=True):
        data = seen.get(one.address.ioa)
        if data is None or word & BAD_MASK or math.isnan(value):
            continue
        assert not data.quality.invalid, one
        if isinstance(data, iec104.FloatingData):
            assert data.value.value == pytest.approx(value, rel=0.05, abs=2.0)
            compared += 1
        elif isinstance(data, iec104.DoubleData):
            assert data.value.value == value
            compared += 1
    assert compared > 20


def test_a_command_moves_the_breaker_in_the_field(rig):
    row_of_control, control = control_row(rig)
    position = row(rig, f"{BREAKER} Position")

    async def run():
        async with connected(rig) as master:
            for value in (OPEN, CLOSED):
                await master.command(row_of_control.address.ioa, value, select=True)
                assert await master.answered()
                await master.command(row_of_control.address.ioa, value)
                assert await master.answered()
                moved = await master.until(
                    lambda m, value=value: (
                        isinstance(m, iec104.DataMsg) and m.io_address == position.address.ioa and m.data.value is value
                    )
                )
                assert isinstance(moved.time, iec104.Time), "with the time of the event"
                assert await master.answered(TERM), "the result, positive"

    asyncio.run(run())
    assert rig.good(rig.point(f"{BREAKER} Position").pid) == 2.0
    told = [event for event in rig.events(limit=50) if event.key == "control.success" and event.mrid == control.mrid]
    assert {event.actor for event in told} == {"upstream:dispatch"}


def test_without_a_right_a_command_is_refused_and_told(rig):
    row_of_control, _ = control_row(rig)

    async def run():
        async with connected(rig, OTHER) as master:
            await master.command(row_of_control.address.ioa, OPEN, select=True)
            return await master.answered()

    assert asyncio.run(run()) is False
    assert rig.good(rig.point(f"{BREAKER} Position").pid) == 2.0
    rig.until(lambda: [event for event in rig.events(limit=50) if event.key == "upstream.refused"], 10, "the refusal is told")


def test_a_tag_forbids_what_the_dispatch_asks(rig):
    row_of_control, control = control_row(rig)
    request = pb.TagRequest(object=control.equipment, type="do_not_operate", reason="work on the coupler")
    placed = rig.signed("OperatorData/PlaceTag", request)
    assert placed.accepted

    async def run():
        async with connected(rig) as master:
            await master.command(row_of_control.address.ioa, OPEN, select=True)
            return await master.answered()

    try:
        assert asyncio.run(run()) is False
    finally:
        rig.signed("OperatorData/Remove", pb.RemoveRequest(mark_id=placed.mark_id, reason="done"))


def test_each_event_comes_once_over_kill_9_while_the_master_is_away(rig):
    _, control = control_row(rig)
    position = row(rig, f"{BREAKER} Position")
    for value in (1, 2, 1):
        _, done = rig.operate(control, value)
        assert done.state == pb.CONTROL_STATE_SUCCESS, done
    rig.kill_server()
    rig.restart_server()

    heard = []

    async def collect():
        async with connected(rig) as master:
            await asyncio.sleep(3)
            heard.extend(master.heard)

    asyncio.run(collect())
    moves = [
        message.data.value.value
        for message in heard
        if isinstance(message, iec104.DataMsg)
        and message.io_address == position.address.ioa
        and message.cause is iec104.DataResCause.SPONTANEOUS
        and not message.data.quality.not_topical
    ]
    settled = [value for value in moves if value in (1, 2)]
    assert settled[:3] == [1, 2, 1]
    assert len([value for value in settled if value == 2]) == 1
