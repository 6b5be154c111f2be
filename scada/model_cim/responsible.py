"""Whose work a change is: the stations that a difference touches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from scada.model_cim.cim import CimModel
from scada.model_cim.conflicts import touched
from scada.model_cim.statements import Difference, ValueKind

EVERYONE: Final = "*"
"""Stands for what belongs to no station: only an engineer of all areas may change it."""
_DEEP: Final = 8


def stations_touched(difference: Difference, old: CimModel, new: CimModel) -> list[str]:
    """Names of the stations whose objects a difference changes, sorted; :data:`EVERYONE` among them for objects of none.

    An object belongs to the stations that its references lead to, in the model before and in the one after: who moves an object
    from one station to another changes both.
    """
    found: set[str] = set()
    for mrid in touched(difference):
        places = {name for model in (old, new) if mrid in model for name in stations_of(model, mrid)}
        found |= places or {EVERYONE}
    return sorted(found)


def areas_of(stations: Iterable[str], model: CimModel) -> dict[str, str]:
    """Control area of each station by its name; empty where it has none."""
    wanted = set(stations)
    found: dict[str, str] = {}
    for mrid in model.ids("Substation"):
        if (name := model.name(mrid)) in wanted:
            area = model.ref(mrid, "sc:Substation.ControlArea")
            found[name] = model.name(area) if area else ""
    return found


def stations_of(model: CimModel, mrid: str) -> set[str]:
    """Names of the stations that are nearest to an object along its references; empty if none is."""
    seen, edge = {mrid}, deque([(mrid, 0)])
    found: set[str] = set()
    nearest = _DEEP
    while edge:
        current, depth = edge.popleft()
        if depth > nearest:
            break
        if model.class_of(current) == "Substation":
            found.add(model.name(current))
            nearest = depth
            continue
        for said in model.statements_of(current):
            if said.kind is ValueKind.REF and said.value not in seen and said.value in model:
                seen.add(said.value)
                edge.append((said.value, depth + 1))
    return found
