"""The simulator's Modbus outstation without its process: RTU frames through TCP, and what it does not serve."""

import socket

import numpy as np
import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerType

from scada.core.batch import POINT_DTYPE
from scada.core.clock import SystemClock
from scada.core.errors import ConfigError
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point, PointKind
from scada.sim.outstation_modbus import ModbusStation
from scada.sim.wire import Setup


class Plant:
    """Takes every command but 13."""

    def __init__(self):
        self.commands = []

    def command(self, control, value, select_only):
        if not select_only:
            self.commands.append((control.cid, value))
        return value != 13


def point(pid, address):
    return Point(pid, f"m{pid}", f"S/{pid}", str(pid), PointKind.ANALOG, "", "", "", "", "S", "", 0, address)


def control(cid, address, kind=ControlKind.SETPOINT):
    return Control(cid, f"c{cid}", f"S/c{cid}", "c", kind, "", "", "", "S", 0, address, None, "")


def setup(points, controls, port=0):
    values = np.zeros(len(points), POINT_DTYPE)
    values["pid"] = [one.pid for one in points]
    values["value"] = 7.0
    spec = ChannelSpec(0, "m", "GW", "modbus-rtu-tcp", "127.0.0.1", port, "S")
    return Setup(spec, "modbus-rtu-tcp", points, controls, 1.0, 0, values)


async def test_rtu_through_tcp_with_every_order_and_a_bit():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    points = [
        point(0, ModbusAddress(3, "holding", 0, "int32", "little")),
        point(1, ModbusAddress(3, "holding", 2, "uint16", byte_order="little")),
        point(2, ModbusAddress(3, "holding", 3, "uint64")),
    ]
    controls = [control(0, ModbusAddress(3, "holding", 10, "uint16")), control(1, ModbusAddress(3, "holding", 11, "bit", bit=4))]
    plant = Plant()
    station = ModbusStation(setup(points, controls, port), plant, SystemClock())
    await station.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU)
    try:
        assert await client.connect()
        found = await client.read_holding_registers(0, count=7, device_id=3)
        assert found.registers == [7, 0, 0x0700, 0, 0, 0, 7]
        assert not (await client.write_register(10, 5, device_id=3)).isError()
        assert (await client.write_register(10, 13, device_id=3)).isError()
        assert not (await client.mask_write_register(address=11, and_mask=0xFFEF, or_mask=0x0010, device_id=3)).isError()
        assert plant.commands == [(0, 5.0), (1, 1.0)]
    finally:
        client.close()
        await station.stop()


@pytest.mark.parametrize(
    "address",
    [
        ModbusAddress(1, "holding", 0, "bcd16"),
        ModbusAddress(1, "holding", 0, bit=2, bits=3),
        ModbusAddress(1, "holding", 0, exponent_register=1),
        ModbusAddress(1, "holding", 0, values=((1, 0),)),
    ],
)
def test_what_it_does_not_serve_is_told_at_the_start(address):
    with pytest.raises(ConfigError, match="does not serve"):
        ModbusStation(setup([point(0, address)], []), Plant(), SystemClock())
