"""Areas of responsibility as a tree over the model: control area and region > station > voltage level > bay > equipment.

A user's area may name any of them: by mRID, by name, a voltage level or bay by its path ``Station/Level/Bay``. Whoever is
responsible for a node is so for everything in it. A name that nodes of several kinds have is that of the highest kind; one that
several nodes of that kind have names none of them. Built once a model version; every answer is a lookup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Self
from weakref import ref

from scada.control.records import Principal
from scada.model_cim.objects import PlantObject
from scada.model_cim.tables import ChannelSpec, Control, ModelTables, Point
from scada.security.roles import ALL_AREAS, is_responsible

Places = tuple[str, ...]
"""Everything by which a user's area may name an object or what it stands in, from the object to the root."""

_RANKS = ("control area", "station", "region", "voltage level", "bay")


class AreaTree:
    """What stands in what, by all its names.

    Args:
        tables: the model, which is not kept; another version has another tree (:meth:`of`).
    """

    def __init__(self, tables: ModelTables) -> None:
        self._labels: dict[str, Places] = {}
        """Node, by mRID or by name if it has none -> names of that node alone."""
        self._by_path: dict[str, str] = {}
        """Path of a voltage level or bay -> its mRID."""
        self._stations: dict[str, Places] = {}
        self._areas: dict[str, Places] = {}
        named: dict[str, dict[str, set[str]]] = {}
        for rank, name, node, path in self._nodes(tables):
            named.setdefault(name, {}).setdefault(rank, set()).add(node)
            self._labels[node] = (node, path) if path else (node,)
            if path:
                self._by_path[path] = node
        self._ambiguous = {name for name, ranks in named.items() if len(_first(ranks)) > 1}
        for name, ranks in named.items():
            nodes = _first(ranks)
            if len(nodes) == 1:
                node = next(iter(nodes))
                self._labels[node] = tuple(dict.fromkeys((*self._labels[node], name)))
        for area in dict.fromkeys([*(area.name for area in tables.areas), *(one.area for one in tables.stations if one.area)]):
            self._areas[area] = self._labels[self._area_nodes.get(area, area)]
        for station in tables.stations:
            regions = [label for mrid, _ in station.regions for label in self._labels[mrid]]
            places = (*self._labels[station.mrid], *self._areas.get(station.area, ()), *regions)
            twin = self._stations.get(station.name)
            # two stations of one name cannot be told apart by it: only what holds for both holds
            self._stations[station.name] = places if twin is None else tuple(place for place in twin if place in places)
        self._areas_by_mrid = {area.mrid: self._areas[area.name] for area in tables.areas}
        self._regulated = self._regulate(tables)

    @classmethod
    def of(cls, tables: ModelTables) -> Self:
        """The tree of a model version; the last few are remembered."""
        with _lock:
            for known, tree in _known:
                if known() is tables and isinstance(tree, cls):
                    return tree
        tree = cls(tables)
        with _lock:
            _known.insert(0, (ref(tables), tree))
            del _known[_REMEMBERED:]
        return tree

    # ------------------------------------------------------------------ from the object to the root

    def of_area(self, name: str) -> Places:
        """A control area."""
        return self._areas.get(name, ())

    def of_station(self, name: str) -> Places:
        """A station and what it stands in; what a control area measures of itself has the area for its station."""
        found = self._stations.get(name)
        if found is None:
            found = self._areas.get(name)
        return ((name,) if name else ()) if found is None else found

    def of_control(self, control: Control) -> Places:
        """The equipment of a control, its bay, voltage level, station, control area and regions."""
        return self._of(control.equipment, control.path, control.station)

    def of_point(self, point: Point) -> Places:
        """The same of a point."""
        return self._of(point.equipment, point.path, point.station)

    def of_object(self, found: PlantObject) -> Places:
        """The same of any object of the model."""
        within = [label for mrid in (found.mrid, *found.within) for label in self._labels.get(mrid, (mrid,))]
        areas = [place for mrid in found.within for place in self._areas_by_mrid.get(mrid, ())]
        return (*within, *self._on_path(found.path), *self.of_station(found.station), *areas)

    def of_unit(self, mrid: str) -> tuple[Places, ...]:
        """Places of each set-point of what AGC or AVC regulates, and of its control area if it stands outside."""
        return self._regulated.get(mrid, ())

    def of_channel(self, channel: ChannelSpec) -> tuple[Places, ...]:
        """Places of each station of a channel: who is responsible for it is so for every one of them."""
        if channel.station in self._stations:
            return (self._stations[channel.station],)
        return tuple(self.of_station(name) for name in channel.station.split(", "))

    # ------------------------------------------------------------------ what users name

    def faults(self, areas: Iterable[str], tables: ModelTables) -> dict[str, str]:
        """Why areas of users grant nothing, by area; those that are clear are left out. ``tables``: those of the tree."""
        equipment = {one.equipment for one in tables.points} | {one.equipment for one in tables.controls} | self._regulated.keys()
        known = {label for labels in self._labels.values() for label in labels} | equipment | {ALL_AREAS}
        found = {}
        for area in areas:
            if area in self._ambiguous:
                found[area] = f"{area!r} is the name of several: name one of them by its path or mRID"
            elif not area or area not in known:
                found[area] = f"the model has no area, station or equipment {area!r}"
        return found

    def names(self) -> list[str]:
        """Control areas, then stations, by name."""
        return [*self._areas, *self._stations]

    def _of(self, equipment: str, path: str, station: str) -> Places:
        own = self._labels.get(equipment, (equipment,)) if equipment else ()
        return (*own, *self._on_path(path), *self.of_station(station))

    def _on_path(self, path: str) -> Iterator[str]:
        """Names of the bay and the voltage level that a path leads through."""
        while path:
            node = self._by_path.get(path)
            if node is not None:
                yield from self._labels[node]
            path = path.rpartition("/")[0]

    def _nodes(self, tables: ModelTables) -> Iterator[tuple[str, str, str, str]]:
        """(rank, name, node, path) of each."""
        self._area_nodes = {area.name: area.mrid or area.name for area in tables.areas}
        for area in tables.areas:
            yield "control area", area.name, area.mrid or area.name, ""
        for station in tables.stations:
            if station.area and station.area not in self._area_nodes:
                yield "control area", station.area, station.area, ""
            yield "station", station.name, station.mrid, ""
            for mrid, name in station.regions:
                yield "region", name, mrid, ""
            for mrid, name, _ in station.voltage_levels:
                yield "voltage level", name, mrid, f"{station.name}/{name}"
            for mrid, path in station.bays:
                yield "bay", path.rpartition("/")[2], mrid, path

    def _regulate(self, tables: ModelTables) -> dict[str, tuple[Places, ...]]:
        cids: dict[str, list[int]] = {}
        areas: dict[str, list[str]] = {}
        for area in tables.areas:
            for unit in area.units:
                cids.setdefault(unit.mrid, []).extend(unit.controls)
                areas.setdefault(unit.mrid, []).append(area.name)
        for zone in tables.zones:
            for source in zone.sources:
                cids.setdefault(source.mrid, []).append(source.setpoint)
            for device in zone.devices:
                cids.setdefault(device.mrid, []).append(device.control)
        found = {}
        for mrid, numbers in cids.items():
            chains = [(mrid, *self.of_control(tables.controls[cid])) for cid in dict.fromkeys(numbers) if cid >= 0]
            standing = {place for chain in chains for place in chain}
            chains += [(mrid, *self.of_area(area)) for area in areas.get(mrid, ()) if area not in standing]
            found[mrid] = tuple(chains)
        return found


_REMEMBERED = 2
"""Trees kept: at a change of the model some still ask by the old one."""
_known: list[tuple[ref[ModelTables], AreaTree]] = []
_lock = Lock()


def responsible_for_all(principal: Principal, chains: Iterable[Places]) -> bool:
    """True if the principal is responsible for each of several objects."""
    return all(is_responsible(principal, *places) for places in chains)


def _first(ranks: dict[str, set[str]]) -> set[str]:
    return next(ranks[rank] for rank in _RANKS if rank in ranks)
