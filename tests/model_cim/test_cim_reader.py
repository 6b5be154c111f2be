"""The reader: counts of public models, and a finding with a place for every kind of broken file."""

from __future__ import annotations

import json
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scada.core.errors import ModelError
from scada.model_cim.findings import Severity, has_errors
from scada.model_cim.points import load_model
from scada.model_cim.reader import ModelReader


def only(findings, rule):
    found = [finding for finding in findings if finding.rule == rule]
    assert len(found) == 1, findings
    return found[0]


@pytest.mark.parametrize(
    "name", ["micro_cgmes3.zip", "small_nb_cim16.zip", "svedala_relicap_cgmes3.zip", "mini_nb_with_measurements_cim16.zip"]
)
def test_public_models_have_the_expected_counts(public_models, name):
    expected = json.loads((public_models / "expected.json").read_text())[name]
    model = ModelReader(public_models / name).read()
    counts = model.class_counts()
    assert {kind: counts.get(kind, 0) for kind in expected["counts"]} == expected["counts"]


def test_an_object_is_found_by_class_property_reference_and_place(write):
    path = write(
        '<cim:Substation rdf:ID="_s1">\n<cim:IdentifiedObject.name>A &amp; B</cim:IdentifiedObject.name>\n</cim:Substation>\n'
        '<cim:VoltageLevel rdf:ID="_v1">\n<cim:VoltageLevel.Substation rdf:resource="#_s1"/>\n'
        "<cim:VoltageLevel.highVoltageLimit>121.5</cim:VoltageLevel.highVoltageLimit>\n</cim:VoltageLevel>\n"
        '<cim:Analog rdf:ID="_a1"><cim:Measurement.unitSymbol rdf:resource="http://iec.ch/TC57/CIM100#UnitSymbol.W"/></cim:Analog>\n'
    )
    model = ModelReader(path).read()
    assert model.findings == []
    assert model.ids("Substation") == ["s1"]
    assert model.ids("Measurement") == ["a1"]
    assert model.ids("Measurement", derived=False) == []
    assert model.name("s1") == "A & B"
    assert model.ref("v1", "VoltageLevel.Substation") == "s1"
    assert model.refs_to("s1", "VoltageLevel.Substation") == ["v1"]
    assert model.number("v1", "VoltageLevel.highVoltageLimit") == 121.5
    assert model.enum("a1", "Measurement.unitSymbol") == "W"
    assert model.where("v1") == f"{path / 'EQ.xml'}:7"
    assert model.path("v1") == "A & B/v1"
    assert model.text("v1", "IdentifiedObject.name") is None
    assert model.class_of("nowhere") == ""


def test_one_object_spelled_three_ways_is_one_object(write):
    write('<cim:Breaker rdf:ID="_b-1"><cim:IdentifiedObject.name>Q1</cim:IdentifiedObject.name></cim:Breaker>\n')
    write('<cim:Breaker rdf:about="#_b-1"><cim:Switch.open>true</cim:Switch.open></cim:Breaker>\n', "SSH.xml")
    path = write('<cim:Breaker rdf:about="urn:uuid:b-1"><cim:Switch.locked>false</cim:Switch.locked></cim:Breaker>\n', "X.xml")
    model = ModelReader(path).read()
    assert model.ids("Breaker") == ["b-1"]
    assert model.truth("b-1", "Switch.open") is True
    assert model.truth("b-1", "Switch.locked", default=True) is False
    assert model.findings == []


def test_a_dangling_reference_names_file_line_and_object(write):
    path = write(
        '<cim:VoltageLevel rdf:ID="_v1">\n<cim:IdentifiedObject.name>220kV</cim:IdentifiedObject.name>\n'
        '<cim:VoltageLevel.Substation rdf:resource="#_gone"/>\n</cim:VoltageLevel>\n'
    )
    model = ModelReader(path).read()
    finding = only(model.findings, "ref.dangling")
    assert (finding.where, finding.severity, finding.mrid, finding.path) == (f"{path / 'EQ.xml'}:6", "error", "v1", "220kV")
    assert "gone" in finding.text
    assert str(finding).startswith(f"{path / 'EQ.xml'}:6 error ref.dangling v1 220kV ")
    assert model.ref("v1", "VoltageLevel.Substation") is None


def test_a_duplicate_id_is_refused_and_names_both_places(write):
    path = write('<cim:Breaker rdf:ID="_b"/>\n<cim:Disconnector rdf:ID="_b"/>\n')
    model = ModelReader(path).read()
    finding = only(model.findings, "id.duplicate")
    assert finding.line == 5
    assert f"{path / 'EQ.xml'}:4" in finding.text
    assert model.class_of("b") == "Breaker"


