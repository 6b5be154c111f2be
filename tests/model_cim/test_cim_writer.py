"""The writer: nothing is lost, the form is stable, new statements go where their like is."""

from __future__ import annotations

import zipfile
from collections import Counter

import pytest
from click.testing import CliRunner

from scada.cli.model_format import format_
from scada.core.errors import ModelError
from scada.model_cim.reader import ModelReader
from scada.model_cim.statements import Difference, Statement, ValueKind
from scada.model_cim.writer import write_files, write_model

PUBLIC = [
    "IEEE118_BES_cim100.zip",
    "maple10_nodebreaker_cim100.zip",
    "micro_bc_assembled_cim16.zip",
    "micro_cgmes3.zip",
    "mini_cgmes3.zip",
    "mini_nb_cim16.zip",
    "mini_nb_with_measurements_cim16.zip",
    "small_cgmes3.zip",
    "small_nb_cim16.zip",
    "svedala_relicap_cgmes3.zip",
]
NAME = "IdentifiedObject.name"


def file_name(label):
    return label.rpartition("/")[2].rpartition("!")[2]


def content(model):
    """Everything a model says: statements with file and spelling, elements with file and class, headers."""
    said = Counter()
    names = [file_name(label) for label in model.files]
    for prop in model.property_names():
        for column in model.columns(prop):
            ends = [part.start for part in column.parts[1:]] + [len(column)]
            values, subjects = column.values, column.subjects.tolist()
            for part, end in zip(column.parts, ends, strict=True):
                if part.spelling is not None:
                    for place in range(part.start, end):
                        beside = column.extras.get(place)
                        said[model.mrids[subjects[place]], prop, values[place], names[part.file], part.spelling, beside] += 1
    elements = Counter()
    for source in model.sources:
        for row, kind in zip(source.rows.tolist(), source.kinds.tolist(), strict=True):
            elements[file_name(source.label), model.mrids[row], source.class_names[kind >> 1], kind & 1] = 1
    headers = sorted((file_name(one.file), one.cim_namespace, one.name, one.identity, one.statements) for one in model.headers)
    spaces = {file_name(source.label): {*source.namespaces.values()} for source in model.sources if not source.foreign}
    return said, elements, headers, spaces


def round_trip(path, folder):
    model = ModelReader(path).read()
    write_model(model, folder)
    again = ModelReader(folder).read()
    for before, after in zip(content(model), content(again), strict=True):
        assert before == after
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == write_files(again)
    return model, again


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_model_is_the_same_after_writing_and_reading(public_models, tmp_path, name):
    model, again = round_trip(public_models / name, tmp_path / "out")
    assert model.class_counts() == again.class_counts()


@pytest.mark.slow
def test_realgrid_is_the_same_after_writing_and_reading(public_models, tmp_path):
    model = ModelReader(public_models / "real_bb_cim16.zip").read()
    write_model(model, tmp_path)
    again = ModelReader(tmp_path).read()
    assert model.class_counts() == again.class_counts()
    assert model.property_names() == again.property_names()
    row = {mrid: number for number, mrid in enumerate(again.mrids)}
    for prop in model.property_names():
        one, other = model.column(prop), again.column(prop)
        before = Counter(zip([row[model.mrids[subject]] for subject in one.subjects.tolist()], one.values, strict=True))
        assert before == Counter(zip(other.subjects.tolist(), other.values, strict=True)), prop


def test_the_demo_grid_is_the_same_after_writing_and_reading(demo_path, tmp_path):
    round_trip(demo_path, tmp_path / "out")


ODD = """<md:FullModel rdf:about="urn:uuid:h1"><md:Model.created>2026-01-01T00:00:00Z</md:Model.created>
<md:Model.description xml:lang="en">a &lt;b&gt;</md:Model.description><md:Model.profile>http://x/CoreEquipment-EU/3.0</md:Model.profile>
<md:Model.Supersedes rdf:resource="urn:uuid:h0"/></md:FullModel>
<cim:Substation rdf:ID="_s"><cim:IdentifiedObject.name xml:lang="de">  Süd "1" &amp; 'x'
 </cim:IdentifiedObject.name><entsoe:IdentifiedObject.name xmlns:entsoe="http://e/#">other space</entsoe:IdentifiedObject.name>
<cim:IdentifiedObject.name rdf:datatype="http://www.w3.org/2001/XMLSchema#string">twice</cim:IdentifiedObject.name>
<cim:IdentifiedObject.name>twice</cim:IdentifiedObject.name><cim:IdentifiedObject.name></cim:IdentifiedObject.name>
<cim:X.unit rdf:resource="http://one#U.a"/><cim:X.unit rdf:resource="http://two#U.a"/>
<cim:X.ref rdf:resource="urn:uuid:t"/><cim:X.ref rdf:resource="#_t"/><cim:X.ref rdf:resource="#t"/><cim:X.ref rdf:resource="http://p#_t"/>
<cim:X.ref rdf:resource="http://example.org/no-hash"/>
<cim:Location.mainAddress><cim:StreetAddress><cim:StreetAddress.streetDetail><cim:StreetDetail><cim:StreetDetail.name>Main</cim:StreetDetail.name>
<cim:StreetDetail.number>1</cim:StreetDetail.number></cim:StreetDetail></cim:StreetAddress.streetDetail>
<cim:StreetAddress.status rdf:resource="#_t"/></cim:StreetAddress></cim:Location.mainAddress>
<cim:Location.mainAddress><cim:StreetAddress><cim:StreetAddress.code>2</cim:StreetAddress.code></cim:StreetAddress></cim:Location.mainAddress>
<cim:Y.value rdf:parseType="Resource"><cim:Z.a>5</cim:Z.a></cim:Y.value>
</cim:Substation>
<own:Thing xmlns:own="urn:own#" rdf:ID="_t"/>
<cim:Bay rdf:ID="__u" cim:Bay.code="7"/>
"""


