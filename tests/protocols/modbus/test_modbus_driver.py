"""The driver against pymodbus' server: values, refusals, writes, loss and recovery."""

import asyncio
import contextlib
import math
import struct

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scada.core.batch import RecordFlag
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.protocols.driver import LinkState, Outcome
from scada.protocols.modbus.driver import ModbusDriver

pytestmark = pytest.mark.interop


class Sink:
    """Keeps what the driver says; tests wait for it."""

    def __init__(self):
        self.values, self.states, self.notices, self.records = {}, [], [], []
        self.changed = asyncio.Event()

    def deliver(self, batch):
        for record in batch.records:
            self.values[int(record["pid"])] = (float(record["value"]), int(record["quality"]))
            self.records.append((int(record["pid"]), float(record["value"]), int(record["quality"]), int(record["flags"])))
        self.changed.set()

    async def ready(self):
        await asyncio.sleep(0)

    def state(self, state, reason):
        self.states.append((state, reason))
        self.changed.set()

    def notice(self, kind, text):
        self.notices.append((kind, text))

    async def until(self, condition, seconds=10):
        async with asyncio.timeout(seconds):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class Station:
    """pymodbus' server with separate tables; ``holding`` and the others are what it answers now."""

    def __init__(self, port=0):
        self.port = port
        self.holding, self.input, self.coil = [0] * 40, [0] * 40, [0] * 4
        self.refuse, self.mute, self.sticky = {}, False, False
        self.server = None

    async def start(self):
        data = (
            [SimData(0, count=4, datatype=DataType.BITS)],
            [SimData(0, count=4, datatype=DataType.BITS)],
            [SimData(0, count=40, datatype=DataType.REGISTERS)],
            [SimData(0, count=40, datatype=DataType.REGISTERS)],
        )
        device = SimDevice(1, simdata=data, action=self.access)
        self.server = ModbusTcpServer([device], address=("127.0.0.1", self.port))
        await self.server.serve_forever(background=True)
        self.port = self.server.transport.sockets[0].getsockname()[1]

    async def stop(self):
        await self.server.shutdown()

    async def access(self, code, start, address, count, registers, values):
        if self.mute:
            await asyncio.sleep(3600)
        if code in self.refuse:
            return self.refuse[code]
        if values is not None:
            table = self.coil if code in (5, 15) else self.holding
            if not self.sticky:
                table[address : address + len(values)] = [int(value) for value in values]
            return None
        if code in (1, 5, 15):
            registers[:] = [
                sum(bit << (i % 16) for i, bit in enumerate(self.coil[k * 16 : k * 16 + 16])) for k in range(len(registers))
            ]
            return None
        table = self.input if code == 4 else self.holding
        registers[address - start : address - start + count] = table[address : address + count]
        return None


def point(pid, register, data_type="uint16", table="holding", kind=PointKind.ANALOG, unit=1):
    where = ModbusAddress(unit, table, register, data_type)
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), kind, "", "", "", "", "S", "", 0, where)


def control(cid, register, data_type="uint16", table="holding", kind=ControlKind.SETPOINT, **more):
    where = ModbusAddress(1, table, register, data_type, bit=more.pop("bit", -1))
    return Control(cid, f"c{cid}", f"S/c{cid}", "c", kind, "", "", "", "S", 0, where, None, "", **more)


POINTS = (
    point(0, 0, "float32"),
    point(1, 2, "uint16", kind=PointKind.DOUBLE),
    point(2, 0, "bit", "coil", PointKind.STATUS),
    point(3, 5, "int16", "input"),
)


@pytest.fixture
async def station():
    one = Station()
    one.holding[0:3] = [*struct.unpack(">HH", struct.pack(">f", 12.5)), 2]
    one.input[5] = 0xFFFF
    await one.start()
    yield one
    one.mute = False
    await one.stop()


@contextlib.asynccontextmanager
async def running(station, points=POINTS, controls=(), **params):
    sink = Sink()
    spec = ChannelSpec(3, "m", "PV", "modbus-tcp", "127.0.0.1", station.port, "S", {"scan_ms": 50, "timeout_s": 0.3} | params)
    driver = ModbusDriver(spec, points, controls, sink, SystemClock())
    task = asyncio.create_task(driver.run())
    try:
        yield driver, sink
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def up(sink):
    return lambda: any(state is LinkState.UP for state, _ in sink.states)