def test_a_wrong_number_is_a_finding_and_never_a_value(write):
    path = write(
        '<cim:Conductor rdf:ID="_c">\n<cim:Conductor.length>12,5</cim:Conductor.length>\n'
        "<cim:Conductor.other>NaN</cim:Conductor.other>\n</cim:Conductor>\n"
    )
    model = ModelReader(path).read()
    assert model.number("c", "Conductor.length", -1.0) == -1.0
    assert model.number("c", "Conductor.length", -1.0) == -1.0
    assert model.number("c", "Conductor.other", 7.0) == 7.0
    assert [(f.rule, f.line) for f in model.findings] == [("value.wrong", 5), ("value.wrong", 6)]


@pytest.mark.parametrize(
    ("body", "end", "rule"),
    [
        ('<cim:Breaker rdf:ID="_b">\n<cim:Switch.open>tr', "", "xml.malformed"),
        ('<cim:Breaker rdf:ID="_b">\n<cim:Switch.open>true</cim:Switch.closed></cim:Breaker>', "</rdf:RDF>", "xml.malformed"),
        ('<cim:Breaker rdf:ID="_b"/>\n&undefined;\n', "</rdf:RDF>", "xml.malformed"),
        ("<cim:A rdf:ID='_a'>\n" + "<cim:b>" * 40, "", "xml.depth"),
        ("<cim:A rdf:ID='_a'>\n<cim:b>" + "x" * (1 << 21), "</cim:b></cim:A></rdf:RDF>", "xml.text"),
    ],
)
def test_a_broken_file_is_fatal_with_its_line_and_the_rest_is_read(write, body, end, rule):
    write('<cim:Substation rdf:ID="_s"/>\n', "A.xml")
    path = write(body, "B.xml", end)
    model = ModelReader(path).read()
    finding = only(model.findings, rule)
    assert finding.severity is Severity.FATAL
    assert finding.file == str(path / "B.xml")
    assert finding.line >= 4
    assert model.ids("Substation") == ["s"]
    with pytest.raises(ModelError, match=r"B\.xml:\d+"):
        load_model(path)


def test_an_entity_bomb_is_refused_before_it_grows(tmp_path):
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    (tmp_path / "bomb.xml").write_text(f'<?xml version="1.0"?>\n<!DOCTYPE x [<!ENTITY l0 "lol">{entities}]>\n<x>&l11;</x>')
    finding = only(ModelReader(tmp_path).read().findings, "xml.entity")
    assert finding.severity is Severity.FATAL
    assert finding.line == 2


def test_not_cim_beside_the_model_is_skipped_and_said(write):
    write('<cim:Substation rdf:ID="_s"/>\n')
    path = write("", "manifest.xml")
    (path / "manifest.xml").write_text("<manifest><a rdf='1'>text</a></manifest>")
    model = ModelReader(path).read()
    finding = only(model.findings, "file.foreign")
    assert finding.severity is Severity.INFO
    assert not has_errors(model.findings)
    assert len(model) == 1


def test_a_difference_model_is_not_loaded_as_a_model(public_models):
    findings = ModelReader(public_models / "maple10_incremental_difference.xml").read().findings
    assert only(findings, "file.difference").severity is Severity.FATAL


@pytest.mark.parametrize("name", ["missing", "empty", "wrong.zip", "folder"])
def test_nothing_to_read_is_one_clear_error(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.zip").write_bytes(b"PK\x03\x04 this is no zip")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "model.zip").write_bytes(b"nonsense")
    with pytest.raises(ModelError) as caught:
        ModelReader(tmp_path / name).read()
    assert name in caught.value.where
    assert caught.value.mend


def test_a_zip_with_a_damaged_member_is_fatal(write, tmp_path):
    folder = write("".join(f'<cim:Substation rdf:ID="_s{n}"/>\n' for n in range(4000)))
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(folder / "EQ.xml", "EQ.xml")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
    archive.write_bytes(bytes(data))
    findings = ModelReader(archive).read().findings
    assert any(finding.severity is Severity.FATAL and "model.zip!EQ.xml" in finding.file for finding in findings)


DAMAGE = '<cim:VoltageLevel rdf:ID="_v"><cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>\n'


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 400), noise=st.binary(min_size=0, max_size=4), cut=st.booleans())
def test_any_damage_ends_in_findings_never_in_a_traceback(head, tmp_path_factory, place, noise, cut):
    data = (head + '<cim:Substation rdf:ID="_s"/>\n' + DAMAGE + "</rdf:RDF>\n").encode()
    place %= len(data)
    data = data[:place] + noise + (b"" if cut else data[place + len(noise) :])
    file = tmp_path_factory.mktemp("damage") / "EQ.xml"
    file.write_bytes(data)
    model = ModelReader(file).read()
    assert all(finding.where for finding in model.findings)
