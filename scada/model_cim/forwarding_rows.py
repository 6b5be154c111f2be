"""Rows of a forwarding table for whole stations, so that nobody writes thousands of them by hand.

Rows are written out once and stay as they are: addresses are agreed with the other side, so a row that is there keeps its
address, and new ones follow behind. The first addresses of each kind are those in use between control centres in China: signals
from 1, measured values from 4001 hex, controls from 6001 hex, set-points from 6201 hex, counters from 6401 hex.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

from scada.core.errors import ModelError
from scada.core.ids import derived_mrid
from scada.model_cim.forwarding import CONTROL, POINT
from scada.model_cim.tables import Control, ControlKind, ModelTables, Point, PointKind, UpstreamStation

TYPES: Final[Mapping[PointKind | ControlKind, tuple[str, int]]] = MappingProxyType(
    {
        PointKind.STATUS: ("signal", 30),
        PointKind.DOUBLE: ("signal", 31),
        PointKind.BITS: ("signal", 33),
        PointKind.STEP: ("measured", 32),
        PointKind.ANALOG: ("measured", 13),
        PointKind.COUNTER: ("counter", 37),
    }
)
"""Range of addresses and type identification of each kind of point; a kind that is not here cannot be forwarded."""
_CONTROL_TYPES: Final[Mapping[ControlKind, tuple[str, int]]] = MappingProxyType(
    {
        ControlKind.SINGLE: ("control", 45),
        ControlKind.DOUBLE: ("control", 46),
        ControlKind.STEP: ("control", 47),
        ControlKind.SETPOINT: ("setpoint", 50),
    }
)
FIRST: Final[Mapping[str, int]] = MappingProxyType(
    {"signal": 0x0001, "measured": 0x4001, "control": 0x6001, "setpoint": 0x6201, "counter": 0x6401}
)
"""First address of each range."""
_FIRST_COMMAND: Final = 45
_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF
  xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
  xmlns:cim="http://iec.ch/TC57/CIM100#"
  xmlns:sc="urn:scada-ems:sc:1#">
"""
_END: Final = "</rdf:RDF>\n"


@dataclass(frozen=True, slots=True)
class Row:
    """One row to write."""

    owner: str
    """``sc:ForwardedPoint`` or ``sc:ForwardedControl``."""
    target: str
    """mRID of the point or control."""
    path: str
    ioa: int
    type_id: int


def new_rows(
    station: UpstreamStation, points: Iterable[Point], controls: Iterable[Control], first: Mapping[str, int] = FIRST
) -> list[Row]:
    """Rows for what a station does not forward yet, in the given order; states made here are passed over.

    Args:
        station: the upstream station with its present rows.
        points: points to forward.
        controls: controls to forward.
        first: first address of each range.
    """
    known = {int(row.pid) for row in station.points}
    asked = {row.cid for row in station.controls}
    free = _Addresses(station, first)
    rows = [
        Row(POINT, point.mrid, point.path, free.take(*TYPES[point.kind]), TYPES[point.kind][1])
        for point in points
        if point.kind in TYPES and not point.removed and int(point.pid) not in known
    ]
    rows += [
        Row(CONTROL, control.mrid, control.path, free.take(*_CONTROL_TYPES[control.kind]), _CONTROL_TYPES[control.kind][1])
        for control in controls
        if control.cid not in asked
    ]
    return rows


class _Addresses:
    """Hands out addresses that no row has: behind the highest of the range."""

    def __init__(self, station: UpstreamStation, first: Mapping[str, int]) -> None:
        addresses = [*(row.address for row in station.points), *(row.address for row in station.controls)]
        mine = [address for address in addresses if address.common_address == station.common_address]
        self._used = {(address.type_id < _FIRST_COMMAND, address.ioa) for address in mine}
        starts = sorted(first.values())
        ends = {start: next((end for end in starts if end > start), 1 << 24) for start in starts}
        self._next = {
            name: max((address.ioa + 1 for address in mine if start <= address.ioa < ends[start]), default=start)
            for name, start in first.items()
        }

    def take(self, range_name: str, type_id: int) -> int:
        """The next one of a range."""
        ioa = self._next[range_name]
        while (type_id < _FIRST_COMMAND, ioa) in self._used:
            ioa += 1
        self._used.add((type_id < _FIRST_COMMAND, ioa))
        self._next[range_name] = ioa + 1
        return ioa


def chosen(
    tables: ModelTables, *, stations: Sequence[str] = (), kinds: Sequence[PointKind] = (), types: Sequence[str] = ()
) -> list[Point]:
    """Points by station, kind and measurement type; what is not named does not choose.

    Raises:
        ModelError: the model has no such station or measurement type.
    """
    for what, asked, there in (
        ("station", stations, {point.station for point in tables.points}),
        ("measurement type", types, {point.measurement_type for point in tables.points}),
    ):
        if unknown := sorted(set(asked) - there):
            raise ModelError(f"no {what} {unknown[0]!r}", mend=f"one of {', '.join(sorted(there - {''}))}")
    return [
        point
        for point in tables.points
        if (not stations or point.station in stations)
        and (not kinds or point.kind in kinds)
        and (not types or point.measurement_type in types)
    ]


def rows_xml(station: UpstreamStation, rows: Sequence[Row]) -> str:
    """Rows as elements of the SC profile, one line a property; the path of what is forwarded stands above each as a comment."""
    return "".join(_element(station, row) for row in rows)


def _element(station: UpstreamStation, row: Row) -> str:
    target = "MeasurementValue" if row.owner == POINT else "Control"
    path = escape(row.path).replace("--", "- -")
    return (
        f"  <!-- {path} -->\n"
        f'  <{row.owner} rdf:ID="_{derived_mrid("forwarded", station.mrid, row.target)}">\n'
        f'    <{row.owner}.UpstreamStation rdf:resource="#_{station.mrid}"/>\n'
        f'    <{row.owner}.{target} rdf:resource="#_{row.target}"/>\n'
        f"    <{row.owner}.ioa>{row.ioa}</{row.owner}.ioa>\n"
        f"    <{row.owner}.typeId>{row.type_id}</{row.owner}.typeId>\n"
        f"  </{row.owner}>\n"
    )


def append_rows(path: Path, text: str) -> None:
    """Put elements at the end of a file, which is made if there is none; what stands there stays as it is.

    Raises:
        ModelError: the file is no CIM XML file, or cannot be written.
    """
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else _HEAD + _END
        head, end, rest = before.rpartition(_END.strip())
        if not end or rest.strip():
            raise ModelError("the file does not end with </rdf:RDF>", where=str(path), mend="name a CIM XML file or a new one")
        path.write_text(head + text + end + rest, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot be extended: {error}", where=str(path), mend="check the file and its folder") from error