async def test_values_arrive_with_quality_and_flags(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        assert sink.values == {0: (12.5, 0), 1: (2.0, 0), 2: (0.0, 0), 3: (-1.0, 0)}
        assert all(flags == RecordFlag.REFRESH for *_, flags in sink.records[:4])
        sink.records.clear()
        station.coil[0], station.holding[2] = 1, 1
        station.holding[0:2] = struct.unpack(">HH", struct.pack(">f", 13.0))
        await sink.until(lambda: sink.values[2] == (1.0, 0) and sink.values[0] == (13.0, 0))
        moved = {(pid, value, flags) for pid, value, _, flags in sink.records if flags != RecordFlag.REFRESH}
        assert moved == {(2, 1.0, RecordFlag.EVENT), (1, 1.0, RecordFlag.EVENT), (0, 13.0, 0)}
        assert driver.statistics.values_in >= 7
        assert driver.statistics.connects == 1
        assert driver.statistics.bytes_in > 0
        assert driver.statistics.round_trip_s > 0


async def test_a_register_that_does_not_exist_is_invalid_and_the_rest_is_read(station):
    station.holding[37] = 5
    points = (*POINTS, point(4, 37), point(5, 41))
    async with running(station, points) as (_, sink):
        await sink.until(lambda: 4 in sink.values and 5 in sink.values and sink.values[4][1] == 0)
        assert sink.values[4] == (5.0, 0)
        assert math.isnan(sink.values[5][0])
        assert sink.values[5][1] & Quality.INVALID
        assert sink.values[0] == (12.5, 0)
        await sink.until(up(sink))
        told = [text for kind, text in sink.notices if kind == "station_refusal"]
        assert len(told) == 1
        assert "41..41" in told[0]
        assert "illegal data address" in told[0]


async def test_exception_codes_keep_the_last_value_and_pass(station):
    async with running(station) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4)
        station.refuse[3] = ExcCodes.DEVICE_FAILURE
        await sink.until(lambda: sink.values[0][1] != 0)
        assert sink.values[0] == (12.5, int(Quality.INVALID))
        assert sink.values[3] == (-1.0, 0)
        assert any("exception 4 (device failure)" in text for _, text in sink.notices)
        station.refuse.clear()
        await sink.until(lambda: sink.values[0] == (12.5, 0))


async def test_a_float_that_is_no_number_is_invalid(station):
    async with running(station) as (_, sink):
        await sink.until(lambda: len(sink.values) == 4)
        station.holding[0:2] = [0x7FC0, 0]
        await sink.until(lambda: sink.values[0][1] != 0)
        assert sink.values[0] == (12.5, int(Quality.INVALID))


