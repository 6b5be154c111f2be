"""What is to be drawn of a model, and what was: the index of a version's folder ``diagrams``.

Every drawing has a digest of all that its picture shows. A drawing whose digest did not change is not made again; one that could
not be made again stays in use and is *stale*: it shows the station as it was.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from scada.model_cim.cim import CimModel

INDEX: Final = "index.json"
WHOLE: Final = "whole"
"""Key of the diagram of the whole network, where it is small enough to be read."""
MOST_LEVELS: Final = 400
"""Voltage levels beyond which a network area diagram is neither drawn in reasonable time nor read by anybody."""
_DRAWN: Final = (
    "IdentifiedObject.name",
    "Switch.retained",
    "Bay.VoltageLevel",
    "VoltageLevel.BaseVoltage",
    "Equipment.EquipmentContainer",
    "Substation.Region",
)


@dataclass(frozen=True, slots=True)
class Drawing:
    """One picture that a model asks for.

    Attributes:
        key: mRID of the station, or of the control area or region; :data:`WHOLE`.
        name: for people.
        stem: of its files ``<stem>.svg`` and ``<stem>.json`` in the folder of drawings.
        digest: of everything the picture shows.
        levels: of an area: the voltage levels (mRID) drawn, besides those next to them; none of a station.
        stale: the picture at hand is of an earlier version of the model.
    """

    key: str
    name: str
    stem: str
    digest: str
    levels: tuple[str, ...] = ()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Drawings:
    """The drawings of one version."""

    stations: Mapping[str, Drawing] = field(default_factory=dict)
    areas: Mapping[str, Drawing] = field(default_factory=dict)


def diagram_stem(name: str) -> str:
    """File name (without suffix) of a diagram: its name with everything unusual in a file name replaced.

    >>> diagram_stem("North/Old town")
    'North_Old_town'
    """
    return re.sub(r"[^\w-]+", "_", name)


def wanted_drawings(model: CimModel) -> Drawings:
    """What a model asks to be drawn: every station; every control area and region of more than one station; the whole network.

    A region of the same stations as a control area is not drawn twice.
    """
    contents = _Contents(model)
    stems: set[str] = set()
    stations = {
        mrid: Drawing(mrid, model.name(mrid), _stem(model.name(mrid), mrid, stems), contents.digest(contents.levels_of[mrid]))
        for mrid in model.ids("Substation")
    }
    areas: dict[str, Drawing] = {}
    seen: set[frozenset[str]] = set()
    for key, name, members in _groups(model):
        levels = tuple(level for station in members for level in contents.levels_of[station])
        if (len(members) < 2 and key != WHOLE) or not 2 <= len(levels) <= MOST_LEVELS or frozenset(members) in seen:
            continue
        seen.add(frozenset(members))
        areas[key] = Drawing(key, name, _stem(f"area-{name or WHOLE}", key, stems), contents.digest(levels, whole=True), levels)
    return Drawings(stations, areas)


def read_index(folder: Path) -> Drawings:
    """Index of a folder of drawings; empty where there is none or none that can be read, so that all is drawn anew."""
    try:
        told = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return Drawings(
            **{
                part: {key: Drawing(**{**drawing, "levels": tuple(drawing["levels"])}) for key, drawing in told[part].items()}
                for part in ("stations", "areas")
            }
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Drawings()


def write_index(folder: Path, drawings: Drawings) -> None:
    """Write the index in the order of the model: areas before what encloses them."""
    told = {part: {key: asdict(drawing) for key, drawing in getattr(drawings, part).items()} for part in ("stations", "areas")}
    (folder / INDEX).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _stem(name: str, key: str, taken: set[str]) -> str:
    stem = diagram_stem(name)
    if stem in taken or not stem:
        stem = f"{stem}-{diagram_stem(key)}"
    taken.add(stem)
    return stem


def _groups(model: CimModel) -> Iterable[tuple[str, str, Sequence[str]]]:
    """(key, name, stations) of control areas, regions and the whole."""
    for area in model.ids("ControlArea"):
        yield area, model.name(area), model.refs_to(area, "sc:Substation.ControlArea")
    for region in (*model.ids("SubGeographicalRegion"), *model.ids("GeographicalRegion")):
        subregions = model.refs_to(region, "SubGeographicalRegion.Region") or [region]
        yield region, model.name(region), [s for sub in subregions for s in model.refs_to(sub, "Substation.Region")]
    yield WHOLE, "", model.ids("Substation")


class _Contents:
    """What stands in each voltage level, as the pictures show it. Positions of switches are live and not part of it."""

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self.levels_of: dict[str, list[str]] = {station: [] for station in model.ids("Substation")}
        self._station_of: dict[str, str] = {}
        for level in model.ids("VoltageLevel"):
            station = model.ref(level, "VoltageLevel.Substation")
            if station in self.levels_of:
                self.levels_of[station].append(level)
                self._station_of[level] = station
        self._lines: dict[str, list[str]] = {level: [] for level in self._station_of}
        self._branches: dict[str, list[str]] = {level: [] for level in self._station_of}
        self._read()

    def _read(self) -> None:
        """A line for every terminal, in the voltage level of its node."""
        model = self._model
        for terminal in model.ids("Terminal"):
            equipment = model.ref(terminal, "Terminal.ConductingEquipment") or ""
            node = model.ref(terminal, "Terminal.ConnectivityNode") or model.ref(terminal, "Terminal.TopologicalNode") or ""
            container = next((c for prop in _NODE_UP if (c := model.ref(node, prop))), "")
            level = container if container in self._lines else (model.ref(container, "Bay.VoltageLevel") or "")
            if level in self._lines:
                number = model.text(terminal, "ACDCTerminal.sequenceNumber") or model.text(terminal, "Terminal.sequenceNumber")
                said = [f"{model.text(equipment, prop) or model.ref(equipment, prop) or ''}" for prop in _DRAWN]
                self._lines[level].append("\t".join((equipment, model.class_of(equipment), node, number or "", *said)))
                if model.class_of(equipment) in _BRANCHES:
                    self._branches[level].append(f"{equipment}\t{model.class_of(equipment)}")

    def digest(self, levels: Sequence[str], *, whole: bool = False) -> str:
        """Of voltage levels in every detail, or (``whole``) of what joins them only."""
        digest = hashlib.sha256()
        told = self._branches if whole else self._lines
        for level in sorted(levels):
            base = self._model.ref(level, "VoltageLevel.BaseVoltage") or ""
            nominal = self._model.text(base, "BaseVoltage.nominalVoltage") or ""
            station = self._model.name(self._station_of[level])
            for line in (level, self._model.name(level), nominal, station, *sorted(told[level])):
                digest.update(line.encode() + b"\n")
        return digest.hexdigest()[:16]


_NODE_UP: Final = ("ConnectivityNode.ConnectivityNodeContainer", "TopologicalNode.ConnectivityNodeContainer")
_BRANCHES: Final = frozenset(
    {"ACLineSegment", "PowerTransformer", "SeriesCompensator", "EquivalentBranch", "DCLineSegment", "CsConverter", "VsConverter"}
)
