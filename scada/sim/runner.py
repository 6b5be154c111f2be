"""The simulator process: the plant moves with the clock, outstation processes are started, fed, watched and stopped."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scada.actors.ports import check_port
from scada.apps.network.equipment import read_equipment
from scada.core.clock import NS_PER_S, Clock
from scada.core.errors import ConfigError
from scada.model_cim.points import load_model
from scada.model_cim.tables import ChannelSpec
from scada.sim.faults import PointFaults
from scada.sim.instruments import Instruments, bind_taps, bind_units
from scada.sim.neighbour import AreaPlan
from scada.sim.plant import Plant
from scada.sim.settings import SimSettings
from scada.sim.switchgear import RefusedError, Switchgear
from scada.sim.wire import Kind, Setup, json_frame, read_frame, setup_frame, values_frame

_log = logging.getLogger(__name__)
_TICK_S = 0.1
"""Real seconds between two turns of the plant."""
_LATE_S = 2.0
"""Real seconds of delay after which the plant says that the host is too slow."""
_LONGEST_GAP_S = 120
"""Simulated seconds that the plant makes up for; beyond, the clock was set or the host slept."""
_BUFFER = 8 << 20
"""Octets an outstation may leave unread before it is taken for hung."""


@dataclass
class Outstation:
    """An outstation process as the simulator sees it."""

    spec: ChannelSpec
    implementation: str
    process: asyncio.subprocess.Process | None = None
    writer: asyncio.StreamWriter | None = None
    task: asyncio.Task[None] | None = None
    ready: bool = False
    restarts: int = 0
    held_until: float | None = None
    """Simulated monotonic time until which it stays down; infinity = until restored."""
    failure: str = ""
    ready_event: asyncio.Event = field(default_factory=asyncio.Event)


class Simulator:
    """Plant and outstations.

    Args:
        model_path: folder of the CIM model.
        settings: ``sim.toml``.
        clock: simulated time.
        rate: of that clock, handed to the outstations.
        epoch_ns: of that clock.
        ports: listening port of channels by name; others keep the model's.
        base_port: if given, channel ``i`` without a port of its own listens on ``base_port + i``.

    Raises:
        ModelError: the model cannot be simulated.
        ConfigError: a name in ``ports`` or the settings is no channel.
    """

    def __init__(
        self,
        model_path: Path,
        settings: SimSettings,
        clock: Clock,
        *,
        rate: float = 1.0,
        epoch_ns: int = 0,
        ports: Mapping[str, int] | None = None,
        base_port: int | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.rate = rate
        self.epoch_ns = epoch_ns
        model, self.tables, _ = load_model(model_path)
        equipment = read_equipment(model)
        areas = [AreaPlan(area.name, area.scheduled_interchange, area.controlled) for area in self.tables.areas]
        stations = {station.mrid: station.area for station in self.tables.stations}
        nominal = self.tables.areas[0].nominal_hz if self.tables.areas else 50.0
        self.plant = Plant(equipment, stations, areas, settings, clock.now_ns(), nominal_hz=nominal)
        self.switchgear = Switchgear(self.plant, bind_units(model, self.plant), bind_taps(model, self.plant))
        points = [point for point in self.tables.points if point.channel >= 0]
        self.instruments = Instruments(self.plant, self.switchgear, model, points)
        self.faults = PointFaults()
        self.instruments.scan(self.faults)
        self.outstations = [self._outstation(spec, dict(ports or {}), base_port) for spec in self.tables.channels]
        self._check_names(dict(ports or {}), settings)
        self.late = 0

    def _outstation(self, spec: ChannelSpec, ports: dict[str, int], base_port: int | None) -> Outstation:
        port = ports.get(spec.name, spec.port if base_port is None else base_port + spec.index)
        implementation = "c104" if spec.name in self.settings.c104 else spec.protocol
        return Outstation(replace(spec, port=port), implementation)

    def _check_names(self, ports: dict[str, int], settings: SimSettings) -> None:
        known = {spec.name: spec for spec in self.tables.channels}
        for name in (*ports, *settings.c104):
            if name not in known:
                raise ConfigError(f"the model has no channel {name!r}", mend=f"one of {', '.join(sorted(known))}")
        for name in settings.c104:
            if known[name].protocol != "iec104":
                raise ConfigError(f"channel {name!r} is not IEC 104", where="c104", mend="name an iec104 channel")

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Start every outstation and wait until all listen.

        Raises:
            PortInUseError: a port is taken.
            ConfigError: an outstation cannot serve its points, or does not come up.
        """
        for outstation in self.outstations:
            check_port(outstation.spec.host, outstation.spec.port, f"outstation {outstation.spec.name}")
        for outstation in self.outstations:
            outstation.task = asyncio.create_task(self._keep(outstation))
        for outstation in self.outstations:
            try:
                async with asyncio.timeout(60.0):
                    await outstation.ready_event.wait()
            except TimeoutError as error:
                raise ConfigError(f"outstation {outstation.spec.name} did not come up within a minute") from error
            if outstation.failure:
                raise ConfigError(outstation.failure, where=f"outstation {outstation.spec.name}")

    async def run(self) -> None:
        """Move the plant until cancelled, from now on: it stood still while the outstations started."""
        self.plant.set_time(self.clock.now_ns())
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self.turn()
            due += _TICK_S
            if (delay := due - loop.time()) < -_LATE_S:
                self.late += 1
                _log.warning("the host is too slow for rate %g: %.1f s behind", self.rate, -delay)
                due = loop.time()
            await asyncio.sleep(max(0.001, due - loop.time()))

    def turn(self) -> None:
        """Bring the plant to the present time and send what changed."""
        now = self.clock.now_ns()
        jump = now - self.plant.now_ns
        if not -5 * NS_PER_S < jump < _LONGEST_GAP_S * NS_PER_S:
            _log.warning("the clock jumped by %.0f s; the plant goes on from there", jump / NS_PER_S)
            self.plant.set_time(now)
            self.switchgear.set_time(jump)
        # the network follows at least every simulated second; operations take effect at their time
        while (left := now - self.plant.now_ns) >= NS_PER_S // 20:
            until = self.plant.now_ns + min(left, NS_PER_S)
            due = self.switchgear.next_due()
            if due is not None and due < until:
                until = max(due, self.plant.now_ns + NS_PER_S // 20)
            before = self.plant.now_ns
            self.plant.advance(until)
            if self.plant.now_ns == before:
                break
            self.switchgear.run(self.plant.now_ns)
        self.publish()

    def publish(self) -> None:
        """Send changed values to the outstations they belong to."""
        records = self.instruments.scan(self.faults)
        if not len(records):
            return
        for outstation in self.outstations:
            mine = records[records["channel"] == outstation.spec.index]
            if len(mine):
                self._send(outstation, values_frame(mine))

    def _send(self, outstation: Outstation, data: bytes) -> None:
        writer = outstation.writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() > _BUFFER:
            _log.error("outstation %s does not read: ended", outstation.spec.name)
            self.end(outstation)
            return
        writer.write(data)

    async def stop(self) -> None:
        """End every outstation: asked at once, killed after a second."""
        for outstation in self.outstations:
            if outstation.task is not None:
                outstation.task.cancel()
        await asyncio.gather(*(o.task for o in self.outstations if o.task is not None), return_exceptions=True)
        await asyncio.gather(*(self._end(o) for o in self.outstations))

    async def _end(self, outstation: Outstation) -> None:
        if outstation.writer is not None:
            outstation.writer.close()
        process = outstation.process
        if process is None or process.returncode is not None:
            return
        try:
            process.terminate()
            async with asyncio.timeout(1.0):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        except ProcessLookupError:
            return

    # ------------------------------------------------------------------ one outstation

    async def _keep(self, outstation: Outstation) -> None:
        """Start an outstation, serve it, and start it again when it ends by itself."""
        pause = 0.5
        while True:
            code = await self._serve(outstation)
            if not outstation.ready_event.is_set():
                outstation.failure = f"ended with code {code} before it listened"
                outstation.ready_event.set()
            if outstation.failure and not outstation.restarts:
                return
            pause = 0.5 if outstation.ready else min(2 * pause, 10.0)
            outstation.ready = False
            outstation.restarts += 1
            while outstation.held_until is not None and self.clock.monotonic() < outstation.held_until:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            outstation.held_until = None
            _log.warning("outstation %s ended and is started again", outstation.spec.name)
            await asyncio.sleep(pause)

    async def _serve(self, outstation: Outstation) -> int:
        ours, theirs = socket.socketpair()
        with theirs:
            outstation.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "scada.sim", str(theirs.fileno()), str(os.getpid())),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env={**os.environ, "TZ": "UTC", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        reader, outstation.writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        index = outstation.spec.index
        setup = Setup(
            spec=outstation.spec,
            implementation=outstation.implementation,
            points=self.tables.points_of_channel(index),
            controls=self.tables.controls_of_channel(index),
            rate=self.rate,
            epoch_ns=self.epoch_ns,
            values=self.instruments.present(index),
        )
        outstation.writer.write(setup_frame(setup))
        try:
            while True:
                self._receive(outstation, *await read_frame(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            outstation.writer.close()
            return await outstation.process.wait()

    def _receive(self, outstation: Outstation, kind: Kind, payload: bytes) -> None:
        message = json.loads(payload)
        if kind is Kind.READY:
            outstation.ready, outstation.failure = True, ""
            outstation.ready_event.set()
        elif kind is Kind.FAILED:
            outstation.failure = message["reason"]
            _log.error("outstation %s: %s", outstation.spec.name, outstation.failure)
            outstation.ready_event.set()
        elif kind is Kind.COMMAND:
            self._send(outstation, self._command(message))

    def _command(self, message: dict[str, float]) -> bytes:
        control = self.tables.controls[int(message["cid"])]
        try:
            self.switchgear.command(control, float(message["value"]), select=bool(message["select"]))
        except RefusedError as error:
            _log.warning("refused: %s", error)
            return json_frame(Kind.ANSWER, id=message["id"], accepted=False, reason=str(error))
        return json_frame(Kind.ANSWER, id=message["id"], accepted=True, reason="")

    # ------------------------------------------------------------------ faults of links and processes

    def outstation(self, name: str) -> Outstation:
        """Outstation by channel name.

        Raises:
            ConfigError: there is none.
        """
        for outstation in self.outstations:
            if outstation.spec.name == name:
                return outstation
        names = ", ".join(o.spec.name for o in self.outstations)
        raise ConfigError(f"no channel {name!r}", mend=f"one of {names}")

    def drop(self, outstation: Outstation, seconds: float) -> None:
        """Take the links of an outstation down for a while; it goes on measuring."""
        data = struct.pack("!d", seconds)
        self._send(outstation, struct.pack("!IB", len(data), Kind.DROP) + data)

    def end(self, outstation: Outstation) -> None:
        """Kill an outstation's process (kill -9)."""
        if outstation.process is not None and outstation.process.returncode is None:
            outstation.process.kill()


async def simulate(simulator: Simulator) -> None:
    """Start and run until cancelled; whatever happens no outstation is left."""
    try:
        await simulator.start()
        await simulator.run()
    finally:
        await simulator.stop()
