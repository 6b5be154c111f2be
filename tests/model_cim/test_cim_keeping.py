"""Nothing the files say is dropped, moved to another property or changed without a word."""

from __future__ import annotations

import math
import os
import zipfile

import pytest

from scada.core.errors import ModelError
from scada.model_cim import sources
from scada.model_cim.check import check_model
from scada.model_cim.findings import Severity
from scada.model_cim.parser import MAX_TOKEN, FileParser
from scada.model_cim.points import build_tables
from scada.model_cim.reader import ModelReader
from scada.model_cim.spelling import RefusedError
from scada.model_cim.waivers import parse_waivers
from scada.model_cim.writer import write_files, write_model

NESTED = "<cim:z.y>1</cim:z.y>"


def said(model, mrid="a"):
    return {(one.prop, one.value) for one in model.statements_of(mrid)}


def lost(model):
    return [finding.text for finding in model.findings if finding.rule == "xml.lost"]


@pytest.mark.parametrize("before", ["", f"<cim:A.z>{NESTED}</cim:A.z>", f"<cim:A.z><cim:z.q>{NESTED}</cim:z.q></cim:A.z>"])
@pytest.mark.parametrize("content", ["<cim:c>2</cim:c>", "<cim:c><cim:d>2</cim:d><cim:e/></cim:c>"])
def test_what_stands_within_a_reference_is_told_and_goes_to_no_other_property(write, before, content):
    plain = ModelReader(write(f'<cim:A rdf:ID="_a">{before}<cim:A.b rdf:resource="#_a"/></cim:A>\n')).read()
    odd = ModelReader(write(f'<cim:A rdf:ID="_a">{before}<cim:A.b rdf:resource="#_a">{content}</cim:A.b></cim:A>\n')).read()
    assert said(odd) == said(plain)
    assert not lost(plain)
    assert lost(odd)


def test_what_stands_within_a_nested_reference_is_told(write):
    inner = '<cim:z.y rdf:resource="#_a"><cim:q>2</cim:q></cim:z.y>'
    model = ModelReader(write(f'<cim:A rdf:ID="_a"><cim:A.z>{inner}<cim:z.x>3</cim:z.x></cim:A.z></cim:A>\n')).read()
    assert said(model) == {("A.z/z.y", "a"), ("A.z/z.x", "3")}
    assert lost(model)


@pytest.mark.parametrize("kind", ['xml:lang="zh"', 'rdf:datatype="http://x#int"'])
def test_the_language_of_a_compound_value_does_not_pass_to_the_next_value(write, kind):
    body = f'<cim:A rdf:ID="_a"><cim:A.z {kind}>{NESTED}</cim:A.z><cim:A.n>plain</cim:A.n></cim:A>\n'
    model = ModelReader(write(body)).read()
    assert model.column("A.n").extras == {}
    assert lost(model)


@pytest.mark.parametrize("body", [f"<cim:A.z>{NESTED}after</cim:A.z>", f"<cim:A.z>before{NESTED}</cim:A.z>"])
def test_text_beside_elements_is_told(write, body):
    assert lost(ModelReader(write(f'<cim:A rdf:ID="_a">{body}<cim:A.n>x</cim:A.n></cim:A>\n')).read())


def test_white_space_around_a_nested_value_is_kept(write, tmp_path):
    path = write('<cim:A rdf:ID="_a"><cim:A.z><cim:z.y> 1\n</cim:z.y></cim:A.z></cim:A>\n')
    model = ModelReader(path).read()
    assert model.text("a", "A.z/z.y") == "1"
    assert b"<cim:z.y> 1&#10;</cim:z.y>" in write_files(model)["EQ.xml"]


def test_what_a_header_says_that_is_not_kept_is_told(write):
    nested = ModelReader(write(f'<md:FullModel rdf:about="urn:uuid:1"><md:Model.a>{NESTED}</md:Model.a></md:FullModel>\n')).read()
    assert lost(nested)
    assert [one.value for one in nested.headers[0].statements] == []
    attribute = ModelReader(write('<md:FullModel rdf:about="urn:uuid:1" md:Model.version="3"/>\n')).read()
    assert lost(attribute)


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_file_name_that_is_no_utf8_is_read_and_shown(head, tmp_path):
    data = f'{head}<cim:Line rdf:ID="_a"/></rdf:RDF>\n'.encode()
    name = os.fsdecode("变电站.xml".encode("gbk"))
    (tmp_path / name).write_bytes(data)
    model = ModelReader(tmp_path).read()
    assert model.ids("Line") == ["a"]
    model.where("a").encode()
    assert next(iter(write_files(model).values())).startswith(b"<?xml")


def test_more_namespaces_than_anyone_has_end_the_file(write):
    body = "".join(f'<cim:A rdf:ID="_{number}" xmlns:q="u{number}"/>\n' for number in range(1500))
    model = ModelReader(write(body)).read()
    assert [finding.rule for finding in model.findings] == ["xml.names"]


