"""A driver in one file: meters that speak lines of text over TCP. docs/protocols/drivers.md walks through it.

What the meter says                            what we say
    ``NAME VALUE MS``        a change            ``get``                every value, please
    ``now NAME VALUE MS``    answer to ``get``   ``set ID NAME VALUE``  a command
    ``end``                  of that answer
    ``ok ID``, ``no ID WHY`` answer to ``set``

``MS`` are milliseconds UTC since 1970, 0 = the meter has no clock; a ``?`` after VALUE says that the meter doubts it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import numpy as np

from scada.core.batch import POINT_DTYPE, PointBatch, RecordFlag
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.addresses import PlainAddress
from scada.model_cim.tables import ChannelSpec, Control, Point, PointKind
from scada.protocols.driver import CommandResult, Driver, LinkState, Outcome, Sink

FIRST_RETRY_S, LAST_RETRY_S = 1.0, 30.0
READ_AT_ONCE = 1024
"""Octets, so some forty values: no more of them reach a database that is behind."""
STATUS_KINDS = (PointKind.STATUS, PointKind.DOUBLE)


class TextMeterDriver(Driver):
    """One meter. Channel parameter ``timeout_s`` (5): how long an answer may take."""

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        try:
            self.timeout_s = float(spec.params.get("timeout_s", 5.0))
        except ValueError as error:
            raise ConfigError("timeout_s is no number", where=f"channel {spec.name}", mend="correct it") from error
        self.by_name = {p.address.text: p for p in points if isinstance(p.address, PlainAddress)}
        self.writer: asyncio.StreamWriter | None = None
        self.answers: dict[str, asyncio.Future[CommandResult]] = {}
        self.interrogation: asyncio.Future[CommandResult] | None = None
        self.tickets = 0
        self.strangers: set[str] = set()

    @classmethod
    def check_address(cls, address: str) -> str:
        """The model check asks this about every ``sc:RemotePoint.address``."""
        return "" if len(address.split()) == 1 else f"has address {address!r}; a name of the meter has no spaces"

    # ------------------------------------------------------------------------------------------------- life cycle

    async def run(self) -> None:
        """Connect, serve, say why it ended, wait longer each time, again. Only a cancellation ends it."""
        delay = FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self.spec.host}:{self.spec.port}")
            connects = self.statistics.connects
            reason = await self.serve()
            self.statistics.disconnects.append((self.clock.now_ns(), reason))
            self.sink.state(LinkState.DOWN, reason)
            delay = FIRST_RETRY_S if self.statistics.connects > connects else min(2 * delay, LAST_RETRY_S)
            await asyncio.sleep(self.clock.real_delay(delay))

    async def serve(self) -> str:
        """One connection, from its first octet to its last; returns why it ended."""
        try:
            async with asyncio.timeout(self.clock.real_delay(self.timeout_s)):
                reader, self.writer = await asyncio.open_connection(self.spec.host, self.spec.port)
        except TimeoutError:
            return f"no connection within {self.timeout_s:g} s"
        except OSError as error:
            return f"cannot connect: {error.strerror or error}"
        self.statistics.connects += 1
        try:
            self.send("get")
            self.sink.state(LinkState.UP, "connected")
            return await self.read(reader)
        except OSError as error:
            return f"connection broken: {error.strerror or error}"
        finally:  # also when cancelled
            self.writer.close()
            self.writer = None
            for waiting in (*self.answers.values(), self.interrogation):
                if waiting is not None and not waiting.done():  # on its way when the link went: reported, never repeated
                    reason = "the connection ended before the meter answered; it may have acted"
                    waiting.set_result(CommandResult(Outcome.TIMEOUT, reason))

    async def read(self, reader: asyncio.StreamReader) -> str:
        """Lines until the end; returns why it came."""
        rest = b""
        while data := await reader.read(READ_AT_ONCE):
            now = self.clock.now_ns()
            if self.tee is not None:
                self.tee("", True, now, data)
            self.statistics.bytes_in += len(data)
            self.statistics.last_receive_ns = now
            *lines, rest = (rest + data).split(b"\n")
            if len(rest) > 1024:
                return "a line of more than 1024 octets: this is no meter"
            self.take([line.decode("ascii", "replace").strip() for line in lines], now)
            await self.sink.ready()  # while the database is behind nothing more is read, so TCP makes the meter wait
        return "the meter closed the connection"

    def send(self, line: str) -> None:
        """Write a line; what waits to be sent is small, for nothing is sent but commands."""
        assert self.writer is not None
        data = f"{line}\n".encode("ascii")
        if self.tee is not None:
            self.tee("", False, self.clock.now_ns(), data)
        self.statistics.frames_out += 1
        self.statistics.bytes_out += len(data)
        self.writer.write(data)

    # ----------------------------------------------------------------------------------------------------- values

    def take(self, lines: Sequence[str], now: int) -> None:
        """Everything that was read at once makes one batch."""
        rows = []
        for line in lines:
            self.statistics.frames_in += 1
            match line.split():
                case ["now", name, value, ms]:
                    rows += self.row(line, name, value, ms, refresh=True)
                case ["ok", ticket]:
                    self.settle(ticket, CommandResult(Outcome.CONFIRMED))
                case ["no", ticket, *why]:
                    self.settle(ticket, CommandResult(Outcome.REFUSED, " ".join(why) or "the meter refused"))
                case ["end"]:
                    if self.interrogation is not None and not self.interrogation.done():
                        self.interrogation.set_result(CommandResult(Outcome.CONFIRMED))
                case [name, value, ms]:
                    rows += self.row(line, name, value, ms, refresh=False)
                case _:
                    self.malformed(line)
        if rows:
            records = np.zeros(len(rows), dtype=POINT_DTYPE)
            for name, column in zip(("pid", "value", "quality", "source_time", "flags"), zip(*rows, strict=True), strict=True):
                records[name] = column
            records["channel"] = self.spec.index
            self.statistics.values_in += len(rows)
            self.sink.deliver(PointBatch(records, now, self.spec.name))

    def row(self, line: str, name: str, value: str, ms: str, *, refresh: bool) -> list[tuple[int, float, int, int, int]]:
        """A record, or nothing: what cannot be read is counted, never guessed."""
        try:
            number, time_ns = float(value.removesuffix("?")), int(ms) * 1_000_000
        except ValueError:
            self.malformed(line)
            return []
        if not 0 <= time_ns < 1 << 63:  # more than a record can hold would end the channel
            self.malformed(line)
            return []
        point = self.by_name.get(name)
        if point is None:
            self.statistics.unknown_addresses += 1
            if name not in self.strangers:
                self.strangers.add(name)
                self.sink.notice("unknown_address", f"the meter tells {name!r}, which the model does not have")
            return []
        quality = int(Quality.QUESTIONABLE) if value.endswith("?") else 0
        if not math.isfinite(number):
            quality |= int(Quality.INVALID)
        event = RecordFlag.EVENT if point.kind in STATUS_KINDS else 0
        return [(point.pid, number * point.scale + point.offset, quality, time_ns, RecordFlag.REFRESH if refresh else event)]

    def malformed(self, line: str) -> None:
        """Count it and say so; the sink lets through one notice of a kind in ten seconds."""
        self.statistics.malformed += 1
        self.sink.notice("malformed", f"cannot be read: {line[:80]!r}")

    # --------------------------------------------------------------------------------------------------- commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """The meter knows no selection; nothing is sent, and nothing is promised."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "the meter knows no selection")

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Ask the meter, once."""
        if self.writer is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        assert isinstance(control.address, PlainAddress)
        self.tickets += 1
        ticket = str(self.tickets)
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self.answers[ticket] = answer
        self.send(f"set {ticket} {control.address.text} {(value - control.offset) / control.scale!r}")
        try:
            return await self.answered(answer, "it is not known whether the meter acted")
        finally:
            del self.answers[ticket]

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was selected."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the meter")

    async def interrogate(self) -> CommandResult:
        """Every value, now."""
        if self.writer is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        if self.interrogation is None or self.interrogation.done():
            self.interrogation = asyncio.get_running_loop().create_future()
            self.send("get")
        return await self.answered(self.interrogation, "not every value came")

    def settle(self, ticket: str, result: CommandResult) -> None:
        """The meter answered; an answer that nobody waits for any more is passed over."""
        answer = self.answers.get(ticket)
        if answer is not None and not answer.done():
            answer.set_result(result)

    async def answered(self, answer: asyncio.Future[CommandResult], otherwise: str) -> CommandResult:
        """The answer within ``timeout_s``; the wait of one caller never ends that of another."""
        done, _ = await asyncio.wait([answer], timeout=self.clock.real_delay(self.timeout_s))
        if done:
            return answer.result()
        return CommandResult(Outcome.TIMEOUT, f"no answer within {self.timeout_s:g} s; {otherwise}")
