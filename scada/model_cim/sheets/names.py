"""How a spreadsheet names objects of the model, and which object a name in a spreadsheet means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Final

from scada.core.ids import normalise_mrid
from scada.model_cim.cim import CimModel
from scada.model_cim.locate import Locator
from scada.model_cim.sheets.faults import CellError

VALUES: Final[Mapping[str, str]] = {"AnalogValue": "Analog", "DiscreteValue": "Discrete", "AccumulatorValue": "Accumulator"}
"""Class of a measurement value -> class of its measurement."""
_NAMED: Final = {
    "channel": "RemoteUnit",
    "station": "Substation",
    "zone": "VoltageControlZone",
    "area": "ControlArea",
    "upstream station": "sc:UpstreamStation",
    "regulation group": "sc:RegulationGroup",
    "reactive plant": "sc:ReactivePlant",
}
_CONTAINED: Final = (
    "Equipment.EquipmentContainer",
    "Bay.VoltageLevel",
    "VoltageLevel.Substation",
    "TapChanger.TransformerEnd",
    "RatioTapChanger.TransformerEnd",
    "PhaseTapChanger.TransformerEnd",
)


class Names:
    """Names of one model, found when first asked for.

    Args:
        model: the model; read-only.
    """

    def __init__(self, model: CimModel) -> None:
        self.model = model
        self._locator = Locator(model)
        self._paths: dict[str, str] = {}
        self._known: dict[str, dict[str, list[str]]] = {}

    def texts(self, prop: str) -> dict[str, str]:
        """Value of a property by mRID of its object; the first one, should there be several."""
        return self._names if prop == "IdentifiedObject.name" else self._texts(prop)

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names of all objects; every sheet asks for them."""
        return self._texts("IdentifiedObject.name")

    def _texts(self, prop: str) -> dict[str, str]:
        column = self.model.column(prop)
        if column is None:
            return {}
        mrids = self.model.mrids
        return {
            mrids[subject]: value
            for subject, value in zip(reversed(column.subjects.tolist()), reversed(column.values), strict=True)
        }

    def inverse(self, prop: str) -> dict[str, str]:
        """First object that refers by a property, by mRID of what it refers to."""
        column = self.model.column(prop)
        if column is None:
            return {}
        mrids = self.model.mrids
        return {
            value: mrids[subject]
            for subject, value in zip(reversed(column.subjects.tolist()), reversed(column.values), strict=True)
        }

    @cached_property
    def measurement_of(self) -> dict[str, str]:
        """Measurement of each point, by the point's mRID."""
        found: dict[str, str] = {}
        for value_class, kind in VALUES.items():
            found |= self.texts(f"{value_class}.{kind}")
        return {mrid: measurement for mrid, measurement in found.items() if measurement in self.model}

    @cached_property
    def value_of(self) -> dict[str, str]:
        """First point of each measurement."""
        return {measurement: mrid for mrid, measurement in reversed(self.measurement_of.items())}

    @cached_property
    def point_paths(self) -> dict[str, str]:
        """Path of each point, by its mRID; as in the tables, but two of one path stay two of one path."""
        resource, terminal = self.texts("Measurement.PowerSystemResource"), self.texts("Measurement.Terminal")
        name = self.texts("IdentifiedObject.name")
        found: dict[str, str] = {}
        for mrid, measurement in self.measurement_of.items():
            place = self._locator.place(resource.get(measurement, ""), terminal.get(measurement, ""))
            found[mrid] = "/".join((*place.names, name.get(measurement) or measurement))
        return found

    @cached_property
    def control_paths(self) -> dict[str, str]:
        """Path of each control, by its mRID."""
        model = self.model
        return {
            mrid: self.path_at(model.ref(mrid, "Control.PowerSystemResource") or "", "", model.name(mrid))
            for mrid in model.ids("Control")
            if model.class_of(mrid) != "AccumulatorReset"
        }

    def path_at(self, resource: str, terminal: str, name: str) -> str:
        """Path of a point or control of that name at a resource."""
        return "/".join((*self._locator.place(resource, terminal).names, name))

    def station_at(self, resource: str, terminal: str = "") -> str:
        """Name of the station of a resource."""
        place = self._locator.place(resource, terminal)
        return self.model.name(place.station) if place.station else ""

    def label(self, what: str, mrid: str) -> str:
        """What a cell shows for an object: its path or name, its mRID where that names it not or not alone."""
        if not mrid:
            return ""
        text = self._text(what, mrid)
        return text if text and ";" not in text and self._meant(what, text) in ([mrid], None) else mrid

    def resolve(self, what: str, text: str) -> str:
        """MRID of the object a cell means.

        Raises:
            CellError: there is none, or there are several.
        """
        found = self._index(what).get(text, [])
        if len(found) > 1:
            raise CellError("ambiguous", what=what, value=text)
        if found:
            return found[0]
        mrid = normalise_mrid(text)
        if mrid in self.model and self._is(what, mrid):
            return mrid
        raise CellError("unknown", what=what, value=text)

    def knows(self, what: str, text: str) -> bool:
        """True if an object bears that path or name."""
        return text in self._index(what)

    def _text(self, what: str, mrid: str) -> str:
        if what == "point":
            return self.point_paths.get(mrid, "") or self.point_paths.get(self.value_of.get(mrid, ""), "")
        if what == "control":
            return self.control_paths.get(mrid, "")
        if what in _NAMED:
            return self.model.text(mrid, "IdentifiedObject.name") or ""
        if what == "terminal":
            return ""
        if mrid not in self._paths:
            self._paths[mrid] = self.model.path(mrid)
        return self._paths[mrid]

    def _meant(self, what: str, text: str) -> list[str] | None:
        """Objects that a text names; None where finding out would cost more than it tells."""
        return None if what == "equipment" else self._index(what).get(text, [])

    def _is(self, what: str, mrid: str) -> bool:
        if what == "point":
            return mrid in self.point_paths
        if what == "control":
            return mrid in self.control_paths
        if what == "terminal":
            return self.model.class_of(mrid) == "Terminal"
        return self.model.class_of(mrid) == _NAMED[what] if what in _NAMED else True

    def _index(self, what: str) -> dict[str, list[str]]:
        if what not in self._known:
            self._known[what] = _inverted(self._pairs(what))
        return self._known[what]

    def _pairs(self, what: str) -> Iterable[tuple[str, str]]:
        if what == "point":
            return self.point_paths.items()
        if what == "control":
            return self.control_paths.items()
        if what in _NAMED:
            return [(mrid, self._text(what, mrid)) for mrid in self.model.ids(_NAMED[what])]
        if what == "terminal":
            return []
        contained = {mrid for prop in _CONTAINED for mrid in self.texts(prop)} | set(self.model.ids("Substation"))
        return [(mrid, self._text(what, mrid)) for mrid in sorted(contained)]


def _inverted(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for mrid, text in pairs:
        found.setdefault(text, []).append(mrid)
    return found
