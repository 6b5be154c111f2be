"""A model edited by a difference."""

from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind

HEAD = (
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#" '
    'xmlns:sc="urn:scada-ems:sc:1#">'
)
BODY = """
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name>Old</cim:IdentifiedObject.name></cim:Substation>
<cim:VoltageLevel rdf:ID="_v"><cim:VoltageLevel.Substation rdf:resource="#_s"/></cim:VoltageLevel>
<cim:Analog rdf:ID="_a"><cim:Measurement.unitSymbol rdf:resource="http://iec.ch/TC57/CIM100#UnitSymbol.W"/></cim:Analog>
</rdf:RDF>"""


def read(tmp_path):
    (tmp_path / "EQ.xml").write_text(HEAD + BODY)
    return ModelReader(tmp_path / "EQ.xml").read()


def name(mrid, value):
    return Statement(mrid, "IdentifiedObject.name", value)


def test_statements_tell_literals_enumerations_and_references_apart(tmp_path):
    model = read(tmp_path)
    assert model.statements_of("s") == [name("s", "Old")]
    assert model.statements_of("v") == [Statement("v", "VoltageLevel.Substation", "s", ValueKind.REF)]
    assert model.statements_of("a") == [Statement("a", "Measurement.unitSymbol", "UnitSymbol.W", ValueKind.ENUM)]
    assert model.statements_of("nobody") == []


def test_an_edit_changes_adds_and_removes_and_its_reverse_takes_it_back(tmp_path):
    model = read(tmp_path)
    below = Statement("v", "VoltageLevel.Substation", "s", ValueKind.REF)
    difference = Difference(
        added={"n": "Substation"}, removed={"v": "VoltageLevel"}, forward=(name("n", "Next"), name("s", "New")),
        reverse=(name("s", "Old"), below),
    )  # fmt: skip
    edited = model.edited(difference)
    assert list(edited.mrids) == ["s", "a", "n"]
    assert edited.name("s") == "New"
    assert edited.name("n") == "Next"
    assert edited.refs_to("s", "VoltageLevel.Substation") == []
    assert model.name("s") == "Old", "the model edited stays as it was"
    back = edited.edited(difference.reversed())
    assert {mrid: back.statements_of(mrid) for mrid in back.mrids} == {mrid: model.statements_of(mrid) for mrid in model.mrids}
    assert back.class_counts() == model.class_counts()


def test_an_object_can_change_its_class(tmp_path):
    edited = read(tmp_path).edited(Difference(added={"a": "Discrete"}, removed={"a": "Analog"}))
    assert edited.class_of("a") == "Discrete"
    assert edited.ids("Analog") == []
    assert edited.where("a").endswith("EQ.xml:4")


def test_what_was_edited_has_no_line(tmp_path):
    model = read(tmp_path)
    edited = model.edited(Difference(added={"n": "Substation"}, forward=(name("n", "N"), name("s", "Two"))))
    assert edited.where("n") == model.title
    assert edited.where_of("n", "IdentifiedObject.name") == model.title
