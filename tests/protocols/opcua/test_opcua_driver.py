"""The driver against asyncua's server: values, status codes, writes, unknown nodes, loss and recovery."""

import asyncio
import math
from datetime import timedelta

import pytest
from asyncua import ua
from protocols.opcua.rig import POINTS, STAMP, Sink, Station, control, point, running, up

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import ChannelSpec, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.opcua.driver import OpcUaDriver

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture
async def station():
    one = Station()
    await one.start()
    yield one
    await one.stop()


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


async def test_many_unknown_nodes_are_one_notice(station):
    """A channel passes on one notice a kind in ten seconds."""
    async with running(station, (*POINTS, *(point(10 + n, f"Nowhere{n}") for n in range(30)))) as (_, sink):
        await sink.until(up(sink))
        (text,) = [text for kind, text in sink.notices if kind == "unknown_node"]
        assert "ns=2;s=Nowhere0 of S/Nowhere0: BadNodeIdUnknown; " in text
        assert text.endswith("and 25 more")


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


@pytest.mark.parametrize(
    ("host", "path", "url"),
    [
        ("plant", "", "opc.tcp://plant:4840"),
        ("plant", "/UA", "opc.tcp://plant:4840/UA"),
        ("plant", "UA", "opc.tcp://plant:4840/UA"),
        ("fd00::7", "", "opc.tcp://[fd00::7]:4840"),
    ],
)
async def test_host_and_path_make_an_address(host, path, url):
    sink = Sink()
    driver = OpcUaDriver(ChannelSpec(0, "m", "W", "opcua", host, 4840, "S", {"path": path}), (), (), sink, SystemClock())
    task = asyncio.create_task(driver.run())
    await sink.until(lambda: sink.states)
    assert sink.states[0][1] == f"connecting to {url}"
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("params", [{"publishing_ms": "fast"}, {"timeout_s": 0}])
def test_parameters_that_cannot_be_used(params):
    spec = ChannelSpec(0, "m", "W", "opcua", "127.0.0.1", 4840, "S", params)
    with pytest.raises(ConfigError, match="channel W"):
        OpcUaDriver(spec, (), (), Sink(), SystemClock())
