"""The forwarding table: what upstream control centres see of our points and may ask of our controls.

An ``sc:UpstreamStation`` is this control centre as an IEC 60870-5-104 controlled station towards one upstream centre; its rows
are ``sc:ForwardedPoint``, ``sc:ForwardedControl`` and, for the dispatch desk, ``sc:ForwardedSetPoint``. Every row is written out:
an address is agreed with the other side and must not move when the model is edited (:mod:`scada.model_cim.forwarding_rows` writes
the rows of whole stations). A wrong row is a finding and is left out: a value under a wrong address or of a wrong type is worse
than a missing one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from scada.model_cim.addresses import Iec104Address
from scada.model_cim.channels import parameters
from scada.model_cim.cim import CimModel
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.regulation import ControlArea
from scada.model_cim.tables import (
    Control,
    ControlKind,
    ForwardedControl,
    ForwardedPoint,
    ForwardedSetPoint,
    Point,
    PointKind,
    RedundancyGroup,
    UpstreamStation,
)

STATION: Final = "sc:UpstreamStation"
GROUP: Final = "sc:RedundancyGroup"
POINT: Final = "sc:ForwardedPoint"
CONTROL: Final = "sc:ForwardedControl"
SETPOINT: Final = "sc:ForwardedSetPoint"

_MEASURED: Final = (9, 11, 13, 21, 34, 35, 36)
_POINT_TYPES: Final[Mapping[PointKind, tuple[int, ...]]] = {
    PointKind.STATUS: (1, 30),
    PointKind.DOUBLE: (3, 31),
    PointKind.STEP: (5, 32, 11, 13, 35, 36),
    PointKind.BITS: (7, 33),
    PointKind.COUNTER: (15, 37, 13, 36),
    PointKind.ANALOG: _MEASURED,
}
"""Type identifications that can carry a kind of point without losing what it says."""
_CONTROL_TYPES: Final[Mapping[ControlKind, tuple[int, ...]]] = {
    ControlKind.SINGLE: (45, 58),
    ControlKind.DOUBLE: (46, 59),
    ControlKind.STEP: (47, 60),
    ControlKind.SETPOINT: (48, 49, 50, 61, 62, 63),
}
_UNQUALIFIED: Final = 21
_NORMALISED: Final = frozenset({9, 21, 34, 48, 61})
_SCALED: Final = frozenset({11, 35, 49, 62})
_COUNTERS: Final = frozenset({15, 37})
_STEPS: Final = frozenset({5, 32})
_STATES: Final = frozenset({1, 3, 7, 30, 31, 33})
"""Types of a state: each change counts, so they are always queued."""
_CLASSES: Final = ("event", "newest")
_HIGHEST_IOA: Final = 0xFF_FFFF
_HIGHEST_CA: Final = 65_534
_FIRST_COMMAND: Final = 45
_KNOWN: Final = frozenset({"host", "port", "commonAddress"})
Row = TypeVar("Row")


def build_upstream(
    model: CimModel,
    points: Sequence[Point],
    controls: Sequence[Control],
    findings: list[Finding],
    areas: Sequence[ControlArea] = (),
) -> list[UpstreamStation]:
    """Upstream stations in file order. What is wrong is added to ``findings``; a row with an error is left out."""
    table = _Forwarding(model, points, controls, findings, areas)
    stations = [station for mrid in model.ids(STATION) if (station := table.station(mrid)) is not None]
    table.check_together(stations)
    return stations


class _WrongRowError(Exception):
    """A row that is left out: rule, what is wrong, how to mend it."""

    def __init__(self, rule: str, text: str, hint: str) -> None:
        super().__init__(text)
        self.rule, self.text, self.hint = rule, text, hint


@dataclass(slots=True)
class _Taken:
    """What the rows of one station have used: addresses by direction, and points and controls by mRID."""

    addresses: dict[tuple[bool, int, int], str] = field(default_factory=dict)
    targets: dict[str, str] = field(default_factory=dict)


class _Forwarding:
    """Reads the rows of one model."""

    def __init__(
        self,
        model: CimModel,
        points: Sequence[Point],
        controls: Sequence[Control],
        findings: list[Finding],
        areas: Sequence[ControlArea],
    ) -> None:
        own = [area for area in areas if area.controlled]
        self._targets = {area.mrid: (area.name, "", area.name) for area in own}
        self._targets |= {unit.mrid: (area.name, unit.mrid, unit.name) for area in own for unit in area.units}
        self._model = model
        self._points = {point.mrid: point for point in points if not point.removed}
        self._controls = {control.mrid: control for control in controls}
        self._findings = findings

    def station(self, mrid: str) -> UpstreamStation | None:
        """One upstream station with its groups and rows, None if it cannot be served."""
        model = self._model
        port = model.number(mrid, f"{STATION}.port")
        common_address = model.number(mrid, f"{STATION}.commonAddress")
        if not 0 < port < 65536:
            self._error("upstream.port", mrid, "upstream station has no valid port; left out", f"set {STATION}.port")
            return None
        if not 1 <= common_address <= _HIGHEST_CA:
            hint = f"set {STATION}.commonAddress to 1 .. {_HIGHEST_CA}"
            self._error("upstream.common-address", mrid, "upstream station has no common address; left out", hint)
            return None
        taken, ca = _Taken(), int(common_address)
        return UpstreamStation(
            mrid=mrid,
            name=model.name(mrid),
            host=model.text(mrid, f"{STATION}.host") or "127.0.0.1",
            port=int(port),
            common_address=ca,
            groups=self._groups(mrid),
            points=self._rows(model.refs_to(mrid, f"{POINT}.UpstreamStation"), lambda row: self._point(row, ca, taken)),
            controls=self._rows(model.refs_to(mrid, f"{CONTROL}.UpstreamStation"), lambda row: self._control(row, ca, taken)),
            params=parameters(model, mrid, STATION, _KNOWN),
            setpoints=self._rows(model.refs_to(mrid, f"{SETPOINT}.UpstreamStation"), lambda row: self._setpoint(row, ca, taken)),
        )

    def check_together(self, stations: Sequence[UpstreamStation]) -> None:
        """Names and listening addresses are each one station's; a row must belong to a station."""
        taken: dict[str, str] = {}
        for station in stations:
            for what in (f"name {station.name!r}", f"listening address {station.host}:{station.port}"):
                first = taken.setdefault(what, station.mrid)
                if first != station.mrid:
                    text = f"{what} is also that of the upstream station at {self._model.where(first)}"
                    self._error("upstream.duplicate", station.mrid, text, "give each its own")
        for owner in (POINT, CONTROL, SETPOINT, GROUP):
            for row in self._model.ids(owner):
                if self._model.ref(row, f"{owner}.UpstreamStation") is None:
                    text = f"{owner} belongs to no upstream station: it does nothing"
                    self._error("forward.station", row, text, f"set {owner}.UpstreamStation")

    def _rows(self, rows: Sequence[str], read: Callable[[str], Row]) -> list[Row]:
        found = []
        for row in rows:
            try:
                found.append(read(row))
            except _WrongRowError as wrong:
                self._error(wrong.rule, row, f"row {wrong.text}; left out", wrong.hint)
        return found

    # ------------------------------------------------------------------ groups

    def _groups(self, station: str) -> tuple[RedundancyGroup, ...]:
        groups: dict[str, RedundancyGroup] = {}
        seen: dict[str, str] = {}
        for mrid in self._model.refs_to(station, f"{GROUP}.UpstreamStation"):
            name = self._model.name(mrid)
            text = self._model.text(mrid, f"{GROUP}.masters") or ""
            masters = tuple(dict.fromkeys(one.strip() for one in text.split(";") if one.strip()))
            if name in groups:
                self._error("upstream.group", mrid, f"a second group {name!r}; left out", "give each group its own name")
                continue
            doubled = {master for master in masters if seen.setdefault(master.lower(), name) != name}
            for master in sorted(doubled):
                text = f"master {master!r} is also in group {seen[master.lower()]!r}; left out of this one"
                self._error("upstream.master", mrid, text, "a master has one queue: name it in one group")
            groups[name] = RedundancyGroup(name, tuple(master for master in masters if master not in doubled))
        for mrid in self._model.refs_to(station, f"{GROUP}.UpstreamStation"):
            if not groups[self._model.name(mrid)].masters:
                text = "group names no masters: unless the configuration does, nobody may connect by it"
                self._findings.append(self._model.finding(Severity.INFO, "upstream.master", mrid, text, f"{GROUP}.masters"))
        return tuple(groups.values())

    # ------------------------------------------------------------------ points

    def _point(self, row: str, common_address: int, taken: _Taken) -> ForwardedPoint:
        model = self._model
        point = self._points.get(model.ref(row, f"{POINT}.MeasurementValue") or "")
        if point is None:
            raise _WrongRowError("forward.point", "names no point of the model", f"set {POINT}.MeasurementValue")
        if point.kind is PointKind.TEXT_STATE:
            text = f"forwards {point.path}, a state made here that no type of IEC 104 can carry"
            raise _WrongRowError("forward.type", text, "forward the points it is made from")
        address = self._address(POINT, row, common_address)
        self._check_type(POINT, point.path, point.kind, _POINT_TYPES[point.kind], address.type_id)
        self._check_taken(row, point.mrid, address, taken)
        scale, offset = self._scaling(POINT, row, address.type_id, (point.minimum, point.maximum))
        group, counter_group = self._group(row, address.type_id)
        if address.type_id == _UNQUALIFIED:
            text = f"forwards {point.path} by type {_UNQUALIFIED}, which has no quality: invalid values go out like good ones"
            self._warn("forward.quality", row, text, "type 9 or 34, unless the other side takes no other")
        return ForwardedPoint(
            mrid=row,
            pid=point.pid,
            address=address,
            deadband=self._deadband(row, point),
            queued=self._queued(row, address.type_id),
            group=group,
            counter_group=counter_group,
            scale=scale,
            offset=offset,
        )

    def _queued(self, row: str, type_id: int) -> bool:
        default = "event" if type_id in _STATES | _STEPS | _COUNTERS else "newest"
        text = self._model.text(row, f"{POINT}.class") or default
        if text not in _CLASSES:
            self._error("forward.class", row, f"class {text!r}; {default} is taken", f"one of {', '.join(_CLASSES)}")
            text = default
        if text == "newest" and type_id in _STATES:
            text = "class newest of a state: it is queued all the same, no change of it may be passed over"
            self._warn("forward.class", row, text, "class event")
            return True
        return text == "event"

    def _group(self, row: str, type_id: int) -> tuple[int, int]:
        group = self._whole(row, "group", 16, "forward.group")
        counter_group = self._whole(row, "counterGroup", 4, "forward.counter-group")
        if counter_group and type_id not in _COUNTERS:
            text = "counter group of what is sent as no counter; none is taken"
            self._error("forward.counter-group", row, text, "types 15 and 37 only")
            counter_group = 0
        return group, counter_group

    def _whole(self, row: str, name: str, most: int, rule: str) -> int:
        number = self._model.number(row, f"{POINT}.{name}", 0.0)
        if 0 <= number <= most and number.is_integer():
            return int(number)
        self._error(rule, row, f"{name} {number:g}; none is taken", f"1 .. {most}")
        return 0

    def _deadband(self, row: str, point: Point) -> float:
        deadband = self._model.number(row, f"{POINT}.deadband", point.deadband)
        if deadband >= 0:
            return deadband
        self._error("forward.deadband", row, f"dead band {deadband:g}; {point.deadband:g} is taken", "0 or more")
        return point.deadband

    # ------------------------------------------------------------------ controls

    def _control(self, row: str, common_address: int, taken: _Taken) -> ForwardedControl:
        model = self._model
        control = self._controls.get(model.ref(row, f"{CONTROL}.Control") or "")
        if control is None:
            raise _WrongRowError("forward.control", "names no control that can be operated", f"set {CONTROL}.Control")
        address = self._address(CONTROL, row, common_address)
        self._check_type(CONTROL, control.path, control.kind, _CONTROL_TYPES[control.kind], address.type_id)
        self._check_taken(row, control.mrid, address, taken)
        scale, offset = self._scaling(CONTROL, row, address.type_id, (control.minimum, control.maximum))
        select = model.truth(row, f"{CONTROL}.select", default=control.kind is not ControlKind.SETPOINT)
        return ForwardedControl(row, control.cid, address, select, scale, offset)

    def _setpoint(self, row: str, common_address: int, taken: _Taken) -> ForwardedSetPoint:
        """A set-point for the dispatch desk."""
        model = self._model
        target = model.ref(row, f"{SETPOINT}.Target") or ""
        if target not in self._targets:
            raise _WrongRowError("forward.target", "names no control area or unit under AGC", f"set {SETPOINT}.Target")
        area, unit, name = self._targets[target]
        address = self._address(SETPOINT, row, common_address)
        self._check_type(SETPOINT, name, ControlKind.SETPOINT, _CONTROL_TYPES[ControlKind.SETPOINT], address.type_id)
        self._check_taken(row, target, address, taken)
        scale, offset = self._scaling(SETPOINT, row, address.type_id, (math.nan, math.nan))
        select = model.truth(row, f"{SETPOINT}.select", default=False)
        return ForwardedSetPoint(row, area, unit, name, address, select, scale, offset)

    # ------------------------------------------------------------------ both

    def _address(self, owner: str, row: str, common_address: int) -> Iec104Address:
        common = self._model.number(row, f"{owner}.commonAddress", float(common_address))
        ioa = self._model.number(row, f"{owner}.ioa", 0.0)
        type_id = self._model.number(row, f"{owner}.typeId", 0.0)
        for rule, name, number, most in (
            ("forward.common-address", "commonAddress", common, _HIGHEST_CA),
            ("forward.ioa", "ioa", ioa, _HIGHEST_IOA),
            ("forward.type", "typeId", type_id, 127),
        ):
            if not 1 <= number <= most or not number.is_integer():
                raise _WrongRowError(rule, f"has {name} {number:g}", f"set {owner}.{name} to 1 .. {most}")
        return Iec104Address(int(common), int(ioa), int(type_id))

    @staticmethod
    def _check_type(owner: str, path: str, kind: PointKind | ControlKind, allowed: Sequence[int], type_id: int) -> None:
        if type_id not in allowed:
            text = f"has type {type_id}, which cannot carry {path} of kind {kind.name}"
            raise _WrongRowError("forward.type", text, f"{owner}.typeId is one of {', '.join(map(str, allowed))}")

    def _check_taken(self, row: str, target: str, address: Iec104Address, taken: _Taken) -> None:
        """An address is one row's in each direction; a point or control is forwarded once to a station."""
        key = (address.type_id < _FIRST_COMMAND, address.common_address, address.ioa)
        first = taken.addresses.setdefault(key, row)
        if first != row:
            text = f"has address {address.common_address}/{address.ioa} of the row at {self._model.where(first)}"
            raise _WrongRowError("forward.duplicate-address", text, "give each its own")
        first = taken.targets.setdefault(target, row)
        if first != row:
            text = f"forwards {self._model.path(target)} once more, after the row at {self._model.where(first)}"
            raise _WrongRowError("forward.duplicate-point", text, "keep one")

    def _scaling(self, owner: str, row: str, type_id: int, span: tuple[float, float]) -> tuple[float, float]:
        """Scale and offset; a scaled or normalised number must hold the whole range of what it stands for."""
        model = self._model
        scale, offset = model.number(row, f"{owner}.scale", 1.0), model.number(row, f"{owner}.offset", 0.0)
        if scale == 0 or (type_id in _NORMALISED and model.text(row, f"{owner}.scale") is None):
            what = "has scale 0" if scale == 0 else "is normalised and has no scale"
            raise _WrongRowError("forward.scale", what, f"{owner}.scale is what 1 on the wire stands for")
        low, high = _range_of(type_id)
        ends = [(end - offset) / scale for end in span if math.isfinite(end)]
        if any(not low <= end <= high for end in ends):
            text = f"{span[0]:g} .. {span[1]:g} is {min(ends):g} .. {max(ends):g} on the wire, where type {type_id} holds"
            text += f" {low:g} .. {high:g}: what is beyond is cut and marked as overflow"
            self._warn("forward.range", row, text, f"a larger {owner}.scale")
        return scale, offset

    def _warn(self, rule: str, mrid: str, text: str, hint: str) -> None:
        self._findings.append(self._model.finding(Severity.WARNING, rule, mrid, text, hint))

    def _error(self, rule: str, mrid: str, text: str, hint: str) -> None:
        self._findings.append(self._model.finding(Severity.ERROR, rule, mrid, text, hint))


def _range_of(type_id: int) -> tuple[float, float]:
    """What a type can carry, on the wire's own scale."""
    if type_id in _NORMALISED:
        return -1.0, 1.0
    if type_id in _SCALED:
        return -32_768.0, 32_767.0
    return (-64.0, 63.0) if type_id in _STEPS else (-math.inf, math.inf)