async def test_a_silent_station_is_not_topical_and_then_down_and_recovers(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        station.mute = True
        await sink.until(lambda: sink.values[0][1] == Quality.NOT_TOPICAL)
        assert sink.values[0][0] == 12.5
        await sink.until(lambda: sink.states[-1][0] is not LinkState.UP)
        assert driver.statistics.disconnects
        station.mute = False
        sink.states.clear()
        await sink.until(lambda: up(sink)() and sink.values[0] == (12.5, 0))


async def test_stop_and_restart_of_the_server(station):
    async with running(station) as (driver, sink):
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        await station.stop()
        await sink.until(lambda: sink.states[-1][0] is LinkState.DOWN)
        assert (await driver.execute(control(0, 10), 1.0)).outcome is Outcome.LINK_DOWN
        sink.values.clear()
        sink.states.clear()
        station.holding[2] = 1
        await station.start()
        await sink.until(lambda: len(sink.values) == 4 and up(sink)())
        assert sink.values[1] == (1.0, 0)
        assert driver.statistics.connects == 2


async def test_nobody_listens():
    silent = Station()
    await silent.start()
    await silent.stop()
    async with running(silent) as (_, sink):
        await sink.until(lambda: any(state is LinkState.DOWN for state, _ in sink.states))
        assert "cannot connect to 127.0.0.1" in sink.states[1][1]
        assert not up(sink)()


async def test_writes_are_confirmed_by_reading_back(station):
    async with running(station) as (driver, sink):
        await sink.until(up(sink))
        setpoint = control(0, 10, "float32")
        assert (await driver.select(setpoint, 42.5)).outcome is Outcome.CONFIRMED
        assert station.holding[10:12] == [0, 0]
        assert (await driver.execute(setpoint, 42.5)).outcome is Outcome.CONFIRMED
        assert struct.pack(">HH", *station.holding[10:12]) == struct.pack(">f", 42.5)
        scaled = control(1, 12, "int16", scale=0.1)
        assert (await driver.execute(scaled, -1.5)).outcome is Outcome.CONFIRMED
        assert station.holding[12] == 0xFFF1
        breaker = control(2, 1, "bit", "coil", ControlKind.DOUBLE)
        assert (await driver.execute(breaker, 2)).outcome is Outcome.CONFIRMED
        assert station.coil[1] == 1
        assert (await driver.execute(breaker, 1)).outcome is Outcome.CONFIRMED
        assert station.coil[1] == 0
        single = control(3, 2, "bit", "coil", ControlKind.SINGLE)
        assert (await driver.execute(single, 1)).outcome is Outcome.CONFIRMED
        assert (await driver.cancel(single, 1)).outcome is Outcome.CONFIRMED
        assert (await driver.interrogate()).outcome is Outcome.CONFIRMED


async def test_writes_that_fail_are_told_apart(station):
    async with running(station) as (driver, sink):
        await sink.until(up(sink))
        setpoint = control(0, 10, "uint16")
        for wrong, value in (
            (setpoint, 70000.0),
            (setpoint, math.nan),
            (control(1, 10, table="input"), 1.0),
            (control(3, 0, "bit", "coil", ControlKind.DOUBLE), 3.0),
            (control(4, 50), 1.0),
        ):
            result = await driver.execute(wrong, value)
            assert result.outcome is Outcome.REFUSED
            assert result.reason
        assert station.holding[10] == 0
        assert "illegal data address" in (await driver.select(control(4, 50), 1.0)).reason
        station.sticky = True
        result = await driver.execute(setpoint, 9.0)
        assert (result.outcome, result.reason) == (Outcome.REFUSED, "the station holds 0 after the write")
        station.mute = True
        assert (await driver.execute(setpoint, 9.0)).outcome is Outcome.TIMEOUT


async def test_without_read_back_the_answer_is_the_confirmation(station):
    async with running(station, read_back=0) as (driver, sink):
        await sink.until(up(sink))
        assert (await driver.execute(control(0, 10), 9.0)).outcome is Outcome.CONFIRMED
        station.sticky = True
        told = await driver.execute(control(0, 10), 8.0)
        assert told.outcome is Outcome.TIMEOUT, "the echo bears another value, and nothing else says what became of it"
        assert "another value" in told.reason


async def test_bad_addresses_are_invalid_from_the_start(station):
    async with running(station, (*POINTS, point(9, 0, "float80"))) as (_, sink):
        await sink.until(lambda: len(sink.values) == 5)
        assert math.isnan(sink.values[9][0])
        assert sink.values[9][1] == Quality.INVALID | Quality.BAD_REFERENCE
        assert any("S/9" in text for _, text in sink.notices)


async def test_a_channel_without_one_usable_address_is_up_for_its_controls(station):
    async with running(station, (point(9, 0, "float80"),)) as (driver, sink):
        await sink.until(up(sink))
        assert (await driver.execute(control(0, 10), 9.0)).outcome is Outcome.CONFIRMED


@pytest.mark.parametrize("params", [{"scan_ms": "fast"}, {"timeout_s": 0}, {"scan_ms": math.nan}])
def test_parameters_that_cannot_be_used(params):
    spec = ChannelSpec(0, "m", "PV", "modbus-tcp", "127.0.0.1", 502, "S", params)
    with pytest.raises(ConfigError, match="channel PV"):
        ModbusDriver(spec, (), (), Sink(), SystemClock())
