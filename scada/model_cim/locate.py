"""Where a power system resource stands: station, voltage level, bay; the names that make a point's path."""

from __future__ import annotations

from dataclasses import dataclass

from scada.model_cim.cim import CimModel

_UP = (
    "Equipment.EquipmentContainer",
    "RatioTapChanger.TransformerEnd",
    "PhaseTapChanger.TransformerEnd",
    "TapChanger.TransformerEnd",
    "PowerTransformerEnd.PowerTransformer",
    "Bay.VoltageLevel",
    "VoltageLevel.Substation",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Containers of a resource (mRIDs, empty where it has none) and the names on the way to it."""

    station: str = ""
    voltage_level: str = ""
    bay: str = ""
    names: tuple[str, ...] = ()
    """Names of containers and, outside a bay, of the equipment; what a path starts with."""


class Locator:
    """Finds the place of resources, remembering what it found.

    Args:
        model: the CIM model.
    """

    def __init__(self, model: CimModel) -> None:
        self._model = model
        self._known: dict[tuple[str, str], Place] = {}

    def place(self, resource: str, terminal: str = "") -> Place:
        """Place of a power system resource, seen from one of its terminals where that is known (a line has two ends)."""
        key = (resource, terminal)
        if key not in self._known:
            self._known[key] = self._find(resource, terminal)
        return self._known[key]

    def _find(self, resource: str, terminal: str) -> Place:
        node = self._model.ref(terminal, "Terminal.ConnectivityNode") if terminal else None
        container = self._model.ref(node, "ConnectivityNode.ConnectivityNodeContainer") if node else None
        own = self._chain(resource)
        inside = self._model.class_of(own[0]) if own else ""
        if container is not None and (not own or inside not in ("Bay", "VoltageLevel", "Substation")):
            own = self._chain(container, itself=True)
        found = {self._model.class_of(mrid): mrid for mrid in own}
        names = [self._model.name(found[kind]) for kind in ("Substation", "VoltageLevel", "Bay") if kind in found]
        if "Bay" not in found or not names:
            names.append(self._model.name(resource))
        station = found.get("Substation", "")
        return Place(station, found.get("VoltageLevel", ""), found.get("Bay", ""), tuple(dict.fromkeys(names)))

    def _chain(self, mrid: str, *, itself: bool = False) -> list[str]:
        """Containers from the nearest outwards; the resource itself first if it is a container (or ``itself``)."""
        chain: list[str] = []
        current: str | None = mrid
        while current is not None and current not in chain:
            kind = self._model.class_of(current)
            if itself or current != mrid or kind in ("Bay", "VoltageLevel", "Substation"):
                chain.append(current)
            current = next((up for prop in _UP if (up := self._model.ref(current, prop))), None)
        return chain
