"""Scan plan: which blocks to read so that every point of a channel is covered by few requests, and how to decode each block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from scada.model_cim.addresses import ModbusAddress
from scada.model_cim.modbus import BIT_TABLES, is_bit, span
from scada.model_cim.tables import Point, PointKind
from scada.protocols.modbus.limits import ChannelLimits, UnitLimits
from scada.protocols.modbus.registers import Codec, RegisterError, check_address, layout

F8 = npt.NDArray[np.float64]
I8 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Block:
    """One read request and the points it serves.

    Attributes:
        unit_id: Modbus unit.
        table: ``coil``, ``discrete``, ``holding`` or ``input``.
        start: first register.
        count: registers (or coils).
        period_s: how often it is read.
        points: points in order of their registers.
        pids: their ids.
        is_event: mask of status and double points, whose changes are events.
    """

    unit_id: int
    table: str
    start: int
    count: int
    period_s: float
    points: tuple[Point, ...]
    pids: npt.NDArray[np.uint32]
    is_event: npt.NDArray[np.bool_]
    _scale: F8
    _offset: F8
    _from_bit: F8
    _codecs: tuple[tuple[I8, Codec], ...]
    """(positions within the block's columns, how they are decoded)."""

    @property
    def where(self) -> str:
        """For people: ``unit 3 holding 100..119``."""
        return f"unit {self.unit_id} {self.table} {self.start}..{self.start + self.count - 1}"

    def decode(self, raw: Sequence[int] | Sequence[bool] | npt.NDArray[np.uint16]) -> F8:
        """Values in engineering units, one per point; NaN where the registers hold no number.

        Args:
            raw: ``count`` registers, or at least ``count`` coils.
        """
        registers = np.asarray(raw, dtype=np.uint16)
        values = np.empty(len(self.points))
        for index, codec in self._codecs:
            values[index] = codec.decode(registers)
        return values * self._scale + self._offset + self._from_bit

    def halves(self) -> tuple[Block, Block] | None:
        """The same points in two requests, to find which register a station refuses; None if they cannot be parted.

        Points that share a register stay together.
        """
        starts = sorted({_span(point)[0] for point in self.points})
        if len(starts) < 2:
            return None
        middle = starts[len(starts) // 2]
        low = [point for point in self.points if _span(point)[0] < middle]
        high = [point for point in self.points if _span(point)[0] >= middle]
        return _block(low, self.period_s), _block(high, self.period_s)


def plan(points: Iterable[Point], limits: ChannelLimits | None = None) -> tuple[list[Block], list[tuple[Point, RegisterError]]]:
    """Blocks that cover all points, and the points that cannot be read with the reason.

    No request holds more registers than its unit can bear, skips more unused ones than it may, or touches one that must not be
    read. A number is never parted.
    """
    limits = limits or ChannelLimits()
    usable: list[Point] = []
    refused: list[tuple[Point, RegisterError]] = []
    for point in points:
        try:
            _check(point, limits)
        except RegisterError as error:
            refused.append((point, error))
        else:
            usable.append(point)

    def place(point: Point) -> tuple[int, str, int]:
        address = _address(point)
        return address.unit_id, address.table, address.scan_ms or limits.scan_ms

    usable.sort(key=lambda point: (place(point), _span(point), point.pid))
    blocks: list[Block] = []
    for (unit_id, _, scan_ms), group in groupby(usable, key=place):
        blocks += [_block(run, scan_ms / 1000) for run in _runs(list(group), limits.of(unit_id))]
    return blocks, refused


def _check(point: Point, limits: ChannelLimits) -> None:
    address = check_address(point.address)
    if address.unit_id < limits.lowest_unit:
        raise RegisterError("unit 0 of a serial line is a broadcast, which nobody answers", mend="name the unit, 1..247")
    unit = limits.of(address.unit_id)
    start, end = span(address)
    if unit.forbids(address.table, start, end):
        raise RegisterError(f"{address.table} {start}..{end - 1} must not be read", mend="correct the address or the holes")
    if end - start > _most(address.table, unit):
        text = f"takes {end - start} registers, and a request to unit {address.unit_id} holds {_most(address.table, unit)}"
        raise RegisterError(text, mend="correct the address or max_registers")


def _runs(points: Sequence[Point], unit: UnitLimits) -> Iterable[list[Point]]:
    """Neighbours that go into one request; ``points`` are in order of their registers."""
    run: list[Point] = []
    first = last = 0
    for point in points:
        start, end = _span(point)
        table = _address(point).table
        gap = unit.max_bit_gap if table in BIT_TABLES else unit.max_gap
        if run and (
            max(end, last) - first > _most(table, unit) or start - last > gap or unit.forbids(table, last, max(start, last))
        ):
            yield run
            run = []
        if not run:
            first = last = start
        run.append(point)
        last = max(last, end)
    if run:
        yield run


def _most(table: str, unit: UnitLimits) -> int:
    return unit.max_bits if table in BIT_TABLES else unit.max_registers


def _address(point: Point) -> ModbusAddress:
    assert isinstance(point.address, ModbusAddress)
    return point.address


def _span(point: Point) -> tuple[int, int]:
    return span(_address(point))


def _block(points: Sequence[Point], period_s: float) -> Block:
    addresses = [_address(point) for point in points]
    start = min(span(address)[0] for address in addresses)
    keys = [layout(address) for address in addresses]
    codecs = []
    for key in dict.fromkeys(keys):
        index = np.array([row for row, one in enumerate(keys) if one == key], dtype=np.int64)
        codecs.append((index, Codec([addresses[row] for row in index], start)))
    kinds = [point.kind for point in points]
    double_bit = [kind is PointKind.DOUBLE and is_bit(a) and not a.values for kind, a in zip(kinds, addresses, strict=True)]
    return Block(
        unit_id=addresses[0].unit_id,
        table=addresses[0].table,
        start=start,
        count=max(span(address)[1] for address in addresses) - start,
        period_s=period_s,
        points=tuple(points),
        pids=np.array([point.pid for point in points], dtype=np.uint32),
        is_event=np.array([kind in (PointKind.STATUS, PointKind.DOUBLE) for kind in kinds], dtype=np.bool_),
        _scale=np.array([point.scale for point in points]),
        _offset=np.array([point.offset for point in points]),
        # a double point told by one bit: 0 is off (1), 1 is on (2)
        _from_bit=np.array(double_bit, dtype=np.float64),
        _codecs=tuple(codecs),
    )
