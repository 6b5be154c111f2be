"""Modbus TCP outstation (and RTU frames through TCP) on pymodbus' server, with the four classic tables.

A register image is kept here and copied into the server's tables when a master reads; a write is decoded, put before
the plant, and answered with an exception if it is refused. Modbus knows no quality: an invalid reading is a NaN where
the type can hold one, else the last valid one stands, as it would in a device.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from scada.actors.ports import check_port
from scada.core.batch import Records
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.core.quality import BAD_MASK
from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.tables import Control, Point
from scada.sim.outstation import Station
from scada.sim.wire import PlantLink, Setup

_FORMATS = {
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float64": "d",
}
"""Written here once more, so that a fault of the driver's own codec shows against the simulator."""
_ENDIAN = {"big": ">", "little": "<"}
_TABLES = ("coil", "discrete", "holding", "input")
_TABLE_OF_FUNCTION = {1: "coil", 5: "coil", 15: "coil", 2: "discrete", 4: "input"} | dict.fromkeys((3, 6, 16, 22, 23), "holding")


def to_registers(address: ModbusAddress, raw: float) -> list[int]:
    """Register words of a raw value; integers are clipped to their range."""
    code = _FORMATS[address.data_type]
    if code in "fd":
        octets = struct.pack(f">{code}", raw)
    else:
        bits = 8 * struct.calcsize(code)
        low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        octets = struct.pack(f">{code}", min(max(round(raw), low), high))
    words = list(struct.unpack(f"{_ENDIAN[address.byte_order]}{len(octets) // 2}H", octets))
    return words if address.word_order == "big" else words[::-1]


def from_registers(address: ModbusAddress, words: Sequence[int]) -> float:
    """Raw value of register words."""
    if address.bit >= 0 or address.data_type == "bit":
        return float(words[0] >> max(address.bit, 0) & 1)
    ordered = words if address.word_order == "big" else words[::-1]
    octets = struct.pack(f"{_ENDIAN[address.byte_order]}{len(ordered)}H", *ordered)
    return float(struct.unpack(f">{_FORMATS[address.data_type]}", octets)[0])


def width(address: ModbusAddress) -> int:
    """Registers (or bits) an address takes."""
    if address.table in ("coil", "discrete") or address.data_type == "bit" or address.bit >= 0:
        return 1
    return struct.calcsize(_FORMATS[address.data_type]) // 2


def _served(address: ModbusAddress) -> bool:
    plain = not (address.mask or address.values or address.not_available) and address.exponent_register < 0
    return plain and address.bits == 1 and (address.data_type == "bit" or address.data_type in _FORMATS)


