"""The driver against asyncua's server: values, status codes, writes, unknown nodes, loss and recovery."""

import asyncio
import contextlib
import logging
import math
import socket
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import Server, ua

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, OpcUaAddress, Point, PointKind
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.opcua.driver import OpcUaDriver

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::ResourceWarning")]

STAMP = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)


class Sink:
    """Keeps what the driver says; tests wait for it."""

    def __init__(self):
        self.values, self.states, self.notices, self.records, self.batches = {}, [], [], [], 0
        self.changed = asyncio.Event()

    def deliver(self, batch):
        self.batches += 1
        for record in batch.records:
            row = (
                int(record["pid"]),
                float(record["value"]),
                int(record["quality"]),
                int(record["flags"]),
                int(record["source_time"]),
            )
            self.records.append(row)
            self.values[row[0]] = row[1:3]
        self.changed.set()

    async def ready(self):
        await asyncio.sleep(0)

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))

    async def until(self, condition, seconds=15):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


def point(pid, name, kind=PointKind.ANALOG, **more):
    return Point(pid, f"m{pid}", f"S/{name}", name, kind, "", "", "", "", "S", "", 0, OpcUaAddress(f"ns=2;s={name}"), **more)


def control(cid, name, kind=ControlKind.SETPOINT):
    return Control(cid, f"c{cid}", f"S/{name}", name, kind, "", "", "", "S", 0, OpcUaAddress(f"ns=2;s={name}"), None, "")


POINTS = (point(0, "P"), point(1, "Breaker", PointKind.DOUBLE), point(2, "Alarm", PointKind.STATUS), point(3, "P", scale=10.0))


class Station:
    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.nodes = {}

    async def start(self):
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self.server = Server()
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/")
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self.server.register_namespace("urn:test")
        assert index == 2
        objects = self.server.nodes.objects
        for name, value, kind in (
            ("P", 12.5, ua.VariantType.Double),
            ("Breaker", 2, ua.VariantType.Int32),
            ("Alarm", False, ua.VariantType.Boolean),
            ("Setpoint", 0.0, ua.VariantType.Float),
            ("Switch", False, ua.VariantType.Boolean),
            ("Name", "text", ua.VariantType.String),
        ):
            self.nodes[name] = await objects.add_variable(ua.NodeId(name, 2), name, ua.Variant(value, kind))
        await self.nodes["Setpoint"].set_writable()
        await self.nodes["Switch"].set_writable()
        await self.server.start()

    async def write(self, name, value, kind, status=ua.StatusCodes.Good, stamp=STAMP):
        content = ua.DataValue(ua.Variant(value, kind), ua.StatusCode(status), SourceTimestamp=stamp)
        await self.server.write_attribute_value(self.nodes[name].nodeid, content)

    async def stop(self):
        await self.server.stop()


@pytest.fixture
async def station():
    one = Station()
    await one.start()
    yield one
    await one.stop()


@contextlib.asynccontextmanager
async def running(station, points=POINTS, **params):
    sink = Sink()
    spec = ChannelSpec(3, "m", "W", "opcua", "127.0.0.1", station.port, "S", {"publishing_ms": 20, "timeout_s": 2} | params)
    driver = OpcUaDriver(spec, points, (), sink, SystemClock())
    task = asyncio.create_task(driver.run())
    try:
        yield driver, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def up(sink):
    return lambda: any(state is LinkState.UP for state, _ in sink.states)


async def test_values_time_stamps_and_flags(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        assert sink.values == {0: (12.5, 0), 1: (2.0, 0), 2: (0.0, 0), 3: (125.0, 0)}
        assert {row[3] for row in sink.records} == {RecordFlag.REFRESH}
        sink.records.clear()
        await station.write("Alarm", True, ua.VariantType.Boolean)
        await station.write("P", -1.0, ua.VariantType.Double)
        await sink.until(lambda: sink.values[2][0] == 1.0 and sink.values[0][0] == -1.0)
        stamp = int(STAMP.timestamp()) * 10**9 + 123456000
        assert (2, 1.0, 0, RecordFlag.EVENT, stamp) in sink.records
        assert (0, -1.0, 0, 0, stamp) in sink.records
        assert (3, -10.0, 0, 0, stamp) in sink.records
        assert driver.statistics.connects == 1


async def test_no_status_change_between_two_publishings_is_lost(station):
    async with running(station, publishing_ms=300) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        sink.records.clear()
        for second, value in enumerate((True, False, True, False, True)):
            await station.write("Alarm", value, ua.VariantType.Boolean, stamp=STAMP + timedelta(seconds=second))
        await sink.until(lambda: len([row for row in sink.records if row[0] == 2]) == 5)
        assert [row[1] for row in sink.records if row[0] == 2] == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert sink.batches < 12


async def test_status_codes_become_quality_and_the_last_value_stays(station):
    async with running(station) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4)
        await station.write("P", None, ua.VariantType.Null, ua.StatusCodes.BadSensorFailure)
        await sink.until(lambda: sink.values[0][1] != 0)
        assert sink.values[0] == (12.5, int(Quality.FAILURE | Quality.INVALID))
        await station.write("P", 13.0, ua.VariantType.Double, ua.StatusCodes.UncertainSensorNotAccurate)
        await sink.until(lambda: sink.values[0] == (13.0, int(Quality.QUESTIONABLE)))
        await station.write("P", math.nan, ua.VariantType.Double)
        await sink.until(lambda: sink.values[0] == (13.0, int(Quality.INVALID)))


