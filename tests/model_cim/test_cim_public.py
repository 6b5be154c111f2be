"""The public models: counts, dangling references and octets of ``expected.json``; the traps of real data that concern reading."""

from __future__ import annotations

import json

import pytest

from scada.model_cim.findings import Severity, has_errors
from scada.model_cim.reader import ModelReader
from scada.model_cim.writer import write_files

NAMES = [
    "IEEE118_BES_cim100.zip",
    "maple10_nodebreaker_cim100.zip",
    "micro_bc_assembled_cim16.zip",
    "micro_cgmes3.zip",
    "mini_cgmes3.zip",
    "mini_nb_cim16.zip",
    "mini_nb_with_measurements_cim16.zip",
    pytest.param("real_bb_cim16.zip", marks=pytest.mark.slow),
    "small_cgmes3.zip",
    "small_nb_cim16.zip",
    "svedala_relicap_cgmes3.zip",
]


def header_references(model):
    """References of the headers to models (``DependentOn``, ``Supersedes``) that are not there."""
    known = {header.identity for header in model.headers}
    return [one.value for header in model.headers for one in header.statements if one.resource and one.value not in known]


@pytest.mark.parametrize("name", NAMES)
def test_counts_references_and_octets_are_as_expected(public_models, name):
    expected = json.loads((public_models / "expected.json").read_text())[name]
    model = ModelReader(public_models / name).read()
    counts = model.class_counts()
    assert {kind: counts.get(kind, 0) for kind in expected["counts"]} == expected["counts"]
    assert len(model) + len(model.headers) == expected["objects"]  # a header is counted as an object there
    dangling = [finding for finding in model.findings if finding.rule == "ref.dangling"]
    assert len(dangling) + len(header_references(model)) == expected["dangling_refs"]
    assert sum(file.size for file in model.sources) == expected["xml_bytes"]
    assert {finding.rule for finding in model.findings} <= {"ref.dangling"}


def test_expected_json_has_no_model_that_is_not_tested(public_models):
    names = {name for name, one in json.loads((public_models / "expected.json").read_text()).items() if "objects" in one}
    assert names == {name if isinstance(name, str) else name.values[0] for name in NAMES}


def test_a_property_given_several_times_is_several_values(public_models):
    model = ModelReader(public_models / "small_nb_cim16.zip").read()
    islands = model.ids("TopologicalIsland")
    nodes = [node for island in islands for node in model.refs(island, "TopologicalIsland.TopologicalNodes")]
    assert len(nodes) == len(set(nodes)) == 115
    said = [one.value for one in model.statements_of(islands[0]) if one.prop == "TopologicalIsland.TopologicalNodes"]
    assert said == model.refs(islands[0], "TopologicalIsland.TopologicalNodes")


def test_a_dangling_reference_of_an_official_model_is_named_and_kept(public_models):
    model = ModelReader(public_models / "mini_nb_with_measurements_cim16.zip").read()
    (finding,) = (one for one in model.findings if one.rule == "ref.dangling")
    assert finding.line > 0
    assert finding.mrid in model
    prop, _, target = finding.text.partition(" refers to ")
    missing = target.partition(",")[0]
    assert model.ref(finding.mrid, prop) is None
    assert model.refs_to(missing, prop) == [finding.mrid]
    assert any(f'{missing}"'.encode() in data for data in write_files(model).values())


def test_a_manifest_is_skipped_and_not_written(write):
    write('<cim:Substation rdf:ID="_s"/>\n')
    folder = write("", "x.xml")
    (folder / "x.xml").unlink()
    (folder / "manifest.xml").write_text('<package xmlns="urn:x"><file name="a"/></package>')
    model = ModelReader(folder).read()
    assert not has_errors(model.findings)
    assert list(write_files(model)) == ["EQ.xml"]


def test_power_and_sign_are_read_as_written(public_models):
    model = ModelReader(public_models / "mini_cgmes3.zip").read()
    machines = [model.number(mrid, "RotatingMachine.p") for mrid in model.ids("SynchronousMachine")]
    assert min(machines) < 0  # generation is negative in SSH: load convention, and the reader turns no sign


SPACES = [
    "http://iec.ch/TC57/2009/CIM-schema-cim14#",
    "http://iec.ch/TC57/2010/CIM-schema-cim15#",
    "http://iec.ch/TC57/2013/CIM-schema-cim16#",
    "http://iec.ch/TC57/2016/CIM-schema-cim17#",
    "http://iec.ch/TC57/CIM100#",
    "https://cim.ucaiug.io/ns#",
    "http://ucaiug.org/61970cim18v02_61968cim14v00#",
]


@pytest.mark.parametrize("space", SPACES)
def test_every_cim_namespace_is_read_alike_and_kept(tmp_path, space):
    (tmp_path / "EQ.xml").write_text(
        f'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="{space}" xmlns:dcat="http://www.w3.org/ns/dcat#"'
        ' xmlns:t="http://purl.org/dc/terms/"><dcat:Dataset r:about="urn:uuid:d"><t:conformsTo r:resource="http://p/1"/>'
        '</dcat:Dataset><Breaker r:ID="_b"><Switch.normalOpen>true</Switch.normalOpen>'
        f'<Measurement.unitSymbol r:resource="{space}UnitSymbol.W"/></Breaker></r:RDF>'
    )
    model = ModelReader(tmp_path).read()
    assert model.findings == []
    assert model.truth("b", "Switch.normalOpen")
    assert model.enum("b", "Measurement.unitSymbol") == "W"
    (header,) = model.headers
    assert (header.cim_namespace, header.profiles, header.identity) == (space, ("http://p/1",), "urn:uuid:d")
    (data,) = write_files(model).values()
    assert data.count(space.encode()) == 2
    assert b"dcat:Dataset" in data


def test_an_unknown_class_is_an_object_like_any_other(write):
    model = ModelReader(write('<x:Thing xmlns:x="urn:x#" rdf:ID="_t"><x:Thing.y>1</x:Thing.y></x:Thing>\n')).read()
    assert model.class_of("t") == "Thing"
    assert model.number("t", "Thing.y") == 1
    assert model.findings == []
    assert Severity.ERROR not in {finding.severity for finding in model.findings}
