"""From CIM and SC to the tables the house runs on: :func:`build_tables`.

A point is a CIM MeasurementValue (a measurement may have several sources); a control is a CIM Command, RaiseLowerCommand or
SetPoint with its RemoteControl. What is wrong is a finding; the object named is left out or left without its address and the
rest loads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scada.core.errors import ModelError
from scada.core.ids import PointId
from scada.model_cim.addresses import Address, Iec104Address, ModbusAddress
from scada.model_cim.applications import build_areas, build_zones
from scada.model_cim.channels import address_key, address_of, build_channels, numbered_channels
from scada.model_cim.cim import CimModel
from scada.model_cim.controls import build_controls
from scada.model_cim.drawings import read_index
from scada.model_cim.findings import Finding, Severity
from scada.model_cim.forwarding import build_upstream
from scada.model_cim.limits import LimitReader
from scada.model_cim.locate import Locator
from scada.model_cim.numbers import Numbers
from scada.model_cim.reader import ModelReader
from scada.model_cim.tables import (
    AlarmClass,
    AreaDiagram,
    ChannelSpec,
    Cleaning,
    ModelTables,
    Point,
    PointKind,
    Station,
    removed_point,
)
from scada.protocols.registry import Drivers

_VALUES = {"AnalogValue": "Analog", "DiscreteValue": "Discrete", "AccumulatorValue": "Accumulator"}
_KINDS = {
    "status": PointKind.STATUS,
    "double": PointKind.DOUBLE,
    "step": PointKind.STEP,
    "bits": PointKind.BITS,
    "state": PointKind.TEXT_STATE,
}
_KIND_OF_TYPE = {
    **dict.fromkeys((1, 2, 30), PointKind.STATUS),
    **dict.fromkeys((3, 4, 31), PointKind.DOUBLE),
    **dict.fromkeys((5, 6, 32), PointKind.STEP),
    **dict.fromkeys((7, 8, 33), PointKind.BITS),
}
"""IEC 60870-5-101 type identification of a Discrete -> kind, where the model does not say."""
_NO_CLEANING = Cleaning()
_PREFIX = {"none": "", "k": "k", "M": "M", "G": "G", "m": "m"}
_SYMBOL = {"none": "", "VAr": "var", "VArh": "varh", "degC": "°C", "deg": "°", "Hz": "Hz"}


def load_model(
    path: Path | str, numbers: Numbers | None = None, drivers: Drivers | None = None
) -> tuple[CimModel, ModelTables, list[Finding]]:
    """Read a model folder and build its tables.

    Args:
        path: folder, XML file or zip.
        numbers: given in earlier versions, see :func:`build_tables`.
        drivers: whose protocols channels may name; None = built in and installed.

    Raises:
        ModelError: nothing to read, or a file is broken off: half a model is not run.
    """
    model = ModelReader(path).read()
    for finding in model.findings:
        if finding.severity is Severity.FATAL:
            raise ModelError(finding.text, where=finding.where, mend=finding.hint)
    tables, findings = build_tables(model, numbers, drivers)
    return model, with_drawings(tables, Path(path) / "diagrams"), findings


def with_drawings(tables: ModelTables, folder: Path) -> ModelTables:
    """The tables with the drawings that a folder holds for their stations and areas."""
    drawn = read_index(folder)
    if not drawn.stations and not drawn.areas:
        return tables
    stations = [
        replace(one, diagram=found.stem, diagram_stale=found.stale) if (found := drawn.stations.get(one.mrid)) else one
        for one in tables.stations
    ]
    areas = [AreaDiagram(area.key, area.name or tables.name, area.stem, area.stale) for area in drawn.areas.values()]
    return replace(tables, stations=stations, area_diagrams=areas)


def build_tables(
    model: CimModel, numbers: Numbers | None = None, drivers: Drivers | None = None
) -> tuple[ModelTables, list[Finding]]:
    """Tables of a model and everything found wrong with it (the reader's findings first).

    Args:
        model: the CIM model with its SC profile.
        numbers: given in earlier versions (:class:`~scada.model_cim.numbers.Numbers`). Points, controls and channels keep theirs,
            new ones follow after the highest, and a number whose thing is gone holds a tombstone (``removed``).
        drivers: whose protocols channels may name; None = built in and installed.

    Raises:
        ModelError: ``numbers`` gives one twice or a negative one: points would overwrite each other.
    """
    known = numbers or Numbers()
    known.check()
    findings: list[Finding] = []
    drivers = drivers or Drivers()
    channels = build_channels(model, findings, drivers, known.channels)
    locator = Locator(model)
    points = _PointBuilder(model, channels, drivers, locator, findings).build(known.points)
    by_mrid = {point.mrid: point for point in points if not point.removed}
    controls = build_controls(model, channels, drivers, locator, by_mrid, findings, known.controls)
    live = [control for control in controls if not control.removed]
    areas = build_areas(model, points, live, findings)
    tables = ModelTables(
        version=model.digest,
        name=model.title,
        points=points,
        controls=controls,
        channels=numbered_channels(channels.values(), known.channels),
        stations=_stations(model, findings),
        areas=areas,
        zones=build_zones(model, points, live, findings),
        upstream=build_upstream(model, points, live, findings, areas),
    )
    return tables, [*model.findings, *findings]


class _PointBuilder:
    """Builds the points of one model."""

    def __init__(
        self, model: CimModel, channels: Mapping[str, ChannelSpec], drivers: Drivers, locator: Locator, findings: list[Finding]
    ) -> None:
        self._model = model
        self._channels = channels
        self._drivers = drivers
        self._locator = locator
        self._findings = findings
        self._paths: dict[str, str] = {}
        self._addresses: dict[tuple[int | str, ...], str] = {}
        self._aliases: dict[str, dict[int, str]] = {}
        self._limits = LimitReader(model, findings)

    def build(self, pid_of: Mapping[str, int]) -> list[Point]:
        """Points by pid, tombstones between them."""
        next_pid = max(pid_of.values(), default=-1) + 1
        table: dict[int, Point] = {}
        for value in self._model.ids("MeasurementValue"):
            pid = pid_of.get(value, next_pid)
            point = self._point(value, PointId(pid))
            if point is not None:
                table[pid] = point
                next_pid = max(next_pid, pid + 1)
        self._check_measurements()
        for mrid, pid in pid_of.items():
            table.setdefault(pid, removed_point(mrid, pid))
        return self._limits.resolve([table.get(pid) or removed_point(f"pid-{pid}", pid) for pid in range(next_pid)])

    def _check_measurements(self) -> None:
        model = self._model
        for value_class, kind in _VALUES.items():
            for measurement in model.ids(kind):
                if not model.refs_to(measurement, f"{value_class}.{kind}"):
                    text = f"{kind} has no {value_class}: it makes no point"
                    self._findings.append(model.finding(Severity.WARNING, "measurement.value", measurement, text, "add one"))

    def _point(self, value: str, pid: PointId) -> Point | None:
        model = self._model
        kind_name = _VALUES.get(model.class_of(value), "")
        measurement = model.ref(value, f"{model.class_of(value)}.{kind_name}") if kind_name else None
        if measurement is None:
            self._error("point.measurement", value, f"{model.class_of(value)} belongs to no measurement we know; left out")
            return None
        resource = model.ref(measurement, "Measurement.PowerSystemResource") or ""
        terminal = model.ref(measurement, "Measurement.Terminal") or ""
        if not resource:
            self._error("point.resource", measurement, "measurement has no power system resource; left out")
            return None
        place = self._locator.place(resource, terminal)
        name = model.name(measurement)
        channel, address, source = self._source(value)
        kind = self._kind(measurement, kind_name, address)
        return Point(
            pid=pid,
            mrid=value,
            path=self._path(value, (*place.names, name)),
            name=name,
            kind=kind,
            measurement_type=model.text(measurement, "Measurement.measurementType") or "",
            unit=unit_text(model, measurement, "Measurement"),
            equipment=resource,
            terminal=terminal,
            station=model.name(place.station) if place.station else place.names[0],
            bay=model.name(place.bay) if place.bay else "",
            channel=channel,
            address=address,
            scale=model.number(source, "sc:RemotePoint.scale", 1.0),
            offset=model.number(source, "sc:RemotePoint.offset", 0.0),
            deadband=model.number(source, "RemoteSource.deadband", 0.0),
            compression=self._compression(measurement),
            sample_s=self._sample_s(measurement),
            minimum=model.number(measurement, f"{kind_name}.minValue"),
            maximum=model.number(measurement, f"{kind_name}.maxValue"),
            limits=self._limits.limits(measurement),
            cleaning=self._cleaning(measurement),
            suppressed_by=self._limits.suppressed_by(measurement),
            states=self._states(measurement),
            alarm_class=self._alarm_class(measurement),
            priority=int(model.number(measurement, "sc:Measurement.alarmPriority", 3.0)),
            normal_value=model.number(measurement, "sc:Measurement.normalState"),
            expression=model.text(value, "sc:MeasurementValue.expression") or "",
        )

    def _source(self, value: str) -> tuple[int, Address | None, str]:
        """Channel index, address and mRID of the RemoteSource that feeds a value; -1, None where nothing does."""
        model = self._model
        sources = model.refs_to(value, "RemoteSource.MeasurementValue") or model.refs(value, "MeasurementValue.RemoteSource")
        calculated = bool(model.text(value, "sc:MeasurementValue.expression"))
        if not sources:
            if not calculated:
                text = "point has neither a RemoteSource nor an expression: it will never have a value"
                self._findings.append(model.finding(Severity.WARNING, "point.source", value, text, "add one of them"))
            return -1, None, ""
        source = sources[0]
        if calculated or len(sources) > 1:
            self._error("point.source", value, "point has more than one source (RemoteSource, expression)", "keep one")
        unit = model.ref(source, "RemotePoint.RemoteUnit") or ""
        spec = self._channels.get(unit)
        if spec is None:
            self._error("point.channel", source, "RemoteSource belongs to no usable RemoteUnit", "set RemotePoint.RemoteUnit")
            return -1, None, source
        address = address_of(model, source, unit, spec.protocol, self._drivers)
        if isinstance(address, str):
            self._error("point.address", source, f"RemoteSource {address}")
            return -1, None, source
        first = self._addresses.setdefault((spec.index, *address_key(address)), source)
        if first != source:
            text = f"same address in channel {spec.name} as {model.path(first)} at {model.where(first)}"
            self._error("point.duplicate-address", source, text, "give the second one its own address; until then it has none")
            return -1, None, source
        return spec.index, address, source

    def _kind(self, measurement: str, kind_name: str, address: Address | None) -> PointKind:
        if kind_name == "Analog":
            return PointKind.ANALOG
        if kind_name == "Accumulator":
            return PointKind.COUNTER
        text = self._model.text(measurement, "sc:Discrete.kind")
        if text is not None and text not in _KINDS:
            self._error("point.kind", measurement, f"sc:Discrete.kind is {text!r}", f"one of {', '.join(_KINDS)}")
        if text in _KINDS:
            return _KINDS[text]
        if isinstance(address, Iec104Address):
            return _KIND_OF_TYPE.get(address.type_id, PointKind.STATUS)
        if isinstance(address, ModbusAddress) and address.data_type != "bit" and address.bit < 0:
            return PointKind.STEP
        return PointKind.STATUS

    def _path(self, value: str, names: tuple[str, ...]) -> str:
        path = "/".join(names)
        first = self._paths.setdefault(path, value)
        if first == value:
            return path
        text = f"same path {path!r} as the point at {self._model.where(first)}"
        self._error("point.duplicate-path", value, text, "rename one measurement")
        path = f"{path} [{value[:8]}]"
        self._paths[path] = value
        return path

    def _states(self, measurement: str) -> dict[int, str]:
        aliases = self._model.ref(measurement, "Discrete.ValueAliasSet")
        if aliases is None:
            return {}
        if aliases not in self._aliases:
            self._aliases[aliases] = states_of(self._model, aliases)
        return self._aliases[aliases]

    def _alarm_class(self, measurement: str) -> AlarmClass:
        text = self._model.text(measurement, "sc:Measurement.alarmClass")
        if text is None:
            return AlarmClass.NOTICE
        try:
            return AlarmClass[text]
        except KeyError:
            names = ", ".join(AlarmClass.__members__)
            self._error("point.alarm-class", measurement, f"alarm class {text!r}", f"one of {names}")
            return AlarmClass.NOTICE

    def _compression(self, measurement: str) -> str:
        text = self._model.text(measurement, "sc:Measurement.historyCompression") or "deadband"
        if text in {"deadband", "swinging-door"}:
            return text
        self._error("history.compression", measurement, f"history compression {text!r}", "deadband or swinging-door")
        return "deadband"

    def _sample_s(self, measurement: str) -> float:
        seconds = self._model.number(measurement, "sc:Measurement.historySample", 0.0)
        if seconds == 0 or (1 <= seconds <= 3600 and 86_400 % seconds == 0):
            return seconds
        text = f"history sampling of {seconds:g} s; it is kept on change"
        self._error("history.sample", measurement, text, "1 to 3600 s, a divisor of a day")
        return 0.0

    def _cleaning(self, measurement: str) -> Cleaning:
        value: dict[str, float] = {}
        for name, field in (("rateLimit", "rate_per_s"), ("frozenAfter", "frozen_s"), ("expectedEvery", "period_s")):
            number = self._model.number(measurement, f"sc:Measurement.{name}")
            if number > 0:
                value[field] = number
            elif not math.isnan(number):
                self._error("point.cleaning", measurement, f"{name} is {number:g}; left out", "give a number above 0, or none")
        return Cleaning(**value) if value else _NO_CLEANING

    def _error(self, rule: str, mrid: str, text: str, hint: str = "") -> None:
        self._findings.append(self._model.finding(Severity.ERROR, rule, mrid, text, hint))


def states_of(model: CimModel, alias_set: str) -> dict[int, str]:
    """Value -> label of a CIM ValueAliasSet."""
    states: dict[int, str] = {}
    for alias in model.refs_to(alias_set, "ValueToAlias.ValueAliasSet"):
        value = model.number(alias, "ValueToAlias.value")
        if not math.isnan(value):
            states[int(value)] = model.name(alias)
    return states


def unit_text(model: CimModel, mrid: str, owner: str) -> str:
    """Unit of a Measurement or Control as people write it: ``MW``, ``Mvar``, ``kV``, ``%``, ``°C``."""
    symbol = model.enum(mrid, f"{owner}.unitSymbol") or "none"
    multiplier = model.enum(mrid, f"{owner}.unitMultiplier") or "none"
    if symbol == "none" and multiplier == "c":
        return "%"
    return _PREFIX.get(multiplier, multiplier) + _SYMBOL.get(symbol, symbol)


def _stations(model: CimModel, findings: list[Finding]) -> list[Station]:
    stations: list[Station] = []
    seen: dict[str, str] = {}
    for mrid in model.ids("Substation"):
        levels = []
        for level in model.refs_to(mrid, "VoltageLevel.Substation"):
            base = model.ref(level, "VoltageLevel.BaseVoltage") or ""
            levels.append((level, model.name(level), model.number(base, "BaseVoltage.nominalVoltage")))
        area = model.ref(mrid, "sc:Substation.ControlArea")
        levels.sort(key=lambda level: -level[2])
        first = seen.setdefault(model.name(mrid), mrid)
        if first != mrid:
            text = f"station name {model.name(mrid)!r} is also at {model.where(first)}"
            findings.append(model.finding(Severity.WARNING, "station.name", mrid, text, "give each Substation its own name"))
        station = Station(mrid, model.name(mrid), model.name(area) if area else "", tuple(levels))
        stations.append(replace(station, bays=_bays(model, station), regions=_regions(model, mrid)))
    return stations


def _bays(model: CimModel, station: Station) -> tuple[tuple[str, str], ...]:
    places = [(level, (station.name, name)) for level, name, _ in station.voltage_levels]
    bays: list[tuple[str, tuple[str, ...]]] = [
        (bay, (*names, model.name(bay))) for level, names in places for bay in model.refs_to(level, "Bay.VoltageLevel")
    ]
    bays += [(bay, (station.name, model.name(bay))) for bay in model.refs_to(station.mrid, "Bay.Substation")]
    return tuple((bay, "/".join(names)) for bay, names in bays)


def _regions(model: CimModel, station: str) -> tuple[tuple[str, str], ...]:
    sub = model.ref(station, "Substation.Region")
    whole = model.ref(sub, "SubGeographicalRegion.Region") if sub else None
    return tuple((mrid, model.name(mrid)) for mrid in (sub, whole) if mrid)
