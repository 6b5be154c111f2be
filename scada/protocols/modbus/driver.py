"""Modbus TCP client behind the driver interface: cyclic scan, writes with read-back.

Channel parameters: ``scan_ms`` (1000), ``timeout_s`` (3), ``read_back`` (1; 0 where command registers cannot be read).
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ExceptionResponse, ModbusPDU

from scada.core.batch import PointBatch, RecordFlag
from scada.core.clock import Clock
from scada.core.errors import ConfigError
from scada.core.quality import Quality
from scada.model_cim.tables import ChannelSpec, Control, ControlKind, ModbusAddress, Point
from scada.protocols.cancellation import end_if_cancelled
from scada.protocols.driver import CommandResult, Driver, LinkState, Outcome, Sink
from scada.protocols.modbus.plan import Block, plan
from scada.protocols.modbus.registers import BIT_TABLES, RegisterError, check_address, decode_words, encode_words, is_bit, width

ILLEGAL_DATA_ADDRESS: Final = 2

EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge: still working",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
"""Exception codes (MODBUS Application Protocol Specification V1.1b3, clause 7)."""

_FIRST_RETRY_S, _LAST_RETRY_S = 0.5, 30.0
_SILENT_SCANS = 3
"""Scans without one answer after which the connection is given up and made anew."""


class StationRefusal(Exception):  # noqa: N818 - an answer of the station, not a fault of ours
    """The station answered with an exception code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})")


@dataclass(slots=True)
class _Scanned:
    """A block with what was last read from it."""

    block: Block
    values: npt.NDArray[np.float64]
    quality: npt.NDArray[np.uint32]
    fault: str = ""
    fresh: bool = field(default=True)
    """Nothing was read since the connection was made."""

    @classmethod
    def of(cls, block: Block) -> _Scanned:
        count = len(block.points)
        return cls(block, np.full(count, math.nan), np.full(count, int(Quality.NEVER_RECEIVED), dtype=np.uint32))


