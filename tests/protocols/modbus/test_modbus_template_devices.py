"""Two inverters of one template behind one gateway, played by pymodbus' server: values, scale factors, states, commands."""

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scada.core.clock import SystemClock
from scada.core.quality import Quality
from scada.model_cim.points import load_model
from scada.protocols.driver import Outcome
from scada.protocols.modbus.driver import ModbusDriver

pytestmark = pytest.mark.interop

EXAMPLE = Path(__file__).parents[3] / "examples" / "devices"
ABSENT = 0x8000


def model_103(amps, watts, watt_exponent, temperature, state, events):
    """Registers of SunSpec model 103 from its ID on, as its public map lays them out."""
    words = [0] * 52
    words[0:2] = [103, 50]
    words[2], words[6] = amps, 0xFFFF  # 0.1 A
    words[7], words[13] = 4005, 0xFFFF
    words[14], words[15] = watts & 0xFFFF, watt_exponent & 0xFFFF
    words[16], words[17] = 5001, 0xFFFE
    words[20], words[21] = 0xFFFF & -150, 1
    words[24:26], words[26] = [0x0001, 0x86A0], 1  # 100 000 * 10 Wh
    words[29], words[30] = 6100, 0xFFFF
    words[33], words[37] = temperature, 0xFFFF
    words[38] = state
    words[40:42] = [events >> 16, events & 0xFFFF]
    return words


def inverter(unit, base, words):
    registers = dict.fromkeys(range(40000, 40300), 0)
    registers |= {base + at: word for at, word in enumerate(words)}
    registers |= {40228 + 5: 100, 40228 + 23: 0}
    values = [registers[at] for at in range(40000, 40300)]
    return SimDevice(unit, simdata=[SimData(40000, values=values, datatype=DataType.REGISTERS)])


class Sink:
    def __init__(self):
        self.values, self.notices = {}, []
        self.changed = asyncio.Event()

    def deliver(self, batch):
        for record in batch.records:
            self.values[int(record["pid"])] = (float(record["value"]), int(record["quality"]))
        self.changed.set()

    async def ready(self):
        await asyncio.sleep(0)

    def state(self, state, reason):
        del state, reason

    def notice(self, kind, text):
        self.notices.append((kind, text))

    async def until(self, condition):
        async with asyncio.timeout(15):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def test_two_inverters_of_one_template():
    _, tables, findings = load_model(EXAMPLE)
    assert findings == []
    units = {1: (40070, model_103(123, 4321, 1, 412, 4, 0)), 2: (40100, model_103(77, -25, 0, ABSENT, 7, 1 << 7))}
    server = ModbusTcpServer([inverter(unit, *what) for unit, what in units.items()], address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    port = server.transport.sockets[0].getsockname()[1]
    points = [point for point in tables.points if point.address and point.address.unit_id in units]
    spec = replace(tables.channels[0], host="127.0.0.1", port=port, params=tables.channels[0].params | {"scan_ms": 50.0})
    sink = Sink()
    driver = ModbusDriver(spec, points, tables.controls, sink, SystemClock())
    task = asyncio.create_task(driver.run())

    def value(path):
        return sink.values[tables.by_path[f"Roof/400V/{path}"].pid]

    try:
        await sink.until(lambda: len(sink.values) == len(points))
        assert value("INV1/P") == (pytest.approx(43.21), 0)
        assert value("INV2/P") == (pytest.approx(-0.025), 0)
        assert value("INV1/I") == (12.3, 0)
        assert value("INV1/f") == (50.01, 0)
        assert value("INV1/Q") == (pytest.approx(-1.5), 0)
        assert value("INV1/W") == (1000.0, 0)
        assert value("INV1/Cabinet temperature") == (41.2, 0)
        nothing, quality = value("INV2/Cabinet temperature")
        assert math.isnan(nothing)
        assert quality & Quality.INVALID, "0x8000 means not implemented, never -32768"
        assert (value("INV1/State"), value("INV2/State")) == ((4.0, 0), (7.0, 0))
        assert (value("INV1/Running"), value("INV2/Running")) == ((1.0, 0), (0.0, 0))
        assert (value("INV1/Over temperature"), value("INV2/Over temperature")) == ((0.0, 0), (1.0, 0))
        order = next(one for one in tables.controls if one.path == "Roof/400V/INV2/Power limit set-point")
        assert (await driver.execute(order, 60.0)).outcome is Outcome.CONFIRMED
        await sink.until(lambda: value("INV2/Power limit") == (60.0, 0))
        assert value("INV1/Power limit") == (100.0, 0), "the other inverter is untouched"
        assert (await driver.execute(order, 101.0)).outcome is Outcome.REFUSED
        enable = next(one for one in tables.controls if one.path == "Roof/400V/INV2/Power limit on command")
        assert (await driver.execute(enable, 1)).outcome is Outcome.CONFIRMED
        await sink.until(lambda: value("INV2/Power limit on") == (1.0, 0))
        assert sink.notices == []
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.shutdown()