class _Unit:
    """Tables of one unit id."""

    def __init__(self, points: Sequence[Point], controls: Sequence[Control], station: ModbusStation) -> None:
        self._station = station
        self.address_of = {p.pid: (p, p.address) for p in points if isinstance(p.address, ModbusAddress)}
        self.controls = [(c, c.address) for c in controls if isinstance(c.address, ModbusAddress)]
        used = [address for _, address in self.address_of.values()] + [address for _, address in self.controls]
        self.image: dict[str, npt.NDArray[np.uint16]] = {}
        for table in _TABLES:
            last = max((a.register + width(a) for a in used if a.table == table), default=1)
            self.image[table] = np.zeros((last + 15) // 16 if table in ("coil", "discrete") else last, dtype=np.uint16)

    def device(self, unit_id: int) -> SimDevice:
        """The server's view of this unit."""
        coil, discrete, holding, register = (
            [SimData(0, count=len(self.image[table]), datatype=DataType.BITS if bits else DataType.REGISTERS)]
            for table, bits in zip(_TABLES, (True, True, False, False), strict=True)
        )
        return SimDevice(unit_id, simdata=(coil, discrete, holding, register), action=self._access)

    def set(self, point: Point, address: ModbusAddress, value: float) -> None:
        """Put an engineering value into the image."""
        self._put(address, (value - point.offset) / point.scale)

    def _put(self, address: ModbusAddress, raw: float) -> None:
        image = self.image[address.table]
        if address.table in ("coil", "discrete"):
            self._put_bit(image, address.register // 16, address.register % 16, on=raw > 0)
        elif address.bit >= 0 or address.data_type == "bit":
            self._put_bit(image, address.register, max(address.bit, 0), on=raw > 0)
        else:
            image[address.register : address.register + width(address)] = to_registers(address, raw)

    @staticmethod
    def _put_bit(image: npt.NDArray[np.uint16], word: int, bit: int, *, on: bool) -> None:
        image[word] = (int(image[word]) & ~(1 << bit)) | (int(on) << bit)

    async def _access(
        self, function_code: int, start: int, address: int, count: int, registers: list[int], values: list[Any] | None
    ) -> ExcCodes | None:
        """The hook of pymodbus on every request: refresh what is read, judge what is written."""
        table = _TABLE_OF_FUNCTION[function_code]
        if values is not None:
            return self._write(table, address, values)
        image = self.image[table]
        first = address // 16 if table in ("coil", "discrete") else address
        registers[first - start : first - start + count] = image[first : first + count].tolist()
        return None

    def _write(self, table: str, first: int, values: list[Any]) -> ExcCodes | None:
        orders = []
        for control, address in self.controls:
            inside = first <= address.register and address.register + width(address) <= first + len(values)
            if address.table != table or not inside:
                continue
            words = values[address.register - first : address.register - first + width(address)]
            raw = float(bool(words[0])) if table == "coil" else from_registers(address, words)
            orders.append((control, address, raw))
        if not orders:
            return ExcCodes.ILLEGAL_ADDRESS
        for select_only in (True, False):
            for control, address, raw in orders:
                if not self._station.link.command(control, raw * control.scale + control.offset, select_only):
                    return ExcCodes.ILLEGAL_VALUE
                if not select_only:
                    self._put(address, raw)
        return None


class ModbusStation(Station):
    """A Modbus TCP server with one or more unit ids."""

    def __init__(self, setup: Setup, link: PlantLink, clock: Clock) -> None:
        super().__init__(setup, link, clock)
        addresses = (*[p.address for p in setup.points], *[c.address for c in setup.controls])
        everything: list[Point | Control] = [*setup.points, *setup.controls]
        for each in everything:
            if isinstance(each.address, ModbusAddress) and not _served(each.address):
                text = f"the simulator does not serve {each.address.data_type} with field, mask, enumeration or exponent"
                raise ConfigError(text, where=each.path, mend="simulate a plain type")
        ids = {address.unit_id for address in addresses if isinstance(address, ModbusAddress)}
        if not ids:
            raise ConfigError("no point or control has a Modbus address", where=setup.spec.name)
        self._units = {
            unit_id: _Unit(
                [p for p in setup.points if isinstance(p.address, ModbusAddress) and p.address.unit_id == unit_id],
                [c for c in setup.controls if isinstance(c.address, ModbusAddress) and c.address.unit_id == unit_id],
                self,
            )
            for unit_id in sorted(ids)
        }
        self._unit_of = {pid: unit for unit in self._units.values() for pid in unit.address_of}
        self._server: ModbusTcpServer | None = None
        self.update(setup.values)

    async def start(self) -> None:
        """Listen."""
        spec = self.setup.spec
        check_port(spec.host, spec.port, f"outstation {spec.name}")
        devices = [unit.device(unit_id) for unit_id, unit in self._units.items()]
        framer = FramerType.RTU if spec.protocol == "modbus-rtu-tcp" else FramerType.SOCKET
        self._server = ModbusTcpServer(devices, framer=framer, address=(spec.host, spec.port))
        await self._server.serve_forever(background=True)

    def update(self, records: Records) -> None:
        """Into the register image."""
        for pid, value, quality in zip(
            records["pid"].tolist(), records["value"].tolist(), records["quality"].tolist(), strict=True
        ):
            unit = self._unit_of.get(pid)
            if unit is not None:
                point, address = unit.address_of[pid]
                if not quality & BAD_MASK:
                    unit.set(point, address, value)
                elif address.data_type in ("float32", "float64"):
                    unit.set(point, address, math.nan)

    async def stop(self) -> None:
        """Drop the masters and stop listening."""
        if self._server is not None:
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None
            await asyncio.sleep(0)
