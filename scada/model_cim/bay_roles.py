"""Equipment of a bay by the role it plays there: what a template of a bay names instead of mRIDs."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.classes import subclasses

ROLES: Final = {
    "breaker": ("Breaker", "DisconnectingCircuitBreaker", "Recloser"),
    "disconnector": ("Disconnector",),
    "earthingSwitch": ("GroundDisconnector",),
    "loadBreakSwitch": ("LoadBreakSwitch", "Sectionaliser"),
    "line": ("ACLineSegment", "SeriesCompensator", "EquivalentBranch"),
    "transformer": ("PowerTransformer",),
    "machine": ("RotatingMachine", "PowerElectronicsConnection"),
    "load": ("EnergyConsumer", "ExternalNetworkInjection", "EquivalentInjection", "EnergySource"),
    "shunt": ("ShuntCompensator", "StaticVarCompensator"),
    "busbar": ("BusbarSection",),
}
"""Role -> classes of CIM."""


def equipment_of(model: CimModel, bay: str, role: str, match: str = "*") -> list[tuple[str, str]]:
    """(equipment, its terminal in the bay or empty) of a role whose name fits, in the order of the names.

    What stands in the bay belongs to it, and so does what is connected to one of its nodes: a line, a transformer, a busbar.

    Args:
        model: the model.
        bay: mRID of the bay.
        role: a key of :data:`ROLES`.
        match: pattern of the equipment's name, with ``*`` and ``?``.
    """
    classes = {name for root in ROLES[role] for name in subclasses(root)}
    found: dict[str, str] = {}
    for equipment, terminal in _connected(model, bay):
        if model.class_of(equipment) in classes and fnmatchcase(model.name(equipment), match):
            found.setdefault(equipment, terminal)
    return sorted(found.items(), key=lambda one: (model.name(one[0]), one[0]))


def _connected(model: CimModel, bay: str) -> Iterator[tuple[str, str]]:
    inside = model.refs_to(bay, "Equipment.EquipmentContainer")
    switches = subclasses("Switch")  # one of another bay at a shared node is that bay's
    nodes = dict.fromkeys(model.refs_to(bay, "ConnectivityNode.ConnectivityNodeContainer"))
    for equipment in inside:
        terminals = model.refs_to(equipment, "Terminal.ConductingEquipment")
        yield equipment, terminals[0] if len(terminals) == 1 else ""
        nodes |= dict.fromkeys(node for terminal in terminals if (node := model.ref(terminal, "Terminal.ConnectivityNode")))
    for node in nodes:
        for terminal in model.refs_to(node, "Terminal.ConnectivityNode"):
            other = model.ref(terminal, "Terminal.ConductingEquipment")
            if other and other not in inside and model.class_of(other) not in switches:
                yield other, terminal
