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
    from one station to another changes both. A reference that comes or goes touches the station of what it refers to: who feeds
    another's point from the own channel, or joins the own switch to another's node, changes the other station too.
    """
    stations: dict[tuple[bool, str], set[str]] = {}
    found: set[str] = set()

    def of(model: CimModel, mrid: str) -> set[str]:
        key = model is old, mrid
        if key not in stations:
            stations[key] = stations_of(model, mrid)
        return stations[key]

    for mrid in touched(difference):
        for model in (old, new):
            if mrid in model:
                found |= of(model, mrid) or {EVERYONE}
    for model, statements in ((old, difference.reverse), (new, difference.forward)):
        for said in statements:
            if said.kind is ValueKind.REF and said.value in model:
                found |= of(model, said.value)
    return sorted(found)


def areas_of(stations: Iterable[str], model: CimModel) -> dict[str, str]:
    """Control area of each station by its name; empty where it has none, or where two of this name are in different ones."""
    wanted = set(stations)
    found: dict[str, str] = {}
    for mrid in model.ids("Substation"):
        if (name := model.name(mrid)) in wanted:
            area = model.ref(mrid, "sc:Substation.ControlArea")
            said = model.name(area) if area else ""
            found[name] = said if found.get(name, said) == said else ""
    return found


def responsibility(difference: Difference, old: CimModel, new: CimModel) -> tuple[list[str], dict[str, str]]:
    """The stations that a difference touches, and the control area that each of them is in before it.

    Who moves a station to another control area changes the responsibility itself: that is everyone's.
    """
    stations = stations_touched(difference, old, new)
    before, after = areas_of(stations, old), areas_of(stations, new)
    moved = any(before[name] != area for name, area in after.items() if name in before)
    return sorted({*stations, *([EVERYONE] if moved else [])}), {**after, **before}


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
