"""Modbus behind the driver interface: cyclic scan and commands over TCP, TLS, a serial line, or RTU frames through TCP.

What a channel may be told by parameters is in :mod:`scada.protocols.modbus.limits`, the line's in
:mod:`scada.protocols.modbus.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

from scada.core.batch import PointBatch
from scada.core.clock import Clock
from scada.core.errors import ProtocolError
from scada.core.quality import Quality
from scada.model_cim.modbus import BIT_TABLES
from scada.model_cim.tables import ChannelSpec, Control, Point
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Describer, Driver, LinkState, Outcome, Sink
from scada.protocols.modbus import exchange, write
from scada.protocols.modbus.describe import ModbusDescriber
from scada.protocols.modbus.exchange import NO_ANSWER, Answer, Request, exception_text
from scada.protocols.modbus.limits import read_limits
from scada.protocols.modbus.order import read_order
from scada.protocols.modbus.plan import plan
from scada.protocols.modbus.reading import Reading
from scada.protocols.modbus.registers import RegisterError
from scada.protocols.modbus.schedule import Schedule
from scada.protocols.modbus.transport import Line, LineLostError, Transport

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_SILENT_REQUESTS: Final = 3
"""Requests without an answer, from a channel on which nobody answers, after which the connection is made anew."""
_BUSY_PAUSE_S: Final = 0.1
_SETTLE_STEP_S: Final = 0.02
_LONGEST_WAIT_S: Final = 5.0
"""How long a command waits for the one before it; later it is too old to be written."""
_REST_S, _LONGEST_REST = 0.06, 20
"""Silence after which a late frame is over, and how many of them to wait: 256 octets at 9600 baud take 0.3 s."""
_WRITES: Final = (5, 6, 15, 16, exchange.MASK_WRITE, exchange.READ_WRITE)
_CERTIFICATE_CHECK_S: Final = 60.0
_PARTED: Final = (2, 3)
"""Refused for an address in the block, or for its length: some devices say the one, some the other."""
_PASSING: Final = (write.ACKNOWLEDGE, write.BUSY)
_UNREACHED: Final = (10, 11)


class ModbusDriver(Driver):
    """One Modbus connection and the units behind it.

    A block that nobody answers for is *not topical*, one that the station refuses *invalid*; a block refused for its addresses is
    halved until only the refused register is left out. A silent unit costs the others little, see
    :mod:`scada.protocols.modbus.schedule`.
    """

    orders: ClassVar[tuple[str, ...]] = ("read",)

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self._limits = read_limits(spec.protocol, spec.name, spec.params)
        self._transport = Transport(spec)
        blocks, self._refused = plan(points, self._limits)
        self._schedule = Schedule([Reading(block, spec) for block in blocks], self._limits)
        self._line: Line | None = None
        self._turn = asyncio.Lock()
        self._commands: dict[int, asyncio.Lock] = {}
        self._wake = asyncio.Event()
        self._told: set[str] = set()
        self._unanswered: Request | None = None
        self._settled_at = 0.0
        self._strays = 0

    # ------------------------------------------------------------ connection

    async def run(self) -> None:
        """Connect, scan, reconnect with back-off; ends only by cancellation."""
        self._tell_refused()
        delay = _FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self._transport.endpoint}")
            found = await self._transport.connect(self._hear, self._wake.set, self._real(max(self._limits.common.timeout_s, 1.0)))
            if isinstance(found, Line):
                delay = _FIRST_RETRY_S
                self.statistics.connects += 1
                reason = await self._serve(found)
            else:
                reason = found
            self.statistics.disconnects.append((self.clock.now_ns(), reason))
            self.sink.state(LinkState.DOWN, reason)
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    def _real(self, seconds: float) -> float:
        """A time-out in real seconds: a simulation that runs fast does not make the line faster."""
        return max(self.clock.real_delay(seconds), min(seconds, 1.0))

    def _hear(self, received: bool, data: bytes) -> None:
        now_ns = self.clock.now_ns()
        statistics = self.statistics
        if received:
            statistics.frames_in += 1
            statistics.bytes_in += len(data)
            statistics.last_receive_ns = now_ns
        else:
            statistics.frames_out += 1
            statistics.bytes_out += len(data)
        if self.tee is not None:
            self.tee("", received, now_ns, data)

    async def _serve(self, line: Line) -> str:
        """Scan until the connection is lost; returns why."""
        self._line = line
        self._strays = 0  # but what is unanswered stays so: a gateway, or the device, may still answer on the new connection
        self._schedule.start(self.clock.monotonic())
        up, check_at = False, self.clock.monotonic() + _CERTIFICATE_CHECK_S
        try:
            while True:
                self._wake.clear()
                now = self.clock.monotonic()
                reading, at = self._schedule.next(now)
                if reading is None:
                    await self._wait(line, at - now)
                else:
                    await self._scan(reading)
                    await self.sink.ready()
                if line.lost:
                    return line.lost
                if self._schedule.all_silent and self._schedule.misses >= _SILENT_REQUESTS:
                    return f"no answer from any unit to {self._schedule.misses} requests"
                if not up and (self._schedule.heard or self._schedule.empty):
                    up = True
                    self.sink.state(LinkState.UP, f"connected to {self._transport.endpoint}")
                if self._transport.tls is not None and now >= check_at:
                    check_at = now + _CERTIFICATE_CHECK_S
                    refusal = self._transport.tls.refusal(line.peer_certificate(), self.clock.now_ns())
                    if refusal:
                        return f"TLS: {refusal}"
                end_if_cancelled()
        except LineLostError as error:
            return str(error)
        finally:
            self._line = None
            line.close()

    async def _wait(self, line: Line, seconds: float) -> None:
        """Until the next request is due, somebody is in a hurry, or the connection goes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if line.lost else max(self.clock.real_delay(min(seconds, 1.0)), 0.001)):
                await self._wake.wait()

    async def _ask(self, request: Request) -> Answer:
        """One request, when its unit can bear it.

        Raises:
            LineLostError: there is no connection, or it went.
        """
        limits = self._limits.of(request.unit_id)
        async with self._turn:
            line = self._line
            if line is None:
                raise LineLostError("not connected")
            pause = self._schedule.free_at(request.unit_id) - self.clock.monotonic()
            if pause > 0:
                await asyncio.sleep(self.clock.real_delay(pause))
            await self._settle(line)
            began = self.clock.monotonic()
            self._unanswered = request
            try:
                answer = await line.ask(request, self._real(limits.timeout_s))
                if answer == NO_ANSWER:
                    self.statistics.lost_frames += 1
                    return answer
                self._unanswered = None
                if answer.fault:
                    self.statistics.malformed += 1
                    self._notice("malformed", f"unit {request.unit_id}, function {request.function}: {answer.fault}")
                else:
                    self.statistics.round_trip_s = self.clock.monotonic() - began
                return answer
            finally:
                ended = self.clock.monotonic()
                self._settled_at = ended + self._limits.settle_s
                self._schedule.used(request.unit_id, began, ended)
                self._count_strays(line)

    async def _settle(self, line: Line) -> None:
        """After a missing answer: be sure that it does not come now.

        RTU frames bear no number, so a late answer would be taken for that to the next request. The line is listened to for
        ``settle_s``, or until the late one is there; it is thrown away.
        """
        request, self._unanswered = self._unanswered, None
        if request is None:
            self._count_strays(line)
            return
        # no event to wait for: what comes late is a stray, and the clock may run at another rate
        while line.quiet_since(self._strays) and self.clock.monotonic() < self._settled_at:  # noqa: ASYNC110
            await asyncio.sleep(_SETTLE_STEP_S)
        if self._count_strays(line):
            text = f"unit {request.unit_id} answers later than its timeout_s of {self._limits.of(request.unit_id).timeout_s:g} s"
            self._notice("late_answer", f"{text}; late answers are thrown away")
            for _ in range(_LONGEST_REST if self._transport.is_rtu else 0):
                await asyncio.sleep(_REST_S)
                if not self._count_strays(line):
                    break

    def _count_strays(self, line: Line) -> int:
        """Frames, or pieces of some, that came since the last count and answer nothing."""
        new = line.exchange.strays - self._strays
        self._strays += new
        self.statistics.refused += new
        return new

    # ------------------------------------------------------------ scan

    async def _scan(self, reading: Reading) -> None:
        """Read one block and deliver what came of it."""
        block = reading.block
        request = exchange.read(block.unit_id, block.table, block.start, block.count)
        tries = 1 if self._schedule.is_silent(block.unit_id) else 1 + self._limits.of(block.unit_id).read_retries
        began = self.clock.monotonic()
        answer = NO_ANSWER
        for left in range(tries - 1, -1, -1):
            answer = await self._ask(request)
            if answer.good or not left or not (answer.fault or answer.exception in _PASSING):
                break
            if answer.exception:
                await asyncio.sleep(self.clock.real_delay(_BUSY_PAUSE_S))
        now = self.clock.monotonic()
        if answer.good:
            self._take(reading, answer, now)
        elif answer.fault or answer.exception in _UNREACHED:
            self._missed(reading, answer, now - began + self._limits.settle_s)
        else:
            self._refuse(reading, answer.exception, now)

    def _take(self, reading: Reading, answer: Answer, now: float) -> None:
        block = reading.block
        registers = answer.bits(block.count) if block.table in BIT_TABLES else answer.registers()
        self.statistics.values_in += len(block.points)
        self.sink.deliver(reading.take(registers, self.clock.now_ns()))
        if self._schedule.is_silent(block.unit_id):
            self.sink.notice("unit_back", f"unit {block.unit_id} answers again")
        if self._schedule.late_s > block.period_s:
            text = f"{block.where} was read {self._schedule.late_s:.3g} s late; its period is {block.period_s:g} s"
            self._notice("scan_overrun", text, key=f"scan_overrun {block.unit_id}")
        self._schedule.answered(reading, now)

    def _missed(self, reading: Reading, answer: Answer, cost_s: float) -> None:
        """Nobody answered for a block; of a unit that has become silent all are not topical."""
        became = self._schedule.missed(reading, cost_s, self.clock.monotonic())
        marked = self._schedule.of_unit(reading.block.unit_id) if became else [reading]
        for one in marked:
            self._fail(one, Quality.NOT_TOPICAL, str(answer))
        if became:
            unit_id = reading.block.unit_id
            count = sum(len(one.block.points) for one in marked)
            self.sink.notice("unit_silent", f"unit {unit_id}: {answer}; {count} points are not topical")
        elif not self._schedule.is_silent(reading.block.unit_id):
            self._notice("block_silent", f"{reading.block.where}: {answer}")

    def _refuse(self, reading: Reading, code: int, now: float) -> None:
        parts = reading.halves() if code in _PARTED else None
        if parts is not None:
            self._schedule.parted(reading, parts, now)
        elif code in _PASSING:
            self._fail(reading, Quality.NOT_TOPICAL, exception_text(code))
            self._schedule.answered(reading, now)
        else:
            if reading.fault != exception_text(code):
                points = len(reading.block.points)
                self._notice("station_refusal", f"{reading.block.where}: {exception_text(code)}; {points} points are invalid")
            self._fail(reading, Quality.INVALID, exception_text(code))
            self._schedule.refused(reading, now)

    def _fail(self, reading: Reading, bits: Quality, fault: str) -> None:
        batch = reading.fail(bits, fault, self.clock.now_ns())
        if batch is not None:
            self.sink.deliver(batch)

    def _tell_refused(self) -> None:
        """Points whose address cannot be used are invalid from the start."""
        for point, error in self._refused:
            self._notice("bad_address", f"point {point.path}: {error}; it is not read")
        pids = [point.pid for point, _ in self._refused]
        if pids:
            word = int(Quality.INVALID | Quality.BAD_REFERENCE)
            now = self.clock.now_ns()
            self.sink.deliver(PointBatch.of(pids, math.nan, received_at=now, quality=word, channel=self.spec.index))

    def _notice(self, kind: str, text: str, key: str = "") -> None:
        """Say something once."""
        if (key or text) not in self._told:
            self._told.add(key or text)
            self.sink.notice(kind, text)

    # ------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """Check that the value can be written and that the station answers for the register; Modbus itself knows no selection."""
        return await self._carry_out(control, lambda: write.check(control, value, self._limits))

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Write and, unless ``read_back`` is 0, read the register again; confirmed only if it holds what was written."""
        result = await self._carry_out(control, lambda: write.operate(control, value, self._limits))
        self._hurry(getattr(control.address, "unit_id", None))
        return result

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was left at the station by :meth:`select`."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the station")

    async def interrogate(self) -> CommandResult:
        """Scan everything at once."""
        if self._line is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        self._hurry(None)
        return CommandResult(Outcome.CONFIRMED)

    async def order(self, name: str, arguments: Mapping[str, str]) -> CommandResult:
        """``read``: registers for commissioning, by ``unit``, ``table``, ``register``, ``count``; the reason's text has them."""
        if name != "read":
            return await super().order(name, arguments)
        found = read_order(arguments, self._limits)
        if isinstance(found, str):
            return CommandResult(Outcome.REFUSED, found)
        try:
            return found.result(await self._ask(found.request))
        except LineLostError as error:
            return CommandResult(Outcome.LINK_DOWN, str(error))

    def describer(self) -> Describer:
        """A decoder of this channel's frames."""
        return ModbusDescriber(rtu=self._transport.is_rtu)

    def _hurry(self, unit_id: int | None) -> None:
        self._schedule.hurry(unit_id, self.clock.monotonic())
        self._wake.set()

    async def _carry_out(self, control: Control, begin: Callable[[], write.Steps]) -> CommandResult:
        """Go through the steps of a command; those of one unit do not mix."""
        lock = self._commands.setdefault(getattr(control.address, "unit_id", 0), asyncio.Lock())
        try:
            async with asyncio.timeout(self._real(_LONGEST_WAIT_S)):
                await lock.acquire()
        except TimeoutError:
            text = f"another command of this unit has not ended for {_LONGEST_WAIT_S:g} s; nothing was sent"
            return CommandResult(Outcome.REFUSED, text)
        try:
            return await self._go_through(begin)
        finally:
            lock.release()

    async def _go_through(self, begin: Callable[[], write.Steps]) -> CommandResult:
        sent = False
        try:
            steps = begin()
            step = next(steps)
            while True:
                if isinstance(step, write.Pause):
                    await asyncio.sleep(self.clock.real_delay(step.seconds))
                    step = next(steps)
                else:
                    sent = sent or (self._line is not None and step.function in _WRITES)
                    step = steps.send(await self._ask(step))
        except StopIteration as end:
            result: CommandResult = end.value
            return result
        except RegisterError as error:
            return CommandResult(Outcome.REFUSED, str(error))
        except LineLostError as error:
            if sent:
                text = f"{error} before the answer; it is not known whether the station acted"
                return CommandResult(Outcome.TIMEOUT, text)
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        except ProtocolError as error:
            return CommandResult(Outcome.REFUSED, str(error))
