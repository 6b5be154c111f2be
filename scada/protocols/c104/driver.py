"""IEC 104 master on c104, in a supervised child process (extra ``c104``, GPL-3.0): protocol ``iec104-c104``.

The server never imports c104: it starts ``python -m scada.protocols.c104.child``, speaks to it over two pipes
(:mod:`scada.protocols.c104.frames`), starts it again when it dies, and kills it when the channel ends. Parameters, as of
our own IEC 104 driver: ``k w t0 t1 t2 t3 originator time_zone_minutes command_timeout_s``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from scada.core.batch import POINT_DTYPE, PointBatch
from scada.core.clock import Clock
from scada.core.errors import ConfigError, ProtocolError
from scada.model_cim.addresses import Iec104Address
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, Point
from scada.protocols.c104.frames import HEAD, LONGEST, RECORDS, message
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Driver, LinkState, Outcome, Sink
from scada.protocols.iec104.asdu import CommandElement, encode_command

_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 30.0
_GOODBYE_S: Final = 0.5
_ANSWER_S: Final = 5.0
"""Longer than the child's own time-out: it must have answered by then."""
_COMMAND: Final = (sys.executable, "-P", "-m", "scada.protocols.c104.child")
"""``-P``: a file in the folder where the server was started is not to be taken for a module."""
_PARAMETERS: Final = {
    "k": ("send_window_size", 12),
    "w": ("receive_window_size", 8),
    "t0": ("connection_timeout", 10),
    "t1": ("message_timeout", 15),
    "t2": ("confirm_interval", 10),
    "t3": ("keep_alive_interval", 20),
}