def test_unknown_spaces_compounds_languages_types_and_spellings_are_kept(write, tmp_path):
    model, again = round_trip(write(ODD), tmp_path / "out")
    assert [finding.rule for finding in model.findings] == ["ref.dangling"]  # the one without #, which is kept all the same
    assert again.text("s", "Location.mainAddress[2]/StreetAddress/StreetAddress.code") == "2"
    assert again.text("_u", "Bay.code") == "7"
    assert len(again.statements_of("s")) == len(model.statements_of("s")) == 17


EQ = """<md:FullModel rdf:about="urn:uuid:eq-{0}"><md:Model.created>2026-01-01T00:00:00Z</md:Model.created>
<md:Model.profile>http://iec.ch/TC57/ns/CIM/CoreEquipment-EU/3.0</md:Model.profile></md:FullModel>
<cim:Substation rdf:ID="_s{0}"><cim:IdentifiedObject.name>S{0}</cim:IdentifiedObject.name></cim:Substation>
<cim:Bay rdf:ID="_y{0}"><cim:Bay.Substation rdf:resource="#_s{0}"/></cim:Bay>
<cim:Breaker rdf:ID="_b{0}"><cim:Equipment.EquipmentContainer rdf:resource="#_y{0}"/></cim:Breaker>
"""
SSH = """<md:FullModel rdf:about="urn:uuid:ssh-{0}"><md:Model.profile>http://iec.ch/TC57/ns/CIM/SteadyStateHypothesis-EU/3.0</md:Model.profile>
</md:FullModel><cim:Breaker rdf:about="#_b{0}"><cim:Switch.open>false</cim:Switch.open></cim:Breaker>
"""


@pytest.fixture
def two_areas(write, tmp_path):
    for area in "12":
        write(EQ.format(area), f"EQ{area}.xml")
        write(SSH.format(area), f"SSH{area}.xml")
    return lambda: ModelReader(tmp_path).read()


def changed(before, after):
    """Lines that are new, by file."""
    found = {}
    for name, data in after.items():
        new = Counter(data.decode().splitlines()) - Counter(before.get(name, b"").decode().splitlines())
        if new:
            found[name] = sorted(line.strip() for line in new)
    return found


def test_what_is_new_goes_to_the_files_of_its_neighbours(two_areas):
    model = two_areas()
    edit = Difference(
        added={"n": "Breaker"},
        forward=(
            Statement("n", NAME, "Q2"),
            Statement("n", "Equipment.EquipmentContainer", "y2", ValueKind.REF),
            Statement("n", "Switch.open", "true"),
            Statement("b1", "Switch.open", "true"),
        ),
        reverse=(Statement("b1", "Switch.open", "false"),),
    )
    assert changed(write_files(model), write_files(model.edited(edit))) == {
        "SSH1.xml": ["<cim:Switch.open>true</cim:Switch.open>"],
        "EQ2.xml": [
            "</cim:Breaker>",
            '<cim:Breaker rdf:ID="_n">',
            '<cim:Equipment.EquipmentContainer rdf:resource="#_y2"/>',
            "<cim:IdentifiedObject.name>Q2</cim:IdentifiedObject.name>",
        ],
        "SSH2.xml": ["</cim:Breaker>", '<cim:Breaker rdf:about="#_n">', "<cim:Switch.open>true</cim:Switch.open>"],
    }


