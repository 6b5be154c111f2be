"""The order ``read``: any registers of any unit, for commissioning. Nothing of it reaches the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scada.model_cim.modbus import BIT_TABLES, WORD_TABLES
from scada.protocols.driver import CommandResult, Outcome
from scada.protocols.modbus import exchange
from scada.protocols.modbus.exchange import Answer, Request
from scada.protocols.modbus.limits import ChannelLimits

_ARGUMENTS: Final = ("unit", "table", "register", "count")
_MOST: Final = 64
"""What a person can still read in one line."""


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """What is read, and how the answer is told."""

    request: Request
    table: str
    register: int

    def result(self, answer: Answer) -> CommandResult:
        """The registers in the reason's text, decimal and hexadecimal."""
        if answer.exception:
            return CommandResult(Outcome.REFUSED, f"station: {answer}")
        if answer.fault:
            return CommandResult(Outcome.TIMEOUT, str(answer))
        if self.table in BIT_TABLES:
            shown = " ".join(str(bit) for bit in answer.bits(self.request.count).tolist())
        else:
            shown = " ".join(f"{word}(0x{word:04x})" for word in answer.registers().tolist())
        return CommandResult(Outcome.CONFIRMED, f"unit {self.request.unit_id} {self.table} {self.register}: {shown}")


def read_order(arguments: Mapping[str, str], limits: ChannelLimits) -> ReadOrder | str:
    """The order by its arguments, or what is wrong with them. ``unit`` 1, ``table`` holding and ``count`` 1 if not given."""
    table = arguments.get("table", "holding")
    try:
        unit_id, register, count = (int(arguments.get(name, "1"), 0) for name in ("unit", "register", "count"))
    except ValueError as error:
        return f"unit, register and count are whole numbers: {error}"
    end = register + count
    faults = {
        f"there are no arguments but {', '.join(_ARGUMENTS)}": not arguments.keys() <= set(_ARGUMENTS),
        "register is missing": "register" not in arguments,
        f"table {table!r} is not one of {', '.join((*BIT_TABLES, *WORD_TABLES))}": table not in (*BIT_TABLES, *WORD_TABLES),
        f"unit {unit_id} is outside {limits.lowest_unit}..255": not limits.lowest_unit <= unit_id <= 255,
        f"count {count} is outside 1..{_MOST}": not 1 <= count <= _MOST,
        f"registers {register}..{end - 1} are outside 0..65535": not 0 <= register <= end <= 65536,
        f"{table} {register}..{end - 1} must not be read (holes)": limits.of(unit_id).forbids(table, register, end),
    }
    wrong = next((text for text, is_so in faults.items() if is_so), "")
    return wrong or ReadOrder(exchange.read(unit_id, table, register, count), table, register)
