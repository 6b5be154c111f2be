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

    def containers(self, resource: str, terminal: str = "") -> tuple[str, ...]:
        """MRIDs of everything a resource belongs to, the nearest first: transformer, bay, voltage level, station.

        A generating unit and its machines belong to each other.
        """
        above = self._chain(resource)
        if terminal:
            above += [mrid for mrid in self._seen_from(resource, terminal) if mrid not in above]
        unit = self._model.ref(resource, "RotatingMachine.GeneratingUnit")
        machines = [unit] if unit else self._model.refs_to(resource, "RotatingMachine.GeneratingUnit")
        return (*machines, *(mrid for mrid in above if mrid != resource))

    def _seen_from(self, resource: str, terminal: str) -> list[str]:
        container = node_container(self._model, terminal) if terminal else ""
        return self._chain(container, itself=True) if container else self._chain(resource)

    def _find(self, resource: str, terminal: str) -> Place:
        chain = self._seen_from(resource, terminal)
        found = {self._model.class_of(mrid): mrid for mrid in chain}
        names = [self._model.name(found[kind]) for kind in ("Substation", "VoltageLevel", "Bay") if kind in found]
        if "Bay" not in found and resource not in found.values():
            names.append(self._model.name(self._tank(resource)))
        return Place(found.get("Substation", ""), found.get("VoltageLevel", ""), found.get("Bay", ""), tuple(names))

    def _tank(self, resource: str) -> str:
        """The transformer of a tap changer, which has no telling name of its own; else the resource itself."""
        end = next((up for prop in _UP[1:4] if (up := self._model.ref(resource, prop))), None)
        return (self._model.ref(end, "PowerTransformerEnd.PowerTransformer") if end else None) or resource

    def _chain(self, mrid: str, *, itself: bool = False) -> list[str]:
        """Containers from the nearest outwards; the resource itself first if it is a container (or ``itself``)."""
        chain: list[str] = []
        seen = set[str]()
        current: str | None = mrid
        while current is not None and current not in seen:  # a faulty model may go round
            seen.add(current)
            kind = self._model.class_of(current)
            if itself or current != mrid or kind in ("Bay", "VoltageLevel", "Substation"):
                chain.append(current)
            current = next((up for prop in _UP if (up := self._model.ref(current, prop))), None)
        return chain


def node_container(model: CimModel, terminal: str) -> str:
    """MRID of the voltage level or bay of a terminal's node, empty if unknown; bus-branch models have topological nodes only."""
    for kind in ("ConnectivityNode", "TopologicalNode"):
        node = model.ref(terminal, f"Terminal.{kind}")
        container = model.ref(node, f"{kind}.ConnectivityNodeContainer") if node else None
        if container:
            return container
    return ""