def test_a_profile_that_the_model_has_not_yet_gets_a_file_with_a_header(two_areas, tmp_path):
    model = two_areas()
    edit = Difference(added={"v": "SvVoltage"}, forward=(Statement("v", "SvVoltage.v", "110"), Statement("b1", "sc:X.y", "1")))
    write_model(model.edited(edit), tmp_path / "out")
    again = ModelReader(tmp_path / "out").read()
    assert again.findings == []
    headers = {file_name(header.file): header for header in again.headers}
    assert headers["SV.xml"].profiles == ("http://iec.ch/TC57/ns/CIM/StateVariables-EU/3.0",)
    assert headers["SV.xml"].given("Model.DependentOn") == ("urn:uuid:eq-1", "urn:uuid:eq-2")
    assert headers["SV.xml"].given("Model.created") == ("2026-01-01T00:00:00Z",)
    assert headers["SC.xml"].profiles == ("urn:scada-ems:sc:1#",)
    assert file_name(again.where("v")).startswith("SV.xml:")
    assert file_name(again.where_of("b1", "sc:X.y")).startswith("SC.xml:")
    assert file_name(again.where("b1")).startswith("EQ1.xml:")


def test_an_object_that_goes_or_changes_its_class_does_so_in_every_file(two_areas, tmp_path):
    model = two_areas()
    edit = Difference(added={"b2": "Disconnector"}, removed={"b1": "Breaker", "b2": "Breaker"})
    write_model(model.edited(edit), tmp_path / "out")
    again = ModelReader(tmp_path / "out").read()
    assert again.findings == []
    assert again.class_counts() == {"Bay": 2, "Disconnector": 1, "Substation": 2}
    for name in ("EQ2.xml", "SSH2.xml"):
        assert "cim:Breaker" not in (tmp_path / "out" / name).read_text()


def test_edits_and_their_reverse_give_the_first_octets_again(two_areas):
    model = two_areas()
    edit = Difference(
        removed={"y1": "Bay"},
        forward=(Statement("s1", NAME, "new"),),
        reverse=(Statement("s1", NAME, "S1"), Statement("y1", "Bay.Substation", "s1", ValueKind.REF)),
    )
    there = model.edited(edit)
    assert there.refs_to("y1", "Equipment.EquipmentContainer") == ["b1"], "the reference to what is gone stays, and dangles"
    assert write_files(there) != write_files(model)
    assert write_files(there.edited(edit.reversed())) == write_files(model)


def test_what_templates_make_is_not_written(demo_path, tmp_path):
    source = demo_path.parent / "devices"
    model = ModelReader(source).read()
    made = [mrid for mrid in model.mrids if model.is_made(mrid)]
    assert made
    for data in write_files(model).values():
        assert not any(mrid.encode() in data for mrid in made)
    done = CliRunner().invoke(format_, [str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    again = ModelReader(tmp_path / "out").read()
    assert sorted(again.mrids) == sorted(model.mrids)
    assert again.class_counts() == model.class_counts()


def test_a_character_that_xml_cannot_hold_is_refused_by_name(two_areas):
    edit = Difference(forward=(Statement("s1", NAME, "a\x0bb"),))
    with pytest.raises(ModelError, match=r"s1: .*U\+000B"):
        write_files(two_areas().edited(edit))


def test_a_folder_with_files_of_another_model_is_refused(two_areas, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.xml").write_text("<x/>")
    with pytest.raises(ModelError, match=r"old\.xml"):
        write_model(two_areas(), tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["old.xml"]


def test_members_of_one_name_in_two_zips_become_two_files(write, tmp_path):
    folder = tmp_path / "zips"
    folder.mkdir()
    for area in "12":
        file = write(EQ.format(area)) / "EQ.xml"
        with zipfile.ZipFile(folder / f"{area}.zip", "w") as archive:
            archive.write(file, "in/EQ.xml")
    assert sorted(write_files(ModelReader(folder).read())) == ["EQ-2.xml", "EQ.xml"]


def test_format_refuses_to_lose_anything_and_is_stable(write, tmp_path):
    run = CliRunner().invoke
    source = write('<cim:Bay rdf:ID="_a"/>\n<cim:Bay rdf:ID="_a"/>\n')
    done = run(format_, [str(source), "--out", str(tmp_path / "out")])
    assert done.exit_code != 0
    assert "id.duplicate" in done.output
    assert not (tmp_path / "out").exists()
    assert run(format_, [str(source), "--out", str(tmp_path / "out"), "--force"]).exit_code == 0
    first = (tmp_path / "out" / "EQ.xml").read_bytes()
    assert run(format_, [str(tmp_path / "out"), "--out", str(tmp_path / "out")]).exit_code == 0
    assert (tmp_path / "out" / "EQ.xml").read_bytes() == first
    broken = write('<cim:Bay rdf:ID="_a">', "B.xml", "")
    assert isinstance(run(format_, [str(broken), "--out", str(tmp_path / "other")]).exception, ModelError)
