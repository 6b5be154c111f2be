"""What third parties see of us: points as OPC UA variables, their tree, their values and status codes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from scada.core.quality import Quality
from scada.model_cim.tables import Point, PointKind, Station

FOLDER_CHILDREN: Final = 200
"""The library slows down with the square of a folder's children, and clients with long ones."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TYPES: Final = {
    PointKind.ANALOG: ua.VariantType.Double,
    PointKind.COUNTER: ua.VariantType.Double,
    PointKind.STATUS: ua.VariantType.Boolean,
    PointKind.BITS: ua.VariantType.UInt32,
}
_RANGES: Final = {ua.VariantType.UInt32: (0, 2**32 - 1), ua.VariantType.Int32: (-(2**31), 2**31 - 1)}

_STATUS: Final = (
    (Quality.NEVER_RECEIVED, StatusCodes.BadWaitingForInitialData),
    (Quality.MANUAL, StatusCodes.GoodLocalOverride),
    (Quality.COMM_LOST, StatusCodes.UncertainNoCommunicationLastUsableValue),
    (Quality.BAD_REFERENCE, StatusCodes.BadConfigurationError),
    (Quality.FAILURE, StatusCodes.BadSensorFailure),
    (Quality.OVERFLOW, StatusCodes.BadOutOfRange),
    (Quality.INVALID, StatusCodes.Bad),
    (Quality.NOT_TOPICAL | Quality.OLD_DATA | Quality.BLOCKED | Quality.OPERATOR_BLOCKED, StatusCodes.UncertainLastUsableValue),
    (Quality.TEST, StatusCodes.UncertainSimulatedValue),
    (Quality.ESTIMATOR_REPLACED, StatusCodes.UncertainSubstituteValue),
    (Quality.OUT_OF_RANGE, StatusCodes.UncertainEngineeringUnitsExceeded),
    (Quality.QUESTIONABLE | Quality.SUSPECT | Quality.OSCILLATORY, StatusCodes.UncertainSensorNotAccurate),
    (Quality.SUBSTITUTED, StatusCodes.GoodLocalOverride),
)
"""Quality bits -> status code, the first that stands."""

_UNIT_CODES: Final = {
    "W": "WTT",
    "kW": "KWT",
    "MW": "MAW",
    "var": "D44",
    "kvar": "KVR",
    "Mvar": "MAR",
    "V": "VLT",
    "kV": "KVT",
    "A": "AMP",
    "kA": "B22",
    "Hz": "HTZ",
    "%": "P1",
    "°C": "CEL",
    "°": "DD",
    "kWh": "KWH",
    "MWh": "MWH",
}
"""Unit -> UNECE recommendation 20 common code."""


def status_of(quality: int) -> int:
    """Status code of a quality word.

    >>> hex(status_of(0)), status_of(int(Quality.MANUAL | Quality.COMM_LOST)) == StatusCodes.GoodLocalOverride
    ('0x0', True)
    """
    return next((code for bits, code in _STATUS if quality & int(bits)), StatusCodes.Good)


def type_of(point: Point) -> ua.VariantType:
    """Type of a point's variable."""
    return _TYPES.get(point.kind, ua.VariantType.Int32)


def variant_of(point: Point, value: float) -> ua.Variant | None:
    """A value in the type of its variable; None if it has none there."""
    kind = type_of(point)
    if not math.isfinite(value):
        return None
    if kind is ua.VariantType.Double:
        return ua.Variant(value, kind)
    if value != round(value):
        return None
    if kind is ua.VariantType.Boolean:
        return ua.Variant(value == 1, kind) if value in (0, 1) else None
    low, high = _RANGES[kind]
    return ua.Variant(int(value), kind) if low <= value <= high else None


def data_value(point: Point, value: float, quality: int, source_time: int, received_at: int) -> ua.DataValue:
    """A value with status and times. What cannot be told in the variable's type is *bad* and empty, never another number."""
    content = variant_of(point, value)
    status = status_of(quality)
    if content is None and status >> 30 != 2:
        status = StatusCodes.BadNoData
    times_valid = source_time and not quality & int(Quality.TIME_INVALID)
    return ua.DataValue(
        content if content is not None else ua.Variant(None, ua.VariantType.Null),
        StatusCode=ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=moment(source_time) if times_valid else None,
        ServerTimestamp=moment(received_at) if received_at else None,
    )


def moment(time_ns: int) -> Any:
    """A time as the library takes it."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def unit_of(point: Point) -> ua.EUInformation:
    """Engineering unit; a unit without a code of UNECE has its name only."""
    code = _UNIT_CODES.get(point.unit)
    return ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=ua.Int32(int.from_bytes(code.encode(), "big") if code else -1),
        DisplayName=ua.LocalizedText(point.unit),
        Description=ua.LocalizedText(point.unit),
    )


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the tree.

    Attributes:
        key: unique, the same as long as the model's names are.
        parent: key of the folder above; empty = the top one.
        name: shown.
    """

    key: str
    parent: str
    name: str


@dataclass(frozen=True, slots=True)
class Tree:
    """Folders, each after the one above it, and the folder of each point."""

    folders: tuple[Folder, ...]
    place: Mapping[int, str]


def plan_tree(points: Iterable[Point], stations: Iterable[Station]) -> Tree:
    """Area, station, voltage level, bay, as the points' paths say; a full folder goes on in another."""
    areas = {station.name: station.area for station in stations}
    return _Planner().plan((point, areas.get(point.station, "")) for point in points)


class _Planner:
    def __init__(self) -> None:
        self._folders: dict[str, Folder] = {}
        self._count: dict[str, int] = {}
        self._current: dict[str, str] = {}

    def plan(self, points: Iterable[tuple[Point, str]]) -> Tree:
        place = {}
        for point, area in points:
            above = ""
            for name in filter(None, (area, *point.path.split("/")[:-1])):
                above = self._folder(above, name)
            place[int(point.pid)] = self._room(above)
        return Tree(tuple(self._folders.values()), place)

    def _folder(self, above: str, name: str) -> str:
        key = f"{above}/{name}"
        if key not in self._folders:
            self._folders[key] = Folder(key, self._room(above), name)
        return key

    def _room(self, key: str) -> str:
        """The folder itself, or its continuation once it is full; counts one more child."""
        current = self._current.get(key, key)
        if self._count.get(current, 0) >= FOLDER_CHILDREN and key:
            number = self._count.setdefault(f"{key}//", 1) + 1
            self._count[f"{key}//"] = number
            current = f"{key}//{number}"
            self._folders[current] = Folder(current, key, f"{key.rpartition('/')[2]} ({number})")
            self._current[key] = current
        self._count[current] = self._count.get(current, 0) + 1
        return current
