"""From monitored variables to batches: which variable feeds which points, what was last told, what is an event."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from asyncua import ua

from scada.core.batch import POINT_DTYPE, PointBatch, RecordFlag
from scada.core.quality import Quality
from scada.model_cim.addresses import OpcUaAddress
from scada.model_cim.tables import Point, PointKind
from scada.protocols.opcua.nodes import NodeIdError, node_id
from scada.protocols.opcua.values import lost_values, nanoseconds, number, quality_of

_STATUS_KINDS: Final = (PointKind.STATUS, PointKind.DOUBLE)
_REFUSED: Final = int(Quality.INVALID | Quality.BAD_REFERENCE)
BATCH_RECORDS: Final = 2000

_Row = tuple[int, float, int, int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """One variable and the points it feeds; several where scales differ or an array has an element for each."""

    node: ua.NodeId
    points: tuple[Point, ...]

    @property
    def is_status(self) -> bool:
        """It feeds a status or double point: every change counts."""
        return any(point.kind in _STATUS_KINDS for point in self.points)

    @property
    def deadband(self) -> float:
        """Dead band in units of the variable that suits all its points; 0 = every change."""
        if self.is_status:
            return 0.0
        return min((abs(point.deadband / point.scale) if point.scale else 0.0) for point in self.points)

    @property
    def paths(self) -> str:
        """Paths of its points."""
        return ", ".join(point.path for point in self.points)


class Readings:
    """Turns data values into records.

    Args:
        points: of the channel.
        channel: index of the channel.
        name: name of the channel, source of the batches.

    Attributes:
        items: the variables; a monitored item's client handle is its index here.
        unreadable: points whose node id cannot be read, with the reason.
    """

    def __init__(self, points: Sequence[Point], channel: int, name: str) -> None:
        self._channel, self._name = channel, name
        self._last: dict[int, tuple[float, int]] = {int(point.pid): (math.nan, 0) for point in points}
        self._fresh: set[int] = set(self._last)
        self._rows: list[_Row] = []
        self._points = points
        self.items: list[Item] = []
        self.unreadable: list[tuple[Point, str]] = []

    def resolve(self, namespaces: Sequence[str]) -> None:
        """Find the variables of a server by its namespace array; before anything is monitored or read."""
        by_node: dict[ua.NodeId, list[Point]] = {}
        self.unreadable = []
        for point in self._points:
            try:
                text = point.address.node_id if isinstance(point.address, OpcUaAddress) else ""
                by_node.setdefault(node_id(text, namespaces), []).append(point)
            except NodeIdError as error:
                self.unreadable.append((point, error.what))
        self.items = [Item(node, tuple(fed)) for node, fed in by_node.items()]

    def refresh(self) -> None:
        """What comes next of each point is its state, no event."""
        self._fresh = set(self._last)

    def refresh_item(self, item: Item) -> None:
        """The same for one variable."""
        self._fresh.update(int(point.pid) for point in item.points)

    def take(self, item: Item, data: ua.DataValue) -> bool:
        """A value came; True if the server says that it lost others of this variable before it."""
        status = int(data.StatusCode.value) if data.StatusCode is not None else 0
        raw = data.Value.Value if data.Value is not None else None
        stamp = nanoseconds(data.SourceTimestamp)
        for point in item.points:
            assert isinstance(point.address, OpcUaAddress)
            self._put(point, number(point, raw), quality_of(status), stamp)
        return lost_values(status)

    def refuse(self, points: Iterable[Point]) -> None:
        """Points that cannot be had are invalid."""
        for point in points:
            self._put(point, math.nan, _REFUSED, 0)

    def mark_all(self, quality: Quality) -> None:
        """Every point keeps its value and gets marks; what comes next is its state, no event."""
        self.refresh()
        for pid, (value, before) in self._last.items():
            marks = before | int(quality)
            if math.isnan(value):
                marks |= int(Quality.INVALID)
            self._rows.append((pid, value, marks, 0, int(RecordFlag.REFRESH)))

    def batches(self, now_ns: int) -> Iterable[PointBatch]:
        """What has gathered, in order; emptied."""
        rows, self._rows = self._rows, []
        for start in range(0, len(rows), BATCH_RECORDS):
            part = rows[start : start + BATCH_RECORDS]
            records = np.zeros(len(part), dtype=POINT_DTYPE)
            for name, column in zip(("pid", "value", "quality", "source_time", "flags"), zip(*part, strict=True), strict=True):
                records[name] = column
            records["channel"] = self._channel
            yield PointBatch(records, now_ns, self._name)

    def _put(self, point: Point, value: float, quality: int, source_time: int) -> None:
        pid = int(point.pid)
        before = self._last[pid]
        if math.isnan(value):  # nothing readable: the last value stays, marked
            value = before[0]
            quality = quality or int(Quality.INVALID)
            if math.isnan(value):
                quality |= int(Quality.INVALID)
        now = (value, quality)
        flags = 0
        if pid in self._fresh:
            self._fresh.discard(pid)
            flags = int(RecordFlag.REFRESH)
        elif point.kind in _STATUS_KINDS:
            element = isinstance(point.address, OpcUaAddress) and point.address.index >= 0
            if element and now == before:
                return  # another element of the array changed
            flags = int(RecordFlag.EVENT)
        self._last[pid] = now
        self._rows.append((pid, value, quality, source_time, flags))
