"""What a channel and each device behind it can bear: sizes of requests, registers not to be read, time-outs, rates.

Parameters of the channel stand for all its units; ``unit.7.timeout_s`` (from ``sc:RemoteUnit.unit.7.timeoutS`` or from the
``sc:Device`` of that unit) stands for unit 7 only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from scada.core.errors import ConfigError
from scada.model_cim.modbus import BIT_TABLES, UNIT_PARAMETERS, WORD_TABLES

MAX_REGISTERS: Final = 125
MAX_BITS: Final = 2000
MAX_GAP: Final = 8
"""Registers read in vain rather than in a request of their own."""
MAX_BIT_GAP: Final = 64

Hole = tuple[str, int, int]
"""(table, first register, last register) that must not be read."""

_RANGE: Final = re.compile(r"(?:(coil|discrete|holding|input):)?(\d+)(?:-(\d+))?")


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """Of one unit. Times in seconds.

    Attributes:
        max_registers: registers in one request, at most 125.
        max_bits: coils or discrete inputs in one request, at most 2000.
        max_gap: registers that may be read in vain to join two requests.
        max_bit_gap: the same of coils and discrete inputs.
        holes: registers that are in no request at all.
        timeout_s: how long an answer may take.
        read_retries: how often a read without an answer, or one answered "busy", is repeated at once. A write never is.
        gap_s: pause between an answer and the next request to this unit.
        max_requests_s: requests to this unit in a second; 0 = no limit.
        mask_write: the device knows function 22; tried, and believed if it says no.
        read_modify_write: bits of a register may be written by reading and writing all of it.
        write_multiple: single coils and registers are written by functions 15 and 16.
        read_write: registers are written and read back in one request, function 23.
        read_back: what was written is read and compared.
    """

    max_registers: int = MAX_REGISTERS
    max_bits: int = MAX_BITS
    max_gap: int = MAX_GAP
    max_bit_gap: int = MAX_BIT_GAP
    holes: tuple[Hole, ...] = ()
    timeout_s: float = 3.0
    read_retries: int = 0
    gap_s: float = 0.0
    max_requests_s: float = 0.0
    mask_write: bool = True
    read_modify_write: bool = False
    write_multiple: bool = False
    read_write: bool = False
    read_back: bool = True

    def forbids(self, table: str, start: int, end: int) -> bool:
        """True if any of registers ``start`` to ``end - 1`` must not be read."""
        return any(table == where and first < end and start <= last for where, first, last in self.holes)


@dataclass(frozen=True, slots=True)
class ChannelLimits:
    """Of a channel: its scan, its line, and what its units can bear.

    Attributes:
        scan_ms: period of points that have none of their own.
        gap_s: pause between an answer and the next request, whatever unit it is for.
        max_requests_s: requests in a second; 0 = no limit.
        settle_s: of RTU: how long a line is listened to after a missing answer, before the next request.
        common: limits of units that have none of their own.
        units: by unit id.
    """

    scan_ms: int = 1000
    gap_s: float = 0.0
    max_requests_s: float = 0.0
    settle_s: float = 0.0
    lowest_unit: int = 0
    """1 on a serial line, where unit 0 is everybody and nobody answers."""
    common: UnitLimits = UnitLimits()
    units: Mapping[int, UnitLimits] = field(default_factory=dict)

    def of(self, unit_id: int) -> UnitLimits:
        """Limits of one unit."""
        return self.units.get(unit_id, self.common)


def read_limits(protocol: str, name: str, params: Mapping[str, float | str]) -> ChannelLimits:
    """Limits from the parameters of a channel.

    Raises:
        ConfigError: a parameter is no number, outside its range, or no list of registers; channel and parameter are named.
    """
    reader = _Reader(params, name)
    serial = protocol in ("modbus-rtu", "modbus-rtu-tcp")
    common = _unit_limits(reader, "", UnitLimits(timeout_s=1.0, read_retries=1) if serial else UnitLimits())
    units = {int(found[1]) for key in params if (found := re.match(r"unit\.(\d+)\.", key))}
    for key in params:
        if key.startswith("unit."):
            if not re.match(r"unit\.\d+\.", key) or key.split(".", 2)[-1] not in _UNIT_NAMES:
                text = f"there is no parameter {key}"
                raise ConfigError(text, where=f"channel {name}", mend=f"unit.<id>. with one of {', '.join(sorted(_UNIT_NAMES))}")
        elif key not in _NAMES and not key.startswith("tls"):
            known = ", ".join(sorted(_NAMES))
            raise ConfigError(f"there is no parameter {key}", where=f"channel {name}", mend=f"one of {known}, or tls...")
    silence_s = _silence_s(reader.number("baud", 19200, 50, 4_000_000)) if protocol == "modbus-rtu" else 0.0
    pause_ms = max(reader.number("request_gap_ms", 0, 0, 60_000), reader.number("inter_frame_ms", 0, 0, 1000))
    return ChannelLimits(
        scan_ms=int(reader.number("scan_ms", 1000, 20, 86_400_000)),
        gap_s=max(pause_ms / 1000, silence_s),
        max_requests_s=reader.number("max_requests_s", 0, 0, 10_000),
        settle_s=reader.number("settle_s", common.timeout_s if serial else 0, 0, 300),
        lowest_unit=1 if serial else 0,
        common=common,
        units={unit: _unit_limits(reader, f"unit.{unit}.", common) for unit in sorted(units)},
    )


def _silence_s(baud: float) -> float:
    """Silence between two RTU frames: 3.5 characters of 11 bits, 1.75 ms above 19200 baud (serial line V1.02, 2.5.1.1)."""
    return 0.00175 if baud > 19200 else 3.5 * 11 / baud


def _unit_limits(reader: _Reader, prefix: str, base: UnitLimits) -> UnitLimits:
    def number(name: str, default: float, low: float, high: float) -> float:
        return reader.number(prefix + name, default, low, high)

    def truth(name: str, default: bool) -> bool:
        return number(name, float(default), 0, 1) != 0

    gap = "unit_gap_ms" if not prefix else "gap_ms"
    rate = "unit_max_requests_s" if not prefix else "max_requests_s"
    return UnitLimits(
        max_registers=int(number("max_registers", base.max_registers, 1, MAX_REGISTERS)),
        max_bits=int(number("max_bits", base.max_bits, 1, MAX_BITS)),
        max_gap=int(number("max_gap", base.max_gap, 0, MAX_REGISTERS)),
        max_bit_gap=int(number("max_bit_gap", base.max_bit_gap, 0, MAX_BITS)),
        holes=reader.holes(prefix + "holes", base.holes),
        timeout_s=number("timeout_s", base.timeout_s, 0.05, 300),
        read_retries=int(number("read_retries", base.read_retries, 0, 5)),
        gap_s=number(gap, base.gap_s * 1000, 0, 60_000) / 1000,
        max_requests_s=number(rate, base.max_requests_s, 0, 10_000),
        mask_write=truth("mask_write", base.mask_write),
        read_modify_write=truth("read_modify_write", base.read_modify_write),
        write_multiple=truth("write_multiple", base.write_multiple),
        read_write=truth("read_write", base.read_write),
        read_back=truth("read_back", base.read_back),
    )


_UNIT_NAMES: Final = frozenset(re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower() for name in UNIT_PARAMETERS)
_LINE_NAMES: Final = frozenset({"baud", "parity", "stop_bits", "local_echo", "inter_frame_ms", "settle_s"})
_SCAN_NAMES: Final = frozenset({"unit_id", "scan_ms", "request_gap_ms", "unit_gap_ms", "unit_max_requests_s"})
_NAMES: Final = (_UNIT_NAMES - {"gap_ms"}) | _LINE_NAMES | _SCAN_NAMES
"""What a channel may say."""


class _Reader:
    """Parameters of one channel with their checks."""

    def __init__(self, params: Mapping[str, float | str], name: str) -> None:
        self._params = params
        self._where = f"channel {name}"

    def number(self, name: str, default: float, low: float, high: float) -> float:
        raw = self._params.get(name, default)
        try:
            value = float(raw)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            text = f"parameter {name} = {raw!r} is not a number in {low:g}..{high:g}"
            raise ConfigError(text, where=self._where, mend="correct it")
        return value

    def holes(self, name: str, default: tuple[Hole, ...]) -> tuple[Hole, ...]:
        raw = self._params.get(name)
        if raw is None:
            return default
        text = f"{raw:g}" if isinstance(raw, float | int) else raw
        holes: list[Hole] = []
        for word in text.replace(",", " ").split():
            found = _RANGE.fullmatch(word)
            first, last = (int(found[2]), int(found[3] or found[2])) if found else (1, 0)
            if not found or not 0 <= first <= last <= 65535:
                what = f"parameter {name}: {word!r} is no range of registers"
                raise ConfigError(what, where=self._where, mend="write holding:100-109, or 100-109 for every table")
            tables = (found[1],) if found[1] else (*BIT_TABLES, *WORD_TABLES)
            holes += [(table, first, last) for table in tables]
        return tuple(holes)
