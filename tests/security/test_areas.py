"""Areas of responsibility: from any object to the root, by every name, and nothing by a name that is not clear."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest

from scada.control.records import Principal
from scada.model_cim.objects import PlantObjects
from scada.model_cim.points import load_model
from scada.model_cim.tables import ChannelSpec, Station
from scada.security.areas import AreaTree, responsible_for_all
from scada.security.roles import is_responsible
from tests.api.conftest import small_tables


@pytest.fixture(scope="module")
def grid():
    model, tables, _ = load_model(Path(__file__).parents[2] / "examples" / "demo-grid")
    return model, tables, AreaTree.of(tables)


def who(*areas):
    return Principal("li", frozenset(), frozenset(), frozenset(areas))


@pytest.fixture(scope="module")
def control(grid):
    return next(one for one in grid[1].controls if one.path.startswith("Beishan/220kV/T1/"))


def test_a_control_is_in_everything_from_its_equipment_to_its_region(grid, control):
    model, tables, tree = grid
    station = next(one for one in tables.stations if one.name == "Beishan")
    level = next(mrid for mrid, name, _ in station.voltage_levels if name == "220kV")
    bay = next(mrid for mrid, path in station.bays if path == "Beishan/220kV/T1")
    area = next(one for one in tables.areas if one.name == station.area)
    for node in (control.equipment, bay, level, station.mrid, area.mrid, station.regions[0][0], station.regions[1][0]):
        assert node in model
        assert is_responsible(who(node), *tree.of_control(control)), node
    for name in ("Beishan/220kV/T1", "Beishan/220kV", "Beishan", station.area, station.regions[1][1], "*"):
        assert is_responsible(who(name), *tree.of_control(control)), name
    other = next(one for one in tables.stations if one.area != station.area)
    for foreign in (other.name, other.mrid, other.area, "Beishan/110kV", "Beishan/220kV/T2", "220kV", "T1", "", "Beishan/220kV/"):
        assert not is_responsible(who(foreign), *tree.of_control(control)), foreign


def test_every_object_is_in_the_tree_and_only_in_its_own_branch(grid):
    _, tables, tree = grid
    area_of = {station.name: station.area for station in tables.stations}
    for one in (*tables.points, *tables.live_controls):
        places = tree.of_point(one) if hasattr(one, "pid") else tree.of_control(one)
        # what an area measures of itself has the area in the place of a station
        assert {name for name in area_of if name in places} == {one.station} & area_of.keys()
        assert {name for name in set(area_of.values()) if name in places} == {area_of.get(one.station, one.station)} - {""}


def test_objects_and_units_agree_with_their_controls(grid, control):
    model, tables, tree = grid
    objects = PlantObjects(tables, model)
    equipment, controlled = tree.of_object(objects.find(control.equipment)), tree.of_control(control)
    assert set(controlled) <= set(equipment)
    for area in tables.areas:
        for unit in area.units:
            chains = tree.of_unit(unit.mrid)
            assert chains
            assert responsible_for_all(who(area.name), chains)
            assert not responsible_for_all(who("Nowhere"), chains)
        assert is_responsible(who(area.name), *tree.of_object(objects.find(area.mrid)))
    assert tree.of_unit("nothing") == ()


def test_faults_of_what_users_name(grid):
    _, tables, tree = grid
    station = tables.stations[0]
    unit = tables.areas[0].units[0].mrid
    named = [station.name, station.mrid, station.bays[0][1], station.bays[0][0], tables.controls[0].equipment, unit, "East", "*"]
    assert tree.faults(named, tables) == {}
    assert {area: "several" in why for area, why in tree.faults(["220kV", "Atlantis", ""], tables).items()} == {
        "220kV": True,
        "Atlantis": False,
        "": False,
    }


def test_a_name_of_an_area_and_of_a_station_is_the_areas():
    """Station North stands in area South: who is given North has the area, not the station."""
    stations = [Station("s1", "North", "South", []), Station("s2", "Mid", "North", [])]
    tables = replace(small_tables(), stations=stations, areas=[], controls=[], points=[], channels=[])
    tree = AreaTree(tables)
    assert is_responsible(who("North"), *tree.of_station("Mid"))
    assert not is_responsible(who("North"), *tree.of_station("North"))
    assert is_responsible(who("s1"), *tree.of_station("North"))


def test_two_stations_of_one_name_are_told_apart_by_nothing_but_what_both_share():
    stations = [Station("s1", "Twin", "A", []), Station("s2", "Twin", "B", [])]
    tree = AreaTree(replace(small_tables(), stations=stations, areas=[], controls=[], points=[], channels=[]))
    for area in ("Twin", "s1", "s2", "A", "B"):
        assert not is_responsible(who(area), *tree.of_station("Twin"))
    assert is_responsible(who("*"), *tree.of_station("Twin"))


def test_a_channel_needs_every_station_and_one_without_a_station_all_areas():
    tree = AreaTree(small_tables())

    def may(station, *areas):
        return responsible_for_all(who(*areas), tree.of_channel(ChannelSpec(0, "c", "C", "iec104", "h", 1, station)))

    assert may("East, West", "East", "West")
    assert not may("East, West", "East")
    assert may("", "*")
    assert not may("", "East", "West")
    assert not may("Gone", "East")
    assert may("Gone", "Gone")


def test_a_tree_is_made_once_a_model_and_holds_no_old_one():
    tables = small_tables()
    tree = AreaTree.of(tables)
    assert AreaTree.of(tables) is tree
    other = small_tables()
    assert AreaTree.of(other) is not tree
    assert AreaTree.of(tables) is tree
    kept = weakref.ref(tables)
    del tables
    gc.collect()
    assert kept() is None
