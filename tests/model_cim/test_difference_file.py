"""Difference models as files: what is written is read back, what is wrong is refused with its line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from model_cim.differences import models, same

from scada.core.errors import ModelError
from scada.model_cim.difference import DifferenceError, apply_difference, diff_models
from scada.model_cim.difference_file import OLD_DM, parse_difference, read_difference
from scada.model_cim.difference_writer import difference_xml, write_difference
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, DifferenceHeader, Statement, ValueKind

HEAD = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#" '
    'xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" xmlns:dm="http://iec.ch/TC57/61970-552/DifferenceModel/1#">\n'
)
MODEL = HEAD + '<dm:DifferenceModel rdf:about="urn:uuid:1">\n{}\n</dm:DifferenceModel>\n</rdf:RDF>'
FORWARD = '<dm:forwardDifferences rdf:parseType="Statements">\n{}\n</dm:forwardDifferences>'

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8).map(str.strip)
ids = st.text("abcXYZ019-.é<&\"'", min_size=1, max_size=6)
kinds = st.one_of(
    st.tuples(texts, st.just(ValueKind.TEXT)),
    st.tuples(ids, st.just(ValueKind.REF)),
    st.tuples(st.from_regex(r"[A-Z][a-z]{1,5}\.[a-z]{1,5}", fullmatch=True), st.just(ValueKind.ENUM)),
)
props = st.sampled_from(
    [
        "IdentifiedObject.name",
        "sc:RemotePoint.ioa",
        "eu.x",
        "IdentifiedObject.shortName",
        "Location.mainAddress/StreetAddress.town",
    ]
)
statements = st.builds(lambda mrid, prop, value: Statement(mrid, prop, *value), ids, props, kinds)
classes = st.dictionaries(ids, st.sampled_from(["Breaker", "sc:Device", "BoundaryPoint"]), max_size=3)


@st.composite
def differences(draw):
    unsaid, said, stays = (draw(st.frozensets(statements, max_size=5)) for _ in range(3))
    added, removed = draw(classes), draw(classes)
    same_class = {mrid for mrid, name in added.items() if removed.get(mrid) == name}
    return Difference(
        added={mrid: name for mrid, name in added.items() if mrid not in same_class},
        removed={mrid: name for mrid, name in removed.items() if mrid not in same_class},
        forward=tuple(sorted(said - unsaid)),
        reverse=tuple(sorted(unsaid - said)),
        preconditions=tuple(sorted(stays)),
        header=DifferenceHeader(
            mrid=draw(st.sampled_from(["", "d1f4"])),
            created=draw(st.sampled_from(["", "2026-11-21T20:00:00Z"])),
            description=draw(texts),
            supersedes=draw(st.sampled_from([(), ("a" * 64, "2b")])),
            depends_on=draw(st.sampled_from([(), ("c",)])),
            profiles=("http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0",),
            authority=draw(texts),
        ),
    )


@given(differences())
def test_what_is_written_is_read_back_and_written_the_same(difference):
    data = difference_xml(difference)
    again = parse_difference(data, "d.xml")
    assert again == difference
    assert difference_xml(again) == data


@given(models(), models())
def test_the_file_is_the_change_and_its_way_back(old, new):
    read = parse_difference(difference_xml(diff_models(old, new, spelling=True)), "d.xml")
    assert same(apply_difference(old, read), new)
    assert same(apply_difference(new, read.reversed()), old)


def test_each_name_stands_in_its_namespace():
    difference = Difference(
        added={"p": "BoundaryPoint", "d": "sc:Device"},
        forward=(
            Statement("p", "IdentifiedObject.shortName", "P"),
            Statement("p", "Measurement.unitSymbol", "UnitSymbol.W", ValueKind.ENUM),
            Statement("d", "sc:Device.template", "meter"),
        ),
    )
    text = difference_xml(difference).decode()
    assert '<eu:BoundaryPoint rdf:about="#_p">' in text
    assert "<eu:IdentifiedObject.shortName>P</eu:IdentifiedObject.shortName>" in text
    assert '<cim:Measurement.unitSymbol rdf:resource="http://iec.ch/TC57/CIM100#UnitSymbol.W"/>' in text
    assert "<sc:Device.template>meter</sc:Device.template>" in text
    older = difference_xml(difference, cim_namespace="http://iec.ch/TC57/2013/CIM-schema-cim16#").decode()
    assert 'xmlns:cim="http://iec.ch/TC57/2013/CIM-schema-cim16#"' in older
    assert "<entsoe:IdentifiedObject.shortName>" in older


def test_a_character_that_xml_does_not_have_is_refused():
    with pytest.raises(ModelError, match="XML does not have"):
        difference_xml(Difference(forward=(Statement("a", "IdentifiedObject.name", "bell\x07"),)))


def test_what_others_write_is_read():
    """Typed elements for mere changes, rdf:type, the draft's namespace, a value said before and after."""
    body = f"""<d:forwardDifferences xmlns:d="{OLD_DM}" rdf:parseType="Statements">
<cim:Breaker rdf:about="#_b"><cim:IdentifiedObject.name> Q2 </cim:IdentifiedObject.name>
<cim:Switch.normalOpen>true</cim:Switch.normalOpen></cim:Breaker>
<rdf:Description rdf:about="urn:uuid:n"><rdf:type rdf:resource="http://iec.ch/TC57/CIM100#Fuse"/></rdf:Description>
</d:forwardDifferences>
<d:reverseDifferences xmlns:d="{OLD_DM}" rdf:parseType="Statements">
<cim:Breaker rdf:ID="_b"><cim:IdentifiedObject.name>Q1</cim:IdentifiedObject.name>
<cim:Switch.normalOpen>true</cim:Switch.normalOpen></cim:Breaker>
</d:reverseDifferences>"""
    difference = parse_difference(MODEL.format(body).encode(), "d.xml")
    assert (difference.added, difference.removed) == ({"n": "Fuse"}, {})
    assert difference.forward == (Statement("b", "IdentifiedObject.name", "Q2"),)
    assert difference.reverse == (Statement("b", "IdentifiedObject.name", "Q1"),)
    assert difference.preconditions == (Statement("b", "Switch.normalOpen", "true"),)