async def test_unknown_nodes_and_bad_node_ids_are_invalid_while_the_rest_works(station):
    stray = Point(8, "m8", "S/stray", "stray", PointKind.ANALOG, "", "", "", "", "S", "", 0, OpcUaAddress("nonsense"))
    async with running(station, (*POINTS, point(7, "Nowhere"), stray, point(9, "Name"))) as (_, sink):
        await sink.until(lambda: len(sink.values) == 7)
        for pid in (7, 8):
            assert math.isnan(sink.values[pid][0])
            assert sink.values[pid][1] == Quality.INVALID | Quality.BAD_REFERENCE
        assert math.isnan(sink.values[9][0])
        assert sink.values[9][1] & Quality.INVALID
        assert sink.values[0] == (12.5, 0)
        texts = [text for kind, text in sink.notices if kind == "unknown_node"]
        assert any("S/Nowhere" in text and "BadNodeIdUnknown" in text for text in texts)
        assert any("S/stray" in text for text in texts)


async def test_writes(station):
    async with running(station) as (driver, sink):
        await sink.until(up(sink))
        assert (await driver.select(control(0, "Setpoint"), 5.5)).outcome is Outcome.CONFIRMED
        assert (await driver.execute(control(0, "Setpoint"), 5.5)).outcome is Outcome.CONFIRMED
        assert await station.nodes["Setpoint"].read_value() == 5.5
        assert (await driver.execute(control(1, "Switch", ControlKind.DOUBLE), 2)).outcome is Outcome.CONFIRMED
        assert await station.nodes["Switch"].read_value() is True
        assert (await driver.cancel(control(0, "Setpoint"), 5.5)).outcome is Outcome.CONFIRMED
        for refused in (control(2, "P"), control(3, "Nowhere"), control(4, "Name")):
            for step in (driver.select, driver.execute):
                result = await step(refused, 1.0)
                assert result.outcome is Outcome.REFUSED, result
                assert result.reason
        assert (await driver.execute(control(0, "Setpoint"), math.nan)).outcome is Outcome.REFUSED
        assert await station.nodes["P"].read_value() == 12.5


async def test_interrogation_reads_everything(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        sink.values.clear()
        sink.records.clear()
        assert (await driver.interrogate()).outcome is Outcome.CONFIRMED
        assert sink.values == {0: (12.5, 0), 1: (2.0, 0), 2: (0.0, 0), 3: (125.0, 0)}
        assert {row[3] for row in sink.records} == {RecordFlag.REFRESH}


async def test_stop_and_restart_of_the_server():
    station = Station()
    await station.start()
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        await station.stop()
        await sink.until(lambda: sink.states[-1][0] is LinkState.DOWN)
        assert (await driver.execute(control(0, "Setpoint"), 1.0)).outcome is Outcome.LINK_DOWN
        assert (await driver.interrogate()).outcome is Outcome.LINK_DOWN
        sink.values.clear()
        sink.states.clear()
        await station.start()
        await sink.until(lambda: len(sink.values) == 4 and up(sink)(), seconds=30)
        assert sink.values[0] == (12.5, 0)
        assert driver.statistics.connects == 2
        sink.records.clear()
        await station.write("Alarm", True, ua.VariantType.Boolean)
        await sink.until(lambda: sink.values[2][0] == 1.0)
        assert [row[3] for row in sink.records if row[0] == 2] == [RecordFlag.EVENT]
    await station.stop()


async def test_nobody_listens():
    async with running(Station()) as (_, sink):
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
        assert "cannot connect to opc.tcp://127.0.0.1" in sink.states[1][1]
        assert not up(sink)()


@pytest.mark.parametrize("params", [{"publishing_ms": "fast"}, {"timeout_s": 0}])
def test_parameters_that_cannot_be_used(params):
    spec = ChannelSpec(0, "m", "W", "opcua", "127.0.0.1", 4840, "S", params)
    with pytest.raises(ConfigError, match="channel W"):
        OpcUaDriver(spec, (), (), Sink(), SystemClock())