class C104Driver(Driver):
    """One c104 process. It selects and executes in one step, does not say why a station refused, and shows no octets."""

    heard = False

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        if find_spec("c104") is None:
            raise ConfigError("the protocol iec104-c104 needs the extra c104", mend="pip install 'scada-ems[c104]'")
        try:
            ipaddress.IPv4Address(spec.host)
        except ValueError as error:
            text = f"c104 takes IPv4 addresses only, not {spec.host!r}"
            raise ConfigError(text, where=f"channel {spec.name}", mend="write the address, or use iec104") from error
        self._timeout_s = self._number("command_timeout_s", 10.0)
        self._setup = self._make_setup()
        self._process: asyncio.subprocess.Process | None = None
        self._up = False
        self._connecting = False
        self._tickets = 0
        self._answers: dict[int, asyncio.Future[CommandResult]] = {}
        self._strangers: set[str] = set()

    def _number(self, name: str, default: float) -> float:
        raw = self.spec.params.get(name, default)
        try:
            return float(raw)
        except ValueError as error:
            where = f"channel {self.spec.name}"
            raise ConfigError(f"parameter {name} = {raw!r} is no number", where=where, mend="correct it") from error

    def _make_setup(self) -> dict[str, Any]:
        points = [
            (int(p.pid), p.address.common_address, p.address.ioa, p.address.type_id, p.scale, p.offset)
            for p in self.points
            if isinstance(p.address, Iec104Address)
        ]
        controls = [
            (c.cid, c.address.common_address, c.address.ioa, c.address.type_id, c.select)
            for c in self.controls
            if isinstance(c.address, Iec104Address)
        ]
        self._check(points, controls)
        return {
            "channel": self.spec.index,
            "host": self.spec.host,
            "port": self.spec.port,
            "originator": self._number("originator", 0.0),
            "zone_minutes": self._number("time_zone_minutes", 0.0),
            "command_timeout_s": self._timeout_s,
            "protocol": {theirs: round(self._number(ours, default)) for ours, (theirs, default) in _PARAMETERS.items()},
            "points": points,
            "controls": controls,
            "common_addresses": sorted({row[1] for row in (*points, *controls)}),
        }

    def _check(self, points: Sequence[tuple[Any, ...]], controls: Sequence[tuple[Any, ...]]) -> None:
        """What c104 would end with, again and again, and without a word."""
        where = f"channel {self.spec.name}"
        places = Counter(row[1:3] for row in (*points, *controls))
        for (common_address, ioa), count in places.items():
            if count > 1:
                text = f"CA {common_address} IOA {ioa} stands for {count} points and controls, and c104 takes one"
                raise ConfigError(text, where=where, mend="leave out the others, or use iec104")
        for control in self.controls:
            if control.scale == 0:
                raise ConfigError(f"{control.path} has scale 0", where=where, mend="correct it")

    # ------------------------------------------------------------------ the process

    async def run(self) -> None:
        """Keep a child running; it reconnects by itself. A child that dies is started again with back-off."""
        delay = _FIRST_RETRY_S
        while True:
            self._connecting = True
            self.sink.state(LinkState.CONNECTING, f"starting c104 for {self.spec.host}:{self.spec.port}")
            connects = self.statistics.connects
            reason = await self._life()
            end_if_cancelled()
            self._down(reason)
            delay = _FIRST_RETRY_S if self.statistics.connects > connects else delay
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    async def _life(self) -> str:
        """One child from its start to its end; returns why it ended."""
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "TZ": "UTC"}
        try:
            process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=pipe, stdout=pipe, env=environment, limit=1 << 16)
        except OSError as error:
            return f"cannot start the c104 process: {error.strerror or error}"
        self._process = process
        try:
            self._write(message("setup", **self._setup))
            await self._read(process)
        except (asyncio.IncompleteReadError, OSError, ProtocolError) as error:
            code = process.returncode
            how = f"with code {code}" if code is not None else f"({error})"
            return f"the c104 process ended {how}"
        finally:
            self._process, self._up = None, False
            self._end_waiting("the c104 process ended before the station answered")
            await _end(process)
        return "the c104 process ended"

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            length, kind = HEAD.unpack(await process.stdout.readexactly(HEAD.size))
            if length > LONGEST:
                raise ProtocolError(f"a frame of {length} octets")
            body = await process.stdout.readexactly(length)
            try:
                if kind == RECORDS:
                    self._deliver(body)
                else:
                    self._hear(json.loads(body))
            except (ValueError, KeyError, TypeError) as error:
                raise ProtocolError(f"it says what cannot be read: {error!r}") from error
            if kind == RECORDS:
                await self.sink.ready()  # what waits behind this fills the pipe, then the child's queue, then c104 waits

    def _deliver(self, body: bytes) -> None:
        now = self.clock.now_ns()
        records = np.frombuffer(body, dtype=POINT_DTYPE)
        self.statistics.frames_in += 1
        self.statistics.values_in += len(records)
        self.statistics.last_receive_ns = now
        self.sink.deliver(PointBatch(records, now, self.spec.name))

    def _hear(self, said: dict[str, Any]) -> None:
        match said["what"]:
            case "state":
                self._state(said["state"], said["reason"])
            case "answer":
                answer = self._answers.get(said["id"])
                if answer is not None and not answer.done():
                    answer.set_result(CommandResult(Outcome(said["outcome"]), said["reason"]))
            case "unknown":
                self.statistics.unknown_addresses += 1
                if said["address"] not in self._strangers:
                    self._strangers.add(said["address"])
                    self.sink.notice("unknown_address", f"{said['address']} is sent, and the model does not have it")

    def _state(self, state: str, reason: str) -> None:
        if state == "up":
            self._up, self._connecting = True, False
            self.statistics.connects += 1
            self.sink.state(LinkState.UP, reason)
            for what in ("clock", "interrogate"):
                self._write(message(what, id=0))
        elif state == "down":
            self._connecting = False
            self._down(reason)
        elif not self._connecting:
            self._connecting = True
            self.sink.state(LinkState.CONNECTING, reason)

    def _down(self, reason: str) -> None:
        self._up = False
        self._end_waiting(reason)
        self.statistics.disconnects.append((self.clock.now_ns(), reason))
        self.sink.state(LinkState.DOWN, reason)

    def _end_waiting(self, reason: str) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(CommandResult(Outcome.TIMEOUT, f"{reason}; the station may have acted"))

    def _write(self, data: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(data)

    # ------------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """c104 selects and executes in one step: nothing is sent yet."""
        raw = _raw(control, value)
        if isinstance(raw, CommandResult):
            return raw
        if not self._up:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        return CommandResult(Outcome.CONFIRMED, "c104 selects at execute; the station was not asked yet")

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Operate, with a select before it where the control has one."""
        raw = _raw(control, value)
        return raw if isinstance(raw, CommandResult) else await self._ask("command", cid=control.cid, value=raw)

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was selected yet. c104 as a station would execute a cancel; as a master it cannot send one."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the station")

    async def interrogate(self) -> CommandResult:
        """Station interrogation of every common address."""
        return await self._ask("interrogate")

    async def synchronise_clock(self) -> CommandResult:
        """Send the host's time: c104 has no other."""
        return await self._ask("clock")

    async def _ask(self, what: str, **fields: Any) -> CommandResult:
        if not self._up:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        self._tickets += 1
        ticket = self._tickets
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._answers[ticket] = answer
        self._write(message(what, id=ticket, **fields))
        try:
            async with asyncio.timeout(2 * self._timeout_s + _ANSWER_S):
                return await answer
        except TimeoutError:
            return CommandResult(Outcome.TIMEOUT, "the c104 process does not answer; the station may have acted")
        finally:
            del self._answers[ticket]


def _raw(control: Control, value: float) -> float | CommandResult:
    """The number for the wire; a refusal where its type cannot say it: c104 would send the next best, or end without a word."""
    raw = (value - control.offset) / control.scale if control.kind is ControlKind.SETPOINT else value
    try:
        assert isinstance(control.address, Iec104Address)
        encode_command(control.address.type_id, CommandElement(raw))
    except (ValueError, OverflowError) as error:
        return CommandResult(Outcome.REFUSED, str(error))
    return raw


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its pipes, and kill it if it stays."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await _gone(process)
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await _gone(process)
        end_if_cancelled()


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Until it has ended. What it still says is thrown away: a pipe that nobody empties is never closed, nor its end told."""
    assert process.stdout is not None
    while await process.stdout.read(1 << 16):
        pass
    await process.wait()
