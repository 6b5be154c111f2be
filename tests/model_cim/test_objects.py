"""What stands in what, on the demo grid."""

from __future__ import annotations

from pathlib import Path

import pytest

from scada.model_cim.objects import ObjectKind, PlantObjects
from scada.model_cim.points import load_model

GRID = Path(__file__).resolve().parents[2] / "examples" / "demo-grid"


@pytest.fixture(scope="module")
def grid():
    model, tables, _ = load_model(GRID)
    return model, tables, PlantObjects(tables, model)


def by_name(model, objects, mrids):
    return [(model.class_of(mrid), model.name(mrid)) for mrid in mrids]


def test_a_control_stands_in_its_bay_level_and_station(grid):
    model, tables, objects = grid
    control = next(c for c in tables.controls if c.path == "Beishan/220kV/T1/2010")
    assert by_name(model, objects, objects.of_control(control)) == [
        ("Command", "2010"),
        ("DiscreteValue", "2010 Position"),
        ("Breaker", "2010"),
        ("Bay", "T1"),
        ("VoltageLevel", "220kV"),
        ("Substation", "Beishan"),
    ]


def test_a_tap_changer_belongs_to_its_transformer_and_a_machine_to_its_unit(grid):
    model, tables, objects = grid
    tap = next(c for c in tables.controls if c.path == "Beishan/T1/Tap")
    assert ("PowerTransformer", "T1") in by_name(model, objects, objects.of_control(tap))
    unit = next(unit for area in tables.areas for unit in area.units)
    machine = tables.points[unit.power[0]].equipment
    assert machine in objects.of_control(tables.controls[unit.setpoint])
    assert unit.mrid in objects.find(machine).within


def test_points_of_a_bay_and_of_a_station(grid):
    _, tables, objects = grid
    control = next(c for c in tables.controls if c.path == "Beishan/220kV/T1/2010")
    bay = objects.of_control(control)[3]
    assert objects.find(bay).kind is ObjectKind.BAY
    assert objects.find(bay).path == "Beishan/220kV/T1"
    paths = {point.path for point in objects.points_in(bay)}
    assert {"Beishan/220kV/T1/2010 Position", "Beishan/220kV/T1/2011 Position"} <= paths
    station = next(station for station in tables.stations if station.name == "Beishan")
    inside = {point.path for point in objects.points_in(station.mrid)}
    assert paths < inside
    assert inside == {point.path for point in tables.points if point.station == "Beishan"}


def test_the_end_of_a_line_is_in_the_bay_of_its_terminal(grid):
    model, tables, objects = grid
    line = next(p for p in tables.points if model.class_of(p.equipment) == "ACLineSegment" and p.terminal and p.bay)
    classes = {model.class_of(mrid): model.name(mrid) for mrid in objects.find(line.mrid).within}
    assert classes["Bay"] == line.bay
    assert classes["Substation"] == line.station


@pytest.mark.parametrize("whole", [True, False])
def test_kinds_with_and_without_the_cim_model(grid, whole):
    _, tables, objects = grid
    objects = objects if whole else PlantObjects(tables)
    point, control = tables.points[0], tables.controls[0]
    station, area, channel = tables.stations[0], tables.areas[0], tables.channels[0]
    kinds = [objects.find(each.mrid).kind for each in (point, station, control, area, channel)]
    assert kinds == [ObjectKind.POINT, ObjectKind.STATION, ObjectKind.OTHER, ObjectKind.OTHER, ObjectKind.OTHER]
    assert objects.find(control.equipment).kind is ObjectKind.EQUIPMENT
    assert objects.find(control.equipment).station == control.station
    assert objects.find(station.voltage_levels[0][0]).path == f"{station.name}/{station.voltage_levels[0][1]}"
    assert station.mrid in objects.of_control(control)
    assert objects.find("") is None
    assert objects.find("no such object") is None