class ModbusDriver(Driver):
    """One Modbus TCP connection.

    A request that times out makes its points *not topical*, one that the station refuses makes them *invalid*; a block refused
    for its addresses is halved until only the refused register is left out. Values read are delivered every scan; unchanged ones
    carry ``REFRESH``, changed status and double points ``EVENT``.
    """

    def __init__(self, spec: ChannelSpec, points: Sequence[Point], controls: Sequence[Control], sink: Sink, clock: Clock) -> None:
        super().__init__(spec, points, controls, sink, clock)
        self._scan_s = self._parameter("scan_ms", 1000.0, 20.0, 3_600_000.0) / 1000.0
        self._timeout_s = self._parameter("timeout_s", 3.0, 0.05, 300.0)
        self._read_back = self._parameter("read_back", 1.0, 0.0, 1.0) != 0
        blocks, self._refused = plan(points)
        self._scanned = [_Scanned.of(block) for block in blocks]
        self._client: AsyncModbusTcpClient | None = None
        self._told: set[str] = set()
        self._scan_now = asyncio.Event()

    def _parameter(self, name: str, default: float, low: float, high: float) -> float:
        raw = self.spec.params.get(name, default)
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            where = f"channel {self.spec.name}"
            raise ConfigError(f"parameter {name} = {raw!r} is not a number in {low:g}..{high:g}", where=where, mend="correct it")
        return value

    # ------------------------------------------------------------ connection

    async def run(self) -> None:
        """Connect, scan, reconnect with back-off; ends only by cancellation."""
        self._tell_refused()
        delay = _FIRST_RETRY_S
        while True:
            self.sink.state(LinkState.CONNECTING, f"connecting to {self.spec.host}:{self.spec.port}")
            reason = await self._connect()
            if not reason:
                delay = _FIRST_RETRY_S
                reason = await self._serve()
            self.statistics.disconnects.append((self.clock.now_ns(), reason))
            self.sink.state(LinkState.DOWN, reason)
            await asyncio.sleep(self.clock.real_delay(delay))
            delay = min(2 * delay, _LAST_RETRY_S)

    async def _connect(self) -> str:
        """Open the connection; returns why it failed or an empty text."""
        client = AsyncModbusTcpClient(
            self.spec.host,
            port=self.spec.port,
            # a simulation that runs fast does not make the line faster
            timeout=max(self.clock.real_delay(self._timeout_s), min(self._timeout_s, 1.0)),
            retries=0,
            reconnect_delay=0,
            trace_packet=self._count,
        )
        try:
            if await client.connect():
                self._client = client
                self.statistics.connects += 1
                return ""
        except OSError as error:
            return f"cannot connect to {self.spec.host}:{self.spec.port}: {error.strerror or error}"
        client.close()
        return f"cannot connect to {self.spec.host}:{self.spec.port}"

    def _count(self, sending: bool, packet: bytes) -> bytes:
        if sending:
            self.statistics.frames_out += 1
            self.statistics.bytes_out += len(packet)
        else:
            self.statistics.frames_in += 1
            self.statistics.bytes_in += len(packet)
            self.statistics.last_receive_ns = self.clock.now_ns()
        return packet

    async def _serve(self) -> str:
        """Scan until the connection is lost; returns why."""
        client, silent = self._client, 0
        assert client is not None
        for scanned in self._scanned:
            scanned.fresh, scanned.fault = True, ""
        up = False
        try:
            while True:
                began = self.clock.monotonic()
                self._scan_now.clear()
                await self.sink.ready()
                answers = await self._scan()
                silent = 0 if answers or not self._scanned else silent + 1
                if not client.connected:
                    return "connection lost"
                if silent >= _SILENT_SCANS:
                    return f"no answer to {silent} scans"
                if not up and (answers or not self._scanned):
                    up = True
                    self.sink.state(LinkState.UP, f"connected to {self.spec.host}:{self.spec.port}")
                rest = self._scan_s - (self.clock.monotonic() - began)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(self.clock.real_delay(rest), 0.001)):
                        await self._scan_now.wait()
                end_if_cancelled()
        finally:
            self._client = None
            client.close()

    # ------------------------------------------------------------ scan

    async def _scan(self) -> int:
        """Read every block once; returns how many answers came."""
        answers = 0
        queue = list(self._scanned)
        while queue:
            scanned = queue.pop(0)
            try:
                began = self.clock.monotonic()
                raw = await self._read(scanned.block)
                self.statistics.round_trip_s = self.clock.monotonic() - began
                answers += 1
                self._take(scanned, raw)
            except StationRefusal as refusal:
                answers += 1
                halves = scanned.block.halves() if refusal.code == ILLEGAL_DATA_ADDRESS else None
                if halves is None:
                    self._fail(scanned, Quality.INVALID, str(refusal))
                else:
                    parts = [_Scanned.of(half) for half in halves]
                    at = self._scanned.index(scanned)
                    self._scanned[at : at + 1] = parts
                    queue[:0] = parts
            except (ConnectionException, OSError):
                self._fail(scanned, Quality.NOT_TOPICAL, "connection lost")
                return answers
            except ModbusException:
                self._fail(scanned, Quality.NOT_TOPICAL, "no answer")
        return answers

    async def _read(self, block: Block) -> Sequence[int] | Sequence[bool]:
        """Registers or coils of a block.

        Raises:
            StationRefusal, ModbusException, OSError: no values.
        """
        return await self._read_table(block.unit_id, block.table, block.start, block.count)

    async def _read_table(self, unit_id: int, table: str, start: int, count: int) -> Sequence[int] | Sequence[bool]:
        client = self._connected()
        request = {
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
        }[table]
        answer = await _answer(request(start, count=count, device_id=unit_id))
        values: Sequence[int] | Sequence[bool] = answer.bits if table in BIT_TABLES else answer.registers
        if len(values) < count:
            self.statistics.malformed += 1
            raise ModbusException(f"{len(values)} values where {count} were asked")
        return values

    def _connected(self) -> AsyncModbusTcpClient:
        if self._client is None or not self._client.connected:
            raise ConnectionException("not connected")
        return self._client

    def _take(self, scanned: _Scanned, raw: Sequence[int] | Sequence[bool]) -> None:
        block = scanned.block
        values = block.decode(raw)
        readable = np.isfinite(values)
        quality = np.where(readable, 0, int(Quality.INVALID)).astype(np.uint32)
        # a register that holds no number (float NaN) leaves the last value, marked invalid
        values = np.where(readable, values, scanned.values)
        self.statistics.values_in += len(values)
        self._deliver(scanned, values, quality)
        scanned.fault = ""

    def _fail(self, scanned: _Scanned, bits: Quality, fault: str) -> None:
        """Mark the last values of a block that could not be read; said once per fault."""
        if scanned.fault == fault:
            return
        scanned.fault = fault
        block = scanned.block
        if bits is Quality.INVALID:
            where = f"unit {block.unit_id} {block.table} {block.start}..{block.start + block.count - 1}"
            self._notice("station_refusal", f"{where}: {fault}; {len(block.points)} points are invalid")
        quality = np.full(len(block.points), int(bits), dtype=np.uint32)
        quality[np.isnan(scanned.values)] |= int(Quality.INVALID)
        self._deliver(scanned, scanned.values, quality)

    def _deliver(self, scanned: _Scanned, values: npt.NDArray[np.float64], quality: npt.NDArray[np.uint32]) -> None:
        changed = (values != scanned.values) & ~(np.isnan(values) & np.isnan(scanned.values))
        found = scanned.fresh | ~changed
        flags = np.where(found, RecordFlag.REFRESH, np.where(scanned.block.is_event, RecordFlag.EVENT, 0))
        scanned.values, scanned.quality, scanned.fresh = values, quality, False
        batch = PointBatch.of(
            scanned.block.pids,
            values,
            received_at=self.clock.now_ns(),
            quality=quality,
            channel=self.spec.index,
            source=self.spec.name,
        )
        batch.records["flags"] = flags
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

    def _notice(self, kind: str, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.sink.notice(kind, text)

    # ------------------------------------------------------------ commands

    async def select(self, control: Control, value: float) -> CommandResult:
        """Check that the value can be written and that the station answers for the register; Modbus itself knows no selection."""
        return await self._guarded(self._check(control, value))

    async def execute(self, control: Control, value: float) -> CommandResult:
        """Write and, unless ``read_back`` is 0, read the register again; confirmed only if it holds what was written."""
        return await self._guarded(self._write(control, value))

    async def cancel(self, control: Control, value: float) -> CommandResult:
        """Nothing was left at the station by :meth:`select`."""
        del control, value
        return CommandResult(Outcome.CONFIRMED, "nothing was selected at the station")

    async def interrogate(self) -> CommandResult:
        """Scan at once."""
        if self._client is None:
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        self._scan_now.set()
        return CommandResult(Outcome.CONFIRMED)

    async def _guarded(self, step: Awaitable[CommandResult]) -> CommandResult:
        try:
            return await step
        except RegisterError as error:
            return CommandResult(Outcome.REFUSED, str(error))
        except StationRefusal as refusal:
            return CommandResult(Outcome.REFUSED, f"station: {refusal}")
        except (ConnectionException, OSError):
            return CommandResult(Outcome.LINK_DOWN, "not connected")
        except ModbusException:
            return CommandResult(
                Outcome.TIMEOUT, f"no answer within {self._timeout_s:g} s; it is not known whether the station acted"
            )

    async def _check(self, control: Control, value: float) -> CommandResult:
        address, _ = _encode(control, value)
        if self._read_back:
            await self._read_table(address.unit_id, address.table, address.register, width(address))
        self._connected()
        return CommandResult(Outcome.CONFIRMED)

    async def _write(self, control: Control, value: float) -> CommandResult:
        address, words = _encode(control, value)
        client, unit = self._connected(), address.unit_id
        if address.table == "coil":
            await _answer(client.write_coil(address.register, bool(words[0]), device_id=unit))
        elif len(words) == 1:
            await _answer(client.write_register(address.register, words[0], device_id=unit))
        else:
            await _answer(client.write_registers(address.register, words, device_id=unit))
        self._scan_now.set()
        if not self._read_back:
            return CommandResult(Outcome.CONFIRMED, "not read back")
        found = [int(word) for word in (await self._read_table(unit, address.table, address.register, len(words)))[: len(words)]]
        if found != words:
            return CommandResult(Outcome.REFUSED, f"the station holds {_shown(address, found)} after the write")
        return CommandResult(Outcome.CONFIRMED)


async def _answer(request: Awaitable[ModbusPDU]) -> ModbusPDU:
    answer = await request
    if isinstance(answer, ExceptionResponse):
        raise StationRefusal(answer.exception_code)
    return answer


def _encode(control: Control, value: float) -> tuple[ModbusAddress, list[int]]:
    """Address and registers (or one coil) of a command value.

    Raises:
        RegisterError: the value or the address cannot be written.
    """
    address = check_address(control.address)
    if address.table not in ("coil", "holding"):
        raise RegisterError(f"table {address.table} cannot be written", where=control.path, mend="use coil or holding")
    if address.table == "coil":
        states = {1.0: 0, 2.0: 1} if control.kind in (ControlKind.DOUBLE, ControlKind.STEP) else {0.0: 0, 1.0: 1}
        if value not in states:
            raise RegisterError(f"{value:g} is no state of a coil", where=control.path, mend=f"use {sorted(states)}")
        return address, [states[value]]
    if is_bit(address):
        raise RegisterError(
            "one bit of a register cannot be written safely", where=control.path, mend="use a coil or the register"
        )
    raw = (value - control.offset) / control.scale if control.scale else math.nan
    return address, encode_words(raw, address.data_type, address.word_order)


def _shown(address: ModbusAddress, words: list[int]) -> str:
    if address.table == "coil":
        return str(words[0])
    value = decode_words(np.array(words, dtype=np.uint16), np.array([0]), address.data_type, address.word_order)
    return f"{value[0]:g}"
