"""The compiled schema, and the compiler: what ENTSO-E's files say is what the tables say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from scada.core.errors import ModelError
from scada.model_cim.compile_schema import compile_schema
from scada.model_cim.schema import VERSIONS, load_schema, version_of
from scada.model_cim.turtle import Graph

DATA = Path(__file__).parents[2] / "scada/model_cim/data"
ARCHIVES = {"2.4.15": "entsoe_cgmes2415_shacl_rdfs.zip", "3.0": "entsoe_cgmes3_shacl_rdfs.zip"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_shipped_tables_are_what_the_compiler_makes(public_models, version):
    shipped = json.loads(gzip.decompress((DATA / f"cgmes-{version}.json.gz").read_bytes()))
    assert shipped == json.loads(json.dumps(compile_schema(version, public_models / ARCHIVES[version])))


def test_an_archive_of_another_version_is_refused(public_models):
    with pytest.raises(ModelError, match="no RDFS of profile EQ"):
        compile_schema("3.0", public_models / ARCHIVES["2.4.15"])


@pytest.mark.parametrize(
    ("class_name", "prop", "old", "new"),
    [
        ("ACLineSegment", "ACLineSegment.r", "EQ", "EQ"),
        ("ACLineSegment", "ACLineSegment.r0", "SC", "SC"),
        ("Breaker", "Switch.open", "SSH", "SSH"),
        ("Breaker", "Equipment.inService", "", "SSH"),
        ("CurrentLimit", "CurrentLimit.value", "EQ", "SSH"),
        ("Terminal", "Terminal.TopologicalNode", "TP", "TP"),
        ("Terminal", "Terminal.ConnectivityNode", "OP", "EQ"),
        ("TopologicalNode", "IdentifiedObject.name", "TP", "TP"),
        ("SvVoltage", "SvVoltage.v", "SV", "SV"),
        ("Analog", "Measurement.measurementType", "OP", "OP"),
        ("RemoteUnit", "sc:RemoteUnit.port", "", ""),
    ],
)
def test_the_profile_of_a_property(class_name, prop, old, new):
    assert (load_schema("2.4.15").profile_of(class_name, prop), load_schema("3.0").profile_of(class_name, prop)) == (old, new)


def test_the_class_tree():
    schema = load_schema("3.0")
    assert schema.ancestors("LoadBreakSwitch")[:4] == ("LoadBreakSwitch", "ProtectedSwitch", "Switch", "ConductingEquipment")
    assert {"Breaker", "GroundDisconnector", "Recloser"} < set(schema.subclasses("Switch"))
    assert "TapChanger" in schema.ancestors("PhaseTapChangerTabular")
    assert schema.is_known("RemoteUnit")
    assert schema.is_known("sc:Device")
    assert not schema.is_known("FluxCapacitor")
    assert not schema.in_cgmes("RemoteUnit")


def test_prefixes_and_required_values():
    old, new = load_schema("2.4.15"), load_schema("3.0")
    assert (new.prefix_of("OperationalLimitType.kind"), new.prefix_of("Switch.open"), new.prefix_of("sc:Device")) == (
        "eu",
        "cim",
        "sc",
    )
    assert old.prefix_of("OperationalLimitType.limitType") == "entsoe"
    assert tuple(new.required("EQ")["Breaker"]["Switch.normalOpen"]) == (1, 1)
    assert tuple(new.required("EQ")["ACLineSegment"]["Conductor.length"]) == (0, 1)
    assert "IdentifiedObject.mRID" in new.required("EQ")["Substation"]


def test_the_version_is_what_the_files_say():
    assert version_of([], ["http://entsoe.eu/CIM/Topology/4/1"]) == "2.4.15"
    assert version_of([], ["urn:scada-ems:sc:1#", "http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0"]) == "3.0"
    assert version_of(["http://iec.ch/TC57/2013/CIM-schema-cim16#"], []) == "2.4.15"
    assert version_of(["http://iec.ch/TC57/CIM100#"], []) == ""


def test_turtle():
    graph = Graph()
    graph.read(
        '@prefix a: <x#> .\n# note\na:B a sh:S ; sh:p [ sh:path ( a:c rdf:type ) ; sh:n 1 ] , """q "r" ; .""" ; sh:t "e"@en .\n',
        "f",
    )
    assert graph.one("a:B", "rdf:type") == "sh:S"
    blank, text = graph.all("a:B", "sh:p")
    assert graph.items(graph.one(blank, "sh:path")) == ["a:c", "rdf:type"]
    assert (graph.one(blank, "sh:n"), text, graph.text("a:B", "sh:t")) == ("1", '"q "r" ; .', "e")


@pytest.mark.parametrize("text", ["a:B a", "a:B a ( c:d", 'a:B a "open', "a:B ; .", "a:B a c:d"])
def test_broken_turtle_is_refused_with_its_line(text):
    with pytest.raises(ModelError) as caught:
        Graph().read(f"\n{text}", "shape.ttl")
    assert caught.value.where == "shape.ttl:2"
