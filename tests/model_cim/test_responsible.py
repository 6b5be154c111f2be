"""Whose work a change is: an engineer cannot make another's objects the own ones by the change itself."""

import pytest
from actors.small_grid import write_grid

from scada.model_cim.difference import diff_models
from scada.model_cim.reader import ModelReader
from scada.model_cim.responsible import areas_of, responsibility, stations_touched

AREAS = """ <cim:ControlArea rdf:ID="_east"><cim:IdentifiedObject.name>East</cim:IdentifiedObject.name></cim:ControlArea>
 <cim:ControlArea rdf:ID="_west"><cim:IdentifiedObject.name>West</cim:IdentifiedObject.name></cim:ControlArea>
 <cim:Substation rdf:about="#_s1"><sc:Substation.ControlArea rdf:resource="#_east"/></cim:Substation>
 <cim:Substation rdf:about="#_s2"><sc:Substation.ControlArea rdf:resource="#_west"/></cim:Substation>
"""


@pytest.fixture
def change(tmp_path):
    """Difference and models of an edit: a text more in the file of the first station, or one replaced in any file."""
    grid = write_grid(tmp_path / "grid")
    own = grid / "SC-Beishan.xml"
    own.write_text(own.read_text("utf-8").replace("</rdf:RDF>", AREAS + "</rdf:RDF>"), "utf-8")
    before = ModelReader(grid).read()

    def make(more="", old="", new=""):
        for path in grid.glob("*.xml"):
            text = path.read_text("utf-8")
            path.write_text(text.replace(old, new) if old else text, "utf-8")
        own.write_text(own.read_text("utf-8").replace("</rdf:RDF>", more + "</rdf:RDF>"), "utf-8")
        after = ModelReader(grid).read()
        difference = diff_models(before, after)
        assert difference
        return difference, before, after

    return make


def test_an_own_change_is_the_own_station_in_its_area(change):
    stations, areas = responsibility(*change(old="<cim:IdentifiedObject.name>BB</", new="<cim:IdentifiedObject.name>Bus</"))
    assert stations == ["Beishan", "Longtan"]
    assert areas == {"Beishan": "East", "Longtan": "West"}


def test_a_station_is_not_taken_over_by_moving_it_to_the_own_area(change):
    said = '<cim:Substation rdf:about="#_s2"><sc:Substation.ControlArea rdf:resource="#_{}"/>'
    stations, areas = responsibility(*change(old=said.format("west"), new=said.format("east")))
    assert stations == ["*", "Longtan"]
    assert areas["Longtan"] == "West", "whose it is counts, not whose it shall be"


def test_a_second_station_of_a_name_does_not_say_whose_the_first_is(change):
    twin = """ <cim:Substation rdf:ID="_s9"><cim:IdentifiedObject.name>Longtan</cim:IdentifiedObject.name>
 <sc:Substation.ControlArea rdf:resource="#_east"/></cim:Substation>
"""
    difference, before, after = change(more=twin)
    assert responsibility(difference, before, after) == (["*", "Longtan"], {"Longtan": "West"})
    assert areas_of(["Longtan"], after) == {"Longtan": ""}


def test_what_belongs_to_no_station_is_not_taken_over_by_a_reference(change):
    old = '<cim:ControlArea rdf:ID="_west"><cim:IdentifiedObject.name>West</'
    new = '<cim:ControlArea rdf:ID="_west"><sc:Any.ref rdf:resource="#_s1"/><cim:IdentifiedObject.name>East</'
    assert stations_touched(*change(old=old, new=new)) == ["*", "Beishan"]


def test_who_feeds_anothers_point_changes_the_other_station(change):
    own = """ <cim:RemoteUnit rdf:about="#_u1"><sc:RemoteUnit.Substation rdf:resource="#_s1"/></cim:RemoteUnit>
 <cim:RemoteSource rdf:ID="_mine"><cim:RemotePoint.RemoteUnit rdf:resource="#_u1"/>
 <cim:RemoteSource.MeasurementValue rdf:resource="#_{}"/></cim:RemoteSource>
"""
    difference, before, after = change(more=own.format("av21"))
    assert "Longtan" in stations_touched(difference, before, after)
