"""Tag types and the board of tags in force, on the demo grid."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from scada.api.texts import LANGUAGES, catalogue
from scada.control.operator_data import Mark, MarkKind
from scada.control.tags import TAG_TYPES, TagBoard
from scada.model_cim.objects import PlantObjects
from scada.model_cim.points import load_model
from scada.model_cim.tables import ControlKind

GRID = Path(__file__).resolve().parents[2] / "examples" / "demo-grid"
OPEN, CLOSE = 1.0, 2.0


class Grid:
    def __init__(self):
        model, self.tables, _ = load_model(GRID)
        self.objects = PlantObjects(self.tables, model)
        self.model = model

    def control(self, path):
        return next(control for control in self.tables.controls if control.path == path)

    def board(self, *tags):
        marks = [
            Mark(number, MarkKind.TAG, mrid, "there", "", math.nan, kind, "crew", "wang", "desk", 0)
            for number, (mrid, kind) in enumerate(tags, 1)
        ]
        return TagBoard(marks, self.objects)


@pytest.fixture(scope="module")
def grid():
    return Grid()


def test_every_type_has_a_name_in_every_language():
    for language in LANGUAGES:
        assert {f"tag_type.{key}" for key in TAG_TYPES} <= catalogue(language).keys()
        assert all(catalogue(language)[f"mark_kind.{kind.value}"] for kind in MarkKind)


@pytest.mark.parametrize(
    ("kind", "opening", "closing", "alarms"),
    [
        ("do_not_operate", True, True, False),
        ("do_not_close", False, True, False),
        ("maintenance", True, True, True),
        ("earthed", False, True, False),
        ("live_work", False, True, False),
        ("under_test", False, False, True),
        ("alarms_off", False, False, True),
        ("defect", False, False, False),
        ("information", False, False, False),
    ],
)
def test_what_each_type_inhibits(grid, kind, opening, closing, alarms):
    breaker = grid.control("Beishan/220kV/T1/2010")
    board = grid.board((breaker.equipment, kind))
    assert bool(board.forbids(breaker, OPEN)) is opening
    assert bool(board.forbids(breaker, CLOSE)) is closing
    single = replace(breaker, kind=ControlKind.SINGLE)
    assert bool(board.forbids(single, 0.0)) is opening
    assert bool(board.forbids(single, 1.0)) is closing
    assert bool(board.silenced()) is alarms


def test_every_type_is_in_the_test_above():
    assert len(TAG_TYPES) == 9


def test_steps_and_setpoints_are_forbidden_only_as_a_whole(grid):
    tap = grid.control("Beishan/T1/Tap")
    power = next(control for control in grid.tables.controls if control.kind is ControlKind.SETPOINT)
    for control, value in ((tap, 2.0), (power, 10.0), (power, math.nan)):
        assert not grid.board((control.equipment, "do_not_close")).forbids(control, value)
        assert grid.board((control.equipment, "do_not_operate")).forbids(control, value)


def test_a_tag_counts_for_everything_in_the_tagged_object_and_for_nothing_else(grid):
    breaker, coupler = grid.control("Beishan/220kV/T1/2010"), grid.control("Beishan/220kV/Coupler/2100")
    far = next(control for control in grid.tables.controls if control.station != "Beishan")
    bay, level, station = grid.objects.find(breaker.equipment).within
    for mrid, struck in ((breaker.equipment, (1, 0, 0)), (bay, (1, 0, 0)), (level, (1, 1, 0)), (station, (1, 1, 0))):
        board = grid.board((mrid, "maintenance"))
        assert tuple(bool(board.forbids(control, CLOSE)) for control in (breaker, coupler, far)) == struck
        silenced = {grid.tables.by_mrid[mrid].path for mrid in board.silenced()}
        assert all(path.startswith("Beishan/") for path in silenced)
        assert ("Beishan/220kV/Coupler/2100 Position" in silenced) is bool(struck[1])


def test_a_tag_on_a_point_counts_for_the_equipment_it_measures(grid):
    breaker = grid.control("Beishan/220kV/T1/2010")
    mine = [point for point in grid.tables.points if point.equipment == breaker.equipment]
    assert len(mine) > 1
    for point in mine:
        board = grid.board((point.mrid, "maintenance"))
        assert board.forbids(breaker, OPEN)
        assert board.silenced().keys() == {point.mrid}
        assert not board.forbids(grid.control("Beishan/220kV/T1/2011"), OPEN)


def test_a_tag_on_a_point_of_a_station_does_not_stop_the_station(grid):
    area = next(area for area in grid.tables.areas if area.controlled)
    point = next(point for point in grid.tables.points if point.equipment == area.mrid)
    board = grid.board((point.mrid, "do_not_operate"))
    assert not any(board.forbids(control, CLOSE) for control in grid.tables.controls)


def test_every_tag_in_the_way_is_named(grid):
    breaker = grid.control("Beishan/220kV/T1/2010")
    bay = grid.objects.find(breaker.equipment).within[0]
    board = grid.board((breaker.equipment, "do_not_close"), (bay, "maintenance"), (bay, "do_not_close"), (bay, "information"))
    assert board.forbids(breaker, CLOSE).count("by wang: crew") == 3
    assert board.forbids(breaker, OPEN) == "maintenance on there by wang: crew"


def test_a_type_that_this_program_does_not_know_forbids_everything(grid):
    breaker = grid.control("Beishan/220kV/T1/2010")
    board = grid.board((breaker.equipment, "of_a_later_version"))
    assert board.forbids(breaker, OPEN) == "of_a_later_version on there by wang: crew"
    assert board.forbids(breaker, CLOSE)
    assert board.silenced() == {}


def test_only_tags_forbid(grid):
    breaker = grid.control("Beishan/220kV/T1/2010")
    notes = [
        Mark(number, kind, breaker.equipment, "there", "", math.nan, "", "why", "wang", "desk", 0)
        for number, kind in enumerate(MarkKind, 1)
        if kind is not MarkKind.TAG
    ]
    assert not TagBoard(notes, grid.objects).forbids(breaker, CLOSE)


def test_a_control_without_equipment_obeys_the_tags_of_its_station(grid):
    bare = replace(grid.control("Beishan/220kV/T1/2010"), equipment="", feedback=None)
    station = next(station.mrid for station in grid.tables.stations if station.name == bare.station)
    assert grid.board((station, "do_not_operate")).forbids(bare, CLOSE)


def test_a_tag_on_what_the_model_no_longer_has_forbids_nothing(grid):
    board = grid.board(("gone", "do_not_operate"), ("gone", "maintenance"))
    assert not any(board.forbids(control, CLOSE) for control in grid.tables.controls)
    assert board.silenced() == {}
