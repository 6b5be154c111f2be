"""IEC 104 driver: sockets and timers around a :class:`~scada.protocols.iec104.redundancy.Redundancy`, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from scada.core.clock import Clock
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import CommandResult, Driver, LinkReport, Sink
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.describe import Iec104Describer
from scada.protocols.iec104.effects import Done, Effect, Notice, Send, StateChange, Values
from scada.protocols.iec104.endpoints import Endpoint, RedundancyParameters
from scada.protocols.iec104.orders import ORDERS
from scada.protocols.iec104.redundancy import Redundancy, RedundantEffect, To
from scada.protocols.iec104.sockets import ConnectError, Connection, connect
from scada.security.tls import TlsFiles, client_context

_TICK_S: Final = 0.25
_BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between connection attempts; the last one repeats. A connection that held for a while starts over."""
_STABLE_S: Final = 30.0
_TRUST_S: Final = 60.0
"""How often the certificate of a connected station is looked at again."""


class Iec104Driver(Driver):
    """The controlling side of one channel, over one link or several.

    ``spec.params`` are those of :class:`~scada.protocols.iec104.parameters.ChannelParameters`,
    :class:`~scada.protocols.iec104.endpoints.RedundancyParameters` and :class:`~scada.security.tls.TlsFiles`.

    Received frames are acknowledged only after ``sink.ready()`` has returned for them; while it waits the driver stops reading,
    so the station's send window closes and nothing is dropped.

    Attributes:
        channel: the protocol machine, for diagnosis.
        redundancy: the machine of its links.

    Raises:
        ConfigError: a parameter cannot be used.
        SecurityError: a file of the TLS parameters cannot be used.
    """

    orders = tuple(ORDERS)

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self.channel = Channel(spec, points, controls, statistics=self.statistics)
        parameters = RedundancyParameters.of(spec)
        self.redundancy = Redundancy(self.channel, parameters, self.statistics)
        self.several = len(parameters.endpoints) > 1
        files = TlsFiles.of(spec.params, Path(), f"channel {spec.name}")
        self.tls = client_context(files) if files is not None else None
        self._lines = {endpoint.name: _Line(self, endpoint) for endpoint in parameters.endpoints}
        self._waiting: dict[int, asyncio.Future[CommandResult]] = {}
        self._tls_fault = ""

    def rebind(self, points: Sequence[Point], controls: Sequence[Control]) -> bool:
        """Decode by another table from the next frame on, then interrogate; numbers and commands under way go on."""
        now_ns, mono = self.clock.now_ns(), self.clock.monotonic()
        effects = self.channel.rebind(points, controls, now_ns, mono)
        self.points, self.controls = points, controls
        self.carry_out(self.redundancy.spoken(effects, now_ns, mono))
        return True

    # ------------------------------------------------------------------ Driver

    async def run(self) -> None:
        """Connect every link, serve, reconnect with back-off, until cancelled; then stop data transfer and close all."""
        tasks = [asyncio.ensure_future(self._tick()), *(asyncio.ensure_future(line.keep()) for line in self._lines.values())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.carry_out(self.redundancy.shutdown(self.clock.monotonic()))
            for line in self._lines.values():
                line.close()
            self.carry_out(self.redundancy.closed("channel was closed"))

    async def select(self, control: Control, value: float) -> CommandResult:
        """Preset; the check-back is compared with what was sent."""
        return await self._command(control, value, Step.SELECT)

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Operate; returns at the station's confirmation."""
        return await self._command(control, value, Step.EXECUTE)

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Withdraw a selection."""
        return await self._command(control, value, Step.CANCEL)

    async def interrogate(self) -> CommandResult:
        """Station interrogation of every common address of the channel; returns at the last termination."""
        return await self._ask(*self.channel.interrogate(self.clock.now_ns(), self.clock.monotonic()))

    async def synchronise_clock(self) -> CommandResult:
        """Send our time to every common address of the channel."""
        return await self._ask(*self.channel.synchronise_clock(self.clock.now_ns(), self.clock.monotonic()))

    async def order(self, name: str, arguments: Mapping[str, str]) -> CommandResult:
        """Carry out one of :data:`~scada.protocols.iec104.orders.ORDERS`."""
        return await self._ask(*self.channel.order(name, arguments, self.clock.now_ns(), self.clock.monotonic()))

    def links(self) -> Sequence[LinkReport]:
        """Every link of a channel that has several."""
        return self.redundancy.links() if self.several else ()

    async def switch(self, link: str = "") -> CommandResult:
        """Let another link take over; returns when data transfer has begun on it."""
        if not self.several:
            return await super().switch(link)
        return await self._wait_for(*self.redundancy.switch(link.upper(), self.clock.now_ns(), self.clock.monotonic()))

    def in_force(self) -> Mapping[str, float | str]:
        """Those of the channel, and every default of the controlling station."""
        return {**self.channel.parameters.in_force(), **self.spec.params}

    def describer(self) -> Iec104Describer:
        """APDUs in words."""
        return Iec104Describer()

    # ------------------------------------------------------------------ inside

    async def _command(self, control: Control, value: float, step: Step) -> CommandResult:
        return await self._ask(*self.channel.command(control, value, step, self.clock.now_ns(), self.clock.monotonic()))

    async def _ask(self, ticket: int, effects: Sequence[Effect]) -> CommandResult:
        """Wait for what was asked of the channel."""
        return await self._wait_for(ticket, self.redundancy.spoken(effects, self.clock.now_ns(), self.clock.monotonic()))

    async def _wait_for(self, ticket: int, effects: Sequence[RedundantEffect]) -> CommandResult:
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = answer
        self.carry_out(effects)
        try:
            return await answer
        finally:
            self._waiting.pop(ticket, None)

    async def _tick(self) -> None:
        looked = self.clock.monotonic()
        while True:
            await asyncio.sleep(self.clock.real_delay(_TICK_S))
            now_ns, mono = self.clock.now_ns(), self.clock.monotonic()
            self.carry_out(self.redundancy.tick(now_ns, mono))
            if self.tls is not None and mono - looked >= _TRUST_S:
                looked = mono
                for line in self._lines.values():
                    line.look_again()
                self.tell_tls_fault()

    def tell_tls_fault(self) -> None:
        """Say once what keeps changed TLS files from being taken."""
        fault = self.tls.fault if self.tls is not None else ""
        if fault and fault != self._tls_fault:
            self.sink.notice("tls_files", f"{fault}; what was read before stays in force")
        self._tls_fault = fault

    async def taken_over(self) -> None:
        """Wait until the database keeps up, then let the station have its acknowledgement."""
        await self.sink.ready()
        self.carry_out(self.redundancy.delivered(self.clock.now_ns(), self.clock.monotonic()))

    def carry_out(self, effects: Sequence[RedundantEffect]) -> None:
        """Do what the machines want done."""
        for effect in effects:
            if isinstance(effect, Values):
                self.sink.deliver(effect.batch)
            elif isinstance(effect, To):
                line = self._lines[effect.link]
                if isinstance(effect.effect, Send):
                    line.write(effect.effect.data)
                else:
                    line.end(effect.effect.reason)
            elif isinstance(effect, StateChange):
                self.sink.state(effect.state, effect.reason)
            elif isinstance(effect, Notice):
                self.sink.notice(effect.kind, effect.text)
            elif isinstance(effect, Done):
                answer = self._waiting.get(effect.ticket)
                if answer is not None and not answer.done():
                    answer.set_result(effect.result)


class _Line:
    """One link: its connection, made again and again."""

    def __init__(self, driver: Iec104Driver, endpoint: Endpoint) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._said = endpoint.name if driver.several else ""
        self._connection: Connection | None = None

    @property
    def in_use(self) -> bool:
        """Data may come over this link."""
        return self._driver.redundancy.in_use(self._endpoint.name)

    async def keep(self) -> None:
        """Connect, serve, reconnect with back-off."""
        attempt = 0
        driver, clock, name = self._driver, self._driver.clock, self._endpoint.name
        while True:
            driver.carry_out(driver.redundancy.connecting(name, clock.now_ns(), clock.monotonic()))
            began = clock.monotonic()
            reason = await self._serve()
            driver.statistics.disconnects.append((clock.now_ns(), f"{self._said}: {reason}" if self._said else reason))
            if driver.tee is not None:
                driver.tee(self._said, True, clock.now_ns(), b"")
            driver.carry_out(driver.redundancy.lost(name, reason, clock.now_ns(), clock.monotonic()))
            attempt = 0 if clock.monotonic() - began > _STABLE_S else attempt
            await asyncio.sleep(clock.real_delay(_BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)]))
            attempt += 1

    async def _serve(self) -> str:
        """One connection from beginning to end; the reason of its end."""
        driver, clock = self._driver, self._driver.clock
        t0 = driver.channel.parameters.link.t0
        try:
            self._connection = connection = await connect(self, self._endpoint, driver.tls, t0, clock.real_delay(t0))
        except ConnectError as error:
            return error.what
        finally:
            driver.tell_tls_fault()
        driver.statistics.connects += 1
        settling = asyncio.ensure_future(connection.settle())
        try:
            driver.carry_out(driver.redundancy.connected(self._endpoint.name, clock.now_ns(), clock.monotonic()))
            watched: set[asyncio.Future[Any]] = {connection.ended, settling}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if settling.done():
                await settling  # a fault of ours: the supervisor must see it
            return connection.ended.result()
        finally:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)
            if connection.ended.done():
                self._connection = None

    def received(self, data: bytes) -> None:
        """Octets from the connection."""
        driver, now_ns = self._driver, self._driver.clock.now_ns()
        if driver.tee is not None:
            driver.tee(self._said, True, now_ns, data)
        driver.carry_out(driver.redundancy.feed(self._endpoint.name, data, now_ns, driver.clock.monotonic()))

    def paused(self, reading_stopped: bool) -> None:
        """Reading has stopped, or goes on."""
        self._driver.redundancy.paused(self._endpoint.name, reading_stopped, self._driver.clock.monotonic())

    async def taken_over(self) -> None:
        """Wait until the database keeps up."""
        await self._driver.taken_over()

    def look_again(self) -> None:
        """End a connection whose station is not to be trusted any more."""
        tls, connection = self._driver.tls, self._connection
        if tls is None or connection is None:
            return
        reason = connection.distrusted(tls, self._driver.clock.now_ns())
        if reason:
            self.end(f"TLS: {reason}")

    def write(self, data: bytes) -> None:
        """Send octets."""
        if self._connection is None:
            return
        if self._driver.tee is not None:
            self._driver.tee(self._said, False, self._driver.clock.now_ns(), data)
        self._connection.write(data)

    def end(self, reason: str) -> None:
        """Drop the connection, if there is one."""
        if self._connection is not None:
            self._connection.end(reason)

    def close(self) -> None:
        """Flush and close for good."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
