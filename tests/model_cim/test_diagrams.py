"""What is drawn anew, what is taken over, and what the user is told when it cannot be drawn."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import pytest

from scada.model_cim import diagrams
from scada.model_cim.diagrams import refresh_diagrams
from scada.model_cim.drawings import WHOLE, diagram_stem, read_index, wanted_drawings
from scada.model_cim.points import load_model, with_drawings
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind


class Pen:
    """Draws by writing down what it was asked for; its faults are set by the test."""

    def __init__(self):
        self.jobs, self.failed, self.broken = [], {}, ""

    def run(self, command, **options):
        job = json.loads(options["input"])
        self.jobs.append(job)
        if self.broken:
            return subprocess.CompletedProcess(command, 1, "", f"at com.example\n{self.broken}")
        for key, stem in job["stations"].items():
            self.draw(job, key, stem, [])
        for key, (stem, levels) in job["areas"].items():
            self.draw(job, key, stem, levels)
        return subprocess.CompletedProcess(command, 0, json.dumps(self.failed), "")

    def draw(self, job, key, stem, levels):
        if key in self.failed:
            return
        nodes = [{"id": "0", "equipmentId": level, "x": 1.0, "y": 2.0} for level in levels]
        target = Path(job["folder"]) / stem
        target.with_suffix(".svg").write_text(f"<svg>{len(self.jobs)}</svg>")
        target.with_suffix(".json").write_text(json.dumps({"nodes": nodes}))


@pytest.fixture
def pen(monkeypatch):
    made = Pen()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(diagrams.subprocess, "run", made.run)
    return made


def renamed(model, mrid, name):
    prop = "IdentifiedObject.name"
    old = model.text(mrid, prop)
    return model.edited(Difference(forward=(Statement(mrid, prop, name),), reverse=(Statement(mrid, prop, old),)))


def breaker(model, station):
    level = model.refs_to(station, "VoltageLevel.Substation")[0]
    bays = model.refs_to(level, "Bay.VoltageLevel")
    return next(s for bay in bays for s in model.refs_to(bay, "Equipment.EquipmentContainer") if model.class_of(s) == "Breaker")


def test_every_station_every_area_and_the_whole_are_wanted(demo):
    wanted = wanted_drawings(demo[0])
    assert {drawing.name for drawing in wanted.stations.values()} == {station.name for station in demo[1].stations}
    assert sorted(drawing.name for drawing in wanted.areas.values()) == ["Demo", "East", "West"], (
        "a region of all stations is the whole"
    )
    east = next(drawing for drawing in wanted.areas.values() if drawing.name == "East")
    assert len(east.levels) == 20


def test_only_what_changed_is_drawn_again(demo, tmp_path, pen):
    model = demo[0]
    first = refresh_diagrams(model, tmp_path)
    assert (len(first.drawn), first.kept, first.stale) == (13, (), ())
    again = refresh_diagrams(model, tmp_path)
    assert (again.drawn, len(again.kept), len(pen.jobs)) == ((), 13, 1)
    station = model.ids("Substation")[0]
    changed = refresh_diagrams(renamed(model, breaker(model, station), "9999"), tmp_path)
    assert changed.drawn == (model.name(station),), "an area shows no breakers"
    stem = read_index(tmp_path).stations[station].stem
    assert (tmp_path / f"{stem}.svg").read_text() == "<svg>2</svg>"


def test_a_position_of_a_switch_is_no_change(demo, tmp_path, pen):
    model = demo[0]
    refresh_diagrams(model, tmp_path)
    switch = breaker(model, model.ids("Substation")[0])
    old = model.text(switch, "Switch.open")
    assert old is not None
    moved = Difference(forward=(Statement(switch, "Switch.open", "true"),), reverse=(Statement(switch, "Switch.open", old),))
    assert refresh_diagrams(model.edited(moved), tmp_path).drawn == ()


def test_voltage_levels_keep_their_place_on_the_map(demo, tmp_path, pen):
    model = demo[0]
    refresh_diagrams(model, tmp_path)
    level = model.ids("VoltageLevel")[0]
    refresh_diagrams(renamed(model, level, "110kV new"), tmp_path)
    areas = pen.jobs[-1]["areas"]
    assert areas
    assert all(pen.jobs[-1]["places"][key][mrid] == [1.0, 2.0] for key, (_, levels) in areas.items() for mrid in levels)


def test_a_new_version_takes_over_what_did_not_change(demo, tmp_path, pen):
    model = demo[0]
    old, new = tmp_path / "1", tmp_path / "2"
    refresh_diagrams(model, old)
    station = model.ids("Substation")[0]
    done = refresh_diagrams(renamed(model, breaker(model, station), "9999"), new, old)
    assert (len(done.drawn), len(done.kept)) == (1, 12)
    for drawing in read_index(new).stations.values():
        told = (new / f"{drawing.stem}.svg").read_text()
        assert told == ("<svg>2</svg>" if drawing.key == station else "<svg>1</svg>")


def test_drawings_of_what_is_gone_go(demo, tmp_path, pen):
    model = demo[0]
    refresh_diagrams(model, tmp_path)
    station = model.ids("Substation")[0]
    stem = read_index(tmp_path).stations[station].stem
    refresh_diagrams(model.edited(Difference(removed={station: "Substation"})), tmp_path)
    assert not (tmp_path / f"{stem}.svg").exists()
    assert station not in read_index(tmp_path).stations


def test_without_the_extra_the_last_drawings_stay_and_the_user_is_told(demo, tmp_path, pen, monkeypatch):
    model = demo[0]
    refresh_diagrams(model, tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    station = model.ids("Substation")[0]
    done = refresh_diagrams(renamed(model, breaker(model, station), "9999"), tmp_path)
    assert done.stale == (model.name(station),)
    assert "pip install 'scada-ems[diagrams]'" in done.why
    tables = with_drawings(demo[1], tmp_path)
    assert [one.name for one in tables.stations if one.diagram_stale] == [model.name(station)]
    assert all(one.diagram for one in tables.stations), "the stale one is shown all the same"


def test_a_stale_drawing_is_drawn_as_soon_as_it_can_be(demo, tmp_path, pen, monkeypatch):
    model = demo[0]
    refresh_diagrams(model, tmp_path)
    station = model.ids("Substation")[0]
    edited = renamed(model, breaker(model, station), "9999")
    pen.failed = {station: "no such container"}
    assert refresh_diagrams(edited, tmp_path).why == "no such container"
    pen.failed = {}
    assert refresh_diagrams(edited, tmp_path).drawn == (model.name(station),)
    assert refresh_diagrams(edited, tmp_path).drawn == ()


def test_one_station_that_cannot_be_drawn_costs_the_others_nothing(demo, tmp_path, pen):
    model = demo[0]
    station = model.ids("Substation")[0]
    pen.failed = {station: "it has no bus"}
    done = refresh_diagrams(model, tmp_path)
    assert (len(done.drawn), done.stale, done.why) == (12, (model.name(station),), "it has no bus")
    assert station not in read_index(tmp_path).stations, "there is no picture of it at all"


def test_a_worker_that_fails_is_one_line(demo, tmp_path, pen):
    pen.broken = "java.lang.IllegalStateException: no network"
    done = refresh_diagrams(demo[0], tmp_path)
    assert len(done.stale) == 13
    assert "no network" in done.why
    assert "\n" not in done.why


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stations": {"a": {}}, "areas": {}}', '{"stations": 3, "areas": 4}'])
def test_a_broken_index_means_to_draw_all(tmp_path, text):
    (tmp_path / "index.json").write_text(text)
    assert not read_index(tmp_path).stations


def test_stations_of_one_name_have_files_of_their_own(write):
    model = ModelReader(
        write(
            '<cim:Substation rdf:ID="_a"><cim:IdentifiedObject.name>Ring/1</cim:IdentifiedObject.name></cim:Substation>\n'
            '<cim:Substation rdf:ID="_b"><cim:IdentifiedObject.name>Ring 1</cim:IdentifiedObject.name></cim:Substation>\n'
        )
    ).read()
    stems = [drawing.stem for drawing in wanted_drawings(model).stations.values()]
    assert stems == ["Ring_1", "Ring_1-b"]
    assert diagram_stem("Ring/1") == "Ring_1"


def test_a_line_that_ends_elsewhere_changes_the_map(demo):
    model = demo[0]
    whole = wanted_drawings(model).areas
    line = model.ids("ACLineSegment")[0]
    terminal = model.refs_to(line, "Terminal.ConductingEquipment")[0]
    node = model.ref(terminal, "Terminal.ConnectivityNode")
    station = model.path(node).split("/")[0]
    other = next(n for n in model.ids("ConnectivityNode") if model.path(n).split("/")[0] != station)
    prop = "Terminal.ConnectivityNode"
    moved = Difference(
        forward=(Statement(terminal, prop, other, ValueKind.REF),), reverse=(Statement(terminal, prop, node, ValueKind.REF),)
    )
    after = wanted_drawings(model.edited(moved)).areas
    assert after.keys() == whole.keys()
    assert any(after[key].digest != whole[key].digest for key in whole)
    assert WHOLE not in whole


def test_the_demo_grid_has_its_drawings(demo_path):
    tables = load_model(demo_path)[1]
    assert all(station.diagram and not station.diagram_stale for station in tables.stations)
    assert sorted(area.name for area in tables.area_diagrams) == ["Demo", "East", "West"]
    wanted, drawn = wanted_drawings(load_model(demo_path)[0]), read_index(demo_path / "diagrams")
    assert drawn == wanted, "draw them anew: scada model diagrams examples/demo-grid"


@pytest.mark.interop
def test_a_public_model_is_drawn_from_its_zip(public_models, tmp_path):
    pytest.importorskip("pypowsybl")
    model = ModelReader(public_models / "mini_nb_cim16.zip").read()
    done = refresh_diagrams(model, tmp_path)
    assert done.stale == ()
    index = read_index(tmp_path)
    assert len(index.stations) == len(model.ids("Substation"))
    for drawing in (*index.stations.values(), *index.areas.values()):
        assert (tmp_path / f"{drawing.stem}.svg").read_text(encoding="utf-8").startswith("<?xml")
    area = next(iter(index.areas.values()))
    nodes = json.loads((tmp_path / f"{area.stem}.json").read_text())["nodes"]
    assert set(area.levels) <= {node["equipmentId"] for node in nodes}, "bound by mRID"


@pytest.mark.interop
def test_a_model_that_cannot_be_drawn_is_one_line(write, tmp_path):
    pytest.importorskip("pypowsybl")
    model = ModelReader(write('<cim:Substation rdf:ID="_s"/>\n')).read()
    done = refresh_diagrams(model, tmp_path / "out")
    assert done.stale == ("s",)
    assert "drawing the diagrams failed" in done.why
    assert "\n" not in done.why
