"""What the provincial dispatch sees of the demo grid, and may ask of it."""

from __future__ import annotations

from pathlib import Path

from cimxml import SC, Profile, Ref, mrid

from scada.model_cim.forwarding_rows import append_rows, new_rows, rows_xml
from scada.model_cim.points import load_model
from scada.model_cim.tables import Control, Point

NAME = "Provincial dispatch"
PORT = 12430
"""Port on which the provincial dispatch connects."""
FILE = "SC-upstream"
_LEVEL = "220kV"
_PLACES = (f"Beishan/{_LEVEL}/", f"Donghu/{_LEVEL}/")
_MEASURED = (
    "ThreePhaseActivePower",
    "ThreePhaseReactivePower",
    "LineToLineVoltage",
    "Frequency",
    "ActiveEnergyExport",
    "ProtectionTrip",
)
_AREA = ("AreaGeneration", "AreaLoad", "AreaInterchange", "AreaControlError")


def write_upstream(folder: Path) -> None:
    """Write the upstream station, its group, and the rows of its forwarding table; the other files must be there."""
    station = mrid("upstream", NAME)
    file = Profile(FILE, SC)
    file.put(
        "sc:UpstreamStation",
        station,
        {
            "IdentifiedObject.name": NAME,
            "sc:UpstreamStation.host": "127.0.0.1",
            "sc:UpstreamStation.port": str(PORT),
            "sc:UpstreamStation.commonAddress": "1",
            "sc:UpstreamStation.eventCapacity": "10000",
        },
    )
    file.put(
        "sc:RedundancyGroup",
        mrid("upstream", NAME, "A"),
        {
            "IdentifiedObject.name": "A",
            "sc:RedundancyGroup.UpstreamStation": Ref(station),
            "sc:RedundancyGroup.masters": "127.0.0.1",
        },
    )
    file.write(folder)
    model, tables, _ = load_model(folder)
    [upstream] = tables.upstream

    def is_chosen(place: Point | Control) -> bool:
        """Of a breaker of the 220 kV level at Beishan."""
        return place.path.startswith(f"Beishan/{_LEVEL}/") and model.class_of(place.equipment) == "Breaker"

    points = [
        point
        for point in tables.points
        if point.measurement_type in _AREA
        or (point.measurement_type == "SwitchPosition" and is_chosen(point))
        or (point.measurement_type in _MEASURED and point.path.startswith(_PLACES))
    ]
    controls = [control for control in tables.controls if is_chosen(control)]
    append_rows(folder / f"{FILE}.xml", rows_xml(upstream, new_rows(upstream, points, controls)))