OBJECT = '<cim:Breaker rdf:about="#_b"><cim:IdentifiedObject.name>Q</cim:IdentifiedObject.name></cim:Breaker>'
FUSE = '<cim:Fuse rdf:about="#_b"/>'


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("", "d.xml:1", "not well-formed: no element found (the file is cut off"),
        (MODEL.format(FORWARD.format(OBJECT))[:-40], "d.xml:", "cut off"),
        (HEAD + "</rdf:RDF>", "d.xml:", "there is no dm:DifferenceModel"),
        (HEAD + '<md:FullModel rdf:about="urn:uuid:1"/></rdf:RDF>', "d.xml:2", "is a full model, not a difference"),
        (HEAD + OBJECT + "</rdf:RDF>", "d.xml:2", "Breaker stands where dm:DifferenceModel belongs"),
        ("<html><body/></html>", "d.xml:1", "root element is html"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>\n' + MODEL.format(""), "d.xml:1", "DOCTYPE"),
        (MODEL.format("<dm:forwardDifferences/>"), "d.xml:3", "no parseType"),
        (MODEL.format('<dm:reverseDifferences rdf:parseType="Literal"/>'), "d.xml:3", "parseType 'Literal'"),
        (MODEL.format(FORWARD.format("") + FORWARD.format("")), "d.xml:5", "a second dm:forwardDifferences"),
        (MODEL.format("<dm:sideways/>"), "d.xml:3", "unknown part dm:sideways"),
        (MODEL.format(OBJECT), "d.xml:3", "IdentifiedObject.name stands inside a property of the header"),
        (MODEL.format(FORWARD.format("<cim:Breaker/>")), "d.xml:4", "Breaker has neither rdf:about nor rdf:ID"),
        (MODEL.format(FORWARD.format('<rdf:Bag rdf:about="#_b"/>')), "d.xml:4", "rdf:Bag is no object"),
        (MODEL.format(FORWARD.format("loose words")), "d.xml:", "text 'loose words' stands between elements"),
        (MODEL.format(FORWARD.format(OBJECT + "\n" + FUSE)), "d.xml:5", "is a Fuse here and a Breaker in line 4"),
        (MODEL.format(FORWARD.format('<rdf:Description rdf:about="#_b">' + "<cim:a>" * 99)), "d.xml:4", "nested deeper"),
        (MODEL.format(FORWARD.format(OBJECT.replace("Q", "Q" * 1_100_000))), "d.xml:4", "longer than 1 MiB"),
        ('<?xml version="1.0" encoding="gb2312"?>' + MODEL.format(""), "d.xml:1", "encoding"),
    ],
)  # fmt: skip
def test_what_is_no_difference_model_is_refused_with_its_line(text, place, what):
    with pytest.raises(ModelError) as caught:
        parse_difference(text.encode(), "d.xml")
    assert what in str(caught.value)
    assert caught.value.where.startswith(place)


def test_files_that_are_not_there_or_cannot_be_written(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        read_difference(tmp_path / "none.xml")
    with pytest.raises(ModelError, match="cannot be written"):
        write_difference(Difference(), tmp_path / "no" / "folder.xml")


def test_a_model_reader_still_refuses_a_difference(tmp_path):
    write_difference(Difference(added={"b": "Breaker"}), tmp_path / "d.xml")
    assert [finding.rule for finding in ModelReader(tmp_path).read().findings] == ["file.difference"]


def test_the_public_difference_model(public_models):
    """It belongs to another state of its model than the one at hand: every one of its lines is missing there, and is named."""
    difference = read_difference(public_models / "maple10_incremental_difference.xml")
    assert [(one.prop, one.value) for one in difference.forward] == [
        ("ACLineSegment.x", value) for value in ("8.464", "105.8", "39.675")
    ]
    model = ModelReader(public_models / "maple10_nodebreaker_cim100.zip").read()
    with pytest.raises(DifferenceError) as caught:
        apply_difference(model, difference)
    assert {one.mrid for one in caught.value.conflicts} == {one.mrid for one in difference.reverse}
    lines = {one.mrid: "ACLineSegment" for one in difference.reverse}
    fitting = model.edited(Difference(added=lines, forward=difference.reverse))
    changed = apply_difference(fitting, difference)
    assert {changed.text(mrid, "ACLineSegment.x") for mrid in lines} == {"8.464", "105.8", "39.675"}
    assert same(apply_difference(changed, difference.reversed()), fitting)
