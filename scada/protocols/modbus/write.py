"""Commands as requests, step by step (no socket here): :func:`operate` and :func:`check` yield requests and take answers.

A write is sent once. What its answer or its absence means for the command is told apart: refused, not sent, or not known.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import numpy as np

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.modbus import WRITABLE, is_bit, width
from scada.model_cim.tables import Control, ControlKind
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.modbus import exchange
from scada.protocols.modbus.exchange import Answer, Request, exception_text
from scada.protocols.modbus.limits import ChannelLimits, UnitLimits
from scada.protocols.modbus.registers import Codec, RegisterError, Written, check_address, encode

ILLEGAL_FUNCTION: Final = 1
ACKNOWLEDGE: Final = 5
BUSY: Final = 6
GATEWAY_PATH: Final = 10
_UNKNOWN: Final = frozenset({4, 8, 11})
"""Exceptions after which nobody can say whether the device acted: it failed while acting, or only the gateway answered."""
_POLL_S: Final = 0.5
_POLLS: Final = 20
_UNSURE: Final = "it is not known whether the station acted"


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait before the next request."""

    seconds: float


Steps = Generator[Request | Pause, Answer, CommandResult]


def check(control: Control, value: float, limits: ChannelLimits) -> Steps:
    """Can the value be written, and does the station answer for the register? Modbus itself knows no selection."""
    address, unit, raw = _prepare(control, value, limits)
    if address.exponent_register < 0:
        encode(address, raw)
    if unit.read_back:
        start, count = _place(address)
        answer = yield exchange.read(address.unit_id, address.table, start, count)
        if not answer.good:
            return _failure(answer, unit, acting=False)
        if address.exponent_register >= 0:
            encode(address, _unscaled(address, raw, answer))
    return CommandResult(Outcome.CONFIRMED)


def operate(control: Control, value: float, limits: ChannelLimits) -> Steps:
    """Write, and read back unless the unit's ``read_back`` is off; confirmed only if the register holds what was written."""
    address, unit, raw = _prepare(control, value, limits)
    if address.exponent_register >= 0:
        answer = yield exchange.read(address.unit_id, address.table, *_place(address))
        if not answer.good:
            return _failure(answer, unit, acting=False)
        raw = _unscaled(address, raw, answer)
    written = encode(address, raw)
    words = list(written.words)
    if address.table == "coil":
        request = exchange.write_coils(address.unit_id, address.register, words, multiple=unit.write_multiple)
        answer = yield from _write(request, unit)
    elif not written.whole:
        result = yield from _write_bits(address, written, unit)
        if isinstance(result, CommandResult):
            return result
        answer = result
    elif unit.read_write and unit.read_back:
        answer = yield exchange.read_write(address.unit_id, address.register, words)
        if answer.good and _holds(written, answer):
            return CommandResult(Outcome.CONFIRMED)
    else:
        request = exchange.write_registers(address.unit_id, address.register, words, multiple=unit.write_multiple)
        answer = yield from _write(request, unit)
    if not answer.good and answer.exception != ACKNOWLEDGE:
        return _failure(answer, unit, acting=True)
    return (yield from _read_back(address, written, unit, working=answer.exception == ACKNOWLEDGE))


# ------------------------------------------------------------ what is written


def _prepare(control: Control, value: float, limits: ChannelLimits) -> tuple[ModbusAddress, UnitLimits, float]:
    """Address, limits of its unit, and the number for its registers.

    Raises:
        RegisterError: the value or the address cannot be written.
    """
    address = check_address(control.address)
    where = control.path
    if address.table not in WRITABLE:
        raise RegisterError(f"table {address.table} cannot be written", where=where, mend="use coil or holding")
    if address.unit_id < limits.lowest_unit:
        raise RegisterError("unit 0 of a serial line is a broadcast: nobody would confirm it", where=where, mend="name the unit")
    if value < control.minimum or value > control.maximum:
        raise RegisterError(f"{value:g} is outside {control.minimum:g}..{control.maximum:g}", where=where)
    return address, limits.of(address.unit_id), _number(control, address, value)


def _number(control: Control, address: ModbusAddress, value: float) -> float:
    if is_bit(address) and not address.values:
        states = {1.0: 0.0, 2.0: 1.0} if control.kind in (ControlKind.DOUBLE, ControlKind.STEP) else {0.0: 0.0, 1.0: 1.0}
        if value not in states:
            raise RegisterError(f"{value:g} is no state of a bit", where=control.path, mend=f"use {sorted(states)}")
        return states[value]
    return (value - control.offset) / control.scale if control.scale else math.nan


def _place(address: ModbusAddress) -> tuple[int, int]:
    """First register and number of registers that hold the value and its exponent."""
    if address.exponent_register < 0:
        return address.register, width(address)
    start = min(address.register, address.exponent_register)
    return start, max(address.register + width(address), address.exponent_register + 1) - start


