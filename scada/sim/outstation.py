"""An outstation process: ``python -m scada.sim FD PLANT``. It serves one channel and ends with the plant that started it."""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import logging
import os
import signal
import socket
import struct
import sys
from abc import ABC, abstractmethod

from scada.core.batch import Records
from scada.core.clock import Clock, make_clock
from scada.core.errors import ConfigError, ScadaError
from scada.sim.wire import Kind, PlantLink, Setup, json_frame, parse_values

_PR_SET_PDEATHSIG = 1

IMPLEMENTATIONS = {
    "iec104": ("scada.sim.outstation_iec104", "Iec104Station"),
    "c104": ("scada.sim.outstation_c104", "C104Station"),
    **dict.fromkeys(("modbus-tcp", "modbus-rtu-tcp"), ("scada.sim.outstation_modbus", "ModbusStation")),
    "opcua": ("scada.sim.outstation_opcua", "OpcUaStation"),
}
"""Module and class that serve a protocol; imported in the outstation's own process only."""


class Station(ABC):
    """One protocol's server.

    Args:
        setup: channel, points, controls, first values.
        link: to the plant.
        clock: simulated time.
    """

    def __init__(self, setup: Setup, link: PlantLink, clock: Clock) -> None:
        self.setup = setup
        self.link = link
        self.clock = clock

    @abstractmethod
    async def start(self) -> None:
        """Listen, with the first values in place.

        Raises:
            PortInUseError: another process has the port.
        """

    @abstractmethod
    def update(self, records: Records) -> None:
        """New readings from the plant, in order."""

    @abstractmethod
    async def stop(self) -> None:
        """Close every connection and stop listening; :meth:`start` may follow."""

    async def drop(self, seconds: float) -> None:
        """Links are down for ``seconds`` of simulated time; the station goes on measuring."""
        await self.stop()
        await asyncio.sleep(self.clock.real_delay(seconds))
        await self.start()


def make_station(link: PlantLink, setup: Setup) -> Station:
    """The station of the set-up's implementation.

    Raises:
        ConfigError: it cannot serve these points, or its library is not installed.
    """
    module, name = IMPLEMENTATIONS[setup.implementation]
    try:
        kind = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(f"{error.name} is not installed", mend="install it, or serve the channel otherwise") from error
    station = kind(setup, link, make_clock(setup.rate, setup.epoch_ns))
    assert isinstance(station, Station)
    return station


async def serve(link: PlantLink, setup: Setup) -> None:
    """Run a station until the plant closes the socket or asks it to end."""
    dropping: set[asyncio.Task[None]] = set()

    def on_frame(kind: Kind, payload: bytes) -> None:
        """Values go to the station at once; a dropped link takes its time beside them."""
        if kind is Kind.VALUES:
            station.update(parse_values(payload))
        elif kind is Kind.DROP and not dropping:
            task = asyncio.ensure_future(station.drop(struct.unpack("!d", payload)[0]))
            dropping.add(task)
            task.add_done_callback(dropping.discard)

    try:
        station = make_station(link, setup)
        await station.start()
    except ScadaError as error:
        link.send(json_frame(Kind.FAILED, reason=str(error)))
        return
    link.serve(on_frame)
    link.send(json_frame(Kind.READY, port=setup.spec.port))
    await link.closed.wait()
    for task in dropping:
        task.cancel()
    await station.stop()


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent is gone, however it went."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Serve the plant at the other end of the inherited socket ``argv[1]``; ``argv[2]`` is the plant's process id."""
    die_with_parent(int(sys.argv[2]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the plant decides when its outstations end
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)

    async def run() -> None:
        """The station's life on its event loop."""
        link = PlantLink(socket.socket(fileno=int(sys.argv[1])))
        setup = link.receive_setup()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, link.closed.set)
        await serve(link, setup)

    asyncio.run(run())
