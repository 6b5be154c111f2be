"""IEC 104 driver: sockets and timers around a :class:`~scada.protocols.iec104.channel.Channel`, on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, cast

from scada.core.clock import Clock
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.driver import CommandResult, Driver, LinkState, Sink
from scada.protocols.iec104.channel import Channel
from scada.protocols.iec104.commanding import Step
from scada.protocols.iec104.describe import Iec104Describer
from scada.protocols.iec104.effects import Disconnect, Done, Effect, Notice, Send, StateChange, Values

_TICK_S: Final = 0.25
_BACK_OFF_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Waits between connection attempts; the last one repeats. Data transfer that held for a while starts over."""
_STABLE_S: Final = 30.0


class Iec104Driver(Driver):
    """The controlling side of one channel.

    ``spec.params`` are those of :class:`~scada.protocols.iec104.effects.ChannelParameters`.

    Received frames are acknowledged only after ``sink.ready()`` has returned for them; while it waits the driver stops reading,
    so the station's send window closes and nothing is dropped.

    Attributes:
        channel: the protocol machine, for diagnosis.
    """

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self.channel = Channel(spec, points, controls, statistics=self.statistics)
        self._socket: _Socket | None = None
        self._waiting: dict[int, asyncio.Future[CommandResult]] = {}

    # ------------------------------------------------------------------ Driver

    async def run(self) -> None:
        """Connect, serve, reconnect with back-off, until cancelled; then data transfer is stopped and the socket closed."""
        attempt = 0
        try:
            while True:
                self.sink.state(LinkState.CONNECTING, f"connecting to {self.spec.host}:{self.spec.port}")
                began = self.clock.monotonic()
                reason = await self._serve()
                self.statistics.disconnects.append((self.clock.now_ns(), reason))
                if self.tee is not None:
                    self.tee("", True, self.clock.now_ns(), b"")
                self.carry_out(self.channel.lost(reason))
                attempt = 0 if self.clock.monotonic() - began > _STABLE_S else attempt
                wait = _BACK_OFF_S[min(attempt, len(_BACK_OFF_S) - 1)]
                attempt += 1
                await asyncio.sleep(self.clock.real_delay(wait))
        finally:
            if self._socket is not None:
                self.carry_out(self.channel.shutdown(self.clock.monotonic()))
                self._socket.close()
                self._socket = None
            for effect in self.channel.lost("channel was closed"):
                self.carry_out([effect])

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
        return await self._wait_for(*self.channel.interrogate(self.clock.now_ns(), self.clock.monotonic()))

    async def synchronise_clock(self) -> CommandResult:
        """Send our time to every common address of the channel."""
        return await self._wait_for(*self.channel.synchronise_clock(self.clock.now_ns(), self.clock.monotonic()))

    def describer(self) -> Iec104Describer:
        """APDUs in words."""
        return Iec104Describer()

    # ------------------------------------------------------------------ inside

    async def _command(self, control: Control, value: float, step: Step) -> CommandResult:
        return await self._wait_for(*self.channel.command(control, value, step, self.clock.now_ns(), self.clock.monotonic()))

    async def _wait_for(self, ticket: int, effects: Sequence[Effect]) -> CommandResult:
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = answer
        self.carry_out(effects)
        try:
            return await answer
        finally:
            self._waiting.pop(ticket, None)

    async def _serve(self) -> str:
        """One connection from beginning to end; the reason of its end."""
        limit = self.clock.real_delay(self.channel.parameters.link.t0)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(limit):
                _, protocol = await loop.create_connection(lambda: _Socket(self), self.spec.host, self.spec.port)
        except TimeoutError:
            return f"no connection within t0 = {self.channel.parameters.link.t0:g} s"
        except OSError as error:
            return f"cannot connect: {error.strerror or error}"
        self._socket = protocol
        self.statistics.connects += 1
        tasks = [loop.create_task(self._tick()), loop.create_task(protocol.settle())]
        try:
            self.carry_out(self.channel.connected(self.clock.monotonic()))
            watched: set[asyncio.Future[Any]] = {protocol.ended, *tasks}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    await task  # a fault of ours: the supervisor must see it
            return protocol.ended.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if protocol.ended.done():
                self._socket = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self.clock.real_delay(_TICK_S))
            self.carry_out(self.channel.tick(self.clock.now_ns(), self.clock.monotonic()))

    def received(self, data: bytes) -> None:
        """Octets from the socket."""
        now_ns = self.clock.now_ns()
        if self.tee is not None:
            self.tee("", True, now_ns, data)
        self.carry_out(self.channel.feed(data, now_ns, self.clock.monotonic()))

    async def taken_over(self) -> None:
        """Wait until the database keeps up, then let the station have its acknowledgement."""
        await self.sink.ready()
        self.carry_out(self.channel.delivered(self.clock.monotonic()))

    def carry_out(self, effects: Sequence[Effect]) -> None:
        """Do what the channel wants done."""
        for effect in effects:
            if isinstance(effect, Values):
                self.sink.deliver(effect.batch)
            elif isinstance(effect, Send):
                self._write(effect.data)
            elif isinstance(effect, StateChange):
                self.sink.state(effect.state, effect.reason)
            elif isinstance(effect, Notice):
                self.sink.notice(effect.kind, effect.text)
            elif isinstance(effect, Done):
                answer = self._waiting.get(effect.ticket)
                if answer is not None and not answer.done():
                    answer.set_result(effect.result)
            elif isinstance(effect, Disconnect) and self._socket is not None:
                self._socket.end(effect.reason)

    def _write(self, data: bytes) -> None:
        if self._socket is None:
            return
        if self.tee is not None:
            self.tee("", False, self.clock.now_ns(), data)
        self._socket.write(data)


class _Socket(asyncio.Protocol):
    """The TCP connection; stops reading while what was read is not taken over."""

    def __init__(self, driver: Iec104Driver) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._driver = driver
        self._arrived = asyncio.Event()
        self._settling = False
        self._paused = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transport is no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(f"connection broken: {exc}" if exc else "the station closed the connection")

    def data_received(self, data: bytes) -> None:
        if self.ended.done():
            return
        self._driver.received(data)
        self._arrived.set()
        if self._settling and not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def write(self, data: bytes) -> None:
        """Send octets; the send window bounds what can wait here."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    async def settle(self) -> None:
        """One round for all that arrived meanwhile: hand over, acknowledge, read on."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            self._settling = True
            await self._driver.taken_over()
            self._settling = False
            if self._paused and self._transport is not None and not self._transport.is_closing():
                self._paused = False
                self._transport.resume_reading()

    def end(self, reason: str) -> None:
        """Drop the connection; the reason is ours."""
        self._finish(reason)
        self.close()

    def close(self) -> None:
        """Flush what was written and close."""
        if self._transport is not None:
            self._transport.close()

    def _finish(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)
