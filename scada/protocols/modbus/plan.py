"""Scan plan: which blocks to read so that every point of a channel is covered by few requests, and how to decode each block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from scada.model_cim.tables import ModbusAddress, Point, PointKind
from scada.protocols.modbus.registers import BIT_TABLES, RegisterError, check_address, decode_words, is_bit, width

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]

MAX_REGISTERS: Final = 125
MAX_BITS: Final = 2000
MAX_GAP: Final = 8
"""Registers read in vain rather than in a request of their own."""
MAX_BIT_GAP: Final = 64


@dataclass(frozen=True, slots=True)
class _Group:
    """Values of a block that are decoded in one go."""

    index: I8
    """Positions within the block's columns."""
    offset: I8
    """First register within the block."""
    data_type: str
    word_order: str
    bit: I8


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and the points it serves.

    Attributes:
        unit_id: Modbus unit.
        table: ``coil``, ``discrete``, ``holding`` or ``input``.
        start: first register.
        count: registers (or coils).
        points: points in order of their registers.
        pids: their ids.
        is_event: mask of status and double points, whose changes are events.
    """

    unit_id: int
    table: str
    start: int
    count: int
    points: tuple[Point, ...]
    pids: npt.NDArray[np.uint32]
    is_event: npt.NDArray[np.bool_]
    _scale: F8
    _offset: F8
    _from_bit: F8
    _groups: tuple[_Group, ...]

    def decode(self, raw: Sequence[int] | Sequence[bool]) -> F8:
        """Values in engineering units, one per point; NaN where the registers hold no number.

        Args:
            raw: ``count`` registers, or at least ``count`` coils.
        """
        registers = np.asarray(raw, dtype=np.uint16)
        values = np.empty(len(self.points))
        for group in self._groups:
            if group.data_type == "bit":
                values[group.index] = (registers[group.offset] >> group.bit.astype(np.uint16)) & 1
            else:
                values[group.index] = decode_words(registers, group.offset, group.data_type, group.word_order)
        return values * self._scale + self._offset + self._from_bit

    def halves(self) -> tuple[Block, Block] | None:
        """The same points in two requests, to find which register a station refuses; None if they cannot be parted.

        Points that share a register stay together.
        """
        registers = sorted({_address(point).register for point in self.points})
        if len(registers) < 2:
            return None
        middle = registers[len(registers) // 2]
        parts = (
            [p for p in self.points if _address(p).register < middle],
            [p for p in self.points if _address(p).register >= middle],
        )
        return _block(parts[0]), _block(parts[1])


def plan(points: Iterable[Point]) -> tuple[list[Block], list[tuple[Point, RegisterError]]]:
    """Blocks that cover all points, and the points that cannot be read with the reason.

    Requests hold at most 125 registers or 2000 bits and skip no more than 8 unused registers or 64 unused bits.
    """
    usable, refused = [], []
    for point in points:
        try:
            check_address(point.address)
        except RegisterError as error:
            refused.append((point, error))
        else:
            usable.append(point)
    blocks = []
    usable.sort(key=lambda point: (*_place(point), _address(point).register, point.pid))
    for (_, table), group in groupby(usable, key=_place):
        limit, gap = (MAX_BITS, MAX_BIT_GAP) if table in BIT_TABLES else (MAX_REGISTERS, MAX_GAP)
        run: list[Point] = []
        for point in group:
            if run:
                start, end = _address(run[0]).register, max(_end(one) for one in run[-4:])
                if max(_end(point), end) - start > limit or _address(point).register - end > gap:
                    blocks.append(_block(run))
                    run = []
            run.append(point)
        blocks.append(_block(run))
    return blocks, refused


def _address(point: Point) -> ModbusAddress:
    assert isinstance(point.address, ModbusAddress)
    return point.address


def _place(point: Point) -> tuple[int, str]:
    return _address(point).unit_id, _address(point).table


def _end(point: Point) -> int:
    return _address(point).register + width(_address(point))


def _block(points: Sequence[Point]) -> Block:
    addresses = [_address(point) for point in points]
    start = addresses[0].register
    keys = [("bit", "big") if is_bit(address) else (address.data_type, address.word_order) for address in addresses]
    groups = []
    for key in dict.fromkeys(keys):
        index = np.array([i for i, one in enumerate(keys) if one == key], dtype=np.int64)
        offset = np.array([addresses[i].register - start for i in index], dtype=np.int64)
        bit = np.array([max(addresses[i].bit, 0) for i in index], dtype=np.int64)
        groups.append(_Group(index, offset, *key, bit))
    kinds = [point.kind for point in points]
    return Block(
        unit_id=addresses[0].unit_id,
        table=addresses[0].table,
        start=start,
        count=max(_end(point) for point in points) - start,
        points=tuple(points),
        pids=np.array([point.pid for point in points], dtype=np.uint32),
        is_event=np.array([kind in (PointKind.STATUS, PointKind.DOUBLE) for kind in kinds], dtype=np.bool_),
        _scale=np.array([point.scale for point in points]),
        _offset=np.array([point.offset for point in points]),
        # a double point told by one bit: 0 is off (1), 1 is on (2)
        _from_bit=np.array([float(p.kind is PointKind.DOUBLE and is_bit(_address(p))) for p in points]),
        _groups=tuple(groups),
    )