def _unscaled(address: ModbusAddress, raw: float, answer: Answer) -> float:
    """The number for the register, by the power of ten that the device says."""
    start, _ = _place(address)
    exponent = int(np.int16(answer.registers()[address.exponent_register - start].astype(np.int16)))
    if abs(exponent) > 10:
        raise RegisterError(f"register {address.exponent_register} holds {exponent}, which is no power of ten")
    return raw / 10.0**exponent if exponent >= 0 else raw * 10.0**-exponent


def _write_bits(
    address: ModbusAddress, written: Written, unit: UnitLimits
) -> Generator[Request | Pause, Answer, Answer | CommandResult]:
    """Some bits of one register; the others must stay as they are."""
    touched = [at for at, mask in enumerate(written.masks) if mask]
    if len(touched) != 1:
        text = f"the bits lie in {len(touched)} registers, which cannot be written at once"
        return CommandResult(Outcome.REFUSED, text)
    at = touched[0]
    register, word, mask = address.register + at, written.words[at], written.masks[at]
    if unit.mask_write:
        answer = yield from _write(exchange.mask_write(address.unit_id, register, word, mask), unit)
        if answer.exception != ILLEGAL_FUNCTION:
            return answer
    if not unit.read_modify_write:
        why = "the station has no mask write (function 22)" if unit.mask_write else "mask_write is off"
        text = f"bits of a register: {why}, and read_modify_write is not allowed; nothing was written"
        return CommandResult(Outcome.REFUSED, text)
    found = yield exchange.read(address.unit_id, "holding", register, 1)
    if not found.good:
        return _failure(found, unit, acting=False)
    whole = int(found.registers()[0]) & ~mask & 0xFFFF | word
    request = exchange.write_registers(address.unit_id, register, [whole], multiple=unit.write_multiple)
    return (yield from _write(request, unit))


def _write(request: Request, unit: UnitLimits) -> Generator[Request | Pause, Answer, Answer]:
    """One write. An answer that tells another value is the device's own choice of one; only reading back can make sure of it."""
    answer = yield request
    if answer.good and not unit.read_back and answer.data != request.pdu[: len(answer.data)]:
        return Answer(fault="the station answered with another value")
    return answer


def _read_back(address: ModbusAddress, written: Written, unit: UnitLimits, *, working: bool) -> Steps:
    """Compare; a device that said it is still working, or is busy, is asked again."""
    if not unit.read_back:
        text = "the station is still working on it; not read back" if working else "not read back"
        return CommandResult(Outcome.CONFIRMED, text)
    answer = Answer()
    for _ in range(_POLLS):
        if working:
            yield Pause(_POLL_S)
        answer = yield exchange.read(address.unit_id, address.table, address.register, len(written.words))
        if answer.good and _holds(written, answer, address):
            return CommandResult(Outcome.CONFIRMED)
        if not working and answer.exception not in (ACKNOWLEDGE, BUSY):
            break
        working = True
    if not answer.good:
        return CommandResult(Outcome.TIMEOUT, f"written, but it could not be read back ({answer}): {_UNSURE}")
    held = _shown(address, written, answer)
    if working:
        text = f"the station accepted it but holds {held} after {_POLLS * _POLL_S:g} s: {_UNSURE}"
        return CommandResult(Outcome.TIMEOUT, text)
    return CommandResult(Outcome.REFUSED, f"the station holds {held} after the write")


def _found(written: Written, answer: Answer, address: ModbusAddress | None = None) -> list[int]:
    count = len(written.words)
    words = answer.bits(count) if address is not None and address.table == "coil" else answer.registers()
    return [int(word) for word in words]


def _holds(written: Written, answer: Answer, address: ModbusAddress | None = None) -> bool:
    found = _found(written, answer, address)
    return all(have & mask == want for have, want, mask in zip(found, written.words, written.masks, strict=True))


def _shown(address: ModbusAddress, written: Written, answer: Answer) -> str:
    """The value that was found instead."""
    codec = Codec([_bare(address)], address.register)
    return f"{codec.decode(np.array(_found(written, answer, address), dtype=np.uint16))[0]:g}"


def _bare(address: ModbusAddress) -> ModbusAddress:
    """Without what would turn the number into something else."""
    return ModbusAddress(
        address.unit_id,
        address.table,
        address.register,
        address.data_type,
        address.word_order,
        address.bit,
        address.bits,
        address.byte_order,
        address.mask,
    )


def _failure(answer: Answer, unit: UnitLimits, *, acting: bool) -> CommandResult:
    """What an answer that is not good means for the command."""
    code = answer.exception
    if not code:
        said = f"{answer} within {unit.timeout_s:g} s" if answer == exchange.NO_ANSWER else str(answer)
        return CommandResult(Outcome.TIMEOUT, f"{said}; {_UNSURE if acting else 'nothing was written'}")
    said = f"station: {exception_text(code)}"
    if code == GATEWAY_PATH:
        return CommandResult(Outcome.LINK_DOWN, f"{said}; the gateway did not send it")
    if acting and code in _UNKNOWN:
        return CommandResult(Outcome.TIMEOUT, f"{said}; {_UNSURE}")
    if code == BUSY:
        return CommandResult(Outcome.REFUSED, f"{said}; nothing was written, and it is not repeated by itself")
    return CommandResult(Outcome.REFUSED, said)
