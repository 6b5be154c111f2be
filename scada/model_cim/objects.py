"""What stands in what: the objects an operator can name, and everything whose marks count for them.

A point belongs to its equipment, equipment to its transformer, bay, voltage level and station. Answers are found when asked and
remembered; a model of a million points costs nothing until somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from scada.model_cim.cim import CimModel
from scada.model_cim.locate import Locator
from scada.model_cim.tables import Control, ModelTables, Point


class ObjectKind(Enum):
    """What an object is to an operator."""

    POINT = "point"
    EQUIPMENT = "equipment"
    BAY = "bay"
    VOLTAGE_LEVEL = "voltage level"
    STATION = "station"
    OTHER = "object"
    """A control, a channel, a control area or any other object of the model."""


@dataclass(frozen=True, slots=True)
class PlantObject:
    """An object of the model as an operator sees it.

    Attributes:
        mrid: its mRID.
        kind: what it is.
        path: readable name with those of its containers.
        station: name of its station, empty if it stands in none.
        within: mRIDs of what it belongs to, the nearest first: what holds for them holds for it.
        pid: of a point, else -1.
    """

    mrid: str
    kind: ObjectKind
    path: str
    station: str = ""
    within: tuple[str, ...] = ()
    pid: int = -1


_Spot = tuple[str, str, str]


class PlantObjects:
    """Finds objects by mRID.

    Args:
        tables: the model's tables.
        model: the CIM model they were built from; without it only points, the equipment they name, voltage levels and stations
            are known.
    """

    def __init__(self, tables: ModelTables, model: CimModel | None = None) -> None:
        self.tables = self._tables = tables
        self.model = self._model = model
        self._locator = None if model is None else Locator(model)
        self._found: dict[str, PlantObject | None] = {}

    def find(self, mrid: str) -> PlantObject | None:
        """The object, None if the present model has none of that mRID."""
        if mrid not in self._found:
            found = self._named(mrid)
            if found is None:
                return None  # not remembered: names that do not exist have no end
            self._found[mrid] = found
        return self._found[mrid]

    def of_control(self, control: Control) -> tuple[str, ...]:
        """MRIDs of the objects whose tags count for a control: itself, its feedback, its equipment and all that stands in."""
        feedback = () if control.feedback is None else (self._tables.points[int(control.feedback)].mrid,)
        return (control.mrid, *feedback, control.equipment, *self._within(control.equipment, "", control.station))

    def equipment(self) -> Iterator[PlantObject]:
        """All equipment: of the CIM model, and without one what points and controls name."""
        model = self._model
        contained = None if model is None else model.column("Equipment.EquipmentContainer")
        mrids = dict.fromkeys(self._equipment)
        if model is not None and contained is not None:
            mrids |= dict.fromkeys(model.mrids[subject] for subject in contained.subjects)
        for mrid in mrids:
            found = self.find(mrid)
            if found is not None and found.kind is ObjectKind.EQUIPMENT:
                yield found

    def prepare(self) -> None:
        """Find now what the first :meth:`points_in` would have to; seconds for a million points."""
        _ = self._places_in

    def points_in(self, mrid: str) -> Iterable[Point]:
        """Points of an object and of everything in it."""
        points = self._tables.points
        own = self._tables.by_mrid.get(mrid)
        if own is not None and not own.removed:
            return (own,)
        return (points[pid] for place in self._places_in.get(mrid, ()) for pid in self._at_place[place])

    @cached_property
    def _at_place(self) -> dict[_Spot, list[int]]:
        """Points by equipment, terminal and station: they belong to the same objects."""
        found: dict[_Spot, list[int]] = {}
        for point in self._tables.points:
            if not point.removed:
                found.setdefault((point.equipment, point.terminal, point.station), []).append(int(point.pid))
        return found

    @cached_property
    def _places_in(self) -> dict[str, list[_Spot]]:
        found: dict[str, list[_Spot]] = {}
        for place in self._at_place:
            for mrid in {place[0], *self._within(*place)}:
                found.setdefault(mrid, []).append(place)
        return found

    def _named(self, mrid: str) -> PlantObject | None:
        point = self._tables.by_mrid.get(mrid)
        if point is not None:
            if point.removed:
                return None
            return PlantObject(mrid, ObjectKind.POINT, point.path, point.station, self._above(point), int(point.pid))
        return self._stations.get(mrid) or self._others.get(mrid) or self._cim_object(mrid) or self._bare_equipment(mrid)

    def _above(self, point: Point) -> tuple[str, ...]:
        within = self._within(point.equipment, point.terminal, point.station)
        return (point.equipment, *within) if point.equipment else within

    def _within(self, equipment: str, terminal: str, station: str) -> tuple[str, ...]:
        """What a piece of equipment belongs to, seen from a terminal; without it or a CIM model the station is all we know."""
        if self._locator is None or not equipment:
            mrid = self._station_mrid.get(station)
            return () if mrid is None else (mrid,)
        return self._locator.containers(equipment, terminal)

    @cached_property
    def _station_mrid(self) -> dict[str, str]:
        return {station.name: station.mrid for station in self._tables.stations}

    @cached_property
    def _stations(self) -> dict[str, PlantObject]:
        found: dict[str, PlantObject] = {}
        for station in self._tables.stations:
            found[station.mrid] = PlantObject(station.mrid, ObjectKind.STATION, station.name, station.name)
            for mrid, name, _ in station.voltage_levels:
                path = f"{station.name}/{name}"
                found[mrid] = PlantObject(mrid, ObjectKind.VOLTAGE_LEVEL, path, station.name, (station.mrid,))
        return found

    def _cim_object(self, mrid: str) -> PlantObject | None:
        model, locator = self._model, self._locator
        if model is None or locator is None or mrid not in model:
            return None
        within = locator.containers(mrid)
        station = next((each for each in (mrid, *within) if model.class_of(each) == "Substation"), "")
        kind = ObjectKind.OTHER
        if model.class_of(mrid) == "Bay":
            kind = ObjectKind.BAY
        elif mrid in self._equipment or model.ref(mrid, "Equipment.EquipmentContainer"):
            kind = ObjectKind.EQUIPMENT
        return PlantObject(mrid, kind, model.path(mrid), model.name(station) if station else "", within)

    def _bare_equipment(self, mrid: str) -> PlantObject | None:
        """Equipment of which only its points and controls are known."""
        if mrid not in self._equipment:
            return None
        path, station = self._equipment[mrid]
        return PlantObject(mrid, ObjectKind.EQUIPMENT, path, station, self._within(mrid, "", station))

    @cached_property
    def _equipment(self) -> dict[str, tuple[str, str]]:
        """Path and station of each piece of equipment that a point or a control names."""
        named: dict[str, tuple[str, str]] = {}
        everything: list[Point | Control] = [*self._tables.points, *self._tables.live_controls]
        for each in everything:
            if each.equipment and each.equipment not in named:
                named[each.equipment] = (each.path.rpartition("/")[0] or each.path, each.station)
        return named

    @cached_property
    def _others(self) -> dict[str, PlantObject]:
        """What else the tables name: controls, channels, control areas."""
        tables = self._tables
        found: dict[str, PlantObject] = {}
        for control in tables.live_controls:
            found[control.mrid] = PlantObject(control.mrid, ObjectKind.OTHER, control.path, control.station)
        for channel in tables.live_channels:
            found[channel.mrid] = PlantObject(channel.mrid, ObjectKind.OTHER, channel.name, channel.station)
        for area in tables.areas:
            found[area.mrid] = PlantObject(area.mrid, ObjectKind.OTHER, area.name)
        return found