def test_an_endless_tag_is_refused_in_an_encoding_of_our_own_too():
    objects = type("Objects", (), {"findings": [], "index": {}, "open_object": None})()
    parser = FileParser(objects, 0, "x.xml")
    parser.feed(b'<?xml version="1.0" encoding="GBK"?>\n<rdf:RDF xmlns:rdf="')
    value = "变".encode("gbk") * (1 << 17)
    for _ in range(MAX_TOKEN // (3 << 17)):
        parser.feed(value)
    with pytest.raises(RefusedError, match="longer than"):
        parser.feed(value)


@pytest.mark.parametrize("damage", ["bomb", "checksum"])
def test_a_template_that_cannot_be_unpacked_is_fatal_and_the_rest_is_read(head, tmp_path, damage, monkeypatch):
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if damage == "bomb" else zipfile.ZIP_STORED) as archive:
        archive.writestr("EQ.xml", f'{head}<cim:Line rdf:ID="_a"/></rdf:RDF>\n')
        archive.writestr("templates/b.toml", b'name = "x"\n' * (1 << 19 if damage == "bomb" else 1))
    if damage == "checksum":
        data = path.read_bytes()
        path.write_bytes(data.replace(b'name = "x"', b'name = "y"'))
    else:
        monkeypatch.setattr(sources, "MAX_SMALL", 1 << 20)
    model = ModelReader(path).read()
    assert [(finding.severity, finding.rule) for finding in model.findings] == [(Severity.FATAL, "file.unreadable")]
    assert model.ids("Line") == ["a"]


def test_a_folder_that_is_named_like_a_template_is_none(write, tmp_path):
    (tmp_path / "templates" / "x.toml").mkdir(parents=True)
    assert ModelReader(write('<cim:Line rdf:ID="_a"/>\n')).read().ids("Line") == ["a"]


def test_waivers_too_large_to_be_waivers_are_refused(write, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_SMALL", 1 << 10)
    path = tmp_path / "m.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(write('<cim:Line rdf:ID="_a"/>\n') / "EQ.xml", "EQ.xml")
        archive.writestr("waivers.toml", b"#\n" * (1 << 12))
    with pytest.raises(ModelError, match=r"waivers\.toml"):
        ModelReader(path).read()


def test_an_encoding_with_an_endless_name_is_a_finding(tmp_path):
    (tmp_path / "EQ.xml").write_bytes(b'<?xml version="1.0" encoding="UTF-' + b"8" * 400 + b'"?>\n<a/>')
    model = ModelReader(tmp_path).read()
    assert [(finding.severity, finding.rule) for finding in model.findings] == [(Severity.FATAL, "xml.encoding")]


def test_a_finding_is_one_line_that_commands_no_terminal(write):
    name = "A&#10;EQ.xml:1 fatal \x9b31m\u202e"
    body = f'<cim:Line rdf:ID="_a"><cim:IdentifiedObject.name>{name}</cim:IdentifiedObject.name>'
    model = ModelReader(write(f'{body}<cim:Line.Region rdf:resource="#_r&#13;&#10;s"/></cim:Line>\n')).read()
    (finding,) = model.findings
    assert str(finding).isprintable()
    assert "A\\u000aEQ.xml:1" in str(finding)


def test_a_model_that_cannot_be_written_is_one_clear_error(write, tmp_path):
    model = ModelReader(write('<cim:Line rdf:ID="_a"/>\n')).read()
    (tmp_path / "taken").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        write_model(model, tmp_path / "taken" / "below")


@pytest.mark.parametrize("mrid", [" ", "#_", "_", "urn:uuid:"])
def test_a_waiver_of_an_empty_mrid_does_not_hold_for_all(mrid):
    waivers = parse_waivers(f'[[waiver]]\nrule = "*"\nreason = "x"\nmrid = "{mrid}"\n'.encode(), "waivers.toml")
    assert waivers.waivers == ()
    assert [finding.rule for finding in waivers.findings] == ["waiver.file"]


@pytest.mark.parametrize("text", ["1_000", "\uff11\uff12", "1e999", "nan", "0x10", "1,5", ""])
def test_what_only_python_takes_for_a_number_is_none(write, text):
    body = f'<cim:RemoteSource rdf:ID="_a"><sc:RemotePoint.ioa>{text}</sc:RemotePoint.ioa></cim:RemoteSource>\n'
    model = ModelReader(write(body)).read()
    assert math.isnan(model.number("a", "sc:RemotePoint.ioa"))
    assert [finding.rule for finding in model.findings] == ["value.wrong"]


@pytest.mark.timeout(20)
def test_equipment_that_contains_itself_ends_in_findings(write):
    container = "Equipment.EquipmentContainer"
    body = (
        f'<cim:Breaker rdf:ID="_a"><cim:{container} rdf:resource="#_b"/></cim:Breaker>\n'
        f'<cim:Breaker rdf:ID="_b"><cim:{container} rdf:resource="#_a"/></cim:Breaker>\n'
        '<cim:Discrete rdf:ID="_d"><cim:Measurement.PowerSystemResource rdf:resource="#_a"/></cim:Discrete>\n'
        '<cim:DiscreteValue rdf:ID="_v"><cim:DiscreteValue.Discrete rdf:resource="#_d"/></cim:DiscreteValue>\n'
    )
    found = check_model(ModelReader(write(body)).read())
    assert "check.failed" not in {finding.rule for finding in found}
    assert "ref.class" in {finding.rule for finding in found}


def test_an_alarm_limit_without_value_is_told(edited):
    model = ModelReader(edited("SC-Beishan.xml", "<cim:AnalogLimit.value>209</cim:AnalogLimit.value>", "")).read()
    assert [finding.rule for finding in build_tables(model)[1]] == ["limit.value"]
